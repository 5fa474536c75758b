"""Lending executed by the machine, in us a transaction and per second on one core; and scans for positions in danger.

`python -m benchmarks.test_lending [--positions N] [--json]` prints the table; under pytest-benchmark each row is a
case. As in `benchmarks.test_amm`: signatures, root and disk left out, every transaction by an account of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
from bisect import bisect_left
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest

from benchmarks.test_vm import CHAIN_ID, Base
from defi_modules.amm import Amm
from defi_modules.bank import Bank
from defi_modules.lending import Lending
from defi_modules.lending.types import EMPTY_POSITION, Entry
from defi_modules.oracle import Oracle
from defi_modules.tokens import Tokens
from ledger.genesis import Genesis
from qenex.block import Validator
from qenex.crypto import SCHEMES, address_of, encode_address
from qenex.crypto.address import Address
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body
from qenex.types import Coin
from vm.context import BlockInfo
from vm.execution import BlockExecution
from vm.machine import Machine

TRANSACTIONS = 1_000
POSITIONS = 100_000
PASSES = 7
A, B = "tokens/" + "a" * 32, "tokens/" + "b" * 32
ONE = 10**9
START_S = 10**9


def _terms(denom: str, feed: str) -> dict[str, Any]:
    return {
        "denom": denom, "decimals": 9, "feed": feed, "max_age_s": 86_400, "max_spread_bps": 500,
        "mean_price": None, "ltv_bps": 7_500, "threshold_bps": 8_000, "bonus_bps": 10_500,
        "liquidation_fee_bps": 1_000, "reserve_factor_bps": 1_000, "base_ray": "0",
        "slope1_ray": str(4 * 10**25), "slope2_ray": str(75 * 10**25), "optimal_bps": 8_000,
        "adaptive_speed": 0, "supply_cap": str(10**30), "borrow_cap": str(10**30), "outflow_bps": 10_000,
        "debt_ceiling": "0", "isolation_borrowable": False, "group": 0, "flash_fee_bps": 9, "seed": "1000000",
    }  # fmt: skip


class OrderedBase(Base):
    """As `Base`, with its keys in order, as a store on disk has them."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        super().__init__(values)
        self._order: list[bytes] | None = None

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        if self._order is None:
            self._order = sorted(self.values)
        first, last = bisect_left(self._order, start), bisect_left(self._order, stop)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        order, values = self._order, self.values
        return ((order[at], values[order[at]]) for at in places)


class Bench:
    """A machine with two markets, accounts that have signed before and put up collateral, and blocks of messages."""

    def __init__(self, accounts: int = TRANSACTIONS) -> None:
        scheme = SCHEMES["ed25519"]
        keys = [b"\x01" + scheme.generate(n.to_bytes(32, "big"))[0] for n in range(accounts + 1)]
        self.addresses = [address_of(key[0], key[1:]) for key in keys]
        records = [
            {"address": encode_address(a), "sequence": 1, "key": "0x" + k.hex(), "fee_tier": 0, "flags": 0}
            for a, k in zip(self.addresses, keys, strict=True)
        ]
        balances = [
            {"address": encode_address(a), "denom": denom, "amount": str(10**18)}
            for a in self.addresses
            for denom in ("QXC", A, B)
        ]
        symbols = ("AAA/USD", "BBB/USD")
        feeds = [
            {
                "symbol": s,
                "max_age_s": 86_400,
                "min_reports": 1,
                "min_power_bps": 1,
                "max_deviation_bps": 10_000,
            }
            for s in symbols
        ]
        price = {"price": str(10**8), "spread": "0", "time_s": START_S, "reports": 1, "power": "10"}
        genesis = Genesis(
            chain_id=CHAIN_ID,
            time=START_S * 10**9,
            validators=(Validator(self.addresses[0], keys[0], 10),),
            modules={
                "accounts": {"accounts": records},
                "bank": {"balances": balances},
                "oracle": {"prices": [{"symbol": s, "price": price} for s in symbols]},
                "lending": {"terms": [_terms(A, symbols[0]), _terms(B, symbols[1])]},
            },
            parameters={"machine": {"max_block_gas": 10**9}, "oracle": {"feeds": feeds}},
        )
        self.machine = Machine([Bank, Tokens, Oracle, Amm, Lending], verify=lambda tx, keys: True)
        self.base: Base = OrderedBase(self.machine.init_chain(genesis))
        self.info = BlockInfo(CHAIN_ID, 1, START_S * 10**9 + 10**9, START_S * 10**9, self.addresses[0])
        self.sequence = 1
        lent: list[Any] = [
            ("lending.seed", (A,)),
            ("lending.seed", (B,)),
            ("lending.supply", (Coin(B, 10**17), False)),
        ]
        self.commit([self._tx(0, lent)])
        self.commit(self.each("lending.supply", Coin(A, 1_000 * ONE), True))
        self.sequence = 2
        self.commit(self.each("lending.borrow", Coin(B, 100 * ONE)))
        self.sequence = 3

    def commit(self, transactions: list[Transaction]) -> None:
        """Execute a block and stand on its result."""
        block = self.machine.begin(self.base, self.info)
        for tx in transactions:
            assert block.execute(tx).status == 0, block.error
        values = {**self.base.values, **block.end().changes}
        self.base = OrderedBase({key: value for key, value in values.items() if value is not None})
        info = self.info
        self.info = info._replace(height=info.height + 1, time=info.time + 10**9, parent_time=info.time)

    def _tx(self, sender: int, orders: list[tuple[str, tuple[Any, ...]]]) -> Transaction:
        messages = [Message(name, args, 0) for name, args in orders]
        signer = Signer(self.addresses[sender], self.sequence, None, None)
        body = encode_body(CHAIN_ID, [signer], messages, Fee(2_000_000, 100_000, 0), 100)
        return decode_transaction(assemble(body, [bytes(64)]))

    def each(self, name: str, *args: Any) -> list[Transaction]:
        """One message by every account but the first."""
        return [self._tx(sender, [(name, args)]) for sender in range(1, len(self.addresses))]

    def cases(self) -> dict[str, list[Transaction]]:
        """Blocks by row."""
        return {
            "supply": self.each("lending.supply", Coin(B, 10 * ONE), False),
            "supply as collateral": self.each("lending.supply", Coin(A, 10 * ONE), True),
            "withdraw": self.each("lending.withdraw", A, True, ONE, None),
            "borrow": self.each("lending.borrow", Coin(B, ONE)),
            "repay": self.each("lending.repay", B, ONE, None),
        }

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

    def crowd(self, positions: int, unhealthy: int) -> None:
        """Add positions at genesis-like state: so many in all, so many of them below health 1."""
        lending: Any = self.machine.modules["lending"]
        block = self.machine.begin(self.base, self.info)
        shares, scaled = 10**6 * 1_000 * ONE, 100 * ONE
        collateral = debt = 0
        for number in range(positions):
            address = Address(number.to_bytes(32, "big"))
            owes = scaled * 9 if number < unhealthy else scaled + number
            position = EMPTY_POSITION._replace(entries=(Entry(1, shares, 0), Entry(2, 0, owes)))
            lending.put_position(block.ctx, address, EMPTY_POSITION, position)
            collateral, debt = collateral + shares, debt + owes
        values = {**self.base.values, **block.state.changes()}
        self.base = OrderedBase({key: value for key, value in values.items() if value is not None})


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(300)


