"""Random histories over markets, users, prices and times: what must hold after every single step."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from defi_modules.lending.math import owed
from qenex.errors import ConservationViolated, InvariantViolated, ModuleFault
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
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
from tests.vm.chain import Actor

USERS = st.sampled_from([ALICE, BOB, CAROL])
DENOMS = st.sampled_from([A, B, C])
AMOUNTS = st.one_of(st.integers(1, 100), st.integers(ONE, 2_000 * ONE), st.integers(ONE, 20_000 * ONE))
PARTS = st.one_of(st.none(), AMOUNTS)


class Histories(RuleBasedStateMachine):
    """Whatever is asked for succeeds or fails by name; the books are right after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank(
            terms(A, group=1), terms(B, reserve_factor_bps=0, bonus_bps=11_000, group=1),
            terms(C, adaptive_speed=50, optimal_bps=5_000, outflow_bps=500),
            groups=({"number": 1, "ltv_bps": 8_500, "threshold_bps": 8_800, "bonus_bps": 10_400},),
            keeper_items=2, min_debt_base=0,
        )  # fmt: skip
        self.bank.must(ALICE, *[supply(denom, 10_000 * ONE) for denom in (A, B, C)])
        self.bank.must(BOB, supply(A, 10_000 * ONE, collateral=True), borrow(B, 5_000 * ONE))
        self.bank.must(
            CAROL, supply(B, 9_000 * ONE, collateral=True), supply(C, 3_000 * ONE, collateral=True)
        )
        self.bank.must(CAROL, borrow(A, 6_000 * ONE), borrow(C, 600 * ONE))
        self.line: list[tuple[Actor, str, int]] = []
        self.prices = dict.fromkeys((A, B, C), 100)
        self.indexes = {denom: self.bank.market(denom).state.index_ray for denom in (A, B, C)}

    def ask(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> int:
        """One transaction in one block; its status."""
        receipt = self.bank.run(self.bank.tx(actor, *messages, gas=20_000_000))[0]
        assert receipt.status not in (ModuleFault.code, InvariantViolated.code, ConservationViolated.code)
        return receipt.status

    @rule(actor=USERS, denom=DENOMS, amount=AMOUNTS, collateral=st.booleans())
    def supplies(self, actor: Actor, denom: str, amount: int, collateral: bool) -> None:
        self.ask(actor, supply(denom, amount, collateral=collateral))

    @rule(actor=USERS, denom=DENOMS, amount=PARTS, collateral=st.booleans(), queue=st.booleans())
    def withdraws(self, actor: Actor, denom: str, amount: int | None, collateral: bool, queue: bool) -> None:
        if self.ask(actor, withdraw(denom, amount, collateral=collateral, queue=queue)):
            return
        result: Any = self.bank.results[-1].receipts[0].results[0]
        if result.waits:
            self.line.append((actor, denom, result.waits))
        if collateral:
            self.healthy(actor)

    @precondition(lambda self: self.line)
    @rule(first=st.booleans())
    def cancels_what_waits(self, first: bool) -> None:
        actor, denom, number = self.line.pop(0 if first else -1)
        self.ask(actor, ("lending.cancel_withdrawal", (denom, number)))

    @rule(actor=USERS, group=st.sampled_from([0, 1]))
    def chooses_a_group(self, actor: Actor, group: int) -> None:
        if self.ask(actor, ("lending.choose_group", (group,))) == 0:
            self.healthy(actor)

    @rule(actor=USERS, denom=DENOMS, amount=AMOUNTS)
    def borrows(self, actor: Actor, denom: str, amount: int) -> None:
        if self.ask(actor, borrow(denom, amount)) == 0:
            self.healthy(actor)

    @rule(actor=USERS, denom=DENOMS, amount=PARTS, of=USERS)
    def repays(self, actor: Actor, denom: str, amount: int | None, of: Actor) -> None:
        self.ask(actor, repay(denom, amount, of))

    @rule(actor=USERS, denom=DENOMS, on=st.booleans())
    def moves_collateral(self, actor: Actor, denom: str, on: bool) -> None:
        verb = "on" if on else "off"
        if self.ask(actor, (f"lending.collateral_{verb}", (denom, None))) == 0 and not on:
            self.healthy(actor)

    @rule(actor=USERS, of=USERS, collateral=DENOMS, debt=DENOMS, amount=PARTS, shares=st.booleans())
    def liquidates(
        self, actor: Actor, of: Actor, collateral: str, debt: str, amount: int | None, shares: bool
    ) -> None:
        self.ask(actor, liquidate(of, collateral, debt, amount, shares=shares))

    @rule(actor=USERS, shares=st.booleans(), health=st.sampled_from([None, 10_000, 10_500]))
    def takes_what_is_in_danger(self, actor: Actor, shares: bool, health: int | None) -> None:
        for risk in self.bank.query("lending.list_liquidatable", None).items:
            of = next(user for user in (ALICE, BOB, CAROL) if user.address == risk.address)
            order = liquidate(of, risk.collateral_denom, risk.debt_denom, target=health, shares=shares)
            self.ask(actor, order)

    @rule(actor=USERS, first=DENOMS, second=DENOMS, amount=AMOUNTS)
    def flashes(self, actor: Actor, first: str, second: str, amount: int) -> None:
        self.ask(actor, ("lending.flash_loan", ((Coin(first, amount), Coin(second, amount)),)))

    @rule(denom=DENOMS, percent=st.integers(60, 150))
    def price_moves(self, denom: str, percent: int) -> None:
        self.prices[denom] = max(1, self.prices[denom] * percent // 100)
        self.bank.price(denom, self.prices[denom])

    @rule(seconds=st.sampled_from([1, 60, 3_000, 86_400 * 30]), told=st.booleans())
    def time_passes(self, seconds: int, told: bool) -> None:
        self.bank.wait(seconds)
        if told:
            for denom, price in self.prices.items():
                self.bank.price(denom, price)

    @rule(actor=USERS, denom=DENOMS, amount=st.integers(1, 1_000 * ONE))
    def a_round_trip_never_pays(self, actor: Actor, denom: str, amount: int) -> None:
        before = self.worth(actor, denom)
        if self.ask(actor, supply(denom, amount), withdraw(denom)) == 0:
            assert self.worth(actor, denom) <= before

    @precondition(lambda self: all(self.bank.position(user).priced for user in (ALICE, BOB, CAROL)))
    @rule()
    def the_index_finds_all_and_only_the_unhealthy(self) -> None:
        unhealthy = sorted(u.address for u in (ALICE, BOB, CAROL) if self.bank.position(u).health_wad < WAD)
        assert sorted(self.bank.liquidatable()) == unhealthy

    def worth(self, actor: Actor, denom: str) -> int:
        """Coins of an account and what its free receipt shares would pay, at the present state."""
        state = self.bank.market(denom).state
        shares = self.bank.balance(actor.address, f"lending/{denom}")
        return self.bank.balance(actor.address, denom) + shares * (state.assets + 1) // (state.shares + 10**6)

    def healthy(self, actor: Actor) -> None:
        position = self.bank.position(actor)
        # A second of interest may have passed since.
        assert not position.debt or position.health_wad >= WAD - WAD // 10**6

    @invariant()
    def the_books_are_right(self) -> None:
        assert self.bank.faults == []
        assert self.bank.problems() == []
        hooks = (*self.bank.results[-1].begin_events, *self.bank.results[-1].end_events)
        assert not [event for event in hooks if event.name == "machine.hook_failed"]
        for denom, before in self.indexes.items():
            info = self.bank.market(denom)
            state = info.state
            assert state.index_ray >= before
            self.indexes[denom] = state.index_ray
            debt = owed(state.scaled_debt, state.index_ray)
            assert state.assets + state.reserves == state.cash + debt, "suppliers claim no more than there is"
            claims = state.shares * (state.assets + 1) // (state.shares + 10**6)
            assert claims <= state.cash + debt
            assert state.bad_covered <= state.bad_debt


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=150 if os.environ.get("QENEX_LONG") else 30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
