"""One key in one JSON file: Argon2id (RFC 9106) + XChaCha20-Poly1305, everything readable authenticated.

    {"format": "qenex-keystore", "version": 1,
     "header": {"name", "scheme", "public_key", "address", "created", "path",
                "kdf": {"function": "argon2id", "salt", "time_cost", "memory_kib"},
                "cipher": {"function": "xchacha20-poly1305", "nonce"}},
     "ciphertext": "0x..."}

The associated data is `qenex-keystore-1` and the canonical JSON of the header, so no
readable field can be changed without the password being refused. The plaintext is the
scheme's secret key. A recovery phrase is never stored: it is shown once.

A key that an account changed to has one more field in its header, `account`: the address of the
account that it signs for. Without it the key signs for its own address.

A development key has `kdf` and `cipher` `{"function": "none"}` and `secret` instead of
`ciphertext`; `keystore.Keyring` opens it only in a folder marked for development.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from dataclasses import dataclass, field

from qenex.crypto.address import Address, address_of, decode_address, encode_address
from qenex.crypto.scheme import Scheme
from qenex.crypto.schemes import SCHEMES
from qenex.crypto.strict_json import (
    JsonObject,
    canonical,
    hex_field,
    integer_field,
    object_field,
    parse_object,
    text_field,
)
from qenex.errors import (
    InvalidAddress,
    InvalidSecretKey,
    KeystoreCorrupt,
    KeystoreUnsupported,
    PasswordRequired,
    WrongPassword,
)

FORMAT = "qenex-keystore"
VERSION = 1
MAX_PASSWORD_LENGTH = 1024
"""Characters."""

_ASSOCIATED_DATA = b"qenex-keystore-1"
_SALT_SIZE = 16
_NONCE_SIZE = 24
_TAG_SIZE = 16


@dataclass(frozen=True, slots=True)
class KdfParameters:
    """Cost of Argon2id, one lane. The default takes about 0.7 s and 256 MiB.

    Raises KeystoreUnsupported outside the accepted range; a file's parameters are
    checked here, before anything is allocated.
    """

    time_cost: int = 3
    """Passes over the memory, 1 to 10."""
    memory_kib: int = 256 * 1024
    """KiB, 64 to 1,048,576."""

    def __post_init__(self) -> None:
        if not 1 <= self.time_cost <= 10:
            raise KeystoreUnsupported(f"Argon2id time cost {self.time_cost} is not between 1 and 10")
        if not 64 <= self.memory_kib <= 1024 * 1024:
            raise KeystoreUnsupported(
                f"Argon2id memory of {self.memory_kib} KiB is not between 64 KiB and 1 GiB"
            )


DEFAULT_KDF = KdfParameters()
CHEAP_KDF = KdfParameters(time_cost=1, memory_kib=64)
"""For tests only: no protection."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What a keystore file says without a password."""

    name: str
    scheme: str
    public_key: bytes
    address: Address
    """The account that it signs for: the key's own address, unless the account changed to this key."""
    created: str
    """RFC 3339, UTC."""
    path: str
    """Derivation path, or empty."""
    encrypted: bool

    @property
    def tag(self) -> int:
        """The scheme's tag byte."""
        return SCHEMES[self.scheme].tag

    @property
    def own_address(self) -> Address:
        """The address that this key alone makes."""
        return address_of(self.tag, self.public_key)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An opened key. Python cannot promise to wipe it from memory."""

    name: str
    scheme: str
    public_key: bytes
    secret_key: bytes = field(repr=False)
    address: Address

    @property
    def tag(self) -> int:
        """The scheme's tag byte."""
        return SCHEMES[self.scheme].tag

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """Sign with this key's scheme; see `Scheme.sign`."""
        return SCHEMES[self.scheme].sign(self.secret_key, message, context)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A parsed file: the readable part and the sealed one."""

    info: KeyInfo
    header: JsonObject
    sealed: bytes = field(repr=False)
    """Ciphertext, or the secret key itself where `info.encrypted` is False."""


def normalise_password(password: str) -> bytes:
    """Return the bytes that are hashed: NFKD, UTF-8. Raises PasswordRequired if empty or too long."""
    if not password:
        raise PasswordRequired("an empty password protects nothing")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordRequired(f"a password has at most {MAX_PASSWORD_LENGTH} characters")
    try:
        return unicodedata.normalize("NFKD", password).encode("utf-8")
    except UnicodeEncodeError:
        raise PasswordRequired("the password is not valid Unicode text") from None


def seal(info: KeyInfo, secret_key: bytes, password: str | None, kdf: KdfParameters) -> bytes:
    """Return the file's bytes; plain if `password` is None. Raises PasswordRequired."""
    header: dict[str, object] = {
        "name": info.name,
        "scheme": info.scheme,
        "public_key": "0x" + info.public_key.hex(),
        "address": encode_address(info.own_address),
        "created": info.created,
        "path": info.path,
    }
    if info.address != info.own_address:
        header["account"] = encode_address(info.address)
    if password is None:
        none = {"function": "none"}
        header |= {"kdf": none, "cipher": none}
        return _dump({"header": header, "secret": "0x" + secret_key.hex()})
    salt, nonce = secrets.token_bytes(_SALT_SIZE), secrets.token_bytes(_NONCE_SIZE)
    header["kdf"] = {
        "function": "argon2id",
        "salt": "0x" + salt.hex(),
        "time_cost": kdf.time_cost,
        "memory_kib": kdf.memory_kib,
    }
    header["cipher"] = {"function": "xchacha20-poly1305", "nonce": "0x" + nonce.hex()}
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

    key = _stretch(normalise_password(password), salt, kdf)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(secret_key, _associated_data(header), nonce, key)
    return _dump({"header": header, "ciphertext": "0x" + sealed.hex()})


