"""Methods, declared once: names, typed parameters, documentation, REST path, access.

A method is a function of an API class marked with `@method`. Its signature is the declaration: the
parameters' types become codecs, defaults make them optional, the docstring's `Args:` describe each. A
trailing `_` of a name is dropped, and a first parameter `caller` gets the caller. Module queries enter the
same registry from the machine's declarations.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from node.rpc.strict_json import Json
from node.rpc.values import codec_of
from qenex.codec import Codec
from qenex.errors import InvalidParams, MalformedBytes, QenexError

Schema = dict[str, Any]
"""A JSON Schema."""


class Access(Enum):
    """Who may call a method."""

    PUBLIC = "public"
    ADMIN = "admin"
    """Only on the local socket, or with the token."""
    SESSION = "session"
    """Only on a WebSocket: it belongs to a connection."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named parameter. `default` is the typed value, not JSON."""

    name: str
    codec: Codec[Any]
    required: bool
    default: Any
    doc: str


Several = Callable[[Any, Sequence[list[Any]]], Awaitable[Sequence[Any]]]
"""`several(caller, calls)`: for the values of each call, in their order, the JSON-ready result or the QenexError."""

_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Method:
    """What dispatch, the documents and REST need to know of one method.

    `handler(*values)` (with `caller` first where `takes_caller`) returns JSON-ready data, or a coroutine that does. `cost` is charged to the caller's rate.
    """

    name: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    result_name: str
    result_schema: Schema
    handler: Callable[..., Any]
    takes_caller: bool = False
    access: Access = Access.PUBLIC
    rest: str = ""
    """Path below /api/v1 with `{parameter}` segments; empty where there is no mirror."""
    cost: int = 1
    errors: tuple[type[QenexError], ...] = ()
    names: frozenset[str] = field(default=frozenset())
    together: Several | None = None
    """Answers several calls of a batch at once, where that is cheaper."""

    def bind(self, params: Json) -> list[Any]:
        """Return the typed values of JSON parameters, named or positional.

        Raises InvalidParams naming what is unknown, missing or of a wrong type; a value's own typed
        error (InvalidAddress, say) keeps its class.
        """
        if type(params) is dict:
            given = params
        elif params is None:
            given = {}
        elif type(params) is list:
            given = self._by_position(params)
        else:
            raise InvalidParams("params are an object of named parameters, or an array in declared order")
        values: list[Any] = []
        used = 0
        for parameter in self.parameters:
            value = given.get(parameter.name, _MISSING)
            if value is _MISSING:
                if parameter.required:
                    raise self._mismatch(given)
                values.append(parameter.default)
                continue
            used += 1
            try:
                values.append(parameter.codec.from_json(value))
            except MalformedBytes as error:
                raise InvalidParams(f"{parameter.name}: {error.message}") from None
            except QenexError as error:
                raise type(error)(f"{parameter.name}: {error.message}", hint=error.hint) from None
        if used != len(given):
            raise self._mismatch(given)
        return values

    def _by_position(self, params: list[Json]) -> dict[str, Json]:
        if len(params) > len(self.parameters):
            raise InvalidParams(f"{self.name} takes at most {len(self.parameters)} parameters")
        return {parameter.name: value for parameter, value in zip(self.parameters, params)}

    def _mismatch(self, given: dict[str, Json]) -> InvalidParams:
        unknown = [ascii(name[:40]) for name in given if name not in self.names][:5]
        missing = [p.name for p in self.parameters if p.required and p.name not in given]
        told = []
        if unknown:
            told.append(f"unknown parameters {', '.join(unknown)}")
        if missing:
            told.append(f"missing parameters {', '.join(missing)}")
        known = ", ".join(parameter.name for parameter in self.parameters) or "none"
        return InvalidParams(f"{self.name}: {'; '.join(told)} (it takes: {known})")


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str
    result: Codec[Any] | Schema | None
    rest: str
    access: Access
    cost: int
    errors: tuple[type[QenexError], ...]
    together: str


