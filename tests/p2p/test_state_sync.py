"""Which snapshot, and which part of it of whom."""

from __future__ import annotations

import pytest

from p2p.offences import Offence
from p2p.state_sync import PER_PEER, Part, SnapshotFetcher
from p2p.sync_messages import (
    ChunkAnswer,
    GetChunk,
    LightBlockAnswer,
    ManifestAnswer,
    SnapshotOffer,
    Snapshots,
)
from qenex.errors import MalformedBytes
from tests.p2p.sync_world import World, answer

OLD, NEW, RARE = (SnapshotOffer(height, bytes([n]) * 32, 20, 1_000) for n, height in enumerate((10, 20, 20)))


class Fetch:
    """A fetcher in a world of peers with offers."""

    def __init__(self, **offers: tuple[SnapshotOffer, ...]) -> None:
        self.world = World()
        self.parts: list[Part] = []
        self.it = SnapshotFetcher(self.world.send, self.world.punish, self.world.now, self.parts.append)
        for peer, offered in offers.items():
            assert self.it.ask_offers(peer)
            ((_, number, _),) = self.world.take()
            self.it.on_answer(peer, answer(Snapshots(offered), number))


def test_the_newest_snapshot_that_most_have_is_chosen_and_the_next_when_it_is_bad() -> None:
    fetch = Fetch(a=(NEW, OLD), b=(NEW, OLD), c=(RARE,))
    assert fetch.it.choose() == NEW
    fetch.it.give_up(NEW)
    assert fetch.it.choose() == RARE
    fetch.it.give_up(RARE)
    assert fetch.it.choose() == OLD
    fetch.it.give_up(OLD)
    assert fetch.it.choose() is None


def test_a_snapshot_that_could_not_be_had_is_tried_again_later() -> None:
    fetch = Fetch(a=(NEW,))
    fetch.it.give_up(NEW, 10.0)
    assert fetch.it.choose() is None
    fetch.world.time += 10.0
    assert fetch.it.choose() == NEW


def test_an_impossible_offer_is_none() -> None:
    fetch = Fetch(a=(NEW._replace(chunks=0), NEW._replace(chunks=1 << 20)))
    assert fetch.it.choose() is None


def test_chunks_are_asked_of_all_holders_a_few_of_each() -> None:
    fetch = Fetch(a=(NEW,), b=(NEW,), c=(OLD,))
    fetch.it.begin(NEW)
    fetch.it.want_chunks(tuple(range(20)))
    sent = fetch.world.take()
    assert {peer: sum(who == peer for who, _, _ in sent) for peer in "abc"} == {
        "a": PER_PEER,
        "b": PER_PEER,
        "c": 0,
    }
    for peer, number, question in sent:
        assert isinstance(question, GetChunk)
        fetch.it.on_answer(peer, answer(ChunkAnswer(b"x"), number))
        fetch.it.taken(question.number)
    numbers = [part.number for part in fetch.parts if part.kind == "chunk"]
    assert sorted(numbers) == list(range(8))
    assert sorted(q.number for _, _, q in fetch.world.take() if isinstance(q, GetChunk)) == list(range(8, 16))


def test_who_sent_a_wrong_chunk_pays_and_is_asked_for_no_more() -> None:
    fetch = Fetch(liar=(NEW,), honest=(NEW,))
    fetch.it.begin(NEW)
    fetch.it.want_chunks((0, 1))
    for peer, number, _ in fetch.world.take():
        fetch.it.on_answer(peer, answer(ChunkAnswer(b"x"), number))
    for part in fetch.parts:
        if part.peer == "liar" and part.kind == "chunk":
            fetch.it.refused(part, "wrong")
    assert fetch.world.offences[0] == ("liar", Offence.FALSE_CONTENT)
    assert fetch.it.holders() == ["honest"]
    assert {peer for peer, _, _ in fetch.world.take()} == {"honest"}


@pytest.mark.parametrize("message", [ManifestAnswer(None), ChunkAnswer(None)])
def test_a_snapshot_deleted_since_is_no_offence_and_is_asked_of_others(message) -> None:
    fetch = Fetch(a=(NEW,), b=(NEW,))
    fetch.it.begin(NEW)
    if isinstance(message, ManifestAnswer):
        assert fetch.it.ask_manifest()
        assert fetch.it.ask_manifest()
    else:
        fetch.it.want_chunks((0,))
    ((peer, number, _),) = fetch.world.take()
    fetch.it.on_answer(peer, answer(message, number))
    assert fetch.world.offences == []
    assert peer not in fetch.it.holders()
    assert len(fetch.it.holders()) == 1


def test_late_chunks_and_those_of_gone_peers_are_asked_of_others() -> None:
    fetch = Fetch(a=(NEW,), b=(NEW,))
    fetch.it.begin(NEW)
    fetch.it.want_chunks((0,))
    ((first, _, _),) = fetch.world.take()
    due = fetch.it.due
    assert due is not None
    fetch.world.time = due
    fetch.it.tick()
    ((second, _, _),) = fetch.world.take()
    fetch.it.on_disconnected(second)
    ((third, _, _),) = fetch.world.take()
    assert third != second
    assert {first, second} == {"a", "b"} or first == second


def test_headers_that_do_not_come_are_told() -> None:
    fetch = Fetch(a=(NEW,))
    assert fetch.it.ask_light_block("a", 5, validators=True)
    due = fetch.it.due
    assert due is not None
    fetch.world.time = due
    fetch.it.tick()
    assert fetch.it.take_failed() == [("light", 5)]
    assert fetch.it.take_failed() == []
    fetch.world.take()
    assert fetch.it.ask_light_block("a", 6, validators=False)
    ((_, number, _),) = fetch.world.take()
    with pytest.raises(MalformedBytes):
        fetch.it.on_answer("a", answer(LightBlockAnswer(None), number)[:5] + b"\xc1")
    assert fetch.it.take_failed() == [("light", 6)]
    assert fetch.it.ask_light_block("a", 7, validators=False)
    fetch.it.on_disconnected("a")
    assert fetch.it.take_failed() == [("light", 7)]


def test_an_empty_header_is_an_answer() -> None:
    fetch = Fetch(a=(NEW,))
    fetch.it.ask_light_block("a", 5, validators=True)
    ((_, number, _),) = fetch.world.take()
    fetch.it.on_answer("a", answer(LightBlockAnswer(None), number))
    assert fetch.parts[-1] == Part("light", 5, "a", LightBlockAnswer(None))
