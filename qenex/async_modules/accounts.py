# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, BytesLike
from qenex.modules.accounts import GET_ACCOUNT, ROTATE_KEY, AccountView
from qenex.wallet import Wallet


class AsyncAccounts(AsyncModuleFace):
    """Who may act: sequences, keys and their rotation."""

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
