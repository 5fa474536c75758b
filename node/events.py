"""What committed blocks told, for subscribers: live, or replayed from a cursor.

A cursor `height.part.item` names the place of the NEXT event to read. Within a block part 0 is the begin
hooks, part i the transaction i - 1, and the part after the last transaction the end hooks. A subscriber
has a bounded queue; when it does not keep up it is told so (`lagged`) with the cursor from which it may
begin again, and nothing is skipped in silence. Replay reads the stored blocks a page at a time, so a
reader from far behind costs no memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, overload

from qenex.block import Event, Receipt
from qenex.errors import InvalidParams, LimitExceeded

MAX_QUEUE: Final = 4_096
"""Events that wait for one subscriber."""
PAGE_EVENTS: Final = 1_000
RECENT_BLOCKS: Final = 32
"""Blocks whose events are kept in memory, so that those who follow the tip read no disk."""
REPLAYED_BLOCKS: Final = 4
"""Older blocks kept decoded: who pages through a full one comes back 170 times, 50 ms each."""


class Cursor(NamedTuple):
    """Place of an event; ordered."""

    height: int
    part: int = 0
    item: int = 0

    def __str__(self) -> str:
        return f"{self.height}.{self.part}.{self.item}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Inverse of `str`. Raises InvalidParams."""
        parts = text.split(".") if len(text) <= 64 else []
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise InvalidParams("a cursor looks like 12.0.3: height, part and item")
        return cls(*[int(part) for part in parts])


class EventsOfReceipts(Sequence[tuple[bytes, tuple[Event, ...]]]):
    """`(tx_id, events)` of receipts, made when somebody asks: most blocks have no reader."""

    __slots__ = ("_receipts",)

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self._receipts = receipts

    def __len__(self) -> int:
        return len(self._receipts)

    @overload
    def __getitem__(self, index: int) -> tuple[bytes, tuple[Event, ...]]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[bytes, tuple[Event, ...]]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[bytes, tuple[Event, ...]] | Sequence[tuple[bytes, tuple[Event, ...]]]:
        if isinstance(index, slice):
            return [(receipt.tx_id, receipt.events) for receipt in self._receipts[index]]
        receipt = self._receipts[index]
        return receipt.tx_id, receipt.events


class BlockEvents(NamedTuple):
    """All events of one block. `transactions` holds `(tx_id, events)` in block order."""

    height: int
    begin: tuple[Event, ...]
    transactions: Sequence[tuple[bytes, tuple[Event, ...]]]
    end: tuple[Event, ...]

    def parts(self, first: int = 0) -> Iterator[tuple[int, bytes | None, tuple[Event, ...]]]:
        """`(part number, tx_id or None for hooks, events)` from part `first` on; those before it are not made."""
        if first == 0:
            yield 0, None, self.begin
        last = len(self.transactions) + 1
        for part in range(max(first, 1), last):
            yield part, *self.transactions[part - 1]
        if first <= last:
            yield last, None, self.end


class Located(NamedTuple):
    """An event, where it stands, and whose it is (None: the block's own hooks)."""

    cursor: Cursor
    next: Cursor
    tx_id: bytes | None
    event: Event


def located(block: BlockEvents, start: Cursor) -> Iterator[Located]:
    """Events of a block at or after `start`."""
    height = block.height
    if height < start.height:
        return
    # A reader of a full block comes back a hundred times: what lies before its place costs it no objects.
    first_part, first_item = start[1:] if height == start.height else (0, 0)
    for part, tx_id, events in block.parts(first_part):
        for index in range(first_item if part == first_part else 0, len(events)):
            yield Located(Cursor(height, part, index), Cursor(height, part, index + 1), tx_id, events[index])


class Lagged(LimitExceeded):
    """The subscriber did not keep up; `cursor` is where it may go on."""

    def __init__(self, cursor: Cursor) -> None:
        super().__init__(
            f"too slow: events are waiting since {cursor}", hint=f"subscribe again from {cursor}"
        )
        self.cursor = cursor


Matches = Callable[[Located], bool]


def everything(item: Located) -> bool:
    """Match every event."""
    return True


