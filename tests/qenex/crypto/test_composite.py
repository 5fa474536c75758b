"""The composite of ML-DSA-44 and Ed25519: the IETF draft's vector, and both halves needed."""

from __future__ import annotations

import base64
import hashlib

import pytest

from qenex.crypto import SCHEMES
from qenex.crypto.composite import LABEL, PREFIX, message_representative
from qenex.crypto.self_test import vectors
from tests.qenex.crypto.support import load, pair, signed

COMPOSITE = SCHEMES["composite-mldsa44-ed25519"]
ML_DSA, ED25519 = SCHEMES["ml-dsa-44"], SCHEMES["ed25519"]


def test_the_vector_of_the_draft_verifies() -> None:
    (answer,) = (a for a in vectors()["known_answers"] if a["scheme"] == COMPOSITE.name)
    public_key, secret_key = COMPOSITE.generate(bytes.fromhex(answer["seed"]))
    encoded = base64.b64encode(public_key).decode()
    # Both ends of the published 1,792 characters; the key is a function of the seed.
    assert encoded.startswith("FlplaQIgVuYEA04nN9VXyMWK4XDhRhnaGaWO6FqoCtiDr5rL89omEFSIf811X")
    assert encoded.endswith("mQKojolj5EQlQIYptCzHjq0kVVout5a")
    assert secret_key.hex() == answer["seed"]
    signature = base64.b64decode(answer["signature"])
    assert COMPOSITE.verify(public_key, bytes.fromhex(answer["message"]), signature)


def test_the_vector_of_the_draft_with_a_context_verifies() -> None:
    case = load("composite.json")
    public_key, _ = COMPOSITE.generate(bytes.fromhex(case["seed"]))
    message, context = bytes.fromhex(case["message"]), bytes.fromhex(case["context"])
    signature = base64.b64decode(case["signature"])
    assert COMPOSITE.verify(public_key, message, signature, context)
    assert not COMPOSITE.verify(public_key, message, signature)


def test_the_message_representative_has_the_form_of_the_draft() -> None:
    """The draft's example: M = 00..09, ctx = 0813061205162623 (there with another label)."""
    message, context = bytes(range(10)), bytes.fromhex("0813061205162623")
    digest = bytes.fromhex(
        "0f89ee1fcb7b0a4f7809d1267a029719004c5a5e5ec323a7c3523a20974f9a3f"
        "202f56fadba4cd9e8d654ab9f2e96dc5c795ea176fa20ede8d854c342f903533"
    )
    assert hashlib.sha512(message).digest() == digest
    assert message_representative(message, context) == PREFIX + LABEL + b"\x08" + context + digest
    assert PREFIX.hex() == "436f6d706f73697465416c676f726974686d5369676e61747572657332303235"


def test_both_halves_sign_the_representative_and_ml_dsa_under_the_label() -> None:
    _, public_key, _ = pair(COMPOSITE.name)
    message, signature = signed(COMPOSITE.name)
    representative = message_representative(message)
    assert ML_DSA.verify(public_key[:1312], representative, signature[:2420], LABEL)
    assert ED25519.verify(public_key[1312:], representative, signature[2420:])


@pytest.mark.parametrize("half", [slice(0, 2420), slice(2420, 2484)])
def test_either_half_alone_is_not_enough(half: slice) -> None:
    scheme, public_key, secret_key = pair(COMPOSITE.name)
    message, signature = signed(COMPOSITE.name)
    other = bytearray(signature)
    other[half] = scheme.sign(secret_key, b"another message")[half]
    assert not scheme.verify(public_key, message, bytes(other))


def test_halves_of_two_signatures_by_one_key_may_be_mixed_only_for_one_message() -> None:
    scheme, public_key, secret_key = pair(COMPOSITE.name)
    message, signature = signed(COMPOSITE.name)
    again = scheme.sign(secret_key, message)
    assert scheme.verify(public_key, message, again[:2420] + signature[2420:])


def test_a_weak_half_makes_the_whole_key_invalid() -> None:
    scheme, public_key, _ = pair(COMPOSITE.name)
    assert scheme.valid_public_key(public_key)
    assert not scheme.valid_public_key(public_key[:32] + bytes(1280) + public_key[1312:])
    assert not scheme.valid_public_key(public_key[:1312] + b"\1" + bytes(31))


def test_signatures_of_component_schemes_are_no_composite_halves() -> None:
    """A component signature over the bare message does not verify as a half."""
    scheme, public_key, secret_key = pair(COMPOSITE.name)
    message, signature = signed(COMPOSITE.name)
    bare = ML_DSA.sign(secret_key[:32], message)
    assert not scheme.verify(public_key, message, bare + signature[2420:])
