"""`kill -9` in the middle of load: the node restarts by itself with the same chain, nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qenex import QenexClient
from qenex.errors import QenexError
from tests.e2e.harness import Devnet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
KILLS = 50 if os.environ.get("QENEX_LONG") else 5


@pytest.fixture
def devnet(short_path: Path) -> Iterator[Devnet]:
    net = Devnet(short_path / "net")
    net.up()
    yield net
    net.down()


class Load(threading.Thread):
    """Sends transfers until stopped; notes which ones the node said were included, and where."""

    def __init__(self, devnet: Devnet, rpc: str) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.wallet = devnet.wallet("alice")
        self.recipient = devnet.wallet("bob").address
        self.rpc = rpc
        self.included: dict[str, int] = {}

    def run(self) -> None:
        while not self.stopped.is_set():
            client = QenexClient(self.rpc)
            try:
                while not self.stopped.is_set():
                    burst = [
                        client.bank.send(self.wallet, to=self.recipient, amount="0.001QXC") for _ in range(8)
                    ]
                    for transaction in burst:
                        receipt = transaction.wait(timeout=10)
                        self.included[transaction.hash] = receipt.height
            except QenexError:
                time.sleep(0.02)  # the node was killed: the test restarts it
            finally:
                client.close()


def test_kill_9_under_load_loses_nothing_and_resumes_with_the_same_chain(devnet: Devnet) -> None:
    instants = random.Random(20_261_121)
    seen: dict[int, str] = {}
    included: dict[str, int] = {}
    for _ in range(KILLS):
        node = devnet.node()
        load = Load(devnet, node["rpc"])
        load.start()
        time.sleep(instants.uniform(0.1, 1.2))
        before = devnet.node()
        seen[before["height"]] = before["last_block_hash"]
        time.sleep(instants.uniform(0.0, 0.05))
        devnet.kill_pid(int(before["pid"]))
        load.stopped.set()
        load.join(timeout=60)
        included |= load.included
        devnet.up()
        after = devnet.node()
        assert after["height"] >= max(seen), "a block that was final is still there"
    assert included, "the load was real"
    client = devnet.client()
    for height, block_hash in seen.items():
        assert client.chain.get_block(height).hash == block_hash
    for transaction_hash, height in included.items():
        found = client.tx.get(transaction_hash)
        assert found.receipt is not None
        assert found.receipt.height == height
    assert (
        client.bank.send(devnet.wallet("alice"), to=devnet.wallet("bob").address, amount="1QXC").wait().status
        == 0
    )
    devnet.down()
    report = devnet.cli("node", "check", "--home", str(devnet.node_home()), timeout=600)["data"]
    assert report["ok"]
