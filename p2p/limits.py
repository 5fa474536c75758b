"""Every bound of the transport in one place: sizes, queues, rates; and the buckets that measure rates.

Rates are token buckets: a burst, refilled at a steady rate. Time comes in as an argument (monotonic seconds), so
the buckets need no clock of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from p2p import messages, sync_messages
from p2p.channels import Channel

MAX_MESSAGE_SIZE: Final[dict[Channel, int]] = {
    **messages.MAX_MESSAGE_SIZE,
    **sync_messages.MAX_SYNC_MESSAGE_SIZE,
    Channel.PEERS: 8 * 1024,
}
"""Bytes of a payload, tag included: the largest message of each channel, as the message modules state it."""

QUEUE_COUNT: Final[dict[Channel, int]] = {
    Channel.CONSENSUS: 8_192,
    Channel.EVIDENCE: 64,
    Channel.BLOCKS: 64,
    Channel.STATE: 16,
    Channel.MEMPOOL: 2_048,
    Channel.PEERS: 8,
}
"""Messages that wait for one peer in one channel."""

QUEUE_BYTES: Final[dict[Channel, int]] = {
    Channel.CONSENSUS: 8 * 1024 * 1024,
    Channel.EVIDENCE: 1024 * 1024,
    Channel.BLOCKS: 6 * 1024 * 1024,
    Channel.STATE: 5 * 1024 * 1024,
    Channel.MEMPOOL: 2 * 1024 * 1024,
    Channel.PEERS: 32 * 1024,
}
"""Bytes of them. A message larger than that goes through an empty queue."""
MAX_QUEUED_TOTAL: Final = 128 * 1024 * 1024
"""Bytes that wait for all peers together. Beyond it, a queue takes one message at a time, except for `QUEUE_FREE`."""
QUEUE_FREE: Final = 256 * 1024
"""Bytes of consensus messages that may wait for a peer whatever others have left waiting."""

MAX_PARTIAL_PER_PEER: Final = 12 * 1024 * 1024
"""Bytes of unfinished messages of one peer: the largest block, and a proposal beside it."""
MAX_PARTIAL_TOTAL: Final = 64 * 1024 * 1024
"""The same of all peers together."""


PARTIAL_SECONDS: Final = 60.0
"""A peer must have nothing unfinished at some moment of so many seconds: the largest message at 100 kB/s."""


class Rate(NamedTuple):
    """`burst` at once, then `per_second`."""

    burst: float
    per_second: float


MESSAGE_RATES: Final[dict[Channel, Rate]] = {
    Channel.CONSENSUS: Rate(20_000, 4_000),
    Channel.EVIDENCE: Rate(100, 10),
    Channel.BLOCKS: Rate(1_000, 400),
    Channel.STATE: Rate(400, 100),
    Channel.MEMPOOL: Rate(4_000, 1_000),
    Channel.PEERS: Rate(8, 0.5),
}
"""Messages of one peer. What is beyond is dropped, and an offence."""
CONTROL_RATE: Final = Rate(40, 4.0)
FRAME_BYTES_RATE: Final = Rate(16 * 1024 * 1024, 48 * 1024 * 1024)
"""Sealed bytes of one peer. What is beyond is not read for a while, before anything is decrypted."""
FRAMES_RATE: Final = Rate(8_000, 8_000)
"""Frames of one peer, likewise."""

WORK_RATE: Final = Rate(1.0, 0.25)
"""Seconds of the event loop that one peer's messages may take, whatever they are. What is beyond is not read for a while."""
WORK_SURE: Final = Rate(0.2, 0.25)
"""And that all peers together may in any case: each is sure of an equal part, which no other peer's messages can take."""
WORK_CONSENSUS: Final = Rate(0.2, 0.2)
"""Beyond that, for consensus messages of all peers together: whatever else peers send cannot delay these."""
WORK_OTHERS: Final = Rate(0.2, 0.35)
"""Beyond that, for all else. So a fifth of the time is always left, whatever peers do."""


class Bucket:
    """A token bucket."""

    __slots__ = ("_at", "_rate", "tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._at = now
        self.tokens = float(rate.burst)

    def refill(self, now: float) -> None:
        """Add what has come in since the last time."""
        rate = self._rate
        self.tokens = min(rate.burst, self.tokens + max(0.0, now - self._at) * rate.per_second)
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount`, if it is there."""
        self.refill(now)
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True

    def borrow(self, now: float, amount: float) -> float:
        """Take `amount` in any case; seconds to wait until the bucket is no longer in debt."""
        self.refill(now)
        self.tokens -= amount
        return max(0.0, -self.tokens) / self._rate.per_second

    @property
    def full(self) -> bool:
        """Whether nothing was taken since it last filled up: such a bucket says nothing."""
        return self.tokens >= self._rate.burst


class CommonWork:
    """The event loop's time for the messages of all peers of a node."""

    __slots__ = ("consensus", "others", "peers")

    def __init__(self, now: float) -> None:
        self.peers = 0
        """How many share it now."""
        self.consensus = Bucket(WORK_CONSENSUS, now)
        self.others = Bucket(WORK_OTHERS, now)


class Work:
    """One peer's part of it. `begin` and `end` say from when to when it has one."""

    __slots__ = ("_at", "_common", "_own", "_sure")

    def __init__(self, common: CommonWork, rate: Rate, now: float) -> None:
        self._common = common
        self._own = Bucket(rate, now)
        self._sure = 0.0
        self._at = now

    def begin(self) -> None:
        """The peer is there."""
        self._common.peers += 1

    def end(self) -> None:
        """It has gone."""
        self._common.peers -= 1

    def took(self, now: float, seconds: float, *, consensus: bool) -> float:
        """A message took so long: seconds for which nothing more of this peer is to be read."""
        common = self._common
        burst, each = WORK_SURE.burst / max(1, common.peers), WORK_SURE.per_second / max(1, common.peers)
        self._sure = min(burst, self._sure + max(0.0, now - self._at) * each)
        self._at = now
        debt = self._own.borrow(now, seconds)
        self._sure -= seconds
        if self._sure >= 0.0:
            return debt
        bucket, beyond = common.consensus if consensus else common.others, -self._sure
        shared, alone = bucket.borrow(now, beyond), beyond / each
        if shared <= alone:
            self._sure = 0.0
            return max(debt, shared)
        bucket.tokens += beyond  # others owe so much there that its own part pays sooner
        return max(debt, alone)


class KeyedBuckets:
    """A bucket for each of many keys, at most `limit` of them; the least recently used is forgotten first.

    `key` is never chosen freely by a peer: it is a network group or a host.
    """

    def __init__(self, rate: Rate, limit: int = 4_096) -> None:
        self._rate = rate
        self._limit = limit
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Take one token of `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, now)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)

    def __len__(self) -> int:
        return len(self._buckets)
