"""Accounts by command line on a devnet: several sign one file round, a bot does what it may, all survives a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Devnet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    devnet = Devnet(tmp_path_factory.mktemp("accounts") / "home")
    devnet.up()
    yield devnet
    devnet.down()


def error_of(done: Any) -> str:
    return str(done["errors"][0]["name"])


def balance(net: Devnet, who: str) -> int:
    entries = net.cli("balance", who)["data"]["balances"]
    return next((int(entry["amount"]) for entry in entries if entry["denom"] == "QXC"), 0)


def test_a_multisig_account_spends_what_its_members_sign_in_turn(net: Devnet, tmp_path: Path) -> None:
    net.cli("keys", "create", "cold", "--scheme", "ml-dsa-44", "--yes")
    made = net.cli("accounts", "create-multisig", "alice", "bob", "cold:2", "--threshold", "3")["data"]
    address, key = made["address"], made["public_key"]
    net.cli("send", address, "10QXC", "--from", "carol", "--yes")
    files = [str(tmp_path / f"{number}.json") for number in range(6)]
    options = ("--from", address, "--unsigned")
    net.cli("send", "dave", "1QXC", *options, files[0], "--public-key", key)
    first = net.cli("tx", "sign", files[0], "--from", "alice", "--out", files[1], "--yes")["data"]
    assert (first["complete"], first["multisig"]) == (False, [{"weight": 1, "threshold": 3}])
    below = net.cli("tx", "broadcast", files[1], expect=3)
    assert error_of(below) == "threshold_not_met"
    before = balance(net, "dave")
    net.cli("tx", "sign", files[1], "--from", "cold", "--out", files[2], "--yes")
    net.cli("tx", "broadcast", files[2])
    assert balance(net, "dave") == before + 10**9
    net.kill()
    net.up()
    net.cli("send", "dave", "1QXC", *options, files[3])  # its key is known now
    net.cli("tx", "sign", files[3], "--from", "bob", "--out", files[4], "--yes")
    net.cli("tx", "sign", files[4], "--from", "cold", "--out", files[5], "--yes")
    net.cli("tx", "broadcast", files[5])
    assert balance(net, "dave") == before + 2 * 10**9


def test_an_account_becomes_one_that_several_sign_for(net: Devnet, tmp_path: Path) -> None:
    net.cli("send", "alice", "0.1QXC", "--from", "erin", "--yes")
    key = net.cli("accounts", "create-multisig", "frank", "grace", "--threshold", "2")["data"]["public_key"]
    address = net.cli("keys", "address", "erin")["data"]["address"]
    agreed = ("--member", "frank", "--member", "grace", "--from", "erin", "--yes")
    net.cli("accounts", "rotate-to-multisig", key, *agreed)
    refused = net.cli("send", "dave", "1QXC", "--from", "erin", "--yes", expect=9)
    assert error_of(refused) == "public_key_mismatch"
    files = [str(tmp_path / f"{number}.json") for number in range(3)]
    net.cli("send", "dave", "1QXC", "--from", address, "--unsigned", files[0])
    for number, name in enumerate(("grace", "frank")):
        net.cli("tx", "sign", files[number], "--from", name, "--out", files[number + 1], "--yes")
    net.cli("tx", "broadcast", files[2])


def test_a_bot_does_what_it_may_and_is_refused_the_rest(net: Devnet) -> None:
    net.cli("keys", "create", "bot", "--yes")
    scope = ("--message", "bank.send", "--limit", "1QXC/86400", "--expires-in", "1000")
    added = net.cli("accounts", "add-scoped-key", "bot", *scope, "--from", "heidi", "--yes")["data"]
    number = str(added["receipt"]["results"][0]["number"])
    heidi = net.cli("keys", "address", "heidi")["data"]["address"]
    net.cli("keys", "set-account", "bot", heidi)
    by_bot = ("--from", "bot", "--scoped-key", number, "--yes")
    net.cli("send", "ivan", "0.5QXC", *by_bot)
    assert error_of(net.cli("send", "ivan", "0.6QXC", *by_bot, expect=9)) == "scoped_key_limit_exceeded"
    forbidden = net.cli("accounts", "revoke-scoped-key", number, *by_bot, expect=9)
    assert error_of(forbidden) == "scoped_key_message_not_allowed"
    assert (
        error_of(net.cli("send", "ivan", "0.1QXC", "--from", "bot", "--yes", expect=9))
        == "public_key_mismatch"
    )
    net.cli("send", "ivan", "0.1QXC", *by_bot)
    keys = net.cli("accounts", "get-scoped-keys", heidi)["data"]["keys"]
    assert [(key["number"], key["sequence"]) for key in keys] == [(int(number), 2)]
    net.cli("accounts", "revoke-scoped-key", number, "--from", "heidi", "--yes")
    assert error_of(net.cli("send", "ivan", "0.1QXC", *by_bot, expect=9)) == "scoped_key_not_found"
    unknown = net.cli("accounts", "add-scoped-key", "bot", "--message", "bank.sned", *scope[2:], "--from", "heidi",
                      "--yes", expect=2)  # fmt: skip
    assert error_of(unknown) == "unknown_message"
