"""The listening side over real sockets: who is served, what is refused, how much anyone may take."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger.backend import StorageFault
from node.rpc.connections import ConnectionTable
from node.rpc.declare import Access, Registry, method, methods_of
from node.rpc.dispatcher import Caller
from node.rpc.limits import Limits, RateLimiter, address_key
from node.rpc.server import RpcServer, ServerSettings
from node.rpc.values import TransactionInput
from node.rpc.websocket import Subscription, WebSocketSession
from qenex.errors import AddressInUse, LimitExceeded, NotFound
from qenex.types import U32

JSON = {"Content-Type": "application/json"}
TOKEN = "a-token-of-some-length"
SMALL = Limits(
    max_request_size=50_000, max_sessions=2, max_subscriptions=2, max_connections=20, request_timeout=0.3,
    idle_timeout=0.3, write_timeout=0.5, max_lag=5, rate=0,
)  # fmt: skip


class Methods:
    """A few methods without a chain."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    @method("test_double", rest="/double/{value}")
    def double(self, value: U32, text: str | None = None) -> U32:
        """Return twice the value.

        Args:
            value: A number.
            text: Ignored.
        """
        return 2 * value

    @method("test_missing", result={"type": "null"}, rest="/missing")
    def missing(self) -> None:
        """Find nothing."""
        raise NotFound("nothing here")

    @method("test_broken", result={"type": "null"}, rest="/broken")
    def broken(self) -> None:
        """Meet a failing disk."""
        raise StorageFault("disk")

    @method("tx_submit", result={"type": "object"})
    async def submit(self, transaction: TransactionInput) -> dict[str, Any]:
        """Note what came.

        Args:
            transaction: Anything.
        """
        self.submitted.append(transaction)
        return {"hash": "0x00"}

    @method("admin_test", access=Access.ADMIN)
    def admin(self) -> bool:
        """Answer the operator."""
        return True

    @method("events_subscribe", result={"type": "object"}, access=Access.SESSION)
    async def subscribe(self, caller: Any, from_cursor: str | None = None) -> Any:
        """Subscribe.

        Args:
            from_cursor: Where to begin.
        """
        return await caller.session.subscribe("numbers", None, from_cursor)

    @method("events_unsubscribe", result={"type": "boolean"}, access=Access.SESSION)
    async def unsubscribe(self, caller: Any, subscription: U32) -> Any:
        """Unsubscribe.

        Args:
            subscription: Which.
        """
        return await caller.session.unsubscribe(subscription)


class Node:
    """Health and feed of a chain of numbers: block n has the one item n."""

    def __init__(self) -> None:
        self.reason = ""
        self.height = 0
        self.faults: list[StorageFault] = []
        self.size = 0
        self.cost = 0
        self.pages = 0
        self._grown = asyncio.Event()

    def grow(self, blocks: int = 1) -> None:
        self.height += blocks
        event, self._grown = self._grown, asyncio.Event()
        event.set()

    def not_ready(self) -> str:
        return self.reason

    def metrics_text(self) -> str:
        return "qenex_height 1\n"

    def on_fault(self, fault: StorageFault) -> None:
        self.faults.append(fault)

    def start(self, topic: str, chosen: Any, from_cursor: str | None) -> str:
        return from_cursor or str(self.height + 1)

    def page_steps(self, topic: str, chosen: Any, cursor: str) -> Any:
        yield
        first = int(cursor)
        last = min(self.height, first + 1)
        items = [(str(n + 1), {"number": n, "fill": "x" * self.size}) for n in range(first, last + 1)]
        self.pages += 1
        return Page(items, str(last + 1) if items else cursor, self.height - max(last, first - 1), self.cost)

    async def wait(self, cursor: str) -> None:
        while self.height < int(cursor):
            await self._grown.wait()


class Page:
    def __init__(self, items: list[tuple[str, Any]], cursor: str, behind: int, cost: int = 0) -> None:
        self.items, self.cursor, self.behind, self.cost = items, cursor, behind, cost


