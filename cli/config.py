"""`qenex config`: the settings of a home folder, the wallet's or a node's."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.app import App, pass_app
from cli.home import (
    CLIENT_FILE,
    ClientSettings,
    check_client_settings,
    client_settings,
    node_url,
    pinned_chain_id,
    write_client_settings,
    write_whole,
)
from cli.layout import Style, fields, of_json
from cli.lazy import Command, Group
from cli.output import Result
from qenex.errors import DataFolderMissing, InvalidConfig, UsageError

NODE_FILE = "qenex.toml"

_UNCHANGED = "nothing was changed; `qenex config show` lists the settings"

MEANINGS = {
    "node": "RPC address of the node",
    "chain_id": "the only chain to sign for",
    "address_prefix": "qx, or tqx on shared test networks",
    "timeout_s": "seconds to wait for finality",
    "valid_for": "blocks that a transaction stays valid",
}


@click.group(cls=Group)
def config() -> None:
    """Show and change the settings of a home folder.

    A wallet's settings lie in client.toml, a node's in qenex.toml; the command takes the one that is there.
    """


def _is_node(home: Path) -> bool:
    return (home / NODE_FILE).is_file()


@config.command("path", cls=Command)
@pass_app
def path(app: App) -> Result:
    """Print the path of the settings file and nothing else."""
    found = app.home / (NODE_FILE if _is_node(app.home) else CLIENT_FILE)
    return Result({"home": str(app.home), "file": str(found), "exists": found.is_file()}, str(found))


@config.command("show", cls=Command)
@pass_app
def show(app: App) -> Result:
    """Show all settings with the values that count now."""
    if _is_node(app.home):
        from node.config import config_text, load_config, to_dict

        loaded = load_config(app.home, environment=os.environ)
        return Result({"kind": "node", "settings": to_dict(loaded)}, config_text(loaded, show_secrets=False))
    settings = client_settings(app)
    url, pinned = node_url(app), pinned_chain_id(app)
    data = {
        "kind": "wallet",
        "home": str(app.home),
        "settings": {**asdict(settings), "node": url, "chain_id": pinned},
    }

    def text(style: Style) -> str:
        shown = data["settings"]
        assert isinstance(shown, dict)
        rows = [
            (name, f"{value if value != '' else '-'}  {style.dim(MEANINGS[name])}")
            for name, value in shown.items()
        ]
        return fields([("home", str(app.home)), *rows], style)

    return Result(data, text)


@config.command("validate", cls=Command)
@pass_app
def validate(app: App) -> Result:
    """Check the settings file. Exit code 10 names the first thing that is wrong."""
    if _is_node(app.home):
        from node.config import load_config

        load_config(app.home)
        found = app.home / NODE_FILE
    else:
        if not app.home.is_dir():
            raise DataFolderMissing(f"there is no folder {app.home}", hint="name the right one with --home")
        client_settings(app)
        found = app.home / CLIENT_FILE
    exists = found.is_file()
    return Result(
        {"file": str(found), "exists": exists, "valid": True},
        f"{found}: {'valid' if exists else 'not there'}.",
    )


@config.command("set", cls=Command)
@click.argument("name")
@click.argument("value")
@pass_app
def set_value(app: App, *, name: str, value: str) -> Result:
    """Change one setting: a wallet's by its name, a node's as SECTION.KEY. The rest of the file stays."""
    if _is_node(app.home):
        return _set_node(app.home, name, value)
    current = asdict(client_settings(app))
    if name not in current:
        raise UsageError(f"there is no setting {name[:60]!a}", hint=f"settings: {', '.join(current)}")
    typed: Any = value
    if isinstance(current[name], int):
        digits = value.isascii() and value.isdigit() and len(value) < 19
        if not digits:
            raise InvalidConfig(f"{name} is an integer, not {value[:40]!a}", hint=_UNCHANGED)
        typed = int(value)
    try:
        settings = check_client_settings({**current, name: typed}, "config set")
    except InvalidConfig as error:
        raise InvalidConfig(error.message.removeprefix("config set: "), hint=_UNCHANGED) from None
    assert isinstance(settings, ClientSettings)
    try:
        write_client_settings(app.home / CLIENT_FILE, settings)
    except OSError as error:
        raise InvalidConfig(f"{app.home / CLIENT_FILE} cannot be written: {error.strerror}") from None
    return Result({"name": name, "value": typed}, of_json({name: typed}, Style(False)))


def _set_node(home: Path, name: str, value: str) -> Result:
    from node.config import config_text, load_config

    section, dot, key = name.partition(".")
    if not (section and dot and key):
        raise UsageError(
            f"there is no setting {name[:60]!a}",
            hint="a node's setting is SECTION.KEY, like rpc.port; `qenex config show` lists them",
        )
    try:
        loaded = load_config(home, overrides=[f"{name}={value}"])
    except InvalidConfig as error:
        raise InvalidConfig(error.message.removeprefix("--set "), hint=_UNCHANGED) from None
    try:
        write_whole(home / NODE_FILE, config_text(loaded).encode())
    except OSError as error:
        raise InvalidConfig(f"{home / NODE_FILE} cannot be written: {error.strerror}") from None
    return Result({"name": name, "value": value}, f"{name} = {value}; it counts from the node's next start.")
