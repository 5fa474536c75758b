"""One batch of changes to the tree, as a pure computation.

The hottest code of the ledger: per changed leaf about one bundle and half an inner
node are rebuilt, hashed and recorded. Measurements and the reasons for the layout are
in benchmarks/tree.py; `benchmarks/test_ledger.py` guards them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from msgpack import packb

from ledger.keys import CHUNK, VERSION_SIZE, version_key
from ledger.tree_nodes import (
    BUNDLE,
    CHILD_MARKS,
    CHILD_PATCH,
    COME,
    COUNTS,
    CROWD,
    EMPTY_REF,
    GONE,
    HASH_SLICES,
    HIGH_NIBBLE,
    INNER,
    INNER_SIZE,
    LARGE,
    LARGE_PATCHES,
    LEAF_PATCH,
    LEAF_SIZE,
    MERGE,
    NODE_HEADS,
    NODE_SIZE,
    ONE_BYTE,
    PATCHES,
    RESIZED,
    ROOT_STEM,
    SMALL,
    STARTS_SIZE,
    VERSION_SLICES,
    VERSIONS,
    NodeRef,
    bundle_hash,
    bundle_with,
    child_hashes,
    child_stem,
    content_size,
    fits,
    leaf_entry,
    leaf_patches,
    leaf_place,
    node_state,
    sealed,
    split_bundle,
    with_starts,
)
from qenex.hashing import HASH_SIZE
from qenex.proof import nibble

_path_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tkey").copy
_value_state = blake2b(digest_size=HASH_SIZE, person=b"qx.value").copy
_leaf_state = blake2b(digest_size=HASH_SIZE, person=b"qx.tleaf").copy

_NO_VERSION = bytes(VERSION_SIZE)
"""Beside an empty child: no byte of a record is left to chance, so a check can find any that changed."""

_LONGEST = PATCHES * VERSION_SIZE
"""Bytes of versions after a node in memory that is under as many patches as it may be."""
_LONGEST_LARGE = LARGE_PATCHES * VERSION_SIZE
"""The same for a large bundle."""
_LONGEST_READ = VERSION_SIZE
"""The same for a node that had to be read: the next who reads it shall not have to read more than two records."""

_MOST_CHANGES = 3 * (INNER_SIZE // 2 // CHILD_PATCH)
"""Items (three for each child) of a patch of half the node's size: a larger one is not worth its reading."""

_FEW = 12
"""Up to this many changes of a bundle are made one after the other."""

_SCAN = 16
"""Up to this many changes a child's share is found by looking at each, above by bisection."""

Buffer = bytes | bytearray
Find = Callable[[bytes], Buffer | None]
"""Stem -> the base version's node, if it is in memory."""
Finds = tuple[Find, Find]
"""Look-ups of inner nodes and of bundles. What a node was before it became one of the other kind may stay where it was: only
the look-up of the kind that its parent names knows what it is now."""
Changes = dict[bytes, bytes | None] | Sequence[tuple[bytes, bytes | None]]
"""Value hash (None: delete) by path, each path once."""
Entries = dict[bytes, bytes | None]
"""The new leaf as it lies in a bundle (None: delete) by path."""
Load = Callable[[bytes, bytes, int], bytes]
"""(stem, version, kind) -> a node that is not in memory, in the form it has there."""


class TreeUpdate(NamedTuple):
    """A new version of the tree, computed and not yet written. Dropping it undoes it."""

    version: int
    base_version: int | None
    ref: NodeRef
    records: dict[bytes, bytes]
    """What is stored of its new nodes, by their whole keys."""
    stale: Sequence[bytes]
    """Whole keys of records that this version no longer uses, packed, up to CHUNK in each."""
    inner: dict[bytes, bytes]
    """New inner nodes by stem, as they stay in memory."""
    bundles: dict[bytes, Buffer]
    """New bundles by stem, as they stay in memory."""
    elsewhere: bool = False
    """Computed by another process: the nodes are in its memory, not here."""

    @property
    def root(self) -> bytes:
        """State root of `version`."""
        return self.ref.digest


def enter(entries: Entries, keys: Iterable[bytes], values: Iterable[bytes | None]) -> None:
    """Note the new encoded values (None: deleted) of state keys: 1.2 us each for three hashes.

    The bodies of `tree_path`, `value_hash` and `leaf_entry` stand here, calls cost 0.1.
    """
    for key, value in zip(keys, values, strict=True):
        state = _path_state()
        state.update(key)
        path = state.digest()
        if value is None:
            entries[path] = None
            continue
        state = _value_state()
        state.update(value)
        body = path + state.digest()
        state = _leaf_state()
        state.update(body)
        entries[path] = body + state.digest()


