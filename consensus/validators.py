"""The validators of a height, and whose turn it is to propose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qenex import proposers
from qenex.block import Validator, order_validators
from qenex.crypto.address import Address
from qenex.errors import InvalidArguments
from qenex.proposers import Member


class ValidatorSet(NamedTuple):
    """Validators in canonical order with their proposer priorities (same order).

    The priorities are those before the height's first proposer was chosen (see `qenex.proposers`). Thresholds
    are compared by multiplication, never by a division: `3 * power > 2 * total`.
    """

    validators: tuple[Validator, ...]
    priorities: tuple[int, ...]

    @property
    def total(self) -> int:
        """Voting power of all."""
        return sum([validator.power for validator in self.validators])

    @property
    def indexes(self) -> dict[bytes, int]:
        """Place in canonical order by address."""
        return {validator.address: index for index, validator in enumerate(self.validators)}

    def validator(self, address: bytes) -> Validator | None:
        """The validator with this address, or None."""
        return next((validator for validator in self.validators if validator.address == address), None)

    def increment(self, times: int = 1) -> ValidatorSet:
        """The set `times` heights later, if nobody joins, leaves or changes power."""
        addresses, powers = _columns(self.validators)
        return self._replace(priorities=tuple(proposers.advance(addresses, powers, self.priorities, times)))

    def update(self, changes: Iterable[Validator]) -> ValidatorSet:
        """The set with `changes` applied (power 0 removes), whatever their order; a new key counts at once.

        To be called on the set of the height before, after `increment`. Raises InvalidArguments.
        """
        listed = list(changes)
        wanted = {validator.address: validator for validator in listed}
        members = proposers.update(self.members, [(v.address, v.power) for v in listed])
        known = {validator.address: validator for validator in self.validators} | wanted
        return ValidatorSet(
            tuple([known[Address(member.address)] for member in members]),
            tuple([member.priority for member in members]),
        )

    @property
    def members(self) -> tuple[Member, ...]:
        """Address, power and priority of each."""
        return tuple(
            [Member(v.address, v.power, p) for v, p in zip(self.validators, self.priorities, strict=True)]
        )

    def proposer(self, round: int) -> Validator:
        """Who proposes in `round`. Costs a turn for each round: ask only for rounds that are near."""
        rotation = Rotation.of(self)
        return self.validators[rotation.proposer(round)]


def new_validators(validators: Iterable[Validator]) -> ValidatorSet:
    """The set of a genesis: everybody begins alike. Raises InvalidArguments for an empty or impossible set."""
    empty = ValidatorSet((), ())
    return empty.update(validators)


def with_priorities(validators: Sequence[Validator], members: Iterable[Member]) -> ValidatorSet:
    """Join keys and priorities by address. Raises InvalidArguments if they are of different sets."""
    ordered = order_validators(validators)
    priorities = {member.address: member for member in members}
    if len(priorities) != len(ordered) or any(
        v.address not in priorities or priorities[v.address].power != v.power for v in ordered
    ):
        raise InvalidArguments("the priorities belong to another validator set")
    return ValidatorSet(ordered, tuple([priorities[v.address].priority for v in ordered]))


class Rotation:
    """Proposers of the rounds of one height, remembered as far as they were asked for.

    A function of the set alone, so it is no state. The first round's turn is that of the height; from then on
    the priorities are normalized once and every round is a turn, as CometBFT does when it moves some rounds on.
    """

    __slots__ = ("_addresses", "_found", "_powers", "_priorities", "_total")

    def __init__(self, addresses: Sequence[bytes], powers: Sequence[int], priorities: Sequence[int]) -> None:
        self._addresses, self._powers = addresses, powers
        self._total = sum(powers)
        after, first = proposers.increment(addresses, powers, priorities, 1)
        self._priorities = proposers.normalize(after, self._total)
        self._found = [first]

    @classmethod
    def of(cls, validators: ValidatorSet) -> Rotation:
        """The rotation of a height's set. Raises InvalidArguments for an empty one."""
        return cls(*_columns(validators.validators), validators.priorities)

    def proposer(self, round: int) -> int:
        """Index of the proposer of `round` >= 0."""
        while len(self._found) <= round:
            self._found.append(proposers.choose(self._addresses, self._powers, self._priorities, self._total))
        return self._found[round]


def _columns(validators: Sequence[Validator]) -> tuple[list[bytes], list[int]]:
    return [validator.address for validator in validators], [validator.power for validator in validators]
