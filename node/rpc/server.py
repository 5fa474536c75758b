"""The listening side: HTTP `POST /rpc`, WebSocket `/ws`, REST, documents, health, metrics.

One handler on aiohttp's low-level server, routed by a dict: the frameworks' routing and middleware cost
a third of a balance read. Browsers are kept out unless their origin is allowed: no CORS headers, an
`Origin` header is checked, JSON must say it is JSON (a form cannot), and on a loopback address the `Host`
header must name this machine (a rebound DNS name does not).
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web

from ledger.backend import StorageFault
from node.rpc.connections import BoundedServer, Connection, ConnectionTable
from node.rpc.declare import Registry
from node.rpc.dispatcher import Bounds, Caller, Dispatcher, error_object, rest_error_object
from node.rpc.documents import openapi
from node.rpc.limits import Limits, RateLimiter, is_loopback
from node.rpc.rest import ROOT, Router, status_of
from node.rpc.strict_json import Json, dumps, loads
from node.rpc.websocket import HEARTBEAT_SECONDS, Feed, WebSocketSession
from qenex.errors import (
    AddressInUse,
    Forbidden,
    InvalidRequest,
    LimitExceeded,
    NodeBusy,
    NotFound,
    QenexError,
)

JSON_HEADERS: Final = {"Content-Type": "application/json"}
TEXT_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}
METRICS_HEADERS: Final = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
SWEEP_SECONDS: Final = 1.0
MAX_KNOWN_HOSTS: Final = 64


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen and whom to serve. `port` 0 takes any free one; `socket_path` adds the local socket."""

    host: str = "127.0.0.1"
    port: int = 7300
    socket_path: Path | None = None
    token: str = ""
    """Opens `admin_` methods as `Authorization: Bearer`; empty: only the local socket does."""
    allowed_origins: frozenset[str] = field(default=frozenset())
    allowed_hosts: frozenset[str] = field(default=frozenset())
    """Names in the Host header besides loopback ones; on a public address empty means any."""
    limits: Limits = field(default_factory=Limits)


class _BadBody(LimitExceeded):
    """A body beyond the limits: the rest of it is not read, so the connection ends."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _WrongVerb(InvalidRequest):
    """Another HTTP method than the path has."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, hint=f"use {allowed}; /openapi.json lists all paths")
        self.allowed = allowed


class Health(Protocol):
    """What the operational paths tell."""

    def not_ready(self) -> str:
        """Why the node cannot serve yet; empty when it can."""

    def metrics_text(self) -> str:
        """All metrics in the Prometheus text format."""

    def on_fault(self, fault: StorageFault) -> None:
        """The store failed under a read."""


Handler = Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]]


