"""Nanoseconds per gas of every message and primitive: `python -m benchmarks.gas [--json]`.

Gas stands for time, so no message may take much longer for its gas than another: who finds one that does slows the chain
cheaply. Each case is a transaction executed by the real machine (strict decoding, admission's entry checks, execution with
entry, message, invariants, conservation and receipt, and what it adds to the hooks at the end of its block) on the state that
a script of `benchmarks.gas_cases` built; added is what the entries that it changed cost in tree, values and LevelDB, and what
LevelDB takes for the pages that it read, both measured in the same run. CPU time of the process, the median of several passes
over all cases in turn, so that a disturbance meets each alike.

Signatures stand in rows of their own, their gas is not in the cases'. An entry that is created costs as 20 updates because
it is there for ever; a case counts it as one update. Rows of kind "room" tell that such prices lie above the time.
`spread` is the largest nanoseconds per gas over the smallest of all other rows.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time_ns
from typing import Any, Final, NamedTuple

from benchmarks.gas_cases import SCRIPTS
from benchmarks.gas_world import CHAIN_ID, Case, World, make_worlds
from defi_modules.bank.types import Transferred
from ledger.backend import open_backend
from ledger.collections import RecordCodec
from ledger.tree import Tree
from ledger.versions import Versions
from qenex.codec import encode
from qenex.crypto import SCHEMES, Address
from qenex.proof import tree_path, value_hash
from qenex.state_keys import Account
from qenex.transaction import decode_transaction
from qenex.types import QXC
from vm.execution import hash_parameters
from vm.gas import Gas, gas_schedule

PASSES: Final = 9
LIMIT: Final = 5.0
"""The spread that may not be exceeded. Gas is set so that it is below 3 on a quiet machine."""
LEAVES: Final = 20_000
CHANGED: Final = 500
SMALL, LARGE = 80, 4_096
"""Bytes of the two values from which an entry's cost and a byte's are told apart."""


class Row(NamedTuple):
    """`ns` of CPU for `gas`; `kind` is typical, worst, primitive or room."""

    name: str
    kind: str
    gas: int
    ns: float

    @property
    def ratio(self) -> float:
        """Nanoseconds per gas."""
        return self.ns / self.gas


class Report(NamedTuple):
    """All rows, what messages there are without a row, and the spread over the rows that stand for time."""

    rows: list[Row]
    missing: list[str]

    @property
    def timed(self) -> list[Row]:
        """The rows whose gas stands for time."""
        return [row for row in self.rows if row.kind != "room"]

    @property
    def spread(self) -> float:
        """Largest over smallest nanoseconds per gas."""
        ratios = [row.ratio for row in self.timed]
        return max(ratios) / min(ratios)


def run_cases() -> tuple[World, list[Case]]:
    """Run all scripts; a world, for its machine, and the cases."""
    worlds = make_worlds(list(SCRIPTS))
    cases: list[Case] = []
    for name, script in SCRIPTS.items():
        script(worlds[name])
        cases += worlds[name].cases
    return next(iter(worlds.values())), cases


def execute(world: World, case: Case) -> int:
    """ns of CPU for decoding, entry to the pool and execution of a case, and for what it adds to the end of its block."""
    return _block(world, case, case.raw) - _block(world, case, case.plain, only_end=True)


def _block(world: World, case: Case, raw: bytes, *, only_end: bool = False) -> int:
    machine = world.machine
    check = machine.new_check(case.base, CHAIN_ID, case.info.height)
    block = machine.begin(case.base, case.info)
    started = process_time_ns()
    tx = decode_transaction(raw)
    check.screen(tx)
    check.admit(tx)
    block.execute(tx)
    if only_end:
        started = process_time_ns()
    block.end()
    return process_time_ns() - started


class Disk:
    """A tree and LevelDB, to which blocks of changed entries are committed."""

    def __init__(self, folder: Path) -> None:
        self.store = open_backend("leveldb", folder, create=True)
        self.tree, self.versions = Tree(self.store), Versions(self.store)
        self.codec = RecordCodec(Account, 1, {})
        self.version = 0
        self.commit(LEAVES, SMALL, new=True)

    def commit(self, count: int, size: int, *, new: bool = False) -> int:
        """ns of CPU for an entry of `size` bytes, of a block that changes (or, if `new`, makes) `count`."""
        account = Account(self.version, 10**12, bytes(size - 20), 0, 0)
        first = LEAVES + self.version * CHANGED if new else 0
        keys = [b"\x01\x01" + tree_path(b"%d" % (first + n * 7_919 % LEAVES)) for n in range(count)]
        self.version += 1
        started = process_time_ns()
        leaves, values = [], []
        for key in keys:
            value = self.codec.encode(account)
            leaves.append((tree_path(key), value_hash(value)))
            values.append((key, value, None if new else value))
        update = self.tree.update(self.version, self.version - 1 or None, leaves)
        batch = self.store.batch()
        self.tree.apply(batch, update)
        self.versions.stage(batch, self.version, values)
        self.store.write(batch, sync=True)
        self.tree.committed(update)
        return (process_time_ns() - started) // count

    def keep(self, raw: bytes) -> None:
        """What a transaction's bytes ask for themselves: out of JSON, decoded and hashed, in the store."""
        received = bytes.fromhex(json.loads(json.dumps(raw.hex())))
        batch = self.store.batch()
        batch.put(b"body", decode_transaction(received).raw)
        self.store.write(batch, sync=False)

    def page(self, turn: int) -> int:
        """ns of CPU for a page of three entries."""
        first = b"\x01\x01" + tree_path(b"%d" % turn)
        started = process_time_ns()
        for number, (_, value) in enumerate(self.versions.iterate(first, b"\x01\x02")):
            self.codec.decode(value)
            if number == 2:
                break
        return process_time_ns() - started


