"""The check's reading of the tree, independent of the code that writes it.

Every node on disk is verified: those of the latest version by one walk, older
ones when the comparison of two neighbouring versions finds them replaced. The same
comparison says exactly which records a version made obsolete and which values it changed,
which is what the lists that pruning and history live on are measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.backend import Reader, StorageFault
from ledger.keys import ROOT, VERSION_SIZE, version_key
from ledger.tree_nodes import (
    EMPTY_REF,
    HASH_SLICES,
    INNER,
    LEAF_SIZE,
    ROOT_STEM,
    NodeRef,
    check_record,
    child_ref,
    child_stem,
    read_node,
    unpack_ref,
)
from qenex.hashing import HASH_SIZE, ZERO_HASH
from qenex.proof import hash_tree_leaf, hash_tree_node


class TreeDamage(Exception):
    """A node that is missing, unreadable or wrong. Ends the comparison or walk that met it."""


Subtree = tuple[bytes, int]
"""(hash, number of leaves)."""


def join_subtrees(children: Sequence[Subtree]) -> Subtree:
    """Return the subtree over 16 children: with one leaf in all it is that leaf (protocol.md, "Tree")."""
    total = sum(count for _, count in children)
    if total == 0:
        return ZERO_HASH, 0
    if total == 1:
        return next(digest for digest, count in children if count), 1
    return hash_tree_node(b"".join(digest for digest, _ in children)), total


def subtree_of(leaves: Sequence[bytes], start: int, stop: int, depth: int) -> Subtree:
    """Return the subtree at `depth` over sorted leaves[start:stop], each path + value hash (64 bytes)."""
    if stop - start <= 1:
        return (hash_tree_leaf(leaves[start]), 1) if stop > start else (ZERO_HASH, 0)
    byte, odd = depth >> 1, depth & 1
    children = []
    at = start
    for n in range(16):
        end = at
        while end < stop and (leaves[end][byte] & 15 if odd else leaves[end][byte] >> 4) == n:
            end += 1
        children.append(subtree_of(leaves, at, end, depth + 1))
        at = end
    return join_subtrees(children)


class Difference:
    """What one version did to the tree of the version before."""

    def __init__(self) -> None:
        self.stale: list[bytes] = []
        """Keys of records it no longer uses."""
        self.old: dict[bytes, bytes] = {}
        """Path -> value hash before, in the bundles it replaced."""
        self.new: dict[bytes, bytes] = {}
        """The same after."""

    def changed(self) -> dict[bytes, bytes | None]:
        """Return path -> value hash before (None: absent) of every value that the version changed."""
        changed: dict[bytes, bytes | None] = {p: v for p, v in self.old.items() if self.new.get(p) != v}
        changed.update((path, None) for path in self.new if path not in self.old)
        return changed


class TreeReader:
    """Reads nodes for the check."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.records = 0
        """Records of the nodes verified so far that the latest version holds, or one before it held last."""

    def _get(self, key: bytes) -> bytes | None:
        try:
            return self._reader.get(key)
        except StorageFault as fault:
            raise TreeDamage(fault.message) from None

    def root(self, version: int) -> NodeRef:
        """Raises TreeDamage."""
        record = self._get(ROOT + version_key(version))
        if record is None:
            raise TreeDamage(f"version {version} has no root record")
        try:
            ref = unpack_ref(record)
        except ValueError as error:
            raise TreeDamage(f"the root record of version {version}: {error}") from None
        if not ref.leaves and ref != EMPTY_REF:
            raise TreeDamage(f"the root record of version {version} is neither empty nor a node")
        return ref

    def leaves(self, version: int) -> Iterator[bytes]:
        """Verify every node of `version`; yield its leaves (path + value hash) in path order.

        Raises TreeDamage.
        """
        waiting = [(ROOT_STEM, self.root(version))]
        while waiting:
            stem, ref = waiting.pop()
            if not ref.leaves:
                continue
            content, keys = self._verified(stem, ref)
            self.records += len(keys)
            if ref.leaves == INNER:
                waiting.extend((child_stem(stem, n), child_ref(content, n)) for n in range(15, -1, -1))
                continue
            for at in range(0, ref.leaves * LEAF_SIZE, LEAF_SIZE):
                yield content[at : at + 2 * HASH_SIZE]

    def compare(self, older: int, newer: int) -> Difference:
        """Compare two neighbouring versions, verifying the nodes that were replaced. Raises TreeDamage."""
        difference = Difference()
        self._compare(self.root(older), self.root(newer), ROOT_STEM, difference)
        self.records += len(difference.stale)
        return difference

    def holds(self, version: int, key: bytes) -> bool:
        """Return whether `version` needs the record under this key. Raises TreeDamage."""
        ref, stem = self.root(version), ROOT_STEM
        wanted = key[:-VERSION_SIZE]
        path = wanted[2:]
        if len(wanted) < 2 or len(path) != (wanted[1] + 1) // 2:
            return False
        while stem[1] < wanted[1]:
            if ref.leaves != INNER:
                return False
            n = path[stem[1] >> 1] & 15 if stem[1] & 1 else path[stem[1] >> 1] >> 4
            content, _ = self._read(stem, ref)
            ref, stem = child_ref(content, n), child_stem(stem, n)
        return bool(ref.leaves) and stem == wanted and key in self._read(stem, ref)[1]

    def _compare(self, old: NodeRef, new: NodeRef, stem: bytes, difference: Difference) -> None:
        if old == new or not (old.leaves or new.leaves):
            return
        if (old.leaves == INNER) is not (new.leaves == INNER) or not (old.leaves and new.leaves):
            self._gather(old, stem, difference.old, difference.stale)
            self._gather(new, stem, difference.new, None)
            return
        before, keys = self._verified(stem, old)
        after, new_keys = self._read(stem, new)
        if new_keys[:-1] != keys:  # no patch over what was there: that is used no more
            difference.stale += keys
        if old.leaves == INNER:
            for n in range(16):
                self._compare(child_ref(before, n), child_ref(after, n), child_stem(stem, n), difference)
            return
        _add_leaves(difference.old, before, old.leaves)
        _add_leaves(difference.new, after, new.leaves)

    def _gather(
        self, ref: NodeRef, stem: bytes, leaves: dict[bytes, bytes], stale: list[bytes] | None
    ) -> None:
        """Take all leaves below a node; with `stale` verify the nodes and note where their records lie."""
        if not ref.leaves:
            return
        if stale is None:
            content, _ = self._read(stem, ref)
        else:
            content, keys = self._verified(stem, ref)
            stale += keys
        if ref.leaves != INNER:
            _add_leaves(leaves, content, ref.leaves)
            return
        for n in range(16):
            self._gather(child_ref(content, n), child_stem(stem, n), leaves, stale)

    def _read(self, stem: bytes, ref: NodeRef, *, checked: bool = False) -> tuple[bytes, list[bytes]]:
        """Return a node's content and the keys of its records, the whole one first."""
        version = version_key(ref.version)
        try:
            content, below = read_node(self._get, stem, version, ref.leaves, checked=checked)
        except ValueError as error:
            raise TreeDamage(f"node {_place(stem)} of version {ref.version} {error}") from None
        versions = [below[at : at + VERSION_SIZE] for at in range(0, len(below), VERSION_SIZE)]
        return content, [stem + one for one in [*versions, version]]

    def _verified(self, stem: bytes, ref: NodeRef) -> tuple[bytes, list[bytes]]:
        content, keys = self._read(stem, ref, checked=True)
        if wrong := check_record(content, ref, stem):
            raise TreeDamage(f"node {_place(stem)} of version {ref.version} {wrong}")
        if ref.leaves == INNER:
            for n in range(16):
                empty = content[HASH_SLICES[n]] == ZERO_HASH
                if empty and child_ref(content, n) != EMPTY_REF:
                    raise TreeDamage(f"node {_place(stem)} of version {ref.version} dates an empty child")
        return content, keys


def _add_leaves(leaves: dict[bytes, bytes], bundle: bytes, count: int) -> None:
    for at in range(0, count * LEAF_SIZE, LEAF_SIZE):
        leaves[bundle[at : at + HASH_SIZE]] = bundle[at + HASH_SIZE : at + 2 * HASH_SIZE]


def _place(stem: bytes) -> str:
    return repr(stem[2:].hex()[: stem[1]] or "root")
