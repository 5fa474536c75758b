# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `staking`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, BytesLike
from qenex.codec import Reference
from qenex.modules.staking import (
    CREATE_VALIDATOR,
    DELEGATE,
    EDIT_VALIDATOR,
    GET_DELEGATION,
    GET_LIQUID,
    GET_PARAMETERS,
    GET_POOL,
    GET_SIGNING,
    GET_STAKER,
    GET_VALIDATOR,
    LIST_DELEGATIONS,
    LIST_UNBONDINGS,
    LIST_VALIDATORS,
    LOCK,
    REDELEGATE,
    STAKE_LIQUID,
    UNDELEGATE,
    UNJAIL,
    UNSTAKE_LIQUID,
    WITHDRAW_COMMISSION,
    WITHDRAW_REWARDS,
    Bonded,
    DelegationInfo,
    Leaving,
    LiquidPool,
    Paid,
    Receipts,
    SigningInfo,
    StakerInfo,
    StakingParams,
    StakingPool,
    UnbondingPage,
    ValidatorInfo,
    ValidatorPage,
)
from qenex.wallet import Wallet


class AsyncStaking(AsyncModuleFace):
    """Validators, delegations, rewards and slashing."""

    async def create_validator(
        self,
        wallet: Wallet,
        *,
        key: BytesLike,
        possession: BytesLike,
        moniker: str | Reference,
        commission_bps: int | Reference,
        max_commission_bps: int | Reference,
        max_change_bps: int | Reference,
        min_self_delegation: AmountLike,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Declare a validator that this account operates. It is active once it is among those with the
        most stake.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            key: scheme tag and public key with which its node signs; never to be used again.
            possession: that key's signature over the statement of possession.
            moniker: a name for people, 1 to 64 bytes.
            commission_bps: its part of its delegators' rewards, in basis points.
            max_commission_bps: what the commission never exceeds.
            max_change_bps: by how much the commission rises in a day at most.
            min_self_delegation: base units of its own below which it leaves the set; it is only ever
                raised.
            amount: base units of QXC that it delegates to itself now.
        """
        return await self._send(
            wallet,
            CREATE_VALIDATOR,
            {
                "key": key,
                "possession": possession,
                "moniker": moniker,
                "commission_bps": commission_bps,
                "max_commission_bps": max_commission_bps,
                "max_change_bps": max_change_bps,
                "min_self_delegation": min_self_delegation,
                "amount": amount,
            },
            options,
        )

    async def delegate(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Bonded]:
        """Delegate coins to a validator. A delegation that is locked is locked anew for as long.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            amount: base units of QXC.
        """
        return await self._send(wallet, DELEGATE, {"validator": validator, "amount": amount}, options)

    async def edit_validator(
        self,
        wallet: Wallet,
        *,
        moniker: str | Reference | None = None,
        commission_bps: int | Reference | None = None,
        min_self_delegation: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Change what this account's validator is called and asks. The commission changes once a day at
        most.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            moniker: another name.
            commission_bps: another commission; what was earned before is divided by the old one.
            min_self_delegation: a higher minimum of its own stake.
        """
        return await self._send(
            wallet,
            EDIT_VALIDATOR,
            {
                "moniker": moniker,
                "commission_bps": commission_bps,
                "min_self_delegation": min_self_delegation,
            },
            options,
        )

    async def lock(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        lock_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Lock a delegation: it earns more until the end, and cannot leave before. Its voting power stays
        what it was.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            lock_s: for how long from now, in seconds; a lock is never shortened.
        """
        return await self._send(wallet, LOCK, {"validator": validator, "lock_s": lock_s}, options)

    async def redelegate(
        self,
        wallet: Wallet,
        *,
        source: AddressLike | Reference,
        target: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Bonded]:
        """Move coins from one validator to another at once. Until the unbonding time is over they answer
        for both.

        What was moved stays there for that time: no hops.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            source: the validator they leave.
            target: the validator they go to.
            amount: base units of QXC.
        """
        return await self._send(
            wallet, REDELEGATE, {"source": source, "target": target, "amount": amount}, options
        )

    async def stake_liquid(
        self, wallet: Wallet, *, amount: AmountLike, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Receipts]:
        """Delegate coins through the pool and get `staking/QXC` for them, a coin like any other.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: base units of QXC.
        """
        return await self._send(wallet, STAKE_LIQUID, {"amount": amount}, options)

    async def undelegate(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Leaving]:
        """Take coins back from a validator; they arrive after the unbonding time, less what is slashed
        meanwhile.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            amount: base units of QXC; all that the delegation is worth takes every share.
        """
        return await self._send(wallet, UNDELEGATE, {"validator": validator, "amount": amount}, options)

    async def unjail(self, wallet: Wallet, **options: Unpack[TransactionOptions]) -> AsyncPending[None]:
        """Let this account's validator stand for the set again.

        Returns once admitted; `wait()` gives the receipt.
        """
        return await self._send(wallet, UNJAIL, {}, options)

    async def unstake_liquid(
        self, wallet: Wallet, *, receipts: AmountLike, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Leaving]:
        """Give `staking/QXC` back; what it is worth arrives after the unbonding time, less what is slashed
        meanwhile.

        Rewards that the pool has not delegated yet are paid at once.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            receipts: base units of staking/QXC.
        """
        return await self._send(wallet, UNSTAKE_LIQUID, {"receipts": receipts}, options)

    async def withdraw_commission(
        self, wallet: Wallet, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Paid]:
        """Take the commission that this account's validator has earned.

        Returns once admitted; `wait()` gives the receipt.
        """
        return await self._send(wallet, WITHDRAW_COMMISSION, {}, options)

    async def withdraw_rewards(
        self, wallet: Wallet, *, validator: AddressLike | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Paid]:
        """Take what a delegation has earned.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
        """
        return await self._send(wallet, WITHDRAW_REWARDS, {"validator": validator}, options)

    async def get_delegation(
        self, delegator: AddressLike, validator: AddressLike, *, at: At | None = None
    ) -> DelegationInfo:
        """What an account has with a validator, and what it has earned.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
            validator: the operator's account.
        """
        answer: DelegationInfo = await self._query(
            GET_DELEGATION, {"delegator": delegator, "validator": validator}, at
        )
        return answer

    async def get_liquid(self, *, at: At | None = None) -> LiquidPool:
        """What liquid stake is worth: `value / receipts` base units of QXC for one of staking/QXC.

        `at` is a height, the latest one unless given.
        """
        answer: LiquidPool = await self._query(GET_LIQUID, {}, at)
        return answer

    async def get_parameters(self, *, at: At | None = None) -> StakingParams:
        """The rules of staking in force.

        `at` is a height, the latest one unless given.
        """
        answer: StakingParams = await self._query(GET_PARAMETERS, {}, at)
        return answer

    async def get_pool(self, *, at: At | None = None) -> StakingPool:
        """How much is staked, what it brings, and what waits.

        `at` is a height, the latest one unless given.
        """
        answer: StakingPool = await self._query(GET_POOL, {}, at)
        return answer

    async def get_signing(self, validator: AddressLike, *, at: At | None = None) -> SigningInfo:
        """How many commits of the window at hand lack a validator's vote.

        `at` is a height, the latest one unless given.

        Args:
            validator: the operator's account.
        """
        answer: SigningInfo = await self._query(GET_SIGNING, {"validator": validator}, at)
        return answer

    async def get_staker(self, address: AddressLike, *, at: At | None = None) -> StakerInfo:
        """How much an account has delegated in all, as far as it was touched since a slash, and its
        discount.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: StakerInfo = await self._query(GET_STAKER, {"address": address}, at)
        return answer

    async def get_validator(self, validator: AddressLike, *, at: At | None = None) -> ValidatorInfo:
        """A validator: its stake, its commission, whether it is active, jailed or gone.

        `at` is a height, the latest one unless given.

        Args:
            validator: the operator's account.
        """
        answer: ValidatorInfo = await self._query(GET_VALIDATOR, {"validator": validator}, at)
        return answer

    async def list_delegations(
        self, delegator: AddressLike, *, at: At | None = None
    ) -> tuple[DelegationInfo, ...]:
        """All that an account has delegated, by validator; those it left lately are there, empty.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
        """
        answer: tuple[DelegationInfo, ...] = await self._query(LIST_DELEGATIONS, {"delegator": delegator}, at)
        return answer

    async def list_unbondings(
        self,
        delegator: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> UnbondingPage:
        """What is on its way back to an account, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: UnbondingPage = await self._query(
            LIST_UNBONDINGS, {"delegator": delegator, "limit": limit, "cursor": cursor}, at
        )
        return answer

    async def list_validators(
        self, limit: int | None = None, cursor: AddressLike | None = None, *, at: At | None = None
    ) -> ValidatorPage:
        """All validators, by address; `power` above 0: active.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ValidatorPage = await self._query(LIST_VALIDATORS, {"limit": limit, "cursor": cursor}, at)
        return answer
