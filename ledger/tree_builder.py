"""The tree without a store, for a process of its own: changed values in, records out.

Here are the nodes of the newest version in memory, as `Tree` has them where it computes by itself. What is not in
memory is asked for (`ledger.tree_search`): who has the store answers, and meanwhile what is left and right of it is
computed. Nothing here is told which update became the newest version: the next one says what it builds on, and if that
is none of those lately computed, memory is emptied and everything asked for again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from ledger.keys import version_key
from ledger.tree_cache import DEFAULT_CACHE_BYTES, NodeCache
from ledger.tree_nodes import EMPTY_REF, INNER, ROOT_STEM, NodeRef
from ledger.tree_search import Ask, Searches
from ledger.tree_update import Entries, TreeUpdate, Updater, enter

MAX_CANDIDATES = 4
"""Updates of one version that are kept: proposals of one height."""

PART = 250
"""Records that are handed on together: what is left to do with them goes beside what is still to compute."""
MAX_PART = 500
"""Most records handed on together, 6.5 MB if all were large bundles: who takes them does nothing else meanwhile."""


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

    def build(self, ask: Ask) -> Iterator[Mapping[bytes, bytes]]:
        """Compute. Yields the new records by whole key, in parts; then `result` has the rest, and not these."""
        task = self._task
        finds = self._cache.finds(task.base_version)
        cold: dict[bytes, bytes] = {}

        def load(stem: bytes, version: bytes, kind: int) -> bytes:
            node = cold.pop(stem, None)
            # What a deletion moves together lies beside the paths that were looked at.
            return ask(((stem, version, kind),))()[0] if node is None else node

        updater = Updater(task.version, self._entries, finds, load)
        searches = None
        if task.base.leaves == INNER:
            root = finds[0](ROOT_STEM)
            if root is None:
                root = cold[ROOT_STEM] = load(ROOT_STEM, version_key(task.base.version), INNER)
            searches = Searches(root, updater.paths, finds, ask)
            searches.before(0, cold)
        for done in updater.run(task.base_version, task.base):
            if searches is not None:
                searches.before(done, cold)
            # A deletion may yet take back records of bundles that have become one.
            if not updater.deleting and len(updater.records) >= PART:
                yield from _parts(updater.take_records())
        yield from _parts(updater.take_records())
        self.result = updater.result()
        self._candidates = [*self._candidates[1 - MAX_CANDIDATES :], self.result]


def _parts(records: Mapping[bytes, bytes]) -> Iterator[Mapping[bytes, bytes]]:
    """The records, so many at a time."""
    left = iter(records.items())
    while part := dict(islice(left, MAX_PART)):
        yield part
