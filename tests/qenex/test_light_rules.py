"""The light client's rules at their borders."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.block import FLAG_COMMIT, CommitSignature, block_hash, order_validators
from qenex.errors import InvalidArguments, NotEnoughTrust, ProofInvalid, QenexError, TrustExpired
from qenex.light_rules import Checkpoint, LightOptions, Trusted, check_fresh, verify_next, verify_trusting
from tests.fuzz.rule import keeps_the_rule
from tests.qenex.light_histories import SECOND, START, History, address, keys, sign_commit

OPTIONS = LightOptions()
NOW = START + 100 * SECOND


def trusted(history: History, height: int) -> Trusted:
    block = history.blocks[height]
    return Trusted(block.header, block.validators)


def test_the_next_height_needs_two_thirds_of_the_announced_set_alone() -> None:
    """The set may change entirely from one height to the next: it was announced."""
    history = History([{1: 5}, {2: 5, 3: 5}], 2)
    verify_next(trusted(history, 1), history.blocks[2], NOW, OPTIONS)
    history.add(2, signers=[2])
    with pytest.raises(ProofInvalid, match="two thirds"):
        verify_next(trusted(history, 1), history.blocks[2], NOW, OPTIONS)


def test_the_next_height_must_stand_on_the_trusted_block() -> None:
    history = History([{1: 5}], 2)
    history.add(2, parent_hash=bytes(32))
    with pytest.raises(ProofInvalid, match="stands on another"):
        verify_next(trusted(history, 1), history.blocks[2], NOW, OPTIONS)


def test_the_next_height_must_name_the_announced_set() -> None:
    history = History([{1: 5}], 1)
    history.powers = [{1: 5}, {1: 5, 2: 1}]
    history.add(2)
    with pytest.raises(ProofInvalid, match="not announced"):
        verify_next(trusted(history, 1), history.blocks[2], NOW, OPTIONS)


@pytest.mark.parametrize(("powers", "enough"), [((10, 20), False), ((11, 20), True), ((10, 19), True)])
def test_exactly_a_third_of_the_trusted_power_is_not_enough(powers: tuple[int, int], enough: bool) -> None:
    one, other = powers
    history = History([{1: one, 2: other}, {1: one, 2: other}, {1: one, 3: 1}], 3)
    if enough:
        verify_next(trusted(history, 1), history.blocks[3], NOW, OPTIONS)
    else:
        with pytest.raises(NotEnoughTrust):
            verify_next(trusted(history, 1), history.blocks[3], NOW, OPTIONS)


def test_votes_are_found_by_address_not_by_place() -> None:
    """Power changes reorder the set: the same three stay trusted."""
    history = History([{1: 30, 2: 20, 3: 10}, {1: 30, 2: 20, 3: 10}, {1: 1, 2: 20, 3: 300}], 3)
    first, last = history.blocks[1].validators, history.blocks[3].validators
    assert [v.address for v in first] != [v.address for v in last]
    verify_next(trusted(history, 1), history.blocks[3], NOW, OPTIONS)


def test_a_changed_key_does_not_count_for_the_old_set() -> None:
    history = History([{1: 10}], 3)
    block = history.blocks[3]
    old = (block.validators[0]._replace(key=keys(9)[0]),)
    with pytest.raises(NotEnoughTrust):
        verify_trusting(block, old)
    verify_trusting(block, block.validators)


def test_nil_votes_and_absence_count_for_nothing() -> None:
    history = History([{1: 10, 2: 10}], 3)
    block = history.blocks[3]
    entries = tuple([entry._replace(flag=2) for entry in block.commit.signatures])
    with pytest.raises(NotEnoughTrust):
        verify_trusting(block._replace(commit=block.commit._replace(signatures=entries)), block.validators)


def test_trust_ends_at_the_period_exactly() -> None:
    header = History([{1: 1}], 1).blocks[1].header
    options = LightOptions(trusting_period=SECOND)
    check_fresh(header, header.time + SECOND - 1, options)
    with pytest.raises(TrustExpired):
        check_fresh(header, header.time + SECOND, options)


def test_time_rises_and_stays_within_the_drift() -> None:
    history = History([{1: 1}], 2)
    base = trusted(history, 1)
    header = history.blocks[2].header
    verify_next(base, history.blocks[2], header.time - OPTIONS.clock_drift, OPTIONS)
    with pytest.raises(ProofInvalid, match="future"):
        verify_next(base, history.blocks[2], header.time - OPTIONS.clock_drift - 1, OPTIONS)
    history.add(2, time=base.header.time)
    with pytest.raises(ProofInvalid, match="not later"):
        verify_next(base, history.blocks[2], NOW, OPTIONS)
    with pytest.raises(ProofInvalid, match="not above"):
        verify_next(base, history.blocks[1], NOW, OPTIONS)


@given(st.data())
def test_what_no_chain_has_is_a_typed_error(data: st.DataObject) -> None:
    """Any mixture of wrong parts: never another exception, never belief in a header that is not the chain's."""
    history = History([{1: 10, 2: 10, 3: 10}, {2: 10, 3: 10}], 4)
    block = history.blocks[data.draw(st.integers(2, 4))]
    header = block.header._replace(
        **data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "height": st.integers(0, 6),
                    "time": st.integers(0, NOW * 2),
                    "validators_hash": st.binary(min_size=32, max_size=32),
                    "next_validators_hash": st.binary(min_size=32, max_size=32),
                    "parent_hash": st.binary(min_size=32, max_size=32),
                    "chain_id": st.text(max_size=9),
                },
            )
        )
    )
    signatures = data.draw(
        st.lists(
            st.builds(
                CommitSignature,
                st.sampled_from([address(n) for n in range(5)]),
                st.integers(0, 3),
                st.binary(max_size=80) | st.sampled_from([e.signature for e in block.commit.signatures]),
            ),
            max_size=5,
        )
    )
    commit = data.draw(
        st.sampled_from([block.commit, block.commit._replace(signatures=tuple(signatures))])
    )._replace(block_hash=data.draw(st.sampled_from([block.commit.block_hash, block_hash(header)])))
    validators = order_validators(
        data.draw(st.sampled_from([block.validators, history.blocks[1].validators, ()]))
    )
    wrong = block._replace(header=header, commit=commit, validators=validators)
    found = keeps_the_rule(lambda: verify_next(trusted(history, 1), wrong, NOW, OPTIONS))
    if not isinstance(found, QenexError):
        assert header == block.header


