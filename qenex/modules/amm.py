# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `amm`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import QXC, U8, U16, U32, U64, Amount, Between, Bps, Coin, Denom, Length, Unsigned
from qenex.wallet import Wallet


class Added(NamedTuple):
    """Shares of a deposit, and what they cost."""

    shares: Amount
    paid: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionPaid(NamedTuple):
    """What a position paid out in the pool's two coins, fees included."""

    amount0: Amount
    amount1: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Removed(NamedTuple):
    """What shares redeemed for."""

    paid: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PoolMade(NamedTuple):
    """The number of a new pool."""

    pool: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Hop(NamedTuple):
    """One pool of a route, and the denomination that it pays."""

    pool: U64
    denom: Denom

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Swapped(NamedTuple):
    """What a swap took and paid, whole routes included; `received` is what arrived, for a later message to
    use.
    """

    amount_in: Amount
    amount_out: Amount
    received: Coin

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionMade(NamedTuple):
    """A position's number, the liquidity added, and its cost in the pool's two coins."""

    position: U64
    liquidity: Amount
    amount0: Amount
    amount1: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Leg(NamedTuple):
    """A part of a split swap: how much of the input goes along which pools."""

    amount: Amount
    path: Annotated[tuple[Hop, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class RouteQuote(NamedTuple):
    """The best way found: how much goes along which pools, what all of it takes and pays, and the price
    impact.
    """

    legs: Annotated[tuple[Leg, ...], Length(1, 4)]
    amount_in: Amount
    amount_out: Amount
    price_impact_bps: Bps

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class CandleView(NamedTuple):
    """A candle: prices of coin 0 in coin 1 as Q96 of base units, at ends of blocks; inputs by coin."""

    start_s: U64
    open: Annotated[int, Unsigned(bits=256)]
    high: Annotated[int, Unsigned(bits=256)]
    low: Annotated[int, Unsigned(bits=256)]
    close: Annotated[int, Unsigned(bits=256)]
    volumes: Annotated[tuple[Annotated[int, Unsigned(bits=256)], ...], Length(2, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class CandlePage(NamedTuple):
    """Candles, oldest first, of those that are kept."""

    items: tuple[CandleView, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PoolView(NamedTuple):
    """A pool as queries tell it; fields that its curve does not have are 0."""

    pool: U64
    curve: U8
    denoms: Annotated[tuple[Denom, ...], Length(2, 4)]
    account: Address
    swap_fee: U64
    paused: bool
    manager: Address | None
    reserves: Annotated[tuple[Amount, ...], Length(2, 4)]
    protocol: Annotated[tuple[Amount, ...], Length(2, 4)]
    shares: Amount
    amplification: U32
    sqrt_price: Annotated[int, Unsigned(bits=256)]
    tick: Annotated[int, Between(-887272, 887272)]
    tick_spacing: U16
    liquidity: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionView(NamedTuple):
    """A position and what it would pay now: `amount...` of liquidity, `fees...` beside it."""

    position: U64
    owner: Address
    pool: U64
    lower: Annotated[int, Between(-887272, 887272)]
    upper: Annotated[int, Between(-887272, 887272)]
    liquidity: Amount
    amount0: Amount
    amount1: Amount
    fees0: Amount
    fees1: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Statistics(NamedTuple):
    """A pool in figures: price of coin 0 in coin 1 (Q96), reserves, inputs ever and in the last 24 hours."""

    price: Annotated[int, Unsigned(bits=256)]
    reserves: Annotated[tuple[Amount, ...], Length(2, 4)]
    volumes: Annotated[tuple[Annotated[int, Unsigned(bits=256)], ...], Length(2, 4)]
    volumes_day: Annotated[tuple[Annotated[int, Unsigned(bits=256)], ...], Length(2, 4)]
    dust: Annotated[tuple[Amount, ...], Length(2, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PoolPage(NamedTuple):
    """Part of the pools, by number; `next_cursor` continues, if there is more."""

    items: tuple[PoolView, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionPage(NamedTuple):
    """Part of an account's positions, by number; `next_cursor` continues, if there is more."""

    items: tuple[PositionView, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Quote(NamedTuple):
    """What a swap would take and pay now, its fee (in `fee_denom`), and its distance from the present
    price.
    """

    amount_in: Amount
    amount_out: Amount
    fee_denom: Denom
    fee_amount: Amount
    price_impact_bps: Bps

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PoolCreated(NamedTuple):
    """A pool was made; `curve` 1 constant product, 2 stable, 3 concentrated."""

    pool: U64
    curve: U8
    denoms: Annotated[tuple[Denom, ...], Length(2, 4)]
    creator: Address

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LiquidityAdded(NamedTuple):
    """`shares` were minted for `paid`; `provider` gets them at the end of the block."""

    pool: U64
    provider: Address
    shares: Amount
    paid: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LiquidityRemoved(NamedTuple):
    """`shares` were burned for `paid`."""

    pool: U64
    provider: Address
    shares: Amount
    paid: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class SharesReleased(NamedTuple):
    """Shares of a deposit were handed out."""

    pool: U64
    provider: Address
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class SwapDone(NamedTuple):
    """A pool took `amount_in` and paid `amount_out`; `fee_amount` of `fee_denom` stayed with providers and
    protocol.
    """

    pool: U64
    trader: Address
    denom_in: Denom
    amount_in: Amount
    denom_out: Denom
    amount_out: Amount
    fee_denom: Denom
    fee_amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionChanged(NamedTuple):
    """A position has `liquidity` now."""

    position: U64
    pool: U64
    owner: Address
    liquidity: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FeesCollected(NamedTuple):
    """A position's fees were paid."""

    position: U64
    owner: Address
    amount0: Amount
    amount1: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProtocolCollected(NamedTuple):
    """The protocol's part of a pool's fees was paid to the treasury."""

    pool: U64
    treasury: Address
    paid: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PoolPauseSet(NamedTuple):
    """A pool was paused or resumed."""

    pool: U64
    paused: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class AmplificationRamped(NamedTuple):
    """A stable pool's amp moves to `amplification` until `end_s`."""

    pool: U64
    amplification: U32
    end_s: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


ADD_LIQUIDITY = MessageFace(
    "amm.add_liquidity",
    (
        ("pool", U64),
        ("maximum", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("minimum_shares", Amount),
        ("deadline_s", U64),
    ),
    Added,
)

COLLECT = MessageFace(
    "amm.collect",
    (("position", U64),),
    PositionPaid,
)

COLLECT_PROTOCOL = MessageFace(
    "amm.collect_protocol",
    (("pool", U64),),
    Removed,
)

CREATE_CONCENTRATED_POOL = MessageFace(
    "amm.create_concentrated_pool",
    (
        ("denom_a", Denom),
        ("denom_b", Denom),
        ("fee_pips", U32),
        ("sqrt_price", Annotated[int, Unsigned(bits=256)]),
    ),
    PoolMade,
)

CREATE_POOL = MessageFace(
    "amm.create_pool",
    (
        ("denom_a", Denom),
        ("denom_b", Denom),
        ("fee_bps", Bps),
    ),
    PoolMade,
)

CREATE_STABLE_POOL = MessageFace(
    "amm.create_stable_pool",
    (
        ("denoms", Annotated[tuple[Denom, ...], Length(2, 4)]),
        ("decimals", Annotated[tuple[Annotated[int, Between(0, 18)], ...], Length(2, 4)]),
        ("amplification", Annotated[int, Between(1, 1000000)]),
        ("swap_fee", U64),
        ("fee_multiplier", Annotated[int, Between(0, 50000000000)]),
    ),
    PoolMade,
)

DECREASE_POSITION = MessageFace(
    "amm.decrease_position",
    (
        ("position", U64),
        ("liquidity", Amount),
        ("minimum", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("deadline_s", U64),
    ),
    PositionPaid,
)

FLASH_SWAP = MessageFace(
    "amm.flash_swap",
    (
        ("denom_in", Denom),
        ("path", Annotated[tuple[Hop, ...], Length(1, 4)]),
        ("amount_out", Amount),
        ("maximum_in", Amount),
        ("deadline_s", U64),
    ),
    Swapped,
)

INCREASE_POSITION = MessageFace(
    "amm.increase_position",
    (
        ("position", U64),
        ("maximum", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("minimum_liquidity", Amount),
        ("deadline_s", U64),
    ),
    PositionMade,
)

OPEN_POSITION = MessageFace(
    "amm.open_position",
    (
        ("pool", U64),
        ("lower", Annotated[int, Between(-887272, 887272)]),
        ("upper", Annotated[int, Between(-887272, 887272)]),
        ("maximum", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("minimum_liquidity", Amount),
        ("deadline_s", U64),
    ),
    PositionMade,
)

RAMP_AMPLIFICATION = MessageFace(
    "amm.ramp_amplification",
    (
        ("pool", U64),
        ("amplification", Annotated[int, Between(1, 1000000)]),
        ("end_s", U64),
    ),
    None,
)

RELEASE_SHARES = MessageFace(
    "amm.release_shares",
    (("pool", U64),),
    Added,
)

REMOVE_LIQUIDITY = MessageFace(
    "amm.remove_liquidity",
    (
        ("pool", U64),
        ("shares", Amount),
        ("minimum", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("deadline_s", U64),
    ),
    Removed,
)

REMOVE_ONE = MessageFace(
    "amm.remove_one",
    (
        ("pool", U64),
        ("shares", Amount),
        ("minimum", Coin),
        ("deadline_s", U64),
    ),
    Removed,
)

SET_POOL_PAUSE = MessageFace(
    "amm.set_pool_pause",
    (
        ("pool", U64),
        ("paused", bool),
    ),
    None,
)

SWAP_EXACT_IN = MessageFace(
    "amm.swap_exact_in",
    (
        ("amount_in", Coin),
        ("path", Annotated[tuple[Hop, ...], Length(1, 4)]),
        ("minimum_out", Amount),
        ("deadline_s", U64),
    ),
    Swapped,
)

SWAP_EXACT_OUT = MessageFace(
    "amm.swap_exact_out",
    (
        ("denom_in", Denom),
        ("path", Annotated[tuple[Hop, ...], Length(1, 4)]),
        ("amount_out", Amount),
        ("maximum_in", Amount),
        ("deadline_s", U64),
    ),
    Swapped,
)

SWAP_SPLIT = MessageFace(
    "amm.swap_split",
    (
        ("denom_in", Denom),
        ("legs", Annotated[tuple[Leg, ...], Length(1, 4)]),
        ("minimum_out", Amount),
        ("deadline_s", U64),
    ),
    Swapped,
)

FIND_ROUTE = QueryFace(
    "amm_findRoute",
    (
        ("amount_in", Coin),
        ("denom_out", Denom),
    ),
    RouteQuote,
)

FIND_ROUTE_OUT = QueryFace(
    "amm_findRouteOut",
    (
        ("denom_in", Denom),
        ("amount_out", Coin),
    ),
    RouteQuote,
)

GET_AVERAGE_PRICE = QueryFace(
    "amm_getAveragePrice",
    (
        ("pool", U64),
        ("denom", Denom),
        ("quote_denom", Denom),
        ("window_s", U32),
    ),
    Annotated[int, Unsigned(bits=256)],
)

GET_CANDLES = QueryFace(
    "amm_getCandles",
    (
        ("pool", U64),
        ("resolution", Annotated[int, Between(0, 1)]),
        ("limit", Annotated[int, Between(1, 1000)] | None),
    ),
    CandlePage,
)

GET_POOL = QueryFace(
    "amm_getPool",
    (("pool", U64),),
    PoolView,
)

GET_POSITION = QueryFace(
    "amm_getPosition",
    (("position", U64),),
    PositionView,
)

GET_STATISTICS = QueryFace(
    "amm_getStatistics",
    (("pool", U64),),
    Statistics,
)

LIST_POOLS = QueryFace(
    "amm_listPools",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    PoolPage,
)

LIST_POSITIONS = QueryFace(
    "amm_listPositions",
    (
        ("address", Address),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    PositionPage,
)

QUOTE = QueryFace(
    "amm_quote",
    (
        ("pool", U64),
        ("amount_in", Coin),
        ("denom_out", Denom | None),
    ),
    Quote,
)

QUOTE_OUT = QueryFace(
    "amm_quoteOut",
    (
        ("pool", U64),
        ("amount_out", Coin),
        ("denom_in", Denom | None),
    ),
    Quote,
)

QUOTE_PATH = QueryFace(
    "amm_quotePath",
    (
        ("amount_in", Coin),
        ("path", Annotated[tuple[Hop, ...], Length(1, 4)]),
    ),
    RouteQuote,
)

MESSAGES: tuple[MessageFace, ...] = (
    ADD_LIQUIDITY,
    COLLECT,
    COLLECT_PROTOCOL,
    CREATE_CONCENTRATED_POOL,
    CREATE_POOL,
    CREATE_STABLE_POOL,
    DECREASE_POSITION,
    FLASH_SWAP,
    INCREASE_POSITION,
    OPEN_POSITION,
    RAMP_AMPLIFICATION,
    RELEASE_SHARES,
    REMOVE_LIQUIDITY,
    REMOVE_ONE,
    SET_POOL_PAUSE,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
    SWAP_SPLIT,
)

QUERIES: tuple[QueryFace, ...] = (
    FIND_ROUTE,
    FIND_ROUTE_OUT,
    GET_AVERAGE_PRICE,
    GET_CANDLES,
    GET_POOL,
    GET_POSITION,
    GET_STATISTICS,
    LIST_POOLS,
    LIST_POSITIONS,
    QUOTE,
    QUOTE_OUT,
    QUOTE_PATH,
)

EVENTS: dict[str, type] = {
    "amm.pool_created": PoolCreated,
    "amm.liquidity_added": LiquidityAdded,
    "amm.liquidity_removed": LiquidityRemoved,
    "amm.shares_released": SharesReleased,
    "amm.swap_done": SwapDone,
    "amm.position_changed": PositionChanged,
    "amm.fees_collected": FeesCollected,
    "amm.protocol_collected": ProtocolCollected,
    "amm.pool_pause_set": PoolPauseSet,
    "amm.amplification_ramped": AmplificationRamped,
}


class Amm(ModuleFace):
    """Markets: pools of three curves, swaps along routes, positions, prices over time."""

    def add_liquidity(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        maximum: tuple[Coin, ...] | Reference,
        minimum_shares: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Added]:
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
        return self._send(
            wallet,
            ADD_LIQUIDITY,
            {"pool": pool, "maximum": maximum, "minimum_shares": minimum_shares, "deadline_s": deadline_s},
            options,
        )

    def collect(
        self, wallet: Wallet, *, position: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[PositionPaid]:
        """Pay out the fees that a position has earned. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
        """
        return self._send(wallet, COLLECT, {"position": position}, options)

    def collect_protocol(
        self, wallet: Wallet, *, pool: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Removed]:
        """Pay the protocol's part of a pool's fees to the treasury. Anybody may ask for it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
        """
        return self._send(wallet, COLLECT_PROTOCOL, {"pool": pool}, options)

    def create_concentrated_pool(
        self,
        wallet: Wallet,
        *,
        denom_a: str | Reference,
        denom_b: str | Reference,
        fee_pips: int | Reference,
        sqrt_price: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[PoolMade]:
        """Create a pool of concentrated liquidity at a price.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_a: token 0, the lower of the two in ASCII order.
            denom_b: token 1.
            fee_pips: fee in parts of a million, one that the parameters allow; it decides the tick
                spacing.
            sqrt_price: square root of the price of token 0 in token 1, Q64.96 of base units.
        """
        return self._send(
            wallet,
            CREATE_CONCENTRATED_POOL,
            {"denom_a": denom_a, "denom_b": denom_b, "fee_pips": fee_pips, "sqrt_price": sqrt_price},
            options,
        )

    def create_pool(
        self,
        wallet: Wallet,
        *,
        denom_a: str | Reference,
        denom_b: str | Reference,
        fee_bps: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[PoolMade]:
        """Create a constant-product pool; the first deposit sets its price.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_a: one coin.
            denom_b: the other.
            fee_bps: fee in basis points, one that the parameters allow.
        """
        return self._send(
            wallet, CREATE_POOL, {"denom_a": denom_a, "denom_b": denom_b, "fee_bps": fee_bps}, options
        )

    def create_stable_pool(
        self,
        wallet: Wallet,
        *,
        denoms: tuple[Denom, ...] | Reference,
        decimals: tuple[Annotated[int, Between(0, 18)], ...] | Reference,
        amplification: int | Reference,
        swap_fee: int | Reference,
        fee_multiplier: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[PoolMade]:
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
        return self._send(
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

    def decrease_position(
        self,
        wallet: Wallet,
        *,
        position: int | Reference,
        liquidity: AmountLike,
        minimum: tuple[Coin, ...] | Reference,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[PositionPaid]:
        """Take liquidity out of a position, with all its fees. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
            liquidity: how much of it; all of it closes the position.
            minimum: the least to receive, of each coin that the liquidity holds.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
            wallet,
            DECREASE_POSITION,
            {"position": position, "liquidity": liquidity, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    def flash_swap(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        path: tuple[Hop, ...] | Reference,
        amount_out: AmountLike,
        maximum_in: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Swapped]:
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
        return self._send(
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

    def increase_position(
        self,
        wallet: Wallet,
        *,
        position: int | Reference,
        maximum: tuple[Coin, ...] | Reference,
        minimum_liquidity: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[PositionMade]:
        """Add liquidity to a position; the fees earned so far are paid out.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position: its number.
            maximum: the coins offered; at most that is taken.
            minimum_liquidity: the least liquidity to get for it; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
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

    def open_position(
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
    ) -> Pending[PositionMade]:
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
        return self._send(
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

    def ramp_amplification(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        amplification: int | Reference,
        end_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Move a stable pool's amplification in a straight line, a day at least and tenfold at most.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            amplification: where to, A * n^(n-1).
            end_s: when it gets there, seconds since 1970.
        """
        return self._send(
            wallet,
            RAMP_AMPLIFICATION,
            {"pool": pool, "amplification": amplification, "end_s": end_s},
            options,
        )

    def release_shares(
        self, wallet: Wallet, *, pool: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Added]:
        """Hand out shares of an earlier block's deposit: needed only if the module was paused in between.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
        """
        return self._send(wallet, RELEASE_SHARES, {"pool": pool}, options)

    def remove_liquidity(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        shares: AmountLike,
        minimum: tuple[Coin, ...] | Reference,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Removed]:
        """Redeem shares for their part of every coin of the pool. Open while the pool is paused.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: the least to receive of every coin, each above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
            wallet,
            REMOVE_LIQUIDITY,
            {"pool": pool, "shares": shares, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    def remove_one(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        shares: AmountLike,
        minimum: CoinLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Removed]:
        """Redeem shares of a stable pool for one coin alone, for a fee on what makes it lopsided.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: which coin, and the least to receive; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
            wallet,
            REMOVE_ONE,
            {"pool": pool, "shares": shares, "minimum": minimum, "deadline_s": deadline_s},
            options,
        )

    def set_pool_pause(
        self,
        wallet: Wallet,
        *,
        pool: int | Reference,
        paused: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Pause a pool or resume it. Only the authority of the parameters; liquidity can always leave.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            pool: the pool's number.
            paused: whether it is to be paused.
        """
        return self._send(wallet, SET_POOL_PAUSE, {"pool": pool, "paused": paused}, options)

    def swap_exact_in(
        self,
        wallet: Wallet,
        *,
        amount_in: CoinLike,
        path: tuple[Hop, ...] | Reference,
        minimum_out: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Swapped]:
        """Swap an exact input along a route of up to 4 pools.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            minimum_out: the least to receive of the last denomination, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
            wallet,
            SWAP_EXACT_IN,
            {"amount_in": amount_in, "path": path, "minimum_out": minimum_out, "deadline_s": deadline_s},
            options,
        )

    def swap_exact_out(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        path: tuple[Hop, ...] | Reference,
        amount_out: AmountLike,
        maximum_in: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Swapped]:
        """Swap for an exact output along a route of up to 4 pools.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            amount_out: what is received of the last denomination, base units.
            maximum_in: the most to pay, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
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

    def swap_split(
        self,
        wallet: Wallet,
        *,
        denom_in: str | Reference,
        legs: tuple[Leg, ...] | Reference,
        minimum_out: AmountLike,
        deadline_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Swapped]:
        """Swap parts of an input along several routes to one denomination.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom_in: what is paid.
            legs: how much goes along which pools; all end in the same denomination.
            minimum_out: the least to receive in all, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        return self._send(
            wallet,
            SWAP_SPLIT,
            {"denom_in": denom_in, "legs": legs, "minimum_out": minimum_out, "deadline_s": deadline_s},
            options,
        )

    def find_route(self, amount_in: CoinLike, denom_out: str = QXC, *, at: At | None = None) -> RouteQuote:
        """The best way found from one coin to another, through up to 4 pools, split where it pays.

        `at` is a height, the latest one unless given.

        Args:
            amount_in: what would be paid.
            denom_out: what would be received.
        """
        answer: RouteQuote = self._query(FIND_ROUTE, {"amount_in": amount_in, "denom_out": denom_out}, at)
        return answer

    def find_route_out(self, denom_in: str, amount_out: CoinLike, *, at: At | None = None) -> RouteQuote:
        """The cheapest way found for an exact output, through up to 4 pools.

        `at` is a height, the latest one unless given.

        Args:
            denom_in: what would be paid.
            amount_out: what would be received.
        """
        answer: RouteQuote = self._query(FIND_ROUTE_OUT, {"denom_in": denom_in, "amount_out": amount_out}, at)
        return answer

    def get_average_price(
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
        answer: Annotated[int, Unsigned(bits=256)] = self._query(
            GET_AVERAGE_PRICE,
            {"pool": pool, "denom": denom, "quote_denom": quote_denom, "window_s": window_s},
            at,
        )
        return answer

    def get_candles(
        self, pool: int, resolution: int, limit: int | None = None, *, at: At | None = None
    ) -> CandlePage:
        """The newest candles of a pool, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            resolution: 0 for five minutes (a day is kept), 1 for hours (30 days).
            limit: how many, 100 unless given.
        """
        answer: CandlePage = self._query(
            GET_CANDLES, {"pool": pool, "resolution": resolution, "limit": limit}, at
        )
        return answer

    def get_pool(self, pool: int, *, at: At | None = None) -> PoolView:
        """A pool: its terms, what it holds, where it stands.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
        """
        answer: PoolView = self._query(GET_POOL, {"pool": pool}, at)
        return answer

    def get_position(self, position: int, *, at: At | None = None) -> PositionView:
        """A position, and what it would pay now.

        `at` is a height, the latest one unless given.

        Args:
            position: its number.
        """
        answer: PositionView = self._query(GET_POSITION, {"position": position}, at)
        return answer

    def get_statistics(self, pool: int, *, at: At | None = None) -> Statistics:
        """A pool in figures: price, reserves, volumes; and dust, what its account holds beyond its books.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
        """
        answer: Statistics = self._query(GET_STATISTICS, {"pool": pool}, at)
        return answer

    def list_pools(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> PoolPage:
        """All pools, by number.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PoolPage = self._query(LIST_POOLS, {"limit": limit, "cursor": cursor}, at)
        return answer

    def list_positions(
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
        answer: PositionPage = self._query(
            LIST_POSITIONS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    def quote(
        self, pool: int, amount_in: CoinLike, denom_out: str | None = None, *, at: At | None = None
    ) -> Quote:
        """What one pool would pay for an input in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            amount_in: what would be paid.
            denom_out: what would be received; may be left out where the pool has two coins.
        """
        answer: Quote = self._query(QUOTE, {"pool": pool, "amount_in": amount_in, "denom_out": denom_out}, at)
        return answer

    def quote_out(
        self, pool: int, amount_out: CoinLike, denom_in: str | None = None, *, at: At | None = None
    ) -> Quote:
        """What one pool would ask for an output in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            pool: the pool's number.
            amount_out: what would be received.
            denom_in: what would be paid; may be left out where the pool has two coins.
        """
        answer: Quote = self._query(
            QUOTE_OUT, {"pool": pool, "amount_out": amount_out, "denom_in": denom_in}, at
        )
        return answer

    def quote_path(self, amount_in: CoinLike, path: tuple[Hop, ...], *, at: At | None = None) -> RouteQuote:
        """What a route of one's own would pay for an input in the next block, exact to the unit.

        `at` is a height, the latest one unless given.

        Args:
            amount_in: what would be paid.
            path: the pools in order, each with the denomination that it pays.
        """
        answer: RouteQuote = self._query(QUOTE_PATH, {"amount_in": amount_in, "path": path}, at)
        return answer
