"""The SDK's typed faces: records, messages and queries of each module as Python source.

`records_source` writes the module's records and what the SDK must know of its messages,
queries and events; `face_source` the asynchronous class, from which `to_blocking` makes the
other one.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Final

import qenex.block
import qenex.state_keys
import qenex.types
from qenex.codec import fields_of
from qenex.crypto.address import Address
from qenex.types import (
    U8,
    U16,
    U32,
    U64,
    Amount,
    Between,
    Bps,
    Bytes32,
    Coin,
    Denom,
    Length,
    Quantity,
    TimeNs,
)
from vm.registry import CallSpec, MessageSpec, QuerySpec, Registry

_ALIASES: Final = {
    "U8": U8,
    "U16": U16,
    "U32": U32,
    "U64": U64,
    "Bps": Bps,
    "Amount": Amount,
    "TimeNs": TimeNs,
    "Bytes32": Bytes32,
    "Denom": Denom,
}
_SHARED: Final = (qenex.types, qenex.block, qenex.state_keys)
"""Where the SDK already has records; others are written into the module's face."""

RESERVED: Final = frozenset(
    {
        "wallet",
        "by",
        "at",
        "self",
        "options",
        "fee",
        "gas_limit",
        "tip",
        "valid_for",
        "valid_until",
        "lease",
        "memo",
        "sequence",
    }
)
"""Names a message's or query's parameter cannot have: methods of the SDK use them."""


class Source:
    """Python source of one generated file: its imports as they turn out to be needed, then its body."""

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}
        self.lines: list[str] = []

    def use(self, module: str, name: str) -> str:
        """Import `name` from `module`; returns the name."""
        self.imports.setdefault(module, set()).add(name)
        return name

    def add(self, text: str = "") -> None:
        """Append lines."""
        self.lines += text.split("\n")

    def text(self, header: str, docstring: str) -> str:
        """The whole file."""
        imports = [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in sorted(self.imports.items())
        ]
        head = [header, f'"""{docstring}"""', "", "from __future__ import annotations", "", *imports, ""]
        return "\n".join([*head, *self.lines]).rstrip("\n") + "\n"


def class_name(module: str) -> str:
    """`bank` -> `Bank`, `some_name` -> `SomeName`."""
    return "".join(part.capitalize() for part in module.split("_"))


def records_of(registry: Registry, module: str) -> list[type]:
    """Records that the module's messages, queries and events use and the SDK does not have yet, used first."""
    found: dict[type, None] = {}

    def visit(hint: Any) -> None:
        if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
            for inner in fields_of(hint).values():
                visit(inner)
            if shared_module(hint) is None:
                found.setdefault(hint)
        for part in typing.get_args(hint):
            visit(part)

    for call in calls_of(registry, module):
        for parameter in call.parameters:
            visit(parameter.hint)
        visit(call.result)
    for event in registry.events.values():
        if event.module == module:
            visit(event.record)
    names = [record.__name__ for record in found]
    if len(set(names)) != len(names):
        raise ValueError(f"two records of {module} have the same name: {sorted(names)}")
    return list(found)


def calls_of(registry: Registry, module: str) -> list[MessageSpec | QuerySpec]:
    """The module's messages, then its queries, by name."""
    specs: Iterable[MessageSpec | QuerySpec] = [*registry.messages.values(), *registry.queries.values()]
    return [spec for spec in specs if spec.module == module]


def shared_module(record: type) -> str | None:
    """The module of `qenex` that already has this record."""
    for module in _SHARED:
        if getattr(module, record.__name__, None) is record:
            return module.__name__
    return None


def render(hint: Any, source: Source, own: str) -> str:
    """Source text of a type. `own` is the file the module's records stand in ("" while writing it)."""
    for name, alias in _ALIASES.items():
        if hint == alias:
            return source.use("qenex.types", name)
    if hint is None or hint is type(None):
        return "None"
    if hint is Address:
        return source.use("qenex.crypto.address", "Address")
    if hint in (int, bool, str, bytes):
        return str(hint.__name__)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        source.use("typing", "Annotated")
        marks = ", ".join(_mark(mark, source) for mark in parts[1:])
        return f"Annotated[{render(parts[0], source, own)}, {marks}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(render(part, source, own) for part in parts)
    if origin is tuple:
        return f"tuple[{', '.join('...' if p is Ellipsis else render(p, source, own) for p in parts)}]"
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        home = shared_module(hint) or own
        return source.use(home, hint.__name__) if home else hint.__name__
    raise TypeError(f"{hint!r} has no source form")


