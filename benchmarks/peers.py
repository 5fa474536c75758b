"""Transfers here and by peers, in one run: `make bench-peers`.

Peers come from PyPI into an environment of their own, `.venv-peers`; one that is not there is skipped and told. Each row says
what its transfer includes, and ours stand beside the peer that does as much: a ratio below 1 is slower than the peer. All are of
one process, in turns, medians; CPU time, which other programs on the machine disturb less than time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks.peer_programs import MISSING
from benchmarks.pipeline import Chain
from benchmarks.test_vm import Bench
from node import garbage
from qenex.crypto import SCHEMES
from qenex.transaction import decode_transaction

PYTHON: Final = Path(".venv-peers/bin/python")
PROGRAMS: Final = Path(__file__).parent / "peer_programs.py"
PASSES: Final = 5


class Peer(NamedTuple):
    """A peer's program, how many transfers a pass has, what one includes, and which of our rows does as much."""

    name: str
    transfers: int
    includes: str
    beside: str


class Own(NamedTuple):
    """One of our rows."""

    name: str
    includes: str


EXECUTED: Final = Own("executed", "sequence, fee, conservation, receipt; no signature, root or disk")
SIGNED: Final = Own("signed", "decoded, Ed25519 signature, executed as above; no root or disk")
WHOLE: Final = Own("whole", "as signed, pool, consensus log, state root, receipts, LevelDB synced a block")
OURS: Final = (EXECUTED, SIGNED, WHOLE)
PEERS: Final = (
    Peer("revm", 20_000, "Rust: executed in memory; no signature, fee, receipt, root or disk", EXECUTED.name),
    Peer(
        "solana", 4_000, "Rust (LiteSVM): decoded, Ed25519 signature, executed; no root or disk", SIGNED.name
    ),
    Peer("py-evm", 300, "Python: decoded, ECDSA signature, executed, one state root; no disk", SIGNED.name),
)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


class Here:
    """Our side: the machine alone, and a whole node with one validator that verifies in its own process."""

    def __init__(self, folder: Path, transfers: int) -> None:
        self.transfers = transfers
        self.bench = Bench(transfers)
        self.folder = folder
        scheme = SCHEMES["ed25519"]
        pairs = [scheme.generate(n.to_bytes(32, "big")) for n in range(transfers)]
        self.signed = [
            (tx.raw, pair[0], tx.body_bytes, scheme.sign(pair[1], tx.body_bytes))
            for tx, pair in zip(self.bench.transfers, pairs, strict=True)
        ]

    def executed(self) -> float:
        """us of CPU for a transfer."""
        block = self.bench.machine.begin(self.bench.base, self.bench.info)

        def run() -> None:
            if not all(block.take(tx) for tx in self.bench.transfers) or block.others:
                raise AssertionError("a plain transfer that should pass does not")
            block.end()

        return _cpu(run) / self.transfers * 1e6

    def all_signed(self) -> float:
        """us of CPU for a transfer."""
        block = self.bench.machine.begin(self.bench.base, self.bench.info)
        verify, tag = SCHEMES["ed25519"].verify, bytes((SCHEMES["ed25519"].tag,))

        def run() -> None:
            for raw, public, body, signature in self.signed:
                tx = decode_transaction(raw)
                if not verify(public, body, signature):
                    raise AssertionError("a signature that should be valid is not")
                tx.verified = (tag + public,)
                if not block.take(tx):
                    raise AssertionError("a transfer that should pass does not")
            block.end()
            if block.others or block.receipts.failed:
                raise AssertionError("a plain transfer that should pass does not")

        return _cpu(run) / self.transfers * 1e6

    async def whole(self, passes: int) -> list[float]:
        """us of CPU for a transfer, a pass each."""
        chain = Chain(self.folder / "chain", self.transfers, 0)
        await chain.start()
        await chain.run(chain.transfers(self.transfers, 0, True, 0))
        found = []
        for turn in range(1, passes + 1):
            raws = chain.transfers(self.transfers, turn, False, turn)
            started = time.process_time()
            await chain.run(raws)
            found.append((time.process_time() - started) / self.transfers * 1e6)
        await chain.stop()
        return found


def ask(peer: Peer) -> float | None:
    """us of CPU for a transfer of a peer; None if it is not installed."""
    if not PYTHON.exists():
        return None
    done = subprocess.run(
        [str(PYTHON), str(PROGRAMS), peer.name, str(peer.transfers)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == MISSING:
        return None
    if done.returncode:
        raise RuntimeError(f"{peer.name}: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout)["cpu_s"]) / peer.transfers * 1e6


def measure(passes: int, transfers: int) -> dict[str, Any]:
    """All rows: us of CPU a transfer, and the ratios."""
    samples: dict[str, list[float]] = defaultdict(list)
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="qenex-peers-") as folder:
        here = Here(Path(folder), transfers)
        garbage.settle()
        for _ in range(passes):
            samples[EXECUTED.name].append(here.executed())
            samples[SIGNED.name].append(here.all_signed())
            for peer in PEERS:
                if peer.name not in missing:
                    cpu = ask(peer)
                    if cpu is None:
                        missing.append(peer.name)
                    else:
                        samples[peer.name].append(cpu)
        samples[WHOLE.name] = asyncio.run(here.whole(passes))
    middle = {name: median(found) for name, found in samples.items()}
    rows = [
        {"who": "QENEX", "name": own.name, "us": round(middle[own.name], 2), "includes": own.includes}
        for own in OURS
    ]
    for peer in PEERS:
        if peer.name in middle:
            ratio, whole = [middle[peer.name] / middle[name] for name in (peer.beside, WHOLE.name)]
            rows.append({
                "who": peer.name, "us": round(middle[peer.name], 2), "includes": peer.includes,
                "beside": peer.beside, "ratio": round(ratio, 3), "ratio_of_whole": round(whole, 3),
            })  # fmt: skip
    return {"transfers": transfers, "rows": rows, "skipped": missing}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--transfers", type=int, default=4_000, help="of a pass of ours")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report = measure(arguments.passes, arguments.transfers)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for row in report["rows"]:
        head = f"{row['who']} {row.get('name', '')}".strip()
        print(f"{head:<16} {row['us']:>9,.2f} us of CPU a transfer   {row['includes']}")
        if "ratio" in row:
            print(
                f"{'':<16} {row['ratio']:>9} of its speed: QENEX {row['beside']}; {row['ratio_of_whole']}: QENEX whole"
            )
    for name in report["skipped"]:
        print(f"{name}: skipped, it is not installed in .venv-peers", file=sys.stderr)


if __name__ == "__main__":
    main()
