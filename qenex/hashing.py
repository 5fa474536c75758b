"""`H(tag, x)`: BLAKE2b-256 with a `person` tag, the only hash of consensus (RFC 7693).

Every domain has its own tag, so no hash means two things. A hasher copies a
pre-built object: 0.23 us instead of 0.9 us for inputs up to 128 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

HASH_SIZE = 32
"""Bytes of every hash in the protocol."""

ZERO_HASH = bytes(HASH_SIZE)


def hasher(tag: str) -> Callable[[bytes], bytes]:
    """Return `H(tag, .)`: bytes -> 32 bytes. `tag` is ASCII, 1 to 16 bytes."""
    person = tag.encode("ascii")
    if not 1 <= len(person) <= 16:
        raise ValueError(f"hash tag {tag!r} must have 1 to 16 ASCII bytes")
    copy = blake2b(digest_size=HASH_SIZE, person=person).copy

    def digest(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        return state.digest()

    return digest


hash_list_leaf = hasher("qx.leaf")
hash_list_node = hasher("qx.node")
_leaf_state = blake2b(digest_size=HASH_SIZE, person=b"qx.leaf").copy
_node_state = blake2b(digest_size=HASH_SIZE, person=b"qx.node").copy
EMPTY_LIST_ROOT = hasher("qx.empty")(b"")


def list_root(items: Sequence[bytes]) -> bytes:
    """Return the Merkle root of `items`, tree shape of RFC 6962 section 2.1.

    Leaves are `H("qx.leaf", item)`, inner nodes `H("qx.node", left + right)`,
    the empty list is `H("qx.empty", b"")`. Built bottom-up: pairing neighbours
    and carrying an odd last node gives the same tree as RFC 6962's split at the
    largest power of two.
    """
    if not items:
        return EMPTY_LIST_ROOT
    # The bodies of the two hashers stand here: four hashes a transaction, each a quarter cheaper without a call.
    level: list[bytes] = []
    append = level.append
    for item in items:
        state = _leaf_state()
        state.update(item)
        append(state.digest())
    while len(level) > 1:
        paired: list[bytes] = []
        append = paired.append
        for left, right in zip(level[::2], level[1::2]):
            state = _node_state()
            state.update(left + right)
            append(state.digest())
        if len(level) & 1:
            append(level[-1])
        level = paired
    return level[0]
