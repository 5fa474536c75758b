# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `governance`, for asyncio."""

from __future__ import annotations

from typing import Annotated, Unpack

from qenex.async_faces import AsyncModuleFace, At
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import AddressLike, CoinLike
from qenex.codec import Reference
from qenex.modules.governance import (
    CAST_BALLOT,
    GET_BALLOT,
    GET_GUARDIAN_PAUSE,
    GET_MODULE_PARAMETERS,
    GET_POLL,
    GET_PROPOSAL,
    GUARDIAN_PAUSE,
    LIST_POLLS,
    LIST_PROPOSALS,
    OBJECT,
    OPEN_POLL,
    PROPOSE_ACTION,
    PROPOSE_PARAMETERS,
    PROPOSE_PAUSE,
    PROPOSE_SPEND,
    PROPOSE_TEXT,
    PROPOSE_UPGRADE,
    VOTE,
    Ballot,
    GuardianPause,
    PollInfo,
    PollPage,
    ProposalInfo,
    ProposalPage,
    Submitted,
)
from qenex.types import U32, Length
from qenex.wallet import Wallet


class AsyncGovernance(AsyncModuleFace):
    """Proposals, votes, execution behind a timelock; a guardian; polls."""

    async def cast_ballot(
        self,
        wallet: Wallet,
        *,
        poll_id: int | Reference,
        spent: tuple[U32, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Spend credits in a poll, once. A ballot over its budget is refused as a whole.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            poll_id: the poll's number.
            spent: how many credits go to each option.
        """
        return await self._send(wallet, CAST_BALLOT, {"poll_id": poll_id, "spent": spent}, options)

    async def guardian_pause(
        self, wallet: Wallet, *, module: str | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Pause a module for a bounded time; the guardian alone can, and cannot prolong it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: which one.
        """
        return await self._send(wallet, GUARDIAN_PAUSE, {"module": module}, options)

    async def object(
        self, wallet: Wallet, *, proposal_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> AsyncPending[None]:
        """Object to a proposal that has passed and waits; enough power cancels it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            proposal_id: the proposal's number.
        """
        return await self._send(wallet, OBJECT, {"proposal_id": proposal_id}, options)

    async def open_poll(
        self,
        wallet: Wallet,
        *,
        question: str | Reference,
        answers: tuple[Annotated[str, Length(1, 140)], ...] | Reference,
        duration_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Ask the community: one budget of credits a person, n votes for an option cost n * n of them.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            question: what is asked.
            answers: 2 to 16 of them, all different.
            duration_s: seconds for which ballots are taken.
        """
        return await self._send(
            wallet, OPEN_POLL, {"question": question, "answers": answers, "duration_s": duration_s}, options
        )

    async def propose_action(
        self,
        wallet: Wallet,
        *,
        module: str | Reference,
        action: str | Reference,
        arguments: str | Reference,
        title: str | Reference,
        deposit: CoinLike,
        expedited: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose that a module does what only a vote can: list a market, change its terms, and the like.

        It is tried and taken back at once: what could not be done now is refused with its own error, a
        value out of
        range with the range.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: which one.
            action: one of its actions, as `govern_market`.
            arguments: JSON of the action's arguments by name.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        return await self._send(
            wallet,
            PROPOSE_ACTION,
            {
                "module": module,
                "action": action,
                "arguments": arguments,
                "title": title,
                "deposit": deposit,
                "expedited": expedited,
            },
            options,
        )

    async def propose_parameters(
        self,
        wallet: Wallet,
        *,
        module: str | Reference,
        changes: str | Reference,
        title: str | Reference,
        deposit: CoinLike,
        expedited: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose other parameters of a module. Refused at once where a value is out of its range.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: whose parameters.
            changes: JSON of parameters by field, as in a genesis; those left out stay.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        return await self._send(
            wallet,
            PROPOSE_PARAMETERS,
            {
                "module": module,
                "changes": changes,
                "title": title,
                "deposit": deposit,
                "expedited": expedited,
            },
            options,
        )

    async def propose_pause(
        self,
        wallet: Wallet,
        *,
        module: str | Reference,
        resume: bool | Reference,
        title: str | Reference,
        deposit: CoinLike,
        expedited: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose to pause a module, or to resume one that is paused for whatever reason.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: which one.
            resume: whether it is to go on.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        return await self._send(
            wallet,
            PROPOSE_PAUSE,
            {"module": module, "resume": resume, "title": title, "deposit": deposit, "expedited": expedited},
            options,
        )

    async def propose_spend(
        self,
        wallet: Wallet,
        *,
        recipient: AddressLike | Reference,
        amount: CoinLike,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose to pay somebody from the treasury: forfeited deposits first, then the community's pool.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            recipient: who is paid.
            amount: how much, in QXC.
            title: what for.
            deposit: as for every proposal.
        """
        return await self._send(
            wallet,
            PROPOSE_SPEND,
            {"recipient": recipient, "amount": amount, "title": title, "deposit": deposit},
            options,
        )

    async def propose_text(
        self,
        wallet: Wallet,
        *,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose a statement; it executes nothing.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            title: what it says, or where more is told.
            deposit: at least the least deposit, in QXC; it comes back unless the proposal is vetoed.
        """
        return await self._send(wallet, PROPOSE_TEXT, {"title": title, "deposit": deposit}, options)

    async def propose_upgrade(
        self,
        wallet: Wallet,
        *,
        name: str | Reference,
        height: int | Reference,
        protocol_version: int | Reference,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[Submitted]:
        """Propose that other rules hold from a height on; programs that do not know them stop before it
        and say so.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            name: what the upgrade is called.
            height: the first block under the new rules, beyond vote and timelock.
            protocol_version: the version of the rules, above the present one.
            title: what it brings.
            deposit: as for every proposal.
        """
        return await self._send(
            wallet,
            PROPOSE_UPGRADE,
            {
                "name": name,
                "height": height,
                "protocol_version": protocol_version,
                "title": title,
                "deposit": deposit,
            },
            options,
        )

    async def vote(
        self,
        wallet: Wallet,
        *,
        proposal_id: int | Reference,
        choice: str | Reference,
        **options: Unpack[TransactionOptions],
    ) -> AsyncPending[None]:
        """Vote, once, with all that this account had delegated before the proposal was visible.

        A validator also speaks for delegators who do not vote themselves; one who does takes his part
        back.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            proposal_id: the proposal's number.
            choice: yes, no, abstain or veto (no, and the deposit is forfeited if a third agrees).
        """
        return await self._send(wallet, VOTE, {"proposal_id": proposal_id, "choice": choice}, options)

    async def get_ballot(
        self, proposal_id: int, address: AddressLike, *, at: At | None = None
    ) -> Ballot | None:
        """What an account voted, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            proposal_id: the proposal's number.
            address: the account.
        """
        answer: Ballot | None = await self._query(
            GET_BALLOT, {"proposal_id": proposal_id, "address": address}, at
        )
        return answer

    async def get_guardian_pause(self, module: str, *, at: At | None = None) -> GuardianPause | None:
        """The guardian's last pause of a module, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            module: which one.
        """
        answer: GuardianPause | None = await self._query(GET_GUARDIAN_PAUSE, {"module": module}, at)
        return answer

    async def get_module_parameters(
        self, module: str, *, at: At | None = None
    ) -> Annotated[str, Length(2, 65536)]:
        """A module's parameters in force, as JSON by field: what `propose_parameters` can change.

        `at` is a height, the latest one unless given.

        Args:
            module: which one.
        """
        answer: Annotated[str, Length(2, 65536)] = await self._query(
            GET_MODULE_PARAMETERS, {"module": module}, at
        )
        return answer

    async def get_poll(self, poll_id: int, *, at: At | None = None) -> PollInfo:
        """A poll with its votes so far.

        `at` is a height, the latest one unless given.

        Args:
            poll_id: its number.
        """
        answer: PollInfo = await self._query(GET_POLL, {"poll_id": poll_id}, at)
        return answer

    async def get_proposal(self, proposal_id: int, *, at: At | None = None) -> ProposalInfo:
        """A proposal as it stands.

        `at` is a height, the latest one unless given.

        Args:
            proposal_id: its number.
        """
        answer: ProposalInfo = await self._query(GET_PROPOSAL, {"proposal_id": proposal_id}, at)
        return answer

    async def list_polls(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> PollPage:
        """All polls, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PollPage = await self._query(LIST_POLLS, {"limit": limit, "cursor": cursor}, at)
        return answer

    async def list_proposals(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> ProposalPage:
        """All proposals, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ProposalPage = await self._query(LIST_PROPOSALS, {"limit": limit, "cursor": cursor}, at)
        return answer
