"""Layer 1 by tables: each case names the lines of the paper it takes, and a count shows that none is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import round as rules
from consensus.events import Step
from consensus.round import (
    INITIAL,
    Decision,
    GetValue,
    NewRound,
    PolkaAny,
    PolkaNil,
    Precommit,
    PrecommitAny,
    Prevote,
    Proposal,
    ProposalAndPolkaCurrent,
    ProposalAndPolkaPrevious,
    ProposalAndPrecommitValue,
    Propose,
    ProposeValue,
    Recall,
    RoundEvent,
    Schedule,
    SkipRound,
    StartRound,
    State,
    TimeoutPrecommit,
    TimeoutPrevote,
    TimeoutPropose,
    apply,
)

A, B = b"a" * 32, b"b" * 32
PROPOSE, PREVOTE, PRECOMMIT = Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT


def at(round: int, step: Step, **fields) -> State:
    return State(round, step)._replace(**fields)


def locked(value: bytes, round: int) -> dict:
    return {"locked": value, "locked_round": round, "valid": value, "valid_round": round}


class Case(NamedTuple):
    name: str
    before: State
    event: RoundEvent
    after: State
    outputs: tuple = ()


FRESH = at(0, PROPOSE)
CASES = [
    # -- StartRound, lines 11 to 20
    Case("a round begins", INITIAL, StartRound(0, False), FRESH, (Schedule(0, PROPOSE),)),
    Case(
        "the proposer builds",
        INITIAL,
        StartRound(0, True),
        FRESH,
        (Schedule(0, PROPOSE), GetValue(0)),
    ),
    Case(
        "the proposer proposes its valid value with the round of its proof of lock",
        at(2, PRECOMMIT, valid=A, valid_round=1),
        StartRound(3, True),
        at(3, PROPOSE, valid=A, valid_round=1),
        (Schedule(3, PROPOSE), Propose(3, A, 1)),
    ),
    Case(
        "a new round forgets what happens once a round, and no lock",
        at(2, PRECOMMIT, prevote_timed=True, polka_taken=True, precommit_timed=True, **locked(A, 2)),
        StartRound(3, False),
        at(3, PROPOSE, **locked(A, 2)),
        (Schedule(3, PROPOSE),),
    ),
    Case("no round begins twice", at(3, PREVOTE), StartRound(3, True), at(3, PREVOTE)),
    Case("rounds never fall", at(3, PREVOTE), StartRound(2, True), at(3, PREVOTE)),
    Case("what was built is proposed", FRESH, ProposeValue(0, A), FRESH, (Propose(0, A, -1),)),
    Case("what was built too late is not", at(0, PREVOTE), ProposeValue(0, A), at(0, PREVOTE)),
    Case("what was built for an earlier round is not", at(1, PROPOSE), ProposeValue(0, A), at(1, PROPOSE)),
    # -- lines 22 to 27
    Case("an acceptable proposal", FRESH, Proposal(0, A, True), at(0, PREVOTE), (Prevote(0, A),)),
    Case("one that is not", FRESH, Proposal(0, A, False), at(0, PREVOTE), (Prevote(0, None),)),
    Case(
        "locked on it",
        at(2, PROPOSE, **locked(A, 1)),
        Proposal(2, A, True),
        at(2, PREVOTE, **locked(A, 1)),
        (Prevote(2, A),),
    ),
    Case(
        "locked on another",
        at(2, PROPOSE, **locked(B, 1)),
        Proposal(2, A, True),
        at(2, PREVOTE, **locked(B, 1)),
        (Prevote(2, None),),
    ),
    Case("a second proposal", at(0, PREVOTE), Proposal(0, B, True), at(0, PREVOTE)),
    Case("a proposal of another round", at(1, PROPOSE), Proposal(0, A, True), at(1, PROPOSE)),
    # -- lines 28 to 33
    Case(
        "a proof of lock at the lock's round frees",
        at(3, PROPOSE, **locked(B, 1)),
        ProposalAndPolkaPrevious(3, A, 1, True),
        at(3, PREVOTE, **locked(B, 1)),
        (Prevote(3, A),),
    ),
    Case(
        "an older proof of lock does not",
        at(3, PROPOSE, **locked(B, 2)),
        ProposalAndPolkaPrevious(3, A, 1, True),
        at(3, PREVOTE, **locked(B, 2)),
        (Prevote(3, None),),
    ),
    Case(
        "an older one for what we are locked on",
        at(3, PROPOSE, **locked(A, 2)),
        ProposalAndPolkaPrevious(3, A, 1, True),
        at(3, PREVOTE, **locked(A, 2)),
        (Prevote(3, A),),
    ),
    Case(
        "a proof of lock makes nothing valid",
        at(3, PROPOSE),
        ProposalAndPolkaPrevious(3, A, 1, False),
        at(3, PREVOTE),
        (Prevote(3, None),),
    ),
    Case(
        "a proof of lock of this round is none",
        at(3, PROPOSE),
        ProposalAndPolkaPrevious(3, A, 3, True),
        at(3, PROPOSE),
    ),
    Case("of a later round", at(3, PROPOSE), ProposalAndPolkaPrevious(3, A, 4, True), at(3, PROPOSE)),
    Case("of no round", at(3, PROPOSE), ProposalAndPolkaPrevious(3, A, -1, True), at(3, PROPOSE)),
    Case("too late", at(3, PREVOTE), ProposalAndPolkaPrevious(3, A, 1, True), at(3, PREVOTE)),
    # -- lines 34, 35
    Case(
        "2/3 of prevotes start the timeout",
        at(0, PREVOTE),
        PolkaAny(0),
        at(0, PREVOTE, prevote_timed=True),
        (Schedule(0, PREVOTE),),
    ),
    Case("once", at(0, PREVOTE, prevote_timed=True), PolkaAny(0), at(0, PREVOTE, prevote_timed=True)),
    Case("not before we have prevoted", FRESH, PolkaAny(0), FRESH),
    Case("nor after we have precommitted", at(0, PRECOMMIT), PolkaAny(0), at(0, PRECOMMIT)),
    # -- lines 36 to 43
    Case(
        "a polka locks",
        at(1, PREVOTE, **locked(B, 0)),
        ProposalAndPolkaCurrent(1, A),
        at(1, PRECOMMIT, polka_taken=True, **locked(A, 1)),
        (Precommit(1, A),),
    ),
    Case(
        "a late polka is the valid value and no lock",
        at(1, PRECOMMIT, **locked(B, 0)),
        ProposalAndPolkaCurrent(1, A),
        at(1, PRECOMMIT, locked=B, locked_round=0, valid=A, valid_round=1, polka_taken=True),
    ),
    Case("before our prevote it waits", FRESH, ProposalAndPolkaCurrent(0, A), FRESH),
    Case(
        "once",
        at(1, PRECOMMIT, polka_taken=True, **locked(A, 1)),
        ProposalAndPolkaCurrent(1, A),
        at(1, PRECOMMIT, polka_taken=True, **locked(A, 1)),
    ),
    Case("of an earlier round", at(2, PREVOTE), ProposalAndPolkaCurrent(1, A), at(2, PREVOTE)),
    # -- lines 44 to 46
    Case("a polka for nil", at(0, PREVOTE), PolkaNil(0), at(0, PRECOMMIT), (Precommit(0, None),)),
    Case(
        "keeps the lock",
        at(2, PREVOTE, **locked(A, 1)),
        PolkaNil(2),
        at(2, PRECOMMIT, **locked(A, 1)),
        (Precommit(2, None),),
    ),
    Case("not before we have prevoted", FRESH, PolkaNil(0), FRESH),
    Case("nor twice", at(0, PRECOMMIT), PolkaNil(0), at(0, PRECOMMIT)),
    # -- lines 47, 48
    Case(
        "2/3 of precommits start the timeout in any step",
        FRESH,
        PrecommitAny(0),
        at(0, PROPOSE, precommit_timed=True),
        (Schedule(0, PRECOMMIT),),
    ),
    Case(
        "once",
        at(0, PRECOMMIT, precommit_timed=True),
        PrecommitAny(0),
        at(0, PRECOMMIT, precommit_timed=True),
    ),
    Case("before the height has begun", INITIAL, PrecommitAny(0), INITIAL),
    # -- lines 49 to 51
    Case(
        "2/3 of precommits decide",
        at(1, PREVOTE),
        ProposalAndPrecommitValue(1, A),
        at(1, PREVOTE, decided=A, decided_round=1),
        (Decision(1, A),),
    ),
    Case(
        "in an earlier round, whatever we are locked on",
        at(5, PROPOSE, **locked(B, 4)),
        ProposalAndPrecommitValue(2, A),
        at(5, PROPOSE, decided=A, decided_round=2, **locked(B, 4)),
        (Decision(2, A),),
    ),
    Case(
        "in a later round",
        FRESH,
        ProposalAndPrecommitValue(3, A),
        at(0, PROPOSE, decided=A, decided_round=3),
        (Decision(3, A),),
    ),
    # -- lines 55, 56
    Case("f+1 in a later round", at(1, PREVOTE), SkipRound(4), at(1, PREVOTE), (NewRound(4),)),
    Case("in this round", at(1, PREVOTE), SkipRound(1), at(1, PREVOTE)),
    Case("in an earlier round", at(1, PREVOTE), SkipRound(0), at(1, PREVOTE)),
    # -- lines 57 to 67
    Case("no proposal in time", FRESH, TimeoutPropose(0), at(0, PREVOTE), (Prevote(0, None),)),
    Case(
        "no proposal in time, locked or not",
        at(2, PROPOSE, **locked(A, 1)),
        TimeoutPropose(2),
        at(2, PREVOTE, **locked(A, 1)),
        (Prevote(2, None),),
    ),
    Case("it came meanwhile", at(0, PREVOTE), TimeoutPropose(0), at(0, PREVOTE)),
    Case("a timeout of another round", at(1, PROPOSE), TimeoutPropose(0), at(1, PROPOSE)),
    Case(
        "prevotes do not agree",
        at(0, PREVOTE, prevote_timed=True),
        TimeoutPrevote(0),
        at(0, PRECOMMIT, prevote_timed=True),
        (Precommit(0, None),),
    ),
    Case("they did meanwhile", at(0, PRECOMMIT), TimeoutPrevote(0), at(0, PRECOMMIT)),
    Case("of another round", at(1, PREVOTE), TimeoutPrevote(0), at(1, PREVOTE)),
    Case("precommits do not decide", at(0, PRECOMMIT), TimeoutPrecommit(0), at(0, PRECOMMIT), (NewRound(1),)),
    Case("whatever our step", at(4, PROPOSE), TimeoutPrecommit(4), at(4, PROPOSE), (NewRound(5),)),
    Case("of another round", at(1, PRECOMMIT), TimeoutPrecommit(0), at(1, PRECOMMIT)),
    Case("before the height has begun", INITIAL, TimeoutPrecommit(0), INITIAL),
    # -- what the signer remembers
    Case(
        "a remembered lock",
        INITIAL,
        Recall(2, A, 3, B),
        INITIAL._replace(locked=A, locked_round=2, valid=B, valid_round=3),
    ),
    Case(
        "an older memory lowers no lock",
        at(3, PROPOSE, **locked(B, 2)),
        Recall(1, A, 2, A),
        at(3, PROPOSE, **locked(B, 2)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{type(case.event).__name__}: {case.name}")
def test_transition(case: Case):
    assert apply(case.before, case.event) == (case.after, case.outputs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{type(case.event).__name__}: {case.name}")
def test_after_the_decision_nothing_changes(case: Case):
    decided = case.before._replace(decided=B, decided_round=0)
    assert apply(decided, case.event) == (decided, ())


ALGORITHM = frozenset([*range(11, 21), 22, 23, 24, *range(26, 31), *range(32, 52), *range(55, 68)])
"""Lines of algorithm 1 that do or decide something within a height; 25 and 31 are `else`, 52 to 54 are layer 4."""


def tagged_lines() -> dict[int, frozenset[int]]:
    """Lines of the paper by the source line whose comment names them."""
    source = Path(rules.__file__).read_text().splitlines()
    found = {}
    for number, text in enumerate(source, 1):
        comment = text.partition("#")[2]
        match = re.search(r"\blines? ((?:\d+(?:, )?)+)", comment)
        if match and text.partition("#")[0].strip():
            found[number] = frozenset(int(part) for part in match[1].split(", ") if part)
    return found


def test_every_line_of_the_paper_is_named_in_the_source():
    named = frozenset().union(*tagged_lines().values())
    assert named == ALGORITHM, (sorted(ALGORITHM - named), sorted(named - ALGORITHM))


def test_every_line_of_the_paper_is_taken_by_the_table():
    executed: set[int] = set()

    def trace(frame, kind, _):
        if frame.f_code.co_filename != rules.__file__:
            return None
        if kind == "line":
            executed.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for case in CASES:
            apply(case.before, case.event)
    finally:
        sys.settrace(before)
    tagged = tagged_lines()
    taken = frozenset().union(*[lines for number, lines in tagged.items() if number in executed])
    assert taken == ALGORITHM, sorted(ALGORITHM - taken)
    assert set(tagged) <= executed


VALUES = st.sampled_from([A, B])
ROUNDS = st.integers(0, 4)
EVENTS = st.one_of(
    st.builds(StartRound, ROUNDS, st.booleans()),
    st.builds(ProposeValue, ROUNDS, VALUES),
    st.builds(Proposal, ROUNDS, VALUES, st.booleans()),
    st.builds(ProposalAndPolkaPrevious, ROUNDS, VALUES, st.integers(-1, 4), st.booleans()),
    st.builds(PolkaAny, ROUNDS),
    st.builds(ProposalAndPolkaCurrent, ROUNDS, VALUES),
    st.builds(PolkaNil, ROUNDS),
    st.builds(PrecommitAny, ROUNDS),
    st.builds(SkipRound, ROUNDS),
    st.builds(TimeoutPropose, ROUNDS),
    st.builds(TimeoutPrevote, ROUNDS),
    st.builds(TimeoutPrecommit, ROUNDS),
)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_comes_one_vote_a_step_is_cast_and_the_lock_rule_holds(events):
    state, cast = INITIAL, []
    for event in events:
        before = state
        state, outputs = apply(state, event)
        assert (state.round, state.step) >= (before.round, before.step)
        assert state.locked_round <= state.valid_round <= state.round
        assert state.locked_round >= before.locked_round
        assert state.valid_round >= before.valid_round
        for output in outputs:
            if isinstance(output, Prevote):
                free = before.locked_round == -1 or before.locked == output.value
                unlocked_by_proof = (
                    isinstance(event, ProposalAndPolkaPrevious) and before.locked_round <= event.pol_round
                )
                assert output.value is None or free or unlocked_by_proof
            if isinstance(output, Precommit) and output.value is not None:
                assert (state.locked, state.locked_round) == (output.value, state.round)
            if isinstance(output, Prevote | Precommit):
                cast.append((type(output), output.round))
    assert len(cast) == len(set(cast))
