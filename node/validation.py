"""What a block must be before it is executed: header, evidence and the commit of its parent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from consensus.evidence import check_age, check_form, place_of
from node.verifier_worker import Item
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    FLAG_NIL,
    MAX_BLOCK_TRANSACTIONS,
    MAX_EVIDENCE,
    MAX_EVIDENCE_AGE_NS,
    PRECOMMIT,
    Block,
    Commit,
    Evidence,
    Header,
    Validator,
    commit_hash,
    evidence_root,
    vote_sign_bytes,
)
from qenex.errors import EvidenceExpired, EvidenceInvalid

VerifyAll = Callable[[Sequence[Item]], Sequence[bool]]


class Rejected(Exception):
    """Why a proposal is not accepted. Never leaves the node: the answer is a vote for nil."""


class Expected(NamedTuple):
    """The header fields that the chain dictates; the rest is the proposer's."""

    protocol_version: int
    chain_id: str
    height: int
    parent_hash: bytes
    parent_time: int
    validators_hash: bytes
    next_validators_hash: bytes
    parameters_hash: bytes
    state_root: bytes
    results_root: bytes


def check_header(header: Header, expected: Expected, validators: Sequence[Validator]) -> None:
    """Compare each field. Raises Rejected naming the first that differs."""
    for name in Expected._fields:
        if name != "parent_time" and getattr(header, name) != getattr(expected, name):
            raise Rejected(f"header.{name} is not what the chain expects")
    if header.time <= expected.parent_time:
        raise Rejected("header.time is not later than the parent's")
    if all(validator.address != header.proposer for validator in validators):
        raise Rejected("header.proposer is no validator")


def check_contents(block: Block) -> None:
    """Counts, and the roots that the block itself determines (but that of the transactions)."""
    if len(block.transactions) > MAX_BLOCK_TRANSACTIONS:
        raise Rejected("too many transactions")
    if len(block.evidence) > MAX_EVIDENCE:
        raise Rejected("too much evidence")
    if evidence_root(block.evidence) != block.header.evidence_root:
        raise Rejected("header.evidence_root does not match the evidence")
    if commit_hash(block.commit) != block.header.commit_hash:
        raise Rejected("header.commit_hash does not match the commit")


def check_commit(
    commit: Commit | None,
    *,
    chain_id: str,
    height: int,
    block_hash: bytes,
    validators: Sequence[Validator],
    verify: VerifyAll,
) -> None:
    """The whole commit of a block: by address, every signature, more than 2/3 of the power for the block.

    `validators` is the set of `height` in canonical order. Raises Rejected.
    """
    if commit is None:
        raise Rejected("the commit of the parent is missing")
    if (commit.height, commit.block_hash) != (height, block_hash):
        raise Rejected("the commit is for another block")
    if [signature.address for signature in commit.signatures] != [v.address for v in validators]:
        raise Rejected("the commit does not list the validators in their order")
    power = 0
    items: list[Item] = []
    for vote, validator in zip(commit.signatures, validators, strict=True):
        if vote.flag == FLAG_ABSENT:
            if vote.signature:
                raise Rejected("an absent validator has a signature")
            continue
        if vote.flag not in (FLAG_COMMIT, FLAG_NIL):
            raise Rejected("a commit's flags are 0, 1 or 2")
        target = block_hash if vote.flag == FLAG_COMMIT else None
        if vote.flag == FLAG_COMMIT:
            power += validator.power
        message = vote_sign_bytes(chain_id, PRECOMMIT, height, commit.round, target)
        items.append((message, (validator.key,), (vote.signature,)))
    total = sum([validator.power for validator in validators])
    if 3 * power <= 2 * total:
        raise Rejected("the commit has not more than 2/3 of the power")
    if not all(verify(items)):
        raise Rejected("a signature of the commit is invalid")


class Then(NamedTuple):
    """What is known of an earlier height: its validators, and the time of its block in ns."""

    validators: Sequence[Validator]
    time: int


def check_evidence(
    evidence: Sequence[Evidence],
    *,
    chain_id: str,
    height: int,
    time: int,
    then: Callable[[int], Then | None],
    decided: bool,
    verify: VerifyAll,
) -> None:
    """Each piece: two votes of one validator for one step and two blocks, both signed, in canonical order, not expired.

    The accused is judged as he stood at the deed's height, which `then` tells. A node that joined later may not know
    it: it does not vote for such a block; where the block is `decided`, 2/3 who knew have judged. Raises Rejected.
    """
    seen: dict[tuple[int, bytes, int, int], None] = {}
    items: list[Item] = []
    try:
        for piece in evidence:
            check_form(piece)
            place = place_of(piece)
            if place in seen:
                raise Rejected("the same evidence twice")
            seen[place] = None
            items += _signatures(piece, chain_id, height, time, then(place[0]), decided)
    except (EvidenceInvalid, EvidenceExpired) as error:
        raise Rejected(error.message) from None
    if not all(verify(items)):
        raise Rejected("a signature of the evidence is invalid")


def _signatures(
    piece: Evidence, chain_id: str, height: int, time: int, known: Then | None, decided: bool
) -> list[Item]:
    """What has to be verified of a piece. Raises Rejected, EvidenceInvalid or EvidenceExpired."""
    if piece.first.height >= height:
        raise Rejected("the votes are of no earlier step")
    if known is None:
        if decided:
            return []
        raise Rejected(f"the validators of height {piece.first.height} are not known here")
    check_age(piece, height=height, time=time, voted_time=known.time, unbonding_ns=MAX_EVIDENCE_AGE_NS)
    key = next((v.key for v in known.validators if v.address == piece.first.address), None)
    if key is None:
        raise Rejected("the accused was no validator")
    return [
        (
            vote_sign_bytes(chain_id, vote.type, vote.height, vote.round, vote.block_hash),
            (key,),
            (vote.signature,),
        )
        for vote in (piece.first, piece.second)
    ]
