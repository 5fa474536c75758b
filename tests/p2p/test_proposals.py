"""Compact proposals: the body is exactly what the header commits to, or none; lies and silence cost their author."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p import proposals
from p2p.channels import Channel
from p2p.messages import (
    MAX_IDS,
    BodyPart,
    CommitOutline,
    GetBody,
    GetOutline,
    Message,
    OutlineAnswer,
    decode_message,
    encode_message,
    pack_indexes,
    unpack_indexes,
)
from p2p.offences import Offence
from p2p.outlines import outline_fault, outline_of
from p2p.proposals import Proposals
from qenex.block import Block, Commit, block_hash
from qenex.transaction import witness_hash
from tests.p2p.blocks import make_block, make_commit, make_evidence


def raws_of(label: str, count: int, size: int = 40) -> list[bytes]:
    return [f"{label}-{number}-".encode().ljust(size, b".") for number in range(count)]


class Held:
    """What a node of a test holds."""

    def __init__(self) -> None:
        self.pool: dict[bytes, bytes] = {}
        self.blocks: dict[bytes, Block] = {}
        self.known_commit: Commit | None = None

    def raw_of(self, witness_id: bytes) -> bytes | None:
        return self.pool.get(witness_id)

    def body(self, name: bytes) -> Block | None:
        return self.blocks.get(name)

    def commit(self, outline: CommitOutline) -> Commit | None:
        return self.known_commit


class Lone:
    """One node; its peers are the test."""

    def __init__(self, *peers: str) -> None:
        self.now = 0.0
        self.held = Held()
        self.out: list[tuple[str, Message]] = []
        self.offences: list[tuple[str, Offence]] = []
        self.done: list[Block] = []
        self.accepts = True
        self.proposals = Proposals(
            self.held, self._send, lambda name, block: self.done.append(block),
            lambda peer, what, why: self.offences.append((peer, what)), lambda: self.now,
        )  # fmt: skip
        for peer in peers:
            self.proposals.connected(peer)

    def _send(self, peer: str, payload: bytes) -> bool:
        if self.accepts:
            self.out.append((peer, decode_message(Channel.CONSENSUS, payload)))
        return self.accepts

    def hold(self, raws: list[bytes]) -> None:
        self.held.pool.update({witness_hash(raw): raw for raw in raws})

    def take(self) -> list[tuple[str, Message]]:
        out, self.out = self.out, []
        return out

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.proposals.due is not None and self.proposals.due <= until:
            self.now = max(self.now, self.proposals.due)
            self.proposals.tick()
        self.now = until


def block_of(count: int = 10, **options: bool) -> tuple[Block, bytes, list[bytes]]:
    raws = raws_of("tx", count)
    block = make_block(raws, **options)
    return block, block_hash(block.header), raws


def test_a_block_whose_transactions_are_all_here_needs_nobody() -> None:
    block, name, raws = block_of()
    lone = Lone("a")
    lone.hold(raws)
    lone.held.known_commit = block.commit
    assert lone.proposals.on_outline("a", name, outline_of(block))
    lone.proposals.want(name)
    assert lone.done == [block]
    assert not lone.out
    assert lone.proposals.waiting == 0


def test_what_is_missing_is_asked_for_by_index_of_the_one_who_sent_the_outline() -> None:
    block, name, raws = block_of()
    lone = Lone("a", "b")
    lone.hold(raws[:4] + raws[6:])
    lone.proposals.on_outline("b", name, outline_of(block))
    lone.proposals.want(name)
    assert lone.take() == [("b", GetBody(name, True, pack_indexes([4, 5])))]
    lone.proposals.on_body_part("b", BodyPart(name, block.commit, (raws[4],), False))
    lone.proposals.on_body_part("b", BodyPart(name, None, (raws[5],), True))
    assert lone.done == [block]
    assert not lone.offences


def test_without_an_outline_all_are_asked_one_after_the_other() -> None:
    block, name, raws = block_of(3, with_commit=False)
    lone = Lone("a", "b", "c")
    lone.hold(raws)
    lone.proposals.want(name)
    assert lone.take() == [("a", GetOutline(name))]
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, None))
    assert lone.take() == [("b", GetOutline(name))]
    lone.pass_time(proposals.ANSWER_SECONDS + 0.2)
    assert lone.take() == [("c", GetOutline(name))]
    lone.proposals.on_outline_answer("c", OutlineAnswer(name, outline_of(block)))
    assert lone.done == [block]
    lone.proposals.on_outline_answer("b", OutlineAnswer(name, outline_of(block)))
    assert not lone.offences, "late is not unasked"


def test_when_all_were_asked_in_vain_all_are_asked_again_and_so_is_a_newcomer() -> None:
    _, name, _ = block_of(3)
    lone = Lone("a")
    lone.proposals.want(name)
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, None))
    lone.take()
    lone.pass_time(proposals.AGAIN_SECONDS + 0.1)
    assert lone.take() == [("a", GetOutline(name))]
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, None))
    lone.proposals.connected("b")
    assert lone.take() == [("b", GetOutline(name))]
    lone.proposals.disconnected("b")
    lone.proposals.holds("a", [name])
    assert lone.take() == [("a", GetOutline(name))]


def test_a_tick_just_before_its_time_does_not_put_off_asking_again() -> None:
    _, name, _ = block_of(3)
    lone = Lone("a")
    lone.proposals.want(name)
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, None))
    lone.take()
    for _ in range(12):
        lone.now += proposals.AGAIN_SECONDS / 10
        lone.proposals.tick()
    assert lone.take() == [("a", GetOutline(name))]


def test_an_outline_with_another_header_is_refused_at_once() -> None:
    _, name, _ = block_of()
    other = make_block(raws_of("other", 2))
    lone = Lone("liar")
    assert not lone.proposals.on_outline("liar", name, outline_of(other))
    lone.proposals.want(name)
    lone.proposals.on_outline_answer("liar", OutlineAnswer(name, outline_of(other)))
    assert lone.offences == [("liar", Offence.FALSE_CONTENT)] * 2
    assert not lone.done


@pytest.mark.parametrize("part", ["transactions", "evidence", "commit missing", "commit of another"])
def test_a_lying_outline_costs_its_sender_and_never_yields_a_wrong_body(part: str) -> None:
    raws = raws_of("tx", 6)
    block = make_block(raws, evidence=(make_evidence(2),))
    name, true = block_hash(block.header), outline_of(block)
    assert true.commit is not None
    false = {
        "transactions": true._replace(witness_ids=true.witness_ids[32:] + true.witness_ids[:32]),
        "evidence": true._replace(evidence=()),
        "commit missing": true._replace(commit=None),
        "commit of another": true._replace(commit=true.commit._replace(block_hash=bytes(32))),
    }[part]
    assert outline_fault(false)
    assert not outline_fault(true)
    lone = Lone("liar", "honest")
    lone.hold(raws)
    lone.held.known_commit = block.commit
    assert lone.proposals.on_outline("liar", name, false)
    assert lone.proposals.on_outline("honest", name, true)
    lone.proposals.want(name)
    assert lone.offences == [("liar", Offence.FALSE_CONTENT)]
    assert lone.done == [block]


def test_a_commit_put_together_wrongly_is_asked_for() -> None:
    block, name, raws = block_of()
    lone = Lone("a")
    lone.hold(raws)
    lone.held.known_commit = make_commit(4, bytes([7]) * 32, count=3)
    lone.proposals.on_outline("a", name, outline_of(block))
    lone.proposals.want(name)
    assert lone.take() == [("a", GetBody(name, True, b""))]
    lone.proposals.on_body_part("a", BodyPart(name, block.commit, (), True))
    assert lone.done == [block]


@pytest.mark.parametrize("lie", ["another's", "twice", "wrong order", "commit", "commit unasked", "nothing"])
def test_a_false_part_costs_its_sender_and_the_rest_comes_from_another(lie: str) -> None:
    block, name, raws = block_of(6)
    lone = Lone("liar", "honest")
    lone.held.known_commit = None if lie == "commit" else block.commit
    lone.proposals.on_outline("liar", name, outline_of(block))
    lone.proposals.want(name)
    part = {
        "another's": BodyPart(name, None, (raws[0], b"another"), True),
        "twice": BodyPart(name, None, (raws[0], raws[0]), True),
        "wrong order": BodyPart(name, None, (raws[3], raws[1]), True),
        "commit": BodyPart(name, make_commit(4, bytes(32)), (raws[0],), True),
        "commit unasked": BodyPart(name, block.commit, (raws[0],), True),
        "nothing": BodyPart(name, None, (), False),
    }[lie]
    lone.take()
    lone.proposals.on_body_part("liar", part)
    assert lone.offences == [("liar", Offence.FALSE_CONTENT)]
    assert not lone.done
    lone.proposals.holds("honest", [name])
    lone.pass_time(proposals.AGAIN_SECONDS)
    for _ in range(3):
        for peer, message in lone.take():
            if peer == "honest" and isinstance(message, GetBody):
                indexes = [
                    int.from_bytes(message.indexes[at : at + 2]) for at in range(0, len(message.indexes), 2)
                ]
                commit = block.commit if message.commit else None
                answer = BodyPart(name, commit, tuple([raws[index] for index in indexes]), True)
                lone.proposals.on_body_part("honest", answer)
    assert lone.done == [block]
    assert [peer for peer, _ in lone.offences] == ["liar"]


def test_what_nobody_asked_for_is_punished() -> None:
    block, name, raws = block_of()
    lone = Lone("a", "b")
    lone.proposals.on_body_part("a", BodyPart(name, None, tuple(raws), True))
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, outline_of(block)))
    lone.proposals.on_outline("a", name, outline_of(block))
    lone.proposals.want(name)
    lone.proposals.on_body_part("b", BodyPart(name, None, tuple(raws), True))
    lone.proposals.on_outline_answer("a", OutlineAnswer(name, outline_of(block)))
    assert lone.offences == [(peer, Offence.UNSOLICITED) for peer in ("a", "a", "b", "a")]
    assert not lone.done


def test_an_answer_to_what_is_no_longer_needed_is_no_offence() -> None:
    block, name, raws = block_of()
    lone = Lone("a")
    lone.proposals.on_outline("a", name, outline_of(block))
    lone.proposals.want(name)
    lone.proposals.abandon(name)
    lone.proposals.on_body_part("a", BodyPart(name, block.commit, tuple(raws), True))
    assert not lone.offences
    assert not lone.done


def test_a_silent_peer_is_passed_over_and_at_last_punished() -> None:
    block, name, raws = block_of()
    lone = Lone("silent")
    lone.proposals.on_outline("silent", name, outline_of(block))
    lone.proposals.want(name)
    lone.pass_time(20.0)
    assert ("silent", Offence.UNRESPONSIVE) in lone.offences
    lone.proposals.connected("b")
    lone.take()
    lone.pass_time(1.1)
    asked = [message for peer, message in lone.take() if peer == "b"]
    assert asked
    lone.proposals.on_body_part("b", BodyPart(name, block.commit, tuple(raws), True))
    assert lone.done == [block]


def test_a_slow_drip_holds_up_no_block_and_its_author_is_asked_last_from_then_on() -> None:
    block, name, raws = block_of(300)
    lone = Lone("dripper", "b")
    lone.proposals.on_outline("dripper", name, outline_of(block))
    lone.proposals.want(name)
    lone.proposals.holds("b", [name])
    assert [peer for peer, _ in lone.take()] == ["dripper"]
    began = lone.now
    for raw in raws:
        if any(peer == "b" for peer, _ in lone.out):
            break
        lone.proposals.on_body_part("dripper", BodyPart(name, None, (raw,), False))
        lone.pass_time(0.5)
    assert lone.now - began < 2.0
    answer_all(lone, "b", block, name)
    assert lone.done == [block]
    other = make_block(raws_of("other", 3))
    lone.proposals.want(block_hash(other.header))
    assert lone.take()[0][0] == "b"


def answer_all(lone: Lone, peer: str, block: Block, name: bytes) -> None:
    """`peer` answers all that it was asked for, at once."""
    for to, message in lone.take():
        if to == peer and isinstance(message, GetBody):
            indexes = unpack_indexes(message.indexes)
            raws = tuple([block.transactions[index] for index in indexes])
            lone.proposals.on_body_part(
                peer, BodyPart(name, block.commit if message.commit else None, raws, True)
            )


def test_a_body_larger_than_any_block_may_be_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "MAX_BLOCK_SIZE", 500)
    block, name, raws = block_of(40)
    lone = Lone("a", "b")
    lone.hold(raws[:5])
    lone.proposals.on_outline("a", name, outline_of(block))
    lone.proposals.want(name)
    lone.proposals.on_body_part("a", BodyPart(name, block.commit, tuple(raws[5:30]), False))
    lone.proposals.on_body_part("a", BodyPart(name, None, tuple(raws[30:]), True))
    lone.take()
    lone.pass_time(5.0)
    assert not lone.done
    assert not lone.out
    assert not lone.offences, "who only passes on what a proposer signed is not at fault"


def test_floods_of_outlines_and_requests_leave_memory_bounded() -> None:
    lone = Lone(*[f"p{number}" for number in range(20)])
    for number in range(20):
        for height in range(5, 25):
            block = make_block([f"{number}-{height}".encode()], height)
            lone.proposals.on_outline(f"p{number}", block_hash(block.header), outline_of(block))
            lone.accepts = False
            lone.proposals.on_get_body(f"p{number}", GetBody(bytes([height]) * 32, True, b""))
            lone.accepts = True
    assert lone.proposals.waiting <= proposals.MAX_OUTLINES
    for number in range(40):
        lone.proposals.want(bytes([number]) * 32)
    assert lone.proposals.waiting <= proposals.MAX_OUTLINES + proposals.MAX_FETCHES
    assert all(len(state.served) <= proposals.MAX_SERVED for state in lone.proposals._peers.values())
    lone.proposals.advance(100)
    assert lone.proposals.waiting <= proposals.MAX_FETCHES


def test_outlines_are_given_out_only_so_fast() -> None:
    lone = Lone("greedy")
    for _ in range(proposals.MAX_OUTLINES_SENT + 1):
        lone.proposals.on_get_outline("greedy", GetOutline(bytes(32)))
    assert len(lone.take()) == proposals.MAX_OUTLINES_SENT
    assert lone.offences == [("greedy", Offence.FLOOD)]
    lone.now += 1.0
    lone.proposals.on_get_outline("greedy", GetOutline(bytes(32)))
    assert len(lone.take()) == 1


def test_outlines_of_the_next_height_stay_when_this_one_ends() -> None:
    lone = Lone("a")
    for height in (5, 6):
        block = make_block([], height, with_commit=False)
        lone.proposals.on_outline("a", block_hash(block.header), outline_of(block))
    lone.proposals.advance(6)
    assert lone.proposals.waiting == 1
    lone.proposals.want(block_hash(block.header))
    assert lone.done == [block]


def test_strangers_are_ignored() -> None:
    block, name, raws = block_of()
    lone = Lone()
    assert lone.proposals.on_outline("x", name, outline_of(block))
    lone.proposals.on_get_outline("x", GetOutline(name))
    lone.proposals.on_get_body("x", GetBody(name, True, b""))
    lone.proposals.on_body_part("x", BodyPart(name, None, tuple(raws), True))
    lone.proposals.disconnected("x")
    assert not lone.out
    assert not lone.offences
    assert lone.proposals.waiting == 0


@given(
    st.integers(0, 800),
    st.integers(0, 200),
    st.floats(0, 1),
    st.booleans(),
    st.sets(st.sampled_from(["silent", "lacks", "lies", "half", "honest"]), min_size=1),
    st.integers(0, 2**32),
)
def test_the_body_comes_if_one_honest_peer_has_it_and_nothing_else_ever_does(
    count: int, size: int, share: float, knows_commit: bool, kinds: set[str], seed: int
) -> None:
    """Peers of all kinds, messages in any order, queues that are full now and then."""
    random = Random(seed)
    raws = raws_of("tx", count, size)
    block = make_block(raws, evidence=(make_evidence(1),))
    name = block_hash(block.header)
    lone = Lone()
    lone.hold([raw for raw in raws if random.random() < share])
    lone.held.known_commit = block.commit if knows_commit else None
    to_lone: deque[tuple[str, bytes]] = deque()
    others: dict[str, Proposals] = {}

    def send_from(peer: str) -> Proposals:
        held = Held()

        def send(to: str, payload: bytes) -> bool:
            if random.random() < 0.2:
                return False
            to_lone.append((peer, payload))
            return True

        held.blocks = {name: block} if peer in ("honest", "lies") else {}
        return Proposals(
            held, send, lambda block_name, body: None, lambda who, what, why: pytest.fail("an asker is punished"), lambda: lone.now,
        )  # fmt: skip

    for peer in sorted(kinds):
        others[peer] = send_from(peer)
        others[peer].connected("lone")
        lone.proposals.connected(peer)
        if peer in ("lies", "half"):
            lone.proposals.on_outline(peer, name, outline_of(block))
    lone.proposals.want(name)
    for _ in range(400):
        for peer, message in lone.take():
            if peer == "silent":
                continue
            if peer == "half" and isinstance(message, GetBody) and message.indexes:
                first = raws[int.from_bytes(message.indexes[:2])]
                to_lone.append((peer, encode_message(BodyPart(name, None, (first,), True))))
            elif isinstance(message, GetBody):
                others[peer].on_get_body("lone", message)
            elif isinstance(message, GetOutline):
                others[peer].on_get_outline("lone", message)
        while to_lone:
            peer, payload = to_lone.popleft()
            message = decode_message(Channel.CONSENSUS, payload)
            if isinstance(message, OutlineAnswer):
                lone.proposals.on_outline_answer(peer, message)
            elif isinstance(message, BodyPart):
                if peer == "lies" and message.transactions:
                    message = message._replace(transactions=(*message.transactions[:-1], b"a lie"))
                lone.proposals.on_body_part(peer, message)
        if lone.done and not lone.out:
            break
        lone.pass_time(0.1)
        for other in others.values():
            if other.due is not None and other.due <= lone.now:
                other.tick()
    assert all(body == block for body in lone.done)
    assert len(lone.done) <= 1
    if "honest" in kinds:
        assert lone.done
    assert not [
        peer for peer, _ in lone.offences if peer not in ("lies", "silent", "lacks", "half", "honest")
    ]
    assert not [what for peer, what in lone.offences if peer == "honest" and what is not Offence.UNRESPONSIVE]


def test_the_largest_request_fits_its_message() -> None:
    request = GetBody(bytes(32), True, pack_indexes(range(MAX_IDS)))
    assert decode_message(Channel.CONSENSUS, encode_message(request)) == request
