"""Reads of a node while it makes blocks: `python -m benchmarks.rpc --accounts 50000 --json`.

One node process with one validator, LevelDB and its own verifier processes, on loopback; a process that reads balances over keep-alive
connections, one a request and in batches (`benchmarks.rpc_reader`: each read counts from when it was due); transfers signed before
and submitted at a fixed rate in JSON-RPC batches of 50 by a third. All of them share this machine's cores: what one takes the
others have not.

First what there is at most is measured, in the same run: reads a second of an aiohttp server that answers constant bytes (`echo`),
of the node while it makes no blocks (`most_reads`), and transfers a second that it commits when it is offered more than it can
(`most_transfers`). Then rows of latency against reads a second, each without blocks and with them. **Half load is both: half of
`most_reads` of its kind, while transfers come at half of `most_transfers`.**

`late` is the node's own metric of how late its event loop runs a timer, as the bounds of its buckets, in ms, and how many of its looks
(ten a second) found more than 50 ms. `heavy` are the dearest other reads, one kind after the other by `--callers` callers who ask again as soon
as they are answered, beside blocks and a balance read every five milliseconds: what those reads then took tells for how long a call holds the loop.
`--plain` measures half load alone. The exit code is 1 where a mark is missed at half load with blocks: p99 of 20 ms for single reads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.limits import echo_server
from benchmarks.network import means
from benchmarks.network_load import BATCH, Load
from benchmarks.network_nodes import ROOT, Account, NodeProcess, network, python_node
from benchmarks.pipeline import progress
from benchmarks.rpc_heavy import Heavy, fullest
from benchmarks.rpc_reader import Job
from qenex.crypto import encode_address

MARK_MS: Final = 20.0
LATE_SECONDS: Final = 0.05
"""No work in the event loop is to take longer."""
LEAD_SECONDS: Final = 1.0
"""Blocks run for so long before reads are measured."""
MOST: Final = 20_000.0
"""Transfers a second that are offered to learn what the node commits."""
PROBE: Final = 200.0
"""Reads a second beside heavy calls."""
SENDERS: Final = 10_000
"""Of the accounts so many send; their keys are registered before anything is measured."""
REGISTERED: Final = 2_500.0
"""Of these a second."""
ASKERS: Final = [Account(10**7 + number) for number in range(16)]
"""Accounts whose transactions are simulated only."""
SATURATING: Final = 32
"""Connections that ask as fast as they are answered."""


class Reading:
    """The process that reads."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rpc_reader"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(addresses)

    def _write(self, value: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def run(self, job: Job) -> dict[str, Any]:
        """A job's result. Raises SystemExit when a read was refused."""
        self._write(job._asdict())
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"failure": "it ended"}')
        if "failure" in found:
            raise SystemExit(f"the reader failed: {found['failure']}")
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and longest, in ms."""
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}

    def at(share: float) -> float:
        return round(1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)

    return {"p50": at(0.5), "p99": at(0.99), "max": round(1e3 * ordered[-1], 2)}


def lateness(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Of the event loop between two looks at the metrics: bounds in ms (0: none), looks, and those above 50 ms."""
    prefix = 'qenex_loop_lateness_seconds_bucket{le="'
    found = sorted(
        [
            (float(name[len(prefix) :].rstrip('"}')), value - before.get(name, 0.0))
            for name, value in after.items()
            if name.startswith(prefix)
        ]
    )
    looks = found[-1][1] if found else 0.0

    def bound(share: float) -> float:
        return next((round(1e3 * limit, 1) for limit, count in found if count >= share * looks), 0.0)

    within = max([count for limit, count in found if limit <= LATE_SECONDS], default=0.0)
    return {
        "p50": bound(0.5),
        "p99": bound(0.99),
        "worst": bound(1.0),
        "looks": looks,
        "above": looks - within,
    }


