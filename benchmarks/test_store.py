"""Cost of committing a block, per transfer and stage: 10,000 transfers that change 20,000 of 200,000 records.

`python -m benchmarks.test_store [--json]` prints the table; under pytest-benchmark each stage is a case.
Beside the stages stand limits of the same run: one encoding, one put into the database's batch.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import pytest

from ledger.backend import BackendKind, open_backend
from ledger.options import Options
from ledger.staging import SLICE, Prepared
from ledger.store import Ledger
from qenex.state_keys import ACCOUNT_RECORDS
from tests.ledger.chains import CODECS, account, account_key, genesis, parts, start_state

ACCOUNTS = 200_000
TRANSFERS = 10_000


class Bench:
    """A ledger of many accounts and the changes of the blocks to come."""

    def __init__(self, backend: BackendKind, accounts: int, transfers: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
        self.transfers = transfers
        store = open_backend(backend, self.folder / "data", create=True)
        self.ledger = Ledger.create_in(store, genesis(), codecs=CODECS, options=Options(history=4))
        self.ledger.initialise(start_state(accounts))
        self.keys = [account_key(n) for n in range(accounts)]
        self.random = Random(1)

    def changes(self) -> dict[bytes, Any]:
        height = self.ledger.height + 1
        touched = self.random.sample(self.keys, 2 * self.transfers)
        return {key: account(height, 10**9 + n) for n, key in enumerate(touched)}

    def close(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def finish(steps: Generator[None, None, Prepared]) -> Prepared:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def run(backend: BackendKind, accounts: int, transfers: int, blocks: int) -> dict[str, Any]:
    """Return microseconds per transfer by stage: the median block and, for busy machines, the best."""
    bench = Bench(backend, accounts, transfers)
    try:
        ledger = bench.ledger
        spent: dict[str, list[float]] = {}
        for _ in range(blocks):
            changes = bench.changes()
            height = ledger.height + 1
            for key in changes:  # as execution does before it writes
                ledger.committed.get(key)
            gc.collect()
            start = perf_counter()
            steps = ledger.prepare_in_steps(height, changes)
            slices = -(-len(changes) // SLICE)
            for _ in range(slices):
                next(steps)
            encoded_at = perf_counter()
            prepared = finish(steps)
            prepared_at = perf_counter()
            block = parts(ledger, prepared, transfers)
            staging_at = perf_counter()
            staged = ledger.stage(prepared, **block)
            staged_at = perf_counter()
            ledger.advance(staged)
            advanced_at = perf_counter()
            ledger.write(staged)
            written_at = perf_counter()
            ledger.settle(staged)
            settled_at = perf_counter()
            ledger.prune(1 << 30)
            pruned_at = perf_counter()
            for name, seconds in (
                ("encode", encoded_at - start),
                ("tree", prepared_at - encoded_at),
                ("batch", staged_at - staging_at),
                ("memory", advanced_at - staged_at + settled_at - written_at),
                ("write", written_at - advanced_at),
                ("prune", pruned_at - settled_at),
            ):
                spent.setdefault(name, []).append(seconds * 1e6 / transfers)
            spent.setdefault("batch_bytes", []).append(staged.batch.size() / transfers)
        table = {name: sorted(values)[len(values) // 2] for name, values in spent.items()}
        best = {name: min(values) for name, values in spent.items()}
        size = table.pop("batch_bytes")
        best.pop("batch_bytes")
        encoder = CODECS[ACCOUNT_RECORDS].encode
        value = account(5, 10**9)
        start = perf_counter()
        for _ in range(20_000):
            encoder(value)
        encoding = (perf_counter() - start) * 50
        batch = ledger.store.batch()
        start = perf_counter()
        for key in bench.keys[:20_000]:
            batch.put(key, value[2])
        put = (perf_counter() - start) * 50
        return {
            "backend": backend,
            "accounts": accounts,
            "transfers": transfers,
            "us_per_transfer": {**table, "total": sum(table.values())},
            "us_per_transfer_best": {**best, "total": sum(best.values())},
            "bytes_per_transfer": size,
            "limits_us": {"encode_one": encoding, "put_one": put},
        }
    finally:
        bench.close()


@pytest.fixture(scope="module")
def bench():
    made = Bench("leveldb", 20_000, 1_000)
    yield made
    made.close()


def test_prepare(benchmark, bench) -> None:
    changes = bench.changes()
    benchmark(bench.ledger.prepare, bench.ledger.height + 1, changes)


def test_stage(benchmark, bench) -> None:
    ledger = bench.ledger
    prepared = ledger.prepare(ledger.height + 1, bench.changes())
    block = parts(ledger, prepared, bench.transfers)
    benchmark(lambda: ledger.stage(prepared, **block))


def test_commit(benchmark, bench) -> None:
    ledger = bench.ledger

    def fresh():
        prepared = ledger.prepare(ledger.height + 1, bench.changes())
        return (prepared,), parts(ledger, prepared, bench.transfers)

    benchmark.pedantic(ledger.commit, setup=fresh, rounds=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--transfers", type=int, default=TRANSFERS)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--backend", choices=("leveldb", "sqlite", "memory"), default="leveldb")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options.backend, options.accounts, options.transfers, options.blocks)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:20}{json.dumps(value)}")


if __name__ == "__main__":
    main()
