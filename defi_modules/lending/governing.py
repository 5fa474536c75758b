"""Listing markets, their terms, pauses and reserves: what governance does.

Votes reach the `govern_` functions through a proposal of an action, behind the timelock; the parameters' authority has
messages of its own, without one. Both take the same steps, so ranges, ramps and small beginnings hold for both.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from defi_modules.lending.math import owed
from defi_modules.lending.ramping import Ramping
from defi_modules.lending.types import (
    MAX_MARKETS,
    AdaptiveSpeed,
    Bonus,
    DebtCeiling,
    FlashFee,
    Group,
    GroupSet,
    LiquidationFee,
    Listed,
    LoanToValue,
    Market,
    MarketListed,
    MaxAge,
    MaxSpread,
    MeanPrice,
    Optimal,
    OutflowShare,
    PauseFlags,
    PauseSet,
    ReserveFactor,
    ReservesCollected,
    Slope,
    SteepSlope,
    Terms,
    Threshold,
)
from defi_modules.oracle.types import Symbol
from qenex.crypto.address import module_address
from qenex.errors import (
    FeedsDisagree,
    GroupViolated,
    InvalidMarketTerms,
    MarketNotListed,
    ModulePaused,
    NoObservation,
    NotLendingAuthority,
    PriceStale,
    PriceUncertain,
    ReserveTooSmall,
    TooManyMarkets,
)
from qenex.integers import BASIS_POINTS, RAY
from qenex.types import U8, Amount, Denom
from vm.context import Context
from vm.module import internal, message

GOVERNORS: Final = ("governance",)
FEED_STEP_BPS: Final = 200
"""An open market takes another feed while the two tell prices at most so far apart."""
DEAD_S: Final = 86_400
"""A feed without a price for so many seconds is no hindrance to another one."""


class Governing(Ramping):
    """Each step twice: for governance through a call, for the parameters' authority as a message."""

    @message(gas=1_000)
    def list_market(self, ctx: Context, terms: Terms) -> Listed:
        """List an asset, or change the terms of a listed one. Only the parameters' authority.

        Risks of an open market move to their new values in time, caps grow; a new market begins small.

        Args:
            terms: all terms; decimals, and the seed of an open market, stay what they were.
        """
        self._authorised(ctx)
        return Listed(self.set_terms(ctx, terms))

    @internal(callers=GOVERNORS, gas=1_000)
    def govern_market(self, ctx: Context, terms: Terms) -> Listed:
        """List an asset or change its terms, by governance.

        Args:
            terms: all terms.
        """
        return Listed(self.set_terms(ctx, terms))

    @internal(callers=GOVERNORS, gas=1_000)
    def govern_terms(
        self,
        ctx: Context,
        denom: Denom,
        feed: Symbol | None,
        max_age_s: MaxAge | None,
        max_spread_bps: MaxSpread | None,
        mean_price: MeanPrice | None,
        ltv_bps: LoanToValue | None,
        threshold_bps: Threshold | None,
        bonus_bps: Bonus | None,
        liquidation_fee_bps: LiquidationFee | None,
        reserve_factor_bps: ReserveFactor | None,
        base_ray: Slope | None,
        slope1_ray: Slope | None,
        slope2_ray: SteepSlope | None,
        optimal_bps: Optimal | None,
        adaptive_speed: AdaptiveSpeed | None,
        supply_cap: Amount | None,
        borrow_cap: Amount | None,
        outflow_bps: OutflowShare | None,
        debt_ceiling: DebtCeiling | None,
        isolation_borrowable: bool | None,
        group: U8 | None,
        flash_fee_bps: FlashFee | None,
    ) -> Listed:
        """Change single terms of a listed asset, by governance; those left out stay what they are, or are on their way to.

        Args:
            denom: the market's asset.
            feed: the price's symbol.
            max_age_s: seconds.
            max_spread_bps: basis points.
            mean_price: the pool beside the feed; taken away only by stating all terms.
            ltv_bps: basis points.
            threshold_bps: basis points.
            bonus_bps: basis points, 10,000 for none.
            liquidation_fee_bps: basis points of the bonus.
            reserve_factor_bps: basis points of the interest.
            base_ray: rays a year.
            slope1_ray: rays a year.
            slope2_ray: rays a year.
            optimal_bps: basis points.
            adaptive_speed: a year.
            supply_cap: base units.
            borrow_cap: base units.
            outflow_bps: basis points of the assets.
            debt_ceiling: base currency, 8 decimals.
            isolation_borrowable: whether isolated collateral may secure it.
            group: number of an efficiency group.
            flash_fee_bps: basis points.
        """
        given: dict[str, Any] = {
            "feed": feed, "max_age_s": max_age_s, "max_spread_bps": max_spread_bps, "mean_price": mean_price,
            "ltv_bps": ltv_bps, "threshold_bps": threshold_bps, "bonus_bps": bonus_bps,
            "liquidation_fee_bps": liquidation_fee_bps, "reserve_factor_bps": reserve_factor_bps,
            "base_ray": base_ray, "slope1_ray": slope1_ray, "slope2_ray": slope2_ray, "optimal_bps": optimal_bps,
            "adaptive_speed": adaptive_speed, "supply_cap": supply_cap, "borrow_cap": borrow_cap,
            "outflow_bps": outflow_bps, "debt_ceiling": debt_ceiling,
            "isolation_borrowable": isolation_borrowable, "group": group, "flash_fee_bps": flash_fee_bps,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        if not changes:
            raise InvalidMarketTerms(f"no term of {denom} is to change")
        target = self.target_of(self.number_of(denom))
        return Listed(self.set_terms(ctx, target._replace(**changes)))

    @message(gas=250)
    def set_group(self, ctx: Context, group: Group) -> None:
        """Make an efficiency group or change its terms. Only the parameters' authority.

        Args:
            group: its number and terms.
        """
        self._authorised(ctx)
        self.put_group(ctx, group)

    @internal(callers=GOVERNORS, gas=250)
    def govern_group(self, ctx: Context, group: Group) -> None:
        """Make an efficiency group or change its terms, by governance.

        Args:
            group: its number and terms.
        """
        self.put_group(ctx, group)

    @message(gas=350, exit=True)
    def set_pause(self, ctx: Context, denom: Denom, flags: PauseFlags) -> None:
        """Pause single actions of a market. Only the parameters' authority. Interest goes on.

        Args:
            denom: the market's asset.
            flags: sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32 flash loans; 0 resumes all.
        """
        self._authorised(ctx)
        self._pause(ctx, denom, flags)

    @internal(callers=GOVERNORS, gas=350, exit=True)
    def govern_pause(self, ctx: Context, denom: Denom, flags: PauseFlags) -> None:
        """Pause single actions of a market, by governance.

        Args:
            denom: the market's asset.
            flags: as `set_pause`.
        """
        self._pause(ctx, denom, flags)

    @message(gas=600)
    def collect_reserves(self, ctx: Context, denom: Denom, amount: Amount) -> None:
        """Pay reserves to the treasury. Only the parameters' authority.

        Args:
            denom: the market's asset.
            amount: base units.
        """
        self._authorised(ctx)
        self._collect(ctx, denom, amount)

    @internal(callers=GOVERNORS, gas=600)
    def govern_reserves(self, ctx: Context, denom: Denom, amount: Amount) -> None:
        """Pay reserves to the treasury, by governance.

        Args:
            denom: the market's asset.
            amount: base units.
        """
        self._collect(ctx, denom, amount)

    # -- steps ------------------------------------------------------------------------------

    def _authorised(self, ctx: Context) -> None:
        if self.params.authority is None or ctx.actor != self.params.authority:
            raise NotLendingAuthority

    def set_terms(self, ctx: Context, terms: Terms) -> int:
        """Begin the way to a market's terms and list it if it is new; returns its number.

        Raises InvalidMarketTerms, GroupViolated, MarketNotListed, or what the price's feed raises.
        """
        check_terms(terms)
        group = self.groups.get(terms.group) if terms.group else None
        if terms.group and group is None:
            raise GroupViolated(f"there is no group {terms.group}")
        source = terms.mean_price
        if source is not None and (source.quote == terms.denom or self.numbers.get(source.quote) is None):
            raise MarketNotListed(f"{source.quote}, in which the mean price is told, has no market")
        number = self.numbers.get(terms.denom)
        if ctx.module != "genesis":
            self._check_feed(ctx, terms)
        if number is None:
            number = self._list(ctx, terms)
        else:
            before, market = self.terms_of(number), self.now(ctx, number)
            if before.decimals != terms.decimals or (market.seed_shares and before.seed != terms.seed):
                raise InvalidMarketTerms("decimals, and the seed of an open market, do not change")
            if market.seed_shares:
                self._check_open(ctx, before, terms, group)
                self.begin_ramp(ctx, number, before, terms)
            else:
                self.list_small(number, terms)
        ctx.emit(MarketListed(number, terms.denom))
        return number

    def _check_feed(self, ctx: Context, terms: Terms) -> None:
        """Raise UnknownFeed, PoolNotFound or DenominationNotInPool; a price that is not there now may be told later."""
        with suppress(PriceStale, PriceUncertain):
            self.feed_price(ctx, terms)
        if terms.mean_price is not None:
            with suppress(PriceStale, PriceUncertain, NoObservation, ModulePaused):
                self.mean_price(ctx, terms, terms.mean_price)

    def _check_open(self, ctx: Context, before: Terms, terms: Terms, group: Group | None) -> None:
        """What may not change at once under positions that rest on it."""
        if bool(before.debt_ceiling) != bool(terms.debt_ceiling):
            raise InvalidMarketTerms("isolation is decided before a market opens")
        if before.group != terms.group:
            if before.group:
                raise InvalidMarketTerms("an open market stays in its efficiency group")
            if group is not None and group.threshold_bps < max(before.threshold_bps, terms.threshold_bps):
                raise InvalidMarketTerms("the group's threshold is below the market's own")
        if before.feed != terms.feed:
            after = self.feed_price(ctx, terms)
            try:
                # Whatever age the terms accept: a vote before this one may have made it short.
                present = self.oracle.read(ctx, before.feed, DEAD_S, BASIS_POINTS).price
            except PriceStale:
                return  # the old feed tells nothing that could be contradicted
            if abs(after - present) * BASIS_POINTS > FEED_STEP_BPS * present:
                raise FeedsDisagree(f"{before.feed} tells {present}, {terms.feed} tells {after}")

    def _list(self, ctx: Context, terms: Terms) -> int:
        if self.market_numbers.last() >= MAX_MARKETS:
            raise TooManyMarkets(f"at most {MAX_MARKETS} markets")
        number = self.market_numbers.next()
        self.numbers.set(terms.denom, number)
        if ctx.module == "genesis":
            self.terms.set(number, terms)  # a genesis states what is in force
        else:
            self.list_small(number, terms)
        account = self.market_account(number)
        empty = Market(
            account, 0, ctx.time_s, 0, 0, 0, 0, 0, RAY, terms.base_ray, 0, 0, RAY, 0, 0, 0, 0, 0, 0, 0, 0, 0
        )
        self.markets.set(number, empty)
        return number

    def put_group(self, ctx: Context, group: Group) -> None:
        """Make a group, or begin the way to other terms of one. Raises InvalidMarketTerms."""
        _check_risk(group.ltv_bps, group.threshold_bps, group.bonus_bps)
        before = self.groups.get(group.number)
        if before is None:
            self.groups.set(group.number, group)
        else:
            self.begin_group_ramp(ctx, before, group)
        ctx.emit(GroupSet(group.number))

    def _pause(self, ctx: Context, denom: str, flags: int) -> None:
        number = self.number_of(denom)
        self.markets.set(number, self.now(ctx, number)._replace(paused=flags))
        ctx.emit(PauseSet(number, flags))

    def _collect(self, ctx: Context, denom: str, amount: int) -> None:
        number, terms, market = self.touch(ctx, denom, 0)
        reserves = market.cash + owed(market.scaled_debt, market.index_ray) - market.assets
        if not 0 < amount <= min(reserves, market.cash):
            raise ReserveTooSmall(f"{min(reserves, market.cash)} base units of {denom} can be collected")
        treasury = self.params.treasury or module_address("governance")
        self.write(number, terms, market._replace(cash=market.cash - amount))
        ctx.money.transfer(ctx, market.account, treasury, denom, amount)
        ctx.emit(ReservesCollected(denom, amount, treasury))


def check_terms(terms: Terms) -> None:
    """Raise InvalidMarketTerms for terms that contradict each other."""
    if terms.threshold_bps or terms.ltv_bps:
        _check_risk(terms.ltv_bps, terms.threshold_bps, terms.bonus_bps)
    if terms.denom.startswith("lending/"):
        raise InvalidMarketTerms("receipt shares are no market's asset")


def _check_risk(ltv_bps: int, threshold_bps: int, bonus_bps: int) -> None:
    if ltv_bps >= threshold_bps or threshold_bps * bonus_bps > BASIS_POINTS * BASIS_POINTS:
        raise InvalidMarketTerms(
            f"loan-to-value {ltv_bps}, threshold {threshold_bps}, bonus {bonus_bps} basis points"
        )
