"""Gas cases of guarded accounts."""

from __future__ import annotations

from benchmarks.gas_world import COINS, ONE, Actor, World
from qenex.types import Coin
from vm.guard import MAX_QUEUED

DAY_S = 86_400


def cases(world: World) -> None:
    """One transfer that waits, and as many as can; a guard with one limit, and with one for each of nine coins."""
    alice, bob, carol, dave, erin = world.actors[:5]
    few = (Coin("QXC", 10**12),)
    many = tuple([Coin(denom, 10**12) for denom in sorted((*COINS, "QXC"))])
    fee_limit = 10**16
    world.typical(alice, "accounts.set_guard", carol.address, DAY_S, fee_limit, few)
    world.worst(bob, "accounts.set_guard", carol.address, DAY_S, fee_limit, many)
    world.worst(bob, "accounts.set_guard", carol.address, 2 * DAY_S, fee_limit, many)
    first = world.typical(alice, "accounts.queue_transfer", dave.address, Coin("QXC", 10**13)).number
    world.worst(alice, "accounts.queue_transfer", dave.address, Coin(COINS[0], 10**13))
    world.typical(bob, "bank.send", dave.address, Coin(COINS[0], 10**6))
    world.worst(bob, "bank.send", Actor(6_000).address, Coin(COINS[7], 10**6))
    world.typical(alice, "accounts.cancel_queued", alice.address, first)
    world.typical(carol, "accounts.approve_queued", alice.address, first + 1)
    world.typical(alice, "accounts.remove_guard")
    for n in range(2 * MAX_QUEUED - 2):
        actor = (alice, bob)[n % 2]
        world.do(actor, "accounts.queue_transfer", dave.address, Coin(COINS[n // 2 % 8], 10**13 + ONE * n))
    world.worst(carol, "accounts.cancel_queued", alice.address, None)
    world.worst(carol, "accounts.freeze", bob.address, DAY_S)
    world.do(erin, "accounts.set_guard", carol.address, DAY_S, fee_limit, few)
    world.typical(carol, "accounts.freeze", erin.address, DAY_S)
