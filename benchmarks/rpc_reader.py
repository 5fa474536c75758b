"""The process that reads in `benchmarks.rpc`: JSON-RPC calls on keep-alive connections, and how long each took.

Reads come by a schedule and not as answers allow it: each has a time at which it is due, and its latency counts from then, also where
all connections still wait for an answer. So a server that stands still for a second is charged with every read that came in that
second. Without a rate each connection sends its next read when it has the answer to the last one, which tells what the server can.

A job is one line of JSON on standard input, its result one line on standard output.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from node.__main__ import loop_factory

LONGEST: Final = 30.0
"""Seconds after which what is not answered ends the job."""
TICK: Final = 0.001
"""Seconds between two looks at the schedule, the least that the loop's timers tell apart."""


class Failure(Exception):
    """The server refused a read, or ended a connection."""


class Job(NamedTuple):
    """What to read: `addresses` in turn from number `start` on, `batch` in one request; `rate` in reads a second, 0: as fast as it goes."""

    port: int
    seconds: float
    connections: int
    rate: float = 0.0
    batch: int = 1
    start: int = 0


def request_of(body: bytes) -> bytes:
    """An HTTP request with this body."""
    return (
        b"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body


def requests_of(addresses: Sequence[str], batch: int) -> list[bytes]:
    """Requests that read the balance of every address once, so many calls in each; those of a batch of one are no batch."""
    calls = [
        b'{"jsonrpc":"2.0","id":%d,"method":"bank_getBalance","params":{"address":"%s","denom":"QXC"}}'
        % (number, address.encode())
        for number, address in enumerate(addresses)
    ]
    if batch == 1:
        return [request_of(call) for call in calls]
    return [
        request_of(b"[" + b",".join(calls[at : at + batch]) + b"]")
        for at in range(0, len(calls) - batch + 1, batch)
    ]


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, answered: Callable[[Line], None], failed: Callable[[str], None]) -> None:
        self._answered = answered
        self._failed = failed
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.due = 0.0
        """When the request under way was due."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def send(self, data: bytes, due: float) -> None:
        """Send a request."""
        assert self._transport is not None
        self.due = due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        received = self._received = self._received + data if self._received else data
        head, found, body = received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or -1)
        if length < 0 or not head.startswith(b"HTTP/1.1 200") or b'"error"' in body:
            self._failed(received[:400].decode(errors="replace"))
        elif len(body) >= length:
            self._received = b""
            self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._failed("the server closed a connection")

    def close(self) -> None:
        """End it."""
        self._failed = lambda _: None
        if self._transport is not None:
            self._transport.close()


class Reader:
    """Runs one job: `requests` in turn."""

    def __init__(self, job: Job, requests: Sequence[bytes]) -> None:
        self._job = job
        self._requests = requests
        self._next = job.start % len(requests)
        self._gap = job.batch / job.rate if job.rate else 0.0
        self._count = max(1, int(job.seconds / self._gap)) if self._gap else 0
        self._idle: deque[Line] = deque()
        self._waiting: deque[float] = deque()
        """When reads were due for which there was no connection yet."""
        self._sent = 0
        self._begin = self._end = 0.0
        self._done: asyncio.Future[None]
        self.latencies: list[float] = []
        """Seconds from when a request was due to its answer."""
        self.late = 0.0
        """Most seconds by which the reader itself was late to see that one was due."""

    async def run(self) -> dict[str, Any]:
        """The whole job. Raises Failure."""
        job, loop = self._job, asyncio.get_running_loop()
        self._done = loop.create_future()
        lines = []
        for _ in range(job.connections):
            _, line = await loop.create_connection(
                lambda: Line(self._answered, self._failed), "127.0.0.1", job.port
            )
            lines.append(line)
        cpu = time.process_time()
        self._begin = time.perf_counter()
        self._end = self._begin + job.seconds
        try:
            if self._count:
                self._idle.extend(lines)
                self._tick()
            else:
                for line in lines:
                    self._send(line, time.perf_counter())
            await asyncio.wait_for(self._done, job.seconds + LONGEST)
        except TimeoutError:
            raise Failure(f"no answer within {LONGEST:.0f} s") from None
        finally:
            took = time.perf_counter() - self._begin
            for line in lines:
                line.close()
        return {
            "reads": len(self.latencies) * job.batch,
            "seconds": took,
            "cpu_seconds": time.process_time() - cpu,
            "latencies": self.latencies,
            "reader_late": self.late,
        }

    def _send(self, line: Line, due: float) -> None:
        line.send(self._requests[self._next], due)
        self._next = (self._next + 1) % len(self._requests)

    def _tick(self) -> None:
        """Send what is due by now."""
        if self._done.done():
            return
        now = time.perf_counter()
        while self._sent < self._count and (due := self._begin + self._sent * self._gap) <= now:
            self._sent += 1
            self._waiting.append(due)
            self.late = max(self.late, now - due)
        self._pump()
        if self._sent < self._count:
            asyncio.get_running_loop().call_later(TICK, self._tick)

    def _pump(self) -> None:
        while self._waiting and self._idle:
            self._send(self._idle.popleft(), self._waiting.popleft())

    def _answered(self, line: Line) -> None:
        now = time.perf_counter()
        self.latencies.append(now - line.due)
        if self._count:
            self._idle.append(line)
            self._pump()
            if len(self.latencies) == self._count and not self._done.done():
                self._done.set_result(None)
        elif now < self._end:
            self._send(line, now)
        elif not self._done.done():
            self._done.set_result(None)

    def _failed(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(Failure(why))


def main() -> None:
    """The first line of standard input are the addresses, every other one a job."""
    addresses = json.loads(sys.stdin.readline())
    known: dict[int, list[bytes]] = {}
    gc.collect()
    gc.freeze()
    gc.disable()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for text in sys.stdin:
            job = Job(**json.loads(text))
            if job.batch not in known:
                known[job.batch] = requests_of(addresses, job.batch)
            try:
                result = runner.run(Reader(job, known[job.batch]).run())
            except (Failure, OSError) as error:
                result = {"failure": str(error)}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
