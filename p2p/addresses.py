"""Addresses of nodes as people write them, and the network group an address belongs to.

Whoever has one address often has its neighbours too. Limits and the address book therefore count by group: /16 of
IPv4, /32 of IPv6.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from p2p.identity import is_node_id
from qenex.errors import InvalidPeerAddress

_HOST_PORT: Final = re.compile(r"([0-9A-Za-z_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
MAX_TEXT: Final = 400
LOCAL_GROUP: Final = "local"


class PeerAddress(NamedTuple):
    """Where a node is, and which node it is. `host` is a name or an IP address, IPv6 without brackets."""

    node_id: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.node_id}@{join_host(self.host, self.port)}"


def join_host(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_host_port(text: str) -> tuple[str, int]:
    """`host:port` as its parts. Raises InvalidPeerAddress."""
    found = _HOST_PORT.fullmatch(text) if len(text) <= MAX_TEXT else None
    if found is None or not 1 <= int(found[2]) <= 65_535:
        raise InvalidPeerAddress(f"{text[:120]!a} is not host:port")
    host = found[1].strip("[]")
    if ":" in host:
        address = ip_of(host)
        if address is None:
            raise InvalidPeerAddress(f"{host[:60]!a} is no IPv6 address")
        host = str(address)
    return host, int(found[2])


def parse_address(text: str) -> PeerAddress:
    """`<node id>@host:port`. Raises InvalidPeerAddress."""
    node_id, at, place = text.partition("@")
    if not at or not is_node_id(node_id):
        raise InvalidPeerAddress(f"{text[:120]!a} is not <node id>@host:port")
    return PeerAddress(node_id, *parse_host_port(place))


IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_of(host: str) -> IpAddress | None:
    """The IP address that `host` is, an IPv4 address inside IPv6 unwrapped; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_local(host: str) -> bool:
    """Whether `host` is an IP address that the public network does not route (loopback, private, ...)."""
    address = ip_of(host)
    return address is not None and not address.is_global


def group_of(host: str) -> str:
    """The network group: /16 of IPv4, /32 of IPv6, one for all that is not routed, a name's own."""
    address = ip_of(host)
    if address is None:
        return f"name:{host.lower()}"
    if not address.is_global:
        return LOCAL_GROUP
    packed = address.packed
    return f"{address.version}:{packed[:2].hex() if address.version == 4 else packed[:4].hex()}"


def host_key(host: str) -> str:
    """What a host is held to account by: its IPv4 address, its /64 of IPv6."""
    address = ip_of(host)
    if address is None:
        return host.lower()
    return str(address) if address.version == 4 else address.packed[:8].hex()
