"""Carrying a handshake over a WebSocket: deadlines, sizes, and its arithmetic off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWSTimeout, WSMsgType, web

from p2p.addresses import PeerAddress, join_host
from p2p.connection import WebSocket, hang_up, tune
from p2p.frames import FRAME_SIZE
from p2p.handshake import (
    ACCEPT_SIZE,
    FINISH_SIZE,
    HELLO_SIZE,
    REFUSE_SIZE,
    About,
    Initiator,
    Network,
    Responder,
    Session,
    refusal,
)
from p2p.identity import NodeIdentity
from qenex.errors import HandshakeFailed, PeerUnreachable, WrongNetwork

PATH: Final = "/p2p/1"
MAX_WS_MESSAGE: Final = FRAME_SIZE + 1
"""Bytes that a WebSocket message may not have: aiohttp refuses one of exactly its limit, and a frame may be full."""
T = TypeVar("T")


class Dialler:
    """Opens connections. One for a node; `close` it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._session = ClientSession(trust_env=False, timeout=ClientTimeout(total=None, sock_connect=10.0))

    async def close(self) -> None:
        """Release the client session."""
        await self._session.close()

    async def dial(
        self, address: PeerAddress, identity: NodeIdentity, network: Network, about: About, seconds: float
    ) -> tuple[WebSocket, Session]:
        """Connect to `address` and shake hands with the node it names, within `seconds`.

        Raises PeerUnreachable, WrongNetwork, WrongPeer, SelfConnection, HandshakeFailed.
        """
        try:
            async with asyncio.timeout(seconds):
                websocket = await self._session.ws_connect(
                    f"ws://{join_host(address.host, address.port)}{PATH}",
                    compress=0,
                    autoping=False,
                    max_msg_size=MAX_WS_MESSAGE,
                    timeout=ClientWSTimeout(ws_close=1.0),
                )
                try:
                    tune(websocket)
                    initiator = await self._off_loop(
                        lambda: Initiator(identity, network, about, address.node_id)
                    )
                    await websocket.send_bytes(await self._off_loop(initiator.hello))
                    accept = await receive_exact(websocket, (ACCEPT_SIZE, REFUSE_SIZE))
                    await websocket.send_bytes(await self._off_loop(lambda: initiator.finish(accept)))
                    assert initiator.session is not None
                    return websocket, initiator.session
                except BaseException:
                    await asyncio.shield(hang_up(websocket))
                    raise
        except TimeoutError:
            raise PeerUnreachable(f"{address}: no connection within {seconds:g} s") from None
        except (OSError, ClientError, ValueError) as error:
            raise PeerUnreachable(f"{address}: {str(error)[:120] or type(error).__name__}") from None

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


async def receive_exact(websocket: WebSocket, sizes: tuple[int, ...]) -> bytes:
    """The next message, if it is binary and of one of `sizes` bytes. Raises HandshakeFailed."""
    message = await websocket.receive()
    if message.type is not WSMsgType.BINARY:
        raise HandshakeFailed("the peer hung up in the handshake, or speaks another protocol")
    data: bytes = message.data
    if len(data) not in sizes:
        raise HandshakeFailed(
            f"a handshake message of {len(data)} bytes, expected {' or '.join(map(str, sizes))}"
        )
    return data


def new_websocket() -> web.WebSocketResponse:
    """The server's half, with this protocol's bounds."""
    return web.WebSocketResponse(
        autoping=False, compress=False, max_msg_size=MAX_WS_MESSAGE, timeout=1.0, writer_limit=FRAME_SIZE
    )


async def answer(
    websocket: web.WebSocketResponse,
    identity: NodeIdentity,
    network: Network,
    about: About,
    executor: Executor,
) -> Session:
    """Shake hands with whoever dialled. Raises WrongNetwork (after telling the peer), SelfConnection, HandshakeFailed."""
    loop = asyncio.get_running_loop()
    hello = await receive_exact(websocket, (HELLO_SIZE,))
    responder = Responder(identity, network, about)
    try:
        accept = await loop.run_in_executor(executor, responder.accept, hello)
    except WrongNetwork:
        await websocket.send_bytes(refusal(network))
        raise
    await websocket.send_bytes(accept)
    finish = await receive_exact(websocket, (FINISH_SIZE,))
    return await loop.run_in_executor(executor, responder.finish, finish)
