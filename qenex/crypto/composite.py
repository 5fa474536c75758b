"""Composite ML-DSA-44 + Ed25519: `id-MLDSA44-Ed25519-SHA512` of the IETF LAMPS working group.

Follows draft-ietf-lamps-pq-composite-sigs in the form of January 2026 (OID
1.3.6.1.5.5.7.6.39, its test vectors of that month verify here with and without context;
earlier revisions, which mixed a randomizer in, differ). Both halves sign

    M' = Prefix || Label || len(ctx) || ctx || SHA-512(M)

and the ML-DSA half takes the label as its FIPS 204 context. Keys and signatures are
plain concatenations, ML-DSA first: public key 1312 + 32, secret key the two 32-byte
seeds, signature 2420 + 64 bytes.

Both halves must verify. A caller learns only "invalid", never which half. Component
keys are used nowhere else: a component key of a composite must not sign alone.
"""

from __future__ import annotations

from hashlib import sha512

from qenex.crypto import ed25519
from qenex.crypto.ml_dsa import MlDsa
from qenex.crypto.scheme import MAX_CONTEXT_SIZE, Scheme

PREFIX = b"CompositeAlgorithmSignatures2025"
LABEL = b"COMPSIG-MLDSA44-Ed25519-SHA512"

_HEAD = PREFIX + LABEL


def message_representative(message: bytes, context: bytes = b"") -> bytes:
    """Return M' of the draft. `context` has at most 255 bytes."""
    return _HEAD + bytes([len(context)]) + context + sha512(message).digest()


class CompositeMlDsa44Ed25519(Scheme):
    """Secret key and seed are the same 64 bytes: ML-DSA seed + Ed25519 seed."""

    name = "composite-mldsa44-ed25519"
    tag = 0x11
    seed_size = 64
    secret_key_size = 64
    verify_gas = 3 * 420

    def __init__(self, ml_dsa: MlDsa, ed: ed25519.Ed25519) -> None:
        self._ml_dsa = ml_dsa
        self._ed25519 = ed
        self.public_key_size = ml_dsa.public_key_size + ed.public_key_size
        self.signature_size = ml_dsa.signature_size + ed.signature_size
        self._key_split = ml_dsa.public_key_size
        self._signature_split = ml_dsa.signature_size

    def load(self) -> None:
        self._ml_dsa.load()
        self._ed25519.load()

    def generate(self, seed: bytes) -> tuple[bytes, bytes]:
        self._check_seed(seed)
        seed = bytes(seed)
        return self._ml_dsa.generate(seed[:32])[0] + self._ed25519.generate(seed[32:])[0], seed

    def sign(self, secret_key: bytes, message: bytes, context: bytes = b"") -> bytes:
        self._check_secret_key(secret_key)
        self._check_context(context)
        signed = message_representative(message, context)
        _, ed25519_secret = self._ed25519.generate(secret_key[32:])
        return self._ml_dsa.sign(secret_key[:32], signed, LABEL) + self._ed25519.sign(ed25519_secret, signed)

    def verify(self, public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        try:
            if (
                len(signature) != self.signature_size
                or len(public_key) != self.public_key_size
                or len(context) > MAX_CONTEXT_SIZE
            ):
                return False
            signed = message_representative(message, context)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # whatever a library says to hostile bytes, it means "invalid"
            return False
        # The cheap half first, so that garbage costs a third.
        return ed25519.verify(
            public_key[self._key_split :], signed, signature[self._signature_split :]
        ) and self._ml_dsa.verify(
            public_key[: self._key_split], signed, signature[: self._signature_split], LABEL
        )

    def valid_public_key(self, public_key: bytes) -> bool:
        """Return whether both halves are keys that their own schemes accept."""
        return (
            len(public_key) == self.public_key_size
            and self._ml_dsa.valid_public_key(public_key[: self._key_split])
            and self._ed25519.valid_public_key(public_key[self._key_split :])
        )

    def public_key_of(self, secret_key: bytes) -> bytes:
        self._check_secret_key(secret_key)
        return self.generate(secret_key)[0]
