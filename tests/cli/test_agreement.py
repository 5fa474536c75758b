"""The owners of a new key agree in a file, each in a keyring of his own; what is not their word goes no further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qenex.crypto.address import encode_address
from qenex.crypto.multisig import decode_descriptor, verify
from qenex.wallet import Wallet
from tests.cli.test_multisig import Homes, homes, told
from vm.accounts import rotation_sign_bytes

__all__ = ["homes"]


def proposal(homes: Homes, key: str, **changes: Any) -> Path:
    """A file as `accounts propose-rotation` writes it."""
    count = len(decode_descriptor(bytes.fromhex(key[2:])).members) if key.startswith("0x20") else 1
    content = {
        "kind": "qenex-rotation",
        "schema_version": 1,
        "chain_id": "lab-1",
        "address": encode_address(Wallet.from_keyring(homes.keyring, "dave").address, "qx"),
        "sequence": 7,
        "new_key": key,
        "signatures": [None] * count,
    }
    path = homes.folder / "rotation.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


def agree(homes: Homes, path: Path, name: str, out: str, fails: bool = False) -> Any:
    arguments = ("accounts", "agree", str(path), "--from", name, "--out", str(homes.folder / out), "--yes")
    return told(homes, *arguments, fails=fails)


def rotate(homes: Homes, *paths: Path, signer: str = "dave") -> str:
    """The name of what refuses it: no node is there, so there is always something."""
    arguments = ("accounts", "rotate", *map(str, paths), "--from", signer, "--yes")
    refusal = told(homes, *arguments, "--node", "http://127.0.0.1:1", fails=True)
    return str(refusal["name"])


@pytest.fixture
def key(homes: Homes) -> str:
    made = told(homes, "accounts", "create-multisig", "alice", "bob", "carol", "--threshold", "2")
    return str(made["public_key"])


def test_members_agree_apart_or_in_turn(homes: Homes, key: str) -> None:
    path = proposal(homes, key)
    first = agree(homes, path, "alice", "alice.json")
    assert (first["weight"], first["threshold"], first["complete"]) == (1, 2, False)
    agree(homes, path, "carol", "carol.json")
    alice, carol = homes.folder / "alice.json", homes.folder / "carol.json"
    assert rotate(homes, alice) == "threshold_not_met", "before any node is asked"
    assert rotate(homes, alice, carol) == "node_unreachable", "nothing else is missing"
    both = agree(homes, alice, "carol", "both.json")
    assert both["complete"]
    assert rotate(homes, Path(both["file"])) == "node_unreachable"
    content = json.loads(Path(both["file"]).read_text())
    owner = Wallet.from_keyring(homes.keyring, "dave").address
    statement = rotation_sign_bytes("lab-1", owner, 7, bytes.fromhex(key[2:]))
    signatures = tuple([None if s is None else bytes.fromhex(s[2:]) for s in content["signatures"]])
    assert verify(bytes.fromhex(key[2:]), statement, signatures)


def test_a_single_key_agrees_too(homes: Homes) -> None:
    single = told(homes, "keys", "public-key", "bob")["public_key"]
    path = proposal(homes, single)
    assert agree(homes, path, "alice", "x.json", fails=True)["name"] == "unknown_member"
    done = agree(homes, path, "bob", "bob.json")
    assert done["complete"]
    assert rotate(homes, Path(done["file"])) == "node_unreachable"


def test_who_may_not_agree_is_told_why(homes: Homes, key: str) -> None:
    path = proposal(homes, key)
    assert agree(homes, path, "dave", "x.json", fails=True)["name"] == "unknown_member"
    agree(homes, path, "alice", "alice.json")
    twice = agree(homes, homes.folder / "alice.json", "alice", "y.json", fails=True)
    assert twice["name"] == "already_signed"
    assert rotate(homes, homes.folder / "alice.json", homes.folder / "alice.json") == "already_signed"
    assert rotate(homes, homes.folder / "alice.json", signer="alice") == "usage_error", "not her account"


def test_a_changed_file_is_noticed(homes: Homes, key: str) -> None:
    path = proposal(homes, key)
    agree(homes, path, "alice", "alice.json")
    agree(homes, path, "bob", "bob.json")
    alice, bob = homes.folder / "alice.json", homes.folder / "bob.json"
    content = json.loads(alice.read_text())
    stranger = encode_address(Wallet.from_keyring(homes.keyring, "bob").address, "qx")
    for change, error in (
        ({"sequence": 8}, "invalid_signature"),
        ({"chain_id": "lab-2"}, "invalid_signature"),
        ({"address": stranger}, "invalid_signature"),
        ({"signatures": [*content["signatures"][1:], content["signatures"][0]]}, "invalid_signature"),
        ({"signatures": [None]}, "malformed_bytes"),
        ({"kind": "qenex-transaction"}, "malformed_bytes"),
        ({"sequence": "8"}, "malformed_bytes"),
        ({"sequence": -1}, "malformed_bytes"),
        ({"signatures": [5, None, None]}, "malformed_bytes"),
        ({"new_key": "0x20"}, "invalid_descriptor"),
        ({"address": "qx1"}, "invalid_address"),
    ):
        other = homes.folder / "other.json"
        other.write_text(json.dumps({**content, **change}))
        refusal = agree(homes, other, "carol", "z.json", fails=True)
        assert refusal["name"] == error, change
        if change.get("signatures") or error == "invalid_signature":
            assert rotate(homes, bob, other) == error
    empty = homes.folder / "empty.json"
    empty.write_text(json.dumps({**content, "sequence": 8, "signatures": [None] * 3}))
    assert rotate(homes, alice, empty) == "copies_differ"
