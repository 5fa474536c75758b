"""One value, one encoding: the codec is injective, strict, bounded, and its JSON goes both ways."""

from __future__ import annotations

import tracemalloc
from typing import Annotated, Any, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.codec import (
    Codec,
    Reference,
    codec_for,
    decode,
    encode,
    is_denom,
    time_from_text,
    time_to_text,
)
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, QenexError, TooLarge
from qenex.types import (
    MAX_INTEGER,
    U8,
    U64,
    Amount,
    Between,
    Bps,
    Bytes32,
    Coin,
    Denom,
    Length,
    TimeNs,
)

LIMIT = 64 * 1024

integers = st.one_of(
    st.integers(-MAX_INTEGER + 1, MAX_INTEGER - 1),
    st.sampled_from(
        [
            edge + d
            for e in (7, 8, 15, 16, 31, 32, 63, 64, 128)
            for edge in (2**e, -(2**e))
            for d in (-1, 0, 1)
        ]
    ),
)
references = st.builds(Reference, st.integers(0, 127), st.text(max_size=20))
scalars = st.one_of(
    st.none(), st.booleans(), integers, st.binary(max_size=80), st.text(max_size=40), references
)
plain = st.recursive(scalars, lambda inner: st.lists(inner, max_size=6).map(tuple), max_leaves=25)


class Inner(NamedTuple):
    """A record inside a record."""

    small: U8
    label: Annotated[str, Length(0, 12)]


class Everything(NamedTuple):
    """A record with every kind of field."""

    flag: bool
    wide: int
    amount: Amount
    height: U64
    share: Bps
    signed: Annotated[int, Between(-5, 5)]
    when: TimeNs
    digest: Bytes32
    data: Annotated[bytes, Length(0, 10)]
    text: str
    denom: Denom
    owner: Address
    coin: Coin
    maybe: Inner | None
    list: Annotated[tuple[Inner, ...], Length(0, 3)]
    pair: tuple[U8, bool]


inner_records = st.builds(Inner, st.integers(0, 255), st.text(max_size=3))
denoms = st.from_regex(r"[A-Za-z][A-Za-z0-9._/-]{2,63}", fullmatch=True)
everything = st.builds(
    Everything,
    flag=st.booleans(),
    wide=integers,
    amount=st.integers(0, 2**128 - 1),
    height=st.integers(0, 2**64 - 1),
    share=st.integers(0, 10_000),
    signed=st.integers(-5, 5),
    when=st.integers(0, 2**63 - 1),
    digest=st.binary(min_size=32, max_size=32),
    data=st.binary(max_size=10),
    text=st.text(max_size=30),
    denom=denoms,
    owner=st.binary(min_size=32, max_size=32),
    coin=st.builds(Coin, denoms, st.integers(0, 2**128 - 1)),
    maybe=st.none() | inner_records,
    list=st.lists(inner_records, max_size=3).map(tuple),
    pair=st.tuples(st.integers(0, 255), st.booleans()),
)
EVERYTHING: Codec[Everything] = codec_for(Everything)


def same(a: Any, b: Any) -> bool:
    """Equality that tells 1 from True."""
    if type(a) is not type(b):
        return False
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, tuple) else bool(a == b)


# -- the plain form ------------------------------------------------------------------------


@given(plain)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode(encode(value), max_size=LIMIT), value)


@given(plain, plain)
def test_different_values_have_different_bytes(a: Any, b: Any) -> None:
    assert (encode(a) == encode(b)) == same(a, b)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_type_or_are_their_value_s_one_encoding(data: bytes) -> None:
    try:
        value = decode(data, max_size=LIMIT)
    except (MalformedBytes, TooLarge):
        return
    assert encode(value) == data


