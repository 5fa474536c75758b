"""`events_` methods, and the feed that subscriptions read: both walk the stored blocks from a cursor.

A cursor names the next place to read (`node.events.Cursor`), so what an item or an answer carries can be
given back as it is, to either method, after any pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from node.events import BlockEvents, Cursor, Located
from node.floor import Work
from node.rpc.declare import Access, method
from node.rpc.dispatcher import Caller
from node.rpc.render import LOCATED_EVENT, TEXT, Renderer, page, shape
from node.rpc.strict_json import Json
from node.rpc.values import Cursor as CursorText
from node.rpc.values import EventFilter, EventFilterInput, Limit, Topic
from node.service import NodeService
from node.steps import EACH, Slice, Steps, drive
from qenex.block import Event
from qenex.crypto.address import Address
from qenex.errors import InvalidParams, LimitExceeded, NotFound, Pruned
from qenex.types import U32, U64

MAX_SCANNED_BLOCKS: Final = 1_000
"""Blocks that one page looks through."""
MAX_SCANNED_EVENTS: Final = 5_000
"""Events that one page looks at: about 3 ms of the event loop."""
LOOKED_PER_UNIT: Final = 5
"""Blocks or events looked at for one unit of a caller's rate."""
PAGE_ITEMS: Final = 100
PASSED_PER_UNIT: Final = 50
"""Events that a subscription's filter passes over for one unit of its caller's rate."""
ITEMS_PER_UNIT: Final = 10
"""Items rendered and sent for one unit."""


def matcher(chosen: EventFilter | None) -> Callable[[Event], bool]:
    """Whether an event is wanted: its name begins so, and a field of it is the address."""
    if chosen is None:
        return lambda event: True
    prefix, address = chosen.event or "", chosen.address

    def matches(event: Event) -> bool:
        if not event.name.startswith(prefix):
            return False
        return address is None or _contains(event.fields, address)

    return matches


def _contains(value: Any, wanted: bytes) -> bool:
    if isinstance(value, tuple):
        return any(_contains(part, wanted) for part in value)
    return type(value) is bytes and value == wanted


