"""A peer that is not installed is left out of the comparison, and told; nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.peer_programs import MISSING, PROGRAMS

EVERY = [peer.name for peer in peers.PEERS]


def test_each_peer_has_its_program_and_stands_beside_a_row_of_ours() -> None:
    assert list(PROGRAMS) == EVERY
    assert {peer.beside for peer in peers.PEERS} <= {own.name for own in peers.OURS}


@pytest.mark.parametrize("name", EVERY)
def test_a_program_says_by_its_exit_code_that_a_package_is_missing(name: str) -> None:
    done = subprocess.run(  # our own file, by an interpreter that finds no installed package at all
        [sys.executable, "-I", "-S", str(peers.PROGRAMS), name, "10"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == MISSING, done.stderr
    assert "No module named" in done.stderr


def test_without_the_environment_every_peer_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "python")
    report = peers.measure(passes=1, transfers=20)
    assert report["skipped"] == EVERY
    assert [row["name"] for row in report["rows"]] == [own.name for own in peers.OURS]
    assert all(row["us"] > 0 for row in report["rows"])
