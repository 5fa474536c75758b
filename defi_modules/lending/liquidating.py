"""Liquidations, bad debt, and the keeper at the end of a block."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from defi_modules.lending.base import unit_of
from defi_modules.lending.borrowing import Borrowing, reduced
from defi_modules.lending.math import (
    LEFTOVER_BASE,
    in_ones,
    liquidation,
    most_repayable,
    owed,
    repay_for_health,
    value_of,
)
from defi_modules.lending.risks import BANDED
from defi_modules.lending.types import (
    PAUSE_LIQUIDATE,
    PAUSE_REPAY,
    BadDebtRecognised,
    Cursor,
    Entry,
    Position,
    PositionLiquidated,
    Seizure,
)
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    AmountNotPositive,
    AmountTooSmall,
    CollateralNotEnabled,
    LeavesDust,
    MarketIlliquid,
    NothingOwed,
    PositionHealthy,
    QenexError,
    SelfLiquidation,
    TargetHealthTooHigh,
)
from qenex.integers import BASIS_POINTS, WAD
from qenex.types import Amount, Between, Coin, Denom
from vm.context import Context
from vm.module import message

LOOK_GAS: Final = 1_000
"""What the keeper pays out of its budget for looking at a pair of assets, besides reading prices and values."""
KEEP_GAS: Final = 4_000
"""And for a position: as `liquidate`."""
TargetHealth = Annotated[int, Between(10_000, 12_000)]


class Plan(NamedTuple):
    """A liquidation that the rules allow: what it moves, and of what."""

    position: Position
    collateral: Entry
    debt: Entry
    repaid: int
    seized: int
    protocol: int
    whole: bool


class Seized(NamedTuple):
    """Shares that left a position, and those of them that somebody received."""

    taken: int
    received: int


class Liquidating(Borrowing):
    """Taking positions whose health is below 1."""

    @message(gas=2_000)
    def liquidate(
        self,
        ctx: Context,
        address: Address,
        collateral: Denom,
        debt: Denom,
        receive_shares: bool,
        amount: Amount | None,
        target_health_bps: TargetHealth | None,
    ) -> Seizure:
        """Repay a part of an unhealthy position's debt and receive collateral worth as much and a bonus.

        Args:
            address: whose position.
            collateral: what is received.
            debt: what is repaid.
            receive_shares: whether receipt shares are received, or the coins themselves.
            amount: most base units to repay; as much as is allowed unless given.
            target_health_bps: repay no more than brings the position to this health, in basis points.
        """
        if address == ctx.actor:
            raise SelfLiquidation
        if amount is not None and amount <= 0:
            raise AmountNotPositive(f"a repayment of {amount} {debt}")
        c_number, _, c_market = self.touch(ctx, collateral, PAUSE_LIQUIDATE)
        # Who may not repay is not liquidated for it.
        d_number, d_terms, d_market = self.touch(ctx, debt, PAUSE_LIQUIDATE | PAUSE_REPAY)
        plan = self.plan(ctx, address, c_number, d_number, amount, target_health_bps)
        if not receive_shares and plan.seized - plan.protocol > c_market.cash + (
            plan.repaid if c_number == d_number else 0
        ):
            raise MarketIlliquid(
                f"{c_market.cash} base units of {collateral} are there; receipt shares can be received"
            )
        if plan.repaid:
            ctx.money.transfer(ctx, ctx.actor, d_market.account, debt, plan.repaid)
        market, debt_entry = reduced(
            self.arrive(d_market, plan.repaid),
            plan.debt,
            plan.repaid,
            owed(plan.debt.debt, d_market.index_ray),
        )
        self.write(d_number, d_terms, market)
        shares = self._seize(ctx, plan, ctx.actor, receive_shares)
        bad = self._settle_position(ctx, address, plan, debt_entry, shares)
        ctx.emit(
            PositionLiquidated(ctx.actor, address, debt, plan.repaid, collateral, plan.seized, plan.protocol)
        )
        received = Coin(collateral, plan.seized - plan.protocol)
        if receive_shares:
            received = Coin(self.receipt(collateral), shares.received)
        return Seizure(plan.repaid, received, plan.protocol, bad)

    def plan(
        self,
        ctx: Context,
        address: Address,
        c_number: int,
        d_number: int,
        amount: int | None,
        target_bps: int | None,
        at_most_health: int = WAD - 1,
    ) -> Plan:
        """What liquidating a position may move: Aave 3.3's rules. Raises the errors by name."""
        position = self.position_of(address)
        c_entry, d_entry = self.entry_of(position, c_number), self.entry_of(position, d_number)
        c_terms, d_terms = self.terms_of(c_number), self.terms_of(d_number)
        if not d_entry.debt:
            raise NothingOwed(f"this position owes no {d_terms.denom}")
        if not c_entry.collateral:
            raise CollateralNotEnabled(f"no {c_terms.denom} of this position is collateral")
        worth = self.worth(ctx, position, BANDED)
        health = worth.health_wad
        if health > at_most_health:
            raise PositionHealthy(f"its health is {in_ones(health, 18)}")
        _, threshold, bonus = self.group_terms(position.group, c_terms)
        c_price, d_price = self.feed_price(ctx, c_terms), self.feed_price(ctx, d_terms)
        c_unit, d_unit = unit_of(c_terms), unit_of(d_terms)
        held = self.assets_for(self.now(ctx, c_number), c_entry.collateral)
        debt = owed(d_entry.debt, self.now(ctx, d_number).index_ray)
        d_base = value_of(debt, d_price, d_unit, round_up=True)
        c_base = value_of(held, c_price, c_unit, round_up=False)
        repay = most_repayable(debt, d_base, c_base, worth.debt, health, d_price, d_unit)
        if amount is not None:
            repay = min(repay, amount)
        if target_bps is not None:
            target = target_bps * WAD // BASIS_POINTS
            least = repay_for_health(worth.weighted, worth.debt, bonus, threshold, target, d_price, d_unit)
            if least is None:
                raise TargetHealthTooHigh(f"bonus and threshold of {c_terms.denom} do not allow it")
            repay = min(repay, least)
        if not c_base:
            # Nobody pays for what is worth nothing: it goes to the reserve, or a share of dust would hide a bad debt.
            return Plan(position, c_entry, d_entry, 0, held, held, True)
        done = liquidation(repay, d_price, d_unit, held, c_price, c_unit, bonus, c_terms.liquidation_fee_bps)
        if not done.repaid or not done.seized:
            raise AmountTooSmall("it would move nothing")
        if done.repaid < debt and done.seized < held:
            left_debt = value_of(debt - done.repaid, d_price, d_unit, round_up=False)
            left = value_of(held - done.seized, c_price, c_unit, round_up=False)
            if min(left_debt, left) < LEFTOVER_BASE:
                raise LeavesDust(
                    f"debt worth {in_ones(left_debt, 8)} and collateral worth {in_ones(left, 8)} would be left"
                )
        return Plan(position, c_entry, d_entry, *done, done.seized >= held)

    def _seize(self, ctx: Context, plan: Plan, to: Address, receive_shares: bool) -> Seized:
        """Take the collateral of a plan out of its market: coins or shares to `to`, the protocol's part to the reserve."""
        number, protocol = plan.collateral.market, plan.protocol
        terms, market = self.terms_of(number), self.now(ctx, number)
        taken = plan.collateral.collateral
        if not plan.whole:
            taken = min(taken, self.shares_for(market, plan.seized, round_up=True))
        receipt = self.receipt(terms.denom)
        market = market._replace(held_shares=market.held_shares - taken)
        if receive_shares:
            burned = min(taken, self.shares_for(market, protocol, round_up=True))
            market = market._replace(assets=market.assets - protocol, shares=market.shares - burned)
        else:
            burned, paid = taken, plan.seized - protocol
            market = market._replace(
                assets=market.assets - plan.seized, shares=market.shares - burned, cash=market.cash - paid
            )
        if burned:
            ctx.money.burn(ctx, market.account, receipt, burned)
        self.write(number, terms, market)
        if taken > burned:
            ctx.money.transfer(ctx, market.account, to, receipt, taken - burned)
        elif not receive_shares and plan.seized > protocol:
            ctx.money.transfer(ctx, market.account, to, terms.denom, plan.seized - protocol)
        return Seized(taken, taken - burned)

    def _settle_position(
        self, ctx: Context, address: Address, plan: Plan, debt: Entry, shares: Seized
    ) -> int:
        """Write the position after a liquidation; what it owes without any collateral is written off at once."""
        changed = self.with_entry(plan.position, debt)
        entry = self.entry_of(changed, plan.collateral.market)
        before = changed
        changed = self.with_entry(changed, entry._replace(collateral=entry.collateral - shares.taken))
        terms = self.terms_of(debt.market)
        if any(entry.collateral for entry in changed.entries):
            changed = self.unbook(ctx, changed, terms, plan.repaid)
            self.put_position(ctx, address, plan.position, changed)
            return 0
        written_off = 0
        for entry in changed.entries:
            written_off += self._write_off(ctx, address, entry)
        freed = before._replace(entries=tuple([e._replace(debt=0) for e in before.entries]))
        self.unbook(ctx, freed, terms, plan.repaid)
        self.put_position(ctx, address, plan.position, Position(changed.group, 0, (), ()))
        return written_off

    def _write_off(self, ctx: Context, address: Address, entry: Entry) -> int:
        """Take a debt that nothing secures out of the books: the reserve bears what it can, the suppliers the rest."""
        if not entry.debt:
            return 0
        terms, market = self.terms_of(entry.market), self.now(ctx, entry.market)
        before = owed(market.scaled_debt, market.index_ray)
        market = market._replace(scaled_debt=market.scaled_debt - entry.debt)
        loss = before - owed(market.scaled_debt, market.index_ray)
        covered = min(loss, market.cash + before - market.assets)
        market = market._replace(
            assets=market.assets - (loss - covered),
            bad_debt=market.bad_debt + loss,
            bad_covered=market.bad_covered + covered,
        )
        self.write(entry.market, terms, market)
        ctx.emit(BadDebtRecognised(address, terms.denom, loss, covered))
        return loss

    # -- the keeper ---------------------------------------------------------------------------

    def end_block(self, ctx: Context) -> None:
        """Liquidate positions deep below health 1 for the reserve, within a gas budget and bounded numbers a block."""
        params = self.params
        spent = ctx.gas.used + params.keeper_gas
        if not params.keeper_items:
            return
        start = at = self.cursor.get()
        left, wrapped = params.keeper_items, start is None
        for _ in range(params.keeper_pairs):
            if not left or ctx.gas.used >= spent:
                break
            ctx.gas.use(LOOK_GAS)
            at = self.pair_after(at)
            if at is None:
                if wrapped:
                    break
                wrapped = True
                continue
            try:
                found = self.in_danger(ctx, at, BANDED, left, params.keeper_health_bps)
            except QenexError:
                continue  # no usable price for this pair now
            for address in found:
                if ctx.gas.used >= spent:
                    break
                left -= 1
                ctx.gas.use(KEEP_GAS)
                self._keep(ctx, address, at)
        if at != start:
            self.cursor.set(at)

    def _keep(self, ctx: Context, address: Address, pair: Cursor) -> None:
        """Liquidate one position with the reserve's own money, if health, reserve and rules allow it."""
        number = pair.debt
        terms, market = self.terms_of(number), self.now(ctx, number)
        collateral = self.now(ctx, pair.collateral)
        paused = (market.paused | collateral.paused) & PAUSE_LIQUIDATE or market.paused & PAUSE_REPAY
        if paused:
            return
        worst = self.params.keeper_health_bps * WAD // BASIS_POINTS
        try:
            plan = self.plan(ctx, address, pair.collateral, number, market.reserves, None, worst)
        except QenexError:
            return  # healthy enough for liquidators, no reserve, or nothing that the rules allow
        market, debt_entry = reduced(market, plan.debt, plan.repaid, owed(plan.debt.debt, market.index_ray))
        self.write(number, terms, market)  # less debt, the same cash: the reserve has paid
        treasury = self.params.treasury or module_address("governance")
        shares = self._seize(ctx, plan, treasury, True)
        self._settle_position(ctx, address, plan, debt_entry, shares)
        c_denom = self.terms_of(pair.collateral).denom
        ctx.emit(
            PositionLiquidated(
                treasury, address, terms.denom, plan.repaid, c_denom, plan.seized, plan.protocol
            )
        )
