"""What every store offers, and the one way in which it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, Self


class StorageFault(BaseException):
    """The disk or the database under us failed; nothing of the batch at hand counts.

    A BaseException on purpose: module code may catch `Exception`, and a node that
    goes on after a failed read would compute another state than its peers. It ends
    the process; the data folder stays as the last complete batch left it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Batch(Protocol):
    """Writes that become visible and durable together, or not at all.

    Made by `Backend.batch()`, so that a put on the path of a block is one call into
    the database's own buffer. The last write to a key wins. Used once, by one thread.
    """

    def put(self, key: bytes, value: bytes, /) -> None: ...

    def delete(self, key: bytes, /) -> None: ...

    def delete_many(self, keys: Iterable[bytes], /) -> None: ...

    def size(self) -> int:
        """Return the approximate size in bytes."""
        ...


class Reader(Protocol):
    """Point and range reads. Raises StorageFault, never a library's own error."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]: ...

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield entries with start <= key < stop in byte order (descending if `reverse`).

        On a live backend, entries written while iterating may or may not appear; take
        a `snapshot()` where that matters.
        """
        ...


class Cursor(Protocol):
    """Point reads of the store as it was when the cursor was made. One thread; close it soon, it keeps old data alive.

    Where most reads go to the disk it is cheaper than `Reader.get`, the more so in key order.
    """

    def get(self, key: bytes, /) -> bytes | None: ...

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]: ...

    def close(self) -> None: ...


class PlainCursor:
    """For a store that has nothing better than its own reads, which see later writes."""

    def __init__(self, reader: Reader) -> None:
        self.get = reader.get
        self.get_many = reader.get_many

    def close(self) -> None:
        """Nothing is held."""


class ReadView(Reader, Protocol):
    """A consistent, immutable picture of the store, safe beside later writes.

    Close it: an open view keeps old data alive on disk.
    """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Backend(Reader, Protocol):
    """One writer, any number of reading threads."""

    @property
    def kind(self) -> str: ...

    def batch(self) -> Batch: ...

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply `batch` atomically; with `sync` it survives a power cut on return.

        Writes without sync reach the disk in order: a crash loses a suffix of them,
        never a part of one. Raises StorageFault, after which nothing of the batch is
        visible to later readers of a reopened store, or all of it.
        """
        ...

    def snapshot(self) -> ReadView: ...

    def cursor(self) -> Cursor: ...

    def approximate_size(self) -> int:
        """Return bytes held on disk (in memory for the memory store)."""
        ...

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> None:
        """Give space of deleted entries back; may take long."""
        ...

    def close(self) -> None: ...
