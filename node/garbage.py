"""When Python's cycle collector runs in a node.

Objects of a transaction die by their reference count; cycles are rare (a failed request, say). The
collector's default is to look for them while blocks are made: with 200,000 accounts and 8,000 waiting
transactions each young collection walks 100,000 live objects, 45 ms at a time and 12 us a transfer
(measured in benchmarks/pipeline.py). So it runs when nothing waits, and by itself only after a million
objects more than before, which bounds what cycles can hold to some hundred MiB. A million at once would hold the loop for
half a second: where few transactions wait there is time for it, and young objects are walked whenever there are `MANY`, 20 ms.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from node import pages

THRESHOLDS: Final = (1_000_000, 50, 100)
LOOK_SECONDS: Final = 0.25
"""Time between two looks at what waits."""
FEW: Final = 1_000
"""Transactions that may wait where young objects are walked once there are MANY."""
MANY: Final = 40_000
IDLE_LOOKS: Final = 20
"""Of so many looks one is for what is done when nothing waits."""
PAGES_SECONDS: Final = 0.02
_BEFORE: Final = gc.get_threshold()
FULL_EVERY: Final = 120
"""Of so many idle collections one walks everything: about every ten minutes."""


def settle() -> None:
    """Call once everything that lives long is loaded: it is not walked again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def release() -> None:
    """Undo `settle`."""
    gc.unfreeze()
    gc.set_threshold(*_BEFORE)


async def collect_when_idle(waiting: Callable[[], int]) -> None:
    """Collect young objects, and at times all, as `waiting()` transactions allow; runs until cancelled.

    When nothing waits is also the time to move some memory into large pages.
    """
    look = turn = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        look += 1
        count = waiting()
        if count <= FEW and gc.get_count()[0] >= MANY:
            gc.collect(0)
        if count == 0 and look >= IDLE_LOOKS:
            look = 0
            turn += 1
            gc.collect(2 if turn % FULL_EVERY == 0 else 0)
            await asyncio.to_thread(pages.collapse, PAGES_SECONDS)
