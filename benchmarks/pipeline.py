"""The path of a transfer, end to end: `python -m benchmarks.pipeline --accounts 200000 --transactions 50000 --json`.

Signed Ed25519 transfers, each from another account to another, go through what a node with one validator
does to them: strict decoding, signature verification in worker processes, admission to the pool, execution
with sequence and fee checks, receipts, state tree, and one synced LevelDB batch a block. Nothing is left
out but HTTP. Verification of one group overlaps with execution of another, as in a node.

They arrive as at a node that has more to do than it can: the next group comes as soon as fewer than four blocks' worth are
between arrival and a durable block, so that blocks are full and neither core waits for arrivals.

`limits` are measured in the same run: bare libsodium verifications in as many processes as there are
cores (2 s right before the transfers and 2 s right after them, the mean of both: a machine is not always
equally fast), tagged hashes of 64 and 512 bytes, LevelDB puts. `ratio` is transactions per second over the
verification limit of all cores. `stages` are microseconds of CPU per transaction, of up to 20,000 further transfers: timers in
the measured part would take some of what they measure. `node_cpu_us` is the CPU of the whole node process, the threads in which
LevelDB compacts included.

`--messages 100` puts so many transfers into one transaction under one signature (`--multi-send`: into one message of the tokens
module), to `--recipients` accounts; figures are then per transfer, and `verified_per_second` counts the signatures.
`--swap` has constant-product swaps instead of transfers, all in one pool, to and fro; figures are then per swap.
`--scheme ml-dsa-44` signs with another scheme; the limit is then that scheme's. `--block-gas` is the chain's parameter: as many
transfers as it allows are in one block.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.limits import verification_limit
from consensus.signer import SignerGuard
from consensus.wal import FileStorage
from defi_modules.amm import Amm
from defi_modules.amm.types import Hop
from defi_modules.bank import Bank
from defi_modules.tokens import Tokens
from ledger.backend import open_backend
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from ledger.tree_cache import DEFAULT_CACHE_BYTES
from node import admission, garbage, pages
from node.__main__ import loop_factory
from node.application import Application
from node.bft_alone import Alone
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.mempool import Limits, Mempool
from node.outcomes import Committed
from node.tree_process import TreeProcess, is_wanted
from node.verifier import Verifier
from qenex.block import Validator
from qenex.crypto import SCHEMES, address_of, encode_address, key_bytes
from qenex.crypto.address import Address
from qenex.hashing import hasher
from qenex.transaction import Fee, Message, Signer, assemble, encode_body
from vm.fees import MAX_EXPONENT, MachineParams, exponential
from vm.machine import Machine

MODULES: Final = (Bank, Tokens)
CHAIN_ID: Final = "benchmark-1"
GROUP: Final = 250
"""Transactions that arrive together, at most: a verifier's chunk."""
GROUPS: Final = 50
"""Into at least so many groups is divided what may be under way, where transactions are large."""
UNDER_WAY: Final = 4
"""Blocks' worth of transactions from their arrival until their block is durable: one being written, the next made, and so
much pending or under verification that neither core waits for the other. In turns: 2 was 6% slower, 3 2%."""
TIMED: Final = 20_000
"""Transfers after the measured ones whose stages are timed."""
BALANCE: Final = 10**15
PRICE: Final = 300_000
"""Base units of QXC that are offered for a gas where `Chain.offer` was not called: what is asked after about 330 million gas at once."""
REGISTERING_GAS: Final = 10_000
"""Limit of a transaction that registers a key."""


class Kind(NamedTuple):
    """What the transactions of a run are: scheme of the signers, transfers in each, to how many accounts, in what form."""

    scheme: str = "ed25519"
    messages: int = 1
    recipients: int = 0
    multi_send: bool = False
    swap: bool = False

    @property
    def gas(self) -> int:
        """About what one of them takes, by Ed25519; other schemes take more, and wait for their verification instead."""
        if self.swap:
            return SWAP_GAS
        return 700 + (120 if self.multi_send else 330) * self.messages

    @property
    def gas_limit(self) -> int:
        """Enough for one of them."""
        if self.swap:
            return 2 * SWAP_GAS
        return 3_000 if self.messages == 1 else 3_000 + 330 * self.messages


