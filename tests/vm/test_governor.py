"""What a vote may ask of the machine: JSON of strangers, read by every node alike."""

from __future__ import annotations

import pytest

from qenex.errors import InvalidParameters
from vm.governor import MAX_CHANGES_DEPTH, _object_of


def nested(depth: int) -> str:
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_the_depth_of_a_proposal_is_bounded_by_a_rule_and_not_by_the_interpreters_stack() -> None:
    """Just below the stack's end a value was read, and then broke whoever looked at it: the error was no longer typed."""
    assert _object_of(nested(MAX_CHANGES_DEPTH), "changes")
    for depth in (*range(MAX_CHANGES_DEPTH + 1, 1_100), 8_000):
        with pytest.raises(InvalidParameters):
            _object_of(nested(depth), "changes")
