"""A restoration, a wipe and a rollback that die at any write, or lose what was not synced, are finished by the next try."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.restore import Restore
from ledger.rollback import step_back
from ledger.snapshot_files import Snapshot
from ledger.store import Ledger
from qenex.errors import DataFolderMissing
from tests.ledger.chains import CODECS, genesis
from tests.ledger.faults import Crash, FaultyBackend, Moment
from tests.ledger.snapshot_chains import chain, restored, snapshot_of


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return chain(8)


@pytest.fixture(scope="module")
def snapshots(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Snapshot]:
    import ledger.snapshots as making

    folder: Path = tmp_path_factory.mktemp("snapshots")
    choose, making._choose_cut = making._choose_cut, lambda sizes: 1
    try:
        return snapshot_of(ledger, folder, 5), snapshot_of(ledger, folder, 7)
    finally:
        making._choose_cut = choose


def run(snapshot: Snapshot, store) -> None:
    restore = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    for index in restore.missing:
        restore.apply(index, snapshot.chunk(index))
    restore.finish()


def sound(store: MemoryBackend, height: int, ledger: Ledger) -> None:
    found = Ledger.open_in(store, codecs=CODECS)
    assert (found.height, found.tree_root) == (height, ledger.root_of(height))
    report = found.check()
    assert report.ok, report.errors


@pytest.mark.parametrize("moment", ["before", "after", "full"])
def test_a_restoration_that_dies_at_any_write_is_finished_by_the_next(
    ledger, snapshots, moment: Moment
) -> None:
    snapshot, other = snapshots
    writes = len(snapshot.manifest.slots) + 4
    died = 0
    for at in range(1, writes + 1):
        store = FaultyBackend(at=at, moment=moment)
        try:
            run(snapshot, store)
        except (Crash, StorageFault):
            died += 1
        for kept in {0, store.unsynced() // 2, store.unsynced()}:
            survivor = store.survivor(kept)
            try:
                done = Ledger.open_in(survivor, codecs=CODECS)
            except DataFolderMissing:
                sound(restored(snapshot, survivor).store, 5, ledger)
                sound(restored(other, store.survivor(kept)).store, 7, ledger)
            else:
                assert done.check().ok
    assert died >= len(snapshot.manifest.slots)


def test_a_change_of_mind_that_dies_at_any_write_begins_anew(ledger, snapshots) -> None:
    first, second = snapshots
    for at in range(1, 30):
        begun = MemoryBackend()
        restore = Restore.begin(begun, genesis(), first.manifest_bytes, first.anchor)
        for index in restore.missing[:5]:
            restore.apply(index, first.chunk(index))
        store = FaultyBackend(begun, at=at)
        try:
            run(second, store)
        except Crash:
            survivor = store.survivor(store.unsynced())
            sound(restored(second, survivor).store, 7, ledger)
        else:
            return
    pytest.fail("the restoration never ended")


@pytest.mark.parametrize("moment", ["before", "after", "full"])
def test_a_rollback_is_whole_or_not_there(ledger, moment: Moment) -> None:
    copy = MemoryBackend()
    batch = copy.batch()
    for key, value in ledger.store.iterate(b"", b"\xff"):
        batch.put(key, value)
    copy.write(batch, sync=True)
    store = FaultyBackend(copy, at=2, moment=moment)
    assert step_back(store) == 7
    with pytest.raises((Crash, StorageFault)):
        step_back(store)
    sound(store.survivor(), 6 if moment == "after" else 7, ledger)
