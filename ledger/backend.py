"""The store under the ledger: pick a kind, open a folder, get a `Backend`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ledger.backends.base import Backend, Batch, Reader, ReadView, StorageFault
from ledger.backends.folder import stored_kind
from ledger.backends.leveldb import LevelBackend
from ledger.backends.memory import MemoryBackend
from ledger.backends.sqlite import SqliteBackend
from qenex.errors import InvalidConfig

__all__ = [
    "DEFAULT_CACHE_BYTES",
    "Backend",
    "BackendKind",
    "Batch",
    "Folder",
    "ReadView",
    "Reader",
    "StorageFault",
    "open_backend",
    "stored_kind",
]

BackendKind = Literal["leveldb", "sqlite", "memory"]

Folder = Path | str
"""A data folder's path, for rooms that touch no files themselves."""

DEFAULT_CACHE_BYTES = 32 << 20


def open_backend(
    kind: BackendKind, path: Folder, *, cache_bytes: int = DEFAULT_CACHE_BYTES, create: bool = False
) -> Backend:
    """Open the store of `kind` in the data folder `path` (ignored for memory).

    `cache_bytes` bounds the database's own cache of blocks, in bytes. With `create`
    a missing or empty folder becomes a new store.

    Raises BackendUnavailable, DataFolderMissing, DataFolderForeign, DataFolderLocked,
    DataFolderCorrupt, UnsupportedVersion, InvalidConfig or StorageFault; then nothing
    in the folder has changed.
    """
    if cache_bytes < 1 << 20:
        raise InvalidConfig(f"a database cache of {cache_bytes} bytes is less than 1 MiB")
    if kind == "leveldb":
        return LevelBackend.open(Path(path), cache_bytes=cache_bytes, create=create)
    if kind == "sqlite":
        return SqliteBackend.open(Path(path), cache_bytes=cache_bytes, create=create)
    if kind == "memory":
        return MemoryBackend()
    raise InvalidConfig(f"there is no database backend {kind!r}")
