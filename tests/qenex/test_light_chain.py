"""The walk of a light client: bisection, witnesses, memory; and the attacks it must not fall for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.block import FLAG_COMMIT, block_hash, validators_root
from qenex.errors import (
    HeaderConflict,
    NodeUnreachable,
    NotFound,
    NoWitness,
    ProofInvalid,
    QenexError,
    TrustExpired,
)
from qenex.light_chain import Ask, LightChain
from qenex.light_rules import MAX_BACKWARDS, Checkpoint, LightBlock, LightOptions
from tests.qenex.light_histories import SECOND, START, History, sign_commit, validator_set, walk

FOUR = dict.fromkeys(range(4), 10)
ROTATING = [{n: 10, n + 1: 10, n + 2: 10, n + 3: 10} for n in range(12)]
"""Each height one validator goes and one comes: three heights on, one of four is left."""


def chain_of(
    history: History, at: int = 1, *, now: int | None = None, witnesses: int = 0, **options: int
) -> LightChain:
    clock = START + 100 * SECOND if now is None else now
    checkpoint = Checkpoint(at, block_hash(history.blocks[at].header))
    return LightChain(checkpoint, lambda: clock, witnesses=witnesses, options=LightOptions(**options))


def test_an_unchanged_set_is_skipped_over_in_one_step() -> None:
    history = History([FOUR], 50)
    chain = chain_of(history)
    assert walk(chain.verify(50), history) == history.blocks[50].header
    assert [ask.height for ask in history.asked] == [1, 50]


def test_a_set_that_changed_too_much_is_bisected() -> None:
    history = History(ROTATING, 12)
    chain = chain_of(history)
    assert walk(chain.verify(12), history) == history.blocks[12].header
    heights = [ask.height for ask in history.asked]
    assert len(heights) > 3
    assert all(chain.header(height) is not None for height in heights)


def test_what_was_verified_is_not_asked_again() -> None:
    history = History([FOUR], 9)
    chain = chain_of(history)
    walk(chain.verify(9), history)
    asked = len(history.asked)
    assert walk(chain.verify(9), history) == history.blocks[9].header
    assert len(history.asked) == asked


def test_heights_below_the_checkpoint_are_proved_by_parent_hashes() -> None:
    history = History(ROTATING, 12)
    chain = chain_of(history, 12)
    assert walk(chain.verify(4), history) == history.blocks[4].header
    assert [ask for ask in history.asked if ask.whole] == [Ask(0, 12, True)]
    block = walk(chain.verify_whole(4), history)
    assert block == history.blocks[4]


def test_a_forged_parent_is_found() -> None:
    history = History([FOUR], 12)
    liar = History([FOUR], 12)
    liar.blocks[6] = liar.blocks[6]._replace(header=liar.header(6, state_root=b"\x01" * 32))
    with pytest.raises(ProofInvalid, match="another hash"):
        walk(chain_of(history, 12).verify(3), liar)


def test_far_below_the_checkpoint_is_refused_before_anything_is_fetched() -> None:
    history = History([FOUR], 2)
    height = MAX_BACKWARDS + 10
    history.add(height)
    with pytest.raises(TrustExpired, match="lies more than"):
        walk(chain_of(history, height).verify(2), history)
    assert len(history.asked) == 1


def test_a_checkpoint_with_another_hash_is_refused() -> None:
    history = History([FOUR], 3)
    chain = LightChain(Checkpoint(1, bytes(32)), lambda: START)
    with pytest.raises(ProofInvalid, match="another hash"):
        walk(chain.verify(3), history)


def test_a_checkpoint_of_another_chain_is_refused() -> None:
    history = History([FOUR], 3)
    name = block_hash(history.blocks[1].header)
    chain = LightChain(Checkpoint(1, name), lambda: START, chain_id="another-1")
    with pytest.raises(ProofInvalid, match="of chain"):
        walk(chain.verify(3), history)


def test_memory_is_bounded_and_the_newest_stay() -> None:
    history = History([FOUR], 60)
    chain = chain_of(history, kept=5)
    for height in range(2, 61):
        walk(chain.verify(height), history)
    assert len(chain._trusted) == 5
    assert chain.header(60) is not None
    assert chain.header(2) is None
    for height in range(10, 50):
        assert walk(chain.verify(height), history) == history.blocks[height].header
    assert len(chain._below) <= 5


def test_a_set_that_is_known_need_not_be_fetched() -> None:
    history = History([FOUR], 3)
    chain = chain_of(history)
    walk(chain.verify(3), history)
    assert chain.known_validators(validators_root(validator_set(FOUR))) == validator_set(FOUR)
    assert chain.known_validators(bytes(32)) is None


# -- attacks -------------------------------------------------------------------------------------


def test_expired_trust_believes_nothing_new() -> None:
    history = History([FOUR], 9)
    chain = chain_of(history, now=START + 50 * SECOND, trusting_period=49 * SECOND)
    with pytest.raises(TrustExpired):
        walk(chain.verify(9), history)
    ok = chain_of(history, now=START + 50 * SECOND, trusting_period=50 * SECOND)
    assert walk(ok.verify(9), history) == history.blocks[9].header


def test_trust_that_expires_later_stays_expired() -> None:
    history = History([FOUR], 9)
    times = [START]
    checkpoint = Checkpoint(1, block_hash(history.blocks[1].header))
    chain = LightChain(checkpoint, lambda: times[-1], options=LightOptions(trusting_period=30 * SECOND))
    walk(chain.verify(3), history)
    times.append(START + 32 * SECOND)
    assert walk(chain.verify(2), history) == history.blocks[2].header, (
        "below a fresh header parent hashes prove"
    )
    times.append(START + 40 * SECOND)
    with pytest.raises(TrustExpired):
        walk(chain.verify(9), history)


def test_a_header_from_the_future_is_refused() -> None:
    history = History([FOUR], 30)
    chain = chain_of(history, now=START + 19 * SECOND)
    walk(chain.verify(29), history)
    with pytest.raises(ProofInvalid, match="future"):
        walk(chain.verify(30), history)


def test_a_lunatic_header_signed_by_a_minority_is_refused() -> None:
    history = History([FOUR], 9)
    liar = history.fork(9)
    liar.add(9, signers=[0, 1], state_root=b"\x66" * 32)
    with pytest.raises(ProofInvalid, match="two thirds"):
        walk(chain_of(history).verify(9), liar)


def test_a_lunatic_header_with_a_set_of_the_liars_own_is_refused() -> None:
    """Validator set swap: the header names accomplices, who all sign; the trusted set signed nothing."""
    history = History([FOUR], 9)
    swapped = history.fork(6)
    swapped.powers = [FOUR] * 5 + [{40: 10, 41: 10}]
    for height in range(6, 10):
        swapped.add(height)
    with pytest.raises(ProofInvalid):
        walk(chain_of(history).verify(9), swapped)


def test_a_swapped_set_with_less_than_a_third_of_the_old_power_is_refused() -> None:
    history = History([FOUR], 9)
    mixed = history.fork(6)
    mixed.powers = [FOUR] * 5 + [{0: 10, 40: 1, 41: 1}]
    for height in range(6, 10):
        block = mixed.add(height)
        # The liar hides the step at which the sets part: what was announced at 5 is the honest set.
        if height == 6:
            assert block.header.validators_hash != mixed.blocks[5].header.next_validators_hash
    with pytest.raises(ProofInvalid):
        walk(chain_of(history).verify(9), mixed)


def test_another_chains_header_is_refused() -> None:
    history = History([FOUR], 3)
    liar = history.fork(3)
    liar.add(3, chain_id="other-1")
    with pytest.raises(ProofInvalid, match="of chain"):
        walk(chain_of(history).verify(3), liar)


def test_equivocation_is_an_error_with_both_headers_and_the_double_votes() -> None:
    history = History([FOUR], 9)
    other = history.fork(9)
    other.add(9, signers=[0, 1, 2], transactions_root=b"\x07" * 32)
    with pytest.raises(HeaderConflict) as caught:
        walk(chain_of(history, witnesses=1).verify(9), history, other)
    error = caught.value
    assert error.kind == "equivocation"
    assert (error.primary, error.witness) == (history.blocks[9], other.blocks[9])
    assert error.common == history.blocks[1].header
    assert len(error.evidence) == 3
    for item in error.evidence:
        assert item.first.block_hash < item.second.block_hash
        assert item.first.address == item.second.address
        assert item.first.signature != item.second.signature


def test_a_lunatic_header_signed_by_a_majority_is_caught_by_a_witness() -> None:
    history = History([FOUR], 9)
    liar = history.fork(9)
    liar.add(9, state_root=b"\x66" * 32)
    with pytest.raises(HeaderConflict) as caught:
        walk(chain_of(history, witnesses=1).verify(9), liar, history)
    assert caught.value.kind == "lunatic"


def test_amnesia_is_named_and_accuses_nobody_by_itself() -> None:
    history = History([FOUR], 9)
    other = history.fork(9)
    other.add(9, round=1, transactions_root=b"\x07" * 32)
    with pytest.raises(HeaderConflict) as caught:
        walk(chain_of(history, witnesses=1).verify(9), history, other)
    assert caught.value.kind == "amnesia"
    assert caught.value.evidence == ()


def test_the_conflict_is_found_where_the_histories_part() -> None:
    """A fork below the verified height: the error names the first verified height on which they differ."""
    history = History(ROTATING, 12)
    other = history.fork(5)
    for height in range(5, 13):
        other.add(height, transactions_root=b"\x07" * 32)
    with pytest.raises(HeaderConflict) as caught:
        walk(chain_of(history, witnesses=1).verify(12), history, other)
    assert caught.value.common.height < 5
    assert caught.value.primary.header.height >= 5


def test_a_conflict_leaves_nothing_trusted() -> None:
    history = History([FOUR], 9)
    other = history.fork(9)
    other.add(9, transactions_root=b"\x07" * 32)
    chain = chain_of(history, witnesses=1)
    for _ in range(2):
        with pytest.raises(HeaderConflict):
            walk(chain.verify(9), history, other)
    assert chain.header(9) is None


def test_a_witness_with_a_header_that_does_not_verify_is_dropped_and_the_others_count() -> None:
    history = History([FOUR], 9)
    liar = history.fork(9)
    liar.add(9, signers=[0], transactions_root=b"\x07" * 32)
    chain = chain_of(history, witnesses=2)
    assert walk(chain.verify(9), history, liar, history) == history.blocks[9].header
    assert list(chain.faulty) == [1]
    walk(chain.verify(8), history, lambda ask: pytest.fail("asked a faulty witness"), history)


def test_without_a_witness_that_answers_nothing_is_believed() -> None:
    history = History([FOUR], 9)
    behind = History([FOUR], 5)

    def away(ask: Ask) -> LightBlock:
        raise NodeUnreachable("away")

    with pytest.raises(NoWitness, match="away"):
        walk(chain_of(history, witnesses=2).verify(9), history, behind, away)
    chain = chain_of(history, witnesses=2)
    assert walk(chain.verify(5), history, behind, away) == history.blocks[5].header


def test_what_a_young_primary_does_not_keep_comes_from_a_witness() -> None:
    """A node that began with a snapshot has no header of the checkpoint's height, nor of some on the way."""
    history = History(ROTATING, 12)
    young = History(ROTATING, 12)
    for height in range(1, 10):
        del young.blocks[height]
    chain = chain_of(history, witnesses=1)
    assert walk(chain.verify(12), young, history) == history.blocks[12].header
    with pytest.raises(NotFound):
        walk(chain_of(history).verify(12), young)
    empty = History([FOUR], 0)
    with pytest.raises(NotFound):
        walk(chain_of(history, witnesses=1).verify(12), young, empty)