@pytest.mark.parametrize("text", ["", "5", ":", "5:", "x:00", "5:zz", f"5:{'0' * 63}", f"-1:{'0' * 64}", f"0:{'0' * 64}",
                                  f"{10**21}:{'0' * 64}", f"{1 << 64}:{'0' * 64}"])  # fmt: skip
def test_a_malformed_checkpoint_is_a_typed_error(text: str) -> None:
    with pytest.raises(InvalidArguments):
        Checkpoint.parse(text)


@pytest.mark.parametrize("prefix", ["", "0x"])
def test_a_checkpoint_is_read_and_written_as_text(prefix: str) -> None:
    checkpoint = Checkpoint.parse(f" 12:{prefix}{'ab' * 32}\n")
    assert checkpoint == Checkpoint(12, bytes.fromhex("ab" * 32))
    assert Checkpoint.parse(str(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    ("height", "name"), [(0, bytes(32)), (1, bytes(31)), (True, bytes(32)), (1, None), ("1", bytes(32))]
)
def test_a_checkpoint_of_wrong_types_is_a_typed_error(height: Any, name: Any) -> None:
    with pytest.raises(InvalidArguments):
        Checkpoint(height, name)


def test_a_commit_with_a_flag_for_every_validator_is_asked_for() -> None:
    history = History([{1: 10, 2: 10}], 3)
    block = history.blocks[3]
    short = block.commit._replace(signatures=block.commit.signatures[:1])
    with pytest.raises(ProofInvalid, match="one entry for each"):
        verify_trusting(block._replace(commit=short), block.validators)
    assert sign_commit(block.header, block.validators).signatures[0].flag == FLAG_COMMIT
