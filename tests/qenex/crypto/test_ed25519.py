"""Ed25519: published vectors, edge cases, weak keys. Which signatures are valid is consensus."""

from __future__ import annotations

import pytest

from qenex.crypto import SCHEMES
from qenex.crypto.self_test import Edge, vectors
from qenex.errors import InvalidContext, InvalidSecretKey
from tests.qenex.crypto.support import load, pair

ED25519 = SCHEMES["ed25519"]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("case", load("ed25519.json")["cases"])
def test_rfc_8032_and_reference_vectors(case: dict[str, str]) -> None:
    public_key, secret_key = ED25519.generate(bytes.fromhex(case["seed"]))
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert public_key.hex() == case["public_key"]
    assert secret_key.hex() == case["seed"] + case["public_key"]
    assert ED25519.sign(secret_key, message) == signature
    assert ED25519.verify(public_key, message, signature)


@pytest.mark.parametrize("edge", vectors()["ed25519_edges"], ids=lambda edge: edge["note"])
def test_taming_the_many_eddsas(edge: Edge) -> None:
    """Only the mixed-order case that holds without the cofactor is valid, as in `verify_strict` of dalek."""
    parts = [bytes.fromhex(text) for text in (edge["public_key"], edge["message"], edge["signature"])]
    assert ED25519.verify(*parts) is edge["valid"]


def test_s_plus_the_group_order_is_refused() -> None:
    _, public_key, secret_key = pair("ed25519")
    signature = ED25519.sign(secret_key, b"m")
    s = int.from_bytes(signature[32:], "little") + ORDER
    assert not ED25519.verify(public_key, b"m", signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "weak",
    [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ],
)
def test_the_eight_points_of_small_order_are_no_keys(weak: str) -> None:
    key = bytes.fromhex(weak)
    assert not ED25519.valid_public_key(key)
    # S = 0, R = identity: the forgery such a key allows where it is not refused.
    assert not ED25519.verify(key, b"any message", b"\1" + bytes(63))


@pytest.mark.parametrize(
    "key",
    [
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p + 1
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",  # mixed order
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",  # mixed order
        "0200000000000000000000000000000000000000000000000000000000000000",  # not on the curve
    ],
)
def test_only_canonical_points_of_prime_order_are_keys(key: str) -> None:
    assert not ED25519.valid_public_key(bytes.fromhex(key))


def test_ed25519_has_no_context() -> None:
    _, public_key, secret_key = pair("ed25519")
    signature = ED25519.sign(secret_key, b"m")
    assert not ED25519.verify(public_key, b"m", signature, b"c")
    with pytest.raises(InvalidContext):
        ED25519.sign(secret_key, b"m", b"c")


def test_a_secret_key_with_a_foreign_public_half_is_refused() -> None:
    _, _, secret_key = pair("ed25519")
    foreign = ED25519.generate(bytes(32))[0]
    with pytest.raises(InvalidSecretKey):
        ED25519.public_key_of(secret_key[:32] + foreign)
