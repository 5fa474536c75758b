"""The rule that everything facing the outside keeps: a typed error or success, and little memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import settings

from qenex.errors import QenexError

MAX_MEMORY = 64 << 20
"""Bytes that one input of a few KiB may have allocated at any moment."""
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def effort(examples: int) -> settings:
    """Twice so many examples by default, thirty times as many in the deep search."""
    return settings(max_examples=examples * (60 if LONG else 2))


def keeps_the_rule(read: Callable[[], Any]) -> Any:
    """Run `read`: what it returns, or the QenexError it raises. Anything else it raises fails the test.

    Memory is measured with tracemalloc, which sees what Python's allocator and msgpack's arrays take.
    """
    tracemalloc.start()
    try:
        found = read()
    except QenexError as error:
        found = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= MAX_MEMORY, f"{peak >> 20} MiB allocated"
    if isinstance(found, QenexError):
        assert found.code, "a typed error has a code"
        assert len(found.message) <= 2_000, "its text is bounded"
    return found
