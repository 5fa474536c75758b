"""Withdrawals above the outflow limit: refused, or in line if the caller allows it, and paid to the unit."""

from __future__ import annotations

import pytest

from defi_modules.lending.math import owed
from qenex.errors import (
    AmountTooSmall,
    CollateralNotEnabled,
    HealthTooLow,
    NothingSupplied,
    NotWaiting,
    OutflowLimitReached,
)
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    ERIN,
    ONE,
    SEED,
    A,
    B,
    Bank,
    borrow,
    repay,
    supply,
    terms,
    withdraw,
)

SHARE = 10**6


def limited(**parameters: int) -> Bank:
    """A tenth of what is supplied of A may leave in an hour; Alice supplied 10,000, Bob 1,000."""
    bank = Bank(terms(A, outflow_bps=1_000), **{"outflow_day_windows": 24, **parameters})
    bank.must(ALICE, supply(A, 10_000 * ONE))
    bank.must(BOB, supply(A, 1_000 * ONE))
    return bank


def waiting(bank: Bank, denom: str = A) -> list[tuple[int, int]]:
    return [(w.number, w.amount) for w in bank.query("lending.list_waiting", denom, None, None).items]


def test_above_the_limit_a_withdrawal_is_refused_unless_it_may_wait() -> None:
    bank = limited()
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 2_000 * ONE))
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 2_000 * ONE, queue=False))
    result = bank.must(ALICE, withdraw(A, 2_000 * ONE, queue=True))
    assert (result.amount, result.shares, result.waits) == (0, 0, 1)
    result = bank.must(BOB, withdraw(A, 10 * ONE, queue=True))
    assert (result.amount, result.waits) == (0, 2), "the line went first, and took all that the window allows"
    for _ in range(2):
        bank.wait(3_600)
    assert bank.must(BOB, withdraw(A, 10 * ONE, queue=True)) == (10 * ONE, 10 * ONE * SHARE, 0)


def test_what_waits_is_paid_hour_by_hour_to_the_unit_and_nothing_is_lost() -> None:
    bank = limited()
    before = bank.wealth(ALICE)[A]
    bank.must(ALICE, withdraw(A, 2_500 * ONE, queue=True))
    bank.run()
    first = bank.wealth(ALICE)[A] - before
    assert first == (11_000 * ONE + SEED) // 10, "the whole of the window's limit"
    bank.run()
    assert bank.wealth(ALICE)[A] - before == first, "once a window"
    for _ in range(3):
        bank.wait(3_600)
        bank.run()
        assert bank.problems() == []
    assert waiting(bank) == []
    paid = bank.wealth(ALICE)[A] - before
    assert 2_500 * ONE - 3 <= paid <= 2_500 * ONE, "each part rounds for the pool by less than a unit"
    left = bank.must(ALICE, ("lending.collateral_on", (A, None))).shares
    assert left == 7_500 * ONE * SHARE, "what did not wait is as it was"


def test_the_line_is_paid_in_order_and_before_any_transaction() -> None:
    bank = limited()
    bank.must(ALICE, withdraw(A, 3_000 * ONE, queue=True))
    bank.must(BOB, withdraw(A, 500 * ONE, queue=True))
    assert [number for number, _ in waiting(bank)] == [1, 2]
    before = bank.wealth(BOB)[A]
    for _ in range(2):
        bank.wait(3_600)
        bank.refused(OutflowLimitReached, BOB, withdraw(A, 300 * ONE))
        assert bank.wealth(BOB)[A] == before, "Alice came first"
    bank.wait(3_600)
    bank.wait(3_600)
    assert bank.wealth(BOB)[A] == before + 500 * ONE
    assert waiting(bank) == []


def test_who_waits_may_take_the_rest_back_and_nobody_else() -> None:
    bank = limited()
    shares = bank.balance(ALICE.address, f"lending/{A}")
    bank.must(ALICE, withdraw(A, 3_000 * ONE, queue=True))
    bank.run()
    bank.refused(NotWaiting, BOB, ("lending.cancel_withdrawal", (A, 1)))
    bank.refused(NotWaiting, ALICE, ("lending.cancel_withdrawal", (B, 1)))
    bank.refused(NotWaiting, ALICE, ("lending.cancel_withdrawal", (A, 2)))
    paid = bank.market(A).state.outflow
    back = bank.must(ALICE, ("lending.cancel_withdrawal", (A, 1))).shares
    assert paid > 0
    assert bank.balance(ALICE.address, f"lending/{A}") == shares - paid * SHARE
    assert back == 3_000 * ONE * SHARE - paid * SHARE
    bank.refused(NotWaiting, ALICE, ("lending.cancel_withdrawal", (A, 1)))
    assert waiting(bank) == []


