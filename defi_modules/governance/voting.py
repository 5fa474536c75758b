"""Counting: power from before a proposal was visible; validators speak for delegators who say nothing themselves."""

from __future__ import annotations

from typing import Any

from defi_modules.governance.types import ABSTAIN, NO, VETO, YES, Ballot, Proposal, Tally
from ledger.collections import Map, OrderedMap
from qenex.crypto.address import Address
from qenex.errors import AlreadyVoted, NoVotingPower
from qenex.types import U64, U128
from vm.context import Context
from vm.module import Module

HOLDING_GAS = 300


class Voting(Module):
    """The half of `Governance` that counts. Nothing here walks over voters: a vote changes the sums at once."""

    staking: Any

    ballots = OrderedMap[tuple[int, Address], Ballot](3, key=(U64, Address), value=Ballot)
    objections = OrderedMap[tuple[int, Address], Ballot](4, key=(U64, Address), value=Ballot)
    own_words = Map[tuple[int, Address], int](5, key=(U64, Address), value=U128)
    """Power, by proposal and validator, of delegators who voted themselves."""
    own_objections = Map[tuple[int, Address], int](6, key=(U64, Address), value=U128)

    def cast(self, ctx: Context, number: int, proposal: Proposal, option: int) -> tuple[Proposal, Ballot]:
        """The proposal with the acting account's vote, and the ballot. Raises AlreadyVoted or NoVotingPower."""
        ballot, taken = self._count(ctx, number, proposal, option, self.ballots, self.own_words)
        sums = proposal.tally
        for other, power in taken:
            sums = _added(sums, other, -power)
        return proposal._replace(tally=_added(sums, option, ballot.power + ballot.inherited)), ballot

    def object_to(self, ctx: Context, number: int, proposal: Proposal) -> tuple[Proposal, Ballot]:
        """The same for an objection to what has passed."""
        ballot, taken = self._count(ctx, number, proposal, VETO, self.objections, self.own_objections)
        # A delegator's own objection was already counted with his validator's, if that one objected before.
        total = proposal.objections + ballot.power + ballot.inherited - sum([power for _, power in taken])
        return proposal._replace(objections=total), ballot

    def _count(
        self,
        ctx: Context,
        number: int,
        proposal: Proposal,
        option: int,
        ballots: OrderedMap[tuple[int, Address], Ballot],
        own_words: Map[tuple[int, Address], int],
    ) -> tuple[Ballot, list[tuple[int, int]]]:
        """Write a ballot; it, and what of validators' inherited power it takes away, by their option."""
        voter, height = ctx.actor, proposal.snapshot_height
        if ballots.get((number, voter)) is not None:
            raise AlreadyVoted(f"this account has voted on proposal {number}")
        own = 0
        taken: list[tuple[int, int]] = []
        for validator, power in self.staking.delegations_of(ctx, voter, height):
            ctx.gas.use(HOLDING_GAS)
            own += power
            own_words.set((number, validator), (own_words.get((number, validator)) or 0) + power)
            spoke = ballots.get((number, validator))
            if spoke is not None and validator != voter:
                part = min(power, spoke.inherited)
                taken.append((spoke.option, part))
                ballots.set((number, validator), spoke._replace(inherited=spoke.inherited - part))
        entrusted = self.staking.validator_power_at(ctx, voter, height)
        inherited = max(0, entrusted - (own_words.get((number, voter)) or 0))
        if own + inherited == 0:
            raise NoVotingPower(f"this account had nothing delegated after block {height}")
        ballot = Ballot(option, own, inherited)
        ballots.set((number, voter), ballot)
        return ballot, taken


def _added(sums: Tally, option: int, power: int) -> Tally:
    return Tally(
        sums.yes + power * (option == YES),
        sums.no + power * (option == NO),
        sums.abstain + power * (option == ABSTAIN),
        sums.veto + power * (option == VETO),
    )