@given(plain, st.data())
def test_a_changed_encoding_is_refused_or_another_value(value: Any, data: st.DataObject) -> None:
    good = encode(value)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        changed = decode(bad, max_size=LIMIT)
    except (MalformedBytes, TooLarge):
        return
    assert not same(changed, value)
    assert encode(changed) == bad


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xcc\x05", "five in two bytes"),
        (b"\xcd\x00\x05", "five in three bytes"),
        (b"\xd0\x05", "positive as signed"),
        (b"\xd9\x01a", "short text with a long header"),
        (b"\xc5\x00\x01a", "short bytes with a long header"),
        (b"\xdc\x00\x01\xc0", "short array with a long header"),
        (b"\xc7\x01\x01\x05", "a small integer as an extension"),
        (b"\xc7\x21\x01" + b"\x01" + bytes(32), "2^256"),
        (b"\xd4\x02\x01", "a small negative as an extension"),
        (b"\xc7\x0a\x01\x00" + b"\x01" * 9, "a leading zero"),
        (b"\xc7\x00\x02", "minus zero"),
        (b"\xd4\x09\x00", "an unknown extension"),
        (b"\xd4\x03\x00", "a reference that is no pair"),
        (b"\xc7\x04\x03\x92\xc3\xa1a", "a reference to message True"),
        (b"\x81\x01\x02", "a map"),
        (b"\xca\x00\x00\x00\x00", "a short float"),
        (b"\x01\x02", "bytes after the value"),
        (b"\xa1\xff", "text that is not UTF-8"),
        (b"", "nothing"),
        (b"\xc1", "the unused byte"),
        (b"\xdd\xff\xff\xff\xff", "an array of 2^32"),
        (b"\xc6\xff\xff\xff\xff", "bytes of 2^32"),
    ],
)
def test_what_msgpack_reads_but_the_protocol_does_not(data: bytes, what: str) -> None:
    with pytest.raises(MalformedBytes):
        decode(data, max_size=LIMIT)


def test_size_comes_before_everything() -> None:
    with pytest.raises(TooLarge):
        decode(b"\x90" * 11, max_size=10)


@pytest.mark.parametrize(
    "value", [MAX_INTEGER, -MAX_INTEGER, object(), {1, 2}, "\ud800", Reference(0, "x" * 200)]
)
def test_what_has_no_encoding_is_a_typed_error(value: Any) -> None:
    with pytest.raises(MalformedBytes):
        encode((value,))


@pytest.mark.parametrize("depth", [400, 600, 1_000, 5_000, 60_000])
def test_deep_nests_are_read_or_refused_but_never_break_the_process(depth: int) -> None:
    data = b"\x91" * depth + b"\xc0"
    try:
        assert encode(decode(data, max_size=LIMIT)) == data
    except MalformedBytes:
        assert depth > 400