class Served:
    """A running server and a client of it."""

    def __init__(
        self, server: RpcServer, node: Node, methods: Methods, session: aiohttp.ClientSession
    ) -> None:
        self.server, self.node, self.methods, self.http = server, node, methods, session
        self.url = f"http://127.0.0.1:{server.port}"

    async def rpc(self, data: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        async with self.http.post(
            self.url + "/rpc", data=body, headers={**JSON, **(headers or {})}
        ) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text


def request(name: str, params: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": name, **({} if params is None else {"params": params})}


async def serve(settings: ServerSettings) -> Served:
    node, methods = Node(), Methods()
    server = RpcServer(Registry(methods_of(methods, "qx")), node, node, "1.0", settings)
    await server.start()
    return Served(server, node, methods, aiohttp.ClientSession())


async def finish(served: Served) -> None:
    await served.http.close()
    await served.server.stop()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    found = await serve(
        ServerSettings(port=0, token=TOKEN, allowed_origins=frozenset({"https://app.example"}), limits=SMALL)
    )
    yield found
    await finish(found)


# -- JSON-RPC over HTTP ------------------------------------------------------------------------


async def test_a_call_over_http(served):
    assert await served.rpc(request("test_double", {"value": 4})) == (
        200,
        {"jsonrpc": "2.0", "id": 1, "result": 8},
    )


async def test_a_batch_over_http(served):
    status, answers = await served.rpc([request("test_double", [n]) for n in range(3)])
    assert status == 200
    assert [answer["result"] for answer in answers] == [0, 2, 4]


async def test_notifications_have_no_content(served):
    assert await served.rpc({"jsonrpc": "2.0", "method": "test_double", "params": [1]}) == (204, None)


async def test_a_refused_call_is_an_answer_like_any_other(served):
    status, answer = await served.rpc(request("test_missing"))
    assert (status, answer["error"]["code"]) == (200, -32001)


async def test_only_post_with_json_is_a_call(served):
    async with served.http.get(served.url + "/rpc") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        told = await answer.json()
        assert (told["jsonrpc"], told["id"], told["error"]["code"]) == ("2.0", None, -32600)
    async with served.http.post(
        served.url + "/rpc", data=b"{}", headers={"Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 400
        assert "Content-Type: application/json" in (await answer.json())["error"]["data"]["hint"]
    async with served.http.post(served.url + "/rpc", json={}, headers={"Content-Encoding": "gzip"}) as answer:
        assert answer.status == 400


async def test_a_body_beyond_the_limit_is_refused_and_the_connection_ends(served):
    status, answer = await served.rpc(b" " * 50_001)
    assert (status, answer["error"]["code"]) == (413, -32005)
    assert (await served.rpc(request("test_double", [1])))[0] == 200


async def test_a_failing_store_ends_the_connection_and_is_told(served):
    with pytest.raises(aiohttp.ClientError):
        await served.rpc(request("test_broken"))
    assert len(served.node.faults) == 1


# -- REST, documents, health --------------------------------------------------------------------


async def test_reads_have_a_rest_mirror(served):
    assert await served.get("/api/v1/double/21") == (200, 42)
    assert await served.get("/api/v1/double/21?text=a%2Fb") == (200, 42)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/double/x", 400, -32602),
        ("/api/v1/double/-1", 400, -32602),
        ("/api/v1/double/1?other=1", 400, -32602),
        ("/api/v1/double/1?value=2", 400, -32602),
        ("/api/v1/double/1?text=a&text=b", 400, -32602),
        ("/api/v1/double/%ff", 400, -32602),
        ("/api/v1/double", 404, -32001),
        ("/api/v1/double/1/2", 404, -32001),
        ("/api/v1/missing", 404, -32001),
        ("/api/v1/", 404, -32001),
        ("/elsewhere", 404, -32001),
    ],
)
async def test_rest_refusals_have_a_status_and_the_typed_error(served, path, status, code):
    found, answer = await served.get(path)
    assert (found, answer["error"]["code"]) == (status, code)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"code", "name", "message", "hint", "retryable"}


@pytest.mark.parametrize("verb", ["PUT", "POST", "DELETE", "OPTIONS"])
async def test_a_wrong_http_method_is_told_like_any_other_error(served, verb):
    async with served.http.request(verb, served.url + "/api/v1/double/21") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        error = (await answer.json())["error"]
    assert set(error) == {"code", "name", "message", "hint", "retryable"}
    assert (error["code"], error["name"]) == (-32600, "invalid_request")
    assert verb in error["message"]
    assert "GET" in error["hint"]


async def test_a_transaction_may_be_posted_as_bytes_or_json(served):
    url = served.url + "/api/v1/transaction"
    for data, headers in (
        (b"\x01\x02", {"Content-Type": "application/octet-stream"}),
        (b'"0x0102"', JSON),
        (b'{"transaction": "0x0102"}', JSON),
    ):
        async with served.http.post(url, data=data, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, {"hash": "0x00"})
    assert served.methods.submitted == [b"\x01\x02"] * 3
    async with served.http.post(url, data=b"x", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 400
    async with served.http.post(url, data=b"{", headers=JSON) as answer:
        assert answer.status == 400
    async with served.http.get(url) as answer:
        assert answer.status == 405


async def test_health_and_metrics(served):
    assert (await served.get("/livez"))[0] == 200
    assert (await served.get("/readyz"))[0] == 200
    served.node.reason = "syncing"
    status, text = await served.get("/readyz")
    assert status == 503
    assert "syncing" in text
    assert "qenex_height" in (await served.get("/metrics"))[1]


async def test_the_openapi_document_lists_the_paths(served):
    status, document = await served.get("/openapi.json")
    assert status == 200
    assert {"/api/v1/double/{value}", "/api/v1/transaction", "/livez"} <= set(document["paths"])


# -- who is served --------------------------------------------------------------------------------


async def test_a_rebound_host_name_is_refused(served):
    for host, status in (("evil.example", 403), ("evil.example:80", 403), ("localhost:1", 200), ("127.0.0.1", 200),
                         ("[::1]:7300", 200), ("", 403)):  # fmt: skip
        assert (await served.rpc(request("test_double", [1]), {"Host": host}))[0] == status, host


async def test_pages_of_foreign_origins_are_refused(served):
    assert (await served.rpc(request("test_double", [1]), {"Origin": "https://evil.example"}))[0] == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.http.ws_connect(served.url + "/ws", origin="https://evil.example")
    assert refused.value.status == 403


async def test_an_allowed_origin_gets_its_preflight_and_header(served):
    origin = {"Origin": "https://app.example"}
    async with served.http.options(served.url + "/rpc", headers=origin) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    async with served.http.get(served.url + "/api/v1/double/1", headers=origin) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    async with served.http.get(served.url + "/api/v1/double/1") as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_admin_methods_need_the_token(served):
    assert (await served.rpc(request("admin_test")))[1]["error"]["code"] == -32011
    assert (await served.rpc(request("admin_test"), {"Authorization": f"Bearer {TOKEN}"}))[1][
        "result"
    ] is True
    status, answer = await served.rpc(request("admin_test"), {"Authorization": "Bearer wrong"})
    assert (status, answer["error"]["code"]) == (403, -32011)


async def test_without_a_token_none_is_right():
    found = await serve(ServerSettings(port=0, limits=SMALL))
    try:
        for given in ("Bearer ", "Bearer", ""):
            status, answer = await found.rpc(request("admin_test"), {"Authorization": given})
            assert status == 403 or answer["error"]["code"] == -32011
    finally:
        await finish(found)


async def test_the_local_socket_is_private_and_opens_admin_methods(short_path: Path):
    path = short_path / "admin.sock"
    found = await serve(ServerSettings(port=0, socket_path=path, limits=SMALL))
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        local = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)))
        async with local, local.post("http://anything/rpc", json=request("admin_test")) as answer:
            assert (await answer.json())["result"] is True
        with pytest.raises(AddressInUse):
            await serve(ServerSettings(port=0, socket_path=path, limits=SMALL))
        assert path.exists()
    finally:
        await finish(found)
    assert not path.exists()


