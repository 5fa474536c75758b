"""Nodes without an engine on loopback: a real application, a real transport, and a consensus that only takes notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from consensus.events import Message
from ledger.genesis import Genesis
from node.application import Application
from node.network import NodeNetwork
from p2p.channels import Channel
from p2p.handshake import Network as Chain
from p2p.identity import identity_from_seed
from p2p.messages import Message as PeerMessage
from p2p.messages import Summary, encode_message
from p2p.network import Network
from p2p.settings import Backoff, Handlers, NetworkSettings
from qenex.block import Block, Evidence
from tests.node.chain_helpers import open_application, until


class Notes:
    """What the network told the engine. `blocks` are those that peers may ask for."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Message]] = []
        self.evidence: list[tuple[str, Evidence]] = []
        self.summaries: list[tuple[str, Summary]] = []
        self.gone: list[str] = []
        self.blocks: dict[bytes, Block] = {}
        self.waiting: list[Evidence] = []
        self.own = Summary(1, 0, 0, (), ())

    def receive(self, peer: str, message: Message) -> None:
        self.received.append((peer, message))

    def receive_body(self, block: Block) -> None:
        raise AssertionError("bodies are given to those who wait for them")

    def receive_evidence(self, peer: str, evidence: Sequence[Evidence]) -> None:
        self.evidence += [(peer, piece) for piece in evidence]

    def receive_summary(self, peer: str, summary: Summary) -> None:
        self.summaries.append((peer, summary))

    def forget_peer(self, peer: str) -> None:
        self.gone.append(peer)

    def summary(self) -> Summary:
        return self.own

    def body(self, block_hash: bytes) -> Block | None:
        return self.blocks.get(block_hash)

    def waiting_evidence(self) -> Sequence[Evidence]:
        return self.waiting

    @property
    def messages(self) -> list[Message]:
        return [message for _, message in self.received]


class Member:
    """One node of the test."""

    def __init__(self, number: int, application: Application, persistent: Sequence[str] = ()) -> None:
        self.application = application
        self.notes = Notes()
        self.faults: list[BaseException] = []
        self.node = NodeNetwork(application)
        genesis = application.genesis
        self.transport = Network(
            NetworkSettings(
                persistent_peers=tuple(persistent),
                moniker=f"node-{number}",
                backoff=Backoff(0.05, 0.5),
                pex=False,
            ),
            identity_from_seed(bytes([number]) * 64),
            Chain(genesis.chain_id, genesis.hash, genesis.protocol_version),
            Handlers(self.node.on_message, self.node.on_connected, self.node.on_disconnected),
        )
        self.node.attach(self.transport, self.notes)

    async def start(self) -> None:
        await self.transport.start()
        self.node.start(self.faults.append)

    async def stop(self) -> None:
        await self.node.stop()
        await self.transport.stop()

    @property
    def id(self) -> str:
        return self.transport.node_id

    def say(self, peer: Member, channel: Channel, message: PeerMessage) -> None:
        """Send a peer any message, as a faulty node would."""
        assert self.transport.send(peer.id, channel, encode_message(message))

    def score_of(self, peer: Member) -> float:
        """What this node holds against a peer; 100 if it is banned."""
        if peer.id in self.transport.bans():
            return 100.0
        info = self.transport.peer(peer.id)
        return 0.0 if info is None else info.score


@asynccontextmanager
async def network(folder: Path, genesis: Genesis, count: int) -> AsyncIterator[list[Member]]:
    """`count` connected members, each with each."""
    members: list[Member] = []
    try:
        for number in range(count):
            addresses = [member.transport.address for member in members]
            member = Member(number + 1, open_application(folder / f"{number}", genesis), addresses)
            members.append(member)
            await member.start()
        await until(lambda: all(len(member.transport.peers()) == count - 1 for member in members))
        yield members
    finally:
        await asyncio.gather(*[member.stop() for member in members])
        for member in members:
            member.application.ledger.close()
