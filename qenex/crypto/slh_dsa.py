"""SLH-DSA-SHA2-128s (FIPS 205), pure mode: signing and verifying by pqcrypto.

pqcrypto makes keys from the system's randomness only. One phrase must restore every
key, so key generation from a seed (FIPS 205 algorithm 18) is here, with hashlib: the
root of the topmost XMSS tree, 512 one-time keys of 35 hash chains, some 290,000
SHA-256 calls. It runs once per key.

Parameters (FIPS 205 table 2): n = 16, h = 63, d = 7, h' = 9, a = 12, k = 14, lg_w = 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import ModuleType

from qenex.crypto.scheme import MAX_CONTEXT_SIZE, Scheme
from qenex.errors import InvalidSecretKey

_N = 16
_TREE_HEIGHT = 9
_TOP_LAYER = 6
_CHAINS = 35
"""2n hexadecimal digits of a message and three of its checksum."""
_CHAIN_STEPS = 15

# Address types, FIPS 205 table 1.
_WOTS_HASH, _WOTS_PK, _TREE, _WOTS_PRF = 0, 1, 2, 5

PUBLIC_KEY_SIZE = 2 * _N
SECRET_KEY_SIZE = 4 * _N
SIGNATURE_SIZE = 7856
SEED_SIZE = 3 * _N


def _address(kind: int) -> bytes:
    """Return the constant head of a compressed address: layer, tree 0, type (section 11.2)."""
    return bytes([_TOP_LAYER]) + bytes(8) + bytes([kind])


def _keyed_hash(public_seed: bytes) -> Callable[[bytes], bytes]:
    """Return F = H = T = PRF of section 11.2.1: `Trunc_n(SHA-256(PK.seed || 0^48 || ...))`.

    The padded seed fills one block exactly, so its state is computed once and copied.
    """
    copy = hashlib.sha256(public_seed + bytes(64 - _N)).copy

    def digest(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        return state.digest()[:_N]

    return digest


def _wots_public_key(secret_seed: bytes, pair: int, digest: Callable[[bytes], bytes]) -> bytes:
    """FIPS 205 algorithm 6, wots_pkGen, for key pair `pair` of the topmost tree."""
    pair_bytes = pair.to_bytes(4, "big")
    prf_head = _address(_WOTS_PRF) + pair_bytes
    hash_head = _address(_WOTS_HASH) + pair_bytes
    steps = [step.to_bytes(4, "big") for step in range(_CHAIN_STEPS)]
    ends = []
    for chain in range(_CHAINS):
        chain_bytes = chain.to_bytes(4, "big")
        value = digest(prf_head + chain_bytes + bytes(4) + secret_seed)
        head = hash_head + chain_bytes
        for step in steps:
            value = digest(head + step + value)
        ends.append(value)
    return digest(_address(_WOTS_PK) + pair_bytes + bytes(8) + b"".join(ends))


def top_root(secret_seed: bytes, public_seed: bytes) -> bytes:
    """Return PK.root: FIPS 205 algorithm 9, xmss_node(SK.seed, 0, h'), iteratively."""
    digest = _keyed_hash(public_seed)
    level = [_wots_public_key(secret_seed, pair, digest) for pair in range(1 << _TREE_HEIGHT)]
    for height in range(1, _TREE_HEIGHT + 1):
        head = _address(_TREE) + bytes(4) + height.to_bytes(4, "big")
        level = [
            digest(head + index.to_bytes(4, "big") + level[2 * index] + level[2 * index + 1])
            for index in range(len(level) // 2)
        ]
    return level[0]


class SlhDsaSha2128s(Scheme):
    """Seed: SK.seed + SK.prf + PK.seed. Secret key: those and PK.root, as FIPS 205 stores it."""

    name = "slh-dsa-sha2-128s"
    tag = 0x04
    seed_size = SEED_SIZE
    public_key_size = PUBLIC_KEY_SIZE
    secret_key_size = SECRET_KEY_SIZE
    signature_size = SIGNATURE_SIZE
    verify_gas = 6 * 420

    def __init__(self) -> None:
        self._library: ModuleType | None = None

    def load(self) -> None:
        # pqcrypto makes its submodules when the package is imported.
        import pqcrypto.sign

        self._library = pqcrypto.sign.slh_dsa_sha2_128s

    def _loaded(self) -> ModuleType:
        if self._library is None:
            self.load()
        assert self._library is not None
        return self._library

    def generate(self, seed: bytes) -> tuple[bytes, bytes]:
        """Return the key pair; takes about 0.12 s."""
        self._check_seed(seed)
        seed = bytes(seed)
        public_key = seed[2 * _N :] + top_root(seed[:_N], seed[2 * _N :])
        return public_key, seed[: 2 * _N] + public_key

    def sign(self, secret_key: bytes, message: bytes, context: bytes = b"") -> bytes:
        """Return a randomised signature; takes about 0.2 s and holds the GIL."""
        self._check_secret_key(secret_key)
        self._check_context(context)
        return bytes(self._loaded().sign(bytes(secret_key), bytes(message), bytes(context)))

    def verify(self, public_key: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        try:
            if (
                len(signature) != SIGNATURE_SIZE
                or len(public_key) != PUBLIC_KEY_SIZE
                or len(context) > MAX_CONTEXT_SIZE
            ):
                return False
            self._loaded().verify(public_key, message, signature, context)
        except (MemoryError, RecursionError, ImportError):
            raise
        except Exception:  # whatever a library says to hostile bytes, it means "invalid"
            return False
        return True

    def valid_public_key(self, public_key: bytes) -> bool:
        """Return whether the key has its length: every 32 bytes are a key."""
        return len(public_key) == PUBLIC_KEY_SIZE

    def public_key_of(self, secret_key: bytes) -> bytes:
        """Recompute the root (about 0.12 s)."""
        self._check_secret_key(secret_key)
        public_key, _ = self.generate(secret_key[:SEED_SIZE])
        if public_key != secret_key[2 * _N :]:
            raise InvalidSecretKey("the public part of this SLH-DSA secret key does not belong to it")
        return public_key
