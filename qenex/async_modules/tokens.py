# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `tokens`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, CoinLike
from qenex.codec import Reference
from qenex.modules.tokens import (
    ACCEPT_AUTHORITY,
    BURN,
    CLAIM_VESTING,
    CREATE,
    CREATE_VESTING,
    GET_ESCROW,
    GET_HOLDER,
    GET_TOKEN,
    GET_VESTING,
    LIST_TOKENS,
    LIST_VESTINGS,
    MINT,
    MULTI_SEND,
    OFFER_AUTHORITY,
    OPEN_ESCROW,
    RELEASE_ESCROW,
    RENOUNCE_AUTHORITY,
    RETURN_ESCROW,
    REVOKE_VESTING,
    SET_FROZEN,
    SET_LISTED,
    SET_METADATA,
    Controls,
    Created,
    EscrowInfo,
    Holder,
    Moved,
    Opened,
    Payment,
    TokenInfo,
    TokenPage,
    VestingInfo,
    VestingPage,
)
from qenex.types import QXC
from qenex.wallet import Wallet


class AsyncTokens(AsyncModuleFace):
    """Tokens: create, mint, burn, controls; payments to many; vesting and escrow."""

    async def accept_authority(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Accept the authority over a token that was offered to this account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
        """
        return await self._send(wallet, ACCEPT_AUTHORITY, {"denom": denom}, options)

    async def burn(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Destroy coins of a token that this account holds.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            amount: base units.
        """
        return await self._send(wallet, BURN, {"denom": denom, "amount": amount}, options)

    async def claim_vesting(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Moved]:
        """Take what has become free of a schedule; only its recipient can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the schedule's number.
        """
        return await self._send(wallet, CLAIM_VESTING, {"id": id}, options)

    async def create(
        self,
        wallet: Wallet,
        *,
        symbol: str | Reference,
        name: str | Reference,
        decimals: int | Reference,
        uri: str | Reference,
        supply: AmountLike,
        supply_cap: AmountLike | None = None,
        controls: Controls | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Created]:
        """Create a token; this account gets its first coins and the authority over it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            symbol: 1 to 16 characters of A-Z and 0-9; no second one of this account.
            name: what people read.
            decimals: digits after the point in what people read.
            uri: where more is told.
            supply: base units that are minted to this account at once.
            supply_cap: most base units there may ever be; no cap unless given.
            controls: what the authority can do to holders, for ever; nothing unless given.
        """
        return await self._send(
            wallet,
            CREATE,
            {
                "symbol": symbol,
                "name": name,
                "decimals": decimals,
                "uri": uri,
                "supply": supply,
                "supply_cap": supply_cap,
                "controls": controls,
            },
            options,
        )

    async def create_vesting(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        start_s: int | Reference,
        duration_s: int | Reference,
        cliff_s: int | Reference,
        revocable: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Opened]:
        """Lock coins that become free for somebody linearly.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
            start_s: when it begins, in seconds since 1970.
            duration_s: seconds until all is free.
            cliff_s: seconds before which nothing is free; what became free until then comes at once.
            revocable: whether who locks it may take back what is not free yet.
        """
        return await self._send(
            wallet,
            CREATE_VESTING,
            {
                "to": to,
                "amount": amount,
                "start_s": start_s,
                "duration_s": duration_s,
                "cliff_s": cliff_s,
                "revocable": revocable,
            },
            options,
        )

    async def mint(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        to: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Create coins of a token; its authority alone can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            to: who receives them.
            amount: base units.
        """
        return await self._send(wallet, MINT, {"denom": denom, "to": to, "amount": amount}, options)

    async def multi_send(
        self,
        wallet: Wallet,
        *,
        payments: tuple[Payment, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Pay many accounts at once: all or none.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            payments: up to 500, each with its recipient and coins.
        """
        return await self._send(wallet, MULTI_SEND, {"payments": payments}, options)

    async def offer_authority(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        to: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Offer the authority over a token to an account, which has to accept: a mistyped one loses
        nothing.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            to: to whom; nobody takes an open offer back.
        """
        return await self._send(wallet, OFFER_AUTHORITY, {"denom": denom, "to": to}, options)

    async def open_escrow(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        arbiter: AddressLike | Reference | None = None,
        expires_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Opened]:
        """Lay coins down for somebody until a word is given.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives on release.
            amount: how much of which denomination.
            arbiter: who besides the two can decide; nobody unless given.
            expires_s: from when on this account can take them back, in seconds since 1970.
        """
        return await self._send(
            wallet,
            OPEN_ESCROW,
            {"to": to, "amount": amount, "arbiter": arbiter, "expires_s": expires_s},
            options,
        )

    async def release_escrow(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Moved]:
        """Give an escrow's coins to its recipient; who paid, or the arbiter, can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the escrow's number.
        """
        return await self._send(wallet, RELEASE_ESCROW, {"id": id}, options)

    async def renounce_authority(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Give up the authority over a token, for ever: nobody mints, and nothing is frozen any more; a
        list stays as it is.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
        """
        return await self._send(wallet, RENOUNCE_AUTHORITY, {"denom": denom}, options)

    async def return_escrow(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Moved]:
        """Give an escrow's coins back: its recipient or the arbiter at any time, who paid after the
        expiry.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the escrow's number.
        """
        return await self._send(wallet, RETURN_ESCROW, {"id": id}, options)

    async def revoke_vesting(
        self, wallet: Wallet, *, id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Moved]:
        """End a revocable schedule: what is free goes to its recipient, the rest back to who made it, who
        alone can do this.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            id: the schedule's number.
        """
        return await self._send(wallet, REVOKE_VESTING, {"id": id}, options)

    async def set_frozen(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        account: AddressLike | Reference,
        frozen: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Freeze an account's coins of a freezable token, or set them free; the token's authority alone
        can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            account: whose coins.
            frozen: whether they can move.
        """
        return await self._send(
            wallet, SET_FROZEN, {"denom": denom, "account": account, "frozen": frozen}, options
        )

    async def set_listed(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        account: AddressLike | Reference,
        listed: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Put an account on a token's allow-list, or take it off; the token's authority alone can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            account: who; also a module's account, such as a pool's.
            listed: whether it may receive the token. What it holds already can leave.
        """
        return await self._send(
            wallet, SET_LISTED, {"denom": denom, "account": account, "listed": listed}, options
        )

    async def set_metadata(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        name: str | Reference,
        uri: str | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Change what people read of a token; its authority alone can. Symbol and decimals never change.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the token.
            name: what people read.
            uri: where more is told.
        """
        return await self._send(wallet, SET_METADATA, {"denom": denom, "name": name, "uri": uri}, options)

    async def get_escrow(self, id: int, *, at: At | None = None) -> EscrowInfo:
        """An escrow that waits.

        `at` is a height, the latest one unless given.

        Args:
            id: the escrow's number.
        """
        answer: EscrowInfo = await self._query(GET_ESCROW, {"id": id}, at)
        return answer

    async def get_holder(self, denom: str, address: AddressLike, *, at: At | None = None) -> Holder:
        """What a token's controls say of an account.

        `at` is a height, the latest one unless given.

        Args:
            denom: the token.
            address: the account.
        """
        answer: Holder = await self._query(GET_HOLDER, {"denom": denom, "address": address}, at)
        return answer

    async def get_token(self, denom: str = QXC, *, at: At | None = None) -> TokenInfo:
        """A token: metadata, supply, cap, authority and controls.

        `at` is a height, the latest one unless given.

        Args:
            denom: the token.
        """
        answer: TokenInfo = await self._query(GET_TOKEN, {"denom": denom}, at)
        return answer

    async def get_vesting(self, id: int, *, at: At | None = None) -> VestingInfo:
        """A schedule with what is free of it now.

        `at` is a height, the latest one unless given.

        Args:
            id: the schedule's number.
        """
        answer: VestingInfo = await self._query(GET_VESTING, {"id": id}, at)
        return answer

    async def list_tokens(
        self, limit: int | None = None, cursor: str | None = None, *, at: At | None = None
    ) -> TokenPage:
        """All tokens, by denomination.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: TokenPage = await self._query(LIST_TOKENS, {"limit": limit, "cursor": cursor}, at)
        return answer

    async def list_vestings(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> VestingPage:
        """Schedules whose recipient an account is, oldest first; those that are paid out are not among
        them.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: VestingPage = await self._query(
            LIST_VESTINGS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer
