"""One value, one encoding: strict MessagePack and typed records.

`encode` and `decode` speak the canonical form of the protocol: MessagePack
without float, map and timestamp; records are arrays of all fields in order;
integers outside 64 bits are ext 1 (magnitude, big-endian) or ext 2 (negative);
ext 3 is a reference to an earlier message's result. `decode` encodes what it
read again and refuses what differs, because the libraries accept non-minimal
forms by themselves.

`codec_for(T)` compiles a type into the four directions (check, JSON out, JSON
in, JSON Schema), so that a record is declared once.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, Generic, TypeVar

import msgpack

from qenex.checks import Steps, calling, compiled, fixed, keeping, listing, optional
from qenex.crypto.address import Address, decode_address, encode_address
from qenex.errors import InvalidAddress, MalformedBytes, QenexError, TooLarge
from qenex.types import (
    MAX_AMOUNT,
    MAX_INTEGER,
    Between,
    DenominationName,
    Instant,
    Length,
    Quantity,
    Unsigned,
)

Plain = Any
"""None, bool, int, bytes, str, Reference, or a tuple of these."""

EXT_POSITIVE, EXT_NEGATIVE, EXT_REFERENCE = 1, 2, 3
MAX_ITEMS = 4_096
"""Items of one array. Bounds what a nest of claimed array sizes can allocate to 16 MiB."""

MAX_EXTENSION_SIZE = 128
"""Bytes of an extension: 32 of an integer, or a reference."""

MAX_VALUE_SIZE = 64 * 1024
"""Bytes of a text or byte string whose type states no bound of its own."""

_DENOM_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/")
T = TypeVar("T")


class Reference:
    """The value of `field` in the result of an earlier message of the same transaction."""

    __slots__ = ("field", "index")

    def __init__(self, index: int, field: str) -> None:
        self.index = index
        self.field = field

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and (self.index, self.field) == (other.index, other.field)

    def __hash__(self) -> int:
        return hash((self.index, self.field))

    def __repr__(self) -> str:
        return f"Reference({self.index}, {self.field!r})"


def pack_other(value: object) -> msgpack.ExtType:
    """msgpack's `default` hook: integers beyond 64 bits, and references."""
    if type(value) is int:
        magnitude = -value if value < 0 else value
        if magnitude >= MAX_INTEGER:
            raise ValueError("integer beyond 2^256")
        data = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
        return msgpack.ExtType(EXT_NEGATIVE if value < 0 else EXT_POSITIVE, data)
    if type(value) is Reference:
        pair = msgpack.packb([value.index, value.field])
        if len(pair) > MAX_EXTENSION_SIZE:
            raise ValueError("reference to a field with too long a name")
        return msgpack.ExtType(EXT_REFERENCE, pair)
    raise TypeError(f"{type(value).__name__} has no encoding")


def unpack_ext(code: int, data: bytes) -> int | Reference:
    """msgpack's `ext_hook`, inverse of `pack_other`."""
    if code == EXT_POSITIVE and len(data) <= 32:
        return int.from_bytes(data, "big")
    if code == EXT_NEGATIVE and len(data) <= 32:
        return -int.from_bytes(data, "big")
    if code == EXT_REFERENCE:
        pair = msgpack.unpackb(data, max_array_len=2)
        if type(pair) is list and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) is str:
            return Reference(pair[0], pair[1])
    raise ValueError("unknown extension type")


_idle_packers: list[msgpack.Packer] = []


def pack(value: Plain) -> bytes:
    """As `encode`, but raises whatever msgpack raises: for those who translate its errors themselves.

    A packer is used again by whoever comes next (0.16 us for a small record; `msgpack.packb` makes a new
    one with its buffer each time, 0.43 us). Taking it off the list makes it this caller's alone, in any
    thread; one that raised is not put back.
    """
    try:
        packer = _idle_packers.pop()
    except IndexError:
        packer = msgpack.Packer(default=pack_other)
    packed: bytes = packer.pack(value)
    _idle_packers.append(packer)
    return packed


