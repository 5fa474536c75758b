"""Who is connected, who may be, and what is known of each: decisions over a table, without sockets.

Two nodes keep one connection. When both have dialled, the one that the smaller node id dialled stays, and
both sides come to that by themselves; of two connections that the same node dialled, the newer: it would not have
dialled again if the older still worked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from time import monotonic
from typing import Final, NamedTuple

from p2p.addresses import LOCAL_GROUP, group_of
from p2p.channels import Channel
from p2p.connection import Connection

GROUP_SHARE: Final = 4
"""One network group takes at most one part in so many of the inbound places (at least two)."""


class PeerInfo(NamedTuple):
    """A connected peer. `address` is where it can be dialled, `<node id>@host:port`, or empty if not known.

    Version, moniker, height and features are what the peer claimed in its handshake. `seconds` is how long it
    has been connected, `latency_ms` that of the last ping, `score` its offences (a ban comes at 100). Bytes
    are of sealed frames.
    """

    node_id: str
    address: str
    host: str
    outbound: bool
    persistent: bool
    version: str
    moniker: str
    height: int
    features: int
    seconds: float
    latency_ms: float | None
    score: float
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    refused_out: int
    dropped_in: int
    queued_bytes: int


class Places(NamedTuple):
    """How many connections are wanted. Trusted peers (persistent, private) come on top."""

    inbound: int
    outbound: int


class Verdict(NamedTuple):
    """What to do with a new connection: refuse it for a reason, or take it, instead of another one perhaps."""

    refuse: str = ""
    instead_of: Connection | None = None
    probe: Connection | None = None
    """The connection that was preferred and should prove that it still works."""


class PeerTable:
    """The connections that count, one for each node id."""

    def __init__(self, own_id: str, places: Places, trusted: Collection[str]) -> None:
        self._own_id = own_id
        self._places = places
        self._trusted = frozenset(trusted)
        self.connections: dict[str, Connection] = {}

    def is_trusted(self, peer_id: str) -> bool:
        """Whether the operator named this peer."""
        return peer_id in self._trusted

    def _counted(self, outbound: bool) -> list[Connection]:
        return [
            connection
            for connection in self.connections.values()
            if connection.outbound is outbound and connection.peer_id not in self._trusted
        ]

    def missing_outbound(self) -> int:
        """How many more peers this node should dial by itself."""
        return max(0, self._places.outbound - len(self._counted(outbound=True)))

    def outbound_groups(self) -> set[str]:
        """Network groups that outbound connections lead to already; those not routed are not counted."""
        return {group_of(connection.host) for connection in self._counted(outbound=True)} - {LOCAL_GROUP}

    def judge(self, connection: Connection, *, dialling: bool) -> Verdict:
        """What to do with `connection`, whose handshake is done. `dialling`: this node is dialling the peer, too."""
        peer_id, outbound = connection.peer_id, connection.outbound
        other = self.connections.get(peer_id)
        if other is not None and not other.closing:
            if other.outbound is outbound or outbound is (self._own_id < peer_id):
                return Verdict(instead_of=other)
            return Verdict(refuse="already connected", probe=other)
        if not outbound and dialling and self._own_id < peer_id:
            return Verdict(refuse="already connecting")
        if peer_id in self._trusted:
            return Verdict()
        counted = self._counted(outbound)
        if outbound:
            return Verdict() if len(counted) < self._places.outbound + 1 else Verdict(refuse="no free place")
        if len(counted) >= self._places.inbound:
            return Verdict(refuse="no free place")
        group = group_of(connection.host)
        share = max(2, self._places.inbound // GROUP_SHARE)
        if group != LOCAL_GROUP and Counter(group_of(one.host) for one in counted)[group] >= share:
            return Verdict(refuse="no free place for this network group")
        return Verdict()


def describe(connection: Connection, address: str, persistent: bool, score: float) -> PeerInfo:
    """What is known of a connection's peer."""
    about, statistics = connection.session.about, connection.statistics
    return PeerInfo(
        node_id=connection.peer_id,
        address=address,
        host=connection.host,
        outbound=connection.outbound,
        persistent=persistent,
        version=about.version,
        moniker=about.moniker,
        height=about.height,
        features=about.features,
        seconds=monotonic() - connection.since,
        latency_ms=statistics.latency_ms,
        score=score,
        bytes_in=statistics.bytes_in,
        bytes_out=statistics.bytes_out,
        messages_in=sum(statistics.messages_in.values()),
        messages_out=statistics.messages_out,
        refused_out=statistics.refused_out,
        dropped_in=statistics.dropped_in,
        queued_bytes=connection.queued_bytes,
    )


def messages_by_channel(connection: Connection) -> dict[str, int]:
    """Messages received in each channel, by its name."""
    return {channel.name.lower(): connection.statistics.messages_in[channel] for channel in Channel}
