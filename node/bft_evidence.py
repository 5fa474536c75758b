"""Evidence that waits for a block: bounded, kept over restarts, every piece checked before it is taken.

It comes from the node's own consensus, or from peers. A piece leaves when a block has it, or when it has become too old
for any block. The file is a cache of what peers have too: one that is damaged is begun anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from consensus.evidence import place_of
from consensus.signer import write_durably
from node.bft_blocks import Spawn
from node.bft_face import Gossip
from qenex.block import MAX_COMMIT_SIZE, MAX_EVIDENCE, MAX_VALIDATORS, Evidence
from qenex.codec import Codec, codec_for, encode
from qenex.crypto import encode_address
from qenex.errors import EvidenceInvalid, QenexError
from qenex.hashing import hasher
from qenex.types import U8, Bytes32, Length
from vm.core import MAX_DOUBLE_VOTES

log = logging.getLogger("qenex.engine")

MAX_PENDING: Final = 64
MAX_PER_VALIDATOR: Final = MAX_DOUBLE_VOTES
"""So many of a validator are waiting, or in blocks since the start, and no more are taken but for earlier offences."""
MAX_PUNISHED: Final = 4 * MAX_VALIDATORS
MAX_FILE: Final = 4 * MAX_COMMIT_SIZE
VERSION: Final = 1

_checksum = hasher("qx.evidence")


class _File(NamedTuple):
    version: U8
    checksum: Bytes32
    pieces: Annotated[tuple[Evidence, ...], Length(0, MAX_PENDING)]


_FILE: Final[Codec[_File]] = codec_for(_File)


class EvidencePool:
    """See the module. `check` raises EvidenceInvalid or EvidenceExpired for a piece that no block may have.

    `path` None keeps nothing on disk.
    """

    def __init__(
        self, path: Path | None, check: Callable[[Evidence], None], gossip: Gossip, spawn: Spawn
    ) -> None:
        self._path = path
        self._check = check
        self._gossip = gossip
        self._spawn = spawn
        self._pieces: dict[tuple[int, bytes, int, int], Evidence] = {}
        self._punished: dict[bytes, tuple[int, int]] = {}
        """Pieces in blocks since the start and the lowest of their heights, by the accused."""
        self._dirty = False
        self._saving: asyncio.Task[None] | None = None
        self.committed = 0
        """Pieces that came into blocks since the start."""

    def __len__(self) -> int:
        return len(self._pieces)

    def load(self) -> None:
        """Take up what the file holds and is still good."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
            stored = _FILE.decode(data, max_size=MAX_FILE, max_items=MAX_PENDING)
            if stored.version != VERSION or _checksum(encode(stored.pieces)) != stored.checksum:
                raise EvidenceInvalid("another version, or a wrong checksum")
        except FileNotFoundError:
            return
        except (OSError, QenexError) as error:
            log.warning("kept evidence is unreadable; peers may have it", extra={"reason": str(error)[:120]})
            return
        for piece in stored.pieces:
            try:
                self.add(piece)
            except QenexError:
                continue  # too old by now

    def add(self, piece: Evidence, *, own: bool = False) -> bool:
        """Check and keep a piece; whether it is new. Raises what `check` raises.

        `own`: made here from verified votes, of the height in progress; it is checked when that is over.
        """
        place = place_of(piece)
        if place in self._pieces:
            return False
        same = sorted([other for other in self._pieces if other[1] == place[1]])
        count, earliest = self._punished.get(place[1]) or (0, place[0] + 1)
        if count + len(same) >= MAX_PER_VALIDATOR and place[0] >= min([earliest, *[at for at, *_ in same]]):
            return (
                False  # before any signature: who votes twice can make more evidence than anybody can verify
            )
        if len(self._pieces) >= MAX_PENDING and len(same) < MAX_PER_VALIDATOR:
            return False
        if not own:
            self._check(piece)
        if len(same) >= MAX_PER_VALIDATOR:
            del self._pieces[same[-1]]  # an earlier offence reaches further: it takes the last one's place
        self._pieces[place] = piece
        self._save()
        return True

    def report(self, piece: Evidence) -> None:
        """This node's consensus has seen a double vote."""
        vote = piece.first
        log.error(
            "a validator voted twice",
            extra={"validator": encode_address(vote.address), "height": vote.height, "round": vote.round},
        )
        self.add(piece, own=True)

    def receive(self, peer: str, pieces: Sequence[Evidence], height: int) -> bool:
        """Pieces of a peer, the last block here being that of `height`; whether one is new. New ones are passed on."""
        fresh = []
        for piece in pieces:
            if piece.first.height > height:
                continue  # not to be judged yet; whoever has it puts it into a block, or sends it again
            try:
                if self.add(piece):
                    fresh.append(piece)
            except EvidenceInvalid as error:
                self._gossip.punish(peer, f"bad evidence: {error.message}")
                break
            except QenexError:
                continue  # too old, in a block already, or of a height that is not held here
        if fresh:
            self._gossip.send_evidence(fresh)
        return bool(fresh)

    def pending(self, height: int | None = None) -> list[Evidence]:
        """What a block of `height` can take, the earliest first, at most MAX_EVIDENCE pieces; without a height, all there is."""
        if height is None:
            return list(self._pieces.values())
        ripe = sorted([place for place in self._pieces if place[0] < height], key=lambda place: place[0])
        return [self._pieces[place] for place in ripe[:MAX_EVIDENCE]]

    def block_committed(self, height: int, evidence: Sequence[Evidence]) -> None:
        """The block of `height` was decided: what it has, and what no block may have any more, goes."""
        for piece in evidence:
            self._count(piece.first.address, piece.first.height)
            if self._pieces.pop(place_of(piece), None) is not None:
                self.committed += 1
                self._save()
        for place, piece in list(self._pieces.items()):
            if place[0] > height:
                continue
            try:
                self._check(piece)
            except QenexError:
                del self._pieces[place]
                self._save()
        ours = [piece for place, piece in self._pieces.items() if place[0] == height]
        if ours:
            self._gossip.send_evidence(ours)

    def _count(self, accused: bytes, height: int) -> None:
        count, earliest = self._punished.pop(accused, (0, height))
        self._punished[accused] = count + 1, min(earliest, height)
        if len(self._punished) > MAX_PUNISHED:
            del self._punished[next(iter(self._punished))]

    def _save(self) -> None:
        if self._path is None:
            return
        self._dirty = True
        if self._saving is None or self._saving.done():
            self._saving = self._spawn(self._write())

    async def _write(self) -> None:
        path = self._path
        while self._dirty and path is not None:
            self._dirty = False
            pieces = tuple(self._pieces.values())
            data = encode(_File(VERSION, _checksum(encode(pieces)), pieces))
            await asyncio.get_running_loop().run_in_executor(None, write_durably, path, data)

    async def close(self) -> None:
        """Wait for the write in hand."""
        if self._saving is not None:
            await asyncio.wait([self._saving])
