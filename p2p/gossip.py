"""Transactions between peers: announced by witness id, fetched once, pushed where they were submitted.

Pure logic: no socket, no task, no future, and nothing that is done for a single transaction but a few set and list
operations. What goes out is gathered: a batch submitted here is encoded once and pushed to a few peers, the
others and everything relayed get announcements, and each is asked for by one request at a time.

Who owns an object of this calls `tick` at `due`, and hands the transactions of `deliver` to admission.

Bounds: `MAX_WANTED` ids in all and `MAX_PEER_WANTED` for one peer are waited for; a peer has at most `MAX_REQUESTS`
requests of ours and may have `MAX_SERVED` of its own; ids remembered for a peer and in all are in two
generations, of which the older one is dropped. Nothing is asked for while `has_room` says no.

Penalties: what nobody asked for, requests that are not answered, announcements that are mostly not delivered.
Signatures and sequences are the admission's to judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from p2p.messages import (
    BATCH_SIZE,
    MAX_BATCH,
    MAX_IDS,
    Announce,
    GetTransactions,
    PushTransactions,
    Transactions,
    encode_message,
    split_ids,
)
from p2p.offences import Offence
from qenex.transaction import witness_hash

PUSH_PEERS: Final = 4
"""Peers that get a transaction submitted here unasked; the others get an announcement."""
PUSH_SECONDS: Final = 0.004
"""What is submitted within this time is pushed together."""
ANNOUNCE_SECONDS: Final = 0.02
"""What is admitted within this time is announced together; by then many peers have told that they hold it."""
RETRY_SECONDS: Final = 0.02
"""After this a full send queue, or admission without room, is tried again."""
BACKLOG_SECONDS: Final = 0.2
"""Between two announcements of what a newcomer lacks: slower than it can fetch, or it would have to forget some."""
REQUEST_SECONDS: Final = 2.0
"""A request without any part of its answer for so long is over, and asked of somebody else."""
ANSWER_RATE: Final = 64 * 1024
"""And one whose parts bring less than so many bytes a second after that: drops are no answer."""
CHECK_SECONDS: Final = 0.25
"""How exactly that is kept."""

REQUEST_IDS: Final = 256
MAX_REQUESTS: Final = 2
MAX_SERVED: Final = 8
MAX_WANTED: Final = 49_152
MAX_PEER_WANTED: Final = 16_384
MAX_SOURCES: Final = 4
MAX_TRIES: Final = 4
MAX_OUTBOX: Final = 65_536
"""Ids that wait to be announced to one peer; the oldest go first, their transactions come to it in blocks."""
KNOWN: Final = 8_192
"""Ids remembered that a peer holds."""
SEEN: Final = 131_072
"""Ids remembered that passed here, whatever became of them."""
MAX_MISSED: Final = 512
"""Announced but not delivered, and more than was delivered: a lie."""
MAX_SLOW: Final = 3
"""Requests in a row without an answer."""


class Pool(Protocol):
    """Where transactions wait, as gossip sees it."""

    def __contains__(self, witness_id: bytes) -> bool: ...

    def raw_of(self, witness_id: bytes) -> bytes | None:
        """The raw bytes of a transaction that waits."""
        ...

    def witness_ids(self) -> Iterable[bytes]:
        """Ids of all that wait, in the order of their arrival."""
        ...


Send = Callable[[str, bytes], bool]
"""Put a payload of the mempool channel into a peer's queue; False if that is full."""
Deliver = Callable[[str, list[bytes], list[bytes]], None]
"""Peer, witness ids and raw bytes of transactions that are new here, in the order in which they came."""


class Remembered:
    """A bounded set of ids in two generations; when the younger is full, the older is forgotten."""

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def __contains__(self, item: bytes) -> bool:
        return item in self._young or item in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def update(self, items: Iterable[bytes]) -> None:
        """Remember `items`."""
        young = self._young
        young.update(items)
        if len(young) >= self._half:
            self._old = young
            self._young = set()

    def discard(self, item: bytes) -> None:
        """Forget one."""
        self._young.discard(item)
        self._old.discard(item)

    def unknown(self, items: Iterable[bytes]) -> list[bytes]:
        """Those of `items` that are not remembered, in their order."""
        young, old = self._young, self._old
        return [item for item in items if item not in young and item not in old]


