"""The machine's own module (id 0): fee market, leases, validators, their turns and double votes, paused modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from ledger.collections import Item, Map, OrderedMap
from qenex.block import MAX_EVIDENCE_AGE_NS, MAX_VALIDATORS, Evidence, Validator, order_validators
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import InvalidGenesis, UpgradeNotPlanned
from qenex.state_keys import ModuleId
from qenex.types import U8, U32, U64, U128, Amount, Bytes32, Denom, Length, TimeNs
from vm.context import Context
from vm.fees import MachineParams, price_per_gas
from vm.module import Module, internal, query
from vm.registry import check_record
from vm.rotation import Rotations, first_rotation, next_rotations

MAX_DOUBLE_VOTES = 4
"""Of one validator in blocks within the age of evidence. One is enough to punish; who has nothing left to lose can make more
without end, and a proposer would fill its blocks with what costs nobody a fee. Beyond these a block may have one that is of
an earlier height than all before: stake answers from the first offence on, so later ones must not keep that one out."""
PUNISHES = ModuleId.STAKING
"""While this module is paused no block has evidence: it would count as told, and nobody be punished."""

ModuleName = Annotated[str, Length(1, 32)]
ValidatorSet = Annotated[tuple[Validator, ...], Length(1, MAX_VALIDATORS)]


class FeesSettled(NamedTuple):
    """A block's base fees: burned, paid to stakers; and the tips, paid to the proposer. Base units of QXC."""

    burned: Amount
    distributed: Amount
    tips: Amount


class TransferFeePaid(NamedTuple):
    """A token's own fee on a transfer: `amount` base units went from `payer` to who made the rule."""

    payer: Address
    recipient: Address
    denom: Denom
    amount: Amount


class HookFailed(NamedTuple):
    """A module's hook was reverted; `code` 2999 also paused the module."""

    module: ModuleName
    hook: ModuleName
    code: U32


class Accused(NamedTuple):
    """`pieces` of evidence against a validator are in blocks, the first offence of height `earliest`."""

    pieces: U32
    earliest: U64


UpgradeName = Annotated[str, Length(1, 64)]


class Upgrade(NamedTuple):
    """From `height` on the rules of `protocol_version` hold; a program that does not know them stops before it."""

    name: UpgradeName
    height: U64
    protocol_version: U32


class Pause(NamedTuple):
    """Why and since when a module is paused."""

    height: U64
    code: U32


class ModuleAccount(NamedTuple):
    """An object's account at genesis, and the module that owns it."""

    address: Address
    module: ModuleName


class FeeMarket(NamedTuple):
    """What the next block asks: `price` base units of QXC per gas, at this excess gas."""

    price: Amount
    excess: U64
    target_gas_per_second: U64
    max_block_gas: U64


