"""Starting on a data folder that is damaged, in use or somebody else's: it says so, and touches nothing.

Real processes on real stores. Nothing: every file's bytes and times, and every folder's, are as before.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from qenex.crypto import encode_address
from tests.e2e.node_process import (
    EXIT_CONFIG,
    ROOT,
    NodeProcess,
    fingerprint,
    make_home,
    make_people,
    transaction,
)
from tests.scenario import Person, make_genesis

pytestmark = pytest.mark.e2e
BACKENDS = ["leveldb", "sqlite"] if find_spec("plyvel") else ["sqlite"]
Damage = Callable[[Path], None]


@pytest.fixture(scope="module", params=BACKENDS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose node ran four times, so that there are tables, a log and a manifest."""
    home = tmp_path_factory.mktemp(request.param) / "node"
    people = make_people()[:1]
    make_home(home, people=people, database={"backend": request.param})
    for life in range(4):
        with NodeProcess(home) as node:
            node.wait_ready()
            for number in range(10):
                node.send(
                    transaction(people, ("bank.send", (Person(100 * life + number).address, ("QXC", 5))))
                )
            assert node.stop() == 0, node.log
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "node")
    return tmp_path / "node"


def backend_of(home: Path) -> str:
    return "sqlite" if (home / "data" / "store.sqlite").exists() else "leveldb"


def refused(home: Path, *said: str, codes: tuple[int, ...] = (EXIT_CONFIG,)) -> str:
    """The node refuses to start: with this exit code, these words, no trace, and nothing touched."""
    before = fingerprint(home)
    with NodeProcess(home) as node:
        code = node.wait_exit()
        log = node.log
    assert code in codes, log
    for text in said:
        assert text in log
    assert "Traceback" not in log
    assert len(log.splitlines()) <= 3, "one line says it"
    assert fingerprint(home) == before, log
    return log


def check(home: Path) -> tuple[int, dict[str, object]]:
    """`qenex node check`: exit code and envelope."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "node", "check", "--home", str(home), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode != 1, f"an internal error: {done.stdout} {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def flip(path: Path, *offsets: int) -> None:
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 0x55
    path.write_bytes(bytes(data))


def newest(home: Path, pattern: str) -> Path:
    found = sorted((home / "data").rglob(pattern), key=lambda path: path.stat().st_size)
    assert found, f"no {pattern}"
    return found[-1]


def test_a_whole_folder_starts_and_passes_the_check(home: Path) -> None:
    code, envelope = check(home)
    assert (code, envelope["ok"]) == (0, True), envelope
    with NodeProcess(home) as node:
        node.wait_ready()
        assert node.stop() == 0


def test_a_missing_current_or_database_file_is_named(home: Path) -> None:
    if backend_of(home) == "leveldb":
        (home / "data" / "leveldb" / "CURRENT").unlink()
        refused(home, "data_folder_corrupt", "CURRENT")
    else:
        (home / "data" / "store.sqlite").unlink()
        refused(home, "data_folder_corrupt", "store.sqlite")
    assert check(home)[0] not in (0, 1)


def test_a_damaged_manifest_or_header_is_found_before_anything_is_written(home: Path) -> None:
    if backend_of(home) == "leveldb":
        path = newest(home, "MANIFEST-*")
        flip(path, 8, path.stat().st_size // 2)
    else:
        flip(home / "data" / "store.sqlite", 3)
    refused(home, "data_folder_corrupt")
    before = fingerprint(home)
    assert check(home)[0] not in (0, 1)
    assert fingerprint(home) == before


def test_a_damaged_marker_is_found(home: Path) -> None:
    flip(home / "data" / "QENEX", 20)
    refused(home, "data_folder_corrupt", "marker")


def test_a_table_with_a_broken_footer_is_found_before_anything_is_written(home: Path) -> None:
    if backend_of(home) == "sqlite":
        file = home / "data" / "store.sqlite"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        refused(home, "damaged", codes=(EXIT_CONFIG, 74))
        return
    table = newest(home, "*.ldb")
    flip(table, table.stat().st_size - 4)
    refused(home, "data_folder_corrupt")


@pytest.mark.parametrize("part", range(6))
def test_the_check_finds_a_flipped_byte_and_changes_nothing(home: Path, part: int) -> None:
    path = newest(home, "*.ldb") if backend_of(home) == "leveldb" else home / "data" / "store.sqlite"
    size = path.stat().st_size
    # Spread over a ninth of the file each, as one byte or a page of them may lie in an unused place.
    flip(path, *[size * (40 * (part + 1) + step) // 360 for step in range(40)])
    before = fingerprint(home)
    code, envelope = check(home)
    assert code not in (0, 1), "damage was not found"
    assert envelope["ok"] is False
    assert fingerprint(home) == before


def run_and_kill(home: Path) -> None:
    """Some more blocks, then `kill -9`: their log stays behind."""
    people = make_people()[:1]
    with NodeProcess(home) as node:
        node.wait_ready()
        address = encode_address(people[0].address)
        people[0].sequence = node.call("state_getAccount", address=address)["sequence"]
        for number in range(8):
            node.send(transaction(people, ("bank.send", (Person(700 + number).address, ("QXC", 5)))))
        node.process.kill()
        node.wait_exit()


def newest_log(home: Path) -> Path:
    return newest(home, "*.log" if backend_of(home) == "leveldb" else "*-wal")


def test_a_cut_log_never_starts_a_chain_that_lost_what_was_signed(home: Path) -> None:
    """A database takes a cut tail for a write that a crash interrupted; the signer's memory knows better."""
    run_and_kill(home)
    log = newest_log(home)
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 4])
    with NodeProcess(home) as node:
        assert node.wait_exit() == EXIT_CONFIG, node.log
        assert "double_sign_refused" in node.log
        assert "old copy" in node.log
        assert "Traceback" not in node.log


