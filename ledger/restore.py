"""A new store from a snapshot: chunk by chunk, and at the end, in one synced batch, a chain.

Until that last batch the store holds no chain. Each chunk is one batch with a record that says it is there, so
after a crash `Restore.begin` goes on where it was if it is given the same manifest, and begins anew with any
other. A ledger made in such a store deletes what is left of it first (`Ledger.create_in`).
"""

from __future__ import annotations

from typing import Final

from ledger.backend import Backend
from ledger.blocks import COMMIT_PART, HEADER_PART, pack_commit, part_key
from ledger.genesis import Genesis
from ledger.keys import (
    BLOCK_HASH,
    LATEST_VERSION,
    OLDEST_VERSION,
    ROOT,
    TREE_HORIZON,
    VALUE,
    prefix_end,
    version_key,
)
from ledger.meta import (
    BASE_KEY,
    BODIES_KEY,
    GENESIS_KEY,
    META_CODEC,
    RESTORE_KEY,
    RESTORED_KEY,
    SCHEMA,
    STATE_KEY,
    Meta,
)
from ledger.snapshot_files import Anchor
from ledger.snapshots import (
    Manifest,
    check_chunk,
    check_manifest,
    decode_manifest,
    manifest_hash,
    places,
    upper_nodes,
)
from ledger.tree_nodes import EMPTY_REF, NodeRef, pack_ref
from ledger.tree_update import planted
from ledger.validator_sets import ValidatorSets
from qenex.block import block_hash
from qenex.codec import encode
from qenex.errors import DataFolderForeign, SnapshotInvalid
from qenex.light import verify_commit, verify_validators

WIPE_STEP: Final = 10_000
"""Records deleted in one batch."""


class Restore:
    """One restoration under way; see the module."""

    def __init__(self, store: Backend, genesis: Genesis, manifest: Manifest, anchor: Anchor) -> None:
        """Use `begin`."""
        self.manifest = manifest
        self.resumed = False
        """Whether an earlier, interrupted restoration of the same snapshot is continued."""
        self._store = store
        self._genesis = genesis
        self._anchor = anchor
        self._places = places(manifest)
        self._missing = dict.fromkeys(range(len(manifest.slots)))
        self._kinds: dict[int, int] = {}

    @classmethod
    def begin(cls, store: Backend, genesis: Genesis, manifest_bytes: bytes, anchor: Anchor) -> Restore:
        """Check everything but the chunks, and make `store` ready. Believing the anchor's headers is the caller's.

        Raises SnapshotInvalid, ProofInvalid, DataFolderForeign where there is a chain already, StorageFault.
        """
        if store.get(STATE_KEY) is not None:
            raise DataFolderForeign("this data folder holds a chain already; nothing was changed")
        manifest = decode_manifest(manifest_bytes)
        check_anchor(genesis, anchor)
        header = anchor.block.header
        check_manifest(manifest, genesis.chain_id, header.height, anchor.next.header.state_root)
        restore = cls(store, genesis, manifest, anchor)
        # What another schema has written of it may not fit what is still to come.
        name = manifest_hash(manifest_bytes) + bytes((SCHEMA,))
        found = store.get(RESTORE_KEY)
        if found == name:
            restore.resumed = True
            for key, kind in store.iterate(RESTORED_KEY, prefix_end(RESTORED_KEY)):
                if kind:
                    restore._note(int.from_bytes(key[len(RESTORED_KEY) :], "big"), kind[0])
            return restore
        wipe(store)
        batch = store.batch()
        batch.put(RESTORE_KEY, name)
        store.write(batch, sync=True)
        return restore

    def _note(self, index: int, kind: int) -> None:
        """A chunk is in the store; `kind` (as in a node's reference) is what its subtree has become."""
        self._missing.pop(index, None)
        self._kinds[self.manifest.slots[index].prefix] = kind

    @property
    def missing(self) -> tuple[int, ...]:
        """Chunks still to come, ascending."""
        return tuple(self._missing)

    def apply(self, index: int, data: bytes) -> None:
        """Check a chunk and write it. One that is there already is skipped. Raises SnapshotInvalid, StorageFault."""
        chunk = check_chunk(self.manifest, index, data)
        if index not in self._missing:
            return
        version = self.manifest.height
        batch = self._store.batch()
        for key, value in chunk.entries:
            batch.put(VALUE + key, value)
        records, _, kind = planted(version, chunk.leaves, self._places[index])
        for key, record in records.items():
            batch.put(key, record)
        batch.put(RESTORED_KEY + index.to_bytes(4, "big"), bytes((kind,)))
        self._store.write(batch, sync=False)
        self._note(index, kind)

    def finish(self) -> int:
        """Make it a chain; return its height. Raises ValueError while chunks are missing, StorageFault."""
        if self._missing:
            raise ValueError(f"{len(self._missing)} chunks are missing")
        store, manifest = self._store, self.manifest
        header, commit, validators = self._anchor.block
        following = self._anchor.next
        height, suffix, name = manifest.height, version_key(manifest.height), block_hash(header)
        batch = store.batch()
        digest, kind = upper_nodes(
            manifest, lambda stem, record: batch.put(stem + suffix, record), suffix, self._kinds
        )
        ref = NodeRef(digest, kind, height) if kind else EMPTY_REF
        batch.put(ROOT + suffix, pack_ref(ref))
        for key in (TREE_HORIZON, LATEST_VERSION, OLDEST_VERSION, BASE_KEY):
            batch.put(key, suffix)
        batch.put(BODIES_KEY, version_key(height + 1))
        batch.put(part_key(height, HEADER_PART), encode(header))
        batch.put(part_key(height, COMMIT_PART), pack_commit(commit))
        batch.put(BLOCK_HASH + name, suffix)
        sets = ValidatorSets(store)
        sets.put(batch, height, validators, header.validators_hash)
        if header.next_validators_hash != header.validators_hash:
            sets.put(batch, height + 1, following.validators, header.next_validators_hash)
        batch.put(GENESIS_KEY, self._genesis.record)
        meta = Meta(
            schema=SCHEMA,
            chain_id=self._genesis.chain_id,
            genesis_hash=self._genesis.hash,
            initial_height=self._genesis.initial_height,
            height=height,
            tree_root=digest,
            results_root=following.header.results_root,
            block_hash=name,
        )
        batch.put(STATE_KEY, META_CODEC.encode(meta))
        batch.delete(RESTORE_KEY)
        batch.delete_many([RESTORED_KEY + index.to_bytes(4, "big") for index in range(len(manifest.slots))])
        store.write(batch, sync=True)
        return height


