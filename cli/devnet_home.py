"""A devnet's home: what lies in it, making it, and the notes about its running processes.

    HOME/
      devnet.json         chain id, genesis hash, nodes and where they listen; the mark of a devnet
      phrase.txt          recovery phrase of all its keys (mode 0600)
      keyring/            development keyring: alice ... judy, without password
      nodes/validator-0/  a node's own home (see `node.config`), and so on for each validator
      run/                one note for each running process
      logs/               what the processes say

`devnet.json` is written first with the state `creating` and last with `ready`: a creation that was
interrupted is seen and begun anew, and a folder that holds anything else is never touched.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cli.home import DEVNET_FILE, KEYRING_FOLDER, read_devnet_file, write_whole
from cli.processes import ProcessId, is_alive
from defi_modules.staking import StakingParams, bonds_to_json
from defi_modules.tokens.module import token_denom
from ledger.genesis import Genesis
from node.config import load_config
from node.home import VALIDATOR_SCHEME, ValidatorKey, init_home
from node.modules import make_machine
from p2p.identity import identity_from_seed, save_identity
from qenex.block import Validator
from qenex.codec import Codec, codec_for
from qenex.crypto import encode_address, mnemonic
from qenex.crypto.address import Address
from qenex.crypto.derivation import Path as KeyPath
from qenex.crypto.derivation import Role, derive, derive_seed
from qenex.crypto.keystore import Keyring
from qenex.errors import (
    DataFolderForeign,
    DataFolderMissing,
    InvalidConfig,
    InvalidParameters,
    QenexError,
    UnknownModule,
    UsageError,
)
from qenex.types import QXC, QXC_DECIMALS

ACCOUNTS: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
FUNDS: Final = 1_000_000 * 10**QXC_DECIMALS
"""Base units of QXC that each account has at genesis."""
VOTES: Final = {
    "min_deposit": 10**QXC_DECIMALS,
    "voting_period_s": 60,
    "expedited_period_s": 20,
    "timelock_s": 20,
    "expedited_timelock_s": 10,
    "guardian_pause_s": 60,
    "guardian_rest_s": 600,
}
"""Decisions on a devnet take a minute or two. Its guardian is judy."""
OPERATOR_FUNDS: Final = 1_000 * 10**QXC_DECIMALS
"""The same of each validator's operator, whose key lies in the keyring under the node's name."""
STAKE: Final = 100_000 * 10**QXC_DECIMALS
"""What each validator's operator has delegated to it at genesis."""
FEEDS: Final = ("QXC/USD", "BTC/USD", "ETH/USD", "USDC/USD")
"""What the oracle prices, once somebody reports it: `qenex oracle feed --from validator-0`."""
SCHEME: Final = "ed25519"
LOCK_FILE: Final = ".devnet.lock"
PHRASE_FILE: Final = "phrase.txt"
SCHEMA_VERSION: Final = 2
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Running:
    """The note about a process: who it is and where it listens (TCP ports)."""

    process: ProcessId
    rpc_port: int
    p2p_port: int = 0


