"""Admission of who signs alone: entry's checks for one height, with all that its transactions have in common at hand.

Nearly every transaction has one signer, whose key the chain knows, and nothing of his waits when it comes. What passes here
`CheckState` would pass as well, 4 us dearer; whatever is out of the ordinary, a refusal first of all, is left to that with
nothing done. tests/vm/test_entry_alone.py holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.state import MISSING, Value
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS, Account
from qenex.transaction import MAX_VALIDITY, Transaction, Transfer
from qenex.transfer_form import TRANSFER, Terms
from vm.entry import plan_of
from vm.registry import Registry

if TYPE_CHECKING:
    from vm.entry import Rules

_new = tuple.__new__

KeyOfAlone = Callable[[Transaction], bytes | None]
"""The sender's key where `CheckState.screen` would say the same and the sequence is the account's next; None: ask it.

Raises UnknownMessage, InvalidArguments or InvalidReference, as that does first of all.
"""
AdmitAlone = Callable[[Transaction, bytes, bool], bool]
"""`CheckState.admit` for a transaction that passes, under this key; False, and nothing is done, for that to say why not.

With True nothing else of its account waits, and the caller lets it wait so that `CheckState.alone` will find it.
"""


def alone_checks(
    rules: Rules,
    registry: Registry,
    values: dict[bytes, Value | None],
    base_get: Callable[[bytes], Value | None],
) -> tuple[KeyOfAlone, AdmitAlone]:
    """Both for one height, for transactions with a `sender`; `values` are what is written over the records that `base_get` finds."""
    chain_id, height, last_height, price = (
        rules.chain_id,
        rules.height,
        rules.height + MAX_VALIDITY,
        rules.price,
    )
    schedule, inline, beside, max_gas = rules.schedule, rules.inline, rules.beside, rules.params.max_block_gas
    transaction_gas, bytes_per_gas = schedule.transaction, schedule.bytes_per_gas
    has_transfers = TRANSFER in registry.messages
    written = values.get
    good: Terms | None = None
    fee_max = gas_limit = 0

    def are_good(terms: Terms) -> bool:
        """Whether chain, height, gas limit and fee are such that the rest decides. Asked anew only for other terms."""
        nonlocal good, fee_max, gas_limit
        on_chain, most, limit, tip, valid_until = terms
        if on_chain != chain_id or not height <= valid_until <= last_height:
            return False
        if limit > max_gas or limit * price + tip > most:
            return False
        good, fee_max, gas_limit = terms, most, limit
        return True

    def has_plan(tx: Transaction) -> bool:
        """Whether the arguments have been checked; those of a plain transfer are by its form."""
        return tx.plan is not None or (has_transfers and type(tx) is Transfer)

    def long_key(stored: bytes) -> bytes | None:
        """The key that stands beside the record under this hash, if it may be used."""
        if stored[0] not in beside:
            return None
        place = ACCOUNT_PUBLIC_KEYS + stored[1:]
        full = written(place, MISSING)
        return base_get(place) if full is MISSING else full

    def key_of(tx: Transaction) -> bytes | None:
        if not has_plan(tx):
            plan_of(registry, tx)
        if tx.terms is not good and not are_good(tx.terms):
            return None
        sender = tx.sender
        account = written(sender, MISSING)
        if account is MISSING:
            account = base_get(sender)
        if account is None or account[0] != tx.sequence:
            return None
        key: bytes = account[2]
        if not key:
            return None
        return key if key[0] in inline else long_key(key)

    def admit(tx: Transaction, key: bytes, alone: bool) -> bool:
        if tx.terms is not good and not are_good(tx.terms):
            return False
        sender = tx.sender
        account = here = written(sender, MISSING)
        if here is MISSING:
            account = base_get(sender)
        if account is None or not has_plan(tx):
            return False
        sequence, balance, stored, fee_tier, flags = account
        if sequence != tx.sequence or flags or not stored or fee_max > balance:
            return False
        signature_gas = inline.get(stored[0])
        if signature_gas is None:
            if long_key(stored) != key:
                return False
            signature_gas = beside[stored[0]]
        elif stored != key:
            return False
        if transaction_gas + len(tx.raw) // bytes_per_gas + signature_gas > gas_limit:
            return False
        if here is not MISSING or not alone:
            values[sender] = _new(Account, (sequence + 1, balance - fee_max, stored, fee_tier, flags))
        return True

    return key_of, admit
