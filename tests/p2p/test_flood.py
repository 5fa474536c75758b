"""Votes, proposals and evidence reach everybody, are passed on once, and not to those who have them."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from p2p import flood
from p2p.channels import Channel
from p2p.flood import Flood
from p2p.messages import MAX_VOTES, EvidenceMessage, Message, Outline, Proposal, Votes, decode_message
from p2p.outlines import outline_of
from qenex.block import SignedVote
from tests.p2p.blocks import make_block, make_evidence, make_proposal, make_vote


class Lone:
    """One node; its peers are the test."""

    def __init__(self, *peers: str) -> None:
        self.now = 0.0
        self.out: list[tuple[str, Message]] = []
        self.accepts = True
        self.flood = Flood(
            self._send(Channel.CONSENSUS), self._send(Channel.EVIDENCE), lambda: self.now, lambda: 0.5
        )
        for peer in peers:
            self.flood.connected(peer)

    def _send(self, channel: Channel):  # type: ignore[no-untyped-def]  # a closure of the test
        def send(peer: str, payload: bytes) -> bool:
            if self.accepts:
                self.out.append((peer, decode_message(channel, payload)))
            return self.accepts

        return send

    def take(self) -> dict[str, list[Message]]:
        found: dict[str, list[Message]] = {}
        for peer, message in self.out:
            found.setdefault(peer, []).append(message)
        self.out = []
        return found

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.flood.due is not None and self.flood.due <= until:
            self.now = max(self.now, self.flood.due)
            self.flood.tick()
        self.now = until


def test_own_votes_of_one_turn_go_in_one_message_at_once() -> None:
    lone = Lone("a", "b")
    votes = (make_vote(1), make_vote(1, type=2))
    for vote in votes:
        lone.flood.vote(vote, own=True)
    lone.flood.tick()
    assert lone.take() == {"a": [Votes(votes)], "b": [Votes(votes)]}
    lone.pass_time(1.0)
    assert not lone.out


def test_another_s_vote_is_passed_on_once_a_little_later_and_not_to_who_has_it() -> None:
    lone = Lone("a", "b", "c")
    vote = make_vote(2)
    lone.flood.heard_votes("a", [vote])
    lone.flood.vote(vote, own=False)
    assert not lone.out
    lone.flood.heard_votes("b", [vote])
    lone.pass_time(flood.RELAY_SECONDS * 2)
    assert lone.take() == {"c": [Votes((vote,))]}


def test_both_votes_of_one_who_votes_twice_are_passed_on() -> None:
    lone = Lone("a")
    one, other = make_vote(2, name=None), make_vote(2, name=bytes([5]) * 32)
    lone.flood.heard_votes("a", [one])
    for vote in (one, other):
        lone.flood.vote(vote, own=False)
    lone.pass_time(1.0)
    assert lone.take() == {"a": [Votes((other,))]}


def test_a_vote_that_did_not_go_out_counts_as_not_known() -> None:
    lone = Lone("a")
    lone.accepts = False
    lone.flood.vote(make_vote(1), own=True)
    lone.flood.tick()
    lone.accepts = True
    lone.flood.vote(make_vote(1), own=True)
    lone.flood.tick()
    assert len(lone.out) == 1


def test_many_votes_go_in_messages_within_their_bounds() -> None:
    lone = Lone("a")
    votes = [make_vote(who)._replace(signature=bytes(16_000)) for who in range(1, 150)]
    for vote in votes:
        lone.flood.vote(vote, own=True)
    lone.flood.tick()
    messages = lone.take()["a"]
    assert [vote for message in messages if isinstance(message, Votes) for vote in message.votes] == votes
    assert all(isinstance(message, Votes) and len(message.votes) <= MAX_VOTES for message in messages)


def test_a_summary_s_lack_is_filled_whatever_was_sent_before() -> None:
    lone = Lone("a")
    lone.flood.vote(make_vote(1), own=True)
    lone.flood.tick()
    assert lone.flood.votes_to("a", [make_vote(1)])
    assert len(lone.take()["a"]) == 2
    assert not lone.flood.votes_to("gone", [make_vote(1)])


def test_a_proposal_is_passed_on_without_a_long_outline() -> None:
    short, long = make_block([b"tx"] * 3), make_block([bytes([n >> 8, n & 255]) for n in range(300)])
    outlines: list[Outline | None] = []
    for block in (short, long):
        lone = Lone("proposer", "b")
        proposal = make_proposal(block)
        lone.flood.heard_proposal("proposer", proposal)
        lone.flood.proposal(proposal, lambda block=block: outline_of(block), own=False)  # type: ignore[misc]  # bound now
        assert not lone.out
        lone.pass_time(1.0)
        ((peer, message),) = lone.out
        assert peer == "b"
        assert isinstance(message, Proposal)
        outlines.append(message.outline)
    assert outlines == [outline_of(short), None]


def test_an_own_proposal_goes_whole_to_everybody_at_once_and_once() -> None:
    lone = Lone("a", "b")
    block = make_block([bytes([n >> 8, n & 255]) for n in range(300)])
    for _ in range(2):
        lone.flood.proposal(make_proposal(block), lambda: outline_of(block), own=True)
    message = Proposal(make_proposal(block), outline_of(block))
    assert lone.take() == {"a": [message], "b": [message]}


def test_evidence_goes_to_everybody_once_and_to_a_newcomer() -> None:
    lone = Lone("a", "b")
    evidence = [make_evidence(who) for who in range(1, 20)]
    lone.flood.heard_evidence("b", evidence[:5])
    lone.flood.evidence(evidence)
    found = lone.take()
    assert [len(m.evidence) for m in found["a"] if isinstance(m, EvidenceMessage)] == [16, 3]
    assert [m.evidence for m in found["b"] if isinstance(m, EvidenceMessage)] == [tuple(evidence[5:])]
    lone.flood.evidence(evidence)
    assert not lone.out
    lone.flood.connected("c")
    lone.flood.evidence(evidence, only="c")
    assert list(lone.take()) == ["c"]


def test_what_is_remembered_of_a_peer_is_bounded_and_ends_with_its_height() -> None:
    lone = Lone("a")
    lone.flood.advance(5)
    for round in range(100):
        lone.flood.heard_votes("a", [make_vote(who, round=round) for who in range(1, 150)])
        lone.flood.heard_proposal("a", make_proposal(make_block([]), round))
        lone.flood.heard_proposal("a", make_proposal(make_block([]), round + 1_000))
    lone.flood.heard_evidence("a", [make_evidence(who) for who in range(1, 256)] * 8)
    for number in range(10_000):
        lone.flood.vote(make_vote(1, round=number), own=False)
    peer = lone.flood._peers["a"]
    assert len(peer.votes) <= flood.MAX_KNOWN
    assert len(peer.proposals) <= 150
    assert len(peer.evidence) <= flood.MAX_EVIDENCE_KNOWN
    assert len(lone.flood._relayed) <= flood.MAX_WAITING
    lone.flood.advance(7)
    assert not peer.votes
    assert not peer.proposals
    lone.flood.heard_votes("a", [make_vote(1, height=3)])
    assert not peer.votes


@given(st.integers(2, 7), st.lists(st.tuples(st.integers(1, 7), st.integers(1, 2)), max_size=12), st.data())
def test_every_vote_reaches_every_node_of_a_connected_network(
    count: int, said: list[tuple[int, int]], data: st.DataObject
) -> None:
    now = 0.0
    links: list[tuple[int, int, bytes]] = []

    def make(here: int) -> Flood:
        def send(to: str, payload: bytes) -> bool:
            links.append((here, int(to), payload))
            return True

        return Flood(send, send, lambda: now, lambda: here / 7)

    nodes = [make(number) for number in range(count)]
    pairs = {(number, data.draw(st.integers(0, number - 1))) for number in range(1, count)}
    pairs |= {pair for pair in combinations(range(count), 2) if data.draw(st.booleans())}
    for one, other in {(max(pair), min(pair)) for pair in pairs}:
        nodes[one].connected(str(other))
        nodes[other].connected(str(one))
    seen: list[dict[SignedVote, None]] = [{} for _ in range(count)]
    for who, kind in said:
        vote = make_vote(who, type=kind)
        author = who % count
        if vote not in seen[author]:
            seen[author][vote] = None
            nodes[author].vote(vote, own=True)
    for _ in range(60):
        for node in nodes:
            if node.due is not None and node.due <= now:
                node.tick()
        while links:
            sender, to, payload = links.pop(0)
            message = decode_message(Channel.CONSENSUS, payload)
            assert isinstance(message, Votes)
            nodes[to].heard_votes(str(sender), message.votes)
            for vote in message.votes:
                if vote not in seen[to]:
                    seen[to][vote] = None
                    nodes[to].vote(vote, own=False)
        now += 0.01
    assert all(votes.keys() == seen[0].keys() for votes in seen)
    assert all(node.due is None for node in nodes)
