"""When a validator has a reason to propose, and so when the others may begin to wait for a proposal.

protocol.md: a block is proposed when transactions or evidence wait; else `settle` after a block that did
something, so that its root gets a header; else after `idle`. All validators follow the same rule, each with
what it sees itself, so a proposer that rests is not a failed round: the timeout of a proposal in round 0
starts only when there is a REASON, which is any of

- the node's own pool holds a transaction, or evidence waits, and `minimum` after the last block is over;
- the settle or idle time after the last block is over, by the node's own clock;
- the chain has no block yet;
- somebody else acts at this height already: a proposal, or a vote in it (he saw a reason that this node does
  not see, transactions that have not come here, say);
- the round is not 0: an earlier one failed, so somebody wanted a block.

While more is being verified than is ready, the pool is no reason before `GATHER` is over: a block costs its 10 ms of signatures,
log and votes whether it has three hundred transactions or five thousand, and takes them from the verification of those that
come. Where other programs had the cores, blocks became smaller and smaller, and with them what was left to fill the next.

The proposer builds for the same reasons. What was admitted may turn out not to stand in a block (the price
has risen since): the others cannot know, so the proposer proposes the empty block. After each such block the
pool counts as a reason only `EMPTY_FACTOR` times later than before, and no longer at all once nothing was
admitted for `SPREAD` seconds: by then the proposer had everything. Alone, nobody waits for a validator, and no
block is made of what does not stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

SPREAD: Final = 1.0
"""Seconds after which a transaction has surely reached every validator's pool."""
EMPTY_FACTOR: Final = 4
GATHER: Final = 0.2
"""Most seconds for which more is gathered."""
GLANCE: Final = 0.01
"""Seconds until it is looked again whether less is coming."""


class Intervals(NamedTuple):
    """Times between blocks in seconds; see the module. `minimum` is the least time between two."""

    minimum: float = 0.02
    settle: float = 1.0
    idle: float = 10.0


class Pace:
    """See the module. `waiting` tells how many transactions and pieces of evidence wait, `coming` how many signatures are being verified;
    `now` is monotonic."""

    def __init__(
        self,
        intervals: Intervals,
        waiting: Callable[[], int],
        coming: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self._intervals = intervals
        self._waiting = waiting
        self._coming = coming
        self._now = now
        self._last = now()
        """Time of the last block, or of the start."""
        self._admitted = self._last
        self._fresh = True
        """What waits was not yet found impossible."""
        self._urgent = True
        self._eventful = True
        self._empties = 0
        self._gathering: float | None = None
        """Since when there would be a reason, if less were coming."""

    def begin(self, *, empty_chain: bool) -> None:
        """The first height after a start. What the last block did is not known: its root may want a header."""
        self._last = self._admitted = self._now()
        self._urgent = empty_chain
        self._eventful = self._fresh = True
        self._empties = 0

    def decided(self, *, eventful: bool, took: bool) -> None:
        """A block was decided; `took` if it has transactions."""
        self._last = self._now()
        self._gathering = None
        self._eventful = eventful
        self._urgent = False
        if took:
            self._empties, self._fresh = 0, True
        elif self.has_fresh:
            self._empties += 1
            self._fresh = self._last - self._admitted < SPREAD
        else:
            self._empties = 0

    def admitted(self) -> None:
        """The pool has taken a transaction, or evidence has come."""
        self._fresh = True
        self._admitted = self._now()

    def others_act(self) -> None:
        """Somebody proposed or voted at this height, or a round of it has failed."""
        self._urgent = True

    def attempt_was_empty(self) -> None:
        """Nothing of what waits can stand in a block now, and nobody else waits for one."""
        self._fresh = False

    @property
    def has_fresh(self) -> bool:
        """Whether something waits that was not found impossible yet."""
        return self._fresh and self._waiting() > 0

    @property
    def is_time(self) -> bool:
        """Whether there is a reason besides what waits: a block may then be empty, also where nobody else waits for it."""
        return self._urgent or self._now() - self._last >= self._quiet

    @property
    def _quiet(self) -> float:
        return self._intervals.settle if self._eventful else self._intervals.idle

    def seconds_left(self) -> float:
        """Until there may be a reason to propose; 0 or less: there is one."""
        if self._urgent:
            return 0.0
        now = self._now()
        since = now - self._last
        if not self.has_fresh:
            return self._quiet - since
        left = min(self._intervals.minimum * float(EMPTY_FACTOR**self._empties), self._quiet) - since
        if left > 0 or self._coming() <= self._waiting():
            return left
        if self._gathering is None:
            self._gathering = now
        return min(self._gathering + GATHER - now, GLANCE)
