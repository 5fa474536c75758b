"""The store under the ledger: pick a kind, open a folder, get a `Backend`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from ledger.backends.base import Backend, Batch, Cursor, Reader, ReadView, StorageFault
from ledger.backends.folder import stored_kind
from ledger.backends.leveldb import LevelBackend, look_into_leveldb
from ledger.backends.memory import MemoryBackend
from ledger.backends.readonly import ReadOnlyBackend
from ledger.backends.sqlite import SqliteBackend, look_into_sqlite
from qenex.errors import InvalidConfig

__all__ = [
    "DEFAULT_CACHE_BYTES",
    "Backend",
    "BackendKind",
    "Batch",
    "Cursor",
    "Folder",
    "ReadView",
    "ReadOnlyBackend",
    "Reader",
    "StorageFault",
    "look_into",
    "open_backend",
    "stored_kind",
]

BackendKind = Literal["leveldb", "sqlite", "memory"]

Folder = Path | str
"""A data folder's path, for rooms that touch no files themselves."""

DEFAULT_CACHE_BYTES = 32 << 20


def open_backend(
    kind: BackendKind,
    path: Folder,
    *,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    create: bool = False,
    look: Callable[[ReadOnlyBackend], object] | None = None,
) -> Backend:
    """Open the store of `kind` in the data folder `path` (ignored for memory).

    `cache_bytes` bounds the database's own cache of blocks, in bytes. With `create`
    a missing or empty folder becomes a new store. `look` is shown what an existing store
    holds before anything of it changes: what it raises refuses the folder.

    Raises BackendUnavailable, DataFolderMissing, DataFolderForeign, DataFolderLocked,
    DataFolderCorrupt, UnsupportedVersion, InvalidConfig or StorageFault; then nothing
    in the folder has changed.
    """
    if cache_bytes < 1 << 20:
        raise InvalidConfig(f"a database cache of {cache_bytes} bytes is less than 1 MiB")
    if kind == "leveldb":
        return LevelBackend.open(Path(path), cache_bytes=cache_bytes, create=create, look=look)
    if kind == "sqlite":
        return SqliteBackend.open(Path(path), cache_bytes=cache_bytes, create=create, look=look)
    if kind == "memory":
        return MemoryBackend()
    raise InvalidConfig(f"there is no database backend {kind!r}")


def look_into(kind: BackendKind, path: Folder) -> AbstractContextManager[ReadOnlyBackend]:
    """Open an existing store for reading only, locked against a running node.

    Nothing in the folder changes. Raises as `open_backend`, when entered.
    """
    if kind == "leveldb":
        return look_into_leveldb(Path(path))
    if kind == "sqlite":
        return look_into_sqlite(Path(path))
    raise InvalidConfig(f"there is nothing to look into in a {kind!r} database")
