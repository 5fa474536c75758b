"""A process that computes state trees: changed values in, tree nodes out (`ledger.tree_builder`).

Frames are MessagePack arrays that begin with what they are and the number of the update. In: `begin` (what to build on),
`enter` (keys, values) as often as need be, `build`; and `nodes`, in answer to a `want`. Out: `want` (nodes that are not in
memory), `part` (new records by key), `done`. A `begin` ends whatever was under way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import msgpack

from ledger.tree_builder import TreeBase, TreeBuilder, Wanted
from ledger.tree_nodes import pack_ref, unpack_ref
from node.child_worker import Parent, work

BEGIN, ENTER, BUILD, NODES, WANT, PART, DONE = range(7)
WANTED_TOGETHER: Final = 1_000
"""Nodes asked for in one frame: 4 to 7 ms of the node's time."""
ASKED_AHEAD: Final = 4
"""Frames of them that wait for their answer. The node answers all that have come before it does anything else."""

Frame = Sequence[Any]


def unpack(payload: bytes | memoryview) -> Frame:
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
        for part in builder.build(self._fetch):
            self._send(PART, part)
        update = builder.result
        self._send(DONE, pack_ref(update.ref), builder.entered, update.stale)

    def _send(self, kind: int, *fields: object) -> None:
        self._parent.send(msgpack.packb((kind, self._number, *fields)))

    def _fetch(self, wanted: Sequence[Wanted]) -> list[bytes]:
        found: list[bytes] = []
        asked = 0
        while len(found) < len(wanted):
            while asked < min(len(wanted), len(found) + ASKED_AHEAD * WANTED_TOGETHER):
                self._send(WANT, wanted[asked : asked + WANTED_TOGETHER])
                asked += WANTED_TOGETHER
            frame = unpack(self._parent.receive())
            while frame[0] != BEGIN and (frame[0] != NODES or frame[1] != self._number):
                frame = unpack(self._parent.receive())
            if frame[0] == BEGIN:
                raise _Abandoned(frame)
            found += frame[2]
        return found


def serve(parent: Parent) -> None:
    """Answer until the parent closes."""
    _Service(parent, int.from_bytes(parent.receive(), "little")).run()


def main() -> None:
    """Entry point of the process."""
    sys.setrecursionlimit(2_000)
    work(serve)
