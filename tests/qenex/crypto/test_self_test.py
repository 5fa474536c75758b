"""The self-test passes with these libraries and fails with a verifier that judges otherwise."""

from __future__ import annotations

import time

import pytest

from qenex.crypto import ed25519, self_test
from qenex.crypto.schemes import ED25519, ML_DSA_44
from qenex.errors import SelfTestFailed


def test_it_passes_in_a_moment() -> None:
    start = time.perf_counter()
    self_test.run()
    assert time.perf_counter() - start < 3, "0.2 s on an idle machine"


def test_there_is_a_known_answer_for_every_scheme() -> None:
    from qenex.crypto import SCHEMES

    assert [answer["scheme"] for answer in self_test.vectors()["known_answers"]] == list(SCHEMES)


def test_it_refuses_the_lenient_ed25519_of_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL's verifier accepts edge signatures that libsodium refuses: the very mix-up to be noticed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    def lenient(signed: bytes, public_key: bytes) -> bytes:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed[:64], signed[64:])
        return signed[64:]

    monkeypatch.setattr(ed25519, "_open", lenient)
    with pytest.raises(SelfTestFailed, match="edge case"):
        self_test.run(["ed25519"])


def test_it_refuses_a_verifier_that_accepts_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(ML_DSA_44), "verify", lambda *_: True)
    with pytest.raises(SelfTestFailed, match="changed signature"):
        self_test.run(["ml-dsa-44"])


def test_it_refuses_a_scheme_that_generates_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ED25519.generate(bytes(32))
    monkeypatch.setattr(type(ED25519), "generate", lambda *_: other)
    with pytest.raises(SelfTestFailed, match="another public key"):
        self_test.run(["ed25519"])


def test_it_refuses_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("no such library")

    monkeypatch.setattr(type(ML_DSA_44), "load", missing)
    with pytest.raises(SelfTestFailed, match="missing"):
        self_test.run(["ml-dsa-44"])
