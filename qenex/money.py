"""Amounts as people write them: `1.5QXC`, never a bare number, never rounded.

Inside the protocol an amount is an integer of base units. Here text becomes such an
integer, and back, without a float in between: every digit that is written either
counts or is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from qenex.codec import is_denom
from qenex.errors import InvalidAmount, UnknownDenomination
from qenex.types import MAX_AMOUNT, QXC, QXC_DECIMALS, Coin

DecimalsLookup: TypeAlias = Callable[[str], int | None]
"""Decimals of a denomination, or None where it is not known (then whole base units are meant)."""

MAX_DECIMALS: Final = 38
"""More digits than an amount below 2^128 can have."""

MAX_TEXT: Final = 120
"""Characters of the longest text looked at: 39 digits, a point, 38 more, a denomination."""

_COIN = re.compile(r"([0-9]+)(?:\.([0-9]+))?([A-Za-z][A-Za-z0-9._/-]*)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_HEX = re.compile(r"0[xX][0-9a-fA-F]")
_EXPONENT = re.compile(r"[0-9.]+[eE][+-]?[0-9]+")


def decimals_of(denom: str, lookup: DecimalsLookup | None = None) -> int:
    """Decimals with which people write `denom`: 9 for QXC, else what `lookup` says, else 0.

    Raises InvalidAmount if `lookup` answers with something that cannot be a number of decimals.
    """
    if denom == QXC:
        return QXC_DECIMALS
    decimals = lookup(denom) if lookup is not None else None
    if decimals is None:
        return 0
    if not 0 <= decimals <= MAX_DECIMALS:
        raise InvalidAmount(f"{denom} claims {decimals} decimals; 0 to {MAX_DECIMALS} are possible")
    return decimals


def parse_coin(text: str, lookup: DecimalsLookup | None = None) -> Coin:
    """Return the coin that `text` writes, such as `1.5QXC`, in base units.

    Raises InvalidAmount (bare number, sign, zero, exponent, space, more decimals than the
    denomination has, 2^128 base units or more) or UnknownDenomination, saying what to write.
    """
    if not isinstance(text, str):
        raise InvalidAmount(f"an amount is text like 1.5QXC, not {type(text).__name__}")
    match = _COIN.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None or _EXPONENT.match(text) or _HEX.match(text):
        raise InvalidAmount(_what_is_wrong(text))
    whole, fraction, denom = match.groups()
    if not is_denom(denom):
        raise UnknownDenomination(
            f"{denom!a} is no denomination: 3 to 64 characters, beginning with a letter"
        )
    decimals = decimals_of(denom, lookup)
    amount = _base_units(whole, fraction or "", decimals, denom)
    if amount == 0:
        raise InvalidAmount(
            f"{text} is zero; write an amount greater than zero, like {_example(denom, decimals)}"
        )
    return Coin(denom, amount)


def parse_amount(text: str, denom: str = QXC, lookup: DecimalsLookup | None = None) -> int:
    """Return base units of an amount that must be in `denom`: `1.5QXC` -> 1_500_000_000.

    Raises as `parse_coin`, and InvalidAmount for another denomination.
    """
    coin = parse_coin(text, lookup)
    if coin.denom != denom:
        raise InvalidAmount(f"{text} is in {coin.denom}; write an amount of {denom}")
    return coin.amount


def format_coin(coin: Coin, lookup: DecimalsLookup | None = None) -> str:
    """Return the shortest text that `parse_coin` reads as this coin (zero too: `0QXC`)."""
    return format_amount(coin.amount, coin.denom, lookup)


def format_amount(amount: int, denom: str = QXC, lookup: DecimalsLookup | None = None) -> str:
    """As `format_coin`, from base units; a negative difference gets a minus sign."""
    decimals = decimals_of(denom, lookup)
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    whole = digits[: len(digits) - decimals]
    fraction = digits[len(digits) - decimals :].rstrip("0")
    return f"{sign}{whole}.{fraction}{denom}" if fraction else f"{sign}{whole}{denom}"


def _base_units(whole: str, fraction: str, decimals: int, denom: str) -> int:
    if len(fraction.rstrip("0")) > decimals:
        allowed = f"has {decimals} decimals" if decimals else "is counted in whole units here"
        raise InvalidAmount(
            f"{whole}.{fraction}{denom} is too precise: {denom} {allowed}; "
            f"write for example {_example(denom, decimals)}"
        )
    amount = int(whole + fraction.rstrip("0").ljust(decimals, "0"))
    if amount >= MAX_AMOUNT:
        raise InvalidAmount(f"{whole[:45]}{denom} is more than any amount can be (2^128 - 1 base units)")
    return amount


def _example(denom: str, decimals: int) -> str:
    return f"{'1.5' if decimals else '15'}{denom}"


def _what_is_wrong(text: str) -> str:
    shown = ascii(text if len(text) <= 48 else text[:45] + "...")
    if not text:
        return "the amount is empty; write it with its denomination, like 1.5QXC"
    if len(text) > MAX_TEXT:
        return f"{shown} is too long for an amount; write it like 1.5QXC"
    if not text.isascii():
        return f"{shown} has characters outside ASCII; write digits 0-9 and a denomination, like 1.5QXC"
    if any(character.isspace() for character in text):
        return f"{shown} has spaces; write it in one piece, like 1.5QXC"
    if text[0] in "+-":
        return f"{shown} has a sign; write an amount greater than zero without a sign, like 1.5QXC"
    if _NUMBER.fullmatch(text):
        return f"{shown} has no denomination; write {text.strip('.') or '1.5'}QXC if you mean QXC"
    if "," in text or "_" in text:
        return f"{shown} has separators; write a point before decimals and nothing else, like 1234.5QXC"
    if _HEX.match(text):
        return f"{shown} is hexadecimal; write decimal digits, like 1.5QXC"
    if _EXPONENT.match(text):
        return f"{shown} has an exponent; write all digits, like 1500QXC"
    if text[0] == "." or re.match(r"[0-9]+\.[A-Za-z]", text):
        return f"{shown} needs digits on both sides of the point; write it like 0.5QXC"
    return f"{shown} is no amount; write a number and a denomination, like 1.5QXC"
