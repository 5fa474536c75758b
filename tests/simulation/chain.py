"""A chain small enough to be simulated fast: what blocks are, which may follow, and what they do.

A body hashes to the block's name and commits to the state root before it, so different states cannot hide. The
changes of validators are drawn from the seed for the whole run, and a block must carry those of its height.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from consensus.validators import ValidatorSet
from qenex.block import Commit, Validator
from qenex.codec import codec_for, decode, encode
from qenex.errors import QenexError

Changes = tuple[tuple[bytes, int], ...]
"""Address and new power (0: removed), by address."""


class Body(NamedTuple):
    """A block. `time` in ns; `state_root` is that after the parent."""

    height: int
    time: int
    proposer: bytes
    parent: bytes
    state_root: bytes
    payload: bytes
    changes: Changes


BODY = codec_for(Body)
NOTHING = bytes(32)


class Decided(NamedTuple):
    """A block that is final, with what made it so."""

    body: Any
    commit: Commit


class Chain:
    """One node's chain: durable as a whole after each `apply`.

    `sets[height]` are the validators of a height at round 0, known up to two heights above the last block.
    """

    def __init__(
        self, first: ValidatorSet, keys: Mapping[bytes, bytes], changes: Mapping[int, Changes]
    ) -> None:
        self._keys = keys
        self._changes = changes
        self.blocks: list[Decided] = []
        self.roots: list[bytes] = [NOTHING]
        self.tip = NOTHING
        self.time = 0
        self.sets: dict[int, ValidatorSet] = {1: first, 2: first.increment()}

    @property
    def height(self) -> int:
        """Of the last block; 0 before the first."""
        return len(self.blocks)

    @staticmethod
    def name_of(body: Body) -> bytes:
        """The block's hash."""
        return blake2b(encode(body), digest_size=32, person=b"sim.block").digest()

    @staticmethod
    def outline(body: Body) -> Body:
        """What the watcher looks at."""
        return body

    @staticmethod
    def encode(body: Body) -> bytes:
        """The bytes that the log keeps."""
        return encode(body)

    @staticmethod
    def decode(data: bytes) -> Body | None:
        """Inverse of `encode`; None for anything else."""
        try:
            return BODY.check(decode(data, max_size=1 << 16, max_items=256))
        except QenexError:
            return None

    def restarted(self) -> None:
        """The process begins again: only what is durable is there."""

    def body(self, name: bytes) -> Body | None:
        """A decided block by its hash, if it is one of the last ones."""
        for decided in reversed(self.blocks[-50:]):
            if decided.commit.block_hash == name:
                return decided.body
        return None

    def build(self, time: int, proposer: bytes, payload: bytes) -> Body:
        """The block that may follow, with this time or the least that is later than the parent's."""
        height = self.height + 1
        return Body(
            height,
            max(time, self.time + 1),
            proposer,
            self.tip,
            self.roots[-1],
            payload,
            self.changes(height),
        )

    def changes(self, height: int) -> Changes:
        """Changes of validators that the block of this height must carry."""
        return self._changes.get(height, ())

    def accepts(self, body: Body) -> bool:
        """Whether the block may follow. When it came is not looked at."""
        return (
            (body.height, body.parent, body.state_root) == (self.height + 1, self.tip, self.roots[-1])
            and body.time > self.time
            and body.changes == self.changes(body.height)
            and not body.payload.startswith(b"invalid")
            and any(v.address == body.proposer for v in self.sets[body.height].validators)
        )

    def apply(self, body: Body, commit: Commit) -> None:
        """Execute the next block."""
        self.tip = commit.block_hash
        self.time = body.time
        before = self.roots[-1]
        self.roots.append(blake2b(before + self.tip, digest_size=32, person=b"sim.root").digest())
        self.blocks.append(Decided(body, commit))
        height = body.height
        following = self.sets[height + 1].increment()
        if body.changes:
            changes = [Validator(address, self._keys[address], power) for address, power in body.changes]
            following = following.update(changes)
        self.sets[height + 2] = following
        self.sets.pop(height - 2, None)
