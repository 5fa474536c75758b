"""What talking to another node costs: handshake, frames, and a message through two networks on loopback.

Run: `python -m pytest benchmarks/test_p2p.py`, or `python -m benchmarks.test_p2p --json` for the figures with
their limits, all measured in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from pytest_benchmark.fixture import BenchmarkFixture

from p2p.channels import Channel
from p2p.frames import Assembler, Budget, FrameLimits, Opener, Sealer, SendQueues
from p2p.handshake import (
    ACCEPT_SIZE,
    FINISH_SIZE,
    HELLO_SIZE,
    About,
    Initiator,
    Responder,
)
from p2p.handshake import (
    Network as Chain,
)
from p2p.identity import identity_from_seed
from p2p.network import Network
from p2p.settings import Handlers, NetworkSettings

CHAIN = Chain("bench-1", bytes(32), 1)
ABOUT = About("0.1.0", "bench", "", 0, 1, 0)
LEFT, RIGHT = identity_from_seed(b"\x01" * 64), identity_from_seed(b"\x02" * 64)
KEY = bytes(32)
PLENTY = 1 << 40
SIZES = (256, 64 * 1024 - 40)
"""Bytes of a vote with some of its company, and of a fragment that fills a frame."""


def initiator() -> Initiator:
    return Initiator(LEFT, CHAIN, ABOUT, RIGHT.node_id)


def dial() -> float:
    """Seconds of the initiator's part of one handshake."""
    right = Responder(RIGHT, CHAIN, ABOUT)
    begin = perf_counter()
    left = initiator()
    hello = left.hello()
    spent = perf_counter() - begin
    accept = right.accept(hello)
    begin = perf_counter()
    left.finish(accept)
    return spent + perf_counter() - begin


def answer() -> float:
    """Seconds of the responder's part."""
    left = initiator()
    hello = left.hello()
    begin = perf_counter()
    right = Responder(RIGHT, CHAIN, ABOUT)
    accept = right.accept(hello)
    spent = perf_counter() - begin
    finish = left.finish(accept)
    begin = perf_counter()
    right.finish(finish)
    return spent + perf_counter() - begin


class Pipe:
    """Queue, seal, open and assemble, as two connections do it, without the socket."""

    def __init__(self, size: int) -> None:
        self.payload = b"\x01" + bytes(size - 1)
        self._queues = SendQueues(Budget(PLENTY))
        self._sealer, self._opener = Sealer(KEY, FrameLimits()), Opener(KEY, FrameLimits())
        self._assembler = Assembler(Budget(PLENTY), PLENTY)

    def send(self) -> bytes:
        self._queues.put(Channel.CONSENSUS, self.payload)
        content, _ = self._queues.next_frame()
        return self._sealer.seal(content)

    def once(self) -> list[tuple[int, bytes]]:
        return self._assembler.add(self._opener.open(self.send()))


def raw(size: int) -> Callable[[], bytes]:
    """Encrypt and decrypt by the library alone."""
    cipher, data, nonce = ChaCha20Poly1305(KEY), bytes(size), bytes(12)
    return lambda: cipher.decrypt(nonce, cipher.encrypt(nonce, data, None), None)


@pytest.mark.parametrize("side", [dial, answer])
def test_handshake_of_one_side(benchmark: BenchmarkFixture, side: Callable[[], float]) -> None:
    assert benchmark(side) > 0


@pytest.mark.parametrize("size", SIZES)
def test_frame_there_and_back(benchmark: BenchmarkFixture, size: int) -> None:
    pipe = Pipe(size)
    assert benchmark(pipe.once) == [(Channel.CONSENSUS, pipe.payload)]


@pytest.mark.parametrize("size", SIZES)
def test_bare_cipher_there_and_back(benchmark: BenchmarkFixture, size: int) -> None:
    assert len(benchmark(raw(size))) == size


# -- two networks ----------------------------------------------------------------------------------


async def _loopback(sizes: dict[int, int]) -> dict[str, dict[str, float]]:
    """Messages a second, and the way there and back, between two networks in this loop."""
    got = asyncio.Event()
    state = {"wanted": 0, "count": 0}

    def on_message(peer_id: str, channel: Channel, payload: bytes) -> None:
        state["count"] += 1
        if state["count"] == state["wanted"]:
            got.set()

    def echo(peer_id: str, channel: Channel, payload: bytes) -> None:
        if channel is Channel.EVIDENCE:
            right.send(peer_id, Channel.CONSENSUS, b"\x01")
        else:
            on_message(peer_id, channel, payload)

    connected = asyncio.Event()
    right = Network(NetworkSettings(), RIGHT, CHAIN, Handlers(echo))
    await right.start()
    left = Network(
        NetworkSettings(persistent_peers=(right.address,)),
        LEFT,
        CHAIN,
        Handlers(on_message, lambda info: connected.set()),
    )
    begin = perf_counter()
    await left.start()
    await connected.wait()
    results = {"connect": {"ms": (perf_counter() - begin) * 1e3}}
    for size, count in sizes.items():
        payload = b"\x01" + bytes(size - 1)
        state.update(wanted=count, count=0)
        got.clear()
        begin = perf_counter()
        sent = 0
        while sent < count:
            if left.send(right.node_id, Channel.CONSENSUS, payload):
                sent += 1
            else:
                await asyncio.sleep(0.001)
        await got.wait()
        spent = perf_counter() - begin
        results[f"{size} B"] = {"us": spent / count * 1e6, "MB_per_second": size * count / spent / 1e6}
    trips = []
    for _ in range(60):
        state.update(wanted=1, count=0)
        got.clear()
        begin = perf_counter()
        left.send(right.node_id, Channel.EVIDENCE, b"\x20")
        await got.wait()
        trips.append(perf_counter() - begin)
    results["there_and_back"] = {"us": median(trips) * 1e6}
    await left.stop()
    await right.stop()
    return results


def test_two_networks_on_loopback(benchmark: BenchmarkFixture) -> None:
    sizes = {256: 2_000}
    assert benchmark.pedantic(lambda: asyncio.run(_loopback(sizes)), rounds=3)


def _each(work: Callable[[], object], count: int) -> float:
    """Median microseconds of a call, over five runs of `count`."""
    runs = []
    for _ in range(5):
        begin = perf_counter()
        for _ in range(count):
            work()
        runs.append((perf_counter() - begin) / count * 1e6)
    return median(runs)


def figures() -> dict[str, object]:
    """Everything the table in the README holds."""
    frames = {}
    for size, count in zip(SIZES, (10_000, 300), strict=True):
        ours, bare = _each(Pipe(size).once, count), _each(raw(size), count)
        frames[f"{size} B"] = {"us": ours, "bare_cipher_us": bare, "ratio": ours / bare}
    return {
        "handshake": {
            "initiator_ms": median([dial() for _ in range(200)]) * 1e3,
            "responder_ms": median([answer() for _ in range(200)]) * 1e3,
            "bytes": {"hello": HELLO_SIZE, "accept": ACCEPT_SIZE, "finish": FINISH_SIZE},
        },
        "frames_there_and_back": frames,
        "loopback": asyncio.run(_loopback({256: 10_000, 64 * 1024 - 40: 1_000})),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.parse_args()
    print(json.dumps(figures(), indent=1))
