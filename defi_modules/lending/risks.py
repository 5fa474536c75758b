"""What positions are worth, and the index that finds those in danger without looking at the others.

A position is healthy if the value of its collateral C1..Cn (by threshold) covers that of its debts D1..Dm. When it is
written, its debts are spread over its collateral, and its collateral over its debts, in proportion to their values
then: share v_d of each collateral c stands against share w_c of each debt d. If every such pair is healthy, so is the
sum; hence an unhealthy position has an unhealthy pair. A pair's ratio `v_d * shares / (w_c * scaled debt)` moves
neither with prices nor with interest, nor with thresholds: these only move the bound below which a ratio is unhealthy,
the same for all positions of the pair. So the positions in danger are those at the low end of each pair's order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from defi_modules.lending.base import VIRTUAL_ASSETS, VIRTUAL_SHARES, LendingBase, unit_of
from defi_modules.lending.math import health_factor, owed, value_of
from defi_modules.lending.types import POSITION_PAIRS, Cursor, Entry, MeanPrice, Position, PriceMove, Terms
from qenex.crypto.address import Address
from qenex.errors import PriceOutOfBand, QenexError, TooManyAssets
from qenex.integers import BASIS_POINTS, Q96, RAY, mul_div
from vm.context import Context

RATIO_ONE: Final = 10**18
MAX_RATIO: Final = (1 << 128) - 1
VALUE_GAS: Final = 160
"""Reading a price and valuing one entry of a position."""
PAIR_GAS: Final = 100
"""One entry of the index."""
LAST_ADDRESS: Final = Address(b"\xff" * 32)

CAUTIOUS: Final = 0
"""The lower of feed and mean for collateral, the higher for debt: whoever takes something out is valued so."""
FEED: Final = 1
"""The feed alone: for what people read."""
BANDED: Final = 2
"""The feed alone, refused outside of the band around the mean: for liquidations."""


class Worth(NamedTuple):
    """Values in base currency: collateral, what may be owed (by loan-to-value), collateral times threshold_bps, debt."""

    collateral: int
    limit: int
    weighted: int
    debt: int

    @property
    def health_wad(self) -> int:
        """Health factor as a wad."""
        return health_factor(self.weighted, 1, self.debt)


class Risking(LendingBase):
    """Prices, values, health, and the index of risks."""

    # -- prices -----------------------------------------------------------------------------

    def feed_price(self, ctx: Context, terms: Terms) -> int:
        """The feed's price, fresh and certain enough. Raises PriceStale or PriceUncertain."""
        price: int = self.oracle.read(ctx, terms.feed, terms.max_age_s, terms.max_spread_bps).price
        return price

    def mean_price(self, ctx: Context, terms: Terms, source: MeanPrice) -> int:
        """The time-weighted price of a market's asset, through the feed of the coin it is told in; 8 decimals."""
        mean: int = self.amm.get_mean_price(ctx, source.pool, terms.denom, source.quote, source.window_s)
        quote = self.terms_of(self.number_of(source.quote))
        price = mean * self.feed_price(ctx, quote) * unit_of(terms)
        return price // (Q96 * unit_of(quote))

    def bounds(self, ctx: Context, terms: Terms, how: int) -> tuple[int, int]:
        """Prices for collateral and for debt. Raises PriceStale, PriceUncertain, PriceOutOfBand or NoObservation."""
        feed = self.feed_price(ctx, terms)
        source = terms.mean_price
        if source is None or how == FEED:
            return feed, feed
        mean = self.mean_price(ctx, terms, source)
        if how == CAUTIOUS:
            return min(feed, mean), max(feed, mean)
        if abs(feed - mean) * BASIS_POINTS > source.band_bps * feed:
            raise PriceOutOfBand(f"the feed tells {feed}, the pool's mean {mean}")
        return feed, feed

    # -- values -----------------------------------------------------------------------------

    def worth(self, ctx: Context, position: Position, how: int, moves: tuple[PriceMove, ...] = ()) -> Worth:
        """What a position is worth at the block's time: collateral floor, debt ceiling."""
        collateral = limit = weighted = debt = 0
        for entry in position.entries:
            ctx.gas.use(VALUE_GAS)
            terms, market = self.terms_of(entry.market), self.now(ctx, entry.market)
            low, high = self.bounds(ctx, terms, how)
            for move in moves:
                if move.denom == terms.denom:
                    low = max(0, low * (BASIS_POINTS + move.change_bps) // BASIS_POINTS)
                    high = max(0, -(-high * (BASIS_POINTS + move.change_bps) // BASIS_POINTS))
            unit = unit_of(terms)
            if entry.collateral:
                ltv, threshold, _ = self.group_terms(position.group, terms)
                value = value_of(self.assets_for(market, entry.collateral), low, unit, round_up=False)
                collateral += value
                limit += value * ltv // BASIS_POINTS
                weighted += value * threshold
            if entry.debt:
                debt += value_of(owed(entry.debt, market.index_ray), high, unit, round_up=True)
        return Worth(collateral, limit, weighted, debt)

    # -- the index ----------------------------------------------------------------------------

    def put_position(self, ctx: Context, address: Address, old: Position, new: Position) -> None:
        """Write a position and its places in the index. Raises TooManyAssets."""
        had, has = list(_pairs(old)), list(_pairs(new))
        if len(has) > POSITION_PAIRS:
            raise TooManyAssets(
                f"at most {POSITION_PAIRS} pairs of a collateral and a debt, this would be {len(has)}"
            )
        ratios = tuple(self._ratios(ctx, new)) if has else ()
        before = [
            (old.group, c.market, d.market, ratio, address)
            for (c, d), ratio in zip(had, old.ratios, strict=True)
        ]
        after = [
            (new.group, c.market, d.market, ratio, address) for (c, d), ratio in zip(has, ratios, strict=True)
        ]
        for key in before:
            if key not in after:
                self.risks.set(key, None)
        for key in after:
            if key not in before:
                ctx.gas.use(PAIR_GAS)
                self.risks.set(key, 1)
        new = new._replace(ratios=ratios)
        self.positions.set(address, new if new.entries or new.group else None)

    def _ratios(self, ctx: Context, position: Position) -> Iterator[int]:
        collateral = [entry for entry in position.entries if entry.collateral]
        debts = [entry for entry in position.entries if entry.debt]
        if len(collateral) == len(debts) == 1:  # nothing to spread, so no price is needed
            yield _ratio(collateral[0].collateral, debts[0].debt, 1, 1, 1, 1)
            return
        up = [self._weight(ctx, position, entry, owing=False) for entry in collateral]
        down = [self._weight(ctx, position, entry, owing=True) for entry in debts]
        all_up, all_down = sum(up), sum(down)
        for c, value in zip(collateral, up, strict=True):
            for d, due in zip(debts, down, strict=True):
                yield _ratio(c.collateral, d.debt, due, all_down, value, all_up)

    def _weight(self, ctx: Context, position: Position, entry: Entry, *, owing: bool) -> int:
        """What an entry's side is worth now or was at the last price; any number above 0 keeps the index complete."""
        ctx.gas.use(VALUE_GAS)
        terms, market = self.terms_of(entry.market), self.now(ctx, entry.market)
        try:
            price: int = self.oracle.read(ctx, terms.feed, 86_400, BASIS_POINTS).price
        except QenexError:
            price = 10**8
        if owing:
            return 1 + owed(entry.debt, market.index_ray) * price // unit_of(terms)
        threshold = self.group_terms(position.group, terms)[1]
        return 1 + self.assets_for(market, entry.collateral) * price * threshold // unit_of(terms)

    def bound(self, ctx: Context, group: int, collateral: int, debt: int, how: int) -> int:
        """The ratio below which a pair is unhealthy now, with a millionth to spare for rounding."""
        c_terms, d_terms = self.terms_of(collateral), self.terms_of(debt)
        c_market, d_market = self.now(ctx, collateral), self.now(ctx, debt)
        c_price, d_price = self.bounds(ctx, c_terms, how)[0], self.bounds(ctx, d_terms, how)[1]
        threshold = self.group_terms(group, c_terms)[1]
        top = d_market.index_ray * d_price * unit_of(c_terms) * (c_market.shares + VIRTUAL_SHARES)
        bottom = RAY * c_price * unit_of(d_terms) * (c_market.assets + VIRTUAL_ASSETS) * threshold
        if not bottom:
            return MAX_RATIO
        found = top * BASIS_POINTS * RATIO_ONE * 1_000_001 // (bottom * 1_000_000) + 1
        return min(MAX_RATIO, found)

    def pair_after(self, at: Cursor | None) -> Cursor | None:
        """The next pair of assets that some position holds, in the index's order."""
        after = None if at is None else (*at, MAX_RATIO, LAST_ADDRESS)
        for (group, collateral, debt, _, _), _ in self.risks.page(after=after, limit=1):
            return Cursor(group, collateral, debt)
        return None

    def in_danger(
        self, ctx: Context, pair: Cursor, how: int, limit: int, health_bps: int = BASIS_POINTS
    ) -> list[Address]:
        """Positions of which this pair's health may be below `health_bps`, the lowest first. Raises as `bounds`."""
        bound = self.bound(ctx, *pair, how) * health_bps // BASIS_POINTS + 1
        prefix = bytes((pair.group,)) + pair.collateral.to_bytes(2, "big") + pair.debt.to_bytes(2, "big")
        found = []
        for (_, _, _, ratio, address), _ in self.risks.page(prefix=prefix, limit=limit):
            if ratio > bound:
                break
            found.append(address)
        return found


def _pairs(position: Position) -> Iterator[tuple[Entry, Entry]]:
    for c in position.entries:
        if c.collateral:
            for d in position.entries:
                if d.debt:
                    yield c, d


def _ratio(shares: int, scaled: int, due: int, all_due: int, value: int, all_value: int) -> int:
    """`(due / all_due) * shares / ((value / all_value) * scaled)`, floor: rounding puts a position nearer to danger."""
    return min(
        MAX_RATIO, mul_div(due * shares * all_value, RATIO_ONE, all_due * value * scaled, round_up=False)
    )
