"""Precommits after the decision: which have a place in the next block's commit."""

from __future__ import annotations

from collections.abc import Sequence

from node.late_votes import MAX_BAD, LateVotes
from node.validation import check_commit
from node.verifier_worker import Item
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    PREVOTE,
    Commit,
    CommitSignature,
    SignedVote,
    Validator,
    vote_sign_bytes,
)
from qenex.crypto import SCHEMES_BY_TAG
from tests.vm.chain import CHAIN_ID, Actor

ACTORS = [Actor(seed) for seed in range(50, 54)]
VALIDATORS = tuple([Validator(actor.address, actor.key, 10) for actor in ACTORS])
HASH = bytes([7]) * 32


def verify(items: Sequence[Item]) -> list[bool]:
    return [
        SCHEMES_BY_TAG[key[0]].verify(key[1:], message, signature) for message, (key,), (signature,) in items
    ]


def vote(actor: Actor, *, height: int = 5, round: int = 1, block: bytes | None = HASH) -> SignedVote:
    signed = vote_sign_bytes(CHAIN_ID, PRECOMMIT, height, round, block)
    return SignedVote(actor.address, PRECOMMIT, height, round, block, actor.sign(signed))


def commit() -> Commit:
    """Three of four have decided height 5."""
    entries = [CommitSignature(a.address, FLAG_COMMIT, vote(a).signature) for a in ACTORS[:3]]
    return Commit(5, 1, HASH, (*entries, CommitSignature(ACTORS[3].address, FLAG_ABSENT, b"")))


def test_a_late_vote_takes_its_place_and_the_commit_stays_valid() -> None:
    late = LateVotes(CHAIN_ID)
    found = late.added(commit(), vote(ACTORS[3]), VALIDATORS, verify)
    assert found is not None
    assert [entry.flag for entry in found.signatures] == [FLAG_COMMIT] * 4
    check_commit(found, chain_id=CHAIN_ID, height=5, block_hash=HASH, validators=VALIDATORS, verify=verify)
    assert late.added(found, vote(ACTORS[3]), VALIDATORS, verify) is None, "it is there already"


def test_votes_of_another_step_or_block_have_no_place() -> None:
    late, one = LateVotes(CHAIN_ID), ACTORS[3]
    others = [
        vote(one, height=4), vote(one, round=0), vote(one, block=bytes(32)), vote(one, block=None),
        vote(one)._replace(type=PREVOTE), vote(Actor(99)),
    ]  # fmt: skip
    for other in others:
        assert late.added(commit(), other, VALIDATORS, verify) is None
    assert late.added(None, vote(one), VALIDATORS, verify) is None


def test_bad_signatures_are_looked_at_a_bounded_number_of_times() -> None:
    late, tried = LateVotes(CHAIN_ID), []

    def counting(items: Sequence[Item]) -> list[bool]:
        tried.append(items)
        return verify(items)

    bad = vote(ACTORS[3])._replace(signature=bytes(64))
    for _ in range(3 * MAX_BAD):
        assert late.added(commit(), bad, VALIDATORS, counting) is None
    assert len(tried) == MAX_BAD
    assert late.added(commit(), vote(ACTORS[3]), VALIDATORS, counting) is None
    next_commit = commit()._replace(height=6)
    good = vote(ACTORS[3], height=6)
    assert late.added(next_commit, good, VALIDATORS, counting) is not None, "the next height begins anew"
