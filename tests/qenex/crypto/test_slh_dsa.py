"""SLH-DSA-SHA2-128s (FIPS 205): our key generation against NIST's, pqcrypto against another implementation."""

from __future__ import annotations

import base64

import pytest

from qenex.crypto import SCHEMES
from qenex.crypto.self_test import vectors
from qenex.errors import InvalidSecretKey
from tests.qenex.crypto.support import load, pair

SLH_DSA = SCHEMES["slh-dsa-sha2-128s"]


@pytest.mark.parametrize("case", load("slh_dsa.json")["cases"])
def test_key_generation_of_nist_acvp(case: dict[str, str]) -> None:
    public_key, secret_key = SLH_DSA.generate(bytes.fromhex(case["seed"]))
    assert public_key.hex() == case["public_key"]
    assert secret_key.hex() == case["seed"][:64] + case["public_key"]


def test_a_signature_of_an_independent_implementation_verifies() -> None:
    (answer,) = (a for a in vectors()["known_answers"] if a["scheme"] == SLH_DSA.name)
    public_key, _ = SLH_DSA.generate(bytes.fromhex(answer["seed"]))
    message, context = bytes.fromhex(answer["message"]), bytes.fromhex(answer["context"])
    signature = base64.b64decode(answer["signature"])
    assert SLH_DSA.verify(public_key, message, signature, context)
    assert not SLH_DSA.verify(public_key, message, signature)


def test_pqcrypto_verifies_what_it_signs_with_a_key_made_here() -> None:
    _, public_key, secret_key = pair(SLH_DSA.name)
    assert SLH_DSA.verify(public_key, b"m", SLH_DSA.sign(secret_key, b"m"))


def test_a_key_made_by_pqcrypto_has_the_root_computed_here() -> None:
    from pqcrypto.sign import slh_dsa_sha2_128s

    public_key, secret_key = slh_dsa_sha2_128s.keygen()
    assert SLH_DSA.public_key_of(secret_key) == public_key


def test_a_secret_key_with_a_foreign_root_is_refused() -> None:
    _, _, secret_key = pair(SLH_DSA.name)
    with pytest.raises(InvalidSecretKey):
        SLH_DSA.public_key_of(secret_key[:-1] + bytes((secret_key[-1] ^ 1,)))
