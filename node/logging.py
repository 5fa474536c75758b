"""Structured logs on stderr: one line of text, or one JSON object, a record.

Fields travel as `extra={...}`. Nothing that opens anything is ever logged: a field whose name speaks of a
secret is masked, whatever somebody passes by mistake. Texts are shortened and made printable, because
some of them come from outside.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final, TextIO

MAX_TEXT: Final = 2_000
SECRET_WORDS: Final = ("secret", "password", "token", "mnemonic", "seed", "private")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields given as `extra`, with secrets masked."""
    return {
        name: "..." if any(word in name.lower() for word in SECRET_WORDS) else _plain(value)
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_")
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return "0x" + value[:32].hex()
    return _printable(str(value))


def _printable(text: str) -> str:
    shortened = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shortened)


def _moment(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO node: block committed height=7 transactions=3`"""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on its own lines."""
        message = _printable(record.getMessage())
        pairs = " ".join(
            f"{name}={json.dumps(value) if isinstance(value, str) and ' ' in value else value}"
            for name, value in fields_of(record).items()
        )
        name = record.name.removeprefix("qenex.")
        line = f"{_moment(record)} {record.levelname} {name}: {message} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        entry: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _printable(record.getMessage()),
        }
        for name, value in fields_of(record).items():
            entry.setdefault(name, value)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)[-8 * MAX_TEXT :]
        return json.dumps(entry)


def set_up_logging(level: str, form: str, stream: TextIO | None = None) -> logging.Handler:
    """Send all records of at least `level` to `stream` (stderr) as `text` or `json`; returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for other in list(root.handlers):
        if isinstance(other.formatter, JsonFormatter | TextFormatter):
            root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    return handler
