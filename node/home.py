"""A node's home folder: making one, and reading genesis and validator key from it.

What lies where is described in `node.config`. The genesis file is written last: a home without it was
never finished and is made anew.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from consensus.signer import STEP_NONE, SignerGuard, read_state, write_durably
from ledger.genesis import MAX_SIZE, Genesis
from node.config import CONFIG_FILE, Config, config_from_tables, config_text
from qenex.crypto import SCHEMES, Scheme, decode_address, encode_address, key_bytes
from qenex.crypto.address import Address
from qenex.errors import (
    DataFolderForeign,
    DataFolderMissing,
    InvalidGenesis,
    KeystoreCorrupt,
    QenexError,
    SignerStateMissing,
)

log = logging.getLogger("qenex.node")

VALIDATOR_SCHEME: Final = "composite-mldsa44-ed25519"
"""Default for consensus keys."""
KEY_SCHEMA: Final = 1
MAX_KEY_FILE: Final = 64 * 1024


class ValidatorKey(NamedTuple):
    """A consensus key and the operator's account that it signs for."""

    scheme: Scheme
    address: Address
    public_key: bytes
    secret_key: bytes

    @classmethod
    def from_seed(cls, seed: bytes, address: Address, scheme: str = VALIDATOR_SCHEME) -> ValidatorKey:
        """The key that a seed of the scheme's size makes. Raises InvalidSecretKey, UnknownScheme."""
        kind = SCHEMES[scheme]
        public_key, secret_key = kind.generate(seed)
        return cls(kind, address, public_key, secret_key)

    @property
    def key(self) -> bytes:
        """Scheme tag + public key, as the genesis names it."""
        return key_bytes(self.scheme.tag, self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Sign bytes; only the guard calls this."""
        return self.scheme.sign(self.secret_key, message)

    def __repr__(self) -> str:
        return f"ValidatorKey({self.scheme.name}, {encode_address(self.address)})"


def key_file_text(key: ValidatorKey) -> str:
    """The key file: JSON, not encrypted (a node starts unattended), so its mode is 0600."""
    fields = {
        "schema_version": KEY_SCHEMA,
        "scheme": key.scheme.name,
        "address": encode_address(key.address),
        "public_key": "0x" + key.public_key.hex(),
        "secret_key": "0x" + key.secret_key.hex(),
    }
    return json.dumps(fields, indent=1) + "\n"


def read_key(path: Path) -> ValidatorKey:
    """Read a validator's key. Raises KeystoreCorrupt; no part of the secret is ever in a message."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & 0o077:
                log.warning(
                    "others may read the validator's key", extra={"path": str(path), "mode": f"{mode:o}"}
                )
            fields: dict[str, Any] = json.loads(file.read(MAX_KEY_FILE))
        if fields["schema_version"] != KEY_SCHEMA:
            raise KeystoreCorrupt(f"{path}: schema version {fields['schema_version']!r:.20}")
        scheme = SCHEMES[fields["scheme"]]
        address = decode_address(fields["address"])
        public_key = bytes.fromhex(fields["public_key"].removeprefix("0x"))
        secret_key = bytes.fromhex(fields["secret_key"].removeprefix("0x"))
        if scheme.public_key_of(secret_key) != public_key:
            raise KeystoreCorrupt(f"{path}: the public key does not belong to the secret key")
    except OSError as error:
        raise KeystoreCorrupt(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeystoreCorrupt(f"{path}: not a validator's key file") from None
    except KeystoreCorrupt:
        raise
    except QenexError as error:
        raise KeystoreCorrupt(f"{path}: {error.message}") from None
    return ValidatorKey(scheme, address, public_key, secret_key)


def read_genesis(path: Path) -> Genesis:
    """Read a genesis file. Raises DataFolderMissing, InvalidGenesis."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise DataFolderMissing(f"there is no node at {path.parent}: {path.name} is missing") from None
    except OSError as error:
        raise InvalidGenesis(f"{path}: {error.strerror}") from None
    try:
        return Genesis.from_json(data)
    except InvalidGenesis as error:
        raise InvalidGenesis(f"{path}: {error.message}") from None


def init_home(
    home: Path,
    genesis: Genesis,
    *,
    validator: ValidatorKey | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Make a node's home: settings, genesis, and for a validator its key and a fresh signer state.

    `settings` are tables as in the file, `{"rpc": {"port": 7400}}`. Raises DataFolderForeign if there is a
    node already (nothing has changed then), InvalidConfig, SignerStateInvalid, OSError.
    """
    config = config_from_tables(home, settings or {}, source=CONFIG_FILE)
    if config.genesis_path.exists():
        raise DataFolderForeign(f"{home} already holds a node", hint="start it, or choose another folder")
    if config.data_path.exists() and any(config.data_path.iterdir()):
        raise DataFolderForeign(f"{config.data_path} is not empty", hint="choose another folder")
    home.mkdir(parents=True, exist_ok=True)
    if validator is not None:
        config.validator_key_path.parent.mkdir(mode=0o700, exist_ok=True)
        _fresh_signer(config, genesis, validator)
        write_durably(config.validator_key_path, key_file_text(validator).encode())
    write_durably(home / CONFIG_FILE, config_text(config).encode())
    write_durably(config.genesis_path, genesis.to_json().encode())
    os.chmod(config.genesis_path, 0o644)
    return config


def _fresh_signer(config: Config, genesis: Genesis, validator: ValidatorKey) -> None:
    """A state for a key that has never signed. One left by an unfinished `init_home` is replaced."""
    path = config.signer_state_path
    try:
        if read_state(path).step == STEP_NONE and read_state(path).height == 0:
            path.unlink()
    except SignerStateMissing:
        pass  # the usual case
    SignerGuard.create(
        path,
        chain_id=genesis.chain_id,
        scheme_tag=validator.scheme.tag,
        public_key=validator.public_key,
        sign=validator.sign,
    ).close()
