"""Liquid stake: `staking/QXC` stands for a part of a pool that is delegated to several validators."""

from __future__ import annotations

from defi_modules.staking.base import LIQUID, MAIN
from defi_modules.staking.math import tokens_for
from defi_modules.staking.types import (
    MAX_DELEGATIONS,
    RECEIPT,
    Leaving,
    LiquidStaked,
    LiquidUnstaked,
    Receipts,
)
from defi_modules.staking.validating import Validating
from qenex.crypto.address import Address
from qenex.errors import (
    DelegationTooSmall,
    ExchangeRateInvalid,
    InsufficientDelegation,
    NoValidatorAvailable,
)
from qenex.types import QXC, Amount
from vm.context import Context
from vm.module import message

TOUCH_GAS = 1_000


class Liquid(Validating):
    """In at the pool's value, out at the pool's value. Its rewards stay in it."""

    @message(gas=5_000)
    def stake_liquid(self, ctx: Context, amount: Amount) -> Receipts:
        """Delegate coins through the pool and get `staking/QXC` for them, a coin like any other.

        Args:
            amount: base units of QXC.
        """
        if amount < self.params.min_delegation:
            raise DelegationTooSmall(f"{amount} base units, at least {self.params.min_delegation}")
        self.accrue(ctx)
        held = self.harvest(ctx)
        books, supply = self.books(), ctx.money.supply(RECEIPT)
        value = sum(held.values()) + books.liquid
        if supply and not value:
            raise ExchangeRateInvalid("all liquid stake has been slashed")
        receipts = amount * supply // value if supply else amount
        if not receipts:
            raise DelegationTooSmall(f"{amount} base units are not worth one of {RECEIPT}")
        target = self._target(ctx, held)
        ctx.money.transfer(ctx, ctx.actor, MAIN, QXC, amount)
        invested = books.liquid + amount
        self.put_books(ctx, books._replace(bonded=books.bonded + invested, liquid=0))
        self.touch(ctx, LIQUID, target)
        self.add_shares(ctx, LIQUID, target, invested)
        ctx.money.mint(ctx, ctx.actor, RECEIPT, receipts)
        ctx.emit(LiquidStaked(ctx.actor, amount, receipts))
        return Receipts(receipts)

    @message(gas=4_000, exit=True)
    def unstake_liquid(self, ctx: Context, receipts: Amount) -> Leaving:
        """Give `staking/QXC` back; what it is worth arrives after the unbonding time, less what is slashed meanwhile.

        Rewards that the pool has not delegated yet are paid at once.

        Args:
            receipts: base units of staking/QXC.
        """
        self.accrue(ctx)
        held = self.harvest(ctx)
        books, supply = self.books(), ctx.money.supply(RECEIPT)
        if not 0 < receipts <= supply:
            raise InsufficientDelegation(f"{receipts} of {supply} base units of {RECEIPT}")
        worth = receipts * (sum(held.values()) + books.liquid) // supply
        ctx.money.burn(ctx, ctx.actor, RECEIPT, receipts)
        active = {validator.address for validator in ctx.validators}
        order = sorted(held, key=lambda address: (address in active, -held[address], address))
        left, completes_s = worth, ctx.time_s + self.params.unbonding_s
        for address in order:
            amount = min(left, held[address])
            if amount:
                self._draw(ctx, address, amount)
                left -= amount
        if left:
            books = self.books()
            self.put_books(ctx, books._replace(liquid=books.liquid - left))
            self.pay(ctx, ctx.actor, left)
        ctx.emit(LiquidUnstaked(ctx.actor, receipts, worth - left, left))
        return Leaving(worth - left, completes_s)

    def _draw(self, ctx: Context, address: Address, amount: int) -> None:
        ctx.gas.use(TOUCH_GAS)
        delegation, validator = self.delegations.get((LIQUID, address)), self.validator_of(address)
        assert delegation is not None
        shares = self.shares_of(delegation, validator, amount)
        self.leave(ctx, LIQUID, address, ctx.actor, amount, shares)

    def harvest(self, ctx: Context) -> dict[Address, int]:
        """Bring the pool's delegations up to date and its rewards into it; what is with each validator, in base units."""
        held: dict[Address, int] = {}
        for (_, address), known in self.delegations.page(prefix=bytes(LIQUID), limit=MAX_DELEGATIONS):
            if not known.shares:
                continue
            ctx.gas.use(TOUCH_GAS)
            delegation, validator = self.touch(ctx, LIQUID, address)
            amount = self.collect_rewards(ctx, LIQUID, address)
            if amount:
                books = self.books()
                self.put_books(ctx, books._replace(liquid=books.liquid + amount))
            held[address] = tokens_for(delegation.shares, validator.tokens, validator.shares)
        return held

    def _target(self, ctx: Context, held: dict[Address, int]) -> Address:
        """Of the first `liquid_validators` active ones that take stake, the one with the least of the pool's."""
        fitting: list[Address] = []
        for active in ctx.validators:
            validator = self.validators.get(active.address)
            ctx.gas.use(20)
            if validator is None or validator.jailed or not validator.tokens:
                continue
            fitting.append(active.address)
            if len(fitting) == self.params.liquid_validators:
                break
        room = self._room()
        fitting = [address for address in fitting if room or address in held]
        if not fitting:
            raise NoValidatorAvailable
        return min(fitting, key=lambda address: held.get(address, 0))

    def _room(self) -> bool:
        """Whether the pool may delegate to one more validator."""
        staker = self.stakers.get(LIQUID)
        return staker is None or staker.validators < MAX_DELEGATIONS

    def liquid_value(self, ctx: Context) -> tuple[int, list[tuple[Address, int]]]:
        """What the pool is worth with all rewards up to now, and what is with each validator; nothing is written."""
        books, _ = self.accrued(ctx)
        total, held = books.liquid, []
        for (_, address), delegation in self.delegations.page(prefix=bytes(LIQUID), limit=MAX_DELEGATIONS):
            validator, _ = self.earned(self.validator_of(address), books)
            tokens = tokens_for(delegation.shares, validator.tokens, validator.shares)
            total += tokens + self.whole_rewards(delegation, validator)
            held.append((address, tokens))
        return total, held
