"""What offences cost, whom they reach, and that nobody slips away."""

from __future__ import annotations

from qenex import errors
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

SLASH = 500
"""Basis points that a double vote costs."""


def kept(amount: int) -> int:
    """What a double vote leaves, the loss rounded up."""
    return amount - -(-amount * SLASH // 10_000)


def test_a_double_vote_slashes_all_stake_and_ends_the_validator() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    supply = chain.supply()
    chain.double_vote(VAL1, chain.height)
    assert chain.tokens(ALICE, VAL1) == kept(500 * QX)
    assert chain.tokens(VAL1, VAL1) == kept(STAKE)
    assert supply - chain.supply() == 1_500 * QX * SLASH // 10_000 - sum_minted(chain, supply)
    assert VAL1.address not in chain.powers()
    assert [f.offence_height for f in chain.events("validator_tombstoned")] == [chain.height - 1]
    assert chain.do(VAL1, "unjail").status == errors.ValidatorTombstoned.code
    assert chain.do(BOB, "delegate", VAL1.address, QX).status == errors.ValidatorTombstoned.code
    before = chain.tokens(ALICE, VAL1)
    chain.double_vote(VAL1, 1)
    assert chain.tokens(ALICE, VAL1) == before, "once for each validator"
    chain.ok(ALICE, "undelegate", VAL1.address, before)
    chain.check()


def sum_minted(chain: StakeChain, supply: int) -> int:
    """What the last block minted: the slash burned the rest of the difference."""
    slashed = sum([fields.amount for fields in chain.events("validator_slashed")])
    return chain.supply() + slashed - supply


def test_what_left_since_the_offence_is_reached_and_what_left_before_is_not() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 900 * QX)
    chain.ok(ALICE, "undelegate", VAL1.address, 100 * QX)
    chain.run()
    offence = chain.height
    chain.run()
    chain.ok(ALICE, "undelegate", VAL1.address, 200 * QX)
    chain.double_vote(VAL1, offence)
    chain.ok(ALICE, "undelegate", VAL1.address, 300 * QX)
    waiting = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert [entry.pays for entry in waiting] == [100 * QX, kept(200 * QX), 300 * QX]
    before, supply = chain.balance(ALICE.address), chain.supply()
    chain.pass_time(22 * DAY)
    chain.run()
    assert chain.balance(ALICE.address) == before + 100 * QX + kept(200 * QX) + 300 * QX
    assert supply - chain.supply() == 10 * QX, "burned when it would have arrived"
    chain.check()


def test_a_second_offence_does_not_hide_stake_from_the_first() -> None:
    """Vote twice in secret, take the stake out, vote twice again and have that told first."""
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 900 * QX)
    chain.ok(ALICE, "undelegate", VAL1.address, 50 * QX)
    offence = chain.height + 1
    chain.ok(ALICE, "undelegate", VAL1.address, 200 * QX)
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 300 * QX)
    chain.run()
    chain.double_vote(VAL1, chain.height)
    tokens, (told,) = chain.tokens(VAL1, VAL1), chain.events("validator_slashed")
    waiting = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert [entry.pays for entry in waiting] == [50 * QX, 200 * QX]
    assert told.offence_height > offence
    for _ in range(2):
        chain.double_vote(VAL1, offence)
        waiting = chain.query("staking.list_unbondings", ALICE.address, None, None).items
        assert [entry.pays for entry in waiting] == [50 * QX, kept(200 * QX)]
        assert chain.tokens(ALICE, VAL2) == kept(300 * QX)
    assert chain.tokens(VAL1, VAL1) == tokens, "what stayed is slashed once"
    chain.double_vote(VAL1, chain.height)
    waiting = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert [entry.pays for entry in waiting] == [50 * QX, kept(200 * QX)], "nor does a third"
    chain.check()


def test_redelegation_does_not_dodge_a_slash() -> None:
    chain = StakeChain()
    for actor in (ALICE, BOB, CAROL):
        chain.ok(actor, "delegate", VAL1.address, 300 * QX)
    chain.ok(CAROL, "redelegate", VAL1.address, VAL2.address, 100 * QX)
    offence = chain.height + 1
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 300 * QX)
    chain.ok(BOB, "redelegate", VAL1.address, VAL2.address, 300 * QX)
    chain.ok(BOB, "undelegate", VAL2.address, 200 * QX)
    before = chain.tokens(VAL2, VAL2)
    chain.double_vote(VAL1, offence)
    assert chain.tokens(ALICE, VAL2) == kept(300 * QX), "reached at once, by the hook"
    assert chain.tokens(BOB, VAL2) == kept(100 * QX)
    (leaving,) = chain.query("staking.list_unbondings", BOB.address, None, None).items
    assert leaving.pays == kept(200 * QX)
    assert chain.tokens(CAROL, VAL2) == 100 * QX, "left before the offence"
    assert chain.tokens(CAROL, VAL1) == kept(200 * QX)
    assert chain.tokens(VAL2, VAL2) == before, "others with the target lose nothing"
    assert len(chain.events("redelegation_slashed")) == 2
    chain.check()
    chain.pass_time(22 * DAY)
    chain.run()
    chain.check()
    assert chain.query("staking.get_delegation", CAROL.address, VAL2.address).delegation.incoming == 0


def test_free_stake_leaves_before_what_came_by_redelegation() -> None:
    chain = StakeChain()
    chain.ok(ALICE, "delegate", VAL1.address, 300 * QX)
    chain.ok(ALICE, "delegate", VAL2.address, 100 * QX)
    offence = chain.height + 1
    chain.ok(ALICE, "redelegate", VAL1.address, VAL2.address, 300 * QX)
    chain.ok(ALICE, "undelegate", VAL2.address, 150 * QX)
    parts = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert [(p.unbonding.amount, p.unbonding.origin is not None) for p in parts] == [
        (50 * QX, True),
        (100 * QX, False),
    ]
    chain.double_vote(VAL1, offence)
    parts = chain.query("staking.list_unbondings", ALICE.address, None, None).items
    assert [p.pays for p in parts] == [kept(50 * QX), 100 * QX]
    assert chain.tokens(ALICE, VAL2) == kept(250 * QX)
    chain.check()


