"""Proposals from deposit to execution, the guardian, polls: what is decided by whom, and what is refused by name."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.farming import Farming
from defi_modules.governance import Governance, quadratic_tally
from defi_modules.governance.types import (
    CANCELLED,
    EXECUTED,
    FAILED,
    NO_QUORUM,
    QUEUED,
    REJECTED,
    VETOED,
    VOTING,
)
from defi_modules.oracle import Oracle
from defi_modules.staking import MAIN, Staking, StakingParams, bonds_to_json
from qenex.block import Receipt
from qenex.crypto import encode_address, module_address
from qenex.errors import (
    AlreadyVoted,
    BallotOverBudget,
    DepositTooSmall,
    GuardianSpent,
    InvalidOption,
    InvalidParameters,
    InvalidProposal,
    ModulePaused,
    NotAnIdentity,
    NotGuardian,
    NotPausable,
    NoVotingPower,
    ProposalNotOpen,
    TooManyProposals,
    UnknownModule,
    UnknownProposal,
    UpgradeNotPlanned,
)
from tests.vm.chain import ACTORS, Actor, Chain

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
VAL1, VAL2, VAL3 = [Actor(200 + number) for number in range(3)]
KEYS = {actor: Actor(300 + number) for number, actor in enumerate((VAL1, VAL2, VAL3))}
QX = 10**9
DEPOSIT = ("QXC", 10 * QX)
TREASURY = module_address("governance")


class Parliament(Chain):
    """Three validators with 1,000 QXC each; votes last 100 s, the timelock 50 s; Dave is the guardian."""

    def __init__(self, **governance: Any) -> None:
        listed = [(actor.address, f"v{n}", 1_000 * QX) for n, actor in enumerate(KEYS)]
        bonds, balance, powers = bonds_to_json(listed, StakingParams())
        given = {
            "min_deposit": 10 * QX,
            "voting_period_s": 100,
            "expedited_period_s": 20,
            "timelock_s": 50,
            "expedited_timelock_s": 10,
            "guardian": encode_address(DAVE.address),
            "guardian_pause_s": 30,
            "guardian_rest_s": 1_000,
            **governance,
        }
        super().__init__(
            Oracle,
            Staking,
            Governance,
            Farming,
            parameters={"machine": {"max_block_gas": 10**9}, "governance": given},
            actors=[*ACTORS, *KEYS],
            balances=[(MAIN, "QXC", int(balance["amount"]))],
            validators=[(a.address, KEYS[a].key, p) for a, p in zip(KEYS, powers, strict=True)],
            data={"staking": {"bonds": bonds}},
        )
        self.run()

    def do(self, actor: Actor, name: str, *args: Any) -> Receipt:
        return self.send_block(actor, (name, args))

    def gov(self, actor: Actor, name: str, *args: Any) -> Receipt:
        return self.do(actor, f"governance.{name}", *args)

    def propose(self, changes: dict[str, Any] | None = None, expedited: bool = False) -> int:
        text = json.dumps(changes or {"hook_items": 7})
        receipt = self.gov(ALICE, "propose_parameters", "farming", text, "why", DEPOSIT, expedited)
        assert receipt.status == 0, receipt
        return int(receipt.results[0][0])

    def later(self, seconds: int) -> None:
        """An empty block so much later, and one after it (where what is due begins)."""
        self.time += seconds * 10**9
        self.run()
        self.run()

    def proposal(self, number: int = 1) -> Any:
        return self.query("governance.get_proposal", number).proposal

    def vote(self, number: int, choice: str, *actors: Actor) -> None:
        for actor in actors:
            assert self.gov(actor, "vote", number, choice).status == 0


def hook_items(chain: Parliament) -> int:
    return int(chain.machine.export_genesis(chain.base)["parameters"]["farming"]["hook_items"])


def test_a_parameter_change_is_voted_on_waits_and_takes_effect() -> None:
    chain = Parliament()
    before = chain.balance(ALICE.address)
    number = chain.propose()
    assert chain.balance(TREASURY) == 10 * QX
    chain.vote(number, "yes", VAL1, VAL2)
    assert chain.proposal().status == VOTING
    chain.later(100)
    assert chain.proposal().status == QUEUED
    assert hook_items(chain) == 500, "not before the timelock is over"
    chain.later(50)
    assert chain.proposal().status == EXECUTED
    assert hook_items(chain) == 7
    assert chain.balance(TREASURY) == 0
    assert before - chain.balance(ALICE.address) < QX, "the deposit came back"
    assert chain.problems() == []


@pytest.mark.parametrize(
    ("votes", "status"),
    [
        ({}, NO_QUORUM),
        ({VAL1: "yes"}, NO_QUORUM),
        ({VAL1: "yes", VAL2: "no"}, REJECTED),
        ({VAL1: "yes", VAL2: "yes", VAL3: "no"}, QUEUED),
        ({VAL1: "yes", VAL2: "abstain"}, QUEUED),
        ({VAL1: "yes", VAL2: "yes", VAL3: "veto"}, QUEUED),
        ({VAL1: "yes", VAL2: "veto"}, VETOED),
    ],
)
def test_outcomes_and_where_the_deposit_goes(votes: dict[Actor, str], status: int) -> None:
    chain = Parliament()
    number = chain.propose()
    for actor, choice in votes.items():
        chain.vote(number, choice, actor)
    chain.later(100)
    assert chain.proposal().status == status
    assert chain.balance(TREASURY) == (10 * QX if status in (QUEUED, VETOED) else 0)
    assert chain.problems() == []


def test_a_malicious_proposal_that_passed_is_cancelled_while_it_waits() -> None:
    chain = Parliament()
    number = chain.propose()
    chain.vote(number, "yes", VAL1, VAL2)
    assert chain.gov(VAL3, "object", number).status == ProposalNotOpen.code
    chain.later(100)
    assert chain.gov(VAL3, "object", number).status == 0
    assert chain.proposal().status == QUEUED, "a third is not more than 33.4%"
    assert chain.gov(VAL3, "object", number).status == AlreadyVoted.code
    assert chain.gov(VAL2, "object", number).status == 0
    assert chain.proposal().status == CANCELLED
    chain.later(60)
    assert hook_items(chain) == 500
    assert chain.balance(TREASURY) == 0
    assert chain.problems() == []


def test_delegators_speak_for_themselves_before_or_after_their_validator() -> None:
    chain = Parliament()
    assert chain.do(BOB, "staking.delegate", VAL1.address, 500 * QX).status == 0
    assert chain.do(CAROL, "staking.delegate", VAL1.address, 300 * QX).status == 0
    chain.run()
    number = chain.propose()
    assert chain.gov(BOB, "vote", number, "no").status == 0
    assert chain.proposal().tally == (0, 500 * QX, 0, 0)
    assert chain.gov(VAL1, "vote", number, "yes").status == 0
    assert chain.proposal().tally == (1_300 * QX, 500 * QX, 0, 0), "his own and Carol's"
    assert chain.gov(CAROL, "vote", number, "veto").status == 0
    assert chain.proposal().tally == (1_000 * QX, 500 * QX, 0, 300 * QX)
    for actor in (BOB, VAL1, CAROL):
        assert chain.gov(actor, "vote", number, "yes").status == AlreadyVoted.code
    assert chain.query("governance.get_ballot", number, VAL1.address).inherited == 0
    assert chain.problems() == []


def test_what_was_delegated_in_the_block_before_a_proposal_votes() -> None:
    chain = Parliament()
    assert chain.do(BOB, "staking.delegate", VAL1.address, 500 * QX).status == 0
    number = chain.propose()
    assert chain.proposal().total_power == 3_500 * QX
    chain.vote(number, "no", BOB)
    assert chain.proposal().tally == (0, 500 * QX, 0, 0)


def test_a_vote_in_the_block_that_ends_the_vote_is_too_late() -> None:
    chain = Parliament()
    number = chain.propose()
    chain.vote(number, "yes", VAL1, VAL2)
    chain.time = chain.proposal().voting_end_s * 10**9 - 2 * 10**8
    chain.vote(number, "abstain", VAL3)
    chain.time = chain.proposal().voting_end_s * 10**9
    assert chain.gov(BOB, "vote", number, "veto").status == ProposalNotOpen.code, (
        "its own hook comes after it"
    )
    assert chain.proposal().status == QUEUED


def test_objections_of_exactly_the_veto_do_not_cancel() -> None:
    chain = Parliament(veto_bps=2_500)
    assert chain.do(BOB, "staking.delegate", VAL1.address, 1_000 * QX).status == 0
    number = chain.propose()
    chain.vote(number, "yes", VAL1, VAL2)
    chain.later(100)
    assert chain.gov(VAL3, "object", number).status == 0
    assert chain.proposal().status == QUEUED, "a quarter is not more than a quarter"
    assert chain.gov(BOB, "object", number).status == 0
    assert chain.proposal().status == CANCELLED


def test_what_is_delegated_after_a_proposal_is_visible_votes_on_nothing() -> None:
    """Flash-loan voting: power is from before."""
    chain = Parliament()
    number = chain.propose()
    chain.do(BOB, "staking.delegate", VAL1.address, 5_000 * QX)
    assert chain.gov(BOB, "vote", number, "yes").status == NoVotingPower.code
    both = chain.send_block(
        CAROL,
        ("staking.delegate", (VAL1.address, 5_000 * QX)),
        ("governance.propose_text", ("now", DEPOSIT)),
        ("governance.vote", (2, "yes")),
    )
    assert both.status == NoVotingPower.code
    assert chain.proposal().total_power == 3_000 * QX


@pytest.mark.parametrize(
    ("module", "changes", "error"),
    [
        ("nothing", '{"a": 1}', UnknownModule),
        ("farming", "{}", InvalidParameters),
        ("farming", "[]", InvalidParameters),
        ("farming", '{"hook_items": 1.5}', InvalidParameters),
        ("farming", '{"hook_items": NaN}', InvalidParameters),
        ("farming", '{"hook_items": 0}', InvalidParameters),
        ("farming", '{"hook_items": 1001}', InvalidParameters),
        ("farming", '{"nothing": 1}', InvalidParameters),
        ("farming", "x" * 50, InvalidParameters),
        ("governance", '{"guardian": "qx1q"}', InvalidParameters),
    ],
)
def test_parameters_out_of_range_are_refused_at_submission(module: str, changes: str, error: Any) -> None:
    chain = Parliament()
    receipt = chain.gov(ALICE, "propose_parameters", module, changes, "why", DEPOSIT, False)
    assert receipt.status == error.code
    assert chain.balance(TREASURY) == 0


def test_a_range_is_named() -> None:
    chain = Parliament()
    block = chain.begin()
    block.execute(
        chain.tx(
            ALICE, ("governance.propose_parameters", ("farming", '{"hook_items": 0}', "w", DEPOSIT, False))
        )
    )
    assert "from 1 to 1000" in str(block.error)


def test_parameters_in_force_are_told_as_they_would_be_proposed() -> None:
    chain = Parliament()
    assert json.loads(chain.query("governance.get_module_parameters", "farming"))["hook_items"] == 500
    chain.vote(chain.propose(), "yes", *KEYS)
    chain.later(100)
    chain.later(50)
    told = json.loads(chain.query("governance.get_module_parameters", "farming"))
    assert told["hook_items"] == 7
    chain.propose(told)
    with pytest.raises(UnknownModule):
        chain.query("governance.get_module_parameters", "nothing")


def test_what_cannot_be_executed_any_more_is_noted_and_harms_nothing() -> None:
    chain = Parliament()
    receipt = chain.gov(ALICE, "propose_spend", BOB.address, ("QXC", 10**9 * QX), "all", DEPOSIT)
    chain.vote(receipt.results[0][0], "yes", *KEYS)
    chain.later(100)
    chain.later(50)
    assert chain.proposal().status == FAILED
    assert chain.proposal().code != 0
    assert chain.problems() == []


def test_a_forfeited_deposit_can_be_spent_by_a_vote() -> None:
    chain = Parliament()
    chain.vote(chain.propose(), "veto", *KEYS)
    chain.later(100)
    assert chain.proposal().status == VETOED
    number = chain.gov(ALICE, "propose_spend", BOB.address, ("QXC", 4 * QX), "pay", DEPOSIT).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(100)
    before = chain.balance(BOB.address)
    chain.later(50)
    assert chain.proposal(number).status == EXECUTED
    assert chain.balance(BOB.address) - before == 4 * QX
    assert chain.balance(TREASURY) == 6 * QX
    assert chain.problems() == []


def test_an_upgrade_is_planned_by_a_vote() -> None:
    chain = Parliament()
    early = chain.gov(ALICE, "propose_upgrade", "two", 10**6, 1, "same version", DEPOSIT)
    assert early.status == InvalidProposal.code
    number = chain.gov(
        ALICE,
        "propose_upgrade",
        "two",
        10**6,
        2,
        "more",
        DEPOSIT,
    ).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(100)
    assert chain.query("machine.get_upgrade") is None
    chain.later(50)
    assert chain.query("machine.get_upgrade") == ("two", 10**6, 2)


def test_a_planned_upgrade_is_dropped_by_a_vote() -> None:
    chain = Parliament()
    action = ("machine", "govern_cancel_upgrade")
    early = chain.gov(ALICE, "propose_action", *action, '{"name": "two"}', "no", DEPOSIT, True)
    assert early.status == UpgradeNotPlanned.code, "it is tried when it is proposed"
    number = chain.gov(ALICE, "propose_upgrade", "two", 10**6, 2, "more", DEPOSIT).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(100)
    chain.later(50)
    assert chain.query("machine.get_upgrade") == ("two", 10**6, 2)
    other = chain.gov(ALICE, "propose_action", *action, '{"name": "three"}', "no", DEPOSIT, True)
    assert other.status == UpgradeNotPlanned.code
    number = chain.gov(ALICE, "propose_action", *action, '{"name": "two"}', "no", DEPOSIT, True).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(20)
    assert chain.query("machine.get_upgrade") is not None
    chain.later(10)
    assert chain.query("machine.get_upgrade") is None
    assert chain.problems() == []


def test_deposits_votes_and_ids_refused_by_name() -> None:
    chain = Parliament(max_open=2)
    assert chain.gov(ALICE, "propose_text", "hi", ("QXC", 10 * QX - 1)).status == DepositTooSmall.code
    assert chain.gov(ALICE, "propose_text", "hi", ("amm/1", 10 * QX)).status == DepositTooSmall.code
    number = chain.propose()
    assert chain.gov(VAL1, "vote", number, "maybe").status == InvalidOption.code
    assert chain.gov(VAL1, "vote", 99, "yes").status == UnknownProposal.code
    assert chain.gov(BOB, "vote", number, "yes").status == NoVotingPower.code
    chain.propose()
    assert chain.gov(ALICE, "propose_text", "hi", DEPOSIT).status == TooManyProposals.code
    chain.later(100)
    assert chain.gov(VAL1, "vote", number, "yes").status == ProposalNotOpen.code
    assert chain.gov(ALICE, "propose_text", "hi", DEPOSIT).status == 0, "places are free again"


# -- the guardian --------------------------------------------------------------------------------------


def test_the_guardian_pauses_for_a_bounded_time_and_cannot_prolong_it() -> None:
    chain = Parliament()
    assert chain.gov(ALICE, "guardian_pause", "farming").status == NotGuardian.code
    for name, error in (("machine", NotPausable), ("governance", NotPausable), ("x", UnknownModule)):
        assert chain.gov(DAVE, "guardian_pause", name).status == error.code
    assert chain.gov(DAVE, "guardian_pause", "farming").status == 0
    now = chain.time // 10**9
    paused = chain.do(BOB, "farming.stake", 1, 5, 0)
    assert paused.status == ModulePaused.code
    assert chain.gov(DAVE, "guardian_pause", "farming").status == GuardianSpent.code
    chain.later(30)
    assert chain.do(BOB, "farming.stake", 1, 5, 0).status != ModulePaused.code, "it ended by itself"
    assert chain.gov(DAVE, "guardian_pause", "farming").status == GuardianSpent.code
    assert chain.query("governance.get_guardian_pause", "farming").again_s >= now + 1_000
    chain.later(1_000)
    assert chain.gov(DAVE, "guardian_pause", "farming").status == 0


def test_a_vote_resumes_what_the_guardian_paused() -> None:
    chain = Parliament(guardian_pause_s=14 * 86_400)
    chain.gov(DAVE, "guardian_pause", "farming")
    number = chain.gov(ALICE, "propose_pause", "farming", True, "go on", DEPOSIT, True).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(20)
    chain.later(10)
    assert chain.proposal(number).status == EXECUTED
    assert chain.do(BOB, "farming.stake", 1, 5, 0).status != ModulePaused.code


def test_a_pause_by_vote_outlives_the_guardians() -> None:
    chain = Parliament(guardian_pause_s=40)
    number = chain.gov(ALICE, "propose_pause", "farming", False, "stop", DEPOSIT, True).results[0][0]
    chain.vote(number, "yes", *KEYS)
    assert chain.gov(DAVE, "guardian_pause", "farming").status == 0
    chain.later(20)
    chain.later(10)
    assert chain.proposal(number).status == EXECUTED
    chain.later(40)
    assert chain.do(BOB, "farming.stake", 1, 5, 0).status == ModulePaused.code, (
        "a vote ends what a vote began"
    )
    assert chain.problems() == []


def test_what_a_vote_resumed_is_not_resumed_again_by_the_end_of_the_guardians_pause() -> None:
    chain = Parliament(guardian_pause_s=100)
    assert chain.gov(DAVE, "guardian_pause", "farming").status == 0
    number = chain.gov(ALICE, "propose_pause", "farming", True, "go on", DEPOSIT, True).results[0][0]
    chain.vote(number, "yes", *KEYS)
    chain.later(20)
    chain.later(10)
    again = chain.gov(ALICE, "propose_pause", "farming", False, "stop", DEPOSIT, True).results[0][0]
    chain.vote(again, "yes", *KEYS)
    chain.later(20)
    chain.later(10)
    chain.later(60)
    assert chain.do(BOB, "farming.stake", 1, 5, 0).status == ModulePaused.code
    assert "governance.guardian_pause_ended" not in [e.name for e in chain.results[-2].end_events]


# -- polls -----------------------------------------------------------------------------------------------


def test_a_poll_has_one_budget_for_each_identity() -> None:
    chain = Parliament(credentialed=[encode_address(CAROL.address)])
    assert chain.gov(BOB, "open_poll", "what?", ("a", "b"), 100).status == NotAnIdentity.code
    assert chain.gov(CAROL, "open_poll", "what?", ("a", "a"), 100).status == InvalidProposal.code
    assert chain.gov(CAROL, "open_poll", "what?", ("a", "b"), 4).status == InvalidProposal.code
    assert chain.gov(CAROL, "open_poll", "what?", ("a", "b"), 100).status == 0
    for spent in ((101, 0), (50, 51), (100,) * 3):
        assert chain.gov(VAL1, "cast_ballot", 1, spent).status == BallotOverBudget.code
    assert chain.gov(VAL1, "cast_ballot", 1, (81, 19)).status == 0
    assert chain.gov(VAL1, "cast_ballot", 1, (1, 1)).status == AlreadyVoted.code
    assert chain.gov(CAROL, "cast_ballot", 1, (0, 100)).status == 0
    assert chain.gov(BOB, "cast_ballot", 1, (1, 1)).status == NotAnIdentity.code
    assert chain.gov(VAL2, "cast_ballot", 2, (1, 1)).status == UnknownProposal.code
    poll = chain.query("governance.get_poll", 1).poll
    assert poll.votes == quadratic_tally([(81, 19), (0, 100)], 2, 100) == (9, 14)
    chain.later(100)
    assert chain.gov(VAL2, "cast_ballot", 1, (1, 1)).status == ProposalNotOpen.code
    assert chain.query("governance.list_polls", None, None).items[0].poll.ballots == 2


# -- histories ---------------------------------------------------------------------------------------------


def slow_outcome(votes: dict[str, int], total: int) -> int:
    """What a vote comes to, by exact fractions."""
    voted = sum(votes.values())
    opinions = voted - votes["abstain"]
    if not voted or Fraction(voted, total) < Fraction(334, 1_000):
        return NO_QUORUM
    if Fraction(votes["veto"], voted) > Fraction(334, 1_000):
        return VETOED
    return QUEUED if opinions and Fraction(votes["yes"], opinions) > Fraction(1, 2) else REJECTED


@given(data=st.data())
def test_tallies_equal_a_slow_reference_over_random_votes(data: st.DataObject) -> None:
    chain = Parliament()
    people = [ALICE, BOB, CAROL]
    delegated: dict[Actor, list[tuple[Actor, int]]] = {v: [(v, 1_000 * QX)] for v in KEYS}
    for person in people:
        delegated[person] = []
        for validator in data.draw(st.lists(st.sampled_from(list(KEYS)), max_size=2, unique_by=id)):
            amount = data.draw(st.integers(1, 900)) * QX
            assert chain.do(person, "staking.delegate", validator.address, amount).status == 0
            delegated[person].append((validator, amount))
    chain.run()
    number = chain.propose()
    said: dict[Actor, str] = {}
    voters = data.draw(st.permutations([*KEYS, *people]))
    for voter in voters[: data.draw(st.integers(0, 6))]:
        choice = data.draw(st.sampled_from(["yes", "no", "abstain", "veto"]))
        if chain.gov(voter, "vote", number, choice).status == 0:
            said[voter] = choice
    expected = {"yes": 0, "no": 0, "abstain": 0, "veto": 0}
    for owner, parts in delegated.items():
        for validator, amount in parts:
            choice = said.get(owner, said.get(validator, ""))
            if choice:
                expected[choice] += amount
    assert tuple(chain.proposal(number).tally) == tuple(expected.values())
    chain.later(100)
    assert chain.problems() == []
    total = sum([amount for parts in delegated.values() for _, amount in parts])
    assert chain.proposal(number).status == slow_outcome(expected, total)
    assert chain.balance(TREASURY) == (10 * QX if chain.proposal(number).status in (QUEUED, VETOED) else 0)
    if chain.proposal(number).status == QUEUED:
        objected: list[Actor] = []
        for voter in data.draw(st.permutations([*KEYS, *people]))[: data.draw(st.integers(0, 6))]:
            if chain.gov(voter, "object", number).status == 0:
                objected.append(voter)
            against = [
                amount
                for owner, parts in delegated.items()
                for validator, amount in parts
                if owner in objected or validator in objected
            ]
            assert chain.proposal(number).objections == sum(against)
            cancelled = Fraction(sum(against), total) > Fraction(334, 1_000)
            assert chain.proposal(number).status == (CANCELLED if cancelled else QUEUED)
        assert chain.problems() == []
    exported = chain.machine.export_genesis(chain.base)
    modules = {"governance": exported["modules"]["governance"]}
    assert modules["governance"]["last_proposal"] == 1