def verifications() -> dict[str, Callable[[], object]]:
    """By scheme: what verifies a signature over a transaction's bytes."""
    data = bytes(250)
    found: dict[str, Callable[[], object]] = {}
    for name, scheme in SCHEMES.items():
        public, secret = scheme.generate(bytes(scheme.seed_size))
        signature = scheme.sign(secret, data)
        found[name] = partial(scheme.verify, public, data, signature)
    return found


def _timed(work: Callable[[], object], times: int) -> float:
    started = process_time_ns()
    for _ in range(times):
        work()
    return (process_time_ns() - started) / times


def _events(world: World, disk: Disk) -> float:
    """ns of CPU for an event: noted, encoded in the receipt, hashed and kept with it."""
    context, record = world.machine.context, Transferred(Address(bytes(32)), Address(bytes(32)), QXC, 10**9)
    context.enter(Gas(gas_schedule(1), 10**9), 1_000)

    def work() -> None:
        for _ in range(100):
            context.emit(record)
        encoded = encode(tuple([tuple(event) for event in context.events]))
        hash_parameters(encoded)
        batch = disk.store.batch()
        batch.put(b"receipt", encoded)
        disk.store.write(batch, sync=False)
        context.events.clear()

    return _timed(work, 3) / 100


def measure(passes: int = PASSES) -> Report:
    """Run everything and compare."""
    world, cases = run_cases()
    signing = verifications()
    samples: dict[Any, list[float]] = defaultdict(list)
    long = world.raw(world.actors[0], "bank.send", (bytes(8_192),))
    short = world.raw(world.actors[0], "bank.send", (b"",))
    gc.collect()
    gc.disable()
    try:
        with tempfile.TemporaryDirectory(prefix="qenex-gas-") as folder:
            disk = Disk(Path(folder) / "data")
            for case in cases:  # code and caches warm
                execute(world, case)
            for _ in range(passes):
                execute(world, cases[0])  # after the disk's work: not measured
                for number, case in enumerate(cases):
                    samples[number].append(execute(world, case))
                samples["update"].append(disk.commit(CHANGED, SMALL))
                samples["large"].append(disk.commit(CHANGED // 5, LARGE))
                samples["created"].append(disk.commit(CHANGED, SMALL, new=True))
                samples["page"] += [disk.page(turn) for turn in range(20)]
                samples["event"].append(_events(world, disk))
                samples["long"].append(_timed(lambda: disk.keep(long), 5))
                samples["short"].append(_timed(lambda: disk.keep(short), 5))
                for name, verify in signing.items():
                    samples[name].append(_timed(verify, 5))
            disk.store.close()
    finally:
        gc.enable()
    middle = {key: median(found) for key, found in samples.items()}
    rows = _primitives(middle, len(long) - len(short))
    byte_ns = max(0.0, (middle["large"] - middle["update"]) / (LARGE - SMALL))
    for number, case in enumerate(cases):
        written = (middle["update"] - byte_ns * SMALL) * case.keys + byte_ns * case.size
        ns = middle[number] + written + middle["page"] * case.pages
        rows.append(Row(case.message, case.kind, case.gas, ns))
    named = {case.message for case in cases}
    return Report(rows, sorted(set(world.machine.registry.messages) - named))


def _primitives(middle: dict[Any, float], more: int) -> list[Row]:
    schedule = gas_schedule(1)
    signatures = dict(schedule.signature)
    created = schedule.create + schedule.created_byte * SMALL
    return [
        Row("an entry updated", "primitive", schedule.update, middle["update"]),
        Row("an event", "primitive", schedule.event, middle["event"]),
        *[Row(f"signature {n}", "primitive", signatures[s.tag], middle[n]) for n, s in SCHEMES.items()],
        Row("an entry created", "room", created, middle["created"]),
        Row(
            "bytes of a transaction", "room", more // schedule.bytes_per_gas, middle["long"] - middle["short"]
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gas", description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report = measure(arguments.passes)
    if arguments.json:
        rows = [{**row._asdict(), "ns_per_gas": round(row.ratio, 1)} for row in report.rows]
        print(
            json.dumps({"spread": round(report.spread, 2), "missing": report.missing, "rows": rows}, indent=2)
        )
        return
    for row in sorted(report.rows, key=lambda row: row.ratio):
        print(
            f"{row.name:34} {row.kind:10} {row.gas:8,} gas {row.ns / 1000:10.1f} us {row.ratio:8.1f} ns/gas"
        )
    print(f"spread {report.spread:.2f}; messages without a case: {', '.join(report.missing) or 'none'}")


if __name__ == "__main__":
    main()
