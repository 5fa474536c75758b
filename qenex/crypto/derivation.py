"""One phrase restores every key: a hash-only hardened tree after SLIP-0010, one label per scheme.

A node is 32 bytes of key and 32 of chain code:

    master = HMAC-SHA512(label, seed)
    child(i) = HMAC-SHA512(chain code, 00 || key || i + 2^31 as 4 bytes)

For "ed25519 seed" this is SLIP-0010 itself. The other labels are ours: no two schemes
share a tree, so a key of one scheme says nothing about a key of another, and the halves
of a composite key have trees of their own. Only hardened children exist; no public
derivation, which lattice and hash schemes cannot have.

Path: m/44'/20824'/account'/role'/index'. Coin type 20824 (0x5158, "QX") is not
registered in SLIP-0044. Networks share it: chain ids keep them apart.

A scheme's seed is the node's key; SLH-DSA needs 48 bytes, which are the first 48 of
HMAC-SHA512(key, "SLH-DSA-SHA2-128s seed expansion"). The composite's 64 bytes are the
keys of its two trees, ML-DSA first.

Vectors: tests/vectors/derivation.json.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from qenex.crypto.schemes import scheme_by_name
from qenex.errors import InvalidDerivationPath, InvalidSecretKey

PURPOSE = 44
COIN_TYPE = 20824
HARDENED = 1 << 31

_LABELS: dict[str, tuple[bytes, ...]] = {
    "ed25519": (b"ed25519 seed",),
    "ml-dsa-44": (b"ML-DSA-44 seed",),
    "ml-dsa-65": (b"ML-DSA-65 seed",),
    "slh-dsa-sha2-128s": (b"SLH-DSA-SHA2-128s seed",),
    "composite-mldsa44-ed25519": (
        b"MLDSA44-Ed25519-SHA512 ML-DSA-44 seed",
        b"MLDSA44-Ed25519-SHA512 ed25519 seed",
    ),
}
_SLH_DSA_EXPANSION = b"SLH-DSA-SHA2-128s seed expansion"
_PATH = re.compile(r"m/44'/20824'/([0-9]{1,10})'/([0-9]{1,10})'/([0-9]{1,10})'")


class Role(IntEnum):
    """What a key is for. Keys of different roles never share a path."""

    SPEND = 0
    CONSENSUS = 1
    NODE_IDENTITY = 2
    OPERATOR = 3


@dataclass(frozen=True, slots=True)
class Path:
    """The variable part of a derivation path."""

    account: int = 0
    role: Role = Role.SPEND
    index: int = 0

    def __str__(self) -> str:
        return f"m/{PURPOSE}'/{COIN_TYPE}'/{self.account}'/{int(self.role)}'/{self.index}'"


DEFAULT_PATH = Path()


class Node(NamedTuple):
    """A node of the tree; both parts are secret."""

    key: bytes
    chain_code: bytes


def parse_path(text: str) -> Path:
    """Return the path that `text` writes. Raises InvalidDerivationPath for any other path or role."""
    match = _PATH.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise InvalidDerivationPath(f"{text[:64]!a} is not m/44'/{COIN_TYPE}'/account'/role'/index'")
    account, role, index = (int(part) for part in match.groups())
    _check_index(account)
    _check_index(index)
    path = Path(account, _role(role), index)
    if str(path) != text:
        raise InvalidDerivationPath(f"{text!a} has leading zeros")
    return path


def node(seed: bytes, label: bytes, indexes: Sequence[int]) -> Node:
    """Return the node at the hardened `indexes` (each below 2^31) below the master of `label`.

    Raises InvalidSecretKey for a seed outside 16 to 64 bytes, InvalidDerivationPath.
    """
    if not 16 <= len(seed) <= 64:
        raise InvalidSecretKey(f"a wallet seed has 16 to 64 bytes, not {len(seed)}")
    digest = hmac.digest(label, seed, "sha512")
    for index in indexes:
        _check_index(index)
        data = b"\0" + digest[:32] + (index | HARDENED).to_bytes(4, "big")
        digest = hmac.digest(digest[32:], data, "sha512")
    return Node(digest[:32], digest[32:])


def derive_seed(seed: bytes, scheme_name: str, path: Path = DEFAULT_PATH) -> bytes:
    """Return the seed from which the scheme's `generate` makes the key pair at `path`.

    Raises UnknownScheme, InvalidDerivationPath, InvalidSecretKey.
    """
    scheme = scheme_by_name(scheme_name)
    indexes = (PURPOSE, COIN_TYPE, path.account, int(_role(path.role)), path.index)
    keys = [node(seed, label, indexes).key for label in _LABELS[scheme_name]]
    if scheme_name == "slh-dsa-sha2-128s":
        return hmac.digest(keys[0], _SLH_DSA_EXPANSION, "sha512")[: scheme.seed_size]
    return b"".join(keys)


def derive(
    seed: bytes, scheme_name: str, account: int = 0, role: int = Role.SPEND, index: int = 0
) -> tuple[bytes, bytes]:
    """Return `(public_key, secret_key)` of the key at that place of the tree.

    `seed` is the 64 bytes that `mnemonic.to_seed` returns. Raises UnknownScheme,
    InvalidDerivationPath, InvalidSecretKey.
    """
    path = Path(account, _role(role), index)
    return scheme_by_name(scheme_name).generate(derive_seed(seed, scheme_name, path))


def _role(number: int) -> Role:
    try:
        return Role(number)
    except ValueError:
        raise InvalidDerivationPath(f"role {number} is not known; roles are 0 to {len(Role) - 1}") from None


def _check_index(index: int) -> None:
    if not 0 <= index < HARDENED:
        raise InvalidDerivationPath(f"index {index} is not between 0 and 2^31 - 1")
