# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `machine`, for asyncio."""

from __future__ import annotations

from qenex.async_faces import AsyncModuleFace, At
from qenex.modules.machine import (
    GET_FEE_MARKET,
    GET_PARAMETERS,
    GET_PAUSE,
    GET_UPGRADE,
    FeeMarket,
    MachineParams,
    Pause,
    Upgrade,
)


class AsyncMachine(AsyncModuleFace):
    """The machine's own state: what every transaction touches and no module owns."""

    async def get_fee_market(self, *, at: At | None = None) -> FeeMarket:
        """Price per gas that the next block asks, and the limits.

        `at` is a height, the latest one unless given.
        """
        answer: FeeMarket = await self._query(GET_FEE_MARKET, {}, at)
        return answer

    async def get_parameters(self, *, at: At | None = None) -> MachineParams:
        """The machine's parameters in force.

        `at` is a height, the latest one unless given.
        """
        answer: MachineParams = await self._query(GET_PARAMETERS, {}, at)
        return answer

    async def get_pause(self, module_id: int, *, at: At | None = None) -> Pause | None:
        """Since when a module is paused, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            module_id: the module's number.
        """
        answer: Pause | None = await self._query(GET_PAUSE, {"module_id": module_id}, at)
        return answer

    async def get_upgrade(self, *, at: At | None = None) -> Upgrade | None:
        """The planned upgrade, or nothing.

        `at` is a height, the latest one unless given.
        """
        answer: Upgrade | None = await self._query(GET_UPGRADE, {}, at)
        return answer
