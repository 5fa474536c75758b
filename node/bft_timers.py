"""The timeouts of the height in progress, on the event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Place = tuple[int, int, int]
"""Height, round, step."""


class Timers:
    """Timeouts by place. `fire(height, round, step)` is called once for each that is neither cancelled nor held."""

    def __init__(self, fire: Callable[[int, int, int], None]) -> None:
        self._fire = fire
        self._running: dict[Place, asyncio.TimerHandle] = {}
        self._held: dict[Place, float] = {}

    def start(self, place: Place, seconds: float) -> None:
        """Begin to count, unless this one counts already."""
        if place not in self._running:
            self._held.pop(place, None)
            self._running[place] = asyncio.get_running_loop().call_later(seconds, self._expire, place)

    def hold(self, place: Place, seconds: float) -> None:
        """Keep a timeout that begins to count at `release`."""
        if place not in self._running:
            self._held[place] = seconds

    def release(self) -> None:
        """Begin to count those that were held."""
        held, self._held = self._held, {}
        for place, seconds in held.items():
            self.start(place, seconds)

    @property
    def holds(self) -> bool:
        """Whether one is held."""
        return bool(self._held)

    def clear(self) -> None:
        """Forget all: another height begins, or the engine stops."""
        for handle in self._running.values():
            handle.cancel()
        self._running.clear()
        self._held.clear()

    def _expire(self, place: Place) -> None:
        if self._running.pop(place, None) is not None:
            self._fire(*place)
