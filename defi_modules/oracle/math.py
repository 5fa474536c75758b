"""A price out of many: filters, the weighted median, and how far the reports lie apart. Integers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qenex.errors import InvalidPrice, NotEnoughReports

BPS: Final = 10_000
PRICE_DECIMALS: Final = 8
"""Prices are in units of 10^-8 of the quote currency for one whole unit of the asset."""
MAX_PRICE: Final = 1 << 96
MAX_EXPONENT: Final = 18


class Report(NamedTuple):
    """One reporter's price, when it was told (seconds), and the weight of who told it."""

    price: int
    time: int
    weight: int = 1


class Answer(NamedTuple):
    """The median, half the width of the middle half of the weight around it, and how many reports count."""

    price: int
    spread: int
    reports: int
    weight: int


def normalized(mantissa: int, exponent: int) -> int:
    """`mantissa * 10^exponent` with 8 decimals, rounded down.

    Raises InvalidPrice for an exponent beyond 18 either way, and for a price that is 0 or at least 2^96.
    """
    if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or mantissa <= 0:
        raise InvalidPrice(f"a price of {mantissa} * 10^{exponent}")
    shift = exponent + PRICE_DECIMALS
    scale: int = 10 ** abs(shift)
    price = mantissa * scale if shift >= 0 else mantissa // scale
    if not 0 < price < MAX_PRICE:
        raise InvalidPrice(
            f"{mantissa} * 10^{exponent} is no price with {PRICE_DECIMALS} decimals below 2^96"
        )
    return price


def usable(
    reports: Sequence[Report | tuple[int, ...]],
    now: int,
    max_age: int,
    max_deviation_bps: int,
    last_price: int | None,
) -> list[Report]:
    """The reports that are no older than `max_age` seconds, with a weight, and near the last price, by price.

    Near: within `max_deviation_bps` basis points of it; without a last price (None or 0) all are.
    """
    fresh = [Report(*report) for report in reports]  # a pair has weight 1
    fresh = [report for report in fresh if 0 <= now - report.time <= max_age and report.weight > 0]
    if last_price:
        fresh = [
            report
            for report in fresh
            if abs(report.price - last_price) * BPS <= max_deviation_bps * last_price
        ]
    return sorted(fresh)


def quantile(ordered: Sequence[Report], part: int, whole: int) -> int:
    """The price below which `part / whole` of the weight lies; between two prices the floor of their mean."""
    total = sum([report.weight for report in ordered])
    below = 0
    for index, report in enumerate(ordered):
        below += report.weight
        if below * whole > total * part:
            return report.price
        if below * whole == total * part and index + 1 < len(ordered):
            return (report.price + ordered[index + 1].price) // 2
    return ordered[-1].price


def answer(
    reports: Sequence[Report | tuple[int, ...]],
    now: int,
    max_age: int,
    min_reports: int,
    max_deviation_bps: int,
    last_price: int | None,
) -> Answer:
    """`median`, with the spread and what it stands on. Raises NotEnoughReports."""
    ordered = usable(reports, now, max_age, max_deviation_bps, last_price)
    if len(ordered) < max(min_reports, 1):
        raise NotEnoughReports(
            f"{len(ordered)} of {len(reports)} reports can be used, {min_reports} are needed"
        )
    price = quantile(ordered, 1, 2)
    low, high = quantile(ordered, 1, 4), quantile(ordered, 3, 4)
    weight = sum([report.weight for report in ordered])
    return Answer(price, max(price - low, high - price), len(ordered), weight)


def median(
    reports: Sequence[Report | tuple[int, ...]],
    now: int,
    max_age: int,
    min_reports: int,
    max_deviation_bps: int,
    last_price: int | None,
) -> int:
    """The weighted median of the reports that can be used; with an even count, the floor of the mean of the middle two.

    `reports` are `(price, time, weight)`, or `(price, time)` of equal weights; times and ages in seconds. Raises
    NotEnoughReports when fewer than `min_reports` are young enough and near enough to `last_price`.
    """
    return answer(reports, now, max_age, min_reports, max_deviation_bps, last_price).price
