"""The StableSwap curve with exact roots: D is the floor of its root, y the ceiling of its root.

Source: Michael Egorov, "StableSwap - efficient mechanism for Stablecoin liquidity" (2019), and the rules of
Curve's pools (rates, fees, ramps, the dynamic fee of its later ones). Curve's Newton loops end when two
steps are close, do not settle on strongly imbalanced pools, and sometimes round for the trader; here each
root is exact, so that every legal pool has a value and no swap lowers D.

For n coins with scaled balances x, S their sum, P their product and Ann = amp * n:

    Ann * S + D = Ann * D + D^(n+1) / (n^n * P)

`amp` is A * n^(n-1), as Curve stores it. Balances are base units below 2^128; `rates` are 1e18 fixed point
and scale them to 18 decimals (10^(36 - decimals) for a plain coin); fees are parts of 1e10.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Final, NamedTuple

from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    AmplificationOutOfRange,
    DenominationNotInPool,
    FeeTierNotAllowed,
    InsufficientLiquidity,
    InvalidPoolSetup,
    SameDenomination,
)
from qenex.integers import WAD
from qenex.types import MAX_AMOUNT

MAX_COINS: Final = 4
MAX_AMP: Final = 1_000_000
FEE_BASE: Final = 10**10
MAX_FEE: Final = 10**9
"""A tenth; the dynamic fee stays below five times that."""
MAX_MULTIPLIER: Final = 5 * FEE_BASE
MAX_RATE: Final = 10**36
MIN_RATE: Final = 10**18


class Exchange(NamedTuple):
    """What a swap pays, and what of its fee the pool and the protocol keep, in base units of the coin paid."""

    amount_out: int
    fee: int
    admin_fee: int


class Deposit(NamedTuple):
    """Shares that a deposit is worth, and by coin what of it is the fee for imbalance, and the protocol's part."""

    shares: int
    fees: tuple[int, ...]
    admin_fees: tuple[int, ...]


def check_curve(count: int, amp: int, fee: int = 0, multiplier: int = 0) -> None:
    """Raise InvalidPoolSetup, AmplificationOutOfRange or FeeTierNotAllowed outside of the domain."""
    if not 2 <= count <= MAX_COINS:
        raise InvalidPoolSetup(f"a stable pool of {count} coins")
    if not 1 <= amp <= MAX_AMP:
        raise AmplificationOutOfRange(f"an amplification of {amp}")
    if not 0 <= fee <= MAX_FEE or not 0 <= multiplier <= MAX_MULTIPLIER:
        raise FeeTierNotAllowed(f"a fee of {fee} parts of 10^10, multiplied by {multiplier}")


