"""The short way of a plain transfer through a block.

Nearly every transaction is one, and all of them do the same: entry, one message, two records, one event, a receipt.
Here that stands in one function with everything a block has in common at hand, 5 us a transfer where the general
way (`BlockExecution.execute`) takes 13. One with many payments differs in what it pays: entry is the same, then all
payees are looked at before any is written, and their events are the messages' own bytes. It decides nothing else than
that way would: whatever is out of the ordinary, a refusal or a failure first of all, is left to it with nothing done.
tests/vm/test_transfers.py holds the two against each other, record by record and byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ledger.state import MISSING, Value
from qenex.codec import pack
from qenex.state_keys import ACCOUNT_RECORDS, FLAG_MODULE_ACCOUNT, Account
from qenex.transaction import MAX_VALIDITY, Transfer
from qenex.transfer_form import COIN, SEND_HEAD, SEND_TAIL, TRANSFER, Payments, Terms, array_head

if TYPE_CHECKING:
    from vm.execution import BlockExecution

TRANSFERRED: Final = "bank.transferred"
_BYTES_32: Final = b"\xc4\x20"
"""What stands before 32 bytes."""
_RECEIPT: Final = array_head(7) + _BYTES_32
"""How a receipt begins, up to the transaction's id."""
_SUCCESS: Final = b"\x00\xc0"
"""Status 0, no failed message."""
_EVENT: Final = array_head(2) + pack(TRANSFERRED) + array_head(4) + _BYTES_32
"""How an event begins, up to the sender's address."""
_ONE_EVENT: Final = array_head(1) + _EVENT
_BETWEEN: Final = SEND_TAIL + SEND_HEAD
"""What stands between an amount and the next recipient's address in the messages."""
_new = tuple.__new__


def never_taken(tx: Transfer) -> bool:
    """For a machine without plain transfers, or with rules about every account record."""
    return False


