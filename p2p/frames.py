"""Frames: what the bytes of a connection look like after the handshake. Without input and output.

A frame is one ChaCha20-Poly1305 ciphertext (RFC 8439) of one or more fragments, at most 64 KiB:

    fragment = channel (1 byte, top bit: the message ends here) | length (3 bytes) | bytes

The nonce is a counter that both sides keep, so a frame that is replayed, left out, reordered or from the other
direction does not open. After `REKEY_FRAMES` frames or `REKEY_BYTES` bytes both sides replace the key by a hash
of itself: a key read from memory opens nothing older. The end of a stream is a message of its own
(`Control.CLOSE`), so that a cut is seen as one.

Messages longer than a fragment go out in pieces; between two pieces everything of a higher channel goes first, so
that a vote waits behind one frame and no more. Small messages share a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2p.channels import TAGS, Channel
from p2p.handshake import hkdf_expand
from p2p.limits import MAX_MESSAGE_SIZE, QUEUE_BYTES, QUEUE_COUNT, QUEUE_FREE
from qenex.errors import FrameInvalid, LimitExceeded, PeerMisbehaved, TooLarge

TAG_SIZE: Final = 16
FRAGMENT_HEAD: Final = 4
FRAME_SIZE: Final = 64 * 1024
"""Bytes of the largest sealed frame."""
MIN_FRAME_SIZE: Final = TAG_SIZE + FRAGMENT_HEAD
CONTENT_SIZE: Final = FRAME_SIZE - TAG_SIZE
"""Bytes of fragments, with their heads, in one frame."""
MAX_FRAGMENTS: Final = 256
"""Fragments of one frame: bounds the messages that one frame may carry."""
REKEY_FRAMES: Final = 1 << 20
REKEY_BYTES: Final = 1 << 30
LAST: Final = 0x80
CONTROL: Final = 0x7F
"""The channel of the transport's own messages; goes before all others."""
MAX_CONTROL_SIZE: Final = 256


class Control(IntEnum):
    """First byte of a control message."""

    READY = 1
    PING = 2
    PONG = 3
    CLOSE = 4


class FrameLimits(NamedTuple):
    """When the keys of a direction are replaced. Both sides must agree; other values are for tests."""

    rekey_frames: int = REKEY_FRAMES
    rekey_bytes: int = REKEY_BYTES


class Budget:
    """Bytes that a node holds for all its peers together: of unfinished messages, or of what waits to be sent."""

    __slots__ = ("limit", "relief", "used")

    def __init__(self, limit: int, relief: Callable[[Assembler], bool] | None = None) -> None:
        self.limit = limit
        self.used = 0
        self.relief = relief
        """Called when an assembler finds the budget spent; frees something of another one, or says False."""


class _Direction:
    """Key and counter of one direction."""

    __slots__ = ("_bytes", "_cipher", "_counter", "_key", "_limits")

    def __init__(self, key: bytes, limits: FrameLimits) -> None:
        self._limits = limits
        self._start(key)

    def _start(self, key: bytes) -> None:
        self._key, self._cipher = key, ChaCha20Poly1305(key)
        self._counter = self._bytes = 0

    def _nonce(self) -> bytes:
        return self._counter.to_bytes(12, "big")

    def _advance(self, size: int) -> None:
        self._counter += 1
        self._bytes += size
        if self._counter >= self._limits.rekey_frames or self._bytes >= self._limits.rekey_bytes:
            self._start(hkdf_expand(self._key, b"qx p2p rekey"))


class Sealer(_Direction):
    """Seals the frames that one side sends."""

    __slots__ = ()

    def seal(self, content: bytes) -> bytes:
        """The next frame. `content` has at most `CONTENT_SIZE` bytes."""
        if not FRAGMENT_HEAD <= len(content) <= CONTENT_SIZE:
            raise ValueError(f"a frame holds {FRAGMENT_HEAD} to {CONTENT_SIZE} bytes, not {len(content)}")
        sealed = self._cipher.encrypt(self._nonce(), content, None)
        self._advance(len(sealed))
        return sealed


