"""Proposer priorities, against published vectors and a slow second implementation that divides as Go does."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex import proposers
from qenex.errors import InvalidArguments
from qenex.proposers import MAX_TOTAL_POWER, Member


def members_of(powers: dict[bytes, int]) -> tuple[Member, ...]:
    return proposers.update((), powers.items())


def turn(members: tuple[Member, ...]) -> tuple[tuple[Member, ...], bytes]:
    """The next height's members, and this height's proposer."""
    after, index = proposers.increment(*columns(members), times=1)
    moved = tuple(m._replace(priority=p) for m, p in zip(members, after, strict=True))
    return moved, members[index].address


def columns(members) -> tuple[list[bytes], list[int], list[int]]:
    return [m.address for m in members], [m.power for m in members], [m.priority for m in members]


def sequence(members: tuple[Member, ...], count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        members, proposer = turn(members)
        found.append(proposer)
    return found


# CometBFT, types/validator_set_test.go, TestProposerSelection1.
PUBLISHED = (
    "foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar "
    "foo foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar "
    "foo baz foo foo bar foo baz foo foo bar foo baz foo foo foo baz bar foo foo foo baz "
    "foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo "
    "foo bar foo baz foo foo bar foo baz foo foo bar foo baz foo foo"
)


def test_the_published_sequence_of_99_proposers():
    members = members_of({b"foo": 1_000, b"bar": 300, b"baz": 330})
    assert b" ".join(sequence(members, 99)).decode() == PUBLISHED


def test_equal_powers_take_turns_in_order_of_address():
    members = members_of({b"a": 100, b"b": 100, b"c": 100})
    assert sequence(members, 15) == [b"a", b"b", b"c"] * 5


@pytest.mark.parametrize(("power", "expected"), [(400, b"cab"), (401, b"cca")])
def test_who_has_more_goes_first_and_twice_only_with_more_than_the_others_twofold(power, expected):
    # TestProposerSelection2 of the same file.
    members = members_of({b"a": 100, b"b": 100, b"c": power})
    assert b"".join(sequence(members, 3)).startswith(expected[:2] if power == 400 else expected)


def test_everybody_proposes_in_proportion_to_power():
    found = sequence(members_of({b"a": 4, b"b": 5, b"c": 3}), 120)
    assert [found.count(name) for name in (b"a", b"b", b"c")] == [40, 50, 30]


@pytest.mark.parametrize(
    ("times", "expected", "proposer"),
    [
        (1, [-2, 1, 1], 0),
        (2, [-4, 2, 2], 0),
        (4, [-8, 4, 4], 0),
        (5, [2, -7, 5], 1),
        (8, [-4, -4, 8], 0),
        (9, [6, -3, -3], 2),
        (11, [2, -1, -1], 0),
    ],
)
def test_priorities_step_by_step(times, expected, proposer):
    # TestAveragingInIncrementProposerPriorityWithVotingPower of the same file: powers 10, 1, 1.
    assert proposers.increment([b"\0", b"\1", b"\2"], [10, 1, 1], [0, 0, 0], times) == (expected, proposer)


@pytest.mark.parametrize(
    ("given_", "window", "expected"),
    [
        # A ratio of 2: -5 becomes -2, not the -3 of Python's floor.
        ([5, -5], 6, [2, -2]),
        ([5, 0, -6], 6, [2, 0, -3]),
        ([10, -1], 5, [3, 0]),
        ([3, -3], 6, [3, -3]),
    ],
)
def test_rescaling_truncates_toward_zero(given_, window, expected):
    assert proposers.rescale(given_, window) == expected


def test_averaging_floors():
    assert proposers.center([0, 0, -1]) == [1, 1, 0], "the average of -1/3 is -1"
    assert proposers.center([1, 0, 0]) == [1, 0, 0]


def test_a_new_validator_begins_at_minus_nine_eighths_of_the_total():
    members = members_of({b"a": 1_000})
    joined = proposers.update(members, [(b"b", 1_000)])
    by_address = {m.address: m.priority for m in joined}
    # a: 0, b: -2250; centered by the average of -1125.
    assert by_address == {b"a": 1_125, b"b": -1_125}


def test_the_total_for_a_newcomer_counts_who_leaves_in_the_same_change():
    members = members_of({b"a": 1_000, b"b": 600})
    changed = proposers.update(members, [(b"b", 0), (b"c", 400)])
    # Before removals the total is 2,000: c begins at -2,250, then both are centered.
    priorities = {m.address: m.priority for m in changed}
    assert priorities[b"a"] - priorities[b"c"] == 2_250


def test_leaving_and_joining_again_never_pays():
    members = members_of({b"a": 10, b"b": 10, b"c": 10})
    for _ in range(3):
        members, _ = turn(members)
    before = next(m for m in members if m.address == b"c")
    without = proposers.update(members, [(b"c", 0)])
    again = proposers.update(without, [(b"c", 10)])
    assert next(m for m in again if m.address == b"c").priority < before.priority


@given(st.permutations([(b"a", 5), (b"b", 0), (b"d", 7), (b"e", 7), (b"c", 1)]))
def test_changes_do_not_depend_on_their_order(changes):
    members = members_of({b"a": 10, b"b": 20, b"c": 30})
    assert proposers.update(members, changes) == proposers.update(members, sorted(changes))


@pytest.mark.parametrize(
    "changes",
    [
        [(b"a", 1), (b"a", 2)],
        [(b"z", 0)],
        [(b"a", -1)],
        [(b"a", 0), (b"b", 0)],
        [(b"c", MAX_TOTAL_POWER)],
    ],
)
def test_impossible_changes_are_refused(changes):
    members = members_of({b"a": 10, b"b": 20})
    with pytest.raises(InvalidArguments):
        proposers.update(members, changes)


# -- a second implementation -------------------------------------------------------------------


def slow_turns(members, turns: int):
    """As CometBFT's prose has it, in exact fractions, one rounding at a time; clipping to 64 bits must not occur."""
    state = {m.address: m.priority for m in members}
    powers = {m.address: m.power for m in members}
    total = sum(powers.values())
    proposer = b""
    for _ in range(turns):
        gap = max(state.values()) - min(state.values())
        if gap > 2 * total:
            ratio = math.ceil(Fraction(gap, 2 * total))
            state = {a: math.trunc(Fraction(p, ratio)) for a, p in state.items()}
        average = math.floor(Fraction(sum(state.values()), len(state)))
        state = {a: p - average + powers[a] for a, p in state.items()}
        proposer = min(state, key=lambda a: (-state[a], a))
        state[proposer] -= total
        assert all(-(1 << 63) <= p < 1 << 63 for p in state.values())
    return state, proposer


