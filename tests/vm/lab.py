"""Modules that do, right or wrong, everything that bank does not: the machine is tested against them."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, NamedTuple

from ledger.collections import Counter, Item, Map, OrderedMap
from qenex.crypto import Address, module_address
from qenex.errors import InvariantViolated, OutOfGas, QenexError, RecipientClosed
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT, balance_state_key, supply_state_key
from qenex.types import QXC, U8, U16, U64, Amount, Between, Coin, Denom
from vm.context import Context
from vm.module import Module, internal, invariant, message, query

TOKEN = "lab/token"
"""What the lab mints."""


class Noted(NamedTuple):
    """A note was written."""

    key: U64


class Heard(NamedTuple):
    """A hook acted."""

    key: U64


class Loud(NamedTuple):
    """An event that need not have an encoding."""

    value: int


class Made(NamedTuple):
    """Results to refer to."""

    coin: Coin
    amount: Amount
    who: Address
    number: U64


class Big(NamedTuple):
    """An integer of any size."""

    value: int


class Undeclared(NamedTuple):
    """Not among the lab's events."""

    key: U64


class LabParams(NamedTuple):
    """`step` notes at a time; `share` basis points."""

    step: Annotated[int, Between(1, 10)] = 2
    share: Annotated[int, Between(0, 10_000)] = 100


class Vault(Module):
    """What the lab calls."""

    id = 31
    name = "vault"

    kept = Map[Address, int](1, key=Address, value=Amount)
    calls = Counter(2)
    callers = OrderedMap[int, bytes](3, key=U64, value=bytes)

    @message(gas=10)
    def knock(self, ctx: Context) -> None:
        """Do nothing, if not paused."""

    @message(gas=10, exit=True)
    def leave(self, ctx: Context) -> None:
        """Do nothing, even if paused."""

    @internal(callers=("lab",), gas=50)
    def deposit(self, ctx: Context, amount: Amount) -> Amount:
        """Take tokens of the acting account.

        Args:
            amount: base units of the token.
        """
        number = self.calls.next()
        self.callers.set(number, bytes(ctx.actor))
        self.kept.set(ctx.actor, (self.kept.get(ctx.actor) or 0) + amount)
        ctx.money.transfer(ctx, ctx.actor, module_address("vault"), TOKEN, amount)
        return amount

    @internal(callers=("lab",), gas=50)
    def fail_after_writing(self, ctx: Context, creditor: Address) -> None:
        """Write, owe, then fail.

        Args:
            creditor: who is owed.
        """
        self.calls.next()
        ctx.owe(creditor, QXC, 10**30)
        raise RecipientClosed

    @internal(callers=("somebody_else",), gas=50)
    def private(self, ctx: Context) -> None:
        """Not for the lab."""

    @query
    def get_calls(self, ctx: Context) -> U64:
        """How many calls succeeded."""
        return self.calls.last()

    @query
    def get_actors(self, ctx: Context) -> tuple[bytes, ...]:
        """Who acted in each call."""
        return tuple(value for _, value in self.callers.page(limit=1_000))


