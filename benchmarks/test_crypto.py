"""Signing, verifying and key generation of every scheme, and the small functions around them.

Run: `python -m pytest benchmarks/test_crypto.py`. Verification of Ed25519 is the hottest
function of the whole system: 39 us on the reference core, all but 0.5 us in libsodium.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from qenex.crypto import SCHEMES, address_of, decode_address, encode_address
from qenex.crypto.derivation import derive_seed

NAMES = tuple(SCHEMES)
MESSAGE = bytes(range(200))
"""As long as the body of a transfer."""


@pytest.mark.parametrize("name", NAMES)
def test_verify(benchmark: BenchmarkFixture, name: str) -> None:
    scheme = SCHEMES[name]
    public_key, secret_key = scheme.generate(bytes(scheme.seed_size))
    signature = scheme.sign(secret_key, MESSAGE)
    assert benchmark(scheme.verify, public_key, MESSAGE, signature)


@pytest.mark.parametrize("name", NAMES)
def test_sign(benchmark: BenchmarkFixture, name: str) -> None:
    scheme = SCHEMES[name]
    _, secret_key = scheme.generate(bytes(scheme.seed_size))
    benchmark(scheme.sign, secret_key, MESSAGE)


@pytest.mark.parametrize("name", NAMES)
def test_generate(benchmark: BenchmarkFixture, name: str) -> None:
    scheme = SCHEMES[name]
    benchmark(scheme.generate, bytes(scheme.seed_size))


@pytest.mark.parametrize("name", NAMES)
def test_valid_public_key(benchmark: BenchmarkFixture, name: str) -> None:
    scheme = SCHEMES[name]
    public_key, _ = scheme.generate(bytes(scheme.seed_size))
    assert benchmark(scheme.valid_public_key, public_key)


def test_address_of(benchmark: BenchmarkFixture) -> None:
    benchmark(address_of, 1, bytes(32))


def test_encode_address(benchmark: BenchmarkFixture) -> None:
    benchmark(encode_address, bytes(32))


def test_decode_address(benchmark: BenchmarkFixture) -> None:
    benchmark(decode_address, encode_address(bytes(32)))


def test_derive_seed(benchmark: BenchmarkFixture) -> None:
    benchmark(derive_seed, bytes(64), "ed25519")
