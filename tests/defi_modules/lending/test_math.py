"""Published figures, and what must hold of every number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.lending.math import (
    BASE_UNIT,
    FULL_CLOSE_HEALTH_WAD,
    MAX_ADAPTATION,
    MIN_ADAPTATION,
    NO_DEBT_HEALTH,
    SECONDS_PER_YEAR,
    Rates,
    adapted,
    compound_interest,
    flash_fee,
    health_factor,
    in_ones,
    kinked_rates,
    linear_interest,
    liquidation,
    liquidation_split,
    most_repayable,
    owed,
    ray_div,
    ray_mul,
    repay_for_health,
    scaled_down,
    scaled_up,
    to_assets,
    to_shares,
)
from qenex.errors import ValueOutOfRange
from qenex.integers import RAY, WAD

AMOUNTS = st.integers(1, 10**30)
RATES = st.integers(0, 4 * RAY)


def test_ray_arithmetic_rounds_half_up() -> None:
    assert ray_mul(5 * RAY // 2, 2) == 5
    assert ray_mul(1, RAY // 2) == 1, "exactly half goes up"
    assert ray_mul(1, RAY // 2 - 1) == 0
    assert ray_div(1, 2 * RAY) == 1, "exactly half goes up"
    assert ray_div(1, 2 * RAY + 2) == 0
    assert (
        ray_mul(134_534_543_232_342_353_231_234, 13_265_462_389_132_757_665_657) == 1_784_662_923_287_792_467
    ), "the figure of Aave's ports"
    with pytest.raises(ValueOutOfRange):
        ray_div(1, 0)
    with pytest.raises(ValueOutOfRange):
        ray_mul(-1, 1)


def test_interest_is_that_of_aaves_own_tests() -> None:
    """Aave v3 MathUtils tests (1.0005e27 over half a year) and the figures its other ports were checked against."""
    half = SECONDS_PER_YEAR // 2
    assert linear_interest(10_005 * 10**23, half) == 150_025 * 10**22
    assert compound_interest(10_005 * 10**23, half) == 1_646_239_361_880_034_706_419_516_000
    assert linear_interest(34 * RAY, 1) == 1_000_001_078_132_927_447_995_941_146
    assert compound_interest(34 * RAY, 5) == 1_000_005_390_676_260_958_604_081_853
    assert compound_interest(34 * RAY, 0) == RAY
    # One second, from Aave's utilities: no second power, so linear and compound agree.
    assert compound_interest(109_284_236_984_257_451_326_752_610, 1) == 1_000_000_003_465_380_421_875_236_280
    assert compound_interest(38_568_743_388_028_395_681_971_229, 1) == 1_000_000_001_223_006_829_909_576_220
    with pytest.raises(ValueOutOfRange):
        compound_interest(-1, 1)


def test_rates_are_those_of_a_market_on_polygon() -> None:
    """DAI, July 2025: the supply, the debt, the strategy and both rates as the pool's data provider told them."""
    debt = ray_mul(3_850_290_214_425_192_866_904_047, 1_246_354_639_933_580_045_710_500_200)
    rates = kinked_rates(
        1_597_680_495_689_333_440_291_006, debt, 0, 9 * 10**25, 4 * 10**26, 9 * 10**26, 2_500
    )
    # Its rates were stored a moment before the debt was read, so the last digits differ.
    assert abs(rates.borrow_ray - 75_022_612_287_677_334_948_970_370) < 10**22
    assert abs(rates.supply_ray - 42_212_567_851_829_899_700_003_482) < 10**22


