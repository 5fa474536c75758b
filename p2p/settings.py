"""What a network is started with: settings, and what it calls back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from p2p.addresses import PeerAddress, ip_of, parse_address, parse_host_port
from p2p.channels import Channel
from p2p.connection import Pulse
from p2p.frames import FrameLimits
from p2p.identity import is_node_id
from p2p.limits import MESSAGE_RATES, Rate
from p2p.listener import Door
from p2p.peers import PeerInfo
from qenex.errors import InvalidPeerAddress


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts to reach a node: doubling from `first` to `longest`, each half to one and a half of it."""

    first: float = 0.5
    longest: float = 30.0


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Settings of the transport. Texts are checked by `parsed`.

    `folder` holds the address book and the bans; None keeps both in memory. `local` lets peer exchange deal in
    addresses that the public network does not route; by default where the node listens on one.
    """

    host: str = "127.0.0.1"
    port: int = 0
    external_address: str = ""
    persistent_peers: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    private_peer_ids: tuple[str, ...] = ()
    max_inbound: int = 40
    max_outbound: int = 10
    pex: bool = True
    listen: bool = True
    moniker: str = ""
    version: str = ""
    features: int = 0
    folder: Path | None = None
    local: bool | None = None
    dial_seconds: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    pulse: Pulse = field(default_factory=Pulse)
    door: Door = field(default_factory=Door)
    frame_limits: FrameLimits = field(default_factory=FrameLimits)
    rates: dict[Channel, Rate] = field(default_factory=lambda: dict(MESSAGE_RATES))


@dataclass(frozen=True, slots=True)
class Named:
    """The nodes that settings name, parsed."""

    persistent: dict[str, PeerAddress]
    seeds: dict[str, PeerAddress]
    private: frozenset[str]
    local: bool


def parsed(settings: NetworkSettings) -> Named:
    """Raises InvalidPeerAddress naming the text that is wrong."""
    if settings.external_address:
        parse_host_port(settings.external_address)
    for peer_id in settings.private_peer_ids:
        if not is_node_id(peer_id):
            raise InvalidPeerAddress(f"{peer_id[:80]!a} is no node id of 64 hexadecimal digits")
    local = settings.local
    if local is None:
        ip = ip_of(settings.host)
        local = ip is not None and not ip.is_global and not ip.is_unspecified
    persistent = [parse_address(text) for text in settings.persistent_peers]
    seeds = [parse_address(text) for text in settings.seeds]
    return Named(
        {address.node_id: address for address in persistent},
        {address.node_id: address for address in seeds},
        frozenset(settings.private_peer_ids),
        local,
    )


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the network calls, in the event loop, never at the same time.

    `on_message(peer_id, channel, payload)` for each message whose channel is not PEERS; a MalformedBytes or TooLarge
    that it raises is charged to the peer. `on_connected(info)` comes before the first message of a peer,
    `on_disconnected(peer_id)` after the last. `height()` is told to others in handshakes.
    """

    on_message: Callable[[str, Channel, bytes], None]
    on_connected: Callable[[PeerInfo], None] = lambda info: None
    on_disconnected: Callable[[str], None] = lambda peer_id: None
    height: Callable[[], int] = lambda: 0
