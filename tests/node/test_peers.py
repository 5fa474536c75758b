"""The node's place in the network: its key, who is there, and what an operator may do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from node.config import config_from_tables
from node.metrics import NodeMetrics
from node.network import NodeNetwork
from node.peers import Peers, open_identity
from node.rpc.declare import Registry, methods_of
from node.rpc.node_methods import PEER
from node.rpc.peer_methods import PeerMethods
from p2p.identity import NodeIdentity
from qenex.errors import InvalidParams, InvalidPeerAddress, NodeKeyInvalid, NotFound
from tests.node.chain_helpers import Wallet, make_genesis, open_application, until
from tests.node.network_helpers import Notes

ALICE = Wallet(1)


def make(folder: Path, number: int, persistent: tuple[str, ...] = (), private: tuple[str, ...] = ()) -> Peers:
    genesis = make_genesis([ALICE])
    home = folder / f"home-{number}"
    config = config_from_tables(
        home,
        {
            "p2p": {
                "port": 0,
                "persistent_peers": list(persistent),
                "private_peer_ids": list(private),
            },
            "node": {"name": f"node-{number}"},
        },
        source="test",
    )
    application = open_application(folder / f"chain-{number}", genesis)
    peers = Peers(config, genesis, NodeNetwork(application), lambda: 7)
    peers.network.attach(peers.transport, Notes())
    return peers


def make_identity(folder: Path, number: int) -> NodeIdentity:
    return open_identity(config_from_tables(folder / f"home-{number}", {}, source="test"))


def fail(error: BaseException) -> None:
    raise AssertionError("a task of the network failed") from error


def play(folder: Path, scenario: Callable[[Peers, Peers], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        one = make(folder, 1)
        await one.start(fail)
        two = make(folder, 2, (one.address,))
        await two.start(fail)
        try:
            async with asyncio.timeout(60):
                await until(lambda: one.connected() and two.connected())
                await scenario(one, two)
        finally:
            await two.stop()
            await one.stop()

    asyncio.run(run())


async def call(peers: Peers | None, name: str, *arguments: Any) -> Any:
    """As the RPC does."""
    found = Registry(methods_of(PeerMethods(peers), "qx")).methods[name]
    return found.handler(*found.bind(list(arguments)))


def test_a_sentry_tells_nobody_of_its_validator(tmp_path: Path) -> None:
    async def run() -> None:
        validator = make(tmp_path, 1)
        await validator.start(fail)
        sentry = make(tmp_path, 2, (validator.address,), (validator.node_id,))
        await sentry.start(fail)
        try:
            async with asyncio.timeout(60):
                await until(lambda: validator.connected() and sentry.transport.peers())
            assert sentry.connected() == []
        finally:
            await sentry.stop()
            await validator.stop()

    asyncio.run(run())


def test_a_node_keeps_its_id_and_a_damaged_key_is_refused(tmp_path: Path) -> None:
    first = make(tmp_path, 1)
    again = make(tmp_path / "other", 2)
    assert first.node_id != again.node_id
    assert make_identity(tmp_path, 1).node_id == first.node_id
    (path,) = (tmp_path / "home-1").rglob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("{}")
    with pytest.raises(NodeKeyInvalid):
        make_identity(tmp_path, 1)


def test_peers_are_described_as_the_schema_says(tmp_path: Path) -> None:
    async def scenario(one: Peers, two: Peers) -> None:
        (peer,) = two.connected()
        assert set(peer) == set(PEER["properties"])
        assert (peer["node_id"], peer["outbound"], peer["persistent"]) == (one.node_id, True, True)
        assert (peer["name"], peer["height"], peer["address"]) == ("node-1", 7, one.address)
        metrics = NodeMetrics()
        two.declare_metrics(metrics)
        assert "qenex_peers 1.0" in metrics.text()

    play(tmp_path, scenario)


def test_a_peer_is_isolated_until_it_is_mended(tmp_path: Path) -> None:
    async def scenario(one: Peers, two: Peers) -> None:
        assert await call(one, "admin_isolate", [two.node_id]) == [two.node_id]
        assert await call(one, "admin_isolated") == [two.node_id]
        await until(lambda: not one.connected() and not two.connected())
        assert await call(one, "admin_isolate") == []
        await until(lambda: one.connected() and two.connected())

    play(tmp_path, scenario)


def test_a_peer_is_removed_banned_and_let_in_again(tmp_path: Path) -> None:
    async def scenario(one: Peers, two: Peers) -> None:
        assert await call(one, "admin_removePeer", two.node_id) is True
        await until(lambda: bool(one.connected()))
        assert await call(one, "admin_banPeer", two.node_id, 60) is True
        assert [ban["key"] for ban in await call(one, "admin_bans")] == [two.node_id]
        assert not one.connected()
        assert await call(one, "admin_unbanPeer", two.node_id) is True
        assert await call(one, "admin_unbanPeer", two.node_id) is False
        assert await call(one, "admin_addPeer", two.address) is True
        await until(lambda: bool(one.connected()))
        assert await call(one, "admin_removePeer", "ab" * 32) is False

    play(tmp_path, scenario)


def test_what_is_no_address_and_no_id_is_refused(tmp_path: Path) -> None:
    peers = make(tmp_path, 1)

    async def scenario() -> None:
        with pytest.raises(InvalidPeerAddress):
            await call(peers, "admin_addPeer", "nowhere")
        for name, arguments in (("admin_removePeer", ["x"]), ("admin_isolate", [["Z" * 64]])):
            with pytest.raises(InvalidParams):
                await call(peers, name, *arguments)
        with pytest.raises(NotFound):
            await call(None, "admin_isolated")

    asyncio.run(scenario())
