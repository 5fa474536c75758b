"""Every command that the pages print is one that there is, with the arguments and options it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cli.app import App
from cli.main import root
from cli.output import as_commands
from qenex.errors import REGISTRY

BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("users", "validators", "developers")


def printed(repository: Path) -> list[tuple[str, str]]:
    """Pages and the `qenex` commands in their blocks of shell commands, comments left out."""
    found = []
    pages = [
        repository / "README.md",
        *(p for f in FOLDERS for p in sorted((repository / "docs" / f).glob("*.md"))),
    ]
    for page in pages:
        for block in BLOCK.findall(page.read_text("utf-8")):
            joined = block.replace("\\\n", " ")
            found += [
                (page.name, command.split(" |")[0].split(" > ")[0])
                for line in joined.split("\n")
                for command in re.findall(r"(?:^|\$\()(?:\.venv/bin/)?qenex (.*)$", line.strip())
            ]
    return found


def parse(words: list[str]) -> None:
    """Read a command line down to its last command, as `qenex` does; nothing is carried out."""
    context = root.make_context("qenex", list(words), obj=App(json=False))
    command: click.Command = root
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, rest, parent=context)


def test_every_printed_command_can_be_read(
    repository: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    commands = printed(repository)
    assert len(commands) > 100
    wrong = []
    for page, command in commands:
        try:
            parse(shlex.split(command, comments=True))
        except click.UsageError as error:
            wrong.append(f"{page}: qenex {command}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "command", ["oracle set-feeder feeder --from a", "swap 1QXC", "devnet explode", "balance alice --nothing"]
)
def test_a_command_that_there_is_not_is_noticed(command: str, home: Path) -> None:
    with pytest.raises(click.UsageError):
        parse(command.split())


def test_hints_name_commands_that_there_are_and_no_methods_of_the_rpc(home: Path) -> None:
    assert as_commands("`governance_getProposal` tells") == "`qenex governance get-proposal` tells"
    named = 0
    for error in REGISTRY.values():
        hint = as_commands(error.default_hint)
        assert not re.search(r"`[a-z]+_[a-z]+[A-Z]", hint), hint
        for command in re.findall(r"`qenex ([a-z -]+)", hint):
            group: click.Command = root
            for word in command.split():
                found = (
                    group.get_command(click.Context(group), word) if isinstance(group, click.Group) else None
                )
                assert found is not None, f"{hint}: {word}"
                group = found
            named += 1
    assert named > 25
