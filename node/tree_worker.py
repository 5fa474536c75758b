"""A process that computes state trees: changed values in, tree nodes out (`ledger.tree_builder`).

Frames are MessagePack arrays that begin with what they are and the number of the update. In: `begin` (what to build on),
`enter` (keys, values) as often as need be, `build`; and `nodes`, in answer to a `want`. Out: `want` (nodes that are not in
memory), `part` (new records by key), `done`. A `begin` ends whatever was under way.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

from ledger.tree_builder import TreeBase, TreeBuilder
from ledger.tree_nodes import pack_ref, unpack_ref
from ledger.tree_search import Wanted
from node.child_worker import Parent, work

BEGIN, ENTER, BUILD, NODES, WANT, PART, DONE = range(7)
WANTED_TOGETHER: Final = 1_000
"""Nodes asked for in one frame: 4 to 7 ms of the node's time."""
ASKED_AHEAD: Final = 4
"""Frames of them that wait for their answer. The node answers all that have come before it does anything else."""
Frame = Sequence[Any]


def unpack(payload: bytes | bytearray | memoryview) -> Frame:
    """The fields of a frame."""
    return msgpack.unpackb(payload, use_list=True, strict_map_key=False)  # type: ignore[no-any-return]  # untyped library


class _Abandoned(Exception):
    """Another update is wanted instead; `frame` is its beginning."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame


class _Service:
    """One builder and the parent it works for."""

    def __init__(self, parent: Parent, cache_bytes: int) -> None:
        self._parent = parent
        self._builder = TreeBuilder(cache_bytes)
        self._number = -1
        self._unsent: deque[tuple[Sequence[Wanted], list[bytes]]] = deque()
        """What is to be asked for, a frame each, and where the answer goes."""
        self._asked: deque[list[bytes]] = deque()

    def run(self) -> None:
        """Answer until the parent closes."""
        builder = self._builder
        frame = unpack(self._parent.receive())
        while True:
            kind, number = frame[0], frame[1]
            if kind == BEGIN:
                self._number = number
                builder.begin(TreeBase(frame[2], frame[3], unpack_ref(frame[4])))
            elif number == self._number and kind == ENTER:
                builder.enter(frame[2], frame[3])
            elif number == self._number and kind == BUILD:
                try:
                    self._build()
                except _Abandoned as instead:
                    frame = instead.frame
                    continue
            frame = unpack(self._parent.receive())

    def _build(self) -> None:
        builder = self._builder
        self._unsent.clear()
        self._asked.clear()
        for part in builder.build(self._ask):
            self._send(PART, part)
        update = builder.result
        self._send(DONE, pack_ref(update.ref), builder.entered, update.stale)

    def _send(self, kind: int, *fields: object) -> None:
        self._parent.send(msgpack.packb((kind, self._number, *fields)))

    def _ask(self, wanted: Sequence[Wanted]) -> Callable[[], list[bytes]]:
        answer: list[bytes] = []
        for at in range(0, len(wanted), WANTED_TOGETHER):
            self._unsent.append((wanted[at : at + WANTED_TOGETHER], answer))
        self._send_wanted()

        def wait() -> list[bytes]:
            while len(answer) < len(wanted):
                self._take_nodes()
            return answer

        return wait

    def _send_wanted(self) -> None:
        while self._unsent and len(self._asked) < ASKED_AHEAD:
            wanted, answer = self._unsent.popleft()
            self._send(WANT, wanted)
            self._asked.append(answer)

    def _take_nodes(self) -> None:
        """Wait for the answer to the oldest question. Raises _Abandoned."""
        frame = unpack(self._parent.receive())
        while frame[0] != BEGIN and (frame[0] != NODES or frame[1] != self._number):
            frame = unpack(self._parent.receive())
        if frame[0] == BEGIN:
            raise _Abandoned(frame)
        answer = self._asked.popleft()
        answer += frame[2]
        self._send_wanted()


def serve(parent: Parent) -> None:
    """Answer until the parent closes."""
    _Service(parent, int.from_bytes(parent.receive(), "little")).run()


def main() -> None:
    """Entry point of the process."""
    sys.setrecursionlimit(2_000)
    work(serve)