@dataclass(frozen=True, slots=True)
class DevnetNode:
    """One node of a devnet: its name, its folder and where it listens, as last chosen.

    `node_id` is its identity in the network, 64 hex digits.
    """

    devnet: Path
    name: str
    rpc_port: int
    p2p_port: int
    node_id: str

    @property
    def home(self) -> Path:
        """The node's own home."""
        return self.devnet / "nodes" / self.name

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self.devnet / "logs" / f"{self.name}.log"

    @property
    def rpc(self) -> str:
        """Address of its RPC."""
        return f"http://{HOST}:{self.rpc_port}"

    @property
    def p2p(self) -> str:
        """Where other nodes reach it, as `<node id>@host:port`."""
        return f"{self.node_id}@{HOST}:{self.p2p_port}"

    @property
    def _note_path(self) -> Path:
        return self.devnet / "run" / f"{self.name}.json"

    @property
    def admin_token(self) -> str:
        """What opens its `admin_` methods over HTTP. Raises InvalidConfig when its settings are damaged."""
        return load_config(self.home, environment={}).rpc.admin_token

    def running(self) -> Running | None:
        """Return the node's process if exactly that one still runs; a stale note counts for nothing."""
        try:
            note = json.loads(self._note_path.read_bytes()[:4_096])
            process = ProcessId(int(note["pid"]), str(note["started"]))
            running = Running(process, int(note["rpc_port"]), int(note.get("p2p_port", 0)))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return running if is_alive(process) else None

    @property
    def was_started(self) -> bool:
        """Whether there is a note: it was started, and no command stopped it."""
        return self._note_path.exists()

    def note(self, running: Running) -> None:
        """Write down the node's process."""
        note = {
            "pid": running.process.pid,
            "started": running.process.started,
            "rpc_port": running.rpc_port,
            "p2p_port": running.p2p_port,
        }
        write_whole(self._note_path, json.dumps(note).encode() + b"\n")

    def forget_process(self) -> None:
        """Remove the note."""
        self._note_path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class DevnetHome:
    """A devnet by its folder and the contents of devnet.json."""

    folder: Path
    chain_id: str
    genesis_hash: str
    nodes: tuple[DevnetNode, ...]

    @property
    def keyring(self) -> Keyring:
        """Its development keyring."""
        return Keyring(self.folder / KEYRING_FOLDER)

    def find(self, name: str) -> DevnetNode:
        """The node of this name, or of this number. Raises UsageError naming those that there are."""
        for number, node in enumerate(self.nodes):
            if name in (node.name, str(number)):
                return node
        raise UsageError(
            f"this devnet has no node {name[:60]!a}",
            hint=f"its nodes: {', '.join(n.name for n in self.nodes)}",
        )

    def with_node(self, changed: DevnetNode) -> DevnetHome:
        """The same with one node changed."""
        return replace(self, nodes=tuple([changed if n.name == changed.name else n for n in self.nodes]))

    def save(self) -> None:
        """Write devnet.json."""
        _write_description(self.folder, "ready", self)


def _write_description(folder: Path, state: str, devnet: DevnetHome) -> None:
    described = {
        "schema_version": SCHEMA_VERSION,
        "state": state,
        "chain_id": devnet.chain_id,
        "genesis_hash": devnet.genesis_hash,
        "nodes": [
            {
                "name": node.name,
                "home": f"nodes/{node.name}",
                "rpc": node.rpc,
                "p2p": node.p2p,
            }
            for node in devnet.nodes
        ],
        "accounts": list(ACCOUNTS),
    }
    write_whole(folder / DEVNET_FILE, json.dumps(described, indent=2).encode() + b"\n", mode=0o644)


