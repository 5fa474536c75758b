"""The cycle collector stays out of the way of blocks, and still ends what only it can end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from node import garbage


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


@pytest.mark.parametrize("idle", [True, False])
async def test_cycles_end_when_nothing_waits(monkeypatch: pytest.MonkeyPatch, idle: bool) -> None:
    monkeypatch.setattr(garbage, "IDLE_SECONDS", 0.0)
    garbage.settle()
    dead = weakref.ref(Knot())
    task = asyncio.create_task(garbage.collect_when_idle(lambda: idle))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    assert (dead() is None) is idle
