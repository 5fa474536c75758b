"""A type's check as one compiled function: what `qenex.codec` knows of its parts, written out without a call for each.

Every argument and every record that a module writes is checked. A function for each part took 2 us for the books of a pool
and as long for the arguments of a swap, twice that where their code had left the processor's caches. `dataclasses` makes its
methods this way. What does not pass is left to the careful check, which says what is wrong: this one only decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from qenex.errors import MalformedBytes

Check: TypeAlias = Callable[[Any], Any]
"""Takes a plain value, returns the typed one. Raises MalformedBytes."""


class Unfit(Exception):
    """A value is not of the type. Never leaves the compiled function."""


class Source:
    """The lines of a check, and the objects that they name. Only what types declare goes in, nothing from outside."""

    __slots__ = ("_depth", "_lines", "_names", "objects")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 2
        self._names = 0
        self.objects: dict[str, Any] = {
            "Unfit": Unfit,
            "MalformedBytes": MalformedBytes,
            "new": tuple.__new__,
        }

    def name(self) -> str:
        """A variable of its own."""
        self._names += 1
        return f"v{self._names}"

    def line(self, text: str) -> None:
        """One statement."""
        self._lines.append("    " * self._depth + text)

    def require(self, condition: str) -> None:
        """The value is refused unless this holds."""
        self.line(f"if not ({condition}):")
        with self.block():
            self.line("raise Unfit")

    def give(self, value: object) -> str:
        """A name for an object."""
        name = f"o{len(self.objects)}"
        self.objects[name] = value
        return name

    @contextmanager
    def block(self) -> Iterator[None]:
        """Lines inside of the statement before."""
        self._depth += 1
        yield
        self._depth -= 1

    def function(self, result: str) -> str:
        """The text of the whole check."""
        head = ["def check(value):", "    try:"]
        tail = [
            f"        return {result}",
            "    except (Unfit, MalformedBytes):",
            "        pass",
            "    return careful(value)",
        ]
        return "\n".join([*head, *self._lines, *tail])


Steps: TypeAlias = Callable[[Source, str], str]
"""Writes what tests a variable, and returns the expression of its typed value: the variable itself where it is that already."""


def calling(check: Check, condition: str = "True") -> Steps:
    """Steps of a type that has no shorter way than a check, for values that fulfil a condition as in `keeping`."""

    def steps(source: Source, value: str) -> str:
        result = source.name()
        if condition != "True":
            source.require(condition.replace("{}", value))
        source.line(f"{result} = {source.give(check)}({value})")
        return result

    return steps


def keeping(condition: str) -> Steps:
    """Steps of a type whose values stay as they are; `{}` in the condition is the value."""

    def steps(source: Source, value: str) -> str:
        source.require(condition.replace("{}", value))
        return value

    return steps


def optional(inner: Steps) -> Steps:
    """Steps of a value or None."""

    def steps(source: Source, value: str) -> str:
        result = source.name()
        source.line(f"{result} = None")
        source.line(f"if {value} is not None:")
        with source.block():
            source.line(f"{result} = {inner(source, value)}")
        return result

    return steps


def listing(inner: Steps, low: int, high: int) -> Steps:
    """Steps of `low` to `high` values of one type."""
    as_they_are = inner(Source(), "item") == "item"

    def steps(source: Source, value: str) -> str:
        source.require(f"isinstance({value}, tuple) and {low} <= len({value}) <= {high}")
        item, items = source.name(), source.name()
        if as_they_are:
            source.line(f"for {item} in {value}:")
            with source.block():
                inner(source, item)
            return f"({value} if type({value}) is tuple else tuple({value}))"
        source.line(f"{items} = []")
        source.line(f"for {item} in {value}:")
        with source.block():
            typed = inner(source, item)
            source.line(f"{items}.append({typed})")
        return f"tuple({items})"

    return steps


def fixed(parts: list[Steps], record: type | None = None) -> Steps:
    """Steps of one value of each of these types, as a tuple or as this record."""

    def steps(source: Source, value: str) -> str:
        source.require(f"isinstance({value}, tuple) and len({value}) == {len(parts)}")
        names = [source.name() for _ in parts]
        if names:
            source.line(f"{', '.join(names)}, = {value}")
        typed = [part(source, name) for part, name in zip(parts, names, strict=True)]
        made = "(" + "".join([f"{item}, " for item in typed]) + ")"
        if record is None:
            return made
        kind = source.give(record)
        if typed == names:
            return f"({value} if type({value}) is {kind} else new({kind}, {value}))"
        return f"new({kind}, {made})"

    return steps


def compiled(steps: Steps, careful: Check, name: str) -> Check:
    """The check that does these steps; what does not pass goes to `careful`."""
    source = Source()
    text = source.function(steps(source, "value"))
    objects = {**source.objects, "careful": careful}
    exec(compile(text, f"<check of {name}>", "exec"), objects)  # noqa: S102  # the text is made of declared types alone
    check: Check = objects["check"]
    return check
