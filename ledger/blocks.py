"""Blocks, seen commits, receipts and the transaction index.

A block is a few large records: header, body (the whole block), seen commit, hook
events, all receipts in one; and small ones: one entry per transaction and one per block
hash. Headers and commits stay for ever; bodies, receipts and index entries may be
pruned, always a whole block at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from struct import Struct
from typing import Final, NamedTuple, overload

import msgpack

from ledger.backend import Batch, Reader, StorageFault
from ledger.keys import BLOCK, BLOCK_HASH, RECEIPT, TRANSACTION, version_key
from ledger.meta import BODIES_KEY
from qenex.block import (
    COMMIT,
    HEADER,
    MAX_BLOCK_TRANSACTIONS,
    MAX_COMMIT_SIZE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    Block,
    Commit,
    Event,
    Header,
    Receipt,
    commit_hash_of_bytes,
    decode_block,
    header_hash,
)
from qenex.codec import Plain, decode, encode
from qenex.errors import MalformedBytes, NotFound, Pruned, QenexError, TooLarge
from qenex.hashing import HASH_SIZE
from qenex.types import MAX_AMOUNT

HEADER_PART, BODY_PART, COMMIT_PART, EVENTS_PART = range(4)

MAX_EVENTS_SIZE: Final = 64 << 20
"""Bytes of one receipt, or of a block's hook events. Gas bounds them far below; this bounds a reader."""
MAX_EVENTS: Final = 1 << 20

_PLACE = Struct(">QI")
_TX_ID = slice(3, 3 + HASH_SIZE)
_RECEIPT_HEAD: Final = b"\x97\xc4\x20"
"""A receipt is an array of 7 whose first item is a tx id of 32 bytes."""

Events = tuple[Event, ...]


class BlockEvents(NamedTuple):
    """All events of a block in order: hooks before, (index, events) of transactions with any, hooks after."""

    begin: Events
    transactions: tuple[tuple[int, Events], ...]
    end: Events


def part_key(height: int, part: int) -> bytes:
    """Key of one part of a block."""
    return BLOCK + version_key(height) + bytes((part,))


def receipts_key(height: int) -> bytes:
    return RECEIPT + version_key(height)


def pack_place(height: int, index: int) -> bytes:
    """Entry of the transaction index."""
    return _PLACE.pack(height, index)


def pack_commit(commit: Commit) -> bytes:
    """Record of a seen commit: its hash, which no header carries, then its canonical bytes."""
    data = encode(commit)
    return commit_hash_of_bytes(data) + data


def unpack_commit(record: bytes) -> Commit:
    """Raises MalformedBytes or TooLarge."""
    if commit_hash_of_bytes(record[HASH_SIZE:]) != record[:HASH_SIZE]:
        raise MalformedBytes("a commit that differs from its checksum")
    return COMMIT.decode(record[HASH_SIZE:], max_size=MAX_COMMIT_SIZE, max_items=MAX_VALIDATORS)


def unpack_header(record: bytes) -> Header:
    """Raises MalformedBytes or TooLarge."""
    return HEADER.decode(record, max_size=MAX_HEADER_SIZE, max_items=32)


def unpack_receipts(record: bytes) -> list[bytes]:
    """Encoded receipts of a block. Raises MalformedBytes."""
    try:
        items = msgpack.unpackb(record, max_array_len=MAX_BLOCK_TRANSACTIONS)
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedBytes(f"receipts: {str(error)[:80]}") from None
    if type(items) is not list or not all(type(item) is bytes for item in items):
        raise MalformedBytes("receipts are a list of byte strings")
    if msgpack.packb(items) != record:
        raise MalformedBytes("receipts are not in canonical form")
    return items


def receipt_tx_id(receipt: bytes) -> bytes:
    """The tx id in an encoded receipt, without decoding the rest. Raises MalformedBytes."""
    if receipt[:3] != _RECEIPT_HEAD or len(receipt) < _TX_ID.stop:
        raise MalformedBytes("a receipt starts with a tx id")
    return receipt[_TX_ID]


def _unsigned(value: Plain, bits: int) -> bool:
    return type(value) is int and 0 <= value < 1 << bits


