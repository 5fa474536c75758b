"""Derivation: SLIP-0010 for Ed25519, and our published vectors for all schemes.

`python -m tests.qenex.crypto.test_derivation` writes tests/vectors/derivation.json anew.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import SCHEMES, mnemonic
from qenex.crypto.address import address_of, encode_address
from qenex.crypto.derivation import Path, Role, derive, derive_seed, node, parse_path
from qenex.errors import InvalidDerivationPath, InvalidSecretKey, UnknownScheme
from tests.qenex.crypto.support import NAMES, VECTORS, load

SEED = bytes(range(64))


@pytest.mark.parametrize("case", load("slip0010.json")["cases"])
def test_vectors_of_slip_0010(case: dict[str, Any]) -> None:
    found = node(bytes.fromhex(case["seed"]), b"ed25519 seed", case["indexes"])
    assert (found.key.hex(), found.chain_code.hex()) == (case["private"], case["chain_code"])
    assert SCHEMES["ed25519"].generate(found.key)[0].hex() == case["public"]


def make_vectors() -> dict[str, Any]:
    """Compute the published vectors from the phrase alone."""
    phrase = mnemonic.from_entropy(bytes(range(32)))
    seed = mnemonic.to_seed(phrase)
    places = [(0, Role.SPEND, 0), (0, Role.SPEND, 1), (3, Role.CONSENSUS, 0), (0, Role.OPERATOR, 2**31 - 1)]
    cases = []
    for name, scheme in SCHEMES.items():
        for account, role, index in places:
            path = Path(account, role, index)
            public_key, _ = derive(seed, name, account, role, index)
            cases.append(
                {
                    "scheme": name,
                    "path": str(path),
                    "scheme_seed": derive_seed(seed, name, path).hex(),
                    "public_key_sha256": hashlib.sha256(public_key).hexdigest(),
                    "address": encode_address(address_of(scheme.tag, public_key)),
                }
            )
    return {
        "description": "QENEX key derivation, see qenex/crypto/derivation.py; no passphrase",
        "mnemonic": phrase,
        "seed": seed.hex(),
        "cases": cases,
    }


def test_our_published_vectors_hold() -> None:
    assert make_vectors() == load("derivation.json")


def test_schemes_accounts_roles_and_indexes_never_share_a_seed() -> None:
    seeds = [
        derive_seed(SEED, name, Path(account, role, index))
        for name in NAMES
        for account in (0, 1)
        for role in Role
        for index in (0, 1)
    ]
    heads = {seed[:32] for seed in seeds} | {seed[32:] for seed in seeds if len(seed) == 64}
    composites = sum(len(seed) == 64 for seed in seeds)
    assert len(heads) == len(seeds) + composites


def test_a_phrase_restores_a_key_that_signs() -> None:
    for name in ("ed25519", "composite-mldsa44-ed25519"):
        public_key, secret_key = derive(SEED, name, role=Role.CONSENSUS)
        scheme = SCHEMES[name]
        assert scheme.verify(public_key, b"m", scheme.sign(secret_key, b"m"))
        assert derive(SEED, name, role=Role.CONSENSUS) == (public_key, secret_key)


@given(st.integers(0, 2**31 - 1), st.sampled_from(Role), st.integers(0, 2**31 - 1))
def test_every_path_comes_back_from_its_text(account: int, role: Role, index: int) -> None:
    path = Path(account, role, index)
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m/44'/20824'/0'/0'",
        "m/44'/20824'/0'/0'/0",
        "m/44'/60'/0'/0'/0'",
        "m/44'/20824'/0'/4'/0'",
        "m/44'/20824'/2147483648'/0'/0'",
        "m/44'/20824'/00'/0'/0'",
        "m/44'/20824'/0'/0'/0'\n",
        "m/44'/20824'/-1'/0'/0'",
        "m/44'/20824'/٣'/0'/0'",
        "x" * 100_000,
    ],
)
def test_other_paths_are_refused(text: str) -> None:
    with pytest.raises(InvalidDerivationPath):
        parse_path(text)


def test_bad_places_seeds_and_schemes_are_typed_errors() -> None:
    for place in ({"account": -1}, {"index": 2**31}, {"role": 4}, {"role": -1}):
        with pytest.raises(InvalidDerivationPath):
            derive(SEED, "ed25519", **place)
    for size in (0, 15, 65):
        with pytest.raises(InvalidSecretKey):
            derive(bytes(size), "ed25519")
    with pytest.raises(UnknownScheme):
        derive(SEED, "secp256k1")


if __name__ == "__main__":
    text = json.dumps(make_vectors(), indent=1) + "\n"
    (VECTORS / "derivation.json").write_text(text, "utf-8")
