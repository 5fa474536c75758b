"""Reference pages of what a node offers beyond its modules: JSON-RPC methods and settings."""

from __future__ import annotations

import inspect
import json
from typing import Any, Final

from ledger.genesis import Genesis
from ledger.store import Ledger
from node.application import Application
from node.config import CONFIG_FILE, ENVIRONMENT_PREFIX, MIN_HISTORY, SECTIONS, specs_of
from node.entrance import Entrance
from node.events import EventBus
from node.generate.reference import page, table
from node.rpc.app import AdminMethods, build_registry
from node.rpc.declare import Access
from node.rpc.declare import Registry as RpcRegistry
from node.rpc.documents import openrpc
from node.rpc.peer_methods import PeerMethods
from node.rpc.rest import ROOT
from node.service import Identity, NodeService
from node.verifier import Verifier
from qenex.block import Validator
from qenex.crypto import SCHEMES_BY_TAG
from qenex.crypto.address import address_of, key_bytes
from vm.machine import Machine

_ACCESS: Final = {
    Access.PUBLIC.value: "",
    Access.ADMIN.value: "Only on the local socket `admin.sock`, or with the token `rpc.admin_token`.",
    Access.SESSION.value: "Only on a WebSocket (`/ws`).",
}
_PATTERNS: Final = {
    "^(qx|tqx)1[02-9ac-hj-np-z]{59}$": "address",
    "^0x[0-9a-f]{64}$": "hash",
    "^0x([0-9a-f]{2}){32,32}$": "hash",
    "^(0|[1-9][0-9]*)$": "amount",
    "^(0|-?[1-9][0-9]*)$": "amount",
    "^[A-Za-z][A-Za-z0-9._/-]{2,63}$": "denomination",
}
_PROVED: Final = "Proved"


def rpc_registry(machine: Machine) -> RpcRegistry:
    """Every method of a node with these modules, on a chain in memory that is never asked anything."""
    public_key, _ = SCHEMES_BY_TAG[1].generate(bytes(32))
    validator = Validator(address_of(1, public_key), key_bytes(1, public_key), 1)
    genesis = Genesis(chain_id="reference", time=1, validators=(validator,), modules={}, parameters={})
    ledger = Ledger.create("", genesis, codecs=machine.state_codecs, backend="memory")
    Application.init_chain(machine, ledger)
    application = Application(machine, ledger, Verifier(0))
    events = EventBus(application.read_events, ledger.height)
    service = NodeService(
        machine, ledger, application.mempool, events, Entrance(application), Identity("reference", "")
    )
    return build_registry(service, AdminMethods(lambda: None, lambda level: None), PeerMethods(None))


def rpc_page(machine: Machine) -> str:
    """Every JSON-RPC method with its parameters, result and errors, then the records."""
    registry = rpc_registry(machine)
    document = openrpc(registry, "")
    schemas: dict[str, Any] = document["components"]["schemas"]
    parts = [
        "# RPC methods",
        "As `rpc.discover` tells them, on a node with all modules of this version. [RPC](../developers/rpc.md) says\n"
        "how they are called, encoded, bounded and paid for: a call takes its *cost* from the caller's rate. Every\n"
        "method may also answer the JSON-RPC errors, `limit_exceeded` and the errors of its parameters' types; those\n"
        "named with a method are its own. All are explained among the [errors](errors.md).",
    ]
    for entry in document["methods"]:
        method = registry.methods[entry["name"]]
        notes = [f"Cost {method.cost}."]
        if method.rest:
            notes.append(f"REST: `GET {ROOT}{method.rest}`.")
        if method.name == "tx_submit":
            notes.append(f"REST: `POST {ROOT}/transaction`.")
        notes.append(_ACCESS[entry["x-access"]])
        rows = [
            (
                f"`{parameter['name']}`",
                _type(parameter["schema"]),
                "yes" if parameter["required"] else _default(parameter["schema"]),
                _cell(parameter["description"]),
            )
            for parameter in entry["params"]
        ]
        errors = ", ".join(f"`{error.name}` ({error.code})" for error in method.errors)
        parts += [
            f"## `{method.name}`",
            entry["summary"],
            entry.get("description", ""),
            table(("Parameter", "Type", "Required (default)", "Meaning"), rows) if rows else "No parameters.",
            f"Result: {_type(entry['result']['schema'])}.",
            f"Errors: {errors}." if errors else "",
            " ".join(note for note in notes if note),
        ]
    parts += [
        "## Records",
        "A read with `prove: true` answers `value` (what it answers otherwise), `height`, `proofs` (a list of\n"
        "`ProvedEntry`), `header` and `header_hash` of the block after `height`, and its `commit`: the *proved answer*.",
    ]
    for name in sorted(schemas):
        if not name.startswith(_PROVED) or name == "ProvedEntry":
            parts += [f"### {name}", *_record(schemas[name])]
    return page(parts)


