"""StableSwap: exact roots, Curve's published loops as the yardstick, and rules that hold for every pool."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from defi_modules.amm.stableswap import (
    FEE_BASE,
    add_liquidity,
    dynamic_fee,
    exchange,
    exchange_out,
    get_d,
    get_y,
    get_y_d,
    ramp,
    remove_liquidity,
    remove_one,
    scaled,
    spot_price,
)
from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    AmplificationOutOfRange,
    DenominationNotInPool,
    FeeTierNotAllowed,
    InsufficientLiquidity,
    InvalidPoolSetup,
    QenexError,
    SameDenomination,
)

E18 = 10**18
FEE, ADMIN = 4_000_000, 5 * 10**9
BALANCE = st.integers(1, 10**6) | st.integers(1, 1 << 100)
XP = st.lists(BALANCE, min_size=2, max_size=4)
LARGE_XP = st.lists(st.integers(10**10, 1 << 100), min_size=2, max_size=4)
AMP = st.integers(1, 1_000_000)


def newton_d(xp: list[int], amp: int) -> int:
    """Curve's published loop for D (whitepaper and 3pool), with its 255 rounds."""
    total, n = sum(xp), len(xp)
    d, ann = total, amp * n
    for _ in range(255):
        dp = d
        for x in xp:
            dp = dp * d // (x * n)
        before, d = d, (ann * total + dp * n) * d // ((ann - 1) * d + (n + 1) * dp)
        if abs(d - before) <= 1:
            return d
    raise AssertionError("does not settle")


def newton_y(i: int, j: int, x: int, xp: list[int], amp: int, d: int) -> int:
    """Curve's published loop for y."""
    n = len(xp)
    ann, c, s = amp * n, d, 0
    for k in range(n):
        value = x if k == i else xp[k]
        if k != j:
            s += value
            c = c * d // (value * n)
    c = c * d // (ann * n)
    b, y = s + d // ann, d
    for _ in range(255):
        before, y = y, (y * y + c) // (2 * y + b - d)
        if abs(y - before) <= 1:
            return y
    raise AssertionError("does not settle")


def value(xp: list[int], amp: int, d: int) -> int:
    """Sign of the invariant's equation at D: not positive up to its root."""
    n = len(xp)
    np, ann = prod(xp) * n**n, amp * n
    return d ** (n + 1) + (ann - 1) * d * np - ann * sum(xp) * np


