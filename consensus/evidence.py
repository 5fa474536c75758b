"""Evidence that a validator signed two different votes at one place: making it, its one form, checking it.

It never names an honest node: both signatures must be good for the key that the accused had at that height, so only
the holder of the key can have made them. Votes carry no time, and the guard in front of a key signs one thing for a
place, so restarts, lost logs and slow networks make none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from qenex.block import PRECOMMIT, PREVOTE, Evidence, SignedVote, Validator, vote_sign_bytes
from qenex.errors import EvidenceExpired, EvidenceInvalid

DUPLICATE_VOTE: Final = "duplicate_vote"

VerifySignature = Callable[[bytes, bytes, bytes], bool]
"""Key (scheme tag + public key), message, signature."""


def make_evidence(one: SignedVote, other: SignedVote) -> Evidence:
    """Both votes in canonical order: by block hash, nil first."""
    if (one.block_hash or b"") > (other.block_hash or b""):
        one, other = other, one
    return Evidence(DUPLICATE_VOTE, one, other)


def place_of(evidence: Evidence) -> tuple[int, bytes, int, int]:
    """Height, accused, round and type: what two pieces of evidence about one deed share."""
    vote = evidence.first
    return vote.height, vote.address, vote.round, vote.type


def check_form(evidence: Evidence) -> None:
    """Two votes of one validator, for one place and two blocks, in canonical order. Raises EvidenceInvalid."""
    if evidence.kind != DUPLICATE_VOTE:
        raise EvidenceInvalid(f"unknown kind of evidence {evidence.kind[:40]!a}")
    one, other = evidence.first, evidence.second
    if (one.address, one.type, one.height, one.round) != (
        other.address,
        other.type,
        other.height,
        other.round,
    ):
        raise EvidenceInvalid("the two votes are not for one step of one validator")
    if one.type not in (PREVOTE, PRECOMMIT):
        raise EvidenceInvalid("a vote is a prevote or a precommit")
    if (one.block_hash or b"") >= (other.block_hash or b""):
        raise EvidenceInvalid("the votes are for the same block, or not in order")


def check_age(evidence: Evidence, *, height: int, time: int, voted_time: int, unbonding_ns: int) -> None:
    """Evidence counts in a block at `height` and `time` if the deed is of an earlier height and not expired.

    `voted_time` is the time of the block at the deed's height; all times in ns. It is accepted until the unbonding
    period has passed, the last instant included: until then the accused's stake is there to be slashed.
    Raises EvidenceInvalid for a height that is not over, EvidenceExpired.
    """
    if evidence.first.height >= height:
        raise EvidenceInvalid("the votes are of no earlier height")
    if time - voted_time > unbonding_ns:
        raise EvidenceExpired(
            f"the deed at height {evidence.first.height} is older than the unbonding period"
        )


def check_evidence(
    evidence: Evidence, chain_id: str, validators: Sequence[Validator], verify: VerifySignature
) -> Validator:
    """Return the accused as he stood at that height. `validators` is the set of the deed's height.

    Raises EvidenceInvalid.
    """
    check_form(evidence)
    accused = next((v for v in validators if v.address == evidence.first.address), None)
    if accused is None:
        raise EvidenceInvalid("the accused was no validator at that height")
    for vote in (evidence.first, evidence.second):
        message = vote_sign_bytes(chain_id, vote.type, vote.height, vote.round, vote.block_hash)
        if not verify(accused.key, message, vote.signature):
            raise EvidenceInvalid("a signature of the evidence is not the accused's")
    return accused
