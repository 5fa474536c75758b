"""The mutation gate: the production code is broken in many small ways, and the simulator must see each.

A mutant replaces text inside one function, at run time and in this process alone. Its target must still read as
the list says, exactly once, or the gate fails: a list that has gone stale proves nothing.
"""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

from tests.simulation.mutants import MUTANTS, Edit, Mutant
from tests.simulation.scenarios import SUITES

SECONDS: Final = 6.0
"""CPU time of one run; a mutant that needs more has made something endless."""
OURS: Final = (NameError, SyntaxError, ImportError)
"""What a mutant that was written badly raises: no kill."""


class StaleMutant(Exception):
    """A mutant does not fit its target any more, or does not change it."""


class _Endless(Exception):
    pass


class Verdict(NamedTuple):
    """By what a mutant was caught; empty: it survived. `runs` were needed."""

    name: str
    caught: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Gate:
    """Outcome of all."""

    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def total(self) -> int:
        """Mutants tried."""
        return len(self.verdicts)

    @property
    def survivors(self) -> list[str]:
        """Names of those that nothing caught."""
        return [verdict.name for verdict in self.verdicts if not verdict.caught]

    @property
    def killed(self) -> int:
        """How many were caught."""
        return self.total - len(self.survivors)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "killed": self.killed,
            "total": self.total,
            "survivors": self.survivors,
            "seconds": round(self.seconds, 1),
            "caught_by": {verdict.name: verdict.caught for verdict in self.verdicts},
        }


# -- changing a function ---------------------------------------------------------------------------


def function_of(target: str) -> FunctionType:
    """The function that `module:name` or `module:Class.name` names, below any decorator of a method."""
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)
    for inner in ("fget", "__func__", "__wrapped__"):
        found = getattr(found, inner, found) or found
    if not isinstance(found, FunctionType):
        raise StaleMutant(f"{target} is no function")
    return found


def changed_code(name: str, edit: Edit) -> tuple[FunctionType, CodeType]:
    """The target and its code with the change. Raises StaleMutant."""
    function = function_of(edit.target)
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") if not source.startswith("def ") else 0 :]
    if source.count(edit.old) != 1:
        raise StaleMutant(f"{name}: {edit.target} has {source.count(edit.old)} times {edit.old!r}")
    text = "from __future__ import annotations\n" + source.replace(edit.old, edit.new)
    made: dict[str, Any] = {}
    exec(compile(text, f"<mutant {name}>", "exec"), dict(function.__globals__), made)
    code = made[function.__name__].__code__
    if code.co_freevars != function.__code__.co_freevars:
        raise StaleMutant(f"{name}: {edit.target} refers to names of an enclosing function")
    parts = ("co_code", "co_consts", "co_names")
    if all(getattr(code, part) == getattr(function.__code__, part) for part in parts):
        raise StaleMutant(f"{name} changes nothing")
    return function, code


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The production code with one change, everywhere in this process. Raises StaleMutant."""
    changes = [changed_code(mutant.name, edit) for edit in mutant.edits]
    before = [(function, function.__code__) for function, _ in changes]
    for function, code in changes:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _Endless in the main thread after so much CPU time."""

    def stop(_number: int, _frame: Any) -> None:
        raise _Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# -- the gate ----------------------------------------------------------------------------------------


def judge(mutant: Mutant) -> Verdict:
    """Run the suites of a mutant until something is caught. Raises StaleMutant, or what a bad mutant raises."""
    started, runs = time.process_time(), 0
    with applied(mutant):
        for suite in mutant.suites:
            for scenario in SUITES[suite]:
                runs += 1
                caught = _caught(scenario.found)
                if caught:
                    return Verdict(mutant.name, f"{suite}: {caught}", runs, time.process_time() - started)
    return Verdict(mutant.name, "", runs, time.process_time() - started)


def _caught(found: Callable[[], str]) -> str:
    try:
        with _limited(SECONDS):
            return found()
    except _Endless:
        return "endless"
    except OURS:
        raise
    except Exception as error:  # the broken code itself gave up: that is seen, too
        return f"exception: {type(error).__name__}"


def run_gate(
    mutants: Sequence[Mutant] = MUTANTS,
    *,
    told: Callable[[str], None] | None = None,
    processes: int | None = None,
) -> Gate:
    """Try all, on all processors unless told otherwise. Raises StaleMutant."""
    started = time.perf_counter()
    for mutant in mutants:
        for edit in mutant.edits:
            changed_code(mutant.name, edit)  # all of the list is looked at before anything is run
    verdicts = []
    count = processes or os.cpu_count() or 1
    with multiprocessing.get_context("fork").Pool(count) as pool:
        for verdict in pool.imap(judge, mutants):
            verdicts.append(verdict)
            if told is not None:
                told(
                    f"{len(verdicts)} of {len(mutants)} mutants, last {verdict.name}: {verdict.caught or 'SURVIVES'}"
                )
    return Gate(tuple(verdicts), time.perf_counter() - started)
