"""When there is a reason to propose: the same rule for him who proposes and for those who wait."""

from __future__ import annotations

import asyncio

import pytest

from node.bft_bodies import MAX_BODIES, Bodies
from node.bft_pace import EMPTY_FACTOR, GATHER, GLANCE, SPREAD, Intervals, Pace
from node.bft_timers import Timers
from qenex.block import Block, Header
from qenex.crypto.address import Address

INTERVALS = Intervals(minimum=0.02, settle=1.0, idle=10.0)


class World:
    """A clock and a pool that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting = self.coming = 0
        self.pace = Pace(INTERVALS, lambda: self.waiting, lambda: self.coming, lambda: self.now)
        self.pace.begin(empty_chain=False)
        self.pace.decided(eventful=False, took=False)

    def left(self) -> float:
        return self.pace.seconds_left()


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_block_of_a_chain_comes_at_once(world: World):
    world.pace.begin(empty_chain=True)
    assert world.left() <= 0


def test_after_a_start_the_last_root_gets_its_header_soon(world: World):
    world.pace.begin(empty_chain=False)
    assert world.left() == pytest.approx(1.0)


def test_an_eventful_block_is_settled_and_an_empty_one_followed_after_idle(world: World):
    world.pace.decided(eventful=True, took=True)
    assert world.left() == pytest.approx(1.0)
    world.now += 1.0
    assert world.left() <= 0
    world.pace.decided(eventful=False, took=False)
    assert world.left() == pytest.approx(10.0)


def test_while_more_comes_than_is_ready_it_is_gathered_for_a_while(world: World):
    """Small blocks left the verification no time, and so the next blocks were small: 75 blocks where 15 do."""
    world.waiting, world.coming = 300, 5_000
    world.pace.admitted()
    assert world.left() == pytest.approx(0.02)
    world.now += 0.03
    began = world.now
    while (left := world.left()) > 0:
        assert left <= GLANCE, "looked at again soon: it may come to nothing"
        world.now += left
    assert world.now == pytest.approx(began + GATHER)
    assert world.left() <= 0, "and it stays a reason"


def test_once_less_comes_than_is_ready_nothing_is_gathered(world: World):
    world.waiting, world.coming = 300, 301
    world.pace.admitted()
    world.now += 0.03
    assert world.left() > 0
    world.coming = 300
    assert world.left() <= 0


def test_each_block_has_its_own_time_to_gather(world: World):
    world.waiting, world.coming = 300, 5_000
    for _ in range(2):
        world.pace.admitted()
        world.now += 0.03
        assert world.left() > 0
        world.now += GATHER
        assert world.left() <= 0
        world.pace.decided(eventful=True, took=True)


def test_what_comes_keeps_nobody_from_a_block_that_others_want(world: World):
    world.waiting, world.coming = 1, 5_000
    world.now += 0.03
    assert world.left() > 0
    world.pace.others_act()
    assert world.left() <= 0


def test_a_transaction_is_a_reason_at_once_but_not_before_the_least_interval(world: World):
    world.waiting = 1
    world.pace.admitted()
    assert world.left() == pytest.approx(0.02)
    world.now += 5
    assert world.left() <= 0


def test_what_a_full_block_left_over_is_a_reason(world: World):
    world.waiting = 5
    world.pace.admitted()
    world.pace.decided(eventful=True, took=True)
    assert world.left() == pytest.approx(0.02)


def test_a_transaction_that_came_while_an_empty_block_was_voted_on_does_not_wait_for_idle(world: World):
    world.waiting = 1
    world.pace.admitted()
    world.now += 0.5
    world.pace.decided(eventful=False, took=False)
    assert world.left() <= 0.08


def test_what_no_block_takes_makes_few_empty_blocks_and_then_none(world: World):
    world.waiting = 1
    world.pace.admitted()
    blocks = 0
    start = world.now
    while world.now < start + 9:
        wait = world.left()
        if wait > 0:
            world.now += wait
        if world.now < start + 9:
            world.pace.decided(eventful=False, took=False)
            blocks += 1
    assert blocks <= 5
    assert not world.pace.has_fresh
    world.pace.admitted()
    assert world.pace.has_fresh


def test_a_transaction_after_an_idle_block_does_not_pay_for_earlier_empty_ones(world: World):
    for _ in range(5):
        world.now += 10
        world.pace.decided(eventful=False, took=False)
    world.waiting = 1
    world.pace.admitted()
    assert world.left() == pytest.approx(0.02)


def test_anothers_act_is_a_reason_until_the_height_is_decided(world: World):
    world.pace.others_act()
    assert world.left() <= 0
    world.pace.decided(eventful=False, took=False)
    assert world.left() > 9


def test_the_constants_bound_the_empty_blocks():
    assert INTERVALS.minimum * EMPTY_FACTOR**3 > SPREAD


# -- timers ---------------------------------------------------------------------------------------


async def test_a_held_timeout_counts_from_its_release():
    fired: list[tuple[int, int, int]] = []
    timers = Timers(lambda *place: fired.append(place))
    timers.hold((1, 0, 1), 0.01)
    await asyncio.sleep(0.03)
    assert not fired
    assert timers.holds
    timers.release()
    timers.start((1, 0, 1), 0.0)  # counts already: not again
    await asyncio.sleep(0.03)
    assert fired == [(1, 0, 1)]


async def test_timeouts_of_an_old_height_never_fire():
    fired: list[tuple[int, int, int]] = []
    timers = Timers(lambda *place: fired.append(place))
    timers.start((1, 0, 1), 0.0)
    timers.hold((1, 0, 2), 0.0)
    timers.clear()
    timers.release()
    await asyncio.sleep(0.02)
    assert not fired


# -- bodies ---------------------------------------------------------------------------------------


def body(number: int) -> Block:
    empty = bytes(32)
    header = Header(1, "c", number, 0, empty, Address(empty), *[empty] * 8)
    return Block(header, (), (), None)


async def test_whoever_waits_for_a_body_gets_it():
    bodies = Bodies()
    waiting = asyncio.ensure_future(bodies.wait(b"a"))
    await asyncio.sleep(0)
    bodies.put(b"a", body(1))
    assert (await waiting).header.height == 1
    assert (await bodies.wait(b"a")).header.height == 1


async def test_bodies_are_bounded_and_the_ones_needed_stay():
    bodies = Bodies()
    bodies.keep(b"0")
    for number in range(3 * MAX_BODIES):
        bodies.put(b"%d" % number, body(number))
    assert b"0" in bodies
    assert b"1" not in bodies
    assert b"%d" % (3 * MAX_BODIES - 1) in bodies
    assert sum(b"%d" % number in bodies for number in range(3 * MAX_BODIES)) <= MAX_BODIES


async def test_the_end_of_a_height_ends_the_waiting():
    bodies = Bodies()
    waiting = asyncio.ensure_future(bodies.wait(b"a"))
    await asyncio.sleep(0)
    bodies.clear()
    with pytest.raises(asyncio.CancelledError):
        await waiting
