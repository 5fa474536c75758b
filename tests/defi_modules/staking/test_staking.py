"""Staking on a chain: validators, delegations, rewards, locks, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.oracle import Oracle
from defi_modules.staking import MAIN, Staking
from defi_modules.staking.math import SHARE
from qenex import errors
from qenex.block import Receipt
from qenex.crypto import encode_address
from qenex.types import QXC
from tests.defi_modules.staking.lab import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    KEYS,
    QX,
    STAKE,
    VAL1,
    VAL2,
    VAL3,
    VAL4,
    Snapshots,
    StakeChain,
)
from tests.vm.chain import VALIDATOR, Actor, Chain


def test_a_delegation_brings_shares_and_power() -> None:
    chain = StakeChain()
    chain.check()
    assert chain.powers() == {VAL1.address: 1_000, VAL2.address: 1_000, VAL3.address: 1_000}
    shares = chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    assert shares == (500 * QX * SHARE,)
    assert chain.powers()[VAL1.address] == 1_500
    assert chain.tokens(ALICE, VAL1) == 500 * QX
    chain.check()


def test_an_idle_block_writes_nothing() -> None:
    chain = StakeChain()
    chain.run()
    chain.run()
    assert not [key for key in chain.results[-1].changes if key[0] in (1, 2, 4)]


def test_undelegated_stake_arrives_after_the_unbonding_time() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    amount, completes = chain.ok(ALICE, "undelegate", VAL1.address, 200 * QX)
    assert amount == 200 * QX
    assert chain.powers()[VAL1.address] == 1_300
    (waiting,) = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert (waiting.pays, waiting.unbonding.completes_s) == (200 * QX, completes)
    before = chain.balance(ALICE.address)
    chain.pass_time(21 * DAY - 1)
    chain.run()
    assert chain.balance(ALICE.address) == before
    chain.pass_time(2)
    chain.run()
    assert chain.balance(ALICE.address) == before + 200 * QX
    assert chain.query("staking.list_unbondings", ALICE.address, None, None).items == ()
    chain.check()


def test_all_that_is_there_takes_every_share_and_pays_rewards_too() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    chain.pass_time(DAY)
    chain.ok(ALICE, "undelegate", VAL1.address, 500 * QX)
    assert [fields.delegator for fields in chain.events("rewards_withdrawn")] == [ALICE.address]
    found = chain.query("staking.get_delegation", ALICE.address, VAL1.address)
    assert (found.tokens, found.rewards, found.delegation.shares) == (0, 0, 0)
    assert chain.do(ALICE, "undelegate", VAL1.address, 1).status == errors.InsufficientDelegation.code
    chain.check()


def test_rewards_follow_stake_and_time_and_the_commission_is_taken_first() -> None:
    chain = StakeChain(((VAL1, STAKE), (VAL2, STAKE)), commission_bps=1_000, community_tax_bps=0)
    chain.ok(ALICE, "delegate", VAL1.address, STAKE)
    chain.pass_time(30 * DAY)
    chain.run()
    alice = chain.query("staking.get_delegation", ALICE.address, VAL1.address).rewards
    own = chain.query("staking.get_delegation", VAL1.address, VAL1.address).rewards
    other = chain.query("staking.get_delegation", VAL2.address, VAL2.address).rewards
    commission = chain.query("staking.get_validator", VAL1.address).commission
    assert alice > 0
    # The two had the same stake but for the first tenth of a second, before Alice came.
    assert own >= alice >= own * 999_999 // 1_000_000
    assert abs(commission - (alice + own) // 9) <= 2
    assert abs(other - alice) <= other // 1_000_000
    before = chain.balance(ALICE.address)
    paid = chain.ok(ALICE, "withdraw_rewards", VAL1.address)[0]
    fee = chain.results[-1].receipts[0].fee
    assert chain.balance(ALICE.address) == before + paid - fee
    assert paid >= alice
    chain.ok(VAL1, "withdraw_commission")
    chain.check()


def test_new_coins_come_by_time_and_bonded_ratio() -> None:
    chain = StakeChain()
    rate = chain.query("staking.get_pool").inflation
    assert 5 * 10**7 <= rate <= 20 * 10**7
    supply = chain.supply()
    chain.pass_time(365 * DAY)
    chain.ok(ALICE, "delegate", VAL1.address, QX)
    burned = chain.results[-1].receipts[0].fee // 2
    minted = chain.supply() - supply + burned
    assert abs(minted - supply * rate // 10**9) <= supply // 10**6
    assert chain.books().community == minted * 200 // 10_000
    chain.check()


def test_fees_reach_stakers_and_the_community() -> None:
    chain = StakeChain(min_inflation_bps=0, max_inflation_bps=0, community_tax_bps=1_000)
    chain.run(chain.send(ALICE, BOB.address, 1))
    fee = chain.results[-1].receipts[0].fee
    rest = fee - fee // 2
    pool = chain.query("staking.get_pool")
    assert pool.community == rest // 10
    assert pool.fees == rest
    assert pool.rewards == rest - rest // 10
    chain.check()


def test_the_community_is_spent_by_governance_alone() -> None:
    chain = StakeChain()
    chain.pass_time(DAY)
    chain.ok(ALICE, "delegate", VAL1.address, QX)
    community = chain.query("staking.get_pool").community
    before = chain.balance(CAROL.address)
    assert chain.send_block(BOB, ("governance.spend", (CAROL.address, community))).status == 0
    assert chain.balance(CAROL.address) == before + community
    again = chain.send_block(BOB, ("governance.spend", (CAROL.address, community)))
    assert again.status == errors.CommunityPoolTooSmall.code
    chain.check()


def test_a_fifth_validator_joins_and_one_too_many_waits() -> None:
    chain = StakeChain(max_validators=4)
    assert chain.join(VAL4, 2 * STAKE).status == 0
    assert chain.powers()[VAL4.address] == 2_000
    assert chain.machine.validators(chain.base)[0].key == KEYS[VAL4].key
    assert chain.join(ALICE, STAKE // 2).status == 0
    assert ALICE.address not in chain.powers()
    chain.ok(BOB, "delegate", ALICE.address, STAKE)
    assert chain.powers()[ALICE.address] == 1_500
    assert len(chain.powers()) == 4
    chain.check()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"commission_bps": 3_000}, errors.CommissionAboveMaximum),
        ({"max_change_bps": 3_000}, errors.CommissionAboveMaximum),
        ({"min_self_delegation": 2 * STAKE}, errors.SelfDelegationTooLow),
        ({"min_self_delegation": 1}, errors.SelfDelegationTooLow),
        ({"amount": 1}, errors.SelfDelegationTooLow),
        ({"key": KEYS[BOB].key}, errors.PossessionNotProven),
        ({"named": BOB}, errors.PossessionNotProven),
        ({"key_of": VAL1}, errors.ConsensusKeyTaken),
        ({"key": b"\x01" + bytes(32)}, errors.WeakPublicKey),
        ({"key": b"\x7f" + bytes(32)}, errors.UnknownScheme),
        ({"key": b"\x04" + bytes(31) + b"\x01"}, errors.SchemeNotAllowed),
    ],
)
def test_a_bad_declaration_is_refused_by_name(
    changes: dict[str, Any], error: type[errors.QenexError]
) -> None:
    chain = StakeChain()
    assert chain.join(VAL4, **changes).status == error.code
    chain.check()


def test_one_account_one_validator() -> None:
    chain = StakeChain()
    assert chain.join(VAL1, key_of=VAL4).status == errors.ValidatorExists.code


def test_the_commission_moves_slowly_and_never_beyond_its_maximum() -> None:
    chain = StakeChain()
    early = chain.do(VAL1, "edit_validator", None, 550, None)
    assert early.status == errors.CommissionChangeTooFast.code
    chain.pass_time(DAY)
    chain.ok(VAL1, "edit_validator", "renamed", 600, None)
    assert chain.query("staking.get_validator", VAL1.address).validator.moniker == "renamed"
    chain.pass_time(DAY)
    assert chain.do(VAL1, "edit_validator", None, 701, None).status == errors.CommissionChangeTooFast.code
    assert chain.do(VAL1, "edit_validator", None, 2_001, None).status == errors.CommissionAboveMaximum.code
    chain.ok(VAL1, "edit_validator", None, 0, None)
    assert chain.do(ALICE, "edit_validator", "x", None, None).status == errors.UnknownValidator.code
    chain.check()


def test_the_own_minimum_is_only_raised() -> None:
    chain = StakeChain()
    chain.ok(VAL1, "edit_validator", None, None, 900 * QX)
    for amount in (800 * QX, 1_001 * QX):
        assert chain.do(VAL1, "edit_validator", None, None, amount).status == errors.SelfDelegationTooLow.code
    chain.ok(VAL1, "undelegate", VAL1.address, 200 * QX)
    assert VAL1.address not in chain.powers(), "below its own minimum"
    assert chain.do(VAL1, "unjail").status == errors.SelfDelegationTooLow.code
    assert chain.do(VAL1, "delegate", VAL1.address, 200 * QX).status == errors.ValidatorJailed.code
    chain.check()


def test_redelegation_moves_power_at_once_and_does_not_hop() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    assert (
        chain.do(ALICE, "redelegate", VAL1.address, VAL1.address, QX).status == errors.SelfRedelegation.code
    )
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 300 * QX)
    assert (chain.powers()[VAL1.address], chain.powers()[VAL2.address]) == (1_200, 1_300)
    hop = chain.do(ALICE, "redelegate", VAL2.address, VAL3.address, QX)
    assert hop.status == errors.RedelegationHop.code
    for _ in range(6):
        chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, QX)
    many = chain.do(ALICE, "redelegate", VAL1.address, VAL2.address, QX)
    assert many.status == errors.TooManyRedelegations.code
    chain.check()
    chain.pass_time(22 * DAY)
    chain.run()
    chain.ok(ALICE, "redelegate", VAL2.address, VAL3.address, QX)
    chain.check()


def test_a_lock_weighs_in_rewards_and_never_in_power() -> None:
    chain = StakeChain(((VAL1, STAKE),), commission_bps=0, boosts=[{"lock_s": DAY, "boost_bps": 20_000}])
    for actor in (ALICE, BOB):
        chain.ok(actor, "delegate", VAL1.address, STAKE)
    chain.ok(ALICE, "lock", VAL1.address, DAY)
    assert chain.powers() == {VAL1.address: 3_000}

    def rewards(actor: Any) -> int:
        found: int = chain.query("staking.get_delegation", actor.address, VAL1.address).rewards
        return found

    start = rewards(ALICE), rewards(BOB)
    chain.pass_time(DAY // 2)
    chain.run()
    gained = rewards(ALICE) - start[0], rewards(BOB) - start[1]
    assert abs(gained[0] - 2 * gained[1]) <= gained[0] // 10_000
    assert chain.do(ALICE, "undelegate", VAL1.address, QX).status == errors.DelegationLocked.code
    moved = chain.do(ALICE, "redelegate", VAL1.address, VAL1.address, QX)
    assert moved.status == errors.SelfRedelegation.code
    assert chain.do(ALICE, "lock", VAL1.address, 2 * DAY).status == errors.LockNotOffered.code
    assert chain.do(ALICE, "lock", VAL1.address, DAY - 1).status == errors.LockNotOffered.code
    chain.ok(ALICE, "delegate", VAL1.address, QX)
    chain.pass_time(DAY // 2 + 2)
    chain.run()
    assert chain.events("lock_changed") == [], "more stake has locked it anew"
    chain.pass_time(DAY // 2)
    chain.run()
    assert [fields.boost_bps for fields in chain.events("lock_changed")] == [10_000]
    start = rewards(ALICE), rewards(BOB)
    chain.pass_time(DAY)
    chain.run()
    gained = rewards(ALICE) - start[0], rewards(BOB) - start[1]
    assert abs(gained[0] - gained[1]) <= gained[0] // 500
    chain.ok(ALICE, "undelegate", VAL1.address, QX)
    chain.check()


def test_fees_are_lower_for_who_has_staked() -> None:
    tiers = [{"stake": str(100 * QX), "discount_bps": 1_000}, {"stake": str(500 * QX), "discount_bps": 5_000}]
    chain = StakeChain(tiers=tiers)
    assert chain.account(ALICE.address).fee_tier == 0
    chain.ok(ALICE, "delegate", VAL1.address, 300 * QX)
    assert chain.account(ALICE.address).fee_tier == 1_000
    chain.ok(ALICE, "delegate", VAL2.address, 300 * QX)
    assert chain.query("staking.get_staker", ALICE.address) == (600 * QX, 5_000)
    full, half = chain.run(chain.send(BOB, CAROL.address, 1), chain.send(ALICE, CAROL.address, 1))
    assert (full.fee, half.fee) == (full.gas_used * 10, half.gas_used * 5)
    chain.ok(ALICE, "undelegate", VAL1.address, 250 * QX)
    assert chain.account(ALICE.address).fee_tier == 1_000
    chain.ok(ALICE, "undelegate", VAL2.address, 300 * QX)
    assert chain.account(ALICE.address).fee_tier == 0
    chain.check()


def test_power_is_known_as_it_was() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    first = chain.height
    chain.run()
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 200 * QX)
    chain.ok(ALICE, "undelegate", VAL1.address, 300 * QX)
    last = chain.height

    def ask(name: str, *args: Any) -> Receipt:
        return chain.send_block(BOB, (f"governance.{name}", args))

    assert ask("power", ALICE.address, first - 1).results == (0,)
    assert ask("power", ALICE.address, first).results == (500 * QX,)
    assert ask("power", ALICE.address, last).results == (200 * QX,)
    assert ask("whole", VAL2.address, first).results == ((STAKE, 3 * STAKE + 500 * QX),)
    assert ask("whole", VAL2.address, last).results == ((STAKE + 200 * QX, 3 * STAKE + 200 * QX),)
    moved = last - 1
    assert ask("whole", VAL2.address, moved).results == ((STAKE + 200 * QX, 3 * STAKE + 500 * QX),), (
        "that block's change"
    )
    assert ask("whole", VAL2.address, moved - 1).results == ((STAKE, 3 * STAKE + 500 * QX),)
    assert ask("power", ALICE.address, chain.height + 1).status == errors.HeightNotKept.code
    chain.check()


def test_what_makes_no_sense_is_refused_by_name() -> None:
    chain = StakeChain()
    cases: list[tuple[type[errors.QenexError], str, tuple[Any, ...]]] = [
        (errors.UnknownValidator, "delegate", (BOB.address, QX)),
        (errors.DelegationTooSmall, "delegate", (VAL1.address, 1)),
        (errors.UnknownDelegation, "undelegate", (VAL1.address, QX)),
        (errors.UnknownDelegation, "withdraw_rewards", (VAL1.address,)),
        (errors.UnknownDelegation, "lock", (VAL1.address, DAY)),
        (errors.UnknownDelegation, "redelegate", (VAL1.address, VAL2.address, QX)),
        (errors.UnknownValidator, "unjail", ()),
        (errors.UnknownValidator, "withdraw_commission", ()),
        (errors.InsufficientBalance, "delegate", (VAL1.address, 10**15)),
        (errors.DelegationTooSmall, "stake_liquid", (1,)),
        (errors.InsufficientDelegation, "unstake_liquid", (1,)),
    ]
    for error, name, args in cases:
        assert chain.do(ALICE, name, *args).status == error.code, name
    assert chain.do(VAL1, "unjail").status == errors.ValidatorNotJailed.code
    chain.check()


def test_a_chain_whose_genesis_begins_no_staking_has_none() -> None:
    chain = Chain(Oracle, Staking)
    receipt = chain.send_block(ALICE, ("staking.delegate", (VAL1.address, QX)))
    assert receipt.status == errors.StakingInactive.code
    assert [v.address for v in chain.machine.validators(chain.base)] == [VALIDATOR.address]
    assert chain.balance(VALIDATOR.address) == receipt.fee - receipt.fee // 2
    assert not [key for key in chain.results[-1].changes if key[0] == 4]
    assert chain.problems() == []


def test_exported_genesis_begins_with_the_same_stake() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 100 * QX)
    chain.ok(ALICE, "undelegate", VAL2.address, 50 * QX)
    chain.ok(ALICE, "lock", VAL1.address, 40 * DAY)
    chain.ok(BOB, "stake_liquid", 77 * QX)
    chain.absent = (VAL3.address,)
    chain.run()
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(
        Oracle, Staking, Snapshots, actors=[], data=exported["modules"], parameters=exported["parameters"],
        validators=[(v.address, v.key, v.power) for v in chain.machine.validators(chain.base)],
    )  # fmt: skip
    assert again.machine.export_genesis(again.base) == exported
    assert again.problems() == []
    assert again.supply() == chain.supply(QXC)


def test_ten_thousand_entries_over_at_once_are_paid_by_counts_and_none_is_lost() -> None:
    """Bounded work in each block, whatever has gathered: the queue is the cursor."""
    count, items = 10_000, 300
    chain = StakeChain(hook_items=items)
    exported = chain.machine.export_genesis(chain.base)
    modules = exported["modules"]
    validator = encode_address(VAL1.address)
    people = [Actor(5_000 + number) for number in range(7)]
    modules["staking"]["unbondings"] = [
        {
            "delegator": encode_address(people[number % 7].address),
            "id": number + 1,
            "unbonding": {
                "validator": validator, "amount": str(QX + number), "height": 1,
                "completes_s": chain.time // 10**9 + number % 3, "origin": None,
            },
        }
        for number in range(count)
    ]  # fmt: skip
    total = sum([QX + number for number in range(count)])
    modules["staking"]["last_entry"] = count
    modules["staking"]["books"]["unbonding"] = str(total)
    held = next(b for b in modules["bank"]["balances"] if b["address"] == encode_address(MAIN))
    held["amount"] = str(int(held["amount"]) + total)
    later = Chain(
        Oracle, Staking, Snapshots, actors=[], data=modules, parameters=exported["parameters"],
        validators=[(v.address, v.key, v.power) for v in chain.machine.validators(chain.base)],
    )  # fmt: skip
    later.time = chain.time + 10 * 10**9
    paid: list[int] = []
    while not paid or paid[-1]:
        later.run()
        paid.append(
            len([e for e in later.results[-1].end_events if e.name == "staking.undelegation_completed"])
        )
    assert paid == [items] * (count // items) + [count % items, 0]
    assert sum([later.balance(person.address) for person in people]) == total
    assert later.faults == []
    assert later.problems() == []


def test_entries_over_at_once_are_paid_over_several_blocks_and_none_is_lost() -> None:
    chain = StakeChain(hook_items=4, unbonding_s=10)
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    messages = [("staking.undelegate", (VAL1.address, QX))] * 10
    assert chain.send_block(ALICE, *messages, gas=10_000_000).status == 0
    before = chain.balance(ALICE.address)
    chain.pass_time(11)
    paid = []
    for _ in range(4):
        chain.run()
        paid.append(len(chain.events("undelegation_completed")))
    assert paid == [4, 4, 2, 0]
    assert chain.balance(ALICE.address) == before + 10 * QX
    chain.check()
