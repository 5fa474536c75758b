"""The constant product curve: x * y = k, with the rounding of Uniswap v2.

Source: Uniswap v2 core whitepaper (Adams, Zinsmeister, Robinson, 2020) and its periphery library. Pure
functions over integers of base units; importable without a node, and what the chain itself runs.
Every amount and reserve lies below 2^128; fees are basis points below 10,000.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    FeeTierNotAllowed,
    InitialLiquidityTooSmall,
    InsufficientLiquidity,
)
from qenex.types import MAX_AMOUNT

MINIMUM_SHARES: Final = 1_000
"""Shares of the first deposit that stay locked for ever: an empty pool cannot be had for a unit."""
BASE: Final = 10_000
"""Fees are parts of this."""


def _check(reserve_in: int, reserve_out: int, fee_bps: int) -> None:
    if reserve_in <= 0 or reserve_out <= 0:
        raise InsufficientLiquidity("the pool is empty")
    if reserve_in >= MAX_AMOUNT or reserve_out >= MAX_AMOUNT:
        raise AmountTooLarge("a reserve of 2^128 or more")
    if not 0 <= fee_bps < BASE:
        raise FeeTierNotAllowed(f"a fee of {fee_bps} basis points")


def amount_out(amount_in: int, reserve_in: int, reserve_out: int, fee_bps: int) -> int:
    """What `amount_in` buys, floored; less than `reserve_out`, and 0 for dust.

    Raises AmountZero, AmountTooLarge, InsufficientLiquidity (empty pool) or FeeTierNotAllowed.
    """
    if amount_in <= 0:
        raise AmountZero("a swap of nothing")
    if amount_in >= MAX_AMOUNT:
        raise AmountTooLarge("an input of 2^128 or more")
    if not (0 < reserve_in < MAX_AMOUNT and 0 < reserve_out < MAX_AMOUNT and 0 <= fee_bps < BASE):
        _check(reserve_in, reserve_out, fee_bps)  # which refuses
    with_fee = amount_in * (BASE - fee_bps)
    return with_fee * reserve_out // (reserve_in * BASE + with_fee)


def amount_in(amount_out: int, reserve_in: int, reserve_out: int, fee_bps: int) -> int:
    """What `amount_out` costs: the floor plus 1, so never too little.

    Raises AmountZero, AmountTooLarge, InsufficientLiquidity or FeeTierNotAllowed.
    """
    if amount_out <= 0:
        raise AmountZero("a swap for nothing")
    _check(reserve_in, reserve_out, fee_bps)
    if amount_out >= reserve_out:
        raise InsufficientLiquidity(f"{amount_out} wanted of a reserve of {reserve_out}")
    wanted = reserve_in * amount_out * BASE // ((reserve_out - amount_out) * (BASE - fee_bps)) + 1
    if wanted >= MAX_AMOUNT:
        raise AmountTooLarge("an input of 2^128 or more")
    return wanted


def first_shares(a: int, b: int) -> int:
    """Shares of the first depositor: floor(sqrt(a * b)) less the 1,000 that stay locked.

    Raises AmountZero, AmountTooLarge or InitialLiquidityTooSmall.
    """
    if a <= 0 or b <= 0:
        raise AmountZero("the first deposit brings both coins")
    if a >= MAX_AMOUNT or b >= MAX_AMOUNT:
        raise AmountTooLarge("a deposit of 2^128 or more")
    minted = isqrt(a * b) - MINIMUM_SHARES
    if minted <= 0:
        raise InitialLiquidityTooSmall(f"worth {minted + MINIMUM_SHARES} shares, of which 1,000 stay locked")
    return minted


def shares(a: int, b: int, reserve_a: int, reserve_b: int, total: int) -> int:
    """Shares for a later deposit: the lesser of the two parts, floored.

    Raises AmountZero (also for a deposit worth no share), AmountTooLarge or InsufficientLiquidity.
    """
    if a <= 0 or b <= 0:
        raise AmountZero("a deposit brings both coins")
    if a >= MAX_AMOUNT or b >= MAX_AMOUNT:
        raise AmountTooLarge("a deposit of 2^128 or more")
    if reserve_a <= 0 or reserve_b <= 0 or total <= 0:
        raise InsufficientLiquidity("the pool is empty")
    minted = min(a * total // reserve_a, b * total // reserve_b)
    if minted == 0:
        raise AmountZero("a deposit worth less than one share")
    return minted


def deposit_for(minted: int, reserve_a: int, reserve_b: int, total: int) -> tuple[int, int]:
    """What `minted` shares cost: both coins in the pool's proportion, rounded up."""
    if minted <= 0 or total <= 0:
        raise AmountZero("no shares")
    return -(-minted * reserve_a // total), -(-minted * reserve_b // total)


def burn(shares: int, reserve_a: int, reserve_b: int, total: int) -> tuple[int, int]:
    """What `shares` redeem for, both floored.

    Raises AmountZero or InsufficientLiquidity (more shares than there are).
    """
    if shares <= 0:
        raise AmountZero("no shares")
    if shares > total:
        raise InsufficientLiquidity(f"{shares} shares of {total}")
    return shares * reserve_a // total, shares * reserve_b // total


def single_sided(amount: int, reserve: int, fee_bps: int) -> int:
    """How much of a deposit of one coin to swap so that the rest and the proceeds fit the pool, floored.

    The root of (1 - f) s^2 + (2 - f) r s = r a for a fee f, reserve r and amount a.
    Raises AmountZero, AmountTooLarge, InsufficientLiquidity or FeeTierNotAllowed.
    """
    if amount <= 0:
        raise AmountZero("a deposit of nothing")
    if amount >= MAX_AMOUNT:
        raise AmountTooLarge("a deposit of 2^128 or more")
    _check(reserve, reserve, fee_bps)
    kept = BASE - fee_bps
    middle = reserve * (BASE + kept)
    return (isqrt(middle * middle + 4 * kept * BASE * reserve * amount) - middle) // (2 * kept)