class Opener(_Direction):
    """Opens the frames that the other side sent. After one failure it opens nothing more."""

    __slots__ = ("_broken",)

    def __init__(self, key: bytes, limits: FrameLimits) -> None:
        super().__init__(key, limits)
        self._broken = False

    def open(self, sealed: bytes) -> bytes:
        """Content of the next frame. Raises FrameInvalid."""
        if self._broken or not MIN_FRAME_SIZE <= len(sealed) <= FRAME_SIZE:
            self._broken = True
            raise FrameInvalid(f"a frame of {len(sealed)} bytes, {MIN_FRAME_SIZE} to {FRAME_SIZE} allowed")
        try:
            content = self._cipher.decrypt(self._nonce(), sealed, None)
        except InvalidTag:
            self._broken = True
            raise FrameInvalid(
                f"frame {self._counter} does not open: changed, repeated or out of order"
            ) from None
        self._advance(len(sealed))
        return content


def split_fragments(content: bytes) -> Iterator[tuple[int, bool, memoryview]]:
    """`(channel, last, bytes)` of each fragment of a frame. Raises FrameInvalid."""
    view = memoryview(content)
    at, end, count = 0, len(content), 0
    while at < end:
        count += 1
        head = at + FRAGMENT_HEAD
        if head > end or count > MAX_FRAGMENTS:
            raise FrameInvalid("a frame ends inside a fragment, or has too many")
        until = head + int.from_bytes(view[at + 1 : head], "big")
        if until > end:
            raise FrameInvalid("a fragment is longer than its frame")
        yield content[at] & ~LAST, content[at] >= LAST, view[head:until]
        at = until


# -- receiving -----------------------------------------------------------------------------------


