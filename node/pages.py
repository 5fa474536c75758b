"""Large memory pages for what lives long: caches and pending transactions, hundreds of MiB in small objects.

With pages of 4 KiB nearly every look-up in a cache of 200,000 accounts also misses the processor's address
cache. Linux moves memory into pages of 2 MiB when it is asked to (`MADV_COLLAPSE`, since 6.1); 5% less CPU a
transfer (measured in benchmarks/pipeline.py). Elsewhere, and where the system refuses, nothing happens.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from typing import Final

PAGE: Final = 2 << 20
MADV_COLLAPSE: Final = 25
SMAPS: Final = "/proc/self/smaps"
MIN_RESIDENT_PERCENT: Final = 75
"""Of an area in use; sparse ones (the stacks of threads) would only grow."""
MAX_LARGE_PERCENT: Final = 90
"""Of an area in large pages already, beyond which it is left alone."""


def _areas() -> Iterator[tuple[int, int]]:
    """Start and end of private memory without a file, in use and not yet in large pages."""
    start = end = resident = large = 0
    wanted = False
    with open(SMAPS, encoding="ascii", errors="replace") as lines:
        for line in lines:
            first, _, rest = line.partition(" ")
            if not first.endswith(":"):
                fields = rest.split()
                wanted = fields[0] == "rw-p" and (len(fields) < 5 or fields[4] == "[heap]")
                low, _, high = first.partition("-")
                start, end, resident, large = int(low, 16), int(high, 16), 0, 0
            elif first == "Rss:":
                resident = int(rest.split()[0]) << 10
            elif first == "AnonHugePages:":
                large = int(rest.split()[0]) << 10
                dense = 100 * resident >= MIN_RESIDENT_PERCENT * (end - start)
                if wanted and dense and 100 * large < MAX_LARGE_PERCENT * resident:
                    yield start, end


def collapse(seconds: float) -> int:
    """Move memory of this process into large pages, about 5 ms each; returns how many, up to the first refusal.

    Stops after `seconds`, and goes on with the next call.
    """
    if not sys.platform.startswith("linux"):
        return 0
    until = time.monotonic() + seconds
    done = 0
    try:
        advise = ctypes.CDLL(None, use_errno=True).madvise
        for start, end in list(_areas()):
            for page in range(-(-start // PAGE) * PAGE, end - PAGE + 1, PAGE):
                if time.monotonic() >= until:
                    return done
                if advise(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), MADV_COLLAPSE):
                    break  # changed meanwhile, no free page, or not allowed: the next area may be
                done += 1
    except (OSError, AttributeError, ValueError):
        return done  # a system without these files or this call
    return done
