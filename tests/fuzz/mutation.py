"""Damage with a sense of structure: valid examples with flipped bits, cuts, splices, and lengths that lie.

Two grammars: MessagePack (whose length fields are found and changed) and text (JSON, TOML, paths), where
numbers grow, names double and brackets nest.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

NESTS = [
    bytes([0x91]) * 1_500,
    bytes([0xDC, 0x10, 0x00]) * 1_000,  # each array claims 4,096 items
    bytes([0xDC, 0x04, 0x00]) * 1_200,
    bytes([0xDD, 0x00, 0x00, 0x10, 0x00]) * 800,
    bytes([0xDD, 0x7F, 0xFF, 0xFF, 0xFF]) * 500,
    bytes([0x9F]) * 1_100,
    bytes([0xDF, 0x00, 0x00, 0x10, 0x00]) * 500,
    bytes([0x81, 0x91]) * 600,
]
"""Claims inside claims."""
LIES = [
    b"\xc6\xff\xff\xff\xff",
    b"\xc5\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xc7\x80\x01" + b"\xff" * 128,
    b"\xc7\x21\x01" + b"\xff" * 33,
    b"\xc7\x20\x02" + b"\xff" * 32,
    b"\xc7\x05\x03\x92\x01\xa2ab",
    b"\xd6\xff\x00\x00\x00\x01",  # a timestamp
    b"\xca\x7f\xc0\x00\x00",  # a float that is none
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xa2\xff\xfe",
    b"\xa3\xed\xa0\x80",  # a surrogate
    b"\xc1",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
]
_HEADS = frozenset([0xC4, 0xC5, 0xC6, 0xC7, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, *range(0x90, 0xC0)])

TEXT_PIECES = [
    "[" * 5_000,
    '{"a":' * 2_000,
    "9" * 4_400,
    "9" * 400,
    "-1",
    "1e400",
    "1.5",
    "NaN",
    "Infinity",
    "null",
    "true",
    '""',
    "[]",
    "{}",
    '"\\ud800"',
    '"\\u0000"',
    '{"$":[0,"a"]}',
    '{"$":[99999999999999999999999999,"a"]}',
    '{"$":[0,"' + "a" * 300 + '"]}',
    "\x00",
    "\u202e",
    "1" + "0" * 78,
    str(1 << 256),
    str(-(1 << 256)),
    "[" + "[]," * 1_500 + "[]]",
    '"' + "x" * 4_000 + '"',
]


@st.composite
def damaged_bytes(draw: st.DrawFn, examples: Sequence[bytes]) -> bytes:
    """One of `examples` after one to six acts of damage, or bytes that never were one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.binary(max_size=400), st.sampled_from(NESTS), st.sampled_from(LIES)))
    data = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 6))):
        _damage(draw, data, examples)
    return bytes(data)


def _damage(draw: st.DrawFn, data: bytearray, examples: Sequence[bytes]) -> None:
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    match draw(st.integers(0, 8)):
        case 0 if data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        case 1:
            del data[at:]
        case 2:
            del data[at : at + draw(st.integers(1, 40))]
        case 3:
            data[at:at] = draw(st.binary(min_size=1, max_size=12))
        case 4:
            other = draw(st.sampled_from(examples))
            start = draw(st.integers(0, max(len(other) - 1, 0)))
            data[at : at + 8] = other[start : start + draw(st.integers(1, 200))]
        case 5 if data:
            heads = [place for place, byte in enumerate(data[:4_000]) if byte in _HEADS]
            if heads:
                place = draw(st.sampled_from(heads))
                data[place] = draw(st.integers(0x80, 0xFF))
        case 6:
            data[at : at + draw(st.integers(0, 6))] = draw(st.sampled_from(LIES))
        case 7:
            data[at:at] = draw(st.sampled_from(NESTS))
        case _:
            data[at:at] = data[at : at + draw(st.integers(1, 100))]


@st.composite
def damaged_text(draw: st.DrawFn, examples: Sequence[str]) -> str:
    """The same for text."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.text(max_size=300), st.sampled_from(TEXT_PIECES)))
    text = draw(st.sampled_from(examples))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, max(len(text) - 1, 0)))
        size = draw(st.integers(0, 30))
        match draw(st.integers(0, 6)):
            case 0:
                text = text[:at] + text[at + size :]
            case 1:
                text = text[:at]
            case 2:
                text = text[:at] + draw(st.sampled_from(TEXT_PIECES)) + text[at + size :]
            case 3:
                text = text[:at] + draw(st.characters(blacklist_categories=[])) + text[at + 1 :]
            case 4:
                other = draw(st.sampled_from(examples))
                start = draw(st.integers(0, max(len(other) - 1, 0)))
                text = text[:at] + other[start : start + 100] + text[at + size :]
            case 5:
                text = text[:at] + text[at : at + 60] + text[at:]
            case _:
                text = _replace_value(draw, text)
    return text


def _replace_value(draw: st.DrawFn, text: str) -> str:
    """Another value after one of the colons (JSON) or equal signs (TOML)."""
    places = [place for place, character in enumerate(text[:20_000]) if character in ":="]
    if not places:
        return text
    start = draw(st.sampled_from(places)) + 1
    ends = [end for mark in ",}\n" if (end := text.find(mark, start)) >= 0]
    end = min(ends, default=len(text))
    return text[:start] + draw(st.sampled_from(TEXT_PIECES)) + text[end:]
