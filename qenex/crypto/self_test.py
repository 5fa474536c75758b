"""Start-up self-test: refuse to join a network with cryptography that behaves otherwise.

Which signatures are valid is consensus. A different build of a library, or a broken
one, would make a node disagree about single blocks; it is better that it never starts.
The vectors lie in `self_test_vectors.json`, each with its source.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TypedDict

from qenex.crypto.ml_dsa import MlDsa
from qenex.crypto.scheme import Scheme
from qenex.crypto.schemes import ED25519, SCHEMES, scheme_by_name
from qenex.errors import SelfTestFailed

# Points that must not become keys: order 1, 2, 4 and 8, and a non-canonical encoding.
_WEAK_ED25519_KEYS = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


class Edge(TypedDict):
    """An Ed25519 edge case, hex."""

    note: str
    message: str
    public_key: str
    signature: str
    valid: bool


class KnownAnswer(TypedDict):
    """One key and one signature of a scheme: hex, but the signature in base64."""

    scheme: str
    source: str
    seed: str
    public_key_sha256: str
    message: str
    context: str
    signature: str


class Vectors(TypedDict):
    """The vector file."""

    ed25519_edges_source: str
    ed25519_edges: list[Edge]
    known_answers: list[KnownAnswer]


@cache
def vectors() -> Vectors:
    """Return the vectors that are shipped with the package."""
    text = Path(__file__).with_name("self_test_vectors.json").read_text("utf-8")
    loaded: Vectors = json.loads(text)
    return loaded


def run(schemes: Iterable[str] = tuple(SCHEMES)) -> None:
    """Check each scheme against its known answer and Ed25519 against its edge cases.

    Takes about 0.2 s, most of it one SLH-DSA key generation. Raises SelfTestFailed
    naming the check, also when the library of a scheme is missing.
    """
    for name in schemes:
        scheme = scheme_by_name(name)
        try:
            scheme.load()
        except ImportError as error:
            raise SelfTestFailed(f"{name}: its library is missing ({error})") from None
        if scheme is ED25519:
            _check_ed25519_edges()
        if isinstance(scheme, MlDsa):
            weak = bytes(range(32)) + bytes(scheme.public_key_size - 32)
            _require(not scheme.valid_public_key(weak), f"{name} accepts a public key with t1 = 0")
        for answer in vectors()["known_answers"]:
            if answer["scheme"] == name:
                _check_known_answer(scheme, answer)


def _check_ed25519_edges() -> None:
    for edge in vectors()["ed25519_edges"]:
        public_key, message, signature = (
            bytes.fromhex(text) for text in (edge["public_key"], edge["message"], edge["signature"])
        )
        verdict = ED25519.verify(public_key, message, signature)
        _require(verdict == edge["valid"], f"Ed25519 edge case: {edge['note']}")
    for weak in _WEAK_ED25519_KEYS:
        _require(not ED25519.valid_public_key(bytes.fromhex(weak)), f"Ed25519 accepts the weak key {weak}")


def _check_known_answer(scheme: Scheme, answer: KnownAnswer) -> None:
    public_key, _ = scheme.generate(bytes.fromhex(answer["seed"]))
    digest = hashlib.sha256(public_key).hexdigest()
    _require(digest == answer["public_key_sha256"], f"{scheme.name} generates another public key")
    _require(scheme.valid_public_key(public_key), f"{scheme.name} refuses a sound public key")
    message, context = bytes.fromhex(answer["message"]), bytes.fromhex(answer["context"])
    signature = base64.b64decode(answer["signature"])
    _require(
        scheme.verify(public_key, message, signature, context),
        f"{scheme.name} refuses a valid signature",
    )
    changed = signature[:-1] + bytes((signature[-1] ^ 1,))
    _require(
        not scheme.verify(public_key, message, changed, context),
        f"{scheme.name} accepts a changed signature",
    )
    _require(
        not scheme.verify(public_key, message + b"\0", signature, context),
        f"{scheme.name} accepts a changed message",
    )
    # The length rule of Ed25519: bytes must not move from message to signature.
    _require(
        not scheme.verify(public_key, message[1:], signature + message[:1], context),
        f"{scheme.name} accepts a signature of wrong length",
    )


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise SelfTestFailed(what)
