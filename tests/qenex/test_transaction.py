"""Transactions: strict decoding, identifiers, limits, and what mutation can do to them."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.codec import Reference, encode
from qenex.crypto.address import Address
from qenex.errors import (
    DuplicateSigner,
    MalformedBytes,
    QenexError,
    TooLarge,
    UnusedSigner,
    WrongSignatureCount,
)
from qenex.hashing import hasher
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import (
    MAX_MEMO_SIZE,
    MAX_MESSAGES,
    MAX_SIGNERS,
    MAX_TRANSACTION_SIZE,
    Fee,
    Message,
    Signer,
    Transfer,
    _decode_whole,
    _outer,
    _read_transfer,
    assemble,
    decode_body,
    decode_transaction,
    encode_body,
)
from tests.qenex.test_codec import plain

ALICE, BOB = Address(b"a" * 32), Address(b"b" * 32)
ENTRY = (MalformedBytes, TooLarge, WrongSignatureCount, DuplicateSigner, UnusedSigner)

addresses = st.binary(min_size=32, max_size=32).map(Address)
signers = st.builds(
    Signer,
    addresses,
    st.integers(0, 2**64 - 1),
    st.none() | st.binary(min_size=2, max_size=80),
    st.none() | st.integers(0, 2**16 - 1),
)
one_signature = st.binary(min_size=64, max_size=64)
signatures = (
    one_signature
    | st.binary(max_size=64)
    | st.lists(st.none() | st.binary(max_size=32), max_size=3).map(tuple)
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, int, tuple[Any, ...]]:
    """Body bytes, number of signers, and the parts they were made of."""
    who = draw(st.lists(signers, min_size=1, max_size=3, unique_by=lambda signer: signer.address))
    messages = draw(
        st.lists(
            st.builds(
                Message,
                st.text(max_size=12),
                st.lists(plain, max_size=4).map(tuple),
                st.integers(0, len(who) - 1),
            ),
            min_size=1,
            max_size=4,
        )
    )
    amount = st.integers(0, 2**128 - 1)
    fee = Fee(draw(amount), draw(st.integers(0, 2**64 - 1)), draw(amount))
    lease = draw(st.none() | st.binary(min_size=32, max_size=32))
    parts = (
        "chain-1",
        tuple(who),
        tuple(messages),
        fee,
        draw(st.integers(0, 2**64 - 1)),
        lease,
        draw(st.text(max_size=20)),
    )
    return encode_body(*parts), len(who), parts


@st.composite
def raws(draw: st.DrawFn) -> bytes:
    """Bytes of a whole, well-formed transaction."""
    body, count, _ = draw(bodies())
    return assemble(body, draw(st.lists(signatures, min_size=count, max_size=count)))


def transfer(**changes: Any) -> bytes:
    """Body bytes of a transfer with some parts replaced."""
    parts: dict[str, Any] = {
        "chain_id": "chain-1",
        "signers": [Signer(ALICE, 0, None, None)],
        "messages": [Message("bank.send", (BOB, ("QXC", 5)), 0)],
        "fee": Fee(1_000, 500, 0),
        "valid_until": 100,
    }
    return encode_body(**{**parts, **changes})


@given(bodies(), st.data())
def test_a_transaction_comes_back_with_all_its_parts(
    built: tuple[bytes, int, tuple[Any, ...]], data: st.DataObject
) -> None:
    body, count, parts = built
    given_signatures = tuple(data.draw(st.lists(signatures, min_size=count, max_size=count)))
    raw = assemble(body, given_signatures)
    tx = decode_transaction(raw)
    assert (tx.chain_id, tx.signers, tx.messages, tx.fee, tx.valid_until, tx.lease, tx.memo) == parts
    assert (tx.raw, tx.body_bytes, tx.signatures) == (raw, body, given_signatures)
    assert tx.tx_id == hasher("qx.tx")(body)
    assert tx.witness_id == hasher("qx.witness")(raw)
    assert tx.size == len(raw)
    assert all(type(m.args) is tuple for m in tx.messages)
    unsigned = decode_body(body)
    assert (unsigned.tx_id, unsigned.raw, unsigned.signatures) == (tx.tx_id, b"", ())


@given(raws(), st.data())
def test_a_mutated_transaction_is_refused_by_type_or_is_another_one(raw: bytes, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        bad = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    elif kind == "cut":
        bad = raw[:at]
    elif kind == "insert":
        bad = raw[:at] + data.draw(st.binary(min_size=1, max_size=4)) + raw[at:]
    else:
        bad = raw[:at] + raw[at : at + 8] + raw[at:]
    try:
        tx = decode_transaction(bad)
    except ENTRY:
        return
    assert tx.raw == bad
    assert tx.witness_id == hasher("qx.witness")(bad)
    assert assemble(tx.body_bytes, tx.signatures) == bad
    again = encode_body(tx.chain_id, tx.signers, tx.messages, tx.fee, tx.valid_until, tx.lease, tx.memo)
    assert again == tx.body_bytes


LONG = st.sampled_from([200, 255, 256, 257, 2_420, 7_856]).map(bytes)


@given(st.binary(max_size=300), one_signature | st.binary(max_size=66) | LONG, st.data())
def test_the_outer_form_read_by_position_is_what_msgpack_reads(
    body: bytes, signature: bytes, data: st.DataObject
) -> None:
    raw = assemble(body, [signature])
    assert _outer(raw) == (body, (signature,))
    at = data.draw(st.integers(0, min(len(raw) - 1, 5)) | st.integers(max(0, len(raw) - 68), len(raw) - 1))
    bad = raw[:at] + data.draw(st.binary(max_size=2)) + raw[at + 1 :]
    try:
        read = _outer(bad)
    except MalformedBytes:
        return
    assert encode(read) == bad
    assert msgpack.unpackb(bad, use_list=False) == read


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 6, 63, 66, 67, 69, 70])
def test_no_short_bytes_pass_for_an_outer_form(size: int) -> None:
    """Every length at which a position might lie before the beginning."""
    whole = assemble(b"", [bytes(64)])
    assert len(whole) == 70
    for part in (whole[:size], whole[70 - size :]):
        if size < 70:
            with pytest.raises(MalformedBytes):
                _outer(part)
    assert _outer(whole) == (b"", (bytes(64),))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_type(data: bytes) -> None:
    for decoder in (decode_transaction, decode_body):
        with pytest.raises(ENTRY):
            decoder(data)


@given(plain, st.lists(plain, max_size=3).map(tuple))
def test_any_value_in_the_place_of_a_body_is_refused_by_type(body: Any, others: Any) -> None:
    for value in ((encode(body), others), (encode(("tx", *others)), ()), (body, others), others):
        with pytest.raises(ENTRY):
            decode_transaction(encode(value))


@given(st.integers(0, 7), plain)
def test_any_value_in_a_field_of_the_body_is_refused_by_type_or_stands(index: int, value: Any) -> None:
    fields = list(msgpack.unpackb(transfer(), use_list=False))
    fields[index] = value
    try:
        tx = decode_body(encode(tuple(fields)))
    except ENTRY:
        return
    assert tx.body_bytes == encode(tuple(fields))


def test_a_garbage_signature_changes_the_witness_but_not_the_name() -> None:
    good, bad = (decode_transaction(assemble(transfer(), [bytes([b]) * 64])) for b in (1, 2))
    assert good.tx_id == bad.tx_id
    assert good.witness_id != bad.witness_id


def test_a_reference_travels_as_a_whole_argument() -> None:
    body = transfer(messages=[Message("a.b", (), 0), Message("a.c", (Reference(0, "amount"),), 0)])
    assert decode_body(body).messages[1].args == (Reference(0, "amount"),)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"signers": []}, MalformedBytes),
        ({"signers": [Signer(Address(bytes([i]) * 32), 0, None, None) for i in range(MAX_SIGNERS + 1)]}, TooLarge),
        ({"signers": [Signer(ALICE, 0, None, None)] * 2}, DuplicateSigner),
        ({"signers": [Signer(Address(b"short"), 0, None, None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, -1, None, None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, 2**64, None, None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, True, None, None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, 0, b"", None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, 0, bytes(5_000), None)]}, MalformedBytes),
        ({"signers": [Signer(ALICE, 0, None, 2**16)]}, MalformedBytes),
        ({"messages": []}, MalformedBytes),
        ({"messages": [Message("a.b", (), 0)] * (MAX_MESSAGES + 1)}, TooLarge),
        ({"messages": [Message("a.b", (), 1)]}, UnusedSigner),
        ({"messages": [Message("a.b", (), -1)]}, MalformedBytes),
        ({"messages": [Message("x" * 65, (), 0)]}, MalformedBytes),
        ({"messages": [Message("a.b", (0,) * 65, 0)]}, MalformedBytes),
        ({"fee": Fee(2**128, 0, 0)}, MalformedBytes),
        ({"fee": Fee(-1, 0, 0)}, MalformedBytes),
        ({"fee": Fee(0, 2**64, 0)}, MalformedBytes),
        ({"fee": Fee(0, 0, 2**128)}, MalformedBytes),
        ({"valid_until": -1}, MalformedBytes),
        ({"valid_until": 2**64}, MalformedBytes),
        ({"lease": b"short"}, MalformedBytes),
        ({"memo": "m" * (MAX_MEMO_SIZE + 1)}, TooLarge),
        ({"memo": "\u20ac" * 100}, TooLarge),
        ({"chain_id": ""}, MalformedBytes),
        ({"chain_id": "c" * 65}, MalformedBytes),
    ],
)  # fmt: skip
def test_each_limit_of_a_body_has_its_error(change: dict[str, Any], error: type[QenexError]) -> None:
    with pytest.raises(error):
        decode_body(transfer(**change))


def test_the_limits_themselves_are_allowed() -> None:
    body = transfer(
        memo="m" * MAX_MEMO_SIZE, messages=[Message("x" * 64, (0,) * 64, 0)] * MAX_MESSAGES, lease=bytes(32)
    )
    assert len(decode_body(body).messages) == MAX_MESSAGES


@pytest.mark.parametrize(
    ("given_signatures", "error"),
    [
        ([], WrongSignatureCount),
        ([b"a", b"b"], WrongSignatureCount),
        ([None], MalformedBytes),
        (["text"], MalformedBytes),
        ([b"x" * (16 * 1024 + 1)], MalformedBytes),
        ([(b"ok", "text")], MalformedBytes),
        ([((b"nested",),)], MalformedBytes),
    ],
)
def test_one_signature_per_signer_in_its_form(given_signatures: Any, error: type[QenexError]) -> None:
    with pytest.raises(error):
        decode_transaction(assemble(transfer(), given_signatures))


def test_size_comes_first() -> None:
    for decoder in (decode_transaction, decode_body):
        with pytest.raises(TooLarge):
            decoder(bytes(MAX_TRANSACTION_SIZE + 1))


def test_nested_claims_in_arguments_allocate_little() -> None:
    claim = b"\xdc\x04\x00"
    body = transfer()
    tracemalloc.start()
    try:
        for raw in (claim * 20_000, encode((claim * 20_000, ())), encode((body + claim * 20_000, (b"",)))):
            with pytest.raises(ENTRY):
                decode_transaction(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("depth", [100, 450, 520, 1_100, 20_000])
def test_deep_arguments_are_read_or_refused(depth: int) -> None:
    nest = b"\x91" * depth + b"\xc0"
    body = transfer(messages=[Message("a.b", (77,), 0)]).replace(b"\x91\x4d", b"\x91" + nest)
    try:
        assert decode_body(body).body_bytes == body
    except MalformedBytes:
        assert depth > 450


PARTS = (
    "raw", "body_bytes", "chain_id", "signers", "messages", "fee", "valid_until", "lease", "memo", "signatures", "tx_id",
    "witness_id", "plan", "verified",
)  # fmt: skip


def reads_alike(raw: bytes) -> bool:
    """Whether `raw` is read as a transfer; then all parts are those that it is read with in general."""
    short = _read_transfer(raw)
    if short is None:
        return False
    whole = _decode_whole(raw)
    assert [getattr(short, name) for name in PARTS] == [getattr(whole, name) for name in PARTS]
    assert [type(getattr(short, name)) for name in PARTS] == [type(getattr(whole, name)) for name in PARTS]
    assert repr(short) == repr(whole)
    (signer,), (message,) = whole.signers, whole.messages
    assert message == Message("bank.send", (short.recipient[2:], ("QXC", short.amount)), 0)
    assert signer == Signer(Address(short.sender[2:]), short.sequence, None, None)
    assert whole.fee == Fee(*short.terms[1:4])
    assert short.sender[:2] == short.recipient[:2] == ACCOUNT_RECORDS
    assert (whole.lease, whole.memo) == (None, "")
    assert short.amount > 0
    return True


plain_bodies: list[Any] = [
    "tx",
    "chain-1",
    ((ALICE, 7, None, None),),
    (("bank.send", (BOB, ("QXC", 5)), 0),),
    (1_000, 500, 3),
    100,
    None,
    "",
]
places = st.sampled_from(
    [(n,) for n in range(8)] + [(2, 0)] + [(2, 0, n) for n in range(4)] + [(3, 0)] + [(3, 0, n) for n in range(3)]
    + [(3, 0, 1, n) for n in range(2)] + [(3, 0, 1, 1, n) for n in range(2)] + [(4, n) for n in range(3)]
)  # fmt: skip
odd_values = st.sampled_from(
    [0, 1, -1, 2**63, 2**64 - 1, 2**64, 2**128 - 1, 2**128, True, False, None, "", b"", "QXC", b"QXC", "abc", b"abc",
     "abcd", b"abcd", ALICE, "bank.send", "bank.sent", "x" * 65, (), (1,), (1, 2, 3), ("QXC", 0), ("TEST", 1), b"x"]
)  # fmt: skip


def put(value: Any, place: tuple[int, ...], new: Any) -> Any:
    if not place:
        return new
    return tuple(put(item, place[1:], new) if at == place[0] else item for at, item in enumerate(value))


@given(place=places, new=odd_values | plain, signature=one_signature)
def test_a_transfer_is_read_at_once_only_as_it_is_read_in_general(
    place: tuple[int, ...], new: Any, signature: bytes
) -> None:
    body = encode(put(tuple(plain_bodies), place, new))
    raw = assemble(body, [signature])
    try:
        decode_transaction(raw)
    except ENTRY:
        assert _read_transfer(raw) is None
        return
    reads_alike(raw)


@given(data=st.data())
def test_no_other_bytes_pass_for_a_transfer(data: st.DataObject) -> None:
    raw = bytearray(assemble(encode(tuple(plain_bodies)), [bytes(64)]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 65))] = data.draw(
            st.sampled_from([0, 1, 0x90, 0xC0, 0xCC, 0xD0, 0xD9]) | st.integers(0, 255)
        )
    try:
        _decode_whole(bytes(raw))
    except ENTRY:
        assert _read_transfer(bytes(raw)) is None
        return
    reads_alike(bytes(raw))


@pytest.mark.parametrize(
    "size", [b"\xcc\x05", b"\xd0\x05", b"\xcd\x00\x05", b"\xd1\x00\x05", b"\xc7\x01\x01\x05"]
)
def test_an_amount_in_another_form_is_no_transfer(size: bytes) -> None:
    good = encode(tuple(plain_bodies))
    assert good.count(b"QXC\x05") == 1
    body = good.replace(b"QXC\x05", b"QXC" + size)
    raw = assemble(body, [bytes(64)])
    assert _read_transfer(raw) is None
    with pytest.raises(MalformedBytes):
        decode_transaction(raw)


@pytest.mark.parametrize(
    ("place", "new"),
    [((1,), "c"), ((1,), "c" * 31), ((2, 0, 1), 2**64 - 1), ((3, 0, 1, 1, 1), 2**64 - 1), ((4, 0), 2**64 - 1), ((5,), 2**64 - 1)],
)  # fmt: skip
def test_plain_transfers_of_any_usual_amount_are_read_at_once(place: tuple[int, ...], new: Any) -> None:
    assert reads_alike(assemble(encode(put(tuple(plain_bodies), place, new)), [bytes(64)]))
    assert type(decode_transaction(assemble(encode(tuple(plain_bodies)), [bytes(64)]))) is Transfer


@pytest.mark.parametrize(
    ("place", "new"),
    [((1,), "c" * 32), ((1,), "\u00e4"), ((3, 0, 1, 1, 1), 2**128 - 1), ((4, 0), 2**100), ((4, 2), 2**64)],
)
def test_what_is_larger_than_usual_is_read_in_general(place: tuple[int, ...], new: Any) -> None:
    raw = assemble(encode(put(tuple(plain_bodies), place, new)), [bytes(64)])
    assert _read_transfer(raw) is None
    assert decode_transaction(raw).raw == raw
