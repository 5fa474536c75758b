"""Evidence: only two signed votes of one validator for one step and two blocks accuse him."""

from __future__ import annotations

from typing import Any

import pytest

from node.validation import Rejected, check_evidence
from node.verifier import Verifier
from qenex.block import PRECOMMIT, Evidence, SignedVote, Validator, vote_sign_bytes
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


def check(*evidence: Evidence) -> None:
    check_evidence(evidence, chain_id=CHAIN, height=6, validators=VALIDATORS, verify=Verifier.verify_now)


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
        Evidence("duplicate_vote", vote(A, height=6), vote(B, height=6)),
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
