"""Oracle, module 6: prices from validators' feeders.

Each active validator, or the feeder it names, reports prices; at the end of a block each feed with new reports gets the
median by voting power of those that are fresh and not far off. What is stored is a price with its time and spread. A
reader always says how old and how uncertain a price it accepts; there is no other way to read one.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from defi_modules.oracle.math import BPS, Report, answer, normalized
from defi_modules.oracle.types import (
    Clock,
    Diligence,
    Feed,
    FeederChanged,
    FeedPrice,
    Feeds,
    PriceAnswer,
    PricesReported,
    PriceUpdated,
    Reporter,
    Reports,
    ReportsMissed,
    StoredReport,
    Symbol,
)
from ledger.collections import Item, Map, OrderedMap
from qenex.block import MAX_VALIDATORS
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import (
    FeederTaken,
    InvalidGenesis,
    InvalidPrice,
    InvariantViolated,
    NotEnoughReports,
    NotReporter,
    PriceStale,
    PriceUncertain,
    UnknownFeed,
)
from qenex.state_keys import ModuleId
from qenex.types import U8, Between, Bps, Length
from vm.context import Context
from vm.module import Module, internal, invariant, message, query
from vm.registry import check_record

FIRST_WINDOW: Final = 1
READERS: Final = ("lending", "amm", "staking", "governance", "farming")
MaxAge = Annotated[int, Between(1, 86_400)]
MaxSpread = Annotated[int, Between(0, 10_000)]


class OracleParams(NamedTuple):
    """What is priced, and how diligent a validator has to be.

    `feeds` are the prices that validators report. A validator that has not told every feed within `window_s` seconds has
    missed that window; one that misses more than `max_missed_bps` basis points of the windows in `period_s` seconds is
    reported. `hook_items` feeds are worked off in a block.
    """

    feeds: Feeds = ()
    window_s: Annotated[int, Between(5, 3_600)] = 60
    period_s: Annotated[int, Between(60, 30 * 86_400)] = 86_400
    max_missed_bps: Bps = 5_000
    hook_items: Annotated[int, Between(1, 64)] = 16


Late = Annotated[tuple[Address, ...], Length(1, MAX_VALIDATORS)]


class GenesisFeeder(NamedTuple):
    """Who reports for a validator at genesis."""

    validator: Address
    feeder: Address


class GenesisReport(NamedTuple):
    """A validator's last report of a feed at genesis."""

    symbol: Symbol
    validator: Address
    report: StoredReport


class GenesisPrice(NamedTuple):
    """A feed's price at genesis."""

    symbol: Symbol
    price: FeedPrice


