"""Pools for people: the curve by its name, reserves and prices in whole coins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.coins import Coins, ratio, units
from cli.layout import Style, at_second, fields, table
from qenex.errors import QenexError

if TYPE_CHECKING:
    from qenex.client import QenexClient

Laid = Callable[[Style], str]
CURVES: Final = {1: "constant product", 2: "stable", 3: "concentrated"}
FEE_DIGITS: Final = {1: 2, 2: 8, 3: 4}
"""Decimals of the fee as a percentage, by curve: basis points, parts of 1e10, parts of 1e6."""
Q96: Final = 1 << 96


def _name(coins: Coins, denoms: list[str]) -> str:
    return " / ".join(coins.symbol(denom) for denom in denoms)


def _scaled(coins: Coins, first: str, second: str, numerator: int, denominator: int) -> str:
    """A price of base units as one of whole coins."""
    up, down = coins.decimals(first) or 0, coins.decimals(second) or 0
    return ratio(numerator * 10**up, denominator * 10**down)


def _price(client: QenexClient, coins: Coins, pool: Any) -> str:
    """What one whole first coin is worth in the second: by the curve's present state, a stable one's by the last block."""
    first, second = pool["denoms"][:2]
    if int(pool["curve"]) == 3:
        root = int(pool["sqrt_price"])
        return _scaled(coins, first, second, root * root, Q96 * Q96)
    if int(pool["curve"]) == 1:
        held = [int(amount) for amount in pool["reserves"]]
        return _scaled(coins, first, second, held[1], held[0])
    try:
        told: Any = client.call("amm_getStatistics", pool=pool["pool"])
    except QenexError:
        return "-"
    return _told(coins, pool["denoms"], told["price"])


def _told(coins: Coins, denoms: list[str], price: object) -> str:
    """A published price (Q96 of base units) of the first coin in the second, in whole coins."""
    return _scaled(coins, denoms[0], denoms[1], int(str(price)), Q96) if int(str(price)) else "-"


def _denoms(client: QenexClient, number: object) -> list[str]:
    found: Any = client.call("amm_getPool", pool=number)
    return [str(denom) for denom in found["denoms"]]


def _fee(pool: Any) -> str:
    return f"{units(int(pool['swap_fee']), FEE_DIGITS[int(pool['curve'])])}%"


def pools(app: App, client: QenexClient, found: Any) -> Laid:
    """All pools of a page."""
    coins = Coins(client)
    rows = [
        [
            str(pool["pool"]),
            _name(coins, pool["denoms"]),
            CURVES[int(pool["curve"])] + (", paused" if pool["paused"] else ""),
            _fee(pool),
            " + ".join(
                coins.amount(held, denom)
                for held, denom in zip(pool["reserves"], pool["denoms"], strict=True)
            ),
            _price(client, coins, pool),
        ]
        for pool in found["items"]
    ]

    def text(style: Style) -> str:
        if not rows:
            return "no pools"
        more = f"\nmore: --cursor {found['next_cursor']}" if found["next_cursor"] is not None else ""
        header = ("pool", "coins", "curve", "fee", "holds", "price of the first in the second")
        return table(header, rows, style, right=(0, 3)) + more

    return text


def pool(app: App, client: QenexClient, found: Any) -> Laid:
    """One pool."""
    coins, denoms = Coins(client), found["denoms"]
    curve = int(found["curve"])
    rows = [
        ("pool", f"{found['pool']}, {_name(coins, denoms)}{', paused' if found['paused'] else ''}"),
        ("curve", f"{CURVES[curve]}, fee {_fee(found)}"),
        ("coins", "\n".join(denoms)),
        ("holds", "\n".join(coins.amount(*pair) for pair in zip(found["reserves"], denoms, strict=True))),
        (
            "protocol's",
            "\n".join(coins.amount(*pair) for pair in zip(found["protocol"], denoms, strict=True)),
        ),
    ]
    price = _price(client, coins, found)
    rows.append(("price", f"1 {coins.symbol(denoms[0])} = {price} {coins.symbol(denoms[1])}"))
    if curve == 2:
        rows.append(("amplification", str(found["amplification"])))
    if curve == 3:
        rows.append(("tick", f"{found['tick']}, spacing {found['tick_spacing']}"))
        rows.append(("liquidity", str(found["liquidity"])))
    else:
        rows.append(("shares", str(found["shares"])))
    rows.append(("account", str(found["account"])))
    return lambda style: fields(rows, style)


def statistics(app: App, client: QenexClient, found: Any, given: Mapping[str, Any]) -> Laid:
    """A pool in figures."""
    coins, denoms = Coins(client), _denoms(client, given["pool"])

    def amounts(name: str) -> str:
        return "\n".join(coins.amount(*pair) for pair in zip(found[name], denoms, strict=True))

    price = _told(coins, denoms, found["price"])
    rows = [
        ("price", f"1 {coins.symbol(denoms[0])} = {price} {coins.symbol(denoms[1])}"),
        ("holds", amounts("reserves")),
        ("came in ever", amounts("volumes")),
        ("in 24 hours", amounts("volumes_day")),
        ("beyond its books", amounts("dust")),
    ]
    return lambda style: fields(rows, style)


def average_price(app: App, client: QenexClient, found: Any, given: Mapping[str, Any]) -> Laid:
    """A mean price in whole coins."""
    coins, pair = Coins(client), [str(given["denom"]), str(given["quote_denom"])]
    price = _told(coins, pair, found)
    said = f"1 {coins.symbol(pair[0])} = {price} {coins.symbol(pair[1])}, the mean of {given['window_s']} s"
    return lambda style: said


def candles(app: App, client: QenexClient, found: Any, given: Mapping[str, Any]) -> Laid:
    """Prices over time, in whole coins."""
    coins, denoms = Coins(client), _denoms(client, given["pool"])
    rows = [
        [
            at_second(int(candle["start_s"])),
            *[_told(coins, denoms, candle[name]) for name in ("open", "high", "low", "close")],
            " + ".join(coins.amount(*pair) for pair in zip(candle["volumes"], denoms, strict=True)),
        ]
        for candle in found["items"]
    ]
    header = ("from", "open", "high", "low", "close", "came in")
    return lambda style: table(header, rows, style, right=(1, 2, 3, 4)) if rows else "no trades yet"
