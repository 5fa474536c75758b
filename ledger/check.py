"""The integrity check: reads every record, recomputes whatever can be recomputed.

What is compared with what, so that one changed byte anywhere is found:

* each value decodes under its codec; the root over all values, computed from the
  definition and without the stored tree, is the stored root; values and leaves agree
* each tree node of every kept version is what its parent says; the lists of obsolete
  nodes and changed keys, and the old values, are what neighbouring versions differ by
* each header links to its parent; bodies, receipts, evidence and commits hash to what
  headers say; the index has every transaction of every kept body and nothing else
* there is no record that none of this accounts for

It only reads, from one snapshot, with memory bounded whatever the state's size. The
modules' invariants are the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack

from ledger.backend import Reader, StorageFault
from ledger.check_blocks import check_blocks
from ledger.check_tree import Difference, Subtree, TreeDamage, TreeReader, join_subtrees, subtree_of
from ledger.findings import FAMILIES, CheckReport, Findings, OnProgress
from ledger.genesis import Genesis, hash_genesis
from ledger.keys import (
    CHANGED,
    CHUNK,
    HISTORY,
    HORIZON,
    LATEST_VERSION,
    META,
    NODE,
    OLDEST_VERSION,
    ROOT,
    STALE,
    TREE_HORIZON,
    VALUE,
    VERSION_SIZE,
    chunk_key,
    version_key,
)
from ledger.meta import BASE_KEY, BODIES_KEY, GENESIS_KEY, META_KEYS, Meta, read_meta
from ledger.state import StateCodecs, codec_of
from ledger.versions import history_stem
from qenex.codec import MAX_VALUE_SIZE, decode
from qenex.errors import QenexError
from qenex.hashing import HASH_SIZE
from qenex.proof import tree_path, value_hash

COLLECTED: Final = 1_000_000
"""Values (64 bytes and a bytes object each) held at a time; a larger state takes several passes."""


def check(reader: Reader, codecs: StateCodecs, on_progress: OnProgress | None = None) -> CheckReport:
    """Check the store behind `reader`, a snapshot. Never raises for what the store holds."""
    findings = Findings(reader, on_progress)
    findings.scan_unknown()
    meta = _check_meta(findings)
    if meta is None:
        return findings.report(None, None)
    oldest = _check_horizons(findings, meta)
    base = _check_base(findings, meta)
    earliest = _check_bodies(findings, meta, base)
    tree = TreeReader(reader)
    _check_values(findings, meta, tree, codecs)
    _check_versions(findings, meta, tree, oldest)
    check_blocks(findings, meta, base, earliest, oldest)
    return findings.report(meta.height, meta.tree_root)


# -- meta records --------------------------------------------------------------------------


def _check_meta(findings: Findings) -> Meta | None:
    for key, _ in findings.scan(META):
        if key not in META_KEYS:
            findings.add("unknown_record", key[:80].hex(), "no such meta record")
    try:
        meta = read_meta(findings.reader)
    except QenexError as error:
        findings.add("damaged", "meta", error.message)
        return None
    except StorageFault as fault:
        findings.add("unreadable", "meta", fault.message)
        return None
    if meta.height < meta.initial_height - 1:
        findings.add("damaged", "meta", f"height {meta.height} lies before the first block")
        return None
    record = findings.get(GENESIS_KEY)
    if record is None or hash_genesis(record) != meta.genesis_hash:
        findings.add("mismatch", "genesis", "missing, or not the one with the noted hash")
        return meta
    try:
        genesis = Genesis.from_record(record)
        if (genesis.chain_id, genesis.initial_height) != (meta.chain_id, meta.initial_height):
            findings.add("mismatch", "meta", "chain id or initial height is not that of the genesis")
    except QenexError as error:
        findings.add("damaged", "genesis", error.message)
    return meta


def _height(record: bytes | None) -> int | None:
    return int.from_bytes(record, "big") if record is not None and len(record) == VERSION_SIZE else None


def _check_horizons(findings: Findings, meta: Meta) -> int:
    """Return the oldest kept version."""
    for key, _ in findings.scan(HORIZON):
        if key not in (LATEST_VERSION, OLDEST_VERSION, TREE_HORIZON):
            findings.add("unknown_record", key[:80].hex(), "no such horizon")
    if _height(findings.get(LATEST_VERSION)) != meta.height:
        findings.add("mismatch", "horizons", "the latest version is not the last block's")
    first = meta.initial_height - 1
    oldest = _height(findings.get(OLDEST_VERSION))
    pruned = findings.get(TREE_HORIZON)
    if oldest is None or not first <= oldest <= meta.height:
        findings.add("damaged", "horizons", "the oldest version is missing or impossible")
        oldest = meta.height
    elif oldest != (first if pruned is None else _height(pruned)):
        findings.add("mismatch", "horizons", "values and tree are kept from different versions on")
    return oldest


def _check_base(findings: Findings, meta: Meta) -> int:
    """Return the height of the oldest header: the first, or that of the snapshot that the store began with."""
    record = findings.get(BASE_KEY)
    if record is None:
        return meta.initial_height
    base = _height(record)
    if base is None or not meta.initial_height <= base <= meta.height:
        findings.add("damaged", "meta", "the height of the snapshot that this store began with is impossible")
        return meta.initial_height
    return base


def _check_bodies(findings: Findings, meta: Meta, base: int) -> int:
    """Return the height of the oldest body: the next one, after a snapshot or a step back to a block whose body was pruned."""
    record = findings.get(BODIES_KEY)
    earliest = meta.initial_height if record is None else _height(record)
    restored = findings.get(BASE_KEY) is not None
    low = base + 1 if restored else meta.initial_height + 1
    if (
        earliest is None
        or (record is None and restored)
        or (record is not None and not low <= earliest <= meta.height + 1)
    ):
        findings.add("damaged", "meta", "the height of the oldest body is impossible")
        return meta.height
    return earliest


# -- values --------------------------------------------------------------------------------


def _check_values(findings: Findings, meta: Meta, tree: TreeReader, codecs: StateCodecs) -> None:
    """Decode every value; compare with the leaves; recompute the root from the values alone."""
    leaves = _tree_leaves(findings, tree, meta.height)
    tops: list[Subtree] = []
    low, first_pass = 0, True
    while low < 256:
        high, collected = _collect(findings, codecs if first_pass else None, low)
        first_pass = False
        collected.sort()
        start = 0
        for byte in range(low, high):
            stop = start
            while stop < len(collected) and collected[stop][0] == byte:
                stop += 1
            tops.append(subtree_of(collected, start, stop, 2))
            start = stop
        leaves = _compare_leaves(findings, collected, leaves, high)
        low = high
    root, _ = join_subtrees([join_subtrees(tops[n : n + 16]) for n in range(0, 256, 16)])
    if root != meta.tree_root:
        findings.add("mismatch", "state root", "the values have another root than the one noted")


def _collect(findings: Findings, codecs: StateCodecs | None, low: int) -> tuple[int, list[bytes]]:
    """Return `high` and path + value hash of the values whose path starts with a byte in [low, high).

    As many as fit. With `codecs` this is the first pass, which also decodes every value.
    """
    collected: list[bytes] = []
    high = 256
    scan = findings.scan(VALUE)
    for stored, data in scan:
        key = stored[1:]
        if codecs is not None:
            _check_value(findings, codecs, key, data)
        path = tree_path(key)
        if not low <= path[0] < high:
            continue
        collected.append(path + value_hash(data))
        if len(collected) > COLLECTED and high - low > 1:
            high = (low + high) // 2
            collected = [leaf for leaf in collected if leaf[0] < high]
    return high, collected


def _check_value(findings: Findings, codecs: StateCodecs, key: bytes, data: bytes) -> None:
    try:
        decode(data, max_size=MAX_VALUE_SIZE, max_items=MAX_VALUE_SIZE)
        codec_of(codecs, key).decode(data)
    except QenexError as error:
        findings.add("damaged", f"value {key[:80].hex()}", error.message)


def _tree_leaves(findings: Findings, tree: TreeReader, version: int) -> Iterator[bytes]:
    try:
        for leaf in tree.leaves(version):
            findings.tick("tree")
            yield leaf
    except TreeDamage as damage:
        findings.add("damaged", "tree", str(damage))


def _compare_leaves(
    findings: Findings, values: list[bytes], leaves: Iterator[bytes], high: int
) -> Iterator[bytes]:
    """Compare sorted values with the tree's leaves up to first byte `high`; return the leaves left."""
    at = 0
    for leaf in leaves:
        if leaf[0] >= high:
            leaves = _chain_one(leaf, leaves)
            break
        path = leaf[:HASH_SIZE]
        while at < len(values) and values[at][:HASH_SIZE] < path:
            findings.add("mismatch", f"path {values[at][:HASH_SIZE].hex()}", "a value without a leaf")
            at += 1
        if at == len(values) or values[at][:HASH_SIZE] != path:
            findings.add("mismatch", f"path {path.hex()}", "a leaf without a value")
            continue
        if values[at] != leaf:
            findings.add("mismatch", f"path {path.hex()}", "value and leaf differ")
        at += 1
    for value in values[at:]:
        findings.add("mismatch", f"path {value[:HASH_SIZE].hex()}", "a value without a leaf")
    return leaves


