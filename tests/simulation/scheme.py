"""The signatures of simulated chains: cheap, deterministic, and forgeable by whoever reads this file.

Real nodes refuse them twice over: no genesis may name a chain that begins with `sim-`, and the tag is no
scheme's. Two signatures of one message differ, as those of ML-DSA do, by a counter inside: what takes a
signature's bytes for a vote's identity, or signs again where it should repeat itself, is caught.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from qenex.block import (
    SignedProposal,
    SignedVote,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from qenex.crypto import SCHEMES, SCHEMES_BY_TAG

CHAIN: Final = "sim-1"
TAG: Final = 0xF0
PUBLIC_SIZE: Final = 32


class Key(NamedTuple):
    """One validator's key: `public` is tag + public key; `sign` makes a new signature each time."""

    number: int
    address: bytes
    public: bytes
    sign: Callable[[bytes], bytes]


def _tag_of(key: bytes, counter: bytes, message: bytes) -> bytes:
    return counter + blake2b(counter + message, digest_size=16, key=key, person=b"sim.signature").digest()


class Counter:
    """Makes signatures; each has the next number inside."""

    def __init__(self, public: bytes) -> None:
        self._public = public
        self._made = 0

    def sign(self, message: bytes) -> bytes:
        """4 bytes of the counter, 16 of the keyed hash."""
        self._made += 1
        return _tag_of(self._public[1:], self._made.to_bytes(4, "big"), message)


def make_key(number: int, *, real: bool = False) -> Key:
    """The key of the validator with this number; `real`: of the scheme that real validators use."""
    address = blake2b(number.to_bytes(8, "big"), digest_size=32, person=b"sim.address").digest()
    if real:
        scheme = SCHEMES["composite-mldsa44-ed25519"]
        public, secret = scheme.generate((address * 4)[: scheme.seed_size])
        return Key(
            number, address, bytes((scheme.tag,)) + public, lambda message: scheme.sign(secret, message)
        )
    body = blake2b(number.to_bytes(8, "big"), digest_size=PUBLIC_SIZE, person=b"sim.key").digest()
    public = bytes((TAG,)) + body
    return Key(number, address, public, Counter(public).sign)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the key signed the message."""
    if public[0] == TAG:
        return _tag_of(public[1:], signature[:4], message) == signature
    return SCHEMES_BY_TAG[public[0]].verify(public[1:], message, signature)


class Verifier:
    """Remembers what it has verified: the same message comes to each node, and some times."""

    LIMIT: Final = 20_000

    def __init__(self, chain_id: str = CHAIN) -> None:
        self.chain_id = chain_id
        self._known: dict[tuple[bytes, SignedVote | SignedProposal], bool] = {}

    def single(self, public: bytes, message: SignedVote | SignedProposal) -> bool:
        """Whether the signature of a vote or proposal is that of this key."""
        known = self._known.get((public, message))
        if known is None:
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            known = self._known[public, message] = verify(public, self.sign_bytes(message), message.signature)
        return known

    def sign_bytes(self, message: SignedVote | SignedProposal) -> bytes:
        """What is signed of it."""
        if isinstance(message, SignedVote):
            return vote_sign_bytes(
                self.chain_id, message.type, message.height, message.round, message.block_hash
            )
        return proposal_sign_bytes(
            self.chain_id, message.height, message.round, message.pol_round, message.block_hash
        )
