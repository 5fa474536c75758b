"""Sync put together for a node: what it serves, how it catches up, and how a new node joins by a snapshot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from ledger.backend import BackendKind, open_backend, stored_kind
from ledger.genesis import Genesis
from ledger.meta import STATE_KEY
from ledger.options import Options
from ledger.store import Ledger
from node.application import Application
from node.block_sync import BlockSync, Engine, SyncStatus
from node.config import Config
from node.metrics import NodeMetrics
from node.outcomes import Committed
from node.peers import open_identity, settings_of
from node.snapshots import Snapshots
from node.state_sync import StateSync
from node.sync_follower import SyncFollower
from node.sync_server import SyncServer, Transport
from node.tasks import watched
from node.verifier import Verifier
from node.verifier_worker import Item
from p2p.channels import Channel
from p2p.handshake import Network as Chain
from p2p.network import Network
from p2p.settings import Handlers
from qenex.errors import InvalidArguments, InvalidConfig
from qenex.light_rules import Checkpoint, LightOptions
from vm.machine import Machine

log = logging.getLogger("qenex.sync")

CHANNELS = (Channel.BLOCKS, Channel.STATE)


class Router(Protocol):
    """What is used of `node.network.NodeNetwork`."""

    def route(self, channels: Iterable[Channel], follower: SyncFollower) -> None:
        """Give the messages of these channels to `follower`."""
        ...


def snapshots_of(config: Config) -> Snapshots:
    """The node's snapshots; what a crash left unfinished is deleted."""
    snapshots = Snapshots(
        config.snapshots_path, interval=config.snapshots.interval, keep=config.snapshots.keep
    )
    snapshots.files.clean()
    return snapshots


class NodeSync:
    """Block sync, serving and snapshots of one running node. `start` after the network, `stop` before it."""

    def __init__(
        self,
        config: Config,
        application: Application,
        transport: Transport,
        engine: Engine,
        *,
        remember: Callable[[Item], None] | None = None,
    ) -> None:
        self._application = application
        self.snapshots = application.snapshots = snapshots_of(config)
        self._server = server = SyncServer(application.ledger, self.snapshots, transport)
        self.blocks = BlockSync(application, transport, engine, remember=remember)
        self.follower = SyncFollower(transport, server=server, blocks=self.blocks)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def status(self) -> SyncStatus:
        """Whether the node is catching up, and how far it is."""
        return self.blocks.status

    def route(self, network: Router) -> None:
        """Take over the channels of sync."""
        network.route(CHANNELS, self.follower)

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin; `failed` is told of what no node can go on after."""
        for work in (self.blocks.run, self.follower.run):
            self._tasks.append(asyncio.create_task(watched(work, failed)))

    async def stop(self) -> None:
        """End everything; the block in hand is written to its end."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.snapshots.stop()

    def declare_metrics(self, metrics: NodeMetrics) -> None:
        """What sync counts."""
        metrics.watch_gauge("sync_target", "Highest height that a peer claims", lambda: self.status.target)
        metrics.watch_gauge("syncing", "1 while this node catches up", lambda: int(self.status.syncing))
        metrics.watch_counter(
            "synced_blocks_total", "Blocks applied by block sync", lambda: self.blocks.applied
        )
        metrics.watch_counter(
            "sync_served_total", "Requests of peers that catch up, answered", lambda: self._server.served
        )

    def committed(self, committed: Committed) -> None:
        """A block is durable: a snapshot may be due."""
        self.snapshots.committed(self._application.ledger, committed.height)


# -- joining -----------------------------------------------------------------------------------


def trusted_of(config: Config) -> Checkpoint | None:
    """The checkpoint of the settings. Raises InvalidConfig."""
    if not config.sync.trusted:
        return None
    try:
        return Checkpoint.parse(config.sync.trusted)
    except InvalidArguments as error:
        raise InvalidConfig(f"sync.trusted: {error.message}", hint=error.hint) from None


async def join_by_snapshot(
    config: Config, machine: Machine, genesis: Genesis, stop: asyncio.Event
) -> int | None:
    """Fill an empty data folder with the state of a recent height, if the settings trust a checkpoint.

    Returns the height; None if there is a chain already, no checkpoint, or `stop` was set first. A join that was
    interrupted is continued. Raises InvalidConfig, TrustExpired, HeaderConflict, the DataFolder errors, StorageFault.
    """
    checkpoint = trusted_of(config)
    if checkpoint is None:
        return None
    if not config.p2p.enabled:
        raise InvalidConfig("sync.trusted needs the network: set p2p.enabled")
    database = config.database
    backend: BackendKind = database.backend  # type: ignore[assignment]  # one of its values, by the settings' check
    if stored_kind(config.data_path) is None:
        log.info("joining by a snapshot", extra={"trusted": str(checkpoint)})
    store = open_backend(backend, config.data_path, cache_bytes=database.cache_mib << 20, create=True)
    try:
        if store.get(STATE_KEY) is not None:
            return None  # the chain is here already: block sync does the rest
        options = Options(history=database.history, retain_blocks=database.retain_blocks)
        ledger = Ledger.create_in(
            store, genesis, codecs=machine.state_codecs, options=options, keep_restore=True
        )
        return await _join(config, Application(machine, ledger, Verifier(0)), genesis, checkpoint, stop)
    finally:
        store.close()


async def _join(
    config: Config, application: Application, genesis: Genesis, checkpoint: Checkpoint, stop: asyncio.Event
) -> int | None:
    follower: SyncFollower | None = None

    def on_message(peer: str, channel: Channel, payload: bytes) -> None:
        if follower is not None and channel in CHANNELS:
            follower.on_message(peer, channel, payload)

    def on_disconnected(peer: str) -> None:
        if follower is not None:
            follower.on_disconnected(peer)

    chain = Chain(genesis.chain_id, genesis.hash, genesis.protocol_version)
    transport = Network(
        settings_of(config),
        open_identity(config),
        chain,
        Handlers(on_message, on_disconnected=on_disconnected),
    )
    options = LightOptions(trusting_period=config.sync.trusting_period_hours * 3_600 * 10**9)
    sync = StateSync(application, transport, checkpoint, chain_id=genesis.chain_id, options=options)
    follower = SyncFollower(transport, state=sync)
    await transport.start()
    working = asyncio.create_task(sync.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait((working, stopping))
        await transport.stop()
