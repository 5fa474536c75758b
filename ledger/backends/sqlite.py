"""SQLite: the persistent store where plyvel has no wheel. Slower, always there.

One table without row ids, write-ahead log. SQLite keeps no checksums, so every value
carries a CRC-32 of its key and itself. Writers and readers use separate connections,
each behind its own lock; a snapshot is a read transaction on a connection of its own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from zlib import crc32

from ledger.backends.base import Batch, PlainCursor, StorageFault
from ledger.backends.folder import DataFolder, claim, sync_folder
from ledger.backends.memory import MemoryBatch
from ledger.backends.readonly import ReadOnlyBackend
from qenex.errors import DataFolderCorrupt, DataFolderMissing

FILE = "store.sqlite"
APPLICATION_ID = 0x51454E58
"""`QENX`, at byte 68 of the file's header."""
PAGE = 512
"""Entries fetched at a time by `iterate`; a lock is never held while the caller works."""
CHECKSUM = 4
"""Bytes at the end of each stored value."""
_MAGIC = b"SQLite format 3\x00"
_ERRORS = (sqlite3.Error, OSError)


class SqliteBatch(MemoryBatch):
    """Collected writes, handed to `executemany` at the end."""


class _SqliteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._mutex = threading.RLock()

    def get(self, key: bytes, /) -> bytes | None:
        try:
            with self._mutex:
                row = self._connection.execute("SELECT value FROM entries WHERE key=?", (key,)).fetchone()
        except _ERRORS as error:
            raise _fault("read", error) from error
        return _checked(key, row[0]) if row else None

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        try:
            with self._mutex:
                execute = self._connection.execute
                rows = [execute("SELECT value FROM entries WHERE key=?", (key,)).fetchone() for key in keys]
        except _ERRORS as error:
            raise _fault("read", error) from error
        return [_checked(key, row[0]) if row else None for key, row in zip(keys, rows)]

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        first, order = ("<", "DESC") if reverse else (">", "ASC")
        query = "SELECT key, value FROM entries WHERE key>=? AND key<? {} ORDER BY key {} LIMIT ?"
        following = query.format(f"AND key{first}?", order)
        arguments: tuple[bytes | int, ...] = (start, stop, PAGE)
        query = query.format("", order)
        while True:
            try:
                with self._mutex:
                    rows = self._connection.execute(query, arguments).fetchall()
            except _ERRORS as error:
                raise _fault("read", error) from error
            for key, stored in rows:
                yield key, _checked(key, stored)
            if len(rows) < PAGE:
                return
            query, arguments = following, (start, stop, rows[-1][0], PAGE)


