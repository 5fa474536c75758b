"""What a method sees: the block's time in whole seconds, its own events and debts, nothing of others'."""

from __future__ import annotations

import pytest

from qenex.crypto import Address
from qenex.errors import AmountNotPositive, OutOfGas, TooManyDebts, TooManyEvents
from tests.vm.chain import ACTORS, Chain
from tests.vm.lab import Lab, Noted, Undeclared, Vault
from vm.context import MAX_DEBTS, MAX_EVENTS, BlockInfo, Context, Debt
from vm.gas import Gas, gas_schedule

ALICE = ACTORS[0]


@pytest.fixture
def ctx() -> Context:
    chain = Chain(Lab, Vault)
    chain.begin()
    context = chain.machine.context
    context.enter(Gas(gas_schedule(1), 10**6))
    context.actor = ALICE.address
    return context


def test_seconds_are_floored(ctx: Context) -> None:
    ctx.enter_block(BlockInfo("lab-1", 5, 7 * 10**9 - 1, 0, Address(bytes(32))), ctx.gas)
    assert (ctx.height, ctx.time, ctx.time_s) == (5, 7 * 10**9 - 1, 6)


def test_event_costs_gas_before_it_is_recorded(ctx: Context) -> None:
    ctx.enter(Gas(gas_schedule(1), 15))
    ctx.emit(Noted(1))
    with pytest.raises(OutOfGas):
        ctx.emit(Noted(2))
    assert [event.fields for event in ctx.events] == [(1,)]
    assert ctx.events[0].name == "lab.noted"


def test_events_and_debts_are_counted(ctx: Context) -> None:
    for number in range(MAX_EVENTS):
        ctx.emit(Noted(number))
    with pytest.raises(TooManyEvents):
        ctx.emit(Noted(0))
    for number in range(MAX_DEBTS):
        ctx.owe(ALICE.address, "QXC", number + 1)
    with pytest.raises(TooManyDebts):
        ctx.owe(ALICE.address, "QXC", 1)
    assert ctx.debts[1] == Debt(ALICE.address, ALICE.address, "QXC", 2)


@pytest.mark.parametrize("amount", [0, -1])
def test_debt_is_positive(ctx: Context, amount: int) -> None:
    with pytest.raises(AmountNotPositive):
        ctx.owe(ALICE.address, "QXC", amount)


def test_undeclared_event_has_no_name(ctx: Context) -> None:
    with pytest.raises(KeyError):
        ctx.emit(Undeclared(1))
    assert ctx.events == []


def test_new_scope_begins_empty(ctx: Context) -> None:
    ctx.emit(Noted(1))
    ctx.owe(ALICE.address, "QXC", 1)
    ctx.depth = 3
    ctx.enter(Gas(gas_schedule(1), 1))
    assert (ctx.events, ctx.debts, ctx.depth) == ([], [], 0)