def _mark(mark: Any, source: Source) -> str:
    source.use("qenex.types", type(mark).__name__)
    return repr(mark).rpartition(".")[2] if "." in type(mark).__qualname__ else _plain_repr(mark)


def _plain_repr(mark: Any) -> str:
    match mark:
        case Length(low, high) | Between(low, high):
            return f"{type(mark).__name__}({low}, {high})"
    return repr(mark)


def accepted(hint: Any, source: Source, own: str, *, references: bool) -> str:
    """Source text of what callers may pass for a parameter of this type."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        return f"{accepted(inner, source, own, references=references)} | None"
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    special: str | None = None
    if hint is Address:
        special = source.use("qenex.building", "AddressLike")
    elif hint is Coin:
        special = source.use("qenex.building", "CoinLike")
    elif origin is Annotated and any(isinstance(mark, Quantity) for mark in parts[1:]):
        special = source.use("qenex.building", "AmountLike")
    elif hint is bytes or (origin is Annotated and parts[0] is bytes):
        special = source.use("qenex.building", "BytesLike")
    if special is not None:
        with_reference = special in ("CoinLike", "AmountLike", "BytesLike")
        return special if with_reference or not references else f"{special} | {_reference(source)}"
    if origin is Annotated:
        return accepted(parts[0], source, own, references=references)
    text = render(hint, source, own)
    return f"{text} | {_reference(source)}" if references else text


def _reference(source: Source) -> str:
    return source.use("qenex.codec", "Reference")


def records_source(registry: Registry, module: str) -> Source:
    """Records and what the SDK must know of messages, queries and events of `module`."""
    source = Source()
    for record in records_of(registry, module):
        source.use("typing", "NamedTuple")
        source.add(f"\n\nclass {record.__name__}(NamedTuple):")
        source.add(docstring(inspect.getdoc(record) or record.__name__, 4) + "\n")
        for name, hint in fields_of(record).items():
            source.add(f"    {name}: {render(hint, source, '')}")
        source.use("qenex.answers", "to_plain")
        source.use("qenex.crypto.address", "PREFIX")
        source.use("qenex.jsonrpc", "Json")
        source.add("\n    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:")
        source.add('        """Plain JSON; addresses take the network\'s prefix."""')
        source.add("        return to_plain(self, prefix)")
    for call in calls_of(registry, module):
        kind = "MessageFace" if isinstance(call, MessageSpec) else "QueryFace"
        source.use("qenex.building", kind)
        name = call.name if isinstance(call, MessageSpec) else rpc_name(call)
        source.add(f'\n{constant(call)} = {kind}(\n    "{name}",\n    (')
        for parameter in call.parameters:
            source.add(f'        ("{parameter.name}", {render(parameter.hint, source, "")}),')
        source.add(f"    ),\n    {render(call.result, source, '')},\n)")
    for title, face, spec in (("MESSAGES", "MessageFace", MessageSpec), ("QUERIES", "QueryFace", QuerySpec)):
        source.use("qenex.building", face)
        names = [constant(call) for call in calls_of(registry, module) if isinstance(call, spec)]
        source.add(f"\n{title}: tuple[{face}, ...] = ({''.join(name + ', ' for name in names)})")
    source.add("\nEVENTS: dict[str, type] = {")
    for event in registry.events.values():
        if event.module == module:
            source.add(f'    "{event.name}": {event.record.__name__},')
    source.add("}")
    return source


def rpc_name(call: CallSpec) -> str:
    """`bank.get_balance` -> `bank_getBalance`."""
    first, *rest = call.verb.split("_")
    return f"{call.module}_{first}{''.join(word.capitalize() for word in rest)}"


def constant(call: CallSpec) -> str:
    """The name under which a call's description stands in the generated file."""
    return call.verb.upper()


