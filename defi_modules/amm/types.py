"""Records that the markets store, return and announce."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U8, U16, U32, U64, Amount, Between, Bps, Coin, Denom, Length, Unsigned

CONSTANT_PRODUCT: Final = 1
STABLE: Final = 2
CONCENTRATED: Final = 3
CURVES: Final = {CONSTANT_PRODUCT: "constant product", STABLE: "stable", CONCENTRATED: "concentrated"}

MAX_HOPS: Final = 4
MAX_LEGS: Final = 4

U256 = Annotated[int, Unsigned(256)]
Tick = Annotated[int, Between(-887_272, 887_272)]
Coins = Annotated[tuple[Coin, ...], Length(1, 4)]


class Hop(NamedTuple):
    """One pool of a route, and the denomination that it pays."""

    pool: U64
    denom: Denom


Path = Annotated[tuple[Hop, ...], Length(1, MAX_HOPS)]


class Leg(NamedTuple):
    """A part of a split swap: how much of the input goes along which pools."""

    amount: Amount
    path: Path


Legs = Annotated[tuple[Leg, ...], Length(1, MAX_LEGS)]


class FeeTier(NamedTuple):
    """A fee in parts of a million, and the spacing of the ticks that goes with it."""

    fee_pips: Annotated[int, Between(1, 100_000)]
    tick_spacing: Annotated[int, Between(1, 16_384)]


class AmmParams(NamedTuple):
    """Parameters of the markets.

    `constant_product_fees` basis points that such a pool may take; `concentrated_tiers` fees in parts of a
    million with their tick spacings; `stable_fee_max` the highest fee of a stable pool, parts of 1e10;
    `protocol_share_bps` the protocol's part of every fee; `observation_interval_s` seconds between two
    observed prices that are kept (1,440 of them); `hook_items` pools and deposits handled at a block's end;
    `treasury` who receives the protocol's part (none: the account of governance); `authority` who may
    pause a pool (none: nobody).
    """

    constant_product_fees: Annotated[tuple[Bps, ...], Length(1, 8)] = (1, 5, 30, 100)
    concentrated_tiers: Annotated[tuple[FeeTier, ...], Length(1, 8)] = (
        FeeTier(100, 1),
        FeeTier(500, 10),
        FeeTier(3_000, 60),
        FeeTier(10_000, 200),
    )
    stable_fee_max: Annotated[int, Between(0, 10**9)] = 10**8
    protocol_share_bps: Annotated[int, Between(0, 5_000)] = 1_000
    observation_interval_s: Annotated[int, Between(1, 86_400)] = 60
    hook_items: Annotated[int, Between(1, 1_000)] = 1_000
    treasury: Address | None = None
    authority: Address | None = None


# -- state ----------------------------------------------------------------------------------------------


class StableSetup(NamedTuple):
    """What only stable pools have: rates (1e18), the dynamic fee's multiplier (1e10), and a ramp of amp.

    `amp` is A * n^(n-1), going from the first at `ramp_start_s` to the second at `ramp_end_s`.
    """

    rates: Annotated[tuple[U256, ...], Length(2, 4)]
    multiplier: U64
    amp_from: U32
    amp_to: U32
    ramp_start_s: U64
    ramp_end_s: U64


class Pool(NamedTuple):
    """A pool's terms. `swap_fee` counts basis points (1), parts of 1e10 (2) or of 1e6 (3), by `curve`."""

    curve: U8
    denoms: Annotated[tuple[Denom, ...], Length(2, 4)]
    account: Address
    swap_fee: U64
    tick_spacing: U16
    paused: bool
    manager: Address | None
    stable: StableSetup | None


class Book(NamedTuple):
    """What a pool owns, by coin in the order of its denominations, in base units.

    `reserves` are the liquidity providers', `protocol` the protocol's uncollected part: together the
    balances of the pool's account. `volumes` are all inputs ever. `start` is the state at the beginning
    of block `height` as the sandwich rule needs it (see `pools.py`); of another block it means nothing.
    """

    reserves: Annotated[tuple[Amount, ...], Length(2, 4)]
    protocol: Annotated[tuple[Amount, ...], Length(2, 4)]
    volumes: Annotated[tuple[U256, ...], Length(2, 4)]
    height: U64
    start: Annotated[tuple[int, ...], Length(0, 56)]


class Spot(NamedTuple):
    """Where a concentrated pool stands: Q64.96 price, tick, liquidity; growth of fees per liquidity, Q128."""

    sqrt_price: U256
    tick: Tick
    liquidity: Amount
    growth0: U256
    growth1: U256


class TickState(NamedTuple):
    """Liquidity that refers to a tick, what is added rising through it, and the growth on its other side."""

    gross: Amount
    net: int
    outside0: U256
    outside1: U256


class Position(NamedTuple):
    """Liquidity between two ticks, what fees had grown to when it was last settled, and when it last grew."""

    owner: Address
    pool: U64
    lower: Tick
    upper: Tick
    liquidity: Amount
    inside0: U256
    inside1: U256
    height: U64


class Pending(NamedTuple):
    """Shares of a deposit, handed out at the end of its block."""

    height: U64
    shares: Amount


class Price(NamedTuple):
    """Prices at the end of a block, Q96, and their sums over the seconds since the pool's first.

    For each coin j after the first: coin 0 in coin j, then coin j in coin 0.
    """

    time_s: U64
    prices: Annotated[tuple[U256, ...], Length(2, 6)]
    sums: Annotated[tuple[U256, ...], Length(2, 6)]


