"""Small sabotages of the code that guards money and signatures, each of which the tests must notice.

Tests that cannot fail prove nothing. Every entry is one change of text in a temporary copy of the tree;
the named tests are run on it and have to fail. An entry whose text is no longer there fails as well: the
sabotage has to follow the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

ROOMS = ("qenex", "ledger", "vm", "defi_modules", "consensus", "node", "cli", "tests")
MACHINE = ("tests/vm", "tests/defi_modules")
CRASHES = ("tests/node/test_crash_points.py",)
GUARD = ("tests/consensus/test_signer.py",)


class Sabotage(NamedTuple):
    """Replace `old`, which stands `times` times in `file`, by `new`; one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = MACHINE
    times: int = 1


MONEY, EXECUTION, ENTRY = "vm/money.py", "vm/execution.py", "vm/entry.py"
SABOTAGES = [
    Sabotage("a transfer one unit beyond the balance", MONEY, "if balance < amount:", "if balance < amount - 1:"),
    Sabotage("the last unit cannot be sent", MONEY, "if balance < amount:", "if balance <= amount:"),
    Sabotage("a zero transfer is none to worry about", MONEY, "if amount <= 0:\n            raise AmountNotPositive(f\"a transfer", "if amount < 0:\n            raise AmountNotPositive(f\"a transfer"),
    Sabotage("anybody's account may be debited", MONEY, "if source != ctx.actor and (not ctx.module or self.owner(source) != ctx.module):", "if False:"),
    Sabotage("the sender keeps what he sends", MONEY, "(sequence, balance - amount, key, fee_tier, flags)", "(sequence, balance, key, fee_tier, flags)"),
    Sabotage("any module mints anything", MONEY, "if not self.may_mint(ctx.module, denom):", "if False:"),
    Sabotage("a mint leaves the supply as it was", MONEY, "self._state.set_ordered(supply_state_key(denom), supply)", "pass"),
    Sabotage("balances may be negative", MONEY, "        if balance < 0:\n            raise InsufficientBalance", "        if balance < -(10**9):\n            raise InsufficientBalance"),
    Sabotage("conservation is not looked at", MONEY, "        if difference:\n            raise ConservationViolated", "        if False:\n            raise ConservationViolated"),
    Sabotage("conservation looks at gains only", MONEY, "        if difference:\n            raise ConservationViolated", "        if difference > 0:\n            raise ConservationViolated"),
    Sabotage("burned fees stay in the supply", EXECUTION, "        money.burn_fees(burned)\n", ""),
    Sabotage("the rest of fee.max is kept", EXECUTION, "balance + tx.fee.max - paid", "balance"),
    Sabotage("all of fee.max comes back", EXECUTION, "balance + tx.fee.max - paid", "balance + tx.fee.max"),
    Sabotage("a failed transaction is not undone", EXECUTION, "        state.revert(mark)\n        return self._close(tx, gas.used, self.error.code", "        return self._close(tx, gas.used, self.error.code"),
    Sabotage("a failed hook is not undone", EXECUTION, "        state.revert(mark)\n        if code in PAUSING", "        if code in PAUSING"),
    Sabotage("debts are forgotten", EXECUTION, "        self._failed = None\n        self._pay_debts()", "        self._failed = None"),
    Sabotage("tips vanish", EXECUTION, "        money.pay_out(self.info.proposer, self.tips)\n", ""),
    Sabotage("a failure takes the lease", EXECUTION, "if status == 0 and tx.lease is not None:", "if tx.lease is not None:"),
    Sabotage("a paused module goes on", EXECUTION, "if not spec.exit and get(pause_key) is not None:", "if False:"),
    Sabotage("sequences stand still", ENTRY, "(sequence + 1, balance - maximum, stored, fee_tier, flags)", "(sequence, balance - maximum, stored, fee_tier, flags)"),
    Sabotage("every signer pays", ENTRY, "        maximum = 0  # only signer 0 pays\n", ""),
    Sabotage("a later sequence will do", ENTRY, "if signer[1] != account[0]:", "if signer[1] < account[0]:"),
    Sabotage("valid_until ends a block early", ENTRY, "if tx.valid_until < rules.height:", "if tx.valid_until <= rules.height:"),
    Sabotage("a held lease is taken again", ENTRY, ">= rules.height:\n        raise LeaseHeld", "> rules.height + 10**6:\n        raise LeaseHeld"),
    Sabotage("signatures are not asked for", ENTRY, "if verify is not None and not verify(tx, keys):", "if False:"),
    Sabotage("a fee may be one unit beyond the balance", ENTRY, "if maximum > balance:", "if maximum > balance + 1:"),
    Sabotage("the tip is not covered", ENTRY, "needed = gas_limit * rules.price + tip", "needed = gas_limit * rules.price"),
    Sabotage("another chain's transactions count", ENTRY, "if tx.chain_id != rules.chain_id:", "if False:"),
    Sabotage("the guard signs before it remembers", "consensus/signer.py", "        write_durably(self._path, encode_state(new))\n        self.state = new\n        return signature", "        self.state = new\n        return signature", CRASHES),
    Sabotage("the guard signs again what it has signed", "consensus/signer.py", "        if place <= state.place:", "        if place < state.place:", GUARD),
    Sabotage("a restart proposes in the same round", "consensus/signer.py", "return self.state.round + (self.state.step != STEP_NONE)", "return self.state.round", CRASHES),
    Sabotage("a chain opens whatever its last record says", "ledger/opening.py", "if tree.root(meta.height) != meta.tree_root:", "if False:", ("tests/ledger/test_store.py",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    copy = tmp_path_factory.mktemp("sabotaged")
    for room in ROOMS:
        shutil.copytree(repository / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", copy)
    return copy


def run_tests(tree: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "QENEX_LONG"}
    command = [sys.executable, "-m", "pytest", *tests, "-x", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        command,
        cwd=tree,
        env={**environment, "HYPOTHESIS_PROFILE": "ci", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_tests_pass_without_sabotage(tree: Path) -> None:
    done = run_tests(tree, (*MACHINE, *CRASHES, *GUARD, "tests/ledger/test_store.py"))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_the_tests_notice(tree: Path, sabotage: Sabotage) -> None:
    path = tree / sabotage.file
    text = path.read_text()
    assert text.count(sabotage.old) == sabotage.times, "the code has changed: the sabotage has to follow"
    path.write_text(text.replace(sabotage.old, sabotage.new))
    try:
        done = run_tests(tree, sabotage.tests)
    finally:
        path.write_text(text)
    assert done.returncode == 1, f"nobody noticed: {done.stdout[-500:]}"
    assert " failed" in done.stdout or " error" in done.stdout, done.stdout[-500:]
