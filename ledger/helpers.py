"""Small helpers of the ledger's stores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from ledger.backend import Backend

Result = TypeVar("Result")


def run_steps(steps: Generator[None, None, Result]) -> Result:
    """Run a generator to its end; return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # StopIteration.value is untyped


def closing_on_error(store: Backend, make: Callable[[], Result]) -> Result:
    """Return what `make` returns; close the store if it raises."""
    try:
        return make()
    except BaseException:
        store.close()
        raise
