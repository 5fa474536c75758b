"""What a node may choose about its ledger; nothing here touches consensus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.tree_cache import DEFAULT_CACHE_BYTES
from qenex.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class Options:
    """`history`: state versions kept, 0 keeps all (archive). `retain_blocks`: newest block bodies and
    receipts kept, 0 keeps all; headers and commits always stay. `tree_cache_bytes` of memory for tree
    nodes; `capacity`: decoded values kept in memory. Raises InvalidConfig.
    """

    history: int = 1_000
    retain_blocks: int = 0
    tree_cache_bytes: int = DEFAULT_CACHE_BYTES
    capacity: int = 400_000

    def __post_init__(self) -> None:
        for name in ("history", "retain_blocks"):
            if not 0 <= getattr(self, name) < 1 << 63:
                raise InvalidConfig(f"database.{name} is a count of blocks, or 0 for all")
        if self.tree_cache_bytes < 1 << 20 or self.capacity < 1_000:
            raise InvalidConfig("the tree's cache is at least 1 MiB, that of values at least 1,000")


DEFAULT_OPTIONS: Final = Options()
