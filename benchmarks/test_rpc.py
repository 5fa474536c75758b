"""The RPC's speed: a balance read through the dispatcher, alone and in batches, and over HTTP on loopback.

The HTTP case runs server and clients in one process on one loop, so it states what both cost together;
the echo case beside it is the raw limit: the same clients against aiohttp answering constant bytes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from node.rpc import values
from node.rpc.app import build_server
from node.rpc.limits import Limits
from node.rpc.server import ServerSettings
from qenex.crypto.address import encode_address
from tests.node.rpc.chain_helpers import ALICE, BOB, TestChain, text

READS = 2_000
CONNECTIONS = 8


def balance_request(request_id: int = 1) -> dict[str, Any]:
    """A read of one balance."""
    params = {"address": text(BOB), "denom": "QXC"}
    return {"jsonrpc": "2.0", "id": request_id, "method": "bank_getBalance", "params": params}


async def chain_with_a_block() -> TestChain:
    """A chain whose last block has a transfer."""
    chain = TestChain()
    await chain.send(ALICE, BOB)
    chain.mine()
    return chain


@pytest.mark.parametrize("size", [1, 100])
def test_balance_reads_through_the_dispatcher(benchmark, size):
    async def many(chain: TestChain, data: bytes) -> None:
        for _ in range(READS // size):
            await chain.dispatcher.handle(data, chain.caller)

    runner = asyncio.Runner()
    chain = runner.run(chain_with_a_block())
    calls = [balance_request(number) for number in range(size)]
    data = json.dumps(calls if size > 1 else calls[0]).encode()
    benchmark.extra_info["reads"] = READS
    benchmark.pedantic(lambda: runner.run(many(chain, data)), rounds=5, warmup_rounds=1)
    benchmark.extra_info["reads_per_second"] = round(READS / benchmark.stats.stats.min)
    runner.close()


def test_balance_reads_of_addresses_never_seen_before(benchmark):
    """Every read decodes and checks an address anew; the other cases read one that is remembered."""
    runner = asyncio.Runner()
    chain = runner.run(chain_with_a_block())
    requests = []
    for number in range(READS):
        call = balance_request(number)
        call["params"]["address"] = encode_address(number.to_bytes(32, "big"))
        requests.append(json.dumps(call).encode())

    async def many() -> None:
        for data in requests:
            await chain.dispatcher.handle(data, chain.caller)

    benchmark.pedantic(lambda: runner.run(many()), setup=values._known_address.cache_clear, rounds=5)
    benchmark.extra_info["reads_per_second"] = round(READS / benchmark.stats.stats.min)
    runner.close()


async def raw_client(port: int, body: bytes, count: int) -> None:
    """Send one request after the other on one connection; a client that costs little beside the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    data = head.encode() + body
    for _ in range(count):
        writer.write(data)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def measured(port: int, body: bytes) -> float:
    """Reads per second over several connections."""
    started = time.perf_counter()
    await asyncio.gather(*[raw_client(port, body, READS // CONNECTIONS) for _ in range(CONNECTIONS)])
    return READS / (time.perf_counter() - started)


async def with_node(use: Callable[[int], Awaitable[float]]) -> float:
    """Run against the node's server."""
    chain = await chain_with_a_block()
    server = build_server(chain.service, ServerSettings(port=0, limits=Limits(rate=0)))
    await server.start()
    try:
        return await use(server.port)
    finally:
        await server.stop()


async def with_echo(use: Callable[[int], Awaitable[float]]) -> float:
    """Run against aiohttp that reads the body and answers constant bytes."""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=b"{}")

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        return await use(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]  # an asyncio server has sockets, its base class none
    finally:
        await runner.cleanup()


def test_balance_reads_over_http(benchmark):
    body = json.dumps(balance_request()).encode()
    rates: list[float] = []

    async def once() -> None:
        rates.append(await with_node(lambda port: measured(port, body)))

    benchmark.pedantic(lambda: asyncio.run(once()), rounds=5, warmup_rounds=1)
    limit = asyncio.run(with_echo(lambda port: measured(port, body)))
    benchmark.extra_info["reads_per_second"] = round(max(rates))
    benchmark.extra_info["echo_per_second"] = round(limit)
    benchmark.extra_info["ratio"] = round(max(rates) / limit, 2)
