"""The processes of a devnet: starting them together, waiting for the chain, stopping, and what they say of themselves.

Where a node listens is chosen at each start and given to the process as settings, together with the addresses of
all others: a port that was taken meanwhile is no reason to fail. What another devnet does at the same time is not
known here, so a node that ends because somebody was faster on its port is started again on another one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cli.devnet_home import HOST, DevnetHome, DevnetNode, Running
from cli.processes import (
    POLL_SECONDS,
    ProcessId,
    choose_port,
    identify,
    is_free,
    last_words,
    start_node,
    stop,
)
from qenex.client import QenexClient
from qenex.errors import AddressInUse, ProcessFailed, QenexError

READY_SECONDS: Final = 90.0
STOP_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 3.0
DEFAULT_RPC_PORT: Final = 7300
DEFAULT_P2P_PORT: Final = 7400
ATTEMPTS: Final = 3
MAX_SOCKET_PATH: Final = 100
"""Bytes of a local socket's path that every system takes; in a deeper folder the node opens none."""


def client_of(node: DevnetNode, *, timeout: float = ANSWER_SECONDS, token: str = "") -> QenexClient:
    """A client of one node, where it listens now."""
    running = node.running()
    url = node.rpc if running is None else f"http://{HOST}:{running.rpc_port}"
    return QenexClient(url, timeout=timeout, token=token or None)


# -- ports -------------------------------------------------------------------------------------


def with_ports(
    devnet: DevnetHome, stopped: Sequence[DevnetNode], rpc_port: int | None, *, any_other: bool = False
) -> DevnetHome:
    """The devnet with free ports for its stopped nodes: those used before, the default ones, or any.

    `rpc_port` is what the user wants for the first node. With `any_other` the system chooses the rest: somebody else was
    faster on one, and may be so again where both try the same. Raises AddressInUse when `rpc_port` is taken.
    """
    taken: list[int] = []
    for node in devnet.nodes:
        running = node.running()
        if running is not None and all(node.name != other.name for other in stopped):
            taken += [running.rpc_port, running.p2p_port]
            devnet = devnet.with_node(replace(node, rpc_port=running.rpc_port, p2p_port=running.p2p_port))
    for number, node in enumerate(devnet.nodes):
        if all(node.name != other.name for other in stopped):
            continue
        wanted = rpc_port if number == 0 else None
        base = DEFAULT_RPC_PORT if rpc_port is None else rpc_port
        rpc = _free_port(wanted, [] if any_other else [node.rpc_port, base + number], taken)
        taken.append(rpc)
        p2p = _free_port(None, [] if any_other else [node.p2p_port, DEFAULT_P2P_PORT + number], taken)
        taken.append(p2p)
        devnet = devnet.with_node(replace(node, rpc_port=rpc, p2p_port=p2p))
    return devnet


def _free_port(wanted: int | None, preferred: Sequence[int], taken: Sequence[int]) -> int:
    usable = [port for port in preferred if 0 < port < 65_536 and port not in taken]
    port = choose_port(HOST, wanted, usable)
    while port in taken:
        if port == wanted:
            raise AddressInUse(f"port {wanted} of {HOST} is in use")
        port = choose_port(HOST, None, [])
    return port


# -- start -------------------------------------------------------------------------------------


def overrides_of(devnet: DevnetHome, node: DevnetNode) -> list[str]:
    """Settings that a node's process is started with: where it listens, and where all others do."""
    others = [other.p2p for other in devnet.nodes if other.name != node.name]
    settings = [
        f"rpc.port={node.rpc_port}",
        f"p2p.port={node.p2p_port}",
        f"p2p.persistent_peers={','.join(others)}",
    ]
    if len(os.fsencode(node.home / "admin.sock")) > MAX_SOCKET_PATH:
        settings.append("rpc.admin_socket=false")
    return settings


def launch(devnet: DevnetHome, node: DevnetNode) -> int:
    """Start a node's process and note it; returns how long its log was before. Raises ProcessFailed."""
    written = log_size(node.log_path)
    child = start_node(node.home, node.log_path, overrides_of(devnet, node))
    process = identify(child.pid)
    if process is None:
        raise died(node, written)
    node.note(Running(process, node.rpc_port, node.p2p_port))
    return written


def start_together(devnet: DevnetHome, stopped: Sequence[DevnetNode]) -> dict[str, ProcessFailed]:
    """Start these nodes, which have ports, and return when the chain is ready: on all, or on enough to go on.

    Returns what is to be said of those that ended at their start, by name; the others do without them. Raises
    ProcessFailed, with all of these nodes stopped again, where too many ended or one lost its port to somebody.
    """
    written: dict[str, int] = {}
    lost: dict[str, ProcessFailed] = {}
    try:
        for node in stopped:
            written[node.name] = launch(devnet, node)
        for node in devnet.nodes:
            try:
                _await_node(devnet, node, time.monotonic() + READY_SECONDS, written, with_block=True)
            except _Ended as ended:
                lost[node.name] = ended
                if 3 * len(lost) >= len(devnet.nodes) or may_have_lost_a_port(devnet, ended):
                    raise
    except BaseException:
        for node in stopped:
            end(node)
        raise
    return lost


class _Ended(ProcessFailed):
    """A node ended by itself while it was waited for."""


