"""What more accounts cost: `python -m benchmarks.scale --json`, or `--accounts 10000 1000000`.

For each number of accounts, each part in a process of its own, so that peaks of memory are its own:

* populate: a chain whose blocks create the accounts, in the order of their tree paths; real blocks but for the
  transactions that would have made the state, so that `--check` (the whole check of `qenex node check`) finds nothing
* start: open the store and stand on it
* run: signed Ed25519 transfers as in `benchmarks.pipeline`, from senders that have never been read since, to accounts
  drawn from all, so nearly every read is cold; before them others by other senders, reported as `first`, in which LevelDB
  opens and maps its tables and the tree's upper levels come into memory, as they are in a node that has run for some
  seconds; the verification limit is measured right before and right after the measured ones
* snapshot and restore: made from the store, and a new store from it

Bytes are of files, memory is in MiB: `peak` resident at most, files that the database maps included; at the end `anonymous`
(the process's own) and `mapped` (of files, which the system takes back when it needs them).
With `--validators 4 40 150`: what a height costs by their number, see `benchmarks.validators`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from benchmarks.limits import verification_limit
from benchmarks.pipeline import BALANCE, MODULES, Chain, progress
from benchmarks.validators import validators
from ledger.backend import open_backend
from ledger.options import Options
from ledger.restore import Restore
from ledger.snapshot_files import SnapshotFiles
from ledger.snapshots import make_in_steps
from ledger.store import Ledger
from node import garbage, pages
from node.__main__ import loop_factory
from node.application import Application
from node.snapshots import anchor_of
from node.steps import run
from node.verifier import Verifier
from qenex.block import Commit, CommitSignature
from qenex.crypto import encode_address
from qenex.crypto.address import Address
from qenex.proof import tree_path
from qenex.state_keys import EMPTY_ACCOUNT, account_state_key, supply_state_key
from vm.machine import Machine

ACCOUNTS: Final = (10_000, 1_000_000, 10_000_000)
BLOCK: Final = 40_000
"""Accounts that one block of the population creates."""
SENDERS: Final = 30_000
ROUNDS_BEFORE: Final = 3
"""Transfers of each of those who send before the measured ones."""


def address_of_number(number: int) -> Address:
    """An account that nobody has a key of."""
    return Address(blake2b(number.to_bytes(8, "big"), digest_size=32, person=b"benchmark").digest())


def senders_of(accounts: int, transactions: int) -> int:
    """How many accounts send what is measured; as many others go before them. All of them have keys."""
    return min(SENDERS, accounts // 2, transactions)


class Populated(Chain):
    """The pipeline's chain on a store that `populate` made."""

    def __init__(self, folder: Path, accounts: int, keyed: int, workers: int) -> None:
        self.count = accounts
        super().__init__(folder, keyed, workers, tree="on")

    def make_ledger(self, folder: Path, machine: Machine) -> Ledger:
        """Open what is there."""
        start = time.perf_counter(), time.process_time()
        ledger = Ledger.open(folder, codecs=machine.state_codecs, options=Options(history=100))
        Application(machine, ledger, Verifier(0))
        self.start_seconds = time.perf_counter() - start[0]
        self.start_cpu_seconds = time.process_time() - start[1]
        return ledger

    def recipient(self, pick: random.Random) -> Address:
        """Any account."""
        number = pick.randrange(self.count)
        return self.addresses[number] if number < len(self.addresses) else address_of_number(number)

    def signed(self, start: int, senders: int, transactions: int) -> list[bytes]:
        """So many transfers of the accounts from `start` on, in turns."""
        record = self.ledger.view().get(account_state_key(self.addresses[start])) or EMPTY_ACCOUNT
        first = record.sequence  # more than 0: run again
        turns = range(first, first + -(-transactions // senders))
        raws = [raw for n in turns for raw in self.transfers(senders, n, False, start + n, start)]
        return raws[:transactions]


class Population(Chain):
    """A chain that begins with one account."""

    def make_ledger(self, folder: Path, machine: Machine) -> Ledger:
        """A genesis that is small whatever comes."""
        first = [{"address": encode_address(self.validator.address), "denom": "QXC", "amount": str(BALANCE)}]
        ledger = Ledger.create(
            folder, self.genesis(first), codecs=machine.state_codecs, options=Options(history=1)
        )
        Application.init_chain(machine, ledger)
        return ledger

    def block(self, addresses: list[Address], keys: dict[Address, bytes]) -> None:
        """One block that creates these accounts."""
        application = self.application
        proposal = application.prepare_proposal(application.parent_time + 10**9, self.validator.address)
        name, height = proposal.hash, proposal.block.header.height
        executed = application._kept[name]
        changes = executed.result.changes  # what no transaction would be quick enough for
        for address in addresses:
            changes[account_state_key(address)] = EMPTY_ACCOUNT._replace(
                balance=BALANCE, key=keys.get(address, b"")
            )
        supply = supply_state_key("QXC")
        changes[supply] = (self.ledger.committed.get(supply) or 0) + BALANCE * len(addresses)
        replaced = {key: self.ledger.committed.get(key) for key in changes}
        application._kept[name] = executed._replace(result=executed.result._replace(replaced=replaced))
        signature = CommitSignature(self.validator.address, 1, self.guard.sign_precommit(height, 0, name))
        application.commit(proposal.block, Commit(height, 0, name, (signature,)))
        run(application.upkeep_steps(10 * BLOCK))


def buckets(folder: Path, accounts: int, senders: list[Address]) -> Iterator[list[Address]]:
    """All addresses in the order of their paths, a block's share at a time, by way of files."""
    count = -(-accounts // BLOCK)
    places = [folder / f"bucket-{number}" for number in range(count)]
    with ExitStack() as stack:
        files = [stack.enter_context(open(place, "wb", buffering=1 << 16)) for place in places]
        for number in range(accounts):
            address = senders[number] if number < len(senders) else address_of_number(number)
            first = int.from_bytes(tree_path(account_state_key(address))[:4], "big")
            files[first * count >> 32].write(address)
    for place in places:
        data = place.read_bytes()
        place.unlink()
        yield [Address(data[at : at + 32]) for at in range(0, len(data), 32)]


def populate(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    """Make the chain; compacted, as it would be after some days."""
    start = time.perf_counter()
    chain = Population(folder / "chain", 2 * senders_of(accounts, transactions), 0)
    keys = dict(zip(chain.addresses, chain.keys, strict=True))
    for addresses in buckets(folder, accounts, chain.addresses):
        chain.block(addresses, keys)
    chain.ledger.store.compact()
    report = {
        "seconds": round(time.perf_counter() - start, 1),
        "blocks": chain.ledger.height,
        "database_mib": size_of(folder / "chain"),
        **memory(),
    }
    chain.guard.close()
    chain.ledger.close()
    forget_signer(folder)
    return report


def forget_signer(folder: Path) -> None:
    """A benchmark's validator begins anew, so that a part may be run again."""
    shutil.rmtree(folder / "wal", ignore_errors=True)
    (folder / "signer_state.json").unlink(missing_ok=True)


def transfer(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    """Start and run."""
    forget_signer(folder)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_transfer(folder, accounts, transactions))


async def _transfer(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    senders = senders_of(accounts, transactions)
    chain = Populated(folder / "chain", accounts, 2 * senders, cores)
    report: dict[str, Any] = {
        "start_seconds": round(chain.start_seconds, 3),
        "start_cpu_seconds": round(chain.start_cpu_seconds, 3),
        "start_anonymous_mib": memory()["anonymous_mib"],
    }
    await chain.start()
    first = chain.signed(0, senders, ROUNDS_BEFORE * senders)
    raws = chain.signed(senders, senders, transactions)
    garbage.settle()
    pages.collapse(5.0)
    report["first"] = await passed(chain, first)
    height, before = chain.ledger.height, verification_limit(cores)
    figures = await passed(chain, raws)
    limit = (before + verification_limit(cores)) / 2
    report |= {
        **figures,
        "blocks": chain.ledger.height - height,
        "failed": chain.failed,
        "verifications_per_second": round(limit, 1),
        "ratio": round(figures["transactions_per_second"] / limit, 4),
        "database_mib": size_of(folder / "chain"),
        **memory(),
        "tree_process_mib": memory(str(chain.tree_process.pid))["anonymous_mib"] if chain.tree_process else 0,
    }
    await chain.stop()
    return report


async def passed(chain: Chain, raws: list[bytes]) -> dict[str, Any]:
    """What it took to push these through."""
    cpu, tree_cpu = time.process_time(), chain.tree_cpu()
    seconds = await chain.run(raws)
    cpu, tree_cpu = time.process_time() - cpu, chain.tree_cpu() - tree_cpu
    return {
        "transactions": len(raws),
        "transactions_per_second": round(len(raws) / seconds, 1),
        "node_cpu_us": round(cpu / len(raws) * 1e6, 2),
        "tree_cpu_us": round(tree_cpu / len(raws) * 1e6, 2),
    }


def snapshot(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    """Make a snapshot of the height before the last."""
    ledger = Ledger.open(folder / "chain", codecs=Machine(list(MODULES)).state_codecs)
    start = time.perf_counter()
    height = ledger.height - 1
    writer = SnapshotFiles(folder / "snapshots").writer(height)
    with ledger.store.snapshot() as reader:
        manifest = run(make_in_steps(reader, ledger.chain_id, height, writer))
    made = writer.finish(manifest, anchor_of(ledger, height))
    seconds = time.perf_counter() - start
    ledger.close()
    return {
        "seconds": round(seconds, 1),
        "entries": made.info.entries,
        "chunks": made.info.chunks,
        "snapshot_mib": round(made.info.size / 2**20, 1),
        **memory(),
    }


def restore(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    """A new store from the snapshot, opened once."""
    codecs = Machine(list(MODULES)).state_codecs
    old = Ledger.open(folder / "chain", codecs=codecs)
    genesis, expected = old.genesis, old.root_of(old.height - 1)
    files = SnapshotFiles(folder / "snapshots")
    source = files.load(old.height - 1)
    old.close()
    start = time.perf_counter()
    store = open_backend("leveldb", folder / "restored", create=True)
    begun = Restore.begin(store, genesis, source.manifest_bytes, source.anchor)
    for index in begun.missing:
        begun.apply(index, source.chunk(index))
    begun.finish()
    store.close()
    seconds = time.perf_counter() - start
    ledger = Ledger.open(folder / "restored", codecs=codecs, genesis_hash=genesis.hash)
    if ledger.tree_root != expected:
        raise SystemExit("the restored state has another root")
    ledger.close()
    return {"seconds": round(seconds, 1), "database_mib": size_of(folder / "restored"), **memory()}


def check(folder: Path, accounts: int, transactions: int) -> dict[str, Any]:
    """Everything that `qenex node check` reads, in both stores."""
    report: dict[str, Any] = {}
    for name in ("chain", "restored"):
        start = time.perf_counter()
        with Ledger.inspect(folder / name, codecs=Machine(list(MODULES)).state_codecs) as ledger:
            found = ledger.check()
        if not found.ok:
            raise SystemExit(f"{name}: {found.errors[:3]}")
        report[f"{name}_seconds"] = round(time.perf_counter() - start, 1)
    return report


PARTS: Final[dict[str, Callable[[Path, int, int], dict[str, Any]]]] = {
    "populate": populate,
    "run": transfer,
    "snapshot": snapshot,
    "restore": restore,
    "check": check,
}


def size_of(folder: Path) -> float:
    """MiB of all files below."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, 1)


def memory(process: str = "self") -> dict[str, float]:
    """Of a process, in MiB: the greatest resident size, and what it holds now of its own and of files."""
    found: dict[str, float] = {}
    names = {"VmHWM": "peak_mib", "RssAnon": "anonymous_mib", "RssFile": "mapped_mib"}
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            found[names[name]] = int(rest.split()[0]) // 1024
    return found


def measure(folder: Path, accounts: int, transactions: int, parts: list[str]) -> dict[str, Any]:
    """All parts of one size, each in a process of its own."""
    report: dict[str, Any] = {"accounts": accounts}
    for part in parts:
        progress(f"{accounts} accounts: {part}")
        command = [sys.executable, "-m", "benchmarks.scale", "--part", part, "--folder", str(folder)]
        command += ["--accounts", str(accounts), "--transactions", str(transactions)]
        report[part] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return report


COLUMNS: Final = (
    ("populated in, s", "populate", "seconds"),
    ("database, MiB", "populate", "database_mib"),
    ("start, s", "run", "start_seconds"),
    ("transfers/s", "run", "transactions_per_second"),
    ("ratio to the limit", "run", "ratio"),
    ("node CPU, us", "run", "node_cpu_us"),
    ("tree process, us", "run", "tree_cpu_us"),
    ("own memory, MiB", "run", "anonymous_mib"),
    ("tree process, MiB", "run", "tree_process_mib"),
    ("mapped files, MiB", "run", "mapped_mib"),
    ("snapshot, s", "snapshot", "seconds"),
    ("snapshot, MiB", "snapshot", "snapshot_mib"),
    ("restore, s", "restore", "seconds"),
)


def table(reports: list[dict[str, Any]]) -> Iterator[str]:
    """The curves, a row for each number of accounts."""
    yield "| accounts | " + " | ".join(title for title, _, _ in COLUMNS) + " |"
    yield "| --- " * (1 + len(COLUMNS)) + "|"
    for report in reports:
        cells = [f"{report[part][name]:,}" for _, part, name in COLUMNS]
        yield f"| {report['accounts']:,} | " + " | ".join(cells) + " |"


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=list(ACCOUNTS))
    parser.add_argument("--transactions", type=int, default=30_000)
    parser.add_argument("--folder", type=Path, help="where the stores lie; they are kept")
    parser.add_argument(
        "--part", choices=PARTS, help="one part alone, in --folder, for one number of accounts"
    )
    parser.add_argument("--validators", type=int, nargs="+", help="simulated networks instead of accounts")
    parser.add_argument("--check", action="store_true", help="check every record of both stores at the end")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if min(given.accounts) < 2 or given.transactions < 1:
        parser.error("at least 2 accounts and 1 transaction")
    if given.part:
        if given.folder is None or len(given.accounts) != 1:
            parser.error("--part wants --folder and one number of accounts")
        given.folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(PARTS[given.part](given.folder, given.accounts[0], given.transactions)))
        return
    if given.validators:
        rows = []
        for count in given.validators:
            progress(f"{count} validators")
            rows.append(validators(count))
        print(json.dumps(rows, indent=2))
        return
    parts = [name for name in PARTS if name != "check" or given.check]
    reports = []
    for accounts in given.accounts:
        with ExitStack() as stack:
            folder = given.folder and given.folder / str(accounts)
            folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qenex-scale-")))
            reports.append(measure(folder, accounts, given.transactions, parts))
    if given.json:
        print(json.dumps(reports, indent=2))
        return
    for line in table(reports):
        print(line)


if __name__ == "__main__":
    main()
