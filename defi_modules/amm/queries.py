"""Queries: pools, positions, quotes, routes, averages, candles."""

from __future__ import annotations

from typing import Annotated

from defi_modules.amm.concentrated import sqrt_price_at_tick
from defi_modules.amm.observing import RESOLUTIONS, Observing
from defi_modules.amm.pools import Filled, amplification, holdings, mid_price, virtual_depth
from defi_modules.amm.positions import Positions
from defi_modules.amm.router import Edge, Way, best_route, best_route_out
from defi_modules.amm.types import (
    CONCENTRATED,
    CONSTANT_PRODUCT,
    U256,
    CandlePage,
    CandleView,
    Hop,
    Leg,
    Path,
    Pool,
    PoolPage,
    PoolView,
    PositionPage,
    PositionView,
    Quote,
    RouteQuote,
    Statistics,
)
from qenex.crypto.address import Address
from qenex.errors import NoRouteFound, PositionNotFound, SameDenomination
from qenex.types import U32, U64, Between, Coin, Denom
from vm.context import Context
from vm.module import query

PageLimit = Annotated[int, Between(1, 1_000)]
Resolution = Annotated[int, Between(0, len(RESOLUTIONS) - 1)]
MAX_ROUTED = 1_000
"""Pools that the router looks at, lowest numbers first; any other can be named in a route."""


