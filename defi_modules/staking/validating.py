"""Validators: made, edited, jailed and back, slashed, and which of them are active."""

from __future__ import annotations

from typing import Annotated, Final

from defi_modules.staking.base import DAY_S, HIGHEST
from defi_modules.staking.delegating import Delegating
from defi_modules.staking.math import SCALE, slash_amounts, tokens_for
from defi_modules.staking.types import (
    CommissionWithdrawn,
    ConsensusKey,
    Moniker,
    Paid,
    Possession,
    Signing,
    Tombstone,
    ValidatorCreated,
    ValidatorEdited,
    ValidatorJailed,
    ValidatorRecord,
    ValidatorsChanged,
    ValidatorSlashed,
    ValidatorTombstoned,
    ValidatorUnjailed,
)
from qenex import limits
from qenex.block import MAX_VALIDATORS, Evidence, Validator
from qenex.codec import encode
from qenex.crypto import SCHEMES_BY_TAG
from qenex.crypto.address import Address
from qenex.errors import (
    CommissionAboveMaximum,
    CommissionChangeTooFast,
    ConsensusKeyTaken,
    NothingToWithdraw,
    PossessionNotProven,
    SchemeNotAllowed,
    SelfDelegationTooLow,
    StillJailed,
    TooLarge,
    ValidatorExists,
    ValidatorNotJailed,
)
from qenex.errors import ValidatorTombstoned as Buried
from qenex.hashing import hasher
from qenex.types import Amount, Between, Bps
from vm.accounts import check_new_key
from vm.context import Context
from vm.gas import gas_schedule
from vm.module import message

DOUBLE_VOTE: Final = "double vote"
DOWNTIME: Final = "downtime"
PRICES_MISSED: Final = "prices missed"
MIN_CHANGE_S: Final = DAY_S
"""Between two changes of a commission."""

Maximum = Annotated[int, Between(0, 10_000)]

key_hash = hasher("qx.key")


def possession_sign_bytes(chain_id: str, operator: Address, key: bytes) -> bytes:
    """What a consensus key signs to prove that it is there: `["validator", chain_id, operator, scheme tag + key]`.

    Without it, anybody could declare somebody else's key and have its owner punished.
    """
    return encode(("validator", chain_id, operator, key))


