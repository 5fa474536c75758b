"""The short way of one signer through entry decides as the general one, refusal by refusal, record by record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defi_modules.bank import Bank
from ledger.state import State
from qenex.errors import QenexError, UnknownMessage
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS, ACCOUNT_RECORDS, Account
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
from tests.vm.chain import ACTORS, CHAIN_ID
from vm import entry
from vm.alone import alone_checks
from vm.fees import MachineParams
from vm.gas import gas_schedule
from vm.machine import CheckState, Machine

ALICE, BOB = ACTORS[:2]
HEIGHT = 50
HASH = bytes(range(32))
ED25519_SIZE = 184
"""Bytes of the transfer below."""
REGISTRY = Machine([Bank]).registry


class Records:
    """A base of decoded values."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        self.get = values.get

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        return iter(())


class Case(NamedTuple):
    """A transaction, the payer's record, and the block's rules."""

    tx: Transaction
    records: dict[bytes, Any]
    rules: entry.Rules
    valid: bool


FAULTS = (
    "none", "chain", "late", "far", "sequence", "key sent", "other key sent", "no key", "scoped", "lease", "long key",
    "long key gone",
    "unknown key", "scheme off", "verify only", "gas low", "gas high", "fee low", "poor", "no account", "signature",
)  # fmt: skip
"""What is out of the ordinary: one thing, or two at a time, so that the order of the checks shows."""
KINDS = (
    Message("bank.send", (BOB.address, (QXC, 1)), 0),
    Message("bank.send", (BOB.address, ("ABC", 1)), 0),
    Message("bank.send", (BOB.address, (QXC, -1)), 0),
    Message("bank.lend", (BOB.address, (QXC, 1)), 0),
)
"""A plain transfer, another transaction, one with a wrong argument, one that no module knows: all of one size."""
GAS = 250 + ED25519_SIZE // 4 + 420
"""Intrinsic gas of the transfer below, within a few bytes: the limits around it are drawn."""
PAYMENT_SIZE = 53
"""Bytes of each further payment."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    faults = {draw(st.sampled_from(FAULTS)), draw(st.sampled_from(("none", "none", *FAULTS)))}
    scheme = 0 if "scheme off" in faults else 1 if "verify only" in faults else 2
    high = "gas high" in faults
    params = MachineParams(
        scheme_ed25519=scheme, scheme_ml_dsa_44=scheme, max_block_gas=100_000 if high else 5_000_000
    )
    price = draw(st.sampled_from([10, 10, 0]))
    rules = entry.make_rules(CHAIN_ID, HEIGHT, price, params, gas_schedule(1))
    payments = draw(st.sampled_from([1, 1, 8]))
    gas = GAS + (payments - 1) * PAYMENT_SIZE // 4
    gas_limit = gas + draw(st.integers(-20, 20)) if "gas low" in faults else 100_001 if high else 5_000
    tip = draw(st.sampled_from([0, 7]))
    needed = gas_limit * price + tip
    fee = Fee(max(needed - 1, 0) if "fee low" in faults else needed + draw(st.integers(0, 1)), gas_limit, tip)
    sent = ALICE.key if "key sent" in faults else BOB.key if "other key sent" in faults else None
    sequence = draw(st.integers(0, 2))
    signed = sequence + draw(st.sampled_from([1, 2])) if "sequence" in faults else sequence
    body = encode_body(
        "other" if "chain" in faults else CHAIN_ID,
        [Signer(ALICE.address, signed, sent, 1 if "scoped" in faults else None)],
        [draw(st.sampled_from([KINDS[0], *KINDS[:2], *KINDS]))] * payments,
        fee,
        HEIGHT - 1 if "late" in faults else HEIGHT + 20_000 if "far" in faults else HEIGHT,
        HASH if "lease" in faults else None,
    )
    long_key, unknown = bytes((2,)) + HASH, bytes((0x77,)) + HASH
    stored = (
        long_key
        if faults & {"long key", "long key gone"}
        else unknown
        if "unknown key" in faults
        else ALICE.key
    )
    balance = max(fee.max - 1, 0) if "poor" in faults else fee.max + draw(st.integers(0, 1))
    record = Account(sequence, balance, b"" if "no key" in faults else stored, 0, 0)
    records: dict[bytes, Any] = {ACCOUNT_PUBLIC_KEYS + HASH: bytes((2,)) + bytes(1312)}
    if "long key gone" in faults:
        records = {}
    if "no account" not in faults:
        records[ACCOUNT_RECORDS + ALICE.address] = record
    tx = decode_transaction(assemble(body, [bytes(64)]))
    return Case(tx, records, rules, "signature" not in faults)


def outcome(case: Case, *, asks: bool) -> tuple[Any, ...]:
    """What entry says, what the verifier was asked, and what was written in which order."""
    state = State(Records(case.records))
    asked: list[tuple[bytes, ...]] = []

    def verify(tx: Transaction, keys: tuple[bytes, ...]) -> bool:
        asked.append(keys)
        return case.valid

    answer: tuple[Any, ...]
    try:
        answer = tuple(entry.enter(state, case.rules, REGISTRY, case.tx, verify if asks else None))
    except QenexError as error:
        answer = type(error), error.code, error.message, error.hint
    return answer, asked, list(state.changes().items()), state.images(), state.touched(0)


@settings(max_examples=400)
@given(case=cases(), asks=st.booleans())
def test_both_ways_agree(case: Case, asks: bool) -> None:
    short = outcome(case, asks=asks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "_enter_alone", lambda *arguments: None)
        assert outcome(case, asks=asks) == short


def test_the_usual_transaction_goes_the_short_way() -> None:
    record = Account(3, 10**9, ALICE.key, 0, 0)
    rules = entry.make_rules(CHAIN_ID, HEIGHT, 10, MachineParams(), gas_schedule(1))
    body = encode_body(
        CHAIN_ID,
        [Signer(ALICE.address, 3, None, None)],
        [Message("bank.send", (BOB.address, (QXC, 1)), 0)],
        Fee(10**6, 5_000, 0),
        HEIGHT + 5,
    )
    tx = decode_transaction(assemble(body, [bytes(64)]))
    state = State(Records({ACCOUNT_RECORDS + ALICE.address: record}))
    entered = entry._enter_alone(state, rules, tx, None)
    assert entered is not None
    assert entered.keys == (ALICE.key,)
    assert state.get(ACCOUNT_RECORDS + ALICE.address) == Account(4, 10**9 - 10**6, ALICE.key, 0, 0)
    long = bytes((2,)) + bytes(1312)
    beside = record._replace(key=bytes((2,)) + HASH)
    state = State(Records({ACCOUNT_RECORDS + ALICE.address: beside, ACCOUNT_PUBLIC_KEYS + HASH: long}))
    entered = entry._enter_alone(state, rules, tx, None)
    assert entered is not None
    assert entered.keys == (long,)
    assert entered.intrinsic_gas == 250 + len(tx.raw) // 4 + 840


@settings(max_examples=600)
@given(case=cases())
def test_admission_in_short_decides_as_in_general(case: Case) -> None:
    tx = case.tx
    if not tx.sender:
        return
    machine = Machine([Bank])
    for short in (True, False):
        tx.plan = None
        check = CheckState(machine, Records({}), CHAIN_ID, HEIGHT)
        check.rules = case.rules
        check._state.reset(Records(case.records))
        check._values, _, check._base_get = check._state.parts()
        if short:
            key_of, admit = alone_checks(case.rules, machine.registry, check._values, check._base_get)
            key_of(usual())  # whose terms are kept
            said = answer(key_of, tx)
            admitted = admit(tx, signed_with(case), False)
            written = dict(check._values)
            continue
        expected = answer(check.screen, tx)
        if isinstance(said, tuple):  # of arguments and messages, before anything else
            assert said == expected
        elif isinstance(expected[0], type):
            assert said is None
        else:
            keys, sequence = expected
            assert said in (keys[0] if sequence == tx.sequence else None, None)
        try:
            entered = check.admit(tx)
        except QenexError:
            assert not admitted
            assert not written
        else:
            assert admitted == (entered.keys == (signed_with(case),))
            assert said == signed_with(case) or not admitted
            assert written == (check._values if admitted else {})


def answer(ask: Callable[[Transaction], Any], tx: Transaction) -> Any:
    """What it says, or the error that it raises."""
    try:
        return ask(tx)
    except QenexError as error:
        return type(error), error.message


def signed_with(case: Case) -> bytes:
    """The key that the payer's record names, else Alice's."""
    record = case.records.get(ACCOUNT_RECORDS + ALICE.address)
    long = case.records.get(ACCOUNT_PUBLIC_KEYS + HASH)
    return long if record is not None and record.key[1:] == HASH and long is not None else ALICE.key


def usual(message: Message = KINDS[0]) -> Transaction:
    body = encode_body(
        CHAIN_ID, [Signer(ALICE.address, 3, None, None)], [message], Fee(10**6, 5_000, 0), HEIGHT + 5
    )
    return decode_transaction(assemble(body, [bytes(64)]))


@pytest.mark.parametrize("message", KINDS[:2])
def test_the_usual_is_admitted_in_short_where_its_module_is(message: Message) -> None:
    record, tx = Account(3, 10**9, ALICE.key, 0, 0), usual(message)
    assert isinstance(tx, Transfer) == (message is KINDS[0])
    for modules, admitted in (([], False), ([Bank], True)):
        check = CheckState(
            Machine(modules), Records({ACCOUNT_RECORDS + ALICE.address: record}), CHAIN_ID, HEIGHT
        )
        said = answer(check.key_of_alone, tx)
        assert said == (ALICE.key if admitted else (UnknownMessage, "no message is called 'bank.send'"))
        assert check.admit_alone(tx, ALICE.key, True) == admitted
        assert not check._values
        assert check.admit_alone(tx, ALICE.key, False) == admitted
        assert bool(check._values) == admitted
