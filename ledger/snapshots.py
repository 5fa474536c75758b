"""A snapshot of one state version: what it consists of, how it is made, and how each part is checked. No files here.

The state's tree is cut at a depth d (0 to 4 nibbles). The *manifest* has, for each subtree at depth d that is not
empty, its hash and number of leaves: all nodes above follow from these, up to the root that the header of the next
height carries. A *chunk* has the entries of one such subtree in path order, as `[key, value, key, value, ...]`, and is
checked by itself against its hash in the manifest. So whoever has the root from a verified header can take the
parts from anybody, in any order.

d is the least depth at which no chunk is larger than `CHUNK_TARGET`; chunks never exceed `MAX_CHUNK` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import Final, NamedTuple, Protocol

import msgpack

from ledger.backend import Reader
from ledger.tree_nodes import (
    COUNTS,
    HASH_SLICES,
    INNER,
    INNER_SIZE,
    NODE_SIZE,
    ROOT_STEM,
    VERSION_SLICES,
    bundle_hash,
    child_stem,
    leaf_entry,
    sealed,
)
from ledger.versions import Versions
from qenex.codec import MAX_VALUE_SIZE, decode, encode
from qenex.errors import MalformedBytes, QenexError, SnapshotInvalid, SnapshotTooLarge
from qenex.hashing import ZERO_HASH, hasher
from qenex.proof import hash_tree_node, tree_path, value_hash

SCHEMA: Final = 1
MAX_CUT: Final = 4
"""Deepest cut in nibbles: 65,536 chunks."""
MAX_CHUNKS: Final = 16**MAX_CUT
CHUNK_TARGET: Final = 256 * 1024
MAX_CHUNK: Final = 1024 * 1024
MIN_ENTRY: Final = 7
"""Bytes of the smallest possible entry of a chunk: a key of two bytes, a value of one, their heads."""
STEP: Final = 250
"""Entries handled in one step: about 1 ms."""
SPILL_BYTES: Final = 32 << 20
"""Entries in memory while a snapshot is made; beyond that they go to the spill."""

NO_KINDS: Final[Mapping[int, int]] = {}
_SLOT: Final = Struct(">HII32s")
MAX_MANIFEST: Final = MAX_CHUNKS * _SLOT.size + 256

manifest_hash = hasher("qx.snapshot")
"""Identity of a snapshot: hash of its manifest's bytes."""

Entry = tuple[bytes, bytes, bytes]
"""(path, key, encoded value)."""


class Slot(NamedTuple):
    """One chunk: its place (the first d nibbles of its paths as a number), entries, bytes, and its subtree's hash."""

    prefix: int
    leaves: int
    size: int
    digest: bytes


class Manifest(NamedTuple):
    """See the module. `height`: the state after this block."""

    chain_id: str
    height: int
    cut: int
    slots: tuple[Slot, ...]

    @property
    def size(self) -> int:
        """Bytes of all chunks."""
        return sum([slot.size for slot in self.slots])

    @property
    def entries(self) -> int:
        """State entries in all chunks."""
        return sum([slot.leaves for slot in self.slots])


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical record `[schema, chain_id, height, cut, slots]`."""
    slots = b"".join([_SLOT.pack(*slot) for slot in manifest.slots])
    return encode((SCHEMA, manifest.chain_id, manifest.height, manifest.cut, slots))


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest strictly; what its hashes lead to is for `check_manifest`. Raises SnapshotInvalid."""
    if len(data) > MAX_MANIFEST:
        raise SnapshotInvalid(f"a manifest of {len(data)} bytes, at most {MAX_MANIFEST} are possible")
    try:
        plain = decode(data, max_size=MAX_MANIFEST, max_items=8)
    except QenexError as error:
        raise SnapshotInvalid(f"a manifest: {error.message}") from None
    if type(plain) is not tuple or len(plain) != 5 or plain[0] != SCHEMA:
        raise SnapshotInvalid("a manifest is [1, chain id, height, cut, slots]")
    _, chain_id, height, cut, blob = plain
    if (
        type(chain_id) is not str
        or type(height) is not int
        or type(cut) is not int
        or type(blob) is not bytes
    ):
        raise SnapshotInvalid("a manifest is [1, chain id, height, cut, slots]")
    if not 0 <= height < 1 << 64 or not 0 <= cut <= MAX_CUT or len(blob) % _SLOT.size:
        raise SnapshotInvalid("a manifest has a height, a cut of 0 to 4 and slots of 42 bytes")
    slots = tuple([Slot(*fields) for fields in _SLOT.iter_unpack(blob)])
    previous = -1
    for slot in slots:
        if not previous < slot.prefix < 16**cut:
            raise SnapshotInvalid("the slots of a manifest ascend below 16^cut")
        if (
            not 1 <= slot.leaves <= slot.size // MIN_ENTRY
            or slot.size > MAX_CHUNK
            or slot.digest == ZERO_HASH
        ):
            raise SnapshotInvalid("a slot's sizes are impossible")
        previous = slot.prefix
    return Manifest(chain_id, height, cut, slots)


