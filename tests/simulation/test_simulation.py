"""Hundreds of networks with faults and traitors keep every rule and go on; thousands in `make test-long`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.plan import BEHAVIOURS, POINTS, calm, draw, draw_above
from tests.simulation.runner import SIZES, Report, run, run_seeds
from tests.simulation.scenarios import SUITES, judge_fork
from tests.simulation.whole import WholeWorld, executed_again
from tests.simulation.world import World

CHUNK = 5
FAULTS = {
    "loss",
    "duplicate",
    "delay",
    "partition",
    "crash",
    "torn write",
    "lost write",
    "slow disk",
    "untimely block",
}

FAILED_ONCE = (
    # Seeds that show a fault that was found here and mended, by size and whether traitors take part.
    (12, 4, False),  # a proposal left, in an answer to a summary, before it was flushed
    (23, 4, False),  # so did a vote
    (
        159,
        4,
        False,
    ),  # a crash between signature and flush: a vote nobody had, and the guard would not repeat it
    (168, 4, False),  # the same
    (
        38,
        4,
        False,
    ),  # the log knew of a block of our own, but did not have it: a proposal waited for it for ever
)


def healthy(report: Report) -> None:
    assert not report.failures, "\n".join(
        f"{failure.command}: {failure.violations}" for failure in report.failures
    )


@pytest.mark.parametrize("start", range(0, 50, CHUNK))
def test_networks_with_faults_keep_every_rule(start: int) -> None:
    healthy(run_seeds(range(start, start + CHUNK)))


@pytest.mark.parametrize("start", range(0, 50, CHUNK))
def test_networks_with_traitors_keep_every_rule(start: int) -> None:
    healthy(run_seeds(range(start, start + CHUNK), byzantine=True))


@pytest.mark.long
@pytest.mark.parametrize("start", range(1_000, 3_500, 50))
@pytest.mark.parametrize("byzantine", [False, True])
def test_thousands_of_networks_keep_every_rule(start: int, byzantine: bool) -> None:
    healthy(run_seeds(range(start, start + 50), byzantine=byzantine))


@pytest.mark.parametrize(("seed", "validators", "byzantine"), FAILED_ONCE)
def test_a_seed_that_failed_once_stays(seed: int, validators: int, byzantine: bool) -> None:
    assert run(draw(seed, validators, byzantine=byzantine)).violations == ()


@pytest.mark.parametrize("suite", SUITES)
def test_every_scenario_is_well_without_sabotage(suite: str) -> None:
    found = [scenario.found() for scenario in SUITES[suite]]
    assert not any(found), found


def test_every_kind_of_fault_and_treason_happens() -> None:
    faults = run_seeds(range(40), (4,)).faults
    assert {kind for kind in FAULTS if not faults[kind]} == set()
    assert {point for point in POINTS if not faults[f"crash {point}"]} == set()
    treason = run_seeds(range(40), (4,), byzantine=True).faults
    # Twice the same key and lies by silence are no events of their own: all others are counted.
    assert {kind for kind in BEHAVIOURS if not treason[kind]} == set()


# -- above the limit ---------------------------------------------------------------------------------


def test_a_fork_by_more_than_a_third_accuses_a_third_and_nobody_honest() -> None:
    forks = 0
    for seed in range(12):
        world = World(draw_above(seed, 4))
        outcome = world.run()
        assert outcome.violations == ()
        assert judge_fork(world, outcome) == ""
        forks += bool(world.watcher.forked)
        named = sum(world.watcher.turn(1).power(address) for address in world.watcher.reported)
        assert not world.watcher.forked or 3 * named >= 40, (
            "honest nodes have the evidence once they hear each other"
        )
    assert forks >= 10, "more than a third of the power forks a cut network"


# -- the same again ------------------------------------------------------------------------------------


def test_one_seed_gives_one_trace_in_any_process_under_any_hash_seed(repository: Path) -> None:
    traces = []
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.simulation",
                "--seeds",
                "3",
                "--start",
                "7",
                "--byzantine",
                "--json",
            ],
            cwd=repository,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        traces.append(json.loads(done.stdout)["trace"])
    assert traces[0] == traces[1] == traces[2]
    assert traces[0] == run_seeds(range(7, 10), byzantine=True).trace
    assert traces[0] != run_seeds(range(8, 11), byzantine=True).trace


def test_real_signatures_decide_the_same_blocks_as_those_of_the_simulator() -> None:
    for seed in range(2):
        # Without crashes: what one leaves of the log depends on the signatures' size.
        plan = replace(draw(seed, 4), heights=2, crashes=())
        test, real = run(plan), run(replace(plan, real=True))
        assert real.violations == ()
        assert real.decisions == test.decisions


@pytest.mark.parametrize("seed", range(3))
def test_whole_applications_come_to_equal_roots_under_faults(seed: int, tmp_path: Path) -> None:
    plan = replace(draw(seed, 4), powers=(10,) * 4, changes=(), healing=3 * 10**9, heights=3)
    plan = replace(plan, crashes=tuple(crash for crash in plan.crashes if crash.node < 4), slow=())
    world = WholeWorld(replace(plan, skews=(0,) * 4), tmp_path)
    outcome = world.run()
    assert outcome.violations == ()
    best = max(world.honest, key=lambda node: node.chain.height).chain
    assert sum(len(item.body.transactions) for item in best.blocks) > 10
    assert executed_again(world.genesis, best.blocks, tmp_path / "again") == best.roots[1:]


# -- the command ---------------------------------------------------------------------------------------


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--validators", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seeds"], told["violations"], told["failures"]) == (2, 0, [])
    assert told["heights"] > 0
    assert told["heights_per_second"] > 0
    assert told["faults"]


def test_the_command_prints_a_table_and_traces_one_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--start", "3", "--validators", "4", "--trace"]) == 0
    output = capsys.readouterr()
    assert "heights per second" in output.out
    assert "decided" in output.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seeds", "0"], ["--seeds", "many"], ["--start", "-1"], ["--validators", "3"], ["--validators", "4,x"],
        ["--trace"], ["--mutants", "--trace", "--seeds", "1"], ["--unknown"], ["stray"],
    ],
)  # fmt: skip
def test_bad_arguments_are_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m tests.simulation" in capsys.readouterr().err


def test_a_failure_names_the_seed_and_the_command_that_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.simulation.runner.draw", lambda seed, size, byzantine: replace(calm(seed, size), bound=1)
    )
    assert main(["--seeds", "1", "--start", "9", "--validators", "7", "--json"]) == 1
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert failure["command"] == "python -m tests.simulation --start 9 --seeds 1 --validators 7 --trace"
    assert failure["violations"][0]["rule"] == "liveness"


def test_sizes_take_turns() -> None:
    assert {SIZES[seed % len(SIZES)] for seed in range(3)} == {4, 7, 10}