def face_source(registry: Registry, module: str) -> Source:
    """The asynchronous face of `module`."""
    source = Source()
    own = f"qenex.modules.{module}"
    source.use("qenex.async_faces", "AsyncModuleFace")
    record = registry.modules[module]
    source.add(f"\n\nclass Async{class_name(module)}(AsyncModuleFace):")
    source.add(docstring(inspect.getdoc(record) or module, 4))
    for call in calls_of(registry, module):
        for parameter in call.parameters:
            if parameter.name in RESERVED:
                raise ValueError(f"{call.name}: a parameter cannot be called {parameter.name}")
        source.use(own, constant(call))
        source.add()
        if isinstance(call, MessageSpec):
            _message_method(call, source, own)
        else:
            _query_method(call, source, own)
    return source


def _message_method(call: MessageSpec, source: Source, own: str) -> None:
    result = render(call.result, source, own)
    source.use("qenex.async_sender", "AsyncPending")
    source.use("qenex.async_sender", "TransactionOptions")
    source.use("qenex.wallet", "Wallet")
    source.use("typing", "Unpack")
    parameters = _signature(call, source, own, references=True)
    source.add(f"    async def {call.verb}(")
    source.add(f"        self, wallet: Wallet, {parameters} **options: Unpack[TransactionOptions]")
    source.add(f"    ) -> AsyncPending[{result}]:")
    source.add(docstring(_documented(call, "Returns once admitted; `wait()` gives the receipt."), 8))
    source.add(f"        return await self._send(wallet, {constant(call)}, {_given(call)}, options)")


def _query_method(call: QuerySpec, source: Source, own: str) -> None:
    result = render(call.result, source, own)
    source.use("qenex.async_faces", "At")
    parameters = _signature(call, source, own, references=False)
    source.add(f"    async def {call.verb}(self, {parameters} at: At | None = None) -> {result}:")
    source.add(docstring(_documented(call, "`at` is a height, the latest one unless given."), 8))
    answer = f"await self._query({constant(call)}, {_given(call)}, at)"
    if result == "None":
        source.add(f"        {answer}")
    else:
        source.add(f"        answer: {result} = {answer}\n        return answer")


def _signature(call: CallSpec, source: Source, own: str, *, references: bool) -> str:
    texts: list[str] = []
    later_have_defaults = True  # or by name only, as messages' arguments are: Python wants defaults last
    for parameter in reversed(call.parameters):
        text = f"{parameter.name}: {accepted(parameter.hint, source, own, references=references)}"
        default = ""
        if text.endswith("| None"):
            default = " = None"
        elif parameter.hint == Denom and isinstance(call, QuerySpec):
            default = " = QXC"
        if not (later_have_defaults or references):
            default = ""
        later_have_defaults = bool(default)
        if default == " = QXC":
            source.use("qenex.types", "QXC")
        texts.insert(0, text + default)
    if not references:
        return "".join(f"{text}, " for text in texts) + "*, "
    return "*, " + "".join(f"{text}, " for text in texts) if texts else ""


def _given(call: CallSpec) -> str:
    return "{" + ", ".join(f'"{p.name}": {p.name}' for p in call.parameters) + "}"


def _documented(call: CallSpec, closing: str) -> str:
    arguments = "\n".join(f"    {p.name}: {p.doc}" for p in call.parameters)
    listed = f"\n\nArgs:\n{arguments}" if arguments else ""
    return f"{call.details}\n\n{closing}{listed}"


def docstring(text: str, indent: int) -> str:
    """A docstring in source form, wrapped where it is too wide."""
    space = " " * indent
    escaped = text.replace("\\", "\\\\").replace('"""', "'''")
    lines: list[str] = []
    for line in escaped.split("\n"):
        left = len(line) - len(line.lstrip())
        lines += textwrap.wrap(
            line, 104 - indent, subsequent_indent=" " * (left + (4 if left else 0)), break_long_words=False
        ) or [""]
    if len(lines) == 1:
        return f'{space}"""{lines[0]}"""'
    return "\n".join(
        [f'{space}"""{lines[0]}', *[space + line if line else "" for line in lines[1:]], f'{space}"""']
    )