def entries_of(changes: Changes) -> Entries:
    """Return the leaves of changed paths. Raises ValueError for a path changed twice."""
    by_path = changes if isinstance(changes, dict) else dict(changes)
    if len(by_path) != len(changes):
        raise ValueError("a path is changed twice in one update")
    return {path: None if value is None else leaf_entry(path, value) for path, value in by_path.items()}


def planted(version: int, leaves: bytes, node_stem: bytes) -> tuple[dict[bytes, bytes], bytes, int]:
    """Return the records, by whole key, of a new subtree of exactly these leaves (96 bytes each, in path order), its hash and kind.

    The kind is what the parent says of it: the number of leaves of a bundle, or INNER.
    """

    def nothing(key: bytes, version: bytes = b"", kind: int = 0) -> bytes:
        raise LookupError(key.hex())

    nowhere: dict[bytes, bytes] = {}
    updater = Updater(version, {}, (nowhere.get, nowhere.get), nothing)
    digest, count = updater.plant(leaves, node_stem)
    return updater.records, digest, count


class Updater:
    """State of one update. `run` yields now and then, so that a caller may give way to others."""

    def __init__(
        self,
        version: int,
        entries: Entries,
        finds: Finds,
        load: Load,
    ) -> None:
        self.paths = sorted(entries)
        self.entries = [entries[path] for path in self.paths]
        self.deleting = None in self.entries
        self.version = version
        self.version_bytes = version_key(version)
        self.inner: dict[bytes, bytes] = {}
        self.bundles: dict[bytes, Buffer] = {}
        self.records: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []
        self._finds = finds
        self._load = load

    def run(self, base_version: int | None, base: NodeRef) -> Iterator[int]:
        """Compute; `result` has it then. Yields after each child of the root: how many of `paths` it has come through."""
        self.base_version, self.ref = base_version, base
        paths, total = self.paths, len(self.paths)
        if not total:
            return
        before = version_key(base.version) if base.leaves else b""
        record, longest = self._fetch(ROOT_STEM, before, base.leaves) if base.leaves else (b"", 0)
        if base.leaves == INNER or (not base.leaves and total > BUNDLE[0]):
            node = bytearray(record or INNER_SIZE)
            changes: list[bytes] = []
            at = 0
            while at < total:
                n = paths[at][0] >> 4
                end = total if n == 15 else bisect_left(paths, bytes(((n + 1) << 4,)), at)
                changes += self._change(node, 0, at, end)
                at = end
                yield at
            if not changes:
                return
            digest, count = self._seal(node, ROOT_STEM, before, changes, longest)
        elif base.leaves > LARGE:
            large = self._change_large(record, base.leaves, ROOT_STEM, before, 0, total, longest)
            if large is None:
                return
            digest, count = large
        else:
            leaves = self._edit(record[: base.leaves * LEAF_SIZE], 0, total)
            if leaves is None:
                return
            digest, count = self._renew(record, base.leaves, leaves, ROOT_STEM, before, longest)
        self.ref = NodeRef(digest, count, self.version) if count else EMPTY_REF

    def take_records(self) -> dict[bytes, bytes]:
        """Hand on the records so far, between two steps of `run`; `result` will not have them."""
        taken, self.records = self.records, {}
        return taken

    def result(self) -> TreeUpdate:
        """What `run` came to, once it has ended."""
        stale = [packb(self.stale[at : at + CHUNK]) for at in range(0, len(self.stale), CHUNK)]
        return TreeUpdate(
            self.version, self.base_version, self.ref, self.records, stale, self.inner, self.bundles
        )

    def _change(self, node: bytearray, depth: int, at: int, end: int) -> list[bytes]:
        """Apply changes[at:end], all below the node, to its buffer; return a patch of it: three items for each child changed."""
        paths = self.paths
        version = self.version_bytes
        byte, odd, below = depth >> 1, depth & 1, depth + 1
        entries, bundles, records, stale = self.entries, self.bundles, self.records, self.stale
        head = NODE_HEADS[below]
        inner_of, bundle_of = self._finds
        changes: list[bytes] = []
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
                record = inner_of(child)
                longest = _LONGEST
                if record is None:
                    record, longest = self._load(child, bytes(node[VERSION_SLICES[n]]), count), _LONGEST_READ
                buffer = bytearray(record)
                below_changes = self._change(buffer, below, at, stop)
                if not below_changes:
                    at = stop
                    continue
                digest, count = self._seal(buffer, child, node[VERSION_SLICES[n]], below_changes, longest)
            elif count > LARGE:
                record = bundle_of(child)
                longest = _LONGEST_LARGE
                if record is None:
                    record, longest = self._load(child, bytes(node[VERSION_SLICES[n]]), count), _LONGEST_READ
                large = self._change_large(record, count, child, node[VERSION_SLICES[n]], at, stop, longest)
                if large is None:
                    at = stop
                    continue
                digest, count = large
            elif count:
                record = bundle_of(child)
                longest = _LONGEST
                if record is None:
                    record, longest = self._load(child, bytes(node[VERSION_SLICES[n]]), count), _LONGEST_READ
                size = count * LEAF_SIZE
                entry = entries[at]
                place = record.find(path, 0, size) if stop == at + 1 else -1
                if (
                    place >= 0
                    and entry
                    and not place % LEAF_SIZE
                    and (count <= SMALL or len(record) < size + longest)
                ):
                    # One leaf has another value: what nearly all changes are.
                    leaves = record[:place] + entry + record[place + LEAF_SIZE :]
                    if leaves == record:
                        at = stop
                        continue
                    digest = bundle_hash(leaves, below)
                    before = node[VERSION_SLICES[n]]
                    if count <= SMALL:
                        stale.append(child + before)
                        bundles[child] = records[child + version] = bytes(leaves)
                    else:
                        patch = b"".join((before, ONE_BYTE[place // LEAF_SIZE], entry[HASH_SIZE:64]))
                        records[child + version] = sealed(patch)
                        bundles[child] = leaves + before
                else:
                    edited = self._edit(record[:size], at, stop)
                    if edited is None:
                        at = stop
                        continue
                    digest, count = self._renew(
                        record, count, edited, child, node[VERSION_SLICES[n]], longest
                    )
            else:
                fresh = [entry for entry in entries[at:stop] if entry is not None]
                if not fresh:
                    at = stop
                    continue
                if len(fresh) > BUNDLE[below]:
                    buffer = bytearray(INNER_SIZE)
                    below_changes = self._change(buffer, below, at, stop)
                    digest, count = self._seal(buffer, child, b"", below_changes, 0)
                else:
                    digest, count = self.plant(b"".join(fresh), child)
            node[HASH_SLICES[n]] = digest
            node[COUNTS + n] = count
            node[VERSION_SLICES[n]] = version if count else _NO_VERSION
            changes += ONE_BYTE[n], digest, ONE_BYTE[count]
            at = stop
        return changes

    def _change_large(
        self, record: Buffer, count: int, node_stem: bytes, before: Buffer, at: int, end: int, longest: int
    ) -> tuple[bytes, int] | None:
        """Apply changes[at:end] to a large bundle; return what it has become, hash and count, or None for the same."""
        paths, entries, depth = self.paths, self.entries, node_stem[1]
        size = count * LEAF_SIZE
        starts = size + NODE_SIZE
        whole = starts + STARTS_SIZE
        byte, odd, below = depth >> 1, depth & 1, depth + 1
        node = bytearray().join((record, before))  # the one copy, which stays in memory as it is
        find = record.find
        patch: list[Buffer] = [before]
        hashes: list[bytes] = []
        i = at
        while i < end:
            path = paths[i]
            n = path[byte] & 15 if odd else path[byte] >> 4
            start = first = record[starts + n] * LEAF_SIZE
            last = record[starts + n + 1] * LEAF_SIZE
            known = len(patch)
            while True:  # the changes below child n
                place, entry = find(path, start, last), entries[i]
                if place < 0 or (place - first) % LEAF_SIZE or entry is None:
                    return self._resize(record, count, node_stem, before, at, end, longest)
                start = place + LEAF_SIZE
                value = entry[HASH_SIZE:64]
                if record[place + HASH_SIZE : place + 64] != value:
                    node[place:start] = entry
                    patch += ONE_BYTE[place // LEAF_SIZE], value
                i += 1
                if i == end:
                    break
                path = paths[i]
                if (path[byte] & 15 if odd else path[byte] >> 4) != n:
                    break
            if len(patch) == known:
                continue
            if last - first == LEAF_SIZE:
                digest = entry[64:]
            else:
                digest = bundle_hash(bytes(node[first:last]), below)
            at_hash = size + n * HASH_SIZE
            node[at_hash : at_hash + HASH_SIZE] = digest
            hashes += CHILD_MARKS[n], digest
        if not hashes:
            return None
        patch += hashes
        state = node_state()
        state.update(node[size:starts])
        if len(record) < whole + longest and len(patch) * LEAF_PATCH < whole:
            self.records[node_stem + self.version_bytes] = sealed(b"".join(patch))
        else:
            self._retire(node_stem, before, record[whole:])
            del node[whole:]
            self.records[node_stem + self.version_bytes] = sealed(node[:starts])
        self.bundles[node_stem] = node
        return state.digest(), count

    def _resize(
        self, record: Buffer, count: int, node_stem: bytes, before: Buffer, at: int, end: int, longest: int
    ) -> tuple[bytes, int] | None:
        """`_change_large` where leaves come or go: what is below other children stays in one piece."""
        paths, entries, depth = self.paths, self.entries, node_stem[1]
        size = count * LEAF_SIZE
        starts_before = record[size + NODE_SIZE : size + NODE_SIZE + STARTS_SIZE]
        versions = record[size + NODE_SIZE + STARTS_SIZE :]
        hashes = bytearray(record[size : size + NODE_SIZE])
        starts = [*starts_before]
        pieces: list[Buffer] = []
        gone: list[Buffer] = [before, RESIZED, ONE_BYTE[count]]
        come: list[bytes] = []
        marks: list[bytes] = []
        kept, most, i = 0, 0, at
        while i < end:
            n = nibble(paths[i], depth)
            stop = i + 1
            while stop < end and nibble(paths[stop], depth) == n:
                stop += 1
            first, last = starts_before[n] * LEAF_SIZE, starts_before[n + 1] * LEAF_SIZE
            edited = self._edit(record[first:last], i, stop)
            if edited is None:
                i = stop
                continue
            pieces += record[kept:first], edited
            kept = last
            added = (len(edited) - last + first) // LEAF_SIZE
            for k in range(n + 1, STARTS_SIZE if added else 0):
                starts[k] += added
            for path, entry in zip(paths[i:stop], entries[i:stop]):
                place = leaf_place(record, path, first, last)
                if place >= 0:
                    gone += GONE, ONE_BYTE[place // LEAF_SIZE]
                if entry is not None:
                    come += COME, entry[:64]
            most = max(most, len(edited) // LEAF_SIZE)
            if most <= CROWD:
                digest = bundle_hash(edited, depth + 1)
                hashes[HASH_SLICES[n]] = digest
                marks += CHILD_MARKS[n], digest
            i = stop
        if not pieces:
            return None
        leaves, following = b"".join((*pieces, record[kept:size])), starts[-1]
        if not LARGE < following <= BUNDLE[depth] or most > CROWD:
            self._retire(node_stem, before, versions)
            return self.plant(leaves, node_stem)
        patch = b"".join((*gone, *come, *marks))
        if len(versions) >= longest or 2 * len(patch) >= content_size(following):
            self._retire(node_stem, before, versions)
            return self._plant_large(leaves, hashes, node_stem)
        self.records[node_stem + self.version_bytes] = sealed(patch)
        self.bundles[node_stem] = bytearray().join((leaves, hashes, bytes(starts), versions, before))
        state = node_state()
        state.update(hashes)
        return state.digest(), following

    def _plant_large(self, leaves: bytes, hashes: Buffer, node_stem: bytes) -> tuple[bytes, int]:
        content, count = leaves + hashes, len(leaves) // LEAF_SIZE
        self.bundles[node_stem] = with_starts(content, count, node_stem[1])
        self.records[node_stem + self.version_bytes] = sealed(content)
        state = node_state()
        state.update(hashes)
        return state.digest(), count

    def _edit(self, before: Buffer, at: int, end: int) -> bytes | None:
        """Return a bundle's leaves with changes[at:end] applied, None if that changes nothing."""
        if not before:
            return b"".join(entry for entry in self.entries[at:end] if entry is not None) or None
        leaves = bytes(before)
        if end - at <= _FEW:
            for i in range(at, end):
                leaves = bundle_with(leaves, self.paths[i], self.entries[i])
        else:  # one at a time they would be moved as often as others come
            found = [leaves[start : start + LEAF_SIZE] for start in range(0, len(leaves), LEAF_SIZE)]
            merged: dict[bytes, bytes | None] = {leaf[:HASH_SIZE]: leaf for leaf in found}
            merged.update(zip(self.paths[at:end], self.entries[at:end]))
            leaves = b"".join([leaf for path in sorted(merged) if (leaf := merged[path])])
        return None if leaves == before else leaves

    def _renew(
        self, record: Buffer, count: int, leaves: bytes, node_stem: bytes, before: Buffer, longest: int
    ) -> tuple[bytes, int]:
        """Record what a bundle of up to LARGE leaves has become; return its hash and count."""
        size = count * LEAF_SIZE
        if SMALL < count <= LARGE and len(record) < size + longest:
            patches = leaf_patches(record[:size], leaves)
            if patches is not None and 2 * len(patches) * LEAF_SIZE <= size:
                self.bundles[node_stem] = leaves + record[size:] + before
                self.records[node_stem + self.version_bytes] = sealed(b"".join((before, *patches)))
                return bundle_hash(leaves, node_stem[1]), count
        self._retire(node_stem, before, record[size:])
        return self.plant(leaves, node_stem)

    def _retire(self, node_stem: bytes, newest: Buffer, below: Buffer) -> None:
        """Note that the records of a node, the newest and those it lies on, are used no more."""
        stale = self.stale
        if newest:
            stale.append(node_stem + newest)
        for at in range(0, len(below), VERSION_SIZE):
            stale.append(node_stem + below[at : at + VERSION_SIZE])

    def plant(self, leaves: bytes, node_stem: bytes) -> tuple[bytes, int]:
        """Record the subtree of exactly these leaves; return its hash and count."""
        depth = node_stem[1]
        count = len(leaves) // LEAF_SIZE
        if count <= min(LARGE, BUNDLE[depth]):
            if count:
                self.bundles[node_stem] = leaves
                self.records[node_stem + self.version_bytes] = leaves if count <= SMALL else sealed(leaves)
            return bundle_hash(leaves, depth), count
        if fits(leaves, depth):
            return self._plant_large(leaves, child_hashes(leaves, depth), node_stem)
        node = bytearray(INNER_SIZE)
        for n, group in split_bundle(leaves, depth):
            digest, count = self.plant(group, child_stem(node_stem, n))
            node[HASH_SLICES[n]] = digest
            node[COUNTS + n] = count
            node[VERSION_SLICES[n]] = self.version_bytes
        return self._record(node, node_stem, b"", (), 0)

    def _seal(
        self, node: bytearray, node_stem: bytes, before: Buffer, changes: Sequence[bytes], longest: int
    ) -> tuple[bytes, int]:
        """Record a changed inner node, or the bundle that its last leaves now fit in."""
        if self.deleting:
            counts = node[COUNTS:VERSIONS]
            if max(counts) <= LARGE and sum(counts) <= MERGE[node_stem[1]]:
                self._retire(node_stem, before, node[INNER_SIZE:])
                return self.plant(self._gather(node, node_stem), node_stem)
        return self._record(node, node_stem, before, changes, longest)

    def _record(
        self, node: bytearray, node_stem: bytes, before: Buffer, changes: Sequence[bytes], longest: int
    ) -> tuple[bytes, int]:
        if len(node) < INNER_SIZE + longest and len(changes) <= _MOST_CHANGES:
            node += before
            record = bytes(node)
            self.records[node_stem + self.version_bytes] = sealed(b"".join((before, *changes)))
        else:
            if before:
                self._retire(node_stem, before, node[INNER_SIZE:])
            record = bytes(node[:INNER_SIZE])
            self.records[node_stem + self.version_bytes] = sealed(record)
        self.inner[node_stem] = record
        state = node_state()
        state.update(record[:NODE_SIZE])
        return state.digest(), INNER

    def _gather(self, node: bytearray, node_stem: bytes) -> bytes:
        """Take the bundles below a node: new ones are no longer new, old ones are stale."""
        leaves = []
        for n in range(16):
            if node[COUNTS + n]:
                child, count = child_stem(node_stem, n), node[COUNTS + n]
                record = self.bundles.pop(child, None)
                if record is None:
                    record, _ = self._fetch(child, bytes(node[VERSION_SLICES[n]]), count)
                    self._retire(child, node[VERSION_SLICES[n]], b"")
                else:
                    del self.records[child + self.version_bytes]
                self._retire(child, b"", record[content_size(count) :])
                leaves.append(record[: count * LEAF_SIZE])
        return b"".join(leaves)

    def _fetch(self, node_stem: bytes, version: bytes, kind: int) -> tuple[Buffer, int]:
        """Return a node in the form it has in memory, and how long its versions may be for another patch."""
        if record := self._finds[kind != INNER](node_stem):
            return record, _LONGEST_LARGE if LARGE < kind < INNER else _LONGEST
        return self._load(node_stem, version, kind), _LONGEST_READ
