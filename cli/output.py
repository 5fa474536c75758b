"""The contract of the streams: stdout holds the result and nothing else.

Prompts, progress and warnings go to stderr. With `--json` the result is one envelope

    {"schema_version": 1, "ok": bool, "data": ..., "errors": [...], "warnings": [...], "meta": {...}}

on success and on failure alike, usage errors included. An entry of `errors` is
`{code, name, message, hint, retryable}`, as in the RPC. A traceback is never shown: a defect of the
program leaves it in a log file and says where.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from cli.exit_codes import ExitCode
from cli.layout import Style, printable, style_of
from qenex.errors import ProgramFault, QenexError

if TYPE_CHECKING:
    from cli.app import App

SCHEMA_VERSION: Final = 1
"""Of the envelope; raised when a field changes its meaning."""

_METHOD: Final = re.compile(r"`([a-z]+)_([a-z]+(?:[A-Z][a-z0-9]*)+)`")
_COMMANDS: Final = {"state_getAccount": "qenex query account", "tx_estimateFee": "--dry-run"}
"""What is called otherwise here."""

Text = str | Callable[[Style], str]
"""A result for people: text, or a function that lays it out for a stream with or without colour."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command returns: `data` for programs, `text` for people."""

    data: object
    text: Text = ""
    meta: Mapping[str, object] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.DONE


def envelope(
    data: object,
    *,
    errors: list[dict[str, Any]],
    warnings: list[str],
    meta: Mapping[str, object],
) -> dict[str, object]:
    """Return the one JSON object of an invocation."""
    return {
        "schema_version": SCHEMA_VERSION,
        "ok": not errors,
        "data": data,
        "errors": errors,
        "warnings": warnings,
        "meta": dict(meta),
    }


def write_json(value: object, stream: TextIO) -> None:
    """Write `value` on one line, or indented where a person looks on."""
    indent = 2 if stream.isatty() else None
    write(json.dumps(value, indent=indent, ensure_ascii=False, sort_keys=False), stream)


class OutputFailed(Exception):
    """The result cannot be written to stdout: its disk is full, or it is closed."""


def write(text: str, stream: TextIO) -> None:
    """Write `text` and a line end. A reader that has gone away (`| head`) is no error.

    Raises OutputFailed where stdout takes nothing; what is said on stderr is then lost in silence.
    """
    if not text:
        return
    try:
        try:
            stream.write(text if text.endswith("\n") else text + "\n")
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode() + "\n")
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except (OSError, ValueError) as error:
        silence(stream)
        if stream is not sys.stderr:
            why = error.strerror if isinstance(error, OSError) else "it is closed"
            raise OutputFailed(f"the result cannot be written to stdout: {why}") from None


def silence(stream: TextIO) -> None:
    """Point a stream whose reader has gone at nothing, so that the interpreter's last flush is quiet."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def render(text: Text, style: Style) -> str:
    """Return a result's text for a stream."""
    return text if isinstance(text, str) else text(style)


def as_commands(hint: str) -> str:
    """Return a hint for who sits at the command line: RPC methods that it names become commands.

    Errors are the same in RPC, SDK and here; `staking_listValidators` is `qenex staking list-validators`.
    """

    def command(match: re.Match[str]) -> str:
        verb = re.sub("[A-Z]", lambda capital: f"-{capital[0].lower()}", match[2])
        return f"`{_COMMANDS.get(match[0][1:-1], f'qenex {match[1]} {verb}')}`"

    return _METHOD.sub(command, hint)


def error_text(error: QenexError, style: Style) -> str:
    """Return an error for people: what, then what to do next."""
    number = f" ({error.name}, {error.code})"
    lines = [f"{style.red('error:')} {printable(error.message)}{style.dim(number)}"]
    if error.hint:
        lines.append(f"{style.dim('hint:')}  {printable(error.hint)}")
    return "\n".join(lines)


def emit(app: App, result: Result) -> None:
    """Put a result on stdout, in the form that was asked for."""
    if app.json:
        meta = {"elapsed_ms": app.elapsed_ms, **result.meta}
        write_json(envelope(result.data, errors=[], warnings=app.warnings, meta=meta), sys.stdout)
    else:
        write(render(result.text, style_of(sys.stdout)), sys.stdout)


def record_defect(error: BaseException, home: Path | None) -> ProgramFault:
    """Write the traceback of a defect to a log file and return the error that names the file."""
    import tempfile  # late: nearly no invocation needs them, and each costs start-up time
    import traceback

    report = "".join(traceback.format_exception(error))
    kind = type(error).__name__
    for folder in [home / "logs"] if home is not None and home.is_dir() else []:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            path = _write_report(report, folder)
        except OSError:
            break
        return ProgramFault(f"unexpected {kind}; details in {path}")
    try:
        path = _write_report(report, Path(tempfile.gettempdir()))
    except OSError as failure:
        return ProgramFault(f"unexpected {kind}; its details could not be written: {failure.strerror}")
    return ProgramFault(f"unexpected {kind}; details in {path}")


def _write_report(report: str, folder: Path) -> str:
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="qenex-defect-", suffix=".log", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"python {sys.version}\n\n{report}")
    return path
