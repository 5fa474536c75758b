"""Shares of a stream of rewards: a running sum of rewards per unit of weight, exact but for floors that are carried."""

from __future__ import annotations

from qenex.errors import ValueOutOfRange

SCALE = 1 << 96
"""The running sum is in units of 1 / SCALE of a base unit per unit of weight: below 2^224 for any amount."""
NEUTRAL_BPS = 10_000


def boosted(amount: int, boost_bps: int) -> int:
    """Weight of a stake of `amount` base units, rounded down. `boost_bps` 10,000 is no boost."""
    if amount < 0 or boost_bps < NEUTRAL_BPS:
        raise ValueOutOfRange(f"a stake of {amount} with a boost of {boost_bps} basis points")
    return amount * boost_bps // NEUTRAL_BPS


def accrue(amount: int, weight: int, carry: int) -> tuple[int, int]:
    """What `amount` base units more add to the running sum over a total `weight` > 0, and the new carry.

    The carry is what a floor has left of earlier amounts, in 1 / SCALE of a base unit; it is divided next time.
    """
    if amount < 0 or weight <= 0 or carry < 0:
        raise ValueOutOfRange(f"{amount} base units over a weight of {weight}")
    return divmod(amount * SCALE + carry, weight)


def earned(weight: int, total: int, seen: int) -> int:
    """Base units that `weight` has earned while the running sum went from `seen` to `total`, rounded down."""
    if weight < 0 or total < seen:
        raise ValueOutOfRange("a running sum never falls")
    return weight * (total - seen) // SCALE
