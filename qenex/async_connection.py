"""HTTP to one node without blocking, by aiohttp; the rules are those of `qenex.connection`."""

from __future__ import annotations

import asyncio

import aiohttp

from qenex.connection import parse_endpoint, request_headers, told
from qenex.errors import InvalidResponse, NodeUnreachable, UsageError
from qenex.jsonrpc import MAX_ANSWER_SIZE, ConnectionLost, clean_text, http_failure

_CHUNK = 64 * 1024

AsyncLock = asyncio.Lock
"""What keeps two transactions of one wallet in order, for tasks of one event loop."""


class AsyncHttpConnection:
    """Requests to one node from one event loop."""

    def __init__(self, url: str, *, timeout: float = 10.0, token: str | None = None) -> None:
        self.endpoint = parse_endpoint(url)
        self.timeout = timeout
        self._headers = request_headers(token)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(self, body: bytes, *, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # one deadline for all
        """As `HttpConnection.post`."""
        limit = aiohttp.ClientTimeout(total=self.timeout if timeout is None else timeout)
        where = self.endpoint.authority
        try:
            async with self._opened().post(
                self.endpoint.rpc_url, data=body, timeout=limit, allow_redirects=False
            ) as response:
                answer = await _read_bounded(response)
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise NodeUnreachable(f"cannot reach {where}: {told(error.os_error)}") from None
        except TimeoutError:
            raise ConnectionLost(
                f"{where} did not answer in time", hint="the node may be overloaded"
            ) from None
        except aiohttp.ClientResponseError as error:
            raise InvalidResponse(f"{where} does not speak HTTP: {clean_text(error.message)[:120]}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(f"{where} closed the connection: {clean_text(str(error))[:120]}") from None
        except ValueError as error:
            raise InvalidResponse(f"{where} does not speak HTTP: {clean_text(str(error))[:120]}") from None
        if status != 200:
            raise http_failure(status, answer)
        return answer

    async def pause(self, seconds: float) -> None:
        """Wait without holding anything."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("this client is closed", hint="make a new client")
        if self._session is None:  # made here and not in __init__: it belongs to the running loop
            self._session = aiohttp.ClientSession(headers=self._headers, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length > MAX_ANSWER_SIZE:
        raise InvalidResponse(f"an answer of {length} bytes, at most {MAX_ANSWER_SIZE} are read")
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_SIZE:
            raise InvalidResponse(f"an answer beyond {MAX_ANSWER_SIZE} bytes")
    return b"".join(parts)
