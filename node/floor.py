"""Who holds the event loop: long work has the floor for a slice at a time, one after the other, and everything short comes in between.

Work that takes longer than a few ms (blocks, admission of many transactions, large requests) asks for the floor before each of its slices.
Between two slices, whoever's they are, the loop runs three times: what came meanwhile is received, and answered. So a request that is not
long itself waits for one slice, however much long work there is. Without that, every piece of long work had a slice, or four, each
time the loop ran.

Among those who wait, kinds of work share by weight and by the time that their slices took; within a kind the first comes first.
Short work is never kept waiting, so a flood of it could leave nothing to blocks. Therefore a slice may last a third of what everything else
took since the last one, up to `LONGEST_SLICES` slices: a quarter of the loop is left to long work. (Half of it would lengthen slices at half load
already, for what comes during a slice is answered after it.)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import IntEnum
from typing import Final
from weakref import WeakKeyDictionary

SLICE_SECONDS: Final = 0.004
"""A slice ends soon after this."""
LONGEST_SLICES: Final = 4.0
SHARE_OF_OTHERS: Final = 1 / 3


class Work(IntEnum):
    """Kinds of long work."""

    BLOCKS = 0
    ADMISSION = 1
    READS = 2


WEIGHTS: Final = (2.0, 1.0, 1.0)
"""Of each kind, where all of them wait: blocks bring down what the others leave behind."""


class Floor:
    """See the module. Its clock decides when others run, never what is computed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = tuple([deque() for _ in Work])
        self._used = [0.0 for _ in Work]
        """Seconds of the slices of each kind, by weight."""
        self._reached = 0.0
        """The same of who was given the last slice, before it: what all who wait have had at least."""
        self._given = Work.BLOCKS
        """Whose slice the last one was."""
        self._running = False
        """Whether a slice is on its way or others have their turn after one."""
        self._began = self._ended = time.monotonic()
        """The last slice."""

    async def enter(self, work: Work) -> float:
        """Begin long work: at once if nobody else is at it, else as `take`. Returns for how many seconds it may go on."""
        now = time.monotonic()
        if self._running or now - self._ended < SLICE_SECONDS:
            return await self.take(work)
        self._began = self._ended = now
        self._given, self._running = work, True
        self._loop.call_soon(self._after)
        return SLICE_SECONDS

    async def take(self, work: Work) -> float:
        """Wait for the next slice of this kind; returns for how many seconds it may go on."""
        future: asyncio.Future[None] = self._loop.create_future()
        queue = self._waiting[work]
        if not queue:  # who was away has nothing to make up for
            self._used[work] = max(self._used[work], self._reached)
        queue.append(future)
        if not self._running:
            self._running = True
            self._loop.call_soon(self._between)
        await future
        self._began = now = time.monotonic()
        others = now - self._ended
        return min(max(SHARE_OF_OTHERS * others, SLICE_SECONDS), LONGEST_SLICES * SLICE_SECONDS)

    def _after(self) -> None:
        """Right after a slice: count it, then let the loop run."""
        self._ended = time.monotonic()
        self._used[self._given] += (self._ended - self._began) / WEIGHTS[self._given]
        self._loop.call_soon(self._between)

    def _between(self) -> None:
        """What came during the slice is received now, and answered when the loop runs next."""
        self._loop.call_soon(self._give)

    def _give(self) -> None:
        """Give the next slice, if somebody waits for one."""
        chosen: Work | None = None
        for kind in Work:
            queue = self._waiting[kind]
            while queue and queue[0].done():  # cancelled
                queue.popleft()
            if queue and (chosen is None or self._used[kind] < self._used[chosen]):
                chosen = kind
        if chosen is None:
            self._running = False
            return
        self._given, self._reached = chosen, self._used[chosen]
        self._waiting[chosen].popleft().set_result(None)
        self._loop.call_soon(self._after)


_floors: WeakKeyDictionary[asyncio.AbstractEventLoop, Floor] = WeakKeyDictionary()


def floor() -> Floor:
    """The floor of the running event loop: all that runs on it shares it."""
    loop = asyncio.get_running_loop()
    found = _floors.get(loop)
    if found is None:
        found = _floors[loop] = Floor(loop)
    return found
