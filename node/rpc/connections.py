"""Open connections: how many, how long they may dawdle.

aiohttp closes idle keep-alive connections but waits without end for the first byte of a request, for the
rest of its headers, and for a reader who takes nothing. `ConnectionTable.sweep`, called once a second,
closes these.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from node.rpc.dispatcher import Caller
from node.rpc.limits import Limits, RateLimiter, address_key, is_loopback


class Connection:
    """What the server remembers of one connection. Times in seconds of a monotonic clock."""

    __slots__ = ("buffered", "busy", "caller", "key", "since", "stuck_since", "transport")

    def __init__(self, transport: asyncio.Transport, key: str, caller: Caller, now: float) -> None:
        self.transport = transport
        self.key = key
        self.caller = caller
        self.busy = False
        """A request is being answered: its time is the method's business."""
        self.since = now
        """Opened, or last answered."""
        self.buffered = 0
        self.stuck_since = now


class ConnectionTable:
    """All connections of one server."""

    def __init__(
        self, limits: Limits, rates: RateLimiter | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._rates = rates
        self._clock = clock
        self._connections: dict[object, Connection] = {}
        self._by_key: dict[str, int] = {}
        self._opened = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._connections)

    def opened(self, handler: object, transport: asyncio.Transport, *, privileged: bool) -> bool:
        """Take a new connection in; False if there are too many and it has to be closed."""
        peer = transport.get_extra_info("peername")
        key = address_key(str(peer[0])) if isinstance(peer, tuple) and peer else "local"
        of_key = self._by_key.get(key, 0)
        own_machine = key == "local" or is_loopback(key)
        too_many = not own_machine and of_key >= self._limits.max_connections_per_address
        if too_many or len(self._connections) >= self._limits.max_connections:
            self.refused += 1
            return False
        self._by_key[key] = of_key + 1
        caller = self._caller(key, own_machine, privileged)
        self._connections[handler] = Connection(transport, key, caller, self._clock())
        return True

    def _caller(self, key: str, own_machine: bool, privileged: bool) -> Caller:
        rates = self._rates
        if rates is None or key == "local" or (own_machine and not self._limits.limit_loopback):
            caller = Caller(_free, privileged)
        else:
            caller = Caller(partial(rates.charge, key), privileged, owe=partial(rates.owe, key))
        if own_machine:  # programs of this machine, or whoever comes through its proxy
            self._opened += 1
            key = f"{key} {self._opened}"
        caller.key = key
        return caller

    def closed(self, handler: object) -> None:
        """Forget a connection."""
        connection = self._connections.pop(handler, None)
        if connection is not None:
            left = self._by_key[connection.key] - 1
            if left:
                self._by_key[connection.key] = left
            else:
                del self._by_key[connection.key]

    def get(self, handler: object) -> Connection | None:
        """The connection of a protocol handler."""
        return self._connections.get(handler)

    def begin(self, connection: Connection) -> None:
        """A whole request was received."""
        connection.busy = True

    def end(self, connection: Connection) -> None:
        """The answer is on its way; the next request's time begins."""
        connection.busy = False
        connection.since = self._clock()

    def sweep(self) -> int:
        """Close what dawdles; returns how many."""
        now = self._clock()
        limits = self._limits
        closed = 0
        for connection in list(self._connections.values()):
            transport = connection.transport
            buffered = transport.get_write_buffer_size()
            if not buffered or buffered < connection.buffered:
                connection.stuck_since = now
            connection.buffered = buffered
            idle = not connection.busy and now - connection.since > limits.idle_timeout
            if idle or now - connection.stuck_since > limits.write_timeout:
                transport.abort()
                closed += 1
        return closed


def _free(cost: int) -> None:
    """A caller without a rate."""


class _NotOurFault(logging.Filter):
    """Keeps ill-formed requests out of the log: each would leave a traceback there, twenty times its size."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


http_log = logging.getLogger("qenex.rpc.http")
http_log.addFilter(_NotOurFault())


class BoundedServer(web.Server):
    """aiohttp's low-level server with a table of its connections."""

    def __init__(
        self, handler: Callable[[Any], Any], table: ConnectionTable, *, privileged: bool, max_size: int
    ) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            access_log=None,
            logger=http_log,
            auto_decompress=False,  # a compressed body could grow a thousandfold
            max_line_size=4_096,
            max_field_size=8_192,
            keepalive_timeout=table._limits.idle_timeout,
            lingering_time=1.0,
        )
        self._table = table
        self._privileged = privileged
        self._max_size = max_size

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._max_size
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Called by aiohttp for each new connection."""
        super().connection_made(handler, transport)
        if not self._table.opened(handler, transport, privileged=self._privileged):
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Called by aiohttp when a connection is gone."""
        super().connection_lost(handler, exc)
        self._table.closed(handler)
