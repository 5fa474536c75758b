"""What the pool is made of: entries and their lanes, prices, bounds, and the memory of what was included."""

from __future__ import annotations

from typing import NamedTuple

from qenex.crypto.address import Address
from qenex.transaction import Signer, Transaction

MAX_PENDING_PER_SENDER = 64
"""Pending transactions of one lane."""
REPLACEMENT_PERCENT = 110
"""A replacement offers at least this percentage of the replaced tip per gas, and more than it."""
MAIN_KEY = -1

Lane = tuple[Address, int]
"""An account and the scoped key that signs for it (MAIN_KEY: its own key)."""


class Limits(NamedTuple):
    """Bounds of the pool: transactions, their bytes on the wire, and remembered identifiers."""

    max_count: int = 50_000
    max_bytes: int = 64 << 20
    per_sender: int = MAX_PENDING_PER_SENDER
    remembered: int = 200_000


class Entry:
    """One waiting transaction. `price` is its own, `effective` the lowest on the way to it."""

    __slots__ = ("alive", "arrival", "effective", "lanes", "price", "serial", "size", "tx")

    def __init__(
        self, tx: Transaction, lanes: tuple[tuple[Lane, int], ...], price: int, arrival: int, serial: int
    ) -> None:
        self.tx = tx
        self.lanes = lanes
        self.price = price
        self.effective = price
        self.arrival = arrival
        self.serial = serial
        self.size = len(tx.raw)
        self.alive = True

    def __repr__(self) -> str:
        return f"Entry({self.tx.tx_id.hex()[:12]}, price={self.price}, arrival={self.arrival})"


class Added(NamedTuple):
    """What an admission did. The check state has to forget what `replaced` and `evicted` had set aside."""

    entry: Entry
    replaced: Entry | None
    evicted: tuple[Entry, ...]


class Queue:
    """The pending entries of one lane: sequences `first`, `first + 1`, ... without a gap."""

    __slots__ = ("entries", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self.entries: list[Entry] = []

    def at(self, sequence: int) -> Entry | None:
        index = sequence - self.first
        return self.entries[index] if 0 <= index < len(self.entries) else None


def price_of(tx: Transaction) -> int:
    """Tip per gas, scaled by 2^128: compares exactly as the fraction does."""
    tip = tx.fee.tip
    return (tip << 128) // (tx.fee.gas_limit or 1) if tip else 0


def lane_of(signer: Signer) -> Lane:
    """The lane whose sequence this signer uses."""
    return signer.address, MAIN_KEY if signer.scoped_key is None else signer.scoped_key


def lanes_of(tx: Transaction) -> tuple[tuple[Lane, int], ...]:
    """`(lane, sequence)` of each signer."""
    signers = tx.signers
    if len(signers) == 1:
        address, sequence, _, scoped_key = signers[0]
        return (((address, MAIN_KEY if scoped_key is None else scoped_key), sequence),)
    return tuple([(lane_of(signer), signer.sequence) for signer in tx.signers])


def outbids(new: Transaction, old: Transaction) -> bool:
    """Whether `new` offers at least 10% more tip per gas than `old`, cross-multiplied, and more at all."""
    offer = new.fee.tip * (old.fee.gas_limit or 1)
    asked = old.fee.tip * (new.fee.gas_limit or 1)
    return offer > asked and 100 * offer >= REPLACEMENT_PERCENT * asked


class Remembered:
    """A bounded set of identifiers: two generations, the older one is dropped when the younger is full."""

    __slots__ = ("_half", "old", "young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self.young: set[bytes] = set()
        self.old: set[bytes] = set()

    def __contains__(self, item: bytes) -> bool:
        return item in self.young or item in self.old

    def add(self, item: bytes) -> None:
        """Remember `item`, perhaps forgetting the oldest."""
        if len(self.young) >= self._half:
            self.old = self.young
            self.young = set()
        self.young.add(item)
