"""The types that cross the wire, the state and the RPC, and the bounds they carry.

A record is a `typing.NamedTuple` whose fields use these types. `qenex.codec`
reads the annotations; type checkers see plain `int`, `bytes` and `str`.
Records are tuples on purpose: immutable, cheap to make (0.2 us), and packed by
msgpack without a conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

MAX_INTEGER: Final = 1 << 256
"""Every integer x in state, arguments, results and events has |x| < 2^256."""

MAX_AMOUNT: Final = 1 << 128
"""Amounts and supplies have 0 <= x < 2^128 base units."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An integer 0 <= x < 2^bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Between:
    """An integer low <= x <= high."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of base units: an unsigned 128-bit integer, a decimal string in JSON."""


@dataclass(frozen=True, slots=True)
class Instant:
    """Integer nanoseconds since 1970-01-01T00:00:00Z; RFC 3339 UTC in JSON."""


@dataclass(frozen=True, slots=True)
class Length:
    """Bytes (or UTF-8 bytes of a text, or items of a list): low <= length <= high."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class DenominationName:
    """ASCII, 3 to 64 characters of A-Z a-z 0-9 . _ - /, beginning with a letter."""


U8 = Annotated[int, Unsigned(8)]
U16 = Annotated[int, Unsigned(16)]
U32 = Annotated[int, Unsigned(32)]
U64 = Annotated[int, Unsigned(64)]
U128 = Annotated[int, Unsigned(128)]
Bps = Annotated[int, Between(0, 10_000)]
"""Basis points, 10,000 = 100%."""
Amount = Annotated[int, Quantity()]
TimeNs = Annotated[int, Instant()]
Bytes32 = Annotated[bytes, Length(32, 32)]
Denom = Annotated[str, DenominationName()]

QXC: Final = "QXC"
"""The native denomination."""

QXC_DECIMALS: Final = 9
"""1 QXC = 1,000,000,000 base units."""


class Coin(NamedTuple):
    """`amount` base units of `denom`."""

    denom: Denom
    amount: Amount
