"""Which peer to ask for which part of a snapshot, and for which header: state sync without sockets or contents.

Peers say which snapshots they have; one is chosen, its manifest taken from whoever has it, and its chunks from all
who have it, a few of each at a time. The owner checks every part against what it must hash to and says `refused`
for what is wrong: its sender pays and is asked for nothing of this snapshot any more, the part is asked of another.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from p2p.channels import Channel
from p2p.offences import Offence
from p2p.requests import Now, Punish, Requests, Send
from p2p.sync_messages import (
    MAX_OFFERS,
    ChunkAnswer,
    GetChunk,
    GetLightBlock,
    GetManifest,
    GetSnapshots,
    LightBlockAnswer,
    ManifestAnswer,
    SnapshotOffer,
    Snapshots,
    SyncMessage,
    decode_sync,
)
from qenex.errors import QenexError

PER_PEER: Final = 4
SHORT_SECONDS: Final = 5.0
"""For small answers."""
LONG_SECONDS: Final = 20.0
"""For a manifest or a chunk."""
MAX_CHUNKS: Final = 65_536
MAX_BAD: Final = 1_024
"""Snapshots remembered as not to be had."""

Key = tuple[str, int]
"""What a question is about: `snapshots`, `manifest`, `chunk` or `light`, and an index or height."""


class Part(NamedTuple):
    """An answer that was asked for: what, from whom, and the record."""

    kind: str
    number: int
    peer: str
    message: SyncMessage


class SnapshotFetcher:
    """See the module. `deliver` is told of each part that was asked for."""

    def __init__(self, send: Send, punish: Punish, now: Now, deliver: Callable[[Part], None]) -> None:
        self._punish = punish
        self._deliver = deliver
        self._requests: Requests[Key] = Requests(Channel.STATE, send, punish, now, per_peer=PER_PEER)
        self.offers: dict[str, tuple[SnapshotOffer, ...]] = {}
        """What each peer says it has."""
        self._refused: dict[tuple[str, bytes], None] = {}
        self._bad: dict[bytes, float] = {}
        """Until when a snapshot is not chosen."""
        self._failures: dict[str, int] = {}
        """How many snapshots that a peer offered led nowhere."""
        self._now = now
        self._chosen: SnapshotOffer | None = None
        self._missing: dict[int, None] = {}
        self._failed: list[Key] = []

    # -- which snapshot --------------------------------------------------------------------

    def ask_offers(self, peer: str) -> bool:
        """Ask a peer which snapshots it has."""
        return self._requests.ask(peer, GetSnapshots(MAX_OFFERS), ("snapshots", 0), SHORT_SECONDS)

    def choose(self) -> SnapshotOffer | None:
        """The newest snapshot that some peer has and that was not found bad; of one height, what most peers have.

        Peers whose offers led nowhere come after the others: inventing newer and newer ones keeps nobody waiting.
        """
        holders: dict[SnapshotOffer, list[int]] = {}
        for peer, offers in self.offers.items():
            for offer in offers:
                if self._bad.get(offer.hash, 0.0) <= self._now() and (peer, offer.hash) not in self._refused:
                    holders.setdefault(offer, []).append(self._failures.get(peer, 0))
        return max(
            holders,
            key=lambda offer: (-min(holders[offer]), offer.height, len(holders[offer]), offer.hash),
            default=None,
        )

    def begin(self, offer: SnapshotOffer) -> None:
        """This snapshot is to be fetched."""
        self._requests.cancel(lambda asked: asked.key[0] in ("manifest", "chunk"))
        self._chosen = offer
        self._missing = {}

    def give_up(self, offer: SnapshotOffer, seconds: float = inf) -> None:
        """This snapshot is not what it says (for ever), or cannot be had or proved now: choose another."""
        self._bad[offer.hash] = self._now() + seconds
        for peer, offers in self.offers.items():
            if any(one.hash == offer.hash for one in offers):
                self._failures[peer] = self._failures.get(peer, 0) + 1
        while len(self._bad) > MAX_BAD:
            del self._bad[next(iter(self._bad))]
        self._chosen = None
        self._missing = {}
        self._requests.cancel(lambda asked: asked.key[0] in ("manifest", "chunk"))

    def holders(self) -> list[str]:
        """Connected peers that have the chosen snapshot and have not sent anything wrong of it."""
        chosen = self._chosen
        if chosen is None:
            return []
        return [
            peer
            for peer, offers in self.offers.items()
            if (peer, chosen.hash) not in self._refused and any(offer.hash == chosen.hash for offer in offers)
        ]

    # -- its parts -------------------------------------------------------------------------

    def ask_manifest(self) -> bool:
        """Ask somebody for the manifest, if nobody is asked already; whether it is on its way."""
        if any(asked.key == ("manifest", 0) for asked in self._requests.asked()):
            return True
        chosen = self._chosen
        if chosen is None:
            return False
        question = GetManifest(chosen.hash)
        peers = sorted(self.holders(), key=self._requests.rank)
        return any(self._requests.ask(peer, question, ("manifest", 0), LONG_SECONDS) for peer in peers)

    def want_chunks(self, numbers: tuple[int, ...]) -> None:
        """These are missing."""
        self._missing = dict.fromkeys(numbers)
        self.tick()

    def tick(self) -> None:
        """Give up what is late, ask for what is missing. Call it now and then, and after each part."""
        for late in self._requests.expired():
            if late.key[0] == "light":
                self._failed.append(late.key)
        chosen = self._chosen
        if chosen is None or not self._missing:
            return
        asked = {one.key[1] for one in self._requests.asked() if one.key[0] == "chunk"}
        peers = self.holders()
        for number in self._missing:
            if number in asked:
                continue
            peers = [peer for peer in peers if self._requests.room(peer) > 0]
            peers.sort(key=self._requests.rank)
            question = GetChunk(chosen.hash, number)
            if not any(self._requests.ask(peer, question, ("chunk", number), LONG_SECONDS) for peer in peers):
                return

    def taken(self, number: int) -> None:
        """A chunk was good."""
        self._missing.pop(number, None)
        self.tick()

    def refused(self, part: Part, why: str) -> None:
        """A part is not what it must be: its sender pays, and another is asked."""
        self._punish(part.peer, Offence.FALSE_CONTENT, f"{part.kind} {part.number}: {why}"[:200])
        if self._chosen is not None:
            self._refused[part.peer, self._chosen.hash] = None
        self.tick()

    # -- headers ---------------------------------------------------------------------------

    def ask_light_block(self, peer: str, height: int, *, validators: bool) -> bool:
        """Ask a peer for a header and its commit; `take_failed` tells where no answer came."""
        return self._requests.ask(peer, GetLightBlock(height, validators), ("light", height), SHORT_SECONDS)

    def take_failed(self) -> list[Key]:
        """Headers that were asked for and did not come, since the last time."""
        failed, self._failed = self._failed, []
        return failed

    # -- from the network ------------------------------------------------------------------

    def on_answer(self, peer: str, payload: bytes) -> None:
        """A payload of an answer. Raises MalformedBytes, TooLarge."""
        asked = self._requests.answered(peer, payload)
        if asked is None:
            return
        kind, number = asked.key
        try:
            message = decode_sync(Channel.STATE, payload)
        except QenexError:
            # The caller makes the peer pay; the part is asked of another.
            if kind == "light":
                self._failed.append(asked.key)
            elif self._chosen is not None:
                self._refused[peer, self._chosen.hash] = None
            raise
        if isinstance(message, Snapshots):
            self.offers[peer] = tuple([offer for offer in message.offers if 0 < offer.chunks <= MAX_CHUNKS])
        empty = (
            (isinstance(message, ManifestAnswer) and message.manifest is None)
            or (isinstance(message, ChunkAnswer) and message.chunk is None)
            or (isinstance(message, LightBlockAnswer) and message.block is None)
        )
        if empty and kind != "light" and self._chosen is not None:
            # Deleted since: no offence, but nothing of it is asked of this peer any more.
            self._refused[peer, self._chosen.hash] = None
            self.tick()
            return
        self._deliver(Part(kind, number, peer, message))

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        self.offers.pop(peer, None)
        self._failures.pop(peer, None)
        for gone in self._requests.forget(peer):
            if gone.key[0] == "light":
                self._failed.append(gone.key)
        self.tick()

    @property
    def due(self) -> float | None:
        """When `tick` has something to do, by itself."""
        return self._requests.due