class Queries(Positions, Observing):
    """Reads of a committed version."""

    @query
    def get_pool(self, ctx: Context, pool: U64) -> PoolView:
        """A pool: its terms, what it holds, where it stands.

        Args:
            pool: the pool's number.
        """
        return self._pool_view(ctx, pool)

    def _pool_view(self, ctx: Context, number: int) -> PoolView:
        pool, book = self.pool_of(number), self.book_of(number)
        spot = self.spots.get(number)
        return PoolView(
            number, pool.curve, pool.denoms, pool.account, pool.swap_fee, pool.paused, pool.manager,
            book.reserves, book.protocol, ctx.money.supply(self.share_denom(number)),
            amplification(pool.stable, ctx.time_s) if pool.stable is not None else 0,
            spot.sqrt_price if spot else 0, spot.tick if spot else 0, pool.tick_spacing,
            spot.liquidity if spot else 0,
        )  # fmt: skip

    @query
    def list_pools(self, ctx: Context, limit: PageLimit | None, cursor: U64 | None) -> PoolPage:
        """All pools, by number.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        size = limit or 100
        first = (cursor or 0) + 1
        last = self.pool_numbers.last()
        items = [self._pool_view(ctx, number) for number in range(first, min(last, first + size - 1) + 1)]
        more = bool(items) and items[-1].pool < last
        return PoolPage(tuple(items), items[-1].pool if more else None)

    @query
    def get_position(self, ctx: Context, position: U64) -> PositionView:
        """A position, and what it would pay now.

        Args:
            position: its number.
        """
        return self._position_view(position)

    def _position_view(self, number: int) -> PositionView:
        held = self.positions.get(number)
        if held is None:
            raise PositionNotFound(f"there is no position {number}")
        spot = self.spot_of(held.pool)
        pa, pb = sqrt_price_at_tick(held.lower), sqrt_price_at_tick(held.upper)
        amounts = holdings(spot, pa, pb, held.liquidity, False)
        fees = self._fees(held, spot)
        return PositionView(
            number, held.owner, held.pool, held.lower, held.upper, held.liquidity, *amounts, *fees
        )

    @query
    def list_positions(
        self, ctx: Context, address: Address, limit: PageLimit | None, cursor: U64 | None
    ) -> PositionPage:
        """The positions of an account, by number.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        after = None if cursor is None else (address, cursor)
        entries, more = self.owned.page_and_more(prefix=bytes(address), after=after, limit=limit or 100)
        items = tuple([self._position_view(number) for (_, number), _ in entries])
        return PositionPage(items, items[-1].position if more else None)

    # -- quotes -----------------------------------------------------------------------------

    @query
    def quote(self, ctx: Context, pool: U64, amount_in: Coin, denom_out: Denom | None) -> Quote:
        """What one pool would pay for an input in the next block, exact to the unit.

        Args:
            pool: the pool's number.
            amount_in: what would be paid.
            denom_out: what would be received; may be left out where the pool has two coins.
        """
        terms = self.open_pool(pool)
        other = denom_out or self._other(pool, amount_in.denom)
        filled = self._ahead(ctx, pool, terms, amount_in.denom, other, amount_in.amount, True)
        return self._quoted(
            ctx,
            pool,
            amount_in.denom,
            other,
            filled.amount_in,
            filled.amount_out,
            terms.denoms[filled.fee_coin],
            filled.fee,
        )

    @query
    def quote_out(self, ctx: Context, pool: U64, amount_out: Coin, denom_in: Denom | None) -> Quote:
        """What one pool would ask for an output in the next block, exact to the unit.

        Args:
            pool: the pool's number.
            amount_out: what would be received.
            denom_in: what would be paid; may be left out where the pool has two coins.
        """
        terms = self.open_pool(pool)
        other = denom_in or self._other(pool, amount_out.denom)
        filled = self._ahead(ctx, pool, terms, other, amount_out.denom, amount_out.amount, False)
        return self._quoted(
            ctx,
            pool,
            other,
            amount_out.denom,
            filled.amount_in,
            filled.amount_out,
            terms.denoms[filled.fee_coin],
            filled.fee,
        )

    def _ahead(
        self, ctx: Context, number: int, pool: Pool, came: str, went: str, amount: int, exact_in: bool
    ) -> Filled:
        """What a swap would do in the block after this state, in which no swap has been yet."""
        return self.fill(
            ctx, number, pool, self.book_of(number), came, went, amount, exact_in, height=ctx.height + 1
        )

    def _other(self, number: int, denom: str) -> str:
        pool = self.pool_of(number)
        at = self.coin_index(number, pool, denom)
        return pool.denoms[1 - at] if len(pool.denoms) == 2 else denom

    def _quoted(
        self,
        ctx: Context,
        number: int,
        denom_in: str,
        denom_out: str,
        taken: int,
        paid: int,
        fee_denom: str,
        fee: int,
    ) -> Quote:
        impact = self._impact(ctx, [(number, denom_in, denom_out)], taken, paid)
        return Quote(taken, paid, fee_denom, fee, impact)

    def _impact(self, ctx: Context, hops: list[tuple[int, str, str]], taken: int, paid: int) -> int:
        """How far from the present price a swap is paid, fees included, in basis points, rounded up."""
        top = bottom = 1
        for number, came, went in hops:
            pool = self.pool_of(number)
            i, j = pool.denoms.index(came), pool.denoms.index(went)
            up, down = mid_price(pool, self.book_of(number), self.spots.get(number), i, j, ctx.time_s)
            top, bottom = top * up, bottom * down
        ideal = taken * top
        if ideal <= 0:
            return 10_000
        lost = ideal - paid * bottom
        return min(10_000, max(0, -(-lost * 10_000 // ideal)))

    @query
    def find_route(self, ctx: Context, amount_in: Coin, denom_out: Denom) -> RouteQuote:
        """The best way found from one coin to another, through up to 4 pools, split where it pays.

        Args:
            amount_in: what would be paid.
            denom_out: what would be received.
        """
        denom, amount = amount_in
        if denom == denom_out:
            raise SameDenomination(f"{denom} for itself")
        found = best_route(
            self._edges(), denom, denom_out, amount, lambda way, part: self._exact(ctx, way, part)
        )
        if found is None:
            raise NoRouteFound(f"from {denom} to {denom_out}")
        legs = tuple([Leg(part, _path(way)) for part, way in found.parts])
        ideal = lost = 0
        for part, way in found.parts:
            bps = self._impact(
                ctx, [(e.pool, e.denom_in, e.denom_out) for e in way], part, self._exact(ctx, way, part)
            )
            ideal, lost = ideal + part, lost + part * bps
        return RouteQuote(legs, amount, found.amount_out, -(-lost // ideal))

    @query
    def find_route_out(self, ctx: Context, denom_in: Denom, amount_out: Coin) -> RouteQuote:
        """The cheapest way found for an exact output, through up to 4 pools.

        Args:
            denom_in: what would be paid.
            amount_out: what would be received.
        """
        denom, amount = amount_out
        if denom == denom_in:
            raise SameDenomination(f"{denom} for itself")
        found = best_route_out(self._edges(), denom_in, denom, amount, lambda way, n: self._cost(ctx, way, n))
        if found is None:
            raise NoRouteFound(f"from {denom_in} to {denom}")
        cost, way = found
        impact = self._impact(ctx, [(e.pool, e.denom_in, e.denom_out) for e in way], cost, amount)
        return RouteQuote((Leg(cost, _path(way)),), cost, amount, impact)

    def _cost(self, ctx: Context, way: Way, amount: int) -> int:
        for edge in reversed(way):
            terms = self.pool_of(edge.pool)
            amount = self._ahead(
                ctx, edge.pool, terms, edge.denom_in, edge.denom_out, amount, False
            ).amount_in
        return amount

    @query
    def quote_path(self, ctx: Context, amount_in: Coin, path: Path) -> RouteQuote:
        """What a route of one's own would pay for an input in the next block, exact to the unit.

        Args:
            amount_in: what would be paid.
            path: the pools in order, each with the denomination that it pays.
        """
        denom, amount = amount_in
        hops = []
        paid = amount
        for number, went in path:
            paid = self._ahead(ctx, number, self.open_pool(number), denom, went, paid, True).amount_out
            hops.append((number, denom, went))
            denom = went
        impact = self._impact(ctx, hops, amount, paid)
        return RouteQuote((Leg(amount, path),), amount, paid, impact)

    def _edges(self) -> list[Edge]:
        edges = []
        for number in range(1, min(self.pool_numbers.last(), MAX_ROUTED) + 1):
            pool, book = self.pools.get(number), self.books.get(number)
            if pool is None or book is None or pool.paused:
                continue
            if min(book.reserves) <= 0 and pool.curve != CONCENTRATED:
                continue
            spot = self.spots.get(number) if pool.curve == CONCENTRATED else None
            if pool.curve == CONSTANT_PRODUCT:
                fee = pool.swap_fee * 100
            else:
                fee = pool.swap_fee if pool.curve == CONCENTRATED else pool.swap_fee // 10_000
            for i, came in enumerate(pool.denoms):
                for j, went in enumerate(pool.denoms):
                    if i != j:
                        x, y = virtual_depth(pool, book, spot, i, j)
                        if x > 0 and y > 0:
                            edges.append(Edge(number, came, went, x, y, fee))
        return edges

    def _exact(self, ctx: Context, way: Way, amount: int) -> int:
        for edge in way:
            terms = self.pool_of(edge.pool)
            amount = self._ahead(
                ctx, edge.pool, terms, edge.denom_in, edge.denom_out, amount, True
            ).amount_out
        return amount

    # -- prices over time ---------------------------------------------------------------------

    @query
    def get_average_price(
        self, ctx: Context, pool: U64, denom: Denom, quote_denom: Denom, window_s: U32
    ) -> U256:
        """Mean price of one coin in another over a time that ends now, Q96 of base units, from ends of blocks.

        Args:
            pool: the pool's number.
            denom: what is priced; it or the other is the pool's first coin.
            quote_denom: in what.
            window_s: seconds.
        """
        return self.average_price(ctx, pool, self._direction(pool, denom, quote_denom), max(1, window_s))

    def _direction(self, number: int, denom: str, quote: str) -> int:
        """Place of a price among a pool's prices. Raises DenominationNotInPool, SameDenomination."""
        pool = self.pool_of(number)
        i, j = self.coin_index(number, pool, denom), self.coin_index(number, pool, quote)
        if i == j or (i and j):
            raise SameDenomination(f"prices are kept between {pool.denoms[0]} and another coin")
        return 2 * (j - 1) if i == 0 else 2 * (i - 1) + 1

    @query
    def get_candles(
        self, ctx: Context, pool: U64, resolution: Resolution, limit: PageLimit | None
    ) -> CandlePage:
        """The newest candles of a pool, oldest first.

        Args:
            pool: the pool's number.
            resolution: 0 for five minutes (a day is kept), 1 for hours (30 days).
            limit: how many, 100 unless given.
        """
        self.pool_of(pool)
        seconds, count = RESOLUTIONS[resolution]
        last = self.prices.get(pool)
        items: list[CandleView] = []
        if last is not None:
            newest = last.time_s // seconds
            for at in range(newest, newest - count, -1):
                candle = self.candles.get((pool, resolution, at % count))
                if candle is not None and candle.start_s == at * seconds:
                    volumes = tuple(
                        [a - b for a, b in zip(candle.volumes_after, candle.volumes_before, strict=True)]
                    )
                    items.append(CandleView(*candle[:5], volumes))
                if len(items) == (limit or 100):
                    break
        return CandlePage(tuple(reversed(items)))

    @query
    def get_statistics(self, ctx: Context, pool: U64) -> Statistics:
        """A pool in figures: price, reserves, volumes; and dust, what its account holds beyond its books.

        Args:
            pool: the pool's number.
        """
        terms, book = self.pool_of(pool), self.book_of(pool)
        seconds, count = RESOLUTIONS[1]
        newest = ctx.time_s // seconds
        day = [0] * len(terms.denoms)
        for at in range(newest, newest - 24, -1):
            candle = self.candles.get((pool, 1, at % count))
            if candle is not None and candle.start_s == at * seconds:
                for k in range(len(day)):
                    day[k] += candle.volumes_after[k] - candle.volumes_before[k]
        last = self.prices.get(pool)
        dust = tuple(
            [
                max(0, ctx.money.balance(terms.account, denom) - reserve - kept)
                for denom, reserve, kept in zip(terms.denoms, book.reserves, book.protocol, strict=True)
            ]
        )
        return Statistics(last.prices[0] if last else 0, book.reserves, book.volumes, tuple(day), dust)


def _path(way: Way) -> tuple[Hop, ...]:
    return tuple([Hop(edge.pool, edge.denom_out) for edge in way])
