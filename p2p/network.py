"""The network of a node: whom it is connected to, and messages to and from them.

    network = Network(settings, identity, chain, handlers)
    await network.start()
    network.broadcast(Channel.CONSENSUS, payload)

`send` never waits: a message is queued or refused. All calls belong into the event loop that `start` ran in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, time
from typing import Any, Final, TypeVar

from aiohttp import ClientError, web

from p2p import handshake, pex
from p2p.address_book import AddressBook
from p2p.addresses import PeerAddress, host_key, ip_of, is_local, join_host, parse_host_port
from p2p.channels import Channel
from p2p.connection import Budgets, Connection, WebSocket, hang_up, tune
from p2p.frames import Assembler, Budget
from p2p.handshake import About, Session
from p2p.identity import NodeIdentity
from p2p.limits import MAX_PARTIAL_TOTAL, MAX_QUEUED_TOTAL, CommonWork
from p2p.link import Dialler, answer
from p2p.listener import Listener
from p2p.offences import Offence
from p2p.outbound import Outbound
from p2p.peers import PeerInfo, PeerTable, Places, describe, messages_by_channel
from p2p.scoring import Ban, Scores
from p2p.settings import Handlers, NetworkSettings, parsed
from qenex.errors import (
    HandshakeFailed,
    InvalidPeerAddress,
    MalformedBytes,
    PeerRefused,
    PeerUnreachable,
    QenexError,
    SelfConnection,
    TooLarge,
    WrongNetwork,
    WrongPeer,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")
SAVE_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 1.0
BOOK_FILE: Final = "addresses.json"
BANS_FILE: Final = "bans.json"
ENOUGH_ADDRESSES: Final = 1_000
"""With fewer addresses in the book than that, peers are asked for theirs."""


class Network:
    """Connections to other nodes of the same chain. `chain` says which that is."""

    def __init__(
        self,
        settings: NetworkSettings,
        identity: NodeIdentity,
        chain: handshake.Network,
        handlers: Handlers,
    ) -> None:
        """Raises InvalidPeerAddress for a setting that is none."""
        self.settings = settings
        self.identity = identity
        self.chain = chain
        self.offences: Counter[str] = Counter()
        """Offences of all peers since the start, by label."""
        self._handlers = handlers
        self._named = named = parsed(settings)
        folder, random = settings.folder, secrets.SystemRandom()
        self._book = AddressBook(
            time, folder / BOOK_FILE if folder else None, local=named.local, own_id=identity.node_id
        )
        self._scores = Scores(time, folder / BANS_FILE if folder else None)
        trusted = {*named.persistent, *named.private}
        places = Places(settings.max_inbound, settings.max_outbound)
        self._table = PeerTable(identity.node_id, places, trusted)
        self._outbound = Outbound(identity.node_id, named, self._book, self._table, settings.backoff, random)
        self._exchange = pex.Exchange()
        self._budgets = Budgets(
            Budget(MAX_PARTIAL_TOTAL, self._relieve), Budget(MAX_QUEUED_TOTAL), CommonWork(monotonic())
        )
        self._isolated: frozenset[str] = frozenset()
        self._addresses: dict[str, PeerAddress] = {}
        self._unfinished: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._listener: Listener | None = None
        self._dialler: Dialler | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._running = False
        self._place: tuple[str, int] = ("", 0)

    # -- start and stop --------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to dial. Raises AddressInUse."""
        self._executor = ThreadPoolExecutor(2, "p2p")
        self._dialler = Dialler(self._executor)
        self._running = True
        try:
            if self.settings.listen:
                self._listener = Listener(self.settings.door, self._refuses_host, self._visit)
                self._place = await self._listener.start(self.settings.host, self.settings.port)
        except BaseException:
            await self.stop()
            raise
        self._keep(self._for_ever(self._keep_connected))
        self._keep(self._for_ever(self._keep_house))

    async def stop(self) -> None:
        """Say goodbye to all, close everything, save the book and the bans."""
        self._running = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for connection in list(self._table.connections.values()):
            self._drop(connection, "the node stops")
        for connection in list(self._unfinished):
            connection.close("the node stops")
        await asyncio.gather(
            *tasks, *[c.finished.wait() for c in list(self._unfinished)], return_exceptions=True
        )
        if self._listener is not None:
            await self._listener.stop()
        if self._dialler is not None:
            await self._dialler.close()
        if self._executor is not None:
            await self._save()
            self._executor.shutdown(wait=False)

    def _keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _for_ever(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin `work` anew if a fault of ours ends it: a node that dials nobody any more would not notice."""
        while self._running:
            try:
                await work()
            except Exception:  # a fault of ours, which must not pass unseen
                _log.exception("a task of the network failed and is begun anew")
                await asyncio.sleep(AGAIN_SECONDS)

    # -- for the node ----------------------------------------------------------------------

    @property
    def node_id(self) -> str:
        """This node's id."""
        return self.identity.node_id

    @property
    def address(self) -> str:
        """`<node id>@host:port` under which this node listens."""
        return f"{self.node_id}@{join_host(*self._place)}"

    def send(self, peer_id: str, channel: Channel, payload: bytes) -> bool:
        """Queue `payload` for a peer; False when it is not connected or its queue of this channel is full.

        Raises ValueError for a payload that belongs on no channel or is larger than its channel allows.
        """
        connection = self._table.connections.get(peer_id)
        return connection is not None and connection.send(channel, payload)

    def broadcast(self, channel: Channel, payload: bytes, skip: Collection[str] = ()) -> int:
        """Queue `payload` for every peer but those of `skip`; how many took it."""
        return sum(
            [
                connection.send(channel, payload)
                for peer_id, connection in self._table.connections.items()
                if peer_id not in skip
            ]
        )

    def peers(self) -> list[PeerInfo]:
        """The connected peers."""
        return [self._describe(connection) for connection in self._table.connections.values()]

    def peer(self, peer_id: str) -> PeerInfo | None:
        """One of them, None if not connected."""
        connection = self._table.connections.get(peer_id)
        return None if connection is None else self._describe(connection)

    def peer_ids(self) -> list[str]:
        """Ids of the connected peers."""
        return list(self._table.connections)

    def received_from(self, peer_id: str) -> dict[str, int]:
        """Messages that came from a connected peer, by channel."""
        connection = self._table.connections.get(peer_id)
        return {} if connection is None else messages_by_channel(connection)

    def problems(self) -> dict[str, QenexError]:
        """Why persistent peers and seeds that are not connected could not be reached the last time."""
        return dict(self._outbound.problems)

    def punish(self, peer_id: str, offence: Offence, detail: str = "") -> None:
        """Count an offence of a peer, connected or no longer; a ban may follow."""
        connection = self._table.connections.get(peer_id)
        self._punish(peer_id, connection.host if connection else "", offence, detail)

    def disconnect(self, peer_id: str, reason: str) -> bool:
        """End the connection to a peer, without blame; whether there was one."""
        connection = self._table.connections.get(peer_id)
        if connection is not None:
            self._drop(connection, reason)
        return connection is not None

    def ban(self, peer_id: str, reason: str, seconds: int) -> None:
        """Disconnect a peer, and refuse it for `seconds`."""
        self._scores.ban(peer_id, reason, seconds=seconds)
        self._enforce(peer_id, reason)

    def unban(self, peer_id: str | None = None) -> int:
        """End the ban of a peer (or of a host, `host:...`), or all bans; how many ended."""
        ended = self._scores.unban(peer_id)
        self._outbound.hurry()
        self._wake.set()
        return ended

    def bans(self) -> dict[str, Ban]:
        """The bans in force, by node id or `host:...`."""
        return self._scores.bans()

    def isolate(self, peer_ids: Iterable[str] | None) -> None:
        """Cut the connections to these nodes and refuse them from now on, for experiments; None mends everything."""
        self._isolated = frozenset(peer_ids or ())
        for peer_id in self._isolated & self._table.connections.keys():
            self._drop(self._table.connections[peer_id], "isolated")
        if not self._isolated:
            self._outbound.hurry()
        self._wake.set()

    def add_peer(self, address: PeerAddress) -> None:
        """Dial a node soon. Its address also goes into the book, if it may."""
        self._book.add(address, address.host)
        self._dial_soon(address)

    # -- connections -----------------------------------------------------------------------

    def _about(self) -> About:
        settings = self.settings
        port = self._place[1] if settings.pex else 0
        external = settings.external_address if settings.pex else ""
        return About(
            settings.version[:32],
            settings.moniker[:64],
            external,
            port,
            self._handlers.height(),
            settings.features,
        )

    def _refuses_host(self, host: str) -> bool:
        return self._scores.banned(f"host:{host_key(host)}") is not None

    def _connection(self, websocket: WebSocket, session: Session, host: str) -> Connection:
        settings = self.settings
        connection = Connection(
            websocket,
            session,
            self,
            self._budgets,
            settings.pulse,
            host=host,
            frame_limits=settings.frame_limits,
            rates=settings.rates,
        )
        self._unfinished.add(connection)
        return connection

    async def _visit(self, websocket: web.WebSocketResponse, host: str, passed: Callable[[], None]) -> None:
        """Somebody dialled: shake hands, judge, and stay until the connection is over."""
        assert self._executor is not None
        try:
            tune(websocket)
            session = await answer(websocket, self.identity, self.chain, self._about(), self._executor)
        except (QenexError, OSError, RuntimeError, ClientError) as error:
            if isinstance(error, WrongNetwork):
                _log.info("%s is of another network: %s", host, error)
                self._punish("", host, Offence.WRONG_NETWORK, error.message)
            elif isinstance(error, QenexError) and not isinstance(error, SelfConnection):
                self._punish("", host, Offence.HANDSHAKE, error.message)
            await hang_up(websocket)
            return
        connection = self._connection(websocket, session, host)
        connection.start()
        passed()
        self._take(connection)
        await connection.finished.wait()

    def _take(self, connection: Connection) -> None:
        """Register a connection, or close it. Runs without a pause, so that no message comes in between."""
        peer_id = connection.peer_id
        refuse = self._refusal(peer_id, connection.host)
        if refuse:
            connection.close(refuse)
            return
        verdict = self._table.judge(connection, dialling=peer_id in self._outbound.dialling)
        if verdict.refuse:
            if verdict.probe is not None:
                verdict.probe.probe()
            connection.close(verdict.refuse)
            return
        if verdict.instead_of is not None:
            self._drop(verdict.instead_of, "replaced by a newer connection")
        self._table.connections[peer_id] = connection
        self._learn_address(connection)
        _log.info(
            "connected to %s at %s, %s", peer_id[:16], connection.host, "out" if connection.outbound else "in"
        )
        self._tell(self._handlers.on_connected, self._describe(connection))
        self._ask(peer_id)

    def _refusal(self, peer_id: str, host: str) -> str:
        if not self._running:
            return "the node stops"
        if peer_id in self._isolated:
            return "isolated"
        ban = self._scores.banned(peer_id)
        if ban is not None:
            return f"banned: {ban.reason}"
        return "banned" if self._refuses_host(host) and not self._table.is_trusted(peer_id) else ""

    def _learn_address(self, connection: Connection) -> None:
        """Where the peer can be dialled: what this node dialled, else what the peer says of itself."""
        about, peer_id = connection.session.about, connection.peer_id
        if connection.outbound:
            dialled = self._outbound.dialling.get(peer_id)
            if dialled is not None:
                self._addresses[peer_id] = dialled
                self._book.succeeded(dialled)
            return
        address = None
        with suppress(InvalidPeerAddress):
            if about.address:
                host, port = parse_host_port(about.address)
                # Books take no names: the address seen here stands in for one.
                address = PeerAddress(peer_id, host if ip_of(host) else connection.host, port)
        if address is None and about.port:
            address = PeerAddress(peer_id, connection.host, about.port)
        if address is not None:
            self._addresses[peer_id] = address
            if peer_id not in self._named.private:
                self._book.add(address, connection.host)

    def _drop(self, connection: Connection, reason: str) -> None:
        """Take a connection out of the table at once, and close it."""
        if self._table.connections.get(connection.peer_id) is connection:
            del self._table.connections[connection.peer_id]
            self._addresses.pop(connection.peer_id, None)
            self._exchange.forget(connection.peer_id)
            self._outbound.lost(connection.peer_id, monotonic())
            _log.info("disconnected from %s: %s", connection.peer_id[:16], reason)
            self._tell(self._handlers.on_disconnected, connection.peer_id)
            self._wake.set()
        connection.close(reason)

    def _tell(self, handler: Callable[[T], None], value: T) -> None:
        try:
            handler(value)
        except Exception:  # a fault of the node must not leave the table of connections half changed
            _log.exception("a handler failed")

    def _describe(self, connection: Connection) -> PeerInfo:
        peer_id = connection.peer_id
        address = self._addresses.get(peer_id)
        persistent = peer_id in self._named.persistent
        return describe(connection, str(address or ""), persistent, self._scores.score(peer_id))

    # -- called by connections ---------------------------------------------------------------

    def ready(self, connection: Connection) -> None:
        """Of p2p.connection.Owner."""
        self._take(connection)

    def received(self, connection: Connection, channel: Channel, payload: bytes) -> None:
        """Of p2p.connection.Owner."""
        if self._table.connections.get(connection.peer_id) is not connection:
            return
        try:
            if channel is Channel.PEERS:
                self._exchange_message(connection, payload)
            else:
                self._handlers.on_message(connection.peer_id, channel, payload)
        except MalformedBytes as error:
            self.punish(connection.peer_id, Offence.MALFORMED, error.message)
        except TooLarge as error:
            self.punish(connection.peer_id, Offence.OVERSIZED, error.message)
        except Exception:  # a fault of ours in one message must not cost the connection, nor hide
            _log.exception("a message of the %s channel could not be handled", channel.name.lower())

    def offended(self, connection: Connection, offence: Offence, detail: str) -> None:
        """Of p2p.connection.Owner."""
        self._punish(connection.peer_id, connection.host, offence, detail)

    def closed(self, connection: Connection, reason: str) -> None:
        """Of p2p.connection.Owner."""
        self._drop(connection, reason)
        self._unfinished.discard(connection)

    def _relieve(self, asking: Assembler) -> bool:
        """Unfinished messages fill their memory: let go of who has kept most for longest, unless that is who asks."""
        worst = max(self._unfinished, key=Connection.hoard, default=None)
        if worst is None or worst.hoard() == 0 or worst.holds(asking):
            return False
        reason = "unfinished messages took too much memory"
        self._drop(worst, reason)
        worst.give_up_unfinished(reason)
        return True

    # -- punishment --------------------------------------------------------------------------

    def _punish(self, peer_id: str, host: str, offence: Offence, detail: str) -> None:
        self.offences[offence.value] += 1
        _log.debug(
            "offence of %s at %s: %s: %s", peer_id[:16] or "somebody", host, offence.value, detail[:200]
        )
        trusted = self._table.is_trusted(peer_id)
        if peer_id and self._scores.add(peer_id, offence, trusted=trusted) is not None:
            self._enforce(peer_id, offence.value)
        # Hosts that are not routed are many nodes of one operator, or the machine itself.
        if host and not trusted and not is_local(host):
            self._scores.add(f"host:{host_key(host)}", offence)

    def _enforce(self, peer_id: str, reason: str) -> None:
        _log.info("banned %s: %s", peer_id[:16], reason)
        self._book.remove(peer_id)
        connection = self._table.connections.get(peer_id)
        if connection is not None:
            self._drop(connection, f"banned: {reason}")

    # -- peer exchange -----------------------------------------------------------------------

    def _ask(self, peer_id: str) -> None:
        now = monotonic()
        if (
            self.settings.pex
            and len(self._book) < ENOUGH_ADDRESSES
            and self._exchange.may_ask(peer_id, now)
            and self.send(peer_id, Channel.PEERS, pex.GET_ADDRESSES)
        ):
            self._exchange.ask(peer_id, now)

    def _exchange_message(self, connection: Connection, payload: bytes) -> None:
        message, peer_id, now = pex.decode_pex(payload), connection.peer_id, monotonic()
        if isinstance(message, pex.GetAddresses):
            if not self._exchange.take_request(peer_id, now):
                self.punish(peer_id, Offence.FLOOD, "asks for addresses too often")
                return
            hidden = {peer_id, *self._named.private}
            told = self._book.sample(pex.MAX_ADDRESSES, hidden) if self.settings.pex else []
            self.send(peer_id, Channel.PEERS, pex.encode_addresses(told))
            return
        if not self._exchange.take_answer(peer_id, now):
            self.punish(peer_id, Offence.UNSOLICITED, "addresses nobody asked for")
            return
        for address in message:
            if address.node_id not in self._named.private and self._scores.banned(address.node_id) is None:
                self._book.add(address, connection.host)
        enough = self._table.missing_outbound() == 0
        if peer_id in self._named.seeds and not self._table.is_trusted(peer_id) and enough:
            self._drop(connection, "thank you for the addresses")
        self._wake.set()

    # -- loops -------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while self._running:
            now = monotonic()
            self._outbound.expire(now)
            refused = {*self._isolated, *(key for key in self._scores.bans() if not key.startswith("host:"))}
            for address in self._outbound.plan(now, refused=refused):
                self._dial_soon(address)
            self._wake.clear()
            # Not wait_for: in Python 3.11 it loses a cancellation that meets the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._outbound.wait(monotonic())):
                    await self._wake.wait()

    def _dial_soon(self, address: PeerAddress) -> None:
        if address.node_id in self._outbound.dialling or address.node_id in self._table.connections:
            return
        self._outbound.started(address)
        self._keep(self._dial(address))

    async def _dial(self, address: PeerAddress) -> None:
        """One attempt, from the socket to the peer's word that it takes this node in."""
        assert self._dialler is not None
        seconds, connection = self.settings.dial_seconds, None
        try:
            websocket, session = await self._dialler.dial(
                address, self.identity, self.chain, self._about(), seconds
            )
            connection = self._connection(websocket, session, address.host)
            connection.start()
            async with asyncio.timeout(seconds):
                await asyncio.shield(connection.ready)
        except TimeoutError:
            error: QenexError = PeerUnreachable(
                f"{address}: said nothing after the handshake for {seconds:g} s"
            )
        except QenexError as caught:
            error = caught
        except asyncio.CancelledError:
            self._outbound.dialling.pop(address.node_id, None)
            raise
        else:
            self._outbound.succeeded(address)
            return
        if connection is not None:
            connection.close(error.message)
        self._failed(address, error)

    def _failed(self, address: PeerAddress, error: QenexError) -> None:
        peer_id = address.node_id
        if peer_id in self._table.connections:
            self._outbound.succeeded(address)  # the other dialled at the same time, and that connection stays
            return
        self._outbound.failed(address, error, monotonic())
        self._wake.set()
        if isinstance(error, WrongNetwork | WrongPeer | SelfConnection | HandshakeFailed):
            _log.warning("%s: %s", address, error)
            self._book.remove(peer_id)
        else:
            _log.debug("%s: %s", address, error)
            if not isinstance(error, PeerRefused):
                self._book.attempted(peer_id)

    async def _keep_house(self) -> None:
        """Save what changed, ask somebody for addresses."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            self._exchange.expire(monotonic())
            await self._save()
            peers = list(self._table.connections)
            if peers:
                self._ask(secrets.choice(peers))

    async def _save(self) -> None:
        assert self._executor is not None
        loop = asyncio.get_running_loop()
        for store in (self._book, self._scores):
            data = store.take_dirty()
            if data is not None:
                await loop.run_in_executor(self._executor, store.save, data)
