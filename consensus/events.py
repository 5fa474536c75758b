"""What goes into the consensus core and what comes out: plain records; nothing else crosses its border.

`Core.step(event) -> actions` (in `consensus.height`). The core keeps no clock, no socket and no file. What takes
time is an action, and its outcome comes back as an event: verifying a signature, checking or building a
block, signing. Whoever drives the core (the node's engine, the simulator, a table of a test, a replay of the
write-ahead log) carries the actions of one step out in their order.

A message as it came is a `Received`; only `Verified` counts: its signature was made by the validator it names,
for the chain, height and round it names. The driver of the core vouches for that, once, at `Verify`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from consensus.validators import ValidatorSet
from qenex.block import Commit, Evidence, SignedProposal, SignedVote


class Step(IntEnum):
    """Where a round stands (arXiv 1807.04938, `step_p`)."""

    NEW_HEIGHT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


Message: TypeAlias = SignedProposal | SignedVote | Commit
"""What validators say to each other. A commit decides a height at once for who lags behind."""


# -- events ------------------------------------------------------------------------------------


class NewHeight(NamedTuple):
    """The height before is decided and applied: begin this one. `validators` are those of this height.

    `may_sign` is false where the log of this height is corrupt: the node then follows until it is decided, silently.
    """

    height: int
    validators: ValidatorSet
    may_sign: bool = True


class Recalled(NamedTuple):
    """What the signer remembers of this height (`SignerGuard.memory`), given after `NewHeight` and the log's events.

    It changes something only if the log has less: then lock and valid value are adopted, and the core goes
    on in their round, so that a lost log is no amnesia. `round` is that of the last signature; what was signed
    before is for the guard to refuse. A validator with more than 2/3 of the power goes on in the round after it: nobody
    else can end that one.
    """

    height: int
    round: int
    locked_round: int
    locked_hash: bytes | None
    valid_round: int
    valid_hash: bytes | None


class Received(NamedTuple):
    """A message came from `peer`, unverified."""

    peer: str
    message: Message


class Verified(NamedTuple):
    """Outcome of `Verify`: the signatures are good."""

    peer: str
    message: Message


class Refused(NamedTuple):
    """Outcome of `Verify`: they are not."""

    peer: str
    message: Message


class BlockBuilt(NamedTuple):
    """Outcome of `BuildBlock`: our own new block, which is valid and whose body is at hand."""

    height: int
    round: int
    block_hash: bytes


class BlockChecked(NamedTuple):
    """Outcome of `CheckBlock`. `timely`: it came within the window around the block's time."""

    height: int
    round: int
    block_hash: bytes
    valid: bool
    timely: bool


class Signed(NamedTuple):
    """Outcome of `SignVote` or `SignProposal`."""

    message: SignedProposal | SignedVote


class SigningFailed(NamedTuple):
    """The guard refused, or the signer is away: this validator says nothing at this place."""

    height: int
    round: int
    step: Step


class TimedOut(NamedTuple):
    """A timeout that was started is over."""

    height: int
    round: int
    step: Step


Event: TypeAlias = (
    NewHeight
    | Recalled
    | Received
    | Verified
    | Refused
    | BlockBuilt
    | BlockChecked
    | Signed
    | SigningFailed
    | TimedOut
)


# -- actions -----------------------------------------------------------------------------------


class Verify(NamedTuple):
    """Check the signatures of a message that is of use: answer `Verified` or `Refused`."""

    peer: str
    message: Message


class BuildBlock(NamedTuple):
    """We propose in this round and hold no valid block: answer `BlockBuilt`."""

    height: int
    round: int


class CheckBlock(NamedTuple):
    """Get the body of this block, see whether it may follow, and whether it is timely: answer `BlockChecked`.

    Asked once for a round and hash. `fresh` is false for a re-proposal (its time was judged when it was new). A
    majority may ask before the proposal has come: a block without a proposal in the window is not timely.
    The answer may never come (nobody has the body): the core goes on by its timeouts.
    """

    height: int
    round: int
    block_hash: bytes
    fresh: bool


class SignProposal(NamedTuple):
    """Answer `Signed` or `SigningFailed`."""

    height: int
    round: int
    pol_round: int
    block_hash: bytes


class SignVote(NamedTuple):
    """Answer `Signed` or `SigningFailed`. Lock and valid value go into the signer's state with the vote."""

    height: int
    round: int
    type: int
    block_hash: bytes | None
    locked_round: int
    locked_hash: bytes | None
    valid_round: int
    valid_hash: bytes | None


class KeepBody(NamedTuple):
    """Append the block's body to the write-ahead log, unless it is there: it is durable at the next `Flush`.

    If the body is not at hand (it was lost in a restart), the signature that follows waits until it is, and durable.
    """

    block_hash: bytes


class Flush(NamedTuple):
    """Everything appended to the write-ahead log is on disk before the next action is begun."""


class Send(NamedTuple):
    """Tell everybody: a message of our own, signed after a `Flush`; or one of another validator, passed on once."""

    message: SignedProposal | SignedVote
    own: bool


class StartTimeout(NamedTuple):
    """Answer `TimedOut` after the time that belongs to this step and round."""

    height: int
    round: int
    step: Step


class Decide(NamedTuple):
    """This block is final. The next event of use is `NewHeight`."""

    commit: Commit


class ReportEvidence(NamedTuple):
    """A validator signed two different votes at one place."""

    evidence: Evidence


class Punish(NamedTuple):
    """A peer sent what no honest node sends: `reason` says what."""

    peer: str
    reason: str


class Stepped(NamedTuple):
    """Height, round and step are these now."""

    height: int
    round: int
    step: Step


Action: TypeAlias = (
    Verify
    | BuildBlock
    | CheckBlock
    | SignProposal
    | SignVote
    | KeepBody
    | Flush
    | Send
    | StartTimeout
    | Decide
    | ReportEvidence
    | Punish
    | Stepped
)
