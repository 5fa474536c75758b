"""Who owns a data folder: the marker file and the lock.

A database library writes when it opens (LevelDB rotates its log and creates what is
missing), so the marker is read first and a folder that is foreign, of another kind or
in use is refused before a single byte of it changes.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from ledger.backends.base import StorageFault
from qenex.errors import (
    DataFolderCorrupt,
    DataFolderForeign,
    DataFolderLocked,
    DataFolderMissing,
    UnsupportedVersion,
)

MARKER = "QENEX"
LOCK = "lock"
FORMAT = 1
"""Version of the folder's layout and of every key in it (`ledger/keys.py`)."""

_TEMPORARY = MARKER + ".new"
_TITLE = "QENEX data folder"
_STATES = ("creating", "ready")
_MAX_MARKER = 256


class DataFolder:
    """A data folder this process holds. `ready` is false until its database exists."""

    def __init__(self, path: Path, kind: str, lock: int, ready: bool) -> None:
        self.path = path
        self.kind = kind
        self.ready = ready
        self._lock: int | None = lock

    def mark_ready(self) -> None:
        """Record that the database was created whole."""
        if not self.ready:
            _write_marker(self.path, self.kind, "ready")
            self.ready = True

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def stored_kind(path: Path) -> str | None:
    """Return the backend kind a data folder was made with, None if it is none of ours. Reads only.

    Raises UnsupportedVersion, DataFolderCorrupt, StorageFault.
    """
    marker = _read_marker(path)
    return marker[0] if marker else None


def claim(path: Path, kind: str, *, create: bool) -> DataFolder:
    """Lock `path` for this process, creating it if it is missing or empty and `create` is set.

    Raises DataFolderMissing, DataFolderForeign, DataFolderCorrupt, DataFolderLocked,
    UnsupportedVersion or StorageFault; then nothing in the folder has changed.
    """
    try:
        fresh = _inspect(path, kind, create)
        if fresh:
            path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
            # Another process may have been quicker between the look and the lock.
            if _inspect(path, kind, create):
                _write_marker(path, kind, "creating")
            marker = _read_marker(path)
            assert marker is not None
            return DataFolder(path, kind, lock, marker[1] == "ready")
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise StorageFault(f"cannot use the data folder {path}: {error.strerror or error}") from error


def _inspect(path: Path, kind: str, create: bool) -> bool:
    """Return whether the folder is still to be made. Reads only."""
    if not path.exists():
        if not create:
            raise DataFolderMissing(f"there is no data folder {path}")
        return True
    if not path.is_dir():
        raise DataFolderForeign(f"{path} is not a folder")
    marker = _read_marker(path)
    if marker is None:
        if set(os.listdir(path)) - {LOCK, _TEMPORARY}:
            raise DataFolderForeign(f"{path} holds other files and no {MARKER} marker; nothing was changed")
        if not create:
            raise DataFolderMissing(f"the data folder {path} is empty")
        return True
    if marker[0] != kind:
        raise DataFolderForeign(
            f"{path} holds a {marker[0]} database, not {kind}; nothing was changed",
            hint=f'set database.backend to "{marker[0]}", or choose another folder',
        )
    return False


def _read_marker(path: Path) -> tuple[str, str] | None:
    """Return (kind, state), None without a marker."""
    try:
        with open(path / MARKER, "rb") as file:
            text = file.read(_MAX_MARKER + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageFault(f"cannot read {path / MARKER}: {error.strerror or error}") from error
    lines = text.decode("ascii", "replace").splitlines()
    if not lines or lines[0] != _TITLE:
        raise DataFolderForeign(f"{path / MARKER} is no marker of a data folder; nothing was changed")
    fields = dict(line.partition(" ")[::2] for line in lines[1:])
    version = fields.get("format", "")
    if version.isdigit() and len(version) < 6 and int(version) > FORMAT:
        raise UnsupportedVersion(f"{path} has data format {version}, this program knows {FORMAT}")
    if text != _marker_bytes(fields.get("backend", ""), fields.get("state", "")):
        raise DataFolderCorrupt(f"the marker {path / MARKER} is damaged")
    return fields["backend"], fields["state"]


def _marker_bytes(kind: str, state: str) -> bytes:
    if state not in _STATES or not kind:
        return b""
    return f"{_TITLE}\nformat {FORMAT}\nbackend {kind}\nstate {state}\n".encode("ascii", "replace")


def _write_marker(path: Path, kind: str, state: str) -> None:
    """Replace the marker so that a crash leaves the old or the new one."""
    temporary = path / _TEMPORARY
    with open(temporary, "wb") as file:
        file.write(_marker_bytes(kind, state))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path / MARKER)
    sync_folder(path)


def _lock(path: Path) -> int:
    """Return a descriptor holding the folder's exclusive lock; the kernel frees it at process end."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise DataFolderLocked(f"{path} is in use by another process") from error
        raise
    return lock


def sync_folder(path: Path) -> None:
    """Make renames and new files in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
