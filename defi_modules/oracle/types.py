"""Records that the oracle keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U16, U32, U64, U128, Between, Bps, Length

MAX_FEEDS = 64

Symbol = Annotated[str, Length(3, 24)]
"""What is priced and in what, such as QXC/USD."""
Seconds = Annotated[int, Between(0, (1 << 40) - 1)]
Price = Annotated[int, Between(0, (1 << 96) - 1)]
"""Units of 10^-8 of the quote currency for one whole unit of the asset."""
Mantissa = Annotated[int, Between(0, (1 << 96) - 1)]
Exponent = Annotated[int, Between(-64, 64)]
"""Wider than what a price may have, so that an absurd one is told by name."""


class Feed(NamedTuple):
    """What is reported. A report counts for `max_age_s` seconds.

    It takes `min_reports` reports and `min_power_bps` of the voting power; reports further than `max_deviation_bps`
    from a price that is still fresh are left out.
    """

    symbol: Symbol
    max_age_s: Annotated[int, Between(1, 86_400)]
    min_reports: Annotated[int, Between(1, 150)]
    min_power_bps: Bps
    max_deviation_bps: Annotated[int, Between(1, 10_000)]


Feeds = Annotated[tuple[Feed, ...], Length(0, MAX_FEEDS)]


class PriceReport(NamedTuple):
    """A price as it is sent: `mantissa * 10^exponent` of the quote currency."""

    symbol: Symbol
    mantissa: Mantissa
    exponent: Exponent


Reports = Annotated[tuple[PriceReport, ...], Length(1, MAX_FEEDS)]


class StoredReport(NamedTuple):
    """A validator's last report of a feed; `window` is the number of the window it was made in."""

    price: Price
    time_s: Seconds
    window: U64


class FeedPrice(NamedTuple):
    """What the reports came to, and when. `spread` is half the width of the middle half of the power."""

    price: Price
    spread: Price
    time_s: Seconds
    reports: U16
    power: U128


class PriceAnswer(NamedTuple):
    """A price for a reader, with its age in seconds and its spread in basis points, rounded up."""

    symbol: Symbol
    price: Price
    spread: Price
    spread_bps: U64
    age_s: Seconds
    time_s: Seconds
    reports: U16


class Diligence(NamedTuple):
    """How a validator has reported in this period: windows that ended, and those it missed; feeds told in this one."""

    windows: U32
    missed: U32
    told: U16


class Reporter(NamedTuple):
    """A validator, who reports for it, and how it has done."""

    validator: Address
    feeder: Address | None
    diligence: Diligence


class Clock(NamedTuple):
    """Where the accounting of misses stands: this window's number, when it and this period began, in seconds."""

    window: U64
    window_s: Seconds
    period_s: Seconds


# -- events ------------------------------------------------------------------------------------


class FeederChanged(NamedTuple):
    """A validator's prices come from `feeder` now; None: from its operator alone."""

    validator: Address
    feeder: Address | None


class PricesReported(NamedTuple):
    """A validator reported so many prices."""

    validator: Address
    prices: U16


class PriceUpdated(NamedTuple):
    """A feed has a new price."""

    symbol: Symbol
    price: Price
    spread: Price
    reports: U16


class ReportsMissed(NamedTuple):
    """A validator missed `missed` of `windows` windows in a period: more than it may."""

    validator: Address
    missed: U32
    windows: U32
