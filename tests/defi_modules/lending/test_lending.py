"""Supplying, borrowing, repaying, interest, collateral, caps: what is paid, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.lending.math import compound_interest, kinked_rates, linear_interest, owed
from qenex.errors import (
    ActionPaused,
    AmountNotPositive,
    AmountTooSmall,
    BorrowCapReached,
    BorrowLimitExceeded,
    CollateralNotEnabled,
    DebtCeilingReached,
    DebtUnpaid,
    GroupViolated,
    HealthTooLow,
    InvalidGenesis,
    InvalidMarketTerms,
    IsolationViolated,
    MarketIlliquid,
    MarketNotListed,
    MarketNotOpen,
    MarketOpen,
    NotCollateral,
    NothingOwed,
    NothingSupplied,
    NotLendingAuthority,
    OutflowLimitReached,
    PriceStale,
    PriceUncertain,
    QenexError,
    ReserveTooSmall,
    SupplyCapReached,
    UnknownFeed,
)
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    BOTTOMLESS,
    CAROL,
    DAVE,
    ERIN,
    FEEDS,
    ONE,
    RAY,
    SEED,
    YEAR,
    A,
    B,
    Bank,
    C,
    D,
    borrow,
    liquidate,
    repay,
    supply,
    terms,
    withdraw,
)
from tests.vm.chain import Chain

GROUP = {"number": 1, "ltv_bps": 9_300, "threshold_bps": 9_500, "bonus_bps": 10_100}
SHARE = 10**6
"""Shares of a base unit while no interest has been earned."""


def test_supply_gives_shares_and_they_give_the_supply_back() -> None:
    bank = Bank()
    result = bank.must(ALICE, supply(A, 1_000))
    assert result.shares == 1_000 * SHARE
    assert bank.balance(ALICE.address, f"lending/{A}") == 1_000 * SHARE
    paid = bank.must(ALICE, withdraw(A, 400))
    assert (paid.amount, paid.shares) == (400, 400 * SHARE)
    assert bank.must(ALICE, withdraw(A)).amount == 600
    assert bank.market(A).state.assets == SEED
    bank.refused(NothingSupplied, ALICE, withdraw(A, 1))


def test_interest_accrues_to_the_unit_as_the_formula_says() -> None:
    bank = Bank()
    bank.indebted(lent=7_000 * ONE)
    before = bank.market(B).state
    debt = owed(before.scaled_debt, before.index_ray)
    rates = kinked_rates(before.cash, debt, 0, 4 * 10**25, 75 * 10**25, 8 * 10**26, 1_000)
    assert (before.borrow_ray, before.supply_ray) == (rates.borrow_ray, rates.supply_ray)
    bank.time += YEAR * 10**9
    after = bank.market(B).state
    seconds = after.updated_s - before.updated_s
    factor = compound_interest(rates.borrow_ray, seconds)
    assert after.index_ray == -(-before.index_ray * factor // RAY)
    grown = before.assets * linear_interest(rates.supply_ray, seconds) // RAY
    assert after.assets == grown
    interest = owed(after.scaled_debt, after.index_ray) - debt
    assert after.reserves == before.reserves + interest - (grown - before.assets)
    assert bank.owes(BOB, B) == owed(before.scaled_debt, after.index_ray)
    bank.must(BOB, repay(B))
    assert bank.owes(BOB, B) == 0
    assert bank.market(B).state.scaled_debt == 0


def test_interest_costs_the_same_whoever_touches_the_market_and_a_second_touch_in_a_block_adds_nothing() -> (
    None
):
    bank = Bank()
    bank.indebted()
    bank.wait(YEAR)
    first = bank.market(B).state
    bank.must(ALICE, supply(B, 1), withdraw(B, 1))
    second = bank.market(B).state
    assert second.index_ray >= first.index_ray
    assert second.assets >= first.assets


def test_a_loan_is_paid_out_of_the_pool_and_limited_by_the_collateral() -> None:
    bank = Bank()
    bank.indebted(lent=7_000 * ONE)
    assert bank.wealth(BOB)[B] == 10**24 + 7_000 * ONE
    position = bank.position(BOB)
    assert (position.collateral, position.debt) == (10_000 * 10**8, 7_000 * 10**8)
    assert position.limit == 7_500 * 10**8
    assert position.available == 500 * 10**8
    assert position.health_wad == 8_000 * 10**18 // 7_000
    bank.refused(BorrowLimitExceeded, BOB, borrow(B, 501 * ONE))
    bank.must(BOB, borrow(B, 499 * ONE))
    assert bank.problems() == []


def test_a_price_move_is_told_before_it_happens() -> None:
    bank = Bank()
    bank.indebted(lent=7_000 * ONE)
    fallen = bank.query("lending.preview_prices", BOB.address, ((A, -2_000),))
    assert fallen.health_wad == 8_000 * 8 // 10 * 10**18 // 7_000
    entries = {entry.denom: entry for entry in bank.position(BOB).entries}
    assert abs(entries[A].liquidation_price - 7_000 * 10**8 // 8_000) <= 1
    assert abs(entries[B].liquidation_price - 8_000 * 10**8 // 7_000) <= 1
    bank.price(A, entries[A].liquidation_price - 1, -8)
    assert bank.liquidatable() == [BOB.address]


def test_what_is_previewed_is_what_happens() -> None:
    bank = Bank(terms(B, slope1_ray=0), terms(A, group=1), groups=(GROUP,))
    bank.indebted(lent=4_000 * ONE)
    for change, message in (
        ((A, 500 * ONE, 0), supply(A, 500 * ONE, collateral=True)),
        ((A, -700 * ONE, 0), withdraw(A, 700 * ONE, collateral=True)),
        ((B, 0, 1_000 * ONE), borrow(B, 1_000 * ONE)),
        ((B, 0, -3_000 * ONE), repay(B, 3_000 * ONE)),
        ((C, 250 * ONE, 0), supply(C, 250 * ONE, collateral=True)),
    ):
        told = bank.query("lending.preview_changes", BOB.address, (change,), None)
        bank.must(BOB, message)
        assert bank.position(BOB) == told, message
    everything = bank.query(
        "lending.preview_changes", BOB.address, ((B, 0, -(10**20)), (A, -(10**20), 0)), None
    )
    assert [entry.denom for entry in everything.entries] == [C]
    assert everything.debt == 0
    grouped = bank.query("lending.preview_changes", BOB.address, ((A, 0, 0),), 1)
    assert grouped.limit > bank.position(BOB).limit
    for wrong, error in ((("QXC", 1, 0), MarketNotListed),):
        with pytest.raises(error):
            bank.query("lending.preview_changes", BOB.address, (wrong,), None)


def test_what_secures_a_debt_stays() -> None:
    bank = Bank()
    bank.indebted(lent=7_000 * ONE)
    bank.refused(HealthTooLow, BOB, withdraw(A, 2_000 * ONE, collateral=True))
    bank.refused(HealthTooLow, BOB, ("lending.collateral_off", (A, None)))
    bank.must(BOB, withdraw(A, 1_000 * ONE, collateral=True))
    bank.must(BOB, repay(B))
    bank.must(BOB, ("lending.collateral_off", (A, None)))
    assert bank.must(BOB, withdraw(A)).amount == 9_000 * ONE


def test_receipt_shares_count_only_once_they_are_in_the_markets_account() -> None:
    bank = Bank()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.must(BOB, supply(A, 10_000 * ONE))
    bank.refused(CollateralNotEnabled, BOB, borrow(B, ONE))
    bank.must(BOB, ("bank.send", (CAROL.address, Coin(f"lending/{A}", 4_000 * ONE * SHARE))))
    bank.must(BOB, ("lending.collateral_on", (A, None)))
    assert bank.balance(BOB.address, f"lending/{A}") == 0
    bank.refused(BorrowLimitExceeded, BOB, borrow(B, 4_501 * ONE))
    bank.must(BOB, borrow(B, 4_500 * ONE))
    assert bank.must(CAROL, withdraw(A)).amount == 4_000 * ONE, "receipt shares are whose they are"


def test_another_repays_and_more_than_is_owed_is_not_taken() -> None:
    bank = Bank()
    bank.indebted(lent=100 * ONE)
    before = bank.wealth(CAROL)[B]
    assert bank.must(CAROL, repay(B, 40 * ONE, BOB)).amount == 40 * ONE
    result = bank.must(CAROL, repay(B, 10**15, BOB))
    assert result.left == 0
    assert before - bank.wealth(CAROL)[B] == 40 * ONE + result.amount
    bank.refused(NothingOwed, CAROL, repay(B, 1, BOB))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (supply(A, 0), AmountNotPositive),
        (supply("QXC", 1), MarketNotListed),
        (supply(A, 10**22), SupplyCapReached),
        (withdraw(A, 0), AmountNotPositive),
        (withdraw(A, 1), NothingSupplied),
        (withdraw(A, 1, collateral=True), NothingSupplied),
        (withdraw("QXC", 1), MarketNotListed),
        (borrow(B, 0), AmountNotPositive),
        (borrow("QXC", 1), MarketNotListed),
        (borrow(B, ONE), CollateralNotEnabled),
        (repay(B, 0), AmountNotPositive),
        (repay(B, 1), NothingOwed),
        (repay("QXC", 1), MarketNotListed),
        (("lending.collateral_on", (A, None)), NothingSupplied),
        (("lending.collateral_off", (A, None)), CollateralNotEnabled),
        (("lending.seed", (A,)), MarketOpen),
        (("lending.seed", ("QXC",)), MarketNotListed),
        (("lending.choose_group", (7,)), GroupViolated),
        (("lending.flash_loan", ((Coin(A, 0),),)), AmountNotPositive),
        (("lending.flash_loan", ((Coin(A, BOTTOMLESS),),)), MarketIlliquid),
        (("lending.set_pause", (A, 1)), NotLendingAuthority),
        (("lending.collect_reserves", (A, 1)), NotLendingAuthority),
    ],
)
def test_bad_input_is_refused_by_name_and_moves_nothing(message: Any, error: type[QenexError]) -> None:
    Bank().refused(error, CAROL, message)


def test_limits_of_a_borrower_by_name() -> None:
    bank = Bank(terms(B, borrow_cap=str(1_000 * ONE)), terms(C, threshold_bps=0, ltv_bps=0))
    bank.must(ALICE, supply(B, 2_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.refused(BorrowCapReached, BOB, borrow(B, 1_001 * ONE))
    bank.refused(MarketIlliquid, BOB, borrow(D, ONE))
    bank.refused(AmountTooSmall, BOB, borrow(B, ONE // 2))
    bank.refused(NotCollateral, BOB, supply(C, ONE, collateral=True))
    bank.must(BOB, borrow(B, 1_000 * ONE))
    bank.must(ALICE, withdraw(B, 1_000 * ONE))
    bank.refused(MarketIlliquid, ALICE, withdraw(B, 1 + SEED))


def test_caps_count_what_is_lent_out_as_well() -> None:
    bank = Bank(terms(B, supply_cap=str(1_000 * ONE + SEED), borrow_cap=str(600 * ONE)))
    bank.must(ALICE, supply(B, 1_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(BOB, borrow(B, 600 * ONE))
    bank.refused(SupplyCapReached, CAROL, supply(B, 1))
    bank.stake(CAROL, A, 10_000 * ONE)
    bank.refused(BorrowCapReached, CAROL, borrow(B, ONE))
    bank.must(BOB, repay(B, 100 * ONE))
    bank.must(CAROL, borrow(B, 99 * ONE))


def test_an_empty_market_can_neither_be_supplied_nor_borrowed_until_its_seed_is_paid() -> None:
    bank = Bank(opened=(A,))
    bank.refused(MarketNotOpen, ALICE, supply(B, 100))
    bank.stake(BOB, A, 1_000 * ONE)
    bank.refused(MarketNotOpen, BOB, borrow(B, ONE))
    bank.must(DAVE, ("lending.seed", (B,)))
    bank.refused(NothingSupplied, DAVE, withdraw(B))
    assert bank.market(B).state.seed_shares == SEED * SHARE


def test_stale_price_stops_borrowing_and_withdrawing_collateral_and_never_repaying() -> None:
    bank = Bank()
    bank.indebted(lent=1_000 * ONE)
    bank.wait(3_700)
    bank.refused(PriceStale, BOB, borrow(B, ONE))
    bank.refused(PriceStale, BOB, withdraw(A, ONE, collateral=True))
    bank.refused(PriceStale, BOB, ("lending.collateral_off", (A, 1)))
    assert not bank.position(BOB).priced
    bank.must(BOB, supply(A, ONE, collateral=True))
    bank.must(ALICE, withdraw(B, ONE))
    bank.must(BOB, repay(B))
    bank.must(BOB, withdraw(A, collateral=True)), "without debt no price is asked for"


def test_an_uncertain_price_stops_what_a_stale_one_stops() -> None:
    price = {
        "price": str(10**8),
        "spread": str(4 * 10**6),
        "time_s": 1_700_000_000,
        "reports": 3,
        "power": "10",
    }
    listed = {"terms": [terms(denom) for denom in (A, B, C, D)]}
    prices = [{"symbol": FEEDS[denom], "price": price} for denom in (A, B, C, D)]
    bank = Bank(data={"lending": listed, "oracle": {"prices": prices}}, keeper_items=0)
    bank.indebted(lent=1_000 * ONE)
    certain = bank.market(A).terms._replace(max_spread_bps=300)
    bank.must(ERIN, ("lending.list_market", (certain,)))
    assert not bank.position(BOB).priced
    for message in (borrow(B, ONE), withdraw(A, ONE, collateral=True), ("lending.choose_group", (0,))):
        bank.refused(PriceUncertain, BOB, message)
    bank.refused(PriceUncertain, CAROL, liquidate(BOB))
    bank.must(BOB, supply(A, ONE, collateral=True))
    bank.must(BOB, repay(B))


def test_single_actions_are_paused_and_interest_goes_on() -> None:
    """Interest while paused: repaying after the pause costs what the time costs, and nobody escapes it."""
    bank = Bank()
    bank.indebted(lent=1_000 * ONE)
    owed_before = bank.owes(BOB, B)
    bank.must(ERIN, ("lending.set_pause", (B, 63)))
    for actor, message in (
        (ALICE, supply(B, 1)),
        (ALICE, withdraw(B, 1)),
        (BOB, borrow(B, ONE)),
        (BOB, repay(B, 1)),
        (CAROL, ("lending.flash_loan", ((Coin(B, 1),),))),
    ):
        bank.refused(ActionPaused, actor, message)
    bank.time += YEAR * 10**9
    bank.must(ERIN, ("lending.set_pause", (B, 0)))
    grown = bank.owes(BOB, B)
    assert grown > owed_before
    assert bank.must(BOB, repay(B)).amount >= grown


def test_isolated_collateral_stands_alone_under_its_ceiling() -> None:
    bank = Bank(terms(A, debt_ceiling=1_000 * 10**8), terms(B, isolation_borrowable=True))
    bank.must(ALICE, supply(B, 100_000 * ONE), supply(C, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.refused(IsolationViolated, BOB, supply(D, ONE, collateral=True))
    bank.refused(IsolationViolated, BOB, borrow(C, ONE))
    bank.refused(DebtCeilingReached, BOB, borrow(B, 1_001 * ONE))
    bank.must(BOB, borrow(B, 900 * ONE))
    assert bank.market(A).state.isolated_debt == 90_000
    bank.stake(CAROL, A, 10_000 * ONE)
    bank.refused(DebtCeilingReached, CAROL, borrow(B, 101 * ONE))
    bank.must(BOB, repay(B, 400 * ONE))
    assert bank.market(A).state.isolated_debt == 50_000
    bank.must(CAROL, borrow(B, 101 * ONE))
    bank.must(BOB, repay(B))
    assert bank.market(A).state.isolated_debt == 10_100
    bank.stake(DAVE, D, ONE)
    bank.refused(IsolationViolated, DAVE, supply(A, ONE, collateral=True))


def test_an_efficiency_group_lends_more_among_its_own() -> None:
    group = {"number": 1, "ltv_bps": 9_300, "threshold_bps": 9_500, "bonus_bps": 10_100}
    bank = Bank(terms(A, group=1), terms(B, group=1), groups=(group,))
    bank.must(ALICE, supply(B, 100_000 * ONE), supply(C, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.refused(BorrowLimitExceeded, BOB, borrow(B, 9_000 * ONE))
    bank.must(BOB, ("lending.choose_group", (1,)))
    bank.refused(GroupViolated, BOB, borrow(C, ONE))
    bank.must(BOB, borrow(B, 9_200 * ONE))
    bank.refused(HealthTooLow, BOB, ("lending.choose_group", (0,)))
    bank.stake(CAROL, A, 100 * ONE)
    bank.must(CAROL, borrow(C, ONE))
    bank.refused(GroupViolated, CAROL, ("lending.choose_group", (1,)))


def test_flash_loans_of_several_coins_are_paid_back_with_their_fees_or_nothing_happened() -> None:
    bank = Bank()
    bank.must(ALICE, supply(A, 10_000), supply(B, 10_000))
    before = bank.wealth(CAROL)
    fees = bank.must(CAROL, ("lending.flash_loan", ((Coin(A, 10_000), Coin(B, 10_001)),)))
    assert fees.due == (Coin(A, 10_009), Coin(B, 10_011))
    after = bank.wealth(CAROL)
    assert (before[A] - after[A], before[B] - after[B]) == (9, 10)
    assert bank.market(B).state.reserves == 1, "a tenth of the fee, rounded up"
    away = ("bank.send", (BOB.address, Coin(A, 10**24 + 10_000 - 9)))
    bank.refused(DebtUnpaid, CAROL, ("lending.flash_loan", ((Coin(A, 10_000),),)), away)


def test_outflow_is_bounded_by_the_hour() -> None:
    bank = Bank(terms(A, outflow_bps=1_000))
    bank.must(ALICE, supply(A, 10**10))
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 2 * 10**9))
    bank.must(ALICE, withdraw(A, 9 * 10**8))
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 2 * 10**8))
    bank.wait(3_600)
    bank.must(ALICE, withdraw(A, 2 * 10**8))


def test_only_the_authority_governs_and_terms_are_ranged() -> None:
    bank = Bank()
    bank.indebted()
    listed = bank.market(A).terms
    change = ("lending.list_market", (listed._replace(ltv_bps=5_000),))
    bank.refused(NotLendingAuthority, ALICE, change)
    bank.must(ERIN, change)
    assert bank.market(A).terms.ltv_bps == 5_000
    for wrong in (
        {"ltv_bps": 8_000},
        {"threshold_bps": 9_700, "bonus_bps": 10_400},
        {"decimals": 8},
        {"seed": 1},
    ):
        bank.refused(InvalidMarketTerms, ERIN, ("lending.list_market", (listed._replace(**wrong),)))
    bank.must(ERIN, ("lending.set_group", ((3, 9_000, 9_500, 10_100),)))
    bank.wait(YEAR)
    bank.refused(ReserveTooSmall, ERIN, ("lending.collect_reserves", (B, 10**15)))
    reserves = bank.market(B).state.reserves
    assert reserves > 0
    bank.must(ERIN, ("lending.collect_reserves", (B, reserves)))
    new = listed._replace(denom="QXC")
    number = bank.must(ERIN, ("lending.list_market", (new,))).market
    assert number == 5
    assert bank.market("QXC").state.seed_shares == 0
    bank.refused(UnknownFeed, ERIN, ("lending.list_market", (listed._replace(feed="ZZZ/USD"),)))


def test_an_adaptive_market_raises_its_rates_while_too_much_is_lent() -> None:
    bank = Bank(terms(B, adaptive_speed=20, optimal_bps=500))
    bank.indebted(lent=7_000 * ONE)
    before = bank.market(B).state
    bank.wait(30 * 86_400)
    bank.must(ALICE, supply(B, 1))
    after = bank.market(B).state
    assert after.multiplier_ray > before.multiplier_ray
    assert after.borrow_ray > before.borrow_ray


def test_exported_genesis_begins_with_the_same_markets() -> None:
    bank = Bank()
    bank.indebted()
    exported = bank.machine.export_genesis(bank.base)
    again = Chain(
        *[type(m) for n, m in bank.machine.modules.items() if n in ("tokens", "oracle", "amm", "lending")],
        actors=[], data=exported["modules"], parameters=exported["parameters"],
    )  # fmt: skip
    assert again.machine.export_genesis(again.base) == exported
    assert again.problems() == []


@pytest.mark.parametrize(
    "data",
    [
        {"x": []},
        {"terms": {}},
        {"terms": [{}]},
        {"terms": [terms(A), terms(A)]},
        {"terms": [terms(A, ltv_bps=9_000)]},
        {"terms": [terms(A, ltv_bps=20_000)]},
        {"terms": [terms(A, group=4)]},
        {"markets": [1]},
        {"positions": [{}]},
    ],
)
def test_genesis_is_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Bank(data={"lending": data})
