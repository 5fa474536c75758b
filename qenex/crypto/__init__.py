"""Signature schemes, addresses, recovery phrases, keystores.

Importing this package loads no cryptographic library: each is imported when a scheme
is first used, so that `qenex --help` starts quickly and pqcrypto is needed only by
those who use SLH-DSA. Derivation and keystore are imported at first use as well: the
rooms that execute blocks need neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qenex.crypto.address import (
    PREFIX,
    TEST_PREFIX,
    Address,
    account_key,
    address_of,
    decode_address,
    describe_address,
    encode_address,
    key_bytes,
    key_hash,
    module_address,
)
from qenex.crypto.scheme import Scheme
from qenex.crypto.schemes import SCHEMES, SCHEMES_BY_TAG, scheme_by_name, scheme_by_tag

if TYPE_CHECKING:
    from qenex.crypto.derivation import Role, derive
    from qenex.crypto.keystore import Keyring
    from qenex.crypto.keystore_file import KdfParameters, KeyInfo, KeyPair

__all__ = [
    "PREFIX",
    "SCHEMES",
    "SCHEMES_BY_TAG",
    "TEST_PREFIX",
    "Address",
    "KdfParameters",
    "KeyInfo",
    "KeyPair",
    "Keyring",
    "Role",
    "Scheme",
    "account_key",
    "address_of",
    "decode_address",
    "derive",
    "describe_address",
    "encode_address",
    "key_bytes",
    "key_hash",
    "module_address",
    "scheme_by_name",
    "scheme_by_tag",
]

_LATE = {
    "KdfParameters": "keystore_file",
    "KeyInfo": "keystore_file",
    "KeyPair": "keystore_file",
    "Keyring": "keystore",
    "Role": "derivation",
    "derive": "derivation",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        value: object = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
