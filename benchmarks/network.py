"""A network under load: `python -m benchmarks.network --validators 4 --rate 1000 --seconds 60 --json`.

Real node processes on loopback, all on this machine, and the load generator beside them. Phases, each of which may be
left out: idle (CPU and memory), light load (one transfer at a time, from submission until its sender knows that it
is final), load (pre-signed transfers at a fixed rate, shared among all nodes, in batches of JSON-RPC calls).

`transactions_per_second` is what the chain included in the time from the first submission until the rate ended;
`left` is what was admitted and not included when it ended, `drain_seconds` how long it took until it was.
`failed_rounds` counts rounds after the first of a height, on the node with most. Latencies in ms. CPU in percent of
one core, all processes of a node; the load generator's apart.
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
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.network_nodes import Account, NodeProcess, network, python_node

BATCH: Final = 50
"""Transactions of one HTTP request."""
PROBES: Final = 8
"""Accounts that measure latency under load."""


class Load:
    """Pre-signed transfers for each node, as HTTP requests ready to send."""

    def __init__(self, accounts: Sequence[Account], nodes: int, total: int) -> None:
        self.requests: list[list[bytes]] = [[] for _ in range(nodes)]
        chance = random.Random(1)
        shares = [accounts[number::nodes] for number in range(nodes)]
        for number, senders in enumerate(shares):
            wanted = total // nodes
            raws: list[bytes] = []
            while len(raws) < wanted:
                raws += [sender.transfer(chance.choice(accounts).address) for sender in senders]
            for at in range(0, wanted, BATCH):
                self.requests[number].append(_request(raws[at : at + BATCH]))
        self.accepted = self.refused = 0
        self.reasons: dict[str, int] = {}
        self.late = 0.0
        """Most seconds by which a request was sent too late."""

    async def send(self, number: int, port: int, rate: float, begin: float) -> None:
        """Send one node's share at `rate` transactions a second, on two connections in turn."""
        lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for at, request in enumerate(self.requests[number]):
            due = begin + at * BATCH / rate
            now = time.monotonic()
            if due > now:
                await asyncio.sleep(due - now)
            else:
                self.late = max(self.late, now - due)
            reader, writer = lines[0]
            writer.write(request)
            self._count(await _answer(reader))
        for _, writer in lines:
            writer.close()

    def _count(self, body: bytes) -> None:
        refused = body.count(b'"error"')
        self.accepted += body.count(b'"valid_until"')
        self.refused += refused
        if refused:
            for item in json.loads(body):
                if "error" in item:
                    name = str(item["error"].get("data", {}).get("name"))
                    self.reasons[name] = self.reasons.get(name, 0) + 1


def _request(raws: Sequence[bytes]) -> bytes:
    calls = [
        {"jsonrpc": "2.0", "id": at, "method": "tx_submit", "params": {"transaction": "0x" + raw.hex()}}
        for at, raw in enumerate(raws)
    ]
    body = json.dumps(calls, separators=(",", ":")).encode()
    head = f"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return await reader.readexactly(int(value))
    raise RuntimeError(f"no length: {head!r}")


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
    running = True

    async def probe(number: int) -> None:
        turn = number
        while running:
            await asyncio.sleep(1.0)
            node = nodes[turn % len(nodes)]
            turn += 1
            with suppress(RuntimeError):
                latencies.append(await asyncio.to_thread(final_ms, node, probes[number], probes[0]))

    watching = [asyncio.create_task(probe(number)) for number in range(len(probes) // 4)]
    begin = time.monotonic() + 0.2
    share = rate / len(nodes)
    started = time.monotonic()
    await asyncio.gather(*[load.send(at, node.rpc_port, share, begin) for at, node in enumerate(nodes)])
    await asyncio.sleep(max(0.0, begin + seconds - time.monotonic()))
    took = time.monotonic() - begin
    after = await asyncio.to_thread(first.metrics)
    used = [node.cpu_seconds() - start for node, start in zip(nodes, cpu)]
    elapsed = time.monotonic() - started
    own = time.process_time() - own
    running = False
    await asyncio.gather(*watching)

    def grown(name: str, now: dict[str, float]) -> float:
        return now.get(name, 0.0) - before.get(name, 0.0)

    committed = grown("qenex_transactions_total", after)
    drain = time.monotonic()
    while time.monotonic() - drain < 60:
        waiting = [int(node.call("mempool_status")["count"]) for node in nodes]
        if not max(waiting):
            break
        await asyncio.sleep(0.05)
    last = await asyncio.to_thread(first.metrics)
    return {
        "rate": rate,
        "seconds": round(took, 2),
        "submitted": load.accepted,
        "refused": load.refused,
        "refused_because": load.reasons,
        "transactions_per_second": round(committed / took, 1),
        "left": load.accepted - int(committed),
        "drain_seconds": round(time.monotonic() - drain, 2),
        "committed": int(grown("qenex_transactions_total", last)),
        "blocks": int(grown("qenex_blocks_total", after)),
        "failed_rounds": failed_rounds(nodes) - rounds,
        "latest_request_seconds": round(load.late, 2),
        "final_under_load_ms": spread(latencies),
        "cpu_percent": [round(100 * cpu / elapsed, 1) for cpu in used],
        "generator_cpu_percent": round(100 * own / elapsed, 1),
        "memory_mib": [round(node.memory_mib()) for node in nodes],
        "mean_ms": means(before, last),
    }


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


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All phases."""
    total = int(arguments.rate * arguments.seconds)
    # A sender's transfers lie far enough apart that a few blocks' worth never exceeds the pool's 64.
    accounts = [Account(number) for number in range(max(400, int(arguments.rate * 2)))]
    probes = [Account(10**7 + number) for number in range(PROBES)]
    report: dict[str, Any] = {"validators": arguments.validators}
    settings: dict[str, dict[str, Any]] = {
        "verifier": {"workers": arguments.workers},
        "node": {"log_level": arguments.log_level},
        "database": {"history": 100},
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
        if total:
            load = Load(accounts, len(nodes), total)
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
    parser.add_argument("--idle", type=float, default=15.0, help="seconds of idling; 0 leaves it out")
    parser.add_argument("--light", type=int, default=60, help="transfers one at a time; 0 leaves them out")
    parser.add_argument("--workers", type=int, default=0, help="verifier processes of each node")
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
            print(f"{name:24} {value}")
    missed = report.get("failed_rounds", 0) or (
        report.get("transactions_per_second", arguments.rate) < 0.95 * arguments.rate and arguments.seconds
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
