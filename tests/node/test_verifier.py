"""Verifier processes: same verdicts as inline, order, lost workers, bounds, no orphans."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from node.verifier import CHUNK_ITEMS, VerifiedCache, Verifier, item_of
from node.verifier_worker import Item, verify_item
from qenex.crypto import SCHEMES, key_bytes
from qenex.errors import LimitExceeded, ProcessFailed
from qenex.transaction import (
    Fee,
    Message,
    Signer,
    Transaction,
    Transfer,
    assemble,
    decode_transaction,
    encode_body,
)
from tests.node.pool_helpers import address, make

ED = SCHEMES["ed25519"]
PUBLIC, SECRET = ED.generate(bytes(32))
KEY = key_bytes(ED.tag, PUBLIC)


def signed(number: int, *, valid: bool = True) -> Item:
    message = b"message %d" % number
    signature = ED.sign(SECRET, message)
    return message if valid else message + b"!", (KEY,), (signature,)


@pytest.fixture
async def verifier():
    instance = Verifier(2)
    await instance.start()
    yield instance
    await instance.stop()


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "slh-dsa-sha2-128s"])
def test_an_item_is_valid_only_if_every_signature_is(scheme: str):
    kind = SCHEMES[scheme]
    public, secret = kind.generate(bytes([7]) * kind.seed_size)
    key, good = key_bytes(kind.tag, public), kind.sign(secret, b"m")
    ed_good = ED.sign(SECRET, b"m")
    assert verify_item((b"m", (key,), (good,)))
    assert verify_item((b"m", (key, KEY), (good, ed_good)))
    assert not verify_item((b"m", (key, KEY), (good, good)))
    assert not verify_item((b"n", (key,), (good,)))


@pytest.mark.parametrize(
    "item",
    [
        (b"m", (), ()),
        (b"m", (KEY,), ()),
        (b"m", (KEY,), (b"",)),
        (b"m", (KEY,), (None,)),
        (b"m", (KEY,), ((b"a", None),)),
        (b"m", (b"",), (bytes(64),)),
        (b"m", (b"\xff" + PUBLIC,), (bytes(64),)),
        (b"m", (KEY[:-1],), (bytes(64),)),
    ],
)
def test_what_is_ill_formed_is_invalid(item: Item):
    assert verify_item(item) is False


async def test_workers_say_what_inline_verification_says(verifier: Verifier):
    items = [signed(n, valid=n % 3 != 0) for n in range(3 * CHUNK_ITEMS + 7)]
    assert await verifier.verify(items) == [n % 3 != 0 for n in range(len(items))]
    assert verifier.queued == verifier.queued_bytes == 0


def transfer(number: int, *, valid: bool = True, payments: int = 1) -> Transaction:
    """A plain transfer, which travels to the workers as it came."""
    messages = [Message("bank.send", (address(2), ("QXC", 1 + number)), 0)] * payments
    body = encode_body("test-1", [Signer(address(1), number, None, None)], messages, Fee(10**9, 1_000, 0), 9)
    tx = decode_transaction(assemble(body, [ED.sign(SECRET, body if valid else b"!" + body)]))
    assert isinstance(tx, Transfer)
    return tx


@pytest.mark.parametrize("payments", [1, 4, 128])
async def test_transfers_are_judged_from_their_raw_bytes(verifier: Verifier, payments: int):
    other = SCHEMES["ed25519"].generate(bytes([1]) * 32)[0]
    keys = [KEY, KEY, key_bytes(ED.tag, other), b"\xff" + PUBLIC, KEY[:-1], b"", b"\x02" + bytes(1312)]
    verdicts = [True, False, False, False, False, False, False]
    pairs = [(transfer(n, valid=n != 1, payments=payments), (key,)) for n, key in enumerate(keys)]
    items = [item_of(tx, keys) for tx, keys in pairs]
    assert {len(item) for item in items} == {2}
    assert [verify_item(item) for item in items] == verdicts
    assert [verify_item((tx.body_bytes, keys, tx.signatures)) for tx, keys in pairs] == verdicts
    assert await verifier.verify_all(pairs) == verdicts
    assert [tx.verified for tx, _ in pairs] == [(KEY,), *[None] * 6]
    again = [(transfer(n, payments=payments), (KEY,)) for n in range(3)]
    assert await verifier.verify_all(again) == [True] * 3
    assert verifier.verified == 9, "the first was known by its raw bytes"


async def test_single_items_are_gathered_and_answered_in_order(verifier: Verifier):
    done: list[int] = []
    futures = []
    for number in range(1_000):
        future = verifier.verify_one(signed(number, valid=number % 7 != 0))
        future.add_done_callback(partial(lambda number, _: done.append(number), number))
        futures.append(future)
    assert await asyncio.gather(*futures) == [number % 7 != 0 for number in range(1_000)]
    await asyncio.sleep(0)
    assert done == list(range(1_000))


async def test_a_single_item_needs_no_worker(verifier: Verifier):
    assert await verifier.verify_one(signed(1))
    assert not await verifier.verify_one(signed(1, valid=False))


async def test_a_transfer_or_two_need_no_worker_while_nothing_waits(verifier: Verifier):
    items = [item_of(transfer(number, valid=number != 1), (KEY,)) for number in range(3)]
    for pid in verifier.pids():
        os.kill(pid, signal.SIGSTOP)
    assert await verifier.verify(items[:2]) == [True, False]
    assert verifier.queued == 0
    assert verifier.verified == 2
    one_more = asyncio.ensure_future(verifier.verify(items))
    behind = asyncio.ensure_future(verifier.verify(items[:1]))  # while something waits it keeps its place
    await asyncio.sleep(0)
    assert verifier.queued == 4
    for pid in verifier.pids():
        os.kill(pid, signal.SIGCONT)
    assert await one_more == [True, False, True]
    assert await behind == [True]


async def test_without_workers_everything_is_verified_here():
    verifier = Verifier(0)
    await verifier.start()
    assert await verifier.verify([signed(1), signed(2, valid=False)]) == [True, False]
    assert await verifier.verify_one(signed(3))
    await verifier.stop()


async def test_a_killed_worker_is_replaced_and_its_chunks_are_answered(verifier: Verifier):
    items = [signed(n, valid=n % 2 == 0) for n in range(4_000)]
    task = asyncio.create_task(verifier.verify(items))
    await asyncio.sleep(0.01)
    for pid in verifier.pids():
        os.kill(pid, signal.SIGKILL)
    assert await task == [n % 2 == 0 for n in range(4_000)]
    assert verifier.respawned >= 1
    assert verifier.alive == 2


async def test_a_worker_stopped_in_the_middle_never_counts_as_valid(verifier: Verifier):
    pids = verifier.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    bad = [signed(n, valid=False) for n in range(600)]
    task = asyncio.create_task(verifier.verify(bad))
    await asyncio.sleep(0.05)
    assert not task.done()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert await task == [False] * 600


async def test_workers_that_cannot_live_give_an_error_or_an_inline_verdict(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("node.child._COMMAND", "import sys; sys.exit(3)")
    verifier = Verifier(1)
    await verifier.start()
    try:
        answer = await verifier.verify([signed(n, valid=n == 0) for n in range(300)])
        assert answer == [n == 0 for n in range(300)]
    except ProcessFailed:
        pass
    assert await verifier.verify([signed(1)]) == [True]
    await verifier.stop()


async def test_a_worker_that_cannot_be_started_again_leaves_its_work_to_this_process(
    monkeypatch: pytest.MonkeyPatch,
):
    """No descriptor left: its chunks waited for ever once."""
    verifier = Verifier(1)
    await verifier.start()
    (pid,) = verifier.pids()
    os.kill(pid, signal.SIGSTOP)
    task = asyncio.create_task(verifier.verify([signed(n, valid=n % 2 == 0) for n in range(300)]))
    await asyncio.sleep(0.05)

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("node.child.socket.socketpair", fail)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(task, 20) == [n % 2 == 0 for n in range(300)]
    assert (verifier.alive, verifier.respawned) == (0, 0)
    await verifier.stop()


async def test_a_worker_that_lies_about_the_length_is_not_believed(monkeypatch: pytest.MonkeyPatch):
    liar = (
        "import socket, sys; s = socket.socket(fileno=int(sys.argv[-1])); s.recv(9); "
        "s.sendall(b'\\x01\\x00\\x00\\x00\\xff'); s.recv(1 << 20)"
    )
    monkeypatch.setattr("node.child._COMMAND", liar)
    verifier = Verifier(1)
    await verifier.start()
    with contextlib.suppress(ProcessFailed):
        assert not any(await verifier.verify([signed(n, valid=False) for n in range(300)]))
    await verifier.stop()


async def test_a_full_queue_refuses_and_a_patient_caller_waits():
    verifier = Verifier(1, max_queued=512)
    await verifier.start()
    items = [signed(n) for n in range(2_000)]
    with pytest.raises(LimitExceeded):
        await verifier.verify(items, wait=False)
    patient = asyncio.create_task(verifier.verify(items))
    await asyncio.sleep(0)
    room = 512 - verifier.queued
    for _ in range(room):
        verifier.verify_one(items[0])
    with pytest.raises(LimitExceeded):
        verifier.verify_one(items[0])
    assert verifier.queued <= 512
    assert await patient == [True] * 2_000
    await verifier.stop()


async def test_stopping_fails_what_waits_and_ends_the_processes():
    verifier = Verifier(2)
    await verifier.start()
    pids = verifier.pids()
    task = asyncio.create_task(verifier.verify([signed(n) for n in range(20_000)]))
    await asyncio.sleep(0)
    await verifier.stop()
    with pytest.raises(ProcessFailed):
        await task
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_killed_parent_leaves_no_orphans(repository: Path):
    script = (
        "import asyncio, sys\n"
        "from node.verifier import Verifier\n"
        "async def main():\n"
        "    v = Verifier(2)\n"
        "    await v.start()\n"
        "    print(*v.pids(), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    descriptors = [os.pidfd_open(pid) for pid in pids]
    parent.kill()
    parent.wait()
    import select

    for descriptor in descriptors:
        ready, _, _ = select.select([descriptor], [], [], 10)
        assert ready, "a worker outlived its parent"
        os.close(descriptor)


def test_a_verified_transaction_counts_only_under_the_same_keys():
    cache = VerifiedCache(10)
    cache.add(b"w" * 32, (KEY,))
    assert cache.holds(b"w" * 32, (KEY,))
    assert not cache.holds(b"w" * 32, (b"\x01" + bytes(32),))
    assert not cache.holds(b"v" * 32, (KEY,))
    long = b"\x02" + bytes(1312)
    cache.add(b"x" * 32, (long, KEY))
    assert cache.holds(b"x" * 32, (long, KEY))
    assert not cache.holds(b"x" * 32, (KEY, long))
    for number in range(100):
        cache.add(number.to_bytes(32, "big"), (KEY,))
    assert len(cache) <= 10


def test_the_machine_is_answered_from_the_cache_only_after_a_verification():
    verifier = Verifier(0)
    forged = make((1, 0))
    assert not verifier.check(forged, (KEY,))
    assert not verifier.cache.holds(forged.witness_id, (KEY,))
    body = forged.body_bytes
    good = make((1, 0), signature=ED.sign(SECRET, body))
    assert verifier.check(good, (KEY,))
    assert verifier.cache.holds(good.witness_id, (KEY,))
    assert item_of(good, (KEY,)) == (body, (KEY,), good.signatures)


async def test_the_queue_counts_the_bytes_of_signatures_too():
    """A short body under 16 KiB of garbage signature: bounding bodies alone bounds nothing."""
    verifier = Verifier(0, max_queued_bytes=100_000)
    item = b"body", (KEY,), (bytes(16_384),)
    waiting = [verifier.verify_one(item) for _ in range(6)]
    with pytest.raises(LimitExceeded):
        verifier.verify_one(item)
    assert await asyncio.gather(*waiting) == [False] * 6
    assert verifier.queued == verifier.queued_bytes == 0
