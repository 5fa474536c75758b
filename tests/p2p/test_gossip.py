"""Transaction gossip: everything reaches everybody, once; memory is bounded; lies cost the liar."""

from __future__ import annotations

from collections import Counter, deque
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p import gossip
from p2p.channels import Channel
from p2p.gossip import Remembered, TransactionGossip
from p2p.messages import (
    MAX_IDS,
    Announce,
    GetTransactions,
    PushTransactions,
    Transactions,
    decode_message,
    encode_message,
    split_ids,
)
from p2p.offences import Offence
from qenex.transaction import witness_hash
from tests.p2p.gossip_net import Net, Pool

NAMES = "abcdef"


def raws_of(label: str, count: int, size: int = 40) -> list[bytes]:
    return [f"{label}-{number}-".encode().ljust(size, b".") for number in range(count)]


def full_mesh(count: int, **options: int) -> Net:
    net = Net(NAMES[:count], **options)
    for one, other in combinations(NAMES[:count], 2):
        net.connect(one, other)
    return net


def ids_of(raws: list[bytes]) -> bytes:
    return b"".join(map(witness_hash, raws))


class Lone:
    """One gossip object whose peers are the test."""

    def __init__(self, **options: int) -> None:
        self.now = 0.0
        self.pool = Pool()
        self.out: list[tuple[str, object]] = []
        self.offences: list[tuple[str, Offence]] = []
        self.delivered: list[bytes] = []
        self.room = True
        self.accepts = True
        self.gossip = TransactionGossip(
            self.pool, self._send, self._deliver, lambda peer, what, why: self.offences.append((peer, what)),
            lambda: self.now, has_room=lambda: self.room, **options,
        )  # fmt: skip

    def _send(self, peer: str, payload: bytes) -> bool:
        if self.accepts:
            self.out.append((peer, decode_message(Channel.MEMPOOL, payload)))
        return self.accepts

    def _deliver(self, peer: str, ids: list[bytes], raws: list[bytes]) -> None:
        self.delivered += raws

    def requests(self, peer: str) -> list[GetTransactions]:
        return [m for to, m in self.out if to == peer and isinstance(m, GetTransactions)]

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.gossip.due is not None and self.gossip.due <= until:
            self.now = max(self.now, self.gossip.due)
            self.gossip.tick()
        self.now = until