def await_serving(devnet: DevnetHome, node: DevnetNode, written: int) -> None:
    """Return when one node answers; the others may be down, so it need not make blocks. Raises ProcessFailed."""
    _await_node(devnet, node, time.monotonic() + READY_SECONDS, {node.name: written}, with_block=False)


def _await_node(
    devnet: DevnetHome, node: DevnetNode, deadline: float, written: dict[str, int], *, with_block: bool
) -> None:
    with client_of(node) as client:
        while True:
            try:
                answer: Any = client.call("node_status")
                if not (with_block and answer["not_ready"]):
                    info: Any = client.call("node_info")
                    if info["genesis_hash"] == devnet.genesis_hash:
                        return
            except QenexError:
                pass  # not listening yet
            if node.running() is None:
                raise died(node, written.get(node.name, 0))
            gone = [other for other in devnet.nodes if other.name in written and other.running() is None]
            if 3 * len(gone) >= len(devnet.nodes):  # without them there will be no block to wait for
                raise died(gone[0], written[gone[0].name])
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"{node.name} is not ready after {READY_SECONDS:.0f} s; its log is {node.log_path}"
                )
            time.sleep(POLL_SECONDS)


def may_have_lost_a_port(devnet: DevnetHome, error: ProcessFailed) -> bool:
    """Whether a node's last words tell of a taken port, or one that was chosen is taken by somebody now."""
    return AddressInUse.name in error.message or any(
        node.running() is None and not (is_free(HOST, node.rpc_port) and is_free(HOST, node.p2p_port))
        for node in devnet.nodes
    )


def log_size(path: Path) -> int:
    """Bytes of a log; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def died(node: DevnetNode, written: int) -> ProcessFailed:
    """What to say of a node that ended by itself: its last words since byte `written` of its log."""
    said = last_words(node.log_path, written)
    return _Ended(
        f"{node.name} ended at its start{': ' + said if said else ''}", hint=f"read its log {node.log_path}"
    )


# -- stop --------------------------------------------------------------------------------------


def end(node: DevnetNode) -> str:
    """Stop a node if it runs; returns `stopped`, `killed` (it did not end in time) or `not running`."""
    running = node.running()
    if running is None:
        node.forget_process()
        return "not running"
    resume(running.process)
    clean = stop(running.process, seconds=STOP_SECONDS)
    node.forget_process()
    return "stopped" if clean else "killed"


def end_all(nodes: Sequence[DevnetNode]) -> dict[str, str]:
    """Stop nodes, asking all before waiting for each; what happened, by name."""
    asked = set()
    for node in nodes:
        running = node.running()
        if running is not None:
            resume(running.process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.process.pid, signal.SIGTERM)
            asked.add(node.name)
    outcomes = {node.name: end(node) for node in nodes}
    ended = {
        name for name, outcome in outcomes.items() if outcome == "not running"
    } & asked  # before their turn
    return {**outcomes, **dict.fromkeys(ended, "stopped")}


def kill(node: DevnetNode) -> bool:
    """`kill -9`: the process ends at once, wherever it is. False if it did not run."""
    running = node.running()
    if running is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.process.pid, signal.SIGKILL)
    stop(running.process, seconds=STOP_SECONDS)
    node.forget_process()
    return True


# -- pause -------------------------------------------------------------------------------------


def pause(process: ProcessId) -> None:
    """Let a process stand still without ending it (SIGSTOP), as a machine that hangs does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)


def resume(process: ProcessId) -> None:
    """Let a paused process go on (SIGCONT)."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)


def is_paused(process: ProcessId) -> bool:
    """Whether the process stands still; False also where the system does not tell."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] in ("T", "t")


# -- what they say -----------------------------------------------------------------------------


def status_of(node: DevnetNode) -> dict[str, Any]:
    """A node's line of `devnet status`; `trouble` says what is wrong, if anything is."""
    running = node.running()
    known: dict[str, Any] = {
        "name": node.name,
        "pid": running.process.pid if running is not None else None,
        "running": running is not None,
        "paused": running is not None and is_paused(running.process),
        "height": None,
        "round": None,
        "peers": None,
        "last_block_hash": None,
        "state_root": None,
        "rpc": node.rpc if running is None else f"http://{HOST}:{running.rpc_port}",
        "p2p": node.p2p if running is None else f"{node.node_id}@{HOST}:{running.p2p_port}",
        "home": str(node.home),
        "log": str(node.log_path),
    }
    if running is None:
        if node.was_started:
            said = last_words(node.log_path, 0)
            known["trouble"] = f"it ended by itself{': ' + said if said else ''}; its log is {node.log_path}"
        return known
    if known["paused"]:
        known["trouble"] = "paused; `devnet chaos heal` lets it go on"
        return known
    try:
        with client_of(node) as client:
            status: Any = client.call("node_status")
    except QenexError as error:
        known["trouble"] = error.message
        return known
    names = {"block_hash": "last_block_hash"}
    for name in ("height", "round", "peers", "block_hash", "state_root"):
        known[names.get(name, name)] = status.get(name)
    if status.get("not_ready"):
        known["trouble"] = str(status["not_ready"])
    elif status.get("not_signing"):
        known["trouble"] = f"it signs nothing: {status['not_signing']}"
    return known
