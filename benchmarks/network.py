"""A network under load: `python -m benchmarks.network --validators 4 --rate 1000 --seconds 60 --json`.

Real node processes on loopback, all on this machine, and the load generator beside them. Phases, each of which may be
left out: idle (CPU and memory), light load (one transfer at a time, from submission until its sender knows that it
is final), load (pre-signed transfers at a fixed rate, shared among all nodes, in batches of JSON-RPC calls; with
`--curve` at several rates one after the other).

`transactions_per_second` is what the chain included in the time from the first submission until the rate ended;
`left` is what was admitted and not included when it ended, `drain_seconds` how long it took until it was,
`recovery_seconds` how long until a transfer was final as under a light load again. `failed_rounds` counts rounds after
the first of a height, on the node with most. Latencies in ms: `final_under_load_ms` of probes, callers with one transfer
at a time beside the load; `submitted_wait` among the means, of the load itself, the transaction of each block that
waited longest. CPU in percent of one core, all processes of a node, and in us of each node for a transfer included; the
load generator's apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.network_load import Load
from benchmarks.network_nodes import Account, NodeProcess, network, python_node

PROBES: Final = 16
"""Accounts that measure latency."""
WATCHERS: Final = 8
"""Of these, how many do so under load, each `PROBE_SECONDS` after its last answer."""
PROBE_SECONDS: Final = 0.25
SETTLED_MS: Final = 300.0
"""A network has recovered when a transfer is admitted at once and final within this time."""


def final_ms(node: NodeProcess, account: Account, to: Account) -> float:
    """How long it takes until a transfer is known to be final."""
    raw = account.transfer(to.address)
    started = time.perf_counter()
    node.call("tx_submitAndWait", transaction="0x" + raw.hex(), timeout_ms=30_000)
    return (time.perf_counter() - started) * 1e3


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": 0.0, "p99": 0.0}
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
    }


def failed_rounds(nodes: Sequence[NodeProcess]) -> int:
    """Rounds after the first of a height, on the node with most."""
    return int(max([node.metrics().get("qenex_consensus_failed_rounds_total", 0.0) for node in nodes]))


def idle(nodes: Sequence[NodeProcess], seconds: float) -> dict[str, Any]:
    """CPU and memory of nodes that have nothing to do."""
    before = [node.cpu_seconds() for node in nodes]
    time.sleep(seconds)
    used = [node.cpu_seconds() - start for node, start in zip(nodes, before)]
    return {
        "idle_cpu_percent": [round(100 * cpu / seconds, 2) for cpu in used],
        "idle_memory_mib": [round(node.memory_mib()) for node in nodes],
    }


async def under_load(
    nodes: Sequence[NodeProcess], load: Load, rate: float, seconds: float, probes: Sequence[Account]
) -> dict[str, Any]:
    """Send the load; latencies are measured beside it."""
    cpu = [node.cpu_seconds() for node in nodes]
    own = time.process_time()
    first = nodes[0]
    before, rounds = first.metrics(), failed_rounds(nodes)
    latencies: list[float] = []
    shut_out = 0
    running = True

    async def probe(number: int) -> None:
        nonlocal shut_out
        await asyncio.sleep(PROBE_SECONDS * number / WATCHERS)
        while running:
            try:
                latencies.append(
                    await asyncio.to_thread(final_ms, nodes[number % len(nodes)], probes[number], probes[0])
                )
            except RuntimeError:
                shut_out += 1
            await asyncio.sleep(PROBE_SECONDS)

    watching = [asyncio.create_task(probe(number)) for number in range(WATCHERS)]
    begin = time.monotonic() + 0.2
    started = time.monotonic()
    await asyncio.gather(*[load.send(at, node.rpc_port, begin) for at, node in enumerate(nodes)])
    took = time.monotonic() - begin
    if took < seconds:
        await asyncio.sleep(seconds - took)
        took = seconds
    after = await asyncio.to_thread(first.metrics)
    used = [node.cpu_seconds() - start for node, start in zip(nodes, cpu)]
    elapsed = time.monotonic() - started
    own = time.process_time() - own
    running = False
    ended = time.monotonic()
    recovered = await asyncio.to_thread(recovery, nodes, probes[-1], probes[0])
    await asyncio.gather(*watching)
    load.end()

    def grown(name: str, now: dict[str, float]) -> float:
        return now.get(name, 0.0) - before.get(name, 0.0)

    committed = grown("qenex_transactions_total", after)
    while time.monotonic() - ended < 60:
        waiting = [int(node.call("mempool_status")["count"]) for node in nodes]
        if not max(waiting):
            break
        await asyncio.sleep(0.05)
    drained = time.monotonic() - ended
    last = await asyncio.to_thread(first.metrics)
    all_cpu = [node.cpu_seconds() - start for node, start in zip(nodes, cpu)]
    total = grown("qenex_transactions_total", last)
    return {
        "rate": rate,
        "seconds": round(took, 2),
        "submitted": load.accepted,
        "refused": load.refused,
        "refused_because": load.reasons,
        "offered_per_second": round((load.accepted + load.refused) / took, 1),
        "transactions_per_second": round(committed / took, 1),
        "left": load.accepted - int(committed),
        "drain_seconds": round(drained, 2),
        "recovery_seconds": None if recovered is None else round(recovered, 2),
        "committed": int(total),
        "blocks": int(grown("qenex_blocks_total", after)),
        "failed_rounds": failed_rounds(nodes) - rounds,
        "latest_request_seconds": round(load.late, 2),
        "final_under_load_ms": spread(latencies),
        "probes": len(latencies),
        "probes_refused": shut_out,
        "cpu_percent": [round(100 * cpu / elapsed, 1) for cpu in used],
        "generator_cpu_percent": round(100 * own / elapsed, 1),
        "cpu_us_a_transfer": [round(1e6 * cpu / max(total, 1.0)) for cpu in all_cpu],
        "verified_a_transfer": round(grown("qenex_verifier_verified_total", last) / max(total, 1.0), 3),
        "generator_cpu_us_a_transfer": round(1e6 * own / max(load.accepted + load.refused, 1)),
        "memory_mib": [round(node.memory_mib()) for node in nodes],
        "mean_ms": means(before, last),
    }


def recovery(nodes: Sequence[NodeProcess], account: Account, to: Account) -> float | None:
    """Seconds from now until a transfer is admitted and final as under a light load; None: not within 30 s."""
    started = time.monotonic()
    while True:
        began = time.monotonic() - started
        if began > 30.0:
            return None
        try:
            if final_ms(nodes[0], account, to) <= SETTLED_MS:
                return began
        except RuntimeError:
            account.sequence -= 1  # refused
            time.sleep(0.02)


def means(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Mean duration of each stage of a block and of each step of a round, and of the loop's lateness, on one node."""
    found = {}
    for name, total in after.items():
        if name.endswith("_sum") or "_seconds_sum{" in name:
            count = name.replace("_sum", "_count")
            times = after.get(count, 0.0) - before.get(count, 0.0)
            if times:
                label = name.replace("qenex_", "").replace("_seconds_sum", "")
                found[label] = round(1e3 * (total - before.get(name, 0.0)) / times, 2)
    return found


