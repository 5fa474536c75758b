"""Numbers and answers as people read them: nothing rounds up, nothing small is told as nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cli.amm_view import average_price, candles, pool, pools, statistics
from cli.app import App
from cli.coins import Coins, base_value, bps, percent, ratio, units
from cli.layout import PLAIN
from cli.lending_view import health_text, market, markets
from cli.views import layout
from qenex.client import QenexClient
from tests.qenex.fake_node import FakeNode

WAD = 10**18
NOBODY = QenexClient("http://127.0.0.1:1")
"""Never asked: QXC and shares of pools need no question."""


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 9, "0"),
        (1_500_000_000, 9, "1.5"),
        (1_234_567_890_123_456, 9, "1,234,567.890123"),
        (1, 9, "<0.000001"),
        (-2_500, 3, "-2.5"),
        (999_999_999, 9, "0.999999"),
        (5, 0, "5"),
        (10**30, 18, "1,000,000,000,000"),
    ],
)
def test_units_are_cut_off_and_dust_is_told_as_dust(amount: int, decimals: int, text: str) -> None:
    assert units(amount, decimals) == text


def test_values_ratios_and_rates() -> None:
    assert [base_value(v) for v in (0, 10**8, 66_666_666, 123_456_789_012, 5)] == [
        "0.00", "1.00", "0.66666666", "1,234.56", "0.00000005",
    ]  # fmt: skip
    assert [bps(v) for v in (7_500, 30, 9_999, 0)] == ["75%", "0.3%", "99.99%", "0%"]
    assert percent(4 * 10**25, 10**27) == "4.00%"
    assert percent(1, 10**27) == "0.00%"
    assert [ratio(*pair) for pair in ((1, 3), (9, 10), (2 * 10**6, 1), (1, 0), (1, 10**9))] == [
        "0.33333333", "0.9", "2,000,000", "-", "0.000000001",
    ]  # fmt: skip


def test_health_for_people() -> None:
    def told(health: int, priced: bool = True) -> str:
        return health_text({"priced": priced, "health_wad": str(health)})

    assert told((1 << 256) - 1) == "no debt"
    assert told(15 * WAD // 10) == "1.5"
    assert told(WAD - 1) == "0.9999: can be liquidated"
    assert told(1_234 * WAD // 100) == "12.34"
    assert told(0, priced=False) == "unknown: a price is stale"


def a_pool(**changes: Any) -> dict[str, Any]:
    found = {
        "pool": 7, "curve": 1, "denoms": ["QXC", "amm/1"], "account": "qx1", "swap_fee": "30", "paused": False,
        "manager": None, "reserves": ["2000000000", "500"], "protocol": ["0", "1"], "shares": "31", "amplification": 0,
        "sqrt_price": "0", "tick": 0, "tick_spacing": 0, "liquidity": "0",
    }  # fmt: skip
    return found | changes


def test_pools_are_told_by_the_name_of_their_curve_and_prices_in_whole_coins() -> None:
    listed = {"items": [
        a_pool(), a_pool(curve=2, swap_fee="4000000", paused=True),
        a_pool(curve=3, swap_fee="3000", sqrt_price=str(2 << 96), reserves=["0", "0"]),
    ], "next_cursor": 8}  # fmt: skip
    lines = pools(App(), NOBODY, listed)(PLAIN).split("\n")
    assert "constant product" in lines[1]
    assert "0.3%" in lines[1]
    assert lines[1].endswith("250"), "500 for 2 whole coins"
    assert "stable, paused" in lines[2]
    assert "0.04%" in lines[2]
    assert "concentrated" in lines[3]
    assert lines[3].endswith("4,000,000,000"), (
        "4 base units of one for a base unit of the other, nine decimals"
    )
    assert lines[4] == "more: --cursor 8"
    one = pool(App(), NOBODY, a_pool(curve=3, sqrt_price=str(1 << 95), tick=-13_864))(PLAIN)
    assert "1 QXC = 250,000,000 amm/1" in one
    assert "tick" in one
    assert "amplification" in pool(App(), NOBODY, a_pool(curve=2, amplification=100))(PLAIN)
    assert pools(App(), NOBODY, {"items": [], "next_cursor": None})(PLAIN) == "no pools"


def test_prices_that_the_chain_tells_by_base_units_are_shown_in_whole_coins() -> None:
    gold = "tokens/" + "a" * 32
    node = FakeNode()
    node.tell["tokens_getToken"] = {"token": {"symbol": "GOLD\x1b[2J", "decimals": 6}}
    node.tell["amm_getPool"] = {"denoms": ["QXC", gold]}
    one = 1 << 96  # a base unit of one for a base unit of the other: 1,000 GOLD for a QXC
    node.tell["amm_getStatistics"] = {"price": str(one)}
    given = {"pool": 3, "denom": gold, "quote_denom": "QXC", "window_s": 60}
    figures = {
        "price": str(one // 4), "reserves": ["1500000000", "7"], "volumes": ["0", "0"], "volumes_day": ["0", "1000000"],
        "dust": ["0", "0"],
    }  # fmt: skip
    candle = {
        "start_s": 0,
        "open": str(one),
        "high": str(one * 2),
        "low": str(one),
        "close": "0",
        "volumes": ["1", "0"],
    }
    try:
        with QenexClient(node.url) as client:
            stable = pools(
                App(), client, {"items": [a_pool(curve=2, denoms=["QXC", gold])], "next_cursor": None}
            )
            assert stable(PLAIN).split("\n")[1].endswith("1,000")
            told = statistics(App(), client, figures, given)(PLAIN)
            assert "= 250 GOLD" in told
            assert "1.5 QXC" in told
            assert "1 GOLD" in told
            assert "\x1b" not in told, "a token's name steers no terminal"
            assert "= 0.001 QXC" in average_price(App(), client, str(one), given)(PLAIN)
            assert "2,000" in candles(App(), client, {"items": [candle]}, given)(PLAIN)
            assert candles(App(), client, {"items": []}, given)(PLAIN) == "no trades yet"
            assert layout(App(), client, "amm.get_statistics", figures, given) is not None
            assert layout(App(json=True), client, "amm.get_statistics", figures, given) is None
            assert layout(App(), client, "amm.get_statistics", {}, given) is None, (
                "an answer of another shape"
            )
            assert layout(App(), client, "bank.get_supply", "1", {}) is None
    finally:
        node.close()


def test_symbols_are_told_where_there_are_some() -> None:
    coins = Coins(NOBODY)
    assert coins.amount("1500000000", "QXC") == "1.5 QXC"
    assert coins.amount(5, "lending/QXC") == "5 shares of QXC"
    assert coins.amount(5, "tokens/" + "a" * 32) == "5 tokens/" + "a" * 32, "a node that does not answer"


def a_market() -> dict[str, Any]:
    terms = {
        "denom": "QXC", "decimals": 9, "feed": "QXC/USD", "max_age_s": 120, "ltv_bps": 7_000, "threshold_bps": 7_500,
        "bonus_bps": 10_500, "liquidation_fee_bps": 1_000, "reserve_factor_bps": 1_000, "supply_cap": str(10**16),
        "borrow_cap": str(10**16), "outflow_bps": 10_000, "debt_ceiling": "100000000000", "group": 2, "flash_fee_bps": 9,
    }  # fmt: skip
    state = {
        "seed_shares": "1", "paused": 5, "utilization_ray": str(8 * 10**26), "borrow_ray": str(4 * 10**25),
        "supply_ray": str(288 * 10**23), "assets": str(10**12), "reserves": "0", "bad_debt": "0", "bad_covered": "0",
    }  # fmt: skip
    return {
        "number": 1,
        "terms": terms,
        "state": state,
        "debt": str(8 * 10**11),
        "available": str(2 * 10**11),
    }


def test_markets_tell_use_rates_and_what_is_paused() -> None:
    lines = markets(App(), NOBODY, {"items": [a_market()], "next_cursor": None})(PLAIN).split("\n")
    assert len(lines) == 2
    for part in ("QXC", "1,000", "800", "80.00%", "4.00%", "2.88%", "70%", "75%", "paused: supply, borrow"):
        assert part in lines[1]
    told = market(App(), NOBODY, a_market())(PLAIN)
    for part in (
        "1,000 of at most 10,000,000",
        "80.00% used",
        "bonus 5%",
        "secures at most 1,000.00",
        "for 0.09%",
    ):
        assert part in told
    closed = a_market()
    closed["state"]["seed_shares"] = "0"
    assert "not open" in markets(App(), NOBODY, {"items": [closed], "next_cursor": None})(PLAIN)
