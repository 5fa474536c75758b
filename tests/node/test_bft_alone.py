"""The engine of a chain with one validator: when it proposes, what a restart does, what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

from consensus.signer import SignerGuard
from consensus.wal import FileStorage, MemoryStorage, Storage
from ledger.backend import StorageFault
from ledger.store import Ledger
from node.application import Application
from node.bft_alone import Alone
from node.bft_blocks import Clock
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.bft_options import EngineOptions, Timeouts
from node.bft_pace import Intervals
from node.modules import make_machine
from node.tree_process import TreeProcess
from node.verifier import Verifier
from qenex.errors import DoubleSignRefused
from tests.node.chain_helpers import CHAIN, VALIDATOR, Wallet, guard, make_genesis, open_application, until

FAST = Intervals(minimum=0.0, settle=0.02, idle=0.05)


def make_engine(
    application: Application,
    signer: SignerGuard,
    intervals: Intervals = FAST,
    *,
    storage: Storage | None = None,
    clock: Clock = time.time_ns,
) -> Engine:
    engine = Engine(
        application,
        Alone(),
        EventLog(storage or MemoryStorage()),
        signer=signer,
        identity=VALIDATOR,
        options=EngineOptions(intervals, Timeouts(0.3, 0.1, 0.1, 0.1)),
        clock=clock,
    )
    application.admission.on_admitted = engine.wake
    return engine


@contextlib.asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(engine.run())
    try:
        yield task
    finally:
        engine.stop()
        await task


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 11)]


async def test_hundreds_of_blocks_under_load_and_every_receipt_is_there(
    tmp_path: Path, wallets: list[Wallet]
):
    application = open_application(tmp_path / "data", make_genesis(wallets), "leveldb")
    sent: list[bytes] = []
    with guard(tmp_path) as signer:
        engine = make_engine(application, signer)
        async with running(engine):
            for number in range(100):
                for wallet in wallets:
                    tx = await application.submit(wallet.transfer(wallets[number % 10].address, number + 1))
                    sent.append(tx.tx_id)
                await until(lambda: len(application.mempool) < 50)
            await until(lambda: len(application.mempool) == 0)
        blocks = application.ledger.blocks
        assert application.ledger.durable_height == application.ledger.height
        places = [blocks.locate(tx_id) for tx_id in sent]
        assert None not in places
        assert len(set(places)) == 1_000
        assert application.ledger.height > 20
        assert not application.machine.check_invariants(application.ledger.committed)
    application.ledger.close()


async def test_a_transaction_is_final_soon_and_nothing_happens_before_idle(
    tmp_path: Path, wallets: list[Wallet]
):
    application = open_application(tmp_path / "data", make_genesis(wallets), "leveldb")
    with guard(tmp_path) as signer:
        async with running(make_engine(application, signer, Intervals(0.01, 0.3, 60))):
            await until(lambda: application.ledger.durable_height == 1)  # the first comes at once
            started = time.monotonic()
            await application.submit(wallets[0].transfer(wallets[1].address))
            await until(lambda: application.ledger.durable_height == 2)
            final = time.monotonic() - started
            assert final < 0.25, "finality at light load"
            await until(lambda: application.ledger.durable_height == 3)  # its root gets a header
            assert time.monotonic() - started >= 0.3
            await asyncio.sleep(0.4)
            assert application.ledger.height == 3
    application.ledger.close()


async def test_what_no_block_can_take_now_makes_no_empty_blocks(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    with guard(tmp_path) as signer:
        async with running(make_engine(application, signer, Intervals(0.0, 0.02, 60))) as task:
            await until(lambda: application.ledger.height >= 2)
            tx = await application.submit(wallets[0].transfer(wallets[1].address, max_fee=10_000 * 10))
            tx.terms = tx.terms._replace(fee_max=1)  # as if the price had risen since
            await asyncio.sleep(0.1)
            assert application.ledger.height == 2
            assert tx.tx_id in application.mempool
            assert not task.done()


async def test_a_restart_after_a_precommit_goes_to_the_next_round(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    with guard(tmp_path) as signer:
        signer.sign_precommit(1, 0, b"\x07" * 32)  # signed, then the process was killed
        async with running(make_engine(application, signer)):
            await until(lambda: application.ledger.height >= 3)
    assert application.ledger.blocks.commit(1).round == 1
    assert application.ledger.blocks.commit(2).round == 0


async def test_a_process_killed_between_signature_and_write_continues(tmp_path: Path, wallets: list[Wallet]):
    """The ledger loses its last block, as kill -9 in the middle of the write would do it."""
    genesis = make_genesis(wallets)
    application = open_application(tmp_path / "data", genesis, "leveldb")

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    storage = FileStorage(tmp_path / "wal")
    with guard(tmp_path) as signer:
        engine = make_engine(application, signer, storage=storage)
        task = asyncio.create_task(engine.run())
        await until(lambda: application.ledger.height >= 3)
        application.ledger.write = die  # type: ignore[assignment,method-assign]  # the process dies here
        with pytest.raises(Killed):
            await task
        application.ledger.close()
        assert signer.state.height == application.ledger.height
        decided = application.ledger.block_hash
        machine = make_machine()
        ledger = Ledger.open(tmp_path / "data", codecs=machine.state_codecs, genesis_hash=genesis.hash)
        assert ledger.height == signer.state.height - 1
        again = Application(machine, ledger, Verifier(0))
        async with running(make_engine(again, signer, storage=storage)):
            height = ledger.height + 1
            await until(lambda: ledger.durable_height >= height + 2)
        assert ledger.blocks.hash(height) == decided, "what was decided stays decided"
        assert ledger.blocks.commit(height).round == 0
        assert ledger.blocks.commit(height + 1).round == 0
        ledger.close()


async def test_a_failing_store_ends_the_engine_with_nothing_half_written(
    tmp_path: Path, wallets: list[Wallet]
):
    application = open_application(tmp_path, make_genesis(wallets))
    store = application.ledger.store

    def fail(*_: Any, **__: Any) -> None:
        raise StorageFault("No space left on device")

    with guard(tmp_path) as signer:
        task = asyncio.create_task(make_engine(application, signer).run())
        await until(lambda: application.ledger.durable_height >= 2)
        store.write = fail  # type: ignore[method-assign]  # the disk is full from here on
        with pytest.raises(StorageFault, match="No space"):
            await asyncio.wait_for(task, 10)
        durable = application.ledger.durable_height
        assert application.ledger.blocks.header(durable).height == durable


async def test_a_failing_signer_disk_ends_the_engine_before_the_block_counts(
    tmp_path: Path, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
):
    application = open_application(tmp_path, make_genesis(wallets))

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with guard(tmp_path) as signer:
        task = asyncio.create_task(make_engine(application, signer).run())
        await until(lambda: application.ledger.durable_height >= 1)
        monkeypatch.setattr("consensus.signer.write_durably", fail)
        with pytest.raises(OSError, match="No space"):
            await asyncio.wait_for(task, 10)
        assert signer.state.height == application.ledger.durable_height + 1


async def test_data_older_than_what_was_signed_make_no_block(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    with guard(tmp_path) as signer:
        signer.sign_precommit(5, 0, b"\x07" * 32)
        with pytest.raises(DoubleSignRefused):
            await make_engine(application, signer).run()
    assert application.ledger.height == 0


async def test_time_only_rises_also_when_the_clock_does_not(tmp_path: Path, wallets: list[Wallet]):
    application = open_application(tmp_path, make_genesis(wallets))
    with guard(tmp_path) as signer:
        engine = make_engine(application, signer, clock=lambda: application.genesis.time - 10**12)
        async with running(engine):
            await until(lambda: application.ledger.height >= 3)
    times = [application.ledger.blocks.header(height).time for height in (1, 2, 3)]
    assert times == [application.genesis.time + n for n in (1, 2, 3)]
    assert engine.status.step == "stopped"


def test_the_chain_of_the_helpers_is_the_one_signed_for(tmp_path: Path):
    with guard(tmp_path) as signer:
        assert signer.state.chain_id == CHAIN


@pytest.mark.parametrize("apart", [False, True])
async def test_a_tree_begun_before_the_decision_is_not_begun_again(
    tmp_path: Path, wallets: list[Wallet], apart: bool
):
    """The decision of a lone validator comes while its tree is computed: that work was lost once, a third of a transfer's cost."""
    application = open_application(tmp_path / "data", make_genesis(wallets))
    ledger = application.ledger
    begun: list[tuple[int, object]] = []  # a later round may propose another block: its changes are others
    name = "draft_in_steps" if apart else "prepare_in_steps"
    whole = getattr(ledger, name)

    def slowly(height: int, changes: Any, *arguments: Any) -> Generator[None, None, Any]:
        begun.append((height, changes))
        for _ in range(100):
            yield
        return (yield from whole(height, changes, *arguments))

    setattr(ledger, name, slowly)
    process = TreeProcess(1 << 20)
    with guard(tmp_path) as signer:
        engine = make_engine(application, signer)
        if apart:
            process.start()
            application.tree_process = process
        async with running(engine):
            for number in range(5):
                for wallet in wallets:
                    await application.submit(wallet.transfer(wallets[number].address, 1))
                await until(lambda: len(application.mempool) == 0)
            await until(lambda: ledger.durable_height == ledger.height)
    assert len({id(changes) for _, changes in begun}) == len(begun)
    assert {height for height, _ in begun} >= set(range(1, ledger.height + 1))
    assert ledger.height >= 5
    await process.stop()


