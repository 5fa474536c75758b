"""Liquidations: who, how much, in what parts; bad debt; the keeper; the index of positions in danger."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.lending.math import liquidation, owed
from defi_modules.lending.types import MeanPrice
from qenex.crypto import encode_address
from qenex.errors import (
    ActionPaused,
    AmountNotPositive,
    BorrowLimitExceeded,
    CollateralNotEnabled,
    LeavesDust,
    MarketIlliquid,
    MarketNotListed,
    NothingOwed,
    PositionHealthy,
    PriceOutOfBand,
    PriceStale,
    QenexError,
    SelfLiquidation,
)
from qenex.types import Coin
from tests.defi_modules.amm.market import LATE, sell
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ERIN,
    ONE,
    WAD,
    A,
    B,
    Bank,
    C,
    borrow,
    liquidate,
    repay,
    supply,
    terms,
    withdraw,
)

BASE = 10**8


def fallen(price: int = 86, **parameters: Any) -> Bank:
    """Bob owes 7,000 B against 10,000 A, whose price has fallen to so many hundredths."""
    bank = Bank(**{"keeper_items": 0, **parameters})
    bank.indebted()
    bank.price(A, price)
    return bank


def test_half_of_the_debt_at_most_while_health_is_near_one_and_the_parts_are_exact() -> None:
    bank = fallen()
    position = bank.position(BOB)
    assert 95 * WAD // 100 < position.health_wad < WAD
    assert bank.liquidatable() == [BOB.address]
    before, reserves = bank.wealth(CAROL), bank.market(A).state.reserves
    debt = bank.owes(BOB, B)
    result = bank.must(CAROL, liquidate(BOB))
    half = (debt * BASE + ONE - 1) // ONE * 5_000 // 10_000 * ONE // BASE
    assert abs(result.repaid - half) <= 100
    done = liquidation(result.repaid, BASE, ONE, 10_000 * ONE, 86 * BASE // 100, ONE, 10_500, 1_000)
    assert (result.received.amount, result.protocol) == (done.seized - done.protocol, done.protocol)
    after = bank.wealth(CAROL)
    assert before[B] - after[B] == result.repaid
    assert after[A] - before[A] == result.received.amount
    assert bank.market(A).state.reserves - reserves >= result.protocol
    assert bank.owes(BOB, B) == pytest.approx(debt - result.repaid, abs=10**4), "interest of a second"


def test_the_whole_debt_at_ninety_five_and_below_and_shares_instead_of_coins() -> None:
    bank = fallen(83)
    before = bank.wealth(CAROL)
    result = bank.must(CAROL, liquidate(BOB, shares=True))
    assert bank.owes(BOB, B) == 0
    after = bank.wealth(CAROL)
    assert after[f"lending/{A}"] - before[f"lending/{A}"] == result.received.amount > 0
    assert after[A] == before[A]
    worth = bank.must(CAROL, withdraw(A)).amount
    assert abs(worth - 10_500 * result.repaid // 83 * 100 // 10_000 * 995 // 1_000) < result.repaid // 100
    assert bank.liquidatable() == []
    bank.must(BOB, withdraw(A, collateral=True))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (liquidate(BOB, amount=0), AmountNotPositive),
        (liquidate(BOB, "QXC"), MarketNotListed),
        (liquidate(BOB, C), CollateralNotEnabled),
        (liquidate(BOB, A, C), NothingOwed),
        (liquidate(ALICE), NothingOwed),
        (liquidate(CAROL), SelfLiquidation),
    ],
)
def test_liquidations_are_refused_by_name(message: Any, error: type[QenexError]) -> None:
    fallen().refused(error, CAROL, message)


def test_the_healthy_are_left_alone_and_a_stale_price_liquidates_nobody() -> None:
    bank = Bank(keeper_items=0)
    bank.indebted()
    bank.refused(PositionHealthy, CAROL, liquidate(BOB))
    bank.price(A, 86)
    bank.must(ERIN, ("lending.set_pause", (A, 16)))
    bank.refused(ActionPaused, CAROL, liquidate(BOB))
    bank.must(ERIN, ("lending.set_pause", (A, 0)))
    bank.wait(3_700)
    bank.refused(PriceStale, CAROL, liquidate(BOB))


def test_a_target_health_is_reached_with_no_more_than_it_takes() -> None:
    bank = fallen()
    bank.must(CAROL, liquidate(BOB, target=10_100))
    health = bank.position(BOB).health_wad
    assert health == pytest.approx(101 * WAD // 100, rel=10**-8)
    assert bank.liquidatable() == []


def test_leftovers_are_nothing_or_worth_something() -> None:
    bank = Bank(keeper_items=0)
    bank.indebted(up=3_000 * ONE, lent=2_200 * ONE)
    bank.price(A, 91)
    assert bank.liquidatable() == [BOB.address]
    bank.price(A, 80)
    bank.refused(LeavesDust, CAROL, liquidate(BOB, amount=2_000 * ONE))
    bank.must(CAROL, liquidate(BOB))
    assert bank.owes(BOB, B) == 0


def test_a_pool_that_is_lent_out_pays_in_shares() -> None:
    bank = fallen()
    bank.stake(DAVE, C, 100_000 * ONE)
    bank.must(DAVE, borrow(A, 10_000 * ONE))
    bank.refused(MarketIlliquid, CAROL, liquidate(BOB))
    bank.must(CAROL, liquidate(BOB, shares=True))


def test_bad_debt_is_recognised_at_once_covered_by_the_reserve_then_shared() -> None:
    bank = Bank(keeper_items=0)
    bank.indebted()
    bank.must(ALICE, ("lending.flash_loan", ((Coin(B, 90_000 * ONE),),)))  # a reserve of its fees
    reserves = bank.market(B).state.reserves
    assert reserves > 0
    bank.price(A, 50)
    suppliers = bank.market(B).state.assets
    result = bank.must(CAROL, liquidate(BOB))
    assert result.bad_debt > 0
    assert bank.owes(BOB, B) == 0
    state = bank.market(B).state
    assert state.bad_debt == result.bad_debt
    assert reserves <= state.bad_covered <= reserves + 10**6, "and the interest of a second"
    assert suppliers - state.assets == pytest.approx(result.bad_debt - state.bad_covered, abs=10**6)
    assert state.cash + owed(state.scaled_debt, state.index_ray) == state.assets + state.reserves
    claim = bank.must(ALICE, withdraw(B)).amount
    assert claim <= state.cash


def test_the_keeper_takes_what_liquidators_left_with_the_reserves_money_and_within_its_bounds() -> None:
    treasury = encode_address(DAVE.address)
    bank = Bank(terms(B, flash_fee_bps=100), keeper_items=2, treasury=treasury)
    bank.must(ALICE, supply(B, 100_000 * ONE))
    borrowers = (BOB, CAROL, ERIN)
    for actor in borrowers:
        bank.stake(actor, A, 100 * ONE)
        bank.must(actor, borrow(B, 70 * ONE))
    for _ in range(3):
        bank.must(ALICE, ("lending.flash_loan", ((Coin(B, 99_000 * ONE),),)))
    assert bank.market(B).state.reserves > 210 * ONE
    bank.price(A, 85)
    assert len(bank.liquidatable()) == 3, "left to liquidators: health is above 0.9"
    reserves = bank.market(B).state.reserves
    bank.price(A, 70)
    events = [e for e in bank.results[-1].end_events if e.name == "lending.position_liquidated"]
    assert len(events) == 2, "the bound of a block"
    paid = sum(e.fields[3] for e in events)
    assert paid < 140 * ONE, (
        "a bonus on collateral of 70 each; the rest is bad debt, which the reserve covers too"
    )
    assert reserves - bank.market(B).state.reserves == pytest.approx(140 * ONE, abs=10**5)
    assert bank.balance(DAVE.address, f"lending/{A}") > 0
    bank.run()
    assert bank.liquidatable() == []
    assert bank.problems() == []
    bank.run()
    assert not [key for key in bank.results[-1].changes if key[:1] == b"\x08"], "nothing due, nothing written"


def test_the_index_finds_every_unhealthy_position_of_several_assets() -> None:
    bank = Bank(keeper_items=0)
    bank.must(ALICE, supply(B, 100_000 * ONE), supply(C, 100_000 * ONE))
    for number, actor in enumerate((BOB, CAROL, DAVE)):
        bank.stake(actor, A, (number + 1) * 1_000 * ONE)
        bank.stake(actor, C, 1_000 * ONE)
        bank.must(actor, borrow(B, 900 * ONE))
    bank.must(BOB, borrow(C, 300 * ONE))
    for a, b, c in (
        (70, 100, 100),
        (100, 120, 90),
        (50, 100, 150),
        (30, 100, 60),
        (10, 150, 55),
        (100, 100, 100),
    ):
        for denom, price in ((A, a), (B, b), (C, c)):
            bank.price(denom, price)
        unhealthy = sorted(
            actor.address for actor in (BOB, CAROL, DAVE) if bank.position(actor).health_wad < WAD
        )
        assert sorted(bank.liquidatable()) == unhealthy, (a, b, c)


# -- the mean price of a pool beside the feed ----------------------------------------------------------


def banded() -> Bank:
    """A is told in B by pool 1, over ten minutes, with a band of 5%."""
    mean = MeanPrice(1, B, 600, 500)
    bank = Bank(terms(B), keeper_items=0)
    bank.must(DAVE, ("amm.create_pool", (A, B, 30)))
    coins = (Coin(A, 10**6 * ONE), Coin(B, 10**6 * ONE))
    bank.must(DAVE, ("amm.add_liquidity", (1, coins, 1, LATE)))
    listed = bank.market(A).terms
    bank.must(ERIN, ("lending.list_market", (listed._replace(mean_price=mean),)))
    bank.wait(700)
    return bank


def test_borrow_and_price_move_in_one_transaction_brings_nothing() -> None:
    bank = banded()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    limit = bank.position(BOB).limit
    pushed = sell(B, 500_000 * ONE, (1, A))
    bank.must(ALICE, ("bank.send", (BOB.address, Coin(B, 10**6 * ONE))))
    receipt = bank.do(BOB, pushed, borrow(B, limit * 11 // 10 * ONE // BASE))
    assert receipt.status != 0, "a higher price in the pool lends no more: the lower of the two counts"
    bank.must(BOB, borrow(B, 5_000 * ONE))
    dumped = sell(A, 900_000 * ONE, (1, B))
    bank.refused(PositionHealthy, CAROL, dumped, liquidate(BOB))


def test_a_pushed_pool_cannot_liquidate_the_healthy_and_stops_liquidations_by_the_feed() -> None:
    bank = banded()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(BOB, borrow(B, 7_000 * ONE))
    bank.must(CAROL, sell(A, 900_000 * ONE, (1, B)))
    bank.wait(600)
    bank.refused(PriceOutOfBand, CAROL, liquidate(BOB))
    bank.must(CAROL, sell(B, 710_000 * ONE, (1, A)))
    bank.price(A, 86)
    assert bank.liquidatable() == [BOB.address]


def test_a_mean_above_the_feed_lends_no_more() -> None:
    bank = banded()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(CAROL, sell(B, 40_000 * ONE, (1, A)))
    bank.wait(600)
    bank.refused(BorrowLimitExceeded, BOB, borrow(B, 7_501 * ONE))
    bank.must(BOB, borrow(B, 7_499 * ONE))


def test_a_mean_below_the_feed_lends_less() -> None:
    bank = banded()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(CAROL, sell(A, 900_000 * ONE, (1, B)))
    bank.wait(600)
    assert bank.do(BOB, borrow(B, 7_000 * ONE)).status != 0
    bank.must(BOB, borrow(B, 1_000 * ONE))
    bank.must(BOB, repay(B))
