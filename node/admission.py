"""Admission: from raw bytes to a place in the pool.

Order: decode and bounds, known or no room, keys, signatures, then the entry checks on the check state, in
which everything pending has paid and raised its sequences. Signatures are verified BEFORE a place is
taken: otherwise garbage in somebody's name would hold his next sequence. Transactions that arrive together
are verified together and admitted in the order of arrival.

After a block only the senders whose record changed are checked again, and only when it is their turn:
`dirty` holds them, a new transaction of theirs comes after their recheck.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ledger.state import Readable
from node.floor import Work
from node.mempool import Entry, Mempool
from node.pool_parts import address_of_lane
from node.steps import EACH, Slice, Steps, drive
from node.verifier import Verifier
from qenex.crypto.address import Address
from qenex.errors import (
    InvalidSignature,
    PublicKeyMissing,
    PublicKeyNotAllowed,
    QenexError,
    TooManyPending,
    WrongSequence,
)
from qenex.transaction import Transaction, Transfer, decode_transaction
from vm.machine import CheckState

log = logging.getLogger("qenex.mempool")

MAX_CONNECTED = 512
"""Pending transactions that common signers may tie together: they are all checked again when one of them is
replaced or evicted (8 us each), so a chain of accounts through the whole pool would stop the node."""

RECIPIENTS_TOGETHER: Final = 2_000
"""Accounts that receive are read when there are so many, or a block begins: in key order a cold one of 2,000 takes 4.9 us, of 250 6.6."""
READ_AT_ONCE: Final = 1_000
"""Of them in one slice, 5 ms."""


def _nothing() -> None:
    """Default of `Admission.on_admitted`."""


def _no_load(_keys: Sequence[bytes]) -> None:
    """Default of `Admission.load`."""


def _decoded(raw: bytes) -> Transaction | QenexError:
    """A transaction, or what is wrong with its bytes."""
    try:
        return decode_transaction(raw)
    except QenexError as error:
        return _answer(error)


def _answer(error: QenexError) -> QenexError:
    """An error as an answer, without the frames through which it came.

    They hold it, and it them: what is refused would stay until the collector comes, which walks a million objects then.
    """
    error.__traceback__ = error.__context__ = None
    return error


def _addresses(tx: Transaction) -> Sequence[Address]:
    """Of the signers; without a comprehension's frame where there is one."""
    signers = tx.signers
    return (signers[0][0],) if len(signers) == 1 else [signer.address for signer in signers]


