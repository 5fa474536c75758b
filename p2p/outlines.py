"""Outlines of blocks: making one, and whether it is that of its header."""

from __future__ import annotations

from collections.abc import Iterable

from p2p.messages import CommitOutline, Outline, split_ids
from qenex.block import Block, commit_hash, evidence_root, transactions_root
from qenex.transaction import witness_hash


def outline_of(block: Block, witness_ids: Iterable[bytes] | None = None) -> Outline:
    """The outline of a whole block; `witness_ids` where they are known already."""
    ids = map(witness_hash, block.transactions) if witness_ids is None else witness_ids
    commit = block.commit
    flags = None
    if commit is not None:
        flags = CommitOutline(
            commit.height, commit.round, commit.block_hash, bytes([entry.flag for entry in commit.signatures])
        )
    return Outline(block.header, b"".join(ids), block.evidence, flags)


def outline_fault(outline: Outline) -> str:
    """Why an outline is not that of its header; empty if everything matches that the header commits to."""
    header = outline.header
    if transactions_root(split_ids(outline.witness_ids)) != header.transactions_root:
        return "transactions_root"
    if evidence_root(outline.evidence) != header.evidence_root:
        return "evidence_root"
    commit = outline.commit
    if commit is None:
        return "" if header.commit_hash == commit_hash(None) else "commit_hash"
    if commit.height + 1 != header.height or commit.block_hash != header.parent_hash:
        return "commit"
    return ""