def parse(data: bytes, what: str) -> StoredKey:
    """Return what `data` says. `what` names the file in errors.

    Raises KeystoreCorrupt, or KeystoreUnsupported for another version or function.
    Decrypts nothing.
    """
    whole = parse_object(data, what)
    if whole.get("format") != FORMAT:
        raise KeystoreCorrupt(f"{what} is no QENEX keystore")
    version = integer_field(whole, "version", what)
    if version != VERSION:
        raise KeystoreUnsupported(f"{what} has keystore version {version}; this program knows {VERSION}")
    header = object_field(whole, "header", what)
    encrypted = _is_encrypted(header, what)
    if set(whole) != {"format", "version", "header", "ciphertext" if encrypted else "secret"}:
        raise KeystoreCorrupt(f"{what} has unknown or missing fields")
    info = _parse_info(header, encrypted, what)
    secret_size = SCHEMES[info.scheme].secret_key_size
    if encrypted:
        sealed = hex_field(whole, "ciphertext", what, size=secret_size + _TAG_SIZE)
    else:
        sealed = hex_field(whole, "secret", what, size=secret_size)
    return StoredKey(info, header, sealed)


def unseal(stored: StoredKey, password: str | None, what: str) -> KeyPair:
    """Return the key pair, checked against the recorded public key.

    Raises PasswordRequired, WrongPassword (also for an altered file: the two cannot be
    told apart), KeystoreUnsupported for costs outside the range, KeystoreCorrupt.
    """
    info = stored.info
    secret_key = stored.sealed
    if info.encrypted:
        if password is None:
            raise PasswordRequired(f"{what} is encrypted")
        secret_key = _decrypt(stored, normalise_password(password), what)
    check_pair(SCHEMES[info.scheme], info.public_key, secret_key, what)
    return KeyPair(info.name, info.scheme, info.public_key, secret_key, info.address)


def check_pair(scheme: Scheme, public_key: bytes, secret_key: bytes, what: str) -> None:
    """Raise KeystoreCorrupt unless the two keys belong together."""
    try:
        actual = scheme.public_key_of(secret_key)
    except InvalidSecretKey as error:
        raise KeystoreCorrupt(f"{what}: {error.message}") from None
    if actual != public_key:
        raise KeystoreCorrupt(f"{what}: the secret key does not belong to the recorded public key")


def _is_encrypted(header: JsonObject, what: str) -> bool:
    functions = tuple(
        text_field(object_field(header, part, what), "function", what, 40) for part in ("kdf", "cipher")
    )
    if functions == ("argon2id", "xchacha20-poly1305"):
        return True
    if functions == ("none", "none"):
        return False
    raise KeystoreUnsupported(f"{what} uses {functions[0]!a} with {functions[1]!a}, which is not known")


def _parse_info(header: JsonObject, encrypted: bool, what: str) -> KeyInfo:
    if set(header) - {"account"} != {
        "name",
        "scheme",
        "public_key",
        "address",
        "created",
        "path",
        "kdf",
        "cipher",
    }:
        raise KeystoreCorrupt(f"{what} has unknown or missing header fields")
    name = text_field(header, "name", what, 64)
    scheme = SCHEMES.get(text_field(header, "scheme", what, 64))
    if scheme is None:
        raise KeystoreUnsupported(f"{what} holds a key of an unknown scheme")
    public_key = hex_field(header, "public_key", what, size=scheme.public_key_size)
    address = address_of(scheme.tag, public_key)
    try:
        recorded = decode_address(text_field(header, "address", what, 90))
        account = decode_address(text_field(header, "account", what, 90)) if "account" in header else address
    except InvalidAddress as error:
        raise KeystoreCorrupt(f"{what}: {error.message}") from None
    if recorded != address:
        raise KeystoreCorrupt(f"{what}: the address does not belong to the public key")
    created = text_field(header, "created", what, 40)
    path = text_field(header, "path", what, 64)
    return KeyInfo(name, scheme.name, public_key, account, created, path, encrypted)


def _decrypt(stored: StoredKey, password: bytes, what: str) -> bytes:
    kdf = object_field(stored.header, "kdf", what)
    parameters = KdfParameters(integer_field(kdf, "time_cost", what), integer_field(kdf, "memory_kib", what))
    salt = hex_field(kdf, "salt", what, size=_SALT_SIZE)
    nonce = hex_field(object_field(stored.header, "cipher", what), "nonce", what, size=_NONCE_SIZE)
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
    from nacl.exceptions import CryptoError

    key = _stretch(password, salt, parameters)
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
            stored.sealed, _associated_data(stored.header), nonce, key
        )
    except CryptoError:
        raise WrongPassword(f"{what}: the password is wrong, or the file was altered") from None


def _associated_data(header: JsonObject) -> bytes:
    return _ASSOCIATED_DATA + canonical(header)


def _stretch(password: bytes, salt: bytes, kdf: KdfParameters) -> bytes:
    """Return 32 bytes of Argon2id. Raises KeystoreUnsupported if the machine lacks the memory."""
    from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13
    from nacl.exceptions import CryptoError

    try:
        return crypto_pwhash_alg(
            32, password, salt, kdf.time_cost, kdf.memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13
        )
    except CryptoError:
        raise KeystoreUnsupported(f"Argon2id could not get {kdf.memory_kib} KiB of memory") from None


def _dump(body: dict[str, object]) -> bytes:
    whole = {"format": FORMAT, "version": VERSION} | body
    return (json.dumps(whole, indent=2, ensure_ascii=True) + "\n").encode("ascii")