def test_collateral_may_wait_as_far_as_no_debt_needs_it() -> None:
    bank = limited()
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(CAROL, A, 10_000 * ONE)
    bank.must(CAROL, borrow(B, 4_000 * ONE))
    bank.refused(HealthTooLow, CAROL, withdraw(A, 6_000 * ONE, collateral=True, queue=True))
    assert waiting(bank) == []
    bank.must(CAROL, withdraw(A, 4_000 * ONE, collateral=True, queue=True))
    assert bank.position(CAROL).collateral == 6_000 * 10**8, "what waits secures nothing any more"
    bank.must(CAROL, repay(B))
    bank.must(CAROL, ("lending.collateral_off", (A, None)))
    bank.refused(CollateralNotEnabled, CAROL, ("lending.collateral_off", (A, None)))
    bank.must(CAROL, ("lending.cancel_withdrawal", (A, 1)))
    bank.refused(NotWaiting, CAROL, ("lending.cancel_withdrawal", (A, 1)))


def test_shares_that_wait_earn_and_bear_losses_as_all_others() -> None:
    bank = limited()
    bank.stake(CAROL, B, 100_000 * ONE)
    bank.must(CAROL, borrow(A, 900 * ONE))
    bank.must(ALICE, withdraw(A, 8_000 * ONE, queue=True))
    worth = waiting(bank)[0][1]
    bank.time += 30 * 86_400 * 10**9
    assert waiting(bank)[0][1] > worth
    state = bank.market(A).state
    assert state.cash + owed(state.scaled_debt, state.index_ray) == state.assets + state.reserves


def test_dust_cannot_make_the_line_long_and_nothing_is_queued_that_is_not_there() -> None:
    bank = limited()
    bank.must(ALICE, withdraw(A, 1_100 * ONE))
    bank.refused(AmountTooSmall, BOB, withdraw(A, ONE // 2, queue=True))
    bank.refused(NothingSupplied, BOB, withdraw(A, 1_001 * ONE, queue=True))
    bank.refused(NothingSupplied, CAROL, withdraw(A, queue=True))
    assert waiting(bank) == []


def test_a_block_pays_a_bounded_number_and_the_rest_in_the_next() -> None:
    bank = Bank(terms(A, outflow_bps=9_000), queue_items=2, outflow_day_windows=24)
    bank.must(ALICE, supply(A, 10_000 * ONE))
    bank.must(ALICE, withdraw(A, 9_000 * ONE))
    for _ in range(5):
        bank.must(ALICE, withdraw(A, 10 * ONE, queue=True))
    assert len(waiting(bank)) == 5
    bank.wait(3_600)
    assert len(waiting(bank)) == 3
    bank.run()
    assert len(waiting(bank)) == 1
    bank.run()
    assert waiting(bank) == []
    bank.run()
    assert not [key for key in bank.results[-1].changes if key[:1] == b"\x08"], "nothing due, nothing written"


def test_the_line_waits_for_cash_and_while_withdrawing_is_paused_and_can_be_left_then() -> None:
    bank = limited()
    bank.must(ALICE, withdraw(A, 2_000 * ONE, queue=True))
    bank.must(ERIN, ("lending.set_pause", (A, 2)))
    before = bank.wealth(ALICE)[A]
    bank.wait(3_600)
    assert bank.wealth(ALICE)[A] == before
    bank.must(ALICE, ("lending.cancel_withdrawal", (A, 1)))
    bank.must(ERIN, ("lending.set_pause", (A, 0)))
    assert waiting(bank) == []


@pytest.mark.parametrize("window", [60, 86_400])
def test_the_window_is_a_ranged_parameter(window: int) -> None:
    bank = limited(outflow_window_s=window)
    bank.must(ALICE, withdraw(A, 1_000 * ONE))
    bank.wait(window - 2)
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 500 * ONE))
    bank.wait(3)
    bank.must(ALICE, withdraw(A, 500 * ONE))


def test_a_day_allows_less_than_all_its_hours() -> None:
    bank = limited(outflow_day_windows=2)
    began = bank.time // 10**9
    for _ in range(2):
        bank.must(ALICE, withdraw(A, 900 * ONE))
        bank.wait(3_601)
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 300 * ONE))
    bank.must(ALICE, withdraw(A, 300 * ONE, queue=True))
    assert waiting(bank) == [(1, 300 * ONE)]
    bank.wait(86_400 - (bank.time // 10**9 - began) - 60)
    assert waiting(bank), "not before the day is over"
    bank.wait(3_600)
    assert waiting(bank) == []
    bank.must(ALICE, withdraw(A, 500 * ONE))


def test_what_comes_in_makes_room_in_the_day_as_well() -> None:
    bank = limited(outflow_day_windows=1)
    bank.must(ALICE, withdraw(A, 1_000 * ONE))
    bank.wait(3_601)
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 500 * ONE))
    bank.must(BOB, supply(A, 400 * ONE))
    bank.must(ALICE, withdraw(A, 400 * ONE))


def test_a_borrower_counts_against_the_same_limit_and_what_comes_in_makes_room() -> None:
    bank = limited()
    bank.stake(CAROL, B, 100_000 * ONE)
    bank.must(CAROL, borrow(A, 1_000 * ONE))
    bank.refused(OutflowLimitReached, ALICE, withdraw(A, 500 * ONE))
    bank.must(CAROL, repay(A, 900 * ONE))
    bank.must(ALICE, withdraw(A, 500 * ONE))
    away = ("bank.send", (BOB.address, Coin(A, 1)))
    bank.must(CAROL, ("lending.flash_loan", ((Coin(A, 9_000 * ONE),),)), away)
