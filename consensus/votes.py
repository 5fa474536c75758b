"""Layer 2: the vote keeper. Power per value and round, each threshold told once, nobody counted twice.

A validator's first vote of a round and type counts for its value and, once, for "whatever". A second one for another
value is evidence. It is then counted for that other value as well (the paper's rules count the senders of each
message), but only once others with more than a third of the power stand behind the value: at most two
values can, so an equivocator occupies little, and a node to whom he sent the one vote still sees the majority
that he completed for everybody else with the other. Two majorities in one round would need more than a third to
have voted twice. Towards "whatever" and a skip he counts once.

Memory is bounded for each validator: rounds more than `PAST_ROUNDS` behind go, except those that a lock, a valid
value or the proposal in hand refer to; ahead of the current round only the two highest rounds a validator
spoke in are kept. That is enough to follow: whoever has left round r-1 saw 2f+1 speak in it, so f+1 honest ones'
two highest rounds include r-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from consensus.evidence import make_evidence
from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    FLAG_NIL,
    PRECOMMIT,
    PREVOTE,
    Commit,
    CommitSignature,
    Evidence,
    SignedVote,
)
from qenex.codec import Plain
from qenex.crypto.address import Address

PAST_ROUNDS: Final = 32
FUTURE_ROUNDS: Final = 2
"""Rounds ahead of the current one in which a validator's votes are kept."""
MAX_AHEAD: Final = 1_000
"""Votes of rounds further ahead are of no use: nobody honest is there while 2f+1 are not."""


class Kind(IntEnum):
    """What a threshold is about."""

    POLKA_ANY = 0
    POLKA_NIL = 1
    POLKA_VALUE = 2
    PRECOMMIT_ANY = 3
    PRECOMMIT_VALUE = 4
    SKIP = 5


class Threshold(NamedTuple):
    """More than 2/3 of the power (SKIP: more than 1/3). `value` only for POLKA_VALUE and PRECOMMIT_VALUE."""

    kind: Kind
    round: int
    value: bytes | None = None


class Added(NamedTuple):
    """What a vote did: whether it is new here, the thresholds it completed, and what it proves."""

    counted: bool
    thresholds: tuple[Threshold, ...] = ()
    evidence: Evidence | None = None


UNCOUNTED: Final = Added(False)
COUNTED: Final = Added(True)


class Tally:
    """Votes of one type in one round, by index of the validator."""

    __slots__ = ("any_told", "extra", "first", "majority", "majority_told", "power", "spoken")

    def __init__(self, count: int) -> None:
        self.first: list[SignedVote | None] = [None] * count
        self.extra: dict[tuple[int, bytes | None], SignedVote] = {}
        """Second votes of those who voted twice."""
        self.power: dict[bytes | None, int] = {}
        """Power behind each value."""
        self.spoken = 0
        self.any_told = False
        self.majority_told = False
        self.majority: bytes | None = None

    def copy(self) -> Tally:
        """An independent tally."""
        new = Tally.__new__(Tally)
        new.first, new.extra, new.power = self.first.copy(), self.extra.copy(), self.power.copy()
        new.spoken, new.any_told = self.spoken, self.any_told
        new.majority_told, new.majority = self.majority_told, self.majority
        return new

    def holds(self, index: int, value: bytes | None) -> bool:
        """Whether this validator's vote for this value is here."""
        first = self.first[index]
        return first is not None and (first.block_hash == value or (index, value) in self.extra)

    def vote_for(self, index: int, value: bytes | None) -> SignedVote | None:
        """The validator's vote for this value, or None."""
        first = self.first[index]
        if first is not None and first.block_hash == value:
            return first
        return self.extra.get((index, value))

    def plain(self) -> Plain:
        """Everything, in an order that depends on contents alone."""
        extra = sorted([(index, value or b"", vote) for (index, value), vote in self.extra.items()])
        power = sorted([(value or b"", weight) for value, weight in self.power.items()])
        told = (self.any_told, self.majority_told, self.majority)
        return (tuple(self.first), tuple(extra), tuple(power), self.spoken, told)


class RoundVotes:
    """Both tallies of a round, and whose messages of whichever type are here (a bit for each index)."""

    __slots__ = ("precommits", "present", "present_power", "prevotes", "skip_told")

    def __init__(self, count: int) -> None:
        self.prevotes = Tally(count)
        self.precommits = Tally(count)
        self.present = 0
        self.present_power = 0
        self.skip_told = False

    def copy(self) -> RoundVotes:
        """Independent votes."""
        new = RoundVotes.__new__(RoundVotes)
        new.prevotes, new.precommits = self.prevotes.copy(), self.precommits.copy()
        new.present, new.present_power, new.skip_told = self.present, self.present_power, self.skip_told
        return new

    def plain(self) -> Plain:
        """Everything, canonically."""
        return (self.prevotes.plain(), self.precommits.plain(), self.present, self.skip_told)


