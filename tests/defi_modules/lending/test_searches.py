"""A search for profit: users who act together, do anything, and come back to nothing have never more than before.

Rates are zero and indexes are not one, so time is free and rounding is everywhere. Prices move by at most 4% and come
back, which is too little for bad debt. What counts is coins, by denomination and as exact fractions, after EVERY
transaction: coins in hand, plus what shares claim, less what is owed. It may only fall, but for what a liquidation of
somebody else's position pays by its terms.
"""

from __future__ import annotations

import os
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from qenex.errors import ConservationViolated, InvariantViolated, ModuleFault
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ERIN,
    ONE,
    RAY,
    A,
    B,
    Bank,
    C,
    borrow,
    repay,
    supply,
    terms,
    withdraw,
)
from tests.vm.chain import Actor

Order = tuple[str, tuple[Any, ...]]
CREW = (BOB, CAROL, DAVE)
"""Who acts together. Alice and Erin are honest: she lends, Erin owes as much as she may."""
DENOMS = (A, B, C)
SEARCHES = 400 if os.environ.get("QENEX_LONG") else 30
STEPS = 50
BROKEN = {ModuleFault.code, InvariantViolated.code, ConservationViolated.code}
EVERYTHING = (
    "lending.supply", "lending.withdraw", "lending.borrow", "lending.repay", "lending.collateral_on", "bank.send",
    "lending.collateral_off", "lending.liquidate", "lending.flash_loan", "lending.cancel_withdrawal",
)  # fmt: skip
"""What a search that deserves the name has really done."""


class Table:
    """One state of aged markets from which every search begins, and what the crew has in it."""

    def __init__(self) -> None:
        group = {"number": 1, "ltv_bps": 8_400, "threshold_bps": 8_500, "bonus_bps": 10_300}
        self.bank = Bank(
            terms(A, ltv_bps=7_900, group=1), terms(B, ltv_bps=7_900, reserve_factor_bps=0, group=1),
            terms(C, ltv_bps=7_500),
            groups=(group,), keeper_items=0, min_debt_base=0, ramp_s=60,
        )  # fmt: skip
        bank = self.bank
        bank.machine.verify = lambda tx, keys: True
        bank.must(ALICE, *[supply(denom, 40_000 * ONE + 7) for denom in DENOMS])
        bank.stake(ALICE, C, 30_000 * ONE)
        bank.must(ALICE, borrow(A, 9_000 * ONE + 1), borrow(B, 8_000 * ONE + 3))
        bank.stake(CAROL, A, 9_000 * ONE)
        bank.must(CAROL, borrow(C, 3_000 * ONE))
        bank.wait(300 * 86_400)
        self.prices_at_par()
        bank.must(CAROL, repay(C), withdraw(A, collateral=True))
        bank.must(ALICE, ("lending.flash_loan", ((Coin(A, 999), Coin(B, 12_345)),)))
        for denom in DENOMS:
            flat = bank.market(denom).terms._replace(base_ray=0, slope1_ray=0, slope2_ray=0)
            if denom == C:
                flat = flat._replace(outflow_bps=100)
            bank.must(ERIN, ("lending.list_market", (flat,)))
        bank.wait(61)
        bank.run()
        self.prices_at_par()
        bank.stake(ERIN, A, 5_000 * ONE)
        bank.must(ERIN, borrow(B, 3_949 * ONE))
        for denom in DENOMS:
            state = bank.market(denom).state
            assert state.index_ray > RAY
            assert state.borrow_ray == 0
            assert state.assets * 10**6 != state.shares
        self.start = dict(bank.store.values), bank.height, bank.time

    def prices_at_par(self) -> None:
        for denom in DENOMS:
            self.bank.price(denom, 100)

    def reset(self) -> None:
        values, self.bank.height, self.bank.time = self.start
        self.bank.store.values = dict(values)
        self.bank.base = self.bank._committed()
        self.bank.results.clear()

    def wealth(self) -> list[Fraction]:
        """The crew's by denomination: coins and claims less debts, exactly."""
        lending: Any = self.bank.machine.modules["lending"]
        self.bank.begin()  # stand on the committed state
        found = []
        for denom in DENOMS:
            number = lending.numbers.get(denom)
            market = lending.markets.get(number)
            coins = shares = debt = 0
            for actor in CREW:
                coins += lending_balance(self.bank, actor, denom)
                shares += lending_balance(self.bank, actor, f"lending/{denom}")
                entry = lending.entry_of(lending.position_of(actor.address), number)
                shares, debt = shares + entry.collateral, debt + entry.debt
            mine = {actor.address for actor in CREW}
            for _, waits in lending.waiting.page(prefix=number.to_bytes(2, "big"), limit=1_000):
                shares += waits.shares if waits.address in mine else 0
            claim = Fraction(shares * (market.assets + 1), market.shares + 10**6)
            found.append(coins + claim - Fraction(debt * market.index_ray, RAY))
        return found


