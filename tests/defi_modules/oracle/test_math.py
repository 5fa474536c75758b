"""The median of reports: filters, weights, and no report that could move it beyond the honest ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.oracle.math import Report, answer, median, normalized, quantile
from qenex.errors import InvalidPrice, NotEnoughReports


@pytest.mark.parametrize(
    ("prices", "expected"),
    [([5], 5), ([5, 9], 7), ([5, 8], 6), ([9, 5, 7], 7), ([1, 2, 3, 4], 2), ([1, 2, 4, 100], 3)],
)
def test_the_median_of_equal_weights(prices: list[int], expected: int) -> None:
    assert median([(price, 100) for price in prices], 100, 10, 1, 10_000, None) == expected


def test_weights_count_and_half_of_the_weight_lies_between_two_prices() -> None:
    assert median([(10, 0, 1), (20, 0, 3)], 0, 5, 1, 10_000, None) == 20
    assert median([(10, 0, 2), (20, 0, 2)], 0, 5, 1, 10_000, None) == 15
    assert median([(10, 0, 3), (20, 0, 2)], 0, 5, 1, 10_000, None) == 10


def test_old_future_and_far_reports_do_not_count() -> None:
    reports = [(100, 90), (101, 90), (500, 90), (102, 79), (103, 101)]
    assert median(reports, 100, 20, 2, 1_000, 100) == 100
    assert median([*reports, (109, 100)], 100, 20, 3, 1_000, 100) == 101
    with pytest.raises(NotEnoughReports):
        median(reports, 100, 20, 3, 1_000, 100)
    assert median(reports, 100, 20, 3, 1_000, None) == 101, "without a last price nothing is far"
    assert median(reports, 100, 20, 3, 1_000, 0) == 101
    with pytest.raises(NotEnoughReports):
        median([], 100, 20, 0, 1_000, None)
    with pytest.raises(NotEnoughReports):
        median([(5, 100, 0)], 100, 20, 1, 1_000, None)


def test_the_band_includes_its_edges() -> None:
    assert median([(90, 0), (110, 0)], 0, 0, 2, 1_000, 100) == 100
    with pytest.raises(NotEnoughReports):
        median([(89, 0), (111, 0)], 0, 0, 1, 1_000, 100)


def test_the_spread_is_half_the_width_of_the_middle_half() -> None:
    found = answer([(price, 0) for price in (90, 98, 100, 101, 130)], 0, 0, 1, 10_000, None)
    assert (found.price, found.spread, found.reports) == (100, 2, 5)
    assert answer([(7, 0)], 0, 0, 1, 10_000, None).spread == 0


@given(
    honest=st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 1_000)), min_size=1, max_size=20),
    lies=st.lists(st.integers(1, 1 << 95), max_size=10),
)
def test_less_than_half_of_the_power_moves_no_price_beyond_the_honest_ones(
    honest: list[tuple[int, int]], lies: list[int]
) -> None:
    power = sum([weight for _, weight in honest])
    reports = [Report(price, 0, 2 * weight * max(len(lies), 1)) for price, weight in honest]
    reports += [Report(lie, 0, max(1, 2 * power - 1)) for lie in lies]
    price = median(reports, 0, 0, 1, 10_000, None)
    assert min(p for p, _ in honest) <= price <= max(p for p, _ in honest)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.just(0), st.integers(1, 9)), min_size=1, max_size=12))
def test_a_quantile_is_what_the_list_with_repetitions_says(reports: list[Any]) -> None:
    ordered = sorted([Report(*report) for report in reports])
    repeated = [report.price for report in ordered for _ in range(report.weight)]
    half = len(repeated) // 2
    expected = repeated[half] if len(repeated) % 2 else (repeated[half - 1] + repeated[half]) // 2
    assert quantile(ordered, 1, 2) == expected
    assert median(reports, 0, 0, 1, 10_000, None) == median(list(reversed(reports)), 0, 0, 1, 10_000, None)


def test_prices_are_brought_to_eight_decimals_and_absurd_ones_refused() -> None:
    assert normalized(12_345, -2) == 12_345_000_000
    assert normalized(1, -8) == 1
    assert normalized(19, -9) == 1
    for mantissa, exponent in ((1, -9), (0, 0), (-5, 0), (1, 19), (1, -19), (1 << 96, 0), (10**20, 18)):
        with pytest.raises(InvalidPrice):
            normalized(mantissa, exponent)
