"""The one registry: what the modules declare, compiled for execution and for every border.

Messages, queries, events and parameters with their codecs. RPC, REST, CLI, SDK, docs and the property
tests are derived from here; the JSON forms of transactions, receipts and events live here too, because
only the registry knows their fields' names.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qenex.block import Event, Receipt
from qenex.codec import Codec, Plain, Reference, codec_for, fields_of, tuple_codec
from qenex.errors import InvalidArguments, InvalidReference, MalformedBytes, QenexError, UnknownMessage
from qenex.transaction import Fee, Message, Signer, Transaction, encode_body
from vm.module import Declaration, Module

_MODULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One declared argument. `hint` is the Python type, `doc` the sentence under `Args:`."""

    name: str
    hint: Any
    codec: Codec[Any]
    doc: str


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What messages, queries and internals share. `result` is the returned type (None: nothing)."""

    name: str
    module: str
    verb: str
    parameters: tuple[ParameterSpec, ...]
    result: Any
    result_codec: Codec[Any]
    doc: str
    details: str

    def args_to_json(self, args: Sequence[Plain], prefix: str) -> dict[str, Any]:
        """Arguments as an object by parameter name; references as `{"$": [index, field]}`."""
        return {
            p.name: _reference_to_json(a) if isinstance(a, Reference) else p.codec.to_json(a, prefix)
            for p, a in zip(self.parameters, args, strict=True)
        }

    def args_from_json(self, value: Any) -> tuple[Plain, ...]:
        """Inverse of `args_to_json`. Raises InvalidArguments naming what is wrong."""
        names = [p.name for p in self.parameters]
        if not isinstance(value, dict):
            raise InvalidArguments(f"{self.name}: arguments are an object with {names}")
        unknown = sorted(str(name)[:40] for name in value if name not in names)[:5]
        optional = {p.name for p in self.parameters if p.codec.check_none()}
        missing = [name for name in names if name not in value and name not in optional]
        if unknown or missing:
            raise InvalidArguments(f"{self.name}: unknown arguments {unknown}, missing arguments {missing}")
        args = []
        for parameter in self.parameters:
            given = value.get(parameter.name)
            try:
                reference = _reference_from_json(given)
                args.append(parameter.codec.from_json(given) if reference is None else reference)
            except MalformedBytes as error:
                raise InvalidArguments(f"{self.name}: {parameter.name}: {error.message}") from None
        return tuple(args)


@dataclass(frozen=True, slots=True)
class MessageSpec(CallSpec):
    """A signed message. `gas` is its base cost; `exit` messages stay open while the module is paused.

    `hands_over` messages give away what no balance shows: guarded accounts do not send them.
    """

    gas: int
    exit: bool
    hands_over: bool = False
    result_fields: dict[str, Any] = field(default_factory=dict)
    arguments: Codec[tuple[Plain, ...]] = field(init=False)
    """Of all arguments at once, for the usual case: no reference, nothing wrong."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple_codec([p.codec for p in self.parameters]))

    def check_args(self, args: tuple[Plain, ...], earlier: Sequence[MessageSpec]) -> tuple[Plain, ...]:
        """Typed arguments. A reference must name an earlier message's result field of the same type.

        Raises InvalidArguments or InvalidReference.
        """
        parameters = self.parameters
        if len(args) != len(parameters):
            raise InvalidArguments(f"{self.name} takes {len(parameters)} arguments, got {len(args)}")
        try:  # nearly always: no reference, nothing wrong (a reference passes no type's check)
            return self.arguments.check(args)
        except MalformedBytes:
            pass  # looked at one by one below, where the error gets its words
        checked = []
        for parameter, arg in zip(parameters, args, strict=True):
            if type(arg) is Reference:
                _check_reference(self.name, parameter, arg, earlier)
                checked.append(arg)
                continue
            try:
                checked.append(parameter.codec.check(arg))
            except MalformedBytes as error:
                raise InvalidArguments(f"{self.name}: {parameter.name}: {error.message}") from None
        return tuple(checked)


@dataclass(frozen=True, slots=True)
class QuerySpec(CallSpec):
    """A read of a committed version."""


