"""A replay of the stored blocks gives the same roots, and finds the first block that does not."""

from __future__ import annotations

import pytest

from ledger.backends.sqlite import SqliteBackend
from ledger.keys import RECEIPT, version_key
from ledger.options import Options
from ledger.store import Ledger
from node.replay import can_replay_from_genesis, replay
from qenex.errors import NotFound, Pruned
from tests.node.sync_net import chain


def test_all_blocks_give_the_same_roots() -> None:
    _, application = chain(12)
    found = list(replay(application.ledger))
    assert [one.height for one in found] == list(range(1, 13))
    assert all(not one.problem and one.transactions == 1 for one in found)
    assert can_replay_from_genesis(application.ledger)


def test_a_replay_may_begin_at_a_kept_height_and_end_at_another(tmp_path) -> None:
    _, application = chain(12)
    store = SqliteBackend.open(tmp_path, cache_bytes=1 << 20, create=True)
    found = list(replay(application.ledger, 5, 9, store))
    assert [one.height for one in found] == [6, 7, 8, 9]
    assert not any(one.problem for one in found)
    store.close()
    with pytest.raises(NotFound):
        list(replay(application.ledger, 12))  # no header carries the root of the last one
    with pytest.raises(NotFound):
        list(replay(application.ledger, 99))


def test_the_first_block_that_differs_is_named() -> None:
    _, application = chain(12)
    store = application.ledger.store
    key = RECEIPT + version_key(7)
    batch = store.batch()
    batch.put(key, store.get(RECEIPT + version_key(6)) or b"")
    store.write(batch, sync=False)
    *good, last = replay(application.ledger)
    assert len(good) == 6
    assert last.height == 7
    assert "receipts" in last.problem


def test_a_program_with_other_rules_is_found_by_the_next_header(monkeypatch) -> None:
    from vm.machine import Machine

    _, application = chain(6)
    monkeypatch.setattr(Machine, "parameters_hash", lambda self, base: bytes(32))
    (first,) = replay(application.ledger)
    assert first.height == 1
    assert "parameters_hash" in first.problem


def test_pruned_blocks_cannot_be_replayed_from_the_genesis() -> None:
    genesis, application = chain(20)
    application.ledger.options = Options(history=12, retain_blocks=8)
    for _ in application.upkeep_steps():
        pass
    ledger: Ledger = application.ledger
    assert not can_replay_from_genesis(ledger)
    with pytest.raises(Pruned):
        list(replay(ledger))
    assert [one.height for one in replay(ledger, 14)] == list(range(15, 21))
    assert genesis.initial_height == 1
