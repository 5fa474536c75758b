"""Execution of transfers by the machine, in us per transfer, signatures left out.

`python -m benchmarks.test_vm [--json]` prints the table; under pytest-benchmark each row is a case. "Taken": as a block takes
them whose signatures were verified, plain transfers by their short way. "Executed": the general way, which anything else goes; a plan
is the checked arguments that stay with a decoded transaction: the pool's admission has made it, a block
synced from peers has not. Each row is the best of several passes over the same block.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import pytest

from defi_modules.bank import Bank
from ledger.genesis import Genesis
from qenex.block import Validator, results_root
from qenex.crypto import SCHEMES, Address, address_of, encode_address
from qenex.transaction import Fee, Message, Signer, Transaction, assemble, decode_transaction, encode_body
from qenex.types import QXC
from vm.context import BlockInfo
from vm.execution import BlockExecution
from vm.machine import Machine

CHAIN_ID = "bench-1"
TRANSFERS = 5_000
SENDS = 100
"""Messages of one transaction in the multi-send rows."""
PASSES = 5


class Base:
    """Committed objects of a chain that has them all cached."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        self.values = values
        self.get = values.get

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        keys = sorted((key for key in self.values if start <= key < stop), reverse=reverse)
        return iter([(key, self.values[key]) for key in keys])