@dataclass(frozen=True, slots=True)
class InternalSpec(CallSpec):
    """A call between modules. `exit`: open while the module is paused."""

    gas: int
    callers: tuple[str, ...]
    exit: bool = False


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A declared event record."""

    name: str
    module: str
    record: type
    codec: Codec[Any]
    doc: str


def _reference_to_json(reference: Reference) -> dict[str, Any]:
    return {"$": [reference.index, reference.field]}


def _reference_from_json(value: Any) -> Reference | None:
    if not (isinstance(value, dict) and set(value) == {"$"}):
        return None
    match value["$"]:
        case [int() as index, str() as name] if type(index) is int and index >= 0:
            return Reference(index, name)
    raise InvalidReference('a reference is {"$": [message index, "field"]}')


def _check_reference(
    name: str, parameter: ParameterSpec, reference: Reference, earlier: Sequence[MessageSpec]
) -> None:
    if not 0 <= reference.index < len(earlier):
        raise InvalidReference(
            f"{name}: {parameter.name} refers to message {reference.index}, not an earlier one"
        )
    source = earlier[reference.index]
    hint = source.result_fields.get(reference.field)
    if hint is None:
        raise InvalidReference(f"{name}: {source.name} has no result field {reference.field[:40]!r}")
    if hint != parameter.hint:
        raise InvalidReference(
            f"{name}: {parameter.name} has another type than {source.name}.{reference.field}"
        )


def snake_case(name: str) -> str:
    """`RewardClaimed` -> `reward_claimed`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _argument_docs(method: Callable[..., Any]) -> tuple[str, str, dict[str, str]]:
    """First sentence, whole text before `Args:`, and the sentence for each argument."""
    text = inspect.getdoc(method) or ""
    head, _, tail = text.partition("Args:\n")
    docs: dict[str, str] = {}
    current = ""
    for line in tail.split("\n\n", 1)[0].splitlines():
        found = re.match(r"^ {4}(\w+): (.*)$", line)
        if found:
            current = found[1]
            docs[current] = found[2].strip()
        elif current and line.strip():
            docs[current] += " " + line.strip()
    summary = head.strip().split("\n\n")[0].replace("\n", " ")
    return summary, head.strip(), docs


def _call_fields(module: type[Module], verb: str, method: Callable[..., Any]) -> dict[str, Any]:
    names = list(inspect.signature(method).parameters)[2:]  # self and the context come first
    hints = typing.get_type_hints(method, include_extras=True)
    summary, details, docs = _argument_docs(method)
    where = f"{module.name}.{verb}"
    if not summary:
        raise TypeError(f"{where} has no docstring")
    if set(docs) != set(names):
        raise TypeError(f"{where} documents {sorted(docs)} under Args:, its parameters are {names}")
    untyped = [name for name in (*names, "return") if name not in hints]
    if untyped:
        raise TypeError(f"{where} has no type for {untyped}")
    result = hints["return"]
    return {
        "name": where,
        "module": module.name,
        "verb": verb,
        "parameters": tuple(ParameterSpec(n, hints[n], codec_for(hints[n]), docs[n]) for n in names),
        "result": result,
        "result_codec": codec_for(result),
        "doc": summary,
        "details": details,
    }


