"""One block back: the state, the tree and the chain as they were before the last block, in one synced batch.

A crash leaves the chain with or without the block, never between. Only as far back as old values are kept, and
never below the first block or the snapshot that the store began with. What was pruned stays pruned.
"""

from __future__ import annotations

from typing import Final

import msgpack

from ledger.backend import Backend, Batch, StorageFault
from ledger.blocks import (
    BODY_PART,
    COMMIT_PART,
    EVENTS_PART,
    HEADER_PART,
    BlockStore,
    part_key,
    receipt_tx_id,
    receipts_key,
)
from ledger.keys import (
    BLOCK_HASH,
    CHANGED,
    LATEST_VERSION,
    OLDEST_VERSION,
    ROOT,
    STALE,
    TRANSACTION,
    VALUE,
    chunk_key,
    version_key,
)
from ledger.meta import BASE_KEY, BODIES_KEY, META_CODEC, STATE_KEY, read_meta
from ledger.tree_nodes import COUNTS, INNER, ROOT_STEM, NodeRef, child_ref, child_stem, read_node, unpack_ref
from ledger.validator_sets import set_key
from ledger.versions import history_stem
from qenex.errors import MalformedBytes, NotFound, Pruned

_ABSENT: Final = b"\x00"


def oldest_target(store: Backend) -> int:
    """The lowest height that `step_back` can reach. Raises DataFolderMissing, DataFolderCorrupt, StorageFault."""
    meta = read_meta(store)
    base = store.get(BASE_KEY)
    first = meta.initial_height if base is None else int.from_bytes(base, "big")
    oldest = store.get(OLDEST_VERSION)
    return max(first, meta.height if oldest is None else int.from_bytes(oldest, "big"))


def step_back(store: Backend) -> int:
    """Undo the last block; the height the chain stands at then.

    Raises Pruned where the state before is not kept, NotFound at the first block, StorageFault.
    """
    meta = read_meta(store)
    height, target = meta.height, meta.height - 1
    if target < oldest_target(store):
        if store.get(BASE_KEY) is None and target < meta.initial_height:
            raise NotFound(f"block {height} is the first one: there is nothing before it")
        raise Pruned(f"the state of height {target} is no longer kept")
    blocks = BlockStore(store, meta.initial_height)
    header = blocks.header(height)
    batch = store.batch()
    _restore_values(store, batch, height)
    _remove_nodes(store, batch, height)
    _remove_block(store, batch, blocks, height, meta.block_hash)
    batch.delete(set_key(height + 1))
    batch.put(LATEST_VERSION, version_key(target))
    root = store.get(ROOT + version_key(target))
    if root is None or unpack_ref(root).digest != header.state_root:
        raise StorageFault(f"the stored tree of height {target} is not the one that block {height} stands on")
    back = meta._replace(
        height=target,
        tree_root=header.state_root,
        results_root=header.results_root,
        block_hash=header.parent_hash,
    )
    batch.put(STATE_KEY, META_CODEC.encode(back))
    store.write(batch, sync=True)
    return target


def _restore_values(store: Backend, batch: Batch, height: int) -> None:
    """Put back what the version replaced, and forget that it did."""
    for stored, record in store.iterate(chunk_key(CHANGED, height, 0), chunk_key(CHANGED, height + 1, 0)):
        for key in msgpack.unpackb(record):
            image_key = history_stem(key) + version_key(height)
            image = store.get(image_key)
            if image is None:
                raise StorageFault(f"the value before block {height} of key {key[:40].hex()} is missing")
            if image == _ABSENT:
                batch.delete(VALUE + key)
            else:
                batch.put(VALUE + key, image[1:])
            batch.delete(image_key)
        batch.delete(stored)


def _remove_nodes(store: Backend, batch: Batch, height: int) -> None:
    """Delete the records that the version wrote, and its list of those it made obsolete."""
    root_key = ROOT + version_key(height)
    record = store.get(root_key)
    if record is None:
        raise StorageFault(f"the root record of version {height} is missing")
    waiting: list[tuple[bytes, NodeRef]] = [(ROOT_STEM, unpack_ref(record))]
    while waiting:
        stem, ref = waiting.pop()
        if not ref.leaves or ref.version != height:
            continue
        key = stem + version_key(height)
        batch.delete(key)
        if ref.leaves == INNER:
            try:
                node, _ = read_node(store.get, stem, version_key(height), ref.leaves)
            except ValueError as error:
                raise StorageFault(f"a tree node of version {height} {error}") from None
            waiting += [(child_stem(stem, n), child_ref(node, n)) for n in range(16) if node[COUNTS + n]]
    for stored, _ in store.iterate(chunk_key(STALE, height, 0), chunk_key(STALE, height + 1, 0)):
        batch.delete(stored)
    batch.delete(root_key)


def _remove_block(store: Backend, batch: Batch, blocks: BlockStore, height: int, name: bytes) -> None:
    if store.get(receipts_key(height)) is not None:
        try:
            batch.delete_many([TRANSACTION + receipt_tx_id(data) for data in blocks.receipt_bytes(height)])
        except MalformedBytes as error:
            raise StorageFault(f"the receipts of block {height} are damaged: {error.message}") from None
    parts = (HEADER_PART, BODY_PART, COMMIT_PART, EVENTS_PART)
    batch.delete_many([*[part_key(height, part) for part in parts], receipts_key(height), BLOCK_HASH + name])
    if blocks.earliest > height:  # its body was pruned; that of the next block of this height will not be
        batch.put(BODIES_KEY, version_key(height))