@pytest.mark.parametrize("row", ["supply", "supply as collateral", "withdraw", "borrow", "repay"])
def test_lending(benchmark: Any, bench: Bench, row: str) -> None:
    transactions = bench.cases()[row]
    bench.execute(transactions, planned=False)
    blocks: list[BlockExecution] = []

    def begin() -> tuple[tuple[BlockExecution], dict[str, Any]]:
        blocks.append(bench.machine.begin(bench.base, bench.info))
        return (blocks[-1],), {}

    def run(block: BlockExecution) -> None:
        for tx in transactions:
            block.execute(tx)

    benchmark.extra_info["transactions"] = len(transactions)
    benchmark.pedantic(run, setup=begin, rounds=5)
    assert {receipt.status for receipt in blocks[-1].receipts} == {0}


def test_scan(benchmark: Any, bench: Bench) -> None:
    bench.crowd(5_000, 20)
    found = benchmark(bench.machine.query, bench.base, bench.info, "lending.list_liquidatable", (100,))
    assert len(found.items) == 20


def rows(transactions: int, positions: int) -> dict[str, float]:
    """Microseconds by row."""
    bench = Bench(transactions)
    found: dict[str, float] = {}
    for name, block_of in bench.cases().items():
        for planned in (True, False):
            block, _ = bench.execute(block_of, planned=False)
            assert {receipt.status for receipt in block.receipts} == {0}, block.error
            best = min(bench.execute(block_of, planned=planned)[1] for _ in range(PASSES))
            found[f"{name}, plan {'made' if planned else 'not made'}"] = best / len(block_of) * 1e6
    for unhealthy in (0, 100):
        crowded = Bench(2)
        crowded.crowd(positions, unhealthy)
        best = min(_timed(crowded, unhealthy) for _ in range(PASSES))
        found[f"scan over {positions} positions, {unhealthy} in danger"] = best * 1e6
    return found


def _timed(bench: Bench, unhealthy: int) -> float:
    started = perf_counter()
    found = bench.machine.query(bench.base, bench.info, "lending.list_liquidatable", (100,))
    seconds = perf_counter() - started
    assert len(found.items) == unhealthy
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS)
    parser.add_argument("--positions", type=int, default=POSITIONS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = rows(arguments.transactions, arguments.positions)
    if arguments.json:
        print(json.dumps({"microseconds": found}))
        return
    for name, microseconds in found.items():
        print(f"{name:50} {microseconds:11.2f} us {1e6 / microseconds:10.0f}/s")


if __name__ == "__main__":
    main()
