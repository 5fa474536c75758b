"""Four real validators on loopback: they agree, and go on agreeing while some die, hang, or are cut off."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from cli.devnet_home import create_devnet, existing_devnet
from cli.devnet_nodes import overrides_of
from node.config import load_config
from node.home import read_key
from qenex import QenexClient
from qenex.block import Evidence
from qenex.errors import QenexError
from tests.e2e.harness import ACCOUNTS, Devnet, run_cli
from tests.e2e.node_process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ALL = [f"validator-{number}" for number in range(4)]


@pytest.fixture
def net(short_path: Path) -> Iterator[Devnet]:
    devnet = Devnet(short_path / "net")
    devnet.up("--validators", "4")
    yield devnet
    devnet.down()


class Load:
    """Transfers from one account after the other, through one node, until stopped; counts what was included."""

    def __init__(self, net: Devnet, name: str, rpc: str) -> None:
        self._wallet = net.wallet(name)
        self._recipient = net.wallet("judy").address
        self._rpc = rpc
        self._stop = threading.Event()
        self.included = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        with QenexClient(self._rpc) as client:
            while not self._stop.is_set():
                try:
                    burst = [
                        client.bank.send(self._wallet, to=self._recipient, amount="0.001QXC")
                        for _ in range(8)
                    ]
                    for transaction in burst:
                        transaction.wait(timeout=20)
                        self.included += 1
                except QenexError:
                    self._stop.wait(0.1)  # no quorum, or its node is down: the test says for how long


def test_four_validators_know_each_other_take_transfers_anywhere_and_hold_one_chain(net: Devnet) -> None:
    assert [node["name"] for node in net.nodes()] == ALL
    net.wait_for("everybody is connected", lambda: [node["peers"] for node in net.nodes()] == [3, 3, 3, 3])
    assert len({node["pid"] for node in net.nodes()}) == 4
    clients = [QenexClient(node["rpc"]) for node in net.nodes()]
    supply = clients[0].bank.get_supply("QXC")
    sent = [
        clients[number % 4].bank.send(net.wallet(name), to=net.wallet("judy").address, amount="1QXC")
        for number, name in enumerate(ACCOUNTS[:8])
    ]
    heights = [transaction.wait(timeout=30).height for transaction in sent]
    net.wait_for("all nodes have all blocks", lambda: min(net.heights().values()) >= max(heights), seconds=30)
    for client in clients:
        assert client.bank.get_balance(net.wallet("judy").address, "QXC") == 1_000_008 * 10**9
        assert client.bank.get_supply("QXC") == supply
    net.agreed()
    proposers = {clients[0].chain.get_header(height).header.proposer for height in range(1, max(heights) + 1)}
    assert len(proposers) > 1, "they take turns"


def test_one_killed_the_blocks_go_on_two_killed_they_stop_and_all_resume_as_one_chain(net: Devnet) -> None:
    rpc = net.nodes()[0]["rpc"]
    with Load(net, "alice", rpc) as load:
        net.wait_for("the load is included", lambda: load.included >= 16)
        net.chaos("kill", "3")
        net.wait_for_blocks(5, ALL[:3])
        before = load.included
        net.wait_for("transfers are included without it", lambda: load.included > before + 16)

        net.chaos("kill", "2")
        stood = max(net.heights().values())
        net.wait_for("nothing more is decided", lambda: _stands(net, stood + 1), seconds=30)

        net.chaos("restart", "2", "3")
        net.wait_for_blocks(3)
        after = load.included
        net.wait_for("transfers are included again", lambda: load.included > after + 16)
    net.wait_for_blocks(1)
    assert net.agreed() > stood


def url_of(node: NodeProcess) -> str:
    return f"http://127.0.0.1:{node.port}"


def height_of(node: NodeProcess) -> int:
    """Where a node stands; 0 while it does not answer yet. Compare with heights that were asked before: a chain goes on."""
    return int(node.status()["height"]) if node.port else 0


def _stands(net: Devnet, most: int) -> bool:
    """Whether the chain stands still. What was under way when a node died may still be decided: one block."""
    before = net.heights()
    threading.Event().wait(3.0)  # several timeouts of a round: a chain that could go on would
    after = net.heights()
    assert max(after.values()) <= most, "two of four decide nothing"
    return before == after


def test_all_killed_at_once_resume_with_the_same_chain(net: Devnet) -> None:
    with Load(net, "bob", net.nodes()[1]["rpc"]) as load:
        net.wait_for("the load is included", lambda: load.included >= 16)
        net.chaos("kill", *ALL)
    assert not any(node["running"] for node in net.nodes())
    data = net.up()
    assert data["resumed"] is True
    net.wait_for_blocks(2)
    net.agreed()
    with Load(net, "bob", net.nodes()[2]["rpc"]) as load:
        net.wait_for("transfers are included again", lambda: load.included >= 16)


def test_a_partition_heals_the_majority_goes_on_and_halves_stand(net: Devnet) -> None:
    rpc = net.nodes()[0]["rpc"]
    with Load(net, "carol", rpc) as load:
        net.wait_for("the load is included", lambda: load.included >= 8)
        assert net.chaos("partition", "3")["validator-3"] == "cut off"
        net.wait_for_blocks(5, ALL[:3])
        alone = net.heights()["validator-3"]
        assert alone < max(net.heights().values()), "nobody tells it"
        net.chaos("heal")
        net.wait_for_blocks(2)

        net.chaos("partition", "2", "3")
        stood = max(net.heights().values())
        net.wait_for("both halves stand", lambda: _stands(net, stood + 1), seconds=30)
        net.chaos("heal")
        net.wait_for_blocks(3)
    net.agreed()


def test_a_paused_node_catches_up_when_it_goes_on(net: Devnet) -> None:
    net.chaos("pause", "1")
    assert [node["paused"] for node in net.nodes()] == [False, True, False, False]
    with Load(net, "dave", net.nodes()[0]["rpc"]) as load:
        net.wait_for_blocks(8, ["validator-0", "validator-2", "validator-3"])
        assert load.included
    net.chaos("heal", "1")
    net.wait_for_blocks(2)
    net.agreed()


def test_a_validator_that_signs_two_votes_is_caught_and_the_chain_goes_on(net: Devnet) -> None:
    net.chaos("kill", "3")
    devnet = existing_devnet(net.home)
    traitor = devnet.nodes[3]
    address = read_key(load_config(traitor.home, environment={}).validator_key_path).address
    net.cli("delegate", "validator-3", "1000QXC", "--from", "heidi", "--yes")
    overrides = [part for item in overrides_of(devnet, traitor) for part in ("--set", item)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.byzantine_node", "--home", str(traitor.home), *overrides],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    honest = ALL[:3]
    try:
        with Load(net, "erin", net.nodes()[0]["rpc"]) as load, QenexClient(net.nodes()[1]["rpc"]) as client:
            found: list[Evidence] = []
            seen = 0

            def evidence_lands() -> bool:
                nonlocal seen
                while seen < client.node.status().height:
                    seen += 1
                    found.extend(client.chain.get_block(seen).evidence)
                return bool(found)

            net.wait_for("evidence is in a block", evidence_lands, seconds=90)
            assert {vote.address for item in found for vote in (item.first, item.second)} == {address}
            net.wait_for_blocks(5, honest)
            assert load.included
            slashed = client.staking.get_validator(address).validator
            assert slashed.tombstone is not None
            assert slashed.tokens < 101_000 * 10**9, "a part of the stake is gone"
            assert slashed.power == 0
            with_heidi = client.staking.get_delegation(net.wallet("heidi").address, address)
            assert with_heidi.tokens < 1_000 * 10**9, "also of who delegated to it"
        assert process.poll() is None, "the traitor is a process that goes on"
    finally:
        process.kill()
        process.wait()
    net.wait_for_blocks(2, honest)
    net.agreed(honest)


def test_a_late_joiner_fetches_all_blocks_and_follows(net: Devnet, short_path: Path) -> None:
    with Load(net, "frank", net.nodes()[0]["rpc"]) as load:
        net.wait_for("there is a chain to fetch", lambda: load.included >= 40)
        home = short_path / "late"
        genesis = net.home / "nodes" / "validator-0" / "genesis.json"
        run_cli(
            "node", "init", "--home", str(home), "--genesis", str(genesis), "--seed", net.nodes()[0]["p2p"],
            "--rpc-port", "0", "--p2p-port", "0", "--name", "late",
        )  # fmt: skip
        with NodeProcess(home) as late:
            net.wait_for("the late one has come", lambda: max(net.heights().values()) <= height_of(late))
            net.wait_for_blocks(3)
            height = min(net.heights().values())
            net.wait_for("it follows", lambda: height_of(late) >= height)
            with QenexClient(net.nodes()[0]["rpc"]) as one, QenexClient(url_of(late)) as other:
                for at in (1, height // 2, height):
                    assert one.chain.get_header(at).hash == other.chain.get_header(at).hash


def test_a_joiner_with_a_checkpoint_begins_from_a_snapshot(short_path: Path) -> None:
    net = Devnet(short_path / "net")
    create_devnet(net.home, 4)
    for name in ALL:
        run_cli("config", "set", "snapshots.interval", "10", "--home", str(net.home / "nodes" / name))
    net.up()
    try:
        with Load(net, "grace", net.nodes()[0]["rpc"]) as load:
            net.wait_for(
                "snapshots are made", lambda: load.included >= 8 and min(net.heights().values()) > 45
            )
            with QenexClient(net.nodes()[0]["rpc"]) as client:
                checkpoint = client.chain.get_header(20)
            home = short_path / "joiner"
            genesis = net.home / "nodes" / "validator-0" / "genesis.json"
            run_cli(
                "node", "init", "--home", str(home), "--genesis", str(genesis), "--seed", net.nodes()[0]["p2p"],
                "--rpc-port", "0", "--p2p-port", "0",
            )  # fmt: skip
            with NodeProcess(home, "--set", f"sync.trusted=20:{checkpoint.hash}") as joiner:
                net.wait_for("it has come", lambda: max(net.heights().values()) <= height_of(joiner))
                with QenexClient(net.nodes()[0]["rpc"]) as one, QenexClient(url_of(joiner)) as other:
                    height = min(height_of(joiner), min(net.heights().values()))
                    assert one.chain.get_header(height).hash == other.chain.get_header(height).hash
                    with pytest.raises(QenexError):
                        other.chain.get_block(5)  # it never had the blocks before the snapshot
        net.agreed()
    finally:
        net.down()
