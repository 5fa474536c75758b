"""Gas cases of lending."""

from __future__ import annotations

from benchmarks.gas_world import COINS, FEEDS, ONE, World
from benchmarks.test_lending import _terms as market_terms
from defi_modules.lending.types import Terms
from qenex.codec import codec_for
from qenex.types import Coin


def cases(world: World) -> None:
    """A position with one collateral and one debt, and one with all the assets that a position may have."""
    owner = world.validators[0]
    alice, bob, carol = world.actors[:3]
    terms = codec_for(Terms).from_json(market_terms("QXC", FEEDS[9]))
    world.typical(owner, "lending.list_market", terms)
    world.typical(owner, "lending.set_group", (1, 9_000, 9_300, 10_100))
    for denom in COINS:
        kind = world.typical if denom == COINS[0] else world.do
        kind(owner, "lending.seed", denom)
        kind(owner, "lending.supply", Coin(denom, 10**17), False)
    for actor, kind, count in ((alice, world.typical, 1), (bob, world.worst, 4)):
        for n in range(count):
            kind(actor, "lending.supply", Coin(COINS[n], 10**6 * ONE), True)
        kind(actor, "lending.supply", Coin(COINS[0], ONE), False)
        for n in range(count):
            kind(actor, "lending.borrow", Coin(COINS[4 + n], 1_000 * ONE))
        world.wait(3_600)
        kind(actor, "lending.collateral_on", COINS[0], None)
        kind(actor, "lending.collateral_off", COINS[0], ONE // 2)
        kind(actor, "lending.withdraw", COINS[0], True, 10**3 * ONE, None)
        kind(actor, "lending.withdraw", COINS[0], False, None, None)
        kind(actor, "lending.repay", COINS[4], 10 * ONE, None)
    world.typical(carol, "lending.choose_group", 1)
    world.wait(3_600)
    world.worst(bob, "lending.choose_group", 0)
    world.typical(bob, "lending.flash_loan", (Coin(COINS[0], 10**9),))
    world.worst(bob, "lending.flash_loan", tuple([Coin(denom, 10**9) for denom in COINS]))
    world.typical(owner, "lending.collect_reserves", COINS[4], 1)
    waits = world.worst(owner, "lending.withdraw", COINS[7], False, 10**16, True).waits
    world.typical(owner, "lending.cancel_withdrawal", COINS[7], waits)
    world.wait(7_200)
    liquidations(world)


def liquidations(world: World) -> None:
    """A position of two assets, and one of eight, in danger once the price of the collateral has fallen."""
    owner, liquidator = world.validators[0], world.actors[9]
    dave, erin = world.actors[3:5]
    world.do(dave, "lending.supply", Coin(COINS[0], 10**6 * ONE), True)
    world.do(dave, "lending.borrow", Coin(COINS[4], 740_000 * ONE))
    for n in range(4):
        world.do(erin, "lending.supply", Coin(COINS[n], 10**6 * ONE), True)
    for n in range(4):
        world.do(erin, "lending.borrow", Coin(COINS[4 + n], 740_000 * ONE))
    world.do(owner, "oracle.report", tuple([(FEEDS[n], 90, -2) for n in range(4)]))
    for shares in (False, True):
        order = (COINS[0], COINS[4], shares, 1_000 * ONE, None)
        world.typical(liquidator, "lending.liquidate", dave.address, *order)
        world.worst(liquidator, "lending.liquidate", erin.address, *order)
    world.typical(owner, "lending.set_pause", COINS[7], 4)