def test_many_redelegations_are_reached_over_several_blocks_or_when_touched() -> None:
    chain = StakeChain(hook_items=6)
    offence = chain.height + 1
    for actor in (ALICE, BOB, CAROL):
        chain.ok(actor, "delegate", VAL1.address, 300 * QX)
        chain.ok(actor, "redelegate", VAL1.address, VAL2.address, 100 * QX)
        chain.ok(actor, "redelegate", VAL1.address, VAL3.address, 100 * QX)
    chain.double_vote(VAL1, offence)
    reached = [len(chain.events("redelegation_slashed"))]
    for _ in range(3):
        chain.run()
        reached.append(len(chain.events("redelegation_slashed")))
    assert reached == [2, 2, 2, 0]
    for actor in (ALICE, BOB, CAROL):
        assert chain.tokens(actor, VAL2) == chain.tokens(actor, VAL3) == kept(100 * QX)
    chain.run()
    chain.run()
    assert not [key for key in chain.results[-1].changes if key[0] == 4]
    chain.check()


def test_who_moves_before_the_hook_comes_is_reached_by_moving() -> None:
    chain = StakeChain(hook_items=3)
    offence = chain.height + 1
    for actor in (ALICE, BOB):
        chain.ok(actor, "delegate", VAL1.address, 100 * QX)
        chain.ok(actor, "redelegate", VAL1.address, VAL2.address, 100 * QX)
    chain.double_vote(VAL1, offence)
    assert chain.tokens(BOB, VAL2) == 100 * QX, "not yet"
    refused = chain.do(BOB, "undelegate", VAL2.address, 100 * QX)
    assert refused.status == errors.InsufficientDelegation.code
    chain.ok(BOB, "undelegate", VAL2.address, kept(100 * QX))
    chain.check()


def test_who_is_down_is_jailed_and_comes_back() -> None:
    chain = StakeChain(window_blocks=20, max_missed_bps=2_500, downtime_bps=100)
    chain.absent = (VAL2.address,)
    while VAL2.address in chain.powers():
        chain.run()
        assert chain.height <= 45, "at most two windows"
    (slashed,) = chain.events("validator_slashed")
    assert (slashed.reason, slashed.amount) == ("downtime", STAKE // 100)
    chain.run()
    assert chain.events("validator_slashed") == [], "who is out already is not punished again"
    chain.absent = ()
    assert chain.do(VAL2, "unjail").status == errors.StillJailed.code
    assert chain.do(ALICE, "delegate", VAL2.address, QX).status == errors.ValidatorJailed.code
    until = chain.query("staking.get_validator", VAL2.address).validator.jailed_until_s
    chain.time = (until - 1) * 10**9
    assert chain.do(VAL2, "unjail").status == errors.StillJailed.code, "the last second counts"
    chain.time = until * 10**9 - 10**8
    chain.ok(VAL2, "unjail")
    assert chain.powers()[VAL2.address] == 990
    assert chain.query("staking.get_signing", VAL2.address).missed == 0
    chain.check()


def test_a_few_missed_votes_cost_nothing() -> None:
    chain = StakeChain(window_blocks=20, max_missed_bps=2_500)
    for number in range(100):
        chain.absent = (VAL2.address,) if number % 4 == 0 else ()
        chain.run()
    assert chain.tokens(VAL2, VAL2) == STAKE
    assert VAL2.address in chain.powers()
    info = chain.query("staking.get_signing", VAL2.address)
    assert info.missed <= info.allowed == 5
    chain.check()


def test_missed_prices_cost_a_little() -> None:
    feed = {
        "symbol": "QXC/USD", "max_age_s": 60, "min_reports": 1, "min_power_bps": 1, "max_deviation_bps": 1_000,
    }  # fmt: skip
    chain = StakeChain(oracle={"feeds": [feed], "window_s": 5, "period_s": 60}, oracle_bps=10)
    slashed = []
    for _ in range(16):
        chain.pass_time(5)
        chain.run(*[chain.tx(v, ("oracle.report", ((("QXC/USD", 1, 0),),))) for v in (VAL1, VAL3)])
        slashed += chain.events("validator_slashed")
    (fields,) = slashed
    assert (fields.validator, fields.reason) == (VAL2.address, "prices missed")
    assert fields.amount == STAKE // 1_000
    assert VAL2.address in chain.powers()
    chain.check()


def test_the_last_validator_stays_whatever_it_did() -> None:
    chain = StakeChain(((VAL1, STAKE),))
    chain.double_vote(VAL1, 1)
    assert chain.powers() == {VAL1.address: 1_000}, "a set without validators would end the chain"
    chain.check()


def test_slashed_to_nothing_takes_nothing_more() -> None:
    chain = StakeChain(double_sign_bps=10_000)
    chain.ok(ALICE, "delegate", VAL1.address, 500 * QX)
    chain.ok(ALICE, "undelegate", VAL1.address, 100 * QX)
    chain.double_vote(VAL1, 1)
    assert chain.tokens(ALICE, VAL1) == 0
    assert chain.do(ALICE, "undelegate", VAL1.address, 1).status == errors.InsufficientDelegation.code
    before = chain.balance(ALICE.address)
    chain.pass_time(22 * DAY)
    chain.run()
    assert chain.balance(ALICE.address) == before
    chain.check()
