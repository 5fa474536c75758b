"""One batch of changes to the tree, as a pure computation.

The hottest code of the ledger: per changed leaf about one bundle and half an inner
node are rebuilt, hashed and recorded. Measurements and the reasons for the layout are
in benchmarks/tree.py; `benchmarks/test_ledger.py` guards them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from ledger.keys import VERSION_SIZE, version_key
from ledger.tree_nodes import (
    BUNDLE,
    COUNTS,
    EMPTY_REF,
    HASH_SLICES,
    HIGH_NIBBLE,
    INNER,
    INNER_SIZE,
    LEAF_SIZE,
    MERGE,
    NODE_HEADS,
    NODE_SIZE,
    ROOT_STEM,
    VERSION_SLICES,
    VERSIONS,
    NodeRef,
    bundle_hash,
    bundle_with,
    child_ref,
    child_stem,
    split_bundle,
)
from qenex.hashing import HASH_SIZE

_leaf_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tleaf").copy
_node_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tnode").copy

_NO_VERSION = bytes(VERSION_SIZE)
"""Beside an empty child: no byte of a record is left to chance, so a check can find any that changed."""

_SCAN = 16
"""Up to this many changes a child's share is found by looking at each, above by bisection."""

Find = Callable[[bytes], bytes | None]
"""Stem -> record of the base version's node, if it is in memory."""
Changes = dict[bytes, bytes | None] | Sequence[tuple[bytes, bytes | None]]
"""Value hash (None: delete) by path, each path once. A dict spares a tuple for every leaf."""
Load = Callable[[bytes, NodeRef], bytes]
"""(stem, reference) -> record of a node that is not in memory."""


class TreeUpdate(NamedTuple):
    """A new version of the tree, computed and not yet written. Dropping it undoes it."""

    version: int
    base_version: int | None
    root: bytes
    """State root of `version`."""
    ref: NodeRef
    inner: dict[bytes, bytes]
    """New inner nodes by stem."""
    bundles: dict[bytes, bytes]
    """New bundles by stem."""
    stale: list[bytes]
    """Whole keys of nodes that this version no longer uses."""


def planted(version: int, leaves: bytes, node_stem: bytes) -> tuple[dict[bytes, bytes], bytes, int]:
    """Return the records of a subtree of exactly these leaves (entries of 96 bytes in path order), its hash and kind.

    The kind is what the parent says of it: the number of leaves of a bundle, or INNER.
    """

    def nothing(key: bytes, ref: NodeRef | None = None) -> bytes:
        raise LookupError(key.hex())

    nowhere: dict[bytes, bytes] = {}
    updater = Updater(version, (), (nowhere.get, nowhere.get, nowhere.get), nothing)
    digest, count = updater.plant(leaves, node_stem)
    return updater.inner | updater.bundles, digest, count