class Bench:
    """A running node with its accounts and its reader."""

    def __init__(
        self, node: NodeProcess, accounts: Sequence[Account], reading: Reading, options: argparse.Namespace
    ) -> None:
        self.node = node
        self.accounts = accounts
        self.reading = reading
        self.options = options
        self.full = (0, "")
        """Height and a transaction of a full block."""
        self.start = 0
        """Number of the account with which the next job begins: not always the same are read."""

    def job(self, rate: float, batch: int, seconds: float) -> Job:
        """What the reader is to do next."""
        self.start += 9_973
        connections = self.options.connections if rate else SATURATING
        return Job(self.node.rpc_port, seconds, connections, rate, batch, self.start)

    async def drained(self) -> None:
        """Wait until nothing waits for a block."""
        while True:
            if not self.node.call("mempool_status")["count"]:
                return
            await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until nothing waits for a block, and the block after the last one is made."""
        while True:
            status = self.node.call("node_status")
            await asyncio.sleep(1.2)
            now = self.node.call("node_status")
            if now["height"] == status["height"] and not now["mempool"]["count"]:
                return

    def load(self, rate: float, seconds: float) -> tuple[Load, asyncio.Task[None]]:
        """Transfers on their way, from now on."""
        load = Load(self.accounts[:SENDERS], 1, rate, seconds, self.accounts)
        return load, asyncio.create_task(load.send(0, self.node.rpc_port, time.monotonic() + 0.1))

    async def register(self) -> None:
        """The first transfer of every sender, with his key: it is dearer than all further ones."""
        while new := [account for account in self.accounts[:SENDERS] if not account.sequence]:
            count = -(-len(new) // BATCH) * BATCH  # some send twice
            load = Load(new, 1, REGISTERED, count / REGISTERED + 0.001, self.accounts)
            await load.send(0, self.node.rpc_port, time.monotonic() + 0.1)
            load.end()
            await self.settled()

    async def most_transfers(self) -> float:
        """Transfers a second that are committed where more are offered."""
        seconds = self.options.seconds
        load, sending = self.load(MOST, seconds + LEAD_SECONDS)
        await asyncio.sleep(LEAD_SECONDS)
        before, started = await asyncio.to_thread(self.node.metrics), time.monotonic()
        await asyncio.wait([sending], timeout=seconds)
        after, took = await asyncio.to_thread(self.node.metrics), time.monotonic() - started
        await sending
        load.end()
        await self.settled()
        self.full = await asyncio.to_thread(fullest, self.node)
        return grown("qenex_transactions_total", before, after) / took

    async def row(self, rate: float, batch: int, transfers: float) -> dict[str, Any]:
        """Reads at a rate, beside transfers at a rate (0: none)."""
        seconds, node = self.options.seconds, self.node
        load = sending = None
        if transfers:
            load, sending = self.load(transfers, LEAD_SECONDS + seconds)
            await asyncio.sleep(LEAD_SECONDS)
        before, cpu = await asyncio.to_thread(node.metrics), node.cpu_seconds()
        found = await asyncio.to_thread(self.reading.run, self.job(rate, batch, seconds))
        after, cpu = await asyncio.to_thread(node.metrics), node.cpu_seconds() - cpu
        if sending is not None and load is not None:
            await sending
            load.end()
            await self.settled()
        took = found["seconds"]
        return {
            "batch": batch,
            "reads_per_second": round(found["reads"] / took, 1),
            "offered_transfers_per_second": round(transfers, 1),
            "transfers_per_second": round(grown("qenex_transactions_total", before, after) / took, 1),
            "refused_transfers": 0 if load is None else load.refused,
            "blocks": int(grown("qenex_blocks_total", before, after)),
            "read_ms": percentiles(found["latencies"]),
            "late": lateness(before, after),
            "reader_late_ms": round(1e3 * found["reader_late"], 2),
            "node_cpu_percent": round(100 * cpu / took, 1),
            "reader_cpu_percent": round(100 * found["cpu_seconds"] / took, 1),
            "mean_ms": means(before, after),
        }

    async def heavy(self, transfers: float) -> dict[str, Any]:
        """The dearest other reads, kind by kind, beside blocks."""
        seconds, node, rows = self.options.heavy, self.node, {}
        heavy = Heavy(node, self.accounts, ASKERS, self.full)
        for name, ask in heavy.kinds().items():
            load, sending = self.load(transfers, LEAD_SECONDS + seconds)
            await asyncio.sleep(LEAD_SECONDS)
            before = await asyncio.to_thread(node.metrics)
            asking = asyncio.create_task(heavy.repeat(ask, self.options.callers))
            found = await asyncio.to_thread(self.reading.run, self.job(PROBE, 1, seconds))
            heavy.stop()
            calls = await asking
            after = await asyncio.to_thread(node.metrics)
            await sending
            load.end()
            await self.drained()
            rows[name] = {
                "calls": len(calls),
                "call_ms": percentiles(calls),
                "read_ms": percentiles(found["latencies"]),
                "refused": heavy.refused,
                "late": lateness(before, after),
                "transfers_per_second": round(
                    grown("qenex_transactions_total", before, after) / found["seconds"], 1
                ),
            }
            progress(f"{name:<28} {json.dumps(rows[name])}")
        return rows


def grown(name: str, before: dict[str, float], after: dict[str, float]) -> float:
    """By how much a counter has risen."""
    return after.get(name, 0.0) - before.get(name, 0.0)


async def run(bench: Bench) -> dict[str, Any]:
    """All parts; returns the report."""
    options, reading = bench.options, bench.reading
    kinds = {"single": 1, "batch": options.batch}
    report: dict[str, Any] = {"accounts": options.accounts, "connections": options.connections, "echo": {}}
    progress("limits")
    with echo_server() as port:
        for name, batch in kinds.items():
            # For a batch the server's part would be the transport alone.
            found = reading.run(Job(port, options.limit_seconds, SATURATING, 0.0, batch))
            report["echo"][name] = round(found["reads"] / found["seconds"], 1)
    await bench.register()
    report["most_reads"] = {}
    for name, batch in kinds.items():
        found = reading.run(bench.job(0.0, batch, options.limit_seconds))
        report["most_reads"][name] = round(found["reads"] / found["seconds"], 1)
    report["most_transfers"] = round(await bench.most_transfers(), 1)
    progress(f"most reads {report['most_reads']}, most transfers {report['most_transfers']}")
    transfers = options.transfers or report["most_transfers"] / 2
    report["rows"] = []
    for name, batch in kinds.items():
        for share in options.shares:
            for rate in (0.0, transfers):
                row = await bench.row(report["most_reads"][name] * share, batch, rate)
                report["rows"].append({"kind": name, "share": share, **row})
                progress(row_of(report["rows"][-1]))
    if options.heavy:
        report["heavy"] = await bench.heavy(transfers)
    return report


HEAD: Final = (
    "| reads | share | reads/s | transfers/s | blocks | read, p50 / p99 / max ms | loop late, p50 / p99 / worst ms | CPU node, reader |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row_of(row: dict[str, Any]) -> str:
    """A row of the curve as one of a table."""
    read, late = row["read_ms"], row["late"]
    cells = (
        row["kind"],
        f"{row['share']:.2f}",
        f"{row['reads_per_second']:,.0f}",
        f"{row['transfers_per_second']:,.0f}",
        str(row["blocks"]),
        f"{read['p50']:.1f} / {read['p99']:.1f} / {read['max']:.0f}",
        f"{late['p50']:g} / {late['p99']:g} / {late['worst']:g}",
        f"{row['node_cpu_percent']:.0f}%, {row['reader_cpu_percent']:.0f}%",
    )
    return "| " + " | ".join(cells) + " |"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark with a node of its own."""
    progress(f"{options.accounts} accounts")
    accounts = [Account(number) for number in range(options.accounts)]
    reading = Reading([encode_address(account.address) for account in accounts])
    command = python_node() if options.command is None else options.command.split()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="qenex-rpc-") as folder,
            network(
                Path(folder), 1, [*accounts, *ASKERS], {"node": {"log_level": options.log_level}}, command
            ) as nodes,
        ):
            report = asyncio.run(run(Bench(nodes[0], accounts, reading, options)))
            if options.keep_log:
                text = (nodes[0].home / "node.log").read_text(errors="replace")
                Path(options.keep_log).write_text(text)
            return report
    finally:
        reading.close()


