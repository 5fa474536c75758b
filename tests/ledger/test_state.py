"""The layered state behaves as plain dicts that are copied at every checkpoint would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.collections import RecordCodec, end_of_prefix
from ledger.state import Committed, EmptyBase, State, View, merge_layers
from qenex.errors import MalformedBytes
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.types import U64

PREFIX = bytes((9, 1))
BESIDE = bytes((9, 2))
CODECS = {PREFIX: RecordCodec(U64, 1, {}), BESIDE: RecordCodec(U64, 1, {})}
KEYS = st.sampled_from([PREFIX + bytes((n,)) for n in range(12)])
TWO_COLLECTIONS = KEYS | st.sampled_from([BESIDE + bytes((n,)) for n in range(3)])
ENDS = TWO_COLLECTIONS | st.sampled_from([b"", b"\x09", PREFIX, BESIDE, b"\x09\x03", b"\xff\xff\xff"])
VALUES = st.one_of(st.none(), st.integers(0, 5))
MAPS = st.dictionaries(KEYS, st.integers(0, 5))
START, STOP = PREFIX, bytes((9, 2))


class Plain:
    """A readable layer over a dict."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        self.values = values

    def get(self, key: bytes) -> Any:
        return self.values.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        return iter(ordered(self.values, start, stop, reverse))


def ordered(values: dict[bytes, Any], start: bytes, stop: bytes, reverse: bool) -> list[tuple[bytes, Any]]:
    return sorted(((k, v) for k, v in values.items() if start <= k < stop and v is not None), reverse=reverse)


class JournalMachine(RuleBasedStateMachine):
    """get, set, mark, revert, touched, changes, pages: against copies of a dict."""

    @initialize(base=MAPS)
    def start(self, base: dict[bytes, int]) -> None:
        self.base = base
        self.state = State(Plain(base))
        self.model: dict[bytes, int] = dict(base)
        self.marks: list[tuple[int, dict[bytes, int]]] = []
        self.created: list[bytes] = []
        self.state.on_create = lambda key, value: self.created.append(key)

    @rule(key=KEYS, value=VALUES)
    def write(self, key: bytes, value: int | None) -> None:
        expected = self.model.get(key) is None and value is not None
        before = len(self.created)
        self.state.set_ordered(key, value)
        assert (len(self.created) > before) == expected
        if value is None:
            self.model.pop(key, None)
        else:
            self.model[key] = value

    @rule(key=KEYS, value=st.integers(0, 5))
    def replace(self, key: bytes, value: int) -> None:
        """What was just read, is there and differs."""
        before = self.state.get(key)
        if before is not None and before != value:
            self.state.replace_ordered(key, before, value)
            self.model[key] = value

    @rule(key=KEYS)
    def refuse_creation(self, key: bytes) -> None:
        """A creation that is refused (out of gas) writes nothing."""

        def refuse(key: bytes, value: Any) -> None:
            raise MalformedBytes("no")

        kept, self.state.on_create = self.state.on_create, refuse
        if self.model.get(key) is None:
            with pytest.raises(MalformedBytes):
                self.state.set_ordered(key, 5)
        self.state.on_create = kept

    @rule()
    def mark(self) -> None:
        self.marks.append((self.state.mark(), dict(self.model)))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.marks) - 1))
        mark, self.model = self.marks[index]
        del self.marks[index:]
        self.state.revert(mark)

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def touched(self, data: st.DataObject) -> None:
        mark, then = data.draw(st.sampled_from(self.marks))
        images = self.state.touched(mark)
        for key, old in images.items():
            assert old == then.get(key)
        changed = {k for k in {*then, *self.model} if then.get(k) != self.model.get(k)}
        assert changed <= set(images)

    @precondition(lambda self: not self.marks)
    @rule(key=KEYS)
    def drop(self, key: bytes) -> None:
        self.state.drop([key])
        self.model.pop(key, None)
        if key in self.base:
            self.model[key] = self.base[key]

    @rule(keys=st.tuples(KEYS, KEYS), reverse=st.booleans())
    def page(self, keys: tuple[bytes, bytes], reverse: bool) -> None:
        low, high = min(keys), max(keys)
        assert list(self.state.iterate(low, high, reverse=reverse)) == ordered(self.model, low, high, reverse)

    @invariant()
    def equal(self) -> None:
        for n in range(12):
            key = PREFIX + bytes((n,))
            assert self.state.get(key) == self.model.get(key)
        expected = {
            k: self.model.get(k) for k in {*self.base, *self.model} if self.base.get(k) != self.model.get(k)
        }
        assert self.state.changes() == expected
        images = self.state.images()
        assert set(expected) <= set(images)
        assert all(images[key] == self.base.get(key) for key in images)


TestJournal = JournalMachine.TestCase


