"""The versioned sparse Merkle tree over the state (protocol.md, "Tree").

A version is a block height. Computing one (`update`) writes nothing; `apply` puts its
nodes into the block's batch and `committed` moves them into the caches. Nodes are
never changed: a new version writes new nodes beside the old ones and lists those it
made obsolete, so that pruning reads one list per version and touches nothing else.

Nodes of the version written last stay in memory (`ledger.tree_cache`). Readers of any
version go to the store. An update may also be computed by another process
(`ledger.tree_builder`): then its nodes stay in memory there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgpack

from ledger.backends.base import Batch, Reader, StorageFault
from ledger.helpers import run_steps
from ledger.keys import ROOT, STALE, TREE_HORIZON, VERSION_SIZE, chunk_key, prefix_end, version_key
from ledger.tree_cache import DEFAULT_CACHE_BYTES, NodeCache
from ledger.tree_nodes import (
    CHECKSUM_SIZE,
    COUNTS,
    EMPTY_REF,
    HASH_SLICES,
    INNER,
    LARGE,
    LEAF_SIZE,
    ROOT_STEM,
    SMALL,
    WHOLE_SIZES,
    NodeRef,
    check_record,
    child_ref,
    child_stem,
    pack_ref,
    read_node,
    split_bundle,
    stem,
    unpack_ref,
    with_starts,
)
from ledger.tree_nodes import bundle_hash as _bundle_hash
from ledger.tree_update import Changes, Entries, TreeUpdate, Updater, entries_of
from qenex.errors import DataFolderCorrupt, NotFound, Pruned
from qenex.hashing import HASH_SIZE, ZERO_HASH
from qenex.proof import Terminal, TreeProof, hash_tree_leaf, hash_tree_node, nibble

PROGRESS_NODES = 4096


class Progress(NamedTuple):
    """How far a check has come."""

    nodes: int
    leaves: int


class Tree:
    """All kept versions of the tree in one store. One writer; readers in any thread."""

    def __init__(self, reader: Reader, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._reader = reader
        self._cache = NodeCache(cache_bytes)

    # -- writing a version -----------------------------------------------------------------

    def update(self, version: int, base_version: int | None, changes: Changes) -> TreeUpdate:
        """Compute `version` from `base_version` (None: the empty tree); write nothing.

        `changes` are (path, value hash, or None to delete), each path once, in any
        order. Deleting an absent path and writing the present value change nothing.
        Raises NotFound or Pruned for a base that is not there, ValueError for a path
        changed twice or a version not above its base, StorageFault.
        """
        return run_steps(self.update_in_steps(version, base_version, entries_of(changes)))

    def update_in_steps(
        self, version: int, base_version: int | None, entries: Entries
    ) -> Generator[None, None, TreeUpdate]:
        """`update` in at most 17 slices of about equal length; the generator returns the TreeUpdate."""
        if base_version is not None and version <= base_version:
            raise ValueError(f"version {version} is not above its base {base_version}")
        updater = Updater(version, entries, self._cache.finds(base_version), self.load)
        for _ in updater.run(base_version, self.base(base_version)):
            yield
        return updater.result()

    def base(self, version: int | None) -> NodeRef:
        """Return what an update of `version` (None: the empty tree) builds on. Raises NotFound, Pruned, StorageFault."""
        return EMPTY_REF if version is None else self._ref(self._reader, version)

    def load(self, node_stem: bytes, version: bytes, kind: int) -> bytes:
        """Read a node that an update is about to replace, in the form it has in memory: not worth caching.

        `version` and `kind` are what its parent says of it. Raises StorageFault.
        """
        return _in_memory(node_stem, kind, *_read_node(self._reader.get, node_stem, version, kind))

    def load_many(self, wanted: Iterable[tuple[bytes, bytes, int]]) -> list[bytes]:
        """`load` for many, best in the order of their stems: their newest records are read together."""
        nodes = list(wanted)
        keys = [node_stem + version for node_stem, version, _ in nodes]
        records = self._reader.get_many(keys)
        get = self._reader.get
        found: list[bytes] = []
        for (node_stem, version, kind), key, record in zip(nodes, keys, records, strict=True):
            if record is not None and len(record) == WHOLE_SIZES[kind]:  # as most are
                content = record if kind <= SMALL else record[:-CHECKSUM_SIZE]
                found.append(_in_memory(node_stem, kind, content, b"") if LARGE < kind < INNER else content)
                continue

            def find(wanted: bytes, key: bytes = key, record: bytes | None = record) -> bytes | None:
                return record if wanted == key else get(wanted)

            found.append(_in_memory(node_stem, kind, *_read_node(find, node_stem, version, kind)))
        return found

    def apply(self, batch: Batch, update: TreeUpdate) -> None:
        """Put the nodes, the reference to the root and the list of stale nodes into `batch`."""
        put = batch.put
        for key, record in update.records.items():
            put(key, record)
        for number, keys in enumerate(update.stale):
            put(chunk_key(STALE, update.version, number), keys)
        put(ROOT + version_key(update.version), pack_ref(update.ref))

    def committed(self, update: TreeUpdate) -> None:
        """Move the nodes of an applied update into the cache.

        Call it once the batch is certain to be written: after the write, or before it
        if a failed write ends the process.
        """
        self._cache.advance(update)

    # -- reading ---------------------------------------------------------------------------

    def root(self, version: int, *, reader: Reader | None = None) -> bytes:
        """Return the state root of `version`. Raises NotFound, Pruned, StorageFault."""
        return self._ref(reader or self._reader, version).digest

    def oldest_version(self, *, reader: Reader | None = None) -> int:
        """Return the pruning horizon: versions below it are gone."""
        record = (reader or self._reader).get(TREE_HORIZON)
        return int.from_bytes(record or b"", "big")

    def leaf(self, version: int, path: bytes, *, reader: Reader | None = None) -> bytes | None:
        """Return the value hash at `path`, None if there is none. Raises NotFound, Pruned, StorageFault."""
        reader = reader or self._reader
        ref = self._ref(reader, version)
        depth = 0
        while ref.leaves == INNER:
            record = self._read(reader, stem(path, depth), ref)
            ref = child_ref(record, nibble(path, depth))
            depth += 1
        if not ref.leaves:
            return None
        record = self._read(reader, stem(path, depth), ref)
        for at in range(0, len(record), LEAF_SIZE):
            if record[at : at + HASH_SIZE] == path:
                return record[at + 32 : at + 64]
        return None

    def prove(self, reader: Reader, version: int, path: bytes) -> TreeProof:
        """Return the proof of membership or absence of `path` in `version`.

        Raises NotFound, Pruned, StorageFault.
        """
        ref = self._ref(reader, version)
        bitmaps: list[int] = []
        siblings: list[bytes] = []

        def level(children: Sequence[bytes], own: int) -> None:
            bitmap = 0
            for n, digest in enumerate(children):
                if n != own and digest != ZERO_HASH:
                    bitmap |= 1 << n
                    siblings.append(digest)
            bitmaps.append(bitmap)

        while ref.leaves == INNER:
            depth = len(bitmaps)
            record = self._read(reader, stem(path, depth), ref)
            own = nibble(path, depth)
            level([record[part] for part in HASH_SLICES], own)
            ref = child_ref(record, own)
        leaves = self._read(reader, stem(path, len(bitmaps)), ref) if ref.leaves else b""
        while len(leaves) > LEAF_SIZE:
            depth = len(bitmaps)
            own = nibble(path, depth)
            groups = dict(split_bundle(leaves, depth))
            level([_bundle_hash(groups.get(n, b""), depth + 1) for n in range(16)], own)
            leaves = groups.get(own, b"")
        if not leaves:
            return TreeProof(tuple(bitmaps), tuple(siblings), Terminal.EMPTY)
        if leaves[:HASH_SIZE] == path:
            return TreeProof(tuple(bitmaps), tuple(siblings), Terminal.LEAF)
        return TreeProof(
            tuple(bitmaps), tuple(siblings), Terminal.OTHER_LEAF, leaves[:HASH_SIZE], leaves[32:64]
        )

    def iterate_leaves(
        self, version: int, prefix: str = "", *, reader: Reader | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (path, value hash) in path order of the leaves whose path in hex starts with `prefix`.

        Raises NotFound, Pruned, StorageFault.
        """
        reader = reader or self._reader
        for node_stem, ref, record in self._walk(reader, version, prefix):
            if ref.leaves == INNER:
                continue
            inside = node_stem[1] >= len(prefix)
            for at in range(0, len(record), LEAF_SIZE):
                path = record[at : at + HASH_SIZE]
                if inside or path.hex().startswith(prefix):
                    yield path, record[at + 32 : at + 64]

    def verify_all(self, version: int, *, reader: Reader | None = None) -> Iterator[Progress]:
        """Read and re-hash every node of `version` from the store.

        Yields progress, last the totals. Raises DataFolderCorrupt at the first node that
        is missing or is not what its parent says, and for an unreadable store; NotFound
        and Pruned as the other readers.
        """
        nodes = leaves = 0
        try:
            for _, ref, _ in self._walk(reader or self._reader, version, "", checked=True):
                nodes += 1
                leaves += 0 if ref.leaves == INNER else ref.leaves
                if not nodes % PROGRESS_NODES:
                    yield Progress(nodes, leaves)
        except StorageFault as fault:
            raise DataFolderCorrupt(fault.message) from fault
        yield Progress(nodes, leaves)

    # -- pruning ---------------------------------------------------------------------------

    def prune(self, batch: Batch, below: int, limit: int) -> int:
        """Delete, into `batch`, about `limit` records that only versions below `below` need.

        Those versions are unreadable from this batch on, whatever is left to delete.
        Returns the number of deletions; below `limit` means that all is done. Deletes
        whole lists of up to 1,024 keys, so it may exceed `limit` by one list. The newest version always stays.
        """
        reader = self._reader
        newest = next(reader.iterate(ROOT, prefix_end(ROOT), reverse=True), None)
        if newest is None:
            return 0
        horizon = max(min(below, int.from_bytes(newest[0][1:], "big")), self.oldest_version())
        batch.put(TREE_HORIZON, version_key(horizon))
        done = 0
        for key, record in reader.iterate(chunk_key(STALE, 0, 0), chunk_key(STALE, horizon + 1, 0)):
            if done >= limit:
                return done
            keys = msgpack.unpackb(record)
            batch.delete_many(keys)
            batch.delete(key)
            done += len(keys) + 1
        for key, _ in reader.iterate(ROOT + version_key(0), ROOT + version_key(horizon)):
            if done >= limit:
                return done
            batch.delete(key)
            done += 1
        return done

    # -- inside ----------------------------------------------------------------------------

    def _ref(self, reader: Reader, version: int) -> NodeRef:
        if not 0 <= version < 1 << 8 * VERSION_SIZE:
            raise NotFound(f"there is no state version {version}")
        horizon, record = reader.get_many((TREE_HORIZON, ROOT + version_key(version)))
        if horizon is not None and version < int.from_bytes(horizon, "big"):
            raise Pruned(f"state version {version} is no longer kept")
        if record is None:
            raise NotFound(f"there is no state version {version}")
        try:
            return unpack_ref(record)
        except ValueError as error:
            raise StorageFault(f"the root record of version {version} is damaged: {error}") from error

    def _read(self, reader: Reader, node_stem: bytes, ref: NodeRef) -> bytes:
        """Read an inner node, or a bundle's leaves, from the store. Flipped bits are the store's checksums' business here."""
        content, _ = _read_node(reader.get, node_stem, version_key(ref.version), ref.leaves)
        return content if ref.leaves == INNER else content[: ref.leaves * LEAF_SIZE]

    def _read_checked(self, reader: Reader, node_stem: bytes, ref: NodeRef) -> bytes:
        """`_read`, and recompute all that the node says."""
        content, _ = _read_node(reader.get, node_stem, version_key(ref.version), ref.leaves, checked=True)
        if wrong := check_record(content, ref, node_stem):
            raise _node_fault(node_stem, ref.version, wrong)
        return content if ref.leaves == INNER else content[: ref.leaves * LEAF_SIZE]

    def _walk(
        self, reader: Reader, version: int, prefix: str, *, checked: bool = False
    ) -> Iterator[tuple[bytes, NodeRef, bytes]]:
        """Yield (stem, reference, record) of all nodes on or below the prefix, parents first, in path order."""
        fetch = self._read_checked if checked else self._read
        ref = self._ref(reader, version)
        waiting = [(ROOT_STEM, ref)] if ref.leaves else []
        while waiting:
            node_stem, ref = waiting.pop()
            record = fetch(reader, node_stem, ref)
            yield node_stem, ref, record
            if ref.leaves == INNER:
                depth = node_stem[1]
                wanted = range(15, -1, -1) if depth >= len(prefix) else (int(prefix[depth], 16),)
                waiting.extend(
                    (child_stem(node_stem, n), child_ref(record, n)) for n in wanted if record[COUNTS + n]
                )


