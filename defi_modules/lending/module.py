"""Lending, module 8: pools per asset, debts against collateral, liquidations, flash loans.

The parts, each on the one before: `base` (state, interest on touch), `risks` (prices, health, index), `queueing`,
`supplying`, `borrowing`, `liquidating`, `ramping`, `governing`, `queries`. Here: what must always hold, and genesis.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from defi_modules.lending.base import VIRTUAL_ASSETS, VIRTUAL_SHARES, check_market
from defi_modules.lending.queries import Queries
from defi_modules.lending.ramping import OF_GROUP, OF_MARKET
from defi_modules.lending.types import (
    BadDebtRecognised,
    CollateralSet,
    DebtRaised,
    DebtRepaid,
    FlashLent,
    Group,
    GroupChosen,
    GroupRamp,
    GroupSet,
    Market,
    MarketListed,
    PauseSet,
    Position,
    PositionLiquidated,
    Ramp,
    ReservesCollected,
    SupplyAdded,
    SupplyTaken,
    Terms,
    Waiting,
    WithdrawalCancelled,
    WithdrawalQueued,
)
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import InvalidGenesis, InvariantViolated, QenexError
from qenex.types import U16, U64
from vm.context import Context
from vm.module import invariant
from vm.registry import check_record


class GenesisMarket(NamedTuple):
    """A market's state at genesis."""

    number: U16
    market: Market


class GenesisPosition(NamedTuple):
    """A position at genesis."""

    address: Address
    position: Position


class GenesisRamp(NamedTuple):
    """A market's terms on their way at genesis."""

    number: U16
    ramp: Ramp


class GenesisWaiting(NamedTuple):
    """A withdrawal that waits at genesis."""

    market: U16
    number: U64
    entry: Waiting


_LISTS: Final = ("groups", "terms", "markets", "positions", "ramps", "group_ramps", "waiting")


