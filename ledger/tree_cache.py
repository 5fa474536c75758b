"""Tree nodes in memory.

Of the version written last, inner nodes down to depth `PINNED_DEPTH` stay in memory
(at most 70,000 of about 0.8 KB), and of the rest the more recently written: deeper inner
nodes up to a number of nodes, bundles up to a number of bytes.
"""

from __future__ import annotations

from ledger.tree_update import Buffer, Finds, TreeUpdate

PINNED_DEPTH = 4
MAX_INNER = 120_000
"""Inner nodes in memory, with the deeper ones: where there are so many, those go. A look at each one's depth in every update cost more."""
DEFAULT_CACHE_BYTES = 192 << 20
"""For bundles in memory; beside them there are inner nodes (about 110 MiB at most)."""
ENTRY_OVERHEAD = 200
"""Bytes of memory for a cached node besides its record: key, object headers, dict slot."""


class NodeCache:
    """Nodes of exactly one version, the one written last, by stem.

    Filled by the writer alone and keyed without the version, so a new version's nodes
    replace the old ones by one `dict.update`. Only updates read it: they come from the
    writer and say which version they build on. Of bundles there are two generations: what
    was not written again while the younger one filled up is dropped.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._half = max(limit_bytes // 2, 1)
        self._bytes = 0
        self.version: int | None = None
        self.pinned: dict[bytes, Buffer] = {}
        self.young: dict[bytes, Buffer] = {}
        self.old: dict[bytes, Buffer] = {}

    def finds(self, version: int | None) -> Finds:
        """Return look-ups of `version`'s inner nodes, and of its young and old bundles, to be tried in this order."""
        if version != self.version:
            nothing: dict[bytes, Buffer] = {}
            return nothing.get, nothing.get, nothing.get
        return self.pinned.get, self.young.get, self.old.get

    def forget(self) -> None:
        """Hold nothing."""
        self.pinned, self.young, self.old, self._bytes, self.version = {}, {}, {}, 0, None

    def advance(self, update: TreeUpdate) -> None:
        """Follow from the update's base to its version."""
        if update.elsewhere:
            self.forget()
            return
        if update.base_version != self.version:
            self.forget()
        self.pinned.update(update.inner)
        if len(self.pinned) > MAX_INNER:
            self.pinned = {node: record for node, record in self.pinned.items() if node[1] <= PINNED_DEPTH}
        records = update.bundles
        size = sum(map(len, records.values())) + len(records) * ENTRY_OVERHEAD
        if self._bytes + size > self._half and self._recount() + size > self._half:
            self.old, self.young, self._bytes = self.young, {}, 0
        if size <= self._half:
            self.young.update(records)
            self._bytes += size
        else:  # as when a chain is imported: one update larger than the cache
            for node in records:
                self.old.pop(node, None)
        self.version = update.version

    def _recount(self) -> int:
        """Bytes of the younger generation. Between two counts a node that is written again counts twice."""
        size = sum(map(len, self.young.values())) + len(self.young) * ENTRY_OVERHEAD
        # Nearly full counts as full: else every update would count.
        self._bytes = size if 4 * size < 3 * self._half else self._half
        return self._bytes
