"""Linear release of a locked amount: exact integers, rounded against who receives."""

from __future__ import annotations

from qenex.errors import ValueOutOfRange
from qenex.types import MAX_AMOUNT

MAX_SECONDS = 1 << 40
"""Bound of every time and duration here, in seconds (35,000 years)."""


def vested(total: int, start: int, duration: int, cliff: int, now: int) -> int:
    """How much of `total` (base units) is free at `now`, rounded down.

    Times in seconds. Nothing before `start + cliff`; then linearly from `start` on, all at
    `start + duration`. A duration of 0 frees everything at the start. Raises ValueOutOfRange for a negative
    value, a total of 2^128 or more, a time or duration of 2^40 s or more, or a cliff beyond the duration.
    """
    if not 0 <= total < MAX_AMOUNT:
        raise ValueOutOfRange(f"a total of {total}")
    if not all(0 <= value < MAX_SECONDS for value in (start, duration, cliff, now)) or cliff > duration:
        raise ValueOutOfRange(f"start {start}, duration {duration}, cliff {cliff}, now {now}")
    if now < start + cliff:
        return 0
    if now >= start + duration:
        return total
    return total * (now - start) // duration  # floor: the receiver waits for the last fraction
