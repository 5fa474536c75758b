"""A new node joins by a snapshot from its settings alone; a running one makes snapshots and serves them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import node.state_sync as module
from ledger.store import Ledger
from node.home import init_home
from node.modules import make_machine
from node.sync_setup import NodeSync, join_by_snapshot, snapshots_of, trusted_of
from p2p.handshake import Network as Chain
from qenex.errors import InvalidConfig
from tests.node.chain_helpers import open_application
from tests.node.sync_net import Consensus, Port, RealNode, SyncNode, Wire, chain, grow, until, wallets


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.1)


def home(tmp_path: Path, genesis, **settings: Any):
    tables = {
        "database": {"backend": "sqlite"},
        "p2p": {"port": 0, "persistent_peers": settings.pop("peers", [])},
        "sync": {"trusting_period_hours": 24 * 365 * 100, **settings.pop("sync", {})},
        **settings,
    }
    return init_home(tmp_path / "home", genesis, settings=tables)


async def test_an_empty_home_is_filled_by_a_trusted_block_and_real_peers(tmp_path: Path) -> None:
    genesis, source = chain(30)
    network = Chain(genesis.chain_id, genesis.hash, genesis.protocol_version)
    a = RealNode(1, lambda transport: SyncNode(source, transport, tmp_path / "a"), chain=network)
    await a.node.snapshots.make(source.ledger, 25)
    await a.network.start()
    try:
        async with a.node.running():
            trusted = f"7:0x{source.ledger.blocks.hash(7).hex()}"
            config = home(tmp_path, genesis, peers=[a.address], sync={"trusted": trusted})
            joined = join_by_snapshot(config, make_machine(), genesis, asyncio.Event())
            assert await asyncio.wait_for(joined, 30) == 25
            again = join_by_snapshot(config, make_machine(), genesis, asyncio.Event())
            assert await asyncio.wait_for(again, 30) is None, "the chain is there already"
    finally:
        await a.network.stop()
    ledger = Ledger.open(config.data_path, codecs=make_machine().state_codecs, backend="sqlite")
    assert (ledger.height, ledger.tree_root) == (25, source.ledger.root_of(25))
    assert ledger.check().ok
    ledger.close()


async def test_a_join_can_be_stopped_and_without_a_trusted_block_there_is_none(tmp_path: Path) -> None:
    genesis, source = chain(3)
    config = home(tmp_path, genesis)
    assert await join_by_snapshot(config, make_machine(), genesis, asyncio.Event()) is None
    assert not config.data_path.exists()
    lonely = home(tmp_path / "other", genesis, sync={"trusted": f"2:{source.ledger.blocks.hash(2).hex()}"})
    stop = asyncio.Event()
    joining = asyncio.create_task(join_by_snapshot(lonely, make_machine(), genesis, stop))
    await asyncio.sleep(0.1)
    stop.set()
    assert await asyncio.wait_for(joining, 10) is None


@pytest.mark.parametrize("text", ["7", "x:00", "7:zz"])
def test_a_malformed_checkpoint_is_a_fault_of_the_settings(tmp_path: Path, text: str) -> None:
    genesis, _ = chain(1)
    with pytest.raises(InvalidConfig, match="trusted"):
        trusted_of(home(tmp_path, genesis, sync={"trusted": text}))


async def test_a_trusted_block_needs_the_network(tmp_path: Path) -> None:
    genesis, _ = chain(1)
    config = home(tmp_path, genesis, sync={"trusted": f"1:{'00' * 32}"}, p2p={"enabled": False})
    with pytest.raises(InvalidConfig, match=r"p2p\.enabled"):
        await join_by_snapshot(config, make_machine(), genesis, asyncio.Event())


async def test_a_running_node_makes_a_snapshot_every_so_many_heights_and_keeps_the_newest(
    tmp_path: Path,
) -> None:
    people = wallets()
    genesis, _ = chain(0)
    application = open_application(Path(), genesis)
    config = home(tmp_path, genesis, snapshots={"interval": 4, "keep": 2})
    sync = NodeSync(config, application, Port(Wire(), "a"), Consensus())
    application.on_commit = sync.committed
    failures: list[BaseException] = []
    sync.start(failures.append)
    for _ in range(14):
        grow(application, people, 1)
        people = people[1:] + people[:1]
        await sync.snapshots.wait()
    assert [info.height for info in application.list_snapshots()] == [12, 8]
    assert sync.status == (False, 14, 0)
    await sync.stop()
    assert failures == []


async def test_what_a_crash_left_of_a_snapshot_is_deleted_at_the_start(tmp_path: Path) -> None:
    genesis, _ = chain(0)
    config = home(tmp_path, genesis)
    left = config.snapshots_path / "7.new"
    left.mkdir(parents=True)
    (left / "chunks").write_bytes(b"half")
    snapshots_of(config)
    assert not left.exists()


async def test_a_failure_of_sync_is_told(tmp_path: Path) -> None:
    genesis, source = chain(2)
    sync = NodeSync(home(tmp_path, genesis), source, Port(Wire(), "a"), Consensus())
    told: list[BaseException] = []

    async def broken() -> None:
        raise OSError("the disk")

    sync.blocks.run = broken  # type: ignore[method-assign]  # a disk that fails
    sync.start(told.append)
    await until(lambda: told)
    assert isinstance(told[0], OSError)
    await sync.stop()
