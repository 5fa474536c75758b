"""Long work in slices: a generator that yields between them, run at once or on the event loop."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, TypeVar

from node.floor import SLICE_SECONDS, Work, floor

T = TypeVar("T")

EACH: Final = 8
"""Where an item takes some microseconds the clock is looked at after so many: a look costs 0.1 us."""

Steps = Generator[None, None, T]


class Slice:
    """Tells when it is time to yield. Wall time decides only when others run, never what is computed."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.monotonic() + SLICE_SECONDS

    def over(self) -> bool:
        """Whether the slice has lasted long enough; if so the next one begins with the next question."""
        now = time.monotonic()
        if now < self._until:
            return False
        if not self._until:  # others had their turn since it was over, however long that took
            self._until = now + SLICE_SECONDS
            if now < self._until:
                return False
        self._until = 0.0
        return True

    async def pause(self, work: Work) -> None:
        """Give others their turn; the next slice begins then."""
        self._until = await floor().take(work) + time.monotonic()


def run(steps: Steps[T]) -> T:
    """All at once: for a caller without an event loop."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


async def drive(steps: Steps[T], work: Work = Work.BLOCKS) -> T:
    """Slice by slice, others in between: see `node.floor`."""
    ground = floor()
    try:
        until = await ground.enter(work) + time.monotonic()
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if time.monotonic() >= until:
                until = await ground.take(work) + time.monotonic()
    finally:
        steps.close()
