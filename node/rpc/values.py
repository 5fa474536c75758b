"""Parameter types that only the RPC has, as codecs beside those of `qenex.codec`.

They read JSON and describe themselves; none of them travels in MessagePack.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, NoReturn

from node.rpc.strict_json import Json
from node.service import EARLIEST, LATEST
from qenex.codec import Codec, codec_for
from qenex.crypto.address import Address
from qenex.errors import InvalidParams, QenexError
from qenex.types import Between

TOPICS: Final = ("blocks", "transactions", "events")
MAX_LIMIT: Final = 100
"""Items of one page."""


@dataclass(frozen=True, slots=True)
class _Special:
    kind: str


At = Annotated[int, _Special("at")]
"""A height, or LATEST or EARLIEST."""
TransactionInput = Annotated[Any, _Special("transaction")]
"""Raw bytes (from hex) or the JSON form, a dict; read by the handler, whose errors are those of entry."""
Timeout = Annotated[int, Between(0, 60_000)]
"""Milliseconds that a call may wait."""
Cursor = Annotated[str, _Special("cursor")]
Limit = Annotated[int, Between(1, MAX_LIMIT)]


class EventFilter(NamedTuple):
    """What events a caller wants; None means any. `event` is a prefix such as `bank.` or a whole name."""

    event: str | None = None
    address: Address | None = None


Topic = Annotated[Literal["blocks", "transactions", "events"], _Special("topic")]
EventFilterInput = Annotated[EventFilter, _Special("event_filter")]


def _refuse(expected: str, got: object) -> NoReturn:
    raise InvalidParams(f"expected {expected}, got {ascii(got)[:60]}")


def _not_wire(value: Any) -> NoReturn:
    raise TypeError("a parameter type of the RPC has no wire form")


def _codec(name: str, from_json: Callable[[Any], Any], schema: dict[str, Any]) -> Codec[Any]:
    return Codec(name, _not_wire, lambda value, prefix: value, from_json, schema)


def _at(value: Json) -> int:
    if type(value) is int and 0 <= value < 1 << 63:
        return value
    if value == "latest":
        return LATEST
    if value == "earliest":
        return EARLIEST
    _refuse('a height, "latest" or "earliest"', value)


def _transaction(value: Json) -> bytes | dict[str, Json]:
    if type(value) is dict:
        return value
    if type(value) is str and value.startswith("0x"):
        digits = value[2:]
        try:
            data = bytes.fromhex(digits)
        except ValueError:
            data = b""
        if data.hex() == digits:  # fromhex takes capitals and skips blanks
            return data
    _refuse("a transaction as lower-case hex with 0x, or as a JSON object", value)


def _cursor(value: Json) -> str:
    if type(value) is str and 1 <= len(value) <= 128 and value.isascii() and value.isprintable():
        return value
    _refuse("a cursor from an earlier answer", value)


def _topic(value: Json) -> str:
    if type(value) is str and value in TOPICS:
        return value
    _refuse(f"one of {', '.join(TOPICS)}", value)


_ADDRESS: Codec[Address] = codec_for(Address)


def _event_filter(value: Json) -> EventFilter:
    if type(value) is not dict:
        _refuse("an object with event and/or address", value)
    unknown = [ascii(name[:40]) for name in value if name not in EventFilter._fields][:5]
    if unknown:
        raise InvalidParams(f"unknown fields {', '.join(unknown)}; a filter has event and address")
    event, address = value.get("event"), value.get("address")
    if event is not None and (type(event) is not str or not 1 <= len(event) <= 64 or not event.isascii()):
        _refuse("event: a name or a prefix of one, 1 to 64 ASCII characters", event)
    try:
        return EventFilter(event, None if address is None else _ADDRESS.from_json(address))
    except QenexError as error:
        raise type(error)(f"address: {error.message}", hint=error.hint) from None


_SPECIAL: dict[str, Codec[Any]] = {
    "at": _codec(
        "height or label",
        _at,
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "enum": ["latest", "earliest"]}]},
    ),
    "transaction": _codec(
        "transaction",
        _transaction,
        {"anyOf": [{"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}, {"type": "object"}]},
    ),
    "topic": _codec("topic", _topic, {"type": "string", "enum": list(TOPICS)}),
    "cursor": _codec("cursor", _cursor, {"type": "string", "minLength": 1, "maxLength": 128}),
    "event_filter": _codec(
        "event filter",
        _event_filter,
        {
            "type": "object",
            "title": "EventFilter",
            "properties": {
                "event": {"type": ["string", "null"], "minLength": 1, "maxLength": 64},
                "address": {"anyOf": [_ADDRESS.schema, {"type": "null"}]},
            },
            "additionalProperties": False,
        },
    ),
}


@lru_cache(maxsize=16_384)
def _known_address(text: str) -> Address:
    return _ADDRESS.from_json(text)


def _address(value: Json) -> Address:
    return _known_address(value) if type(value) is str and len(value) <= 90 else _ADDRESS.from_json(value)


_FAST_ADDRESS: Final = Codec(_ADDRESS.name, _ADDRESS.check, _ADDRESS.to_json, _address, _ADDRESS.schema)
"""Remembers 16,384 addresses (4 MiB): their checksums are a third of the time of a balance read."""


def remembering(codec: Codec[Any]) -> Codec[Any]:
    """The same codec, for a parameter that is an address one that remembers what it decoded."""
    return _FAST_ADDRESS if codec is _ADDRESS else codec


def codec_of(hint: Any) -> Codec[Any]:
    """Return the codec of a parameter's or result's type, the RPC's own types included.

    Raises TypeError at declaration for a type that has none.
    """
    if typing.get_origin(hint) is Annotated:
        for mark in typing.get_args(hint)[1:]:
            if isinstance(mark, _Special):
                return _SPECIAL[mark.kind]
    parts = typing.get_args(hint)
    if len(parts) == 2 and type(None) in parts and typing.get_origin(hint) is not tuple:
        inner = codec_of(next(part for part in parts if part is not type(None)))
        return Codec(
            f"{inner.name} or nothing",
            _not_wire,
            lambda value, prefix: None if value is None else inner.to_json(value, prefix),
            lambda value: None if value is None else inner.from_json(value),
            {"anyOf": [inner.schema, {"type": "null"}]},
        )
    return remembering(codec_for(hint))
