"""What happened, as a hash that two runs of one seed share, and as lines for whoever looks for a fault."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from tests.simulation.clock import START, Clock


class Trace:
    """`note` what can be seen from outside: messages sent, steps, decisions, crashes."""

    def __init__(self, clock: Clock, write: Callable[[str], None] | None = None) -> None:
        self._clock = clock
        self._write = write
        self._hash = blake2b(digest_size=16)

    @property
    def loud(self) -> bool:
        """Whether somebody reads the lines."""
        return self._write is not None

    def note(self, node: int, kind: str, *details: Any) -> None:
        """`details`: integers, text, None and bytes, of which the first ones are shown."""
        self._hash.update(f"{self._clock.now} {node} {kind} {details!r}\n".encode())
        if self._write is not None:
            told = " ".join(item.hex()[:8] if isinstance(item, bytes) else str(item) for item in details)
            self._write(f"{(self._clock.now - START) / 1e9:10.6f}  node {node:2}  {kind:<12} {told}")

    def tell(self, node: int, kind: str, *details: Any) -> None:
        """A line that is no part of the hash."""
        if self._write is not None:
            told = " ".join(item.hex()[:8] if isinstance(item, bytes) else str(item) for item in details)
            self._write(f"{(self._clock.now - START) / 1e9:10.6f}  node {node:2}  {kind:<12} {told}")

    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()
