"""JSON is bounded before it is parsed, and has one meaning."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.strict_json import MAX_DEPTH, depth_of, dumps, loads
from qenex.errors import LimitExceeded, ParseError, QenexError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**100), 10**100) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


def naive_depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(naive_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(naive_depth, value), default=0)
    return 0


@given(VALUES)
def test_what_was_written_is_read_again(value):
    assert loads(dumps(value).encode(), max_size=1 << 20, max_depth=100) == value


@given(VALUES, st.booleans())
def test_the_scan_finds_the_depth_that_the_parser_would(value, escaped):
    assert depth_of(
        json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"), 100
    ) == naive_depth(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_typed_error(data):
    with contextlib.suppress(ParseError, LimitExceeded):
        loads(data, max_size=150)


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"":'])
def test_the_depth_limit_is_exact(opener):
    closer = {b"[": b"]", b'{"a":': b"}", b'[{"":': b"}]"}[opener]
    levels = MAX_DEPTH // len(closer)
    loads(opener * levels + b"1" + closer * levels, max_size=10_000)
    with pytest.raises(LimitExceeded):
        loads(opener * (levels + 1) + b"1" + closer * (levels + 1), max_size=10_000)


def test_brackets_inside_text_are_not_nesting():
    text = json.dumps(["[{" * 200, '\\"[', "\\"])
    assert json.loads(text) == loads(text.encode(), max_size=10_000)


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b'"[', b'[\\"', b"[]"])
def test_hostile_text_is_scanned_in_linear_time(piece):
    started = time.perf_counter()
    with pytest.raises(QenexError):
        loads(b"[" * 40 + b'"' + piece * (500_000 // len(piece)) + b"\\", max_size=1 << 20)
    depth_of(b'"' + piece * (500_000 // len(piece)) + b"\\", 1_000_000)
    depth_of(b'"' + piece * (500_000 // len(piece)), 1_000_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a":-Infinity}', '{"a":1,"b":{"c":1,"c":1}}', "01", "1_0", "'a'"]
)
def test_what_has_no_one_meaning_is_refused(text):
    with pytest.raises(ParseError):
        loads(text.encode(), max_size=100)


@pytest.mark.parametrize("text", [b"[" + b"{}," * 349_000 + b"{}]", b"[" + b"1," * 524_000 + b"1]"])
def test_a_mebibyte_of_tiny_values_is_refused_before_it_is_parsed(text: bytes):
    """Parsed it took 200 ms of the event loop, with nothing charged."""
    begin = time.perf_counter()
    with pytest.raises(LimitExceeded):
        loads(text, max_size=1 << 20)
    assert time.perf_counter() - begin < 0.1
