"""Records of the tree: inner nodes, bundles of leaves, references; and their hashes.

What is hashed is fixed by protocol.md; how nodes lie on disk is ours. A subtree of up
to `BUNDLE` (by depth) leaves is one record, a bundle: its leaves in path order, 96 bytes each
(path, value hash, leaf hash). Its hash is computed from the leaves as if all inner
nodes between them existed. Larger subtrees have an inner record of 656 bytes: 16 child
hashes (the 512 bytes that are hashed), 16 counts, 16 versions. A count is 0 for
nothing, 1..128 for a bundle, INNER for an inner node; hash, count and version are
all one needs to find and to check the child.

A bundle of more than `LARGE` leaves has at most `CROWD` below each child of its node, and keeps the 16 hashes of its
node's children behind its leaves, in its record and in memory: when leaves change, only what is below their children
is hashed again.

Record key: `N | depth u8 | prefix | version`, prefix of ceil(depth / 2) bytes, an odd
last nibble in the high half. Depth first keeps the few upper nodes together.

A node changes little at a time, so most records are patches: the version of the record
that they change, then changed children (nibble, hash, count) or changed leaves (place,
value hash) and, of a large bundle, leaves that came and went and the children's hashes. At most `PATCHES` of them lie over a whole record. Each record of a node that
may be patched ends in its CRC-32: what a patch covers no hash covers any more. Bundles of
up to `SMALL` leaves are not patched.

In memory a node is its whole content and after it the versions of the records that its
newest one lies on, the whole one first; between the two a large bundle has the place of each child's first leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import NamedTuple
from zlib import crc32

from ledger.keys import NODE, VERSION_SIZE, version_key
from qenex.hashing import HASH_SIZE, ZERO_HASH
from qenex.proof import hash_tree_leaf, hash_tree_node

LARGE = 12
"""Bundles of more leaves keep the hashes of their children; up to here hashing all leaves is as fast."""
INNER = 255
LEAF_SIZE = 96
NODE_SIZE = 16 * HASH_SIZE
COUNTS = NODE_SIZE
"""Offset of the counts in an inner record."""
VERSIONS = COUNTS + 16
"""Offset of the versions in an inner record."""
INNER_SIZE = VERSIONS + 16 * VERSION_SIZE
PATCHES = 8
"""Most patches over a whole record. Each is a read more where a node is not in memory."""
LARGE_PATCHES = 16
"""The same for a large bundle: all of them fit into memory, and rewriting one is dearer."""
SMALL = 6
"""Bundles of so many leaves are always whole, and need no checksum: a patch would save less than it takes to make."""
CHECKSUM_SIZE = 4
STARTS_SIZE = 17
"""Bytes of a large bundle in memory that say which leaf is the first below each child, and how many there are."""
CHILD_PATCH = 1 + HASH_SIZE + 1
LEAF_PATCH = 1 + HASH_SIZE
"""A changed leaf, or the hash of a child in a large bundle."""
CHILD_MARK = 0xF0
"""First byte of the latter is this + nibble."""
RESIZED = b"\xe0"
"""Begins the patch of a large bundle into which leaves came or from which they went: this, the number of leaves before, then GONE and
the place of each that went, COME and path and value hash of each that came, and the children's hashes."""
COME = b"\xe1"
GONE = b"\xe2"
MAX_DEPTH = 2 * HASH_SIZE
BUNDLE = [128] * 4 + [48] + [12] * (MAX_DEPTH - 4)
"""Most leaves in one bundle, by depth. Not consensus: the root does not depend on it.

The larger, the fewer records, but the more is written when one is rewritten whole, and that happens every other time
where it had to be read. So bundles are large where all of them stay in memory: down to depth 3 there are 4,096 nodes, whose
bundles have 52 MiB at most, at depth 4 there are 65,536 with 340 MiB. Below, 8, 12 and 16 measured within 5% of each other.
"""
CROWD = 16
"""Most leaves below one child in a bundle of more than `LARGE`: what one changed leaf makes hashed again.

Chance goes beyond it in one of 400 bundles of 100, one of 23 of 128. Who looks for keys whose paths begin alike (16 hashes each
for one more nibble) could else have 128 leaves hashed for one change: 110 to 550 us, where a transfer pays for 50.
"""
MERGE = [most // 2 for most in BUNDLE]
"""An inner node with no more leaves than this, `LARGE` below a child, becomes a bundle again after a deletion. By depth."""

HIGH_NIBBLE = [bytes((byte & 0xF0,)) for byte in range(256)]
"""By byte: its high nibble, the low one zero."""
HIGH_NIBBLES = bytes([byte >> 4 for byte in range(256)])
LOW_NIBBLES = bytes([byte & 15 for byte in range(256)])
"""Tables that make nibbles of bytes."""
NODE_HEADS = [NODE + bytes((depth,)) for depth in range(MAX_DEPTH + 1)]
ONE_BYTE = [bytes((number,)) for number in range(256)]
CHILD_MARKS = [bytes((CHILD_MARK + n,)) for n in range(16)]
HASH_SLICES = [slice(HASH_SIZE * n, HASH_SIZE * n + HASH_SIZE) for n in range(16)]
HIGH_SLOTS = [HASH_SLICES[byte >> 4] for byte in range(256)]
LOW_SLOTS = [HASH_SLICES[byte & 15] for byte in range(256)]
"""By byte of a path: the slot of the child that its high or low nibble names."""
VERSION_SLICES = [
    slice(VERSIONS + VERSION_SIZE * n, VERSIONS + VERSION_SIZE * n + VERSION_SIZE) for n in range(16)
]
ROOT_STEM = NODE_HEADS[0]


def _leaf_parts(count: int) -> tuple[tuple[int, slice], ...]:
    """Return, for each leaf of a bundle, its offset and where its hash lies."""
    return tuple((at, slice(at + 64, at + LEAF_SIZE)) for at in range(0, count * LEAF_SIZE, LEAF_SIZE))


LEAF_PARTS = [_leaf_parts(count) for count in range(LARGE + 1)]

node_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tnode").copy


class NodeRef(NamedTuple):
    """What identifies a node: its hash, its kind and size, and the version that wrote it."""

    digest: bytes
    leaves: int
    """0: nothing, 1 to 128: a bundle of so many leaves, INNER: an inner node."""
    version: int


EMPTY_REF = NodeRef(ZERO_HASH, 0, 0)
REF_SIZE = HASH_SIZE + 1 + VERSION_SIZE


def pack_ref(ref: NodeRef) -> bytes:
    return ref.digest + bytes((ref.leaves,)) + version_key(ref.version)


def unpack_ref(record: bytes) -> NodeRef:
    """Raises ValueError for a record of another size."""
    if len(record) != REF_SIZE:
        raise ValueError("a node reference has 41 bytes")
    return NodeRef(record[:32], record[32], int.from_bytes(record[33:], "big"))


def child_ref(record: bytes | bytearray, n: int) -> NodeRef:
    """Return the reference to child `n` (0..15) of an inner record."""
    version = int.from_bytes(record[VERSION_SLICES[n]], "big")
    return NodeRef(bytes(record[HASH_SLICES[n]]), record[COUNTS + n], version)


def stem(path: bytes, depth: int) -> bytes:
    """Return the key, without version, of the node at `depth` on `path`."""
    if depth & 1:
        half = depth >> 1
        return NODE_HEADS[depth] + path[:half] + HIGH_NIBBLE[path[half]]
    return NODE_HEADS[depth] + path[: depth >> 1]


def child_stem(parent: bytes, n: int) -> bytes:
    """Return the key, without version, of child `n` of the node with the stem `parent`."""
    depth = parent[1]
    if depth & 1:
        return NODE_HEADS[depth + 1] + parent[2:-1] + bytes((parent[-1] | n,))
    return NODE_HEADS[depth + 1] + parent[2:] + bytes((n << 4,))


def leaf_entry(path: bytes, value_hash: bytes) -> bytes:
    """Return the 96 bytes of a leaf in a bundle."""
    body = path + value_hash
    return body + hash_tree_leaf(body)


def content_size(kind: int) -> int:
    """Return the bytes of a whole node without versions and checksum; `kind` as in a count."""
    if kind == INNER:
        return INNER_SIZE
    return kind * LEAF_SIZE + NODE_SIZE if kind > LARGE else kind * LEAF_SIZE


WHOLE_SIZES = [content_size(kind) + (CHECKSUM_SIZE if kind > SMALL else 0) for kind in range(INNER + 1)]
"""Bytes of a record that is a whole node and no patch, by kind as in a count."""


def sealed(record: bytes | bytearray) -> bytes:
    """Return a record as it is stored, of a node that may be patched."""
    return b"".join((record, crc32(record).to_bytes(CHECKSUM_SIZE, "big")))


def read_node(
    get: Callable[[bytes], bytes | None],
    node_stem: bytes,
    version: bytes,
    kind: int,
    *,
    checked: bool = False,
) -> tuple[bytes, bytes]:
    """Return a node's content, and the versions of the records below its newest one (8 bytes each, the whole one first).

    `version` and `kind` (as in a count) are what its parent says of it. Raises ValueError with what is wrong, which
    `checked` looks for in every byte; flipped bits are the store's checksums' business else.
    """
    size = content_size(kind)
    record = get(node_stem + version)
    if kind <= SMALL:
        if record is None or len(record) != size:
            raise ValueError("is missing" if record is None else "is damaged")
        return record, b""
    patches: list[tuple[bytes, bytes]] = []
    most = LARGE_PATCHES if LARGE < kind < INNER else PATCHES
    below, wanted = b"", kind
    while True:
        if record is None:
            raise ValueError("is missing")
        content = record[:-CHECKSUM_SIZE]
        if checked and sealed(content) != record:
            raise ValueError("has another checksum")
        if len(content) == size:
            break
        before = content[:VERSION_SIZE]
        # An older version each time: no way round and round.
        if len(patches) == most or len(before) != VERSION_SIZE or before >= version:
            raise ValueError("is damaged")
        patch = content[VERSION_SIZE:]
        if patch[:1] == RESIZED and LARGE < kind < INNER:
            kind = patch[1] if len(patch) > 1 else 0
            if not LARGE < kind <= BUNDLE[0]:
                raise ValueError("is damaged")
            size = content_size(kind)
        patches.append((version, patch))
        below = before + below
        version = before
        record = get(node_stem + version)
    if patches and kind == INNER:
        content = _patched_inner(content, patches)
    elif patches:
        content = (_patched_large if kind > LARGE else _patched_bundle)(content, kind, patches)
    if len(content) != content_size(wanted):
        raise ValueError("is damaged")
    return content, below


def _patched_inner(content: bytes, patches: Sequence[tuple[bytes, bytes]]) -> bytes:
    node = bytearray(content)
    for version, patch in reversed(patches):
        previous = -1
        for at in range(0, len(patch), CHILD_PATCH):
            n, count = patch[at], patch[at + CHILD_PATCH - 1] if at + CHILD_PATCH <= len(patch) else 0
            if not previous < n < 16 or at + CHILD_PATCH > len(patch):
                raise ValueError("is damaged")
            previous = n
            node[HASH_SLICES[n]] = patch[at + 1 : at + 1 + HASH_SIZE]
            node[COUNTS + n] = count
            node[VERSION_SLICES[n]] = version if count else bytes(VERSION_SIZE)
    return bytes(node)


def _patched_bundle(content: bytes, count: int, patches: Sequence[tuple[bytes, bytes]]) -> bytes:
    values: dict[int, bytes] = {}
    for _, patch in reversed(patches):
        previous = -1
        for at in range(0, len(patch), LEAF_PATCH):
            place = patch[at]
            if not previous < place < count or at + LEAF_PATCH > len(patch):
                raise ValueError("is damaged")
            previous = place
            values[place] = patch[at + 1 : at + LEAF_PATCH]
    leaves = [content[at : at + LEAF_SIZE] for at in range(0, len(content), LEAF_SIZE)]
    for place, value in values.items():
        leaves[place] = leaf_entry(leaves[place][:HASH_SIZE], value)
    return b"".join(leaves)


def _patched_large(content: bytes, count: int, patches: Sequence[tuple[bytes, bytes]]) -> bytes:
    leaves = [content[at : at + LEAF_SIZE] for at in range(0, count * LEAF_SIZE, LEAF_SIZE)]
    hashes = bytearray(content[count * LEAF_SIZE :])
    for _, patch in reversed(patches):
        at, previous = 0, -1
        if patch[:1] == RESIZED:
            if patch[1] != len(leaves):
                raise ValueError("is damaged")
            leaves, at = _resized(leaves, patch)
            previous = CHILD_MARK - 1  # only children's hashes may follow
        for start in range(at, len(patch), LEAF_PATCH):
            place, value = patch[start], patch[start + 1 : start + LEAF_PATCH]
            exists = place < len(leaves) or place >= CHILD_MARK
            if not exists or place <= previous or len(value) != HASH_SIZE:
                raise ValueError("is damaged")
            previous = place
            if place >= CHILD_MARK:
                hashes[HASH_SLICES[place - CHILD_MARK]] = value
            else:
                leaves[place] = leaf_entry(leaves[place][:HASH_SIZE], value)
    return b"".join((*leaves, hashes))


def _resized(leaves: list[bytes], patch: bytes) -> tuple[list[bytes], int]:
    """Return the leaves after those of the patch went and came, in path order, and where its children's hashes begin."""
    at, previous = 2, -1
    gone: dict[int, None] = {}
    while patch[at : at + 1] == GONE:
        place = patch[at + 1] if at + 1 < len(patch) else -1
        if not previous < place < len(leaves):
            raise ValueError("is damaged")
        gone[place] = None
        at, previous = at + 2, place
    found = {leaf[:HASH_SIZE]: leaf for place, leaf in enumerate(leaves) if place not in gone}
    last = b""
    while patch[at : at + 1] == COME:
        path, value = patch[at + 1 : at + 1 + HASH_SIZE], patch[at + 1 + HASH_SIZE : at + 1 + 2 * HASH_SIZE]
        if len(value) != HASH_SIZE or path <= last or path in found:
            raise ValueError("is damaged")
        found[path] = leaf_entry(path, value)
        at, last = at + 1 + 2 * HASH_SIZE, path
    return [found[path] for path in sorted(found)], at


def leaf_patches(old: bytes | bytearray, new: bytes) -> list[bytes] | None:
    """Return what makes one bundle's leaves another's, None if they are not of the same paths."""
    if len(old) != len(new):
        return None
    patches = []
    for at in range(0, len(old), LEAF_SIZE):
        if old[at : at + HASH_SIZE] != new[at : at + HASH_SIZE]:
            return None
        value = new[at + HASH_SIZE : at + 64]
        if value != old[at + HASH_SIZE : at + 64]:
            patches.append(ONE_BYTE[at // LEAF_SIZE] + value)
    return patches


def bundle_hash(record: bytes | bytearray, depth: int) -> bytes:
    """Return the hash of the subtree at `depth` that holds exactly the leaves of `record`, versions after them left out.

    Most leaves part at once from their neighbours: their slots are filled in one pass, and then those that several share.
    """
    count = len(record) // LEAF_SIZE
    if count < 2:
        return bytes(record[64:LEAF_SIZE]) if count else ZERO_HASH
    node = bytearray(NODE_SIZE)
    byte = depth >> 1
    slots = LOW_SLOTS if depth & 1 else HIGH_SLOTS
    previous: slice | None = None
    shared: list[tuple[slice, int]] = []
    for at, part in LEAF_PARTS[count] if count <= LARGE else _leaf_parts(count):
        slot = slots[record[at + byte]]
        if slot is previous:
            shared.append((slot, at))
        else:
            node[slot] = record[part]
            previous = slot
    while shared:
        slot, end = shared.pop()
        start, end = end - LEAF_SIZE, end + LEAF_SIZE
        while shared and shared[-1][0] is slot:
            _, start = shared.pop()
            start -= LEAF_SIZE
        node[slot] = bundle_hash(record[start:end], depth + 1)
    state = node_state()
    state.update(node)
    return state.digest()


def child_hashes(leaves: bytes, depth: int) -> bytearray:
    """Return the hashes of the 16 children of the node at `depth` over `leaves`."""
    node = bytearray(NODE_SIZE)
    for n, group in split_bundle(leaves, depth):
        node[HASH_SLICES[n]] = bundle_hash(group, depth + 1)
    return node


def split_bundle(record: bytes, depth: int) -> list[tuple[int, bytes]]:
    """Return (nibble at `depth`, leaves) for each child that is not empty, ascending."""
    byte, odd = depth >> 1, depth & 1
    groups = []
    start, size = 0, len(record)
    while start < size:
        n = record[start + byte] & 15 if odd else record[start + byte] >> 4
        end = start + LEAF_SIZE
        while end < size and (record[end + byte] & 15 if odd else record[end + byte] >> 4) == n:
            end += LEAF_SIZE
        groups.append((n, record[start:end]))
        start = end
    return groups


def leaf_place(record: bytes | bytearray, path: bytes, start: int, stop: int) -> int:
    """Return the offset of the leaf at `path` between two offsets, -1 if it is not there."""
    at = record.find(path, start, stop)
    while at >= 0 and at % LEAF_SIZE:  # the bytes of a path across a boundary: not in this universe
        at = record.find(path, at + 1, stop)
    return at


def fits(leaves: bytes, depth: int) -> bool:
    """Whether exactly these leaves are a bundle at `depth`, and not an inner node."""
    count = len(leaves) // LEAF_SIZE
    if count <= LARGE or count > BUNDLE[depth]:
        return count <= BUNDLE[depth]
    starts = _starts(leaves, depth)
    return count <= CROWD or max([last - first for first, last in pairwise(starts)]) <= CROWD


def _starts(leaves: bytes, depth: int) -> list[int]:
    nibbles = leaves[depth >> 1 :: LEAF_SIZE].translate(LOW_NIBBLES if depth & 1 else HIGH_NIBBLES)
    return list(accumulate([nibbles.count(n) for n in range(16)], initial=0))


def with_starts(content: bytes, count: int, depth: int, versions: bytes | bytearray = b"") -> bytes:
    """Return a large bundle in the form it has in memory: leaves, hashes, STARTS_SIZE bytes, and the versions it lies on."""
    return b"".join((content, bytes(_starts(content[: count * LEAF_SIZE], depth)), versions))


def bundle_with(record: bytes, path: bytes, entry: bytes | None) -> bytes:
    """Return `record` with the leaf at `path` replaced, inserted or (entry None) removed."""
    at = leaf_place(record, path, 0, len(record))
    if at >= 0:
        return record[:at] + (entry or b"") + record[at + LEAF_SIZE :]
    if entry is None:
        return record
    at, size = 0, len(record)
    while at < size and record[at : at + HASH_SIZE] < path:
        at += LEAF_SIZE
    return record[:at] + entry + record[at:]


def check_record(record: bytes, ref: NodeRef, node_stem: bytes) -> str:
    """Return what is wrong with the content of a node, "" if it is the one `ref` means.

    Everything is recomputed: leaf hashes, order, prefixes and the subtree's hash.
    """
    if ref.leaves == INNER:
        for n in range(16):
            if (record[HASH_SLICES[n]] == ZERO_HASH) is not (record[COUNTS + n] == 0):
                return "disagrees with itself about its children"
        return "" if hash_tree_node(record[:NODE_SIZE]) == ref.digest else "has another hash"
    depth, previous = node_stem[1], b""
    size = ref.leaves * LEAF_SIZE
    for at in range(0, size, LEAF_SIZE):
        path = record[at : at + HASH_SIZE]
        if path <= previous or stem(path, depth) != node_stem:
            return "holds leaves in a wrong place"
        if hash_tree_leaf(record[at : at + 64]) != record[at + 64 : at + 96]:
            return "holds a leaf with another hash"
        previous = path
    leaves, hashes = record[:size], record[size:]
    if hashes and child_hashes(leaves, depth) != hashes:
        return "disagrees with itself about its children"
    return "" if bundle_hash(leaves, depth) == ref.digest else "has another hash"
