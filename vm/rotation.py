"""Whose turn it is to propose, as state: proposer priorities from which those of any height can be computed.

A record is written when the validator set changes, and anew every `REFRESH` heights, so a node that joins from a
snapshot is never more than that many turns away; blocks with nothing due write nothing. Two records are kept: the
newest may be of a height that has not begun (a change at H counts from H+2), the one before serves H+1.
See docs/decisions/0017.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from qenex import proposers
from qenex.block import MAX_VALIDATORS, Validator
from qenex.crypto.address import Address
from qenex.errors import NotFound
from qenex.proposers import Member
from qenex.types import U64, Between, Length

DELAY: Final = 2
"""A change of validators at height H is active at H + DELAY."""
REFRESH: Final = 1_000
"""Heights after which the priorities are written anew: so many turns take 0.5 ms for 4 validators, about 10 ms for 150."""
PRIORITY_BOUND: Final = 1 << 80
"""Far outside what any set of 64-bit powers reaches."""


class Turn(NamedTuple):
    """A validator's power and priority."""

    address: Address
    power: U64
    priority: Annotated[int, Between(-PRIORITY_BOUND, PRIORITY_BOUND)]


class Rotation(NamedTuple):
    """Priorities before the first proposer of `height` was chosen; members in canonical order."""

    height: U64
    members: Annotated[tuple[Turn, ...], Length(1, MAX_VALIDATORS)]


class Rotations(NamedTuple):
    """The newest record and the one before."""

    current: Rotation
    previous: Rotation | None


def _record(height: int, members: tuple[Member, ...]) -> Rotation:
    return Rotation(height, tuple([Turn(Address(m.address), m.power, m.priority) for m in members]))


def first_rotation(height: int, validators: tuple[Validator, ...]) -> Rotation:
    """Everybody begins alike."""
    return _record(height, proposers.replace((), [(v.address, v.power) for v in validators]))


def members_at(rotation: Rotation, height: int) -> tuple[Member, ...]:
    """Members with their priorities at a `height` from the record's on, while the set is the same."""
    turns = rotation.members
    addresses, powers = [turn.address for turn in turns], [turn.power for turn in turns]
    priorities = proposers.advance(
        addresses, powers, [turn.priority for turn in turns], height - rotation.height
    )
    return tuple([Member(*parts) for parts in zip(addresses, powers, priorities, strict=True)])


def next_rotations(rotations: Rotations, height: int, validators: tuple[Validator, ...]) -> Rotations | None:
    """What to write at the end of block `height`, whose state names `validators`; None: nothing is due."""
    current, active = rotations.current, height + DELAY
    powers = [(validator.address, validator.power) for validator in validators]
    changed = powers != [(turn.address, turn.power) for turn in current.members]
    if not powers or not (changed or active % REFRESH == 0):
        return None
    members = members_at(current, active)
    return Rotations(_record(active, proposers.replace(members, powers) if changed else members), current)


def rotation_for(rotations: Rotations, height: int) -> Rotation:
    """The record that `height` follows from. Raises NotFound if it is older than both."""
    for record in (rotations.current, rotations.previous):
        if record is not None and record.height <= height:
            return record
    raise NotFound(f"the proposers of height {height} are no longer kept in this state")
