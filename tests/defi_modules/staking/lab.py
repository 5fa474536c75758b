"""A chain with staking, and short ways to use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defi_modules.oracle import Oracle
from defi_modules.staking import MAIN, Staking, StakingParams, bonds_to_json, possession_sign_bytes
from defi_modules.staking.base import booked
from qenex.block import PRECOMMIT, Evidence, Receipt, SignedVote
from qenex.crypto import Address
from tests.vm.chain import ACTORS, CHAIN_ID, Actor, Chain
from vm.context import BlockInfo, Context
from vm.module import Module, message

ALICE, BOB, CAROL, DAVE, ERIN, FRANK = ACTORS
VAL1, VAL2, VAL3, VAL4 = [Actor(200 + number) for number in range(4)]
KEYS = {actor: Actor(300 + number) for number, actor in enumerate((VAL1, VAL2, VAL3, VAL4, ALICE, BOB))}
"""Consensus keys."""
QX = 10**9
STAKE = 1_000 * QX
DAY = 86_400


class Snapshots(Module):
    """Stands where governance will: asks for power, and spends from the community pool."""

    id = 5
    name = "governance"
    uses = ("staking",)
    staking: Any

    @message(gas=100)
    def spend(self, ctx: Context, to: Address, amount: int) -> None:
        """Spend.

        Args:
            to: who gets it.
            amount: base units.
        """
        self.staking.pay_from_community_pool(ctx, to, amount)

    @message(gas=100)
    def power(self, ctx: Context, account: Address, height: int) -> int:
        """Power.

        Args:
            account: of whom.
            height: when.
        """
        result: int = self.staking.power_at(ctx, account, height)
        return result

    @message(gas=100)
    def whole(self, ctx: Context, validator: Address, height: int) -> tuple[int, int]:
        """Power of a validator, and of all.

        Args:
            validator: of whom.
            height: when.
        """
        return (
            self.staking.validator_power_at(ctx, validator, height),
            self.staking.total_power_at(ctx, height),
        )


class StakeChain(Chain):
    """Three validators with 1,000 QXC each; `parameters` are staking's."""

    def __init__(
        self,
        stakes: Sequence[tuple[Actor, int]] = ((VAL1, STAKE), (VAL2, STAKE), (VAL3, STAKE)),
        *,
        oracle: dict[str, Any] | None = None,
        commission_bps: int = 500,
        **parameters: Any,
    ) -> None:
        self.absent: tuple[Address, ...] = ()
        self.evidence: tuple[Evidence, ...] = ()
        self.step_ns = 10**8
        listed = [(actor.address, f"v{n}", amount) for n, (actor, amount) in enumerate(stakes)]
        bonds, balance, powers = bonds_to_json(listed, StakingParams(), commission_bps=commission_bps)
        given = {"machine": {"max_block_gas": 10**9}, "staking": parameters}
        if oracle is not None:
            given["oracle"] = oracle
        super().__init__(
            Oracle,
            Staking,
            Snapshots,
            parameters=given,
            actors=[*ACTORS, VAL1, VAL2, VAL3, VAL4],
            balances=[(MAIN, "QXC", int(balance["amount"]))],
            validators=[
                (actor.address, KEYS[actor].key, power)
                for (actor, _), power in zip(stakes, powers, strict=True)
            ],
            data={"staking": {"bonds": bonds}},
        )

    @property
    def next_info(self) -> BlockInfo:
        info = super().next_info
        return info._replace(
            time=self.time + self.step_ns, proposer=VAL1.address, absent=self.absent, evidence=self.evidence
        )

    def end(self) -> Any:
        result = super().end()
        self.time += self.step_ns - 10**8
        return result

    def pass_time(self, seconds: int) -> None:
        """The next block comes so much later."""
        self.time += seconds * 10**9

    def do(self, actor: Actor, name: str, *args: Any) -> Receipt:
        return self.send_block(actor, (f"staking.{name}", args), gas=1_000_000)

    def ok(self, actor: Actor, name: str, *args: Any) -> Any:
        receipt = self.do(actor, name, *args)
        assert receipt.status == 0, (receipt, self.faults)
        return receipt.results[0]

    def join(self, actor: Actor, amount: int = STAKE, **changes: Any) -> Receipt:
        """The actor declares a validator."""
        key = KEYS[changes.pop("key_of", actor)]
        signed = key.sign(possession_sign_bytes(CHAIN_ID, changes.pop("named", actor).address, key.key))
        values = {
            "key": key.key, "possession": signed, "moniker": "new", "commission_bps": 500,
            "max_commission_bps": 2_000, "max_change_bps": 100, "min_self_delegation": QX, "amount": amount,
            **changes,
        }  # fmt: skip
        return self.do(actor, "create_validator", *values.values())

    def double_vote(self, actor: Actor, height: int) -> None:
        """A block with evidence against a validator."""
        votes = [SignedVote(actor.address, PRECOMMIT, height, 0, bytes([byte]) * 32, b"x") for byte in (1, 2)]
        self.evidence = (Evidence("duplicate_vote", *votes),)
        self.run()
        self.evidence = ()

    def powers(self) -> dict[Address, int]:
        """The set that the state names."""
        return {validator.address: validator.power for validator in self.machine.validators(self.base)}

    def tokens(self, delegator: Actor, validator: Actor) -> int:
        found: int = self.query("staking.get_delegation", delegator.address, validator.address).tokens
        return found

    def books(self) -> Any:
        """The books as committed."""
        scratch = self.machine.scratch
        scratch.state.reset(self.base)
        return scratch.modules["staking"].book.get()  # type: ignore[attr-defined]  # the module's own collection

    def events(self, name: str) -> list[Any]:
        """Fields of the last block's events of this name."""
        result = self.results[-1]
        of_receipts = [event for receipt in result.receipts for event in receipt.events]
        found = [*result.begin_events, *of_receipts, *result.end_events]
        return [event.fields for event in found if event.name == f"staking.{name}"]

    def check(self) -> None:
        assert self.problems() == []
        assert self.faults == []
        assert self.balance(MAIN) >= booked(self.books())
