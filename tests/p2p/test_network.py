"""Real networks on loopback: they find each other, talk, part, and refuse what they should."""

from __future__ import annotations

from p2p.addresses import parse_address
from p2p.channels import Channel
from p2p.settings import NetworkSettings
from tests.p2p.world import Node, poll, running, settings


async def test_two_networks_connect_and_talk_both_ways() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            assert a.network.send(b.id, Channel.CONSENSUS, b"\x01hello")
            assert b.network.send(a.id, Channel.MEMPOOL, b"\x70" + bytes(30_000))
            await b.until(lambda: bool(b.messages))
            await a.until(lambda: bool(a.messages))
            assert b.messages == [(a.id, Channel.CONSENSUS, b"\x01hello")]
            assert a.messages == [(b.id, Channel.MEMPOOL, b"\x70" + bytes(30_000))]
            (info,) = a.network.peers()
            assert (info.node_id, info.outbound, info.height, info.moniker) == (b.id, False, 2, "node-2")
        await a.until_peers(0)
        assert a.disconnected == [b.id]


async def test_ten_networks_of_one_seed_find_each_other_and_hear_a_broadcast() -> None:
    first = Node(1, NetworkSettings(max_outbound=9))
    async with running(first):
        others = [Node(n, NetworkSettings(seeds=(first.address,), max_outbound=9)) for n in range(2, 11)]
        async with running(*others):
            nodes = [first, *others]
            await poll(lambda: all(len(node.network.peers()) >= 4 for node in nodes))
            for node in nodes:
                ids = [info.node_id for info in node.network.peers()]
                assert len(ids) == len(set(ids)) <= 9
                assert node.id not in ids
            assert others[0].network.broadcast(Channel.EVIDENCE, b"\x20told") >= 4


async def test_both_dial_each_other_and_one_connection_is_left_on_both_sides() -> None:
    a, b = Node(1), Node(2)
    async with running(a, b):
        for _ in range(5):
            a.network.add_peer(parse_address(b.address))
            b.network.add_peer(parse_address(a.address))
            await a.until_peers(1)
            await b.until_peers(1)
            assert a.network.send(b.id, Channel.CONSENSUS, b"\x01")
            assert b.network.send(a.id, Channel.CONSENSUS, b"\x01")
            await a.until(lambda: (b.id, Channel.CONSENSUS, b"\x01") in a.messages)
            await b.until(lambda: (a.id, Channel.CONSENSUS, b"\x01") in b.messages)
            (from_a,), (from_b,) = a.network.peers(), b.network.peers()
            assert from_a.outbound is not from_b.outbound
            a.network.disconnect(b.id, "again")
            await a.until_peers(0)
            await b.until_peers(0)
            a.messages.clear()
            b.messages.clear()


async def test_isolated_nodes_stay_apart_until_the_network_is_mended() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            a.network.isolate([b.id])
            assert a.network.peers() == []
            assert not a.network.send(b.id, Channel.CONSENSUS, b"\x01")
            await b.until(lambda: len(b.disconnected) >= 1)
            await poll(lambda: b.id not in a.network.peer_ids() and bool(b.network.problems()))
            assert "isolated" in str(b.network.problems()[a.id])
            a.network.isolate(None)
            await a.until_peers(1)
            await b.until_peers(1)
