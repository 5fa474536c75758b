"""Compact proposals: a block travels as its outline, and who receives it fills in what it holds already.

An outline names transactions by whole witness ids (32 bytes against some 200 of a transfer) and the commit by one
flag for each validator. Whole ids cost more than shortened ones but can be checked against the header's
`transactions_root` before anything is done with them, so a lying outline costs its sender, never a wrong
body. What is missing is asked for by index, of whoever is known or said to hold the block; what comes is
compared by hash, one transaction at a time. A body that leaves here is exactly what its header commits to.

Pure logic: no socket, no task. The owner calls `tick` at `due`.

Bounds: `MAX_OUTLINES` outlines that nobody has asked the body of, `MAX_PEER_OUTLINES` of one peer; `MAX_FETCHES`
bodies at a time, each of at most `MAX_BLOCK_SIZE` bytes; one request of ours at a peer for each of these;
`MAX_SERVED` requests of a peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from p2p.messages import (
    BATCH_SIZE,
    BodyPart,
    CommitOutline,
    GetBody,
    GetOutline,
    Message,
    Outline,
    OutlineAnswer,
    encode_message,
    pack_indexes,
    split_ids,
    unpack_indexes,
)
from p2p.offences import Offence
from p2p.outlines import outline_fault, outline_of
from qenex.block import (
    MAX_BLOCK_SIZE,
    Block,
    Commit,
    block_hash,
    commit_hash,
)
from qenex.transaction import witness_hash

MAX_OUTLINES: Final = 8
MAX_PEER_OUTLINES: Final = 2
MAX_FETCHES: Final = 8
MAX_SERVED: Final = 4
MAX_OUTLINES_SENT: Final = 64
"""Outlines that a peer is sent in one second: each may have a MiB."""
MAX_CACHED: Final = 4
"""Outlines made of whole blocks that are kept for those who ask."""
CHUNK: Final = 512
"""Transactions asked for at once."""
ANSWER_SECONDS: Final = 1.0
"""A request without any part of its answer for so long is asked of somebody else."""
ANSWER_RATE: Final = 256 * 1024
"""And one whose parts bring less than so many bytes a second after that: drops are no answer."""
AGAIN_SECONDS: Final = 0.25
"""When everybody was asked in vain, all are asked anew after this."""
RETRY_SECONDS: Final = 0.02
CHECK_SECONDS: Final = 0.1
MAX_SLOW: Final = 4


class Bodies(Protocol):
    """What the node holds."""

    def raw_of(self, witness_id: bytes) -> bytes | None:
        """Raw bytes of a transaction that is here."""
        ...

    def body(self, name: bytes) -> Block | None:
        """A whole block by its hash."""
        ...

    def commit(self, outline: CommitOutline) -> Commit | None:
        """The commit put together from votes that are here, or None. Need not be the right one."""
        ...


class _Asked(NamedTuple):
    """One request at one peer. `indexes` None: for the outline."""

    indexes: tuple[int, ...] | None
    commit: bool
    at: int
    """Indexes before this position were passed by the answer."""
    deadline: float
    limit: float
    """The deadline is never put off beyond this; what comes puts it off by `ANSWER_RATE`."""


class _Fetch:
    """A body that somebody here waits for."""

    __slots__ = (
        "again", "asked", "commit", "commit_known", "dead", "left", "outline", "queue", "raws", "size", "sources",
        "witness_ids",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sources: dict[str, None] = {}
        """Peers not asked in vain yet, the likeliest first."""
        self.asked: dict[str, _Asked] = {}
        self.outline: Outline | None = None
        self.witness_ids: list[bytes] = []
        self.raws: list[bytes | None] = []
        self.left = 0
        """Transactions that are missing."""
        self.queue: deque[int] = deque()
        """Indexes that are missing and not asked for."""
        self.commit: Commit | None = None
        self.commit_known = False
        self.size = 0
        self.again = 0.0
        self.dead = False
        """Larger than any block may be: its proposer is at fault, and nobody can help."""


class _Served:
    __slots__ = ("at", "commit", "indexes", "name")

    def __init__(self, name: bytes, commit: bool, indexes: list[int]) -> None:
        self.name = name
        self.commit = commit
        self.indexes = indexes
        self.at = 0


class _Peer:
    __slots__ = ("outlines", "overdue", "second", "sent", "served", "slow")

    def __init__(self) -> None:
        self.outlines: dict[bytes, Outline] = {}
        self.second = 0.0
        self.sent = 0
        """Outlines since `second`."""
        self.served: deque[_Served] = deque()
        self.overdue: deque[bytes] = deque(maxlen=8)
        """Blocks whose answer by this peer may still come, though nobody waits for it."""
        self.slow = 0


class Proposals:
    """See the module. One thread; `clock` in seconds, monotonic. `send` puts a payload of the consensus channel
    into a peer's queue, or answers False when that is full; `complete` gets each body that was wanted."""

    def __init__(
        self,
        bodies: Bodies,
        send: Callable[[str, bytes], bool],
        complete: Callable[[bytes, Block], None],
        punish: Callable[[str, Offence, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._bodies = bodies
        self._send = send
        self._complete = complete
        self._punish = punish
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._fetches: dict[bytes, _Fetch] = {}
        self._cached: dict[bytes, Outline] = {}
        self.due: float | None = None
        """When `tick` has something to do; None: not before something else happens."""
        self.rebuilt = 0
        """Bodies put together here."""
        self.fetched = 0
        """Transactions of these that had to be asked for."""
        self.parts = 0

    def _at(self, when: float) -> None:
        if self.due is None or when < self.due:
            self.due = when

    def _say(self, peer: str, message: Message) -> bool:
        return self._send(peer, encode_message(message))

    @property
    def waiting(self) -> int:
        """Outlines that are kept and bodies that are fetched."""
        return sum([len(peer.outlines) for peer in self._peers.values()]) + len(self._fetches)

    # -- peers ------------------------------------------------------------------------------------

    def connected(self, name: str) -> None:
        """A peer has come: it may have what is waited for."""
        self._peers[name] = _Peer()
        for block, fetch in list(self._fetches.items()):
            fetch.sources[name] = None
            self._go_on(block, fetch)

    def disconnected(self, name: str) -> None:
        """A peer has gone: what it was asked for is asked of others."""
        if self._peers.pop(name, None) is None:
            return
        for block, fetch in list(self._fetches.items()):
            fetch.sources.pop(name, None)
            self._take_back(fetch, name)
            self._go_on(block, fetch)

    def holds(self, name: str, blocks: Iterable[bytes]) -> None:
        """A peer says that it has these whole blocks."""
        for block in blocks:
            fetch = self._fetches.get(block)
            if fetch is not None and name in self._peers and name not in fetch.asked:
                fetch.sources[name] = None
                self._go_on(block, fetch)

    # -- outlines ---------------------------------------------------------------------------------

    def outline(self, block: Block, name: bytes) -> Outline:
        """The outline of a whole block, kept for those who ask."""
        found = self._cached.get(name)
        if found is None:
            found = outline_of(block)
            while len(self._cached) >= MAX_CACHED:
                del self._cached[next(iter(self._cached))]
            self._cached[name] = found
        return found

    def known(self, name: bytes) -> Outline | None:
        """The outline of a block that is here, or that is being fetched, checked."""
        block = self._bodies.body(name)
        if block is not None:
            return self.outline(block, name)
        fetch = self._fetches.get(name)
        return None if fetch is None else fetch.outline

    def on_outline(self, peer: str, name: bytes, outline: Outline) -> bool:
        """An outline came with a proposal for the block `name`. False if its header is another: the peer lies.

        Only the header is looked at. The rest is checked when somebody wants the body, which is after the
        proposal's signature was found good.
        """
        state = self._peers.get(peer)
        if state is None:
            return True
        if block_hash(outline.header) != name:
            self._punish(peer, Offence.FALSE_CONTENT, "an outline of another block than the proposed one")
            return False
        fetch = self._fetches.get(name)
        if fetch is not None:
            self._offer(name, fetch, peer, outline)
            return True
        state.outlines.pop(name, None)
        while len(state.outlines) >= MAX_PEER_OUTLINES:
            del state.outlines[next(iter(state.outlines))]
        if sum([len(other.outlines) for other in self._peers.values()]) < MAX_OUTLINES:
            state.outlines[name] = outline
        return True

    def _offer(self, name: bytes, fetch: _Fetch, peer: str, outline: Outline) -> None:
        """An outline with the right header for a body that is wanted."""
        if fetch.outline is None:
            fault = outline_fault(outline)
            if fault:
                self._punish(peer, Offence.FALSE_CONTENT, f"an outline that does not match its {fault}")
                fetch.sources.pop(peer, None)
                self._go_on(name, fetch)
                return
            self._fill(fetch, outline)
        if peer not in fetch.asked:
            fetch.sources[peer] = None
        self._go_on(name, fetch)

    def _fill(self, fetch: _Fetch, outline: Outline) -> None:
        """Take what is here."""
        fetch.outline = outline
        raw_of = self._bodies.raw_of
        fetch.witness_ids = split_ids(outline.witness_ids)
        fetch.raws = [raw_of(witness_id) for witness_id in fetch.witness_ids]
        fetch.queue.extend([index for index, raw in enumerate(fetch.raws) if raw is None])
        fetch.left = len(fetch.queue)
        fetch.size = sum([len(raw) for raw in fetch.raws if raw is not None])
        for peer, asked in list(fetch.asked.items()):
            if asked.indexes is None:
                del fetch.asked[peer]
                self._remember(peer, fetch)
                fetch.sources[peer] = None
        if self._too_large(fetch):
            return
        if outline.commit is None:
            fetch.commit_known = True
            return
        commit = self._bodies.commit(outline.commit)
        if commit is not None and commit_hash(commit) == outline.header.commit_hash:
            fetch.commit, fetch.commit_known = commit, True

    def _remember(self, peer: str, fetch: _Fetch) -> None:
        """An answer of `peer` may still come."""
        state = self._peers.get(peer)
        if state is not None:
            state.overdue.extend([name for name, other in self._fetches.items() if other is fetch])

    # -- wanting a body -----------------------------------------------------------------------------

    def want(self, name: bytes) -> None:
        """Get the body of a block. `complete` is called once, perhaps at once; or `abandon` ends it.

        Beyond MAX_FETCHES the oldest is given up: whoever waits for it has gone on long ago.
        """
        if name in self._fetches:
            return
        while len(self._fetches) >= MAX_FETCHES:
            del self._fetches[next(iter(self._fetches))]
        fetch = self._fetches[name] = _Fetch()
        offers = []
        for peer, state in self._peers.items():
            outline = state.outlines.pop(name, None)
            if outline is not None:
                offers.append((peer, outline))
        fetch.sources = dict.fromkeys([peer for peer, _ in offers])
        for peer, outline in offers:
            if name in self._fetches:
                self._offer(name, fetch, peer, outline)
        if name in self._fetches:
            if not fetch.sources and not fetch.asked:
                fetch.sources = dict.fromkeys(self._peers)
            self._go_on(name, fetch)

    def abandon(self, name: bytes) -> None:
        """Nobody needs this body any more."""
        fetch = self._fetches.pop(name, None)
        if fetch is not None:
            for peer in fetch.asked:
                if peer in self._peers:
                    self._peers[peer].overdue.append(name)

    def advance(self, height: int) -> None:
        """`height` begins: outlines of earlier ones that nobody asked for are of the past."""
        for state in self._peers.values():
            for name in [n for n, outline in state.outlines.items() if outline.header.height < height]:
                del state.outlines[name]

    def _go_on(self, name: bytes, fetch: _Fetch) -> None:
        """Finish the body, or ask the next peers for what is missing."""
        if fetch.dead or self._fetches.get(name) is not fetch:
            return
        outline = fetch.outline
        if outline is not None and not fetch.left and fetch.commit_known:
            self._finish(name, fetch, outline)
            return
        now = self._clock()
        while fetch.sources and self._needs(fetch):
            # Who did not answer in time lately comes last: silence must not cost every block a second.
            peer = min(fetch.sources, key=self._slow)
            if peer in fetch.asked or peer not in self._peers:
                del fetch.sources[peer]
                continue
            if not self._ask(name, fetch, peer, now):
                self._at(now + RETRY_SECONDS)
                return
            del fetch.sources[peer]
            self._at(now + CHECK_SECONDS)
        if not fetch.sources and not fetch.asked:
            if fetch.again <= now:
                fetch.again = now + AGAIN_SECONDS
            self._at(fetch.again)

    def _slow(self, peer: str) -> int:
        """How often in a row a peer did not answer in time."""
        state = self._peers.get(peer)
        return 0 if state is None else state.slow

    @staticmethod
    def _needs(fetch: _Fetch) -> bool:
        """Whether something is missing that nobody is asked for."""
        if fetch.outline is None:
            return not fetch.asked
        return bool(fetch.queue) or not (
            fetch.commit_known or any(asked.commit for asked in fetch.asked.values())
        )

    def _ask(self, name: bytes, fetch: _Fetch, peer: str, now: float) -> bool:
        if fetch.outline is None:
            if not self._say(peer, GetOutline(name)):
                return False
            fetch.asked[peer] = _Asked(None, False, 0, now + ANSWER_SECONDS, now + ANSWER_SECONDS)
            return True
        commit = not (fetch.commit_known or any(asked.commit for asked in fetch.asked.values()))
        # What came back from another peer stands behind larger ones.
        indexes = tuple(sorted([fetch.queue.popleft() for _ in range(min(CHUNK, len(fetch.queue)))]))
        if not self._say(peer, GetBody(name, commit, pack_indexes(indexes))):
            fetch.queue.extendleft(reversed(indexes))
            return False
        fetch.asked[peer] = _Asked(indexes, commit, 0, now + ANSWER_SECONDS, now + ANSWER_SECONDS)
        return True

    def _take_back(self, fetch: _Fetch, peer: str) -> None:
        """What `peer` was asked for and has not sent is to be asked of others."""
        asked = fetch.asked.pop(peer, None)
        if asked is not None and asked.indexes is not None:
            fetch.queue.extend([index for index in asked.indexes if fetch.raws[index] is None])

    def _finish(self, name: bytes, fetch: _Fetch, outline: Outline) -> None:
        self.abandon(name)
        self.rebuilt += 1
        raws = tuple([raw for raw in fetch.raws if raw is not None])
        self._complete(name, Block(outline.header, raws, outline.evidence, fetch.commit))

    # -- answers ----------------------------------------------------------------------------------

    def _asked(self, peer: str, name: bytes, *, outline: bool) -> tuple[_Fetch, _Asked] | None:
        """The request that an answer belongs to. None for strangers, late answers, and what nobody asked for."""
        state = self._peers.get(peer)
        if state is None:
            return None
        fetch = self._fetches.get(name)
        asked = None if fetch is None else fetch.asked.get(peer)
        if fetch is None or asked is None or (asked.indexes is None) is not outline:
            if name not in state.overdue:
                self._punish(peer, Offence.UNSOLICITED, "an answer about a block that it was not asked for")
            return None
        return fetch, asked

    def on_outline_answer(self, peer: str, message: OutlineAnswer) -> None:
        """Answer to GetOutline."""
        name, outline = message.block_hash, message.outline
        found = self._asked(peer, name, outline=True)
        if found is None:
            return
        fetch = found[0]
        del fetch.asked[peer]
        self._peers[peer].slow = 0
        if outline is None:
            self._go_on(name, fetch)
        elif block_hash(outline.header) != name:
            self._punish(peer, Offence.FALSE_CONTENT, "an outline of another block than the one asked for")
            self._go_on(name, fetch)
        else:
            self._offer(name, fetch, peer, outline)

    def on_body_part(self, peer: str, message: BodyPart) -> None:
        """Part of the answer to GetBody."""
        name = message.block_hash
        found = self._asked(peer, name, outline=False)
        if found is None:
            return
        fetch, asked = found
        self.parts += 1
        fault = self._take(fetch, peer, asked, message)
        if self._too_large(fetch):
            return
        if fault:
            self._take_back(fetch, peer)
            self._punish(peer, Offence.FALSE_CONTENT, fault)
        elif message.last:
            complete = all(fetch.raws[index] is not None for index in asked.indexes or ())
            complete &= fetch.commit_known or not asked.commit
            self._take_back(fetch, peer)
            self._peers[peer].slow = 0
            if complete:
                fetch.sources[peer] = None  # it has the block: the next chunk may come from it too
        self._go_on(name, fetch)

    def _take(self, fetch: _Fetch, peer: str, asked: _Asked, message: BodyPart) -> str:
        """Take what a part brings; what is wrong with it, if anything."""
        outline = fetch.outline
        assert outline is not None
        assert asked.indexes is not None
        size = sum(map(len, message.transactions))
        if message.commit is not None:
            if not asked.commit:
                return "a commit that was not asked for"
            if commit_hash(message.commit) != outline.header.commit_hash:
                return "a commit that is not the block's"
            fetch.commit, fetch.commit_known = message.commit, True
            size += sum([len(entry.signature) for entry in message.commit.signatures])
        elif not message.transactions and not message.last:
            return "an empty part that ends nothing"
        at, indexes, ids = asked.at, asked.indexes, fetch.witness_ids
        for raw in message.transactions:
            witness_id = witness_hash(raw)
            while at < len(indexes) and ids[indexes[at]] != witness_id:
                at += 1
            if at == len(indexes):
                return "a transaction that is not the block's, or not the one asked for"
            index = indexes[at]
            at += 1
            if fetch.raws[index] is None:
                fetch.raws[index] = raw
                fetch.left -= 1
                fetch.size += len(raw)
                self.fetched += 1
        limit = asked.limit + size / ANSWER_RATE
        deadline = min(self._clock() + ANSWER_SECONDS, limit)
        fetch.asked[peer] = asked._replace(at=at, deadline=deadline, limit=limit)
        return ""

    def _too_large(self, fetch: _Fetch) -> bool:
        """Let go of a body that no block may have; its header commits to it, so no peer has a better one."""
        if fetch.size > MAX_BLOCK_SIZE and not fetch.dead:
            fetch.dead = True
            for peer in fetch.asked:
                self._remember(peer, fetch)
            fetch.asked.clear()
            fetch.sources.clear()
            fetch.raws, fetch.witness_ids = [], []
        return fetch.dead

    def tick(self) -> None:
        """Give up what was not answered, begin anew where all were asked in vain, go on answering."""
        self.due = None
        now = self._clock()
        for name, fetch in list(self._fetches.items()):
            for peer in [p for p, asked in fetch.asked.items() if asked.deadline <= now]:
                self._late(name, fetch, peer)
            if not fetch.sources and not fetch.asked and not fetch.dead and fetch.again <= now:
                fetch.sources = dict.fromkeys(self._peers)
            self._go_on(name, fetch)
            if fetch.asked:
                self._at(now + CHECK_SECONDS)
        for peer, state in list(self._peers.items()):
            if state.served:
                self._serve(peer, state)

    def _late(self, name: bytes, fetch: _Fetch, peer: str) -> None:
        self._take_back(fetch, peer)
        state = self._peers[peer]
        state.overdue.append(name)
        state.slow += 1
        if state.slow % MAX_SLOW == 0:
            self._punish(peer, Offence.UNRESPONSIVE, f"{MAX_SLOW} requests for blocks unanswered")

    # -- answering --------------------------------------------------------------------------------

    def on_get_outline(self, peer: str, message: GetOutline) -> None:
        """Answer at once; what does not fit the peer's queue is asked again."""
        state = self._peers.get(peer)
        if state is None:
            return
        now = self._clock()
        if now - state.second >= 1.0:
            state.second, state.sent = now, 0
        state.sent += 1
        if state.sent > MAX_OUTLINES_SENT:
            self._punish(peer, Offence.FLOOD, "asks for outlines too often")
            return
        name = message.block_hash
        self._say(peer, OutlineAnswer(name, self.known(name)))

    def on_get_body(self, peer: str, message: GetBody) -> None:
        """Answer from a whole block, or from one that is being fetched, as fast as the peer's queue takes it."""
        state = self._peers.get(peer)
        if state is None:
            return
        if len(state.served) >= MAX_SERVED:
            self._say(peer, BodyPart(message.block_hash, None, (), True))
            return
        state.served.append(_Served(message.block_hash, message.commit, unpack_indexes(message.indexes)))
        self._serve(peer, state)

    def _serve(self, peer: str, state: _Peer) -> None:
        while state.served:
            served = state.served[0]
            raws, commit = self._held(served.name)
            batch: list[bytes] = []
            size, at = 0, served.at
            while at < len(served.indexes) and size < BATCH_SIZE:
                index = served.indexes[at]
                raw = raws[index] if index < len(raws) else None
                at += 1
                if raw is not None:
                    batch.append(raw)
                    size += len(raw)
            last = at == len(served.indexes)
            part = BodyPart(served.name, commit if served.commit else None, tuple(batch), last)
            if not self._say(peer, part):
                self._at(self._clock() + RETRY_SECONDS)
                return
            served.at, served.commit = at, False
            if last:
                state.served.popleft()

    def _held(self, name: bytes) -> tuple[Sequence[bytes | None], Commit | None]:
        block = self._bodies.body(name)
        if block is not None:
            return block.transactions, block.commit
        fetch = self._fetches.get(name)
        if fetch is None:
            return (), None
        return fetch.raws, fetch.commit
