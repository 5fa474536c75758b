"""Gas cases of the bank."""

from __future__ import annotations

from benchmarks.gas_world import COINS, Actor, World
from defi_modules.tokens.types import Controls


def cases(world: World) -> None:
    """Transfers."""
    alice, bob, carol = world.actors[:3]
    world.typical(alice, "bank.send", bob.address, ("QXC", 5))
    world.typical(alice, "bank.send", bob.address, (COINS[0], 5))
    world.typical(alice, "bank.send", Actor(3_000).address, ("QXC", 5))
    controls = Controls(True, True, 100, carol.address)
    denom = world.do(alice, "tokens.create", "GOLD", "Gold", 9, "", 10**18, None, controls).denom
    world.do(alice, "tokens.set_listed", denom, bob.address, True)
    world.do(alice, "tokens.set_listed", denom, carol.address, True)
    world.do(alice, "bank.send", bob.address, (denom, 10**9))
    world.worst(bob, "bank.send", alice.address, (denom, 10**6))
