"""`rpc.discover` (OpenRPC 1.3) and `/openapi.json` (OpenAPI 3.1), both from the registry.

Records that occur in several schemas (a header, a receipt) stand once under `components`, by their title.
"""

from __future__ import annotations

from typing import Any, Final

from node.rpc.declare import Method, Parameter, Registry, Schema
from node.rpc.rest import ROOT
from node.rpc.strict_json import Json
from qenex.errors import REGISTRY

OPENRPC_VERSION: Final = "1.3.2"
OPENAPI_VERSION: Final = "3.1.0"


class _Components:
    """Schemas with a title, moved to one place and referred to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def refer(self, schema: Schema) -> Schema:
        """`schema` with every titled object in it replaced by a reference."""
        moved = {key: self._inner(key, value) for key, value in schema.items()}
        title = moved.get("title")
        if moved.get("type") != "object" or not isinstance(title, str):
            return moved
        known = self.schemas.setdefault(title, moved)
        return {"$ref": f"#/components/schemas/{title}"} if known == moved else moved

    def _inner(self, key: str, value: Any) -> Any:
        if key == "properties":
            return {name: self.refer(schema) for name, schema in value.items()}
        if key in ("anyOf", "oneOf", "prefixItems"):
            return [self.refer(schema) for schema in value]
        if key == "items" and isinstance(value, dict):
            return self.refer(value)
        return value


def _default(parameter: Parameter, schema: Schema) -> Schema:
    if not parameter.required and type(parameter.default) in (int, bool, str) and "anyOf" not in schema:
        return {**schema, "default": parameter.default}
    return schema


def _errors(method: Method) -> list[Json]:
    return [
        {
            "code": error.code,
            "message": error.name,
            "data": {"hint": error.default_hint, "retryable": error.retryable},
        }
        for error in method.errors
    ]


def error_table() -> list[Json]:
    """Every code with its name, hint and whether to try again."""
    return [
        {"code": code, "name": error.name, "hint": error.default_hint, "retryable": error.retryable}
        for code, error in sorted(REGISTRY.items())
    ]


def openrpc(registry: Registry, version: str) -> dict[str, Json]:
    """The OpenRPC document: every method, those that need a token or a connection included."""
    components = _Components()
    methods: list[Json] = []
    for _, method in sorted(registry.methods.items()):
        entry: dict[str, Json] = {
            "name": method.name,
            "summary": method.summary,
            "paramStructure": "either",
            "params": [
                {
                    "name": parameter.name,
                    "description": parameter.doc,
                    "required": parameter.required,
                    "schema": _default(parameter, components.refer(parameter.codec.schema)),
                }
                for parameter in method.parameters
            ],
            "result": {"name": method.result_name, "schema": components.refer(method.result_schema)},
            "tags": [{"name": method.name.partition("_")[0].partition(".")[0]}],
            "x-access": method.access.value,
        }
        if method.description:
            entry["description"] = method.description
        if method.errors:
            entry["errors"] = _errors(method)
        methods.append(entry)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "QENEX node",
            "version": version,
            "description": "Addresses are bech32m, bytes lower-case hex with 0x, amounts decimal strings of base "
            "units, time RFC 3339 UTC. Errors carry data = {name, hint, retryable}; x-errors lists all codes.",
        },
        "methods": methods,
        "components": {"schemas": components.schemas},
        "x-errors": error_table(),
    }


_ERROR_SCHEMA: Final[Schema] = {
    "type": "object",
    "title": "Error",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "name": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "retryable": {"type": "boolean"},
            },
            "required": ["code", "name", "message", "hint", "retryable"],
        }
    },
    "required": ["error"],
}


def _answers(schema: Schema, error: Schema) -> dict[str, Json]:
    return {
        "200": {"description": "The answer", "content": {"application/json": {"schema": schema}}},
        "default": {
            "description": "Refused; the code says why",
            "content": {"application/json": {"schema": error}},
        },
    }


def openapi(registry: Registry, version: str) -> dict[str, Json]:
    """The OpenAPI document of the REST mirror and the operational paths."""
    components = _Components()
    error = components.refer(_ERROR_SCHEMA)
    paths: dict[str, Json] = {}
    for method in registry.public():
        if not method.rest:
            continue
        segments = method.rest.split("/")
        operation: dict[str, Json] = {
            "operationId": method.name,
            "summary": method.summary,
            "tags": [method.name.partition("_")[0]],
            "parameters": [
                {
                    "name": parameter.name,
                    "in": "path" if f"{{{parameter.name}}}" in segments else "query",
                    "required": parameter.required or f"{{{parameter.name}}}" in segments,
                    "description": parameter.doc,
                    "schema": _default(parameter, components.refer(parameter.codec.schema)),
                }
                for parameter in method.parameters
            ],
            "responses": _answers(components.refer(method.result_schema), error),
        }
        if method.description:
            operation["description"] = method.description
        paths[ROOT + method.rest] = {"get": operation}
    submit = registry.methods.get("tx_submit")
    if submit is not None:
        paths[f"{ROOT}/transaction"] = {"post": _submission(submit, components, error)}
    for path, text in (
        ("/livez", "The process answers"),
        ("/readyz", "The node is ready to serve; 503 with the reason while not"),
        ("/metrics", "Metrics in the Prometheus text format"),
    ):
        content = {"text/plain": {"schema": {"type": "string"}}}
        answers = {"200": {"description": text, "content": content}}
        paths[path] = {"get": {"operationId": path[1:], "summary": text, "responses": answers}}
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "QENEX node", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components.schemas},
    }


def _submission(method: Method, components: _Components, error: Schema) -> dict[str, Json]:
    raw = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "description": "The JSON form of a signed transaction"}}
    return {
        "operationId": method.name,
        "summary": method.summary,
        "tags": ["tx"],
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": raw, "application/json": form},
        },
        "responses": _answers(components.refer(method.result_schema), error),
    }
