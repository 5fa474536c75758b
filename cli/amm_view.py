"""Pools for people: the curve by its name, reserves and prices in whole coins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.coins import Coins, ratio, units
from cli.layout import Style, fields, table

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


def _price(coins: Coins, pool: Any) -> str:
    """What one whole first coin is worth in the second, by the curve's present state."""
    first, second = pool["denoms"][:2]
    if int(pool["curve"]) == 3:
        root = int(pool["sqrt_price"])
        return _scaled(coins, first, second, root * root, Q96 * Q96)
    if int(pool["curve"]) == 1:
        held = [int(amount) for amount in pool["reserves"]]
        return _scaled(coins, first, second, held[1], held[0])
    return "see get-statistics"


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
            _price(coins, pool),
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
    if curve != 2:
        rows.append(
            ("price", f"1 {coins.symbol(denoms[0])} = {_price(coins, found)} {coins.symbol(denoms[1])}")
        )
    if curve == 2:
        rows.append(("amplification", str(found["amplification"])))
    if curve == 3:
        rows.append(("tick", f"{found['tick']}, spacing {found['tick_spacing']}"))
        rows.append(("liquidity", str(found["liquidity"])))
    else:
        rows.append(("shares", str(found["shares"])))
    rows.append(("account", str(found["account"])))
    return lambda style: fields(rows, style)