def refuse_foreign(folder: Path) -> None:
    """Raise DataFolderForeign if `folder` exists and is neither empty nor a devnet's home."""
    try:
        entries = os.listdir(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise DataFolderForeign(
            f"{folder} is a file; nothing was changed", hint="choose another folder"
        ) from None
    except OSError as error:
        raise DataFolderForeign(f"{folder} cannot be read: {error.strerror}") from None
    if DEVNET_FILE not in entries and set(entries) - {LOCK_FILE}:
        raise DataFolderForeign(
            f"{folder} is not empty and holds no devnet; nothing was changed",
            hint="choose a new or empty folder with --home DIR",
        )


def open_devnet(folder: Path) -> DevnetHome | None:
    """Return the devnet in `folder`, None if there is none or its creation was interrupted.

    Raises DataFolderForeign, InvalidConfig.
    """
    refuse_foreign(folder)
    described = read_devnet_file(folder)
    if described is None or described.get("state") == "creating":
        return None
    try:
        if described["schema_version"] != SCHEMA_VERSION:
            raise InvalidConfig(
                f"{folder / DEVNET_FILE} was written by another version of QENEX",
                hint="stop its processes with that version, then remove the folder and begin a new chain",
            )
        nodes = tuple([_node_of(folder, item) for item in described["nodes"]])
        nodes[0]  # there is one
        return DevnetHome(folder, described["chain_id"], str(described["genesis_hash"]), nodes)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise InvalidConfig(f"{folder / DEVNET_FILE} is damaged: it does not describe a devnet") from None


def _node_of(folder: Path, item: dict[str, Any]) -> DevnetNode:
    name = str(item["name"])
    if not name.replace("-", "").isalnum():
        raise ValueError("no name of a node")
    node_id, _, place = str(item["p2p"]).partition("@")
    return DevnetNode(folder, name, _port(item["rpc"]), _port(place), node_id)


def _port(url: object) -> int:
    return int(str(url).rsplit(":", 1)[1])


def existing_devnet(folder: Path) -> DevnetHome:
    """Return the devnet in `folder`. Raises DataFolderMissing where there is none."""
    devnet = open_devnet(folder)
    if devnet is None:
        raise DataFolderMissing(
            f"there is no devnet in {folder}", hint=f"start one: qenex devnet up --home {folder}"
        )
    return devnet


def has_leveldb() -> bool:
    """Whether LevelDB's binding is installed."""
    return importlib.util.find_spec("plyvel") is not None


def create_devnet(
    folder: Path,
    validators: int = 1,
    *,
    rpc_port: int = 0,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> DevnetHome:
    """Make a new chain in an empty folder, or in one whose creation was interrupted.

    `rpc_port` is where the first node's RPC will listen, as far as is known now; the other ports are chosen at each start.
    `parameters` of modules, as in a genesis, in place of those that a devnet has. Raises InvalidParameters, with the range,
    before anything is made.
    """
    check_parameters(parameters or {})
    for name in (KEYRING_FOLDER, "nodes", "run"):
        shutil.rmtree(folder / name, ignore_errors=True)  # only what an interrupted creation left
    devnet = DevnetHome(folder, f"devnet-{secrets.token_hex(4)}", "", ())
    _write_description(folder, "creating", devnet)
    phrase = mnemonic.generate()
    write_whole(folder / PHRASE_FILE, phrase.encode() + b"\n")
    seed = mnemonic.to_seed(phrase)
    keyring = Keyring(folder / KEYRING_FOLDER, development=True)
    addresses = []
    for number, name in enumerate(ACCOUNTS):
        _, secret_key = derive(seed, SCHEME, number)
        info = keyring.create(name, SCHEME, secret_key, path=str(KeyPath(number, Role.SPEND, 0)))
        addresses.append(info.address)
    keys = []
    for number in range(validators):
        _, secret_key = derive(seed, SCHEME, number, Role.OPERATOR)
        path = str(KeyPath(number, Role.OPERATOR, 0))
        operator = keyring.create(_node_name(number), SCHEME, secret_key, path=path)
        keys.append(_validator_key(seed, number, operator.address))
    genesis = _genesis(devnet.chain_id, addresses, keys, parameters or {})
    nodes = [
        _create_node(folder, seed, number, genesis, key, rpc_port if number == 0 else 0)
        for number, key in enumerate(keys)
    ]
    devnet = replace(devnet, genesis_hash="0x" + genesis.hash.hex(), nodes=tuple(nodes))
    devnet.save()
    return devnet


def _node_name(number: int) -> str:
    return f"validator-{number}"


def _validator_key(seed: bytes, number: int, operator: Address) -> ValidatorKey:
    consensus_seed = derive_seed(seed, VALIDATOR_SCHEME, KeyPath(number, Role.CONSENSUS, 0))
    return ValidatorKey.from_seed(consensus_seed, operator)


def _create_node(
    folder: Path, seed: bytes, number: int, genesis: Genesis, key: ValidatorKey, rpc_port: int
) -> DevnetNode:
    identity = identity_from_seed(derive_seed(seed, VALIDATOR_SCHEME, KeyPath(number, Role.NODE_IDENTITY, 0)))
    node = DevnetNode(folder, _node_name(number), rpc_port, 0, identity.node_id)
    settings: dict[str, dict[str, Any]] = {
        "node": {"name": node.name},
        "rpc": {"port": rpc_port, "admin_token": secrets.token_urlsafe(24)},
        "database": {"backend": "leveldb" if has_leveldb() else "sqlite"},
    }
    if len(genesis.validators) > 1:
        settings["verifier"] = {"workers": 1}  # they share the cores of this machine
        settings["database"]["tree_process"] = "off"
    node.home.mkdir(parents=True)
    config = init_home(node.home, genesis, validator=key, settings=settings)
    config.node_key_path.parent.mkdir(mode=0o700, exist_ok=True)
    save_identity(config.node_key_path, identity)
    return node


def _genesis(
    chain_id: str,
    addresses: list[Address],
    validators: list[ValidatorKey],
    parameters: Mapping[str, Mapping[str, Any]],
) -> Genesis:
    funds = [(address, FUNDS) for address in addresses] + [
        (key.address, OPERATOR_FUNDS) for key in validators
    ]
    staking = _staking_parameters(parameters.get("staking", {}))
    stakes = [(key.address, _node_name(number), STAKE) for number, key in enumerate(validators)]
    bonds, bonded, powers = bonds_to_json(stakes, staking)
    balances = [
        {"address": encode_address(address), "denom": QXC, "amount": str(amount)} for address, amount in funds
    ]
    # One report is enough here, and nobody has to be diligent: there may be one validator, and no feeder at all.
    feeds = [
        {
            "symbol": symbol,
            "max_age_s": 120,
            "min_reports": 1,
            "min_power_bps": 1,
            "max_deviation_bps": 5_000,
        }
        for symbol in FEEDS
    ]
    # QXC, and the token that alice creates as USDC; each opens with its seed, and alice may list more.
    markets = [
        _market(QXC, "QXC/USD", ltv_bps=7_000, threshold_bps=7_500),
        _market(token_denom(addresses[0], "USDC"), "USDC/USD", ltv_bps=8_000, threshold_bps=8_500),
    ]
    return Genesis(
        chain_id=chain_id,
        time=time.time_ns(),
        validators=tuple(
            [Validator(key.address, key.key, power) for key, power in zip(validators, powers, strict=True)]
        ),
        modules={
            "bank": {"balances": [*balances, bonded]},
            "staking": {"bonds": bonds},
            "lending": {"terms": markets},
        },
        # Nothing is burned here: on a development chain the supply stays what it was at genesis, so whoever
        # tests a module sees only that module's own effect. The public network burns part of each fee.
        parameters=_merged(
            {
                "machine": {"burn_bps": 0},
                "oracle": {"feeds": feeds, "max_missed_bps": 10_000},
                "staking": codec_for(StakingParams).to_json(staking, "qx"),
                "lending": {"authority": encode_address(addresses[0]), "ramp_s": 60, "growth_s": 60},
                "governance": {**VOTES, "guardian": encode_address(addresses[-1])},
            },
            parameters,
        ),
    )


def _merged(
    usual: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    names = [*usual, *[name for name in given if name not in usual]]
    return {name: {**usual.get(name, {}), **given.get(name, {})} for name in names}


def _staking_parameters(given: Mapping[str, Any]) -> StakingParams:
    """The usual rules with short times: nobody waits three weeks, or a thousand blocks, on a chain of his own."""
    codec: Codec[StakingParams] = codec_for(StakingParams)
    usual = StakingParams(unbonding_s=120, window_blocks=200, downtime_jail_s=30)
    return codec.from_json({**codec.to_json(usual, "qx"), **given})


def read_parameters(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parameters by module and field from `module.field=VALUE`; a value is JSON, or else text. Raises UsageError."""
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        module, dot, field = name.strip().partition(".")
        if not (equals and dot and module and field):
            raise UsageError(
                f"{setting[:60]!a} is no parameter", hint="write it as governance.voting_period_s=10"
            )
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text.strip()  # an address, say
        found.setdefault(module, {})[field] = value
    return found


def check_parameters(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Whether there are such parameters, each within its range. Raises InvalidParameters, UnknownModule."""
    if not parameters:
        return
    machine = make_machine()
    for module, given in parameters.items():
        if module not in machine.modules:
            raise UnknownModule(
                f"no module is called {module[:40]!a}: there are {', '.join(machine.modules)}"
            )
        codec = machine.registry.params[module]
        usual = codec.to_json(machine.modules[module].Params(), "qx")
        unknown = [field for field in given if field not in usual]
        if unknown:
            raise InvalidParameters(f"{module} has no {unknown[0][:40]!a}; it has {', '.join(usual)}")
        try:
            codec.from_json({**usual, **given})
        except QenexError as error:
            raise InvalidParameters(f"{module}: {error.message}") from None


def _market(denom: str, feed: str, **risk: int) -> dict[str, Any]:
    """Terms of a lending market, both coins with 9 decimals: caps of ten million, a seed of one whole unit."""
    cap = str(10**7 * 10**QXC_DECIMALS)
    return {
        "denom": denom,
        "decimals": QXC_DECIMALS,
        "feed": feed,
        "max_age_s": 120,
        "max_spread_bps": 1_000,
        "mean_price": None,
        "bonus_bps": 10_500,
        "liquidation_fee_bps": 1_000,
        "reserve_factor_bps": 1_000,
        "base_ray": "0",
        "slope1_ray": str(4 * 10**25),
        "slope2_ray": str(75 * 10**25),
        "optimal_bps": 8_000,
        "adaptive_speed": 0,
        "supply_cap": cap,
        "borrow_cap": cap,
        "outflow_bps": 10_000,
        "debt_ceiling": "0",
        "isolation_borrowable": False,
        "group": 0,
        "flash_fee_bps": 9,
        "seed": str(10**QXC_DECIMALS),
        **risk,
    }