def test_a_source_that_answers_with_another_height_is_refused() -> None:
    history = History([FOUR], 9)
    with pytest.raises(ProofInvalid, match="told of another"):
        walk(chain_of(history).verify(9), lambda ask: history.blocks[1])


def test_what_the_primary_fails_with_is_raised() -> None:
    history = History([FOUR], 9)
    with pytest.raises(NotFound):
        walk(chain_of(history).verify(10), history)


# -- properties ------------------------------------------------------------------------------------

POWERS = st.dictionaries(st.integers(0, 7), st.integers(1, 30), min_size=1, max_size=5)


@given(st.lists(POWERS, min_size=1, max_size=10), st.data())
def test_any_honest_history_is_believed_from_any_checkpoint(
    powers: list[dict[int, int]], data: st.DataObject
) -> None:
    history = History(powers, 10)
    chain = chain_of(history, data.draw(st.integers(1, 10)), witnesses=1)
    for height in data.draw(st.lists(st.integers(1, 10), min_size=1, max_size=4)):
        assert walk(chain.verify(height), history, history) == history.blocks[height].header


@given(st.lists(POWERS, min_size=1, max_size=8), st.data())
def test_a_forgery_needs_a_third_of_a_trusted_set(powers: list[dict[int, int]], data: st.DataObject) -> None:
    """Liars who at no height have 1/3 of the power (but any set of their own) never get a header believed."""
    history = History(powers, 8)
    at = data.draw(st.integers(1, 7))
    liars = data.draw(st.sets(st.integers(0, 9), max_size=4))
    for height in range(at, 9):
        total = sum(power.power for power in history.set_of(height))
        held = sum(p for n, p in powers[min(height, len(powers)) - 1].items() if n in liars)
        if 3 * held > total:
            return
    start = data.draw(st.integers(at + 1, 8))
    forged = history.fork(start)
    forged.powers = [*[powers[min(h, len(powers)) - 1] for h in range(1, start)]]
    own = {n: data.draw(st.integers(1, 50)) for n in sorted(liars)} or {40: 1}
    forged.powers.append(own)
    for height in range(start, 9):
        forged.add(height, transactions_root=b"\x13" * 32)
    target = data.draw(st.integers(start, 8))
    with pytest.raises(QenexError):
        walk(chain_of(history, at).verify(target), forged)


