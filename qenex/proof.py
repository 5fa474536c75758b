"""Proofs a wallet checks against a header alone: of state entries and of list items.

State: the tree of protocol.md, "Tree". 16-ary, sparse, over hashed keys; a subtree
with one leaf is that leaf's hash, whatever its depth. A proof lists, from the root
down, which siblings of the path are not empty and their hashes, and what ends the
path: the leaf itself, nothing, or another leaf (both of the latter prove absence).

Lists (transactions, results, validators): the audit path of RFC 6962 section 2.1.1
over `qenex.hashing.list_root`.

Verifiers return nothing and raise ProofInvalid. Nothing is allocated before the size
of the input was checked.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgpack

from qenex.errors import ProofInvalid
from qenex.hashing import HASH_SIZE, ZERO_HASH, hash_list_leaf, hash_list_node, hasher

MAX_LEVELS = 2 * HASH_SIZE
"""Nibbles of a path."""
MAX_PROOF_BYTES = 32 * 1024
"""More than the largest proof: 64 levels of 15 siblings."""
MAX_LIST_PROOF = 64
"""Hashes in a list proof: lists are shorter than 2^64."""

tree_path = hasher("qx.tkey")
"""State key -> its path in the tree, 32 bytes."""
value_hash = hasher("qx.value")
"""Encoded state value -> 32 bytes."""
hash_tree_leaf = hasher("qx.tleaf")
"""path + value hash, 64 bytes -> 32 bytes."""
hash_tree_node = hasher("qx.tnode")
"""16 child hashes, 512 bytes -> 32 bytes."""


class Terminal(IntEnum):
    """What the path meets below the last level of a proof."""

    LEAF = 0
    EMPTY = 1
    OTHER_LEAF = 2


class TreeProof(NamedTuple):
    """Membership or absence of one path in the tree.

    `bitmaps[d]` has bit n set if child n of the path's node at depth d is not empty
    and not on the path; `siblings` are the hashes of those children, from the root
    down, each level by ascending n. `path` and `value_hash` are those of the other
    leaf (OTHER_LEAF), else None.
    """

    bitmaps: tuple[int, ...]
    siblings: tuple[bytes, ...]
    terminal: Terminal
    path: bytes | None = None
    value_hash: bytes | None = None


def nibble(path: bytes, depth: int) -> int:
    """Return the child taken at `depth` by `path`: high nibble of each byte first."""
    byte = path[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def verify_membership(root: bytes, key: bytes, value: bytes, proof: TreeProof) -> None:
    """Raise ProofInvalid unless `key` has exactly `value` (encoded) under the state root `root`."""
    path = tree_path(key)
    _check_form(proof)
    if proof.terminal is not Terminal.LEAF:
        raise ProofInvalid("this proof shows absence, not membership")
    _check_root(root, path, hash_tree_leaf(path + value_hash(value)), proof)


def verify_absence(root: bytes, key: bytes, proof: TreeProof) -> None:
    """Raise ProofInvalid unless `key` has no value under the state root `root`."""
    path = tree_path(key)
    _check_form(proof)
    if proof.terminal is Terminal.LEAF:
        raise ProofInvalid("this proof shows membership, not absence")
    if proof.terminal is Terminal.EMPTY:
        _check_root(root, path, ZERO_HASH, proof)
        return
    assert proof.path is not None
    assert proof.value_hash is not None
    depth = len(proof.bitmaps)
    if proof.path == path:
        raise ProofInvalid("the other leaf is the one whose absence is to be shown")
    if any(nibble(path, level) != nibble(proof.path, level) for level in range(depth)):
        raise ProofInvalid("the other leaf does not lie on the path")
    _check_root(root, path, hash_tree_leaf(proof.path + proof.value_hash), proof)


def _check_root(root: bytes, path: bytes, digest: bytes, proof: TreeProof) -> None:
    """Hash from the terminal up to the root."""
    end = len(proof.siblings)
    for depth in range(len(proof.bitmaps) - 1, -1, -1):
        bitmap = proof.bitmaps[depth]
        own = nibble(path, depth)
        if bitmap >> own & 1:
            raise ProofInvalid("a proof names the path's own child as a sibling")
        end -= bitmap.bit_count()
        siblings = iter(proof.siblings[end:])
        children = [
            digest if n == own else next(siblings) if bitmap >> n & 1 else ZERO_HASH for n in range(16)
        ]
        digest = hash_tree_node(b"".join(children))
    if digest != root:
        raise ProofInvalid("the proof leads to another state root")


def _check_form(proof: TreeProof) -> None:
    """Raise ProofInvalid unless sizes fit together and the tree could have this shape."""
    bitmaps, siblings = proof.bitmaps, proof.siblings
    if len(bitmaps) > MAX_LEVELS or len(siblings) > MAX_LEVELS * 15:
        raise ProofInvalid("a proof has at most 64 levels")
    if not all(0 <= bitmap <= 0xFFFF for bitmap in bitmaps):
        raise ProofInvalid("a bitmap has 16 bits")
    if sum(bitmap.bit_count() for bitmap in bitmaps) != len(siblings):
        raise ProofInvalid("bitmaps and siblings differ in number")
    if any(len(sibling) != HASH_SIZE or sibling == ZERO_HASH for sibling in siblings):
        raise ProofInvalid("a sibling is 32 bytes, not all zero")
    # A node has two leaves or more below it: one leaf alone stands for the whole subtree.
    if bitmaps and not bitmaps[-1]:
        raise ProofInvalid("the last level of a proof has a sibling")
    other = proof.terminal is Terminal.OTHER_LEAF
    for part in (proof.path, proof.value_hash):
        if (part is not None) is not other or (part is not None and len(part) != HASH_SIZE):
            raise ProofInvalid("another leaf has a path and a value hash of 32 bytes")


# -- wire and JSON forms of a tree proof ---------------------------------------------------


def encode_proof(proof: TreeProof) -> bytes:
    """Return the canonical MessagePack record `[bitmaps, siblings, terminal, path?, value_hash?]`."""
    record = (proof.bitmaps, proof.siblings, int(proof.terminal), proof.path, proof.value_hash)
    encoded: bytes = msgpack.packb(record)
    return encoded


def decode_proof(data: bytes) -> TreeProof:
    """Return the proof whose one encoding is `data`. Raises ProofInvalid."""
    if len(data) > MAX_PROOF_BYTES:
        raise ProofInvalid(f"a proof has at most {MAX_PROOF_BYTES} bytes")
    try:
        # The limits keep a short input from announcing long arrays.
        record = msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            max_array_len=MAX_LEVELS * 15,
            max_bin_len=HASH_SIZE,
            max_str_len=0,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProofInvalid(f"a proof is not in its encoding: {error}") from error
    proof = _from_parts(record)
    if encode_proof(proof) != data:
        raise ProofInvalid("a proof is not in its one canonical encoding")
    return proof


def _from_parts(record: object) -> TreeProof:
    if not isinstance(record, tuple) or len(record) != 5:
        raise ProofInvalid("a proof is a record of five fields")
    bitmaps, siblings, terminal, path, value = record
    if not isinstance(bitmaps, tuple) or not all(type(bitmap) is int for bitmap in bitmaps):
        raise ProofInvalid("bitmaps are a list of integers")
    if not isinstance(siblings, tuple) or not all(type(sibling) is bytes for sibling in siblings):
        raise ProofInvalid("siblings are a list of hashes")
    if type(terminal) is not int or not 0 <= terminal < len(Terminal):
        raise ProofInvalid("a proof ends in a leaf, nothing or another leaf")
    for part in (path, value):
        if part is not None and type(part) is not bytes:
            raise ProofInvalid("another leaf has a path and a value hash of 32 bytes")
    proof = TreeProof(bitmaps, siblings, Terminal(terminal), path, value)
    _check_form(proof)
    return proof


def proof_to_json(proof: TreeProof) -> dict[str, Any]:
    """Return the JSON form: field names, hashes as 0x and lower-case hex, `terminal` by name."""
    return {
        "bitmaps": list(proof.bitmaps),
        "siblings": [_to_hex(sibling) for sibling in proof.siblings],
        "terminal": proof.terminal.name.lower(),
        "path": None if proof.path is None else _to_hex(proof.path),
        "value_hash": None if proof.value_hash is None else _to_hex(proof.value_hash),
    }


def proof_from_json(form: object) -> TreeProof:
    """Return the proof of a JSON form. Raises ProofInvalid."""
    if not isinstance(form, dict) or set(form) != set(TreeProof._fields):
        raise ProofInvalid("a proof in JSON has the fields " + ", ".join(TreeProof._fields))
    bitmaps, siblings = form["bitmaps"], form["siblings"]
    if not isinstance(bitmaps, list) or not isinstance(siblings, list):
        raise ProofInvalid("bitmaps and siblings are lists")
    if len(bitmaps) > MAX_LEVELS or len(siblings) > MAX_LEVELS * 15:
        raise ProofInvalid("a proof has at most 64 levels")
    terminals = {terminal.name.lower(): int(terminal) for terminal in Terminal}
    name = form["terminal"]
    return _from_parts(
        (
            tuple(bitmaps),
            tuple(map(_from_hex, siblings)),
            terminals.get(name) if isinstance(name, str) else None,
            None if form["path"] is None else _from_hex(form["path"]),
            None if form["value_hash"] is None else _from_hex(form["value_hash"]),
        )
    )


def _to_hex(data: bytes) -> str:
    return "0x" + data.hex()


_HASH_IN_HEX = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


def _from_hex(text: object) -> bytes:
    if not isinstance(text, str) or not _HASH_IN_HEX.fullmatch(text):
        raise ProofInvalid("a hash in JSON is 0x and 64 lower-case hexadecimal digits")
    return bytes.fromhex(text[2:])


# -- lists ---------------------------------------------------------------------------------


_HASHES: Final = 1_000


def list_proof(items: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the audit path of `items[index]`: sibling hashes from the leaf up.

    Raises IndexError for an index outside the list.
    """
    steps = list_proof_steps(items, index)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: tuple[bytes, ...] = stop.value
            return found


