# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `farming`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, CoinLike
from qenex.codec import Reference
from qenex.modules.farming import (
    CLAIM,
    CREATE_PROGRAM,
    FUND_PROGRAM,
    GET_POSITION,
    GET_PROGRAM,
    LIST_POSITIONS,
    LIST_PROGRAMS,
    RECLAIM,
    STAKE,
    UNSTAKE,
    Boost,
    Opened,
    PositionInfo,
    PositionPage,
    ProgramInfo,
    ProgramPage,
    Returned,
    Rewards,
)
from qenex.types import Coin
from qenex.wallet import Wallet


class AsyncFarming(AsyncModuleFace):
    """Rewards for stakes: programmes funded in advance, several rewards, boosts for locks."""

    async def claim(
        self, wallet: Wallet, *, position_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Rewards]:
        """Take what a stake has earned; only its owner can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position_id: the stake's number.
        """
        return await self._send(wallet, CLAIM, {"position_id": position_id}, options)

    async def create_program(
        self,
        wallet: Wallet,
        *,
        stake_denom: str | Reference,
        rewards: tuple[Coin, ...] | Reference,
        start_s: int | Reference,
        end_s: int | Reference,
        boosts: tuple[Boost, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Opened]:
        """Make a programme and pay all its rewards in.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            stake_denom: what is staked.
            rewards: 1 to 4 coins, each of another denomination, that flow evenly from start to end.
            start_s: when it begins, in seconds since 1970; not before the block's time.
            end_s: when it ends, at least 60 seconds later.
            boosts: what a lock is worth; both numbers ascend from one to the next.
        """
        return await self._send(
            wallet,
            CREATE_PROGRAM,
            {
                "stake_denom": stake_denom,
                "rewards": rewards,
                "start_s": start_s,
                "end_s": end_s,
                "boosts": boosts,
            },
            options,
        )

    async def fund_program(
        self,
        wallet: Wallet,
        *,
        program_id: int | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Add to one reward of a programme that has not ended; it flows evenly until the end. Anybody can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
            amount: how much of which of its rewards.
        """
        return await self._send(wallet, FUND_PROGRAM, {"program_id": program_id, "amount": amount}, options)

    async def reclaim(
        self, wallet: Wallet, *, program_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Rewards]:
        """Take back what flowed while nobody had a stake; its creator can, once, after the end.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
        """
        return await self._send(wallet, RECLAIM, {"program_id": program_id}, options)

    async def stake(
        self,
        wallet: Wallet,
        *,
        program_id: int | Reference,
        amount: AmountLike,
        lock_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Opened]:
        """Stake coins in a programme. A lock that the programme boosts weighs more until it ends.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
            amount: base units of what it takes.
            lock_s: seconds for which the stake cannot be taken back; 0 for none.
        """
        return await self._send(
            wallet, STAKE, {"program_id": program_id, "amount": amount, "lock_s": lock_s}, options
        )

    async def unstake(
        self,
        wallet: Wallet,
        *,
        position_id: int | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Returned]:
        """Take a stake back, or a part of it, with all it has earned; only its owner can, when it is not
        locked.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position_id: the stake's number.
            amount: base units.
        """
        return await self._send(wallet, UNSTAKE, {"position_id": position_id, "amount": amount}, options)

    async def get_position(self, position_id: int, *, at: At | None = None) -> PositionInfo:
        """A stake, and what `claim` would pay now.

        `at` is a height, the latest one unless given.

        Args:
            position_id: the stake's number.
        """
        answer: PositionInfo = await self._query(GET_POSITION, {"position_id": position_id}, at)
        return answer

    async def get_program(self, program_id: int, *, at: At | None = None) -> ProgramInfo:
        """A programme as it stands at the block's time.

        `at` is a height, the latest one unless given.

        Args:
            program_id: the programme's number.
        """
        answer: ProgramInfo = await self._query(GET_PROGRAM, {"program_id": program_id}, at)
        return answer

    async def list_positions(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> PositionPage:
        """An account's stakes, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PositionPage = await self._query(
            LIST_POSITIONS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    async def list_programs(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> ProgramPage:
        """All programmes, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ProgramPage = await self._query(LIST_PROGRAMS, {"limit": limit, "cursor": cursor}, at)
        return answer
