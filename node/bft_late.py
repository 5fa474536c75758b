"""Precommits that come, or are made, after their block was decided: who is slow or far away is not absent.

A block is decided by the first two thirds. The others' precommits may still come before the next block is proposed,
whose commit has room for them (`node.late_votes`). A validator that learns of the decision before it came to
precommit says so afterwards: without that the slowest would be taken for one that is down, and jailed.
"""

from __future__ import annotations

from collections.abc import Container

from consensus.events import Message, SignVote
from node.application import Application
from node.bft_face import Gossip
from node.bft_signing import SigningQueue
from qenex.block import FLAG_ABSENT, PRECOMMIT, Commit, SignedVote


class LatePrecommits:
    """One height's; `begin` at the next."""

    def __init__(self, application: Application, gossip: Gossip, signing: SigningQueue | None) -> None:
        self._application = application
        self._gossip = gossip
        self._signing = signing
        self._came: dict[bytes, SignedVote] = {}
        """The last precommit that came of each validator, verified or not."""
        self._good: dict[bytes, SignedVote] = {}
        """The last verified one: nobody puts another one into its place by sending what the validator never signed."""

    def begin(self) -> None:
        """Another height."""
        self._came.clear()
        self._good.clear()

    def note(
        self, message: Message, height: int, validators: Container[bytes], *, verified: bool = False
    ) -> None:
        """A message came, or was verified; of precommits of the height in progress one for each validator is kept."""
        if not isinstance(message, SignedVote) or (message.type, message.height) != (PRECOMMIT, height):
            return
        kept = self._good if verified else self._came
        before = kept.get(message.address)
        if message.address in validators and (before is None or before.round <= message.round):
            kept[message.address] = message

    def after(self, peer: str, message: Message) -> None:
        """A message of an earlier height came. If the next block's commit takes it, others are told.

        Who sends bad signatures is punished: there is a bound to how many are looked at.
        """
        if not isinstance(message, SignedVote):
            return
        bad = self._application.late.bad
        if self._application.note_late(message):
            self._gossip.send_vote(message, own=False)
        elif self._application.late.bad > bad:
            self._gossip.punish(peer, "the signature of a late precommit is bad")

    def decided(self, commit: Commit, own: int | None) -> None:
        """The block of `commit` is stored. `own`: this node's place among its validators, if it may sign at this height.

        To sign is safe: nothing else can be decided there any more. The signer refuses it where this key has said
        something else in that round.
        """
        for vote in (
            *self._good.values(),
            *self._came.values(),
        ):  # came before the block was stored; some were still being verified
            self._application.note_late(vote)
        if self._signing is None or own is None or commit.signatures[own].flag != FLAG_ABSENT:
            return
        value = (commit.round, commit.block_hash)
        asked = SignVote(commit.height, commit.round, PRECOMMIT, commit.block_hash, *value, *value)
        self._signing.sign(asked, late=self._made)

    def _made(self, vote: SignedVote) -> None:
        self._application.note_late(vote)
        self._gossip.send_vote(vote, own=True)
