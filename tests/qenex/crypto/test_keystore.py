"""The keyring: what is stored comes back, nothing else does, and no file can hurt."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qenex.crypto import SCHEMES, Keyring, address_of, keystore_file
from qenex.crypto import keystore as keystore_module
from qenex.crypto.keystore import DEVELOPMENT_MARK
from qenex.crypto.keystore_file import CHEAP_KDF, DEFAULT_KDF, KdfParameters
from qenex.errors import (
    InvalidKeyName,
    InvalidSecretKey,
    KeyExists,
    KeyNotFound,
    KeystoreCorrupt,
    KeystoreUnsupported,
    PasswordRequired,
    QenexError,
    UnknownScheme,
    WrongPassword,
)
from tests.qenex.crypto.support import NAMES, pair

PASSWORD = "correct horse"


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys", kdf=CHEAP_KDF)


def _edit(ring: Keyring, name: str, change: Any) -> None:
    path = ring.folder / f"{name}.json"
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize("scheme", NAMES)
def test_a_stored_key_comes_back_whole(ring: Keyring, scheme: str) -> None:
    _, public_key, secret_key = pair(scheme)
    info = ring.create("alice", scheme, secret_key, PASSWORD, path="m/44'/20824'/0'/0'/0'")
    opened = ring.open("alice", PASSWORD)
    assert (opened.secret_key, opened.public_key, opened.scheme) == (secret_key, public_key, scheme)
    assert opened.address == info.address == address_of(SCHEMES[scheme].tag, public_key)
    assert ring.get_public("alice") == info == ring.list()[0]
    assert info.path == "m/44'/20824'/0'/0'/0'"
    assert SCHEMES[scheme].verify(public_key, b"m", opened.sign(b"m"))


def test_the_file_holds_the_secret_only_encrypted(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    ring.create("alice", "ed25519", secret_key, PASSWORD)
    text = (ring.folder / "alice.json").read_text()
    assert secret_key.hex() not in text
    assert secret_key[:32].hex() not in text
    assert secret_key.hex() not in repr(ring.open("alice", PASSWORD))


def test_listing_decrypts_nothing(ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bob", "alice"):
        ring.create(name, "ed25519", pair("ed25519")[2], PASSWORD)

    def never(*_: object) -> None:
        raise AssertionError("a key was decrypted")

    monkeypatch.setattr(keystore_module, "unseal", never)
    assert [info.name for info in ring.list()] == ["alice", "bob"]
    assert ring.get_public("bob").encrypted


def test_folder_and_files_are_for_their_owner_alone(ring: Keyring) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    ring.change_password("alice", PASSWORD, "other")
    assert stat.S_IMODE(os.stat(ring.folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(ring.folder / "alice.json").st_mode) == 0o600
    assert os.listdir(ring.folder) == ["alice.json"], "no temporary file is left"


@pytest.mark.parametrize("password", ["wrong", PASSWORD + " ", PASSWORD.upper()])
def test_a_wrong_password_opens_nothing(ring: Keyring, password: str) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    with pytest.raises(WrongPassword):
        ring.open("alice", password)


def test_a_password_is_required_and_may_be_any_text(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    for bad in (None, "", "x" * 1025, "\ud800"):
        with pytest.raises(PasswordRequired):
            ring.create("alice", "ed25519", secret_key, bad)
    assert ring.list() == ()
    ring.create("alice", "ed25519", secret_key, "caf\u00e9")
    assert ring.open("alice", "cafe\u0301").secret_key == secret_key
    with pytest.raises(PasswordRequired):
        ring.open("alice")


def test_names_are_unique_and_cannot_leave_the_folder(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    ring.create("alice", "ed25519", secret_key, PASSWORD)
    before = (ring.folder / "alice.json").read_bytes()
    with pytest.raises(KeyExists):
        ring.create("alice", "ed25519", SCHEMES["ed25519"].generate(bytes(32))[1], PASSWORD)
    assert (ring.folder / "alice.json").read_bytes() == before
    for bad in ("", "..", "../x", "a/b", "Alice", "a.b", "x" * 65, "a\n", "a\0", "é"):
        with pytest.raises(InvalidKeyName):
            ring.create(bad, "ed25519", secret_key, PASSWORD)
        for method in (ring.open, ring.get_public, ring.delete):
            with pytest.raises(InvalidKeyName):
                method(bad)
        assert bad not in ring


def test_missing_keys_schemes_and_malformed_secrets_are_typed_errors(ring: Keyring) -> None:
    for method in (ring.open, ring.get_public, ring.delete):
        with pytest.raises(KeyNotFound):
            method("nobody")
    with pytest.raises(UnknownScheme):
        ring.create("alice", "rsa", bytes(32), PASSWORD)
    with pytest.raises(InvalidSecretKey):
        ring.create("alice", "ed25519", bytes(32), PASSWORD)
    assert ring.list() == ()


def test_changing_the_password_leaves_the_key(ring: Keyring) -> None:
    _, _, secret_key = pair("composite-mldsa44-ed25519")
    created = ring.create("alice", "composite-mldsa44-ed25519", secret_key, PASSWORD)
    with pytest.raises(WrongPassword):
        ring.change_password("alice", "wrong", "new")
    ring.change_password("alice", PASSWORD, "new")
    assert ring.open("alice", "new").secret_key == secret_key
    assert ring.get_public("alice") == created
    with pytest.raises(WrongPassword):
        ring.open("alice", PASSWORD)
    with pytest.raises(KeystoreUnsupported):
        ring.change_password("alice", "new", None)


def test_a_key_notes_the_account_that_changed_to_it_and_the_note_is_authenticated(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    own = ring.create("alice", "ed25519", secret_key, PASSWORD)
    account = address_of(2, bytes(1312))
    with pytest.raises(WrongPassword):
        ring.set_account("alice", "wrong", account)
    noted = ring.set_account("alice", PASSWORD, account)
    assert (noted.address, noted.own_address) == (account, own.address)
    assert ring.open("alice", PASSWORD).address == ring.get_public("alice").address == account
    ring.change_password("alice", PASSWORD, "another")
    assert ring.open("alice", "another").address == account
    _edit(ring, "alice", lambda whole: whole["header"].pop("account"))
    with pytest.raises(WrongPassword):
        ring.open("alice", "another")
    _edit(ring, "alice", lambda whole: whole["header"].update(account="qx1nonsense"))
    with pytest.raises(KeystoreCorrupt):
        ring.get_public("alice")


def test_renaming_and_deleting(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    ring.create("alice", "ed25519", secret_key, PASSWORD)
    ring.create("bob", "ed25519", secret_key, PASSWORD)
    with pytest.raises(KeyExists):
        ring.rename("alice", "bob", PASSWORD)
    with pytest.raises(WrongPassword):
        ring.rename("alice", "carol", "wrong")
    ring.rename("alice", "carol", PASSWORD)
    assert [info.name for info in ring.list()] == ["bob", "carol"]
    assert ring.open("carol", PASSWORD).secret_key == secret_key
    ring.delete("carol")
    assert "carol" not in ring
    with pytest.raises(KeyNotFound):
        ring.open("carol", PASSWORD)


# -- development keyring --------------------------------------------------------------------


def test_keys_without_a_password_live_only_in_a_marked_folder(tmp_path: Path) -> None:
    _, _, secret_key = pair("ed25519")
    ring = Keyring(tmp_path / "dev", development=True)
    info = ring.create("alice", "ed25519", secret_key)
    assert not info.encrypted
    assert Keyring(tmp_path / "dev").open("alice").secret_key == secret_key, "the mark decides, not the flag"
    (tmp_path / "dev" / DEVELOPMENT_MARK).unlink()
    with pytest.raises(KeystoreUnsupported):
        Keyring(tmp_path / "dev").open("alice")


def test_a_real_keyring_never_turns_into_a_development_keyring(ring: Keyring) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    with pytest.raises(KeystoreUnsupported):
        Keyring(ring.folder, development=True)
    assert not ring.is_development


def test_a_plain_file_smuggled_into_a_real_keyring_is_not_opened(ring: Keyring, tmp_path: Path) -> None:
    ring.create("bob", "ed25519", pair("ed25519")[2], PASSWORD)
    Keyring(tmp_path / "dev", development=True).create("alice", "ed25519", pair("ed25519")[2])
    (ring.folder / "alice.json").write_bytes((tmp_path / "dev" / "alice.json").read_bytes())
    with pytest.raises(KeystoreUnsupported):
        ring.open("alice")


# -- hostile files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created", "2020-01-01T00:00:00Z"),
        ("path", "m/44'/20824'/9'/0'/0'"),
    ],
)
def test_readable_fields_are_authenticated(ring: Keyring, field: str, value: str) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    _edit(ring, "alice", lambda whole: whole["header"].update({field: value}))
    with pytest.raises(WrongPassword, match="altered"):
        ring.open("alice", PASSWORD)


def test_a_file_under_another_name_or_with_another_address_is_refused(ring: Keyring) -> None:
    _, _, secret_key = pair("ed25519")
    ring.create("alice", "ed25519", secret_key, PASSWORD)
    os.rename(ring.folder / "alice.json", ring.folder / "bob.json")
    with pytest.raises(KeystoreCorrupt, match="named 'alice'"):
        ring.open("bob", PASSWORD)
    ring.delete("bob")
    other = ring.create("carol", "ed25519", SCHEMES["ed25519"].generate(bytes(32))[1], PASSWORD)
    ring.create("alice", "ed25519", secret_key, PASSWORD)
    _edit(ring, "alice", lambda whole: whole["header"].update(public_key="0x" + other.public_key.hex()))
    with pytest.raises(KeystoreCorrupt, match="address does not belong"):
        ring.get_public("alice")


def test_a_plain_secret_must_belong_to_its_public_key(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "dev", development=True)
    ring.create("alice", "ed25519", pair("ed25519")[2])
    other = SCHEMES["ed25519"].generate(bytes(32))[1]
    _edit(ring, "alice", lambda whole: whole.update(secret="0x" + other.hex()))
    with pytest.raises(KeystoreCorrupt, match="does not belong"):
        ring.open("alice")


@pytest.mark.parametrize(
    "kdf",
    [
        {"memory_kib": 2**40},
        {"memory_kib": 1024 * 1024 + 1},
        {"memory_kib": 63},
        {"memory_kib": -1},
        {"time_cost": 11},
        {"time_cost": 0},
        {"time_cost": 10**30},
    ],
)
def test_costs_of_a_file_are_bounded_before_anything_is_allocated(
    ring: Keyring, kdf: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    _edit(ring, "alice", lambda whole: whole["header"]["kdf"].update(kdf))

    def never(*_: object) -> None:
        raise AssertionError("the password was stretched")

    monkeypatch.setattr("qenex.crypto.keystore_file._stretch", never)
    with pytest.raises(KeystoreUnsupported):
        ring.open("alice", PASSWORD)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b" " * 70_000,
        b'{"format": "qenex-keystore", "format": "qenex-keystore"}',
        b'{"format": "qenex-keystore", "version": 1.0}',
        b'{"format": "qenex-keystore", "version": 1e999}',
        b'{"format": "qenex-keystore", "version": NaN}',
        b'{"format": "qenex-keystore", "version": true}',
        b'{"format": "qenex-keystore", "version": ' + b"9" * 5000 + b"}",
        b'{"format": "qenex-keystore", "version": 2}',
        b'{"format": "qenex-keystore", "version": 1, "header": "x"}',
    ],
    ids=lambda data: ascii(data[:40]),
)
def test_garbage_is_a_typed_error(ring: Keyring, data: bytes) -> None:
    ring.folder.mkdir()
    (ring.folder / "alice.json").write_bytes(data)
    for method in (ring.get_public, ring.open):
        with pytest.raises((KeystoreCorrupt, KeystoreUnsupported)):
            method("alice")
    with pytest.raises(QenexError):
        ring.list()
    keys, damaged = ring.scan()
    assert (keys, [name for name, _ in damaged]) == ((), ["alice"])


def test_what_is_no_regular_file_is_refused_without_waiting(ring: Keyring) -> None:
    ring.folder.mkdir()
    os.mkfifo(ring.folder / "pipe.json")
    (ring.folder / "folder.json").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(KeystoreCorrupt):
            ring.open(name, PASSWORD)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Keyring, bytes]:
    ring = Keyring(tmp_path_factory.mktemp("keys"), kdf=CHEAP_KDF)
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    return ring, (ring.folder / "alice.json").read_bytes()


@given(data=st.data())
def test_no_changed_bit_opens_as_another_key(written: tuple[Keyring, bytes], data: st.DataObject) -> None:
    ring, good = written
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8
    (ring.folder / "alice.json").write_bytes(bytes(changed))
    try:
        opened = ring.open("alice", PASSWORD)
    except QenexError:
        return
    # White space between the JSON tokens is all that may differ.
    assert opened.secret_key == pair("ed25519")[2]
    assert json.loads(changed) == json.loads(good)


@given(data=st.data())
def test_a_truncated_or_overwritten_file_is_a_typed_error(
    written: tuple[Keyring, bytes], data: st.DataObject
) -> None:
    ring, good = written
    start = data.draw(st.integers(0, len(good) - 3))
    tail = data.draw(st.just(b"") | st.binary(min_size=1, max_size=30))
    (ring.folder / "alice.json").write_bytes(good[:start] + tail)
    with pytest.raises(QenexError):
        ring.open("alice", PASSWORD)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(min_size=1, max_size=40), seed=st.binary(min_size=32, max_size=32))
def test_any_password_and_key_come_back(tmp_path: Path, password: str, seed: bytes) -> None:
    ring = Keyring(tmp_path, kdf=CHEAP_KDF)
    _, secret_key = SCHEMES["ed25519"].generate(seed)
    try:
        ring.create("k", "ed25519", secret_key, password)
    except PasswordRequired:
        assert not password.isprintable()
        return
    try:
        assert ring.open("k", password).secret_key == secret_key
    finally:
        ring.delete("k")


# -- durability -----------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_key_and_no_temporary(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, secret_key = pair("ed25519")
    ring.create("alice", "ed25519", secret_key, PASSWORD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ring.change_password("alice", PASSWORD, "new")
    with pytest.raises(OSError, match="No space"):
        ring.create("bob", "ed25519", secret_key, PASSWORD)
    monkeypatch.undo()
    assert os.listdir(ring.folder) == ["alice.json"]
    assert ring.open("alice", PASSWORD).secret_key == secret_key


def test_of_two_programs_that_create_one_name_the_second_is_refused(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other program writes its file between our check of the name and our own write."""
    seal = keystore_file.seal
    other = Keyring(ring.folder, kdf=CHEAP_KDF)

    def seal_late(*arguments: Any) -> bytes:
        monkeypatch.undo()
        other.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
        return seal(*arguments)

    monkeypatch.setattr(keystore_module, "seal", seal_late)
    with pytest.raises(KeyExists):
        ring.create("alice", "ed25519", SCHEMES["ed25519"].generate(bytes(32))[1], PASSWORD)
    assert ring.open("alice", PASSWORD).secret_key == pair("ed25519")[2]
    assert os.listdir(ring.folder) == ["alice.json"]


def test_leftovers_of_an_interrupted_write_are_ignored(ring: Keyring) -> None:
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    (ring.folder / ".bob.json.0123").write_bytes(b"half")
    (ring.folder / "notes.txt").write_bytes(b"x")
    assert [info.name for info in ring.list()] == ["alice"]


def test_the_default_cost_is_that_of_the_design() -> None:
    assert KdfParameters(time_cost=3, memory_kib=262_144) == DEFAULT_KDF
    for bad in ({"time_cost": 0}, {"memory_kib": 63}, {"memory_kib": 2**21}):
        with pytest.raises(KeystoreUnsupported):
            KdfParameters(**bad)


def test_the_default_cost_works_on_this_machine(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keys")
    ring.create("alice", "ed25519", pair("ed25519")[2], PASSWORD)
    assert Keyring(tmp_path / "keys").open("alice", PASSWORD).secret_key == pair("ed25519")[2]
