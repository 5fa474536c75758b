"""The tree against its definition: roots, proofs, history, pruning, damage."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger import tree_nodes, tree_update
from ledger.backend import Backend, BackendKind, StorageFault, open_backend
from ledger.backends.memory import MemoryBackend
from ledger.keys import NODE, ROOT, STALE, prefix_end, version_key
from ledger.tree import Tree, rebuild_root
from ledger.tree_cache import ENTRY_OVERHEAD
from ledger.tree_nodes import INNER_SIZE, LEAF_SIZE, MAX_DEPTH, leaf_entry
from ledger.tree_update import TreeUpdate, entries_of
from qenex.errors import DataFolderCorrupt, NotFound, Pruned, QenexError
from qenex.hashing import ZERO_HASH
from qenex.proof import (
    decode_proof,
    encode_proof,
    hash_tree_leaf,
    hash_tree_node,
    tree_path,
    value_hash,
    verify_absence,
    verify_membership,
)

Leaves = dict[bytes, bytes]
SMALL_CACHE = 20_000
"""Bytes: so small that nodes are dropped and read again all the time."""


def write(store: Backend, tree: Tree, update: TreeUpdate) -> None:
    batch = store.batch()
    tree.apply(batch, update)
    store.write(batch, sync=False)
    tree.committed(update)


def step(
    store: Backend, tree: Tree, version: int, changes: dict[bytes, bytes | None], base: int | None = -1
) -> bytes:
    """Write one version on top of the one before; return its root."""
    update = tree.update(version, (version - 1 or None) if base == -1 else base, list(changes.items()))
    write(store, tree, update)
    return update.root


def prune(store: Backend, tree: Tree, below: int, limit: int = 1 << 30) -> int:
    batch = store.batch()
    done = tree.prune(batch, below, limit)
    store.write(batch, sync=False)
    return done


def stored(store: Backend, family: bytes) -> list[bytes]:
    return [key for key, _ in store.iterate(family, prefix_end(family))]


def reachable(tree: Tree, store: Backend, version: int) -> set[bytes]:
    keys = set()
    for stem, ref, _ in tree._walk(store, version, ""):
        newest = version_key(ref.version)
        _, below = tree_nodes.read_node(store.get, stem, newest, ref.leaves)
        keys |= {stem + below[at : at + 8] for at in range(0, len(below), 8)} | {stem + newest}
    return keys


def contents(update: TreeUpdate) -> tuple[bytes, Leaves, Leaves]:
    """Root and nodes of an update, however its records share them out."""
    inner = {stem: node[:INNER_SIZE] for stem, node in update.inner.items()}
    bundles = {
        stem: bytes(node[: len(node) // LEAF_SIZE * LEAF_SIZE]) for stem, node in update.bundles.items()
    }
    return update.root, inner, bundles


def path_of(*nibbles: int, last: int = 0) -> bytes:
    """A path with given first nibbles and last byte."""
    text = "".join(f"{n:x}" for n in nibbles)
    return bytes.fromhex(text.ljust(62, "0") + f"{last:02x}")


# -- the root depends on contents alone -------------------------------------------------------

# Few distinct nibbles: paths that share long prefixes, as nobody can make them and chance does not.
crowded_paths = st.lists(st.sampled_from("01f"), min_size=6, max_size=6).map(
    lambda digits: bytes.fromhex("".join(digits).ljust(64, "7"))
)
deep_paths = st.tuples(st.integers(0, 63), st.integers(1, 15)).map(
    lambda where: bytes.fromhex("0" * where[0] + f"{where[1]:x}" + "0" * (63 - where[0]))
)
hashed_paths = st.integers(0, 400).map(lambda n: tree_path(b"%d" % n))
paths = crowded_paths | deep_paths | hashed_paths
values = st.integers(0, 3).map(lambda n: value_hash(b"%d" % n))
change_sets = st.dictionaries(paths, st.none() | values, max_size=60)


@given(st.lists(change_sets, min_size=1, max_size=8))
def test_every_root_is_the_one_of_the_definition(batches: list[dict[bytes, bytes | None]]) -> None:
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=SMALL_CACHE)
    leaves: Leaves = {}
    for version, changes in enumerate(batches, 1):
        root = step(store, tree, version, changes)
        for path, value in changes.items():
            if value is None:
                leaves.pop(path, None)
            else:
                leaves[path] = value
        assert root == rebuild_root(leaves) == tree.root(version)
        assert dict(tree.iterate_leaves(version)) == leaves
        assert list(tree.verify_all(version))[-1].leaves == len(leaves)


def test_many_nodes_read_together_are_those_that_are_read_alone() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    spread = [tree_path(b"%d" % number) for number in range(12_000)]
    crowd = [bytes.fromhex("abc" + path.hex()[3:]) for path in spread[:200]]  # 12 or so below each child
    step(store, tree, 1, dict.fromkeys(spread + crowd, value_hash(b"1")))
    step(store, tree, 2, dict.fromkeys(spread[:400] + crowd[:20], value_hash(b"2")))
    step(store, tree, 3, dict.fromkeys(spread[300:500:2] + crowd[10:30], value_hash(b"3")))
    nodes = [(stem, version_key(ref.version), ref.leaves) for stem, ref, _ in tree._walk(store, 3, "")]
    kinds = {kind for _, _, kind in nodes}
    sorts = {
        "inner" if k == tree_nodes.INNER else k > tree_nodes.SMALL and 1 + (k > tree_nodes.LARGE)
        for k in kinds
    }
    assert sorts == {"inner", False, 1, 2}, "inner nodes and bundles of every size"
    read = tree.load_many(nodes)
    assert read == [tree.load(*node) for node in nodes]
    lengths = {
        len(store.get(stem + version) or b"") == tree_nodes.WHOLE_SIZES[kind] for stem, version, kind in nodes
    }
    assert lengths == {True, False}, "whole records and patches"
    with pytest.raises(StorageFault):
        tree.load_many([*nodes, (nodes[-1][0], version_key(9), nodes[-1][2])])


@given(leaves=st.dictionaries(paths, values, max_size=80), data=st.data())
def test_order_and_detours_leave_no_trace_in_the_root(leaves: Leaves, data: st.DataObject) -> None:
    order = data.draw(st.permutations(list(leaves)))
    cut = data.draw(st.integers(0, len(order)))
    extra = data.draw(change_sets)
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=SMALL_CACHE)
    step(store, tree, 1, {path: leaves[path] for path in order[:cut]})
    step(store, tree, 2, extra)
    repair: dict[bytes, bytes | None] = {path: leaves.get(path) for path in extra}
    root = step(store, tree, 3, repair | {path: leaves[path] for path in order[cut:]})
    assert root == rebuild_root(leaves)
    assert step(store, tree, 4, dict.fromkeys(leaves)) == ZERO_HASH
    assert prune(store, tree, 4) >= 0
    assert stored(store, NODE) == []


@pytest.mark.parametrize(
    ("upper", "lower", "large", "small"),
    [
        (1, 1, 12, 6),
        (2, 1, 2, 2),
        (5, 2, 2, 1),
        (40, 12, 12, 6),
        (40, 40, 12, 6),
        (40, 3, 3, 3),
        (200, 12, 12, 6),
    ],
)
def test_the_root_does_not_depend_on_how_leaves_are_bundled(
    upper: int, lower: int, large: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [upper] * 2 + [lower] * 63
    for module in (tree_nodes, tree_update):
        monkeypatch.setattr(module, "BUNDLE", bundles)
        monkeypatch.setattr(module, "MERGE", [max(most // 2, 1) for most in bundles])
        monkeypatch.setattr(module, "LARGE", large)
        monkeypatch.setattr(module, "SMALL", small)
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {}
    for version in range(1, 12):
        changes: dict[bytes, bytes | None] = {
            tree_path(b"%d" % (n * version % 211)): None if (n + version) % 3 == 0 else value_hash(b"%d" % n)
            for n in range(90)
        }
        root = step(store, tree, version, changes)
        for path, value in changes.items():
            leaves.pop(path, None)
            if value is not None:
                leaves[path] = value
        assert root == rebuild_root(leaves)
        assert dict(tree.iterate_leaves(version)) == leaves
        assert list(tree.verify_all(version))[-1].leaves == len(leaves)
        prune(store, tree, version)
        assert set(stored(store, NODE)) == reachable(tree, store, version)


def test_known_roots() -> None:
    """Vectors for other implementations, and a guard against a silent change of the format."""
    store = MemoryBackend()
    tree = Tree(store)
    assert step(store, tree, 1, {}) == ZERO_HASH
    one = {tree_path(b"a"): value_hash(b"1")}
    assert step(store, tree, 2, dict(one)) == hash_tree_leaf(tree_path(b"a") + value_hash(b"1"))
    two = {path_of(1): value_hash(b"1"), path_of(2): value_hash(b"2")}
    children = [ZERO_HASH] * 16
    children[1] = hash_tree_leaf(path_of(1) + value_hash(b"1"))
    children[2] = hash_tree_leaf(path_of(2) + value_hash(b"2"))
    assert rebuild_root(two) == hash_tree_node(b"".join(children))
    many = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(1000)}
    root = step(store, tree, 3, {**dict.fromkeys(one), **many})
    assert root == rebuild_root(many)
    assert root.hex() == "0ea4cc256803447092e83a5434b1d2f46b92f8264d419d0593a51247426948e1"


def test_leaves_that_part_at_the_last_nibble_make_a_chain_of_64_levels() -> None:
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=SMALL_CACHE)
    leaves: Leaves = {path_of(last=n): value_hash(b"%d" % n) for n in range(16)}
    assert step(store, tree, 1, dict(leaves)) == rebuild_root(leaves)
    proof = tree.prove(store, 1, path_of(last=3))
    assert len(proof.bitmaps) == MAX_DEPTH
    assert decode_proof(encode_proof(proof)) == proof
    more: Leaves = {path_of(last=n): value_hash(b"%d" % n) for n in range(256)}
    assert step(store, tree, 2, dict(more)) == rebuild_root(more)
    assert step(store, tree, 3, dict.fromkeys(more)) == ZERO_HASH
    prune(store, tree, 3)
    assert stored(store, NODE) == []


def test_a_root_that_shrank_to_a_bundle_is_not_read_from_its_time_as_an_inner_node() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {path_of(n): value_hash(b"1") for n in range(16)}
    step(store, tree, 1, dict(leaves))
    last = path_of(3)
    step(store, tree, 2, {path: None for path in leaves if path != last})
    assert step(store, tree, 3, {last: None}) == ZERO_HASH


@pytest.mark.parametrize("shared", ["7", "77", "0000000"])
def test_leaves_whose_paths_begin_alike_do_not_crowd_a_large_bundle(shared: str) -> None:
    """They can be looked for, and each change of one would have all of them hashed again."""
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=SMALL_CACHE)
    apart = [path_of(n % 16, n // 16, 3) for n in range(64)]
    alike = [bytes.fromhex((shared + tree_path(b"%d" % n).hex())[:64]) for n in range(64)]
    leaves: Leaves = {}
    version = 0

    def change(changes: dict[bytes, bytes | None]) -> None:
        nonlocal version
        version += 1
        leaves.update({path: new for path, new in changes.items() if new is not None})
        for path in [path for path, new in changes.items() if new is None]:
            del leaves[path]
        assert step(store, tree, version, changes) == rebuild_root(leaves)
        for stem, ref, record in tree._walk(store, version, ""):
            if tree_nodes.LARGE < ref.leaves < tree_nodes.INNER:
                groups = tree_nodes.split_bundle(record, stem[1])
                assert max(len(group) for _, group in groups) <= tree_nodes.CROWD * LEAF_SIZE
        list(tree.verify_all(version))
        prune(store, tree, version)
        assert set(stored(store, NODE)) == reachable(tree, store, version)

    change(dict.fromkeys(apart, value_hash(b"0")))
    assert tree.base(version).leaves == 64
    for path in alike[:30]:  # one at a time they outgrow it
        change({path: value_hash(b"1")})
    assert tree.base(version).leaves == tree_nodes.INNER
    change(dict.fromkeys(alike[30:], value_hash(b"2")))
    change(dict.fromkeys(alike, value_hash(b"3")))
    for path in alike[:-1]:
        change({path: None})
    assert tree.base(version).leaves == tree_nodes.INNER, "65 leaves are more than half of a bundle"
    change(dict.fromkeys(apart[:8]))
    assert tree.base(version).leaves == 57


# -- updates are pure, and refuse nonsense ------------------------------------------------------


def test_an_update_that_is_dropped_changes_nothing() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    first: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(300)}
    root = step(store, tree, 1, dict(first))
    before = dict(store.iterate(b"", b"\xff" * 80))
    dropped = tree.update(2, 1, [(path, None) for path in list(first)[:150]])
    rival = tree.update(2, 1, [(tree_path(b"new"), value_hash(b"x"))])
    assert dropped.root != rival.root != root
    assert dict(store.iterate(b"", b"\xff" * 80)) == before
    write(store, tree, rival)
    assert tree.root(2) == rebuild_root(first | {tree_path(b"new"): value_hash(b"x")})
    assert tree.root(1) == root


def test_writing_what_is_there_and_deleting_what_is_not_writes_no_node() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(300)}
    step(store, tree, 1, dict(leaves))
    absent = [(tree_path(b"absent %d" % n), None) for n in range(50)]
    update = tree.update(2, 1, [*list(leaves.items())[:100], *absent])
    assert not update.inner
    assert not update.bundles
    assert not update.stale
    assert update.root == tree.root(1)
    write(store, tree, update)
    assert tree.update(3, 2, []).root == tree.root(2) == tree.root(1)


def test_an_update_in_steps_gives_the_same_result_and_pauses_between() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(2000)}
    step(store, tree, 1, dict(leaves))
    changes = [(path, value_hash(b"new")) for path in list(leaves)[:500]]
    steps = tree.update_in_steps(2, 1, entries_of(changes))
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result = stop.value
            break
        pauses += 1
    assert result == tree.update(2, 1, changes)
    assert pauses == 16


def test_nonsense_updates_are_refused() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    path = tree_path(b"a")
    step(store, tree, 5, {path: value_hash(b"1")}, base=None)
    with pytest.raises(ValueError, match="twice"):
        tree.update(6, 5, [(path, None), (path, value_hash(b"1"))])
    with pytest.raises(ValueError, match="above"):
        tree.update(5, 5, [])
    for missing in (6, -1, 1 << 64):
        with pytest.raises(NotFound):
            tree.root(missing)
    with pytest.raises(NotFound):
        tree.update(7, 6, [])


def test_a_cold_cache_a_warm_one_and_another_base_give_equal_updates() -> None:
    store = MemoryBackend()
    warm = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(3000)}
    step(store, warm, 1, dict(leaves))
    step(store, warm, 2, {path: value_hash(b"two") for path in list(leaves)[::3]})
    changes: list[tuple[bytes, bytes | None]] = [(path, None) for path in list(leaves)[::2]]
    assert contents(warm.update(3, 2, changes)) == contents(Tree(store).update(3, 2, changes))
    # Version 2 is in the cache; building on version 1 must not use it.
    assert warm.update(3, 1, changes) == Tree(store).update(3, 1, changes)
    assert warm.update(3, 1, changes).root == rebuild_root(
        {path: value for path, value in leaves.items() if (path, None) not in set(changes)}
    )


def test_a_version_built_beside_the_cached_one_does_not_mix_with_it() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(1000)}
    step(store, tree, 1, dict(leaves))
    step(store, tree, 2, dict.fromkeys(leaves, value_hash(b"dead end")))
    write(store, tree, tree.update(3, 1, [(tree_path(b"new"), value_hash(b"3"))]))
    changes: list[tuple[bytes, bytes | None]] = [(path, None) for path in list(leaves)[::3]]
    assert contents(tree.update(4, 3, changes)) == contents(Tree(store).update(4, 3, changes))


def test_the_cache_stays_within_its_bytes() -> None:
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=1 << 20)
    leaves: Leaves = {}
    for version in range(1, 30):
        fresh = {tree_path(b"%d %d" % (version, n)): value_hash(b"x") for n in range(1500)}
        leaves |= fresh
        step(store, tree, version, dict(fresh))
    cache = tree._cache
    size = sum([len(record) + ENTRY_OVERHEAD for record in cache.bundles.values()])
    assert 3 << 18 < size < 1 << 20
    assert size == cache._bytes, "counted exactly, also what is written again in another length"
    assert tree.root(29) == rebuild_root(leaves)


# -- patches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("count", [140, 400])
def test_a_node_changed_over_and_over_is_patched_and_now_and_then_written_whole(
    warm: bool, count: int
) -> None:
    """Every version reads as it was; a node that had to be read from two records is whole again when it changes."""
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(count)}
    step(store, tree, 1, dict(leaves))
    kept = {1: dict(leaves)}
    one, other = tree_path(b"7"), tree_path(b"8")
    longest = sizes = 0
    for version in range(2, 42):
        tree = tree if warm else Tree(store)
        for path in (one, other)[: version % 2 + 1]:
            leaves[path] = value_hash(b"version %d" % version)
        update = tree.update(version, version - 1, {path: leaves[path] for path in (one, other)})
        sizes += sum(map(len, update.records.values()))
        write(store, tree, update)
        kept[version] = dict(leaves)
        for stem, ref, _ in tree._walk(store, version, ""):
            _, below = tree_nodes.read_node(store.get, stem, version_key(ref.version), ref.leaves)
            longest = max(longest, len(below) // 8)
    most = (
        tree_nodes.LARGE_PATCHES if count == 400 else tree_nodes.PATCHES
    )  # 400: below the root, bundles of 25
    assert longest == (most if warm else 1)
    assert sizes < 40 * INNER_SIZE * (3 if warm else 4)
    for version, state in kept.items():
        assert dict(Tree(store).iterate_leaves(version)) == state
        assert Tree(store).root(version) == rebuild_root(state)
        assert list(Tree(store).verify_all(version))[-1].leaves == len(state)
        value = Tree(store).leaf(version, one)
        assert value == state[one]
    prune(store, tree, 41)
    assert set(stored(store, NODE)) == reachable(tree, store, 41)


@pytest.mark.parametrize("warm", [True, False])
def test_leaves_that_come_and_go_are_patches_of_a_large_bundle(warm: bool) -> None:
    """Written whole, each would be ten times as long, and keys that come and go cost their sender little."""
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(100)}
    step(store, tree, 1, dict(leaves))
    kept = {1: dict(leaves)}
    lengths = []
    for version in range(2, 60):
        tree = tree if warm else Tree(store)
        come, gone = tree_path(b"new %d" % version), tree_path(b"%d" % version)
        changes: dict[bytes, bytes | None] = {
            come: value_hash(b"1"),
            tree_path(b"99"): value_hash(b"%d" % version),
        }
        if version % 3:
            changes[gone] = None
        update = tree.update(version, version - 1, changes)
        assert set(update.bundles) == {tree_nodes.ROOT_STEM}
        lengths.append(sum(map(len, update.records.values())))
        write(store, tree, update)
        leaves.update({path: value for path, value in changes.items() if value is not None})
        leaves = {path: value for path, value in leaves.items() if changes.get(path, value) is not None}
        kept[version] = dict(leaves)
        assert update.root == rebuild_root(leaves)
    whole = tree_nodes.content_size(100)
    assert sum(length > whole // 2 for length in lengths) <= (4 if warm else 30)
    assert sorted(lengths)[len(lengths) // 3] < 400
    for version, state in kept.items():
        assert dict(Tree(store).iterate_leaves(version)) == state
        assert list(Tree(store).verify_all(version))[-1].leaves == len(state)
    prune(store, tree, 59)
    assert set(stored(store, NODE)) == reachable(tree, store, 59)


def test_a_bundle_that_many_come_to_at_once_becomes_the_subtree_of_them_all() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(10)}
    step(store, tree, 1, dict(leaves))
    gone = list(leaves)[:4]
    fresh = {tree_path(b"%d" % n): value_hash(b"new") for n in range(6, 600)}
    root = step(store, tree, 2, {**fresh, **dict.fromkeys(gone)})
    state = {path: value for path, value in (leaves | fresh).items() if path not in gone}
    assert root == rebuild_root(state)
    assert dict(tree.iterate_leaves(2)) == state


NEWER, OLDER = version_key(9), version_key(8)
COME = tree_nodes.COME + b"\x11" * 32 + bytes(32)
STEM = tree_nodes.ROOT_STEM


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (8, NEWER + b"\x00" + bytes(32)),  # over itself: round and round
        (8, OLDER + b"\x08" + bytes(32)),  # a leaf that is not there
        (8, OLDER + b"\x01" + bytes(32) + b"\x00" + bytes(32)),  # not in order
        (8, OLDER + b"\x00" + bytes(31)),
        (8, OLDER + b"\xf0" + bytes(32)),  # a child's hash, where none are kept
        (20, OLDER + b"\x14" + bytes(32)),  # neither a leaf that is there nor a child
        (20, OLDER + b"\xef" + bytes(32)),
        (20, OLDER + b"\xf1" + bytes(32) + b"\x01" + bytes(32)),  # not in order
        (20, OLDER + b"\xff" + bytes(31)),
        (8, OLDER + b"\xe0\x08"),  # only a large one may be of another size before
        (tree_nodes.INNER, OLDER + b"\xe0\x14"),
        (20, OLDER + b"\xe0"),
        (20, OLDER + b"\xe0\x0c"),
        (20, OLDER + b"\xe0\x81"),
        (20, OLDER + b"\xe0\x15"),  # it was not so large
        (20, OLDER + b"\xe0\x14\xe2\x00"),  # nor is it so small now
        (20, OLDER + b"\xe0\x14\xe2\x14" + COME),  # what is not there cannot go
        (20, OLDER + b"\xe0\x14\xe2\x01\xe2\x00" + COME + COME),
        (20, OLDER + b"\xe0\x14\xe2"),
        (20, OLDER + b"\xe0\x14\xe2\x00" + COME[:-1]),
        (20, OLDER + b"\xe0\x14\xe2\x00" + COME + COME),  # twice the same
        (20, OLDER + b"\xe0\x14\xe2\x00" + COME + b"\x03" + bytes(32)),  # a new value beside
        (8, OLDER[:7]),
        (tree_nodes.INNER, OLDER + b"\x10" + bytes(33)),
        (tree_nodes.INNER, OLDER + b"\x01" + bytes(33) + b"\x01" + bytes(33)),
        (tree_nodes.INNER, OLDER + b"\x01" + bytes(32)),
        (2, OLDER + b"\x01" + bytes(32)),  # such a small one is never patched
        (tree_nodes.INNER, version_key(7) + b"\x01" + bytes(33)),  # over nothing
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(kind: int, patch: bytes) -> None:
    whole = bytes(tree_nodes.content_size(kind))
    if kind == 20:  # with paths of its own for each leaf
        whole = b"".join(leaf_entry(path_of(2, last=n), bytes(32)) for n in range(20)) + bytes(512)
    records = {STEM + OLDER: tree_nodes.sealed(whole), STEM + NEWER: tree_nodes.sealed(patch)}
    for checked in (False, True):
        with pytest.raises(ValueError, match=r"is damaged|is missing"):
            tree_nodes.read_node(records.get, STEM, NEWER, kind, checked=checked)


def test_more_patches_than_there_may_be_are_refused() -> None:
    records = {STEM + version_key(0): tree_nodes.sealed(bytes(8 * LEAF_SIZE))}
    for version in range(1, tree_nodes.PATCHES + 2):
        patch = version_key(version - 1) + b"\x00" + bytes(32)
        records[STEM + version_key(version)] = tree_nodes.sealed(patch)
    _, below = tree_nodes.read_node(records.get, STEM, version_key(tree_nodes.PATCHES), 8)
    assert len(below) == 8 * tree_nodes.PATCHES
    with pytest.raises(ValueError, match="damaged"):
        tree_nodes.read_node(records.get, STEM, version_key(tree_nodes.PATCHES + 1), 8)


# -- history, proofs, pruning --------------------------------------------------------------------


class TreeMachine(RuleBasedStateMachine):
    """Versions come, old ones go; all that is kept stays provable and nothing else stays."""

    keys = st.integers(0, 120).map(lambda n: b"key %d" % n)

    @initialize()
    def empty(self) -> None:
        self.store = MemoryBackend()
        self.tree = Tree(self.store, cache_bytes=SMALL_CACHE)
        self.states: dict[int, dict[bytes, bytes]] = {}
        self.latest = 0
        self.horizon = 0

    @rule(changes=st.dictionaries(keys, st.none() | st.binary(max_size=2), max_size=40))
    def block(self, changes: dict[bytes, bytes | None]) -> None:
        state = dict(self.states.get(self.latest, {}))
        for key, value in changes.items():
            state.pop(key, None)
            if value is not None:
                state[key] = value
        self.latest += 1
        items = {
            tree_path(key): None if value is None else value_hash(value) for key, value in changes.items()
        }
        root = step(self.store, self.tree, self.latest, items)
        assert root == rebuild_root({tree_path(key): value_hash(value) for key, value in state.items()})
        self.states[self.latest] = state

    @rule(share=st.integers(0, 10), limit=st.sampled_from([1, 50, 1 << 30]))
    def forget(self, share: int, limit: int) -> None:
        self.horizon = max(self.horizon, self.latest * share // 10)
        done = prune(self.store, self.tree, self.horizon, limit)
        if self.latest and done < limit:
            kept = [version for version in self.states if version >= self.horizon]
            wanted: set[bytes] = set()
            for version in kept:
                wanted |= reachable(self.tree, self.store, version)
            assert set(stored(self.store, NODE)) == wanted
            assert len(stored(self.store, ROOT)) == len(kept)
            assert all(int.from_bytes(key[1:9], "big") > self.horizon for key in stored(self.store, STALE))

    @rule()
    def restart(self) -> None:
        self.tree = Tree(self.store, cache_bytes=SMALL_CACHE)

    @rule(key=keys | st.just(b"never"), back=st.integers(0, 6))
    def prove(self, key: bytes, back: int) -> None:
        version = max(self.latest - back, 0)
        if version < self.horizon:
            with pytest.raises(Pruned):
                self.tree.prove(self.store, version, tree_path(key))
            return
        if version not in self.states:
            return
        root = self.tree.root(version)
        proof = self.tree.prove(self.store, version, tree_path(key))
        value = self.states[version].get(key)
        if value is None:
            verify_absence(root, key, proof)
            assert self.tree.leaf(version, tree_path(key)) is None
        else:
            verify_membership(root, key, value, proof)
            assert self.tree.leaf(version, tree_path(key)) == value_hash(value)

    @invariant()
    def the_future_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            self.tree.root(self.latest + 1)


TestTreeThroughTime = TreeMachine.TestCase


def test_a_tree_that_shrinks_leaf_by_leaf_leaves_no_node_behind() -> None:
    store = MemoryBackend()
    tree = Tree(store, cache_bytes=SMALL_CACHE)
    names = [tree_path(b"%d" % n) for n in range(60)]
    step(store, tree, 1, dict.fromkeys(names, value_hash(b"1")))
    for version, path in enumerate(names, 2):
        root = step(store, tree, version, {path: None})
        assert root == rebuild_root(dict.fromkeys(names[version - 1 :], value_hash(b"1")))
        prune(store, tree, version)
        assert set(stored(store, NODE)) == reachable(tree, store, version)
    assert stored(store, NODE) == []


def test_pruning_is_bounded_and_hides_versions_at_once() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    names = [tree_path(b"%d" % n) for n in range(3000)]
    for version in range(1, 6):
        step(store, tree, version, {path: value_hash(b"%d" % version) for path in names})
    portions: list[int] = []
    while not portions or portions[-1] >= 100:
        portions.append(prune(store, tree, 5, 100))
        assert tree.oldest_version() == 5
        with pytest.raises(Pruned):
            tree.root(4)
        assert list(tree.verify_all(5))[-1].leaves == 3000
    assert max(portions) <= 100 + 1025
    assert len(portions) > 4
    assert set(stored(store, NODE)) == reachable(tree, store, 5)
    prune(store, tree, 99)
    assert tree.root(5) == rebuild_root(dict.fromkeys(names, value_hash(b"5")))


def test_a_reader_of_a_snapshot_is_not_disturbed_by_blocks_and_pruning() -> None:
    store = MemoryBackend()
    tree = Tree(store)
    step(store, tree, 1, {tree_path(b"%d" % n): value_hash(b"1") for n in range(500)})
    root = tree.root(1)
    with store.snapshot() as view:
        for version in range(2, 6):
            step(
                store, tree, version, {tree_path(b"%d" % n): value_hash(b"%d" % version) for n in range(500)}
            )
        prune(store, tree, 5)
        for n in range(0, 500, 50):
            verify_membership(root, b"%d" % n, b"1", tree.prove(view, 1, tree_path(b"%d" % n)))
        assert tree.root(1, reader=view) == root
        assert len(list(tree.iterate_leaves(1, reader=view))) == 500


@given(leaves=st.dictionaries(paths, values, max_size=60), prefix=st.text("01f7", max_size=5))
def test_leaves_below_a_prefix_come_in_path_order(leaves: Leaves, prefix: str) -> None:
    store = MemoryBackend()
    tree = Tree(store)
    step(store, tree, 1, dict(leaves))
    wanted = sorted(item for item in leaves.items() if item[0].hex().startswith(prefix))
    assert list(tree.iterate_leaves(1, prefix)) == wanted


# -- damage ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound() -> MemoryBackend:
    store = MemoryBackend()
    tree = Tree(store)
    for version in range(1, 4):
        step(
            store,
            tree,
            version,
            {tree_path(b"%d" % n): value_hash(b"%d" % version) for n in range(0, 2000, version)},
        )
    return store


@given(where=st.integers(0, 10**9), bit=st.integers(0, 7), erase=st.booleans())
def test_the_check_finds_every_changed_byte_of_every_node(
    sound: MemoryBackend, where: int, bit: int, erase: bool
) -> None:
    tree = Tree(sound)
    keys = sorted(reachable(tree, sound, 3))
    key = keys[where % len(keys)]
    damaged = MemoryBackend()
    batch = damaged.batch()
    for name, record in sound.iterate(b"", b"\xff" * 80):
        batch.put(name, record)
    flipped = bytearray(sound.get(key) or b"")
    position = where // len(keys) % len(flipped)
    flipped[position] ^= 1 << bit
    if erase:
        batch.delete(key)
    else:
        batch.put(key, bytes(flipped))
    damaged.write(batch, sync=True)
    # The version of an absent child is the one field that means nothing.
    original = sound.get(key) or b""
    if not erase and len(original) == INNER_SIZE and position >= tree_nodes.VERSIONS:
        assume(original[tree_nodes.COUNTS + (position - tree_nodes.VERSIONS) // 8] > 0)
    with pytest.raises(DataFolderCorrupt):
        list(Tree(damaged).verify_all(3))


def test_a_forged_leaf_under_its_old_hash_is_found(sound: MemoryBackend) -> None:
    """Value hash and leaf hash changed together do not fit the parent; apart not each other."""
    tree = Tree(sound)
    stem, ref, record = next(node for node in tree._walk(sound, 3, "") if len(node[2]) % LEAF_SIZE == 0)
    forged = leaf_entry(record[:32], value_hash(b"forged")) + record[LEAF_SIZE:]
    damaged = MemoryBackend()
    batch = damaged.batch()
    for name, value in sound.iterate(b"", b"\xff" * 80):
        batch.put(name, value)
    batch.put(stem + version_key(ref.version), forged)
    damaged.write(batch, sync=True)
    with pytest.raises(DataFolderCorrupt):
        list(Tree(damaged).verify_all(3))


def test_leaves_in_a_wrong_place_are_found_although_their_hashes_fit() -> None:
    low, high = leaf_entry(path_of(1), value_hash(b"1")), leaf_entry(path_of(1, 2), value_hash(b"2"))
    here, there = tree_nodes.stem(path_of(1), 1), tree_nodes.stem(path_of(2), 1)
    alone = tree_nodes.NodeRef(low[64:], 1, 1)
    assert tree_nodes.check_record(low, alone, here) == ""
    assert tree_nodes.check_record(low, alone, there)
    both = tree_nodes.NodeRef(tree_nodes.bundle_hash(low + high, 1), 2, 1)
    assert tree_nodes.check_record(low + high, both, here) == ""
    assert tree_nodes.bundle_hash(high + low, 1) == both.digest
    assert tree_nodes.check_record(high + low, both, here)


def test_an_update_on_a_damaged_tree_is_a_storage_fault(sound: MemoryBackend) -> None:
    damaged = MemoryBackend()
    batch = damaged.batch()
    for name, value in sound.iterate(b"", b"\xff" * 80):
        if not name.startswith(NODE):
            batch.put(name, value)
    damaged.write(batch, sync=True)
    with pytest.raises(StorageFault):
        Tree(damaged).update(4, 3, [(tree_path(b"1"), None)])
    with pytest.raises(StorageFault):
        Tree(damaged).prove(damaged, 3, tree_path(b"1"))


@pytest.mark.parametrize("kind", ["leveldb", "sqlite"])
@settings(max_examples=12)
@given(where=st.integers(0, 10**9), bit=st.integers(0, 7), share=st.integers(0, 99))
def test_a_flipped_bit_on_disk_is_a_typed_failure_or_found_by_the_check_or_harmless(
    kind: BackendKind, where: int, bit: int, share: int
) -> None:
    if kind == "leveldb":
        pytest.importorskip("plyvel")
    folder = Path(tempfile.mkdtemp(prefix="qx-"))
    try:
        store = open_backend(kind, folder / "data", create=True)
        tree = Tree(store)
        leaves: Leaves = {tree_path(b"%d" % n): value_hash(b"%d" % n) for n in range(600)}
        step(store, tree, 1, dict(leaves))
        store.compact()
        store.close()
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        victim = files[share % len(files)]
        data = bytearray(victim.read_bytes())
        data[where % len(data)] ^= 1 << bit
        victim.write_bytes(data)
        try:
            store = open_backend(kind, folder / "data")
        except (QenexError, StorageFault):
            return
        try:
            assert list(Tree(store).verify_all(1))[-1].leaves == 600
            assert dict(Tree(store).iterate_leaves(1)) == leaves
        except (QenexError, StorageFault):
            pass
        finally:
            store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
