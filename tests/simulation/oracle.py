"""Who votes, and whose turn it is, computed apart from the production code, after CometBFT's `validator_set.go`.

Slow and plain on purpose. The checks compare the network with this, so a mistake in `consensus.validators`, which
all nodes would make alike, cannot hide there.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple


class Member(NamedTuple):
    """A validator with its priority."""

    address: bytes
    power: int
    priority: int


class Turn(NamedTuple):
    """The validators of a height, in canonical order, and who proposes in round 0."""

    members: tuple[Member, ...]
    proposer: bytes

    @property
    def total(self) -> int:
        """Power of all."""
        return sum(member.power for member in self.members)

    def power(self, address: bytes) -> int:
        """Power of one; 0: no validator."""
        return sum(member.power for member in self.members if member.address == address)


def first(powers: Mapping[bytes, int]) -> Turn:
    """The set of the first height."""
    return _advanced(_changed((), powers), 1)


def following(turn: Turn, changes: Mapping[bytes, int]) -> Turn:
    """The set of the height after, with changes of power (0: removed)."""
    return _advanced(_changed(turn.members, changes) if changes else turn.members, 1)


def proposer(turn: Turn, round: int) -> bytes:
    """Address of the proposer of a round."""
    return turn.proposer if round == 0 else _advanced(turn.members, round).proposer


def _changed(members: tuple[Member, ...], changes: Mapping[bytes, int]) -> tuple[Member, ...]:
    kept = {member.address: member for member in members}
    grown = {address: member.power for address, member in kept.items()} | {
        address: power for address, power in changes.items() if power
    }
    total = sum(grown.values())  # before what is removed goes
    changed = [
        Member(address, power, kept[address].priority if address in kept else -(total + (total >> 3)))
        for address, power in grown.items()
        if changes.get(address) != 0
    ]
    ordered = sorted(changed, key=lambda member: (-member.power, member.address))
    return tuple(_centred(_rescaled(ordered)))


def _rescaled(members: list[Member]) -> list[Member]:
    window = 2 * sum(member.power for member in members)
    spread = max(m.priority for m in members) - min(m.priority for m in members)
    if spread <= window:
        return members
    ratio = -(-spread // window)
    return [m._replace(priority=int(Fraction(m.priority, ratio))) for m in members]  # toward zero


def _centred(members: list[Member]) -> list[Member]:
    average = sum(m.priority for m in members) // len(members)  # floor
    return [m._replace(priority=m.priority - average) for m in members]


def _advanced(members: tuple[Member, ...], times: int) -> Turn:
    current = _centred(_rescaled(list(members)))
    total = sum(member.power for member in current)
    chosen = b""
    for _ in range(times):
        current = [m._replace(priority=m.priority + m.power) for m in current]
        chosen = min(current, key=lambda m: (-m.priority, m.address)).address
        current = [m._replace(priority=m.priority - total) if m.address == chosen else m for m in current]
    return Turn(tuple(current), chosen)
