"""JSON from files that may be hostile: bounded, no duplicate names, no floats, typed errors only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

from qenex.errors import KeystoreCorrupt

MAX_SIZE = 64 * 1024
"""Bytes of the largest keystore file."""
_MAX_BRACKETS = 64

JsonObject: TypeAlias = Mapping[str, object]


def parse_object(data: bytes, what: str) -> JsonObject:
    """Return the JSON object in `data`. Raises KeystoreCorrupt naming `what` for anything else."""
    if len(data) > MAX_SIZE:
        raise KeystoreCorrupt(f"{what} is larger than {MAX_SIZE // 1024} KiB")
    # Counted before parsing: the parser recurses once for each open bracket.
    if data.count(b"{") + data.count(b"[") > _MAX_BRACKETS:
        raise KeystoreCorrupt(f"{what} is nested too deeply to be a keystore")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except ValueError:
        raise KeystoreCorrupt(f"{what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise KeystoreCorrupt(f"{what} is not a JSON object")
    return value


def canonical(value: JsonObject) -> bytes:
    """Return the one byte form of `value` that is authenticated: sorted names, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def text_field(value: JsonObject, name: str, what: str, max_length: int = MAX_SIZE) -> str:
    """Return the text under `name`. Raises KeystoreCorrupt."""
    field = value.get(name)
    if not isinstance(field, str) or len(field) > max_length:
        raise KeystoreCorrupt(
            f"{what}: {name!r} is missing or is not text of at most {max_length} characters"
        )
    return field


def integer_field(value: JsonObject, name: str, what: str) -> int:
    """Return the integer under `name`. Raises KeystoreCorrupt."""
    field = value.get(name)
    if not isinstance(field, int) or isinstance(field, bool):
        raise KeystoreCorrupt(f"{what}: {name!r} is missing or is not an integer")
    return field


def object_field(value: JsonObject, name: str, what: str) -> JsonObject:
    """Return the object under `name`. Raises KeystoreCorrupt."""
    field = value.get(name)
    if not isinstance(field, dict):
        raise KeystoreCorrupt(f"{what}: {name!r} is missing or is not an object")
    return field


def hex_field(
    value: JsonObject, name: str, what: str, *, size: int | None = None, prefix: str = "0x"
) -> bytes:
    """Return the bytes under `name`, lower-case hex after `prefix`. Raises KeystoreCorrupt."""
    text = text_field(value, name, what)
    digits = text[len(prefix) :]
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise KeystoreCorrupt(f"{what}: {name!r} is not hexadecimal") from None
    if not text.startswith(prefix) or raw.hex() != digits:
        raise KeystoreCorrupt(f"{what}: {name!r} is not lower-case hexadecimal with prefix {prefix!r}")
    if size is not None and len(raw) != size:
        raise KeystoreCorrupt(f"{what}: {name!r} has {len(raw)} bytes instead of {size}")
    return raw


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name")
    return result


def _refuse_number(text: str) -> object:
    raise ValueError(f"number {text[:20]} is not an integer")
