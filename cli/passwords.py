"""Where passwords and phrases come from: a prompt, a file, a descriptor; never the command line.

Arguments of a process are visible to every user of the machine and lie in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.app import App
from qenex.errors import InvalidMnemonic, PasswordRequired, UsageError

MAX_SECRET_SIZE = 4_096
"""Bytes of the longest password or phrase that is read."""


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """The options `--<name>-file` and `--<name>-fd` as given, and what the prompt calls it."""

    file: Path | None
    descriptor: int | None
    what: str = "password"
    option: str = "password"

    @property
    def hint(self) -> str:
        """How to give it."""
        return f"run in a terminal, or pass --{self.option}-file or --{self.option}-fd"

    @property
    def given(self) -> bool:
        """Whether an option names a source."""
        return self.file is not None or self.descriptor is not None

    def read(self, app: App, question: str, *, new: bool = False) -> str:
        """Return the secret: from the option's source, else by prompt; a `new` one is asked for twice.

        Raises PasswordRequired where nobody can be asked, UsageError for an unreadable source.
        """
        if self.file is not None and self.descriptor is not None:
            raise UsageError(f"give the {self.what} by file or by descriptor, not both")
        if self.file is not None:
            return _first_line(read_secret_file(app, self.file, self.what), self.what)
        if self.descriptor is not None:
            return _first_line(_read_descriptor(self.descriptor, self.what), self.what)
        if not app.can_ask:
            raise PasswordRequired(f"the {self.what} is needed and stdin is no terminal", hint=self.hint)
        return ask_new(question) if new else ask_hidden(question)


def password_options(name: str = "password", meaning: str = "The password") -> Callable[[Any], Any]:
    """Add `--<name>-file` and `--<name>-fd` to a command; it gets a PasswordSource named after them."""
    attribute = name.replace("-", "_")

    def decorate(command: Any) -> Any:
        def with_source(*args: Any, **kwargs: Any) -> Any:
            file = kwargs.pop(f"{attribute}_file")
            descriptor = kwargs.pop(f"{attribute}_fd")
            return command(
                *args, **kwargs, **{attribute: PasswordSource(file, descriptor, name.replace("-", " "), name)}
            )

        with_source.__name__ = getattr(command, "__name__", attribute)
        with_source.__doc__ = command.__doc__
        with_source.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # click's own mark on functions
        path = click.Path(dir_okay=False, path_type=Path)
        option_file = click.option(
            f"--{name}-file", type=path, metavar="FILE", help=f"{meaning}: first line of FILE."
        )
        option_fd = click.option(
            f"--{name}-fd",
            type=click.IntRange(0),
            metavar="N",
            help=f"{meaning}: first line from descriptor N.",
        )
        return option_file(option_fd(with_source))

    return decorate


def ask_hidden(question: str) -> str:
    """Return a line typed without echo. Raises PasswordRequired if it is empty."""
    try:
        secret = getpass.getpass(f"{question}: ", stream=sys.stderr)
    except EOFError:
        raise PasswordRequired("the input ended without a password") from None
    if not secret:
        raise PasswordRequired("an empty password was given", hint="type at least one character")
    return secret


def ask_new(question: str) -> str:
    """Return a new secret, typed twice. Raises PasswordRequired after three differing pairs."""
    for _ in range(3):
        secret = ask_hidden(question)
        if getpass.getpass("Repeat it: ", stream=sys.stderr) == secret:
            return secret
        sys.stderr.write("They differ; once more.\n")
    raise PasswordRequired("the password was not repeated in three attempts")


def read_secret_file(app: App, path: Path, what: str) -> str:
    """Return a bounded text file, `-` being stdin. Warns if others may read it. Raises UsageError."""
    if str(path) == "-":
        if app.can_ask:
            app.note(f"Type the {what}, then a line end and Ctrl-D.")
        return _read_descriptor(sys.stdin.fileno() if hasattr(sys.stdin, "fileno") else 0, what)
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077 and os.name == "posix":
                app.warn(f"{path} can be read by other users; set its mode to 0600")
            data = file.read(MAX_SECRET_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path}, which should hold the {what}, cannot be read: {error.strerror}") from None
    return _text(data, what)


def _read_descriptor(descriptor: int, what: str) -> str:
    data = b""
    try:
        while len(data) <= MAX_SECRET_SIZE:
            part = os.read(descriptor, MAX_SECRET_SIZE + 1 - len(data))
            if not part:
                break
            data += part
    except OSError as error:
        raise UsageError(f"descriptor {descriptor} of the {what} cannot be read: {error.strerror}") from None
    return _text(data, what)


def _text(data: bytes, what: str) -> str:
    if len(data) > MAX_SECRET_SIZE:
        raise UsageError(f"the {what} has more than {MAX_SECRET_SIZE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the {what} is not UTF-8 text") from None


def _first_line(text: str, what: str) -> str:
    line = text.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise PasswordRequired(f"the {what} is empty", hint="its first line is what counts")
    return line


def read_phrase(app: App, file: Path | None) -> str:
    """Return a recovery phrase from a file (`-`: stdin) or a hidden prompt, unchecked.

    Raises PasswordRequired where nobody can be asked, InvalidMnemonic if nothing was given.
    """
    if file is not None:
        return read_secret_file(app, file, "recovery phrase")
    if not app.can_ask:
        raise PasswordRequired(
            "the recovery phrase is needed and stdin is no terminal",
            hint="pass --mnemonic-file FILE, or - for stdin",
        )
    phrase = getpass.getpass("Recovery phrase (12 to 24 words, not shown): ", stream=sys.stderr)
    if not phrase.strip():
        raise InvalidMnemonic("no recovery phrase was given")
    return phrase
