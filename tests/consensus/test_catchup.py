"""Summaries, and what is sent for them: a lost message or a hidden lock is always repaired, within bounds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from consensus.catchup import MAX_MESSAGES, MAX_ROUNDS, RoundSummary, Summary, missing, summary
from consensus.events import BlockChecked, NewHeight, Received, Step, TimedOut, Verified
from consensus.height import Core
from qenex.block import PRECOMMIT, PREVOTE
from tests.consensus.network import (
    CHAIN,
    Network,
    Node,
    address_of,
    block,
    make_commit,
    make_proposal,
    make_vote,
    validator_set,
)

A, B = block("a"), block("b")
FOUR = validator_set(1, 1, 1, 1)


def follower(*messages) -> Node:
    node = Node(None)
    node.give(NewHeight(1, FOUR))
    for message in messages:
        node.give(Verified("p", message))
    return node


def test_a_summary_tells_height_round_step_votes_proposal_and_polka():
    node = follower(
        make_proposal(1, 0, A),
        *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 4)],
        make_vote(3, PRECOMMIT, 0, None),
        make_vote(2, PREVOTE, 1, None),
    )
    assert summary(node.core) == Summary(
        1,
        0,
        Step.PRECOMMIT,
        (
            RoundSummary(0, b"\x0b", b"\x04", True, A),
            RoundSummary(1, b"\x02", b"\x00", False, None),
        ),
    )
    assert summary(Core(CHAIN, None)) == Summary(0, 0, 0, ())


def test_a_peer_gets_exactly_what_it_lacks():
    ahead = follower(
        make_proposal(1, 0, A),
        *[make_vote(n, PREVOTE, 0, A) for n in (1, 2)],
        make_vote(3, PRECOMMIT, 0, None),
    )
    behind = follower(make_vote(2, PREVOTE, 0, A))
    assert missing(ahead.core, summary(behind.core)) == [
        make_proposal(1, 0, A),
        make_vote(3, PRECOMMIT, 0, None),
        make_vote(1, PREVOTE, 0, A),
    ]
    assert missing(ahead.core, summary(ahead.core)) == []
    assert missing(behind.core, summary(ahead.core)) == []


def test_a_peer_a_height_behind_gets_the_commit_that_decided_it():
    commit = make_commit(FOUR, 0, A)
    node = follower(commit)
    behind = follower()
    assert missing(node.core, summary(behind.core)) == [commit]
    node.give(NewHeight(2, FOUR.increment()))
    assert missing(node.core, summary(behind.core)) == [commit]
    node.give(NewHeight(3, FOUR.increment(2)))
    assert missing(node.core, summary(behind.core)) == [], "it has to fetch blocks"
    assert missing(behind.core, summary(node.core)) == []


def test_the_votes_of_a_proof_of_lock_are_sent_to_who_has_the_proposal_without_them():
    ahead, behind = follower(), follower()
    for node in (ahead, behind):
        for n in (1, 2):
            node.give(Verified("p", make_vote(n, PREVOTE, 3, None)))
    for n in (1, 2, 3):
        ahead.give(Verified("p", make_vote(n, PREVOTE, 1, A)))
    ahead.give(Verified("p", make_proposal(4, 3, A, pol_round=1)))
    for message in missing(ahead.core, summary(behind.core)):
        behind.give(Received("q", message))
    driver = behind.core.state.driver
    assert driver is not None
    assert driver.votes.has_polka(1, A)
    assert driver.state.step == Step.PREVOTE
    assert not behind.punished


def test_a_majority_that_an_equivocator_hid_is_sent_whole():
    ahead = follower(*[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    behind = follower(make_vote(3, PREVOTE, 0, B), *[make_vote(n, PREVOTE, 0, A) for n in (1, 2)])
    sent = missing(ahead.core, summary(behind.core))
    assert make_vote(3, PREVOTE, 0, A) in sent
    for message in sent:
        behind.give(Received("q", message))
    driver = behind.core.state.driver
    assert driver is not None
    assert driver.votes.has_polka(0, A)
    assert missing(ahead.core, summary(behind.core)) == []


def test_answers_and_summaries_are_bounded_whatever_a_peer_claims():
    many = validator_set(*[1] * 40)
    node = Node(None)
    node.give(NewHeight(1, many))
    for round in range(30):
        for n in range(1, 40):
            node.give(Verified("p", make_vote(n, PREVOTE, round, A)))
        for n in range(1, 30):
            node.give(Verified("p", make_vote(n, PRECOMMIT, round, None)))
        node.give(TimedOut(1, round, Step.PRECOMMIT))
    assert node.core.round == 30
    assert len(summary(node.core).rounds) <= MAX_ROUNDS
    claims = [
        Summary(1, 2**32 - 1, 3, ()),
        Summary(1, 0, 0, ()),
        Summary(1, 5, 1, tuple(RoundSummary(r, b"", b"\xff" * 500, False, B) for r in range(16))),
        Summary(2**64 - 1, 0, 0, ()),
    ]
    for claim in claims:
        assert len(missing(node.core, claim)) <= MAX_MESSAGES


@given(st.integers(0, 2**32), st.sampled_from([(1, 1, 1, 1), (3, 2, 2, 1, 1)]))
def test_summaries_alone_bring_every_height_to_its_decision_with_a_third_of_messages_lost(seed, powers):
    """Nothing is flooded twice; what was lost comes by summaries, some of which are lost too."""
    chance = random.Random(seed)
    network = Network(*powers)
    network.begin(1)
    for turn in range(60):
        for node in network.nodes:
            sent, node.outgoing = node.outgoing, []
            for other in network.nodes:
                if other is node:
                    continue
                for send in sent:
                    if chance.random() > 0.34:
                        other.give(Received(repr(node.address), send.message))
                if chance.random() > 0.34:
                    for message in missing(node.core, summary(other.core)):
                        if chance.random() > 0.34:
                            other.give(Received(repr(node.address), message))
        if all(node.decided for node in network.nodes):
            break
        if turn % 6 == 5:
            network.time_out()
    assert len({node.decided[0].block_hash for node in network.nodes}) == 1
    assert not any(node.punished for node in network.nodes)


def test_a_lagging_core_is_brought_to_the_round_of_the_others():
    ahead = follower(*[make_vote(n, PREVOTE, 6, None) for n in (1, 2, 3)])
    ahead.give(Verified("p", make_vote(address_of(1)[0], PRECOMMIT, 7, None)))
    behind = follower()
    for message in missing(ahead.core, summary(behind.core)):
        behind.give(Received("q", message))
    assert (behind.core.round, ahead.core.round) == (6, 6)
    behind.give(BlockChecked(1, 6, A, True, True))
    assert missing(ahead.core, summary(behind.core)) == []
