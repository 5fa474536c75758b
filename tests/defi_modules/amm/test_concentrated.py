"""Concentrated liquidity: the figures of Uniswap v3 and v4, and rules that hold for every range."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import isqrt
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from defi_modules.amm.concentrated import (
    _POWERS,
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    amount0_delta,
    amount1_delta,
    amounts_for_liquidity,
    compute_swap_step,
    liquidity_for_amounts,
    max_liquidity_per_tick,
    next_sqrt_price_from_input,
    next_sqrt_price_from_output,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from qenex.errors import (
    AmountTooLarge,
    FeeTierNotAllowed,
    InsufficientLiquidity,
    PriceOutOfRange,
    QenexError,
    TickOutOfRange,
)
from qenex.integers import Q96

E18 = 10**18
PRICES = st.integers(MIN_SQRT_PRICE, MAX_SQRT_PRICE - 1) | st.integers(Q96 // 4, Q96 * 4)
TICKS = st.integers(MIN_TICK, MAX_TICK)
LIQUIDITY = st.integers(1, (1 << 128) - 1) | st.integers(1, 1 << 40)
AMOUNTS = st.integers(1, 1 << 120) | st.integers(1, 1_000)


def encode(a: int, b: int) -> int:
    """Square root of a / b as Q64.96, as v3's tests encode prices."""
    return isqrt((a << 192) // b)


ONE = encode(1, 1)


# -- ticks: Uniswap/v3-core test/TickMath.spec.ts --------------------------------------------------------


def test_v3_bounds_of_prices_and_ticks() -> None:
    assert sqrt_price_at_tick(MIN_TICK) == MIN_SQRT_PRICE == 4295128739
    assert sqrt_price_at_tick(MAX_TICK) == MAX_SQRT_PRICE
    assert sqrt_price_at_tick(0) == Q96
    assert sqrt_price_at_tick(MIN_TICK + 1) == 4295343490
    assert sqrt_price_at_tick(MAX_TICK - 1) == 1461373636630004318706518188784493106690254656249
    assert tick_at_sqrt_price(MIN_SQRT_PRICE) == MIN_TICK
    assert tick_at_sqrt_price(MAX_SQRT_PRICE - 1) == MAX_TICK - 1


def test_the_table_of_powers_is_that_of_the_square_root() -> None:
    with localcontext() as context:
        context.prec = 90
        for index, power in enumerate(_POWERS):
            exact = (Decimal("1.0001").ln() * -(2**index) / 2).exp() * 2**128
            assert abs(power - exact) <= 1, index


@given(TICKS)
def test_a_tick_is_found_again_from_its_price(tick: int) -> None:
    assume(tick < MAX_TICK)
    assert tick_at_sqrt_price(sqrt_price_at_tick(tick)) == tick
    assert tick_at_sqrt_price(sqrt_price_at_tick(tick + 1) - 1) == tick


@given(PRICES)
def test_a_price_lies_between_its_tick_and_the_next(price: int) -> None:
    tick = tick_at_sqrt_price(price)
    assert sqrt_price_at_tick(tick) <= price < sqrt_price_at_tick(tick + 1)


# -- price deltas: Uniswap/v3-core test/SqrtPriceMath.spec.ts ---------------------------------------------


def test_v3_next_prices() -> None:
    tenth = E18 // 10
    assert next_sqrt_price_from_input(ONE, E18, tenth, False) == 87150978765690771352898345369
    assert next_sqrt_price_from_input(ONE, E18, tenth, True) == 72025602285694852357767227579
    assert next_sqrt_price_from_input(ONE, 10 * E18, 1 << 100, True) == 624999999995069620
    assert next_sqrt_price_from_input(ONE, 1, (1 << 255) - 1, True) == 1
    assert next_sqrt_price_from_input(1, 1, 1 << 255, True) == 1
    assert next_sqrt_price_from_output(ONE, E18, tenth, False) == 88031291682515930659493278152
    assert next_sqrt_price_from_output(ONE, E18, tenth, True) == 71305346262837903834189555302
    assert next_sqrt_price_from_output(20282409603651670423947251286016, 1024, 262144, True) == 0
    for zero_for_one in (True, False):
        assert next_sqrt_price_from_input(ONE, tenth, 0, zero_for_one) == ONE
        assert next_sqrt_price_from_output(ONE, tenth, 0, zero_for_one) == ONE


def test_v3_amount_deltas() -> None:
    assert amount0_delta(ONE, encode(121, 100), E18, True) == 90909090909090910
    assert amount0_delta(ONE, encode(121, 100), E18, False) == 90909090909090909
    assert amount1_delta(ONE, encode(121, 100), E18, True) == 100000000000000000
    assert amount1_delta(ONE, encode(121, 100), E18, False) == 99999999999999999
    assert amount0_delta(ONE, encode(2, 1), 0, True) == amount1_delta(ONE, ONE, E18, True) == 0
    up = amount0_delta(encode(1 << 90, 1), encode(1 << 96, 1), E18, True)
    assert up == amount0_delta(encode(1 << 90, 1), encode(1 << 96, 1), E18, False) + 1
    price, liquidity = (
        1025574284609383690408304870162715216695788925244,
        50015962439936049619261659728067971248,
    )
    after = next_sqrt_price_from_input(price, liquidity, 406, True)
    assert after == 1025574284609383582644711336373707553698163132913
    assert amount0_delta(price, after, liquidity, True) == 406


BIG = 20282409603651670423947251286016


# -- steps: Uniswap/v3-core test/SwapMath.spec.ts; v4-core changes one, where all input is fee -----------------


@pytest.mark.parametrize(
    ("price", "target", "liquidity", "remaining", "fee", "step"),
    [
        (ONE, encode(101, 100), 2 * E18, -E18, 600, (encode(101, 100), 9975124224178055, 9925619580021728, 5988667735148)),
        (ONE, encode(101, 100), 2 * E18, E18, 600, (encode(101, 100), 9975124224178055, 9925619580021728, 5988667735148)),
        (ONE, encode(1000, 100), 2 * E18, -E18, 600, (None, 999400000000000000, 666399946655997866, 600000000000000)),
        (ONE, encode(10000, 100), 2 * E18, E18, 600, (None, 2000000000000000000, E18, 1200720432259356)),
        (417332158212080721273783715441582, 1452870262520218020823638996, 159344665391607089467575320103, 1, 1,
         (417332158212080721273783715441581, 1, 1, 1)),
        (2, 1, 1, -3915081100057732413702495386755767, 1,
         (1, 39614081257132168796771975168, 0, 39614120871253040049813)),
        (2413, 79887613182836312, 1985041575832132834610021537970, -10, 1872, (2413, 9, 0, 1)),
        (BIG, BIG * 11 // 10, 1024, 4, 3000, (BIG * 11 // 10, 26215, 0, 79)),
        (BIG, BIG * 9 // 10, 1024, 263000, 3000, (BIG * 9 // 10, 1, 26214, 1)),
    ],
)  # fmt: skip
def test_v3_swap_steps(
    price: int, target: int, liquidity: int, remaining: int, fee: int, step: tuple[int | None, int, int, int]
) -> None:
    found = compute_swap_step(price, target, liquidity, remaining, fee)
    assert found[1:] == step[1:]
    if step[0] is not None:
        assert found.sqrt_price == step[0]


@given(PRICES, PRICES, LIQUIDITY, AMOUNTS, st.booleans(), st.sampled_from([0, 1, 500, 3_000, 999_999]))
def test_a_step_takes_and_pays_no_more_than_asked(
    price: int, target: int, liquidity: int, amount: int, exact_in: bool, fee: int
) -> None:
    step = compute_swap_step(price, target, liquidity, -amount if exact_in else amount, fee)
    assert min(price, target) <= step.sqrt_price <= max(price, target)
    if exact_in:
        assert step.amount_in + step.fee <= amount
        if step.sqrt_price != target:
            assert step.amount_in + step.fee == amount
    else:
        assert step.amount_out <= amount
        if step.sqrt_price != target:
            assert step.amount_out == amount
    assert step.fee * 1_000_000 >= fee * (step.amount_in + step.fee) - 1_000_000
    # What came in covers what the moved price accounts for, and what goes out is no more than that.
    if price >= target:
        assert step.amount_in >= amount0_delta(step.sqrt_price, price, liquidity, False)
        assert step.amount_out <= amount1_delta(step.sqrt_price, price, liquidity, False)
    else:
        assert step.amount_in >= amount1_delta(step.sqrt_price, price, liquidity, False)
        assert step.amount_out <= amount0_delta(step.sqrt_price, price, liquidity, False)


@given(PRICES, TICKS, TICKS, AMOUNTS, AMOUNTS)
def test_liquidity_costs_no_more_than_the_amounts_and_gives_back_no_more(
    price: int, lower: int, upper: int, amount0: int, amount1: int
) -> None:
    lower, upper = sorted((lower, upper))
    assume(lower < upper)
    pa, pb = sqrt_price_at_tick(lower), sqrt_price_at_tick(upper)
    liquidity = liquidity_for_amounts(price, pa, pb, amount0, amount1)
    assume(liquidity < 1 << 128)
    cost = amounts_for_liquidity(price, pa, pb, liquidity, True)
    assert cost[0] <= amount0
    assert cost[1] <= amount1
    back = amounts_for_liquidity(price, pa, pb, liquidity, False)
    assert back[0] <= cost[0] <= back[0] + 2
    assert back[1] <= cost[1] <= back[1] + 1


@pytest.mark.parametrize(
    ("price", "amount0", "amount1", "liquidity"),
    [
        ((1, 1), 100, 200, 2_148),
        ((99, 110), 100, 200, 1_048),
        ((111, 100), 100, 200, 2_097),
        ((100, 110), 100, 200, 1_048),
        ((110, 100), 100, 200, 2_097),
    ],
)
def test_v3_periphery_liquidity(price: tuple[int, int], amount0: int, amount1: int, liquidity: int) -> None:
    # Figures: Uniswap/v3-periphery test/LiquidityAmounts.spec.ts.
    low, high = encode(100, 110), encode(110, 100)
    assert liquidity_for_amounts(encode(*price), low, high, amount0, amount1) == liquidity


def test_v3_most_liquidity_of_a_tick() -> None:
    # Figures: Uniswap/v3-core test/Tick.spec.ts (low, medium and high fee, and the whole range).
    assert max_liquidity_per_tick(10) == 1917569901783203986719870431555990
    assert max_liquidity_per_tick(60) == 11505743598341114571880798222544994
    assert max_liquidity_per_tick(200) == 38350317471085141830651933667504588


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: sqrt_price_at_tick(MIN_TICK - 1), TickOutOfRange),
        (lambda: sqrt_price_at_tick(MAX_TICK + 1), TickOutOfRange),
        (lambda: tick_at_sqrt_price(MIN_SQRT_PRICE - 1), PriceOutOfRange),
        (lambda: tick_at_sqrt_price(MAX_SQRT_PRICE), PriceOutOfRange),
        (lambda: next_sqrt_price_from_input(0, 1, 1, True), PriceOutOfRange),
        (lambda: next_sqrt_price_from_input(1, 0, 1, True), InsufficientLiquidity),
        (lambda: next_sqrt_price_from_input((1 << 160) - 1, 1024, 1024, False), PriceOutOfRange),
        (lambda: next_sqrt_price_from_output(BIG, 1024, 4, False), InsufficientLiquidity),
        (lambda: next_sqrt_price_from_output(BIG, 1024, 5, False), InsufficientLiquidity),
        (lambda: next_sqrt_price_from_output(BIG, 1024, 262145, True), InsufficientLiquidity),
        (lambda: amount0_delta(0, 5, 1, True), PriceOutOfRange),
        (lambda: amount1_delta(5, 6, 1 << 128, True), AmountTooLarge),
        (lambda: compute_swap_step(5, 6, 1, -1, 1_000_000), FeeTierNotAllowed),
        (lambda: liquidity_for_amounts(5, 6, 6, 1, 1), PriceOutOfRange),
        (lambda: max_liquidity_per_tick(0), TickOutOfRange),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(call: Any, error: type[QenexError]) -> None:
    with pytest.raises(error):
        call()
