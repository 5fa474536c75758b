"""What the pool is made of: entries and their lanes, prices, bounds, and the memory of what was included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qenex.crypto.address import Address
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import Transaction
from vm.scoped import scoped_state_key

MAX_PENDING_PER_SENDER = 64
"""Pending transactions of one lane."""
REPLACEMENT_PERCENT = 110
"""A replacement offers at least this percentage of the replaced tip per gas, and more than it."""
Lane = bytes
"""State key of the record that counts the sequences: an account's, or that of one of its scoped keys."""


class Limits(NamedTuple):
    """Bounds of the pool: transactions, their bytes on the wire, and remembered identifiers."""

    max_count: int = 50_000
    max_bytes: int = 64 << 20
    per_sender: int = MAX_PENDING_PER_SENDER
    remembered: int = 200_000


class Entry:
    """One waiting transaction: `Plain` or `General`. `price` is its own, `effective` the lowest on the way to it.

    `lane` and `sequence` are its first signer's, `others` those of all if there are several. While it is alone in its only
    lane it stands there for the lane's `Queue`, which most lanes never need.
    """

    __slots__ = ("alive", "serial", "tx")

    tx: Transaction
    serial: int
    alive: bool
    lane: Lane
    sequence: int
    others: tuple[tuple[Lane, int], ...]
    price: int
    effective: int
    arrival: int
    size: int

    def __repr__(self) -> str:
        return f"Entry({self.tx.tx_id.hex()[:12]}, price={self.price}, arrival={self.arrival})"

    @property
    def lanes(self) -> tuple[tuple[Lane, int], ...]:
        """`(lane, sequence)` of each signer."""
        return self.others or ((self.lane, self.sequence),)

    @property
    def first(self) -> int:
        """As a queue: the only sequence in it."""
        return self.sequence

    @property
    def entries(self) -> Sequence[Entry]:
        """As a queue: the only entry in it."""
        return (self,)

    def at(self, sequence: int) -> Entry | None:
        """As a queue."""
        return self if sequence == self.sequence else None


class General(Entry):
    """Any transaction's entry."""

    __slots__ = ("arrival", "effective", "lane", "others", "price", "sequence", "size")

    def __init__(
        self,
        tx: Transaction,
        lane: Lane,
        sequence: int,
        others: tuple[tuple[Lane, int], ...],
        price: int,
        serial: int,
    ) -> None:
        self.tx = tx
        self.lane = lane
        self.sequence = sequence
        self.others = others
        self.price = self.effective = price
        self.arrival = self.serial = serial
        self.size = len(tx.raw)
        self.alive = True


class Plain(Entry):
    """A transaction of who signs alone, without a tip, that came when nothing of its account waited: all else follows from
    that, so that ten thousand of them are small.
    """

    __slots__ = ("taken",)

    taken: bool
    """See `vm.machine.Alone`."""
    price = effective = 0
    others = ()

    def __init__(self, tx: Transaction, serial: int) -> None:
        self.tx = tx
        self.serial = serial
        self.alive = self.taken = True

    @property
    def lane(self) -> Lane:  # type: ignore[override]  # nobody sets what is the transaction's own
        """The account's."""
        return self.tx.sender

    @property
    def sequence(self) -> int:  # type: ignore[override]  # as above
        """The account's."""
        return self.tx.sequence

    @property
    def arrival(self) -> int:  # type: ignore[override]  # as above
        """It is in no other's place."""
        return self.serial

    @property
    def size(self) -> int:  # type: ignore[override]  # as above
        """Bytes on the wire."""
        return len(self.tx.raw)


class Added(NamedTuple):
    """What an admission did. The check state has to forget what `replaced` and `evicted` had set aside."""

    entry: Entry
    replaced: Entry | None
    evicted: tuple[Entry, ...]


class Queue:
    """The pending entries of one lane: sequences `first`, `first + 1`, ... without a gap."""

    __slots__ = ("entries", "first")

    def __init__(self, first: int, entries: list[Entry]) -> None:
        self.first = first
        self.entries = entries

    def at(self, sequence: int) -> Entry | None:
        index = sequence - self.first
        return self.entries[index] if 0 <= index < len(self.entries) else None


def price_of(tx: Transaction) -> int:
    """Tip per gas, scaled by 2^128: compares exactly as the fraction does."""
    _, _, gas_limit, tip, _ = tx.terms
    return (tip << 128) // (gas_limit or 1) if tip else 0


def lane_of(address: Address, scoped_key: int | None) -> Lane:
    """The lane whose sequence the account's own key, or this one of its scoped keys, uses."""
    return ACCOUNT_RECORDS + address if scoped_key is None else scoped_state_key(address, scoped_key)


def address_of_lane(lane: Lane) -> Address:
    """Whose lane it is."""
    return Address(lane[2:34])


def lanes_of(tx: Transaction) -> tuple[tuple[Lane, int], ...]:
    """`(lane, sequence)` of each signer."""
    if tx.sender:
        return ((tx.sender, tx.sequence),)
    return tuple([(lane_of(address, scoped), sequence) for address, sequence, _, scoped in tx.signers])


def outbids(new: Transaction, old: Transaction) -> bool:
    """Whether `new` offers at least 10% more tip per gas than `old`, cross-multiplied, and more at all."""
    offer = new.terms.tip * (old.terms.gas_limit or 1)
    asked = old.terms.tip * (new.terms.gas_limit or 1)
    return offer > asked and 100 * offer >= REPLACEMENT_PERCENT * asked


class Remembered:
    """A bounded set of identifiers: two generations, the older one is dropped when the younger is full.

    They are kept as they came until somebody asks: each put into a set is a place in memory that no cache holds.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young, self._old = _Generation(), _Generation()

    def __len__(self) -> int:
        return self._young.count + self._old.count

    def __contains__(self, item: bytes) -> bool:
        return self._young.has(item) or self._old.has(item)

    def add_all(self, items: Sequence[bytes]) -> None:
        """Remember them; at most all of the older generation is forgotten, so that the last of them are known."""
        half = self._half
        for at in range(0, len(items), half):
            part = items[at : at + half]
            if self._young.count + len(part) > half:
                self._old = self._young
                self._young = _Generation()
            self._young.count += len(part)
            self._young.waiting.append(part)


class _Generation:
    __slots__ = ("count", "known", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.known: set[bytes] = set()
        self.waiting: list[Sequence[bytes]] = []

    def has(self, item: bytes) -> bool:
        if self.waiting:
            self.known.update(*self.waiting)
            self.waiting.clear()
        return item in self.known
