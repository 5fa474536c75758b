"""Precommits that come after their block was decided: the commit that the next block carries still has room for them.

A block is decided by the first two thirds. Without this the slowest validators would count as absent, block after block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.validation import VerifyAll
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    Commit,
    CommitSignature,
    SignedVote,
    Validator,
    vote_sign_bytes,
)

MAX_BAD: Final = 64
"""Bad signatures that are looked at for one height: then late votes count for nothing until the next."""


class LateVotes:
    """Adds one vote at a time."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id
        self._height = 0
        self._bad = 0
        self.bad = 0
        """Bad signatures in all."""

    def added(
        self, seen: Commit | None, vote: SignedVote, validators: Sequence[Validator], verify: VerifyAll
    ) -> Commit | None:
        """`seen` with this vote, None if it has no place there. `validators` are those of its height, in order."""
        if (
            seen is None
            or vote.type != PRECOMMIT
            or (vote.height, vote.round, vote.block_hash) != (seen.height, seen.round, seen.block_hash)
        ):
            return None
        if vote.height != self._height:
            self._height, self._bad = vote.height, 0
        for index, (entry, validator) in enumerate(zip(seen.signatures, validators, strict=True)):
            if entry.address == vote.address and entry.flag == FLAG_ABSENT and self._bad < MAX_BAD:
                message = vote_sign_bytes(self._chain_id, PRECOMMIT, vote.height, vote.round, vote.block_hash)
                if not all(verify([(message, (validator.key,), (vote.signature,))])):
                    self._bad += 1
                    self.bad += 1
                    return None
                one = CommitSignature(vote.address, FLAG_COMMIT, vote.signature)
                return seen._replace(
                    signatures=(*seen.signatures[:index], one, *seen.signatures[index + 1 :])
                )
        return None
