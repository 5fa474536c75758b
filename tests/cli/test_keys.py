"""Keys from the command line: nothing secret in arguments or results, nothing decrypted without need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qenex import Wallet
from qenex.crypto.keystore import DEVELOPMENT_MARK
from tests.cli.conftest import Run

PHRASE = "abandon " * 23 + "art"


def _phrase_of(text: str) -> list[str]:
    """The words of the numbered lines on stderr."""
    parts = text.split("it is not shown again.")[1].split("Whoever", maxsplit=1)[0].split()
    return [word for word in parts if word.isalpha()]


def test_create_shows_the_phrase_once_on_stderr_and_the_phrase_restores_the_key(
    run: Run, password_file: str
) -> None:
    made = run("keys", "create", "alice", "--password-file", password_file, "--json")
    assert made.code == 0
    words = _phrase_of(made.err)
    assert len(words) == 24
    assert not any(f" {word} " in made.out for word in words)
    assert run("keys", "address", "alice").out.strip() == made.data["address"]
    assert Wallet.from_mnemonic(words).address_text() == made.data["address"]


def test_create_can_write_the_phrase_to_a_private_file_and_shows_it_nowhere(
    run: Run, password_file: str, tmp_path: Path
) -> None:
    target = tmp_path / "phrase"
    made = run(
        "keys",
        "create",
        "a",
        "--mnemonic-file",
        str(target),
        "--password-file",
        password_file,
        "--words",
        "12",
        "--json",
    )
    assert made.code == 0
    words = target.read_text().split()
    assert len(words) == 12
    assert target.stat().st_mode & 0o777 == 0o600
    assert made.err == ""
    again = run(
        "keys", "import", "b", "--mnemonic-file", str(target), "--password-file", password_file, "--json"
    )
    assert again.data["address"] == made.data["address"]
    assert (
        run(
            "keys", "create", "c", "--mnemonic-file", str(target), "--password-file", password_file, "--json"
        ).code
        == 2
    )


@pytest.mark.parametrize(
    "scheme", ["ed25519", "ml-dsa-44", "ml-dsa-65", "composite-mldsa44-ed25519", "slh-dsa-sha2-128s"]
)
def test_one_phrase_restores_keys_of_every_scheme(run: Run, password_file: str, scheme: str) -> None:
    expected = Wallet.from_mnemonic(PHRASE, scheme, account=2, index=3).address_text()
    file = Path(password_file).with_name("phrase")
    file.write_text(PHRASE)
    file.chmod(0o600)
    made = run(
        "keys", "recover", "alice", "--scheme", scheme, "--account", "2", "--index", "3",
        "--mnemonic-file", str(file), "--password-file", password_file, "--json",
    )  # fmt: skip
    assert made.data["address"] == expected
    assert made.data["path"] == "m/44'/20824'/2'/0'/3'"


def test_a_wrong_phrase_is_told_by_position_and_stores_nothing(
    run: Run, password_file: str, tmp_path: Path
) -> None:
    file = tmp_path / "phrase"
    file.write_text("abandon " * 23 + "zoo")
    file.chmod(0o600)
    outcome = run(
        "keys", "import", "a", "--mnemonic-file", str(file), "--password-file", password_file, "--json"
    )
    assert outcome.code == 8
    assert outcome.error["name"] == "invalid_mnemonic"
    assert "zoo" not in outcome.out + outcome.err
    assert run("keys", "list", "--json").data["keys"] == []


def test_without_a_terminal_a_missing_password_or_phrase_is_exit_code_8_and_never_a_prompt(run: Run) -> None:
    for arguments in (["keys", "create", "a"], ["keys", "import", "a"], ["keys", "recover", "a"]):
        outcome = run(*arguments, "--json")
        assert outcome.code == 8
        assert outcome.error["name"] == "password_required"


def test_a_password_comes_from_a_descriptor(run: Run) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe\nsecond line\n")
    os.close(writer)
    assert run("keys", "create", "a", "--password-fd", str(reader), "--json").code == 0
    os.close(reader)


def test_a_password_file_that_others_can_read_is_warned_about(run: Run, password_file: str) -> None:
    Path(password_file).chmod(0o644)
    outcome = run("keys", "create", "a", "--password-file", password_file, "--json")
    assert any("can be read by other users" in warning for warning in outcome.envelope["warnings"])


def test_list_needs_no_password_and_goes_on_past_a_damaged_file(
    run: Run, home: Path, password_file: str
) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    run("keys", "create", "bob", "--password-file", password_file)
    (home / "keyring" / "bob.json").write_text("{")
    outcome = run("keys", "list", "--json")
    assert outcome.code == 0
    assert [key["name"] for key in outcome.data["keys"]] == ["alice"]
    assert [key["name"] for key in outcome.data["damaged"]] == ["bob"]
    assert outcome.envelope["warnings"]


def test_names_are_taken_once_and_checked(run: Run, password_file: str) -> None:
    assert run("keys", "create", "alice", "--password-file", password_file).code == 0
    taken = run("keys", "create", "alice", "--password-file", password_file, "--json")
    assert (taken.code, taken.error["name"]) == (8, "key_exists")
    wrong = run("keys", "create", "../x", "--password-file", password_file, "--json")
    assert (wrong.code, wrong.error["name"]) == (8, "invalid_key_name")


def test_rename_and_change_password(run: Run, password_file: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another")
    other.chmod(0o600)
    made = run("keys", "create", "alice", "--password-file", password_file, "--json")
    wrong = run("keys", "rename", "alice", "ann", "--password-file", str(other), "--json")
    assert (wrong.code, wrong.error["name"]) == (8, "wrong_password")
    renamed = run("keys", "rename", "alice", "ann", "--password-file", password_file, "--json")
    assert renamed.data["address"] == made.data["address"]
    changed = run(
        "keys",
        "change-password",
        "ann",
        "--password-file",
        password_file,
        "--new-password-file",
        str(other),
        "--json",
    )
    assert changed.code == 0
    assert run("keys", "rename", "ann", "al", "--password-file", password_file, "--json").code == 8
    assert run("keys", "rename", "ann", "al", "--password-file", str(other), "--json").code == 0


def test_delete_asks_and_without_a_terminal_declines(run: Run, password_file: str) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    outcome = run("keys", "delete", "alice", "--json")
    assert (outcome.code, outcome.error["name"]) == (11, "declined")
    assert run("keys", "show", "alice", "--json").code == 0
    assert run("keys", "delete", "alice", "--yes", "--json").data["deleted"] is True
    missing = run("keys", "delete", "alice", "--yes", "--json")
    assert (missing.code, missing.error["name"]) == (8, "key_not_found")


def test_eip2335_files_go_out_and_come_back(run: Run, password_file: str, tmp_path: Path) -> None:
    made = run("keys", "create", "alice", "--password-file", password_file, "--json")
    file = tmp_path / "alice.json"
    secrets = ["--password-file", password_file, "--file-password-file", password_file]
    assert run("keys", "export-eip2335", "alice", str(file), *secrets, "--json").code == 0
    assert file.stat().st_mode & 0o077 == 0
    assert run("keys", "export-eip2335", "alice", str(file), *secrets, "--json").code == 2
    back = run("keys", "import-eip2335", "copy", str(file), *secrets, "--json")
    assert back.data["address"] == made.data["address"]
    assert run("keys", "import-eip2335", "third", str(tmp_path / "none"), *secrets, "--json").code == 2


def test_a_development_keyring_needs_no_password(run: Run, home: Path) -> None:
    (home / "keyring").mkdir(parents=True)
    (home / "keyring" / DEVELOPMENT_MARK).touch()
    assert run("keys", "create", "alice", "--json").data["encrypted"] is False


def test_an_account_may_be_a_name_or_an_address_and_errors_tell_which(run: Run) -> None:
    node = ["--node", "http://127.0.0.1:1", "--json"]
    nobody = run("balance", "nobody", *node)
    assert (nobody.code, nobody.error["name"]) == (8, "key_not_found")
    good = Wallet.from_mnemonic(PHRASE).address_text()
    wrong = good[:-1] + ("q" if good[-1] != "q" else "p")
    checksum = run("balance", wrong, *node)
    assert (checksum.code, checksum.error["name"]) == (2, "invalid_address")
    assert run("balance", good, *node).code == 6


@pytest.mark.parametrize(
    "amount",
    ["1", "0QXC", "1e9QXC", "1.0000000001QXC", "1,5QXC", ".5QXC", "999999999999999999999999999999999QXC"],
)
def test_a_wrong_amount_is_told_before_anything_is_asked(run: Run, password_file: str, amount: str) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    outcome = run("send", "alice", amount, "--from", "alice", "--yes", "--json")
    assert (outcome.code, outcome.error["name"]) == (2, "invalid_amount")


def test_send_with_an_encrypted_key_and_no_terminal_needs_a_password_source(
    run: Run, password_file: str
) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    outcome = run(
        "send", "alice", "1QXC", "--from", "alice", "--yes", "--json", "--node", "http://127.0.0.1:1"
    )
    assert (outcome.code, outcome.error["name"]) == (8, "password_required")


def test_a_wrong_name_is_told_before_a_phrase_is_made(run: Run, password_file: str) -> None:
    outcome = run("keys", "create", "Bad Name!", "--password-file", password_file, "--json")
    assert (outcome.code, outcome.error["name"], outcome.err) == (8, "invalid_key_name", "")


@pytest.mark.parametrize(
    "text",
    ["qx1abc", "qx1...", "tqx1", "QX1ABC", "cosmos1vqxrn4qjlrvqywakp2xgcvqpmf7n9wx0ss7ugh", "0x" + "ab" * 20],
)
def test_a_cut_or_foreign_address_is_an_invalid_address(run: Run, text: str) -> None:
    outcome = run("balance", text, "--node", "http://127.0.0.1:1", "--json")
    assert (outcome.code, outcome.error["code"]) == (2, 1017)


@pytest.mark.parametrize(
    ("amount", "told"),
    [("1.5qxc", "write 1.5QXC"), ("2Qxc", "write 2QXC"), ("-1QXC", "like 1.5QXC")],
)
def test_an_amount_that_is_nearly_right_gets_the_right_hint(
    run: Run, password_file: str, amount: str, told: str
) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    outcome = run("send", "alice", amount, "--from", "alice", "--json")
    assert outcome.code == 2
    assert told in outcome.error["hint"]


def test_hints_name_the_options_of_the_password_that_is_missing(run: Run, password_file: str) -> None:
    run("keys", "create", "alice", "--password-file", password_file)
    changed = run("keys", "change-password", "alice", "--password-file", password_file, "--json")
    assert changed.code == 8
    assert "--new-password-file" in changed.error["hint"]
    empty = Path(password_file).with_name("empty")
    empty.touch(0o600)
    outcome = run("keys", "create", "b", "--password-file", str(empty), "--json")
    assert "first line" in outcome.error["hint"]


def test_a_key_can_sign_for_an_account_that_changed_to_it(run: Run, password_file: str) -> None:
    opened = ["--password-file", password_file]
    old = run("keys", "create", "old", *opened, "--json").data
    new = run("keys", "create", "new", "--scheme", "ml-dsa-44", *opened, "--json").data
    assert run("keys", "set-account", "new", old["address"], *opened, "--json").code == 0
    shown = run("keys", "show", "new", "--json").data
    assert (shown["address"], shown["own_address"]) == (old["address"], new["address"])
    assert run("keys", "rename", "new", "newer", *opened, "--json").data["address"] == old["address"]
    assert run("keys", "set-account", "newer", "--own", *opened, "--json").data["address"] == new["address"]
    assert run("keys", "set-account", "newer", *opened, "--json").code == 2


def test_the_public_key_is_printed_with_its_tag(run: Run, password_file: str) -> None:
    made = run("keys", "create", "a", "--password-file", password_file, "--json").data
    assert run("keys", "public-key", "a").out == made["public_key"].replace("0x", "0x01") + "\n"


def test_the_name_that_was_typed_is_shown_of_two_keys_of_one_account(
    run: Run, password_file: str, home: Path
) -> None:
    from cli.app import App
    from cli.chain import account_of, names_by_address

    opened = ["--password-file", password_file]
    run("keys", "create", "zoe", *opened)
    run("keys", "create", "amy", *opened)
    run("keys", "set-account", "amy", "zoe", *opened)
    for typed in ("zoe", "amy"):
        app = App()
        address = account_of(app, typed)
        assert names_by_address(app)[address] == typed
    app = App()
    assert set(names_by_address(app).values()) == {"amy"}
