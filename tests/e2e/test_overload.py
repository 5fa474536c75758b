"""More is sent to a real node than waits for a block there: refused at once and by name, others come in, and all again after the block."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.node_process import NodeProcess, make_home, make_people, transaction
from tests.scenario import Person, make_genesis

pytestmark = pytest.mark.e2e
EACH = 50
PLACES = 100
"""The gate's least, which `max_wait_ms` below asks for."""


class Line:
    """One connection, which is one caller."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def submit(self, raws: list[bytes]) -> list[dict[str, Any]]:
        calls = [
            {"jsonrpc": "2.0", "id": at, "method": "tx_submit", "params": {"transaction": "0x" + raw.hex()}}
            for at, raw in enumerate(raws)
        ]
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/rpc", json.dumps(calls), headers)
        return list(json.loads(self._connection.getresponse().read()))

    def close(self) -> None:
        self._connection.close()


def pay(sender: Person, to: Person) -> bytes:
    return transaction([sender], ("bank.send", (to.address, ("QXC", 1))))


def refusals(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer["error"] for answer in answers if "error" in answer]


def test_what_is_beyond_the_gate_is_refused_until_the_next_block_and_nobody_else_is(tmp_path: Path) -> None:
    people = make_people()
    senders, light = [Person(100 + number) for number in range(6)], Person(200)
    genesis = make_genesis([*people, *senders, light])
    home = make_home(
        tmp_path / "home",
        genesis,
        engine={"min_interval_ms": 8_000, "settle_interval_ms": 8_000},
        mempool={"max_wait_ms": 50},
    )
    raws = [pay(sender, people[0]) for sender in senders for _ in range(EACH)]
    with NodeProcess(home) as node:
        node.wait_ready()
        flood, other = Line(node.port), Line(node.port)
        height = node.status()["height"]
        first = flood.submit(raws[:PLACES])
        assert refusals(first) == []
        beyond = refusals(flood.submit(raws[PLACES : 2 * PLACES]))
        assert len(beyond) == PLACES
        assert {error["data"]["name"] for error in beyond} == {"node_busy"}
        assert all(error["data"]["retryable"] and error["data"]["retry_after_ms"] > 0 for error in beyond)
        assert refusals(other.submit([pay(light, people[0]) for _ in range(10)])) == []
        status, body = node.http(
            "POST", "/api/v1/transaction", json.dumps("0x" + raws[PLACES].hex()).encode()
        )
        assert (status, json.loads(body).get("hash", "")[:2]) == (200, "0x"), (
            "a third caller has a share, too"
        )
        assert node.status()["height"] == height, "all of this before the next block"
        last = "0x" + json.loads(body)["hash"][2:]
        while not node.call("tx_get", hash=last).get("height"):
            assert node.process.poll() is None, node.log
        again = flood.submit(raws[PLACES + 1 : 2 * PLACES + 1])
        assert refusals(again) == [], "the same bytes, and at once"
        metrics = node.http("GET", "/metrics")[1].decode()
        assert f"qenex_gate_refused_total {float(PLACES)}" in metrics
        flood.close()
        other.close()
