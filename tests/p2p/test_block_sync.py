"""Which blocks are asked of whom: a window, several peers, nothing for claims alone."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.block_sync import (
    DOUBT_SECONDS,
    MAX_WINDOW,
    MIN_WINDOW,
    PER_PEER,
    REQUEST_SECONDS,
    WINDOW_BYTES,
    BlockFetcher,
)
from p2p.offences import Offence
from p2p.sync_messages import BlockAnswer, GetBlock, Status
from qenex.errors import MalformedBytes
from tests.p2p.sync_world import World, answer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def fetcher(world: World) -> BlockFetcher:
    return BlockFetcher(10, world.send, world.punish, world.now)


def give(fetcher: BlockFetcher, peer: str, number: int, height: int, size: int = 1, last: int = 99) -> bool:
    return fetcher.on_answer(peer, answer(BlockAnswer(height, last, bytes(size) or None, None), number))


def heights(sent) -> list[int]:
    return [question.height for _, _, question in sent]


def test_the_lowest_missing_blocks_are_asked_of_all_who_have_them(
    world: World, fetcher: BlockFetcher
) -> None:
    fetcher.on_status("a", Status(40, 1))
    fetcher.on_status("b", Status(40, 1))
    fetcher.on_status("c", Status(12, 1))
    fetcher.tick()
    sent = world.take()
    assert sorted(heights(sent)) == list(range(11, 11 + len(sent)))
    assert {peer: sum(who == peer for who, _, _ in sent) for peer in "abc"} == {
        "a": PER_PEER,
        "b": PER_PEER,
        "c": pytest.approx(1, abs=1),
    }
    assert all(question.height <= 12 for who, _, question in sent if who == "c")


def test_nothing_beyond_the_window_is_asked_whatever_is_claimed(world: World, fetcher: BlockFetcher) -> None:
    for n in range(60):
        fetcher.on_status(f"peer {n}", Status((1 << 64) - 1, 0))
    fetcher.tick()
    sent = heights(world.take())
    assert max(sent) == 10 + MAX_WINDOW
    assert len(sent) == MAX_WINDOW


def test_large_blocks_make_the_window_small(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("a", Status(500, 1))
    fetcher.tick()
    peer, number, question = world.take()[0]
    assert give(fetcher, peer, number, question.height, 4 << 20)
    assert fetcher.window == WINDOW_BYTES // ((4 << 20) + 20) or fetcher.window >= MIN_WINDOW
    assert fetcher.window <= 6


def test_a_peer_that_lacks_what_it_claims_pays_and_is_believed_less(
    world: World, fetcher: BlockFetcher
) -> None:
    fetcher.on_status("liar", Status(1_000, 1))
    fetcher.tick()
    _, number, _ = world.take()[0]
    fetcher.on_answer("liar", answer(BlockAnswer(11, 1_000, None, None), number))
    assert world.offences == [("liar", Offence.FALSE_CLAIM)]
    assert fetcher.target == 10


def test_what_a_peer_failed_to_deliver_it_cannot_claim_anew(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("liar", Status(1_000, 1))
    fetcher.tick()
    _, number, _ = world.take()[0]
    fetcher.on_answer("liar", answer(BlockAnswer(11, 1_000, None, None), number))
    fetcher.on_status("liar", Status(1 << 60, 1))
    assert fetcher.target == 10
    world.time += DOUBT_SECONDS
    fetcher.on_status("liar", Status(1_000, 1))
    assert fetcher.target == 1_000


def test_a_second_peer_has_to_agree_and_one_that_does_not_answer_claims_nothing(
    world: World, fetcher: BlockFetcher
) -> None:
    assert fetcher.agreed == 0
    fetcher.on_status("liar", Status(1 << 60, 1))
    assert fetcher.agreed == 1 << 60
    fetcher.on_status("a", Status(10, 1))
    assert fetcher.agreed == 10
    fetcher.tick()
    world.time += REQUEST_SECONDS
    fetcher.tick()
    assert world.offences.count(("liar", Offence.UNRESPONSIVE)) > 0
    assert fetcher.target == 10


def test_a_peer_without_old_blocks_is_asked_for_none(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("pruned", Status(100, 50))
    fetcher.tick()
    assert 11 not in heights(world.take())
    assert fetcher.is_stuck
    fetcher.on_status("whole", Status(100, 1))
    assert not fetcher.is_stuck
    fetcher.tick()
    assert heights([one for one in world.take() if one[0] == "whole"])[0] == 11


def test_what_is_late_is_asked_of_another(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("slow", Status(11, 1))
    fetcher.tick()
    assert [(peer, q.height) for peer, _, q in world.take() if isinstance(q, GetBlock)] == [("slow", 11)]
    fetcher.on_status("quick", Status(11, 1))
    due = fetcher.due
    assert due is not None
    world.time = due
    fetcher.tick()
    assert [peer for peer, _, _ in world.take()] == ["quick"]


def test_what_a_gone_peer_was_asked_is_asked_of_another(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("a", Status(11, 1))
    fetcher.tick()
    world.take()
    fetcher.on_status("b", Status(11, 1))
    fetcher.on_disconnected("a")
    fetcher.tick()
    assert [peer for peer, _, _ in world.take()] == ["b"]


def test_a_wrong_block_costs_its_sender_all_that_came_from_it(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("liar", Status(20, 1))
    fetcher.tick()
    for peer, number, question in world.take():
        give(fetcher, peer, number, question.height)
    wrong = fetcher.peek(12)
    assert wrong is not None
    fetcher.wrong(wrong, "it is not the chain's")
    assert world.offences == [("liar", Offence.FALSE_CONTENT)]
    assert [fetcher.peek(height) for height in range(11, 21)] == [None] * 10
    fetcher.on_status("honest", Status(20, 1))
    fetcher.tick()
    assert all(peer == "honest" or question.height < 12 for peer, _, question in world.take())


def test_a_block_of_another_height_than_asked_is_false(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("a", Status(11, 1))
    fetcher.tick()
    ((_, number, _),) = world.take()
    assert not give(fetcher, "a", number, 12)
    assert world.offences == [("a", Offence.FALSE_CONTENT)]


def test_an_unsolicited_block_is_not_even_decoded(world: World, fetcher: BlockFetcher) -> None:
    assert not fetcher.on_answer("a", b"\x32\0\0\0\x01" + b"\xff" * 1_000)
    assert world.offences == [("a", Offence.UNSOLICITED)]
    fetcher.on_status("a", Status(11, 1))
    fetcher.tick()
    ((_, number, _),) = world.take()
    with pytest.raises(MalformedBytes):
        fetcher.on_answer("a", b"\x32" + number.to_bytes(4, "big") + b"\xff" * 1_000)
    assert fetcher.peers == 0


def test_answers_refresh_the_claim(world: World, fetcher: BlockFetcher) -> None:
    fetcher.on_status("a", Status(11, 1))
    fetcher.tick()
    ((_, number, _),) = world.take()
    give(fetcher, "a", number, 11, last=30)
    assert fetcher.target == 30


@given(st.integers(0, 2**32))
def test_with_one_honest_peer_among_liars_every_block_comes_in_order(seed: int) -> None:
    """Liars deny, stay silent or send nothing of use, as the seed says; the honest one loses some."""
    random = Random(seed)
    world = World()
    fetcher = BlockFetcher(0, world.send, world.punish, world.now)
    kinds = {"honest": "good", **{f"liar {n}": random.choice(["deny", "silent", "wrong"]) for n in range(3)}}
    for peer in kinds:
        fetcher.on_status(peer, Status(40 if peer == "honest" else random.choice([40, 10**12]), 0))
    for _ in range(3_000):
        fetcher.tick()
        for peer, number, question in world.take():
            assert isinstance(question, GetBlock)
            assert question.height <= fetcher.height + MAX_WINDOW
            kind = kinds[peer]
            if kind == "good" and random.random() < 0.8:
                give(fetcher, peer, number, question.height, last=40)
            elif kind == "wrong":
                give(fetcher, peer, number, question.height, size=2)
            elif kind == "deny":
                fetcher.on_answer(peer, answer(BlockAnswer(question.height, 0, None, None), number))
        while (found := fetcher.peek(fetcher.height + 1)) is not None:
            if found.answer.block == bytes(2):
                fetcher.wrong(found, "wrong")
            else:
                fetcher.applied(found.height)
        if fetcher.height == 40:
            break
        world.time += 1.0
        fetcher.on_status("honest", Status(40, 0))
    assert fetcher.height == 40
    assert all(peer != "honest" or offence is Offence.UNRESPONSIVE for peer, offence in world.offences)