def shares_of(text: str) -> list[float]:
    """Shares of the most, such as 0.25,0.5. Raises ArgumentTypeError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0.0 < share < 1.0 for share in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: shares lie between 0 and 1, divided by commas, such as 0.25,0.5"
        )
    return found


def options_of(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options, checked. Ends the process where they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rpc", description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=50_000, help="that are read, send and receive")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row")
    parser.add_argument("--limit-seconds", type=float, default=3.0, help="of each limit")
    parser.add_argument("--connections", type=int, default=100, help="of the reader")
    parser.add_argument("--batch", type=int, default=100, help="reads of one request in the second half")
    parser.add_argument(
        "--shares", type=shares_of, default=[0.25, 0.5, 0.75], help="of the most reads, a row each"
    )
    parser.add_argument(
        "--transfers", type=float, default=0.0, help="a second; 0: half of what the node commits"
    )
    parser.add_argument(
        "--heavy", type=float, default=1.5, help="seconds of each other kind of read; 0: none"
    )
    parser.add_argument("--callers", type=int, default=2, help="of those at the same time")
    parser.add_argument("--command", help="instead of `python -m node`")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--keep-log", help="file for the node's log")
    parser.add_argument("--plain", action="store_true", help="half load alone, without other reads")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(given)
    if options.plain:
        options.shares, options.heavy = [0.5], 0.0
    if not 2 <= options.batch <= 100:
        parser.error("a batch has 2 to 100 reads: a node takes no more")
    if options.accounts < max(options.batch, 2 * BATCH):
        parser.error(f"at least {2 * BATCH} accounts, and as many as reads in a batch")
    if not 1 <= options.connections <= 900 or not 1 <= options.callers <= 50:
        parser.error("1 to 900 connections and 1 to 50 callers: a node takes a thousand connections")
    if min(options.seconds, options.limit_seconds) <= 0 or options.heavy < 0 or options.transfers < 0:
        parser.error("seconds are above 0, rates not below it")
    return options


def missed(report: dict[str, Any]) -> list[str]:
    """What was to be reached at half load with blocks, and was not."""
    return [
        f"p99 of single reads is {row['read_ms']['p99']} ms at half load, the mark is {MARK_MS:g}"
        for row in report["rows"]
        if row["kind"] == "single"
        and row["share"] == 0.5
        and row["blocks"]
        and row["read_ms"]["p99"] > MARK_MS
    ]


def main() -> int:
    """Print the report; exit code 1 if a mark was missed."""
    options = options_of()
    report = measure(options)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for name in ("echo", "most_reads", "most_transfers"):
            print(f"{name:<16} {report[name]}")
        print("\n".join([HEAD, *[row_of(row) for row in report["rows"]]]))
        for name, row in report.get("heavy", {}).items():
            print(f"{name:<28} {row}")
    for what in missed(report):
        progress(what)
    return 1 if missed(report) else 0


if __name__ == "__main__":
    sys.exit(main())
