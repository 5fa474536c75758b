"""What a node hands out to peers that catch up: blocks, headers with commits and validators, snapshots.

Requests of a peer wait in a short queue of its own; more than fit are a flood. One task answers them in turn, within a
rate of bytes for each peer and for all together, so that nobody who catches up slows down consensus. An answer that
does not fit into the connection's queue is made again a little later, each time after a longer pause: who asks for
blocks and does not read them costs next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from ledger.store import Ledger
from node.snapshots import Snapshots, light_block
from p2p.channels import Channel
from p2p.limits import Bucket, Rate
from p2p.offences import Offence
from p2p.sync_messages import (
    MAX_OFFERS,
    BlockAnswer,
    ChunkAnswer,
    GetBlock,
    GetChunk,
    GetLightBlock,
    GetManifest,
    GetSnapshots,
    LightBlockAnswer,
    LightBlockParts,
    ManifestAnswer,
    SnapshotOffer,
    Status,
    SyncMessage,
    encode_sync,
)
from p2p.sync_messages import (
    Snapshots as SnapshotsAnswer,
)
from qenex.errors import NotFound, Pruned, SnapshotCorrupt

MAX_WAITING: Final = 32
"""Requests of one peer that wait for their turn."""
PEER_RATE: Final = Rate(16 << 20, 16 << 20)
"""Bytes for one peer."""
TOTAL_RATE: Final = Rate(32 << 20, 32 << 20)
"""Bytes for all."""
RETRY_SECONDS: Final = 0.02
MAX_RETRY_SECONDS: Final = 2.0
"""The first and the longest pause before an answer is made again for which a peer's queue had no room."""
BASE_MARGIN: Final = 16
"""Where old blocks are deleted, so many more are no longer offered: they go while somebody asks."""


class Transport(Protocol):
    """What is used of `p2p.network.Network`."""

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool: ...

    def broadcast(self, channel: Channel, payload: bytes) -> int: ...

    def punish(self, peer_id: str, offence: Offence, detail: str = "") -> None: ...

    def peer_ids(self) -> list[str]: ...


def nothing_for(question: SyncMessage) -> SyncMessage:
    """The answer of a node that has nothing yet."""
    if isinstance(question, GetBlock):
        return BlockAnswer(question.height, 0, None, None)
    if isinstance(question, GetLightBlock):
        return LightBlockAnswer(None)
    if isinstance(question, GetManifest):
        return ManifestAnswer(None)
    return ChunkAnswer(None) if isinstance(question, GetChunk) else SnapshotsAnswer(())


class _Request(NamedTuple):
    channel: Channel
    number: int
    question: SyncMessage


class SyncServer:
    """See the module. `run` it as a task."""

    def __init__(
        self,
        ledger: Ledger,
        snapshots: Snapshots | None,
        transport: Transport,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._snapshots = snapshots
        self._transport = transport
        self._now = now
        self._waiting: dict[str, deque[_Request]] = {}
        self._buckets: dict[str, Bucket] = {}
        self._full: dict[str, tuple[float, float]] = {}
        """Peers whose queue had no room: until when they wait, and how long the pause was."""
        self._total = Bucket(TOTAL_RATE, now())
        self._wake = asyncio.Event()
        self.served = 0
        """Requests answered."""

    def status(self) -> Status:
        """Where this node stands, for its peers."""
        ledger = self._ledger
        base = ledger.blocks.earliest
        if base > ledger.base_height and base != ledger.base_height + 1:
            base += BASE_MARGIN
        return Status(ledger.durable_height, min(base, ledger.durable_height + 1))

    def on_request(self, peer: str, channel: Channel, number: int, question: SyncMessage) -> None:
        """A peer asks. Answered soon, or an offence."""
        queue = self._waiting.setdefault(peer, deque())
        if len(queue) >= MAX_WAITING:
            self._transport.punish(peer, Offence.FLOOD, f"more than {MAX_WAITING} requests at a time")
            return
        queue.append(_Request(channel, number, question))
        self._wake.set()

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone: nothing of it waits any more."""
        self._waiting.pop(peer, None)
        self._buckets.pop(peer, None)
        self._full.pop(peer, None)

    async def run(self) -> None:
        """Answer, for ever."""
        while True:
            pause = self._round()
            if pause is None:
                self._wake.clear()
                if not self._waiting:
                    await self._wake.wait()
            else:
                await asyncio.sleep(pause)

    def _round(self) -> float | None:
        """One request of each peer; seconds until the next round, None: nothing waits."""
        now, pause = self._now(), 0.0
        for peer, queue in list(self._waiting.items()):
            if not queue:
                del self._waiting[peer]
                continue
            bucket = self._buckets.setdefault(peer, Bucket(PEER_RATE, now))
            bucket.refill(now)
            self._total.refill(now)
            until, before = self._full.get(peer, (0.0, 0.0))
            if bucket.tokens < 0 or self._total.tokens < 0 or until > now:
                pause = RETRY_SECONDS
                continue
            channel, number, question = queue[0]
            payload = encode_sync(self.answer(question), number)
            if not self._transport.send(peer, channel, payload):
                if peer not in self._transport.peer_ids():
                    self.on_disconnected(peer)
                else:
                    before = min(max(2 * before, RETRY_SECONDS), MAX_RETRY_SECONDS)
                    self._full[peer] = now + before, before
                pause = RETRY_SECONDS
                continue
            self._full.pop(peer, None)
            queue.popleft()
            self.served += 1
            bucket.borrow(now, len(payload))
            self._total.borrow(now, len(payload))
        return pause if self._waiting else None

    # -- answers ---------------------------------------------------------------------------

    def answer(self, question: SyncMessage) -> SyncMessage:
        """The answer to a question; empty where what was asked for is not here. Raises StorageFault."""
        if isinstance(question, GetBlock):
            return self._block(question.height)
        if isinstance(question, GetLightBlock):
            return self._light_block(question)
        if isinstance(question, GetSnapshots):
            infos = [] if self._snapshots is None else self._snapshots.infos()
            offers = [SnapshotOffer(info.height, info.hash, info.chunks, info.size) for info in infos]
            return SnapshotsAnswer(tuple(offers[: min(question.newest, MAX_OFFERS)]))
        try:
            if self._snapshots is None:
                raise NotFound("no snapshots here")
            if isinstance(question, GetManifest):
                return ManifestAnswer(self._snapshots.find(question.hash).manifest_bytes)
            assert isinstance(question, GetChunk)  # nothing else is a question
            height = self._snapshots.find(question.hash).manifest.height
            return ChunkAnswer(self._snapshots.chunk(height, question.number))
        except (NotFound, SnapshotCorrupt):
            return nothing_for(question)

    def _block(self, height: int) -> BlockAnswer:
        ledger = self._ledger
        last = ledger.durable_height
        if height > last:
            return BlockAnswer(height, last, None, None)
        try:
            block = ledger.blocks.block_bytes(height)
            commit = ledger.blocks.commit(height) if height == last else None
        except (NotFound, Pruned):
            return BlockAnswer(height, last, None, None)
        return BlockAnswer(height, last, block, commit)

    def _light_block(self, question: GetLightBlock) -> LightBlockAnswer:
        try:
            header, commit, validators = light_block(self._ledger, question.height)
        except (NotFound, Pruned):
            return LightBlockAnswer(None)
        return LightBlockAnswer(LightBlockParts(header, commit, validators if question.validators else ()))
