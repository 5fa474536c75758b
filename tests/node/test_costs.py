"""What a transfer costs in counted steps: exact, so that no noise hides a step too many."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from ledger.backends.memory import MemoryBatch
from node.steps import run
from tests.node.chain_helpers import VALIDATOR, Wallet, make_genesis, open_application, produce, seen_commit

TRANSFERS = 50
NODES = 34
"""Hashes of tree nodes that the block below changes."""


def counted(work: Callable[[], Any]) -> tuple[Any, Counter[str]]:
    """Calls of compiled functions by name while `work` runs."""
    calls: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            calls[argument.__name__] += 1

    sys.setprofile(watch)
    try:
        return work(), calls
    finally:
        sys.setprofile(None)


def test_a_transfers_hashes_verifications_and_records_are_counted_exactly(tmp_path: Path) -> None:
    """Whoever changes one of these numbers says why; to lower one is welcome."""
    wallets = [Wallet(number) for number in range(1, 2 * TRANSFERS + 1)]
    application = open_application(tmp_path / "data", make_genesis(wallets))
    for wallet in wallets:
        application.check_tx(wallet.transfer(wallet.address))
    produce(application)
    raws = [wallets[n].transfer(wallets[n + TRANSFERS].address) for n in range(TRANSFERS)]

    _, admission = counted(lambda: [application.check_tx(raw) for raw in raws])
    assert admission["crypto_sign_open"] == TRANSFERS
    assert admission["digest"] == 2 * TRANSFERS  # tx id and witness id

    time = application.parent_time + 10**9
    proposal, execution = counted(lambda: application.prepare_proposal(time, VALIDATOR.address))
    block = proposal.block
    assert len(block.transactions) == TRANSFERS
    assert execution["crypto_sign_open"] == 0
    # Two list roots with 2 hashes an item, and 7 of the block alone.
    assert execution["digest"] == 4 * TRANSFERS + 7

    prepared, tree = counted(lambda: run(application.build_tree_steps(proposal.hash)))
    changed = len(prepared.values)
    assert changed == 2 * TRANSFERS + 2  # sender and recipient; fees and supply
    # Path, value and leaf of each, and the nodes above them.
    assert tree["digest"] == 3 * changed + NODES

    pending, staging = counted(lambda: application.commit_begin(block, seen_commit(block)))
    assert staging["crypto_sign_open"] == 0
    assert staging["digest"] == 5
    batch = pending.staged.batch
    assert isinstance(batch, MemoryBatch)
    # Each value and what it replaces, one index entry a transfer, the tree's nodes, and 11 of the block alone.
    nodes = len(prepared.tree.inner) + len(prepared.tree.bundles)
    assert len(batch.changes) == 2 * changed + TRANSFERS + nodes + 11
