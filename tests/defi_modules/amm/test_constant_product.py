"""Constant product: the figures of Uniswap v2, and rules that hold for every pool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.amm.constant_product import (
    amount_in,
    amount_out,
    burn,
    deposit_for,
    first_shares,
    shares,
    single_sided,
)
from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    FeeTierNotAllowed,
    InitialLiquidityTooSmall,
    InsufficientLiquidity,
    QenexError,
)

E18 = 10**18
AMOUNTS = st.integers(1, 1 << 100) | st.integers(1, 1_000)
FEES = st.sampled_from([0, 1, 5, 30, 100, 9_999])


# Figures: Uniswap/v2-core test/UniswapV2Pair.spec.ts
@pytest.mark.parametrize(
    ("given_in", "reserve_in", "reserve_out", "paid"),
    [
        (1, 5, 10, 1662497915624478906),
        (1, 10, 5, 453305446940074565),
        (2, 5, 10, 2851015155847869602),
        (2, 10, 5, 831248957812239453),
        (1, 10, 10, 906610893880149131),
        (1, 100, 100, 987158034397061298),
        (1, 1000, 1000, 996006981039903216),
    ],
)
def test_uniswap_v2_core_swaps(given_in: int, reserve_in: int, reserve_out: int, paid: int) -> None:
    assert amount_out(given_in * E18, reserve_in * E18, reserve_out * E18, 30) == paid
    assert (
        amount_out(
            amount_in(paid, reserve_in * E18, reserve_out * E18, 30), reserve_in * E18, reserve_out * E18, 30
        )
        >= paid
    )


# Figures: Uniswap/v2-periphery test/UniswapV2Router02.spec.ts
def test_uniswap_v2_periphery_figures() -> None:
    assert amount_out(2, 100, 100, 30) == 1
    assert amount_in(1, 100, 100, 30) == 2
    assert amount_out(2, 10_000, 10_000, 30) == 1
    assert amount_in(1, 10_000, 10_000, 30) == 2


def test_uniswap_v2_first_deposit_and_burn() -> None:
    assert first_shares(E18, 4 * E18) == 2 * E18 - 1_000
    assert burn(3 * E18 - 1_000, 3 * E18, 3 * E18, 3 * E18) == (3 * E18 - 1_000, 3 * E18 - 1_000)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: amount_out(0, 100, 100, 30), AmountZero),
        (lambda: amount_out(2, 0, 100, 30), InsufficientLiquidity),
        (lambda: amount_out(2, 100, 0, 30), InsufficientLiquidity),
        (lambda: amount_out(1 << 128, 100, 100, 30), AmountTooLarge),
        (lambda: amount_out(1, 1 << 128, 100, 30), AmountTooLarge),
        (lambda: amount_out(1, 100, 100, 10_000), FeeTierNotAllowed),
        (lambda: amount_out(1, 100, 100, -1), FeeTierNotAllowed),
        (lambda: amount_in(0, 100, 100, 30), AmountZero),
        (lambda: amount_in(100, 100, 100, 30), InsufficientLiquidity),
        (lambda: amount_in(99, (1 << 128) - 1, 100, 30), AmountTooLarge),
        (lambda: first_shares(0, 5), AmountZero),
        (lambda: first_shares(1_000, 1_000), InitialLiquidityTooSmall),
        (lambda: first_shares(1 << 128, 1), AmountTooLarge),
        (lambda: shares(1, 1, 1_000, 1_000, 10), AmountZero),
        (lambda: shares(1, 1, 0, 1_000, 10), InsufficientLiquidity),
        (lambda: shares(1 << 128, 1, 5, 5, 5), AmountTooLarge),
        (lambda: burn(0, 5, 5, 5), AmountZero),
        (lambda: burn(6, 5, 5, 5), InsufficientLiquidity),
        (lambda: deposit_for(0, 5, 5, 5), AmountZero),
        (lambda: single_sided(0, 5, 30), AmountZero),
        (lambda: single_sided(1 << 128, 5, 30), AmountTooLarge),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(call: Any, error: type[QenexError]) -> None:
    with pytest.raises(error):
        call()


@given(AMOUNTS, AMOUNTS, AMOUNTS, FEES)
def test_the_product_never_falls(given_in: int, a: int, b: int, fee: int) -> None:
    paid = amount_out(given_in, a, b, fee)
    assert 0 <= paid < b
    assert (a + given_in) * (b - paid) >= a * b


@given(AMOUNTS, AMOUNTS, st.integers(2, 1 << 100), FEES)
def test_exact_out_is_the_inverse_and_never_too_cheap(wanted: int, a: int, b: int, fee: int) -> None:
    wanted = wanted % (b - 1) + 1
    try:
        cost = amount_in(wanted, a, b, fee)
    except AmountTooLarge:
        return
    assert amount_out(cost, a, b, fee) >= wanted
    if cost > 2:
        assert amount_out(cost - 2, a, b, fee) < wanted


@given(st.lists(AMOUNTS, min_size=1, max_size=256), AMOUNTS, AMOUNTS, FEES)
def test_slices_never_pay_more_than_one_piece(slices: list[int], a: int, b: int, fee: int) -> None:
    whole = amount_out(sum(slices), a, b, fee)
    paid = 0
    for piece in slices:
        out = amount_out(piece, a, b, fee)
        a, b, paid = a + piece, b - out, paid + out
    assert paid <= whole


@given(AMOUNTS, AMOUNTS, AMOUNTS, FEES)
def test_there_and_back_never_pays(given_in: int, a: int, b: int, fee: int) -> None:
    paid = amount_out(given_in, a, b, fee)
    if paid:
        assert amount_out(paid, b - paid, a + given_in, fee) <= given_in


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_shares_redeem_for_no_more_than_they_cost(a: int, b: int, ra: int, rb: int, total: int) -> None:
    try:
        minted = shares(a, b, ra, rb, total)
    except AmountZero:
        return
    cost_a, cost_b = deposit_for(minted, ra, rb, total)
    assert cost_a <= a
    assert cost_b <= b
    back_a, back_b = burn(minted, ra + cost_a, rb + cost_b, total + minted)
    assert back_a <= cost_a
    assert back_b <= cost_b


@given(AMOUNTS, AMOUNTS, st.sampled_from([0, 5, 30, 100]))
def test_single_sided_swaps_what_fits_and_no_more(amount: int, reserve: int, fee: int) -> None:
    part = single_sided(amount, reserve, fee)
    assert 0 <= part <= amount
    kept = 10_000 - fee

    def excess(s: int) -> int:
        return kept * s * s + (10_000 + kept) * reserve * s - 10_000 * reserve * amount

    assert excess(part) <= 0 < excess(part + 1)
