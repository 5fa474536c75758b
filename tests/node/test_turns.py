"""Work in turns with the event loop: one of both at a time, and no thread is left behind."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable

import pytest

from node import turns
from node.turns import Turns


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every offer is taken."""
    monkeypatch.setattr(turns, "SLICE_SECONDS", -1.0)


def threads() -> int:
    return sum(thread.name == "turns" for thread in threading.enumerate())


async def test_the_result_of_the_work_is_returned():
    assert await Turns(lambda offer: 7).run() == 7
    assert threads() == 0


@pytest.mark.usefixtures("always")
async def test_loop_and_work_never_run_at_the_same_time():
    inside = False
    switches: list[str] = []

    def work(offer: Callable[[], None]) -> None:
        nonlocal inside
        for _ in range(20):
            inside = True
            time.sleep(0.001)  # the interpreter lock is free: nothing but the turns keeps the loop out
            switches.append("work")
            inside = False
            offer()

    async def others() -> None:
        while True:
            assert not inside
            switches.append("loop")
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    await Turns(work).run()
    assert not other.done() or other.exception() is None
    other.cancel()
    assert switches.count("work") == 20
    assert not any(pair == ("work", "work") for pair in itertools.pairwise(switches))


@pytest.mark.parametrize("kind", [ValueError, BaseException])
async def test_what_the_work_raises_comes_to_who_waits(kind: type[BaseException]):
    def work(offer: Callable[[], None]) -> None:
        offer()
        raise kind("told")

    with pytest.raises(kind, match="told"):
        await Turns(work).run()
    assert threads() == 0


@pytest.mark.usefixtures("always")
async def test_a_cancelled_wait_ends_the_work():
    unwound = False

    def work(offer: Callable[[], None]) -> None:
        nonlocal unwound
        try:
            while True:
                offer()
        finally:
            unwound = True

    waiting = asyncio.create_task(Turns(work).run())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert unwound
    assert threads() == 0


async def test_long_work_holds_the_loop_for_a_slice_at_a_time():
    def work(offer: Callable[[], None]) -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            offer()

    gaps: list[float] = []

    async def watch() -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            gaps.append(now - before)
            before = now

    watching = asyncio.create_task(watch())
    await Turns(work).run()
    watching.cancel()
    long = [gap for gap in gaps if gap > 0.05]  # all in one go would be a gap of 0.3 s
    assert len(gaps) > 20
    assert len(long) <= 1, long  # a busy machine may interrupt once