def _chain_one(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


# -- versions ------------------------------------------------------------------------------


def _check_versions(findings: Findings, meta: Meta, tree: TreeReader, oldest: int) -> None:
    """Compare neighbouring versions with the lists and old values that were written for them."""
    latest = meta.height
    try:
        if tree.root(latest).digest != meta.tree_root:
            findings.add("mismatch", "tree", "its latest root is not the one noted")
    except TreeDamage as damage:
        findings.add("damaged", "tree", str(damage))
    lists = images = 0
    for version in range(oldest + 1, latest + 1):
        stale, stale_records = _read_list(findings, STALE, version)
        changed, changed_records = _read_list(findings, CHANGED, version)
        lists += stale_records + changed_records
        images += len(changed)
        findings.tick("versions")
        try:
            difference = tree.compare(version - 1, version)
        except TreeDamage as damage:
            findings.add("damaged", f"version {version}", str(damage))
            continue
        if sorted(stale) != sorted(difference.stale):
            findings.add("mismatch", f"version {version}", "its list of obsolete nodes is wrong")
        _check_images(findings, version, changed, difference)
    leftover_nodes, leftover_images = _check_leftovers(findings, tree, oldest, lists, images)
    _count(findings, NODE, tree.records + leftover_nodes, latest)
    _count(findings, HISTORY, leftover_images, latest)
    kept = sum(1 for key, _ in findings.scan(ROOT) if oldest <= _version_of(key) <= latest)
    if kept != latest - oldest + 1 or findings.get(ROOT + version_key(latest + 1)) is not None:
        findings.add("mismatch", "tree_roots", f"{kept} records for {latest - oldest + 1} versions")


def _check_images(findings: Findings, version: int, keys: list[bytes], difference: Difference) -> None:
    """Compare the old values saved by a version with the tree before it."""
    changed = difference.changed()
    for key in keys:
        place = f"value {key[:80].hex()} before {version}"
        path = tree_path(key)
        if path not in changed:
            findings.add("mismatch", place, "listed as changed, and was not")
            continue
        expected = changed.pop(path)
        record = findings.get(history_stem(key) + version_key(version))
        if record is None:
            findings.add("missing", place, "the old value is not there")
        elif record[:1] == b"\x01" and value_hash(record[1:]) == expected:
            continue
        elif record != b"\x00" or expected is not None:
            findings.add("mismatch", place, "the old value is another one")
    for path in changed:
        findings.add("mismatch", f"path {path.hex()}", f"changed by version {version}, and not listed")


def _check_leftovers(
    findings: Findings, tree: TreeReader, oldest: int, lists: int, images: int
) -> tuple[int, int]:
    """Check what pruning has still to delete: it must be there, and no kept version may need it.

    `lists` records and `images` old values are those of kept versions. Returns the number
    of nodes left over, and of all old values that lists speak of.
    """
    nodes: dict[bytes, None] = {}
    for family in (STALE, CHANGED):
        for stored, record in findings.scan(family):
            version = _version_of(stored)
            if version > oldest:
                lists -= 1
                continue
            for key in _unpack_list(findings, stored, record):
                if family == CHANGED:
                    images += 1
                    if findings.get(history_stem(key) + version_key(version)) is None:
                        findings.add("missing", stored.hex(), "it lists an old value that is not there")
                    continue
                if key in nodes or findings.get(key) is None:
                    findings.add("missing", stored.hex(), "it lists a node twice, or one that is not there")
                nodes[key] = None
    if lists:
        findings.add("mismatch", "stale_lists, changed_lists", f"{-lists} records of no version")
    try:
        # What a later version wrote cannot be obsolete yet; what the oldest one holds is still needed.
        if any(
            int.from_bytes(key[-VERSION_SIZE:], "big") > oldest or tree.holds(oldest, key) for key in nodes
        ):
            findings.add("mismatch", "stale_lists", "a node to be pruned is still needed")
    except TreeDamage as damage:
        findings.add("damaged", "tree", str(damage))
    return len(nodes), images


def _version_of(key: bytes) -> int:
    return int.from_bytes(key[1 : 1 + VERSION_SIZE], "big")


def _read_list(findings: Findings, family: bytes, version: int) -> tuple[list[bytes], int]:
    """Return the keys in all chunks of a list, and the number of chunks."""
    keys: list[bytes] = []
    chunk = 0
    while (record := findings.get(stored := chunk_key(family, version, chunk))) is not None:
        keys += _unpack_list(findings, stored, record)
        chunk += 1
    return keys, chunk


def _unpack_list(findings: Findings, stored: bytes, record: bytes) -> list[bytes]:
    try:
        keys = msgpack.unpackb(record, max_array_len=CHUNK)
    except (ValueError, msgpack.UnpackException):
        keys = None
    if type(keys) is not list or not all(type(key) is bytes for key in keys) or msgpack.packb(keys) != record:
        findings.add("damaged", stored.hex(), "no list of keys")
        return []
    return keys


def _count(findings: Findings, family: bytes, expected: int, latest: int) -> None:
    """Compare the number of records with that of all that are accounted for."""
    count = 0
    for key, _ in findings.scan(family):
        count += 1
        if int.from_bytes(key[-VERSION_SIZE:], "big") > latest:
            findings.add("unknown_record", key[:80].hex(), "of a version to come")
    if count != expected:
        name = FAMILIES[family]
        findings.add("mismatch", name, f"{count} records, {expected} accounted for")
