"""What all parts of staking stand on: its collections, its books, and how rewards reach validators and delegations.

Rewards are never handed out in a loop. A running sum of rewards per unit of power grows for all active validators at
once; each validator has one of rewards per unit of weight for its delegators; whoever is touched is paid the difference
since the last time (F1: "F1 Fee Distribution", D. Ojha and C. Goes, 2019; by shares, so that a slash ends no period).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, NamedTuple

from defi_modules.staking.math import (
    FINE,
    SCALE,
    accrue,
    allocate_rewards,
    discount_bps,
    inflation_rate,
    minted,
    power_of,
    slash_amounts,
    tokens_for,
    weight_of,
)
from defi_modules.staking.types import (
    MAX_DELEGATIONS,
    MAX_INCOMING,
    Books,
    Boost,
    Delegation,
    LockChanged,
    Redelegation,
    RedelegationSlashed,
    Route,
    SharesAt,
    Signing,
    Staker,
    Tier,
    Tombstone,
    TotalAt,
    Unbonding,
    ValidatorRecord,
    ValueAt,
)
from ledger.collections import Counter, Item, Map, OrderedMap
from qenex.crypto.address import Address, module_address
from qenex.errors import InvariantViolated, StakingInactive, TooManyDelegations, UnknownValidator
from qenex.state_keys import ModuleId
from qenex.types import QXC, U8, U64, Between, Bytes32, Length
from vm.calls import Handle
from vm.context import Context
from vm.module import Module

MAIN: Final = module_address("staking")
"""Holds all coins of the module; whose they are stands in the books."""
POOL: Final = b"liquid"
LIQUID: Final = module_address("staking", POOL)
"""In whose name the pool of liquid stake delegates. It never holds coins."""
NEUTRAL_BPS: Final = 10_000
HIGHEST: Final = (1 << 64) - 1
DAY_S: Final = 86_400

Fraction = Annotated[int, Between(1, 10_000)]
Share = Annotated[int, Between(0, 10_000)]


class StakingParams(NamedTuple):
    """Rules of staking. Amounts in base units of QXC, times in seconds, parts in basis points.

    `max_validators` with the most stake are active; `power_unit` base units are one voting power. Stake that leaves
    or moves is on its way for `unbonding_s`; shorter than the age of evidence (21 days), a late proof would miss it.
    `min_delegation` and `min_self_delegation` are the least of each. A double vote costs `double_sign_bps`. Of each
    `window_blocks` commits a validator may miss `max_missed_bps`; more costs `downtime_bps` and `downtime_jail_s`
    outside of the set; too many missed prices cost `oracle_bps`. New coins a year: `min_inflation_bps` from
    `goal_bonded_bps` of the supply on, `max_inflation_bps` with nothing bonded. `community_tax_bps` of all rewards are
    for governance to spend. `boosts`: what locks are worth in rewards; `tiers`: discounts on fees; both ascend.
    `liquid_validators` get the stake of the liquid pool. Voting power is known `history_s` back. `hook_items` entries
    that are over are paid in a block; other work on delegations counts among them, three items each.
    """

    max_validators: Annotated[int, Between(1, 150)] = 100
    power_unit: Annotated[int, Between(1, 10**18)] = 10**9
    unbonding_s: Annotated[int, Between(10, 366 * DAY_S)] = 21 * DAY_S
    min_delegation: Annotated[int, Between(1, 10**18)] = 10**6
    min_self_delegation: Annotated[int, Between(1, 10**18)] = 10**9
    double_sign_bps: Fraction = 500
    window_blocks: Annotated[int, Between(4, 100_000)] = 1_000
    max_missed_bps: Share = 5_000
    downtime_bps: Share = 1
    downtime_jail_s: Annotated[int, Between(1, 30 * DAY_S)] = 600
    oracle_bps: Share = 1
    min_inflation_bps: Annotated[int, Between(0, 10_000)] = 500
    max_inflation_bps: Annotated[int, Between(0, 10_000)] = 2_000
    goal_bonded_bps: Fraction = 6_700
    community_tax_bps: Share = 200
    boosts: Annotated[tuple[Boost, ...], Length(0, 8)] = (
        Boost(30 * DAY_S, 11_000),
        Boost(90 * DAY_S, 12_500),
        Boost(365 * DAY_S, 15_000),
    )
    tiers: Annotated[tuple[Tier, ...], Length(0, 8)] = (
        Tier(1_000 * 10**9, 500),
        Tier(10_000 * 10**9, 1_500),
        Tier(100_000 * 10**9, 3_000),
        Tier(1_000_000 * 10**9, 5_000),
    )
    liquid_validators: Annotated[int, Between(1, 16)] = 8
    history_s: Annotated[int, Between(10, 366 * DAY_S)] = 60 * DAY_S
    hook_items: Annotated[int, Between(3, 1_000)] = 300


def new_delegation(seen: int) -> Delegation:
    """A delegation without shares that is paid from the running sum `seen` on."""
    return Delegation(0, NEUTRAL_BPS, 0, 0, seen, 0, 0, 0, 0)


def struck(tombstone: Tombstone | None, height: int) -> bool:
    """Whether stake that began to leave at `height` answers for the offence: begun since it, and before its slash."""
    return tombstone is not None and tombstone.offence_height <= height < tombstone.slashed_height


def booked(books: Books) -> int:
    """Base units that are somebody's already; what the account holds beyond are fees that wait to be divided."""
    return books.bonded + books.unbonding + books.rewards + books.community + books.liquid


