"""Subscribers get every event once and in order, from any cursor, or are told that they lag."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.events import BlockEvents, Cursor, EventBus, Lagged, Located
from qenex.block import Event
from qenex.errors import InvalidParams, NotFound


def block(height: int, *counts: int) -> BlockEvents:
    """Begin, one per transaction..., end: how many events each."""
    parts = [tuple(Event(f"t.e{height}_{p}_{i}", ()) for i in range(n)) for p, n in enumerate(counts)]
    transactions = tuple((bytes([p]) * 32, events) for p, events in enumerate(parts[1:-1]))
    return BlockEvents(height, parts[0], transactions, parts[-1])


class Chain:
    """Stored blocks behind a bus."""

    def __init__(self, max_queue: int = 100) -> None:
        self.blocks: dict[int, BlockEvents] = {}
        self.bus = EventBus(self.read, 0, max_queue=max_queue)

    def read(self, height: int) -> BlockEvents:
        if height not in self.blocks:
            raise NotFound(f"block {height}")
        return self.blocks[height]

    def commit(self, *counts: int) -> None:
        new = block(len(self.blocks) + 1, *counts)
        self.blocks[new.height] = new
        self.bus.publish(new)


def names(items: list[Located]) -> list[str]:
    return [item.event.name for item in items]


async def test_a_new_subscriber_gets_what_comes_and_not_what_was():
    chain = Chain()
    chain.commit(1, 1, 1)
    subscription = chain.bus.subscribe()
    chain.commit(1, 2, 0)
    assert names(await subscription.next()) == ["t.e2_0_0", "t.e2_1_0", "t.e2_1_1"]


async def test_a_subscriber_replays_from_its_cursor_and_goes_on_live():
    chain = Chain()
    for _ in range(50):
        chain.commit(1, 1, 1)
    chain.bus._recent.clear()
    subscription = chain.bus.subscribe(Cursor(10, 1, 0))
    seen: list[str] = []
    while len(seen) < 3 * 41 - 1:
        seen += names(await subscription.next(7))
    chain.commit(0, 1, 0)
    seen += names(await subscription.next())
    assert seen[0] == "t.e10_1_0"
    assert seen[-1] == "t.e51_1_0"
    assert len(seen) == len(set(seen)) == 3 * 41


async def test_a_slow_reader_gets_what_was_queued_and_then_is_told():
    chain = Chain(max_queue=5)
    subscription = chain.bus.subscribe()
    for _ in range(4):
        chain.commit(0, 2, 0)
    assert len(await subscription.next()) == 5
    with pytest.raises(Lagged) as caught:
        await subscription.next()
    again = chain.bus.subscribe(caught.value.cursor)
    assert names(await again.next()) == ["t.e3_1_1", "t.e4_1_0", "t.e4_1_1"]


async def test_waiting_ends_with_the_block_and_closing_ends_waiting():
    chain = Chain()
    waiting = asyncio.create_task(chain.bus.wait_for(2))
    subscription = chain.bus.subscribe()
    reading = asyncio.create_task(subscription.next())
    await asyncio.sleep(0)
    chain.commit(0, 0)
    await asyncio.sleep(0)
    assert not waiting.done()
    chain.commit(0, 0)
    await waiting
    subscription.close()
    assert await reading == []
    assert len(chain.bus) == 0


async def test_a_replay_of_what_is_not_stored_says_so():
    chain = Chain()
    chain.commit(1, 1)
    del chain.blocks[1]
    chain.bus._recent.clear()
    with pytest.raises(NotFound):
        await chain.bus.subscribe(Cursor(1)).next()


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "-1.0.0", "1.x.0", "1.0.0 ", "٣.0.0", "1" * 65])
def test_a_wrong_cursor_is_refused(text: str):
    with pytest.raises(InvalidParams):
        Cursor.parse(text)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=5), max_size=8),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_pages_of_any_size_give_each_event_once(
    counts: list[list[int]], limit: int, blocks: int, forget: bool
):
    chain = Chain()
    for block_counts in counts:
        chain.commit(*block_counts)
    if forget:
        chain.bus._recent.clear()
    cursor = Cursor(1)
    seen: list[str] = []
    while cursor.height <= len(counts):
        items, cursor = chain.bus.page(cursor, limit, max_blocks=blocks)
        assert len(items) <= limit
        seen += names(items)
    expected = [
        event.name
        for height in chain.blocks
        for _, _, events in chain.blocks[height].parts()
        for event in events
    ]
    assert seen == expected


@given(st.tuples(*[st.integers(0, 2**63)] * 3))
def test_a_cursor_survives_its_text(parts: tuple[int, int, int]):
    assert Cursor.parse(str(Cursor(*parts))) == Cursor(*parts)


def test_who_pages_through_an_old_block_does_not_have_it_decoded_again_each_time():
    chain = Chain()
    for _ in range(50):
        chain.commit(1, 1, 1)
    chain.bus._recent.clear()
    reads: list[int] = []

    def read(height: int) -> BlockEvents:
        reads.append(height)
        return chain.read(height)

    chain.bus._read = read
    for height in (1, 1, 2, 1, 3, 4, 1, 5, 1, 2):
        assert chain.bus.block(height).height == height
    assert reads == [1, 2, 3, 4, 5, 2]
