"""What may stand in a block: every wrong transaction is refused by name, costs nothing, changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.state import State
from qenex.codec import encode
from qenex.crypto import Address, address_of, encode_address, module_address
from qenex.errors import (
    AccountNotFound,
    DuplicateSigner,
    Expired,
    GasLimitTooHigh,
    GasLimitTooLow,
    InsufficientFee,
    InsufficientFunds,
    InvalidArguments,
    InvalidReference,
    InvalidSignature,
    InvalidValidUntil,
    LeaseHeld,
    MalformedBytes,
    PublicKeyMismatch,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    SchemeNotAllowed,
    ScopedKeyNotFound,
    TooLarge,
    UnknownMessage,
    UnknownScheme,
    UnusedSigner,
    WeakPublicKey,
    WrongChainId,
    WrongSequence,
    WrongSignatureCount,
)
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT
from qenex.transaction import Fee, Message, Signer, assemble, decode_transaction, encode_body
from qenex.types import QXC
from tests.vm.chain import ACTORS, CHAIN_ID, START, Actor, Chain, ref
from tests.vm.lab import TOKEN, Lab, Vault
from vm.entry import signed_size

ALICE, BOB, CAROL = ACTORS[:3]
SEND = ("bank.send", (BOB.address, (QXC, 1)))
ED25519_TAG = 1


@pytest.fixture
def chain() -> Chain:
    return Chain(Lab, Vault)


def refused(chain: Chain, error: type[QenexError], tx: Any) -> QenexError:
    """The transaction is refused with this very error, twice (admission too), and leaves no trace."""
    block = chain.begin()
    with pytest.raises(QenexError) as found:
        block.execute(tx)
    assert type(found.value) is error, found.value
    assert found.value.hint
    assert found.value.message
    assert 1_000 <= found.value.code < 2_000
    assert (list(block.receipts), block.gas_used, chain.machine.state.changes()) == ([], 0, {})
    if error is not InvalidSignature:  # the pool has signatures verified elsewhere
        check = chain.machine.new_check(chain.base, CHAIN_ID, chain.height + 1)
        with pytest.raises(error):
            check.admit(tx)
        assert check.sequence(ALICE.address) == chain.account(ALICE.address).sequence
    chain.block = None
    return found.value


def body(chain: Chain, **changes: Any) -> bytes:
    """A good body of alice's, with these parts changed."""
    parts: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "signers": [chain.signer(ALICE)],
        "messages": [Message("bank.send", (BOB.address, (QXC, 1)), 0)],
        "fee": Fee(10**8, 100_000, 0),
        "valid_until": chain.height + 100,
    }
    return encode_body(**{**parts, **changes})


def signed(data: bytes, *actors: Actor) -> Any:
    return decode_transaction(assemble(data, [actor.sign(data) for actor in actors or (ALICE,)]))


# -- bytes: before the machine sees anything ---------------------------------------------------------


