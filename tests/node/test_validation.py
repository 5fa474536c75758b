"""Evidence: only two signed votes of one validator for one step and two blocks accuse him."""

from __future__ import annotations

from typing import Any

import pytest

from node.validation import Rejected, Then, check_evidence
from node.verifier import Verifier
from qenex.block import MAX_EVIDENCE_AGE_NS, PRECOMMIT, Evidence, SignedVote, Validator, vote_sign_bytes
from tests.node.chain_helpers import CHAIN, VALIDATOR, Wallet

A, B = b"a" * 32, b"b" * 32
VALIDATORS = (Validator(VALIDATOR.address, VALIDATOR.key, 10),)


def vote(block: bytes | None, **changes: Any) -> SignedVote:
    fields: dict[str, Any] = {"type": PRECOMMIT, "height": 5, "round": 0, **changes}
    message = vote_sign_bytes(CHAIN, fields["type"], fields["height"], fields["round"], block)
    address = fields.get("address", VALIDATOR.address)
    return SignedVote(
        address, fields["type"], fields["height"], fields["round"], block, VALIDATOR.sign(message)
    )


LATE = VALIDATORS[0]._replace(address=Wallet(3).address)
"""Was no validator at height 5, and is one now."""


def then(height: int) -> Then | None:
    return {5: Then(VALIDATORS, 1_000), 6: Then((*VALIDATORS, LATE), 2_000)}.get(height)


def check(*evidence: Evidence, time: int = 3_000, decided: bool = False) -> None:
    check_evidence(
        evidence, chain_id=CHAIN, height=7, time=time, then=then, decided=decided, verify=Verifier.verify_now
    )  # fmt: skip


def test_a_double_signature_is_evidence():
    check(Evidence("duplicate_vote", vote(A), vote(B)))
    check(Evidence("duplicate_vote", vote(None), vote(B)))


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence("other", vote(A), vote(B)),
        Evidence("duplicate_vote", vote(A), vote(A)),
        Evidence("duplicate_vote", vote(B), vote(A)),
        Evidence("duplicate_vote", vote(A), vote(B, round=1)),
        Evidence("duplicate_vote", vote(A, height=4), vote(B)),
        Evidence("duplicate_vote", vote(A, type=1), vote(B)),
        Evidence("duplicate_vote", vote(A, type=3), vote(B, type=3)),
        Evidence("duplicate_vote", vote(A, height=7), vote(B, height=7)),
        Evidence("duplicate_vote", vote(A, address=Wallet(3).address), vote(B, address=Wallet(3).address)),
        Evidence("duplicate_vote", vote(A), vote(B)._replace(signature=vote(A).signature)),
        Evidence("duplicate_vote", vote(A)._replace(signature=b""), vote(B)),
    ],
)
def test_anything_else_accuses_nobody(evidence: Evidence):
    with pytest.raises(Rejected):
        check(evidence)


def test_the_same_evidence_counts_once():
    piece = Evidence("duplicate_vote", vote(A), vote(B))
    with pytest.raises(Rejected, match="twice"):
        check(piece, piece)


def test_the_accused_is_judged_as_he_stood_at_the_height_of_the_deed():
    votes = [vote(block, address=LATE.address, height=height) for height in (5, 6) for block in (A, B)]
    with pytest.raises(Rejected, match="no validator"):
        check(Evidence("duplicate_vote", *votes[:2]))
    check(Evidence("duplicate_vote", *votes[2:]))


def test_evidence_expires_with_the_unbonding_period():
    piece = Evidence("duplicate_vote", vote(A), vote(B))
    check(piece, time=1_000 + MAX_EVIDENCE_AGE_NS)
    with pytest.raises(Rejected, match="unbonding"):
        check(piece, time=1_001 + MAX_EVIDENCE_AGE_NS)


def test_a_deed_of_before_this_nodes_history_is_not_voted_for_but_followed_once_decided():
    piece = Evidence("duplicate_vote", vote(A, height=2), vote(B, height=2))
    with pytest.raises(Rejected, match="not known"):
        check(piece)
    check(piece, decided=True)
    with pytest.raises(Rejected):
        check(piece._replace(second=piece.first), decided=True)
