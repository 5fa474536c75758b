"""Bounds of the RPC server, and rates by token bucket.

A bucket holds `burst` tokens and refills at `rate` a second; a call takes its method's cost. Callers are
told apart by network address, IPv6 by its /64 (one customer owns a whole one).
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from qenex.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server grants. Sizes in bytes, times in seconds, rates in cost units a second; 0 rate: none."""

    max_request_size: int = 1024 * 1024
    max_batch: int = 100
    max_answer_size: int = 16 * 1024 * 1024
    max_connections: int = 1_000
    max_connections_per_address: int = 200
    max_sessions: int = 200
    """WebSocket connections."""
    max_subscriptions: int = 16
    """Of one WebSocket connection."""
    max_calls_in_flight: int = 16
    """Of one WebSocket connection."""
    rate: int = 500
    burst: int = 2_000
    limit_loopback: bool = False
    """Whether callers on this machine have a rate too: yes behind a reverse proxy that sets none."""
    request_timeout: float = 10.0
    """To receive one whole request, headers and body."""
    idle_timeout: float = 60.0
    """Between two requests on a connection."""
    write_timeout: float = 20.0
    """Without the reader taking anything of an answer."""
    max_lag: int = 1_000
    """Blocks a subscription may fall behind the chain before it is told `lagged` and closed."""


class RateLimiter:
    """Token buckets by key, at most `capacity` of them: the one longest unused is forgotten.

    A forgotten bucket is a full one again, so capacity is more than the addresses a crowd can hold open.
    """

    __slots__ = ("_buckets", "_burst", "_capacity", "_clock", "_rate")

    def __init__(
        self, rate: int, burst: int, *, capacity: int = 20_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._clock = clock
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()

    def charge(self, key: str, cost: int) -> None:
        """Take `cost` tokens from the bucket of `key`. Raises LimitExceeded, then nothing was taken.

        A cost above the burst empties a full bucket, so that no method is out of reach.
        """
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = [float(self._burst), now]
        else:
            self._buckets.move_to_end(key)
            bucket[0] = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
            bucket[1] = now
        cost = min(cost, self._burst)
        if bucket[0] < cost:
            wait = math.ceil((cost - bucket[0]) / self._rate * 1000)
            raise LimitExceeded("too many requests", hint=f"wait {wait} ms, or use fewer and larger requests")
        bucket[0] -= cost

    def owe(self, key: str, cost: int) -> None:
        """Take `cost` for work already done; a bucket in debt refuses until it has refilled."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket[0] = max(bucket[0] - cost, -float(self._burst))

    def __len__(self) -> int:
        return len(self._buckets)


def address_key(address: str) -> str:
    """The part of a network address that one caller holds: all of IPv4, the /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Whether an address (or host name) is this machine's own."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
