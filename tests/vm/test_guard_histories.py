"""Whatever a thief with the account's key and a canceller do in whatever order: nothing leaves unseen or too early."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qenex.errors import GuardedAccountFrozen, GuardFeeLimitExceeded
from qenex.types import QXC
from tests.vm.chain import START, Chain
from tests.vm.test_guards import ALICE, BOB, CAROL, DAVE, DELAY, EVE, FEES, LIMIT, guard, view
from vm.guard import VAULT

ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 3 * LIMIT // 2)),
    st.tuples(st.just("queue"), st.integers(1, 20 * LIMIT)),
    st.tuples(st.just("receive"), st.integers(1, 5 * LIMIT)),
    st.tuples(st.just("take back and send"), st.integers(0, 20)),
    st.tuples(st.just("thief cancels"), st.integers(0, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("approve"), st.integers(0, 20)),
    st.tuples(st.just("freeze"), st.integers(0, 3)),
    st.tuples(st.just("remove"), st.just(0)),
    st.tuples(st.just("weaken"), st.just(0)),
    st.tuples(st.just("blocks"), st.integers(1, 25)),
)


class History:
    """A guarded account, and a slow reference of what may have left it."""

    def __init__(self) -> None:
        self.chain = Chain()
        assert guard(self.chain).status == 0
        self.start = self.chain.balance(ALICE.address)
        self.fees = self.received = 0
        self.at_once: list[tuple[int, int]] = []
        self.queued: dict[int, tuple[int, int]] = {}
        """By number: when, and how much."""
        self.approved: dict[int, None] = {}
        self.paid = 0

    @property
    def now(self) -> int:
        return self.chain.time // 10**9

    def block(self, tx: Any = None) -> Any:
        """One block; what its begin paid was queued long enough before, or the canceller agreed."""
        chain = self.chain
        block = chain.begin()
        receipt = None
        if tx is not None:
            try:
                receipt = block.execute(tx)
            except (GuardFeeLimitExceeded, GuardedAccountFrozen):
                receipt = None
        result = chain.end()
        for event in result.begin_events:
            if event.name == "accounts.queued_transfer_paid":
                _, number, to, _, amount = event.fields
                when, told = self.queued.pop(number)
                assert (to, amount) == (EVE.address, told)
                assert number in self.approved or self.now >= when + DELAY
                self.paid += amount
        return receipt

    def thief(self, *messages: tuple[str, tuple[Any, ...]]) -> Any:
        receipt = self.block(self.chain.tx(ALICE, *messages, maximum=10**8, gas=50_000))
        if receipt is not None:
            self.fees += receipt.fee
        return receipt

    def step(self, action: str, amount: int) -> None:
        waiting = sorted(self.queued)
        number = waiting[amount % len(waiting)] if waiting and amount >= 0 else 1
        pay = ("bank.send", (EVE.address, (QXC, amount)))
        match action:
            case "send":
                receipt = self.thief(pay)
                if receipt is not None and receipt.status == 0:
                    self.at_once.append((self.now, amount))
            case "queue":
                receipt = self.thief(("accounts.queue_transfer", (EVE.address, (QXC, amount))))
                if receipt is not None and receipt.status == 0:
                    self.queued[receipt.results[0].number] = (self.now, amount)
            case "receive":
                assert self.block(self.chain.send(BOB, ALICE.address, amount)).status == 0
                self.received += amount
            case "take back and send":
                much = self.queued.get(number, (0, 2 * LIMIT))[1] + LIMIT
                steal = ("bank.send", (EVE.address, (QXC, much)))
                receipt = self.thief(("accounts.cancel_queued", (ALICE.address, number)), steal)
                assert receipt is None or receipt.status
            case "thief cancels":
                receipt = self.thief(("accounts.cancel_queued", (ALICE.address, number)))
                if receipt is not None and receipt.status == 0:
                    del self.queued[number]
            case "cancel" | "approve":
                name = "accounts.cancel_queued" if action == "cancel" else "accounts.approve_queued"
                receipt = self.block(self.chain.tx(CAROL, (name, (ALICE.address, number))))
                if receipt.status == 0 and action == "cancel":
                    del self.queued[number]
                elif receipt.status == 0:
                    self.approved[number] = None
            case "freeze":
                receipt = self.block(self.chain.tx(CAROL, ("accounts.freeze", (ALICE.address, amount))))
                assert receipt.status == 0
                if amount:
                    self.queued.clear()
            case "remove":
                self.thief(("accounts.remove_guard", ()))
            case "weaken":
                self.thief(("accounts.set_guard", (DAVE.address, 1, 10**15, ((QXC, 10**15),))))
            case _:
                for _ in range(amount):
                    self.block()
        self.check()

    def check(self) -> None:
        chain = self.chain
        mine = chain.balance(ALICE.address) + chain.balance(VAULT)
        left = sum(amount for _, amount in self.at_once) + self.paid
        assert mine == self.start + self.received - self.fees - left
        assert chain.balance(VAULT) == sum(amount for _, amount in self.queued.values())
        since, total = -DELAY, 0
        for when, amount in self.at_once:
            if when >= since + DELAY:
                since, total = when, 0
            total += amount
            assert total <= LIMIT
        assert view(chain).fees.amount <= FEES

    def cancel_changes(self) -> None:
        """A watchful owner: what would change the guard itself is cancelled."""
        for waiting in view(self.chain).queued:
            if waiting.what != "transfer":
                arguments = (ALICE.address, waiting.number)
                assert self.block(self.chain.tx(CAROL, ("accounts.cancel_queued", arguments))).status == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=25))
def test_in_no_history_more_leaves_than_the_guard_says(steps: list[tuple[str, int]]) -> None:
    history = History()
    for action, amount in steps:
        history.step(action, amount)
        history.cancel_changes()
    assert history.chain.problems() == []
    assert history.chain.balance(EVE.address) == START + history.paid + sum(a for _, a in history.at_once)
