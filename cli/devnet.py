"""`qenex devnet`: a chain of one's own on this machine, with ten funded accounts."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.app import App, pass_app
from cli.layout import Style, ago, fields, grouped, table
from cli.lazy import Command, Group
from cli.output import Result, emit
from qenex.errors import NodeUnreachable, ProcessFailed, QenexError, UsageError

if TYPE_CHECKING:
    from cli.devnet_home import DevnetHome
    from qenex.client import QenexClient

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
LOCK_SECONDS = 90.0
DEFAULT_PORT = 7300
MAX_SOCKET_PATH = 100
"""Bytes of a local socket's path that every system takes; in a deeper folder the node opens none."""


@click.group(cls=Group)
def devnet() -> None:
    """Run a chain of your own on this machine.

    Ten funded accounts (alice, bob, carol, ...) lie in the home folder's development keyring, without passwords.
    """


# -- up --------------------------------------------------------------------------------------------


@devnet.command("up", cls=Command)
@click.option(
    "--validators",
    type=click.IntRange(1, 150),
    default=1,
    metavar="N",
    help="Validators of the chain [1]; this version runs one and refuses more.",
)
@click.option(
    "--rpc-port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help=f"RPC port. Without it: the one used before, {DEFAULT_PORT}, or another free one.",
)
@click.option("--detach", is_flag=True, help="Return when the chain is ready, also on a terminal.")
@click.option(
    "--foreground", is_flag=True, help="Stay with a status line until Ctrl-C, also without a terminal."
)
@pass_app
def up(app: App, *, validators: int, rpc_port: int | None, detach: bool, foreground: bool) -> Result | None:
    """Start a devnet, or go on with the one in the home folder, also after its processes were killed.

    On a terminal it stays with a live status line until Ctrl-C and then stops the chain; with --detach or
    --json, or where stdout is no terminal, it returns when the chain is ready and leaves it running.
    """
    from cli import devnet_home as homes
    from cli.processes import locked

    if validators != 1:
        raise UsageError(
            f"a devnet of {validators} validators is not supported by this version: it runs one validator",
            hint="leave --validators out; several validators need consensus over the network",
        )
    if detach and foreground:
        raise UsageError("--detach and --foreground exclude each other")
    stay = foreground or not (detach or app.json or not sys.stdout.isatty())
    folder = app.home
    homes.refuse_foreign(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / homes.LOCK_FILE, seconds=LOCK_SECONDS, what=str(folder)):
            net, known = _bring_up(app, rpc_port)
    except OSError as error:
        raise ProcessFailed(
            f"{folder}: {error.strerror}", hint="check the folder's owner and free space"
        ) from None
    result = Result(known, lambda style: _up_text(known, style, stay=stay), {"chain_id": net.chain_id})
    if not stay:
        return result
    emit(app, result)
    _stay(app, net)
    return None


def _bring_up(app: App, rpc_port: int | None) -> tuple[DevnetHome, dict[str, Any]]:
    from dataclasses import replace

    from cli import devnet_home as homes
    from cli.processes import choose_port, is_free

    net = homes.open_devnet(app.home)
    resumed = net is not None
    if net is None:
        if not homes.has_leveldb():
            app.warn("LevelDB's binding (plyvel) is not installed: the chain is kept in SQLite")
        app.progress("making keys and genesis ...")
        net = homes.create_devnet(app.home, choose_port(homes.HOST, rpc_port, [DEFAULT_PORT]))
    running = net.running()
    if running is None:
        preferred = [net.rpc_port, DEFAULT_PORT]
        for last in (False, False, True):
            port = choose_port(homes.HOST, rpc_port, preferred)
            net = replace(net, rpc_port=port)
            app.progress(f"starting the node on port {port} ...")
            try:
                _start(net)
                break
            except ProcessFailed:
                # Somebody may have taken the port between the choice and the start.
                if last or rpc_port is not None or is_free(homes.HOST, port):
                    raise
            preferred = []
    else:
        if rpc_port is not None and rpc_port != running.rpc_port:
            app.warn(
                f"the devnet runs already, on port {running.rpc_port}; --rpc-port {rpc_port} has no effect"
            )
        net = replace(net, rpc_port=running.rpc_port)
        _await_ready(net, 0)
    net.save()
    app.progress_end()
    return net, {**_describe(net, resumed=resumed), "already_running": running is not None}


