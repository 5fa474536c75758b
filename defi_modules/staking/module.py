"""Staking, module 4: who validates, with whose stake, for which rewards and at what risk.

Shares of a validator's tokens stand for delegations, so a slash touches the validator alone. What is on its way out
answers for offences by looking at the validator when it arrives. See docs/decisions/0023.
"""

from __future__ import annotations

from typing import NamedTuple

from defi_modules.staking import types
from defi_modules.staking.base import HIGHEST, MAIN, booked
from defi_modules.staking.delegating import TOUCH_ITEMS
from defi_modules.staking.genesis import GenesisPart
from defi_modules.staking.math import FINE, SCALE, weight_of
from defi_modules.staking.types import Books, ValidatorRecord
from qenex.crypto.address import Address
from qenex.errors import InvariantViolated
from qenex.types import QXC
from vm.context import Context
from vm.module import invariant

_EVENTS = (
    types.ValidatorCreated,
    types.ValidatorEdited,
    types.Delegated,
    types.UndelegationBegun,
    types.UndelegationCompleted,
    types.Redelegated,
    types.RedelegationSlashed,
    types.LockChanged,
    types.RewardsWithdrawn,
    types.CommissionWithdrawn,
    types.ValidatorSlashed,
    types.ValidatorJailed,
    types.ValidatorUnjailed,
    types.ValidatorTombstoned,
    types.ValidatorsChanged,
    types.LiquidStaked,
    types.LiquidUnstaked,
    types.CommunityPaid,
)


class Sums(NamedTuple):
    """What the records of validators and delegations add up to."""

    tokens: int
    shares: dict[Address, int]
    weights: dict[Address, int]
    owed: int


class Staking(GenesisPart):
    """Validators, delegations, rewards and slashing."""

    events = _EVENTS

    # -- hooks ----------------------------------------------------------------------------------

    def begin_block(self, ctx: Context) -> None:
        """Punish who voted twice, and note who did not vote: bounded by evidence and validators of a block."""
        if self.book.get() is None:
            return
        for evidence in ctx.block.evidence:
            self.punish_double_vote(ctx, evidence)
        for address in ctx.block.absent:
            self.note_absent(ctx, address)

    def end_block(self, ctx: Context) -> None:
        """What is over, what is to be reached, and the set of two heights on. With nothing due, nothing is written."""
        if self.book.get() is None:
            return
        left = self.params.hook_items
        for work in (self.reach_redelegations, self.end_unbondings, self.end_locks, self.end_redelegations):
            if left >= TOUCH_ITEMS:
                left -= work(ctx, left)
        self.punish_missed_prices(ctx)
        self.update_set(ctx)

    # -- rules that always hold -------------------------------------------------------------------

    @invariant(each="book")
    def what_is_booked_is_held(self, ctx: Context, key: None, old: Books | None, new: Books | None) -> None:
        """The module's account holds at least what its books say is somebody's."""
        if new is not None and ctx.money.balance(MAIN, QXC) < booked(new):
            raise InvariantViolated(
                f"staking holds {ctx.money.balance(MAIN, QXC)} base units, {booked(new)} are booked"
            )

    @invariant(each="validators")
    def a_validator_without_shares_has_no_tokens(
        self, ctx: Context, address: Address, old: ValidatorRecord | None, new: ValidatorRecord | None
    ) -> None:
        """Tokens belong to shares; a tombstone stays, but for an earlier offence that comes to light."""
        if new is None or (not new.shares and new.tokens):
            raise InvariantViolated("a validator has tokens that belong to nobody, or is gone")
        if old is None or old.tombstone is None:
            return
        now, before = new.tombstone, old.tombstone
        if (
            not new.jailed
            or now is None
            or now[1:] != before[1:]
            or now.offence_height > before.offence_height
        ):
            raise InvariantViolated("a tombstone was moved")

    @invariant()
    def stake_adds_up(self, ctx: Context) -> None:
        """Delegations add up to their validators, those and what is leaving to the books, and rewards are covered."""
        books = self.book.get()
        sums = self._sums(books)
        if books is None:
            return
        if sums.tokens != books.bonded:
            raise InvariantViolated(f"validators have {sums.tokens}, the books {books.bonded} bonded")
        leaving = sum([entry.amount for _, entry in self.unbondings.scan()])
        if leaving != books.unbonding:
            raise InvariantViolated(f"{leaving} are leaving, the books have {books.unbonding}")
        if sums.owed > books.rewards:
            raise InvariantViolated(f"rewards of {sums.owed} are owed, {books.rewards} are there")
        if booked(books) > ctx.money.balance(MAIN, QXC):
            raise InvariantViolated("less is held than booked")

    def _sums(self, books: Books | None) -> Sums:
        shares: dict[Address, int] = {}
        weights: dict[Address, int] = {}
        scaled = 0
        validators = dict(self.validators.scan())
        if books is None and validators:
            raise InvariantViolated("there are validators without books")
        for (_, address), delegation in self.delegations.scan():
            validator = validators[address]
            shares[address] = shares.get(address, 0) + delegation.shares
            weight = weight_of(delegation.shares, delegation.boost_bps)
            weights[address] = weights.get(address, 0) + weight
            scaled += (delegation.owed << FINE) + weight * (validator.running - delegation.seen)
        tokens = 0
        for address, validator in validators.items():
            if validator.shares != shares.get(address, 0) or validator.weight != weights.get(address, 0):
                raise InvariantViolated("a validator's shares are not those of its delegations")
            tokens += validator.tokens
            assert books is not None
            due = validator.power * (books.running - validator.seen) + validator.commission
            scaled += (due << FINE) + validator.carry
        return Sums(tokens, shares, weights, -(-scaled // (SCALE << FINE)))

    @invariant()
    def the_ranking_is_that_of_the_stake(self, ctx: Context) -> None:
        """Who stands for the set stands in the ranking with its power; the active have what the machine was told."""
        if self.book.get() is None:
            return
        ranked = {address: HIGHEST - inverse for (inverse, address), _ in self.ranking.scan()}
        active: dict[Address, int] = {}
        for address, validator in self.validators.scan():
            if ranked.pop(address, 0) != self.rank_of(validator):
                raise InvariantViolated("a validator is ranked wrongly")
            if validator.power:
                active[address] = validator.power
        if ranked:
            raise InvariantViolated("the ranking has a stranger")
        if active != {validator.address: validator.power for validator in ctx.validators}:
            raise InvariantViolated("the machine has other validators than staking")

    @invariant()
    def redelegations_are_counted_and_covered(self, ctx: Context) -> None:
        """A delegation has at least the shares that came by its redelegations, and knows how many those are."""
        counts: dict[tuple[Address, Address], int] = {}
        shares: dict[tuple[Address, Address], int] = {}
        for (delegator, target, _), entry in self.redelegations.scan():
            key = delegator, target
            counts[key] = counts.get(key, 0) + 1
            shares[key] = shares.get(key, 0) + entry.shares
        for key, delegation in self.delegations.scan():
            if delegation.incoming != counts.pop(key, 0) or delegation.shares < shares.get(key, 0):
                raise InvariantViolated("a delegation's redelegations are counted wrongly")
        if counts:
            raise InvariantViolated("a redelegation went nowhere")
