"""The genesis: what a chain starts from, and the hash that names it.

A file is JSON, read strictly; the hash is over a canonical record instead, so layout,
order of names and order of validators do not matter. In the record the data of
modules and parameters, whose meaning only the modules know, is written so that no two
JSON values have one encoding: text, integers, true, false and null as themselves, a
list as `[0, [items...]]`, an object as `[1, [[name, value], ...]]` ascending by encoded
name. Floats have no place on a chain and are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from qenex.block import MAX_VALIDATORS, VALIDATOR, Validator, order_validators
from qenex.codec import Plain, decode, encode, time_from_text, time_to_text
from qenex.crypto import SCHEMES_BY_TAG
from qenex.crypto.address import ADDRESS_SIZE
from qenex.errors import InvalidGenesis, MalformedBytes, QenexError, TooLarge
from qenex.hashing import hasher
from qenex.limits import check, signature_sizes
from qenex.proposers import MAX_TOTAL_POWER
from qenex.types import MAX_INTEGER

Json: TypeAlias = Any
"""None, bool, int, str, or lists and string-keyed dicts of these. No float."""
JsonObject: TypeAlias = dict[str, Json]
T = TypeVar("T")

SCHEMA_VERSION: Final = 1
MAX_SIZE: Final = 64 << 20
"""Bytes of a genesis file, and of its canonical record."""
MAX_CONTAINERS: Final = 4_000_000
MAX_PARTS: Final = 16_000_000
"""Objects and lists, and items in them: what bounds the memory that parsing takes."""
MAX_DEPTH: Final = 24
"""Levels of lists and objects inside one module's data."""
MAX_NAME_SIZE: Final = 256
"""Characters of a name in an object."""
PART_ITEMS: Final = 500
"""Of a list in one part of the text: about 1 ms."""
MAX_HEIGHT: Final = (1 << 63) - 1
SIMULATED: Final = "sim-"
"""Such chains are signed with a scheme that anybody can forge: no genesis may name one."""

_FIELDS = (
    "schema_version",
    "chain_id",
    "time",
    "initial_height",
    "protocol_version",
    "parameters",
    "validators",
    "modules",
)
_CHAIN_ID = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_MODULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LIST, _OBJECT = 0, 1

hash_genesis = hasher("qx.genesis")


