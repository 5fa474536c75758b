"""Tallies: thresholds by multiplication at their edges, and a quadratic ballot that counts whole or not at all."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.governance.math import NO_QUORUM, PASSED, REJECTED, VETOED, quadratic_tally, tally
from qenex.errors import ValueOutOfRange

POWERS = st.integers(0, 1 << 100)


@pytest.mark.parametrize(
    ("votes", "total", "outcome"),
    [
        ((0, 0, 0, 0), 100, NO_QUORUM),
        ((0, 0, 0, 0), 0, NO_QUORUM),
        ((3_339, 0, 0, 0), 10_000, NO_QUORUM),
        ((3_340, 0, 0, 0), 10_000, PASSED),
        ((0, 0, 3_340, 0), 10_000, REJECTED),
        ((50, 50, 0, 0), 100, REJECTED),
        ((51, 49, 0, 0), 100, PASSED),
        ((1, 0, 99, 0), 100, PASSED),
        ((6_660, 0, 0, 3_340), 10_000, PASSED),
        ((6_659, 0, 0, 3_341), 10_000, VETOED),
    ],
)
def test_outcomes_at_their_edges(votes: tuple[int, int, int, int], total: int, outcome: str) -> None:
    assert tally(*votes, total) == outcome


def test_an_expedited_vote_needs_more() -> None:
    assert tally(66, 34, 0, 0, 100, 3_340, 6_670, 3_340) == REJECTED
    assert tally(67, 33, 0, 0, 100, 3_340, 6_670, 3_340) == PASSED


@given(POWERS, POWERS, POWERS, POWERS, POWERS)
def test_a_tally_is_what_exact_fractions_say(yes: int, no: int, abstain: int, veto: int, silent: int) -> None:
    voted = yes + no + abstain + veto
    total = voted + silent
    outcome = tally(yes, no, abstain, veto, total)
    if voted == 0 or Fraction(voted, max(total, 1)) < Fraction(334, 1_000):
        assert outcome == NO_QUORUM
    elif Fraction(veto, voted) > Fraction(334, 1_000):
        assert outcome == VETOED
    else:
        decided = voted - abstain
        assert outcome == (PASSED if decided and Fraction(yes, decided) > Fraction(1, 2) else REJECTED)


@pytest.mark.parametrize("args", [(-1, 0, 0, 0, 5), (3, 3, 0, 0, 5)])
def test_impossible_votes_are_refused(args: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueOutOfRange):
        tally(*args)


def test_votes_cost_their_square_and_a_ballot_over_its_budget_counts_for_nothing() -> None:
    assert quadratic_tally([[81, 16, 3]], 3, 100) == (9, 4, 1)
    assert quadratic_tally([[81, 16, 4]], 3, 100) == (0, 0, 0)
    assert quadratic_tally([[100, 0], [0, 100], [50, 50], [101, 0], [1], [1, -1]], 2, 100) == (17, 17)
    assert quadratic_tally([], 2, 100) == (0, 0)


@given(st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), max_size=20))
def test_two_halves_of_a_crowd_add_up(ballots: list[list[int]]) -> None:
    half = len(ballots) // 2
    first, second = quadratic_tally(ballots[:half], 3, 100), quadratic_tally(ballots[half:], 3, 100)
    assert quadratic_tally(ballots, 3, 100) == tuple([a + b for a, b in zip(first, second, strict=True)])