class Updater:
    """State of one update. `run` yields now and then, so that a caller may give way to others."""

    def __init__(
        self,
        version: int,
        changes: Changes,
        finds: tuple[Find, Find, Find],
        load: Load,
    ) -> None:
        by_path = changes if isinstance(changes, dict) else dict(changes)
        if len(by_path) != len(changes):
            raise ValueError("a path is changed twice in one update")
        self.paths = sorted(by_path)
        self.entries: list[bytes | None] = []
        append = self.entries.append
        for path in self.paths:
            value = by_path[path]
            if value is None:
                append(None)
                continue
            body = path + value
            state = _leaf_state()
            state.update(body)
            append(body + state.digest())
        self.deleting = None in self.entries
        self.version = version
        self.version_bytes = version_key(version)
        self.inner: dict[bytes, bytes] = {}
        self.bundles: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []
        self._finds = finds
        self._load = load

    def run(self, base_version: int | None, base: NodeRef) -> Iterator[None]:
        """Compute; the result is then in `result`. Yields after each child of the root."""
        self.result = TreeUpdate(
            self.version, base_version, base.digest, base, self.inner, self.bundles, self.stale
        )
        paths, total = self.paths, len(self.paths)
        if not total:
            return
        if base.leaves == INNER or (not base.leaves and total > BUNDLE):
            record = self._fetch(ROOT_STEM, base) if base.leaves else bytes(INNER_SIZE)
            node = bytearray(record)
            at, changed = 0, False
            while at < total:
                n = paths[at][0] >> 4
                end = total if n == 15 else bisect_left(paths, bytes(((n + 1) << 4,)), at)
                changed |= self._change(node, 0, at, end)
                at = end
                yield
            if not changed:
                return
            digest, count = self._seal(node, ROOT_STEM)
        else:
            record = self._fetch(ROOT_STEM, base) if base.leaves else b""
            leaves = self._edit(record, 0, total)
            if leaves == record:
                return
            digest, count = self.plant(leaves, ROOT_STEM)
        if base.leaves:
            self.stale.append(ROOT_STEM + version_key(base.version))
        ref = NodeRef(digest, count, self.version) if count else EMPTY_REF
        self.result = self.result._replace(root=digest, ref=ref)

    def _change(self, node: bytearray, depth: int, at: int, end: int) -> bool:
        """Apply changes[at:end], all below the node, to its buffer; return whether it changed."""
        paths = self.paths
        version = self.version_bytes
        byte, odd, below = depth >> 1, depth & 1, depth + 1
        entries, bundles, stale = self.entries, self.bundles, self.stale
        head = NODE_HEADS[below]
        pinned, young, old = self._finds
        changed = False
        while at < end:
            path = paths[at]
            n = path[byte] & 15 if odd else path[byte] >> 4
            # The changes for child n are [at, stop).
            stop = at + 1
            if n == 15:
                stop = end
            elif end - at > _SCAN:
                bound = path[:byte] + bytes((path[byte] + 1 if odd else (n + 1) << 4,))
                stop = bisect_left(paths, bound, stop, end)
            elif odd:
                while stop < end and paths[stop][byte] & 15 == n:
                    stop += 1
            else:
                while stop < end and paths[stop][byte] >> 4 == n:
                    stop += 1
            child = head + path[: byte + 1] if odd else head + path[:byte] + HIGH_NIBBLE[path[byte]]
            count = node[COUNTS + n]
            if count == INNER:
                record = pinned(child) or young(child) or old(child) or self._load(child, child_ref(node, n))
                buffer = bytearray(record)
                if not self._change(buffer, below, at, stop):
                    at = stop
                    continue
                stale.append(child + node[VERSION_SLICES[n]])
                digest, count = self._seal(buffer, child)
            elif count:
                record = young(child) or old(child) or self._load(child, child_ref(node, n))
                if stop == at + 1:
                    place, entry = record.find(path), entries[at]
                    if entry is not None and place >= 0 and not place % LEAF_SIZE:
                        leaves = record[:place] + entry + record[place + LEAF_SIZE :]
                    else:
                        leaves = bundle_with(record, path, entry)
                else:
                    leaves = self._edit(record, at, stop)
                if leaves == record:
                    at = stop
                    continue
                stale.append(child + node[VERSION_SLICES[n]])
                if len(leaves) <= BUNDLE * LEAF_SIZE:
                    digest, count = bundle_hash(leaves, below), len(leaves) // LEAF_SIZE
                    if count:
                        bundles[child] = leaves
                else:
                    digest, count = self.plant(leaves, child)
            else:
                fresh = [entry for entry in entries[at:stop] if entry is not None]
                if not fresh:
                    at = stop
                    continue
                if len(fresh) > BUNDLE:
                    buffer = bytearray(INNER_SIZE)
                    self._change(buffer, below, at, stop)
                    digest, count = self._seal(buffer, child)
                else:
                    digest, count = self.plant(b"".join(fresh), child)
            node[HASH_SLICES[n]] = digest
            node[COUNTS + n] = count
            node[VERSION_SLICES[n]] = version if count else _NO_VERSION
            changed = True
            at = stop
        return changed

    def _edit(self, record: bytes, at: int, end: int) -> bytes:
        """Return a bundle's leaves with changes[at:end] applied."""
        if not record:
            return b"".join(entry for entry in self.entries[at:end] if entry is not None)
        for i in range(at, end):
            record = bundle_with(record, self.paths[i], self.entries[i])
        return record

    def plant(self, leaves: bytes, node_stem: bytes) -> tuple[bytes, int]:
        """Record the subtree of exactly these leaves; return its hash and count."""
        depth = node_stem[1]
        count = len(leaves) // LEAF_SIZE
        if count <= BUNDLE:
            if count:
                self.bundles[node_stem] = leaves
            return bundle_hash(leaves, depth), count
        node = bytearray(INNER_SIZE)
        for n, group in split_bundle(leaves, depth):
            digest, count = self.plant(group, child_stem(node_stem, n))
            node[HASH_SLICES[n]] = digest
            node[COUNTS + n] = count
            node[VERSION_SLICES[n]] = self.version_bytes
        return self._record(node, node_stem)

    def _seal(self, node: bytearray, node_stem: bytes) -> tuple[bytes, int]:
        """Record a changed inner node, or the bundle that its last leaves now fit in."""
        if self.deleting:
            counts = node[COUNTS:VERSIONS]
            if INNER not in counts and sum(counts) <= MERGE:
                return self.plant(self._gather(node, node_stem), node_stem)
        return self._record(node, node_stem)

    def _record(self, node: bytearray, node_stem: bytes) -> tuple[bytes, int]:
        record = bytes(node)
        state = _node_state()
        state.update(record[:NODE_SIZE])
        self.inner[node_stem] = record
        return state.digest(), INNER

    def _gather(self, node: bytearray, node_stem: bytes) -> bytes:
        """Take the bundles below a node: new ones are no longer new, old ones are stale."""
        leaves = []
        for n in range(16):
            if node[COUNTS + n]:
                child = child_stem(node_stem, n)
                record = self.bundles.pop(child, None)
                if record is None:
                    record = self._fetch(child, child_ref(node, n))
                    self.stale.append(child + node[VERSION_SLICES[n]])
                leaves.append(record)
            else:
                node[VERSION_SLICES[n]] = _NO_VERSION
        return b"".join(leaves)

    def _fetch(self, node_stem: bytes, ref: NodeRef) -> bytes:
        # Pinned are inner nodes alone: one that has become a bundle leaves its last self there.
        for find in self._finds if ref.leaves == INNER else self._finds[1:]:
            if record := find(node_stem):
                return record
        return self._load(node_stem, ref)
