"""A peer that can shake hands and then does as a test likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from p2p.addresses import parse_address
from p2p.frames import CONTROL, LAST, Assembler, Budget, Control, FrameLimits, Opener, Sealer
from p2p.handshake import About, Network
from p2p.link import PATH, Dialler
from tests.p2p.world import CHAIN, PATIENCE, Node, identity

ABOUT = About("raw", "raw", "", 0, 1, 0)


def fragment(channel: int, piece: bytes, *, last: bool = True) -> bytes:
    return bytes((channel | LAST if last else channel,)) + len(piece).to_bytes(3, "big") + piece


class RawPeer:
    """A finished handshake with a node, and the keys to say anything."""

    def __init__(self, websocket: ClientWebSocketResponse, session, number: int) -> None:
        self.websocket = websocket
        self.id = identity(number).node_id
        self.goodbye = ""
        self.ended = False
        self._heard: list[tuple[int, bytes]] = []
        self._sealer = Sealer(session.keys.to_responder, FrameLimits())
        self._opener = Opener(session.keys.to_initiator, FrameLimits())
        self._assembler = Assembler(Budget(1 << 30), 1 << 30)

    async def say(self, *messages: tuple[int, bytes]) -> None:
        """Messages in one frame."""
        await self.frame(b"".join([fragment(channel, payload) for channel, payload in messages]))

    async def frame(self, content: bytes) -> None:
        await self.websocket.send_bytes(self._sealer.seal(content))

    async def hear(self) -> list[tuple[int, bytes]]:
        """Messages of the next frame; empty once the node has ended the connection."""
        async with asyncio.timeout(PATIENCE):
            message = await self.websocket.receive()
        if message.type is not WSMsgType.BINARY:
            self.ended = True
            return []
        heard = self._assembler.add(self._opener.open(message.data))
        for channel, payload in heard:
            if channel == CONTROL and payload[0] == Control.CLOSE:
                self.goodbye = payload[1:].decode()
        return heard

    async def hear_message(self, channel: int) -> bytes:
        """The next message of `channel`; everything else on the way is ignored."""
        while not self.ended:
            while self._heard:
                found, payload = self._heard.pop(0)
                if found == channel:
                    return payload
            self._heard = await self.hear()
        raise AssertionError(f"the connection ended: {self.goodbye}")

    async def until_ended(self) -> str:
        """Read until the node ends the connection; its goodbye."""
        while not self.ended:
            await self.hear()
        return self.goodbye


@asynccontextmanager
async def raw_peer(node: Node, number: int = 50, chain: Network = CHAIN) -> AsyncIterator[RawPeer]:
    """A raw peer that dialled `node` and shook hands; the node's word that it is taken in is still to be read."""
    executor = ThreadPoolExecutor(1)
    dialler = Dialler(executor)
    try:
        address = parse_address(node.address)
        websocket, session = await dialler.dial(address, identity(number), chain, ABOUT, PATIENCE)
        yield RawPeer(websocket, session, number)
    finally:
        await dialler.close()
        executor.shutdown()


@asynccontextmanager
async def raw_websocket(node: Node) -> AsyncIterator[ClientWebSocketResponse]:
    """A WebSocket to a node, before any handshake."""
    _, _, place = node.address.partition("@")
    async with ClientSession() as session:
        websocket = await session.ws_connect(
            f"ws://{place}{PATH}", max_msg_size=0
        )  # kept, or it is collected
        yield websocket