def _start(net: DevnetHome) -> None:
    from cli.devnet_home import Running
    from cli.processes import identify, start_node, stop

    written = net.log_path.stat().st_size if net.log_path.exists() else 0
    overrides = [f"rpc.port={net.rpc_port}"]
    if len(os.fsencode(net.node_home / "admin.sock")) > MAX_SOCKET_PATH:
        overrides.append("rpc.admin_socket=false")
    child = start_node(net.node_home, net.log_path, overrides)
    process = identify(child.pid)
    if process is None:
        raise _died(net, written)
    net.note(Running(process, net.rpc_port))
    try:
        _await_ready(net, written)
    except BaseException:
        stop(process, seconds=STOP_SECONDS)
        net.forget_process()
        raise


def _await_ready(net: DevnetHome, written: int) -> None:
    """Return when the node serves and has a block. Raises ProcessFailed if it ends before, or hangs.

    The answer must be of this chain: another program may have been faster on the port.
    """
    from cli.processes import POLL_SECONDS

    deadline = time.monotonic() + READY_SECONDS
    with _client(net) as client:
        while True:
            try:
                answer: Any = client.call("node_status")
                if not answer["not_ready"] and client.call("node_info")["genesis_hash"] == net.genesis_hash:
                    return
            except QenexError:
                pass  # not listening yet
            if net.running() is None:
                raise _died(net, written)
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"the node is not ready after {READY_SECONDS:.0f} s; its log is {net.log_path}"
                )
            time.sleep(POLL_SECONDS)


def _died(net: DevnetHome, written: int) -> ProcessFailed:
    from cli.processes import last_words

    said = last_words(net.log_path, written)
    return ProcessFailed(
        f"the node ended at its start{': ' + said if said else ''}", hint=f"read its log {net.log_path}"
    )


def _client(net: DevnetHome, *, timeout: float = 3.0) -> QenexClient:
    from qenex.client import QenexClient

    return QenexClient(net.rpc, timeout=timeout)


def _describe(net: DevnetHome, *, resumed: bool) -> dict[str, Any]:
    from qenex.crypto import encode_address

    infos = [net.keyring.get_public(name) for name in _account_names()]
    with _client(net) as client:
        balances = [client.bank.get_balance(info.address) for info in infos]
    accounts = [
        {"name": info.name, "address": encode_address(info.address), "balance": str(balance), "denom": "QXC"}
        for info, balance in zip(infos, balances, strict=True)
    ]
    nodes = [_node_status(net)]
    return {
        "chain_id": net.chain_id,
        "genesis_hash": net.genesis_hash,
        "home": str(net.folder),
        "resumed": resumed,
        "rpc": [node["rpc"] for node in nodes],
        "nodes": nodes,
        "accounts": accounts,
    }


def _account_names() -> tuple[str, ...]:
    from cli.devnet_home import ACCOUNTS

    return ACCOUNTS


def _up_text(known: dict[str, Any], style: Style, *, stay: bool) -> str:
    from qenex.money import format_amount

    node = known["nodes"][0]
    state = "already running" if known["already_running"] else "resumed" if known["resumed"] else "new"
    head = fields(
        [
            ("chain", f"{style.bold(known['chain_id'])} ({state}, height {grouped(node['height'] or 0)})"),
            ("RPC", style.cyan(node["rpc"] + "/rpc")),
            ("WebSocket", style.cyan(node["rpc"].replace("http", "ws", 1) + "/ws")),
            ("home", known["home"]),
        ],
        style,
    )
    rows = [
        [account["name"], account["address"], format_amount(int(account["balance"]))]
        for account in known["accounts"]
    ]
    accounts = table(["name", "address", "balance"], rows, style, right=[2])
    tries = f"qenex --home {known['home']} send bob 1.5QXC --from alice"
    tail = [f"{style.dim('try:')}   {tries}"]
    if not stay:
        tail.append(f"{style.dim('stop:')}  qenex devnet down --home {known['home']}")
    return "\n\n".join([head, accounts, "\n".join(tail)])


# -- the foreground --------------------------------------------------------------------------------


def _stay(app: App, net: DevnetHome) -> None:
    """Show where the chain stands until Ctrl-C or SIGTERM, then stop it. Raises ProcessFailed if it ends by itself."""

    def leave(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, leave)
    app.note(app.style.dim("Ctrl-C stops the chain; the same command goes on with it."))
    try:
        with _client(net) as client:
            while net.running() is not None:
                app.progress(_status_line(client))
                time.sleep(0.5)
    except KeyboardInterrupt:
        app.progress("stopping ...")
        _stop(app, net)
        app.progress_end()
        app.note("Stopped. Nothing that was final is lost.")
        return
    raise ProcessFailed(f"the node has ended; its log is {net.log_path}")


