"""`python -m tests.e2e.full_disk FORM FOLDER`: let a node's disk become full, give space back, print what happened.

FORM is `tmpfs` (FOLDER is a small file system of its own, made for this) or `limit` (no file of the node
may grow beyond a limit, which the kernel refuses with an error, as it does on a full disk). Run by
`test_full_disk.py`, for `tmpfs` in a mount namespace of its own. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.store import Ledger
from node.modules import make_machine
from qenex.crypto import encode_address
from tests.e2e.node_process import NodeProcess, fingerprint, make_home, make_people, transaction
from tests.scenario import Person

KIB = 1024
FREE_KIB = (0, 4, 8, 16, 32, 64, 128, 256, 512) if os.environ.get("QENEX_LONG") == "1" else (0, 256)
"""Space left when the load begins: the disk ends in different files."""


def fill(folder: Path, leave: int) -> Path:
    """Write a file that leaves so many bytes free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(folder).free) > leave:
            file.write(bytes(min(free - leave, 64 * KIB)))
    return filler


def limit_files(size: int) -> Callable[[], None]:
    """To be called in the node's process before it begins: no file may grow beyond `size` bytes."""

    def set_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails with EFBIG instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return set_limit


class Load(threading.Thread):
    """Sends transfers until the node no longer answers; notes what it was told is final."""

    def __init__(self, node: NodeProcess, person: Person) -> None:
        super().__init__(daemon=True)
        self.node = node
        self.person = person
        self.final: dict[str, int] = {}
        self.last: dict[str, Any] = {}

    def run(self) -> None:
        with contextlib.suppress(Exception):
            for number in range(5_000):
                calls = [("bank.send", (Person(9_000 + number).address, ("QXC", 5)))] * 20
                raw = transaction([self.person], *calls, gas=90_000, max_fee=10**8, memo="m" * 256)
                included = self.node.send(raw)
                self.final[included["hash"]] = included["height"]
                self.last = self.node.status()


def stored(home: Path, copy: Path) -> dict[str, Any]:
    """Height and root that the data folder holds, read from a copy elsewhere."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home / "data", copy)
    ledger = Ledger.open(copy, codecs=make_machine().state_codecs)
    try:
        report = ledger.check()
        return {
            "height": ledger.height,
            "root": ledger.tree_root.hex(),
            "ok": report.ok,
            "report": str(report),
        }
    finally:
        ledger.close()


def one_more(node: NodeProcess, people: list[Person]) -> dict[str, Any]:
    """A transfer of the one person's. One block that was decided and not stored may come back from the log just now."""
    for last in (False, True):
        people[0].sequence = node.call("state_getAccount", address=encode_address(people[0].address))[
            "sequence"
        ]
        raw = transaction(people, ("bank.send", (Person(8_000).address, ("QXC", 5))))
        answer = node.rpc("tx_submitAndWait", transaction="0x" + raw.hex(), timeout_ms=20_000)
        if last or answer.get("error", {}).get("data", {}).get("name") != "wrong_sequence":
            break
    assert "result" in answer, answer
    return dict(answer["result"])


def until_full(form: str, folder: Path, copy: Path, free: int) -> dict[str, Any]:
    """One node's life up to the full disk, and the next one with space again."""
    home = folder / f"node{free}"
    people = make_people()[:1]
    make_home(home, people=people, node={"min_free_disk_mib": 0})
    options: dict[str, Any] = {"preexec_fn": limit_files(64 * KIB + free)} if form == "limit" else {}
    with NodeProcess(home, **options) as node:
        node.wait_ready()
        load = Load(node, people[0])
        filler = fill(folder, free) if form == "tmpfs" else None
        load.start()
        code = node.wait_exit(60)
        log = node.log
    load.join(20)
    if filler is not None:
        filler.unlink()
    found = stored(home, copy)
    with NodeProcess(home) as node:
        node.wait_ready()
        lost = [
            name for name, height in load.final.items() if node.call("tx_get", hash=name)["height"] != height
        ]
        again = one_more(node, people)
        header = node.call("chain_getHeader", height=found["height"] + 1)["header"]
        stopped = node.stop()
        second_log = node.log
    shutil.rmtree(home)
    return {
        "free": free,
        "code": code,
        "log": log,
        "final": len(load.final),
        "last": load.last,
        "stored": found,
        "next_state_root": header["state_root"].removeprefix("0x"),
        "lost": lost,
        "again": again["receipt"]["status"],
        "stopped": stopped,
        "second_log": second_log,
    }


def threshold(folder: Path) -> dict[str, Any]:
    """A node that stops by itself when less than the setting is free, and does not start then either."""
    home = make_home(folder / "watched", node={"min_free_disk_mib": 6})
    with NodeProcess(home) as node:
        node.wait_ready()
        filler = fill(folder, 5 << 20)
        code = node.wait_exit(30)
        log = node.log
    before = fingerprint(home)
    with NodeProcess(home) as node:
        refused = node.wait_exit(30)
        refused_log = node.log
    untouched = fingerprint(home) == before
    filler.unlink()
    with NodeProcess(home) as node:
        node.wait_ready()
        resumed = node.stop()
    return {
        "code": code,
        "log": log,
        "refused": refused,
        "refused_log": refused_log,
        "untouched": untouched,
        "resumed": resumed,
    }


def main() -> int:
    """See the module."""
    form, folder = sys.argv[1], Path(sys.argv[2])
    copy = Path(sys.argv[3])
    answer: dict[str, Any] = {"lives": [until_full(form, folder, copy, free * KIB) for free in FREE_KIB]}
    if form == "tmpfs":
        answer["threshold"] = threshold(folder)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
