"""What all parts of lending share: its collections, interest on touch, coins in and out, and positions."""

from __future__ import annotations

from typing import Final

from defi_modules.lending.math import (
    Rates,
    adapted,
    compound_interest,
    kinked_rates,
    linear_interest,
    owed,
    ray_mul,
    to_assets,
    to_shares,
)
from defi_modules.lending.types import (
    EMPTY_POSITION,
    MAX_ENTRIES,
    Cursor,
    Entry,
    Group,
    LendingParams,
    Market,
    Position,
    Terms,
)
from ledger.collections import Counter, Item, Map, OrderedMap
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    ActionPaused,
    GroupViolated,
    InvariantViolated,
    MarketIlliquid,
    MarketNotListed,
    MarketNotOpen,
    OutflowLimitReached,
    TooManyAssets,
)
from qenex.integers import BASIS_POINTS, RAY, mul_div
from qenex.state_keys import ModuleId
from qenex.types import U8, U16, U128, Denom
from vm.calls import Handle
from vm.context import Context
from vm.module import Module

VIRTUAL_SHARES: Final = 10**6
VIRTUAL_ASSETS: Final = 1
"""A market behaves as if these had been supplied before anybody came (OpenZeppelin's and Morpho's offset)."""
DAY_WINDOWS: Final = 24
"""Windows of outflow that are looked at together."""
TOUCH_GAS: Final = 120
"""Bringing one more market up to date."""


class LendingBase(Module):
    """State of lending, and the steps that several messages take."""

    id = ModuleId.LENDING
    name = "lending"
    uses = ("oracle", "amm")
    Params = LendingParams

    oracle: Handle
    amm: Handle

    numbers = Map[str, int](1, key=Denom, value=U16)
    terms = OrderedMap[int, Terms](2, key=U16, value=Terms)
    markets = OrderedMap[int, Market](3, key=U16, value=Market)
    market_numbers = Counter(4)
    groups = OrderedMap[int, Group](5, key=U8, value=Group)
    positions = OrderedMap[Address, Position](6, key=Address, value=Position)
    risks = OrderedMap[tuple[int, int, int, int, Address], int](
        7, key=(U8, U16, U16, U128, Address), value=U8
    )
    """Positions with debt by (group, collateral market, debt market, ratio): see `risks.py`."""
    cursor = Item[Cursor](8, Cursor)

    # -- reading --------------------------------------------------------------------------

    def number_of(self, denom: str) -> int:
        """Number of a denomination's market. Raises MarketNotListed."""
        number = self.numbers.get(denom)
        if number is None:
            raise MarketNotListed(f"{denom} has no market here")
        return number

    def terms_of(self, number: int) -> Terms:
        """A market's terms. Raises MarketNotListed."""
        terms = self.terms.get(number)
        if terms is None:
            raise MarketNotListed(f"there is no market {number}")
        return terms

    def position_of(self, address: Address) -> Position:
        """An account's position, an empty one if it has none."""
        return self.positions.get(address) or EMPTY_POSITION

    def group_terms(self, position_group: int, terms: Terms) -> tuple[int, int, int]:
        """Loan-to-value, threshold and bonus of a market's asset for a position in this group."""
        if position_group and terms.group == position_group:
            group = self.groups.get(position_group)
            if group is None:
                raise GroupViolated(f"there is no group {position_group}")
            return group.ltv_bps, group.threshold_bps, group.bonus_bps
        return terms.ltv_bps, terms.threshold_bps, terms.bonus_bps

    # -- interest ---------------------------------------------------------------------------

    def now(self, ctx: Context, number: int) -> Market:
        """A market with interest up to the block's time, not written. Raises MarketNotListed."""
        market = self.markets.get(number)
        if market is None:
            raise MarketNotListed(f"there is no market {number}")
        return (
            market if market.updated_s >= ctx.time_s else accrued(market, self.terms_of(number), ctx.time_s)
        )

    def touch(self, ctx: Context, denom: str, action: int) -> tuple[int, Terms, Market]:
        """A market for an action, up to date. Raises MarketNotListed, MarketNotOpen or ActionPaused."""
        number = self.number_of(denom)
        terms = self.terms_of(number)
        market = self.now(ctx, number)
        if market.paused & action:
            raise ActionPaused(f"paused in the market of {denom}")
        if not market.seed_shares:
            raise MarketNotOpen(f"nobody has paid the seed of {terms.seed} base units of {denom}")
        return number, terms, market

    def write(self, number: int, terms: Terms, market: Market) -> None:
        """Write a market with its rates anew; what rounding left over goes to the reserve."""
        debt = owed(market.scaled_debt, market.index_ray)
        rates = rates_of(market.cash, debt, terms, market.multiplier_ray)
        self.markets.set(
            number,
            market._replace(
                reserves=market.cash + debt - market.assets,
                borrow_ray=rates.borrow_ray,
                supply_ray=rates.supply_ray,
                utilization_ray=rates.utilization_ray,
            ),
        )

    # -- coins and shares ----------------------------------------------------------------------

    @staticmethod
    def receipt(denom: str) -> str:
        """Denomination of a market's receipt shares."""
        return f"lending/{denom}"

    @staticmethod
    def market_account(number: int) -> Address:
        """The account that holds a market's coins and the shares put up as collateral."""
        return module_address("lending", b"market/" + number.to_bytes(2, "big"))

    @staticmethod
    def shares_for(market: Market, amount: int, *, round_up: bool) -> int:
        """Receipt shares for base units, at a market's state."""
        return to_shares(amount, market.assets, market.shares, VIRTUAL_ASSETS, VIRTUAL_SHARES, round_up)

    @staticmethod
    def assets_for(market: Market, shares: int) -> int:
        """Base units for receipt shares, at a market's state; floor."""
        return to_assets(shares, market.assets, market.shares, VIRTUAL_ASSETS, VIRTUAL_SHARES, False)

    def leave(self, ctx: Context, terms: Terms, market: Market, amount: int) -> Market:
        """The market without so much cash; the caller pays it. Raises MarketIlliquid or OutflowLimitReached."""
        if amount > market.cash:
            raise MarketIlliquid(
                f"{market.cash} base units of {terms.denom} are there, {amount} are asked for"
            )
        if terms.outflow_bps < BASIS_POINTS:
            market = self.in_window(ctx, market)
            room = self.outflow_room(terms, market)
            if amount > room:
                raise OutflowLimitReached(
                    f"{max(0, room)} base units of {terms.denom} may leave before "
                    f"{market.outflow_s + self.params.outflow_window_s} (seconds since 1970)"
                )
            market = market._replace(outflow=market.outflow + amount, day_outflow=market.day_outflow + amount)
        return market._replace(cash=market.cash - amount)

    def in_window(self, ctx: Context, market: Market) -> Market:
        """The market with new windows of outflow, if the last ones are over."""
        window = self.params.outflow_window_s
        if ctx.time_s - market.outflow_s >= window:
            market = market._replace(outflow_s=ctx.time_s, outflow=0)
        if ctx.time_s - market.day_outflow_s >= DAY_WINDOWS * window:
            market = market._replace(day_outflow_s=ctx.time_s, day_outflow=0)
        return market

    @staticmethod
    def outflow_limit(terms: Terms, market: Market) -> int:
        """Base units that may leave in a window; floor."""
        return mul_div(market.assets, terms.outflow_bps, BASIS_POINTS, round_up=False)

    def outflow_room(self, terms: Terms, market: Market) -> int:
        """Base units that may still leave now, in the windows that run."""
        limit, windows = self.outflow_limit(terms, market), int(self.params.outflow_day_windows)
        return min(limit - market.outflow, limit * windows - market.day_outflow)

    @staticmethod
    def arrive(market: Market, amount: int) -> Market:
        """The market with so much more cash, which the caller has taken; it makes room in the windows' outflow."""
        return market._replace(
            cash=market.cash + amount,
            outflow=max(0, market.outflow - amount),
            day_outflow=max(0, market.day_outflow - amount),
        )

    # -- positions ---------------------------------------------------------------------------

    @staticmethod
    def entry_of(position: Position, number: int) -> Entry:
        """A position's entry for a market, an empty one if there is none."""
        for entry in position.entries:
            if entry.market == number:
                return entry
        return Entry(number, 0, 0)

    @staticmethod
    def with_entry(position: Position, changed: Entry) -> Position:
        """The position with one entry changed. Raises TooManyAssets."""
        number = changed.market
        others = [entry for entry in position.entries if entry.market != number]
        if changed.collateral or changed.debt:
            others.append(changed)
            if len(others) > MAX_ENTRIES:
                raise TooManyAssets(f"a position holds at most {MAX_ENTRIES} assets")
            others.sort()
        return position._replace(entries=tuple(others))


