"""The part of JSON Schema 2020-12 that the RPC's own schemas use, as a checker."""

from __future__ import annotations

import re
from typing import Any

KNOWN = {
    "type", "title", "description", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems",
    "maxItems", "anyOf", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "format", "default",
}  # fmt: skip
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
}  # fmt: skip


def check(value: Any, schema: dict[str, Any], where: str = "result") -> None:
    """Raise AssertionError unless `value` fits `schema`."""
    assert set(schema) <= KNOWN, f"{where}: the schema uses {set(schema) - KNOWN}"
    if "anyOf" in schema:
        problems = []
        for part in schema["anyOf"]:
            try:
                return check(value, part, where)
            except AssertionError as error:
                problems.append(str(error))
        raise AssertionError(f"{where} fits none of: {problems}")
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else kinds
        assert any(type(value) is TYPES[kind] for kind in wanted), f"{where}: {value!r} is no {kinds}"
    assert value in schema.get("enum", [value]), f"{where}: {value!r} not in {schema.get('enum')}"
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value), (
            f"{where}: {value!r} does not match {schema.get('pattern')}"
        )
    if type(value) is int:
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), (
            f"{where}: {value} out of range"
        )
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), (
            f"{where}: length"
        )
        for index, item in enumerate(value):
            if "items" in schema:
                check(item, schema["items"], f"{where}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{where} lacks {missing}"
        if schema.get("additionalProperties") is False:
            assert set(value) <= set(properties), f"{where} has also {set(value) - set(properties)}"
        for name, item in value.items():
            if name in properties:
                check(item, properties[name], f"{where}.{name}")
    return None
