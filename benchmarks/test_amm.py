"""Swaps executed by the machine, in us a swap and swaps a second on one core; signatures, root and disk left out.

`python -m benchmarks.test_amm [--json]` prints the table; under pytest-benchmark each row is a case. As in
`benchmarks.test_vm`, a plan is the checked arguments that stay with a decoded transaction. Every swap is a
transaction of its own by an account of its own; blocks alternate in direction where a row says so.
"""

from __future__ import annotations

import argparse
import gc
import json
from time import perf_counter
from typing import Any

import pytest

from benchmarks.test_vm import CHAIN_ID, Base
from defi_modules.amm import Amm
from defi_modules.amm.types import Hop
from defi_modules.bank import Bank
from defi_modules.tokens import Tokens
from ledger.genesis import Genesis
from qenex.block import Validator
from qenex.crypto import SCHEMES, address_of, encode_address
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body
from qenex.types import QXC, Coin
from vm.context import BlockInfo
from vm.execution import BlockExecution
from vm.machine import Machine

SWAPS = 2_000
PASSES = 9
POOLS = 200
LATE = 1 << 40
A, B = "tokens/" + "a" * 32, "tokens/" + "b" * 32
Q96 = 1 << 96
DEPTH = 10**18


class Bench:
    """A machine with pools, accounts that have signed before, and blocks of swaps."""

    def __init__(self, swaps: int = SWAPS, routed: int = 0) -> None:
        scheme = SCHEMES["ed25519"]
        keys = [b"\x01" + scheme.generate(n.to_bytes(32, "big"))[0] for n in range(swaps)]
        self.addresses = [address_of(key[0], key[1:]) for key in keys]
        coins = [QXC, A, B] if not routed else [QXC, *[f"tokens/{n:032x}" for n in range(40)]]
        accounts = [
            {"address": encode_address(a), "sequence": 1, "key": "0x" + k.hex(), "fee_tier": 0, "flags": 0}
            for a, k in zip(self.addresses, keys, strict=True)
        ]
        balances = [
            {"address": encode_address(a), "denom": denom, "amount": str(10**28)}
            for a in self.addresses
            for denom in coins
        ]
        genesis = Genesis(
            chain_id=CHAIN_ID,
            time=10**18,
            validators=(Validator(self.addresses[0], keys[0], 10),),
            modules={"accounts": {"accounts": accounts}, "bank": {"balances": balances}},
            parameters={"machine": {"max_block_gas": 10**9}},
        )
        self.machine = Machine([Bank, Tokens, Amm], verify=lambda tx, keys: True)
        self.base = Base(self.machine.init_chain(genesis))
        self.info = BlockInfo(CHAIN_ID, 1, 10**18 + 10**9, 10**18, self.addresses[0])
        self.coins = coins
        self.setup(*(self.crowd(routed) if routed else self.few()))

    # -- state --------------------------------------------------------------------------------

    def few(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Pools 1 (constant product), 2 (with QXC), 3 (stable), 4 (concentrated, a position in every other spacing)."""
        deposits = (Coin(A, DEPTH), Coin(B, DEPTH))
        orders: list[tuple[str, tuple[Any, ...]]] = [
            ("amm.create_pool", (A, B, 30)),
            ("amm.create_pool", (A, QXC, 30)),
            ("amm.create_stable_pool", ((A, B), (9, 9), 2_000, 4_000_000, 0)),
            ("amm.create_concentrated_pool", (A, B, 500, Q96)),
            ("amm.add_liquidity", (1, deposits, 1, LATE)),
            ("amm.add_liquidity", (2, (Coin(A, DEPTH), Coin(QXC, DEPTH)), 1, LATE)),
            ("amm.add_liquidity", (3, deposits, 1, LATE)),
            ("amm.open_position", (4, -887_270, 887_270, deposits, 1, LATE)),
        ]
        orders += [
            ("amm.open_position", (4, at, at + 10, (Coin(A, DEPTH), Coin(B, DEPTH)), 1, LATE))
            for at in range(-6_000, 6_000, 20)
        ]
        return orders

    def crowd(self, pools: int) -> list[tuple[str, tuple[Any, ...]]]:
        """Pools of three curves between 40 coins, for the router."""
        orders: list[tuple[str, tuple[Any, ...]]] = []
        coins = sorted(self.coins)
        pairs = [(a, b) for step in range(1, 12) for a, b in zip(coins, coins[step:], strict=False)][:pools]
        for number, (a, b) in enumerate(pairs, 1):
            deposits = (Coin(a, DEPTH + number * 10**15), Coin(b, DEPTH))
            if number % 5 == 3:
                orders.append(("amm.create_stable_pool", ((a, b), (9, 9), 2_000, 4_000_000, 0)))
            elif number % 5 == 4:
                orders.append(("amm.create_concentrated_pool", (a, b, 500, Q96)))
                orders.append(("amm.open_position", (number, -1_000, 1_000, deposits, 1, LATE)))
                continue
            else:
                orders.append(("amm.create_pool", (a, b, 30)))
            orders.append(("amm.add_liquidity", (number, deposits, 1, LATE)))
        return orders

    def setup(self, *orders: tuple[str, tuple[Any, ...]]) -> None:
        """Execute orders by the first account, in one block, and stand on the result."""
        block = self.machine.begin(self.base, self.info)
        for at in range(0, len(orders), 20):
            sequence = 1 + at // 20
            receipt = block.execute(self._tx(0, orders[at : at + 20], sequence, 20_000_000))
            assert receipt.status == 0, block.error
        values = {**self.base.values, **block.end().changes}
        self.base = Base({key: value for key, value in values.items() if value is not None})
        self.info = self.info._replace(height=2, time=self.info.time + 10**9, parent_time=self.info.time)
        self.first_sequence = 1 + -(-len(orders) // 20)

    def _tx(self, sender: int, orders: Any, sequence: int, gas: int) -> Transaction:
        messages = [Message(name, args, 0) for name, args in orders]
        signer = Signer(self.addresses[sender], sequence, None, None)
        body = encode_body(CHAIN_ID, [signer], messages, Fee(gas * 20, gas, 0), 100)
        return decode_transaction(assemble(body, [bytes(64)]))

    # -- blocks -------------------------------------------------------------------------------

    def swaps(
        self, pool: int, amount: int, pair: tuple[str, str] = (A, B), *, alternate: bool
    ) -> list[Transaction]:
        """A swap by each account but the first: all in one direction, or to and fro."""
        transactions = []
        for sender in range(1, len(self.addresses)):
            came, went = pair if not alternate or sender % 2 else pair[::-1]
            order = ("amm.swap_exact_in", (Coin(came, amount), (Hop(pool, went),), 1, LATE))
            transactions.append(self._tx(sender, [order], 1, 100_000))
        return transactions

    def execute(self, transactions: list[Transaction], *, planned: bool) -> tuple[BlockExecution, float]:
        """One block, and the seconds its transactions took."""
        if not planned:
            for tx in transactions:
                tx.plan = None
        block = self.machine.begin(self.base, self.info)
        gc.collect()
        started = perf_counter()
        for tx in transactions:
            block.execute(tx)
        return block, perf_counter() - started

    def cases(self) -> dict[str, list[Transaction]]:
        """Blocks by row. In the concentrated ones every swap crosses the number of ticks that the row names."""
        return {
            "constant product, one direction": self.swaps(1, 10**12, alternate=False),
            "constant product, to and fro": self.swaps(1, 10**12, alternate=True),
            "constant product with QXC": self.swaps(2, 10**12, (A, QXC), alternate=False),
            "stable, one direction": self.swaps(3, 10**12, alternate=False),
            "concentrated, no tick crossed": self.swaps(4, 10**10, alternate=False),
        }

    def crossing(self, count: int, *, alternate: bool) -> list[Transaction]:
        """Swaps that cross two ticks each: the end of one position and, after a gap, the beginning of the next.

        In one direction each buys what one position holds (its token 1) and a little of the gaps. To and
        fro they go from the middle of one into the middle of the next and back.
        """
        if alternate:
            return self.swaps(4, DEPTH // 2, alternate=True)[:count]
        path = (Hop(4, B),)
        order = ("amm.swap_exact_out", (A, path, DEPTH + DEPTH // 2_000, 1 << 100, LATE))
        return [self._tx(sender, [order], 1, 100_000) for sender in range(1, count + 1)]


def crossed(bench: Bench, transactions: list[Transaction]) -> float:
    """Ticks crossed a swap, on average over a block."""
    amm: Any = bench.machine.modules["amm"]
    counted = 0
    turn = amm._cross

    def counting(number: int, pool: Any, filled: Any, denom_in: str) -> None:
        nonlocal counted
        counted += len(filled.crossings)
        turn(number, pool, filled, denom_in)

    amm._cross = counting
    try:
        again, _ = bench.execute(transactions, planned=True)
    finally:
        del amm._cross
    return counted / len(again.receipts)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(401)


@pytest.mark.parametrize("row", ["constant product, one direction", "stable, one direction", "crossing"])
def test_swaps(benchmark: Any, bench: Bench, row: str) -> None:
    crossing = row == "crossing"
    transactions = bench.crossing(250, alternate=False) if crossing else bench.cases()[row]
    bench.execute(transactions, planned=False)
    blocks: list[BlockExecution] = []

    def begin() -> tuple[tuple[BlockExecution], dict[str, Any]]:
        blocks.append(bench.machine.begin(bench.base, bench.info))
        return (blocks[-1],), {}

    def run(block: BlockExecution) -> None:
        for tx in transactions:
            block.execute(tx)

    benchmark.extra_info["swaps"] = len(transactions)
    benchmark.pedantic(run, setup=begin, rounds=10)
    assert {receipt.status for receipt in blocks[-1].receipts} == {0}


@pytest.fixture(scope="module")
def crowd() -> Bench:
    return Bench(2, routed=POOLS)


def test_route(benchmark: Any, crowd: Bench) -> None:
    ends = Coin(sorted(crowd.coins)[0], 10**15), sorted(crowd.coins)[20]
    found = benchmark(crowd.machine.query, crowd.base, crowd.info, "amm.find_route", ends)
    assert found.amount_out > 0


def rows(swaps: int) -> dict[str, float]:
    """Microseconds by row."""
    bench = Bench(swaps)
    found: dict[str, float] = {}
    for name, transactions in bench.cases().items():
        for planned in (True, False):
            block, _ = bench.execute(transactions, planned=False)
            assert {receipt.status for receipt in block.receipts} == {0}, block.error
            best = min(bench.execute(transactions, planned=planned)[1] for _ in range(PASSES))
            found[f"{name}, plan {'made' if planned else 'not made'}"] = best / len(transactions) * 1e6
    for alternate in (False, True):
        transactions = bench.crossing(280, alternate=alternate)
        for planned in (True, False):
            block, _ = bench.execute(transactions, planned=False)
            assert {receipt.status for receipt in block.receipts} == {0}, block.error
            assert 1.95 < crossed(bench, transactions) < 2.05, crossed(bench, transactions)
            best = min(bench.execute(transactions, planned=planned)[1] for _ in range(PASSES))
            way = "to and fro" if alternate else "one direction"
            name = f"concentrated, two ticks, {way}, plan {'made' if planned else 'not made'}"
            found[name] = best / len(transactions) * 1e6
    crowd = Bench(2, routed=POOLS)
    coins = sorted(crowd.coins)
    for hops, target in ((1, coins[5]), (2, coins[10]), (4, coins[20])):
        args = (Coin(coins[0], 10**15), target)
        best = min(_timed(crowd, args) for _ in range(5 * PASSES))
        found[f"best route over {POOLS} pools, at least {hops} hops"] = best * 1e6
    return found


def _timed(bench: Bench, args: Any) -> float:
    started = perf_counter()
    bench.machine.query(bench.base, bench.info, "amm.find_route", args)
    return perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=SWAPS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = rows(arguments.swaps)
    if arguments.json:
        print(json.dumps({"swaps": arguments.swaps, "microseconds": found}))
        return
    for name, microseconds in found.items():
        print(f"{name:58} {microseconds:9.2f} us {1e6 / microseconds:10.0f}/s")


if __name__ == "__main__":
    main()
