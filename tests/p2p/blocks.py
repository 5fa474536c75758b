"""Blocks and votes with nothing true in them but their hashes, for tests of how they travel."""

from __future__ import annotations

from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    Block,
    Commit,
    CommitSignature,
    Evidence,
    Header,
    SignedProposal,
    SignedVote,
    block_hash,
    commit_hash,
    evidence_root,
    transactions_root,
)
from qenex.crypto.address import Address
from qenex.transaction import witness_hash

ZERO = bytes(32)


def address(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


def make_vote(
    who: int = 1, height: int = 5, round: int = 0, type: int = 1, name: bytes | None = ZERO
) -> SignedVote:
    return SignedVote(address(who), type, height, round, name, bytes([who]) * 100)


def make_evidence(who: int) -> Evidence:
    return Evidence("duplicate_vote", make_vote(who, name=None), make_vote(who, name=bytes([1] * 32)))


def make_commit(height: int, parent: bytes, count: int = 4) -> Commit:
    entries = [
        CommitSignature(address(who), FLAG_COMMIT, bytes([who]) * 64)
        if who
        else CommitSignature(address(0), FLAG_ABSENT, b"")
        for who in range(count)
    ]
    return Commit(height, 0, parent, tuple(entries))


def make_block(
    raws: list[bytes], height: int = 5, *, evidence: tuple[Evidence, ...] = (), with_commit: bool = True
) -> Block:
    parent = bytes([7]) * 32
    commit = make_commit(height - 1, parent) if with_commit else None
    header = Header(
        1, "test-1", height, 10**18, parent, address(3), ZERO, ZERO, ZERO, ZERO, ZERO,
        transactions_root([witness_hash(raw) for raw in raws]), evidence_root(evidence), commit_hash(commit),
    )  # fmt: skip
    return Block(header, tuple(raws), evidence, commit)


def make_proposal(block: Block, round: int = 0, who: int = 3) -> SignedProposal:
    return SignedProposal(address(who), block.header.height, round, -1, block_hash(block.header), b"s" * 64)