class Core(Module):
    """The machine's own state: what every transaction touches and no module owns."""

    id = ModuleId.MACHINE
    name = "machine"
    events = (FeesSettled, HookFailed, TransferFeePaid)
    Params = MachineParams

    excess = Item[int](1, U128)
    leases = Map[tuple[Address, bytes], int](2, key=(Address, Bytes32), value=U64)
    lease_ends = OrderedMap[tuple[int, Address, bytes], int](3, key=(U64, Address, Bytes32), value=U8)
    validators = OrderedMap[Address, Validator](4, key=Address, value=Validator)
    upgrade = Item[Upgrade](9, Upgrade)
    paused = Map[int, Pause](5, key=U8, value=Pause)
    module_accounts = Map[Address, str](6, key=Address, value=ModuleName)
    rotations = Item[Rotations](7, Rotations)
    double_votes = OrderedMap[tuple[int, Address, int, int], int](
        8, key=(U64, Address, U32, U8), value=TimeNs
    )
    """By height, accused, round and type: the time of the block that had the evidence."""
    accused = Map[Address, Accused](10, key=Address, value=Accused)
    """How many of these accuse a validator."""

    def validator_set(self) -> tuple[Validator, ...]:
        """The active validators in canonical order."""
        return order_validators(validator for _, validator in self.validators.page(limit=1_000))

    @internal(callers=("staking",), gas=0)
    def set_validators(self, ctx: Context, validators: ValidatorSet) -> None:
        """Name the set that is active two heights on; turns follow from it at the block's end.

        Args:
            validators: all of them, at least one, in any order.
        """
        named = {validator.address: validator for validator in validators}
        for validator in self.validator_set():
            if validator.address not in named:
                self.validators.set(validator.address, None)
        for address in sorted(named):
            self.validators.set(address, named[address])

    def take_lease(self, payer: Address, lease: bytes, valid_until: int) -> None:
        """Hold `lease` until `valid_until` has passed."""
        self.leases.set((payer, lease), valid_until)
        self.lease_ends.set((valid_until, payer, lease), 1)

    def begin_rotation(self, height: int) -> None:
        """Everybody's turn begins alike at `height`, the chain's first."""
        self.rotations.set(Rotations(first_rotation(height, self.validator_set()), None))

    def record_evidence(self, evidence: Evidence, time: int) -> None:
        """A block of this `time` has the evidence: no later one may have it again."""
        self.double_votes.set(_place(evidence), time)
        address, height = evidence.first.address, evidence.first.height
        count, earliest = self.accused.get(address) or (0, height)
        self.accused.set(address, Accused(count + 1, min(earliest, height)))

    def has_evidence(self, evidence: Evidence) -> bool:
        """Whether a block had evidence of this double vote already."""
        return self.double_votes.get(_place(evidence)) is not None

    def select_evidence(self, pieces: Sequence[Evidence]) -> list[Evidence]:
        """Those of `pieces`, in their order, that the next block may have as far as other pieces matter."""
        if self.paused.get(int(PUNISHES)) is not None:
            return []
        told: dict[Address, Accused] = {}
        beyond: dict[Address, None] = {}
        chosen = []
        for piece in pieces:
            address, height = piece.first.address, piece.first.height
            count, earliest = told.get(address) or self.accused.get(address) or (0, height)
            if count >= MAX_DOUBLE_VOTES:
                if address in beyond or height >= earliest:
                    continue
                beyond[address] = None
            told[address] = Accused(count + 1, min(earliest, height))
            chosen.append(piece)
        return chosen

    def is_told(self, evidence: Evidence) -> bool:
        """Whether blocks have double votes enough of this validator, none of them later than this one."""
        accused = self.accused.get(evidence.first.address)
        return (
            accused is not None
            and accused.pieces >= MAX_DOUBLE_VOTES
            and evidence.first.height >= accused.earliest
        )

    def end_block(self, ctx: Context) -> None:
        """The last hook: what changed about the validators; leases and double votes whose time has passed."""
        rotations = self.rotations.get()
        following = rotations and next_rotations(rotations, ctx.height, self.validator_set())
        if following is not None:
            self.rotations.set(following)
        self._forget_leases(ctx)
        for place, time in list(self.double_votes.page(limit=min(1_000, self.params.hook_items))):
            if ctx.block.time - time <= MAX_EVIDENCE_AGE_NS:
                break
            self.double_votes.set(place, None)
            accused = self.accused.get(place[1])
            if accused is not None:
                self.accused.set(
                    place[1], accused._replace(pieces=accused.pieces - 1) if accused.pieces > 1 else None
                )

    def _forget_leases(self, ctx: Context) -> None:
        """At most `hook_items` a block."""
        due: list[tuple[tuple[int, Address, bytes], int]] = []
        for key, one in self.lease_ends.page(limit=min(1_000, self.params.hook_items)):
            if key[0] >= ctx.height:
                break
            due.append((key, one))
        for key, _ in due:
            self.lease_ends.set(key, None)
            held = self.leases.get((key[1], key[2]))
            if held == key[0]:  # a newer lease under the same name has its own end
                self.leases.set((key[1], key[2]), None)

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"module_accounts": [...]}`; parameters and validators are imported by the machine itself."""
        if set(data) - {"module_accounts"} or not isinstance(data.get("module_accounts", []), list):
            raise InvalidGenesis('modules.machine is {"module_accounts": [...]}')
        codec = codec_for(ModuleAccount)
        for index, item in enumerate(data.get("module_accounts", [])):
            where = f"modules.machine.module_accounts[{index}]"
            address, module = check_record(codec, item, InvalidGenesis, where)
            if self.module_accounts.get(address) is not None:
                raise InvalidGenesis(f"{where}: a second entry for this account")
            self.module_accounts.set(address, module)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`. Leases and the fee excess end with the chain they were made on."""
        codec = codec_for(ModuleAccount)
        owned = [codec.to_json(ModuleAccount(*entry), "qx") for entry in self.module_accounts.scan()]
        return {"module_accounts": owned}

    @query
    def get_fee_market(self, ctx: Context) -> FeeMarket:
        """Price per gas that the next block asks, and the limits."""
        params: MachineParams = self.params
        excess = self.excess.get() or 0
        return FeeMarket(
            price_per_gas(params, excess), excess, params.target_gas_per_second, params.max_block_gas
        )

    @query
    def get_parameters(self, ctx: Context) -> MachineParams:
        """The machine's parameters in force."""
        params: MachineParams = self.params
        return params

    @query
    def get_pause(self, ctx: Context, module_id: U8) -> Pause | None:
        """Since when a module is paused, or nothing.

        Args:
            module_id: the module's number.
        """
        return self.paused.get(module_id)

    @internal(callers=("governance",), gas=100)
    def govern_cancel_upgrade(self, ctx: Context, name: UpgradeName) -> None:
        """Drop the planned upgrade, by governance. Raises UpgradeNotPlanned.

        Args:
            name: what it is called, so that no other one is dropped.
        """
        plan = self.upgrade.get()
        if plan is None or plan.name != name:
            raise UpgradeNotPlanned(f"no upgrade called {name!a} is planned")
        self.upgrade.set(None)

    @query
    def get_upgrade(self, ctx: Context) -> Upgrade | None:
        """The planned upgrade, or nothing."""
        return self.upgrade.get()


def _place(evidence: Evidence) -> tuple[int, Address, int, int]:
    vote = evidence.first
    return vote.height, vote.address, vote.round, vote.type
