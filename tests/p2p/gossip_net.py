"""A network of gossiping nodes on a virtual clock, for tests: no socket, no task, every fault on purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random

from p2p.channels import Channel
from p2p.gossip import TransactionGossip
from p2p.messages import Announce, GetTransactions, PushTransactions, Transactions, decode_message
from p2p.offences import Offence
from qenex.transaction import witness_hash


class Pool:
    """Transactions of one node, by witness id."""

    def __init__(self) -> None:
        self.raws: dict[bytes, bytes] = {}

    def __contains__(self, witness_id: bytes) -> bool:
        return witness_id in self.raws

    def raw_of(self, witness_id: bytes) -> bytes | None:
        return self.raws.get(witness_id)

    def witness_ids(self) -> Iterable[bytes]:
        return self.raws


class Member:
    """A node: its pool, its gossip, what it was told to punish, and what a queue of its peers takes."""

    def __init__(self, net: Net, name: str, push_peers: int) -> None:
        self.net = net
        self.name = name
        self.pool = Pool()
        self.offences: list[tuple[str, Offence]] = []
        self.room = True
        self.delivered: list[bytes] = []
        self.gossip = TransactionGossip(
            self.pool,
            lambda to, payload: net.send(name, to, payload),
            self._deliver,
            lambda peer, offence, detail: self.offences.append((peer, offence)),
            lambda: net.now,
            has_room=lambda: self.room,
            push_peers=push_peers,
        )

    def _deliver(self, peer: str, ids: list[bytes], raws: list[bytes]) -> None:
        assert [witness_hash(raw) for raw in raws] == ids
        assert not any(witness_id in self.pool for witness_id in ids)
        self.delivered += raws
        self.pool.raws.update(zip(ids, raws, strict=True))
        self.gossip.admitted(ids)

    def submit(self, raws: list[bytes]) -> None:
        ids = [witness_hash(raw) for raw in raws]
        self.pool.raws.update(zip(ids, raws, strict=True))
        self.gossip.submitted(ids, raws)

    def receive(self, peer: str, payload: bytes) -> None:
        message = decode_message(Channel.MEMPOOL, payload)
        match message:
            case Announce():
                self.gossip.on_announce(peer, message)
            case GetTransactions():
                self.gossip.on_get(peer, message)
            case Transactions():
                self.gossip.on_transactions(peer, message)
            case PushTransactions():
                self.gossip.on_push(peer, message)
            case _:
                raise AssertionError(message)


class Net:
    """Members and the payloads between them. `spoil` may drop or change what is sent."""

    def __init__(self, names: Iterable[str], *, push_peers: int = 4, seed: int = 0) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.members = {name: Member(self, name, push_peers) for name in names}
        self.links: dict[tuple[str, str], deque[bytes]] = {}
        self.full: Callable[[str, str], bool] = lambda sender, to: False
        self.spoil: Callable[[str, str, bytes], bytes | None] = lambda sender, to, payload: payload
        self.sent = 0

    def connect(self, one: str, other: str) -> None:
        self.links[one, other] = deque()
        self.links[other, one] = deque()
        self.members[one].gossip.connected(other)
        self.members[other].gossip.connected(one)

    def disconnect(self, one: str, other: str) -> None:
        del self.links[one, other], self.links[other, one]
        self.members[one].gossip.disconnected(other)
        self.members[other].gossip.disconnected(one)

    def send(self, sender: str, to: str, payload: bytes) -> bool:
        if self.full(sender, to):
            return False
        spoilt = self.spoil(sender, to, payload)
        if spoilt is not None and (sender, to) in self.links:
            self.links[sender, to].append(spoilt)
            self.sent += 1
        return True

    def run(self, seconds: float) -> None:
        """Deliver everything, in random order between links, until the time is over or nothing is due."""
        until = self.now + seconds
        while True:
            waiting = [link for link, queue in self.links.items() if queue]
            if waiting:
                sender, to = self.random.choice(waiting)
                self.members[to].receive(sender, self.links[sender, to].popleft())
                continue
            due = [m.gossip.due for m in self.members.values() if m.gossip.due is not None]
            if not due or min(due) > until:
                self.now = until
                return
            self.now = max(self.now, min(due))
            for member in self.members.values():
                if member.gossip.due is not None and member.gossip.due <= self.now:
                    member.gossip.tick()