class Registry:
    """Everything the given module classes declare, by name. Raises TypeError on a bad declaration."""

    def __init__(self, modules: Sequence[type[Module]]) -> None:
        self.modules: dict[str, type[Module]] = {}
        self.messages: dict[str, MessageSpec] = {}
        self.queries: dict[str, QuerySpec] = {}
        self.internals: dict[str, InternalSpec] = {}
        self.events: dict[str, EventSpec] = {}
        self.event_names: dict[type, str] = {}
        self.params: dict[str, Codec[Any]] = {}
        for module in sorted(modules, key=lambda m: m.id):
            self._add(module)
        for name, module in self.modules.items():
            for used in module.uses:
                if used not in self.modules:
                    raise TypeError(f"module {name} uses {used}, which is not registered")
        self._refuse_circles()

    def _add(self, module: type[Module]) -> None:
        if not _MODULE_NAME.fullmatch(module.name) or module.name == "genesis" or not 0 <= module.id <= 255:
            raise TypeError(f"{module.name!r} (id {module.id}) cannot be a module's name and id")
        if module.name in self.modules or module.id in [m.id for m in self.modules.values()]:
            raise TypeError(f"module {module.name} (id {module.id}) is registered twice")
        self.modules[module.name] = module
        self.params[module.name] = codec_for(module.Params)
        for record in module.events:
            name = f"{module.name}.{snake_case(record.__name__)}"
            if record in self.event_names or name in self.events:
                raise TypeError(f"the record of event {name} is declared twice: each event has its own")
            self.events[name] = EventSpec(
                name, module.name, record, codec_for(record), inspect.getdoc(record) or ""
            )
            self.event_names[record] = name
        for verb, method in inspect.getmembers(module, inspect.isfunction):
            mark: Declaration | None = getattr(method, "__qenex__", None)
            if mark is None or mark.kind == "invariant":
                continue
            fields = _call_fields(module, verb, method)
            if mark.kind == "message":
                result = fields["result"]
                is_record = isinstance(result, type) and issubclass(result, tuple)
                spec = MessageSpec(
                    **fields,
                    gas=mark.gas,
                    exit=mark.exit,
                    hands_over=mark.hands_over,
                    result_fields=fields_of(result) if is_record else {},
                )
                self.messages[spec.name] = spec
            elif mark.kind == "query":
                self.queries[fields["name"]] = QuerySpec(**fields)
            else:
                self.internals[fields["name"]] = InternalSpec(
                    **fields, gas=mark.gas, callers=mark.callers, exit=mark.exit
                )

    def _refuse_circles(self) -> None:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                raise TypeError(f"modules use each other in a circle: {' -> '.join((*path, name))}")
            if name not in done:
                for used in self.modules[name].uses:
                    visit(used, (*path, name))
                done.add(name)

        for name in list(self.modules):
            visit(name, ())

    # -- JSON -------------------------------------------------------------------------------

    def message(self, name: str) -> MessageSpec:
        """The declaration of a message. Raises UnknownMessage."""
        spec = self.messages.get(name)
        if spec is None:
            raise UnknownMessage(f"no message is called {name[:64]!r}")
        return spec

    def transaction_to_json(self, tx: Transaction, prefix: str = "qx") -> dict[str, Any]:
        """A decoded transaction with argument names. Raises UnknownMessage or InvalidArguments."""
        signer = codec_for(Signer)
        messages: list[dict[str, Any]] = []
        specs: list[MessageSpec] = []
        for message in tx.messages:
            spec = self.message(message.name)
            args = spec.check_args(message.args, specs)
            specs.append(spec)
            messages.append(
                {"name": message.name, "args": spec.args_to_json(args, prefix), "signer": message.signer}
            )
        return {
            "chain_id": tx.chain_id,
            "signers": [signer.to_json(s, prefix) for s in tx.signers],
            "messages": messages,
            "fee": codec_for(Fee).to_json(tx.fee, prefix),
            "valid_until": tx.valid_until,
            "lease": None if tx.lease is None else "0x" + tx.lease.hex(),
            "memo": tx.memo,
            "signatures": [_signature_to_json(s) for s in tx.signatures],
        }

    def body_from_json(self, value: Any) -> bytes:
        """Body bytes of a transaction's JSON form (`signatures` ignored). Raises a 1000s error."""
        known = {"chain_id", "signers", "messages", "fee", "valid_until", "lease", "memo", "signatures"}
        if (
            not isinstance(value, dict)
            or not set(value) <= known
            or not known - {"lease", "memo", "signatures"} <= set(value)
        ):
            raise MalformedBytes(f"a transaction is an object with the fields {sorted(known)}")
        if not all(isinstance(value[name], list) for name in ("signers", "messages")):
            raise MalformedBytes("signers and messages are arrays")
        lease = codec_for(bytes | None).from_json(value.get("lease"))
        return encode_body(
            codec_for(str).from_json(value["chain_id"]),
            [codec_for(Signer).from_json(item) for item in value["signers"]],
            [self.message_from_json(item) for item in value["messages"]],
            codec_for(Fee).from_json(value["fee"]),
            codec_for(int).check(value["valid_until"]),
            lease,
            codec_for(str).from_json(value.get("memo", "")),
        )

    def message_from_json(self, value: Any) -> Message:
        """One message `{"name", "args": {...}, "signer"}`. Raises a 1000s error."""
        if not isinstance(value, dict) or not {"name", "args"} <= set(value) <= {"name", "args", "signer"}:
            raise MalformedBytes('a message is {"name", "args": {...}, "signer"}')
        spec = self.message(codec_for(str).from_json(value["name"]))
        return Message(
            spec.name, spec.args_from_json(value["args"]), codec_for(int).check(value.get("signer", 0))
        )

    def event_to_json(self, event: Event, prefix: str = "qx") -> dict[str, Any]:
        """`{"name", "fields": {...}}`."""
        spec = self.events.get(event.name)
        if spec is None:
            return {"name": event.name, "fields": {}}
        return {"name": event.name, "fields": spec.codec.to_json(spec.codec.check(event.fields), prefix)}

    def receipt_to_json(self, receipt: Receipt, tx: Transaction, prefix: str = "qx") -> dict[str, Any]:
        """A receipt with named results and events; `error` names a non-zero status."""
        results = []
        for message, result in zip(tx.messages, receipt.results, strict=False):
            codec = self.message(message.name).result_codec
            results.append(codec.to_json(codec.check(result), prefix))
        return {
            "tx_id": "0x" + receipt.tx_id.hex(),
            "status": receipt.status,
            "failed_message": receipt.failed_message,
            "gas_used": receipt.gas_used,
            "fee": str(receipt.fee),
            "results": results,
            "events": [self.event_to_json(event, prefix) for event in receipt.events],
        }


def _signature_to_json(signature: Any) -> Any:
    if isinstance(signature, tuple):
        return [None if member is None else "0x" + member.hex() for member in signature]
    return "0x" + signature.hex()


def check_record(codec: Codec[Any], value: Any, error: type[QenexError], where: str) -> Any:
    """`from_json` with the error class and the place of the caller's choice."""
    try:
        return codec.from_json(value)
    except QenexError as found:
        raise error(f"{where}: {found.message}") from None
