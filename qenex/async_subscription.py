"""Events as they happen, over a WebSocket, without gaps: a cursor says where to go on.

A lost connection is opened again from the last cursor that was handed out. A reader too
slow for the node is told so by SubscriptionLagged, never silently skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp

from qenex.answers import EventRecord, EventTypes, read_event, unknown_events
from qenex.connection import parse_endpoint, request_headers, told
from qenex.errors import InvalidResponse, NodeUnreachable, QenexError, SubscriptionLagged
from qenex.jsonrpc import (
    Call,
    Json,
    decode_answer,
    decode_notification,
    encode_call,
    error_from_json,
)

MAX_FRAME: Final = 8 * 1024 * 1024
"""Bytes of the longest WebSocket frame that is read."""
CONNECT_SECONDS: Final = 10.0
HEARTBEAT_SECONDS: Final = 20.0
REPEATS: Final = 5
"""Lost connections in a row, without a notification in between, that are repaired silently."""
LAGGED_CLOSE_CODE: Final = 4008


class Notification(NamedTuple):
    """One thing that happened. `cursor` goes on after it.

    `data` is plain JSON: a header with its hash, a transaction as `tx_get` tells it, or an event;
    an event is also in `event`, typed where the SDK knows its record.
    """

    cursor: str
    data: Json
    event: EventRecord | None = None

    def to_dict(self) -> dict[str, Json]:
        """Plain JSON, as the node gave it, with the cursor."""
        return (
            {**self.data, "cursor": self.cursor} if isinstance(self.data, dict) else {"cursor": self.cursor}
        )


class AsyncSubscription:
    """An asynchronous iterator of notifications; opens its connection at the first one."""

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
        self._endpoint = parse_endpoint(url)
        self._headers = request_headers(token)
        self._topic = topic
        self._filters = dict(filters)
        self._event_types = event_types
        self.cursor = from_cursor
        """Where a later subscription goes on: after the last notification handed out."""
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._number: int | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> Notification:
        failures = 0
        while not self._closed:
            try:
                if self._socket is None:
                    await self._open()
                return await self._receive()
            except NodeUnreachable:
                await self._drop()
                failures += 1
                if failures > REPEATS:
                    raise
                await asyncio.sleep(min(0.1 * 2**failures, 2.0))
            except QenexError:
                await self.close()
                raise
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the subscription and its connection."""
        self._closed = True
        await self._drop()

    async def _open(self) -> None:
        where = self._endpoint.authority
        try:
            self._session = aiohttp.ClientSession(headers=self._headers, cookie_jar=aiohttp.DummyCookieJar())
            async with asyncio.timeout(CONNECT_SECONDS):
                self._socket = await self._session.ws_connect(
                    self._endpoint.websocket_url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_FRAME
                )
                params: dict[str, Json] = {"topic": self._topic}
                if self._filters:
                    params["filter"] = self._filters
                if self.cursor is not None:
                    params["from_cursor"] = self.cursor
                await self._socket.send_bytes(encode_call(Call("events_subscribe", params), 1))
                answer = decode_answer(await self._frame(), 1)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (502, 503, 504):
                raise NodeUnreachable(f"{where} answers HTTP {error.status}") from None
            raise InvalidResponse(f"{where} opens no WebSocket: HTTP {error.status}") from None
        except aiohttp.ClientConnectorError as error:
            raise NodeUnreachable(f"cannot reach {where}: {told(error.os_error)}") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NodeUnreachable(f"cannot reach {where}: {told(error)}") from None
        number = answer.get("subscription") if isinstance(answer, dict) else None
        cursor = answer.get("cursor") if isinstance(answer, dict) else None
        if type(number) is not int or not isinstance(cursor, str):
            raise InvalidResponse("events_subscribe answered without a subscription and a cursor")
        self._number = number
        if self.cursor is None:
            self.cursor = cursor

    async def _receive(self) -> Notification:
        while True:
            frame = decode_notification(await self._frame())
            params = frame.get("params")
            if not isinstance(params, dict) or params.get("subscription") != self._number:
                continue
            method, cursor = frame.get("method"), params.get("cursor")
            if method == "events_lagged":
                raise SubscriptionLagged(f"the node ended the subscription after cursor {self.cursor}")
            if method == "events_failed":
                raise error_from_json(params.get("error"))
            if method != "events_notification" or not isinstance(cursor, str) or len(cursor) > 128:
                raise InvalidResponse("a notification has a cursor and data")
            data = params.get("data")
            event = read_event(data, self._event_types) if self._topic == "events" else None
            self.cursor = cursor
            return Notification(cursor, data, event)

    async def _frame(self) -> bytes:
        socket = self._socket
        if socket is None:
            raise NodeUnreachable("the connection is closed")
        message = await socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data.encode() if isinstance(data, str) else data
        if socket.close_code == LAGGED_CLOSE_CODE:
            raise SubscriptionLagged(f"the node closed the connection after cursor {self.cursor}")
        if socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            raise InvalidResponse(f"a frame beyond {MAX_FRAME} bytes")
        raise NodeUnreachable("the connection was lost")

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        session, self._session = self._session, None
        if socket is not None:
            await socket.close()
        if session is not None:
            await session.close()
