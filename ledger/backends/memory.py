"""A store that forgets: for tests and throw-away chains."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from ledger.backends.base import Batch, PlainCursor, StorageFault


class MemoryBatch:
    """Collected writes; None stands for a deletion."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.put = self.changes.__setitem__

    def delete(self, key: bytes, /) -> None:
        self.changes[key] = None

    def delete_many(self, keys: Iterable[bytes], /) -> None:
        self.changes.update(dict.fromkeys(keys))

    def size(self) -> int:
        return sum(len(key) + len(value or b"") for key, value in self.changes.items())


class MemoryView:
    """Entries at one moment. Shared with the backend until its next write."""

    def __init__(self, entries: dict[bytes, bytes], order: list[bytes] | None = None) -> None:
        self._entries = entries
        self._order = order

    def get(self, key: bytes, /) -> bytes | None:
        return self._entries.get(key)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        return list(map(self._entries.get, keys))

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        entries = self._entries
        if self._order is None:
            self._order = sorted(entries)
        keys = self._order[bisect_left(self._order, start) : bisect_left(self._order, stop)]
        for key in reversed(keys) if reverse else keys:
            if key in entries:
                yield key, entries[key]

    def close(self) -> None:
        self._entries, self._order = {}, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class MemoryBackend(MemoryView):
    """A dict with copy-on-write snapshots and a sorted key list made when asked for."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__({})
        self._shared = False

    def batch(self) -> MemoryBatch:
        return MemoryBatch()

    def write(self, batch: Batch, *, sync: bool) -> None:
        if not isinstance(batch, MemoryBatch):
            raise StorageFault("a batch of another store")
        if self._shared:
            self._entries, self._shared = dict(self._entries), False
        entries = self._entries
        for key, value in batch.changes.items():
            if value is None:
                if entries.pop(key, None) is not None:
                    self._order = None
            else:
                if key not in entries:
                    self._order = None
                entries[key] = value

    def snapshot(self) -> MemoryView:
        self._shared = True
        return MemoryView(self._entries, self._order)

    def cursor(self) -> PlainCursor:
        return PlainCursor(self)

    def approximate_size(self) -> int:
        return sum(len(key) + len(value) for key, value in self._entries.items())

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> None:
        """Nothing to give back."""
