"""Stores, tree, values through time and proofs: the storage half of a block.

Run: `python -m pytest benchmarks/test_ledger.py`. A block here changes 10,000 of 200,000
leaves, as 5,000 transfers do. The tree is the largest part of a transfer; one test guards
its cost as a multiple of one node hash measured in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ledger.backend import Backend, BackendKind, open_backend
from ledger.backends.memory import MemoryBackend
from ledger.tree import Tree
from ledger.tree_nodes import bundle_hash, leaf_entry
from ledger.versions import Versions
from qenex.proof import (
    decode_proof,
    encode_proof,
    hash_tree_leaf,
    hash_tree_node,
    list_proof,
    tree_path,
    value_hash,
    verify_membership,
)

LEAVES = 200_000
CHANGES = 10_000
KINDS: tuple[BackendKind, ...] = ("leveldb", "sqlite")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "leveldb":
        pytest.importorskip("plyvel")
    opened = open_backend(request.param, tmp_path / "data", create=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def grown() -> tuple[MemoryBackend, Tree]:
    """A tree of LEAVES leaves at version 1, its nodes in memory."""
    memory = MemoryBackend()
    tree = Tree(memory)
    update = tree.update(1, None, [(tree_path(b"%d" % n), value_hash(b"%d" % n)) for n in range(LEAVES)])
    batch = memory.batch()
    tree.apply(batch, update)
    memory.write(batch, sync=True)
    tree.committed(update)
    return memory, tree


def block(turn: int = 0) -> list[tuple[bytes, bytes | None]]:
    picked = [(turn * CHANGES + n) * 7_919 % LEAVES for n in range(CHANGES)]
    return [(tree_path(b"%d" % n), value_hash(b"new %d" % n)) for n in picked]


def test_leaf_hash(benchmark: BenchmarkFixture) -> None:
    benchmark(hash_tree_leaf, bytes(64))


def test_node_hash(benchmark: BenchmarkFixture) -> None:
    benchmark(hash_tree_node, bytes(512))


@pytest.mark.parametrize("leaves", [1, 3, 12])
def test_bundle_hash(benchmark: BenchmarkFixture, leaves: int) -> None:
    paths = sorted(bytes((16 * n,)) + bytes(31) for n in range(leaves))
    benchmark(bundle_hash, b"".join(leaf_entry(path, path) for path in paths), 0)


def test_tree_update_of_a_block(benchmark: BenchmarkFixture, grown: tuple[MemoryBackend, Tree]) -> None:
    """Per changed leaf: divide by 10,000."""
    changes = block()
    update = benchmark(grown[1].update, 2, 1, changes)
    assert update.root != grown[1].root(1)


def test_a_changed_leaf_costs_less_than_twenty_node_hashes(grown: tuple[MemoryBackend, Tree]) -> None:
    changes, node = block(1), bytes(512)
    best_update = best_hash = float("inf")
    for _ in range(5):
        start = perf_counter()
        grown[1].update(2, 1, changes)
        middle = perf_counter()
        for _ in range(CHANGES):
            hash_tree_node(node)
        best_update = min(best_update, middle - start)
        best_hash = min(best_hash, perf_counter() - middle)
    assert best_update / best_hash < 20


def test_tree_write_of_a_block(
    benchmark: BenchmarkFixture, grown: tuple[MemoryBackend, Tree], store: Backend
) -> None:
    tree = grown[1]
    update = tree.update(2, 1, block())

    def write() -> None:
        batch = store.batch()
        tree.apply(batch, update)
        store.write(batch, sync=True)

    benchmark.pedantic(write, rounds=10, warmup_rounds=1)


def test_values_write_of_a_block(benchmark: BenchmarkFixture, store: Backend) -> None:
    """Latest values, history and the list of changed keys, 100 bytes a value."""
    changes = [(b"\x01\x01" + tree_path(b"%d" % n), bytes(100), bytes(100)) for n in range(CHANGES)]
    versions = Versions(store)
    turn = iter(range(10**6))

    def write() -> None:
        batch = store.batch()
        versions.stage(batch, next(turn), changes)
        store.write(batch, sync=True)

    benchmark.pedantic(write, rounds=10, warmup_rounds=1)


def test_value_read(benchmark: BenchmarkFixture, store: Backend) -> None:
    versions = Versions(store)
    batch = store.batch()
    keys = [b"\x01\x01" + tree_path(b"%d" % n) for n in range(CHANGES)]
    versions.stage(batch, 0, [(key, bytes(100), None) for key in keys])
    store.write(batch, sync=True)
    assert benchmark(versions.get, keys[77]) == bytes(100)


def test_historical_value_read(benchmark: BenchmarkFixture, store: Backend) -> None:
    versions = Versions(store)
    for version in range(20):
        batch = store.batch()
        versions.stage(batch, version, [(b"key %d" % n, b"%d" % version, b"old") for n in range(100)])
        store.write(batch, sync=False)
    assert benchmark(versions.get_at, b"key 7", 10) == b"old"


def test_proof_making(benchmark: BenchmarkFixture, grown: tuple[MemoryBackend, Tree]) -> None:
    memory, tree = grown
    benchmark(tree.prove, memory, 1, tree_path(b"77"))


def test_proof_decoding_and_verification(
    benchmark: BenchmarkFixture, grown: tuple[MemoryBackend, Tree]
) -> None:
    memory, tree = grown
    encoded = encode_proof(tree.prove(memory, 1, tree_path(b"77")))
    root = tree.root(1)
    benchmark(lambda: verify_membership(root, b"77", b"77", decode_proof(encoded)))


def test_list_proof_of_5000_items(benchmark: BenchmarkFixture) -> None:
    benchmark(list_proof, [b"%d" % n for n in range(5000)], 2500)