async def test_a_taken_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressInUse):
        await serve(ServerSettings(port=taken.getsockname()[1], limits=SMALL))


# -- how much anyone may take -----------------------------------------------------------------------


async def test_a_caller_beyond_the_rate_is_told_to_wait():
    limits = Limits(rate=1, burst=3, limit_loopback=True)
    found = await serve(ServerSettings(port=0, limits=limits))
    try:
        answers = [(await found.rpc(request("test_double", [1])))[1] for _ in range(5)]
        assert ["result" in answer for answer in answers] == [True, True, True, False, False]
        assert answers[-1]["error"]["code"] == -32005
        assert answers[-1]["error"]["data"]["retryable"] is True
        assert (await found.get("/api/v1/double/1"))[0] == 429
    finally:
        await finish(found)


def test_buckets_refill_and_are_bounded_in_number():
    now = [0.0]
    rates = RateLimiter(10, 20, capacity=3, clock=lambda: now[0])
    rates.charge("a", 20)
    with pytest.raises(LimitExceeded):
        rates.charge("a", 1)
    now[0] = 0.1
    rates.charge("a", 1)
    with pytest.raises(LimitExceeded):
        rates.charge("a", 1)
    now[0] = 100.0
    rates.charge("a", 1_000)  # dearer than the burst: it takes all of it
    for key in "bcde":
        rates.charge(key, 1)
    assert len(rates) == 3


