"""Gas cases of farming."""

from __future__ import annotations

from benchmarks.gas_world import COINS, ONE, World
from defi_modules.farming.types import Boost


def cases(world: World) -> None:
    """A programme with one reward, and one with all that a programme may have."""
    alice, bob, carol = world.actors[:3]
    start = world.now_s + 10
    boosts = tuple([Boost(60 * n, 10_000 + 1_000 * n) for n in range(1, 9)])
    kinds = (
        (world.typical, (("QXC", 10**15),), ()),
        (world.worst, tuple([(denom, 10**15) for denom in COINS[1:5]]), boosts),
    )
    for kind, rewards, given in kinds:
        program = kind(alice, "farming.create_program", COINS[0], rewards, start, start + 86_400, given).id
        world.wait(30)
        kind(alice, "farming.fund_program", program, rewards[-1])
        world.wait(100)
        lock = 60 if given else 0
        first = kind(bob, "farming.stake", program, ONE, lock).id
        second = world.do(bob, "farming.stake", program, ONE, lock).id
        for _ in range(10):
            world.do(carol, "farming.stake", program, ONE, lock)
        world.wait(1_000)
        kind(bob, "farming.claim", first)
        kind(bob, "farming.unstake", first, ONE // 2)
        kind(bob, "farming.unstake", second, ONE)
        start = world.now_s + 10
    world.wait(86_500)
    for program, kind in ((1, world.typical), (2, world.worst)):
        kind(alice, "farming.reclaim", program)
