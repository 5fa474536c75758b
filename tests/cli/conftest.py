"""A home folder of its own for each test, and the command run in this process as a program would run it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cli.home
import cli.keys
from cli.app import App
from cli.main import main
from qenex.crypto.keystore import Keyring
from qenex.crypto.keystore_file import CHEAP_KDF


@dataclass(frozen=True)
class Outcome:
    """What an invocation left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The envelope on stdout."""
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        """Its data."""
        return self.envelope["data"]

    @property
    def error(self) -> dict[str, Any]:
        """Its first error."""
        return self.envelope["errors"][0]


Run = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, named by QENEX_HOME; keys in it are stored under a cheap KDF."""
    folder = tmp_path / "home"
    monkeypatch.setenv("QENEX_HOME", str(folder))
    monkeypatch.delenv("QENEX_NODE", raising=False)

    def cheap(app: App) -> Keyring:
        return Keyring(app.home / cli.home.KEYRING_FOLDER, kdf=CHEAP_KDF)

    monkeypatch.setattr(cli.keys, "keyring_of", cheap)
    return folder


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command line; stdin is no terminal."""

    def invoke(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(list(arguments))
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    return invoke


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """A file with a password that nobody else can read."""
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return str(path)
