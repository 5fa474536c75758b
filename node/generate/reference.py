"""The reference pages of the documentation: messages, queries, events, errors."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from node.generate.faces import rpc_name
from qenex.codec import fields_of
from qenex.errors import REGISTRY
from vm.registry import CallSpec, Registry

NOTE: Final = "<!-- Generated from the modules' declarations by `python -m node.generate`. Do not edit. -->"

LINE_LENGTH: Final = 110
"""As `pyproject.toml` has it."""

_RANGES: Final = (
    (-33000, 0, "JSON-RPC"),
    (100, 200, "Keys and keystore"),
    (200, 300, "Configuration, data folder, process"),
    (300, 1000, "Client and command line"),
    (1000, 2000, "Refused at entry: nothing was charged"),
    (2000, 3000, "The machine: included, failed, fee charged"),
    (3000, 1 << 31, "Modules: included, failed, fee charged"),
)


def _example(name: str, arguments: str) -> str:
    """A call of the SDK, in the project's own format."""
    arguments = f"wallet, {arguments}" if arguments else "wallet"
    line = f"client.{name}({arguments}).wait()"
    if len(line) <= LINE_LENGTH:
        return line
    inner = f"    {arguments}"
    if len(inner) > LINE_LENGTH:
        inner = "\n".join(f"    {part}," for part in arguments.split(", "))
    return f"client.{name}(\n{inner}\n).wait()"


def reference_pages(registry: Registry) -> dict[str, str]:
    """Text of each page by its path."""
    return {
        "docs/reference/messages.md": messages_page(registry),
        "docs/reference/queries.md": queries_page(registry),
        "docs/reference/events.md": events_page(registry),
        "docs/reference/errors.md": errors_page(),
    }


def messages_page(registry: Registry) -> str:
    """Every message: parameters, result, gas, and how SDK and command line call it."""
    parts = [
        "# Messages",
        "A transaction is a list of messages that run in order, all or none. Amounts are base units; the SDK and\n"
        "the command line also take them as people write them, such as `1.5QXC`.",
    ]
    for spec in sorted(registry.messages.values(), key=lambda spec: spec.name):
        arguments = ", ".join(f"{p.name}=..." for p in spec.parameters)
        open_while_paused = " It stays open while its module is paused." if spec.exit else ""
        parts += [
            f"## `{spec.name}`",
            spec.details,
            f"Base gas {spec.gas:,}.{open_while_paused}",
            _parameters(spec),
            f"Returns {_result(spec.result)}.",
            f"```python\n{_example(spec.name, arguments)}\n```",
        ]
    return page(parts)


def queries_page(registry: Registry) -> str:
    """Every query: parameters, result, and its names in RPC, SDK and command line."""
    parts = ["# Queries", "Reads of a committed version. All take `at`: a height, `latest` or `earliest`."]
    for spec in sorted(registry.queries.values(), key=lambda spec: spec.name):
        arguments = ", ".join(p.name for p in spec.parameters)
        command = f"qenex {spec.module} {spec.verb.replace('_', '-')}"
        parts += [
            f"## `{rpc_name(spec)}`",
            spec.details,
            _parameters(spec),
            f"Returns {_result(spec.result)}.",
            f"SDK: `client.{spec.name}({arguments})`. Command line: `{command}`.",
        ]
    return page(parts)


def events_page(registry: Registry) -> str:
    """Every event and its fields."""
    parts = ["# Events", "Receipts, blocks and subscriptions carry these records."]
    for event in sorted(registry.events.values(), key=lambda event: event.name):
        rows = [(f"`{name}`", f"`{type_text(hint)}`") for name, hint in fields_of(event.record).items()]
        parts += [f"## `{event.name}`", event.doc, table(("Field", "Type"), rows)]
    return page(parts)


def errors_page() -> str:
    """Every error's code, name, hint and whether trying again helps."""
    parts = [
        "# Errors",
        "One table for chain, RPC, SDK and command line. In Python each is a class of `qenex.errors` (the name in\n"
        "camel case); codes and names are never reused.",
    ]
    for low, high, title in _RANGES:
        rows = [
            (str(code), f"`{error.name}`", "yes" if error.retryable else "no", _cell(error.default_hint))
            for code, error in sorted(REGISTRY.items())
            if low <= code < high
        ]
        if rows:
            parts += [f"## {title}", table(("Code", "Name", "Retry the same", "What to do"), rows)]
    return page(parts)


def type_text(hint: Any) -> str:
    """A type as the reference writes it."""
    if hint is None or hint is type(None):
        return "nothing"
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        marks = ", ".join(repr(mark).rpartition(".")[2] for mark in parts[1:])
        return f"{type_text(parts[0])}, {marks}"
    if origin is tuple:
        return f"list of {type_text(parts[0])}" if parts[-1] is Ellipsis else ", ".join(map(type_text, parts))
    if parts:
        return " or ".join(type_text(part) for part in parts)
    return str(getattr(hint, "__name__", hint))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *[f"| {' | '.join(row)} |" for row in rows]])


def _parameters(spec: CallSpec) -> str:
    if not spec.parameters:
        return "No parameters."
    rows = [(f"`{p.name}`", f"`{type_text(p.hint)}`", _cell(p.doc)) for p in spec.parameters]
    return table(("Parameter", "Type", "Meaning"), rows)


def _result(hint: Any) -> str:
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        fields = ", ".join(f"`{name}` ({type_text(inner)})" for name, inner in fields_of(hint).items())
        return f"`{hint.__name__}`: {fields}"
    return type_text(hint)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def page(parts: Sequence[str]) -> str:
    """A generated page of these paragraphs; empty ones are left out."""
    return "\n\n".join([NOTE, *[part.strip() for part in parts if part.strip()]]) + "\n"