def check_manifest(manifest: Manifest, chain_id: str, height: int, root: bytes) -> None:
    """Raise SnapshotInvalid unless this is a snapshot of the state with this root, after `height`."""
    if (manifest.chain_id, manifest.height) != (chain_id, height):
        raise SnapshotInvalid(
            f"a snapshot of {manifest.chain_id[:64]!a} at {manifest.height}, wanted {chain_id!a} at {height}"
        )
    digest, _ = upper_nodes(manifest)
    if digest != root:
        raise SnapshotInvalid(f"the manifest leads to another root than that of height {height}")


def upper_nodes(
    manifest: Manifest,
    emit: Callable[[bytes, bytes], None] | None = None,
    version: bytes = bytes(8),
    kinds: Mapping[int, int] = NO_KINDS,
) -> tuple[bytes, int]:
    """Return hash and kind (as in a node's reference) of the root over a manifest's slots.

    `emit` is given stem and record of each node above the cut, as the tree stores it, written by `version`; `kinds` has
    the kind of each slot's subtree, by prefix. The hash does not depend on them.
    """
    cut = manifest.cut

    def fold(slots: Sequence[Slot], depth: int, stem: bytes) -> tuple[bytes, int]:
        if len(slots) == 1 and (slots[0].leaves == 1 or depth == cut):
            # One leaf alone stands for the whole subtree, however high.
            return slots[0].digest, kinds.get(slots[0].prefix, INNER)
        node = bytearray(INNER_SIZE)
        shift = 4 * (cut - depth - 1)
        for n, group in groupby(slots, key=lambda slot: slot.prefix >> shift & 15):
            digest, kind = fold(tuple(group), depth + 1, child_stem(stem, n))
            node[HASH_SLICES[n]] = digest
            node[COUNTS + n] = kind
            node[VERSION_SLICES[n]] = version
        if emit is not None:
            emit(stem, sealed(bytes(node)))
        return hash_tree_node(bytes(node[:NODE_SIZE])), INNER

    return fold(manifest.slots, 0, ROOT_STEM) if manifest.slots else (ZERO_HASH, 0)


def places(manifest: Manifest) -> list[bytes]:
    """Return, for each slot, the stem under which its subtree hangs in the tree.

    That is the cut, but for one leaf alone, which hangs where its path parts from all others.
    """
    cut, slots = manifest.cut, manifest.slots
    found = []
    for index, slot in enumerate(slots):
        depth = cut
        if slot.leaves == 1:
            near = [slots[at].prefix for at in (index - 1, index + 1) if 0 <= at < len(slots)]
            depth = max([_common(slot.prefix, other, cut) + 1 for other in near], default=0)
        stem = ROOT_STEM
        for level in range(depth):
            stem = child_stem(stem, slot.prefix >> 4 * (cut - level - 1) & 15)
        found.append(stem)
    return found


def _common(one: int, other: int, cut: int) -> int:
    """Leading nibbles that two prefixes of `cut` nibbles share."""
    return cut - ((one ^ other).bit_length() + 3) // 4


# -- chunks ----------------------------------------------------------------------------------


def encode_chunk(entries: Sequence[Entry]) -> bytes:
    """Entries in path order as a chunk."""
    flat: list[bytes] = []
    for _, key, value in entries:
        flat += (key, value)
    packed: bytes = msgpack.packb(flat)
    return packed


class Chunk(NamedTuple):
    """A checked chunk: its entries, and their leaves as a node of the tree holds them (96 bytes each)."""

    entries: tuple[tuple[bytes, bytes], ...]
    leaves: bytes