BYTES: list[tuple[str, type[QenexError], Callable[[Chain], Any]]] = [
    ("empty", MalformedBytes, lambda c: b""),
    ("not the outer form", MalformedBytes, lambda c: encode((1, 2, 3))),
    ("garbage", MalformedBytes, lambda c: b"\xc1" * 100),
    ("oversized", TooLarge, lambda c: bytes(65_537)),
    ("over-nested", MalformedBytes, lambda c: b"\x91" * 60_000 + b"\xc0"),
    ("a byte too many", MalformedBytes, lambda c: assemble(body(c), [bytes(64)]) + b"\x00"),
    ("a float", MalformedBytes, lambda c: assemble(body(c).replace(b"\xa9bank.send", b"\xcb" + bytes(8)), [b""])),
    ("a map", MalformedBytes, lambda c: b"\x81\xc0\xc0"),
    ("129 messages", TooLarge, lambda c: assemble(
        body(c, messages=[Message("lab.emit", (0,), 0)] * 129), [bytes(64)])),
    ("9 signers", TooLarge, lambda c: assemble(
        body(c, signers=[Signer(Address(bytes([n]) * 32), 0, None, None) for n in range(9)]), [b""] * 9)),
    ("no signer", MalformedBytes, lambda c: assemble(body(c, signers=[]), [])),
    ("no message", MalformedBytes, lambda c: assemble(body(c, messages=[]), [bytes(64)])),
    ("long memo", TooLarge, lambda c: assemble(body(c, memo="x" * 257), [bytes(64)])),
    ("short lease", MalformedBytes, lambda c: assemble(body(c, lease=b"x"), [bytes(64)])),
    ("negative fee", MalformedBytes, lambda c: assemble(body(c, fee=Fee(-1, 1, 0)), [bytes(64)])),
    ("fee beyond 2^128", MalformedBytes, lambda c: assemble(body(c, fee=Fee(2**128, 1, 0)), [bytes(64)])),
    ("negative tip", MalformedBytes, lambda c: assemble(body(c, fee=Fee(1, 1, -1)), [bytes(64)])),
    ("key given twice", DuplicateSigner, lambda c: assemble(
        body(c, signers=[c.signer(ALICE)] * 2), [bytes(64)] * 2)),
    ("no signature", WrongSignatureCount, lambda c: assemble(body(c), [])),
    ("two signatures", WrongSignatureCount, lambda c: assemble(body(c), [bytes(64)] * 2)),
    ("unknown signer index", UnusedSigner, lambda c: assemble(
        body(c, messages=[Message("bank.send", (BOB.address, (QXC, 1)), 1)]), [bytes(64)])),
]  # fmt: skip


@pytest.mark.parametrize(("what", "error", "make"), BYTES, ids=[what for what, _, _ in BYTES])
def test_bytes_refused_by_name(
    chain: Chain, what: str, error: type[QenexError], make: Callable[[Chain], bytes]
) -> None:
    with pytest.raises(QenexError) as found:
        decode_transaction(make(chain))
    assert type(found.value) is error, found.value
    assert found.value.hint


