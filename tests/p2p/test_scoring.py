"""Scores fade, bans end, both are bounded, and bans outlive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.offences import Offence
from p2p.scoring import (
    BAN_SCORE,
    FADE_PER_SECOND,
    FIRST_BAN_SECONDS,
    HOST_BAN_SCORE,
    LONGEST_BAN_SECONDS,
    MAX_BANS,
    MAX_SCORES,
    TRUSTED_BAN_SECONDS,
    WEIGHTS,
    Scores,
)
from tests.p2p.test_address_book import Clock

A, B = "a" * 64, "b" * 64


def test_every_offence_has_a_weight_and_none_bans_by_one_slip() -> None:
    assert set(WEIGHTS) == set(Offence)
    assert all(0 < weight < BAN_SCORE for weight in WEIGHTS.values())


@pytest.mark.parametrize("offence", list(Offence))
def test_repeated_offences_lead_to_a_ban(offence: Offence) -> None:
    scores = Scores(Clock())
    count = 1
    while scores.add(A, offence) is None:
        count += 1
    assert count == -(-BAN_SCORE // WEIGHTS[offence])
    ban = scores.banned(A)
    assert ban is not None
    assert ban.reason == offence.value
    assert scores.banned(B) is None
    assert scores.score(A) == 0


def test_what_was_on_its_way_when_the_ban_came_makes_it_no_longer() -> None:
    scores = Scores(Clock())
    for _ in range(400):
        scores.add(A, Offence.INVALID_SIGNATURE)
    ban = scores.banned(A)
    assert ban is not None
    assert ban.times == 1


def test_a_score_fades() -> None:
    clock = Clock()
    scores = Scores(clock)
    scores.add(A, Offence.BROKEN_FRAME)
    clock.now += 100
    assert scores.score(A) == WEIGHTS[Offence.BROKEN_FRAME] - 100 * FADE_PER_SECOND
    clock.now += 10_000
    assert scores.score(A) == 0


def test_a_ban_ends_and_the_next_one_is_longer_up_to_a_day() -> None:
    clock = Clock()
    scores = Scores(clock)
    last = 0.0
    for times in range(12):
        ban = scores.ban(A, "again")
        length = ban.until - clock.now
        assert length == min(FIRST_BAN_SECONDS << times, LONGEST_BAN_SECONDS) >= last
        last = length
        clock.now = ban.until
        assert scores.banned(A) is None


def test_a_peer_that_the_operator_named_is_banned_briefly() -> None:
    clock = Clock()
    assert Scores(clock).ban(A, "x", trusted=True).until == clock.now + TRUSTED_BAN_SECONDS


def test_a_host_bears_more_than_a_node() -> None:
    scores = Scores(Clock())
    count = 1
    while scores.add("host:31.7.1.1", Offence.BROKEN_FRAME) is None:
        count += 1
    assert count == HOST_BAN_SCORE // WEIGHTS[Offence.BROKEN_FRAME]


def test_a_ban_can_be_lifted_and_forgets_the_past() -> None:
    clock = Clock()
    scores = Scores(clock)
    scores.ban(A, "x")
    scores.ban(B, "x")
    assert scores.unban(A) == 1
    assert scores.unban(A) == 0
    assert scores.bans().keys() == {B}
    assert scores.unban() == 1
    assert scores.ban(A, "x").until - clock.now == FIRST_BAN_SECONDS


@given(st.integers(0, 50))
def test_scores_and_bans_are_bounded_whoever_many_misbehave(seed: int) -> None:
    scores = Scores(Clock())
    for number in range(MAX_SCORES + 500):
        key = f"{seed:032x}{number:032x}"
        scores.add(key, Offence.FLOOD)
        scores.ban(key, "x")
    assert len(scores._scores) <= MAX_SCORES
    assert len(scores.bans()) <= MAX_BANS


def test_bans_outlive_a_restart(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "bans.json"
    scores = Scores(clock, path)
    scores.ban(A, "x")
    scores.ban("host:31.7.1.1", "y")
    data = scores.take_dirty()
    assert data is not None
    assert scores.take_dirty() is None
    scores.save(data)
    again = Scores(clock, path)
    assert again.bans() == scores.bans()
    assert again.ban(A, "x").times == 2


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_damaged_file_of_bans_costs_the_bans_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, cut: int
) -> None:
    path, clock = tmp_path_factory.mktemp("bans") / "bans.json", Clock()
    scores = Scores(clock, path)
    for number in range(4):
        scores.ban(f"{number:064x}", "x")
    data = scores.take_dirty() or b""
    path.write_bytes(data[:cut] + damage + data[cut + len(damage) :])
    again = Scores(clock, path)
    assert len(again.bans()) <= 4
    assert all(ban.until <= clock.now + LONGEST_BAN_SECONDS for ban in again.bans().values())


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 60_000, '{"schema_version": 1, "bans": {"x": [1]}}'])
def test_a_file_that_holds_no_bans_is_survived(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bans.json"
    path.write_text(text)
    assert Scores(Clock(), path).bans() == {}
