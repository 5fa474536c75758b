"""What the core's memory comes to, derived from the validators: bounds that tests and operators can rely on."""

from __future__ import annotations

from typing import NamedTuple

from consensus.driver import MAX_PROPOSALS_AHEAD
from consensus.inbox import MAX_PEERS, PEER_BYTES
from consensus.validators import ValidatorSet
from consensus.votes import FUTURE_ROUNDS, PAST_ROUNDS
from qenex import limits

PINNED_ROUNDS = 3
"""Older rounds that may be kept: of the lock, of the valid value, of the proposal's proof of lock."""
COPIES = 3
"""A validator's first vote, and two more for values that more than a third stands behind."""
TYPES = 2


class Memory(NamedTuple):
    """Votes held at most, and bytes they take; proposals; bytes of what waits for verification or the next height."""

    votes: int
    vote_bytes: int
    proposals: int
    waiting_bytes: int


def memory(validators: ValidatorSet) -> Memory:
    """The most that one height can take with these validators. Raises TooLarge for an unknown scheme."""
    sizes = limits.signature_sizes(validators.validators)
    rounds = PAST_ROUNDS + 1 + PINNED_ROUNDS + FUTURE_ROUNDS
    votes = len(sizes) * rounds * TYPES * COPIES
    return Memory(
        votes, votes * limits.derive(sizes).vote, 1 + MAX_PROPOSALS_AHEAD, 2 * MAX_PEERS * PEER_BYTES
    )