def list_proof_steps(items: Sequence[bytes], index: int) -> Generator[None, None, tuple[bytes, ...]]:
    """As `list_proof`, yielding after each thousand hashes at most, about 1 ms: a block's list has up to 32,769 items."""
    if not 0 <= index < len(items):
        raise IndexError(f"item {index} of a list of {len(items)}")
    level: list[bytes] = []
    for start in range(0, len(items), _HASHES):
        level += [hash_list_leaf(item) for item in items[start : start + _HASHES]]
        yield
    proof = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        paired: list[bytes] = []
        pairs = len(level) // 2
        for start in range(0, pairs, _HASHES):
            chosen = range(2 * start, 2 * min(start + _HASHES, pairs), 2)
            paired += [hash_list_node(level[i] + level[i + 1]) for i in chosen]
            yield
        if len(level) & 1:
            paired.append(level[-1])
        level, index = paired, index >> 1
    return tuple(proof)


def verify_list_proof(root: bytes, item: bytes, index: int, count: int, proof: Sequence[bytes]) -> None:
    """Raise ProofInvalid unless the list of `count` items under `root` has `item` at `index`."""
    if not 0 <= index < count < 1 << 64:
        raise ProofInvalid("the index lies outside the list")
    if len(proof) > MAX_LIST_PROOF or any(len(sibling) != HASH_SIZE for sibling in proof):
        raise ProofInvalid("a list proof is at most 64 hashes of 32 bytes")
    digest, siblings = hash_list_leaf(item), iter(proof)
    last = count - 1
    try:
        while last:
            if index & 1:
                digest = hash_list_node(next(siblings) + digest)
            elif index < last:
                digest = hash_list_node(digest + next(siblings))
            index, last = index >> 1, last >> 1
    except StopIteration:
        raise ProofInvalid("a list proof is too short") from None
    if next(siblings, None) is not None:
        raise ProofInvalid("a list proof is too long")
    if digest != root:
        raise ProofInvalid("the list proof leads to another root")
