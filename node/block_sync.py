"""Block sync: a node that lags behind fetches blocks from several peers, verifies each whole commit, and executes them.

Four things overlap: blocks are on their way (`p2p.block_sync`), commits and transactions of those that came are
verified in the worker processes, one is executed, the one before is written. A block counts when the precommits in
the next one (or, at the head, those that came with it) are of more than 2/3 of its validators and every
signature is good. Who sent something else is known: signed precommits for another block convict the block's
sender, precommits that are not good convict the sender of the block that carries them.

Consensus goes on until the next two blocks are verified: a node that lags behind by one is helped by its peers'
consensus, and nobody can forge a second one, so a peer that claims to be far ahead and hands out each new block first
stops nobody. It is then paused, and resumed when this node has what its peers have; what a single peer claims
beyond that keeps it no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from node.application import Application
from node.floor import Work, floor
from node.foreign_blocks import decode_transactions
from node.outcomes import Pending
from node.steps import drive
from node.sync_server import Transport
from node.validation import Rejected, check_commit, check_contents
from node.verifier_worker import Item
from p2p.block_sync import BlockFetcher, Fetched
from p2p.sync_messages import Status
from qenex.block import Block, Commit, Validator, block_hash, decode_block, validators_root
from qenex.errors import InternalError, QenexError
from qenex.hashing import list_root
from qenex.transaction import Transaction, witness_hash

log = logging.getLogger("qenex.sync")

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether this node lags behind: what peers had that long ago it should have by now."""
AHEAD: Final = 8
"""Blocks verified at a time before their turn to be executed comes."""
AHEAD_BYTES: Final = 8 << 20
"""Bytes of them: decoded transactions take five times as much."""
STALL_SECONDS: Final = 4.0
"""Without a verified block for so long, consensus is resumed: it may be the faster way."""
GRACE_SECONDS: Final = 0.5
"""As long is waited for a block that a single peer claims, unless this node's last one is RECENT."""
RECENT_NS: Final = 2 * 10**9
REPORT_SECONDS: Final = 10.0
UPKEEP: Final = 100
"""After so many blocks old records are deleted, if the settings say so."""


class Engine(Protocol):
    """What is asked of consensus."""

    async def pause(self) -> None:
        """Stop taking part; nothing is executed or written on return."""
        ...

    async def resume_at(self, height: int) -> None:
        """Take part again, at the height after the last block."""
        ...


class SyncStatus(NamedTuple):
    """Whether block sync is at work, this node's last height, and the highest that a peer claims."""

    syncing: bool
    height: int
    target: int


class Verified(NamedTuple):
    """A block with the commit that decided it."""

    block: Block
    commit: Commit
    transactions: Sequence[Transaction] | None
    """Decoded, their signatures verified; None where one is malformed."""


class _Wrong(Exception):
    """What a peer sent is not the chain's."""

    def __init__(self, fetched: Fetched, why: str) -> None:
        super().__init__(why)
        self.fetched = fetched
        self.why = why


def _remember_nothing(item: Item) -> None:
    """Default of `remember`."""


def _look_at(task: asyncio.Task[Verified | None]) -> None:
    """What was verified ahead may be dropped before anybody asks how it ended."""
    if not task.cancelled():
        task.exception()


async def _ended(writing: asyncio.Task[None]) -> None:
    """Wait for a write to its end, also when cancelled meanwhile: the store is closed next. Raises what the write raised."""
    cancelled: asyncio.CancelledError | None = None
    while not writing.done():
        try:
            await asyncio.wait([writing])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    writing.result()


