"""Which nodes to dial, and when: persistent ones always, seeds when the book is short, others from the book.

Plans without sockets; `p2p.network` carries them out. Times are monotonic seconds.
"""

from __future__ import annotations

from random import Random
from typing import Final

from p2p.address_book import AddressBook
from p2p.addresses import LOCAL_GROUP, PeerAddress, group_of
from p2p.peers import PeerTable
from p2p.settings import Backoff, Named
from qenex.errors import QenexError

MAX_DIALS: Final = 8
"""Attempts at a time, persistent peers apart."""
ENOUGH_ADDRESSES: Final = 16
"""With fewer usable addresses in the book than that, seeds are asked."""
SEED_SECONDS: Final = 60.0
"""Between two visits to seeds, unless nobody at all is connected."""


class Outbound:
    """State of the attempts. `plan` says whom to dial now, `wait` when to look again."""

    def __init__(
        self, own_id: str, named: Named, book: AddressBook, table: PeerTable, backoff: Backoff, random: Random
    ) -> None:
        self.dialling: dict[str, PeerAddress] = {}
        self.problems: dict[str, QenexError] = {}
        """Of persistent peers and seeds: why the last attempt failed."""
        self._own_id = own_id
        self._named = named
        self._book = book
        self._table = table
        self._backoff = backoff
        self._random = random
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._seeds_due = 0.0

    def _free(self, peer_id: str, now: float) -> bool:
        return (
            peer_id != self._own_id
            and peer_id not in self._table.connections
            and peer_id not in self.dialling
            and self._due.get(peer_id, 0.0) <= now
        )

    def plan(self, now: float, *, refused: set[str]) -> list[PeerAddress]:
        """Whom to dial now, none of `refused` (banned, cut off)."""
        plan = [
            address
            for peer_id, address in self._named.persistent.items()
            if peer_id not in refused and self._free(peer_id, now)
        ]
        busy = sum(peer_id not in self._named.persistent for peer_id in self.dialling)
        wanted = min(self._table.missing_outbound(), MAX_DIALS) - busy
        excluded = {self._own_id, *refused, *self._table.connections, *self.dialling}
        excluded |= {peer_id for peer_id, due in self._due.items() if due > now}
        groups = self._table.outbound_groups() | {group_of(a.host) for a in self.dialling.values()}
        while wanted > 0:
            address = self._book.pick(excluded, groups - {LOCAL_GROUP})
            if address is None:
                break
            plan.append(address)
            excluded.add(address.node_id)
            groups.add(group_of(address.host))
            wanted -= 1
        if wanted > 0 and self._named.seeds and len(self._book) < ENOUGH_ADDRESSES:
            plan += self._seed(now, excluded)
        return plan

    def _seed(self, now: float, excluded: set[str]) -> list[PeerAddress]:
        if now < self._seeds_due and self._table.connections:
            return []
        free = [
            address
            for peer_id, address in self._named.seeds.items()
            if peer_id not in excluded and self._free(peer_id, now)
        ]
        if not free:
            return []
        self._seeds_due = now + SEED_SECONDS
        return [self._random.choice(free)]

    def started(self, address: PeerAddress) -> None:
        """An attempt begins."""
        self.dialling[address.node_id] = address

    def succeeded(self, address: PeerAddress) -> None:
        """It led to a connection."""
        self.dialling.pop(address.node_id, None)
        self.problems.pop(address.node_id, None)
        self._failures.pop(address.node_id, None)
        self._due.pop(address.node_id, None)

    def failed(self, address: PeerAddress, error: QenexError, now: float) -> None:
        """It did not; the next one waits longer."""
        peer_id = address.node_id
        self.dialling.pop(peer_id, None)
        failures = self._failures[peer_id] = min(self._failures.get(peer_id, 0) + 1, 32)
        self._due[peer_id] = now + self._delay(failures)
        if peer_id in self._named.persistent or peer_id in self._named.seeds:
            self.problems[peer_id] = error

    def lost(self, peer_id: str, now: float) -> None:
        """A connection to a node ended: wait a moment before dialling it again."""
        self._due[peer_id] = max(self._due.get(peer_id, 0.0), now + self._delay(1))

    def _delay(self, failures: int) -> float:
        delay = min(self._backoff.first * float(1 << (failures - 1)), self._backoff.longest)
        return delay * (0.5 + self._random.random())

    def hurry(self) -> None:
        """Forget all delays: the network was mended."""
        self._due.clear()
        self._failures.clear()

    def wait(self, now: float) -> float:
        """Seconds until something may be due."""
        due = [self._due.get(p, 0.0) for p in self._named.persistent if p not in self._table.connections]
        soon = [at - now for at in due if at > now]
        return max(0.02, min([*soon, 2.0]))

    def expire(self, now: float) -> None:
        """Forget nodes of the book that could have been dialled again for long: the book counts their failures."""
        for peer_id, due in list(self._due.items()):
            if now - due > 2 * self._backoff.longest and peer_id not in self._named.persistent:
                del self._due[peer_id]
                self._failures.pop(peer_id, None)
