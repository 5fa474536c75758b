"""Running sums: nothing is made, floors are carried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.farming.math import SCALE, accrue, boosted, earned
from qenex.errors import ValueOutOfRange
from qenex.types import MAX_AMOUNT


@given(
    weights=st.lists(st.integers(1, MAX_AMOUNT), min_size=1, max_size=8),
    amounts=st.lists(st.integers(0, MAX_AMOUNT >> 3), min_size=1, max_size=8),
)
def test_shares_never_pay_more_than_flowed_and_lose_less_than_a_unit_a_stake(
    weights: list[int], amounts: list[int]
) -> None:
    running = carry = 0
    for amount in amounts:
        added, carry = accrue(amount, sum(weights), carry)
        running += added
        assert carry < sum(weights)
    paid = sum([earned(weight, running, 0) for weight in weights])
    assert paid <= sum(amounts)
    # The carry is less than the weight / SCALE of a unit; each stake's own floor loses less than one unit.
    assert sum(amounts) - paid <= len(weights) + sum(weights) // SCALE + 1


@given(weight=st.integers(0, MAX_AMOUNT), steps=st.lists(st.integers(0, 1 << 200), max_size=6))
def test_claiming_often_never_earns_more_than_claiming_once(weight: int, steps: list[int]) -> None:
    running = often = 0
    for step in steps:
        often += earned(weight, running + step, running)
        running += step
    once = earned(weight, running, 0)
    assert often <= once <= often + len(steps)


def test_boosts_round_down() -> None:
    assert boosted(3, 15_000) == 4
    assert boosted(0, 50_000) == 0
    assert boosted(7, 10_000) == 7


@pytest.mark.parametrize(
    "call",
    [
        lambda: boosted(-1, 10_000),
        lambda: boosted(1, 9_999),
        lambda: accrue(-1, 1, 0),
        lambda: accrue(1, 0, 0),
        lambda: accrue(1, 1, -1),
        lambda: earned(1, 1, 2),
        lambda: earned(-1, 2, 1),
    ],
)
def test_values_out_of_their_domain_are_refused(call) -> None:
    with pytest.raises(ValueOutOfRange):
        call()
