"""Staking at genesis: validators with stake of their own, or all that an earlier chain had."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, NamedTuple

from defi_modules.staking.base import MAIN, StakingParams, booked
from defi_modules.staking.math import discount_bps, power_of, shares_for, weight_of
from defi_modules.staking.queries import Queries
from defi_modules.staking.types import (
    Books,
    Delegation,
    Moniker,
    Redelegation,
    Route,
    Signing,
    Staker,
    TotalAt,
    Unbonding,
    ValidatorRecord,
)
from defi_modules.staking.validating import key_hash
from qenex.codec import codec_for
from qenex.crypto.address import Address, encode_address
from qenex.errors import InvalidGenesis
from qenex.types import QXC, U64, Amount, Bps, Length
from vm.context import Context
from vm.registry import check_record

_LISTS: Final = (
    "bonds", "validators", "delegations", "stakers", "unbondings", "redelegations", "signing", "slashing",
)  # fmt: skip


class GenesisBond(NamedTuple):
    """A validator of the genesis with stake of its own, in base units of QXC."""

    address: Address
    moniker: Moniker
    commission_bps: Bps
    max_commission_bps: Bps
    max_change_bps: Bps
    min_self_delegation: Amount
    self_delegation: Amount


class GenesisValidator(NamedTuple):
    """A validator of an earlier chain."""

    address: Address
    key: Annotated[bytes, Length(2, 4_096)]
    record: ValidatorRecord


class GenesisDelegation(NamedTuple):
    """A delegation of an earlier chain."""

    delegator: Address
    validator: Address
    delegation: Delegation


class GenesisStaker(NamedTuple):
    """An account's whole stake on an earlier chain."""

    address: Address
    staker: Staker


class GenesisUnbonding(NamedTuple):
    """Stake of an earlier chain on its way back."""

    delegator: Address
    id: U64
    unbonding: Unbonding


class GenesisRedelegation(NamedTuple):
    """A redelegation of an earlier chain that is not over."""

    delegator: Address
    target: Address
    id: U64
    redelegation: Redelegation


class GenesisSigning(NamedTuple):
    """Votes that a validator of an earlier chain had missed."""

    validator: Address
    signing: Signing


class GenesisSlashing(NamedTuple):
    """A tombstoned validator of an earlier chain whose redelegations were not all reached yet."""

    validator: Address
    last: U64


def bonds_to_json(
    stakes: Iterable[tuple[Address, str, int]],
    params: StakingParams,
    *,
    commission_bps: int = 500,
    max_commission_bps: int = 2_000,
    max_change_bps: int = 100,
) -> tuple[list[dict[str, Any]], dict[str, Any], list[int]]:
    """For a genesis in which these (operator, moniker, self-delegation in base units) validate.

    Returns `modules.staking.bonds`, the entry of `modules.bank.balances` that covers them, and the validators' powers.
    """
    bonds, powers, total = [], [], 0
    for address, moniker, amount in stakes:
        least = min(params.min_self_delegation, amount)
        bond = GenesisBond(
            address, moniker, commission_bps, max_commission_bps, max_change_bps, least, amount
        )
        bonds.append(codec_for(GenesisBond).to_json(bond, "qx"))
        powers.append(power_of(amount, params.power_unit))
        total += amount
    return bonds, {"address": encode_address(MAIN), "denom": QXC, "amount": str(total)}, powers


