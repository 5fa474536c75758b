"""The simulator sees every sabotage of the list, and the list cannot go stale unnoticed."""

from __future__ import annotations

import pytest

from consensus import round as rules
from tests.simulation.mutants import MUTANTS, Edit, Mutant
from tests.simulation.mutation import StaleMutant, applied, changed_code, judge
from tests.simulation.scenarios import SUITES


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulator_sees_the_sabotage(mutant: Mutant) -> None:
    verdict = judge(mutant)
    assert verdict.caught, f"survived {verdict.runs} runs"


def test_there_are_sixty_sabotages_at_least_each_with_a_name_and_suites() -> None:
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert all(suite in SUITES for mutant in MUTANTS for suite in mutant.suites)
    assert len({mutant.edits for mutant in MUTANTS}) == len(MUTANTS)


def test_a_sabotage_ends_with_its_block() -> None:
    before = rules._polka.__code__
    with applied(MUTANTS[0]):
        assert rules._polka.__code__ is not before
    assert rules._polka.__code__ is before


@pytest.mark.parametrize(
    "edit",
    [
        Edit("consensus.round:_polka", "a text that is not there", "x"),
        Edit("consensus.round:_polka", "state", "other"),
        Edit("consensus.round:_polka", "# line 37", "# line 38"),
        Edit("consensus.round:INITIAL", "", ""),
    ],
    ids=["gone", "several", "no change", "no function"],
)
def test_a_stale_sabotage_is_an_error(edit: Edit) -> None:
    with pytest.raises(StaleMutant):
        changed_code("stale", edit)
