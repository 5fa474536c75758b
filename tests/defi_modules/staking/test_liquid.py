"""Liquid stake: in and out at the pool's value, spread over validators, through rewards and slashes."""

from __future__ import annotations

from defi_modules.staking import LIQUID, MAIN, Staking
from defi_modules.staking.types import MAX_DELEGATIONS, RECEIPT
from qenex import errors
from tests.defi_modules.staking import lab
from tests.defi_modules.staking.lab import ALICE, BOB, DAY, QX, STAKE, VAL1, VAL2, VAL3, StakeChain
from tests.vm.chain import Actor


def held(chain: StakeChain) -> dict[bytes, int]:
    return {item.validator: item.power for item in chain.query("staking.get_liquid").delegations}


def test_receipts_are_coins_and_the_pool_spreads_over_validators() -> None:
    chain = StakeChain()
    for _ in range(3):
        assert chain.ok(ALICE, "stake_liquid", 300 * QX)[0] > 0
    pool = held(chain)
    assert set(pool) == {VAL1.address, VAL2.address, VAL3.address}
    assert all(300 * QX <= amount <= 301 * QX for amount in pool.values())
    assert chain.powers()[VAL1.address] >= 1_300
    receipts = chain.balance(ALICE.address, RECEIPT)
    assert receipts == chain.supply(RECEIPT)
    chain.run(chain.send(ALICE, BOB.address, receipts // 2, RECEIPT))
    chain.ok(BOB, "unstake_liquid", receipts // 2)
    chain.check()
    before = chain.balance(BOB.address)
    chain.pass_time(22 * DAY)
    chain.run()
    assert chain.balance(BOB.address) - before >= 449 * QX
    chain.check()


def test_rewards_raise_what_a_receipt_is_worth_and_late_comers_get_none_of_them() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "stake_liquid", 100 * QX)
    chain.pass_time(30 * DAY)
    chain.run()
    value = chain.query("staking.get_liquid").value
    assert value > 100 * QX
    (receipts,) = chain.ok(BOB, "stake_liquid", value)
    assert receipts <= 100 * QX, "the same worth, no more receipts than Alice has"
    assert 100 * QX - receipts < 100 * QX // 10**6
    pool = chain.query("staking.get_liquid")
    assert pool.value * 100 * QX // pool.receipts >= value
    left = chain.ok(BOB, "unstake_liquid", receipts)
    paid = sum([fields.paid + fields.leaving for fields in chain.events("liquid_unstaked")])
    assert left[0] <= paid <= value + value // 10**6
    chain.check()


def test_a_round_trip_never_pays() -> None:
    chain = StakeChain(min_inflation_bps=0, max_inflation_bps=0)
    chain.ok(ALICE, "stake_liquid", 77 * QX + 1)
    chain.double_vote(VAL1, 1)
    for amount in (10**6, 10**6 + 1, 123_456_789, 5 * QX):
        (receipts,) = chain.ok(BOB, "stake_liquid", amount)
        chain.ok(BOB, "unstake_liquid", receipts)
        (fields,) = chain.events("liquid_unstaked")
        # The fees of the rounds before are rewards: they come to less than one part in a hundred thousand here.
        assert fields.leaving + fields.paid <= amount + amount // 10**5
    chain.check()


def test_a_slash_lowers_what_every_receipt_is_worth() -> None:
    chain = StakeChain(min_inflation_bps=0, max_inflation_bps=0)
    for _ in range(3):
        chain.ok(ALICE, "stake_liquid", 300 * QX)
    before = chain.query("staking.get_liquid").value
    chain.double_vote(VAL2, chain.height)
    after = chain.query("staking.get_liquid").value
    assert abs(before - after - 15 * QX) <= QX // 100
    chain.ok(ALICE, "stake_liquid", 300 * QX)
    assert held(chain)[VAL2.address] < 300 * QX, "nothing more goes to who is out"
    chain.ok(ALICE, "unstake_liquid", 200 * QX)
    assert held(chain)[VAL2.address] < 100 * QX, "and what leaves, leaves there first"
    chain.check()


def test_the_first_in_cannot_raise_the_price_by_a_gift() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "stake_liquid", 10**6)
    for account in (MAIN, LIQUID):
        (gift,) = chain.run(chain.send(ALICE, account, QX))
        assert gift.status == errors.RecipientClosed.code, "what goes there could never leave"
    assert chain.query("staking.get_liquid").value < 10**6 + 10**4, "only records count"
    (receipts,) = chain.ok(BOB, "stake_liquid", 10**6)
    assert receipts > 990_000
    chain.check()


def test_what_makes_no_sense_is_refused() -> None:
    chain = StakeChain()
    assert chain.do(ALICE, "stake_liquid", 1).status == errors.DelegationTooSmall.code
    assert chain.do(ALICE, "unstake_liquid", 1).status == errors.InsufficientDelegation.code
    chain.ok(ALICE, "stake_liquid", QX)
    assert chain.do(ALICE, "unstake_liquid", 0).status == errors.InsufficientDelegation.code
    assert chain.do(BOB, "unstake_liquid", QX).status == errors.InsufficientBalance.code
    chain.check()


def test_a_pool_that_was_slashed_to_nothing_takes_no_more() -> None:
    chain = StakeChain(((VAL1, STAKE),), double_sign_bps=10_000, min_inflation_bps=0, max_inflation_bps=0)
    chain.ok(ALICE, "stake_liquid", QX)
    chain.double_vote(VAL1, 1)
    refused = chain.do(BOB, "stake_liquid", QX)
    assert refused.status in (errors.ExchangeRateInvalid.code, errors.NoValidatorAvailable.code)
    chain.check()


def test_an_account_delegates_to_a_bounded_number_of_validators_and_those_left_are_forgotten() -> None:
    many = [Actor(700 + number) for number in range(MAX_DELEGATIONS + 1)]
    lab.KEYS.update({actor: Actor(800 + number) for number, actor in enumerate(many)})
    chain = StakeChain([(actor, STAKE) for actor in many], history_s=100, unbonding_s=10)
    for actor in many[:-1]:
        chain.ok(ALICE, "delegate", actor.address, QX)
    assert chain.do(ALICE, "delegate", many[-1].address, QX).status == errors.TooManyDelegations.code
    chain.ok(ALICE, "undelegate", many[0].address, QX)
    assert chain.do(ALICE, "delegate", many[-1].address, QX).status == errors.TooManyDelegations.code
    chain.pass_time(101)
    chain.ok(ALICE, "delegate", many[-1].address, QX)
    assert len(chain.query("staking.list_delegations", ALICE.address)) == MAX_DELEGATIONS
    staking = chain.machine.scratch.modules["staking"]
    assert isinstance(staking, Staking)
    assert staking.delegations.get((ALICE.address, many[0].address)) is None
    chain.check()
