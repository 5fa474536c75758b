"""The write-ahead log: what the core was told at the height in progress, and the bodies it may have voted for.

One file for each height. A record is `magic 4 | length u32 | checksum 16 | payload`; the checksum covers the height,
the record's place in the file, its length and its payload, so that a record found anywhere else proves nothing.

Recovery: a bad tail with nothing valid after it was torn by a crash and is cut: what was lost was never flushed, so
nothing of our own had left that depended on it. A bad record with a valid one after it is corruption: what it said
may have been acted on. Then only what stands before it is given, and the node runs without signing until that
height is decided; the file stays as it is, so a second restart comes to the same verdict.

The storage is injected: files here, a virtual disk in a simulator.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from consensus.events import Event
from consensus.forms import decode_event, encode_event
from qenex.codec import decode, encode
from qenex.errors import DataFolderCorrupt, MalformedBytes, QenexError
from qenex.hashing import hasher

MAGIC: Final = b"\xf1QW\x01"
CHECKSUM_SIZE: Final = 16
HEADER_SIZE: Final = len(MAGIC) + 4 + CHECKSUM_SIZE
MAX_RECORD: Final = 8 << 20
"""Bytes of a payload: the largest block with its commit is below 5 MB."""
MAX_LOG: Final = 1 << 30
"""Bytes of one height's log that recovery reads."""
KEPT_HEIGHTS: Final = 1
"""Logs of decided heights that are kept, for whoever looks into what happened."""
BODY: Final = "body"

_checksum = hasher("qx.wal")


class Body(NamedTuple):
    """A block that this node may precommit, whole."""

    block_hash: bytes
    block: bytes


Record: TypeAlias = Event | Body


class Verdict(Enum):
    """What recovery found."""

    CLEAN = "clean"
    TORN = "torn"
    """The end was incomplete and is cut."""
    CORRUPT = "corrupt"
    """Something in the middle is bad: nothing may be signed until the height is decided."""


class Recovery(NamedTuple):
    """The records of a height, oldest first, and how far to trust them. `lost`: bytes that were no good."""

    records: tuple[Record, ...]
    verdict: Verdict
    lost: int = 0

    @property
    def may_sign(self) -> bool:
        """For `NewHeight`."""
        return self.verdict is not Verdict.CORRUPT

    @property
    def events(self) -> tuple[Event, ...]:
        """Those to be given to the core, in order."""
        return tuple([record for record in self.records if not isinstance(record, Body)])

    @property
    def bodies(self) -> dict[bytes, bytes]:
        """Blocks by hash."""
        return {record.block_hash: record.block for record in self.records if isinstance(record, Body)}


class Storage(Protocol):
    """Named append-only files. Every call may raise OSError: then the process has to end."""

    def names(self) -> list[str]:
        """Names of all files."""
        ...

    def read(self, name: str) -> bytes:
        """Contents; empty if there is no such file."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Write at the end; durable after `sync`."""
        ...

    def sync(self, name: str) -> None:
        """Everything written to this file is on disk on return, and the file's name is, too."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut to `size` bytes, durably."""
        ...

    def remove(self, name: str) -> None:
        """Delete, if it exists."""
        ...


def frame(height: int, place: int, payload: bytes) -> bytes:
    """A record's bytes at byte `place` of the log of `height`."""
    length = len(payload).to_bytes(4, "little")
    return MAGIC + length + _sum(height, place, length, payload) + payload


def _sum(height: int, place: int, length: bytes, payload: bytes) -> bytes:
    where = height.to_bytes(8, "little") + place.to_bytes(8, "little") + length
    return _checksum(where + payload)[:CHECKSUM_SIZE]


def _payload_at(data: bytes, height: int, place: int) -> bytes | None:
    """The payload of a whole and good record that begins at `place`, or None."""
    start = place + HEADER_SIZE
    if data[place : place + len(MAGIC)] != MAGIC or start > len(data):
        return None
    length = data[place + len(MAGIC) : place + len(MAGIC) + 4]
    size = int.from_bytes(length, "little")
    if size > MAX_RECORD or start + size > len(data):
        return None
    payload = data[start : start + size]
    good = _sum(height, place, length, payload) == data[start - CHECKSUM_SIZE : start]
    return payload if good else None


def scan(height: int, data: bytes) -> tuple[list[bytes], int, bool]:
    """Payloads of the good records at the beginning, the bytes they take, and whether a good one follows later."""
    payloads: list[bytes] = []
    place = 0
    while place < len(data):
        payload = _payload_at(data, height, place)
        if payload is None:
            break
        payloads.append(payload)
        place += HEADER_SIZE + len(payload)
    later = place
    while (later := data.find(MAGIC, later + 1)) >= 0:
        if _payload_at(data, height, later) is not None:
            return payloads, place, True
    return payloads, place, False