class StakingBase(Module):
    """Collections and shared steps."""

    id = ModuleId.STAKING
    name = "staking"
    uses = ("machine", "accounts", "oracle")
    objects = (POOL,)
    Params = StakingParams

    machine: Handle
    accounts: Handle
    oracle: Handle

    validators = OrderedMap[Address, ValidatorRecord](1, key=Address, value=ValidatorRecord)
    consensus_keys = Map[Address, bytes](2, key=Address, value=bytes)
    keys_taken = Map[bytes, Address](3, key=Bytes32, value=Address)
    """By the hash of a consensus key: whose it is or was."""
    ranking = OrderedMap[tuple[int, Address], int](4, key=(U64, Address), value=U8)
    """Who may be active, by 2^64 - 1 - power and address: the canonical order."""
    delegations = OrderedMap[tuple[Address, Address], Delegation](5, key=(Address, Address), value=Delegation)
    """By delegator and validator. Kept, empty, as long as its history is."""
    stakers = Map[Address, Staker](6, key=Address, value=Staker)
    unbondings = OrderedMap[tuple[Address, int], Unbonding](7, key=(Address, U64), value=Unbonding)
    unbonding_queue = OrderedMap[tuple[int, Address, int], int](8, key=(U64, Address, U64), value=U8)
    """By the second in which it is over."""
    redelegations = OrderedMap[tuple[Address, Address, int], Redelegation](
        9, key=(Address, Address, U64), value=Redelegation
    )
    """By delegator, target and number."""
    redelegation_queue = OrderedMap[tuple[int, Address, Address, int], int](
        10, key=(U64, Address, Address, U64), value=U8
    )
    redelegations_from = OrderedMap[tuple[Address, int], Route](11, key=(Address, U64), value=Route)
    """By source and number."""
    unlocks = OrderedMap[tuple[int, Address, Address], int](12, key=(U64, Address, Address), value=U8)
    slash_queue = OrderedMap[Address, int](13, key=Address, value=U64)
    """Tombstoned validators whose redelegations are being reached, and the last number that was."""
    entry_numbers = Counter(14)
    book = Item[Books](15, Books)
    signing = Map[Address, Signing](16, key=Address, value=Signing)
    changed = Item[int](17, U8)
    """The set has to be looked at when the block ends."""
    shares_history = OrderedMap[tuple[Address, Address, int], SharesAt](
        18, key=(Address, Address, U64), value=SharesAt
    )
    value_history = OrderedMap[tuple[Address, int], ValueAt](19, key=(Address, U64), value=ValueAt)
    total_history = OrderedMap[int, TotalAt](20, key=U64, value=TotalAt)

    def collects_fees(self) -> bool:
        """Fees are staking's where the genesis began it."""
        return self.book.get() is not None

    # -- books ----------------------------------------------------------------------------------

    def books(self) -> Books:
        """The books. Raises StakingInactive."""
        books = self.book.get()
        if books is None:
            raise StakingInactive
        return books

    def put_books(self, ctx: Context, books: Books) -> None:
        """Write the books, and what all stake is from this height on."""
        before = self.book.get()
        self.book.set(books)
        if before is None or before.bonded != books.bonded:
            self.total_history.set(ctx.height, TotalAt(ctx.time_s, books.bonded))
            self._forget_totals(ctx)

    def _forget_totals(self, ctx: Context) -> None:
        until = ctx.time_s - self.params.history_s
        oldest = self.total_history.page(limit=3)
        for (height, _), (_, after) in pairwise(oldest):
            if after.time_s <= until:
                self.total_history.set(height, None)

    def accrued(self, ctx: Context) -> tuple[Books, int]:
        """The books with all that is due at the block's time divided, and how much of it is still to be minted."""
        books, params = self.books(), self.params
        held, supply = ctx.money.balance(MAIN, QXC), ctx.money.supply(QXC)
        fees = held - booked(books)
        if fees < 0:
            raise InvariantViolated(f"staking holds {held} base units, {booked(books)} are booked")
        rate = inflation_rate(
            books.bonded,
            supply,
            min(params.min_inflation_bps, params.max_inflation_bps),
            params.max_inflation_bps,
            params.goal_bonded_bps,
        )
        elapsed = max(0, ctx.time - books.accrued_ns)
        new, inflation_carry = minted(supply, rate, elapsed, books.inflation_carry)
        community, (rest,) = allocate_rewards(fees + new, params.community_tax_bps, (books.power,))
        added, carry = 0, books.carry
        if rest:
            added, carry = accrue(rest, books.power, books.carry)
        return books._replace(
            rewards=books.rewards + rest,
            community=books.community + community,
            accrued_ns=books.accrued_ns + elapsed,
            inflation_carry=inflation_carry,
            running=books.running + added,
            carry=carry,
        ), new

    def accrue(self, ctx: Context) -> Books:
        """Mint what is due, and divide it with the fees that have come among the active validators."""
        books, new = self.accrued(ctx)
        if new:
            ctx.money.mint(ctx, MAIN, QXC, new)
        self.put_books(ctx, books)
        return books

    # -- validators -------------------------------------------------------------------------------

    def validator_of(self, address: Address) -> ValidatorRecord:
        """A validator. Raises UnknownValidator."""
        validator = self.validators.get(address)
        if validator is None:
            raise UnknownValidator("this account operates no validator")
        return validator

    def rank_of(self, validator: ValidatorRecord) -> int:
        """The power with which it stands for the set; 0: it does not."""
        return 0 if validator.jailed else power_of(validator.tokens, self.params.power_unit)

    def put_validator(self, ctx: Context, address: Address, validator: ValidatorRecord) -> None:
        """Write a validator, its place in the ranking, and what it is worth from this height on."""
        before = self.validators.get(address)
        self.validators.set(address, validator)
        old, new = 0 if before is None else self.rank_of(before), self.rank_of(validator)
        if old != new:
            if old:
                self.ranking.set((HIGHEST - old, address), None)
            if new:
                self.ranking.set((HIGHEST - new, address), 1)
            self.changed.set(1)
        if before is None or (before.tokens, before.shares) != (validator.tokens, validator.shares):
            self._note_value(ctx, address, validator)

    def _note_value(self, ctx: Context, address: Address, validator: ValidatorRecord) -> None:
        history = self.value_history
        if history.get((address, ctx.height)) is None:
            until = ctx.time_s - self.params.history_s
            oldest = history.page(prefix=bytes(address), limit=3)
            for (key, _), (_, after) in pairwise(oldest):
                if after.time_s <= until:
                    history.set(key, None)
        history.set((address, ctx.height), ValueAt(ctx.time_s, validator.tokens, validator.shares))

    def earned(self, validator: ValidatorRecord, books: Books) -> tuple[ValidatorRecord, int]:
        """The validator with all that it has earned divided, and what of it went to nobody."""
        due = validator.power * (books.running - validator.seen)
        commission = due * validator.commission_bps // 10_000
        rest = due * (10_000 - validator.commission_bps) // 10_000
        validator = validator._replace(seen=books.running, commission=validator.commission + commission)
        if not validator.weight:
            return validator, rest // SCALE
        added, carry = divmod((rest << FINE) + validator.carry, validator.weight)
        return validator._replace(running=validator.running + added, carry=carry), 0

    def earn(self, ctx: Context, address: Address) -> ValidatorRecord:
        """`earned` of everything up to this block, written. Raises UnknownValidator."""
        validator = self.validator_of(address)
        books = self.accrue(ctx)
        validator, nobodys = self.earned(validator, books)
        self.validators.set(address, validator)
        if nobodys:
            books = books._replace(rewards=books.rewards - nobodys, community=books.community + nobodys)
            self.put_books(ctx, books)
        return validator

    # -- delegations --------------------------------------------------------------------------------

    @staticmethod
    def paid_up(delegation: Delegation, validator: ValidatorRecord) -> Delegation:
        """The delegation with what it has earned up to its validator's running sum."""
        weight = weight_of(delegation.shares, delegation.boost_bps)
        owed = delegation.owed + (weight * (validator.running - delegation.seen) >> FINE)
        return delegation._replace(seen=validator.running, owed=owed)

    def whole_rewards(self, delegation: Delegation, validator: ValidatorRecord) -> int:
        """Base units that a delegation has earned up to its validator's running sum."""
        return self.paid_up(delegation, validator).owed // SCALE

    def touch(self, ctx: Context, delegator: Address, address: Address) -> tuple[Delegation, ValidatorRecord]:
        """A delegation (empty if there is none) and its validator, both up to date; what there is, is written.

        Rewards are paid up, a lock that is over ends, and stake that came from an offender is slashed.
        """
        validator = self.earn(ctx, address)
        delegation = self.delegations.get((delegator, address))
        if delegation is None:
            return new_delegation(validator.running), validator
        delegation = self.paid_up(delegation, validator)
        if delegation.unlock_s and ctx.time_s >= delegation.unlock_s:
            self.unlocks.set((delegation.unlock_s, delegator, address), None)
            free = delegation._replace(boost_bps=NEUTRAL_BPS, lock_s=0, unlock_s=0)
            validator = self.reweigh(validator, delegation, free)
            delegation = free
            ctx.emit(LockChanged(delegator, address, ctx.time_s, NEUTRAL_BPS))
        self.put_validator(ctx, address, validator)
        self.put_delegation(ctx, delegator, address, delegation, validator)
        if delegation.incoming:
            for key, entry in self.incoming(delegator, address):
                if struck(self.validator_of(entry.source).tombstone, entry.height):
                    delegation, validator = self._strike(ctx, key, entry, delegation, validator)
        return delegation, validator

    @staticmethod
    def reweigh(validator: ValidatorRecord, before: Delegation, after: Delegation) -> ValidatorRecord:
        """The validator after one of its delegations has changed. What a floor has left of rewards is left for good.

        Else those that weigh more afterwards would be paid from what others earned.
        """
        old = weight_of(before.shares, before.boost_bps)
        weight = validator.weight - old + weight_of(after.shares, after.boost_bps)
        return validator._replace(weight=weight, carry=0) if weight != validator.weight else validator

    def put_delegation(
        self,
        ctx: Context,
        delegator: Address,
        address: Address,
        delegation: Delegation,
        validator: ValidatorRecord,
    ) -> None:
        """Write a delegation, its shares from this height on, and its owner's whole stake with the discount it brings.

        `validator` as it stands with this change. Raises TooManyDelegations.
        """
        key = delegator, address
        before = self.delegations.get(key)
        delegation = delegation._replace(
            valued=tokens_for(delegation.shares, validator.tokens, validator.shares)
        )
        if before is None or before.shares != delegation.shares:
            closed_s = 0 if delegation.shares else ctx.time_s
            delegation = delegation._replace(closed_s=closed_s)
            self._note_shares(ctx, delegator, address, delegation.shares)
        self.delegations.set(key, delegation)
        staker = self.stakers.get(delegator) or Staker(0, 0)
        total = staker.total + delegation.valued - (0 if before is None else before.valued)
        count = staker.validators + (before is None)
        if count > MAX_DELEGATIONS:
            count -= self._forget_closed(ctx, delegator)
        if count > MAX_DELEGATIONS:
            raise TooManyDelegations(f"{MAX_DELEGATIONS} validators at most")
        self.stakers.set(delegator, Staker(total, count))
        tiers = self.params.tiers
        if delegator != LIQUID and discount_bps(total, tiers) != discount_bps(staker.total, tiers):
            self.accounts.set_fee_tier(ctx, delegator, discount_bps(total, tiers))

    def _note_shares(self, ctx: Context, delegator: Address, address: Address, shares: int) -> None:
        history = self.shares_history
        if history.get((delegator, address, ctx.height)) is None:
            until = ctx.time_s - self.params.history_s
            oldest = history.page(prefix=bytes(delegator + address), limit=3)
            for (key, _), (_, after) in pairwise(oldest):
                if after.time_s <= until:
                    history.set(key, None)
        history.set((delegator, address, ctx.height), SharesAt(ctx.time_s, shares))

    def _forget_closed(self, ctx: Context, delegator: Address) -> int:
        """Forget delegations that were empty for longer than history is kept; returns how many."""
        forgotten, until = 0, ctx.time_s - self.params.history_s
        for (_, address), old in self.delegations.page(prefix=bytes(delegator), limit=MAX_DELEGATIONS + 1):
            if old.shares or old.owed >= SCALE or old.closed_s > until:
                continue
            history = self.shares_history.page(prefix=bytes(delegator + address), limit=100)
            ctx.gas.use(100 * len(history))
            for key, _ in history:
                self.shares_history.set(key, None)
            if len(history) < 100:
                self.delegations.set((delegator, address), None)
                forgotten += 1
        return forgotten

    # -- redelegations ---------------------------------------------------------------------------

    def incoming(
        self, delegator: Address, address: Address
    ) -> list[tuple[tuple[Address, Address, int], Redelegation]]:
        """Redelegations into a delegation that are not over, oldest first."""
        return self.redelegations.page(prefix=bytes(delegator + address), limit=MAX_INCOMING)

    def drop_redelegation(self, key: tuple[Address, Address, int], entry: Redelegation) -> None:
        """Forget a redelegation; the delegation's count of them is the caller's."""
        delegator, target, number = key
        self.redelegations.set(key, None)
        self.redelegation_queue.set((entry.completes_s, delegator, target, number), None)
        self.redelegations_from.set((entry.source, number), None)

    def _strike(
        self,
        ctx: Context,
        key: tuple[Address, Address, int],
        entry: Redelegation,
        delegation: Delegation,
        validator: ValidatorRecord,
    ) -> tuple[Delegation, ValidatorRecord]:
        """Take the offender's part of the shares that came from it; others with the target lose nothing."""
        delegator, target, _ = key
        tombstone = self.validator_of(entry.source).tombstone
        assert tombstone is not None
        shares = min(slash_amounts(entry.shares, (), tombstone.slash_bps).tokens, delegation.shares)
        amount = tokens_for(shares, validator.tokens, validator.shares)
        after = delegation._replace(shares=delegation.shares - shares, incoming=delegation.incoming - 1)
        changed = validator._replace(tokens=validator.tokens - amount, shares=validator.shares - shares)
        changed = self.reweigh(changed, delegation, after)
        self.drop_redelegation(key, entry)
        self.put_validator(ctx, target, changed)
        self.put_delegation(ctx, delegator, target, after, changed)
        self.burn_bonded(ctx, amount)
        ctx.emit(RedelegationSlashed(delegator, entry.source, target, amount))
        return after, changed

    def burn_bonded(self, ctx: Context, amount: int) -> None:
        """Destroy delegated coins that a slash has taken from a validator's tokens."""
        if amount:
            books = self.books()
            self.put_books(ctx, books._replace(bonded=books.bonded - amount))
            ctx.money.burn(ctx, MAIN, QXC, amount)

    def pay(self, ctx: Context, to: Address, amount: int) -> None:
        """Pay coins of the module; the books are the caller's."""
        if amount:
            ctx.money.transfer(ctx, MAIN, to, QXC, amount)
