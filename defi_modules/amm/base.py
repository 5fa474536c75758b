"""What all parts of the module stand on: its collections, and the steps they share."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from defi_modules.amm.pools import Filled, opened, swap
from defi_modules.amm.ticks import StateTicks
from defi_modules.amm.types import (
    CONCENTRATED,
    CURVES,
    STABLE,
    AmmParams,
    Book,
    Candle,
    Observation,
    Pending,
    Pool,
    Position,
    Price,
    Spot,
    SwapDone,
    TickState,
)
from defi_modules.bank.types import Transferred
from ledger.collections import Counter, Map, OrderedMap
from qenex.crypto.address import Address
from qenex.errors import (
    AmountTooLarge,
    DeadlineExpired,
    DenominationNotInPool,
    InsufficientLiquidity,
    InvariantViolated,
    PoolNotFound,
    PoolPaused,
    SameDenomination,
    WrongCurve,
)
from qenex.state_keys import ModuleId
from qenex.types import MAX_AMOUNT, U8, U16, U32, U64, Between, Coin, Length
from vm.context import Context
from vm.module import Module

STABLE_GAS = 300
"""What a stable swap takes beyond one of constant product: roots, twice where the block's copy differs."""
_new = tuple.__new__
TickKey = Annotated[int, Between(-887_272, 887_272)]
IndexKey = Annotated[str, Length(1, 300)]


class Hopped(NamedTuple):
    """One hop as it was filled."""

    account: Address
    denom_in: str
    amount_in: int
    denom_out: str
    amount_out: int


