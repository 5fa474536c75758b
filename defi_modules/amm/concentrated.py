"""Concentrated liquidity: ticks, square-root prices and swap steps, with Uniswap's rounding.

Source: Uniswap v3 core whitepaper (Adams, Zinsmeister, Salem, Keefer, Robinson, 2021) and the swap step of v4.
A price is token 1 per token 0; its square root is Q64.96; tick t stands for the price 1.0001^t. Liquidity and
amounts lie below 2^128, fees are parts of 1e6.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from qenex.errors import (
    AmountTooLarge,
    FeeTierNotAllowed,
    InsufficientLiquidity,
    PriceOutOfRange,
    TickOutOfRange,
)
from qenex.integers import Q96
from qenex.types import MAX_AMOUNT

MIN_TICK: Final = -887_272
MAX_TICK: Final = 887_272
MIN_SQRT_PRICE: Final = 4_295_128_739
"""Square root of the price at MIN_TICK."""
MAX_SQRT_PRICE: Final = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342
"""Square root of the price at MAX_TICK; prices lie below it."""
FEE_BASE: Final = 1_000_000
MAX_SPACING: Final = 16_384

_POWERS: Final = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x09AA508B5B7A84E1C677DE54F3E99BC9,
    0x005D6AF8DEDB81196699C329225EE604,
    0x00002216E584F5FA1EA926041BEDFE98,
    0x00000000048A170391F7DC42444E8FA2,
)
"""1.0001^(-2^i / 2) as Q128, the figures of v3's tick mathematics."""
_TICKS_PER_DOUBLING: Final = 238_175_465_724_993
"""Ticks by which a square-root price doubles, 2 ln 2 / ln 1.0001 = 13863.6..., times 2^34 (rounded)."""


class SwapStep(NamedTuple):
    """Where a step ends, and what it takes in (without the fee), pays out, and keeps as fee (of the input)."""

    sqrt_price: int
    amount_in: int
    amount_out: int
    fee: int


@lru_cache(maxsize=1 << 15)
def sqrt_price_at_tick(tick: int) -> int:
    """Square root of 1.0001^tick as Q64.96, rounded up as v3 does. Raises TickOutOfRange."""
    if not MIN_TICK <= tick <= MAX_TICK:
        raise TickOutOfRange(f"tick {tick}")
    ratio = 1 << 128
    rest, index = abs(tick), 0
    while rest:
        if rest & 1:
            ratio = ratio * _POWERS[index] >> 128
        rest >>= 1
        index += 1
    if tick > 0:
        ratio = ((1 << 256) - 1) // ratio
    return -(-ratio >> 32)


def tick_at_sqrt_price(p: int) -> int:
    """The greatest tick whose square-root price is at most `p`. Raises PriceOutOfRange.

    A binary logarithm of 16 bits behind the point comes within one tick; the table then decides.
    """
    if not MIN_SQRT_PRICE <= p < MAX_SQRT_PRICE:
        raise PriceOutOfRange(f"a square-root price of {p}")
    size = p.bit_length()
    mantissa = p << 64 - size if size <= 64 else p >> size - 64  # in [2^63, 2^64)
    logarithm = size - 97
    for _ in range(16):
        mantissa = mantissa * mantissa >> 63
        carry = mantissa >> 64
        mantissa >>= carry
        logarithm = logarithm << 1 | carry
    tick = max(MIN_TICK, min(MAX_TICK - 1, logarithm * _TICKS_PER_DOUBLING >> 50))
    while sqrt_price_at_tick(tick) > p:
        tick -= 1
    while sqrt_price_at_tick(tick + 1) <= p:
        tick += 1
    return tick


def _check_liquidity(liquidity: int) -> None:
    if not 0 <= liquidity < MAX_AMOUNT:
        raise AmountTooLarge("liquidity lies from 0 to below 2^128")