def test_a_nest_of_huge_claims_allocates_little() -> None:
    claim = b"\xdc\x10\x00"  # an array of 4,096, without its items
    tracemalloc.start()
    try:
        with pytest.raises(MalformedBytes):
            decode(claim * (LIMIT // len(claim)), max_size=LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("item", [b"\xc0", b"\x90", b"\x91\xc0", b"\xa0", b"\xcd\x7f\xff", b"\xa2ab"])
def test_memory_is_a_small_multiple_of_the_input(item: bytes) -> None:
    # 4,096 items of 4,096 cannot be in 64 KiB: as many full arrays as fit.
    body = b"\xdc\x0f\x00" + item * 0xF00
    count = LIMIT // len(body) or 1
    data = bytes([0x90 | min(count, 15)]) + body * min(count, 15)
    tracemalloc.start()
    try:
        decode(data, max_size=max(LIMIT, len(data)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * len(data) + 100_000


# -- typed records -------------------------------------------------------------------------


@given(everything)
def test_records_come_back_from_bytes_with_their_types(record: Everything) -> None:
    data = EVERYTHING.encode(record)
    again = EVERYTHING.decode(data, max_size=LIMIT)
    assert same(again, record)
    assert isinstance(again, Everything)
    assert EVERYTHING.encode(again) == data


@given(everything)
def test_records_come_back_from_json(record: Everything) -> None:
    for prefix in ("qx", "tqx"):
        form = EVERYTHING.to_json(record, prefix)
        assert same(EVERYTHING.from_json(form), record)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["0x", "0x0", "0xZZ", "-0", "1e3", "qx1", "QXC"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(Everything._fields), everything, json_values)
def test_a_wrong_json_field_is_a_typed_error_that_names_it(
    field: str, record: Everything, value: Any
) -> None:
    form = EVERYTHING.to_json(record, "qx")
    form[field] = value
    try:
        again = EVERYTHING.from_json(form)
    except QenexError as error:
        told = error.message
    else:
        assert EVERYTHING.check(tuple(again)) == again
        assert EVERYTHING.from_json(EVERYTHING.to_json(again, "qx")) == again
        return
    assert f"Everything.{field}" in told


@given(st.integers(0, len(Everything._fields) - 1), everything, plain)
def test_a_wrong_field_in_bytes_is_malformed(index: int, record: Everything, value: Any) -> None:
    fields = list(record)
    fields[index] = value
    try:
        again = EVERYTHING.decode(encode(tuple(fields)), max_size=LIMIT)
    except MalformedBytes:
        return
    assert EVERYTHING.encode(again) == encode(tuple(fields))


@given(json_values)
def test_any_json_for_a_record_is_a_typed_error(value: Any) -> None:
    with pytest.raises(QenexError):
        EVERYTHING.from_json(value)


def test_a_deep_json_value_is_a_typed_error() -> None:
    nest: Any = []
    for _ in range(900):
        nest = [nest]
    with pytest.raises(MalformedBytes):
        codec_for(tuple[U8, ...]).from_json([nest])
    with pytest.raises(MalformedBytes):
        codec_for(U8).from_json(nest)


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(MalformedBytes, match=r"unknown fields \['colour'\], missing fields \['label'\]"):
        codec_for(Inner).from_json({"small": 1, "colour": 2})


@pytest.mark.parametrize("hint", [float, dict[str, int], list[int], set[int], int | str, Any, object])
def test_types_without_an_encoding_are_refused_at_registration(hint: Any) -> None:
    with pytest.raises(TypeError):
        codec_for(hint)


@pytest.mark.parametrize("value", [1.5, float("nan"), {}, msgpack.Timestamp(1, 2), [1]])
def test_typed_decoding_keeps_out_what_the_plain_one_lets_pass(value: Any) -> None:
    data = msgpack.packb((value, "label"))
    with pytest.raises(MalformedBytes):
        codec_for(Inner).decode(data, max_size=LIMIT)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0X00", "0x0", "0xAB", "0x 00", "0x00 ", "0x0\u0660", "00", "0xg0", "0x00\n", "\ud800"],
)
def test_bytes_in_json_have_one_form(text: str) -> None:
    with pytest.raises(MalformedBytes):
        codec_for(bytes).from_json(text)


@pytest.mark.parametrize(
    "value",
    [0, 1, True, None, 1.0, "", "-0", "+1", "01", "1.0", "1e3", " 1", "1 ", "\u0661", "1_0", "9" * 4_400],
)
def test_amounts_in_json_are_plain_decimal_strings(value: Any) -> None:
    with pytest.raises(MalformedBytes):
        codec_for(Amount).from_json(value)


@given(st.integers(0, 2**63 - 1))
def test_times_come_back_from_text(time_ns: int) -> None:
    assert time_from_text(time_to_text(time_ns)) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-1-2T3:4:5Z", "2026-01-02T03:04:05.Z", "2026-13-01T00:00:00Z",
        "2026-01-02T03:04:05+00:00", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:60Z", "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05Z\n", "٢026-01-02T03:04:05Z", "",
    ],
)  # fmt: skip
def test_times_have_one_layout(text: str) -> None:
    with pytest.raises(MalformedBytes):
        time_from_text(text)


@given(st.text(max_size=70) | denoms)
def test_denominations_are_ascii_names(text: str) -> None:
    if is_denom(text):
        assert text.isascii()
        assert 3 <= len(text) <= 64
        assert text[0].isalpha()
    assert is_denom(text) == _accepts(Denom, text)


def _accepts(hint: Any, value: Any) -> bool:
    try:
        codec_for(hint).check(value)
    except MalformedBytes:
        return False
    return True
