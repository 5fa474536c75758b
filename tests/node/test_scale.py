"""The benchmark of scale makes real stores: populated, run, snapshotted, restored, and every record checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale import PARTS, table
from benchmarks.validators import alone, simulated, validators
from ledger.backends.leveldb import FOLDER

pytest.importorskip("plyvel")


def test_every_part_on_two_thousand_accounts(tmp_path: Path) -> None:
    reports = {name: part(tmp_path, 2_000, 300) for name, part in PARTS.items()}
    assert reports["populate"]["blocks"] == 1
    assert reports["run"]["transactions"] == 300
    assert reports["run"]["failed"] == 0
    assert reports["run"]["first"]["transactions"] == 3 * 300
    lines = list(table([{"accounts": 2_000, **reports}]))
    assert len(lines) == 3
    assert lines[2].startswith("| 2,000 | ")
    assert len({line.count("|") for line in lines}) == 1
    # The accounts, that of the genesis, and a few records of the modules.
    assert 2_001 <= reports["snapshot"]["entries"] < 2_050
    assert (tmp_path / "restored" / FOLDER).is_dir()
    # A run may be repeated on the same store: the senders go on where they were.
    assert PARTS["run"](tmp_path, 2_000, 300)["failed"] == 0


def test_a_simulated_network_is_measured_by_its_size() -> None:
    small, large = validators(4), validators(7)
    assert large["commit_bytes"] > small["commit_bytes"] > 4 * 2_400
    assert large["known_vote_us"] > 0


def test_messages_grow_as_the_square_of_the_validators_and_the_log_in_proportion() -> None:
    small, large = 10, 40
    messages = [simulated(count)["messages_a_height"] for count in (small, large)]
    logged = [alone(count)["logged_bytes_a_height"] for count in (small, large)]
    assert messages[1] < 1.1 * messages[0] * (large / small) ** 2
    assert logged[1] < 1.1 * logged[0] * large / small
