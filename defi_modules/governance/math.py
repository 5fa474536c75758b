"""How votes become a decision: integers, no state. Every comparison is by multiplication."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Final

from qenex.errors import ValueOutOfRange

BPS: Final = 10_000
PASSED: Final = "passed"
REJECTED: Final = "rejected"
VETOED: Final = "vetoed"
NO_QUORUM: Final = "no_quorum"


def tally(
    yes: int,
    no: int,
    abstain: int,
    veto: int,
    total: int,
    quorum_bps: int = 3_340,
    threshold_bps: int = 5_000,
    veto_bps: int = 3_340,
) -> str:
    """What a vote came to: `no_quorum`, `vetoed`, `rejected` or `passed`. Powers are base units, parts basis points.

    Quorum: at least `quorum_bps` of the `total` power voted. Veto: more than `veto_bps` of those who voted want no such
    thing. Passed: more than `threshold_bps` of those with an opinion (abstentions left out) say yes. Raises
    ValueOutOfRange for a negative power, or more votes than there is power.
    """
    powers = (yes, no, abstain, veto)
    voted = sum(powers)
    if min(powers) < 0 or voted > total:
        raise ValueOutOfRange(f"votes of {powers} of a total power of {total}")
    if voted == 0 or voted * BPS < quorum_bps * total:
        return NO_QUORUM
    if veto * BPS > veto_bps * voted:
        return VETOED
    decided = voted - abstain
    return PASSED if decided and yes * BPS > threshold_bps * decided else REJECTED


def quadratic_votes(spent: Sequence[int]) -> tuple[int, ...]:
    """Votes that credits buy, by option: the integer square root of each."""
    return tuple([isqrt(credit) for credit in spent])


def quadratic_tally(ballots: Sequence[Sequence[int]], options: int, budget: int) -> tuple[int, ...]:
    """Votes by option of a quadratic vote. A ballot says how many credits go to each option.

    n votes for an option cost n * n credits of the ballot's one budget. A ballot over its budget, of another number of
    options or with a negative credit counts for nothing as a whole.
    """
    sums = [0] * options
    for ballot in ballots:
        if is_ballot(ballot, options, budget):
            for option, votes in enumerate(quadratic_votes(ballot)):
                sums[option] += votes
    return tuple(sums)


def is_ballot(spent: Sequence[int], options: int, budget: int) -> bool:
    """Whether a ballot counts."""
    return len(spent) == options and all(credit >= 0 for credit in spent) and sum(spent) <= budget
