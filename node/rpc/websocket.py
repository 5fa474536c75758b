"""One WebSocket connection: the same methods as HTTP, plus subscriptions.

A subscription is a cursor, not a queue: its task reads what follows the cursor from the block store,
sends it, and sleeps until the next block. A slow reader therefore costs no memory; it falls behind, and
beyond `max_lag` blocks (or when the store has pruned its place) it is told `lagged` and closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from aiohttp import WSMsgType, web

from ledger.backend import StorageFault
from node.floor import Work
from node.rpc.dispatcher import Caller, Dispatcher, error_object
from node.rpc.limits import Limits
from node.rpc.strict_json import Json, dumps
from node.steps import drive
from qenex.errors import InternalError, LimitExceeded, Pruned, QenexError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 30.0
RATE_PAUSE_SECONDS: Final = 0.25
"""After which a subscription whose caller is in debt looks again."""
LAGGED_CLOSE_CODE: Final = 4008
"""WebSocket close code (private range) for a reader who took nothing for too long."""


class Page(Protocol):
    """Part of a topic: rendered items, each with the cursor after it, and the cursor after all."""

    @property
    def items(self) -> list[tuple[str, Json]]:
        """`(cursor, data)` in order."""

    @property
    def cursor(self) -> str:
        """Where to read on."""

    @property
    def behind(self) -> int:
        """Blocks between the cursor and the newest block; 0 when all was read."""

    @property
    def cost(self) -> int:
        """Units of the caller's rate that it took to make."""


class Feed(Protocol):
    """What subscriptions read from."""

    def start(self, topic: str, chosen: Any, from_cursor: str | None) -> str:
        """The first cursor. Raises InvalidParams or Pruned."""

    def page_steps(self, topic: str, chosen: Any, cursor: str) -> Generator[None, None, Page]:
        """What follows the cursor, bounded, in slices. Raises Pruned."""

    async def wait(self, cursor: str) -> None:
        """Return when there may be something at the cursor."""


class Subscription:
    """One topic on one connection."""

    def __init__(self, number: int, topic: str, chosen: Any, cursor: str) -> None:
        self.number = number
        self.topic = topic
        self.chosen = chosen
        self.cursor = cursor
        self.opener = asyncio.current_task()
        """The call that opened it: notifications begin after that call's answer was sent."""
        self.task: asyncio.Task[None] | None = None


