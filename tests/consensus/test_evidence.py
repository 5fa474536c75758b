"""Evidence: one form, checked against the set of its height, for as long as something can be slashed."""

from __future__ import annotations

import pytest

from consensus.evidence import check_age, check_evidence, check_form, make_evidence, place_of
from qenex.block import PRECOMMIT, PREVOTE, Evidence
from qenex.errors import EvidenceExpired, EvidenceInvalid
from tests.consensus.network import CHAIN, address_of, block, make_vote, signature, validator_set

A, B = block("a"), block("b")
VALIDATORS = validator_set(3, 2, 1)


def verify(key: bytes, message: bytes, given: bytes) -> bool:
    return given == signature(address_of(key[1]), message)


GOOD = make_evidence(make_vote(2, PREVOTE, 0, A, 5), make_vote(2, PREVOTE, 0, B, 5))


def test_both_orders_of_the_votes_are_one_piece_of_evidence():
    again = make_evidence(GOOD.second, GOOD.first)
    assert again == GOOD
    assert place_of(GOOD) == (5, address_of(2), 0, PREVOTE)


def test_good_evidence_names_the_accused_of_its_height():
    assert check_evidence(GOOD, CHAIN, VALIDATORS.validators, verify) == VALIDATORS.validator(address_of(2))


@pytest.mark.parametrize(
    "evidence",
    [
        GOOD._replace(kind="light_client_attack"),
        GOOD._replace(second=GOOD.first),
        GOOD._replace(first=GOOD.second, second=GOOD.first),
        GOOD._replace(second=make_vote(2, PRECOMMIT, 0, B, 5)),
        GOOD._replace(second=make_vote(2, PREVOTE, 1, B, 5)),
        GOOD._replace(second=make_vote(2, PREVOTE, 0, B, 6)),
        GOOD._replace(second=make_vote(1, PREVOTE, 0, B, 5)),
        Evidence("duplicate_vote", make_vote(2, 3, 0, A, 5), make_vote(2, 3, 0, B, 5)),
    ],
    ids=["kind", "same block", "order", "type", "round", "height", "validator", "no vote"],
)
def test_what_proves_nothing_is_refused(evidence):
    with pytest.raises(EvidenceInvalid):
        check_form(evidence)


def test_an_honest_node_is_never_named_because_both_signatures_must_be_its_own():
    for forged in (
        GOOD._replace(second=make_vote(2, PREVOTE, 0, B, 5, good=False)),
        GOOD._replace(first=make_vote(2, PREVOTE, 0, A, 5, good=False)),
        GOOD._replace(second=GOOD.second._replace(signature=GOOD.first.signature)),
    ):
        with pytest.raises(EvidenceInvalid):
            check_evidence(forged, CHAIN, VALIDATORS.validators, verify)
    with pytest.raises(EvidenceInvalid):
        check_evidence(GOOD, "another-chain", VALIDATORS.validators, verify)


def test_somebody_who_was_no_validator_then_is_not_accused():
    with pytest.raises(EvidenceInvalid, match="no validator"):
        check_evidence(GOOD, CHAIN, VALIDATORS.validators[:1], verify)


def test_evidence_is_accepted_until_the_unbonding_period_ends():
    period = 100
    check_age(GOOD, height=6, time=1_100, voted_time=1_000, unbonding_ns=period)
    with pytest.raises(EvidenceExpired):
        check_age(GOOD, height=6, time=1_101, voted_time=1_000, unbonding_ns=period)
    with pytest.raises(EvidenceInvalid):
        check_age(GOOD, height=5, time=1_000, voted_time=1_000, unbonding_ns=period)
