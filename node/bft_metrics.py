"""What the engine counts: rounds, steps, what came late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from consensus.events import Step
from node.metrics import NodeMetrics

STEPS: Final = {Step.PROPOSE: "propose", Step.PREVOTE: "prevote", Step.PRECOMMIT: "precommit"}


class EngineMetrics:
    """Plain numbers, and the time spent in each step of a round (`NodeMetrics.steps`)."""

    def __init__(self, metrics: NodeMetrics) -> None:
        self._steps = metrics.steps
        self._since = time.monotonic()
        self.late = 0
        """Messages of a height that was decided here already."""
        self.failed_rounds = 0
        """Rounds that ended without a decision."""

    def stepped(self, before: tuple[int, Step], after: tuple[int, Step]) -> None:
        """The core went from one round and step to another."""
        now = time.monotonic()
        name = STEPS.get(before[1])
        if name is not None:
            self._steps[name].observe(now - self._since)
        self._since = now
        if after[0] > before[0]:
            self.failed_rounds += after[0] - before[0]

    def entered_height(self) -> None:
        """Another height begins: what its first step takes counts from here."""
        self._since = time.monotonic()

    def watch(self, metrics: NodeMetrics, more: dict[str, tuple[str, Callable[[], int]]]) -> None:
        """Declare the counters, these and `more` (name: description and reader)."""
        counters = {
            "consensus_failed_rounds_total": (
                "Rounds that ended without a decision",
                lambda: self.failed_rounds,
            ),
            "consensus_late_messages_total": (
                "Votes and proposals of a height that was decided here already",
                lambda: self.late,
            ),
            **more,
        }
        for name, (doc, read) in counters.items():
            metrics.watch_counter(name, doc, read)
