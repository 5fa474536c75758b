"""Borrowing, repaying, flash loans: what borrowers do."""

from __future__ import annotations

from typing import Annotated

from defi_modules.lending.base import unit_of
from defi_modules.lending.math import flash_fee, in_ones, owed, scaled_down, scaled_up, value_of
from defi_modules.lending.risks import CAUTIOUS
from defi_modules.lending.supplying import Supplying
from defi_modules.lending.types import (
    PAUSE_BORROW,
    PAUSE_FLASH,
    PAUSE_REPAY,
    DebtRaised,
    DebtRepaid,
    Entry,
    FlashFees,
    FlashLent,
    Market,
    Position,
    Repaid,
    Terms,
)
from qenex.crypto.address import Address
from qenex.errors import (
    AmountNotPositive,
    AmountTooSmall,
    BorrowCapReached,
    BorrowLimitExceeded,
    CollateralNotEnabled,
    DebtCeilingReached,
    GroupViolated,
    IsolationViolated,
    MarketIlliquid,
    NothingOwed,
)
from qenex.integers import BASIS_POINTS, mul_div
from qenex.types import Amount, Coin, Denom, Length
from vm.context import Context
from vm.module import message

CENTS_PER_BASE = 10**6
"""A debt ceiling has 8 decimals, what is booked against it 2."""


