"""Runs of many seeds, added up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from tests.simulation.checks import Violation
from tests.simulation.plan import Plan, draw
from tests.simulation.world import Outcome, World

SIZES: Final = (4, 7, 10)


@dataclass
class Failure:
    """A run that broke a rule, and the command that shows it again."""

    seed: int
    validators: int
    violations: tuple[Violation, ...]
    command: str

    def to_json(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "seed": self.seed,
            "validators": self.validators,
            "violations": [
                {"rule": v.rule, "detail": v.detail, "node": v.node, "time_s": v.time / 1e9}
                for v in self.violations
            ],
            "command": self.command,
        }


@dataclass
class Report:
    """What the runs came to. `heights` are blocks decided, each counted once a run."""

    byzantine: bool
    seeds: int = 0
    heights: int = 0
    decisions: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    trace: str = ""
    """Hash of the traces of all runs, in order."""

    @property
    def violations(self) -> int:
        """Rules broken, all runs together."""
        return sum(len(failure.violations) for failure in self.failures)

    @property
    def heights_per_second(self) -> float:
        """Blocks decided in a second of real time, by whole networks."""
        return self.heights / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "seeds": self.seeds,
            "byzantine": self.byzantine,
            "heights": self.heights,
            "decisions": self.decisions,
            "faults": dict(sorted(self.faults.items())),
            "violations": self.violations,
            "failures": [failure.to_json() for failure in self.failures],
            "seconds": round(self.seconds, 2),
            "heights_per_second": round(self.heights_per_second, 1),
            "trace": self.trace,
        }


def plan_of(seed: int, sizes: Sequence[int], *, byzantine: bool) -> Plan:
    """The plan of a seed; seeds take turns with the sizes."""
    return draw(seed, sizes[seed % len(sizes)], byzantine=byzantine)


def run(plan: Plan, *, write: Callable[[str], None] | None = None) -> Outcome:
    """One run."""
    return World(plan, write=write).run()


def command_of(seed: int, validators: int, *, byzantine: bool) -> str:
    """What shows this run again, line by line."""
    more = " --byzantine" if byzantine else ""
    return f"python -m tests.simulation --start {seed} --seeds 1 --validators {validators}{more} --trace"


def run_seeds(
    seeds: Iterable[int],
    sizes: Sequence[int] = SIZES,
    *,
    byzantine: bool = False,
    told: Callable[[Report], None] | None = None,
    write: Callable[[str], None] | None = None,
) -> Report:
    """Run each seed; `told` after each."""
    report = Report(byzantine)
    for seed in seeds:
        started = time.perf_counter()
        plan = plan_of(seed, sizes, byzantine=byzantine)
        outcome = run(plan, write=write)
        report.seconds += time.perf_counter() - started
        report.seeds += 1
        report.heights += outcome.height
        report.decisions += outcome.decided
        report.faults.update(outcome.faults)
        report.trace = combined(report.trace, outcome.trace)
        if outcome.violations:
            validators = sizes[seed % len(sizes)]
            command = command_of(seed, validators, byzantine=byzantine)
            report.failures.append(Failure(seed, validators, outcome.violations, command))
        if told is not None:
            told(report)
    return report


def combined(before: str, trace: str) -> str:
    """The hash of a sequence of traces."""
    return blake2b((before + trace).encode(), digest_size=16).hexdigest()
