"""A validator that dies at every durable write there is, and goes on: one chain, no second signature for a step.

Durable writes of a node are the signer's state (written, renamed), the syncs of the write-ahead log, and the ledger's
batches, pruning among them. One run without a crash counts them; then each is the place of a death: before it, after
it, for the signer's state between the temporary file and its rename, and for the log with part of what was not yet
synced on disk. What survives is opened anew and goes on.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consensus import signer
from consensus.signer import Lock, SignerGuard
from consensus.wal import MemoryStorage
from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.bft_alone import Alone
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.bft_options import EngineOptions, Timeouts
from node.bft_pace import Intervals
from node.verifier import Verifier
from qenex.errors import DataFolderMissing, QenexError
from qenex.transaction import decode_transaction
from tests.conftest import LONG
from tests.ledger.faults import Crash, FaultyBackend, Moment
from tests.scenario import (
    CHAIN,
    VALIDATOR,
    Person,
    decide,
    make_application,
    make_genesis,
    make_machine,
    make_people,
    transaction,
)

HEIGHT = 6
OPTIONS = Options(history=10, retain_blocks=0)
PRUNING = Options(history=3, retain_blocks=2)


@dataclass
class Disk:
    """What outlives a crash: the store's entries and the signer's folder."""

    folder: Path
    store: MemoryBackend | None = None
    log: dict[str, bytes] = field(default_factory=dict)
    released: dict[tuple[int, int, int], set[bytes]] = field(default_factory=dict)
    """Sign bytes of every signature that ever left the guard, by height, round, step."""
    hashes: dict[int, bytes] = field(default_factory=dict)
    """Block hash by height, of every block that observers were told of."""


class FaultyDisk:
    """Replaces the signer's `write_durably`; counts, and dies where it is told."""

    def __init__(self, at: int, moment: str) -> None:
        self.at = at
        self.moment = moment
        self.writes = 0
        self.real = signer.write_durably

    def __call__(self, path: Path, data: bytes) -> None:
        self.writes += 1
        due = self.writes == self.at
        if due and self.moment == "before":
            raise Crash
        if due and self.moment == "torn":
            path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2])
            raise Crash
        if due and self.moment == "unnamed":
            path.with_name(path.name + ".new").write_bytes(data)
            raise Crash
        if due and self.moment == "full":
            path.with_name(path.name + ".new").write_bytes(data[:10])
            raise OSError(28, "No space left on device")
        self.real(path, data)
        if due:
            raise Crash


