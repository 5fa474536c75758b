"""Every record family of the store by its first byte, and how their keys are built."""

from __future__ import annotations

# Written by ledger/versions.py
VALUE = b"S"
"""`S | state key` -> latest value."""
HISTORY = b"H"
"""`H | escaped state key | version` -> the value that this version replaced."""
CHANGED = b"C"
"""`C | version | chunk u32` -> state keys changed by this version."""
# Written by ledger/tree.py
NODE = b"N"
"""`N | depth u8 | prefix | version` -> node of the tree."""
STALE = b"O"
"""`O | version | chunk u32` -> node keys this version made obsolete."""
ROOT = b"G"
"""`G | version` -> reference to the root node."""
# Small records of ledger/versions.py and ledger/tree.py: horizons
HORIZON = b"V"
LATEST_VERSION = HORIZON + b"latest"
OLDEST_VERSION = HORIZON + b"oldest"
TREE_HORIZON = HORIZON + b"tree"
# Written by the execution-facing half
BLOCK = b"B"
"""`B | height | part u8` -> header, body, seen commit or hook events (`ledger/blocks.py`)."""
BLOCK_HASH = b"I"
"""`I | block hash` -> height."""
RECEIPT = b"R"
"""`R | height` -> all receipts of a block."""
TRANSACTION = b"T"
"""`T | tx id` -> height and index."""
VALIDATORS = b"Y"
"""`Y | height` -> the validator set from this height on, where it differs from that of the height before."""
META = b"M"
"""`M | name` -> small records (`ledger/meta.py`)."""

VERSION_SIZE = 8
CHUNK = 1024
"""Keys in one CHANGED or STALE record, so that pruning advances in bounded steps."""


def version_key(version: int) -> bytes:
    """Return a version (block height, u64) in order-preserving form."""
    return version.to_bytes(VERSION_SIZE, "big")


def chunk_key(family: bytes, version: int, chunk: int) -> bytes:
    return family + version.to_bytes(VERSION_SIZE, "big") + chunk.to_bytes(4, "big")


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all keys that start with `prefix` (not all FF)."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        raise ValueError("a prefix of FF bytes has no end")
    return stripped[:-1] + bytes((stripped[-1] + 1,))