class Validating(Delegating):
    """What operators do, and what happens to validators."""

    @message(gas=7_000)
    def create_validator(
        self,
        ctx: Context,
        key: ConsensusKey,
        possession: Possession,
        moniker: Moniker,
        commission_bps: Bps,
        max_commission_bps: Maximum,
        max_change_bps: Maximum,
        min_self_delegation: Amount,
        amount: Amount,
    ) -> None:
        """Declare a validator that this account operates. It is active once it is among those with the most stake.

        Args:
            key: scheme tag and public key with which its node signs; never to be used again.
            possession: that key's signature over the statement of possession.
            moniker: a name for people, 1 to 64 bytes.
            commission_bps: its part of its delegators' rewards, in basis points.
            max_commission_bps: what the commission never exceeds.
            max_change_bps: by how much the commission rises in a day at most.
            min_self_delegation: base units of its own below which it leaves the set; it is only ever raised.
            amount: base units of QXC that it delegates to itself now.
        """
        self.books()
        if self.validators.get(ctx.actor) is not None:
            raise ValidatorExists
        self._check_commission(commission_bps, max_commission_bps, max_change_bps)
        if min(amount, min_self_delegation) < self.params.min_self_delegation or amount < min_self_delegation:
            raise SelfDelegationTooLow(
                f"{amount} base units with a minimum of {min_self_delegation}; the chain's is "
                f"{self.params.min_self_delegation}"
            )
        self._take_key(ctx, ctx.actor, key, possession)
        record = ValidatorRecord(
            moniker, commission_bps, max_commission_bps, max_change_bps, ctx.time_s, min_self_delegation,
            0, 0, 0, False, 0, None, 0, 0, 0, self.accrue(ctx).running, 0,
        )  # fmt: skip
        self.put_validator(ctx, ctx.actor, record)
        ctx.emit(ValidatorCreated(ctx.actor, moniker, commission_bps, amount))
        self.delegate(ctx, ctx.actor, amount)

    @staticmethod
    def _check_commission(commission: int, maximum: int, change: int) -> None:
        if commission > maximum:
            raise CommissionAboveMaximum(f"a commission of {commission}, at most {maximum} basis points")
        if change > maximum:
            raise CommissionAboveMaximum(f"a daily change of {change}, the commission is at most {maximum}")

    def _take_key(self, ctx: Context, operator: Address, key: bytes, possession: bytes) -> None:
        check_new_key(key, ctx.scheme_status)
        scheme = SCHEMES_BY_TAG[key[0]]
        try:  # as if all validators had signatures of this size
            limits.check([scheme.signature_size] * MAX_VALIDATORS)
        except TooLarge:
            raise SchemeNotAllowed(f"{scheme.name} signatures are too long for a commit") from None
        name = key_hash(key)
        if self.keys_taken.get(name) is not None:
            raise ConsensusKeyTaken
        ctx.gas.use(dict(gas_schedule(ctx.block.protocol_version).signature)[key[0]])
        if not scheme.verify(key[1:], possession_sign_bytes(ctx.block.chain_id, operator, key), possession):
            raise PossessionNotProven
        self.keys_taken.set(name, operator)
        self.consensus_keys.set(operator, key)

    @message(gas=800)
    def edit_validator(
        self,
        ctx: Context,
        moniker: Moniker | None,
        commission_bps: Bps | None,
        min_self_delegation: Amount | None,
    ) -> None:
        """Change what this account's validator is called and asks. The commission changes once a day at most.

        Args:
            moniker: another name.
            commission_bps: another commission; what was earned before is divided by the old one.
            min_self_delegation: a higher minimum of its own stake.
        """
        self.books()
        validator = self.earn(ctx, ctx.actor)
        if moniker is not None:
            validator = validator._replace(moniker=moniker)
        if commission_bps is not None:
            self._check_commission(commission_bps, validator.max_commission_bps, 0)
            rise = commission_bps - validator.commission_bps
            if rise > validator.max_change_bps or ctx.time_s < validator.commission_changed_s + MIN_CHANGE_S:
                raise CommissionChangeTooFast(
                    f"{rise} basis points more; at most {validator.max_change_bps}, a day after the change before"
                )
            validator = validator._replace(commission_bps=commission_bps, commission_changed_s=ctx.time_s)
        if min_self_delegation is not None:
            worth = self._own_stake(ctx.actor, validator)
            if not validator.min_self_delegation <= min_self_delegation <= worth:
                raise SelfDelegationTooLow(
                    f"from {validator.min_self_delegation} up to what is there, {worth}"
                )
            validator = validator._replace(min_self_delegation=min_self_delegation)
        self.put_validator(ctx, ctx.actor, validator)
        ctx.emit(
            ValidatorEdited(
                ctx.actor, validator.moniker, validator.commission_bps, validator.min_self_delegation
            )
        )

    @message(gas=3_500)
    def unjail(self, ctx: Context) -> None:
        """Let this account's validator stand for the set again."""
        self.books()
        validator = self.validator_of(ctx.actor)
        if validator.tombstone is not None:
            raise Buried
        if not validator.jailed:
            raise ValidatorNotJailed
        if ctx.time_s < validator.jailed_until_s:
            raise StillJailed(f"until {validator.jailed_until_s}, it is {ctx.time_s}")
        worth = self._own_stake(ctx.actor, validator)
        if worth < max(validator.min_self_delegation, 1):
            raise SelfDelegationTooLow(f"{worth} base units, at least {validator.min_self_delegation}")
        self.put_validator(ctx, ctx.actor, validator._replace(jailed=False, jailed_until_s=0))
        ctx.emit(ValidatorUnjailed(ctx.actor))

    @message(gas=750, exit=True)
    def withdraw_commission(self, ctx: Context) -> Paid:
        """Take the commission that this account's validator has earned."""
        self.books()
        validator = self.earn(ctx, ctx.actor)
        amount, rest = divmod(validator.commission, SCALE)
        if not amount:
            raise NothingToWithdraw
        self.validators.set(ctx.actor, validator._replace(commission=rest))
        books = self.books()
        self.put_books(ctx, books._replace(rewards=books.rewards - amount))
        self.pay(ctx, ctx.actor, amount)
        ctx.emit(CommissionWithdrawn(ctx.actor, amount))
        return Paid(amount)

    def _own_stake(self, address: Address, validator: ValidatorRecord) -> int:
        own = self.delegations.get((address, address))
        return 0 if own is None else tokens_for(own.shares, validator.tokens, validator.shares)

    # -- punishment ---------------------------------------------------------------------------------

    def slash(self, ctx: Context, address: Address, reason: str, offence_height: int, slash_bps: int) -> None:
        """Take a part of a validator's tokens and burn it. What was earned before stays earned."""
        validator = self.earn(ctx, address)
        amount = slash_amounts(validator.tokens, (), slash_bps).tokens
        self.put_validator(ctx, address, validator._replace(tokens=validator.tokens - amount))
        self.burn_bonded(ctx, amount)
        ctx.emit(ValidatorSlashed(address, reason, offence_height, amount))

    def jail(self, ctx: Context, address: Address, reason: str, until_s: int) -> None:
        """Take a validator out of the ranking."""
        validator = self.validator_of(address)
        self.put_validator(ctx, address, validator._replace(jailed=True, jailed_until_s=until_s))
        ctx.emit(ValidatorJailed(address, reason, until_s))

    def punish_double_vote(self, ctx: Context, evidence: Evidence) -> None:
        """Slash, jail for ever, and have what left since the offence reached. Once for each validator.

        Where an earlier offence comes to light, what left since that one is reached as well: else who votes twice, takes
        the stake out and votes twice again would be judged by the second.
        """
        address, height = evidence.first.address, evidence.first.height
        validator = self.validators.get(address)
        if validator is None:
            return
        told = validator.tombstone
        if told is not None:
            if height < told.offence_height:
                earlier = validator._replace(tombstone=told._replace(offence_height=height))
                self.put_validator(ctx, address, earlier)
                self._reach(address)
            return
        slash_bps = self.params.double_sign_bps
        self.slash(ctx, address, DOUBLE_VOTE, height, slash_bps)
        tombstone = Tombstone(height, ctx.height, slash_bps)
        self.put_validator(ctx, address, self.validator_of(address)._replace(tombstone=tombstone))
        self.jail(ctx, address, DOUBLE_VOTE, ctx.time_s)
        self._reach(address)
        ctx.emit(ValidatorTombstoned(address, height))

    def _reach(self, address: Address) -> None:
        """Have stake looked at that left a tombstoned validator for others, from its first entry on."""
        if self.redelegations_from.page(prefix=bytes(address), limit=1):
            self.slash_queue.set(address, 0)

    def note_absent(self, ctx: Context, address: Address) -> None:
        """One commit without the validator's vote. Too many in a window: jailed and slashed lightly.

        Only what is missed is written, so blocks that all sign write nothing.
        """
        validator, params = self.validators.get(address), self.params
        if validator is None or validator.jailed:
            return
        window = (ctx.height - 1) // params.window_blocks
        before = self.signing.get(address)
        missed = 1 + (before.missed if before is not None and before.window == window else 0)
        if missed * 10_000 <= params.max_missed_bps * params.window_blocks:
            self.signing.set(address, Signing(window, missed))
            return
        self.signing.set(address, None)
        self.slash(ctx, address, DOWNTIME, ctx.height - 1, params.downtime_bps)
        self.jail(ctx, address, DOWNTIME, ctx.time_s + params.downtime_jail_s)

    def punish_missed_prices(self, ctx: Context) -> None:
        """A light slash for those who told too few prices in a period that is over."""
        for address in self.oracle.take_late(ctx):
            validator = self.validators.get(address)
            if validator is not None and not validator.jailed and self.params.oracle_bps:
                self.slash(ctx, address, PRICES_MISSED, ctx.height, self.params.oracle_bps)

    # -- the active set ---------------------------------------------------------------------------

    def update_set(self, ctx: Context) -> None:
        """Name those with the most stake as the set of two heights on. Where nobody stands for it, it stays.

        Work bounded by `max_validators`: only whose power changes is touched.
        """
        if self.changed.get() is None:
            return
        self.changed.set(None)
        ranked = self.ranking.page(limit=self.params.max_validators)
        powers = {address: HIGHEST - inverse for (inverse, address), _ in ranked}
        before = {validator.address: validator.power for validator in ctx.validators}
        if not powers or powers == before:
            return
        for address in sorted({**before, **powers}):
            if before.get(address) != powers.get(address) and self.validators.get(address) is not None:
                validator = self.earn(ctx, address)
                self.validators.set(address, validator._replace(power=powers.get(address, 0)))
        total = sum(powers.values())
        self.put_books(ctx, self.books()._replace(power=total, carry=0))
        named = []
        for address, power in powers.items():
            key = self.consensus_keys.get(address)
            assert key is not None
            named.append(Validator(address, key, power))
        self.machine.set_validators(ctx, tuple(named))
        ctx.emit(ValidatorsChanged(len(named), total))
