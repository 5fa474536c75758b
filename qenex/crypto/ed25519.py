"""Ed25519 (RFC 8032) by libsodium. Which signatures are valid is consensus: ONE verifier.

Implementations of Ed25519 disagree on edge cases (non-canonical encodings, points of
small order). The rule here is what `crypto_sign_open` of libsodium does: S below the
group order, canonical and not small-order A and R, cofactorless equation. That equals
dalek's `verify_strict` on all published edge vectors; `qenex.crypto.self_test` checks it.
No other Ed25519 verifier may be used anywhere in the project.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from qenex.crypto.scheme import ED25519_GAS, Scheme
from qenex.errors import InvalidSecretKey

PUBLIC_KEY_SIZE = 32
SECRET_KEY_SIZE = 64
SIGNATURE_SIZE = 64
SEED_SIZE = 32


def _load_open(signed: bytes, public_key: bytes) -> bytes:
    """Stand in for `crypto_sign_open` until its first call (the import takes 12 ms)."""
    global _open  # noqa: PLW0603  (rebinding keeps a branch out of the hottest call)
    from nacl.bindings import crypto_sign_open

    _open = crypto_sign_open
    return crypto_sign_open(signed, public_key)


_open: Callable[[bytes, bytes], bytes] = _load_open


def verify(public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
    """Return whether `signature` is valid; the hottest function of the whole system.

    Takes 38.9 us, 38.6 of them in libsodium with the GIL released. The length checks are
    part of the rule: `crypto_sign_open` cuts the signature off the joined bytes by
    itself, so a 74-byte "signature" would swallow the first 10 bytes of a message.
    """
    try:
        if len(signature) != 64 or len(public_key) != 32 or context:
            return False
        _open(signature + message, public_key)
    except (MemoryError, RecursionError, ImportError):
        raise
    except Exception:  # whatever a library says to hostile bytes, it means "invalid"
        return False
    return True


@lru_cache(maxsize=8_192)
def _is_valid_point(public_key: bytes) -> bool:
    """A pure function of 30 us, asked of a new account's key at every look at its first transactions: six times until a block."""
    from nacl.bindings import crypto_core_ed25519_is_valid_point

    return bool(crypto_core_ed25519_is_valid_point(public_key))


class Ed25519(Scheme):
    """Secret key: libsodium's 64-byte form, seed + public key, which signs without recomputing it."""

    name = "ed25519"
    tag = 0x01
    seed_size = SEED_SIZE
    public_key_size = PUBLIC_KEY_SIZE
    secret_key_size = SECRET_KEY_SIZE
    signature_size = SIGNATURE_SIZE
    verify_gas = ED25519_GAS
    has_context = False

    def load(self) -> None:
        import nacl.bindings  # noqa: F401

    def generate(self, seed: bytes) -> tuple[bytes, bytes]:
        self._check_seed(seed)
        from nacl.bindings import crypto_sign_seed_keypair

        public_key, secret_key = crypto_sign_seed_keypair(bytes(seed))
        return public_key, secret_key

    def sign(self, secret_key: bytes, message: bytes, context: bytes = b"") -> bytes:
        self._check_secret_key(secret_key)
        self._check_context(context)
        from nacl.bindings import crypto_sign

        return crypto_sign(bytes(message), bytes(secret_key))[:SIGNATURE_SIZE]

    def verify(self, public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        return verify(public_key, message, signature, context)

    def valid_public_key(self, public_key: bytes) -> bool:
        """Return whether the key is the canonical encoding of a point of prime order."""
        return len(public_key) == PUBLIC_KEY_SIZE and _is_valid_point(bytes(public_key))

    def public_key_of(self, secret_key: bytes) -> bytes:
        self._check_secret_key(secret_key)
        public_key, _ = self.generate(secret_key[:SEED_SIZE])
        # A wrong public half would make signatures that leak the secret scalar.
        if public_key != secret_key[SEED_SIZE:]:
            raise InvalidSecretKey("the two halves of this Ed25519 secret key do not belong together")
        return public_key
