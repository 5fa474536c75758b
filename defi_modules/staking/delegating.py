"""Delegations: in, out after a time, from one validator to another, locks, rewards."""

from __future__ import annotations

from typing import Final

from defi_modules.staking.base import MAIN, StakingBase, new_delegation, struck
from defi_modules.staking.math import SCALE, shares_burned, shares_for, slash_amounts, tokens_for
from defi_modules.staking.types import (
    MAX_INCOMING,
    Bonded,
    Delegated,
    Delegation,
    Leaving,
    LockChanged,
    Origin,
    Paid,
    Redelegated,
    Redelegation,
    RewardsWithdrawn,
    Route,
    Seconds,
    Unbonding,
    UndelegationBegun,
    UndelegationCompleted,
    ValidatorJailed,
    ValidatorRecord,
)
from qenex.crypto.address import Address
from qenex.errors import (
    DelegationLocked,
    DelegationTooSmall,
    InsufficientDelegation,
    LockNotOffered,
    NothingToWithdraw,
    RedelegationHop,
    SelfRedelegation,
    TooManyRedelegations,
    UnknownDelegation,
    ValidatorTombstoned,
)
from qenex.errors import (
    ValidatorJailed as InJail,
)
from qenex.types import QXC, Amount
from vm.context import Context
from vm.module import message

TOUCH_ITEMS: Final = 3
"""What touching a delegation counts for among a block's items: it takes about three times as long as a payment."""


