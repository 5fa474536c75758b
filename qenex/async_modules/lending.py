# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `lending`, for asyncio."""

from __future__ import annotations

from typing import Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, AmountLike, CoinLike
from qenex.codec import Reference
from qenex.modules.lending import (
    BORROW,
    CANCEL_WITHDRAWAL,
    CHOOSE_GROUP,
    COLLATERAL_OFF,
    COLLATERAL_ON,
    COLLECT_RESERVES,
    FLASH_LOAN,
    GET_MARKET,
    GET_POSITION,
    GET_RAMP,
    LIQUIDATE,
    LIST_LIQUIDATABLE,
    LIST_MARKET,
    LIST_MARKETS,
    LIST_WAITING,
    PREVIEW_CHANGES,
    PREVIEW_PRICES,
    REPAY,
    SEED,
    SET_GROUP,
    SET_PAUSE,
    SUPPLY,
    WITHDRAW,
    FlashFees,
    Group,
    Listed,
    MarketInfo,
    MarketPage,
    Moved,
    PositionChange,
    PositionInfo,
    PriceMove,
    Ramp,
    Repaid,
    Risks,
    Seizure,
    Supplied,
    Terms,
    WaitingPage,
    Withdrawn,
)
from qenex.types import QXC, Coin
from qenex.wallet import Wallet


