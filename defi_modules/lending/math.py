"""The arithmetic of the lending market: plain integers in and out, every division says which way it rounds.

Rates, indexes and shares of time are rays (1e27 is one), health factors wads (1e18), values base currency with 8
decimals. Interest and rates follow Aave v3's `WadRayMath`, `MathUtils` and two-slope strategy to the unit;
liquidations follow Aave 3.3's rules with our rounding: seized collateral floor, the protocol's part ceiling, debt
that is asked ceiling.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from qenex.errors import ValueOutOfRange
from qenex.integers import BASIS_POINTS, RAY, WAD, divide, mul_div

SECONDS_PER_YEAR: Final = 365 * 86_400
"""Leap years are ignored, as everywhere in this field."""
BASE_UNIT: Final = 10**8
"""One unit of the base currency."""
CLOSE_FACTOR_BPS: Final = 5_000
"""Part of the total debt that one liquidation may repay while the position is near health."""
FULL_CLOSE_HEALTH_WAD: Final = 95 * 10**16
"""At or below this health the whole debt may be repaid at once."""
SMALL_BASE: Final = 2_000 * BASE_UNIT
"""Collateral or debt below this value may be taken whole."""
LEFTOVER_BASE: Final = 1_000 * BASE_UNIT
"""If both collateral and debt remain, each is worth at least this."""
NO_DEBT_HEALTH: Final = (1 << 256) - 1
"""Health of a position that owes nothing."""
MAX_ADAPTATION: Final = 4 * RAY
MIN_ADAPTATION: Final = RAY // 4


class Rates(NamedTuple):
    """Share of the assets that is lent out, and what borrowers pay and suppliers earn in a year, all in rays."""

    utilization_ray: int
    borrow_ray: int
    supply_ray: int


class Liquidated(NamedTuple):
    """What a liquidation moves: debt repaid, collateral seized in all, and the protocol's part of that."""

    repaid: int
    seized: int
    protocol: int