class Bench:
    """A machine over accounts that have signed before, and blocks of transfers between them."""

    def __init__(self, transfers: int) -> None:
        scheme = SCHEMES["ed25519"]
        keys = [b"\x01" + scheme.generate(n.to_bytes(32, "big"))[0] for n in range(transfers)]
        self.addresses = [address_of(key[0], key[1:]) for key in keys]
        accounts = [
            {"address": encode_address(a), "sequence": 1, "key": "0x" + k.hex(), "fee_tier": 0, "flags": 0}
            for a, k in zip(self.addresses, keys, strict=True)
        ]
        balances = [
            {"address": encode_address(a), "denom": QXC, "amount": "1000000000000000"} for a in self.addresses
        ]
        genesis = Genesis(
            chain_id=CHAIN_ID,
            time=10**18,
            validators=(Validator(self.addresses[0], keys[0], 10),),
            modules={"accounts": {"accounts": accounts}, "bank": {"balances": balances}},
            parameters={"machine": {"max_block_gas": 10**9}},
        )
        self.machine = Machine([Bank], verify=lambda tx, keys: True)
        self.base = Base(self.machine.init_chain(genesis))
        self.info = BlockInfo(CHAIN_ID, 1, 10**18 + 10**9, 10**18, self.addresses[0])
        self.transfers = [decode_transaction(self._raw(n, 1)) for n in range(transfers)]
        self.multiple = [decode_transaction(self._raw(n, SENDS)) for n in range(max(1, transfers // SENDS))]
        for transactions in (self.transfers, self.multiple):
            for tx, key in zip(transactions, keys, strict=False):
                tx.verified = (key,)

    def _raw(self, sender: int, sends: int) -> bytes:
        to: list[Address] = [self.addresses[(sender + 1 + n) % len(self.addresses)] for n in range(sends)]
        messages = [Message("bank.send", (address, (QXC, 5)), 0) for address in to]
        signer = Signer(self.addresses[sender], 1, None, None)
        fee = Fee(100_000_000, 2_000 + 500 * sends, 0)
        body = encode_body(CHAIN_ID, [signer], messages, fee, 100)
        return assemble(body, [bytes(64)])

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

    def take(self, transactions: list[Transaction]) -> tuple[BlockExecution, float]:
        """One block as a node fills it, and the seconds its transactions took."""
        block = self.machine.begin(self.base, self.info)
        gc.collect()
        started = perf_counter()
        for tx in transactions:
            block.take(tx)
        seconds = perf_counter() - started
        if block.others or len(block.receipts) != len(transactions) or block.receipts.failed:
            raise AssertionError("plain transfers that should go the short way do not")
        return block, seconds

    def stages(self) -> dict[str, float]:
        """Microseconds per transfer (per send of a multi-send) by row."""
        raws = [tx.raw for tx in self.transfers]
        block, _ = self.execute(self.transfers, planned=False)
        assert {receipt.status for receipt in block.receipts} == {0}
        encoded = block.receipts.encoded

        def decode_all() -> float:
            started = perf_counter()
            for raw in raws:
                decode_transaction(raw)
            return perf_counter() - started

        def root() -> float:
            started = perf_counter()
            results_root(encoded, (), ())
            return perf_counter() - started

        def end() -> float:
            block, _ = self.take(self.transfers)
            started = perf_counter()
            block.end()
            return perf_counter() - started

        singles, many = len(self.transfers), len(self.multiple) * SENDS
        rows: list[tuple[str, Callable[[], float], int]] = [
            ("decode_transaction", decode_all, singles),
            ("taken", lambda: self.take(self.transfers)[1], singles),
            ("taken, 100 sends", lambda: self.take(self.multiple)[1], many),
            ("execute, plan made", lambda: self.execute(self.transfers, planned=True)[1], singles),
            ("execute, plan not made", lambda: self.execute(self.transfers, planned=False)[1], singles),
            ("execute, 100 sends, plan made", lambda: self.execute(self.multiple, planned=True)[1], many),
            (
                "execute, 100 sends, plan not made",
                lambda: self.execute(self.multiple, planned=False)[1],
                many,
            ),
            ("end of block", end, singles),
            ("results root", root, singles),
        ]
        return {name: min(run() for _ in range(PASSES)) / count * 1e6 for name, run, count in rows}


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(1_000)


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "unplanned"])
@pytest.mark.parametrize("kind", ["transfers", "multiple"])
def test_execute(benchmark: Any, bench: Bench, kind: str, planned: bool) -> None:
    transactions = bench.transfers if kind == "transfers" else bench.multiple
    bench.execute(transactions, planned=False)
    blocks: list[BlockExecution] = []

    def begin() -> tuple[tuple[BlockExecution], dict[str, Any]]:
        for tx in transactions if not planned else ():
            tx.plan = None
        blocks.append(bench.machine.begin(bench.base, bench.info))
        return (blocks[-1],), {}

    def run(block: BlockExecution) -> None:
        for tx in transactions:
            block.execute(tx)

    benchmark.extra_info["transfers"] = sum(len(tx.messages) for tx in transactions)
    benchmark.pedantic(run, setup=begin, rounds=20)
    assert {receipt.status for receipt in blocks[-1].receipts} == {0}


@pytest.mark.parametrize("kind", ["transfers", "multiple"])
def test_take(benchmark: Any, bench: Bench, kind: str) -> None:
    transactions = bench.transfers if kind == "transfers" else bench.multiple

    def begin() -> tuple[tuple[BlockExecution], dict[str, Any]]:
        return (bench.machine.begin(bench.base, bench.info),), {}

    def run(block: BlockExecution) -> None:
        for tx in transactions:
            block.take(tx)

    benchmark.extra_info["transfers"] = sum(len(tx.messages) for tx in transactions)
    benchmark.pedantic(run, setup=begin, rounds=20)
    bench.take(transactions)


def test_decode_transaction(benchmark: Any, bench: Bench) -> None:
    assert benchmark(decode_transaction, bench.transfers[0].raw).signers


def test_results_root(benchmark: Any, bench: Bench) -> None:
    block, _ = bench.execute(bench.transfers, planned=True)
    assert len(benchmark(results_root, block.receipts.encoded, (), ())) == 32


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=TRANSFERS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stages = Bench(arguments.transfers).stages()
    if arguments.json:
        print(json.dumps({"transfers": arguments.transfers, "microseconds": stages}))
        return
    for name, microseconds in stages.items():
        print(f"{name:34} {microseconds:8.2f} us")


if __name__ == "__main__":
    main()
