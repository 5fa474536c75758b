"""Messages of pools with shares: constant product and stable."""

from __future__ import annotations

from defi_modules.amm import constant_product, stableswap
from defi_modules.amm.base import AmmBase
from defi_modules.amm.pools import amplification, rescaled
from defi_modules.amm.types import (
    CONSTANT_PRODUCT,
    STABLE,
    Added,
    Book,
    Coins,
    LiquidityAdded,
    LiquidityRemoved,
    Pending,
    Pool,
    Removed,
    SharesReleased,
)
from qenex.crypto.address import Address
from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    InitialLiquidityTooSmall,
    LiquidityTooYoung,
    MinimumMissing,
    NothingToCollect,
    SlippageExceeded,
)
from qenex.types import MAX_AMOUNT, U64, Amount, Coin
from vm.context import Context
from vm.module import message

LOCKED = constant_product.MINIMUM_SHARES


class Shares(AmmBase):
    """Deposits and withdrawals of pools with shares."""

    @message(gas=2_300)
    def add_liquidity(
        self, ctx: Context, pool: U64, maximum: Coins, minimum_shares: Amount, deadline_s: U64
    ) -> Added:
        """Deposit coins for shares of the pool, denomination `amm/POOL`, handed out at the end of the block.

        A constant-product pool takes both coins in its proportion, at most what is offered; of one coin alone
        it swaps a part first. A stable pool takes all that is offered, in any proportion, for a fee on what
        makes it lopsided. 1,000 shares of the first deposit stay locked.

        Args:
            pool: the pool's number.
            maximum: the coins offered.
            minimum_shares: the least shares to receive; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        if minimum_shares <= 0:
            raise MinimumMissing
        terms = self.open_pool(pool, CONSTANT_PRODUCT, STABLE)
        offered = self._amounts(pool, terms, maximum)
        denom = self.share_denom(pool)
        total = ctx.money.supply(denom)
        if terms.curve == CONSTANT_PRODUCT:
            if total and len(maximum) == 1:
                offered = self._swap_part(ctx, pool, terms, maximum[0])
            book = self.opened_book(ctx, pool, terms)
            minted, paid, book = self._deposit_product(book, offered, total)
        else:
            book = self.opened_book(ctx, pool, terms)
            minted, paid, book = self._deposit_stable(ctx, terms, book, offered, total)
        locked = 0 if total else LOCKED
        if total + minted + locked >= MAX_AMOUNT:
            raise AmountTooLarge("2^128 shares or more")
        if minted < minimum_shares:
            raise SlippageExceeded(f"{minted} shares for it now, {minimum_shares} wanted at least")
        self.books.set(pool, rescaled(terms, book, total, total + minted))
        coins = self.take_coins(ctx, terms, paid)
        ctx.money.mint(ctx, terms.account, denom, minted + locked)
        key = (ctx.actor, pool)
        waiting = self.pending.get(key)
        self.pending.set(key, Pending(ctx.height, minted + (waiting.shares if waiting else 0)))
        ctx.emit(LiquidityAdded(pool, ctx.actor, minted, coins))
        return Added(minted, coins)

    def _amounts(self, number: int, pool: Pool, coins: Coins) -> list[int]:
        amounts = [0] * len(pool.denoms)
        for denom, amount in coins:
            at = self.coin_index(number, pool, denom)
            if amounts[at] or amount <= 0:
                raise AmountZero(f"each coin once, with an amount above zero: {denom}")
            amounts[at] = amount
        return amounts

    def _swap_part(self, ctx: Context, number: int, pool: Pool, coin: Coin) -> list[int]:
        """Swap so much of one coin that the rest and the proceeds fit the pool; returns what can be deposited."""
        denom, amount = coin
        at = self.coin_index(number, pool, denom)
        ctx.gas.use(450)
        part = constant_product.single_sided(amount, self.book_of(number).reserves[at], pool.swap_fee)
        other = pool.denoms[1 - at]
        hop = self.swap_pool(ctx, number, denom, other, part, True)
        self.pay(ctx, ctx.actor, pool.account, denom, hop.amount_in)
        got = self.pay(ctx, pool.account, ctx.actor, other, hop.amount_out)
        rest = amount - hop.amount_in
        return [rest, got] if at == 0 else [got, rest]

    def _deposit_product(
        self, book: Book, offered: list[int], total: int
    ) -> tuple[int, tuple[int, ...], Book]:
        a, b = offered
        if total == 0:
            minted = constant_product.first_shares(a, b)
            return minted, (a, b), self.with_reserves(book, (a, b))
        reserves = book.reserves
        minted = constant_product.shares(a, b, reserves[0], reserves[1], total)
        paid = constant_product.deposit_for(minted, reserves[0], reserves[1], total)
        return minted, paid, self.with_reserves(book, paid)

    def _deposit_stable(
        self, ctx: Context, pool: Pool, book: Book, offered: list[int], total: int
    ) -> tuple[int, tuple[int, ...], Book]:
        setup = pool.stable
        assert setup is not None
        rates, amp, admin = (
            setup.rates,
            amplification(setup, ctx.time_s),
            self.params.protocol_share_bps * 10**6,
        )
        count = len(pool.denoms)
        made = stableswap.add_liquidity(
            offered, book.reserves, rates, amp, pool.swap_fee, admin, total, multiplier=setup.multiplier
        )
        minted = made.shares
        if total == 0:
            minted -= LOCKED
            if minted <= 0:
                raise InitialLiquidityTooSmall(f"worth {made.shares} shares, of which 1,000 stay locked")
        elif book.start[:count] != book.reserves:
            # The sandwich rule: a lopsided deposit is a swap, so it is worth no more than it was when the block began.
            then = stableswap.add_liquidity(
                offered, book.start[:count], rates, amp, pool.swap_fee, 0, total, multiplier=setup.multiplier
            )
            minted = min(minted, then.shares)
        if minted <= 0:
            raise AmountZero("a deposit worth less than one share")
        cuts = made.admin_fees
        kept = tuple([amount - cut for amount, cut in zip(offered, cuts, strict=True)])
        return minted, tuple(offered), self.with_reserves(book, kept, cuts)

    @message(gas=2_300, exit=True)
    def remove_liquidity(
        self, ctx: Context, pool: U64, shares: Amount, minimum: Coins, deadline_s: U64
    ) -> Removed:
        """Redeem shares for their part of every coin of the pool. Open while the pool is paused.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: the least to receive of every coin, each above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        terms = self.of_curve(pool, self.pool_of(pool), CONSTANT_PRODUCT, STABLE)
        least = self._minimum(pool, terms, minimum)
        denom = self.share_denom(pool)
        total = ctx.money.supply(denom)
        book = self.opened_book(ctx, pool, terms)
        paid = stableswap.remove_liquidity(shares, book.reserves, total)
        for got, wanted, coin in zip(paid, least, terms.denoms, strict=True):
            if got < wanted:
                raise SlippageExceeded(f"{got} {coin} for it now, {wanted} wanted at least")
        return self._redeem(ctx, pool, terms, book, total, shares, paid, paid)

    def _minimum(self, number: int, pool: Pool, minimum: Coins) -> list[int]:
        try:
            least = self._amounts(number, pool, minimum)
        except AmountZero as error:
            raise MinimumMissing(error.message) from None
        if not all(least):
            raise MinimumMissing(f"for each of {', '.join(pool.denoms)}")
        return least

    def _redeem(
        self,
        ctx: Context,
        number: int,
        pool: Pool,
        book: Book,
        total: int,
        shares: int,
        paid: tuple[int, ...],
        taken: tuple[int, ...],
    ) -> Removed:
        """Burn shares, pay coins; `taken` leaves the reserves, what of it is not paid goes to the protocol."""
        cuts = tuple([gone - out for gone, out in zip(taken, paid, strict=True)])
        book = self.with_reserves(book, tuple([-amount for amount in taken]), cuts)
        self.books.set(number, rescaled(pool, book, total, total - shares))
        ctx.money.burn(ctx, ctx.actor, self.share_denom(number), shares)
        coins = self.give_coins(ctx, pool, ctx.actor, paid)
        ctx.emit(LiquidityRemoved(number, ctx.actor, shares, coins))
        return Removed(coins)

    @message(gas=2_400)
    def remove_one(self, ctx: Context, pool: U64, shares: Amount, minimum: Coin, deadline_s: U64) -> Removed:
        """Redeem shares of a stable pool for one coin alone, for a fee on what makes it lopsided.

        Args:
            pool: the pool's number.
            shares: how many shares.
            minimum: which coin, and the least to receive; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        terms = self.open_pool(pool, STABLE)
        denom, least = minimum
        if least <= 0:
            raise MinimumMissing
        at = self.coin_index(pool, terms, denom)
        setup = terms.stable
        assert setup is not None
        total = ctx.money.supply(self.share_denom(pool))
        book = self.opened_book(ctx, pool, terms)
        amp = amplification(setup, ctx.time_s)
        got, fee = stableswap.remove_one(
            shares, at, book.reserves, setup.rates, amp, terms.swap_fee, total, multiplier=setup.multiplier
        )
        copy = book.start[: len(terms.denoms)]
        if copy != book.reserves:  # the sandwich rule, as for a lopsided deposit
            then, _ = stableswap.remove_one(
                shares, at, copy, setup.rates, amp, terms.swap_fee, total, multiplier=setup.multiplier
            )
            got = min(got, then)
        if got < least or got == 0:
            raise SlippageExceeded(f"{got} {denom} for it now, {least} wanted at least")
        cut = fee * self.params.protocol_share_bps // 10_000
        paid = tuple([got if k == at else 0 for k in range(len(terms.denoms))])
        taken = tuple([got + cut if k == at else 0 for k in range(len(terms.denoms))])
        return self._redeem(ctx, pool, terms, book, total, shares, paid, taken)

    @message(gas=500, exit=True)
    def release_shares(self, ctx: Context, pool: U64) -> Added:
        """Hand out shares of an earlier block's deposit: needed only if the module was paused in between.

        Args:
            pool: the pool's number.
        """
        waiting = self.pending.get((ctx.actor, pool))
        if waiting is None:
            raise NothingToCollect(f"no shares of pool {pool} wait for this account")
        if waiting.height == ctx.height:
            raise LiquidityTooYoung
        self._release(ctx, ctx.actor, pool, waiting)
        return Added(waiting.shares, (Coin(self.share_denom(pool), waiting.shares),))

    def _release(self, ctx: Context, provider: Address, number: int, waiting: Pending) -> None:
        pool = self.pool_of(number)
        self.pending.set((provider, number), None)
        self.pay(ctx, pool.account, provider, self.share_denom(number), waiting.shares)
        ctx.emit(SharesReleased(number, provider, waiting.shares))

    def release_due(self, ctx: Context, limit: int) -> None:
        """Hand out shares that wait, at most `limit` deposits; the rest waits for the next block."""
        for (provider, number), waiting in self.pending.page(limit=limit):
            self._release(ctx, provider, number, waiting)