class Borrowing(Supplying):
    """Messages of borrowers."""

    @message(gas=1_000)
    def borrow(self, ctx: Context, amount: Coin) -> Repaid:
        """Borrow coins against this account's collateral. Returns what was paid out and all that is owed of it now.

        Args:
            amount: what is borrowed.
        """
        denom, lent = amount
        if lent <= 0:
            raise AmountNotPositive(f"a loan of {lent} {denom}")
        number, terms, market = self.touch(ctx, denom, PAUSE_BORROW)
        position = self.position_of(ctx.actor)
        if not any(entry.collateral for entry in position.entries):
            raise CollateralNotEnabled("this account has put up no collateral")
        if position.group and terms.group != position.group:
            raise GroupViolated(f"{denom} is not in group {position.group}")
        market = self.leave(ctx, terms, market, lent)
        scaled = scaled_up(lent, market.index_ray)
        market = market._replace(scaled_debt=market.scaled_debt + scaled)
        if owed(market.scaled_debt, market.index_ray) > terms.borrow_cap:
            raise BorrowCapReached(f"at most {terms.borrow_cap} base units of {denom} may be lent in all")
        entry = self.entry_of(position, number)
        entry = entry._replace(debt=entry.debt + scaled)
        changed = self._isolate(ctx, position, terms, lent)
        changed = self.with_entry(changed, entry)
        self.write(number, terms, market)
        self.put_position(ctx, ctx.actor, position, changed)
        ctx.money.transfer(ctx, market.account, ctx.actor, denom, lent)
        debt = owed(entry.debt, market.index_ray)
        self._check_limit(ctx, changed, terms, debt)
        written = self.markets.get(number)
        assert written is not None
        ctx.emit(DebtRaised(ctx.actor, denom, lent, written.borrow_ray))
        return Repaid(lent, debt)

    def _check_limit(self, ctx: Context, position: Position, terms: Terms, debt: int) -> None:
        worth = self.worth(ctx, position, CAUTIOUS)
        if worth.debt > worth.limit:
            raise BorrowLimitExceeded(
                f"a debt worth {in_ones(worth.debt, 8)} of the base currency, {in_ones(worth.limit, 8)} may be owed"
            )
        least = self.params.min_debt_base
        value = worth.debt
        if least and len([entry for entry in position.entries if entry.debt]) > 1:
            value = value_of(debt, self.feed_price(ctx, terms), unit_of(terms), round_up=False)
        if value < least:
            raise AmountTooSmall(
                f"a debt is worth at least {in_ones(least, 8)} of the base currency, this one {in_ones(value, 8)}"
            )

    def _isolate(self, ctx: Context, position: Position, terms: Terms, lent: int) -> Position:
        """The position with the loan booked against its isolated collateral, if that is what it has."""
        for entry in position.entries:
            if not entry.collateral:
                continue
            collateral = self.terms_of(entry.market)
            if not collateral.debt_ceiling:
                continue
            if not terms.isolation_borrowable:
                raise IsolationViolated(f"{terms.denom} cannot be borrowed against {collateral.denom}")
            # The same market may be lender and collateral: its record is written before and after.
            cents = mul_div(lent, 100, unit_of(terms), round_up=True)
            market = self.now(ctx, entry.market)
            booked = market.isolated_debt + cents
            if booked * CENTS_PER_BASE > collateral.debt_ceiling:
                raise DebtCeilingReached(
                    f"the ceiling is {in_ones(collateral.debt_ceiling, 8)} of the base currency"
                )
            if collateral.denom == terms.denom:
                raise IsolationViolated(f"{terms.denom} cannot be borrowed against itself in isolation")
            self.write(entry.market, collateral, market._replace(isolated_debt=booked))
            return position._replace(isolated=position.isolated + cents)
        return position

    @message(gas=1_100, exit=True)
    def repay(self, ctx: Context, denom: Denom, amount: Amount | None, address: Address | None) -> Repaid:
        """Repay a debt. Needs no price; more than is owed is not taken.

        Args:
            denom: what is owed.
            amount: base units; all that is owed unless given.
            address: whose debt; this account's unless given.
        """
        if amount is not None and amount <= 0:
            raise AmountNotPositive(f"a repayment of {amount} {denom}")
        number, terms, market = self.touch(ctx, denom, PAUSE_REPAY)
        debtor = ctx.actor if address is None else address
        position = self.position_of(debtor)
        entry = self.entry_of(position, number)
        debt = owed(entry.debt, market.index_ray)
        if not debt:
            raise NothingOwed(f"no {denom} is owed")
        paid = debt if amount is None else min(amount, debt)
        ctx.money.transfer(ctx, ctx.actor, market.account, denom, paid)
        market, entry = reduced(self.arrive(market, paid), entry, paid, debt)
        self.write(number, terms, market)
        changed = self.with_entry(position, entry)
        self.put_position(ctx, debtor, position, self.unbook(ctx, changed, terms, paid))
        ctx.emit(DebtRepaid(ctx.actor, debtor, denom, paid))
        return Repaid(paid, owed(entry.debt, market.index_ray))

    def unbook(self, ctx: Context, position: Position, terms: Terms, paid: int) -> Position:
        """The position with a repayment taken off what is booked against its isolated collateral."""
        if not position.isolated:
            return position
        cents = min(position.isolated, paid * 100 // unit_of(terms))
        if not any(entry.debt for entry in position.entries):
            cents = position.isolated
        for entry in position.entries:
            collateral = self.terms_of(entry.market)
            if entry.collateral and collateral.debt_ceiling:
                market = self.now(ctx, entry.market)
                booked = max(0, market.isolated_debt - cents)
                self.write(entry.market, collateral, market._replace(isolated_debt=booked))
        return position._replace(isolated=position.isolated - cents)

    @message(gas=400)
    def flash_loan(self, ctx: Context, coins: Annotated[tuple[Coin, ...], Length(1, 8)]) -> FlashFees:
        """Borrow several coins without collateral until the end of this transaction, which fails unless they are paid back.

        Args:
            coins: what is lent, each denomination once.
        """
        due = []
        for denom, amount in coins:
            ctx.gas.use(600)
            if amount <= 0:
                raise AmountNotPositive(f"a flash loan of {amount} {denom}")
            number, terms, market = self.touch(ctx, denom, PAUSE_FLASH)
            if amount > market.cash:
                raise MarketIlliquid(f"{market.cash} base units of {denom} are there, {amount} are asked for")
            fee = flash_fee(amount, terms.flash_fee_bps)
            # Booked as received: the debt of the transaction is certain, or nothing of all this happened.
            kept = mul_div(fee, terms.reserve_factor_bps, BASIS_POINTS, round_up=True)
            market = market._replace(cash=market.cash + fee, assets=market.assets + fee - kept)
            self.write(number, terms, market)
            ctx.money.transfer(ctx, market.account, ctx.actor, denom, amount)
            ctx.owe(market.account, denom, amount + fee)
            ctx.emit(FlashLent(ctx.actor, denom, amount, fee))
            due.append(Coin(denom, amount + fee))
        return FlashFees(tuple(due))


def reduced(market: Market, entry: Entry, paid: int, debt: int) -> tuple[Market, Entry]:
    """Market and entry with so much of `debt` repaid: scaled debt floor, all of it when all is paid."""
    scaled = entry.debt if paid >= debt else min(entry.debt, scaled_down(paid, market.index_ray))
    return (
        market._replace(scaled_debt=market.scaled_debt - scaled),
        entry._replace(debt=entry.debt - scaled),
    )
