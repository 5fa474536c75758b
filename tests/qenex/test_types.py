"""The bounds that types carry hold at both of their ends, in bytes and in JSON."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from qenex.codec import codec_for
from qenex.errors import MalformedBytes
from qenex.types import (
    MAX_AMOUNT,
    MAX_INTEGER,
    U8,
    U16,
    U32,
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

BOUNDS: list[tuple[Any, int, int]] = [
    (U8, 0, 2**8 - 1),
    (U16, 0, 2**16 - 1),
    (U32, 0, 2**32 - 1),
    (U64, 0, 2**64 - 1),
    (Bps, 0, 10_000),
    (Amount, 0, MAX_AMOUNT - 1),
    (TimeNs, 0, 2**63 - 1),
    (Annotated[int, Between(-3, 7)], -3, 7),
    (int, -MAX_INTEGER + 1, MAX_INTEGER - 1),
]


@pytest.mark.parametrize(("hint", "low", "high"), BOUNDS)
def test_integers_end_where_their_type_says(hint: Any, low: int, high: int) -> None:
    codec = codec_for(hint)
    for value in (low, high):
        assert codec.check(value) == value
        assert codec.from_json(codec.to_json(value, "qx")) == value
    for value in (low - 1, high + 1):
        with pytest.raises(MalformedBytes):
            codec.check(value)


@pytest.mark.parametrize(("hint", "low", "high"), BOUNDS)
@pytest.mark.parametrize("value", [True, False, None, 1.0, "x", b"\x01", (1,)])
def test_an_integer_is_nothing_else(hint: Any, low: int, high: int, value: Any) -> None:
    with pytest.raises(MalformedBytes):
        codec_for(hint).check(value)


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Bytes32, [bytes(32)], [b"", bytes(31), bytes(33), "0" * 32, bytearray(32)]),
        (Annotated[bytes, Length(1, 2)], [b"a", b"ab"], [b"", b"abc"]),
        (Annotated[str, Length(1, 2)], ["a", "ab", "\u00e4"], ["", "abc", "\u20ac", b"a", "\ud800"]),
        (Annotated[tuple[U8, ...], Length(1, 2)], [(1,), (1, 2)], [(), (1, 2, 3), (256,), 5]),
        (Denom, ["QXC", "amm/12", "x" * 64], ["", "QX", "x" * 65, "1ab", "a b", "\u00e4bc", "QXC\n", "QXC\x00", 5]),
        (bool, [True, False], [0, 1, None]),
        (Coin, [("QXC", 0), Coin("QXC", MAX_AMOUNT - 1)], [("QXC", MAX_AMOUNT), ("QXC", -1), ("QXC",), ("QXC", 1, 2)]),
    ],
)  # fmt: skip
def test_lengths_and_forms(hint: Any, good: list[Any], bad: list[Any]) -> None:
    codec = codec_for(hint)
    for value in good:
        assert codec.check(value) == value
    for value in bad:
        with pytest.raises(MalformedBytes):
            codec.check(value)