def encode(value: Plain) -> bytes:
    """Return the canonical bytes of a plain value or a record (a tuple of plain values).

    Raises MalformedBytes for what has no encoding, such as integers beyond 2^256. Floats and maps are
    not looked for (this runs for every state value): the typed `check` is what keeps them out.
    """
    try:
        return pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedBytes(f"cannot encode: {error}") from None


def decode(data: bytes, *, max_size: int, max_items: int = MAX_ITEMS) -> Plain:
    """Read one canonical plain value; arrays come back as tuples.

    `max_size` bounds the bytes, `max_items` each array. Raises TooLarge or MalformedBytes.
    The result may still hold a type the protocol has no use for: typed decoding refuses that.
    """
    if len(data) > max_size:
        raise TooLarge(f"{len(data)} bytes, at most {max_size} allowed")
    try:
        value = msgpack.unpackb(
            data,
            use_list=False,
            ext_hook=unpack_ext,
            max_array_len=max_items,
            max_map_len=0,
            max_ext_len=MAX_EXTENSION_SIZE,
        )
        again = pack(value)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MalformedBytes(f"not canonical MessagePack: {str(error)[:120]}") from None
    if again != data:
        raise MalformedBytes("not the one canonical encoding of this value")
    return value


class Codec(Generic[T]):
    """What a type needs at every border. Made by `codec_for`.

    `check(plain)` returns the typed value or raises MalformedBytes; `to_json(value, prefix)` and
    `from_json(json)` convert (addresses take the network's `prefix`); `schema` is JSON Schema.
    `steps` are what `check` does, to be compiled: that of a type with parts is, when it is first used, so who calls it
    often asks for it each time. `careful` is the same part by part; it says what is wrong.
    """

    __slots__ = ("careful", "check", "from_json", "name", "schema", "steps", "to_json")

    def __init__(
        self,
        name: str,
        check: Callable[[Plain], T],
        to_json: Callable[[T, str], Any],
        from_json: Callable[[Any], T],
        schema: dict[str, Any],
        steps: Steps | None = None,
        *,
        compile_check: bool = False,
    ) -> None:
        self.name = name
        self.careful = self.check = check
        self.to_json = to_json
        self.from_json = from_json
        self.schema = schema
        self.steps = steps or calling(check)
        if compile_check:
            self.check = self._first

    def _first(self, value: Plain) -> T:
        if self.check == self._first:
            self.check = compiled(self.steps, self.careful, self.name)
        return self.check(value)

    def check_none(self) -> bool:
        """Whether None is a value of this type (an argument that may be left out)."""
        return self.schema.get("type") == "null" or {"type": "null"} in self.schema.get("anyOf", ())

    def encode(self, value: T) -> bytes:
        """Canonical bytes of `value`."""
        return encode(value)

    def decode(self, data: bytes, *, max_size: int, max_items: int = MAX_ITEMS) -> T:
        """Typed value of canonical bytes. Raises TooLarge or MalformedBytes."""
        return self.check(decode(data, max_size=max_size, max_items=max_items))


def _fail(expected: str, got: object) -> MalformedBytes:
    return MalformedBytes(f"expected {expected}, got {_shown(got)}")


def _shown(got: object) -> str:
    """A foreign value for an error message, bounded: `repr` of a nest recurses, of 4 MiB takes long."""
    if isinstance(got, str | bytes):
        return repr(got) if len(got) <= 40 else f"{got[:40]!r}... of length {len(got)}"
    if isinstance(got, tuple | list | dict):
        return f"a {'list' if isinstance(got, tuple) else type(got).__name__} of {len(got)}"
    shown = repr(got) if isinstance(got, int | float | Reference | None) else type(got).__name__
    return shown if len(shown) <= 60 else shown[:60] + "..."


