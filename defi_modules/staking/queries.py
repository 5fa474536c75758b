"""Answers about validators, delegations, and the whole."""

from __future__ import annotations

from defi_modules.staking.base import MAIN, StakingParams, booked
from defi_modules.staking.math import BPS, SCALE, discount_bps, inflation_rate, tokens_for
from defi_modules.staking.types import (
    MAX_DELEGATIONS,
    RECEIPT,
    Books,
    Delegation,
    DelegationInfo,
    Held,
    LiquidPool,
    PageLimit,
    SigningInfo,
    StakerInfo,
    StakingPool,
    UnbondingInfo,
    UnbondingPage,
    ValidatorInfo,
    ValidatorPage,
    ValidatorRecord,
)
from defi_modules.staking.voting import Voting
from qenex.crypto.address import Address
from qenex.errors import UnknownDelegation
from qenex.types import QXC, U64
from vm.context import Context
from vm.module import query


class Queries(Voting):
    """Reads of a committed version, with rewards up to its block's time."""

    @query
    def get_parameters(self, ctx: Context) -> StakingParams:
        """The rules of staking in force."""
        params: StakingParams = self.params
        return params

    @query
    def get_pool(self, ctx: Context) -> StakingPool:
        """How much is staked, what it brings, and what waits."""
        before, params = self.books(), self.params
        books, _ = self.accrued(ctx)
        supply = ctx.money.supply(QXC)
        low = min(params.min_inflation_bps, params.max_inflation_bps)
        rate = inflation_rate(books.bonded, supply, low, params.max_inflation_bps, params.goal_bonded_bps)
        return StakingPool(
            books.bonded,
            books.unbonding,
            books.rewards,
            books.community,
            ctx.money.balance(MAIN, QXC) - booked(before),
            books.bonded * BPS // supply if supply else 0,
            rate,
            books.power,
        )

    @query
    def get_validator(self, ctx: Context, validator: Address) -> ValidatorInfo:
        """A validator: its stake, its commission, whether it is active, jailed or gone.

        Args:
            validator: the operator's account.
        """
        return self._validator_info(validator, self.validator_of(validator), self.accrued(ctx)[0])

    @query
    def list_validators(self, ctx: Context, limit: PageLimit | None, cursor: Address | None) -> ValidatorPage:
        """All validators, by address; `power` above 0: active.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        size, books = limit or 100, self.accrued(ctx)[0]
        found, more = self.validators.page_and_more(after=cursor, limit=size)
        items = tuple([self._validator_info(address, validator, books) for address, validator in found])
        return ValidatorPage(items, items[-1].address if more else None)

    def _validator_info(self, address: Address, validator: ValidatorRecord, books: Books) -> ValidatorInfo:
        due, _ = self.earned(validator, books)
        return ValidatorInfo(
            address, self.consensus_keys.get(address) or b"", validator, due.commission // SCALE
        )

    @query
    def get_delegation(self, ctx: Context, delegator: Address, validator: Address) -> DelegationInfo:
        """What an account has with a validator, and what it has earned.

        Args:
            delegator: the account.
            validator: the operator's account.
        """
        delegation = self.delegations.get((delegator, validator))
        if delegation is None:
            raise UnknownDelegation("this account has nothing with that validator")
        return self._delegation_info(delegator, validator, delegation, self.accrued(ctx)[0])

    @query
    def list_delegations(self, ctx: Context, delegator: Address) -> tuple[DelegationInfo, ...]:
        """All that an account has delegated, by validator; those it left lately are there, empty.

        Args:
            delegator: the account.
        """
        books = self.accrued(ctx)[0]
        found = self.delegations.page(prefix=bytes(delegator), limit=MAX_DELEGATIONS)
        return tuple(
            [self._delegation_info(delegator, key[1], delegation, books) for key, delegation in found]
        )

    def _delegation_info(
        self, delegator: Address, address: Address, delegation: Delegation, books: Books
    ) -> DelegationInfo:
        validator, _ = self.earned(self.validator_of(address), books)
        tokens = tokens_for(delegation.shares, validator.tokens, validator.shares)
        return DelegationInfo(
            delegator, address, tokens, self.whole_rewards(delegation, validator), delegation
        )

    @query
    def list_unbondings(
        self, ctx: Context, delegator: Address, limit: PageLimit | None, cursor: U64 | None
    ) -> UnbondingPage:
        """What is on its way back to an account, oldest first.

        Args:
            delegator: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        size = limit or 100
        after = None if cursor is None else (delegator, cursor)
        found, more = self.unbondings.page_and_more(prefix=bytes(delegator), after=after, limit=size)
        items = tuple([UnbondingInfo(key[1], entry, self.pays(entry)) for key, entry in found])
        return UnbondingPage(items, items[-1].id if more else None)

    @query
    def get_staker(self, ctx: Context, address: Address) -> StakerInfo:
        """How much an account has delegated in all, as far as it was touched since a slash, and its discount.

        Args:
            address: the account.
        """
        staker = self.stakers.get(address)
        total = 0 if staker is None else staker.total
        return StakerInfo(total, discount_bps(total, self.params.tiers))

    @query
    def get_liquid(self, ctx: Context) -> LiquidPool:
        """What liquid stake is worth: `value / receipts` base units of QXC for one of staking/QXC."""
        value, held = self.liquid_value(ctx)
        delegations = tuple([Held(address, tokens) for address, tokens in held if tokens])
        return LiquidPool(value, ctx.money.supply(RECEIPT), self.books().liquid, delegations)

    @query
    def get_signing(self, ctx: Context, validator: Address) -> SigningInfo:
        """How many commits of the window at hand lack a validator's vote.

        Args:
            validator: the operator's account.
        """
        self.validator_of(validator)
        params, window = self.params, ctx.height // self.params.window_blocks
        found = self.signing.get(validator)
        missed = found.missed if found is not None and found.window == window else 0
        allowed = params.max_missed_bps * params.window_blocks // BPS
        return SigningInfo(missed, allowed, (window + 1) * params.window_blocks)
