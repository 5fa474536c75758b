"""Plain synchronous work in turns with the event loop, for work that cannot be written as a generator.

The work has a thread of its own, but the two never run at the same time: the loop's thread waits while the
work has its turn, and the work waits while the loop has its own. So the work may read what the loop's
objects hold without a lock, and the loop is held for one slice at a time. Two threads that ran freely would
share the interpreter lock instead, and each release of it in the loop (a database read, a socket) would
cost the loop a switch interval of 5 ms.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from node.floor import SLICE_SECONDS, Work, floor

T = TypeVar("T")

_UNFINISHED: Final[Any] = object()


class Abandoned(BaseException):
    """Raised in the work's thread where nobody waits for it any more: it has to unwind."""


class Turns(Generic[T]):
    """Runs `work(offer)` once. The work calls `offer` often; there it gives way when its turn is over."""

    def __init__(self, work: Callable[[Callable[[], None]], T]) -> None:
        self._work = work
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._turn_ends = 0.0
        self._abandoned = False
        self._ended = False
        self._result: T = _UNFINISHED
        self._error: BaseException | None = None

    def _offer(self) -> None:
        """Give way if it is time to. Raises Abandoned."""
        if time.monotonic() < self._turn_ends:
            return
        self._back.release()
        self._go.acquire()
        if self._abandoned:
            raise Abandoned

    def _main(self) -> None:
        self._go.acquire()
        try:
            self._result = self._work(self._offer)
        except BaseException as error:  # whatever it is, it belongs to who waits in `run`
            self._error = error
        self._ended = True
        self._back.release()

    async def run(self) -> T:
        """The work's result, or what it raised. The loop has at least as much time as the work.

        Cancelled, it ends the work at its next `offer` before it returns.
        """
        thread = threading.Thread(target=self._main, name="turns", daemon=True)
        thread.start()
        try:
            while True:
                started = time.monotonic()
                self._turn()
                if self._ended:
                    break
                await asyncio.sleep(time.monotonic() - started)
                await floor().take(Work.READS)
        finally:
            self._abandoned = True
            while not self._ended:  # cancelled while the work waits for its turn
                self._turn()
            thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _turn(self) -> None:
        self._turn_ends = time.monotonic() + SLICE_SECONDS
        self._go.release()
        self._back.acquire()
