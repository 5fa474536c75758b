"""Records that the lending market keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from defi_modules.oracle.types import Seconds, Symbol
from qenex.crypto.address import Address
from qenex.types import U8, U16, U64, U128, Amount, Between, Coin, Denom, Length, Unsigned

U256 = Annotated[int, Unsigned(256)]
Ray = Annotated[int, Between(0, 10**29)]
"""A rate: 1e27 is 100% a year."""
Change = Annotated[int, Between(-(10**38), 10**38)]
"""Base units more, or less."""
GroupNumber = Annotated[int, Between(1, 255)]
PageLimit = Annotated[int, Between(1, 1_000)]

MAX_MARKETS = 128
MAX_ENTRIES = 8
"""Assets of one position."""
POSITION_PAIRS = 16
"""Pairs of a collateral and a debt of one position."""

PAUSE_SUPPLY = 1
PAUSE_WITHDRAW = 2
PAUSE_BORROW = 4
PAUSE_REPAY = 8
PAUSE_LIQUIDATE = 16
PAUSE_FLASH = 32
PauseFlags = Annotated[int, Between(0, 63)]

# What one market may be told: each term with its range.
MaxAge = Annotated[int, Between(1, 86_400)]
MaxSpread = Annotated[int, Between(0, 2_000)]
LoanToValue = Annotated[int, Between(0, 9_500)]
Threshold = Annotated[int, Between(0, 9_700)]
Bonus = Annotated[int, Between(10_000, 12_000)]
LiquidationFee = Annotated[int, Between(0, 5_000)]
ReserveFactor = Annotated[int, Between(0, 5_000)]
Slope = Annotated[int, Between(0, 10**27)]
SteepSlope = Annotated[int, Between(0, 4 * 10**27)]
Optimal = Annotated[int, Between(100, 9_900)]
AdaptiveSpeed = Annotated[int, Between(0, 100)]
OutflowShare = Annotated[int, Between(100, 10_000)]
DebtCeiling = Annotated[int, Between(0, 10**20)]
FlashFee = Annotated[int, Between(0, 1_000)]
Seed = Annotated[int, Between(1, 10**30)]


class LendingParams(NamedTuple):
    """Rules of all markets.

    `authority` may list, change and pause besides governance (none: nobody); `treasury` takes collected reserves and
    what the keeper seizes (none: governance's account). A debt is worth at least `min_debt_base` (8 decimals) after it
    is raised. At a block's end at most `keeper_items` positions whose health is at most `keeper_health_bps` basis points
    are liquidated for the reserve, at most `keeper_pairs` pairs of assets are looked at, and nothing is begun once
    `keeper_gas` is used. Changed risks and rates of a market move in `ramp_s` seconds, caps that rise in `growth_s`; a new
    market begins at `start_bps` of its caps. Outflow is counted for `outflow_window_s` seconds, and in 24 such windows together
    it is at most `outflow_day_windows` times what one allows; a block pays at most `queue_items` of the withdrawals that wait.
    """

    authority: Address | None = None
    treasury: Address | None = None
    min_debt_base: Annotated[int, Between(0, 10**12)] = 10**8
    keeper_items: Annotated[int, Between(0, 100)] = 4
    keeper_health_bps: Annotated[int, Between(0, 9_999)] = 9_000
    keeper_pairs: Annotated[int, Between(1, 1_000)] = 64
    keeper_gas: Annotated[int, Between(10_000, 10_000_000)] = 200_000
    ramp_s: Annotated[int, Between(60, 90 * 86_400)] = 7 * 86_400
    growth_s: Annotated[int, Between(60, 365 * 86_400)] = 30 * 86_400
    start_bps: Annotated[int, Between(1, 10_000)] = 1_000
    outflow_window_s: Annotated[int, Between(60, 7 * 86_400)] = 3_600
    outflow_day_windows: Annotated[int, Between(1, 24)] = 4
    queue_items: Annotated[int, Between(1, 100)] = 20


class MeanPrice(NamedTuple):
    """Where a time-weighted price comes from: a pool, the coin it is told in (listed as well), the time, the band.

    A liquidation is refused while feed and mean lie more than `band_bps` apart.
    """

    pool: U64
    quote: Denom
    window_s: Annotated[int, Between(60, 86_400)]
    band_bps: Annotated[int, Between(10, 5_000)]


class Terms(NamedTuple):
    """What holds in one market.

    `feed` is its price, at most `max_age_s` seconds old and `max_spread_bps` uncertain. Collateral counts `ltv_bps` of
    its value when borrowing and `threshold_bps` for health; `bonus_bps` (10,500: 5%) is what a liquidator gets for a
    value repaid, `liquidation_fee_bps` of that bonus the protocol's. Rates are rays a year, with a kink at `optimal_bps`
    of the assets; both slopes adapt by `adaptive_speed` a year (0: never). Caps are base units; `outflow_bps` of the assets may leave
    in a window of time (10,000: no limit). With a `debt_ceiling` (base currency, 8 decimals) it is isolated collateral;
    `isolation_borrowable` assets may be borrowed against such. `group` is the efficiency group (0: none). `seed` base
    units open the market and stay.
    """

    denom: Denom
    decimals: Annotated[int, Between(0, 18)]
    feed: Symbol
    max_age_s: MaxAge
    max_spread_bps: MaxSpread
    mean_price: MeanPrice | None
    ltv_bps: LoanToValue
    threshold_bps: Threshold
    bonus_bps: Bonus
    liquidation_fee_bps: LiquidationFee
    reserve_factor_bps: ReserveFactor
    base_ray: Slope
    slope1_ray: Slope
    slope2_ray: SteepSlope
    optimal_bps: Optimal
    adaptive_speed: AdaptiveSpeed
    supply_cap: Amount
    borrow_cap: Amount
    outflow_bps: OutflowShare
    debt_ceiling: DebtCeiling
    isolation_borrowable: bool
    group: U8
    flash_fee_bps: FlashFee
    seed: Seed


class Group(NamedTuple):
    """An efficiency group: assets that move together, with terms of their own among each other."""

    number: GroupNumber
    ltv_bps: Annotated[int, Between(1, 9_700)]
    threshold_bps: Annotated[int, Between(2, 9_800)]
    bonus_bps: Annotated[int, Between(10_000, 11_000)]


class Ramp(NamedTuple):
    """Terms on their way from `before` to `after`, in steps; the next at `next_s`.

    Risks and rates arrive at `risk_end_s`, rising caps at `growth_end_s`. `began_s` is 0 while the market is not open.
    """

    before: Terms
    after: Terms
    began_s: Seconds
    risk_end_s: Seconds
    growth_end_s: Seconds
    next_s: Seconds


class GroupRamp(NamedTuple):
    """A group's terms on their way from `before` at `began_s` to `after` at `end_s`; the next step at `next_s`."""

    before: Group
    after: Group
    began_s: Seconds
    end_s: Seconds
    next_s: Seconds


class Market(NamedTuple):
    """What a market holds and owes, in base units.

    `cash` plus all debt is `assets` (the suppliers') plus `reserves` (the protocol's), to the unit. `scaled_debt` times
    `index_ray` is the debt; `held_shares` lie in the market's account (collateral, and the seed's `seed_shares`).
    `isolated_debt` is booked against this market's asset as isolated collateral, in hundredths of whole units. `bad_debt`
    is all that was ever written off, `bad_covered` what the reserve bore of it. `outflow` base units net left in the window
    that began at `outflow_s`, `day_outflow` in the 24 windows that began at `day_outflow_s`. `held_shares` counts those that wait in the queue as well.
    """

    account: Address
    paused: PauseFlags
    updated_s: Seconds
    cash: Amount
    assets: Amount
    shares: Amount
    reserves: Amount
    scaled_debt: U128
    index_ray: U256
    borrow_ray: U256
    supply_ray: U256
    utilization_ray: U256
    multiplier_ray: U256
    held_shares: Amount
    seed_shares: Amount
    isolated_debt: U128
    bad_debt: U128
    bad_covered: U128
    outflow_s: Seconds
    outflow: Amount
    day_outflow_s: Seconds
    day_outflow: Amount


class Entry(NamedTuple):
    """One asset of a position: `collateral` receipt shares in the market's account, `debt` scaled."""

    market: U16
    collateral: Amount
    debt: U128


class Position(NamedTuple):
    """What an account has put up and owes. `ratios` are its places in the index of risks, pair by pair.

    `isolated` is what it borrowed against isolated collateral, in hundredths of whole units.
    """

    group: U8
    isolated: U128
    entries: Annotated[tuple[Entry, ...], Length(0, MAX_ENTRIES)]
    ratios: Annotated[tuple[U128, ...], Length(0, POSITION_PAIRS)]


EMPTY_POSITION = Position(0, 0, (), ())


class Waiting(NamedTuple):
    """Receipt shares in a market's account that are paid to `address` as the outflow limit allows; they still earn."""

    address: Address
    shares: Amount


class Cursor(NamedTuple):
    """Where the keeper goes on in the next block: the pair of assets it looked at last."""

    group: U8
    collateral: U16
    debt: U16


# -- results -----------------------------------------------------------------------------------


class Listed(NamedTuple):
    """The number of a market."""

    market: U16


class Supplied(NamedTuple):
    """Receipt shares for a supply."""

    shares: Amount


class Withdrawn(NamedTuple):
    """Base units that were paid out, and the receipt shares that they cost; or its number if it waits (0: it does not)."""

    amount: Amount
    shares: Amount
    waits: U64


class Repaid(NamedTuple):
    """Base units repaid, and those still owed."""

    amount: Amount
    left: Amount


class Moved(NamedTuple):
    """Receipt shares moved into or out of the market's account."""

    shares: Amount


class Seizure(NamedTuple):
    """Debt repaid, what was received (coins or receipt shares), the protocol's part in coins, bad debt written off."""

    repaid: Amount
    received: Coin
    protocol: Amount
    bad_debt: Amount


class FlashFees(NamedTuple):
    """What has to be paid back until the end of the transaction, fees included."""

    due: tuple[Coin, ...]


class MarketInfo(NamedTuple):
    """A market as it stands at the block's time: terms, state, all debt, cash that can be taken, rates a year."""

    number: U16
    terms: Terms
    state: Market
    debt: Amount
    available: Amount


class MarketPage(NamedTuple):
    """Markets by number."""

    items: tuple[MarketInfo, ...]
    next_cursor: U16 | None


class EntryInfo(NamedTuple):
    """One asset of a position: shares put up, what they are worth in base units, what is owed, and its price.

    Prices and values have 8 decimals of the base currency; the price is 0 where there is no usable one.
    """

    denom: Denom
    collateral_shares: Amount
    collateral: Amount
    debt: Amount
    price: U128
    liquidation_price: U128


class PositionInfo(NamedTuple):
    """A position at the block's time, in base currency with 8 decimals.

    `limit` is what may be owed in all, `available` what may still be borrowed; `health_wad` is 1e18 at the threshold and
    the largest number without debt. `priced` is false where a price is stale, and then all values are 0. An entry's
    `liquidation_price` is its price at which health is 1 if no other moves.
    """

    address: Address
    group: U8
    entries: tuple[EntryInfo, ...]
    collateral: U256
    debt: U256
    limit: U256
    available: U256
    health_wad: U256
    priced: bool


class WaitingInfo(NamedTuple):
    """A withdrawal that waits: its number, whose it is, its receipt shares and what they are worth now, base units."""

    number: U64
    address: Address
    shares: Amount
    amount: Amount


class WaitingPage(NamedTuple):
    """Waiting withdrawals of a market, the next to be paid first."""

    items: tuple[WaitingInfo, ...]
    next_cursor: U64 | None


class PriceMove(NamedTuple):
    """A price to suppose: `change_bps` basis points up or down from now."""

    denom: Denom
    change_bps: Annotated[int, Between(-10_000, 1_000_000)]


class PositionChange(NamedTuple):
    """What a position would have more or less of an asset: base units put up, and owed."""

    denom: Denom
    collateral: Change
    debt: Change


class Risk(NamedTuple):
    """A position that can be liquidated: the pair of assets to take first, and the most that can be repaid."""

    address: Address
    health_wad: U256
    collateral_denom: Denom
    debt_denom: Denom
    debt: Amount
    repayable: Amount


class Risks(NamedTuple):
    """Positions that can be liquidated."""

    items: tuple[Risk, ...]


# -- events ------------------------------------------------------------------------------------


class MarketListed(NamedTuple):
    """A market was listed, or its terms changed."""

    number: U16
    denom: Denom


class GroupSet(NamedTuple):
    """An efficiency group was made or changed."""

    number: U8


class PauseSet(NamedTuple):
    """Paused actions of a market: a sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32 flash."""

    number: U16
    flags: U8


class SupplyAdded(NamedTuple):
    """`amount` was supplied for `shares`."""

    address: Address
    denom: Denom
    amount: Amount
    shares: Amount


class SupplyTaken(NamedTuple):
    """`amount` was withdrawn for `shares`."""

    address: Address
    denom: Denom
    amount: Amount
    shares: Amount


class WithdrawalQueued(NamedTuple):
    """A withdrawal above the outflow limit waits, with so many receipt shares."""

    number: U64
    address: Address
    denom: Denom
    shares: Amount


class WithdrawalCancelled(NamedTuple):
    """A waiting withdrawal was given up; so many receipt shares went back to the account."""

    number: U64
    address: Address
    denom: Denom
    shares: Amount


class CollateralSet(NamedTuple):
    """So many shares of an account are collateral now."""

    address: Address
    denom: Denom
    shares: Amount


class GroupChosen(NamedTuple):
    """A position is in an efficiency group now (0: none)."""

    address: Address
    group: U8


class DebtRaised(NamedTuple):
    """`amount` was borrowed at `rate_ray` a year."""

    address: Address
    denom: Denom
    amount: Amount
    rate_ray: U256


class DebtRepaid(NamedTuple):
    """`payer` repaid `amount` of an account's debt."""

    payer: Address
    address: Address
    denom: Denom
    amount: Amount


class PositionLiquidated(NamedTuple):
    """A liquidator repaid debt and took collateral; base units, the protocol's part included in `seized`."""

    liquidator: Address
    address: Address
    debt_denom: Denom
    repaid: Amount
    collateral_denom: Denom
    seized: Amount
    protocol: Amount


class BadDebtRecognised(NamedTuple):
    """A debt without collateral was written off: the reserve bore `covered`, the suppliers the rest."""

    address: Address
    denom: Denom
    amount: Amount
    covered: Amount


class FlashLent(NamedTuple):
    """A flash loan, to be paid back with its fee until the end of the transaction."""

    address: Address
    denom: Denom
    amount: Amount
    fee: Amount


class ReservesCollected(NamedTuple):
    """Reserves went to the treasury."""

    denom: Denom
    amount: Amount
    to: Address
