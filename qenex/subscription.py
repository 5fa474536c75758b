"""Events for programs without an event loop: the asynchronous subscription in a thread of its own."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from qenex.async_subscription import AsyncSubscription, Notification

from qenex.answers import EventTypes, unknown_events
from qenex.jsonrpc import Json

T = TypeVar("T")


class Subscription:
    """An iterator of notifications; close it, or use it in a `with` statement.

    Its thread lives from the first notification asked for until `close`.
    """

    def __init__(
        self,
        url: str,
        topic: str,
        filters: Mapping[str, Json],
        from_cursor: str | None = None,
        *,
        token: str | None = None,
        event_types: EventTypes = unknown_events,
    ) -> None:
        # By name, because aiohttp takes 0.1 s to import and only subscribers need it.
        implementation: type[AsyncSubscription] = importlib.import_module(
            "qenex.async_subscription"
        ).AsyncSubscription
        self._inner = implementation(url, topic, filters, from_cursor, token=token, event_types=event_types)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def cursor(self) -> str | None:
        """Where a later subscription goes on: after the last notification handed out."""
        return self._inner.cursor

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> Notification:
        notification = None if self._closed else self._run(self._next())
        if notification is None:
            raise StopIteration
        return notification

    def close(self) -> None:
        """End the subscription, its connection and its thread."""
        if self._closed:
            return
        self._closed = True
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(self._inner.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _next(self) -> Notification | None:
        async for notification in self._inner:
            return notification
        return None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="qenex-events", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: the coroutine must not take the next notification
            raise
