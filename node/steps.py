"""Long work in slices: a generator that yields between them, run at once or on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

T = TypeVar("T")

SLICE_SECONDS: Final = 0.004
"""A slice ends soon after this, so that votes and requests never wait longer than about 5 ms."""

EACH: Final = 8
"""Where an item takes some microseconds the clock is looked at after so many: a look costs 0.1 us."""

Steps = Generator[None, None, T]


class Slice:
    """Tells when it is time to yield. Wall time decides only when others run, never what is computed."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.monotonic() + SLICE_SECONDS

    def over(self) -> bool:
        """Whether the slice has lasted long enough; if so the next one begins."""
        now = time.monotonic()
        if now < self._until:
            return False
        self._until = now + SLICE_SECONDS
        return True


def run(steps: Steps[T]) -> T:
    """All at once: for a caller without an event loop."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


async def drive(steps: Steps[T], *, burst: int = 1) -> T:
    """Slice by slice, others in between; `burst` slices at a time."""
    try:
        while True:
            for _ in range(burst):
                try:
                    next(steps)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
            await asyncio.sleep(0)
    finally:
        steps.close()