def _in_memory(node_stem: bytes, kind: int, content: bytes, below: bytes) -> bytes:
    if LARGE < kind < INNER:
        return with_starts(content, kind, node_stem[1], below)
    return content + below if below else content


def _read_node(
    get: Callable[[bytes], bytes | None],
    node_stem: bytes,
    version: bytes,
    kind: int,
    *,
    checked: bool = False,
) -> tuple[bytes, bytes]:
    try:
        return read_node(get, node_stem, version, kind, checked=checked)
    except ValueError as error:
        raise _node_fault(node_stem, int.from_bytes(version, "big"), str(error)) from None


def _node_fault(node_stem: bytes, version: int, wrong: str) -> StorageFault:
    place = node_stem[2:].hex()[: node_stem[1]]
    return StorageFault(f"the tree node {place or 'root'!r} of version {version} {wrong}")


def rebuild_root(leaves: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """Return the root of {path: value hash} by the definition in protocol.md, word for word.

    Shares nothing with the code above: what checks measure it against.
    """
    if not leaves:
        return ZERO_HASH
    if len(leaves) == 1:
        ((path, value),) = leaves.items()
        return hash_tree_leaf(path + value)
    groups: list[dict[bytes, bytes]] = [{} for _ in range(16)]
    for path, value in leaves.items():
        groups[nibble(path, depth)][path] = value
    return hash_tree_node(b"".join(rebuild_root(group, depth + 1) for group in groups))
