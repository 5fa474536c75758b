"""Snapshots of a running node: made now and then, listed, and handed out chunk by chunk.

A snapshot of height H is made when block H+1 is durable: its header carries the root, so the snapshot can be proved
to whoever takes it. It is read from an immutable picture of the store in slices on the event loop, while blocks go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ledger.backend import StorageFault
from ledger.snapshot_files import Anchor, Snapshot, SnapshotFiles, SnapshotInfo
from ledger.snapshots import make_in_steps
from ledger.store import Ledger
from node.floor import Work
from node.steps import drive
from qenex.errors import NotFound, QenexError, SnapshotCorrupt
from qenex.light_rules import LightBlock

log = logging.getLogger("qenex.snapshots")

LOADED: Final = 4
"""Snapshots whose manifests stay in memory, at most 3 MB each."""


def light_block(ledger: Ledger, height: int) -> LightBlock:
    """What proves a durable block to a light client. Raises NotFound, Pruned, StorageFault."""
    if height > ledger.durable_height:
        raise NotFound(f"height {height} does not exist yet")
    blocks = ledger.blocks
    return LightBlock(blocks.header(height), blocks.commit(height), ledger.validators_at(height))


def anchor_of(ledger: Ledger, height: int) -> Anchor:
    """The blocks that prove a snapshot of `height`. Raises NotFound, Pruned, StorageFault."""
    return Anchor(light_block(ledger, height), light_block(ledger, height + 1))


class Snapshots:
    """The snapshots of one node. `interval` in heights, 0: none are made by themselves; the newest `keep` stay."""

    def __init__(self, folder: Path, *, interval: int = 0, keep: int = 2) -> None:
        self.files = SnapshotFiles(folder)
        self._interval = interval
        self._keep = keep
        self._loaded: OrderedDict[int, Snapshot] = OrderedDict()
        self._corrupt: dict[int, None] = {}
        self._making: asyncio.Task[None] | None = None

    # -- making ----------------------------------------------------------------------------

    def committed(self, ledger: Ledger, height: int) -> None:
        """A block is durable: make a snapshot of the one before, if it is time and none is in the making."""
        wanted = height - 1
        if not self._interval or wanted % self._interval or wanted < ledger.base_height or self.making:
            return
        self._making = asyncio.get_running_loop().create_task(self._make_quietly(ledger, wanted))

    @property
    def making(self) -> bool:
        """Whether one is in the making."""
        return self._making is not None and not self._making.done()

    async def wait(self) -> None:
        """Until the one in the making is finished."""
        if self._making is not None:
            await asyncio.wait([self._making])

    async def stop(self) -> None:
        """Give up the one in the making."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _make_quietly(self, ledger: Ledger, height: int) -> None:
        try:
            info = await self.make(ledger, height)
        except (QenexError, OSError, StorageFault) as error:
            log.warning("no snapshot", extra={"height": height, "reason": str(error)[:200]})
        else:
            log.info("snapshot made", extra={"height": height, "chunks": info.chunks, "bytes": info.size})

    async def make(self, ledger: Ledger, height: int) -> SnapshotInfo:
        """Make a snapshot now. Raises NotFound, Pruned, SnapshotTooLarge, StorageFault."""
        anchor = anchor_of(ledger, height)
        writer = self.files.writer(height)
        try:
            with ledger.store.snapshot() as reader:
                manifest = await drive(make_in_steps(reader, ledger.chain_id, height, writer), Work.READS)
            made = await asyncio.to_thread(writer.finish, manifest, anchor)
        except BaseException:
            writer.abandon()
            raise
        self._loaded.pop(height, None)
        self._corrupt.pop(height, None)
        self.files.keep(self._keep)
        return made.info

    # -- handing out -----------------------------------------------------------------------

    def infos(self) -> list[SnapshotInfo]:
        """All that are sound as far as can be seen without reading their chunks, newest first."""
        found = []
        for height in self.files.heights():
            try:
                found.append(self.load(height).info)
            except (SnapshotCorrupt, NotFound):
                continue
        return found

    def load(self, height: int) -> Snapshot:
        """Raises NotFound, SnapshotCorrupt (also for one found so before)."""
        found = self._loaded.get(height)
        if found is not None:
            self._loaded.move_to_end(height)
            return found
        if height in self._corrupt:
            raise SnapshotCorrupt(f"the snapshot of height {height} is damaged")
        try:
            found = self._loaded[height] = self.files.load(height)
        except SnapshotCorrupt as error:
            self._note_damage(height, error)
            raise
        if len(self._loaded) > LOADED:
            self._loaded.popitem(last=False)
        return found

    def chunk(self, height: int, index: int) -> bytes:
        """A chunk, checked against its manifest. Raises NotFound, SnapshotCorrupt."""
        try:
            return self.load(height).chunk(index)
        except SnapshotCorrupt as error:
            self._note_damage(height, error)
            raise

    def find(self, name: bytes, infos: Sequence[SnapshotInfo] | None = None) -> Snapshot:
        """A snapshot by the hash of its manifest. Raises NotFound, SnapshotCorrupt."""
        for info in self.infos() if infos is None else infos:
            if info.hash == name:
                return self.load(info.height)
        raise NotFound(f"there is no snapshot {name.hex()}")

    def _note_damage(self, height: int, error: SnapshotCorrupt) -> None:
        if height not in self._corrupt:
            log.error(
                "a snapshot is damaged and no longer offered", extra={"height": height, "why": error.message}
            )
        self._corrupt[height] = None
        self._loaded.pop(height, None)
