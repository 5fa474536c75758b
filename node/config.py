"""A node's settings: one TOML file, every value with unit, range, default and meaning.

A node's home:

    HOME/
      qenex.toml                 this file; every setting may be left out
      genesis.json               the chain
      validator/key.json         a validator's consensus key (mode 0600); absent on a full node
      validator/signer_state.json  what it signed last; never delete it, it lies apart from the data
      p2p/key.json               the node's own key (mode 0600): made at the first start, its hash is the node's id
      p2p/peers.json             addresses of other nodes
      consensus/wal/             what consensus has received at the height in progress, a file for each height
      consensus/evidence         double votes of others that wait for a block
      snapshots/                 copies of the state for nodes that join
      data/                      blocks and state; can be synchronised anew
      admin.sock                 the local administration socket, while the node runs

Order of precedence, lowest first: defaults, file, environment (`QENEX_RPC_PORT` is `rpc.port`), then
overrides given as `section.key=value` (`python -m node --set rpc.port=7400`). All four are checked alike:
an unknown key or a value out of range is InvalidConfig, naming key, value and allowed range.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from node.settings import (
    ConsensusSettings,
    DatabaseSettings,
    EngineSettings,
    MempoolSettings,
    NodeSettings,
    P2pSettings,
    RpcSettings,
    SignerSettings,
    SnapshotSettings,
    Spec,
    SyncSettings,
    VerifierSettings,
)
from qenex.errors import InvalidConfig

CONFIG_FILE: Final = "qenex.toml"
GENESIS_FILE: Final = "genesis.json"
VALIDATOR_FOLDER: Final = "validator"
VALIDATOR_KEY_FILE: Final = "key.json"
SIGNER_STATE_FILE: Final = "signer_state.json"
DATA_FOLDER: Final = "data"
SNAPSHOTS_FOLDER: Final = "snapshots"
ADMIN_SOCKET: Final = "admin.sock"
P2P_FOLDER: Final = "p2p"
NODE_KEY_FILE: Final = "key.json"
PEERS_FILE: Final = "peers.json"
CONSENSUS_FOLDER: Final = "consensus"
WAL_FOLDER: Final = "wal"
EVIDENCE_FILE: Final = "evidence"
RECORDING_FILE: Final = "recording"
ENVIRONMENT_PREFIX: Final = "QENEX_"
MAX_CONFIG_SIZE: Final = 1 << 20

MIN_HISTORY: Final = 10
"""Validator sets and proofs reach a few blocks back."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one node, checked. `home` is where its files lie."""

    home: Path
    node: NodeSettings = field(default_factory=NodeSettings)
    rpc: RpcSettings = field(default_factory=RpcSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    mempool: MempoolSettings = field(default_factory=MempoolSettings)
    verifier: VerifierSettings = field(default_factory=VerifierSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    p2p: P2pSettings = field(default_factory=P2pSettings)
    consensus: ConsensusSettings = field(default_factory=ConsensusSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    signer: SignerSettings = field(default_factory=SignerSettings)

    @property
    def genesis_path(self) -> Path:
        """The genesis file."""
        return self.home / GENESIS_FILE

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return self.home / DATA_FOLDER

    @property
    def validator_key_path(self) -> Path:
        """The consensus key; absent on a full node."""
        return self.home / VALIDATOR_FOLDER / VALIDATOR_KEY_FILE

    @property
    def signer_state_path(self) -> Path:
        """What the consensus key signed last."""
        return self.home / VALIDATOR_FOLDER / SIGNER_STATE_FILE

    @property
    def node_key_path(self) -> Path:
        """The node's own key in the network."""
        return self.home / P2P_FOLDER / NODE_KEY_FILE

    @property
    def peers_path(self) -> Path:
        """Addresses of other nodes."""
        return self.home / P2P_FOLDER / PEERS_FILE

    @property
    def snapshots_path(self) -> Path:
        """Copies of the state for nodes that join."""
        return self.home / SNAPSHOTS_FOLDER

    @property
    def wal_path(self) -> Path:
        """Folder of what consensus has received at the height in progress."""
        return self.home / CONSENSUS_FOLDER / WAL_FOLDER

    @property
    def recording_path(self) -> Path:
        """Recording of consensus, where `consensus.record` asks for one."""
        return self.home / CONSENSUS_FOLDER / RECORDING_FILE

    @property
    def evidence_path(self) -> Path:
        """Double votes of others that wait for a block."""
        return self.home / CONSENSUS_FOLDER / EVIDENCE_FILE

    @property
    def socket_path(self) -> Path | None:
        """The administration socket, or None where it is switched off."""
        return self.home / ADMIN_SOCKET if self.rpc.admin_socket else None


SECTIONS: Final[dict[str, type]] = {
    "node": NodeSettings,
    "rpc": RpcSettings,
    "database": DatabaseSettings,
    "mempool": MempoolSettings,
    "verifier": VerifierSettings,
    "engine": EngineSettings,
    "p2p": P2pSettings,
    "consensus": ConsensusSettings,
    "snapshots": SnapshotSettings,
    "sync": SyncSettings,
    "signer": SignerSettings,
}


def specs_of(section: type) -> dict[str, tuple[Spec, Any]]:
    """`(spec, default)` of each setting of a section, in order."""
    return {item.name: (item.metadata["spec"], item.default) for item in fields(section)}


def _shown(value: object, spec: Spec) -> str:
    text = "a secret" if spec.secret else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _check(where: str, value: Any, spec: Spec, default: Any) -> Any:
    """The value as its field wants it. Raises InvalidConfig naming key, value and allowed range."""
    wrong = InvalidConfig(f"{where} = {_shown(value, spec)}: allowed is {spec.allowed} ({spec.doc})")
    if isinstance(default, bool):
        if type(value) is not bool:
            raise wrong
        return value
    if isinstance(default, int):
        if type(value) is not int or not _inside(value, spec):
            raise wrong
        return value
    if isinstance(default, tuple):
        if type(value) is not list or not all(type(item) is str and item for item in value):
            raise InvalidConfig(f"{where} = {_shown(value, spec)}: allowed is a list of texts ({spec.doc})")
        if not _inside(len(value), spec):
            raise wrong
        return tuple(value)
    if type(value) is not str or (spec.choices and value not in spec.choices):
        raise wrong
    if not spec.choices and not _inside(len(value), spec):
        raise wrong
    return value


def _inside(number: int, spec: Spec) -> bool:
    return (spec.low is None or number >= spec.low) and (spec.high is None or number <= spec.high)


def config_from_tables(home: Path, tables: Mapping[str, Any], *, source: str = CONFIG_FILE) -> Config:
    """Settings of parsed tables `{section: {key: value}}`. Raises InvalidConfig."""
    unknown = sorted(set(tables) - set(SECTIONS))
    if unknown:
        raise InvalidConfig(f"{source}: no section [{unknown[0][:64]}]; there are {', '.join(SECTIONS)}")
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise InvalidConfig(f"{source}: {name} is a section: write [{name}]")
        specs = specs_of(section)
        values = {}
        for key, value in table.items():
            if key not in specs:
                raise InvalidConfig(f"{source}: no setting {name}.{key[:64]}; there are {', '.join(specs)}")
            spec, default = specs[key]
            values[key] = _check(f"{source}: {name}.{key}", value, spec, default)
        sections[name] = section(**values)
    config = Config(home=home, **sections)
    _check_together(config, source)
    return config


_HOST: Final = re.compile(r"[0-9A-Za-z_.-]+|[0-9A-Fa-f:.]+(%[0-9A-Za-z_.-]+)?")
"""A name, an IPv4 or an IPv6 address (with its zone)."""
_NODE_ID: Final = re.compile(r"[0-9a-f]{64}")
_PEER: Final = re.compile(r"[0-9a-f]{64}@([0-9A-Za-z_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


def _check_together(config: Config, source: str) -> None:
    if config.engine.min_interval_ms > config.engine.settle_interval_ms:
        raise InvalidConfig(
            f"{source}: engine.min_interval_ms = {config.engine.min_interval_ms}: allowed is at most "
            f"engine.settle_interval_ms = {config.engine.settle_interval_ms}"
        )
    if 0 < config.database.history < MIN_HISTORY:
        raise InvalidConfig(
            f"{source}: database.history = {config.database.history}: allowed is 0, or at least {MIN_HISTORY} blocks"
        )
    if _HOST.fullmatch(config.rpc.host) is None:
        raise InvalidConfig(
            f"{source}: rpc.host = {config.rpc.host[:80]!a}: allowed is an address or a host's name, without a port"
        )
    if _HOST.fullmatch(config.p2p.host) is None:
        raise InvalidConfig(
            f"{source}: p2p.host = {config.p2p.host[:80]!a}: allowed is an address or a host's name, without a port"
        )
    for name in ("persistent_peers", "seeds"):
        for peer in getattr(config.p2p, name):
            if _PEER.fullmatch(peer) is None:
                raise InvalidConfig(
                    f"{source}: p2p.{name} holds {peer[:120]!a}: allowed is `<node id>@host:port`, the id being 64 "
                    "hexadecimal digits"
                )
    for peer in config.p2p.private_peer_ids:
        if _NODE_ID.fullmatch(peer) is None:
            raise InvalidConfig(
                f"{source}: p2p.private_peer_ids holds {peer[:80]!a}: allowed are ids of 64 hexadecimal digits"
            )
    if config.signer.address and not config.signer.address.startswith("unix:/"):
        raise InvalidConfig(
            f"{source}: signer.address = {config.signer.address[:80]!a}: allowed is unix: and an absolute path"
        )
    if 0 < len(config.rpc.admin_token) < 16:
        raise InvalidConfig(f"{source}: rpc.admin_token: allowed is empty, or at least 16 characters")


def _value_of_text(where: str, text: str, spec: Spec, default: Any) -> Any:
    """A value from the environment or the command line: bare text, or TOML for lists."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise InvalidConfig(f"{where} = {_shown(text, spec)}: allowed is true or false ({spec.doc})")
        return text == "true"
    if isinstance(default, int):
        digits = text[1:] if text.startswith("-") else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise InvalidConfig(f"{where} = {_shown(text, spec)}: allowed is {spec.allowed} ({spec.doc})")
        return int(text)
    if isinstance(default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _override(tables: dict[str, Any], where: str, section: str, key: str, text: str) -> None:
    if section not in SECTIONS or key not in specs_of(SECTIONS[section]):
        raise InvalidConfig(f"{where}: there is no setting {section[:64]}.{key[:64]}")
    spec, default = specs_of(SECTIONS[section])[key]
    value = _value_of_text(where, text, spec, default)
    _check(where, value, spec, default)
    tables.setdefault(section, {})[key] = value


def load_config(
    home: Path, *, environment: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Settings of a node's home: defaults, file (if any), environment, overrides `section.key=value`.

    Raises InvalidConfig naming the source, key, value and allowed range.
    """
    path = home / CONFIG_FILE
    tables = _read_file(path) if path.exists() else {}
    for name, text in sorted((environment or {}).items()):
        section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        if name.startswith(ENVIRONMENT_PREFIX) and section in SECTIONS and key in specs_of(SECTIONS[section]):
            _override(tables, name, section, key, text)  # other QENEX_ variables are the wallet's
    for override in overrides:
        place, equals, text = override.partition("=")
        section, dot, key = place.partition(".")
        if not equals or not dot:
            raise InvalidConfig(f"{override[:80]!r}: write section.key=value")
        _override(tables, f"--set {place}", section, key, text)
    return config_from_tables(home, tables, source=str(path))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_SIZE + 1)
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}") from None
    if len(data) > MAX_CONFIG_SIZE:
        raise InvalidConfig(f"{path}: larger than {MAX_CONFIG_SIZE} bytes")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{path}: {str(error)[:200]}") from None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def config_text(config: Config, *, only_changed: bool = False, show_secrets: bool = True) -> str:
    """A commented file that says what `config` says; settings at their defaults are commented out."""
    lines = [
        "# Settings of a QENEX node. What is commented out shows the default.",
        "# The environment (QENEX_RPC_PORT) and `--set rpc.port=7400` go before this file.",
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"[{name}]"]
        values = getattr(config, name)
        for key, (spec, default) in specs_of(section).items():
            value = getattr(values, key)
            if value == default and only_changed:
                continue
            shown = '"..."' if spec.secret and value and not show_secrets else _toml(value)
            mark = "# " if value == default else ""
            if not only_changed:
                lines.append(f"# {spec.doc}; {spec.allowed}")
            lines.append(f"{mark}{key} = {shown}")
    return "\n".join(lines) + "\n"


def default_config_text() -> str:
    """The file that a new home gets: every setting explained, all at their defaults."""
    return config_text(Config(Path()))


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """Settings as plain JSON for `qenex config show` and `node_info`; secrets are not told."""
    tables: dict[str, dict[str, Any]] = {}
    for name, section in SECTIONS.items():
        values = getattr(config, name)
        tables[name] = {
            key: "..."
            if spec.secret and getattr(values, key)
            else list(getattr(values, key))
            if isinstance(default, tuple)
            else getattr(values, key)
            for key, (spec, default) in specs_of(section).items()
        }
    return tables
