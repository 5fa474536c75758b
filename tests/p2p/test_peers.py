"""Who may connect, and whom to dial: the decisions by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from p2p.address_book import AddressBook
from p2p.addresses import PeerAddress, group_of, parse_address
from p2p.outbound import MAX_DIALS, Outbound
from p2p.peers import PeerTable, Places
from p2p.settings import Backoff, NetworkSettings, parsed
from qenex.errors import PeerUnreachable
from tests.p2p.test_address_book import Clock, at

LOW, MIDDLE, HIGH = "1" * 64, "5" * 64, "9" * 64


@dataclass
class Connected:
    """What the table looks at of a connection."""

    peer_id: str
    outbound: bool
    host: str = "127.0.0.1"
    closing: bool = False


def connected(peer_id: str, outbound: bool, host: str = "127.0.0.1", *, closing: bool = False) -> Any:
    return Connected(peer_id, outbound, host, closing)


def table(inbound: int = 4, outbound: int = 2, trusted: tuple[str, ...] = ()) -> PeerTable:
    return PeerTable(MIDDLE, Places(inbound, outbound), trusted)


def take(one: PeerTable, connection: Any) -> bool:
    verdict = one.judge(connection, dialling=False)
    if not verdict.refuse:
        one.connections[connection.peer_id] = connection
    return not verdict.refuse


@pytest.mark.parametrize("peer", [LOW, HIGH])
def test_of_two_connections_the_one_that_the_smaller_id_dialled_stays_on_both_sides(peer: str) -> None:
    first, second = PeerTable(MIDDLE, Places(4, 4), ()), PeerTable(peer, Places(4, 4), ())
    kept = []
    for mine, other_id in ((first, peer), (second, MIDDLE)):
        for order in ((True, False), (False, True)):
            mine.connections.clear()
            for outbound in order:
                connection = connected(other_id, outbound)
                verdict = mine.judge(connection, dialling=False)
                if not verdict.refuse:
                    mine.connections[other_id] = connection
            kept.append(mine.connections[other_id].outbound)
    dialled_by_first = peer > MIDDLE
    assert kept == [dialled_by_first] * 2 + [not dialled_by_first] * 2


def test_a_second_connection_of_the_same_dialler_replaces_the_first() -> None:
    for outbound in (True, False):
        one = table()
        old = connected(LOW, outbound)
        assert take(one, old)
        verdict = one.judge(connected(LOW, outbound), dialling=False)
        assert (verdict.refuse, verdict.instead_of) == ("", old)


def test_the_preferred_connection_has_to_prove_that_it_works() -> None:
    one = table()
    mine = connected(HIGH, True)
    take(one, mine)
    verdict = one.judge(connected(HIGH, False), dialling=False)
    assert verdict.refuse
    assert verdict.probe is mine


def test_who_dials_a_node_that_dials_him_waits_if_his_id_is_larger() -> None:
    one = table()
    assert one.judge(connected(HIGH, False), dialling=True).refuse
    assert not one.judge(connected(LOW, False), dialling=True).refuse


def test_a_closing_connection_stands_in_nobodys_way() -> None:
    one = table()
    take(one, connected(HIGH, True, closing=True))
    assert one.judge(connected(HIGH, False), dialling=False).refuse == ""


def test_inbound_places_end_and_trusted_peers_come_on_top() -> None:
    one = table(inbound=4, trusted=(HIGH,))
    assert [take(one, connected(f"{n:064x}", False)) for n in range(6)] == [True] * 4 + [False] * 2
    assert take(one, connected(HIGH, False))
    assert not take(one, connected(f"{9:064x}", False))


def test_one_network_group_takes_no_more_than_its_share_of_the_inbound_places() -> None:
    one = table(inbound=40)
    hostile = [take(one, connected(f"{n:064x}", False, f"31.7.{n}.1")) for n in range(30)]
    assert sum(hostile) == 10
    assert take(one, connected(HIGH, False, "31.8.1.1"))
    local = [take(one, connected(f"{n:064x}", False)) for n in range(100, 120)]
    assert all(local), "a machine's own nodes are not held to a group's share"


def test_outbound_places_are_counted_without_trusted_peers() -> None:
    one = table(outbound=2, trusted=(HIGH,))
    assert one.missing_outbound() == 2
    take(one, connected(HIGH, True))
    assert one.missing_outbound() == 2
    take(one, connected(LOW, True, "31.7.1.1"))
    assert one.missing_outbound() == 1
    assert one.outbound_groups() == {"4:1f07"}


# -- whom to dial ----------------------------------------------------------------------------------


def outbound(
    *, persistent: tuple[PeerAddress, ...] = (), seeds: tuple[PeerAddress, ...] = (), places: int = 10
) -> tuple[Outbound, AddressBook, PeerTable]:
    named = parsed(
        NetworkSettings(persistent_peers=tuple(map(str, persistent)), seeds=tuple(map(str, seeds)))
    )
    book = AddressBook(Clock(), secret=bytes(32), random=Random(1))
    one = PeerTable(MIDDLE, Places(40, places), named.persistent)
    return Outbound(MIDDLE, named, book, one, Backoff(1.0, 8.0), Random(3)), book, one


def test_persistent_peers_are_dialled_whatever_the_places_say() -> None:
    peers = tuple(at(n) for n in range(1, 5))
    plan, _, _ = outbound(persistent=peers, places=0)
    assert plan.plan(0.0, refused=set()) == list(peers)
    assert plan.plan(0.0, refused={peers[0].node_id}) == list(peers[1:])


def test_a_node_does_not_dial_itself_or_whom_it_is_connected_to_or_dialling() -> None:
    own = parse_address(f"{MIDDLE}@31.7.1.1:1")
    a, b = at(1), at(2)
    plan, _, one = outbound(persistent=(own, a, b))
    plan.started(a)
    one.connections[b.node_id] = connected(b.node_id, True)
    assert plan.plan(0.0, refused=set()) == []


def test_the_pause_between_attempts_doubles_with_jitter_and_has_an_end() -> None:
    peer = at(1)
    plan, _, _ = outbound(persistent=(peer,))
    now, pauses = 0.0, []
    for _ in range(8):
        plan.started(peer)
        plan.failed(peer, PeerUnreachable("x"), now)
        pauses.append(plan._due[peer.node_id] - now)
        assert plan.plan(plan._due[peer.node_id] - 0.001, refused=set()) == []
        now = plan._due[peer.node_id]
        assert plan.plan(now, refused=set()) == [peer]
    for number, pause in enumerate(pauses):
        base = min(2.0**number, 8.0)
        assert 0.5 * base <= pause <= 1.5 * base
    assert len(set(pauses)) == len(pauses)
    assert isinstance(plan.problems[peer.node_id], PeerUnreachable)
    plan.started(peer)
    plan.succeeded(peer)
    assert not plan.problems
    plan.failed(peer, PeerUnreachable("x"), now)
    assert plan._due[peer.node_id] - now <= 1.5


def test_places_are_filled_from_the_book_no_two_of_one_group_and_few_at_a_time() -> None:
    plan, book, one = outbound(places=100)
    for number in range(200):
        book.add(at(number), f"{40 + number % 100}.{number}.1.1")
    chosen = plan.plan(0.0, refused=set())
    assert len(chosen) == len({group_of(address.host) for address in chosen}) == MAX_DIALS
    for address in chosen:
        plan.started(address)
    assert plan.plan(0.0, refused=set()) == []
    taken = chosen[0]
    plan.succeeded(taken)
    one.connections[taken.node_id] = connected(taken.node_id, True, taken.host)
    (another,) = plan.plan(0.0, refused=set())
    assert group_of(another.host) not in {group_of(address.host) for address in chosen}


def test_seeds_are_asked_when_the_book_is_short_and_not_again_at_once() -> None:
    seeds = (at(1), at(2))
    plan, book, one = outbound(seeds=seeds)
    (first,) = plan.plan(0.0, refused=set())
    assert first in seeds
    one.connections[at(3).node_id] = connected(at(3).node_id, False)
    assert plan.plan(1.0, refused=set()) == []
    assert len(plan.plan(61.0, refused=set())) == 1
    for number in range(10, 60):
        book.add(at(number), f"{40 + number}.{number}.1.1")
    assert not set(plan.plan(200.0, refused=set())) & set(seeds)


def test_old_failures_of_strangers_are_forgotten_and_all_delays_when_the_network_is_mended() -> None:
    peer, stranger = at(1), at(2)
    plan, _, _ = outbound(persistent=(peer,))
    for address in (peer, stranger):
        plan.failed(address, PeerUnreachable("x"), 0.0)
    assert set(plan.problems) == {peer.node_id}
    plan.expire(1_000.0)
    assert set(plan._due) == {peer.node_id}
    plan.failed(peer, PeerUnreachable("x"), 1_000.0)
    assert 0.02 <= plan.wait(1_000.0) <= 2.0
    plan.hurry()
    assert plan.plan(1_000.0, refused=set()) == [peer]