class CommittedMachine(RuleBasedStateMachine):
    """A cache of two entries over a store that lags behind, against one dict."""

    @initialize(capacity=st.integers(1, 6))
    def start(self, capacity: int) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.model: dict[bytes, int] = {}
        self.lagging: dict[bytes, int | None] = {}
        self.reads = 0
        self.committed = Committed(self._read, self._iterate, CODECS, capacity=capacity)

    def _read(self, key: bytes) -> bytes | None:
        assert key not in self.lagging, "the store is asked for a key whose write is under way"
        self.reads += 1
        return self.stored.get(key)

    def _iterate(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        return iter(ordered(self.stored, start, stop, reverse))

    def _store(self, changes: dict[bytes, int | None]) -> None:
        for key, value in changes.items():
            self.stored.pop(key, None)
            if value is not None:
                self.stored[key] = CODECS[PREFIX].encode(value)

    @rule(changes=st.dictionaries(TWO_COLLECTIONS, VALUES), durable=st.booleans())
    def apply(self, changes: dict[bytes, int | None], durable: bool) -> None:
        if durable and not self.lagging:
            self._store(changes)
            self.committed.apply(changes)
        else:
            self.committed.apply(changes, durable=False)
            self.lagging |= changes
        self.model = {k: v for k, v in {**self.model, **changes}.items() if v is not None}

    @rule()
    def settle(self) -> None:
        self._store(self.lagging)
        self.lagging = {}
        self.committed.settle()

    @rule(key=TWO_COLLECTIONS)
    def read(self, key: bytes) -> None:
        assert self.committed.get(key) == self.model.get(key)
        before = self.reads
        assert self.committed.get(key) == self.model.get(key)
        assert self.reads == before, "present or absent, it is remembered"

    @rule(keys=st.sets(TWO_COLLECTIONS, max_size=3))
    def load(self, keys: set[bytes]) -> None:
        before = self.reads
        self.committed.load(keys)
        assert self.reads <= before + len(keys)
        for key in keys:
            assert self.committed.get(key) == self.model.get(key)

    @rule(keys=st.tuples(ENDS, ENDS), reverse=st.booleans())
    def page(self, keys: tuple[bytes, bytes], reverse: bool) -> None:
        low, high = min(keys), max(keys)
        found = list(self.committed.iterate(low, high, reverse=reverse))
        assert found == ordered(self.model, low, high, reverse)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "committed"):
            assert len(self.committed._values) <= self.committed._capacity


TestCommitted = CommittedMachine.TestCase


def test_cache_drops_the_half_that_came_first() -> None:
    reads: list[bytes] = []

    def read(key: bytes) -> bytes | None:
        reads.append(key)
        return None

    committed = Committed(read, lambda a, b, r: iter([]), CODECS, capacity=6)
    keys = [PREFIX + bytes((n,)) for n in range(7)]
    for key in [*keys[:6], *keys[:6], keys[6]]:
        committed.get(key)
    assert reads == keys
    for key in [*keys[4:], *keys[:4]]:
        committed.get(key)
    assert reads == [*keys, *keys[:4]], "three of seven were kept: the last read for the first time"


def test_a_changed_value_does_not_show_its_predecessor_when_it_makes_room() -> None:
    stored: dict[bytes, bytes] = {}
    committed = Committed(stored.get, lambda a, b, r: iter([]), CODECS, capacity=2)
    changes: dict[bytes, int | None] = {PREFIX + bytes((n,)): 1 for n in range(6)}
    for number in (1, 2):
        changes = dict.fromkeys(changes, number)
        stored |= {key: CODECS[PREFIX].encode(number) for key in changes}
        committed.apply(changes)
        assert len(committed._values) <= 2
        assert [committed.get(key) for key in changes] == [number] * 6


def test_only_the_changed_keys_of_a_collection_are_looked_at_for_its_pages() -> None:
    """Also of those of the machine, whose number is 0: a block of transfers changes ten thousand keys of another one."""
    committed = Committed({}.get, lambda a, b, r: iter([]), {})
    codes = [bytes((module, number)) for module in (0, 1, 255) for number in (0, 3, 4, 255)]
    committed.apply({code + b"key": 1 for code in codes}, durable=False)
    for code in codes[:-1]:
        assert list(committed._pending_between(code, end_of_prefix(code))) == [code + b"key"]
    whole = b"\xff\xff"
    assert whole + b"key" in committed._pending_between(whole, b"\xff" * 5)
    for start, stop in (
        (b"", b"\xff" * 3),
        (b"\x00", b"\x01"),
        (b"\x00\x03", b"\x00\x04\x00"),
        (b"\x01", b"\x01\x04"),
    ):
        assert len(committed._pending_between(start, stop)) == len(codes)


def test_who_knows_the_keys_beside_accounts_saves_a_look_at_each() -> None:
    committed = Committed({}.get, lambda a, b, r: iter([]), {})
    record, listed, plain = ACCOUNT_RECORDS + b"a", b"\x03\x01key", b"\x02\x01key"
    changes = {record: 1, listed: 2, plain: None}
    committed.apply(changes, durable=False, beside=[listed, plain, b"\x03\x01unchanged"])
    whole = bytes(2), b"\xff" * 3
    for start, stop, expected in (
        (listed[:2], end_of_prefix(listed[:2]), [(listed, 2)]),
        (plain[:2], end_of_prefix(plain[:2]), []),
        (record[:2], end_of_prefix(record[:2]), [(record, 1)]),
        (*whole, [(record, 1), (listed, 2)]),
    ):
        assert list(committed.iterate(start, stop)) == expected
    more = b"\x03\x01more"
    committed.apply({more: 4}, durable=False, beside=[more])  # on top of what is not settled yet
    assert list(committed.iterate(listed[:2], end_of_prefix(listed[:2]))) == [(listed, 2), (more, 4)]
    committed.settle()
    assert list(committed.iterate(*whole)) == []


