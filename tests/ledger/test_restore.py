"""A chain from a snapshot: the same state, sound by every check, able to go on; and whole or not there after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.backend import Backend, open_backend
from ledger.backends.memory import MemoryBackend
from ledger.meta import RESTORE_KEY
from ledger.options import Options
from ledger.restore import Restore, check_anchor, under_way, wipe
from ledger.snapshot_files import Snapshot
from ledger.store import Ledger
from ledger.tree_nodes import BUNDLE, LARGE
from qenex.errors import DataFolderForeign, DataFolderMissing, NotFound, ProofInvalid, Pruned, SnapshotInvalid
from qenex.proof import tree_path
from tests.ledger.chains import (
    CODECS,
    TEXTS,
    account,
    account_key,
    genesis,
    new_chain,
    start_state,
    validators_of,
)
from tests.ledger.snapshot_chains import anchor_of, chain, grow, restored, snapshot_of


@pytest.fixture
def ledger() -> Ledger:
    return chain(12)


@pytest.fixture
def snapshot(ledger: Ledger, tmp_path: Path) -> Snapshot:
    return snapshot_of(ledger, tmp_path / "snapshots", 10)


def test_a_restored_chain_has_the_same_state_and_passes_every_check(
    ledger: Ledger, snapshot: Snapshot
) -> None:
    copy = restored(snapshot)
    assert (copy.height, copy.tree_root) == (10, ledger.root_of(10))
    report = copy.check()
    assert report.ok, report.errors
    view, old = copy.view(), ledger.view(10)
    assert dict(view.iterate(b"", b"\xff")) == dict(old.iterate(b"", b"\xff"))
    assert copy.base_height == 10
    assert copy.header == ledger.blocks.header(10)
    assert copy.blocks.commit(10) == ledger.blocks.commit(10)
    assert [copy.validators_at(height) for height in (10, 11)] == [validators_of(10), validators_of(11)]
    key = account_key(3)
    assert copy.prove(key) == ledger.prove(key, 10)


def test_a_restored_chain_goes_on_as_the_original_does(ledger: Ledger, snapshot: Snapshot) -> None:
    copy = restored(snapshot)
    original = chain(10)
    for _ in range(25):
        grow(copy, 1, accounts=300)
        grow(original, 1, accounts=300)
        assert copy.tree_root == original.tree_root
        assert copy.block_hash == original.block_hash
    assert copy.check().ok
    again = Ledger.open_in(copy.store, codecs=CODECS)
    assert again.height == 35


def test_a_restored_chain_can_be_pruned_and_still_checks(snapshot: Snapshot) -> None:
    copy = restored(snapshot)
    copy.options = Options(history=5, retain_blocks=6)
    grow(copy, 20, accounts=300)
    while copy.prune(1_000) == 1_000:
        pass
    assert copy.blocks.earliest == 25
    report = copy.check()
    assert report.ok, report.errors


def test_what_lies_before_the_snapshot_is_not_there_and_says_so(snapshot: Snapshot) -> None:
    copy = restored(snapshot)
    for read in (copy.blocks.block, copy.blocks.header, copy.blocks.receipts):
        with pytest.raises(Pruned):
            read(9)
    with pytest.raises(Pruned):
        copy.blocks.block(10)
    with pytest.raises(Pruned):
        copy.view(9)
    with pytest.raises(NotFound):
        copy.validators_at(9)


def test_deletions_after_a_restoration_leave_a_sound_tree(snapshot: Snapshot) -> None:
    """Every node written by the restoration may be taken apart again."""
    copy = restored(snapshot)
    keys = [key for key, _ in copy.view().iterate(b"", b"\xff")]
    for start in range(0, len(keys), 37):
        part = dict.fromkeys(keys[start : start + 37])
        for key in part:
            copy.committed.get(key)
        grow(copy, 1, part)
    assert copy.check().ok
    assert copy.tree_root == bytes(32)


@given(st.integers(0, 30), st.integers(0, 30), st.data())
def test_small_and_lopsided_states_are_restored(accounts: int, texts: int, data: st.DataObject) -> None:
    import tempfile

    ledger = new_chain(MemoryBackend(), 0)
    state: dict[bytes, Any] = {account_key(n): account(n, n) for n in range(accounts)}
    state |= {TEXTS + bytes((n,)): "x" * data.draw(st.sampled_from([1, 60_000])) for n in range(texts)}
    grow(ledger, 1, state)
    grow(ledger, 1)
    with tempfile.TemporaryDirectory() as folder:
        copy = restored(snapshot_of(ledger, Path(folder), 1))
    assert copy.tree_root == ledger.root_of(1)
    report = copy.check()
    assert report.ok, report.errors
    grow(copy, 1)
    assert copy.tree_root == ledger.tree_root
    assert copy.check().ok


# -- crash safety ------------------------------------------------------------------------------


def test_an_interrupted_restoration_goes_on_with_what_is_there(snapshot: Snapshot) -> None:
    store = MemoryBackend()
    first = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    assert not first.resumed
    first.apply(0, snapshot.chunk(0))
    with pytest.raises(DataFolderMissing):
        Ledger.open_in(store, codecs=CODECS)
    second = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    assert second.resumed
    assert 0 not in second.missing
    assert len(second.missing) == len(snapshot.manifest.slots) - 1
    assert restored(snapshot, store).check().ok
    assert not under_way(store)


def test_a_chunk_whose_few_leaves_are_an_inner_node_is_referred_to_as_one(tmp_path: Path) -> None:
    """How many leaves it has does not say so: those of these keys crowd together."""
    keys = [key for key in map(account_key, range(1_000)) if tree_path(key)[0] >> 4 == 7][:40]
    ledger = chain(3, 20)
    grow(ledger, 4, dict.fromkeys(keys, account(0, 1)), accounts=20)
    snapshot = snapshot_of(ledger, tmp_path / "crowded", 5)
    (slot,) = snapshot.manifest.slots
    assert LARGE < slot.leaves <= BUNDLE[0]
    store = MemoryBackend()
    Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor).apply(0, snapshot.chunk(0))
    copy = restored(snapshot, store)  # goes on after a crash
    assert copy.check().ok
    assert copy.prove(keys[3]) == ledger.prove(keys[3], 5)
    for _ in range(12):
        grow(copy, 1, dict.fromkeys(keys[:3], account(0, copy.height)))
    assert copy.check().ok


def test_another_snapshot_begins_anew(ledger: Ledger, snapshot: Snapshot, tmp_path: Path) -> None:
    store = MemoryBackend()
    first = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    first.apply(0, snapshot.chunk(0))
    other = snapshot_of(ledger, tmp_path / "more", 11)
    second = Restore.begin(store, genesis(), other.manifest_bytes, other.anchor)
    assert not second.resumed
    copy = restored(other, store)
    assert copy.height == 11
    report = copy.check()
    assert report.ok, report.errors


def test_what_another_schema_has_restored_is_not_built_upon(snapshot: Snapshot) -> None:
    """Its nodes may have other forms than the nodes above them will say."""
    store = MemoryBackend()
    Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor).apply(0, snapshot.chunk(0))
    batch = store.batch()
    batch.put(RESTORE_KEY, (store.get(RESTORE_KEY) or b"")[:32])
    store.write(batch, sync=True)
    again = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    assert not again.resumed
    assert 0 in again.missing
    assert restored(snapshot, store).check().ok


def test_a_genesis_start_after_an_interrupted_restoration_begins_with_an_empty_store(
    snapshot: Snapshot,
) -> None:
    store = MemoryBackend()
    first = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    first.apply(0, snapshot.chunk(0))
    ledger = Ledger.create_in(store, genesis(), codecs=CODECS)
    ledger.initialise(start_state(5))
    grow(ledger, 2, accounts=5)
    report = ledger.check()
    assert report.ok, report.errors


@pytest.mark.parametrize("kind", ["sqlite", "leveldb"])
def test_after_a_kill_at_any_batch_the_restoration_is_finished_by_the_next_process(
    kind, snapshot: Snapshot, tmp_path: Path
) -> None:
    """Each round applies one more chunk, closes the store in the middle, and opens it again."""
    folder = tmp_path / kind
    open_backend(kind, folder, create=True).close()
    done = 0
    while True:
        store: Backend = open_backend(kind, folder)
        restore = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
        assert len(restore.missing) == len(snapshot.manifest.slots) - done
        if not restore.missing:
            break
        restore.apply(restore.missing[0], snapshot.chunk(restore.missing[0]))
        done += 1
        store.close()
    restore.finish()
    store.close()
    copy = Ledger.open(folder, codecs=CODECS, backend=kind)
    assert copy.check().ok
    copy.close()


def test_wiping_is_resumed_too() -> None:
    store = MemoryBackend()
    batch = store.batch()
    for n in range(25_000):
        batch.put(b"S" + n.to_bytes(4, "big"), b"v")
    store.write(batch, sync=False)
    assert wipe(store) == 25_000
    assert list(store.iterate(b"", b"\xff")) == []


# -- what is refused -----------------------------------------------------------------------------


def test_a_wrong_chunk_is_refused_and_changes_nothing(snapshot: Snapshot) -> None:
    store = MemoryBackend()
    restore = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    before = list(store.iterate(b"", b"\xff"))
    wrong = bytearray(snapshot.chunk(0))
    wrong[-1] ^= 1
    with pytest.raises(SnapshotInvalid):
        restore.apply(0, bytes(wrong))
    assert list(store.iterate(b"", b"\xff")) == before
    with pytest.raises(ValueError, match="missing"):
        restore.finish()
    restore.apply(0, snapshot.chunk(0))
    restore.apply(0, snapshot.chunk(0))


def test_a_store_with_a_chain_is_left_alone(ledger: Ledger, snapshot: Snapshot) -> None:
    with pytest.raises(DataFolderForeign):
        Restore.begin(ledger.store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    assert ledger.check().ok


def test_a_snapshot_of_another_chain_or_height_is_refused(ledger: Ledger, snapshot: Snapshot) -> None:
    with pytest.raises(SnapshotInvalid):
        Restore.begin(MemoryBackend(), genesis("other-chain"), snapshot.manifest_bytes, snapshot.anchor)
    with pytest.raises(SnapshotInvalid):
        Restore.begin(MemoryBackend(), genesis(), snapshot.manifest_bytes, anchor_of(ledger, 9))


def test_an_anchor_whose_blocks_do_not_belong_together_is_refused(ledger: Ledger) -> None:
    good = anchor_of(ledger, 9)
    check_anchor(genesis(), good)
    with pytest.raises(SnapshotInvalid):
        check_anchor(genesis(), good._replace(next=anchor_of(ledger, 10).next))
    unsigned = good.block.commit._replace(
        signatures=(good.block.commit.signatures[0]._replace(signature=b"x"),)
    )
    with pytest.raises(ProofInvalid):
        check_anchor(genesis(), good._replace(block=good.block._replace(commit=unsigned)))
    with pytest.raises(ProofInvalid):
        check_anchor(genesis(), good._replace(next=good.next._replace(validators=validators_of(1))))
