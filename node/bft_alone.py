"""The network of a node that has none: a chain of one validator, or a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from consensus.events import Message
from qenex.block import Block, Evidence, SignedProposal, SignedVote


class Alone:
    """A `Gossip` that reaches nobody."""

    def send_proposal(self, proposal: SignedProposal, block: Block | None, *, own: bool) -> None:
        """Nobody is told."""

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        """Nobody is told."""

    def send_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Nobody is told."""

    def send_to(self, peer: str, messages: Sequence[Message]) -> None:
        """There is no peer."""

    def summary_changed(self) -> None:
        """Nobody is told."""

    async def fetch_body(self, block_hash: bytes) -> Block:
        """Waits until it is cancelled: nobody has it."""
        nothing: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        return await nothing

    def punish(self, peer: str, reason: str) -> None:
        """There is no peer."""