def encode_record(record: Record) -> bytes:
    """Payload of a record."""
    return encode((BODY, *record)) if isinstance(record, Body) else encode_event(record)


def decode_record(payload: bytes) -> Record:
    """Inverse of `encode_record`. Raises MalformedBytes or TooLarge."""
    if payload[1:6] != b"\xa4body":
        return decode_event(payload)
    plain = decode(payload, max_size=MAX_RECORD, max_items=8)
    if (
        type(plain) is not tuple
        or len(plain) != 3
        or type(plain[1]) is not bytes
        or type(plain[2]) is not bytes
        or len(plain[1]) != 32
    ):
        raise MalformedBytes("a body is [body, hash, block]")
    return Body(plain[1], plain[2])


def log_name(height: int) -> str:
    """File name of a height's log."""
    return f"{height:020d}.wal"


_NAME: Final = re.compile(r"([0-9]{20})\.wal")


class Wal:
    """The log of the height in progress. `begin` comes first; any OSError must end the process."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._name = ""
        self._height = 0
        self._size = 0
        self._unsynced = False

    def begin(self, height: int) -> Recovery:
        """Open the log of `height` and give what it holds.

        Call it when the block before is durable. Raises OSError; DataFolderCorrupt for a good record that this
        program cannot read (a newer one wrote it).
        """
        storage, name = self._storage, log_name(height)
        data = storage.read(name)
        payloads, good, more = scan(height, data)
        try:
            records = tuple([decode_record(payload) for payload in payloads])
        except QenexError as error:
            raise DataFolderCorrupt(f"the log of height {height}: {error.message}") from None
        verdict = Verdict.CORRUPT if more else Verdict.TORN if good < len(data) else Verdict.CLEAN
        self._name, self._height, self._size, self._unsynced = name, height, len(data), False
        if verdict is Verdict.TORN:
            storage.truncate(name, good)
            self._size = good
        return Recovery(records, verdict, len(data) - good)

    def sweep(self, height: int) -> None:
        """Delete the logs of heights decided long before `height`; in any thread. Raises OSError."""
        for name in sorted(self._storage.names()):
            match = _NAME.fullmatch(name)
            if match and int(match[1]) < height - KEPT_HEIGHTS:
                self._storage.remove(name)

    def append(self, record: Record) -> None:
        """Write an event BEFORE it is given to the core, or a body before its precommit. Raises OSError."""
        data = frame(self._height, self._size, encode_record(record))
        self._storage.append(self._name, data)
        self._size += len(data)
        self._unsynced = True

    def flush(self) -> None:
        """Everything appended is on disk on return. Raises OSError."""
        if self._unsynced:
            self._storage.sync(self._name)
            self._unsynced = False


class FileStorage:
    """Files of one folder, which is made if it is missing. Raises OSError throughout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open: tuple[str, int] | None = None
        self._named = ""
        """The file whose name is known to be durable."""

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(os.listdir(self._folder))

    def read(self, name: str) -> bytes:
        """Contents; empty if there is no such file."""
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            if os.fstat(descriptor).st_size > MAX_LOG:
                raise OSError(f"{name} is larger than any log")
            parts = []
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
        finally:
            os.close(descriptor)
        return b"".join(parts)

    def append(self, name: str, data: bytes) -> None:
        """Write at the end."""
        descriptor = self._descriptor(name)
        written = 0
        view = memoryview(data)
        while written < len(data):
            written += os.write(descriptor, view[written:])

    def sync(self, name: str) -> None:
        """fsync the file, and the folder when the file is new."""
        os.fsync(self._descriptor(name))
        if self._named != name:
            self._sync_folder()
            self._named = name

    def truncate(self, name: str, size: int) -> None:
        """Cut, durably."""
        descriptor = self._descriptor(name)
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)

    def remove(self, name: str) -> None:
        """Delete, if it exists."""
        try:
            os.unlink(self._folder / name)
        except FileNotFoundError:
            return

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _descriptor(self, name: str) -> int:
        if self._open is None or self._open[0] != name:
            self.close()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._open = (name, os.open(self._folder / name, flags, 0o600))
        return self._open[1]

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class MemoryStorage:
    """Files in memory, for tests and for nodes that never sign."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        """Contents; empty if there is no such file."""
        return self.files.get(name, b"")

    def append(self, name: str, data: bytes) -> None:
        """Write at the end."""
        self.files[name] = self.files.get(name, b"") + data

    def sync(self, name: str) -> None:
        """Memory is as durable as it gets."""

    def truncate(self, name: str, size: int) -> None:
        """Cut."""
        self.files[name] = self.files.get(name, b"")[:size]

    def remove(self, name: str) -> None:
        """Delete, if it exists."""
        self.files.pop(name, None)
