"""The small records that say what chain a store holds and how far it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from ledger.backend import Reader
from ledger.keys import META
from qenex.codec import Codec, codec_for, decode
from qenex.errors import DataFolderCorrupt, DataFolderMissing, MalformedBytes, TooLarge, UnsupportedVersion
from qenex.types import U32, U64, Bytes32

SCHEMA: Final = 3
"""Version of every record that the ledger itself writes; 2: tree nodes as patches, each record with a checksum; 3: bundles
of up to 128 leaves."""
OLDER: Final = (2,)
"""Schemas whose stores are valid ones of this: the next block written makes them so by name."""

STATE_KEY: Final = META + b"state"
GENESIS_KEY: Final = META + b"genesis"
"""Canonical record of the genesis."""
BODIES_KEY: Final = META + b"bodies"
"""Height (u64) of the oldest block whose body is kept; missing while none was pruned."""
BASE_KEY: Final = META + b"base"
"""Height (u64) of the snapshot that this store began with; missing where it began with the genesis."""
RESTORE_KEY: Final = META + b"restore"
"""Hash of the manifest of a snapshot that is being restored, schema u8; there is no chain yet while it is there."""
RESTORED_KEY: Final = META + b"restored"
"""`RESTORED | chunk u32` while a snapshot is being restored: this chunk is in the store, as a node of this kind (u8)."""
META_KEYS: Final = (BASE_KEY, BODIES_KEY, GENESIS_KEY, STATE_KEY)


class Meta(NamedTuple):
    """Written with every block, in the block's batch."""

    schema: U32
    chain_id: str
    genesis_hash: Bytes32
    initial_height: U64
    height: U64
    """Last committed block; `initial_height` - 1 right after the import of the genesis."""
    tree_root: Bytes32
    """State root after `height`."""
    results_root: Bytes32
    """Of block `height`; the genesis hash before the first block."""
    block_hash: Bytes32
    """Of block `height`; the genesis hash before the first block."""


META_CODEC: Codec[Meta] = codec_for(Meta)
MAX_META_SIZE: Final = 4_096


def read_meta(store: Reader) -> Meta:
    """Raises DataFolderMissing, DataFolderCorrupt, UnsupportedVersion or StorageFault."""
    record = store.get(STATE_KEY)
    if record is None:
        raise DataFolderMissing("this data folder holds no chain yet: its genesis was never imported")
    try:
        plain = decode(record, max_size=MAX_META_SIZE)
        if type(plain) is tuple and plain and type(plain[0]) is int and plain[0] != SCHEMA:
            if plain[0] not in OLDER:
                raise UnsupportedVersion(
                    f"the ledger has schema {plain[0]}, this program knows {SCHEMA}; restore a snapshot or sync anew"
                )
            plain = (SCHEMA, *plain[1:])
        return META_CODEC.check(plain)
    except (MalformedBytes, TooLarge) as error:
        raise DataFolderCorrupt(f"the record of the last block is damaged: {error.message}") from None
