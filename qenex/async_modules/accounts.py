# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`, for asyncio."""

from __future__ import annotations

from typing import Annotated, Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, BytesLike, CoinLike
from qenex.codec import Reference
from qenex.modules.accounts import (
    ADD_SCOPED_KEY,
    APPROVE_QUEUED,
    CANCEL_QUEUED,
    FREEZE,
    GET_ACCOUNT,
    GET_GUARD,
    GET_SCOPED_KEY,
    GET_SCOPED_KEYS,
    QUEUE_TRANSFER,
    REMOVE_GUARD,
    REVOKE_SCOPED_KEY,
    ROTATE_KEY,
    SET_GUARD,
    AccountView,
    GuardView,
    ScopedKeyIndex,
    ScopedKeysView,
    ScopedKeyView,
    SpendingLimit,
    Waiting,
)
from qenex.types import Coin, Length
from qenex.wallet import Wallet


class AsyncAccounts(AsyncModuleFace):
    """Who may act: sequences, keys and their rotation, scoped keys, guards."""

    async def add_scoped_key(
        self,
        wallet: Wallet,
        *,
        key: BytesLike,
        messages: tuple[Annotated[str, Length(3, 64)], ...] | Reference,
        limits: tuple[SpendingLimit, ...] | Reference,
        expires: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[ScopedKeyIndex]:
        """Let a second key act for this account, within a scope: for a bot, or an agent. A guarded
        account's waits.

        What leaves the account by it, the fee included, counts against the limits; a denomination
        without a
        limit may not leave. The key counts its own sequence, from 0.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            key: scheme tag (one byte) and public key.
            messages: names of the messages that it may send, like bank.send; none of accounts.
            limits: per denomination the amount that may leave in a period of seconds.
            expires: the last height at which it acts.
        """
        return await self._send(
            wallet,
            ADD_SCOPED_KEY,
            {"key": key, "messages": messages, "limits": limits, "expires": expires},
            options,
        )

    async def approve_queued(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        number: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Let what waits happen at the next block's begin: with both keys nothing has to wait.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            number: which.
        """
        return await self._send(wallet, APPROVE_QUEUED, {"address": address, "number": number}, options)

    async def cancel_queued(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        number: int | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Let what waits not happen: coins go back to their account.

        The canceller can cancel everything, the account itself its transfers alone: a thief with its
        key shall not
        undo the rotation that takes the key from him.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            number: which; all that this account can cancel unless given.
        """
        return await self._send(wallet, CANCEL_QUEUED, {"address": address, "number": number}, options)

    async def freeze(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        seconds: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Cancel all that waits, and let an account sign nothing for a time, unless its canceller signs
        too.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            seconds: how long, 366 days at most; 0 ends it.
        """
        return await self._send(wallet, FREEZE, {"address": address, "seconds": seconds}, options)

    async def queue_transfer(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Waiting]:
        """Send coins once the guard's delay has passed, unless they are cancelled before; they lie in the
        vault.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        return await self._send(wallet, QUEUE_TRANSFER, {"to": to, "amount": amount}, options)

    async def remove_guard(
        self, wallet: Wallet, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Waiting]:
        """Take this account's guard away once its delay has passed; what waits then goes back.

        Returns once admitted; `wait()` gives the receipt.
        """
        return await self._send(wallet, REMOVE_GUARD, {}, options)

    async def revoke_scoped_key(
        self, wallet: Wallet, *, number: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Let a scoped key act no more, at once.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            number: what `add_scoped_key` returned.
        """
        return await self._send(wallet, REVOKE_SCOPED_KEY, {"number": number}, options)

    async def rotate_key(
        self,
        wallet: Wallet,
        *,
        new_key: BytesLike,
        possession: BytesLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Waiting]:
        """Sign with another key from now on; the address stays. A guarded account's rotation waits for the
        delay.

        The new key may be of another scheme: that is how an Ed25519 account becomes post-quantum. It
        signs the rotation statement itself (`rotation_sign_bytes`), so nobody can be locked out by a
        typo.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            new_key: scheme tag (one byte) and public key.
            possession: the new key's signature over the rotation statement; of a multisig key the
                encoded array of its members' signatures, nil for who did not sign.
        """
        return await self._send(wallet, ROTATE_KEY, {"new_key": new_key, "possession": possession}, options)

    async def set_guard(
        self,
        wallet: Wallet,
        *,
        canceller: AddressLike | Reference,
        delay_s: int | Reference,
        fee_limit: AmountLike,
        limits: tuple[Coin, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Waiting]:
        """Let large amounts leave this account only after a delay, in which another account can cancel
        them.

        Of each denomination its limit may leave at once in as many seconds as the delay, whatever
        message takes
        it; more, and all of a denomination without a limit, by accounts.queue_transfer alone. Where
        there is a guard
        already, the new one waits for the old one's delay.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            canceller: another account, of any key: it can cancel what waits, and freeze this account.
            delay_s: seconds that queued transfers, rotations and changes of the guard wait.
            fee_limit: base units of QXC that fees may take in as many seconds; at least 1 QXC.
            limits: how much of which denomination may leave at once in as many seconds.
        """
        return await self._send(
            wallet,
            SET_GUARD,
            {"canceller": canceller, "delay_s": delay_s, "fee_limit": fee_limit, "limits": limits},
            options,
        )

    async def get_account(self, address: AddressLike, *, at: At | None = None) -> AccountView:
        """Sequence, native balance and key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: AccountView = await self._query(GET_ACCOUNT, {"address": address}, at)
        return answer

    async def get_guard(self, address: AddressLike, *, at: At | None = None) -> GuardView:
        """An account's guard, and what waits.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: GuardView = await self._query(GET_GUARD, {"address": address}, at)
        return answer

    async def get_scoped_key(
        self, address: AddressLike, number: int, *, at: At | None = None
    ) -> ScopedKeyView:
        """A scoped key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            number: what `add_scoped_key` returned.
        """
        answer: ScopedKeyView = await self._query(GET_SCOPED_KEY, {"address": address, "number": number}, at)
        return answer

    async def get_scoped_keys(self, address: AddressLike, *, at: At | None = None) -> ScopedKeysView:
        """All scoped keys of an account, those that have expired too.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: ScopedKeysView = await self._query(GET_SCOPED_KEYS, {"address": address}, at)
        return answer
