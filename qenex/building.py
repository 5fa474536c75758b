"""From what people write to the bytes that are signed: arguments, messages, bodies.

A message's declared parameter types say how an argument may be written: an address as
`qx1...`, a coin as `1.5QXC`, bytes as `0x...` or bytes. The typed value is checked here,
by the same codec that the chain uses, before anything is signed.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

from qenex.codec import Plain, Reference, codec_for, fields_of
from qenex.crypto.address import Address, decode_address
from qenex.errors import (
    InvalidAddress,
    InvalidAmount,
    InvalidArguments,
    InvalidReference,
    MalformedBytes,
    UnknownMessage,
)
from qenex.money import DecimalsLookup, parse_amount, parse_coin
from qenex.transaction import MAX_MESSAGES, Fee, Message, Signer, Transaction, decode_body, encode_body
from qenex.types import MAX_AMOUNT, QXC, Coin, Quantity

DEFAULT_VALIDITY: Final = 200
"""Blocks for which a transaction stays valid where nobody says otherwise."""


class HasAddress(Protocol):
    """A wallet, for one."""

    @property
    def address(self) -> Address: ...


AddressLike: TypeAlias = str | bytes | HasAddress
"""`qx1...`, the 32 bytes, or a wallet."""

CoinLike: TypeAlias = str | Coin | Reference
"""`1.5QXC`, a Coin in base units, or a reference."""

AmountLike: TypeAlias = int | str | Reference
"""Base units as an integer, text with its denomination such as `1.5QXC`, or a reference."""

BytesLike: TypeAlias = bytes | str | Reference
"""Bytes, or lower-case hex with 0x."""


class MessageFace(NamedTuple):
    """What the SDK knows of a message: its name, its parameters by name and type, its result's type."""

    name: str
    parameters: tuple[tuple[str, Any], ...]
    result: Any


class QueryFace(NamedTuple):
    """What the SDK knows of a query: its RPC method, its parameters by name and type, its result's type."""

    method: str
    parameters: tuple[tuple[str, Any], ...]
    result: Any

    @property
    def name(self) -> str:
        """As errors call it."""
        return self.method


def ref(index: int, field: str) -> Reference:
    """The value of `field` in the result of message number `index` of the same transaction (from 0).

    Raises InvalidReference for an index or a field that cannot be.
    """
    if isinstance(index, bool) or not 0 <= index < MAX_MESSAGES or not 1 <= len(field) <= 64:
        raise InvalidReference("a reference names an earlier message by its number and a field of its result")
    return Reference(index, field)


def read_address(value: AddressLike) -> Address:
    """The 32 bytes of an address in any accepted form. Raises InvalidAddress."""
    if isinstance(value, str):
        return decode_address(value)
    if isinstance(value, bytes):
        if len(value) != 32:
            raise InvalidAddress(f"an address has 32 bytes, not {len(value)}")
        return Address(value)
    address = getattr(value, "address", None)
    if isinstance(address, bytes) and len(address) == 32:
        return Address(address)
    raise InvalidAddress(f"an address is text like qx1..., 32 bytes or a wallet, not {type(value).__name__}")


def read_amount(value: int | str, denom: str = QXC, lookup: DecimalsLookup | None = None) -> int:
    """Base units of an integer (base units) or a text like `1.5QXC`. Raises InvalidAmount."""
    if isinstance(value, str):
        return parse_amount(value, denom, lookup)
    if type(value) is not int or not 0 <= value < MAX_AMOUNT:
        raise InvalidAmount("an amount is text like 1.5QXC, or an integer of base units below 2^128")
    return value


def read_bytes(value: bytes | str) -> bytes:
    """Bytes, or lower-case hex with 0x. Raises MalformedBytes."""
    return value if isinstance(value, bytes) else codec_for(bytes).from_json(value)


def read_argument(hint: Any, value: Any, lookup: DecimalsLookup | None = None) -> Plain:
    """The typed value of one argument whose declared type is `hint`.

    Raises InvalidAddress, InvalidAmount, UnknownDenomination or MalformedBytes.
    """
    if isinstance(value, Reference):
        return value
    if isinstance(value, dict) and set(value) == {"$"}:
        match value["$"]:
            case [int() as index, str() as field]:
                return ref(index, field)
        raise InvalidReference('a reference is {"$": [message number, "field"]}')
    return codec_for(hint).check(_typed(hint, value, lookup))


