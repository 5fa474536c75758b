"""Gas cases of tokens, and of what is locked."""

from __future__ import annotations

from benchmarks.gas_world import COINS, Actor, World
from defi_modules.tokens.types import Controls
from qenex.crypto import module_address


def cases(world: World) -> None:
    """The factory, controls, payments to many, vesting, escrow."""
    alice, bob, carol, dave = world.actors[:4]
    world.typical(alice, "tokens.create", "PLAIN", "Plain", 9, "", 10**18, None, None)
    controls = Controls(True, True, 100, carol.address)
    created = world.worst(alice, "tokens.create", "G" * 16, "G" * 64, 9, "u" * 256, 10**18, 10**20, controls)
    gold = created.denom
    for address in (bob.address, carol.address, module_address("tokens")):
        world.typical(alice, "tokens.set_listed", gold, address, True)
    world.typical(alice, "tokens.mint", gold, bob.address, 10**12)
    world.worst(alice, "tokens.mint", gold, bob.address, 10**12)
    world.typical(alice, "tokens.burn", gold, 10**6)
    world.typical(alice, "tokens.set_metadata", gold, "G", "u")
    world.worst(alice, "tokens.set_metadata", gold, "H" * 64, "v" * 256)
    world.typical(alice, "tokens.set_frozen", gold, dave.address, True)
    world.typical(alice, "tokens.set_frozen", gold, dave.address, False)
    payments = tuple([(actor.address, ("QXC", 7)) for actor in world.actors[1:11]])
    world.typical(alice, "tokens.multi_send", payments)
    ruled = world.do(
        alice,
        "tokens.create",
        "RULED",
        "Ruled",
        9,
        "",
        10**18,
        None,
        Controls(True, False, 100, carol.address),
    )
    for n, denom in enumerate(("QXC", COINS[0], ruled.denom)):
        strangers = [Actor(4_000 + 200 * n + m).address for m in range(200)]
        world.worst(alice, "tokens.multi_send", tuple([(address, (denom, 10**4)) for address in strangers]))

    start, year = world.now_s, 365 * 86_400
    world.typical(alice, "tokens.create_vesting", dave.address, ("QXC", 10**9), start, year, 60, True)
    number = world.worst(alice, "tokens.create_vesting", bob.address, (gold, 10**9), start, year, 60, True).id
    world.wait(86_400)
    world.typical(dave, "tokens.claim_vesting", number - 1)
    world.worst(bob, "tokens.claim_vesting", number)
    world.wait(86_400)
    world.typical(alice, "tokens.revoke_vesting", number - 1)
    world.worst(alice, "tokens.revoke_vesting", number)
    later = world.now_s + year
    for coin in (("QXC", 10**9), (gold, 10**9)):
        kind = world.typical if coin[0] == "QXC" else world.worst
        first = kind(alice, "tokens.open_escrow", bob.address, coin, carol.address, later).id
        second = world.do(alice, "tokens.open_escrow", bob.address, coin, carol.address, later).id
        kind(alice, "tokens.release_escrow", first)
        kind(bob, "tokens.return_escrow", second)

    world.typical(alice, "tokens.offer_authority", gold, bob.address)
    world.typical(bob, "tokens.accept_authority", gold)
    world.typical(bob, "tokens.renounce_authority", gold)
