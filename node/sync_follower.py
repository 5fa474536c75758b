"""The seam between the network and sync: payloads of the Blocks and State channels, peers that come and go.

`NodeNetwork.route((Channel.BLOCKS, Channel.STATE), follower)` is all the wiring there is. Questions go to the
server, answers to whoever asked; an answer for which nobody is there is an offence.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from node.block_sync import BlockSync
from node.sync_server import SyncServer, Transport, nothing_for
from p2p.channels import Channel
from p2p.offences import Offence
from p2p.peers import PeerInfo
from p2p.sync_messages import ANSWERS, Status, decode_sync, encode_sync, read_head

STATUS_SECONDS: Final = 1.0
"""Peers are told so often where this node stands."""


class Asker(Protocol):
    """Who asks questions of one channel."""

    def on_answer(self, peer: str, payload: bytes) -> None:
        """An answer, asked for or not. Raises MalformedBytes, TooLarge."""
        ...

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        ...


class SyncFollower:
    """See the module. `run` it as a task: it tells peers where this node stands, and answers them."""

    def __init__(
        self,
        transport: Transport,
        *,
        server: SyncServer | None = None,
        blocks: BlockSync | None = None,
        state: Asker | None = None,
    ) -> None:
        self._transport = transport
        self._server = server
        self._blocks = blocks
        self._askers: dict[Channel, Asker] = {}
        if blocks is not None:
            self._askers[Channel.BLOCKS] = blocks
        if state is not None:
            self._askers[Channel.STATE] = state

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """A payload of one of the two channels. Raises MalformedBytes or TooLarge: the peer pays."""
        tag, number = read_head(channel, payload)
        if tag in ANSWERS:
            asker = self._askers.get(channel)
            if asker is None:
                self._transport.punish(peer, Offence.UNSOLICITED, "an answer to nothing that was asked")
            else:
                asker.on_answer(peer, payload)
            return
        message = decode_sync(channel, payload)
        if isinstance(message, Status):
            if self._blocks is not None:
                self._blocks.on_status(peer, message)
        elif self._server is not None:
            self._server.on_request(peer, channel, number, message)
        else:  # this node joins itself: nobody need wait for an answer
            self._transport.send(peer, channel, encode_sync(nothing_for(message), number))

    def on_connected(self, info: PeerInfo) -> None:
        """A peer has come: tell it where this node stands."""
        if self._server is not None:
            self._transport.send(info.node_id, Channel.BLOCKS, encode_sync(self._server.status()))

    def on_disconnected(self, peer: str) -> None:
        """A peer has gone."""
        for asker in self._askers.values():
            asker.on_disconnected(peer)
        if self._server is not None:
            self._server.on_disconnected(peer)

    async def run(self) -> None:
        """Tell regularly where this node stands, and answer questions. Runs until cancelled."""
        if self._server is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.run())
            group.create_task(self._tell())

    async def _tell(self) -> None:
        assert self._server is not None
        told: Status | None = None
        while True:
            status = self._server.status()
            if status != told:
                self._transport.broadcast(Channel.BLOCKS, encode_sync(status))
                told = status
            await asyncio.sleep(STATUS_SECONDS)
