"""How large consensus messages get, derived from the number of validators and their signature schemes.

Nothing here is typed in by hand: a commit has one signature for each validator, evidence two of one, so both follow
from the largest set a chain may have. Whoever sets validators or parameters checks at that moment that the outcome
fits the fixed bounds of decoding and of the wire; found only when a block is built, it would stop the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from qenex.block import (
    MAX_BLOCK_SIZE,
    MAX_COMMIT_SIZE,
    MAX_EVIDENCE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    Validator,
)
from qenex.crypto import SCHEMES_BY_TAG
from qenex.errors import TooLarge
from qenex.transaction import MAX_SIGNATURE_SIZE

ARRAY: Final = 3
"""Bytes of the head of a list, at most (MessagePack)."""
HASH: Final = 34
U64: Final = 9
U32: Final = 5
FLAG: Final = 1
KIND: Final = 15
"""The word `duplicate_vote` with its head."""
ROOM: Final = MAX_COMMIT_SIZE
"""Bytes of a block beside its transactions that decoding lets through."""


class Limits(NamedTuple):
    """Greatest sizes in bytes. `evidence` is that of all of a block's; `block` has everything."""

    vote: int
    proposal: int
    commit: int
    evidence: int
    block: int


def binary(size: int) -> int:
    """Encoded bytes of a byte string."""
    return size + (2 if size < 256 else 3 if size < 65_536 else 5)


def signature_sizes(validators: Iterable[Validator]) -> list[int]:
    """Bytes of each validator's signatures. Raises TooLarge for a scheme that is not known here."""
    sizes = []
    for validator in validators:
        scheme = SCHEMES_BY_TAG.get(validator.key[0]) if validator.key else None
        if scheme is None:
            raise TooLarge("a validator's key is of no scheme whose signatures have a known size")
        sizes.append(scheme.signature_size)
    return sizes


def derive(sizes: Sequence[int]) -> Limits:
    """Limits of a set whose validators' signatures have these sizes, at least one."""
    largest = binary(max(sizes))
    vote = ARRAY + HASH + FLAG + U64 + U32 + HASH + largest
    proposal = ARRAY + HASH + U64 + U32 + U32 + HASH + largest
    commit = ARRAY + U64 + U32 + HASH + ARRAY + sum([ARRAY + HASH + FLAG + binary(size) for size in sizes])
    evidence = ARRAY + MAX_EVIDENCE * (ARRAY + KIND + 2 * vote)
    return Limits(
        vote, proposal, commit, evidence, ARRAY + MAX_HEADER_SIZE + MAX_BLOCK_SIZE + commit + evidence
    )


def check(sizes: Sequence[int]) -> Limits:
    """The limits of a set, if all bounds of the protocol let it through. Raises TooLarge saying what does not fit."""
    if not 1 <= len(sizes) <= MAX_VALIDATORS:
        raise TooLarge(f"a chain has 1 to {MAX_VALIDATORS} validators, not {len(sizes)}")
    if max(sizes) > MAX_SIGNATURE_SIZE:
        raise TooLarge(f"signatures of {max(sizes)} bytes, at most {MAX_SIGNATURE_SIZE} are carried")
    limits = derive(sizes)
    if limits.commit + limits.evidence > ROOM:
        raise TooLarge(
            f"commits of {limits.commit} bytes and evidence of {limits.evidence} do not fit into the {ROOM} bytes "
            "a block has beside its transactions: fewer validators, or a scheme with shorter signatures"
        )
    return limits
