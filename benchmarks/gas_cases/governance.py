"""Gas cases of governance."""

from __future__ import annotations

import json

from benchmarks.gas_world import FEEDS, ONE, World
from benchmarks.test_lending import _terms as market_terms

DEPOSIT = ("QXC", ONE)


def cases(world: World) -> None:
    """Proposals, votes of somebody with all delegations that an account may have, polls, the guardian."""
    alice, bob, carol = world.actors[:3]
    for validator in world.validators[:32]:
        world.do(bob, "staking.delegate", validator.address, 100 * ONE)
    world.do(alice, "staking.delegate", world.validators[0].address, 100 * ONE)
    world.do(alice, "bank.send", carol.address, ("QXC", 1))
    world.typical(alice, "governance.propose_text", "A title", DEPOSIT)
    world.worst(alice, "governance.propose_text", "T" * 140, DEPOSIT)
    few = json.dumps({"min_price": 11})
    world.typical(alice, "governance.propose_parameters", "machine", few, "A title", DEPOSIT, False)
    feeds = [
        {
            "symbol": symbol,
            "max_age_s": 86_400,
            "min_reports": 1,
            "min_power_bps": 1,
            "max_deviation_bps": 10_000,
        }
        for symbol in FEEDS
    ]
    many = json.dumps({"feeds": feeds})
    large = world.worst(alice, "governance.propose_parameters", "oracle", many, "T" * 140, DEPOSIT, True).id
    action = json.dumps({"terms": market_terms("QXC", FEEDS[9])})
    world.typical(
        alice, "governance.propose_action", "lending", "govern_market", action, "A title", DEPOSIT, True
    )
    world.typical(alice, "governance.propose_spend", carol.address, ("QXC", ONE), "A title", DEPOSIT)
    world.typical(alice, "governance.propose_pause", "amm", False, "A title", DEPOSIT, True)
    world.typical(alice, "governance.propose_upgrade", "u" * 64, 10**6, 2, "A title", DEPOSIT)
    world.typical(alice, "governance.vote", 1, "yes")
    world.typical(world.validators[0], "governance.vote", 1, "yes")
    world.typical(alice, "governance.vote", large, "no")
    for validator in world.validators:
        world.do(validator, "governance.vote", large, "yes")
    world.worst(bob, "governance.vote", large, "yes")
    world.wait(86_400)
    world.do(carol, "bank.send", alice.address, ("QXC", 1))
    world.typical(alice, "governance.object", large)
    world.worst(bob, "governance.object", large)

    world.typical(alice, "governance.open_poll", "A question", ("yes", "no"), 86_400)
    answers = tuple([f"{n:02}" + "a" * 138 for n in range(16)])
    poll = world.worst(bob, "governance.open_poll", "q" * 140, answers, 86_400).id
    world.typical(alice, "governance.cast_ballot", poll - 1, (49, 49))
    world.worst(bob, "governance.cast_ballot", poll, tuple([4 for _ in range(16)]))
    world.typical(world.validators[1], "governance.guardian_pause", "amm")
