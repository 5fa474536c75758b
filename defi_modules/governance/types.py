"""Records that governance keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U8, U32, U64, U128, Amount, Between, Length

VOTING, QUEUED, EXECUTED, FAILED, REJECTED, VETOED, CANCELLED, NO_QUORUM = range(1, 9)
"""`Proposal.status`: open; passed and waiting; done; refused by the machine when its time came; and why not."""
TEXT, PARAMETERS, SPEND, PAUSE, RESUME, UPGRADE, ACTION = range(1, 8)
"""`Content.kind`."""
YES, NO, ABSTAIN, VETO = 1, 2, 3, 4
OPTIONS: Final = {"yes": YES, "no": NO, "abstain": ABSTAIN, "veto": VETO}
MAX_CREDENTIALED: Final = 256
MAX_POLL_OPTIONS: Final = 16

Title = Annotated[str, Length(1, 140)]
ModuleName = Annotated[str, Length(1, 32)]
ActionName = Annotated[str, Length(1, 31)]
Changes = Annotated[str, Length(2, 16_384)]
"""JSON of parameters by field, as in a genesis."""
ParametersText = Annotated[str, Length(2, 65_536)]
Choice = Annotated[str, Length(2, 8)]
"""yes, no, abstain or veto."""
Seconds = Annotated[int, Between(0, (1 << 40) - 1)]
PageLimit = Annotated[int, Between(1, 1_000)]
PollOptions = Annotated[tuple[Title, ...], Length(2, MAX_POLL_OPTIONS)]
Credits = Annotated[tuple[U32, ...], Length(2, MAX_POLL_OPTIONS)]


class Content(NamedTuple):
    """What a proposal does. Only the fields of its kind mean something.

    1 text; 2 parameters (`module`, `changes`); 3 spend (`recipient`, `amount` base units of QXC); 4 pause and 5 resume
    (`module`); 6 upgrade (`module` is its name, `height`, `version` the protocol's); 7 action (`module` is the module's name, a
    dot and the action's, `changes` its arguments).
    """

    kind: U8
    module: Annotated[str, Length(0, 64)]
    changes: Annotated[str, Length(0, 16_384)]
    recipient: Address | None
    amount: Amount
    height: U64
    version: U32


class Tally(NamedTuple):
    """Power by option, in base units of delegated QXC."""

    yes: U128
    no: U128
    abstain: U128
    veto: U128


class Proposal(NamedTuple):
    """A proposal. Times in seconds since 1970; power is that after block `snapshot_height`.

    `objections` is the power that wants it cancelled while it waits. `code` is the error of a failed execution.
    """

    proposer: Address
    title: Title
    content: Content
    expedited: bool
    deposit: Amount
    snapshot_height: U64
    total_power: U128
    submitted_s: Seconds
    voting_end_s: Seconds
    execution_s: Seconds
    status: U8
    tally: Tally
    objections: U128
    code: U32


class Ballot(NamedTuple):
    """What an account said, with how much power of its own, and how much it inherits from delegators who said nothing."""

    option: U8
    power: U128
    inherited: U128


class Poll(NamedTuple):
    """A question with one budget of credits for each person; n votes cost n * n credits."""

    author: Address
    question: Title
    options: PollOptions
    budget: U32
    snapshot_height: U64
    end_s: Seconds
    votes: Annotated[tuple[U64, ...], Length(2, MAX_POLL_OPTIONS)]
    ballots: U64


class GuardianPause(NamedTuple):
    """A pause by the guardian: until when, and from when on the guardian may pause this module again."""

    until_s: Seconds
    again_s: Seconds


class ProposalInfo(NamedTuple):
    """A proposal and its number."""

    id: U64
    proposal: Proposal


class ProposalPage(NamedTuple):
    """Part of all proposals, oldest first."""

    items: tuple[ProposalInfo, ...]
    next_cursor: U64 | None


class PollInfo(NamedTuple):
    """A poll and its number."""

    id: U64
    poll: Poll


class PollPage(NamedTuple):
    """Part of all polls, oldest first."""

    items: tuple[PollInfo, ...]
    next_cursor: U64 | None


class Submitted(NamedTuple):
    """The number of a proposal or a poll."""

    id: U64


# -- events ------------------------------------------------------------------------------------


class ProposalSubmitted(NamedTuple):
    """A proposal can be voted on until `voting_end_s`."""

    id: U64
    proposer: Address
    kind: U8
    voting_end_s: Seconds


class Voted(NamedTuple):
    """An account voted with its own power and what it inherits."""

    id: U64
    voter: Address
    option: U8
    power: U128


class ProposalDecided(NamedTuple):
    """A vote is over; a proposal that passed waits until `execution_s`."""

    id: U64
    status: U8
    execution_s: Seconds


class ProposalExecuted(NamedTuple):
    """A proposal's time came; `code` is 0, or the error with which the machine refused it."""

    id: U64
    code: U32


class ProposalObjected(NamedTuple):
    """An account wants a proposal cancelled that has passed and waits."""

    id: U64
    objector: Address
    power: U128


class GuardianPaused(NamedTuple):
    """The guardian paused a module until `until_s`."""

    module: ModuleName
    until_s: Seconds


class GuardianPauseEnded(NamedTuple):
    """A pause by the guardian ended by itself."""

    module: ModuleName


class PollOpened(NamedTuple):
    """A poll takes ballots until `end_s`."""

    id: U64
    author: Address
    end_s: Seconds


class BallotCast(NamedTuple):
    """An account spent credits in a poll."""

    id: U64
    voter: Address