# Balances of the order of the 3pool (DAI, USDC, USDT), A = 2000 in Curve's units for n = 2 and 3.
@pytest.mark.parametrize("amp", [50, 100, 200, 2_000])
@pytest.mark.parametrize(
    "xp",
    [
        [E18, E18],
        [10**6 * E18, 9 * 10**5 * E18],
        [81 * E18, 3 * E18],
        [295949605740077243186725223, 284320067518878 * 10**12, 288200854907854 * 10**12],
        [10**5 * E18, 2 * 10**5 * E18, 3 * 10**5 * E18, 4 * 10**5 * E18],
    ],
)
def test_roots_agree_with_the_published_loops(xp: list[int], amp: int) -> None:
    d = get_d(xp, amp)
    assert abs(d - newton_d(xp, amp)) <= 2
    for step in (1, 10**9, xp[0] // 7):
        y = get_y(0, 1, xp[0] + step, xp, amp, d)
        assert abs(y - newton_y(0, 1, xp[0] + step, xp, amp, d)) <= 2
        dy = xp[1] - newton_y(0, 1, xp[0] + step, xp, amp, newton_d(xp, amp)) - 1
        fee = dy * FEE // FEE_BASE
        paid = exchange(0, 1, step, xp, [E18] * len(xp), amp, FEE, ADMIN)
        assert abs(paid.amount_out - max(0, dy - fee)) <= 4
        assert abs(paid.fee - max(0, fee)) <= 1
        assert paid.admin_fee == paid.fee // 2


@given(XP, AMP)
def test_d_is_the_floor_of_its_root_for_every_pool(xp: list[int], amp: int) -> None:
    d = get_d(xp, amp)
    assert value(xp, amp, d) <= 0 < value(xp, amp, d + 1)


@given(XP, AMP, BALANCE)
def test_y_is_the_ceiling_of_its_root_for_every_pool(xp: list[int], amp: int, x: int) -> None:
    d = get_d(xp, amp)
    assume(d)
    y = get_y(0, 1, x, xp, amp, d)
    others = [x, *xp[2:]]
    assert get_d([x, max(y, 1), *xp[2:]], amp) >= d
    assert y <= 1 or get_d([x, y - 1, *xp[2:]], amp) < d or value([*others, y - 1], amp, d) >= 0
    assert get_y_d(1, [x, 1, *xp[2:]], amp, d) == y


def test_a_balanced_pool_is_worth_its_sum() -> None:
    assert get_d([0, 0], 100) == 0
    assert get_d([E18] * 3, 2_000) == 3 * E18


def test_there_and_back_pays_nothing_where_the_floor_of_d_is_worth_more_than_a_unit() -> None:
    """Lesson: with y at the floor of D, 1 unit into [47, 127, 1, 1] came back as 2."""
    xp, rates = [47, 127, 1, 1], [E18] * 4
    out = exchange(0, 1, 1, xp, rates, 2, 0, 0).amount_out
    if out:
        assert exchange(1, 0, out, [48, 127 - out, 1, 1], rates, 2, 0, 0).amount_out <= 1


@given(XP, AMP, BALANCE, st.sampled_from([0, FEE, 10**9]), st.sampled_from([0, 2 * 10**10, 5 * 10**10]))
def test_no_swap_lowers_d(xp: list[int], amp: int, dx: int, fee: int, multiplier: int) -> None:
    rates = [E18] * len(xp)
    before = get_d(xp, amp)
    paid = exchange(0, 1, dx, xp, rates, amp, fee, 0, multiplier=multiplier)
    assert 0 <= paid.amount_out < xp[1]
    after = [xp[0] + dx, xp[1] - paid.amount_out, *xp[2:]]
    assert get_d(after, amp) >= before
    back = exchange(1, 0, paid.amount_out, after, rates, amp, fee, 0).amount_out if paid.amount_out else 0
    assert back <= dx


@given(
    XP,
    AMP,
    st.lists(st.integers(1, 1_000) | BALANCE, min_size=1, max_size=256),
    st.sampled_from([E18, 10**27, 10**30]),
)
def test_slices_never_pay_more_than_one_piece(xp: list[int], amp: int, slices: list[int], rate: int) -> None:
    """The fee, which Curve's rule takes from the output, lies beside the curve here: left inside it would make
    the next slice's price better. Within a block a pool's slices are paid that way (see the module)."""
    rates = [E18, rate, E18, E18][: len(xp)]
    whole = exchange(0, 1, sum(slices), xp, rates, amp, FEE, 0).amount_out
    balances, paid = list(xp), 0
    for piece in slices:
        out = exchange(0, 1, piece, balances, rates, amp, FEE, 0)
        balances[0] += piece
        balances[1] -= min(balances[1] - 1, out.amount_out + out.fee + (rate > E18))
        paid += out.amount_out
    assert paid <= whole


@given(LARGE_XP, AMP, BALANCE, st.sampled_from([0, FEE]), st.sampled_from([0, 2 * 10**10]))
def test_exact_out_is_never_too_cheap(xp: list[int], amp: int, dy: int, fee: int, multiplier: int) -> None:
    rates = [E18] * len(xp)
    assume(xp[1] > 1)
    dy = dy % (xp[1] - 1) + 1
    try:
        dx = exchange_out(0, 1, dy, xp, rates, amp, fee, multiplier=multiplier)
    except (InsufficientLiquidity, AmountTooLarge):
        return
    assert exchange(0, 1, dx, xp, rates, amp, fee, 0, multiplier=multiplier).amount_out >= dy
    if multiplier == 0 and dx > 2:
        assert exchange(0, 1, dx - 2, xp, rates, amp, fee, 0).amount_out <= dy


@given(LARGE_XP, AMP, st.data())
def test_shares_redeem_for_no_more_than_their_part(xp: list[int], amp: int, data: st.DataObject) -> None:
    rates = [E18] * len(xp)
    total = get_d(xp, amp)
    amounts = [data.draw(st.just(0) | BALANCE) for _ in xp]
    assume(any(amounts))
    try:
        deposit = add_liquidity(amounts, xp, rates, amp, FEE, 0, total)
    except InsufficientLiquidity:
        return  # so lopsided that the fee for it would eat a coin
    after = [old + new for old, new in zip(xp, amounts, strict=True)]
    # A share is worth no less of D than before.
    assert get_d(after, amp) * total >= get_d(xp, amp) * (total + deposit.shares) - (total + deposit.shares)
    if deposit.shares:
        back = remove_liquidity(deposit.shares, after, total + deposit.shares)
        rest = [old - out for old, out in zip(after, back, strict=True)]
        if min(rest) > 0:
            assert get_d(rest, amp) >= total - 1
        for coin in range(len(xp)):
            one, _ = remove_one(deposit.shares, coin, after, rates, amp, FEE, total + deposit.shares)
            alone = [0] * len(xp)
            alone[coin] = amounts[coin]
            if amounts == alone:
                assert one <= amounts[coin], "in and out by one coin never pays"
            left = list(after)
            left[coin] -= one
            assert min(left) > 0
            assert get_d(left, amp) >= total - 1


@given(LARGE_XP, AMP)
def test_spot_price_lies_between_those_of_the_two_directions(xp: list[int], amp: int) -> None:
    rates = [E18] * len(xp)
    top, bottom = spot_price(0, 1, xp, rates, amp)
    dx = xp[0] // 10**6 + 1
    paid = exchange(0, 1, dx, xp, rates, amp, 0, 0).amount_out
    rounding = 2 + 2 * (xp[1] // xp[0])  # what a unit of D stands for
    assert (paid - rounding) * bottom <= dx * top, "one never gets more than the marginal price"


@pytest.mark.parametrize(
    ("a0", "a1", "now", "expected"),
    [(100, 200, 0, 100), (100, 200, 50, 150), (100, 200, 100, 200), (200, 100, 50, 150), (100, 103, 50, 101)],
)
def test_ramp_is_a_straight_line(a0: int, a1: int, now: int, expected: int) -> None:
    assert ramp(a0, a1, 0, 100, now) == expected


def test_dynamic_fee_rises_as_the_pool_is_pulled_apart() -> None:
    assert dynamic_fee(E18, E18, FEE, 2 * 10**10) == FEE
    assert dynamic_fee(E18, 1, FEE, 2 * 10**10) == 2 * FEE
    assert dynamic_fee(E18, E18 // 2, FEE, 0) == FEE
    assert FEE < dynamic_fee(E18, E18 // 2, FEE, 2 * 10**10) < 2 * FEE


def test_rates_stand_for_decimals() -> None:
    balances, rates = [10**6 * 10**6, 10**6 * E18], [10**30, 10**18]
    assert scaled(balances, rates) == [10**6 * E18] * 2
    paid = exchange(0, 1, 10**6, balances, rates, 2_000, FEE, ADMIN).amount_out
    assert 0.9995 * E18 < paid < E18
    assert exchange(1, 0, 10**11, balances, rates, 2_000, FEE, ADMIN).amount_out == 0, "dust buys nothing"


RATES = [E18, E18]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: get_d([5], 100), InvalidPoolSetup),
        (lambda: get_d([5] * 5, 100), InvalidPoolSetup),
        (lambda: get_d([5, 0], 100), InsufficientLiquidity),
        (lambda: get_d([5, 5], 0), AmplificationOutOfRange),
        (lambda: get_d([5, 5], 1_000_001), AmplificationOutOfRange),
        (lambda: get_y(0, 0, 5, [5, 5], 100, 10), SameDenomination),
        (lambda: get_y(0, 2, 5, [5, 5], 100, 10), DenominationNotInPool),
        (lambda: get_y_d(3, [5, 5], 100, 10), DenominationNotInPool),
        (lambda: exchange(0, 1, 0, [5, 5], RATES, 100, 0, 0), AmountZero),
        (lambda: exchange(0, 1, 1 << 128, [5, 5], RATES, 100, 0, 0), AmountTooLarge),
        (lambda: exchange(0, 1, 5, [5, 5], [1, 1], 100, 0, 0), InvalidPoolSetup),
        (lambda: exchange(0, 1, 5, [5, 5], RATES, 100, 10**9 + 1, 0), FeeTierNotAllowed),
        (lambda: exchange_out(0, 1, 5, [5, 5], RATES, 100, 0), InsufficientLiquidity),
        (lambda: exchange_out(0, 1, 0, [5, 5], RATES, 100, 0), AmountZero),
        (lambda: add_liquidity([0, 0], [5, 5], RATES, 100, 0, 0, 10), AmountZero),
        (lambda: add_liquidity([5, 0], [0, 0], RATES, 100, 0, 0, 0), InsufficientLiquidity),
        (lambda: remove_liquidity(11, [5, 5], 10), InsufficientLiquidity),
        (lambda: remove_one(10, 0, [5, 5], RATES, 100, 0, 10), InsufficientLiquidity),
        (lambda: remove_one(0, 0, [5, 5], RATES, 100, 0, 10), AmountZero),
        (lambda: remove_one(1, 2, [5, 5], RATES, 100, 0, 10), DenominationNotInPool),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(call: Any, error: type[QenexError]) -> None:
    with pytest.raises(error):
        call()
