"""Calls between modules: only those declared, in the caller's name, with a scope of their own."""

from __future__ import annotations

from typing import Any

import pytest

from qenex.crypto import module_address
from qenex.errors import CallNotAllowed, CallTooDeep, DebitNotAllowed, ModulePaused, OutOfGas
from qenex.types import U8
from tests.vm.chain import ACTORS, Chain
from tests.vm.lab import TOKEN, Lab, Vault
from vm.context import MAX_CALL_DEPTH, Context
from vm.core import Pause
from vm.module import Module, internal, message

ALICE, BOB = ACTORS[:2]
LAB, VAULT = module_address("lab"), module_address("vault")


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab, Vault)


def test_call_acts_as_the_callers_main_account(chain: Chain) -> None:
    receipt = chain.send_block(
        ALICE, ("lab.make", (9,)), ("lab.give_raw", (LAB, (TOKEN, 9))), ("lab.deposit", (4, None))
    )
    assert receipt.status == 0
    assert receipt.results[2] == 4
    assert chain.query("vault.get_actors") == (bytes(LAB),)
    assert (chain.balance(LAB, TOKEN), chain.balance(VAULT, TOKEN)) == (5, 4)


def test_call_acts_as_the_named_object_of_the_caller(chain: Chain) -> None:
    pool = module_address("lab", b"pool")
    receipt = chain.send_block(
        ALICE,
        ("lab.open", (b"pool",)),
        ("lab.make", (9,)),
        ("lab.give_raw", (pool, (TOKEN, 9))),
        ("lab.deposit", (9, pool)),
    )
    assert receipt.status == 0
    assert chain.query("vault.get_actors") == (bytes(pool),)


@pytest.mark.parametrize("acting", [ALICE.address, BOB.address, VAULT, module_address("lab", b"unopened")])
def test_call_cannot_act_for_an_account_that_is_not_the_callers(chain: Chain, acting: Any) -> None:
    receipt = chain.send_block(ALICE, ("lab.make", (9,)), ("lab.deposit", (1, acting)))
    assert receipt.status == DebitNotAllowed.code


def test_failed_call_leaves_no_trace_and_the_caller_may_go_on(chain: Chain) -> None:
    receipt = chain.send_block(ALICE, ("lab.try_failing_call", (BOB.address,)))
    assert receipt.status == 0, "the debt of 10^30 is gone with the call that opened it"
    assert [event.name for event in receipt.events] == ["lab.noted"]
    assert chain.query("vault.get_calls") == 0
    assert chain.query("lab.get_last") == 2


def test_only_declared_callers_may_call(chain: Chain) -> None:
    assert chain.send_block(ALICE, ("lab.call_private", ())).status == CallNotAllowed.code


def test_call_is_charged_before_it_is_made(chain: Chain) -> None:
    message = ("lab.deposit", (0, None))
    probe = chain.tx(ALICE, message)
    least = chain.machine.new_check(chain.base, "lab-1", 1).admit(probe).intrinsic_gas
    receipt = chain.send_block(ALICE, message, gas=least + 100 + 40)
    assert receipt.status == OutOfGas.code
    assert chain.query("vault.get_calls") == 0


def test_paused_module_takes_no_calls(chain: Chain) -> None:
    key = b"\x00\x05" + bytes((Vault.id,))
    chain.store.write({key: Pause(1, 2_999)}, chain.machine.state_codecs)
    chain.base = chain._committed()
    assert chain.send_block(ALICE, ("lab.make", (9,)), ("lab.deposit", (1, None))).status == ModulePaused.code
    assert chain.send_block(ALICE, ("vault.knock", ())).status == ModulePaused.code
    assert chain.send_block(ALICE, ("vault.leave", ())).status == 0


# -- depth -------------------------------------------------------------------------------------------------


def links(count: int) -> list[type[Module]]:
    """Modules link0 -> link1 -> ...: each passes the call on."""

    def make(n: int) -> type[Module]:
        class Link(Module):
            id = 100 + n
            name = f"link{n}"
            uses = (f"link{n + 1}",) if n + 1 < count else ()

            def _pass(self, ctx: Context, depth: int) -> int:
                return int(getattr(self, f"link{n + 1}").down(ctx, depth - 1)) + 1 if depth else 0

            @internal(callers=(f"link{n - 1}",), gas=1)
            def down(self, ctx: Context, depth: U8) -> U8:
                """Pass it on.

                Args:
                    depth: how often.
                """
                assert ctx.module == self.name
                assert ctx.actor == module_address(f"link{n - 1}")
                return self._pass(ctx, depth)

            @message(gas=1)
            def start(self, ctx: Context, depth: U8) -> U8:
                """Begin.

                Args:
                    depth: how often.
                """
                before = ctx.actor
                result = self._pass(ctx, depth)
                assert (ctx.depth, ctx.actor, ctx.module) == (0, before, self.name)
                return result

        return Link

    return [make(n) for n in range(count)]


@pytest.mark.parametrize("depth", [0, 1, MAX_CALL_DEPTH, MAX_CALL_DEPTH + 1])
def test_calls_are_at_most_eight_deep(depth: int) -> None:
    receipt = Chain(*links(12)).send_block(ALICE, ("link0.start", (depth,)))
    if depth <= MAX_CALL_DEPTH:
        assert (receipt.status, receipt.results) == (0, (depth,))
    else:
        assert receipt.status == CallTooDeep.code