class _Wanted:
    """An id that was announced and is not here yet: who has it, and who is asked."""

    __slots__ = ("asked", "sources", "tries")

    def __init__(self, source: str) -> None:
        self.sources = [source]
        self.asked = source
        """Whose queue or request it stands in."""
        self.tries = 0


class _Request:
    """A request of ours: what has not come yet, since when, and until when the next part has to.

    `limit`: as far as the deadline may be put off by what has come.
    """

    __slots__ = ("deadline", "limit", "missing", "started")

    def __init__(self, ids: Sequence[bytes], now: float) -> None:
        self.missing = dict.fromkeys(ids)
        self.started = now
        self.deadline = self.limit = now + REQUEST_SECONDS


class _Served:
    """A request of a peer, and how far it is answered."""

    __slots__ = ("at", "ids", "number")

    def __init__(self, number: int, ids: list[bytes]) -> None:
        self.number = number
        self.ids = ids
        self.at = 0


class _Peer:
    __slots__ = (
        "backlog",
        "backlog_at",
        "delivered",
        "known",
        "missed",
        "outbox",
        "overdue",
        "queue",
        "requests",
        "served",
        "slow",
        "wants",
    )

    def __init__(self) -> None:
        self.known = Remembered(KNOWN)
        self.backlog: list[bytes] = []
        """Ids of what waited here when it came."""
        self.backlog_at = 0.0
        """When it is told the next part of them."""
        self.outbox: list[bytes] = []
        self.queue: deque[bytes] = deque()
        self.wants = 0
        """Ids in `queue` and in `requests`."""
        self.requests: dict[int, _Request] = {}
        self.overdue: deque[int] = deque(maxlen=8)
        """Requests that were given up: an answer to them is late, not unasked."""
        self.served: deque[_Served] = deque()
        self.delivered = 0
        self.missed = 0
        self.slow = 0


