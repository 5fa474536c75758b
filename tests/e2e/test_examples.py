"""The example programs run on a real devnet as their first lines say, and prove what they claim."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qenex import Keyring, Trust
from qenex.crypto import SCHEMES
from qenex.errors import InsufficientBalance, ProofInvalid
from tests.e2e.harness import Devnet

pytestmark = pytest.mark.e2e


@pytest.fixture
def devnet(short_path: Path) -> Iterator[Devnet]:
    net = Devnet(short_path / "net")
    net.up()
    yield net
    net.down()


@pytest.fixture
def run(devnet: Devnet, repository: Path) -> object:
    def run_example(name: str, *arguments: str, start: bool = False) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(repository / "examples" / name),
            "--node",
            devnet.node()["rpc"],
            *arguments,
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=repository,
            env={"PYTHONPATH": str(repository), "PATH": ""},
        )  # fmt: skip
        if not start:
            process.wait(60)
        return process

    return run_example


def test_the_examples_send_watch_and_verify(devnet: Devnet, run: object) -> None:
    assert callable(run)
    home = ("--home", str(devnet.home))
    done = run("send.py", *home, "--from", "alice", "--to", "bob", "1.5QXC")
    output, errors = done.communicate()
    assert done.returncode == 0, errors
    receipt = json.loads(output)
    assert receipt["receipt"]["status"] == 0
    assert receipt["hash"] in errors

    watching = run(
        "watch_events.py",
        "--event",
        "bank.",
        "--count",
        "1",
        "--from-cursor",
        f"{receipt['height']}.0.0",
        start=True,
    )
    output, errors = watching.communicate(timeout=60)
    assert watching.returncode == 0, errors
    assert json.loads(output)["transaction_hash"] == receipt["hash"]

    done = run("watch_events.py", "--event", "bank.", "--count", "1", "--from-start")
    output, errors = done.communicate()
    assert done.returncode == 0, errors
    first = json.loads(output)
    assert first["transaction_hash"] == receipt["hash"]
    assert first["fields"]["amount"] == "1500000000"

    with devnet.client() as client:
        height = client.node.status().height
        client.bank.send(devnet.wallet("carol"), to=devnet.wallet("dave"), amount="1QXC").wait()
        assert client.node.status().height > height  # the state of the first transfer has its header now
    done = run("verify_balance.py", *home, "bob")
    output, errors = done.communicate()
    assert done.returncode == 0, errors
    assert output == "1000001.5QXC proved\n"

    done = run("send.py", *home, "--from", "alice", "--to", "bob", "1.5")
    output, errors = done.communicate()
    assert (done.returncode, output) == (1, "")
    assert "1.5QXC" in errors


@pytest.mark.parametrize("name", ["send.py 1QXC", "watch_events.py", "verify_balance.py alice"])
def test_an_example_without_a_node_says_so_in_two_lines(repository: Path, tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    keyring = Keyring(tmp_path / "keyring", development=True)
    for number, key in enumerate(("alice", "bob")):
        keyring.create(key, "ed25519", SCHEMES["ed25519"].generate(bytes([number]) * 32)[1])
    program, *arguments = name.split()
    home = [] if program == "watch_events.py" else ["--home", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(repository / "examples" / program), "--node", f"http://127.0.0.1:{port}",
         *home, *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=repository,
        env={"PYTHONPATH": str(repository), "PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"cannot reach 127.0.0.1:{port}: Connection refused\ncheck the URL and that the node runs\n"
    )


def test_a_balance_is_proved_against_a_header_that_a_known_validator_signed(devnet: Devnet) -> None:
    with devnet.client() as client:
        alice, bob = devnet.wallet("alice"), devnet.wallet("bob")
        for _ in range(2):
            client.bank.send(alice, to=bob, amount="1QXC").wait()
        info = client.node.info()
        validators = client.chain.get_validators().validators
        trust = Trust(info.chain_id, validators=validators)
        proved = client.state.verified_balance(bob, trust=trust)
        assert proved.amount >= 1_000_001_000_000_000
        assert client.state.verified_balance(bob, "amm/1", trust=trust).amount == 0
        stranger = Trust(info.chain_id, validators=(validators[0]._replace(power=2),))
        with pytest.raises(ProofInvalid):
            client.state.verified_balance(bob, trust=stranger)
        with pytest.raises(ProofInvalid):
            client.state.verified_balance(bob, trust=Trust("another-chain", validators=validators))
        with pytest.raises(InsufficientBalance):
            client.bank.send(alice, to=bob, amount="999999999QXC")
        block = client.chain.get_block()
        assert block.hash == client.chain.get_header(block.height).hash
