"""Verifier processes beside the raw limit of the same cores, measured in the same run.

`ratio`: verifications per second through the verifier, over bare libsodium calls in as many processes.
`main_us`: CPU time of the event loop's process per item.
"""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from benchmarks.limits import verification_limit
from node.verifier import VerifiedCache, Verifier
from node.verifier_worker import Item, verify_items
from qenex.crypto import SCHEMES, key_bytes

CORES = min(os.cpu_count() or 1, 2)
COUNT = 8_000


def signed_items(scheme_name: str, count: int) -> list[Item]:
    scheme = SCHEMES[scheme_name]
    public, secret = scheme.generate(bytes([7]) * scheme.seed_size)
    key = key_bytes(scheme.tag, public)
    messages = [b"%200d" % number for number in range(count)]
    return [(message, (key,), (scheme.sign(secret, message),)) for message in messages]


@pytest.mark.parametrize("scheme", ["ed25519", "ml-dsa-44"])
def test_verifier_throughput(benchmark, scheme: str):
    items = signed_items(scheme, COUNT if scheme == "ed25519" else COUNT // 4)
    verifier = Verifier(CORES)

    async def run() -> tuple[float, float]:
        await verifier.start()
        await verifier.verify(items[:600])
        wall, cpu = time.perf_counter(), time.process_time()
        assert all(await verifier.verify(items))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await verifier.stop()
        return wall, cpu

    limit = verification_limit(CORES)
    wall, cpu = benchmark.pedantic(lambda: asyncio.run(run()), rounds=1)
    benchmark.extra_info["per_second"] = int(len(items) / wall)
    benchmark.extra_info["raw_ed25519_per_second"] = int(limit)
    benchmark.extra_info["ratio"] = round(len(items) / wall / limit, 3)
    benchmark.extra_info["main_us"] = round(cpu / len(items) * 1e6, 2)


def test_verifying_here(benchmark):
    items = signed_items("ed25519", 64)
    benchmark(verify_items, items)


def test_cache_of_verified(benchmark):
    cache = VerifiedCache()
    key = (b"\x01" + bytes(32),)
    names = [number.to_bytes(32, "big") for number in range(1_000)]
    for name in names:
        cache.add(name, key)
    benchmark(lambda: [cache.holds(name, key) for name in names])
