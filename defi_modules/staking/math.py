"""Staking in integers: shares, slashes, inflation, and how rewards are divided. Every division rounds against the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qenex.errors import ExchangeRateInvalid, ValueOutOfRange

SHARE: Final = 10**18
"""Shares that the first base unit delegated to a validator brings."""
SCALE: Final = 1 << 96
"""Running sums are in units of 1 / SCALE of a base unit per unit of power or weight."""
FINE: Final = 64
"""Bits by which a validator's own running sum is finer still: weights are in shares."""
BPS: Final = 10_000
YEAR_NS: Final = 365 * 86_400 * 10**9
RATE: Final = 10**9
"""Rates of inflation are in units of 10^-9 a year."""
MAX_POWER: Final = 1 << 52
"""Voting power of one validator: 150 of them stay below what proposer priorities allow."""


class SlashAmounts(NamedTuple):
    """What is taken, in base units: of a validator's tokens, and of each entry that is on its way out."""

    tokens: int
    entries: tuple[int, ...]


class Allocation(NamedTuple):
    """What goes to the community and to each validator, in base units; together all there was."""

    community: int
    validators: tuple[int, ...]


def shares_for(amount: int, tokens: int, total_shares: int) -> int:
    """Shares that `amount` base units bring at a validator that has `tokens` and `total_shares`, rounded down.

    The first delegation brings `amount * 10**18`. Raises ExchangeRateInvalid where shares are worth nothing,
    ValueOutOfRange for a negative number.
    """
    _not_negative(amount, tokens, total_shares)
    if total_shares == 0:
        return amount * SHARE
    if tokens == 0:
        raise ExchangeRateInvalid("all that was delegated to this validator has been slashed")
    return amount * total_shares // tokens


def tokens_for(shares: int, tokens: int, total_shares: int) -> int:
    """Base units that `shares` of `total_shares` are worth, rounded down; all shares are worth all tokens.

    Raises ValueOutOfRange for a negative number, or for more shares than there are.
    """
    _not_negative(shares, tokens, total_shares)
    if shares > total_shares:
        raise ValueOutOfRange(f"{shares} shares of {total_shares}")
    return shares * tokens // total_shares if total_shares else 0


def shares_burned(amount: int, tokens: int, total_shares: int) -> int:
    """Shares that pay for `amount` base units taken out, rounded up.

    Raises ExchangeRateInvalid where there are no tokens, ValueOutOfRange for a negative number.
    """
    _not_negative(amount, tokens, total_shares)
    if tokens == 0:
        raise ExchangeRateInvalid("all that was delegated to this validator has been slashed")
    return -(-amount * total_shares // tokens)


def slash_amounts(tokens: int, entries: Sequence[int], slash_bps: int) -> SlashAmounts:
    """What a slash of `slash_bps` basis points takes of a validator's tokens and of each entry, rounded up.

    Never more than there is. `entries`: base units that began to leave after the offence. Raises ValueOutOfRange.
    """
    _not_negative(tokens, slash_bps, *entries)
    if slash_bps > BPS:
        raise ValueOutOfRange(f"a slash of {slash_bps} basis points")
    return SlashAmounts(
        -(-tokens * slash_bps // BPS), tuple([-(-entry * slash_bps // BPS) for entry in entries])
    )


def allocate_rewards(fees: int, community_tax_bps: int, powers: Sequence[int]) -> Allocation:
    """Divide `fees` base units: the tax, rounded down, then validators by power, each rounded down.

    What the floors leave goes to the community, and so does all when nobody has power. Raises ValueOutOfRange.
    """
    _not_negative(fees, community_tax_bps, *powers)
    if community_tax_bps > BPS:
        raise ValueOutOfRange(f"a tax of {community_tax_bps} basis points")
    rest, total = fees - fees * community_tax_bps // BPS, sum(powers)
    shares = tuple([rest * power // total if total else 0 for power in powers])
    return Allocation(fees - sum(shares), shares)


def power_of(tokens: int, unit: int) -> int:
    """Voting power of `tokens` base units, `unit` of them for one, rounded down, at most 2^52."""
    return min(tokens // unit, MAX_POWER)


def weight_of(shares: int, boost_bps: int) -> int:
    """What a delegation of `shares` weighs when rewards are divided. 10,000 basis points: no boost.

    Nothing is divided here: what a floor took from one would be paid to the others.
    """
    return shares * boost_bps


def inflation_rate(bonded: int, supply: int, low_bps: int, high_bps: int, goal_bps: int) -> int:
    """Inflation a year, in units of 10^-9, rounded down: `high_bps` with nothing bonded, `low_bps` from the goal on.

    In between it falls evenly with the bonded part of the supply. `goal_bps` > 0.
    """
    goal = goal_bps * supply
    if goal == 0:
        return high_bps * (RATE // BPS)
    fall = (high_bps - low_bps) * (RATE // BPS) * min(bonded * BPS, goal)
    return high_bps * (RATE // BPS) - -(-fall // goal)


def minted(supply: int, rate: int, elapsed_ns: int, carry: int) -> tuple[int, int]:
    """Base units that `elapsed_ns` nanoseconds at `rate` bring to a `supply`, rounded down, and what is carried."""
    _not_negative(supply, rate, elapsed_ns, carry)
    return divmod(supply * rate * elapsed_ns + carry, RATE * YEAR_NS)


def accrue(amount: int, weight: int, carry: int) -> tuple[int, int]:
    """What `amount` base units add to a running sum over `weight` > 0, and the new carry."""
    return divmod(amount * SCALE + carry, weight)


def discount_bps(stake: int, tiers: Sequence[tuple[int, int]]) -> int:
    """The discount on fees, in basis points, of who has `stake` base units; tiers are (stake, discount), ascending."""
    return max([0, *[discount for least, discount in tiers if stake >= least]])


def _not_negative(*values: int) -> None:
    if min(values) < 0:
        raise ValueOutOfRange("amounts, shares, powers and rates are at least 0")
