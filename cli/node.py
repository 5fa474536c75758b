"""`qenex node`: set up, run, check and look at a node."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, pass_app
from cli.chain import account_of
from cli.exit_codes import ExitCode, Stopped
from cli.layout import Style, fields, grouped, of_json, table
from cli.lazy import Command, Group
from cli.node_home import node_home, open_stopped
from cli.node_upkeep import replay, rollback, snapshot
from cli.output import Result
from qenex.crypto import SCHEMES
from qenex.errors import (
    AddressInUse,
    DataFolderCorrupt,
    DiskFull,
    QenexError,
    UsageError,
)

if TYPE_CHECKING:
    from ledger.findings import CheckReport
    from ledger.store import Ledger
    from vm.machine import Machine


@click.group(cls=Group)
def node() -> None:
    """Set up, run and check a node. --home is the node's own home folder."""


node.add_command(replay)
node.add_command(rollback)
node.add_command(snapshot)


@node.command("init", cls=Command)
@click.option(
    "--genesis",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Genesis file of the chain.",
)
@click.option("--name", default="node", show_default=True, help="Name of this node in logs and answers.")
@click.option("--backend", type=click.Choice(["leveldb", "sqlite"]), default="leveldb", show_default=True)
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    metavar="ID@HOST:PORT",
    help="A node that is asked for the addresses of others; may be repeated.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="ID@HOST:PORT",
    help="A node to stay connected to; may be repeated.",
)
@click.option("--rpc-port", type=click.IntRange(0, 65_535), metavar="PORT", help="RPC port [7300].")
@click.option(
    "--p2p-port", type=click.IntRange(0, 65_535), metavar="PORT", help="Port for other nodes [7400]."
)
@click.option(
    "--operator",
    metavar="ADDRESS",
    help="Make a consensus key for this operator; `qenex staking join` declares it.",
)
@pass_app
def init(
    app: App,
    *,
    genesis: Path,
    name: str,
    backend: str,
    seeds: tuple[str, ...],
    peers: tuple[str, ...],
    rpc_port: int | None,
    p2p_port: int | None,
    operator: str | None,
) -> Result:
    """Make the home folder of a node for the chain of a genesis file.

    With a seed or a peer, `qenex node start` then joins that chain, fetches and checks its blocks and follows it.
    With an operator it has a consensus key of its own, and signs blocks once the chain names it as a validator.
    """
    from node.home import VALIDATOR_SCHEME, ValidatorKey, init_home, read_genesis

    if not genesis.is_file():
        raise UsageError(f"there is no file {genesis}")
    chain = read_genesis(genesis)
    settings: dict[str, dict[str, Any]] = {"node": {"name": name}, "database": {"backend": backend}}
    settings["rpc"] = {} if rpc_port is None else {"port": rpc_port}
    settings["p2p"] = {} if p2p_port is None else {"port": p2p_port}
    settings["p2p"] |= {"seeds": list(seeds), "persistent_peers": list(peers)}
    try:
        key = None
        if operator is not None:
            seed = secrets.token_bytes(SCHEMES[VALIDATOR_SCHEME].seed_size)
            key = ValidatorKey.from_seed(seed, account_of(app, operator))
        config = init_home(app.home, chain, validator=key, settings=settings)
    except OSError as error:
        raise UsageError(f"{app.home}: {error.strerror}") from None
    if not seeds and not peers:
        app.warn("neither --seed nor --peer is given: this node knows nobody who could tell it of the chain")
    data = {"home": str(config.home), "chain_id": chain.chain_id, "genesis_hash": "0x" + chain.hash.hex()}
    return Result(
        data, f"Made {config.home} for {chain.chain_id}.\nStart it: qenex node start --home {config.home}"
    )


