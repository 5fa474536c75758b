"""A clock that stands still, peers that note what they are sent, and offences, for the pure parts of sync."""

from __future__ import annotations

from typing import Any

from p2p.channels import Channel
from p2p.offences import Offence
from p2p.sync_messages import SyncMessage, decode_sync, encode_sync, read_head


class World:
    """See the module."""

    def __init__(self) -> None:
        self.time = 100.0
        self.sent: list[tuple[str, int, Any]] = []
        self.offences: list[tuple[str, Offence]] = []
        self.full: set[str] = set()

    def now(self) -> float:
        return self.time

    def send(self, peer: str, channel: Channel, payload: bytes) -> bool:
        if peer in self.full:
            return False
        self.sent.append((peer, read_head(channel, payload)[1], decode_sync(channel, payload)))
        return True

    def punish(self, peer: str, offence: Offence, detail: str) -> None:
        self.offences.append((peer, offence))

    def take(self) -> list[tuple[str, int, Any]]:
        sent, self.sent = self.sent, []
        return sent


def answer(message: SyncMessage, number: int) -> bytes:
    return encode_sync(message, number)
