"""One party alone: whatever it does in whatever order, it does not end with more of a coin and no less of the others."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qenex.types import Coin
from tests.defi_modules.amm.market import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    LATE,
    A,
    B,
    C,
    Market,
    add,
    buy,
    position,
    remove,
    sell,
)

POOLS = {1: (A, B), 2: (A, B, C), 3: (A, B), 4: (B, C)}


def small_market(pick: Random) -> Market:
    """Four pools, from dust to large."""
    size = 10 ** pick.randrange(4, 13)
    market = Market(rich=10**16, protocol_share_bps=pick.choice([0, 1_000]))
    market.product(size, pick.randrange(size, 5 * size), fee=pick.choice([1, 30]))
    market.stable(
        *[pick.randrange(size, 5 * size) for _ in range(3)],
        amp=pick.choice([10, 2_000]),
        fee=pick.choice([0, 4 * 10**6]),
    )
    market.concentrated((-120, 120, size), (-887220, 887220, size))
    market.product(size, size, denoms=(B, C))
    return market


def any_order(market: Market, pick: Random, size: int, mine: list[int]) -> tuple[str, tuple[Any, ...]]:
    pool = pick.choice(list(POOLS))
    denoms = POOLS[pool]
    came, went = pick.sample(denoms, 2)
    amount = pick.choice([1, 2, 3, pick.randrange(1, 100), pick.randrange(1, 3 * size)])
    kind = pick.randrange(10)
    if kind <= 3:
        return sell(came, amount, (pool, went))
    if kind == 4:
        return buy(came, amount, (pool, went))
    if kind == 5:
        other = 4 if came == B else 1
        return (
            sell(A, amount, (pick.choice([1, 3]), B), (4, C))
            if other == 1
            else sell(C, amount, (4, B), (2, A))
        )
    if pool == 3:
        if kind == 6 and mine:
            held = market.query("amm.get_position", pick.choice(mine))
            part = pick.choice([held.liquidity, max(1, held.liquidity // 2), 1])
            least = Coin(A, 0) if held.amount0 <= held.amount1 else Coin(B, 0)
            return ("amm.decrease_position", (held.position, part, (least._replace(amount=1),), LATE))
        low = pick.randrange(-4, 4) * 60
        return position(3, low, low + pick.choice([60, 120, 600]), amount, pick.randrange(1, 3 * size))
    if kind <= 7:
        coins = [(came, amount)] if pick.randrange(2) else [(d, pick.randrange(1, 2 * size)) for d in denoms]
        return add(pool, coins)
    shares = market.balance(ALICE.address, f"amm/{pool}")
    part = pick.choice([shares, max(1, shares // 3), 1])
    if pool == 2 and kind == 8:
        return ("amm.remove_one", (2, part, Coin(came, 1), LATE))
    return remove(pool, part, *denoms)


def leave(market: Market) -> None:
    """Take everything out."""
    page = market.query("amm.list_positions", ALICE.address, 1_000, None)
    for held in page.items:
        for least in (Coin(A, 1), Coin(B, 1)):
            order = ("amm.decrease_position", (held.position, held.liquidity, (least,), LATE))
            if market.run(market.tx(ALICE, order, gas=10**6))[0].status == 0:
                break
    for pool, denoms in POOLS.items():
        shares = market.balance(ALICE.address, f"amm/{pool}")
        if pool != 3 and shares:
            market.run(market.tx(ALICE, remove(pool, shares, *denoms), gas=10**6))


def play(seed: int, steps: int) -> None:
    pick = Random(seed)
    market = small_market(pick)
    size = max(market.pool(1).reserves)
    before = market.wealth(ALICE)
    for _ in range(steps):
        mine = [held.position for held in market.query("amm.list_positions", ALICE.address, 100, None).items]
        order = any_order(market, pick, size, mine)
        together = [order] * pick.choice([1, 1, 1, 4])
        market.run(market.tx(ALICE, *together, gas=20_000_000))
    leave(market)
    after = market.wealth(ALICE)
    lost = any(after[denom] < before[denom] for denom in before)
    gained = any(after[denom] > before[denom] for denom in before)
    assert lost or not gained, (seed, {denom: after[denom] - before[denom] for denom in before})
    assert market.problems() == []
    assert market.faults == []
    for pool, denoms in POOLS.items():
        assert market.dust(pool) == (0,) * len(denoms), (
            "balances are reserves and the protocol's part, to the unit"
        )


@pytest.mark.parametrize("seed", range(60))
def test_no_sequence_by_one_party_extracts_value(seed: int) -> None:
    play(seed, 25)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(40))
def test_no_sequence_by_one_party_extracts_value_deep(part: int) -> None:
    for seed in range(1_000 + 100 * part, 1_100 + 100 * part):
        play(seed, 40)


class Markets(RuleBasedStateMachine):
    """Several users over the real machine, transactions of one block together: the invariants hold after each."""

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.pick = Random(seed)
        self.market = small_market(self.pick)
        self.supplies = {denom: self.market.supply(denom) for denom in (A, B, C)}

    @rule(
        actors=st.lists(st.sampled_from([ALICE, BOB, CAROL, DAVE]), min_size=1, max_size=4),
        seed=st.integers(0, 1 << 30),
    )
    def block(self, actors: list[Any], seed: int) -> None:
        pick = Random(seed)
        size = max(max(self.market.pool(1).reserves), 10)
        orders = []
        for actor in actors:
            mine = [
                held.position
                for held in self.market.query("amm.list_positions", actor.address, 50, None).items
            ]
            orders.append((actor, any_order(self.market, pick, size, mine)))
        self.market.block_of(*orders)

    @rule(seconds=st.integers(1, 100_000))
    def time_passes(self, seconds: int) -> None:
        self.market.time += seconds * 10**9

    @invariant()
    def everything_adds_up(self) -> None:
        if not hasattr(self, "market"):
            return
        market = self.market
        assert market.problems() == []
        assert {denom: market.supply(denom) for denom in (A, B, C)} == self.supplies
        for pool, denoms in POOLS.items():
            assert market.dust(pool) == (0,) * len(denoms)


TestMarkets = Markets.TestCase
TestMarkets.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