def test_what_was_loaded_together_is_read_once_and_in_order() -> None:
    asked: list[list[bytes]] = []
    stored = {PREFIX + bytes((n,)): CODECS[PREFIX].encode(n) for n in range(0, 9, 2)}

    def read_many(keys: Sequence[bytes]) -> list[bytes | None]:
        asked.append(list(keys))
        return [stored.get(key) for key in keys]

    committed = Committed(stored.get, lambda a, b, r: iter([]), CODECS, get_many_bytes=read_many)
    keys = [PREFIX + bytes((n,)) for n in (4, 1, 2, 4)]
    committed.load(keys)
    stored.clear()
    assert [committed.get(key) for key in keys] == [4, None, 2, 4]
    committed.load(keys)
    assert asked == [sorted(set(keys))]


@pytest.mark.parametrize("known", [0, 1, 15, 16, 99, 100])
def test_of_many_keys_a_sample_tells_whether_they_are_in_memory(known: int) -> None:
    """What the sample misses is read when it is asked for."""
    asked: list[int] = []
    keys = [PREFIX + bytes((n,)) for n in range(100)]
    stored = {key: CODECS[PREFIX].encode(key[2]) for key in keys}

    def read_many(wanted: Sequence[bytes]) -> list[bytes | None]:
        asked.append(len(wanted))
        return [stored[key] for key in wanted]

    committed = Committed(stored.get, lambda a, b, r: iter([]), CODECS, get_many_bytes=read_many)
    for key in keys[:known]:
        committed.get(key)
    committed.load(keys)
    assert asked == ([] if known >= 97 else [100 - known])
    assert [committed.get(key) for key in keys] == list(range(100))


@given(below=MAPS, changed=st.dictionaries(KEYS, VALUES), undone=st.sets(KEYS), reverse=st.booleans())
def test_merged_layers_are_the_union_where_the_newer_wins(
    below: dict[bytes, int], changed: dict[bytes, int | None], undone: set[bytes], reverse: bool
) -> None:
    """`undone`: keys once written whose write was reverted; the lower layer shows through."""
    keys = dict.fromkeys([*changed, *undone])
    lower = iter(ordered(below, START, STOP, reverse))
    found = list(merge_layers(lower, keys, changed, START, STOP, reverse=reverse))
    assert found == ordered({**below, **changed}, START, STOP, reverse)


@given(base=MAPS, newer=MAPS, written=st.dictionaries(KEYS, VALUES))
def test_rebased_state_keeps_what_it_wrote(
    base: dict[bytes, int], newer: dict[bytes, int], written: dict[bytes, int | None]
) -> None:
    state = State(Plain(base))
    for key, value in written.items():
        state.set(key, value)
    kept = state.changes()
    state.rebase(Plain(newer))
    for n in range(12):
        key = PREFIX + bytes((n,))
        assert state.get(key) == (kept[key] if key in kept else newer.get(key))
    assert state.changes() == {k: v for k, v in kept.items() if newer.get(k) != v}


def test_write_of_an_equal_value_is_none() -> None:
    state = State(Plain({PREFIX: 1}))
    state.on_create = lambda key, value: pytest.fail("nothing is created")
    state.set(PREFIX, 1)
    state.set(PREFIX + b"x", None)
    assert (state.mark(), state.changes()) == (0, {})


def test_value_written_back_is_touched_but_no_change() -> None:
    state = State(Plain({PREFIX: 1}))
    state.set(PREFIX, 2)
    state.set(PREFIX, 1)
    assert state.touched(0) == {PREFIX: 1}
    assert state.changes() == {}


def test_reset_forgets_everything() -> None:
    state = State(Plain({PREFIX: 1}))
    state.set_ordered(PREFIX + b"x", 2)
    state.reset(EmptyBase())
    assert state.get(PREFIX) is None
    assert state.changes() == {}
    assert list(state.iterate(START, STOP)) == []
    assert state.mark() == 0


def test_view_decodes_and_refuses_what_no_module_declares() -> None:
    stored = {PREFIX + b"a": CODECS[PREFIX].encode(5), b"\x08\x01": b"\x92\x01\x01"}
    view = View(7, stored.get, lambda a, b, r: iter(ordered(stored, a, b, r)), CODECS)
    assert view.height == 7
    assert view.get(PREFIX + b"a") == 5
    assert view.get(PREFIX + b"b") is None
    assert list(view.iterate(START, STOP)) == [(PREFIX + b"a", 5)]
    with pytest.raises(MalformedBytes):
        view.get(b"\x08\x01")
    stored[PREFIX + b"a"] = b"\x92\x01\xff"
    with pytest.raises(MalformedBytes):
        view.get(PREFIX + b"a")