DEFAULT_KIND: Final = Kind()
COINS: Final = ("tokens/" + "a" * 32, "tokens/" + "b" * 32)
"""What is swapped."""
SWAP_GAS: Final = 2_500
LATE: Final = 1 << 40
"""A deadline in seconds since 1970 that never comes."""


def per_second(work: Callable[[], object], count: int) -> float:
    """Best of three: `count` units of `work` per second."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return count / best


def measure_limits(folder: Path) -> dict[str, float]:
    """What this machine can do at most, now. Per second."""
    digest = hasher("qx.benchmark")
    small, large = bytes(64), bytes(512)

    def hashes(data: bytes) -> Callable[[], object]:
        return lambda: [digest(data) for _ in range(50_000)]

    store = open_backend("leveldb", folder, create=True)
    random_bytes = random.Random(1)
    entries = [(random_bytes.randbytes(34), bytes(100)) for _ in range(20_000)]

    def put() -> None:
        batch = store.batch()
        for key, value in entries:
            batch.put(key, value)
        store.write(batch, sync=True)

    puts = per_second(put, len(entries))
    store.close()
    return {
        "hashes_64_per_second": per_second(hashes(small), 50_000),
        "hashes_512_per_second": per_second(hashes(large), 50_000),
        "leveldb_puts_per_second": puts,
    }


class Stages:
    """CPU microseconds by stage, summed where the work is done, in whichever thread that is."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Time every call of `owner.name`."""
        method = getattr(owner, name)

        def timed(*args: Any, **keywords: Any) -> Any:
            start = time.thread_time()
            try:
                return method(*args, **keywords)
            finally:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.thread_time() - start

        setattr(owner, name, timed)

    def wrap_steps(self, owner: Any, name: str, stage: str) -> None:
        """Time every step of the generators that `owner.name` makes."""
        method = getattr(owner, name)

        def timed(*args: Any, **keywords: Any) -> Generator[None, None, Any]:
            steps = method(*args, **keywords)
            while True:
                start = time.thread_time()
                try:
                    next(steps)
                except StopIteration as stop:
                    return stop.value
                finally:
                    self.seconds[stage] = self.seconds.get(stage, 0.0) + time.thread_time() - start
                yield

        setattr(owner, name, timed)

    def report(self, transactions: int) -> dict[str, float]:
        """Microseconds per transaction."""
        return {name: round(seconds / transactions * 1e6, 2) for name, seconds in self.seconds.items()}


