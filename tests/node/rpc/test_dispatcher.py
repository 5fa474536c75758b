"""JSON-RPC 2.0 over bytes: every message has one lawful answer, every caller's mistake its own code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.declare import Access, Registry, method, methods_of
from node.rpc.dispatcher import Bounds, Caller, Dispatcher
from node.rpc.values import At, EventFilterInput, Limit, TransactionInput
from node.service import LATEST
from qenex.crypto.address import Address, encode_address
from qenex.errors import REGISTRY, InvalidParams, LimitExceeded, NotFound
from qenex.types import U32, Amount, Coin

ALICE = Address(b"\x01" * 32)


class Sample:
    """One method of each kind."""

    @method("test_add")
    def add(self, left: U32, right: U32 = 1) -> U32:
        """Return the sum.

        Args:
            left: One number,
                told in two lines.
            right: Another one.
        """
        return (left + right) & 0xFFFFFFFF

    @method("test_coin")
    def coin(self, owner: Address, amount: Amount) -> Coin:
        """Return a coin.

        Args:
            owner: Whose it is.
            amount: Base units.
        """
        return Coin("QXC", amount)

    @method("test_wait", cost=10)
    async def wait(self, value: str) -> str:
        """Return the value, later.

        Args:
            value: Any text.
        """
        return value

    @method("test_fail", result={"type": "null"})
    def fail(self, defect: bool = False) -> None:
        """Refuse.

        Args:
            defect: Whether to fail by a defect.
        """
        if defect:
            raise KeyError("secret detail")
        raise NotFound("nothing here")

    @method("test_inputs", result={"type": "object"})
    def inputs(
        self,
        transaction: TransactionInput = None,
        at: At = LATEST,
        filter_: EventFilterInput | None = None,
        limit: Limit = 10,
    ) -> dict[str, Any]:
        """Take each special type.

        Args:
            transaction: Bytes or a form.
            at: A height or a label.
            filter: What events.
            limit: Items.
        """
        return {"at": at, "limit": limit}

    @method("test_big", result={"type": "string"})
    def big(self, size: U32) -> str:
        """Return a long text.

        Args:
            size: Characters.
        """
        return "x" * size

    @method("admin_test", access=Access.ADMIN)
    def admin(self) -> bool:
        """Answer the operator."""
        return True

    @method("events_test", access=Access.SESSION)
    def session(self) -> bool:
        """Answer a connection."""
        return True


def _no_charge(cost: int) -> None:
    pass


CALLER = Caller(_no_charge)
BOUNDS = Bounds(max_request_size=10_000, max_batch=5, max_answer_size=2_000)
DISPATCHER = Dispatcher(Registry(methods_of(Sample(), "qx")), BOUNDS)


async def raw(data: bytes | str, caller: Caller = CALLER) -> Any:
    answer = await DISPATCHER.handle(data.encode() if isinstance(data, str) else data, caller)
    return None if answer is None else json.loads(answer)


async def call(name: str, params: Any = None, caller: Caller = CALLER) -> Any:
    request = {"jsonrpc": "2.0", "id": 7, "method": name}
    if params is not None:
        request["params"] = params
    return await raw(json.dumps(request), caller)


async def code_of(name: str, params: Any = None, caller: Caller = CALLER) -> int:
    answer = await call(name, params, caller)
    assert set(answer["error"]["data"]) >= {"name", "hint", "retryable"}
    return answer["error"]["code"]


async def test_a_call_with_named_parameters_is_answered_under_its_id():
    assert await call("test_add", {"left": 2, "right": 3}) == {"jsonrpc": "2.0", "id": 7, "result": 5}


async def test_parameters_may_be_positional_and_optional_ones_left_out():
    assert (await call("test_add", [2, 3]))["result"] == 5
    assert (await call("test_add", [2]))["result"] == 3
    assert (await call("admin_test", [], Caller(_no_charge, True)))["result"] is True


async def test_results_take_the_json_form_of_their_type():
    answer = await call("test_coin", {"owner": encode_address(ALICE), "amount": str(10**30)})
    assert answer["result"] == {"denom": "QXC", "amount": str(10**30)}


async def test_every_request_is_counted_once_by_method_and_outcome():
    dispatcher = Dispatcher(DISPATCHER.registry, BOUNDS)

    def refuse(cost: int) -> None:
        if cost > 5:
            raise LimitExceeded("too many")

    async def send(text: str) -> None:
        await dispatcher.handle(text.encode(), Caller(refuse))

    def form(name: str, **params: Any) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})

    await send(f"[{form('test_add', left=1)}, {form('test_add', left='x')}, {form('evil' * 9)}, 5]")
    await send(json.dumps({"jsonrpc": "2.0", "method": "test_add", "params": [1]}))  # a notification
    await send(form("test_wait", value="x"))
    await send(form("test_fail"))
    await send(form("test_fail", defect=True))
    await send(form("admin_test"))
    await send("{")
    with pytest.raises(LimitExceeded):
        await dispatcher.call(dispatcher.registry.methods["test_wait"], {"value": "x"}, Caller(refuse))
    with pytest.raises(InvalidParams):
        await dispatcher.call(dispatcher.registry.methods["test_add"], {}, Caller(refuse))
    await dispatcher.call(dispatcher.registry.methods["test_add"], {"left": 1}, Caller(refuse))
    assert dispatcher.counts == {
        ("test_add", "ok"): 3,
        ("test_add", "refused"): 2,
        ("unknown", "refused"): 3,
        ("test_wait", "limited"): 2,
        ("test_fail", "refused"): 1,
        ("test_fail", "internal"): 1,
        ("admin_test", "refused"): 1,
    }


async def test_asynchronous_methods_are_awaited():
    assert (await call("test_wait", {"value": "x"}))["result"] == "x"


@pytest.mark.parametrize("request_id", ["text", "", "\ud800", 0, -5, 2**63, None])
async def test_text_and_integer_ids_are_echoed_exactly(request_id):
    request = {"jsonrpc": "2.0", "id": request_id, "method": "test_add", "params": [1]}
    assert await raw(json.dumps(request)) == {"jsonrpc": "2.0", "id": request_id, "result": 2}


@pytest.mark.parametrize("request_id", [1.5, True, [], {}, "x" * 257, 2**64, -(2**63) - 1])
async def test_other_ids_are_an_invalid_request_without_id(request_id):
    answer = await raw(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "test_add"}))
    assert answer["error"]["code"] == -32600
    assert answer["id"] is None


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        [],
        "text",
        3,
        None,
        {"jsonrpc": "1.0", "id": 1, "method": "test_add"},
        {"id": 1, "method": "test_add"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": 1, "method": "test_add", "params": [1], "extra": 1},
        {"jsonrpc": "2.0", "method": "test_add", "extra": 1},
    ],
)
async def test_what_is_no_request_is_named_so_and_is_no_notification(request_body):
    assert (await raw(json.dumps(request_body)))["error"]["code"] == -32600


async def test_notifications_are_never_answered_even_when_they_fail():
    for name in ("test_add", "test_fail", "no_such"):
        assert await raw(json.dumps({"jsonrpc": "2.0", "method": name})) is None


async def test_a_batch_answers_each_call_that_has_an_id():
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "test_add", "params": [1, 1]},
        {"jsonrpc": "2.0", "method": "test_add", "params": [1, 1]},
        {"jsonrpc": "2.0", "id": 2, "method": "test_fail"},
        5,
    ]
    answers = await raw(json.dumps(batch))
    assert [answer["id"] for answer in answers] == [1, 2, None]
    assert answers[0]["result"] == 2
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32001, -32600]


async def test_a_batch_of_notifications_is_not_answered():
    assert await raw(json.dumps([{"jsonrpc": "2.0", "method": "test_add"}] * 2)) is None


async def test_a_batch_is_bounded_in_count():
    answer = await raw(json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "test_add"}] * 6))
    assert answer["error"]["code"] == -32005


async def test_answers_are_bounded_each_and_as_a_batch():
    assert await code_of("test_big", [3_000]) == -32005
    batch = [{"jsonrpc": "2.0", "id": n, "method": "test_big", "params": [900]} for n in range(3)]
    answers = await raw(json.dumps(batch))
    assert "result" in answers[0]
    assert answers[2]["error"]["code"] == -32005


async def test_unknown_methods_are_told():
    assert await code_of("no_such") == -32601
    assert await code_of("bank_getBalances'; drop") == -32601


async def test_unknown_and_missing_parameters_are_named():
    answer = await call("test_add", {"lefft": 1})
    assert answer["error"]["code"] == -32602
    assert "unknown parameters 'lefft'" in answer["error"]["message"]
    assert "missing parameters left" in answer["error"]["message"]
    assert await code_of("test_add", [1, 2, 3]) == -32602
    assert await code_of("test_add", {"left": 1, "right": 2, "third": 3}) == -32602


@pytest.mark.parametrize("params", ["text", 5, True])
async def test_parameters_are_an_object_or_an_array(params):
    assert await code_of("test_add", params) == -32602


@pytest.mark.parametrize("value", [-1, 2**32, "1", 1.0, None, True, [], {}, 10**400])
async def test_wrong_types_and_ranges_name_the_parameter(value):
    answer = await call("test_add", {"left": value})
    assert answer["error"]["code"] == -32602
    assert answer["error"]["message"].startswith("left: ")


@pytest.mark.parametrize("amount", [5, "-1", "01", "1.5", "", "1e3", "0x10", str(2**128), "9" * 5000])
async def test_amounts_are_decimal_strings_of_base_units(amount):
    assert await code_of("test_coin", {"owner": encode_address(ALICE), "amount": amount}) == -32602


async def test_a_wrong_address_keeps_its_own_code():
    good = encode_address(ALICE)
    bad_checksum = good[:-1] + ("q" if good[-1] != "q" else "p")
    for address in (bad_checksum, "", "qx1", good[0].upper() + good[1:], "x" * 100, 5):
        assert await code_of("test_coin", {"owner": address, "amount": "1"}) in (1017, -32602)
    assert await code_of("test_coin", {"owner": bad_checksum, "amount": "1"}) == 1017


async def test_special_inputs_take_labels_forms_and_filters():
    assert (await call("test_inputs", {"at": "earliest", "transaction": "0x00ff"}))["result"]["at"] == -2
    assert "result" in await call(
        "test_inputs", {"filter": {"event": "bank.", "address": encode_address(ALICE)}}
    )
    for wrong in (
        {"at": -1}, {"at": "newest"}, {"at": True}, {"transaction": "00"}, {"transaction": "0x0"},
        {"transaction": "0xAB"}, {"transaction": "0x0 0"}, {"filter": {"name": "x"}}, {"filter": 5}, {"limit": 0},
        {"filter": {"event": ""}}, {"limit": 101},
    ):  # fmt: skip
        assert await code_of("test_inputs", wrong) == -32602
    assert await code_of("test_inputs", {"filter": {"address": "qx1abc"}}) == 1017


async def test_a_defect_answers_internal_error_without_details(caplog):
    answer = await call("test_fail", [True])
    assert answer["error"]["code"] == -32603
    assert "secret" not in json.dumps(answer)
    assert "secret detail" in caplog.text


async def test_access_is_checked_before_parameters():
    assert await code_of("admin_test", {"wrong": 1}) == -32011
    assert await code_of("events_test") == -32011


async def test_each_call_is_charged_its_cost_and_refused_when_the_rate_is_spent():
    spent: list[int] = []

    def charge(cost: int) -> None:
        if sum(spent) + cost > 12:
            raise LimitExceeded("too many requests")
        spent.append(cost)

    caller = Caller(charge)
    assert "result" in await call("test_wait", ["x"], caller)
    assert sum(spent) == 10
    assert "result" in await call("test_add", [1], caller)
    assert await code_of("test_wait", ["x"], caller) == -32005


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"nul", b"{}{}", b'{"a":1,"a":2}', b'[NaN]', b"[Infinity]", b"-Infinity", b"1" * 5000,
     '{"a":1}'.encode("utf-16"), b"\xef\xbb\xbf{}"],
)  # fmt: skip
async def test_what_is_no_json_is_a_parse_error(data):
    answer = await raw(data)
    assert answer["error"]["code"] == -32700
    assert answer["id"] is None


async def test_oversized_and_overdeep_messages_are_refused_before_they_are_parsed():
    assert (await raw(b" " * 10_001))["error"]["code"] == -32005
    assert (await raw(b"[" * 9_000))["error"]["code"] == -32005
    assert (await raw(b'{"a":' * 1_900))["error"]["code"] == -32005


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON_VALUES,
        "id": st.integers() | st.text(max_size=5) | JSON_VALUES,
        "method": st.sampled_from([*DISPATCHER.registry.methods, "none"]) | JSON_VALUES,
        "params": JSON_VALUES
        | st.dictionaries(
            st.sampled_from(["left", "right", "owner", "amount", "at", "filter", "value"]), JSON_VALUES
        ),
    },
)


def _check_answer(answer: Any) -> None:
    if isinstance(answer, list):
        assert answer
        for item in answer:
            _check_answer(item)
        return
    assert answer["jsonrpc"] == "2.0"
    assert set(answer) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
    if "error" in answer:
        error = answer["error"]
        assert set(error) == {"code", "message", "data"}
        assert error["code"] in REGISTRY
        assert error["code"] != -32603 or error["data"]["name"] == "internal_error"
        assert len(error["message"]) < 1_000


@given(st.binary(max_size=300))
async def test_any_bytes_get_a_lawful_answer(data):
    answer = await raw(data)
    if answer is not None:
        _check_answer(answer)
        assert "error" in answer
        assert answer["error"]["code"] in (-32700, -32600, -32005)


@given(JSON_VALUES | REQUESTS | st.lists(REQUESTS, max_size=7))
async def test_any_json_gets_a_lawful_answer_and_never_an_internal_error(value):
    try:
        data = json.dumps(value)
    except ValueError:
        return
    failures = sum(count for (_, outcome), count in DISPATCHER.counts.items() if outcome == "internal")
    answer = await raw(data)
    defects = data.count("test_fail")  # the one method that fails by a defect, when told to
    after = sum(count for (_, outcome), count in DISPATCHER.counts.items() if outcome == "internal")
    assert after - failures <= defects
    assert {name for name, _ in DISPATCHER.counts} <= {*DISPATCHER.registry.methods, "unknown"}
    if answer is not None:
        _check_answer(answer)


@given(JSON_VALUES)
async def test_any_parameters_of_any_method_get_a_typed_answer(params):
    for name in DISPATCHER.registry.methods:
        if name != "test_fail":
            answer = await raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}))
            _check_answer(answer)
            assert answer.get("error", {}).get("code") != -32603


def test_every_parameter_is_documented():
    class Undocumented:
        @method("test_undocumented")
        def undocumented(self, value: U32) -> U32:
            """Return it."""
            return value

    with pytest.raises(TypeError, match="documents"):
        Registry(methods_of(Undocumented(), "qx"))


def test_two_methods_never_share_a_name():
    registry = Registry(methods_of(Sample(), "qx"))
    with pytest.raises(ValueError, match="two methods"):
        registry.add(registry.methods["test_add"])


def test_docstrings_become_descriptions():
    declared = DISPATCHER.registry.methods["test_add"]
    assert declared.summary == "Return the sum."
    assert declared.parameters[0].doc == "One number, told in two lines."


async def test_reading_a_long_request_is_charged_even_if_it_means_nothing():
    spent: list[int] = []
    caller = Caller(spent.append)
    answer = await Dispatcher(Registry(methods_of(Sample(), "qx"))).handle(
        b'"' + b"x" * (1 << 20) + b'"', caller
    )
    assert answer is not None
    assert sum(spent) >= 100
    spent.clear()
    await Dispatcher(Registry(methods_of(Sample(), "qx"))).handle(b'"short"', caller)
    assert sum(spent) == 0


async def test_a_batch_whose_answer_is_full_does_no_more_work_and_takes_any_rest():
    """It ran 100 reads of a full block to show 12; what was no object ended the request without an answer."""
    spent: list[int] = []
    dispatcher = Dispatcher(DISPATCHER.registry, Bounds(max_answer_size=300))
    long = {"jsonrpc": "2.0", "id": 1, "method": "test_wait", "params": ["x" * 400]}
    rest = [
        5,
        {"id": ["x" * 10_000]},
        {"jsonrpc": "2.0", "method": "test_add", "params": [1]},
        {**long, "id": "a"},
    ]
    answer = await dispatcher.handle(json.dumps([long, *rest]).encode(), Caller(spent.append))
    assert answer is not None
    answers = json.loads(answer)
    assert [item["id"] for item in answers] == [1, None, None, "a"]
    assert {item["error"]["code"] for item in answers} == {-32005}
    assert spent == [1, 1, 9]  # reading it, and the one call
