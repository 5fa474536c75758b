"""A process that commits blocks until it is killed or the disk is full; prints each durable height.

`python -m tests.ledger.crash_worker KIND FOLDER FILE_SIZE_LIMIT`, 0 for no limit
"""

from __future__ import annotations

import resource
import sys
from concurrent.futures import ThreadPoolExecutor

from ledger.backend import BackendKind, StorageFault
from ledger.options import Options
from ledger.store import Ledger
from tests.ledger.chains import CODECS, changes_of, parts

ACCOUNTS = 2_000
CHANGES = 300
DISK_FULL = 7
"""Exit code after a StorageFault."""
OPTIONS = Options(history=5, retain_blocks=6)


def step(ledger: Ledger, writer: ThreadPoolExecutor) -> None:
    """One block: at odd heights written plainly, at even ones while the next one is prepared."""
    height = ledger.height + 1
    prepared = ledger.prepare(height, changes_of(height, ACCOUNTS, CHANGES))
    block = parts(ledger, prepared, 50)
    if height % 2:
        ledger.commit(prepared, **block)
        return
    staged = ledger.stage(prepared, **block)
    ledger.advance(staged)
    future = writer.submit(ledger.write, staged)
    ledger.prepare(height + 1, changes_of(height + 1, ACCOUNTS, CHANGES))
    future.result()
    ledger.settle(staged)


def main(kind: BackendKind, folder: str, limit: int) -> int:
    ledger = Ledger.open(folder, codecs=CODECS, backend=kind, options=OPTIONS)
    print(ledger.height, flush=True)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with ThreadPoolExecutor(1) as writer:
        try:
            while True:
                step(ledger, writer)
                print(ledger.height, flush=True)
                ledger.prune(100)
        except StorageFault as fault:
            print(fault.message, file=sys.stderr)
            return DISK_FULL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))  # type: ignore[arg-type]  # the test names a kind
