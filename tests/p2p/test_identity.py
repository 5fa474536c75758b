"""The node's key: one file, for its owner alone, whole or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2p.identity import (
    SCHEME,
    generate_identity,
    identity_from_seed,
    is_node_id,
    load_identity,
    load_or_create_identity,
    node_id_of,
    save_identity,
)
from qenex.errors import NodeKeyInvalid


def test_a_new_identity_is_saved_for_its_owner_alone_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "node_key.json"
    made = load_or_create_identity(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_identity(path) == made == load_identity(path)
    assert is_node_id(made.node_id)
    assert made.node_id == node_id_of(made.public_key)
    assert SCHEME.verify(made.public_key, b"m", made.sign(b"m"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["node_key.json"]


def test_two_new_identities_differ_and_show_no_secret() -> None:
    a, b = generate_identity(), generate_identity()
    assert a.node_id != b.node_id
    assert a.secret_key.hex() not in repr(a)
    assert repr(a.secret_key) not in repr(a)


def test_saving_replaces_a_file_and_survives_a_left_over_one(tmp_path: Path) -> None:
    path = tmp_path / "node_key.json"
    path.write_text("old")
    (tmp_path / "node_key.json.new").write_text("left by a crash")
    save_identity(path, identity_from_seed(b"\x01" * 64))
    assert load_identity(path) == identity_from_seed(b"\x01" * 64)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"scheme": "ed25519"},
        {"node_id": "00" * 32},
        {"secret_key": "00" * 63},
        {"secret_key": "zz" * 64},
        {"secret_key": 7},
    ],
)
def test_a_file_that_says_something_else_than_its_key_is_refused(tmp_path: Path, change: dict) -> None:
    path = tmp_path / "node_key.json"
    save_identity(path, identity_from_seed(b"\x01" * 64))
    fields = json.loads(path.read_text())
    secret = fields["secret_key"]
    path.write_text(json.dumps(fields | change))
    with pytest.raises(NodeKeyInvalid) as caught:
        load_or_create_identity(path)
    assert secret not in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 3_000, "x" * 5_000, '{"schema_version": 1}'])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node_key.json"
    path.write_text(text)
    with pytest.raises(NodeKeyInvalid):
        load_or_create_identity(path)
    assert path.read_text() == text


def test_a_missing_or_unreadable_file_is_a_typed_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(NodeKeyInvalid):
            load_identity(path)
