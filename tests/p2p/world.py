"""Real networks on loopback in one event loop, and what tests want to know about them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache

from p2p.channels import Channel
from p2p.connection import Pulse
from p2p.handshake import Network as Chain
from p2p.identity import NodeIdentity, identity_from_seed
from p2p.network import Network
from p2p.peers import PeerInfo
from p2p.settings import Backoff, Handlers, NetworkSettings

CHAIN = Chain("qenex-test", b"\x07" * 32, 1)
PATIENCE = 30.0
"""Seconds after which an event that should come is taken not to come; no test waits that long if all is well."""


@cache
def identity(number: int) -> NodeIdentity:
    """The same identity for the same number."""
    return identity_from_seed(number.to_bytes(64, "big"))


class Node:
    """A network, and what it told its node."""

    def __init__(self, number: int, settings: NetworkSettings | None = None, chain: Chain = CHAIN) -> None:
        self.messages: list[tuple[str, Channel, bytes]] = []
        self.connected: list[PeerInfo] = []
        self.disconnected: list[str] = []
        self._changed = asyncio.Event()
        handlers = Handlers(self._on_message, self._on_connected, self._on_disconnected, lambda: number)
        quick = settings or NetworkSettings()
        quick = replace(quick, moniker=quick.moniker or f"node-{number}", version="0.1.0")
        if quick.backoff == Backoff():
            quick = replace(quick, backoff=Backoff(0.02, 0.2))
        self.network = Network(quick, identity(number), chain, handlers)

    def _on_message(self, peer_id: str, channel: Channel, payload: bytes) -> None:
        self.messages.append((peer_id, channel, payload))
        self.changed()

    def _on_connected(self, info: PeerInfo) -> None:
        self.connected.append(info)
        self.changed()

    def _on_disconnected(self, peer_id: str) -> None:
        self.disconnected.append(peer_id)
        self.changed()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at whenever this node hears something."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_peers(self, count: int) -> None:
        await self.until(lambda: len(self.network.peers()) == count)

    @property
    def address(self) -> str:
        return self.network.address

    @property
    def id(self) -> str:
        return self.network.node_id


async def poll(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds, for what tells nobody that it changed."""
    async with asyncio.timeout(PATIENCE):
        for _ in iter(condition, True):
            await asyncio.sleep(0)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """The nodes, started in order, and stopped in the end."""
    started = []
    try:
        for node in nodes:
            await node.network.start()
            started.append(node)
        yield
    finally:
        for node in started:
            await node.network.stop()


def settings(*peers: str, **other) -> NetworkSettings:
    """Settings with these persistent peers."""
    return NetworkSettings(persistent_peers=peers, **other)


QUICK_PULSE = Pulse(interval=0.05, deadline=0.3)