def _status_line(client: QenexClient) -> str:
    from qenex.codec import time_from_text
    from qenex.errors import InvalidResponse

    try:
        status: Any = client.call("node_status")
    except (NodeUnreachable, InvalidResponse):
        return "the node does not answer"
    age = (time.time_ns() - time_from_text(status["block_time"])) // 10**9
    waiting = status["mempool"]["count"]
    return f"height {grouped(status['height'])}  block {status['block_hash'][:14]}  {ago(age)} ago  {waiting} waiting"


# -- down and status -------------------------------------------------------------------------------


def _stop(app: App, net: DevnetHome) -> str:
    """Stop the node if it runs; returns what happened."""
    from cli.processes import stop

    running = net.running()
    if running is None:
        net.forget_process()
        return "not running"
    clean = stop(running.process, seconds=STOP_SECONDS)
    net.forget_process()
    if not clean:
        app.warn(
            f"the node did not stop within {STOP_SECONDS:.0f} s and was killed; it resumes with its last block"
        )
    return "stopped" if clean else "killed"


@devnet.command("down", cls=Command)
@pass_app
def down(app: App) -> Result:
    """Stop the devnet of the home folder. Its chain stays; `devnet up` goes on with it."""
    from cli import devnet_home as homes
    from cli.processes import locked

    net = homes.existing_devnet(app.home)
    with locked(app.home / homes.LOCK_FILE, seconds=LOCK_SECONDS, what=str(app.home)):
        app.progress("stopping ...")
        outcome = _stop(app, net)
    app.progress_end()
    data = {"chain_id": net.chain_id, "nodes": [{"name": homes.NODE_NAME, "outcome": outcome}]}
    return Result(data, f"{net.chain_id}: {outcome}.")


def _node_status(net: DevnetHome) -> dict[str, Any]:
    from cli.devnet_home import NODE_NAME

    running = net.running()
    known: dict[str, Any] = {
        "name": NODE_NAME,
        "pid": running.process.pid if running is not None else None,
        "running": running is not None,
        "height": None,
        "round": None,
        "peers": None,
        "last_block_hash": None,
        "state_root": None,
        "rpc": f"http://127.0.0.1:{running.rpc_port}" if running is not None else net.rpc,
        "home": str(net.node_home),
        "log": str(net.log_path),
    }
    if running is None:
        return known
    from qenex.client import QenexClient

    try:
        with QenexClient(known["rpc"], timeout=3.0) as client:
            status: Any = client.call("node_status")
    except QenexError as error:
        known["trouble"] = error.message
        return known
    names = {"block_hash": "last_block_hash"}
    for name in ("height", "round", "peers", "block_hash", "state_root"):
        known[names.get(name, name)] = status.get(name)
    if status.get("not_ready"):
        known["trouble"] = str(status["not_ready"])
    return known


@devnet.command("status", cls=Command)
@pass_app
def status(app: App) -> Result:
    """Show the devnet's nodes: process, height, last block, state root."""
    from cli import devnet_home as homes

    net = homes.existing_devnet(app.home)
    nodes = [_node_status(net)]
    for node in nodes:
        if "trouble" in node:
            app.warn(f"{node['name']}: {node['trouble']}")
    running = all(node["running"] for node in nodes)
    data = {"chain_id": net.chain_id, "home": str(net.folder), "running": running, "nodes": nodes}

    def text(style: Style) -> str:
        rows = []
        for node in nodes:
            state = style.green(str(node["pid"])) if node["running"] else style.yellow("stopped")
            shown = [
                str(node[name]) if node[name] is not None else "-" for name in ("height", "round", "peers")
            ]
            hashes = [str(node[name] or "-")[:14] for name in ("last_block_hash", "state_root")]
            rows.append([node["name"], state, *shown, *hashes, node["rpc"]])
        heads = ["name", "pid", "height", "round", "peers", "last block", "state root", "rpc"]
        return f"{style.bold(net.chain_id)}\n\n" + table(heads, rows, style, right=[1, 2, 3, 4])

    return Result(data, text, {"chain_id": net.chain_id})
