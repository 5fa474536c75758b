"""State keys keep the order of their parts, end where they end, and come back."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto.address import Address
from qenex.state_keys import (
    ACCOUNT_RECORDS,
    BANK_BALANCES,
    ModuleId,
    account_state_key,
    balance_state_key,
    escape,
    key_part,
    public_key_state_key,
    supply_state_key,
    unescape,
)
from qenex.types import U8, U16, U64, Amount, Between, Bytes32, Denom, Length, TimeNs

SIGNED = Annotated[int, Between(-(2**62), 2**62)]
WIDE = Annotated[int, Between(-(2**200), 2**200)]
SHORT = Annotated[bytes, Length(0, 8)]

tricky = st.binary(max_size=6) | st.lists(st.sampled_from([b"\x00", b"\xff", b"\x01", b"a"]), max_size=6).map(
    b"".join
)
texts = st.text(max_size=6) | st.text(alphabet="\x00\x01a\xff", max_size=6)
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (U8, st.integers(0, 255)),
    (U16, st.integers(0, 2**16 - 1)),
    (U64, st.integers(0, 2**64 - 1)),
    (Amount, st.integers(0, 2**128 - 1)),
    (TimeNs, st.integers(0, 2**63 - 1)),
    (SIGNED, st.integers(-(2**62), 2**62)),
    (WIDE, st.integers(-(2**200), 2**200)),
    (int, st.integers(-(2**256) + 1, 2**256 - 1)),
    (Address, st.binary(min_size=32, max_size=32)),
    (Bytes32, st.binary(min_size=32, max_size=32)),
    (bytes, tricky),
    (SHORT, tricky),
    (str, texts),
    (Denom, st.from_regex(r"[A-Z][a-z/]{2,5}", fullmatch=True)),
]


def as_bytes(value: Any) -> Any:
    """The order that keys promise: numbers by value, text and bytes by bytes."""
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize(("hint", "values"), CASES)
@given(data=st.data())
def test_parts_keep_order_come_back_and_have_no_prefix(hint: Any, values: Any, data: st.DataObject) -> None:
    encoder, decoder = key_part(hint)
    a, b = data.draw(values), data.draw(values)
    left, right = encoder(a), encoder(b)
    assert decoder(left, 0) == (a, len(left))
    assert decoder(b"xy" + left + right, 2) == (a, 2 + len(left))
    assert (left < right) == (as_bytes(a) < as_bytes(b))
    if a != b:
        assert not right.startswith(left)


@given(st.lists(st.tuples(tricky, texts, st.integers(0, 65_535)), min_size=2, max_size=6, unique=True))
def test_keys_of_several_parts_sort_as_their_tuples(rows: list[tuple[bytes, str, int]]) -> None:
    encoders = [key_part(hint)[0] for hint in (bytes, str, U16)]
    joined = {b"".join(e(v) for e, v in zip(encoders, row)): row for row in rows}
    assert len(joined) == len(rows)
    assert [joined[key] for key in sorted(joined)] == sorted(
        rows, key=lambda row: (row[0], row[1].encode(), row[2])
    )


@given(st.binary(max_size=12))
def test_any_bytes_are_an_escaped_part_or_refused(data: bytes) -> None:
    try:
        value, end = unescape(data, 0)
    except ValueError:
        return
    assert escape(value) == data[:end]


def test_the_public_keys_of_state_are_what_the_protocol_says() -> None:
    owner = Address(bytes(range(32)))
    assert account_state_key(owner) == b"\x01\x01" + owner == ACCOUNT_RECORDS + owner
    assert balance_state_key(owner, "amm/1") == b"\x02\x01" + owner + b"amm/1\x00\x00"
    assert balance_state_key(owner, "amm/1").startswith(BANK_BALANCES)
    assert supply_state_key("QXC") == b"\x02\x02QXC\x00\x00"
    assert public_key_state_key(bytes(32)) == b"\x01\x02" + bytes(32)
    assert [module.value for module in ModuleId] == list(range(10))


@pytest.mark.parametrize("hint", [bool, float, tuple[int, ...], None, Any])
def test_types_that_cannot_be_key_parts_are_refused_at_registration(hint: Any) -> None:
    with pytest.raises(TypeError):
        key_part(hint)
