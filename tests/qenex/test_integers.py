"""Division rounds the way its argument says, for every size."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.errors import ValueOutOfRange
from qenex.integers import divide, mul_div

NUMBERS = st.integers(0, 1 << 300)
DIVISORS = st.integers(1, 1 << 300)


@given(NUMBERS, NUMBERS, DIVISORS)
def test_rounding_is_what_its_argument_says(a: int, b: int, divisor: int) -> None:
    exact = Fraction(a * b, divisor)
    assert mul_div(a, b, divisor, round_up=False) == floor(exact)
    assert mul_div(a, b, divisor, round_up=True) == ceil(exact)
    assert divide(a, divisor, round_up=False) == floor(Fraction(a, divisor))
    assert divide(a, divisor, round_up=True) == ceil(Fraction(a, divisor))


@pytest.mark.parametrize(("a", "b", "divisor"), [(-1, 1, 1), (1, -1, 1), (1, 1, 0), (1 << 400, 1, -1)])
@pytest.mark.parametrize("round_up", [True, False])
def test_outside_of_the_range_nothing_is_divided(a: int, b: int, divisor: int, round_up: bool) -> None:
    with pytest.raises(ValueOutOfRange):
        mul_div(a, b, divisor, round_up=round_up)
    with pytest.raises(ValueOutOfRange):
        divide(min(a, b), divisor if min(a, b) >= 0 else 1, round_up=round_up)
