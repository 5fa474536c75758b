# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `governance`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U8, U32, U64, Amount, Between, Coin, Length, Unsigned
from qenex.wallet import Wallet


class Submitted(NamedTuple):
    """The number of a proposal or a poll."""

    id: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Ballot(NamedTuple):
    """What an account said, with how much power of its own, and how much it inherits from delegators who
    said nothing.
    """

    option: U8
    power: Annotated[int, Unsigned(bits=128)]
    inherited: Annotated[int, Unsigned(bits=128)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardianPause(NamedTuple):
    """A pause by the guardian: until when, and from when on the guardian may pause this module again."""

    until_s: Annotated[int, Between(0, 1099511627775)]
    again_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Poll(NamedTuple):
    """A question with one budget of credits for each person; n votes cost n * n credits."""

    author: Address
    question: Annotated[str, Length(1, 140)]
    options: Annotated[tuple[Annotated[str, Length(1, 140)], ...], Length(2, 16)]
    budget: U32
    snapshot_height: U64
    end_s: Annotated[int, Between(0, 1099511627775)]
    votes: Annotated[tuple[U64, ...], Length(2, 16)]
    ballots: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PollInfo(NamedTuple):
    """A poll and its number."""

    id: U64
    poll: Poll

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Content(NamedTuple):
    """What a proposal does. Only the fields of its kind mean something.

    1 text; 2 parameters (`module`, `changes`); 3 spend (`recipient`, `amount` base units of QXC); 4
    pause and 5 resume
    (`module`); 6 upgrade (`module` is its name, `height`, `version` the protocol's); 7 action (`module`
    is the module's name, a
    dot and the action's, `changes` its arguments).
    """

    kind: U8
    module: Annotated[str, Length(0, 64)]
    changes: Annotated[str, Length(0, 16384)]
    recipient: Address | None
    amount: Amount
    height: U64
    version: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Tally(NamedTuple):
    """Power by option, in base units of delegated QXC."""

    yes: Annotated[int, Unsigned(bits=128)]
    no: Annotated[int, Unsigned(bits=128)]
    abstain: Annotated[int, Unsigned(bits=128)]
    veto: Annotated[int, Unsigned(bits=128)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Proposal(NamedTuple):
    """A proposal. Times in seconds since 1970; power is that after block `snapshot_height`.

    `objections` is the power that wants it cancelled while it waits. `code` is the error of a failed
    execution.
    """

    proposer: Address
    title: Annotated[str, Length(1, 140)]
    content: Content
    expedited: bool
    deposit: Amount
    snapshot_height: U64
    total_power: Annotated[int, Unsigned(bits=128)]
    submitted_s: Annotated[int, Between(0, 1099511627775)]
    voting_end_s: Annotated[int, Between(0, 1099511627775)]
    execution_s: Annotated[int, Between(0, 1099511627775)]
    status: U8
    tally: Tally
    objections: Annotated[int, Unsigned(bits=128)]
    code: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalInfo(NamedTuple):
    """A proposal and its number."""

    id: U64
    proposal: Proposal

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PollPage(NamedTuple):
    """Part of all polls, oldest first."""

    items: tuple[PollInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalPage(NamedTuple):
    """Part of all proposals, oldest first."""

    items: tuple[ProposalInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalSubmitted(NamedTuple):
    """A proposal can be voted on until `voting_end_s`."""

    id: U64
    proposer: Address
    kind: U8
    voting_end_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Voted(NamedTuple):
    """An account voted with its own power and what it inherits."""

    id: U64
    voter: Address
    option: U8
    power: Annotated[int, Unsigned(bits=128)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalDecided(NamedTuple):
    """A vote is over; a proposal that passed waits until `execution_s`."""

    id: U64
    status: U8
    execution_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalExecuted(NamedTuple):
    """A proposal's time came; `code` is 0, or the error with which the machine refused it."""

    id: U64
    code: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProposalObjected(NamedTuple):
    """An account wants a proposal cancelled that has passed and waits."""

    id: U64
    objector: Address
    power: Annotated[int, Unsigned(bits=128)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardianPaused(NamedTuple):
    """The guardian paused a module until `until_s`."""

    module: Annotated[str, Length(1, 32)]
    until_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardianPauseEnded(NamedTuple):
    """A pause by the guardian ended by itself."""

    module: Annotated[str, Length(1, 32)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PollOpened(NamedTuple):
    """A poll takes ballots until `end_s`."""

    id: U64
    author: Address
    end_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class BallotCast(NamedTuple):
    """An account spent credits in a poll."""

    id: U64
    voter: Address

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


CAST_BALLOT = MessageFace(
    "governance.cast_ballot",
    (
        ("poll_id", U64),
        ("spent", Annotated[tuple[U32, ...], Length(2, 16)]),
    ),
    None,
)

GUARDIAN_PAUSE = MessageFace(
    "governance.guardian_pause",
    (("module", Annotated[str, Length(1, 32)]),),
    None,
)

OBJECT = MessageFace(
    "governance.object",
    (("proposal_id", U64),),
    None,
)

OPEN_POLL = MessageFace(
    "governance.open_poll",
    (
        ("question", Annotated[str, Length(1, 140)]),
        ("answers", Annotated[tuple[Annotated[str, Length(1, 140)], ...], Length(2, 16)]),
        ("duration_s", Annotated[int, Between(0, 1099511627775)]),
    ),
    Submitted,
)

PROPOSE_ACTION = MessageFace(
    "governance.propose_action",
    (
        ("module", Annotated[str, Length(1, 32)]),
        ("action", Annotated[str, Length(1, 31)]),
        ("arguments", Annotated[str, Length(2, 16384)]),
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
        ("expedited", bool),
    ),
    Submitted,
)

PROPOSE_PARAMETERS = MessageFace(
    "governance.propose_parameters",
    (
        ("module", Annotated[str, Length(1, 32)]),
        ("changes", Annotated[str, Length(2, 16384)]),
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
        ("expedited", bool),
    ),
    Submitted,
)

PROPOSE_PAUSE = MessageFace(
    "governance.propose_pause",
    (
        ("module", Annotated[str, Length(1, 32)]),
        ("resume", bool),
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
        ("expedited", bool),
    ),
    Submitted,
)

PROPOSE_SPEND = MessageFace(
    "governance.propose_spend",
    (
        ("recipient", Address),
        ("amount", Coin),
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
    ),
    Submitted,
)

PROPOSE_TEXT = MessageFace(
    "governance.propose_text",
    (
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
    ),
    Submitted,
)

PROPOSE_UPGRADE = MessageFace(
    "governance.propose_upgrade",
    (
        ("name", Annotated[str, Length(1, 64)]),
        ("height", U64),
        ("protocol_version", U32),
        ("title", Annotated[str, Length(1, 140)]),
        ("deposit", Coin),
    ),
    Submitted,
)

VOTE = MessageFace(
    "governance.vote",
    (
        ("proposal_id", U64),
        ("choice", Annotated[str, Length(2, 8)]),
    ),
    None,
)

GET_BALLOT = QueryFace(
    "governance_getBallot",
    (
        ("proposal_id", U64),
        ("address", Address),
    ),
    Ballot | None,
)

GET_GUARDIAN_PAUSE = QueryFace(
    "governance_getGuardianPause",
    (("module", Annotated[str, Length(1, 32)]),),
    GuardianPause | None,
)

GET_MODULE_PARAMETERS = QueryFace(
    "governance_getModuleParameters",
    (("module", Annotated[str, Length(1, 32)]),),
    Annotated[str, Length(2, 65536)],
)

GET_POLL = QueryFace(
    "governance_getPoll",
    (("poll_id", U64),),
    PollInfo,
)

GET_PROPOSAL = QueryFace(
    "governance_getProposal",
    (("proposal_id", U64),),
    ProposalInfo,
)

LIST_POLLS = QueryFace(
    "governance_listPolls",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    PollPage,
)

LIST_PROPOSALS = QueryFace(
    "governance_listProposals",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    ProposalPage,
)

MESSAGES: tuple[MessageFace, ...] = (
    CAST_BALLOT,
    GUARDIAN_PAUSE,
    OBJECT,
    OPEN_POLL,
    PROPOSE_ACTION,
    PROPOSE_PARAMETERS,
    PROPOSE_PAUSE,
    PROPOSE_SPEND,
    PROPOSE_TEXT,
    PROPOSE_UPGRADE,
    VOTE,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_BALLOT,
    GET_GUARDIAN_PAUSE,
    GET_MODULE_PARAMETERS,
    GET_POLL,
    GET_PROPOSAL,
    LIST_POLLS,
    LIST_PROPOSALS,
)

EVENTS: dict[str, type] = {
    "governance.proposal_submitted": ProposalSubmitted,
    "governance.voted": Voted,
    "governance.proposal_decided": ProposalDecided,
    "governance.proposal_executed": ProposalExecuted,
    "governance.proposal_objected": ProposalObjected,
    "governance.guardian_paused": GuardianPaused,
    "governance.guardian_pause_ended": GuardianPauseEnded,
    "governance.poll_opened": PollOpened,
    "governance.ballot_cast": BallotCast,
}


class Governance(ModuleFace):
    """Proposals, votes, execution behind a timelock; a guardian; polls."""

    def cast_ballot(
        self,
        wallet: Wallet,
        *,
        poll_id: int | Reference,
        spent: tuple[U32, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Spend credits in a poll, once. A ballot over its budget is refused as a whole.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            poll_id: the poll's number.
            spent: how many credits go to each option.
        """
        return self._send(wallet, CAST_BALLOT, {"poll_id": poll_id, "spent": spent}, options)

    def guardian_pause(
        self, wallet: Wallet, *, module: str | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Pause a module for a bounded time; the guardian alone can, and cannot prolong it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: which one.
        """
        return self._send(wallet, GUARDIAN_PAUSE, {"module": module}, options)

    def object(
        self, wallet: Wallet, *, proposal_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Object to a proposal that has passed and waits; enough power cancels it.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            proposal_id: the proposal's number.
        """
        return self._send(wallet, OBJECT, {"proposal_id": proposal_id}, options)

    def open_poll(
        self,
        wallet: Wallet,
        *,
        question: str | Reference,
        answers: tuple[Annotated[str, Length(1, 140)], ...] | Reference,
        duration_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
        """Ask the community: one budget of credits a person, n votes for an option cost n * n of them.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            question: what is asked.
            answers: 2 to 16 of them, all different.
            duration_s: seconds for which ballots are taken.
        """
        return self._send(
            wallet, OPEN_POLL, {"question": question, "answers": answers, "duration_s": duration_s}, options
        )

    def propose_action(
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
    ) -> Pending[Submitted]:
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
        return self._send(
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

    def propose_parameters(
        self,
        wallet: Wallet,
        *,
        module: str | Reference,
        changes: str | Reference,
        title: str | Reference,
        deposit: CoinLike,
        expedited: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
        """Propose other parameters of a module. Refused at once where a value is out of its range.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: whose parameters.
            changes: JSON of parameters by field, as in a genesis; those left out stay.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        return self._send(
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

    def propose_pause(
        self,
        wallet: Wallet,
        *,
        module: str | Reference,
        resume: bool | Reference,
        title: str | Reference,
        deposit: CoinLike,
        expedited: bool | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
        """Propose to pause a module, or to resume one that is paused for whatever reason.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            module: which one.
            resume: whether it is to go on.
            title: why.
            deposit: as for every proposal.
            expedited: decide faster, by a larger majority.
        """
        return self._send(
            wallet,
            PROPOSE_PAUSE,
            {"module": module, "resume": resume, "title": title, "deposit": deposit, "expedited": expedited},
            options,
        )

    def propose_spend(
        self,
        wallet: Wallet,
        *,
        recipient: AddressLike | Reference,
        amount: CoinLike,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
        """Propose to pay somebody from the treasury: forfeited deposits first, then the community's pool.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            recipient: who is paid.
            amount: how much, in QXC.
            title: what for.
            deposit: as for every proposal.
        """
        return self._send(
            wallet,
            PROPOSE_SPEND,
            {"recipient": recipient, "amount": amount, "title": title, "deposit": deposit},
            options,
        )

    def propose_text(
        self,
        wallet: Wallet,
        *,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
        """Propose a statement; it executes nothing.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            title: what it says, or where more is told.
            deposit: at least the least deposit, in QXC; it comes back unless the proposal is vetoed.
        """
        return self._send(wallet, PROPOSE_TEXT, {"title": title, "deposit": deposit}, options)

    def propose_upgrade(
        self,
        wallet: Wallet,
        *,
        name: str | Reference,
        height: int | Reference,
        protocol_version: int | Reference,
        title: str | Reference,
        deposit: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Submitted]:
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
        return self._send(
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

    def vote(
        self,
        wallet: Wallet,
        *,
        proposal_id: int | Reference,
        choice: str | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Vote, once, with all that this account had delegated before the proposal was visible.

        A validator also speaks for delegators who do not vote themselves; one who does takes his part
        back.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            proposal_id: the proposal's number.
            choice: yes, no, abstain or veto (no, and the deposit is forfeited if a third agrees).
        """
        return self._send(wallet, VOTE, {"proposal_id": proposal_id, "choice": choice}, options)

    def get_ballot(self, proposal_id: int, address: AddressLike, *, at: At | None = None) -> Ballot | None:
        """What an account voted, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            proposal_id: the proposal's number.
            address: the account.
        """
        answer: Ballot | None = self._query(GET_BALLOT, {"proposal_id": proposal_id, "address": address}, at)
        return answer

    def get_guardian_pause(self, module: str, *, at: At | None = None) -> GuardianPause | None:
        """The guardian's last pause of a module, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            module: which one.
        """
        answer: GuardianPause | None = self._query(GET_GUARDIAN_PAUSE, {"module": module}, at)
        return answer

    def get_module_parameters(self, module: str, *, at: At | None = None) -> Annotated[str, Length(2, 65536)]:
        """A module's parameters in force, as JSON by field: what `propose_parameters` can change.

        `at` is a height, the latest one unless given.

        Args:
            module: which one.
        """
        answer: Annotated[str, Length(2, 65536)] = self._query(GET_MODULE_PARAMETERS, {"module": module}, at)
        return answer

    def get_poll(self, poll_id: int, *, at: At | None = None) -> PollInfo:
        """A poll with its votes so far.

        `at` is a height, the latest one unless given.

        Args:
            poll_id: its number.
        """
        answer: PollInfo = self._query(GET_POLL, {"poll_id": poll_id}, at)
        return answer

    def get_proposal(self, proposal_id: int, *, at: At | None = None) -> ProposalInfo:
        """A proposal as it stands.

        `at` is a height, the latest one unless given.

        Args:
            proposal_id: its number.
        """
        answer: ProposalInfo = self._query(GET_PROPOSAL, {"proposal_id": proposal_id}, at)
        return answer

    def list_polls(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> PollPage:
        """All polls, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PollPage = self._query(LIST_POLLS, {"limit": limit, "cursor": cursor}, at)
        return answer

    def list_proposals(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> ProposalPage:
        """All proposals, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ProposalPage = self._query(LIST_PROPOSALS, {"limit": limit, "cursor": cursor}, at)
        return answer
