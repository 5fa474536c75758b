"""Long work in slices: how long one lasts, and that a break of others' making is no part of it."""

from __future__ import annotations

import asyncio

import pytest

from node import steps
from node.floor import Work
from node.steps import Slice, Steps, drive, run
from tests.node.chain_helpers import until

MS = 2.0**-10
"""About a ms, and sums of it are exact."""


class Clock:
    """Stands in for `time`: work takes as long as a test says."""

    def __init__(self) -> None:
        self.now = 1_024.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(steps, "time", found)
    monkeypatch.setattr("node.floor.time", found)
    return found


def working(
    clock: Clock, seen: list[str], count: int, name: str = "work", seconds: float = 0.004
) -> Steps[int]:
    for _ in range(count):
        seen.append(name)
        clock.now += seconds
        yield
    return count


def test_a_slice_is_over_after_its_time_and_begins_anew_when_it_goes_on(clock: Clock) -> None:
    turn = Slice()
    assert not turn.over()
    clock.now += 0.005
    assert turn.over()
    clock.now += 1.0  # others had the loop
    assert not turn.over()
    clock.now += 0.003
    assert not turn.over()
    clock.now += 0.002
    assert turn.over()


def test_what_came_in_a_slice_is_received_and_answered_before_the_next(clock: Clock) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def receive() -> None:
            loop.call_soon(seen.append, "answer")

        steps = working(clock, seen, 3)

        def arriving() -> Steps[int]:
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    return int(stop.value)
                loop.call_soon(receive)  # as a socket would
                yield

        assert await drive(arriving()) == 3

    asyncio.run(scenario())
    assert seen == ["work", "answer", "work", "answer", "work", "answer"]


def test_several_share_one_floor_and_not_each_a_slice_a_turn(clock: Clock) -> None:
    seen: list[str] = []
    turns: list[list[str]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        running = True

        def look() -> None:
            turns.append(list(seen))
            seen.clear()
            if running:
                loop.call_soon(look)

        loop.call_soon(look)
        await asyncio.gather(
            *[drive(working(clock, seen, 5, name)) for name in "ab"],
            *[drive(working(clock, seen, 5, name), Work.ADMISSION) for name in "cd"],
        )
        running = False

    asyncio.run(scenario())
    assert max([len(turn) for turn in turns]) == 1
    assert sum([len(turn) for turn in turns]) + len(seen) == 20


def test_kinds_share_by_weight_where_all_wait(clock: Clock) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        running = [asyncio.create_task(drive(working(clock, seen, 10**9, work.name), work)) for work in Work]
        await until(lambda: len(seen) >= 60)
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    asyncio.run(scenario())
    counted = [seen[:60].count(work.name) for work in Work]
    assert counted[0] in (29, 30, 31)
    assert counted[1] in (14, 15, 16)
    assert counted[2] in (14, 15, 16)


def test_short_slices_count_as_what_they_took(clock: Clock) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        async def small() -> None:
            for _ in range(400):
                await drive(working(clock, seen, 1, "small", 0.0005), Work.READS)

        many = asyncio.gather(small(), small())
        await drive(working(clock, seen, 40, "block"))
        await many

    asyncio.run(scenario())
    # 40 slices of a block are 160 ms; by its weight the other kind has 80 ms of them: 160 short ones.
    last_block = len(seen) - 1 - seen[::-1].index("block")
    assert 140 <= seen[:last_block].count("small") <= 180


def test_a_flood_of_short_work_leaves_as_much_to_long_work_up_to_a_bound(clock: Clock) -> None:
    bursts: list[int] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        running, seconds = True, 3 * MS
        seen: list[str] = []

        def flood() -> None:
            clock.now += seconds
            if seen:
                bursts.append(len(seen))
                seen.clear()
            if running:
                loop.call_soon(flood)

        loop.call_soon(flood)
        await drive(working(clock, seen, 40, seconds=MS))
        assert set(bursts[1:-1]) == {5}  # of three turns, 9 ms, a third is less than a slice
        bursts.clear()
        seconds = 8 * MS
        await drive(working(clock, seen, 40, seconds=MS))
        assert set(bursts[1:-1]) == {8}
        bursts.clear()
        seconds = 0.1
        await drive(working(clock, seen, 80, seconds=MS))
        assert set(bursts[1:-1]) == {17}  # 16 ms and what is over
        running = False

    asyncio.run(scenario())


async def test_cancelled_work_leaves_the_floor_to_others(clock: Clock) -> None:
    seen: list[str] = []
    first = asyncio.create_task(drive(working(clock, seen, 10**9, "first")))
    second = asyncio.create_task(drive(working(clock, seen, 100, "second")))
    await until(lambda: seen.count("second") >= 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 100


def test_at_once_means_without_a_loop(clock: Clock) -> None:
    assert run(working(clock, [], 3)) == 3