def method(
    name: str,
    *,
    result: Codec[Any] | Schema | None = None,
    rest: str = "",
    access: Access = Access.PUBLIC,
    cost: int = 1,
    errors: tuple[type[QenexError], ...] = (),
    together: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a function of an API class as the RPC method `name`.

    `result` is the JSON Schema of what the function returns JSON-ready, or the codec that turns its
    return value into JSON; without it the return annotation says the type. `together` names the method of the
    class that answers several calls at once, a `Several`.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__dict__["rpc"] = _Mark(name, result, rest, access, cost, errors, together)
        return function

    return mark


def _describe(doc: str) -> tuple[str, str, dict[str, str]]:
    """Split a docstring into summary, description and the texts under `Args:` by parameter."""
    head, _, tail = inspect.cleandoc(doc).partition("Args:\n")
    summary, _, description = head.strip().partition("\n\n")
    texts: dict[str, str] = {}
    current = ""
    for line in tail.splitlines():
        found = re.match(r"^ {4}(\w+): (.*)$", line)
        if found:
            current = found[1]
            texts[current] = found[2].strip()
        elif current and line.strip():
            texts[current] += " " + line.strip()
    return summary.replace("\n", " "), description, texts


def methods_of(api: object, prefix: str) -> Iterator[Method]:
    """Yield the methods that the class of `api` declares, bound to it. `prefix` is that of addresses."""
    for _, function in inspect.getmembers(type(api), inspect.isfunction):
        mark: _Mark | None = function.__dict__.get("rpc")
        if mark is not None:
            built = _build(mark, function, getattr(api, function.__name__), prefix)
            yield replace(built, together=getattr(api, mark.together)) if mark.together else built


def _build(mark: _Mark, function: Callable[..., Any], bound: Callable[..., Any], prefix: str) -> Method:
    hints = typing.get_type_hints(function, include_extras=True)
    signature = list(inspect.signature(function).parameters.values())[1:]
    takes_caller = bool(signature) and signature[0].name == "caller"
    declared = signature[1:] if takes_caller else signature
    summary, description, texts = _describe(function.__doc__ or "")
    if set(texts) != {p.name.rstrip("_") for p in declared}:
        raise TypeError(f"{mark.name} documents {sorted(texts)} under Args:, not its parameters")
    parameters = tuple(
        Parameter(
            p.name.rstrip("_"),
            codec_of(hints[p.name]),
            p.default is p.empty,
            None if p.default is p.empty else p.default,
            texts[p.name.rstrip("_")],
        )
        for p in declared
    )
    is_async = inspect.iscoroutinefunction(function)
    handler = bound
    result = mark.result if mark.result is not None else codec_of(hints["return"])
    if isinstance(result, Codec):
        handler = _rendered(bound, result.to_json, prefix, is_async)
        schema, title = result.schema, result.name
    else:
        schema, title = result, str(result.get("title", "result"))
    return Method(
        mark.name, summary, description, parameters, title, schema, handler, takes_caller,
        mark.access, mark.rest, mark.cost, mark.errors, frozenset(p.name for p in parameters),
    )  # fmt: skip


def _rendered(
    bound: Callable[..., Any], to_json: Callable[[Any, str], Any], prefix: str, is_async: bool
) -> Callable[..., Any]:
    if is_async:

        async def wait_and_render(*values: Any) -> Json:
            return to_json(await bound(*values), prefix)

        return wait_and_render
    return lambda *values: to_json(bound(*values), prefix)


class Registry:
    """All methods by name."""

    def __init__(self, methods: Iterable[Method] = ()) -> None:
        self.methods: dict[str, Method] = {}
        for declared in methods:
            self.add(declared)

    def add(self, declared: Method) -> None:
        """Add one method. Raises ValueError when its name is taken."""
        if declared.name in self.methods:
            raise ValueError(f"two methods are called {declared.name}")
        self.methods[declared.name] = declared

    def public(self) -> list[Method]:
        """Methods without special access, by name."""
        return [m for _, m in sorted(self.methods.items()) if m.access is Access.PUBLIC]
