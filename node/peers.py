"""The node's place in the network: identity, transport, who is connected, and what an operator may do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ledger.genesis import Genesis
from node.config import Config
from node.metrics import NodeMetrics
from node.network import NodeNetwork
from p2p.addresses import parse_address
from p2p.handshake import Network as Chain
from p2p.identity import NodeIdentity, is_node_id, load_or_create_identity
from p2p.network import Network
from p2p.peers import PeerInfo
from p2p.settings import Handlers, NetworkSettings
from qenex import __version__
from qenex.codec import time_to_text
from qenex.errors import InvalidParams

MAX_BAN_SECONDS: Final = 366 * 24 * 3600


def open_identity(config: Config) -> NodeIdentity:
    """The node's key in the network, made at the first start. Raises NodeKeyInvalid, OSError."""
    config.node_key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return load_or_create_identity(config.node_key_path)


def settings_of(config: Config) -> NetworkSettings:
    """Transport settings from a node's configuration."""
    p2p = config.p2p
    return NetworkSettings(
        host=p2p.host,
        port=p2p.port,
        external_address=p2p.external_address,
        persistent_peers=p2p.persistent_peers,
        seeds=p2p.seeds,
        private_peer_ids=p2p.private_peer_ids,
        max_inbound=p2p.max_inbound,
        max_outbound=p2p.max_outbound,
        pex=p2p.pex,
        moniker=config.node.name,
        version=__version__,
        folder=config.peers_path.parent,
    )


class Peers:
    """See the module. Made before the engine, started when that is there."""

    def __init__(
        self, config: Config, genesis: Genesis, network: NodeNetwork, height: Callable[[], int]
    ) -> None:
        """Raises NodeKeyInvalid, InvalidPeerAddress, OSError."""
        self.network = network
        self.transport = Network(
            settings_of(config),
            open_identity(config),
            Chain(genesis.chain_id, genesis.hash, genesis.protocol_version),
            Handlers(network.on_message, network.on_connected, network.on_disconnected, height),
        )
        self._isolated: tuple[str, ...] = ()

    async def start(self, failed: Callable[[BaseException], None]) -> None:
        """Listen and dial; `failed` is told of what no node can go on after. Raises AddressInUse."""
        await self.transport.start()
        self.network.start(failed)

    async def stop(self) -> None:
        """Say goodbye."""
        await self.network.stop()
        await self.transport.stop()

    # -- who is there ---------------------------------------------------------------------------

    @property
    def node_id(self) -> str:
        """64 hexadecimal digits."""
        return self.transport.node_id

    @property
    def address(self) -> str:
        """`<node id>@host:port` under which this node listens."""
        return self.transport.address

    def connected(self) -> list[dict[str, Any]]:
        """The connected peers in JSON form, by node id, without the private ones: anybody may ask for the list."""
        private = frozenset(self.transport.settings.private_peer_ids)
        infos = sorted(self.transport.peers(), key=lambda info: info.node_id)
        return [_peer_json(info) for info in infos if info.node_id not in private]

    # -- what an operator may do -----------------------------------------------------------------

    def add(self, address: str) -> None:
        """Dial a node soon. Raises InvalidPeerAddress."""
        self.transport.add_peer(parse_address(address))

    def remove(self, node_id: str) -> bool:
        """End the connection to a peer, without blame; whether there was one. Raises InvalidParams."""
        return self.transport.disconnect(_checked(node_id), "the operator ended it")

    def ban(self, node_id: str, seconds: int) -> None:
        """Disconnect a peer, and refuse it for so long. Raises InvalidParams."""
        self.transport.ban(_checked(node_id), "by the operator", seconds)

    def unban(self, node_id: str) -> bool:
        """End a ban; whether there was one. Raises InvalidParams."""
        return self.transport.unban(_checked(node_id)) > 0

    def bans(self) -> list[dict[str, Any]]:
        """The bans in force."""
        return [
            {"key": key, "until": time_to_text(ban.until * 10**9), "reason": ban.reason, "times": ban.times}
            for key, ban in sorted(self.transport.bans().items())
        ]

    def isolate(self, node_ids: Iterable[str]) -> list[str]:
        """Cut the connections to these nodes and refuse them; none mends everything. Raises InvalidParams."""
        ids = tuple(dict.fromkeys([_checked(node_id) for node_id in node_ids]))
        self.transport.isolate(ids or None)
        self._isolated = ids
        return list(ids)

    @property
    def isolated(self) -> list[str]:
        """The nodes that this one has nothing to do with."""
        return list(self._isolated)

    # -- metrics ----------------------------------------------------------------------------------

    def declare_metrics(self, metrics: NodeMetrics) -> None:
        """What the transport and the parts of the network count."""
        transport, network = self.transport, self.network
        gossip, proposals, flood = network.transactions, network.proposals, network.flood
        metrics.watch_gauge("peers", "Connected peers", lambda: len(transport.peer_ids()))
        metrics.watch_counters(
            "peer_offences_total", "Breaches of the protocol by peers", ("offence",),
            lambda: {(name,): count for name, count in transport.offences.items()},
        )  # fmt: skip
        metrics.watch_counters(
            "peer_messages_total", "Messages from peers, by kind", ("kind",), lambda: network.counts
        )
        metrics.watch_counters(
            "peer_bytes_total", "Bytes to and from peers, by channel and direction", ("channel", "direction"),
            lambda: network.bytes,
        )  # fmt: skip
        counted: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("gossip_received_total", "Transactions from peers, new or not", lambda: gossip.received),
            ("gossip_duplicates_total", "Of these, known already", lambda: gossip.duplicates),
            ("gossip_fetches_total", "Answered requests for transactions", lambda: gossip.fetches),
            ("gossip_fetch_seconds_total", "Time these took together", lambda: gossip.fetch_seconds),
            ("gossip_refetched_total", "Transactions asked of another peer", lambda: gossip.refetched),
            ("gossip_refused_total", "Transactions from peers refused", lambda: network.intake.refused),
            ("proposal_bodies_total", "Blocks put together from outlines", lambda: proposals.rebuilt),
            ("proposal_fetched_total", "Transactions fetched for these", lambda: proposals.fetched),
            ("vote_duplicates_total", "Votes from peers known to have them", lambda: flood.duplicates),
        )
        for name, doc, read in counted:
            metrics.watch_counter(name, doc, read)
        metrics.watch_gauge("gossip_wanted", "Transactions asked of peers", lambda: gossip.wanted)
        metrics.watch_gauge(
            "gossip_waiting", "Transactions from peers being admitted", lambda: len(network.intake)
        )


def _checked(node_id: str) -> str:
    if not is_node_id(node_id):
        raise InvalidParams(f"{node_id[:80]!a} is no node id of 64 hexadecimal digits")
    return node_id


def _peer_json(info: PeerInfo) -> dict[str, Any]:
    return {
        "node_id": info.node_id,
        "address": info.address,
        "outbound": info.outbound,
        "persistent": info.persistent,
        "version": info.version,
        "name": info.moniker,
        "height": info.height,
        "connected_s": int(info.seconds),
        "latency_us": None if info.latency_ms is None else int(info.latency_ms * 1_000),
        "score": int(info.score),
        "bytes_in": info.bytes_in,
        "bytes_out": info.bytes_out,
        "messages_in": info.messages_in,
        "messages_out": info.messages_out,
        "dropped_in": info.dropped_in,
        "queued_bytes": info.queued_bytes,
    }
