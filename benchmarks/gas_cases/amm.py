"""Gas cases of the markets."""

from __future__ import annotations

from benchmarks.gas_world import COINS, LATE, World
from qenex.types import Coin

A, B, C, D = COINS[:4]
Q96 = 1 << 96
RICH = 10**18
UNLIMITED = (1 << 128) - 1


def cases(world: World) -> None:
    """Pools of the three curves; swaps over one pool and over four, to and fro, and through many ticks."""
    product(world)
    stable(world)
    concentrated(world)
    bob = world.actors[1]
    world.together(
        (bob, "amm.add_liquidity", (1, (Coin(A, 10**9), Coin(B, 10**9)), 1, LATE)),
        (world.validators[1], "governance.guardian_pause", ("amm",)),
    )
    world.typical(bob, "amm.release_shares", 1)


def product(world: World) -> None:
    """Constant product, and what all pools have."""
    alice, bob, carol = world.actors[:3]
    pool = world.typical(alice, "amm.create_pool", A, B, 30).pool
    world.typical(alice, "amm.add_liquidity", pool, (Coin(A, RICH), Coin(B, RICH)), 1, LATE)
    world.typical(bob, "amm.add_liquidity", pool, (Coin(A, RICH), Coin(B, RICH)), 1, LATE)
    world.worst(carol, "amm.add_liquidity", pool, (Coin(A, RICH),), 1, LATE)
    world.typical(bob, "amm.swap_exact_in", Coin(A, 10**6), ((pool, B),), 1, LATE)
    world.typical(bob, "amm.swap_exact_out", A, ((pool, B),), 10**6, 10**9, LATE)
    world.typical(bob, "amm.flash_swap", A, ((pool, B),), 10**6, 10**9, LATE)
    others = []
    for denoms in ((B, C), (C, D), (A, D)):
        number = world.do(alice, "amm.create_pool", *denoms, 30).pool
        world.do(alice, "amm.add_liquidity", number, tuple([Coin(d, RICH) for d in denoms]), 1, LATE)
        others.append(number)
    path = ((pool, B), (others[0], C), (others[1], D), (others[2], A))
    world.worst(bob, "amm.swap_exact_in", Coin(A, 10**6), path, 1, LATE)
    there = ((pool, B), (others[0], C), (others[1], D))
    world.worst(bob, "amm.swap_exact_out", A, there, 10**6, 10**9, LATE)
    world.typical(bob, "amm.swap_split", A, ((10**6, there), (10**6, ((others[2], D),))), 1, LATE)
    world.wait(60)
    world.typical(bob, "amm.remove_liquidity", pool, 10**9, (Coin(A, 1), Coin(B, 1)), LATE)
    world.typical(alice, "amm.collect_protocol", pool)
    world.typical(world.validators[0], "amm.set_pool_pause", others[0], True)


def stable(world: World) -> None:
    """Pools for coins of one value: four of them, far out of balance."""
    alice, bob = world.actors[:2]
    coins = (A, B, C, D)
    world.typical(alice, "amm.create_stable_pool", (A, B), (9, 9), 2_000, 4_000_000, 0)
    pool = world.worst(
        alice, "amm.create_stable_pool", coins, (9, 9, 9, 9), 2_000, 4_000_000, 5 * 10**10
    ).pool
    amounts = (10**18, 10**15, 10**13, 10**12)
    world.typical(alice, "amm.add_liquidity", pool - 1, (Coin(A, 10**18), Coin(B, 10**18)), 1, LATE)
    world.do(alice, "amm.add_liquidity", pool, tuple([Coin(d, 10**18) for d in coins]), 1, LATE)
    world.worst(
        bob,
        "amm.add_liquidity",
        pool,
        tuple([Coin(d, a) for d, a in zip(coins, amounts, strict=True)]),
        1,
        LATE,
    )
    world.worst(bob, "amm.swap_exact_in", Coin(A, 10**17), ((pool, B),), 1, LATE)
    world.worst(bob, "amm.swap_exact_out", A, ((pool, B),), 10**17, UNLIMITED, LATE)
    pools = [pool]
    for n in range(3):
        fee = 4_000_001 + n
        number = world.do(alice, "amm.create_stable_pool", coins, (9, 9, 9, 9), 2_000, fee, 5 * 10**10).pool
        world.do(alice, "amm.add_liquidity", number, tuple([Coin(d, 10**18) for d in coins]), 1, LATE)
        pools.append(number)
    legs = tuple(
        [(10**15, tuple([(p, d) for p, d in zip(pools, (B, C, A, D), strict=True)])) for _ in range(4)]
    )
    world.worst(bob, "amm.swap_split", A, legs, 1, LATE)
    world.worst(bob, "amm.flash_swap", B, ((pool, A),), 10**17, UNLIMITED, LATE)
    world.wait(60)
    world.typical(alice, "amm.remove_one", pool - 1, 10**17, Coin(A, 1), LATE)
    world.worst(alice, "amm.remove_one", pool, 10**17, Coin(D, 1), LATE)
    world.worst(alice, "amm.remove_liquidity", pool, 10**17, tuple([Coin(d, 1) for d in coins]), LATE)
    world.worst(alice, "amm.collect_protocol", pool)
    world.typical(alice, "amm.ramp_amplification", pool, 3_000, world.now_s + 8 * 86_400)


def concentrated(world: World) -> None:
    """A pool with a position on each tick it can have, and swaps through them."""
    alice, bob = world.actors[:2]
    wide = world.typical(alice, "amm.create_concentrated_pool", A, B, 3_000, Q96).pool
    both = (Coin(A, RICH), Coin(B, RICH))
    position = world.typical(alice, "amm.open_position", wide, -887_220, 887_220, both, 1, LATE).position
    world.typical(alice, "amm.increase_position", position, both, 1, LATE)
    world.typical(bob, "amm.swap_exact_in", Coin(A, 10**12), ((wide, B),), 1, LATE)
    world.wait(60)
    world.typical(alice, "amm.collect", position)
    world.typical(alice, "amm.decrease_position", position, 10**9, (Coin(A, 1), Coin(B, 1)), LATE)
    pool = world.do(alice, "amm.create_concentrated_pool", A, B, 100, Q96).pool
    small = (Coin(A, 10**9), Coin(B, 10**9))
    world.do(alice, "amm.open_position", pool, -887_272, 887_272, small, 1, LATE)
    for n in range(60):
        world.do(alice, "amm.open_position", pool, -n - 1, n + 1, small, 1, LATE)
    last = world.worst(alice, "amm.open_position", pool, -100, 100, small, 1, LATE).position
    world.worst(bob, "amm.swap_exact_in", Coin(A, 10**12), ((pool, B),), 1, LATE)
    world.worst(bob, "amm.swap_exact_out", B, ((pool, A),), 10**9, UNLIMITED, LATE)
    world.worst(bob, "amm.flash_swap", B, ((pool, A),), 10**10, UNLIMITED, LATE)
    world.wait(60)
    world.worst(alice, "amm.collect", last)
    world.worst(alice, "amm.increase_position", last, small, 1, LATE)
    world.wait(60)
    liquidity = world.machine.query(world.base, world.info, "amm.get_position", (last,)).liquidity
    world.worst(alice, "amm.decrease_position", last, liquidity, (Coin(A, 1),), LATE)
