"""What an engine is told, and what it tells of itself."""

from __future__ import annotations

from typing import Final, NamedTuple

from consensus.events import Step
from node.bft_pace import Intervals
from qenex.block import MAX_BLOCK_SIZE

MAX_GROWTH: Final = 200
"""Rounds over which the window grows: by then it is 10^8 times as wide."""


class Window(NamedTuple):
    """How far a proposal's time may lie from the clock that receives it: protocol.md, `Block`; in ns."""

    precision_ns: int = 500_000_000
    message_delay_ns: int = 4_000_000_000

    def holds(self, time: int, received: int, round: int) -> bool:
        """Whether a block of this `time`, proposed in `round`, was received in time. All in ns."""
        grown = min(round, MAX_GROWTH)
        delay: int = self.message_delay_ns * 11**grown // 10**grown
        return time - self.precision_ns <= received <= time + self.precision_ns + delay


class Timeouts(NamedTuple):
    """Seconds a round waits; see `node.settings.ConsensusSettings`."""

    propose: float = 3.0
    prevote: float = 1.0
    precommit: float = 1.0
    delta: float = 0.5

    def seconds(self, step: Step, round: int) -> float:
        """How long a timeout of this step lasts in this round."""
        base = {Step.PROPOSE: self.propose, Step.PREVOTE: self.prevote, Step.PRECOMMIT: self.precommit}
        return base.get(step, 0.0) + self.delta * round


class EngineOptions(NamedTuple):
    """How an engine behaves. `max_block_bytes` bounds the transactions of its own proposals."""

    intervals: Intervals = Intervals()
    timeouts: Timeouts = Timeouts()
    window: Window = Window()
    max_block_bytes: int = MAX_BLOCK_SIZE


class EngineStatus(NamedTuple):
    """Where an engine stands: the height it works on, its round, and its step."""

    height: int
    round: int
    step: str
