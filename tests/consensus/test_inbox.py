"""The waiting rooms in front of the core: one verification for each statement, bounds for each peer."""

from __future__ import annotations

from consensus.inbox import MAX_PEERS, PEER_BYTES, Inbox, Waiting, size_of
from qenex.block import PREVOTE
from tests.consensus.network import block, make_commit, make_proposal, make_vote, validator_set

A = block("a")
VOTE = make_vote(1, PREVOTE, 0, A)


def other_bytes(number: int):
    return VOTE._replace(signature=number.to_bytes(4, "big"))


def test_one_statement_is_verified_once_at_a_time_and_the_next_copy_after_a_bad_one():
    inbox = Inbox()
    assert inbox.ask("a", other_bytes(1))
    assert not inbox.ask("b", other_bytes(1)), "the same bytes"
    assert not inbox.ask("b", other_bytes(2))
    assert not inbox.ask("c", VOTE)
    assert inbox.settle(VOTE, good=False) is None, "not the one that was asked"
    assert inbox.settle(other_bytes(1), good=False) == Waiting("b", other_bytes(2))
    assert inbox.settle(other_bytes(2), good=False) == Waiting("c", VOTE)
    assert inbox.settle(VOTE, good=True) is None
    assert inbox.asked == 0
    assert inbox.ask("a", VOTE), "everything was given back"


def test_proposals_of_one_block_with_another_proof_of_lock_are_two_statements():
    inbox = Inbox()
    assert inbox.ask("a", make_proposal(1, 3, A, 1))
    assert inbox.ask("a", make_proposal(1, 3, A, 2))
    assert inbox.ask("a", make_commit(validator_set(1, 1), 0, A))


def test_a_peer_has_so_many_bytes_and_gets_them_back():
    inbox = Inbox()
    fits = PEER_BYTES // size_of(other_bytes(0)._replace(round=0))
    taken = sum(inbox.ask("a", other_bytes(0)._replace(round=round)) for round in range(2 * fits))
    assert taken == fits
    assert inbox.ask("b", make_vote(2, PREVOTE, 0, A))
    for round in range(fits):
        inbox.settle(other_bytes(0)._replace(round=round), good=True)
    assert inbox.ask("a", other_bytes(7)._replace(round=9_999))


def test_so_many_peers_have_something_waiting():
    inbox = Inbox()
    for number in range(MAX_PEERS):
        assert inbox.ask(str(number), other_bytes(0)._replace(round=number))
    assert not inbox.ask("one more", VOTE)


def test_early_messages_are_kept_one_for_each_place_and_handed_over_once():
    inbox = Inbox()
    for message in (VOTE, other_bytes(3), make_vote(1, PREVOTE, 1, A), make_vote(1, PREVOTE, 2, A)):
        inbox.keep_ahead("a", message)
    inbox.keep_ahead("b", VOTE)
    inbox.ask("a", VOTE)
    copy = inbox.copy()
    assert inbox.take_ahead() == [
        Waiting("a", VOTE),
        Waiting("a", make_vote(1, PREVOTE, 1, A)),
        Waiting("b", VOTE),
    ]
    assert (inbox.take_ahead(), inbox.asked) == ([], 0)
    copy.forget("a")
    assert (copy.ahead, copy.asked) == (1, 1)
