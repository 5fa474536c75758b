"""One block back is the chain as it was, record for record."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.backends.memory import MemoryBackend
from ledger.options import Options
from ledger.rollback import oldest_target, step_back
from ledger.store import Ledger
from qenex.errors import NotFound, Pruned
from tests.ledger.chains import CODECS
from tests.ledger.snapshot_chains import chain, grow, restored, snapshot_of


def records(store) -> dict[bytes, bytes]:
    return dict(store.iterate(b"", b"\xff"))


def test_every_record_is_as_it_was_before_the_block() -> None:
    ledger = chain(1, accounts=40)
    pictures = {1: records(ledger.store)}
    for height in range(2, 13):
        grow(ledger, 1)
        pictures[height] = records(ledger.store)
    for height in range(11, 0, -1):
        assert step_back(ledger.store) == height
        assert records(ledger.store) == pictures[height]
    with pytest.raises(NotFound):
        step_back(ledger.store)


@given(st.integers(2, 9), st.integers(1, 8))
def test_after_going_back_the_chain_goes_on_and_is_sound(blocks: int, back: int) -> None:
    ledger = chain(blocks, accounts=40)
    back = min(back, blocks - 1)
    for _ in range(back):
        step_back(ledger.store)
    again = Ledger.open_in(ledger.store, codecs=CODECS)
    assert again.height == blocks - back
    report = again.check()
    assert report.ok, report.errors
    grow(again, back)
    assert again.tree_root == ledger.tree_root
    assert again.block_hash == ledger.block_hash
    assert again.check().ok


def test_no_further_back_than_old_values_are_kept() -> None:
    ledger = chain(30, accounts=40)
    ledger.options = Options(history=5, retain_blocks=3)
    while ledger.prune(1_000) == 1_000:
        pass
    assert oldest_target(ledger.store) == 26
    for height in (29, 28, 27, 26):
        assert step_back(ledger.store) == height
    with pytest.raises(Pruned):
        step_back(ledger.store)
    again = Ledger.open_in(ledger.store, codecs=CODECS)
    assert again.height == 26


def test_what_is_decided_again_after_a_step_back_below_the_pruned_bodies_is_kept_and_pruned_like_any_other() -> (
    None
):
    ledger = chain(30, accounts=40)
    ledger.options = Options(history=9, retain_blocks=3)
    while ledger.prune(1_000) == 1_000:
        pass
    for _ in range(7):
        step_back(ledger.store)
        again = Ledger.open_in(ledger.store, codecs=CODECS, options=ledger.options)
        report = again.check()
        assert report.ok, report.errors
    assert (again.height, again.blocks.earliest) == (23, 24)
    grow(again, 2)
    assert [again.blocks.block(height).header.height for height in (24, 25)] == [24, 25]
    assert again.check().ok
    grow(again, 10)
    while again.prune(1_000) == 1_000:
        pass
    report = again.check()
    assert report.ok, report.errors
    assert again.blocks.earliest == 33


def test_never_below_the_snapshot_that_the_store_began_with(tmp_path: Path) -> None:
    copy = restored(snapshot_of(chain(12), tmp_path, 10), MemoryBackend())
    grow(copy, 2, accounts=300)
    assert [step_back(copy.store), step_back(copy.store)] == [11, 10]
    with pytest.raises(Pruned):
        step_back(copy.store)
    assert Ledger.open_in(copy.store, codecs=CODECS).check().ok
