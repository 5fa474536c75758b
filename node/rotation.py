"""Whose turn it is at each height, from what the state holds: asked height after height it costs one turn each."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.validators import ValidatorSet, with_priorities
from ledger.state import Readable
from qenex.block import Validator
from vm.machine import Machine
from vm.rotation import Rotation, members_at


class Turns:
    """Remembers what it was asked last."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last: tuple[Rotation, int, ValidatorSet] | None = None
        """The record, the height, and the set."""

    def at(self, base: Readable, height: int, validators: Sequence[Validator]) -> ValidatorSet:
        """The `validators` of `height` with their priorities; `base` as for `Machine.rotation`. Raises NotFound."""
        record = self._machine.rotation(base, height)
        last = self._last
        if last is not None and last[0] == record and last[1] <= height:
            priorities = last[2].increment(height - last[1]).priorities
            found = ValidatorSet(tuple(validators), priorities)
        else:
            found = with_priorities(validators, members_at(record, height))
        self._last = (record, height, found)
        return found