class Lending(Queries):
    """Lending markets with collateral, liquidation and flash loans."""

    events = (
        MarketListed, GroupSet, PauseSet, SupplyAdded, SupplyTaken, CollateralSet, GroupChosen, DebtRaised,
        DebtRepaid, PositionLiquidated, BadDebtRecognised, FlashLent, ReservesCollected, WithdrawalQueued,
        WithdrawalCancelled,
    )  # fmt: skip

    def begin_block(self, ctx: Context) -> None:
        """Move terms that are on their way, then pay withdrawals that wait; bounded numbers of both."""
        self.take_steps(ctx)
        self.pay_waiting(ctx)

    # -- rules that always hold ---------------------------------------------------------------

    @invariant(each="markets")
    def a_touched_market_is_covered(
        self, ctx: Context, number: int, old: Market | None, new: Market | None
    ) -> None:
        """Cash and debt are what suppliers and reserve hold; coins and shares are there; indexes never fall."""
        if new is None:
            raise InvariantViolated(f"market {number} has vanished")
        check_market(new)
        terms = self.terms_of(number)
        receipt, balance = self.receipt(terms.denom), ctx.money.balance
        if balance(new.account, terms.denom) < new.cash:
            raise InvariantViolated(f"market {number} holds less {terms.denom} than its cash {new.cash}")
        if ctx.money.supply(receipt) != new.shares or balance(new.account, receipt) < new.held_shares:
            raise InvariantViolated(f"the shares of market {number} are not those in its books")
        if old is None:
            return
        if new.index_ray < old.index_ray:
            raise InvariantViolated(f"the index of market {number} fell")
        # A share is worth less only where bad debt was written off.
        grown = (new.assets + VIRTUAL_ASSETS) * (old.shares + VIRTUAL_SHARES)
        if new.bad_debt == old.bad_debt and grown < (old.assets + VIRTUAL_ASSETS) * (
            new.shares + VIRTUAL_SHARES
        ):
            raise InvariantViolated(f"a share of market {number} lost value without bad debt")

    @invariant()
    def positions_add_up_and_stand_in_the_index(self, ctx: Context) -> None:
        """Per market: collateral, debts and isolated debts; and the index holds just what positions say."""
        sums = {number: [market.seed_shares, 0, 0] for number, market in self.markets.scan()}
        places = []
        for address, position in self.positions.scan():
            isolated = 0
            up = [e.market for e in position.entries if e.collateral]
            down = [e.market for e in position.entries if e.debt]
            if down and not up:
                raise InvariantViolated("a debt without collateral was not written off")
            for entry in position.entries:
                sums[entry.market][0] += entry.collateral
                sums[entry.market][1] += entry.debt
                if entry.collateral and self.terms_of(entry.market).debt_ceiling:
                    sums[entry.market][2] += position.isolated
                    isolated += 1
            if isolated > 1 or (isolated and len(up) > 1) or (position.isolated and not isolated):
                raise InvariantViolated("isolated collateral does not stand alone")
            pairs = [(c, d) for c in up for d in down]
            places += [
                (position.group, c, d, ratio, address)
                for (c, d), ratio in zip(pairs, position.ratios, strict=True)
            ]
        for (number, _), waiting in self.waiting.scan():
            sums[number][0] += waiting.shares
        if sorted(places) != [key for key, _ in self.risks.scan()]:
            raise InvariantViolated("the index of risks is not what positions say")
        for number, market in self.markets.scan():
            self.a_touched_market_is_covered(ctx, number, None, market)
            if sums[number] != [market.held_shares, market.scaled_debt, market.isolated_debt]:
                raise InvariantViolated(f"positions in market {number} add up to {sums[number]}")

    @invariant()
    def ramps_have_their_next_step(self, ctx: Context) -> None:
        """What is on its way, and nothing else, stands in the order of steps; what waits has shares."""
        expected = [
            (ramp.next_s, OF_MARKET, number) for number, ramp in self.ramps.scan() if ramp.began_s
        ] + [(ramp.next_s, OF_GROUP, number) for number, ramp in self.group_ramps.scan()]
        if sorted(expected) != [key for key, _ in self.steps.scan()]:
            raise InvariantViolated("the order of steps is not that of the ramps")
        if any(not waiting.shares for _, waiting in self.waiting.scan()):
            raise InvariantViolated("a withdrawal of nothing waits")

    # -- genesis -------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """Lists by name as `export_genesis` writes them; terms alone list empty markets. Terms are those in force."""
        if set(data) - set(_LISTS) or any(not isinstance(items, list) for items in data.values()):
            raise InvalidGenesis(f"modules.lending holds the lists {', '.join(_LISTS)}")

        def records(name: str, record: type) -> list[Any]:
            return [
                check_record(codec_for(record), item, InvalidGenesis, f"modules.lending.{name}[{index}]")
                for index, item in enumerate(data.get(name, []))
            ]

        try:
            for group in records("groups", Group):
                self.put_group(ctx, group)
            for terms in records("terms", Terms):
                if self.numbers.get(terms.denom) is not None:
                    raise InvalidGenesis(f"modules.lending.terms: {terms.denom} is there twice")
                self.set_terms(ctx, terms)
        except InvalidGenesis:
            raise
        except QenexError as error:
            raise InvalidGenesis(f"modules.lending: {error.message}") from None
        for number, market in records("markets", GenesisMarket):
            if self.terms.get(number) is None or market.account != self.market_account(number):
                raise InvalidGenesis(f"modules.lending.markets: {number} is not listed, or not its account")
            self.markets.set(number, market)
        for number, ramp in records("ramps", GenesisRamp):
            here = self.terms.get(number)
            if here is None or not here.denom == ramp.before.denom == ramp.after.denom:
                raise InvalidGenesis(f"modules.lending.ramps: {number} is not listed, or another asset's")
            self.ramps.set(number, ramp)
            if ramp.began_s:
                self.steps.set((ramp.next_s, OF_MARKET, number), 1)
        for ramp in records("group_ramps", GroupRamp):
            self.group_ramps.set(ramp.after.number, ramp)
            self.steps.set((ramp.next_s, OF_GROUP, ramp.after.number), 1)
        last = 0
        for number, waits, entry in records("waiting", GenesisWaiting):
            if self.terms.get(number) is None:
                raise InvalidGenesis("modules.lending.waiting: a market is not listed")
            self.waiting.set((number, waits), entry)
            last = max(last, waits)
        self.waiting_numbers.resume(last)
        for address, position in records("positions", GenesisPosition):
            if any(self.terms.get(entry.market) is None for entry in position.entries):
                raise InvalidGenesis("modules.lending.positions: a market is not listed")
            self.positions.set(address, position)
            pairs = [
                (c.market, d.market)
                for c in position.entries
                if c.collateral
                for d in position.entries
                if d.debt
            ]
            if len(pairs) != len(position.ratios):
                raise InvalidGenesis("modules.lending.positions: each pair of assets has its ratio")
            for (c_number, d_number), ratio in zip(pairs, position.ratios, strict=True):
                self.risks.set((position.group, c_number, d_number, ratio, address), 1)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        lists: dict[str, list[Any]] = {
            "groups": [codec_for(Group).to_json(group, "qx") for _, group in self.groups.scan()],
            "terms": [codec_for(Terms).to_json(terms, "qx") for _, terms in self.terms.scan()],
            "markets": [
                codec_for(GenesisMarket).to_json(GenesisMarket(*item), "qx") for item in self.markets.scan()
            ],
            "positions": [
                codec_for(GenesisPosition).to_json(GenesisPosition(*item), "qx")
                for item in self.positions.scan()
            ],
            "ramps": [codec_for(GenesisRamp).to_json(GenesisRamp(*item), "qx") for item in self.ramps.scan()],
            "group_ramps": [codec_for(GroupRamp).to_json(ramp, "qx") for _, ramp in self.group_ramps.scan()],
            "waiting": [
                codec_for(GenesisWaiting).to_json(GenesisWaiting(*key, entry), "qx")
                for key, entry in self.waiting.scan()
            ],
        }
        return {name: items for name, items in lists.items() if items}