class Oracle(Module):
    """Prices from validators: a median by power, with age and spread."""

    id = ModuleId.ORACLE
    name = "oracle"
    events = (FeederChanged, PricesReported, PriceUpdated, ReportsMissed)
    Params = OracleParams

    feeders = OrderedMap[Address, Address](1, key=Address, value=Address)
    """Feeder by validator."""
    validators_of = Map[Address, Address](2, key=Address, value=Address)
    """Validator by feeder."""
    reports = OrderedMap[tuple[str, Address], StoredReport](3, key=(str, Address), value=StoredReport)
    prices = OrderedMap[str, FeedPrice](4, key=str, value=FeedPrice)
    due = OrderedMap[str, int](5, key=str, value=U8)
    """Feeds with reports that their price does not know yet."""
    diligence = OrderedMap[Address, Diligence](6, key=Address, value=Diligence)
    clock = Item[Clock](7, Clock)
    late = Item[Late](8, Late)
    """Who missed too much in the period that ended last, until staking has taken note."""

    # -- reporting -------------------------------------------------------------------------------

    @message(gas=300)
    def set_feeder(self, ctx: Context, feeder: Address | None) -> None:
        """Let another account report prices for this validator, so that its operator's key can stay away.

        Args:
            feeder: who reports; nobody but the operator unless given.
        """
        if ctx.actor not in _powers(ctx):
            raise NotReporter("this account is no active validator's operator")
        if feeder is not None and (
            feeder == ctx.actor or self.validators_of.get(feeder) not in (None, ctx.actor)
        ):
            raise FeederTaken("this account reports for another validator, or is the operator itself")
        before = self.feeders.get(ctx.actor)
        if before is not None:
            self.validators_of.set(before, None)
        self.feeders.set(ctx.actor, feeder)
        if feeder is not None:
            self.validators_of.set(feeder, ctx.actor)
        ctx.emit(FeederChanged(ctx.actor, feeder))

    @message(gas=400)
    def report(self, ctx: Context, prices: Reports) -> None:
        """Report prices, as an active validator's operator or feeder. The last report of each feed counts.

        Args:
            prices: for each feed once, `mantissa * 10^exponent` of the quote currency.
        """
        validator = self.validators_of.get(ctx.actor) or ctx.actor
        if validator not in _powers(ctx):
            raise NotReporter("this account is no active validator's operator or feeder")
        known = {feed.symbol for feed in self.params.feeds}
        if len({item.symbol for item in prices}) != len(prices):
            raise InvalidPrice("a feed is there twice")
        clock = self.clock.get()
        window = FIRST_WINDOW if clock is None else clock.window
        told = 0
        for symbol, mantissa, exponent in prices:
            ctx.gas.use(150)
            if symbol not in known:
                raise UnknownFeed(f"{symbol} is not priced on this chain")
            price = normalized(mantissa, exponent)
            before = self.reports.get((symbol, validator))
            told += before is None or before.window != window
            self.reports.set((symbol, validator), StoredReport(price, ctx.time_s, window))
            self.due.set(symbol, 1)
        if told:
            done = self.diligence.get(validator) or Diligence(0, 0, 0)
            self.diligence.set(validator, done._replace(told=done.told + told))
        ctx.emit(PricesReported(validator, len(prices)))

    # -- reading, for modules ----------------------------------------------------------------------

    @internal(callers=READERS, gas=100)
    def read(self, ctx: Context, symbol: Symbol, max_age_s: MaxAge, max_spread_bps: MaxSpread) -> PriceAnswer:
        """A price that is at most so old and so uncertain. Raises UnknownFeed, PriceStale or PriceUncertain.

        Args:
            symbol: the feed.
            max_age_s: the oldest that is accepted, in seconds.
            max_spread_bps: the widest spread that is accepted, in basis points of the price.
        """
        return self._read(ctx, symbol, max_age_s, max_spread_bps)

    def _read(self, ctx: Context, symbol: str, max_age_s: int, max_spread_bps: int) -> PriceAnswer:
        found = self.prices.get(symbol)
        if found is None:
            if all(feed.symbol != symbol for feed in self.params.feeds):
                raise UnknownFeed(f"{symbol} is not priced on this chain")
            raise PriceStale(f"{symbol} has had no price yet")
        told = _told(symbol, found, ctx.time_s)
        if told.age_s > max_age_s:
            raise PriceStale(f"the price of {symbol} is {told.age_s} s old, {max_age_s} s are accepted")
        if told.spread_bps > max_spread_bps:
            raise PriceUncertain(
                f"the reports of {symbol} lie {told.spread_bps} basis points apart, {max_spread_bps} are accepted"
            )
        return told

    @internal(callers=("staking",), gas=0)
    def take_late(self, ctx: Context) -> tuple[Address, ...]:
        """Who missed too many windows in a period that is over, each once."""
        late = self.late.get() or ()
        self.late.set(None)
        return late

    @query
    def get_price(
        self, ctx: Context, symbol: Symbol, max_age_s: MaxAge, max_spread_bps: MaxSpread
    ) -> PriceAnswer:
        """A price that is at most so old and so uncertain, or an error that says which it is not.

        Args:
            symbol: the feed.
            max_age_s: the oldest that is accepted, in seconds.
            max_spread_bps: the widest spread that is accepted, in basis points of the price.
        """
        return self._read(ctx, symbol, max_age_s, max_spread_bps)

    @query
    def list_feeds(self, ctx: Context) -> Feeds:
        """What is priced on this chain, and what a report has to be like."""
        feeds: Feeds = self.params.feeds
        return feeds

    @query
    def list_prices(self, ctx: Context) -> tuple[PriceAnswer, ...]:
        """The last price of every feed, however old, with its age."""
        listed = [(feed.symbol, self.prices.get(feed.symbol)) for feed in self.params.feeds]
        return tuple([_told(symbol, price, ctx.time_s) for symbol, price in listed if price is not None])

    @query
    def list_reporters(self, ctx: Context) -> tuple[Reporter, ...]:
        """Every active validator, who reports for it, and how it has done in this period."""
        return tuple(
            [
                Reporter(
                    validator,
                    self.feeders.get(validator),
                    self.diligence.get(validator) or Diligence(0, 0, 0),
                )
                for validator in sorted(_powers(ctx))
            ]
        )

    # -- the end of a block --------------------------------------------------------------------------

    def end_block(self, ctx: Context) -> None:
        """New prices of feeds with new reports, at most `hook_items`; and windows and periods that are over."""
        params = self.params
        if not params.feeds:
            return
        powers = _powers(ctx)
        feeds = {feed.symbol: feed for feed in params.feeds}
        for symbol, _ in self.due.page(limit=params.hook_items):
            self.due.set(symbol, None)
            if symbol in feeds:
                self._update(ctx, feeds[symbol], powers)
        self._account(ctx, params, powers)

    def _update(self, ctx: Context, feed: Feed, powers: dict[Address, int]) -> None:
        """A feed's new price, where its reports suffice for one; else the old one grows older."""
        reports, stored = [], self.reports.page(prefix=_symbol_prefix(feed.symbol), limit=1_000)
        for (_, validator), report in stored:
            power = powers.get(validator, 0)
            if power:
                reports.append(Report(report.price, report.time_s, power))
            else:
                self.reports.set((feed.symbol, validator), None)
        last = self.prices.get(feed.symbol)
        # A price nobody would take any more binds nobody: else a real move beyond the band would never be followed.
        near = last.price if last is not None and ctx.time_s - last.time_s <= feed.max_age_s else None
        try:
            found = answer(
                reports, ctx.time_s, feed.max_age_s, feed.min_reports, feed.max_deviation_bps, near
            )
        except NotEnoughReports:
            return
        if found.weight * BPS < feed.min_power_bps * sum(powers.values()):
            return
        self.prices.set(
            feed.symbol, FeedPrice(found.price, found.spread, ctx.time_s, found.reports, found.weight)
        )
        ctx.emit(PriceUpdated(feed.symbol, found.price, found.spread, found.reports))

    def _account(self, ctx: Context, params: OracleParams, powers: dict[Address, int]) -> None:
        """Count the window that is over, and close the period that is over."""
        clock = self.clock.get()
        if clock is None:
            self.clock.set(Clock(FIRST_WINDOW, ctx.time_s, ctx.time_s))
            return
        if ctx.time_s - clock.window_s < params.window_s:
            return
        closes = ctx.time_s - clock.period_s >= params.period_s
        late: list[Address] = []
        for validator in sorted(powers):
            done = self.diligence.get(validator) or Diligence(0, 0, 0)
            missed = done.missed + (done.told < len({feed.symbol for feed in params.feeds}))
            done = Diligence(done.windows + 1, missed, 0)
            if closes and done.missed * BPS > params.max_missed_bps * done.windows:
                ctx.emit(ReportsMissed(validator, done.missed, done.windows))
                late.append(validator)
            self.diligence.set(validator, None if closes else done)
        if closes:
            self.late.set(tuple(late) or None)
        if closes:  # whoever is no validator any more is forgotten with the period
            for validator, _ in self.diligence.page(limit=1_000):
                if validator not in powers:
                    self.diligence.set(validator, None)
        began = ctx.time_s if closes else clock.period_s
        self.clock.set(Clock(clock.window + 1, ctx.time_s, began))

    # -- rules that always hold ---------------------------------------------------------------------

    @invariant()
    def feeders_and_validators_name_each_other(self, ctx: Context) -> None:
        """A feeder reports for one validator, and that one has named it."""
        back = dict(self.validators_of.scan())
        for validator, feeder in self.feeders.scan():
            if back.pop(feeder, None) != validator:
                raise InvariantViolated("a feeder does not know its validator")
        if back:
            raise InvariantViolated("a feeder reports for a validator that has not named it")

    @invariant(each="prices")
    def a_price_is_positive_and_not_from_the_future(
        self, ctx: Context, symbol: str, old: FeedPrice | None, new: FeedPrice | None
    ) -> None:
        """What readers are given is a price."""
        if new is not None and (new.price <= 0 or new.time_s > ctx.time_s):
            raise InvariantViolated(f"{symbol} has a price of {new.price} at {new.time_s}")

    # -- genesis -------------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"feeders": [...], "reports": [...], "prices": [...]}`; the accounting of misses begins anew."""
        if set(data) - {"feeders", "reports", "prices"} or any(
            not isinstance(v, list) for v in data.values()
        ):
            raise InvalidGenesis('modules.oracle is {"feeders": [...], "reports": [...], "prices": [...]}')

        def records(name: str, record: type) -> list[Any]:
            return [
                check_record(codec_for(record), item, InvalidGenesis, f"modules.oracle.{name}[{index}]")
                for index, item in enumerate(data.get(name, []))
            ]

        for validator, feeder in records("feeders", GenesisFeeder):
            if self.feeders.get(validator) is not None or self.validators_of.get(feeder) is not None:
                raise InvalidGenesis("modules.oracle.feeders: a validator or feeder is there twice")
            self.feeders.set(validator, feeder)
            self.validators_of.set(feeder, validator)
        for symbol, validator, report in records("reports", GenesisReport):
            self.reports.set((symbol, validator), report._replace(window=0))
        for symbol, price in records("prices", GenesisPrice):
            self.prices.set(symbol, price)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        lists: dict[str, list[Any]] = {
            "feeders": [
                codec_for(GenesisFeeder).to_json(GenesisFeeder(*item), "qx") for item in self.feeders.scan()
            ],
            "reports": [
                codec_for(GenesisReport).to_json(
                    GenesisReport(symbol, validator, report._replace(window=0)), "qx"
                )
                for (symbol, validator), report in self.reports.scan()
            ],
            "prices": [
                codec_for(GenesisPrice).to_json(GenesisPrice(*item), "qx") for item in self.prices.scan()
            ],
        }
        return {name: items for name, items in lists.items() if items}


def _powers(ctx: Context) -> dict[Address, int]:
    """Voting power of each active validator."""
    return {validator.address: validator.power for validator in ctx.validators}


def _told(symbol: str, price: FeedPrice, now_s: int) -> PriceAnswer:
    spread_bps = -(-price.spread * BPS // price.price)
    return PriceAnswer(
        symbol,
        price.price,
        price.spread,
        spread_bps,
        max(0, now_s - price.time_s),
        price.time_s,
        price.reports,
    )


def _symbol_prefix(symbol: str) -> bytes:
    return symbol.encode() + b"\x00\x00"
