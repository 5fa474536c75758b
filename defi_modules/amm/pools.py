"""Three curves behind one face: what a pool takes and pays, from its records alone, without context or state.

Execution and quotes both come here, so a quote is exact to the unit.

The sandwich rule. Every pool keeps the state in which it began the block, once for each direction, and moves
that copy by the swaps in that direction only. A swap is paid the lesser of what the current curve and the
copy pay (for an exact output it pays the greater price); the difference stays with the liquidity providers.
So within a block nobody buys below, or sells above, the price at which the block began: whoever moves the
price before another's swap cannot take it back after.

`Book.start` holds the copies, flat: for constant product, reserve in and out of 0 -> 1, then of 1 -> 0; for
stable pools the balances at the beginning, what lies beside the curve since, then (i, j, in, out) for each
direction used; for concentrated ones square-root price, tick and liquidity of 0 -> 1, then of 1 -> 0.

A stable pool's fee is taken from its output (Curve's rule). Left inside the curve it would make the next
slice's price better, so until the block ends it lies beside the curve, with all that was withheld.
"""

from __future__ import annotations

from typing import NamedTuple

from defi_modules.amm import constant_product, stableswap
from defi_modules.amm.concentrated import amount0_delta, amount1_delta
from defi_modules.amm.types import CONCENTRATED, CONSTANT_PRODUCT, Book, Pool, Spot, StableSetup
from defi_modules.amm.walk import Crossing, Place, Ticks, walk
from qenex.errors import AmountTooLarge, AmountZero, InsufficientLiquidity
from qenex.integers import Q96, WAD
from qenex.types import MAX_AMOUNT

MAX_CROSSINGS = 400
"""Ticks that one swap may cross: the work of a message is bounded."""
WORD = (1 << 256) - 1

_new = tuple.__new__


class Filled(NamedTuple):
    """A swap: what it took and paid, its fee (of coin `fee_coin`), and the pool's records after it."""

    amount_in: int
    amount_out: int
    fee: int
    fee_coin: int
    book: Book
    spot: Spot | None = None
    crossings: tuple[Crossing, ...] = ()


def amplification(setup: StableSetup, now_s: int) -> int:
    """A stable pool's amp at a time."""
    return stableswap.ramp(setup.amp_from, setup.amp_to, setup.ramp_start_s, setup.ramp_end_s, now_s)


def opened(pool: Pool, book: Book, spot: Spot | None, height: int) -> Book:
    """The book with the copies of this block, taken now if it is the first touch of the block."""
    if book.height == height:
        return book
    curve, reserves = pool.curve, book.reserves
    start: tuple[int, ...]
    if curve == CONSTANT_PRODUCT:
        start = (reserves[0], reserves[1], reserves[1], reserves[0])
    elif curve == CONCENTRATED:
        assert spot is not None
        start = (spot.sqrt_price, spot.tick, spot.liquidity) * 2
    else:
        start = reserves + (0,) * len(reserves)
    return _new(Book, (reserves, book.protocol, book.volumes, height, start))


