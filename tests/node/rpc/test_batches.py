"""Calls of one method that follow each other in a batch may be answered together; nobody can tell but by the time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from node.gate import Gate
from node.rpc.declare import Registry, method, methods_of
from node.rpc.dispatcher import Bounds, Caller, Dispatcher
from node.rpc.strict_json import Json
from qenex.errors import LimitExceeded, NodeBusy, NotFound, QenexError
from qenex.types import U32
from tests.node.rpc.chain_helpers import ALICE, BOB, TestChain


class Squares:
    """A method that can be asked together, and one that cannot."""

    def __init__(self) -> None:
        self.together: list[list[int]] = []
        self.alone: list[int] = []

    @method("test_square", result={"type": "integer"}, cost=3, together="squares")
    async def square(self, value: U32) -> Json:
        """The square.

        Args:
            value: 13 is not found, 666 is a defect.
        """
        self.alone.append(value)
        return value * value

    async def squares(self, caller: Caller, calls: Sequence[list[Any]]) -> list[Json | QenexError]:
        values = [value for (value,) in calls]
        self.together.append(values)
        if 666 in values:
            raise KeyError("secret detail")
        if 777 in values:
            raise NodeBusy("too much")
        return [NotFound("13") if value == 13 else value * value for value in values]

    @method("test_same", result={"type": "integer"})
    def same(self, value: U32) -> Json:
        """The value.

        Args:
            value: Any.
        """
        return value


def _charge(cost: int) -> None:
    pass


def calls(*values: Any, name: str = "test_square") -> list[dict[str, Any]]:
    return [
        {"jsonrpc": "2.0", "id": at, "method": name, "params": {"value": value}}
        for at, value in enumerate(values)
    ]


async def ask(api: Squares, batch: Any, charge: Any = _charge, bounds: Bounds | None = None) -> Any:
    answer = await Dispatcher(Registry(methods_of(api, "qx")), bounds).handle(
        json.dumps(batch).encode(), Caller(charge)
    )
    return None if answer is None else json.loads(answer)


async def test_each_call_has_its_own_answer_in_the_order_of_the_batch():
    api = Squares()
    bad = {"jsonrpc": "1.0", "id": "bad", "method": "test_square", "params": {"value": 1}}
    batch = [*calls(2, 13, "x"), bad, *calls(5)]
    answers = await ask(api, batch)
    assert [answer["id"] for answer in answers] == [0, 1, 2, "bad", 0]
    assert [answer.get("result") for answer in answers] == [4, None, None, None, 25]
    codes = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert codes == [-32001, -32602, -32600]
    assert api.together == [[2, 13, 5]]


async def test_only_calls_that_follow_each_other_are_joined_and_one_is_none():
    api = Squares()
    answers = await ask(api, [*calls(1, 2), *calls(7, name="test_same"), *calls(3), 5, *calls(4, 5)])
    assert [answer.get("result") for answer in answers] == [1, 4, 7, 9, None, 16, 25]
    assert api.together == [[1, 2], [4, 5]]
    assert api.alone == [3]


async def test_a_defect_or_a_common_refusal_answers_each_of_them(caplog):
    api = Squares()
    answers = await ask(api, calls(1, 666))
    assert [answer["error"]["code"] for answer in answers] == [-32603, -32603]
    assert "secret" not in json.dumps(answers)
    assert "secret detail" in caplog.text
    answers = await ask(api, calls(777, "x", 2))
    assert [answer["error"]["data"]["name"] for answer in answers] == [
        "node_busy",
        "invalid_params",
        "node_busy",
    ]


async def test_notifications_are_done_and_not_answered():
    api = Squares()
    batch = calls(1, 13, 3)
    for call in batch:
        del call["id"]
    assert await ask(api, batch) is None
    assert api.together == [[1, 13, 3]]
    assert [answer["id"] for answer in await ask(api, [batch[0], *calls(2)])] == [0]


async def test_each_is_charged_and_what_cannot_be_paid_is_refused_alone():
    api = Squares()
    spent: list[int] = []

    def charge(cost: int) -> None:
        if sum(spent) + cost > 7:
            raise LimitExceeded("too many requests")
        spent.append(cost)

    answers = await ask(api, calls(1, 2, 3), charge)
    assert [answer.get("result") for answer in answers] == [1, 4, None]
    assert answers[2]["error"]["code"] == -32005
    assert api.together == [[1, 2]]


async def test_answers_stay_bounded():
    answers = await ask(Squares(), calls(*range(40)), bounds=Bounds(max_answer_size=400))
    assert len(answers) == 40
    assert "result" in answers[0]
    assert answers[-1]["error"]["code"] == -32005


async def test_a_batch_of_transfers_is_verified_together_and_each_is_answered():
    chain = TestChain()
    first = chain.signed(ALICE)
    raws = [first, chain.signed(BOB), first, b"\xc1", chain.signed(ALICE, sequence=1)]
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "tx_submit", "params": {"transaction": "0x" + raw.hex()}}
        for at, raw in enumerate(raws)
    ]
    answer = await chain.dispatcher.handle(json.dumps(batch).encode(), chain.caller)
    assert answer is not None
    answers = json.loads(answer)
    names = [answer["error"]["data"]["name"] if "error" in answer else "" for answer in answers]
    assert names == ["", "", "already_known", "malformed_bytes", ""]
    assert chain.dispatcher.counts == {("tx_submit", "ok"): 3, ("tx_submit", "refused"): 2}
    chain.mine()
    found = await chain.call("tx_get", hash=answers[4]["result"]["hash"])
    assert found["height"] == 1


async def test_a_busy_node_says_so_with_the_time_to_wait():
    chain = TestChain(gate=Gate(lambda: 0.0, wait=0.0001, least=8))
    for number in range(8):
        await chain.send(ALICE, sequence=number)
    error = await chain.error("tx_submit", transaction="0x" + chain.signed(ALICE, sequence=8).hex())
    assert error["code"] == 1047
    assert error["data"]["retryable"] is True
    assert error["data"]["retry_after_ms"] == 2  # until one has gone, at 500 a second
