"""Which evidence a block may have: two signed votes of one validator for one step and two blocks, once, and not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.application import Application
from qenex.block import MAX_EVIDENCE_AGE_NS, PRECOMMIT, Evidence, SignedVote, vote_sign_bytes
from qenex.errors import EvidenceExpired, EvidenceInvalid, NotFound
from tests.node.chain_helpers import (
    CHAIN,
    VALIDATOR,
    Wallet,
    make_genesis,
    open_application,
    produce,
    seen_commit,
)
from vm.core import MAX_DOUBLE_VOTES, PUNISHES, Pause

A, B = b"a" * 32, b"b" * 32


def vote(block: bytes | None, **changes: Any) -> SignedVote:
    fields: dict[str, Any] = {"type": PRECOMMIT, "height": 2, "round": 0, **changes}
    message = vote_sign_bytes(CHAIN, fields["type"], fields["height"], fields["round"], block)
    address = fields.get("address", VALIDATOR.address)
    return SignedVote(
        address, fields["type"], fields["height"], fields["round"], block, VALIDATOR.sign(message)
    )


def double_vote(**changes: Any) -> Evidence:
    return Evidence("duplicate_vote", vote(A, **changes), vote(B, **changes))


@pytest.fixture
def application(tmp_path: Path) -> Application:
    made = open_application(tmp_path, make_genesis([Wallet(1)]))
    for _ in range(3):
        produce(made)
    return made


def check(application: Application, piece: Evidence, *, later: int = 0) -> None:
    application.evidence.check(piece, height=4, time=application.parent_time + 1 + later)


def with_evidence(application: Application, *pieces: Evidence) -> bool:
    """Whether a block with this evidence is accepted; then it is decided."""
    block = application.prepare_proposal(
        application.parent_time + 1, VALIDATOR.address, evidence=pieces
    ).block
    application._kept.clear()  # as a block of somebody else
    if not application.process_proposal(block).accepted:
        return False
    application.finalize_block(block)
    application.commit(block, seen_commit(block))
    return True


def test_a_double_vote_of_any_past_height_is_accepted(application: Application):
    for height in (1, 2, 3):
        check(application, double_vote(height=height))
    check(application, Evidence("duplicate_vote", vote(None), vote(B)))


@pytest.mark.parametrize(
    "piece",
    [
        Evidence("other", vote(A), vote(B)),
        Evidence("duplicate_vote", vote(B), vote(A)),
        Evidence("duplicate_vote", vote(A), vote(A)),
        Evidence("duplicate_vote", vote(A), vote(B, round=1)),
        Evidence("duplicate_vote", vote(A), vote(B)._replace(signature=vote(A).signature)),
        double_vote(address=Wallet(3).address),
        double_vote(height=4),
        double_vote(height=9),
    ],
)
def test_anything_else_accuses_nobody(application: Application, piece: Evidence):
    with pytest.raises(EvidenceInvalid):
        check(application, piece)
    assert not with_evidence(application, piece)


def test_before_the_first_block_nobody_voted(application: Application):
    with pytest.raises(NotFound):
        check(application, double_vote(height=0))


def test_a_block_has_it_and_no_later_one(application: Application):
    piece = double_vote()
    assert not with_evidence(application, piece, piece)
    assert with_evidence(application, piece)
    assert application.ledger.blocks.block(4).evidence == (piece,)
    with pytest.raises(EvidenceExpired):
        application.evidence.check(piece, height=5, time=application.parent_time + 1)
    assert not with_evidence(application, piece)
    other_blocks = Evidence("duplicate_vote", vote(A), vote(b"c" * 32))
    assert not with_evidence(application, other_blocks), "the same double vote in other words"
    assert with_evidence(application, double_vote(round=1))


def test_it_expires_with_the_unbonding_period_and_the_state_forgets_it(application: Application):
    header = application.ledger.blocks.header(2)
    last = header.time + MAX_EVIDENCE_AGE_NS - application.parent_time - 1
    check(application, double_vote(), later=last)
    with pytest.raises(EvidenceExpired):
        check(application, double_vote(), later=last + 1)
    assert with_evidence(application, double_vote())
    count = sum(1 for key in _machine_keys(application) if key[1] == 8)
    assert count == 1
    produce(application, application.parent_time + MAX_EVIDENCE_AGE_NS + 1)
    assert not any(key[1] == 8 for key in _machine_keys(application))


def test_blocks_have_no_more_against_one_validator_than_is_of_use(application: Application):
    """A proposer could fill its blocks with double votes of one that has nothing left to lose."""
    pieces = [double_vote(round=round) for round in range(MAX_DOUBLE_VOTES + 2)]
    assert not with_evidence(application, *pieces[: MAX_DOUBLE_VOTES + 1])
    assert application.evidence.select(pieces) == pieces[:MAX_DOUBLE_VOTES]
    assert with_evidence(application, *pieces[: MAX_DOUBLE_VOTES - 1])
    assert not with_evidence(application, *pieces[MAX_DOUBLE_VOTES - 1 : MAX_DOUBLE_VOTES + 1])
    check(application, pieces[-1])
    assert with_evidence(application, pieces[MAX_DOUBLE_VOTES - 1])
    assert not with_evidence(application, pieces[-1])
    assert application.evidence.select(pieces) == []
    with pytest.raises(EvidenceExpired):
        check(application, pieces[-1])
    state, machine = application.ledger, application.machine
    produce(application, application.parent_time + MAX_EVIDENCE_AGE_NS + 1)
    assert machine.select_evidence(state.committed, pieces) == pieces[:MAX_DOUBLE_VOTES], "all are forgotten"


def test_later_offences_do_not_keep_an_earlier_one_out(application: Application):
    """Stake answers from the first offence on, so its author would tell of later ones until no more are taken."""
    later = [double_vote(height=3, round=round) for round in range(MAX_DOUBLE_VOTES)]
    assert with_evidence(application, *later)
    earlier = [double_vote(height=2, round=round) for round in range(2)]
    for piece in earlier:
        check(application, piece)
    assert application.evidence.select([double_vote(height=3, round=9), *earlier]) == earlier[:1]
    first = double_vote(height=1)
    assert application.evidence.select([earlier[0], first]) == earlier[:1], "one a block"
    assert not with_evidence(application, *earlier)
    assert with_evidence(application, earlier[0])
    assert not with_evidence(application, earlier[1]), "no earlier one"
    assert with_evidence(application, first)
    assert application.evidence.select([double_vote(height=1, round=1)]) == []


def test_no_block_has_evidence_while_those_who_punish_are_paused(application: Application):
    """It would count as told, and nobody be punished for it."""
    piece, core = double_vote(), application.machine.core
    changes = {core.paused.key_of(int(PUNISHES)): Pause(1, 1)}
    application.ledger.committed.apply(changes)
    check(application, piece)
    assert application.evidence.select([piece]) == []
    assert not with_evidence(application, piece)
    application.ledger.committed.apply(dict.fromkeys(changes))
    assert application.evidence.select([piece]) == [piece]
    assert with_evidence(application, piece)


def _machine_keys(application: Application) -> list[bytes]:
    found = application.ledger.committed.iterate(bytes((0, 8)), bytes((0, 9)))
    return [key for key, _ in found]
