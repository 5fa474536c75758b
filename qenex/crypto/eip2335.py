"""EIP-2335 keystores, version 4: the exchange form for secrets of 32 bytes.

Read: scrypt or PBKDF2-HMAC-SHA256, checksum SHA-256, AES-128-CTR; written: scrypt. The
standard is made for BLS keys and has no field for a scheme, so ours stands at the start
of the description: `qenex:<scheme>`. The secret is the 32-byte seed of an Ed25519,
ML-DSA-44 or ML-DSA-65 key; composite and SLH-DSA secrets are longer and are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import unicodedata
import uuid
from typing import NamedTuple

from qenex.crypto.strict_json import (
    JsonObject,
    hex_field,
    integer_field,
    object_field,
    parse_object,
    text_field,
)
from qenex.errors import KeystoreCorrupt, KeystoreUnsupported, PasswordRequired, WrongPassword

SECRET_SIZE = 32
DEFAULT_SCRYPT_N = 262_144
"""CPU and memory cost of scrypt with r = 8: 256 MiB, about 0.7 s."""

_WHAT = "EIP-2335 keystore"
_MAX_MEMORY = 1 << 30
_MAX_WORK = 1 << 31
"""128 * n * r * p bytes mixed by scrypt: eight times the default."""
_MAX_PBKDF2_ROUNDS = 10_000_000
_MAX_PASSWORD_LENGTH = 1024


class Decrypted(NamedTuple):
    """What an EIP-2335 file holds."""

    secret: bytes
    public_key: bytes
    """Empty if the file has none."""
    path: str
    scheme: str
    """Name after `qenex:` in the description, or empty."""


def password_bytes(password: str) -> bytes:
    """Return NFKD without C0, C1 and Delete, UTF-8, as the standard says. Raises PasswordRequired."""
    if len(password) > _MAX_PASSWORD_LENGTH:
        raise PasswordRequired(f"a password has at most {_MAX_PASSWORD_LENGTH} characters")
    normal = unicodedata.normalize("NFKD", password)
    kept = "".join(c for c in normal if not (ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F))
    if not kept:
        raise PasswordRequired("an empty password protects nothing")
    try:
        return kept.encode("utf-8")
    except UnicodeEncodeError:
        raise PasswordRequired("the password is not valid Unicode text") from None


def decrypt(data: bytes, password: str) -> Decrypted:
    """Open an EIP-2335 file of at most 64 KiB.

    Raises WrongPassword, PasswordRequired, KeystoreCorrupt, and KeystoreUnsupported for
    functions or costs outside the accepted range, before anything is allocated.
    """
    whole = parse_object(data, _WHAT)
    if integer_field(whole, "version", _WHAT) != 4:
        raise KeystoreUnsupported("only version 4 of EIP-2335 is known")
    crypto = object_field(whole, "crypto", _WHAT)
    cipher = _module(crypto, "cipher", "aes-128-ctr")
    checksum = _module(crypto, "checksum", "sha256")
    message = hex_field(cipher, "message", _WHAT, size=SECRET_SIZE, prefix="")
    iv = hex_field(object_field(cipher, "params", _WHAT), "iv", _WHAT, size=16, prefix="")
    expected = hex_field(checksum, "message", _WHAT, size=32, prefix="")
    public_key = hex_field(whole, "pubkey", _WHAT, prefix="") if "pubkey" in whole else b""
    path = text_field(whole, "path", _WHAT, 256)
    description = text_field(whole, "description", _WHAT, 1024) if "description" in whole else ""
    key = _derive(object_field(crypto, "kdf", _WHAT), password_bytes(password))
    if not hmac.compare_digest(hashlib.sha256(key[16:32] + message).digest(), expected):
        raise WrongPassword("the password does not open this EIP-2335 keystore")
    first_word = description.split(" ", 1)[0]
    scheme = first_word.removeprefix("qenex:") if first_word.startswith("qenex:") else ""
    return Decrypted(_aes_128_ctr(key[:16], iv, message), public_key, path, scheme)


def encrypt(
    secret: bytes,
    public_key: bytes,
    password: str,
    *,
    scheme: str,
    label: str = "",
    path: str = "",
    scrypt_n: int = DEFAULT_SCRYPT_N,
) -> str:
    """Return the JSON text. Raises KeystoreUnsupported unless the secret has 32 bytes, PasswordRequired."""
    if len(secret) != SECRET_SIZE:
        raise KeystoreUnsupported(
            f"EIP-2335 carries secrets of {SECRET_SIZE} bytes; {scheme} has {len(secret)}"
        )
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    params: JsonObject = {"dklen": 32, "n": scrypt_n, "r": 8, "p": 1, "salt": salt.hex()}
    kdf: JsonObject = {"function": "scrypt", "params": params, "message": ""}
    key = _derive(kdf, password_bytes(password))
    message = _aes_128_ctr(key[:16], iv, secret)
    checksum = hashlib.sha256(key[16:32] + message).hexdigest()
    whole = {
        "crypto": {
            "kdf": kdf,
            "checksum": {"function": "sha256", "params": {}, "message": checksum},
            "cipher": {"function": "aes-128-ctr", "params": {"iv": iv.hex()}, "message": message.hex()},
        },
        "description": f"qenex:{scheme} {label}".strip(),
        "pubkey": public_key.hex(),
        "path": path,
        "uuid": str(uuid.uuid4()),
        "version": 4,
    }
    return json.dumps(whole, indent=2) + "\n"


def _module(crypto: JsonObject, name: str, function: str) -> JsonObject:
    module = object_field(crypto, name, _WHAT)
    actual = text_field(module, "function", _WHAT, 40)
    if actual != function:
        raise KeystoreUnsupported(f"{name} function {actual!a} is not known; EIP-2335 names {function}")
    return module


def _derive(kdf: JsonObject, password: bytes) -> bytes:
    """Return the 32-byte decryption key, its costs checked first."""
    function = text_field(kdf, "function", _WHAT, 40)
    params = object_field(kdf, "params", _WHAT)
    salt = hex_field(params, "salt", _WHAT, prefix="")
    if len(salt) > 128:
        raise KeystoreCorrupt("the salt has more than 128 bytes")
    if integer_field(params, "dklen", _WHAT) != 32:
        raise KeystoreUnsupported("only decryption keys of 32 bytes are known")
    if function == "scrypt":
        n, r, p = (integer_field(params, name, _WHAT) for name in ("n", "r", "p"))
        _check_scrypt(n, r, p)
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY + (1 << 20), dklen=32)
    if function == "pbkdf2":
        rounds = integer_field(params, "c", _WHAT)
        if text_field(params, "prf", _WHAT, 40) != "hmac-sha256":
            raise KeystoreUnsupported("only PBKDF2 with hmac-sha256 is known")
        if not 1 <= rounds <= _MAX_PBKDF2_ROUNDS:
            raise KeystoreUnsupported(f"PBKDF2 rounds must be between 1 and {_MAX_PBKDF2_ROUNDS:,}")
        return hashlib.pbkdf2_hmac("sha256", password, salt, rounds, 32)
    raise KeystoreUnsupported(f"key derivation function {function!a} is not known")


def _check_scrypt(n: int, r: int, p: int) -> None:
    sound = 2 <= n <= 1 << 23 and n & (n - 1) == 0 and 1 <= r <= 64 and 1 <= p <= 16
    # RFC 7914 section 6: n < 2^(128 r / 8); OpenSSL refuses the rest.
    if not sound or n >= 1 << 16 * r or 128 * r * (n + p) > _MAX_MEMORY or 128 * n * r * p > _MAX_WORK:
        raise KeystoreUnsupported("the costs of scrypt are outside the accepted range")


def _aes_128_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    stream = Cipher(AES(key), CTR(iv)).encryptor()
    return stream.update(data) + stream.finalize()