def ray_mul(a: int, b: int) -> int:
    """`a * b / 1e27`, half up, as Aave's `rayMul`. Raises ValueOutOfRange for a negative factor."""
    if a < 0 or b < 0:
        raise ValueOutOfRange("a negative ray")
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    """`a * 1e27 / b`, half up, as Aave's `rayDiv`. Raises ValueOutOfRange for a negative or zero divisor."""
    if a < 0 or b <= 0:
        raise ValueOutOfRange("a ray divided by nothing, or a negative one")
    return (a * RAY + b // 2) // b


def linear_interest(rate: int, seconds: int) -> int:
    """Factor, in rays, by which a supply grows in so many seconds at `rate` (ray a year): floor, without compounding."""
    return RAY + divide(rate * seconds, SECONDS_PER_YEAR, round_up=False)


def compound_interest(rate: int, seconds: int) -> int:
    """Factor, in rays, by which a debt grows in so many seconds at `rate` (ray a year), compounded every second.

    The binomial series up to its third power (Aave v3 `calculateCompoundedInterest`), which lies a little below
    the exact power. Raises ValueOutOfRange for a negative rate or time.
    """
    if rate < 0 or seconds < 0:
        raise ValueOutOfRange("interest runs forward, at a rate of 0 or more")
    if seconds == 0:
        return RAY
    square = ray_mul(rate, rate) // (SECONDS_PER_YEAR * SECONDS_PER_YEAR)
    cube = ray_mul(square, rate) // SECONDS_PER_YEAR
    pairs = seconds * (seconds - 1)
    second = pairs * square // 2
    third = pairs * max(0, seconds - 2) * cube // 6
    return RAY + rate * seconds // SECONDS_PER_YEAR + second + third


def kinked_rates(
    cash: int, debt: int, base: int, slope1: int, slope2: int, optimal: int, reserve_factor_bps: int
) -> Rates:
    """Rates of a market that holds `cash` and has lent `debt`: one slope up to `optimal`, another beyond it.

    `base`, `slope1`, `slope2` (rates) and `optimal` (a utilisation between 0 and 1) are rays. What borrowers pay,
    less the reserve's part, is spread over all that was supplied. Half up, as Aave v3's default strategy, but the
    suppliers' rate is floored. Raises ValueOutOfRange.
    """
    if not 0 < optimal < RAY or not 0 <= reserve_factor_bps <= BASIS_POINTS:
        raise ValueOutOfRange("the kink lies between 0 and 1, and so does the reserve's part")
    if debt <= 0:
        return Rates(0, base, 0)
    used = ray_div(debt, cash + debt)
    if used > optimal:
        borrow = base + slope1 + ray_mul(slope2, ray_div(used - optimal, RAY - optimal))
    else:
        borrow = base + ray_mul(slope1, ray_div(used, optimal))
    return Rates(used, borrow, ray_mul(borrow, used) * (BASIS_POINTS - reserve_factor_bps) // BASIS_POINTS)


def adapted(multiplier: int, utilization: int, optimal: int, speed: int, seconds: int) -> int:
    """The factor on both slopes of an adaptive market after so many seconds at a utilisation; rays.

    It rises while more than `optimal` is lent and falls while less is, by `speed` a year at the extremes, and
    stays between a quarter and four (the shape of Morpho's adaptive curve, without exponentials).
    """
    if utilization > optimal:
        away = ray_div(utilization - optimal, RAY - optimal)
        grown = multiplier + multiplier * (speed * away // RAY * seconds // SECONDS_PER_YEAR) // RAY
        return min(MAX_ADAPTATION, grown)
    away = ray_div(optimal - utilization, optimal)
    shrunk = speed * away // RAY * seconds // SECONDS_PER_YEAR
    return max(MIN_ADAPTATION, multiplier - multiplier * min(RAY, shrunk) // RAY)


def value_of(amount: int, price: int, unit: int, *, round_up: bool) -> int:
    """Base currency (8 decimals) of `amount` base units at `price` for a whole unit of `unit` base units."""
    return mul_div(amount, price, unit, round_up=round_up)


def in_ones(value: int, digits: int) -> str:
    """A value of so many decimals as people read it: 123 of 2 is 1.23."""
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def health_factor(collateral: int, threshold_bps: int, debt: int) -> int:
    """`collateral * threshold / debt` as a wad, floor; both values in base currency. Without debt the largest number.

    Below 1e18 the position may be liquidated. Raises ValueOutOfRange for negative values.
    """
    if debt == 0:
        return NO_DEBT_HEALTH
    return mul_div(collateral * threshold_bps, WAD, debt * BASIS_POINTS, round_up=False)


def liquidation_split(seized: int, bonus_bps: int, fee_bps: int) -> tuple[int, int]:
    """What the liquidator and the protocol get of seized collateral that holds a bonus (10,500: 5%).

    The protocol's part is `fee_bps` of the bonus, rounded up; the rest is the liquidator's.
    """
    bonus = seized - mul_div(seized, BASIS_POINTS, bonus_bps, round_up=False)
    protocol = mul_div(bonus, fee_bps, BASIS_POINTS, round_up=True)
    return seized - protocol, protocol


def most_repayable(
    debt: int, debt_base: int, collateral_base: int, total_debt_base: int, health: int, price: int, unit: int
) -> int:
    """Most base units of one debt that one liquidation may repay: the close factor and its exceptions.

    `debt` is all that is owed of it and `debt_base` its value, `collateral_base` the value of the collateral that is
    asked for, `total_debt_base` that of all debts, `price` and `unit` the debt's. Floor.
    """
    small = debt_base < SMALL_BASE or collateral_base < SMALL_BASE
    if small or health <= FULL_CLOSE_HEALTH_WAD:
        return debt
    half = total_debt_base * CLOSE_FACTOR_BPS // BASIS_POINTS
    return debt if debt_base <= half else min(debt, mul_div(half, unit, price, round_up=False))


def repay_for_health(
    collateral: int, debt_base: int, bonus_bps: int, threshold_bps: int, target: int, price: int, unit: int
) -> int | None:
    """Base units to repay so that the position comes to health `target` (wad), rounded up; None if nothing does.

    `collateral` is the sum of values times thresholds (base currency times 10,000), `threshold_bps` that of the
    collateral which is seized. Repaying x takes x * bonus * threshold from it and x from the debt.
    """
    lost = bonus_bps * threshold_bps * WAD // BASIS_POINTS
    gained = target * BASIS_POINTS
    missing = target * debt_base * BASIS_POINTS - collateral * WAD
    if missing <= 0:
        return 0
    if gained <= lost:
        return None
    return mul_div(divide(missing, gained - lost, round_up=True), unit, price, round_up=True)


def liquidation(
    repay: int,
    debt_price: int,
    debt_unit: int,
    collateral: int,
    collateral_price: int,
    collateral_unit: int,
    bonus_bps: int,
    fee_bps: int,
) -> Liquidated:
    """What repaying `repay` base units of a debt takes of `collateral` base units of another asset.

    The value repaid plus the bonus is seized, floor. Where the collateral does not reach, all of it is seized for the
    part of the debt that it pays, rounded up and never more than `repay`. Aave's `calculateAvailableCollateralToLiquidate`.
    """
    plain = mul_div(debt_price * repay, collateral_unit, collateral_price * debt_unit, round_up=False)
    seized = mul_div(plain, bonus_bps, BASIS_POINTS, round_up=False)
    repaid = repay
    if seized > collateral:
        seized = collateral
        top = collateral_price * collateral * debt_unit * BASIS_POINTS
        repaid = min(repay, divide(top, debt_price * collateral_unit * bonus_bps, round_up=True))
    return Liquidated(repaid, seized, liquidation_split(seized, bonus_bps, fee_bps)[1])


def to_shares(
    x: int, assets: int, shares: int, virtual_assets: int, virtual_shares: int, round_up: bool
) -> int:
    """Shares for `x` base units of a pool; the virtual parts give an empty pool a price nobody can move cheaply."""
    return mul_div(x, shares + virtual_shares, assets + virtual_assets, round_up=round_up)


def to_assets(
    x: int, assets: int, shares: int, virtual_assets: int, virtual_shares: int, round_up: bool
) -> int:
    """Base units for `x` shares of a pool: the inverse of `to_shares`."""
    return mul_div(x, assets + virtual_assets, shares + virtual_shares, round_up=round_up)


def scaled_up(amount: int, index: int) -> int:
    """Scaled debt for an amount that is borrowed: rounded up, so that rounding never lends for nothing."""
    return mul_div(amount, RAY, index, round_up=True)


def scaled_down(amount: int, index: int) -> int:
    """Scaled debt that an amount repays: rounded down."""
    return mul_div(amount, RAY, index, round_up=False)


def owed(scaled: int, index: int) -> int:
    """Base units owed for a scaled debt: rounded up."""
    return mul_div(scaled, index, RAY, round_up=True)


def flash_fee(amount: int, fee_bps: int) -> int:
    """Fee of a flash loan, base units, rounded up."""
    return mul_div(amount, fee_bps, BASIS_POINTS, round_up=True)
