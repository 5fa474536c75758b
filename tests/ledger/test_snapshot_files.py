"""Snapshots on disk: whole or not there, and damage is found when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.helpers import run_steps
from ledger.snapshot_files import (
    ANCHOR,
    CHUNKS,
    MANIFEST,
    Anchor,
    SnapshotFiles,
    SnapshotWriter,
    decode_anchor,
    encode_anchor,
)
from ledger.snapshots import make_in_steps
from ledger.store import Ledger
from qenex.errors import NotFound, QenexError, SnapshotCorrupt
from tests.fuzz.mutation import damaged_bytes
from tests.fuzz.rule import effort, keeps_the_rule
from tests.ledger.snapshot_chains import anchor_of, chain, snapshot_of


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return chain(8)


def test_snapshots_are_listed_newest_first_and_the_oldest_go(ledger: Ledger, tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path / "snapshots")
    assert files.heights() == []
    for height in (2, 7, 5):
        snapshot_of(ledger, files.folder, height)
    (files.folder / "notes").mkdir()
    assert files.heights() == [7, 5, 2]
    files.keep(2)
    assert files.heights() == [7, 5]
    files.delete(7)
    with pytest.raises(NotFound):
        files.load(7)
    info = files.load(5).info
    assert info.height == 5
    assert info.entries == files.load(5).manifest.entries
    assert info.block_hash == ledger.blocks.hash(5)


def read_whole(files: SnapshotFiles, height: int) -> None:
    loaded = files.load(height)
    for index in range(len(loaded.manifest.slots)):
        loaded.chunk(index)


@pytest.mark.parametrize("name", [MANIFEST, ANCHOR, CHUNKS])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "grow"])
def test_damage_of_any_file_is_found_on_load(ledger: Ledger, tmp_path: Path, name: str, damage: str) -> None:
    made = snapshot_of(ledger, tmp_path, 4)
    path = made.folder / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 4
    elif damage == "cut":
        del data[-1:]
    elif damage == "grow":
        data += b"\0"
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data)
    with pytest.raises(SnapshotCorrupt):
        read_whole(SnapshotFiles(tmp_path), 4)


def test_a_chunk_that_is_not_there_is_not_found(ledger: Ledger, tmp_path: Path) -> None:
    made = snapshot_of(ledger, tmp_path, 4)
    for index in (-1, len(made.manifest.slots)):
        with pytest.raises(NotFound):
            made.chunk(index)


def test_an_unfinished_snapshot_is_not_listed_and_is_deleted_at_the_next_start(
    ledger: Ledger, tmp_path: Path
) -> None:
    files = SnapshotFiles(tmp_path)
    writer = files.writer(6)
    with ledger.store.snapshot() as reader:
        steps = make_in_steps(reader, ledger.chain_id, 6, writer)
        next(steps)
        writer.spill(3, b"entries")
        assert files.heights() == []
        assert list(tmp_path.iterdir())
        steps.close()
    files.clean()  # as after a kill
    assert list(tmp_path.iterdir()) == []
    assert snapshot_of(ledger, tmp_path, 6).info.height == 6


def test_an_abandoned_snapshot_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, 6)
    writer.chunk(b"x")
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_with_an_anchor_of_another_height_is_never_finished(
    ledger: Ledger, tmp_path: Path
) -> None:
    writer = SnapshotFiles(tmp_path).writer(5)
    with ledger.store.snapshot() as reader:
        manifest = run_steps(make_in_steps(reader, ledger.chain_id, 5, writer))
    with pytest.raises(SnapshotCorrupt):
        writer.finish(manifest, anchor_of(ledger, 4))
    assert SnapshotFiles(tmp_path).heights() == []


def test_what_was_put_aside_comes_back_once(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, 1)
    writer.spill(9, b"one")
    writer.spill(9, b"two")
    assert (writer.spilled(9), writer.spilled(9), writer.spilled(8)) == (b"onetwo", b"", b"")
    writer.abandon()


@pytest.fixture(scope="module")
def anchors(ledger: Ledger) -> list[bytes]:
    return [encode_anchor(anchor_of(ledger, height)) for height in (1, 3)]


@given(st.data())
@effort(80)
def test_an_anchor_is_read_or_refused_with_a_typed_error(anchors: list[bytes], data: st.DataObject) -> None:
    found = keeps_the_rule(lambda: decode_anchor(data.draw(damaged_bytes(anchors))))
    assert isinstance(found, Anchor | QenexError)
    for one in anchors:
        assert encode_anchor(decode_anchor(one)) == one