class RpcServer:
    """Serves one registry on TCP and, if set, on a local socket."""

    def __init__(
        self,
        registry: Registry,
        health: Health,
        feed: Feed,
        version: str,
        settings: ServerSettings,
        background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        limits = settings.limits
        bounds = Bounds(limits.max_request_size, limits.max_batch, limits.max_answer_size)
        rates = RateLimiter(limits.rate, limits.burst) if limits.rate else None
        self.dispatcher = Dispatcher(registry, bounds, health.on_fault)
        self.connections = ConnectionTable(limits, rates)
        self._reading = asyncio.Lock()
        self.sessions = 0
        """Open WebSocket connections."""
        self._settings = settings
        self._limits = limits
        self._health = health
        self._feed = feed
        self._router = Router(registry)
        self._openapi = dumps(openapi(registry, version)).encode()
        self._submit = registry.methods.get("tx_submit")
        self._known_hosts: set[str] = set()
        self._runners: list[web.ServerRunner] = []
        self._background = (self._sweep, *background)
        self._own_socket: Path | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.port = settings.port
        self._paths: dict[str, Handler] = {
            "/rpc": self._rpc,
            "/ws": self._websocket,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi_document,
        }

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises AddressInUse; then nothing is left listening."""
        settings = self._settings
        place = f"{settings.host}:{settings.port}"
        try:
            await self._listen(_tcp_socket(settings.host, settings.port), local=False)
            if settings.socket_path is not None:
                place = str(settings.socket_path)
                listener = _local_socket(settings.socket_path)
                self._own_socket = settings.socket_path
                await self._listen(listener, local=True)
        except OSError as error:
            await self.stop()
            raise AddressInUse(
                f"cannot listen on {place}: {error.strerror}",
                hint="choose another port: rpc.port in qenex.toml, --set rpc.port=PORT, or --rpc-port of a devnet",
            ) from None
        self._tasks = [asyncio.create_task(work()) for work in self._background]

    async def _listen(self, listener: socket.socket, *, local: bool) -> None:
        if not local:
            self.port = int(listener.getsockname()[1])
        server = BoundedServer(
            partial(self._handle, local),
            self.connections,
            privileged=local,
            max_size=self._limits.max_request_size,
        )
        runner = web.ServerRunner(server, shutdown_timeout=2.0)
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listener, backlog=256).start()

    async def stop(self) -> None:
        """Stop listening, let answers under way finish (2 s), close everything. May be called twice."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._own_socket is not None:
            self._own_socket.unlink(missing_ok=True)
            self._own_socket = None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.connections.sweep()

    # -- one request ------------------------------------------------------------------------------

    async def _handle(self, local: bool, request: web.BaseRequest) -> web.StreamResponse:
        connection = self.connections.get(request.protocol)
        if connection is None:  # refused a moment ago
            return web.Response(status=503)
        table = self.connections
        table.begin(connection)
        path = request.raw_path.partition("?")[0]
        try:
            if not local:
                self._check_origin(request)
            handler = self._paths.get(path)
            if handler is not None:
                response = await handler(request, connection)
            else:
                response = await self._rest(path, request, connection)
        except QenexError as error:
            response = _refusal(error, rest=path != "/rpc")
        except ConnectionAbortedError:
            connection.transport.abort()
            raise
        finally:
            table.end(connection)
        return response

    def _check_origin(self, request: web.BaseRequest) -> None:
        """Raise Forbidden for a page of a foreign origin, or a name that is not this node's."""
        headers = request.headers
        host = headers.get("Host", "")
        if host not in self._known_hosts:
            self._check_host(host)
        origin = headers.get("Origin")
        if origin is not None and origin not in self._settings.allowed_origins:
            raise Forbidden("this origin is not allowed", hint="add it to rpc.allowed_origins of the node")

    def _check_host(self, host: str) -> None:
        settings = self._settings
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        name = name.lower()
        open_to_all = not settings.allowed_hosts and not is_loopback(settings.host)
        if not (open_to_all or name in settings.allowed_hosts or is_loopback(name)):
            raise Forbidden(
                "this host name is not served here", hint="add it to rpc.allowed_hosts of the node"
            )
        if len(self._known_hosts) < MAX_KNOWN_HOSTS:
            self._known_hosts.add(host)

    async def _body(self, request: web.BaseRequest) -> bytes:
        """The whole body. Raises LimitExceeded for too many bytes or too slow ones."""
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise InvalidRequest("compressed bodies are not accepted")
        try:
            if request.content.is_eof():  # all of it came with the headers: nothing to wait for
                return await request.read()
            async with asyncio.timeout(self._limits.request_timeout):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            limit = self._limits.max_request_size
            raise _BadBody(f"the body is longer than {limit} bytes", 413) from None
        except TimeoutError:
            raise _BadBody("the body came too slowly", 408) from None

    def _caller(self, request: web.BaseRequest, connection: Connection) -> Caller:
        given = request.headers.get("Authorization")
        if given is None or connection.caller.privileged:
            return connection.caller
        expected = f"Bearer {self._settings.token}"
        if not self._settings.token or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Forbidden("the token is wrong, or this node has none")
        return replace(connection.caller, privileged=True)

    async def _rpc(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if request.method != "POST":
            return self._only("POST", request)
        if not _is_json(request):
            raise InvalidRequest(
                "Content-Type is not application/json", hint="send the header Content-Type: application/json"
            )
        body = await self._body(request)
        answer = await self.dispatcher.handle(body, self._caller(request, connection))
        if answer is None:
            return web.Response(status=204)
        return self._response(request, answer)

    def _response(self, request: web.BaseRequest, body: bytes, status: int = 200) -> web.Response:
        response = web.Response(body=body, headers=JSON_HEADERS, status=status)
        origin = request.headers.get("Origin")
        if origin is not None:  # allowed: it was checked
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    def _only(self, methods: str, request: web.BaseRequest) -> web.Response:
        """Answer a preflight of an allowed origin; refuse any other method."""
        origin = request.headers.get("Origin")
        if request.method == "OPTIONS" and origin is not None:
            allow = {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": methods,
                "Access-Control-Allow-Headers": "Content-Type, Authorization",
                "Vary": "Origin",
            }
            return web.Response(status=204, headers=allow)
        raise _WrongVerb(f"this path takes {methods}, not {request.method[:16]!a}", methods)

    async def _rest(self, path: str, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if not path.startswith(ROOT + "/"):
            raise NotFound("no such path", hint="/openapi.json lists all paths")
        if path == ROOT + "/transaction":
            return await self._post_transaction(request, connection)
        if request.method not in ("GET", "HEAD"):
            return self._only("GET", request)
        match = self._router.match(path[len(ROOT) :], request.raw_path.partition("?")[2])
        caller = self._caller(request, connection)
        result = await self.dispatcher.call(match.method, match.params, caller)
        return self._response(request, dumps(result).encode())

    async def _post_transaction(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if request.method != "POST":
            return self._only("POST", request)
        if self._submit is None:
            raise NotFound("this node takes no transactions")
        body = await self._body(request)
        given: Json
        if _is_json(request):
            given = loads(body, max_size=self._limits.max_request_size)
            if type(given) is dict and given.keys() == {"transaction"}:
                given = given["transaction"]
        elif request.content_type == "application/octet-stream":
            given = "0x" + body.hex()
        else:
            raise InvalidRequest(
                "Content-Type is neither application/octet-stream nor application/json",
                hint='raw bytes are application/octet-stream, {"transaction": ...} is application/json',
            )
        caller = self._caller(request, connection)
        result = await self.dispatcher.call(self._submit, {"transaction": given}, caller)
        return self._response(request, dumps(result).encode())

    # -- WebSocket, health ------------------------------------------------------------------------

    async def _websocket(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if self.sessions >= self._limits.max_sessions:
            raise LimitExceeded(f"at most {self._limits.max_sessions} WebSocket connections")
        caller = self._caller(request, connection)
        response = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=self._limits.max_request_size,
            compress=False,
            timeout=2.0,
        )
        if not response.can_prepare(request):
            raise InvalidRequest("this path speaks WebSocket only")
        await response.prepare(request)
        self.sessions += 1
        try:
            session = WebSocketSession(
                response,
                self.dispatcher,
                self._feed,
                caller,
                self._limits,
                connection.transport.abort,
                self._reading,
            )
            closing = asyncio.create_task(self._close_at_stop(response))
            try:
                await session.run()
            finally:
                closing.cancel()
        finally:
            self.sessions -= 1
        return response

    async def _close_at_stop(self, response: web.WebSocketResponse) -> None:
        await self._stopping.wait()
        await response.close(code=1001, message=b"the node stops")

    async def _livez(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        reason = self._health.not_ready()
        if reason:
            return web.Response(status=503, text=f"not ready: {reason}\n")
        return web.Response(text="ready\n")

    async def _metrics(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        try:
            text = self._health.metrics_text()
        except StorageFault as fault:
            raise self.dispatcher.fault(fault) from None
        return web.Response(body=text.encode(), headers=METRICS_HEADERS)

    async def _openapi_document(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        return self._response(request, self._openapi)


def _is_json(request: web.BaseRequest) -> bool:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


def _refusal(error: QenexError, *, rest: bool) -> web.Response:
    """The answer to a request that reached no method, or to REST: a status of HTTP and a typed body.

    REST has `{"error": {code, name, message, hint, retryable}}`; JSON-RPC its own form, without an id.
    """
    status = 400 if isinstance(error, InvalidRequest) else status_of(error)
    headers = dict(JSON_HEADERS)
    if isinstance(error, _BadBody):
        status = error.status
        headers["Connection"] = "close"
    elif isinstance(error, LimitExceeded | NodeBusy):
        headers["Retry-After"] = "1"
    elif isinstance(error, _WrongVerb):
        status = 405
        headers["Allow"] = error.allowed
    answer: dict[str, Json] = {"error": rest_error_object(error)}
    if not rest:
        answer = {"jsonrpc": "2.0", "id": None, "error": error_object(error)}
    return web.Response(status=status, body=dumps(answer).encode(), headers=headers)


def _tcp_socket(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _local_socket(path: Path) -> socket.socket:
    """A socket only this user can open. A file left by a killed process is replaced, a live one is not."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(errno.EADDRINUSE, "another process listens there")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener
