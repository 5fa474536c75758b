"""What a peer lacks: two pure functions, so that a lost message or a hidden lock is always repaired.

Votes are flooded once. Besides, peers tell each other small summaries; whoever reads one sends what is missing. A
vote is called present by its validator's bit, whatever its value: so if a peer sees no majority of prevotes
where there is one, although its bits cover it, it holds other votes of those who voted twice, and the
whole majority is sent again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from consensus.driver import MAX_PROPOSALS_AHEAD, Driver
from consensus.events import Message
from consensus.height import Core
from consensus.votes import FUTURE_ROUNDS, RoundVotes, Tally
from qenex.block import SignedVote

MAX_ROUNDS: Final = 16
"""Rounds that a summary tells of."""
MAX_MESSAGES: Final = 64
"""Messages that are sent for one summary."""


class RoundSummary(NamedTuple):
    """Bit i (of byte i // 8, least significant first) stands for validator i in canonical order.

    `polka` is the block for which 2/3 of prevotes are held, if there are; `proposal`: the round's is held.
    """

    round: int
    prevotes: bytes
    precommits: bytes
    proposal: bool
    polka: bytes | None


class Summary(NamedTuple):
    """Where a node stands and what it holds. `rounds` ascend."""

    height: int
    round: int
    step: int
    rounds: tuple[RoundSummary, ...]


def summary(core: Core) -> Summary:
    """The summary of this core. While a height is decided and the next not begun, it is that of the old one."""
    driver = core.state.driver
    if driver is None:
        return Summary(core.height, 0, 0, ())
    numbers = sorted({*driver.votes.rounds, *driver.proposals})
    state = driver.state
    first = {state.round, state.round + 1, state.locked_round, state.valid_round, *driver.votes.pinned}
    chosen = [number for number in numbers if number in first][:MAX_ROUNDS]
    others = [number for number in reversed(numbers) if number not in first]
    chosen = sorted([*chosen, *others[: MAX_ROUNDS - len(chosen)]])
    rounds = tuple([_round_summary(driver, number) for number in chosen])
    return Summary(core.height, state.round, int(state.step), rounds)


def _round_summary(driver: Driver, round: int) -> RoundSummary:
    votes = driver.votes.rounds.get(round)
    size = (len(driver.votes.powers) + 7) // 8
    proposal = round in driver.proposals
    if votes is None:
        return RoundSummary(round, bytes(size), bytes(size), proposal, None)
    return RoundSummary(
        round, _bits(votes.prevotes, size), _bits(votes.precommits, size), proposal, votes.prevotes.majority
    )


def _bits(tally: Tally, size: int) -> bytes:
    bits = 0
    for index, vote in enumerate(tally.first):
        if vote is not None:
            bits |= 1 << index
    return bits.to_bytes(size, "little")


def missing(core: Core, theirs: Summary, limit: int = MAX_MESSAGES) -> list[Message]:
    """At most `limit` messages that bring a peer with this summary forward, the most useful first.

    A peer one height behind gets the commit that decided it; one further behind has to fetch blocks. Hostile
    summaries cost no more than honest ones: every answer is bounded, and lists nothing of theirs.
    """
    state, driver = core.state, core.state.driver
    if driver is None:
        return []
    if theirs.height == state.height - 1:
        return [] if state.last_commit is None else [state.last_commit]
    if theirs.height != state.height:
        return []
    if state.decided is not None:
        return [state.decided]
    told = {entry.round: entry for entry in theirs.rounds}
    found: list[Message] = []
    _proposals(driver, theirs, told, found)
    for round in _rounds_of_use(driver, theirs, told):
        _votes(driver.votes.rounds[round], told.get(round), found)
        if len(found) >= limit:
            break
    return found[:limit]


def _proposals(driver: Driver, theirs: Summary, told: dict[int, RoundSummary], found: list[Message]) -> None:
    for round in range(theirs.round, theirs.round + MAX_PROPOSALS_AHEAD + 1):
        entry, proposal = told.get(round), driver.proposals.get(round)
        if proposal is not None and (entry is None or not entry.proposal):
            found.append(proposal)


def _rounds_of_use(driver: Driver, theirs: Summary, told: dict[int, RoundSummary]) -> list[int]:
    """Their round; then the proof of lock that its proposal names, and the rounds they lag behind; then the past."""
    held = driver.votes.rounds
    proposal = driver.proposals.get(theirs.round)
    named = -1 if proposal is None else proposal.pol_round
    ahead = sorted([round for round in held if round > theirs.round])[-FUTURE_ROUNDS:]
    decidable = [round for round, _ in driver.votes.decidable]
    past = sorted([round for round in held if round < theirs.round and round in told], reverse=True)
    wanted = [*decidable, named, theirs.round, *reversed(ahead), driver.state.valid_round, *past]
    return [round for round in dict.fromkeys(wanted) if round in held]


def _votes(votes: RoundVotes, entry: RoundSummary | None, found: list[Message]) -> None:
    """Precommits and prevotes of a round that they have not."""
    _absent(votes.precommits, 0 if entry is None else int.from_bytes(entry.precommits, "little"), found)
    before = len(found)
    _absent(votes.prevotes, 0 if entry is None else int.from_bytes(entry.prevotes, "little"), found)
    polka = votes.prevotes.majority
    if entry is not None and polka is not None and entry.polka != polka and len(found) == before:
        found += [vote for vote in _votes_for(votes.prevotes, polka) if vote is not None]


def _absent(tally: Tally, present: int, found: list[Message]) -> None:
    found += [vote for index, vote in enumerate(tally.first) if vote is not None and not present >> index & 1]


def _votes_for(tally: Tally, value: bytes) -> list[SignedVote | None]:
    return [tally.vote_for(index, value) for index in range(len(tally.first))]