class WebSocketSession:
    """Serves one connection until it closes."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        dispatcher: Dispatcher,
        feed: Feed,
        caller: Caller,
        limits: Limits,
        abort: Callable[[], None],
        reading: asyncio.Lock,
    ) -> None:
        """`reading` is one for all sessions of a server: see `_page`."""
        self._socket = socket
        self._dispatcher = dispatcher
        self._feed = feed
        self._caller = Caller(caller.charge, caller.privileged, self, caller.owe, caller.key)
        self._limits = limits
        self._abort = abort
        self._reading = reading
        self._subscriptions: dict[int, Subscription] = {}
        self._next = 1
        self._calls: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(limits.max_calls_in_flight)

    async def run(self) -> None:
        """Answer messages until the peer leaves; then end everything that belongs to the connection."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    data = message.data.encode()
                elif message.type is WSMsgType.BINARY:
                    data = message.data
                else:
                    break
                await self._free.acquire()
                task = asyncio.create_task(self._answer(data))
                self._calls.add(task)
                task.add_done_callback(self._done)
        finally:
            ending = [*self._calls, *[s.task for s in self._subscriptions.values() if s.task is not None]]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._free.release()

    async def _answer(self, data: bytes) -> None:
        try:
            answer = await self._dispatcher.handle(data, self._caller)
        except ConnectionAbortedError:
            self._abort()
            return
        if answer is not None:
            await self._send(answer.decode())
        opener = asyncio.current_task()
        for subscription in self._subscriptions.values():
            if subscription.opener is opener and subscription.task is None:
                subscription.task = asyncio.create_task(self._deliver(subscription))

    async def _send(self, text: str) -> None:
        """Send one frame; a reader who takes nothing for too long loses the connection."""
        try:
            async with asyncio.timeout(self._limits.write_timeout):
                await self._socket.send_str(text)
        except TimeoutError:
            # The notice waits behind what the reader has not taken; the table aborts a reader that never does.
            await self._socket.close(code=LAGGED_CLOSE_CODE, message=b"lagged", drain=False)
        except (ConnectionError, RuntimeError):  # it closed meanwhile: aiohttp says so either way
            pass

    async def subscribe(self, topic: str, chosen: Any, from_cursor: str | None) -> Json:
        """Open a subscription; notifications follow this answer. Raises LimitExceeded."""
        if len(self._subscriptions) >= self._limits.max_subscriptions:
            raise LimitExceeded(f"at most {self._limits.max_subscriptions} subscriptions on one connection")
        cursor = self._feed.start(topic, chosen, from_cursor)
        subscription = Subscription(self._next, topic, chosen, cursor)
        self._next += 1
        self._subscriptions[subscription.number] = subscription
        return {"subscription": subscription.number, "cursor": cursor}

    async def unsubscribe(self, subscription: int) -> bool:
        """Close one; whether it was open."""
        found = self._subscriptions.pop(subscription, None)
        if found is not None and found.task is not None:
            found.task.cancel()
        return found is not None

    async def _deliver(self, subscription: Subscription) -> None:
        ending, more = "events_lagged", dict[str, Json]()
        try:
            await self._follow(subscription)
        except Pruned:
            pass  # its place is gone: that is lagging, too
        except QenexError as error:
            ending, more = "events_failed", {"error": error_object(error)}
        except StorageFault as fault:
            self._dispatcher.fault(fault)
            self._abort()
            return
        except Exception:  # a defect must not end silently: the reader would wait for ever
            logger.exception("a subscription to %s failed", subscription.topic)
            ending, more = "events_failed", {"error": error_object(InternalError("internal error"))}
        self._subscriptions.pop(subscription.number, None)
        await self._notify(subscription, ending, subscription.cursor, more)

    async def _follow(self, subscription: Subscription) -> None:
        """Send what comes, until the connection closes or the reader lags."""
        live = False  # a replay may begin any number of blocks behind; lag counts once it has caught up
        while not self._socket.closed:
            page = await self._page(subscription)
            if live and page.behind > self._limits.max_lag:
                return
            for cursor, data in page.items:
                await self._notify(subscription, "events_notification", cursor, {"data": data})
                subscription.cursor = cursor
            subscription.cursor = page.cursor
            live = live or page.behind == 0
            if page.behind:
                await asyncio.sleep(0)
            else:
                await self._feed.wait(page.cursor)

    async def _page(self, subscription: Subscription) -> Page:
        """What comes next; a page for each turn of the loop, and none for a caller who has used up his rate.

        A block wakes all subscriptions at once. 2,400 of them, whose filters let nothing pass, took 2 ms
        each, one after the other, before the loop looked at anything else.
        """
        while True:
            try:
                self._caller.charge(0)
                break
            except LimitExceeded:
                await asyncio.sleep(RATE_PAUSE_SECONDS)
        async with self._reading:
            steps = self._feed.page_steps(subscription.topic, subscription.chosen, subscription.cursor)
            page = await drive(steps, Work.READS)
            await asyncio.sleep(0)
        if page.cost:
            self._caller.owe(page.cost)
        return page

    async def _notify(
        self, subscription: Subscription, method: str, cursor: str, more: dict[str, Json]
    ) -> None:
        params = {"subscription": subscription.number, "topic": subscription.topic, "cursor": cursor, **more}
        await self._send(dumps({"jsonrpc": "2.0", "method": method, "params": params}))
