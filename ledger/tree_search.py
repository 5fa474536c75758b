"""Which nodes an update needs that are not in memory: found ahead of it, and asked for.

An update goes through its paths in order. What it will need is looked for some parts of them ahead, one level of the
tree at a time, so that who has the store answers for one part while another is computed. In memory are nearly all inner
nodes, so most parts take one question.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence

from ledger.tree_nodes import COUNTS, HIGH_NIBBLE, INNER, NODE_HEADS, VERSION_SLICES
from ledger.tree_update import Buffer, Finds

Wanted = tuple[bytes, bytes, int]
"""A node: its stem, the version of its newest record (8 bytes) and its kind, both as its parent says."""
Ask = Callable[[Sequence[Wanted]], Callable[[], Sequence[bytes]]]
"""Asks for nodes; what it returns waits for the answer: the nodes in the form that they have in memory."""

AHEAD = 2
"""Parts looked at before the one that is computed: one for each level that is usually not in memory."""
PART_PATHS = 1_200
"""Fewest paths of a part; parts are whole children of the root. Of fewer each is dearer to read, of more all wait for the first."""


class Searches:
    """The parts of one update, each looked for in time."""

    def __init__(self, root: Buffer, paths: Sequence[bytes], finds: Finds, ask: Ask) -> None:
        """`paths` are sorted; `root` is an inner node."""
        self._root = root
        self._paths = paths
        self._finds = finds
        self._ask = ask
        self._parts = _parts_of(paths)
        self._under_way: deque[_Search] = deque()
        self._known = 0

    def before(self, at: int, cold: dict[bytes, bytes]) -> None:
        """Have in `cold`, by stem, what is not in memory of the nodes on paths[at] and the part that it begins."""
        if at < self._known or at == len(self._paths):
            return
        under_way = self._under_way
        if not under_way:
            self._begin()
        first = under_way.popleft()
        while not first.done:
            first.go_on()
        cold.update(first.found)
        self._known = first.end
        for search in under_way:
            search.go_on()
        self._begin()

    def _begin(self) -> None:
        for at, end in self._parts:
            self._under_way.append(_Search(self._steps(at, end), end, self._ask))
            if len(self._under_way) >= AHEAD:
                return

    def _steps(self, at: int, end: int) -> Generator[list[Wanted], Sequence[bytes], dict[bytes, bytes]]:
        """Yield what is missing on paths[at:end], a level at a time; is sent it, and returns all of it by stem."""
        cold: dict[bytes, bytes] = {}
        inner: list[tuple[Buffer, int, int, int]] = [(self._root, 0, at, end)]
        while True:
            wanted: list[Wanted] = []
            shares: list[tuple[int, int]] = []
            for node, depth, at, end in inner:
                self._look(node, depth, at, end, wanted, shares)
            if not wanted:
                return cold
            nodes = yield wanted
            inner = []
            for (stem, _, kind), (at, end), node in zip(wanted, shares, nodes, strict=True):
                cold[stem] = node
                if kind == INNER:
                    inner.append((node, stem[1], at, end))

    def _look(
        self,
        node: Buffer,
        depth: int,
        at: int,
        end: int,
        wanted: list[Wanted],
        shares: list[tuple[int, int]],
    ) -> None:
        """Note the topmost nodes that are missing below an inner node on paths[at:end], and which paths go through each."""
        paths = self._paths
        inner_of, bundle_of = self._finds
        byte, odd = depth >> 1, depth & 1
        while at < end:
            path = paths[at]
            n = path[byte] & 15 if odd else path[byte] >> 4
            stop = at + 1
            if stop < end and (paths[stop][byte] & 15 if odd else paths[stop][byte] >> 4) == n:
                stop = end
                if n < 15:
                    bound = path[:byte] + bytes((path[byte] + 1 if odd else (n + 1) << 4,))
                    stop = bisect_left(paths, bound, at + 2, end)
            parent, below = node, depth + 1
            while kind := parent[COUNTS + n]:
                half = below >> 1
                child = NODE_HEADS[below] + path[:half]
                if below & 1:
                    child += HIGH_NIBBLE[path[half]]
                found = inner_of(child) if kind == INNER else bundle_of(child)
                if found is None:
                    wanted.append((child, bytes(parent[VERSION_SLICES[n]]), kind))
                    shares.append((at, stop))
                    break
                if kind != INNER:
                    break
                if stop - at > 1:
                    self._look(found, below, at, stop, wanted, shares)
                    break
                # One path alone, as most are below some depth, is followed without a call for each level.
                n = path[half] & 15 if below & 1 else path[half] >> 4
                parent, below = found, below + 1
            at = stop


class _Search:
    """One part: `found` has what was missing once it is `done`."""

    def __init__(
        self, steps: Generator[list[Wanted], Sequence[bytes], dict[bytes, bytes]], end: int, ask: Ask
    ) -> None:
        self._steps = steps
        self._ask = ask
        self.end = end
        self.done = False
        self.found: dict[bytes, bytes] = {}
        self._proceed(None)

    def go_on(self) -> None:
        """Wait for an answer, and ask for the next level."""
        if not self.done:
            self._proceed(self._answer())

    def _proceed(self, nodes: Sequence[bytes] | None) -> None:
        try:
            # A generator begins with None sent to it.
            wanted = next(self._steps) if nodes is None else self._steps.send(nodes)
        except StopIteration as stop:
            self.done, self.found = True, stop.value
        else:
            self._answer = self._ask(wanted)


def _parts_of(paths: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Start and end of each part."""
    at = 0
    for n in range(1, 17):
        end = len(paths) if n == 16 else bisect_left(paths, bytes((n << 4,)), at)
        if end - at >= PART_PATHS or (n == 16 and end > at):
            yield at, end
            at = end
