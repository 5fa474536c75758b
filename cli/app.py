"""One invocation of `qenex`: its options, its streams, and what it may ask the person."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.layout import Style, printable, style_of
from cli.output import write
from qenex.errors import Declined

HOME_VARIABLE = "QENEX_HOME"
NODE_VARIABLE = "QENEX_NODE"


class App:
    """Passed to every command as `click.Context.obj`."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.home_option: Path | None = None
        self.node_option: str | None = None
        self.warnings: list[str] = []
        self.typed_names: dict[bytes, str] = {}
        """Addresses by the key names that were typed: of two keys of one account, that one is shown."""
        self.command_path = "qenex"
        """The command that runs, for hints: `qenex keys list`."""
        self.sent: dict[str, object] = {}
        """Hash and valid_until of a transaction on its way: told even if the command is interrupted."""
        self.started_ns = time.monotonic_ns()

    # -- where things are ----------------------------------------------------------------

    @property
    def home(self) -> Path:
        """The home folder: --home, QENEX_HOME, the platform's configuration folder."""
        if self.home_option is not None:
            return self.home_option.absolute()
        named = os.environ.get(HOME_VARIABLE)
        if named:
            return Path(named).expanduser().absolute()
        return Path(click.get_app_dir("qenex"))

    @property
    def explicit_home(self) -> bool:
        """Whether the home folder was named, by option or environment."""
        return self.home_option is not None or bool(os.environ.get(HOME_VARIABLE))

    # -- streams -------------------------------------------------------------------------

    @property
    def style(self) -> Style:
        """Colours of stderr."""
        return style_of(sys.stderr)

    def note(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        write(text, sys.stderr)

    def warn(self, text: str) -> None:
        """Warn: on stderr for people, in the envelope for programs."""
        self.warnings.append(text)
        if not self.json:
            self.note(f"{self.style.yellow('warning:')} {printable(text)}")

    def progress(self, text: str) -> None:
        """Show a line that the next one overwrites; nothing where no terminal shows it."""
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            sys.stderr.write("\r\x1b[2K" + printable(text))
            sys.stderr.flush()

    def progress_end(self) -> None:
        """Remove the progress line."""
        self.progress("")

    # -- questions -----------------------------------------------------------------------

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer: stdin is a terminal."""
        return sys.stdin is not None and sys.stdin.isatty()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only with consent. Raises Declined, also where nobody can be asked."""
        if yes:
            return
        if not self.can_ask:
            raise Declined(
                "this needs a confirmation and stdin is no terminal",
                hint="nothing was done; read what it does, then repeat it with --yes",
            )
        if self.ask(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            raise Declined("declined")

    def ask(self, question: str) -> str:
        """Return a line typed by the person. The question goes to stderr. Raises Declined at its end."""
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise Declined("the input ended without an answer")
        return line.rstrip("\n")

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the command line was read."""
        return (time.monotonic_ns() - self.started_ns) // 1_000_000


def pass_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command function the App as its first argument."""
    return click.make_pass_decorator(App)(command)
