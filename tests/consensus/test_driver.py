"""Layer 3: it never matters in which order things came, and what is held is looked at again after every step."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from consensus.driver import MAX_PROPOSALS_AHEAD, Driver
from consensus.events import CheckBlock, Step
from consensus.round import Decision, GetValue, Precommit, Prevote, Propose, Schedule
from qenex.block import PRECOMMIT, PREVOTE
from tests.consensus.network import block, make_proposal, make_vote, validator_set

A, B = block("a"), block("b")
FOUR = validator_set(1, 1, 1, 1)


def driver(own: int | None = 3) -> Driver:
    made = Driver(1, FOUR, own)
    made.start(0)
    return made


def kinds(outputs, *wanted):
    return [output for output in outputs if isinstance(output, wanted)]


def vote(made: Driver, number: int, type: int, round: int, value: bytes | None):
    return made.vote(number - 1, make_vote(number, type, round, value))[1]


def feed(made: Driver, item: tuple):
    """One of the things that may come in round 0."""
    name, argument = item
    if name == "proposal":
        return made.proposal(make_proposal(1, 0, A), own=False)[1]
    if name == "checked":
        return made.answered(0, A, valid=True, timely=True)
    return vote(made, argument, PREVOTE if name == "prevote" else PRECOMMIT, 0, A)


def test_everything_that_leads_to_a_decision_leads_there_in_any_order():
    items = [("proposal", 0), ("prevotes", 0), ("precommits", 0), ("checked", 0)]
    for order in permutations(items):
        made, outputs, asked, waiting = driver(), [], False, False
        for name, _ in order:
            if name in ("prevotes", "precommits"):
                for number in (1, 2, 3):
                    outputs += feed(made, (name[:-1], number))
            elif name == "checked" and not made.asked:
                waiting = True
            else:
                outputs += feed(made, (name, 0))
            if waiting and made.asked:
                outputs += feed(made, ("checked", 0))
        asked = bool(kinds(outputs, CheckBlock))
        assert asked
        assert kinds(outputs, Decision) == [Decision(0, A)], order


@given(
    st.permutations(
        [("proposal", 0), *[("prevote", n) for n in (1, 2, 3)], *[("precommit", n) for n in (1, 2)]]
    )
)
def test_own_votes_do_not_depend_on_the_order_of_arrival(order):
    made, outputs = driver(), []
    for item in order:
        outputs += feed(made, item)
        if made.asked:
            outputs += feed(made, ("checked", 0))
    assert kinds(outputs, Prevote, Precommit) == [Prevote(0, A), Precommit(0, A)]


def test_a_decision_goes_before_everything_else():
    made = driver()
    feed(made, ("proposal", 0))
    for number in (1, 2, 3):
        feed(made, ("prevote", number))
        feed(made, ("precommit", number))
    outputs = feed(made, ("checked", 0))
    assert kinds(outputs, Prevote, Precommit, Decision) == [Decision(0, A)]


def test_prevotes_that_came_first_are_looked_at_again_after_our_own_step():
    made = driver()
    for number in (1, 2, 3):
        assert not vote(made, number, PREVOTE, 0, None)
    outputs = made.timed_out(0, Step.PROPOSE)
    assert kinds(outputs, Prevote, Precommit, Schedule) == [
        Prevote(0, None),
        Precommit(0, None),
    ], "a polka for nil goes before the timeout for whatever"


def test_votes_and_proposals_of_a_later_round_count_when_it_begins():
    made = driver()
    made.proposal(make_proposal(2, 1, B), own=False)
    assert not made.asked
    outputs = vote(made, 1, PREVOTE, 1, B) + vote(made, 2, PREVOTE, 1, B)
    assert made.state.round == 1
    assert kinds(outputs, CheckBlock) == [CheckBlock(1, 1, B, True)]


def test_the_first_proposal_of_a_round_stands_and_only_near_rounds_are_held():
    made = driver()
    assert made.proposal(make_proposal(1, 0, A), own=False)[0]
    assert not made.proposal(make_proposal(1, 0, B), own=False)[0]
    assert made.proposals[0].block_hash == A
    far = MAX_PROPOSALS_AHEAD + 1
    assert not made.proposal(make_proposal(1, far, B), own=False)[0]


def test_the_proposer_builds_and_proposes_or_repeats_its_valid_value():
    made = Driver(1, FOUR, 0)
    assert kinds(made.start(0), GetValue) == [GetValue(0)]
    assert kinds(made.built(0, A), Propose) == [Propose(0, A, -1)]
    made = driver(1)
    made.proposal(make_proposal(1, 0, A), own=False)
    made.answered(0, A, valid=True, timely=True)
    for number in (1, 3, 4):
        vote(made, number, PREVOTE, 0, A)
    assert (made.state.valid, made.state.valid_round) == (A, 0)
    for number in (1, 3, 4):
        vote(made, number, PRECOMMIT, 0, None)
    assert kinds(made.timed_out(0, Step.PRECOMMIT), Propose) == [Propose(1, A, 0)]


def test_our_own_proposal_is_timely_and_valid_without_a_check():
    made = Driver(1, FOUR, 0)
    made.start(0)
    made.built(0, A)
    outputs = made.proposal(make_proposal(1, 0, A), own=True)[1]
    assert kinds(outputs, Prevote, CheckBlock) == [Prevote(0, A)]


def test_an_answer_that_was_not_asked_for_changes_nothing():
    made = driver()
    before = made.plain()
    assert made.answered(0, A, valid=True, timely=True) == []
    assert made.plain() == before


def test_validity_holds_for_the_height_and_timeliness_for_its_round_only():
    made = driver()
    made.proposal(make_proposal(1, 0, A), own=False)
    made.answered(0, A, valid=True, timely=True)
    vote(made, 1, PREVOTE, 1, None)
    vote(made, 2, PREVOTE, 1, None)
    outputs = made.proposal(make_proposal(2, 1, A), own=False)[1]
    assert kinds(outputs, CheckBlock) == [CheckBlock(1, 1, A, True)], "a fresh proposal: its time is judged"
    outputs = made.answered(1, A, valid=True, timely=False)
    assert kinds(outputs, Prevote) == [Prevote(1, None)]
    assert made.checked == {A: True}


def test_a_block_known_to_be_invalid_is_refused_at_once():
    made = driver()
    made.proposal(make_proposal(1, 0, A), own=False)
    made.answered(0, A, valid=False, timely=True)
    vote(made, 1, PREVOTE, 1, None)
    vote(made, 2, PREVOTE, 1, None)
    outputs = made.proposal(make_proposal(2, 1, A), own=False)[1]
    assert kinds(outputs, CheckBlock, Prevote) == [Prevote(1, None)]