def _record(schema: dict[str, Any]) -> list[str]:
    properties: dict[str, Any] = schema.get("properties", {})
    if not properties:
        return [schema.get("description", "An object.") + ("" if "description" not in schema else ".")]
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(inner) + ("" if name in required else " (may be absent)"))
        for name, inner in properties.items()
    ]
    return [table(("Field", "Type"), rows)]


def _type(schema: dict[str, Any]) -> str:
    """A schema in words."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name:
        proved = name.startswith(_PROVED) and name != "ProvedEntry"
        return "with `prove` a [proved answer](#records)" if proved else f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return " or ".join(_type({**schema, "type": kind}) for kind in kinds)
    if kinds == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if kinds == "string":
        return _text_type(schema)
    if kinds == "integer":
        return "integer" + _range(schema.get("minimum"), schema.get("maximum"), above=1 << 32)
    return str(kinds)


def _text_type(schema: dict[str, Any]) -> str:
    pattern = schema.get("pattern")
    if pattern is not None:
        return _PATTERNS.get(pattern, "hex" if pattern.startswith("^0x") else "text")
    if schema.get("format") == "date-time":
        return "time"
    return "text" + _range(schema.get("minLength"), schema.get("maxLength"), above=1 << 12)


def _range(low: int | None, high: int | None, *, above: int) -> str:
    """Bounds worth knowing: an upper one of a machine word is not."""
    if high is None or high >= above - 1:
        return ""
    return f" ({low or 0:,} to {high:,})"


def parameters_page(machine: Machine) -> str:
    """Every module's parameters: range, what they are unless the genesis or a vote says otherwise."""
    parts = [
        "# Parameters",
        "The rules of a chain that a vote can change, by module. A genesis gives those that differ from the ones here; a proposal\n"
        "(`qenex governance propose-parameters`) is refused at once where a value is out of its range. Integers; lists and\n"
        "records are JSON. `qenex governance get-module-parameters MODULE` tells what is in force.",
    ]
    for name in machine.registry.modules:
        module, codec = machine.modules[name], machine.registry.params[name]
        schema, usual = codec.schema, codec.to_json(module.Params(), "qx")
        if not usual:
            continue
        rows = [
            (f"`{field}`", _cell(_type_and_range(inner)), f"`{_cell(json.dumps(usual[field]))}`")
            for field, inner in schema["properties"].items()
        ]
        parts += [
            f"## {name}",
            inspect.cleandoc(type(module).Params.__doc__ or ""),
            table(("Field", "Type", "Unless given"), rows),
        ]
    return page(parts)


def _type_and_range(schema: dict[str, Any]) -> str:
    if schema.get("type") == "integer" and "maximum" in schema:
        return f"{schema.get('minimum', 0):,} to {schema['maximum']:,}"
    if schema.get("type") == "array" and "properties" in schema.get("items", {}):
        return f"list of records: {', '.join(schema['items']['properties'])}"
    return _type(schema)


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    if value is None:
        return "no"
    return f"no (`{str(value).lower() if isinstance(value, bool) else value}`)"


def configuration_page() -> str:
    """Every setting of a node with its default, range and meaning."""
    parts = [
        "# Configuration of a node",
        f"A node reads `{CONFIG_FILE}` in its home; every setting may be left out. Lowest first: defaults, file,\n"
        "environment, `--set section.key=value` of `python -m node`. All four are checked alike before anything is\n"
        "opened: an unknown key or a value outside its range ends the start with exit code 10 and names both.",
        f"In the environment `rpc.port` is `{ENVIRONMENT_PREFIX}RPC_PORT`; a list is written with commas.",
    ]
    for name, section in SECTIONS.items():
        rows = [
            (f"`{key}`", f"`{_toml(default)}`", _allowed(default, spec.allowed), _cell(spec.doc))
            for key, (spec, default) in specs_of(section).items()
        ]
        doc = (section.__doc__ or "").strip()
        parts += [f"## [{name}]", doc, table(("Setting", "Default", "Allowed", "Meaning"), rows)]
    parts += [
        "## Together",
        "- `engine.min_interval_ms` is at most `engine.settle_interval_ms`.\n"
        f"- `database.history` is 0, or at least {MIN_HISTORY} blocks.\n"
        "- `rpc.admin_token` is empty, or has at least 16 characters.",
    ]
    return page(parts)


def _allowed(default: Any, allowed: str) -> str:
    return f"a list of texts, {allowed}" if isinstance(default, tuple) else allowed.replace('"', "`")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
