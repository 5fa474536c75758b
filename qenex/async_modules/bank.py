# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `bank`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, CoinLike
from qenex.codec import Reference
from qenex.modules.bank import GET_BALANCE, GET_BALANCES, GET_SUPPLY, SEND, BalancePage, Sent
from qenex.types import QXC, Amount
from qenex.wallet import Wallet


class AsyncBank(AsyncModuleFace):
    """Coins of every denomination: balances, supplies, transfers."""

    async def send(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Sent]:
        """Send coins to an account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        return await self._send(wallet, SEND, {"to": to, "amount": amount}, options)

    async def get_balance(self, address: AddressLike, denom: str = QXC, *, at: At | None = None) -> Amount:
        """Base units that an account holds of one denomination; 0 for an account that does not exist.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            denom: the denomination.
        """
        answer: Amount = await self._query(GET_BALANCE, {"address": address, "denom": denom}, at)
        return answer

    async def get_balances(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        at: At | None = None,
    ) -> BalancePage:
        """All balances of an account, QXC first, then by denomination.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: BalancePage = await self._query(
            GET_BALANCES, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    async def get_supply(self, denom: str = QXC, *, at: At | None = None) -> Amount:
        """Base units of a denomination in existence.

        `at` is a height, the latest one unless given.

        Args:
            denom: the denomination.
        """
        answer: Amount = await self._query(GET_SUPPLY, {"denom": denom}, at)
        return answer
