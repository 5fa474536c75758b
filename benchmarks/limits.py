"""What bare libsodium does on this machine now: the limit that ratios are given to."""

from __future__ import annotations

import subprocess
import sys

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


def verification_limit(processes: int) -> float:
    """Bare Ed25519 verifications per second of so many processes at once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RAW_LIMIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
