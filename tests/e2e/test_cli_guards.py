"""Accounts by command line alone: a delayed transfer is cancelled, another arrives; signers in homes of their own; a stolen key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qenex.crypto.keystore import DEVELOPMENT_MARK
from tests.e2e.harness import Devnet, run_cli
from tests.e2e.test_cli_accounts import balance, error_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    devnet = Devnet(tmp_path_factory.mktemp("guards") / "home")
    devnet.up()
    yield devnet
    devnet.down()


class Home:
    """A keyring on a machine of its own, without passwords; it reaches no node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keyring = folder / "keyring"
        keyring.mkdir(mode=0o700, parents=True)
        (keyring / DEVELOPMENT_MARK).touch()

    def cli(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        return run_cli("--home", str(self.folder), "--node", "http://127.0.0.1:1", *arguments, expect=expect)

    def create(self, name: str, scheme: str = "ed25519") -> str:
        """Make a key; returns its public key."""
        self.cli("keys", "create", name, "--scheme", scheme, "--yes")
        return str(self.cli("keys", "public-key", name)["data"]["public_key"])

    def sign(self, what: str, file: Path, name: str, *, expect: int = 0) -> Any:
        """`tx sign` or `accounts agree`; returns the new file's data, or the error."""
        out = self.folder / f"{file.stem}-{name}.json"
        options = ("--out", str(out), "--yes")
        done = self.cli(*what.split(), str(file), "--from", name, *options, expect=expect)
        return done["errors"][0] if expect else done["data"]


def guard_of(net: Devnet, who: str = "alice") -> Any:
    return net.cli("accounts", "get-guard", who)["data"]


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Home, Home]:
    return Home(tmp_path / "ann"), Home(tmp_path / "ben")


def test_a_delayed_transfer_is_cancelled_and_another_arrives(net: Devnet) -> None:
    net.cli("keys", "create", "guardian", "--scheme", "ml-dsa-44", "--yes")
    net.cli("send", "guardian", "1QXC", "--from", "bob", "--yes")
    by_alice, by_guardian = ("--from", "alice", "--yes"), ("--from", "guardian", "--yes")
    net.cli("accounts", "set-guard", "guardian", "--delay", "86400", "--limit", "10QXC", *by_alice)
    before = balance(net, "carol")
    net.cli("send", "carol", "9QXC", *by_alice)
    many = '[{"to": "carol", "amount": "11QXC"}]'
    late = str(1 << 33)
    for command in (
        ("send", "carol", "11QXC"),
        ("tokens", "multi-send", many),
        ("tokens", "create-vesting", "carol", "11QXC", late, "1", "0", "true"),
    ):
        assert error_of(net.cli(*command, *by_alice, expect=9)) == "guard_limit_exceeded"
    queue = ("accounts", "queue-transfer", "carol", "500QXC")
    number = str(net.cli(*queue, *by_alice)["data"]["receipt"]["results"][0]["number"])
    held = balance(net, "alice")
    vault = guard_of(net)
    assert vault["queued"][0]["transfer"]["amount"] == str(500 * 10**9)
    assert balance(net, vault["vault"]) == 500 * 10**9
    cancel = ("accounts", "cancel-queued", "alice", "--number", number)
    assert error_of(net.cli(*cancel, "--from", "dave", "--yes", expect=9)) == "not_canceller"
    net.cli(*cancel, *by_guardian)
    assert balance(net, "alice") == held + 500 * 10**9
    short = ("accounts", "set-guard", "guardian", "--delay", "1", "--limit", "10QXC")
    waiting = net.cli(*short, *by_alice)["data"]["receipt"]["results"][0]["number"]
    terms = guard_of(net)["terms"]
    assert terms["delay_s"] == 86400, "a weaker guard waits, too"
    net.cli("accounts", "approve-queued", "alice", str(waiting), *by_guardian)
    net.wait_for("the new guard", lambda: guard_of(net)["terms"]["delay_s"] == 1)
    net.cli(*queue, *by_alice)
    arrived = before + 509 * 10**9
    net.wait_for("the transfer that nobody cancels", lambda: balance(net, "carol") == arrived)
    net.cli("accounts", "remove-guard", *by_alice)
    gone = ("--home", str(net.home), "accounts", "get-guard", "alice")
    net.wait_for("the end of the guard", lambda: not run_cli(*gone, expect=None)["ok"])
    net.cli("send", "carol", "1000QXC", *by_alice)


