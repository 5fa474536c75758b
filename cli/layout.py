"""How results look to a person: aligned columns, units, colours only where a terminal shows them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

_LONG_AGO = 10**9
"""Seconds of 2001: a number of seconds below it is a duration."""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_OWN = re.compile(r"(\x1b\[(?:0|1|2|31|32|33|36)m)")
"""Colours and weights of `Style`; they can neither move the cursor nor hide text."""

_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}
# Marks that reorder or hide text: a memo must not be able to draw another line.
_HIDING = [0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
_CONTROL |= {code: f"\\u{code:04x}" for code in _HIDING}
_CONTROL_IN_LAYOUT = {code: shown for code, shown in _CONTROL.items() if code != 10}


def printable(text: str) -> str:
    """Return foreign text on one line with every control character written out: it cannot steer a terminal."""
    return text.translate(_CONTROL)


def _laid_out(text: str) -> str:
    """As `printable`, but line ends and the colours of `Style` stay."""
    parts = _OWN.split(text)
    return "".join(part if at % 2 else part.translate(_CONTROL_IN_LAYOUT) for at, part in enumerate(parts))


class Style:
    """Colours and weights of one stream; without a terminal every method returns its text unchanged."""

    __slots__ = ("colour",)

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def bold(self, text: str) -> str:
        """Return what the reader looks for first."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Return what the reader may skip."""
        return self._paint("2", text)

    def green(self, text: str) -> str:
        """Return good news."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Return what needs attention."""
        return self._paint("33", text)

    def red(self, text: str) -> str:
        """Return bad news."""
        return self._paint("31", text)

    def cyan(self, text: str) -> str:
        """Return names and addresses."""
        return self._paint("36", text)


PLAIN = Style(False)


def style_of(stream: TextIO) -> Style:
    """Return colours for a terminal, none for a file or a pipe, none under NO_COLOR or TERM=dumb."""
    dumb = os.environ.get("NO_COLOR", "") != "" or os.environ.get("TERM") == "dumb"
    return Style(not dumb and stream.isatty())


def width_of(text: str) -> int:
    """Return the columns that `text` takes, colours not counted."""
    return len(_ANSI.sub("", text))


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], style: Style, *, right: Sequence[int] = ()
) -> str:
    """Return aligned columns under dim headings; the columns of `right` are numbers."""
    body = [[_laid_out(cell.replace("\n", " ")) for cell in row] for row in rows]
    titles = [style.dim(title.upper()) for title in header]
    widths = [
        max(width_of(title), *(width_of(row[at]) for row in body)) if body else width_of(title)
        for at, title in enumerate(titles)
    ]
    lines = []
    for row in [titles, *body]:
        cells = []
        for at, cell in enumerate(row):
            space = " " * (widths[at] - width_of(cell))
            cells.append(space + cell if at in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def fields(pairs: Mapping[str, str] | Iterable[tuple[str, str]], style: Style, *, indent: int = 0) -> str:
    """Return `name  value` lines with the values under each other; further lines of a value are indented."""
    items = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
    width = max((len(name) for name, _ in items), default=0)
    margin = " " * indent
    lines = []
    for name, value in items:
        first, *rest = _laid_out(value).split("\n")
        lines.append(f"{margin}{style.dim(name.ljust(width))}  {first}".rstrip())
        lines += [f"{margin}{' ' * width}  {line}" for line in rest]
    return "\n".join(lines)


def grouped(number: int) -> str:
    """Return an integer with commas between thousands."""
    return f"{number:,}"


def ago(seconds: int) -> str:
    """Return a duration in its largest unit, like `12 s` or `3 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"


def at_second(seconds: int) -> str:
    """Return a time in seconds since 1970 as people read it, in UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _field(name: str, value: object) -> str:
    """A value by the name of its field: times in seconds since 1970 are told as such, too."""
    if name.endswith("_s") and type(value) is int and value >= _LONG_AGO:
        return f"{value} ({at_second(value)})"
    return _scalar(value)


def of_json(value: object, style: Style, *, depth: int = 0) -> str:
    """Return plain JSON data for people: objects as fields, lists of objects as tables where they fit."""
    margin = "  " * depth
    if isinstance(value, dict | list) and not value:
        return margin + "none"
    if isinstance(value, dict) and not _is_coin(value):
        return _object(value, style, depth)
    if isinstance(value, list):
        return _list(value, style, depth)
    return margin + _scalar(value)


def _object(value: dict[str, object], style: Style, depth: int) -> str:
    lines = []
    plain = [
        (printable(str(name)), _field(name, item)) for name, item in value.items() if not _is_nested(item)
    ]
    if plain:
        lines.append(fields(plain, style, indent=2 * depth))
    for name, item in value.items():
        if _is_nested(item):
            lines.append(f"{'  ' * depth}{style.bold(printable(str(name)))}")
            lines.append(of_json(item, style, depth=depth + 1))
    return "\n".join(lines)


def _list(value: list[object], style: Style, depth: int) -> str:
    margin = "  " * depth
    rows = [item for item in value if isinstance(item, dict)]
    alike = len(rows) == len(value) and all(row.keys() == rows[0].keys() for row in rows)
    if (
        rows
        and alike
        and not any(_is_coin(row) or any(_is_nested(part) for part in row.values()) for row in rows)
    ):
        names = list(rows[0])
        numbers = [at for at, name in enumerate(names) if all(isinstance(row[name], int) for row in rows)]
        text = table(names, [[_scalar(row[name]) for name in names] for row in rows], style, right=numbers)
        return "\n".join(margin + line for line in text.split("\n"))
    return "\n".join(of_json(item, style, depth=depth) for item in value)


def short_hex(text: str) -> str:
    """Return long hex by its beginning, end and length in bytes; any other text as it is."""
    if len(text) > 150 and text.startswith("0x"):
        return f"{text[:34]}...{text[-16:]} ({len(text) // 2 - 1} bytes)"
    return text


def _is_coin(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"denom", "amount"}


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list) and bool(value) and not _is_coin(value)


def coin_text(value: object) -> str:
    """Return a JSON coin in base units as people write it; anything else as text. Amounts come from outside."""
    if isinstance(value, dict) and _is_coin(value):
        from qenex.errors import QenexError
        from qenex.money import format_amount

        amount, denom = str(value["amount"]), str(value["denom"])
        if amount.isascii() and amount.isdigit() and len(amount) <= 40:
            try:
                return printable(format_amount(int(amount), denom))
            except QenexError:
                pass  # shown as it is
    return printable(str(value))


def inline(value: object) -> str:
    """Return JSON data on one line for people: `-` for nothing, coins as amounts, what is in lists and objects too."""
    if isinstance(value, list) and value:
        return ", ".join(inline(item) for item in value)
    if isinstance(value, dict) and value and not _is_coin(value):
        return "(" + ", ".join(f"{printable(str(name))} {inline(item)}" for name, item in value.items()) + ")"
    return _scalar(value)


def _scalar(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict) and not value:
        return "none"
    return short_hex(coin_text(value))