class Admission:
    """The pool together with the check state and the verifier. One thread."""

    def __init__(self, check: CheckState, mempool: Mempool, verifier: Verifier) -> None:
        self.check = check
        check.alone = mempool.alone
        self.mempool = mempool
        self.verifier = verifier
        self.on_admitted: Callable[[], None] = _nothing
        """Called after admissions: the engine may have something to propose."""
        self.load: Callable[[Sequence[bytes]], None] = _no_load
        """Reads state values into memory, many together: those that screening and later execution will ask for."""
        self.admitted = 0
        self.refused = 0
        self.dropped = 0
        """Evicted, expired, or no longer possible after a block."""
        self._dirty: dict[Address, None] = {}
        self._recipients: list[bytes] = []
        """State keys of accounts that receive from what was admitted, not read yet."""
        self._first: dict[Address, asyncio.Future[None]] = {}
        """Senders whose first transaction, with their key, is being verified."""
        self._last: asyncio.Future[None] | None = None
        """Done when the group of `submit_in_order` before the next one is admitted."""

    # -- one transaction ---------------------------------------------------------------------

    def check_tx(self, raw: bytes) -> Transaction:
        """Verify here and now, and admit. Raises a 1000s error; then nothing was kept."""
        try:
            tx, keys = self._screen(raw)
            if not self.verifier.check(tx, keys):
                raise InvalidSignature
            self._admit(tx, keys)
        except QenexError:
            self.refused += 1
            raise
        self.on_admitted()
        return tx

    async def submit(self, raw: bytes) -> Transaction:
        """Verify with others in a worker, and admit.

        Raises a 1000s error, or LimitExceeded when too many wait for verification; nothing was kept then.
        """
        try:
            try:
                tx, keys = self._screen(raw)
            except PublicKeyMissing:
                # The sender's first transaction, which carries the key, may still be at the verifier.
                if not await self._settled(decode_transaction(raw)):
                    raise
                tx, keys = self._screen(raw)
            await self._verify_and_admit(tx, keys)
        except QenexError:
            self.refused += 1
            raise
        return tx

    async def _verify_and_admit(self, tx: Transaction, keys: tuple[bytes, ...]) -> None:
        first = tx.signers[0]
        done: asyncio.Future[None] | None = None
        if first.public_key is not None and first.address not in self._first:
            done = self._first[first.address] = asyncio.get_running_loop().create_future()
        try:
            if not await self.verifier.verify_transaction(tx, keys):
                raise InvalidSignature
            self._admit(tx, keys)
            self.on_admitted()
        finally:
            if done is not None:
                del self._first[first.address]
                done.set_result(None)

    async def _settled(self, tx: Transaction) -> bool:
        """Wait for the senders' first transactions that are being verified; whether there were any."""
        waited = False
        for signer in tx.signers:
            first = self._first.get(signer.address)
            if first is not None:
                await asyncio.shield(first)
                waited = True
        return waited

    async def submit_in_order(self, raws: Sequence[bytes]) -> list[Transaction | QenexError]:
        """`submit_many`, admitted after the batches for which it was called before: a sender's may lie in several."""
        before, done = self._last, asyncio.get_running_loop().create_future()
        self._last = done
        try:
            return await self.submit_many(raws, before)
        finally:
            done.set_result(None)
            if self._last is done:
                self._last = None

    async def submit_many(
        self, raws: Iterable[bytes], after: asyncio.Future[None] | None = None
    ) -> list[Transaction | QenexError]:
        """Admit a batch in its order, and when `after` is done; per item the transaction or the error.

        Raises LimitExceeded or ProcessFailed where the verifier could not judge.
        """
        answers: list[Transaction | QenexError] = []
        group: list[tuple[Transaction, tuple[bytes, ...]] | QenexError] = []
        turn = Slice()
        decoded: list[Transaction | QenexError] = []
        for number, raw in enumerate(raws):
            decoded.append(_decoded(raw))
            if number % EACH == 0 and turn.over():
                await turn.pause(Work.ADMISSION)
        self.load([tx.sender for tx in decoded if isinstance(tx, Transaction) and tx.sender])
        for number, tx in enumerate(decoded):
            if number % EACH == 0 and turn.over():
                await turn.pause(Work.ADMISSION)
            if isinstance(tx, QenexError):
                group.append(tx)
                continue
            try:
                group.append(self._screen_decoded(tx))
                continue
            except PublicKeyMissing:
                # The sender's first transaction, with his key, may be among those before this one, or at the verifier.
                answers += await self._admit_group(group, after)
                group = []
                await self._settled(tx)
            except QenexError as error:
                group.append(_answer(error))
                continue
            try:
                group.append(self._screen_decoded(tx))
            except QenexError as error:
                group.append(_answer(error))
        return answers + await self._admit_group(group, after)

    async def _admit_group(
        self,
        group: list[tuple[Transaction, tuple[bytes, ...]] | QenexError],
        after: asyncio.Future[None] | None,
    ) -> list[Transaction | QenexError]:
        pairs = [item for item in group if not isinstance(item, QenexError)]
        first: list[Address] = []
        for tx, _ in pairs:
            if tx.sender:
                continue
            address, _, public_key, _ = tx.signers[0]
            if public_key is not None and address not in self._first:
                self._first[address] = asyncio.get_running_loop().create_future()
                first.append(address)
        try:
            verdicts = await self.verifier.verify_all(pairs, remember=False)
            if after is not None:
                await asyncio.shield(after)
            self._recipients += [
                tx.recipient
                for (tx, _), good in zip(pairs, verdicts, strict=True)
                if good and type(tx) is Transfer and tx.recipient
            ]
            if len(self._recipients) >= RECIPIENTS_TOGETHER:
                await drive(self.recipients_steps(), Work.ADMISSION)
            return await self._admit_verified(group, iter(verdicts))
        finally:
            for address in first:
                self._first.pop(address).set_result(None)

    def recipients_steps(self) -> Steps[None]:
        """Read, before a block asks for them, the accounts that receive from what was admitted in batches."""
        keys, self._recipients = sorted(self._recipients), []
        for at in range(0, len(keys), READ_AT_ONCE):
            self.load(keys[at : at + READ_AT_ONCE])
            yield

    async def _admit_verified(
        self,
        group: list[tuple[Transaction, tuple[bytes, ...]] | QenexError],
        verdicts: Iterator[bool],
    ) -> list[Transaction | QenexError]:
        answers: list[Transaction | QenexError] = []
        turn = Slice()
        admitted = self.admitted
        for number, item in enumerate(group):
            try:
                if isinstance(item, QenexError):
                    raise item
                if not next(verdicts):
                    raise InvalidSignature
                self._admit(*item)
                answers.append(item[0])
            except QenexError as error:
                self.refused += 1
                answers.append(_answer(error))
            if number % EACH == 0 and turn.over():
                self._tell(admitted)
                admitted = self.admitted
                await turn.pause(Work.ADMISSION)
        self._tell(admitted)
        return answers

    def _tell(self, before: int) -> None:
        """Call `on_admitted` if more than so many have been admitted."""
        if self.admitted != before:
            self.on_admitted()

    def _screen(self, raw: bytes) -> tuple[Transaction, tuple[bytes, ...]]:
        """Everything cheap, and the keys to verify with. Takes nothing."""
        return self._screen_decoded(decode_transaction(raw))

    def _screen_decoded(self, tx: Transaction) -> tuple[Transaction, tuple[bytes, ...]]:
        mempool = self.mempool
        try:
            if tx.sender and mempool.welcomes(tx) and not (self._dirty and self._is_dirty(tx)):
                key = self.check.key_of_alone(tx)
                if key is not None:
                    return tx, (key,)
            return tx, self._screen_any(tx)
        except QenexError:
            mempool.check_included(tx)
            raise

    def _screen_any(self, tx: Transaction) -> tuple[bytes, ...]:
        mempool = self.mempool
        mempool.check_pending(tx)
        mempool.check_room(tx)
        address, sequence, _, scoped_key = tx.signers[0]
        if self._dirty:
            self.clean(_addresses(tx))
        try:
            keys, next_sequence = self.check.screen(tx)
        except PublicKeyNotAllowed:
            if mempool.replaced_by(tx) is None:
                raise
            keys = self._keys_without_pending(tx)
            next_sequence = self.check.sequence(address, scoped_key)
        # A used sequence is refused before a signature is verified; one too far ahead is as well.
        ahead = sequence - next_sequence
        if ahead > mempool.limits.per_sender or (ahead < 0 and mempool.replaced_by(tx) is None):
            raise WrongSequence(f"sequence {sequence}, the next one is {next_sequence}")
        return keys

    def _is_dirty(self, tx: Transaction) -> bool:
        """Whether its sender has to be rechecked first."""
        return tx.sender[2:] in self._dirty

    def _keys_without_pending(self, tx: Transaction) -> tuple[bytes, ...]:
        """Keys of what replaces a sender's first transaction, and so carries his key again."""
        closure = self._connected([signer.address for signer in tx.signers])
        self.check.forget(closure)
        try:
            return self.check.signing_keys(tx)
        finally:
            self.rebuild(closure)

    def _admit(self, tx: Transaction, keys: tuple[bytes, ...]) -> None:
        """Take a place with a transaction whose signatures are valid under `keys`."""
        mempool = self.mempool
        if (
            tx.sender
            and mempool.welcomes(tx)
            and not (self._dirty and self._is_dirty(tx))
            and self.check.admit_alone(tx, keys[0], not tx.terms.tip)
        ):
            mempool.place_alone(tx)
            self.admitted += 1
            return
        try:
            self._admit_any(tx, keys)
        except QenexError:
            mempool.check_included(tx)
            raise
        self.admitted += 1

    def _admit_any(self, tx: Transaction, keys: tuple[bytes, ...]) -> None:
        mempool = self.mempool
        mempool.check_pending(tx)  # the same bytes may have come twice while they were verified
        addresses = _addresses(tx)
        if self._dirty:
            self.clean(addresses)
        replaced = mempool.replaced_by(tx)
        if replaced is not None:
            self._replace(tx, keys, replaced)
        else:
            if len(addresses) > 1 or mempool.shares(addresses[0]):
                self._check_connected(addresses)
            entered = self.check.admit(tx)
            try:
                if entered.keys != keys:
                    raise InvalidSignature("the account's key has changed meanwhile")
                added = mempool.place(tx, None)
            except QenexError:
                self.rebuild(addresses)
                raise
            if added.evicted:
                self._forget(added.evicted)

    def _replace(self, tx: Transaction, keys: tuple[bytes, ...], replaced: Entry) -> None:
        """Try the sender's pending transactions with the new one in the place of the old one."""
        closure = self._connected([signer.address for signer in tx.signers])
        pending = self._pending(closure)
        self.check.forget(closure)
        broken: list[Transaction] = []
        try:
            for old in pending:
                new = tx if old is replaced.tx else old
                try:
                    entered = self.check.admit(new)
                except QenexError:
                    if new is tx:
                        raise
                    broken.append(old)  # a dearer fee may leave too little for what follows
                    continue
                if new is tx and entered.keys != keys:
                    raise InvalidSignature("the account's key has changed meanwhile")
            added = self.mempool.add(tx)
        except QenexError:
            self.rebuild(closure)
            raise
        for old in broken:
            self._drop(old)
        if added.evicted:
            self._forget(added.evicted)

    # -- keeping check state and pool in step --------------------------------------------------

    def _pending(self, addresses: Iterable[Address]) -> list[Transaction]:
        """Pending transactions of all these accounts, each once, predecessors first."""
        found: dict[int, Entry] = {}
        for address in addresses:
            for entry in self.mempool.entries_of(address):
                found[entry.serial] = entry
        return [entry.tx for entry in sorted(found.values(), key=lambda entry: entry.arrival)]

    def _check_connected(self, addresses: Sequence[Address]) -> None:
        """Raise TooManyPending where too much would hang together with a new transaction."""
        count = len(self._pending(self._connected(addresses)))
        if count >= MAX_CONNECTED:
            raise TooManyPending(f"{count} transactions are pending that share signers with this one")

    def _connected(self, addresses: Iterable[Address]) -> list[Address]:
        """These accounts and all that sign something pending together with them, however far."""
        known = dict.fromkeys(addresses)
        waiting = list(known)
        while waiting:
            address = waiting.pop()
            if not self.mempool.shares(address):
                continue
            for entry in self.mempool.entries_of(address):
                for lane, _ in entry.others:
                    other = address_of_lane(lane)
                    if other not in known:
                        known[other] = None
                        waiting.append(other)
        return list(known)

    def rebuild(self, addresses: Iterable[Address]) -> list[Transaction]:
        """Check these accounts' pending transactions anew; returns those that had to go."""
        closure = self._connected(addresses)
        for address in closure:
            self._dirty.pop(address, None)
        self.check.forget(closure)
        gone: list[Transaction] = []
        for tx in self._pending(closure):
            if self.mempool.get_witness(tx.witness_id) is None:
                continue
            if tx.sender and tx.verified and self.check.admit_alone(tx, tx.verified[0], False):
                continue
            try:
                self.check.admit(tx)
            except QenexError as error:
                log.debug("dropped", extra={"tx": tx.tx_id, "reason": error.name})
                gone += self._drop(tx)
        return gone

    def clean(self, addresses: Iterable[Address]) -> None:
        """Recheck those of `addresses` that still wait for it."""
        dirty = self._dirty
        for address in addresses:
            if address in dirty:
                self.rebuild([address])

    def _drop(self, tx: Transaction) -> list[Transaction]:
        gone = self.mempool.remove(tx.witness_id)
        self.dropped += len(gone)
        return gone

    def _forget(self, entries: Sequence[Entry]) -> None:
        """Entries left the pool: what they had taken is free again."""
        self.dropped += len(entries)
        self.rebuild(dict.fromkeys(address_of_lane(lane) for entry in entries for lane, _ in entry.lanes))

    def discard(self, transactions: Iterable[Transaction]) -> None:
        """A proposal found that these may not stand: remove them and what depends on them."""
        touched: dict[Address, None] = {}
        for tx in transactions:
            for gone in self._drop(tx) or [tx]:
                touched.update(dict.fromkeys(signer.address for signer in gone.signers))
        if touched:
            self.rebuild(touched)

    def block_committed(
        self,
        transactions: Sequence[Transaction],
        tx_ids: Sequence[bytes],
        changes: Mapping[bytes, object],
        base: Readable,
        next_height: int,
    ) -> None:
        """A block was committed: its transactions leave, others expire, changed senders become dirty."""
        gone = self.mempool.include(transactions, tx_ids)
        gone += self.mempool.expire(next_height)
        self.dropped += len(gone)
        scoped = self.check.scoped_among(changes)
        self.check.advance(base, next_height)
        if scoped:  # used in another's transaction, so that nothing of the account itself has changed
            self.check.forget(scoped)
            self._dirty.update({address: None for address in scoped if self.mempool.has(address)})
        # The signers of what was included are among them: their sequences have risen.
        self.check.forget_records(changes)
        waiting = self.mempool.waiting(changes)
        self.check.forget(waiting)
        self._dirty.update(waiting)
        if gone:
            others = [signer.address for tx in gone for signer in tx.signers]
            self.check.forget(others)
            self._dirty.update({address: None for address in others if self.mempool.has(address)})

    def recheck_steps(self) -> Steps[None]:
        """Recheck all dirty senders, in slices."""
        turn = Slice()
        while self._dirty:
            self.rebuild([next(iter(self._dirty))])
            if turn.over():
                yield
