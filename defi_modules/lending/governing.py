"""Listing markets, their terms, pauses and reserves: what governance does."""

from __future__ import annotations

from defi_modules.lending.liquidating import Liquidating
from defi_modules.lending.math import owed
from defi_modules.lending.types import (
    MAX_MARKETS,
    Group,
    GroupSet,
    Listed,
    Market,
    MarketListed,
    PauseFlags,
    PauseSet,
    ReservesCollected,
    Terms,
)
from qenex.crypto.address import module_address
from qenex.errors import (
    GroupViolated,
    InvalidMarketTerms,
    MarketNotListed,
    NotLendingAuthority,
    ReserveTooSmall,
    TooManyMarkets,
)
from qenex.integers import BASIS_POINTS, RAY
from qenex.types import Amount, Denom
from vm.context import Context
from vm.module import internal, message

GOVERNORS = ("governance",)


class Governing(Liquidating):
    """Each step twice: for governance through a call, for the parameters' authority as a message."""

    @message(gas=2_000)
    def list_market(self, ctx: Context, terms: Terms) -> Listed:
        """List an asset, or change the terms of a listed one. Only the parameters' authority.

        Args:
            terms: all terms; decimals, and the seed of an open market, stay what they were.
        """
        self._authorised(ctx)
        return Listed(self.set_terms(ctx, terms))

    @internal(callers=GOVERNORS, gas=2_000)
    def govern_market(self, ctx: Context, terms: Terms) -> Listed:
        """List an asset or change its terms, by governance.

        Args:
            terms: all terms.
        """
        return Listed(self.set_terms(ctx, terms))

    @message(gas=500)
    def set_group(self, ctx: Context, group: Group) -> None:
        """Make an efficiency group or change its terms. Only the parameters' authority.

        Args:
            group: its number and terms.
        """
        self._authorised(ctx)
        self.put_group(ctx, group)

    @internal(callers=GOVERNORS, gas=500)
    def govern_group(self, ctx: Context, group: Group) -> None:
        """Make an efficiency group or change its terms, by governance.

        Args:
            group: its number and terms.
        """
        self.put_group(ctx, group)

    @message(gas=400, exit=True)
    def set_pause(self, ctx: Context, denom: Denom, flags: PauseFlags) -> None:
        """Pause single actions of a market. Only the parameters' authority. Interest goes on.

        Args:
            denom: the market's asset.
            flags: sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32 flash loans; 0 resumes all.
        """
        self._authorised(ctx)
        self._pause(ctx, denom, flags)

    @internal(callers=GOVERNORS, gas=400, exit=True)
    def govern_pause(self, ctx: Context, denom: Denom, flags: PauseFlags) -> None:
        """Pause single actions of a market, by governance.

        Args:
            denom: the market's asset.
            flags: as `set_pause`.
        """
        self._pause(ctx, denom, flags)

    @message(gas=800)
    def collect_reserves(self, ctx: Context, denom: Denom, amount: Amount) -> None:
        """Pay reserves to the treasury. Only the parameters' authority.

        Args:
            denom: the market's asset.
            amount: base units.
        """
        self._authorised(ctx)
        self._collect(ctx, denom, amount)

    @internal(callers=GOVERNORS, gas=800)
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
        """Write a market's terms and list it if it is new; returns its number. Raises InvalidMarketTerms."""
        check_terms(terms)
        if terms.group and self.groups.get(terms.group) is None:
            raise GroupViolated(f"there is no group {terms.group}")
        source = terms.mean_price
        if source is not None and (source.quote == terms.denom or self.numbers.get(source.quote) is None):
            raise MarketNotListed(f"{source.quote}, in which the mean price is told, has no market")
        number = self.numbers.get(terms.denom)
        if number is None:
            number = self._list(ctx, terms)
        else:
            before, market = self.terms_of(number), self.now(ctx, number)
            if before.decimals != terms.decimals or (market.seed_shares and before.seed != terms.seed):
                raise InvalidMarketTerms("decimals, and the seed of an open market, do not change")
            if bool(before.debt_ceiling) != bool(terms.debt_ceiling) and market.seed_shares:
                raise InvalidMarketTerms("isolation is decided before a market opens")
            self.terms.set(number, terms)
            self.write(number, terms, market._replace(updated_s=ctx.time_s))
        ctx.emit(MarketListed(number, terms.denom))
        return number

    def _list(self, ctx: Context, terms: Terms) -> int:
        if self.market_numbers.last() >= MAX_MARKETS:
            raise TooManyMarkets(f"at most {MAX_MARKETS} markets")
        number = self.market_numbers.next()
        self.numbers.set(terms.denom, number)
        self.terms.set(number, terms)
        account = self.market_account(number)
        empty = Market(
            account, 0, ctx.time_s, 0, 0, 0, 0, 0, RAY, terms.base_ray, 0, 0, RAY, 0, 0, 0, 0, 0, 0, 0
        )
        self.markets.set(number, empty)
        return number

    def put_group(self, ctx: Context, group: Group) -> None:
        """Write a group's terms. Raises InvalidMarketTerms."""
        _check_risk(group.ltv_bps, group.threshold_bps, group.bonus_bps)
        self.groups.set(group.number, group)
        ctx.emit(GroupSet(group.number))

    def _pause(self, ctx: Context, denom: str, flags: int) -> None:
        number = self.number_of(denom)
        self.markets.set(number, self.now(ctx, number)._replace(paused=flags))
        ctx.emit(PauseSet(number, flags))

    def _collect(self, ctx: Context, denom: str, amount: int) -> None:
        number, terms, market = self.touch(ctx, denom, 0)
        reserves = market.cash + owed(market.scaled_debt, market.index_ray) - market.assets
        if not 0 < amount <= min(reserves, market.cash):
            raise ReserveTooSmall(f"{min(reserves, market.cash)} {denom} can be collected")
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
