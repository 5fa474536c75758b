"""AMM, module 7: pools of three curves, swaps along routes, positions, prices over time."""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any

from defi_modules.amm.concentrated import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    amounts_for_liquidity,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from defi_modules.amm.pools import amplification
from defi_modules.amm.queries import Queries
from defi_modules.amm.shares import LOCKED, Shares
from defi_modules.amm.stableswap import MAX_AMP, MAX_MULTIPLIER, check_curve
from defi_modules.amm.swaps import Swaps
from defi_modules.amm.types import (
    CONCENTRATED,
    CONSTANT_PRODUCT,
    STABLE,
    U256,
    AmplificationRamped,
    Book,
    FeesCollected,
    LiquidityAdded,
    LiquidityRemoved,
    Pool,
    PoolCreated,
    PoolMade,
    PoolPauseSet,
    PositionChanged,
    ProtocolCollected,
    Removed,
    SharesReleased,
    Spot,
    StableSetup,
    SwapDone,
)
from ledger.collections import Map
from qenex.codec import codec_for
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    AmplificationOutOfRange,
    FeeTierNotAllowed,
    InvalidGenesis,
    InvalidPoolSetup,
    InvariantViolated,
    NothingToCollect,
    NotMarketAuthority,
    NotPoolManager,
    PoolExists,
    PriceOutOfRange,
    SameDenomination,
    UnknownDenomination,
)
from qenex.types import U32, U64, Between, Bps, Denom, Length
from vm.context import Context
from vm.module import internal, invariant, message
from vm.registry import check_record

MIN_RAMP_S = 86_400
MAX_RAMP_FACTOR = 10
Decimals = Annotated[int, Between(0, 18)]
STATE = (
    "pools", "books", "spots", "tick_states", "words", "positions", "owned", "pending",
    "prices", "observations", "candles", "index",
)  # fmt: skip
"""Collections that a genesis carries."""


