"""`qenex node snapshot`, `rollback` and `replay` on homes of stopped nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.keys import RECEIPT, version_key
from node.home import init_home
from node.modules import make_machine
from node.node import open_ledger
from tests.cli.conftest import Run
from tests.node.chain_helpers import make_genesis, open_application
from tests.node.sync_net import grow, wallets

BLOCKS = 12


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The home of a stopped node with some blocks."""
    people = wallets()
    genesis = make_genesis(people)
    home = tmp_path / "node"
    config = init_home(home, genesis, settings={"database": {"backend": "sqlite"}})
    application = open_application(config.data_path, genesis, "sqlite")
    grow(application, people, BLOCKS)
    application.ledger.close()
    return home


def fresh_home(tmp_path: Path) -> Path:
    home = tmp_path / "fresh"
    init_home(home, make_genesis(wallets()), settings={"database": {"backend": "sqlite"}})
    return home


def test_a_snapshot_is_made_listed_and_restored_into_a_new_home(run: Run, node: Path, tmp_path: Path) -> None:
    made = run("--json", "--home", str(node), "node", "snapshot", "create")
    assert made.code == 0, made.err
    assert made.data["height"] == BLOCKS - 1
    (listed,) = run("--json", "--home", str(node), "node", "snapshot", "list").data["snapshots"]
    assert {**listed, "folder": made.data["folder"]} == {**made.data, "problem": None}
    home = fresh_home(tmp_path)
    trusted = f"{BLOCKS - 1}:{made.data['block_hash']}"
    restore = ("--json", "--home", str(home), "node", "snapshot", "restore", "--from", made.data["folder"])
    outcome = run(*restore, "--trusted", trusted)
    assert outcome.code == 0, outcome.err
    assert outcome.data["height"] == BLOCKS - 1
    assert outcome.envelope["warnings"] == []
    checked = run("--json", "--home", str(home), "node", "check")
    assert checked.code == 0, checked.out
    assert checked.data["height"] == BLOCKS - 1
    again = run(*restore)
    assert again.code == 10
    assert again.error["name"] == "data_folder_foreign"


def test_an_untrusted_restore_says_what_to_compare_and_a_wrong_hash_is_refused(
    run: Run, node: Path, tmp_path: Path
) -> None:
    made = run("--json", "--home", str(node), "node", "snapshot", "create", "--height", "5").data
    home = fresh_home(tmp_path)
    restore = ("--json", "--home", str(home), "node", "snapshot", "restore", "--from", made["folder"])
    wrong = run(*restore, "--trusted", f"6:{'00' * 32}")
    assert wrong.code != 0
    assert wrong.error["name"] == "proof_invalid"
    assert run(*restore, "--trusted", f"9:{'00' * 32}").code == 2
    assert run(*restore, "--trusted", "nothing").code == 2
    plain = run(*restore)
    assert plain.code == 0
    assert made["block_hash"] in plain.envelope["warnings"][0]


def test_a_damaged_snapshot_is_named_and_not_restored(run: Run, node: Path, tmp_path: Path) -> None:
    made = run("--json", "--home", str(node), "node", "snapshot", "create").data
    manifest = Path(made["folder"]) / "manifest"
    manifest.write_bytes(manifest.read_bytes()[:-1] + b"\0")
    (listed,) = run("--json", "--home", str(node), "node", "snapshot", "list").data["snapshots"]
    assert "checksum" in listed["problem"]
    assert "damaged" in run("--home", str(node), "node", "snapshot", "list").out
    outcome = run(
        "--json", "--home", str(fresh_home(tmp_path)), "node", "snapshot", "restore", "--from", made["folder"]
    )
    assert outcome.code == 10
    assert outcome.error["name"] == "snapshot_corrupt"


def test_a_home_without_snapshots_says_so(run: Run, node: Path) -> None:
    assert "There are no snapshots" in run("--home", str(node), "node", "snapshot", "list").out
    assert run("--home", str(node), "node", "snapshot", "restore").code == 2
    missing = run("--json", "--home", str(node), "node", "snapshot", "create", "--height", str(BLOCKS))
    assert missing.error["name"] == "not_found"


def test_rollback_goes_back_says_what_it_does_and_keeps_the_signers_memory(run: Run, node: Path) -> None:
    signer = node / "validator" / "signer_state.json"
    signer.parent.mkdir(exist_ok=True)
    signer.write_text("what was signed")
    assert run("--home", str(node), "node", "rollback").code == 11, "nobody could be asked"
    one = run("--json", "--home", str(node), "node", "rollback", "--yes")
    assert one.code == 0, one.err
    assert one.data == {"home": str(node), "from": BLOCKS, "height": BLOCKS - 1}
    assert "will be deleted" in one.err
    assert "signer" in one.err
    more = run("--json", "--home", str(node), "node", "rollback", "--height", "4", "--yes")
    assert more.data["height"] == 4
    assert run("--home", str(node), "node", "rollback", "--height", "4", "--yes").code == 2
    assert run("--home", str(node), "node", "rollback", "--height", "0", "--yes").code == 2
    assert run("--json", "--home", str(node), "node", "check").data["height"] == 4
    assert signer.read_text() == "what was signed"


def test_a_replay_compares_every_block(run: Run, node: Path) -> None:
    outcome = run("--json", "--home", str(node), "node", "replay")
    assert outcome.code == 0, outcome.err
    assert outcome.data["blocks"] == outcome.data["transactions"] == outcome.data["height"] == BLOCKS
    part = run("--json", "--home", str(node), "node", "replay", "--from", "5", "--to", "9")
    assert (part.data["blocks"], part.data["height"]) == (4, 9)
    assert not list(node.glob("replay-*")), "the copy is deleted"
    assert "Every block" in run("--home", str(node), "node", "replay", "--to", "2").out


def test_a_replay_of_no_blocks_is_refused_rather_than_praised(run: Run, node: Path) -> None:
    assert run("--home", str(node), "node", "replay", "--from", "9", "--to", "7").code == 2
    assert run("--home", str(node), "node", "replay", "--from", "9", "--to", "9").code == 2
    beyond = run("--home", str(node), "node", "replay", "--to", str(BLOCKS + 1))
    assert (beyond.code, str(BLOCKS) in beyond.err) == (7, True)


def test_a_replay_names_the_first_height_that_differs(run: Run, node: Path) -> None:
    from node.config import load_config
    from node.home import read_genesis

    config = load_config(node, environment={})
    ledger = open_ledger(config, make_machine(), read_genesis(config.genesis_path))
    batch = ledger.store.batch()
    batch.put(RECEIPT + version_key(7), ledger.store.get(RECEIPT + version_key(6)) or b"")
    ledger.store.write(batch, sync=True)
    ledger.close()
    outcome = run("--json", "--home", str(node), "node", "replay")
    assert outcome.code == 10
    assert outcome.envelope["data"]["differs_at"] == 7


@pytest.mark.parametrize(
    "command", [["snapshot", "list"], ["snapshot", "create"], ["rollback", "--yes"], ["replay"]]
)
def test_a_folder_without_a_node_is_refused(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    outcome = run("--json", "--home", str(tmp_path / "empty"), "node", *command)
    assert outcome.code == 10
    assert outcome.error["name"] == "data_folder_missing"