def curve(
    nodes: Sequence[NodeProcess], accounts: Sequence[Account], probes: Sequence[Account], rates: Sequence[float],
    seconds: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Latency and what was refused, for one rate after the other."""
    rows = []
    for rate in rates:
        load = Load(accounts, len(nodes), rate, seconds)
        found = asyncio.run(under_load(nodes, load, rate, seconds, probes))
        rows.append(found)
        print(row_of(found), file=sys.stderr, flush=True)
    return rows


def row_of(found: dict[str, Any]) -> str:
    """One rate of a curve as a row of a table."""
    final = found["final_under_load_ms"]
    cells = (
        f"{found['offered_per_second']:,.0f}",
        f"{found['transactions_per_second']:,.0f}",
        f"{100 * found['refused'] / max(1, found['refused'] + found['submitted']):.0f}%",
        f"{final['p50']:,.0f} / {final['p99']:,.0f}",
        f"{found['mean_ms'].get('submitted_wait', 0.0):,.0f}",
        f"{statistics.mean(found['cpu_percent']):.0f}%",
        f"{found['generator_cpu_percent']:.0f}%",
        f"{statistics.mean(found['cpu_us_a_transfer']):.0f}",
        str(found["failed_rounds"]),
        str(found["recovery_seconds"]),
    )
    return "| " + " | ".join(cells) + " |"


HEAD: Final = (
    "| offered/s | committed/s | refused | final, p50 / p99 ms | longest of a block, ms | CPU a node | generator "
    "| node CPU, us a transfer | failed rounds | recovery, s |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All phases."""
    rates = [float(rate) for rate in arguments.curve.split(",")] if arguments.curve else []
    # A sender's transfers lie far enough apart that a few blocks' worth never exceeds the pool's 64.
    accounts = [Account(number) for number in range(max(400, int(max([arguments.rate, *rates]) * 2)))]
    probes = [Account(10**7 + number) for number in range(PROBES)]
    report: dict[str, Any] = {"validators": arguments.validators}
    settings: dict[str, dict[str, Any]] = {
        "verifier": {"workers": arguments.workers},
        "node": {"log_level": arguments.log_level},
        "database": {"history": 100, "tree_process": "off"},  # the nodes share the cores already
        "engine": {"min_interval_ms": arguments.min_interval},
    }
    command = [*python_node()] if arguments.command is None else arguments.command.split()
    with (
        tempfile.TemporaryDirectory(prefix="qenex-network-") as folder,
        network(Path(folder), arguments.validators, [*accounts, *probes], settings, command) as nodes,
    ):
        if arguments.idle:
            time.sleep(3.0)
            report |= idle(nodes, arguments.idle)
        if arguments.light:
            for node in nodes:
                final_ms(node, probes[0], probes[1])
            latencies = []
            for number in range(arguments.light):
                latencies.append(final_ms(nodes[number % len(nodes)], probes[number % PROBES], probes[0]))
                time.sleep(0.05 + 0.1 * random.random())
            report["final_ms"] = spread(latencies)
            report["light_failed_rounds"] = failed_rounds(nodes)
        if rates:
            report["curve"] = curve(nodes, accounts, probes, rates, arguments.curve_seconds)
        elif arguments.rate and arguments.seconds:
            load = Load(accounts, len(nodes), arguments.rate, arguments.seconds)
            report |= asyncio.run(under_load(nodes, load, arguments.rate, arguments.seconds, probes))
        heights = [node.call("node_status") for node in nodes]
        report["heights"] = [status["height"] for status in heights]
        if arguments.keep_logs:
            for node in nodes:
                text = (node.home / "node.log").read_text(errors="replace")
                (Path(arguments.keep_logs) / f"{node.home.name}.log").write_text(text)
    return report


def main() -> int:
    """Print the report; exit code 1 if the mark was missed: a failed round, or less than 95% of the rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument(
        "--rate", type=float, default=1_000.0, help="transfers a second for all nodes together"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of load; 0 leaves it out")
    parser.add_argument("--curve", help="instead of --rate: rates one after the other, such as 250,1000,4000")
    parser.add_argument("--curve-seconds", type=float, default=6.0, help="of each of these rates")
    parser.add_argument("--idle", type=float, default=15.0, help="seconds of idling; 0 leaves it out")
    parser.add_argument("--light", type=int, default=60, help="transfers one at a time; 0 leaves them out")
    parser.add_argument("--workers", type=int, default=0, help="verifier processes of each node")
    parser.add_argument("--min-interval", type=int, default=20, help="least ms between two blocks")
    parser.add_argument("--command", help="instead of `python -m node`")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--keep-logs", help="folder for the nodes' logs")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    report = measure(arguments)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            if name != "curve":
                print(f"{name:24} {value}")
        if "curve" in report:
            print(HEAD)
            print("\n".join([row_of(found) for found in report["curve"]]))
    missed = report.get("failed_rounds", 0) or (
        report.get("transactions_per_second", arguments.rate) < 0.95 * arguments.rate and arguments.seconds
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