def _integer(low: int, high: int, name: str) -> Codec[int]:
    as_text = high > 2**64 or low < -(2**63)

    def check(value: Plain) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _fail(name, value)
        return value

    def from_json(value: Any) -> int:
        if as_text and type(value) is str:
            digits = value[1:] if value.startswith("-") else value
            if digits.isascii() and digits.isdigit() and len(digits) <= 78 and str(int(value)) == value:
                return check(int(value))
            raise _fail(f"{name} as a decimal string", value)
        if as_text:
            raise _fail(f"{name} as a decimal string", value)
        return check(value)

    schema: dict[str, Any]
    steps = keeping(f"type({{}}) is int and {low} <= {{}} <= {high}")
    if as_text:
        schema = {"type": "string", "pattern": "^(0|-?[1-9][0-9]*)$", "description": name}
        return Codec(name, check, lambda value, prefix: str(value), from_json, schema, steps)
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Codec(name, check, lambda value, prefix: value, from_json, schema, steps)


def _boolean() -> Codec[bool]:
    def check(value: Plain) -> bool:
        if type(value) is not bool:
            raise _fail("true or false", value)
        return value

    steps = keeping("type({}) is bool")
    return Codec("bool", check, lambda value, prefix: value, check, {"type": "boolean"}, steps)


def _bytes(low: int, high: int) -> Codec[bytes]:
    name = f"{low} bytes" if low == high else f"{low} to {high} bytes"

    def check(value: Plain) -> bytes:
        if type(value) is not bytes or not low <= len(value) <= high:
            raise _fail(name, value)
        return value

    def from_json(value: Any) -> bytes:
        if type(value) is not str or not value.startswith("0x") or value != value.lower():
            raise _fail("lower-case hex with 0x", value)
        try:
            return check(bytes.fromhex(value[2:]) if value[2:].isalnum() or value == "0x" else None)
        except ValueError:
            raise _fail("lower-case hex with 0x", value) from None

    schema = {"type": "string", "pattern": f"^0x([0-9a-f]{{2}}){{{low},{high}}}$"}
    steps = keeping(f"type({{}}) is bytes and {low} <= len({{}}) <= {high}")
    return Codec(name, check, lambda value, prefix: "0x" + value.hex(), from_json, schema, steps)


def _text(low: int, high: int) -> Codec[str]:
    name = f"text of {low} to {high} bytes"

    def check(value: Plain) -> str:
        if type(value) is not str:
            raise _fail(name, value)
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise _fail("well-formed Unicode", value) from None
        if not low <= size <= high:
            raise _fail(name, value)
        return value

    schema = {"type": "string", "maxLength": high}
    return Codec(name, check, lambda value, prefix: value, check, schema)


def is_denom(value: object) -> bool:
    """Whether `value` is a well-formed denomination name (it need not exist)."""
    return (
        type(value) is str
        and 3 <= len(value) <= 64
        and value[0].isascii()
        and value[0].isalpha()
        and _DENOM_CHARACTERS.issuperset(value)
    )


@lru_cache(maxsize=4_096)
def _denom(value: str) -> str:
    """A denomination, the same object each time. Raises MalformedBytes."""
    if not is_denom(value):
        raise _fail("a denomination of 3 to 64 characters", value)
    return value


def _denomination() -> Codec[str]:
    def check(value: Plain) -> str:
        if type(value) is not str:
            raise _fail("a denomination of 3 to 64 characters", value)
        return _denom(value)

    schema = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._/-]{2,63}$"}
    steps = calling(_denom, "type({}) is str")
    return Codec("denomination", check, lambda value, prefix: value, check, schema, steps)


def _address() -> Codec[Address]:
    def check(value: Plain) -> Any:  # an Address, without a call that makes bytes into one
        if type(value) is not bytes or len(value) != 32:
            raise _fail("a 32-byte address", value)
        return value

    def from_json(value: Any) -> Address:
        if type(value) is not str:
            raise InvalidAddress(f"an address is text like qx1..., got {type(value).__name__}")
        return decode_address(value)

    schema = {"type": "string", "pattern": "^(qx|tqx)1[02-9ac-hj-np-z]{59}$"}
    steps = keeping("type({}) is bytes and len({}) == 32")
    return Codec("address", check, encode_address, from_json, schema, steps)


