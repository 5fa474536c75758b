"""Queries: markets, positions and what a price move would do to them, positions in danger."""

from __future__ import annotations

from typing import Annotated

from defi_modules.lending.base import unit_of
from defi_modules.lending.governing import Governing
from defi_modules.lending.math import NO_DEBT_HEALTH, owed, scaled_up
from defi_modules.lending.risks import FEED, Worth
from defi_modules.lending.types import (
    Cursor,
    Entry,
    EntryInfo,
    MarketInfo,
    MarketPage,
    PageLimit,
    Position,
    PositionChange,
    PositionInfo,
    PriceMove,
    Ramp,
    Risk,
    Risks,
    Terms,
    WaitingInfo,
    WaitingPage,
)
from qenex.crypto.address import Address
from qenex.errors import QenexError
from qenex.integers import WAD, mul_div
from qenex.types import U8, U16, U64, Denom, Length
from vm.context import Context
from vm.module import query

MAX_PAIRS = 4_096


class Queries(Governing):
    """Reads of a committed version, at the block's time."""

    @query
    def get_market(self, ctx: Context, denom: Denom) -> MarketInfo:
        """A market: terms, what it holds and owes, utilisation and rates, with interest up to now.

        Args:
            denom: its asset.
        """
        return self._market_info(ctx, self.number_of(denom))

    @query
    def list_markets(self, ctx: Context, limit: PageLimit | None, cursor: U16 | None) -> MarketPage:
        """All markets, by number.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        size = limit or 100
        found = self.markets.page(after=cursor, limit=size)
        items = tuple([self._market_info(ctx, number) for number, _ in found])
        more = len(found) == size and bool(self.markets.page(after=found[-1][0], limit=1))
        return MarketPage(items, items[-1].number if more else None)

    def _market_info(self, ctx: Context, number: int) -> MarketInfo:
        market = self.now(ctx, number)
        debt = owed(market.scaled_debt, market.index_ray)
        return MarketInfo(number, self.terms_of(number), market, debt, market.cash)

    @query
    def get_ramp(self, ctx: Context, denom: Denom) -> Ramp | None:
        """Where a market's terms are on their way to, and since when; nothing if they have arrived.

        Args:
            denom: its asset.
        """
        return self.ramps.get(self.number_of(denom))

    @query
    def list_waiting(
        self, ctx: Context, denom: Denom, limit: PageLimit | None, cursor: U64 | None
    ) -> WaitingPage:
        """Withdrawals that wait in a market's line, the next to be paid first.

        Args:
            denom: its asset.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        number = self.number_of(denom)
        market, after = self.now(ctx, number), None if cursor is None else (number, cursor)
        prefix = number.to_bytes(2, "big")
        found, more = self.waiting.page_and_more(after=after, prefix=prefix, limit=limit or 100)
        items = tuple(
            [WaitingInfo(key[1], *entry, self.assets_for(market, entry.shares)) for key, entry in found]
        )
        return WaitingPage(items, items[-1].number if more else None)

    @query
    def get_position(self, ctx: Context, address: Address) -> PositionInfo:
        """What an account has put up and owes, its health factor and what it may still borrow; prices are the feeds'.

        Args:
            address: the account.
        """
        return self._info(ctx, address, self.position_of(address), ())

    @query
    def preview_prices(
        self, ctx: Context, address: Address, moves: Annotated[tuple[PriceMove, ...], Length(1, 8)]
    ) -> PositionInfo:
        """What price moves would do to a position.

        Args:
            address: the account.
            moves: which prices move, and by how much.
        """
        return self._info(ctx, address, self.position_of(address), moves)

    @query
    def preview_changes(
        self,
        ctx: Context,
        address: Address,
        changes: Annotated[tuple[PositionChange, ...], Length(1, 8)],
        group: U8 | None,
    ) -> PositionInfo:
        """What a position would be with more or less collateral and debt: what a wallet shows before it signs.

        Args:
            address: the account.
            changes: by asset, what is added or taken away; no less than nothing is left.
            group: the efficiency group it would be in; its own unless given.
        """
        position = self.position_of(address)
        if group is not None:
            position = position._replace(group=group)
        for denom, up, down in changes:
            number = self.number_of(denom)
            market, entry = self.now(ctx, number), self.entry_of(position, number)
            collateral, debt = entry.collateral, entry.debt
            if up:
                more = self.shares_for(market, abs(up), round_up=up < 0)
                collateral = max(0, collateral + (more if up > 0 else -more))
            if down:
                debt = scaled_up(max(0, owed(debt, market.index_ray) + down), market.index_ray)
            position = self.with_entry(position, Entry(number, collateral, debt))
        return self._info(ctx, address, position, ())

    def _info(
        self, ctx: Context, address: Address, position: Position, moves: tuple[PriceMove, ...]
    ) -> PositionInfo:
        priced = True
        try:
            worth = self.worth(ctx, position, FEED, moves)
        except QenexError:
            worth, priced = Worth(0, 0, 0, 0), False
        entries = []
        for entry in position.entries:
            terms, market = self.terms_of(entry.market), self.now(ctx, entry.market)
            collateral = self.assets_for(market, entry.collateral) if entry.collateral else 0
            debt = owed(entry.debt, market.index_ray)
            price = 0
            if priced:
                price = _moved(self.feed_price(ctx, terms), terms.denom, moves)
            tipping = self._tipping(position, terms, worth, price, collateral, debt) if priced else 0
            entries.append(EntryInfo(terms.denom, entry.collateral, collateral, debt, price, tipping))
        health = worth.health_wad if priced else 0
        return PositionInfo(
            address,
            position.group,
            tuple(entries),
            worth.collateral,
            worth.debt,
            worth.limit,
            max(0, worth.limit - worth.debt),
            min(health, NO_DEBT_HEALTH),
            priced,
        )

    def _tipping(
        self, position: Position, terms: Terms, worth: Worth, price: int, collateral: int, debt: int
    ) -> int:
        """The price of one asset at which health is 1 while all others stay; 0 if there is none."""
        unit = unit_of(terms)
        threshold = self.group_terms(position.group, terms)[1]
        per_price = (
            collateral * threshold - debt * 10_000
        )  # of weighted value less debt, for one unit of price
        rest = worth.debt * 10_000 - worth.weighted
        if not per_price or not worth.debt:
            return 0
        found = price + rest * unit // per_price if per_price > 0 else price - rest * unit // -per_price
        return min(max(0, found), (1 << 128) - 1)

    @query
    def list_liquidatable(self, ctx: Context, limit: PageLimit | None) -> Risks:
        """Positions whose health is below 1 by the feeds, the worst of each pair of assets first.

        Args:
            limit: the most that are told, 100 unless given.
        """
        size = limit or 100
        found: dict[Address, Risk] = {}
        pair: Cursor | None = None
        for _ in range(MAX_PAIRS):
            pair = self.pair_after(pair)
            if pair is None or len(found) >= size:
                break
            try:
                addresses = self.in_danger(ctx, pair, FEED, size)
            except QenexError:
                continue
            for address in addresses:
                if address not in found and len(found) < size:
                    risk = self._risk(ctx, address, pair)
                    if risk is not None:
                        found[address] = risk
        return Risks(tuple(found.values()))

    def _risk(self, ctx: Context, address: Address, pair: Cursor) -> Risk | None:
        position = self.position_of(address)
        try:
            worth = self.worth(ctx, position, FEED)
        except QenexError:
            return None
        if worth.health_wad >= WAD:
            return None
        terms = self.terms_of(pair.debt)
        debt = owed(self.entry_of(position, pair.debt).debt, self.now(ctx, pair.debt).index_ray)
        try:
            repayable = self.plan(ctx, address, pair.collateral, pair.debt, None, None).repaid
        except QenexError:
            repayable = 0
        return Risk(
            address, worth.health_wad, self.terms_of(pair.collateral).denom, terms.denom, debt, repayable
        )


def _moved(price: int, denom: str, moves: tuple[PriceMove, ...]) -> int:
    for move in moves:
        if move.denom == denom:
            price = mul_div(price, 10_000 + move.change_bps, 10_000, round_up=False)
    return price