class TransactionGossip:
    """See the module. One thread; `clock` in seconds, monotonic."""

    def __init__(
        self,
        pool: Pool,
        send: Send,
        deliver: Deliver,
        punish: Callable[[str, Offence, str], None],
        clock: Callable[[], float],
        *,
        has_room: Callable[[], bool] = lambda: True,
        push_peers: int = PUSH_PEERS,
    ) -> None:
        self._pool = pool
        self._send = send
        self._deliver = deliver
        self._punish = punish
        self._clock = clock
        self._has_room = has_room
        self._push_peers = push_peers
        self._peers: dict[str, _Peer] = {}
        self._seen = Remembered(SEEN)
        self._wanted: dict[bytes, _Wanted] = {}
        self._submitted_ids: list[bytes] = []
        self._submitted: list[bytes] = []
        self._submitted_size = 0
        self._fresh: list[bytes] = []
        self._numbers = 0
        self._turn = 0
        self._next_check = 0.0
        self.due: float | None = None
        """When `tick` has something to do; None: not before something else happens."""
        self.received = 0
        """Transactions that came from peers, new or not."""
        self.duplicates = 0
        self.refetched = 0
        self.fetches = 0
        self.fetch_seconds = 0.0
        """Of all answered requests together, from asking to the end of the answer."""

    # -- state, for the bounds and for metrics ----------------------------------------------------

    @property
    def wanted(self) -> int:
        """Ids that are waited for."""
        return len(self._wanted)

    def _at(self, when: float) -> None:
        if self.due is None or when < self.due:
            self.due = when

    # -- peers ------------------------------------------------------------------------------------

    def connected(self, name: str) -> None:
        """A peer has come: everything that waits here is announced to it."""
        peer = self._peers[name] = _Peer()
        peer.backlog = list(self._pool.witness_ids())[-MAX_OUTBOX:]
        if peer.backlog:
            peer.backlog_at = self._clock() + ANNOUNCE_SECONDS
            self._at(peer.backlog_at)

    def disconnected(self, name: str) -> None:
        """A peer has gone: what it was asked for is asked of others."""
        peer = self._peers.pop(name, None)
        if peer is None:
            return
        lost = list(peer.queue)
        for request in peer.requests.values():
            lost += request.missing
        touched = self._elsewhere(name, lost, gone=True)
        self._pump(touched)

    # -- transactions that are here now -------------------------------------------------------------

    def submitted(self, ids: Sequence[bytes], raws: Sequence[bytes]) -> None:
        """Transactions were submitted at this node and admitted."""
        self._seen.update(ids)
        if not self._peers:
            return
        if not self._submitted:
            self._at(self._clock() + PUSH_SECONDS)
        self._submitted_ids += ids
        self._submitted += raws
        self._submitted_size += sum(map(len, raws))
        if self._submitted_size >= BATCH_SIZE:
            self._push()

    def admitted(self, ids: Sequence[bytes]) -> None:
        """Transactions that came from peers were admitted."""
        if not self._fresh:
            self._at(self._clock() + ANNOUNCE_SECONDS)
        self._fresh += ids
        if len(self._fresh) >= MAX_IDS:
            self._announce()

    def included(self, ids: Iterable[bytes]) -> None:
        """A block took these: nobody has to send them any more."""
        self._seen.update(ids)

    def forget(self, ids: Iterable[bytes]) -> None:
        """These could not be judged now: they may be fetched again when somebody announces them."""
        for witness_id in ids:
            self._seen.discard(witness_id)

    # -- what peers say ---------------------------------------------------------------------------

    def on_announce(self, name: str, message: Announce) -> None:
        """Note who has what, and ask for what is new."""
        peer = self._peers.get(name)
        if peer is None:
            return
        ids = split_ids(message.witness_ids)
        peer.known.update(ids)
        self._want(name, peer, ids)

    def _want(self, name: str, peer: _Peer, ids: Iterable[bytes]) -> None:
        pool, wanted = self._pool, self._wanted
        for witness_id in self._seen.unknown(ids):
            entry = wanted.get(witness_id)
            if entry is not None:
                if len(entry.sources) < MAX_SOURCES and name not in entry.sources:
                    entry.sources.append(name)
            elif peer.wants < MAX_PEER_WANTED and len(wanted) < MAX_WANTED and witness_id not in pool:
                wanted[witness_id] = _Wanted(name)
                peer.queue.append(witness_id)
                peer.wants += 1
        self._pump([name])

    def on_transactions(self, name: str, message: Transactions) -> None:
        """Part of an answer."""
        peer = self._peers.get(name)
        if peer is None:
            return
        request = peer.requests.get(message.request)
        if request is None:
            if message.request not in peer.overdue:
                self._punish(name, Offence.UNSOLICITED, "transactions of no request")
            return
        raws = message.transactions
        missing, wanted = request.missing, self._wanted
        ids: list[bytes] = []
        fresh: list[bytes] = []
        for raw in raws:
            witness_id = witness_hash(raw)
            if witness_id not in missing:
                self._punish(name, Offence.UNSOLICITED, "a transaction that was not asked for")
                self._end_request(name, peer, message.request, answered=False)
                break
            del missing[witness_id]
            peer.wants -= 1
            if wanted.pop(witness_id, None) is not None:
                ids.append(witness_id)
                fresh.append(raw)
        else:
            self._progress(name, peer, message, request)
        self.received += len(raws)
        self.duplicates += len(raws) - len(fresh)
        peer.delivered += len(raws)
        if fresh:
            peer.known.update(ids)
            self._seen.update(ids)
            self._deliver(name, ids, fresh)

    def _progress(self, name: str, peer: _Peer, message: Transactions, request: _Request) -> None:
        now = self._clock()
        if message.last:
            self.fetches += 1
            self.fetch_seconds += now - request.started
            self._end_request(name, peer, message.request, answered=True)
        elif message.transactions:
            request.limit += sum(map(len, message.transactions)) / ANSWER_RATE
            request.deadline = min(now + REQUEST_SECONDS, request.limit)
        else:
            self._punish(name, Offence.UNSOLICITED, "an empty part that ends nothing")

    def on_push(self, name: str, message: PushTransactions) -> None:
        """Transactions that were submitted at a peer."""
        peer = self._peers.get(name)
        if peer is None:
            return
        raws = message.transactions
        ids = list(map(witness_hash, raws))
        peer.known.update(ids)
        self.received += len(raws)
        seen, pool, wanted = self._seen, self._pool, self._wanted
        unknown: dict[bytes, bytes] = {
            witness_id: raw
            for witness_id, raw in zip(ids, raws, strict=True)
            if witness_id not in seen and witness_id not in pool
        }
        self.duplicates += len(raws) - len(unknown)
        if not unknown:
            return
        fresh = list(unknown)
        if not self._has_room():
            self._want(name, peer, fresh)  # dropped now, asked for when there is room
            return
        seen.update(fresh)
        if wanted:
            for witness_id in fresh:
                wanted.pop(witness_id, None)  # where it was asked for it counts as delivered, or not held
        self._deliver(name, fresh, list(unknown.values()))

    def on_get(self, name: str, message: GetTransactions) -> None:
        """Answer from the pool, as fast as the peer's queue takes it."""
        peer = self._peers.get(name)
        if peer is None:
            return
        if len(peer.served) >= MAX_SERVED:
            self._send(name, encode_message(Transactions(message.request, (), True)))
            return
        peer.served.append(_Served(message.request, split_ids(message.witness_ids)))
        self._serve(name, peer)

    # -- asking -----------------------------------------------------------------------------------

    def _pump(self, names: Iterable[str]) -> None:
        """Ask these peers for what stands in their queues."""
        wanted = self._wanted
        for name in names:
            peer = self._peers.get(name)
            if peer is None:
                continue
            while peer.queue and len(peer.requests) < MAX_REQUESTS:
                now = self._clock()
                if not self._has_room():
                    self._at(now + RETRY_SECONDS)
                    return
                ids: list[bytes] = []
                queue = peer.queue
                while queue and len(ids) < REQUEST_IDS:
                    witness_id = queue.popleft()
                    entry = wanted.get(witness_id)
                    if entry is not None and entry.asked == name:
                        ids.append(witness_id)
                    else:
                        peer.wants -= 1
                if not ids:
                    break
                number = self._numbers = (self._numbers + 1) & 0xFFFFFFFF
                if not self._send(name, encode_message(GetTransactions(number, b"".join(ids)))):
                    queue.extendleft(reversed(ids))
                    self._at(now + RETRY_SECONDS)
                    break
                peer.requests[number] = _Request(ids, now)
                self._at(now + CHECK_SECONDS)

    def _end_request(self, name: str, peer: _Peer, number: int, *, answered: bool) -> None:
        """A request is over; what did not come is asked of others."""
        request = peer.requests.pop(number)
        # An id that came by another way meanwhile is no longer wanted, and nobody's fault.
        missing = [witness_id for witness_id in request.missing if witness_id in self._wanted]
        peer.wants -= len(request.missing)
        touched = [name]
        if answered:
            peer.slow = 0
            if missing:
                peer.missed += len(missing)
                if peer.missed >= MAX_MISSED and peer.missed > peer.delivered:
                    self._punish(name, Offence.UNDELIVERED, f"{peer.missed} announced transactions")
                    peer.missed = peer.delivered = 0
        else:
            peer.overdue.append(number)
        if peer.delivered + peer.missed > 16 * MAX_MISSED:
            peer.delivered >>= 1
            peer.missed >>= 1
        self._pump(touched + self._elsewhere(name, missing, gone=answered))

    def _elsewhere(self, name: str, ids: Iterable[bytes], *, gone: bool) -> list[str]:
        """Put ids that stood with `name` into other queues; `gone`: it does not have them at all.

        Returns the names of those who are to be asked now. Who merely was too slow may be asked again.
        """
        touched: dict[str, None] = {}
        wanted, peers = self._wanted, self._peers
        for witness_id in ids:
            entry = wanted.get(witness_id)
            if entry is None or entry.asked != name:
                continue
            sources = entry.sources
            sources.remove(name)
            if not gone:
                sources.append(name)
            entry.tries += 1
            sources[:] = [source for source in sources if source in peers]
            if not sources or entry.tries >= MAX_TRIES:
                del wanted[witness_id]
                continue
            other = sources[0]
            entry.asked = other
            peers[other].queue.append(witness_id)
            peers[other].wants += 1
            touched[other] = None
            self.refetched += 1
        return list(touched)

    # -- telling ----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Send what has been gathered, go on answering, give up what was not answered."""
        self.due = None
        now = self._clock()
        if self._submitted:
            self._push()
        self._announce()
        for name, peer in list(self._peers.items()):
            if peer.served:
                self._serve(name, peer)
            if peer.requests:
                self._expire(name, peer, now)
        self._pump([name for name, peer in self._peers.items() if peer.queue])

    def _expire(self, name: str, peer: _Peer, now: float) -> None:
        for number in [n for n, request in peer.requests.items() if request.deadline <= now]:
            peer.slow += 1
            if peer.slow >= MAX_SLOW:
                peer.slow = 0
                self._punish(name, Offence.UNRESPONSIVE, f"{MAX_SLOW} requests for transactions unanswered")
            self._end_request(name, peer, number, answered=False)
        if peer.requests:
            self._at(now + CHECK_SECONDS)

    def _push(self) -> None:
        """Send what was submitted here to a few peers, and leave it to be announced to the others."""
        ids, raws = self._submitted_ids, self._submitted
        self._submitted_ids, self._submitted, self._submitted_size = [], [], 0
        names = list(self._peers)
        count = min(self._push_peers, len(names))
        self._turn += count
        targets = [names[(self._turn + step) % len(names)] for step in range(count)]
        at = 0
        while at < len(raws) and targets:
            end, size = at, 0
            while end < len(raws) and size < BATCH_SIZE and end - at < MAX_BATCH:
                size += len(raws[end]) + 5
                end += 1
            payload = encode_message(PushTransactions(tuple(raws[at:end])))
            batch = ids[at:end]
            for name in targets:
                if self._send(name, payload):
                    self._peers[name].known.update(batch)
            at = end
        # Whoever has them by now is known to, so this reaches exactly those who were left out.
        self._fresh += ids
        self._announce()

    def _announce(self) -> None:
        """Announce what is fresh to all who are not known to hold it."""
        fresh, self._fresh = self._fresh, []
        now = self._clock()
        for name, peer in list(self._peers.items()):
            outbox = peer.outbox
            if fresh:
                outbox += peer.known.unknown(fresh)
            if outbox:
                if len(outbox) > MAX_OUTBOX:
                    del outbox[: len(outbox) - MAX_OUTBOX]
                self._announce_some(name, peer, outbox)
                if outbox:
                    self._at(now + RETRY_SECONDS)
            if peer.backlog:
                if peer.backlog_at <= now:
                    self._announce_some(name, peer, peer.backlog)
                    peer.backlog_at = now + BACKLOG_SECONDS
                self._at(peer.backlog_at)

    def _announce_some(self, name: str, peer: _Peer, ids: list[bytes]) -> None:
        """Announce the first of `ids`, and take them off the list if the peer's queue took the message."""
        batch = ids[:MAX_IDS]
        if self._send(name, encode_message(Announce(b"".join(batch)))):
            peer.known.update(batch)
            del ids[:MAX_IDS]

    def _serve(self, name: str, peer: _Peer) -> None:
        raw_of = self._pool.raw_of
        while peer.served:
            served = peer.served[0]
            ids, at, size = served.ids, served.at, 0
            batch: list[bytes] = []
            while at < len(ids) and size < BATCH_SIZE:
                raw = raw_of(ids[at])
                at += 1
                if raw is not None:
                    batch.append(raw)
                    size += len(raw) + 5
            last = at == len(ids)
            if not self._send(name, encode_message(Transactions(served.number, tuple(batch), last))):
                self._at(self._clock() + RETRY_SECONDS)
                return
            peer.known.update(ids[served.at : at])
            served.at = at
            if last:
                peer.served.popleft()
