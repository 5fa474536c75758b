"""State sync: a new node takes the state of a recent height from its peers instead of executing every block.

    checkpoint  ->  light client over peers  ->  headers H and H+1  ->  manifest  ->  chunks  ->  a chain at H

Only the checkpoint (height and hash, from the operator) is believed. The light client (`qenex.light_chain`) verifies the
headers of the snapshot's height and the next one, asking one peer and comparing with others; the manifest must hash to
the root in header H+1, each chunk to its place in the manifest. Parts come from all peers that have the snapshot;
who sends a wrong one pays, and the part is taken from another. What was taken before a crash is kept.

Blocks after H are block sync's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Final, Protocol, TypeVar

from ledger.snapshot_files import Anchor
from ledger.snapshots import manifest_hash
from node.sync_server import Transport
from p2p.offences import Offence
from p2p.state_sync import Part, SnapshotFetcher
from p2p.sync_messages import ChunkAnswer, LightBlockAnswer, ManifestAnswer, SnapshotOffer
from qenex.errors import (
    HeaderConflict,
    NodeUnreachable,
    NotFound,
    NoWitness,
    ProofInvalid,
    QenexError,
    SnapshotInvalid,
    TrustExpired,
)
from qenex.light_chain import Answer, Ask, LightChain
from qenex.light_rules import Checkpoint, LightBlock, LightOptions

log = logging.getLogger("qenex.sync")

WAIT_SECONDS: Final = 0.25
OFFERS_SECONDS: Final = 5.0
"""How often peers are asked which snapshots they have."""
SETTLE_SECONDS: Final = 1.0
"""After the first offer so long for others, so that a newer one or more holders are known."""
MAX_WITNESSES: Final = 2
CHUNKS_SECONDS: Final = 60.0
"""Without a good chunk for so long a snapshot is given up: who still has it hands nothing out."""
ROOM_SECONDS: Final = 2.0
"""A peer that takes no question for so long is not asked this one."""
REST_SECONDS: Final = 15.0
"""A snapshot that could not be had or proved is not tried again for so long."""

Found = TypeVar("Found")


class Target(Protocol):
    """Where the state goes: the application of a chain that has no state here yet."""

    def offer_snapshot(self, manifest: bytes, anchor: Anchor) -> tuple[int, ...]:
        """Begin (or go on) with a snapshot; chunks still missing. Raises SnapshotInvalid, ProofInvalid."""
        ...

    def apply_snapshot_chunk(self, index: int, chunk: bytes) -> bool:
        """Take a chunk; whether it was the last. Raises SnapshotInvalid."""
        ...


class StateSync:
    """See the module. `run` until it returns; `on_answer` and `on_disconnected` are the network's."""

    def __init__(
        self,
        target: Target,
        transport: Transport,
        checkpoint: Checkpoint,
        *,
        chain_id: str,
        options: LightOptions | None = None,
        clock: Callable[[], int] = time.time_ns,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._transport = transport
        self._checkpoint = checkpoint
        self._chain_id = chain_id
        self._options = options
        self._clock = clock
        self._now = now
        self.fetcher = SnapshotFetcher(transport.send, transport.punish, now, self._take)
        self._changed = asyncio.Event()
        self._parts: list[Part] = []
        self._light: dict[tuple[str, int], LightBlockAnswer] = {}
        self._distrusted: dict[str, None] = {}
        self._chain: LightChain | None = None
        self._asked_offers: dict[str, float] = {}

    # -- from the network --------------------------------------------------------------------

    def on_answer(self, peer: str, payload: bytes) -> None:
        """See `node.sync_follower.Asker`."""
        self.fetcher.on_answer(peer, payload)
        self._changed.set()

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        self.fetcher.on_disconnected(peer)
        self._changed.set()

    def _take(self, part: Part) -> None:
        if isinstance(part.message, LightBlockAnswer):
            self._light[part.peer, part.number] = part.message
        else:
            self._parts.append(part)

    # -- the whole -----------------------------------------------------------------------------

    async def run(self) -> int:
        """Take a snapshot; its height. Waits for peers as long as it takes.

        Raises TrustExpired for a checkpoint that is too old, HeaderConflict where validators signed two
        histories, StorageFault. What peers do wrong costs them, not this node.
        """
        while True:
            offer = await self._choose()
            log.info(
                "taking a snapshot",
                extra={"height": offer.height, "chunks": offer.chunks, "bytes": offer.size},
            )
            anchor = await self._verify(offer)
            if anchor is None:
                self.fetcher.give_up(offer, REST_SECONDS)
                continue
            self.fetcher.begin(offer)
            missing = await self._manifest(offer, anchor)
            if missing is None:
                continue
            if not await self._chunks(missing):
                self.fetcher.give_up(offer, REST_SECONDS)
                continue
            log.info("snapshot restored", extra={"height": offer.height})
            return offer.height

    async def _choose(self) -> SnapshotOffer:
        """The newest snapshot that peers have, once it has settled."""
        since: float | None = None
        while True:
            now = self._now()
            peers = self._transport.peer_ids()
            self._asked_offers = {peer: at for peer, at in self._asked_offers.items() if peer in peers}
            for peer in peers:
                if self._asked_offers.get(peer, -OFFERS_SECONDS) + OFFERS_SECONDS <= now:
                    self._asked_offers[peer] = now
                    self.fetcher.ask_offers(peer)
            found = self.fetcher.choose()
            if found is None:
                since = None
            elif since is None:
                since = now
            if found is not None and since is not None:
                everybody = all(peer in self.fetcher.offers for peer in peers)
                if everybody or now - since >= SETTLE_SECONDS:
                    return found
            await self._wait()

    async def _wait(self) -> None:
        """Until something comes, or at once if something has come since the last wait."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            pass  # looked again all the same
        self._changed.clear()
        self.fetcher.tick()

    # -- headers -------------------------------------------------------------------------------

    async def _verify(self, offer: SnapshotOffer) -> Anchor | None:
        """The verified blocks of the snapshot's height and the next; None where no peer could show them."""
        compare = True
        while True:
            peers = [peer for peer in self._transport.peer_ids() if peer not in self._distrusted]
            if not peers:
                if not self._distrusted:
                    await self._wait()
                    continue
                self._distrusted.clear()
                return None
            sources = peers[: 1 + (MAX_WITNESSES if compare else 0)]
            chain = self._light_chain(len(sources) - 1)
            try:
                block = await self._walk(chain.verify_whole(offer.height), sources)
                following = await self._walk(chain.verify_whole(offer.height + 1), sources)
            except (TrustExpired, HeaderConflict):
                raise
            except NoWitness as error:
                # The others may be joining themselves: what the checkpoint proves is proved without them.
                log.warning("no second peer confirms the snapshot's headers", extra={"reason": error.message})
                compare = False
            except ProofInvalid as error:
                self._transport.punish(sources[0], Offence.FALSE_CONTENT, error.message[:200])
                self._distrusted[sources[0]] = None
            except QenexError as error:
                log.debug("a peer cannot prove the snapshot", extra={"reason": error.message})
                self._distrusted[sources[0]] = None
            else:
                for number, why in chain.faulty.items():
                    self._transport.punish(sources[number], Offence.FALSE_CONTENT, why.message[:200])
                return Anchor(block, following)

    def _light_chain(self, witnesses: int) -> LightChain:
        """Trusted headers stay; who is asked changes."""
        fresh = LightChain(
            self._checkpoint, self._clock, witnesses=witnesses, options=self._options, chain_id=self._chain_id
        )
        if self._chain is not None:
            fresh.take_over(self._chain)
        self._chain = fresh
        return fresh

    async def _walk(self, steps: Generator[Ask, Answer, Found], sources: Sequence[str]) -> Found:
        try:
            ask = next(steps)
            while True:
                try:
                    answer = await self._ask(sources[ask.source], ask)
                except QenexError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as stop:
            found: Found = stop.value
            return found

    async def _ask(self, peer: str, ask: Ask) -> Answer:
        """What a peer says of a height. Raises NotFound, NodeUnreachable."""
        chain = self._chain
        assert chain is not None  # the walk is its
        self.fetcher.take_failed()
        until = self._now() + ROOM_SECONDS
        while not self.fetcher.ask_light_block(peer, ask.height, validators=ask.whole):
            if peer not in self._transport.peer_ids() or self._now() > until:
                raise NodeUnreachable("the peer has gone, or takes no questions")
            await self._wait()
        while (answer := self._light.pop((peer, ask.height), None)) is None:
            if ("light", ask.height) in self.fetcher.take_failed():
                raise NodeUnreachable("the peer did not answer in time")
            await self._wait()
        parts = answer.block
        if parts is None:
            raise NotFound(f"the peer does not have height {ask.height}")
        if not ask.whole:
            return parts.header
        return LightBlock(parts.header, parts.commit, parts.validators)

    # -- the snapshot --------------------------------------------------------------------------

    async def _manifest(self, offer: SnapshotOffer, anchor: Anchor) -> tuple[int, ...] | None:
        """Fetch the manifest and offer it to the application; the chunks that are missing."""
        self._parts.clear()
        while self.fetcher.ask_manifest():
            await self._wait()
            for part in self._take_parts("manifest"):
                assert isinstance(part.message, ManifestAnswer)
                manifest = part.message.manifest or b""
                if manifest_hash(manifest) != offer.hash:
                    self.fetcher.refused(part, "it has another hash")
                    continue
                try:
                    return self._target.offer_snapshot(manifest, anchor)
                except (SnapshotInvalid, ProofInvalid) as error:
                    # Whoever offers this hash offers what no header vouches for.
                    log.warning("a snapshot is not the chain's", extra={"reason": error.message})
                    self.fetcher.refused(part, error.message)
                    self.fetcher.give_up(offer)
                    return None
        self.fetcher.give_up(offer, REST_SECONDS)
        return None

    async def _chunks(self, missing: tuple[int, ...]) -> bool:
        """Fetch and apply all chunks; False where nobody has them any more."""
        self.fetcher.want_chunks(missing)
        left, progress = dict.fromkeys(missing), self._now()
        while left:
            if not self.fetcher.holders() or self._now() - progress > CHUNKS_SECONDS:
                return False
            await self._wait()
            for part in self._take_parts("chunk"):
                assert isinstance(part.message, ChunkAnswer)
                if part.number not in left:
                    continue
                try:
                    self._target.apply_snapshot_chunk(part.number, part.message.chunk or b"")
                except SnapshotInvalid as error:
                    self.fetcher.refused(part, error.message)
                    continue
                del left[part.number]
                progress = self._now()
                self.fetcher.taken(part.number)
                await asyncio.sleep(0)
        return True

    def _take_parts(self, kind: str) -> list[Part]:
        found = [part for part in self._parts if part.kind == kind]
        self._parts = [part for part in self._parts if part.kind not in (kind, "snapshots")]
        return found
