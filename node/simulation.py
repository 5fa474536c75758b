"""Simulation of transactions: what the next block would do with one, and the fee that will do.

Two ways. Up to INLINE_GAS it runs at once, which is nearly every transaction. What needs more is run again
from the start in turns with the event loop, up to the gas of a whole block, so that no vote waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ledger.state import Readable, Value
from ledger.store import Ledger
from node.mempool import Mempool
from node.turns import Turns
from qenex.block import Receipt
from qenex.crypto.address import Address, account_key
from qenex.errors import (
    GasLimitTooLow,
    InsufficientFunds,
    LimitExceeded,
    OutOfGas,
    QenexError,
    ScopedKeyLimitExceeded,
    error_from_code,
)
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS, ACCOUNT_RECORDS, EMPTY_ACCOUNT, Account
from qenex.transaction import Fee, Signer, Transaction, decode_body, encode_body
from qenex.types import QXC
from vm.accounts import LONG_SCHEMES
from vm.context import BlockInfo
from vm.machine import Machine
from vm.money import BalanceChange
from vm.scoped import ScopedKey, scoped_state_key

INLINE_GAS: Final = 100_000
"""Gas of a simulation that runs at once: 10 ms of the reference core."""
MAX_WAITING: Final = 16
"""Large simulations under way and in line; they run one after the other."""
GAS_MARGIN_PERCENT: Final = 130
"""Estimated gas limit in percent of what the simulation used: the state moves on until inclusion."""


class Estimate(NamedTuple):
    """A fee that will do: `price` base units per gas now, `max` with room for a rising price."""

    price: int
    gas_used: int
    gas_limit: int
    tip: int
    max: int


class Simulation(NamedTuple):
    """What the next block would do: the receipt, and what changes in the signers' balances besides the fee.

    `error` is what a failed one failed with, in the words that no receipt keeps.
    """

    receipt: Receipt
    changes: list[BalanceChange]
    error: QenexError | None = None


class _Layer:
    """Some entries over a base. `offer` is called before each read of the base."""

    __slots__ = ("_base", "_entries", "_offer")

    def __init__(
        self, base: Readable, entries: Mapping[bytes, Value], offer: Callable[[], None] | None = None
    ) -> None:
        self._base = base
        self._entries = entries
        self._offer = offer

    def get(self, key: bytes) -> Value | None:
        if self._offer is not None:
            self._offer()
        found = self._entries.get(key)
        return self._base.get(key) if found is None else found

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        # The entries are account records and keys, which are maps: nothing may list them in execution.
        for item in self._base.iterate(start, stop, reverse=reverse):
            if self._offer is not None:
                self._offer()
            yield item


class Simulator:
    """Simulates on the newest state. `next_block` tells what is known of the block to come."""

    def __init__(
        self, machine: Machine, ledger: Ledger, mempool: Mempool, next_block: Callable[[], BlockInfo]
    ) -> None:
        self._machine = machine
        self._ledger = ledger
        self._mempool = mempool
        self._next_block = next_block
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    @property
    def price(self) -> int:
        """Base units of QXC per gas that the next block asks."""
        return self._machine.price(self._ledger.committed)

    def _price_and_max_gas(self) -> tuple[int, int]:
        """Price of gas now, and the gas of a block."""
        price = self.price  # after this the scratch machine stands on the newest state
        return price, self._machine.scratch.core.params.max_block_gas

    async def simulate(self, tx: Transaction) -> Simulation:
        """Run a transaction, signed or not, as the next block would, and forget it.

        Transactions of its signers that wait in the pool count as done where sequences and keys are
        concerned. Raises a 1000s error where entry refuses, LimitExceeded when too many large simulations
        wait.
        """
        found = await self._run(tx, tx.fee)
        return found._replace(receipt=found.receipt._replace(tx_id=tx.tx_id))

    async def estimate_fee(self, tx: Transaction) -> Estimate:
        """Simulate and add room. Raises the error it would fail with, InsufficientFunds among them."""
        price, max_gas = self._price_and_max_gas()
        tip = tx.fee.tip

        def paying(gas_limit: int) -> Fee:
            return Fee(gas_limit * price + tip, gas_limit, tip)

        def estimate(gas_used: int) -> Estimate:
            gas_limit = min(-(-gas_used * GAS_MARGIN_PERCENT // 100), max_gas)
            return Estimate(price, gas_used, gas_limit, tip, 2 * price * gas_limit + tip)

        try:
            receipt = self._at_once(tx, paying(INLINE_GAS)).receipt
            if receipt.status == 0 and estimate(receipt.gas_used).gas_limit <= INLINE_GAS:
                return estimate(
                    receipt.gas_used
                )  # it stands with a larger fee taken, so it will with this one
        except (GasLimitTooLow, InsufficientFunds, ScopedKeyLimitExceeded):
            pass
        # It takes more gas, or what the largest fee leaves is too little: how much with a fee that is given?
        largest = paying(max_gas)
        used = _succeeded(await self._run(tx, largest, gift=largest.max)).gas_used
        found = estimate(used)
        _succeeded(await self._run(tx, paying(found.gas_limit)))  # and does it stand when that is paid?
        return found

    async def _run(self, tx: Transaction, fee: Fee, gift: int = 0) -> Simulation:
        """With another fee: at once if it needs little, else in turns. `gift` is given to the payer."""
        if not INLINE_GAS < fee.gas_limit <= self._price_and_max_gas()[1]:
            return self._at_once(tx, fee, gift)
        try:
            found = self._at_once(tx, fee._replace(gas_limit=INLINE_GAS), gift)
            if found.receipt.status != OutOfGas.code:
                return found
        except GasLimitTooLow:
            pass  # bytes and signatures alone take more
        return await self._in_turns(with_fee(tx, fee), gift)

    def _at_once(self, tx: Transaction, fee: Fee, gift: int = 0) -> Simulation:
        records = self._records(tx, gift, only_pending=True)
        committed = self._ledger.committed
        base: Readable = _Layer(committed, records) if records else committed
        return _simulate(self._machine, base, self._next_block(), with_fee(tx, fee))

    async def _in_turns(self, tx: Transaction, gift: int) -> Simulation:
        """On a version of the state that stays as it is while blocks are made."""
        if self._waiting >= MAX_WAITING:
            raise LimitExceeded(
                f"{MAX_WAITING} large simulations are under way", hint="ask again in a second"
            )
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                view, info = self._ledger.view(), self._next_block()
                # The newest records: those of a block that is still being written are not in the view.
                records = self._records(tx, gift, only_pending=False)
                # A third set of modules: queries and small simulations use the second one meanwhile.
                machine = self._machine.scratch
                return await Turns(
                    lambda offer: _simulate(machine, _Layer(view, records, offer), info, tx)
                ).run()
        finally:
            self._waiting -= 1

    # -- pending transactions count as done -------------------------------------------------------

    def next_sequence(self, address: Address) -> int:
        """The sequence of the account's next transaction, those that wait in the pool counted."""
        pending = self._mempool.next_sequence(address)
        return self._record(address).sequence if pending is None else pending

    def _record(self, address: Address) -> Account:
        """The record that the next block will find, durable or not."""
        record: Account | None = self._ledger.committed.get(ACCOUNT_RECORDS + address)
        return EMPTY_ACCOUNT if record is None else record

    def _records(self, tx: Transaction, gift: int, *, only_pending: bool) -> dict[bytes, Value]:
        """The signers' entries of the state, with the sequences and keys that the transaction will find.

        `only_pending`: none for those whose record will be found as it is. The payer, if it has a record,
        holds `gift` base units of QXC more.
        """
        entries: dict[bytes, Value] = {}
        committed = self._ledger.committed
        for signer in tx.signers:
            record = found = self._record(signer.address)
            key: bytes | None = None
            if signer.scoped_key is not None:
                entries.update(self._scoped_record(signer, gift))
            elif found.sequence < signer.sequence <= self.next_sequence(signer.address):
                key = None if found.key else self._pending_key(signer)
                record = record._replace(sequence=signer.sequence)
                if key is not None:
                    record = record._replace(key=account_key(key[0], key[1:]))
            if gift and found != EMPTY_ACCOUNT:
                record = record._replace(balance=record.balance + gift)
            gift = 0  # only signer 0 pays
            if record == EMPTY_ACCOUNT or (only_pending and record == found):
                continue
            entries[ACCOUNT_RECORDS + signer.address] = record
            if record.key and record.key[0] in LONG_SCHEMES:
                place = ACCOUNT_PUBLIC_KEYS + record.key[1:]
                entries[place] = key or committed.get(place)
        return entries

    def _scoped_record(self, signer: Signer, gift: int) -> dict[bytes, Value]:
        """The entry of a scoped key with the sequence that the transaction will find; `gift` may leave as well."""
        assert signer.scoped_key is not None
        place = scoped_state_key(signer.address, signer.scoped_key)
        found: ScopedKey | None = self._ledger.committed.get(place)
        if found is None:
            return {}
        record = found
        following = self._mempool.next_sequence(signer.address, signer.scoped_key)
        if following is not None and found.sequence < signer.sequence <= following:
            record = record._replace(sequence=signer.sequence)
        if gift:
            limits = [
                limit._replace(amount=limit.amount + gift) if limit.denom == QXC else limit
                for limit in record.limits
            ]
            record = record._replace(limits=tuple(limits))
        return {} if record == found else {place: record}

    def _pending_key(self, signer: Signer) -> bytes | None:
        """Tag + key that a waiting transaction of the account brings before this one."""
        for tx in self._mempool.pending(signer.address):
            for other in tx.signers:
                if other.address == signer.address and other.public_key is not None:
                    return other.public_key if other.sequence < signer.sequence else None
        return None


