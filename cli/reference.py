"""`python -m cli.reference [--check]`: the reference page of the command line, from the commands themselves.

Writes `docs/reference/cli.md`; `--check` writes nothing and says with exit code 1 that it is out of date.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cli.app import App
from cli.exit_codes import MEANINGS
from cli.lazy import global_options
from cli.main import root

PAGE: Final = "docs/reference/cli.md"
NOTE: Final = "<!-- Generated from the commands by `python -m cli.reference`. Do not edit. -->"
_SHARED: Final = {"--help", *[option.opts[0] for option in global_options()]}


def reference_page() -> str:
    """Every command with its arguments and options, and the exit codes."""
    parts = [
        NOTE,
        "# Command line",
        "What `--help` says, for every command. [Wallet](../users/wallet.md) shows the everyday ones at work. The\n"
        "result goes to stdout, everything else to stderr; with `--json` stdout holds one envelope `{schema_version,\n"
        "ok, data, errors, warnings, meta}`, also on failure. Nothing is asked where stdin is no terminal.",
        "## Options of every command",
        _table(("Option", "Meaning"), [record for option in global_options() for record in _records(option)]),
        "## Exit codes",
        _table(("Code", "Meaning"), [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]),
        "`python -m node` has [exit codes of its own](../validators/node.md#when-a-node-ends).",
    ]
    with click.Context(root, info_name="qenex", obj=App()) as top:
        for context in _commands(root, top):
            parts += _section(context)
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """A context for each command below `group`, groups before their commands."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context, obj=context.obj)
        yield inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(context: click.Context) -> list[str]:
    command = context.command
    level = "##" if context.parent is not None and context.parent.parent is None else "###"
    options = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not _SHARED.intersection(parameter.opts)
        for record in _records(parameter)
    ]
    parts = [f"{level} `{context.command_path}`", inspect.cleandoc(command.help or "").replace("\b\n", "")]
    if not isinstance(command, click.Group):
        words = [word for word in command.collect_usage_pieces(context) if word != "[OPTIONS]"]
        usage = " ".join([context.command_path, *words, *["[OPTIONS]"] * bool(options)])
        parts.append(f"```text\n{usage}\n```")
    if options:
        parts.append(_table(("Option", "Meaning"), options))
    return parts


def _records(option: click.Parameter) -> list[tuple[str, str]]:
    with click.Context(click.Command("none")) as nowhere:
        record = option.get_help_record(nowhere)
    return [] if record is None else [(f"`{record[0]}`", record[1])]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [
        [cell.replace("|", "\\|").replace("\n", " ").replace("<", "\\<") for cell in row] for row in rows
    ]
    lines = [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *[f"| {' | '.join(row)} |" for row in cells],
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write or check; returns the exit code."""
    file = Path(__file__).resolve().parents[1] / PAGE
    text = reference_page()
    if file.is_file() and file.read_text("utf-8") == text:
        return 0
    check = "--check" in arguments
    if not check:
        file.write_text(text, "utf-8")
    sys.stderr.write(f"{'out of date' if check else 'written'}: {PAGE}\n")
    return int(check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
