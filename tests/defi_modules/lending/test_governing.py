"""Markets listed and changed by a vote: ranges at submission, the timelock, and terms that move in steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from defi_modules.amm import Amm
from defi_modules.governance import Governance
from defi_modules.governance.types import EXECUTED, FAILED, QUEUED
from defi_modules.lending import Lending
from defi_modules.lending.ramping import between, rising, small, terms_at
from defi_modules.lending.types import Ramp, Terms
from defi_modules.oracle import Oracle
from defi_modules.staking import MAIN, Staking, StakingParams, bonds_to_json
from defi_modules.tokens import Tokens
from qenex.block import Receipt
from qenex.codec import codec_for
from qenex.errors import (
    FeedsDisagree,
    InvalidMarketTerms,
    InvalidParameters,
    MarketNotListed,
    QenexError,
    ReserveTooSmall,
    SupplyCapReached,
    UnknownAction,
    UnknownFeed,
    UnknownModule,
)
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ERIN,
    FEEDS,
    ONE,
    RICH,
    WAD,
    A,
    B,
    Bank,
    C,
    borrow,
    liquidate,
    repay,
    supply,
    terms,
)
from tests.vm.chain import ACTORS, Actor, Chain

QX = 10**9
DEPOSIT = Coin("QXC", 10 * QX)
VALIDATORS = [Actor(200 + number) for number in range(3)]
KEYS = [Actor(300 + number) for number in range(3)]
DAY = 86_400


class Assembly(Chain):
    """Three validators who vote, feeds for A and B, a market of A that is open; votes last 100 s, the timelock 50 s."""

    def __init__(self) -> None:
        listed = [(actor.address, f"v{n}", 1_000 * QX) for n, actor in enumerate(VALIDATORS)]
        bonds, bonded, powers = bonds_to_json(listed, StakingParams())
        feeds = [
            {"symbol": FEEDS[denom], "max_age_s": DAY, "min_reports": 1, "min_power_bps": 1, "max_deviation_bps": 10_000}
            for denom in (A, B)
        ]  # fmt: skip
        super().__init__(
            Tokens, Oracle, Amm, Staking, Governance, Lending,
            parameters={
                "machine": {"max_block_gas": 10**9},
                "oracle": {"feeds": feeds},
                "governance": {
                    "min_deposit": 10 * QX, "voting_period_s": 100, "expedited_period_s": 20, "timelock_s": 50,
                    "expedited_timelock_s": 10,
                },
                "lending": {"ramp_s": 7 * DAY, "growth_s": 30 * DAY, "start_bps": 1_000},
            },
            actors=[*ACTORS, *VALIDATORS],
            balances=[
                (MAIN, "QXC", int(bonded["amount"])),
                *[(actor.address, denom, RICH) for actor in ACTORS for denom in (A, B)],
            ],
            validators=[(v.address, k.key, p) for v, k, p in zip(VALIDATORS, KEYS, powers, strict=True)],
            data={"staking": {"bonds": bonds}, "lending": {"terms": [terms(A)]}},
        )  # fmt: skip
        self.send_block(DAVE, ("lending.seed", (A,)))

    def propose(
        self, action: str, arguments: Any, module: str = "lending", expedited: bool = False
    ) -> Receipt:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        message = ("governance.propose_action", (module, action, text, "why", DEPOSIT, expedited))
        return self.send_block(ALICE, message)

    def later(self, seconds: int) -> None:
        self.time += seconds * 10**9
        self.run()
        self.run()

    def pass_(self, action: str, arguments: Any) -> Any:
        """Propose, vote, wait: the proposal after its execution."""
        receipt = self.propose(action, arguments)
        assert receipt.status == 0, (receipt.status, self.block_error())
        number = receipt.results[0].id
        for validator in VALIDATORS[:2]:
            assert self.send_block(validator, ("governance.vote", (number, "yes"))).status == 0
        self.later(100)
        assert self.proposal(number).status == QUEUED
        self.later(50)
        assert self.problems() == []
        return self.proposal(number)

    def block_error(self) -> Any:
        return self.machine.execution and self.machine.execution.error

    def proposal(self, number: int) -> Any:
        return self.query("governance.get_proposal", number).proposal

    def market(self, denom: str) -> Any:
        return self.query("lending.get_market", denom)


def test_a_vote_lists_a_market_that_starts_small_and_grows_once_it_is_open() -> None:
    chain = Assembly()
    new = terms(B, supply_cap=str(1_000 * ONE), borrow_cap=str(500 * ONE))
    assert chain.pass_("govern_market", {"terms": new}).status == EXECUTED
    listed = chain.market(B).terms
    assert (listed.supply_cap, listed.borrow_cap) == (100 * ONE, 50 * ONE), "a tenth of its caps"
    chain.later(60 * DAY)
    assert chain.market(B).terms == listed, "nothing grows while the market is not open"
    assert chain.send_block(DAVE, ("lending.seed", (B,))).status == 0
    assert chain.send_block(CAROL, supply(B, 101 * ONE)).status == SupplyCapReached.code
    chain.later(15 * DAY)
    half = chain.market(B).terms.supply_cap
    assert half == pytest.approx(550 * ONE, rel=0.02)
    assert chain.send_block(CAROL, supply(B, half - 2 * ONE)).status == 0
    chain.later(15 * DAY)
    assert chain.market(B).terms.supply_cap == 1_000 * ONE
    assert chain.query("lending.get_ramp", B) is None
    assert chain.problems() == []


def test_a_vote_changes_single_terms_and_the_others_stay() -> None:
    chain = Assembly()
    before = chain.market(A).terms
    assert chain.pass_("govern_terms", {"denom": A, "ltv_bps": 5_000, "max_age_s": 600}).status == EXECUTED
    assert chain.market(A).terms == before._replace(ltv_bps=5_000, max_age_s=600), "tightened at once"
    assert chain.pass_("govern_pause", {"denom": A, "flags": 4}).status == EXECUTED
    assert chain.market(A).state.paused == 4
    group = {"number": 1, "ltv_bps": 9_000, "threshold_bps": 9_200, "bonus_bps": 10_200}
    assert chain.pass_("govern_group", {"group": group}).status == EXECUTED


def test_a_second_change_adds_to_where_the_first_is_on_its_way_to() -> None:
    chain = Assembly()
    chain.pass_("govern_terms", {"denom": A, "threshold_bps": 7_800})
    chain.pass_("govern_terms", {"denom": A, "bonus_bps": 10_800})
    chain.later(8 * DAY)
    found = chain.market(A).terms
    assert (found.threshold_bps, found.bonus_bps) == (7_800, 10_800)


@pytest.mark.parametrize(
    ("action", "arguments", "error", "words"),
    [
        ("govern_market", {"terms": terms(B, ltv_bps=9_501)}, InvalidParameters, "ltv_bps"),
        ("govern_market", {"terms": terms(B, threshold_bps=9_701)}, InvalidParameters, "from 0 to 9700"),
        ("govern_market", {"terms": terms(B, bonus_bps=12_001)}, InvalidParameters, "from 10000 to 12000"),
        ("govern_market", {"terms": terms(B, ltv_bps=8_000)}, InvalidMarketTerms, "8000"),
        ("govern_market", {"terms": {**terms(B), "feed": "ZZZ/USD"}}, UnknownFeed, "ZZZ/USD"),
        ("govern_market", {}, InvalidParameters, "one at least"),
        ("govern_market", {"terms": {**terms(B), "ltv_bps": 1.5}}, InvalidParameters, "no integer"),
        ("govern_market", {"terms": {"$": [0, "market"]}}, InvalidParameters, "refer"),
        ("govern_market", "[" * 200, InvalidParameters, "JSON"),
        ("govern_market", {"terms": terms(A, seed=1)}, InvalidMarketTerms, "seed"),
        ("govern_terms", {"denom": A, "slope2_ray": str(5 * 10**27)}, InvalidParameters, "slope2_ray"),
        ("govern_terms", {"denom": A, "nothing": 1}, InvalidParameters, "nothing"),
        ("govern_terms", {"denom": A}, InvalidMarketTerms, "no term"),
        ("govern_terms", {"denom": B, "ltv_bps": 1}, MarketNotListed, "no market"),
        ("govern_reserves", {"denom": A, "amount": "1"}, ReserveTooSmall, "can be collected"),
        ("get_market", {"denom": A}, UnknownAction, "govern_market"),
        ("power_at", {"denom": A}, UnknownAction, "govern_market"),
    ],
)  # fmt: skip
def test_an_action_that_could_not_be_carried_out_is_refused_when_it_is_proposed(
    action: str, arguments: Any, error: type[QenexError], words: str
) -> None:
    chain = Assembly()
    before = dict(chain.store.values)
    receipt = chain.propose(action, arguments)
    assert receipt.status == error.code, chain.block_error()
    assert words in str(chain.block_error())
    changed = {key[:1] for key, value in chain.store.values.items() if before.get(key) != value}
    assert not changed & {b"\x05", b"\x08"}, "neither governance nor lending has changed"


def test_an_action_of_no_module_or_of_one_without_actions_is_refused() -> None:
    chain = Assembly()
    assert chain.propose("govern_market", {"a": 1}, "nothing").status == UnknownModule.code
    assert chain.propose("govern_market", {"a": 1}, "bank").status == UnknownAction.code
    assert chain.propose("power_at", {"a": 1}, "staking").status == UnknownAction.code


def test_what_is_proposed_is_tried_and_leaves_nothing_before_its_time() -> None:
    chain = Assembly()
    assert chain.propose("govern_market", {"terms": terms(B)}).status == 0
    with pytest.raises(MarketNotListed):
        chain.market(B)
    assert chain.problems() == []


def test_what_cannot_be_done_any_more_fails_by_name_and_nothing_of_it_stays() -> None:
    chain = Assembly()
    numbers = []
    for seed in (7, 8):
        numbers.append(chain.propose("govern_market", {"terms": terms(B, seed=seed)}).results[0].id)
        for validator in VALIDATORS:
            assert chain.send_block(validator, ("governance.vote", (numbers[-1], "yes"))).status == 0
        chain.later(30)
    chain.later(40)
    chain.later(50)
    assert chain.proposal(numbers[0]).status == EXECUTED
    assert chain.proposal(numbers[1]).status == QUEUED
    assert chain.send_block(DAVE, ("lending.seed", (B,))).status == 0
    chain.later(60)
    failed = chain.proposal(numbers[1])
    assert (failed.status, failed.code) == (FAILED, InvalidMarketTerms.code), (
        "the market is open: its seed stays"
    )
    assert chain.market(B).terms.seed == 7
    assert chain.problems() == []


def test_a_pool_is_paused_by_a_vote_through_the_same_door() -> None:
    chain = Assembly()
    assert chain.send_block(DAVE, ("amm.create_pool", (A, B, 30))).status == 0
    number = chain.propose("govern_pool_pause", {"pool": 1, "paused": True}, "amm").results[0].id
    for validator in VALIDATORS:
        chain.send_block(validator, ("governance.vote", (number, "yes")))
    chain.later(100)
    chain.later(50)
    assert chain.proposal(number).status == EXECUTED
    assert chain.query("amm.get_pool", 1).paused


# -- ramps, on a chain whose authority changes terms: both take the same steps ------------------------------


def changed(bank: Bank, denom: str = A, **changes: Any) -> None:
    bank.must(ERIN, ("lending.list_market", (bank.market(denom).terms._replace(**changes),)))


def test_a_lower_threshold_liquidates_nobody_at_once_and_leaves_time_to_repay() -> None:
    bank = Bank(keeper_items=0, ramp_s=7 * DAY)
    bank.indebted(lent=7_000 * ONE)
    changed(bank, threshold_bps=6_000, ltv_bps=5_000)
    assert bank.market(A).terms.ltv_bps == 5_000, "no new risk from now on"
    assert bank.market(A).terms.threshold_bps == 8_000
    assert bank.position(BOB).health_wad > WAD
    lowest = 8_000
    for _ in range(24):
        bank.wait(3_600)
        bank.price(A, 100)
        bank.price(B, 100)
        now = bank.market(A).terms.threshold_bps
        assert lowest - 30 <= now <= lowest, "a step is a hundredth of the way"
        lowest = now
    assert lowest == pytest.approx(8_000 - 2_000 / 7, abs=25)
    assert bank.liquidatable() == []
    bank.must(BOB, repay(B, 3_000 * ONE))
    bank.wait(7 * DAY)
    bank.price(A, 100)
    bank.price(B, 100)
    assert bank.market(A).terms.threshold_bps == 6_000
    assert bank.liquidatable() == [], "who repaid in time is safe"
    assert bank.query("lending.get_ramp", A) is None


def test_who_did_not_use_the_time_can_be_liquidated_at_the_end_of_it() -> None:
    bank = Bank(keeper_items=0, ramp_s=7 * DAY)
    bank.indebted(lent=7_000 * ONE)
    changed(bank, threshold_bps=6_900, ltv_bps=5_000)
    bank.wait(8 * DAY)
    bank.price(A, 100)
    bank.price(B, 100)
    assert bank.liquidatable() == [BOB.address]
    bank.must(CAROL, liquidate(BOB))


def test_a_cap_grows_by_schedule_and_shrinks_at_once() -> None:
    bank = Bank(terms(A, supply_cap=str(100 * ONE)), growth_s=30 * DAY)
    changed(bank, supply_cap=400 * ONE)
    bank.refused(SupplyCapReached, CAROL, supply(A, 101 * ONE))
    bank.wait(10 * DAY)
    bank.refused(SupplyCapReached, CAROL, supply(A, 201 * ONE))
    bank.must(CAROL, supply(A, 190 * ONE))
    changed(bank, supply_cap=50 * ONE)
    assert bank.market(A).terms.supply_cap == 50 * ONE
    bank.refused(SupplyCapReached, CAROL, supply(A, 1))


def test_a_lower_threshold_of_a_group_moves_in_time_as_well() -> None:
    group = {"number": 1, "ltv_bps": 9_300, "threshold_bps": 9_500, "bonus_bps": 10_100}
    bank = Bank(terms(A, group=1), terms(B, group=1), groups=(group,), keeper_items=0, ramp_s=7 * DAY)
    bank.must(ALICE, supply(B, 100_000 * ONE))
    bank.stake(BOB, A, 10_000 * ONE)
    bank.must(BOB, ("lending.choose_group", (1,)), borrow(B, 9_200 * ONE))
    bank.must(ERIN, ("lending.set_group", ((1, 8_000, 8_500, 10_100),)))
    bank.wait(3_600)
    for denom in (A, B):
        bank.price(denom, 100)
    assert bank.liquidatable() == []
    bank.wait(4 * DAY)
    for denom in (A, B):
        bank.price(denom, 100)
    assert bank.liquidatable() == [BOB.address]
    bank.wait(4 * DAY)
    assert bank.query("lending.list_markets", None, None).items
    lending: Any = bank.machine.modules["lending"]
    bank.begin()
    assert lending.groups.get(1) == (1, 8_000, 8_500, 10_100)
    assert lending.group_ramps.get(1) is None


def test_rates_move_in_steps_and_interest_of_the_past_does_not() -> None:
    bank = Bank(ramp_s=1_000)
    bank.indebted(lent=7_000 * ONE)
    rate = bank.market(B).state.borrow_ray
    index = bank.market(B).state.index_ray
    changed(bank, B, base_ray=10**27)
    assert bank.market(B).state.borrow_ray == rate, "not at once"
    bank.wait(500)
    assert bank.market(B).state.borrow_ray == pytest.approx(rate + 10**27 // 2, rel=0.05)
    bank.wait(500)
    assert bank.market(B).state.borrow_ray == pytest.approx(rate + 10**27, rel=0.001)
    assert index < bank.market(B).state.index_ray < index + 10**27 // 31_000


def test_an_open_market_keeps_its_group_and_takes_a_feed_only_while_both_agree() -> None:
    groups = tuple(
        {"number": n, "ltv_bps": 5_000, "threshold_bps": threshold, "bonus_bps": 10_100}
        for n, threshold in ((1, 9_000), (2, 7_999))
    )
    bank = Bank(groups=groups)
    bank.price(C, 103)
    listed = bank.market(A).terms
    for wrong, error in (
        ({"group": 2}, InvalidMarketTerms),
        ({"feed": FEEDS[C]}, FeedsDisagree),
        ({"debt_ceiling": 5}, InvalidMarketTerms),
    ):
        bank.refused(error, ERIN, ("lending.list_market", (listed._replace(**wrong),)))
    changed(bank, group=1)
    bank.refused(InvalidMarketTerms, ERIN, ("lending.list_market", (listed,)))
    bank.price(C, 102)
    changed(bank, feed=FEEDS[C])
    assert bank.market(A).terms.feed == FEEDS[C]


def test_threshold_times_bonus_stays_below_one_on_the_whole_way() -> None:
    bank = Bank(terms(A, threshold_bps=9_600, ltv_bps=5_000, bonus_bps=10_400))
    wrong = bank.market(A).terms._replace(threshold_bps=8_000, bonus_bps=12_000)
    bank.refused(InvalidMarketTerms, ERIN, ("lending.list_market", (wrong,)))


def test_exported_genesis_goes_on_with_ramps_and_waiting_withdrawals() -> None:
    group = {"number": 1, "ltv_bps": 9_300, "threshold_bps": 9_500, "bonus_bps": 10_100}
    bank = Bank(terms(A, outflow_bps=1_000), groups=(group,), ramp_s=7 * DAY)
    bank.must(ALICE, supply(A, 10**10))
    bank.must(ALICE, ("lending.withdraw", (A, False, 5 * 10**9, True)))
    changed(bank, B, threshold_bps=7_000, ltv_bps=5_000)
    bank.must(ERIN, ("lending.set_group", ((1, 8_000, 8_500, 10_100),)))
    new = bank.market(B).terms._replace(denom="QXC")
    bank.must(ERIN, ("lending.list_market", (new,)))
    bank.wait(DAY)
    exported = bank.machine.export_genesis(bank.base)
    again = Chain(
        *[type(m) for n, m in bank.machine.modules.items() if n in ("tokens", "oracle", "amm", "lending")],
        actors=[], data=exported["modules"], parameters=exported["parameters"],
    )  # fmt: skip
    assert again.machine.export_genesis(again.base) == exported
    assert again.problems() == []
    again.time = bank.time
    for chain in (bank, again):
        chain.time += 10 * DAY * 10**9
        chain.run()
        chain.run()
    for denom in (A, B, "QXC"):
        assert again.query("lending.get_market", denom).terms == bank.market(denom).terms
    assert again.query("lending.list_waiting", A, None, None) == bank.query(
        "lending.list_waiting", A, None, None
    )


# -- the arithmetic --------------------------------------------------------------------------------------------


def test_values_on_the_way() -> None:
    assert [between(8_000, 6_000, 100, 200, now) for now in (0, 100, 101, 150, 199, 200, 300)] == [
        8_000, 8_000, 7_980, 7_000, 6_020, 6_000, 6_000,
    ]  # fmt: skip
    assert rising(10, 5, 0, 100, 0) == 5
    assert rising(5, 10, 0, 100, 50) == 7
    plain = codec_for(Terms).from_json(terms(A))
    started = small(plain, 1_000)
    assert started.supply_cap == plain.supply_cap // 10
    assert started.ltv_bps == plain.ltv_bps
    ramp = Ramp(started, plain, 0, 0, 0, 0)
    assert terms_at(ramp, 10**9) == started, "not before the market is open"
