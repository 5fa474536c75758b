"""Gas cases of accounts."""

from __future__ import annotations

from benchmarks.gas_world import CHAIN_ID, COINS, Actor, World
from qenex.codec import encode
from qenex.crypto import multisig
from qenex.crypto.multisig import Member
from vm.accounts import rotation_sign_bytes
from vm.scoped import SpendingLimit

NAMES = tuple([f"bank.{'x' * 20}{n:02}" for n in range(32)])


def cases(world: World) -> None:
    """Keys and what they may do."""
    alice, bob, carol, dave = world.actors[:4]
    new = Actor(1_000)
    world.typical(alice, "accounts.rotate_key", new.key, _possession(world, alice, [new]))
    members = [Actor(2_000 + number) for number in range(16)]
    key = multisig.encode_descriptor(
        multisig.make_descriptor(16, [Member(1, member.key) for member in members])
    )
    statement = rotation_sign_bytes(CHAIN_ID, bob.address, world.sequence(bob), key)
    signatures = {member.key: member.sign(statement) for member in members}
    ordered = tuple([signatures[member.key] for member in multisig.decode_descriptor(key).members])
    world.worst(bob, "accounts.rotate_key", key, encode(ordered))
    for scheme in ("ml-dsa-44", "ml-dsa-65"):
        long = Actor(1_001, scheme)
        world.worst(dave, "accounts.rotate_key", long.key, _possession(world, dave, [long]))
    scope = ("bank.send", "amm.swap_exact_in")
    world.typical(
        carol, "accounts.add_scoped_key", new.key, scope, (SpendingLimit("QXC", 10**12, 86_400),), 10**6
    )
    limits = tuple([SpendingLimit(denom, 10**12, 86_400) for denom in COINS])
    world.worst(carol, "accounts.add_scoped_key", Actor(1_002).key, NAMES, limits, 10**6)
    world.typical(carol, "accounts.revoke_scoped_key", 1)
    world.worst(carol, "bank.send", bob.address, ("QXC", 5), scoped=0, sequence=0)


def _possession(world: World, actor: Actor, keys: list[Actor]) -> bytes:
    statement = rotation_sign_bytes(CHAIN_ID, actor.address, world.sequence(actor), keys[0].key)
    return keys[0].sign(statement)
