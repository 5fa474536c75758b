"""Peer exchange: little is told, nothing unasked is taken, and private nodes stay private."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p import pex
from p2p.addresses import PeerAddress, ip_of
from p2p.channels import TAGS, Channel
from p2p.settings import NetworkSettings
from qenex.codec import encode
from qenex.errors import MalformedBytes, QenexError, TooLarge
from tests.p2p.raw_peer import raw_peer
from tests.p2p.world import Node, identity, poll, running, settings

IDS = st.binary(min_size=32, max_size=32)
HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ADDRESSES = st.builds(
    lambda node, host, port: PeerAddress(node.hex(), host, port), IDS, HOSTS, st.integers(1, 65_535)
)


@given(st.lists(ADDRESSES, max_size=pex.MAX_ADDRESSES))
def test_addresses_come_back_as_they_were_told(addresses: list[PeerAddress]) -> None:
    payload = pex.encode_addresses(addresses)
    assert payload[0] in TAGS[Channel.PEERS]
    found = pex.decode_pex(payload)
    assert isinstance(found, list)
    assert [(a.node_id, ip_of(a.host), a.port) for a in found] == [
        (a.node_id, ip_of(a.host), a.port) for a in addresses
    ]


def test_names_are_not_told_and_no_answer_is_longer_than_its_bound() -> None:
    named = PeerAddress("00" * 32, "example.org", 1)
    assert pex.decode_pex(pex.encode_addresses([named])) == []
    many = [PeerAddress(f"{n:064x}", "2a00::1", 65_535) for n in range(1_000)]
    payload = pex.encode_addresses(many)
    found = pex.decode_pex(payload)
    assert isinstance(found, list)
    assert len(found) == pex.MAX_ADDRESSES
    assert len(payload) <= pex.MAX_SIZE


@given(st.one_of(st.binary(max_size=500), st.binary(max_size=200).map(lambda tail: b"\x81" + tail)))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        found = pex.decode_pex(payload)
    except QenexError as error:
        assert isinstance(error, MalformedBytes | TooLarge)  # noqa: PT017  # both are typed, which is the point
    else:
        assert payload == pex.GET_ADDRESSES or pex.encode_addresses(found) == payload


@pytest.mark.parametrize(
    "row",
    [
        (bytes(31), bytes(4), 1),
        (bytes(32), bytes(3), 1),
        (bytes(32), bytes(5), 1),
        (bytes(32), bytes(17), 1),
        (bytes(32), bytes(4), 0),
        (bytes(32), bytes(4), 65_536),
        (bytes(32), bytes(4)),
    ],
)
def test_an_address_of_a_wrong_form_is_malformed(row: tuple) -> None:
    with pytest.raises(MalformedBytes):
        pex.decode_pex(b"\x81" + encode(((row,),)))


def test_answers_above_the_bound_are_refused() -> None:
    row = (bytes(32), bytes(4), 1)
    with pytest.raises(MalformedBytes):
        pex.decode_pex(b"\x81" + encode(((row,) * (pex.MAX_ADDRESSES + 1),)))
    with pytest.raises(TooLarge):
        pex.decode_pex(b"\x81" + bytes(pex.MAX_SIZE))


def test_a_request_allows_one_answer_in_time() -> None:
    exchange = pex.Exchange()
    assert not exchange.take_answer("a", 0)
    exchange.ask("a", 0)
    assert not exchange.may_ask("a", 1)
    assert exchange.may_ask("a", pex.ASK_SECONDS)
    assert exchange.take_answer("a", 1)
    assert not exchange.take_answer("a", 1)
    exchange.ask("a", 100)
    assert not exchange.take_answer("a", 101 + pex.ANSWER_SECONDS)
    exchange.ask("a", 200)
    exchange.forget("a")
    assert not exchange.take_answer("a", 201)
    assert not exchange.may_ask("a", 201), "who reconnects is not asked again at once"


def test_requests_are_answered_seldom_even_across_reconnections_and_forgotten_in_the_end() -> None:
    exchange = pex.Exchange()
    assert exchange.take_request("a", 0)
    exchange.forget("a")
    assert not exchange.take_request("a", 1)
    assert exchange.take_request("a", 2 + pex.TOLERATED_SECONDS)
    exchange.ask("b", 2)
    exchange.expire(1_000)
    assert not exchange._heard
    assert not exchange._asked


async def test_private_nodes_are_never_told_to_others() -> None:
    hub = Node(1, NetworkSettings(private_peer_ids=(identity(2).node_id,)))
    async with running(hub):
        hidden, shown = Node(2, settings(hub.address)), Node(3, settings(hub.address))
        async with running(hidden, shown):
            await hub.until_peers(2)
            async with raw_peer(hub) as peer:
                await peer.say((Channel.PEERS, pex.GET_ADDRESSES))
                answer = await peer.hear_message(Channel.PEERS)
                while answer == pex.GET_ADDRESSES:
                    answer = await peer.hear_message(Channel.PEERS)
                found = pex.decode_pex(answer)
                assert isinstance(found, list)
                assert [address.node_id for address in found] == [shown.id]


async def test_a_private_node_that_this_one_dials_stays_untold_too() -> None:
    hidden = Node(2)
    async with running(hidden):
        hub = Node(1, settings(hidden.address, private_peer_ids=(hidden.id,)))
        async with running(hub):
            await hub.until_peers(1)
            assert hidden.id in hub.network._book
            async with raw_peer(hub) as peer:
                await peer.say((Channel.PEERS, pex.GET_ADDRESSES))
                answer = await peer.hear_message(Channel.PEERS)
                while answer == pex.GET_ADDRESSES:
                    answer = await peer.hear_message(Channel.PEERS)
                assert answer == pex.encode_addresses([])


async def test_a_node_without_peer_exchange_tells_nothing_and_does_not_ask() -> None:
    node = Node(1, NetworkSettings(pex=False))
    async with running(node):
        other = Node(2, settings(node.address))
        async with running(other):
            await node.until_peers(1)
            async with raw_peer(node) as peer:
                await peer.say((Channel.PEERS, pex.GET_ADDRESSES))
                assert await peer.hear_message(Channel.PEERS) == pex.encode_addresses([])
            assert peer.id not in [p.node_id for p in node.network.peers() if p.address]


async def test_addresses_travel_and_a_third_node_is_found_through_them() -> None:
    a = Node(1)
    async with running(a):
        b, c = Node(2, settings(a.address)), Node(3, settings(a.address))
        async with running(b):
            await b.until_peers(1)
            async with running(c):
                await poll(lambda: {b.id, a.id} <= set(c.network.peer_ids()))
                info = c.network.peer(b.id)
                assert info is not None
                assert info.address == b.address
