"""Real processes for end-to-end tests: a devnet driven through the command line, and its nodes' RPC."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qenex import QenexClient, Wallet
from qenex.crypto import Keyring

ACCOUNTS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")


IDLE_SECONDS = 0.4
"""What a command that asks a node takes on an idle core."""


class Failed(AssertionError):
    """A command ended with another exit code than expected."""


def run_cli(*arguments: str, expect: int | None = 0, stdin: str = "", timeout: float = 60) -> dict[str, Any]:
    """Run `qenex ARGUMENTS --json` and return the envelope; with None any exit code is right."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments, "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if expect is not None and done.returncode != expect:
        raise Failed(
            f"qenex {' '.join(arguments)} ended with {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}"
        )
    envelope = json.loads(done.stdout)
    assert set(envelope) == {"schema_version", "ok", "data", "errors", "warnings", "meta"}
    assert envelope["ok"] is (done.returncode == 0)
    assert "Traceback" not in done.stderr
    return dict(envelope)


def slowness() -> float:
    """How many times longer one command takes here and now than on a machine with nothing else to do; 1 to 5.

    Chains whose rules count seconds are given more of them on a busy machine.
    """
    started = time.monotonic()
    for _ in range(2):
        run_cli("--node", "http://127.0.0.1:1", "governance", "get-proposal", "1", expect=6)
    return min(max(1.0, (time.monotonic() - started) / 2 / IDLE_SECONDS), 5.0)


class Devnet:
    """One devnet in its own home folder. Processes are ended by the ids that `status` reports."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.patience = 1.0
        """By how much longer than usual things are waited for; see `slowness`."""
        self._traffic: tuple[QenexClient, Wallet] | None = None

    def cli(self, *arguments: str, expect: int = 0, timeout: float = 60) -> dict[str, Any]:
        """Run a command on this devnet's home."""
        return run_cli("--home", str(self.home), *arguments, expect=expect, timeout=timeout)

    def make_blocks(self, number: int = 1, by: str = "frank") -> None:
        """Blocks with a transfer each, one after the other: where only blocks let time go on."""
        if self._traffic is None:
            self._traffic = self.client(), self.wallet(by)
        client, wallet = self._traffic
        for _ in range(number):
            client.bank.send(wallet, to=wallet.address, amount="0.000001QXC").wait(timeout=60)

    def by(self, name: str, *arguments: str) -> dict[str, Any]:
        """A command that `name` signs; the receipt, which succeeded."""
        return dict(self.cli(*arguments, "--from", name, "--yes")["data"])

    def refused(self, name: str, *arguments: str, code: int = 9) -> dict[str, Any]:
        """The error of a command that `name` would sign: by its simulation, unless another exit code is given."""
        return dict(self.cli(*arguments, "--from", name, "--yes", expect=code)["errors"][0])

    def ask(self, *arguments: str) -> Any:
        """What a command tells."""
        return self.cli(*arguments)["data"]

    def address(self, name: str) -> str:
        """The account of a key in the keyring."""
        return str(self.ask("keys", "address", name)["address"])

    def up(self, *options: str) -> dict[str, Any]:
        """Start or resume; returns when the chain is ready."""
        return dict(run_cli("devnet", "up", "--home", str(self.home), "--detach", *options)["data"])

    def down(self) -> None:
        """Stop the chain's processes."""
        run_cli("devnet", "down", "--home", str(self.home))

    def node(self) -> dict[str, Any]:
        """The first node's line of `devnet status`."""
        nodes = run_cli("devnet", "status", "--home", str(self.home))["data"]["nodes"]
        return dict(nodes[0])

    def nodes(self) -> list[dict[str, Any]]:
        """All lines of `devnet status`."""
        return list(run_cli("devnet", "status", "--home", str(self.home))["data"]["nodes"])

    def chaos(self, command: str, *names: str) -> dict[str, str]:
        """`devnet chaos COMMAND NAMES`; what happened, by node."""
        told = run_cli("devnet", "chaos", command, *names, "--home", str(self.home), timeout=180)
        return {node["name"]: node["outcome"] for node in told["data"]["nodes"]}

    def heights(self, names: Sequence[str] = ()) -> dict[str, int]:
        """Heights of the nodes that answer, or of those named."""
        return {
            node["name"]: node["height"]
            for node in self.nodes()
            if node["height"] is not None and (not names or node["name"] in names)
        }

    def wait_for(self, what: str, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Return when `done()`; fail with where the nodes stand when it is not in time."""
        seconds *= self.patience
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {seconds:.0f} s; {json.dumps(self.nodes(), indent=1)}")
            time.sleep(0.1)

    def wait_for_blocks(self, more: int, names: Sequence[str] = (), seconds: float = 60.0) -> None:
        """Return when the nodes (all, or those named) stand `more` heights above the highest one now."""
        target = max(self.heights().values()) + more
        self.wait_for(
            f"height {target} on {', '.join(names) or 'all nodes'}",
            lambda: bool(now := self.heights(names)) and min(now.values()) >= target,
            seconds,
        )

    def agreed(self, names: Sequence[str] = ()) -> int:
        """Compare every header up to the least common height, on all nodes or those named; returns that height.

        A header names the state root, the receipts and the transactions: equal headers are equal chains.
        """
        nodes = [node for node in self.nodes() if node["running"] and (not names or node["name"] in names)]
        clients = [QenexClient(node["rpc"]) for node in nodes]
        common = min(int(node["height"]) for node in nodes)
        for height in range(1, common + 1):
            hashes = [client.chain.get_header(height).hash for client in clients]
            if len(set(hashes)) != 1:
                raise Failed(f"height {height}: {dict(zip([n['name'] for n in nodes], hashes, strict=True))}")
        for client in clients:
            client.close()
        return common

    def kill(self) -> int:
        """`kill -9` the node process; returns when it is gone."""
        pid = int(self.node()["pid"])
        self.kill_pid(pid)
        return pid

    @staticmethod
    def kill_pid(pid: int) -> None:
        """`kill -9` one process of this devnet and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while alive(pid):
            if time.monotonic() > deadline:
                raise Failed(f"process {pid} survived SIGKILL")
            time.sleep(0.005)

    def client(self) -> QenexClient:
        """A client of the first node."""
        return QenexClient(self.node()["rpc"])

    def wallet(self, name: str) -> Wallet:
        """A wallet from the development keyring."""
        return Wallet.from_keyring(Keyring(self.keyring_folder(), development=True), name)

    def keyring_folder(self) -> Path:
        """Where the development keys lie."""
        found = [path.parent for path in self.home.rglob("DEVELOPMENT-KEYRING")]
        assert len(found) == 1, f"one development keyring in a devnet's home, found {found}"
        return found[0]

    def node_home(self) -> Path:
        """The first node's own home folder."""
        found = sorted(path.parent for path in self.home.rglob("qenex.toml"))
        assert found, "a node's home holds its configuration"
        return found[0]


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
