"""The listening side up to the handshake: who may knock, how often, and for how long.

Before a byte is read: banned hosts, the number of unfinished handshakes (in all and by network group) and the rate
of new connections of a group are looked at as soon as a connection is there. From then on it has one
deadline to become a peer's, whatever it spends the time with: no request, half a request, half a handshake.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple, cast

from aiohttp import web

from p2p.addresses import LOCAL_GROUP, group_of
from p2p.limits import KeyedBuckets, Rate
from p2p.link import PATH, new_websocket
from qenex.errors import AddressInUse


class Door(NamedTuple):
    """Limits before and during handshakes."""

    seconds: float = 10.0
    """From the first sight of a connection to the end of its handshake."""
    pending: int = 64
    """Unfinished handshakes at a time."""
    pending_per_group: int = 16
    """The same of one network group; not applied to addresses that are not routed."""
    rate: Rate = Rate(64, 8)
    """New connections of one network group."""


Visitor = Callable[[web.WebSocketResponse, str, Callable[[], None]], Awaitable[None]]
"""Given a WebSocket, the host, and what to call once the handshake is done; returns when the connection is over."""


class _Gate(asyncio.Protocol):
    """Stands in front of aiohttp's protocol of one connection, and passes everything on once it let it in."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._group = ""
        self.host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without the base class
        peer = transport.get_extra_info("peername")
        self.host = str(peer[0]) if peer else "0.0.0.0"  # noqa: S104  # not an address to bind: gone before it was seen
        self._group = group_of(self.host)
        if not self._listener.let_in(self.host, self._group):
            self._transport.abort()
            return
        self._inner = self._listener.protocol()
        self._listener.entered(self, self._transport, self._group)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._listener.door.seconds, self._expired)
        self._inner.connection_made(transport)

    def _expired(self) -> None:
        self._listener.expired += 1
        assert self._transport is not None
        self._transport.abort()

    def passed(self) -> None:
        """The handshake is done: no deadline any more, and the place at the door is free."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._listener.left_door(self._group)

    def connection_lost(self, error: Exception | None) -> None:
        if self._inner is not None:
            self.passed()
            self._listener.gone(self._transport)
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()


class Listener:
    """Listens for other nodes. `refuses_host` says who is banned; `visitor` takes those who got in."""

    def __init__(self, door: Door, refuses_host: Callable[[str], bool], visitor: Visitor) -> None:
        self.door = door
        self.refused: Counter[str] = Counter()
        """Connections turned away at once, by reason."""
        self.expired = 0
        """Connections that did not become a peer's in time."""
        self._refuses_host = refuses_host
        self._visitor = visitor
        self._rates = KeyedBuckets(door.rate)
        self._pending = 0
        self._pending_of: Counter[str] = Counter()
        self._gates: dict[asyncio.Transport | None, _Gate] = {}
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the host and port taken. Raises AddressInUse."""
        self._web = web.Server(self._handle, access_log=None, keepalive_timeout=1.0, lingering_time=0.0)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Gate(self), host, port, backlog=128)
        except OSError as error:
            raise AddressInUse(f"{host}:{port}: {error.strerror or error}") from None
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def stop(self) -> None:
        """Listen no more, and end what is not yet a peer's."""
        if self._server is not None:
            self._server.close()
        for transport in list(self._gates):
            if transport is not None:
                transport.abort()
        if self._web is not None:
            await self._web.shutdown(1.0)

    @property
    def pending(self) -> int:
        """Unfinished handshakes now."""
        return self._pending

    # -- for gates -------------------------------------------------------------------------

    def protocol(self) -> asyncio.Protocol:
        """A new protocol of aiohttp's server."""
        assert self._web is not None
        return self._web()

    def let_in(self, host: str, group: str) -> bool:
        """Whether a new connection may stay, and count it if not."""
        door, reason = self.door, ""
        if self._refuses_host(host):
            reason = "banned"
        elif self._pending >= door.pending:
            reason = "pending"
        elif group != LOCAL_GROUP and self._pending_of[group] >= door.pending_per_group:
            reason = "pending_of_group"
        elif not self._rates.take(group, monotonic()):
            reason = "rate"
        if reason:
            self.refused[reason] += 1
        return not reason

    def entered(self, gate: _Gate, transport: asyncio.Transport, group: str) -> None:
        """A connection takes a place at the door."""
        self._gates[transport] = gate
        self._pending += 1
        self._pending_of[group] += 1

    def left_door(self, group: str) -> None:
        """Its place is free again."""
        self._pending -= 1
        self._pending_of[group] -= 1
        if not self._pending_of[group]:
            del self._pending_of[group]

    def gone(self, transport: asyncio.Transport | None) -> None:
        """The connection is no more."""
        self._gates.pop(transport, None)

    # -- requests --------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        gate = self._gates.get(request.transport)
        if gate is None or request.method != "GET" or request.path != PATH:
            return web.Response(status=404, text="a QENEX node listens here for other nodes\n")
        websocket = new_websocket()
        await websocket.prepare(request)
        await self._visitor(websocket, gate.host, gate.passed)
        return websocket
