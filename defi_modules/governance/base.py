"""What governance keeps, polls, and what it is asked."""

from __future__ import annotations

from typing import Any

from defi_modules.governance.math import is_ballot, quadratic_votes
from defi_modules.governance.types import (
    Ballot,
    BallotCast,
    Credits,
    GuardianPause,
    ModuleName,
    PageLimit,
    ParametersText,
    Poll,
    PollInfo,
    PollOpened,
    PollOptions,
    PollPage,
    Proposal,
    ProposalInfo,
    ProposalPage,
    Seconds,
    Submitted,
    Title,
)
from defi_modules.governance.voting import Voting
from ledger.collections import Counter, Item, Map, OrderedMap
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    AlreadyVoted,
    BallotOverBudget,
    InvalidProposal,
    InvariantViolated,
    NotAnIdentity,
    ProposalNotOpen,
    TooManyProposals,
    UnknownProposal,
)
from qenex.types import QXC, U8, U32, U64, Amount
from vm.context import Context
from vm.governor import Governor
from vm.module import invariant, message, query


class GovernanceBase(Voting):
    """Collections, polls, queries and rules."""

    governor: Governor

    proposals = OrderedMap[int, Proposal](1, key=U64, value=Proposal)
    proposal_ids = Counter(2)
    agenda = OrderedMap[tuple[int, int], int](7, key=(U64, U64), value=U8)
    """What happens when: (seconds since 1970, proposal); the end of a vote, then the execution."""
    deposits = Item[int](8, Amount)
    """Deposits of open proposals together, base units of QXC."""
    open_count = Item[int](9, U32)
    guardian_pauses = Map[str, GuardianPause](10, key=str, value=GuardianPause)
    guardian_ends = OrderedMap[tuple[int, str], int](11, key=(U64, str), value=U8)
    polls = OrderedMap[int, Poll](12, key=U64, value=Poll)
    poll_ids = Counter(13)
    poll_ends = OrderedMap[tuple[int, int], int](14, key=(U64, U64), value=U8)
    poll_ballots = Map[tuple[int, Address], int](15, key=(U64, Address), value=U8)

    # -- polls -----------------------------------------------------------------------------------

    @message(gas=900)
    def open_poll(
        self, ctx: Context, question: Title, answers: PollOptions, duration_s: Seconds
    ) -> Submitted:
        """Ask the community: one budget of credits a person, n votes for an option cost n * n of them.

        Args:
            question: what is asked.
            answers: 2 to 16 of them, all different.
            duration_s: seconds for which ballots are taken.
        """
        params: Any = self.params
        if not 5 <= duration_s <= 30 * 86_400 or len(set(answers)) != len(answers):
            raise InvalidProposal("a poll lasts 5 seconds to 30 days, and its options differ")
        self._may_take_part(ctx, ctx.actor, ctx.height - 1)
        self._take_place(params.max_open)
        number, end = self.poll_ids.next(), ctx.time_s + duration_s
        votes = tuple([0 for _ in answers])
        self.polls.set(
            number, Poll(ctx.actor, question, answers, params.poll_budget, ctx.height - 1, end, votes, 0)
        )
        self.poll_ends.set((end, number), 1)
        ctx.emit(PollOpened(number, ctx.actor, end))
        return Submitted(number)

    @message(gas=700)
    def cast_ballot(self, ctx: Context, poll_id: U64, spent: Credits) -> None:
        """Spend credits in a poll, once. A ballot over its budget is refused as a whole.

        Args:
            poll_id: the poll's number.
            spent: how many credits go to each option.
        """
        poll = self.polls.get(poll_id)
        if poll is None:
            raise UnknownProposal(f"no poll {poll_id}")
        if ctx.time_s >= poll.end_s:
            raise ProposalNotOpen(f"poll {poll_id} ended at {poll.end_s}")
        if self.poll_ballots.get((poll_id, ctx.actor)) is not None:
            raise AlreadyVoted(f"this account has voted in poll {poll_id}")
        self._may_take_part(ctx, ctx.actor, poll.snapshot_height)
        if not is_ballot(spent, len(poll.options), poll.budget):
            raise BallotOverBudget(
                f"{len(spent)} options and {sum(spent)} credits; the poll has {len(poll.options)} options and {poll.budget} credits"
            )
        votes = [before + more for before, more in zip(poll.votes, quadratic_votes(spent), strict=True)]
        self.poll_ballots.set((poll_id, ctx.actor), 1)
        self.polls.set(poll_id, poll._replace(votes=tuple(votes), ballots=poll.ballots + 1))
        ctx.emit(BallotCast(poll_id, ctx.actor))

    def _may_take_part(self, ctx: Context, account: Address, height: int) -> None:
        """Raises NotAnIdentity: without an identity, one budget each would only serve whoever makes many accounts."""
        params: Any = self.params
        if account in params.credentialed:
            return
        if self.staking.power_at(ctx, account, height) < params.poll_min_power:
            raise NotAnIdentity(
                f"{params.poll_min_power} base units of QXC have to be delegated, or a credential given"
            )

    def _close_polls(self, ctx: Context, limit: int) -> None:
        ended = [key for key, _ in self.poll_ends.page(limit=limit) if key[0] <= ctx.time_s]
        for key in ended:
            self.poll_ends.set(key, None)
            self._free_place()

    def _take_place(self, most: int) -> None:
        opened = self.open_count.get() or 0
        if opened >= most:
            raise TooManyProposals(f"{opened} proposals and polls are open")
        self.open_count.set(opened + 1)

    def _free_place(self) -> None:
        self.open_count.set((self.open_count.get() or 0) - 1 or None)

    # -- reading -----------------------------------------------------------------------------------

    @query
    def get_proposal(self, ctx: Context, proposal_id: U64) -> ProposalInfo:
        """A proposal as it stands.

        Args:
            proposal_id: its number.
        """
        proposal = self.proposals.get(proposal_id)
        if proposal is None:
            raise UnknownProposal(f"no proposal {proposal_id}")
        return ProposalInfo(proposal_id, proposal)

    @query
    def list_proposals(self, ctx: Context, limit: PageLimit | None, cursor: U64 | None) -> ProposalPage:
        """All proposals, oldest first.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        found, more = self.proposals.page_and_more(after=cursor, limit=limit or 100)
        items = tuple([ProposalInfo(*entry) for entry in found])
        return ProposalPage(items, items[-1].id if more else None)

    @query
    def get_ballot(self, ctx: Context, proposal_id: U64, address: Address) -> Ballot | None:
        """What an account voted, or nothing.

        Args:
            proposal_id: the proposal's number.
            address: the account.
        """
        return self.ballots.get((proposal_id, address))

    @query
    def get_poll(self, ctx: Context, poll_id: U64) -> PollInfo:
        """A poll with its votes so far.

        Args:
            poll_id: its number.
        """
        poll = self.polls.get(poll_id)
        if poll is None:
            raise UnknownProposal(f"no poll {poll_id}")
        return PollInfo(poll_id, poll)

    @query
    def list_polls(self, ctx: Context, limit: PageLimit | None, cursor: U64 | None) -> PollPage:
        """All polls, oldest first.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        found, more = self.polls.page_and_more(after=cursor, limit=limit or 100)
        items = tuple([PollInfo(*entry) for entry in found])
        return PollPage(items, items[-1].id if more else None)

    @query
    def get_module_parameters(self, ctx: Context, module: ModuleName) -> ParametersText:
        """A module's parameters in force, as JSON by field: what `propose_parameters` can change.

        Args:
            module: which one.
        """
        return self.governor.parameters_text(module)

    @query
    def get_guardian_pause(self, ctx: Context, module: ModuleName) -> GuardianPause | None:
        """The guardian's last pause of a module, or nothing.

        Args:
            module: which one.
        """
        return self.guardian_pauses.get(module)

    # -- rules that always hold ---------------------------------------------------------------------

    @invariant(each="proposals")
    def no_more_power_votes_than_there_is(
        self, ctx: Context, number: int, old: Proposal | None, new: Proposal | None
    ) -> None:
        """Each unit of power counts once at most."""
        if new is not None and (min(new.tally) < 0 or sum(new.tally) > new.total_power):
            raise InvariantViolated(f"proposal {number}: votes of {tuple(new.tally)} of {new.total_power}")

    @invariant()
    def deposits_are_there(self, ctx: Context) -> None:
        """Deposits of open proposals add up, and the treasury holds them."""
        waiting = sum([p.deposit for _, p in self.proposals.scan() if p.status in (1, 2)])
        held = ctx.money.balance(module_address("governance"), QXC)
        if waiting != (self.deposits.get() or 0) or held < waiting:
            raise InvariantViolated(f"deposits of {waiting}, {self.deposits.get()} noted, {held} held")
