"""A store that is only looked at: before it is opened for good, and by the integrity check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn, Self

from ledger.backends.base import Batch, PlainCursor, Reader, StorageFault


class ReadOnlyBackend:
    """The reads of `reader`; every write is refused. Its own snapshot, because nothing can change it."""

    def __init__(self, kind: str, reader: Reader) -> None:
        self.kind = kind
        self._reader = reader

    def get(self, key: bytes, /) -> bytes | None:
        return self._reader.get(key)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        return self._reader.get_many(keys)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._reader.iterate(start, stop, reverse=reverse)

    def snapshot(self) -> Self:
        return self

    def cursor(self) -> PlainCursor:
        return PlainCursor(self)

    def batch(self) -> NoReturn:
        raise StorageFault("this store was opened for reading only")

    def write(self, batch: Batch, *, sync: bool) -> NoReturn:
        raise StorageFault("this store was opened for reading only")

    def approximate_size(self) -> int:
        return 0

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> NoReturn:
        raise StorageFault("this store was opened for reading only")

    def close(self) -> None:
        """Whoever opened it for looking closes it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