def check_anchor(genesis: Genesis, anchor: Anchor) -> None:
    """Raise SnapshotInvalid or ProofInvalid unless the two blocks follow each other, both signed by their sets.

    That they are the chain's is for whoever trusts a checkpoint to say.
    """
    header, following = anchor.block.header, anchor.next.header
    if header.chain_id != genesis.chain_id or following.chain_id != genesis.chain_id:
        raise SnapshotInvalid(f"the snapshot is of chain {header.chain_id[:64]!a}, not {genesis.chain_id!a}")
    if header.height < genesis.initial_height or following.height != header.height + 1:
        raise SnapshotInvalid("the two blocks of a snapshot do not follow each other")
    if (
        following.parent_hash != block_hash(header)
        or following.validators_hash != header.next_validators_hash
    ):
        raise SnapshotInvalid("the two blocks of a snapshot do not follow each other")
    for block in anchor:
        verify_validators(block.header.validators_hash, block.validators)
        verify_commit(block.header, block.commit, block.validators)


def under_way(store: Backend) -> bool:
    """Whether the store holds an unfinished restoration."""
    return store.get(RESTORE_KEY) is not None


def wipe(store: Backend) -> int:
    """Delete every record, in bounded batches; return how many there were. Raises StorageFault.

    The mark of the restoration goes last: a crash in between is noticed again.
    """
    deleted = 0
    while True:
        keys = []
        for key, _ in store.iterate(b"", b"\xff"):
            if key != RESTORE_KEY:
                keys.append(key)
            if len(keys) == WIPE_STEP:
                break
        batch = store.batch()
        batch.delete_many(keys)
        if not keys:
            batch.delete(RESTORE_KEY)
        store.write(batch, sync=not keys)
        deleted += len(keys)
        if not keys:
            return deleted