class BlockSync:
    """See the module. `run` it as a task; `remember` is told of good signatures, which the next block carries again."""

    def __init__(
        self,
        application: Application,
        transport: Transport,
        engine: Engine,
        *,
        remember: Callable[[Item], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._application = application
        self._engine = engine
        self._clock = clock
        self._remember = remember or _remember_nothing
        self._now = now
        self.fetcher = BlockFetcher(application.ledger.height, transport.send, transport.punish, now)
        self._changed = asyncio.Event()
        self._syncing = False
        self._behind = False
        self._verifying: dict[int, tuple[asyncio.Task[Verified | None], int]] = {}
        self._decoded: dict[int, tuple[Fetched, Block]] = {}
        self._turn = asyncio.Lock()
        self.applied = 0
        """Blocks applied by sync since the start."""

    @property
    def status(self) -> SyncStatus:
        """Where it stands."""
        return SyncStatus(self._syncing, self._application.ledger.durable_height, self.fetcher.target)

    # -- from the network --------------------------------------------------------------------

    def on_status(self, peer: str, status: Status) -> None:
        """A peer tells where it stands."""
        self.fetcher.on_status(peer, status)
        self._changed.set()

    def on_answer(self, peer: str, payload: bytes) -> None:
        """An answer, asked for or not. Raises MalformedBytes, TooLarge."""
        self.fetcher.on_answer(peer, payload)
        self._changed.set()

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        self.fetcher.on_disconnected(peer)
        self._changed.set()

    def on_behind(self, height: int) -> None:
        """Somebody works on a height above the next one: look soon whether this node lags behind."""
        self._changed.set()

    # -- life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch, and catch up whenever this node lags behind. Runs until cancelled.

        Raises InternalError where a decided block breaks this node's rules, StorageFault or OSError.
        """
        target = 0
        try:
            while True:
                height = self._application.ledger.height
                self._behind = target > height + 1  # what they had at the last look
                target = self.fetcher.target
                if self._behind:
                    await self._follow(height)
                    await self._drop_verifications()  # consensus may have been faster
                    target = 0
                else:
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._drop_verifications()

    async def _follow(self, height: int) -> None:
        """Fetch until the next block is verified, then take over from consensus; or until that is too late."""
        self.fetcher.applied(height)
        until = self._now() + STALL_SECONDS
        while (left := until - self._now()) > 0:
            if self._application.ledger.height + 1 >= self.fetcher.target:
                return  # consensus was faster
            self.fetcher.applied(self._application.ledger.height)
            if await self._lags():
                await self._catch_up()
                return
            await self._wait(min(left, LOOK_SECONDS))
        if self.fetcher.is_stuck and self._application.ledger.height == height:
            log.warning(
                "no peer has the next block any more; join by a snapshot into a new data folder",
                extra={"height": height},
            )

    async def _lags(self) -> bool:
        """Whether the next two blocks are here and decided: what only a node that lags behind can be shown."""
        height = self._application.ledger.height
        return await self._look_for(height + 1) is not None and await self._verified(height + 2) is not None

    async def _catch_up(self) -> None:
        """Apply block after block until this node has what its peers have."""
        application = self._application
        await self._engine.pause()
        self._syncing = True
        started, first = self._now(), application.ledger.height
        reported, progress = started, started
        log.info("catching up", extra={"height": first, "target": self.fetcher.target})
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                height = application.ledger.height + 1
                self.fetcher.applied(height - 1)
                if height > self.fetcher.target:
                    break
                found = await self._look_for(height)
                if found is None:
                    if self._is_enough(height, self._now() - progress):
                        break
                    await self._wait(LOOK_SECONDS)
                    continue
                await self._execute(found)
                if writing is not None:
                    await _ended(writing)
                await floor().enter(Work.BLOCKS)
                writing = asyncio.create_task(
                    self._write(application.commit_begin(found.block, found.commit))
                )
                await drive(application.admission.recheck_steps())
                self._forget(height)
                self.applied += 1
                progress = self._now()
                if progress - reported > REPORT_SECONDS:
                    reported = progress
                    log.info("catching up", extra={"height": height, "target": self.fetcher.target})
                if not self.applied % UPKEEP:
                    await _ended(writing)
                    await drive(application.upkeep_steps())
        finally:
            if writing is not None:
                await _ended(writing)
            self._syncing = False
        seconds = max(self._now() - started, 1e-9)
        count = application.ledger.height - first
        log.info(
            "caught up",
            extra={"height": application.ledger.height, "blocks": count, "per_second": int(count / seconds)},
        )
        await self._engine.resume_at(application.ledger.height + 1)

    def _is_enough(self, height: int, waited: float) -> bool:
        """Whether consensus is to be resumed although some peer claims the block of `height`."""
        if height <= self.fetcher.agreed:
            return waited > STALL_SECONDS
        recent = self._application.parent_time > self._clock() - RECENT_NS
        return recent or waited > GRACE_SECONDS

    async def _execute(self, found: Verified) -> None:
        try:
            await self._application.finalize(found.block, found.transactions)
        except Rejected as reason:
            raise InternalError(
                f"block {found.block.header.height}, which more than 2/3 of the validators signed, breaks this node's rules: "
                f"{reason}",
                hint="run `qenex node check` and `qenex node replay`; another version of the program may be needed",
            ) from None

    async def _write(self, pending: Pending) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._application.ledger.write, pending.staged)
        self._application.commit_end(pending)

    async def _wait(self, seconds: float) -> None:
        """Until something comes, something is late, or at once if something has come since the last wait."""
        due = self.fetcher.due
        if due is not None:
            seconds = min(seconds, max(due - self._now(), 0.01))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    # -- verification ------------------------------------------------------------------------

    async def _look_for(self, height: int) -> Verified | None:
        """The next block, verified, if all that needs is here; what follows it is verified meanwhile."""
        self.fetcher.tick()
        for past in [at for at in self._verifying if at < height]:
            self._forget(past)  # consensus was faster
        size = 0
        for ahead in range(height, height + AHEAD):
            if ahead not in self._verifying and not self._begin(ahead):
                break
            fetched = self.fetcher.peek(ahead)
            size += 0 if fetched is None else len(fetched.answer.block or b"")
            if size >= AHEAD_BYTES and ahead > height + 1:
                break
        found = await self._verified(height)
        if found is None:
            return None
        if found.block.header.validators_hash != validators_root(self._application.validators):
            self._forget(height)
            return None
        return found

    async def _verified(self, height: int) -> Verified | None:
        """A block whose verification was begun, if it was good; one that was not is forgotten."""
        entry = self._verifying.get(height)
        if entry is None:
            return None
        task, base = entry
        try:
            found = await task
        except _Wrong as wrong:
            self._forget(height)
            # Further ahead the validators are a guess, and so would be the blame.
            if base >= height - 2:
                self._drop_from(wrong.fetched)
            return None
        if found is None:
            self._forget(height)
        return found

    def _drop_from(self, fetched: Fetched) -> None:
        why = f"it is not the chain's block {fetched.height}"
        self.fetcher.wrong(fetched, why)
        for height in [at for at in self._verifying if at >= fetched.height - 1]:
            self._forget(height)
        for height in [at for at, (one, _) in self._decoded.items() if one.peer == fetched.peer]:
            del self._decoded[height]

    def _begin(self, height: int) -> bool:
        """Begin to verify a block whose proof is here."""
        first, second = self.fetcher.peek(height), self.fetcher.peek(height + 1)
        if first is None or (second is None and first.answer.commit is None):
            return False
        base = self._application.ledger.height
        application = self._application
        validators = application.validators if height == base + 1 else application.next_validators
        task = asyncio.create_task(self._verify(first, second, tuple(validators)))
        task.add_done_callback(_look_at)
        self._verifying[height] = task, base
        return True

    def _decode(self, fetched: Fetched) -> Block:
        """A block whose parts fit its header. Raises _Wrong."""
        known = self._decoded.get(fetched.height)
        if known is not None and known[0] is fetched:
            return known[1]
        try:
            block = decode_block(fetched.answer.block or b"")
            if (block.header.height, block.header.chain_id) != (
                fetched.height,
                self._application.genesis.chain_id,
            ):
                raise Rejected("it is of another height or chain")
            check_contents(block)
            if list_root([witness_hash(raw) for raw in block.transactions]) != block.header.transactions_root:
                raise Rejected("header.transactions_root does not match the transactions")
        except (QenexError, Rejected) as error:
            raise _Wrong(fetched, str(error)) from None
        self._decoded[fetched.height] = fetched, block
        return block

    async def _verify(
        self, first: Fetched, second: Fetched | None, validators: Sequence[Validator]
    ) -> Verified | None:
        """Verify a block by the precommits that follow it; None where another validator set would be needed.

        One after the other until the worker processes have its transactions: the next one to be executed is not to wait
        for those after it. Raises _Wrong naming who sent what is not the chain's.
        """
        verifier, admission = self._application.verifier, self._application.admission
        async with self._turn:
            decided = await self._decided(first, second, validators)
            if decided is None:
                return None
            decoded = await decode_transactions(decided[0], admission)
        if decoded is None:
            return Verified(*decided, None)
        transactions, pairs = decoded
        await verifier.verify_all(pairs, remember=False)
        return Verified(*decided, transactions)

    async def _decided(
        self, first: Fetched, second: Fetched | None, validators: Sequence[Validator]
    ) -> tuple[Block, Commit] | None:
        """A block and the commit that decided it; None and raises as `_verify`."""
        block = self._decode(first)
        header = block.header
        if header.validators_hash != validators_root(validators):
            if header.height == self._application.ledger.height + 1:
                raise _Wrong(first, "it names other validators")
            return None
        source = first
        commit = first.answer.commit
        if second is not None:
            source = second
            commit = self._decode(second).commit
        items: list[Item] = []

        def collect(found: Sequence[Item]) -> list[bool]:
            items.extend(found)
            return [True] * len(found)

        try:
            check_commit(
                commit,
                chain_id=header.chain_id,
                height=header.height,
                block_hash=b"" if commit is None else commit.block_hash,
                validators=validators,
                verify=collect,
            )
        except Rejected as reason:
            raise _Wrong(source, str(reason)) from None
        assert commit is not None  # check_commit refuses None
        if not all(await self._application.verifier.verify_urgent(items)):
            raise _Wrong(source, "a signature of its commit is invalid")
        if commit.block_hash != block_hash(header):
            raise _Wrong(first, "the validators signed another block")
        for item in items:
            self._remember(item)
        return block, commit

    def _forget(self, height: int) -> None:
        entry = self._verifying.pop(height, None)
        if entry is not None:
            entry[0].cancel()
        for past in [at for at in self._decoded if at <= height]:
            del self._decoded[past]

    async def _drop_verifications(self) -> None:
        tasks = [task for task, _ in self._verifying.values()]
        self._verifying.clear()
        self._decoded.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