def slow_update(members, changes):
    powers = {m.address: m.power for m in members}
    state = {m.address: m.priority for m in members}
    gained = dict(powers)
    gained.update({a: p for a, p in changes if p})
    total = sum(gained.values())
    for address, power in changes:
        if power and address not in powers:
            state[address] = -(total + total // 8)
    for address, power in changes:
        if not power:
            del gained[address], state[address]
    window = 2 * sum(gained.values())
    gap = max(state.values()) - min(state.values())
    if gap > window:
        ratio = math.ceil(Fraction(gap, window))
        state = {a: math.trunc(Fraction(p, ratio)) for a, p in state.items()}
    average = math.floor(Fraction(sum(state.values()), len(state)))
    order = sorted(gained, key=lambda a: (-gained[a], a))
    return [(a, gained[a], state[a] - average) for a in order]


POWERS = st.one_of(st.integers(1, 20), st.integers(1, 10**6), st.integers(1, MAX_TOTAL_POWER >> 4))
HISTORY = st.lists(
    st.one_of(
        st.integers(1, 30),
        st.dictionaries(st.sampled_from([bytes([n]) for n in range(8)]), st.just(0) | POWERS, max_size=3),
    ),
    max_size=12,
)


@given(st.dictionaries(st.sampled_from([bytes([n]) for n in range(6)]), POWERS, min_size=1), HISTORY)
def test_any_history_of_turns_and_changes_agrees_with_the_slow_implementation(first, history):
    members = members_of(first)
    for step in history:
        if isinstance(step, int):
            expected, proposer = slow_turns(members, step)
            stepwise = members
            for _ in range(step):
                stepwise, last = turn(stepwise)
            assert last == proposer
            assert {m.address: m.priority for m in stepwise} == expected
            assert proposers.advance(*columns(members), heights=step) == [m.priority for m in stepwise]
            members = stepwise
            continue
        present = {m.address for m in members}
        changes = [(a, p) for a, p in step.items() if p or a in present]
        after = {m.address: m.power for m in members} | dict(changes)
        if not any(after.values()) or sum(after.values()) > MAX_TOTAL_POWER:
            continue
        changed = proposers.update(members, changes)
        assert [tuple(m) for m in changed] == slow_update(members, changes)
        assert changed == proposers.replace(members, [(a, p) for a, p in after.items() if p])
        members = changed
        assert all(abs(m.priority) <= 4 * sum(after.values()) for m in members)


def test_bounds_hold_at_the_greatest_total():
    members = members_of({b"a": MAX_TOTAL_POWER - 3, b"b": 1, b"c": 1, b"d": 1})
    for _ in range(200):
        members, _ = turn(members)
        assert all(abs(m.priority) < 1 << 63 for m in members)


def test_no_turn_without_a_validator():
    with pytest.raises(InvalidArguments):
        proposers.increment([], [], [], 1)
    with pytest.raises(InvalidArguments):
        proposers.increment([b"a"], [1], [0], 0)
    assert proposers.center([]) == []
    assert proposers.rescale([], 5) == []
