"""The machine's own module: the fee market it announces, the leases it forgets in bounded steps."""

from __future__ import annotations

import pytest

from qenex.types import QXC
from tests.vm.chain import ACTORS, Chain
from vm.core import FeeMarket
from vm.fees import MachineParams

ALICE, BOB = ACTORS[:2]


def test_fee_market_tells_what_the_next_block_asks() -> None:
    chain = Chain(parameters={"machine": {"target_gas_per_second": 10_000, "price_update_fraction": 10_000}})
    params = MachineParams(target_gas_per_second=10_000, price_update_fraction=10_000)
    asked = []
    for _ in range(12):
        market = chain.query("machine.get_fee_market")
        assert market.price == chain.machine.price(chain.base)
        receipt = chain.run(chain.send(ALICE, BOB.address, 1, gas=10_000))[0]
        assert receipt.fee == receipt.gas_used * market.price
        asked.append(market.price)
    assert asked == sorted(asked)
    assert asked[-1] == 10, "700 gas a block of 100 ms is below the target of 1,000"
    for _ in range(30):
        chain.run(*[chain.send(actor, BOB.address, 1, gas=10_000) for actor in ACTORS])
    market = chain.query("machine.get_fee_market")
    assert market.price > 10 * 2_000
    assert market == FeeMarket(market.price, market.excess, 10_000, params.max_block_gas)
    assert chain.problems() == []
    while chain.query("machine.get_fee_market").excess:
        chain.begin()
        chain.end()
    assert chain.machine.price(chain.base) == 10


@pytest.mark.parametrize("items", [1, 3, 1_000])
def test_leases_are_forgotten_at_most_so_many_a_block(items: int) -> None:
    chain = Chain(parameters={"machine": {"hook_items": items}})
    names = [bytes([n]) * 32 for n in range(7)]
    chain.run(
        *[
            chain.send(ALICE, BOB.address, 1, lease=n, valid_until=1, later=i, gas=50_000)
            for i, n in enumerate(names)
        ]
    )
    left: list[int] = []
    while not left or left[-1]:
        chain.begin()
        chain.end()
        left.append(len([key for key in chain.store.values if key[:2] == b"\x00\x03"]))
        assert left[-1] == len([key for key in chain.store.values if key[:2] == b"\x00\x02"])
    assert left == [max(0, 7 - items * n) for n in range(1, len(left) + 1)]


def test_parameters_and_pauses_are_told() -> None:
    chain = Chain()
    assert chain.query("machine.get_parameters") == MachineParams(max_block_gas=10**9)
    assert chain.query("machine.get_pause", 2) is None
    assert chain.balance(ALICE.address, QXC) > 0
