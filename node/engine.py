"""The seam where consensus sits, and the engine of a chain with one validator.

An engine owns the order of calls on an `Application`, the clock, the signer and nothing else. The single
validator's engine goes the same way as any other: propose, process, sign the precommit through the guard,
finalize, commit; only that its own precommit already is more than two thirds of the power.

A block is proposed when transactions wait; else `settle_interval` after a block that did something, so
that its root gets a header; else after `idle_interval`. While the pool holds only what no block takes now
(its price has risen, say) nothing is proposed for it.

Restart, at any instant: the ledger holds whole blocks only. If the guard has already signed at the next
height, the new proposal goes into the next round, so nothing is ever signed twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from consensus.signer import SignerGuard
from node.application import Application, Pending, Proposal
from node.metrics import NodeMetrics
from node.steps import drive
from qenex.block import FLAG_ABSENT, FLAG_COMMIT, Commit, CommitSignature
from qenex.crypto.address import Address
from qenex.errors import DoubleSignRefused, InternalError

log = logging.getLogger("qenex.engine")

Clock = Callable[[], int]
"""Nanoseconds since 1970."""


class EngineStatus(NamedTuple):
    """Where an engine stands: the height it works on, its round, and what it waits for."""

    height: int
    round: int
    step: str


class Engine(Protocol):
    """What a node asks of consensus, whichever it is."""

    @property
    def status(self) -> EngineStatus:
        """Where it stands now."""
        ...

    def wake(self) -> None:
        """Something may be there to propose."""
        ...

    async def run(self) -> None:
        """Make blocks until `stop`. Raises what no engine can go on after, with nothing half-written."""
        ...

    def stop(self) -> None:
        """Finish the block in hand, then let `run` return."""
        ...


class Intervals(NamedTuple):
    """Times between blocks in seconds; see the module."""

    minimum: float = 0.02
    settle: float = 1.0
    idle: float = 10.0


class SingleValidatorEngine:
    """See the module. `address` is the validator's; `guard` holds its key."""

    def __init__(
        self,
        application: Application,
        guard: SignerGuard,
        address: Address,
        *,
        intervals: Intervals | None = None,
        max_block_bytes: int = 4 << 20,
        metrics: NodeMetrics | None = None,
        clock: Clock = time.time_ns,
    ) -> None:
        self._application = application
        self._guard = guard
        self._address = address
        self._intervals = intervals or Intervals()
        self._max_block_bytes = max_block_bytes
        self._metrics = metrics or NodeMetrics()
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopping = False
        self._step = "idle"
        self._last = time.monotonic()
        """Monotonic time of the last block, or of the start."""
        self._writing: asyncio.Task[None] | None = None
        self._eventful = True

    @property
    def status(self) -> EngineStatus:
        """Where it stands now."""
        return EngineStatus(self._application.ledger.height + 1, self._round(), self._step)

    def _round(self) -> int:
        try:
            return self._guard.free_round(self._application.ledger.height + 1)
        except DoubleSignRefused:
            return 0

    def wake(self) -> None:
        """Transactions wait."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after the block in hand."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Make blocks until `stop`.

        Raises StorageFault or OSError when the disk fails, DoubleSignRefused when the chain's data are
        older than what this key signed, InternalError when the application refuses its own proposal.
        """
        try:
            while not self.stopping:
                urgent = await self._until_due()
                if not self.stopping:
                    await self._make_block(may_be_empty=not urgent)
        finally:
            await self._written()
            self._step = "stopped"

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    async def _until_due(self) -> bool:
        """Wait for a reason to propose; True if it is waiting transactions, False if it is time."""
        intervals, loop = self._intervals, asyncio.get_running_loop()
        self._step = "waiting"
        quiet = intervals.settle if self._eventful else intervals.idle
        due = self._last + quiet if self._application.parent is not None else loop.time()
        writing = self._writing
        while not self.stopping:
            if writing is not None and writing.done():
                await self._written()  # a failed write ends the engine at once, not at the next block
                writing = None
            now = loop.time()
            earliest = self._last + intervals.minimum
            if self._wake.is_set() and len(self._application.mempool):
                if now >= earliest:
                    return True
                await asyncio.sleep(earliest - now)
                continue
            if now >= due:
                return False
            self._wake.clear()
            await self._sleep(due - now)
        return False

    async def _sleep(self, seconds: float) -> None:
        """Until somebody wakes us, or the last block's write ends, or this time is over."""
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            waiting = [waking] if self._writing is None else [waking, self._writing]
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def _make_block(self, *, may_be_empty: bool) -> None:
        application = self._application
        height = application.ledger.height + 1
        round = self._guard.free_round(height)
        self._wake.clear()
        self._step = "propose"
        started = time.perf_counter()
        proposal = await drive(
            application.prepare_proposal_steps(
                max(self._clock(), application.parent_time + 1),
                self._address,
                max_bytes=self._max_block_bytes,
            )
        )
        started = self._observe("propose", started)
        if not proposal.block.transactions and not may_be_empty:
            return  # nothing of what waits can stand now
        self._step = "process"
        answer = await drive(application.process_proposal_steps(proposal.block))
        if not answer.accepted:
            raise InternalError(f"the node refuses its own proposal: {answer.reason}")
        # The last block must be on disk before anything of the next one is signed.
        await self._written()
        self._step = "precommit"
        started = time.perf_counter()
        commit = await self._sign(proposal, height, round)
        started = self._observe("sign", started)
        self._step = "commit"
        await drive(application.finalize_block_steps(proposal.block))
        pending = application.commit_begin(proposal.block, commit)
        self._last = asyncio.get_running_loop().time()
        # The genesis state's first root stands in the second header: proofs need it soon.
        self._eventful = pending.committed.eventful or height == application.genesis.initial_height
        self._writing = asyncio.create_task(self._write(pending))
        started = self._observe("commit", started)
        await drive(application.admission.recheck_steps())
        self._observe("recheck", started)
        if pending.committed.result.receipts and len(application.mempool):
            self._wake.set()  # what did not fit goes into the next block

    def _observe(self, stage: str, started: float) -> float:
        now = time.perf_counter()
        self._metrics.stages[stage].observe(now - started)
        return now

    async def _sign(self, proposal: Proposal, height: int, round: int) -> Commit:
        """Precommit, durable in the guard before it counts; the tree is built meanwhile."""
        application = self._application
        loop = asyncio.get_running_loop()
        # The guard waits for the disk without the interpreter lock.
        signing = loop.run_in_executor(None, self._guard.sign_precommit, height, round, proposal.hash)
        try:
            started = time.perf_counter()
            await drive(application.build_tree_steps(proposal.hash))
            self._observe("tree", started)
        finally:
            signature = await signing
        votes = [
            CommitSignature(v.address, FLAG_COMMIT, signature)
            if v.address == self._address
            else CommitSignature(v.address, FLAG_ABSENT, b"")
            for v in application.validators
        ]
        return Commit(height, round, proposal.hash, tuple(votes))

    async def _write(self, pending: Pending) -> None:
        """Write the block in a thread, while the next one is executed; then tell everybody."""
        application = self._application
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, application.ledger.write, pending.staged)
        self._observe("write", started)
        application.commit_end(pending)
        committed = pending.committed
        log.debug(
            "block committed",
            extra={"height": committed.height, "transactions": len(committed.result.receipts)},
        )
        await drive(application.upkeep_steps())

    async def _written(self) -> None:
        """Wait until the last block is durable. Raises what its write raised."""
        if self._writing is not None:
            await self._writing
            self._writing = None
