"""Whole-pool swaps: the figures of Uniswap v3, and rules of crossing ticks."""

from __future__ import annotations

from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.amm.concentrated import (
    MAX_TICK,
    amounts_for_liquidity,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from defi_modules.amm.walk import Place, walk
from qenex.errors import InsufficientLiquidity
from qenex.integers import Q128

E18 = 10**18


class Range:
    """Ticks of a few positions, in memory."""

    def __init__(self, *positions: tuple[int, int, int]) -> None:
        self.positions = positions
        self.nets: dict[int, int] = {}
        for lower, upper, liquidity in positions:
            self.nets[lower] = self.nets.get(lower, 0) + liquidity
            self.nets[upper] = self.nets.get(upper, 0) - liquidity

    def next_tick(self, tick: int, down: bool) -> int | None:
        if down:
            return max((t for t in self.nets if t <= tick), default=None)
        return min((t for t in self.nets if t > tick), default=None)

    def net(self, tick: int) -> int:
        return self.nets[tick]

    def place(self, price: int) -> Place:
        tick = tick_at_sqrt_price(price)
        return Place(price, tick, sum(n for low, high, n in self.positions if low <= tick < high))

    def balances(self, price: int) -> tuple[int, int]:
        parts = [
            amounts_for_liquidity(price, sqrt_price_at_tick(a), sqrt_price_at_tick(b), n, True)
            for a, b, n in self.positions
        ]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)


