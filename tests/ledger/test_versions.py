"""Values through time against a list of dicts, on every kind of store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger.backend import Backend, BackendKind, StorageFault, open_backend
from ledger.backends.memory import MemoryBackend
from ledger.keys import CHANGED, HISTORY, prefix_end
from ledger.versions import Versions, history_stem
from qenex.errors import NotFound, Pruned
from tests.ledger.faults import Crash, FaultyBackend, Moment
from tests.ledger.test_backend import needs_leveldb

State = dict[bytes, bytes]
END = b"\xff" * 8

# Bytes around the escape sequence, so that keys are prefixes and neighbours of each other.
keys = st.lists(st.sampled_from([0, 1, 2, 254, 255]), min_size=1, max_size=3).map(bytes)


def stage(store: Backend, version: int, state: State, changes: dict[bytes, bytes | None]) -> State:
    """Write a version; return the state after it."""
    batch = store.batch()
    Versions(store).stage(batch, version, [(key, new, state.get(key)) for key, new in changes.items()])
    store.write(batch, sync=False)
    after = {**state, **changes}
    return {key: value for key, value in after.items() if value is not None}


def prune(store: Backend, below: int, limit: int = 1 << 30) -> int:
    batch = store.batch()
    done = Versions(store).prune(batch, below, limit)
    store.write(batch, sync=False)
    return done


def count(store: Backend, family: bytes) -> int:
    return len(list(store.iterate(family, prefix_end(family))))


class VersionsMachine(RuleBasedStateMachine):
    kind: BackendKind = "memory"

    @initialize(first=st.integers(0, 3))
    def genesis(self, first: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qx-"))
        self.store = open_backend(self.kind, self.folder / "data", create=True)
        self.states: dict[int, State] = {first: stage(self.store, first, {}, {b"\x00": b"genesis"})}
        self.first = self.latest = self.oldest = first

    @rule(changes=st.dictionaries(keys, st.none() | st.binary(max_size=3), max_size=12))
    def block(self, changes: dict[bytes, bytes | None]) -> None:
        state = self.states[self.latest]
        self.latest += 1
        self.states[self.latest] = stage(self.store, self.latest, state, changes)

    @rule(share=st.integers(0, 12), limit=st.sampled_from([1, 10, 1 << 30]))
    def forget(self, share: int, limit: int) -> None:
        below = self.first + (self.latest - self.first) * share // 10
        done = prune(self.store, below, limit)
        self.oldest = max(self.oldest, min(below, self.latest))
        if done < limit:
            marks = [int.from_bytes(key[1:9], "big") for key, _ in self.store.iterate(CHANGED, HISTORY)]
            assert all(version > self.oldest for version in marks)
            images = [int.from_bytes(key[-8:], "big") for key, _ in self.store.iterate(HISTORY, b"I")]
            assert all(version > self.oldest for version in images)

    @rule(key=keys, back=st.integers(-1, 8))
    def read(self, key: bytes, back: int) -> None:
        version, versions = self.latest - back, Versions(self.store)
        assert versions.get(key) == self.states[self.latest].get(key)
        assert versions.get_many([key, b"x"]) == [self.states[self.latest].get(key), None]
        if version > self.latest or version < 0:
            with pytest.raises(NotFound):
                versions.get_at(key, version)
        elif version < self.oldest:
            with pytest.raises(Pruned):
                versions.get_at(key, version)
        else:
            assert versions.get_at(key, version) == self.states[version].get(key)

    @rule(start=keys | st.just(b""), stop=keys | st.just(END), back=st.integers(0, 8), reverse=st.booleans())
    def read_range(self, start: bytes, stop: bytes, back: int, reverse: bool) -> None:
        version = self.latest - back
        if version < self.oldest:
            return
        state = self.states[version]
        wanted = sorted((item for item in state.items() if start <= item[0] < stop), reverse=reverse)
        with self.store.snapshot() as view:
            assert list(Versions(view).iterate(start, stop, version, reverse=reverse)) == wanted
            if version == self.latest:
                assert list(Versions(view).iterate(start, stop, reverse=reverse)) == wanted

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder, ignore_errors=True)


class LevelVersions(VersionsMachine):
    kind = "leveldb"


class SqliteVersions(VersionsMachine):
    kind = "sqlite"


_ON_DISK = settings(max_examples=max(settings().max_examples // 6, 5))
TestVersionsInMemory = VersionsMachine.TestCase
TestVersionsInLevelDb = needs_leveldb(LevelVersions.TestCase)
TestVersionsInSqlite = SqliteVersions.TestCase
LevelVersions.TestCase.settings = _ON_DISK
SqliteVersions.TestCase.settings = _ON_DISK


@given(left=keys, right=keys)
def test_history_keys_keep_the_order_of_state_keys_and_none_is_a_prefix_of_another(
    left: bytes, right: bytes
) -> None:
    a, b = history_stem(left), history_stem(right)
    assert (a < b) is (left < right)
    assert left == right or not b.startswith(a)


def test_versions_follow_each_other_without_gaps() -> None:
    store = MemoryBackend()
    with pytest.raises(NotFound):
        Versions(store).get_at(b"k", 0)
    assert Versions(store).latest_version() is Versions(store).oldest_version() is None
    assert prune(store, 5) == 0
    state = stage(store, 10, {}, {b"k": b"1"})
    assert count(store, HISTORY) == 0
    for wrong in (10, 9, 12):
        with pytest.raises(ValueError, match="follow"):
            stage(store, wrong, state, {})
    stage(store, 11, state, {b"k": None})
    versions = Versions(store)
    assert (versions.oldest_version(), versions.latest_version()) == (10, 11)
    assert versions.get_at(b"k", 10) == b"1"
    assert versions.get_at(b"k", 11) is None
    with pytest.raises(Pruned):
        versions.get_at(b"k", 9)
    with pytest.raises(NotFound):
        versions.get_at(b"k", 12)


def test_pruning_advances_in_bounded_portions_and_hides_versions_at_once() -> None:
    store = MemoryBackend()
    state = stage(store, 0, {}, {b"%d" % n: b"0" for n in range(2500)})
    for version in range(1, 5):
        state = stage(store, version, state, {b"%d" % n: b"%d" % version for n in range(2500)})
    portions: list[int] = []
    while not portions or portions[-1] >= 10:
        portions.append(prune(store, 3, 10))
        assert Versions(store).oldest_version() == 3
        with pytest.raises(Pruned):
            Versions(store).get_at(b"1", 2)
        assert Versions(store).get_at(b"1", 3) == b"3"
    assert max(portions) <= 10 + 1025
    assert sum(portions) == 3 * (2500 + 3)
    assert count(store, HISTORY) == 2500
    prune(store, 1000)
    assert Versions(store).oldest_version() == 4
    assert (count(store, HISTORY), count(store, CHANGED)) == (0, 0)
    assert Versions(store).get_at(b"1", 4) == b"4"


@pytest.mark.parametrize("moment", ["before", "after", "full"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crash_at_any_write_leaves_a_whole_version(at: int, moment: Moment) -> None:
    store = FaultyBackend(at=at, moment=moment)
    states: list[State] = [{}]
    state: State = {}
    try:
        for version in range(4):
            changes: dict[bytes, bytes | None] = {b"%d" % n: b"%d" % version for n in range(version, 9)}
            states.append({**state, **{key: value for key, value in changes.items() if value is not None}})
            batch = store.batch()
            Versions(store).stage(
                batch, version, [(key, new, state.get(key)) for key, new in changes.items()]
            )
            store.write(batch, sync=True)
            state = states[-1]
    except (Crash, StorageFault):
        pass
    found = store.survivor()
    latest = Versions(found).latest_version()
    assert (latest is None) is (at == 1 and moment != "after")
    assert (-1 if latest is None else latest) == (at - 1 if moment == "after" else at - 2)
    for version in range(0 if latest is None else latest + 1):
        assert dict(Versions(found).iterate(b"", END, version)) == states[version + 1]


def test_a_damaged_history_record_is_a_storage_fault() -> None:
    store = MemoryBackend()
    state = stage(store, 0, {}, {b"k": b"1"})
    stage(store, 1, state, {b"k": b"2"})
    batch = store.batch()
    batch.put(history_stem(b"k") + (1).to_bytes(8, "big"), b"\x07rest")
    store.write(batch, sync=True)
    with pytest.raises(StorageFault):
        Versions(store).get_at(b"k", 0)