@node.command("start", cls=Command)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting.")
@click.option(
    "--trusted",
    metavar="HEIGHT:HASH",
    help="A block you trust: a node without data takes a snapshot that it vouches for, instead of every block.",
)
@pass_app
def start(app: App, *, overrides: tuple[str, ...], trusted: str | None) -> Result:
    """Run the node in the foreground until Ctrl-C or SIGTERM; it logs to stderr.

    A node without a validator's key follows the chain and serves it.
    """
    import asyncio

    from ledger.backend import StorageFault
    from node.__main__ import live, loop_factory
    from node.config import load_config
    from node.logging import set_up_logging

    home = node_home(app)
    if trusted is not None:
        overrides = (*overrides, f"sync.trusted={trusted}")
    config = load_config(home, environment=os.environ, overrides=overrides)
    set_up_logging(config.node.log_level, config.node.log_format)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(live(config))
    except AddressInUse as error:
        raise AddressInUse(
            error.message, hint=f"choose another port: qenex node start --home {home} --set rpc.port=PORT"
        ) from None
    except (StorageFault, OSError) as fault:
        raise DiskFull(f"the disk failed: {fault}") from None
    except KeyboardInterrupt:
        pass  # before the node listens for signals
    return Result({"home": str(home), "stopped": True})


@node.command("status", cls=Command)
@pass_app
def status(app: App) -> Result:
    """Show where the node stands that the RPC address names."""
    from cli.query import status as query_status

    shown = click.get_current_context().invoke(query_status)
    assert isinstance(shown, Result)
    return shown


# -- check -----------------------------------------------------------------------------------------


@node.command("check", cls=Command)
@pass_app
def check(app: App) -> Result:
    """Read every record of a stopped node, recompute all hashes and roots, and check the modules' invariants.

    Nothing is changed. Exit code 10 if anything is wrong, or if the folder is in use or holds no node.
    """
    from ledger.backend import StorageFault
    from node.home import read_genesis
    from node.modules import make_machine

    home = node_home(app)
    with contextlib.ExitStack() as opened:
        machine = make_machine()
        config, ledger = open_stopped(opened, home, machine)
        try:
            if not config.genesis_path.exists():
                app.warn("the genesis file is missing: the stored genesis is checked by itself")
            elif read_genesis(config.genesis_path).hash != ledger.genesis_hash:
                raise DataFolderCorrupt("the genesis file is not that of the stored chain")
            report = ledger.check(lambda at: app.progress(f"{at.stage}: {grouped(at.done)} records"))
            app.progress("invariants of the modules ...")
            problems = [] if not report.ok else _broken_invariants(ledger, machine)
        except StorageFault as fault:
            raise DataFolderCorrupt(f"the store cannot be read: {fault}") from None
        finally:
            app.progress_end()
    data = _check_data(home, ledger, report, problems)
    if data["ok"]:
        return Result(data, lambda style: _check_text(data, style))
    if not app.json:
        app.note(_check_text(data, app.style))
    found = len(report.errors) + report.more_errors + len(problems)
    what = "1 fault was" if found == 1 else f"{found} faults were"
    raise Stopped(DataFolderCorrupt(f"{home}: {what} found"), ExitCode.CONFIG, data=data)


def _broken_invariants(ledger: Ledger, machine: Machine) -> list[str]:
    try:
        return machine.check_invariants(ledger.view())
    except QenexError as error:
        return [f"the invariants cannot be checked: {error.message}"]


def _check_data(home: Path, ledger: Ledger, report: CheckReport, problems: list[str]) -> dict[str, Any]:
    return {
        "ok": report.ok and not problems,
        "home": str(home),
        "chain_id": ledger.chain_id,
        "height": ledger.height,
        "state_root": "0x" + ledger.state_root.hex(),
        "records": dict(report.records),
        "errors": [{"kind": e.kind, "place": e.place, "detail": e.detail} for e in report.errors],
        "more_errors": report.more_errors,
        "broken_invariants": problems,
    }


def _check_text(data: dict[str, Any], style: Style) -> str:
    verdict = style.green("sound") if data["ok"] else style.red("damaged")
    rows = [
        ("home", data["home"]),
        ("chain", data["chain_id"]),
        ("height", grouped(data["height"])),
        ("state root", data["state_root"]),
        ("verdict", verdict),
    ]
    counts = table(
        ["records", "read"], [[n, grouped(c)] for n, c in data["records"].items()], style, right=[1]
    )
    parts = [fields(rows, style), counts]
    if data["errors"]:
        parts.append(of_json(data["errors"], style))
    if data["broken_invariants"]:
        parts.append("\n".join(data["broken_invariants"]))
    return "\n\n".join(parts)
