"""Whenever the process dies or the disk fills up, the ledger is at one height or the next, never between."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from ledger.backend import BackendKind, StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.options import Options
from ledger.store import Ledger
from ledger.tree import rebuild_root
from qenex.errors import DataFolderMissing
from qenex.proof import tree_path, value_hash
from tests.conftest import LONG
from tests.ledger.chains import (
    CODECS,
    add_block,
    changes_of,
    encoded,
    expected_state,
    genesis,
    new_chain,
    parts,
    start_state,
)
from tests.ledger.crash_worker import ACCOUNTS, CHANGES, DISK_FULL, OPTIONS
from tests.ledger.faults import Crash, FaultyBackend, Moment

needs_leveldb = pytest.mark.skipif(
    find_spec("plyvel") is None, reason="plyvel has no wheel for this platform"
)
KINDS = [pytest.param("leveldb", marks=needs_leveldb), "sqlite"]

BLOCKS = 7
SMALL = Options(history=3, retain_blocks=4)
WRITES = 1 + BLOCKS + (BLOCKS - 2)
"""The genesis, a batch for each block, and a step of pruning from the third block on."""


def root_by_definition(height: int, accounts: int = 40, count: int = 4) -> bytes:
    state = start_state(accounts)
    for number in range(1, height + 1):
        state.update(changes_of(number, accounts, count))
    values = encoded({key: value for key, value in state.items() if value is not None})
    return rebuild_root({tree_path(key): value_hash(value) for key, value in values.items()})


ROOTS = [root_by_definition(height) for height in range(BLOCKS + 1)]


def live(store: FaultyBackend, promised: list[int], *, overlapped: bool = False) -> None:
    """Run a chain from its genesis to BLOCKS, pruning as it goes; note each height that was promised."""
    ledger = new_chain(store, options=SMALL)
    promised.append(0)
    while ledger.height < BLOCKS:
        if overlapped:
            prepared = ledger.prepare(ledger.height + 1, changes_of(ledger.height + 1, 40))
            staged = ledger.stage(prepared, **parts(ledger, prepared, 2))
            ledger.advance(staged)
            ledger.prepare(ledger.height + 1, changes_of(ledger.height + 1, 40))
            ledger.write(staged)
            ledger.settle(staged)
        else:
            add_block(ledger)
        promised.append(ledger.height)
        ledger.prune(6)


def resume(store: MemoryBackend, promised: int) -> None:
    """Open what a crash left: it is sound, holds what was promised, and goes on to the same end."""
    try:
        ledger = Ledger.open_in(store, codecs=CODECS, options=SMALL)
    except DataFolderMissing:
        assert promised == -1
        ledger = new_chain(store, options=SMALL)
    assert ledger.height in (promised, promised + 1)
    assert ledger.tree_root == ROOTS[ledger.height]
    report = ledger.check()
    assert report.ok, report.errors
    while ledger.height < BLOCKS:
        add_block(ledger)
        ledger.prune(6)
    assert ledger.tree_root == ROOTS[BLOCKS]
    assert ledger.check().ok


@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize("moment", ["before", "after", "full"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_a_crash_or_full_disk_at_any_write_leaves_one_height_or_the_next(
    at: int, moment: Moment, overlapped: bool
) -> None:
    store = FaultyBackend(at=at, moment=moment)
    promised = [-1]
    with pytest.raises((Crash, StorageFault)):
        live(store, promised, overlapped=overlapped)
    assert store.writes == at
    for kept in range(store.unsynced() + 1):
        resume(store.survivor(kept), promised[-1])


def test_every_write_of_a_chain_is_among_the_crash_points() -> None:
    store, promised = FaultyBackend(), [-1]
    live(store, promised)
    assert promised[-1] == BLOCKS
    assert store.writes == WRITES


def test_a_refused_batch_moves_nothing_in_memory_and_the_same_block_may_be_written_again() -> None:
    store = FaultyBackend(at=3, moment="full")
    ledger = new_chain(store)
    add_block(ledger)
    prepared = ledger.prepare(2, changes_of(2, 40))
    block = parts(ledger, prepared, 2)
    before = (ledger.height, ledger.tree_root, ledger.block_hash, ledger.header)
    with pytest.raises(StorageFault):
        ledger.commit(prepared, **block)
    assert (ledger.height, ledger.tree_root, ledger.block_hash, ledger.header) == before
    assert all(ledger.committed.get(key) == expected_state(1).get(key) for key in changes_of(2, 40))
    assert ledger.prepare(2, changes_of(2, 40)).root == prepared.root
    ledger.commit(prepared, **block)
    assert ledger.tree_root == ROOTS[2]
    assert ledger.check().ok


# -- real processes, real files ----------------------------------------------------------------


def spawn(kind: BackendKind, folder: Path, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.crash_worker", kind, str(folder), str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


class Recomputed:
    """Roots by the definition, from the state carried on from height to height."""

    def __init__(self) -> None:
        self.height = 0
        self.state = start_state(ACCOUNTS)

    def root(self, height: int) -> bytes:
        while self.height < height:
            self.height += 1
            self.state.update(changes_of(self.height, ACCOUNTS, CHANGES))
        values = encoded({key: value for key, value in self.state.items() if value is not None})
        return rebuild_root({tree_path(key): value_hash(value) for key, value in values.items()})


def make(kind: BackendKind, folder: Path) -> None:
    ledger = Ledger.create(folder, genesis(), codecs=CODECS, backend=kind, options=OPTIONS)
    ledger.initialise(start_state(ACCOUNTS))
    ledger.close()


def examine(kind: BackendKind, folder: Path, promised: int, recomputed: Recomputed) -> int:
    ledger = Ledger.open(folder, codecs=CODECS, backend=kind, options=OPTIONS)
    assert ledger.height in (promised, promised + 1)
    assert ledger.tree_root == recomputed.root(ledger.height)
    report = ledger.check()
    assert report.ok, report.errors
    height = ledger.height
    ledger.close()
    return height


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_loses_no_block_it_called_durable(kind: BackendKind, tmp_path: Path) -> None:
    random, recomputed = Random(None if LONG else 11), Recomputed()
    make(kind, tmp_path / "data")
    height = 0
    for _ in range(25 if LONG else 3):
        process = spawn(kind, tmp_path / "data")
        assert process.stdout is not None
        promised = -1
        for _ in range(random.randrange(2, 12)):
            promised = int(process.stdout.readline())
        time.sleep(random.random() / 50)  # the instant of death, anywhere in the next blocks
        process.kill()
        rest, errors = process.communicate(timeout=30)
        assert process.returncode == -9, errors
        lines = [line for line in rest.split("\n")[:-1] if line]
        promised = int(lines[-1]) if lines else promised
        reopened = examine(kind, tmp_path / "data", promised, recomputed)
        assert reopened > height
        height = reopened


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [90_000, 400_000, 1_000_003])
def test_a_disk_that_fills_up_stops_the_process_with_nothing_half_written(
    kind: BackendKind, limit: int, tmp_path: Path
) -> None:
    """A limit on file sizes fails writes in the middle, as a full disk does, wherever it falls."""
    make(kind, tmp_path / "data")
    process = spawn(kind, tmp_path / "data", limit)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == DISK_FULL, errors
    examine(kind, tmp_path / "data", int(out.split()[-1]), Recomputed())
