"""The core's memory is bounded, and the bound is derived."""

from __future__ import annotations

from consensus.events import NewHeight, Verified
from consensus.limits import memory
from qenex.block import PREVOTE
from tests.consensus.network import Node, block, make_vote, validator_set


def test_an_equivocating_flood_of_rounds_and_values_stays_within_the_derived_bound():
    validators = validator_set(1, 1, 1, 1)
    bound = memory(validators)
    node = Node(None)
    node.give(NewHeight(1, validators))
    for round in [*range(400), 2**32 - 1]:
        for value in (None, block("a"), block("b"), block(round)):
            for number in (1, 2, 3, 4):
                node.give(Verified("p", make_vote(number, PREVOTE, round, value)))
    driver = node.core.state.driver
    assert driver is not None
    held = sum(
        sum(vote is not None for vote in tally.first) + len(tally.extra)
        for votes in driver.votes.rounds.values()
        for tally in (votes.prevotes, votes.precommits)
    )
    assert 0 < held <= bound.votes
    assert len(driver.proposals) <= bound.proposals
