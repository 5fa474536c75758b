"""What the engine has done with blocks: built, fetched, checked, made final. One execution at a time.

A block is checked once, whatever rounds it is proposed in. Its state tree is built while others vote. The write of
a block runs in a thread while the next one is built or checked; `written` says when it is over, and
nothing of the next height may be signed before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from node.application import Application
from node.bft_bodies import Bodies
from node.bft_face import Gossip
from node.bft_options import Window
from node.floor import Work, floor
from node.metrics import NodeMetrics
from node.outcomes import Committed, Decided, Pending, Proposal
from node.steps import drive
from node.validation import Rejected
from qenex.block import MAX_BLOCK_SIZE, Block, Commit, Evidence, block_hash
from qenex.crypto.address import Address
from qenex.errors import InternalError

log = logging.getLogger("qenex.engine")

FILL_SECONDS: Final = 0.4
"""A proposal is filled for so long. Under load it then takes others as long to check, and a slow or busy machine
makes smaller blocks instead of rounds that fail."""

Clock = Callable[[], int]
"""Nanoseconds since 1970."""
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Runs work whose failure is the engine's end."""


class BlockWork:
    """See the module. `address` None: this node proposes nothing. `spawn` runs the write of a block."""

    def __init__(
        self,
        application: Application,
        gossip: Gossip,
        address: Address | None,
        spawn: Spawn,
        *,
        window: Window,
        clock: Clock,
        metrics: NodeMetrics,
        max_block_bytes: int = MAX_BLOCK_SIZE,
    ) -> None:
        self._application = application
        self._gossip = gossip
        self._address = address
        self._spawn = spawn
        self._window = window
        self._clock = clock
        self._metrics = metrics
        self._max_block_bytes = max_block_bytes
        self.bodies = Bodies()
        self.last: Block | None = None
        """The last block that was decided here, for peers one height behind."""
        self.last_hash = b""
        self._turn = asyncio.Lock()
        """For who executes."""
        self._tree_turn = asyncio.Lock()
        """For who computes a tree: beside the next block's execution."""
        self._verdicts: dict[bytes, bool] = {}
        self._fetching: dict[bytes, asyncio.Task[Block]] = {}
        self._growing: dict[bytes, asyncio.Task[None]] = {}
        self._rooting: asyncio.Task[None] | None = None
        self._pending: Pending | None = None
        self._writing: asyncio.Task[None] | None = None
        self._rechecking: asyncio.Task[None] | None = None
        self.untimely = 0
        """Proposals that came outside the window around their time."""

    # -- bodies ------------------------------------------------------------------------------

    def find(self, name: bytes) -> Block | None:
        """A body that is at hand."""
        if name == self.last_hash:
            return self.last
        return self.bodies.get(name)

    async def body(self, name: bytes) -> Block:
        """The body, from memory or from whoever has it. Waits as long as it takes."""
        block = self.bodies.get(name)
        if block is not None:
            return block
        if name not in self._fetching:
            self._fetching[name] = asyncio.create_task(self._fetch(name))
        return await self.bodies.wait(name)

    async def _fetch(self, name: bytes) -> Block:
        try:
            block = await self._gossip.fetch_body(name)
            self.bodies.put(name, block)
            return block
        finally:
            self._fetching.pop(name, None)

    def clear(self) -> None:
        """The height is over: nobody waits for its bodies any more."""
        for task in list(self._fetching.values()):
            task.cancel()
        self.bodies.clear()
        self._verdicts.clear()

    def take(self, block: Block) -> None:
        """A body that nobody asked for (yet)."""
        self.bodies.put(block_hash(block.header), block)

    # -- proposals -----------------------------------------------------------------------------

    async def build(self, evidence: Sequence[Evidence]) -> Proposal:
        """A block of what waits, executed."""
        assert self._address is not None
        application = self._application
        async with self._turn:
            started = time.perf_counter()
            filled = await drive(
                application.fill_steps(
                    max(self._clock(), application.parent_time + 1),
                    self._address,
                    evidence=tuple(evidence),
                    max_bytes=self._max_block_bytes,
                    enough=lambda: time.perf_counter() - started > FILL_SECONDS,
                ),
            )
            await self._rooted()
            await floor().enter(Work.BLOCKS)
            proposal = application.propose(filled)
            self._observe("propose", started)
        self.bodies.put(proposal.hash, proposal.block)
        self._verdicts[proposal.hash] = True
        return proposal

    async def check(self, name: bytes) -> tuple[Block, bool]:
        """The block, and whether it may follow the last one."""
        block = await self.body(name)
        return block, await self._valid(name, block)

    def is_timely(self, block: Block, round: int, received: int | None) -> bool:
        """Whether a new proposal came within the window around its block's time.

        `received` in ns by this node's clock; None: no proposal of this block has come in this round.
        """
        if received is None:
            return False
        if self._window.holds(block.header.time, received, round):
            return True
        self.untimely += 1
        log.warning(
            "a proposal is not timely: a clock is wrong, or the network slow",
            extra={"round": round, "late_ms": (received - block.header.time) // 1_000_000},
        )
        return False

    async def _valid(self, name: bytes, block: Block) -> bool:
        if name not in self._verdicts:
            transactions = await self._application.verify_block(block)
            async with self._turn:
                await self._rooted()
                started = time.perf_counter()
                answer = await drive(self._application.process_proposal_steps(block, transactions))
                self._observe("process", started)
            if not answer.accepted:
                log.warning(
                    "a proposed block is refused",
                    extra={"height": block.header.height, "reason": answer.reason},
                )
            self._verdicts[name] = answer.accepted
        return self._verdicts[name]

    def prepare_tree(self, name: bytes) -> None:
        """Begin to compute the state root after a valid block, while it is voted on.

        It goes on when the block is decided meanwhile, and ends with the height if another one is.
        """
        if name not in self._growing:
            self._growing[name] = task = self._spawn(self._grow(name))
            task.add_done_callback(lambda _: self._growing.pop(name, None))

    async def _grow(self, name: bytes) -> None:
        async with self._tree_turn:
            if not self._application.holds(name):
                return  # it waited for so long that later rounds' proposals took its place
            started = time.perf_counter()
            await self._application.build_tree(name)
            self._observe("tree", started)

    async def _give_up_trees(self, keep: bytes = b"") -> None:
        """End what computes trees, but for that of the block `keep`."""
        others = [task for name, task in self._growing.items() if name != keep]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    # -- final ---------------------------------------------------------------------------------

    async def decide(self, commit: Commit) -> tuple[Block, Committed]:
        """Make a decided block the last one; its write goes on by itself.

        Raises InternalError if the application refuses it: then more than a third of the power is at fault, or
        this node's own rules differ from the others'.
        """
        application, name = self._application, commit.block_hash
        block = await self.body(name)
        transactions = None if name in self._verdicts else await application.verify_block(block)
        await self.written()  # the last block's tree may be among those that grow: it is needed
        await self._give_up_trees(name)
        async with self._turn:
            started = time.perf_counter()
            try:
                await drive(application.executed_steps(block, transactions))
            except Rejected as reason:
                raise InternalError(
                    f"the decided block {name.hex()} of height {commit.height} breaks this node's rules: {reason}"
                ) from None
            await floor().enter(Work.BLOCKS)
            decided = application.commit_values(block, commit)
            self._rooting = self._spawn(self._root(decided))
            self._writing = self._spawn(self._write())
            self._observe("commit", started)
        if self._rechecking is None or self._rechecking.done():
            self._rechecking = self._spawn(self._recheck())
        self.last, self.last_hash = block, name
        return block, decided.committed

    async def _root(self, decided: Decided) -> None:
        """Bring the tree of a decided block to its end while the next one is executed, and stage it."""
        name = decided.executed.hash
        if name in self._growing:
            await asyncio.shield(self._growing[name])
        async with self._tree_turn:
            await self._application.build_tree(name)
            await floor().enter(Work.BLOCKS)
            started = time.perf_counter()
            self._pending = self._application.commit_tree(decided)
            self._observe("stage", started)

    async def _rooted(self) -> None:
        """Wait until the root of the last block is known. Raises what its tree raised."""
        if self._rooting is not None:
            await asyncio.shield(self._rooting)

    async def _write(self) -> None:
        """Write the block in a thread, while the next one is executed; then tell everybody."""
        application = self._application
        await self._rooted()
        pending, self._pending = self._pending, None
        assert pending is not None
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

    async def _recheck(self) -> None:
        """Bring the pool in step with the last block, beside the next one: a proposal checks for itself what it takes,
        and who sends more is checked before it."""
        started = time.perf_counter()
        await drive(self._application.admission.recheck_steps(), Work.ADMISSION)
        self._observe("recheck", started)

    async def settled(self) -> None:
        """As `written`; nor is anything else done with the application any more."""
        rechecking, self._rechecking = self._rechecking, None
        if rechecking is not None:
            rechecking.cancel()
            await asyncio.wait([rechecking])
        try:
            await self.written()
        finally:
            await self._give_up_trees()

    @property
    def writing(self) -> asyncio.Task[None] | None:
        """The write under way, if any."""
        return self._writing

    async def written(self) -> None:
        """Wait until the last block is durable. Raises what its write raised."""
        writing = self._writing
        if writing is not None:
            await asyncio.shield(writing)
            if self._writing is writing:
                self._writing = None

    def _observe(self, stage: str, started: float) -> float:
        now = time.perf_counter()
        self._metrics.stages[stage].observe(now - started)
        return now