def scaled(balances: Sequence[int], rates: Sequence[int]) -> list[int]:
    """Balances in 18 decimals, floored. Raises AmountTooLarge or InvalidPoolSetup."""
    if len(balances) != len(rates) or any(not MIN_RATE <= rate <= MAX_RATE for rate in rates):
        raise InvalidPoolSetup("each coin has a rate from 10^18 to 10^36")
    if any(not 0 <= balance < MAX_AMOUNT for balance in balances):
        raise AmountTooLarge("balances lie below 2^128")
    return [balance * rate // WAD for balance, rate in zip(balances, rates, strict=True)]


def get_d(xp: Sequence[int], amp: int) -> int:
    """The invariant of scaled balances: the floor of the root. 0 for an empty pool.

    Newton's method from above on a convex function falls strictly until it has the floor of the root, so
    the first step that does not fall ends it. It starts at the lesser of S and a power of two above the
    root, which bounds the steps for any imbalance. Raises InsufficientLiquidity if only some coins are there.
    """
    n = len(xp)
    check_curve(n, amp)
    total = sum(xp)
    if total == 0:
        return 0
    if min(xp) <= 0:
        raise InsufficientLiquidity("a coin of the pool is missing")
    ann = amp * n
    np = prod(xp) * n**n
    constant = ann * total * np
    d: int = min(total, 1 << -(-constant.bit_length() // (n + 1)))
    slope = (ann - 1) * np
    while True:
        power = d**n
        lower: int = (n * d * power + constant) // ((n + 1) * power + slope)
        if lower >= d:
            return d
        d = lower


def _missing_balance(others: Sequence[int], amp: int, d: int) -> int:
    """The balance that, beside `others`, makes the invariant `d`: the ceiling of the root.

    With K = n^n * P of the others and S their sum: Ann*K*y^2 + K*(Ann*S + D - Ann*D)*y = D^(n+1).
    """
    n = len(others) + 1
    if min(others) <= 0 or d <= 0:
        raise InsufficientLiquidity("a coin of the pool is missing")
    ann = amp * n
    k = prod(others) * n**n
    a = ann * k
    b = k * (ann * (sum(others) - d) + d)
    c = d ** (n + 1)
    y: int = max(0, (isqrt(b * b + 4 * a * c) - b) // (2 * a))
    while (a * y + b) * y < c:
        y += 1
    return y


def _check_pair(i: int, j: int, count: int) -> None:
    if not (0 <= i < count and 0 <= j < count):
        raise DenominationNotInPool(f"coins {i} and {j} of {count}")
    if i == j:
        raise SameDenomination("a swap of a coin for itself")


def get_y(i: int, j: int, x: int, xp: Sequence[int], amp: int, d: int) -> int:
    """Scaled balance of coin `j` once coin `i` has `x`, for the invariant `d`: the ceiling of the root.

    Raises DenominationNotInPool, SameDenomination or InsufficientLiquidity.
    """
    check_curve(len(xp), amp)
    _check_pair(i, j, len(xp))
    return _missing_balance([x if k == i else xp[k] for k in range(len(xp)) if k != j], amp, d)


def _after_swap(i: int, j: int, x: int, xp: Sequence[int], amp: int) -> int:
    """`get_y` for the pool's own invariant, taken to 64 bits behind the point and rounded up there.

    In a lopsided pool a unit of D stands for many of a coin: with D in whole units, slices of a swap, or a
    swap there and back, could gain by its rounding. So D never falls, not even by a part of a unit.
    """
    fine = [balance << 64 for balance in xp]
    d = get_d(fine, amp) + 1
    others = [x << 64 if k == i else fine[k] for k in range(len(xp)) if k != j]
    return -(-_missing_balance(others, amp, d) >> 64)


def get_y_d(i: int, xp: Sequence[int], amp: int, d: int) -> int:
    """Scaled balance of coin `i` beside the others for another invariant `d`: the ceiling of the root."""
    check_curve(len(xp), amp)
    if not 0 <= i < len(xp):
        raise DenominationNotInPool(f"coin {i} of {len(xp)}")
    return _missing_balance([xp[k] for k in range(len(xp)) if k != i], amp, d)


def dynamic_fee(x: int, y: int, fee: int, multiplier: int) -> int:
    """The fee, up to `multiplier` / 1e10 times as high the further `x` and `y` are apart; rounded up.

    A multiplier of at most 1e10 leaves the fee as it is. A swap pays it for the middle of its way, as in
    Curve's pools: slices can save a part of what it adds to the fee, never of the fee itself.
    """
    if multiplier <= FEE_BASE or x + y == 0:
        return fee
    near = 4 * x * y
    far = (x + y) ** 2
    return -(-multiplier * fee * far // ((multiplier - FEE_BASE) * near + FEE_BASE * far))


def exchange(
    i: int,
    j: int,
    dx: int,
    balances: Sequence[int],
    rates: Sequence[int],
    amp: int,
    fee: int,
    admin_fee: int,
    *,
    multiplier: int = 0,
) -> Exchange:
    """Swap `dx` of coin `i` for coin `j`. Paid floor, less one scaled unit as in Curve's; fee ceil.

    `admin_fee` is the protocol's part of the fee in 1e10. 0 is paid for dust.
    Raises AmountZero, AmountTooLarge, InsufficientLiquidity, and what `get_y` raises.
    """
    check_curve(len(balances), amp, fee, multiplier)
    _check_pair(i, j, len(balances))
    if dx <= 0:
        raise AmountZero("a swap of nothing")
    if balances[i] + dx >= MAX_AMOUNT:
        raise AmountTooLarge("a balance of 2^128 or more")
    xp = scaled(balances, rates)
    x = (balances[i] + dx) * rates[i] // WAD
    y = _after_swap(i, j, x, xp, amp)
    gross = xp[j] - y - 1
    if gross <= 0:
        return Exchange(0, 0, 0)
    rate = dynamic_fee((xp[i] + x) // 2, (xp[j] + y) // 2, fee, multiplier)
    taken = -(-gross * rate // FEE_BASE)
    paid = (gross - taken) * WAD // rates[j]
    kept = taken * WAD // rates[j]
    return Exchange(paid, kept, kept * admin_fee // FEE_BASE)


def exchange_out(
    i: int,
    j: int,
    dy: int,
    balances: Sequence[int],
    rates: Sequence[int],
    amp: int,
    fee: int,
    *,
    multiplier: int = 0,
) -> int:
    """An input of coin `i` for which `exchange` pays at least `dy` of coin `j`, rounded up.

    The dynamic fee depends on the input sought: it is raised in at most 8 steps, then taken at its most.
    Raises AmountZero, AmountTooLarge, InsufficientLiquidity, and what `get_y` raises.
    """
    check_curve(len(balances), amp, fee, multiplier)
    _check_pair(i, j, len(balances))
    if dy <= 0:
        raise AmountZero("a swap for nothing")
    if dy >= balances[j]:
        raise InsufficientLiquidity(f"{dy} wanted of a balance of {balances[j]}")
    xp = scaled(balances, rates)
    most = -(-fee * max(multiplier, FEE_BASE) // FEE_BASE)
    rate, dx = fee, 0
    for step in range(9):
        rate = most if step == 8 else min(rate, most)
        net = -(-dy * rates[j] // WAD)
        gross = -(-net * FEE_BASE // (FEE_BASE - rate))
        y = xp[j] - gross - 1
        if y <= 0:
            raise InsufficientLiquidity(f"{dy} and the fee wanted of a balance of {balances[j]}")
        x = _after_swap(j, i, y, xp, amp)
        dx = max(1, -(-x * WAD // rates[i]) - balances[i])
        if balances[i] + dx >= MAX_AMOUNT:
            raise AmountTooLarge("a balance of 2^128 or more")
        if step == 8 or multiplier <= FEE_BASE:
            break
        if exchange(i, j, dx, balances, rates, amp, fee, 0, multiplier=multiplier).amount_out >= dy:
            return dx
        rate = max(rate + 1, dynamic_fee((xp[i] + x) // 2, (xp[j] + y) // 2, fee, multiplier))
    return (
        dx
        if exchange(i, j, dx, balances, rates, amp, fee, 0, multiplier=multiplier).amount_out >= dy
        else dx + 1
    )


def add_liquidity(
    amounts: Sequence[int],
    balances: Sequence[int],
    rates: Sequence[int],
    amp: int,
    fee: int,
    admin_fee: int,
    total: int,
    *,
    multiplier: int = 0,
) -> Deposit:
    """Shares for a deposit in any proportion, floored; the first one brings every coin and gets D shares.

    What makes the pool more lopsided pays the swap's fee on it (Curve: fee * n / (4 * (n - 1))), rounded up.
    Raises AmountZero, AmountTooLarge or InsufficientLiquidity.
    """
    n = len(balances)
    check_curve(n, amp, fee, multiplier)
    if len(amounts) != n or any(amount < 0 for amount in amounts) or not any(amounts):
        raise AmountZero(f"a deposit names an amount for each of {n} coins, one above zero at least")
    after = [old + amount for old, amount in zip(balances, amounts, strict=True)]
    xp = scaled(after, rates)
    d1 = get_d(xp, amp)
    if total == 0:
        return Deposit(d1, (0,) * n, (0,) * n)
    before = scaled(balances, rates)
    d0 = get_d(before, amp)
    if d0 == 0:
        raise InsufficientLiquidity("shares without a pool behind them")
    part = -(-fee * n // (4 * (n - 1)))
    mean = (d0 + d1) // n
    fees, left = [], []
    for k in range(n):
        difference = abs(d1 * balances[k] // d0 - after[k])
        rate = dynamic_fee(before[k] + xp[k], mean, part, multiplier)
        fees.append(min(after[k], -(-difference * rate // FEE_BASE)))
        left.append(after[k] - fees[k])
    d2 = get_d(scaled(left, rates), amp)
    # D is a floor: one more on the side of the pool, so that no rounding of D mints a share.
    minted = max(0, total * (d2 - d0 - 1) // (d0 + 1))
    return Deposit(minted, tuple(fees), tuple(f * admin_fee // FEE_BASE for f in fees))


def remove_liquidity(shares: int, balances: Sequence[int], total: int) -> tuple[int, ...]:
    """What `shares` redeem for in every coin, floored. Raises AmountZero or InsufficientLiquidity."""
    if shares <= 0:
        raise AmountZero("no shares")
    if shares > total:
        raise InsufficientLiquidity(f"{shares} shares of {total}")
    return tuple([balance * shares // total for balance in balances])


def remove_one(
    shares: int,
    i: int,
    balances: Sequence[int],
    rates: Sequence[int],
    amp: int,
    fee: int,
    total: int,
    *,
    multiplier: int = 0,
) -> tuple[int, int]:
    """What `shares` redeem for in coin `i` alone, floored, and the fee in it, as Curve's `calc_withdraw_one_coin`.

    Raises AmountZero, InsufficientLiquidity (all shares cannot leave through one coin) or
    DenominationNotInPool.
    """
    n = len(balances)
    check_curve(n, amp, fee, multiplier)
    if shares <= 0:
        raise AmountZero("no shares")
    if shares >= total:
        raise InsufficientLiquidity(f"{shares} shares of {total} through one coin")
    if not 0 <= i < n:
        raise DenominationNotInPool(f"coin {i} of {n}")
    xp = scaled(balances, rates)
    d0 = get_d(xp, amp)
    d1 = d0 + 1 - d0 * shares // total
    y = get_y_d(i, xp, amp, d1)
    part = -(-fee * n // (4 * (n - 1)))
    mean = (d0 + d1) // n
    reduced = []
    for k in range(n):
        expected = xp[k] * d1 // d0 - y if k == i else xp[k] - xp[k] * d1 // d0
        near = (xp[k] + y) if k == i else 2 * xp[k]
        rate = dynamic_fee(near, mean, part, multiplier)
        reduced.append(xp[k] - -(-max(0, expected) * rate // FEE_BASE))
    scaled_out = reduced[i] - get_y_d(i, reduced, amp, d1) - 1
    if scaled_out <= 0:
        return 0, 0
    paid = scaled_out * WAD // rates[i]
    without_fee = max(0, xp[i] - y - 1) * WAD // rates[i]
    return paid, max(0, without_fee - paid)


def ramp(a0: int, a1: int, t0: int, t1: int, now: int) -> int:
    """The amplification at `now` on a straight line from `a0` at `t0` to `a1` at `t1`; floored up, ceiled down.

    Times are absolute seconds.
    """
    if now >= t1 or t1 <= t0:
        return a1
    if now <= t0:
        return a0
    if a1 > a0:
        return a0 + (a1 - a0) * (now - t0) // (t1 - t0)
    return a0 - (a0 - a1) * (now - t0) // (t1 - t0)


def spot_price(i: int, j: int, balances: Sequence[int], rates: Sequence[int], amp: int) -> tuple[int, int]:
    """Marginal price of coin `i` in coin `j` without fee, as numerator and denominator, in base units.

    The ratio of the invariant's derivatives: (Ann + Q / x_i) / (Ann + Q / x_j) with Q = D^(n+1) / (n^n P).
    Raises as `get_d`.
    """
    n = len(balances)
    _check_pair(i, j, n)
    xp = scaled(balances, rates)
    d = get_d(xp, amp)
    np = prod(xp) * n**n
    flat = amp * n * np
    power = d ** (n + 1)
    return (
        xp[j] * (flat * xp[i] + power) * rates[i],
        xp[i] * (flat * xp[j] + power) * rates[j],
    )