class Assembler:
    """Puts fragments together, one message at a time in each channel.

    A message may be as long as its channel allows, all unfinished ones of a peer together `limit` bytes, and
    those of all peers what their common budget has.
    """

    __slots__ = ("_budget", "_limit", "_parts", "_sizes", "held")

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self._parts: dict[int, list[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self.held = 0

    def add(self, content: bytes) -> list[tuple[int, bytes]]:
        """`(channel, payload)` of the messages that this frame completes; control messages come as CONTROL.

        Raises FrameInvalid, PeerMisbehaved for a channel that is none or a tag of another channel, TooLarge, and
        LimitExceeded when all peers together have too much unfinished, which is nobody's offence.
        """
        done = []
        for channel, last, piece in split_fragments(content):
            parts = self._parts.get(channel)
            if parts is None:
                self._check_first(channel, last, piece)
                if last:
                    done.append((channel, bytes(piece)))
                    continue
                parts = self._parts[channel] = []
                self._sizes[channel] = 0
            elif not piece:
                raise FrameInvalid("an empty fragment adds nothing to a message")
            size = self._sizes[channel] + len(piece)
            if size > MAX_MESSAGE_SIZE[Channel(channel)]:
                raise TooLarge(
                    f"a message of the {Channel(channel).name.lower()} channel of {size} bytes or more"
                )
            if last:
                parts.append(bytes(piece))
                done.append((channel, b"".join(parts)))
                self._drop(channel)
                continue
            if self.held + len(piece) > self._limit:
                raise TooLarge("unfinished messages of one peer take more memory than it has")
            self._find_room(len(piece))
            parts.append(bytes(piece))
            self._sizes[channel] = size
            self.held += len(piece)
            self._budget.used += len(piece)
        return done

    def _find_room(self, size: int) -> None:
        budget = self._budget
        while budget.used + size > budget.limit:
            if budget.relief is None or not budget.relief(self):
                raise LimitExceeded(
                    "unfinished messages of all peers take more memory than there is for them"
                )

    def _check_first(self, channel: int, last: bool, piece: memoryview) -> None:
        if channel == CONTROL:
            if not last or not 1 <= len(piece) <= MAX_CONTROL_SIZE:
                raise FrameInvalid("a control message is one short fragment")
            return
        if channel not in _TAGS:
            raise PeerMisbehaved(f"channel {channel} does not exist")
        if not piece or piece[0] not in _TAGS[channel]:
            raise PeerMisbehaved(f"no message of the {Channel(channel).name.lower()} channel begins so")
        if len(piece) > MAX_MESSAGE_SIZE[Channel(channel)]:
            raise TooLarge(f"a message of the {Channel(channel).name.lower()} channel of {len(piece)} bytes")

    def _drop(self, channel: int) -> None:
        size = self._sizes.pop(channel)
        del self._parts[channel]
        self.held -= size
        self._budget.used -= size

    def close(self) -> None:
        """Give back what unfinished messages held."""
        for channel in list(self._parts):
            self._drop(channel)


_TAGS: Final = {int(channel): tags for channel, tags in TAGS.items()}


# -- sending -------------------------------------------------------------------------------------


class SendQueues:
    """What waits to be sent to one peer: a queue for each channel, bounded in messages and bytes."""

    __slots__ = ("_budget", "_control", "_offset", "_queues", "queued_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._queues: list[deque[bytes]] = [deque() for _ in Channel]
        self._offset = [0 for _ in Channel]
        self.queued_bytes = [0 for _ in Channel]
        self._control: deque[bytes] = deque()

    def put(self, channel: Channel, payload: bytes) -> bool:
        """Queue a message; False when the channel's queue is full. Raises ValueError for what no peer would take."""
        if not payload or payload[0] not in TAGS[channel] or len(payload) > MAX_MESSAGE_SIZE[channel]:
            raise ValueError(f"no message of the {channel.name.lower()} channel: {len(payload)} bytes")
        queue, queued = self._queues[channel], self.queued_bytes[channel] + len(payload)
        if queue:
            if len(queue) >= QUEUE_COUNT[channel] or queued > QUEUE_BYTES[channel]:
                return False
            free = channel is Channel.CONSENSUS and queued <= QUEUE_FREE
            if not free and self._budget.used + len(payload) > self._budget.limit:
                return False
        queue.append(payload)
        self.queued_bytes[channel] = queued
        self._budget.used += len(payload)
        return True

    def put_control(self, message: bytes) -> None:
        """Queue a message of the transport itself. The caller bounds how many."""
        self._control.append(message)

    def __bool__(self) -> bool:
        return bool(self._control) or any(self._queues)

    def next_frame(self) -> tuple[bytes, int]:
        """Content of the next frame, highest channel first, and how many messages end in it. Empty if none waits."""
        parts: list[bytes] = []
        room, fragments, ended = CONTENT_SIZE, MAX_FRAGMENTS, 0
        while self._control and room >= FRAGMENT_HEAD + MAX_CONTROL_SIZE and fragments:
            message = self._control.popleft()
            parts += (_fragment_head(CONTROL, True, len(message)), message)
            room -= FRAGMENT_HEAD + len(message)
            fragments -= 1
        for channel, queue in enumerate(self._queues):
            while queue and fragments and room > FRAGMENT_HEAD:
                message, start = queue[0], self._offset[channel]
                piece = (
                    message[start : start + room - FRAGMENT_HEAD]
                    if start or len(message) > room - 4
                    else message
                )
                last = start + len(piece) == len(message)
                if not last and room < _WORTHWHILE:
                    break  # what is left of a frame is too little to begin a long message in
                parts += (_fragment_head(channel, last, len(piece)), piece)
                room -= FRAGMENT_HEAD + len(piece)
                fragments -= 1
                self.queued_bytes[channel] -= len(piece)
                self._budget.used -= len(piece)
                if last:
                    queue.popleft()
                    self._offset[channel] = 0
                    ended += 1
                else:
                    self._offset[channel] = start + len(piece)
        return b"".join(parts), ended

    def clear(self) -> None:
        """Forget everything that waits."""
        self._budget.used -= sum(self.queued_bytes)
        self._control.clear()
        for channel, queue in enumerate(self._queues):
            queue.clear()
            self._offset[channel] = self.queued_bytes[channel] = 0


_WORTHWHILE: Final = 4_096


def _fragment_head(channel: int, last: bool, size: int) -> bytes:
    return bytes((channel | LAST if last else channel,)) + size.to_bytes(3, "big")
