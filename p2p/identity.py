"""Who a node is to other nodes: one composite key, and the hash of its public half as the node id.

The key is used for nothing but handshakes, and has no part in votes or money: whoever loses it gets a new id
and is otherwise unharmed. It lies in a file of its own, readable by its owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from qenex.crypto import SCHEMES
from qenex.errors import NodeKeyInvalid
from qenex.hashing import hasher

SCHEME: Final = SCHEMES["composite-mldsa44-ed25519"]
NODE_ID_SIZE: Final = 32
MAX_KEY_FILE_SIZE: Final = 4_096
SCHEMA_VERSION: Final = 1

_node_id = hasher("qx.node-id")


def node_id_of(public_key: bytes) -> str:
    """The id of a node: `H("qx.node-id", scheme tag + public key)`, 64 lower-case hexadecimal digits."""
    return _node_id(bytes((SCHEME.tag,)) + public_key).hex()


def is_node_id(text: object) -> bool:
    """Whether `text` has the form of a node id."""
    return type(text) is str and len(text) == 2 * NODE_ID_SIZE and not set(text) - set("0123456789abcdef")


class NodeIdentity(NamedTuple):
    """A node's key pair and id. `repr` does not show the secret key."""

    node_id: str
    public_key: bytes
    secret_key: bytes

    def __repr__(self) -> str:
        return f"NodeIdentity({self.node_id})"

    def sign(self, message: bytes) -> bytes:
        """Signature of `message`, 2,484 bytes; takes about 0.4 ms, without the interpreter's lock for most of it."""
        return SCHEME.sign(self.secret_key, message)


def identity_from_seed(seed: bytes) -> NodeIdentity:
    """The identity that 64 secret bytes stand for."""
    public_key, secret_key = SCHEME.generate(seed)
    return NodeIdentity(node_id_of(public_key), public_key, secret_key)


def generate_identity() -> NodeIdentity:
    """A new identity from the system's random source."""
    return identity_from_seed(secrets.token_bytes(SCHEME.seed_size))


def save_identity(path: Path, identity: NodeIdentity) -> None:
    """Write the key file, mode 0600, whole or not at all. An existing file is replaced."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "scheme": SCHEME.name,
        "node_id": identity.node_id,
        "secret_key": identity.secret_key.hex(),
    }
    write_atomically(path, (json.dumps(fields, indent=1) + "\n").encode(), mode=0o600)


def load_identity(path: Path) -> NodeIdentity:
    """Read the key file. Raises NodeKeyInvalid when it is missing, unreadable, or says something else than its key."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_SIZE + 1)
    except OSError as error:
        raise NodeKeyInvalid(f"{path}: {error.strerror}") from None
    try:
        if len(data) > MAX_KEY_FILE_SIZE:
            raise ValueError("too large")
        fields = json.loads(data)
        if fields["schema_version"] != SCHEMA_VERSION or fields["scheme"] != SCHEME.name:
            raise ValueError("another version or scheme")
        seed = bytes.fromhex(fields["secret_key"])
        if len(seed) != SCHEME.secret_key_size:
            raise ValueError("secret key of a wrong length")
        identity = identity_from_seed(seed)
        if identity.node_id != fields["node_id"]:
            raise ValueError("the node id is not the key's")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # The cause may quote the file, and the file is secret: only our own short texts are repeated.
        reason = str(error) if type(error) is ValueError and len(str(error)) < 40 else "not a node key file"
        raise NodeKeyInvalid(f"{path}: {reason}") from None
    return identity


def load_or_create_identity(path: Path) -> NodeIdentity:
    """The identity of the key file; a new one, saved, when there is no such file. Raises NodeKeyInvalid, OSError."""
    if path.exists():
        return load_identity(path)
    identity = generate_identity()
    save_identity(path, identity)
    return identity


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`: a crash leaves the old or the new file. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