def _events(value: Plain) -> Events:
    if type(value) is not tuple:
        raise MalformedBytes("events are a list")
    for item in value:
        if type(item) is not tuple or len(item) != 2:
            raise MalformedBytes("an event is [name, fields]")
        if type(item[0]) is not str or type(item[1]) is not tuple:
            raise MalformedBytes("an event is [name, fields]")
    return tuple([Event(name, fields) for name, fields in value])


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt strictly; results and fields of events stay plain. Raises MalformedBytes or TooLarge."""
    value = decode(data, max_size=MAX_EVENTS_SIZE)
    if type(value) is not tuple or len(value) != 7:
        raise MalformedBytes("a receipt has 7 fields")
    tx_id, status, failed, gas_used, fee, results, events = value
    if type(tx_id) is not bytes or len(tx_id) != HASH_SIZE or not _unsigned(status, 32):
        raise MalformedBytes("a receipt starts with tx id and status")
    if not (failed is None or _unsigned(failed, 8)) or not _unsigned(gas_used, 64):
        raise MalformedBytes("a receipt has a failed message or none, and gas")
    if type(fee) is not int or not 0 <= fee < MAX_AMOUNT or type(results) is not tuple:
        raise MalformedBytes("a receipt has a fee and results")
    return Receipt(tx_id, status, failed, gas_used, fee, results, _events(events))


def decode_hook_events(data: bytes) -> tuple[Events, Events]:
    """Read `[begin_events, end_events]`, the last leaf of a results root. Raises MalformedBytes or TooLarge."""
    value = decode(data, max_size=MAX_EVENTS_SIZE, max_items=MAX_EVENTS)
    if type(value) is not tuple or len(value) != 2:
        raise MalformedBytes("hook events are [begin, end]")
    return _events(value[0]), _events(value[1])


class StoredReceipts(Sequence[Receipt]):
    """Receipts of a block by their encoded form; each is decoded when it is asked for. Raises StorageFault for a damaged one."""

    __slots__ = ("_encoded", "_height")

    def __init__(self, height: int, encoded: Sequence[bytes]) -> None:
        self._height = height
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(index, slice):
            return StoredReceipts(self._height, self._encoded[index])
        try:
            return decode_receipt(self._encoded[index])
        except (MalformedBytes, TooLarge) as error:
            raise _damaged("receipts", self._height, error) from None


class BlockStore:
    """Reads blocks from a store or a snapshot of it; stages new ones into a batch.

    Heights that are not there raise NotFound, pruned ones Pruned; a record that does not
    decode is a StorageFault, as if the disk had failed to give it back.
    """

    def __init__(self, reader: Reader, first_height: int) -> None:
        self._reader = reader
        self._get = reader.get
        self.first_height = first_height
        """Height of the chain's first block."""

    # -- reading ---------------------------------------------------------------------------

    def header_bytes(self, height: int) -> bytes:
        return self._part(height, HEADER_PART)

    def header(self, height: int) -> Header:
        record = self.header_bytes(height)
        try:
            return unpack_header(record)
        except (MalformedBytes, TooLarge) as error:
            raise _damaged("header", height, error) from None

    def hash(self, height: int) -> bytes:
        """Return the block hash."""
        return header_hash(self.header_bytes(height))

    def block_bytes(self, height: int) -> bytes:
        return self._part(height, BODY_PART)

    def block(self, height: int) -> Block:
        record = self.block_bytes(height)
        try:
            return decode_block(record)
        except QenexError as error:
            raise _damaged("block", height, error) from None

    def commit(self, height: int) -> Commit:
        """Return the seen commit: the precommits this node decided by, not those of the next block."""
        record = self._part(height, COMMIT_PART)
        try:
            return unpack_commit(record)
        except (MalformedBytes, TooLarge) as error:
            raise _damaged("commit", height, error) from None

    def receipt_bytes(self, height: int) -> list[bytes]:
        """Return the encoded receipts, the first leaves of the results root."""
        record = self._get(receipts_key(self._height(height)))
        if record is None:
            raise self._missing(height)
        try:
            return unpack_receipts(record)
        except MalformedBytes as error:
            raise _damaged("receipts", height, error) from None

    def receipts(self, height: int) -> list[Receipt]:
        return list(self.stored_receipts(height))

    def stored_receipts(self, height: int) -> Sequence[Receipt]:
        """Return the receipts, each decoded when it is asked for: a block has up to 32,768."""
        return StoredReceipts(height, self.receipt_bytes(height))

    def hook_event_bytes(self, height: int) -> bytes:
        """Return encoded `[begin_events, end_events]`, the last leaf of the results root."""
        return self._part(height, EVENTS_PART)

    def hook_events(self, height: int) -> tuple[Events, Events]:
        """Return the events of the block's begin and end hooks."""
        try:
            return decode_hook_events(self.hook_event_bytes(height))
        except (MalformedBytes, TooLarge) as error:
            raise _damaged("events", height, error) from None

    def events(self, height: int) -> BlockEvents:
        begin, end = self.hook_events(height)
        receipts = self.receipts(height)
        return BlockEvents(begin, tuple([(n, r.events) for n, r in enumerate(receipts) if r.events]), end)

    def height_of(self, block_hash: bytes) -> int:
        """Return the height of the block with this hash."""
        record = self._get(BLOCK_HASH + block_hash) if len(block_hash) == HASH_SIZE else None
        if record is None:
            raise NotFound(f"no block has the hash {block_hash[:HASH_SIZE].hex()}")
        return int.from_bytes(record, "big")

    def locate(self, tx_id: bytes) -> tuple[int, int] | None:
        """Return (height, index in the block) of a transaction, None if it is not in a kept block."""
        record = self._get(TRANSACTION + tx_id) if len(tx_id) == HASH_SIZE else None
        if record is None:
            return None
        if len(record) != _PLACE.size:
            raise StorageFault("an entry of the transaction index is damaged")
        height, index = _PLACE.unpack(record)
        return height, index

    @property
    def earliest(self) -> int:
        """Height of the oldest block whose body and receipts are kept."""
        record = self._get(BODIES_KEY)
        return self.first_height if record is None else int.from_bytes(record, "big")

    def _part(self, height: int, part: int) -> bytes:
        record = self._get(part_key(self._height(height), part))
        if record is None:
            raise self._missing(height)
        return record

    def _height(self, height: int) -> int:
        if not 0 <= height < 1 << 64:
            raise NotFound(f"there is no block {height}")
        return height

    def _missing(self, height: int) -> QenexError:
        if self.first_height <= height < self.earliest:
            return Pruned(f"block {height} is no longer kept")
        return NotFound(f"there is no block {height}")

    # -- writing ---------------------------------------------------------------------------

    def stage(
        self,
        batch: Batch,
        height: int,
        *,
        header_bytes: bytes,
        block_bytes: bytes,
        block_hash: bytes,
        commit: Commit,
        tx_ids: Sequence[bytes],
        receipts: Sequence[bytes],
        hook_events: bytes,
    ) -> None:
        """Put a block and everything found by it into `batch`."""
        put, pack = batch.put, _PLACE.pack
        put(part_key(height, HEADER_PART), header_bytes)
        put(part_key(height, BODY_PART), block_bytes)
        put(part_key(height, COMMIT_PART), pack_commit(commit))
        put(part_key(height, EVENTS_PART), hook_events)
        put(receipts_key(height), msgpack.packb(list(receipts)))
        put(BLOCK_HASH + block_hash, version_key(height))
        for tx_id, index in sorted(zip(tx_ids, range(len(tx_ids))), key=itemgetter(0)):
            put(TRANSACTION + tx_id, pack(height, index))

    def prune(self, batch: Batch, below: int, limit: int) -> int:
        """Delete, into `batch`, bodies, receipts and index entries of blocks below `below`.

        Whole blocks, oldest first, until about `limit` records are deleted. Returns the
        number of deletions; below `limit` means that all is done.
        """
        height = earliest = self.earliest
        done = 0
        while height < below and done < limit:
            encoded = self.receipt_bytes(height)
            try:
                batch.delete_many(sorted([TRANSACTION + receipt_tx_id(data) for data in encoded]))
            except MalformedBytes as error:
                raise _damaged("receipts", height, error) from None
            batch.delete_many(
                (part_key(height, BODY_PART), part_key(height, EVENTS_PART), receipts_key(height))
            )
            done += len(encoded) + 3
            height += 1
        if height != earliest:
            batch.put(BODIES_KEY, version_key(height))
        return done


def _damaged(what: str, height: int, error: QenexError) -> StorageFault:
    return StorageFault(f"the stored {what} of block {height} is damaged: {error.message}")