def test_the_check_of_a_killed_node_reads_its_log_and_leaves_it(home: Path) -> None:
    run_and_kill(home)
    before = fingerprint(home)
    code, envelope = check(home)
    assert (code, envelope["ok"]) == (0, True), envelope
    after = fingerprint(home)
    # SQLite's index of the log is memory in a file: it may be rewritten, the log and the database may not.
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed <= {"data/store.sqlite-shm"}
    with NodeProcess(home) as node:
        node.wait_ready()
        assert node.stop() == 0


def test_a_folder_in_use_is_refused(home: Path) -> None:
    with open(home / "data" / "lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(home, "data_folder_locked", "in use")
        before = fingerprint(home)
        assert check(home)[0] == EXIT_CONFIG
        assert fingerprint(home) == before


def test_a_second_node_on_a_running_home_is_refused_and_the_first_goes_on(home: Path) -> None:
    with NodeProcess(home) as first:
        first.wait_ready()
        with NodeProcess(home) as second:
            assert second.wait_exit() == EXIT_CONFIG
            assert "data_folder_locked" in second.log
        assert first.call("node_status")["height"] > 0
        assert first.stop() == 0


def test_a_folder_of_something_else_is_refused(home: Path) -> None:
    data = home / "data"
    shutil.rmtree(data)
    data.mkdir()
    (data / "holiday.jpg").write_bytes(b"not ours")
    refused(home, "data_folder_foreign", "nothing was changed")
    assert check(home)[0] == EXIT_CONFIG


def test_a_file_in_place_of_the_folder_is_refused(home: Path) -> None:
    shutil.rmtree(home / "data")
    (home / "data").write_text("a file")
    refused(home, "data_folder_foreign")


def test_a_folder_of_another_kind_of_store_is_refused(home: Path) -> None:
    other = "sqlite" if backend_of(home) == "leveldb" else "leveldb"
    before = fingerprint(home)
    with NodeProcess(home, "--set", f"database.backend={other}") as node:
        assert node.wait_exit() == EXIT_CONFIG
        assert "data_folder_foreign" in node.log
        assert backend_of(home) in node.log
    assert fingerprint(home) == before


def test_another_genesis_is_refused_and_both_are_shown(home: Path) -> None:
    people = make_people()[:1]
    own = make_genesis(people)
    other = replace(own, time=own.time + 1)
    (home / "genesis.json").write_text(other.to_json())
    refused(home, "wrong_genesis", own.hash.hex(), other.hash.hex())


def test_an_unreadable_genesis_or_settings_file_is_named(home: Path) -> None:
    (home / "genesis.json").write_text('{"chain_id": 5, "chain_id": 6}')
    refused(home, "invalid_genesis", "chain_id")
    (home / "qenex.toml").write_text("[rpc]\nport = 99999999\n")
    refused(home, "invalid_config", "rpc.port", "65535")


def test_a_home_without_a_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "data_folder_missing", "genesis.json")
    os.rmdir(tmp_path / "empty")
