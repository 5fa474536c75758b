# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `oracle`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U16, U32, U64, Between, Bps, Length
from qenex.wallet import Wallet


class PriceReport(NamedTuple):
    """A price as it is sent: `mantissa * 10^exponent` of the quote currency."""

    symbol: Annotated[str, Length(3, 24)]
    mantissa: Annotated[int, Between(0, 79228162514264337593543950335)]
    exponent: Annotated[int, Between(-64, 64)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PriceAnswer(NamedTuple):
    """A price for a reader, with its age in seconds and its spread in basis points, rounded up."""

    symbol: Annotated[str, Length(3, 24)]
    price: Annotated[int, Between(0, 79228162514264337593543950335)]
    spread: Annotated[int, Between(0, 79228162514264337593543950335)]
    spread_bps: U64
    age_s: Annotated[int, Between(0, 1099511627775)]
    time_s: Annotated[int, Between(0, 1099511627775)]
    reports: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Feed(NamedTuple):
    """What is reported. A report counts for `max_age_s` seconds.

    It takes `min_reports` reports and `min_power_bps` of the voting power; reports further than
    `max_deviation_bps`
    from a price that is still fresh are left out.
    """

    symbol: Annotated[str, Length(3, 24)]
    max_age_s: Annotated[int, Between(1, 86400)]
    min_reports: Annotated[int, Between(1, 150)]
    min_power_bps: Bps
    max_deviation_bps: Annotated[int, Between(1, 10000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Diligence(NamedTuple):
    """How a validator has reported in this period: windows that ended, and those it missed; feeds told in
    this one.
    """

    windows: U32
    missed: U32
    told: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Reporter(NamedTuple):
    """A validator, who reports for it, and how it has done."""

    validator: Address
    feeder: Address | None
    diligence: Diligence

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FeederChanged(NamedTuple):
    """A validator's prices come from `feeder` now; None: from its operator alone."""

    validator: Address
    feeder: Address | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PricesReported(NamedTuple):
    """A validator reported so many prices."""

    validator: Address
    prices: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PriceUpdated(NamedTuple):
    """A feed has a new price."""

    symbol: Annotated[str, Length(3, 24)]
    price: Annotated[int, Between(0, 79228162514264337593543950335)]
    spread: Annotated[int, Between(0, 79228162514264337593543950335)]
    reports: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ReportsMissed(NamedTuple):
    """A validator missed `missed` of `windows` windows in a period: more than it may."""

    validator: Address
    missed: U32
    windows: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


REPORT = MessageFace(
    "oracle.report",
    (("prices", Annotated[tuple[PriceReport, ...], Length(1, 64)]),),
    None,
)

SET_FEEDER = MessageFace(
    "oracle.set_feeder",
    (("feeder", Address | None),),
    None,
)

GET_PRICE = QueryFace(
    "oracle_getPrice",
    (
        ("symbol", Annotated[str, Length(3, 24)]),
        ("max_age_s", Annotated[int, Between(1, 86400)]),
        ("max_spread_bps", Bps),
    ),
    PriceAnswer,
)

LIST_FEEDS = QueryFace(
    "oracle_listFeeds",
    (),
    Annotated[tuple[Feed, ...], Length(0, 64)],
)

LIST_PRICES = QueryFace(
    "oracle_listPrices",
    (),
    tuple[PriceAnswer, ...],
)

LIST_REPORTERS = QueryFace(
    "oracle_listReporters",
    (),
    tuple[Reporter, ...],
)

MESSAGES: tuple[MessageFace, ...] = (
    REPORT,
    SET_FEEDER,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_PRICE,
    LIST_FEEDS,
    LIST_PRICES,
    LIST_REPORTERS,
)

EVENTS: dict[str, type] = {
    "oracle.feeder_changed": FeederChanged,
    "oracle.prices_reported": PricesReported,
    "oracle.price_updated": PriceUpdated,
    "oracle.reports_missed": ReportsMissed,
}


class Oracle(ModuleFace):
    """Prices from validators: a median by power, with age and spread."""

    def report(
        self,
        wallet: Wallet,
        *,
        prices: tuple[PriceReport, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Report prices, as an active validator's operator or feeder. The last report of each feed counts.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            prices: for each feed once, `mantissa * 10^exponent` of the quote currency.
        """
        return self._send(wallet, REPORT, {"prices": prices}, options)

    def set_feeder(
        self,
        wallet: Wallet,
        *,
        feeder: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Let another account report prices for this validator, so that its operator's key can stay away.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            feeder: who reports; nobody but the operator unless given.
        """
        return self._send(wallet, SET_FEEDER, {"feeder": feeder}, options)

    def get_price(
        self, symbol: str, max_age_s: int, max_spread_bps: int, *, at: At | None = None
    ) -> PriceAnswer:
        """A price that is at most so old and so uncertain, or an error that says which it is not.

        `at` is a height, the latest one unless given.

        Args:
            symbol: the feed.
            max_age_s: the oldest that is accepted, in seconds.
            max_spread_bps: the widest spread that is accepted, in basis points of the price.
        """
        answer: PriceAnswer = self._query(
            GET_PRICE, {"symbol": symbol, "max_age_s": max_age_s, "max_spread_bps": max_spread_bps}, at
        )
        return answer

    def list_feeds(self, *, at: At | None = None) -> Annotated[tuple[Feed, ...], Length(0, 64)]:
        """What is priced on this chain, and what a report has to be like.

        `at` is a height, the latest one unless given.
        """
        answer: Annotated[tuple[Feed, ...], Length(0, 64)] = self._query(LIST_FEEDS, {}, at)
        return answer

    def list_prices(self, *, at: At | None = None) -> tuple[PriceAnswer, ...]:
        """The last price of every feed, however old, with its age.

        `at` is a height, the latest one unless given.
        """
        answer: tuple[PriceAnswer, ...] = self._query(LIST_PRICES, {}, at)
        return answer

    def list_reporters(self, *, at: At | None = None) -> tuple[Reporter, ...]:
        """Every active validator, who reports for it, and how it has done in this period.

        `at` is a height, the latest one unless given.
        """
        answer: tuple[Reporter, ...] = self._query(LIST_REPORTERS, {}, at)
        return answer