class Delegating(StakingBase):
    """What delegators do."""

    @message(gas=5_000)
    def delegate(self, ctx: Context, validator: Address, amount: Amount) -> Bonded:
        """Delegate coins to a validator. A delegation that is locked is locked anew for as long.

        Args:
            validator: the operator's account.
            amount: base units of QXC.
        """
        self.check_open(validator, amount)
        self.touch(ctx, ctx.actor, validator)
        ctx.money.transfer(ctx, ctx.actor, MAIN, QXC, amount)
        books = self.books()
        self.put_books(ctx, books._replace(bonded=books.bonded + amount))
        shares = self.add_shares(ctx, ctx.actor, validator, amount)
        ctx.emit(Delegated(ctx.actor, validator, amount, shares))
        return Bonded(shares)

    @message(gas=4_900, exit=True)
    def undelegate(self, ctx: Context, validator: Address, amount: Amount) -> Leaving:
        """Take coins back from a validator; they arrive after the unbonding time, less what is slashed meanwhile.

        Args:
            validator: the operator's account.
            amount: base units of QXC; all that the delegation is worth takes every share.
        """
        delegation, record = self.own(ctx, validator)
        self.check_free(delegation)
        shares = self.shares_of(delegation, record, amount)
        left = self.leave(ctx, ctx.actor, validator, ctx.actor, amount, shares)
        if not delegation.shares - shares:
            self.pay_rewards(ctx, ctx.actor, validator)
        self.check_self_delegation(ctx, validator)
        return left

    @message(gas=6_500, exit=True)
    def redelegate(self, ctx: Context, source: Address, target: Address, amount: Amount) -> Bonded:
        """Move coins from one validator to another at once. Until the unbonding time is over they answer for both.

        What was moved stays there for that time: no hops.

        Args:
            source: the validator they leave.
            target: the validator they go to.
            amount: base units of QXC.
        """
        if source == target:
            raise SelfRedelegation
        self.check_open(target, amount)
        delegation, record = self.own(ctx, source)
        self.check_free(delegation)
        if delegation.incoming:
            raise RedelegationHop("some of this delegation came by a redelegation that is not over")
        shares = self.shares_of(delegation, record, amount)
        if self.touch(ctx, ctx.actor, target)[0].incoming >= MAX_INCOMING:
            raise TooManyRedelegations(f"{MAX_INCOMING} to one validator at a time")
        self.remove_shares(ctx, ctx.actor, source, amount, shares)
        gained = self.add_shares(ctx, ctx.actor, target, amount)
        number, completes_s = self.entry_numbers.next(), ctx.time_s + self.params.unbonding_s
        self.redelegations.set(
            (ctx.actor, target, number), Redelegation(source, gained, ctx.height, completes_s)
        )
        self.redelegation_queue.set((completes_s, ctx.actor, target, number), 1)
        self.redelegations_from.set((source, number), Route(ctx.actor, target))
        moved = self.delegations.get((ctx.actor, target))
        assert moved is not None
        self.delegations.set((ctx.actor, target), moved._replace(incoming=moved.incoming + 1))
        if not delegation.shares - shares:
            self.pay_rewards(ctx, ctx.actor, source)
        self.check_self_delegation(ctx, source)
        ctx.emit(Redelegated(ctx.actor, source, target, amount, completes_s))
        return Bonded(gained)

    @message(gas=1_250)
    def lock(self, ctx: Context, validator: Address, lock_s: Seconds) -> None:
        """Lock a delegation: it earns more until the end, and cannot leave before. Its voting power stays what it was.

        Args:
            validator: the operator's account.
            lock_s: for how long from now, in seconds; a lock is never shortened.
        """
        delegation, record = self.own(ctx, validator)
        fitting = [boost.boost_bps for boost in self.params.boosts if boost.lock_s <= lock_s]
        longest = max([0, *[boost.lock_s for boost in self.params.boosts]])
        if not fitting or lock_s > longest or ctx.time_s + lock_s < delegation.unlock_s:
            raise LockNotOffered(f"a lock of {lock_s} s; the longest is {longest} s")
        boost = max(fitting)
        if boost < delegation.boost_bps:
            raise LockNotOffered("the delegation has a lock that is worth more")
        self.relock(ctx, ctx.actor, validator, record, delegation, boost, lock_s)

    @message(gas=1_300, exit=True)
    def withdraw_rewards(self, ctx: Context, validator: Address) -> Paid:
        """Take what a delegation has earned.

        Args:
            validator: the operator's account.
        """
        self.own(ctx, validator)
        amount = self.pay_rewards(ctx, ctx.actor, validator)
        if not amount:
            raise NothingToWithdraw
        return Paid(amount)

    # -- checks -----------------------------------------------------------------------------------

    def check_open(self, address: Address, amount: int) -> None:
        """Whether a validator takes `amount`. Raises what is wrong."""
        self.books()
        validator = self.validator_of(address)
        if validator.tombstone is not None:
            raise ValidatorTombstoned
        if validator.jailed:
            raise InJail
        if amount < self.params.min_delegation:
            raise DelegationTooSmall(
                f"{amount} base units, at least {self.params.min_delegation} are delegated"
            )

    def own(self, ctx: Context, address: Address) -> tuple[Delegation, ValidatorRecord]:
        """The acting account's delegation, up to date, and its validator. Raises UnknownDelegation."""
        self.books()
        if self.delegations.get((ctx.actor, address)) is None:
            raise UnknownDelegation("this account has nothing with that validator")
        return self.touch(ctx, ctx.actor, address)

    @staticmethod
    def check_free(delegation: Delegation) -> None:
        """Raises DelegationLocked."""
        if delegation.unlock_s:
            raise DelegationLocked(f"the delegation is locked until {delegation.unlock_s}")

    @staticmethod
    def shares_of(delegation: Delegation, validator: ValidatorRecord, amount: int) -> int:
        """Shares that pay for `amount`; all of them for all they are worth. Raises InsufficientDelegation."""
        worth = tokens_for(delegation.shares, validator.tokens, validator.shares)
        if not 0 < amount <= worth:
            raise InsufficientDelegation(f"{amount} of {worth} base units")
        if amount == worth:
            return delegation.shares
        return min(delegation.shares, shares_burned(amount, validator.tokens, validator.shares))

    # -- steps ------------------------------------------------------------------------------------

    def add_shares(self, ctx: Context, delegator: Address, address: Address, amount: int) -> int:
        """Give a touched delegation the shares for `amount` base units, which the books hold as bonded already."""
        validator = self.validator_of(address)
        before = self.delegations.get((delegator, address))
        delegation = new_delegation(validator.running) if before is None else before
        shares = shares_for(amount, validator.tokens, validator.shares)
        after = delegation._replace(shares=delegation.shares + shares)
        changed = validator._replace(tokens=validator.tokens + amount, shares=validator.shares + shares)
        changed = self.reweigh(changed, delegation, after)
        self.put_validator(ctx, address, changed)
        self.put_delegation(ctx, delegator, address, after, changed)
        if after.unlock_s:
            self.relock(ctx, delegator, address, changed, after, after.boost_bps, after.lock_s)
        return shares

    def remove_shares(
        self, ctx: Context, delegator: Address, address: Address, amount: int, shares: int
    ) -> None:
        """Take `shares` that pay for `amount` from a touched delegation; the books still hold it as bonded."""
        validator, delegation = self.validator_of(address), self.delegations.get((delegator, address))
        assert delegation is not None
        after = delegation._replace(shares=delegation.shares - shares)
        changed = validator._replace(tokens=validator.tokens - amount, shares=validator.shares - shares)
        changed = self.reweigh(changed, delegation, after)
        self.put_validator(ctx, address, changed)
        self.put_delegation(ctx, delegator, address, after, changed)

    def relock(
        self,
        ctx: Context,
        delegator: Address,
        address: Address,
        validator: ValidatorRecord,
        delegation: Delegation,
        boost_bps: int,
        lock_s: int,
    ) -> None:
        """Lock a touched delegation from now on."""
        if delegation.unlock_s:
            self.unlocks.set((delegation.unlock_s, delegator, address), None)
        unlock_s = ctx.time_s + lock_s
        after = delegation._replace(boost_bps=boost_bps, lock_s=lock_s, unlock_s=unlock_s)
        changed = self.reweigh(validator, delegation, after)
        self.unlocks.set((unlock_s, delegator, address), 1)
        self.put_validator(ctx, address, changed)
        self.put_delegation(ctx, delegator, address, after, changed)
        ctx.emit(LockChanged(delegator, address, unlock_s, boost_bps))

    def leave(
        self, ctx: Context, delegator: Address, address: Address, to: Address, amount: int, shares: int
    ) -> Leaving:
        """Begin to unbond `amount` of a touched delegation, on the way to `to`.

        What goes beyond the free part comes from redelegations, oldest first, and goes on answering for them.
        """
        delegation = self.delegations.get((delegator, address))
        assert delegation is not None
        entries = self.incoming(delegator, address) if delegation.incoming else []
        bound = shares - (delegation.shares - sum([entry.shares for _, entry in entries]))
        pieces: list[tuple[int, Origin | None]] = []
        for key, entry in entries:
            if bound <= 0:
                break
            taken = min(bound, entry.shares)
            bound -= taken
            pieces.append((taken, Origin(entry.source, entry.height)))
            if taken == entry.shares:
                self.drop_redelegation(key, entry)
                delegation = delegation._replace(incoming=delegation.incoming - 1)
            else:
                self.redelegations.set(key, entry._replace(shares=entry.shares - taken))
        self.delegations.set((delegator, address), delegation)
        free = shares - sum([taken for taken, _ in pieces])
        self.remove_shares(ctx, delegator, address, amount, shares)
        books = self.books()
        self.put_books(ctx, books._replace(bonded=books.bonded - amount, unbonding=books.unbonding + amount))
        left, completes_s = amount, ctx.time_s + self.params.unbonding_s
        for taken, origin in [*pieces, (free, None)]:
            # Rounded up for what answers for more; the last piece is the rest.
            part = left if origin is None else min(left, -(-amount * taken // shares))
            if part:
                self._begin(ctx, to, Unbonding(address, part, ctx.height, completes_s, origin))
            left -= part
        return Leaving(amount, completes_s)

    def _begin(self, ctx: Context, to: Address, entry: Unbonding) -> None:
        ctx.gas.use(500)
        number = self.entry_numbers.next()
        self.unbondings.set((to, number), entry)
        self.unbonding_queue.set((entry.completes_s, to, number), 1)
        ctx.emit(UndelegationBegun(number, to, entry.validator, entry.amount, entry.completes_s))

    def collect_rewards(self, ctx: Context, delegator: Address, address: Address) -> int:
        """Whole base units that a touched delegation is owed, taken out of it and of the books' rewards."""
        delegation = self.delegations.get((delegator, address))
        if delegation is None:
            return 0
        amount, rest = divmod(delegation.owed, SCALE)
        if amount:
            self.delegations.set((delegator, address), delegation._replace(owed=rest))
            books = self.books()
            self.put_books(ctx, books._replace(rewards=books.rewards - amount))
        return amount

    def pay_rewards(self, ctx: Context, delegator: Address, address: Address) -> int:
        """Pay a touched delegation what it is owed."""
        amount = self.collect_rewards(ctx, delegator, address)
        if amount:
            self.pay(ctx, delegator, amount)
            ctx.emit(RewardsWithdrawn(delegator, address, amount))
        return amount

    def check_self_delegation(self, ctx: Context, address: Address) -> None:
        """An operator who takes out more than his own minimum allows leaves the set."""
        if ctx.actor != address:
            return
        validator, own = self.validator_of(address), self.delegations.get((address, address))
        worth = 0 if own is None else tokens_for(own.shares, validator.tokens, validator.shares)
        if not validator.jailed and worth < validator.min_self_delegation:
            self.put_validator(ctx, address, validator._replace(jailed=True))
            ctx.emit(ValidatorJailed(address, "self-delegation", ctx.time_s))

    # -- hooks --------------------------------------------------------------------------------------

    def pays(self, entry: Unbonding) -> int:
        """What an entry pays: less the slashes for what it answers for."""
        amount = entry.amount
        answers = [(entry.validator, entry.height)]
        if entry.origin is not None:
            answers.append((entry.origin.validator, entry.origin.height))
        for address, height in answers:
            tombstone = self.validator_of(address).tombstone
            if tombstone is not None and struck(tombstone, height):
                amount -= slash_amounts(0, (amount,), tombstone.slash_bps).entries[0]
        return amount

    def end_unbondings(self, ctx: Context, most: int) -> int:
        """Pay what is over, at most `most` entries; the queue keeps the rest. Returns how many."""
        due = []
        for key, _ in self.unbonding_queue.page(limit=most):
            if key[0] > ctx.time_s:
                break
            due.append(key)
        unbonding, burned = 0, 0
        for key in due:
            _, to, number = key
            entry = self.unbondings.get((to, number))
            assert entry is not None
            amount = self.pays(entry)
            self.unbonding_queue.set(key, None)
            self.unbondings.set((to, number), None)
            unbonding += entry.amount
            burned += entry.amount - amount
            self.pay(ctx, to, amount)
            ctx.emit(UndelegationCompleted(number, to, entry.validator, amount, entry.amount - amount))
        if due:
            books = self.books()
            self.put_books(ctx, books._replace(unbonding=books.unbonding - unbonding))
        if burned:
            ctx.money.burn(ctx, MAIN, QXC, burned)
        return len(due)

    def end_redelegations(self, ctx: Context, most: int) -> int:
        """Let go of redelegations that are over, as far as `most` reaches. Returns what it took of that."""
        due = []
        for key, _ in self.redelegation_queue.page(limit=most // TOUCH_ITEMS):
            if key[0] > ctx.time_s:
                break
            due.append(key)
        for _, delegator, target, number in due:
            place = delegator, target, number
            entry, delegation = self.redelegations.get(place), self.delegations.get((delegator, target))
            if entry is None or delegation is None:
                continue  # an offender's: taken while another one of this delegation was looked at
            if struck(self.validator_of(entry.source).tombstone, entry.height):
                self.touch(ctx, delegator, target)
                continue
            self.delegations.set((delegator, target), delegation._replace(incoming=delegation.incoming - 1))
            self.drop_redelegation(place, entry)
        return TOUCH_ITEMS * len(due)

    def end_locks(self, ctx: Context, most: int) -> int:
        """End what locks that are over were worth, as far as `most` reaches. Returns what it took of that."""
        due = []
        for key, _ in self.unlocks.page(limit=most // TOUCH_ITEMS):
            if key[0] > ctx.time_s:
                break
            due.append(key)
        for _, delegator, address in due:
            self.touch(ctx, delegator, address)
        return TOUCH_ITEMS * len(due)

    def reach_redelegations(self, ctx: Context, most: int) -> int:
        """Slash stake that left a tombstoned validator after its offence, as far as `most` reaches.

        Returns what it took of that.
        """
        left, done = most // TOUCH_ITEMS, 0
        for source, last in self.slash_queue.page(limit=16):
            if left <= 0:
                break
            found = self.redelegations_from.page(
                prefix=bytes(source), after=(source, last) if last else None, limit=left
            )
            for _, route in found:
                self.touch(ctx, route.delegator, route.target)
            self.slash_queue.set(source, found[-1][0][1] if found and len(found) == left else None)
            left, done = left - len(found), done + len(found)
        return TOUCH_ITEMS * done
