"""What peers say to each other about consensus, evidence and transactions: records, tags, strict codecs, bounds.

A payload is one tag byte and the canonical MessagePack array of the record's fields. `decode_message` looks at the
tag, then the size, and only then unpacks, with the message's own bound on every array, so that what a few
bytes can make a node allocate is little. Heights and rounds are bounded by their types alone; which of
them are of use is for the receiver to say.

Witness ids travel as one byte string of 32 bytes each: a list of 5,000 is one object to decode. They are whole, not
shortened, so that a list can be checked against the header's `transactions_root` before anything is done
with it; see `p2p.proposals` for what that costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Final, NamedTuple, TypeAlias

from p2p.channels import Channel
from qenex.block import (
    FLAG_NIL,
    MAX_BLOCK_TRANSACTIONS,
    MAX_COMMIT_SIZE,
    MAX_EVIDENCE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    PRECOMMIT,
    Commit,
    Evidence,
    Header,
    SignedProposal,
    SignedVote,
)
from qenex.codec import Codec, codec_for, decode, encode
from qenex.errors import MalformedBytes, TooLarge
from qenex.hashing import HASH_SIZE
from qenex.transaction import MAX_SIGNATURE_SIZE, MAX_TRANSACTION_SIZE
from qenex.types import U8, U32, U64, Bytes32, Length

MAX_VOTES: Final = 64
"""Votes of one message."""
MAX_VOTE_SIZE: Final = MAX_SIGNATURE_SIZE + 256
MAX_VOTES_SIZE: Final = 256 * 1024
"""Bytes of a message of several votes; a single vote always fits."""
MAX_ROUNDS: Final = 16
"""Rounds that a summary tells of."""
MAX_BODIES: Final = 8
"""Block hashes that a summary lists."""
BITMAP_SIZE: Final = (MAX_VALIDATORS + 7) // 8
MAX_IDS: Final = 1_024
"""Witness ids of one announcement or request."""
MAX_BATCH: Final = 1_024
"""Transactions of one message."""
BATCH_SIZE: Final = 64 * 1024
"""Bytes of transactions at which a sender closes a message: a vote waits behind no more than this."""
MAX_BATCH_SIZE: Final = BATCH_SIZE + MAX_TRANSACTION_SIZE + 4 * MAX_BATCH + 64
"""Bytes of a message with transactions: the last one may begin just before `BATCH_SIZE`."""

Bitmap = Annotated[bytes, Length(0, BITMAP_SIZE)]
"""Bit i (of byte i // 8, least significant first) stands for validator i in canonical order."""
Ids = Annotated[bytes, Length(HASH_SIZE, MAX_IDS * HASH_SIZE)]
Raws = Annotated[tuple[Annotated[bytes, Length(1, MAX_TRANSACTION_SIZE)], ...], Length(0, MAX_BATCH)]


# -- consensus ---------------------------------------------------------------------------------


class Votes(NamedTuple):
    """Some signed votes, of one or several validators, rounds and types."""

    votes: Annotated[tuple[SignedVote, ...], Length(1, MAX_VOTES)]


class RoundSummary(NamedTuple):
    """What a node holds of one round: whose votes, whether the proposal, and for what it saw 2/3 of prevotes."""

    round: U32
    prevotes: Bitmap
    precommits: Bitmap
    proposal: bool
    polka: Bytes32 | None


class Summary(NamedTuple):
    """Where a node stands, and what it holds, so that a peer can send what is missing.

    `height` is the height in progress, `step` the core's (0 new height, 1 propose, 2 prevote, 3 precommit).
    `rounds` ascend without repetition; `bodies` are hashes of whole blocks that can be asked for.
    """

    height: U64
    round: U32
    step: U8
    rounds: Annotated[tuple[RoundSummary, ...], Length(0, MAX_ROUNDS)]
    bodies: Annotated[tuple[Bytes32, ...], Length(0, MAX_BODIES)]


class CommitOutline(NamedTuple):
    """A commit without its signatures: a peer that has the votes can put it together again.

    `flags` has one byte for each validator of that height, in canonical order.
    """

    height: U64
    round: U32
    block_hash: Bytes32
    flags: Annotated[bytes, Length(1, MAX_VALIDATORS)]


class Outline(NamedTuple):
    """A block without what peers mostly hold already: transactions by witness id, the commit by its flags."""

    header: Header
    witness_ids: Annotated[bytes, Length(0, MAX_BLOCK_TRANSACTIONS * HASH_SIZE)]
    evidence: Annotated[tuple[Evidence, ...], Length(0, MAX_EVIDENCE)]
    commit: CommitOutline | None


class Proposal(NamedTuple):
    """A signed proposal. The outline is left out when the receiver is known to hold the block, or may ask."""

    proposal: SignedProposal
    outline: Outline | None


class GetOutline(NamedTuple):
    """Ask for the outline of a block by its hash."""

    block_hash: Bytes32


class OutlineAnswer(NamedTuple):
    """Answer to GetOutline: None if the block is not held here (any more)."""

    block_hash: Bytes32
    outline: Outline | None


class GetBody(NamedTuple):
    """Ask for transactions of a block by their index (two bytes each, big-endian, ascending), and for its commit."""

    block_hash: Bytes32
    commit: bool
    indexes: Annotated[bytes, Length(0, 2 * MAX_IDS)]


class BodyPart(NamedTuple):
    """Part of the answer to GetBody: transactions in the order asked for. `last` ends the answer, complete or not."""

    block_hash: Bytes32
    commit: Commit | None
    transactions: Raws
    last: bool


class CommitMessage(NamedTuple):
    """The commit that decided a height, for a peer that is still in it."""

    commit: Commit


# -- evidence and mempool ------------------------------------------------------------------------


class EvidenceMessage(NamedTuple):
    """Evidence that waits for a block."""

    evidence: Annotated[tuple[Evidence, ...], Length(1, MAX_EVIDENCE)]


class Announce(NamedTuple):
    """Witness ids of transactions that can be asked for, in the order they were admitted."""

    witness_ids: Ids


class GetTransactions(NamedTuple):
    """Ask for announced transactions. `request` is the asker's number for it."""

    request: U32
    witness_ids: Ids


class Transactions(NamedTuple):
    """Part of the answer to GetTransactions, in the order asked for. `last` ends it; what did not come is not held."""

    request: U32
    transactions: Raws
    last: bool


class PushTransactions(NamedTuple):
    """Transactions that were submitted at the sender, sent unasked to a few peers."""

    transactions: Raws


Message: TypeAlias = (
    Votes
    | Summary
    | Proposal
    | GetOutline
    | OutlineAnswer
    | GetBody
    | BodyPart
    | CommitMessage
    | EvidenceMessage
    | Announce
    | GetTransactions
    | Transactions
    | PushTransactions
)


# -- tags, bounds --------------------------------------------------------------------------------


class _Form(NamedTuple):
    channel: Channel
    tag: int
    kind: type
    max_size: int
    max_items: int


MAX_EVIDENCE_SIZE: Final = MAX_COMMIT_SIZE
MAX_OUTLINE_SIZE: Final = (
    MAX_HEADER_SIZE + MAX_BLOCK_TRANSACTIONS * HASH_SIZE + MAX_EVIDENCE_SIZE + MAX_VALIDATORS + 256
)

_FORMS: Final = (
    _Form(Channel.CONSENSUS, 0x01, Votes, MAX_VOTES_SIZE, MAX_VOTES),
    _Form(Channel.CONSENSUS, 0x02, Summary, 4_096, MAX_ROUNDS),
    _Form(Channel.CONSENSUS, 0x03, Proposal, MAX_OUTLINE_SIZE + MAX_VOTE_SIZE, 16),
    _Form(Channel.CONSENSUS, 0x04, GetOutline, 64, 4),
    _Form(Channel.CONSENSUS, 0x05, OutlineAnswer, MAX_OUTLINE_SIZE + 64, 16),
    _Form(Channel.CONSENSUS, 0x06, GetBody, 2 * MAX_IDS + 64, 4),
    _Form(Channel.CONSENSUS, 0x07, BodyPart, MAX_BATCH_SIZE + MAX_COMMIT_SIZE, MAX_BATCH),
    _Form(Channel.CONSENSUS, 0x08, CommitMessage, MAX_COMMIT_SIZE + 64, MAX_VALIDATORS),
    _Form(Channel.EVIDENCE, 0x20, EvidenceMessage, MAX_EVIDENCE_SIZE, MAX_EVIDENCE),
    _Form(Channel.MEMPOOL, 0x70, Announce, MAX_IDS * HASH_SIZE + 16, 4),
    _Form(Channel.MEMPOOL, 0x71, GetTransactions, MAX_IDS * HASH_SIZE + 16, 4),
    _Form(Channel.MEMPOOL, 0x72, Transactions, MAX_BATCH_SIZE, MAX_BATCH),
    _Form(Channel.MEMPOOL, 0x73, PushTransactions, MAX_BATCH_SIZE, MAX_BATCH),
)
_BY_TAG: Final = {form.tag: (form, codec_for(form.kind)) for form in _FORMS}
_TAG_BYTE: Final = {form.kind: bytes((form.tag,)) for form in _FORMS}

MAX_MESSAGE_SIZE: Final = {
    channel: 1 + max(form.max_size for form in _FORMS if form.channel is channel)
    for channel in (Channel.CONSENSUS, Channel.EVIDENCE, Channel.MEMPOOL)
}
"""Bytes of a payload on each of these channels: what the transport has to let through."""


def encode_message(message: Message) -> bytes:
    """The payload of a message."""
    return _TAG_BYTE[type(message)] + encode(message)


def decode_message(channel: Channel, payload: bytes) -> Message:
    """Read a payload that came on `channel`.

    Raises MalformedBytes for an unknown tag, a tag of another channel, or contents that are not the one
    canonical form of a possible message; TooLarge before anything is unpacked.
    """
    known = _BY_TAG.get(payload[0]) if payload else None
    if known is None or known[0].channel is not channel:
        raise MalformedBytes(f"no message of the {channel.name.lower()} channel begins so")
    form, codec = known
    if len(payload) > form.max_size + 1:
        raise TooLarge(f"{form.kind.__name__} of {len(payload)} bytes, at most {form.max_size + 1} allowed")
    message: Message = codec.check(decode(payload[1:], max_size=form.max_size, max_items=form.max_items))
    check = _CHECKS.get(form.kind)
    if check is not None:
        check(message)
    return message


# -- what types do not say -------------------------------------------------------------------------


def split_ids(blob: bytes) -> list[bytes]:
    """The 32-byte ids of a byte string whose length is a multiple of that."""
    return [blob[at : at + HASH_SIZE] for at in range(0, len(blob), HASH_SIZE)]


def pack_indexes(indexes: Sequence[int]) -> bytes:
    """Indexes below 2^16 as two bytes each."""
    return b"".join([index.to_bytes(2, "big") for index in indexes])


def unpack_indexes(blob: bytes) -> list[int]:
    """Inverse of `pack_indexes`."""
    return [int.from_bytes(blob[at : at + 2], "big") for at in range(0, len(blob), 2)]


def bitmap_of(present: Sequence[bool]) -> bytes:
    """Bitmap with the bits of `present` that are true; as long as the number of validators needs."""
    bits = sum([1 << index for index, there in enumerate(present) if there])
    return bits.to_bytes((len(present) + 7) // 8, "little")


def check_vote(vote: SignedVote) -> None:
    """Shape only: type, and a signature that is neither missing nor endless. Raises MalformedBytes."""
    if vote.type not in (1, PRECOMMIT):
        raise MalformedBytes("a vote is a prevote or a precommit")
    if not 1 <= len(vote.signature) <= MAX_SIGNATURE_SIZE:
        raise MalformedBytes("a vote has a signature of at most 16 KiB")


def check_commit_shape(commit: Commit) -> None:
    """Flags, counts and the signatures that belong to them. Raises MalformedBytes."""
    if not 1 <= len(commit.signatures) <= MAX_VALIDATORS:
        raise MalformedBytes("a commit has an entry for each validator")
    for entry in commit.signatures:
        if entry.flag > FLAG_NIL or bool(entry.signature) != bool(entry.flag):
            raise MalformedBytes("a commit's entry is absent without, or a vote with a signature")


def _check_ids(blob: bytes) -> None:
    if len(blob) % HASH_SIZE:
        raise MalformedBytes("witness ids have 32 bytes each")


def _check_votes(message: Votes) -> None:
    for vote in message.votes:
        check_vote(vote)


def _check_summary(message: Summary) -> None:
    rounds = [entry.round for entry in message.rounds]
    if any(later <= earlier for earlier, later in pairwise(rounds)):
        raise MalformedBytes("the rounds of a summary ascend")


def _check_outline(outline: Outline | None) -> None:
    if outline is None:
        return
    _check_ids(outline.witness_ids)
    for item in outline.evidence:
        check_vote(item.first)
        check_vote(item.second)
    if outline.commit is not None and max(outline.commit.flags) > FLAG_NIL:
        raise MalformedBytes("a commit's flags are 0, 1 or 2")


def _check_proposal(message: Proposal) -> None:
    proposal = message.proposal
    if not 1 <= len(proposal.signature) <= MAX_SIGNATURE_SIZE:
        raise MalformedBytes("a proposal has a signature of at most 16 KiB")
    if not -1 <= proposal.pol_round < max(proposal.round, 0):
        raise MalformedBytes("a proof-of-lock round lies before the proposal's")
    _check_outline(message.outline)


def _check_get_body(message: GetBody) -> None:
    blob = message.indexes
    indexes = unpack_indexes(blob) if len(blob) % 2 == 0 else []
    if len(blob) % 2 or any(b <= a for a, b in pairwise(indexes)):
        raise MalformedBytes("indexes have two bytes each and ascend")
    if not indexes and not message.commit:
        raise MalformedBytes("a request asks for something")


def _check_body_part(message: BodyPart) -> None:
    if message.commit is not None:
        check_commit_shape(message.commit)


def _check_evidence(message: EvidenceMessage) -> None:
    for item in message.evidence:
        check_vote(item.first)
        check_vote(item.second)


_CHECKS: Final[dict[type, Callable[..., None]]] = {
    Votes: _check_votes,
    Summary: _check_summary,
    Proposal: _check_proposal,
    OutlineAnswer: lambda message: _check_outline(message.outline),
    GetBody: _check_get_body,
    BodyPart: _check_body_part,
    CommitMessage: lambda message: check_commit_shape(message.commit),
    EvidenceMessage: _check_evidence,
    Announce: lambda message: _check_ids(message.witness_ids),
    GetTransactions: lambda message: _check_ids(message.witness_ids),
}

OUTLINE: Final[Codec[Outline]] = codec_for(Outline)
