"""Questions to peers: only what was asked for counts, each peer has a few at a time, and the slow get a rest."""

from __future__ import annotations

import pytest

from p2p.channels import Channel
from p2p.offences import Offence
from p2p.requests import LATE_KEPT, MAX_SLOW, REST_SECONDS, Requests
from p2p.sync_messages import BlockAnswer, GetBlock, encode_sync
from qenex.errors import MalformedBytes
from tests.p2p.sync_world import World, answer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def requests(world: World) -> Requests[int]:
    return Requests(Channel.BLOCKS, world.send, world.punish, world.now, per_peer=2)


def block(height: int) -> BlockAnswer:
    return BlockAnswer(height, height, b"x", None)


def test_an_answer_belongs_to_its_question_once(world: World, requests: Requests[int]) -> None:
    assert requests.ask("a", GetBlock(5), 5, 1.0)
    ((_, number, _),) = world.take()
    found = requests.answered("a", answer(block(5), number))
    assert found is not None
    assert found.key == 5
    assert requests.answered("a", answer(block(5), number)) is None
    assert world.offences == [("a", Offence.UNSOLICITED)]


def test_an_answer_of_another_peer_or_to_no_question_is_unsolicited(
    world: World, requests: Requests[int]
) -> None:
    requests.ask("a", GetBlock(5), 5, 1.0)
    ((_, number, _),) = world.take()
    assert requests.answered("b", answer(block(5), number)) is None
    assert requests.answered("a", answer(block(5), number + 1)) is None
    assert requests.answered("a", encode_sync(GetBlock(5), number)) is None
    assert [peer for peer, _ in world.offences] == ["b", "a", "a"]
    assert len(requests) == 1
    with pytest.raises(MalformedBytes):
        requests.answered("a", b"\x99")


def test_a_peer_is_asked_a_few_things_at_a_time(world: World, requests: Requests[int]) -> None:
    assert [requests.ask("a", GetBlock(n), n, 1.0) for n in range(3)] == [True, True, False]
    assert requests.ask("b", GetBlock(9), 9, 1.0)
    world.full.add("c")
    assert not requests.ask("c", GetBlock(9), 9, 1.0)
    assert requests.room("c") == 2


def test_late_answers_are_given_up_and_no_offence_when_they_come(
    world: World, requests: Requests[int]
) -> None:
    requests.ask("a", GetBlock(5), 5, 1.0)
    ((_, number, _),) = world.take()
    assert requests.due == 101.0
    assert requests.expired() == []
    world.time += 1.0
    assert [late.key for late in requests.expired()] == [5]
    assert requests.room("a") == 2
    assert requests.answered("a", answer(block(5), number)) is None
    assert world.offences == []
    assert requests.answered("a", answer(block(5), number)) is None
    assert world.offences == [("a", Offence.UNSOLICITED)]


def test_who_never_answers_pays_and_rests(world: World, requests: Requests[int]) -> None:
    for n in range(MAX_SLOW):
        assert requests.ask("a", GetBlock(n), n, 1.0)
        world.time += 1.0
        requests.expired()
    assert world.offences == [("a", Offence.UNRESPONSIVE)]
    assert not requests.ask("a", GetBlock(9), 9, 1.0)
    world.time += REST_SECONDS
    assert requests.ask("a", GetBlock(9), 9, 1.0)


def test_a_good_answer_ends_the_row_of_slow_ones(world: World, requests: Requests[int]) -> None:
    for n in range(MAX_SLOW * 3):
        requests.ask("a", GetBlock(n), n, 1.0)
        ((_, number, _),) = world.take()
        if n % MAX_SLOW == 1:
            requests.answered("a", answer(block(n), number))
        else:
            world.time += 1.0
            requests.expired()
    assert world.offences == []


def test_what_is_remembered_of_late_questions_is_bounded(world: World, requests: Requests[int]) -> None:
    for n in range(LATE_KEPT * 3):
        requests.ask(f"peer {n}", GetBlock(n), n, 1.0)
        requests.cancel(lambda asked: True)
    assert len(requests._late) == LATE_KEPT
    requests.forget(f"peer {LATE_KEPT * 3 - 1}")
    assert len(requests._late) == LATE_KEPT - 1


def test_a_peer_that_has_gone_owes_nothing(world: World, requests: Requests[int]) -> None:
    requests.ask("a", GetBlock(1), 1, 1.0)
    requests.ask("b", GetBlock(2), 2, 1.0)
    assert [asked.key for asked in requests.forget("a")] == [1]
    world.time += 2.0
    assert [asked.key for asked in requests.expired()] == [2]
