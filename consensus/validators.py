"""The validators of a height, and whose turn it is to propose."""

from __future__ import annotations

from typing import NamedTuple

from qenex.block import Validator


class ValidatorSet(NamedTuple):
    """Validators in canonical order with their proposer priorities (same order)."""

    validators: tuple[Validator, ...]
    priorities: tuple[int, ...]
