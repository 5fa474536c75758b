"""Snapshots: the manifest hashes to the root, chunks to the manifest, and nothing else is believed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ledger.snapshots as snapshots_module
from ledger.backends.memory import MemoryBackend
from ledger.helpers import run_steps
from ledger.snapshots import (
    MAX_CHUNK,
    MAX_MANIFEST,
    Manifest,
    Slot,
    check_chunk,
    check_manifest,
    decode_manifest,
    encode_manifest,
    make_in_steps,
    places,
    upper_nodes,
)
from ledger.tree import rebuild_root
from ledger.tree_nodes import child_stem
from ledger.versions import Versions
from qenex.errors import QenexError, SnapshotInvalid, SnapshotTooLarge
from qenex.proof import tree_path, value_hash
from tests.fuzz.mutation import damaged_bytes
from tests.fuzz.rule import effort, keeps_the_rule
from tests.ledger.snapshot_chains import chain, snapshot_of

CHAIN = "test-chain"


class Collected:
    """A sink in memory."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.aside: dict[int, bytes] = {}
        self.spills = 0

    def spill(self, bucket: int, data: bytes) -> None:
        self.spills += 1
        self.aside[bucket] = self.aside.get(bucket, b"") + data

    def spilled(self, bucket: int) -> bytes:
        return self.aside.pop(bucket, b"")

    def chunk(self, data: bytes) -> None:
        self.chunks.append(data)


def snapshot(entries: dict[bytes, bytes], cut: int | None = None) -> tuple[Manifest, Collected]:
    store = MemoryBackend()
    batch = store.batch()
    Versions(store).stage(batch, 7, [(key, value, None) for key, value in entries.items()])
    store.write(batch, sync=False)
    sink = Collected()
    choose = snapshots_module._choose_cut
    try:
        if cut is not None:
            snapshots_module._choose_cut = lambda sizes: cut  # type: ignore[assignment]  # a small state cut deep
        manifest = run_steps(make_in_steps(store, CHAIN, 7, sink))
    finally:
        snapshots_module._choose_cut = choose
    return manifest, sink


def root_of(entries: dict[bytes, bytes]) -> bytes:
    return rebuild_root({tree_path(key): value_hash(value) for key, value in entries.items()})


ENTRIES = st.dictionaries(st.binary(min_size=2, max_size=6), st.binary(min_size=1, max_size=40), max_size=60)


@given(ENTRIES, st.integers(0, 4))
@effort(30)
def test_a_manifest_hashes_to_the_root_and_its_chunks_hold_the_state_whatever_the_cut(
    entries: dict[bytes, bytes], cut: int
) -> None:
    manifest, sink = snapshot(entries, cut)
    check_manifest(manifest, CHAIN, 7, root_of(entries))
    assert decode_manifest(encode_manifest(manifest)) == manifest
    found: dict[bytes, bytes] = {}
    for index, data in enumerate(sink.chunks):
        chunk = check_chunk(manifest, index, data)
        found.update(chunk.entries)
    assert found == entries
    assert len(sink.chunks) == len(manifest.slots) <= 16**cut
    assert manifest.entries == len(entries)


@given(ENTRIES, st.integers(1, 4), st.data())
@effort(20)
def test_a_chunk_of_another_place_or_with_anything_changed_is_refused(
    entries: dict[bytes, bytes], cut: int, data: st.DataObject
) -> None:
    manifest, sink = snapshot(entries, cut)
    if len(sink.chunks) < 2:
        return
    one, other = data.draw(
        st.lists(st.integers(0, len(sink.chunks) - 1), min_size=2, max_size=2, unique=True)
    )
    with pytest.raises(SnapshotInvalid):
        check_chunk(manifest, one, sink.chunks[other])
    wrong = bytearray(sink.chunks[one])
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SnapshotInvalid):
        check_chunk(manifest, one, bytes(wrong))
    with pytest.raises(SnapshotInvalid):
        check_chunk(manifest, len(sink.chunks), sink.chunks[one])


@given(ENTRIES, st.integers(0, 4), st.data())
@effort(20)
def test_a_manifest_with_any_slot_changed_leads_elsewhere(
    entries: dict[bytes, bytes], cut: int, data: st.DataObject
) -> None:
    manifest, _ = snapshot(entries, cut)
    if not manifest.slots:
        return
    at = data.draw(st.integers(0, len(manifest.slots) - 1))
    slots = list(manifest.slots)
    change = data.draw(st.sampled_from(["digest", "prefix", "drop"]))
    if change == "digest":
        slots[at] = slots[at]._replace(digest=bytes(31) + b"\x01")
    elif change == "drop":
        del slots[at]
    else:
        prefix = data.draw(st.integers(0, 16**cut - 1))
        if prefix in {slot.prefix for slot in slots}:
            return
        # A single leaf may hang anywhere below the node where it parts: its chunk shows the true place.
        if slots[at].leaves == 1:
            return
        slots[at] = slots[at]._replace(prefix=prefix)
        slots.sort()
    with pytest.raises(SnapshotInvalid):
        check_manifest(manifest._replace(slots=tuple(slots)), CHAIN, 7, root_of(entries))


