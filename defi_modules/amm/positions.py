"""Messages of concentrated pools: positions between two ticks."""

from __future__ import annotations

from defi_modules.amm.base import AmmBase
from defi_modules.amm.concentrated import (
    liquidity_for_amounts,
    max_liquidity_per_tick,
    sqrt_price_at_tick,
)
from defi_modules.amm.pools import WORD, fees_owed, holdings, inside_growth
from defi_modules.amm.types import (
    CONCENTRATED,
    Coins,
    FeesCollected,
    Pool,
    Position,
    PositionChanged,
    PositionMade,
    PositionPaid,
    Spot,
    Tick,
    TickState,
)
from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    InsufficientLiquidity,
    InvariantViolated,
    LiquidityCapExceeded,
    LiquidityTooYoung,
    MinimumMissing,
    NothingToCollect,
    NotPositionOwner,
    PositionNotFound,
    SlippageExceeded,
    TickOutOfRange,
    TicksNotSorted,
)
from qenex.types import MAX_AMOUNT, U64, Amount
from vm.context import Context
from vm.module import message


class Positions(AmmBase):
    """Opening, growing, shrinking and collecting."""

    @message(gas=2_700)
    def open_position(
        self,
        ctx: Context,
        pool: U64,
        lower: Tick,
        upper: Tick,
        maximum: Coins,
        minimum_liquidity: Amount,
        deadline_s: U64,
    ) -> PositionMade:
        """Provide liquidity between two ticks; with one spacing between them it is much like a limit order.

        A range beside the price takes one coin only, and is swapped into the other as the price passes through.
        It can be taken out again from the next block on.

        Args:
            pool: the pool's number.
            lower: lower tick, a multiple of the pool's spacing.
            upper: upper tick, a multiple of the pool's spacing.
            maximum: the coins offered; at most that is taken.
            minimum_liquidity: the least liquidity to get for it; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        terms = self.open_pool(pool, CONCENTRATED)
        self._check_range(terms, lower, upper)
        number = self.position_numbers.next()
        position = Position(ctx.actor, pool, lower, upper, 0, 0, 0, ctx.height)
        self.owned.set((ctx.actor, number), 1)
        return self._grow(ctx, number, position, terms, maximum, minimum_liquidity, deadline_s)

    @staticmethod
    def _check_range(pool: Pool, lower: int, upper: int) -> None:
        if lower >= upper:
            raise TicksNotSorted(f"lower tick {lower}, upper tick {upper}")
        if lower % pool.tick_spacing or upper % pool.tick_spacing:
            raise TickOutOfRange(f"ticks are multiples of {pool.tick_spacing} here, not {lower} and {upper}")

    @message(gas=1_900)
    def increase_position(
        self, ctx: Context, position: U64, maximum: Coins, minimum_liquidity: Amount, deadline_s: U64
    ) -> PositionMade:
        """Add liquidity to a position; the fees earned so far are paid out.

        Args:
            position: its number.
            maximum: the coins offered; at most that is taken.
            minimum_liquidity: the least liquidity to get for it; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        held = self._own(ctx, position)
        terms = self.open_pool(held.pool, CONCENTRATED)
        held = self._settle(ctx, position, held, terms)
        return self._grow(ctx, position, held, terms, maximum, minimum_liquidity, deadline_s)

    def _grow(
        self,
        ctx: Context,
        number: int,
        position: Position,
        pool: Pool,
        maximum: Coins,
        minimum: int,
        deadline_s: int,
    ) -> PositionMade:
        self.check_deadline(ctx, deadline_s)
        if minimum <= 0:
            raise MinimumMissing
        offered = [0, 0]
        for denom, amount in maximum:
            offered[self.coin_index(position.pool, pool, denom)] += amount
        spot = self.spot_of(position.pool)
        pa, pb = sqrt_price_at_tick(position.lower), sqrt_price_at_tick(position.upper)
        added = liquidity_for_amounts(spot.sqrt_price, pa, pb, offered[0], offered[1])
        if added <= 0:
            raise AmountZero("the coins offered are worth no liquidity in this range")
        if added < minimum:
            raise SlippageExceeded(f"liquidity of {added} for it now, {minimum} wanted at least")
        if added >= MAX_AMOUNT:
            raise AmountTooLarge("liquidity of 2^128 or more")
        costs = holdings(spot, pa, pb, added, True)
        inside = self._change_liquidity(ctx, position, pool, added, spot)
        coins = self.take_coins(ctx, pool, costs)
        assert coins, "liquidity is never free: its cost is rounded up"
        book = self.opened_book(ctx, position.pool, pool)
        self.books.set(position.pool, self.with_reserves(book, costs))
        changed = position._replace(
            liquidity=position.liquidity + added, inside0=inside[0], inside1=inside[1], height=ctx.height
        )
        self.positions.set(number, changed)
        ctx.emit(PositionChanged(number, position.pool, position.owner, changed.liquidity))
        return PositionMade(number, added, costs[0], costs[1])

    @message(gas=2_200, exit=True)
    def decrease_position(
        self, ctx: Context, position: U64, liquidity: Amount, minimum: Coins, deadline_s: U64
    ) -> PositionPaid:
        """Take liquidity out of a position, with all its fees. Open while the pool is paused.

        Args:
            position: its number.
            liquidity: how much of it; all of it closes the position.
            minimum: the least to receive, of each coin that the liquidity holds.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        held = self._own(ctx, position)
        if held.height == ctx.height:
            raise LiquidityTooYoung
        if liquidity <= 0:
            raise AmountZero("no liquidity")
        if liquidity > held.liquidity:
            raise InsufficientLiquidity(f"the position has liquidity {held.liquidity}")
        terms = self.pool_of(held.pool)
        spot = self.spot_of(held.pool)
        pa, pb = sqrt_price_at_tick(held.lower), sqrt_price_at_tick(held.upper)
        amounts = holdings(spot, pa, pb, liquidity, False)
        least = [0, 0]
        for denom, amount in minimum:
            least[self.coin_index(held.pool, terms, denom)] = amount
        if not any(least):
            raise MinimumMissing
        for got, wanted, denom in zip(amounts, least, terms.denoms, strict=True):
            if got < wanted:
                raise SlippageExceeded(f"{got} {denom} for it now, {wanted} wanted at least")
        fees = self._fees(held, spot)
        inside = self._change_liquidity(ctx, held, terms, -liquidity, spot)
        self._pay_out(ctx, held, terms, (amounts[0] + fees[0], amounts[1] + fees[1]))
        left = held.liquidity - liquidity
        changed = held._replace(liquidity=left, inside0=inside[0], inside1=inside[1])
        self.positions.set(position, changed if left else None)
        if not left:
            self.owned.set((held.owner, position), None)
        if any(fees):
            ctx.emit(FeesCollected(position, held.owner, *fees))
        ctx.emit(PositionChanged(position, held.pool, held.owner, left))
        return PositionPaid(amounts[0] + fees[0], amounts[1] + fees[1])

    @message(gas=1_500, exit=True)
    def collect(self, ctx: Context, position: U64) -> PositionPaid:
        """Pay out the fees that a position has earned. Open while the pool is paused.

        Args:
            position: its number.
        """
        held = self._own(ctx, position)
        terms = self.pool_of(held.pool)
        fees = self._fees(held, self.spot_of(held.pool))
        if not any(fees):
            raise NothingToCollect
        self.positions.set(position, self._settle(ctx, position, held, terms))
        return PositionPaid(*fees)

    # -- steps ------------------------------------------------------------------------------

    def _own(self, ctx: Context, number: int) -> Position:
        position = self.positions.get(number)
        if position is None:
            raise PositionNotFound(f"there is no position {number}")
        if position.owner != ctx.actor:
            raise NotPositionOwner(f"position {number} belongs to another account")
        return position

    def _inside(self, position: Position, spot: Spot) -> tuple[int, int]:
        low = self.tick_states.get((position.pool, position.lower))
        high = self.tick_states.get((position.pool, position.upper))
        if low is None or high is None:
            raise InvariantViolated(f"a position of pool {position.pool} ends at a tick that carries none")
        return inside_growth(spot, position.lower, position.upper, low[2:4], high[2:4])

    def _fees(self, position: Position, spot: Spot) -> tuple[int, int]:
        """Fees that a position has not been paid, floored."""
        if not position.liquidity:
            return 0, 0
        settled = (position.inside0, position.inside1)
        return fees_owed(position.liquidity, self._inside(position, spot), settled)

    def _settle(self, ctx: Context, number: int, position: Position, pool: Pool) -> Position:
        """Pay what a position has earned; returns it as settled."""
        spot = self.spot_of(position.pool)
        fees = self._fees(position, spot)
        if any(fees):
            self._pay_out(ctx, position, pool, fees)
            ctx.emit(FeesCollected(number, position.owner, *fees))
        inside = self._inside(position, spot)
        return position._replace(inside0=inside[0], inside1=inside[1])

    def _pay_out(self, ctx: Context, position: Position, pool: Pool, amounts: tuple[int, int]) -> None:
        book = self.opened_book(ctx, position.pool, pool)
        self.books.set(position.pool, self.with_reserves(book, (-amounts[0], -amounts[1])))
        self.give_coins(ctx, pool, position.owner, amounts)

    def _change_liquidity(
        self, ctx: Context, position: Position, pool: Pool, change: int, spot: Spot
    ) -> tuple[int, int]:
        """Write both ticks and the liquidity at the price and at this block's copies; returns the growth inside."""
        number, lower, upper = position.pool, position.lower, position.upper
        book = self.opened_book(ctx, number, pool)  # the copies first: they are of the block's beginning
        low = self._change_tick(ctx, number, pool, lower, change, change, spot)
        high = self._change_tick(ctx, number, pool, upper, change, -change, spot)
        inside = inside_growth(spot, lower, upper, low, high)
        if lower <= spot.tick < upper:
            liquidity = spot.liquidity + change
            if liquidity >= MAX_AMOUNT:
                raise LiquidityCapExceeded("2^128 or more at one price")
            self.spots.set(number, spot._replace(liquidity=liquidity))
        start = list(book.start)
        for at in (0, 3):
            if lower <= start[at + 1] < upper:
                start[at + 2] += change
        self.books.set(number, book._replace(start=tuple(start)))
        return inside

    def _change_tick(
        self, ctx: Context, number: int, pool: Pool, tick: int, change: int, net: int, spot: Spot
    ) -> tuple[int, int]:
        """Refer more or less liquidity to a tick; returns the growth outside of it."""
        before = self.tick_states.get((number, tick))
        if before is None:
            # By convention all growth so far was below the tick.
            below = tick <= spot.tick
            before = TickState(0, 0, spot.growth0 if below else 0, spot.growth1 if below else 0)
            self.ticks_of(ctx, number, pool).flip(tick)
        gross = before.gross + change
        if gross > max_liquidity_per_tick(pool.tick_spacing):
            raise LiquidityCapExceeded(f"tick {tick} would carry {gross}")
        outside = (before.outside0 & WORD, before.outside1 & WORD)
        if gross == 0:
            self.tick_states.set((number, tick), None)
            self.ticks_of(ctx, number, pool).flip(tick)
        else:
            self.tick_states.set((number, tick), TickState(gross, before.net + net, *outside))
        return outside
