"""`Node`: one process of the chain, put together from its home folder.

Start: settings, cryptographic self-test, ledger, signer, verifier, application, engine, RPC; each step may
refuse with a typed error, and what was started before it is stopped again. `run` returns when the node was
asked to stop, and raises what made it stop otherwise. The order of stopping: the engine finishes its block,
subscribers and RPC are let go, workers end, the store is closed, the signer's lock released.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from consensus.wal import FileStorage
from ledger.backend import BackendKind
from ledger.genesis import Genesis
from ledger.options import Options
from ledger.store import Ledger
from node import garbage, tree_process
from node.application import Application
from node.bft_blocks import Clock
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.bft_recording import Recording
from node.bft_setup import OpenedSigner, engine_options, open_signer
from node.config import Config
from node.events import EventBus
from node.gate import Gate
from node.home import read_genesis, read_key
from node.mempool import Limits, Mempool
from node.metrics import NodeMetrics
from node.modules import make_machine
from node.network import NodeNetwork
from node.outcomes import Committed
from node.peers import Peers
from node.rpc.app import AdminMethods, build_server, settings_of
from node.rpc.peer_methods import PeerMethods
from node.rpc.server import RpcServer
from node.service import Identity, NodeService
from node.sync_setup import NodeSync, join_by_snapshot
from node.tasks import watched
from node.upgrades import check_upgrade
from node.verifier import Verifier
from qenex import __version__
from qenex.crypto import self_test
from qenex.errors import (
    DataFolderMissing,
    DiskFull,
    InvalidConfig,
)
from vm.machine import Machine

log = logging.getLogger("qenex.node")

WATCH_SECONDS: Final = 0.1
DISK_CHECK_SECONDS: Final = 2.0
REPORT_SECONDS: Final = 60.0
"""A line of the log says this often where the node stands."""
LATE_SECONDS: Final = 0.25
"""A loop that is later than this is worth a line in the log."""


class Node:
    """See the module. Made from a `Config`; `start`, then `run` (which stops), or `stop`."""

    def __init__(self, config: Config, *, clock: Clock = time.time_ns) -> None:
        self.config = config
        self.metrics = NodeMetrics()
        self._clock = clock
        self._closing: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._stop = asyncio.Event()
        self._fault: BaseException | None = None
        self._engine_task: asyncio.Task[None] | None = None
        self._last_time = 0
        self._signs = False
        self.engine: Engine | None = None
        self.peers: Peers | None = None
        self.sync: NodeSync | None = None
        self.server: RpcServer | None = None
        self.ready = False

    # -- start -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up. Raises the typed error of the step that refuses; then all is down again."""
        try:
            await self._start()
        except BaseException:
            await self._close_all()
            raise

    async def _start(self) -> None:
        config = self.config
        check_disk(config)
        self_test.run()
        genesis = await asyncio.to_thread(read_genesis, config.genesis_path)
        self.machine = machine = make_machine()
        machine.on_fault = self._module_fault
        await join_by_snapshot(config, machine, genesis, self._stop)
        self.ledger = open_ledger(config, machine, genesis)
        self._closing.append(self._close_ledger)
        key = read_key(config.validator_key_path) if config.validator_key_path.exists() else None
        opened = await asyncio.to_thread(open_signer, config, self.ledger, key)
        if opened is not None:
            self._signs = True
            self._closing.append(self._closer(opened.close))
        workers = None if config.verifier.workers < 0 else config.verifier.workers
        self.verifier = Verifier(
            workers, max_queued=config.verifier.max_queued, cache_entries=config.verifier.remembered
        )
        await self.verifier.start()
        self._closing.append(self.verifier.stop)
        pool = config.mempool
        limits = Limits(
            pool.max_transactions, pool.max_mib << 20, pool.max_pending_per_sender, pool.remembered
        )
        self.application = Application(machine, self.ledger, self.verifier, mempool=Mempool(limits))
        self._start_tree_process()
        check_upgrade(self.ledger.committed, self.ledger.height + 1)
        self.application.on_commit = self._committed
        self.events = EventBus(self.application.read_events, self.ledger.height)
        gate = Gate(time.monotonic, wait=config.mempool.max_wait_ms / 1_000)
        self.network = NodeNetwork(self.application, gate=gate)
        if config.p2p.enabled:
            self.peers = Peers(config, genesis, self.network, lambda: self.ledger.durable_height)
        self._start_engine(opened)
        self._declare_metrics()
        await self._start_peers()
        if config.rpc.enabled:
            await self._start_rpc(genesis, opened)
        for work in (self._watch_loop, self._watch_disk, self._report, self._collect):
            self._background(work)
        garbage.settle()
        log.info(
            "node started",
            extra={
                "chain": genesis.chain_id,
                "height": self.ledger.height,
                "rpc_port": self.server.port if self.server is not None else None,
                "p2p_address": self.peers.address if self.peers is not None else None,
                "validator": opened is not None,
                "verifier_workers": self.verifier.alive,
            },
        )
        if opened is None:
            log.warning(
                "this node makes no blocks: it has no validator key; it follows what others decide",
                extra={"key_file": str(config.validator_key_path)},
            )

    @staticmethod
    def _closer(close: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def closing() -> None:
            close()

        return closing

    def _start_tree_process(self) -> None:
        if tree_process.is_wanted(self.config.database.tree_process):
            self.application.tree_process = process = tree_process.TreeProcess(
                self.ledger.options.tree_cache_bytes
            )
            process.start()
            self._closing.append(process.stop)

    def _start_engine(self, opened: OpenedSigner | None) -> None:
        config = self.config
        self.engine = engine = Engine(
            self.application,
            self.network,
            EventLog(FileStorage(config.wal_path)),
            signer=None if opened is None else opened.signer,
            identity=None if opened is None else opened.identity,
            evidence_path=config.evidence_path,
            recording=Recording(config.recording_path) if config.consensus.record else None,
            options=engine_options(config),
            metrics=self.metrics,
            clock=self._clock,
        )
        self.application.admission.on_admitted = engine.wake
        self._engine_task = asyncio.create_task(self._run_engine(engine))
        self._closing.append(self._stop_engine)

    async def _run_engine(self, engine: Engine) -> None:
        try:
            await engine.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever ends the engine ends the node: it must not go on blind
            self.fail(error)

    async def _stop_engine(self) -> None:
        assert self.engine is not None
        assert self._engine_task is not None
        self.engine.stop()
        await self._engine_task

    async def _start_peers(self) -> None:
        peers, engine = self.peers, self.engine
        assert engine is not None
        self.network.attach(None if peers is None else peers.transport, engine)
        if peers is None:
            return
        self.sync = sync = NodeSync(
            self.config, self.application, peers.transport, engine, remember=engine.votes.remember
        )
        sync.declare_metrics(self.metrics)
        sync.route(self.network)
        engine.on_behind = sync.blocks.on_behind
        self._closing.append(peers.stop)
        await peers.start(self.fail)
        self._closing.append(sync.stop)
        sync.start(self.fail)

    async def _start_rpc(self, genesis: Genesis, opened: OpenedSigner | None) -> None:
        config = self.config
        validator = None if opened is None else opened.identity.address
        identity = Identity(config.node.name, __version__, validator=validator)
        peers = self.peers
        if peers is not None:
            identity = identity._replace(node_id=peers.node_id, p2p_address=peers.address)
        self.service = NodeService(
            self.machine,
            self.ledger,
            self.application.mempool,
            self.events,
            self.network.entrance,
            identity,
            not_ready=self.not_ready,
            not_signing=lambda: "" if self.engine is None else self.engine.not_signing,
            peers=list if peers is None else peers.connected,
            metrics_text=self.metrics.text,
            on_fault=self.fail,
        )
        admin = AdminMethods(self.request_stop, set_log_level)
        self.server = build_server(self.service, settings_of(config), admin, PeerMethods(peers))
        self._declare_rpc_metrics(self.server)
        await self.server.start()
        self._closing.append(self._stop_rpc)

    async def _stop_rpc(self) -> None:
        assert self.server is not None
        self.events.close()
        self.service.close()
        await self.server.stop()

    async def _close_ledger(self) -> None:
        self.ledger.close()

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(watched(work, self.fail))

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._closing.append(end)

    # -- life --------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port of the RPC; 0 without one."""
        return 0 if self.server is None else self.server.port

    def not_ready(self) -> str:
        """Why the node cannot serve yet; empty when it can."""
        if self._fault is not None or self._stop.is_set():
            return "stopping"
        if self.sync is not None and self.sync.status.syncing:
            return f"syncing: height {self.sync.status.height} of {self.sync.status.target}"
        if self.ledger.durable_height < self.ledger.initial_height:
            if not self._signs:
                return "no block yet, and none is made here: this node has no validator key"
            return "waiting for the first block"
        return ""

    def request_stop(self) -> None:
        """Stop gracefully: `run` returns."""
        self._stop.set()

    def fail(self, error: BaseException) -> None:
        """Stop because of `error`: `run` raises it. The first one counts."""
        if self._fault is None:
            self._fault = error
        self._stop.set()

    async def run(self) -> None:
        """Live until `request_stop` or a fault, then stop. Raises the fault."""
        await self._stop.wait()
        await self.stop()
        if self._fault is not None:
            raise self._fault

    async def stop(self) -> None:
        """Finish the block in hand and close everything. May be called twice."""
        log.info("node stopping")
        await self._close_all()

    async def _close_all(self) -> None:
        """Close in an order of its own: engine first, store and lock last."""
        closing, self._closing = self._closing, []
        first = [close for close in closing if close == self._stop_engine]
        rest = [close for close in reversed(closing) if close != self._stop_engine]
        for close in (*first, *rest):
            try:
                await close()
            except Exception as error:  # the rest must be closed all the same
                log.warning("while stopping", extra={"error": str(error)})
                self._fault = self._fault or error
        garbage.release()

    # -- what is watched ------------------------------------------------------------------------

    def _committed(self, committed: Committed) -> None:
        metrics, result = self.metrics, committed.result
        metrics.height.set(committed.height)
        metrics.round.set(committed.round)
        metrics.blocks.inc()
        metrics.transactions.inc(len(result.receipts))
        metrics.failed.inc(result.receipts.failed)
        metrics.gas.inc(result.gas_used)
        metrics.block_size.set(committed.size)
        if self._last_time:
            metrics.block_interval.observe((committed.header.time - self._last_time) / 1e9)
        self._last_time = committed.header.time
        self.events.publish(committed.events)
        self.network.block_committed(committed)
        if self.sync is not None:
            self.sync.committed(committed)

    def _module_fault(self, error: Exception) -> None:
        log.error("a module failed in a way it did not foresee", exc_info=error)

    def _declare_metrics(self) -> None:
        metrics, pool, admission = self.metrics, self.application.mempool, self.application.admission
        verifier, ledger, gate = self.verifier, self.ledger, self.network.entrance.gate
        tree = self.application.tree_process
        metrics.height.set(ledger.height)
        gate.on_wait = metrics.wait.observe
        if self.engine is not None:
            self.engine.declare_metrics(metrics)
        if self.peers is not None:
            self.peers.declare_metrics(metrics)
        counted: tuple[tuple[str, str, Callable[[], int]], ...] = (
            ("mempool_admitted_total", "Transactions admitted to the pool", lambda: admission.admitted),
            ("mempool_refused_total", "Transactions refused at admission", lambda: admission.refused),
            ("gate_refused_total", "Of what was submitted here, refused as too much", lambda: gate.refused),
            ("mempool_dropped_total", "Evicted, expired or made impossible", lambda: admission.dropped),
            ("verifier_verified_total", "Signatures verified", lambda: verifier.verified),
            ("verifier_respawned_total", "Verifier processes that were replaced", lambda: verifier.respawned),
            ("tree_built_total", "State trees computed by their process", lambda: tree.built if tree else 0),
            (
                "tree_respawned_total",
                "Times that process was replaced",
                lambda: tree.respawned if tree else 0,
            ),
            ("verified_cache_hits_total", "Signatures not verified again", lambda: verifier.cache.hits),
        )
        for name, doc, read in counted:
            metrics.watch_counter(name, doc, read)
        now: tuple[tuple[str, str, Callable[[], int]], ...] = (
            ("mempool_transactions", "Transactions that wait for a block", lambda: len(pool)),
            ("mempool_bytes", "Their bytes", lambda: pool.size),
            ("gate_under_way", "Submitted here and in no block yet", lambda: len(gate)),
            ("gate_limit", "So many may be, before more is refused", lambda: gate.limit),
            ("verifier_queued", "Signatures that wait for verification", lambda: verifier.queued),
            ("verifier_workers", "Running verifier processes", lambda: verifier.alive),
            ("tree_process", "Whether the state tree's process runs", lambda: bool(tree and tree.alive)),
            ("database_bytes", "Bytes of the store on disk", ledger.store.approximate_size),
            ("event_subscribers", "Open event subscriptions", lambda: len(self.events)),
            ("disk_free_bytes", "Free space of the home's disk", lambda: disk_free(self.config.home)),
        )
        for name, doc, read in now:
            metrics.watch_gauge(name, doc, read)

    def _declare_rpc_metrics(self, server: RpcServer) -> None:
        metrics, table, counts = self.metrics, server.connections, server.dispatcher.counts
        metrics.watch_counters(
            "rpc_requests_total",
            "RPC requests answered, by method (REST too) and outcome: ok, refused, limited or internal",
            ("method", "outcome"),
            lambda: counts,
        )
        metrics.watch_counter(
            "rpc_connections_refused_total", "Connections closed at once: too many", lambda: table.refused
        )
        metrics.watch_gauge("rpc_connections", "Open RPC connections", lambda: len(table))
        metrics.watch_gauge("rpc_sessions", "Of these, WebSocket sessions", lambda: server.sessions)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(WATCH_SECONDS)
            late = loop.time() - before - WATCH_SECONDS
            self.metrics.lateness.observe(max(late, 0.0))
            if late > LATE_SECONDS:
                log.warning("the event loop ran late", extra={"milliseconds": int(late * 1_000)})

    async def _collect(self) -> None:
        await garbage.collect_when_idle(lambda: len(self.application.mempool))

    async def _report(self) -> None:
        height = self.ledger.durable_height
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            before, height = height, self.ledger.durable_height
            log.info(
                "status",
                extra={
                    "height": height,
                    "new_blocks": height - before,
                    "waiting_transactions": len(self.application.mempool),
                    "makes_blocks": self._signs,
                    "peers": 0 if self.peers is None else len(self.peers.transport.peer_ids()),
                },
            )

    async def _watch_disk(self) -> None:
        while True:
            await asyncio.sleep(DISK_CHECK_SECONDS)
            try:
                await asyncio.to_thread(check_disk, self.config)
            except DiskFull as error:
                log.error("stopping before the disk is full", extra={"reason": error.message})
                self.fail(error)
                return


def set_log_level(level: str) -> None:
    """Change the least level that is logged. Raises InvalidConfig."""
    if level not in ("debug", "info", "warning", "error"):
        raise InvalidConfig(f"log level {level!r:.20}: allowed is debug, info, warning or error")
    logging.getLogger().setLevel(level.upper())


def disk_free(path: Path) -> int:
    """Free bytes for this process on the disk of `path`, or of the nearest folder above that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def check_disk(config: Config) -> None:
    """Raises DiskFull when there is less free space than the settings ask."""
    least = config.node.min_free_disk_mib << 20
    free = disk_free(config.data_path) if least else 0
    if free < least:
        raise DiskFull(
            f"{free >> 20} MiB are free on the disk of {config.data_path}, node.min_free_disk_mib is {least >> 20}"
        )


def open_ledger(config: Config, machine: Machine, genesis: Genesis) -> Ledger:
    """Open the chain's store, or make it from the genesis when there is none yet.

    Raises WrongGenesis, InvalidGenesis, the DataFolder errors, BackendUnavailable or StorageFault.
    """
    database = config.database
    backend: BackendKind = database.backend  # type: ignore[assignment]  # one of its values, by the settings' check
    options = Options(history=database.history, retain_blocks=database.retain_blocks)
    cache_bytes = database.cache_mib << 20
    folder = config.data_path
    try:
        return Ledger.open(
            folder, codecs=machine.state_codecs, genesis_hash=genesis.hash, backend=backend, options=options,
            cache_bytes=cache_bytes,
        )  # fmt: skip
    except DataFolderMissing:
        pass  # the first start, or one that was killed before the genesis was written
    ledger = Ledger.create(
        folder,
        genesis,
        codecs=machine.state_codecs,
        backend=backend,
        options=options,
        cache_bytes=cache_bytes,
    )
    try:
        Application.init_chain(machine, ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger
