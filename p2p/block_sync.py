"""Which block to ask whom for, and what to think of the answers: block sync without sockets, clocks or blocks' contents.

Peers tell their last height and the oldest block they have. That is a claim, no more: only heights of a window
above the last applied block are ever asked for, however high the claim is, and who does not deliver what he
claimed pays and is taken for no higher than that. Blocks are asked of several peers at once, a few of each, the
lowest missing one first; what does not come in time is asked of another.

The owner takes blocks in order (`peek`), verifies and executes them, and says `applied` or `wrong`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2p.channels import Channel
from p2p.offences import Offence
from p2p.requests import Now, Punish, Requests, Send
from p2p.sync_messages import BlockAnswer, GetBlock, Status, decode_sync
from qenex.errors import QenexError

PER_PEER: Final = 8
"""Blocks asked of one peer at a time."""
MAX_WINDOW: Final = 128
"""Blocks above the last applied one that are asked for or wait."""
MIN_WINDOW: Final = 4
WINDOW_BYTES: Final = 24 << 20
"""The window shrinks so that blocks of the size seen lately stay within this."""
REQUEST_SECONDS: Final = 8.0
DOUBT_SECONDS: Final = 30.0
"""For so long a peer that did not have a block it had claimed is believed no height from that block on."""


class Fetched(NamedTuple):
    """A block as it came, and from whom."""

    height: int
    peer: str
    answer: BlockAnswer


class Claim(NamedTuple):
    """What a peer says that it has."""

    height: int
    base: int


class BlockFetcher:
    """See the module. `height` is the last applied block's."""

    def __init__(self, height: int, send: Send, punish: Punish, now: Now) -> None:
        self.height = height
        self._punish = punish
        self._now = now
        self._requests: Requests[int] = Requests(Channel.BLOCKS, send, punish, now, per_peer=PER_PEER)
        self._claims: dict[str, Claim] = {}
        self._doubts: dict[str, tuple[int, float]] = {}
        """Heights from which on a peer is not believed, and until when."""
        self._held: dict[int, Fetched] = {}
        self._size = 1
        self._turn = 0

    # -- peers -----------------------------------------------------------------------------

    def on_status(self, peer: str, status: Status) -> None:
        """A peer tells where it stands. What it failed to deliver lately it cannot claim anew."""
        self._claims[peer] = Claim(self._believed(peer, status.height), status.base)

    def _believed(self, peer: str, height: int) -> int:
        """The height that is believed of what a peer claims."""
        doubted, until = self._doubts.get(peer, (0, 0.0))
        return min(height, doubted - 1) if until > self._now() else height

    def _doubt(self, peer: str, height: int) -> None:
        """A peer claims `height` and does not have it."""
        claim = self._claims.get(peer)
        if claim is not None and claim.height >= height:
            self._doubts[peer] = height, self._now() + DOUBT_SECONDS
            self._claims[peer] = Claim(height - 1, min(claim.base, height))

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone; what it was asked is asked of others."""
        self._claims.pop(peer, None)
        self._doubts.pop(peer, None)
        self._requests.forget(peer)

    @property
    def target(self) -> int:
        """The highest height that a connected peer claims and has not failed to deliver."""
        return max(self._heights(), default=0)

    @property
    def agreed(self) -> int:
        """The height that a second peer claims, too, where there are two: no single liar can raise it."""
        highest = sorted(self._heights(), reverse=True)[:2]
        return highest[-1] if highest else 0

    def _heights(self) -> list[int]:
        """What is claimed by those who answer: to wait for the others is of no use."""
        return [claim.height for peer, claim in self._claims.items() if not self._requests.rests(peer)]

    @property
    def peers(self) -> int:
        """Peers that have told where they stand."""
        return len(self._claims)

    @property
    def is_stuck(self) -> bool:
        """Whether the next block is claimed by nobody who has it, though some are higher: all have pruned it."""
        wanted = self.height + 1
        higher = [claim for claim in self._claims.values() if claim.height >= wanted]
        return bool(higher) and all(claim.base > wanted for claim in higher)

    # -- asking ----------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """Heights above the last applied one that are of interest now."""
        return max(MIN_WINDOW, min(MAX_WINDOW, WINDOW_BYTES // self._size))

    def tick(self) -> None:
        """Give up what is late, ask for what is missing. Call it now and then, and after each answer."""
        self._requests.expired()
        asked = {one.key for one in self._requests.asked()}
        for height in range(self.height + 1, min(self.height + self.window, self.target) + 1):
            if height in self._held or height in asked:
                continue
            if not self._ask(height) and height == self.height + 1:
                return

    def _ask(self, height: int) -> bool:
        able = [
            peer
            for peer, claim in self._claims.items()
            if claim.base <= height <= claim.height and self._requests.room(peer) > 0
        ]
        self._turn += 1
        able.sort(key=self._requests.rank)
        best = [peer for peer in able if self._requests.rank(peer) == self._requests.rank(able[0])]
        turn = self._turn % max(len(best), 1)  # among equals in turn
        ordered = [*best[turn:], *best[:turn], *able[len(best) :]]
        return any(self._requests.ask(peer, GetBlock(height), height, REQUEST_SECONDS) for peer in ordered)

    @property
    def due(self) -> float | None:
        """When `tick` has something to do, by itself."""
        return self._requests.due

    # -- answers ---------------------------------------------------------------------------

    def on_answer(self, peer: str, payload: bytes) -> bool:
        """A payload of a BlockAnswer; whether it was of use. Raises MalformedBytes, TooLarge."""
        asked = self._requests.answered(peer, payload)
        if asked is None:
            return False
        try:
            answer = decode_sync(Channel.BLOCKS, payload)
        except QenexError:
            self._claims.pop(
                peer, None
            )  # the caller makes the peer pay; others are asked until it tells again
            raise
        assert isinstance(answer, BlockAnswer)  # by its tag, which fits the question
        if answer.height != asked.key:
            self._punish(peer, Offence.FALSE_CONTENT, f"asked for block {asked.key}, got another")
            return False
        claim = self._claims.get(peer)
        if claim is not None and answer.last > claim.height:
            self._claims[peer] = claim._replace(height=self._believed(peer, answer.last))
        if answer.block is None:
            self._not_held(peer, asked.key)
            return False
        if asked.key <= self.height or asked.key in self._held:
            return False
        self._size = max(len(payload), self._size * 7 // 8)
        self._held[asked.key] = Fetched(asked.key, peer, answer)
        return True

    def _not_held(self, peer: str, height: int) -> None:
        """The peer claimed a range with this height in it and does not have it: pruned since, or never true."""
        claim = self._claims.get(peer)
        if claim is None or not claim.base <= height <= claim.height:
            return
        self._punish(peer, Offence.FALSE_CLAIM, f"it does not have block {height}, which it claimed")
        self._doubt(peer, height)

    # -- blocks ----------------------------------------------------------------------------

    def peek(self, height: int) -> Fetched | None:
        """A block that has come and waits."""
        return self._held.get(height)

    def applied(self, height: int) -> None:
        """A block is applied: the window moves on."""
        self.height = max(self.height, height)
        for past in [at for at in self._held if at <= self.height]:
            del self._held[past]
        self._requests.cancel(lambda asked: asked.key <= self.height)

    def wrong(self, fetched: Fetched, why: str) -> None:
        """A block is not the chain's: its sender pays, and all that came from it is asked of others."""
        self._punish(fetched.peer, Offence.FALSE_CONTENT, f"block {fetched.height}: {why}"[:200])
        self._doubt(fetched.peer, fetched.height)
        for height in [at for at, held in self._held.items() if held.peer == fetched.peer]:
            del self._held[height]
        self._requests.cancel(lambda asked: asked.peer == fetched.peer)