class Lab(Module):
    """Messages that go wrong in every way."""

    id = 30
    name = "lab"
    uses = ("vault",)
    events = (Noted,)
    Params = LabParams
    vault: Any

    notes = OrderedMap[int, bytes](1, key=U64, value=bytes)
    numbers = Map[int, int](2, key=U64, value=U64)
    last = Item[int](3, U64)

    @message(gas=100)
    def put(self, ctx: Context, key: U64, value: bytes) -> Noted:
        """Write a note.

        Args:
            key: its number.
            value: its text; empty deletes it.
        """
        self.notes.set(key, value or None)
        ctx.emit(Noted(key))
        return Noted(key)

    @message(gas=100)
    def set_number(self, ctx: Context, key: U64, value: int) -> None:
        """Write a number, in range or not.

        Args:
            key: where.
            value: what.
        """
        self.numbers.set(key, value)

    @message(gas=100)
    def make(self, ctx: Context, amount: Amount) -> Made:
        """Mint tokens for the actor.

        Args:
            amount: base units.
        """
        ctx.money.mint(ctx, ctx.actor, TOKEN, amount)
        return Made(Coin(TOKEN, amount), amount, ctx.actor, 7)

    @message(gas=100)
    def mint_any(self, ctx: Context, denom: Denom, amount: Amount) -> None:
        """Mint anything.

        Args:
            denom: what.
            amount: base units.
        """
        ctx.money.mint(ctx, ctx.actor, denom, amount)

    @message(gas=100)
    def burn(self, ctx: Context, source: Address, denom: Denom, amount: Amount) -> None:
        """Burn anything of anybody.

        Args:
            source: whose.
            denom: what.
            amount: base units.
        """
        ctx.money.burn(ctx, source, denom, amount)

    @message(gas=100)
    def take(self, ctx: Context, source: Address, coin: Coin) -> None:
        """Move somebody's coins to the actor.

        Args:
            source: whose.
            coin: what.
        """
        ctx.money.transfer(ctx, source, ctx.actor, coin.denom, coin.amount)

    @message(gas=100)
    def give_raw(self, ctx: Context, to: Address, coin: Coin) -> None:
        """Transfer without bank's checks.

        Args:
            to: to whom.
            coin: what.
        """
        ctx.money.transfer(ctx, ctx.actor, to, coin.denom, coin.amount)

    @message(gas=100)
    def owe(self, ctx: Context, creditor: Address, coin: Coin, times: U16) -> None:
        """Open debts.

        Args:
            creditor: who is owed.
            coin: how much each time.
            times: how often.
        """
        for _ in range(times):
            ctx.owe(creditor, coin.denom, coin.amount)

    @message(gas=100)
    def emit(self, ctx: Context, times: U16) -> None:
        """Emit events.

        Args:
            times: how many.
        """
        for number in range(times):
            ctx.emit(Noted(number))

    @message(gas=100)
    def emit_undeclared(self, ctx: Context) -> None:
        """Emit what is not declared."""
        ctx.emit(Undeclared(1))

    @message(gas=100)
    def power(self, ctx: Context, exponent: U16) -> Big:
        """Return a large integer, beyond every bound if asked.

        Args:
            exponent: of two.
        """
        self.last.set(exponent)
        return Big(2**exponent)

    @message(gas=100)
    def work(self, ctx: Context, steps: U16) -> None:
        """Use gas, writing as it goes.

        Args:
            steps: 100 gas and one write each.
        """
        for step in range(steps):
            ctx.gas.use(100)
            self.numbers.set(step, step + 1)

    @message(gas=100)
    def crash(self, ctx: Context, kind: U8) -> None:
        """Write, mint, emit and owe, then fail as a defect would.

        Args:
            kind: which defect.
        """
        self.last.set(kind)
        ctx.money.mint(ctx, ctx.actor, TOKEN, 5)
        ctx.emit(Noted(kind))
        ctx.owe(ctx.actor, TOKEN, 1)
        raise DEFECTS[kind]

    @message(gas=100)
    def forge(self, ctx: Context, kind: U8, other: Address) -> None:
        """Write money past the machine's back.

        Args:
            kind: 0 native balance, 1 token balance, 2 supply, 3 delete the actor, 4 below zero, 5 both of 1 and 2.
            other: a victim.
        """
        state = self.notes.state
        if kind in (0, 4):
            for address, change in ((ctx.actor, 10**18), (other, 0 if kind == 0 else -(10**18))):
                record = state.get(ACCOUNT_RECORDS + address) or EMPTY_ACCOUNT
                state.set(ACCOUNT_RECORDS + address, record._replace(balance=record.balance + change))
        elif kind == 1:
            state.set(balance_state_key(ctx.actor, "other/token"), 5)
        elif kind == 5:
            state.set(balance_state_key(ctx.actor, "other/token"), 5)
            state.set(supply_state_key("other/token"), 5)
        elif kind == 2:
            state.set(supply_state_key("other/token"), 5)
        else:
            state.set(ACCOUNT_RECORDS + ctx.actor, None)

    @message(gas=100)
    def set_tier(self, ctx: Context, tier: U16) -> None:
        """Give the actor a discount.

        Args:
            tier: basis points.
        """
        state = self.notes.state
        record = state.get(ACCOUNT_RECORDS + ctx.actor) or EMPTY_ACCOUNT
        state.set(ACCOUNT_RECORDS + ctx.actor, record._replace(fee_tier=tier))

    @message(gas=100)
    def open(self, ctx: Context, key: bytes) -> Made:
        """Open an account for an object.

        Args:
            key: the object's.
        """
        address = ctx.money.open_account(ctx, key)
        return Made(Coin(TOKEN, 0), 0, address, 0)

    @message(gas=100)
    def deposit(self, ctx: Context, amount: Amount, acting: Address | None) -> Amount:
        """Call the vault.

        Args:
            amount: base units of the token.
            acting: an object's account.
        """
        result: int = self.vault.deposit(ctx, amount, acting=acting)
        return result

    @message(gas=100)
    def try_failing_call(self, ctx: Context, creditor: Address) -> None:
        """Call what fails, and go on.

        Args:
            creditor: who would be owed.
        """
        self.last.set(1)
        try:
            self.vault.fail_after_writing(ctx, creditor)
        except QenexError:
            self.last.set(2)
        assert ctx.depth == 0
        assert ctx.module == "lab"
        ctx.emit(Noted(2))

    @message(gas=100)
    def call_private(self, ctx: Context) -> None:
        """Call what is for others."""
        self.vault.private(ctx)

    @message(gas=100)
    def swallow(self, ctx: Context) -> None:
        """Catch running out of gas, and go on."""
        self.last.set(3)
        with suppress(OutOfGas):
            ctx.gas.use(10**12)
        ctx.gas.use(1)

    @query
    def get_note(self, ctx: Context, key: U64) -> bytes | None:
        """A note.

        Args:
            key: its number.
        """
        return self.notes.get(key)

    @query
    def get_last(self, ctx: Context) -> U64:
        """What was written last."""
        return self.last.get() or 0

    @query
    def break_query(self, ctx: Context, kind: U8) -> U64:
        """Fail as a defect would, or write.

        Args:
            kind: which defect, 255 to write.
        """
        if kind == 255:
            self.last.set(9)
            return 1
        raise DEFECTS[kind]

    @invariant(each="notes")
    def no_bad_note(self, ctx: Context, key: int, old: bytes | None, new: bytes | None) -> None:
        """A note is never `bad`, and never replaced by its double."""
        if new == b"bad" or (old is not None and new == old * 2):
            raise InvariantViolated(f"note {key}")

    @invariant()
    def no_worse_note(self, ctx: Context) -> None:
        """No note in the state is `worse`."""
        for key, value in self.notes.scan():
            if value == b"worse":
                raise InvariantViolated(f"note {key} is worse")
            if value == b"unreadable":
                raise KeyError(key)


