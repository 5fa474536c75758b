"""What governance is told: voting power as it was at a height, and the community's coins."""

from __future__ import annotations

from typing import Annotated

from defi_modules.staking.liquid import Liquid
from defi_modules.staking.math import tokens_for
from defi_modules.staking.types import MAX_DELEGATIONS, CommunityPaid, Held
from qenex.crypto.address import Address
from qenex.errors import CommunityPoolTooSmall, HeightNotKept
from qenex.types import U64, Amount, Length
from vm.context import Context
from vm.module import internal

LOOKUP_GAS = 200
Holdings = Annotated[tuple[Held, ...], Length(0, MAX_DELEGATIONS)]


class Voting(Liquid):
    """Power is delegated base units of QXC, locks or not, with active validators or not."""

    @internal(callers=("governance",), gas=200)
    def power_at(self, ctx: Context, account: Address, height: U64) -> Amount:
        """All that an account had delegated after the block of a height. Raises HeightNotKept.

        Args:
            account: the delegator.
            height: not beyond the block before, not further back than history is kept.
        """
        return sum([held.power for held in self._delegations_at(ctx, account, height)])

    @internal(callers=("governance",), gas=200)
    def delegations_of(self, ctx: Context, account: Address, height: U64) -> Holdings:
        """With whom an account had delegated how much after the block of a height. Raises HeightNotKept.

        Args:
            account: the delegator.
            height: as for `power_at`.
        """
        return tuple(self._delegations_at(ctx, account, height))

    @internal(callers=("governance",), gas=200)
    def validator_power_at(self, ctx: Context, validator: Address, height: U64) -> Amount:
        """All that was delegated to a validator after the block of a height; 0 for who is none. Raises HeightNotKept.

        Args:
            validator: the operator's account.
            height: as for `power_at`.
        """
        self._check_height(ctx, height)
        return self._value_at(validator, height)[0]

    @internal(callers=("governance",), gas=200)
    def total_power_at(self, ctx: Context, height: U64) -> Amount:
        """All that was delegated after the block of a height. Raises HeightNotKept.

        Args:
            height: as for `power_at`.
        """
        self._check_height(ctx, height)
        found = self.total_history.page(after=height + 1, limit=1, reverse=True)
        return found[0][1].tokens if found else 0

    @internal(callers=("governance",), gas=400)
    def pay_from_community_pool(self, ctx: Context, recipient: Address, amount: Amount) -> None:
        """Spend what the community has. Raises CommunityPoolTooSmall.

        Args:
            recipient: who is paid.
            amount: base units of QXC.
        """
        books = self.accrue(ctx)
        if amount > books.community:
            raise CommunityPoolTooSmall(f"{amount} base units, the community has {books.community}")
        self.put_books(ctx, books._replace(community=books.community - amount))
        self.pay(ctx, recipient, amount)
        ctx.emit(CommunityPaid(recipient, amount))

    def _check_height(self, ctx: Context, height: int) -> None:
        oldest = self.total_history.page(limit=1)
        if not oldest or not oldest[0][0] <= height < ctx.height:
            raise HeightNotKept(f"height {height}")

    def _value_at(self, address: Address, height: int) -> tuple[int, int]:
        """A validator's tokens and shares after the block of a height."""
        found = self.value_history.page(
            prefix=bytes(address), after=(address, height + 1), limit=1, reverse=True
        )
        return (found[0][1].tokens, found[0][1].shares) if found else (0, 0)

    def _delegations_at(self, ctx: Context, account: Address, height: int) -> list[Held]:
        self._check_height(ctx, height)
        held: list[Held] = []
        for (_, address), _ in self.delegations.page(prefix=bytes(account), limit=MAX_DELEGATIONS):
            ctx.gas.use(LOOKUP_GAS)
            key = account, address, height + 1
            found = self.shares_history.page(
                prefix=bytes(account + address), after=key, limit=1, reverse=True
            )
            if found and found[0][1].shares:
                tokens, shares = self._value_at(address, height)
                held.append(Held(address, tokens_for(found[0][1].shares, tokens, shares)))
        return held
