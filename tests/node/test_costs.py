"""What a transfer costs in counted steps: exact, so that no noise hides a step too many.

Six things are counted: hashes, signatures, encodings, those of account records, reads of committed state and of the
store, writes to the store. A single transfer, one of a hundred under one signature, and one with a post-quantum signature.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from ledger.backends.memory import MemoryBatch
from node.application import Application
from node.steps import run
from qenex.transaction import Fee, Message, Signer, assemble, encode_body
from qenex.types import Coin
from tests.node.chain_helpers import (
    CHAIN,
    VALIDATOR,
    Wallet,
    commit_block,
    make_genesis,
    open_application,
    produce,
    seen_commit,
)

TRANSFERS = 50
NODES = 34
"""Hashes of tree nodes that the block below changes."""


READS = ("Committed.get", "MemoryView.get", "MemoryView.get_many")
ENCODES = ("pack", "packb")
"""Of `qenex.codec` and of msgpack itself."""


def counted(work: Callable[[], Any]) -> tuple[Any, Counter[str]]:
    """Calls of compiled functions, and of reads, by name while `work` runs."""
    calls: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            calls[argument.__name__] += 1
        elif event == "call":
            name = frame.f_code.co_qualname
            if name in READS:
                calls["reads"] += 1
            elif name in ENCODES:
                calls["encodes"] += 1
            elif name == "AccountCodec.encode":
                calls["records"] += 1

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
    # Each value and what it replaces, one index entry a transfer, the tree's nodes, and 10 of the block alone.
    nodes = len(prepared.tree.inner) + len(prepared.tree.bundles)
    assert len(batch.changes) == 2 * changed + TRANSFERS + nodes + 10


class Kind(NamedTuple):
    """Transactions of one scheme with so many transfers each, every one to another account."""

    scheme: str
    messages: int
    memo: str = ""
    """With one it is no plain transfer, but goes the general way."""


class Costs(NamedTuple):
    """Steps of a stage for one more transaction."""

    hashes: int = 0
    signatures: int = 0
    encodes: int = 0
    reads: int = 0
    records: int = 0
    """Account records encoded by their layout, which is no call of msgpack."""


def costs_of(calls: Counter[str]) -> Costs:
    return Costs(
        calls["digest"],
        calls["crypto_sign_open"] + calls["verify"],
        calls["encodes"],
        calls["reads"],
        calls["records"],
    )


def sent(application: Application, kind: Kind, wallets: list[Wallet], to: list[Wallet]) -> list[bytes]:
    """A transaction by each wallet, whose keys the chain knows."""
    raws = []
    for n, wallet in enumerate(wallets):
        mine = to[n * kind.messages : (n + 1) * kind.messages]
        messages = [Message("bank.send", (other.address, Coin("QXC", 1)), 0) for other in mine]
        signer = Signer(wallet.address, 1, None, None)
        body = encode_body(
            CHAIN, [signer], messages, Fee(10**9, 3_000 + 330 * kind.messages, 0), 5_000, None, kind.memo
        )
        raws.append(assemble(body, [wallet.scheme.sign(wallet.secret, body)]))
    return raws


def stages(folder: Path, kind: Kind, senders: int) -> tuple[dict[str, Costs], int]:
    """Steps of a block with a transaction by each of so many senders, by stage; and the writes to the store.

    Nodes of the tree are left out of both: how many there are depends on the addresses.
    """
    wallets = [Wallet(number, kind.scheme) for number in range(1, senders + 1)]
    to = [Wallet(1_000 + number) for number in range(senders * kind.messages)]
    application = open_application(folder, make_genesis(wallets + to))
    for wallet in wallets:
        application.check_tx(wallet.transfer(wallet.address))
    produce(application)
    raws = sent(application, kind, wallets, to)
    _, admission = counted(lambda: [application.check_tx(raw) for raw in raws])
    time = application.parent_time + 10**9
    proposal, execution = counted(lambda: application.prepare_proposal(time, VALIDATOR.address))
    assert len(proposal.block.transactions) == senders
    prepared, tree = counted(lambda: run(application.build_tree_steps(proposal.hash)))
    commit = seen_commit(proposal.block)
    pending, staging = counted(lambda: application.commit_begin(proposal.block, commit))
    batch = pending.staged.batch
    assert isinstance(batch, MemoryBatch)
    nodes = len(prepared.tree.inner) + len(prepared.tree.bundles)
    parts = {"admission": admission, "execution": execution, "tree": tree, "staging": staging}
    found = {name: costs_of(calls) for name, calls in parts.items()}
    # The tree is read and hashed by node; path, value and leaf of each entry are not.
    found["tree"] = found["tree"]._replace(hashes=3 * len(prepared.values), reads=0)
    return found, len(batch.changes) - nodes


@pytest.mark.parametrize(
    ("kind", "admission", "execution", "tree", "staging", "puts"),
    [
        # Admission: the ids of bytes with and without signatures, the record twice; in general strictness by encoding again.
        # Execution: transaction and receipt in their lists, the receipt's bytes, and two reads a transfer; of
        # many the payer once. Tree: path, value and leaf of each entry; records as they become and as they were.
        (Kind("ed25519", 1), Costs(2, 1, 0, 2), Costs(4, 0, 1, 2), Costs(6, records=4), Costs(), 5),
        (Kind("ed25519", 100), Costs(2, 1, 0, 2), Costs(4, 0, 1, 101), Costs(303, records=202), Costs(), 203),
        # A long key: looked up beside its record, and named by its hash where what is verified is remembered.
        (Kind("ml-dsa-44", 1), Costs(3, 1, 2, 4), Costs(4, 0, 1, 4), Costs(6, records=4), Costs(), 5),
        # Any message of who signs alone: its body encoded again, and one look more in the block, whether its module is paused.
        (Kind("ed25519", 1, "rent"), Costs(2, 1, 1, 2), Costs(4, 0, 1, 3), Costs(6, records=4), Costs(), 5),
    ],
    ids=["one transfer", "a hundred transfers", "post-quantum", "the general way"],
)
def test_one_more_transaction_costs_exactly_so_many_steps(
    tmp_path: Path, kind: Kind, admission: Costs, execution: Costs, tree: Costs, staging: Costs, puts: int
) -> None:
    """By the difference of a block with twice as many: what a block or a module's hook costs is not in it."""
    few, many = 4, 8
    before, written = stages(tmp_path / "few", kind, few)
    after, more = stages(tmp_path / "many", kind, many)
    found = {
        name: tuple([(b - a) / (many - few) for a, b in zip(before[name], after[name], strict=True)])
        for name in before
    }
    assert found == {"admission": admission, "execution": execution, "tree": tree, "staging": staging}
    assert (more - written) / (many - few) == puts