async def test_while_a_tree_is_computed_the_next_block_is_filled_but_neither_named_nor_signed(
    tmp_path: Path, wallets: list[Wallet]
):
    application = open_application(tmp_path / "data", make_genesis(wallets))
    ledger, whole, filled = application.ledger, application.build_tree, application.fill_steps
    held, heights = asyncio.Event(), []

    async def slowly(name: bytes) -> None:
        await held.wait()
        await whole(name)

    def noted(*arguments: Any, **options: Any) -> Generator[None, None, Any]:
        result = yield from filled(*arguments, **options)
        heights.append(ledger.height + 1)
        return result

    application.build_tree = slowly  # type: ignore[method-assign]  # a process that takes its time
    application.fill_steps = noted  # type: ignore[method-assign]  # tells when it has run
    with guard(tmp_path) as signer:
        engine = make_engine(application, signer)
        async with running(engine):
            await application.submit(wallets[0].transfer(wallets[1].address, 1))
            await until(lambda: ledger.height == 1)
            await application.submit(wallets[0].transfer(wallets[1].address, 2))
            await until(lambda: heights == [1, 2])
            await asyncio.sleep(0.05)
            assert (ledger.height, ledger.durable_height) == (1, 0)
            assert signer.memory.height == 1
            held.set()
            await until(lambda: ledger.durable_height == 2)
    assert ledger.check().ok
