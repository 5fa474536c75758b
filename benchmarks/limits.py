"""What bare libsodium does on this machine now: the limit that ratios are given to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

RAW_LIMIT = """
import sys, time
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
public, secret = crypto_sign_seed_keypair(bytes(32))
signed = [crypto_sign(b"%190d" % n, secret) for n in range(500)]
print("ready", flush=True); sys.stdin.readline()
start = time.perf_counter(); done = 0
while time.perf_counter() - start < 2.0:
    for item in signed: crypto_sign_open(item, public)
    done += 500
print(done / (time.perf_counter() - start))
"""


SCHEME_LIMIT = """
import sys, time
from qenex.crypto import SCHEMES
scheme = SCHEMES[sys.argv[1]]
public, secret = scheme.generate(bytes(scheme.seed_size))
signed = [(data, scheme.sign(secret, data)) for data in [b"%190d" % n for n in range(100)]]
verify = scheme.verify
print("ready", flush=True); sys.stdin.readline()
start = time.perf_counter(); done = 0
while time.perf_counter() - start < 2.0:
    for data, signature in signed: verify(public, data, signature)
    done += 100
print(done / (time.perf_counter() - start))
"""
"""Other schemes by the face that nodes use: the same key again and again, whose preparation is remembered where it can be."""


def verification_limit(processes: int, scheme: str = "ed25519") -> float:
    """Verifications per second of so many processes at once: bare libsodium for Ed25519."""
    program = RAW_LIMIT if scheme == "ed25519" else SCHEME_LIMIT
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, scheme], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in started)


ECHO = """
import asyncio
from aiohttp import web
from node.__main__ import loop_factory

async def answer(request):
    await request.read()
    return web.Response(body=b'{"result":"0"}', headers={"Content-Type": "application/json"})

async def serve():
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=loop_factory()) as loop:
    loop.run(serve())
"""


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A process in which aiohttp reads each request and answers constant bytes, on the node's kind of event loop; its port."""
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
