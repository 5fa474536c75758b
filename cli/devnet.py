"""`qenex devnet`: a chain of one's own on this machine, with ten funded accounts."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.app import App, pass_app
from cli.layout import Style, ago, fields, grouped, table
from cli.lazy import Command, Group
from cli.output import Result, emit
from qenex.errors import ProcessFailed, QenexError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.devnet_home import DevnetHome, DevnetNode

LOCK_SECONDS = 150.0
DEFAULT_PORT = 7300
MAX_NODES = 32
"""Processes of a devnet: what one machine can carry. A chain may have 150 validators."""


@click.group(
    cls=Group,
    lazy={"chaos": ("cli.devnet_chaos:chaos", "Break a running devnet, and mend it.")},
)
def devnet() -> None:
    """Run a chain of your own on this machine.

    Ten funded accounts (alice, bob, carol, ...) lie in the home folder's development keyring, without passwords.
    """


# -- up --------------------------------------------------------------------------------------------


@devnet.command("up", cls=Command)
@click.option(
    "--validators",
    type=click.IntRange(1, MAX_NODES),
    metavar="N",
    help="Validators of a new chain, each a process of its own [1].",
)
@click.option(
    "--rpc-port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help=f"RPC port of the first node. Without it: the one used before, {DEFAULT_PORT}, or another free one.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="MODULE.FIELD=VALUE",
    help="A rule of a new chain, such as governance.voting_period_s=10; may be given again.",
)
@click.option("--detach", is_flag=True, help="Return when the chain is ready, also on a terminal.")
@click.option(
    "--foreground", is_flag=True, help="Stay with a status line until Ctrl-C, also without a terminal."
)
@pass_app
def up(
    app: App,
    *,
    validators: int | None,
    rpc_port: int | None,
    parameters: tuple[str, ...],
    detach: bool,
    foreground: bool,
) -> Result | None:
    """Start a devnet, or go on with the one in the home folder, also after its processes were killed.

    On a terminal it stays with a live status line until Ctrl-C and then stops the chain; with --detach or
    --json, or where stdout is no terminal, it returns when the chain is ready and leaves it running.
    """
    from cli import devnet_home as homes
    from cli.processes import locked

    if detach and foreground:
        raise UsageError("--detach and --foreground exclude each other")
    stay = foreground or not (detach or app.json or not sys.stdout.isatty())
    folder = app.home
    homes.refuse_foreign(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / homes.LOCK_FILE, seconds=LOCK_SECONDS, what=str(folder)):
            net, known = _bring_up(app, validators, rpc_port, homes.read_parameters(parameters))
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


def _bring_up(
    app: App, validators: int | None, rpc_port: int | None, parameters: dict[str, dict[str, Any]]
) -> tuple[DevnetHome, dict[str, Any]]:
    from cli import devnet_home as homes
    from cli import devnet_nodes as processes
    from cli.processes import choose_port

    net = homes.open_devnet(app.home)
    resumed = net is not None
    if net is None:
        if not homes.has_leveldb():
            app.warn("LevelDB's binding (plyvel) is not installed: the chain is kept in SQLite")
        if rpc_port is not None:
            choose_port(homes.HOST, rpc_port, [])  # a taken port is an error before anything is made
        app.progress("making keys and genesis ...")
        net = homes.create_devnet(app.home, validators or 1, parameters=parameters)
    else:
        if validators is not None and validators != len(net.nodes):
            app.warn(
                f"the devnet in {app.home} has {len(net.nodes)} validators; --validators {validators} has no effect"
            )
        if parameters:
            app.warn(
                f"the devnet in {app.home} has its rules already; --parameter has no effect "
                "(`qenex governance propose-parameters` changes them)"
            )
    for node in net.nodes:
        running = node.running()
        if running is not None:
            processes.resume(running.process)
    stopped = [node for node in net.nodes if node.running() is None]
    first = net.nodes[0].running()
    if rpc_port is not None and first is not None and first.rpc_port != rpc_port:
        app.warn(f"the devnet runs already, on port {first.rpc_port}; --rpc-port {rpc_port} has no effect")
    net = _start(app, net, stopped, rpc_port if first is None else None)
    net.save()
    app.progress_end()
    return net, {**_describe(net, resumed=resumed), "already_running": not stopped}


def _start(app: App, net: DevnetHome, stopped: Sequence[DevnetNode], rpc_port: int | None) -> DevnetHome:
    from cli import devnet_nodes as processes

    for attempt in range(1, processes.ATTEMPTS + 1):
        net = processes.with_ports(net, stopped, rpc_port, any_other=attempt > 1)
        names = [node.name for node in stopped]
        waiting = [node for node in net.nodes if node.name in names]
        if waiting:
            app.progress(f"starting {_count(len(waiting))}, RPC on port {net.nodes[0].rpc_port} ...")
        try:
            lost = processes.start_together(net, waiting)
        except ProcessFailed as failure:
            # Somebody may have taken a port between the choice and the start.
            if attempt == processes.ATTEMPTS or not processes.may_have_lost_a_port(net, failure):
                raise
        else:
            for name, error in lost.items():
                app.warn(
                    f"{error.message}; the others go on without it: `qenex devnet chaos restart {name} --home {net.folder}` "
                    "once that is mended"
                )
            return net
    raise ProcessFailed("the chain could not be started")


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _describe(net: DevnetHome, *, resumed: bool) -> dict[str, Any]:
    from cli.devnet_nodes import client_of, status_of
    from qenex.crypto import encode_address

    infos = [net.keyring.get_public(name) for name in _account_names()]
    first = next((node for node in net.nodes if node.running() is not None), net.nodes[0])
    with client_of(first, timeout=10.0) as client:
        balances = [client.bank.get_balance(info.address) for info in infos]
    accounts = [
        {"name": info.name, "address": encode_address(info.address), "balance": str(balance), "denom": "QXC"}
        for info, balance in zip(infos, balances, strict=True)
    ]
    nodes = [status_of(node) for node in net.nodes]
    return {
        "chain_id": net.chain_id,
        "genesis_hash": net.genesis_hash,
        "genesis": str(net.nodes[0].home / "genesis.json"),
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

    node = next((node for node in known["nodes"] if node["running"]), known["nodes"][0])
    state = "already running" if known["already_running"] else "resumed" if known["resumed"] else "new"
    head = fields(
        [
            ("chain", f"{style.bold(known['chain_id'])} ({state}, height {grouped(node['height'] or 0)})"),
            ("validators", str(len(known["nodes"]))),
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
    program = (
        "qenex" if shutil.which("qenex") else sys.argv[0]
    )  # an environment that is not activated has it too
    tries = f"{program} --home {known['home']} send bob 1.5QXC --from alice"
    tail = [f"{style.dim('try:')}   {tries}"]
    if not stay:
        tail.append(f"{style.dim('stop:')}  {program} devnet down --home {known['home']}")
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
        while any(node.running() is not None for node in net.nodes):
            app.progress(_status_line(net))
            time.sleep(0.5)
    except KeyboardInterrupt:
        app.progress("stopping ...")
        _stop(app, net)
        app.progress_end()
        app.note("Stopped. Nothing that was final is lost.")
        return
    logs = net.folder / "logs"
    raise ProcessFailed(f"all nodes have ended; their logs are in {logs}", hint="read them, then start again")


def _status_line(net: DevnetHome) -> str:
    """Where the chain stands, by the first node that answers, and how many do."""
    from cli.devnet_nodes import client_of
    from qenex.codec import time_from_text

    answers: list[Any] = []
    for node in net.nodes:
        if node.running() is None:
            continue
        try:
            with client_of(node, timeout=1.0) as client:
                answers.append(client.call("node_status"))
        except QenexError:
            continue  # paused, or busy for longer than a status line waits
    if not answers:
        return "no node answers"
    best = max(answers, key=lambda answer: int(answer["height"]))
    age = (time.time_ns() - time_from_text(best["block_time"])) // 10**9
    nodes = "" if len(net.nodes) == 1 else f"  {len(answers)} of {len(net.nodes)} nodes"
    return (
        f"height {grouped(best['height'])}  block {best['block_hash'][:14]}  {ago(age)} ago  "
        f"{best['mempool']['count']} waiting{nodes}"
    )


# -- down and status -------------------------------------------------------------------------------


def _stop(app: App, net: DevnetHome) -> dict[str, str]:
    """Stop what runs; returns what happened, by node."""
    from cli.devnet_nodes import STOP_SECONDS, end_all

    outcomes = end_all(net.nodes)
    for name, outcome in outcomes.items():
        if outcome == "killed":
            app.warn(
                f"{name} did not stop within {STOP_SECONDS:.0f} s and was killed; it resumes with its last block"
            )
    return outcomes


@devnet.command("down", cls=Command)
@pass_app
def down(app: App) -> Result:
    """Stop the devnet of the home folder. Its chain stays; `devnet up` goes on with it."""
    from cli import devnet_home as homes
    from cli.processes import locked

    net = homes.existing_devnet(app.home)
    with locked(app.home / homes.LOCK_FILE, seconds=LOCK_SECONDS, what=str(app.home)):
        app.progress("stopping ...")
        outcomes = _stop(app, net)
    app.progress_end()
    data = {
        "chain_id": net.chain_id,
        "nodes": [{"name": name, "outcome": outcome} for name, outcome in outcomes.items()],
    }
    if len(set(outcomes.values())) == 1:
        return Result(data, f"{net.chain_id}: {next(iter(outcomes.values()))}.")
    lines = [f"{name}: {outcome}." for name, outcome in outcomes.items()]
    return Result(data, "\n".join([f"{net.chain_id}", *lines]))


@devnet.command("status", cls=Command)
@pass_app
def status(app: App) -> Result:
    """Show the devnet's nodes: process, height, round, peers, last block, state root."""
    from cli import devnet_home as homes
    from cli.devnet_nodes import status_of

    net = homes.existing_devnet(app.home)
    nodes = [status_of(node) for node in net.nodes]
    for node in nodes:
        if "trouble" in node:
            app.warn(f"{node['name']}: {node['trouble']}")
    running = all(node["running"] for node in nodes)
    data = {"chain_id": net.chain_id, "home": str(net.folder), "running": running, "nodes": nodes}

    def text(style: Style) -> str:
        rows = [_status_row(node, style) for node in nodes]
        heads = ["name", "pid", "height", "round", "peers", "last block", "state root", "rpc"]
        return f"{style.bold(net.chain_id)}\n\n" + table(heads, rows, style, right=[1, 2, 3, 4])

    return Result(data, text, {"chain_id": net.chain_id})


def _status_row(node: dict[str, Any], style: Style) -> list[str]:
    if not node["running"]:
        state = style.yellow("stopped")
    elif node["paused"]:
        state = style.yellow(f"{node['pid']} paused")
    else:
        state = style.green(str(node["pid"]))
    shown = [str(node[name]) if node[name] is not None else "-" for name in ("height", "round", "peers")]
    hashes = [str(node[name] or "-")[:14] for name in ("last_block_hash", "state_root")]
    return [node["name"], state, *shown, *hashes, node["rpc"]]
