"""Chains whose blocks are really signed, with snapshots of them: for tests of snapshots and restoration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger.backend import Backend
from ledger.backends.memory import MemoryBackend
from ledger.helpers import run_steps
from ledger.restore import Restore
from ledger.snapshot_files import Anchor, Snapshot, SnapshotFiles
from ledger.snapshots import make_in_steps
from ledger.store import Ledger
from qenex.block import PRECOMMIT, Commit, CommitSignature, vote_sign_bytes
from qenex.crypto import SCHEMES
from qenex.light_rules import LightBlock
from tests.ledger.chains import (
    CODECS,
    VALIDATOR,
    Changes,
    changes_of,
    genesis,
    new_chain,
    parts,
    validators_of,
)

_, SECRET = SCHEMES["ed25519"].generate(bytes(32))


def signed_commit(ledger: Ledger, height: int, digest: bytes) -> Commit:
    statement = vote_sign_bytes(ledger.chain_id, PRECOMMIT, height, 0, digest)
    signature = CommitSignature(VALIDATOR.address, 1, SCHEMES["ed25519"].sign(SECRET, statement))
    return Commit(height, 0, digest, (signature,))


def grow(ledger: Ledger, blocks: int, changes: Changes | None = None, accounts: int = 40) -> None:
    """Add signed blocks; `changes` replaces what the first of them changes."""
    for _ in range(blocks):
        height = ledger.height + 1
        wanted = changes_of(height, accounts) if changes is None else changes
        changes = None
        prepared = ledger.prepare(height, wanted)
        block: Any = parts(ledger, prepared, 1)
        block["seen_commit"] = signed_commit(ledger, height, block["block_hash"])
        ledger.commit(prepared, **block)


def light_block(ledger: Ledger, height: int) -> LightBlock:
    return LightBlock(ledger.blocks.header(height), ledger.blocks.commit(height), validators_of(height))


def anchor_of(ledger: Ledger, height: int) -> Anchor:
    return Anchor(light_block(ledger, height), light_block(ledger, height + 1))


def snapshot_of(ledger: Ledger, folder: Path, height: int) -> Snapshot:
    writer = SnapshotFiles(folder).writer(height)
    with ledger.store.snapshot() as reader:
        manifest = run_steps(make_in_steps(reader, ledger.chain_id, height, writer))
    return writer.finish(manifest, anchor_of(ledger, height))


def chain(blocks: int = 12, accounts: int = 300) -> Ledger:
    ledger = new_chain(MemoryBackend(), accounts)
    grow(ledger, blocks, accounts=accounts)
    return ledger


def restored(snapshot: Snapshot, store: Backend | None = None) -> Ledger:
    store = MemoryBackend() if store is None else store
    restore = Restore.begin(store, genesis(), snapshot.manifest_bytes, snapshot.anchor)
    for index in restore.missing:
        restore.apply(index, snapshot.chunk(index))
    restore.finish()
    return Ledger.open_in(store, codecs=CODECS, genesis_hash=genesis().hash)