def lending_balance(bank: Bank, actor: Actor, denom: str) -> int:
    return int(bank.machine.money.balance(actor.address, denom))


class Search:
    """One random history of the crew, from its seed."""

    def __init__(self, table: Table, seed: int) -> None:
        self.table, self.bank, self.random = table, table.bank, Random(seed)
        self.prices = dict.fromkeys(DENOMS, 100)
        self.done: dict[str, int] = {}
        self.waiting: list[tuple[str, int, Actor]] = []
        table.reset()

    def amount(self) -> int:
        draw = self.random
        return draw.choice((
            draw.randint(1, 4), draw.randint(1, 1_000), draw.randint(1, ONE), draw.randint(ONE, 3_000 * ONE),
            draw.randint(ONE, 9_000 * ONE),
        ))  # fmt: skip

    def part(self, whole: int) -> int | None:
        """All, or a part that may be a little too much."""
        draw = self.random
        return draw.choice(
            (None, max(1, whole + draw.randint(-2, 1)), draw.randint(1, max(1, whole)), self.amount())
        )

    def orders(self, actor: Actor) -> list[Order]:
        """One to four orders, most of which can be carried out."""
        draw, bank = self.random, self.bank
        entries = bank.position(actor).entries
        up = [entry.denom for entry in entries if entry.collateral]
        free = [d for d in DENOMS if lending_balance(bank, actor, f"lending/{d}")]
        kinds = ["supply", "supply", "flash", "group"]
        kinds += ["withdraw", "withdraw", "withdraw", "off"] * bool(up) + [
            "borrow",
            "borrow all",
            "borrow all",
        ] * bool(up)
        kinds += ["free", "free", "on", "send"] * bool(free)
        kinds += ["repay"] * 3 * any(entry.debt for entry in entries)
        found = [self.order(draw.choice(kinds), actor, up, free) for _ in range(draw.choice((1, 1, 1, 2, 4)))]
        risks = bank.query("lending.list_liquidatable", None).items
        if risks and draw.random() < 0.7:
            risk = draw.choice(risks)
            target = draw.choice((None, None, 10_000, 10_500))
            amount, shares = self.part(risk.repayable), draw.random() < 0.5
            order = (risk.address, risk.collateral_denom, risk.debt_denom, shares, amount, target)
            found = [*found[: draw.choice((0, 0, 1))], ("lending.liquidate", order)]
        if self.waiting and self.waiting[-1][2] == actor and draw.random() < 0.5:
            found = [("lending.cancel_withdrawal", self.waiting[-1][:2])]
        return found

    def order(self, kind: str, actor: Actor, up: list[str], free: list[str]) -> Order:
        draw = self.random
        denom, mate = draw.choice(DENOMS), draw.choice(CREW)
        match kind:
            case "supply":
                return supply(denom, self.amount(), collateral=draw.random() < 0.7)
            case "withdraw":
                denom = draw.choice(up)
                return withdraw(denom, self.part(self.held(actor, denom)), collateral=True, queue=True)
            case "free":
                denom = draw.choice(free)
                return withdraw(denom, self.part(self.held(actor, denom)), queue=draw.random() < 0.5)
            case "on":
                return ("lending.collateral_on", (draw.choice(free), None))
            case "off":
                return (
                    "lending.collateral_off",
                    (draw.choice(up), draw.choice((None, 1, 10**6 + 1, 10**15))),
                )
            case "borrow":
                return borrow(denom, self.amount())
            case "borrow all":
                return borrow(denom, self.limit(actor, denom))
            case "repay":
                owing = [e for e in self.bank.position(actor).entries if e.debt] or [(denom, 0, 0, 9)]
                denom, _, _, debt, *_ = draw.choice(owing)
                return repay(denom, self.part(debt), actor if draw.random() < 0.8 else mate)
            case "flash":
                return ("lending.flash_loan", ((Coin(denom, self.amount()),),))
            case "send":
                denom = draw.choice(free)
                shares = lending_balance(self.bank, actor, f"lending/{denom}")
                return ("bank.send", (mate.address, Coin(f"lending/{denom}", draw.randint(1, shares))))
            case _:
                return ("lending.choose_group", (draw.choice((0, 1)),))

    def held(self, actor: Actor, denom: str) -> int:
        """Base units that an account's collateral, or its free shares, are worth."""
        state = self.bank.market(denom).state
        for entry in self.bank.position(actor).entries:
            if entry.denom == denom and entry.collateral:
                return int(entry.collateral_shares * (state.assets + 1) // (state.shares + 10**6))
        shares = lending_balance(self.bank, actor, f"lending/{denom}")
        return int(shares * (state.assets + 1) // (state.shares + 10**6))

    def limit(self, actor: Actor, denom: str) -> int:
        """What the actor may still borrow, a little more or less."""
        left = self.bank.position(actor).available * ONE // (10**6 * self.prices[denom])
        return max(1, int(left) + self.random.randint(-2, 2))

    def run(self) -> None:
        """Steps, then back to nothing."""
        table, bank, draw = self.table, self.bank, self.random
        begun = wealth = table.wealth()
        allowed = [Fraction(0)] * len(DENOMS)
        for _ in range(STEPS):
            chance = draw.random()
            if chance < 0.15:
                self.move(draw.choice(DENOMS), draw.randint(96, 104))
                continue
            if chance < 0.18:
                bank.wait(draw.choice((1, 3_600)))
                self.tell()
            paid = self.ask(draw.choice(CREW))
            wealth = self.compare(wealth, paid)
            allowed = [a + b for a, b in zip(allowed, paid, strict=True)]
            assert not [e for e in bank.results[-1].begin_events if e.name == "machine.hook_failed"]
        for denom in DENOMS:
            self.move(denom, 100)
        self.unwind()
        ended = table.wealth()
        for before, after, extra in zip(begun, ended, allowed, strict=True):
            assert after <= before + extra
        assert bank.problems() == []
        assert bank.faults == []

    def ask(self, actor: Actor) -> list[Fraction]:
        """One transaction of one to four orders; what it was paid for liquidating others, by denomination."""
        orders = self.orders(actor)
        receipt = self.bank.run(self.bank.tx(actor, *orders, gas=20_000_000))[0]
        assert receipt.status not in BROKEN, f"an invariant stopped {orders}"
        self.last = orders
        paid = [Fraction(0)] * len(DENOMS)
        if receipt.status:
            return paid
        for name, _ in orders:
            self.done[name] = self.done.get(name, 0) + 1
        for event in receipt.events:
            if event.name == "lending.withdrawal_queued":
                queued: Any = event.fields
                self.waiting.append((queued.denom, queued.number, actor))
            if event.name == "lending.position_liquidated":
                taken: Any = event.fields
                if taken.address in [mate.address for mate in CREW]:
                    continue
                received = taken.seized - taken.protocol
                worth = received * self.prices[taken.collateral_denom] * 10_000
                assert worth <= taken.repaid * self.prices[taken.debt_denom] * 10_500, (
                    "the bonus of its terms"
                )
                # What rounds against her is all suppliers', the crew's shares among them: less than a share.
                paid[DENOMS.index(taken.collateral_denom)] += received + Fraction(2, 10**6)
                paid[DENOMS.index(taken.debt_denom)] -= taken.repaid
        return paid

    def compare(self, before: list[Fraction], paid: list[Fraction]) -> list[Fraction]:
        after = self.table.wealth()
        for denom, had, has, extra in zip(DENOMS, before, after, paid, strict=True):
            assert has <= had + extra, f"{float(has - had - extra)} {denom} out of nothing: {self.last}"
        return after

    def move(self, denom: str, price: int) -> None:
        self.prices[denom] = price
        self.tell()

    def tell(self) -> None:
        for denom, price in self.prices.items():
            self.bank.price(denom, price)

    def unwind(self) -> None:
        """Repay everything, take everything out; twice, since one's repayment is another's cash."""
        for _ in range(2):
            for actor in CREW:
                for denom, number, mate in self.waiting:
                    if mate == actor:
                        self.bank.run(
                            self.bank.tx(actor, ("lending.cancel_withdrawal", (denom, number)), gas=10**6)
                        )
                for denom in DENOMS:
                    for order in (repay(denom), withdraw(denom, collateral=True), withdraw(denom)):
                        self.bank.run(self.bank.tx(actor, order, gas=10**7))
            self.bank.wait(3_601)


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


def test_no_user_profits_from_any_sequence_that_nets_to_nothing(table: Table) -> None:
    done: dict[str, int] = {}
    for seed in range(SEARCHES):
        search = Search(table, seed)
        search.run()
        done = {name: done.get(name, 0) + search.done.get(name, 0) for name in done | search.done}
    assert all(done.get(name, 0) >= SEARCHES // 5 for name in EVERYTHING), done
