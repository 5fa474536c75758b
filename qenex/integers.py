"""Exact integer arithmetic whose every division says which way it rounds.

One place for all modules' mathematics. Arguments are non-negative integers of any size, divisors are
positive: there is no overflow to guard against, only ranges to state where values are stored.
"""

from __future__ import annotations

from typing import Final

from qenex.errors import ValueOutOfRange

WAD: Final = 10**18
"""Fixed point with 18 decimals."""
RAY: Final = 10**27
"""Fixed point with 27 decimals."""
BASIS_POINTS: Final = 10_000
Q96: Final = 1 << 96
"""One, as a Q64.96 number."""
Q128: Final = 1 << 128
"""One, as a Q128.128 number."""


def divide(value: int, divisor: int, *, round_up: bool) -> int:
    """`value / divisor`, floor or (with `round_up`) ceiling.

    Raises ValueOutOfRange for a negative value or a divisor that is not positive.
    """
    if value < 0 or divisor <= 0:
        raise ValueOutOfRange(f"{_shown(value)} divided by {_shown(divisor)}")
    return -(-value // divisor) if round_up else value // divisor


def mul_div(a: int, b: int, divisor: int, *, round_up: bool) -> int:
    """`a * b / divisor`, floor or (with `round_up`) ceiling, with the whole product in between.

    Raises ValueOutOfRange for a negative factor or a divisor that is not positive.
    """
    if a < 0 or b < 0 or divisor <= 0:
        raise ValueOutOfRange(f"{_shown(a)} times {_shown(b)} divided by {_shown(divisor)}")
    return -(-a * b // divisor) if round_up else a * b // divisor


def _shown(value: int) -> str:
    """A number for an error message, whatever its size."""
    return str(value) if abs(value) < 1 << 256 else f"a number of {value.bit_length()} bits"
