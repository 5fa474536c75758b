"""The blocking half of the SDK from the asynchronous one, token by token.

Both halves are one text: `await` and `async` go, names lose their `Async`. What differs in
kind (sockets, locks, subscriptions) stands in hand-written files of both halves under names
that map onto each other.
"""

from __future__ import annotations

import io
import re
import tokenize
from typing import Final

SOURCES: Final = {
    "qenex/async_sender.py": "qenex/sender.py",
    "qenex/async_light_client.py": "qenex/light_client.py",
    "qenex/async_faces.py": "qenex/faces.py",
    "qenex/async_namespaces.py": "qenex/namespaces.py",
    "qenex/async_client.py": "qenex/client.py",
}
"""Generated file by its source."""

_NAMES: Final = {
    "AsyncExitStack": "ExitStack",
    "enter_async_context": "enter_context",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
    "aclose": "close",
    "anext": "next",
}
_NOQA = re.compile(r"  # noqa: ASYNC\d+  # .*")


def to_blocking(source: str, origin: str) -> str:
    """Return the blocking form of an asynchronous module; `origin` is named in its first line."""
    result: list[str] = []
    row, column = 1, 0
    skip_space = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start[0] > row:
            row, column = token.start[0], 0
        gap = token.line[column : token.start[1]] if token.type != tokenize.NEWLINE else ""
        if skip_space and token.type == tokenize.NAME:
            gap = ""
        skip_space = False
        text = token.string
        if token.type == tokenize.NAME and text in ("async", "await"):
            skip_space = True
            text = ""
        elif token.type == tokenize.NAME:
            text = _name(text)
        elif token.type == tokenize.STRING:
            text = re.sub(r"\bAsync(?=[A-Z])|\basync_(?=[a-z])", "", text)
        elif token.type == tokenize.COMMENT:
            text = _NOQA.sub("", "  " + text).removeprefix("  ")
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            if token.type == tokenize.INDENT:
                result.append(text)
                row, column = token.end
            continue
        result.append(gap + text)
        row, column = token.end
        if token.type in (tokenize.NEWLINE, tokenize.NL):
            row, column = row + 1, 0
    text = "".join(result)
    return f"# Generated from {origin} by `python -m node.generate`. Do not edit.\n{text}"


def _name(text: str) -> str:
    if text in _NAMES:
        return _NAMES[text]
    if text.startswith("async_") and len(text) > 6:
        return text[6:]
    if text.startswith("Async") and len(text) > 5:
        return text[5:]
    return text
