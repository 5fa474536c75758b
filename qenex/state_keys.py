"""Where things lie in the state: module and collection ids, key encoding, public records.

A state key is `u8 module id | u8 collection id | key`. Key parts keep order and are prefix-free:
unsigned integers big-endian of their declared width, addresses and hashes raw, text and bytes with
00 -> 00FF and the end 0000. Ids stand here for ever and are never reused. The SDK derives the keys
whose proofs it checks from this file alone.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U8, U16, U64, Amount, Between, DenominationName, Instant, Length, Quantity, Unsigned

PARAMETERS_COLLECTION: Final = 0
"""Collection 0 of every module is its one frozen Params item."""


class ModuleId(IntEnum):
    """First byte of every state key."""

    MACHINE = 0
    ACCOUNTS = 1
    BANK = 2
    TOKENS = 3
    STAKING = 4
    GOVERNANCE = 5
    ORACLE = 6
    AMM = 7
    LENDING = 8
    FARMING = 9


ACCOUNT_RECORDS: Final = bytes((ModuleId.ACCOUNTS, 1))
ACCOUNT_PUBLIC_KEYS: Final = bytes((ModuleId.ACCOUNTS, 2))
BANK_BALANCES: Final = bytes((ModuleId.BANK, 1))
BANK_SUPPLIES: Final = bytes((ModuleId.BANK, 2))
TOKEN_RULES: Final = bytes((ModuleId.TOKENS, 2))
TOKEN_MARKS: Final = bytes((ModuleId.TOKENS, 3))


class Account(NamedTuple):
    """State value of an account, schema 1.

    `balance` in base units of QXC; `key` is scheme tag + public key, above 64 bytes tag + hash, empty
    while the account has never signed; `fee_tier` is a discount in basis points; `flags` is a bit set.
    """

    sequence: U64
    balance: Amount
    key: bytes
    fee_tier: U16
    flags: U8


EMPTY_ACCOUNT: Final = Account(0, 0, b"", 0, 0)

FLAG_MODULE_ACCOUNT: Final = 1
"""`Account.flags`: belongs to a module; closed to plain transfers and never signs."""
FLAG_GUARDED: Final = 2
"""`Account.flags`: has a guard, which delays large amounts (`accounts.set_guard`)."""
FLAG_FROZEN: Final = 4
"""`Account.flags`: its guard's canceller has frozen it; stands here so that the pool meets it without a clock."""


class TokenRule(NamedTuple):
    """What binds every movement of a token; a token without controls has none.

    `flags` is a bit set of RULE_FREEZABLE and RULE_ALLOW_LIST; `fee_bps` basis points of a transfer go to
    `fee_recipient`.
    """

    flags: U8
    fee_bps: U16
    fee_recipient: Address | None


RULE_FREEZABLE: Final = 1
RULE_ALLOW_LIST: Final = 2
MARK_FROZEN: Final = 1
MARK_LISTED: Final = 2
"""Bits of what is noted of an account and a token."""


def escape(data: bytes) -> bytes:
    """Order-preserving, prefix-free form of variable-length bytes."""
    return data.replace(b"\x00", b"\x00\xff") + b"\x00\x00"


def unescape(data: bytes, start: int) -> tuple[bytes, int]:
    """Inverse of `escape` from `start`; returns the bytes and the index after the end mark.

    Raises ValueError for bytes that `escape` cannot have written.
    """
    at = start
    while True:
        at = data.index(b"\x00", at)
        follows = data[at + 1 : at + 2]
        if follows == b"\x00":
            return data[start:at].replace(b"\x00\xff", b"\x00"), at + 2
        if follows != b"\xff":
            raise ValueError("a zero byte inside a key part is written 00 FF")
        at += 2


def account_state_key(address: Address) -> bytes:
    """Key of an account record."""
    return ACCOUNT_RECORDS + address


def public_key_state_key(key_hash: bytes) -> bytes:
    """Key of a registered public key too long to stand in the account record."""
    return ACCOUNT_PUBLIC_KEYS + key_hash


@lru_cache(maxsize=4_096)
def denom_part(denom: str) -> bytes:
    """A denomination as a part of keys."""
    return escape(denom.encode("ascii"))


def balance_state_key(address: Address, denom: str) -> bytes:
    """Key of a balance of any denomination but QXC (that one is in the account record)."""
    return BANK_BALANCES + address + denom_part(denom)


def supply_state_key(denom: str) -> bytes:
    """Key of a denomination's supply."""
    return BANK_SUPPLIES + denom_part(denom)


def token_rule_state_key(denom: str) -> bytes:
    """Key of a token's rule."""
    return TOKEN_RULES + denom_part(denom)


def token_mark_state_key(denom: str, address: Address) -> bytes:
    """Key of what is noted of an account and a token."""
    return TOKEN_MARKS + denom_part(denom) + address


KeyPart = tuple[Callable[[Any], bytes], Callable[[bytes, int], tuple[Any, int]]]
"""Encoder of one key part, and decoder `(data, start) -> (value, next index)`."""


def _integer_part(size: int, offset: int) -> KeyPart:
    def encode(value: int) -> bytes:
        return (value + offset).to_bytes(size, "big")

    def decode(data: bytes, start: int) -> tuple[int, int]:
        return int.from_bytes(data[start : start + size], "big") - offset, start + size

    return encode, decode


def _fixed_part(size: int) -> KeyPart:
    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"key part has {len(value)} bytes, {size} declared")
        return value

    return encode, lambda data, start: (data[start : start + size], start + size)


def _text_part() -> KeyPart:
    def decode(data: bytes, start: int) -> tuple[str, int]:
        value, end = unescape(data, start)
        return value.decode(), end

    return (lambda value: escape(value.encode())), decode


def key_part(hint: Any) -> KeyPart:
    """Encoder and decoder of one declared key part. Raises TypeError at registration."""
    if hint is Address:
        return _fixed_part(32)
    if hint is bytes:
        return escape, unescape
    if hint is str:
        return _text_part()
    if hint is int:
        return _integer_part(33, 1 << 256)
    if typing.get_origin(hint) is Annotated:
        base, *marks = typing.get_args(hint)
        for mark in marks:
            match mark:
                case Unsigned(bits):
                    return _integer_part(bits // 8, 0)
                case Quantity():
                    return _integer_part(16, 0)
                case Instant():
                    return _integer_part(8, 0)
                case Between(low, high):
                    size = 8 if max(abs(low), abs(high)) < 1 << 63 else 33
                    return _integer_part(size, 1 << (8 * size - 1) if low < 0 else 0)
                case Length(low, high) if base is bytes:
                    return _fixed_part(low) if low == high else (escape, unescape)
                case Length() | DenominationName():
                    return _text_part()
                case _:
                    continue
    raise TypeError(f"{hint!r} cannot be part of a state key")
