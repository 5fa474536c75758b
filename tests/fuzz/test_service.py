"""Requests: bytes to the dispatcher over the real service, REST paths, and WebSocket frames to a real socket.

A lawful answer, no -32603 (the node's own defect), little memory, and a state that stands still.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import cache
from typing import Any
from urllib.parse import quote

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.app import build_server
from node.rpc.dispatcher import Caller
from node.rpc.rest import Router
from node.rpc.server import ServerSettings
from qenex.errors import REGISTRY, QenexError
from tests.fuzz.mutation import TEXT_PIECES, damaged_text
from tests.fuzz.rule import effort, keeps_the_rule
from tests.node.rpc.chain_helpers import ALICE, BOB, TestChain, text

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(
        [
            "latest", "earliest", "QXC", "0x", "0x" + "00" * 32, "0x" + "ff" * 40, "0X00", text(ALICE), text(BOB)[:-1] + "q",
            "1.0.0", "0.0.0", "99999999999.1.1", "bank.", "\ud800", 0, 1, 2, 3, 4, -1, 1 << 63, 1 << 64, 10**30, 1e400,
        ]
    ),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["$", "event", "address", "name", "messages"]), st.text(max_size=5), max_size=3),
)  # fmt: skip


class Service:
    """A chain with some blocks, its loop, and examples of requests that succeed."""

    def __init__(self) -> None:
        logging.getLogger("node.rpc.dispatcher").setLevel(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.chain = TestChain()
        self.loop.run_until_complete(self._fill())
        methods = self.chain.dispatcher.registry.methods
        self.methods = {name: method for name, method in methods.items() if "AndWait" not in name}
        self.requests = [json.dumps(self._request(name)) for name in self.methods]
        raw = self.chain.signed(amount=9)
        self.raw = "0x" + raw.hex()
        for name in ("tx_submit", "tx_simulate", "tx_decode", "tx_estimateFee"):
            form = self.run(self.chain.call("tx_decode", transaction=self.raw))["transaction"]
            for either in (self.raw, form):
                request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": {"transaction": either}}
                self.requests.append(json.dumps(request))
        self.requests.append("[" + ",".join(self.requests[:6]) + "]")
        self.router = Router(self.chain.dispatcher.registry)
        self.paths = [method.rest for method in methods.values() if method.rest]

    async def _fill(self) -> None:
        for amount in range(1, 4):
            await self.chain.send(amount=amount)
            self.chain.mine()
        self.chain.mine()

    def _request(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = {
            "address": text(ALICE),
            "denom": "QXC",
            "height": 2,
            "hash": "0x" + self.chain.ledger.block_hash.hex(),
            "key": "0x0101" + ALICE.address.hex(),
            "topic": "blocks",
            "transaction": "0x00",
            "limit": 3,
        }
        method = self.chain.dispatcher.registry.methods[name]
        params = {p.name: known.get(p.name, 1) for p in method.parameters if p.required or p.name in known}
        return {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)


@cache
def service() -> Service:
    return Service()


def check_answer(answer: bytes | None) -> None:
    if answer is None:
        return
    message = json.loads(answer)
    for item in message if isinstance(message, list) else [message]:
        assert item["jsonrpc"] == "2.0"
        assert ("result" in item) != ("error" in item)
        if "error" in item:
            assert item["error"]["code"] != -32603, item
            assert item["error"]["code"] in REGISTRY
            assert set(item["error"]["data"]) >= {"name", "hint", "retryable"}
            assert "Traceback" not in item["error"]["message"]


def ask(data: bytes) -> None:
    everything = service()
    chain = everything.chain
    before = chain.ledger.state_root, chain.ledger.height, chain.balance(ALICE.address)
    caller = Caller(lambda cost: None)

    def answer() -> bytes | None:
        found: bytes | None = everything.run(chain.dispatcher.handle(data, caller))
        return found

    check_answer(keeps_the_rule(answer))
    assert (chain.ledger.state_root, chain.ledger.height, chain.balance(ALICE.address)) == before


@given(st.data())
@effort(250)
def test_requests_of_damaged_bytes(data: st.DataObject) -> None:
    request = data.draw(damaged_text(service().requests))
    ask(request.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=300))
@effort(100)
def test_requests_of_arbitrary_bytes(data: bytes) -> None:
    ask(data)


@given(st.data())
@effort(300)
def test_every_method_with_hostile_parameters(data: st.DataObject) -> None:
    everything = service()
    name = data.draw(st.sampled_from(sorted(everything.methods)))
    method = everything.methods[name]
    valid = everything._request(name)["params"]
    names = [parameter.name for parameter in method.parameters]
    changed = data.draw(st.lists(st.sampled_from([*names, "extra"]), max_size=3)) if names else []
    params: Any = {**valid, **{key: data.draw(HOSTILE) for key in changed}}
    if data.draw(st.integers(0, 5)) == 0:
        params = data.draw(st.one_of(HOSTILE, st.lists(HOSTILE, max_size=4)))
    ask(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode())


@given(st.data())
@effort(150)
def test_transactions_of_hostile_form(data: st.DataObject) -> None:
    """Every place of the JSON form takes a hostile value once."""
    everything = service()
    form = everything.run(everything.chain.call("tx_decode", transaction=everything.raw))["transaction"]
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = form
        while isinstance(place, dict | list) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 4)) == 0:
                place[key] = data.draw(HOSTILE)
                break
            place = place[key]
    name = data.draw(st.sampled_from(["tx_submit", "tx_simulate", "tx_decode", "tx_estimateFee"]))
    ask(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": {"transaction": form}}).encode())


SEGMENTS = st.one_of(
    st.text(max_size=12).map(lambda part: quote(part.encode("utf-8", "surrogatepass"))),
    st.sampled_from(
        ["%ff", "%", "%zz", "..", "", "latest", "2", "-1", "9" * 100, text(ALICE), "QXC", "0x", "%2F", "%00"]
    ),
)


@given(st.data())
@effort(200)
def test_rest_paths(data: st.DataObject) -> None:
    everything = service()
    parts = data.draw(st.sampled_from(everything.paths)).split("/")
    parts = [
        data.draw(SEGMENTS) if part.startswith("{") or data.draw(st.integers(0, 9)) == 0 else part
        for part in parts
    ]
    query = "&".join(
        f"{data.draw(st.sampled_from(['at', 'prove', 'limit', 'cursor', 'address', 'x']))}={data.draw(SEGMENTS)}"
        for _ in range(data.draw(st.integers(0, 3)))
    )
    query = data.draw(st.sampled_from([query, query, query.replace("=", ""), "&&=", "%", "a=1;b=2"]))
    dispatcher = everything.chain.dispatcher

    def answer() -> Any:
        match = everything.router.match("/".join(parts), query)
        values = match.method.bind(match.params)
        return everything.run(dispatcher.call(match.method, values, Caller(lambda cost: None)))

    found = keeps_the_rule(answer)
    assert not (isinstance(found, QenexError) and found.code == -32603)


def test_websocket_frames() -> None:
    """Each connection gets damaged frames, text and binary; after them a lawful request is answered."""
    everything = service()
    examples = [
        *everything.requests,
        '{"jsonrpc":"2.0","id":1,"method":"events_subscribe","params":{"topic":"blocks","from_cursor":"1.0.0"}}',
        '{"jsonrpc":"2.0","id":1,"method":"events_subscribe","params":{"topic":"events","filter":{"event":"bank."}}}',
        '{"jsonrpc":"2.0","id":2,"method":"events_unsubscribe","params":{"subscription":1}}',
    ]
    frames: list[str] = []

    @given(st.data())
    @effort(80)
    def collect(data: st.DataObject) -> None:
        frames.append(data.draw(damaged_text(examples)))

    collect()
    frames += [*TEXT_PIECES, *examples]
    everything.run(_talk(everything, frames))


async def _talk(everything: Service, frames: list[str]) -> None:
    server = build_server(everything.chain.service, ServerSettings(port=0))
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            for start in range(0, len(frames), 20):
                async with http.ws_connect(f"http://127.0.0.1:{server.port}/ws") as socket:
                    for number, frame in enumerate(frames[start : start + 20]):
                        data = frame.encode("utf-8", "surrogatepass")
                        if number % 2 or not _is_text(frame):
                            await socket.send_bytes(data)
                        else:
                            await socket.send_str(frame)
                    await socket.send_str('{"jsonrpc":"2.0","id":"last","method":"node_status"}')
                    await _until_answered(socket)
    finally:
        await server.stop()
    assert server.sessions == 0


async def _until_answered(socket: aiohttp.ClientWebSocketResponse) -> None:
    async with asyncio.timeout(20):
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            told = json.loads(message.data)
            if "method" not in told:
                check_answer(message.data.encode())
            if isinstance(told, dict) and told.get("id") == "last":
                return
    raise AssertionError("the connection was closed before the last answer")


def _is_text(frame: str) -> bool:
    try:
        frame.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_examples_succeed() -> None:
    """The rule would be empty if no valid request were among them."""
    everything = service()
    succeeded = 0
    for request in everything.requests[:-1]:
        answer = everything.run(
            everything.chain.dispatcher.handle(request.encode(), Caller(lambda cost: None))
        )
        succeeded += "result" in json.loads(answer)
    assert succeeded > len(everything.requests) // 2, "most methods answer their example"
