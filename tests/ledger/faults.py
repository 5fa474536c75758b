"""A store that crashes, fills up and loses power where a test says. Never shipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from ledger.backend import Batch, StorageFault
from ledger.backends.base import PlainCursor
from ledger.backends.memory import MemoryBackend, MemoryBatch, MemoryView

Moment = Literal["before", "after", "full"]


class Crash(BaseException):
    """The process died here. Not a StorageFault: nobody may handle it."""


class FaultyBackend:
    """Memory with a disk's failings, counted by writes from 1.

    `at` and `moment`: write number `at` dies before anything of it counts ("before"),
    dies when all of it is in place ("after": what a torn atomic write amounts to, on
    either side), or is refused because the disk is full ("full": StorageFault, and the
    store goes on). `survivor` is what a restart finds.
    """

    kind = "memory"

    def __init__(
        self, entries: MemoryBackend | None = None, *, at: int = 0, moment: Moment = "before"
    ) -> None:
        self._live = entries or MemoryBackend()
        self._durable = dict(self._live.iterate(b"", b"\xff" * 128))
        self._unsynced: list[dict[bytes, bytes | None]] = []
        self.at = at
        self.moment = moment
        self.writes = 0

    def write(self, batch: Batch, *, sync: bool) -> None:
        assert isinstance(batch, MemoryBatch)
        self.writes += 1
        if self.writes == self.at and self.moment == "full":
            raise StorageFault("no space left on device")
        if self.writes == self.at and self.moment == "before":
            raise Crash
        self._live.write(batch, sync=sync)
        self._unsynced.append(dict(batch.changes))
        if sync:
            self._durable, self._unsynced = self._after(len(self._unsynced)), []
        if self.writes == self.at:
            raise Crash

    def unsynced(self) -> int:
        """Return how many writes a power cut could still take."""
        return len(self._unsynced)

    def survivor(self, kept: int = 0) -> MemoryBackend:
        """Return the store after a power cut that spared the first `kept` unsynced writes."""
        store = MemoryBackend()
        batch = store.batch()
        for key, value in self._after(kept).items():
            batch.put(key, value)
        store.write(batch, sync=True)
        return store

    def _after(self, kept: int) -> dict[bytes, bytes]:
        entries = dict(self._durable)
        for changes in self._unsynced[:kept]:
            for key, value in changes.items():
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = value
        return entries

    def batch(self) -> MemoryBatch:
        return self._live.batch()

    def get(self, key: bytes, /) -> bytes | None:
        return self._live.get(key)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        return self._live.get_many(keys)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._live.iterate(start, stop, reverse=reverse)

    def snapshot(self) -> MemoryView:
        return self._live.snapshot()

    def cursor(self) -> PlainCursor:
        return PlainCursor(self)

    def approximate_size(self) -> int:
        return self._live.approximate_size()

    def compact(self, start: bytes = b"", stop: bytes | None = None) -> None:
        self._live.compact(start, stop)

    def close(self) -> None:
        """A crashed store is not closed; a test may still look at it."""
