"""Many payments under one signature: read at once only as they are read in general."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qenex.codec import decode, encode
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, QenexError
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import (
    MAX_MESSAGES,
    Fee,
    Message,
    Signer,
    Transfer,
    _decode_whole,
    _read_transfer,
    assemble,
    decode_transaction,
    encode_body,
)
from qenex.transfer_form import COIN, SEND_HEAD, SEND_TAIL, array_head

ALICE, BOB, CAROL = Address(b"a" * 32), Address(b"b" * 32), Address(b"c" * 32)
LIKE_A_HEAD: Final = Address(b"\x00" + SEND_HEAD + bytes(17))
LIKE_A_COIN: Final = Address(COIN + bytes(27))
LIKE_BOTH: Final = Address((COIN + b"\x05" + SEND_TAIL + SEND_HEAD).ljust(32, b"\x07"))
PARTS = (
    "raw", "body_bytes", "chain_id", "signers", "messages", "fee", "valid_until", "lease", "memo", "signatures", "tx_id",
    "witness_id", "plan", "verified",
)  # fmt: skip


def reads_alike(raw: bytes) -> bool:
    """Whether `raw` is read as payments; then all parts are those that it is read with in general."""
    short = _read_transfer(raw)
    if short is None or short.payments is None:
        return False
    whole, payments = _decode_whole(raw), short.payments
    assert [getattr(short, name) for name in PARTS] == [getattr(whole, name) for name in PARTS]
    assert [type(getattr(short, name)) for name in PARTS] == [type(getattr(whole, name)) for name in PARTS]
    assert repr(short) == repr(whole)
    assert whole.signers == (Signer(Address(short.sender[2:]), short.sequence, None, None),)
    assert short.sender[:2] == ACCOUNT_RECORDS
    assert whole.fee == Fee(*short.terms[1:4])
    assert (whole.lease, whole.memo) == (None, "")
    sums: dict[bytes, int] = {}
    for name, (recipient, (denom, amount)), signer in whole.messages:
        assert (name, denom, signer, type(signer)) == ("bank.send", "QXC", 0, int)
        assert amount > 0
        sums[ACCOUNT_RECORDS + recipient] = sums.get(ACCOUNT_RECORDS + recipient, 0) + amount
    assert (payments.recipients, payments.amounts) == (tuple(sums), tuple(sums.values()))
    assert short.amount == sum(sums.values())
    assert payments.number == len(whole.messages)
    assert raw[payments.start : payments.stop] == b"".join([encode(message) for message in whole.messages])
    coins = decode(array_head(payments.number) + payments.coins, max_size=1 << 16)
    assert coins == tuple([message.args[1] for message in whole.messages])
    return True


def raw_of(messages: list[Any], **changes: Any) -> bytes:
    parts: dict[str, Any] = {
        "chain_id": "chain-1",
        "signers": [Signer(ALICE, 7, None, None)],
        "fee": Fee(10**9, 50_000, 3),
        "valid_until": 100,
    }
    return assemble(encode_body(messages=messages, **{**parts, **changes}), [bytes(range(64))])


def send(to: bytes, amount: int, denom: str = "QXC", signer: Any = 0, name: str = "bank.send") -> Message:
    return Message(name, (Address(to), (denom, amount)), signer)


amounts = st.sampled_from(
    [1, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**64 - 1]
) | st.integers(1, 2**64 - 1)
addresses = st.sampled_from([ALICE, BOB, CAROL, LIKE_A_HEAD, LIKE_A_COIN, LIKE_BOTH]) | st.binary(
    min_size=32, max_size=32
)
payments = st.builds(send, addresses, amounts)
others = st.one_of(
    st.builds(send, addresses, st.sampled_from([0, -1, 2**64, 2**128])),
    st.builds(send, addresses, amounts, denom=st.sampled_from(["TEST", "QXCX", "QX"])),
    st.builds(send, addresses, amounts, signer=st.sampled_from([1, False, True, None])),
    st.builds(send, addresses, amounts, name=st.sampled_from(["bank.sent", "bank.burns"])),
    st.builds(send, st.binary(max_size=40), amounts),
    st.just(("bank.send", (BOB, ("QXC", 1, 2)), 0)),
    st.just(("bank.send", (BOB, ("QXC", 1)), 0, 0)),
)
changes = st.sampled_from(
    [
        {}, {}, {}, {"memo": "x"}, {"lease": bytes(32)}, {"fee": Fee(2**128 - 1, 2**64 - 1, 2**100)}, {"fee": Fee(-1, 1, 1)},
        {"signers": [Signer(ALICE, 2**64 - 1, None, None)]}, {"signers": [Signer(ALICE, 1, b"\x01" + bytes(32), None)]},
        {"signers": [Signer(ALICE, 1, None, 4)]}, {"signers": [Signer(ALICE, 1, None, None), Signer(BOB, 1, None, None)]},
        {"valid_until": 2**64 - 1}, {"valid_until": -1}, {"chain_id": "c" * 65}, {"chain_id": "c" * 64},
    ]
)  # fmt: skip


def agrees(raw: bytes) -> bool:
    """Whether `raw` is read at once; what is refused in general is not."""
    try:
        _decode_whole(raw)
    except QenexError:
        assert _read_transfer(raw) is None
        return False
    return reads_alike(raw)


@given(st.lists(payments, min_size=2, max_size=40))
def test_payments_are_read_at_once_also_to_addresses_that_look_like_what_stands_between_them(
    messages: list[Message],
) -> None:
    assert reads_alike(raw_of(messages))


def test_a_signer_may_look_like_a_message() -> None:
    assert reads_alike(raw_of([send(BOB, 5)] * 9, signers=[Signer(LIKE_A_HEAD, 7, None, None)]))


@given(st.lists(payments, min_size=1, max_size=20), st.lists(others, max_size=2), changes, st.data())
@example([send(BOB, 5)] * 20, [], {"fee": Fee(2**128 - 1, 2**64 - 1, 2**100)}, None)
def test_with_anything_else_they_are_read_as_in_general(
    messages: list[Any], strange: list[Any], change: dict[str, Any], data: st.DataObject | None
) -> None:
    for message in strange:
        assert data is not None
        messages.insert(data.draw(st.integers(0, len(messages))), message)
    agrees(raw_of(messages, **change))


@settings(max_examples=300)
@given(st.lists(payments, min_size=2, max_size=6), st.data())
def test_no_other_bytes_pass_for_payments(messages: list[Any], data: st.DataObject) -> None:
    raw = bytearray(raw_of(messages))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 65))
        raw[at] = data.draw(
            st.sampled_from([0, 1, 0x90, 0x93, 0xC0, 0xCC, 0xD0, 0xD9, 0xDC]) | st.integers(0, 255)
        )
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(raw) - 65))
        raw[at : at + data.draw(st.integers(0, 60))] = data.draw(st.binary(max_size=60))
    agrees(bytes(raw))


@pytest.mark.parametrize("number", [2, 3, 4, 15, 16, 17, 100, MAX_MESSAGES])
def test_any_number_up_to_the_most(number: int) -> None:
    messages = [send(bytes((n,)) * 32, 1 + 1_000 * n) for n in range(number)]
    assert reads_alike(raw_of(messages))
    assert type(decode_transaction(raw_of(messages))) is Transfer
    assert not agrees(raw_of(messages * (1 + MAX_MESSAGES // number)))


@pytest.mark.parametrize("form", [b"\xcc\x05", b"\xcd\x00\x05", b"\xce" + bytes(3) + b"\x05", b"\xd0\x05", b"\xcf" + bytes(7) + b"\x05"])  # fmt: skip
def test_amounts_and_heads_in_other_forms_are_none(form: bytes) -> None:
    raw = raw_of([send(BOB, 1_000), send(BOB, 5), send(CAROL, 1_000), send(BOB, 1_000)])
    body = decode_transaction(raw).body_bytes
    for new in (
        body.replace(COIN + b"\x05", COIN + form),
        body.replace(b"\x94" + SEND_HEAD, b"\xdc\x00\x04" + SEND_HEAD),
    ):
        assert new != body
        changed = assemble(new, [bytes(64)])
        assert _read_transfer(changed) is None
        with pytest.raises(MalformedBytes):
            decode_transaction(changed)


def test_a_gap_that_another_reading_bridges_is_seen() -> None:
    """A reference, a byte too many, a message inside an address: each between two payments."""
    raw = raw_of([send(BOB, 1_000)] * 6)
    body = decode_transaction(raw).body_bytes
    one = encode(send(BOB, 1_000))
    for gap in (b"\x00", one[:5], b"\xc0", COIN, SEND_HEAD, one[:-1], one):
        agrees(assemble(body.replace(one * 6, one * 3 + gap + one * 3), [bytes(64)]))
        agrees(assemble(body.replace(one * 6, one * 2 + gap + one * 3), [bytes(64)]))
        agrees(assemble(body.replace(one * 6, one * 6 + gap), [bytes(64)]))
        agrees(assemble(body.replace(one * 6, gap + one * 6), [bytes(64)]))