def followed(folder: Path, senders: int) -> dict[str, Costs]:
    """Steps of a block that another node made, with a transfer by each of so many senders, none of which was in the pool."""
    wallets = [Wallet(number) for number in range(1, senders + 1)]
    to = [Wallet(1_000 + number) for number in range(senders)]
    genesis = make_genesis(wallets + to)
    first, second = open_application(folder / "first", genesis), open_application(folder / "second", genesis)
    for wallet in wallets:
        first.check_tx(wallet.transfer(wallet.address))
    registration = produce(first)
    commit_block(second, registration)
    for raw in sent(first, Kind("ed25519", 1), wallets, to):
        first.check_tx(raw)
    block = first.prepare_proposal(first.parent_time + 10**9, VALIDATOR.address).block
    transactions, verification = counted(lambda: asyncio.run(second.verify_block(block, remember=False)))
    answer, execution = counted(lambda: run(second.process_proposal_steps(block, transactions)))
    assert answer.accepted, answer.reason
    assert second.machine.execution is not None
    assert second.machine.execution.others == 0, "a plain transfer of a foreign block went the general way"
    return {"verification": costs_of(verification), "execution": costs_of(execution)}


def test_a_transfer_of_a_foreign_block_is_decoded_once_and_goes_the_short_way(tmp_path: Path) -> None:
    """Blocks were decoded for their signatures and again for their execution, which did not know then what had been verified."""
    few, many = 8, 16
    before, after = followed(tmp_path / "few", few), followed(tmp_path / "many", many)
    found = {
        name: tuple([(b - a) / (many - few) for a, b in zip(before[name], after[name], strict=True)])
        for name in before
    }
    assert found == {"verification": Costs(2, 1, 0, 1), "execution": Costs(4, 0, 1, 2)}
