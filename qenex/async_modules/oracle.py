# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `oracle`, for asyncio."""

from __future__ import annotations

from typing import Annotated, Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike
from qenex.codec import Reference
from qenex.modules.oracle import (
    GET_PRICE,
    LIST_FEEDS,
    LIST_PRICES,
    LIST_REPORTERS,
    REPORT,
    SET_FEEDER,
    Feed,
    PriceAnswer,
    PriceReport,
    Reporter,
)
from qenex.types import Length
from qenex.wallet import Wallet


class AsyncOracle(AsyncModuleFace):
    """Prices from validators: a median by power, with age and spread."""

    async def report(
        self,
        wallet: Wallet,
        *,
        prices: tuple[PriceReport, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Report prices, as an active validator's operator or feeder. The last report of each feed counts.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            prices: for each feed once, `mantissa * 10^exponent` of the quote currency.
        """
        return await self._send(wallet, REPORT, {"prices": prices}, options)

    async def set_feeder(
        self,
        wallet: Wallet,
        *,
        feeder: AddressLike | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Let another account report prices for this validator, so that its operator's key can stay away.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            feeder: who reports; nobody but the operator unless given.
        """
        return await self._send(wallet, SET_FEEDER, {"feeder": feeder}, options)

    async def get_price(
        self, symbol: str, max_age_s: int, max_spread_bps: int, *, at: At | None = None
    ) -> PriceAnswer:
        """A price that is at most so old and so uncertain, or an error that says which it is not.

        `at` is a height, the latest one unless given.

        Args:
            symbol: the feed.
            max_age_s: the oldest that is accepted, in seconds.
            max_spread_bps: the widest spread that is accepted, in basis points of the price.
        """
        answer: PriceAnswer = await self._query(
            GET_PRICE, {"symbol": symbol, "max_age_s": max_age_s, "max_spread_bps": max_spread_bps}, at
        )
        return answer

    async def list_feeds(self, *, at: At | None = None) -> Annotated[tuple[Feed, ...], Length(0, 64)]:
        """What is priced on this chain, and what a report has to be like.

        `at` is a height, the latest one unless given.
        """
        answer: Annotated[tuple[Feed, ...], Length(0, 64)] = await self._query(LIST_FEEDS, {}, at)
        return answer

    async def list_prices(self, *, at: At | None = None) -> tuple[PriceAnswer, ...]:
        """The last price of every feed, however old, with its age.

        `at` is a height, the latest one unless given.
        """
        answer: tuple[PriceAnswer, ...] = await self._query(LIST_PRICES, {}, at)
        return answer

    async def list_reporters(self, *, at: At | None = None) -> tuple[Reporter, ...]:
        """Every active validator, who reports for it, and how it has done in this period.

        `at` is a height, the latest one unless given.
        """
        answer: tuple[Reporter, ...] = await self._query(LIST_REPORTERS, {}, at)
        return answer
