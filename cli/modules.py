"""One command group for each module of the machine, made from the modules' own declarations."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import click

import defi_modules

_CORE = {
    "accounts": "Who may act: keys, sequences, change of keys, guards.",
    "machine": "Fees, parameters and pauses of the machine.",
}
"""The groups of what every machine has besides its modules."""
_DOCSTRING = re.compile(r'^(?:#[^\n]*\n)*"""(.+?)(?:\.\s|\.?"""|\n)', re.DOTALL)


@lru_cache(maxsize=1)
def module_summaries() -> dict[str, str]:
    """Return the modules' names with one line each, from the folders alone: importing them would take long."""
    folder = Path(defi_modules.__file__).parent
    found: dict[str, str] = dict(_CORE)
    for path in sorted(folder.glob("*/module.py")):
        name = path.parent.name
        try:
            with path.open(encoding="utf-8") as file:
                match = _DOCSTRING.match(file.read(600))
        except (OSError, UnicodeDecodeError):
            continue
        summary = match.group(1).strip().split("\n")[0] if match else f"Messages and queries of {name}"
        found[name] = summary.rstrip(".") + "."
    return found


def module_group(name: str) -> click.Command:
    """Return the command group of module `name`."""
    from cli.module_commands import build_group

    return build_group(name, module_summaries()[name])
