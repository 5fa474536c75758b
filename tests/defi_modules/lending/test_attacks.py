"""What emptied other lending markets, one test each."""

from __future__ import annotations

from defi_modules.lending.types import PAUSE_REPAY
from qenex.errors import (
    ActionPaused,
    DebtUnpaid,
    InsufficientBalance,
    MarketNotOpen,
    PositionHealthy,
    RecipientClosed,
    SelfLiquidation,
    SupplyCapReached,
)
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ERIN,
    ONE,
    RICH,
    SEED,
    WAD,
    A,
    B,
    Bank,
    borrow,
    liquidate,
    repay,
    supply,
    terms,
    withdraw,
)


def test_empty_market_donation_moves_no_price() -> None:
    bank = Bank(opened=(A,))
    bank.refused(MarketNotOpen, CAROL, supply(B, 1))
    bank.must(DAVE, ("lending.seed", (B,)))
    account = bank.market(B).state.account
    bank.refused(RecipientClosed, CAROL, ("bank.send", (account, Coin(B, 10**15))))
    state = bank.market(B).state
    assert (state.assets, state.cash) == (SEED, SEED)
    bank.must(CAROL, supply(B, 1_000))
    assert bank.must(CAROL, withdraw(B)).amount == 1_000


def test_first_depositor_cannot_take_from_the_second() -> None:
    bank = Bank()
    bank.must(CAROL, supply(B, 1))
    for _ in range(5):  # the only way to give to a market: fees of flash loans
        bank.must(CAROL, ("lending.flash_loan", ((Coin(B, SEED),),)))
    bank.must(ALICE, supply(B, 10**12))
    assert bank.must(ALICE, withdraw(B)).amount >= 10**12 - 1
    assert bank.must(CAROL, withdraw(B)).amount <= 2


def test_self_liquidation_is_refused_and_by_a_second_account_costs_the_protocols_part() -> None:
    bank = Bank(keeper_items=0)
    bank.indebted()
    bank.price(A, 86)
    bank.refused(SelfLiquidation, BOB, liquidate(BOB))

    def together() -> int:
        """Bob's and Carol's, in hundredths of the base currency's units: A at 86, B at 100."""
        coins = sum(bank.wealth(actor)[A] * 86 + bank.wealth(actor)[B] * 100 for actor in (BOB, CAROL))
        return coins + sum(
            e.collateral * 86 - e.debt * (100 if e.denom == B else 86) for e in bank.position(BOB).entries
        )

    before = together()
    result = bank.must(CAROL, liquidate(BOB))
    assert result.protocol > 0
    assert before - together() >= result.protocol * 86 - 300


def test_donate_and_liquidate_has_no_donation_to_begin_with() -> None:
    """Euler's hole was an action that lowered health without a check. Here none gives collateral away."""
    bank = Bank(keeper_items=0)
    bank.indebted()
    lending = [name for name in bank.machine.registry.messages if name.startswith("lending.")]
    assert not [name for name in lending if "donat" in name]
    shares = bank.position(BOB).entries[0].collateral_shares
    gift = ("bank.send", (CAROL.address, Coin(f"lending/{A}", shares)))
    bank.refused(InsufficientBalance, BOB, gift)
    # Repaying another's debt and supplying more only raise health; the liquidation finds a healthy position.
    bank.refused(PositionHealthy, CAROL, repay(B, ONE, BOB), liquidate(BOB))


def test_read_only_re_entrance_sees_the_old_state_or_the_new_one_never_half() -> None:
    """In the middle of a flash loan the coins are away, and the share's price is what it was or more."""
    bank = Bank()
    bank.must(ALICE, supply(B, 10**12))
    before = bank.market(B).state
    block = bank.begin()
    messages = (("lending.flash_loan", ((Coin(B, 10**12),),)), supply(B, 10**6), withdraw(B))
    receipt = block.execute(bank.tx(CAROL, *messages, gas=5_000_000))
    assert bank.market(B).state == before._replace(updated_s=bank.market(B).state.updated_s), (
        "a query in the block"
    )
    bank.end()
    assert receipt.status == 0
    assert receipt.results[2].amount <= 10**6, "no share was bought cheap while the coins were away"
    after = bank.market(B).state
    assert after.assets * before.shares >= before.assets * after.shares


def test_a_flash_loan_cannot_be_supplied_and_kept() -> None:
    bank = Bank()
    bank.must(ALICE, supply(B, 10**12))
    spent = ("bank.send", (DAVE.address, Coin(B, RICH)))
    bank.refused(
        DebtUnpaid,
        CAROL,
        ("lending.flash_loan", ((Coin(B, 10**12),),)),
        supply(B, 10**12, collateral=True),
        spent,
    )


def test_interest_while_paused_runs_as_if_nothing_were_paused_and_nobody_is_liquidated_for_it() -> None:
    """Two chains with the same history, one of them paused for a year: the debt is the same to the unit."""
    debts = []
    for flags in (0, 63):
        bank = Bank(keeper_items=0)
        bank.indebted(lent=7_400 * ONE)
        bank.must(ERIN, ("lending.set_pause", (B, flags)))
        bank.wait(86_400 * 600)
        bank.price(A, 90)
        bank.price(B, 100)
        if flags:
            bank.must(ERIN, ("lending.set_pause", (B, PAUSE_REPAY)))
            bank.refused(ActionPaused, BOB, repay(B))
            bank.refused(ActionPaused, CAROL, liquidate(BOB))
        else:
            bank.run()
            bank.run()
            bank.run()
        assert bank.position(BOB).health_wad < WAD
        bank.must(ERIN, ("lending.set_pause", (B, 0)))
        bank.time = 1_800_000_000 * 10**9
        debts.append(bank.owes(BOB, B))
    assert debts[0] == debts[1] > 7_400 * ONE


def test_cap_bypass_through_liquidation() -> None:
    """Receipt shares from a liquidation are not supplied anew: the cap counts what is there, and it does not grow."""
    bank = Bank(terms(A, supply_cap=str(10_000 * ONE + SEED)), keeper_items=0)
    bank.indebted()
    bank.refused(SupplyCapReached, CAROL, supply(A, 1))
    bank.price(A, 86)
    before = bank.market(A).state.assets
    bank.must(CAROL, liquidate(BOB, shares=True))
    assert bank.market(A).state.assets <= before
    bank.must(CAROL, ("lending.collateral_on", (A, None)))
    bank.refused(SupplyCapReached, CAROL, supply(A, 10_000 * ONE))


def test_a_loan_split_into_many_pays_no_less_and_a_repayment_no_more() -> None:
    bank = Bank(min_debt_base=0)
    bank.must(ALICE, supply(B, 10**12))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(BOB, borrow(B, 64 * ONE))
    bank.wait(86_400 * 300)
    for denom in (A, B):
        bank.price(denom, 100)
    for _ in range(3):
        debt = bank.owes(BOB, B)
        bank.must(BOB, *[borrow(B, 1) for _ in range(64)])
        assert bank.owes(BOB, B) >= debt + 64
        debt = bank.owes(BOB, B)
        bank.must(BOB, *[repay(B, 1) for _ in range(64)])
        assert bank.owes(BOB, B) >= debt - 64
