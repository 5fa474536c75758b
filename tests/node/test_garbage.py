"""The cycle collector stays out of the way of blocks, and still ends what only it can end."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from node import garbage
from tests.node.chain_helpers import until


class Knot:
    """Refers to itself: dies by the collector alone."""

    def __init__(self) -> None:
        self.knot = self


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    yield
    garbage.release()


def test_settled_objects_are_not_walked_and_young_ones_only_after_a_million() -> None:
    before = gc.get_threshold()
    garbage.settle()
    assert gc.get_threshold() == garbage.THRESHOLDS
    assert gc.get_freeze_count() > 1_000
    garbage.release()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


async def looked(waiting: int, looks: int = 10) -> None:
    """Let it look so many times at least, while so many transactions wait."""
    seen = 0

    def count() -> int:
        nonlocal seen
        seen += 1
        return waiting

    task = asyncio.create_task(garbage.collect_when_idle(count))
    await until(lambda: seen > looks)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(garbage, "IDLE_LOOKS", 3)
    garbage.settle()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("waiting", [0, 1])
async def test_cycles_end_when_nothing_waits(waiting: int) -> None:
    dead = weakref.ref(Knot())
    await looked(waiting)
    assert (dead() is None) is (waiting == 0)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("waiting", "walked"), [(garbage.FEW, True), (garbage.FEW + 1, False)])
async def test_many_young_objects_are_walked_where_few_transactions_wait(waiting: int, walked: bool) -> None:
    dead = weakref.ref(Knot())
    kept = [[number] for number in range(garbage.MANY)]
    assert gc.get_count()[0] >= garbage.MANY
    await looked(waiting)
    assert (dead() is None) is walked
    assert len(kept) == garbage.MANY
    assert (gc.get_count()[0] < garbage.MANY) is walked


@pytest.mark.usefixtures("_quick")
async def test_large_pages_are_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def collapse(seconds: float) -> int:
        threads.append(threading.current_thread())
        return 0

    monkeypatch.setattr("node.pages.collapse", collapse)
    await looked(0)
    assert threads
    assert threading.main_thread() not in threads
