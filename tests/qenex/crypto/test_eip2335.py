"""EIP-2335: the standard's own files, our exchange with it, bounded costs."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import Keyring, eip2335
from qenex.crypto.keystore_file import CHEAP_KDF
from qenex.errors import (
    KeystoreCorrupt,
    KeystoreUnsupported,
    PasswordRequired,
    QenexError,
    WrongPassword,
)
from tests.qenex.crypto.support import load, pair

PUBLISHED = load("eip2335.json")
CHEAP = json.loads(eip2335.encrypt(bytes(range(32)), b"", "pw", scheme="ed25519", scrypt_n=16))


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path, kdf=CHEAP_KDF)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("case", PUBLISHED["cases"], ids=["scrypt", "pbkdf2"])
def test_the_files_of_the_standard_open(case: dict[str, Any]) -> None:
    found = eip2335.decrypt(_bytes(case), PUBLISHED["password"])
    assert found.secret.hex() == PUBLISHED["secret"]
    assert (found.public_key.hex(), found.path, found.scheme) == (case["pubkey"], case["path"], "")
    with pytest.raises(WrongPassword):
        eip2335.decrypt(_bytes(case), "testpassword")


def test_passwords_are_normalised_as_the_standard_says() -> None:
    assert eip2335.password_bytes(PUBLISHED["password"]).hex() == "7465737470617373776f7264f09f9491"
    assert eip2335.password_bytes("a\x00\x1f\x7f\x80\x9f b") == b"a b"
    for bad in ("", "\x00\x7f", "x" * 1025, "\ud800"):
        with pytest.raises(PasswordRequired):
            eip2335.password_bytes(bad)


@pytest.mark.parametrize("scheme", ["ed25519", "ml-dsa-44", "ml-dsa-65"])
def test_an_exported_key_can_be_imported(ring: Keyring, scheme: str) -> None:
    _, _, secret_key = pair(scheme)
    ring.create("alice", scheme, secret_key, "own", path="m/44'/20824'/0'/0'/0'")
    text = ring.export_eip2335("alice", "own", "exchange", scrypt_n=16)
    info = ring.import_eip2335("bob", text, "exchange", "own")
    assert ring.open("bob", "own").secret_key == secret_key
    assert (info.scheme, info.path) == (scheme, "m/44'/20824'/0'/0'/0'")
    with pytest.raises(WrongPassword):
        ring.import_eip2335("carol", text, "wrong", "own")
    assert json.loads(text)["version"] == 4


@pytest.mark.parametrize("scheme", ["slh-dsa-sha2-128s", "composite-mldsa44-ed25519"])
def test_longer_secrets_are_refused(ring: Keyring, scheme: str) -> None:
    ring.create("alice", scheme, pair(scheme)[2], "own")
    with pytest.raises(KeystoreUnsupported):
        ring.export_eip2335("alice", "own", "exchange", scrypt_n=16)
    with pytest.raises(KeystoreUnsupported):
        ring.import_eip2335("bob", _bytes(CHEAP), "pw", "own", scheme=scheme)


def test_a_foreign_file_needs_a_scheme_and_must_fit_its_public_key(ring: Keyring) -> None:
    foreign = copy.deepcopy(CHEAP)
    foreign["description"] = "from elsewhere"
    with pytest.raises(KeystoreUnsupported, match="names no scheme"):
        ring.import_eip2335("alice", _bytes(foreign), "pw", "own")
    ring.import_eip2335("alice", _bytes(foreign), "pw", "own", scheme="ed25519")
    foreign["pubkey"] = bytes(48).hex()
    with pytest.raises(KeystoreCorrupt, match="public key"):
        ring.import_eip2335("bob", _bytes(foreign), "pw", "own", scheme="ed25519")


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2**30},
        {"n": 2**22, "r": 8},
        {"n": 15},
        {"n": 0},
        {"n": -16},
        {"n": 1},
        {"r": 0},
        {"r": 2**31},
        {"p": 0},
        {"p": 2**30},
        {"n": 2**18, "p": 16},
        {"dklen": 16},
        {"dklen": 2**40},
    ],
)
def test_costs_are_bounded_before_anything_is_allocated(
    params: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> bytes:
        raise AssertionError("scrypt was run")

    monkeypatch.setattr(hashlib, "scrypt", never)
    changed = copy.deepcopy(CHEAP)
    changed["crypto"]["kdf"]["params"].update(params)
    with pytest.raises(KeystoreUnsupported):
        eip2335.decrypt(_bytes(changed), "pw")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("kdf", {"function": "argon2"}),
        ("kdf", {"function": "pbkdf2", "params": {"dklen": 32, "c": 1, "prf": "hmac-md5", "salt": ""}}),
        (
            "kdf",
            {"function": "pbkdf2", "params": {"dklen": 32, "c": 10**9, "prf": "hmac-sha256", "salt": ""}},
        ),
        ("cipher", {"function": "aes-256-gcm"}),
        ("checksum", {"function": "md5"}),
    ],
)
def test_other_functions_are_refused(part: str, change: dict[str, Any]) -> None:
    changed = copy.deepcopy(CHEAP)
    changed["crypto"][part].update(change)
    with pytest.raises(KeystoreUnsupported):
        eip2335.decrypt(_bytes(changed), "pw")


def test_another_version_is_refused() -> None:
    with pytest.raises(KeystoreUnsupported):
        eip2335.decrypt(_bytes(CHEAP | {"version": 5}), "pw")


@given(data=st.data())
def test_a_file_with_any_part_missing_or_replaced_is_a_typed_error(data: st.DataObject) -> None:
    changed: Any = copy.deepcopy(CHEAP)
    where = changed
    while True:
        key = data.draw(st.sampled_from(sorted(where)))
        if not (isinstance(where[key], dict) and where[key] and data.draw(st.booleans())):
            break
        where = where[key]
    where[key] = data.draw(st.none() | st.integers(-2, 2) | st.text(max_size=5) | st.just([]) | st.just({}))
    try:
        found = eip2335.decrypt(_bytes(changed), "pw")
    except QenexError:
        return
    assert found.secret == bytes(range(32)), "only what is not the secret may change"
