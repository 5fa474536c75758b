"""Withdrawals above a market's outflow limit wait in line, if whoever withdraws allows it.

What waits are receipt shares in the market's own account: they earn and bear losses as all others until they are
paid. The hook at a block's beginning pays the first in each market's line, as far as the window's limit and the cash
reach, before any transaction can; whoever waits may take the rest back at any time.
"""

from __future__ import annotations

from typing import Final

from defi_modules.lending.risks import Risking
from defi_modules.lending.types import (
    MAX_MARKETS,
    PAUSE_WITHDRAW,
    Market,
    Moved,
    SupplyTaken,
    Terms,
    Waiting,
    WithdrawalCancelled,
    WithdrawalQueued,
)
from ledger.collections import Counter, Item, OrderedMap
from qenex.errors import AmountNotPositive, AmountTooSmall, NotWaiting, OutflowLimitReached, QenexError
from qenex.integers import BASIS_POINTS
from qenex.types import U16, U64, Denom
from vm.context import Context
from vm.module import message

LAST: Final = (1 << 64) - 1
LEAST_PART: Final = 1_000
"""What waits is at least this part of the window's limit, so that dust cannot make the line long."""


class Queueing(Risking):
    """The lines of waiting withdrawals, one a market."""

    waiting = OrderedMap[tuple[int, int], Waiting](12, key=(U16, U64), value=Waiting)
    waiting_numbers = Counter(13)
    line_height = Item[int](14, U64)
    """Height of the last block whose beginning found somebody in line."""

    def opened(self, ctx: Context, number: int) -> None:
        """Told when a market has opened."""

    def enqueue(
        self,
        ctx: Context,
        number: int,
        terms: Terms,
        market: Market,
        shares: int,
        worth: int,
        *,
        collateral: bool,
    ) -> int:
        """Put shares of the acting account in line; returns their number. Raises AmountTooSmall."""
        limit = self.outflow_limit(terms, market)
        if worth * LEAST_PART < limit:
            raise AmountTooSmall(
                f"what waits is at least {-(-limit // LEAST_PART)} base units of {terms.denom}"
            )
        if not collateral:
            ctx.money.transfer(ctx, ctx.actor, market.account, self.receipt(terms.denom), shares)
            market = market._replace(held_shares=market.held_shares + shares)
        self.write(number, terms, market)
        waits = self.waiting_numbers.next()
        self.waiting.set((number, waits), Waiting(ctx.actor, shares))
        ctx.emit(WithdrawalQueued(waits, ctx.actor, terms.denom, shares))
        return waits

    def check_line(self, ctx: Context, number: int, terms: Terms) -> None:
        """Raise OutflowLimitReached where others wait and are paid first; not while the module's pause keeps the line."""
        if (
            terms.outflow_bps < BASIS_POINTS
            and self.line_height.get() == ctx.height
            and self.waiting.page(prefix=number.to_bytes(2, "big"), limit=1)
        ):
            raise OutflowLimitReached(f"withdrawals of {terms.denom} wait in line and are paid first")

    @message(gas=700, exit=True)
    def cancel_withdrawal(self, ctx: Context, denom: Denom, number: U64) -> Moved:
        """Take back what still waits of a withdrawal: the receipt shares return to the account.

        Args:
            denom: the market's asset.
            number: the number that the withdrawal was given.
        """
        at, terms, market = self.touch(ctx, denom, 0)
        entry = self.waiting.get((at, number))
        if entry is None or entry.address != ctx.actor:
            raise NotWaiting(f"no withdrawal {number} of this account waits in the market of {denom}")
        self.write(at, terms, market._replace(held_shares=market.held_shares - entry.shares))
        self._give_back(ctx, market, (at, number), entry, denom)
        return Moved(entry.shares)

    def _give_back(
        self, ctx: Context, market: Market, key: tuple[int, int], entry: Waiting, denom: str
    ) -> None:
        """Return what waits as receipt shares; the caller has taken them off the market's."""
        self.waiting.set(key, None)
        ctx.money.transfer(ctx, market.account, entry.address, self.receipt(denom), entry.shares)
        ctx.emit(WithdrawalCancelled(key[1], entry.address, denom, entry.shares))

    def pay_waiting(self, ctx: Context) -> None:
        """Pay the first in line, market by market, a bounded number in a block."""
        left, at, number = self.params.queue_items, (0, 0), 0
        for _ in range(MAX_MARKETS):
            found = self.waiting.page(after=at, limit=1)
            if not found or not left:
                return
            if not number:
                self.line_height.set(ctx.height)
            number = found[0][0][0]
            left = self._pay_market(ctx, number, left)
            at = (number, LAST)

    def _pay_market(self, ctx: Context, number: int, left: int) -> int:
        """Pay in one market's line; returns how many of `left` entries are left."""
        terms, market = self.terms_of(number), self.now(ctx, number)
        if market.paused & PAUSE_WITHDRAW:
            return left
        for key, entry in self.waiting.page(prefix=number.to_bytes(2, "big"), limit=left):
            market = self.in_window(ctx, market)
            room = market.cash
            if terms.outflow_bps < BASIS_POINTS:
                room = min(room, self.outflow_room(terms, market))
            if room <= 0:
                break
            shares, paid = entry.shares, self.assets_for(market, entry.shares)
            if paid > room:
                paid = room
                shares = min(shares, self.shares_for(market, paid, round_up=True))
            left -= 1
            try:
                if paid:
                    ctx.money.transfer(ctx, market.account, entry.address, terms.denom, paid)
            except QenexError as error:
                if isinstance(error, AmountNotPositive) and shares < entry.shares:
                    break  # so little room that the token's own fee would take all of it: more will come
                # Frozen, say, or no longer on the token's list: whoever it is does not keep the others waiting.
                market = market._replace(held_shares=market.held_shares - entry.shares)
                self.write(number, terms, market)
                self._give_back(ctx, market, key, entry, terms.denom)
                continue
            rest = entry.shares - shares
            self.waiting.set(key, entry._replace(shares=rest) if rest else None)
            ctx.money.burn(ctx, market.account, self.receipt(terms.denom), shares)
            market = self.leave(ctx, terms, market, paid)._replace(
                assets=market.assets - paid,
                shares=market.shares - shares,
                held_shares=market.held_shares - shares,
            )
            self.write(number, terms, market)
            ctx.emit(SupplyTaken(entry.address, terms.denom, paid, shares))
            if rest:
                break
        return left
