"""The same blocks give the same chain, whatever the process's hash seed and whichever store is under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.replay import write_recording
from tests.scenario import make_application, make_genesis, make_people, story, tell

RUNS = [("0", "memory"), ("1", "sqlite"), ("4242", "leveldb"), ("random", "memory")]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[object]]]:
    people = make_people()
    genesis = make_genesis(people)
    application = make_application(None, genesis)
    told = tell(application, story(people))
    path = tmp_path_factory.mktemp("recording") / "blocks.json"
    write_recording(path, genesis, told)
    statuses = {
        receipt.status
        for item in told
        for receipt in application.ledger.blocks.receipts(item.block.header.height)
    }
    assert len(told) > 20
    assert statuses >= {0, 2000, 2001, 2999, 3100, 3200, 3201, 3202}, "the story has every kind of failure"
    hashes = [[item.block.header.height, item.commit.block_hash.hex()] for item in told]
    return path, hashes


def replay_in_process(path: Path, seed: str, backend: str, folder: Path) -> dict[str, Any]:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "tests.replay", str(path), backend, str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_same_blocks_give_the_same_roots_under_every_hash_seed_and_on_every_store(
    recording: tuple[Path, list[list[object]]], tmp_path: Path
) -> None:
    path, expected = recording
    answers = {}
    for number, (seed, backend) in enumerate(RUNS):
        if backend == "leveldb" and find_spec("plyvel") is None:
            continue
        answers[seed, backend] = replay_in_process(path, seed, backend, tmp_path / str(number))
    first = next(iter(answers.values()))
    assert [entry[:2] for entry in first["heights"][1:]] == expected
    for run, answer in answers.items():
        assert answer["problems"] == [], run
        assert answer["heights"] == first["heights"], f"{run}: roots differ"
        assert answer["records"] == first["records"], f"{run}: the stores differ"
    seeds = {answer["hash"] for answer in answers.values()}
    assert len(seeds) == len(answers), "the processes really had different hash seeds"
