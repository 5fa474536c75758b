"""Gas: 1 gas stands for 100 ns of the reference core, charged before the work.

The table is data, chosen by protocol version. What is charged never depends on cache state.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from qenex.codec import encode
from qenex.errors import OutOfGas, UnsupportedVersion


class GasSchedule(NamedTuple):
    """Prices in gas. `signature` pairs scheme tags with the cost of one verification.

    A gas pays for `bytes_per_gas` bytes of a transaction, rounded down: decoded, hashed, sent on and kept.
    """

    transaction: int
    bytes_per_gas: int
    event: int
    update: int
    create: int
    created_byte: int
    item: int
    signature: tuple[tuple[int, int], ...]


GAS_SCHEDULES: Final[dict[int, GasSchedule]] = {
    1: GasSchedule(
        transaction=250,
        bytes_per_gas=4,
        event=10,
        update=100,
        create=2_000,
        created_byte=2,
        item=5,
        signature=((0x01, 420), (0x02, 840), (0x03, 1_260), (0x04, 2_520), (0x11, 1_260)),
    )
}
"""Schedule by protocol version. A created entry costs as 20 updates: state is for ever."""


def gas_schedule(protocol_version: int) -> GasSchedule:
    """The table of a protocol version. Raises UnsupportedVersion."""
    schedule = GAS_SCHEDULES.get(protocol_version)
    if schedule is None:
        raise UnsupportedVersion(
            f"protocol version {protocol_version} is not known here, only {sorted(GAS_SCHEDULES)}"
        )
    return schedule


class Gas:
    """The meter of one transaction (or, without a limit that matters, of a hook)."""

    __slots__ = ("_create", "_created_byte", "limit", "used")

    def __init__(self, schedule: GasSchedule, limit: int, used: int = 0) -> None:
        self.limit = limit
        self.used = used
        self._create = schedule.create
        self._created_byte = schedule.created_byte

    def use(self, amount: int) -> None:
        """Charge `amount` gas. Raises OutOfGas; the meter then stands at its limit."""
        used = self.used + amount
        if used > self.limit:
            self.used = self.limit
            raise OutOfGas(f"gas limit {self.limit} reached")
        self.used = used

    def created(self, key: bytes, value: object) -> None:
        """Charge a new state entry and its bytes. Called by the state before the entry is written."""
        self.use(self._create + self._created_byte * (len(key) + len(encode(value))))
