"""The oracle on a chain: who reports, what readers are given, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.oracle import Oracle
from defi_modules.oracle.types import Feed
from qenex.block import Receipt
from qenex.errors import (
    FeederTaken,
    InvalidGenesis,
    InvalidPrice,
    NotReporter,
    PriceStale,
    PriceUncertain,
    QenexError,
    UnknownFeed,
)
from tests.vm.chain import ACTORS, Actor, Chain

ALICE, BOB, CAROL, DAVE, ERIN = ACTORS[:5]
FEED = "QXC/USD"


def feed_json(symbol: str = FEED, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "max_age_s": 60, "min_reports": 2, "min_power_bps": 5_000, "max_deviation_bps": 1_000,
        **changes,
    }  # fmt: skip


class Prices(Chain):
    """Alice, Bob and Carol are validators with powers 5, 3 and 2."""

    def __init__(self, *feeds: dict[str, Any], **parameters: Any) -> None:
        given = {"feeds": list(feeds) or [feed_json()], "window_s": 5, "period_s": 60, **parameters}
        powers = ((ALICE, 5), (BOB, 3), (CAROL, 2))
        super().__init__(
            Oracle,
            parameters={"oracle": given},
            validators=[(actor.address, actor.key, power) for actor, power in powers],
        )

    def report(self, actor: Actor, mantissa: int, exponent: int = 0, symbol: str = FEED) -> Receipt:
        return self.send_block(actor, ("oracle.report", (((symbol, mantissa, exponent),),)))

    def price(self, max_age: int = 60, max_spread: int = 10_000, symbol: str = FEED) -> Any:
        return self.query("oracle.get_price", symbol, max_age, max_spread)

    def refused(self, **accepted: Any) -> type[QenexError]:
        with pytest.raises(QenexError) as caught:
            self.price(**accepted)
        return type(caught.value)


def test_the_price_is_the_median_by_power_and_a_reader_says_what_it_accepts() -> None:
    chain = Prices()
    assert chain.refused() is PriceStale
    assert chain.report(ALICE, 100).status == 0
    assert chain.refused() is PriceStale, "one report is no price"
    chain.report(BOB, 105)
    found = chain.price()
    assert found.price == 100 * 10**8, "five of eight"
    assert chain.refused(max_spread=1) is PriceUncertain
    chain.report(CAROL, 104)
    assert chain.price().price == 102 * 10**8, "half of the power below, half above"
    chain.time += 30 * 10**9
    assert chain.price(max_age=60).age_s >= 30
    assert chain.refused(max_age=29) is PriceStale
    assert [p.symbol for p in chain.query("oracle.list_prices")] == [FEED]
    assert chain.problems() == []


def test_an_uncertainty_is_rounded_up_and_an_age_counts_to_the_second() -> None:
    chain = Prices()
    chain.report(ALICE, 3)
    chain.report(BOB, 4)
    assert chain.price().spread_bps == 3_334, "a third of the price"
    assert chain.refused(max_spread=3_333) is PriceUncertain
    assert chain.price(max_spread=3_334).price == 3 * 10**8
    made = chain.price().time_s
    chain.time = (made + 30) * 10**9
    chain.run()
    age = chain.price().age_s
    assert chain.price(max_age=age).age_s == age
    assert chain.refused(max_age=age - 1) is PriceStale


def test_who_misses_as_much_as_it_may_is_not_named() -> None:
    chain = Prices(max_missed_bps=10_000)
    named = []
    for _ in range(16):
        chain.time += 5 * 10**9
        chain.run(chain.tx(ALICE, ("oracle.report", (((FEED, 100, 0),),))))
        named += [e for e in chain.results[-1].end_events if e.name == "oracle.reports_missed"]
    assert named == []
    missed = {r.validator: r.diligence.missed for r in chain.query("oracle.list_reporters")}
    assert missed[CAROL.address] > 0


def test_a_feeder_that_lacks_a_feed_misses_every_window() -> None:
    chain = Prices(feed_json(min_reports=1), feed_json("BTC/USD", min_reports=1))
    for _ in range(6):
        chain.time += 5 * 10**9
        chain.run(
            chain.tx(ALICE, ("oracle.report", (((FEED, 100, 0),),))),
            chain.tx(BOB, ("oracle.report", (((FEED, 100, 0), ("BTC/USD", 5, 4)),))),
        )
    diligence = {r.validator: r.diligence for r in chain.query("oracle.list_reporters")}
    assert diligence[ALICE.address].missed == diligence[ALICE.address].windows > 3
    assert diligence[BOB.address].missed <= 1
    assert chain.price(symbol=FEED).price == 100 * 10**8, "what it has is used all the same"


def test_only_active_validators_and_their_feeders_report() -> None:
    chain = Prices()
    assert chain.report(DAVE, 100).status == NotReporter.code
    assert chain.send_block(DAVE, ("oracle.set_feeder", (ERIN.address,))).status == NotReporter.code
    assert chain.send_block(ALICE, ("oracle.set_feeder", (DAVE.address,))).status == 0
    assert chain.send_block(BOB, ("oracle.set_feeder", (DAVE.address,))).status == FeederTaken.code
    assert chain.send_block(BOB, ("oracle.set_feeder", (BOB.address,))).status == FeederTaken.code
    assert chain.report(DAVE, 100).status == 0
    chain.report(BOB, 100)
    assert chain.price().reports == 2, "the feeder speaks for Alice"
    assert chain.send_block(ALICE, ("oracle.set_feeder", (ERIN.address,))).status == 0
    assert chain.report(DAVE, 100).status == NotReporter.code
    assert chain.send_block(ALICE, ("oracle.set_feeder", (None,))).status == 0
    assert chain.report(ERIN, 100).status == NotReporter.code
    assert chain.problems() == []


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ((FEED, 1, 19), InvalidPrice),
        ((FEED, 1, -64), InvalidPrice),
        ((FEED, 0, 0), InvalidPrice),
        ((FEED, 10**28, 18), InvalidPrice),
        (("BTC/USD", 1, 0), UnknownFeed),
    ],
)
def test_absurd_reports_are_refused_by_name(report: tuple[Any, ...], error: Any) -> None:
    chain = Prices()
    assert chain.send_block(ALICE, ("oracle.report", ((report,),))).status == error.code
    twice = chain.send_block(ALICE, ("oracle.report", (((FEED, 1, 0), (FEED, 1, 0)),)))
    assert twice.status == InvalidPrice.code


def test_a_report_far_off_a_fresh_price_is_left_out_and_a_real_move_is_followed_when_that_is_stale() -> None:
    chain = Prices()
    chain.report(ALICE, 100)
    chain.report(BOB, 100)
    chain.report(ALICE, 200)
    assert chain.price().price == 100 * 10**8, "Alice alone is outside of the band; Bob alone is no price"
    chain.report(BOB, 200)
    chain.report(CAROL, 200)
    assert chain.price().price == 100 * 10**8, "all agree, but the band holds while the price is fresh"
    chain.time += 61 * 10**9
    for actor in (ALICE, BOB):
        chain.report(actor, 200)
    assert chain.price().price == 200 * 10**8


def test_too_little_power_makes_no_price() -> None:
    chain = Prices(feed_json(min_power_bps=6_000))
    chain.report(BOB, 100)
    chain.report(CAROL, 100)
    assert chain.refused() is PriceStale
    chain.report(ALICE, 100)
    assert chain.price().price == 100 * 10**8


def test_who_misses_too_much_is_named_at_the_end_of_a_period() -> None:
    chain = Prices()
    named: list[Any] = []
    for _ in range(16):
        chain.time += 5 * 10**9
        chain.run(
            chain.tx(ALICE, ("oracle.report", (((FEED, 100, 0),),))),
            chain.tx(BOB, ("oracle.report", (((FEED, 100, 0),),))),
        )
        named += [e.fields for e in chain.results[-1].end_events if e.name == "oracle.reports_missed"]
    assert [fields.validator for fields in named] == [CAROL.address]
    (fields,) = named
    assert fields.missed == fields.windows > 5
    reporters = {r.validator: r.diligence for r in chain.query("oracle.list_reporters")}
    assert reporters[ALICE.address].missed <= 1


def test_a_block_works_off_a_bounded_number_of_feeds() -> None:
    symbols = [f"A{number}/USD" for number in range(5)]
    chain = Prices(*[feed_json(symbol, min_reports=1) for symbol in symbols], hook_items=2)
    reports = tuple([(symbol, 7, 0) for symbol in symbols])
    assert chain.send_block(ALICE, ("oracle.report", (reports,))).status == 0
    counts = []
    for _ in range(4):
        counts.append(len([e for e in chain.results[-1].end_events if e.name == "oracle.price_updated"]))
        chain.run()
    assert counts == [2, 2, 1, 0]
    assert {p.symbol for p in chain.query("oracle.list_prices")} == set(symbols)


def test_a_chain_without_feeds_writes_nothing() -> None:
    chain = Chain(Oracle)
    chain.run()
    assert not [key for key in chain.results[-1].changes if key[:1] == b"\x06"]


def test_exported_genesis_begins_with_the_same_prices() -> None:
    chain = Prices()
    chain.send_block(ALICE, ("oracle.set_feeder", (DAVE.address,)))
    chain.report(DAVE, 100)
    chain.report(BOB, 101)
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(Oracle, actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert again.machine.export_genesis(again.base) == exported
    assert Feed(**exported["parameters"]["oracle"]["feeds"][0]) == Feed(**feed_json())


@pytest.mark.parametrize("data", [{"x": []}, {"feeders": {}}, {"prices": [{}]}, {"reports": [1]}])
def test_genesis_is_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(Oracle, data={"oracle": data})
