"""Prices at the ends of blocks: averages over time that no single block can push, and candles."""

from __future__ import annotations

from typing import Final

from defi_modules.amm.base import AmmBase
from defi_modules.amm.pools import mid_price
from defi_modules.amm.types import CONCENTRATED, Book, Candle, Observation, Pool, Price
from qenex.errors import NoObservation
from qenex.integers import Q96
from vm.context import Context

OBSERVATIONS: Final = 1_440
"""Observations kept of each pool, one an interval: a day of minutes."""
RESOLUTIONS: Final = ((300, 288), (3_600, 720))
"""Seconds and number of the candles kept: a day of five minutes, a month of hours."""
LOOK_GAS: Final = 10
"""One observation looked at: about a microsecond."""
MAX_PRICE: Final = (1 << 216) - 1
"""Prices are capped here, so that 2^40 seconds of them fit into 256 bits."""


class Observing(AmmBase):
    """What the end of a block writes down, and averages of it."""

    def observe_due(self, ctx: Context, limit: int) -> None:
        """Write down the prices of pools touched in this block, at most `limit`; the rest waits."""
        for number, _ in self.touched.page(limit=limit):
            self.touched.set(number, None)
            self._observe(ctx, number)

    def _observe(self, ctx: Context, number: int) -> None:
        pool, book = self.pool_of(number), self.book_of(number)
        prices = self._prices(ctx, number, pool, book)
        if not any(prices):
            return  # an empty pool has no price
        last = self.prices.get(number) or Price(ctx.time_s, prices, (0,) * len(prices))
        sums = self._sums_at(last, ctx.time_s)
        self.prices.set(number, Price(ctx.time_s, prices, sums))
        interval = self.params.observation_interval_s
        slot = ctx.time_s // interval
        kept = self.observations.get((number, slot % OBSERVATIONS))
        if kept is None or kept.time_s // interval != slot:
            self.observations.set((number, slot % OBSERVATIONS), Observation(ctx.time_s, sums))
        self._candles(ctx, number, book, last.prices[0], prices[0])

    def _prices(self, ctx: Context, number: int, pool: Pool, book: Book) -> tuple[int, ...]:
        """Both directions between the first coin and each other one, Q96, floored."""
        spot = self.spot_of(number) if pool.curve == CONCENTRATED else None
        if spot is not None and not spot.liquidity:
            return (0, 0)  # a price that costs nothing to move is none
        found: list[int] = []
        for j in range(1, len(pool.denoms)):
            top, bottom = mid_price(pool, book, spot, 0, j, ctx.time_s)
            found.append(min(MAX_PRICE, top * Q96 // bottom))
            found.append(min(MAX_PRICE, bottom * Q96 // top) if top else 0)
        return tuple(found)

    @staticmethod
    def _sums_at(last: Price, now_s: int) -> tuple[int, ...]:
        elapsed = max(0, now_s - last.time_s)
        return tuple([total + price * elapsed for total, price in zip(last.sums, last.prices, strict=True)])

    def _candles(self, ctx: Context, number: int, book: Book, before: int, price: int) -> None:
        for resolution, (seconds, count) in enumerate(RESOLUTIONS):
            start = ctx.time_s // seconds * seconds
            key = (number, resolution, start // seconds % count)
            candle = self.candles.get(key)
            if candle is None or candle.start_s != start:
                earlier = self.candles.get((number, resolution, (start // seconds - 1) % count))
                known = earlier is not None and earlier.start_s == start - seconds
                volumes = earlier.volumes_after if earlier is not None and known else book.volumes
                if earlier is None and candle is None:
                    volumes = (0,) * len(book.volumes)
                candle = Candle(start, before, before, before, before, volumes, volumes)
            self.candles.set(
                key,
                candle._replace(
                    high=max(candle.high, price),
                    low=min(candle.low, price),
                    close=price,
                    volumes_after=book.volumes,
                ),
            )

    def average_price(self, ctx: Context, number: int, direction: int, window_s: int) -> int:
        """Mean over the last `window_s` seconds of one of a pool's prices, Q96, floored.

        Raises NoObservation if the pool was not observed that long ago, or no longer is known to be.
        """
        last = self.prices.get(number)
        if last is None:
            raise NoObservation(f"pool {number} has had no price yet")
        now = max(ctx.time_s, last.time_s)
        then = now - window_s
        newer = Observation(last.time_s, last.sums)
        sums = self._sums_at(last, now)[direction]
        if then >= last.time_s:
            earlier = self._sums_at(last, then)[direction]
            return (sums - earlier) // window_s
        interval = self.params.observation_interval_s
        slot = last.time_s // interval
        for back in range(OBSERVATIONS):
            ctx.gas.use(LOOK_GAS)
            found = self.observations.get((number, (slot - back) % OBSERVATIONS))
            if found is None or found.time_s > newer.time_s:
                continue
            if found.time_s <= then:
                span = newer.time_s - found.time_s
                between = newer.sums[direction] - found.sums[direction]
                earlier = found.sums[direction] + (between * (then - found.time_s) // span if span else 0)
                return (sums - earlier) // window_s
            newer = found
        raise NoObservation(f"pool {number} was not observed {window_s} s ago")
