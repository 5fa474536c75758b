"""Lending, module 8: pools per asset, debts against collateral, liquidations, flash loans.

The parts, each on the one before: `base` (state, interest on touch), `risks` (prices, health, index), `supplying`,
`borrowing`, `liquidating`, `governing`, `queries`. Here: what must always hold, and genesis.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from defi_modules.lending.base import VIRTUAL_ASSETS, VIRTUAL_SHARES, check_market
from defi_modules.lending.queries import Queries
from defi_modules.lending.types import (
    BadDebtRecognised,
    CollateralSet,
    DebtRaised,
    DebtRepaid,
    FlashLent,
    Group,
    GroupChosen,
    GroupSet,
    Market,
    MarketListed,
    PauseSet,
    Position,
    PositionLiquidated,
    ReservesCollected,
    SupplyAdded,
    SupplyTaken,
    Terms,
)
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import InvalidGenesis, InvariantViolated, QenexError
from qenex.types import U16
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


class Lending(Queries):
    """Lending markets with collateral, liquidation and flash loans."""

    events = (
        MarketListed, GroupSet, PauseSet, SupplyAdded, SupplyTaken, CollateralSet, GroupChosen, DebtRaised,
        DebtRepaid, PositionLiquidated, BadDebtRecognised, FlashLent, ReservesCollected,
    )  # fmt: skip

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
        if sorted(places) != [key for key, _ in self.risks.scan()]:
            raise InvariantViolated("the index of risks is not what positions say")
        for number, market in self.markets.scan():
            self.a_touched_market_is_covered(ctx, number, None, market)
            if sums[number] != [market.held_shares, market.scaled_debt, market.isolated_debt]:
                raise InvariantViolated(f"positions in market {number} add up to {sums[number]}")

    # -- genesis -------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"groups": [...], "terms": [...], "markets": [...], "positions": [...]}`; terms alone list empty markets."""
        known = {"groups", "terms", "markets", "positions"}
        if set(data) - known or any(not isinstance(items, list) for items in data.values()):
            raise InvalidGenesis("modules.lending holds the lists groups, terms, markets and positions")

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
        }
        return {name: items for name, items in lists.items() if items}
