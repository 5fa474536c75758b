"""The border between the consensus engine and the network: what each asks of the other.

Both sides run on one event loop. Nothing here blocks; what takes time is a coroutine. The engine knows peers by
their node ids alone, and the network knows of consensus only which messages there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consensus.events import Message
from p2p.messages import Summary
from qenex.block import Block, Evidence, SignedProposal, SignedVote


class Gossip(Protocol):
    """The network, as the engine needs it. `node.network` implements it; so does a dictionary in tests."""

    def send_proposal(self, proposal: SignedProposal, block: Block | None, *, own: bool) -> None:
        """Tell everybody who is not known to have it. `block` is None where its body is not here (yet).

        Not `own`: passed on once, after its signature was found good.
        """
        ...

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        """Tell everybody who is not known to have it; as `send_proposal`. May be gathered for a millisecond."""
        ...

    def send_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Tell everybody evidence that waits for a block here."""
        ...

    def send_to(self, peer: str, messages: Sequence[Message]) -> None:
        """Tell one peer what it lacks, as seen from its summary. Dropped if it is gone, or if its queue is full."""
        ...

    def summary_changed(self) -> None:
        """`Consensus.summary` tells something new: let the peers know soon (at most some times a second)."""
        ...

    async def fetch_body(self, block_hash: bytes) -> Block:
        """The block of this hash, from whichever peer has it, its header and contents hashed and compared.

        Asks again and again, elsewhere each time, until it has come or nobody needs it any more: the engine then
        cancels the call.
        """
        ...

    def punish(self, peer: str, reason: str) -> None:
        """The peer sent what no honest node sends."""
        ...


class Consensus(Protocol):
    """The engine, as the network sees it. Every call returns at once; whatever comes is untrusted."""

    def receive(self, peer: str, message: Message) -> None:
        """A decoded proposal, vote or commit. Call it for a proposal as soon as it is here: its time counts."""
        ...

    def receive_body(self, block: Block) -> None:
        """A whole block that was put together without being asked for, as from a proposal's outline."""
        ...

    def receive_evidence(self, peer: str, evidence: Sequence[Evidence]) -> None:
        """Evidence that a peer has."""
        ...

    def receive_summary(self, peer: str, summary: Summary) -> None:
        """Where a peer stands. What it lacks and this node has goes out by `Gossip.send_to`."""
        ...

    def forget_peer(self, peer: str) -> None:
        """A peer has gone."""
        ...

    def summary(self) -> Summary:
        """Where this node stands, for its peers."""
        ...

    def body(self, block_hash: bytes) -> Block | None:
        """A block of the height in progress, or the last one decided, for peers that ask."""
        ...

    def waiting_evidence(self) -> Sequence[Evidence]:
        """Evidence for a peer that has just come."""
        ...
