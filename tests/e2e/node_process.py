"""One real node process over a home of its own, for tests of what it refuses and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from ledger.genesis import Genesis
from node.home import init_home
from qenex.transaction import Fee
from tests.scenario import CHAIN, VALIDATOR, Person, make_genesis, make_people, transaction

ROOT = Path(__file__).resolve().parent.parent.parent
EXIT_DONE, EXIT_CONFIG, EXIT_DISK = 0, 10, 74
FAST = {
    "engine": {"settle_interval_ms": 50, "min_interval_ms": 0},
    "verifier": {"workers": 0},
    "database": {"tree_process": "on"},
}
__all__ = [
    "CHAIN",
    "ROOT",
    "Fee",
    "NodeProcess",
    "Person",
    "fingerprint",
    "make_home",
    "make_people",
    "transaction",
]


def make_home(
    home: Path, genesis: Genesis | None = None, people: list[Person] | None = None, **settings: dict[str, Any]
) -> Path:
    """A validator's home whose chain is that of `tests.scenario`, with fast blocks and any free port."""
    tables: dict[str, Any] = {"rpc": {"port": 0, "admin_socket": False}, "p2p": {"port": 0}, **FAST}
    for section, values in settings.items():
        tables[section] = {**tables.get(section, {}), **values}
    init_home(
        home, genesis or make_genesis(people or make_people()[:1]), validator=VALIDATOR, settings=tables
    )
    return home


class NodeProcess:
    """`python -m node --home HOME`, or another program that runs a node; its log and its RPC. Ends with the `with` block."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        prefix: list[str] | None = None,
        program: tuple[str, ...] = ("-m", "node"),
        **options: Any,
    ) -> None:
        self.home = home
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*(prefix or []), sys.executable, *program, "--home", str(home), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._next = 0

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def log(self) -> str:
        """Everything on stderr so far."""
        return "\n".join(self.lines)

    def wait_ready(self, seconds: float = 30) -> NodeProcess:
        """Return when the RPC answers and the first block is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log
            if self.port and self._get("/readyz")[0] == 200:
                return self
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.log}")

    @property
    def port(self) -> int:
        """Of the RPC, 0 until it is known."""
        found = re.search(r"node started.*rpc_port=(\d+)", self.log)
        return int(found[1]) if found else 0

    def wait_port(self, seconds: float = 30) -> int:
        """The port, once it is known; the node may be far behind its chain."""
        deadline = time.monotonic() + seconds
        while not self.port:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return self.port

    def wait_exit(self, seconds: float = 30) -> int:
        """The exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def stop(self) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def _get(self, path: str) -> tuple[int, bytes]:
        return self.http("GET", path)

    def http(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of one request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=body,
            method=method,
            headers={"Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole JSON-RPC answer."""
        self._next += 1
        request = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        status, body = self.http("POST", "/rpc", json.dumps(request).encode())
        assert status == 200, (status, body)
        return dict(json.loads(body))

    def call(self, method: str, **params: Any) -> Any:
        """The result."""
        answer = self.rpc(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def send(self, raw: bytes) -> dict[str, Any]:
        """Submit and wait for inclusion."""
        return dict(self.call("tx_submitAndWait", transaction="0x" + raw.hex(), timeout_ms=20_000))

    def status(self) -> dict[str, Any]:
        """`node_status`."""
        return dict(self.call("node_status"))


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Size, time of change and hash of every file, and the times of the folders."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = status.st_size if digest else 0, status.st_mtime_ns, digest
    return found


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables for processes started meanwhile."""
    kept = dict(os.environ)
    os.environ.update(values)
    yield
    os.environ.clear()
    os.environ.update(kept)