class AsyncLending(AsyncModuleFace):
    """Lending markets with collateral, liquidation and flash loans."""

    async def borrow(
        self, wallet: Wallet, *, amount: CoinLike, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Repaid]:
        """Borrow coins against this account's collateral. Returns what was paid out and all that is owed
        of it now.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: what is borrowed.
        """
        return await self._send(wallet, BORROW, {"amount": amount}, options)

    async def cancel_withdrawal(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        number: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Moved]:
        """Take back what still waits of a withdrawal: the receipt shares return to the account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            number: the number that the withdrawal was given.
        """
        return await self._send(wallet, CANCEL_WITHDRAWAL, {"denom": denom, "number": number}, options)

    async def choose_group(
        self, wallet: Wallet, *, group: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Move this account's position into an efficiency group, or out of any.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            group: its number; 0 for none.
        """
        return await self._send(wallet, CHOOSE_GROUP, {"group": group}, options)

    async def collateral_off(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        shares: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Moved]:
        """Take receipt shares back out of the collateral, as far as no debt needs them.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all that are collateral unless given.
        """
        return await self._send(wallet, COLLATERAL_OFF, {"denom": denom, "shares": shares}, options)

    async def collateral_on(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        shares: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Moved]:
        """Put receipt shares up as collateral: they move into the market's own account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            shares: how many receipt shares; all in the account unless given.
        """
        return await self._send(wallet, COLLATERAL_ON, {"denom": denom, "shares": shares}, options)

    async def collect_reserves(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Pay reserves to the treasury. Only the parameters' authority.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            amount: base units.
        """
        return await self._send(wallet, COLLECT_RESERVES, {"denom": denom, "amount": amount}, options)

    async def flash_loan(
        self, wallet: Wallet, *, coins: tuple[Coin, ...] | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[FlashFees]:
        """Borrow several coins without collateral until the end of this transaction, which fails unless
        they are paid back.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            coins: what is lent, each denomination once.
        """
        return await self._send(wallet, FLASH_LOAN, {"coins": coins}, options)

    async def liquidate(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        collateral: str | Reference,
        debt: str | Reference,
        receive_shares: bool | Reference,
        amount: AmountLike | None = None,
        target_health_bps: int | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Seizure]:
        """Repay a part of an unhealthy position's debt and receive collateral worth as much and a bonus.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose position.
            collateral: what is received.
            debt: what is repaid.
            receive_shares: whether receipt shares are received, or the coins themselves.
            amount: most base units to repay; as much as is allowed unless given.
            target_health_bps: repay no more than brings the position to this health, in basis points.
        """
        return await self._send(
            wallet,
            LIQUIDATE,
            {
                "address": address,
                "collateral": collateral,
                "debt": debt,
                "receive_shares": receive_shares,
                "amount": amount,
                "target_health_bps": target_health_bps,
            },
            options,
        )

    async def list_market(
        self, wallet: Wallet, *, terms: Terms | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Listed]:
        """List an asset, or change the terms of a listed one. Only the parameters' authority.

        Risks of an open market move to their new values in time, caps grow; a new market begins small.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            terms: all terms; decimals, and the seed of an open market, stay what they were.
        """
        return await self._send(wallet, LIST_MARKET, {"terms": terms}, options)

    async def repay(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        amount: AmountLike | None = None,
        address: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Repaid]:
        """Repay a debt. Needs no price; more than is owed is not taken.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: what is owed.
            amount: base units; all that is owed unless given.
            address: whose debt; this account's unless given.
        """
        return await self._send(
            wallet, REPAY, {"denom": denom, "amount": amount, "address": address}, options
        )

    async def seed(
        self, wallet: Wallet, *, denom: str | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[Supplied]:
        """Pay the seed deposit that opens an empty market. It stays in the market for ever.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
        """
        return await self._send(wallet, SEED, {"denom": denom}, options)

    async def set_group(
        self, wallet: Wallet, *, group: Group | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Make an efficiency group or change its terms. Only the parameters' authority.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            group: its number and terms.
        """
        return await self._send(wallet, SET_GROUP, {"group": group}, options)

    async def set_pause(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        flags: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Pause single actions of a market. Only the parameters' authority. Interest goes on.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            flags: sum of 1 supply, 2 withdraw, 4 borrow, 8 repay, 16 liquidate, 32 flash loans; 0
                resumes all.
        """
        return await self._send(wallet, SET_PAUSE, {"denom": denom, "flags": flags}, options)

    async def supply(
        self,
        wallet: Wallet,
        *,
        amount: CoinLike,
        collateral: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Supplied]:
        """Supply coins for receipt shares, which earn interest and can be withdrawn or passed on.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: what is supplied.
            collateral: whether the shares become collateral at once.
        """
        return await self._send(wallet, SUPPLY, {"amount": amount, "collateral": collateral}, options)

    async def withdraw(
        self,
        wallet: Wallet,
        *,
        denom: str | Reference,
        collateral: bool | Reference,
        amount: AmountLike | None = None,
        queue: bool | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Withdrawn]:
        """Give receipt shares back for coins.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            denom: the market's asset.
            collateral: whether shares that are collateral are taken, or those in the account.
            amount: base units of the asset; all that the shares are worth unless given.
            queue: whether what is above the market's outflow limit may wait; it is refused unless true.
        """
        return await self._send(
            wallet,
            WITHDRAW,
            {"denom": denom, "collateral": collateral, "amount": amount, "queue": queue},
            options,
        )

    async def get_market(self, denom: str = QXC, *, at: At | None = None) -> MarketInfo:
        """A market: terms, what it holds and owes, utilisation and rates, with interest up to now.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
        """
        answer: MarketInfo = await self._query(GET_MARKET, {"denom": denom}, at)
        return answer

    async def get_position(self, address: AddressLike, *, at: At | None = None) -> PositionInfo:
        """What an account has put up and owes, its health factor and what it may still borrow; prices are
        the feeds'.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: PositionInfo = await self._query(GET_POSITION, {"address": address}, at)
        return answer

    async def get_ramp(self, denom: str = QXC, *, at: At | None = None) -> Ramp | None:
        """Where a market's terms are on their way to, and since when; nothing if they have arrived.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
        """
        answer: Ramp | None = await self._query(GET_RAMP, {"denom": denom}, at)
        return answer

    async def list_liquidatable(self, limit: int | None = None, *, at: At | None = None) -> Risks:
        """Positions whose health is below 1 by the feeds, the worst of each pair of assets first.

        `at` is a height, the latest one unless given.

        Args:
            limit: the most that are told, 100 unless given.
        """
        answer: Risks = await self._query(LIST_LIQUIDATABLE, {"limit": limit}, at)
        return answer

    async def list_markets(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> MarketPage:
        """All markets, by number.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: MarketPage = await self._query(LIST_MARKETS, {"limit": limit, "cursor": cursor}, at)
        return answer

    async def list_waiting(
        self, denom: str = QXC, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> WaitingPage:
        """Withdrawals that wait in a market's line, the next to be paid first.

        `at` is a height, the latest one unless given.

        Args:
            denom: its asset.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: WaitingPage = await self._query(
            LIST_WAITING, {"denom": denom, "limit": limit, "cursor": cursor}, at
        )
        return answer

    async def preview_changes(
        self,
        address: AddressLike,
        changes: tuple[PositionChange, ...],
        group: int | None = None,
        *,
        at: At | None = None,
    ) -> PositionInfo:
        """What a position would be with more or less collateral and debt: what a wallet shows before it
        signs.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            changes: by asset, what is added or taken away; no less than nothing is left.
            group: the efficiency group it would be in; its own unless given.
        """
        answer: PositionInfo = await self._query(
            PREVIEW_CHANGES, {"address": address, "changes": changes, "group": group}, at
        )
        return answer

    async def preview_prices(
        self, address: AddressLike, moves: tuple[PriceMove, ...], *, at: At | None = None
    ) -> PositionInfo:
        """What price moves would do to a position.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            moves: which prices move, and by how much.
        """
        answer: PositionInfo = await self._query(PREVIEW_PRICES, {"address": address, "moves": moves}, at)
        return answer