class SqliteView(_SqliteReader):
    """A read transaction on a connection of its own."""

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class SqliteBackend(_SqliteReader):
    """The database file `<data folder>/store.sqlite`."""

    kind = "sqlite"

    def __init__(self, folder: DataFolder, cache_bytes: int) -> None:
        self._folder = folder
        self._file = folder.path / FILE
        super().__init__(_connect(self._file, cache_bytes))
        self._writer = _connect(self._file, cache_bytes)
        self._write_mutex = threading.Lock()
        self._sync: bool | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        cache_bytes: int,
        create: bool,
        look: Callable[[ReadOnlyBackend], object] | None = None,
    ) -> SqliteBackend:
        """Open or create the store in `path`; `cache_bytes` bounds each connection's page cache.

        `look` sees what an existing store holds before anything of it changes, and may refuse it.
        Raises the DataFolder errors of `claim`, or StorageFault. Damage is never repaired.
        """
        folder = claim(path, cls.kind, create=create)
        try:
            if folder.ready:
                with _looking(path / FILE) as store:
                    if look is not None:
                        look(store)
            else:
                _create_file(path / FILE)
            backend = cls(folder, cache_bytes)
            sync_folder(path)
            folder.mark_ready()
            return backend
        except sqlite3.Error as error:
            folder.release()
            if _is_damage(error):
                raise DataFolderCorrupt(f"the database in {path} is damaged: {error}") from error
            raise _fault("open", error) from error
        except OSError as error:
            folder.release()
            raise _fault("open", error) from error
        except BaseException:
            folder.release()
            raise

    def batch(self) -> SqliteBatch:
        return SqliteBatch()

    def write(self, batch: Batch, *, sync: bool) -> None:
        if not isinstance(batch, SqliteBatch):
            raise StorageFault("a batch of another store")
        puts = [
            (key, value + crc32(value, crc32(key)).to_bytes(CHECKSUM, "big"))
            for key, value in batch.changes.items()
            if value is not None
        ]
        deletes = [(key,) for key, value in batch.changes.items() if value is None]
        try:
            with self._write_mutex:
                writer = self._writer
                if sync is not self._sync:
                    writer.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
                    self._sync = sync
                writer.execute("BEGIN IMMEDIATE")
                try:
                    if deletes:
                        writer.executemany("DELETE FROM entries WHERE key=?", deletes)
                    writer.executemany("INSERT OR REPLACE INTO entries VALUES (?,?)", puts)
                    writer.execute("COMMIT")
                except BaseException:
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                    raise
        except _ERRORS as error:
            raise _fault("write", error) from error

    def snapshot(self) -> SqliteView:
        try:
            connection = _connect(self._file, 1 << 20)
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone()  # fixes the moment
        except _ERRORS as error:
            raise _fault("open a snapshot", error) from error
        return SqliteView(connection)

    def cursor(self) -> PlainCursor:
        return PlainCursor(self)

    def approximate_size(self) -> int:
        return sum(file.stat().st_size for file in self._folder.path.iterdir() if file.name.startswith(FILE))

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> None:
        try:
            with self._write_mutex:
                self._writer.execute("VACUUM")
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except _ERRORS as error:
            raise _fault("compact", error) from error

    def close(self) -> None:
        try:
            self._connection.close()
            self._writer.close()
        except _ERRORS as error:
            raise _fault("close", error) from error
        finally:
            self._folder.release()


def _checked(key: bytes, stored: object) -> bytes:
    if isinstance(stored, bytes):
        value = stored[:-CHECKSUM]
        if crc32(value, crc32(key)).to_bytes(CHECKSUM, "big") == stored[len(value) :]:
            return value
    raise StorageFault(f"SQLite returned a damaged record under {key[:40].hex()}")


def _connect(file: Path, cache_bytes: int) -> sqlite3.Connection:
    # mode=rw: a missing file is an error, never a new empty database.
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA cache_size=-{max(cache_bytes >> 10, 64)}")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA busy_timeout=10000")
    return connection


def _create_file(file: Path) -> None:
    """Make an empty database, replacing what a crash during an earlier creation left."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    finally:
        connection.close()


def _check_file(file: Path) -> None:
    """Read the header before SQLite opens the file, which may replay its log into it."""
    if not file.is_file():
        raise DataFolderCorrupt(f"the database file {file} is gone")
    with open(file, "rb") as stream:
        header = stream.read(100)
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise DataFolderCorrupt(f"{file} does not start like a SQLite database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise DataFolderCorrupt(f"{file} is no database of this program")


@contextmanager
def look_into_sqlite(path: Path) -> Iterator[ReadOnlyBackend]:
    """Open the store in `path` for reading only, locked; neither database nor log change.

    Raises as `SqliteBackend.open`.
    """
    folder = claim(path, SqliteBackend.kind, create=False)
    try:
        if not folder.ready:
            raise DataFolderMissing(f"the database in {path} was never finished")
        with _looking(path / FILE) as store:
            yield store
    finally:
        folder.release()


@contextmanager
def _looking(file: Path) -> Iterator[ReadOnlyBackend]:
    """Read without writing. A log that a killed process left is read where it lies: with it only the
    `-shm` file, SQLite's index of that log, may be rewritten. Raises DataFolderCorrupt.
    """
    _check_file(file)
    # Without a log the file is all there is: then SQLite makes no file beside it.
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA cell_size_check=ON")
            connection.execute("SELECT key, value FROM entries LIMIT 1").fetchone()
            yield ReadOnlyBackend(SqliteBackend.kind, _SqliteReader(connection))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataFolderCorrupt(f"the database {file} is damaged: {error}") from error
    except StorageFault as fault:
        raise DataFolderCorrupt(f"the database {file} is damaged: {fault.message}") from fault


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _fault(doing: str, error: Exception) -> StorageFault:
    return StorageFault(f"SQLite failed to {doing}: {error}")
