"""The gas cases: for each module a file with `cases(world)`, the history in which each of its messages is measured.

A new message needs a `world.typical(...)` and, where its work can grow with its arguments or with the state, a
`world.worst(...)` with all of that as large as the rules allow; `benchmarks/gas_world.py` says what a world offers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.gas_cases import (
    accounts,
    amm,
    bank,
    farming,
    governance,
    guards,
    lending,
    oracle,
    staking,
    tokens,
)
from benchmarks.gas_world import World

SCRIPTS: Final[dict[str, Callable[[World], None]]] = {
    "accounts": accounts.cases,
    "guards": guards.cases,
    "bank": bank.cases,
    "tokens": tokens.cases,
    "staking": staking.cases,
    "governance": governance.cases,
    "oracle": oracle.cases,
    "amm": amm.cases,
    "lending": lending.cases,
    "farming": farming.cases,
}
