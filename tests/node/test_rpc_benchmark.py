"""The benchmark of reads beside blocks: what it counts, what it refuses, and a small run against a real node."""

from __future__ import annotations

import asyncio
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import rpc
from benchmarks.network_load import BATCH
from benchmarks.rpc_reader import Failure, Job, Reader, requests_of

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"result":"12"}'


class Server(asyncio.Protocol):
    """Counts requests, and answers when and what a test says."""

    def __init__(self, received: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._received = received
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"POST ")):
            self._received(self._transport, data)


async def served(received: Callable[[asyncio.Transport, bytes], None], **job: Any) -> dict[str, Any]:
    """What a job finds at a server."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(received), "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        made = Job(port, **{"seconds": 0.2, "connections": 2, **job})
        return await Reader(made, requests_of(["a", "b", "c"], made.batch)).run()
    finally:
        server.close()


async def test_a_server_that_stands_still_is_charged_with_every_read_that_came_meanwhile() -> None:
    """Nothing is answered until all reads were due: two are under way, the others wait in the reader."""
    held: list[asyncio.Transport] = []
    running = False

    def received(transport: asyncio.Transport, data: bytes) -> None:
        if running:
            transport.write(ANSWER)
        else:
            held.append(transport)

    def release() -> None:
        nonlocal running
        running = True
        for transport in held:
            transport.write(ANSWER)

    asyncio.get_running_loop().call_later(0.3, release)
    found = await served(received, rate=200.0)
    assert found["reads"] == 40
    assert len(held) == 2
    latencies = sorted(found["latencies"])
    assert latencies[0] >= 0.3 - 0.2 - 0.01  # the last one was due shortly before 0.2 s
    assert latencies[-1] >= 0.3 - 0.01
    assert latencies[20] - latencies[0] >= 0.08  # each by the time since it was due, not all alike


async def test_without_a_rate_each_connection_asks_again_when_it_is_answered() -> None:
    under_way: list[int] = []
    open_requests = 0

    def received(transport: asyncio.Transport, data: bytes) -> None:
        nonlocal open_requests
        open_requests += 1
        under_way.append(open_requests)

        def answer() -> None:
            nonlocal open_requests
            open_requests -= 1
            transport.write(ANSWER[:20])
            transport.write(ANSWER[20:])  # in two pieces

        asyncio.get_running_loop().call_soon(answer)

    found = await served(received, batch=2)
    assert found["reads"] > 2
    assert found["reads"] % 2 == 0
    assert max(under_way) <= 2


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"error": "no"}',
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
    ],
)
async def test_a_refused_read_ends_the_job(answer: bytes) -> None:
    with pytest.raises(Failure):
        await served(lambda transport, data: transport.write(answer), rate=100.0)


async def test_a_closed_connection_ends_the_job() -> None:
    with pytest.raises(Failure, match="closed"):
        await served(lambda transport, data: transport.close(), rate=100.0)


def test_percentiles_and_lateness() -> None:
    assert rpc.percentiles([0.001] * 98 + [0.02, 0.5]) == {"p50": 1.0, "p99": 500.0, "max": 500.0}
    assert rpc.percentiles([]) == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    name = 'qenex_loop_lateness_seconds_bucket{le="%s"}'
    before = {name % le: 10.0 for le in ("0.01", "0.05", "0.1", "+Inf")}
    after = {name % "0.01": 70.0, name % "0.05": 108.0, name % "0.1": 110.0, name % "+Inf": 110.0}
    assert rpc.lateness(before, after) == {
        "p50": 10.0,
        "p99": 100.0,
        "worst": 100.0,
        "looks": 100.0,
        "above": 2.0,
    }


@pytest.mark.parametrize(
    "given",
    [
        ["--batch", "1"],
        ["--batch", "101"],
        ["--accounts", str(2 * BATCH - 1)],
        ["--connections", "0"],
        ["--connections", "901"],
        ["--callers", "0"],
        ["--seconds", "0"],
        ["--limit-seconds", "-1"],
        ["--heavy", "-1"],
        ["--transfers", "-1"],
        ["--shares", "0.5,1.5"],
        ["--shares", "half"],
    ],
)
def test_options_that_make_no_sense_are_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rpc.options_of(given)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_shares() -> None:
    assert rpc.shares_of("0.25,0.5") == [0.25, 0.5]
    with pytest.raises(ArgumentTypeError):
        rpc.shares_of("")


def test_a_missed_mark_is_told() -> None:
    row = {"kind": "single", "share": 0.5, "blocks": 3, "read_ms": {"p99": 20.1}}
    others = [
        {**row, "blocks": 0},
        {**row, "share": 0.25},
        {**row, "kind": "batch"},
        {**row, "read_ms": {"p99": 20.0}},
    ]
    assert rpc.missed({"rows": others}) == []
    assert len(rpc.missed({"rows": [*others, row]})) == 1


def test_a_small_run_against_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plyvel")
    monkeypatch.setattr(rpc, "MOST", 400.0)
    monkeypatch.setattr(rpc, "LEAD_SECONDS", 0.3)
    given = ["--accounts", "150", "--seconds", "0.5", "--limit-seconds", "0.2", "--connections", "5"]
    options = rpc.options_of(
        [*given, "--batch", "10", "--shares", "0.1", "--transfers", "200", "--heavy", "0.2"]
    )
    report = rpc.measure(options)
    assert set(report["echo"]) == set(report["most_reads"]) == {"single", "batch"}
    rows = report["rows"]
    assert [(row["kind"], row["blocks"] > 0) for row in rows] == [
        ("single", False), ("single", True), ("batch", False), ("batch", True)
    ]  # fmt: skip
    for row in rows:
        assert row["reads_per_second"] > 0
        assert 0 < row["read_ms"]["p50"] <= row["read_ms"]["p99"] <= row["read_ms"]["max"]
        assert row["late"]["looks"] > 0
        assert len(rpc.row_of(row).split("|")) == len(rpc.HEAD.splitlines()[0].split("|"))
    refused = [name for name, row in report["heavy"].items() if row["refused"]]
    assert all("refused" in name for name in refused)
    assert all(row["calls"] for row in report["heavy"].values())
