"""The documents describe what is served: same names, same parameters, every reference resolves."""

from __future__ import annotations

import json
import re
from typing import Any

import openapi_spec_validator
import pytest

from node.rpc.declare import Access, Registry
from node.rpc.documents import openapi, openrpc
from node.rpc.rest import Router
from qenex.errors import REGISTRY
from tests.node.rpc.chain_helpers import TestChain
from tests.node.rpc.json_schema import KNOWN

CHAIN = TestChain()
REGISTRY_OF_METHODS: Registry = CHAIN.dispatcher.registry
OPENRPC = json.loads(json.dumps(openrpc(REGISTRY_OF_METHODS, "1.0")))
OPENAPI = json.loads(json.dumps(openapi(REGISTRY_OF_METHODS, "1.0")))


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [ref for part in value.values() for ref in references(part)]
    if isinstance(value, list):
        return [ref for part in value for ref in references(part)]
    return []


def check_schema(schema: Any, where: str) -> None:
    """Raise AssertionError unless this is a JSON Schema of the kind we use."""
    assert isinstance(schema, dict), where
    assert set(schema) <= KNOWN | {"$ref"}, f"{where}: {set(schema) - KNOWN}"
    for name, inner in schema.get("properties", {}).items():
        check_schema(inner, f"{where}.{name}")
    for part in (*schema.get("anyOf", ()), *schema.get("prefixItems", ())):
        check_schema(part, where)
    if "items" in schema:
        check_schema(schema["items"], where + "[]")
    if "pattern" in schema:
        re.compile(schema["pattern"])
    assert set(schema.get("required", ())) <= set(schema.get("properties", schema.get("required", ()))), where


@pytest.mark.parametrize("document", [OPENRPC, OPENAPI], ids=["openrpc", "openapi"])
def test_every_reference_resolves_inside_the_document(document):
    assert references(document)
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        check_schema(place, reference)


def test_openrpc_has_the_members_its_specification_asks_for():
    assert re.fullmatch(r"1\.3\.\d+", OPENRPC["openrpc"])
    assert (
        {"title", "version"}
        <= set(OPENRPC["info"])
        <= {"title", "version", "description", "license", "contact"}
    )
    assert {name for name in OPENRPC if not name.startswith("x-")} == {
        "openrpc",
        "info",
        "methods",
        "components",
    }
    allowed = {"name", "summary", "description", "paramStructure", "params", "result", "errors", "tags"}
    names = [method["name"] for method in OPENRPC["methods"]]
    assert len(set(names)) == len(names)
    for method in OPENRPC["methods"]:
        assert {name for name in method if not name.startswith("x-")} <= allowed
        assert method["paramStructure"] == "either"
        assert method["summary"].endswith(".")
        for descriptor in method["params"]:
            assert set(descriptor) == {"name", "description", "required", "schema"}
            assert descriptor["description"], method["name"]
            check_schema(descriptor["schema"], method["name"])
        assert set(method["result"]) == {"name", "schema"}
        check_schema(method["result"]["schema"], method["name"])
        required = [descriptor["required"] for descriptor in method["params"]]
        assert required == sorted(required, reverse=True), f"{method['name']}: required parameters come first"
        for error in method.get("errors", ()):
            assert set(error) == {"code", "message", "data"}
            assert REGISTRY[error["code"]].name == error["message"]


def test_openrpc_describes_exactly_what_dispatch_knows():
    described = {method["name"]: [p["name"] for p in method["params"]] for method in OPENRPC["methods"]}
    served = {
        name: [parameter.name for parameter in method.parameters]
        for name, method in REGISTRY_OF_METHODS.methods.items()
    }
    assert described == served
    assert {error["code"] for error in OPENRPC["x-errors"]} == set(REGISTRY)


NEEDED = [
    "node_info",
    "node_status",
    "node_peers",
    "node_health",
    "chain_getBlock",
    "chain_getHeader",
    "chain_getCommit",
    "chain_getValidators",
    "chain_getGenesis",
    "tx_submit",
    "tx_submitAndWait",
    "tx_get",
    "tx_simulate",
    "tx_estimateFee",
    "state_getAccount",
    "state_getProof",
    "bank_getBalance",
    "bank_getBalances",
    "bank_getSupply",
    "mempool_status",
    "events_query",
    "events_subscribe",
    "events_unsubscribe",
    "rpc.discover",
]


@pytest.mark.parametrize("name", NEEDED)
def test_the_methods_that_others_build_on_exist(name):
    assert name in REGISTRY_OF_METHODS.methods


def test_openapi_has_one_operation_per_mirrored_read():
    assert OPENAPI["openapi"].startswith("3.1")
    mirrored = {m.name for m in REGISTRY_OF_METHODS.public() if m.rest}
    operations = [operation for path in OPENAPI["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert mirrored <= set(ids)
    for path, item in OPENAPI["paths"].items():
        for operation in item.values():
            given = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert given == set(re.findall(r"\{(\w+)\}", path)), path
            assert all(p["required"] for p in operation.get("parameters", ()) if p["in"] == "path")
            assert "200" in operation["responses"]


def test_every_read_of_the_public_has_a_rest_path():
    without = {m.name for m in REGISTRY_OF_METHODS.public() if not m.rest}
    assert without == {
        "rpc.discover",
        "tx_submit",
        "tx_submitAndWait",
        "tx_simulate",
        "tx_estimateFee",
        "tx_decode",
    }
    assert all(not m.rest for m in REGISTRY_OF_METHODS.methods.values() if m.access is not Access.PUBLIC)


@pytest.mark.parametrize(
    ("path", "query", "name", "params"),
    [
        ("/blocks/latest", "", "chain_getBlock", {"height": "latest"}),
        ("/blocks/12", "", "chain_getBlock", {"height": 12}),
        ("/blocks", "limit=5", "chain_getBlocks", {"limit": 5}),
        ("/blocks/by-hash/0x00", "", "chain_getBlockByHash", {"hash": "0x00"}),
        ("/transactions/0x12", "prove=true", "tx_get", {"hash": "0x12", "prove": True}),
        ("/accounts/qx1", "at=7", "state_getAccount", {"address": "qx1", "at": 7}),
        ("/bank/balance/qx1/amm%2F7", "", "bank_getBalance", {"address": "qx1", "denom": "amm/7"}),
        ("/bank/balances/qx1", "limit=3", "bank_getBalances", {"address": "qx1", "limit": 3}),
        ("/bank/supply/QXC", "prove=true&at=3", "bank_getSupply", {"denom": "QXC", "prove": True, "at": 3}),
        ("/machine/fee-market", "", "machine_getFeeMarket", {}),
        ("/mempool", "", "mempool_status", {}),
        ("/events", "event=bank.&limit=2", "events_query", {"event": "bank.", "limit": 2}),
    ],
)
def test_paths_follow_one_rule(path, query, name, params):
    match = Router(REGISTRY_OF_METHODS).match(path, query)
    assert (match.method.name, match.params) == (name, params)


def test_openapi_fits_its_specification():
    openapi_spec_validator.validate(OPENAPI)
