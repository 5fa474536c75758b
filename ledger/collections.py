"""Typed collections over the state: what a module declares instead of touching raw keys.

Declared on the module class, bound to a state when a machine is built:

    balances = Map(1, key=(Address, Denom), value=Amount)

`Map` has no iteration (order would cost an index); `OrderedMap` pages by key bytes; `Item` is one
value; `Counter` hands out 1, 2, 3, ... The value's schema number is the first element of its encoding,
so that an old record stays decodable (`older`) and is rewritten in the new form on its next write.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

import msgpack

from ledger.state import State, ValueCodec
from qenex.codec import MAX_ITEMS, MAX_VALUE_SIZE, Plain, codec_for, fields_of, pack, unpack_ext
from qenex.errors import LimitExceeded, MalformedBytes, ValueOutOfRange, ValueTooLarge
from qenex.state_keys import Account, key_part
from qenex.types import U64, DenominationName, Length

K = TypeVar("K")
V = TypeVar("V")

MAX_PAGE = 1_000
"""Entries of one page in execution."""


class RecordCodec:
    """Value codec: `[schema u8, fields...]` for a record, `[schema u8, value]` for anything else."""

    __slots__ = ("_head", "_older", "_record", "_schema", "_type")

    def __init__(self, hint: Any, schema: int, older: Mapping[int, Callable[[Plain], Any]]) -> None:
        self._type = codec_for(hint)
        self._record = isinstance(hint, type) and issubclass(hint, tuple)
        self._schema = schema
        self._head = (schema,)
        self._older = dict(older)

    def encode(self, value: Any) -> bytes:
        """Canonical bytes; raises ValueTooLarge beyond 64 KiB."""
        # Joining two tuples takes half the time of (schema, *value).
        data = pack(self._head + value if self._record else (self._schema, value))
        if len(data) > MAX_VALUE_SIZE:
            raise ValueTooLarge(f"state value of {len(data)} bytes")
        return data

    def decode(self, data: bytes) -> Any:
        """Value of stored bytes, old schemas upgraded. Raises MalformedBytes."""
        try:
            plain = msgpack.unpackb(data, use_list=False, ext_hook=unpack_ext, max_map_len=0)
            schema, fields = plain[0], plain[1:]
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            raise MalformedBytes(f"state value: {str(error)[:120]}") from None
        if schema != self._schema:
            upgrade = self._older.get(schema)
            if upgrade is None:
                raise MalformedBytes(f"state value has schema {schema}, this version knows {self._schema}")
            return upgrade(fields)
        if self._record:
            return self._type.check(fields)
        if len(fields) != 1:
            raise MalformedBytes("state value has a wrong number of fields")
        return self._type.check(fields[0])


class _LaidOut(RecordCodec):
    """Writes the usual values by their layout: 0.15 us each where msgpack takes 0.25.

    tests/ledger/test_collections.py holds the two against each other.
    """

    __slots__ = ("_start",)
    fields: ClassVar[int]
    """Of a value."""

    def __init__(self, hint: Any, schema: int, older: Mapping[int, Callable[[Plain], Any]]) -> None:
        super().__init__(hint, schema, older)
        if not 0 <= schema < 128:
            raise TypeError("the schema of what is encoded by its layout is one byte below 128")
        self._start = (0x90 + 1 + self.fields) << 8 | schema
        """An array of so many items, and the first of them."""


class AccountCodec(_LaidOut):
    """The same bytes for account records, of which a block encodes four a transfer."""

    __slots__ = ()
    fields = len(Account._fields)

    def encode(self, value: Any) -> bytes:
        sequence, balance, key, fee_tier, flags = value
        if 0 <= sequence < 128 and 0xFFFFFFFF < balance <= 0xFFFFFFFFFFFFFFFF and not fee_tier and not flags:
            size = len(key)
            if size == 33:
                return _WITH_KEY(self._start, sequence, 0xCF, balance, 0xC421, key, 0)
            if not size:
                return _WITHOUT_KEY(self._start, sequence, 0xCF, balance, 0xC400, 0)
        return super().encode(value)


class NumberCodec(_LaidOut):
    """The same bytes for collections of integers, balances first of all."""

    __slots__ = ()
    fields = 1

    def encode(self, value: Any) -> bytes:
        if 0xFFFFFFFF < value <= 0xFFFFFFFFFFFFFFFF:
            return _NUMBER(self._start, 0xCF, value)
        return super().encode(value)


_NUMBER: Final = Struct(">HBQ").pack
"""Start, 64 bits follow, value."""
_WITH_KEY: Final = Struct(">HBBQH33sH").pack
"""Start, sequence, 64 bits follow, balance, 33 bytes follow, key, two zeros for tier and flags."""
_WITHOUT_KEY: Final = Struct(">HBBQHH").pack


def _largest(hint: Any) -> int:
    """Upper bound of the encoded size of a type, in bytes (generous)."""
    if hint is str or hint is bytes:
        return MAX_VALUE_SIZE + 8
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        lengths = [mark.high for mark in arguments[1:] if isinstance(mark, Length)]
        if typing.get_origin(arguments[0]) is tuple:
            return 8 + min([MAX_ITEMS, *lengths]) * _largest(typing.get_args(arguments[0])[0])
        if arguments[0] in (bytes, str) and not any(isinstance(m, DenominationName) for m in arguments):
            return 8 + min([MAX_VALUE_SIZE, *lengths])
        return 80
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return 8 + MAX_ITEMS * _largest(arguments[0])
    if isinstance(hint, type) and issubclass(hint, tuple):
        return 8 + sum(_largest(part) for part in fields_of(hint).values())
    return 40 + sum(_largest(part) for part in arguments if part is not type(None))


class Collection(Generic[V]):
    """Base: a declared id and a value type; `bind` gives it a module and a state."""

    def __init__(
        self,
        id: int,
        value: Any,
        *,
        schema: int = 1,
        older: Mapping[int, Callable[[Plain], Any]] | None = None,
    ) -> None:
        if not 0 <= id <= 255:
            raise TypeError("a collection id is a u8")
        self.id = id
        self.value_hint = value
        kind = typing.get_args(value)[0] if typing.get_origin(value) is typing.Annotated else value
        codec = AccountCodec if value is Account else NumberCodec if kind is int else RecordCodec
        self.codec: ValueCodec = codec(value, schema, older or {})
        self._type = codec_for(value)
        self._sized = _largest(value) > MAX_VALUE_SIZE
        self.prefix = b""
        self.state: State

    def bind(self, module_id: int, state: State) -> Self:
        """A copy of the declaration that reads and writes `state`."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.prefix = bytes((module_id, self.id))
        bound.state = state
        return bound

    def _fit(self, value: V | None) -> V | None:
        """`value`, if it has its declared type and fits into 64 KiB.

        Found here, where a transaction can fail: at commit it would stop the chain, and a value that was
        kept as an object but cannot be read back would part the nodes that restarted from the others.
        Raises ValueOutOfRange or ValueTooLarge.
        """
        if value is None:
            return None
        try:
            value = self._type.check(value)
        except MalformedBytes as error:
            where = f"0x{self.prefix.hex()}"
            raise ValueOutOfRange(f"a value of state collection {where}: {error.message}") from None
        if self._sized:
            self.codec.encode(value)
        return value


