"""Random histories against an exact reference in rational numbers.

The reference knows nothing of shares or running sums: each delegation is a fraction of a coin, each span of time hands its
rewards to whoever weighs something in it, and a slash multiplies. What the chain has may only be less, and by very little.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defi_modules.staking.base import MAIN
from defi_modules.staking.math import SCALE, inflation_rate, minted
from tests.defi_modules.staking.lab import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    QX,
    STAKE,
    VAL1,
    VAL2,
    VAL3,
    StakeChain,
)
from tests.vm.chain import Actor

VALIDATORS = (VAL1, VAL2, VAL3)
PEOPLE = (ALICE, BOB, CAROL)
COMMISSION = 1_000
TAX = 200
BOOSTS = [{"lock_s": 10 * DAY, "boost_bps": 15_000}]
UNBONDING = 21 * DAY
ROOM = Fraction(1, 10**6)
"""Of a base unit: what floors of shares (10^-18 of a unit each) and of running sums may shift. Payments are whole units."""


class Reference:
    """Stake and rewards of the same history, exactly. A slash takes whole coins, as it does on the chain."""

    def __init__(self) -> None:
        self.tokens = dict.fromkeys(VALIDATORS, STAKE)
        self.units: dict[tuple[Actor, Actor], Fraction] = {(v, v): Fraction(STAKE) for v in VALIDATORS}
        """Parts of a validator's tokens, by which its rewards are divided too."""
        self.boost: dict[tuple[Actor, Actor], Fraction] = {}
        self.earned: dict[tuple[Actor, Actor], Fraction] = {}
        self.commission: dict[Actor, Fraction] = dict.fromkeys(VALIDATORS, Fraction(0))
        self.by_shares: dict[tuple[Actor, Actor], Fraction] = {}
        """What was earned by the shares that the chain has written down: nobody gets more than that by any fraction."""
        self.allotted = Fraction(0)

    def total(self, validator: Actor) -> Fraction:
        return sum([units for key, units in self.units.items() if key[1] is validator], Fraction(0))

    def add(self, who: Actor, validator: Actor, amount: int) -> None:
        key, rate = (who, validator), self.total(validator) / self.tokens[validator]
        self.units[key] = self.units.get(key, Fraction(0)) + amount * rate
        self.tokens[validator] += amount

    def slash(self, validator: Actor, bps: int) -> None:
        self.tokens[validator] -= -(-self.tokens[validator] * bps // 10_000)

    def stake(self, key: tuple[Actor, Actor]) -> Fraction:
        return self.units[key] * self.tokens[key[1]] / self.total(key[1])

    def rewards(
        self, amount: Fraction, powers: dict[Actor, int], written: dict[tuple[Actor, Actor], int]
    ) -> None:
        """Hand out `amount`; `written` are the weights of delegations as the chain has them."""
        total = sum(powers.values())
        self.allotted += amount
        for validator, power in powers.items():
            part = amount * power / total
            self.commission[validator] += part * COMMISSION / 10_000
            part -= part * COMMISSION / 10_000
            weights = {
                key: units * self.boost.get(key, 1)
                for key, units in self.units.items()
                if key[1] is validator
            }
            whole = sum(weights.values())
            for key, weight in weights.items():
                if whole:
                    self.earned[key] = self.earned.get(key, Fraction(0)) + part * weight / whole
            noted = {key: weight for key, weight in written.items() if key[1] is validator}
            for key, shares in noted.items():
                share = part * shares / sum(noted.values())
                self.by_shares[key] = self.by_shares.get(key, Fraction(0)) + share


actions = st.one_of(
    st.tuples(st.just("delegate"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.integers(10**6, 500 * QX)),
    st.tuples(st.just("undelegate"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.integers(1, 10_000)),
    st.tuples(st.just("redelegate"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.integers(1, 10_000)),
    st.tuples(st.just("withdraw"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.just(0)),
    st.tuples(st.just("lock"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.just(10 * DAY)),
    st.tuples(st.just("liquid"), st.sampled_from(PEOPLE), st.just(VAL1), st.integers(10**6, 100 * QX)),
    st.tuples(st.just("illiquid"), st.sampled_from(PEOPLE), st.just(VAL1), st.integers(1, 10_000)),
    st.tuples(st.just("double"), st.just(ALICE), st.sampled_from(VALIDATORS), st.integers(0, 3)),
    st.tuples(st.just("absent"), st.just(ALICE), st.sampled_from(VALIDATORS), st.integers(1, 6)),
    st.tuples(st.just("time"), st.just(ALICE), st.just(VAL1), st.integers(1, 30 * DAY)),
)  # fmt: skip


def perform(chain: StakeChain, action: tuple[str, Actor, Actor, int]) -> None:
    """One action, which may well be refused: then nothing but the fee has changed."""
    name, who, validator, value = action
    held = 0
    if name in ("undelegate", "redelegate"):
        found = chain.query("staking.list_delegations", who.address)
        held = sum([item.tokens for item in found if item.validator == validator.address])
    amount = -(-held * value // 10_000)
    target = VALIDATORS[(VALIDATORS.index(validator) + 1) % 3]
    if name == "delegate":
        chain.do(who, "delegate", validator.address, value)
    elif name == "undelegate":
        chain.do(who, "undelegate", validator.address, amount)
    elif name == "redelegate":
        chain.do(who, "redelegate", validator.address, target.address, amount)
    elif name == "withdraw":
        chain.do(who, "withdraw_rewards", validator.address)
    elif name == "lock":
        chain.do(who, "lock", validator.address, value)
    elif name == "liquid":
        chain.do(who, "stake_liquid", value)
    elif name == "illiquid":
        receipts = chain.balance(who.address, "staking/QXC")
        chain.do(who, "unstake_liquid", -(-receipts * value // 10_000))
    elif name == "double":
        chain.double_vote(validator, max(1, chain.height - value))
    elif name == "absent":
        chain.absent = (validator.address,)
        for _ in range(value):
            chain.run()
        chain.absent = ()
    else:
        chain.pass_time(value)
        chain.run()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(actions, min_size=1, max_size=14))
def test_value_is_conserved_to_the_unit_whatever_happens(
    history: list[tuple[str, Actor, Actor, int]],
) -> None:
    chain = StakeChain(hook_items=4, window_blocks=10, max_missed_bps=2_000, downtime_bps=77, boosts=BOOSTS)
    for action in history:
        perform(chain, action)
        chain.check()
    # Everybody leaves; in the end nothing is left but what floors have left behind, and nobody was refused his own.
    chain.pass_time(11 * DAY)
    chain.run()
    for _ in range(30):
        chain.run()
    for who in (*PEOPLE, *VALIDATORS):
        for item in chain.query("staking.list_delegations", who.address):
            if item.rewards:
                chain.send_block(who, ("staking.withdraw_rewards", (item.validator,)))
            worth = chain.query("staking.get_delegation", who.address, item.validator).tokens
            if worth:
                receipt = chain.send_block(who, ("staking.undelegate", (item.validator, worth)))
                assert receipt.status == 0
        receipts = chain.balance(who.address, "staking/QXC")
        if receipts:
            assert chain.do(who, "unstake_liquid", receipts).status == 0
    for validator in VALIDATORS:
        chain.do(validator, "withdraw_commission")
    chain.pass_time(UNBONDING + 1)
    for _ in range(20):
        chain.run()
    chain.check()
    books = chain.books()
    assert books.unbonding == 0
    assert books.bonded <= 40 * 3, "worth less than a unit each"
    for who in (*PEOPLE, *VALIDATORS):
        assert chain.query("staking.list_unbondings", who.address, None, None).items == ()


def weights(chain: StakeChain, keys: list[tuple[Actor, Actor]]) -> dict[tuple[Actor, Actor], int]:
    """What delegations weigh when rewards are divided, as the chain has written it down."""
    found = {}
    for who, validator in keys:
        told = chain.query("staking.get_delegation", who.address, validator.address).delegation
        found[who, validator] = told.shares * told.boost_bps
    return found


leavings = st.lists(
    st.one_of(
        st.tuples(st.just("leave"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS), st.integers(1, 50 * QX)),
        st.tuples(st.just("double"), st.just(ALICE), st.sampled_from(VALIDATORS), st.integers(0, 9)),
        st.tuples(st.just("blocks"), st.just(ALICE), st.just(VAL1), st.integers(1, 3)),
    ),
    min_size=2,
    max_size=12,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(history=leavings, slash_bps=st.sampled_from([1, 500, 3_333, 9_999, 10_000]))
def test_a_slash_spares_no_entry_begun_since_the_offence_and_takes_no_other_and_never_more_than_there_is(
    history: list[tuple[str, Actor, Actor, int]], slash_bps: int
) -> None:
    chain = StakeChain(double_sign_bps=slash_bps, min_inflation_bps=0, max_inflation_bps=0)
    for who in PEOPLE:
        for validator in VALIDATORS:
            chain.ok(who, "delegate", validator.address, 60 * QX)
    left: list[tuple[Actor, Actor, int, int]] = []
    offences: dict[Actor, tuple[int, int]] = {}
    for name, who, validator, value in history:
        if name == "leave":
            if chain.do(who, "undelegate", validator.address, value).status == 0:
                left.append((who, validator, value, chain.height))
        elif name == "double":
            offence = max(1, chain.height - value)
            tokens = chain.query("staking.get_validator", validator.address).validator.tokens
            chain.double_vote(validator, offence)
            after = chain.query("staking.get_validator", validator.address).validator.tokens
            if validator in offences:
                assert after == tokens, "once for each validator"
                # An earlier offence told later reaches who left between the two.
                first, slashed = offences[validator]
                offences[validator] = (min(first, offence), slashed)
            else:
                assert after == tokens - -(-tokens * slash_bps // 10_000) >= 0
                offences[validator] = (offence, chain.height)
        else:
            for _ in range(value):
                chain.run()
    expected: dict[Actor, list[int]] = {who: [] for who in PEOPLE}
    for who, validator, amount, height in left:
        offence, slashed = offences.get(validator, (1 << 62, 0))
        answers = offence <= height < slashed
        expected[who].append(amount - -(-amount * slash_bps // 10_000) if answers else amount)
    for who in PEOPLE:
        told = chain.query("staking.list_unbondings", who.address, None, None).items
        assert [entry.pays for entry in told] == expected[who]
    before = {who: chain.balance(who.address) for who in PEOPLE}
    chain.pass_time(UNBONDING + 1)
    chain.run()
    for who in PEOPLE:
        assert chain.balance(who.address) - before[who] == sum(expected[who])
    chain.check()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("delegate"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS[:2]), st.integers(10**6, 900 * QX)),
            st.tuples(st.just("lock"), st.sampled_from(PEOPLE), st.sampled_from(VALIDATORS[:2]), st.just(0)),
            st.tuples(st.just("time"), st.just(ALICE), st.just(VAL1), st.integers(1, 5 * DAY)),
            st.tuples(st.just("slash"), st.just(ALICE), st.sampled_from(VALIDATORS[:2]), st.just(0)),
        ),
        min_size=1,
        max_size=10,
    )
)  # fmt: skip
def test_nobody_gets_more_than_the_exact_result_and_hardly_less(
    history: list[tuple[str, Actor, Actor, int]],
) -> None:
    chain = StakeChain(
        commission_bps=COMMISSION, community_tax_bps=TAX, boosts=[{"lock_s": 366 * DAY, "boost_bps": 15_000}],
        max_missed_bps=0, downtime_bps=300, downtime_jail_s=1, window_blocks=4, goal_bonded_bps=10_000,
    )  # fmt: skip
    exact = Reference()

    def step(action: Any) -> None:
        """One block; the reference is told what was divided in it, by the powers and stakes before it."""
        before, powers = chain.books(), {v: chain.powers().get(v.address, 0) for v in VALIDATORS}
        supply, held, written = chain.supply(), chain.balance(MAIN), weights(chain, list(exact.units))
        action()
        fees = held - sum([before.bonded, before.unbonding, before.rewards, before.community, before.liquid])
        after = chain.books()
        if after.accrued_ns == before.accrued_ns:
            return
        rate = inflation_rate(before.bonded, supply, 500, 2_000, 10_000)
        new, _ = minted(supply, rate, after.accrued_ns - before.accrued_ns, before.inflation_carry)
        amount = new + fees
        exact.rewards(Fraction(amount - amount * TAX // 10_000), powers, written)

    for name, who, validator, value in history:
        if name == "delegate":
            step(lambda w=who, v=validator, n=value: chain.do(w, "delegate", v.address, n))
            if chain.results[-1].receipts[0].status == 0:
                exact.add(who, validator, value)
        elif name == "lock":
            step(lambda w=who, v=validator: chain.do(w, "lock", v.address, 366 * DAY))
            if chain.results[-1].receipts[0].status == 0:
                exact.boost[who, validator] = Fraction(3, 2)
        elif name == "time":
            chain.pass_time(value)
            step(chain.run)
        elif validator.address in chain.powers():
            chain.absent = (validator.address,)
            step(chain.run)
            chain.absent = ()
            exact.slash(validator, 300)
            chain.pass_time(2)
            step(lambda v=validator: chain.do(v, "unjail"))
            assert chain.results[-1].receipts[0].status == 0
        chain.check()
    step(lambda: chain.do(VAL3, "edit_validator", "the end", None, None))
    for who, validator in exact.units:
        stake, found = exact.stake((who, validator)), chain.tokens(who, validator)
        assert stake - 1 - ROOM < found <= stake + ROOM
    paid = 0
    for who, validator in exact.units:
        before = chain.balance(who.address)
        step(lambda w=who, v=validator: chain.do(w, "withdraw_rewards", v.address))
        (receipt,) = chain.results[-1].receipts
        got = 0 if receipt.status else chain.balance(who.address) - before + receipt.fee
        earned = exact.earned.get((who, validator), Fraction(0))
        assert earned - 1 - ROOM < got <= earned + ROOM
        due = exact.by_shares.get((who, validator), Fraction(0))
        rest = chain.query("staking.get_delegation", who.address, validator.address).delegation.owed
        assert got + (0 if receipt.status else Fraction(rest, SCALE)) <= due, "by no fraction of a unit more"
        paid += got
        booked = chain.query("staking.get_validator", validator.address).validator.commission
        assert Fraction(booked, SCALE) <= exact.commission[validator], "not by 2^-96 of a unit"
    for validator in VALIDATORS[:2]:
        before = chain.balance(validator.address)
        step(lambda v=validator: chain.do(v, "withdraw_commission"))
        (receipt,) = chain.results[-1].receipts
        got = 0 if receipt.status else chain.balance(validator.address) - before + receipt.fee
        assert exact.commission[validator] - 1 - ROOM < got <= exact.commission[validator]
        paid += got
    assert paid <= exact.allotted, "never more than was allotted"
    chain.check()
