"""What an attacker of credit tried with success, one test each."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.lending.types import Entry, MeanPrice, Position, Terms
from defi_modules.tokens.types import Controls
from qenex.codec import codec_for
from qenex.errors import (
    FeedsDisagree,
    InvalidParameters,
    NothingOwed,
    OutflowLimitReached,
    PoolNotFound,
    TooManyAssets,
)
from qenex.state_keys import ModuleId
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    ERIN,
    FEEDS,
    ONE,
    A,
    B,
    Bank,
    C,
    liquidate,
    repay,
    supply,
    terms,
    withdraw,
)
from tests.defi_modules.lending.test_governing import Assembly
from tests.defi_modules.lending.test_queueing import limited, waiting
from vm.core import Pause


def record(denom: str, **changes: Any) -> Terms:
    return codec_for(Terms).from_json(terms(denom, **changes))


def list_market(denom: str, **changes: Any) -> tuple[str, tuple[Any, ...]]:
    return ("lending.list_market", (record(denom, **changes),))


def dusty(**parameters: Any) -> Bank:
    """Bob owes B against A and one receipt share of C, a millionth of a base unit; then A falls to a half."""
    bank = Bank(**parameters)
    bank.indebted()
    bank.must(BOB, supply(C, 1))
    bank.must(BOB, ("lending.collateral_on", (C, 1)))
    return bank


def test_a_share_of_dust_does_not_hide_a_bad_debt_from_the_keeper() -> None:
    bank = dusty()
    bank.price(A, 50)
    result = bank.must(CAROL, liquidate(BOB))
    assert result.repaid < 7_000 * ONE
    assert bank.owes(BOB, B) == 0, "the keeper took the dust at the block's end"
    state = bank.market(B).state
    assert 0 <= state.bad_debt - (7_000 * ONE - result.repaid) < ONE, (
        "and what was left is written off, with its interest"
    )
    assert state.scaled_debt == 0


def test_a_share_of_dust_is_taken_by_anybody_for_nothing_and_the_bad_debt_recognised() -> None:
    bank = dusty(keeper_items=0)
    bank.price(A, 50)
    bank.must(CAROL, liquidate(BOB))
    assert bank.owes(BOB, B) > 0, "the dust is collateral still"
    before = bank.wealth(CAROL)
    result = bank.must(CAROL, liquidate(BOB, C, B))
    assert (result.repaid, result.received, result.protocol) == (0, Coin(C, 0), 0)
    assert result.bad_debt == bank.market(B).state.bad_debt > 2_000 * ONE
    assert bank.wealth(CAROL) == before
    assert bank.owes(BOB, B) == 0
    bank.refused(NothingOwed, CAROL, liquidate(BOB, C, B))


def test_two_votes_in_a_row_do_not_swap_a_feed_under_open_positions() -> None:
    bank = Bank()
    bank.indebted()
    bank.price(C, 40)
    bank.refused(FeedsDisagree, ERIN, list_market(A, feed=FEEDS[C]))
    bank.must(ERIN, list_market(A, max_age_s=1, max_spread_bps=0))
    bank.wait(5)
    bank.price(C, 40)
    bank.refused(FeedsDisagree, ERIN, list_market(A, feed=FEEDS[C]))
    assert bank.liquidatable() == []
    bank.wait(86_400)
    bank.price(C, 40)
    bank.must(ERIN, list_market(A, feed=FEEDS[C]))  # a feed that has told nothing for a day is given up


def test_a_mean_price_of_no_pool_is_refused_before_it_stops_a_market() -> None:
    bank = Bank()
    wrong = record(A)._replace(mean_price=MeanPrice(99, B, 600, 500))
    bank.refused(PoolNotFound, ERIN, ("lending.list_market", (wrong,)))


def test_nobody_takes_what_a_block_has_not_paid_yet_of_a_long_line() -> None:
    bank = limited(queue_items=2)
    bank.must(ALICE, withdraw(A, 1_100 * ONE))
    for _ in range(5):
        bank.must(ALICE, withdraw(A, 100 * ONE, queue=True))
    bank.time += 3_600 * 10**9
    bank.refused(OutflowLimitReached, BOB, withdraw(A, 500 * ONE))
    assert len(waiting(bank)) == 3
    assert bank.must(BOB, withdraw(A, 300 * ONE, queue=True)).waits == 6
    before = bank.wealth(BOB)[A]
    bank.run()
    bank.run()
    assert waiting(bank) == []
    assert bank.wealth(BOB)[A] == before + 300 * ONE, "in its turn"
    assert bank.must(BOB, withdraw(A, 10 * ONE)).amount == 10 * ONE


def test_a_repayment_makes_room_for_who_waits_and_not_for_who_watches() -> None:
    bank = limited()
    bank.stake(CAROL, B, 100_000 * ONE)
    bank.must(CAROL, ("lending.borrow", (Coin(A, 1_000 * ONE),)))
    bank.must(ALICE, withdraw(A, 500 * ONE, queue=True))
    one = bank.tx(CAROL, repay(A, 900 * ONE), gas=20_000_000)
    two = bank.tx(BOB, withdraw(A, 500 * ONE), gas=20_000_000)
    assert [receipt.status for receipt in bank.run(one, two)] == [0, OutflowLimitReached.code]
    bank.run()
    assert waiting(bank) == []


def test_a_line_that_a_pause_of_the_module_keeps_does_not_lock_the_others_in() -> None:
    bank = limited()
    bank.must(ALICE, withdraw(A, 3_000 * ONE, queue=True))
    bank.run()
    key = bank.machine.core.paused.key_of(int(ModuleId.LENDING))
    bank.store.write({key: Pause(bank.height, 1)}, bank.machine.state_codecs)
    bank.wait(3_600)
    assert waiting(bank), "no hook pays them now"
    assert bank.must(BOB, withdraw(A, 100 * ONE)).amount == 100 * ONE
    bank.must(ALICE, ("lending.cancel_withdrawal", (A, 1)))


def test_little_room_does_not_put_anybody_out_of_the_line_of_a_token_with_a_fee() -> None:
    bank = Bank()
    controls = Controls(False, False, 100, ERIN.address)
    denom = bank.must(CAROL, ("tokens.create", ("TAX", "Taxed", 9, "", 10**18, None, controls))).denom
    taxed = record(A, outflow_bps=1_000)._replace(denom=denom)
    bank.must(ERIN, ("lending.list_market", (taxed,)))
    bank.must(CAROL, ("lending.seed", (denom,)))
    bank.must(CAROL, supply(denom, 10_000 * ONE))
    limit = bank.market(denom).state.assets // 10
    bank.must(CAROL, withdraw(denom, limit - limit // 10))
    state = bank.market(denom).state
    bank.must(CAROL, withdraw(denom, state.assets // 10 - state.outflow))
    bank.must(CAROL, withdraw(denom, 100 * ONE, queue=True))
    state = bank.market(denom).state
    missing = state.outflow - state.assets // 10
    more = (
        missing + 1
    ) * 10 // 11 + 1  # what comes in counts against what left, and a tenth of it raises the limit
    bank.must(CAROL, supply(denom, more))
    state = bank.market(denom).state
    assert state.assets // 10 - state.outflow == 1
    bank.run()
    assert [number for number, _ in waiting(bank, denom)] == [1], "one unit, all of which the fee would take"
    bank.wait(3_600)
    assert waiting(bank, denom) == []


def test_more_pairs_than_a_position_holds_are_refused_by_name() -> None:
    bank = Bank()
    lending: Any = bank.machine.modules["lending"]
    entries = tuple([Entry(number, 1, int(number < 5)) for number in range(1, 6)])
    with pytest.raises(TooManyAssets, match="at most 16 pairs"):
        lending.put_position(None, BOB.address, Position(0, 0, (), ()), Position(0, 0, entries, ()))


@pytest.mark.parametrize(
    "arguments",
    [
        f'{{"denom": "{A}", "flash_fee_bps": 1, "flash_fee_bps": 900}}',
        f'{{"denom": "{A}", "flash_fee_bps": {"[" * 300}{"]" * 300}, "flash_fee_bps": 900}}',
        f'{{"denom": "{A}", "mean_price": {{"pool": 1, "pool": 2}}}}',
    ],
)
def test_what_stands_twice_in_a_proposal_is_not_voted_on(arguments: str) -> None:
    chain = Assembly()
    assert chain.propose("govern_terms", arguments).status == InvalidParameters.code
    assert "twice" in str(chain.block_error())