class Item(Collection[V]):
    """One value."""

    def decode_key(self, state_key: bytes) -> None:
        """An item has no key: what an invariant of a touched item is told."""

    def get(self) -> V | None:
        """The value, or None before the first write."""
        return self.state.get(self.prefix)

    def set(self, value: V | None) -> None:
        """Write, or delete with None."""
        self.state.set(self.prefix, self._fit(value))


class Counter(Collection[int]):
    """Numbers 1, 2, 3, ...; stores the last one given."""

    def __init__(self, id: int) -> None:
        super().__init__(id, U64)

    def last(self) -> int:
        """The number given last, 0 if none was."""
        return self.state.get(self.prefix) or 0

    def next(self) -> int:
        """Take the next number."""
        value = self.last() + 1
        self.state.set(self.prefix, self._fit(value))
        return value

    def resume(self, last: int) -> None:
        """Go on after `last`, as the chain that a genesis was exported from would."""
        self.state.set(self.prefix, self._fit(last or None))


def _key_functions(hint: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if not isinstance(hint, tuple):
        encode_one, decode_one = key_part(hint)
        return encode_one, lambda data: decode_one(data, 0)[0]
    parts = [key_part(part) for part in hint]
    encoders = [part[0] for part in parts]

    def encode(key: Any) -> bytes:
        return b"".join([encoder(part) for encoder, part in zip(encoders, key, strict=True)])

    def decode(data: bytes) -> Any:
        at, values = 0, []
        for _, decoder in parts:
            value, at = decoder(data, at)
            values.append(value)
        return tuple(values)

    return encode, decode


class Map(Collection[V], Generic[K, V]):
    """Values by key. No iteration in execution."""

    def __init__(
        self,
        id: int,
        key: Any,
        value: Any,
        *,
        schema: int = 1,
        older: Mapping[int, Callable[[Plain], Any]] | None = None,
    ) -> None:
        super().__init__(id, value, schema=schema, older=older)
        self.key_hint = key
        self._encode_key, self._decode_key = _key_functions(key)

    def key_of(self, key: K) -> bytes:
        """The whole state key."""
        return self.prefix + self._encode_key(key)

    def decode_key(self, state_key: bytes) -> K:
        """Inverse of `key_of`."""
        return self._decode_key(state_key[2:])  # type: ignore[no-any-return]  # built from the declaration

    def get(self, key: K) -> V | None:
        """The value, or None."""
        return self.state.get(self.prefix + self._encode_key(key))

    def set(self, key: K, value: V | None) -> None:
        """Write, or delete with None."""
        self.state.set(self.prefix + self._encode_key(key), self._fit(value))

    def scan(self) -> Iterator[tuple[K, V]]:
        """Every committed entry, in key order: for full invariants, genesis export and queries only.

        Sees no uncommitted write of a `Map` (an `OrderedMap` sees its own).
        """
        for key, value in self.state.iterate(self.prefix, end_of_prefix(self.prefix)):
            yield self.decode_key(key), value


class OrderedMap(Map[K, V]):
    """A map that can be read in pages, in order of the encoded key."""

    def set(self, key: K, value: V | None) -> None:
        """Write, or delete with None."""
        self.state.set_ordered(self.prefix + self._encode_key(key), self._fit(value))

    def page(
        self, *, after: K | None = None, prefix: bytes = b"", limit: int, reverse: bool = False
    ) -> list[tuple[K, V]]:
        """At most `limit` (<= 1,000) entries whose encoded key starts with `prefix`, beyond `after`.

        A list, made before the caller's first write. Raises LimitExceeded.
        """
        if not 0 <= limit <= MAX_PAGE:
            raise LimitExceeded(f"a page has at most {MAX_PAGE} entries")
        return self._first(after, prefix, limit, reverse)

    def page_and_more(
        self, *, after: K | None = None, prefix: bytes = b"", limit: int
    ) -> tuple[list[tuple[K, V]], bool]:
        """A `page`, and whether more follows it: what a query with a cursor needs. Raises LimitExceeded."""
        if not 1 <= limit <= MAX_PAGE:
            raise LimitExceeded(f"a page has 1 to {MAX_PAGE} entries")
        entries = self._first(after, prefix, limit + 1, False)
        return entries[:limit], len(entries) > limit

    def _first(self, after: K | None, prefix: bytes, limit: int, reverse: bool) -> list[tuple[K, V]]:
        start = self.prefix + prefix
        stop = end_of_prefix(start)
        if after is not None and reverse:
            stop = min(stop, self.key_of(after))
        elif after is not None:
            start = max(start, self.key_of(after) + b"\x00")
        entries: list[tuple[K, V]] = []
        if limit == 0 or start >= stop:
            return entries
        for key, value in self.state.iterate(start, stop, reverse=reverse):
            entries.append((self.decode_key(key), value))
            if len(entries) == limit:
                break
        return entries


def end_of_prefix(prefix: bytes) -> bytes:
    """Smallest key above all keys that start with `prefix` (not empty, not all FF)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))
