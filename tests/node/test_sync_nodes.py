"""Whole nodes on loopback: late ones join by blocks and by a snapshot, and all have the same roots."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import node.block_sync as blocks_module
import node.state_sync as state_module
from ledger.genesis import Genesis
from node.home import init_home
from node.node import Node
from tests.node.chain_helpers import VALIDATOR, make_genesis
from tests.node.sync_net import until, wallets

AGES = 24 * 365 * 100


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(state_module, "SETTLE_SECONDS", 0.1)


@contextlib.asynccontextmanager
async def running(
    home: Path, genesis: Genesis, *peers: str, validator: bool = False, **settings: Any
) -> AsyncIterator[Node]:
    tables = {
        "database": {"backend": "sqlite"},
        "rpc": {"port": 0, "admin_socket": False},
        "verifier": {"workers": 0},
        "engine": {"min_interval_ms": 5, "settle_interval_ms": 50, "idle_interval_ms": 100},
        "p2p": {"port": 0, "persistent_peers": list(peers)},
        **settings,
    }
    config = init_home(home, genesis, validator=VALIDATOR if validator else None, settings=tables)
    node = Node(config)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


def address(node: Node) -> str:
    assert node.peers is not None
    return node.peers.address


async def test_late_nodes_join_by_blocks_and_by_a_snapshot_and_follow_the_chain(tmp_path: Path) -> None:
    people = wallets()
    genesis = make_genesis(people)
    async with running(
        tmp_path / "one", genesis, validator=True, snapshots={"interval": 5, "keep": 3}
    ) as one:
        for n in range(12):
            await one.application.submit(people[n % 3].transfer(people[(n + 1) % 3].address, n + 1))
            await until(lambda: not len(one.application.mempool))
        await until(lambda: one.application.list_snapshots())
        late = running(tmp_path / "late", genesis, address(one))
        trusted = f"2:{one.ledger.blocks.hash(2).hex()}"
        sync = {"trusted": trusted, "trusting_period_hours": AGES}
        new = running(tmp_path / "new", genesis, address(one), sync=sync)
        async with late as by_blocks, new as by_snapshot:
            assert by_snapshot.ledger.base_height % 5 == 0
            assert by_blocks.ledger.base_height == 1
            target = one.ledger.durable_height + 3
            followers = (by_blocks, by_snapshot)
            await until(lambda: all(node.ledger.durable_height >= target for node in (one, *followers)))
            # Not at one instant: a follower of a chain that goes on is now and then a block behind.
            await until(lambda: all(not node.not_ready() for node in followers))
            roots = {node.ledger.root_of(target) for node in (one, *followers)}
            assert len(roots) == 1
            for node in (one, *followers):
                assert node.peers is not None
                # A joiner comes twice, first for the snapshot, and asks for addresses each time.
                assert set(node.peers.transport.offences) <= {"flood"}


async def test_a_node_that_was_away_catches_up_when_it_comes_back(tmp_path: Path) -> None:
    genesis = make_genesis(wallets())
    async with running(tmp_path / "one", genesis, validator=True) as one:
        async with running(tmp_path / "two", genesis, address(one)) as two:
            await until(lambda: two.ledger.durable_height >= 3)
        height = one.ledger.durable_height
        await until(lambda: one.ledger.durable_height >= height + 10)
        back = Node(two.config)
        await back.start()
        try:
            target = one.ledger.durable_height + 2
            await until(lambda: min(one.ledger.durable_height, back.ledger.durable_height) >= target)
            assert back.ledger.root_of(target) == one.ledger.root_of(target)
            assert back.sync is not None
            assert back.sync.blocks.applied >= 5
        finally:
            await back.stop()
