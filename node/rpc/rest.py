"""The REST mirror of reads, derived from the same methods.

A path segment or query value is text; the parameter's schema says what JSON it stands for. Required
parameters are path segments in declared order, optional ones stand in the query string. Module queries
follow one rule: `bank_getBalance(address, denom)` is `/api/v1/bank/balance/{address}/{denom}`: the
module, the verb without `get` in kebab case, the required parameters.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from node.rpc.declare import Method, Registry
from node.rpc.strict_json import Json, loads
from qenex.errors import InvalidParams, NotFound, QenexError

ROOT: Final = "/api/v1"
MAX_PATH_SIZE: Final = 2_048


class Match(NamedTuple):
    """A method and its JSON parameters by name."""

    method: Method
    params: dict[str, Json]


def query_path(module: str, verb: str, required: list[str]) -> str:
    """The path of a module query below the root."""
    noun = verb.removeprefix("get_").replace("_", "-")
    return "/".join(["", module, noun, *[f"{{{name}}}" for name in required]])


class Router:
    """Paths of a registry. A literal segment wins over a parameter. Raises ValueError on equal paths."""

    def __init__(self, registry: Registry) -> None:
        self._routes: dict[tuple[str, ...], Method] = {}
        for method in registry.public():
            if method.rest:
                pattern = tuple(re.sub(r"^\{.*\}$", "{}", part) for part in method.rest.split("/")[1:])
                if pattern in self._routes:
                    raise ValueError(f"{method.name} and {self._routes[pattern].name} have the same path")
                self._routes[pattern] = method
        self._lengths = {len(pattern) for pattern in self._routes}

    def match(self, raw_path: str, query: str) -> Match:
        """The call that a path below the root stands for. Raises NotFound or InvalidParams."""
        if len(raw_path) + len(query) > MAX_PATH_SIZE:
            raise InvalidParams("the address is too long")
        segments = raw_path.split("/")[1:]
        method = self._find(segments)
        if method is None:
            raise NotFound("no such path", hint="/openapi.json lists all paths")
        params: dict[str, Json] = {}
        schemas = {parameter.name: parameter.codec.schema for parameter in method.parameters}
        for part, segment in zip(method.rest.split("/")[1:], segments, strict=True):
            if part.startswith("{"):
                name = part[1:-1]
                params[name] = from_text(name, _decoded(segment), schemas[name])
        try:
            pairs = parse_qsl(
                query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32, errors="strict"
            )
        except ValueError:
            raise InvalidParams("the query string is not name=value pairs") from None
        for name, text in pairs:
            if name in params:
                raise InvalidParams(f"{name[:40]!a} is given twice")
            if name not in schemas:
                known = ", ".join(schemas) or "none"
                raise InvalidParams(f"unknown parameter {name[:40]!a} (this path takes: {known})")
            params[name] = from_text(name, text, schemas[name])
        return Match(method, params)

    def _find(self, segments: list[str]) -> Method | None:
        if len(segments) not in self._lengths:
            return None
        best: tuple[int, Method] | None = None
        for pattern, method in self._routes.items():
            if len(pattern) == len(segments) and all(
                p == "{}" or p == s for p, s in zip(pattern, segments, strict=True)
            ):
                literal = sum(part != "{}" for part in pattern)
                if best is None or literal > best[0]:
                    best = literal, method
        return best[1] if best else None


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidParams("a path segment is not UTF-8") from None


def from_text(name: str, text: str, schema: dict[str, Any]) -> Json:
    """The JSON value that `text` stands for where `schema` is expected.

    What fits no kind stays text: the parameter's own check then says what is wrong.
    """
    for kind in _kinds(schema):
        if kind == "integer" and re.fullmatch(r"-?(0|[1-9][0-9]{0,77})", text):
            return int(text)
        if kind == "boolean" and text in ("true", "false"):
            return text == "true"
        if kind in ("object", "array") and text.startswith("{" if kind == "object" else "["):
            try:
                return loads(text.encode(), max_size=MAX_PATH_SIZE)
            except QenexError as error:
                raise InvalidParams(f"{name}: {error.message}") from None
    return text


def _kinds(schema: dict[str, Any]) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, list):
        return kind
    return [found for part in schema.get("anyOf", ()) for found in _kinds(part)]


_STATUS: Final = {
    -32001: 404, -32002: 503, -32005: 429, -32010: 410, -32011: 403, -32601: 404, -32603: 500, 303: 202, 304: 409,
    1026: 503, 1027: 429, 1029: 409, 1047: 503,
}  # fmt: skip


def status_of(error: QenexError) -> int:
    """The HTTP status that fits a typed error: 4xx for the caller's, 422 for what execution refused."""
    known = _STATUS.get(error.code)
    if known is not None:
        return known
    return 422 if error.code >= 2000 else 400
