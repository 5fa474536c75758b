"""Cost of the tree per changed leaf: `python -m benchmarks.tree --leaves 200000 --changes 10000 --json`.

Builds a tree of `--leaves` entries in a fresh store, then applies `--rounds` updates of
`--changes` leaves each, as a block of transfers would, and prints per changed leaf the
microseconds of each step, beside the limits measured in the same run: one leaf hash,
one node hash, one put of a node's size.

Measured, us per changed leaf, 10,000 changes a block, LevelDB, 2 cores shared with other
work, node hash 0.58 us (`write` and most of `prune` run without the GIL):

    leaves      update  apply  write  committed  prune   nodes  bytes  own memory
    200,000        5.7    0.5    1.2        0.3    0.6    1.33    657     190 MiB
    1,000,000       13    1.1    2.8        0.8    1.5    2.2    1157     330 MiB
    3,000,000    19-28    1.8    3.8        1.8    3.0    2.3    1311     380 MiB

A transfer changes two leaves. From a million leaves on most bundles are read from the
store (4-7 us each); a larger `--cache-bytes` buys that back. What the layout gained at
200,000 leaves: hashing from tables of slots -0.4, cache by node without version -0.4
(in `committed`), checks of hashes left to the store's checksums -3 where reads are cold.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Any

from ledger.backend import BackendKind, open_backend
from ledger.tree import Tree
from ledger.tree_cache import DEFAULT_CACHE_BYTES
from qenex.proof import hash_tree_leaf, hash_tree_node

BUILD_STEP = 20_000


def _path(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=32).digest()


def _timed(rounds: int, work: Callable[[], object]) -> float:
    """Return microseconds of one call, best of three."""
    best = float("inf")
    for _ in range(3):
        start = perf_counter()
        for _ in range(rounds):
            work()
        best = min(best, (perf_counter() - start) / rounds)
    return best * 1e6


def _memory_mib() -> float | None:
    """Return the process's own memory in MiB, without the store's files mapped by the system (Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if "RssAnon" in line), None)


def run(
    leaves: int,
    changes: int,
    rounds: int,
    backend: BackendKind,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    keep: int = 10,
) -> dict[str, Any]:
    """Return the measured table. `keep` versions stay, older ones are pruned as they leave."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    try:
        store = open_backend(backend, folder / "data", create=True)
        tree = Tree(store, cache_bytes=cache_bytes)
        start = perf_counter()
        version = 0
        for low in range(0, leaves, BUILD_STEP):
            batch = store.batch()
            high = min(low + BUILD_STEP, leaves)
            update = tree.update(
                version + 1, version or None, [(_path(i), _path(i + 1)) for i in range(low, high)]
            )
            tree.apply(batch, update)
            store.write(batch, sync=True)
            tree.committed(update)
            version += 1
            if version > keep:
                batch = store.batch()
                tree.prune(batch, version - keep, 1 << 30)
                store.write(batch, sync=False)
        built = perf_counter() - start
        spent = dict.fromkeys(("update", "apply", "write", "committed", "prune"), 0.0)
        nodes = stored = pruned = 0
        for turn in range(rounds):
            # A stride coprime to the count spreads the touched leaves without repeating one.
            first = turn * changes
            touched = [(first + i) * 7_919 % leaves for i in range(changes)]
            items = list({_path(i): _path(i + 7 * (turn + 1)) for i in touched}.items())
            t0 = perf_counter()
            update = tree.update(version + 1, version, items)
            t1 = perf_counter()
            batch = store.batch()
            tree.apply(batch, update)
            t2 = perf_counter()
            store.write(batch, sync=True)
            t3 = perf_counter()
            tree.committed(update)
            t4 = perf_counter()
            version += 1
            nodes += len(update.inner) + len(update.bundles)
            stored += batch.size()
            batch = store.batch()
            t5 = perf_counter()
            pruned += tree.prune(batch, version - keep, 1 << 30) if version > keep else 0
            store.write(batch, sync=False)
            t6 = perf_counter()
            for name, seconds in zip(spent, (t1 - t0, t2 - t1, t3 - t2, t4 - t3, t6 - t5)):
                spent[name] += seconds
        total = changes * rounds
        batch = store.batch()
        node = bytes(656)
        keys = iter([_path(i) for i in range(60_001)])
        body, inner = bytes(64), bytes(512)
        result: dict[str, Any] = {
            "leaves": leaves,
            "changes": changes,
            "backend": backend,
            "build_us_per_leaf": built * 1e6 / leaves,
            "us_per_changed_leaf": {name: seconds * 1e6 / total for name, seconds in spent.items()},
            "nodes_per_changed_leaf": nodes / total,
            "bytes_per_changed_leaf": stored / total,
            "deleted_per_changed_leaf": pruned / total,
            "limits_us": {
                "leaf_hash": _timed(20_000, lambda: hash_tree_leaf(body)),
                "node_hash": _timed(20_000, lambda: hash_tree_node(inner)),
                "put": _timed(20_000, lambda: batch.put(next(keys), node)),
            },
            "store_mib": store.approximate_size() / 2**20,
            "memory_mib": _memory_mib(),
        }
        result["us_per_changed_leaf"]["total"] = sum(spent.values()) * 1e6 / total
        store.close()
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--leaves", type=int, default=200_000)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--backend", choices=("leveldb", "sqlite", "memory"), default="leveldb")
    parser.add_argument("--cache-bytes", type=int, default=DEFAULT_CACHE_BYTES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options.leaves, options.changes, options.rounds, options.backend, options.cache_bytes)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:26}{json.dumps(value)}")


if __name__ == "__main__":
    main()
