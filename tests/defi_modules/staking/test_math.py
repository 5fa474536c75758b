"""The arithmetic of staking: directions of rounding, bounds, and published facts about its curves."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.staking.math import (
    MAX_POWER,
    RATE,
    SHARE,
    YEAR_NS,
    allocate_rewards,
    discount_bps,
    inflation_rate,
    minted,
    power_of,
    shares_burned,
    shares_for,
    slash_amounts,
    tokens_for,
    weight_of,
)
from qenex.errors import ExchangeRateInvalid, ValueOutOfRange

amounts = st.integers(0, 10**27)


def test_the_first_delegation_brings_a_billion_billion_shares_for_each_unit() -> None:
    assert shares_for(7, 0, 0) == 7 * SHARE
    assert tokens_for(7 * SHARE, 7, 7 * SHARE) == 7


def test_shares_that_are_worth_nothing_are_neither_sold_nor_bought() -> None:
    with pytest.raises(ExchangeRateInvalid):
        shares_for(1, 0, 5)
    with pytest.raises(ExchangeRateInvalid):
        shares_burned(1, 0, 5)
    assert tokens_for(5, 0, 5) == 0
    with pytest.raises(ValueOutOfRange):
        tokens_for(6, 1, 5)
    for values in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        with pytest.raises(ValueOutOfRange):
            shares_for(*values)


@given(amounts, st.integers(1, 10**27), st.integers(1, 10**46))
def test_a_round_trip_never_pays(amount: int, tokens: int, shares: int) -> None:
    gained = shares_for(amount, tokens, shares)
    assert tokens_for(gained, tokens + amount, shares + gained) <= amount
    assert gained == int(Fraction(amount * shares, tokens))
    if amount <= tokens:
        assert shares_burned(amount, tokens, shares) >= gained
    assert tokens_for(shares, tokens, shares) == tokens, "all shares pay all tokens"


@given(amounts, st.lists(amounts, max_size=4), st.integers(0, 10_000))
def test_a_slash_is_rounded_up_and_never_takes_more_than_there_is(
    tokens: int, entries: list[int], bps: int
) -> None:
    found = slash_amounts(tokens, entries, bps)
    for whole, part in [(tokens, found.tokens), *zip(entries, found.entries, strict=True)]:
        assert part <= whole
        assert 0 <= part - Fraction(whole * bps, 10_000) < 1
    with pytest.raises(ValueOutOfRange):
        slash_amounts(tokens, entries, 10_001)


@given(amounts, st.integers(0, 10_000), st.lists(st.integers(0, MAX_POWER), max_size=8))
def test_rewards_are_divided_to_the_unit(fees: int, tax: int, powers: list[int]) -> None:
    community, parts = allocate_rewards(fees, tax, powers)
    assert community + sum(parts) == fees
    rest, total = fees - fees * tax // 10_000, sum(powers)
    for power, part in zip(powers, parts, strict=True):
        assert part <= (Fraction(rest * power, total) if total else 0)
    assert community >= Fraction(fees * tax, 10_000) - 1
    with pytest.raises(ValueOutOfRange):
        allocate_rewards(fees, 10_001, powers)


def test_inflation_falls_evenly_from_the_highest_to_the_lowest() -> None:
    def rate(bonded: int) -> int:
        return inflation_rate(bonded, 1_000, 500, 2_000, 5_000)

    assert (rate(0), rate(250), rate(500), rate(1_000)) == (
        RATE // 5, RATE * 125 // 1_000, RATE // 20, RATE // 20,
    )  # fmt: skip
    assert inflation_rate(0, 0, 500, 2_000, 5_000) == RATE // 5


@given(st.integers(0, 10**27), st.integers(0, 2 * 10**8), st.lists(st.integers(0, 10**15), max_size=8))
def test_minting_in_steps_mints_what_minting_at_once_does(supply: int, rate: int, steps: list[int]) -> None:
    total, carry = 0, 0
    for step in steps:
        new, carry = minted(supply, rate, step, carry)
        total += new
    assert (total, carry) == minted(supply, rate, sum(steps), 0)
    assert total == supply * rate * sum(steps) // (RATE * YEAR_NS)


def test_powers_weights_and_discounts() -> None:
    assert (power_of(999, 1_000), power_of(1_000, 1_000), power_of(10**40, 1)) == (0, 1, MAX_POWER)
    assert 2 * weight_of(3, 15_000) == 3 * weight_of(3, 10_000)
    tiers = ((10, 500), (100, 5_000))
    assert [discount_bps(stake, tiers) for stake in (0, 9, 10, 99, 100, 10**30)] == [
        0, 0, 500, 500, 5_000, 5_000,
    ]  # fmt: skip
