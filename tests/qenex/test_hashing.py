"""Domain-separated hashes, and list roots that equal RFC 6962's recursive definition."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.hashing import EMPTY_LIST_ROOT, hash_list_leaf, hash_list_node, hasher, list_root


def recursive_root(items: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 as it is written."""
    if not items:
        return hasher("qx.empty")(b"")
    if len(items) == 1:
        return hash_list_leaf(items[0])
    split = 1
    while split * 2 < len(items):
        split *= 2
    return hash_list_node(recursive_root(items[:split]) + recursive_root(items[split:]))


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_list_roots_have_the_shape_of_rfc_6962(items: list[bytes]) -> None:
    assert list_root(items) == recursive_root(items)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 255, 256, 257])
def test_list_roots_at_powers_of_two(count: int) -> None:
    items = [index.to_bytes(2, "big") for index in range(count)]
    assert list_root(items) == recursive_root(items)


def test_the_empty_list_has_a_root_of_its_own() -> None:
    assert list_root([]) == EMPTY_LIST_ROOT == blake2b(b"", digest_size=32, person=b"qx.empty").digest()


@given(st.binary(max_size=300))
def test_a_hash_is_blake2b_with_the_tag_as_person(data: bytes) -> None:
    assert hasher("qx.tx")(data) == blake2b(data, digest_size=32, person=b"qx.tx").digest()
    assert hasher("qx.tx")(data) != hasher("qx.witness")(data)


@given(
    st.lists(st.binary(max_size=8), min_size=1, max_size=12),
    st.lists(st.binary(max_size=8), min_size=1, max_size=12),
)
def test_different_lists_have_different_roots(a: list[bytes], b: list[bytes]) -> None:
    assert (list_root(a) == list_root(b)) == (a == b)


@pytest.mark.parametrize("tag", ["", "x" * 17, "ümlaut"])
def test_tags_are_one_to_sixteen_ascii_bytes(tag: str) -> None:
    with pytest.raises((ValueError, UnicodeEncodeError)):
        hasher(tag)