def test_work_that_showed_its_cost_afterwards_is_paid_before_the_next():
    now = [0.0]
    rates = RateLimiter(10, 20, clock=lambda: now[0])
    rates.charge("a", 1)
    rates.owe("a", 1_000)  # at most one burst of debt, so that nobody is shut out for long
    for seconds, allowed in ((1.9, False), (2.2, True)):
        now[0] = seconds
        if allowed:
            rates.charge("a", 1)
        else:
            with pytest.raises(LimitExceeded):
                rates.charge("a", 1)
    rates.owe("unknown", 5)
    assert len(rates) == 1


def test_an_ipv6_customer_is_one_caller():
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:1")
    assert address_key("2001:db8::1") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:10.0.0.1") == address_key("10.0.0.1")


async def _closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) is not None
    except ConnectionError:
        return True


async def test_a_client_that_sends_its_headers_too_slowly_is_cut_off(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(b"POST /rpc HTTP/1.1\r\nHost: local")
    assert await _closed(reader)
    writer.close()
    assert len(served.server.connections) == 0


async def test_a_client_that_sends_nothing_at_all_is_cut_off(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    assert await _closed(reader)
    writer.close()


async def test_a_client_that_sends_its_body_too_slowly_is_told_so(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(
        b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    answer = await asyncio.wait_for(reader.read(), 5)
    assert b"408" in answer.split(b"\r\n")[0]
    writer.close()


async def test_connections_are_bounded(served):
    open_ones = [await asyncio.open_connection("127.0.0.1", served.server.port) for _ in range(20)]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert served.server.connections.refused == 1
    for _, each in [*open_ones, (reader, writer)]:
        each.close()


class Transport:
    """The part of a transport that the table uses."""

    def __init__(self) -> None:
        self.buffered = 0
        self.aborted = False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "203.0.113.9", 5

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def abort(self) -> None:
        self.aborted = True


def test_the_sweep_closes_who_dawdles_and_nobody_else():
    now = [0.0]
    limits = Limits(idle_timeout=60, write_timeout=20)
    table = ConnectionTable(limits, None, clock=lambda: now[0])
    idle, _busy, slow, stuck = transports = [Transport() for _ in range(4)]
    for transport in transports:
        each: Any = transport
        assert table.opened(transport, each, privileged=False)
        connection = table.get(transport)
        assert connection is not None
        if transport is not idle:
            table.begin(connection)
    slow.buffered = stuck.buffered = 1_000_000
    for second in range(1, 26):
        now[0] = second
        slow.buffered -= 1_000
        table.sweep()
    assert [transport.aborted for transport in transports] == [False, False, False, True]
    now[0] = 61
    slow.buffered -= 1_000
    table.sweep()
    assert [transport.aborted for transport in transports] == [True, False, False, True]


async def test_connections_of_one_address_are_bounded():
    table = ConnectionTable(Limits(max_connections_per_address=2), None)
    transport: Any = Transport()
    assert [table.opened(n, transport, privileged=False) for n in range(3)] == [True, True, False]
    table.closed(0)
    assert table.opened(4, transport, privileged=False)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 5000, b"GET " + b"/" * 10_000,
     b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n",
     b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"],
)  # fmt: skip
async def test_what_is_no_http_harms_nobody_and_leaves_no_traceback(served, data, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(data)
    await _closed(reader)
    writer.close()
    assert (await served.rpc(request("test_double", [1])))[0] == 200
    assert not [record for record in caplog.records if record.exc_info]


# -- WebSocket ----------------------------------------------------------------------------------------


async def ask(socket_: aiohttp.ClientWebSocketResponse, name: str, params: Any = None) -> Any:
    await socket_.send_str(json.dumps(request(name, params)))
    while True:
        answer = json.loads((await socket_.receive(timeout=5)).data)
        if answer.get("id") == 1:
            return answer


async def heard(socket_: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads((await socket_.receive(timeout=5)).data)


async def test_the_same_methods_answer_on_a_websocket(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        assert (await ask(ws, "test_double", [2]))["result"] == 4
        assert (await ask(ws, "test_missing"))["error"]["code"] == -32001
        await ws.send_bytes(json.dumps(request("test_double", [3])).encode())
        assert (await heard(ws))["result"] == 6
        await ws.send_str("{")
        assert (await heard(ws))["error"]["code"] == -32700
    assert (await served.rpc(request("events_subscribe")))[1]["error"]["code"] == -32011


async def test_a_subscription_delivers_what_comes_after_it(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        opened = (await ask(ws, "events_subscribe"))["result"]
        served.node.grow(2)
        for number in (1, 2):
            note = await heard(ws)
            assert note["method"] == "events_notification"
            assert note["params"]["subscription"] == opened["subscription"]
            assert note["params"]["data"]["number"] == number
        assert (await ask(ws, "events_unsubscribe", [opened["subscription"]]))["result"] is True
        assert (await ask(ws, "events_unsubscribe", [opened["subscription"]]))["result"] is False


async def test_a_subscription_opened_again_replays_from_its_cursor(served):
    served.node.grow(20)
    async with served.http.ws_connect(served.url + "/ws") as ws:
        await ask(ws, "events_subscribe", {"from_cursor": "3"})
        notes = [await heard(ws) for _ in range(18)]
    assert [note["params"]["data"]["number"] for note in notes] == list(range(3, 21))
    async with served.http.ws_connect(served.url + "/ws") as ws:
        await ask(ws, "events_subscribe", {"from_cursor": notes[9]["params"]["cursor"]})
        assert (await heard(ws))["params"]["data"]["number"] == 13


async def test_the_answer_to_a_subscription_comes_before_its_notifications(served):
    served.node.grow(2)
    async with served.http.ws_connect(served.url + "/ws") as ws:
        batch = [request("events_subscribe", {"from_cursor": "1"}), request("test_double", [1])]
        await ws.send_str(json.dumps(batch))
        assert isinstance(await heard(ws), list)
        assert (await heard(ws))["params"]["data"]["number"] == 1


async def test_a_reader_that_stays_behind_is_told_lagged_with_its_cursor(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        await ask(ws, "events_subscribe")
        served.node.grow(1)
        assert (await heard(ws))["params"]["data"]["number"] == 1
        served.node.grow(50)
        note = await heard(ws)
        assert note["method"] == "events_lagged"
        assert note["params"]["cursor"] == "2"
        assert (await ask(ws, "events_subscribe", {"from_cursor": "2"}))["result"]


async def test_subscriptions_leave_the_loop_to_others_between_two_pages(served):
    """A block wakes them all; none may wait until all have read."""
    async with served.http.ws_connect(served.url + "/ws") as ws:
        for _ in range(2):
            assert "result" in await ask(ws, "events_subscribe")
        await asyncio.sleep(0.05)
        served.node.pages = 0
        served.node.grow(1)
        steps = []
        for _ in range(200):
            await asyncio.sleep(0)
            steps.append(served.node.pages)
        assert steps[-1] >= 2
        assert max(after - before for before, after in pairwise([0, *steps])) == 1


async def test_a_subscription_waits_while_its_caller_is_in_debt():
    rates = RateLimiter(rate=1, burst=10)
    caller = Caller(partial(rates.charge, "a"), owe=partial(rates.owe, "a"))
    caller.charge(1)
    node = Node()
    node.cost = 100
    session = WebSocketSession(None, None, node, caller, Limits(), lambda: None, asyncio.Lock())
    subscription = Subscription(1, "events", None, "1")
    await session._page(subscription)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session._page(subscription), 0.6)
    assert node.pages == 1


async def _stalled(served: Served) -> aiohttp.ClientWebSocketResponse:
    """A subscriber to 100 MiB that takes nothing, after the server has given up on it."""
    served.node.size = 1 << 20
    served.node.grow(100)
    ws = await served.http.ws_connect(served.url + "/ws", max_msg_size=0)
    await ws.send_str(json.dumps(request("events_subscribe", {"from_cursor": "1"})))
    for _ in range(50):
        await asyncio.sleep(0.1)
        if served.server.sessions == 0:
            break
    assert served.server.sessions == 0
    return ws


async def test_a_reader_that_takes_nothing_loses_the_connection(served):
    ws = await _stalled(served)
    for _ in range(50):
        await asyncio.sleep(0.1)
        if len(served.server.connections) == 0:
            break
    assert len(served.server.connections) == 0
    await ws.close()


async def test_a_reader_that_wakes_up_late_finds_out_why_it_was_closed(served):
    ws = await _stalled(served)
    numbers = []
    while True:
        message = await ws.receive(timeout=5)
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        if "method" in (frame := json.loads(message.data)):
            numbers.append(frame["params"]["data"]["number"])
    assert ws.close_code == 4008
    assert numbers == list(range(1, len(numbers) + 1))  # nothing is skipped before the end


async def test_subscriptions_and_sessions_are_bounded(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        for _ in range(2):
            assert "result" in await ask(ws, "events_subscribe")
        assert (await ask(ws, "events_subscribe"))["error"]["code"] == -32005
        async with served.http.ws_connect(served.url + "/ws"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await served.http.ws_connect(served.url + "/ws")
            assert refused.value.status == 429


async def test_messages_beyond_the_limit_end_the_session(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        await ws.send_str(" " * 50_001)
        assert (await ws.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_stopping_closes_sessions_politely(served):
    async with served.http.ws_connect(served.url + "/ws") as ws:
        await ask(ws, "events_subscribe")
        stopping = asyncio.create_task(served.server.stop())
        message = await ws.receive(timeout=5)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001
        await asyncio.wait_for(stopping, 5)
    with pytest.raises(aiohttp.ClientConnectorError):
        await served.rpc(request("test_double", [1]))
