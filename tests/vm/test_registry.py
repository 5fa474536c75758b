"""A declaration is the one source: what is wrong with it stops the program at start, never a block."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.bank import Bank
from qenex.codec import Reference
from qenex.crypto import encode_address
from qenex.errors import InvalidArguments, InvalidReference, MalformedBytes, QenexError, UnknownMessage
from qenex.transaction import decode_body
from qenex.types import QXC, U64, Amount, Coin
from tests.vm.chain import ACTORS, Chain, ref
from tests.vm.lab import Hooked, Lab, Vault
from vm.accounts import Accounts
from vm.context import Context
from vm.core import Core
from vm.machine import Machine
from vm.module import Module, internal, message, query
from vm.registry import Registry, snake_case

ALICE, BOB = ACTORS[:2]
REGISTRY = Registry([Core, Accounts, Bank, Lab, Vault])


def test_everything_declared_is_there_by_name() -> None:
    send = REGISTRY.messages["bank.send"]
    assert [p.name for p in send.parameters] == ["to", "amount"]
    assert [p.doc for p in send.parameters] == ["who receives.", "how much of which denomination."]
    assert send.parameters[1].hint is Coin
    assert (send.doc, send.gas, send.exit) == ("Send coins to an account.", 300, False)
    assert set(send.result_fields) == {"denom", "amount"}
    assert "bank.get_balance" in REGISTRY.queries
    assert "accounts.key_rotated" in REGISTRY.events
    assert REGISTRY.internals["vault.deposit"].callers == ("lab",)
    assert REGISTRY.messages["vault.leave"].exit
    assert not {"bank.import_genesis", "lab.no_bad_note", "vault.deposit"} & set(REGISTRY.messages)


def test_parameters_of_modules_tell_their_ranges() -> None:
    schema = REGISTRY.params["machine"].schema
    assert schema["properties"]["burn_bps"] == {"type": "integer", "minimum": 0, "maximum": 10_000}
    for name, module in REGISTRY.modules.items():
        text = module.Params.__doc__ or ""
        for field in REGISTRY.params[name].schema["properties"]:
            assert f"`{field}`" in text or field in ("step", "share") or field.startswith("scheme_"), field


def declare(**attributes: Any) -> type[Module]:
    """A module class with these attributes."""
    return type("Made", (Module,), {"id": 50, "name": "made", "__doc__": "Made for a test.", **attributes})


def typed(self: Any, ctx: Context, amount: Amount) -> U64:
    """Do it.

    Args:
        amount: how much.
    """
    return amount


def undocumented(self: Any, ctx: Context, amount: Amount) -> U64:
    """Do it."""
    return amount


def misnamed(self: Any, ctx: Context, amount: Amount) -> U64:
    """Do it.

    Args:
        sum: how much.
    """
    return amount


def silent(self: Any, ctx: Context) -> None: ...


def untyped(self: Any, ctx: Context, amount) -> U64:
    """Do it.

    Args:
        amount: how much.
    """
    return amount


def no_result(self: Any, ctx: Context):
    """Do it."""


def with_float(self: Any, ctx: Context, amount: float) -> None:
    """Do it.

    Args:
        amount: how much.
    """


def with_dict(self: Any, ctx: Context) -> dict[str, int]:
    """Do it."""
    return {}


@pytest.mark.parametrize(
    "method", [undocumented, misnamed, silent, untyped, no_result, with_float, with_dict]
)
@pytest.mark.parametrize("kind", ["message", "query", "internal"])
def test_bad_declaration_is_refused_at_start(method: Any, kind: str) -> None:
    import types

    copy = types.FunctionType(method.__code__, method.__globals__, method.__name__)
    copy.__doc__, copy.__annotations__ = method.__doc__, dict(method.__annotations__)
    mark = {"message": message(gas=1), "query": query, "internal": internal(callers=(), gas=1)}[kind]
    with pytest.raises(TypeError):
        Registry([declare(act=mark(copy))])


class Mutable(NamedTuple):
    """An event that could change behind the journal."""

    items: list[int]


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "Made"},
        {"name": ""},
        {"name": "genesis"},
        {"name": "a/b"},
        {"name": "x" * 33},
        {"id": 256},
        {"id": -1},
        {"uses": ("nobody",)},
        {"uses": ("made",)},
        {"events": (Mutable,)},
        {"Params": Mutable},
    ],
)
def test_bad_module_is_refused_at_start(attributes: dict[str, Any]) -> None:
    Registry([declare()])
    with pytest.raises(TypeError):
        Registry([declare(**attributes)])


def test_modules_are_registered_once_and_use_each_other_in_no_circle() -> None:
    with pytest.raises(TypeError, match="twice"):
        Registry([declare(), declare(id=51)])
    with pytest.raises(TypeError, match="twice"):
        Registry([declare(), declare(name="other")])
    circle = [
        declare(id=51, name="a", uses=("b",)),
        declare(id=52, name="b", uses=("c",)),
        declare(id=53, name="c", uses=("a",)),
    ]
    with pytest.raises(TypeError, match="circle"):
        Registry(circle)


class Happened(NamedTuple):
    """An event."""

    number: U64


def test_event_record_belongs_to_one_module() -> None:
    Registry([declare(events=(Happened,))])
    with pytest.raises(TypeError, match="declared twice"):
        Registry([declare(events=(Happened, Happened))])
    with pytest.raises(TypeError, match="declared twice"):
        Registry([declare(events=(Happened,)), declare(id=51, name="other", events=(Happened,))])


def test_hook_without_a_place_in_the_order_is_refused() -> None:
    for hook in ("begin_block", "end_block"):
        with pytest.raises(TypeError, match="no place"):
            Machine([declare(**{hook: lambda self, ctx: None})])
    Machine([Hooked])


@pytest.mark.parametrize(
    ("name", "expected"), [("Transferred", "transferred"), ("KeyRotated", "key_rotated"), ("A1B", "a1_b")]
)
def test_event_names_are_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


# -- JSON --------------------------------------------------------------------------------------------------


ARGS = st.builds(
    lambda amount, to, key, value: [
        ("lab.make", (amount,)),
        ("bank.send", (to, ref(0, "coin"))),
        ("lab.put", (key, value)),
        ("lab.deposit", (amount, None)),
        ("lab.deposit", (ref(0, "amount"), to)),
    ],
    st.integers(0, 2**128 - 1),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=40),
)


@given(ARGS, st.one_of(st.none(), st.binary(min_size=32, max_size=32)), st.text(max_size=20))
def test_transaction_survives_its_json_form(messages: Any, lease: bytes | None, memo: str) -> None:
    chain = SHARED
    tx = chain.tx(ALICE, *messages, others=[BOB], acting=[0, 1, 0, 1, 0], lease=lease, memo=memo)
    for prefix in ("qx", "tqx"):
        value = REGISTRY.transaction_to_json(tx, prefix)
        assert value["signatures"] == ["0x" + s.hex() for s in tx.signatures if isinstance(s, bytes)]
        assert REGISTRY.body_from_json(value) == tx.body_bytes


SHARED = Chain(Lab, Vault)


def good() -> dict[str, Any]:
    return REGISTRY.transaction_to_json(SHARED.tx(ALICE, ("bank.send", (BOB.address, (QXC, 5)))))


def change(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    at: Any = value
    for step in path[:-1]:
        at = at[step]
    if new is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return value


@pytest.mark.parametrize(
    ("path", "new", "error"),
    [
        (("chain_id",), 5, MalformedBytes),
        (("chain_id",), ..., MalformedBytes),
        (("more",), 1, MalformedBytes),
        (("signers",), {}, MalformedBytes),
        (("signers", 0), [], MalformedBytes),
        (("signers", 0, "sequence"), "0", MalformedBytes),
        (("signers", 0, "sequence"), 2**64, MalformedBytes),
        (("signers", 0, "more"), 1, MalformedBytes),
        (("messages", 0), 5, MalformedBytes),
        (("messages", 0, "name"), 5, MalformedBytes),
        (("messages", 0, "name"), "bank.steal", UnknownMessage),
        (("messages", 0, "more"), 1, MalformedBytes),
        (("messages", 0, "args"), [], InvalidArguments),
        (("messages", 0, "args", "to"), ..., InvalidArguments),
        (("messages", 0, "args", "more"), 1, InvalidArguments),
        (("messages", 0, "args", "amount", "amount"), 5, InvalidArguments),
        (("messages", 0, "args", "amount", "amount"), "5.0", InvalidArguments),
        (("messages", 0, "args", "amount", "amount"), "-5", InvalidArguments),
        (("messages", 0, "args", "amount"), {"$": [0]}, InvalidReference),
        (("messages", 0, "args", "amount"), {"$": [True, "coin"]}, InvalidReference),
        (("messages", 0, "args", "amount"), {"$": [-1, "coin"]}, InvalidReference),
        (("messages", 0, "args", "amount"), {"$": ["0", "coin"]}, InvalidReference),
        (("messages", 0, "args", "amount"), {"$": [2**70, "coin"]}, MalformedBytes),
        (("messages", 0, "args", "amount"), {"$": [0, "x" * 500]}, MalformedBytes),
        (("messages", 0, "args", "amount"), {"$": [0, "\ud800"]}, MalformedBytes),
        (("messages", 0, "args", "amount"), {"$": [0, "coin"], "x": 1}, InvalidArguments),
        (("fee",), 5, MalformedBytes),
        (("fee", "max"), 5, MalformedBytes),
        (("valid_until",), "5", MalformedBytes),
        (("valid_until",), None, MalformedBytes),
        (("lease",), "0xzz", MalformedBytes),
        (("memo",), 5, MalformedBytes),
        (("memo",), "\ud800", MalformedBytes),
    ],
)
def test_wrong_json_is_refused_by_name(path: tuple[Any, ...], new: Any, error: type[QenexError]) -> None:
    assert REGISTRY.body_from_json(good())
    with pytest.raises(QenexError) as found:
        REGISTRY.body_from_json(change(good(), path, new))
    assert type(found.value) is error, found.value


def test_wrong_address_in_json_is_refused_by_name() -> None:
    text = encode_address(BOB.address)
    for wrong in (text[:-1] + ("q" if text[-1] != "q" else "p"), "bob", 5, None, text.upper()[:-1]):
        with pytest.raises(QenexError) as found:
            REGISTRY.body_from_json(change(good(), ("messages", 0, "args", "to"), wrong))
        assert found.value.name in ("invalid_address", "invalid_arguments")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS = [
    ("chain_id",), ("signers",), ("signers", 0), ("signers", 0, "address"), ("signers", 0, "public_key"),
    ("messages",), ("messages", 0), ("messages", 0, "args"), ("messages", 0, "args", "to"),
    ("messages", 0, "args", "amount"), ("messages", 0, "signer"), ("fee",), ("fee", "tip"), ("valid_until",),
    ("lease",), ("memo",),
]  # fmt: skip


@given(st.sampled_from(PATHS), json_values)
def test_any_json_is_a_body_or_a_typed_error(path: tuple[Any, ...], value: Any) -> None:
    with suppress(QenexError):
        REGISTRY.transaction_to_json(decode_body(REGISTRY.body_from_json(change(good(), path, value))))


def test_receipt_and_events_are_named() -> None:
    chain = Chain(Lab, Vault)
    tx = chain.tx(ALICE, ("lab.make", (5,)), ("bank.send", (BOB.address, ref(0, "coin"))), ("lab.emit", (1,)))
    value = REGISTRY.receipt_to_json(chain.run(tx)[0], tx)
    assert value["results"] == [
        {
            "coin": {"denom": "lab/token", "amount": "5"},
            "amount": "5",
            "who": encode_address(ALICE.address),
            "number": 7,
        },
        {"denom": "lab/token", "amount": "5"},
        None,
    ]
    assert value["events"][1] == {"name": "lab.noted", "fields": {"key": 0}}
    assert value["tx_id"] == "0x" + tx.tx_id.hex()


def test_optional_argument_may_be_left_out() -> None:
    spec = REGISTRY.messages["lab.deposit"]
    assert spec.args_from_json({"amount": "5"}) == (5, None)
    assert spec.args_to_json((Reference(0, "amount"), None), "qx") == {
        "amount": {"$": [0, "amount"]},
        "acting": None,
    }
