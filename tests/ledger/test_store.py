"""A ledger moves from height to height whole, remembers what it promised, and opens only what is its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import tree_update
from ledger.backend import BackendKind, StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.collections import RecordCodec
from ledger.keys import BLOCK_HASH, HORIZON, ROOT, VALUE, version_key
from ledger.meta import GENESIS_KEY, META_CODEC, SCHEMA, STATE_KEY
from ledger.options import Options
from ledger.store import Ledger
from ledger.tree import rebuild_root
from qenex.errors import (
    DataFolderCorrupt,
    DataFolderForeign,
    DataFolderMissing,
    InvalidConfig,
    MalformedBytes,
    NotFound,
    Pruned,
    UnsupportedVersion,
    WrongGenesis,
)
from qenex.proof import tree_path, value_hash, verify_absence, verify_membership
from tests.ledger.chains import (
    CODECS,
    TEXTS,
    account,
    account_key,
    add_block,
    changes_of,
    encoded,
    expected_state,
    genesis,
    new_chain,
    parts,
    start_state,
)
from tests.ledger.faults import FaultyBackend

needs_leveldb = pytest.mark.skipif(
    find_spec("plyvel") is None, reason="plyvel has no wheel for this platform"
)
KINDS = [pytest.param("leveldb", marks=needs_leveldb), "sqlite"]
END = b"\xff" * 8


def root_by_definition(height: int) -> bytes:
    state = encoded(expected_state(height))
    return rebuild_root({tree_path(key): value_hash(value) for key, value in state.items()})


def copy_of(store: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    batch = copy.batch()
    for key, value in store.iterate(b"", END):
        batch.put(key, value)
    copy.write(batch, sync=True)
    return copy


def put(store: MemoryBackend, key: bytes, value: bytes | None) -> None:
    batch = store.batch()
    if value is None:
        batch.delete(key)
    else:
        batch.put(key, value)
    store.write(batch, sync=True)


# -- a chain's life ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_continues_after_reopening_as_if_it_had_never_stopped(
    kind: BackendKind, tmp_path: Path
) -> None:
    ledger = Ledger.create(tmp_path / "a", genesis(), codecs=CODECS, backend=kind)
    ledger.initialise(start_state(40))
    for _ in range(3):
        add_block(ledger)
    ledger.close()
    ledger = Ledger.open(tmp_path / "a", codecs=CODECS, backend=kind, genesis_hash=genesis().hash)
    assert (ledger.height, ledger.tree_root) == (3, root_by_definition(3))
    assert ledger.genesis == genesis()
    for _ in range(3):
        add_block(ledger)
    assert ledger.tree_root == root_by_definition(6)
    assert ledger.check().ok
    ledger.close()


def test_the_first_header_carries_the_genesis_hash_and_the_second_the_root_after_the_first_block() -> None:
    ledger = new_chain(MemoryBackend())
    hashes = (ledger.state_root, ledger.results_root, ledger.block_hash)
    assert hashes == (ledger.genesis_hash,) * 3
    assert ledger.tree_root == root_by_definition(0)
    add_block(ledger)
    header = ledger.blocks.header(1)
    assert (header.state_root, header.results_root, header.parent_hash) == hashes
    assert ledger.state_root == ledger.tree_root == root_by_definition(1)
    add_block(ledger)
    assert ledger.blocks.header(2).state_root == root_by_definition(1)
    assert ledger.blocks.header(2).parent_hash == ledger.blocks.hash(1)


def test_a_chain_may_start_at_any_height() -> None:
    ledger = new_chain(MemoryBackend(), initial_height=1_000)
    assert (ledger.height, ledger.state_root) == (999, ledger.genesis_hash)
    add_block(ledger)
    assert ledger.height == 1_000
    assert ledger.check().ok


def test_a_prepared_state_may_be_thrown_away_and_another_one_committed() -> None:
    ledger = new_chain(MemoryBackend())
    other = ledger.prepare(1, {account_key(0): account(9, 9), TEXTS + b"x": "y"})
    assert other.root != ledger.prepare(1, changes_of(1, 40)).root
    add_block(ledger)
    assert ledger.tree_root == root_by_definition(1)
    assert ledger.committed.get(TEXTS + b"x") is None
    with pytest.raises(ValueError, match="do not follow"):
        ledger.commit(other, **parts(ledger, other, 0))


def test_writes_of_equal_values_and_deletions_of_nothing_are_no_changes() -> None:
    ledger = new_chain(MemoryBackend())
    before = start_state(40)
    prepared = ledger.prepare(1, {account_key(3): before[account_key(3)], TEXTS + b"never": None})
    assert not prepared.values
    assert prepared.root == ledger.tree_root
    assert not prepared.changes


def test_prepare_gives_way_between_slices_and_comes_to_the_same_root() -> None:
    ledger = new_chain(MemoryBackend())
    changes = {account_key(n): account(1, n) for n in range(2_500)}
    steps = ledger.prepare_in_steps(1, changes)
    results: list[bytes] = []

    def drive() -> Generator[None, None, None]:
        prepared = yield from steps
        results.append(prepared.root)

    slices = sum(1 for _ in drive())
    assert results == [ledger.prepare(1, changes).root]
    assert slices >= 3


def test_a_key_that_no_module_declares_is_refused_before_anything_is_written() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    before = dict(store.iterate(b"", END))
    with pytest.raises(MalformedBytes):
        ledger.prepare(1, {b"\x77\x01key": 1})
    assert dict(store.iterate(b"", END)) == before


@pytest.mark.parametrize("field", ["parent_hash", "state_root", "results_root", "height"])
def test_a_block_that_does_not_stand_on_the_last_one_is_refused(field: str) -> None:
    ledger = new_chain(MemoryBackend())
    prepared = ledger.prepare(1, {})
    block = parts(ledger, prepared, 0)
    wrong = 7 if field == "height" else bytes(32)
    block["header"] = block["header"]._replace(**{field: wrong})  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match=r"block (1|7)"):
        ledger.commit(prepared, **block)
    assert ledger.height == 0


def test_a_ledger_is_initialised_once_and_takes_no_block_before() -> None:
    ledger = Ledger.create_in(MemoryBackend(), genesis(), codecs=CODECS)
    with pytest.raises(ValueError, match="does not follow"):
        ledger.prepare(1, {})
    with pytest.raises(NotFound):
        ledger.view()
    ledger.initialise(start_state(3))
    with pytest.raises(ValueError, match="once"):
        ledger.initialise(start_state(3))


# -- reads ------------------------------------------------------------------------------------


def test_every_kept_height_reads_as_it_was(tmp_path: Path) -> None:
    ledger = new_chain(MemoryBackend())
    for _ in range(9):
        add_block(ledger)
    for height in range(10):
        view, state = ledger.view(height), expected_state(height)
        assert dict(view.iterate(b"", END)) == state
        assert list(view.iterate(TEXTS, TEXTS + END, reverse=True)) == sorted(
            ((key, value) for key, value in state.items() if key.startswith(TEXTS)), reverse=True
        )
        assert all(view.get(key) == state.get(key) for key in changes_of(5, 40))
        assert ledger.root_of(height) == root_by_definition(height)


def test_a_view_stays_what_it_was_while_blocks_are_added_and_versions_pruned() -> None:
    ledger = new_chain(MemoryBackend(), options=Options(history=1))
    add_block(ledger)
    views = [ledger.view(), ledger.view(0)]
    for _ in range(4):
        add_block(ledger)
        ledger.prune(1_000)
    assert dict(views[0].iterate(b"", END)) == expected_state(1)
    assert dict(views[1].iterate(b"", END)) == expected_state(0)
    assert dict(ledger.view().iterate(b"", END)) == expected_state(5)


@given(st.integers(1, 6), st.data())
def test_proofs_verify_against_the_header_of_the_next_height_alone(height: int, data: st.DataObject) -> None:
    ledger = new_chain(MemoryBackend())
    for _ in range(height + 1):
        add_block(ledger)
    root = ledger.blocks.header(height + 1).state_root
    state = encoded(expected_state(height))
    key = data.draw(st.sampled_from(sorted({*state, *changes_of(7, 40), TEXTS + b"nobody"})))
    value, proof = ledger.prove(key, height)
    assert value == state.get(key)
    if value is None:
        verify_absence(root, key, proof)
    else:
        verify_membership(root, key, value, proof)


def test_heights_to_come_and_heights_pruned_are_told_apart() -> None:
    ledger = new_chain(MemoryBackend(), options=Options(history=3))
    for _ in range(6):
        add_block(ledger)
    ledger.prune(1_000)
    assert ledger.oldest_height == 4
    for height, error in ((7, NotFound), (-1, NotFound), (3, Pruned), (0, Pruned)):
        for read in (ledger.view, lambda h: ledger.prove(TEXTS, h), ledger.root_of):
            if height >= 0:
                with pytest.raises(error):
                    read(height)
    assert dict(ledger.view(4).iterate(b"", END)) == expected_state(4)


# -- pruning ----------------------------------------------------------------------------------


def test_pruning_advances_in_bounded_steps_and_the_store_is_sound_after_each() -> None:
    store = MemoryBackend()
    ledger = new_chain(store, options=Options(history=2, retain_blocks=3))
    for _ in range(10):
        add_block(ledger)
    steps = 0
    while ledger.prune(5) >= 5:
        steps += 1
        report = ledger.check()
        assert report.ok, report.errors
        assert Ledger.open_in(copy_of(store), codecs=CODECS).check().ok
    assert steps > 5
    assert ledger.prune(5) == 0
    report = ledger.check()
    assert report.ok
    assert (report.records["tree_roots"], report.records["receipts"]) == (2, 3)
    assert ledger.blocks.earliest == 8
    for _ in range(3):
        add_block(ledger)
        ledger.prune(1_000)
    assert ledger.tree_root == root_by_definition(13)
    assert ledger.check().ok


def test_an_archive_keeps_every_version_and_every_block() -> None:
    store = MemoryBackend()
    ledger = new_chain(store, options=Options(history=0))
    for _ in range(5):
        add_block(ledger)
    before = dict(store.iterate(b"", END))
    assert ledger.prune(1_000) == 0
    assert dict(store.iterate(b"", END)) == before


def test_a_node_that_kept_more_may_be_told_to_keep_less_and_back() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    for _ in range(6):
        add_block(ledger)
    Ledger.open_in(store, codecs=CODECS, options=Options(history=2)).prune(1_000)
    ledger = Ledger.open_in(store, codecs=CODECS, options=Options(history=100))
    assert ledger.prune(1_000) == 0
    assert ledger.oldest_height == 5
    assert ledger.check().ok


@pytest.mark.parametrize("wrong", [{"history": -1}, {"retain_blocks": -2}, {"tree_cache_bytes": 5}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidConfig):
        Options(**wrong)


# -- a write under way -------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1_000, 400_000])
def test_the_next_block_may_be_executed_and_prepared_while_the_last_one_is_written(capacity: int) -> None:
    store = MemoryBackend()
    ledger = new_chain(store, options=Options(capacity=capacity, tree_cache_bytes=1 << 20))
    add_block(ledger)
    for height in range(2, 9):
        prepared = ledger.prepare(height, changes_of(height, 40))
        staged = ledger.stage(prepared, **parts(ledger, prepared, 2))
        ledger.advance(staged)
        # Nothing of it is in the store, everything of it in memory.
        assert ledger.height == height == ledger.durable_height + 1
        assert ledger.committed.get(TEXTS + f"height {height}".encode()) == f"created by {height}"
        assert dict(ledger.committed.iterate(b"", END)) == expected_state(height)
        ahead = ledger.prepare(height + 1, changes_of(height + 1, 40))
        following = ledger.stage(ahead, **parts(ledger, ahead, 1))
        assert ahead.root == root_by_definition(height + 1)
        # Readers stay with what is durable.
        assert dict(ledger.view().iterate(b"", END)) == expected_state(height - 1)
        with pytest.raises(NotFound):
            ledger.view(height)
        with pytest.raises(ValueError, match="still being written"):
            ledger.advance(following)
        writer = threading.Thread(target=ledger.write, args=(staged,))
        writer.start()
        writer.join()
        ledger.settle(staged)
        assert dict(ledger.view().iterate(b"", END)) == expected_state(height)
    assert ledger.check().ok
    assert Ledger.open_in(store, codecs=CODECS).tree_root == root_by_definition(8)


def test_the_next_block_may_be_executed_before_the_tree_of_the_last_one_is_known() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    add_block(ledger)
    for height in range(2, 9):
        changes = changes_of(height, 40)
        prepared = ledger.prepare(height, changes)
        block = parts(ledger, prepared, 2)
        header, name, results = block["header"], block["block_hash"], block["results_root"]
        ledger.advance_values(header, name, results, changes)
        assert (ledger.height, ledger.block_hash, ledger.results_root) == (height, name, results)
        assert ledger.durable_height == height - 1
        assert dict(ledger.committed.iterate(b"", END)) == expected_state(height)
        assert dict(ledger.view().iterate(b"", END)) == expected_state(height - 1)
        with pytest.raises(ValueError, match="still being computed"):
            _ = ledger.state_root
        with pytest.raises(ValueError, match="does not follow"):
            ledger.prepare(height + 1, changes)
        with pytest.raises(ValueError, match="still being written"):
            ledger.advance_values(header._replace(height=height + 1), name, results, {})
        again = ledger.prepare(height, changes)  # what it was before: values of this height are not its base
        assert again.values == prepared.values
        staged = ledger.stage(again, **block)
        ledger.advance(staged)
        assert ledger.tree_root == root_by_definition(height)
        with pytest.raises(ValueError, match="still being written"):
            ledger.advance_values(header._replace(height=height + 1), name, results, {})
        ledger.write(staged)
        ledger.settle(staged)
        with pytest.raises(ValueError, match="does not follow"):
            ledger.advance_values(header, name, results, changes)
    assert ledger.check().ok
    assert Ledger.open_in(store, codecs=CODECS).tree_root == root_by_definition(8)


def test_memory_too_small_for_a_block_changes_nothing_but_speed() -> None:
    """Caches that a block outgrows: what is under way is then found in the block itself."""
    accounts, count = 6_000, 3_000
    store = MemoryBackend()
    options = Options(history=0, capacity=1_000, tree_cache_bytes=1 << 20)
    ledger = new_chain(store, accounts, options=options)
    state = start_state(accounts)
    for height in range(1, 7):
        changes = changes_of(height, accounts, count)
        assert all(ledger.committed.get(key) == state.get(key) for key in changes)
        prepared = ledger.prepare(height, changes)
        state.update(changes)
        staged = ledger.stage(prepared, **parts(ledger, prepared, 1))
        if height % 3 == 0:
            ledger.commit(prepared, **parts(ledger, prepared, 1))
        else:
            ledger.advance(staged)
            following = changes_of(height + 1, accounts, count)
            sought = sorted(following)[::2]
            encoded = [
                None if state.get(key) is None else CODECS[key[:2]].encode(state[key]) for key in sought
            ]
            assert ledger._ahead.values(sought) == encoded, "also those whose write is under way"
            assert all(ledger.committed.get(key) == state.get(key) for key in following)
            ahead = ledger.prepare(height + 1, following)
            old = {key: CODECS[key[:2]].encode(value) for key, value in state.items() if value is not None}
            assert all(before == old.get(key) for key, _, before in ahead.values)
            ledger.write(staged)
            ledger.settle(staged)
        assert dict(ledger.committed.iterate(b"", END)) == {k: v for k, v in state.items() if v is not None}
    assert ledger.check().ok


def test_what_a_block_replaces_is_the_same_from_memory_and_from_the_store() -> None:
    ledger = new_chain(MemoryBackend())
    for height in range(1, 9):
        changes = changes_of(height, 40)
        replaced = {key: ledger.committed.get(key) for key in changes}
        prepared = ledger.prepare(height, changes, replaced)
        assert prepared.values == ledger.prepare(height, changes).values
        assert sum(old is not None for _, _, old in prepared.values) >= 3
        ledger.commit(prepared, **parts(ledger, prepared, 1))
    assert ledger.check().ok


def test_what_is_replaced_must_be_of_the_keys_that_change() -> None:
    ledger = new_chain(MemoryBackend())
    changes = changes_of(1, 40)
    replaced = {key: ledger.committed.get(key) for key in changes}
    backwards = dict(reversed(replaced.items()))
    for wrong in (backwards, {}, {**replaced, b"one more": None}):
        with pytest.raises(ValueError, match="replaced"):
            ledger.prepare(1, changes, wrong)


class Doubled(NamedTuple):
    """What texts are in a later version of the program."""

    text: str
    again: str


LATER = {
    **CODECS,
    TEXTS: RecordCodec(Doubled, 2, {1: lambda fields: Doubled(fields[0], fields[0])}),
}


def test_history_keeps_the_bytes_of_an_older_schema_as_they_were() -> None:
    """A record that was stored in an older form encodes otherwise now; the root of its version stands on the old bytes."""
    store = MemoryBackend()
    ledger = new_chain(store)
    key, other, never = TEXTS + b"first", TEXTS + b"height 1", TEXTS + b"never"
    add_block(ledger)
    root = ledger.tree_root
    ledger = Ledger.open_in(store, codecs=LATER)
    replaced = {
        account_key(1): ledger.committed.get(account_key(1)),
        key: ledger.committed.get(key),
        never: ledger.committed.get(never),
        other: ledger.committed.get(other),
    }
    assert replaced[key] == Doubled("one", "one")
    changes = {account_key(1): account(5, 5), key: Doubled("a", "b"), never: Doubled("c", "c"), other: None}
    prepared = ledger.prepare(2, changes, replaced)
    assert prepared.values == ledger.prepare(2, changes).values
    ledger.commit(prepared, **parts(ledger, prepared, 1))
    value, proof = ledger.prove(key, 1)
    assert value == CODECS[TEXTS].encode("one")
    verify_membership(root, key, value, proof)
    assert ledger.view(1).get(key) == Doubled("one", "one")
    replaced = {key: ledger.committed.get(key)}
    prepared = ledger.prepare(3, {key: None}, replaced)
    assert [old for _, _, old in prepared.values] == [LATER[TEXTS].encode(Doubled("a", "b"))]
    ledger.commit(prepared, **parts(ledger, prepared, 1))
    assert ledger.check().ok


def test_what_is_too_large_in_its_newer_form_is_read_and_deleted_all_the_same() -> None:
    """Else who has read another record of an older schema before would read it, and who has not would not."""
    store = MemoryBackend()
    ledger = new_chain(store)
    key, text = TEXTS + b"large", "x" * 40_000
    prepared = ledger.prepare(1, {key: text})
    ledger.commit(prepared, **parts(ledger, prepared, 1))
    ledger = Ledger.open_in(store, codecs=LATER)
    replaced = {key: ledger.committed.get(key)}
    assert replaced[key] == Doubled(text, text)
    prepared = ledger.prepare(2, {key: None}, replaced)
    assert [old for _, _, old in prepared.values] == [CODECS[TEXTS].encode(text)]
    ledger.commit(prepared, **parts(ledger, prepared, 1))
    assert ledger.check().ok


def test_a_reader_that_was_slow_does_not_hold_the_others_in_the_past() -> None:
    ledger = new_chain(MemoryBackend())
    add_block(ledger)
    slow = ledger._present()
    add_block(ledger)
    ledger._moment = slow  # what a thread does that was interrupted between snapshot and assignment
    assert ledger.view().height == 2


def test_a_block_is_not_durable_before_its_write_returned() -> None:
    ledger = new_chain(MemoryBackend())
    prepared = ledger.prepare(1, changes_of(1, 40))
    staged = ledger.stage(prepared, **parts(ledger, prepared, 1))
    with pytest.raises(ValueError, match="advanced"):
        ledger.write(staged)
    ledger.advance(staged)
    with pytest.raises(ValueError, match="not returned"):
        ledger.settle(staged)
    ahead = ledger.prepare(2, {})
    block = parts(ledger, ahead, 0)
    with pytest.raises(ValueError, match="still being written"):
        ledger.commit(ahead, **block)


def test_after_a_failed_write_of_a_block_under_way_nothing_further_is_accepted() -> None:
    store = FaultyBackend(at=3, moment="full")
    ledger = new_chain(store)
    add_block(ledger)
    prepared = ledger.prepare(2, changes_of(2, 40))
    staged = ledger.stage(prepared, **parts(ledger, prepared, 1))
    ledger.advance(staged)
    with pytest.raises(StorageFault):
        ledger.write(staged)
    for refused in (lambda: ledger.settle(staged), lambda: ledger.prune(10), lambda: add_block(ledger)):
        with pytest.raises(StorageFault):
            refused()
    reopened = Ledger.open_in(store.survivor(), codecs=CODECS)
    assert (reopened.height, reopened.tree_root) == (1, root_by_definition(1))


# -- opening ----------------------------------------------------------------------------------


def test_another_chain_is_refused_with_both_hashes() -> None:
    store = MemoryBackend()
    new_chain(store)
    other = genesis("other-chain").hash
    with pytest.raises(WrongGenesis) as caught:
        Ledger.open_in(store, codecs=CODECS, genesis_hash=other)
    assert other.hex() in caught.value.message
    assert genesis().hash.hex() in caught.value.message


def test_a_store_that_holds_a_chain_is_not_made_anew() -> None:
    store = MemoryBackend()
    new_chain(store)
    before = dict(store.iterate(b"", END))
    with pytest.raises(DataFolderForeign):
        Ledger.create_in(store, genesis(), codecs=CODECS)
    assert dict(store.iterate(b"", END)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_whose_genesis_was_never_imported_is_no_chain_and_may_be_created_again(
    kind: BackendKind, tmp_path: Path
) -> None:
    Ledger.create(tmp_path / "a", genesis(), codecs=CODECS, backend=kind).close()
    with pytest.raises(DataFolderMissing):
        Ledger.open(tmp_path / "a", codecs=CODECS, backend=kind)
    ledger = Ledger.create(tmp_path / "a", genesis(), codecs=CODECS, backend=kind)
    ledger.initialise(start_state(3))
    ledger.close()
    Ledger.open(tmp_path / "a", codecs=CODECS, backend=kind).close()
    with pytest.raises(DataFolderMissing):
        Ledger.open(tmp_path / "b", codecs=CODECS, backend=kind)
    assert not (tmp_path / "b").exists()


def test_records_of_the_last_block_that_do_not_belong_together_are_found_at_opening_and_left_alone() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    for _ in range(2):
        add_block(ledger)
    meta = META_CODEC.decode(store.get(STATE_KEY) or b"", max_size=1_000)
    older = META_CODEC.encode(meta._replace(height=1))
    damages: list[tuple[bytes, bytes | None]] = [
        (STATE_KEY, b"\x01"),
        (STATE_KEY, older),
        (STATE_KEY, META_CODEC.encode(meta._replace(tree_root=bytes(32)))),
        (STATE_KEY, META_CODEC.encode(meta._replace(block_hash=bytes(32)))),
        (STATE_KEY, META_CODEC.encode(meta._replace(chain_id="other"))),
        (GENESIS_KEY, None),
        (GENESIS_KEY, genesis("other-chain").record),
        (HORIZON + b"latest", version_key(1)),
        (ROOT + version_key(2), None),
        (ROOT + version_key(2), b"short"),
        (BLOCK_HASH + ledger.block_hash, None),
        (b"B" + version_key(2) + b"\x00", None),
        (b"B" + version_key(2) + b"\x00", b"\x90"),
    ]
    for key, value in damages:
        broken = copy_of(store)
        put(broken, key, value)
        before = dict(broken.iterate(b"", END))
        with pytest.raises(DataFolderCorrupt):
            Ledger.open_in(broken, codecs=CODECS)
        assert dict(broken.iterate(b"", END)) == before


@pytest.mark.parametrize("schema", [1, SCHEMA + 1])
def test_a_ledger_of_another_program_is_refused_as_such(schema: int) -> None:
    store = MemoryBackend()
    new_chain(store)
    meta = META_CODEC.decode(store.get(STATE_KEY) or b"", max_size=1_000)
    put(store, STATE_KEY, META_CODEC.encode(meta._replace(schema=schema)))
    with pytest.raises(UnsupportedVersion):
        Ledger.open_in(store, codecs=CODECS)


@pytest.mark.parametrize("accounts", [40, 300, 3_000])
def test_a_store_from_before_large_bundles_goes_on_and_is_sound(
    accounts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its inner nodes with few leaves stay what they are until leaves go."""
    store = MemoryBackend()
    with monkeypatch.context() as before:
        before.setattr(tree_update, "BUNDLE", [12] * 65)
        before.setattr(tree_update, "MERGE", [6] * 65)
        ledger = new_chain(store, accounts)
        for _ in range(5):
            add_block(ledger, accounts)
    meta = META_CODEC.decode(store.get(STATE_KEY) or b"", max_size=1_000)
    put(store, STATE_KEY, META_CODEC.encode(meta._replace(schema=2)))
    ledger = Ledger.open_in(store, codecs=CODECS)
    assert ledger.check().ok
    for _ in range(20):
        add_block(ledger, accounts)
    state = encoded(expected_state(25, accounts))
    assert ledger.tree_root == rebuild_root(
        {tree_path(key): value_hash(value) for key, value in state.items()}
    )
    assert ledger.check().ok
    assert META_CODEC.decode(store.get(STATE_KEY) or b"", max_size=1_000).schema == SCHEMA, "others refuse it"


def test_a_damaged_value_is_the_disks_fault_and_never_a_modules_error() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    put(store, VALUE + account_key(1), b"\xc1")
    reopened = Ledger.open_in(store, codecs=CODECS)
    with pytest.raises(StorageFault):
        reopened.committed.get(account_key(1))
    with pytest.raises(StorageFault):
        reopened.view().get(account_key(1))
    assert not ledger.check().ok
