"""The block store gives back exactly what was put in, finds it by every key, and tells pruned from unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.blocks import (
    BODY_PART,
    COMMIT_PART,
    EVENTS_PART,
    HEADER_PART,
    decode_hook_events,
    decode_receipt,
    pack_commit,
    part_key,
    receipt_tx_id,
    receipts_key,
    unpack_commit,
    unpack_receipts,
)
from ledger.keys import TRANSACTION
from ledger.options import Options
from ledger.store import Ledger
from qenex.block import (
    Event,
    Receipt,
    block_hash,
    decode_block,
    encode_block,
    results_root,
)
from qenex.codec import encode
from qenex.errors import MalformedBytes, NotFound, Pruned, QenexError, TooLarge
from qenex.hashing import list_root
from qenex.transaction import decode_transaction
from tests.ledger.chains import HASH, add_block, new_chain, parts, seen_commit


def chain(blocks: int = 4, options: Options | None = None, transactions: int = 3) -> Ledger:
    ledger = new_chain(MemoryBackend(), options=options or Options())
    for _ in range(blocks):
        add_block(ledger, transactions=transactions)
    return ledger


def test_a_block_reads_back_as_it_was_committed() -> None:
    ledger = new_chain(MemoryBackend())
    prepared = ledger.prepare(1, {})
    given_parts = parts(ledger, prepared, 3)
    ledger.commit(prepared, **given_parts)
    blocks = ledger.blocks
    assert blocks.block_bytes(1) == given_parts["block_bytes"]
    assert blocks.block(1) == decode_block(given_parts["block_bytes"])
    assert encode_block(blocks.block(1)) == given_parts["block_bytes"]
    assert blocks.header(1) == given_parts["header"] == ledger.header
    assert blocks.hash(1) == given_parts["block_hash"] == block_hash(blocks.header(1))
    assert blocks.commit(1) == given_parts["seen_commit"]
    assert blocks.receipt_bytes(1) == given_parts["receipts"]
    assert [encode(receipt) for receipt in blocks.receipts(1)] == given_parts["receipts"]
    events = blocks.events(1)
    assert (events.begin, events.end) == (given_parts["begin_events"], given_parts["end_events"])
    assert [index for index, _ in events.transactions] == [0, 1, 2]
    assert all(found == blocks.receipts(1)[index].events for index, found in events.transactions)


def test_receipts_and_hook_events_are_the_leaves_of_the_results_root() -> None:
    ledger = chain()
    blocks = ledger.blocks
    for height in range(1, 4):
        leaves = [*blocks.receipt_bytes(height), blocks.hook_event_bytes(height)]
        assert list_root(leaves) == blocks.header(height + 1).results_root


def test_every_transaction_and_every_block_is_found_by_its_hash() -> None:
    blocks = chain().blocks
    for height in range(1, 5):
        assert blocks.height_of(blocks.hash(height)) == height
        for index, raw in enumerate(blocks.block(height).transactions):
            assert blocks.locate(decode_transaction(raw).tx_id) == (height, index)


@pytest.mark.parametrize("unknown", [b"", bytes(31), bytes(32), bytes(33), bytes(1_000)])
def test_an_unknown_hash_of_any_length_leads_nowhere(unknown: bytes) -> None:
    blocks = chain().blocks
    assert blocks.locate(unknown) is None
    with pytest.raises(NotFound):
        blocks.height_of(unknown)


@pytest.mark.parametrize("height", [-1, 0, 5, 1 << 64, 1 << 70])
def test_a_height_without_a_block_is_not_found(height: int) -> None:
    blocks = chain().blocks
    for read in (blocks.header, blocks.block, blocks.commit, blocks.hash, blocks.receipts, blocks.events):
        with pytest.raises(NotFound):
            read(height)


def test_pruning_takes_bodies_receipts_and_index_and_leaves_headers_and_commits() -> None:
    ledger = chain(6, Options(retain_blocks=2))
    blocks = ledger.blocks
    before = {height: blocks.block(height) for height in range(1, 7)}
    assert blocks.earliest == 1
    while ledger.prune(4) >= 4:
        pass
    assert blocks.earliest == 5
    for height, block in before.items():
        assert blocks.header(height) == block.header
        assert blocks.commit(height).height == height
        assert blocks.height_of(blocks.hash(height)) == height
        found = [blocks.locate(decode_transaction(raw).tx_id) for raw in block.transactions]
        if height < 5:
            assert found == [None] * 3
            for read in (blocks.block, blocks.receipts, blocks.events, blocks.block_bytes):
                with pytest.raises(Pruned):
                    read(height)
        else:
            assert found == [(height, index) for index in range(3)]
            assert blocks.block(height) == block
            assert len(blocks.receipts(height)) == 3


def test_a_block_without_transactions_has_empty_receipts_and_is_pruned_as_well() -> None:
    ledger = chain(3, Options(retain_blocks=1), transactions=0)
    assert ledger.blocks.receipts(3) == []
    assert ledger.blocks.events(3).transactions == ()
    ledger.prune(100)
    assert ledger.blocks.earliest == 3


@pytest.mark.parametrize("part", [HEADER_PART, BODY_PART, COMMIT_PART, EVENTS_PART, None])
@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x90", b"\xc0"])
def test_a_record_that_does_not_decode_is_the_disks_fault(part: int | None, damage: bytes) -> None:
    ledger = chain()
    batch = ledger.store.batch()
    batch.put(receipts_key(2) if part is None else part_key(2, part), damage)
    ledger.store.write(batch, sync=True)
    blocks = ledger.blocks
    read = {
        HEADER_PART: blocks.header,
        BODY_PART: blocks.block,
        COMMIT_PART: blocks.commit,
        EVENTS_PART: blocks.events,
        None: blocks.receipts,
    }[part]
    if (part, damage) == (None, b"\x90"):
        assert blocks.receipts(2) == []  # a well-formed list of none: the check compares it with the header
        assert not ledger.check().ok
        return
    with pytest.raises(StorageFault):
        read(2)


def test_a_damaged_index_entry_is_the_disks_fault() -> None:
    ledger = chain()
    tx_id = decode_transaction(ledger.blocks.block(2).transactions[0]).tx_id
    batch = ledger.store.batch()
    batch.put(TRANSACTION + tx_id, b"short")
    ledger.store.write(batch, sync=True)
    with pytest.raises(StorageFault):
        ledger.blocks.locate(tx_id)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**255), 2**255) | st.binary(max_size=8) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
events = st.lists(
    st.builds(Event, st.text(max_size=12), st.lists(plain, max_size=3).map(tuple)), max_size=4
).map(tuple)
receipts = st.builds(
    Receipt,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**32 - 1),
    st.none() | st.integers(0, 255),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**128 - 1),
    st.lists(plain, max_size=3).map(tuple),
    events,
)


@given(receipts, events)
def test_receipts_and_events_survive_their_encoding(receipt: Receipt, more: tuple[Event, ...]) -> None:
    data = encode(receipt)
    assert decode_receipt(data) == receipt
    assert receipt_tx_id(data) == receipt.tx_id
    assert decode_hook_events(encode((receipt.events, more))) == (receipt.events, more)
    assert results_root([data], receipt.events, more) == list_root([data, encode((receipt.events, more))])


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("tx_id", bytes(31)),
        ("tx_id", "x"),
        ("status", -1),
        ("status", 1 << 32),
        ("status", True),
        ("failed_message", 256),
        ("gas_used", 1 << 64),
        ("fee", -1),
        ("fee", 1 << 128),
        ("results", None),
        ("events", 5),
        ("events", (1,)),
        ("events", (("name",),)),
        ("events", ((1, ()),)),
        ("events", (("name", None),)),
    ],
)
def test_a_receipt_with_a_field_of_another_type_is_refused(field: str, wrong: object) -> None:
    receipt = Receipt(HASH, 0, None, 1, 1, (), ())._replace(**{field: wrong})  # type: ignore[arg-type]  # on purpose
    with pytest.raises(MalformedBytes):
        decode_receipt(encode(receipt))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_a_typed_error(junk: bytes) -> None:
    for read in (decode_receipt, decode_hook_events, unpack_receipts, unpack_commit, receipt_tx_id):
        try:
            read(junk)
        except QenexError as error:
            assert isinstance(error, (MalformedBytes, TooLarge))  # noqa: PT017  # either is right


def test_a_commit_is_stored_with_a_checksum_because_no_header_carries_it() -> None:
    record = pack_commit(seen_commit(3, HASH))
    assert unpack_commit(record) == seen_commit(3, HASH)
    for at in range(len(record)):
        with pytest.raises(MalformedBytes):
            unpack_commit(record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :])
