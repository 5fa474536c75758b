"""A devnet's home: what lies in it, making it, and the notes about its running processes.

    HOME/
      devnet.json         chain id, genesis hash, nodes and where they listen; the mark of a devnet
      phrase.txt          recovery phrase of all its keys (mode 0600)
      keyring/            development keyring: alice ... judy, without password
      nodes/validator-0/  the node's own home (see `node.config`)
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.home import DEVNET_FILE, KEYRING_FOLDER, read_devnet_file, write_whole
from cli.processes import ProcessId, is_alive
from ledger.genesis import Genesis
from node.home import VALIDATOR_SCHEME, ValidatorKey, init_home
from qenex.block import Validator
from qenex.crypto import address_of, encode_address, mnemonic, scheme_by_name
from qenex.crypto.address import Address
from qenex.crypto.derivation import Path as KeyPath
from qenex.crypto.derivation import Role, derive, derive_seed
from qenex.crypto.keystore import Keyring
from qenex.errors import DataFolderForeign, DataFolderMissing, InvalidConfig
from qenex.types import QXC, QXC_DECIMALS

ACCOUNTS: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
FUNDS: Final = 1_000_000 * 10**QXC_DECIMALS
"""Base units of QXC that each account has at genesis."""
SCHEME: Final = "ed25519"
NODE_NAME: Final = "validator-0"
LOCK_FILE: Final = ".devnet.lock"
PHRASE_FILE: Final = "phrase.txt"
SCHEMA_VERSION: Final = 1
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Running:
    """The note about a process: who it is and where its RPC listens."""

    process: ProcessId
    rpc_port: int


@dataclass(frozen=True, slots=True)
class DevnetHome:
    """A devnet by its folder and the contents of devnet.json."""

    folder: Path
    chain_id: str
    genesis_hash: str
    rpc_port: int

    @property
    def node_home(self) -> Path:
        """The home of its node."""
        return self.folder / "nodes" / NODE_NAME

    @property
    def log_path(self) -> Path:
        """Where its node's output goes."""
        return self.folder / "logs" / f"{NODE_NAME}.log"

    @property
    def rpc(self) -> str:
        """Address of its node's RPC, as last chosen."""
        return f"http://{HOST}:{self.rpc_port}"

    @property
    def keyring(self) -> Keyring:
        """Its development keyring."""
        return Keyring(self.folder / KEYRING_FOLDER)

    @property
    def _note_path(self) -> Path:
        return self.folder / "run" / f"{NODE_NAME}.json"

    def running(self) -> Running | None:
        """Return the node's process if exactly that one still runs; a stale note counts for nothing."""
        try:
            note = json.loads(self._note_path.read_bytes()[:4_096])
            process = ProcessId(int(note["pid"]), str(note["started"]))
            port = int(note["rpc_port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Running(process, port) if is_alive(process) else None

    def note(self, running: Running) -> None:
        """Write down the node's process."""
        note = {"pid": running.process.pid, "started": running.process.started, "rpc_port": running.rpc_port}
        write_whole(self._note_path, json.dumps(note).encode() + b"\n")

    def forget_process(self) -> None:
        """Remove the note."""
        self._note_path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write devnet.json."""
        _write_description(self.folder, "ready", self.chain_id, self.genesis_hash, self.rpc_port)


def _write_description(folder: Path, state: str, chain_id: str, genesis_hash: str, rpc_port: int) -> None:
    described = {
        "schema_version": SCHEMA_VERSION,
        "state": state,
        "chain_id": chain_id,
        "genesis_hash": genesis_hash,
        "nodes": [{"name": NODE_NAME, "home": f"nodes/{NODE_NAME}", "rpc": f"http://{HOST}:{rpc_port}"}],
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
            raise InvalidConfig(f"{folder / DEVNET_FILE} was written by another version of QENEX")
        port = int(str(described["nodes"][0]["rpc"]).rsplit(":", 1)[1])
        return DevnetHome(folder, described["chain_id"], str(described["genesis_hash"]), port)
    except (KeyError, IndexError, ValueError, TypeError):
        raise InvalidConfig(f"{folder / DEVNET_FILE} is damaged: it does not describe a devnet") from None


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


def create_devnet(folder: Path, rpc_port: int) -> DevnetHome:
    """Make a new chain in an empty folder, or in one whose creation was interrupted."""
    for name in (KEYRING_FOLDER, "nodes", "run"):
        shutil.rmtree(folder / name, ignore_errors=True)  # only what an interrupted creation left
    chain_id = f"devnet-{secrets.token_hex(4)}"
    _write_description(folder, "creating", chain_id, "", rpc_port)
    phrase = mnemonic.generate()
    write_whole(folder / PHRASE_FILE, phrase.encode() + b"\n")
    seed = mnemonic.to_seed(phrase)
    keyring = Keyring(folder / KEYRING_FOLDER, development=True)
    addresses = []
    for number, name in enumerate(ACCOUNTS):
        _, secret_key = derive(seed, SCHEME, number)
        info = keyring.create(name, SCHEME, secret_key, path=str(KeyPath(number, Role.SPEND, 0)))
        addresses.append(info.address)
    operator_key, _ = derive(seed, SCHEME, 0, Role.OPERATOR)
    operator = address_of(scheme_by_name(SCHEME).tag, operator_key)
    consensus_seed = derive_seed(seed, VALIDATOR_SCHEME, KeyPath(0, Role.CONSENSUS, 0))
    validator = ValidatorKey.from_seed(consensus_seed, operator)
    genesis = _genesis(chain_id, addresses, validator)
    devnet = DevnetHome(folder, chain_id, "0x" + genesis.hash.hex(), rpc_port)
    settings: dict[str, dict[str, Any]] = {
        "node": {"name": NODE_NAME},
        "rpc": {"port": rpc_port},
        "database": {"backend": "leveldb" if has_leveldb() else "sqlite"},
    }
    devnet.node_home.mkdir(parents=True)
    init_home(devnet.node_home, genesis, validator=validator, settings=settings)
    devnet.save()
    return devnet


def _genesis(chain_id: str, addresses: list[Address], validator: ValidatorKey) -> Genesis:
    balances = [
        {"address": encode_address(address), "denom": QXC, "amount": str(FUNDS)} for address in addresses
    ]
    return Genesis(
        chain_id=chain_id,
        time=time.time_ns(),
        validators=(Validator(validator.address, validator.key, 1),),
        modules={"bank": {"balances": balances}},
        # Nothing is burned here: on a development chain the supply stays what it was at genesis, so whoever
        # tests a module sees only that module's own effect. The public network burns part of each fee.
        parameters={"machine": {"burn_bps": 0}},
    )
