"""The price follows demand by time, never by the number of blocks, and nobody underpays."""

from __future__ import annotations

from fractions import Fraction
from math import e

from hypothesis import given
from hypothesis import strategies as st

from vm.fees import (
    MAX_EXPONENT,
    MachineParams,
    charge,
    exponential,
    next_excess,
    price_per_gas,
    scheme_status,
)

PARAMS = MachineParams()
SECOND = 10**9


def test_published_cases_of_the_integer_exponential() -> None:
    """EIP-4844, `fake_exponential` (execution-spec-tests)."""
    cases = [
        (1, 0, 1, 1), (38493, 0, 1000, 38493), (0, 1234, 2345, 0), (1, 2, 1, 6), (1, 4, 2, 6), (1, 3, 1, 16),
        (1, 6, 2, 18), (1, 4, 1, 49), (1, 8, 2, 50), (10, 8, 2, 542), (11, 8, 2, 596), (1, 5, 1, 136),
        (1, 5, 2, 11), (2, 5, 2, 23), (1, 50000000, 2225652, 5709098764),
    ]  # fmt: skip
    for factor, numerator, denominator, expected in cases:
        assert exponential(factor, numerator, denominator) == expected


@given(st.integers(0, 10**12), st.integers(0, 10**13), st.integers(10_000, 10**11))
def test_price_is_near_the_exact_exponential_and_bounded(factor: int, excess: int, fraction: int) -> None:
    price = price_per_gas(PARAMS._replace(min_price=factor, price_update_fraction=fraction), excess)
    exact = factor * e ** min(excess / fraction, MAX_EXPONENT)
    assert factor <= price <= exact * 1.000001 + 1
    assert price >= exact * 0.999 - 1


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_price_never_falls_with_demand(low: int, more: int) -> None:
    assert price_per_gas(PARAMS, low) <= price_per_gas(PARAMS, low + more)
    assert price_per_gas(PARAMS, 0) == PARAMS.min_price


@given(st.integers(0, 10**9), st.integers(0, 10**7), st.integers(1, 50), st.integers(1, 100))
def test_how_often_blocks_come_does_not_matter(excess: int, gas: int, blocks: int, seconds: int) -> None:
    """The same gas in the same time, in one block or many, ends within a rounding of a gas a block."""
    gas = max(gas, PARAMS.target_gas_per_second * seconds // blocks)  # no block falls to the floor of zero
    once = next_excess(PARAMS, excess, gas * blocks, seconds * SECOND)
    many = excess
    for _ in range(blocks):
        many = next_excess(PARAMS, many, gas, seconds * SECOND // blocks)
    assert 0 <= many - once <= 2 * blocks or many == once == MAX_EXPONENT * PARAMS.price_update_fraction


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(-(10**9), 10**18))
def test_excess_stays_between_nothing_and_its_cap(excess: int, gas: int, elapsed: int) -> None:
    assert 0 <= next_excess(PARAMS, excess, gas, elapsed) <= MAX_EXPONENT * PARAMS.price_update_fraction


def test_demand_at_the_target_keeps_the_price() -> None:
    assert next_excess(PARAMS, 5_000, PARAMS.target_gas_per_second, SECOND) == 5_000
    assert next_excess(PARAMS, 5_000, PARAMS.target_gas_per_second + 1, SECOND) == 5_001
    assert next_excess(PARAMS, 5_000, 0, SECOND) == 0
    assert next_excess(PARAMS, 5_000, 1, -SECOND) == 5_001, "time that ran backwards frees nothing"


@given(st.integers(0, 10**9), st.integers(0, 10**12), st.integers(0, 65_535), st.integers(0, 10**12))
def test_charge_rounds_up_and_never_pays(gas: int, price: int, discount: int, tip: int) -> None:
    base, paid_tip = charge(gas, price, discount, tip)
    exact = Fraction(gas * price * max(0, 10_000 - discount), 10_000)
    assert paid_tip == tip
    assert exact <= base < exact + 1
    assert base <= gas * price


def test_every_scheme_has_a_status() -> None:
    from qenex.crypto import SCHEMES_BY_TAG

    assert scheme_status(PARAMS) == dict.fromkeys(SCHEMES_BY_TAG, 2)
    for field in PARAMS._fields:
        if field.startswith("scheme_"):
            changed = scheme_status(PARAMS._replace(**{field: 0}))
            assert sorted(changed.values()) == [0, 2, 2, 2, 2]
