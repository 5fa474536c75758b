"""`qenex version` and `qenex completion`."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from cli.app import App, pass_app
from cli.layout import Style, fields
from cli.lazy import Command
from cli.output import Result

PARTS = ("click", "cryptography", "msgpack", "pynacl", "pqcrypto", "aiohttp", "plyvel", "uvloop")


def _version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@click.command("version", cls=Command)
@pass_app
def version(app: App) -> Result:
    """Show the versions of QENEX, of Python and of the libraries it stands on."""
    data: dict[str, object] = {
        "qenex": _version_of("qenex") or "from sources",
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "libraries": {part: _version_of(part) for part in PARTS},
    }

    def text(style: Style) -> str:
        rows = [
            ("qenex", style.bold(str(data["qenex"]))),
            ("python", str(data["python"])),
            ("platform", str(data["platform"])),
        ]
        return fields([*rows, *((part, _version_of(part) or "not installed") for part in PARTS)], style)

    return Result(data, text)


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def completion(app: App, *, shell: str) -> Result:
    """Print the completion script for SHELL.

    For bash: `qenex completion bash > ~/.local/share/bash-completion/completions/qenex`.
    """
    from click.shell_completion import get_completion_class

    from cli.main import root

    kind = get_completion_class(shell)
    assert kind is not None, "click completes bash, zsh and fish"
    script = kind(root, {}, "qenex", "_QENEX_COMPLETE").source()
    return Result({"shell": shell, "script": script}, script)