class Observation(NamedTuple):
    """The sums of prices at a time."""

    time_s: U64
    sums: Annotated[tuple[U256, ...], Length(2, 6)]


class Candle(NamedTuple):
    """Prices (coin 0 in coin 1, Q96, block ends only) from `start_s` on, and all inputs until its two ends."""

    start_s: U64
    open: U256
    high: U256
    low: U256
    close: U256
    volumes_before: Annotated[tuple[U256, ...], Length(2, 4)]
    volumes_after: Annotated[tuple[U256, ...], Length(2, 4)]


# -- results --------------------------------------------------------------------------------------------


class PoolMade(NamedTuple):
    """The number of a new pool."""

    pool: U64


class Added(NamedTuple):
    """Shares of a deposit, and what they cost."""

    shares: Amount
    paid: Coins


class Removed(NamedTuple):
    """What shares redeemed for."""

    paid: Coins


class Swapped(NamedTuple):
    """What a swap took and paid, whole routes included; `received` is what arrived, for a later message to use."""

    amount_in: Amount
    amount_out: Amount
    received: Coin


class PositionMade(NamedTuple):
    """A position's number, the liquidity added, and its cost in the pool's two coins."""

    position: U64
    liquidity: Amount
    amount0: Amount
    amount1: Amount


class PositionPaid(NamedTuple):
    """What a position paid out in the pool's two coins, fees included."""

    amount0: Amount
    amount1: Amount


# -- answers of queries -----------------------------------------------------------------------------------


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
    sqrt_price: U256
    tick: Tick
    tick_spacing: U16
    liquidity: Amount


class PoolPage(NamedTuple):
    """Part of the pools, by number; `next_cursor` continues, if there is more."""

    items: tuple[PoolView, ...]
    next_cursor: U64 | None


class PositionView(NamedTuple):
    """A position and what it would pay now: `amount...` of liquidity, `fees...` beside it."""

    position: U64
    owner: Address
    pool: U64
    lower: Tick
    upper: Tick
    liquidity: Amount
    amount0: Amount
    amount1: Amount
    fees0: Amount
    fees1: Amount


class PositionPage(NamedTuple):
    """Part of an account's positions, by number; `next_cursor` continues, if there is more."""

    items: tuple[PositionView, ...]
    next_cursor: U64 | None


class Quote(NamedTuple):
    """What a swap would take and pay now, its fee (in `fee_denom`), and its distance from the present price."""

    amount_in: Amount
    amount_out: Amount
    fee_denom: Denom
    fee_amount: Amount
    price_impact_bps: Bps


class RouteQuote(NamedTuple):
    """The best way found: how much goes along which pools, what all of it takes and pays, and the price impact."""

    legs: Legs
    amount_in: Amount
    amount_out: Amount
    price_impact_bps: Bps


class CandleView(NamedTuple):
    """A candle: prices of coin 0 in coin 1 as Q96 of base units, at ends of blocks; inputs by coin."""

    start_s: U64
    open: U256
    high: U256
    low: U256
    close: U256
    volumes: Annotated[tuple[U256, ...], Length(2, 4)]


class CandlePage(NamedTuple):
    """Candles, oldest first, of those that are kept."""

    items: tuple[CandleView, ...]


class Statistics(NamedTuple):
    """A pool in figures: price of coin 0 in coin 1 (Q96), reserves, inputs ever and in the last 24 hours."""

    price: U256
    reserves: Annotated[tuple[Amount, ...], Length(2, 4)]
    volumes: Annotated[tuple[U256, ...], Length(2, 4)]
    volumes_day: Annotated[tuple[U256, ...], Length(2, 4)]
    dust: Annotated[tuple[Amount, ...], Length(2, 4)]


# -- events -----------------------------------------------------------------------------------------------


class PoolCreated(NamedTuple):
    """A pool was made; `curve` 1 constant product, 2 stable, 3 concentrated."""

    pool: U64
    curve: U8
    denoms: Annotated[tuple[Denom, ...], Length(2, 4)]
    creator: Address


class LiquidityAdded(NamedTuple):
    """`shares` were minted for `paid`; `provider` gets them at the end of the block."""

    pool: U64
    provider: Address
    shares: Amount
    paid: Coins


class LiquidityRemoved(NamedTuple):
    """`shares` were burned for `paid`."""

    pool: U64
    provider: Address
    shares: Amount
    paid: Coins


class SharesReleased(NamedTuple):
    """Shares of a deposit were handed out."""

    pool: U64
    provider: Address
    shares: Amount


class SwapDone(NamedTuple):
    """A pool took `amount_in` and paid `amount_out`; `fee_amount` of `fee_denom` stayed with providers and protocol."""

    pool: U64
    trader: Address
    denom_in: Denom
    amount_in: Amount
    denom_out: Denom
    amount_out: Amount
    fee_denom: Denom
    fee_amount: Amount


class PositionChanged(NamedTuple):
    """A position has `liquidity` now."""

    position: U64
    pool: U64
    owner: Address
    liquidity: Amount


class FeesCollected(NamedTuple):
    """A position's fees were paid."""

    position: U64
    owner: Address
    amount0: Amount
    amount1: Amount


class ProtocolCollected(NamedTuple):
    """The protocol's part of a pool's fees was paid to the treasury."""

    pool: U64
    treasury: Address
    paid: Coins


class PoolPauseSet(NamedTuple):
    """A pool was paused or resumed."""

    pool: U64
    paused: bool


class AmplificationRamped(NamedTuple):
    """A stable pool's amp moves to `amplification` until `end_s`."""

    pool: U64
    amplification: U32
    end_s: U64
