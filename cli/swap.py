"""`qenex swap`: one coin for another, along the best route that the node finds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import connected, read_coin
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource
from cli.submit import Choices, carry_out, refused, sending_options
from qenex.answers import TransactionReceipt
from qenex.client import QenexClient
from qenex.errors import QenexError, UnknownDenomination
from qenex.money import format_amount
from qenex.types import Coin

DEFAULT_SLIPPAGE_BPS = 50
DEFAULT_DEADLINE_S = 300


@click.command("swap", cls=Command)
@click.argument("amount")
@click.argument("denom")
@click.option("--buy", is_flag=True, help="AMOUNT is what you get, DENOM what you pay with.")
@click.option(
    "--slippage-bps",
    type=click.IntRange(0, 10_000),
    default=DEFAULT_SLIPPAGE_BPS,
    show_default=True,
    metavar="BPS",
    help="How much worse than quoted you accept, in basis points.",
)
@click.option("--minimum", metavar="AMOUNT", help="The least to get (with --buy: the most to pay) instead.")
@click.option(
    "--deadline",
    type=click.IntRange(1, 86_400),
    default=DEFAULT_DEADLINE_S,
    show_default=True,
    metavar="SECONDS",
    help="After that it fails instead of landing late.",
)
@sending_options
@pass_app
def swap(
    app: App,
    *,
    amount: str,
    denom: str,
    buy: bool,
    slippage_bps: int,
    minimum: str | None,
    deadline: int,
    choices: Choices,
    password: PasswordSource,
) -> Result:
    """Swap AMOUNT for DENOM, or with --buy pay DENOM for AMOUNT.

    The node looks for the best route through up to 4 pools, split where that pays more. Route, price impact
    and the least you get are shown before anything is signed; if the price has moved beyond that limit when
    the transaction is included, it fails and only the fee is paid.

    \b
    qenex swap 10QXC tokens/... --from alice
    qenex swap 5tokens/... QXC --from alice --slippage-bps 10 --yes --json
    qenex swap --buy 100tokens/... QXC --from alice
    """
    from qenex.codec import is_denom

    coin = read_coin(amount)
    if not is_denom(denom):
        raise UnknownDenomination(f"{denom[:70]!a} is no denomination")
    limit = None if minimum is None else read_coin(minimum)
    with connected(app) as client:
        try:
            route = client.amm.find_route_out(denom, coin) if buy else client.amm.find_route(coin, denom)
        except QenexError as error:
            raise refused(error) from None
        until = _now_s(client) + deadline
    paid, got = (
        Coin(denom if buy else coin.denom, route.amount_in),
        Coin(coin.denom if buy else denom, route.amount_out),
    )
    bound = _bound(paid if buy else got, buy, slippage_bps, limit)
    message = _message(route, paid.denom, got.amount, bound, buy, until)
    way = [f"{format_amount(leg.amount, paid.denom)} through {_way(leg)}" for leg in route.legs]
    told = ("pay at most", paid.denom) if buy else ("get at least", got.denom)
    rows = [
        ("route", "\n".join(way)),
        ("quoted", f"{format_amount(paid.amount, paid.denom)} for {format_amount(got.amount, got.denom)}"),
        ("price impact", f"{route.price_impact_bps / 100:.2f}%, fees included"),
        (told[0], format_amount(bound, told[1])),
    ]
    about = {
        "route": [leg.to_dict() for leg in route.legs],
        "amount_in": str(paid.amount),
        "amount_out": str(got.amount),
        "price_impact_bps": route.price_impact_bps,
        "maximum_in" if buy else "minimum_out": str(bound),
        "deadline_s": until,
    }

    def done(receipt: TransactionReceipt[Any]) -> str:
        swapped = receipt.result
        gave = format_amount(swapped.amount_in, paid.denom)
        return f"Swapped {gave} for {format_amount(swapped.amount_out, got.denom)}."

    return carry_out(app, [message], choices, password, done, about={"swap": about}, rows=rows)


def _now_s(client: QenexClient) -> int:
    """The later of this machine's time and the chain's, seconds since 1970."""
    return max(time.time_ns(), client.chain.get_header().header.time) // 10**9


def _bound(quoted: Coin, buy: bool, slippage_bps: int, limit: Coin | None) -> int:
    """The least to get or the most to pay; raises UnknownDenomination for a limit in another coin."""
    if limit is not None:
        if limit.denom != quoted.denom:
            raise UnknownDenomination(f"the limit is in {quoted.denom} here, not in {limit.denom}")
        return limit.amount
    if buy:
        return -(-quoted.amount * (10_000 + slippage_bps) // 10_000)
    return max(1, quoted.amount * (10_000 - slippage_bps) // 10_000)


def _message(
    route: Any, denom_in: str, amount_out: int, bound: int, buy: bool, until: int
) -> tuple[str, Mapping[str, Any]]:
    if buy:
        return "amm.swap_exact_out", {
            "denom_in": denom_in,
            "path": route.legs[0].path,
            "amount_out": amount_out,
            "maximum_in": bound,
            "deadline_s": until,
        }
    if len(route.legs) == 1:
        return "amm.swap_exact_in", {
            "amount_in": Coin(denom_in, route.amount_in),
            "path": route.legs[0].path,
            "minimum_out": bound,
            "deadline_s": until,
        }
    return "amm.swap_split", {
        "denom_in": denom_in,
        "legs": route.legs,
        "minimum_out": bound,
        "deadline_s": until,
    }


def _way(leg: Any) -> str:
    """`pool 3 -> tokens/...`, hop by hop."""
    return ", ".join(f"pool {hop.pool} to {hop.denom}" for hop in leg.path)
