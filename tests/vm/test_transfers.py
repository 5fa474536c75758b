"""The short way of a plain transfer does what the general one does: same decisions, records, receipts, sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qenex.block import Validator
from qenex.crypto.address import Address, module_address
from qenex.errors import QenexError
from qenex.state_keys import ACCOUNT_RECORDS, FLAG_GUARDED, FLAG_MODULE_ACCOUNT, Account, ModuleId
from qenex.transaction import (
    Fee,
    Message,
    Signer,
    Transaction,
    Transfer,
    assemble,
    decode_transaction,
    encode_body,
)
from qenex.types import QXC
from tests.vm.chain import ACTORS, CHAIN_ID, VALIDATOR, Chain
from vm import transfers
from vm.context import BlockInfo, Context
from vm.core import Pause
from vm.execution import BlockExecution
from vm.module import Module, message

HEIGHT: Final = 50
NAMES: Final = tuple(range(7))
"""Accounts: as a node has them by the thousand, with a discount, a module's, never signed, missing, its main account,
and one with another key."""


def address_of_name(name: int) -> Address:
    return (
        module_address("bank")
        if name == 5
        else ACTORS[name % 4].address
        if name < 4
        else Address(bytes((name,)) * 32)
    )


class Switch(Module):
    """Pauses the bank and opens it again."""

    id = ModuleId.TOKENS
    name = "tokens"
    paused: Any = None

    @message(gas=10)
    def turn(self, ctx: Context, on: bool) -> None:
        """Pause or open the bank.

        Args:
            on: whether to pause it.
        """
        self.paused.set(int(ModuleId.BANK), Pause(ctx.height, 1) if on else None)


class Records:
    """A base of decoded values."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        self.values = values
        self.get = values.get

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        return iter(sorted([(k, v) for k, v in self.values.items() if start <= k < stop], reverse=reverse))


CHAIN: Final = Chain(Switch, parameters={"machine": {"max_block_gas": 100_000, "max_block_bytes": 131_072}})
MACHINE: Final = CHAIN.machine
SWITCH: Final = MACHINE.modules["tokens"]
assert isinstance(SWITCH, Switch)
SWITCH.paused = MACHINE.core.paused
KEY: Final = b"\x01" + bytes(32)
STRANGE_KEY: Final = b"\x77" + bytes(32)
OTHER_KEY: Final = b"\x01" + bytes(31) + b"\x01"


@st.composite
def bases(draw: st.DrawFn) -> dict[bytes, Any]:
    """State that a block stands on."""
    values = {
        key: MACHINE.state_codecs[key[:2]].decode(data)
        for key, data in CHAIN.store.values.items()
        if key[:2] != ACCOUNT_RECORDS
    }
    for name in NAMES:
        if name == 4:
            continue
        guarded = FLAG_GUARDED if name == 1 and draw(st.integers(0, 5)) == 0 else 0
        balance = draw(st.sampled_from([10**9, 10**9, 200_000, 40_000, 0]))
        tier, flags = (300, 0) if name == 2 else (0, FLAG_MODULE_ACCOUNT if name == 3 else guarded)
        key = b"" if name == 6 else OTHER_KEY if name == 1 and draw(st.integers(0, 5)) == 0 else KEY
        values[ACCOUNT_RECORDS + address_of_name(name)] = Account(3, balance, key, tier, flags)
    if draw(st.integers(0, 5)) == 0:
        values[MACHINE.core.paused.key_of(int(ModuleId.BANK))] = Pause(1, 1)
    return values


GAS: Final = 1_026
SIZE: Final = 189
"""What the transfer below takes of a block."""
USUAL: Final[dict[str, Any]] = {
    "kind": "transfer", "sender": 0, "recipient": 1, "step": 0, "amount": 5, "gas_limit": 3_000, "tip": 0, "more": 0,
    "until": HEIGHT, "chain_id": CHAIN_ID, "verified": (KEY,), "on": True,
}  # fmt: skip
UNUSUAL: Final[dict[str, tuple[Any, ...]]] = {
    "kind": ("memo", "switch"), "step": (1, -1),
    "amount": (500, 100_000, 169_999, 170_000, 170_001, 10**9), "gas_limit": (GAS + 1, GAS, GAS - 1, GAS - 10, GAS - 11, 700, 97_500, 100_000, 100_001),
    "tip": (7,), "more": (11, -1), "until": (HEIGHT + 9, HEIGHT - 1, HEIGHT + 10_000, HEIGHT + 10_001),
    "chain_id": ("other",), "verified": (None, (OTHER_KEY,), (KEY, KEY), ()), "on": (False,),
}  # fmt: skip


class Plan(NamedTuple):
    """One transaction of a block: who, what, and what is out of the ordinary."""

    kind: str
    sender: int
    recipient: int
    step: int
    amount: int
    gas_limit: int
    tip: int
    more: int
    until: int
    chain_id: str
    verified: tuple[bytes, ...] | None
    on: bool

    def transaction(self, sequences: dict[int, int], price: int) -> Transaction:
        name = self.sender if self.kind != "switch" else 1
        signer = Signer(address_of_name(name), max(0, sequences.get(name, 3) + self.step), None, None)
        send = Message("bank.send", (address_of_name(self.recipient), (QXC, self.amount)), 0)
        turn = Message("tokens.turn", (self.on,), 0)
        fee = Fee(max(0, self.gas_limit * price + self.tip + self.more), self.gas_limit, self.tip)
        memo = "x" if self.kind == "memo" else ""
        what = turn if self.kind == "switch" else send
        body = encode_body(self.chain_id, [signer], [what], fee, self.until, None, memo)
        tx = decode_transaction(assemble(body, [bytes(64)]))
        tx.verified = self.verified
        return tx


