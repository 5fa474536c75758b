"""Messages that swap: along one route, along several, and now for payment at the transaction's end."""

from __future__ import annotations

from defi_modules.amm.base import AmmBase, Hopped
from defi_modules.amm.types import Legs, Path, Swapped
from qenex.errors import AmountZero, MinimumMissing, RouteInvalid, SlippageExceeded
from qenex.types import U64, Amount, Coin, Denom
from vm.context import Context
from vm.module import message

_new = tuple.__new__


class Swaps(AmmBase):
    """Swap messages."""

    @message(gas=1_500)
    def swap_exact_in(
        self, ctx: Context, amount_in: Coin, path: Path, minimum_out: Amount, deadline_s: U64
    ) -> Swapped:
        """Swap an exact input along a route of up to 4 pools.

        Args:
            amount_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            minimum_out: the least to receive of the last denomination, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        if minimum_out <= 0:
            raise MinimumMissing
        received = self._swap_in(ctx, amount_in, path)
        if received < minimum_out:
            raise SlippageExceeded(f"{received} {path[-1].denom} for it now, {minimum_out} wanted at least")
        target = path[-1].denom
        return _new(Swapped, (amount_in.amount, received, _new(Coin, (target, received))))

    def _swap_in(self, ctx: Context, amount_in: Coin, path: Path) -> int:
        denom, amount = amount_in
        if len(path) > 1:
            self._check_path(ctx, path)
        hops: list[Hopped] = []
        for number, paid in path:
            hop = self.swap_pool(ctx, number, denom, paid, amount, True)
            hops.append(hop)
            denom, amount = paid, hop.amount_out
        return self._move_along(ctx, hops)

    @message(gas=1_900)
    def swap_exact_out(
        self,
        ctx: Context,
        denom_in: Denom,
        path: Path,
        amount_out: Amount,
        maximum_in: Amount,
        deadline_s: U64,
    ) -> Swapped:
        """Swap for an exact output along a route of up to 4 pools.

        Args:
            denom_in: what is paid.
            path: the pools in order, each with the denomination that it pays.
            amount_out: what is received of the last denomination, base units.
            maximum_in: the most to pay, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        if maximum_in <= 0:
            raise MinimumMissing
        hops = self._swap_out(ctx, denom_in, path, amount_out)
        if hops[0].amount_in > maximum_in:
            raise SlippageExceeded(f"{hops[0].amount_in} {denom_in} for it now, {maximum_in} offered at most")
        received = self._move_along(ctx, hops)
        return Swapped(hops[0].amount_in, received, Coin(path[-1].denom, received))

    def _swap_out(self, ctx: Context, denom_in: str, path: Path, amount_out: int) -> list[Hopped]:
        self._check_path(ctx, path)
        hops: list[Hopped] = []
        amount = amount_out
        for at in range(len(path) - 1, -1, -1):
            number, paid = path[at]
            came = path[at - 1].denom if at else denom_in
            hop = self.swap_pool(ctx, number, came, paid, amount, False)
            hops.insert(0, hop)
            amount = hop.amount_in
        return hops

    @message(gas=1_500)
    def swap_split(
        self, ctx: Context, denom_in: Denom, legs: Legs, minimum_out: Amount, deadline_s: U64
    ) -> Swapped:
        """Swap parts of an input along several routes to one denomination.

        Args:
            denom_in: what is paid.
            legs: how much goes along which pools; all end in the same denomination.
            minimum_out: the least to receive in all, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        if minimum_out <= 0:
            raise MinimumMissing
        target = legs[0].path[-1].denom
        paid = received = 0
        for amount, path in legs:
            if path[-1].denom != target:
                raise RouteInvalid(f"routes to {target} and to {path[-1].denom}")
            ctx.gas.use(550)
            received += self._swap_in(ctx, Coin(denom_in, amount), path)
            paid += amount
        if received < minimum_out:
            raise SlippageExceeded(f"{received} {target} for it now, {minimum_out} wanted at least")
        return Swapped(paid, received, Coin(target, received))

    @message(gas=1_700)
    def flash_swap(
        self,
        ctx: Context,
        denom_in: Denom,
        path: Path,
        amount_out: Amount,
        maximum_in: Amount,
        deadline_s: U64,
    ) -> Swapped:
        """Receive an exact output now and owe the input until the end of the transaction.

        What is bought can pay for it: an arbitrage in one transaction needs no coins of its own. If the
        debt is not covered at the end, nothing has happened.

        Args:
            denom_in: what is owed.
            path: one pool, with the denomination that it pays.
            amount_out: what is received, base units.
            maximum_in: the most to owe, base units; above zero.
            deadline_s: latest block time, seconds since 1970.
        """
        self.check_deadline(ctx, deadline_s)
        if maximum_in <= 0:
            raise MinimumMissing
        if len(path) != 1:
            raise RouteInvalid("a flash swap goes through one pool; add further swaps as messages")
        hop = self._swap_out(ctx, denom_in, path, amount_out)[0]
        if hop.amount_in > maximum_in:
            raise SlippageExceeded(f"{hop.amount_in} {denom_in} for it now, {maximum_in} offered at most")
        ctx.owe(hop.account, denom_in, hop.amount_in)
        received = self.pay(ctx, hop.account, ctx.actor, hop.denom_out, hop.amount_out)
        return Swapped(hop.amount_in, received, Coin(hop.denom_out, received))

    @staticmethod
    def _check_path(ctx: Context, path: Path) -> None:
        """Each pool once: a route that came back to a pool would be paid by its own earlier hop."""
        numbers = [hop.pool for hop in path]
        if len(set(numbers)) != len(numbers):
            raise RouteInvalid("a route goes through each pool once")
        ctx.gas.use(550 * (len(path) - 1))

    def _move_along(self, ctx: Context, hops: list[Hopped]) -> int:
        """The input from the acting account, from pool to pool, and the output back to it; returns what arrived."""
        source = ctx.actor
        for account, denom, amount, _, _ in hops:
            if amount <= 0:
                raise AmountZero(f"nothing of {denom} arrives at a pool of the route")
            self.pay(ctx, source, account, denom, amount)
            source = account
        return self.pay(ctx, source, ctx.actor, hops[-1].denom_out, hops[-1].amount_out)
