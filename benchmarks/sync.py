"""How fast a node that lags behind replays blocks: `python -m benchmarks.sync --accounts 200000 --transactions 50000 --json`.

The chain is that of `benchmarks.pipeline`, made in the same run: `pipeline` is its rate. A second node that has followed to the block
before the transfers then fetches theirs from the first by block sync: requests and answers go through memory, all else is as in a node
(decoding, commits and transactions verified in worker processes, execution, state tree, one synced LevelDB batch a block). Measured is
from the first answer to the last block on disk, so that nothing is verified ahead of the clock; `ratio` is of the pipeline's rate,
`ratio_of_limit` of bare verifications (2 s before and after). `node_cpu_us` has both nodes in it, for they are in one process; the
first only reads what it hands out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.limits import verification_limit
from benchmarks.pipeline import MODULES, Chain, progress
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node import garbage, pages
from node.__main__ import loop_factory
from node.application import Application
from node.block_sync import BlockSync
from node.outcomes import Committed
from node.sync_follower import SyncFollower
from node.sync_server import SyncServer
from node.verifier import Verifier
from p2p.channels import Channel
from p2p.offences import Offence
from p2p.peers import PeerInfo
from vm.machine import Machine


class Wire:
    """Two followers, connected in memory: `ends` by name."""

    def __init__(self) -> None:
        self.ends: dict[str, SyncFollower] = {}

    def connect(self) -> None:
        """Both tell where they stand."""
        nothing: dict[str, Any] = dict.fromkeys(PeerInfo._fields, 0)
        for name, end in self.ends.items():
            for other in self.ends:
                if other != name:
                    end.on_connected(PeerInfo(**{**nothing, "node_id": other}))


class Port:
    """The wire as one of them sees it."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool:
        """Arrives in the next turn of the loop."""
        end = self._wire.ends[peer_id]
        asyncio.get_running_loop().call_soon(end.on_message, self._name, channel, payload)
        return True

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """To the other one."""
        return sum(self.send(peer, channel, payload) for peer in self.peer_ids())

    def punish(self, peer_id: str, offence: Offence, detail: str = "") -> None:
        """Nobody errs here."""
        raise AssertionError(f"{peer_id} is punished: {offence.name} {detail}")

    def peer_ids(self) -> list[str]:
        """The other one."""
        return [name for name in self._wire.ends if name != self._name]


class Resting:
    """The consensus of a node that never takes part."""

    async def pause(self) -> None:
        """Nothing to stop."""

    async def resume_at(self, height: int) -> None:
        """Nothing to resume."""


class Clocked(BlockSync):
    """Notes when the first answer came: before it nothing of a later block is known."""

    started: tuple[float, float] | None = None
    """Time and CPU time in seconds."""

    def on_answer(self, peer: str, payload: bytes) -> None:
        """An answer."""
        self.started = self.started or (time.perf_counter(), time.process_time())
        super().on_answer(peer, payload)


class Late:
    """A node that begins with the genesis alone, and notes when the block of height `end` became durable."""

    def __init__(self, folder: Path, genesis: Genesis, workers: int, end: int) -> None:
        machine = Machine(list(MODULES))
        folder.parent.mkdir(parents=True)
        self.ledger = Ledger.create(
            folder, genesis, codecs=machine.state_codecs, options=Options(history=100)
        )
        Application.init_chain(machine, self.ledger)
        self.verifier = Verifier(workers)
        self.application = Application(machine, self.ledger, self.verifier)
        self.application.on_commit = self._committed
        self.done = asyncio.Event()
        self.end = end
        self.ended = (0.0, 0.0)
        """Time and CPU time in seconds."""

    def _committed(self, block: Committed) -> None:
        if block.height == self.end:
            self.ended = time.perf_counter(), time.process_time()
            self.done.set()


async def followed(first: Chain, second: Late) -> tuple[float, float]:
    """Let the second node fetch the first's blocks up to its `end`; returns the seconds and CPU seconds from the first answer."""
    wire = Wire()
    server = SyncServer(first.ledger, None, Port(wire, "first"))
    sync = Clocked(second.application, Port(wire, "second"), Resting())
    wire.ends["first"] = SyncFollower(Port(wire, "first"), server=server)
    wire.ends["second"] = SyncFollower(Port(wire, "second"), blocks=sync)
    syncing = asyncio.create_task(sync.run())
    tasks = [syncing, *(asyncio.create_task(end.run()) for end in wire.ends.values())]
    wire.connect()
    done = asyncio.create_task(second.done.wait())
    await asyncio.wait({syncing, done}, return_when="FIRST_COMPLETED")
    if syncing.done():
        syncing.result()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert sync.started is not None
    return second.ended[0] - sync.started[0], second.ended[1] - sync.started[1]


async def measure(accounts: int, transactions: int, folder: Path) -> dict[str, Any]:
    """The whole benchmark; returns the report."""
    workers = os.cpu_count() or 1
    progress(f"creating {accounts} accounts")
    first = Chain(folder / "first" / "chain", accounts, workers, tree="off")
    await first.start()
    senders = min(accounts, transactions)
    progress("registering keys (not measured)")
    await first.run(first.transfers(senders, 0, True, 0))
    await first.rest()
    begin = first.ledger.height
    second = Late(folder / "second" / "chain", first.ledger.genesis, workers, begin)
    await second.verifier.start()
    await followed(first, second)
    first.ledger.store.compact()
    second.ledger.store.compact()
    turns = range(1, 1 - (-transactions // senders))
    raws = [raw for n in turns for raw in first.transfers(senders, n, False, n)][:transactions]
    garbage.settle()
    pages.collapse(5.0)
    progress(f"{transactions} transfers through the pipeline")
    before = verification_limit(workers)
    pipeline = transactions / await first.run(raws)
    end = first.ledger.height
    await first.rest()
    progress(f"{end - begin} blocks by block sync")
    second.done.clear()
    second.end = end
    garbage.settle()
    pages.collapse(5.0)
    verified = second.verifier.verified
    seconds, cpu = await followed(first, second)
    if second.verifier.verified - verified < transactions:
        raise SystemExit("signatures were verified before the clock ran")
    limit = (before + verification_limit(workers)) / 2
    if second.ledger.root_of(end) != first.ledger.root_of(end):
        raise SystemExit("the replayed state has another root")
    await second.verifier.stop()
    second.ledger.close()
    await first.stop()
    replayed = transactions / seconds
    return {
        "accounts": accounts,
        "transactions": transactions,
        "blocks": end - begin,
        "pipeline_per_second": round(pipeline, 1),
        "replayed_per_second": round(replayed, 1),
        "node_cpu_us": round(cpu / transactions * 1e6, 2),
        "verifications_per_second": round(limit, 1),
        "ratio": round(replayed / pipeline, 3),
        "ratio_of_limit": round(replayed / limit, 4),
    }


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=200_000)
    parser.add_argument("--transactions", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.accounts < 2 or arguments.transactions < 1:
        parser.error("at least 2 accounts and 1 transaction")
    with (
        tempfile.TemporaryDirectory(prefix="qenex-sync-") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        report = runner.run(measure(arguments.accounts, arguments.transactions, Path(folder)))
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name:<28} {value:>14,}")


if __name__ == "__main__":
    main()
