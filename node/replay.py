"""`qenex node replay`: stored blocks executed once more, each result compared with what the chain says.

The copy that they are executed on is a store of its own, from the genesis or from a snapshot of a kept version; the
node's store is only read. The first block whose header does not follow from the execution of the ones before is where
this program and the chain differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ledger.backend import Backend
from ledger.backends.memory import MemoryBackend
from ledger.restore import Restore
from ledger.snapshot_files import SnapshotFiles
from ledger.snapshots import make_in_steps
from ledger.store import Ledger
from node.application import Application
from node.modules import make_machine
from node.snapshots import anchor_of
from node.steps import run
from node.validation import Rejected
from node.verifier import Verifier
from qenex.errors import QenexError


class Replayed(NamedTuple):
    """How far a replay is; `problem` says what differs at `height`, and ends it."""

    height: int
    transactions: int
    problem: str = ""


def replay(
    ledger: Ledger, start: int | None = None, stop: int | None = None, store: Backend | None = None
) -> Iterator[Replayed]:
    """Execute the stored blocks after `start` (None: from the genesis) up to `stop` (None: the last); yield each.

    `store` takes the copy (None: memory). Raises Pruned or NotFound where the blocks or the state of `start` are
    not kept, and StorageFault.
    """
    stop = ledger.height if stop is None else min(stop, ledger.height)
    copy = _copy(ledger, start, MemoryBackend() if store is None else store)
    application = Application(make_machine(), copy, Verifier(0))
    for height in range(copy.height + 1, stop + 1):
        block, commit = ledger.blocks.block(height), ledger.blocks.commit(height)
        try:
            result = application.finalize_block(block)
        except Rejected as reason:
            yield Replayed(height, len(block.transactions), str(reason))
            return
        receipts = ledger.blocks.receipt_bytes(height)
        root = _root_after(ledger, height)
        application.commit(block, commit)
        for _ in application.upkeep_steps():
            pass
        problem = ""
        if copy.blocks.receipt_bytes(height) != receipts:
            problem = "the receipts are other ones than those stored"
        elif root is not None and root != result.state_root:
            problem = f"the state root is {result.state_root.hex()}, the chain says {root.hex()}"
        yield Replayed(height, len(block.transactions), problem)
        if problem:
            return


def _root_after(ledger: Ledger, height: int) -> bytes | None:
    """The state root after a block: what the next header says, or the store itself after the last one."""
    if height < ledger.height:
        return ledger.blocks.header(height + 1).state_root
    return ledger.tree_root


def _copy(ledger: Ledger, start: int | None, store: Backend) -> Ledger:
    machine = make_machine()
    genesis = ledger.genesis
    if start is None or start < genesis.initial_height:
        copy = Ledger.create_in(store, genesis, codecs=machine.state_codecs)
        Application.init_chain(machine, copy)
        return copy
    with tempfile.TemporaryDirectory() as folder, ledger.store.snapshot() as reader:
        writer = SnapshotFiles(Path(folder)).writer(start)
        snapshot = writer.finish(
            run(make_in_steps(reader, ledger.chain_id, start, writer)), anchor_of(ledger, start)
        )
        restore = Restore.begin(store, genesis, snapshot.manifest_bytes, snapshot.anchor)
        for index in restore.missing:
            restore.apply(index, snapshot.chunk(index))
        restore.finish()
    return Ledger.open_in(store, codecs=machine.state_codecs)


def can_replay_from_genesis(ledger: Ledger) -> bool:
    """Whether every block since the genesis is stored."""
    try:
        return ledger.blocks.earliest == ledger.initial_height == ledger.base_height
    except QenexError:
        return False
