"""Blocking HTTP to one node: kept-alive connections, whole-request deadlines, bounded answers.

The standard library's http.client, because a wallet should not need another HTTP package
for one kind of POST. Each request has ONE deadline: a peer that drips a byte a second is
cut off like one that is silent. Nothing is retried here and redirects are not followed.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from qenex.errors import InvalidConfig, InvalidResponse, NodeUnreachable, UsageError
from qenex.jsonrpc import MAX_ANSWER_SIZE, ConnectionLost, http_failure

MAX_IDLE = 8
"""Connections kept open for the next request."""

_CHUNK = 64 * 1024

Lock = threading.Lock
"""What keeps two transactions of one wallet in order, for threads."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node answers: `http://host:port` (RPC at /rpc, WebSocket at /ws) or https."""

    secure: bool
    host: str
    port: int
    base: str
    """Path in front of /rpc and /ws, for a node behind a reverse proxy; usually empty."""

    @property
    def rpc_path(self) -> str:
        """Path of JSON-RPC."""
        return f"{self.base}/rpc"

    @property
    def rpc_url(self) -> str:
        """Where JSON-RPC is posted."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.rpc_path}"

    @property
    def websocket_url(self) -> str:
        """Where events are read."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.base}/ws"

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """Read a node's URL. Raises InvalidConfig for another scheme, credentials, a query or no host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidConfig(f"{url[:80]!a} is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidConfig(f"{url[:80]!a} is no node's URL", hint="write it like http://127.0.0.1:7300")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidConfig(
            "a node's URL has no credentials, query or fragment", hint="pass token=... instead"
        )
    if any(not (character.isascii() and character.isprintable()) or character == " " for character in url):
        raise InvalidConfig(f"{url[:80]!a} has characters that no URL has")
    secure = parts.scheme == "https"
    base = parts.path.rstrip("/").removesuffix("/rpc")
    return Endpoint(secure, parts.hostname, port or (443 if secure else 80), base)


def request_headers(token: str | None) -> dict[str, str]:
    """Headers of every request. Raises InvalidConfig for a token that cannot stand in one."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "qenex-sdk"}
    if token is not None:
        if not (token.isascii() and token.isprintable()):
            raise InvalidConfig("a token is printable ASCII")
        headers["Authorization"] = f"Bearer {token}"
    return headers


class HttpConnection:
    """Requests to one node, from any number of threads."""

    def __init__(self, url: str, *, timeout: float = 10.0, token: str | None = None) -> None:
        self.endpoint = parse_endpoint(url)
        self.timeout = timeout
        self._headers = request_headers(token)
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._tls = ssl.create_default_context() if self.endpoint.secure else None

    def post(self, body: bytes, *, timeout: float | None = None) -> bytes:
        """Send one JSON-RPC request, return the answer's bytes (at most 16 MiB).

        Raises NodeUnreachable if the request cannot have reached the node, ConnectionLost if it may
        have, InvalidResponse for what is no HTTP answer, or the typed error of an HTTP failure.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        connection = self._take(deadline)
        try:
            status, answer, reusable = self._exchange(connection, body)
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._give_back(connection)
        else:
            connection.close()
        if status != 200:
            raise http_failure(status, answer)
        return answer

    def pause(self, seconds: float) -> None:
        """Wait without holding anything."""
        time.sleep(seconds)

    def close(self) -> None:
        """Close all idle connections. Those in use close when their request ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes, bool]:
        where = self.endpoint.authority
        try:
            connection.request("POST", self.endpoint.rpc_path, body, self._headers)
            response = connection.getresponse()
            answer = _read_bounded(response)
            return response.status, answer, not response.will_close
        except TimeoutError:
            raise ConnectionLost(
                f"{where} did not answer in time", hint="the node may be overloaded"
            ) from None
        except (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            raise ConnectionLost(f"{where} closed the connection: {told(error)}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise InvalidResponse(f"{where} does not speak HTTP: {told(error)}") from None

    def _take(self, deadline: float) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                if self._closed:
                    raise UsageError("this client is closed", hint="make a new client")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._open(deadline)
            if _still_open(connection):
                _set_deadline(connection, deadline)
                return connection
            connection.close()

    def _open(self, deadline: float) -> http.client.HTTPConnection:
        endpoint = self.endpoint
        left = max(deadline - time.monotonic(), 0.001)
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection((endpoint.host, endpoint.port), timeout=left)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._tls.wrap_socket(plain, server_hostname=endpoint.host) if self._tls else plain
        except (OSError, ValueError) as error:  # ValueError: a host name that no resolver takes
            if plain is not None:
                plain.close()
            raise NodeUnreachable(f"cannot reach {endpoint.authority}: {told(error)}") from None
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
        connection.auto_open = 0
        connection.sock = _DeadlineSocket(wrapped, deadline)
        return connection

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()


class _DeadlineSocket:
    """The part of a socket that http.client uses, with one deadline over all its operations."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self.inner = inner
        self.deadline = deadline

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        self.inner.settimeout(left)

    def sendall(self, data: bytes) -> None:
        self._arm()
        self.inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self), _CHUNK)

    def receive_into(self, buffer: memoryview) -> int:
        self._arm()
        return self.inner.recv_into(buffer)

    def close(self) -> None:
        self.inner.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, source: _DeadlineSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed asks for any buffer
        return self._source.receive_into(buffer)


def _set_deadline(connection: http.client.HTTPConnection, deadline: float) -> None:
    held = connection.sock
    if isinstance(held, _DeadlineSocket):
        held.deadline = deadline


def _still_open(connection: http.client.HTTPConnection) -> bool:
    """Whether an idle connection can carry a request: bytes or an end waiting mean it cannot."""
    held = connection.sock
    if not isinstance(held, _DeadlineSocket):
        return False
    with suppress(OSError, ValueError):
        if hasattr(select, "poll"):  # select alone cannot watch descriptors above 1,023
            poll = select.poll()
            poll.register(held.inner, select.POLLIN)
            return not poll.poll(0)
        return not select.select([held.inner], [], [], 0)[0]
    return False


def _read_bounded(response: http.client.HTTPResponse) -> bytes:
    if response.length is not None and response.length > MAX_ANSWER_SIZE:
        raise InvalidResponse(f"an answer of {response.length} bytes, at most {MAX_ANSWER_SIZE} are read")
    parts: list[bytes] = []
    size = 0
    while part := response.read(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_SIZE:
            raise InvalidResponse(f"an answer beyond {MAX_ANSWER_SIZE} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def told(error: Exception) -> str:
    """What the system says of a failed connection, in one line of at most 120 characters."""
    if (
        isinstance(error, OSError)
        and not isinstance(error, ssl.SSLError)  # its numbers are of another kind
        and error.errno is not None
        and error.errno in errno.errorcode
    ):
        return os.strerror(error.errno)  # an event loop's own text says the address once more
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text[:120])