def test_a_leaf_shown_at_a_wrong_place_is_found_in_its_chunk() -> None:
    manifest, sink = snapshot({b"ab": b"1"}, 2)
    (slot,) = manifest.slots
    moved = manifest._replace(slots=(slot._replace(prefix=slot.prefix ^ 1),))
    check_manifest(moved, CHAIN, 7, root_of({b"ab": b"1"}))
    with pytest.raises(SnapshotInvalid, match="wrong place"):
        check_chunk(moved, 0, sink.chunks[0])


def test_a_lie_about_the_number_of_leaves_is_found() -> None:
    entries = {bytes((1, n)): b"v" for n in range(40)}
    manifest, sink = snapshot(entries, 1)
    index, slot = next((n, slot) for n, slot in enumerate(manifest.slots) if slot.leaves > 2)
    slots = list(manifest.slots)
    slots[index] = slot._replace(leaves=slot.leaves - 1)
    with pytest.raises(SnapshotInvalid):
        check_chunk(manifest._replace(slots=tuple(slots)), index, sink.chunks[index])


def test_a_single_leaf_hangs_where_its_path_parts_from_all_others() -> None:
    slots = tuple(
        [Slot(prefix, leaves, 99, b"\x01" * 32) for prefix, leaves in ((0x000, 1), (0x00F, 5), (0xF00, 1))]
    )
    found = places(Manifest(CHAIN, 1, 3, slots))
    assert [stem[1] for stem in found] == [3, 3, 1]
    assert places(Manifest(CHAIN, 1, 3, slots[:1]))[0][1] == 0
    assert found[2] == child_stem(b"N\x00", 15)


def test_the_cut_is_the_least_that_keeps_chunks_within_the_target() -> None:
    for count, cut in ((10, 0), (600, 1), (12_000, 2)):
        entries = {b"k" + n.to_bytes(4, "big"): bytes(1_000) for n in range(count)}
        manifest, _ = snapshot(entries)
        assert manifest.cut == cut
        assert max(slot.size for slot in manifest.slots) <= snapshots_module.CHUNK_TARGET
        check_manifest(manifest, CHAIN, 7, root_of(entries))


def test_a_state_beyond_the_format_is_refused() -> None:
    with pytest.raises(SnapshotTooLarge):
        snapshots_module._choose_cut([MAX_CHUNK] + [0] * 65_535)
    assert snapshots_module._choose_cut([MAX_CHUNK - 5] + [0] * 65_535) == 4


def test_memory_is_bounded_by_putting_entries_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {b"k" + n.to_bytes(4, "big"): bytes(200) for n in range(3_000)}
    whole, sink = snapshot(entries)
    monkeypatch.setattr(snapshots_module, "SPILL_BYTES", 20_000)
    again, spilling = snapshot(entries)
    assert spilling.spills > 100
    assert sink.spills == 0
    assert (again, spilling.chunks) == (whole, sink.chunks)


def test_a_snapshot_is_of_its_height_though_blocks_follow_while_it_is_made(tmp_path: Path) -> None:
    ledger = chain(12)
    made = snapshot_of(ledger, tmp_path, 9)
    assert made.manifest.height == 9
    digest, _ = upper_nodes(made.manifest)
    assert digest == ledger.blocks.header(10).state_root == ledger.root_of(9)


MANIFESTS = [
    encode_manifest(snapshot({bytes((1, n)): b"v" * (n + 1) for n in range(60)}, cut)[0]) for cut in (0, 1, 3)
]


@given(st.data())
@effort(150)
def test_a_manifest_from_outside_is_read_or_refused_with_a_typed_error(data: st.DataObject) -> None:
    found = keeps_the_rule(lambda: decode_manifest(data.draw(damaged_bytes(MANIFESTS))))
    if not isinstance(found, QenexError):
        keeps_the_rule(lambda: check_manifest(found, CHAIN, 7, bytes(32)))
        places(found)


FUZZED, FUZZED_SINK = snapshot({bytes((1, n)): b"v" * (n + 1) for n in range(60)}, 1)


@given(st.data())
@effort(150)
def test_a_chunk_from_outside_is_read_or_refused_with_a_typed_error(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(FUZZED.slots) - 1))
    chunk = data.draw(damaged_bytes(FUZZED_SINK.chunks))
    slots = list(FUZZED.slots)
    slots[index] = slots[index]._replace(size=len(chunk))
    found = keeps_the_rule(lambda: check_chunk(FUZZED._replace(slots=tuple(slots)), index, chunk))
    if not isinstance(found, QenexError):
        assert chunk == FUZZED_SINK.chunks[index]


def test_what_a_chunk_or_a_manifest_can_allocate_is_bounded() -> None:
    leaves = MAX_CHUNK // 7
    manifest = Manifest(CHAIN, 1, 0, (Slot(0, leaves, MAX_CHUNK, b"\x01" * 32),))
    data = b"\xdd" + (2 * leaves).to_bytes(4, "big") + b"\xc4\x00" * (2 * leaves)
    tracemalloc.start()
    with pytest.raises(SnapshotInvalid):
        check_chunk(manifest, 0, data.ljust(MAX_CHUNK, b"\xc0")[:MAX_CHUNK])
    with pytest.raises(SnapshotInvalid):
        decode_manifest(b"\x95" * MAX_MANIFEST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
