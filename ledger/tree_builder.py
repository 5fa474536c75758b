"""The tree without a store, for a process of its own: changed values in, records out.

Here are the nodes of the newest version in memory, as `Tree` has them where it computes by itself. What is not in
memory is asked for, all of an update at once: who has the store answers. Nothing here is told which update became
the newest version: the next one says what it builds on, and if that is none of those lately computed, memory is
emptied and everything asked for again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ledger.keys import version_key
from ledger.tree_cache import DEFAULT_CACHE_BYTES, NodeCache
from ledger.tree_nodes import COUNTS, EMPTY_REF, INNER, ROOT_STEM, VERSION_SLICES, NodeRef, child_stem
from ledger.tree_update import Buffer, Entries, TreeUpdate, Updater, enter

MAX_CANDIDATES = 4
"""Updates of one version that are kept: proposals of one height."""

PART = 250
"""Records that are handed on together: what is left to do with them goes beside what is still to compute."""
MAX_PART = 500
"""Most records handed on together, 6.5 MB if all were large bundles: who takes them does nothing else meanwhile."""

Wanted = tuple[bytes, bytes, int]
"""A node: its stem, the version of its newest record (8 bytes) and its kind, both as its parent says."""
Fetch = Callable[[Sequence[Wanted]], Sequence[bytes]]
"""Returns nodes in the form that they have in memory."""


class TreeBase(NamedTuple):
    """What is to be computed, and from what."""

    version: int
    base_version: int
    base: NodeRef


class TreeBuilder:
    """See the module. `begin`, `enter` as often as need be, `build`."""

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._cache = NodeCache(cache_bytes)
        self._ref = EMPTY_REF
        self._candidates: list[TreeUpdate] = []
        self._entries: Entries = {}
        self._task = TreeBase(1, 0, EMPTY_REF)

    def begin(self, task: TreeBase) -> None:
        """Start an update; one that was not finished is forgotten."""
        self._task, self._entries = task, {}
        cache = self._cache
        if cache.version == task.base_version and self._ref == task.base:
            return
        for update in self._candidates:
            if update.version == task.base_version and update.ref == task.base:
                cache.advance(update)
                break
        else:
            cache.forget()
            cache.version = task.base_version
        self._ref, self._candidates = task.base, []

    def enter(self, keys: Collection[bytes], values: Collection[bytes | None]) -> None:
        """State keys and their new encoded values (None: deleted)."""
        enter(self._entries, keys, values)

    @property
    def entered(self) -> int:
        """Number of different paths entered."""
        return len(self._entries)

    def build(self, fetch: Fetch) -> Iterator[Mapping[bytes, bytes]]:
        """Compute. Yields the new records by whole key, in parts; then `result` has the rest, and not these."""
        task, entries = self._task, self._entries
        cold: dict[bytes, bytes] = {}
        asked = False

        def load(stem: bytes, version: bytes, kind: int) -> bytes:
            nonlocal asked
            if not asked:
                asked = True
                cold.update(self._cold(sorted(entries), fetch))
            node = cold.pop(stem, None)
            # What a deletion moves together lies beside the paths that were looked at.
            return fetch(((stem, version, kind),))[0] if node is None else node

        updater = Updater(task.version, entries, self._cache.finds(task.base_version), load)
        for _ in updater.run(task.base_version, task.base):
            # A deletion may yet take back records of bundles that have become one.
            if not updater.deleting and len(updater.records) >= PART:
                yield from _parts(updater.take_records())
        yield from _parts(updater.take_records())
        self.result = updater.result()
        self._candidates = [*self._candidates[1 - MAX_CANDIDATES :], self.result]

    def _cold(self, paths: Sequence[bytes], fetch: Fetch) -> dict[bytes, bytes]:
        """Fetch all nodes on `paths` (sorted) that are not in memory, level by level; return them by stem."""
        base = self._task.base
        pinned, young, old = self._cache.finds(self._task.base_version)
        cold: dict[bytes, bytes] = {}
        level = [(ROOT_STEM, version_key(base.version), base.leaves, 0, len(paths))] if base.leaves else []
        while level:
            found: list[Buffer | None] = [
                (kind == INNER and pinned(stem)) or young(stem) or old(stem) for stem, _, kind, _, _ in level
            ]
            wanted = [place[:3] for place, node in zip(level, found, strict=True) if node is None]
            fetched = iter(fetch(wanted) if wanted else ())
            below: list[tuple[bytes, bytes, int, int, int]] = []
            for (stem, _, kind, at, end), node in zip(level, found, strict=True):
                if node is None:
                    node = cold[stem] = next(fetched)
                if kind == INNER:
                    below += self._children(stem, node, paths, at, end)
            level = below
        return cold

    @staticmethod
    def _children(
        stem: bytes, node: Buffer, paths: Sequence[bytes], at: int, end: int
    ) -> Iterator[tuple[bytes, bytes, int, int, int]]:
        """Yield the children on paths[at:end] as `_cold` looks at them."""
        depth = stem[1]
        byte, odd = depth >> 1, depth & 1
        while at < end:
            n = paths[at][byte] & 15 if odd else paths[at][byte] >> 4
            bound = (
                paths[at][:byte] + bytes((paths[at][byte] + 1 if odd else (n + 1) << 4,)) if n < 15 else b""
            )
            stop = bisect_left(paths, bound, at + 1, end) if bound else end
            if node[COUNTS + n]:
                yield child_stem(stem, n), bytes(node[VERSION_SLICES[n]]), node[COUNTS + n], at, stop
            at = stop


def _parts(records: Mapping[bytes, bytes]) -> Iterator[Mapping[bytes, bytes]]:
    """The records, so many at a time."""
    left = iter(records.items())
    while part := dict(islice(left, MAX_PART)):
        yield part
