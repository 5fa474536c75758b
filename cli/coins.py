"""Coins and numbers as people read them: units with their symbol, ratios, rates. `--json` stays exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cli.layout import grouped, printable
from qenex.errors import QenexError
from qenex.types import QXC, QXC_DECIMALS

if TYPE_CHECKING:
    from qenex.client import QenexClient

PLACES: Final = 6
"""Digits after the point that a person is shown."""
RAY: Final = 10**27
WAD: Final = 10**18


class Coins:
    """What the node knows of denominations, asked once each. A symbol is no proof: anybody may call a token so."""

    def __init__(self, client: QenexClient) -> None:
        self._client = client
        self._known: dict[str, tuple[str, int | None]] = {QXC: (QXC, QXC_DECIMALS)}

    def _of(self, denom: str) -> tuple[str, int | None]:
        if denom not in self._known:
            self._known[denom] = self._ask(denom)
        return self._known[denom]

    def _ask(self, denom: str) -> tuple[str, int | None]:
        if denom.startswith("lending/"):
            return f"shares of {self.symbol(denom.removeprefix('lending/'))}", None
        if not denom.startswith("tokens/"):
            return denom, None
        try:
            found: Any = self._client.call("tokens_getToken", denom=denom)
            return str(found["token"]["symbol"]), int(found["token"]["decimals"])
        except (QenexError, KeyError, TypeError, ValueError):
            return denom, None

    def symbol(self, denom: str) -> str:
        """What a denomination calls itself, itself where it has no name."""
        return printable(self._of(denom)[0])

    def decimals(self, denom: str) -> int | None:
        """Decimals with which people write it; None where nobody has said."""
        return self._of(denom)[1]

    def units(self, amount: object, denom: str) -> str:
        """Base units as whole ones, without the symbol."""
        return units(int(str(amount)), self.decimals(denom) or 0)

    def amount(self, amount: object, denom: str) -> str:
        """Base units as whole ones with the symbol."""
        return f"{self.units(amount, denom)} {self.symbol(denom)}"


def units(amount: int, decimals: int, places: int = PLACES) -> str:
    """`1,234.5` for base units: cut off after `places` digits, and then told as less or more than that."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, rest = divmod(amount, 10**decimals)
    digits = f"{rest:0{decimals}d}" if decimals else ""
    shown = digits[:places].rstrip("0")
    if amount and not whole and not shown:
        return f"{sign}<0.{'0' * (places - 1)}1"
    return f"{sign}{grouped(whole)}{'.' + shown if shown else ''}"


def base_value(value: object) -> str:
    """A value or price in the base currency (8 decimals), with two digits at least."""
    number = int(str(value))
    whole, rest = divmod(number, 10**8)
    digits = f"{rest:08d}"
    shown = digits[:2] if whole >= 1_000 else digits.rstrip("0").ljust(2, "0")
    return f"{grouped(whole)}.{shown}"


def percent(part: int, of: int) -> str:
    """`12.34%`, cut off."""
    hundredths = part * 10_000 // of
    return f"{grouped(hundredths // 100)}.{hundredths % 100:02d}%"


def bps(number: object) -> str:
    """Basis points as a percentage: `75%`, `0.3%`."""
    return f"{units(int(str(number)), 2)}%"


def ratio(numerator: int, denominator: int, digits: int = 8) -> str:
    """A quotient with so many significant digits, cut off; `-` where it is not defined."""
    if denominator == 0:
        return "-"
    places = 0
    while places < 30 and numerator * 10**places // denominator < 10 ** (digits - 1):
        places += 1
    return units(numerator * 10**places // denominator, places, places)