class Chain:
    """A chain with one validator on LevelDB, driven block by block."""

    def __init__(
        self,
        folder: Path,
        accounts: int,
        workers: int,
        kind: Kind = DEFAULT_KIND,
        block_gas: int = 5_000_000,
        *,
        tree: str = "auto",
    ) -> None:
        self.kind = kind
        self.secrets: list[bytes] = []
        self.keys: list[bytes] = []
        self.addresses: list[Address] = []
        self.scheme = SCHEMES[kind.scheme]
        for number in range(accounts):
            public, secret = self.scheme.generate(number.to_bytes(self.scheme.seed_size, "big"))
            self.secrets.append(secret)
            self.keys.append(key_bytes(self.scheme.tag, public))
            self.addresses.append(address_of(self.scheme.tag, public))
        scheme = SCHEMES["composite-mldsa44-ed25519"]
        public, validator_secret = scheme.generate(bytes(scheme.seed_size))
        self.price = PRICE
        """Base units of QXC that are offered for a gas."""
        self.validator = Validator(address_of(scheme.tag, public), key_bytes(scheme.tag, public), 1)
        self.block_gas = block_gas
        machine = Machine([*MODULES, *([Amm] if kind.swap else [])])
        self.ledger = self.make_ledger(folder, machine)
        self.verifier = Verifier(workers)
        pool = Mempool(Limits(max_count=200_000, max_bytes=1 << 30))
        self.application = Application(machine, self.ledger, self.verifier, mempool=pool)
        self.tree_process = TreeProcess(DEFAULT_CACHE_BYTES) if workers and is_wanted(tree) else None
        self.application.tree_process = self.tree_process
        self.application.on_commit = self.committed
        self.guard = SignerGuard.create(
            folder.with_name("signer_state.json"),
            chain_id=CHAIN_ID,
            scheme_tag=scheme.tag,
            public_key=public,
            sign=lambda data: scheme.sign(validator_secret, data),
        )
        self.engine = Engine(
            self.application,
            Alone(),
            EventLog(FileStorage(folder.with_name("wal"))),
            signer=self.guard,
            identity=self.validator,
        )
        self.application.admission.on_admitted = self.engine.wake
        self.engine_task: asyncio.Task[None]
        self.all_landed = asyncio.Event()
        self.block_landed = asyncio.Event()
        self.landed = self.failed = self.expected = 0

    def make_ledger(self, folder: Path, machine: Machine) -> Ledger:
        """A new chain whose genesis gives every account its coins."""
        balances = [
            {"address": encode_address(address), "denom": denom, "amount": str(BALANCE)}
            for address in self.addresses
            for denom in ("QXC", *(COINS if self.kind.swap else ()))
        ]
        ledger = Ledger.create(
            folder, self.genesis(balances), codecs=machine.state_codecs, options=Options(history=100)
        )
        Application.init_chain(machine, ledger)
        return ledger

    def genesis(self, balances: list[dict[str, str]]) -> Genesis:
        """A genesis with this validator and these entries of the bank's."""
        return Genesis(
            schema_version=1,
            chain_id=CHAIN_ID,
            time=time.time_ns(),
            initial_height=1,
            protocol_version=1,
            parameters={"machine": {"max_block_gas": self.block_gas}},
            validators=(self.validator,),
            modules={"bank": {"balances": balances}},
        )

    def recipient(self, pick: random.Random) -> Address:
        """Any of the accounts that are to receive."""
        return self.addresses[pick.randrange(self.kind.recipients or len(self.addresses))]

    def offer(self, gas: int) -> None:
        """Sign from now on for the highest price that the chain may ask before so much gas is used, by the rule of its fees."""
        now, rule = self.application.machine.price(self.ledger.committed), MachineParams()
        most = MAX_EXPONENT * rule.price_update_fraction
        highest = exponential(rule.min_price, most, rule.price_update_fraction)
        self.price = min(highest, exponential(now, min(gas, most), rule.price_update_fraction) + 1)

    def fee(self, gas_limit: int) -> Fee:
        """What is offered, without a tip."""
        return Fee(gas_limit * self.price, gas_limit, 0)

    async def start(self) -> None:
        """Start workers and engine."""
        await self.verifier.start()
        if self.tree_process is not None:
            self.tree_process.start()
        self.engine_task = asyncio.create_task(self.engine.run())
        self.engine_task.add_done_callback(lambda _: self.block_landed.set())  # none will land any more

    def transfers(self, count: int, sequence: int, first: bool, seed: int, start: int = 0) -> list[bytes]:
        """`count` signed transactions of accounts from `start` on, with transfers to random others, all with this sequence."""
        fee = self.fee(REGISTERING_GAS if first else self.kind.gas_limit)
        pick, kind, sign = random.Random(seed), self.kind, self.scheme.sign
        raws = []
        for number in range(start, start + count):
            key = self.keys[number] if first else None
            signer = Signer(self.addresses[number], sequence, key, None)
            to = [self.recipient(pick) for _ in range(1 if first else kind.messages)]
            payments = tuple([(address, ("QXC", 1 + number)) for address in to])
            if kind.swap and not first:
                messages = [self.swap(1 + number, back=bool(number & 1))]
            elif kind.multi_send and not first:
                messages = [Message("tokens.multi_send", (payments,), 0)]
            else:
                messages = [Message("bank.send", payment, 0) for payment in payments]
            body = encode_body(CHAIN_ID, [signer], messages, fee, 9_000)
            raws.append(assemble(body, [sign(self.secrets[number], body)]))
        return raws

    def swap(self, amount: int, *, back: bool) -> Message:
        """A swap of the first coin for the second, or back."""
        came, went = COINS[::-1] if back else COINS
        return Message("amm.swap_exact_in", ((came, amount), (Hop(1, went),), 1, LATE), 0)

    def pool(self) -> bytes:
        """A transaction by the first account, after its key's, that makes the pool of all swaps."""
        deposits = tuple([(denom, BALANCE // 2) for denom in COINS])
        orders = (("amm.create_pool", (*COINS, 30)), ("amm.add_liquidity", (1, deposits, 1, LATE)))
        signer = Signer(self.addresses[0], 1, None, None)
        messages = [Message(name, arguments, 0) for name, arguments in orders]
        body = encode_body(CHAIN_ID, [signer], messages, self.fee(50_000), 9_000)
        return assemble(body, [self.scheme.sign(self.secrets[0], body)])

    async def run(self, raws: Sequence[bytes]) -> float:
        """Push all through while the node's own engine makes blocks; returns seconds until the last is durable."""
        most = max(1, UNDER_WAY * self.block_gas // self.kind.gas)
        group = max(1, min(GROUP, most // GROUPS))
        before = self.landed
        self.expected = before + len(raws)
        self.all_landed.clear()
        start = time.perf_counter()
        async with asyncio.TaskGroup() as arriving:
            for at in range(0, len(raws), group):
                while before + at - self.landed >= most and not self.engine_task.done():
                    self.block_landed.clear()
                    await self.block_landed.wait()
                arriving.create_task(self.admit(raws[at : at + group]))
                await asyncio.sleep(0)  # one after the other, as from a socket
        await asyncio.wait(
            {self.engine_task, asyncio.create_task(self.all_landed.wait())}, return_when="FIRST_COMPLETED"
        )
        if self.engine_task.done():
            self.engine_task.result()
        return time.perf_counter() - start

    def committed(self, block: Committed) -> None:
        """Observer of the application: a block is durable."""
        self.landed += len(block.result.receipts)
        self.failed += block.result.receipts.failed
        self.block_landed.set()
        if self.landed >= self.expected:
            self.all_landed.set()

    def tree_cpu(self) -> float:
        """Processor seconds of the process that computes trees, in steps of 10 ms."""
        if self.tree_process is None:
            return 0.0
        fields = Path(f"/proc/{self.tree_process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> None:
        """End engine, workers and store."""
        self.engine.stop()
        await self.engine_task
        await self.verifier.stop()
        if self.tree_process is not None:
            await self.tree_process.stop()
        self.guard.close()
        self.ledger.close()

    async def rest(self) -> None:
        """Wait until the engine has nothing more to do: the empty block that follows others with transactions is made, too."""
        height = -1
        while height != self.ledger.height and not self.engine_task.done():
            height = self.ledger.height
            await asyncio.sleep(1.5)

    async def admit(self, raws: Sequence[bytes]) -> None:
        """Admit one group, as a batch of calls that came by RPC; all must pass."""
        for answer in await self.application.admission.submit_in_order(raws):
            if isinstance(answer, Exception):
                raise answer


def instrument(chain: Chain) -> Stages:
    """Time the stages where they run. A stage in steps is timed from step to step, without what runs in between."""
    stages = Stages()
    application, ledger = chain.application, chain.ledger
    stages.wrap(admission, "_decoded", "decode_and_keys")
    stages.wrap(application.admission, "_screen_decoded", "decode_and_keys")
    stages.wrap(application.admission, "_admit", "admission")
    stages.wrap_steps(application, "fill_steps", "execution")
    if chain.tree_process is None:
        stages.wrap_steps(ledger, "prepare_in_steps", "values_and_root")
    else:
        stages.wrap_steps(ledger, "draft_in_steps", "values")
        stages.wrap(chain.tree_process._child, "_on_frame", "tree_received")
    stages.wrap(ledger, "stage", "batch")
    stages.wrap(ledger, "advance", "memory")
    stages.wrap(ledger, "write", "write_in_thread")
    stages.wrap(application.admission, "block_committed", "pool_update")
    return stages


async def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole benchmark; returns the report."""
    limits = measure_limits(folder / "limits")
    workers = arguments.workers or (os.cpu_count() or 1)
    progress(f"creating {arguments.accounts} accounts")
    kind = Kind(
        arguments.scheme, arguments.messages, arguments.recipients, arguments.multi_send, arguments.swap
    )
    chain = Chain(
        folder / "chain",
        arguments.accounts,
        workers,
        kind,
        arguments.block_gas,
        tree=arguments.tree,
    )
    await chain.start()
    start = int(kind.swap)  # the first account makes the pool, so its sequence is another
    senders = min(arguments.accounts - start, arguments.transactions)
    rounds = -(-arguments.transactions // senders)
    progress("registering keys (not measured)")
    chain.offer((start + senders) * REGISTERING_GAS)
    await chain.run(chain.transfers(start + senders, 0, True, 0))
    if kind.swap:
        await chain.run([chain.pool()])
    chain.offer((arguments.transactions + TIMED) * kind.gas_limit)
    chain.ledger.store.compact()  # what creating the accounts left to do is not this run's work
    progress("signing")
    raws = [raw for n in range(rounds) for raw in chain.transfers(senders, n + 1, False, n + 1, start)]
    raws = raws[: arguments.transactions]
    garbage.settle()
    pages.collapse(5.0)  # as a node does bit by bit while it is idle
    transfers = len(raws) * kind.messages
    progress(f"running {transfers} transfers")
    height, failed = chain.ledger.height, chain.failed
    cores = os.cpu_count() or 1
    before = verification_limit(cores, kind.scheme)
    cpu, tree_cpu = time.process_time(), chain.tree_cpu()
    seconds = await chain.run(raws)
    cpu, tree_cpu = time.process_time() - cpu, chain.tree_cpu() - tree_cpu
    limits["verifications_per_second"] = (before + verification_limit(cores, kind.scheme)) / 2
    blocks, failures = chain.ledger.height - height, chain.failed - failed
    stages, timed = Stages(), 0
    if not arguments.plain:  # a part of its own: the timers take some of the time that they tell
        timed = min(-(-TIMED // kind.messages), len(raws) - (rounds - 1) * senders)
        more = chain.transfers(timed, rounds + 1, False, rounds + 1, start)
        progress(f"timing the stages of {timed * kind.messages} more")
        stages = instrument(chain)
        await chain.run(more)
    report = {
        "accounts": arguments.accounts,
        **kind._asdict(),
        "block_gas": arguments.block_gas,
        "bytes": len(raws[0]),
        "transactions": len(raws),
        "blocks": blocks,
        "failed": failures,
        "seconds": round(seconds, 3),
        "transactions_per_second": round(len(raws) / seconds, 1),
        "transfers_per_second": round(transfers / seconds, 1),
        "stages": stages.report(timed * kind.messages) if timed else {},
        "node_cpu_us": round(cpu / transfers * 1e6, 2),
        "tree_cpu_us": round(tree_cpu / transfers * 1e6, 2),
        "limits": {name: round(value, 1) for name, value in limits.items()},
        "ratio": round(len(raws) / seconds / limits["verifications_per_second"], 4),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "workers": workers,
        "tree_apart": chain.tree_process is not None,
        "state_root": "0x" + chain.ledger.tree_root.hex(),
    }
    await chain.stop()
    return report


def progress(text: str) -> None:
    """To standard error: the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--accounts", type=int, default=200_000)
    parser.add_argument("--transactions", type=int, default=50_000)
    parser.add_argument("--scheme", choices=tuple(SCHEMES), default="ed25519", help="the signers'")
    parser.add_argument("--messages", type=int, default=1, help="transfers in one transaction")
    parser.add_argument("--recipients", type=int, default=0, help="accounts that are paid; 0: all")
    parser.add_argument("--multi-send", action="store_true", help="transfers in one message of tokens")
    parser.add_argument("--swap", action="store_true", help="swaps in one constant-product pool")
    parser.add_argument("--block-gas", type=int, default=5_000_000, help="gas of a block")
    parser.add_argument("--workers", type=int, default=0, help="verifier processes; 0: one for each core")
    parser.add_argument(
        "--tree",
        choices=("auto", "on", "off"),
        default="auto",
        help="a process for state trees, as the setting",
    )
    parser.add_argument("--plain", action="store_true", help="without the part that times the stages")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.accounts < 2 or arguments.transactions < 1 or arguments.messages < 1:
        parser.error("at least 2 accounts, 1 transaction and 1 message")
    if arguments.swap and (arguments.messages > 1 or arguments.multi_send or arguments.accounts < 3):
        parser.error("a swap is the only message of its transaction, and needs 3 accounts")
    with (
        tempfile.TemporaryDirectory(prefix="qenex-pipeline-") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        report = runner.run(measure(arguments, Path(folder)))
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                print(f"{name}.{inner:<28} {number:>14,}")
        else:
            print(f"{name:<35} {value!s:>14}")


if __name__ == "__main__":
    main()