def test_two_of_three_sign_in_homes_of_their_own(
    net: Devnet, homes: tuple[Home, Home], tmp_path: Path
) -> None:
    ann, ben = homes
    keys = [ann.create("ann", "ml-dsa-44"), ben.create("ben")]
    made = net.cli("accounts", "create-multisig", *keys, "erin", "--threshold", "2")["data"]
    address, key = made["address"], made["public_key"]
    net.cli("send", address, "10QXC", "--from", "bob", "--yes")
    before = balance(net, "dave")
    file = tmp_path / "tx.json"
    net.cli("send", "dave", "1QXC", "--from", address, "--public-key", key, "--unsigned", str(file))
    first = ann.sign("tx sign", file, "ann")
    assert first["multisig"] == [{"weight": 1, "threshold": 2}]
    second = ben.sign("tx sign", Path(first["file"]), "ben")  # passed on
    assert second["complete"]
    apart = ben.sign("tx sign", file, "ben")  # a copy each
    merged = str(tmp_path / "merged.json")
    net.cli("tx", "merge", first["file"], apart["file"], "--out", merged)
    twice = net.cli("tx", "merge", merged, second["file"], "--out", "never.json", expect=2)
    assert error_of(twice) == "already_signed"
    assert ann.sign("tx sign", Path(first["file"]), "ann", expect=2)["name"] == "already_signed"
    net.cli("tx", "broadcast", merged)
    assert balance(net, "dave") == before + 10**9
    other = tmp_path / "other.json"
    net.cli("send", "dave", "2QXC", "--from", address, "--unsigned", str(other))
    another = ann.sign("tx sign", other, "ann")["file"]
    assert (
        error_of(net.cli("tx", "merge", another, apart["file"], "--out", "never.json", expect=2))
        == "copies_differ"
    )


def test_a_multisig_key_takes_over_when_its_members_agree_by_file(
    net: Devnet, homes: tuple[Home, Home], tmp_path: Path
) -> None:
    ann, ben = homes
    keys = [ann.create("ann"), ben.create("ben", "ml-dsa-44")]
    key = net.cli("accounts", "create-multisig", *keys, "--threshold", "2")["data"]["public_key"]
    net.cli("send", "dave", "1QXC", "--from", "frank", "--yes")
    file, propose = (
        tmp_path / "rotation.json",
        ("accounts", "propose-rotation", key, "--from", "frank", "--out"),
    )
    net.cli(*propose, str(file))
    agreed = [
        ann.sign("accounts agree", file, "ann")["file"],
        ben.sign("accounts agree", file, "ben")["file"],
    ]
    rotate = ("accounts", "rotate", "--from", "frank", "--yes")
    assert error_of(net.cli(*rotate, agreed[0], expect=2)) == "threshold_not_met"
    net.cli(*rotate, *agreed)
    assert error_of(net.cli(*rotate, *agreed, expect=9)) == "wrong_sequence"
    assert (
        error_of(net.cli("send", "dave", "1QXC", "--from", "frank", "--yes", expect=9))
        == "public_key_mismatch"
    )


def test_a_stolen_key_is_replaced_by_owner_and_canceller_together(
    net: Devnet, homes: tuple[Home, Home], tmp_path: Path
) -> None:
    guardian, owner = homes
    key = guardian.create("guardian")
    address = guardian.cli("keys", "address", "guardian")["data"]["address"]
    net.cli("send", address, "1QXC", "--from", "bob", "--yes")
    guard = ("accounts", "set-guard", address, "--delay", "86400", "--limit", "1QXC")
    net.cli(*guard, "--from", "grace", "--yes")
    net.cli("accounts", "queue-transfer", "heidi", "900000QXC", "--from", "grace", "--yes")  # the thief

    freeze = tmp_path / "freeze.json"
    net.cli(
        "accounts",
        "freeze",
        "grace",
        "3600",
        "--from",
        address,
        "--public-key",
        key,
        "--unsigned",
        str(freeze),
    )
    net.cli("tx", "broadcast", guardian.sign("tx sign", freeze, "guardian")["file"])
    frozen = net.cli("send", "heidi", "0.5QXC", "--from", "grace", "--yes", expect=9)
    assert error_of(frozen) == "guarded_account_frozen"

    new = owner.create("grace-new", "ml-dsa-44")
    rotation, rescue = tmp_path / "rotation.json", tmp_path / "rescue.json"
    net.cli("accounts", "propose-rotation", new, "--from", "grace", "--out", str(rotation))
    agreed = owner.sign("accounts agree", rotation, "grace-new")["file"]
    whose = ("--account", "grace", "--from", address, "--unsigned", str(rescue))
    net.cli("accounts", "rotate", agreed, *whose)
    by_grace = str(tmp_path / "grace.json")
    net.cli("tx", "sign", str(rescue), "--from", "grace", "--out", by_grace, "--yes")
    both = str(tmp_path / "both.json")
    net.cli("tx", "merge", by_grace, guardian.sign("tx sign", rescue, "guardian")["file"], "--out", both)
    net.cli("tx", "broadcast", both)
    grace = ("accounts", "get-account", "grace")
    net.wait_for("the new key", lambda: net.cli(*grace)["data"]["public_key"] == new)
    assert balance(net, "grace") > 999_000 * 10**9

    other = tmp_path / "other.json"  # and the guardian's key is not trusted any more either
    terms = ("accounts", "set-guard", "ivan", "--delay", "60", "--account", "grace", "--from", address)
    net.cli(*terms, "--unsigned", str(other))
    owner.cli("keys", "set-account", "grace-new", net.cli("keys", "address", "grace")["data"]["address"])
    half = guardian.sign("tx sign", other, "guardian")["file"]
    net.cli("tx", "broadcast", owner.sign("tx sign", Path(half), "grace-new")["file"])
    ivan = net.cli("keys", "address", "ivan")["data"]["address"]
    net.wait_for("the new canceller", lambda: guard_of(net, "grace")["terms"]["canceller"] == ivan)