def short_way(execution: BlockExecution) -> Callable[[Transfer], bool]:
    """A function for one block: does a transfer and returns True, or does nothing and returns False."""
    machine, state, rules = execution.machine, execution.state, execution.rules
    spec = machine.registry.messages.get(TRANSFER)
    if (
        spec is None
        or TRANSFERRED not in machine.registry.events
        or ACCOUNT_RECORDS in machine.touched_invariants
    ):
        return never_taken
    values, images, base_get = state.parts()
    written, pause_key = values.get, machine.methods[TRANSFER][1]
    closed = frozenset([ACCOUNT_RECORDS + address for address in machine.money.main_accounts])
    schedule, inline, price, chain_id = rules.schedule, rules.inline, rules.price, rules.chain_id
    height, last_height = rules.height, rules.height + MAX_VALIDITY
    transaction_gas, message_gas = schedule.transaction, spec.gas + schedule.event
    bytes_per_gas = schedule.bytes_per_gas
    max_gas, max_bytes = rules.params.max_block_gas, rules.params.max_block_bytes
    receipts = execution.receipts.encoded
    middles: dict[tuple[int, int], bytes] = {}
    """What stands between id and amount in a receipt, by gas and fee."""
    others = -1
    is_open = False
    terms: Terms | None = None
    fee_max = gas_limit = tip = 0

    def pay_each(tx: Transfer, payments: Payments, here: Value, payer: Account, gas: int, paid: int) -> bool:
        """The messages of many payments, and the receipt; `here` is what the block has written of the payer."""
        sender, recipients, count = tx.sender, payments.recipients, payments.number
        if sender in recipients or not closed.isdisjoint(recipients):
            return False
        messages = tx.raw[payments.start + len(SEND_HEAD) : payments.stop - len(SEND_TAIL)]
        # An address could look like what stands between two: then they are not cut apart at the right places.
        halves = messages.split(COIN)
        pieces = COIN[1:].join(halves).split(_BETWEEN)
        if len(halves) != count + 1 or len(pieces) != count:
            return False
        fresh: dict[bytes, Value] = {}
        after: dict[bytes, Account] = {}
        received = 0
        for recipient, amount in zip(recipients, payments.amounts, strict=True):
            payee = written(recipient, MISSING)
            if payee is MISSING:
                payee = fresh[recipient] = base_get(recipient)
            if payee is None:
                return False
            sequence, balance, key, fee_tier, flags = payee
            if flags & FLAG_MODULE_ACCOUNT:
                return False
            record = after[recipient] = _new(Account, (sequence, balance + amount, key, fee_tier, flags))
            received += record[1] - balance
        sequence, balance, key, _, _ = payer
        payer_after = _new(Account, (sequence + 1, balance - tx.amount - paid, key, 0, 0))
        # Conservation, from old and new records as everywhere.
        if payer_after[1] < 0 or payer_after[1] + received + paid != balance:
            return False
        event = _EVENT + sender[2:] + _BYTES_32
        head, many = _RECEIPT + tx.tx_id + _SUCCESS + pack((gas, paid))[1:], array_head(count)
        receipts.append(b"".join((head, many, payments.coins, many, event, event.join(pieces))))
        if here is MISSING:
            images[sender] = payer
        values[sender] = payer_after
        images.update(fresh)
        values.update(after)
        return True

    def run(tx: Transfer) -> bool:
        nonlocal others, is_open, terms, fee_max, gas_limit, tip
        if (
            others != execution.others
        ):  # a hook or another transaction ran: the module may be paused now, or no more
            others = execution.others
            is_open = state.get(pause_key) is None
        sender, recipient, verified = tx.sender, tx.recipient, tx.verified
        if not is_open or verified is None or sender == recipient or recipient in closed:
            return False
        if tx.terms is not terms:  # nearly all have the same, which have been found good
            on_chain, most, limit, offer, valid_until = tx.terms
            if on_chain != chain_id or not height <= valid_until <= last_height:
                return False
            if limit * price + offer > most:
                return False
            terms, fee_max, gas_limit, tip = tx.terms, most, limit, offer

        # Entry: sequence, key, fee. The signature was verified with the key that the record has now.
        here = written(sender, MISSING)
        payer = base_get(sender) if here is MISSING else here
        if payer is None:
            return False
        sequence, balance, key, fee_tier, flags = payer
        if (
            sequence != tx.sequence
            or fee_tier
            or flags
            or len(verified) != 1
            or not key
            or verified[0] != key
        ):
            return False
        signature_gas = inline.get(key[0])
        if signature_gas is None:
            return False
        amount = tx.amount
        size = len(tx.raw)
        payments = tx.payments
        gas = transaction_gas + size // bytes_per_gas + signature_gas
        gas += message_gas if payments is None else message_gas * payments.number
        gas_used, block_size = execution.gas_used, execution.size + size + 5
        if gas > gas_limit or gas_used + gas_limit > max_gas or block_size > max_bytes:
            return False
        if fee_max + amount > balance:
            return False

        # The message: a new account would cost gas, a module's takes nothing.
        base_fee = gas * price
        paid = base_fee + tip
        if payments is not None:
            if not pay_each(tx, payments, here, payer, gas, paid):
                return False
            execution.gas_used = gas_used + gas
            execution.size = block_size
            execution.base_fees += base_fee
            execution.tips += tip
            return True
        there = written(recipient, MISSING)
        payee = base_get(recipient) if there is MISSING else there
        if payee is None or payee[4] & FLAG_MODULE_ACCOUNT:
            return False
        payer_after = _new(Account, (sequence + 1, balance - amount - paid, key, 0, 0))
        payee_sequence, payee_balance, payee_key, payee_tier, payee_flags = payee
        payee_after = _new(
            Account, (payee_sequence, payee_balance + amount, payee_key, payee_tier, payee_flags)
        )
        # Conservation, from old and new records as everywhere.
        if payer_after[1] < 0 or payer_after[1] + payee_after[1] + paid != balance + payee_balance:
            return False
        # The receipt by its parts, half the time of encoding it; nearly all have used and paid the same.
        used = middles.get((gas, paid))
        if used is None:
            used = middles[gas, paid] = _SUCCESS + pack(gas) + pack(paid) + array_head(1) + COIN
        coin = pack(amount)
        receipts.append(
            b"".join(
                (
                    _RECEIPT,
                    tx.tx_id,
                    used,
                    coin,
                    _ONE_EVENT,
                    sender[2:],
                    _BYTES_32,
                    recipient[2:],
                    COIN[1:],
                    coin,
                )
            )
        )
        if here is MISSING:
            images[sender] = payer
        values[sender] = payer_after
        if there is MISSING:
            images[recipient] = payee
        values[recipient] = payee_after
        execution.gas_used = gas_used + gas
        execution.size = block_size
        execution.base_fees += base_fee
        execution.tips += tip
        return True

    return run
