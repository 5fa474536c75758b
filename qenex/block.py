"""Blocks, commits, validators, receipts: what light clients, nodes and explorers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple

import msgpack

from qenex.codec import Codec, Plain, codec_for, decode, encode
from qenex.crypto.address import Address
from qenex.errors import MalformedBytes, TooLarge
from qenex.hashing import hasher, list_root
from qenex.types import U8, U32, U64, Amount, Between, Bytes32, TimeNs

MAX_BLOCK_SIZE: Final = 4 * 1024 * 1024
MAX_BLOCK_TRANSACTIONS: Final = 32_768
MAX_VALIDATORS: Final = 150
MAX_EVIDENCE: Final = 16
MAX_EVIDENCE_AGE_NS: Final = 21 * 24 * 3_600 * 10**9
"""Evidence is accepted until so much time has passed since the deed's block: the unbonding period."""
MAX_HEADER_SIZE: Final = 1_024
MAX_COMMIT_SIZE: Final = MAX_VALIDATORS * 4_096

PREVOTE: Final = 1
PRECOMMIT: Final = 2
FLAG_ABSENT: Final = 0
FLAG_COMMIT: Final = 1
FLAG_NIL: Final = 2

header_hash = hasher("qx.header")
key_hash = hasher("qx.key")
commit_hash_of_bytes = hasher("qx.commit")


class Header(NamedTuple):
    """`state_root` and `results_root` are those after height-1 (as in CometBFT)."""

    protocol_version: U32
    chain_id: str
    height: U64
    time: TimeNs
    parent_hash: Bytes32
    proposer: Address
    validators_hash: Bytes32
    next_validators_hash: Bytes32
    parameters_hash: Bytes32
    state_root: Bytes32
    results_root: Bytes32
    transactions_root: Bytes32
    evidence_root: Bytes32
    commit_hash: Bytes32


class Validator(NamedTuple):
    """`key` is scheme tag + public key; `address` is the operator's account."""

    address: Address
    key: bytes
    power: U64


class CommitSignature(NamedTuple):
    """One validator's precommit: flag 0 absent, 1 for the block, 2 nil."""

    address: Address
    flag: U8
    signature: bytes


class Commit(NamedTuple):
    """Precommits of one round, in validator order (power descending, address ascending)."""

    height: U64
    round: U32
    block_hash: Bytes32
    signatures: tuple[CommitSignature, ...]


class SignedVote(NamedTuple):
    """A vote with its signature, as evidence carries it."""

    address: Address
    type: U8
    height: U64
    round: U32
    block_hash: Bytes32 | None
    signature: bytes


class SignedProposal(NamedTuple):
    """A proposer's statement which block he proposes; `pol_round` -1: none, else the round of its proof of lock."""

    address: Address
    height: U64
    round: U32
    pol_round: Annotated[int, Between(-1, (1 << 32) - 1)]
    block_hash: Bytes32
    signature: bytes


class Evidence(NamedTuple):
    """`kind` is `duplicate_vote`; the votes are ordered by block hash."""

    kind: str
    first: SignedVote
    second: SignedVote


class Event(NamedTuple):
    """`name` is `module.past_tense`; `fields` follow the event's declared record."""

    name: str
    fields: tuple[Plain, ...]


class Receipt(NamedTuple):
    """Outcome of one included transaction; `status` 0 is success, else the error's code.

    `fee` is what was charged, in base units of QXC. A failed transaction has no results and no events.
    """

    tx_id: Bytes32
    status: U32
    failed_message: U8 | None
    gas_used: U64
    fee: Amount
    results: tuple[Plain, ...]
    events: tuple[Event, ...]


class Block(NamedTuple):
    """`transactions` are raw bytes; `commit` is that of height-1 (None in the first block)."""

    header: Header
    transactions: tuple[bytes, ...]
    evidence: tuple[Evidence, ...]
    commit: Commit | None


HEADER: Codec[Header] = codec_for(Header)
COMMIT: Codec[Commit] = codec_for(Commit)
VALIDATOR: Codec[Validator] = codec_for(Validator)
EVIDENCE: Codec[Evidence] = codec_for(Evidence)
VOTE: Codec[SignedVote] = codec_for(SignedVote)
PROPOSAL: Codec[SignedProposal] = codec_for(SignedProposal)


