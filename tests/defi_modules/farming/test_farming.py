"""Programmes and stakes: what flows is shared by weight to the unit, locks hold, and no block walks over stakes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.farming import Boost, Farming
from qenex.block import Receipt
from qenex.errors import (
    AmountNotPositive,
    BoostNotOffered,
    InsufficientBalance,
    InvalidGenesis,
    InvalidProgram,
    NothingEarned,
    NotStakeOwner,
    ProgramEnded,
    ProgramNotOver,
    StillLocked,
    UnknownProgram,
    UnknownStake,
)
from tests.vm.chain import ACTORS, GENESIS_TIME, Actor, Chain

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
START = GENESIS_TIME // 10**9 + 1_000
END = START + 1_000
LP = "amm/1"
BOOSTS = (Boost(100, 15_000), Boost(500, 30_000))


class Farm(Chain):
    """Everybody holds a million LP shares."""

    def __init__(self, **options: Any) -> None:
        balances = [(actor.address, LP, 10**6) for actor in ACTORS]
        options.setdefault("balances", balances)
        super().__init__(Farming, **options)

    def do(self, actor: Actor, name: str, *args: Any) -> Receipt:
        return self.send_block(actor, (f"farming.{name}", args))

    def at(self, seconds: int) -> None:
        """The next block has this time."""
        self.time = seconds * 10**9 - 10**8

    def program(self, *rewards: tuple[str, int], boosts: tuple[Boost, ...] = ()) -> int:
        receipt = self.do(ALICE, "create_program", LP, rewards or (("QXC", 10_000),), START, END, boosts)
        assert receipt.status == 0, receipt
        return int(receipt.results[0][0])

    def stake(self, actor: Actor, amount: int, lock_s: int = 0, program: int = 1) -> int:
        receipt = self.do(actor, "stake", program, amount, lock_s)
        assert receipt.status == 0, receipt
        return int(receipt.results[0][0])

    def claim(self, actor: Actor, position: int) -> int:
        receipt = self.do(actor, "claim", position)
        return 0 if receipt.status == NothingEarned.code else receipt.results[0][0][0].amount


def test_rewards_flow_evenly_to_stakes_by_weight() -> None:
    chain = Farm()
    chain.program()
    chain.at(START)
    first = chain.stake(BOB, 100)
    chain.at(START + 100)
    second = chain.stake(CAROL, 300)
    chain.at(START + 200)
    assert chain.claim(BOB, first) == 1_000 + 250
    chain.at(START + 200)
    assert chain.claim(CAROL, second) == 750
    chain.at(END + 50)
    assert chain.do(BOB, "unstake", first, 100).results == ((100, (("QXC", 2_000),)),)
    assert chain.do(CAROL, "unstake", second, 300).results == ((300, (("QXC", 6_000),)),)
    assert chain.balance(CAROL.address, LP) == 10**6
    program = chain.query("farming.get_program", 1).program
    assert (program.staked, program.weight) == (0, 0)
    assert chain.balance(program.account) == 0
    assert chain.problems() == []


def test_what_flows_while_nobody_stakes_goes_back_to_who_paid_once_and_after_the_end() -> None:
    chain = Farm()
    chain.program()
    chain.at(START + 500)
    position = chain.stake(BOB, 1)
    assert chain.do(ALICE, "reclaim", 1).status == ProgramNotOver.code
    chain.at(END)
    assert chain.do(BOB, "reclaim", 1).status == NotStakeOwner.code
    chain.at(END)
    assert chain.do(ALICE, "reclaim", 1).results == (((("QXC", 5_000),),),)
    assert chain.do(ALICE, "reclaim", 1).status == NothingEarned.code
    assert chain.claim(BOB, position) == 5_000
    assert chain.problems() == []


def test_a_boost_weighs_until_its_lock_ends_by_itself() -> None:
    chain = Farm()
    chain.program(boosts=BOOSTS)
    chain.at(START)
    locked = chain.stake(BOB, 100, 100)
    chain.at(START)
    free = chain.stake(CAROL, 150)
    chain.at(START + 99)
    assert chain.do(BOB, "unstake", locked, 100).status == StillLocked.code
    chain.at(START + 100)
    assert chain.claim(BOB, locked) == 499, "half the weight, 150 of 300, rounded down"
    assert chain.query("farming.get_position", locked).position.boost_bps == 10_000
    chain.at(START + 350)
    assert chain.claim(BOB, locked) == 1_000, "100 of 250 from then on, and what the floor left"
    assert chain.claim(CAROL, free) == 499 + 1_500
    assert chain.do(BOB, "unstake", locked, 40).status == 0
    assert chain.query("farming.get_position", locked).position.amount == 60
    assert chain.problems() == []


def test_several_rewards_are_paid_each_in_its_coin_and_can_be_added_to() -> None:
    chain = Farm(balances=[(a.address, d, 10**6) for a in ACTORS for d in (LP, "lab/token")])
    chain.program(("QXC", 1_000), ("lab/token", 3_000))
    chain.at(START)
    position = chain.stake(BOB, 5)
    chain.at(START + 500)
    assert chain.do(DAVE, "fund_program", 1, ("lab/token", 1_500)).status == 0
    assert chain.do(DAVE, "fund_program", 1, (LP, 1_500)).status == InvalidProgram.code
    chain.at(START + 500)
    assert chain.do(BOB, "claim", position).results == (((("QXC", 500), ("lab/token", 1_500)),),)
    chain.at(END + 1)
    assert chain.do(BOB, "claim", position).results == (((("QXC", 500), ("lab/token", 3_000)),),)
    assert chain.do(DAVE, "fund_program", 1, ("QXC", 5)).status == ProgramEnded.code
    assert chain.do(BOB, "stake", 1, 5, 0).status == ProgramEnded.code
    assert chain.problems() == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((LP, (("QXC", 5),), 1, END, ()), InvalidProgram),
        ((LP, (("QXC", 5),), START, START + 59, ()), InvalidProgram),
        ((LP, (("QXC", 5),), START, START + 10**9, ()), InvalidProgram),
        ((LP, (("QXC", 5), ("QXC", 6)), START, END, ()), InvalidProgram),
        ((LP, (("QXC", 5),), START, END, (Boost(0, 20_000),)), InvalidProgram),
        ((LP, (("QXC", 5),), START, END, (Boost(9, 10_000),)), InvalidProgram),
        ((LP, (("QXC", 5),), START, END, (Boost(9, 20_000), Boost(10, 15_000))), InvalidProgram),
        ((LP, (("QXC", 5),), START, END, (Boost(9, 20_000), Boost(9, 25_000))), InvalidProgram),
        ((LP, (("QXC", 0),), START, END, ()), AmountNotPositive),
        ((LP, (("lab/token", 5),), START, END, ()), InsufficientBalance),
    ],
)
def test_programmes_refused_by_name(args: tuple[Any, ...], error: Any) -> None:
    chain = Farm()
    assert chain.do(ALICE, "create_program", *args).status == error.code
    assert chain.query("farming.list_programs", None, None).items == ()


def test_stakes_refused_by_name() -> None:
    chain = Farm()
    chain.program(boosts=BOOSTS)
    assert chain.do(BOB, "stake", 2, 5, 0).status == UnknownProgram.code
    assert chain.do(BOB, "stake", 1, 0, 0).status == AmountNotPositive.code
    assert chain.do(BOB, "stake", 1, 10**6 + 1, 0).status == InsufficientBalance.code
    assert chain.do(BOB, "stake", 1, 5, 501).status == BoostNotOffered.code
    position = chain.stake(BOB, 5, 500)
    for name, args in (("claim", (position,)), ("unstake", (position, 5))):
        assert chain.do(CAROL, name, *args).status == NotStakeOwner.code
    assert chain.do(BOB, "claim", position).status == NothingEarned.code
    assert chain.do(BOB, "claim", 99).status == UnknownStake.code
    chain.at(START + 600)
    assert chain.do(BOB, "unstake", position, 6).status == AmountNotPositive.code
    assert chain.do(BOB, "unstake", position, 0).status == AmountNotPositive.code
    assert chain.do(BOB, "unstake", position, 5).status == 0
    assert chain.do(BOB, "claim", position).status == UnknownStake.code


def test_ten_thousand_dust_stakes_in_an_end_block_loop_are_worked_off_a_bounded_number_a_block() -> None:
    chain = Farm(parameters={"machine": {"max_block_gas": 10**9}, "farming": {"hook_items": 7}})
    chain.program(boosts=BOOSTS)
    chain.at(START)
    stakes = [("farming.stake", (1, 1, 100)) for _ in range(100)]
    assert chain.send_block(BOB, *stakes, gas=10**8).status == 0
    chain.at(START + 100)
    left = 100
    while left:
        chain.run()
        ended = [event for event in chain.results[-1].end_events if event.name == "farming.boost_ended"]
        assert len(ended) == min(7, left)
        left -= len(ended)
    chain.run()
    assert chain.results[-1].end_events == ()
    assert chain.query("farming.get_program", 1).program.weight == 100
    assert chain.problems() == []


def test_funding_beyond_the_bound_of_running_sums_is_refused_to_who_funds() -> None:
    most = 2**128 - 1
    chain = Farm(balances=[(ALICE.address, "lab/token", most), (BOB.address, LP, 10)])
    chain.program(("lab/token", most))
    chain.at(START)
    position = chain.stake(BOB, 1)
    chain.at(START + 999)
    assert chain.claim(BOB, position) > most * 99 // 100
    refused = chain.do(BOB, "fund_program", 1, ("lab/token", most // 2))
    assert refused.status == InvalidProgram.code
    chain.at(END)
    assert chain.do(BOB, "unstake", position, 1).status == 0
    assert chain.balance(BOB.address, "lab/token") == most
    assert chain.problems() == []


@given(data=st.data())
def test_random_histories_pay_no_stake_more_than_its_exact_part(data: st.DataObject) -> None:
    chain = Farm()
    total = data.draw(st.integers(1, 10**6))
    chain.program(("QXC", total), boosts=BOOSTS)
    exact: dict[int, Fraction] = {}
    paid: dict[int, int] = {}
    stakes: dict[int, list[Any]] = {}  # owner, amount, boost, unlock
    now = START
    flowed = 0

    def advance(to: int) -> None:
        """The slow reference: second by second, boosts ending at the block that passes them."""
        nonlocal flowed
        new = total * min(to - START, 1_000) // 1_000
        weight = sum(Fraction(int(s[1] * s[2] // 10_000)) for s in stakes.values())
        if weight:
            for number, s in stakes.items():
                exact[number] += Fraction(new - flowed) * (s[1] * s[2] // 10_000) / weight
        flowed = new

    for _ in range(data.draw(st.integers(1, 10))):
        now += data.draw(st.integers(0, 300))
        chain.at(now)
        advance(now)
        action = data.draw(st.sampled_from(["stake", "claim", "unstake", "nothing"]))
        actor = data.draw(st.sampled_from([BOB, CAROL, DAVE]))
        own = [number for number, s in stakes.items() if s[0] is actor]
        if action == "stake":
            amount, lock = data.draw(st.integers(1, 10**4)), data.draw(st.sampled_from([0, 100, 500]))
            receipt = chain.do(actor, "stake", 1, amount, lock)
            if receipt.status == 0:
                number = receipt.results[0][0]
                boost = {0: 10_000, 100: 15_000, 500: 30_000}[lock]
                stakes[number] = [actor, amount, boost, now + lock]
                exact[number], paid[number] = Fraction(0), 0
        elif action == "claim" and own:
            number = data.draw(st.sampled_from(own))
            receipt = chain.do(actor, "claim", number)
            paid[number] += receipt.results[0][0][0].amount if receipt.status == 0 else 0
        elif action == "unstake" and own:
            number = data.draw(st.sampled_from(own))
            amount = data.draw(st.integers(1, stakes[number][1]))
            receipt = chain.do(actor, "unstake", number, amount)
            if receipt.status == 0:
                paid[number] += receipt.results[0][1][0].amount
                stakes[number][1] -= amount
                stakes[number][2] = 10_000
                if not stakes[number][1]:
                    del stakes[number]
        else:
            chain.run()
        for s in stakes.values():  # the hook at the end of this block
            if s[3] <= now:
                s[2] = 10_000
        for number, amount in paid.items():
            assert amount <= exact[number]
    assert sum(paid.values()) <= flowed
    for number in stakes:
        claimable = chain.query("farming.get_position", number).claimable[0].amount
        assert paid[number] + claimable <= exact[number] or chain.time >= now * 10**9
    assert chain.problems() == []
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(Farming, actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert again.machine.export_genesis(again.base) == exported


@pytest.mark.parametrize(
    "data",
    [
        {"programs": {}},
        {"positions": [{}]},
        {"last_program": -1},
        {"farms": []},
        {"programs": [5], "last_program": 1},
    ],
)
def test_genesis_is_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Farm(data={"farming": data})
