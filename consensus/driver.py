"""Layer 3: joins proposals, vote thresholds and block checks into the events of the round state machine.

What is held is looked at again after each change of round or step, in a fixed order: a decision, then a later
round, then this round's rules by their lines. So it never matters in which order things came. The order also is part
of what a replay reproduces.

A block is known by its hash. Where the paper joins a proposal with a majority for it (lines 36 and 49), the
majority may also come alone: among 2f+1 some honest one held the proposal, and what counts here is that
the block it names was found valid by this node. A round whose proposer sent different proposals to different
validators is then no riddle.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from consensus import round as rules
from consensus.events import CheckBlock, Step
from consensus.round import NewRound, Output, RoundEvent, State
from consensus.validators import Rotation, ValidatorSet
from consensus.votes import PAST_ROUNDS, Added, Kind, VoteKeeper
from qenex.block import SignedProposal, SignedVote
from qenex.codec import Plain

MAX_PROPOSALS_AHEAD: Final = 2
"""Rounds ahead of the current one whose proposals are kept."""


class Entered(NamedTuple):
    """A round or a step was entered."""

    round: int
    step: Step


DriverOutput: TypeAlias = Output | CheckBlock | Entered


class Driver:
    """One height: layers 1 and 2, the proposals, and what is known of blocks. `own` is our index or None."""

    __slots__ = (
        "asked",
        "checked",
        "height",
        "own",
        "proposals",
        "rotation",
        "state",
        "timely",
        "votes",
    )

    def __init__(self, height: int, validators: ValidatorSet, own: int | None) -> None:
        self.height = height
        self.own = own
        self.state: State = rules.INITIAL
        self.votes = VoteKeeper([validator.power for validator in validators.validators])
        self.rotation = Rotation.of(validators)
        self.proposals: dict[int, SignedProposal] = {}
        """The first verified proposal of a round: the current one and a few ahead."""
        self.checked: dict[bytes, bool] = {}
        """Whether a block is valid, by hash."""
        self.timely: dict[tuple[int, bytes], bool] = {}
        """Whether a fresh proposal came in time, by round and hash."""
        self.asked: dict[tuple[int, bytes], bool] = {}
        """Checks that were asked for and not answered: round and hash, and whether timeliness counts."""

    def copy(self) -> Driver:
        """An independent driver; the rotation is shared: it is a function of the validators."""
        new = Driver.__new__(Driver)
        new.height, new.own, new.state, new.rotation = self.height, self.own, self.state, self.rotation
        new.votes, new.proposals = self.votes.copy(), self.proposals.copy()
        new.checked, new.timely, new.asked = self.checked.copy(), self.timely.copy(), self.asked.copy()
        return new

    def plain(self) -> Plain:
        """Everything, in an order that depends on contents alone."""
        return (
            self.height,
            self.own,
            tuple(self.state),
            self.votes.plain(),
            tuple(sorted(self.proposals.items())),
            tuple(sorted(self.checked.items())),
            tuple(sorted([(*place, timely) for place, timely in self.timely.items()])),
            tuple(sorted([(*place, fresh) for place, fresh in self.asked.items()])),
        )

    # -- inputs ------------------------------------------------------------------------------

    def start(self, round: int) -> list[DriverOutput]:
        """Enter the height at `round`."""
        outputs: list[DriverOutput] = []
        self._apply(NewRound(round), outputs)
        return self._examine(outputs)

    def vote(self, index: int, vote: SignedVote) -> tuple[Added, list[DriverOutput]]:
        """Count a verified vote."""
        added = self.votes.add(index, vote)
        if not added.thresholds:
            return added, []
        outputs: list[DriverOutput] = []
        for kind, round, _ in added.thresholds:
            if kind == Kind.SKIP:
                self._feed(rules.SkipRound(round), outputs)
        return added, self._examine(outputs)

    def wants_proposal(self, proposal: SignedProposal) -> bool:
        """Whether a proposal of this round would be taken."""
        ahead = proposal.round - self.state.round
        return 0 <= ahead <= MAX_PROPOSALS_AHEAD and proposal.round not in self.proposals

    def proposal(self, proposal: SignedProposal, *, own: bool) -> tuple[bool, list[DriverOutput]]:
        """Take a verified proposal of the round's proposer; answers whether it is new and of use."""
        if not self.wants_proposal(proposal):
            return False, []
        self.proposals[proposal.round] = proposal
        if own:
            self.timely[proposal.round, proposal.block_hash] = True
        if proposal.round == self.state.round and proposal.pol_round >= 0:
            self._pin()
        return True, self._examine([])

    def built(self, round: int, block_hash: bytes) -> list[DriverOutput]:
        """Our own block is there: it is valid."""
        self.checked.setdefault(block_hash, True)
        outputs: list[DriverOutput] = []
        self._feed(rules.ProposeValue(round, block_hash), outputs)
        return self._examine(outputs)

    def answered(self, round: int, block_hash: bytes, *, valid: bool, timely: bool) -> list[DriverOutput]:
        """A check's outcome. One that was not asked for changes nothing."""
        fresh = self.asked.pop((round, block_hash), None)
        if fresh is None:
            return []
        self.checked.setdefault(block_hash, valid)
        if fresh and round >= self.state.round:
            self.timely[round, block_hash] = timely
        return self._examine([])

    def timed_out(self, round: int, step: Step) -> list[DriverOutput]:
        """A timeout is over."""
        outputs: list[DriverOutput] = []
        if step == Step.PROPOSE:
            self._feed(rules.TimeoutPropose(round), outputs)
        elif step == Step.PREVOTE:
            self._feed(rules.TimeoutPrevote(round), outputs)
        elif step == Step.PRECOMMIT:
            self._feed(rules.TimeoutPrecommit(round), outputs)
        return self._examine(outputs) if outputs else outputs

    def recall(self, event: rules.Recall, first: int = 0) -> list[DriverOutput]:
        """Adopt what the signer remembers, and go on no earlier than its round: a lock is never of a later one.

        Nor earlier than in round `first`.
        """
        outputs: list[DriverOutput] = []
        for name in (event.locked, event.valid):
            if name is not None:
                self.checked.setdefault(name, True)  # it was found valid before it was voted for
        self._feed(event, outputs)
        round = max(self.state.locked_round, self.state.valid_round, first)
        if round > self.state.round:
            self._apply(NewRound(round), outputs)
        return self._examine(outputs)

    # -- layer 1 -----------------------------------------------------------------------------

    def _feed(self, event: RoundEvent, outputs: list[DriverOutput]) -> bool:
        """Give layer 1 an event; True if anything changed."""
        before = self.state
        after, told = rules.apply(before, event)
        if after is before and not told:
            return False
        self.state = after
        if after.step != before.step or after.round != before.round:
            outputs.append(Entered(after.round, after.step))
        for output in told:
            if isinstance(output, NewRound):
                self._apply(output, outputs)
            else:
                outputs.append(output)
        return True

    def _apply(self, new: NewRound, outputs: list[DriverOutput]) -> None:
        """StartRound: forget what only earlier rounds needed."""
        round = new.round
        self.proposals = {number: held for number, held in self.proposals.items() if number >= round}
        self.timely = {place: timely for place, timely in self.timely.items() if place[0] >= round}
        oldest = round - PAST_ROUNDS
        self.asked = {place: fresh for place, fresh in self.asked.items() if place[0] >= oldest}
        proposer = self.own is not None and self.rotation.proposer(round) == self.own
        self._feed(rules.StartRound(round, proposer), outputs)
        self.votes.begin_round(round, self._needed_rounds())

    def _pin(self) -> None:
        self.votes.pin(self._needed_rounds())

    def _needed_rounds(self) -> tuple[int, ...]:
        state = self.state
        proposal = self.proposals.get(state.round)
        named = -1 if proposal is None else proposal.pol_round
        return state.locked_round, state.valid_round, named

    def _examine(self, outputs: list[DriverOutput]) -> list[DriverOutput]:
        """Apply the first rule that holds, until none does."""
        while self.state.decided is None and self._one(outputs):
            continue
        return outputs

    def _one(self, outputs: list[DriverOutput]) -> bool:
        """One rule of those whose condition holds; False if nothing changed."""
        state, votes = self.state, self.votes
        for round, value in votes.decidable:  # line 49
            if self._is_valid(round, value, outputs):
                return self._feed(rules.ProposalAndPrecommitValue(round, value), outputs)
        round = state.round
        current = votes.rounds.get(round)
        if current is not None:
            prevotes = current.prevotes
            if prevotes.majority_told and not state.polka_taken:
                polka = prevotes.majority
                if polka is None:  # line 44
                    if self._feed(rules.PolkaNil(round), outputs):
                        return True
                elif self._is_valid(round, polka, outputs) and self._feed(  # line 36
                    rules.ProposalAndPolkaCurrent(round, polka), outputs
                ):
                    return True
        if state.step == Step.PROPOSE and self._proposal(outputs):  # lines 22, 28
            return True
        if current is None:
            return False
        if current.prevotes.any_told and self._feed(rules.PolkaAny(round), outputs):  # line 34
            return True
        return current.precommits.any_told and self._feed(rules.PrecommitAny(round), outputs)  # line 47

    def _proposal(self, outputs: list[DriverOutput]) -> bool:
        """Lines 22 and 28, once the proposal's block has been looked at."""
        round = self.state.round
        proposal = self.proposals.get(round)
        if proposal is None:
            return False
        value, pol_round = proposal.block_hash, proposal.pol_round
        valid = self.checked.get(value)
        if pol_round >= 0:
            if valid is None:
                self._ask(round, value, False, outputs)
                return False
            if not self.votes.has_polka(pol_round, value):
                return False
            event = rules.ProposalAndPolkaPrevious(round, value, pol_round, valid)
            return self._feed(event, outputs)
        timely = self.timely.get((round, value))
        if valid is not False and timely is None:
            self._ask(round, value, True, outputs)
            return False
        return self._feed(rules.Proposal(round, value, bool(valid and timely)), outputs)

    def _is_valid(self, round: int, value: bytes, outputs: list[DriverOutput]) -> bool:
        """Whether a block with a majority behind it is known to be valid; asks if it was never looked at."""
        valid = self.checked.get(value)
        if valid is None:
            proposal = self.proposals.get(round)
            fresh = round == self.state.round and (proposal is None or proposal.pol_round < 0)
            self._ask(round, value, fresh, outputs)
        return bool(valid)

    def _ask(self, round: int, value: bytes, fresh: bool, outputs: list[DriverOutput]) -> None:
        if (round, value) not in self.asked:
            self.asked[round, value] = fresh
            outputs.append(CheckBlock(self.height, round, value, fresh))
