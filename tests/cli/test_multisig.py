"""A file goes round among the members of a multisig account; nothing below the threshold leaves the machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qenex.crypto.keystore import DEVELOPMENT_MARK
from qenex.crypto.multisig import decode_descriptor, verify
from qenex.transaction import Fee, Message, Signer, decode_transaction, encode_body
from qenex.wallet import Wallet
from tests.cli.conftest import Run

NAMES = ("alice", "bob", "carol")


@dataclass(frozen=True)
class Homes:
    """A keyring with four keys without passwords."""

    command: Run
    folder: Path
    keyring: Path


@pytest.fixture
def homes(run: Run, home: Path, tmp_path: Path) -> Homes:
    keyring = home / "keyring"
    keyring.mkdir(parents=True, mode=0o700)
    (keyring / DEVELOPMENT_MARK).touch()
    for name in (*NAMES, "dave"):
        assert run("keys", "create", name, "--yes").code == 0
    return Homes(run, tmp_path, keyring)


def told(homes: Homes, *arguments: str, fails: bool = False) -> Any:
    """What a command says to a program: its data, or its first error."""
    outcome = homes.command(*arguments, "--json")
    assert (outcome.code != 0) is fails, outcome.err
    return outcome.error if fails else outcome.data


def test_everybody_makes_the_same_key_from_public_keys(homes: Homes) -> None:
    keys = {name: told(homes, "keys", "public-key", name)["public_key"] for name in NAMES}
    first = told(homes, "accounts", "create-multisig", "alice:2", "bob", keys["carol"], "--threshold", "3")
    again = told(
        homes, "accounts", "create-multisig", keys["carol"], "bob:1", keys["alice"] + ":2", "--threshold", "3"
    )
    assert first == again
    assert sorted(m["weight"] for m in first["members"]) == [1, 1, 2]
    assert decode_descriptor(bytes.fromhex(first["public_key"][2:])).threshold == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["alice", "bob", "--threshold", "3"], "threshold_unreachable"),
        (["alice", "alice", "--threshold", "1"], "duplicate_member"),
        (["alice", "--threshold", "1"], "invalid_descriptor"),
        (["alice", "bob:0", "--threshold", "1"], "invalid_descriptor"),
        (["alice", "bob:x", "--threshold", "1"], "usage_error"),
        (["alice", "mallory", "--threshold", "1"], "key_not_found"),
        (["alice", "0x0102", "--threshold", "1"], "usage_error"),
    ],
)
def test_a_key_that_could_never_sign_is_not_made(homes: Homes, arguments: list[str], error: str) -> None:
    assert told(homes, "accounts", "create-multisig", *arguments, fails=True)["name"] == error


def _file(homes: Homes, threshold: int = 2) -> tuple[Path, Any]:
    key = told(homes, "accounts", "create-multisig", "alice", "bob:2", "carol", "--threshold", str(threshold))
    descriptor = decode_descriptor(bytes.fromhex(key["public_key"][2:]))
    signer = Signer(descriptor.address, 0, descriptor.key, None)
    send = Message("bank.send", (bytes(32), ("QXC", 1)), 0)
    body = encode_body("lab-1", [signer], [send], Fee(10**6, 10**5, 0), 50)
    path = homes.folder / "tx.hex"
    path.write_text("0x" + body.hex())
    return path, descriptor


def test_a_file_goes_round_and_tells_its_weight(homes: Homes) -> None:
    path, _ = _file(homes, threshold=3)
    one, two, three = (homes.folder / f"{n}.json" for n in (1, 2, 3))
    first = told(homes, "tx", "sign", str(path), "--from", "alice", "--out", str(one), "--yes")
    assert (first["complete"], first["multisig"]) == (False, [{"weight": 1, "threshold": 3}])
    refusal = told(homes, "tx", "broadcast", str(one), fails=True)
    assert refusal["name"] == "threshold_not_met", "before any node is asked"
    assert "weigh 1, the threshold is 3" in refusal["message"]
    second = told(homes, "tx", "sign", str(one), "--from", "carol", "--out", str(two), "--yes")
    assert second["multisig"] == [{"weight": 2, "threshold": 3}]
    third = told(homes, "tx", "sign", str(two), "--from", "bob", "--out", str(three), "--yes")
    assert (third["complete"], third["multisig"]) == (True, [{"weight": 4, "threshold": 3}])
    assert told(homes, "tx", "decode", str(three))["multisig"] == [{"weight": 4, "threshold": 3}]
    content = json.loads(three.read_text())
    assert [part is not None for part in content["signatures"][0]] == [True] * 3
    unreachable = told(homes, "tx", "broadcast", str(three), "--node", "http://127.0.0.1:1", fails=True)
    assert unreachable["name"] == "node_unreachable", "nothing but the node is missing"


def test_only_members_sign_and_a_changed_file_is_noticed(homes: Homes) -> None:
    path, _ = _file(homes)
    out = homes.folder / "out.json"
    stranger = told(homes, "tx", "sign", str(path), "--from", "dave", "--out", str(out), "--yes", fails=True)
    assert stranger["name"] == "unused_signer"
    told(homes, "tx", "sign", str(path), "--from", "alice", "--out", str(out), "--yes")
    content = json.loads(out.read_text())
    for change in (
        {"signatures": [content["signatures"][0][:-1]]},
        {"signatures": ["0x" + "00" * 64]},
        {"keys": [None, None]},
        {"keys": 5},
        {"hash": "0x" + "00" * 32},
        {"signatures": [[5]]},
    ):
        other = homes.folder / "other.json"
        other.write_text(json.dumps({**content, **change}))
        assert told(homes, "tx", "decode", str(other), fails=True)["code"] < 3_000


def sign(homes: Homes, path: Path, name: str, out: str, fails: bool = False) -> tuple[Path, Any]:
    """One member's copy of a file, and what the command told."""
    target = homes.folder / out
    arguments = ("tx", "sign", str(path), "--from", name, "--out", str(target), "--yes")
    return target, told(homes, *arguments, fails=fails)


