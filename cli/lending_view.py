"""Lending for people: markets as a table, a position with its health, and what an order would make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.chain import names_by_address
from cli.coins import RAY, WAD, Coins, base_value, bps, percent, units
from cli.home import client_settings
from cli.layout import Style, fields, table
from qenex.crypto.address import Address, encode_address
from qenex.errors import QenexError
from qenex.types import Coin

if TYPE_CHECKING:
    from qenex.client import QenexClient

Laid = Callable[[Style], str]
EVERYTHING: Final = -(10**38)
NO_DEBT: Final = (1 << 256) - 1
PAUSES: Final = (
    (1, "supply"),
    (2, "withdraw"),
    (4, "borrow"),
    (8, "repay"),
    (16, "liquidate"),
    (32, "flash"),
)


def _state_of(info: Mapping[str, Any]) -> str:
    state = info["state"]
    if not int(state["seed_shares"]):
        return "not open"
    paused = [name for flag, name in PAUSES if int(state["paused"]) & flag]
    return "paused: " + ", ".join(paused) if paused else "open"


def _rates(info: Mapping[str, Any]) -> tuple[str, str, str]:
    state = info["state"]
    names = ("utilization_ray", "borrow_ray", "supply_ray")
    used, borrow, supply = [percent(int(state[name]), RAY) for name in names]
    return used, borrow, supply


def markets(app: App, client: QenexClient, found: Any) -> Laid:
    """Markets with utilisation and yearly rates."""
    coins = Coins(client)
    rows = []
    for info in found["items"]:
        terms = info["terms"]
        decimals = int(terms["decimals"])
        supplied, debt = units(int(info["state"]["assets"]), decimals), units(int(info["debt"]), decimals)
        used, borrow, supply = _rates(info)
        rows.append([
            str(info["number"]), coins.symbol(terms["denom"]), supplied, debt, used, borrow, supply,
            bps(terms["ltv_bps"]), bps(terms["threshold_bps"]), _state_of(info), terms["denom"],
        ])  # fmt: skip
    header = (
        "no", "asset", "supplied", "borrowed", "used", "borrowers pay", "suppliers earn", "ltv", "threshold", "state",
        "denom",
    )  # fmt: skip

    def text(style: Style) -> str:
        if not rows:
            return "no markets"
        more = f"\nmore: --cursor {found['next_cursor']}" if found["next_cursor"] is not None else ""
        return table(header, rows, style, right=(0, 2, 3, 4, 5, 6, 7, 8)) + more

    return text


def market(app: App, client: QenexClient, found: Any) -> Laid:
    """One market: what it holds, what it costs, what may be done."""
    terms, state = found["terms"], found["state"]
    decimals, symbol = int(terms["decimals"]), Coins(client).symbol(terms["denom"])

    def whole(amount: object) -> str:
        return units(int(str(amount)), decimals)

    used, borrow, supply = _rates(found)
    rows = [
        ("market", f"{found['number']}, {symbol}, {_state_of(found)}"),
        ("denom", terms["denom"]),
        ("supplied", f"{whole(state['assets'])} of at most {whole(terms['supply_cap'])}"),
        ("borrowed", f"{whole(found['debt'])} of at most {whole(terms['borrow_cap'])}, {used} used"),
        ("available", whole(found["available"])),
        ("rates", f"borrowers pay {borrow} a year, suppliers earn {supply}"),
        ("as collateral", f"{bps(terms['ltv_bps'])} may be borrowed, liquidated beyond {bps(terms['threshold_bps'])}"),
        ("liquidation", f"bonus {bps(int(terms['bonus_bps']) - 10_000)}, of which {bps(terms['liquidation_fee_bps'])} is the protocol's"),
        ("price", f"{terms['feed']}, at most {terms['max_age_s']} s old"),
        ("outflow", "no limit" if int(terms["outflow_bps"]) == 10_000 else f"{bps(terms['outflow_bps'])} of the assets in a window"),
        ("flash loans", f"for {bps(terms['flash_fee_bps'])}"),
        ("reserve", f"{whole(state['reserves'])}, and {bps(terms['reserve_factor_bps'])} of the interest"),
        ("bad debt", f"{whole(state['bad_debt'])} ever, of which the reserve bore {whole(state['bad_covered'])}"),
    ]  # fmt: skip
    if int(terms["debt_ceiling"]):
        rows.append(("isolated", f"secures at most {base_value(terms['debt_ceiling'])}"))
    if int(terms["group"]):
        rows.append(("group", str(terms["group"])))
    return lambda style: fields(rows, style)


def health_text(told: Mapping[str, Any]) -> str:
    """Health factor with two digits, cut off."""
    if not told["priced"]:
        return "unknown: a price is stale"
    health = int(told["health_wad"])
    if health == NO_DEBT:
        return "no debt"
    shown = units(health, 18, 4 if health < 2 * WAD else 2)
    return shown if health >= WAD else f"{shown}: can be liquidated"


def position(app: App, client: QenexClient, found: Any) -> Laid:
    """A position: health, limit, and the prices at which it tips."""
    coins = Coins(client)
    decimals = _decimals(client)
    prefix = client_settings(app).address_prefix
    names = {encode_address(address, prefix): name for address, name in names_by_address(app).items()}
    address = str(found["address"])
    rows = [("account", f"{names[address]} ({address})" if address in names else address)]
    health = health_text(found)
    if found["priced"] and WAD <= int(found["health_wad"]) < NO_DEBT:
        health += ", liquidated below 1"
    rows.append(("health", health))
    if found["priced"]:
        rows += [
            ("collateral", base_value(found["collateral"])),
            ("owed", f"{base_value(found['debt'])} of at most {base_value(found['limit'])}"),
            ("may borrow", base_value(found["available"])),
        ]
    if int(found["group"]):
        rows.append(("group", str(found["group"])))
    entries = [
        [
            coins.symbol(entry["denom"]),
            units(int(entry["collateral"]), decimals.get(entry["denom"], 0)),
            units(int(entry["debt"]), decimals.get(entry["denom"], 0)),
            base_value(entry["price"]) if int(entry["price"]) else "-",
            base_value(entry["liquidation_price"]) if int(entry["liquidation_price"]) else "-",
            entry["denom"],
        ]
        for entry in found["entries"]
    ]

    def text(style: Style) -> str:
        if not entries:
            return fields(rows[:1], style) + "\nnothing put up, nothing owed"
        header = ("asset", "collateral", "owed", "price", "health is 1 at", "denom")
        return fields(rows, style) + "\n\n" + table(header, entries, style, right=(1, 2, 3, 4))

    return text


def risks(app: App, client: QenexClient, found: Any) -> Laid:
    """Positions that can be liquidated."""
    coins, decimals = Coins(client), _decimals(client)
    rows = [
        [
            risk["address"],
            units(int(risk["health_wad"]), 18, 4),
            coins.symbol(risk["collateral_denom"]),
            f"{units(int(risk['debt']), decimals.get(risk['debt_denom'], 0))} {coins.symbol(risk['debt_denom'])}",
            units(int(risk["repayable"]), decimals.get(risk["debt_denom"], 0)),
        ]
        for risk in found["items"]
    ]
    header = ("account", "health", "collateral", "owed", "repayable now")
    return lambda style: table(header, rows, style, right=(1, 3, 4)) if rows else "nobody can be liquidated"


def _decimals(client: QenexClient) -> dict[str, int]:
    found: Any = client.call("lending_listMarkets", limit=128)
    return {info["terms"]["denom"]: int(info["terms"]["decimals"]) for info in found["items"]}


# -- before signing --------------------------------------------------------------------------------------


def preview(
    client: QenexClient, verb: str, arguments: Mapping[str, Any], signer: Address, prefix: str
) -> list[tuple[str, str]]:
    """What an order would make of a position, as rows beside what is paid; none where it changes no position."""
    whose = arguments.get("address") or signer
    address = encode_address(whose, prefix)
    try:
        now: Any = client.call("lending_getPosition", address=address)
        extra: dict[str, Any] = {}
        changes = _changes(client, verb, arguments, address)
        if verb == "choose_group":
            extra = {"group": arguments["group"]}
            changes = [(now["entries"][0]["denom"], 0, 0)] if now["entries"] else []
        if not changes:
            return []
        listed = [{"denom": d, "collateral": str(up), "debt": str(down)} for d, up, down in changes]
        then: Any = client.call("lending_previewChanges", address=address, changes=listed, **extra)
        rows = [("health", f"{health_text(now)} -> {health_text(then)}")]
        if then["priced"] and int(then["debt"]):
            tipping = [
                f"{Coins(client).symbol(entry['denom'])} at {base_value(entry['liquidation_price'])}"
                for entry in then["entries"]
                if int(entry["collateral"]) and int(entry["liquidation_price"])
            ]
            rows.append(
                (
                    "liquidated",
                    "with " + ", or ".join(tipping) if tipping else "at no price of its collateral",
                )
            )
        if then["priced"]:
            rows.append(("may borrow", f"{base_value(now['available'])} -> {base_value(then['available'])}"))
        if verb == "borrow":
            info: Any = client.call("lending_getMarket", denom=arguments["amount"].denom)
            rows.append(("rate", f"{_rates(info)[1]} a year before this loan"))
        return rows
    except QenexError:
        return []  # the simulation tells what is wrong


def _changes(
    client: QenexClient, verb: str, arguments: Mapping[str, Any], address: str
) -> list[tuple[str, int, int]]:
    """What an order adds to collateral and debt, by asset, in base units."""
    amount = arguments.get("amount")
    if isinstance(amount, Coin):
        if verb == "borrow":
            return [(amount.denom, 0, amount.amount)]
        return [(amount.denom, amount.amount, 0)] if arguments.get("collateral") else []
    denom = str(arguments.get("denom", ""))
    if verb == "repay":
        return [(denom, 0, EVERYTHING if amount is None else -int(amount))]
    if verb == "withdraw":
        return [(denom, EVERYTHING if amount is None else -int(amount), 0)] if arguments["collateral"] else []
    if verb in ("collateral_on", "collateral_off"):
        shares = arguments.get("shares")
        if shares is None and verb == "collateral_off":
            return [(denom, EVERYTHING, 0)]
        if shares is None:
            shares = client.call("bank_getBalance", address=address, denom=f"lending/{denom}")
        info: Any = client.call("lending_getMarket", denom=denom)
        worth = (
            int(str(shares)) * (int(info["state"]["assets"]) + 1) // (int(info["state"]["shares"]) + 10**6)
        )
        return [(denom, worth if verb == "collateral_on" else -worth, 0)]
    return []
