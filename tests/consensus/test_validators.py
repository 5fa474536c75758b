"""Validator sets of the core: turns of heights and rounds, changes, and priorities that were kept elsewhere."""

from __future__ import annotations

import pytest

from consensus.validators import Rotation, with_priorities
from qenex.block import Validator
from qenex.errors import InvalidArguments
from qenex.proposers import Member
from tests.consensus.network import address_of, validator_set


def test_the_rounds_of_a_height_follow_each_other_by_power():
    validators = validator_set(10, 10, 10, 10)
    found = [validators.proposer(round).address[0] for round in range(8)]
    assert found == [1, 2, 3, 4] * 2


def test_the_next_height_begins_with_the_next_proposer():
    validators = validator_set(10, 10, 10, 10)
    found = []
    for _ in range(8):
        found.append(validators.proposer(0).address[0])
        validators = validators.increment()
    assert found == [1, 2, 3, 4] * 2


def test_a_rotation_remembers_what_it_was_asked():
    validators = validator_set(7, 5, 3)
    rotation = Rotation.of(validators)
    late = rotation.proposer(20)
    assert rotation.proposer(0) == Rotation.of(validators).proposer(0)
    assert late == Rotation.of(validators).proposer(20)


def test_many_heights_at_once_are_as_many_single_ones():
    validators = stepwise = validator_set(7, 5, 3, 1)
    for _ in range(137):
        stepwise = stepwise.increment()
    assert validators.increment(137) == stepwise


def test_an_update_changes_keys_at_once_and_keeps_canonical_order():
    validators = validator_set(10, 20, 30)
    changed = validators.update([Validator(address_of(1), b"\x01new", 40), Validator(address_of(3), b"", 0)])
    assert [v.address[0] for v in changed.validators] == [1, 2]
    assert changed.validators[0].key == b"\x01new"
    assert changed.total == 60
    assert changed.validator(address_of(3)) is None
    assert changed.validator(address_of(2)) == validators.validator(address_of(2))
    assert changed.indexes == {address_of(1): 0, address_of(2): 1}


def test_priorities_are_joined_by_address_and_only_with_their_own_set():
    validators = validator_set(10, 20).increment(3)
    members = reversed(validators.members)
    assert with_priorities(validators.validators, members) == validators
    for wrong in (
        [Member(address_of(1), 10, 0)],
        [Member(address_of(1), 10, 0), Member(address_of(2), 21, 0)],
        [Member(address_of(1), 10, 0), Member(address_of(9), 20, 0)],
    ):
        with pytest.raises(InvalidArguments):
            with_priorities(validators.validators, wrong)