def amount0_delta(pa: int, pb: int, liquidity: int, round_up: bool) -> int:
    """Token 0 between two square-root prices: L * (1/sqrt(a) - 1/sqrt(b)). Raises PriceOutOfRange, AmountTooLarge."""
    if pa > pb:
        pa, pb = pb, pa
    if pa <= 0:
        raise PriceOutOfRange("a price of zero")
    _check_liquidity(liquidity)
    top = (liquidity << 96) * (pb - pa)
    if round_up:
        first = -(-top // pb)
        return -(-first // pa)
    return top // pb // pa


def amount1_delta(pa: int, pb: int, liquidity: int, round_up: bool) -> int:
    """Token 1 between two square-root prices: L * (sqrt(b) - sqrt(a)). Raises PriceOutOfRange, AmountTooLarge."""
    if pa > pb:
        pa, pb = pb, pa
    if pa < 0:
        raise PriceOutOfRange("a negative price")
    _check_liquidity(liquidity)
    top = liquidity * (pb - pa)
    return -(-top >> 96) if round_up else top >> 96


def _check_state(price: int, liquidity: int) -> None:
    if price <= 0:
        raise PriceOutOfRange("a price of zero")
    if liquidity <= 0:
        raise InsufficientLiquidity("no liquidity at this price")
    _check_liquidity(liquidity)


def next_sqrt_price_from_input(price: int, liquidity: int, amount_in: int, zero_for_one: bool) -> int:
    """The square-root price after `amount_in` came in; rounded so that the pool is not pushed too far.

    Raises PriceOutOfRange or InsufficientLiquidity.
    """
    _check_state(price, liquidity)
    if zero_for_one:
        top = liquidity << 96
        return -(-top * price // (top + amount_in * price))
    moved = price + (amount_in << 96) // liquidity
    if moved >= 1 << 160:
        raise PriceOutOfRange("a square-root price beyond 2^160")
    return moved


def next_sqrt_price_from_output(price: int, liquidity: int, amount_out: int, zero_for_one: bool) -> int:
    """The square-root price after `amount_out` was paid; rounded so that the pool is pushed far enough.

    Raises PriceOutOfRange, or InsufficientLiquidity if the liquidity cannot pay that much.
    """
    _check_state(price, liquidity)
    if zero_for_one:
        fallen = -(-(amount_out << 96) // liquidity)
        moved = price - fallen
        if moved < 0:
            raise InsufficientLiquidity("more of token 1 than there is at this liquidity")
        return moved
    top = liquidity << 96
    if amount_out * price >= top:
        raise InsufficientLiquidity("more of token 0 than there is at this liquidity")
    moved = -(-top * price // (top - amount_out * price))
    if moved >= 1 << 160:
        raise PriceOutOfRange("a square-root price beyond 2^160")
    return moved


def compute_swap_step(
    price: int, target: int, liquidity: int, amount_remaining: int, fee_pips: int
) -> SwapStep:
    """One step of a swap within a range of constant liquidity, from `price` towards `target` (v4's rule).

    `amount_remaining` is v4's: negative is an exact input (fee included), positive an exact output. All of an
    exact input that does not reach the target is used up; what the price does not account for is fee.
    Input and fee are rounded up, output down. Raises FeeTierNotAllowed, PriceOutOfRange, AmountTooLarge.
    """
    if not 0 <= fee_pips < FEE_BASE:
        raise FeeTierNotAllowed(f"a fee of {fee_pips} parts of a million")
    zero_for_one = price >= target
    if amount_remaining < 0:
        given = -amount_remaining
        net = given * (FEE_BASE - fee_pips) // FEE_BASE
        needed = (
            amount0_delta(target, price, liquidity, True)
            if zero_for_one
            else amount1_delta(price, target, liquidity, True)
        )
        if net >= needed:
            reached, amount_in = target, needed
            fee = -(-needed * fee_pips // (FEE_BASE - fee_pips))
        else:
            reached = next_sqrt_price_from_input(price, liquidity, net, zero_for_one)
            amount_in, fee = net, given - net
        out = (
            amount1_delta(reached, price, liquidity, False)
            if zero_for_one
            else amount0_delta(price, reached, liquidity, False)
        )
        return SwapStep(reached, amount_in, out, fee)
    available = (
        amount1_delta(target, price, liquidity, False)
        if zero_for_one
        else amount0_delta(price, target, liquidity, False)
    )
    if amount_remaining >= available:
        reached, out = target, available
    else:
        reached = next_sqrt_price_from_output(price, liquidity, amount_remaining, zero_for_one)
        out = amount_remaining
    amount_in = (
        amount0_delta(reached, price, liquidity, True)
        if zero_for_one
        else amount1_delta(price, reached, liquidity, True)
    )
    return SwapStep(reached, amount_in, out, -(-amount_in * fee_pips // (FEE_BASE - fee_pips)))


def liquidity_for_amounts(price: int, pa: int, pb: int, amount0: int, amount1: int) -> int:
    """The liquidity that the amounts pay for between two square-root prices, floored. Raises PriceOutOfRange."""
    if pa > pb:
        pa, pb = pb, pa
    if pa <= 0 or pa == pb:
        raise PriceOutOfRange("a range between two different prices above zero")
    if price <= pa:
        return _liquidity0(pa, pb, amount0)
    if price < pb:
        return min(_liquidity0(price, pb, amount0), (amount1 << 96) // (price - pa))
    return (amount1 << 96) // (pb - pa)


def _liquidity0(pa: int, pb: int, amount0: int) -> int:
    return amount0 * (pa * pb // Q96) // (pb - pa)


def amounts_for_liquidity(price: int, pa: int, pb: int, liquidity: int, round_up: bool) -> tuple[int, int]:
    """What liquidity between two square-root prices holds of both tokens at `price`."""
    if price <= pa:
        return amount0_delta(pa, pb, liquidity, round_up), 0
    if price < pb:
        return (
            amount0_delta(price, pb, liquidity, round_up),
            amount1_delta(pa, price, liquidity, round_up),
        )
    return 0, amount1_delta(pa, pb, liquidity, round_up)


def max_liquidity_per_tick(spacing: int) -> int:
    """The most liquidity that may refer to one tick: all ticks together stay below 2^128. Raises TickOutOfRange."""
    if not 1 <= spacing <= MAX_SPACING:
        raise TickOutOfRange(f"a tick spacing of {spacing}")
    most = MAX_TICK // spacing
    return (MAX_AMOUNT - 1) // (2 * most + 1)
