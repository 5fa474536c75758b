"""ML-DSA-44 and ML-DSA-65 (FIPS 204) by `cryptography`, pure mode, keys as 32-byte seeds.

Signing is randomised (hedged): the same message gives other bytes each time, so
nothing may be identified by signature bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qenex.crypto.scheme import MAX_CONTEXT_SIZE, Scheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import (
        MLDSA44PrivateKey,
        MLDSA44PublicKey,
        MLDSA65PrivateKey,
        MLDSA65PublicKey,
    )

SEED_SIZE = 32
_RHO_SIZE = 32


class MlDsa(Scheme):
    """One ML-DSA parameter set. Secret key: the 32-byte seed (xi of FIPS 204 algorithm 1)."""

    seed_size = SEED_SIZE
    secret_key_size = SEED_SIZE

    def __init__(
        self, name: str, tag: int, public_key_size: int, signature_size: int, verify_gas: int
    ) -> None:
        self.name = name
        self.tag = tag
        self.public_key_size = public_key_size
        self.signature_size = signature_size
        self.verify_gas = verify_gas
        self._private: Callable[[bytes], MLDSA44PrivateKey | MLDSA65PrivateKey] | None = None
        self._public: Callable[[bytes], MLDSA44PublicKey | MLDSA65PublicKey] | None = None

    def load(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import mldsa

        if self.name == "ml-dsa-44":
            self._private = mldsa.MLDSA44PrivateKey.from_seed_bytes
            self._public = mldsa.MLDSA44PublicKey.from_public_bytes
        else:
            self._private = mldsa.MLDSA65PrivateKey.from_seed_bytes
            self._public = mldsa.MLDSA65PublicKey.from_public_bytes

    def _private_key(self, seed: bytes) -> MLDSA44PrivateKey | MLDSA65PrivateKey:
        if self._private is None:
            self.load()
        assert self._private is not None
        return self._private(bytes(seed))

    def generate(self, seed: bytes) -> tuple[bytes, bytes]:
        self._check_seed(seed)
        return self._private_key(seed).public_key().public_bytes_raw(), bytes(seed)

    def sign(self, secret_key: bytes, message: bytes, context: bytes = b"") -> bytes:
        self._check_secret_key(secret_key)
        self._check_context(context)
        return self._private_key(secret_key).sign(message, context)

    def verify(self, public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        try:
            if (
                len(signature) != self.signature_size
                or len(public_key) != self.public_key_size
                or len(context) > MAX_CONTEXT_SIZE
            ):
                return False
            if self._public is None:
                self.load()
                assert self._public is not None
            # Parsing the key is 5 of 87 us: not worth a cache that attackers could fill.
            self._public(public_key).verify(signature, message, context)
        except (MemoryError, RecursionError, ImportError):
            raise
        except Exception:  # whatever a library says to hostile bytes, it means "invalid"
            return False
        return True

    def valid_public_key(self, public_key: bytes) -> bool:
        """Return whether the key has its length and a t1 other than zero.

        With t1 = 0 the verification equation no longer holds the challenge, so anyone
        can sign; the libraries accept such keys. Every other string of the right
        length decodes to a key (FIPS 204 algorithm 23).
        """
        return (
            len(public_key) == self.public_key_size
            and public_key.count(0, _RHO_SIZE) != self.public_key_size - _RHO_SIZE
        )

    def public_key_of(self, secret_key: bytes) -> bytes:
        self._check_secret_key(secret_key)
        return self.generate(secret_key)[0]
