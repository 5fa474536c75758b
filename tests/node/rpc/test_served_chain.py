"""The whole face over real sockets: a chain that makes blocks, our own client, REST and subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from node.rpc.app import AdminMethods, build_server
from node.rpc.limits import Limits
from node.rpc.server import RpcServer, ServerSettings
from qenex.async_client import AsyncQenexClient
from qenex.errors import InsufficientBalance, InvalidParams, NotFound, QenexError
from qenex.light import Trust
from tests.node.rpc.chain_helpers import ALICE, BOB, CAROL, CHAIN_ID, QXC_EACH, TestChain, text


class Running:
    """A chain that makes a block whenever something waits, and its server."""

    def __init__(self, chain: TestChain, server: RpcServer) -> None:
        self.chain, self.server = chain, server
        self.url = f"http://127.0.0.1:{server.port}"
        self.stopped = 0
        self._wake = asyncio.Event()
        chain.app.admission.on_admitted = self._wake.set

    async def make_blocks(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.chain.mine()

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    chain = TestChain()
    settings = ServerSettings(port=0, token="an-admin-token-for-tests", limits=Limits(rate=0))
    stops: list[int] = []
    server = build_server(chain.service, settings, AdminMethods(lambda: stops.append(1), lambda level: None))
    await server.start()
    found = Running(chain, server)
    blocks = asyncio.create_task(found.make_blocks())
    yield found
    found.stopped = len(stops)
    blocks.cancel()
    await server.stop()


@pytest.fixture
async def client(running: Running) -> AsyncIterator[AsyncQenexClient]:
    async with AsyncQenexClient(running.url) as found:
        yield found


async def test_our_client_sends_money_and_reads_it_back(running, client):
    receipt = await (await client.bank.send(ALICE, to=BOB.address, amount="1.5QXC")).wait()
    assert receipt.ok
    assert receipt.events[0].name == "bank.transferred"
    assert await client.bank.get_balance(BOB.address) == QXC_EACH + 1_500_000_000
    assert (await client.tx.get(receipt.hash)).height == receipt.height
    account = await client.state.get_account(ALICE.address)
    assert account.sequence == 1
    assert account.public_key == ALICE.public_key


async def test_a_failing_transfer_is_refused_before_it_is_signed(running, client):
    with pytest.raises(InsufficientBalance):
        await client.bank.send(ALICE, to=BOB.address, amount=f"{QXC_EACH}QXC")
    assert running.chain.ledger.height == 0


async def test_our_client_proves_a_balance_against_trusted_validators(running, client):
    await (await client.bank.send(ALICE, to=CAROL.address, amount="2QXC")).wait()
    running.chain.mine()
    validators = await client.chain.get_validators(2)
    trust = Trust(CHAIN_ID, validators=validators.validators)
    assert (await client.state.verified_balance(CAROL.address, trust=trust)).amount == 2 * 10**9
    assert (await client.state.verified_balance(BOB.address, "tokens/gold", trust=trust)).amount == 500
    assert (await client.state.verified_balance(CAROL.address, "tokens/gold", trust=trust)).amount == 0


async def test_our_client_follows_events_and_replays_them(running, client):
    first = await (await client.bank.send(ALICE, to=BOB.address, amount="1QXC")).wait()
    assert first.ok
    async with client.events.subscribe("events", event="bank.", from_cursor="1.0.0") as events:
        replayed = await asyncio.wait_for(anext(events), 5)
        await (await client.bank.send(ALICE, to=BOB.address, amount="2QXC")).wait()
        live = await asyncio.wait_for(anext(events), 5)
    assert [note.data["fields"]["amount"] for note in (replayed, live)] == ["1000000000", "2000000000"]
    async with client.events.subscribe("events", event="bank.", from_cursor=replayed.cursor) as events:
        assert (await asyncio.wait_for(anext(events), 5)).data == live.data


async def test_blocks_and_transactions_are_topics_too(running, client):
    async with client.events.subscribe(
        "transactions", address=text(ALICE), from_cursor="1.0.0"
    ) as transactions:
        sent = await (await client.bank.send(ALICE, to=BOB.address, amount="1QXC")).wait()
        note = await asyncio.wait_for(anext(transactions), 5)
    assert note.data["hash"] == sent.hash
    async with client.events.subscribe("blocks", from_cursor="1.0.0") as blocks:
        assert (await asyncio.wait_for(anext(blocks), 5)).data["height"] == 1


async def test_wrong_subscriptions_are_refused(running, client):
    for topic, more in (
        ("nothing", {}),
        ("blocks", {"address": text(ALICE)}),
        ("events", {"from_cursor": "9.0.0"}),
    ):
        subscription = client.events.subscribe(topic, **more)
        with pytest.raises((InvalidParams, NotFound)):
            await asyncio.wait_for(anext(subscription), 5)


async def test_the_rest_mirror_answers_as_the_rpc_does(running, client):
    receipt = await (await client.bank.send(ALICE, to=BOB.address, amount="1QXC")).wait()
    running.chain.mine()
    chain = running.chain
    for path, name, params in (
        ("/blocks/latest", "chain_getBlock", {}),
        ("/blocks/1", "chain_getBlock", {"height": 1}),
        ("/blocks?limit=1", "chain_getBlocks", {"limit": 1}),
        (f"/transactions/{receipt.hash}?prove=true", "tx_get", {"hash": receipt.hash, "prove": True}),
        (f"/accounts/{text(ALICE)}", "state_getAccount", {"address": text(ALICE)}),
        (
            f"/bank/balance/{text(BOB)}/tokens%2Fgold",
            "bank_getBalance",
            {"address": text(BOB), "denom": "tokens/gold"},
        ),
        (f"/bank/balances/{text(BOB)}?limit=1", "bank_getBalances", {"address": text(BOB), "limit": 1}),
        ("/bank/supply/QXC?at=1", "bank_getSupply", {"denom": "QXC", "at": 1}),
        ("/events?event=bank.", "events_query", {"event": "bank."}),
        ("/node/status", "node_status", {}),
        ("/mempool", "mempool_status", {}),
        ("/genesis", "chain_getGenesis", {}),
    ):
        assert await running.get("/api/v1" + path) == (200, await chain.call(name, **params)), path
    status, answer = await running.get("/api/v1/transactions/0x" + "00" * 32)
    assert (status, answer["error"]["code"]) == (404, -32001)
    status, answer = await running.get("/api/v1/accounts/qx1nonsense")
    assert (status, answer["error"]["name"]) == (400, "invalid_address")


async def test_a_transaction_posted_over_rest_lands(running):
    raw = running.chain.signed()
    async with aiohttp.ClientSession() as session:
        url, headers = running.url + "/api/v1/transaction", {"Content-Type": "application/octet-stream"}
        async with session.post(url, data=raw, headers=headers) as answer:
            assert answer.status == 200
            tx_hash = (await answer.json())["hash"]
        async with session.post(url, data=raw, headers=headers) as answer:
            assert answer.status == 409  # already known
    assert (await running.chain.call("tx_get", hash=tx_hash))["hash"] == tx_hash


async def test_submit_and_wait_over_a_websocket_does_not_hold_up_other_calls(running):
    running.chain.app.admission.on_admitted = lambda: None  # no blocks for now
    raw = "0x" + running.chain.signed().hex()
    calls = [("tx_submitAndWait", {"transaction": raw}), ("node_status", {})]
    async with aiohttp.ClientSession() as session, session.ws_connect(running.url + "/ws") as ws:
        for number, (name, params) in enumerate(calls):
            await ws.send_json({"jsonrpc": "2.0", "id": number, "method": name, "params": params})
        assert (await ws.receive_json(timeout=5))["id"] == 1
        while not len(running.chain.app.mempool):  # noqa: ASYNC110  # a few turns of the loop
            await asyncio.sleep(0)
        running.chain.mine()
        answer = await ws.receive_json(timeout=5)
        assert (answer["id"], answer["result"]["state"]) == (0, "included")


async def test_the_operator_stops_the_node_with_the_token(running):
    async with AsyncQenexClient(running.url) as anyone:
        with pytest.raises(QenexError, match="token"):
            await anyone.call("admin_stop")
    async with AsyncQenexClient(running.url, token="an-admin-token-for-tests") as operator:
        assert await operator.call("admin_stop") is True
        assert await operator.call("admin_setLogLevel", level="debug") is True


async def test_a_hundred_clients_at_once_are_answered(running):
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "bank_getBalance",
            "params": {"address": text(BOB), "denom": "QXC"},
        }
    )
    headers = {"Content-Type": "application/json"}

    async def ask(session: aiohttp.ClientSession) -> Any:
        async with session.post(running.url + "/rpc", data=body, headers=headers) as answer:
            return (await answer.json())["result"]

    async with aiohttp.ClientSession() as session:
        assert await asyncio.gather(*[ask(session) for _ in range(100)]) == [str(QXC_EACH)] * 100