class Subscription:
    """One reader. `next` gives what comes; close it when done."""

    def __init__(self, bus: EventBus, cursor: Cursor, matches: Matches, max_queue: int) -> None:
        self._bus = bus
        self._matches = matches
        self._max_queue = max_queue
        self._queue: deque[Located] = deque()
        self._wake = asyncio.Event()
        self._live = cursor.height > bus.height
        self._lagged = False
        self._closed = False
        self.cursor = cursor
        """Where the next read begins."""

    def _offer(self, block: BlockEvents) -> None:
        if not self._live or self._lagged:
            return
        for item in located(block, self.cursor):
            if self._matches(item):
                if len(self._queue) >= self._max_queue:
                    self._lagged = True
                    break
                self._queue.append(item)
        else:
            if not self._queue:
                self.cursor = Cursor(block.height + 1)
        self._wake.set()

    async def next(self, limit: int = PAGE_EVENTS) -> list[Located]:
        """At least one event, at most `limit`; empty only when closed.

        Raises Lagged once the queue overflowed and its contents were read, Pruned or NotFound if the
        replay meets a block that is no longer stored.
        """
        while not self._closed:
            if not self._live:
                found = self._replay(limit)
                if found:
                    return found
                await asyncio.sleep(0)
                continue
            if self._queue:
                items = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
                self.cursor = items[-1].next
                return items
            if self._lagged:
                raise Lagged(self.cursor)
            self._wake.clear()
            await self._wake.wait()
        return []

    def _replay(self, limit: int) -> list[Located]:
        items, self.cursor = self._bus.page(self.cursor, limit)
        if self.cursor.height > self._bus.height:
            self._live = True
        return [item for item in items if self._matches(item)]

    def close(self) -> None:
        """Leave the bus; a waiting `next` returns."""
        self._closed = True
        self._bus._leave(self)
        self._wake.set()


class EventBus:
    """Feeds subscribers after each commit. `read(height)` gives a stored block's events."""

    def __init__(
        self, read: Callable[[int], BlockEvents], height: int, *, max_queue: int = MAX_QUEUE
    ) -> None:
        self._read = read
        self._max_queue = max_queue
        self._recent: dict[int, BlockEvents] = {}
        self._replayed: dict[int, BlockEvents] = {}
        self._subscriptions: dict[Subscription, None] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self.height = height
        """The last committed height."""

    def __len__(self) -> int:
        return len(self._subscriptions)

    def publish(self, block: BlockEvents) -> None:
        """A block was committed."""
        self.height = block.height
        self._recent[block.height] = block
        self._recent.pop(block.height - RECENT_BLOCKS, None)
        for subscription in list(self._subscriptions):
            subscription._offer(block)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait_for(self, height: int) -> None:
        """Return when the block of `height` is committed."""
        while self.height < height:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def block(self, height: int) -> BlockEvents:
        """Events of one committed block. Raises Pruned or NotFound."""
        block = self._recent.get(height) or self._replayed.pop(height, None)
        if block is None:
            block = self._read(height)
        if height not in self._recent:
            self._replayed[height] = block
            if len(self._replayed) > REPLAYED_BLOCKS:
                del self._replayed[next(iter(self._replayed))]
        return block

    def page(
        self, cursor: Cursor, limit: int = PAGE_EVENTS, *, max_blocks: int = 100
    ) -> tuple[list[Located], Cursor]:
        """Events from `cursor` on, at most `limit` and of at most `max_blocks` blocks, and the next cursor.

        Raises Pruned or NotFound where a block is not stored.
        """
        items: list[Located] = []
        last = min(self.height, cursor.height + max_blocks - 1)
        for height in range(cursor.height, last + 1):
            for item in located(self.block(height), cursor):
                if len(items) == limit:
                    return items, item.cursor
                items.append(item)
            cursor = Cursor(height + 1)
        return items, cursor

    def subscribe(self, start: Cursor | None = None, matches: Matches = everything) -> Subscription:
        """A subscription from `start`, or from the next block."""
        subscription = Subscription(self, start or Cursor(self.height + 1), matches, self._max_queue)
        self._subscriptions[subscription] = None
        return subscription

    def close(self) -> None:
        """Let all subscribers go."""
        for subscription in list(self._subscriptions):
            subscription.close()

    def _leave(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)