DEFECTS: list[Exception] = [
    KeyError("missing"),
    ZeroDivisionError(),
    TypeError("wrong"),
    AttributeError("none"),
    AssertionError(),
    StopIteration(),
    UnicodeDecodeError("ascii", b"\xff", 0, 1, "test"),
    QenexError("base"),
]


class Hooked(Module):
    """A module whose hooks obey its parameters; named so that it has a place in the order."""

    id = 6
    name = "oracle"
    uses = ()
    events = (Heard, Loud)

    class HookParams(NamedTuple):
        """`begin`, `end`: what the hook does, a number of MOODS."""

        begin: U8 = 0
        end: U8 = 0

    Params = HookParams

    count = Item[int](1, U64)
    notes = Map[int, bytes](2, key=U64, value=bytes)

    def begin_block(self, ctx: Context) -> None:
        self._act(ctx, self.params.begin)

    def end_block(self, ctx: Context) -> None:
        self._act(ctx, self.params.end)

    def _act(self, ctx: Context, mood: int) -> None:
        if mood == 0:
            return
        self.count.set((self.count.get() or 0) + 1)
        ctx.emit(Heard(mood))
        if mood == 2:
            raise KeyError("a defect")
        if mood == 3:
            raise RecipientClosed
        if mood == 4:
            state = self.count.state
            state.set(balance_state_key(ctx.actor, "oracle/x"), 5)
        if mood == 5:
            ctx.money.mint(ctx, ctx.actor, "oracle/x", 10)
            ctx.owe(ACREDITOR, "oracle/x", 4)
        if mood == 6:
            ctx.owe(ACREDITOR, QXC, 10**30)
        if mood == 7:
            self.notes.set(1, b"bad")
        if mood == 9:
            ctx.emit(Loud(2**256))
        if mood == 8:
            for number in range(2_000):
                ctx.emit(Heard(number))

    @message(gas=10)
    def act(self, ctx: Context, mood: U8) -> None:
        """Do in a message what the hook does.

        Args:
            mood: what.
        """
        self._act(ctx, mood)

    @message(gas=10, exit=True)
    def withdraw(self, ctx: Context) -> None:
        """Stays open."""

    @query
    def get_count(self, ctx: Context) -> U64:
        """How often a hook acted."""
        return self.count.get() or 0

    @invariant(each="notes")
    def no_bad_note(self, ctx: Context, key: int, old: bytes | None, new: bytes | None) -> None:
        """A note is never `bad`."""
        if new == b"bad":
            raise InvariantViolated(f"note {key}")


ACREDITOR = Address(b"\x07" * 32)
HookParams = Hooked.HookParams
