"""The log: what is good is found again, at whatever byte it was cut or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.events import BlockChecked, Step, TimedOut, Verified
from consensus.wal import Body, FileStorage, MemoryStorage, Verdict, Wal, encode_record, frame, log_name, scan
from qenex.block import PREVOTE
from qenex.errors import DataFolderCorrupt
from tests.consensus.network import block, make_proposal, make_vote

RECORDS = (
    Verified("a", make_proposal(1, 0, block("a"), height=7)),
    Verified("b", make_vote(2, PREVOTE, 0, None, 7)),
    BlockChecked(7, 0, block("a"), True, False),
    Body(block("a"), b"\xf1QW\x01 a block with the magic inside" * 5),
    TimedOut(7, 0, Step.PREVOTE),
)


def written(storage=None, records=RECORDS, height=7):
    storage = MemoryStorage() if storage is None else storage
    wal = Wal(storage)
    wal.begin(height)
    for record in records:
        wal.append(record)
    wal.flush()
    return storage


def recover(data: bytes, height=7):
    storage = MemoryStorage()
    storage.files[log_name(height)] = data
    return storage, Wal(storage).begin(height)


DATA = written().read(log_name(7))
ENDS = [0]
for _record in RECORDS:
    ENDS.append(ENDS[-1] + len(frame(7, ENDS[-1], encode_record(_record))))


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_appended_is_recovered_in_order(kind, tmp_path: Path):
    storage = MemoryStorage() if kind == "memory" else FileStorage(tmp_path / "wal")
    written(storage)
    again = Wal(storage if kind == "memory" else FileStorage(tmp_path / "wal")).begin(7)
    assert again.records == RECORDS
    assert again.verdict is Verdict.CLEAN
    assert again.may_sign
    assert again.events == tuple(r for r in RECORDS if not isinstance(r, Body))
    assert again.bodies == {block("a"): RECORDS[3].block}


def test_a_log_cut_at_any_byte_is_torn_and_gives_the_whole_records_before_the_cut():
    for size in range(len(DATA)):
        storage, recovery = recover(DATA[:size])
        whole = sum(end <= size for end in ENDS[1:])
        assert recovery.records == RECORDS[:whole]
        assert recovery.verdict is (Verdict.CLEAN if size in ENDS else Verdict.TORN)
        assert recovery.may_sign
        assert storage.read(log_name(7)) == DATA[: ENDS[whole]]


def test_a_damaged_byte_is_corruption_if_a_good_record_follows_and_a_torn_tail_if_not():
    for place in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[place] ^= 0x41
        storage, recovery = recover(bytes(damaged))
        hit = sum(end <= place for end in ENDS[1:])
        assert recovery.records == RECORDS[:hit]
        last = hit == len(RECORDS) - 1
        assert recovery.verdict is (Verdict.TORN if last else Verdict.CORRUPT), place
        if not last:
            assert not recovery.may_sign
            assert storage.read(log_name(7)) == bytes(damaged), "evidence of what happened stays"


def test_a_corrupt_log_stays_corrupt_however_often_the_node_starts():
    damaged = bytearray(DATA)
    damaged[3] ^= 1
    storage, _ = recover(bytes(damaged))
    for _ in range(2):
        wal = Wal(storage)
        recovery = wal.begin(7)
        assert recovery.verdict is Verdict.CORRUPT
        wal.append(RECORDS[1])
        wal.flush()


def test_a_torn_log_goes_on_where_it_was_cut():
    storage, _ = recover(DATA[:-3])
    wal = Wal(storage)
    wal.begin(7)
    wal.append(RECORDS[0])
    again = Wal(storage).begin(7)
    assert again.records == (*RECORDS[:-1], RECORDS[0])
    assert again.verdict is Verdict.CLEAN


def test_a_record_inside_a_block_proves_nothing():
    inside = frame(7, 0, encode_record(RECORDS[1]))
    storage = written(records=(Body(block("a"), b"x" * 40 + inside + b"x" * 40),))
    data = bytearray(storage.read(log_name(7)))
    data[10] ^= 1
    _, recovery = recover(bytes(data))
    assert recovery.verdict is Verdict.TORN


def test_a_log_of_another_height_counts_for_nothing():
    _, recovery = recover(DATA, height=8)
    assert recovery.records == ()
    assert recovery.verdict is Verdict.TORN


@given(st.binary(max_size=300))
def test_garbage_is_no_record(data):
    payloads, good, more = scan(7, data)
    assert (payloads, good, more) == ([], 0, False)


def test_each_height_has_its_own_log_and_old_ones_go():
    storage = MemoryStorage()
    for height in range(1, 6):
        written(storage, RECORDS[:2], height)
    storage.append("notes.wal", b"somebody's")
    Wal(storage).sweep(5)
    assert storage.names() == [log_name(4), log_name(5), "notes.wal"]
    assert Wal(storage).begin(5).records == RECORDS[:2]


def test_a_good_record_of_a_newer_program_is_named_not_skipped():
    storage = MemoryStorage()
    storage.append(log_name(7), frame(7, 0, b"\x91\xa6Future"))
    with pytest.raises(DataFolderCorrupt):
        Wal(storage).begin(7)


def test_the_file_is_on_disk_before_flush_returns_and_only_then(tmp_path: Path):
    class Counting(FileStorage):
        synced = 0

        def sync(self, name: str) -> None:
            self.synced += 1
            super().sync(name)

    storage = Counting(tmp_path / "wal")
    wal = Wal(storage)
    wal.begin(7)
    wal.flush()
    assert storage.synced == 0, "nothing to flush"
    wal.append(RECORDS[0])
    assert storage.synced == 0
    wal.flush()
    wal.flush()
    assert storage.synced == 1
    storage.truncate(log_name(7), 3)
    assert (tmp_path / "wal" / log_name(7)).read_bytes() == storage.read(log_name(7))[:3]
    storage.remove(log_name(7))
    storage.remove(log_name(7))
    storage.close()