class VoteKeeper:
    """Votes of one height. Indexes are places in the canonical order of its validators."""

    __slots__ = ("accused", "decidable", "future", "pinned", "powers", "round", "rounds", "total")

    def __init__(self, powers: Sequence[int]) -> None:
        self.powers = tuple(powers)
        self.total = sum(powers)
        self.round = 0
        self.rounds: dict[int, RoundVotes] = {}
        self.future: dict[int, tuple[int, ...]] = {}
        """Rounds ahead in which a validator has spoken, ascending, by index."""
        self.accused: dict[int, bool] = {}
        """Validators against whom evidence was made."""
        self.decidable: tuple[tuple[int, bytes], ...] = ()
        """Rounds with 2f+1 precommits for a block, and the block."""
        self.pinned: tuple[int, ...] = ()
        """Past rounds that are kept whatever their age, ascending."""

    def copy(self) -> VoteKeeper:
        """An independent keeper."""
        new = VoteKeeper.__new__(VoteKeeper)
        new.powers, new.total, new.round, new.pinned = self.powers, self.total, self.round, self.pinned
        new.rounds = {number: votes.copy() for number, votes in self.rounds.items()}
        new.future, new.accused, new.decidable = self.future.copy(), self.accused.copy(), self.decidable
        return new

    def plain(self) -> Plain:
        """Everything, in an order that depends on contents alone."""
        rounds = tuple([(number, self.rounds[number].plain()) for number in sorted(self.rounds)])
        future = tuple([(index, self.future[index]) for index in sorted(self.future)])
        accused = tuple(sorted(self.accused))
        return (self.powers, self.round, rounds, future, accused, self.pinned, self.decidable)

    # -- rounds ------------------------------------------------------------------------------

    def begin_round(self, round: int, pinned: Iterable[int]) -> None:
        """`round` is the current one now; forget what is too old, but no round of `pinned`."""
        self.round = round
        self.future = {
            index: ahead
            for index, rounds in self.future.items()
            if (ahead := tuple([number for number in rounds if number > round]))
        }
        self.pin(pinned)
        kept = (*self.pinned, *[number for number, _ in self.decidable])
        for number in [n for n in self.rounds if n < round - PAST_ROUNDS and n not in kept]:
            del self.rounds[number]

    def pin(self, rounds: Iterable[int]) -> None:
        """Keep these past rounds, and take votes of them, whatever their age."""
        self.pinned = tuple(sorted({number for number in rounds if number >= 0}))

    def takes_round(self, round: int) -> bool:
        """Whether votes of a round are kept at all."""
        distance = round - self.round
        return -PAST_ROUNDS <= distance <= MAX_AHEAD or round in self.pinned

    def of_use(self, index: int, vote: SignedVote) -> bool:
        """Whether a vote, if its signature is good, would change anything."""
        round = vote.round
        if not self.takes_round(round):
            return False
        votes = self.rounds.get(round)
        if round > self.round and (votes is None or not votes.present >> index & 1):
            ahead = self.future.get(index, ())
            return len(ahead) < FUTURE_ROUNDS or round > ahead[0]
        if votes is None:
            return True
        tally = votes.prevotes if vote.type == PREVOTE else votes.precommits
        first = tally.first[index]
        if first is None:
            return True
        if tally.holds(index, vote.block_hash):
            return False
        return index not in self.accused or self._supported(tally, vote.block_hash)

    def _supported(self, tally: Tally, value: bytes | None) -> bool:
        return 3 * tally.power.get(value, 0) > self.total

    # -- counting ----------------------------------------------------------------------------

    def add(self, index: int, vote: SignedVote) -> Added:
        """Count a verified vote of the validator at `index`. Never raises."""
        round = vote.round
        votes = self.rounds.get(round)
        if votes is None or (round > self.round and not votes.present >> index & 1):
            if not self.takes_round(round) or (round > self.round and not self._reserve(index, round)):
                return UNCOUNTED
            if votes is None:
                votes = self.rounds[round] = RoundVotes(len(self.powers))
        tally = votes.prevotes if vote.type == PREVOTE else votes.precommits
        value = vote.block_hash
        weight = self.powers[index]
        first = tally.first[index]
        evidence = None
        if first is None:
            tally.first[index] = vote
            tally.spoken += weight
        else:
            if first.block_hash == value or (index, value) in tally.extra:
                return UNCOUNTED
            if index not in self.accused:
                self.accused[index] = True
                evidence = make_evidence(first, vote)
            if not self._supported(tally, value):
                return UNCOUNTED if evidence is None else Added(False, (), evidence)
            tally.extra[index, value] = vote
        power = tally.power[value] = tally.power.get(value, 0) + weight
        if not votes.present >> index & 1:
            votes.present |= 1 << index
            votes.present_power += weight
        told = self._thresholds(votes, tally, vote, power)
        if told or evidence is not None:
            return Added(True, told, evidence)
        return COUNTED

    def _thresholds(
        self, votes: RoundVotes, tally: Tally, vote: SignedVote, power: int
    ) -> tuple[Threshold, ...]:
        """Those that this vote completed; each is told once."""
        total, round, value = self.total, vote.round, vote.block_hash
        prevote = vote.type == PREVOTE
        told: list[Threshold] = []
        if not tally.majority_told and 3 * power > 2 * total:
            tally.majority_told, tally.majority = True, value
            if value is not None:
                told.append(Threshold(Kind.POLKA_VALUE if prevote else Kind.PRECOMMIT_VALUE, round, value))
                if not prevote:
                    self.decidable = tuple(sorted((*self.decidable, (round, value))))
            elif prevote:
                told.append(Threshold(Kind.POLKA_NIL, round))
        if not tally.any_told and 3 * tally.spoken > 2 * total:
            tally.any_told = True
            told.append(Threshold(Kind.POLKA_ANY if prevote else Kind.PRECOMMIT_ANY, round))
        if round > self.round and not votes.skip_told and 3 * votes.present_power > total:
            votes.skip_told = True
            told.append(Threshold(Kind.SKIP, round))
        return tuple(told)

    def _reserve(self, index: int, round: int) -> bool:
        """Make room for a validator's votes of a round ahead: of three rounds the lowest goes."""
        ahead = self.future.get(index, ())
        if len(ahead) >= FUTURE_ROUNDS:
            if round < ahead[0]:
                return False
            if all(number != ahead[0] for number, _ in self.decidable):
                self._forget(index, ahead[0])
            ahead = ahead[1:]
        self.future[index] = tuple(sorted((*ahead, round)))
        return True

    def _forget(self, index: int, round: int) -> None:
        """Take a validator's votes of a round ahead out of all counts."""
        votes = self.rounds[round]
        weight = self.powers[index]
        for tally in (votes.prevotes, votes.precommits):
            first = tally.first[index]
            if first is None:
                continue
            tally.first[index] = None
            tally.spoken -= weight
            for value in (first.block_hash, *[v for i, v in tally.extra if i == index]):
                tally.power[value] -= weight
                if not tally.power[value]:
                    del tally.power[value]
            tally.extra = {place: vote for place, vote in tally.extra.items() if place[0] != index}
        votes.present &= ~(1 << index)
        votes.present_power -= weight
        if not votes.present:
            del self.rounds[round]

    # -- reading -----------------------------------------------------------------------------

    def polka(self, round: int) -> tuple[bool, bytes | None]:
        """Whether 2f+1 prevoted one value in `round`, and which (None: nil)."""
        votes = self.rounds.get(round)
        return (False, None) if votes is None else (votes.prevotes.majority_told, votes.prevotes.majority)

    def has_polka(self, round: int, value: bytes) -> bool:
        """Whether 2f+1 prevoted `value` in `round`."""
        return self.polka(round) == (True, value)

    def spoke(self, round: int, type: int) -> bool:
        """Whether 2f+1 voted, for whatever, in `round`."""
        votes = self.rounds.get(round)
        if votes is None:
            return False
        return votes.precommits.any_told if type == PRECOMMIT else votes.prevotes.any_told

    def commit(self, height: int, round: int, value: bytes, addresses: Sequence[Address]) -> Commit:
        """The precommits of `round` as a commit for `value`. The caller knows that there are 2f+1 of them."""
        tally = self.rounds[round].precommits
        entries = []
        for index, address in enumerate(addresses):
            vote = tally.vote_for(index, value)
            flag = FLAG_COMMIT
            if vote is None:
                vote, flag = tally.vote_for(index, None), FLAG_NIL
            if vote is None:
                entries.append(CommitSignature(address, FLAG_ABSENT, b""))
            else:
                entries.append(CommitSignature(address, flag, vote.signature))
        return Commit(height, round, value, tuple(entries))