@given(st.data())
def test_a_commit_with_any_signature_changed_is_refused(data: st.DataObject) -> None:
    history = History([FOUR], 4)
    block = history.blocks[4]
    index = data.draw(st.integers(0, 3))
    entry = block.commit.signatures[index]
    at = data.draw(st.integers(0, len(entry.signature) - 1))
    wrong = bytearray(entry.signature)
    wrong[at] ^= data.draw(st.integers(1, 255))
    entries = list(block.commit.signatures)
    entries[index] = entry._replace(signature=bytes(wrong), flag=FLAG_COMMIT)
    history.blocks[4] = block._replace(commit=block.commit._replace(signatures=tuple(entries)))
    with pytest.raises(ProofInvalid):
        walk(chain_of(history, 3).verify(4), history)


def test_a_vote_listed_twice_counts_once() -> None:
    history = History([{0: 10, 1: 10, 2: 10, 3: 10}], 3)
    header = history.header(3)
    validators = history.set_of(3)
    commit = sign_commit(header, validators, [0, 1])
    signed = [entry for entry in commit.signatures if entry.flag == FLAG_COMMIT]
    history.blocks[3] = LightBlock(header, commit._replace(signatures=(*signed, *signed)), validators)
    for start in (1, 2):
        with pytest.raises(ProofInvalid):
            walk(chain_of(history, start).verify(3), history)
