"""Peer exchange: asking others for addresses, and telling them some, both seldom and few at a time.

An answer is taken only from whom was asked, once, and within its time. Addresses go on as IP addresses, never as
names, and those of private peers never.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from p2p.addresses import PeerAddress, ip_of
from qenex.codec import codec_for, decode, encode
from qenex.errors import MalformedBytes, TooLarge
from qenex.types import U16, Bytes32, Length

MAX_ADDRESSES: Final = 48
"""Addresses of one answer."""
MAX_SIZE: Final = 4_096
ASK_SECONDS: Final = 30.0
"""A node asks each peer at most so often."""
TOLERATED_SECONDS: Final = 10.0
"""And is not held to account above this: clocks and queues shift requests."""
ANSWER_SECONDS: Final = 30.0


class WireAddress(NamedTuple):
    """A node id, an IP address of 4 or 16 bytes, a TCP port."""

    node_id: Bytes32
    ip: Annotated[bytes, Length(4, 16)]
    port: U16


class GetAddresses(NamedTuple):
    """Ask for addresses."""


class Addresses(NamedTuple):
    """Answer to GetAddresses."""

    addresses: Annotated[tuple[WireAddress, ...], Length(0, MAX_ADDRESSES)]


_TAG_GET: Final = 0x80
_TAG_ADDRESSES: Final = 0x81
_ADDRESSES: Final = codec_for(Addresses)
GET_ADDRESSES: Final = bytes((_TAG_GET,)) + encode(GetAddresses())


def encode_addresses(addresses: Sequence[PeerAddress]) -> bytes:
    """The payload of an answer. Names are left out."""
    wire = []
    for address in addresses[:MAX_ADDRESSES]:
        ip = ip_of(address.host)
        if ip is not None:
            wire.append(WireAddress(bytes.fromhex(address.node_id), ip.packed, address.port))
    return bytes((_TAG_ADDRESSES,)) + encode(Addresses(tuple(wire)))


def decode_pex(payload: bytes) -> GetAddresses | list[PeerAddress]:
    """A request, or the addresses of an answer. Raises MalformedBytes, TooLarge."""
    if len(payload) > MAX_SIZE:
        raise TooLarge(f"peer exchange of {len(payload)} bytes, at most {MAX_SIZE} allowed")
    if payload == GET_ADDRESSES:
        return GetAddresses()
    if not payload or payload[0] != _TAG_ADDRESSES:
        raise MalformedBytes("no message of the peers channel begins so")
    message = _ADDRESSES.check(decode(payload[1:], max_size=MAX_SIZE, max_items=MAX_ADDRESSES))
    found = []
    for wire in message.addresses:
        if len(wire.ip) not in (4, 16) or wire.port == 0:
            raise MalformedBytes("an address has 4 or 16 bytes and a port")
        found.append(PeerAddress(wire.node_id.hex(), str(ipaddress.ip_address(wire.ip)), wire.port))
    return found


class Exchange:
    """Who was asked, and who asked, when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._waiting: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def may_ask(self, peer_id: str, now: float) -> bool:
        """Whether `peer_id` was not asked lately."""
        return now - self._asked.get(peer_id, -ASK_SECONDS) >= ASK_SECONDS

    def ask(self, peer_id: str, now: float) -> None:
        """A request to `peer_id` goes out."""
        self._asked[peer_id] = self._waiting[peer_id] = now

    def take_answer(self, peer_id: str, now: float) -> bool:
        """Whether an answer of `peer_id` was asked for; each request allows one."""
        asked = self._waiting.pop(peer_id, None)
        return asked is not None and now - asked <= ANSWER_SECONDS

    def take_request(self, peer_id: str, now: float) -> bool:
        """Whether `peer_id` may ask now: not sooner than `TOLERATED_SECONDS` after the last time."""
        last = self._heard.get(peer_id)
        self._heard[peer_id] = now
        return last is None or now - last >= TOLERATED_SECONDS

    def forget(self, peer_id: str) -> None:
        """`peer_id` has gone. That it asked, and when, stays as long as it could reconnect to ask again."""
        self._waiting.pop(peer_id, None)

    def expire(self, now: float) -> None:
        """Drop what no longer matters; keeps the tables as small as the number of recent peers."""
        for table, seconds in ((self._asked, ASK_SECONDS), (self._heard, TOLERATED_SECONDS)):
            for peer_id in [peer_id for peer_id, at in table.items() if now - at > seconds]:
                del table[peer_id]
