# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`, for asyncio."""

from __future__ import annotations

from typing import Annotated, Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, BytesLike
from qenex.codec import Reference
from qenex.modules.accounts import (
    ADD_SCOPED_KEY,
    GET_ACCOUNT,
    GET_SCOPED_KEY,
    GET_SCOPED_KEYS,
    REVOKE_SCOPED_KEY,
    ROTATE_KEY,
    AccountView,
    ScopedKeyIndex,
    ScopedKeysView,
    ScopedKeyView,
    SpendingLimit,
)
from qenex.types import Length
from qenex.wallet import Wallet


class AsyncAccounts(AsyncModuleFace):
    """Who may act: sequences, keys and their rotation."""

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
        """Let a second key act for this account, within a scope: for a bot, or an agent.

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
    ) -> AsyncPending[None]:
        """Sign with another key from now on; the address stays.

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

    async def get_account(self, address: AddressLike, *, at: At | None = None) -> AccountView:
        """Sequence, native balance and key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: AccountView = await self._query(GET_ACCOUNT, {"address": address}, at)
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
