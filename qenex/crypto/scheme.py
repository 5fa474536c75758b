"""The one face of every signature scheme: raw bytes in, raw bytes out, no domain added here.

Rules all schemes share:

* `verify` answers True or False and nothing else. Whatever a library raises means
  False. What stops a process (MemoryError, RecursionError) and a missing library
  are no verdict about a signature and are raised.
* Lengths are checked before a library sees the bytes.
* A context longer than 255 bytes is invalid everywhere (FIPS 204 and 205, section 5.2
  and 10.2); Ed25519 of RFC 8032 has no context at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from qenex.errors import InvalidContext, InvalidSecretKey

MAX_CONTEXT_SIZE = 255
"""Bytes of the longest context."""

ED25519_GAS = 420
"""Gas of one Ed25519 verification. 1 gas is 100 ns of the reference core."""


class Scheme(ABC):
    """A signature scheme. Stateless; safe to share between threads."""

    name: str
    """Stable name, as people and files write it."""
    tag: int
    """The byte that names the scheme in keys, addresses and state."""
    seed_size: int
    """Bytes from which `generate` makes a key pair."""
    public_key_size: int
    secret_key_size: int
    signature_size: int
    verify_gas: int
    """Gas of one verification; see `ED25519_GAS`."""

    has_context: ClassVar[bool] = True

    @abstractmethod
    def generate(self, seed: bytes) -> tuple[bytes, bytes]:
        """Return `(public_key, secret_key)`, a function of `seed` alone.

        Raises InvalidSecretKey if the seed does not have `seed_size` bytes.
        """

    @abstractmethod
    def sign(self, secret_key: bytes, message: bytes, context: bytes = b"") -> bytes:
        """Return a signature of `signature_size` bytes.

        Raises InvalidSecretKey for a secret key of wrong length, InvalidContext for a
        context the scheme cannot take.
        """

    @abstractmethod
    def verify(self, public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        """Return whether `signature` is valid. Total on bytes of any length."""

    @abstractmethod
    def valid_public_key(self, public_key: bytes) -> bool:
        """Return whether the key may enter state or a handshake. Total on bytes."""

    @abstractmethod
    def public_key_of(self, secret_key: bytes) -> bytes:
        """Recompute the public key from the secret one.

        Raises InvalidSecretKey for a wrong length, or where a public part stored
        inside the secret key does not belong to it.
        """

    @abstractmethod
    def load(self) -> None:
        """Import the library behind the scheme now instead of at first use.

        Raises ImportError if it is not installed.
        """

    def __repr__(self) -> str:
        return f"<Scheme {self.name}>"

    def _check_seed(self, seed: bytes) -> None:
        if len(seed) != self.seed_size:
            raise InvalidSecretKey(f"a seed of {self.name} has {self.seed_size} bytes, not {len(seed)}")

    def _check_secret_key(self, secret_key: bytes) -> None:
        if len(secret_key) != self.secret_key_size:
            raise InvalidSecretKey(
                f"a secret key of {self.name} has {self.secret_key_size} bytes, not {len(secret_key)}"
            )

    def _check_context(self, context: bytes) -> None:
        if context and not self.has_context:
            raise InvalidContext(f"{self.name} has no context")
        if len(context) > MAX_CONTEXT_SIZE:
            raise InvalidContext(f"a context has at most {MAX_CONTEXT_SIZE} bytes, not {len(context)}")