_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?Z")


def time_to_text(time_ns: int) -> str:
    """RFC 3339 UTC text with nanoseconds, e.g. 2026-01-02T03:04:05.000000006Z."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{nanoseconds:09d}Z"


def time_from_text(text: str) -> int:
    """Integer nanoseconds of an RFC 3339 UTC text. Raises MalformedBytes."""
    found = _TIME.fullmatch(text) if type(text) is str else None
    try:
        if found is None:
            raise ValueError
        *parts, fraction = found.groups()
        year, month, day, hour, minute, second = (int(part) for part in parts)
        since = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - datetime(
            1970, 1, 1, tzinfo=UTC
        )
        if since.days < 0:
            raise ValueError
        return (since.days * 86_400 + since.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))
    except ValueError:
        raise _fail("RFC 3339 UTC time such as 2026-01-02T03:04:05Z", text) from None


def _instant() -> Codec[int]:
    def check(value: Plain) -> int:
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise _fail("nanoseconds since 1970", value)
        return value

    schema = {"type": "string", "format": "date-time"}
    return Codec(
        "time",
        check,
        lambda value, prefix: time_to_text(value),
        lambda text: check(time_from_text(text)),
        schema,
        keeping(f"type({{}}) is int and 0 <= {{}} < {1 << 63}"),
    )


def _optional(inner: Codec[Any]) -> Codec[Any]:
    return Codec(
        f"{inner.name} or nothing",
        lambda value: None if value is None else inner.check(value),
        lambda value, prefix: None if value is None else inner.to_json(value, prefix),
        lambda value: None if value is None else inner.from_json(value),
        {"anyOf": [inner.schema, {"type": "null"}]},
        optional(inner.steps),
    )


def _list(inner: Codec[Any], low: int, high: int) -> Codec[tuple[Any, ...]]:
    name = f"list of {inner.name}"
    item_to_json, item_from_json = inner.to_json, inner.from_json

    def bounded(value: Any, kind: type) -> Any:
        if not isinstance(value, kind) or not low <= len(value) <= high:  # type: ignore[arg-type]  # tuple or list
            raise _fail(f"{name} with {low} to {high} items", value)
        return value

    return Codec(
        name,
        lambda value: tuple([inner.check(item) for item in bounded(value, tuple)]),
        lambda value, prefix: [item_to_json(item, prefix) for item in value],
        lambda value: tuple([item_from_json(item) for item in bounded(value, list)]),
        {"type": "array", "items": inner.schema, "minItems": low, "maxItems": high},
        listing(inner.steps, low, high),
        compile_check=True,
    )


def tuple_codec(parts: Sequence[Codec[Any]]) -> Codec[tuple[Any, ...]]:
    """The codec of a tuple with one value of each of these types."""
    name = "(" + ", ".join(part.name for part in parts) + ")"

    def sized(value: Any, kind: type) -> Any:
        if not isinstance(value, kind) or len(value) != len(parts):  # type: ignore[arg-type]  # tuple or list
            raise _fail(name, value)
        return value

    return Codec(
        name,
        lambda value: tuple([p.check(v) for p, v in zip(parts, sized(value, tuple), strict=True)]),
        lambda value, prefix: [p.to_json(v, prefix) for p, v in zip(parts, value, strict=True)],
        lambda value: tuple([p.from_json(v) for p, v in zip(parts, sized(value, list), strict=True)]),
        {
            "type": "array",
            "prefixItems": [p.schema for p in parts],
            "minItems": len(parts),
            "maxItems": len(parts),
        },
        fixed([part.steps for part in parts]),
        compile_check=True,
    )


def fields_of(record: type) -> dict[str, Any]:
    """Resolved field types of a record class, in wire order."""
    return {
        name: hint
        for name, hint in typing.get_type_hints(record, include_extras=True).items()
        if name in record._fields  # type: ignore[attr-defined]  # NamedTuple classes have it
    }


def _record(record: type) -> Codec[Any]:
    names = list(fields_of(record))
    parts = [codec_for(hint) for hint in fields_of(record).values()]
    count = len(parts)
    title = record.__name__
    new = tuple.__new__

    def check(value: Plain) -> Any:
        if not isinstance(value, tuple) or len(value) != count:
            raise _fail(f"{title} with {count} fields", value)
        try:
            return new(record, [part.check(item) for part, item in zip(parts, value, strict=True)])
        except MalformedBytes as error:
            raise MalformedBytes(f"{title}: {error.message}") from None

    def to_json(value: Any, prefix: str) -> dict[str, Any]:
        return {n: p.to_json(v, prefix) for n, p, v in zip(names, parts, value, strict=True)}

    def from_json(value: Any) -> Any:
        if type(value) is not dict:
            raise _fail(f"an object with the fields of {title}", value)
        if len(value) != count or any(n not in value for n in names):
            unknown = sorted(str(n)[:40] for n in value if n not in names)[:5]
            missing = [n for n in names if n not in value]
            raise MalformedBytes(f"{title}: unknown fields {unknown}, missing fields {missing}")
        values = []
        for name, part in zip(names, parts, strict=True):
            try:
                values.append(part.from_json(value[name]))
            except QenexError as error:
                raise type(error)(f"{title}.{name}: {error.message}", hint=error.hint) from None
        return new(record, values)

    schema = {
        "type": "object",
        "title": title,
        "properties": {n: p.schema for n, p in zip(names, parts, strict=True)},
        "required": names,
        "additionalProperties": False,
    }
    steps = fixed([part.steps for part in parts], record)
    return Codec(title, check, to_json, from_json, schema, steps, compile_check=True)


def _nothing() -> Codec[None]:
    def check(value: Plain) -> None:
        if value is not None:
            raise _fail("nothing", value)

    return Codec("nothing", check, lambda value, prefix: None, check, {"type": "null"}, keeping("{} is None"))


def _annotated(hint: Any) -> Codec[Any]:
    base, *marks = typing.get_args(hint)
    for mark in marks:
        match mark:
            case Unsigned(bits):
                return _integer(0, (1 << bits) - 1, f"unsigned {bits}-bit integer")
            case Between(low, high):
                return _integer(low, high, f"integer from {low} to {high}")
            case Quantity():
                return _integer(0, MAX_AMOUNT - 1, "amount of base units")
            case Instant():
                return _instant()
            case DenominationName():
                return _denomination()
            case Length(low, high) if base is bytes:
                return _bytes(low, high)
            case Length(low, high) if base is str:
                return _text(low, high)
            case Length(low, high) if typing.get_origin(base) is tuple:
                return _list(codec_for(typing.get_args(base)[0]), low, high)
            case _:
                continue
    raise TypeError(f"{hint} has no encoding")


@cache
def codec_for(hint: Any) -> Codec[Any]:
    """Compile a type: int, bool, bytes, str, None, Address, the aliases of `qenex.types`,
    `X | None`, `tuple[X, ...]`, `tuple[A, B]`, or a NamedTuple of these.

    Raises TypeError for any other type (at registration, never on user data).
    """
    if hint is int:
        return _integer(-MAX_INTEGER + 1, MAX_INTEGER - 1, "integer")
    if hint is bool:
        return _boolean()
    if hint is bytes:
        return _bytes(0, MAX_VALUE_SIZE)
    if hint is str:
        return _text(0, MAX_VALUE_SIZE)
    if hint is None or hint is type(None):
        return _nothing()
    if hint is Address:
        return _address()
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _annotated(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(inner) == 1 and len(typing.get_args(hint)) == 2:
            return _optional(codec_for(inner[0]))
    if origin is tuple:
        parts = typing.get_args(hint)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return _list(codec_for(parts[0]), 0, MAX_ITEMS)
        return tuple_codec([codec_for(part) for part in parts])
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _record(hint)
    raise TypeError(f"{hint!r} has no encoding")
