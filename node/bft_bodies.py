"""Blocks that are talked about at the height in progress, by hash, and what is known of each.

A vote names a block by its hash; the body comes by another way and at another time. Whoever needs it asks
here and is told when it has come. Bounded: what peers can make a node hold are bodies that somebody with the
right to propose has signed for, a few a height.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from qenex.block import Block

MAX_BODIES: Final = 8
"""Bodies kept at a time; the oldest without a protector goes first."""


class Bodies:
    """Bodies by block hash, for one height at a time."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Block] = {}
        self._waiting: dict[bytes, list[asyncio.Future[Block]]] = {}
        self._kept: dict[bytes, None] = {}
        """Hashes that must not go: locked, valid or decided here."""

    def __contains__(self, name: bytes) -> bool:
        return name in self._blocks

    def get(self, name: bytes) -> Block | None:
        """The body, or None while it has not come."""
        return self._blocks.get(name)

    def names(self) -> list[bytes]:
        """Hashes of all that are here."""
        return list(self._blocks)

    def put(self, name: bytes, block: Block) -> None:
        """A body whose header hashes to `name` has come."""
        if name not in self._blocks:
            self._make_room()
            self._blocks[name] = block
        for future in self._waiting.pop(name, ()):
            if not future.done():
                future.set_result(block)

    def keep(self, name: bytes) -> None:
        """Do not let this one go before another round begins in which it is of no use."""
        self._kept[name] = None

    def keep_only(self, names: Iterable[bytes]) -> None:
        """Another round begins, and these are still of use. A height may last for hundreds of rounds, each with a block."""
        self._kept = dict.fromkeys(names)
        self._make_room()

    def _make_room(self) -> None:
        loose = [name for name in self._blocks if name not in self._kept and name not in self._waiting]
        while len(self._blocks) >= MAX_BODIES and loose:
            gone = loose.pop(0)
            del self._blocks[gone]

    async def wait(self, name: bytes) -> Block:
        """The body, as soon as it is here."""
        block = self._blocks.get(name)
        if block is not None:
            return block
        future: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(future)
        return await future

    def clear(self) -> None:
        """The height is over."""
        self._blocks.clear()
        self._kept.clear()
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()
        self._waiting.clear()