def block_hash(header: Header) -> bytes:
    """`H("qx.header", bytes)`: the identity of a block."""
    return header_hash(encode(header))


def commit_hash(commit: Commit | None) -> bytes:
    """Hash of the canonical commit, or of nil in the first block."""
    return commit_hash_of_bytes(encode(commit))


def order_validators(validators: Iterable[Validator]) -> tuple[Validator, ...]:
    """Canonical order: power descending, then address ascending."""
    return tuple(sorted(validators, key=lambda validator: (-validator.power, validator.address)))


def validators_root(validators: Sequence[Validator]) -> bytes:
    """List root over `[address, H("qx.key", tag + key), power]` in canonical order."""
    return list_root([encode((v.address, key_hash(v.key), v.power)) for v in validators])


def transactions_root(witness_ids: Sequence[bytes]) -> bytes:
    """List root over the witness ids of a block's transactions, in order."""
    return list_root(witness_ids)


def evidence_root(evidence: Sequence[Evidence]) -> bytes:
    """List root over the canonical evidence."""
    return list_root([encode(item) for item in evidence])


def results_root(
    receipts: Sequence[bytes], begin_events: Sequence[Event], end_events: Sequence[Event]
) -> bytes:
    """List root over encoded receipts; the last leaf is `[begin_events, end_events]`."""
    return list_root([*receipts, encode((tuple(begin_events), tuple(end_events)))])


def vote_sign_bytes(
    chain_id: str, vote_type: int, height: int, round: int, block_hash: bytes | None
) -> bytes:
    """What a validator signs: `["vote", chain_id, type, height, round, block_hash?]`, without time."""
    return encode(("vote", chain_id, vote_type, height, round, block_hash))


def proposal_sign_bytes(chain_id: str, height: int, round: int, pol_round: int, block_hash: bytes) -> bytes:
    """What a proposer signs: `["proposal", chain_id, height, round, pol_round, block_hash]`."""
    return encode(("proposal", chain_id, height, round, pol_round, block_hash))


def encode_block(block: Block) -> bytes:
    """Canonical bytes of a whole block."""
    return encode(block)


def decode_block(data: bytes, *, max_size: int = MAX_BLOCK_SIZE + MAX_COMMIT_SIZE) -> Block:
    """Read a block strictly: shape, sizes, canonical form. Contents are checked by the application.

    The outer array and the transaction list are opened first, so that claimed sizes deeper
    inside cannot allocate (a nest of 32,768-item arrays would). Raises TooLarge or MalformedBytes.
    """
    if len(data) > max_size:
        raise TooLarge(f"block of {len(data)} bytes, at most {max_size} allowed")
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(data), 1), use_list=False, max_array_len=MAX_BLOCK_TRANSACTIONS
    )
    unpacker.feed(data)
    try:
        if unpacker.read_array_header() != 4:
            raise MalformedBytes("a block is [header, transactions, evidence, commit?]")
        header_start = unpacker.tell()
        unpacker.skip()
        header_end = unpacker.tell()
        count = unpacker.read_array_header()
        transactions = []
        for _ in range(count):
            at = unpacker.tell()
            if data[at : at + 1] not in (b"\xc4", b"\xc5", b"\xc6"):  # before anything is allocated
                raise MalformedBytes("a block's transactions are byte strings")
            transactions.append(unpacker.unpack())
        evidence_start = unpacker.tell()
        unpacker.skip()
        evidence_end = unpacker.tell()
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedBytes(f"block: {str(error)[:120]}") from None
    header = HEADER.decode(data[header_start:header_end], max_size=MAX_HEADER_SIZE, max_items=32)
    evidence_plain = decode(
        data[evidence_start:evidence_end], max_size=MAX_COMMIT_SIZE, max_items=MAX_EVIDENCE
    )
    if type(evidence_plain) is not tuple:
        raise MalformedBytes("a block's evidence is an array")
    evidence = tuple([EVIDENCE.check(item) for item in evidence_plain])
    commit_plain = decode(data[evidence_end:], max_size=MAX_COMMIT_SIZE, max_items=MAX_VALIDATORS)
    commit = None if commit_plain is None else COMMIT.check(commit_plain)
    block = Block(header, tuple(transactions), evidence, commit)
    if encode(block) != data:
        raise MalformedBytes("not the one canonical encoding of this block")
    return block
