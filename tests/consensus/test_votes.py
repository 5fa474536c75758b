"""The vote keeper: thresholds told once, nobody counted twice, memory bounded; against a naive model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.votes import FUTURE_ROUNDS, MAX_AHEAD, PAST_ROUNDS, Kind, Threshold, VoteKeeper
from qenex.block import FLAG_ABSENT, FLAG_COMMIT, FLAG_NIL, PRECOMMIT, PREVOTE
from tests.consensus.network import address_of, block, make_vote

A, B, C = block("a"), block("b"), block("c")


def keeper(*powers: int) -> VoteKeeper:
    return VoteKeeper(powers or (1, 1, 1, 1))


def add(votes: VoteKeeper, index: int, type: int, round: int, value: bytes | None):
    return votes.add(index, make_vote(index + 1, type, round, value))


def thresholds(votes: VoteKeeper, type: int, round: int, *values: bytes | None) -> list[Threshold]:
    """Told while validators 0, 1, 2... cast these votes."""
    return [t for index, value in enumerate(values) for t in add(votes, index, type, round, value).thresholds]


def test_two_thirds_are_not_enough_and_one_more_is():
    assert thresholds(keeper(1, 1, 1), PREVOTE, 0, A, A) == []
    assert thresholds(keeper(1, 1, 1), PREVOTE, 0, A, A, A) == [
        Threshold(Kind.POLKA_VALUE, 0, A),
        Threshold(Kind.POLKA_ANY, 0),
    ]


def test_thresholds_are_compared_by_multiplication_at_powers_no_float_holds():
    third = (1 << 58) + 1
    assert thresholds(keeper(2 * third, third), PREVOTE, 0, A) == []
    told = thresholds(keeper(2 * third + 1, third), PREVOTE, 0, A)
    assert Threshold(Kind.POLKA_VALUE, 0, A) in told


def test_mixed_votes_are_a_majority_for_whatever_and_for_nothing():
    assert thresholds(keeper(), PREVOTE, 0, A, B, None) == [Threshold(Kind.POLKA_ANY, 0)]
    assert thresholds(keeper(), PRECOMMIT, 0, A, B, None) == [Threshold(Kind.PRECOMMIT_ANY, 0)]


def test_a_majority_for_nil():
    assert thresholds(keeper(), PREVOTE, 0, None, None, None) == [
        Threshold(Kind.POLKA_NIL, 0),
        Threshold(Kind.POLKA_ANY, 0),
    ]
    assert thresholds(keeper(), PRECOMMIT, 0, None, None, None) == [Threshold(Kind.PRECOMMIT_ANY, 0)]


def test_each_threshold_is_told_once():
    votes = keeper()
    first = thresholds(votes, PRECOMMIT, 0, A, A, A)
    assert first == [Threshold(Kind.PRECOMMIT_VALUE, 0, A), Threshold(Kind.PRECOMMIT_ANY, 0)]
    assert add(votes, 3, PRECOMMIT, 0, A).thresholds == ()
    assert votes.decidable == ((0, A),)


def test_the_same_vote_counts_once():
    votes = keeper()
    assert add(votes, 0, PREVOTE, 0, A).counted
    again = add(votes, 0, PREVOTE, 0, A)
    assert not again.counted
    assert again.evidence is None
    assert votes.rounds[0].prevotes.spoken == 1


def test_prevotes_and_precommits_are_counted_apart():
    votes = keeper()
    assert thresholds(votes, PREVOTE, 0, A, A) == []
    assert thresholds(votes, PRECOMMIT, 0, A, A) == []
    assert not votes.has_polka(0, A)


def test_conflicting_votes_are_evidence_in_canonical_order_once():
    for first, second in ((A, B), (B, A), (None, A), (A, None)):
        votes = keeper()
        add(votes, 0, PREVOTE, 0, first)
        added = add(votes, 0, PREVOTE, 0, second)
        assert not added.counted
        assert added.evidence is not None
        order = [added.evidence.first.block_hash or b"", added.evidence.second.block_hash or b""]
        assert order == sorted(order)
        assert {added.evidence.first.block_hash, added.evidence.second.block_hash} == {first, second}
        assert add(votes, 0, PREVOTE, 0, C).evidence is None
        assert votes.rounds[0].prevotes.spoken == 1


def test_an_equivocator_is_not_counted_twice_towards_whatever():
    votes = keeper()
    for value in (A, B, C):
        add(votes, 0, PREVOTE, 0, value)
    assert add(votes, 1, PREVOTE, 0, A).thresholds == ()
    assert not votes.spoke(0, PREVOTE)


def test_a_majority_that_an_equivocator_completed_elsewhere_is_seen_here_too():
    votes = keeper()
    add(votes, 3, PREVOTE, 0, B)  # to us he said b
    assert not add(votes, 3, PREVOTE, 0, A).counted, "nobody else stands behind a yet"
    assert thresholds(votes, PREVOTE, 0, A, A) == [Threshold(Kind.POLKA_ANY, 0)]
    assert votes.of_use(3, make_vote(4, PREVOTE, 0, A))
    assert add(votes, 3, PREVOTE, 0, A).thresholds == (Threshold(Kind.POLKA_VALUE, 0, A),)
    assert not votes.of_use(3, make_vote(4, PREVOTE, 0, C)), "and no third value fills memory"
    assert votes.rounds[0].prevotes.spoken == 3


def test_more_than_a_third_in_a_later_round_is_told_once_and_only_for_later_rounds():
    votes = keeper(1, 1, 1)
    assert thresholds(votes, PREVOTE, 2, A) == [], "a third is not enough"
    assert add(votes, 1, PRECOMMIT, 2, None).thresholds == (Threshold(Kind.SKIP, 2),)
    assert Kind.SKIP not in [t.kind for t in add(votes, 2, PREVOTE, 2, A).thresholds]
    current = keeper(1, 1, 1)
    assert thresholds(current, PREVOTE, 0, A, A) == []


def test_one_validator_voting_twice_in_a_later_round_is_one_validator():
    votes = keeper()
    for value in (A, B):
        assert add(votes, 0, PREVOTE, 5, value).thresholds == ()
        assert add(votes, 0, PRECOMMIT, 5, value).thresholds == ()


def test_a_validator_occupies_few_rounds_ahead_its_two_highest():
    votes = keeper()
    for round in range(1, 200):
        add(votes, 0, PREVOTE, round, A)
    assert sorted(votes.rounds) == [198, 199]
    assert len(votes.rounds) == FUTURE_ROUNDS
    assert not votes.of_use(0, make_vote(1, PREVOTE, 7, A))
    assert not add(votes, 0, PREVOTE, 7, A).counted
    assert votes.of_use(1, make_vote(2, PREVOTE, 7, A)), "others are not in his way"
    assert not votes.takes_round(MAX_AHEAD + 1)
    assert not add(votes, 0, PREVOTE, MAX_AHEAD + 1, A).counted


def test_what_a_validator_gives_up_ahead_no_longer_counts():
    votes = keeper(1, 1, 1)
    for round in (1, 2, 3):
        add(votes, 0, PREVOTE, round, A)
    assert add(votes, 1, PREVOTE, 1, A).thresholds == ()
    assert add(votes, 1, PREVOTE, 2, A).thresholds == (Threshold(Kind.SKIP, 2),)


def test_old_rounds_go_except_those_that_are_referred_to():
    votes = keeper()
    for round in range(60):
        votes.begin_round(round, (3, 5))
        add(votes, 0, PREVOTE, round, A)
    assert sorted(votes.rounds) == [3, 5, *range(59 - PAST_ROUNDS, 60)]
    assert not votes.of_use(1, make_vote(2, PREVOTE, 4, A))
    assert votes.of_use(1, make_vote(2, PREVOTE, 5, A))
    votes.pin((4,))
    assert votes.of_use(1, make_vote(2, PREVOTE, 4, A))


def test_a_commit_lists_everybody_in_order_nil_and_absent_apart():
    votes = keeper(3, 3, 3, 1, 1)
    thresholds(votes, PRECOMMIT, 0, A, A, A, None)
    addresses = [address_of(n) for n in range(1, 6)]
    commit = votes.commit(1, 0, A, addresses)
    assert [s.address for s in commit.signatures] == addresses
    assert [s.flag for s in commit.signatures] == [FLAG_COMMIT] * 3 + [FLAG_NIL, FLAG_ABSENT]
    assert [bool(s.signature) for s in commit.signatures] == [True] * 4 + [False]


def test_a_commit_takes_an_equivocators_vote_for_the_block_or_leaves_him_out():
    votes = keeper(1, 1, 1, 1, 1)
    addresses = [address_of(n) for n in range(1, 6)]
    add(votes, 4, PRECOMMIT, 0, B)
    thresholds(votes, PRECOMMIT, 0, A, A, A, A)
    assert votes.commit(1, 0, A, addresses).signatures[4].flag == FLAG_ABSENT
    add(votes, 4, PRECOMMIT, 0, A)
    assert votes.commit(1, 0, A, addresses).signatures[4].flag == FLAG_COMMIT


# -- a naive model -----------------------------------------------------------------------------

VOTES = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([PREVOTE, PRECOMMIT]),
        st.integers(0, 2),
        st.sampled_from([None, A, B]),
    ),
    max_size=60,
)


@given(st.lists(st.integers(1, 5), min_size=5, max_size=5), VOTES)
def test_the_keeper_agrees_with_a_model_that_counts_from_the_whole_history(powers, history):
    """The model: first votes by validator, round and type; a threshold is told when the sums first say so."""
    votes, total = VoteKeeper(powers), sum(powers)
    first: dict[tuple[int, int, int], bytes | None] = {}
    told: list[Threshold] = []
    expected: list[Threshold] = []
    conflicts: set[int] = set()
    accused: list[int] = []
    for index, type, round, value in history:
        added = add(votes, index, type, round, value)
        told += added.thresholds
        if added.evidence is not None:
            accused.append(index)
        if (index, round, type) in first:
            if first[index, round, type] != value:
                conflicts.add(index)
            continue
        first[index, round, type] = value
        assert added.counted
        here = {i: v for (i, r, t), v in first.items() if (r, t) == (round, type)}
        if 3 * sum(powers[i] for i in here) > 2 * total:
            expected.append(Threshold(Kind.POLKA_ANY if type == PREVOTE else Kind.PRECOMMIT_ANY, round))
        if round and 3 * sum(powers[i] for i in {i for i, r, _ in first if r == round}) > total:
            expected.append(Threshold(Kind.SKIP, round))
    assert len(told) == len(set(told)), "each threshold once"
    assert sorted(accused) == sorted(conflicts), "each equivocator once"
    counted = {t for t in told if t.kind in (Kind.POLKA_ANY, Kind.PRECOMMIT_ANY, Kind.SKIP)}
    assert counted == set(expected)
    honest = {i for i in range(5) if i not in conflicts}
    for type, kind in ((PREVOTE, Kind.POLKA_VALUE), (PRECOMMIT, Kind.PRECOMMIT_VALUE)):
        for round in range(3):
            for value in (A, B):
                cast = {i for i, t, r, v in history if (t, r, v) == (type, round, value)}
                firsts = {i for i in cast if first[i, round, type] == value}
                if 3 * sum(powers[i] for i in firsts) > 2 * total:
                    assert Threshold(kind, round, value) in told
                if Threshold(kind, round, value) in told:
                    assert 3 * sum(powers[i] for i in cast) > 2 * total
                    assert 3 * sum(powers[i] for i in cast & honest | conflicts) > 2 * total


@given(VOTES, st.integers(0, 60))
def test_a_copy_is_equal_and_independent(history, cut):
    votes = keeper(1, 1, 1, 1, 1)
    for item in history[:cut]:
        add(votes, *item)
    copy = votes.copy()
    assert copy.plain() == votes.plain()
    before = votes.plain()
    for item in history[cut:]:
        add(copy, *item)
    assert votes.plain() == before
    for item in history[cut:]:
        add(votes, *item)
    assert copy.plain() == votes.plain()
