"""`qenex devnet chaos`: what goes wrong in a network, on purpose: nodes that die, hang, or cannot reach each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.app import App, pass_app
from cli.devnet import LOCK_SECONDS
from cli.lazy import Command, Group
from cli.output import Result
from qenex.errors import ProcessFailed, QenexError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.devnet_home import DevnetHome, DevnetNode

NODES = click.argument("names", nargs=-1, metavar="NODE...")


@click.group(cls=Group)
def chaos() -> None:
    """Break a running devnet, and mend it. NODE is a name such as validator-2, or its number.

    A chain of 4 validators goes on without one of them, and stands still (and never forks) without two.
    """


def _on_nodes(
    app: App, names: Sequence[str], act: Callable[[DevnetHome, list[DevnetNode]], dict[str, str]]
) -> Result:
    """Do something to nodes under the devnet's lock, and tell what happened to each."""
    from cli import devnet_home as homes
    from cli.processes import locked

    net = homes.existing_devnet(app.home)
    chosen = []
    for name in names:
        node = net.find(name)
        if node not in chosen:
            chosen.append(node)
    with locked(app.home / homes.LOCK_FILE, seconds=LOCK_SECONDS, what=str(app.home)):
        outcomes = act(net, chosen)
    app.progress_end()
    data = {"chain_id": net.chain_id, "nodes": [{"name": n, "outcome": o} for n, o in outcomes.items()]}
    return Result(data, "\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))


def _some(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("no node is named", hint="name one or more, such as validator-1")


@chaos.command("kill", cls=Command)
@NODES
@pass_app
def kill(app: App, *, names: tuple[str, ...]) -> Result:
    """End processes at once (SIGKILL), wherever they are. `restart` starts them again."""
    _some(names)
    from cli import devnet_nodes as processes

    def act(net: DevnetHome, nodes: list[DevnetNode]) -> dict[str, str]:
        return {node.name: "killed" if processes.kill(node) else "not running" for node in nodes}

    return _on_nodes(app, names, act)


@chaos.command("restart", cls=Command)
@NODES
@pass_app
def restart(app: App, *, names: tuple[str, ...]) -> Result:
    """Stop nodes that run, and start them: they answer again when this returns."""
    _some(names)
    from cli import devnet_nodes as processes

    def act(net: DevnetHome, nodes: list[DevnetNode]) -> dict[str, str]:
        processes.end_all(nodes)
        net = processes.with_ports(net, nodes, None)
        net.save()
        fresh = [net.find(node.name) for node in nodes]
        app.progress("starting ...")
        written = {node.name: processes.launch(net, node) for node in fresh}
        for node in fresh:
            processes.await_serving(net, node, written[node.name])
        return {node.name: "started" for node in fresh}

    return _on_nodes(app, names, act)


@chaos.command("pause", cls=Command)
@NODES
@pass_app
def pause(app: App, *, names: tuple[str, ...]) -> Result:
    """Let processes stand still without ending (SIGSTOP), as a machine that hangs does. `heal` lets them go on."""
    _some(names)
    from cli import devnet_nodes as processes

    def act(net: DevnetHome, nodes: list[DevnetNode]) -> dict[str, str]:
        outcomes = {}
        for node in nodes:
            running = node.running()
            if running is not None:
                processes.pause(running.process)
            outcomes[node.name] = "not running" if running is None else "paused"
        return outcomes

    return _on_nodes(app, names, act)


@chaos.command("partition", cls=Command)
@NODES
@pass_app
def partition(app: App, *, names: tuple[str, ...]) -> Result:
    """Cut the named nodes off from all others: those on each side reach only each other, until `heal`."""
    _some(names)

    def act(net: DevnetHome, nodes: list[DevnetNode]) -> dict[str, str]:
        inside = [node.name for node in nodes]
        if len(inside) == len(net.nodes):
            raise UsageError("all nodes are named: there is nothing to cut them off from")
        outcomes = {}
        for node in net.nodes:
            cut = [other.node_id for other in net.nodes if (other.name in inside) != (node.name in inside)]
            if _isolate(node, cut):
                outcomes[node.name] = "cut off" if node.name in inside else "on the other side"
            else:
                outcomes[node.name] = "not running"
        return outcomes

    return _on_nodes(app, names, act)


@chaos.command("heal", cls=Command)
@NODES
@pass_app
def heal(app: App, *, names: tuple[str, ...]) -> Result:
    """End partitions and pauses, of the named nodes or of all."""
    from cli import devnet_nodes as processes

    def act(net: DevnetHome, nodes: list[DevnetNode]) -> dict[str, str]:
        outcomes = {}
        healed = nodes or list(net.nodes)
        for node in healed:
            running = node.running()
            if running is not None:
                processes.resume(running.process)
        for node in net.nodes:
            # A cut has two sides: whoever is healed must be let in by the others, too.
            left = _still_cut(net, node, healed) if nodes else []
            ran = _isolate(node, left)
            if node in healed:
                outcomes[node.name] = "healed" if ran else "not running"
        return outcomes

    return _on_nodes(app, names, act)


def _still_cut(net: DevnetHome, node: DevnetNode, healed: Sequence[DevnetNode]) -> list[str]:
    """Ids that stay cut off from a node when others are healed."""
    if node in healed or node.running() is None:
        return []
    before = _admin(node, "admin_isolated")
    gone = [other.node_id for other in healed]
    return [str(item) for item in before if item not in gone] if isinstance(before, list) else []


def _isolate(node: DevnetNode, ids: Sequence[str]) -> bool:
    """Tell a node to have nothing to do with these; False if it does not run."""
    if node.running() is None:
        return False
    _admin(node, "admin_isolate", node_ids=list(ids))
    return True


def _admin(node: DevnetNode, method: str, **params: Any) -> Any:
    from cli.devnet_nodes import client_of

    try:
        with client_of(node, token=node.admin_token) as client:
            return client.call(method, **params)
    except QenexError as error:
        raise ProcessFailed(
            f"{node.name} cannot be told: {error.message}", hint="is it paused? `devnet chaos heal` first"
        ) from None
