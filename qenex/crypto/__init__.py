"""Signature schemes, addresses, recovery phrases, keystores.

Importing this package loads no cryptographic library: each is imported when a scheme
is first used, so that `qenex --help` starts quickly and pqcrypto is needed only by
those who use SLH-DSA.
"""

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
from qenex.crypto.derivation import Role, derive
from qenex.crypto.keystore import Keyring
from qenex.crypto.keystore_file import KdfParameters, KeyInfo, KeyPair
from qenex.crypto.scheme import Scheme
from qenex.crypto.schemes import SCHEMES, SCHEMES_BY_TAG, scheme_by_name, scheme_by_tag

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
