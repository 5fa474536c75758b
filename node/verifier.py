"""Signature verification in worker processes, fed with chunks.

Threads do not help beside a busy Python loop: each verification would wait for the interpreter lock. A
chunk of up to 256 items costs the event loop one `packb` and one `send` (under 1 us an item, measured
in benchmarks/test_verifier.py). Single items are gathered: at once while a worker is idle, else for up
to 2 ms or until a chunk is full.

A worker that dies is replaced and its chunks are given to another. There is no verdict without a
complete answer: a chunk whose workers die again and again fails with ProcessFailed, never as "valid".
Answers to single items come in the order in which they were asked, so that a sender's transactions are
admitted in theirs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgpack

from node.child import Child
from node.verifier_worker import AnyItem, verify_item
from qenex.errors import LimitExceeded, ProcessFailed
from qenex.hashing import hasher
from qenex.transaction import Transaction, Transfer

log = logging.getLogger("qenex.verifier")

CHUNK_ITEMS: Final = 256
CHUNK_BYTES: Final = 1 << 20
GATHER_SECONDS: Final = 0.002
INLINE_ITEMS: Final = 2
"""So few are verified at once here: a round trip to a worker takes longer, and on a full machine it waits for its turn."""
URGENT_ITEMS: Final = 32
"""Votes of one chunk: several workers share what comes together."""
OUTSTANDING_CHUNKS: Final = 3
"""Chunks at one worker: one in work, the others waiting. A chunk takes 10 ms, and the loop may be busy for 20 before it hands
over another one: with one waiting workers had nothing to do for a fifth of their time."""
MAX_TRIES: Final = 3
MAX_DEATHS: Final = 5
"""Deaths of one worker without a single answer, after which it is not started again."""
MAX_WORKERS: Final = 64
DEFAULT_MAX_WORKERS: Final = 8

_fingerprint = hasher("qx.keys")


def item_of(tx: Transaction, keys: tuple[bytes, ...]) -> AnyItem:
    """What is to verify for a transaction under these keys (tag + public key per signer)."""
    if type(tx) is Transfer and len(keys) == 1:
        return tx.raw, keys[0]
    return tx.body_bytes, keys, tx.signatures


def size_of(item: AnyItem) -> int:
    """Bytes that a waiting item holds. A body may have 200 bytes and its signatures 60 KiB."""
    if len(item) == 2:
        return len(item[0]) + len(item[1])
    message, keys, signatures = item
    if len(keys) == 1 == len(signatures) and type(signatures[0]) is bytes:
        return len(message) + len(keys[0]) + len(signatures[0])
    parts: list[object] = [*keys]
    for signature in signatures:
        parts += signature if isinstance(signature, tuple) else (signature,)
    return len(message) + sum([len(part) for part in parts if isinstance(part, bytes)])


class VerifiedCache:
    """Witness id -> the keys with which all its signatures were found valid. Bounded, two generations.

    A hit counts only for the same keys: an account may have rotated its key since.
    """

    __slots__ = ("_half", "_old", "_young", "hits", "misses")

    def __init__(self, capacity: int = 100_000) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, witness_id: bytes, keys: tuple[bytes, ...]) -> None:
        """Remember that the signatures of these raw bytes are valid under `keys`."""
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[witness_id] = self._name(keys)

    def holds(self, witness_id: bytes, keys: tuple[bytes, ...]) -> bool:
        """Whether they were verified under exactly these keys."""
        known = self._young.get(witness_id) or self._old.get(witness_id)
        if known is not None and known == self._name(keys):
            self.hits += 1
            return True
        self.misses += 1
        return False

    @staticmethod
    def _name(keys: tuple[bytes, ...]) -> bytes:
        if len(keys) == 1 and len(keys[0]) <= 64:
            return keys[0]
        return _fingerprint(msgpack.packb(keys))


class _Chunk:
    """Items on their way; `answer` is set once, by one complete answer."""

    __slots__ = ("answer", "error", "futures", "items", "size", "tries", "whole")

    def __init__(
        self,
        items: Sequence[AnyItem],
        futures: Sequence[asyncio.Future[bool]],
        whole: asyncio.Future[None] | None,
        size: int,
    ) -> None:
        self.items = items
        self.size = size
        self.futures = futures
        self.whole = whole
        self.answer: list[bool] | None = None
        self.error: ProcessFailed | None = None
        self.tries = 0


class _Worker:
    """One process and the chunks it has."""

    __slots__ = ("child", "chunks", "deaths")

    def __init__(
        self, answered: Callable[[_Worker, memoryview], None], lost: Callable[[_Worker], None]
    ) -> None:
        self.deaths = 0
        self.chunks: deque[_Chunk] = deque()
        self.child = Child("verifier_worker", partial(answered, self), partial(lost, self))

    @property
    def started(self) -> bool:
        return self.child.started


class Verifier:
    """See the module. All methods belong to one event loop; `verify_now` needs none."""

    def __init__(
        self,
        workers: int | None = None,
        *,
        max_queued: int = 32_768,
        max_queued_bytes: int = 64 << 20,
        cache_entries: int = 100_000,
    ) -> None:
        """`workers` None: one for each core, at most 8. With 0 everything is verified here."""
        if workers is None:
            workers = min(os.cpu_count() or 1, DEFAULT_MAX_WORKERS)
        self._workers = [_Worker(self._answered, self._lost) for _ in range(min(workers, MAX_WORKERS))]
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self.cache = VerifiedCache(cache_entries)
        self.queued = 0
        """Items that wait for an answer."""
        self.queued_bytes = 0
        self.verified = 0
        self.respawned = 0
        self._waiting: deque[_Chunk] = deque()
        self._single_items: list[AnyItem] = []
        self._single_futures: list[asyncio.Future[bool]] = []
        self._single_bytes = 0
        self._in_order: deque[_Chunk] = deque()
        self._flush_timer: asyncio.Handle | None = None
        self._room: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the worker processes."""
        self._loop = asyncio.get_running_loop()
        for worker in self._workers:
            worker.child.spawn()

    async def stop(self) -> None:
        """End the workers; what still waits fails with ProcessFailed."""
        running = [worker for worker in self._workers if worker.started]
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        failed = ProcessFailed("the verifier was stopped")
        for worker in running:
            worker.child.end()
            for chunk in worker.chunks:
                self._fail(chunk, failed)
        for chunk in self._waiting:
            self._fail(chunk, failed)
        self._waiting.clear()
        for future in self._single_futures:
            if not future.done():
                future.set_exception(failed)
        for room in self._room:
            if not room.done():
                room.set_exception(failed)
        self._single_items, self._single_futures, self._single_bytes = [], [], 0
        self._in_order.clear()
        self._loop = None

    @property
    def alive(self) -> int:
        """Running worker processes."""
        return sum([worker.started for worker in self._workers])

    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.child.process.pid for worker in self._workers if worker.started]

    # -- asking ----------------------------------------------------------------------------

    @staticmethod
    def verify_now(items: Sequence[AnyItem]) -> list[bool]:
        """Verify here and now: for few items, or where no worker runs."""
        return [verify_item(item) for item in items]

    def check(self, tx: Transaction, keys: tuple[bytes, ...]) -> bool:
        """What the machine asks: the cache first, then here and now, and remember."""
        if tx.verified == keys or self.cache.holds(tx.witness_id, keys):
            return True
        if not verify_item(item_of(tx, keys)):
            return False
        self._remember(tx, keys)
        return True

    def _remember(self, tx: Transaction, keys: tuple[bytes, ...]) -> None:
        """In the object for those who have it (a pending transaction), by its raw bytes for all others."""
        tx.verified = keys
        self.cache.add(tx.witness_id, keys)

    async def verify_transaction(self, tx: Transaction, keys: tuple[bytes, ...]) -> bool:
        """Verify one transaction in a gathered chunk and remember it. Raises LimitExceeded, ProcessFailed."""
        if self.cache.holds(tx.witness_id, keys):
            return True
        valid = await self.verify_one(item_of(tx, keys))
        if valid:
            self._remember(tx, keys)
        return valid

    def verify_one(self, item: AnyItem) -> asyncio.Future[bool]:
        """Verify one item with others that come at the same time; answers come in the order of asking.

        Raises LimitExceeded at once when the queue is full; the future fails with ProcessFailed.
        """
        loop = self._loop or asyncio.get_running_loop()
        size = size_of(item)
        self._check_room(1, size)
        future: asyncio.Future[bool] = loop.create_future()
        self._take_room(1, size)
        self._single_items.append(item)
        self._single_futures.append(future)
        self._single_bytes += size
        if len(self._single_items) >= CHUNK_ITEMS or self._single_bytes >= CHUNK_BYTES:
            self._flush()
        elif self._flush_timer is None:
            # Everything that arrives in this turn of the loop goes together.
            idle = not self.alive or any(w.started and not w.chunks for w in self._workers)
            self._flush_timer = (
                loop.call_soon(self._flush) if idle else loop.call_later(GATHER_SECONDS, self._flush)
            )
        return future

    async def verify(self, items: Sequence[AnyItem], *, wait: bool = True) -> list[bool]:
        """Verify many items; the answer has their order.

        With `wait` it takes its place in the queue bit by bit, else raises LimitExceeded when there is
        no room for all. Raises ProcessFailed if workers die again and again over them.
        """
        if not wait:
            self._check_room(len(items), sum([size_of(item) for item in items]))
        if len(items) <= INLINE_ITEMS and not self.queued and all(len(item) == 2 for item in items):
            self.verified += len(items)
            return self.verify_now(items)
        if not self.alive:
            return await self._verify_here(items)
        loop = asyncio.get_running_loop()
        chunks: list[_Chunk] = []
        at = 0
        while at < len(items):
            end, size = _chunk_end(items, at)
            while wait and self.queued and not self._has_room(end - at, size):
                room: asyncio.Future[None] = loop.create_future()
                self._room.append(room)
                await room
            self._take_room(end - at, size)
            chunk = _Chunk(items[at:end], (), loop.create_future(), size)
            chunks.append(chunk)
            self._waiting.append(chunk)
            self._dispatch()
            at = end
        answer: list[bool] = []
        for chunk in chunks:
            assert chunk.whole is not None
            await chunk.whole
        for chunk in chunks:
            if chunk.error is not None:
                raise chunk.error
            answer += chunk.answer or ()
        return answer

    async def verify_urgent(self, items: Sequence[AnyItem]) -> list[bool]:
        """Verify items whose number the caller bounds, before all that waits; the answer has their order.

        They take no part in the queue's bound: whoever floods the queue must not keep votes out. Raises
        ProcessFailed.
        """
        if not self.alive:
            return await self._verify_here(items)
        loop = asyncio.get_running_loop()
        parts = [items[at : at + URGENT_ITEMS] for at in range(0, len(items), URGENT_ITEMS)]
        chunks = [
            _Chunk(part, (), loop.create_future(), sum([size_of(item) for item in part])) for part in parts
        ]
        for chunk in reversed(chunks):
            self._take_room(len(chunk.items), chunk.size)
            self._waiting.appendleft(chunk)
        self._dispatch()
        answer: list[bool] = []
        for chunk in chunks:
            assert chunk.whole is not None
            await chunk.whole
            if chunk.error is not None:
                raise chunk.error
            answer += chunk.answer or ()
        return answer

    async def verify_all(
        self, pairs: Sequence[tuple[Transaction, tuple[bytes, ...]]], *, remember: bool = True
    ) -> list[bool]:
        """Verify many transactions with their keys: what the cache does not hold, in chunks.

        What is valid is noted in the objects, and with `remember` by its raw bytes for whoever decodes them
        again. Admission does without: a block finds what waits by the pool, object and note together.
        """
        holds, add = self.cache.holds, self.cache.add
        if len(self.cache):
            answer = [tx.verified == keys or holds(tx.witness_id, keys) for tx, keys in pairs]
        else:
            answer = [tx.verified == keys for tx, keys in pairs]
        if True not in answer:
            missing = pairs
        else:
            missing = [pair for pair, known in zip(pairs, answer, strict=True) if not known]
        verdicts = iter(await self.verify([item_of(tx, keys) for tx, keys in missing]))
        for index, (tx, keys) in enumerate(pairs):
            if not answer[index] and next(verdicts):
                tx.verified = keys  # `_remember`, without a call
                if remember:
                    add(tx.witness_id, keys)
                answer[index] = True
        return answer

    async def _verify_here(self, items: Sequence[AnyItem]) -> list[bool]:
        answer: list[bool] = []
        for start in range(0, len(items), 64):
            answer += self.verify_now(items[start : start + 64])
            self.verified += len(items[start : start + 64])
            await asyncio.sleep(0)
        return answer

    # -- room ------------------------------------------------------------------------------

    def _has_room(self, count: int, size: int) -> bool:
        return self.queued + count <= self._max_queued and self.queued_bytes + size <= self._max_queued_bytes

    def _check_room(self, count: int, size: int) -> None:
        if not self._has_room(count, size):
            raise LimitExceeded(
                f"{self.queued} signatures wait for verification", hint="send more slowly, or try again later"
            )

    def _take_room(self, count: int, size: int) -> None:
        self.queued += count
        self.queued_bytes += size

    def _give_room(self, chunk: _Chunk) -> None:
        self.queued -= len(chunk.items)
        self.queued_bytes -= chunk.size
        while self._room:
            room = self._room.popleft()
            if not room.done():
                room.set_result(None)

    # -- chunks ----------------------------------------------------------------------------

    def _flush(self) -> None:
        """Turn the gathered single items into a chunk."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._single_items:
            return
        chunk = _Chunk(self._single_items, self._single_futures, None, self._single_bytes)
        self._single_items, self._single_futures, self._single_bytes = [], [], 0
        self._in_order.append(chunk)
        if not self.alive or (len(chunk.items) <= INLINE_ITEMS and not self._waiting):
            self._answer(chunk, self.verify_now(chunk.items))
        else:
            self._waiting.append(chunk)
            self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting:
            free = [w for w in self._workers if w.started and len(w.chunks) < OUTSTANDING_CHUNKS]
            if not free:
                return
            worker = min(free, key=lambda w: len(w.chunks))
            chunk = self._waiting.popleft()
            worker.chunks.append(chunk)
            worker.child.send(msgpack.packb(chunk.items))

    def _answered(self, worker: _Worker, frame: memoryview) -> None:
        bitmap = int.from_bytes(frame, "little")
        count = len(worker.chunks[0].items) if worker.chunks else 0
        if not count or len(frame) != (count + 7) // 8 or bitmap >> count:
            self._lost(worker)  # it answers something else than it was asked
            return
        chunk = worker.chunks.popleft()
        worker.deaths = 0
        if bitmap + 1 == 1 << count:  # nearly always: all are valid
            self._answer(chunk, [True] * count)
        else:
            self._answer(chunk, [bool(bitmap >> index & 1) for index in range(count)])
        self._dispatch()

    def _answer(self, chunk: _Chunk, answer: list[bool]) -> None:
        chunk.answer = answer
        self.verified += len(answer)
        self._done(chunk)

    def _fail(self, chunk: _Chunk, error: ProcessFailed) -> None:
        chunk.error = error
        self._done(chunk)

    def _done(self, chunk: _Chunk) -> None:
        self._give_room(chunk)
        if chunk.whole is not None and not chunk.whole.done():
            chunk.whole.set_result(None)
        while self._in_order and (
            self._in_order[0].answer is not None or self._in_order[0].error is not None
        ):
            self._resolve(self._in_order.popleft())

    @staticmethod
    def _resolve(chunk: _Chunk) -> None:
        if chunk.error is not None:
            for future in chunk.futures:
                if not future.done():
                    future.set_exception(chunk.error)
            return
        for future, valid in zip(chunk.futures, chunk.answer or (), strict=True):
            if not future.done():
                future.set_result(valid)

    # -- a worker that died ----------------------------------------------------------------

    def _lost(self, worker: _Worker) -> None:
        worker.child.end()
        worker.deaths += 1
        chunks = list(worker.chunks)
        worker.chunks.clear()
        log.warning(
            "verifier worker ended",
            extra={
                "exit_code": worker.child.process.returncode,
                "chunks": len(chunks),
                "deaths": worker.deaths,
            },
        )
        if worker.deaths < MAX_DEATHS:
            try:
                worker.child.spawn()
                self.respawned += 1
            except OSError as error:
                # No memory or no descriptor left for it: the others, or this process, do its work.
                log.error("a verifier worker cannot be started", extra={"reason": str(error)})
        # The first chunk was in work; what waited behind it is not to blame.
        if chunks:
            chunks[0].tries += 1
        for chunk in reversed(chunks):
            if chunk.tries >= MAX_TRIES:
                self._fail(chunk, ProcessFailed("signature verification failed again and again"))
            else:
                self._waiting.appendleft(chunk)
        if not self.alive:
            log.error("no verifier worker can be started; verifying in the node's own process")
            while self._waiting:
                chunk = self._waiting.popleft()
                self._answer(chunk, self.verify_now(chunk.items))
        self._dispatch()


def _chunk_end(items: Sequence[AnyItem], start: int) -> tuple[int, int]:
    """Where the chunk that begins at `start` ends, and the size of its items in bytes."""
    size = 0
    for index in range(start, min(start + CHUNK_ITEMS, len(items))):
        item = items[index]
        size += len(item[0]) + len(item[1]) if len(item) == 2 else size_of(item)
        if size >= CHUNK_BYTES:
            return index + 1, size
    return min(start + CHUNK_ITEMS, len(items)), size
