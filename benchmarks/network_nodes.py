"""Real node processes of one chain on loopback, for the network benchmark: homes, processes, what they tell of themselves."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from ledger.genesis import Genesis
from node.home import ValidatorKey, init_home
from p2p.identity import identity_from_seed, save_identity
from qenex.block import Validator
from qenex.crypto import address_of, encode_address, key_bytes
from qenex.crypto.address import Address
from qenex.transaction import Fee, Message, Signer, assemble, encode_body

ROOT: Final = Path(__file__).resolve().parent.parent
CHAIN_ID: Final = "benchmark-network-1"
BALANCE: Final = 10**15
FEE: Final = Fee(10**9, 3_000, 0)
VALID_UNTIL: Final = 9_000
READY_SECONDS: Final = 60.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Account:
    """A key that signs transfers with a sequence of its own."""

    def __init__(self, number: int) -> None:
        self.public, self.secret = crypto_sign_seed_keypair(number.to_bytes(32, "big"))
        self.key = key_bytes(1, self.public)
        self.address: Address = address_of(1, self.public)
        self.sequence = 0

    def transfer(self, to: Address) -> bytes:
        """Signed raw bytes."""
        key = self.key if self.sequence == 0 else None
        body = encode_body(
            CHAIN_ID,
            [Signer(self.address, self.sequence, key, None)],
            [Message("bank.send", (to, ("QXC", 1)), 0)],
            FEE,
            VALID_UNTIL,
            None,
            "",
        )
        self.sequence += 1
        return assemble(body, [crypto_sign(body, self.secret)[:64]])


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class NodeProcess:
    """One `python -m node`, and what it tells."""

    def __init__(self, home: Path, rpc_port: int) -> None:
        self.home = home
        self.rpc_port = rpc_port
        self.log = (home / "node.log").open("wb")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str]) -> None:
        """Start it; `wait_ready` says when it serves."""
        self.process = subprocess.Popen(
            [*command, "--home", str(self.home)], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def call(self, method: str, **params: Any) -> Any:
        """The result of an RPC method. Raises RuntimeError with the error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=60)
        try:
            connection.request("POST", "/rpc", json.dumps(request), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def metrics(self) -> dict[str, float]:
        """`/metrics`, by name with its labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=60)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def wait_ready(self, peers: int) -> None:
        """Return when it has a block and so many peers. Raises RuntimeError with the end of its log."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                status = self.call("node_status")
                if not status["not_ready"] and status["peers"] >= peers:
                    return
            time.sleep(0.1)
        tail = (self.home / "node.log").read_text(errors="replace")[-3_000:]
        raise RuntimeError(f"the node in {self.home} is not ready:\n{tail}")

    def processes(self) -> list[int]:
        """Process ids of the node and of what it started."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory_mib(self) -> float:
        """Proportional resident memory of all its processes: what they share is counted once."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024

    def stop(self) -> None:
        """End it, gently first."""
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.log.close()


@contextlib.contextmanager
def network(
    folder: Path,
    validators: int,
    accounts: Sequence[Account],
    settings: dict[str, dict[str, Any]],
    command: Sequence[str],
) -> Iterator[list[NodeProcess]]:
    """So many connected validators of a chain in which the accounts have money."""
    keys = [
        ValidatorKey.from_seed(bytes([number + 1]) * 64, Account(10**6 + number).address)
        for number in range(validators)
    ]
    balances = [
        {"address": encode_address(account.address), "denom": "QXC", "amount": str(BALANCE)}
        for account in accounts
    ]
    genesis = Genesis(
        schema_version=1,
        chain_id=CHAIN_ID,
        time=time.time_ns(),
        initial_height=1,
        protocol_version=1,
        parameters={},
        validators=tuple([Validator(key.address, key.key, 10) for key in keys]),
        modules={"bank": {"balances": balances}},
    )
    identities = [identity_from_seed(bytes([100 + number]) * 64) for number in range(validators)]
    ports = free_ports(2 * validators)
    addresses = [f"{who.node_id}@127.0.0.1:{port}" for who, port in zip(identities, ports)]
    nodes = []
    for number, key in enumerate(keys):
        tables: dict[str, dict[str, Any]] = {
            "node": {"name": f"validator-{number}"},
            "rpc": {"port": ports[validators + number], "admin_socket": False},
            "p2p": {
                "port": ports[number],
                "persistent_peers": [address for at, address in enumerate(addresses) if at != number],
                "pex": False,
            },
        }
        for section, values in settings.items():
            tables[section] = {**tables.get(section, {}), **values}
        home = folder / f"validator-{number}"
        config = init_home(home, genesis, validator=key, settings=tables)
        config.node_key_path.parent.mkdir(mode=0o700, exist_ok=True)
        save_identity(config.node_key_path, identities[number])
        nodes.append(NodeProcess(home, ports[validators + number]))
    try:
        for node in nodes:
            node.start(command)
        for node in nodes:
            node.wait_ready(validators - 1)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def python_node() -> list[str]:
    """The command of a node."""
    return [sys.executable, "-m", "node"]
