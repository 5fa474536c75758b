"""Where this node and its peers stand: the core's summary on the wire, and what a peer lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consensus import catchup
from consensus.events import Message
from consensus.height import Core
from node.bft_bodies import Bodies
from p2p.messages import MAX_BODIES, RoundSummary, Summary
from qenex.block import Commit, SignedProposal

REPEAT_SECONDS: Final = 0.3
"""The same message goes to the same peer no more often than this, whatever its summaries say."""
MAX_PEERS: Final = 256
MAX_REMEMBERED: Final = 2_048
"""Messages remembered for one peer."""


class Summaries:
    """See the module. One for each core; `now` is monotonic, in seconds."""

    def __init__(self, core: Core, bodies: Bodies, now: Callable[[], float]) -> None:
        self._core = core
        self._bodies = bodies
        self._now = now
        self._sent: dict[str, dict[tuple[object, ...], float]] = {}

    def summary(self) -> Summary:
        """Where this node stands."""
        told = catchup.summary(self._core)
        rounds = tuple([RoundSummary(*entry) for entry in told.rounds])
        return Summary(told.height, told.round, told.step, rounds, tuple(self._bodies.names()[-MAX_BODIES:]))

    def missing(self, peer: str, theirs: Summary) -> list[Message]:
        """What brings a peer with this summary forward, without what it was sent a moment ago."""
        rounds = tuple([catchup.RoundSummary(*entry) for entry in theirs.rounds])
        told = catchup.Summary(theirs.height, theirs.round, theirs.step, rounds)
        return self.unsent(peer, catchup.missing(self._core, told))

    def unsent(self, peer: str, messages: list[Message]) -> list[Message]:
        """Those that this peer was not sent lately."""
        if peer not in self._sent and len(self._sent) >= MAX_PEERS:
            del self._sent[next(iter(self._sent))]
        sent, now = self._sent.setdefault(peer, {}), self._now()
        if len(sent) > MAX_REMEMBERED:
            sent.clear()
        fresh = []
        for message in messages:
            name = _name(message)
            if now - sent.get(name, -REPEAT_SECONDS) >= REPEAT_SECONDS:
                sent[name] = now
                fresh.append(message)
        return fresh

    def forget(self, peer: str) -> None:
        """A peer has gone."""
        self._sent.pop(peer, None)
        self._core.inbox.forget(peer)


def _name(message: Message) -> tuple[object, ...]:
    if isinstance(message, Commit):
        return message.height, "commit"
    if isinstance(message, SignedProposal):
        return message.height, message.round, message.block_hash, "proposal"
    return message.height, message.round, message.type, message.address, message.block_hash
