"""The router against all ways there are, and the bitmap of ticks against a sorted list."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.amm.base import AmmBase
from defi_modules.amm.constant_product import amount_in, amount_out
from defi_modules.amm.router import Edge, Way, best_route, best_route_out
from defi_modules.amm.ticks import StateTicks
from ledger.state import EmptyBase, State
from qenex.errors import OutOfGas, TickOutOfRange
from vm.gas import Gas, gas_schedule

COINS = "abcdef"


def graph(pick: Random) -> list[Edge]:
    edges = []
    for pool in range(1, pick.randrange(4, 14)):
        x, y = pick.sample(COINS, 2)
        rx, ry = pick.randrange(10**6, 10**10), pick.randrange(10**6, 10**10)
        fee = pick.choice([1, 30, 100]) * 100
        edges += [Edge(pool, x, y, rx, ry, fee), Edge(pool, y, x, ry, rx, fee)]
    return edges


def pays(way: Way, amount: int) -> int:
    for edge in way:
        amount = amount_out(amount, edge.depth_in, edge.depth_out, edge.fee_pips // 100)
    return amount


def costs(way: Way, amount: int) -> int:
    for edge in reversed(way):
        amount = amount_in(amount, edge.depth_in, edge.depth_out, edge.fee_pips // 100)
    return amount


def all_ways(edges: list[Edge], source: str, target: str) -> list[Way]:
    found: list[Way] = []
    partial: list[Way] = [()]
    for _ in range(4):
        longer: list[Way] = []
        for way in partial:
            at = way[-1].denom_out if way else source
            visited = {source, *[edge.denom_out for edge in way]}
            for edge in edges:
                if edge.denom_in == at and edge.denom_out not in visited:
                    (found if edge.denom_out == target else longer).append((*way, edge))
        partial = longer
    return found


@pytest.mark.parametrize("seed", range(150))
def test_the_best_way_is_found_and_a_split_pays_no_less(seed: int) -> None:
    pick = Random(seed)
    edges, amount = graph(pick), pick.randrange(10**3, 10**9)
    best = max((pays(way, amount) for way in all_ways(edges, "a", "b")), default=0)
    found = best_route(edges, "a", "b", amount, pays)
    if best == 0:
        assert found is None
        return
    assert found is not None
    assert found.amount_out >= best
    assert sum(part for part, _ in found.parts) == amount
    assert found.amount_out == sum(pays(way, part) for part, way in found.parts)
    pools = [edge.pool for _, way in found.parts for edge in way]
    assert len(set(pools)) == len(pools), "ways of a split share no pool"
    for _, way in found.parts:
        assert 1 <= len(way) <= 4
        assert way[0].denom_in == "a"
        assert way[-1].denom_out == "b"
        assert all(first.denom_out == second.denom_in for first, second in pairwise(way))


@pytest.mark.parametrize("seed", range(100))
def test_the_cheapest_way_to_an_exact_output_is_near_the_best(seed: int) -> None:
    pick = Random(seed)
    edges, wanted = graph(pick), pick.randrange(10**3, 10**5)
    prices = []
    for way in all_ways(edges, "a", "b"):
        try:
            prices.append(costs(way, wanted))
        except Exception:  # this way cannot pay that much
            continue
    found = best_route_out(edges, "a", "b", wanted, costs)
    if not prices:
        assert found is None
        return
    assert found is not None
    assert costs(found[1], wanted) == found[0]
    assert found[0] <= min(prices) * 11 // 10 + 10


def bitmap(spacing: int, limit: int = 10**12) -> StateTicks:
    state = State(EmptyBase())
    words, ticks = AmmBase.words.bind(7, state), AmmBase.tick_states.bind(7, state)
    return StateTicks(words, ticks, 1, spacing, Gas(gas_schedule(1), limit))


@given(
    st.sampled_from([1, 10, 60, 200]),
    st.lists(st.integers(-887_272, 887_272) | st.integers(-3_000, 3_000), min_size=1, max_size=30),
    st.lists(st.integers(-887_272, 887_272) | st.integers(-3_000, 3_000), min_size=1, max_size=10),
)
def test_next_tick_is_that_of_a_sorted_list(spacing: int, marks: list[int], asked: list[int]) -> None:
    ticks = bitmap(spacing)
    there: set[int] = set()
    for mark in marks:
        tick = mark // spacing * spacing
        ticks.flip(tick)
        there ^= {tick}
    for at in (*asked, *marks):
        assert ticks.next_tick(at, True) == max((t for t in there if t <= at), default=None)
        assert ticks.next_tick(at, False) == min((t for t in there if t > at), default=None)
    for tick in sorted(there):
        ticks.flip(tick)
    assert ticks.next_tick(887_272, True) is None


def test_a_look_for_a_tick_is_charged_before_it_is_made() -> None:
    with pytest.raises(OutOfGas):
        bitmap(1, limit=5).next_tick(0, True)
    with pytest.raises(TickOutOfRange):
        bitmap(10).flip(5)
