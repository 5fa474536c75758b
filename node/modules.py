"""The modules this program's chains are made of. The one list: node, wallet and documents read it."""

from __future__ import annotations

from typing import Final

from defi_modules.amm import Amm
from defi_modules.bank import Bank
from defi_modules.farming import Farming
from defi_modules.governance import Governance
from defi_modules.lending import Lending
from defi_modules.oracle import Oracle
from defi_modules.staking import Staking
from defi_modules.tokens import Tokens
from vm.machine import Machine
from vm.module import Module

MODULES: Final[tuple[type[Module], ...]] = (Bank, Tokens, Staking, Governance, Oracle, Amm, Lending, Farming)
"""Besides `machine` and `accounts`, which every machine has."""


def make_machine() -> Machine:
    """A machine with all modules."""
    return Machine(MODULES)