def merge(homes: Homes, *paths: Path, out: str = "merged.json", fails: bool = False) -> Any:
    return told(homes, "tx", "merge", *map(str, paths), "--out", str(homes.folder / out), fails=fails)


def test_copies_signed_apart_are_put_together(homes: Homes) -> None:
    path, _ = _file(homes, threshold=4)
    copies = [sign(homes, path, name, f"{name}.json")[0] for name in NAMES]
    merged = merge(homes, *copies)
    assert (merged["complete"], merged["multisig"]) == (True, [{"weight": 4, "threshold": 4}])
    for name in NAMES:
        assert sign(homes, Path(merged["file"]), name, "x.json", fails=True)[1]["name"] == "already_signed"
    in_turn = path
    for number, name in enumerate(NAMES):
        in_turn, _ = sign(homes, in_turn, name, f"{number}.json")
    assert json.loads(in_turn.read_text()) == json.loads(Path(merged["file"]).read_text())
    assert merge(homes, in_turn, out="y.json", fails=True)["name"] == "usage_error", "one file is not several"


def test_copies_that_do_not_belong_together_are_refused_by_name(homes: Homes) -> None:
    path, descriptor = _file(homes)
    alice, _ = sign(homes, path, "alice", "alice.json")
    signer = Signer(descriptor.address, 0, descriptor.key, None)
    send = Message("bank.send", (bytes(32), ("QXC", 2)), 0)
    path.write_text("0x" + encode_body("lab-1", [signer], [send], Fee(10**6, 10**5, 0), 50).hex())
    bob, _ = sign(homes, path, "bob", "bob.json")
    assert merge(homes, alice, bob, fails=True)["name"] == "copies_differ", "another transaction"
    again, _ = sign(homes, _file(homes)[0], "alice", "again.json")
    assert merge(homes, alice, again, fails=True)["name"] == "already_signed"


def test_a_signature_in_a_wrong_place_or_of_other_bytes_is_not_passed_on(homes: Homes) -> None:
    path, _ = _file(homes)
    alice, _ = sign(homes, path, "alice", "alice.json")
    content = json.loads(alice.read_text())
    (parts,) = content["signatures"]
    place = next(number for number, part in enumerate(parts) if part is not None)
    dave = Wallet.from_keyring(homes.keyring, "dave").sign(bytes.fromhex(content["body"][2:]))
    for wrong in ([*parts[1:], parts[0]], ["0x" + dave.hex() if n == place else None for n in range(3)]):
        other = homes.folder / "wrong.json"
        other.write_text(json.dumps({**content, "signatures": [wrong]}))
        for command in (("tx", "decode", str(other)), ("tx", "broadcast", str(other))):
            assert told(homes, *command, fails=True)["name"] == "invalid_signature"
        assert sign(homes, other, "bob", "x.json", fails=True)[1]["name"] == "invalid_signature"


def test_wallets_of_members_sign_together(homes: Homes) -> None:
    path, descriptor = _file(homes, threshold=3)
    body = bytes.fromhex(path.read_text()[2:])
    wallets = [Wallet.from_keyring(homes.keyring, name) for name in NAMES]
    signed = wallets[0].sign_multisig(body, descriptor.key, *wallets[1:])
    assert decode_transaction(signed.raw).signatures == signed.signatures
    assert verify(descriptor.key, body, signed.signatures[0])
