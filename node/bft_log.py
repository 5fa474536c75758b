"""The write-ahead log beside the event loop: `consensus.wal` in files, with the waiting for the disk in a thread.

Events are written (not yet synced) before the core gets them. A sync runs in a thread; what is appended meanwhile waits
in memory and is written after it, so a group of events shares the next sync. Bodies of blocks, up to 4 MB, are
written by that thread, too, and it deletes the logs of heights long decided: a file system that is writing may take its time for that.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from consensus.events import Event
from consensus.wal import Body, Record, Recovery, Storage, Verdict, Wal
from qenex.block import Block, decode_block, encode_block
from qenex.errors import DataFolderCorrupt, QenexError

log = logging.getLogger("qenex.engine")


class Recovered(NamedTuple):
    """What a height's log held: events for the core in their order, whole blocks by hash, whether all of it is good."""

    events: tuple[Event, ...]
    bodies: dict[bytes, Block]
    intact: bool


class _KeptBlock(NamedTuple):
    """A body that is encoded in the thread."""

    name: bytes
    block: Block


class EventLog:
    """See the module. `begin` comes first; any OSError has to end the engine."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._wal = Wal(storage)
        self._waiting: list[Record | _KeptBlock] = []
        """Not written yet: a sync is under way, or a body is among them."""
        self._bodies: dict[bytes, None] = {}
        self._dirty = False
        self._syncing: asyncio.Future[None] | None = None
        self._sweeping: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wal")

    async def begin(self, height: int) -> Recovered:
        """Open the log of a height, and give what it holds; logs of heights long decided go meanwhile.

        Raises OSError, also for what could not be deleted since the last time; DataFolderCorrupt for what another version wrote.
        """
        await self._idle()
        await self._swept()
        self._write_waiting()  # of the height before: of no more use than to whoever looks into it
        recovery = self._wal.begin(height)
        self._dirty = False
        bodies = {name: _read_block(height, data) for name, data in recovery.bodies.items()}
        self._bodies = dict.fromkeys(bodies)
        _report(height, recovery)
        self._sweeping = asyncio.get_running_loop().run_in_executor(self._thread, self._wal.sweep, height)
        return Recovered(recovery.events, bodies, recovery.may_sign)

    @property
    def is_dirty(self) -> bool:
        """Whether something is not on disk yet."""
        return self._dirty

    def append(self, event: Event) -> None:
        """Write an event before it is given to the core. Raises OSError."""
        self._dirty = True
        if self._syncing is not None or self._waiting:
            self._waiting.append(event)
        else:
            self._wal.append(event)

    def has_body(self, name: bytes) -> bool:
        """Whether a block was given to `keep_body`, or recovered."""
        return name in self._bodies

    def keep_body(self, name: bytes, block: Block) -> bool:
        """Have a block written with the next `flush`; False if the log has it already."""
        if name in self._bodies:
            return False
        self._bodies[name] = None
        self._dirty = True
        self._waiting.append(_KeptBlock(name, block))
        return True

    async def flush(self) -> None:
        """Everything appended before is on disk on return. Raises OSError."""
        await self._idle()
        if not self._dirty:
            return
        self._dirty = False
        waiting, self._waiting = self._waiting, []
        syncing = asyncio.get_running_loop().run_in_executor(self._thread, self._sync, waiting)
        self._syncing = syncing
        try:
            await syncing
        finally:
            self._syncing = None
        if not any(isinstance(record, _KeptBlock) for record in self._waiting):
            self._write_waiting()

    async def close(self) -> None:
        """Write what waits, and let the thread end."""
        await self._idle()
        self._write_waiting()
        try:
            await self._swept()
        finally:
            self._thread.shutdown(wait=False)

    async def _idle(self) -> None:
        while self._syncing is not None:
            await asyncio.wait([self._syncing])
            await asyncio.sleep(0)  # whoever waits for it in `flush` comes first

    async def _swept(self) -> None:
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            await sweeping

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._append_all(waiting)

    def _append_all(self, records: list[Record | _KeptBlock]) -> None:
        for record in records:
            if isinstance(record, _KeptBlock):
                record = Body(record.name, encode_block(record.block))
            self._wal.append(record)

    def _sync(self, records: list[Record | _KeptBlock]) -> None:
        """In the thread."""
        self._append_all(records)
        self._wal.flush()


def _read_block(height: int, data: bytes) -> Block:
    try:
        return decode_block(data)
    except QenexError as error:
        raise DataFolderCorrupt(f"a block in the log of height {height}: {error.message}") from None


def _report(height: int, recovery: Recovery) -> None:
    if recovery.verdict is Verdict.TORN:
        log.info("the end of the log was torn and is cut", extra={"height": height, "bytes": recovery.lost})
    elif recovery.verdict is Verdict.CORRUPT:
        log.error(
            "the log is corrupt in its middle: this node signs nothing at this height",
            extra={"height": height, "bytes": recovery.lost},
        )
