"""Validator sets by height: one record for each change, read for any height that is kept."""

from __future__ import annotations

import pytest

from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.keys import VALIDATORS, prefix_end
from ledger.validator_sets import ValidatorSets, set_key, unpack_set
from qenex.codec import encode
from qenex.errors import MalformedBytes, NotFound
from tests.ledger.chains import add_block, new_chain, parts, validators_of


def test_every_height_has_its_set_and_a_change_is_one_record() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    for _ in range(10):
        add_block(ledger)
    assert [ledger.validators_at(height) for height in range(1, 12)] == [
        validators_of(h) for h in range(1, 12)
    ]
    stored = [key for key, _ in store.iterate(VALIDATORS, prefix_end(VALIDATORS))]
    assert stored == [set_key(1), set_key(4), set_key(8)]
    with pytest.raises(NotFound):
        ledger.validators_at(12)
    with pytest.raises(NotFound):
        ledger.validators_at(0)
    with pytest.raises(NotFound):
        ledger.validators_at(-1)


def test_a_set_that_the_header_does_not_name_is_refused() -> None:
    ledger = new_chain(MemoryBackend())
    prepared = ledger.prepare(1, {})
    with pytest.raises(ValueError, match="not the one that the header names"):
        ledger.commit(prepared, **{**parts(ledger, prepared, 0), "validators": validators_of(9)})
    assert ledger.height == 0


def test_the_check_finds_a_changed_or_missing_set() -> None:
    store = MemoryBackend()
    ledger = new_chain(store)
    for _ in range(6):
        add_block(ledger)
    assert ledger.check().ok
    for height, record in (
        (4, None),
        (4, encode(validators_of(1))),
        (6, encode(validators_of(1))),
        (99, b"\x90"),
    ):
        batch = store.batch()
        before = store.get(set_key(height))
        batch.put(set_key(height), record) if record is not None else batch.delete(set_key(height))
        store.write(batch, sync=False)
        assert not ledger.check().ok
        batch = store.batch()
        batch.put(set_key(height), before) if before is not None else batch.delete(set_key(height))
        store.write(batch, sync=False)
    assert ledger.check().ok


@pytest.mark.parametrize("record", [b"", b"\x90", b"\xc0", encode((1,)), encode((validators_of(1)[0][:2],))])
def test_a_damaged_record_is_a_fault_of_the_store(record: bytes) -> None:
    store = MemoryBackend()
    batch = store.batch()
    batch.put(set_key(3), record)
    store.write(batch, sync=False)
    with pytest.raises(StorageFault):
        ValidatorSets(store).at(5)
    with pytest.raises(MalformedBytes):
        unpack_set(record)