class _Fraction:
    """A number of the file that is no integer, kept so that its place can be named."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True)
class Genesis:
    """Checked at construction: an instance is valid, apart from what only the modules can judge.

    `time` in ns since 1970; `initial_height` of the first block, at least 1; `parameters` and
    `modules` are JSON objects by module name, to be left unchanged; `validators` come out in
    canonical order (power descending, then address), `key` is scheme tag + public key.
    Raises InvalidGenesis naming the field.
    """

    chain_id: str
    time: int
    validators: tuple[Validator, ...]
    modules: Mapping[str, JsonObject]
    parameters: Mapping[str, JsonObject]
    initial_height: int = 1
    protocol_version: int = 1
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _integer("schema_version", self.schema_version, 1, (1 << 32) - 1)
        if self.schema_version != SCHEMA_VERSION:
            raise _invalid("schema_version", f"{self.schema_version}; this program knows {SCHEMA_VERSION}")
        if type(self.chain_id) is not str or not _CHAIN_ID.fullmatch(self.chain_id):
            raise _invalid(
                "chain_id", "3 to 32 characters of a-z 0-9 -, the first a letter, the last no hyphen"
            )
        if self.chain_id.startswith(SIMULATED):
            raise _invalid("chain_id", f"chains that begin with {SIMULATED} exist in the simulator only")
        _integer("time", self.time, 0, (1 << 63) - 1)
        _integer("initial_height", self.initial_height, 1, MAX_HEIGHT)
        _integer("protocol_version", self.protocol_version, 1, (1 << 32) - 1)
        object.__setattr__(self, "validators", _checked_validators(self.validators))
        object.__setattr__(self, "parameters", _checked_modules("parameters", self.parameters))
        object.__setattr__(self, "modules", _checked_modules("modules", self.modules))
        # At once, not when first asked for: it says that everything has an encoding.
        if len(self.record) > MAX_SIZE:
            raise InvalidGenesis(f"the genesis has {len(self.record)} bytes, at most {MAX_SIZE} allowed")

    @cached_property
    def record(self) -> bytes:
        """Canonical bytes: `[schema_version, chain_id, time, initial_height, protocol_version,
        parameters, validators, modules]`.
        """
        try:
            return encode(
                (
                    self.schema_version,
                    self.chain_id,
                    self.time,
                    self.initial_height,
                    self.protocol_version,
                    _plain(self.parameters, "parameters", 0),
                    self.validators,
                    _plain(self.modules, "modules", 0),
                )
            )
        except MalformedBytes as error:
            raise InvalidGenesis(f"the genesis has no encoding: {error.message}") from None

    @cached_property
    def hash(self) -> bytes:
        """`H("qx.genesis", record)`: the identity of the chain."""
        return hash_genesis(self.record)

    # -- JSON ------------------------------------------------------------------------------

    def to_json(self, prefix: str = "qx") -> str:
        """Return the text of a genesis file; addresses of validators with the network's `prefix`.

        Equal for equal contents: names inside modules are sorted, layout is fixed, ASCII only.
        """
        data = {
            "schema_version": self.schema_version,
            "chain_id": self.chain_id,
            "time": time_to_text(self.time),
            "initial_height": self.initial_height,
            "protocol_version": self.protocol_version,
            "parameters": _sorted_names(self.parameters),
            "validators": [VALIDATOR.to_json(validator, prefix) for validator in self.validators],
            "modules": _sorted_names(self.modules),
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def json_parts(self, prefix: str = "qx") -> Iterator[str]:
        """Yield the same contents as `to_json` as compact text in parts: joined they are one JSON object. A part takes some ms at most."""
        head = json.loads(replace(self, modules={}).to_json(prefix))
        del head["modules"]
        yield _compact(head)[:-1] + ',"modules":{'
        for at, (name, data) in enumerate(sorted(self.modules.items())):
            yield f"{',' if at else ''}{_compact(name)}:"
            yield from _parts(data)
        yield "}}"

    @classmethod
    def from_json(cls, text: str | bytes) -> Genesis:
        """Read a genesis file. Raises InvalidGenesis naming what is wrong, and nothing else."""
        data = _parse(text)
        if type(data) is not dict:
            raise InvalidGenesis("a genesis is one JSON object")
        unknown = sorted(name[:40] for name in data if name not in _FIELDS)[:5]
        missing = [name for name in _FIELDS if name not in data]
        if unknown or missing:
            raise InvalidGenesis(f"unknown fields {unknown}, missing fields {missing}")
        if type(data["validators"]) is not list:
            raise _invalid("validators", "a list")
        if len(data["validators"]) > MAX_VALIDATORS:
            raise _invalid("validators", f"at most {MAX_VALIDATORS}")
        return cls(
            schema_version=data["schema_version"],
            chain_id=data["chain_id"],
            time=_read("time", time_from_text, data["time"]),
            initial_height=data["initial_height"],
            protocol_version=data["protocol_version"],
            parameters=data["parameters"],
            validators=tuple(
                _read(f"validators[{index}]", VALIDATOR.from_json, item)
                for index, item in enumerate(data["validators"])
            ),
            modules=data["modules"],
        )

    @classmethod
    def from_record(cls, record: bytes) -> Genesis:
        """Inverse of `record`. Raises InvalidGenesis."""
        try:
            plain = decode(record, max_size=MAX_SIZE, max_items=MAX_PARTS)
            if type(plain) is not tuple or len(plain) != len(_FIELDS) or type(plain[6]) is not tuple:
                raise MalformedBytes(f"a genesis record has {len(_FIELDS)} fields")
            validators = tuple([VALIDATOR.check(item) for item in plain[6]])
            parameters, modules = _json(plain[5], 0), _json(plain[7], 0)
        except (MalformedBytes, TooLarge) as error:
            raise InvalidGenesis(f"the genesis record is damaged: {error.message}") from None
        genesis = cls(
            schema_version=plain[0],
            chain_id=plain[1],
            time=plain[2],
            initial_height=plain[3],
            protocol_version=plain[4],
            parameters=parameters,
            validators=validators,
            modules=modules,
        )
        if genesis.record != record:
            raise InvalidGenesis("the genesis record is not in canonical form")
        return genesis


def _invalid(field: str, what: str) -> InvalidGenesis:
    return InvalidGenesis(f"{field}: {what}")


def _integer(field: str, value: object, low: int, high: int) -> None:
    if type(value) is not int:
        raise _invalid(field, f"an integer, not {_shown(value)}")
    if not low <= value <= high:
        raise _invalid(field, f"from {low} to {high}, not {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, _Fraction):
        return ascii(value.text[:40])
    if type(value) is int and not -MAX_INTEGER < value < MAX_INTEGER:
        return "a number beyond 2^256"
    text = ascii(value) if isinstance(value, bool | int | str | None) else type(value).__name__
    return text if len(text) <= 60 else text[:60] + "..."


def _read(field: str, read: Callable[[Any], T], value: object) -> T:
    try:
        return read(value)
    except QenexError as error:
        raise _invalid(field, error.message) from None


# -- validators ----------------------------------------------------------------------------


def _checked_validators(validators: object) -> tuple[Validator, ...]:
    if not isinstance(validators, tuple):
        raise _invalid("validators", "a list")
    if not 1 <= len(validators) <= MAX_VALIDATORS:
        raise _invalid("validators", f"1 to {MAX_VALIDATORS}, not {len(validators)}")
    addresses: dict[bytes, int] = {}
    keys: dict[bytes, int] = {}
    total = 0
    for index, validator in enumerate(validators):
        field = f"validators[{index}]"
        address, key, power = _read(field, VALIDATOR.check, validator)
        if len(address) != ADDRESS_SIZE or address in addresses:
            raise _invalid(f"{field}.address", f"also that of validators[{addresses.get(address)}]")
        if key in keys:
            raise _invalid(f"{field}.key", f"also that of validators[{keys[key]}]")
        scheme = SCHEMES_BY_TAG.get(key[0]) if key else None
        if scheme is None:
            raise _invalid(f"{field}.key", "starts with no known scheme tag")
        if len(key) != 1 + scheme.public_key_size or not scheme.valid_public_key(key[1:]):
            raise _invalid(f"{field}.key", f"a weak or malformed public key of {scheme.name}")
        if power < 1:
            raise _invalid(f"{field}.power", "at least 1")
        addresses[address] = keys[key] = index
        total += power
    if total > MAX_TOTAL_POWER:
        raise _invalid("validators", f"a total power of {total}, at most {MAX_TOTAL_POWER} allowed")
    _read("validators", check, signature_sizes(validators))
    return order_validators(Validator(*validator) for validator in validators)


# -- data of modules -----------------------------------------------------------------------


def _checked_modules(field: str, data: object) -> dict[str, JsonObject]:
    if not isinstance(data, Mapping):
        raise _invalid(field, "an object by module name")
    for name, value in data.items():
        if type(name) is not str or not _MODULE_NAME.fullmatch(name):
            raise _invalid(field, f"{_shown(name)} is no module name")
        if type(value) is not dict:
            raise _invalid(f"{field}.{name}", f"an object, not {_shown(value)}")
    return dict(data)


def _plain(value: Json, field: str, depth: int) -> Plain:
    """Return the injective plain form of JSON data. Raises InvalidGenesis naming the place."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not -MAX_INTEGER < value < MAX_INTEGER:
            raise _invalid(field, "a number beyond 2^256")
        return value
    if depth > MAX_DEPTH:
        raise _invalid(field, f"nested more than {MAX_DEPTH} deep")
    if kind is list:
        return (_LIST, tuple([_plain(item, f"{field}[{n}]", depth + 1) for n, item in enumerate(value)]))
    if not isinstance(value, Mapping):
        raise _invalid(field, f"text, an integer, true, false, null, list or object, not {_shown(value)}")
    pairs = []
    for name, item in value.items():
        if type(name) is not str or len(name) > MAX_NAME_SIZE:
            raise _invalid(field, f"a name is text of at most {MAX_NAME_SIZE} characters")
        pairs.append((name, _plain(item, f"{field}.{name}", depth + 1)))
    try:
        pairs.sort(key=lambda pair: encode(pair[0]))
    except MalformedBytes:
        raise _invalid(field, "a name is not well-formed Unicode") from None
    return (_OBJECT, tuple(pairs))