def test_rates_at_the_kink_and_the_ends() -> None:
    terms = (0, 4 * RAY // 100, 75 * RAY // 100, 8 * RAY // 10, 1_000)
    assert kinked_rates(100, 0, *terms) == Rates(0, 0, 0)
    assert kinked_rates(20, 80, *terms) == Rates(8 * RAY // 10, 4 * 10**25, 288 * 10**23)
    assert kinked_rates(0, 100, *terms).borrow_ray == 79 * RAY // 100
    assert kinked_rates(60, 40, *terms).borrow_ray == 2 * RAY // 100
    with pytest.raises(ValueOutOfRange):
        kinked_rates(1, 1, 0, 0, 0, RAY, 0)


def test_health_is_collateral_by_threshold_over_debt() -> None:
    assert health_factor(10_000 * BASE_UNIT, 8_000, 8_000 * BASE_UNIT) == WAD
    assert health_factor(10_000 * BASE_UNIT, 8_000, 8_001 * BASE_UNIT) < WAD
    assert health_factor(10_000 * BASE_UNIT, 8_250, 5_000 * BASE_UNIT) == 165 * WAD // 100
    assert health_factor(0, 8_000, 1) == 0
    assert health_factor(5, 8_000, 0) == NO_DEBT_HEALTH


def test_health_is_that_of_aaves_documentation() -> None:
    """10,000 supplied at a threshold of 80%, 6,000 borrowed: 1.333 (aave.com/docs/developers/liquidations)."""
    assert health_factor(10_000 * BASE_UNIT, 8_000, 6_000 * BASE_UNIT) == 1_333_333_333_333_333_333


@given(
    st.integers(1, 10**24), st.integers(1, 10**13), st.integers(1, 10**13), st.sampled_from([0, 6, 8, 9, 18]),
    st.sampled_from([0, 6, 8, 9, 18]), st.integers(10_000, 12_000),
)  # fmt: skip
def test_what_is_seized_is_aaves_formula_rounded_for_the_position(
    repay: int, debt_price: int, collateral_price: int, debt_digits: int, digits: int, bonus: int
) -> None:
    """`debtAssetPrice * debtToCover * liquidationBonus / collateralPrice`, in units of each asset."""
    exact = Fraction(debt_price * repay * bonus * 10**digits, collateral_price * 10_000 * 10**debt_digits)
    enough = int(exact) + 1
    arguments = (repay, debt_price, 10**debt_digits, enough, collateral_price, 10**digits, bonus, 1_000)
    done = liquidation(*arguments)
    assert done.repaid == repay
    assert exact - 3 < done.seized <= exact
    short = done.seized // 2
    less = liquidation(*arguments[:3], short, *arguments[4:])
    assert less.seized == short
    assert less.repaid <= repay
    owed_for = Fraction(short * collateral_price * 10_000 * 10**debt_digits, debt_price * bonus * 10**digits)
    assert less.repaid == repay or owed_for <= less.repaid < owed_for + 1, "all of it, for what it pays"


def test_liquidation_amounts_with_the_bonus_and_the_protocols_part() -> None:
    # 1,000 at 1.00 repaid, collateral at 2,000 with 18 decimals, bonus 5%, protocol 10% of the bonus.
    done = liquidation(1_000 * 10**6, BASE_UNIT, 10**6, 10**18, 2_000 * BASE_UNIT, 10**18, 10_500, 1_000)
    assert done == (1_000 * 10**6, 525 * 10**15, 25 * 10**14)
    assert liquidation_split(525 * 10**15, 10_500, 1_000) == (5_225 * 10**14, 25 * 10**14)
    # Not enough collateral: all of it, for what it pays, rounded up.
    done = liquidation(1_000 * 10**6, BASE_UNIT, 10**6, 10**17, 2_000 * BASE_UNIT, 10**18, 10_500, 1_000)
    assert done.seized == 10**17
    assert done.repaid == 190_476_191
    assert liquidation_split(21, 10_500, 1) == (20, 1), "the protocol's part rounds up"


def test_the_close_factor_and_its_exceptions() -> None:
    one = BASE_UNIT
    whole = 10_000 * one
    near = FULL_CLOSE_HEALTH_WAD + 1
    assert most_repayable(whole, whole, whole, whole, near, one, one) == 5_000 * one
    assert most_repayable(whole, whole, whole, whole, near - 1, one, one) == whole, "0.95 and below"
    small = 2_000 * one - 1
    assert most_repayable(small, small, whole, whole, near, one, one) == small, "a small debt"
    assert most_repayable(whole, whole, small, whole, near, one, one) == whole, "small collateral"
    assert most_repayable(4_000 * one, 4_000 * one, whole, whole, near, one, one) == 4_000 * one, (
        "half of ALL debt, not of this one"
    )


@given(
    st.integers(10**10, 10**16), st.integers(5_000, 9_000), st.integers(10_000, 10_800), st.integers(80, 99)
)
def test_repaying_for_a_target_reaches_it_and_not_much_more(
    value: int, threshold: int, bonus: int, percent: int
) -> None:
    debt = value * threshold // 10_000 * 100 // percent
    target = 102 * WAD // 100
    repay = repay_for_health(value * threshold, debt, bonus, threshold, target, BASE_UNIT, BASE_UNIT)
    assert repay is not None
    if repay > debt or repay * bonus > value * 10_000:
        return  # the collateral does not reach: the whole is taken
    left = value - -(-repay * bonus // 10_000)
    assert health_factor(left, threshold, debt - repay) >= target - WAD // 10**6
    less = repay - repay // 1_000 - 2
    assert health_factor(value - less * bonus // 10_000, threshold, debt - less) < target


def test_shares_of_an_empty_pool_cannot_be_inflated() -> None:
    """The first depositor gives 1 unit, then donates: whoever comes second loses at most what the attacker loses."""
    first = to_shares(1, 0, 0, 1, 10**6, False)
    assert first == 10**6
    donated = 10**12
    second = to_shares(10**12, 1 + donated, first, 1, 10**6, False)
    back = to_assets(second, 1 + donated + 10**12, first + second, 1, 10**6, False)
    gained = to_assets(first, 1 + donated + 10**12, first + second, 1, 10**6, False) - 1 - donated
    assert gained < 0
    assert 10**12 - back < 10**7


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_round_trip_through_shares_never_pays(x: int, assets: int, shares: int) -> None:
    minted = to_shares(x, assets, shares, 1, 10**6, False)
    assert to_assets(minted, assets + x, shares + minted, 1, 10**6, False) <= x
    burned = to_shares(x, assets, shares, 1, 10**6, True)
    assert to_assets(burned, assets, shares, 1, 10**6, False) >= x


@given(AMOUNTS, st.integers(RAY, 10**30))
def test_debt_rounds_for_the_pool(amount: int, index: int) -> None:
    assert owed(scaled_up(amount, index), index) >= amount
    assert owed(scaled_down(amount, index), index) <= amount
    assert scaled_down(amount, index) <= scaled_up(amount, index) <= scaled_down(amount, index) + 1


@given(RATES, st.integers(0, SECONDS_PER_YEAR))
def test_debt_grows_at_least_as_fast_as_supply_and_never_beyond_the_exact_power(
    rate: int, seconds: int
) -> None:
    factor = compound_interest(rate, seconds)
    assert factor >= linear_interest(rate, seconds)
    x = Fraction(rate * seconds, SECONDS_PER_YEAR * RAY)
    series = 1 + x + x**2 / 2 + x**3 / 6
    assert Fraction(factor, RAY) <= series + Fraction(seconds**3 + 1, RAY)


@given(st.integers(0, 10**24), st.integers(0, 10**24), RATES, RATES, st.integers(1, 10_000))
def test_suppliers_never_earn_more_than_borrowers_pay(
    cash: int, debt: int, slope1: int, slope2: int, reserve: int
) -> None:
    rates = kinked_rates(cash, debt, 0, slope1, slope2, RAY // 2, reserve)
    assert rates.supply_ray <= rates.borrow_ray
    assert (
        rates.supply_ray * (cash + debt)
        <= rates.borrow_ray * debt + rates.borrow_ray * (cash + debt) // RAY * 2 + RAY * 2
    )


@given(
    st.integers(MIN_ADAPTATION, MAX_ADAPTATION), st.integers(0, RAY), st.integers(0, 10 * SECONDS_PER_YEAR)
)
def test_an_adaptive_market_moves_towards_its_kink_within_bounds(
    before: int, used: int, seconds: int
) -> None:
    after = adapted(before, used, RAY // 2, 50 * RAY, seconds)
    assert MIN_ADAPTATION <= after <= MAX_ADAPTATION
    assert after >= before if used > RAY // 2 else after <= before


def test_flash_fees_round_up() -> None:
    assert (flash_fee(1, 9), flash_fee(10_000, 9), flash_fee(10_001, 9), flash_fee(10**9, 0)) == (1, 9, 10, 0)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(123, 2, "1.23"), (10**18, 18, "1"), (0, 8, "0"), (5, 8, "0.00000005"), (1_050_000_000, 8, "10.5")],
)
def test_errors_tell_values_as_people_read_them(value: int, digits: int, text: str) -> None:
    assert in_ones(value, digits) == text
