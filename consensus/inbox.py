"""Messages between their arrival and their verification: what is waited for, and what came a height too early.

Nothing here is state of the protocol: it is lost in a restart, and the summaries between peers repair that. Everything
is bounded for each peer, so that one peer's garbage never takes another's place.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from consensus.events import Message
from qenex.block import Commit, SignedProposal, SignedVote

MAX_PEERS: Final = 128
PEER_BYTES: Final = 1 << 20
"""Bytes of a peer's messages in each of the two waiting rooms."""
ROUNDS_AHEAD: Final = 2
"""Rounds of the next height whose messages are kept."""

Key = tuple[bytes, int, int, bytes]
"""Address, kind, round, block hash (with a proposal's proof-of-lock round)."""


class Waiting(NamedTuple):
    """A message and who sent it."""

    peer: str
    message: Message


def key_of(message: Message) -> Key:
    """What a message says, whoever sent it and whatever its signature's bytes."""
    if isinstance(message, SignedVote):
        return message.address, message.type, message.round, message.block_hash or b""
    if isinstance(message, SignedProposal):
        pol = message.pol_round.to_bytes(8, "big", signed=True)
        return message.address, 0, message.round, message.block_hash + pol
    return b"", 3, message.round, message.block_hash


def size_of(message: Message) -> int:
    """Bytes that a message takes here, roughly."""
    if isinstance(message, Commit):
        return 256 + sum([len(entry.signature) + 96 for entry in message.signatures])
    return 256 + len(message.signature)


class Inbox:
    """See the module."""

    __slots__ = ("_ahead", "_ahead_bytes", "_asked", "_asked_bytes")

    def __init__(self) -> None:
        self._asked: dict[Key, list[Waiting]] = {}
        """The first of each is being verified, the others say the same by other bytes or from other peers."""
        self._asked_bytes: dict[str, int] = {}
        self._ahead: dict[str, dict[Key, Message]] = {}
        self._ahead_bytes: dict[str, int] = {}

    def copy(self) -> Inbox:
        """An independent inbox."""
        new = Inbox()
        new._asked = {key: waiting.copy() for key, waiting in self._asked.items()}
        new._asked_bytes = self._asked_bytes.copy()
        new._ahead = {peer: held.copy() for peer, held in self._ahead.items()}
        new._ahead_bytes = self._ahead_bytes.copy()
        return new

    @property
    def asked(self) -> int:
        """Messages whose verification was asked for."""
        return len(self._asked)

    @property
    def ahead(self) -> int:
        """Messages kept for the next height."""
        return sum([len(held) for held in self._ahead.values()])

    # -- this height -------------------------------------------------------------------------

    def ask(self, peer: str, message: Message) -> bool:
        """Whether to verify this message now. Otherwise one that says the same is being verified, or it is too much."""
        key = key_of(message)
        waiting = self._asked.get(key)
        if waiting is not None and any(other.peer == peer or other.message == message for other in waiting):
            return False
        if not self._charge(self._asked_bytes, peer, size_of(message)):
            return False
        if waiting is None:
            self._asked[key] = [Waiting(peer, message)]
            return True
        waiting.append(Waiting(peer, message))
        return False

    def settle(self, message: Message, *, good: bool) -> Waiting | None:
        """A verification has ended: if it was bad, the next message that says the same, to be verified now."""
        key = key_of(message)
        waiting = self._asked.get(key)
        if waiting is None:
            return None
        if good:
            del self._asked[key]
            for other in waiting:
                self._refund(other)
            return None
        if waiting[0].message != message:
            return None  # an answer to nothing that was asked
        self._refund(waiting.pop(0))
        if waiting:
            return waiting[0]
        del self._asked[key]
        return None

    def _charge(self, used: dict[str, int], peer: str, size: int) -> bool:
        before = used.get(peer, 0)
        if before + size > PEER_BYTES or (not before and len(used) >= MAX_PEERS):
            return False
        used[peer] = before + size
        return True

    def _refund(self, waiting: Waiting) -> None:
        left = self._asked_bytes.get(waiting.peer, 0) - size_of(waiting.message)
        if left > 0:
            self._asked_bytes[waiting.peer] = left
        else:
            self._asked_bytes.pop(waiting.peer, None)

    # -- the next height -----------------------------------------------------------------------

    def keep_ahead(self, peer: str, message: Message) -> None:
        """Keep a message of the next height's first rounds, unverified, if there is room for this peer's."""
        if message.round >= ROUNDS_AHEAD:
            return
        held = self._ahead.get(peer)
        key = key_of(message)
        # One message for a validator, kind and round: who relays has verified, and passes on the first.
        key = (*key[:3], b"")
        if held is not None and key in held:
            return
        if not self._charge(self._ahead_bytes, peer, size_of(message)):
            return
        if held is None:
            held = self._ahead[peer] = {}
        held[key] = message

    def take_ahead(self) -> list[Waiting]:
        """A new height begins: what was kept for it, in order of arrival per peer. Everything else is forgotten."""
        kept = [Waiting(peer, message) for peer, held in self._ahead.items() for message in held.values()]
        self._asked.clear()
        self._asked_bytes.clear()
        self._ahead.clear()
        self._ahead_bytes.clear()
        return kept

    def forget(self, peer: str) -> None:
        """A peer has gone: what it sent too early goes with it."""
        self._ahead.pop(peer, None)
        self._ahead_bytes.pop(peer, None)
