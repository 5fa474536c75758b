"""LevelDB by plyvel: the node's store.

Measured on 2 cores (20,000 puts of 300 bytes a batch): 0.2-0.25 us a put into
LevelDB's own batch buffer, 0.9 us more for the synced write, 0.6-0.9 us a warm get;
verifying block checksums on every read adds about 0.1 us and is always on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ledger.backends.base import Batch, StorageFault
from ledger.backends.folder import DataFolder, claim, sync_folder
from ledger.backends.readonly import ReadOnlyBackend
from qenex.errors import BackendUnavailable, DataFolderCorrupt, DataFolderMissing

try:
    import plyvel
except ImportError:  # no wheel for this platform: the SQLite store serves instead
    plyvel = None

FOLDER = "leveldb"
WRITE_BUFFER = 64 << 20
"""Bytes of the memory table, of which there may be two: some ten full blocks. With 32 MiB LevelDB's own thread merges level
0 twice as often: over 670,000 transfers it took 11 us a transfer instead of 6.5 to 10 (before and after the last merge), the
synced writes 2.4 instead of 2.9; opening reads up to so much again, 0.7 s instead of 0.2."""
MAX_FILE_SIZE = 8 << 20
MAX_OPEN_FILES = 1000
"""Tables kept open, 8 GiB. They are memory-mapped and hold no file descriptor."""
BLOOM_BITS = 10
_AFTER_ALL = b"\xff" * 64
"""No key of ours begins with FF."""

_ERRORS: tuple[type[Exception], ...] = (OSError,) if plyvel is None else (plyvel.Error, OSError)


def _fault(doing: str, error: Exception) -> StorageFault:
    raw = error.args[0] if error.args and isinstance(error, plyvel.Error) else str(error)
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return StorageFault(f"LevelDB failed to {doing}: {text or type(error).__name__}")


class LevelBatch:
    """plyvel's write batch; `put` and `delete` are its own bound methods."""

    def __init__(self, native: plyvel._plyvel.WriteBatch) -> None:
        self.native = native
        self.put = native.put
        self.delete = native.delete

    def delete_many(self, keys: Iterable[bytes], /) -> None:
        delete = self.delete
        for key in keys:
            delete(key)

    def size(self) -> int:
        return int(self.native.approximate_size())


class _LevelReader:
    """Reads common to the live store and to its snapshots."""

    def __init__(self, source: plyvel.DB | plyvel._plyvel.Snapshot) -> None:
        self._source = source
        self._get = source.get

    def get(self, key: bytes, /) -> bytes | None:
        try:
            return self._get(key, verify_checksums=True)  # type: ignore[no-any-return]  # untyped library
        except _ERRORS as error:
            raise _fault("read", error) from error

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        get = self._get
        try:
            return [get(key, verify_checksums=True) for key in keys]
        except _ERRORS as error:
            raise _fault("read", error) from error

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        # Backwards, plyvel 1.5 loses an entry whose key is `start` if it is the only one in
        # range: no start is given, and the loop ends by itself.
        low = None if reverse else start
        try:
            with self._source.iterator(
                start=low, stop=stop, reverse=reverse, verify_checksums=True, fill_cache=False
            ) as iterator:
                if not reverse:
                    yield from iterator
                    return
                for key, value in iterator:
                    if key < start:
                        return
                    yield key, value
        except _ERRORS as error:
            raise _fault("read", error) from error


class LevelView(_LevelReader):
    """A LevelDB snapshot."""

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LevelCursor:
    """An iterator that is sent from key to key.

    LevelDB counts against a file each `get` that looks into it in vain, and merges it into the next level after some
    hundreds of them: with 10 million accounts, whose reads are all cold, that took 290 us of its thread for a transfer.
    An iterator is not counted. It costs 7 us a key, 4 in key order; a `get` there 5 to 10 and what it sets off.
    """

    def __init__(self, database: plyvel.DB) -> None:
        self._iterator = database.raw_iterator(verify_checksums=True)

    def get(self, key: bytes, /) -> bytes | None:
        iterator = self._iterator
        try:
            iterator.seek(key)
            if not iterator.valid():
                return None
            found, value = iterator.item()
        except _ERRORS as error:
            raise _fault("read", error) from error
        return value if found == key else None

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        iterator = self._iterator
        seek, valid, item = iterator.seek, iterator.valid, iterator.item
        answers: list[bytes | None] = []
        try:
            for key in keys:
                seek(key)
                answer = None
                if valid():
                    found, value = item()
                    if found == key:
                        answer = value
                answers.append(answer)
        except _ERRORS as error:
            raise _fault("read", error) from error
        return answers

    def close(self) -> None:
        self._iterator.close()


