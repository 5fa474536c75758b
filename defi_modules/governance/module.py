"""Governance, module 5: proposals that execute, votes, a guardian, and polls.

Power is that after the block before a proposal was visible, so what is borrowed or bought for a vote counts for nothing. What
passes waits behind a timelock, in which objections can cancel it, and is executed at the beginning of a block, through
the machine's own checks. The guardian, an account of any kind, may pause a module for a bounded time and nothing else.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, NamedTuple

from defi_modules.governance.genesis import GovernanceGenesis
from defi_modules.governance.math import BPS, PASSED, tally
from defi_modules.governance.math import NO_QUORUM as VOTE_NO_QUORUM
from defi_modules.governance.math import VETOED as VOTE_VETOED
from defi_modules.governance.types import (
    ACTION,
    CANCELLED,
    EXECUTED,
    FAILED,
    MAX_CREDENTIALED,
    NO_QUORUM,
    OPTIONS,
    PARAMETERS,
    PAUSE,
    QUEUED,
    REJECTED,
    RESUME,
    SPEND,
    TEXT,
    UPGRADE,
    VETOED,
    VOTING,
    ActionName,
    BallotCast,
    Changes,
    Choice,
    Content,
    GuardianPause,
    GuardianPaused,
    GuardianPauseEnded,
    ModuleName,
    PollOpened,
    Proposal,
    ProposalDecided,
    ProposalExecuted,
    ProposalObjected,
    ProposalSubmitted,
    Submitted,
    Tally,
    Title,
    Voted,
)
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    AmountNotPositive,
    DepositTooSmall,
    GuardianSpent,
    InvalidOption,
    InvalidProposal,
    NotGuardian,
    ProposalNotOpen,
    QenexError,
    UnknownProposal,
)
from qenex.state_keys import ModuleId
from qenex.types import QXC, U32, U64, Between, Bps, Coin, Length
from vm.context import Context
from vm.core import UpgradeName
from vm.module import message

TREASURY: Final = module_address("governance")
Period = Annotated[int, Between(5, 30 * 86_400)]


class GovernanceParams(NamedTuple):
    """How decisions are made.

    `min_deposit` is in base units of QXC and comes back unless the proposal is vetoed. Voting lasts `voting_period_s` seconds
    (`expedited_period_s`), a quorum of `quorum_bps` of all delegated power has to vote, more than `threshold_bps`
    (`expedited_threshold_bps`) of those with an opinion say yes, and no more than `veto_bps` of the votes a veto. What
    passed waits `timelock_s` (`expedited_timelock_s`), in which objections of more than `veto_bps` of all power cancel it.
    `guardian` may pause a module for `guardian_pause_s`, and that module again `guardian_rest_s` after its end at the earliest.
    A poll's budget is `poll_budget` credits for whoever had `poll_min_power` delegated, and for `credentialed` accounts.
    At most `max_open` proposals and polls are open at a time; `hook_items` are worked off in a block.
    """

    min_deposit: Annotated[int, Between(1, 10**18)] = 1_000 * 10**9
    voting_period_s: Period = 3 * 86_400
    expedited_period_s: Period = 86_400
    quorum_bps: Bps = 3_340
    threshold_bps: Annotated[int, Between(5_000, 10_000)] = 5_000
    expedited_threshold_bps: Annotated[int, Between(5_000, 10_000)] = 6_670
    veto_bps: Annotated[int, Between(1, 10_000)] = 3_340
    timelock_s: Period = 2 * 86_400
    expedited_timelock_s: Period = 6 * 3_600
    guardian: Address | None = None
    guardian_pause_s: Annotated[int, Between(5, 14 * 86_400)] = 3 * 86_400
    guardian_rest_s: Annotated[int, Between(5, 365 * 86_400)] = 30 * 86_400
    poll_budget: Annotated[int, Between(1, 1_000_000)] = 100
    poll_min_power: Annotated[int, Between(1, 10**18)] = 10**9
    credentialed: Annotated[tuple[Address, ...], Length(0, MAX_CREDENTIALED)] = ()
    max_open: Annotated[int, Between(1, 1_000)] = 100
    hook_items: Annotated[int, Between(1, 100)] = 20


class Governance(GovernanceGenesis):
    """Proposals, votes, execution behind a timelock; a guardian; polls."""

    id = ModuleId.GOVERNANCE
    name = "governance"
    uses = ("staking",)
    events = (
        ProposalSubmitted, Voted, ProposalDecided, ProposalExecuted, ProposalObjected, GuardianPaused,
        GuardianPauseEnded, PollOpened, BallotCast,
    )  # fmt: skip
    Params: ClassVar[type] = GovernanceParams

    # -- proposals -------------------------------------------------------------------------------

    @message(gas=900)
    def propose_text(self, ctx: Context, title: Title, deposit: Coin) -> Submitted:
        """Propose a statement; it executes nothing.

        Args:
            title: what it says, or where more is told.
            deposit: at least the least deposit, in QXC; it comes back unless the proposal is vetoed.
        """
        return self._submit(ctx, title, deposit, _content(TEXT), False)

    @message(gas=1_500)
    def propose_parameters(
        self, ctx: Context, module: ModuleName, changes: Changes, title: Title, deposit: Coin, expedited: bool
    ) -> Submitted:
        """Propose other parameters of a module. Refused at once where a value is out of its range.

        Args:
            module: whose parameters.
            changes: JSON of parameters by field, as in a genesis; those left out stay.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        self.governor.check_parameters(module, changes)
        return self._submit(ctx, title, deposit, _content(PARAMETERS, module, changes), expedited)

    @message(gas=900)
    def propose_spend(
        self, ctx: Context, recipient: Address, amount: Coin, title: Title, deposit: Coin
    ) -> Submitted:
        """Propose to pay somebody from the treasury: forfeited deposits first, then the community's pool.

        Args:
            recipient: who is paid.
            amount: how much, in QXC.
            title: what for.
            deposit: as for every proposal.
        """
        if amount.denom != QXC:
            raise InvalidProposal("the treasury pays QXC")
        if amount.amount <= 0:
            raise AmountNotPositive("a payment of nothing")
        if ctx.money.is_closed(recipient):
            raise InvalidProposal("a module's account is paid by its own messages")
        content = _content(SPEND)._replace(recipient=recipient, amount=amount.amount)
        return self._submit(ctx, title, deposit, content, False)

    @message(gas=900)
    def propose_pause(
        self, ctx: Context, module: ModuleName, resume: bool, title: Title, deposit: Coin, expedited: bool
    ) -> Submitted:
        """Propose to pause a module, or to resume one that is paused for whatever reason.

        Args:
            module: which one.
            resume: whether it is to go on.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        self.governor.check_pausable(module)
        return self._submit(ctx, title, deposit, _content(RESUME if resume else PAUSE, module), expedited)

    @message(gas=1_000)
    def propose_action(
        self,
        ctx: Context,
        module: ModuleName,
        action: ActionName,
        arguments: Changes,
        title: Title,
        deposit: Coin,
        expedited: bool,
    ) -> Submitted:
        """Propose that a module does what only a vote can: list a market, change its terms, and the like.

        It is tried and taken back at once: what could not be done now is refused with its own error, a value out of
        range with the range.

        Args:
            module: which one.
            action: one of its actions, as `govern_market`.
            arguments: JSON of the action's arguments by name.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        self.governor.check_action(ctx, module, action, arguments)
        content = _content(ACTION, f"{module}.{action}", arguments)
        return self._submit(ctx, title, deposit, content, expedited)

    @message(gas=900)
    def propose_upgrade(
        self, ctx: Context, name: UpgradeName, height: U64, protocol_version: U32, title: Title, deposit: Coin
    ) -> Submitted:
        """Propose that other rules hold from a height on; programs that do not know them stop before it and say so.

        Args:
            name: what the upgrade is called.
            height: the first block under the new rules, beyond vote and timelock.
            protocol_version: the version of the rules, above the present one.
            title: what it brings.
            deposit: as for every proposal.
        """
        if protocol_version <= ctx.block.protocol_version or height <= ctx.height:
            raise InvalidProposal(
                f"version {protocol_version} at height {height}; it is version {ctx.block.protocol_version}, height {ctx.height}"
            )
        content = _content(UPGRADE, name)._replace(height=height, version=protocol_version)
        return self._submit(ctx, title, deposit, content, False)

    def _submit(
        self, ctx: Context, title: str, deposit: Coin, content: Content, expedited: bool
    ) -> Submitted:
        params = self.params
        if deposit.denom != QXC or deposit.amount < params.min_deposit:
            raise DepositTooSmall(
                f"a deposit of {deposit.amount} {deposit.denom}, at least {params.min_deposit} base units of QXC"
            )
        self._take_place(params.max_open)
        snapshot = ctx.height - 1
        total = self.staking.total_power_at(ctx, snapshot)
        if total == 0:
            raise InvalidProposal("nothing is delegated on this chain: nobody could vote")
        ctx.money.transfer(ctx, ctx.actor, TREASURY, QXC, deposit.amount)
        number = self.proposal_ids.next()
        end = ctx.time_s + (params.expedited_period_s if expedited else params.voting_period_s)
        execution = end + (params.expedited_timelock_s if expedited else params.timelock_s)
        self.proposals.set(
            number,
            Proposal(
                ctx.actor, title, content, expedited, deposit.amount, snapshot, total, ctx.time_s, end, execution,
                VOTING, Tally(0, 0, 0, 0), 0, 0,
            ),
        )  # fmt: skip
        self.agenda.set((end, number), 1)
        self.deposits.set((self.deposits.get() or 0) + deposit.amount)
        ctx.emit(ProposalSubmitted(number, ctx.actor, content.kind, end))
        return Submitted(number)

    # -- votes -----------------------------------------------------------------------------------

    @message(gas=700)
    def vote(self, ctx: Context, proposal_id: U64, choice: Choice) -> None:
        """Vote, once, with all that this account had delegated before the proposal was visible.

        A validator also speaks for delegators who do not vote themselves; one who does takes his part back.

        Args:
            proposal_id: the proposal's number.
            choice: yes, no, abstain or veto (no, and the deposit is forfeited if a third agrees).
        """
        option = OPTIONS.get(choice)
        if option is None:
            raise InvalidOption(f"{choice!a} is none of {', '.join(OPTIONS)}")
        proposal = self._proposal(proposal_id)
        if proposal.status != VOTING or ctx.time_s >= proposal.voting_end_s:
            raise ProposalNotOpen(f"voting on proposal {proposal_id} ended at {proposal.voting_end_s}")
        proposal, ballot = self.cast(ctx, proposal_id, proposal, option)
        self.proposals.set(proposal_id, proposal)
        ctx.emit(Voted(proposal_id, ctx.actor, option, ballot.power + ballot.inherited))

    @message(gas=900)
    def object(self, ctx: Context, proposal_id: U64) -> None:
        """Object to a proposal that has passed and waits; enough power cancels it.

        Args:
            proposal_id: the proposal's number.
        """
        proposal = self._proposal(proposal_id)
        if proposal.status != QUEUED or ctx.time_s >= proposal.execution_s:
            raise ProposalNotOpen(f"proposal {proposal_id} does not wait for its execution")
        proposal, ballot = self.object_to(ctx, proposal_id, proposal)
        ctx.emit(ProposalObjected(proposal_id, ctx.actor, ballot.power + ballot.inherited))
        if proposal.objections * BPS > self.params.veto_bps * proposal.total_power:
            self.agenda.set((proposal.execution_s, proposal_id), None)
            proposal = self._settled(ctx, proposal, CANCELLED)
            ctx.emit(ProposalDecided(proposal_id, CANCELLED, proposal.execution_s))
        self.proposals.set(proposal_id, proposal)

    def _proposal(self, number: int) -> Proposal:
        proposal = self.proposals.get(number)
        if proposal is None:
            raise UnknownProposal(f"no proposal {number}")
        return proposal

    # -- the guardian ------------------------------------------------------------------------------

    @message(gas=350)
    def guardian_pause(self, ctx: Context, module: ModuleName) -> None:
        """Pause a module for a bounded time; the guardian alone can, and cannot prolong it.

        Args:
            module: which one.
        """
        params = self.params
        if params.guardian is None or ctx.actor != params.guardian:
            raise NotGuardian("this account is not the guardian")
        self.governor.check_pausable(module)
        before = self.guardian_pauses.get(module)
        if before is not None and ctx.time_s < before.again_s:
            raise GuardianSpent(
                f"the guardian paused {module} until {before.until_s}, and may again from {before.again_s} on"
            )
        if self.governor.is_paused(module):
            raise GuardianSpent(f"{module} is paused already; a vote resumes it")
        until = ctx.time_s + params.guardian_pause_s
        self.governor.pause(ctx, module)
        self.guardian_pauses.set(module, GuardianPause(until, until + params.guardian_rest_s))
        self.guardian_ends.set((until, module), 1)
        ctx.emit(GuardianPaused(module, until))

    # -- hooks -----------------------------------------------------------------------------------

    def begin_block(self, ctx: Context) -> None:
        """Execute what passed and whose time has come, before anything else of the block: one set of parameters a block."""
        for (_, number), _ in self._due(ctx, self.params.hook_items):
            proposal = self.proposals.get(number)
            if proposal is None or proposal.status != QUEUED:
                continue
            self.agenda.set((proposal.execution_s, number), None)
            code = self._execute(ctx, proposal.content)
            status = FAILED if code else EXECUTED
            self.proposals.set(number, self._settled(ctx, proposal._replace(code=code), status))
            ctx.emit(ProposalExecuted(number, code))

    def end_block(self, ctx: Context) -> None:
        """Close votes that are over, and end the guardian's pauses whose time is up; a bounded number each."""
        items = self.params.hook_items
        for (_, number), _ in self._due(ctx, items):
            proposal = self.proposals.get(number)
            if proposal is not None and proposal.status == VOTING:
                self._close(ctx, number, proposal)
        ended = []
        for key, _ in self.guardian_ends.page(limit=items):
            if key[0] > ctx.time_s:
                break
            ended.append(key)
        for until, module in ended:
            self.guardian_ends.set((until, module), None)
            if self.governor.is_paused(module):
                self.governor.resume(module)
                ctx.emit(GuardianPauseEnded(module))
        self._close_polls(ctx, items)

    def _due(self, ctx: Context, limit: int) -> list[tuple[tuple[int, int], int]]:
        return [entry for entry in self.agenda.page(limit=limit) if entry[0][0] <= ctx.time_s]

    def _close(self, ctx: Context, number: int, proposal: Proposal) -> None:
        params, sums = self.params, proposal.tally
        threshold = params.expedited_threshold_bps if proposal.expedited else params.threshold_bps
        total = max(
            proposal.total_power, sum(sums)
        )  # floors of shares never add up to more; a hook does not rely on it
        outcome = tally(*sums, total, params.quorum_bps, threshold, params.veto_bps)
        self.agenda.set((proposal.voting_end_s, number), None)
        if outcome == PASSED:
            # A hook that was late does not shorten the timelock.
            execution = proposal.execution_s + max(0, ctx.time_s - proposal.voting_end_s)
            proposal = proposal._replace(status=QUEUED, execution_s=execution)
            self.agenda.set((execution, number), 1)
        else:
            status = {VOTE_VETOED: VETOED, VOTE_NO_QUORUM: NO_QUORUM}.get(outcome, REJECTED)
            proposal = self._settled(ctx, proposal, status)
        self.proposals.set(number, proposal)
        ctx.emit(ProposalDecided(number, proposal.status, proposal.execution_s))

    def _settled(self, ctx: Context, proposal: Proposal, status: int) -> Proposal:
        """The proposal at its end: the deposit goes back, or to the treasury if it was vetoed."""
        self._free_place()
        self.deposits.set((self.deposits.get() or 0) - proposal.deposit or None)
        if status != VETOED:
            ctx.money.transfer(ctx, TREASURY, proposal.proposer, QXC, proposal.deposit)
        return proposal._replace(status=status)

    def _execute(self, ctx: Context, content: Content) -> int:
        """Carry a proposal out; 0, or the code with which it is refused. Nothing of a refused one stays."""
        try:
            if content.kind == PARAMETERS:
                self.governor.set_parameters(content.module, content.changes)
            elif content.kind == ACTION:
                module, _, action = content.module.partition(".")
                self.governor.act(ctx, module, action, content.changes)
            elif content.kind in (PAUSE, RESUME):
                self._forget_guardian_end(content.module)
                if content.kind == PAUSE:
                    self.governor.pause(ctx, content.module)
                else:
                    self.governor.resume(content.module)
            elif content.kind == SPEND:
                self._spend(ctx, content)
            elif content.kind == UPGRADE:
                if content.height <= ctx.height:
                    raise InvalidProposal("the height of the upgrade has passed")
                self.governor.plan_upgrade(content.module, content.height, content.version)
        except QenexError as error:
            return error.code
        return 0

    def _forget_guardian_end(self, module: str) -> None:
        """What a vote says of a module outlives a pause of the guardian: its end must not end the vote's pause."""
        pause = self.guardian_pauses.get(module)
        if pause is not None:
            self.guardian_ends.set((pause.until_s, module), None)

    def _spend(self, ctx: Context, content: Content) -> None:
        assert content.recipient is not None, "checked when it was proposed"
        free = ctx.money.balance(TREASURY, QXC) - (self.deposits.get() or 0)
        own = min(free, content.amount)
        if content.amount > own:
            self.staking.pay_from_community_pool(ctx, content.recipient, content.amount - own)
        if own > 0:
            ctx.money.transfer(ctx, TREASURY, content.recipient, QXC, own)


def _content(kind: int, module: str = "", changes: str = "") -> Content:
    return Content(kind, module, changes, None, 0, 0, 0)