def read_arguments(
    face: MessageFace | QueryFace, arguments: Mapping[str, Any], lookup: DecimalsLookup | None = None
) -> tuple[Plain, ...]:
    """Arguments in declared order. Optional ones may be missing.

    Raises InvalidArguments naming what is unknown, missing or of a wrong type, or the value's own
    typed error (InvalidAddress, InvalidAmount) with the argument's name in front.
    """
    names = [name for name, _ in face.parameters]
    unknown = [ascii(str(name)[:40]) for name in arguments if name not in names]
    missing = [name for name, hint in face.parameters if name not in arguments and not _is_optional(hint)]
    if unknown or missing:
        told = [f"unknown arguments {', '.join(unknown)}"] if unknown else []
        told += [f"missing arguments {', '.join(missing)}"] if missing else []
        raise InvalidArguments(f"{face.name}: {'; '.join(told)} (it takes: {', '.join(names) or 'none'})")
    values = []
    for name, hint in face.parameters:
        try:
            values.append(read_argument(hint, arguments.get(name), lookup))
        except MalformedBytes as error:
            raise InvalidArguments(f"{face.name}: {name}: {error.message}") from None
        except (InvalidAddress, InvalidAmount) as error:
            raise type(error)(f"{face.name}: {name}: {error.message}", hint=error.hint) from None
    return tuple(values)


def read_fee(value: Fee | int | str | None, gas_limit: int, tip: int | str = 0) -> Fee:
    """A whole fee from what a caller gave: a Fee, or the most to pay with a gas limit and a tip.

    Raises InvalidAmount.
    """
    if isinstance(value, Fee):
        return value
    return Fee(read_amount(value if value is not None else 0), gas_limit, read_amount(tip) if tip else 0)


def build_transaction(
    chain_id: str,
    signers: Sequence[Signer],
    messages: Sequence[Message],
    fee: Fee,
    valid_until: int,
    lease: bytes | None = None,
    memo: str = "",
) -> Transaction:
    """An unsigned transaction, checked as strictly as the chain does (signatures are missing).

    `valid_until` has no default on purpose: it is what makes an unknown outcome end. A `lease` of 32
    bytes makes a retry safe: a second transaction with it cannot land before the first expires.
    Raises MalformedBytes, TooLarge, DuplicateSigner or UnusedSigner.
    """
    return decode_body(encode_body(chain_id, signers, messages, fee, valid_until, lease, memo))


def find_face(faces: Mapping[str, MessageFace], name: str) -> MessageFace:
    """The message called `name`. Raises UnknownMessage with the nearest names as a hint."""
    face = faces.get(name)
    if face is None:
        module = name.partition(".")[0]
        near = sorted(known for known in faces if known.startswith(module + "."))[:12]
        hint = f"{module} has: {', '.join(near)}" if near else "this version of the SDK knows no such module"
        raise UnknownMessage(f"no message is called {name[:64]!a}", hint=hint)
    return face


def _is_optional(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


def _typed(hint: Any, value: Any, lookup: DecimalsLookup | None) -> Any:
    """`value` in the form that the codec of `hint` checks; what is not recognised stays as it is."""
    if hint is Address:
        return read_address(value)
    if hint is Coin and isinstance(value, str):
        return parse_coin(value, lookup)
    if hint is Coin and isinstance(value, int | float):
        raise InvalidAmount(
            f"{value!r} has no denomination; write it like 1.5QXC, or Coin('QXC', 1_500_000_000)"
        )
    if _is_optional(hint):
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        return None if value is None else _typed(inner, value, lookup)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if any(isinstance(mark, Quantity) for mark in parts[1:]):
            return parse_coin(value, lookup).amount if isinstance(value, str) else read_amount(value)
        return _typed(parts[0], value, lookup)
    if (hint is bytes) and isinstance(value, str):
        return codec_for(bytes).from_json(value)
    if origin is tuple and isinstance(value, list | tuple):
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_typed(parts[0], item, lookup) for item in value)
        if len(parts) == len(value):
            return tuple(_typed(part, item, lookup) for part, item in zip(parts, value, strict=True))
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        return _typed_record(hint, value, lookup)
    return value


def _typed_record(record: type, value: Any, lookup: DecimalsLookup | None) -> Any:
    fields = fields_of(record)
    if isinstance(value, dict):
        if set(value) != set(fields):
            raise MalformedBytes(f"{record.__name__} has the fields {', '.join(fields)}")
        return tuple(_typed(hint, value[name], lookup) for name, hint in fields.items())
    if isinstance(value, list | tuple) and len(value) == len(fields):
        return tuple(_typed(hint, item, lookup) for hint, item in zip(fields.values(), value, strict=True))
    return value