def check_chunk(manifest: Manifest, index: int, data: bytes) -> Chunk:
    """Return a chunk's contents after checking them against its slot's hash. Raises SnapshotInvalid."""
    if not 0 <= index < len(manifest.slots):
        raise SnapshotInvalid(f"there is no chunk {index} of {len(manifest.slots)}")
    slot, cut = manifest.slots[index], manifest.cut
    if len(data) != slot.size:
        raise SnapshotInvalid(f"chunk {index} has {len(data)} bytes, not {slot.size}")
    try:
        # The limits keep a short input from announcing long arrays.
        flat = msgpack.unpackb(
            data, use_list=True, raw=False, max_array_len=2 * slot.leaves, max_bin_len=MAX_VALUE_SIZE,
            max_str_len=0, max_map_len=0, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise SnapshotInvalid(f"chunk {index} is not in its encoding: {str(error)[:80]}") from None
    if (
        type(flat) is not list
        or len(flat) != 2 * slot.leaves
        or not all(type(item) is bytes for item in flat)
    ):
        raise SnapshotInvalid(f"chunk {index} is not {slot.leaves} keys and values")
    if msgpack.packb(flat) != data:
        raise SnapshotInvalid(f"chunk {index} is not in its one encoding")
    entries = tuple(zip(flat[::2], flat[1::2], strict=True))
    leaves = []
    previous = b""
    for key, value in entries:
        path = tree_path(key)
        if path <= previous or prefix_of(path, cut) != slot.prefix:
            raise SnapshotInvalid(f"chunk {index} has an entry in a wrong place")
        leaves.append(leaf_entry(path, value_hash(value)))
        previous = path
    record = b"".join(leaves)
    if bundle_hash(record, cut) != slot.digest:
        raise SnapshotInvalid(f"chunk {index} has another hash than the manifest says")
    return Chunk(entries, record)


def prefix_of(path: bytes, cut: int) -> int:
    """The first `cut` nibbles of a path as a number."""
    return int.from_bytes(path[:2], "big") >> 4 * (MAX_CUT - cut)


# -- making ------------------------------------------------------------------------------------


class Sink(Protocol):
    """Where a snapshot in the making goes."""

    def spill(self, bucket: int, data: bytes) -> None:
        """Put entries of one of 256 buckets aside."""

    def spilled(self, bucket: int) -> bytes:
        """All that was put aside for a bucket, in order."""

    def chunk(self, data: bytes) -> None:
        """The next chunk."""


def make_in_steps(reader: Reader, chain_id: str, height: int, sink: Sink) -> Generator[None, None, Manifest]:
    """Make a snapshot of version `height` from an immutable picture of the store; return its manifest.

    Yields about every millisecond. Raises SnapshotTooLarge, Pruned, NotFound, StorageFault, and what `sink` raises.
    """
    versions = Versions(reader)
    sizes = [0] * MAX_CHUNKS
    for count, (key, value) in enumerate(versions.iterate(b"", b"\xff" * 8, height), 1):
        sizes[prefix_of(tree_path(key), MAX_CUT)] += _packed_size(key) + _packed_size(value)
        if not count % STEP:
            yield
    cut = _choose_cut(sizes)
    yield
    buckets = _Buckets(sink)
    for count, (key, value) in enumerate(versions.iterate(b"", b"\xff" * 8, height), 1):
        buckets.add((tree_path(key), key, value))
        if not count % STEP:
            yield
            if buckets.full:
                yield from buckets.put_aside()
    slots: list[Slot] = []
    for prefix, group in groupby(buckets.in_order(), key=lambda entry: prefix_of(entry[0], cut)):
        entries, leaves = [], []
        for entry in group:
            entries.append(entry)
            leaves.append(leaf_entry(entry[0], value_hash(entry[2])))
            if not len(entries) % STEP:
                yield
        data = encode_chunk(entries)
        sink.chunk(data)
        yield
        slots.append(Slot(prefix, len(entries), len(data), bundle_hash(b"".join(leaves), cut)))
        yield
    return Manifest(chain_id, height, cut, tuple(slots))


def _packed_size(data: bytes) -> int:
    size = len(data)
    return size + (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)


def _choose_cut(sizes: Sequence[int]) -> int:
    """The least cut at which every chunk is within the target. Raises SnapshotTooLarge."""
    largest = 0
    for cut in range(MAX_CUT + 1):
        width = 16 ** (MAX_CUT - cut)
        largest = 5 + max([sum(sizes[at : at + width]) for at in range(0, MAX_CHUNKS, width)])
        if largest <= CHUNK_TARGET:
            return cut
    if largest > MAX_CHUNK:
        raise SnapshotTooLarge(f"a chunk of {largest} bytes, at most {MAX_CHUNK} are possible")
    return MAX_CUT


class _Buckets:
    """Entries sorted by path with bounded memory: by first byte, in memory or put aside."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._entries: list[list[Entry]] = [[] for _ in range(256)]
        self._held = 0

    def add(self, entry: Entry) -> None:
        path, key, value = entry
        self._entries[path[0]].append(entry)
        self._held += len(key) + len(value) + 250  # three objects and a tuple besides their bytes

    @property
    def full(self) -> bool:
        """Whether it is time to put entries aside."""
        return self._held > SPILL_BYTES

    def put_aside(self) -> Iterator[None]:
        """Empty the memory, bucket by bucket."""
        for bucket, entries in enumerate(self._entries):
            if entries:
                self._sink.spill(bucket, b"".join([msgpack.packb(one) for one in entries]))
                entries.clear()
                yield
        self._held = 0

    def in_order(self) -> Iterator[Entry]:
        for bucket, held in enumerate(self._entries):
            entries = [*_unspill(self._sink.spilled(bucket)), *held]
            held.clear()
            entries.sort(key=itemgetter(0))
            yield from entries


def _unspill(data: bytes) -> Iterable[Entry]:
    unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    for entry in unpacker:
        if type(entry) is not tuple or len(entry) != 3:
            raise MalformedBytes("an entry put aside was changed")
        yield entry