class GenesisPart(Queries):
    """Import and export."""

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"bonds": [...]}` for validators with stake of their own; the other lists are those of `export_genesis`.

        Without a staking section the validators of the genesis stay what they are, and there is no staking. The bank's
        balances give staking's account what is bonded. Raises InvalidGenesis.
        """
        if not data:
            return
        if set(data) - {*_LISTS, "books", "last_entry"} or any(
            not isinstance(data.get(name, []), list) for name in _LISTS
        ):
            raise InvalidGenesis(f"modules.staking has the lists {', '.join(_LISTS)}, books and last_entry")
        books = Books(0, 0, 0, 0, 0, ctx.time, 0, 0, 0, sum([v.power for v in ctx.validators]))
        if "books" in data:
            books = check_record(codec_for(Books), data["books"], InvalidGenesis, "modules.staking.books")
        self.book.set(books)
        self._import_validators(ctx, data)
        self._import_rest(ctx, data)
        for bond in _records(data, "bonds", GenesisBond):
            self._import_bond(ctx, bond)
        self.total_history.set(ctx.height, TotalAt(ctx.time_s, self.books().bonded))
        self.changed.set(None)
        self._check_import(ctx)

    def _import_validators(self, ctx: Context, data: dict[str, Any]) -> None:
        for address, key, record in _records(data, "validators", GenesisValidator):
            if self.validators.get(address) is not None:
                raise InvalidGenesis("modules.staking.validators: one is there twice")
            self._own_key(address, key)
            self.put_validator(ctx, address, record)

    def _own_key(self, address: Address, key: bytes) -> None:
        if self.keys_taken.get(key_hash(key)) is not None:
            raise InvalidGenesis("modules.staking: two validators have one consensus key")
        self.keys_taken.set(key_hash(key), address)
        self.consensus_keys.set(address, key)

    def _import_bond(self, ctx: Context, bond: GenesisBond) -> None:
        address, amount = bond.address, bond.self_delegation
        active = {validator.address: validator for validator in ctx.validators}.get(address)
        if active is None or self.validators.get(address) is not None:
            raise InvalidGenesis(
                "modules.staking.bonds: somebody is no validator of the genesis, or there twice"
            )
        if amount < max(bond.min_self_delegation, 1) or bond.commission_bps > bond.max_commission_bps:
            raise InvalidGenesis(
                "modules.staking.bonds: stake below its minimum, or commission above its maximum"
            )
        self._own_key(address, active.key)
        shares = shares_for(amount, 0, 0)
        delegation = Delegation(shares, 10_000, 0, 0, 0, 0, amount, 0, 0)
        record = ValidatorRecord(
            bond.moniker, bond.commission_bps, bond.max_commission_bps, bond.max_change_bps, ctx.time_s,
            bond.min_self_delegation, amount, shares, active.power, False, 0, None,
            weight_of(shares, 10_000), 0, 0, 0, 0,
        )  # fmt: skip
        books = self.books()
        self.book.set(books._replace(bonded=books.bonded + amount))
        self.put_validator(ctx, address, record)
        self.put_delegation(ctx, address, address, delegation, record)

    def _import_rest(self, ctx: Context, data: dict[str, Any]) -> None:
        for delegator, address, delegation in _records(data, "delegations", GenesisDelegation):
            if self.validators.get(address) is None:
                raise InvalidGenesis("modules.staking.delegations: one has no validator")
            self.delegations.set((delegator, address), delegation)
            self._note_shares(ctx, delegator, address, delegation.shares)
            if delegation.unlock_s:
                self.unlocks.set((delegation.unlock_s, delegator, address), 1)
        for address, staker in _records(data, "stakers", GenesisStaker):
            self.stakers.set(address, staker)
        for to, number, entry in _records(data, "unbondings", GenesisUnbonding):
            answers = [entry.validator] + ([] if entry.origin is None else [entry.origin.validator])
            if any(self.validators.get(address) is None for address in answers):
                raise InvalidGenesis("modules.staking.unbondings: one has no validator")
            self.unbondings.set((to, number), entry)
            self.unbonding_queue.set((entry.completes_s, to, number), 1)
        for delegator, target, number, moved in _records(data, "redelegations", GenesisRedelegation):
            if self.validators.get(moved.source) is None:
                raise InvalidGenesis("modules.staking.redelegations: one has no source")
            self.redelegations.set((delegator, target, number), moved)
            self.redelegation_queue.set((moved.completes_s, delegator, target, number), 1)
            self.redelegations_from.set((moved.source, number), Route(delegator, target))
        for address, signing in _records(data, "signing", GenesisSigning):
            self.signing.set(address, signing)
        for address, last in _records(data, "slashing", GenesisSlashing):
            self.slash_queue.set(address, last)
        last = data.get("last_entry", 0)
        if type(last) is not int or not 0 <= last < 1 << 64:
            raise InvalidGenesis("modules.staking.last_entry is a number")
        self.entry_numbers.resume(last)

    def _check_import(self, ctx: Context) -> None:
        books = self.books()
        if ctx.money.balance(MAIN, QXC) < booked(books):
            raise InvalidGenesis(
                f"modules.bank gives staking {ctx.money.balance(MAIN, QXC)} base units of {QXC}, "
                f"{booked(books)} are booked"
            )
        for validator in ctx.validators:
            record = self.validators.get(validator.address)
            if record is None or self.consensus_keys.get(validator.address) != validator.key:
                raise InvalidGenesis(
                    "modules.staking: a validator of the genesis has no stake, or another key"
                )
            if not validator.power == record.power == self.rank_of(record):
                raise InvalidGenesis(
                    f"validators: {encode_address(validator.address)} has a power of {validator.power}, "
                    f"its stake is worth {self.rank_of(record)}"
                )
        if discount_bps(0, self.params.tiers):
            raise InvalidGenesis("parameters.staking.tiers: a discount for no stake at all")

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`. The history of voting power begins anew."""
        books = self.book.get()
        if books is None:
            return {}
        found: dict[str, Any] = {
            "validators": [
                (address, self.consensus_keys.get(address), record)
                for address, record in self.validators.scan()
            ],
            "delegations": [(*key, delegation) for key, delegation in self.delegations.scan()],
            "stakers": list(self.stakers.scan()),
            "unbondings": [(*key, entry) for key, entry in self.unbondings.scan()],
            "redelegations": [(*key, entry) for key, entry in self.redelegations.scan()],
            "signing": list(self.signing.scan()),
            "slashing": list(self.slash_queue.scan()),
        }
        records: dict[str, type] = {
            "validators": GenesisValidator, "delegations": GenesisDelegation, "stakers": GenesisStaker,
            "unbondings": GenesisUnbonding, "redelegations": GenesisRedelegation, "signing": GenesisSigning,
            "slashing": GenesisSlashing,
        }  # fmt: skip
        listed = {
            name: [codec_for(records[name]).to_json(records[name](*item), "qx") for item in items]
            for name, items in found.items()
            if items
        }
        return {
            **listed,
            "books": codec_for(Books).to_json(books, "qx"),
            "last_entry": self.entry_numbers.last(),
        }


def _records(data: dict[str, Any], name: str, record: type) -> list[Any]:
    return [
        check_record(codec_for(record), item, InvalidGenesis, f"modules.staking.{name}[{index}]")
        for index, item in enumerate(data.get(name, []))
    ]