class Amm(Swaps, Shares, Queries):
    """Markets: pools of three curves, swaps along routes, positions, prices over time."""

    events = (
        PoolCreated,
        LiquidityAdded,
        LiquidityRemoved,
        SharesReleased,
        SwapDone,
        PositionChanged,
        FeesCollected,
        ProtocolCollected,
        PoolPauseSet,
        AmplificationRamped,
    )

    # -- pools ------------------------------------------------------------------------------

    @message(gas=850)
    def create_pool(self, ctx: Context, denom_a: Denom, denom_b: Denom, fee_bps: Bps) -> PoolMade:
        """Create a constant-product pool; the first deposit sets its price.

        Args:
            denom_a: one coin.
            denom_b: the other.
            fee_bps: fee in basis points, one that the parameters allow.
        """
        if fee_bps not in self.params.constant_product_fees:
            raise FeeTierNotAllowed(f"{fee_bps} basis points, not among {self.params.constant_product_fees}")
        return self._make(ctx, CONSTANT_PRODUCT, (denom_a, denom_b), fee_bps)

    @message(gas=850)
    def create_concentrated_pool(
        self, ctx: Context, denom_a: Denom, denom_b: Denom, fee_pips: U32, sqrt_price: U256
    ) -> PoolMade:
        """Create a pool of concentrated liquidity at a price.

        Args:
            denom_a: token 0, the lower of the two in ASCII order.
            denom_b: token 1.
            fee_pips: fee in parts of a million, one that the parameters allow; it decides the tick spacing.
            sqrt_price: square root of the price of token 0 in token 1, Q64.96 of base units.
        """
        tiers = dict(self.params.concentrated_tiers)
        if fee_pips not in tiers:
            raise FeeTierNotAllowed(f"{fee_pips} parts of a million, not among {sorted(tiers)}")
        if denom_a > denom_b:
            raise InvalidPoolSetup(
                f"{denom_b} comes before {denom_a} here, and the price the other way round"
            )
        if not MIN_SQRT_PRICE < sqrt_price < MAX_SQRT_PRICE - 1:
            raise PriceOutOfRange(f"a square-root price of {sqrt_price}")
        made = self._make(ctx, CONCENTRATED, (denom_a, denom_b), fee_pips, tick_spacing=tiers[fee_pips])
        self.spots.set(made.pool, Spot(sqrt_price, tick_at_sqrt_price(sqrt_price), 0, 0, 0))
        return made

    @message(gas=850)
    def create_stable_pool(
        self,
        ctx: Context,
        denoms: Annotated[tuple[Denom, ...], Length(2, 4)],
        decimals: Annotated[tuple[Decimals, ...], Length(2, 4)],
        amplification: Annotated[int, Between(1, MAX_AMP)],
        swap_fee: U64,
        fee_multiplier: Annotated[int, Between(0, MAX_MULTIPLIER)],
    ) -> PoolMade:
        """Create a stable pool of 2 to 4 coins that are worth the same. Its creator may ramp the amplification.

        Args:
            denoms: the coins.
            decimals: how many decimals each has, in the same order.
            amplification: A * n^(n-1), as Curve stores it.
            swap_fee: fee in parts of 1e10, at most the parameters' maximum.
            fee_multiplier: how much higher the fee may get as the pool is pulled apart, 1e10 fixed point; 0 for never.
        """
        if swap_fee > self.params.stable_fee_max:
            raise FeeTierNotAllowed(f"{swap_fee} parts of 10^10, at most {self.params.stable_fee_max}")
        if len(decimals) != len(denoms):
            raise InvalidPoolSetup("each coin has its decimals")
        check_curve(len(denoms), amplification, swap_fee, fee_multiplier)
        order = sorted(range(len(denoms)), key=lambda k: denoms[k])
        rates = tuple([10 ** (36 - decimals[k]) for k in order])
        setup = StableSetup(rates, fee_multiplier, amplification, amplification, 0, 0)
        return self._make(ctx, STABLE, denoms, swap_fee, manager=ctx.actor, stable=setup)

    def _make(
        self,
        ctx: Context,
        curve: int,
        denoms: tuple[str, ...],
        swap_fee: int,
        *,
        tick_spacing: int = 0,
        manager: Address | None = None,
        stable: StableSetup | None = None,
    ) -> PoolMade:
        denoms = tuple(sorted(denoms))
        if len(set(denoms)) != len(denoms):
            raise SameDenomination(f"a pool of {' and '.join(denoms)}")
        for denom in denoms:
            if ctx.money.supply(denom) == 0:
                raise UnknownDenomination(f"there is no {denom}")
        key = (curve, swap_fee, " ".join(denoms))
        existing = self.index.get(key)
        if existing is not None:
            raise PoolExists(f"pool {existing} has these coins and this fee")
        number = self.pool_numbers.next()
        account = ctx.money.open_account(ctx, number.to_bytes(8, "big"))
        self.index.set(key, number)
        self.pools.set(number, Pool(curve, denoms, account, swap_fee, tick_spacing, False, manager, stable))
        zeros = (0,) * len(denoms)
        self.books.set(number, Book(zeros, zeros, zeros, 0, ()))
        ctx.emit(PoolCreated(number, curve, denoms, ctx.actor))
        return PoolMade(number)

    @message(gas=350)
    def ramp_amplification(
        self, ctx: Context, pool: U64, amplification: Annotated[int, Between(1, MAX_AMP)], end_s: U64
    ) -> None:
        """Move a stable pool's amplification in a straight line, a day at least and tenfold at most.

        Args:
            pool: the pool's number.
            amplification: where to, A * n^(n-1).
            end_s: when it gets there, seconds since 1970.
        """
        terms = self.of_curve(pool, self.pool_of(pool), STABLE)
        if terms.manager != ctx.actor:
            raise NotPoolManager
        setup = terms.stable
        assert setup is not None
        now = self._amp_now(ctx, setup)
        fast = end_s < ctx.time_s + MIN_RAMP_S or ctx.time_s < setup.ramp_start_s + MIN_RAMP_S
        if fast or amplification > now * MAX_RAMP_FACTOR or amplification * MAX_RAMP_FACTOR < now:
            raise AmplificationOutOfRange(f"from {now} to {amplification} in {end_s - ctx.time_s} s")
        changed = setup._replace(
            amp_from=now, amp_to=amplification, ramp_start_s=ctx.time_s, ramp_end_s=end_s
        )
        self.pools.set(pool, terms._replace(stable=changed))
        ctx.emit(AmplificationRamped(pool, amplification, end_s))

    @staticmethod
    def _amp_now(ctx: Context, setup: StableSetup) -> int:
        return amplification(setup, ctx.time_s)

    @message(gas=900)
    def collect_protocol(self, ctx: Context, pool: U64) -> Removed:
        """Pay the protocol's part of a pool's fees to the treasury. Anybody may ask for it.

        Args:
            pool: the pool's number.
        """
        terms, book = self.pool_of(pool), self.book_of(pool)
        if not any(book.protocol):
            raise NothingToCollect
        treasury = self.params.treasury or module_address("governance")
        self.books.set(pool, book._replace(protocol=(0,) * len(book.protocol)))
        coins = self.give_coins(ctx, terms, treasury, book.protocol)
        ctx.emit(ProtocolCollected(pool, treasury, coins))
        return Removed(coins)

    @message(gas=300, exit=True)
    def set_pool_pause(self, ctx: Context, pool: U64, paused: bool) -> None:
        """Pause a pool or resume it. Only the authority of the parameters; liquidity can always leave.

        Args:
            pool: the pool's number.
            paused: whether it is to be paused.
        """
        if self.params.authority is None or ctx.actor != self.params.authority:
            raise NotMarketAuthority
        self._set_pause(ctx, pool, paused)

    @internal(callers=("governance",), gas=200, exit=True)
    def govern_pool_pause(self, ctx: Context, pool: U64, paused: bool) -> None:
        """Pause a pool or resume it, by governance.

        Args:
            pool: the pool's number.
            paused: whether it is to be paused.
        """
        self._set_pause(ctx, pool, paused)

    def _set_pause(self, ctx: Context, pool: int, paused: bool) -> None:
        self.pools.set(pool, self.pool_of(pool)._replace(paused=paused))
        ctx.emit(PoolPauseSet(pool, paused))

    @internal(callers=("oracle", "lending"), gas=2_000, exit=True)
    def get_mean_price(
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

    # -- blocks -----------------------------------------------------------------------------

    def end_block(self, ctx: Context) -> None:
        """Hand out shares and write down prices, at most `hook_items` of each; the rest waits."""
        limit = self.params.hook_items
        self.release_due(ctx, limit)
        self.observe_due(ctx, limit)

    # -- invariants ---------------------------------------------------------------------------

    @invariant(each="books")
    def books_are_covered(self, ctx: Context, key: int, old: Book | None, new: Book | None) -> None:
        """A pool's account holds what its books say, reserves and the protocol's part."""
        pool = self.pool_of(key)
        assert new is not None
        balance = ctx.money.balance
        for denom, reserve, kept in zip(pool.denoms, new.reserves, new.protocol, strict=True):
            if balance(pool.account, denom) < reserve + kept:
                raise InvariantViolated(
                    f"pool {key} has {reserve + kept} {denom} in its books and less in its account"
                )

    @invariant()
    def pools_add_up(self, ctx: Context) -> None:
        """Every pool: books covered, shares for reserves, deposits that wait covered."""
        waiting: dict[int, int] = {}
        for (_, number), pending in self.pending.scan():
            waiting[number] = waiting.get(number, 0) + pending.shares
        for number, pool in self.pools.scan():
            book = self.book_of(number)
            self.books_are_covered(ctx, number, None, book)
            if pool.curve == CONCENTRATED:
                continue
            denom = self.share_denom(number)
            shares = ctx.money.supply(denom)
            if bool(shares) != any(book.reserves) or (shares and min(book.reserves) <= 0):
                raise InvariantViolated(f"pool {number} has {shares} shares of reserves {book.reserves}")
            held = ctx.money.balance(pool.account, denom)
            if shares and held < LOCKED + waiting.get(number, 0):
                raise InvariantViolated(
                    f"pool {number} holds {held} of its shares, fewer than are locked or wait"
                )

    @invariant()
    def ticks_add_up(self, ctx: Context) -> None:
        """Concentrated pools: ticks and liquidity are those of the positions, whose claims the reserves cover."""
        ticks: dict[tuple[int, int], list[int]] = {}
        claims: dict[int, list[int]] = {}
        active: dict[int, int] = {}
        for number, held in self.positions.scan():
            spot = self.spot_of(held.pool)
            for tick, sign in ((held.lower, 1), (held.upper, -1)):
                entry = ticks.setdefault((held.pool, tick), [0, 0])
                entry[0] += held.liquidity
                entry[1] += sign * held.liquidity
            if held.lower <= spot.tick < held.upper:
                active[held.pool] = active.get(held.pool, 0) + held.liquidity
            pa, pb = sqrt_price_at_tick(held.lower), sqrt_price_at_tick(held.upper)
            amounts = amounts_for_liquidity(spot.sqrt_price, pa, pb, held.liquidity, False)
            fees = self._fees(held, spot)
            claim = claims.setdefault(held.pool, [0, 0])
            claim[0] += amounts[0] + fees[0]
            claim[1] += amounts[1] + fees[1]
            if self.owned.get((held.owner, number)) is None:
                raise InvariantViolated(f"position {number} is missing from its owner's list")
        stored = {key: [state.gross, state.net] for key, state in self.tick_states.scan()}
        if stored != ticks:
            raise InvariantViolated("the ticks do not carry the liquidity of the positions")
        for number, spot in self.spots.scan():
            if spot.liquidity != active.get(number, 0):
                raise InvariantViolated(
                    f"pool {number} has liquidity {spot.liquidity}, its positions {active.get(number, 0)}"
                )
            book = self.book_of(number)
            for reserve, claim_of in zip(book.reserves, claims.get(number, [0, 0]), strict=True):
                if claim_of > reserve:
                    raise InvariantViolated(f"pool {number} owes {claim_of} of a reserve of {reserve}")

    # -- genesis ------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{collection: [[key, value], ...], "pool_numbers", "position_numbers"}`, as exported."""
        numbers = ("pool_numbers", "position_numbers")
        unknown = sorted(set(data) - {*STATE, *numbers})
        if unknown:
            raise InvalidGenesis(f"modules.amm knows no {', '.join(unknown)[:80]}")
        for name in STATE:
            entries = data.get(name, [])
            if not isinstance(entries, list):
                raise InvalidGenesis(f"modules.amm.{name} is a list of [key, value]")
            collection: Map[Any, Any] = getattr(self, name)
            codec = codec_for(_entry_hint(collection))
            for at, entry in enumerate(entries):
                where = f"modules.amm.{name}[{at}]"
                key, value = check_record(codec, entry, InvalidGenesis, where)
                if collection.get(key) is not None:
                    raise InvalidGenesis(f"{where}: a second entry with this key")
                collection.set(key, value)
        for name in numbers:
            last = check_record(codec_for(U64), data.get(name, 0), InvalidGenesis, f"modules.amm.{name}")
            counter = getattr(self, name)
            if last:
                counter.state.set(counter.prefix, last)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        data: dict[str, Any] = {}
        for name in STATE:
            collection: Map[Any, Any] = getattr(self, name)
            codec = codec_for(_entry_hint(collection))
            data[name] = [codec.to_json(entry, "qx") for entry in collection.scan()]
        data["pool_numbers"] = self.pool_numbers.last()
        data["position_numbers"] = self.position_numbers.last()
        return data


def _entry_hint(collection: Map[Any, Any]) -> Any:
    """Type of a key with its value, as a genesis lists them."""
    key = collection.key_hint
    key_type: Any = GenericAlias(tuple, key) if isinstance(key, tuple) else key
    return GenericAlias(tuple, (key_type, collection.value_hint))