def _json(plain: Plain, depth: int) -> Json:
    """Inverse of `_plain`. Raises MalformedBytes."""
    if type(plain) is not tuple:
        return plain
    if depth > MAX_DEPTH + 1 or len(plain) != 2 or type(plain[1]) is not tuple:
        raise MalformedBytes("a list or an object is [kind, items]")
    kind, items = plain
    if kind == _LIST:
        return [_json(item, depth + 1) for item in items]
    result: JsonObject = {}
    for item in items:
        if kind != _OBJECT or type(item) is not tuple or len(item) != 2 or type(item[0]) is not str:
            raise MalformedBytes("an object is [1, [[name, value], ...]]")
        result[item[0]] = _json(item[1], depth + 1)
    return result


_compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _parts(value: Json) -> Iterator[str]:
    """Compact text of a module's data: its lists in parts of `PART_ITEMS` items, names sorted."""
    if isinstance(value, Mapping):
        yield "{"
        for at, name in enumerate(sorted(value)):
            yield f"{',' if at else ''}{_compact(name)}:"
            yield from _parts(value[name])
        yield "}"
    elif type(value) is list and len(value) > PART_ITEMS:
        yield "["
        for start in range(0, len(value), PART_ITEMS):
            items = _compact(_sorted_names(value[start : start + PART_ITEMS]))
            yield ("," if start else "") + items[1:-1]
        yield "]"
    else:
        yield _compact(_sorted_names(value))


def _sorted_names(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {name: _sorted_names(value[name]) for name in sorted(value)}
    return [_sorted_names(item) for item in value] if type(value) is list else value


# -- the text ------------------------------------------------------------------------------


def _parse(text: str | bytes) -> Json:
    """Parse bounded JSON: one meaning for every text, no duplicate names."""
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > MAX_SIZE:
            raise InvalidGenesis(f"a genesis of {len(data)} bytes, at most {MAX_SIZE} allowed")
        if data.count(b"{") + data.count(b"[") > MAX_CONTAINERS or data.count(b",") > MAX_PARTS:
            raise InvalidGenesis(f"more than {MAX_CONTAINERS} lists and objects or {MAX_PARTS} items")
        return json.loads(
            data.decode(),
            object_pairs_hook=_without_duplicates,
            parse_float=_Fraction,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeError are ValueErrors
        raise InvalidGenesis(f"not JSON: {ascii(str(error))[1:-1][:120]}") from None


def _without_duplicates(pairs: list[tuple[str, Json]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        for name, _ in pairs:
            if result.pop(name, pairs) is pairs:
                raise InvalidGenesis(f"the name {_shown(name)} stands twice in one object")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidGenesis(f"{name} is no JSON number")
