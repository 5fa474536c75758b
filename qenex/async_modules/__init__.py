# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The faces of all modules, for asyncio."""

from __future__ import annotations

from qenex.async_faces import AsyncNodeAccess
from qenex.async_modules.accounts import AsyncAccounts
from qenex.async_modules.amm import AsyncAmm
from qenex.async_modules.bank import AsyncBank
from qenex.async_modules.farming import AsyncFarming
from qenex.async_modules.governance import AsyncGovernance
from qenex.async_modules.lending import AsyncLending
from qenex.async_modules.machine import AsyncMachine
from qenex.async_modules.oracle import AsyncOracle
from qenex.async_modules.staking import AsyncStaking
from qenex.async_modules.tokens import AsyncTokens


class AsyncModuleFaces:
    """Every module of the chain as an attribute of the client."""

    machine: AsyncMachine
    accounts: AsyncAccounts
    bank: AsyncBank
    tokens: AsyncTokens
    staking: AsyncStaking
    governance: AsyncGovernance
    oracle: AsyncOracle
    amm: AsyncAmm
    lending: AsyncLending
    farming: AsyncFarming

    def _attach(self, client: AsyncNodeAccess) -> None:
        self.machine = AsyncMachine(client)
        self.accounts = AsyncAccounts(client)
        self.bank = AsyncBank(client)
        self.tokens = AsyncTokens(client)
        self.staking = AsyncStaking(client)
        self.governance = AsyncGovernance(client)
        self.oracle = AsyncOracle(client)
        self.amm = AsyncAmm(client)
        self.lending = AsyncLending(client)
        self.farming = AsyncFarming(client)
