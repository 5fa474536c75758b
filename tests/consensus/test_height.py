"""The whole core: rules that real networks paid for, each under the name of its lesson, and arbitrary events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.events import (
    BlockBuilt,
    BlockChecked,
    BuildBlock,
    CheckBlock,
    Decide,
    Event,
    Flush,
    KeepBody,
    NewHeight,
    Punish,
    Recalled,
    Received,
    Refused,
    ReportEvidence,
    Send,
    Signed,
    SigningFailed,
    SignProposal,
    SignVote,
    StartTimeout,
    Step,
    Stepped,
    TimedOut,
    Verified,
    Verify,
)
from consensus.height import MAX_RECALLED_ROUND, Core, is_durable
from qenex.block import PRECOMMIT, PREVOTE, Commit
from tests.consensus.network import (
    CHAIN,
    Network,
    Node,
    address_of,
    block,
    make_commit,
    make_proposal,
    make_vote,
    sign,
    validator_set,
)

A, B = block("a"), block("b")
FOUR = validator_set(1, 1, 1, 1)
"""Validator 1 proposes in round 0, 2 in round 1, and so on."""


def core_of(number: int | None, validators=FOUR, height: int = 1) -> Core:
    core = Core(CHAIN, None if number is None else address_of(number))
    core.step(NewHeight(height, validators))
    return core


def of_kind(actions, kind):
    return [action for action in actions if isinstance(action, kind)]


def verified(core: Core, *messages):
    return [action for message in messages for action in core.step(Verified("peer", message))]


def prevoted(value: bytes | None = A, proposal: bool = True) -> Core:
    """Validator 4, after its own prevote for `value` in round 0."""
    core = core_of(4)
    if proposal:
        verified(core, make_proposal(1, 0, A))
        core.step(BlockChecked(1, 0, A, value == A, True))
    else:
        core.step(TimedOut(1, 0, Step.PROPOSE))
    core.step(Signed(make_vote(4, PREVOTE, 0, value)))
    return core


def sign_all(core: Core, actions):
    """Sign what is asked, until nothing is; everything that came out."""
    found, waiting = list(actions), list(actions)
    while waiting:
        action = waiting.pop(0)
        if isinstance(action, SignVote | SignProposal):
            more = core.step(sign(action, core.own_address))
            found += more
            waiting += more
    return found


# -- a network of cores ----------------------------------------------------------------------------


@pytest.mark.parametrize("powers", [(1,), (1, 1), (5, 1, 1), (1, 1, 1, 1), (7, 3, 2, 2, 1, 1, 1)])
def test_validators_decide_height_after_height_each_block_by_its_proposer(powers):
    network = Network(*powers)
    for height in range(1, 9):
        network.begin(height)
        network.deliver()
        decided = {node.decided[-1].block_hash for node in network.nodes}
        proposer = network.validators.proposer(0).address
        assert decided == {block(f"{height}/0/{proposer!r}")}
        assert all(len(node.decided) == height and not node.punished for node in network.nodes)
        network.validators = network.validators.increment()


def test_a_silent_proposer_costs_a_round():
    network = Network(1, 1, 1, 1)
    first = network.validators.proposer(0).address
    silent = next(node for node in network.nodes if node.address == first)
    network.nodes.remove(silent)
    network.begin(1)
    for _ in range(4):
        network.deliver()
        network.time_out()
    assert {(node.decided[0].round, node.decided[0].block_hash) for node in network.nodes} == {
        (1, block(f"1/1/{network.validators.proposer(1).address!r}"))
    }


def test_a_node_without_a_key_follows_and_never_signs_or_sends_anything_of_its_own():
    network = Network(1, 1, 1, 1)
    follower = Node(None)
    follower.address = address_of(99)
    network.nodes.append(follower)
    network.begin(1)
    network.deliver()
    assert len(follower.decided) == 1
    assert not of_kind(follower.actions, SignVote | SignProposal | BuildBlock)
    assert not [action for action in of_kind(follower.actions, Send) if action.own]


# -- signing order ---------------------------------------------------------------------------------


def test_what_led_to_an_own_message_is_flushed_before_it_is_signed_so_before_it_leaves():
    network = Network(1, 1, 1, 1)
    network.begin(1)
    network.deliver()
    for node in network.nodes:
        asked = []
        for at, action in enumerate(node.actions):
            if isinstance(action, SignVote | SignProposal):
                assert node.actions[at - 1] == Flush()
                asked.append((action.round, action.block_hash, getattr(action, "type", 0)))
            elif isinstance(action, Send) and action.own:
                message = action.message
                assert (message.round, message.block_hash, getattr(message, "type", 0)) == asked[-1]
        assert len(asked) >= 2


def test_a_block_of_our_own_is_kept_before_its_proposal_is_signed():
    core = core_of(1)
    actions = core.step(BlockBuilt(1, 0, A))
    assert [type(action) for action in actions] == [KeepBody, Flush, SignProposal]
    assert core.resume()[-3:] == [KeepBody(A), Flush(), SignProposal(1, 0, -1, A)]


def test_the_whole_body_is_kept_before_the_own_precommit_for_it_is_signed():
    core = prevoted()
    actions = verified(core, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A))
    asked = of_kind(actions, SignVote)
    assert [vote.type for vote in asked] == [PRECOMMIT]
    assert actions.index(KeepBody(A)) < actions.index(asked[0])
    nil = prevoted(None)
    assert not of_kind(
        verified(nil, make_vote(1, PREVOTE, 0, None), make_vote(2, PREVOTE, 0, None)), KeepBody
    )


def test_one_signature_at_a_time_and_the_own_vote_counts_when_it_is_signed():
    core = core_of(4)
    actions = core.step(TimedOut(1, 0, Step.PROPOSE))
    assert [vote.type for vote in of_kind(actions, SignVote)] == [PREVOTE]
    actions = verified(core, *[make_vote(n, PREVOTE, 0, None) for n in (1, 2, 3)])
    assert of_kind(actions, Stepped)[-1].step == Step.PRECOMMIT
    assert not of_kind(actions, SignVote), "the prevote is still out"
    mine = make_vote(4, PREVOTE, 0, None)
    driver = core.state.driver
    assert driver is not None
    assert driver.votes.rounds[0].prevotes.spoken == 3
    actions = core.step(Signed(mine))
    assert actions[0] == Send(mine, True)
    assert [vote.type for vote in of_kind(actions, SignVote)] == [PRECOMMIT]
    assert driver.votes.rounds[0].prevotes.spoken == 4


def test_lock_and_valid_value_go_to_the_signer_with_the_vote():
    core = prevoted()
    actions = verified(core, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A))
    assert of_kind(actions, SignVote) == [SignVote(1, 0, PRECOMMIT, A, 0, A, 0, A)]


def test_a_signature_that_was_not_asked_for_changes_nothing():
    core = core_of(4)
    core.step(TimedOut(1, 0, Step.PROPOSE))
    before = core.fingerprint()
    for vote in (
        make_vote(4, PREVOTE, 0, A),
        make_vote(4, PRECOMMIT, 0, None),
        make_vote(4, PREVOTE, 1, None),
        make_vote(3, PREVOTE, 0, None),
        make_vote(4, PREVOTE, 0, None, 2),
    ):
        assert core.step(Signed(vote)) == []
    assert core.step(Signed(make_proposal(4, 0, A))) == []
    assert core.fingerprint() == before


def test_a_guard_that_refuses_leaves_the_validator_silent_at_that_place_only():
    core = core_of(4)
    core.step(TimedOut(1, 0, Step.PROPOSE))
    assert core.step(SigningFailed(1, 0, Step.PRECOMMIT)) == [], "another place"
    assert core.step(SigningFailed(1, 0, Step.PREVOTE)) == []
    actions = verified(core, *[make_vote(n, PREVOTE, 0, None) for n in (1, 2, 3)])
    assert [vote.type for vote in of_kind(actions, SignVote)] == [PRECOMMIT]


def test_what_waits_to_be_signed_is_forgotten_with_its_round():
    core = core_of(4)
    core.step(TimedOut(1, 0, Step.PROPOSE))
    verified(core, *[make_vote(n, PREVOTE, 0, None) for n in (1, 2, 3)])
    assert [type(wanted).__name__ for wanted in core.state.queue] == ["Precommit"]
    verified(core, make_vote(1, PREVOTE, 1, None), make_vote(2, PREVOTE, 1, None))
    assert core.round == 1
    assert core.state.queue == ()


# -- lock ------------------------------------------------------------------------------------------


def test_a_locked_validator_prevotes_nil_for_another_block_and_its_own_for_a_newer_proof():
    core = prevoted()
    sign_all(core, verified(core, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A)))
    verified(core, *[make_vote(n, PRECOMMIT, 0, None) for n in (1, 2, 3)])
    sign_all(core, core.step(TimedOut(1, 0, Step.PRECOMMIT)))
    assert core.round == 1
    verified(core, make_proposal(2, 1, B))
    actions = core.step(BlockChecked(1, 1, B, True, True))
    assert of_kind(actions, SignVote)[0].block_hash is None
    sign_all(core, actions)
    verified(core, *[make_vote(n, PREVOTE, 1, B) for n in (1, 2, 3)])
    driver = core.state.driver
    assert driver is not None
    assert (driver.state.locked, driver.state.locked_round) == (B, 1), "a polka of a later round moves it"


def test_a_hidden_lock_is_found_by_the_votes_that_made_it():
    """Validator 1 alone saw the polka for a. The others learn of it by the prevotes, not by its word."""
    core = prevoted(None, proposal=False)
    sign_all(core, core.step(TimedOut(1, 0, Step.PREVOTE)))
    verified(core, *[make_vote(n, PRECOMMIT, 0, None) for n in (2, 3)])
    sign_all(core, verified(core, *[make_vote(n, PREVOTE, 1, None) for n in (2, 3)]))
    assert core.round == 1
    verified(core, make_proposal(2, 1, A, pol_round=0))
    core.step(BlockChecked(1, 1, A, True, False))
    assert core.round_step == Step.PROPOSE, "no proof yet: it waits"
    actions = verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert of_kind(actions, SignVote)[0].block_hash == A, "and timeliness is no matter of a re-proposal"


def test_a_block_that_came_too_late_is_not_prevoted_but_a_polka_for_it_is_precommitted():
    core = core_of(4)
    verified(core, make_proposal(1, 0, A))
    actions = core.step(BlockChecked(1, 0, A, True, False))
    assert of_kind(actions, SignVote)[0].block_hash is None
    sign_all(core, actions)
    actions = verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert of_kind(actions, SignVote)[0] == SignVote(1, 0, PRECOMMIT, A, 0, A, 0, A)


def test_an_invalid_block_is_never_locked_or_decided_whatever_others_say():
    core = core_of(4)
    verified(core, make_proposal(1, 0, A))
    sign_all(core, core.step(BlockChecked(1, 0, A, False, True)))
    actions = verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert not of_kind(actions, SignVote)
    actions += verified(core, *[make_vote(n, PRECOMMIT, 0, A) for n in (1, 2, 3)])
    actions += verified(core, make_commit(FOUR, 0, A))
    assert not of_kind(actions, Decide)


def test_a_block_without_its_body_waits_and_goes_on_when_it_comes():
    core = core_of(4)
    actions = verified(core, make_proposal(1, 0, A))
    assert of_kind(actions, CheckBlock) == [CheckBlock(1, 0, A, True)]
    sign_all(core, core.step(TimedOut(1, 0, Step.PROPOSE)))
    actions = verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert not of_kind(actions, CheckBlock), "asked once"
    actions = core.step(BlockChecked(1, 0, A, True, True))
    assert of_kind(actions, SignVote)[0].block_hash == A


def test_a_proposer_who_sent_different_proposals_splits_nobody_off():
    core = core_of(4)
    verified(core, make_proposal(1, 0, B))
    sign_all(core, core.step(BlockChecked(1, 0, B, True, True)))
    actions = verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert of_kind(actions, CheckBlock) == [CheckBlock(1, 0, A, True)]
    actions = core.step(BlockChecked(1, 0, A, True, True))
    assert of_kind(actions, SignVote)[0].block_hash == A


# -- decisions ----------------------------------------------------------------------------------------


def test_a_commit_decides_at_once_after_its_verification_and_only_with_two_thirds():
    commit = make_commit(FOUR, 3, A, absent=(2,))
    core = core_of(None)
    assert core.step(Received("p", commit)) == [Verify("p", commit)]
    assert core.step(Verified("p", commit)) == [Decide(commit)]
    core = core_of(None)
    weak = make_commit(FOUR, 3, A, absent=(2, 3))
    assert core.step(Received("p", weak)) == [Punish("p", "a commit without 2/3 of the power")]
    assert core.step(Verified("p", weak)) == []


@pytest.mark.parametrize("damage", ["order", "count", "stranger", "flag", "signature of nobody"])
def test_a_commit_is_checked_by_address_and_nil_and_absent_are_different(damage):
    commit = make_commit(FOUR, 0, A)
    entries = list(commit.signatures)
    if damage == "order":
        entries[0], entries[1] = entries[1], entries[0]
    elif damage == "count":
        entries.pop()
    elif damage == "stranger":
        entries[3] = entries[3]._replace(address=address_of(9))
    elif damage == "flag":
        entries[3] = entries[3]._replace(flag=3)
    else:
        entries[3] = entries[3]._replace(flag=0)
    bad = commit._replace(signatures=tuple(entries))
    core = core_of(None)
    assert of_kind(core.step(Received("p", bad)), Punish)
    assert core.step(Verified("p", bad)) == []


def test_nil_precommits_are_no_votes_for_the_block():
    commit = make_commit(FOUR, 0, A)
    entries = [e._replace(flag=2) if e.address[0] > 2 else e for e in commit.signatures]
    core = core_of(None)
    assert of_kind(core.step(Received("p", commit._replace(signatures=tuple(entries)))), Punish)


def test_a_decision_waits_for_the_body_of_a_block_that_nobody_showed_us():
    core = core_of(None)
    actions = verified(core, *[make_vote(n, PRECOMMIT, 2, A) for n in (1, 2, 3)])
    assert of_kind(actions, CheckBlock)[0][1:3] == (2, A)
    actions = core.step(BlockChecked(1, 2, A, True, False))
    assert [decision.commit.round for decision in of_kind(actions, Decide)] == [2]


def test_after_a_decision_nothing_counts_until_the_next_height_and_what_came_early_counts_then():
    core = core_of(4)
    core.step(Verified("p", make_commit(FOUR, 0, A)))
    early = [make_proposal(2, 0, B, height=2), make_vote(1, PREVOTE, 0, B, 2)]
    for message in early:
        assert core.step(Received("q", message)) == []
    assert core.step(Received("q", make_vote(1, PRECOMMIT, 0, A))) == [], "late"
    assert core.step(TimedOut(1, 0, Step.PROPOSE)) == []
    actions = core.step(NewHeight(2, FOUR.increment()))
    assert of_kind(actions, Verify) == [Verify("q", message) for message in early]
    assert core.state.last_commit == make_commit(FOUR, 0, A)


def test_heights_never_go_back():
    core = core_of(4, height=7)
    before = core.fingerprint()
    assert core.step(NewHeight(7, FOUR)) == []
    assert core.step(NewHeight(3, FOUR)) == []
    assert core.fingerprint() == before


# -- restart -------------------------------------------------------------------------------------------


def replayed(core: Core, log) -> Core:
    again = Core(core.chain_id, core.own_address)
    for event in log:
        if is_durable(event) or isinstance(event, NewHeight):
            again.step(event)
    return again


def test_wal_replay_reproduces_the_state_at_every_step_and_resume_asks_for_what_was_under_way():
    network = Network(1, 1, 1, 1)
    network.begin(1)
    network.deliver()
    for node in network.nodes:
        live = Core(CHAIN, node.address)
        for at, event in enumerate(node.log):
            live.step(event)
            again = replayed(live, node.log[: at + 1])
            assert again.state == live.state
            asked = again.resume()
            if live.state.signing is not None:
                assert asked[-1] == live.state.signing
            if live.state.decided is not None:
                assert asked == [Decide(live.state.decided)]
            for action in of_kind(asked, SignVote):
                if action.type == PRECOMMIT and action.block_hash:
                    assert KeepBody(action.block_hash) in asked


def test_a_restart_repeats_its_own_messages_after_a_flush_and_starts_its_timeouts_anew():
    core = prevoted()
    verified(core, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A))
    core.step(Signed(make_vote(4, PRECOMMIT, 0, A)))
    actions = core.resume()
    assert of_kind(actions, Send) == [
        Send(make_vote(4, PREVOTE, 0, A), True),
        Send(make_vote(4, PRECOMMIT, 0, A), True),
    ]
    assert actions.index(Flush()) < actions.index(of_kind(actions, Send)[0])
    assert StartTimeout(1, 0, Step.PROPOSE) in actions


def test_a_lost_log_is_no_amnesia_the_signers_lock_is_recalled():
    core = core_of(4)
    actions = core.step(Recalled(1, 2, 2, A, 2, A))
    driver = core.state.driver
    assert driver is not None
    assert (core.round, driver.state.locked, driver.state.locked_round) == (2, A, 2)
    assert Stepped(1, 2, Step.PROPOSE) in actions
    verified(core, make_proposal(3, 2, B))
    actions = core.step(BlockChecked(1, 2, B, True, True))
    assert of_kind(actions, SignVote) == [SignVote(1, 2, PREVOTE, None, 2, A, 2, A)]


def test_an_older_memory_changes_nothing_and_a_memory_without_a_lock_moves_no_round():
    core = prevoted()
    verified(core, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A))
    before = core.fingerprint()
    for event in (
        Recalled(1, 0, 0, A, 0, A),
        Recalled(1, 1_000, -1, None, -1, None),
        Recalled(2, 5, 5, B, 5, B),
        Recalled(1, 1, 3, B, 3, B),
    ):
        assert core.step(event) == []
    assert core.fingerprint() == before


def test_who_decides_alone_leaves_the_round_in_which_he_cannot_speak_again():
    core = core_of(1, validator_set(1))
    actions = core.step(Recalled(1, 4, 2, A, 2, A))
    assert core.round == 5
    assert of_kind(actions, SignProposal) == [SignProposal(1, 5, 2, A)]


def test_a_lock_that_no_round_can_reach_makes_the_node_silent_rather_than_forgetful():
    core = core_of(4)
    far = MAX_RECALLED_ROUND + 1
    assert core.step(Recalled(1, far, far, A, far, A)) == []
    actions = core.step(TimedOut(1, 0, Step.PROPOSE))
    assert not of_kind(actions, SignVote)


def test_a_corrupt_log_means_following_without_signing_until_the_height_is_decided():
    core = Core(CHAIN, address_of(1))
    actions = core.step(NewHeight(1, FOUR, False))
    assert not of_kind(actions, BuildBlock | SignProposal)
    actions += verified(core, make_proposal(1, 0, A))
    actions += core.step(BlockChecked(1, 0, A, True, True))
    actions += verified(core, *[make_vote(n, PREVOTE, 0, A) for n in (1, 2, 3)])
    assert not of_kind(actions, SignVote)
    actions = verified(core, *[make_vote(n, PRECOMMIT, 0, A) for n in (2, 3, 4)])
    assert of_kind(actions, Decide)
    actions = core.step(NewHeight(2, FOUR))
    assert of_kind(actions, BuildBlock), "then it takes part again"


# -- peers -------------------------------------------------------------------------------------------


def test_each_message_is_passed_on_once_and_never_before_it_is_verified():
    core = core_of(4)
    vote = make_vote(1, PREVOTE, 0, A)
    assert core.step(Received("p", vote)) == [Verify("p", vote)]
    assert core.step(Received("q", vote)) == [], "is being verified"
    assert core.step(Verified("p", vote)) == [Send(vote, False)]
    assert core.step(Verified("q", vote)) == []
    assert core.step(Received("r", vote)) == [], "is known"


def test_garbage_under_a_good_name_never_takes_the_place_of_the_real_vote():
    core = core_of(4)
    good, bad = make_vote(1, PREVOTE, 0, A), make_vote(1, PREVOTE, 0, A, good=False)
    assert core.step(Received("mallory", bad)) == [Verify("mallory", bad)]
    assert core.step(Received("p", good)) == []
    assert core.step(Refused("mallory", bad)) == [
        Punish("mallory", "a message with a bad signature"),
        Verify("p", good),
    ]
    assert core.step(Verified("p", good)) == [Send(good, False)]


def test_only_what_no_honest_node_sends_is_punished():
    core = core_of(4)
    harmless = [
        make_vote(1, PREVOTE, 0, A, 9),
        make_vote(1, PREVOTE, 2_000_000, A),
        make_proposal(3, 60, A),
        make_commit(FOUR, 0, A, height=5),
        make_vote(1, PREVOTE, 0, A, 0),
    ]
    for message in harmless:
        assert core.step(Received("p", message)) == []
    for message in (
        make_vote(9, PREVOTE, 0, A),
        make_vote(1, 3, 0, A),
        make_proposal(2, 0, A),
        make_proposal(2, 1, A, pol_round=1),
        make_proposal(2, 1, A, pol_round=-2),
    ):
        assert len(of_kind(core.step(Received("p", message)), Punish)) == 1


def test_a_flood_of_one_peer_is_bounded_and_leaves_room_for_the_others():
    core = core_of(4)
    for number in range(20_000):
        core.step(Received("mallory", make_vote(1 + number % 4, PREVOTE, 0, block(number))))
        core.step(Received("mallory", make_vote(1 + number % 4, PREVOTE, 0, block(number), 2)))
    assert core.inbox.asked < 4_000
    assert core.inbox.ahead <= 16
    vote = make_vote(2, PREVOTE, 1, A)
    assert core.step(Received("p", vote)) == [Verify("p", vote)]
    core.step(Received("p", make_vote(2, PREVOTE, 1, B, 2)))
    core.inbox.forget("mallory")
    assert core.inbox.ahead == 1


def test_conflicting_votes_are_reported_once_and_the_second_is_not_passed_on():
    core = core_of(4)
    verified(core, make_vote(1, PREVOTE, 0, A))
    actions = verified(core, make_vote(1, PREVOTE, 0, B))
    assert len(of_kind(actions, ReportEvidence)) == 1
    assert not of_kind(actions, Send)
    assert core.step(Received("p", make_vote(1, PREVOTE, 0, block("c")))) == []


def test_an_f_plus_one_in_a_later_round_takes_everybody_there():
    core = core_of(4)
    actions = verified(core, make_vote(1, PREVOTE, 5, A), make_vote(2, PRECOMMIT, 5, None))
    assert Stepped(1, 5, Step.PROPOSE) in actions
    assert StartTimeout(1, 5, Step.PROPOSE) in actions


# -- plain data ---------------------------------------------------------------------------------------


def test_a_copy_is_equal_and_goes_its_own_way():
    core = prevoted()
    copy = core.copy()
    assert copy.state == core.state
    before = core.fingerprint()
    verified(copy, make_vote(1, PREVOTE, 0, A), make_vote(2, PREVOTE, 0, A))
    copy.step(Received("p", make_vote(3, PREVOTE, 0, A)))
    assert core.fingerprint() == before
    assert copy.state != core.state
    assert core.inbox.asked == 0


def test_the_fingerprint_does_not_depend_on_the_hash_seed():
    program = (
        "from tests.consensus.network import Network\n"
        "network = Network(3, 2, 2, 1)\n"
        "for height in range(1, 4):\n"
        "    network.begin(height); network.deliver()\n"
        "print(network.nodes[0].core.fingerprint().hex())"
    )
    root = Path(__file__).parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1


# -- arbitrary events -----------------------------------------------------------------------------------

NUMBERS = st.integers(1, 5)
ROUNDS = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 40, 1_500, 2**32 - 1])
HEIGHTS = st.sampled_from([1, 1, 1, 1, 2, 3, 0])
BLOCKS = st.sampled_from([A, B, block("c")])
TYPES = st.sampled_from([PREVOTE, PRECOMMIT, PREVOTE, PRECOMMIT, 0, 9])
STEPS = st.sampled_from(list(Step))
MESSAGES = st.one_of(
    st.builds(make_vote, NUMBERS, TYPES, ROUNDS, st.none() | BLOCKS, HEIGHTS, good=st.booleans()),
    st.builds(make_proposal, NUMBERS, ROUNDS, BLOCKS, st.integers(-2, 4), HEIGHTS),
    st.builds(
        make_commit,
        st.sampled_from([FOUR, validator_set(1, 2)]),
        ROUNDS,
        BLOCKS,
        st.lists(NUMBERS, max_size=2).map(tuple),
        HEIGHTS,
    ),
)
PEERS = st.sampled_from(["p", "q"])
EVENTS = st.one_of(
    st.builds(
        NewHeight, HEIGHTS, st.sampled_from([FOUR, FOUR.increment(), validator_set(2, 1)]), st.booleans()
    ),
    st.builds(Received, PEERS, MESSAGES),
    st.builds(Verified, PEERS, MESSAGES),
    st.builds(Verified, PEERS, MESSAGES),
    st.builds(Refused, PEERS, MESSAGES),
    st.builds(BlockBuilt, HEIGHTS, ROUNDS, BLOCKS),
    st.builds(BlockChecked, HEIGHTS, ROUNDS, BLOCKS, st.booleans(), st.booleans()),
    st.builds(TimedOut, HEIGHTS, ROUNDS, STEPS),
    st.builds(SigningFailed, HEIGHTS, ROUNDS, STEPS),
    st.builds(
        Recalled,
        HEIGHTS,
        ROUNDS,
        st.integers(-1, 3),
        st.none() | BLOCKS,
        st.integers(-1, 3),
        st.none() | BLOCKS,
    ),
    st.just("answer"),
    st.just("answer"),
    st.just("answer"),
)


@given(st.sampled_from([1, 4, None]), st.lists(EVENTS, max_size=60))
def test_no_sequence_of_events_raises_or_breaks_a_rule(number, events):
    """`answer` signs what is asked, so votes of ours take part; everything else is arbitrary."""
    core = Core(CHAIN, None if number is None else address_of(number))
    log: list[Event] = []
    cast: dict[tuple[int, int, int], bytes | None] = {}
    decided: dict[int, Commit] = {}
    pending: SignVote | SignProposal | None = None
    core.step(NewHeight(1, FOUR))
    log.append(NewHeight(1, FOUR))
    for event in events:
        if event == "answer":
            if pending is None:
                continue
            event, pending = sign(pending, core.own_address), None
        log.append(event)
        actions = core.step(event)
        for at, action in enumerate(actions):
            if isinstance(action, SignVote | SignProposal):
                assert core.own_address is not None
                pending = action
                place = (action.height, action.round, getattr(action, "type", 0))
                assert cast.setdefault(place, action.block_hash) == action.block_hash
                assert actions[at - 1] == Flush()
            elif isinstance(action, Send) and action.own:
                assert event == Signed(action.message)
            elif isinstance(action, Decide):
                assert decided.setdefault(action.commit.height, action.commit) == action.commit
            elif isinstance(action, BlockChecked):
                pytest.fail("an event came out")
    again = replayed(core, log)
    assert again.state == core.state
    assert again.fingerprint() == core.fingerprint()