@given(
    st.integers(2, 6),
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(0, 2**32),
    st.data(),
)
def test_every_transaction_reaches_every_node_of_a_connected_network_of_peers_that_lose_some(
    count: int, push_peers: int, batches: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    net = Net(NAMES[:count], push_peers=push_peers, seed=seed)
    for number in range(1, count):  # a tree, so that everybody is reached by one way at least
        net.connect(NAMES[number], NAMES[data.draw(st.integers(0, number - 1))])
    for one, other in combinations(NAMES[:count], 2):
        if (one, other) not in net.links and data.draw(st.booleans()):
            net.connect(one, other)

    def full(sender: str, to: str) -> bool:
        """A queue is full now and then, never for ever."""
        return net.random.random() < 0.3

    lost = Counter[str]()

    def lose(sender: str, to: str, payload: bytes) -> bytes | None:
        """Requests get lost, a few of each asker."""
        if payload[0] == 0x71 and lost[sender] < 2 and net.random.random() < 0.3:
            lost[sender] += 1
            return None
        return payload

    net.full, net.spoil = full, lose
    expected = {}
    for number, (who, size) in enumerate(batches):
        member = net.members[NAMES[who % count]]
        batch = raws_of(f"{number}", size)
        expected.update({witness_hash(raw): raw for raw in batch})
        member.submit(batch)
        net.run(0.01)
    net.run(60.0)
    for member in net.members.values():
        assert member.pool.raws == expected
        assert member.gossip.wanted == 0
        assert not [offence for _, offence in member.offences if offence is not Offence.UNRESPONSIVE]


def test_a_transaction_travels_once_to_each_node_of_a_small_full_mesh() -> None:
    net = full_mesh(4)
    for name in "abcd":
        net.members[name].submit(raws_of(name, 100))
    net.run(5.0)
    for member in net.members.values():
        assert len(member.pool.raws) == 400
        assert member.gossip.duplicates == 0
        assert member.gossip.received == 300


def test_what_is_relayed_and_what_is_too_much_to_push_is_announced_and_fetched() -> None:
    net = full_mesh(6, push_peers=2)
    net.members["a"].submit(raws_of("a", 3_000, 200))
    net.run(5.0)
    assert all(len(member.pool.raws) == 3_000 for member in net.members.values())
    # Announced by several while it was on its way by another: a few may come twice, not most.
    assert sum(member.gossip.duplicates for member in net.members.values()) < 1_500


def test_a_newcomer_gets_what_waits() -> None:
    net = full_mesh(3)
    net.members["a"].submit(raws_of("old", 2_500))
    net.run(5.0)
    late = Net("abcd").members["d"]
    late.net, net.members["d"] = net, late
    late.gossip = TransactionGossip(
        late.pool, lambda to, payload: net.send("d", to, payload), late._deliver,
        lambda peer, offence, detail: None, lambda: net.now,
    )  # fmt: skip
    net.connect("d", "b")
    net.run(5.0)
    assert len(late.pool.raws) == 2_500


def test_a_newcomer_is_told_no_faster_than_it_can_fetch() -> None:
    lone = Lone()
    lone.pool.raws = {witness_hash(raw): raw for raw in raws_of("old", 5_000)}
    lone.gossip.connected("new")
    lone.pass_time(gossip.BACKLOG_SECONDS * 2)
    assert 2 <= len(lone.out) <= 3
    lone.gossip.admitted([bytes(32)])
    lone.pass_time(gossip.BACKLOG_SECONDS * 6)
    told = [
        witness_id for _, m in lone.out if isinstance(m, Announce) for witness_id in split_ids(m.witness_ids)
    ]
    assert sorted(told) == sorted([*lone.pool.raws, bytes(32)])


def test_order_is_kept_from_one_peer() -> None:
    net = full_mesh(2)
    raws = raws_of("sequence", 2_000)
    net.members["a"].submit(raws)
    net.run(5.0)
    assert net.members["b"].delivered == raws


def test_what_a_peer_does_not_deliver_is_fetched_from_another() -> None:
    lone = Lone()
    for name in ("liar", "honest"):
        lone.gossip.connected(name)
    raws = raws_of("x", 5)
    lone.gossip.on_announce("liar", Announce(ids_of(raws)))
    lone.gossip.on_announce("honest", Announce(ids_of(raws)))
    assert not lone.requests("honest")
    request = lone.requests("liar")[0]
    lone.gossip.on_transactions("liar", Transactions(request.request, tuple(raws[:2]), True))
    again = lone.requests("honest")[0]
    assert again.witness_ids == ids_of(raws[2:])
    lone.gossip.on_transactions("honest", Transactions(again.request, tuple(raws[2:]), True))
    assert lone.delivered == raws
    assert lone.gossip.wanted == 0


def test_a_silent_peer_is_given_up_and_after_some_requests_punished() -> None:
    lone = Lone()
    lone.gossip.connected("silent")
    lone.gossip.connected("honest")
    raws = raws_of("x", 3)
    lone.gossip.on_announce("silent", Announce(ids_of(raws)))
    lone.gossip.on_announce("honest", Announce(ids_of(raws)))
    lone.pass_time(gossip.REQUEST_SECONDS + 1)
    asked = lone.requests("honest")[0]
    lone.gossip.on_transactions("honest", Transactions(asked.request, tuple(raws), True))
    assert lone.delivered == raws
    late = lone.requests("silent")[0]
    lone.gossip.on_transactions("silent", Transactions(late.request, tuple(raws), True))
    assert not lone.offences, "an answer that is late is not unasked"
    assert lone.delivered == raws
    for number in range(2):
        lone.gossip.on_announce("silent", Announce(ids_of(raws_of(f"more-{number}", 3))))
    lone.pass_time(30.0)
    assert ("silent", Offence.UNRESPONSIVE) in lone.offences
    assert lone.gossip.wanted == 0, "what nobody delivers is not waited for for ever"


def test_a_slow_drip_keeps_no_transaction_back() -> None:
    net = Net(["me"])
    me = net.members["me"]
    net.links["me", "dripper"], net.links["me", "b"] = deque(), deque()
    me.gossip.connected("dripper")
    me.gossip.connected("b")
    raws = raws_of("tx", 100)
    ids = b"".join(map(witness_hash, raws))
    me.gossip.on_announce("dripper", Announce(ids))
    me.gossip.on_announce("b", Announce(ids))
    request = decode_message(Channel.MEMPOOL, net.links["me", "dripper"].popleft())
    assert isinstance(request, GetTransactions)
    for raw in raws[:20]:
        me.gossip.on_transactions("dripper", Transactions(request.request, (raw,), False))
        net.now += 1.0
        if me.gossip.due is not None and me.gossip.due <= net.now:
            me.gossip.tick()
        if net.links["me", "b"]:
            break
    assert net.now < 4.0
    asked = decode_message(Channel.MEMPOOL, net.links["me", "b"].popleft())
    assert isinstance(asked, GetTransactions)
    assert witness_hash(raws[99]) in split_ids(asked.witness_ids)


def test_announcing_what_is_never_delivered_is_punished() -> None:
    lone = Lone()
    lone.gossip.connected("liar")
    answered = 0
    for number in range(4):
        lone.gossip.on_announce("liar", Announce(ids_of(raws_of(f"lie-{number}", 256))))
        for request in lone.requests("liar")[answered:]:
            answered += 1
            lone.gossip.on_transactions("liar", Transactions(request.request, (), True))
    assert ("liar", Offence.UNDELIVERED) in lone.offences


def test_honest_peers_may_lack_some_of_what_they_announced() -> None:
    lone = Lone()
    lone.gossip.connected("honest")
    answered = 0
    for number in range(20):
        raws = raws_of(f"{number}", 200)
        lone.gossip.on_announce("honest", Announce(ids_of(raws)))
        for request in lone.requests("honest")[answered:]:
            answered += 1
            lone.gossip.on_transactions("honest", Transactions(request.request, tuple(raws[60:]), True))
    assert not lone.offences


def test_unasked_answers_are_punished_and_not_taken() -> None:
    lone = Lone()
    lone.gossip.connected("x")
    lone.gossip.on_transactions("x", Transactions(7, tuple(raws_of("a", 2)), True))
    assert lone.offences == [("x", Offence.UNSOLICITED)]
    asked, other = raws_of("asked", 2), raws_of("other", 1)
    lone.gossip.on_announce("x", Announce(ids_of(asked)))
    number = lone.requests("x")[-1].request
    lone.gossip.on_transactions("x", Transactions(number, (asked[0], *other, asked[1]), True))
    assert lone.offences == [("x", Offence.UNSOLICITED)] * 2
    assert lone.delivered == asked[:1]
    lone.gossip.on_announce("x", Announce(ids_of(raws_of("third", 1))))
    number = lone.requests("x")[-1].request
    lone.gossip.on_transactions("x", Transactions(number, (), False))
    assert len(lone.offences) == 3, "parts without an end would keep a request open for ever"


@given(st.integers(1, 30), st.booleans())
def test_floods_of_announcements_and_pushes_leave_memory_bounded(peers: int, room: bool) -> None:
    lone = Lone()
    lone.room = room
    small = {"MAX_WANTED": 2_000, "MAX_PEER_WANTED": 500}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(gossip, name, value)
        for peer in range(peers):
            lone.gossip.connected(f"p{peer}")
            for batch in range(3):
                raws = raws_of(f"{peer}-{batch}", 400)
                lone.gossip.on_announce(f"p{peer}", Announce(ids_of(raws)))
                lone.gossip.on_get(f"p{peer}", GetTransactions(batch, ids_of(raws)))
        assert lone.gossip.wanted <= min(2_000, 500 * peers)
        for state in lone.gossip._peers.values():
            assert state.wants <= 500
            assert len(state.requests) <= gossip.MAX_REQUESTS
            assert len(state.served) <= gossip.MAX_SERVED
            assert len(state.known) <= gossip.KNOWN + 1_024
        if not room:
            assert not [m for _, m in lone.out if isinstance(m, GetTransactions)]


def test_more_requests_than_are_served_are_answered_with_nothing() -> None:
    lone = Lone()
    lone.gossip.connected("greedy")
    raws = raws_of("x", 5)
    lone.pool.raws.update({witness_hash(raw): raw for raw in raws})
    lone.accepts = False
    for number in range(gossip.MAX_SERVED + 5):
        lone.gossip.on_get("greedy", GetTransactions(number, ids_of(raws)))
    assert len(lone.gossip._peers["greedy"].served) == gossip.MAX_SERVED
    lone.accepts = True
    lone.pass_time(1.0)
    answers = [m for _, m in lone.out if isinstance(m, Transactions)]
    assert [m.request for m in answers] == list(range(gossip.MAX_SERVED))
    assert all(m.transactions == tuple(raws) for m in answers)


def test_large_answers_go_in_parts_that_fit_a_message() -> None:
    net = full_mesh(2, push_peers=0)
    raws = raws_of("large", 40, 60_000)
    net.members["a"].submit(raws)
    net.run(5.0)
    assert net.members["b"].delivered == raws


def test_without_room_nothing_is_asked_for_and_a_push_is_asked_for_later() -> None:
    lone = Lone()
    lone.gossip.connected("x")
    lone.room = False
    raws = raws_of("pushed", 3)
    lone.gossip.on_push("x", PushTransactions(tuple(raws)))
    lone.pass_time(1.0)
    assert not lone.delivered
    assert not lone.requests("x")
    lone.room = True
    lone.pass_time(1.0)
    assert lone.requests("x")[0].witness_ids == ids_of(raws)


def test_what_could_not_be_judged_may_be_fetched_again() -> None:
    lone = Lone()
    lone.gossip.connected("x")
    raws = raws_of("pushed", 1)
    lone.gossip.on_push("x", PushTransactions(tuple(raws)))
    lone.gossip.on_announce("x", Announce(ids_of(raws)))
    assert not lone.requests("x")
    lone.gossip.forget([witness_hash(raws[0])])
    lone.gossip.on_announce("x", Announce(ids_of(raws)))
    assert len(lone.requests("x")) == 1


def test_what_a_block_took_is_not_fetched() -> None:
    lone = Lone()
    lone.gossip.connected("x")
    raws = raws_of("included", 3)
    lone.gossip.included([witness_hash(raw) for raw in raws])
    lone.gossip.on_announce("x", Announce(ids_of(raws)))
    assert not lone.requests("x")


def test_a_peer_that_goes_leaves_nothing_behind() -> None:
    net = full_mesh(3, push_peers=0)
    net.members["a"].submit(raws_of("a", 600))
    net.run(0.02)
    net.disconnect("a", "b")
    net.run(10.0)
    assert len(net.members["b"].pool.raws) == 600
    assert list(net.members["b"].gossip._peers) == ["c"]


def test_messages_of_strangers_are_ignored() -> None:
    lone = Lone()
    raws = raws_of("x", 1)
    lone.gossip.on_announce("gone", Announce(ids_of(raws)))
    lone.gossip.on_push("gone", PushTransactions(tuple(raws)))
    lone.gossip.on_get("gone", GetTransactions(1, ids_of(raws)))
    lone.gossip.on_transactions("gone", Transactions(1, tuple(raws), True))
    lone.gossip.disconnected("gone")
    assert not lone.out
    assert not lone.delivered
    assert not lone.offences


def test_an_empty_node_is_never_due() -> None:
    lone = Lone()
    lone.gossip.connected("x")
    assert lone.gossip.due is None
    lone.gossip.submitted([bytes(32)], [b"raw"])
    lone.pass_time(1.0)
    assert lone.gossip.due is None


@given(st.lists(st.integers(0, 300), max_size=400), st.integers(2, 64))
def test_remembering_is_bounded_and_never_forgets_the_newest(items: list[int], capacity: int) -> None:
    known = Remembered(capacity)
    for number, item in enumerate(items):
        known.update([item.to_bytes(32, "big")])
        assert len(known) <= capacity
        for recent in items[max(0, number + 1 - capacity // 2) : number + 1]:
            assert recent.to_bytes(32, "big") in known
    assert not known.unknown([item.to_bytes(32, "big") for item in items[-1:]])


def test_an_announcement_of_the_largest_size_fits_its_message() -> None:
    ids = bytes(32) * MAX_IDS
    assert decode_message(Channel.MEMPOOL, encode_message(Announce(ids))) == Announce(ids)