def _simulate(machine: Machine, base: Readable, info: BlockInfo, tx: Transaction) -> Simulation:
    receipt = machine.simulate(base, info, tx)
    error = machine.simulation_error if receipt.status else None
    return Simulation(receipt, machine.simulation_changes(tx, receipt.fee), error)


def with_fee(tx: Transaction, fee: Fee) -> Transaction:
    """The same body with this fee, unsigned."""
    if fee == tx.fee and not tx.raw:
        return tx
    return decode_body(
        encode_body(tx.chain_id, tx.signers, tx.messages, fee, tx.valid_until, tx.lease, tx.memo)
    )


def _succeeded(simulation: Simulation) -> Receipt:
    """The receipt. Raises the error it failed with, with `gas_used`: what the refusal has cost this node."""
    receipt = simulation.receipt
    if receipt.status:
        error = receipt_error(receipt, simulation.error)
        error.__dict__["gas_used"] = receipt.gas_used
        raise error
    return receipt


def receipt_error(receipt: Receipt, cause: QenexError | None = None) -> QenexError:
    """The typed error of a failed receipt; `cause` adds its words, if it is the error that the receipt names."""
    where = "" if receipt.failed_message is None else f"message {receipt.failed_message} fails"
    why = "" if cause is None or cause.code != receipt.status else cause.message
    return error_from_code(receipt.status, ": ".join(part for part in (where, why) if part))