def unit_of(terms: Terms) -> int:
    """Base units of one whole unit of a market's asset."""
    unit: int = 10**terms.decimals
    return unit


def rates_of(cash: int, debt: int, terms: Terms, multiplier: int) -> Rates:
    """What a market's terms make of its cash and debt: see `kinked_rates`."""
    slope1, slope2 = terms.slope1_ray, terms.slope2_ray
    if multiplier != RAY:
        slope1, slope2 = ray_mul(slope1, multiplier), ray_mul(slope2, multiplier)
    optimal = terms.optimal_bps * (RAY // BASIS_POINTS)
    return kinked_rates(cash, debt, terms.base_ray, slope1, slope2, optimal, terms.reserve_factor_bps)


def accrued(market: Market, terms: Terms, now_s: int) -> Market:
    """The market with interest until `now_s` at the rates since its last touch.

    Debt grows by index, compounded and rounded up; suppliers earn linearly, rounded down and never more than what
    borrowers were charged; the rest is the reserve's. So nothing is ever owed to suppliers that nobody owes.
    """
    seconds = now_s - market.updated_s
    if seconds <= 0:
        return market
    multiplier = market.multiplier_ray
    if terms.adaptive_speed:
        optimal = terms.optimal_bps * (RAY // BASIS_POINTS)
        multiplier = adapted(multiplier, market.utilization_ray, optimal, terms.adaptive_speed * RAY, seconds)
    if not market.scaled_debt:
        return market._replace(updated_s=now_s, multiplier_ray=multiplier)
    before = owed(market.scaled_debt, market.index_ray)
    index = mul_div(market.index_ray, compound_interest(market.borrow_ray, seconds), RAY, round_up=True)
    interest = owed(market.scaled_debt, index) - before
    grown = market.assets * linear_interest(market.supply_ray, seconds) // RAY - market.assets
    earned = min(interest, grown)
    return market._replace(
        updated_s=now_s,
        index_ray=index,
        assets=market.assets + earned,
        reserves=market.reserves + interest - earned,
        multiplier_ray=multiplier,
    )


def check_market(market: Market) -> None:
    """Raise InvariantViolated unless a market's two sides are equal and nothing of them is negative."""
    debt = owed(market.scaled_debt, market.index_ray)
    if market.cash + debt != market.assets + market.reserves or min(market.reserves, market.assets) < 0:
        raise InvariantViolated("a market's cash and debt are not what suppliers and reserve hold")