class FaultyLog(MemoryStorage):
    """The log's files: what is synced survives, and of the rest as much as the moment says."""

    def __init__(self, files: dict[str, bytes], at: int, moment: str) -> None:
        super().__init__()
        self.files = dict(files)
        self.durable = dict(files)
        self.at = at
        self.moment = moment
        self.syncs = 0

    def sync(self, name: str) -> None:
        self.syncs += 1
        due = self.syncs == self.at
        if due and self.moment == "full":
            raise OSError(28, "No space left on device")
        if due and self.moment == "torn":
            whole, synced = self.files.get(name, b""), self.durable.get(name, b"")
            self.durable[name] = whole[: (len(whole) + len(synced)) // 2]
        if due and self.moment != "after":
            raise Crash
        self.durable[name] = self.files.get(name, b"")
        if due:
            raise Crash

    def truncate(self, name: str, size: int) -> None:
        super().truncate(name, size)
        self.durable[name] = self.files[name]

    def remove(self, name: str) -> None:
        super().remove(name)
        self.durable.pop(name, None)


class WatchedGuard(SignerGuard):
    """Notes every signature that leaves."""

    disk: Disk

    def _sign_once(self, height: int, round: int, step: int, message: bytes, lock: Lock) -> bytes:
        signature = super()._sign_once(height, round, step, message, lock)
        self.disk.released.setdefault((height, round, step), set()).add(message)
        return signature


def open_guard(disk: Disk, signed_height: int) -> WatchedGuard:
    path = disk.folder / "signer.json"
    common: dict[str, Any] = {
        "chain_id": CHAIN,
        "scheme_tag": VALIDATOR.scheme.tag,
        "public_key": VALIDATOR.public_key,
        "sign": VALIDATOR.sign,
    }
    if path.exists():
        guard = WatchedGuard.open(path, signed_height=signed_height, **common)
    else:
        guard = WatchedGuard.create(path, **common)
    assert isinstance(guard, WatchedGuard)
    guard.disk = disk
    return guard


def open_application(disk: Disk, store: FaultyBackend, genesis: Genesis, options: Options) -> Application:
    machine = make_machine()
    codecs = machine.state_codecs
    try:
        ledger = Ledger.open_in(store, codecs=codecs, genesis_hash=genesis.hash, options=options)
    except DataFolderMissing:  # as node.open_ledger does: the genesis was never written
        ledger = Ledger.create_in(store, genesis, codecs=codecs, options=options)
        Application.init_chain(machine, ledger)
    return Application(machine, ledger, Verifier(0))


async def live(
    disk: Disk,
    store: FaultyBackend,
    storage: FaultyLog,
    genesis: Genesis,
    raws: list[bytes],
    options: Options,
) -> None:
    """Run until HEIGHT, transactions being sent again after each block, as wallets do. Raises what ends it."""
    application = open_application(disk, store, genesis, options)
    ledger = application.ledger
    guard = open_guard(disk, ledger.height)
    engine = Engine(
        application,
        Alone(),
        EventLog(storage),
        signer=guard,
        identity=VALIDATOR,
        options=EngineOptions(Intervals(0.0, 0.0, 0.0), Timeouts(0.25, 0.25, 0.25, 0.05)),
        clock=lambda: application.parent_time + 10**9,
    )

    def send() -> None:
        sent = 0
        for raw in raws:
            if ledger.blocks.locate(decode_transaction(raw).tx_id) is None and sent < 3:
                try:
                    application.check_tx(raw)
                    sent += 1
                except QenexError:  # included (and pruned) already, or one before it is missing
                    continue
        engine.wake()

    def committed(told: Any) -> None:
        assert disk.hashes.setdefault(told.height, told.hash) == told.hash, "a told block was replaced"
        if told.height >= HEIGHT:
            engine.stop()
        else:
            send()

    application.on_commit = committed
    try:
        send()
        await engine.run()
    finally:
        guard.close()


def run(
    disk: Disk,
    genesis: Genesis,
    raws: list[bytes],
    options: Options,
    where: str = "",
    at: int = 0,
    moment: str = "before",
) -> tuple[bool, FaultyBackend, FaultyDisk, FaultyLog]:
    """One life; whether it died, and what counted. It dies at write number `at` of ledger, signer or log."""
    kind: Moment = moment if moment in ("before", "after", "full") else "before"  # type: ignore[assignment]  # checked
    store = FaultyBackend(disk.store, at=at if where == "ledger" else 0, moment=kind)
    faulty = FaultyDisk(at if where == "signer" else 0, moment)
    storage = FaultyLog(disk.log, at if where == "log" else 0, moment)
    patch = pytest.MonkeyPatch()
    patch.setattr(signer, "write_durably", faulty)
    died = False
    try:
        asyncio.run(live(disk, store, storage, genesis, raws, options))
    except (Crash, StorageFault, OSError):
        died = True
    finally:
        patch.undo()
    disk.store = store.survivor(0)  # the power went: unsynced writes are gone
    disk.log = storage.durable
    return died, store, faulty, storage


def make_load(people: list[Person]) -> list[bytes]:
    payer = people[0]
    return [
        transaction([payer], ("bank.send", (Person(600 + n).address, ("QXC", 10 + n))), gas=20_000)
        for n in range(9)
    ]


def check_chain(disk: Disk, genesis: Genesis, raws: list[bytes], options: Options) -> None:
    """The chain is whole, everything was included once, and a run without any crash computes the same."""
    assert disk.store is not None
    ledger = Ledger.open_in(disk.store, codecs=make_machine().state_codecs, options=options)
    assert ledger.height >= HEIGHT
    report = ledger.check()
    assert report.ok, report
    for height, known in disk.hashes.items():
        assert ledger.blocks.hash(height) == known
    for place, messages in disk.released.items():
        assert len(messages) == 1, f"two signatures for height, round, step {place}"
    if options.retain_blocks:
        return  # the early blocks are gone: nothing to run again
    reference = make_application(None, genesis)
    included = []
    for height in range(1, ledger.height + 1):
        block = ledger.blocks.block(height)
        decide(reference, block, ledger.blocks.commit(height))
        assert reference.ledger.block_hash == ledger.blocks.hash(height)
        included += list(block.transactions)
    assert reference.ledger.state_root == ledger.state_root
    assert reference.ledger.results_root == ledger.results_root
    assert sorted(included) == sorted(raws), "each once, none lost"


@pytest.fixture(scope="module")
def chain() -> tuple[Genesis, list[bytes]]:
    people = make_people()[:1]
    return make_genesis(people), make_load(people)


@pytest.fixture(scope="module")
def counts(chain: tuple[Genesis, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Writes of a life without a crash."""
    disk = Disk(tmp_path_factory.mktemp("whole"))
    died, store, faulty, storage = run(disk, *chain, OPTIONS)
    assert not died
    check_chain(disk, *chain, OPTIONS)
    assert store.writes >= HEIGHT + 1
    assert faulty.writes >= 3 * HEIGHT, "proposal, prevote, precommit"
    assert storage.syncs >= 3 * HEIGHT
    return {"ledger": store.writes, "signer": faulty.writes, "log": storage.syncs}


MOMENTS = {
    "ledger": ("before", "after", "full"),
    "signer": ("before", "torn", "unnamed", "full", "after"),
    "log": ("before", "torn", "full", "after"),
}


@pytest.mark.parametrize("where", sorted(MOMENTS))
def test_a_death_at_any_durable_write_leaves_one_chain_and_one_signature_a_step(
    chain: tuple[Genesis, list[bytes]], counts: dict[str, int], tmp_path: Path, where: str
) -> None:
    for at in range(1, counts[where] + 1):
        for moment in MOMENTS[where]:
            folder = tmp_path / f"{at}{moment}"
            folder.mkdir()
            disk = Disk(folder)
            died = run(disk, *chain, OPTIONS, where, at, moment)[0]
            # The last ones are of the height after HEIGHT: how far that comes before the stop differs.
            assert died or at > counts[where] - 4, (at, moment)
            assert not run(disk, *chain, OPTIONS)[0], (at, moment)
            check_chain(disk, *chain, OPTIONS)


def test_a_death_at_any_durable_write_while_pruning(
    chain: tuple[Genesis, list[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    whole = Disk(tmp_path / "whole")
    store = run(whole, *chain, PRUNING)[1]
    assert store.writes > HEIGHT + 3, "pruning writes batches of its own"
    for at in range(2, store.writes + 1):
        for moment in ("before", "after"):
            folder = tmp_path / f"{at}{moment}"
            folder.mkdir()
            disk = Disk(folder)
            run(disk, *chain, PRUNING, "ledger", at, moment)
            run(disk, *chain, PRUNING)
            check_chain(disk, *chain, PRUNING)


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_deaths_one_after_another(chain: tuple[Genesis, list[bytes]], tmp_path: Path, seed: int) -> None:
    instants = random.Random(seed)
    disk = Disk(tmp_path)
    for _ in range(12):
        where = instants.choice(sorted(MOMENTS))
        run(disk, *chain, OPTIONS, where, instants.randint(1, 8), instants.choice(MOMENTS[where]))
    run(disk, *chain, OPTIONS)
    check_chain(disk, *chain, OPTIONS)
