"""Tree nodes in memory.

Of the version written last, inner nodes down to depth `PINNED_DEPTH` stay in memory
(at most 70,000 of about 0.8 KB), deeper ones up to a number of nodes, and bundles up to
a number of bytes.
"""

from __future__ import annotations

from ledger.tree_update import Buffer, Finds, TreeUpdate

PINNED_DEPTH = 4
MAX_INNER = 120_000
"""Inner nodes in memory, with the deeper ones: where there are so many, those go. A look at each one's depth in every update cost more."""
DEFAULT_CACHE_BYTES = 384 << 20
"""For bundles in memory: all that lie at depth 4 or above fit, those of three million accounts. Beside them there are inner
nodes (about 110 MiB at most)."""
ENTRY_OVERHEAD = 200
"""Bytes of memory for a cached node besides its record: key, object headers, dict slot."""


class NodeCache:
    """Nodes of exactly one version, the one written last, by stem.

    Filled by the writer alone and keyed without the version, so a new version's nodes
    replace the old ones by one `dict.update`. Only updates read it: they come from the
    writer and say which version they build on. When bundles take more than the limit, those that came
    first are dropped, an eighth of it at a time.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self.version: int | None = None
        self.inner: dict[bytes, Buffer] = {}
        self.bundles: dict[bytes, Buffer] = {}

    def finds(self, version: int | None) -> Finds:
        """Return look-ups of `version`'s inner nodes, and of its bundles."""
        if version != self.version:
            nothing: dict[bytes, Buffer] = {}
            return nothing.get, nothing.get
        return self.inner.get, self.bundles.get

    def forget(self) -> None:
        """Hold nothing."""
        self.inner, self.bundles, self._bytes, self.version = {}, {}, 0, None

    def advance(self, update: TreeUpdate) -> None:
        """Follow from the update's base to its version."""
        if update.elsewhere:
            self.forget()
            return
        if update.base_version != self.version:
            self.forget()
        self.inner.update(update.inner)
        if len(self.inner) > MAX_INNER:
            self.inner = {node: record for node, record in self.inner.items() if node[1] <= PINNED_DEPTH}
        known = self.bundles.get
        for node, record in update.bundles.items():
            before = known(node)
            self._bytes += len(record) + ENTRY_OVERHEAD if before is None else len(record) - len(before)
        self.bundles.update(update.bundles)
        if self._bytes > self._limit:
            self._drop(self._bytes - self._limit + self._limit // 8)
        self.version = update.version

    def _drop(self, size: int) -> None:
        """Drop the bundles that came first, so many bytes of them."""
        target = self._bytes - size
        gone = []
        for node, record in self.bundles.items():
            if self._bytes <= target:
                break
            self._bytes -= len(record) + ENTRY_OVERHEAD
            gone.append(node)
        for node in gone:
            del self.bundles[node]