def rescaled(pool: Pool, book: Book, before: int, after: int) -> Book:
    """The book's copies after a deposit or withdrawal: as deep as the pool now, at the price they had.

    In is rounded up and out down, against whoever swaps.
    """
    start = book.start
    if before == 0:
        reserves = book.reserves
        copies: tuple[int, ...] = (
            (reserves[0], reserves[1], reserves[1], reserves[0])
            if pool.curve == CONSTANT_PRODUCT
            else reserves + (0,) * len(reserves)
        )
    elif pool.curve == CONSTANT_PRODUCT:
        copies = tuple(
            [-(-x * after // before) if k % 2 == 0 else x * after // before for k, x in enumerate(start)]
        )
    else:
        n = 2 * len(pool.denoms)
        copies = tuple([x * after // before for x in start[:n]])
        for at in range(n, len(start), 4):
            i, j, came, went = start[at : at + 4]
            copies += (i, j, -(-came * after // before), -(-went * after // before))
    return book._replace(start=copies)


def swap(
    pool: Pool,
    book: Book,
    spot: Spot | None,
    ticks: Ticks | None,
    i: int,
    j: int,
    amount: int,
    exact_in: bool,
    height: int,
    now_s: int,
    share_bps: int,
) -> Filled:
    """Swap coin `i` for coin `j`: `amount` is the input (fee included) or the output.

    `share_bps` is the protocol's part of the fee. Raises AmountZero (dust that buys nothing, too),
    AmountTooLarge, InsufficientLiquidity and what the curves raise.
    """
    if amount <= 0:
        raise AmountZero("a swap of nothing")
    if amount >= MAX_AMOUNT:
        raise AmountTooLarge("an amount of 2^128 or more")
    book = opened(pool, book, spot, height)
    if pool.curve == CONSTANT_PRODUCT:
        filled = _constant_product(pool, book, i, amount, exact_in, share_bps)
    elif pool.curve == CONCENTRATED:
        assert spot is not None
        assert ticks is not None
        filled = _concentrated(pool, book, spot, ticks, i, amount, exact_in, share_bps)
    else:
        filled = _stable(pool, book, i, j, amount, exact_in, now_s, share_bps)
    if filled.amount_out <= 0:
        raise AmountZero(f"{amount} buys less than one unit")
    if max(filled.book.reserves) >= MAX_AMOUNT:
        raise AmountTooLarge("a reserve of 2^128 or more")
    return filled


def _pair(values: tuple[int, ...], i: int, add_i: int, j: int, add_j: int) -> tuple[int, ...]:
    """`values` with something added at two places."""
    if len(values) == 2:
        return (values[0] + add_i, values[1] + add_j) if i == 0 else (values[0] + add_j, values[1] + add_i)
    changed = list(values)
    changed[i] += add_i
    changed[j] += add_j
    return tuple(changed)


def _booked(
    book: Book, i: int, taken: int, j: int, paid: int, cuts: tuple[int, int], start: tuple[int, ...]
) -> Book:
    """The book after a swap; `cuts` go to the protocol, of coin `i` and of coin `j`."""
    reserves, protocol, volumes, height, _ = book
    cut_i, cut_j = cuts
    reserves = _pair(reserves, i, taken - cut_i, j, -paid - cut_j)
    if cut_i or cut_j:
        protocol = _pair(protocol, i, cut_i, j, cut_j)
    return _new(Book, (reserves, protocol, _pair(volumes, i, taken, j, 0), height, start))


def _constant_product(pool: Pool, book: Book, i: int, amount: int, exact_in: bool, share_bps: int) -> Filled:
    reserves, protocol, volumes, height, start = book
    fee_bps = pool.swap_fee
    (in0, out0, in1, out1), (kept0, kept1), (volume0, volume1) = start, protocol, volumes
    if i == 0:
        (reserve_in, reserve_out), start_in, start_out = reserves, in0, out0
    else:
        (reserve_out, reserve_in), start_in, start_out = reserves, in1, out1
    same = start_in == reserve_in and start_out == reserve_out
    if exact_in:
        taken = taken_start = amount
        paid = constant_product.amount_out(amount, reserve_in, reserve_out, fee_bps)
        paid_start = paid if same else constant_product.amount_out(amount, start_in, start_out, fee_bps)
        if paid_start < paid:
            paid = paid_start
    else:
        paid = paid_start = amount
        taken = constant_product.amount_in(amount, reserve_in, reserve_out, fee_bps)
        taken_start = taken if same else constant_product.amount_in(amount, start_in, start_out, fee_bps)
        if taken_start > taken:
            taken = taken_start
    fee = -(-taken * fee_bps // 10_000)
    cut = fee * share_bps // 10_000
    start_in += taken_start - (-(-taken_start * fee_bps // 10_000) * share_bps // 10_000)
    start_out -= paid_start
    reserve_in += taken - cut
    reserve_out -= paid
    # Written out for both directions: what every swap in such a pool does, at half the time of `_booked`.
    if i == 0:
        reserves, protocol, volumes = (
            (reserve_in, reserve_out),
            (kept0 + cut, kept1),
            (volume0 + taken, volume1),
        )
        start = (start_in, start_out, in1, out1)
    else:
        reserves, protocol, volumes = (
            (reserve_out, reserve_in),
            (kept0, kept1 + cut),
            (volume0, volume1 + taken),
        )
        start = (in0, out0, start_in, start_out)
    after = _new(Book, (reserves, protocol, volumes, height, start))
    return _new(Filled, (taken, paid, fee, i, after, None, ()))


def _stable(
    pool: Pool, book: Book, i: int, j: int, amount: int, exact_in: bool, now_s: int, share_bps: int
) -> Filled:
    setup = pool.stable
    assert setup is not None
    rates, fee, multiplier = setup.rates, pool.swap_fee, setup.multiplier
    amp = amplification(setup, now_s)
    admin = share_bps * 10**6
    start, n = book.start, len(pool.denoms)
    at, came, went = len(start), 0, 0
    for place in range(2 * n, len(start), 4):
        if start[place] == i and start[place + 1] == j:
            at, came, went = place, start[place + 2], start[place + 3]
            break
    copy = _pair(start[:n], i, came, j, -went)
    beside = start[n : 2 * n]
    curve = tuple([reserve - kept for reserve, kept in zip(book.reserves, beside, strict=True)])
    same = copy == curve
    if min(copy) <= 0 or min(curve) <= 0:
        raise InsufficientLiquidity(
            "what the pool had at the beginning of the block is spent in this direction"
        )
    taken = amount
    if not exact_in:
        taken = stableswap.exchange_out(i, j, amount, curve, rates, amp, fee, multiplier=multiplier)
        if not same:
            taken = max(
                taken, stableswap.exchange_out(i, j, amount, copy, rates, amp, fee, multiplier=multiplier)
            )
    now = stableswap.exchange(i, j, taken, curve, rates, amp, fee, admin, multiplier=multiplier)
    then = (
        now if same else stableswap.exchange(i, j, taken, copy, rates, amp, fee, admin, multiplier=multiplier)
    )
    paid = min(now.amount_out, then.amount_out) if exact_in else amount
    rounding = 1 if rates[j] > WAD else 0
    gone = then.amount_out + then.fee + rounding
    kept = now.amount_out + now.fee + rounding - paid - now.admin_fee
    head = (*start[:n], *beside[:j], beside[j] + kept, *beside[j + 1 :])
    copies = (*head, *start[2 * n : at], i, j, came + taken, went + gone, *start[at + 4 :])
    cut = now.admin_fee
    return _new(
        Filled, (taken, paid, now.fee, j, _booked(book, i, taken, j, paid, (0, cut), copies), None, ())
    )


def _concentrated(
    pool: Pool, book: Book, spot: Spot, ticks: Ticks, i: int, amount: int, exact_in: bool, share_bps: int
) -> Filled:
    zero_for_one = i == 0
    at = 3 * i
    start = book.start
    place = _new(Place, spot[:3])
    copy = _new(Place, start[at : at + 3])
    asked = -amount if exact_in else amount
    fee = pool.swap_fee
    now = walk(ticks, place, asked, zero_for_one, fee, protocol_bps=share_bps, max_steps=MAX_CROSSINGS)
    then = now
    if copy != place:
        then = walk(ticks, copy, asked, zero_for_one, fee, protocol_bps=share_bps, max_steps=MAX_CROSSINGS)
    taken = max(now.amount_in, then.amount_in)
    paid = min(now.amount_out, then.amount_out)
    surplus_in, surplus_out = taken - now.amount_in, now.amount_out - paid
    growth_in, growth_out = now.growth, 0
    end = now.place
    if end.liquidity:  # without liquidity it stays in the reserves, and is told as dust
        growth_in += (surplus_in << 128) // end.liquidity
        growth_out = (surplus_out << 128) // end.liquidity
    growth0, growth1 = (growth_in, growth_out) if zero_for_one else (growth_out, growth_in)
    after = _new(Spot, (*end, (spot.growth0 + growth0) & WORD, (spot.growth1 + growth1) & WORD))
    copies = (*start[:at], *then.place, *start[at + 3 :])
    booked = _booked(book, i, taken, 1 - i, paid, (now.protocol_fee, 0), copies)
    return _new(Filled, (taken, paid, now.fee, i, booked, after, now.crossings))


def mid_price(pool: Pool, book: Book, spot: Spot | None, i: int, j: int, now_s: int) -> tuple[int, int]:
    """Price of coin `i` in coin `j` without fee or size, as numerator and denominator of base units.

    (0, 1) for an empty pool.
    """
    if pool.curve == CONCENTRATED:
        assert spot is not None
        squared = spot.sqrt_price * spot.sqrt_price
        return (squared, 1 << 192) if i == 0 else (1 << 192, squared)
    if min(book.reserves) <= 0:
        return 0, 1
    if pool.curve == CONSTANT_PRODUCT:
        return book.reserves[j], book.reserves[i]
    setup = pool.stable
    assert setup is not None
    return stableswap.spot_price(i, j, book.reserves, setup.rates, amplification(setup, now_s))


def virtual_depth(pool: Pool, book: Book, spot: Spot | None, i: int, j: int) -> tuple[int, int]:
    """Reserves of a constant-product pool that behaves about like this one for small swaps: a router's guess."""
    if pool.curve == CONCENTRATED:
        assert spot is not None
        x = (spot.liquidity << 96) // spot.sqrt_price
        y = spot.liquidity * spot.sqrt_price // Q96
        return (x, y) if i == 0 else (y, x)
    if pool.curve == CONSTANT_PRODUCT:
        return book.reserves[i], book.reserves[j]
    setup = pool.stable
    assert setup is not None
    depth = min(r * rate // WAD for r, rate in zip(book.reserves, setup.rates, strict=True)) * setup.amp_to
    return depth * WAD // setup.rates[i], depth * WAD // setup.rates[j]


def inside_growth(
    spot: Spot, lower: int, upper: int, low: tuple[int, int], high: tuple[int, int]
) -> tuple[int, int]:
    """Growth of fees between two ticks whose growth outside is `low` and `high`, modulo 2^256 as in v3."""
    grown = []
    for total, below, above in zip(spot[3:5], low, high, strict=True):
        if spot.tick < lower:
            below = total - below
        if spot.tick >= upper:
            above = total - above
        grown.append((total - below - above) & WORD)
    return grown[0], grown[1]


def fees_owed(liquidity: int, inside: tuple[int, int], settled: tuple[int, int]) -> tuple[int, int]:
    """What liquidity has earned since it was settled, floored."""
    return (
        liquidity * ((inside[0] - settled[0]) & WORD) >> 128,
        liquidity * ((inside[1] - settled[1]) & WORD) >> 128,
    )


def holdings(spot: Spot, pa: int, pb: int, liquidity: int, round_up: bool) -> tuple[int, int]:
    """Both coins of liquidity between two square-root prices at the pool's price."""
    price = spot.sqrt_price
    if price <= pa:
        return amount0_delta(pa, pb, liquidity, round_up), 0
    if price < pb:
        return amount0_delta(price, pb, liquidity, round_up), amount1_delta(pa, price, liquidity, round_up)
    return 0, amount1_delta(pa, pb, liquidity, round_up)
