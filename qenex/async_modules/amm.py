# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `amm`, for asyncio."""

from __future__ import annotations

from typing import Annotated, Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, CoinLike
from qenex.codec import Reference
from qenex.modules.amm import (
    ADD_LIQUIDITY,
    COLLECT,
    COLLECT_PROTOCOL,
    CREATE_CONCENTRATED_POOL,
    CREATE_POOL,
    CREATE_STABLE_POOL,
    DECREASE_POSITION,
    FIND_ROUTE,
    FIND_ROUTE_OUT,
    FLASH_SWAP,
    GET_AVERAGE_PRICE,
    GET_CANDLES,
    GET_POOL,
    GET_POSITION,
    GET_STATISTICS,
    INCREASE_POSITION,
    LIST_POOLS,
    LIST_POSITIONS,
    OPEN_POSITION,
    QUOTE,
    QUOTE_OUT,
    QUOTE_PATH,
    RAMP_AMPLIFICATION,
    RELEASE_SHARES,
    REMOVE_LIQUIDITY,
    REMOVE_ONE,
    SET_POOL_PAUSE,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
    SWAP_SPLIT,
    Added,
    CandlePage,
    Hop,
    Leg,
    PoolMade,
    PoolPage,
    PoolView,
    PositionMade,
    PositionPage,
    PositionPaid,
    PositionView,
    Quote,
    Removed,
    RouteQuote,
    Statistics,
    Swapped,
)
from qenex.types import QXC, Between, Coin, Denom, Unsigned
from qenex.wallet import Wallet


