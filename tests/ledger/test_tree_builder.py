"""The tree computed without a store: record by record what `Tree` computes, whatever is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.backends.memory import MemoryBackend
from ledger.tree import Tree, rebuild_root
from ledger.tree_builder import MAX_PART, PART, TreeBase, TreeBuilder
from ledger.tree_cache import DEFAULT_CACHE_BYTES
from ledger.tree_nodes import NodeRef
from ledger.tree_search import AHEAD, PART_PATHS, Wanted
from ledger.tree_update import TreeUpdate
from qenex.proof import tree_path, value_hash

Values = dict[bytes, bytes | None]
TINY = 20_000
"""Bytes of memory: so little that nodes are dropped all the time."""

keys = st.integers(0, 500).map(lambda number: b"key %d" % number)
values = st.none() | st.integers(0, 3).map(lambda number: b"value %d" % number)
batches = st.lists(st.dictionaries(keys, values, max_size=150), min_size=1, max_size=8)


class Sides:
    """A store, the tree that writes it, and a builder that has none."""

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.store = MemoryBackend()
        self.tree = Tree(self.store, cache_bytes=cache_bytes)
        self.builder = TreeBuilder(cache_bytes)
        self.version = 0
        self.asked: list[list[Wanted]] = []

    def ask(self, wanted: Sequence[Wanted]) -> Callable[[], list[bytes]]:
        self.asked.append(list(wanted))
        return lambda: [Tree(self.store).load(*node) for node in wanted]

    def local(self, changes: Values) -> TreeUpdate:
        """The next version by the tree."""
        hashed = {tree_path(key): None if new is None else value_hash(new) for key, new in changes.items()}
        return self.tree.update(self.version + 1, self.version or None, hashed)

    def base(self) -> NodeRef:
        return self.tree.base(self.version or None)

    def built(self, changes: Values) -> tuple[list[dict[bytes, bytes]], TreeUpdate]:
        """The next version by the builder, and the parts it came in."""
        self.builder.begin(TreeBase(self.version + 1, self.version, self.base()))
        self.builder.enter(changes.keys(), changes.values())
        parts = [dict(part) for part in self.builder.build(self.ask)]
        assert self.builder.entered == len(changes)
        return parts, self.builder.result

    def write(self, update: TreeUpdate) -> None:
        batch = self.store.batch()
        self.tree.apply(batch, update)
        self.store.write(batch, sync=False)
        self.tree.committed(update)
        self.version += 1


def joined(parts: Sequence[dict[bytes, bytes]]) -> dict[bytes, bytes]:
    return {key: record for part in parts for key, record in part.items()}


@given(batches, st.sampled_from([TINY, DEFAULT_CACHE_BYTES]), st.sampled_from([1, 20, PART_PATHS]))
def test_every_record_is_the_one_that_the_tree_writes(
    changes: list[Values], cache_bytes: int, part_paths: int
) -> None:
    sides = Sides(cache_bytes)
    contents: dict[bytes, bytes] = {}
    for step in changes:
        update = sides.local(step)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("ledger.tree_search.PART_PATHS", part_paths)
            parts, result = sides.built(step)
        assert joined(parts) == update.records
        assert (result.ref, result.stale) == (update.ref, update.stale)
        sides.write(update)
        contents |= {tree_path(key): value_hash(new) for key, new in step.items() if new is not None}
        for key in [tree_path(key) for key, new in step.items() if new is None]:
            contents.pop(key, None)
        assert result.root == rebuild_root(contents)


@given(batches, st.data())
def test_what_was_thrown_away_leaves_no_trace(changes: list[Values], data: st.DataObject) -> None:
    """Proposals of one height, of which another one is decided or none that was computed here."""
    sides = Sides()
    for step in changes:
        others = data.draw(st.lists(st.dictionaries(keys, values, max_size=20), max_size=6))
        position = data.draw(st.integers(0, len(others) + 1))
        for number, other in enumerate([*others[:position], step, *others[position:]]):
            if number == position and not data.draw(st.booleans()):
                continue  # decided without having been seen
            sides.built(other)
        update = sides.local(step)
        sides.write(update)
    _, result = sides.built({b"last": b"1"})
    assert result.root == sides.local({b"last": b"1"}).root


def test_an_update_that_was_not_finished_is_forgotten() -> None:
    sides = Sides()
    sides.write(sides.local({b"a": b"1", b"b": b"2"}))
    sides.builder.begin(TreeBase(2, 1, sides.base()))
    sides.builder.enter([b"a"], [b"9"])
    parts, result = sides.built({b"b": b"3"})
    update = sides.local({b"b": b"3"})
    assert (joined(parts), result.ref) == (update.records, update.ref)


def test_what_is_not_in_memory_is_asked_for_once_and_level_by_level() -> None:
    sides = Sides()
    sides.write(sides.local({b"key %d" % number: b"1" for number in range(5_000)}))
    changes: Values = {b"key %d" % number: b"2" for number in range(0, 5_000, 5)}
    assert len(changes) < PART_PATHS
    sides.built(changes)
    depths = [{stem[1] for stem, _, _ in level} for level in sides.asked]
    assert depths == [{depth} for depth in range(len(depths))], "one question a level"
    stems = [stem for level in sides.asked for stem, _, _ in level]
    assert len(stems) == len(set(stems))
    update = sides.local(changes)
    sides.write(update)
    sides.asked.clear()
    sides.built(dict.fromkeys(changes, b"3"))
    assert not sides.asked, "all of it has been written here just now"


@pytest.mark.parametrize("deleted", [False, True])
def test_what_later_parts_need_is_asked_for_before_it_is_waited_for(deleted: bool) -> None:
    sides = Sides()
    sides.write(sides.local({b"key %d" % number: b"1" for number in range(40_000)}))
    changes: Values = {b"key %d" % number: b"2" for number in range(0, 40_000, 3)}
    if deleted:
        changes |= {b"key %d" % number: None for number in range(2_000)}
    most = len(changes) // PART_PATHS
    open_questions: list[int] = []
    waited_with: list[int] = []

    def ask(wanted: Sequence[Wanted]) -> Callable[[], list[bytes]]:
        sides.asked.append(list(wanted))
        number = len(sides.asked)
        open_questions.append(number)

        def wait() -> list[bytes]:
            waited_with.append(len(open_questions))
            open_questions.remove(number)
            return [Tree(sides.store).load(*node) for node in wanted]

        return wait

    sides.builder.begin(TreeBase(2, 1, sides.base()))
    sides.builder.enter(changes.keys(), changes.values())
    parts = [dict(part) for part in sides.builder.build(ask)]
    update = sides.local(changes)
    assert (joined(parts), sides.builder.result.ref) == (update.records, update.ref)
    assert not open_questions, "no answer is left that nobody waits for"
    ahead = [count for count in waited_with if count >= AHEAD]
    assert max(waited_with) <= AHEAD + (1 if deleted else 0)
    assert len(ahead) >= most // 2
    stems = [stem for level in sides.asked for stem, _, _ in level]
    assert len(stems) == len(set(stems))


def test_records_come_in_parts_unless_a_deletion_may_take_some_back() -> None:
    sides = Sides()
    parts, _ = sides.built({b"key %d" % number: b"1" for number in range(40_000)})
    assert len(parts) > 4
    assert all(len(part) >= PART for part in parts[:-1])
    parts, _ = sides.built({b"key %d" % number: b"1" if number else None for number in range(40_000)})
    assert [len(part) for part in parts[:-1]] == [MAX_PART] * (len(parts) - 1), "all at the end"


@pytest.mark.parametrize("first", [b"1", None])
def test_no_part_is_so_large_that_who_takes_it_is_held_up(first: bytes | None) -> None:
    changes: Values = {b"key %d" % number: b"1" for number in range(MAX_PART * 20)}
    changes |= {b"key 0": first}
    sides = Sides()
    parts, _ = sides.built(changes)
    assert joined(parts) == sides.local(changes).records
    assert max(map(len, parts)) <= MAX_PART


def test_a_node_that_nobody_has_ends_the_update_not_the_builder() -> None:
    sides = Sides()
    sides.write(sides.local({b"key %d" % number: b"1" for number in range(100)}))

    def nothing(wanted: Sequence[Wanted]) -> Callable[[], list[bytes]]:
        raise LookupError("gone")

    sides.builder.begin(TreeBase(2, 1, sides.base()))
    sides.builder.enter([b"key 1"], [b"2"])
    with pytest.raises(LookupError):
        list(sides.builder.build(nothing))
    _, result = sides.built({b"key 1": b"2"})
    assert result.root == sides.local({b"key 1": b"2"}).root


def test_an_inner_node_that_left_memory_is_not_taken_for_the_bundle_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where inner nodes are too many the deeper ones go; what they were as bundles may lie in memory still."""
    monkeypatch.setattr("ledger.tree_cache.MAX_INNER", 0)
    monkeypatch.setattr("ledger.tree_cache.PINNED_DEPTH", 0)
    sides = Sides()
    contents: dict[bytes, bytes] = {}
    few = {b"key %d" % number: b"1" for number in range(1_200)}  # 75 below each child of the root
    more = {b"key %d" % number: b"1" for number in range(1_200, 3_200)}  # 200
    for step in (few, more, {b"key 7": b"2"}, {b"key %d" % number: b"3" for number in range(0, 3_200, 50)}):
        parts, update = sides.built(dict(step))
        local = sides.local(dict(step))
        contents.update(step)
        assert local.root == rebuild_root({tree_path(key): value_hash(new) for key, new in contents.items()})
        assert update.ref == local.ref
        assert joined(parts) == local.records
        sides.write(local)