def usual(**changes: Any) -> Plan:
    return Plan(**{**USUAL, **changes})


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A usual transfer with at most two things that are not, so that each check decides alone at times."""
    fields = draw(st.lists(st.sampled_from(sorted(UNUSUAL)), max_size=2, unique=True))
    people = {
        "sender": draw(st.sampled_from([0, 0, 1, 2])),
        "recipient": draw(st.sampled_from([0, 1, 1, 2, 2, 3, 4, 5, 6])),
    }
    return usual(**people, **{field: draw(st.sampled_from(UNUSUAL[field])) for field in fields})


def block_of(base: dict[bytes, Any], block: list[Plan], size: int = 0) -> tuple[Any, int]:
    """All that a block of these transactions does and says; how many of them went the short way."""
    MACHINE.verify = lambda tx, keys: tx.verified == keys
    info = BlockInfo(
        CHAIN_ID, HEIGHT, 10**18, 10**18 - 10**8, VALIDATOR.address, (), 1,
        (Validator(VALIDATOR.address, VALIDATOR.key, 10),),
    )  # fmt: skip
    execution: BlockExecution = MACHINE.begin(Records(base), info)
    execution.size = size
    sequences: dict[int, int] = {}
    told: list[Any] = []
    for plan in block:
        tx = plan.transaction(sequences, execution.price)
        try:
            told.append(execution.take(tx))
        except QenexError as error:
            told.append((type(error), error.message, error.hint))
        told.append(
            (execution.error, execution.gas_used, execution.size, execution.base_fees, execution.tips)
        )
        for name in NAMES:
            record = MACHINE.state.get(ACCOUNT_RECORDS + address_of_name(name))
            sequences[name] = 0 if record is None else record[0]
        told.append((list(MACHINE.state.parts()[0].items()), list(MACHINE.state.images().items())))
    short = len(execution.receipts) - execution.others
    receipts = list(execution.receipts)
    assert execution.receipts.failed == sum(receipt.status != 0 for receipt in receipts)
    types = [[(type(e), type(e.fields)) for e in r.events] + [type(x) for x in r.results] for r in receipts]
    return (told, execution.receipts.encoded, receipts, types, execution.end()), short


@settings(max_examples=300)
@given(base=bases(), block=st.lists(plans(), min_size=1, max_size=8))
def test_both_ways_agree(base: dict[bytes, Any], block: list[Plan]) -> None:
    agree(base, block)


def agree(base: dict[bytes, Any], block: list[Plan], size: int = 0) -> None:
    (told, *rest), _ = block_of(base, block, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vm.execution.short_way", lambda execution: transfers.never_taken)
        (general, *others), short = block_of(base, block, size)
    assert short <= 0
    for ours, theirs in zip(told, general, strict=True):
        if isinstance(ours, tuple) and isinstance(ours[0], QenexError):
            assert (type(ours[0]), ours[0].message) == (type(theirs[0]), theirs[0].message)
            ours, theirs = ours[1:], theirs[1:]
        assert ours == theirs
    assert rest == others


def base_of_rich() -> dict[bytes, Any]:
    values = {
        key: MACHINE.state_codecs[key[:2]].decode(data)
        for key, data in CHAIN.store.values.items()
        if key[:2] != ACCOUNT_RECORDS
    }
    for name in NAMES[:4]:
        values[ACCOUNT_RECORDS + address_of_name(name)] = Account(3, 10**9, KEY, 0, 0)
    return values


def test_terms_that_are_refused_leave_those_found_good_as_they_were() -> None:
    agree(
        base_of_rich(),
        [usual(tip=7), usual(tip=0, more=-1), usual(tip=7), usual(gas_limit=10**6), usual(tip=7)],
    )


def test_usual_transfers_go_the_short_way_and_a_pause_within_the_block_ends_it() -> None:
    block = [usual(), usual(sender=1, recipient=0, tip=3), usual(), usual(kind="switch"), usual(), usual()]
    (told, encoded, receipts, _, _), short = block_of(base_of_rich(), block)
    assert [receipt.status for receipt in receipts] == [0, 0, 0, 0, *[receipts[-1].status] * 2]
    assert receipts[-1].status >= 2_000
    assert short == 3
    assert len(encoded) == 6
    assert told[0] is True
    assert isinstance(usual().transaction({}, 10), Transfer)


@pytest.mark.parametrize(
    ("last", "size"),
    [
        (usual(gas_limit=100_000 - 3 * GAS), 0),
        (usual(gas_limit=100_001 - 3 * GAS), 0),
        (usual(), 131_072 - 3 * SIZE),
        (usual(), 131_072 - 4 * SIZE),
        (usual(), 131_072 - 4 * SIZE + 1),
        (usual(verified=(KEY, KEY)), 0),
        (usual(sender=5, verified=(b"",)), 0),
        (usual(sender=6, verified=(STRANGE_KEY,)), 0),
        (usual(recipient=5), 0),
        (usual(more=-1), 0),
        (usual(until=HEIGHT - 1), 0),
        (usual(until=HEIGHT + 10_000), 0),
        (usual(until=HEIGHT + 10_001), 0),
        (usual(recipient=4), 0),
    ],
)
def test_both_ways_agree_at_the_edges(last: Plan, size: int) -> None:
    base = base_of_rich()
    base[ACCOUNT_RECORDS + address_of_name(5)] = Account(3, 10**9, b"", 0, 0)
    base[ACCOUNT_RECORDS + address_of_name(6)] = Account(3, 10**9, STRANGE_KEY, 0, 0)
    agree(base, [usual()] * 3 + [last, usual()], size)
