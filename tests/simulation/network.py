"""The links between the nodes: each message is lost, doubled, late or on time, as the seed says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tests.simulation.clock import MS, Clock


class Weather(NamedTuple):
    """Shares of messages lost, doubled and very late; delays in ns."""

    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    bodiless: float = 0.0
    """Share of proposals that come without their block, which then has to be asked for."""
    delay: int = 5 * MS
    jitter: int = 10 * MS
    lateness: int = 800 * MS


CALM = Weather()


class Network:
    """Delivers to `receivers[node](sender, message)`. A message is an immutable object that all nodes share."""

    def __init__(self, clock: Clock, luck: Random, count: int, faults: Counter[str]) -> None:
        self._clock = clock
        self._random = luck.random
        self._faults = faults
        self._cut = [[0] * count for _ in range(count)]
        self.receivers: list[Callable[[int, Any], None]] = []
        self.weather = CALM
        self.sent = 0

    def send(self, sender: int, receiver: int, message: Any) -> None:
        """Maybe deliver it, some time."""
        self.sent += 1
        weather, random, faults = self.weather, self._random, self._faults
        if self._cut[sender][receiver]:
            faults["partition"] += 1
            return
        if weather.loss and random() < weather.loss:
            faults["loss"] += 1
            return
        delay = weather.delay + int(random() * weather.jitter)
        if weather.late and random() < weather.late:
            faults["delay"] += 1
            delay += int(random() * weather.lateness)
        self._clock.after(delay, self.receivers[receiver], sender, message)
        if weather.duplicate and random() < weather.duplicate:
            faults["duplicate"] += 1
            self._clock.after(
                delay + int(random() * weather.lateness), self.receivers[receiver], sender, message
            )

    def cut(self, pairs: tuple[tuple[int, int], ...]) -> None:
        """Nothing goes from the first of each pair to the second, until as many `mend` as `cut` were called."""
        for sender, receiver in pairs:
            self._cut[sender][receiver] += 1

    def mend(self, pairs: tuple[tuple[int, int], ...]) -> None:
        """Undo one `cut`."""
        for sender, receiver in pairs:
            self._cut[sender][receiver] -= 1

    def heal(self) -> None:
        """Undo all cuts."""
        for row in self._cut:
            row[:] = [0] * len(row)
