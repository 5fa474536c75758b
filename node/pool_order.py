"""In which order what waits would stand in a block."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING

from node.pool_parts import Entry, Lane
from qenex.transaction import Transaction

if TYPE_CHECKING:
    from node.mempool import Mempool

_place = attrgetter("arrival")


def _rank(entry: Entry) -> tuple[int, int, int]:
    return -entry.price, entry.arrival, entry.serial


class Order:
    """Iterator over waiting transactions: sequences within a sender, then price, then arrival."""

    __slots__ = ("_last", "_missing", "_passed", "_pool", "_walk")

    def __init__(self, pool: Mempool) -> None:
        self._pool = pool
        self._missing: dict[int, int] = {}
        self._passed: dict[Lane, None] | None = None
        """Lanes of what was left out, where arrival alone is the order."""
        self._last: Entry | None = None
        if pool._priced or pool._shared:
            heads = pool._heads()
            # Sorting is linear where arrival alone decides; a heap of all senders is not. Nor are ranks made for it.
            heads.sort(key=_rank if len({head.price for head in heads}) > 1 else _place)
            self._walk = self._by_price(heads)
        else:
            # Nobody offers a tip, so nothing was put in another's place either: the pool stands in order of arrival, and
            # in each lane by sequence. What waits is not even looked at before it is its turn.
            self._passed = {}
            self._walk = self._by_arrival(list(pool._by_witness.values()), self._passed)

    def __iter__(self) -> Iterator[Transaction]:
        return self._walk

    def __next__(self) -> Transaction:
        return next(self._walk)

    def skip(self) -> None:
        """Leave out what follows the last transaction in its lanes: without it they cannot stand."""
        if self._passed is not None and self._last is not None:
            self._passed[self._last.lane] = None
        self._last = None

    def _by_arrival(self, entries: list[Entry], passed: dict[Lane, None]) -> Iterator[Transaction]:
        for entry in entries:
            if entry.alive and not (passed and entry.lane in passed):
                self._last = entry
                yield entry.tx

    def _by_price(self, first: list[Entry]) -> Iterator[Transaction]:
        later: list[tuple[int, int, int, Entry]] = []
        at = 0
        while True:
            if self._last is not None:
                self._release_followers(self._last, later)
                self._last = None
            if later and (at == len(first) or later[0][:3] < _rank(first[at])):
                entry = heappop(later)[3]
            elif at < len(first):
                entry = first[at]
                at += 1
            else:
                return
            if entry.alive:
                self._last = entry
                yield entry.tx

    def _release_followers(self, entry: Entry, later: list[tuple[int, int, int, Entry]]) -> None:
        if not entry.others:  # nearly always the only one of its sender: nothing follows
            queue = self._pool._queues.get(entry.lane)
            if queue is None or entry.sequence + 1 >= queue.first + len(queue.entries):
                return
        for follower in self._followers(entry):
            missing = 0
            if follower.others:
                known = self._missing.get(follower.serial)
                missing = (self._lanes_not_first(follower) if known is None else known) - 1
                self._missing[follower.serial] = missing
            if missing == 0:
                heappush(later, (-follower.price, follower.arrival, follower.serial, follower))

    def _followers(self, entry: Entry) -> Iterator[Entry]:
        """What stands directly behind this entry, once per lane."""
        for lane, sequence in entry.lanes:
            queue = self._pool._queues.get(lane)
            follower = None if queue is None else queue.at(sequence + 1)
            if follower is not None:
                yield follower

    def _lanes_not_first(self, entry: Entry) -> int:
        """Lanes in which something stands before this entry."""
        return sum([self._pool._queues[lane].first != sequence for lane, sequence in entry.lanes])
