"""Scoped keys: what a bot or an agent is given. Pure rules over records; entry and execution apply them.

A scoped key may send the messages on its list until a height, and the account's NET outflow in each of its
transactions counts against an amount per period and denomination, the fee included, also that of a transaction
which fails. What is not listed may not flow out at all. Periods begin with the first payment after the last one's
end, so at most two amounts lie within any one period's length.

Indexes are never used again, so a signature for a revoked key's successor cannot be an old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

from ledger.state import State
from qenex.crypto.address import Address
from qenex.errors import (
    InvalidScope,
    ScopedKeyExpired,
    ScopedKeyLimitExceeded,
    ScopedKeyMessageNotAllowed,
    ScopedKeyNotFound,
)
from qenex.state_keys import ModuleId
from qenex.transaction import MAX_NAME_SIZE, Message, Signer
from qenex.types import QXC, U16, U64, Amount, Between, Denom, Length

SCOPED_KEYS: Final = bytes((ModuleId.ACCOUNTS, 3))
"""Scoped keys: address + u16 index -> ScopedKey."""
MAX_SCOPED_KEYS: Final = 16
MAX_SCOPE_MESSAGES: Final = 32
MAX_SCOPE_LIMITS: Final = 16
MAX_PERIOD_S: Final = 10 * 366 * 86_400

MessageNames = Annotated[tuple[Annotated[str, Length(3, MAX_NAME_SIZE)], ...], Length(1, MAX_SCOPE_MESSAGES)]


class SpendingLimit(NamedTuple):
    """At most `amount` base units of `denom` leave the account in `period_s` seconds."""

    denom: Denom
    amount: Amount
    period_s: Annotated[int, Between(1, MAX_PERIOD_S)]


SpendingLimits = Annotated[tuple[SpendingLimit, ...], Length(0, MAX_SCOPE_LIMITS)]


class Spent(NamedTuple):
    """`amount` base units left since `since_s`."""

    since_s: U64
    amount: Amount


class ScopedKey(NamedTuple):
    """`key` as account records hold it; `expires` is the last height; `spent` stands beside `limits`."""

    sequence: U64
    key: bytes
    expires: U64
    messages: MessageNames
    limits: SpendingLimits
    spent: tuple[Spent, ...]


class ScopedKeyAdded(NamedTuple):
    """A second key may act for an account within a scope, under this number."""

    address: Address
    number: U16
    key: bytes
    expires: U64


class ScopedKeyCount(NamedTuple):
    """Scoped keys of an account: the next index, and how many there are, those that wait included."""

    next: U64
    registered: U16


def scoped_state_key(address: Address, index: int) -> bytes:
    """State key of a scoped key."""
    return SCOPED_KEYS + address + index.to_bytes(2, "big")


def scoped_key_of(state: State, signer: Signer) -> ScopedKey:
    """The scoped key that a signer names. Raises ScopedKeyNotFound."""
    assert signer.scoped_key is not None
    record: ScopedKey | None = state.get(scoped_state_key(signer.address, signer.scoped_key))
    if record is None:
        raise ScopedKeyNotFound(f"the account has no scoped key {signer.scoped_key}")
    return record


def make_scope(
    messages: Iterable[str], limits: Iterable[SpendingLimit]
) -> tuple[tuple[str, ...], tuple[SpendingLimit, ...]]:
    """Lists as they are stored: ascending, nothing twice.

    Raises InvalidScope, also for messages of accounts: a key that registers keys has no limits.
    """
    names = tuple(sorted(messages))
    ordered = tuple(sorted(limits))
    for name in names:
        module, dot, verb = name.partition(".")
        if not (
            dot and module.isidentifier() and verb.isidentifier() and name.isascii() and name == name.lower()
        ):
            raise InvalidScope(f"{name[:70]!a} is no message's name, like bank.send")
        if module == "accounts":
            raise InvalidScope("a scoped key may not change keys: no message of accounts can be allowed")
    if len(set(names)) != len(names):
        raise InvalidScope("a message is listed twice")
    if len({limit.denom for limit in ordered}) != len(ordered):
        raise InvalidScope("a denomination has two limits")
    if any(limit.amount < 1 for limit in ordered):
        raise InvalidScope("a limit is at least 1 base unit; leave out what may not flow out")
    return names, ordered


def check_scope(record: ScopedKey, messages: Iterable[Message], signer: int, height: int) -> None:
    """Height and messages of one signer. Raises ScopedKeyExpired or ScopedKeyMessageNotAllowed."""
    if height > record.expires:
        raise ScopedKeyExpired(f"the scoped key was valid until height {record.expires}, this is {height}")
    for message in messages:
        if message.signer == signer and message.name not in record.messages:
            raise ScopedKeyMessageNotAllowed(
                f"{message.name} is not among what this key may send: {', '.join(record.messages)}"
            )


def current(record: ScopedKey, time_s: int) -> ScopedKey:
    """The record with the periods that have ended by `time_s` begun anew."""
    spent = tuple(
        [
            Spent(time_s, 0) if time_s >= used.since_s + limit.period_s else used
            for limit, used in zip(record.limits, record.spent, strict=True)
        ]
    )
    return record if spent == record.spent else record._replace(spent=spent)


def spend(record: ScopedKey, outflow: Mapping[str, int]) -> ScopedKey:
    """Count what leaves, in base units by denomination; amounts below 1 count nothing.

    Raises ScopedKeyLimitExceeded, also for a denomination without a limit.
    """
    left = {denom: amount for denom, amount in outflow.items() if amount > 0}
    spent = list(record.spent)
    for place, limit in enumerate(record.limits):
        amount = left.pop(limit.denom, 0)
        total = spent[place].amount + amount
        if amount and total > limit.amount:
            raise ScopedKeyLimitExceeded(
                f"{total} base units of {limit.denom} in {limit.period_s} s, at most {limit.amount} may leave"
            )
        spent[place] = spent[place]._replace(amount=total)
    if left:
        raise ScopedKeyLimitExceeded(f"nothing of {min(left)} may leave the account by this key")
    return record._replace(spent=tuple(spent))


def give_back(record: ScopedKey, amount: int) -> ScopedKey:
    """Take `amount` base units of QXC, set aside by `spend` before, out of the count again."""
    spent = [
        used._replace(amount=used.amount - amount) if limit.denom == QXC else used
        for limit, used in zip(record.limits, record.spent, strict=True)
    ]
    return record._replace(spent=tuple(spent))


def set_aside(record: ScopedKey, fee: int, time_s: int | None) -> ScopedKey:
    """Count a fee's maximum before the messages run, so that failing transactions drain nobody.

    `time_s` None: the pool does not know when the next block will be, so only what could never pass is
    refused. Raises ScopedKeyLimitExceeded.
    """
    if time_s is not None:
        return spend(current(record, time_s), {QXC: fee})
    spend(record._replace(spent=tuple([Spent(0, 0) for _ in record.limits])), {QXC: fee})
    return record
