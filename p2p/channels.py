"""The channels of a connection and which message tags belong to each.

A lower channel is sent first. Every message begins with one tag byte; the tags of a channel are its own, so
that a payload on the wrong channel is refused by its first byte.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Channel(IntEnum):
    """What a frame is about, in order of priority."""

    CONSENSUS = 0
    EVIDENCE = 1
    BLOCKS = 2
    STATE = 3
    MEMPOOL = 4
    PEERS = 5


TAGS: Final = {
    Channel.CONSENSUS: range(0x01, 0x20),
    Channel.EVIDENCE: range(0x20, 0x30),
    Channel.BLOCKS: range(0x30, 0x50),
    Channel.STATE: range(0x50, 0x70),
    Channel.MEMPOOL: range(0x70, 0x80),
    Channel.PEERS: range(0x80, 0x90),
}
"""Tags of each channel. `p2p.messages` has those of consensus, evidence and mempool; block and state sync and
peer exchange keep theirs in their own files."""
