"""Trees computed by a process: the same bytes in the store, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend
from ledger.tree import Tree
from ledger.tree_nodes import pack_ref
from ledger.tree_search import Wanted
from node.application import MAX_KEPT, Application
from node.bft_alone import Alone
from node.bft_blocks import BlockWork
from node.bft_options import Window
from node.child_worker import Closed, Parent
from node.metrics import NodeMetrics
from node.tree_process import MAX_DEATHS, TreeProcess
from node.tree_worker import ASKED_AHEAD, BEGIN, BUILD, DONE, ENTER, NODES, WANT, serve, unpack
from qenex.block import Block, block_hash
from qenex.errors import ProcessFailed
from qenex.proof import tree_path, value_hash
from tests.node.chain_helpers import Wallet, make_genesis, open_application, seen_commit, until

CACHE = 1 << 20


@pytest.fixture
def wallets() -> list[Wallet]:
    return [Wallet(number) for number in range(1, 41)]


@pytest.fixture
async def process() -> AsyncIterator[TreeProcess]:
    process = TreeProcess(CACHE)
    process.start()
    yield process
    await process.stop()


class Pair:
    """The same chain twice: `apart` has its trees computed by a process, `here` by itself."""

    def __init__(self, folder: Path, wallets: list[Wallet], process: TreeProcess) -> None:
        genesis = make_genesis(wallets)
        self.wallets = wallets
        self.apart = open_application(folder / "apart", genesis)
        self.here = open_application(folder / "here", genesis)
        self.apart.tree_process = process

    def propose(self) -> Block:
        """A block of transfers, some to accounts that are new."""
        for number, wallet in enumerate(self.wallets):
            to = (
                self.wallets[number - 1]
                if number % 4
                else Wallet(self.here.ledger.height * 100 + 5_000 + number)
            )
            raw = wallet.transfer(to.address, number + 1)
            self.here.check_tx(raw)
            self.apart.check_tx(raw)
        block = self.here.prepare_proposal(self.here.parent_time + 10**9, seen.address).block
        assert self.apart.process_proposal(block).accepted
        return block

    async def commit(self, block: Block) -> None:
        self.here.finalize_block(block)
        await self.apart.finalize(block)
        votes = seen_commit(block)  # signatures differ from one time to the next
        for application in (self.here, self.apart):
            application.commit(block, votes)

    async def step(self) -> None:
        await self.commit(self.propose())

    def check(self) -> None:
        assert self.apart.ledger.tree_root == self.here.ledger.tree_root
        assert stored(self.apart) == stored(self.here)
        assert self.apart.ledger.check().ok


seen = make_genesis([]).validators[0]


def stored(application: Application) -> list[tuple[bytes, bytes]]:
    return list(application.ledger.store.iterate(b"", b"\xff" * 40))


@pytest.fixture
def pair(tmp_path: Path, wallets: list[Wallet], process: TreeProcess) -> Pair:
    return Pair(tmp_path, wallets, process)


async def test_the_store_has_the_same_bytes(pair: Pair, process: TreeProcess):
    for number in range(1, 9):
        await pair.step()
        assert process.built == number
    pair.apart.ledger.prune(1 << 30)
    pair.here.ledger.prune(1 << 30)
    pair.check()


async def test_of_two_proposals_the_decided_one_counts(pair: Pair, process: TreeProcess):
    await pair.step()
    first = pair.propose()
    other = pair.here.prepare_proposal(pair.here.parent_time + 2 * 10**9, seen.address).block
    assert pair.apart.process_proposal(other).accepted
    await pair.apart.finalize(first)
    await pair.commit(other)
    assert process.built == 3
    await pair.step()
    pair.check()


async def test_a_process_killed_in_the_middle_is_replaced_and_the_tree_computed_here(
    pair: Pair, process: TreeProcess
):
    await pair.step()
    block = pair.propose()
    os.kill(process.pid, signal.SIGSTOP)
    work = asyncio.create_task(pair.commit(block))
    await asyncio.sleep(0.05)
    assert not work.done()
    os.kill(process.pid, signal.SIGKILL)
    await work
    assert (process.built, process.respawned) == (1, 1)
    await pair.step()
    await pair.step()
    assert process.built == 3, "the new process asks for what it has not"
    pair.check()


async def test_a_process_that_hangs_is_not_waited_for(
    pair: Pair, process: TreeProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("node.tree_process.PATIENCE_SECONDS", 0.2)
    await pair.step()
    os.kill(process.pid, signal.SIGSTOP)
    await pair.step()
    assert (process.built, process.respawned) == (1, 1)
    monkeypatch.setattr("node.tree_process.PATIENCE_SECONDS", 30.0)
    await pair.step()
    assert process.built == 2
    pair.check()


async def test_a_process_that_cannot_live_is_given_up(
    tmp_path: Path, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("node.child._COMMAND", "import sys; sys.exit(3)")
    process = TreeProcess(CACHE)
    process.start()
    pair = Pair(tmp_path, wallets, process)
    for _ in range(MAX_DEATHS + 2):
        await pair.step()
        await asyncio.sleep(0.1)
    assert not process.alive
    assert (process.built, process.respawned) == (0, MAX_DEATHS - 1)
    pair.check()


async def test_a_node_that_the_store_cannot_read_fails_the_block_and_no_more(
    pair: Pair, process: TreeProcess, monkeypatch: pytest.MonkeyPatch
):
    block = pair.propose()

    def fail(wanted: Sequence[Wanted]) -> list[bytes]:
        raise StorageFault("read failed")

    with monkeypatch.context() as patched:
        patched.setattr(pair.apart.ledger, "tree_nodes", fail)
        with pytest.raises(StorageFault):
            await pair.apart.finalize(block)
    await pair.commit(block)
    assert process.built == 1
    pair.check()


async def test_a_tree_that_nobody_wants_any_more_does_not_disturb_the_next(pair: Pair, process: TreeProcess):
    for pause in (0.0, 0.001, 0.003, 0.01):
        block = pair.propose()
        work = asyncio.create_task(pair.apart.finalize(block))
        await asyncio.sleep(pause)
        work.cancel()
        await asyncio.wait([work])
        await pair.commit(block)
    pair.check()


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\xc1",
        b"\x05\x00\x00\x00\x93\x06\x01\xc4\x00",  # done, with fields that are none
        b"\x04\x00\x00\x00\x93\x05\x01\x07",  # a part that is a number
        b"\x04\x00\x00\x00\x93\x04\x01\x07",  # wanted: a number
    ],
)
async def test_a_process_that_answers_nonsense_is_not_believed(
    tmp_path: Path, wallets: list[Wallet], monkeypatch: pytest.MonkeyPatch, answer: bytes
):
    liar = (
        "import socket, sys; s = socket.socket(fileno=int(sys.argv[-1])); s.recv(9); "
        f"s.sendall({answer!r}); s.recv(1 << 20)"
    )
    monkeypatch.setattr("node.child._COMMAND", liar)
    process = TreeProcess(CACHE)
    process.start()
    pair = Pair(tmp_path, wallets, process)
    await pair.step()
    assert process.built == 0
    await process.stop()
    pair.check()


async def test_stopping_fails_what_is_under_way(pair: Pair, process: TreeProcess):
    block = pair.propose()
    os.kill(process.pid, signal.SIGSTOP)
    changes = pair.here._kept[next(iter(pair.here._kept))].result.changes
    work = asyncio.create_task(process.prepare(pair.apart.ledger, 1, changes))
    await asyncio.sleep(0.02)
    await process.stop()
    with pytest.raises(ProcessFailed):
        await work
    with pytest.raises(ProcessFailed):
        await process.prepare(pair.apart.ledger, 1, changes)
    await pair.commit(block)
    pair.check()


async def test_a_process_for_which_no_descriptor_is_left_is_given_up_and_the_chain_goes_on(
    pair: Pair, process: TreeProcess
):
    await pair.step()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # those that are open stay so
    try:
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: not process.alive)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await pair.step()
    assert (process.built, process.respawned) == (1, 0)
    pair.check()


async def test_a_hang_with_no_descriptor_left_costs_the_process_and_not_the_block(
    pair: Pair, process: TreeProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("node.tree_process.PATIENCE_SECONDS", 0.2)
    await pair.step()
    block = pair.propose()
    os.kill(process.pid, signal.SIGSTOP)
    changes = pair.apart._kept[block_hash(block.header)].result.changes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(ProcessFailed):
            await process.prepare(pair.apart.ledger, 2, changes)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await pair.commit(block)
    pair.check()


def block_work(application: Application) -> tuple[BlockWork, list[asyncio.Task[None]]]:
    """What an engine has for its blocks, and the tasks it begins."""
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    blocks = BlockWork(
        application, Alone(), None, spawn, window=Window(), clock=lambda: 0, metrics=NodeMetrics()
    )
    return blocks, tasks


async def test_a_proposal_that_later_rounds_pushed_out_does_not_end_the_node_when_its_tree_has_its_turn(
    pair: Pair, process: TreeProcess
):
    await pair.step()
    blocks, tasks = block_work(pair.apart)
    os.kill(process.pid, signal.SIGSTOP)
    first = pair.propose()
    later = [
        pair.here.prepare_proposal(pair.here.parent_time + number * 10**9, seen.address).block
        for number in range(2, MAX_KEPT + 4)
    ]
    for block in (first, *later):
        blocks.take(block)
        _, valid = await blocks.check(block_hash(block.header))
        assert valid
        blocks.prepare_tree(block_hash(block.header))
        await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGCONT)
    await asyncio.wait(tasks)
    assert [task.exception() for task in tasks] == [None] * len(tasks)
    decided = later[0]  # nothing of it is kept
    pair.here.finalize_block(decided)
    votes = seen_commit(decided)
    pair.here.commit(decided, votes)
    await blocks.decide(votes)
    await blocks.settled()
    pair.check()


async def test_a_decision_that_comes_while_the_tree_of_the_last_block_is_computed_does_not_take_that_tree_with_it(
    pair: Pair, process: TreeProcess
):
    """A node that is a little late has the commit of the next height before its own tree of this one."""
    blocks, tasks = block_work(pair.apart)
    os.kill(process.pid, signal.SIGSTOP)
    first = pair.propose()
    blocks.take(first)
    await blocks.check(block_hash(first.header))
    blocks.prepare_tree(block_hash(first.header))
    pair.here.finalize_block(first)
    pair.here.commit(first, seen_commit(first))
    await blocks.decide(seen_commit(first))
    second = pair.here.prepare_proposal(pair.here.parent_time + 10**9, seen.address).block
    pair.here.finalize_block(second)
    pair.here.commit(second, seen_commit(second))
    blocks.take(second)
    deciding = asyncio.create_task(blocks.decide(seen_commit(second)))
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGCONT)
    await asyncio.wait_for(deciding, 20)
    await blocks.settled()
    growing = [task for task in tasks if "_grow" in repr(task.get_coro()) or "_root" in repr(task.get_coro())]
    assert len(growing) == 3
    assert not [task for task in growing if task.cancelled()]
    assert pair.apart.ledger.durable_height == 2
    assert pair.apart.ledger.tree_root == pair.here.ledger.tree_root
    assert pair.apart.ledger.check().ok


class Watched(Parent):
    """Notes how many questions are open."""

    asked = answered = most = 0

    def send(self, payload: bytes) -> None:
        self.asked += unpack(payload)[0] == WANT
        self.most = max(self.most, self.asked - self.answered)
        super().send(payload)

    def receive(self) -> bytearray:
        payload = super().receive()
        self.answered += payload[:2] == bytes((0x93, NODES))
        return payload


def test_the_node_is_not_asked_for_all_nodes_of_a_level_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.tree_worker.WANTED_TOGETHER", 8)
    store, keys = MemoryBackend(), [b"key %d" % number for number in range(6_000)]
    tree = Tree(store)
    update = tree.update(1, None, {tree_path(key): value_hash(b"1") for key in keys})
    batch = store.batch()
    tree.apply(batch, update)
    store.write(batch, sync=False)
    ours, theirs = socket.socketpair()
    watched = Watched(theirs)

    def work() -> None:
        with contextlib.suppress(Closed):
            serve(watched)

    with ours, theirs:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        node = Parent(ours)
        node.send((1 << 20).to_bytes(8, "little"))
        node.send(msgpack.packb((BEGIN, 1, 2, 1, pack_ref(tree.base(1)))))
        node.send(msgpack.packb((ENTER, 1, keys, [b"2"] * len(keys))))
        node.send(msgpack.packb((BUILD, 1)))
        while (frame := unpack(node.receive()))[0] != DONE:
            if frame[0] == WANT:
                node.send(msgpack.packb((NODES, 1, tree.load_many(frame[2]))))
        expected = tree.update(2, 1, {tree_path(key): value_hash(b"2") for key in keys})
        assert frame[2] == pack_ref(expected.ref)
        ours.shutdown(socket.SHUT_RDWR)
        worker.join()
    assert watched.asked > 4 * ASKED_AHEAD
    assert watched.most == ASKED_AHEAD
    assert watched.answered == watched.asked
