"""The home folder: where keys and settings lie, and which node the wallet asks.

    HOME/
      client.toml      the wallet's settings (optional)
      keyring/         one file for each key; in a devnet's home a development keyring
      devnet.json      only in a devnet's home: its nodes and where they listen (see `cli.devnet`)
      logs/            reports of defects

A node's own home is described in `node.config`; it has `qenex.toml` and `genesis.json` instead.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cli.app import NODE_VARIABLE, App
from qenex.crypto.address import PREFIX, TEST_PREFIX
from qenex.crypto.keystore import Keyring
from qenex.errors import InvalidConfig, UsageError

CLIENT_FILE: Final = "client.toml"
KEYRING_FOLDER: Final = "keyring"
DEVNET_FILE: Final = "devnet.json"
DEFAULT_NODE: Final = "http://127.0.0.1:7300"

_MAX_FILE = 1 << 20
_HOST = re.compile(r"[0-9a-z_]([0-9a-z_.-]{0,252}[0-9a-z_.])?|[0-9a-f:.]+(%[0-9a-z]+)?")
"""A host's name or address as a URL's parts give it, in lower case and without brackets."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The wallet's settings; an empty text means not set.

    `chain_id` pins the chain: nothing is signed for a node of another one. `timeout_s` is how long
    a command waits for finality, in seconds; `valid_for` how many blocks a transaction stays valid.
    """

    node: str = ""
    chain_id: str = ""
    address_prefix: str = PREFIX
    timeout_s: int = 60
    valid_for: int = 600


RANGES: Final[dict[str, tuple[int, int]]] = {"timeout_s": (1, 86_400), "valid_for": (1, 10_000)}


def keyring_of(app: App) -> Keyring:
    """Return the keyring of the home folder; it need not exist yet."""
    return Keyring(app.home / KEYRING_FOLDER)


def read_bounded(path: Path) -> bytes:
    """Return a settings file's bytes. Raises InvalidConfig if it cannot be read or has more than 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise InvalidConfig(
            f"{path} cannot be read: {error.strerror}", hint="check its owner and mode"
        ) from None
    if len(data) > _MAX_FILE:
        raise InvalidConfig(f"{path} has more than 1 MiB")
    return data


def client_settings(app: App) -> ClientSettings:
    """Read and check HOME/client.toml. Raises InvalidConfig naming file and setting."""
    path = app.home / CLIENT_FILE
    if not path.is_file():
        return ClientSettings()
    try:
        table = tomllib.loads(read_bounded(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from None
    return check_client_settings(table, str(path))


def check_client_settings(table: dict[str, Any], where: str) -> ClientSettings:
    """Return settings from a parsed file. Raises InvalidConfig at an unknown name, type or range."""
    defaults = ClientSettings()
    known = {field.name: getattr(defaults, field.name) for field in fields(ClientSettings)}
    for name, value in table.items():
        if name not in known:
            raise InvalidConfig(
                f"{where}: unknown setting {name[:60]!a}", hint=f"settings: {', '.join(known)}"
            )
        if type(value) is not type(known[name]):
            raise InvalidConfig(
                f"{where}: {name} must be {'text' if isinstance(known[name], str) else 'an integer'}"
            )
        if name in RANGES and not RANGES[name][0] <= value <= RANGES[name][1]:
            raise InvalidConfig(
                f"{where}: {name} = {value} is not between {RANGES[name][0]} and {RANGES[name][1]}"
            )
    settings = ClientSettings(**table)
    if settings.node:
        check_url(settings.node, f"{where}: node")
    if settings.address_prefix not in (PREFIX, TEST_PREFIX):
        raise InvalidConfig(f"{where}: address_prefix must be {PREFIX} or {TEST_PREFIX}")
    if len(settings.chain_id) > 64 or not settings.chain_id.isascii():
        raise InvalidConfig(f"{where}: chain_id has at most 64 ASCII characters")
    return settings


def check_url(url: str, where: str) -> str:
    """Return `url` if it names a node's RPC. Raises InvalidConfig."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.scheme in ("http", "https") and parts.port != 0 and _HOST.fullmatch(host) is not None
    except ValueError:
        good = False
    if not good:
        raise InvalidConfig(
            f"{where} = {url[:80]!a} is no address of a node", hint=f"write it like {DEFAULT_NODE}"
        )
    return url


def write_client_settings(path: Path, settings: ClientSettings) -> None:
    """Put the settings that differ from their defaults into `path`, whole or not at all."""
    defaults = ClientSettings()
    lines = ["# Settings of the wallet; `qenex config show` explains them."]
    for field in fields(ClientSettings):
        value = getattr(settings, field.name)
        if value != getattr(defaults, field.name):
            lines.append(f"{field.name} = {json.dumps(value)}")
    write_whole(path, "\n".join(lines).encode() + b"\n")


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step, synced, so that a crash leaves the old or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_devnet_file(home: Path) -> dict[str, Any] | None:
    """Return what HOME/devnet.json says, or None where there is none. Raises InvalidConfig if it is damaged."""
    path = home / DEVNET_FILE
    if not path.is_file():
        return None
    try:
        described = json.loads(read_bounded(path))
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict) or not isinstance(described.get("chain_id"), str):
        raise InvalidConfig(f"{path} is damaged: it does not describe a devnet")
    return described


def node_url(app: App) -> str:
    """Return the RPC address: --node, QENEX_NODE, client.toml, the devnet of this home, the default."""
    if app.node_option is not None:
        try:
            return check_url(app.node_option, "--node")
        except InvalidConfig as error:
            raise UsageError(error.message, hint=error.hint) from None
    named = os.environ.get(NODE_VARIABLE)
    if named:
        return check_url(named, NODE_VARIABLE)
    settings = client_settings(app)
    if settings.node:
        return settings.node
    devnet = read_devnet_file(app.home)
    if devnet is not None:
        for entry in devnet.get("nodes", ()):
            if isinstance(entry, dict) and isinstance(entry.get("rpc"), str):
                return check_url(entry["rpc"], str(app.home / DEVNET_FILE))
    return DEFAULT_NODE


def pinned_chain_id(app: App) -> str:
    """Return the chain that this home is for, or an empty text: client.toml, then the devnet."""
    settings = client_settings(app)
    if settings.chain_id:
        return settings.chain_id
    devnet = read_devnet_file(app.home)
    return str(devnet["chain_id"]) if devnet is not None else ""
