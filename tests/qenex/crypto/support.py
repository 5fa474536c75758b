"""What the tests of this room share: vector files, and one key pair per scheme."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from qenex.crypto import SCHEMES, Scheme

VECTORS = Path(__file__).parents[2] / "vectors"
NAMES = tuple(SCHEMES)
FAST = tuple(name for name in SCHEMES if name != "slh-dsa-sha2-128s")
"""Schemes that sign in less than a millisecond."""


def load(name: str) -> Any:
    """Return a vector file of `tests/vectors`."""
    return json.loads((VECTORS / name).read_text("utf-8"))


@cache
def pair(name: str) -> tuple[Scheme, bytes, bytes]:
    """Return `(scheme, public key, secret key)` of a fixed key."""
    scheme = SCHEMES[name]
    return scheme, *scheme.generate(bytes(range(scheme.seed_size)))


@cache
def signed(name: str) -> tuple[bytes, bytes]:
    """Return `(message, signature)` by the fixed key."""
    scheme, _, secret_key = pair(name)
    return b"a message of some length", scheme.sign(secret_key, b"a message of some length")
