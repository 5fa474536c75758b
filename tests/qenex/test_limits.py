"""Sizes follow from the validators; what does not fit is refused where it is set, not where a block is built."""

from __future__ import annotations

import pytest

from qenex import limits
from qenex.block import (
    FLAG_COMMIT,
    MAX_VALIDATORS,
    Commit,
    CommitSignature,
    Evidence,
    SignedProposal,
    SignedVote,
    Validator,
)
from qenex.codec import encode
from qenex.crypto import SCHEMES, Address
from qenex.errors import TooLarge

NAME = b"\xff" * 32
BIG, ROUND = (1 << 64) - 1, (1 << 32) - 1


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("count", [1, 4, 100, 150])
def test_no_message_is_larger_than_its_limit_and_the_limit_is_close(scheme, count):
    size = SCHEMES[scheme].signature_size
    derived = limits.derive([size] * count)
    signature = bytes(size)
    vote = SignedVote(address(1), 2, BIG, ROUND, NAME, signature)
    proposal = SignedProposal(address(1), BIG, ROUND, ROUND - 1, NAME, signature)
    entries = tuple([CommitSignature(address(n), FLAG_COMMIT, signature) for n in range(count)])
    commit = encode(Commit(BIG, ROUND, NAME, entries))
    evidence = encode((Evidence("duplicate_vote", vote, vote),) * 16)
    for made, bound in (
        (len(encode(vote)), derived.vote),
        (len(encode(proposal)), derived.proposal),
        (len(commit), derived.commit),
        (len(evidence), derived.evidence),
    ):
        assert made <= bound <= made + 8 + 3 * count + 100


def test_the_greatest_set_with_the_default_scheme_fits():
    size = SCHEMES["composite-mldsa44-ed25519"].signature_size
    assert limits.check([size] * MAX_VALIDATORS).commit < limits.ROOM


def test_long_signatures_of_too_many_validators_are_refused_with_both_numbers():
    size = SCHEMES["slh-dsa-sha2-128s"].signature_size
    limits.check([size] * 40)
    with pytest.raises(TooLarge, match=str(limits.derive([size] * 60).commit)):
        limits.check([size] * 60)


@pytest.mark.parametrize("sizes", [[], [64] * (MAX_VALIDATORS + 1), [17_000]])
def test_impossible_sets_are_refused(sizes):
    with pytest.raises(TooLarge):
        limits.check(sizes)


@pytest.mark.parametrize("key", [b"", b"\xee" + bytes(32)])
def test_a_key_of_no_scheme_has_no_size(key):
    with pytest.raises(TooLarge):
        limits.signature_sizes([Validator(address(1), key, 1)])