class LevelBackend(_LevelReader):
    """The database in `<data folder>/leveldb`."""

    kind = "leveldb"

    def __init__(self, folder: DataFolder, database: plyvel.DB) -> None:
        super().__init__(database)
        self._folder = folder
        self._database = database

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        cache_bytes: int,
        create: bool,
        look: Callable[[ReadOnlyBackend], object] | None = None,
    ) -> LevelBackend:
        """Open or create the store in `path`; `cache_bytes` bounds the block cache.

        `look` sees what an existing store holds before anything of it changes, and may refuse it.
        Raises BackendUnavailable, the DataFolder errors of `claim`, or StorageFault.
        Damage is reported, never repaired: LevelDB's repair drops what it cannot read.
        """
        if plyvel is None:
            raise BackendUnavailable("the LevelDB library plyvel is not installed")
        folder = claim(path, cls.kind, create=create)
        try:
            place = path / FOLDER
            if folder.ready:
                with _look_alike(place) as store:
                    if look is not None:
                        look(store)
            database = plyvel.DB(
                str(place),
                create_if_missing=not folder.ready,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER,
                max_open_files=MAX_OPEN_FILES,
                max_file_size=MAX_FILE_SIZE,
                lru_cache_size=cache_bytes,
                bloom_filter_bits=BLOOM_BITS,
                compression=None,  # keys and values are mostly hashes: snappy only costs time
            )
            sync_folder(path)
            folder.mark_ready()
            return cls(folder, database)
        except plyvel.CorruptionError as error:
            folder.release()
            raise DataFolderCorrupt(f"the database in {path} is damaged: {error}") from error
        except _ERRORS as error:
            folder.release()
            raise _fault("open", error) from error
        except BaseException:
            folder.release()
            raise

    def batch(self) -> LevelBatch:
        return LevelBatch(self._database.write_batch(sync=True))

    def write(self, batch: Batch, *, sync: bool) -> None:
        if not isinstance(batch, LevelBatch):
            raise StorageFault("a batch of another store")
        try:
            if sync:
                batch.native.write()
            else:
                unsynced = self._database.write_batch(sync=False)
                unsynced.append(batch.native)
                unsynced.write()
        except _ERRORS as error:
            raise _fault("write", error) from error

    def snapshot(self) -> LevelView:
        return LevelView(self._database.snapshot())

    def cursor(self) -> LevelCursor:
        return LevelCursor(self._database)

    def approximate_size(self) -> int:
        total = 0
        with os.scandir(self._folder.path / FOLDER) as entries:
            for entry in entries:
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:  # compacted away meanwhile
                    continue
        return total

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> None:
        try:
            # plyvel 1.5 hands a stop of None on as the empty key: nothing would lie before it.
            self._database.compact_range(start=start, stop=_AFTER_ALL if stop is None else stop)
        except _ERRORS as error:
            raise _fault("compact", error) from error

    def close(self) -> None:
        self._database.close()
        self._folder.release()


@contextmanager
def look_into_leveldb(path: Path) -> Iterator[ReadOnlyBackend]:
    """Open the store in `path` for reading only, locked; nothing in the folder changes.

    Raises as `LevelBackend.open`.
    """
    if plyvel is None:
        raise BackendUnavailable("the LevelDB library plyvel is not installed")
    folder = claim(path, LevelBackend.kind, create=False)
    try:
        if not folder.ready:
            raise DataFolderMissing(f"the database in {path} was never finished")
        with _look_alike(path / FOLDER) as store:
            yield store
    finally:
        folder.release()


@contextmanager
def _look_alike(place: Path) -> Iterator[ReadOnlyBackend]:
    """Open a look-alike in a temporary folder, so that damage is found before anything is written.

    Tables, which LevelDB never changes, are linked; the small files it rewrites at
    opening (manifest and log, at most a few memory tables long) are copied.
    Raises DataFolderCorrupt; plyvel's CorruptionError is left to the caller.
    """
    if not (place / "CURRENT").is_file():
        raise DataFolderCorrupt(f"the database in {place} is gone: there is no file CURRENT")
    with tempfile.TemporaryDirectory(prefix="qenex-") as temporary:
        for name in os.listdir(place):
            source, target = place / name, Path(temporary, name)
            if name.endswith((".ldb", ".sst")):
                target.symlink_to(source.resolve())
            elif name == "CURRENT" or name.startswith("MANIFEST-") or name.endswith(".log"):
                shutil.copyfile(source, target)
        try:
            database = plyvel.DB(
                temporary, create_if_missing=False, paranoid_checks=True, write_buffer_size=WRITE_BUFFER
            )
        except plyvel.Error as error:
            raise DataFolderCorrupt(f"the database in {place} is damaged: {error}") from error
        try:
            yield ReadOnlyBackend(LevelBackend.kind, _LevelReader(database))
        except StorageFault as fault:
            raise DataFolderCorrupt(f"the database in {place} is damaged: {fault.message}") from fault
        finally:
            database.close()
