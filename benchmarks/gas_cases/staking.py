"""Gas cases of staking."""

from __future__ import annotations

from benchmarks.gas_world import CHAIN_ID, ONE, Actor, World
from defi_modules.staking import possession_sign_bytes


def cases(world: World) -> None:
    """Delegations of somebody who has one, and of somebody who has all that an account may have."""
    alice, bob, carol, dave = world.actors[:4]
    validators = world.validators
    for _ in range(3):  # histories are there from then on
        world.typical(alice, "staking.delegate", validators[0].address, 10 * ONE)
    world.typical(alice, "staking.delegate", validators[1].address, 10 * ONE)
    world.wait(3_600)
    world.typical(alice, "staking.withdraw_rewards", validators[0].address)
    world.typical(alice, "staking.undelegate", validators[0].address, ONE)
    world.typical(alice, "staking.redelegate", validators[0].address, validators[1].address, ONE)
    world.typical(alice, "staking.lock", validators[0].address, 90 * 86_400)
    world.worst(alice, "staking.delegate", validators[0].address, 10 * ONE)
    for validator in validators[:31]:
        world.do(bob, "staking.delegate", validator.address, 100 * ONE)
    world.wait(3_600)
    world.worst(bob, "staking.delegate", validators[31].address, 10 * ONE)
    for source in validators[:7]:
        world.worst(bob, "staking.redelegate", source.address, validators[31].address, 50 * ONE)
    world.wait(3_600)
    world.worst(bob, "staking.withdraw_rewards", validators[31].address)
    world.worst(bob, "staking.undelegate", validators[31].address, 350 * ONE)
    world.worst(bob, "staking.lock", validators[20].address, 90 * 86_400)

    for actor, scheme, kind in ((carol, "ed25519", world.typical), (dave, "ml-dsa-44", world.worst)):
        key = Actor(5_000, scheme)
        proof = key.sign(possession_sign_bytes(CHAIN_ID, actor.address, key.key))
        kind(
            actor,
            "staking.create_validator",
            key.key,
            proof,
            "m" * 64,
            500,
            2_000,
            100,
            100_000 * ONE,
            200_000 * ONE,
        )
    world.wait(90_000)
    operator = validators[0]
    world.typical(carol, "staking.edit_validator", "n" * 64, 600, None)
    world.worst(operator, "staking.edit_validator", "n" * 64, 600, 300_000 * ONE)
    world.typical(operator, "staking.withdraw_commission")

    world.typical(alice, "staking.stake_liquid", 1_000 * ONE)
    for _ in range(32):
        world.do(alice, "staking.stake_liquid", 1_000 * ONE)
    world.wait(3_600)
    world.worst(alice, "staking.stake_liquid", 1_000 * ONE)
    world.typical(alice, "staking.unstake_liquid", 100 * ONE)
    world.worst(alice, "staking.unstake_liquid", 30_000 * ONE)

    for _ in range(4):
        world.miss(validators[5])
    world.wait(86_400)
    world.typical(validators[5], "staking.unjail")