def encode(a: int, b: int) -> int:
    return isqrt((a << 192) // b)


def widest(spacing: int) -> int:
    return MAX_TICK // spacing * spacing


FULL = (-widest(60), widest(60), 2 * E18)
GAP = ((-widest(200), -60, 2 * E18), (200, widest(60), 2 * E18))
AROUND = ((-widest(200), -60, 2 * E18), (60, widest(60), 2 * E18))

# Figures: Uniswap/v3-core test/__snapshots__/UniswapV3Pool.swaps.spec.ts.snap, but for those where v3 stops at
# the end of each word of its bitmap and rounds there once more. Input or output of token 0 or
# 1: (pool, price, fee, amount, zero for one, amount in, amount out, growth of the input's fees, tick after).
ZERO, ONE = True, False
PUBLISHED = [
    (FULL, (1, 1), 3_000, -1_000, ZERO, 1_000, 996, 510423550381407695195, -1),
    (FULL, (1, 1), 3_000, -1_000, ONE, 1_000, 996, 510423550381407695195, 0),
    (FULL, (1, 1), 3_000, -E18, ZERO, E18, 665331998665331998, 510423550381407695195061911147652317, -8090),
    (FULL, (1, 1), 3_000, -E18, ONE, E18, 665331998665331998, 510423550381407695195061911147652317, 8089),
    (FULL, (1, 1), 3_000, 1_000, ZERO, 1_005, 1_000, 680564733841876926926, -1),
    (FULL, (1, 1), 3_000, E18, ZERO, 2006018054162487463, E18, 1023918857334819954209013958517557896, -13864),
    (FULL, (1, 1), 3_000, E18, ONE, 2006018054162487463, E18, 1023918857334819954209013958517557896, 13863),
    (FULL, (1, 1), 10_000, -1_000, ZERO, 1_000, 989, 1701411834604692317316, -1),
    (FULL, (1, 1), 10_000, -E18, ZERO, E18, 662207357859531772, 1701411834604692317316873037158841057, -8043),
    (FULL, (1, 1), 10_000, 1_000, ZERO, 1_012, 1_000, 1871553018065161549048, -1),
    (FULL, (1, 1), 10_000, E18, ZERO, 2020202020202020203, E18, 3437195625464025050172418213103875650, None),
    (FULL, (10, 1), 3_000, -1_000, ZERO, 1_000, 9_969, 510423550381407695195, 23027),
    (FULL, (10, 1), 3_000, -E18, ONE, E18, 86123526743846551, 510423550381407695195061911147652317, 25954),
    (FULL, (10, 1), 3_000, E18, ZERO, 119138326055954425, E18, 60811007371978153949466126675899993, 19584),
    (FULL, (10, 1), 3_000, 1_000, ONE, 10_032, 1_000, 5274376687274546183682, 23027),
    (FULL, (1, 10), 3_000, -E18, ZERO, E18, 86123526743846551, 510423550381407695195061911147652317, -25955),
    (FULL, (1, 10), 3_000, E18, ONE, 119138326055954425, E18, 60811007371978153949466126675899993, -19585),
    (AROUND, (1, 1), 3_000, -1_000, ZERO, 1_000, 991, 510423550381407695195, -61),
    (AROUND, (1, 1), 3_000, -1_000, ONE, 1_000, 991, 510423550381407695195, 60),
    (AROUND, (1, 1), 3_000, -E18, ZERO, E18, 662011820624678025, 510423550381407695195061911147652317, -8130),
    (AROUND, (1, 1), 3_000, E18, ONE, 2024171064311638316, E18, 1033184581225259164735720748018047287, 13983),
    (
        (FULL, *AROUND),
        (1, 1),
        3_000,
        -E18,
        ZERO,
        E18,
        795933705287758544,
        256749882580179971840679703106063897,
        -4476,
    ),
    (
        (FULL, *AROUND),
        (1, 1),
        3_000,
        -E18,
        ONE,
        E18,
        795933705287758544,
        256749882580179971840679703106063897,
        4475,
    ),
    (
        (FULL, *AROUND),
        (1, 1),
        3_000,
        E18,
        ZERO,
        1342022152495072924,
        E18,
        344037963272993171369654596359692757,
        -5794,
    ),
    (FULL, (1 << 127, 1), 3_000, 1_000, ZERO, 2, 1_000, 170141183460469231731, 880340),
]


@pytest.mark.parametrize("case", PUBLISHED)
def test_v3_whole_pool_swaps(case: tuple) -> None:
    positions, price, fee, amount, zero_for_one, amount_in, paid, growth, tick = case
    pool = Range(*(positions if isinstance(positions[0], tuple) else (positions,)))
    found = walk(pool, pool.place(encode(*price)), amount, zero_for_one, fee)
    assert (found.amount_in, found.amount_out) == (amount_in, paid)
    # v4's step counts a unit of input that v3 counts as fee, or the other way round, once a step.
    assert abs(found.growth - growth) <= (len(found.crossings) + 1) * Q128 // E18
    if tick is not None:
        assert found.place.tick == tick


@pytest.mark.parametrize(
    ("target", "zero_for_one", "amount_in", "paid"),
    [
        ((5, 2), ONE, 1165774985123750584, 735088935932648267),
        ((2, 5), ZERO, 1165774985123750584, 735088935932648267),
    ],
)
def test_v3_swaps_to_a_price(target: tuple[int, int], zero_for_one: bool, amount_in: int, paid: int) -> None:
    pool = Range(FULL)
    found = walk(pool, pool.place(encode(1, 1)), -(1 << 120), zero_for_one, 3_000, limit=encode(*target))
    assert (found.amount_in, found.amount_out) == (amount_in, paid)
    assert found.place.sqrt_price == encode(*target)


def test_v3_balances_of_its_pools() -> None:
    assert Range(FULL).balances(encode(1, 1)) == (2 * E18, 2 * E18)
    assert Range(*AROUND).balances(encode(1, 1)) == (1994009290088178439, 1994009290088178439)
    assert Range(FULL).balances(encode(10, 1)) == (632455532033675867, 6324555320336758664)


POSITIONS = st.lists(
    st.tuples(st.integers(-40, 39), st.integers(1, 30), st.integers(1, 10**12)).map(
        lambda p: (p[0] * 60, (p[0] + p[1]) * 60, p[2])
    ),
    min_size=1,
    max_size=6,
)
FEES = st.sampled_from([0, 500, 3_000, 10_000])
AMOUNTS = st.integers(1, 100) | st.integers(1, 10**10)
START = st.integers(-2_000, 2_000).map(sqrt_price_at_tick)


@given(POSITIONS, START, st.lists(AMOUNTS, min_size=1, max_size=64), st.booleans(), FEES)
def test_slices_never_pay_more_than_one_piece(
    positions: list[tuple[int, int, int]], price: int, slices: list[int], zero_for_one: bool, fee: int
) -> None:
    pool = Range((-88_800, 88_800, 10**6), *positions)
    place = pool.place(price)
    whole = walk(pool, place, -sum(slices), zero_for_one, fee) if sum(slices) < 10**7 else None
    paid = 0
    for piece in slices:
        try:
            step = walk(pool, place, -piece, zero_for_one, fee)
        except InsufficientLiquidity:
            return
        place, paid = step.place, paid + step.amount_out
        assert place.liquidity == pool.place(
            place.sqrt_price
        ).liquidity or place.sqrt_price == sqrt_price_at_tick(place.tick + 1)
    if whole is not None:
        assert paid <= whole.amount_out


@given(POSITIONS, START, AMOUNTS, st.booleans(), FEES)
def test_there_and_back_never_pays(
    positions: list[tuple[int, int, int]], price: int, amount: int, zero_for_one: bool, fee: int
) -> None:
    pool = Range((-88_800, 88_800, 10**6), *positions)
    try:
        there = walk(pool, pool.place(price), -amount, zero_for_one, fee)
    except InsufficientLiquidity:
        return
    if there.amount_out:
        back = walk(pool, there.place, -there.amount_out, not zero_for_one, fee)
        assert back.amount_out <= amount


@given(POSITIONS, START, AMOUNTS, st.booleans(), FEES)
def test_exact_out_is_never_cheaper_than_exact_in(
    positions: list[tuple[int, int, int]], price: int, amount: int, zero_for_one: bool, fee: int
) -> None:
    pool = Range((-88_800, 88_800, 10**6), *positions)
    try:
        asked = walk(pool, pool.place(price), amount, zero_for_one, fee)
        if asked.amount_in:
            assert walk(pool, pool.place(price), -asked.amount_in, zero_for_one, fee).amount_out >= amount
    except InsufficientLiquidity:
        return


@given(POSITIONS, START, st.integers(-2_000, 2_000), st.integers(-2_000, 2_000))
def test_crossing_ticks_is_path_independent(
    positions: list[tuple[int, int, int]], price: int, first: int, last: int
) -> None:
    """Where the price ends, the liquidity is that of the positions around it, whichever way it came."""
    pool = Range((-88_800, 88_800, 10**6), *positions)
    place = pool.place(price)
    for tick in (first, last):
        target = sqrt_price_at_tick(tick) + 1
        if target != place.sqrt_price:
            place = walk(pool, place, -(1 << 120), target < place.sqrt_price, 3_000, limit=target).place
    assert place == pool.place(sqrt_price_at_tick(last) + 1)


def test_a_pool_without_liquidity_that_way_says_so() -> None:
    pool = Range((0, 60, 10**9))
    with pytest.raises(InsufficientLiquidity):
        walk(pool, pool.place(sqrt_price_at_tick(30)), -(10**15), True, 3_000)
    with pytest.raises(InsufficientLiquidity):
        walk(pool, pool.place(sqrt_price_at_tick(-30)), -(10**15), True, 3_000)
