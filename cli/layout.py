"""How results look to a person: aligned columns, units, colours only where a terminal shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if code not in (9, 10)}
# Marks that reorder or hide text: a memo must not be able to draw another line.
_CONTROL |= {
    code: f"\\u{code:04x}"
    for code in [0x061C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
}


def printable(text: str) -> str:
    """Return foreign text with every control character written out, so that it cannot steer a terminal."""
    return text.translate(_CONTROL)


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
    body = [[cell if _ANSI.search(cell) else printable(cell) for cell in row] for row in rows]
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
        shown = value if _ANSI.search(value) else printable(value)
        first, *rest = shown.split("\n")
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


def of_json(value: object, style: Style, *, depth: int = 0) -> str:
    """Return plain JSON data for people: objects as fields, lists of objects as tables where they fit."""
    margin = "  " * depth
    if isinstance(value, dict):
        lines = []
        simple = [
            (str(name), _scalar(item))
            for name, item in value.items()
            if not isinstance(item, dict | list) or not item
        ]
        if simple:
            lines.append(fields(simple, style, indent=2 * depth))
        for name, item in value.items():
            if isinstance(item, dict | list) and item:
                lines.append(f"{margin}{style.bold(printable(str(name)))}")
                lines.append(of_json(item, style, depth=depth + 1))
        return "\n".join(lines)
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and item.keys() == value[0].keys() for item in value):
            flat = all(not isinstance(part, dict | list) for item in value for part in item.values())
            if flat:
                names = list(value[0])
                numbers = [
                    at for at, name in enumerate(names) if all(isinstance(item[name], int) for item in value)
                ]
                text = table(
                    names, [[_scalar(item[name]) for name in names] for item in value], style, right=numbers
                )
                return "\n".join(margin + line for line in text.split("\n"))
        return "\n".join(
            of_json(item, style, depth=depth)
            if isinstance(item, dict | list)
            else margin + printable(_scalar(item))
            for item in value
        )
    return margin + printable(_scalar(value))


def _scalar(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return "none"
    return str(value)
