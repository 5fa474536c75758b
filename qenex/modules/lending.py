# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `lending`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import QXC, U8, U16, U64, Amount, Between, Coin, Denom, Length, Unsigned
from qenex.wallet import Wallet


class Repaid(NamedTuple):
    """Base units repaid, and those still owed."""

    amount: Amount
    left: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Moved(NamedTuple):
    """Receipt shares moved into or out of the market's account."""

    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FlashFees(NamedTuple):
    """What has to be paid back until the end of the transaction, fees included."""

    due: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Seizure(NamedTuple):
    """Debt repaid, what was received (coins or receipt shares), the protocol's part in coins, bad debt
    written off.
    """

    repaid: Amount
    received: Coin
    protocol: Amount
    bad_debt: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MeanPrice(NamedTuple):
    """Where a time-weighted price comes from: a pool, the coin it is told in (listed as well), the time,
    the band.

    A liquidation is refused while feed and mean lie more than `band_bps` apart.
    """

    pool: U64
    quote: Denom
    window_s: Annotated[int, Between(60, 86400)]
    band_bps: Annotated[int, Between(10, 5000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Terms(NamedTuple):
    """What holds in one market.

    `feed` is its price, at most `max_age_s` seconds old and `max_spread_bps` uncertain. Collateral
    counts `ltv_bps` of
    its value when borrowing and `threshold_bps` for health; `bonus_bps` (10,500: 5%) is what a
    liquidator gets for a
    value repaid, `liquidation_fee_bps` of that bonus the protocol's. Rates are rays a year, with a kink
    at `optimal_bps`
    of the assets; both slopes adapt by `adaptive_speed` a year (0: never). Caps are base units;
    `outflow_bps` of the assets may leave
    in a window of time (10,000: no limit). With a `debt_ceiling` (base currency, 8 decimals) it is
    isolated collateral;
    `isolation_borrowable` assets may be borrowed against such. `group` is the efficiency group (0:
    none). `seed` base
    units open the market and stay.
    """

    denom: Denom
    decimals: Annotated[int, Between(0, 18)]
    feed: Annotated[str, Length(3, 24)]
    max_age_s: Annotated[int, Between(1, 86400)]
    max_spread_bps: Annotated[int, Between(0, 2000)]
    mean_price: MeanPrice | None
    ltv_bps: Annotated[int, Between(0, 9500)]
    threshold_bps: Annotated[int, Between(0, 9700)]
    bonus_bps: Annotated[int, Between(10000, 12000)]
    liquidation_fee_bps: Annotated[int, Between(0, 5000)]
    reserve_factor_bps: Annotated[int, Between(0, 5000)]
    base_ray: Annotated[int, Between(0, 1000000000000000000000000000)]
    slope1_ray: Annotated[int, Between(0, 1000000000000000000000000000)]
    slope2_ray: Annotated[int, Between(0, 4000000000000000000000000000)]
    optimal_bps: Annotated[int, Between(100, 9900)]
    adaptive_speed: Annotated[int, Between(0, 100)]
    supply_cap: Amount
    borrow_cap: Amount
    outflow_bps: Annotated[int, Between(100, 10000)]
    debt_ceiling: Annotated[int, Between(0, 100000000000000000000)]
    isolation_borrowable: bool
    group: U8
    flash_fee_bps: Annotated[int, Between(0, 1000)]
    seed: Annotated[int, Between(1, 1000000000000000000000000000000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Listed(NamedTuple):
    """The number of a market."""

    market: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Supplied(NamedTuple):
    """Receipt shares for a supply."""

    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Group(NamedTuple):
    """An efficiency group: assets that move together, with terms of their own among each other."""

    number: Annotated[int, Between(1, 255)]
    ltv_bps: Annotated[int, Between(1, 9700)]
    threshold_bps: Annotated[int, Between(2, 9800)]
    bonus_bps: Annotated[int, Between(10000, 11000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Withdrawn(NamedTuple):
    """Base units that were paid out, and the receipt shares that they cost; or its number if it waits (0:
    it does not).
    """

    amount: Amount
    shares: Amount
    waits: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Market(NamedTuple):
    """What a market holds and owes, in base units.

    `cash` plus all debt is `assets` (the suppliers') plus `reserves` (the protocol's), to the unit.
    `scaled_debt` times
    `index_ray` is the debt; `held_shares` lie in the market's account (collateral, and the seed's
    `seed_shares`).
    `isolated_debt` is booked against this market's asset as isolated collateral, in hundredths of whole
    units. `bad_debt`
    is all that was ever written off, `bad_covered` what the reserve bore of it. `outflow` base units
    net left in the window
    that began at `outflow_s`, `day_outflow` in the 24 windows that began at `day_outflow_s`.
    `held_shares` counts those that wait in the queue as well.
    """

    account: Address
    paused: Annotated[int, Between(0, 63)]
    updated_s: Annotated[int, Between(0, 1099511627775)]
    cash: Amount
    assets: Amount
    shares: Amount
    reserves: Amount
    scaled_debt: Annotated[int, Unsigned(bits=128)]
    index_ray: Annotated[int, Unsigned(bits=256)]
    borrow_ray: Annotated[int, Unsigned(bits=256)]
    supply_ray: Annotated[int, Unsigned(bits=256)]
    utilization_ray: Annotated[int, Unsigned(bits=256)]
    multiplier_ray: Annotated[int, Unsigned(bits=256)]
    held_shares: Amount
    seed_shares: Amount
    isolated_debt: Annotated[int, Unsigned(bits=128)]
    bad_debt: Annotated[int, Unsigned(bits=128)]
    bad_covered: Annotated[int, Unsigned(bits=128)]
    outflow_s: Annotated[int, Between(0, 1099511627775)]
    outflow: Amount
    day_outflow_s: Annotated[int, Between(0, 1099511627775)]
    day_outflow: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MarketInfo(NamedTuple):
    """A market as it stands at the block's time: terms, state, all debt, cash that can be taken, rates a
    year.
    """

    number: U16
    terms: Terms
    state: Market
    debt: Amount
    available: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class EntryInfo(NamedTuple):
    """One asset of a position: shares put up, what they are worth in base units, what is owed, and its
    price.

    Prices and values have 8 decimals of the base currency; the price is 0 where there is no usable one.
    """

    denom: Denom
    collateral_shares: Amount
    collateral: Amount
    debt: Amount
    price: Annotated[int, Unsigned(bits=128)]
    liquidation_price: Annotated[int, Unsigned(bits=128)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionInfo(NamedTuple):
    """A position at the block's time, in base currency with 8 decimals.

    `limit` is what may be owed in all, `available` what may still be borrowed; `health_wad` is 1e18 at
    the threshold and
    the largest number without debt. `priced` is false where a price is stale, and then all values are
    0. An entry's
    `liquidation_price` is its price at which health is 1 if no other moves.
    """

    address: Address
    group: U8
    entries: tuple[EntryInfo, ...]
    collateral: Annotated[int, Unsigned(bits=256)]
    debt: Annotated[int, Unsigned(bits=256)]
    limit: Annotated[int, Unsigned(bits=256)]
    available: Annotated[int, Unsigned(bits=256)]
    health_wad: Annotated[int, Unsigned(bits=256)]
    priced: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Ramp(NamedTuple):
    """Terms on their way from `before` to `after`, in steps; the next at `next_s`.

    Risks and rates arrive at `risk_end_s`, rising caps at `growth_end_s`. `began_s` is 0 while the
    market is not open.
    """

    before: Terms
    after: Terms
    began_s: Annotated[int, Between(0, 1099511627775)]
    risk_end_s: Annotated[int, Between(0, 1099511627775)]
    growth_end_s: Annotated[int, Between(0, 1099511627775)]
    next_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Risk(NamedTuple):
    """A position that can be liquidated: the pair of assets to take first, and the most that can be
    repaid.
    """

    address: Address
    health_wad: Annotated[int, Unsigned(bits=256)]
    collateral_denom: Denom
    debt_denom: Denom
    debt: Amount
    repayable: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Risks(NamedTuple):
    """Positions that can be liquidated."""

    items: tuple[Risk, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MarketPage(NamedTuple):
    """Markets by number."""

    items: tuple[MarketInfo, ...]
    next_cursor: U16 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class WaitingInfo(NamedTuple):
    """A withdrawal that waits: its number, whose it is, its receipt shares and what they are worth now,
    base units.
    """

    number: U64
    address: Address
    shares: Amount
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class WaitingPage(NamedTuple):
    """Waiting withdrawals of a market, the next to be paid first."""

    items: tuple[WaitingInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionChange(NamedTuple):
    """What a position would have more or less of an asset: base units put up, and owed."""

    denom: Denom
    collateral: Annotated[
        int, Between(-100000000000000000000000000000000000000, 100000000000000000000000000000000000000)
    ]
    debt: Annotated[
        int, Between(-100000000000000000000000000000000000000, 100000000000000000000000000000000000000)
    ]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PriceMove(NamedTuple):
    """A price to suppose: `change_bps` basis points up or down from now."""

    denom: Denom
    change_bps: Annotated[int, Between(-10000, 1000000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MarketListed(NamedTuple):
    """A market was listed, or its terms changed."""

    number: U16
    denom: Denom

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GroupSet(NamedTuple):
    """An efficiency group was made or changed."""

    number: U8

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PauseSet(NamedTuple):
    """Paused actions of a market: a sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32
    flash.
    """

    number: U16
    flags: U8

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class SupplyAdded(NamedTuple):
    """`amount` was supplied for `shares`."""

    address: Address
    denom: Denom
    amount: Amount
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class SupplyTaken(NamedTuple):
    """`amount` was withdrawn for `shares`."""

    address: Address
    denom: Denom
    amount: Amount
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class CollateralSet(NamedTuple):
    """So many shares of an account are collateral now."""

    address: Address
    denom: Denom
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GroupChosen(NamedTuple):
    """A position is in an efficiency group now (0: none)."""

    address: Address
    group: U8

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class DebtRaised(NamedTuple):
    """`amount` was borrowed at `rate_ray` a year."""

    address: Address
    denom: Denom
    amount: Amount
    rate_ray: Annotated[int, Unsigned(bits=256)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class DebtRepaid(NamedTuple):
    """`payer` repaid `amount` of an account's debt."""

    payer: Address
    address: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionLiquidated(NamedTuple):
    """A liquidator repaid debt and took collateral; base units, the protocol's part included in `seized`."""

    liquidator: Address
    address: Address
    debt_denom: Denom
    repaid: Amount
    collateral_denom: Denom
    seized: Amount
    protocol: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class BadDebtRecognised(NamedTuple):
    """A debt without collateral was written off: the reserve bore `covered`, the suppliers the rest."""

    address: Address
    denom: Denom
    amount: Amount
    covered: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FlashLent(NamedTuple):
    """A flash loan, to be paid back with its fee until the end of the transaction."""

    address: Address
    denom: Denom
    amount: Amount
    fee: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ReservesCollected(NamedTuple):
    """Reserves went to the treasury."""

    denom: Denom
    amount: Amount
    to: Address

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class WithdrawalQueued(NamedTuple):
    """A withdrawal above the outflow limit waits, with so many receipt shares."""

    number: U64
    address: Address
    denom: Denom
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class WithdrawalCancelled(NamedTuple):
    """A waiting withdrawal was given up; so many receipt shares went back to the account."""

    number: U64
    address: Address
    denom: Denom
    shares: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


BORROW = MessageFace(
    "lending.borrow",
    (("amount", Coin),),
    Repaid,
)

CANCEL_WITHDRAWAL = MessageFace(
    "lending.cancel_withdrawal",
    (
        ("denom", Denom),
        ("number", U64),
    ),
    Moved,
)

CHOOSE_GROUP = MessageFace(
    "lending.choose_group",
    (("group", U8),),
    None,
)

COLLATERAL_OFF = MessageFace(
    "lending.collateral_off",
    (
        ("denom", Denom),
        ("shares", Amount | None),
    ),
    Moved,
)

COLLATERAL_ON = MessageFace(
    "lending.collateral_on",
    (
        ("denom", Denom),
        ("shares", Amount | None),
    ),
    Moved,
)

COLLECT_RESERVES = MessageFace(
    "lending.collect_reserves",
    (
        ("denom", Denom),
        ("amount", Amount),
    ),
    None,
)

FLASH_LOAN = MessageFace(
    "lending.flash_loan",
    (("coins", Annotated[tuple[Coin, ...], Length(1, 8)]),),
    FlashFees,
)

LIQUIDATE = MessageFace(
    "lending.liquidate",
    (
        ("address", Address),
        ("collateral", Denom),
        ("debt", Denom),
        ("receive_shares", bool),
        ("amount", Amount | None),
        ("target_health_bps", Annotated[int, Between(10000, 12000)] | None),
    ),
    Seizure,
)

LIST_MARKET = MessageFace(
    "lending.list_market",
    (("terms", Terms),),
    Listed,
)

REPAY = MessageFace(
    "lending.repay",
    (
        ("denom", Denom),
        ("amount", Amount | None),
        ("address", Address | None),
    ),
    Repaid,
)

SEED = MessageFace(
    "lending.seed",
    (("denom", Denom),),
    Supplied,
)

SET_GROUP = MessageFace(
    "lending.set_group",
    (("group", Group),),
    None,
)

SET_PAUSE = MessageFace(
    "lending.set_pause",
    (
        ("denom", Denom),
        ("flags", Annotated[int, Between(0, 63)]),
    ),
    None,
)

SUPPLY = MessageFace(
    "lending.supply",
    (
        ("amount", Coin),
        ("collateral", bool),
    ),
    Supplied,
)

WITHDRAW = MessageFace(
    "lending.withdraw",
    (
        ("denom", Denom),
        ("collateral", bool),
        ("amount", Amount | None),
        ("queue", bool | None),
    ),
    Withdrawn,
)

GET_MARKET = QueryFace(
    "lending_getMarket",
    (("denom", Denom),),
    MarketInfo,
)

GET_POSITION = QueryFace(
    "lending_getPosition",
    (("address", Address),),
    PositionInfo,
)

GET_RAMP = QueryFace(
    "lending_getRamp",
    (("denom", Denom),),
    Ramp | None,
)

LIST_LIQUIDATABLE = QueryFace(
    "lending_listLiquidatable",
    (("limit", Annotated[int, Between(1, 1000)] | None),),
    Risks,
)

LIST_MARKETS = QueryFace(
    "lending_listMarkets",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U16 | None),
    ),
    MarketPage,
)

LIST_WAITING = QueryFace(
    "lending_listWaiting",
    (
        ("denom", Denom),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    WaitingPage,
)

PREVIEW_CHANGES = QueryFace(
    "lending_previewChanges",
    (
        ("address", Address),
        ("changes", Annotated[tuple[PositionChange, ...], Length(1, 8)]),
        ("group", U8 | None),
    ),
    PositionInfo,
)

PREVIEW_PRICES = QueryFace(
    "lending_previewPrices",
    (
        ("address", Address),
        ("moves", Annotated[tuple[PriceMove, ...], Length(1, 8)]),
    ),
    PositionInfo,
)

MESSAGES: tuple[MessageFace, ...] = (
    BORROW,
    CANCEL_WITHDRAWAL,
    CHOOSE_GROUP,
    COLLATERAL_OFF,
    COLLATERAL_ON,
    COLLECT_RESERVES,
    FLASH_LOAN,
    LIQUIDATE,
    LIST_MARKET,
    REPAY,
    SEED,
    SET_GROUP,
    SET_PAUSE,
    SUPPLY,
    WITHDRAW,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_MARKET,
    GET_POSITION,
    GET_RAMP,
    LIST_LIQUIDATABLE,
    LIST_MARKETS,
    LIST_WAITING,
    PREVIEW_CHANGES,
    PREVIEW_PRICES,
)

EVENTS: dict[str, type] = {
    "lending.market_listed": MarketListed,
    "lending.group_set": GroupSet,
    "lending.pause_set": PauseSet,
    "lending.supply_added": SupplyAdded,
    "lending.supply_taken": SupplyTaken,
    "lending.collateral_set": CollateralSet,
    "lending.group_chosen": GroupChosen,
    "lending.debt_raised": DebtRaised,
    "lending.debt_repaid": DebtRepaid,
    "lending.position_liquidated": PositionLiquidated,
    "lending.bad_debt_recognised": BadDebtRecognised,
    "lending.flash_lent": FlashLent,
    "lending.reserves_collected": ReservesCollected,
    "lending.withdrawal_queued": WithdrawalQueued,
    "lending.withdrawal_cancelled": WithdrawalCancelled,
}


class Lending(ModuleFace):
    """Lending markets with collateral, liquidation and flash loans."""

    def borrow(
        self, wallet: Wallet, *, amount: CoinLike, **options: Unpack[TransactionOptions]
    ) -> Pending[Repaid]:
        """Borrow coins against this account's collateral. Returns what was paid out and all that is owed
        of it now.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: what is borrowed.
        """
        return self._send(wallet, BORROW, {"amount": amount}, options)

    def cancel_withdrawal(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        number: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Moved]:
        """Take back what still waits of a withdrawal: the receipt shares return to the account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            number: the number that the withdrawal was given.
        """
        return self._send(wallet, CANCEL_WITHDRAWAL, {"denom": denom, "number": number}, options)

    def choose_group(
        self, wallet: Wallet, *, group: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Move this account's position into an efficiency group, or out of any.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            group: its number; 0 for none.
        """
        return self._send(wallet, CHOOSE_GROUP, {"group": group}, options)

    def collateral_off(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        shares: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Moved]:
        """Take receipt shares back out of the collateral, as far as no debt needs them.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all that are collateral unless given.
        """
        return self._send(wallet, COLLATERAL_OFF, {"denom": denom, "shares": shares}, options)

    def collateral_on(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        shares: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Moved]:
        """Put receipt shares up as collateral: they move into the market's own account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all in the account unless given.
        """
        return self._send(wallet, COLLATERAL_ON, {"denom": denom, "shares": shares}, options)

    def collect_reserves(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Pay reserves to the treasury. Only the parameters' authority.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            amount: base units.
        """
        return self._send(wallet, COLLECT_RESERVES, {"denom": denom, "amount": amount}, options)

    def flash_loan(
        self, wallet: Wallet, *, coins: tuple[Coin, ...] | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[FlashFees]:
        """Borrow several coins without collateral until the end of this transaction, which fails unless
        they are paid back.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            coins: what is lent, each denomination once.
        """
        return self._send(wallet, FLASH_LOAN, {"coins": coins}, options)

    def liquidate(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        collateral: str | Reference,
        debt: str | Reference,
        receive_shares: bool | Reference,
        amount: AmountLike | None = None,
        target_health_bps: int | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Seizure]:
        """Repay a part of an unhealthy position's debt and receive collateral worth as much and a bonus.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose position.
            collateral: what is received.
            debt: what is repaid.
            receive_shares: whether receipt shares are received, or the coins themselves.
            amount: most base units to repay; as much as is allowed unless given.
            target_health_bps: repay no more than brings the position to this health, in basis points.
        """
        return self._send(
            wallet,
            LIQUIDATE,
            {
                "address": address,
                "collateral": collateral,
                "debt": debt,
                "receive_shares": receive_shares,
                "amount": amount,
                "target_health_bps": target_health_bps,
            },
            options,
        )

    def list_market(
        self, wallet: Wallet, *, terms: Terms | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Listed]:
        """List an asset, or change the terms of a listed one. Only the parameters' authority.

        Risks of an open market move to their new values in time, caps grow; a new market begins small.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            terms: all terms; decimals, and the seed of an open market, stay what they were.
        """
        return self._send(wallet, LIST_MARKET, {"terms": terms}, options)

    def repay(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike | None = None,
        address: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Repaid]:
        """Repay a debt. Needs no price; more than is owed is not taken.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: what is owed.
            amount: base units; all that is owed unless given.
            address: whose debt; this account's unless given.
        """
        return self._send(wallet, REPAY, {"denom": denom, "amount": amount, "address": address}, options)

    def seed(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Supplied]:
        """Pay the seed deposit that opens an empty market. It stays in the market for ever.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
        """
        return self._send(wallet, SEED, {"denom": denom}, options)

    def set_group(
        self, wallet: Wallet, *, group: Group | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Make an efficiency group or change its terms. Only the parameters' authority.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            group: its number and terms.
        """
        return self._send(wallet, SET_GROUP, {"group": group}, options)

    def set_pause(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        flags: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Pause single actions of a market. Only the parameters' authority. Interest goes on.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            flags: sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32 flash loans; 0
                resumes all.
        """
        return self._send(wallet, SET_PAUSE, {"denom": denom, "flags": flags}, options)

    def supply(
        self,
        wallet: Wallet,
        *,
        amount: CoinLike,
        collateral: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Supplied]:
        """Supply coins for receipt shares, which earn interest and can be withdrawn or passed on.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: what is supplied.
            collateral: whether the shares become collateral at once.
        """
        return self._send(wallet, SUPPLY, {"amount": amount, "collateral": collateral}, options)

    def withdraw(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        collateral: bool | Reference,
        amount: AmountLike | None = None,
        queue: bool | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Withdrawn]:
        """Give receipt shares back for coins.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            collateral: whether shares that are collateral are taken, or those in the account.
            amount: base units of the asset; all that the shares are worth unless given.
            queue: whether what is above the market's outflow limit may wait; it is refused unless true.
        """
        return self._send(
            wallet,
            WITHDRAW,
            {"denom": denom, "collateral": collateral, "amount": amount, "queue": queue},
            options,
        )

    def get_market(self, denom: str = QXC, *, at: At | None = None) -> MarketInfo:
        """A market: terms, what it holds and owes, utilisation and rates, with interest up to now.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
        """
        answer: MarketInfo = self._query(GET_MARKET, {"denom": denom}, at)
        return answer

    def get_position(self, address: AddressLike, *, at: At | None = None) -> PositionInfo:
        """What an account has put up and owes, its health factor and what it may still borrow; prices are
        the feeds'.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: PositionInfo = self._query(GET_POSITION, {"address": address}, at)
        return answer

    def get_ramp(self, denom: str = QXC, *, at: At | None = None) -> Ramp | None:
        """Where a market's terms are on their way to, and since when; nothing if they have arrived.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
        """
        answer: Ramp | None = self._query(GET_RAMP, {"denom": denom}, at)
        return answer

    def list_liquidatable(self, limit: int | None = None, *, at: At | None = None) -> Risks:
        """Positions whose health is below 1 by the feeds, the worst of each pair of assets first.

        `at` is a height, the latest one unless given.

        Args:
            limit: the most that are told, 100 unless given.
        """
        answer: Risks = self._query(LIST_LIQUIDATABLE, {"limit": limit}, at)
        return answer

    def list_markets(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> MarketPage:
        """All markets, by number.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: MarketPage = self._query(LIST_MARKETS, {"limit": limit, "cursor": cursor}, at)
        return answer

    def list_waiting(
        self, denom: str = QXC, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> WaitingPage:
        """Withdrawals that wait in a market's line, the next to be paid first.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: WaitingPage = self._query(
            LIST_WAITING, {"denom": denom, "limit": limit, "cursor": cursor}, at
        )
        return answer

    def preview_changes(
        self,
        address: AddressLike,
        changes: tuple[PositionChange, ...],
        group: int | None = None,
        *,
        at: At | None = None,
    ) -> PositionInfo:
        """What a position would be with more or less collateral and debt: what a wallet shows before it
        signs.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            changes: by asset, what is added or taken away; no less than nothing is left.
            group: the efficiency group it would be in; its own unless given.
        """
        answer: PositionInfo = self._query(
            PREVIEW_CHANGES, {"address": address, "changes": changes, "group": group}, at
        )
        return answer

    def preview_prices(
        self, address: AddressLike, moves: tuple[PriceMove, ...], *, at: At | None = None
    ) -> PositionInfo:
        """What price moves would do to a position.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            moves: which prices move, and by how much.
        """
        answer: PositionInfo = self._query(PREVIEW_PRICES, {"address": address, "moves": moves}, at)
        return answer
