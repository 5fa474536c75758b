"""Linear release: exact, monotonic, never more than the exact rational part."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.bank.math import MAX_SECONDS, vested
from qenex.errors import ValueOutOfRange
from qenex.types import MAX_AMOUNT


@pytest.mark.parametrize(
    ("total", "start", "duration", "cliff", "now", "free"),
    [
        (1_000, 100, 100, 0, 99, 0),
        (1_000, 100, 100, 0, 100, 0),
        (1_000, 100, 100, 0, 101, 10),
        (1_000, 100, 100, 25, 124, 0),
        (1_000, 100, 100, 25, 125, 250),
        (1_000, 100, 100, 100, 199, 0),
        (1_000, 100, 100, 100, 200, 1_000),
        (1_000, 100, 0, 0, 99, 0),
        (1_000, 100, 0, 0, 100, 1_000),
        (1, 0, 3, 0, 2, 0),
        (MAX_AMOUNT - 1, 0, 2, 0, 1, (MAX_AMOUNT - 1) // 2),
        (0, 0, 10, 0, 20, 0),
    ],
)
def test_published_steps(total: int, start: int, duration: int, cliff: int, now: int, free: int) -> None:
    assert vested(total, start, duration, cliff, now) == free


@given(
    total=st.integers(0, MAX_AMOUNT - 1),
    start=st.integers(0, 10**6),
    duration=st.integers(0, 10**6),
    data=st.data(),
)
def test_never_falls_and_is_never_more_than_the_exact_part(
    total: int, start: int, duration: int, data: st.DataObject
) -> None:
    cliff = data.draw(st.integers(0, duration))
    first, second = sorted(data.draw(st.tuples(st.integers(0, 3 * 10**6), st.integers(0, 3 * 10**6))))
    free = vested(total, start, duration, cliff, first)
    assert 0 <= free <= vested(total, start, duration, cliff, second) <= total
    if duration and start <= first < start + duration:
        assert free <= Fraction(total * (first - start), duration) < free + 1 or first < start + cliff


@pytest.mark.parametrize(
    "args",
    [
        (-1, 0, 1, 0, 0),
        (MAX_AMOUNT, 0, 1, 0, 0),
        (1, -1, 1, 0, 0),
        (1, 0, -1, 0, 0),
        (1, 0, 1, 2, 0),
        (1, 0, 1, -1, 0),
        (1, 0, 1, 0, MAX_SECONDS),
        (1, MAX_SECONDS, 1, 0, 0),
    ],
)
def test_values_out_of_their_domain_are_refused(args: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueOutOfRange):
        vested(*args)
