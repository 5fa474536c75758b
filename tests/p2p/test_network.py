"""Real networks on loopback: they find each other, talk, part, and refuse what they should."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from p2p import connection, network
from p2p.addresses import PeerAddress, parse_address
from p2p.channels import Channel
from p2p.frames import FrameLimits
from p2p.handshake import Network as Chain
from p2p.limits import MAX_MESSAGE_SIZE, Rate
from p2p.offences import Offence
from p2p.settings import NetworkSettings
from qenex.errors import AddressInUse, WrongNetwork, WrongPeer
from tests.p2p.world import CHAIN, Node, identity, poll, running, settings


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


class Busy(Node):
    """A node to which each message of a flood is a hundredth of a second of work."""

    def _on_message(self, peer_id: str, channel: Channel, payload: bytes) -> None:
        until = monotonic() + 0.01
        while payload == FLOOD and monotonic() < until:
            pass
        super()._on_message(peer_id, channel, payload)


FLOOD = b"\x01costly"


async def test_messages_that_cost_much_take_a_share_of_the_time_and_not_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "WORK_RATE", Rate(0.02, 0.25))
    busy = Busy(1)
    async with running(busy):
        flooder, other = Node(2, settings(busy.address)), Node(3, settings(busy.address))
        async with running(flooder, other):
            await busy.until_peers(2)
            await flooder.until_peers(1)
            await other.until_peers(1)
            began = monotonic()
            for _ in range(30):
                assert flooder.network.send(busy.id, Channel.CONSENSUS, FLOOD)
            await busy.until(lambda: bool(busy.messages))
            assert other.network.send(busy.id, Channel.CONSENSUS, b"\x01a vote")
            await busy.until(lambda: len(busy.messages) == 31)
            assert monotonic() - began > 0.8
            assert (other.id, Channel.CONSENSUS, b"\x01a vote") in busy.messages[:15]


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


async def test_a_fault_in_the_task_that_dials_does_not_end_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "AGAIN_SECONDS", 0.01)
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        plan, faults = b.network._outbound.plan, [ValueError("a defect")]

        def failing(now: float, *, refused: set[str]) -> list[PeerAddress]:
            if faults:
                raise faults.pop()
            return plan(now, refused=refused)

        b.network._outbound.plan = failing  # type: ignore[method-assign]  # a defect, once
        async with running(b):
            await b.until_peers(1)
            assert not faults


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1), (3, 4), (4, 3), (5, 6), (7, 8)])
async def test_both_dial_each_other_and_one_connection_is_left_on_both_sides(
    numbers: tuple[int, int],
) -> None:
    a, b = (Node(number) for number in numbers)
    async with running(a, b):
        a.network.add_peer(parse_address(b.address))
        b.network.add_peer(parse_address(a.address))
        await poll(lambda: not a.network._outbound.dialling and not b.network._outbound.dialling)
        await poll(lambda: len(a.network._unfinished) == len(b.network._unfinished) == 1)
        (from_a,), (from_b,) = a.network.peers(), b.network.peers()
        assert (from_a.node_id, from_b.node_id) == (b.id, a.id)
        assert from_a.outbound is (a.id < b.id)
        assert from_b.outbound is (b.id < a.id)
        assert a.network.send(b.id, Channel.CONSENSUS, b"\x01a")
        assert b.network.send(a.id, Channel.CONSENSUS, b"\x01b")
        await a.until(lambda: (b.id, Channel.CONSENSUS, b"\x01b") in a.messages)
        await b.until(lambda: (a.id, Channel.CONSENSUS, b"\x01a") in b.messages)


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


@pytest.mark.parametrize(
    ("other", "both"),
    [
        (CHAIN._replace(chain_id="qenex-other"), ("qenex-test", "qenex-other")),
        (CHAIN._replace(genesis_hash=b"\x09" * 32), ("07" * 32, "09" * 32)),
        (CHAIN._replace(protocol_version=9), ("version", "9")),
    ],
)
async def test_a_node_of_another_network_is_refused_and_both_learn_both_values(
    other: Chain, both: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    a = Node(1)
    caplog.set_level("INFO", "p2p.network")
    async with running(a):
        b = Node(2, settings(a.address), other)
        async with running(b):
            await poll(lambda: a.id in b.network.problems())
            problem = b.network.problems()[a.id]
            assert isinstance(problem, WrongNetwork)
            assert all(value in problem.message for value in both)
            await poll(lambda: a.network.offences[Offence.WRONG_NETWORK] >= 1)
            told = [
                record.getMessage() for record in caplog.records if "another network" in record.getMessage()
            ]
            assert told
            assert all(value in told[0] for value in both)
            assert a.network.peers() == b.network.peers() == []


async def test_another_node_at_the_address_is_not_taken_for_the_expected_one() -> None:
    a = Node(1)
    async with running(a):
        wrong = str(parse_address(a.address)._replace(node_id=identity(9).node_id))
        b = Node(2, settings(wrong))
        async with running(b):
            await poll(lambda: identity(9).node_id in b.network.problems())
            problem = b.network.problems()[identity(9).node_id]
            assert isinstance(problem, WrongPeer)
            assert a.id in problem.message
            assert a.network.peers() == []
            assert not a.network.offences[Offence.WRONG_NETWORK]


async def test_a_node_that_knows_itself_by_another_address_does_not_connect() -> None:
    a = Node(1)
    async with running(a):
        a.network.add_peer(parse_address(a.address))
        await poll(lambda: not a.network._outbound.dialling)
        assert a.network.peers() == []
        assert a.connected == []


async def test_a_persistent_peer_that_restarts_is_found_again() -> None:
    a = Node(1)
    await a.network.start()
    port = parse_address(a.address).port
    b = Node(2, settings(a.address))
    async with running(b):
        await b.until_peers(1)
        await a.network.stop()
        await b.until_peers(0)
        again = Node(1, NetworkSettings(port=port))
        async with running(again):
            await b.until_peers(1)
            await again.until_peers(1)
            assert again.network.send(b.id, Channel.CONSENSUS, b"\x01back")
            await b.until(lambda: (a.id, Channel.CONSENSUS, b"\x01back") in b.messages)


async def test_the_largest_messages_arrive_whole_and_a_vote_overtakes_them() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            block = b"\x30" + bytes(range(256)) * (MAX_MESSAGE_SIZE[Channel.BLOCKS] // 256 - 1)
            assert a.network.send(b.id, Channel.BLOCKS, block)
            await poll(lambda: b.network.peers()[0].bytes_in > 100_000)
            assert a.network.send(b.id, Channel.CONSENSUS, b"\x01vote")
            await b.until(lambda: len(b.messages) == 2)
            assert b.messages == [(a.id, Channel.CONSENSUS, b"\x01vote"), (a.id, Channel.BLOCKS, block)]


async def test_messages_of_one_channel_keep_their_order() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            payloads = [b"\x70" + n.to_bytes(2, "big") * (1 + n % 700) for n in range(1_000)]
            for payload in payloads:
                assert a.network.send(b.id, Channel.MEMPOOL, payload)
            await b.until(lambda: len(b.messages) == len(payloads))
            assert [payload for _, _, payload in b.messages] == payloads


async def test_statistics_tell_bytes_messages_and_latency() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await b.until_peers(1)
            await a.until_peers(1)
            a.network.send(b.id, Channel.CONSENSUS, b"\x01" + bytes(999))
            await b.until(lambda: bool(b.messages))
            await poll(lambda: all(p.latency_ms is not None for n in (a, b) for p in n.network.peers()))
            (info,) = b.network.peers()
            assert (info.address, info.outbound, info.persistent) == (a.address, True, True)
            assert info.bytes_in > 1_000
            assert info.messages_in >= 1
            assert info.score == 0
            assert info.latency_ms is not None
            assert 0 < info.latency_ms < 5_000
            assert b.network.received_from(a.id)["consensus"] == 1
            assert a.network.peers()[0].bytes_out >= info.bytes_in


async def test_a_peer_that_the_node_punishes_enough_is_banned_until_it_is_unbanned(tmp_path: Path) -> None:
    a = Node(1, NetworkSettings(folder=tmp_path))
    await a.network.start()
    b = Node(2, settings(a.address))
    async with running(b):
        await a.until_peers(1)
        await b.until_peers(1)
        for _ in range(2):
            a.network.punish(b.id, Offence.INVALID_SIGNATURE, "a vote")
        assert a.network.peers() == []
        assert a.disconnected == [b.id]
        await poll(lambda: "banned: invalid_signature" in str(b.network.problems().get(a.id)))
        port = parse_address(a.address).port
        await a.network.stop()
        again = Node(1, NetworkSettings(folder=tmp_path, port=port))
        async with running(again):
            assert list(again.network.bans()) == [b.id]
            b.network._outbound.problems.clear()
            await poll(lambda: "banned" in str(b.network.problems().get(a.id)))
            assert again.network.unban(b.id) == 1
            await again.until_peers(1)


async def test_what_was_learnt_of_addresses_outlives_a_restart(tmp_path: Path) -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, NetworkSettings(seeds=(a.address,), folder=tmp_path))
        async with running(b):
            await b.until_peers(1)
        again = Node(2, NetworkSettings(folder=tmp_path))
        async with running(again):
            await again.until_peers(1)
            assert again.network.peer_ids() == [a.id]


async def test_a_port_that_is_taken_is_a_typed_error_and_nothing_is_left_behind() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, NetworkSettings(port=parse_address(a.address).port))
        with pytest.raises(AddressInUse):
            await b.network.start()


async def test_a_faulty_handler_does_not_cost_the_connection() -> None:
    a = Node(1)

    def fail(_: object) -> None:
        raise KeyError("a fault of the node")

    object.__setattr__(a.network._handlers, "on_connected", fail)
    object.__setattr__(a.network._handlers, "on_disconnected", fail)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await b.until_peers(1)
            assert b.network.send(a.id, Channel.CONSENSUS, b"\x01x")
            await a.until(lambda: bool(a.messages))
        await poll(lambda: not a.network.peers())


async def test_a_connection_that_is_cut_without_a_goodbye_is_noticed_and_made_again() -> None:
    a = Node(1)
    async with running(a):
        b = Node(2, settings(a.address))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            listener = a.network._listener
            assert listener is not None
            for transport in list(listener._gates):
                assert transport is not None
                transport.abort()
            await b.until(lambda: b.disconnected == [a.id])
            await a.until(lambda: len(a.connected) == 2)
            await b.until_peers(1)


async def test_keys_are_replaced_on_both_sides_without_a_word() -> None:
    often = FrameLimits(rekey_frames=3, rekey_bytes=100_000)
    a = Node(1, NetworkSettings(frame_limits=often))
    async with running(a):
        b = Node(2, settings(a.address, frame_limits=often))
        async with running(b):
            await a.until_peers(1)
            await b.until_peers(1)
            for number in range(40):
                assert a.network.send(b.id, Channel.MEMPOOL, b"\x70" + bytes(50_000))
                assert b.network.send(a.id, Channel.CONSENSUS, b"\x01" + bytes(number))
                await b.until(partial(has_messages, b, number + 1))
                await a.until(partial(has_messages, a, number + 1))
            assert a.connected[0].node_id == b.id
            assert not a.disconnected


def has_messages(node: Node, count: int) -> bool:
    return len(node.messages) == count
