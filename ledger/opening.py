"""What is looked at when a store is opened."""

from __future__ import annotations

from ledger.backends.base import Reader, StorageFault
from ledger.blocks import BlockStore
from ledger.genesis import hash_genesis
from ledger.meta import GENESIS_KEY, Meta
from ledger.tree import Tree
from ledger.versions import Versions
from qenex.block import Header, header_hash
from qenex.errors import DataFolderCorrupt, NotFound, Pruned


def check_opening(
    meta: Meta, store: Reader, versions: Versions, tree: Tree, blocks: BlockStore
) -> Header | None:
    """Look for cheap signs that the records of the last block belong together; return its header, None before the first.

    Raises DataFolderCorrupt.
    """
    record = store.get(GENESIS_KEY)
    if record is None or hash_genesis(record) != meta.genesis_hash:
        raise DataFolderCorrupt("the stored genesis is missing or has another hash")
    if meta.height < meta.initial_height - 1:
        raise DataFolderCorrupt(f"height {meta.height} lies before the chain's first block")
    try:
        if versions.latest_version() != meta.height:
            raise DataFolderCorrupt("the values are not those of the last block")
        if tree.root(meta.height) != meta.tree_root:
            raise DataFolderCorrupt("the state root is not that of the last block")
        if meta.height < meta.initial_height:
            if meta.block_hash != meta.genesis_hash or meta.results_root != meta.genesis_hash:
                raise DataFolderCorrupt("a chain without blocks says that it has one")
            return None
        header_bytes = blocks.header_bytes(meta.height)
        header = blocks.header(meta.height)
        known = blocks.height_of(meta.block_hash)
    except (NotFound, Pruned) as error:
        raise DataFolderCorrupt(f"records of block {meta.height} are missing: {error.message}") from None
    except StorageFault as fault:
        raise DataFolderCorrupt(fault.message) from fault
    if header_hash(header_bytes) != meta.block_hash or known != meta.height:
        raise DataFolderCorrupt(f"the header of block {meta.height} has another hash")
    if header.height != meta.height or header.chain_id != meta.chain_id:
        raise DataFolderCorrupt(f"the header of block {meta.height} is of another block")
    return header