class EventMethods:
    """Past events by query, coming ones by subscription."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._service = service
        self._renderer = renderer

    @method(
        "events_query",
        result=page("EventPage", LOCATED_EVENT),
        rest="/events",
        cost=20,
        errors=(InvalidParams, Pruned),
    )
    async def query(
        self,
        caller: Caller,
        event: str | None = None,
        address: Address | None = None,
        from_height: U64 | None = None,
        to_height: U64 | None = None,
        limit: Limit = 50,
        cursor: CursorText | None = None,
    ) -> Json:
        """Past events in order. One call looks through a bounded stretch of the chain.

        So a page may be short, or empty, and still have a next one: read on until `next_cursor` is null.
        To follow the chain from there, give the last `cursor` to `events_subscribe`.

        Args:
            event: an event's name or a prefix of it, such as `bank.`; any event unless given.
            address: only events that name this account in a field.
            from_height: first block to look at; the earliest kept unless given.
            to_height: last block to look at; the newest unless given.
            limit: items of the page, 1 to 100.
            cursor: `next_cursor` of the page before; instead of `from_height`.
        """
        if event is not None and not 1 <= len(event) <= 64:
            raise InvalidParams("event: 1 to 64 characters of an event's name")
        service = self._service
        last = service.height if to_height is None else min(to_height, service.height)
        if cursor is not None:
            if from_height is not None:
                raise InvalidParams("either cursor or from_height says where to begin")
            start = Cursor.parse(cursor)
        else:
            earliest = max(service.ledger.blocks.earliest, service.genesis.initial_height)
            start = Cursor(earliest if from_height is None else from_height)
        steps = scan_steps(service, start, last, matcher(EventFilter(event, address)), limit)
        found = await drive(steps, Work.READS)
        caller.owe(found.looked // LOOKED_PER_UNIT)
        more = found.cursor.height <= last
        return {
            "items": [self._renderer.event(item) for item in found.items],
            "next_cursor": str(found.cursor) if more else None,
        }

    @method(
        "events_subscribe",
        result=shape("Subscribed", subscription={"type": "integer"}, cursor=TEXT),
        access=Access.SESSION,
        cost=10,
        errors=(LimitExceeded, Pruned),
    )
    async def subscribe(
        self,
        caller: Caller,
        topic: Topic,
        filter_: EventFilterInput | None = None,
        from_cursor: CursorText | None = None,
    ) -> Json:
        """Follow blocks, transactions or events on this WebSocket.

        Each `events_notification` has {subscription, topic, cursor, data}. A subscription from a cursor
        replays what followed it. A reader that stays behind gets `events_lagged` with the cursor to go on
        from, and the subscription ends; nothing is skipped in silence.

        Args:
            topic: blocks (headers), transactions (as `tx_get` answers) or events.
            filter: for events: {event, address}; for transactions: {address} of a signer.
            from_cursor: a cursor of an earlier notification or page; from the next block unless given.
        """
        assert caller.session is not None
        return await caller.session.subscribe(topic, filter_, from_cursor)

    @method("events_unsubscribe", result={"type": "boolean"}, access=Access.SESSION)
    async def unsubscribe(self, caller: Caller, subscription: U32) -> Json:
        """End a subscription of this WebSocket; true if it was open.

        Args:
            subscription: its number.
        """
        assert caller.session is not None
        return await caller.session.unsubscribe(subscription)


class Scan(NamedTuple):
    """Found events, where to read on, and how many blocks and events were looked at."""

    items: list[Located]
    cursor: Cursor
    looked: int


def scan_steps(
    service: NodeService, start: Cursor, last: int, matches: Callable[[Event], bool], limit: int
) -> Steps[Scan]:
    """Look through blocks from `start` to the height `last`, within the bounds of one call, in slices.

    Raises Pruned where blocks are no longer kept.
    """
    items: list[Located] = []
    looked = 0
    turn = Slice()
    cursor = start
    stop = min(last, start.height + MAX_SCANNED_BLOCKS - 1)
    for height in range(max(start.height, service.genesis.initial_height), stop + 1):
        looked += 1
        if turn.over():
            yield
        first_part, first_item = cursor[1:] if height == cursor.height else (0, 0)
        for part, tx_id, events in service.events.block(height).parts(first_part):
            if part % EACH == 0 and turn.over():
                yield
            for index in range(first_item if part == first_part else 0, len(events)):
                if looked >= MAX_SCANNED_EVENTS:
                    return Scan(items, Cursor(height, part, index), looked)
                looked += 1
                if matches(events[index]):
                    after = Cursor(height, part, index + 1)
                    items.append(Located(Cursor(height, part, index), after, tx_id, events[index]))
                    if len(items) == limit:
                        return Scan(items, after, looked)
        cursor = Cursor(height + 1)
    return Scan(items, max(cursor, Cursor(stop + 1)), looked)


class _Part(NamedTuple):
    """Items of a topic, where to read on, and how many events or transactions were looked at."""

    items: list[tuple[str, Json]]
    cursor: Cursor
    looked: int


class FeedPage(NamedTuple):
    """See `node.rpc.websocket.Page`."""

    items: list[tuple[str, Json]]
    cursor: str
    behind: int
    cost: int


class ChainFeed:
    """What subscriptions read: topics of committed blocks from a cursor on."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._service = service
        self._renderer = renderer
        self._pages: dict[str, Callable[[Cursor, Any], Steps[_Part]]] = {
            "blocks": self._blocks,
            "transactions": self._transactions,
            "events": self._events,
        }

    def start(self, topic: str, chosen: EventFilter | None, from_cursor: str | None) -> str:
        """The first cursor of a subscription. Raises InvalidParams or Pruned."""
        if chosen is not None and (topic == "blocks" or (topic == "transactions" and chosen.event)):
            raise InvalidParams(f"filter: {topic} cannot be filtered so")
        service = self._service
        if from_cursor is None:
            return str(Cursor(service.height + 1))
        cursor = Cursor.parse(from_cursor)
        if cursor.height > service.height + 1:
            raise NotFound(f"the cursor lies in the future, the chain stands at {service.height}")
        if cursor.height < service.ledger.blocks.earliest <= service.height:
            raise Pruned(f"blocks below {service.ledger.blocks.earliest} are no longer kept")
        return str(cursor)

    def page_steps(self, topic: str, chosen: EventFilter | None, cursor: str) -> Steps[FeedPage]:
        """What follows a cursor, bounded, in slices. Raises Pruned."""
        place = Cursor.parse(cursor)
        items: list[tuple[str, Json]] = []
        looked = 0
        if place.height <= self._service.height:
            items, place, looked = yield from self._pages[topic](place, chosen)
        cost = len(items) // ITEMS_PER_UNIT + looked // PASSED_PER_UNIT
        return FeedPage(items, str(place), max(0, self._service.height - place.height + 1), cost)

    async def wait(self, cursor: str) -> None:
        """Return when the block at a cursor exists."""
        await self._service.events.wait_for(Cursor.parse(cursor).height)

    def _blocks(self, place: Cursor, chosen: EventFilter | None) -> Steps[_Part]:
        blocks = self._service.ledger.blocks
        first = max(place.height, self._service.genesis.initial_height)
        end = min(self._service.height, first + PAGE_ITEMS - 1)
        items: list[tuple[str, Json]] = []
        turn = Slice()
        for height in range(first, end + 1):
            form = self._renderer.header(height, blocks.header(height), blocks.hash(height))
            items.append((str(Cursor(height + 1)), form))
            if turn.over():
                yield
        return _Part(items, Cursor(end + 1), 0)

    def _transactions(self, place: Cursor, chosen: EventFilter | None) -> Steps[_Part]:
        """Transactions of one block from a part on, at most a page of them."""
        service = self._service
        height = max(place.height, service.genesis.initial_height)
        block: BlockEvents = service.events.block(height)
        address = chosen.address if chosen is not None else None
        items: list[tuple[str, Json]] = []
        first = max(1, place.part) if height == place.height else 1
        count = len(block.transactions)
        turn = Slice()
        for part in range(first, min(count, first + PAGE_ITEMS - 1) + 1):
            found = service.included(height, part - 1)
            if address is None or any(signer.address == address for signer in found.tx.signers):
                items.append((str(Cursor(height, part + 1)), self._renderer.included(found)))
            if turn.over():
                yield
        after = first + PAGE_ITEMS
        cursor = Cursor(height, after) if after <= count else Cursor(height + 1)
        return _Part(items, cursor, 10 * min(count, PAGE_ITEMS))  # each is decoded, with its receipt

    def _events(self, place: Cursor, chosen: EventFilter | None) -> Steps[_Part]:
        found = yield from scan_steps(self._service, place, self._service.height, matcher(chosen), PAGE_ITEMS)
        items = [(str(item.next), self._renderer.event(item)) for item in found.items]
        return _Part(items, found.cursor, found.looked)
