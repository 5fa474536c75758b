"""Supplying, withdrawing, collateral: what suppliers do."""

from __future__ import annotations

from defi_modules.lending.math import in_ones
from defi_modules.lending.queueing import Queueing
from defi_modules.lending.risks import CAUTIOUS
from defi_modules.lending.types import (
    PAUSE_SUPPLY,
    PAUSE_WITHDRAW,
    CollateralSet,
    Entry,
    GroupChosen,
    Market,
    Moved,
    Position,
    Supplied,
    SupplyAdded,
    SupplyTaken,
    Terms,
    Withdrawn,
)
from qenex.errors import (
    AmountNotPositive,
    AmountTooSmall,
    CollateralNotEnabled,
    GroupViolated,
    HealthTooLow,
    IsolationViolated,
    MarketOpen,
    NotCollateral,
    NothingSupplied,
    OutflowLimitReached,
    SupplyCapReached,
)
from qenex.integers import WAD
from qenex.types import U8, Amount, Coin, Denom
from vm.context import Context
from vm.module import message


class Supplying(Queueing):
    """Messages of suppliers."""

    @message(gas=1_000)
    def seed(self, ctx: Context, denom: Denom) -> Supplied:
        """Pay the seed deposit that opens an empty market. It stays in the market for ever.

        Args:
            denom: the market's asset.
        """
        number = self.number_of(denom)
        terms, market = self.terms_of(number), self.now(ctx, number)
        if market.seed_shares:
            raise MarketOpen(f"the market of {denom} is open")
        account = ctx.money.open_account(ctx, b"market/" + number.to_bytes(2, "big"))
        ctx.money.transfer(ctx, ctx.actor, account, denom, terms.seed)
        shares = self.shares_for(market, terms.seed, round_up=False)
        ctx.money.mint(ctx, account, self.receipt(denom), shares)
        opened = market._replace(
            updated_s=ctx.time_s,
            cash=terms.seed,
            assets=terms.seed,
            shares=shares,
            held_shares=shares,
            seed_shares=shares,
        )
        self.write(number, terms, opened)
        self.opened(ctx, number)
        ctx.emit(SupplyAdded(account, denom, terms.seed, shares))
        return Supplied(shares)

    @message(gas=1_200)
    def supply(self, ctx: Context, amount: Coin, collateral: bool) -> Supplied:
        """Supply coins for receipt shares, which earn interest and can be withdrawn or passed on.

        Args:
            amount: what is supplied.
            collateral: whether the shares become collateral at once.
        """
        denom, added = amount
        if added <= 0:
            raise AmountNotPositive(f"a supply of {added} {denom}")
        number, terms, market = self.touch(ctx, denom, PAUSE_SUPPLY)
        if market.assets + added > terms.supply_cap:
            raise SupplyCapReached(
                f"{market.assets} of at most {terms.supply_cap} base units of {denom} are supplied"
            )
        shares = self.shares_for(market, added, round_up=False)
        if not shares:
            raise AmountTooSmall(f"{added} base units of {denom} are worth no share")
        ctx.money.transfer(ctx, ctx.actor, market.account, denom, added)
        ctx.money.mint(ctx, market.account if collateral else ctx.actor, self.receipt(denom), shares)
        market = self.arrive(market, added)._replace(
            assets=market.assets + added, shares=market.shares + shares
        )
        if collateral:
            market = self._pledge(ctx, number, terms, market, shares)
        self.write(number, terms, market)
        ctx.emit(SupplyAdded(ctx.actor, denom, added, shares))
        return Supplied(shares)

    @message(gas=950, exit=True)
    def withdraw(
        self, ctx: Context, denom: Denom, collateral: bool, amount: Amount | None, queue: bool | None
    ) -> Withdrawn:
        """Give receipt shares back for coins.

        Args:
            denom: the market's asset.
            collateral: whether shares that are collateral are taken, or those in the account.
            amount: base units of the asset; all that the shares are worth unless given.
            queue: whether what is above the market's outflow limit may wait; it is refused unless true.
        """
        if amount is not None and amount <= 0:
            raise AmountNotPositive(f"a withdrawal of {amount} {denom}")
        number, terms, market = self.touch(ctx, denom, PAUSE_WITHDRAW)
        position = self.position_of(ctx.actor)
        entry = self.entry_of(position, number)
        receipt = self.receipt(denom)
        held = entry.collateral if collateral else ctx.money.balance(ctx.actor, receipt)
        if not held:
            raise NothingSupplied(f"no {'collateral' if collateral else 'receipt shares'} of {denom}")
        if amount is None:
            shares, paid = held, self.assets_for(market, held)
        else:
            shares, paid = self.shares_for(market, amount, round_up=True), amount
        if shares > held:
            raise NothingSupplied(
                f"{paid} base units of {denom} are {shares} receipt shares, {held} are there"
            )
        if not paid:
            raise AmountTooSmall(f"{shares} shares of {denom} are worth nothing")
        try:
            self.check_line(ctx, number, terms)
            left = self.leave(ctx, terms, market, paid)
        except OutflowLimitReached:
            if not queue:
                raise
            waits = self.enqueue(ctx, number, terms, market, shares, paid, collateral=collateral)
            if collateral:
                self._release(ctx, denom, position, entry, shares)
            return Withdrawn(0, 0, waits)
        market = left
        source = market.account if collateral else ctx.actor
        ctx.money.burn(ctx, source, receipt, shares)
        market = market._replace(
            assets=market.assets - paid,
            shares=market.shares - shares,
            held_shares=market.held_shares - (shares if collateral else 0),
        )
        self.write(number, terms, market)
        ctx.money.transfer(ctx, market.account, ctx.actor, denom, paid)
        if collateral:
            self._release(ctx, denom, position, entry, shares)
        ctx.emit(SupplyTaken(ctx.actor, denom, paid, shares))
        return Withdrawn(paid, shares, 0)

    @message(gas=1_100)
    def collateral_on(self, ctx: Context, denom: Denom, shares: Amount | None) -> Moved:
        """Put receipt shares up as collateral: they move into the market's own account.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all in the account unless given.
        """
        number, terms, market = self.touch(ctx, denom, 0)
        receipt = self.receipt(denom)
        moved = ctx.money.balance(ctx.actor, receipt) if shares is None else shares
        if moved <= 0:
            raise NothingSupplied(f"no receipt shares of {denom} to put up")
        ctx.money.transfer(ctx, ctx.actor, market.account, receipt, moved)
        self.write(number, terms, self._pledge(ctx, number, terms, market, moved))
        return Moved(moved)

    @message(gas=700, exit=True)
    def collateral_off(self, ctx: Context, denom: Denom, shares: Amount | None) -> Moved:
        """Take receipt shares back out of the collateral, as far as no debt needs them.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all that are collateral unless given.
        """
        number, terms, market = self.touch(ctx, denom, 0)
        position = self.position_of(ctx.actor)
        entry = self.entry_of(position, number)
        if not entry.collateral:
            raise CollateralNotEnabled(f"no {denom} of this account is collateral")
        moved = entry.collateral if shares is None else shares
        if not 0 < moved <= entry.collateral:
            raise NothingSupplied(f"{moved} of {entry.collateral} shares of {denom}")
        self.write(number, terms, market._replace(held_shares=market.held_shares - moved))
        ctx.money.transfer(ctx, market.account, ctx.actor, self.receipt(denom), moved)
        self._release(ctx, denom, position, entry, moved)
        return Moved(moved)

    @message(gas=300)
    def choose_group(self, ctx: Context, group: U8) -> None:
        """Move this account's position into an efficiency group, or out of any.

        Args:
            group: its number; 0 for none.
        """
        if group and self.groups.get(group) is None:
            raise GroupViolated(f"there is no group {group}")
        position = self.position_of(ctx.actor)
        changed = position._replace(group=group)
        for entry in position.entries:
            if group and entry.debt and self.terms_of(entry.market).group != group:
                raise GroupViolated(f"{self.terms_of(entry.market).denom} is not in group {group}")
        self.put_position(ctx, ctx.actor, position, changed)
        self.check_health(ctx, changed)
        ctx.emit(GroupChosen(ctx.actor, group))

    # -- steps --------------------------------------------------------------------------------

    def _pledge(self, ctx: Context, number: int, terms: Terms, market: Market, shares: int) -> Market:
        """The market with shares of the acting account noted as collateral; they lie in its account already."""
        position = self.position_of(ctx.actor)
        if not self.group_terms(position.group, terms)[1]:
            raise NotCollateral(f"{terms.denom} is no collateral")
        entry = self.entry_of(position, number)
        if not entry.collateral:
            for other in position.entries:
                if other.collateral and (terms.debt_ceiling or self.terms_of(other.market).debt_ceiling):
                    raise IsolationViolated("isolated collateral stands alone")
            if terms.debt_ceiling and any(other.debt for other in position.entries):
                raise IsolationViolated(f"{terms.denom} is isolated collateral, and there are debts already")
        entry = entry._replace(collateral=entry.collateral + shares)
        self.put_position(ctx, ctx.actor, position, self.with_entry(position, entry))
        ctx.emit(CollateralSet(ctx.actor, terms.denom, entry.collateral))
        return market._replace(held_shares=market.held_shares + shares)

    def _release(self, ctx: Context, denom: str, position: Position, entry: Entry, shares: int) -> None:
        """Take shares out of the acting account's collateral; the position has to stay healthy."""
        entry = Entry(entry.market, entry.collateral - shares, entry.debt)
        changed = self.with_entry(position, entry)
        self.put_position(ctx, ctx.actor, position, changed)
        self.check_health(ctx, changed)
        ctx.emit(CollateralSet(ctx.actor, denom, entry.collateral))

    def check_health(self, ctx: Context, position: Position) -> None:
        """Raise HealthTooLow unless the position, cautiously valued, is healthy. Without debt no price is asked for."""
        if any(entry.debt for entry in position.entries):
            worth = self.worth(ctx, position, CAUTIOUS)
            if worth.health_wad < WAD:
                raise HealthTooLow(f"health would be {in_ones(worth.health_wad, 18)}, and 1 is the least")
