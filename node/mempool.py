"""Transactions that wait for a block: pure data, no clock, no files, no state machine.

Order: within a sender by sequence, between senders by tip per gas, then by arrival. A sender's pending
sequences have no gap: a transaction that would leave one is refused with WrongSequence (it says which
sequence is next), so that every admitted transaction is one a block can take, its fee set aside. A
queue of future sequences would hold what nobody has checked, and answer "accepted" to what may lie there
for ever. An account and each of its scoped keys count their own sequences: each is a lane, named by the state key
of the record that counts. A transaction with several signers stands in a lane of each.

The price of a transaction is `(tip << 128) // gas_limit`: two distinct fractions with denominators below
2^64 differ by more than 2^-128, so this orders exactly as cross-multiplication does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from node.pool_order import Order
from node.pool_parts import (
    Added,
    Entry,
    General,
    Lane,
    Limits,
    Plain,
    Queue,
    Remembered,
    address_of_lane,
    lane_of,
    lanes_of,
    outbids,
    price_of,
)
from qenex.crypto.address import Address
from qenex.errors import (
    AlreadyKnown,
    MempoolFull,
    ReplacementUnderpriced,
    TooManyPending,
    WrongSequence,
)
from qenex.state_keys import ACCOUNT_RECORDS
from qenex.transaction import Transaction, witness_hash

__all__ = ["Added", "Entry", "Limits", "Mempool", "Order", "Remembered", "outbids", "price_of"]

_new = tuple.__new__


class Mempool:
    """See the module. One thread; the caller checks transactions before `add`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._max_count, self._max_bytes = self.limits[:2]
        self.size = 0
        """Bytes of all waiting transactions."""
        self._by_witness: dict[bytes, Entry] = {}
        self._by_tx: dict[bytes, Entry] = {}
        """What has come before somebody last asked by transaction id: nearly all of it leaves before anybody does."""
        self._named = 0
        """Entries with a serial below this one are in there."""
        self._queues: dict[Lane, Queue | Entry] = {}
        """An entry that is alone in its only lane stands for its queue: most are."""
        self._scoped: dict[Address, tuple[Lane, ...]] = {}
        """Lanes of an account besides its own."""
        self._priced = 0
        """Entries that offer a tip: without one, arrival alone is the order."""
        self._shared: dict[Address, int] = {}
        self._worst: list[tuple[int, int, int, Entry]] | None = None
        self._expiry: dict[int, deque[Entry]] = {}
        """Entries by the last height that can take them, in order of arrival; of those that have left only some."""
        self._expiring = 0
        """Entries in there."""
        self._included = Remembered(self.limits.remembered)
        self._serial = 0

    def __len__(self) -> int:
        return len(self._by_witness)

    def __contains__(self, identifier: bytes) -> bool:
        """Whether a witness id or transaction id waits here."""
        return self.get(identifier) is not None

    def get(self, identifier: bytes) -> Transaction | None:
        """The waiting transaction with this witness id or transaction id."""
        entry = self._by_witness.get(identifier) or self._find(identifier)
        return None if entry is None else entry.tx

    def get_witness(self, witness_id: bytes) -> Transaction | None:
        """`get` for who has the witness id, as other nodes do: nobody asks for more, and more often."""
        entry = self._by_witness.get(witness_id)
        return None if entry is None else entry.tx

    def get_raw(self, raw: bytes) -> Transaction | None:
        """The waiting transaction with exactly these bytes: a block's need not be decoded again."""
        entry = self._by_witness.get(witness_hash(raw))
        return None if entry is None else entry.tx

    def _find(self, tx_id: bytes) -> Entry | None:
        """By transaction id, for which those that came since the last question are entered first: 0.3 us each."""
        for entry in reversed(self._by_witness.values()):
            if entry.serial < self._named:
                break
            self._by_tx[entry.tx.tx_id] = entry
        self._named = self._serial
        return self._by_tx.get(tx_id)

    # -- before admission ------------------------------------------------------------------

    def check_known(self, tx: Transaction) -> None:
        """Raise AlreadyKnown for a transaction that waits here or was lately included."""
        self.check_pending(tx)
        self.check_included(tx)

    def check_pending(self, tx: Transaction) -> None:
        """Raise AlreadyKnown for one that waits here, under whatever signature: then it has its sequence in its lane."""
        lane, sequence = lanes_of(tx)[0]
        queue = self._queues.get(lane)
        entry = None if queue is None else queue.at(sequence)
        if entry is not None and entry.tx.tx_id == tx.tx_id:
            raise AlreadyKnown(f"transaction {tx.tx_id.hex()} is already pending")

    def check_included(self, tx: Transaction) -> None:
        """Raise AlreadyKnown for one that was lately included: its sequence is used, so only who is refused need ask."""
        if tx.tx_id in self._included:
            raise AlreadyKnown(f"transaction {tx.tx_id.hex()} is already included")

    def replaced_by(self, tx: Transaction) -> Entry | None:
        """The entry whose place `tx` claims, after checking that it may.

        Raises ReplacementUnderpriced when it offers too little, or when the two do not use the same
        sequences of the same signers (the rest would be left with a gap).
        """
        old = None
        queues = self._queues
        lanes = lanes_of(tx)
        for lane, sequence in lanes:
            queue = queues.get(lane)
            old = None if queue is None else queue.at(sequence)
            if old is not None:
                break
        if old is None:
            return None
        if (len(lanes) > 1 or old.others) and sorted(old.lanes) != sorted(lanes):
            raise ReplacementUnderpriced(
                f"transaction {old.tx.tx_id.hex()} is pending with other signers or sequences",
                hint="a replacement has the same signers with the same sequences",
            )
        if not outbids(tx, old.tx):
            raise ReplacementUnderpriced(
                f"transaction {old.tx.tx_id.hex()} is pending with this sequence and offers a tip of "
                f"{old.tx.fee.tip} for {old.tx.fee.gas_limit} gas"
            )
        return old

    def check_room(self, tx: Transaction) -> None:
        """Refuse early, before a signature is verified, what `add` would refuse for lack of room.

        Raises TooManyPending or MempoolFull.
        """
        queues = self._queues
        for lane, sequence in lanes_of(tx):
            queue = queues.get(lane)
            if queue is not None and sequence >= queue.first + self.limits.per_sender:
                raise TooManyPending(f"{len(queue.entries)} transactions of this sender are pending")
        full = len(self._by_witness) >= self.limits.max_count
        if full or self.size + len(tx.raw) > self.limits.max_bytes:
            worst = self._worst_first()
            while worst and (not worst[0][3].alive or worst[0][0] != worst[0][3].effective):
                heappop(worst)
            if not worst or (price_of(tx) <= worst[0][0] and self.replaced_by(tx) is None):
                raise MempoolFull(f"{len(self._by_witness)} transactions with {self.size} bytes are pending")

    def welcomes(self, tx: Transaction) -> bool:
        """Whether a transaction of who signs alone is the first in its lane, he shares nothing that waits, and it has room.

        Then nothing here speaks against it, if its sequence is the account's next: it is not when the same one was included.
        False says nothing: ask `check_known`, `check_room` and `replaced_by`.
        """
        return (
            tx.sender not in self._queues  # else the same one may be there, under whatever signature
            and len(self._by_witness) < self._max_count
            and self.size + len(tx.raw) <= self._max_bytes
            and not (self._shared and tx.sender[2:] in self._shared)
        )

    def next_sequence(self, address: Address, scoped_key: int | None = None) -> int | None:
        """The sequence after the last pending one of an account or its scoped key; None when nothing is pending."""
        queue = self._queues.get(lane_of(address, scoped_key))
        return None if queue is None else queue.first + len(queue.entries)

    def pending(self, address: Address) -> list[Transaction]:
        """Transactions of `entries_of`."""
        return [entry.tx for entry in self.entries_of(address)]

    # -- admission -------------------------------------------------------------------------

    def add(self, tx: Transaction) -> Added:
        """Admit a transaction that passed all entry checks.

        The pool takes a lane's first pending sequence from its first transaction. Raises AlreadyKnown,
        WrongSequence, ReplacementUnderpriced, TooManyPending or MempoolFull; then nothing has changed.
        """
        self.check_known(tx)
        return self.place(tx, self.replaced_by(tx))

    def place(self, tx: Transaction, replaced: Entry | None) -> Added:
        """`add` for a caller that has just asked `check_known` and `replaced_by`."""
        lanes = lanes_of(tx)
        if replaced is None and len(lanes) == 1 and self._has_room(tx):
            return _new(Added, (self._append(tx, lanes[0]), None, ()))
        if replaced is None:
            self._check_places(lanes)
        entry = General(tx, *lanes[0], lanes if len(lanes) > 1 else (), price_of(tx), self._serial)
        entry.effective = self._effective(entry)
        victims = self._make_room(entry, replaced)
        self._serial += 1
        evicted: list[Entry] = []
        if replaced is None:
            for lane, sequence in lanes:
                if lane in self._queues:
                    self._queue(lane).entries.append(entry)
                else:
                    self._queues[lane] = Queue(sequence, [entry])
                    self._list(lane)
        else:
            entry.arrival = replaced.arrival  # keeps arrivals ascending along a lane
            self._forget(replaced)
            for lane, sequence in lanes:
                queue = self._queue(lane)
                queue.entries[sequence - queue.first] = entry
        self._remember(entry)
        if replaced is not None:
            self._raise_followers(entry)
        for victim in victims:
            evicted += self._drop(victim)
        return Added(entry, replaced, tuple(evicted))

    def _has_room(self, tx: Transaction) -> bool:
        limits = self.limits
        return len(self._by_witness) < limits.max_count and self.size + len(tx.raw) <= limits.max_bytes

    def _append(self, tx: Transaction, place: tuple[Lane, int]) -> Entry:
        """The usual admission: one signer, nothing replaced, nothing evicted. 2 us where the general way takes 4.

        Raises as `_check_places`.
        """
        lane, sequence = place
        serial = self._serial
        entry = General(tx, lane, sequence, (), price_of(tx), serial)
        if lane in self._queues:
            self._check_places((place,))
            queue = self._queue(lane)
            before = queue.entries[-1].effective
            if before < entry.effective:
                entry.effective = before
            queue.entries.append(entry)
        else:
            self._queues[lane] = entry
            self._list(lane)
        self._serial = serial + 1
        self._remember(entry)
        return entry

    def place_alone(self, tx: Transaction) -> None:
        """`place` for a transaction that `welcomes` has just passed: what a plain admission writes, and nothing besides."""
        by_witness, lane, serial = self._by_witness, tx.sender, self._serial
        self._serial = serial + 1
        _, _, _, tip, valid_until = tx.terms
        expiring = self._expiry.get(valid_until)
        crowded = self._worst is not None or self._expiring > 2 * len(by_witness) + 1_000
        entry = General(tx, lane, tx.sequence, (), price_of(tx), serial) if tip else Plain(tx, serial)
        self._queues[lane] = entry
        if tip or expiring is None or crowded:
            self._remember(entry)
            return
        by_witness[tx.witness_id] = entry
        self.size += len(tx.raw)
        expiring.append(entry)
        self._expiring += 1

    def _queue(self, lane: Lane) -> Queue:
        """A lane's queue, to be changed."""
        queue = self._queues[lane]
        if isinstance(queue, Entry):
            queue = self._queues[lane] = Queue(queue.sequence, [queue])
        return queue

    def _check_places(self, lanes: tuple[tuple[Lane, int], ...]) -> None:
        for lane, sequence in lanes:
            queue = self._queues.get(lane)
            if queue is None:
                continue
            count = len(queue.entries)
            if sequence != queue.first + count:
                raise WrongSequence(f"sequence {sequence}, the next one is {queue.first + count}")
            if count >= self.limits.per_sender:
                raise TooManyPending(f"{count} transactions of this sender are pending")

    def _effective(self, entry: Entry) -> int:
        lowest = entry.price
        for lane, sequence in entry.lanes:
            queue = self._queues.get(lane)
            before = None if queue is None else queue.at(sequence - 1)
            if before is not None and before.effective < lowest:
                lowest = before.effective
        return lowest

    def _make_room(self, entry: Entry, replaced: Entry | None) -> list[Entry]:
        """The entries that must go for `entry`, worst first. Raises MempoolFull; changes nothing."""
        count = len(self._by_witness) + 1
        size = self.size + entry.size
        if replaced is not None:
            count -= 1
            size -= replaced.size
        if count <= self.limits.max_count and size <= self.limits.max_bytes:
            return []
        victims: list[Entry] = []
        taken: list[tuple[int, int, int, Entry]] = []
        heap = self._worst_first()
        while heap and (count > self.limits.max_count or size > self.limits.max_bytes):
            item = heappop(heap)
            worst = item[3]
            if not worst.alive or item[0] != worst.effective:
                continue  # left over from an earlier state of the pool
            taken.append(item)
            if worst.effective >= entry.effective:
                break
            if worst is replaced:
                continue
            victims.append(worst)
            count -= 1
            size -= worst.size
        for item in taken:
            heappush(heap, item)
        if count > self.limits.max_count or size > self.limits.max_bytes:
            raise MempoolFull(f"{len(self._by_witness)} transactions with {self.size} bytes are pending")
        return victims

    def _remember(self, entry: Entry) -> None:
        tx = entry.tx
        self._by_witness[tx.witness_id] = entry
        self.size += entry.size
        if entry.price:
            self._priced += 1
        for lane, _ in entry.others:
            address = address_of_lane(lane)
            self._shared[address] = self._shared.get(address, 0) + 1
        if self._worst is not None:
            heappush(self._worst, (entry.effective, -entry.arrival, entry.serial, entry))
        expiring = self._expiry.get(tx.valid_until)
        if expiring is None:
            self._expiry[tx.valid_until] = deque([entry])
        else:
            expiring.append(entry)
        self._expiring += 1
        if self._expiring > 2 * len(self._by_witness) + 1_024:
            self._expiry = {}
            for waiting in self._by_witness.values():
                self._expiry.setdefault(waiting.tx.valid_until, deque()).append(waiting)
            self._expiring = len(self._by_witness)
            if self._worst is not None:
                self._worst = None
                self._worst_first()

    def _worst_first(self) -> list[tuple[int, int, int, Entry]]:
        """Heap for eviction, made when the pool is full for the first time and kept while it stays near that.

        In a pool with room nobody asks who is worst, and equal prices are the dearest order to keep: each
        later arrival is worse than all before it and climbs the whole heap.
        """
        if self._worst is None:
            self._worst = [(e.effective, -e.arrival, e.serial, e) for e in self._by_witness.values()]
            heapify(self._worst)
        return self._worst

    def _raise_followers(self, entry: Entry) -> None:
        """A replacement's higher price may lift the effective prices after it."""
        waiting = [entry]
        while waiting:
            at = waiting.pop()
            for lane, sequence in at.lanes:
                follower = self._queues[lane].at(sequence + 1)
                if not isinstance(follower, General):  # a plain one offers nothing, whatever comes before it
                    continue
                effective = self._effective(follower)
                if effective != follower.effective:
                    follower.effective = effective
                    if self._worst is not None:
                        heappush(self._worst, (effective, -follower.arrival, follower.serial, follower))
                    waiting.append(follower)

    # -- removal ---------------------------------------------------------------------------

    def _forget(self, entry: Entry) -> None:
        entry.alive = False
        del self._by_witness[entry.tx.witness_id]
        if entry.serial < self._named:
            del self._by_tx[entry.tx.tx_id]
        self.size -= entry.size
        if entry.price:
            self._priced -= 1
        for lane, _ in entry.others:
            address = address_of_lane(lane)
            self._shared[address] -= 1
            if not self._shared[address]:
                del self._shared[address]

    def _list(self, lane: Lane) -> None:
        if lane[:2] != ACCOUNT_RECORDS:
            address = address_of_lane(lane)
            self._scoped[address] = (*self._scoped.get(address, ()), lane)

    def _unlist(self, lane: Lane) -> None:
        del self._queues[lane]
        if lane[:2] != ACCOUNT_RECORDS:
            address = address_of_lane(lane)
            others = tuple([other for other in self._scoped[address] if other != lane])
            if others:
                self._scoped[address] = others
            else:
                del self._scoped[address]

    def _drop(self, entry: Entry) -> list[Entry]:
        """Remove an entry and everything after it in its lanes; returns what was removed."""
        removed: list[Entry] = []
        waiting = [entry]
        while waiting:
            at = waiting.pop()
            if not at.alive:
                continue
            self._forget(at)
            removed.append(at)
            for lane, sequence in at.lanes:
                if lane not in self._queues:
                    continue
                queue = self._queue(lane)
                index = sequence - queue.first
                waiting += queue.entries[index + 1 :]
                del queue.entries[index:]
                if not queue.entries:
                    self._unlist(lane)
        return removed

    def remove(self, identifier: bytes) -> list[Transaction]:
        """Remove a transaction that may not stand, and what depends on it; returns all that went."""
        entry = self._by_witness.get(identifier) or self._find(identifier)
        return [] if entry is None else [gone.tx for gone in self._drop(entry)]

    def include(
        self, transactions: Sequence[Transaction], tx_ids: Sequence[bytes] | None = None
    ) -> list[Transaction]:
        """A block took these; `tx_ids` are theirs, from who has them. Returns other pending transactions that this made impossible.

        Included ones leave from the front of their lanes; a pending one whose sequence another
        transaction used goes, and its followers stay only if their sequences still join on.
        """
        impossible: list[Transaction] = []
        queues, by_witness, named = self._queues, self._by_witness, self._named
        self._included.add_all([tx.tx_id for tx in transactions] if tx_ids is None else tx_ids)
        for tx in transactions:
            entry = by_witness.get(tx.witness_id)
            if entry is None:
                for lane, sequence in lanes_of(tx):
                    impossible += self._pass_sequence(lane, sequence)
                continue
            lane = tx.sender or entry.lane
            if queues[lane] is entry and not entry.price and lane[:2] == ACCOUNT_RECORDS:
                # Alone in its only lane, as most are: `_forget` and `_unlist`, without a call.
                entry.alive = False
                del by_witness[tx.witness_id], queues[lane]
                if entry.serial < named:
                    del self._by_tx[tx.tx_id]
                self.size -= len(tx.raw)
            elif self._is_head(entry):
                self._forget(entry)
                for lane, _ in entry.lanes:
                    self._pop_head(lane)
            else:
                for lane, sequence in entry.lanes:
                    impossible += self._pass_sequence(lane, sequence)
        if 2 * len(self._by_witness) < self.limits.max_count and 2 * self.size < self.limits.max_bytes:
            self._worst = None
        for entries in self._expiry.values():
            while entries and not entries[0].alive:  # those who came first have left first, all but a few
                entries.popleft()
                self._expiring -= 1
        return impossible

    def _is_head(self, entry: Entry) -> bool:
        return all(self._queues[lane].first == sequence for lane, sequence in entry.lanes)

    def _pop_head(self, lane: Lane) -> None:
        if len(self._queues[lane].entries) == 1:
            self._unlist(lane)
            return
        queue = self._queue(lane)
        queue.first += 1
        del queue.entries[0]

    def _pass_sequence(self, lane: Lane, sequence: int) -> list[Transaction]:
        """The chain used `sequence` of this lane with a transaction that was not pending here."""
        queue = self._queues.get(lane)
        gone: list[Transaction] = []
        while queue is not None and queue.first <= sequence:
            head = queue.entries[0]
            if head.others:
                gone += [entry.tx for entry in self._drop(head)]
            else:
                self._forget(head)
                gone.append(head.tx)
                self._pop_head(lane)
            queue = self._queues.get(lane)
        return gone

    def expire(self, height: int) -> list[Transaction]:
        """Remove what a block of `height` can no longer take, and what depends on it."""
        gone: list[Transaction] = []
        for last in sorted([last for last in self._expiry if last < height]):
            entries = self._expiry.pop(last)
            self._expiring -= len(entries)
            for entry in entries:
                if entry.alive:
                    gone += [removed.tx for removed in self._drop(entry)]
        return gone

    # -- for a block -----------------------------------------------------------------------

    def in_order(self) -> Order:
        """Waiting transactions in block order, lazily; the pool may change meanwhile."""
        return Order(self)

    def reap(self, max_bytes: int, max_gas: int) -> list[Transaction]:
        """The best transactions within a block's bytes and gas, in block order.

        One that does not fit is left out with its followers; smaller ones may still come.
        """
        chosen: list[Transaction] = []
        order = self.in_order()
        for tx in order:
            if len(tx.raw) > max_bytes or tx.fee.gas_limit > max_gas:
                order.skip()
                continue
            max_bytes -= len(tx.raw)
            max_gas -= tx.fee.gas_limit
            chosen.append(tx)
        return chosen

    def statistics(self) -> Mapping[str, int]:
        """Counts for metrics: transactions, bytes, senders."""
        own = len(self._queues) - sum([len(lanes) for lanes in self._scoped.values()])
        others = sum([ACCOUNT_RECORDS + address not in self._queues for address in self._scoped])
        return {"transactions": len(self._by_witness), "bytes": self.size, "senders": own + others}

    def _heads(self) -> list[Entry]:
        """Entries with nothing before them in any lane."""
        heads = [queue.entries[0] for queue in self._queues.values()]
        if self._shared:  # else nothing stands in more than one lane
            heads = [head for head in heads if not head.others or self._is_head(head)]
            heads = list({head.serial: head for head in heads}.values())
        return heads

    def waiting(self, keys: Iterable[bytes]) -> dict[Address, None]:
        """The accounts with something that waits, of those whose record lies at one of these state keys."""
        queues, scoped = self._queues, self._scoped
        # The lane of an account's own key is named by its record's state key.
        found = [key for key in keys if key in queues or (scoped and key[2:] in scoped)]
        return {Address(key[2:]): None for key in found if key[:2] == ACCOUNT_RECORDS}

    def alone(self, lane: Lane) -> Plain | None:
        """What `place_alone` let wait in this lane without a tip, while nothing else does."""
        entry = self._queues.get(lane)
        return entry if type(entry) is Plain else None

    def has(self, address: Address) -> bool:
        """Whether something waits that this account signs."""
        return ACCOUNT_RECORDS + address in self._queues or address in self._scoped

    def shares(self, address: Address) -> bool:
        """Whether something waits that this account signs together with others."""
        return address in self._shared

    def entries_of(self, address: Address) -> list[Entry]:
        """What waits with this account as a signer, in order of arrival (so predecessors come first)."""
        found: dict[int, Entry] = {}
        own = ACCOUNT_RECORDS + address
        lanes = self._scoped.get(address, ())
        for lane in (own, *lanes) if own in self._queues else lanes:
            for entry in self._queues[lane].entries:
                found[entry.serial] = entry
        return sorted(found.values(), key=lambda entry: entry.arrival)
