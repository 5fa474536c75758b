"""Gas follows time: nanoseconds per gas of every message and primitive lie within a factor of 5.

Calibrated within 3.2 on a quiet machine (`python -m benchmarks.gas`), so 5 leaves room for other machines. CPU time and
not wall time, all cases in turn, medians: other programs disturb all alike. What still looks uneven is measured twice.
"""

from __future__ import annotations

from benchmarks.gas import LIMIT, Report, Row, measure

HOW = (
    "Set the `gas` of the message, or of the loop inside, so that `python -m benchmarks.gas` shows it amid the others; "
    "of a message without a case add `world.typical(...)` and `world.worst(...)` to its module's file in benchmarks/gas_cases/."
)


def _line(row: Row) -> str:
    return f"{row.name} ({row.kind}): {row.gas:,} gas, {row.ns / 1000:.1f} us, {row.ratio:.0f} ns/gas"


def _told(report: Report) -> str:
    ordered = sorted(report.timed, key=lambda row: row.ratio)
    few = "\n".join([*map(_line, ordered[:4]), "...", *map(_line, ordered[-4:])])
    return f"nanoseconds per gas spread {report.spread:.1f}, at most {LIMIT}:\n{few}\n{HOW}"


def test_every_message_has_a_case_and_nanoseconds_per_gas_lie_within_a_factor_of_five() -> None:
    report = measure(5)
    assert not report.missing, f"no gas case for {', '.join(report.missing)}. {HOW}"
    if report.spread > LIMIT:
        report = measure(11)
    assert report.spread <= LIMIT, _told(report)
    dearest = max(row.ratio for row in report.timed)
    for row in report.rows:
        assert row.ratio <= dearest, f"{_line(row)}: what is priced for room is never below the time it takes"
