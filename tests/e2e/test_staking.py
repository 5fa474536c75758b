"""Staking by the command line alone: power follows delegations, and a fifth validator comes with its own node and signs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qenex import QenexClient
from qenex.block import FLAG_COMMIT
from tests.e2e.harness import Devnet, run_cli
from tests.e2e.node_process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def net(short_path: Path) -> Iterator[Devnet]:
    devnet = Devnet(short_path / "net")
    devnet.up("--validators", "4")
    yield devnet
    devnet.down()


def powers(client: QenexClient, height: int) -> dict[str, int]:
    """Power by address at a height."""
    return {v.address.hex(): v.power for v in client.chain.get_validators(height).validators}


def test_power_follows_delegations_and_a_fifth_validator_joins_and_signs(
    net: Devnet, short_path: Path
) -> None:
    node = net.nodes()[0]
    with QenexClient(node["rpc"]) as client:
        assert set(powers(client, 1).values()) == {100_000}
        done = net.cli("delegate", "validator-1", "5000QXC", "--from", "bob", "--yes")
        at = int(done["data"]["height"])
        validator = net.wallet("validator-1").address.hex()
        net.wait_for_blocks(3)
        assert powers(client, at + 1)[validator] == 100_000, "not yet"
        assert powers(client, at + 2)[validator] == 105_000, "two heights on"

        alice = net.wallet("alice").address
        home = short_path / "fifth"
        genesis = net.home / "nodes" / "validator-0" / "genesis.json"
        text = str(net.cli("keys", "show", "alice")["data"]["address"])
        run_cli(
            "node", "init", "--home", str(home), "--genesis", str(genesis), "--seed", node["p2p"],
            "--rpc-port", "0", "--p2p-port", "0", "--name", "fifth", "--operator", text,
        )  # fmt: skip
        with NodeProcess(home) as fifth:
            net.wait_for(
                "the fifth is there", lambda: bool(fifth.port) and int(fifth.status()["height"]) >= at
            )
            net.cli(
                "staking", "join", "fifth", "50000QXC", "--node-home", str(home), "--from", "alice", "--yes"
            )  # fmt: skip

            def signs() -> bool:
                height = client.node.status().height
                votes = client.chain.get_commit(height).signatures
                return any(vote.address == alice and vote.flag == FLAG_COMMIT for vote in votes)

            net.wait_for("it signs", signs, seconds=120)
            height = client.node.status().height
            assert powers(client, height)[alice.hex()] == 50_000
            client.bank.send(net.wallet("carol"), to=alice, amount="1QXC").wait(timeout=30)
    net.agreed()
