"""Four validators, each in a network namespace of its own, whose cables are pulled: a partition that no process is told of.

Needs the right to make namespaces (root on Linux, with `ip`). Where that is missing, the same cuts are made by the
`devnet chaos` command in tests/e2e/test_network.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.devnet_home import DevnetNode, create_devnet
from qenex import QenexClient, Wallet
from qenex.crypto import Keyring
from qenex.errors import QenexError
from tests.e2e.node_process import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
NODES = range(4)


def ip(*arguments: str, check: bool = True) -> bool:
    """Run `ip`; whether it succeeded."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.returncode == 0


def may_make_namespaces() -> bool:
    """Whether this process may; found out by making one."""
    name = f"qx{os.getpid()}try"
    if shutil.which("ip") is None or not ip("netns", "add", name, check=False):
        return False
    ip("netns", "del", name, check=False)
    return True


class Cables:
    """A bridge, and four namespaces connected to it. Addresses 10.213.X.1 to .4, this side .254."""

    def __init__(self) -> None:
        self.tag = f"qx{os.getpid() % 100_000}"
        self.net = f"10.213.{os.getpid() % 250}"

    def lay(self) -> None:
        ip("link", "add", f"{self.tag}b", "type", "bridge")
        ip("addr", "add", f"{self.net}.254/24", "dev", f"{self.tag}b")
        ip("link", "set", f"{self.tag}b", "up")
        for number in NODES:
            space, cable = f"{self.tag}n{number}", f"{self.tag}v{number}"
            ip("netns", "add", space)
            ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", cable, "master", f"{self.tag}b", "up")
            ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def address(self, number: int) -> str:
        return f"{self.net}.{number + 1}"

    def pull(self, *numbers: int) -> None:
        for number in numbers:
            ip("link", "set", f"{self.tag}v{number}", "down")

    def plug(self, *numbers: int) -> None:
        for number in numbers:
            ip("link", "set", f"{self.tag}v{number}", "up")

    def remove(self) -> None:
        for number in NODES:
            ip("netns", "del", f"{self.tag}n{number}", check=False)
            ip("link", "del", f"{self.tag}v{number}", check=False)
        ip("link", "del", f"{self.tag}b", check=False)


class Hosts:
    """One node process in each namespace."""

    def __init__(self, cables: Cables, home: Path) -> None:
        self.cables = cables
        self.devnet = create_devnet(home, 4)
        self.processes = [self._start(number, node) for number, node in enumerate(self.devnet.nodes)]

    def _start(self, number: int, node: DevnetNode) -> subprocess.Popen[bytes]:
        address = self.cables.address(number)
        others = [
            f"{other.node_id}@{self.cables.address(index)}:7400"
            for index, other in enumerate(self.devnet.nodes)
            if index != number
        ]
        settings = [
            f"rpc.host={address}", "rpc.port=7300", f"rpc.allowed_hosts={address}", "rpc.admin_socket=false",
            f"p2p.host={address}", "p2p.port=7400", f"p2p.persistent_peers={','.join(others)}",
        ]  # fmt: skip
        log = (self.devnet.folder / f"{node.name}.log").open("wb")
        with log:
            return subprocess.Popen(
                [
                    "ip", "netns", "exec", f"{self.cables.tag}n{number}", sys.executable, "-m", "node", "--home",
                    str(node.home), *[part for item in settings for part in ("--set", item)],
                ],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def client(self, number: int) -> QenexClient:
        return QenexClient(f"http://{self.cables.address(number)}:7300", timeout=3.0)

    def height(self, number: int) -> int:
        """Where a node stands; -1 where it cannot be reached."""
        try:
            with self.client(number) as client:
                return client.node.status().height
        except QenexError:
            return -1

    def wait(self, what: str, done: Callable[[], bool], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"{what}: {[self.height(number) for number in NODES]}"
            time.sleep(0.1)

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@pytest.fixture
def hosts(short_path: Path) -> Iterator[Hosts]:
    if not may_make_namespaces():
        pytest.skip(
            "no right to make network namespaces: test_network.py makes the same cuts by `devnet chaos`"
        )
    cables = Cables()
    running: Hosts | None = None
    try:
        cables.lay()
        running = Hosts(cables, short_path / "net")
        yield running
    finally:
        if running is not None:
            running.end()
        cables.remove()


def test_pulled_cables_stop_no_majority_fork_no_minority_and_heal(hosts: Hosts) -> None:
    hosts.wait("all begin", lambda: min([hosts.height(number) for number in NODES]) >= 1)
    alice, bob = [Wallet.from_keyring(Keyring(hosts.devnet.folder / "keyring"), n) for n in ("alice", "bob")]

    def pay(times: int) -> int:
        """Transfers through the first node; the height of the last."""
        with hosts.client(0) as client:
            sent = [
                client.bank.send(alice, to=bob.address, amount="1QXC").wait(timeout=60) for _ in range(times)
            ]
        return sent[-1].height

    pay(2)
    hosts.cables.pull(3)
    alone = pay(3)
    hosts.wait("three go on", lambda: min([hosts.height(number) for number in range(3)]) >= alone)
    assert hosts.height(3) == -1, "nothing reaches it"

    hosts.cables.pull(2)
    time.sleep(2.0)  # what was under way when the cable was pulled
    stood = max(hosts.height(0), hosts.height(1))
    time.sleep(
        8.0
    )  # several rounds' timeouts: a chain that could go on would, it makes a block when idle, too
    assert max(hosts.height(0), hosts.height(1)) <= stood + 1, "two of four decide nothing"

    hosts.cables.plug(2, 3)
    healed = pay(2)
    hosts.wait("all have come", lambda: min([hosts.height(number) for number in NODES]) >= healed)
    clients = [hosts.client(number) for number in NODES]
    for height in range(1, healed + 1):
        assert len({client.chain.get_header(height).hash for client in clients}) == 1, f"a fork at {height}"
    for client in clients:
        client.close()
