"""ML-DSA-44 and ML-DSA-65 (FIPS 204): known answers, and the key that lets anyone sign."""

from __future__ import annotations

import hashlib

import pytest

from qenex.crypto import SCHEMES
from tests.qenex.crypto.support import load, pair


@pytest.mark.parametrize("case", load("ml_dsa.json")["cases"])
def test_known_answers_of_fips_204(case: dict[str, str]) -> None:
    scheme = SCHEMES[case["scheme"]]
    public_key, secret_key = scheme.generate(bytes.fromhex(case["seed"]))
    assert secret_key.hex() == case["seed"]
    assert hashlib.sha256(public_key).hexdigest() == case["public_key_sha256"]
    if case["public_key"] is not None:
        assert public_key.hex() == case["public_key"]
    message, context = bytes.fromhex(case["message"]), bytes.fromhex(case["context"])
    assert scheme.verify(public_key, message, bytes.fromhex(case["signature"]), context)
    assert not scheme.verify(public_key, message, bytes.fromhex(case["signature"]))


@pytest.mark.parametrize("name", ["ml-dsa-44", "ml-dsa-65"])
def test_a_key_with_t1_zero_is_refused(name: str) -> None:
    scheme, public_key, _ = pair(name)
    size = scheme.public_key_size
    assert not scheme.valid_public_key(public_key[:32] + bytes(size - 32))
    assert not scheme.valid_public_key(bytes(size))
    # One coefficient other than zero is enough to be a key.
    assert scheme.valid_public_key(public_key[:32] + bytes(size - 33) + b"\1")
    assert scheme.valid_public_key(bytes(32) + public_key[32:])


@pytest.mark.parametrize("name", ["ml-dsa-44", "ml-dsa-65"])
def test_parameter_sets_do_not_take_each_others_keys(name: str) -> None:
    scheme, _, _ = pair(name)
    _, other_key, _ = pair("ml-dsa-65" if name == "ml-dsa-44" else "ml-dsa-44")
    assert not scheme.valid_public_key(other_key)
    assert not scheme.verify(other_key, b"", bytes(scheme.signature_size))