def nest(depth: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = ()
    for _ in range(depth):
        value = (value,)
    return value


# -- messages and arguments --------------------------------------------------------------------------


MESSAGES: list[tuple[str, type[QenexError], list[tuple[str, tuple[Any, ...]]]]] = [
    ("unknown module", UnknownMessage, [("nobody.send", ())]),
    ("unknown verb", UnknownMessage, [("bank.steal", ())]),
    ("a query as a message", UnknownMessage, [("bank.get_balance", (BOB.address, QXC))]),
    ("an internal as a message", UnknownMessage, [("vault.deposit", (1,))]),
    ("a method as a message", UnknownMessage, [("bank.import_genesis", ())]),
    ("too few arguments", InvalidArguments, [("bank.send", (BOB.address,))]),
    ("too many arguments", InvalidArguments, [("bank.send", (BOB.address, (QXC, 1), 1))]),
    ("address of 31 bytes", InvalidArguments, [("bank.send", (bytes(31), (QXC, 1)))]),
    ("address as text", InvalidArguments, [("bank.send", ("qx1", (QXC, 1)))]),
    ("negative amount", InvalidArguments, [("bank.send", (BOB.address, (QXC, -1)))]),
    ("amount beyond 2^128", InvalidArguments, [("bank.send", (BOB.address, (QXC, 2**128)))]),
    ("amount as text", InvalidArguments, [("bank.send", (BOB.address, (QXC, "1")))]),
    ("amount as bool", InvalidArguments, [("bank.send", (BOB.address, (QXC, True)))]),
    ("denomination too short", InvalidArguments, [("bank.send", (BOB.address, ("qx", 1)))]),
    ("denomination with a space", InvalidArguments, [("bank.send", (BOB.address, ("a b", 1)))]),
    ("denomination with a zero byte", InvalidArguments, [("bank.send", (BOB.address, ("lab/\0x", 1)))]),
    ("denomination not ASCII", InvalidArguments, [("bank.send", (BOB.address, ("Ωmega", 1)))]),
    ("coin with a third field", InvalidArguments, [("bank.send", (BOB.address, (QXC, 1, 1)))]),
    ("number beyond its width", InvalidArguments, [("lab.put", (2**64, b""))]),
    ("over-nested argument", InvalidArguments, [("bank.send", (nest(400), (QXC, 1)))]),
    ("over-nested inside a coin", InvalidArguments, [("bank.send", (BOB.address, (QXC, nest(400))))]),
    ("text where nothing fits", InvalidArguments, [("bank.send", (BOB.address, "x" * 60_000))]),
    ("reference to itself", InvalidReference, [("bank.send", (BOB.address, ref(0, "coin")))]),
    ("reference to a later one", InvalidReference, [
        ("bank.send", (BOB.address, ref(1, "coin"))), ("lab.make", (5,))]),
    ("reference to none", InvalidReference, [("bank.send", (BOB.address, ref(99, "coin")))]),
    ("reference below zero", InvalidReference, [("lab.make", (1,)), ("bank.send", (BOB.address, ref(-1, "coin")))]),
    ("reference to no field", InvalidReference, [("lab.make", (5,)), ("bank.send", (BOB.address, ref(0, "x")))]),
    ("reference to a tuple's method", InvalidReference, [
        ("lab.make", (5,)), ("lab.make", (ref(0, "count"),))]),
    ("reference of another type", InvalidReference, [
        ("lab.make", (5,)), ("bank.send", (BOB.address, ref(0, "amount")))]),
    ("reference of a narrower type", InvalidReference, [("lab.make", (5,)), ("lab.make", (ref(0, "number"),))]),
    ("reference to a message without result", InvalidReference, [
        ("lab.emit", (1,)), ("bank.send", (BOB.address, ref(0, "coin")))]),
    ("reference inside an argument", InvalidArguments, [
        ("lab.make", (5,)), ("bank.send", (BOB.address, (TOKEN, ref(0, "amount"))))]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "error", "messages"), MESSAGES, ids=[what for what, _, _ in MESSAGES])
def test_message_refused_by_name(
    chain: Chain, what: str, error: type[QenexError], messages: list[tuple[str, tuple[Any, ...]]]
) -> None:
    refused(chain, error, chain.tx(ALICE, *messages))


# -- chain, time, keys, sequences ------------------------------------------------------------------------


def test_wrong_chain_id(chain: Chain) -> None:
    refused(chain, WrongChainId, chain.tx(ALICE, SEND, chain_id="lab-2"))


def test_valid_until_in_the_past_or_too_far(chain: Chain) -> None:
    for _ in range(5):
        chain.begin()
        chain.end()
    refused(chain, Expired, chain.tx(ALICE, SEND, valid_until=5))
    refused(chain, Expired, chain.tx(ALICE, SEND, valid_until=0))
    refused(chain, InvalidValidUntil, chain.tx(ALICE, SEND, valid_until=10_007))
    refused(chain, InvalidValidUntil, chain.tx(ALICE, SEND, valid_until=2**64 - 1))
    block = chain.begin()
    block.execute(chain.tx(ALICE, SEND, valid_until=6))
    block.execute(chain.tx(BOB, SEND, valid_until=10_006))


@pytest.mark.parametrize("later", [1, 2**63])
def test_wrong_sequence(chain: Chain, later: int) -> None:
    chain.run(chain.tx(ALICE, SEND))
    refused(chain, WrongSequence, chain.tx(ALICE, SEND, later=later))


def test_replay(chain: Chain) -> None:
    tx = chain.tx(ALICE, SEND)
    block = chain.begin()
    block.execute(tx)
    with pytest.raises(PublicKeyNotAllowed):
        block.execute(tx)
    chain.end()
    refused(chain, PublicKeyNotAllowed, tx)
    second = chain.tx(ALICE, SEND)
    chain.run(second)
    refused(chain, WrongSequence, second)
    other = Chain(Lab, Vault)
    other.run(other.tx(ALICE, SEND))
    assert other.run(second)[0].status == 0, "the same chain id and state: what replay protection rests on"


def test_a_failed_transaction_cannot_be_replayed(chain: Chain) -> None:
    chain.run(chain.tx(ALICE, SEND))
    tx = chain.tx(ALICE, ("bank.send", (BOB.address, (QXC, 0))))
    assert chain.run(tx)[0].status != 0
    refused(chain, WrongSequence, tx)


def test_second_signers_sequence_counts(chain: Chain) -> None:
    chain.run(chain.tx(BOB, SEND))
    signers = [chain.signer(ALICE), chain.signer(BOB, sequence=0)]
    refused(chain, WrongSequence, chain.tx(ALICE, SEND, others=[BOB], signers=signers))


def test_account_that_does_not_exist_cannot_pay(chain: Chain) -> None:
    refused(chain, AccountNotFound, chain.tx(Actor(800), SEND))


def test_module_account_cannot_sign(chain: Chain) -> None:
    address = module_address("lab")
    signer = Signer(address, 0, ALICE.key, None)
    refused(chain, AccountNotFound, chain.tx(ALICE, SEND, signers=[signer]))
    chain.send_block(ALICE, ("lab.open", (b"",)))
    refused(chain, PublicKeyMismatch, chain.tx(ALICE, SEND, signers=[signer]))


def test_first_transaction_needs_its_key_and_later_ones_must_not_bring_it(chain: Chain) -> None:
    bare = [chain.signer(ALICE, public_key=None)]
    refused(chain, PublicKeyMissing, chain.tx(ALICE, SEND, signers=bare))
    chain.run(chain.tx(ALICE, SEND))
    again = [chain.signer(ALICE, public_key=ALICE.key)]
    refused(chain, PublicKeyNotAllowed, chain.tx(ALICE, SEND, signers=again))


def test_key_of_somebody_else(chain: Chain) -> None:
    signers = [chain.signer(ALICE, public_key=BOB.key)]
    refused(chain, PublicKeyMismatch, chain.tx(ALICE, SEND, signers=signers, keys=[BOB]))


@pytest.mark.parametrize("key", [b"\x07" + bytes(32), b"\x00" + bytes(32), b"\xff\x01"])
def test_unknown_scheme(chain: Chain, key: bytes) -> None:
    refused(chain, UnknownScheme, chain.tx(ALICE, SEND, signers=[chain.signer(ALICE, public_key=key)]))


@pytest.mark.parametrize(
    "point",
    [
        b"\x01" + bytes(31),  # the neutral element
        bytes(32),  # order 4
        b"\xec" + b"\xff" * 30 + b"\x7f",  # order 2
        b"\xff" * 32,  # no canonical encoding
        b"\x01",  # too short
        bytes(33),
    ],
)
def test_weak_key(point: bytes) -> None:
    address = address_of(ED25519_TAG, point)
    chain = Chain(balances=[(address, QXC, 10**12)])
    signers = [Signer(address, 0, b"\x01" + point, None)]
    refused(chain, WeakPublicKey, chain.tx(ALICE, SEND, signers=signers))


def test_scoped_key_of_an_account_that_has_none(chain: Chain) -> None:
    refused(chain, ScopedKeyNotFound, chain.tx(ALICE, SEND, signers=[chain.signer(ALICE, scoped_key=0)]))


@pytest.mark.parametrize("status", [0, 1, 2])
def test_scheme_off_and_verify_only(status: int) -> None:
    gas = {"max_block_gas": 10**8}
    chain = Chain(Lab, Vault, parameters={"machine": {**gas, "scheme_ed25519": status}})
    first = chain.tx(ALICE, SEND)
    if status < 2:
        refused(chain, SchemeNotAllowed, first)
    else:
        assert chain.run(first)[0].status == 0
    known = Chain(
        parameters={"machine": {**gas, "scheme_ed25519": status}},
        data={"accounts": {"accounts": [genesis_account(ALICE)]}},
    )
    tx = known.tx(ALICE, SEND)
    assert tx.signers[0].public_key is None
    if status == 0:
        refused(known, SchemeNotAllowed, tx)
    else:
        assert known.run(tx)[0].status == 0, "a key in the state signs on"


def genesis_account(actor: Actor, sequence: int = 3) -> dict[str, Any]:
    return {
        "address": encode_address(actor.address),
        "sequence": sequence,
        "key": "0x" + actor.key.hex(),
        "fee_tier": 0,
        "flags": 0,
    }


# -- leases, fees, signatures ----------------------------------------------------------------------------


def test_duplicate_lease(chain: Chain) -> None:
    lease = b"\x09" * 32
    chain.run(chain.tx(ALICE, SEND, lease=lease))
    refused(chain, LeaseHeld, chain.tx(ALICE, SEND, lease=lease))
    chain.run(chain.tx(BOB, SEND, lease=lease), chain.tx(ALICE, SEND, lease=b"\x08" * 32))


def test_gas_limit_below_the_intrinsic_or_above_the_block(chain: Chain) -> None:
    tx = chain.tx(ALICE, SEND, gas=2_000, maximum=10**9)
    least = chain.machine.new_check(chain.base, CHAIN_ID, 1).admit(tx).intrinsic_gas
    for gas in (0, 1, 500, least - 1):
        refused(chain, GasLimitTooLow, chain.tx(ALICE, SEND, gas=gas, maximum=10**9))
    chain.machine.new_check(chain.base, CHAIN_ID, 1).admit(chain.tx(ALICE, SEND, gas=least, maximum=10**9))
    refused(chain, GasLimitTooHigh, chain.tx(ALICE, SEND, gas=10**9 + 1, maximum=10**15))
    refused(chain, GasLimitTooHigh, chain.tx(ALICE, SEND, gas=2**64 - 1, maximum=10**15))


def test_fee_max_must_cover_gas_price_and_tip(chain: Chain) -> None:
    refused(chain, InsufficientFee, chain.tx(ALICE, SEND, gas=10_000, maximum=99_999))
    refused(chain, InsufficientFee, chain.tx(ALICE, SEND, gas=10_000, tip=1, maximum=100_000))
    refused(chain, InsufficientFee, chain.tx(ALICE, SEND, gas=10_000, tip=2**127, maximum=100_000))
    assert chain.run(chain.tx(ALICE, SEND, gas=10_000, tip=1, maximum=100_001))[0].status == 0


def test_payer_must_hold_fee_max(chain: Chain) -> None:
    refused(chain, InsufficientFunds, chain.tx(ALICE, SEND, gas=10_000, maximum=START + 1))
    refused(chain, InsufficientFunds, chain.tx(ALICE, SEND, gas=10_000, maximum=2**128 - 1))
    poor = Actor(801)
    chain.run(chain.send(ALICE, poor.address, 99_999))
    refused(chain, InsufficientFunds, chain.tx(poor, SEND, others=[ALICE], gas=10_000))
    assert chain.run(chain.tx(ALICE, SEND, others=[poor], gas=10_000))[0].status == 0, "signer 0 pays"


def test_fee_may_take_the_last_unit(chain: Chain) -> None:
    poor = Actor(802)
    chain.run(chain.send(ALICE, poor.address, 100_000))
    receipt = chain.run(chain.tx(poor, ("lab.work", (60_000,)), gas=10_000))[0]
    assert receipt.fee == 100_000
    assert chain.account(poor.address) == (1, 0, poor.key, 0, 0), "a record with a key stays"


@pytest.mark.parametrize("change", ["other key", "flipped bit", "empty", "short", "members", "second signer"])
def test_wrong_signature(chain: Chain, change: str) -> None:
    data = body(chain)
    good = ALICE.sign(data)
    signature: Any = {
        "other key": BOB.sign(data),
        "flipped bit": bytes([good[0] ^ 1]) + good[1:],
        "empty": b"",
        "short": good[:-1],
        "members": (good,),
    }.get(change, good)
    if change == "second signer":
        data = body(chain, signers=[chain.signer(ALICE), chain.signer(BOB)])
        refused(chain, InvalidSignature, signed(data, ALICE, ALICE))
    else:
        refused(chain, InvalidSignature, decode_transaction(assemble(data, [signature])))


def test_signature_covers_every_byte_of_the_body(chain: Chain) -> None:
    data = body(chain)
    signature = ALICE.sign(data)
    for other in (
        body(chain, memo="x"),
        body(chain, fee=Fee(10**8, 100_000, 1)),
        body(chain, valid_until=99),
        body(chain, lease=bytes(32)),
        body(chain, messages=[Message("bank.send", (CAROL.address, (QXC, 1)), 0)]),
    ):
        refused(chain, InvalidSignature, decode_transaction(assemble(other, [signature])))


def test_checks_run_in_the_order_of_the_protocol(chain: Chain) -> None:
    """Each refused by the first rule it breaks, although it breaks all that come later."""
    chain.run(chain.tx(BOB, SEND, lease=bytes(32)))
    wrong: dict[str, Any] = {
        "chain_id": "lab-2",
        "valid_until": 2**60,
        "signers": [chain.signer(BOB, sequence=9, public_key=BOB.key)],
        "lease": bytes(32),
        "fee": Fee(0, 0, 1),
        "messages": [Message("bank.send", (ALICE.address, (QXC, 0)), 0)],
    }
    right: list[tuple[type[QenexError], str, Any]] = [
        (WrongChainId, "chain_id", CHAIN_ID),
        (InvalidValidUntil, "valid_until", 50),
        (PublicKeyNotAllowed, "signers", [chain.signer(BOB, sequence=9)]),
        (WrongSequence, "signers", [chain.signer(BOB)]),
        (LeaseHeld, "lease", None),
        (GasLimitTooLow, "fee", Fee(0, 10_000, 1)),
        (InsufficientFee, "fee", Fee(2**100, 10_000, 1)),
        (InsufficientFunds, "fee", Fee(10**6, 10_000, 1)),
    ]
    for error, field, value in right:
        refused(chain, error, signed(body(chain, **wrong), CAROL))
        wrong[field] = value
    refused(chain, InvalidSignature, signed(body(chain, **wrong), CAROL))
    block = chain.begin()
    assert block.execute(signed(body(chain, **wrong), BOB)).status == 3201


# -- anything at all ----------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**256) + 1, 2**256 - 1),
        st.integers(0, 300),
        st.binary(max_size=40),
        st.sampled_from([ALICE.address, BOB.address, QXC, TOKEN, (QXC, 5), (TOKEN, 1), b"pool"]),
        st.text(alphabet="aQXC/\x00\u1234", max_size=6),
        st.builds(ref, st.integers(-1, 4), st.sampled_from(["coin", "amount", "who", "number", "count", ""])),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
NAMES = st.one_of(
    st.sampled_from(sorted(set(Chain(Lab, Vault).machine.registry.messages))), st.text(max_size=5)
)


@given(st.lists(st.tuples(NAMES, st.lists(PLAIN, max_size=3).map(tuple)), min_size=1, max_size=5))
def test_any_message_is_refused_by_name_or_has_a_receipt(messages: list[tuple[str, tuple[Any, ...]]]) -> None:
    chain = Chain(Lab, Vault)
    tx = chain.tx(ALICE, *messages, gas=300_000)
    block = chain.begin()
    refusal = None
    try:
        block.execute(tx)
    except QenexError as error:
        refusal = error
    result = chain.end()
    if refusal is not None:
        assert 1_000 <= refusal.code < 2_000, repr(refusal)
        assert (result.changes, list(result.receipts)) == ({}, [])
    else:
        assert result.receipts[0].fee == result.gas_used * 10
    assert chain.problems() == []


# -- admission ---------------------------------------------------------------------------------------------


def test_admission_takes_max_and_sequence_on_an_overlay(chain: Chain) -> None:
    check = chain.machine.new_check(chain.base, CHAIN_ID, 1)
    half = START // 2 + 1
    check.admit(chain.tx(ALICE, SEND, gas=10_000, maximum=half))
    assert check.sequence(ALICE.address) == 1
    assert check._state.mark() == 0, "no undo log grows with the pool"
    second = chain.tx(ALICE, SEND, gas=10_000, maximum=half, later=1)
    with pytest.raises(InsufficientFunds):
        check.admit(second)
    check.admit(chain.tx(ALICE, SEND, gas=10_000, later=1))
    assert check.sequence(ALICE.address) == 2
    assert chain.account(ALICE.address).sequence == 0
    check.forget([ALICE.address])
    assert check.sequence(ALICE.address) == 0
    check.admit(chain.tx(ALICE, SEND))


def test_admission_follows_the_chain(chain: Chain) -> None:
    check = chain.machine.new_check(chain.base, CHAIN_ID, 1)
    tx = chain.tx(ALICE, SEND, valid_until=1)
    check.admit(tx)
    chain.run(tx)
    check.advance(chain.base, 2)
    check.forget([ALICE.address])
    with pytest.raises(Expired):
        check.admit(tx)
    check.admit(chain.tx(ALICE, SEND))


def test_forgotten_accounts_leave_no_long_key_behind() -> None:
    quantum = Actor(5, "ml-dsa-44")
    chain = Chain(actors=[*ACTORS, quantum])
    check = chain.machine.new_check(chain.base, CHAIN_ID, 1)
    tx = chain.tx(quantum, SEND)
    check.admit(tx)
    assert check.signing_keys(chain.tx(quantum, SEND, later=1)) == (quantum.key,)
    check.forget([quantum.address])
    assert check._state.changes() == {}
    check.admit(tx)


def test_keys_for_the_verifier_are_those_of_the_state(chain: Chain) -> None:
    check = chain.machine.new_check(chain.base, CHAIN_ID, 1)
    tx = chain.tx(ALICE, SEND, others=[BOB])
    assert check.keys_of(tx) == check.signing_keys(tx) == (ALICE.key, BOB.key)
    with pytest.raises(PublicKeyMissing):
        check.keys_of(chain.tx(ALICE, SEND, later=1))
    chain.run(tx)
    check.advance(chain.base, 2)
    with pytest.raises(WrongSequence):
        check.keys_of(chain.tx(ALICE, SEND, later=1))
    assert check.signing_keys(chain.tx(ALICE, SEND, later=1)) == (ALICE.key,)


def test_size_of_an_unsigned_transaction_is_that_it_will_have(chain: Chain) -> None:
    quantum = Actor(6, "ml-dsa-65")
    for actors in ([ALICE], [ALICE, BOB], [quantum], [ALICE, quantum, BOB]):
        signers = [Signer(a.address, 0, a.key, None) for a in actors]
        tx = signed(body(chain, signers=signers), *actors)
        assert signed_size(tx, tuple(a.key for a in actors)) == len(tx.raw)


def test_nothing_was_written_where_nothing_was_admitted(chain: Chain) -> None:
    state = State(chain.base)
    assert (state.get(ACCOUNT_RECORDS + ALICE.address) or EMPTY_ACCOUNT).balance == START
    assert state.changes() == {}
