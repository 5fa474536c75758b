"""Nodes that sync from each other: in memory, with liars among them, or over real networks on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.genesis import Genesis
from ledger.store import Ledger
from node.application import Application
from node.block_sync import BlockSync
from node.modules import make_machine
from node.snapshots import Snapshots
from node.sync_follower import SyncFollower
from node.sync_server import SyncServer
from node.verifier import Verifier
from p2p.channels import Channel
from p2p.handshake import Network as Chain
from p2p.network import Network
from p2p.offences import Offence
from p2p.peers import PeerInfo
from p2p.settings import Backoff, Handlers, NetworkSettings
from p2p.sync_messages import Status, encode_sync
from qenex.errors import QenexError
from qenex.light_rules import LightOptions
from tests.node.chain_helpers import Wallet, make_genesis, open_application, produce
from tests.p2p.world import identity

AGES = LightOptions(trusting_period=1_000 * 365 * 24 * 3_600 * 10**9)
PATIENCE = 40.0
CHAIN = Chain("test-1", b"\x07" * 32, 1)


def wallets(count: int = 3) -> list[Wallet]:
    return [Wallet(n) for n in range(1, count + 1)]


def grow(application: Application, people: list[Wallet], blocks: int) -> None:
    """Blocks with a transfer each."""
    for n in range(blocks):
        sender, to = people[n % len(people)], people[(n + 1) % len(people)]
        application.check_tx(sender.transfer(to.address, n + 1))
        produce(application)


def chain(blocks: int) -> tuple[Genesis, Application]:
    people = wallets()
    genesis = make_genesis(people)
    application = open_application(Path(), genesis)
    grow(application, people, blocks)
    return genesis, application


def fresh(genesis: Genesis, store: Any = None) -> Application:
    """An application whose ledger has no state yet."""
    machine = make_machine()
    if store is None:
        ledger = Ledger.create(Path(), genesis, codecs=machine.state_codecs, backend="memory")
    else:
        ledger = Ledger.create_in(store, genesis, codecs=machine.state_codecs, keep_restore=True)
    return Application(machine, ledger, Verifier(0))


class Consensus:
    """Notes when it is paused and resumed."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    async def pause(self) -> None:
        self.log.append("pause")

    async def resume_at(self, height: int) -> None:
        self.log.append(height)


class Wire:
    """All nodes of one test, connected with each other in memory; messages arrive in the next turn of the loop."""

    def __init__(self) -> None:
        self.followers: dict[str, Any] = {}
        self.offences: list[tuple[str, str, Offence, str]] = []
        self.sent: list[tuple[str, str, Channel, bytes]] = []
        self.change: Callable[[str, str, Channel, bytes], bytes | None] = lambda sender, to, channel, data: (
            data
        )
        """What becomes of a message on its way; None: it is lost."""

    def connect(self, name: str, follower: Any) -> None:
        others = list(self.followers)
        self.followers[name] = follower
        for other in others:
            self.followers[other].on_connected(info(name))
            follower.on_connected(info(other))

    def disconnect(self, name: str) -> None:
        del self.followers[name]
        for follower in self.followers.values():
            follower.on_disconnected(name)

    def deliver(self, sender: str, to: str, channel: Channel, payload: bytes) -> bool:
        if to not in self.followers:
            return False
        self.sent.append((sender, to, channel, payload))
        changed = self.change(sender, to, channel, payload)
        if changed is not None:
            asyncio.get_running_loop().call_soon(self._arrive, sender, to, channel, changed)
        return True

    def _arrive(self, sender: str, to: str, channel: Channel, payload: bytes) -> None:
        follower = self.followers.get(to)
        if follower is None:
            return
        try:
            follower.on_message(sender, channel, payload)
        except QenexError as error:
            self.offences.append((to, sender, Offence.MALFORMED, error.message))

    def blamed(self) -> set[str]:
        return {peer for _, peer, _, _ in self.offences}


class Port:
    """The wire as one node sees it."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool:
        return self._wire.deliver(self._name, peer_id, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        return sum(self.send(peer, channel, payload) for peer in self.peer_ids())

    def punish(self, peer_id: str, offence: Offence, detail: str = "") -> None:
        self._wire.offences.append((self._name, peer_id, offence, detail))

    def peer_ids(self) -> list[str]:
        return [name for name in self._wire.followers if name != self._name]


def info(name: str) -> PeerInfo:
    empty: dict[str, Any] = dict.fromkeys(PeerInfo._fields, 0)
    return PeerInfo(**{**empty, "node_id": name})


class SyncNode:
    """An application with block sync and a server, on any transport."""

    def __init__(self, application: Application, transport: Any, folder: Path | None = None) -> None:
        self.application = application
        self.consensus = Consensus()
        self.snapshots = None if folder is None else Snapshots(folder)
        application.snapshots = self.snapshots
        self.server = SyncServer(application.ledger, self.snapshots, transport)
        self.sync = BlockSync(application, transport, self.consensus)
        self.follower = SyncFollower(transport, server=self.server, blocks=self.sync)

    @property
    def height(self) -> int:
        return self.application.ledger.durable_height

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SyncNode]:
        tasks = [asyncio.create_task(self.sync.run()), asyncio.create_task(self.follower.run())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def nodes_on(wire: Wire, **applications: Application) -> AsyncIterator[list[SyncNode]]:
    """Nodes by name, connected and running."""
    async with AsyncExitStack() as stack:
        made = []
        for name, application in applications.items():
            node = SyncNode(application, Port(wire, name))
            wire.connect(name, node.follower)
            made.append(await stack.enter_async_context(node.running()))
        yield made


class Claimer:
    """A peer that says it is at some height, and otherwise does what `reply` says with each payload."""

    def __init__(self, wire: Wire, name: str, height: int, base: int = 1) -> None:
        self.port = Port(wire, name)
        self.status = Status(height, base)
        self.reply: Callable[[str, Channel, bytes], bytes | None] = lambda peer, channel, payload: None

    def on_connected(self, about: PeerInfo) -> None:
        self.port.send(about.node_id, Channel.BLOCKS, encode_sync(self.status))

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        answer = self.reply(peer, channel, payload)
        if answer is not None:
            self.port.send(peer, channel, answer)

    def on_disconnected(self, peer: str) -> None:
        """Nothing to forget."""


class RealNode:
    """A follower on a real network on loopback."""

    def __init__(
        self,
        number: int,
        make: Callable[[Any], Any],
        *peers: str,
        chain: Chain = CHAIN,
    ) -> None:
        self.follower: Any = None
        handlers = Handlers(
            lambda peer, channel, payload: self.follower.on_message(peer, channel, payload),
            lambda about: self.follower.on_connected(about),
            lambda peer: self.follower.on_disconnected(peer),
        )
        settings = replace(NetworkSettings(persistent_peers=peers), backoff=Backoff(0.02, 0.2))
        self.network = Network(settings, identity(number), chain, handlers)
        self.node = make(self.network)
        self.follower = getattr(self.node, "follower", self.node)

    @property
    def address(self) -> str:
        return self.network.address


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the condition is not ours to signal)
            await asyncio.sleep(0.005)
