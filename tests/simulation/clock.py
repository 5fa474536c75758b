"""Virtual time: what is due runs in order of time, and of its making where times are equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS
START: Final = 1_700_000_000 * SECOND
"""Nanoseconds since 1970 at which every simulated chain begins."""


class Clock:
    """`now` is nanoseconds since 1970. Nothing else in a simulation knows a time."""

    def __init__(self) -> None:
        self.now = START
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.made = 0
        """Calls asked for so far."""

    def at(self, time: int, call: Callable[..., None], *given: Any) -> None:
        """Call at `time`, which is not in the past."""
        self.made += 1
        heapq.heappush(self._due, (time, self.made, call, given))

    def after(self, delay: int, call: Callable[..., None], *given: Any) -> None:
        """Call `delay` ns from now."""
        self.made += 1
        heapq.heappush(self._due, (self.now + delay, self.made, call, given))

    def run(self, until: int, finished: Callable[[], bool]) -> None:
        """Run what is due up to `until`, or until `finished`, which is asked after each call."""
        due, pop = self._due, heapq.heappop
        while due and due[0][0] <= until:
            self.now, _, call, given = pop(due)
            call(*given)
            if finished():
                return
        self.now = max(self.now, until)