class AsyncAmm(AsyncModuleFace):
    """Markets: pools of three curves, swaps along routes, positions, prices over time."""

    async def add_liquidity(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        maximum: tuple[Coin, ...] | Reference,
        minimum_shares: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Added]:
        """Deposit coins for shares of the pool, denomination `amm/POOL`, handed out at the end of the
        block.

        A constant-product pool takes both coins in its proportion, at most what is offered; of one coin
        alone
        it swaps a part first. A stable pool takes all that is offered, in any proportion, for a fee on
        what
        makes it lopsided. 1,000 shares of the first deposit stay locked.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            maximum: the coins offered.
            minimum_shares: the least shares to receive; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            ADD_LIQUIDITY,
            {"pool": pool, "maximum": maximum, "minimum_shares": minimum_shares, "deadline_s": deadline_s},
            options,
        )

    async def collect(
        self, wallet: Wallet, *, position: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[PositionPaid]:
        """Pay out the fees that a position has earned. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
        """
        return await self._send(wallet, COLLECT, {"position": position}, options)

    async def collect_protocol(
        self, wallet: Wallet, *, pool: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Removed]:
        """Pay the protocol's part of a pool's fees to the treasury. Anybody may ask for it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
        """
        return await self._send(wallet, COLLECT_PROTOCOL, {"pool": pool}, options)

    async def create_concentrated_pool(
        self,
        wallet: Wallet,
        *,
        denom_a: str | Reference,
        denom_b: str | Reference,
        fee_pips: int | Reference,
        sqrt_price: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PoolMade]:
        """Create a pool of concentrated liquidity at a price.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_a: token 0, the lower of the two in ASCII order.
            denom_b: token 1.
            fee_pips: fee in parts of a million, one that the parameters allow; it decides the tick
                spacing.
            sqrt_price: square root of the price of token 0 in token 1, Q64.96 of base units.
        """
        return await self._send(
            wallet,
            CREATE_CONCENTRATED_POOL,
            {"denom_a": denom_a, "denom_b": denom_b, "fee_pips": fee_pips, "sqrt_price": sqrt_price},
            options,
        )

    async def create_pool(
        self,
        wallet: Wallet,
        *,
        denom_a: str | Reference,
        denom_b: str | Reference,
        fee_bps: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PoolMade]:
        """Create a constant-product pool; the first deposit sets its price.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_a: one coin.
            denom_b: the other.
            fee_bps: fee in basis points, one that the parameters allow.
        """
        return await self._send(
            wallet, CREATE_POOL, {"denom_a": denom_a, "denom_b": denom_b, "fee_bps": fee_bps}, options
        )

    async def create_stable_pool(
        self,
        wallet: Wallet,
        *,
        denoms: tuple[Denom, ...] | Reference,
        decimals: tuple[Annotated[int, Between(0, 18)], ...] | Reference,
        amplification: int | Reference,
        swap_fee: int | Reference,
        fee_multiplier: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PoolMade]:
        """Create a stable pool of 2 to 4 coins that are worth the same. Its creator may ramp the
        amplification.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denoms: the coins.
            decimals: how many decimals each has, in the same order.
            amplification: A * n^(n-1), as Curve stores it.
            swap_fee: fee in parts of 1e10, at most the parameters' maximum.
            fee_multiplier: how much higher the fee may get as the pool is pulled apart, 1e10 fixed
                point; 0 for never.
        """
        return await self._send(
            wallet,
            CREATE_STABLE_POOL,
            {
                "denoms": denoms,
                "decimals": decimals,
                "amplification": amplification,
                "swap_fee": swap_fee,
                "fee_multiplier": fee_multiplier,
            },
            options,
        )

    async def decrease_position(
        self,
        wallet: Wallet,
        *,
        position: int | Reference,
        liquidity: AmountLike,
        minimum: tuple[Coin, ...] | Reference,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PositionPaid]:
        """Take liquidity out of a position, with all its fees. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
            liquidity: how much of it; all of it closes the position.
            minimum: the least to receive, of each coin that the liquidity holds.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            DECREASE_POSITION,
            {"position": position, "liquidity": liquidity, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    async def flash_swap(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        path: tuple[Hop, ...] | Reference,
        amount_out: AmountLike,
        maximum_in: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Swapped]:
        """Receive an exact output now and owe the input until the end of the transaction.

        What is bought can pay for it: an arbitrage in one transaction needs no coins of its own. If the
        debt is not covered at the end, nothing has happened.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_in: what is owed.
            path: one pool, with the denomination that it pays.
            amount_out: what is received, base units.
            maximum_in: the most to owe, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            FLASH_SWAP,
            {
                "denom_in": denom_in,
                "path": path,
                "amount_out": amount_out,
                "maximum_in": maximum_in,
                "deadline_s": deadline_s,
            },
            options,
        )

    async def increase_position(
        self,
        wallet: Wallet,
        *,
        position: int | Reference,
        maximum: tuple[Coin, ...] | Reference,
        minimum_liquidity: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PositionMade]:
        """Add liquidity to a position; the fees earned so far are paid out.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
            maximum: the coins offered; at most that is taken.
            minimum_liquidity: the least liquidity to get for it; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            INCREASE_POSITION,
            {
                "position": position,
                "maximum": maximum,
                "minimum_liquidity": minimum_liquidity,
                "deadline_s": deadline_s,
            },
            options,
        )

    async def open_position(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        lower: int | Reference,
        upper: int | Reference,
        maximum: tuple[Coin, ...] | Reference,
        minimum_liquidity: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[PositionMade]:
        """Provide liquidity between two ticks; with one spacing between them it is much like a limit
        order.

        A range beside the price takes one coin only, and is swapped into the other as the price passes
        through.
        It can be taken out again from the next block on.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            lower: lower tick, a multiple of the pool's spacing.
            upper: upper tick, a multiple of the pool's spacing.
            maximum: the coins offered; at most that is taken.
            minimum_liquidity: the least liquidity to get for it; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            OPEN_POSITION,
            {
                "pool": pool,
                "lower": lower,
                "upper": upper,
                "maximum": maximum,
                "minimum_liquidity": minimum_liquidity,
                "deadline_s": deadline_s,
            },
            options,
        )

    async def ramp_amplification(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        amplification: int | Reference,
        end_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Move a stable pool's amplification in a straight line, a day at least and tenfold at most.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            amplification: where to, A * n^(n-1).
            end_s: when it gets there, seconds since 1970.
        """
        return await self._send(
            wallet,
            RAMP_AMPLIFICATION,
            {"pool": pool, "amplification": amplification, "end_s": end_s},
            options,
        )

    async def release_shares(
        self, wallet: Wallet, *, pool: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Added]:
        """Hand out shares of an earlier block's deposit: needed only if the module was paused in between.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
        """
        return await self._send(wallet, RELEASE_SHARES, {"pool": pool}, options)

    async def remove_liquidity(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        shares: AmountLike,
        minimum: tuple[Coin, ...] | Reference,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Removed]:
        """Redeem shares for their part of every coin of the pool. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: the least to receive of every coin, each above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            REMOVE_LIQUIDITY,
            {"pool": pool, "shares": shares, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    async def remove_one(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        shares: AmountLike,
        minimum: CoinLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Removed]:
        """Redeem shares of a stable pool for one coin alone, for a fee on what makes it lopsided.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: which coin, and the least to receive; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            REMOVE_ONE,
            {"pool": pool, "shares": shares, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    async def set_pool_pause(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        paused: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Pause a pool or resume it. Only the authority of the parameters; liquidity can always leave.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            paused: whether it is to be paused.
        """
        return await self._send(wallet, SET_POOL_PAUSE, {"pool": pool, "paused": paused}, options)

    async def swap_exact_in(
        self,
        wallet: Wallet,
        *,
        amount_in: CoinLike,
        path: tuple[Hop, ...] | Reference,
        minimum_out: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Swapped]:
        """Swap an exact input along a route of up to 4 pools.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            minimum_out: the least to receive of the last denomination, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            SWAP_EXACT_IN,
            {"amount_in": amount_in, "path": path, "minimum_out": minimum_out, "deadline_s": deadline_s},
            options,
        )

    async def swap_exact_out(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        path: tuple[Hop, ...] | Reference,
        amount_out: AmountLike,
        maximum_in: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Swapped]:
        """Swap for an exact output along a route of up to 4 pools.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            amount_out: what is received of the last denomination, base units.
            maximum_in: the most to pay, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            SWAP_EXACT_OUT,
            {
                "denom_in": denom_in,
                "path": path,
                "amount_out": amount_out,
                "maximum_in": maximum_in,
                "deadline_s": deadline_s,
            },
            options,
        )

    async def swap_split(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        legs: tuple[Leg, ...] | Reference,
        minimum_out: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Swapped]:
        """Swap parts of an input along several routes to one denomination.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_in: what is paid.
            legs: how much goes along which pools; all end in the same denomination.
            minimum_out: the least to receive in all, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return await self._send(
            wallet,
            SWAP_SPLIT,
            {"denom_in": denom_in, "legs": legs, "minimum_out": minimum_out, "deadline_s": deadline_s},
            options,
        )

    async def find_route(
        self, amount_in: CoinLike, denom_out: str = QXC, *, at: At | None = None
    ) -> RouteQuote:
        """The best way found from one coin to another, through up to 4 pools, split where it pays.

        `at` is a height, the latest one unless given.

        Args:
            amount_in: what would be paid.
            denom_out: what would be received.
        """
        answer: RouteQuote = await self._query(
            FIND_ROUTE, {"amount_in": amount_in, "denom_out": denom_out}, at
        )
        return answer

    async def find_route_out(
        self, denom_in: str, amount_out: CoinLike, *, at: At | None = None
    ) -> RouteQuote:
        """The cheapest way found for an exact output, through up to 4 pools.

        `at` is a height, the latest one unless given.

        Args:
            denom_in: what would be paid.
            amount_out: what would be received.
        """
        answer: RouteQuote = await self._query(
            FIND_ROUTE_OUT, {"denom_in": denom_in, "amount_out": amount_out}, at
        )
        return answer

    async def get_average_price(
        self, pool: int, denom: str, quote_denom: str, window_s: int, *, at: At | None = None
    ) -> Annotated[int, Unsigned(bits=256)]:
        """Mean price of one coin in another over a time that ends now, Q96 of base units, from ends of
        blocks.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            denom: what is priced; it or the other is the pool's first coin.
            quote_denom: in what.
            window_s: seconds.
        """
        answer: Annotated[int, Unsigned(bits=256)] = await self._query(
            GET_AVERAGE_PRICE,
            {"pool": pool, "denom": denom, "quote_denom": quote_denom, "window_s": window_s},
            at,
        )
        return answer

    async def get_candles(
        self, pool: int, resolution: int, limit: int | None = None, *, at: At | None = None
    ) -> CandlePage:
        """The newest candles of a pool, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            resolution: 0 for five minutes (a day is kept), 1 for hours (30 days).
            limit: how many, 100 unless given.
        """
        answer: CandlePage = await self._query(
            GET_CANDLES, {"pool": pool, "resolution": resolution, "limit": limit}, at
        )
        return answer

    async def get_pool(self, pool: int, *, at: At | None = None) -> PoolView:
        """A pool: its terms, what it holds, where it stands.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
        """
        answer: PoolView = await self._query(GET_POOL, {"pool": pool}, at)
        return answer

    async def get_position(self, position: int, *, at: At | None = None) -> PositionView:
        """A position, and what it would pay now.

        `at` is a height, the latest one unless given.

        Args:
            position: its number.
        """
        answer: PositionView = await self._query(GET_POSITION, {"position": position}, at)
        return answer

    async def get_statistics(self, pool: int, *, at: At | None = None) -> Statistics:
        """A pool in figures: price, reserves, volumes; and dust, what its account holds beyond its books.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
        """
        answer: Statistics = await self._query(GET_STATISTICS, {"pool": pool}, at)
        return answer

    async def list_pools(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> PoolPage:
        """All pools, by number.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PoolPage = await self._query(LIST_POOLS, {"limit": limit, "cursor": cursor}, at)
        return answer

    async def list_positions(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> PositionPage:
        """The positions of an account, by number.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PositionPage = await self._query(
            LIST_POSITIONS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    async def quote(
        self, pool: int, amount_in: CoinLike, denom_out: str | None = None, *, at: At | None = None
    ) -> Quote:
        """What one pool would pay for an input in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            amount_in: what would be paid.
            denom_out: what would be received; may be left out where the pool has two coins.
        """
        answer: Quote = await self._query(
            QUOTE, {"pool": pool, "amount_in": amount_in, "denom_out": denom_out}, at
        )
        return answer

    async def quote_out(
        self, pool: int, amount_out: CoinLike, denom_in: str | None = None, *, at: At | None = None
    ) -> Quote:
        """What one pool would ask for an output in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            amount_out: what would be received.
            denom_in: what would be paid; may be left out where the pool has two coins.
        """
        answer: Quote = await self._query(
            QUOTE_OUT, {"pool": pool, "amount_out": amount_out, "denom_in": denom_in}, at
        )
        return answer

    async def quote_path(
        self, amount_in: CoinLike, path: tuple[Hop, ...], *, at: At | None = None
    ) -> RouteQuote:
        """What a route of one's own would pay for an input in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            amount_in: what would be paid.
            path: the pools in order, each with the denomination that it pays.
        """
        answer: RouteQuote = await self._query(QUOTE_PATH, {"amount_in": amount_in, "path": path}, at)
        return answer