class AmmBase(Module):
    """Collections and shared steps."""

    id = ModuleId.AMM
    name = "amm"
    Params = AmmParams

    pools = OrderedMap[int, Pool](1, key=U64, value=Pool)
    books = Map[int, Book](2, key=U64, value=Book)
    spots = Map[int, Spot](3, key=U64, value=Spot)
    tick_states = Map[tuple[int, int], TickState](4, key=(U64, TickKey), value=TickState)
    words = Map[tuple[int, int, int], int](5, key=(U64, U8, U32), value=int)
    positions = Map[int, Position](6, key=U64, value=Position)
    owned = OrderedMap[tuple[Address, int], int](7, key=(Address, U64), value=U8)
    pending = OrderedMap[tuple[Address, int], Pending](8, key=(Address, U64), value=Pending)
    touched = OrderedMap[int, int](9, key=U64, value=U8)
    prices = Map[int, Price](10, key=U64, value=Price)
    observations = Map[tuple[int, int], Observation](11, key=(U64, U16), value=Observation)
    candles = Map[tuple[int, int, int], Candle](12, key=(U64, U8, U16), value=Candle)
    index = Map[tuple[int, int, str], int](13, key=(U8, U64, IndexKey), value=U64)
    pool_numbers = Counter(14)
    position_numbers = Counter(15)

    # -- reading --------------------------------------------------------------------------

    def pool_of(self, number: int) -> Pool:
        """A pool's terms. Raises PoolNotFound."""
        pool = self.pools.get(number)
        if pool is None:
            raise PoolNotFound(f"there is no pool {number}")
        return pool

    def open_pool(self, number: int, *curves: int) -> Pool:
        """A pool that takes orders, of one of these curves. Raises PoolNotFound, PoolPaused or WrongCurve."""
        pool = self.pool_of(number)
        if pool.paused:
            raise PoolPaused(f"pool {number} is paused")
        return self.of_curve(number, pool, *curves)

    @staticmethod
    def of_curve(number: int, pool: Pool, *curves: int) -> Pool:
        """The pool itself, if it is of one of these curves. Raises WrongCurve."""
        if curves and pool.curve not in curves:
            raise WrongCurve(f"pool {number} is {CURVES[pool.curve]}")
        return pool

    def book_of(self, number: int) -> Book:
        """A pool's books, which every pool has."""
        book = self.books.get(number)
        if book is None:
            raise InvariantViolated(f"pool {number} has no books")
        return book

    def spot_of(self, number: int) -> Spot:
        """Where a concentrated pool stands."""
        spot = self.spots.get(number)
        if spot is None:
            raise InvariantViolated(f"pool {number} stands nowhere")
        return spot

    def ticks_of(self, ctx: Context, number: int, pool: Pool) -> StateTicks:
        """The initialised ticks of a concentrated pool."""
        return StateTicks(self.words, self.tick_states, number, pool.tick_spacing, ctx.gas)

    @staticmethod
    def share_denom(number: int) -> str:
        """Denomination of a pool's shares."""
        return f"amm/{number}"

    @staticmethod
    def coin_index(number: int, pool: Pool, denom: str) -> int:
        """Place of a denomination in the pool. Raises DenominationNotInPool."""
        try:
            return pool.denoms.index(denom)
        except ValueError:
            raise DenominationNotInPool(f"pool {number} holds {', '.join(pool.denoms)}, no {denom}") from None

    # -- shared steps -----------------------------------------------------------------------

    @staticmethod
    def check_deadline(ctx: Context, deadline_s: int) -> None:
        """Raise DeadlineExpired if the block's time is beyond the deadline (absolute seconds)."""
        if ctx.time_s > deadline_s:
            raise DeadlineExpired(f"the deadline was {ctx.time_s - deadline_s} s before this block")

    @staticmethod
    def pay(ctx: Context, source: Address, target: Address, denom: str, amount: int) -> int:
        """Move coins and say so; returns what arrived: less where the token takes a fee of its own from a person."""
        received = ctx.money.transfer(ctx, source, target, denom, amount)
        ctx.emit(_new(Transferred, (source, target, denom, received)))
        return received

    def opened_book(self, ctx: Context, number: int, pool: Pool) -> Book:
        """The pool's books with this block's copies; the first touch of the block notes the pool for its end."""
        book = self.book_of(number)
        if book.height != ctx.height:
            self.touched.set(number, 1)
            book = opened(pool, book, self.spots.get(number), ctx.height)
        return book

    def fill(
        self,
        ctx: Context,
        number: int,
        pool: Pool,
        book: Book,
        denom_in: str,
        denom_out: str,
        amount: int,
        exact_in: bool,
        *,
        height: int = 0,
    ) -> Filled:
        """What a swap would do now, from the pool's terms and books; nothing is written.

        `height` is the block it is for, this one unless given: a quote is for a block that has not begun.
        """
        if denom_in == denom_out:
            raise SameDenomination(f"{denom_in} for itself")
        i, j = self.coin_index(number, pool, denom_in), self.coin_index(number, pool, denom_out)
        curve = pool.curve
        spot = ticks = None
        if curve == CONCENTRATED:
            spot, ticks = self.spot_of(number), self.ticks_of(ctx, number, pool)
        elif min(book.reserves) <= 0:
            raise InsufficientLiquidity(f"pool {number} is empty")
        elif curve == STABLE:
            ctx.gas.use(STABLE_GAS)
        return swap(
            pool, book, spot, ticks, i, j, amount, exact_in,
            height or ctx.height, ctx.time_s, self.params.protocol_share_bps,
        )  # fmt: skip

    def swap_pool(
        self, ctx: Context, number: int, denom_in: str, denom_out: str, amount: int, exact_in: bool
    ) -> Hopped:
        """Swap in one pool and write its records; the coins are the caller's to move."""
        pool, book = self.open_pool(number), self.book_of(number)
        filled = self.fill(ctx, number, pool, book, denom_in, denom_out, amount, exact_in)
        if book.height != ctx.height:
            self.touched.set(number, 1)
        amount_in, amount_out, fee, fee_coin, book, spot, crossings = filled
        if spot is not None:
            if crossings:
                self._cross(number, pool, filled, denom_in)
            self.spots.set(number, spot)
        self.books.set(number, book)
        fee_denom = pool.denoms[fee_coin]
        done = (number, ctx.actor, denom_in, amount_in, denom_out, amount_out, fee_denom, fee)
        ctx.emit(_new(SwapDone, done))
        return _new(Hopped, (pool.account, denom_in, amount_in, denom_out, amount_out))

    def _cross(self, number: int, pool: Pool, filled: Filled, denom_in: str) -> None:
        """Turn the growth outside of every crossed tick to its other side."""
        before = self.spot_of(number)
        first = pool.denoms[0] == denom_in
        for tick, growth in filled.crossings:
            state = self.tick_states.get((number, tick))
            assert state is not None
            growth0 = before.growth0 + (growth if first else 0)
            growth1 = before.growth1 + (0 if first else growth)
            gross, net, outside0, outside1 = state
            turned = TickState(
                gross, net, (growth0 - outside0) & ((1 << 256) - 1), (growth1 - outside1) & ((1 << 256) - 1)
            )
            self.tick_states.set((number, tick), turned)

    def take_coins(self, ctx: Context, pool: Pool, amounts: tuple[int, ...]) -> tuple[Coin, ...]:
        """Coins of the acting account into the pool; returns those above zero."""
        coins = tuple([Coin(d, a) for d, a in zip(pool.denoms, amounts, strict=True) if a])
        for denom, amount in coins:
            self.pay(ctx, ctx.actor, pool.account, denom, amount)
        return coins

    def give_coins(
        self, ctx: Context, pool: Pool, target: Address, amounts: tuple[int, ...]
    ) -> tuple[Coin, ...]:
        """Coins of the pool to an account; returns those above zero."""
        coins = tuple([Coin(d, a) for d, a in zip(pool.denoms, amounts, strict=True) if a])
        for denom, amount in coins:
            self.pay(ctx, pool.account, target, denom, amount)
        return coins

    @staticmethod
    def with_reserves(book: Book, changes: tuple[int, ...], protocol: tuple[int, ...] = ()) -> Book:
        """The book with something added to its reserves (and the protocol's part). Raises AmountTooLarge."""
        reserves = tuple([r + c for r, c in zip(book.reserves, changes, strict=True)])
        if max(reserves) >= MAX_AMOUNT:
            raise AmountTooLarge("a reserve of 2^128 or more")
        if min(reserves) < 0:
            raise InsufficientLiquidity("the pool does not hold that much")
        kept = book.protocol
        if protocol:
            kept = tuple([p + c for p, c in zip(kept, protocol, strict=True)])
        return book._replace(reserves=reserves, protocol=kept)
