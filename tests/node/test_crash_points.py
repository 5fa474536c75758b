"""A validator that dies at every durable write there is, and goes on: one chain, no second signature for a step.

Durable writes of a node are the signer's state (written, renamed) and the ledger's batches, pruning among
them. One run without a crash counts them; then each is the place of a death: before it, after it, and for
the signer's state between the temporary file and its rename. What survives is opened anew and goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consensus import signer
from consensus.signer import Lock, SignerGuard
from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.engine import Intervals, SingleValidatorEngine
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

HEIGHT = 8
OPTIONS = Options(history=10, retain_blocks=0)
PRUNING = Options(history=3, retain_blocks=2)


@dataclass
class Disk:
    """What outlives a crash: the store's entries and the signer's folder."""

    folder: Path
    store: MemoryBackend | None = None
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
    disk: Disk, store: FaultyBackend, genesis: Genesis, raws: list[bytes], options: Options
) -> None:
    """Run until HEIGHT, transactions being sent again after each block, as wallets do. Raises what ends it."""
    application = open_application(disk, store, genesis, options)
    ledger = application.ledger
    guard = open_guard(disk, ledger.height)
    engine = SingleValidatorEngine(
        application,
        guard,
        VALIDATOR.address,
        intervals=Intervals(0.0, 0.0, 0.0),
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
    ledger_at: int,
    signer_at: int,
    moment: str,
) -> tuple[bool, FaultyBackend, FaultyDisk]:
    """One life; whether it died, and what counted."""
    kind: Moment = moment if moment in ("before", "after", "full") else "before"  # type: ignore[assignment]  # checked
    store = FaultyBackend(disk.store, at=ledger_at, moment=kind)
    faulty = FaultyDisk(signer_at, moment)
    patch = pytest.MonkeyPatch()
    patch.setattr(signer, "write_durably", faulty)
    died = False
    try:
        asyncio.run(live(disk, store, genesis, raws, options))
    except (Crash, StorageFault, OSError):
        died = True
    finally:
        patch.undo()
    disk.store = store.survivor(0)  # the power went: unsynced writes are gone
    return died, store, faulty


def make_load(people: list[Person]) -> list[bytes]:
    payer = people[0]
    return [
        transaction([payer], ("bank.send", (Person(600 + n).address, ("QXC", 10 + n))), gas=20_000)
        for n in range(12)
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
def counts(chain: tuple[Genesis, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """Ledger and signer writes of a life without a crash."""
    disk = Disk(tmp_path_factory.mktemp("whole"))
    died, store, faulty = run(disk, *chain, OPTIONS, 0, 0, "before")
    assert not died
    check_chain(disk, *chain, OPTIONS)
    assert store.writes >= HEIGHT + 1
    assert faulty.writes >= HEIGHT
    return store.writes, faulty.writes


def deaths(counts: tuple[int, int]) -> Iterator[tuple[int, int, str]]:
    ledger_writes, signer_writes = counts
    for number in range(1, ledger_writes + 1):
        for moment in ("before", "after", "full"):
            yield number, 0, moment
    for number in range(1, signer_writes + 1):
        for moment in ("before", "torn", "unnamed", "full", "after"):
            yield 0, number, moment


def test_a_death_at_any_durable_write_leaves_one_chain_and_one_signature_a_step(
    chain: tuple[Genesis, list[bytes]], counts: tuple[int, int], tmp_path: Path
) -> None:
    for number, (ledger_at, signer_at, moment) in enumerate(deaths(counts)):
        folder = tmp_path / str(number)
        folder.mkdir()
        disk = Disk(folder)
        died, _, _ = run(disk, *chain, OPTIONS, ledger_at, signer_at, moment)
        assert died, (ledger_at, signer_at, moment)
        died, _, _ = run(disk, *chain, OPTIONS, 0, 0, "before")
        assert not died, (ledger_at, signer_at, moment)
        check_chain(disk, *chain, OPTIONS)


def test_a_death_at_any_durable_write_while_pruning(
    chain: tuple[Genesis, list[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    whole = Disk(tmp_path / "whole")
    _, store, _ = run(whole, *chain, PRUNING, 0, 0, "before")
    assert store.writes > HEIGHT + 3, "pruning writes batches of its own"
    for at in range(2, store.writes + 1):
        for moment in ("before", "after"):
            folder = tmp_path / f"{at}{moment}"
            folder.mkdir()
            disk = Disk(folder)
            run(disk, *chain, PRUNING, at, 0, moment)
            run(disk, *chain, PRUNING, 0, 0, "before")
            check_chain(disk, *chain, PRUNING)


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_deaths_one_after_another(chain: tuple[Genesis, list[bytes]], tmp_path: Path, seed: int) -> None:
    instants = random.Random(seed)
    disk = Disk(tmp_path)
    for _ in range(8):
        if instants.random() < 0.5:
            place = instants.randint(1, 4), 0, instants.choice(["before", "after", "full"])
        else:
            place = 0, instants.randint(1, 3), instants.choice(["before", "torn", "unnamed", "full", "after"])
        run(disk, *chain, OPTIONS, *place)
    run(disk, *chain, OPTIONS, 0, 0, "before")
    check_chain(disk, *chain, OPTIONS)
