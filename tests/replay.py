"""`python -m tests.replay FILE BACKEND FOLDER`: run recorded blocks in a process of their own, print what came out.

FILE is JSON `{"genesis": text, "blocks": [[hex of the block, hex of its commit], ...]}`. The output is JSON: per
height the block hash, the roots and a digest of receipts and hook events; a digest of every record of the
store in the end; and `hash`, this process's hash of a text, which differs with PYTHONHASHSEED.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.genesis import Genesis
from qenex.block import COMMIT, MAX_COMMIT_SIZE, MAX_VALIDATORS, decode_block, encode_block
from qenex.codec import encode
from tests.scenario import Told, decide, make_application


def write_recording(path: Path, genesis: Genesis, told: list[Told]) -> None:
    """Note blocks for `main`."""
    blocks = [[encode_block(item.block).hex(), COMMIT.encode(item.commit).hex()] for item in told]
    path.write_text(json.dumps({"genesis": genesis.to_json(), "blocks": blocks}))


def replay(recording: dict[str, Any], backend: str, folder: Path) -> dict[str, Any]:
    """Run the blocks on a new chain; see the module for what is returned."""
    application = make_application(folder, Genesis.from_json(recording["genesis"]), backend)
    ledger = application.ledger
    heights = [[0, "", ledger.tree_root.hex(), ledger.results_root.hex(), ""]]
    for block_hex, commit_hex in recording["blocks"]:
        block = decode_block(bytes.fromhex(block_hex))
        commit = COMMIT.decode(bytes.fromhex(commit_hex), max_size=MAX_COMMIT_SIZE, max_items=MAX_VALIDATORS)
        decide(application, block, commit)
        begin, _, end = ledger.blocks.events(ledger.height)
        told = encode((tuple(ledger.blocks.receipts(ledger.height)), tuple(begin), tuple(end)))
        roots = ledger.block_hash.hex(), ledger.state_root.hex(), ledger.results_root.hex()
        heights.append([ledger.height, *roots, sha256(told).hexdigest()])
    records = sha256()
    for key, value in ledger.store.iterate(b"", b"\xff" * 200):
        records.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    problems = application.machine.check_invariants(ledger.committed)
    answer = {
        "heights": heights,
        "records": records.hexdigest(),
        "problems": problems,
        "hash": hash("a text"),
    }
    ledger.close()
    return answer


def main() -> int:
    """See the module."""
    recording = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(json.dumps(replay(recording, sys.argv[2], Path(sys.argv[3]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
