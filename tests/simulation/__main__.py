"""`python -m tests.simulation`: run seeds, or the mutation gate. `--help` says how."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tests.simulation.mutation import Gate, StaleMutant, run_gate
from tests.simulation.runner import SIZES, Report, run_seeds


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000_000:
        raise ValueError
    return value


def _start(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 63:
        raise ValueError
    return value


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if not all(4 <= size <= 30 for size in sizes):
        raise ValueError
    return sizes


_count.__name__ = "number from 1 to 10,000,000"
_start.__name__ = "number from 0"
_sizes.__name__ = "list of validator counts, each from 4 to 30"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    command = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Simulate whole networks of validators with every fault there is, each from a seed.",
        allow_abbrev=False,
    )
    command.add_argument("--seeds", type=_count, default=100, metavar="N", help="how many seeds (100)")
    command.add_argument("--start", type=_start, default=0, metavar="S", help="the first one (0)")
    command.add_argument(
        "--validators",
        type=_sizes,
        default=SIZES,
        metavar="4,7,10",
        help="sizes that the seeds take turns with",
    )
    command.add_argument(
        "--byzantine", action="store_true", help="with traitors of up to a third of the power"
    )
    command.add_argument(
        "--mutants", action="store_true", help="sabotage the core instead; all must be caught"
    )
    command.add_argument("--trace", action="store_true", help="with one seed: tell what happens, on stderr")
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing found; 1: a violation, or a mutant that survived; 2: bad arguments."""
    command = parser()
    given = command.parse_args(arguments)
    if given.trace and (given.seeds != 1 or given.mutants):
        command.error("--trace goes with --seeds 1, and not with --mutants")
    if given.mutants:
        try:
            gate = run_gate(told=_progress)
        except StaleMutant as stale:
            print(f"tests/simulation/mutants.py: {stale}", file=sys.stderr)
            return 1
        _clear()
        print(json.dumps(gate.to_json()) if given.json else _gate_text(gate))
        return 1 if gate.survivors else 0
    report = run_seeds(
        range(given.start, given.start + given.seeds),
        given.validators,
        byzantine=given.byzantine,
        told=None if given.trace else lambda report: _progress(_line(report, given.seeds)),
        write=(lambda line: print(line, file=sys.stderr)) if given.trace else None,
    )
    _clear()
    print(json.dumps(report.to_json()) if given.json else _text(report))
    return 1 if report.failures else 0


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _line(report: Report, seeds: int) -> str:
    return f"{report.seeds} of {seeds} seeds, {report.heights} heights, {report.violations} violations"


def _text(report: Report) -> str:
    lines = [
        f"seeds              {report.seeds:>10,}",
        f"heights            {report.heights:>10,}",
        f"heights per second {report.heights_per_second:>10,.0f}",
        f"violations         {report.violations:>10,}",
        "faults",
        *[f"  {kind:<24} {count:>10,}" for kind, count in sorted(report.faults.items()) if count],
    ]
    for failure in report.failures:
        lines.append(f"\nseed {failure.seed} with {failure.validators} validators: {failure.command}")
        lines += [
            f"  {found.time / 1e9:9.3f} s  node {found.node}  {found.rule}: {found.detail}"
            for found in failure.violations
        ]
    return "\n".join(lines)


def _gate_text(gate: Gate) -> str:
    lines = [f"killed {gate.killed} of {gate.total} in {gate.seconds:.0f} s"]
    lines += [f"survived: {name}" for name in gate.survivors]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
