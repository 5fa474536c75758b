"""Layer 1: the round state machine of Tendermint (arXiv 1807.04938, algorithm 1), and nothing else.

`apply(state, event) -> (state, outputs)` knows no peers, no counts, no signatures and no clock: an event says
that a whole condition of the paper holds ("a proposal and 2f+1 prevotes for it in this round"), an output says what is
to be broadcast or scheduled. Every transition names its line; an event whose guard does not hold changes nothing.

Three differences from the paper, none of them in what may be locked or voted for:

- the proposer, too, waits for its own proposal by a timeout (line 20): building or signing may fail;
- line 22 asks for `acceptable`: valid and, the proposal being fresh, received near the block's time;
- a decision ends the height; the next one begins with a new state (lines 52 to 54 are layer 4).
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from consensus.events import Step


class State(NamedTuple):
    """`round_p`, `step_p`, lock, valid value, and what happens once a round (`first time` in the paper)."""

    round: int = 0
    step: Step = Step.NEW_HEIGHT
    locked_round: int = -1
    locked: bytes | None = None
    valid_round: int = -1
    valid: bytes | None = None
    prevote_timed: bool = False
    """Line 34 was taken in this round."""
    polka_taken: bool = False
    """Line 36 was taken in this round."""
    precommit_timed: bool = False
    """Line 47 was taken in this round."""
    decided_round: int = -1
    decided: bytes | None = None


INITIAL: Final = State()

# -- events ------------------------------------------------------------------------------------


class StartRound(NamedTuple):
    """Enter `round`; `proposer`: we propose in it."""

    round: int
    proposer: bool


class ProposeValue(NamedTuple):
    """`getValue()` has answered (line 17)."""

    round: int
    value: bytes


class Proposal(NamedTuple):
    """A fresh proposal (no proof of lock) of the round's proposer; `acceptable`: valid and timely."""

    round: int
    value: bytes
    acceptable: bool


class ProposalAndPolkaPrevious(NamedTuple):
    """A proposal with 2f+1 prevotes for it in `pol_round`."""

    round: int
    value: bytes
    pol_round: int
    valid: bool


class PolkaAny(NamedTuple):
    """2f+1 prevotes in the round, for whatever."""

    round: int


class ProposalAndPolkaCurrent(NamedTuple):
    """A valid block with 2f+1 prevotes in the round."""

    round: int
    value: bytes


class PolkaNil(NamedTuple):
    """2f+1 prevotes for nil in the round."""

    round: int


class PrecommitAny(NamedTuple):
    """2f+1 precommits in the round, for whatever."""

    round: int


class ProposalAndPrecommitValue(NamedTuple):
    """A valid block with 2f+1 precommits in `round`, which may be any."""

    round: int
    value: bytes


class SkipRound(NamedTuple):
    """f+1 have spoken in a later round."""

    round: int


class TimeoutPropose(NamedTuple):
    """No proposal came in time."""

    round: int


class TimeoutPrevote(NamedTuple):
    """2f+1 prevotes did not agree in time."""

    round: int


class TimeoutPrecommit(NamedTuple):
    """2f+1 precommits did not decide in time."""

    round: int


class Recall(NamedTuple):
    """What the signer remembers of this height (a restart without the log): lock and valid value."""

    locked_round: int
    locked: bytes | None
    valid_round: int
    valid: bytes | None


RoundEvent: TypeAlias = (
    StartRound
    | ProposeValue
    | Proposal
    | ProposalAndPolkaPrevious
    | PolkaAny
    | ProposalAndPolkaCurrent
    | PolkaNil
    | PrecommitAny
    | ProposalAndPrecommitValue
    | SkipRound
    | TimeoutPropose
    | TimeoutPrevote
    | TimeoutPrecommit
    | Recall
)

# -- outputs -----------------------------------------------------------------------------------


class GetValue(NamedTuple):
    """Line 17: find a block to propose."""

    round: int


class Propose(NamedTuple):
    """Line 18: broadcast a proposal."""

    round: int
    value: bytes
    pol_round: int


class Prevote(NamedTuple):
    """Broadcast a prevote, None for nil."""

    round: int
    value: bytes | None


class Precommit(NamedTuple):
    """Broadcast a precommit, None for nil."""

    round: int
    value: bytes | None


class Schedule(NamedTuple):
    """Start the timeout of a step of the round."""

    round: int
    step: Step


class NewRound(NamedTuple):
    """StartRound(round) is due; the caller says whether we propose in it."""

    round: int


class Decision(NamedTuple):
    """Line 51."""

    round: int
    value: bytes


Output: TypeAlias = GetValue | Propose | Prevote | Precommit | Schedule | NewRound | Decision
Outputs: TypeAlias = tuple[Output, ...]
Result: TypeAlias = tuple[State, Outputs]

NOTHING: Final[Outputs] = ()


def apply(state: State, event: RoundEvent) -> Result:
    """The state after `event`, and what is to be done. Never raises; after the decision nothing changes."""
    if state.decided is not None:
        return state, NOTHING
    if isinstance(event, ProposalAndPrecommitValue):
        return _decide(state, event)
    if isinstance(event, StartRound):
        return _start_round(state, event)
    if isinstance(event, SkipRound):
        if event.round <= state.round:  # line 55
            return state, NOTHING
        return state, (NewRound(event.round),)  # line 56
    if isinstance(event, Recall):
        return _recall(state, event)
    if event.round != state.round:
        return state, NOTHING
    return _of_round(state, event)


