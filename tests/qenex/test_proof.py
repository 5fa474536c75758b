"""Proofs verify for what they prove and for nothing else; every other input is ProofInvalid."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.errors import ProofInvalid
from qenex.hashing import ZERO_HASH, list_root
from qenex.proof import (
    MAX_PROOF_BYTES,
    Terminal,
    TreeProof,
    decode_proof,
    encode_proof,
    hash_tree_leaf,
    hash_tree_node,
    list_proof,
    nibble,
    proof_from_json,
    proof_to_json,
    tree_path,
    value_hash,
    verify_absence,
    verify_list_proof,
    verify_membership,
)

Leaves = dict[bytes, bytes]
"""path -> value hash"""


def naive(leaves: Leaves, depth: int = 0) -> bytes:
    """The definition in protocol.md."""
    if not leaves:
        return ZERO_HASH
    if len(leaves) == 1:
        return hash_tree_leaf(b"".join(*leaves.items()))
    return hash_tree_node(b"".join(naive(child(leaves, depth, n), depth + 1) for n in range(16)))


def child(leaves: Leaves, depth: int, n: int) -> Leaves:
    return {path: value for path, value in leaves.items() if nibble(path, depth) == n}


def prove(leaves: Leaves, path: bytes) -> TreeProof:
    """A second prover, by the definition, to test the verifier without the ledger."""
    bitmaps, siblings, depth = [], [], 0
    while len(leaves) > 1:
        hashes = [naive(child(leaves, depth, n), depth + 1) for n in range(16)]
        own = nibble(path, depth)
        others = [n for n in range(16) if n != own and hashes[n] != ZERO_HASH]
        bitmaps.append(sum(1 << n for n in others))
        siblings += [hashes[n] for n in others]
        leaves, depth = child(leaves, depth, own), depth + 1
    if not leaves:
        return TreeProof(tuple(bitmaps), tuple(siblings), Terminal.EMPTY)
    ((found, value),) = leaves.items()
    if found == path:
        return TreeProof(tuple(bitmaps), tuple(siblings), Terminal.LEAF)
    return TreeProof(tuple(bitmaps), tuple(siblings), Terminal.OTHER_LEAF, found, value)


states = st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), max_size=40)


def leaves_of(state: dict[bytes, bytes]) -> Leaves:
    return {tree_path(key): value_hash(value) for key, value in state.items()}


@given(state=states, absent=st.sets(st.binary(min_size=5, max_size=6), max_size=5))
def test_every_key_has_a_proof_of_presence_or_absence(state: dict[bytes, bytes], absent: set[bytes]) -> None:
    leaves = leaves_of(state)
    root = naive(leaves)
    for key, value in state.items():
        proof = prove(leaves, tree_path(key))
        verify_membership(root, key, value, proof)
        with pytest.raises(ProofInvalid):
            verify_absence(root, key, proof)
        with pytest.raises(ProofInvalid):
            verify_membership(root, key, value + b"x", proof)
        with pytest.raises(ProofInvalid):
            verify_membership(root, key + b"12345", value, proof)
        with pytest.raises(ProofInvalid):
            verify_membership(value_hash(root), key, value, proof)
    for key in absent:
        proof = prove(leaves, tree_path(key))
        verify_absence(root, key, proof)
        with pytest.raises(ProofInvalid):
            verify_membership(root, key, b"", proof)


@given(state=states.filter(bool), data=st.data())
def test_no_changed_proof_verifies(state: dict[bytes, bytes], data: st.DataObject) -> None:
    leaves = leaves_of(state)
    root = naive(leaves)
    key = data.draw(st.sampled_from([*state, b"absent1", b"absent2"]))
    honest = prove(leaves, tree_path(key))
    encoded = bytearray(encode_proof(honest))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ProofInvalid):
        decode_and_verify(root, key, state.get(key), bytes(encoded))


def decode_and_verify(root: bytes, key: bytes, value: bytes | None, encoded: bytes) -> None:
    if value is None:
        verify_absence(root, key, decode_proof(encoded))
    else:
        verify_membership(root, key, value, decode_proof(encoded))


def test_levels_cannot_be_added_dropped_or_swapped() -> None:
    state = {b"%d" % n: b"v" for n in range(300)}
    leaves = leaves_of(state)
    root = naive(leaves)
    for key in list(state)[:20]:
        good = prove(leaves, tree_path(key))
        first = good.bitmaps[0].bit_count()
        for bad in (
            good._replace(bitmaps=good.bitmaps[1:], siblings=good.siblings[first:]),
            good._replace(bitmaps=(0, *good.bitmaps)),
            good._replace(bitmaps=(*good.bitmaps, 0)),
            good._replace(bitmaps=(*good.bitmaps, 1), siblings=(*good.siblings, root)),
            good._replace(siblings=good.siblings[::-1]),
            good._replace(siblings=good.siblings[:-1]),
            good._replace(bitmaps=tuple(~bitmap & 0xFFFF for bitmap in good.bitmaps)),
            good._replace(bitmaps=(0xFFFF, *good.bitmaps[1:])),
            good._replace(bitmaps=(-1, *good.bitmaps[1:])),
            good._replace(siblings=(ZERO_HASH, *good.siblings[1:])),
            good._replace(siblings=(b"short", *good.siblings[1:])),
            good._replace(terminal=Terminal.EMPTY),
            good._replace(terminal=Terminal.OTHER_LEAF),
            good._replace(path=ZERO_HASH),
            good._replace(path=ZERO_HASH, value_hash=ZERO_HASH),
            TreeProof((1,) * 65, (root,) * 65, Terminal.LEAF),
        ):
            with pytest.raises(ProofInvalid):
                verify_membership(root, key, b"v", bad)


def test_another_leaf_shows_absence_only_on_the_path_it_lies_on() -> None:
    state = {b"%d" % n: b"v" for n in range(40)}
    leaves = leaves_of(state)
    root = naive(leaves)
    shown = 0
    for n in range(200):
        key = b"absent %d" % n
        proof = prove(leaves, tree_path(key))
        if proof.terminal is not Terminal.OTHER_LEAF:
            continue
        shown += 1
        verify_absence(root, key, proof)
        # The same leaf, passed off as the terminal of a path it does not lie on, and of its own.
        own = next(other for other in state if tree_path(other) == proof.path)
        elsewhere = next(
            b"x%d" % i for i in range(999) if nibble(tree_path(b"x%d" % i), 0) != nibble(tree_path(key), 0)
        )
        for wrong in (own, elsewhere):
            with pytest.raises(ProofInvalid):
                verify_absence(root, wrong, proof)
    assert shown > 5


def test_a_root_of_an_impossible_shape_proves_nothing() -> None:
    """One leaf alone under an inner node: no tree has it, whoever signed the root."""
    path = tree_path(b"k")
    children = [ZERO_HASH] * 16
    children[nibble(path, 0)] = hash_tree_leaf(path + value_hash(b"v"))
    with pytest.raises(ProofInvalid, match="sibling"):
        verify_membership(hash_tree_node(b"".join(children)), b"k", b"v", TreeProof((0,), (), Terminal.LEAF))


def test_the_empty_tree_and_a_single_leaf_prove_without_levels() -> None:
    empty = TreeProof((), (), Terminal.EMPTY)
    verify_absence(ZERO_HASH, b"k", empty)
    leaf = hash_tree_leaf(tree_path(b"k") + value_hash(b"v"))
    verify_membership(leaf, b"k", b"v", TreeProof((), (), Terminal.LEAF))
    verify_absence(leaf, b"other", TreeProof((), (), Terminal.OTHER_LEAF, tree_path(b"k"), value_hash(b"v")))
    with pytest.raises(ProofInvalid):
        verify_absence(leaf, b"k", empty)


@given(state=states, key=st.binary(max_size=5))
def test_both_forms_of_a_proof_are_read_back_unchanged(state: dict[bytes, bytes], key: bytes) -> None:
    proof = prove(leaves_of(state), tree_path(key))
    assert decode_proof(encode_proof(proof)) == proof
    assert proof_from_json(json.loads(json.dumps(proof_to_json(proof)))) == proof


@given(st.binary(max_size=300))
def test_any_bytes_are_a_proof_in_its_one_encoding_or_refused(data: bytes) -> None:
    try:
        proof = decode_proof(data)
    except ProofInvalid:
        return
    assert encode_proof(proof) == data


parts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=33)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(parts | st.lists(parts, min_size=5, max_size=5))
def test_any_structure_is_a_proof_or_refused(value: object) -> None:
    try:
        proof = decode_proof(msgpack.packb(value))
    except ProofInvalid:
        return
    assert encode_proof(proof) == msgpack.packb(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("0x" + "ab" * 32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(
    json_values
    | st.fixed_dictionaries(
        {
            "bitmaps": st.lists(json_values, max_size=3),
            "siblings": st.lists(json_values, max_size=3),
            "terminal": st.sampled_from(["leaf", "empty", "other_leaf"]) | json_values,
            "path": json_values,
            "value_hash": json_values,
        }
    )
)
def test_any_json_is_a_proof_or_refused(form: object) -> None:
    try:
        proof = proof_from_json(form)
    except ProofInvalid:
        return
    assert proof_to_json(proof) == form


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(MAX_PROOF_BYTES + 1),
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion, announced in 5 bytes
        b"\x95" * 1000,
        b"\x95\xc6\xff\xff\xff\xff",
        b"\x95\x90\x90\x00\xc0\xc0\x00",  # one byte too many
        b"\x95\x90\x90\xcc\x00\xc0\xc0",  # terminal 0 in two bytes
        b"\x95\x90\x90\xc2\xc0\xc0",  # terminal false
        b"\x95\x90\x90\x03\xc0\xc0",  # no such terminal
        b"\x94\x90\x90\x00\xc0",
    ],
)
def test_malformed_and_oversized_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProofInvalid):
        decode_proof(data)
    assert decode_proof(b"\x95\x90\x90\x00\xc0\xc0") == TreeProof((), (), Terminal.LEAF)


# -- lists -------------------------------------------------------------------------------------


@given(items=st.lists(st.binary(max_size=5), min_size=1, max_size=40), data=st.data())
def test_every_item_of_a_list_has_a_proof_and_no_other_verifies(
    items: list[bytes], data: st.DataObject
) -> None:
    root, count = list_root(items), len(items)
    index = data.draw(st.integers(0, count - 1))
    proof = list_proof(items, index)
    verify_list_proof(root, items[index], index, count, proof)
    bad: list[tuple[bytes, bytes, int, int, tuple[bytes, ...]]] = [
        (root, items[index] + b"x", index, count, proof),
        (root, items[index], index, count, (*proof, root)),
        (root, items[index], count, count, proof),
        (root, items[index], -1, count, proof),
        (root, items[index], index, count, tuple(sibling[:31] for sibling in proof) or (b"",)),
        (ZERO_HASH, items[index], index, count, proof),
    ]
    if proof:
        bad.append((root, items[index], index, count, proof[:-1]))
        bad.append((root, items[index], index, count, (bytes(32), *proof[1:])))
    for arguments in bad:
        with pytest.raises(ProofInvalid):
            verify_list_proof(*arguments)


def test_an_item_does_not_verify_at_another_index() -> None:
    items = [b"%d" % n for n in range(13)]
    root = list_root(items)
    for index in range(13):
        proof = list_proof(items, index)
        for other in range(13):
            if other != index:
                with pytest.raises(ProofInvalid):
                    verify_list_proof(root, items[index], other, 13, proof)
    with pytest.raises(IndexError):
        list_proof(items, 13)
    with pytest.raises(IndexError):
        list_proof([], 0)
    with pytest.raises(ProofInvalid):
        verify_list_proof(root, b"0", 0, 1 << 64, ())
