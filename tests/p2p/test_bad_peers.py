"""Peers that do wrong: each is penalised, memory stays bounded, and the node and its other peers go on."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress
from functools import partial

import pytest
from aiohttp import ClientConnectionError, WSMsgType, WSServerHandshakeError

from p2p import connection, pex
from p2p.channels import Channel
from p2p.connection import Pulse
from p2p.frames import CONTROL, Control
from p2p.handshake import HELLO_SIZE
from p2p.limits import MAX_MESSAGE_SIZE, MESSAGE_RATES, QUEUE_BYTES, Rate
from p2p.listener import Door
from p2p.offences import Offence
from p2p.scoring import BAN_SCORE, WEIGHTS
from p2p.settings import NetworkSettings
from qenex.errors import MalformedBytes, PeerRefused
from tests.p2p.raw_peer import fragment, raw_peer, raw_websocket
from tests.p2p.world import Node, identity, poll, running, settings


async def goes_on(node: Node) -> None:
    """The node still takes a good peer and talks with it."""
    good = Node(99, settings(node.address))
    async with running(good):
        await good.until_peers(1)
        assert good.network.send(node.id, Channel.CONSENSUS, b"\x01good")
        await node.until(lambda: (good.id, Channel.CONSENSUS, b"\x01good") in node.messages)


def counted(node: Node, offence: Offence, times: int) -> bool:
    return node.network.offences[offence] >= times


def has_messages(node: Node, count: int) -> bool:
    return len(node.messages) == count


FRAMES = [
    (fragment(Channel.BLOCKS, b"\x01"), Offence.WRONG_CHANNEL),
    (fragment(9, b"\x01"), Offence.WRONG_CHANNEL),
    (fragment(Channel.CONSENSUS, b""), Offence.WRONG_CHANNEL),
    (b"\x80\x00\x00\x09\x01", Offence.BROKEN_FRAME),
    (b"\x80\x00\x00\x00" * 300, Offence.WRONG_CHANNEL),
    (fragment(CONTROL, b"\x09"), Offence.BROKEN_FRAME),
    (fragment(CONTROL, bytes((Control.READY,))), Offence.BROKEN_FRAME),
    (fragment(CONTROL, bytes((Control.PONG,)) + bytes(8)), Offence.BROKEN_FRAME),
    (fragment(CONTROL, bytes((Control.PING,))), Offence.BROKEN_FRAME),
    (fragment(Channel.PEERS, b"\x80" + bytes(MAX_MESSAGE_SIZE[Channel.PEERS])), Offence.OVERSIZED),
    (fragment(Channel.PEERS, b"\x82"), Offence.MALFORMED),
    (fragment(Channel.PEERS, b"\x80\x90\x00"), Offence.MALFORMED),
]


@pytest.mark.parametrize(("content", "offence"), FRAMES)
async def test_contents_against_the_rules_are_an_offence_and_twice_a_ban(
    content: bytes, offence: Offence
) -> None:
    node = Node(1)
    async with running(node):
        for times in (1, 2):
            async with raw_peer(node) as peer:
                await node.until(lambda: peer.id in [info.node_id for info in node.network.peers()])
                await peer.frame(content)
                await poll(partial(counted, node, offence, times))
                if offence is not Offence.MALFORMED or times == 2:
                    await peer.until_ended()
                else:
                    node.network.disconnect(peer.id, "next time")
        assert WEIGHTS[offence] * 2 >= BAN_SCORE
        assert list(node.network.bans()) == [peer.id]
        async with raw_peer(node) as peer:
            assert (await peer.until_ended()).startswith("banned")
        await goes_on(node)


@pytest.mark.parametrize("sealed", [b"", b"x", bytes(64), bytes(65_536)])
async def test_frames_that_do_not_open_end_the_connection(sealed: bytes) -> None:
    node = Node(1)
    async with running(node):
        async with raw_peer(node) as peer:
            await peer.websocket.send_bytes(sealed)
            await peer.until_ended()
        assert node.network.offences == {Offence.BROKEN_FRAME: 1}
        await goes_on(node)


async def test_a_websocket_message_larger_than_a_frame_is_not_even_read() -> None:
    node = Node(1)
    async with running(node):
        async with raw_peer(node) as peer:
            await peer.websocket.send_bytes(bytes(65_537))
            await peer.until_ended()
        assert node.network.offences == {Offence.BROKEN_FRAME: 1}
        await goes_on(node)


async def test_other_kinds_of_websocket_messages_are_no_frames() -> None:
    node = Node(1)
    async with running(node):
        for send in ("send_str", "ping", "pong"):
            async with raw_peer(node, 60) as peer:
                await getattr(peer.websocket, send)("hello" if send == "send_str" else b"hello")
                await peer.until_ended()
            node.network.unban()
        assert node.network.offences == {Offence.BROKEN_FRAME: 3}
        await goes_on(node)


async def test_a_message_that_grows_beyond_its_bound_is_cut_and_its_memory_given_back() -> None:
    node = Node(1)
    async with running(node):
        async with raw_peer(node) as peer:
            tracemalloc.start()
            piece = b"\x20" * 60_000
            with suppress(ClientConnectionError, ConnectionError):
                for _ in range(10_000):
                    await peer.frame(fragment(Channel.EVIDENCE, piece, last=False))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 16 << 20
        assert node.network.offences[Offence.OVERSIZED] == 1
        assert node.network._budgets.partial.used == 0
        await goes_on(node)


async def test_a_flood_of_small_messages_is_dropped_counted_and_banned() -> None:
    rates = {**MESSAGE_RATES, Channel.MEMPOOL: Rate(50, 0.001)}
    node = Node(1, NetworkSettings(rates=rates))
    async with running(node):
        async with raw_peer(node) as peer:
            with suppress(ClientConnectionError, ConnectionError):
                for _ in range(100_000):
                    await peer.say(*[(Channel.MEMPOOL, b"\x70x")] * 20)
        assert [message for message in node.messages if message[0] == peer.id] == [
            (peer.id, Channel.MEMPOOL, b"\x70x")
        ] * 50
        assert node.network.offences == {Offence.FLOOD: BAN_SCORE // WEIGHTS[Offence.FLOOD] + 1}
        assert list(node.network.bans()) == [peer.id]
        await goes_on(node)


async def test_a_flood_of_pings_ends_the_connection() -> None:
    node = Node(1)
    async with running(node):
        async with raw_peer(node) as peer:
            for _ in range(5):
                await peer.say(*[(CONTROL, bytes((Control.PING,)) + bytes(8))] * 10)
            await peer.until_ended()
        assert node.network.offences == {Offence.BROKEN_FRAME: 1}
        await goes_on(node)


async def test_addresses_that_nobody_asked_for_are_refused_and_an_offence() -> None:
    node = Node(1)
    answer = pex.encode_addresses([])
    async with running(node):
        async with raw_peer(node) as peer:
            assert await peer.hear_message(Channel.PEERS) == pex.GET_ADDRESSES
            for _ in range(5):  # the first one was asked for
                await peer.say((Channel.PEERS, answer))
            assert (await peer.until_ended()).startswith("banned")
        assert node.network.offences == {Offence.UNSOLICITED: 4}
        await goes_on(node)


async def test_who_asks_for_addresses_too_often_is_answered_once() -> None:
    node = Node(1)
    async with running(node), raw_peer(node) as peer:
        for _ in range(3):
            await peer.say((Channel.PEERS, pex.GET_ADDRESSES))
        await poll(lambda: node.network.offences[Offence.FLOOD] == 2)
        answers = [await peer.hear_message(Channel.PEERS) for _ in range(2)]
        assert sorted(answers) == [pex.GET_ADDRESSES, pex.encode_addresses([])]


async def test_what_the_node_finds_malformed_is_charged_and_its_own_faults_are_not() -> None:
    node = Node(1)

    def on_message(peer_id: str, channel: Channel, payload: bytes) -> None:
        if payload == b"\x01bad":
            raise MalformedBytes("bad")
        if payload == b"\x01fault":
            raise KeyError("a fault of the node's own")
        node._on_message(peer_id, channel, payload)

    object.__setattr__(node.network._handlers, "on_message", on_message)
    async with running(node), raw_peer(node) as peer:
        await peer.say((Channel.CONSENSUS, b"\x01fault"), (Channel.CONSENSUS, b"\x01after"))
        await node.until(lambda: bool(node.messages))
        assert not node.network.offences
        await peer.say((Channel.CONSENSUS, b"\x01bad"), (Channel.CONSENSUS, b"\x01bad"))
        assert (await peer.until_ended()) == "banned: malformed"


# -- slow ones ---------------------------------------------------------------------------------


async def test_a_peer_that_reads_nothing_blocks_nobody_and_is_dropped() -> None:
    node = Node(1, NetworkSettings(pulse=Pulse(0.5, 3.0)))
    block = b"\x30" + bytes(1_000_000)
    async with running(node):
        good = Node(2, settings(node.address))
        async with running(good), raw_peer(node) as lazy:
            await good.until_peers(1)
            await node.until_peers(2)
            refused = 0
            for number in range(30):
                refused += not node.network.send(lazy.id, Channel.BLOCKS, block)
                assert node.network.send(good.id, Channel.BLOCKS, block)
                await good.until(partial(has_messages, good, number + 1))
                info = node.network.peer(lazy.id)
                assert info is not None
                assert info.queued_bytes <= QUEUE_BYTES[Channel.BLOCKS]
            assert refused > 10
            await node.until(lambda: lazy.id in node.disconnected)
            assert node.network._budgets.queued.used == 0
            assert node.network.peer_ids() == [good.id]


async def test_unfinished_messages_of_some_do_not_keep_others_from_theirs() -> None:
    """Two peers begin messages and never finish them; a third one, honest, still gets its block through."""
    node = Node(1)
    node.network._budgets.partial.limit = 1_000_000
    piece = b"\x30" + bytes(59_999)
    async with running(node):
        good = Node(2, settings(node.address))
        async with running(good), raw_peer(node, 50) as one, raw_peer(node, 51) as other:
            await node.until_peers(3)
            await good.until_peers(1)
            for hoarder in (one, other):
                for _ in range(8):
                    await hoarder.frame(fragment(Channel.BLOCKS, piece, last=False))
            await poll(lambda: node.network._budgets.partial.used == 16 * 60_000)
            block = b"\x30" + bytes(400_000)
            assert good.network.send(node.id, Channel.BLOCKS, block)
            await node.until(lambda: (good.id, Channel.BLOCKS, block) in node.messages)
            assert good.id in node.network.peer_ids()
            assert good.id not in node.disconnected
            assert len(node.disconnected) >= 1
            assert not node.network.offences
            assert node.network._budgets.partial.used <= 8 * 60_000


async def test_a_message_that_is_never_finished_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PARTIAL_SECONDS", 0.2)
    node = Node(1, NetworkSettings(pulse=Pulse(0.25, 5.0)))
    async with running(node):
        async with raw_peer(node) as peer:
            await peer.frame(fragment(Channel.BLOCKS, b"\x30" + bytes(100), last=False))
            await poll(lambda: node.network.offences[Offence.UNRESPONSIVE] == 1)
            await peer.until_ended()
        assert node.network._budgets.partial.used == 0
        await goes_on(node)


async def test_connections_that_stay_half_open_are_cut_at_the_deadline() -> None:
    node = Node(1, NetworkSettings(door=Door(seconds=1.0)))
    async with running(node):
        listener = node.network._listener
        assert listener is not None
        _, _, place = node.address.partition("@")
        host, _, port = place.partition(":")
        silent, half = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        half[1].write(b"GET /p2p/1 HTTP/1.1\r\nHost: x\r\n")
        async with raw_websocket(node), raw_websocket(node) as started:
            await started.send_bytes(bytes(10)[:0] or b"qxp2p")
            await poll(lambda: listener.pending >= 3)
            await poll(lambda: listener.pending == 0)
        assert await silent[0].read() == b""
        await half[0].read()
        for _, writer in (silent, half):
            writer.close()
        assert listener.expired >= 3
        assert not listener._gates or listener.pending == 0
        await goes_on(node)


async def test_a_handshake_that_stops_in_the_middle_is_cut_at_the_deadline() -> None:
    from p2p.handshake import Initiator
    from tests.p2p.raw_peer import ABOUT
    from tests.p2p.world import CHAIN

    node = Node(1, NetworkSettings(door=Door(seconds=1.0)))
    async with running(node), raw_websocket(node) as websocket:
        await websocket.send_bytes(Initiator(identity(5), CHAIN, ABOUT, node.id).hello())
        assert (await websocket.receive()).type is WSMsgType.BINARY
        assert (await websocket.receive()).type is not WSMsgType.BINARY
        listener = node.network._listener
        assert listener is not None
        assert listener.expired == 1
        assert node.network.peers() == []


@pytest.mark.parametrize("first", [b"", b"x", bytes(HELLO_SIZE), bytes(60_000), "text"])
async def test_a_wrong_first_message_ends_the_handshake(first: bytes | str) -> None:
    node = Node(1)
    async with running(node):
        async with raw_websocket(node) as websocket:
            if isinstance(first, str):
                await websocket.send_str(first)
            else:
                await websocket.send_bytes(first)
            assert (await websocket.receive()).type is not WSMsgType.BINARY
        assert node.network.offences == {Offence.HANDSHAKE: 1}
        await goes_on(node)


async def test_other_requests_than_the_protocols_are_answered_with_404() -> None:
    node = Node(1)
    async with running(node):
        _, _, place = node.address.partition("@")
        host, _, port = place.partition(":")
        for request in (b"GET / HTTP/1.0\r\n\r\n", b"POST /p2p/1 HTTP/1.0\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            assert b" 404 " in (await reader.read()).splitlines()[0]
            writer.close()
        await goes_on(node)


# -- the door ------------------------------------------------------------------------------------


async def test_unfinished_handshakes_are_capped_and_free_their_place() -> None:
    node = Node(1, NetworkSettings(door=Door(pending=2)))
    async with running(node):
        listener = node.network._listener
        assert listener is not None
        async with raw_websocket(node), raw_websocket(node):
            with pytest.raises((ClientConnectionError, WSServerHandshakeError, ConnectionError)):
                async with raw_websocket(node):
                    pass
            assert listener.refused["pending"] >= 1
        await poll(lambda: listener.pending == 0)
        await goes_on(node)


async def test_new_connections_of_one_group_are_limited_in_rate() -> None:
    node = Node(1, NetworkSettings(door=Door(rate=Rate(3, 0.000_1))))
    async with running(node):
        listener = node.network._listener
        assert listener is not None
        for _ in range(3):
            async with raw_websocket(node):
                pass
        with pytest.raises((ClientConnectionError, ConnectionError)):
            async with raw_websocket(node):
                pass
        assert listener.refused["rate"] >= 1


async def test_a_full_node_refuses_with_a_reason_and_still_takes_whom_its_operator_named() -> None:
    friend = Node(3)
    node = Node(1, NetworkSettings(max_inbound=1, private_peer_ids=(friend.id,)))
    async with running(node), raw_peer(node, 50) as first:
        await first.hear()
        async with raw_peer(node, 51) as second:
            assert await second.until_ended() == "no free place"
        async with raw_peer(node, 3) as named:
            assert (CONTROL, bytes((Control.READY,))) in await named.hear()
        assert len(node.network.peers()) == 2


async def test_who_is_refused_learns_why() -> None:
    node = Node(1, NetworkSettings(max_inbound=0))
    async with running(node):
        other = Node(2, settings(node.address))
        async with running(other):
            await poll(lambda: node.id in other.network.problems())
            problem = other.network.problems()[node.id]
            assert isinstance(problem, PeerRefused)
            assert "no free place" in problem.message