def _of_round(state: State, event: RoundEvent) -> Result:
    """The events that count in their own round only."""
    step = state.step
    if isinstance(event, Proposal):
        return _proposal(state, event) if step == Step.PROPOSE else (state, NOTHING)  # line 22
    if isinstance(event, ProposalAndPolkaPrevious):
        return _proposal_with_polka(state, event) if step == Step.PROPOSE else (state, NOTHING)  # line 28
    if isinstance(event, ProposalAndPolkaCurrent):
        return _polka(state, event)
    if isinstance(event, PolkaNil):
        return _precommit_nil(state) if step == Step.PREVOTE else (state, NOTHING)  # line 44
    if isinstance(event, PolkaAny):
        if step != Step.PREVOTE or state.prevote_timed:  # line 34: for the first time
            return state, NOTHING
        return state._replace(prevote_timed=True), (Schedule(state.round, Step.PREVOTE),)  # line 35
    if isinstance(event, PrecommitAny):
        if step == Step.NEW_HEIGHT or state.precommit_timed:  # line 47: for the first time
            return state, NOTHING
        return state._replace(precommit_timed=True), (Schedule(state.round, Step.PRECOMMIT),)  # line 48
    if isinstance(event, ProposeValue):
        if step != Step.PROPOSE:
            return state, NOTHING
        return state, (Propose(state.round, event.value, -1),)  # line 18: there was no valid value (line 14)
    return _timeout(state, event)


def _timeout(state: State, event: RoundEvent) -> Result:
    if isinstance(event, TimeoutPropose) and state.step == Step.PROPOSE:
        return _prevote(state, None)  # lines 57, 58
    if isinstance(event, TimeoutPrevote) and state.step == Step.PREVOTE:
        return _precommit_nil(state)  # lines 61, 62
    if isinstance(event, TimeoutPrecommit) and state.step != Step.NEW_HEIGHT:
        return state, (NewRound(state.round + 1),)  # lines 65, 66, 67
    return state, NOTHING


def _start_round(state: State, event: StartRound) -> Result:
    """Lines 11 to 20. Rounds only rise; round 0 is entered once."""
    if event.round < state.round or (event.round == state.round and state.step != Step.NEW_HEIGHT):
        return state, NOTHING
    started = state._replace(  # lines 11, 12
        round=event.round,
        step=Step.PROPOSE,
        prevote_timed=False,
        polka_taken=False,
        precommit_timed=False,
    )
    timer = Schedule(event.round, Step.PROPOSE)  # line 20
    if not event.proposer:  # lines 13, 19
        return started, (timer,)
    if state.valid is not None:  # line 14
        return started, (timer, Propose(event.round, state.valid, state.valid_round))  # lines 15, 18
    return started, (timer, GetValue(event.round))  # lines 16, 17


def _proposal(state: State, event: Proposal) -> Result:
    """Lines 22 to 27."""
    unlocked = state.locked_round == -1 or state.locked == event.value
    if event.acceptable and unlocked:  # line 23
        return _prevote(state, event.value)  # line 24
    return _prevote(state, None)  # line 26


def _proposal_with_polka(state: State, event: ProposalAndPolkaPrevious) -> Result:
    """Lines 28 to 33."""
    if not 0 <= event.pol_round < state.round:  # line 28
        return state, NOTHING
    free = state.locked_round <= event.pol_round or state.locked == event.value
    if event.valid and free:  # line 29
        return _prevote(state, event.value)  # line 30
    return _prevote(state, None)  # line 32


def _polka(state: State, event: ProposalAndPolkaCurrent) -> Result:
    """Lines 36 to 43."""
    if state.step < Step.PREVOTE or state.polka_taken:  # line 36: for the first time
        return state, NOTHING
    known = state._replace(valid=event.value, valid_round=state.round, polka_taken=True)  # lines 42, 43
    if state.step != Step.PREVOTE:  # line 37
        return known, NOTHING
    locked = known._replace(  # lines 38, 39, 41
        locked=event.value, locked_round=state.round, step=Step.PRECOMMIT
    )
    return locked, (Precommit(state.round, event.value),)  # line 40


def _prevote(state: State, value: bytes | None) -> Result:
    """Broadcast the prevote and go on to the next step."""
    return state._replace(step=Step.PREVOTE), (Prevote(state.round, value),)  # lines 27, 33, 59, 60


def _precommit_nil(state: State) -> Result:
    """Broadcast a precommit for nil and go on to the next step."""
    return state._replace(step=Step.PRECOMMIT), (Precommit(state.round, None),)  # lines 45, 46, 63, 64


def _decide(state: State, event: ProposalAndPrecommitValue) -> Result:
    """2f+1 precommits for a valid block, in any round: it is decided."""
    decided = state._replace(decided=event.value, decided_round=event.round)
    return decided, (Decision(event.round, event.value),)  # lines 49, 50, 51


def _recall(state: State, event: Recall) -> Result:
    """Adopt a lock and a valid value that are newer than ours: a lock is never lowered."""
    if event.locked_round > state.locked_round:
        state = state._replace(locked=event.locked, locked_round=event.locked_round)
    if event.valid_round > state.valid_round:
        state = state._replace(valid=event.valid, valid_round=event.valid_round)
    return state, NOTHING
