"""How many transactions submitted at this node may be under way at a time: what is beyond is refused, not queued.

A queue that nobody bounds turns an overload into minutes of waiting for everybody, and goes on to do so after the load
has fallen. So what was submitted HERE and is in no block yet is counted, and held below what the chain takes within `WAIT`
seconds (Little's law: under way = rate * time). Each node does so for its own callers by its own count; what peers send
passed their gates. The bounds of the pool stay as they are, for memory.

How much the chain takes of what is submitted here is measured at each block, over the last `WINDOW` seconds in which
something was under way. The measure rises at once, and falls only while callers are refused or what is admitted waits too
long: a node with little to do learns nothing about what it could do. Where two blocks take longer than `WAIT` even at their
fastest, their time counts instead, up to `SLOW` times `WAIT`: a transaction that comes while one is made waits for the next,
and a slow network would else close its gates until nothing went through. Where blocks are slower than that, `wait` has to be
set higher. The fastest of the last ten minutes, for more under way makes larger and slower blocks, and that is no reason to
admit still more.

The last quarter below the limit, and another one beyond it, are for callers who have less under way than their fair share
of the limit, and up to twice the limit there is a place or two for whoever has none: who sends little does not stand outside
because others send too much. A transaction that is in no block after `FORGOTTEN` seconds counts no longer (it was
dropped, or the fee has risen over it): what is stuck must not close the gate.

Pure logic; the clock comes in, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from qenex.errors import NodeBusy

WAIT: Final = 1.0
"""Seconds for which what is under way may last."""
WINDOW: Final = 2.0
"""Seconds over which is measured what the chain takes."""
SHORTEST: Final = 1.0
"""Less says nothing: it may hold one block more or less."""
CORRECTION: Final = 0.3
"""By so much of the difference the measure falls at a block."""
FIRST_RATE: Final = 500.0
"""Transactions a second, before anything was measured."""
LEAST_WAIT: Final = 0.25
"""A refused caller is told to wait for so long at least, as a share of the time that what is under way may last."""
LEAST: Final = 100
"""So many may be under way in any case."""
LIGHT: Final = 2
"""So few of one caller come in up to twice the limit."""
FORGOTTEN: Final = 10.0
SLOW: Final = 4.0
FASTEST_SECONDS: Final = 600.0
"""After so long the fastest block is looked for anew."""


def _nobody(seconds: float) -> None:
    """Default of `Gate.on_wait`."""


class Gate:
    """See the module. `wait` in seconds; `callers` are told apart by any name."""

    def __init__(self, clock: Callable[[], float], *, wait: float = WAIT, least: int = LEAST) -> None:
        self._clock = clock
        self._wait = wait
        self._least = least
        self._under_way: dict[bytes, tuple[str, float]] = {}
        self._order: deque[tuple[float, bytes]] = deque()
        """Admissions with their times, those that have left among them."""
        self._entering = 0
        """Places given to what is being verified."""
        self._early: set[bytes] = set()
        self._early_before: set[bytes] = set()
        """What blocks took while something was, for `FORGOTTEN` seconds at least and twice that at most: its admission may
        not have been told yet. Under load something is verified at every moment, so that is no end."""
        self._early_since = 0.0
        self._of_caller: dict[str, int] = {}
        self._rate = FIRST_RATE
        self._samples: deque[tuple[float, int]] = deque()
        self._since = 0.0
        """Begin of the time that the samples cover."""
        self._refused_since = False
        self._fastest = self._fastest_before = math.inf
        """Fewest seconds between two blocks with something submitted here, or from its coming to its block; lately and before."""
        self._fastest_since = -math.inf
        self.refused = 0
        self.on_wait: Callable[[float], None] = _nobody
        """Told at each block how long it took from the admission here of its first transaction, in seconds."""

    def __len__(self) -> int:
        return len(self._under_way) + self._entering

    @property
    def rate(self) -> float:
        """Transactions a second of those submitted here that the chain takes, as far as it was measured."""
        return self._rate

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return max(self._least, int(self._rate * self._allowed))

    @property
    def _allowed(self) -> float:
        """Seconds for which what is under way may last."""
        fastest = min(self._fastest, self._fastest_before, SLOW * self._wait / 2.0)
        return self._wait if self._fastest == math.inf else max(self._wait, 2.0 * fastest)

    def ask(self, caller: str, wanted: int) -> int:
        """Places for up to `wanted` transactions of a caller, 0 if there is none; each has to be given to `entered` or `left`."""
        self._forget()
        limit, used = self.limit, len(self)
        granted = min(wanted, max(0, limit - limit // 4 - used))
        if granted < wanted:
            own = self._of_caller.get(caller, 0)
            callers = len(self._of_caller) + (own == 0)
            fair = limit // callers - own - granted
            granted += max(0, min(wanted - granted, fair, limit + limit // 4 - used - granted))
            few = LIGHT - own - granted  # also when the limit has just fallen below what is under way
            granted += max(0, min(wanted - granted, few, 2 * limit - used - granted))
        if granted < wanted:
            self._refused_since = True
            self.refused += wanted - granted
        if granted:
            if not used:
                self._begin()
            self._entering += granted
            self._of_caller[caller] = self._of_caller.get(caller, 0) + granted
        return granted

    def entered(self, caller: str, tx_id: bytes) -> None:
        """A transaction for which there was a place was admitted."""
        now = self._clock()
        early = tx_id in self._early or tx_id in self._early_before
        if early or tx_id in self._under_way:  # or another signature of it took its place
            self.left(caller)
            return
        self._enter(1)
        self._under_way[tx_id] = caller, now
        self._order.append((now, tx_id))

    def left(self, caller: str, count: int = 1) -> None:
        """So many for which there were places were not admitted."""
        self._enter(count)
        self._leave(caller, count)

    def _enter(self, count: int) -> None:
        """So many places were given and are used, or given back."""
        self._entering -= count
        if not self._entering:
            self._early.clear()
            self._early_before.clear()

    def refusal(self) -> NodeBusy:
        """What a caller for whom there is no place is told."""
        waiting, rate = len(self), max(self._rate, 1.0)
        seconds = max(LEAST_WAIT * self._wait, (waiting - self.limit + 1) / rate)
        error = NodeBusy(
            f"{waiting} transactions that were submitted here wait for a block: {waiting / rate:.1f} s of work"
        )
        error.retry_after_ms = math.ceil(seconds * 1_000)
        error.__dict__["details"] = {"retry_after_ms": error.retry_after_ms}
        return error

    def committed(self, tx_ids: Iterable[bytes]) -> None:
        """A block took these, whoever submitted them."""
        now = self._clock()
        if self._entering:
            tx_ids = list(tx_ids)
            if now - self._early_since > FORGOTTEN:
                self._early_before, self._early, self._early_since = self._early, set(), now
            self._early.update(tx_ids)
        take, own, first = self._under_way.pop, 0, now
        for tx_id in tx_ids:
            found = take(tx_id, None)
            if found is not None:
                own += 1
                self._leave(found[0])
                if found[1] < first:
                    first = found[1]
        if own:
            self.on_wait(now - first)
            self._measure(now, own, slow=now - first > self._allowed)

    # -- measuring --------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Something is under way again: time before this says nothing."""
        self._samples.clear()
        self._since = self._clock()

    def _measure(self, now: float, own: int, *, slow: bool) -> None:
        samples = self._samples
        seconds = now - (samples[-1][0] if samples else self._since)
        if now - self._fastest_since > FASTEST_SECONDS:
            self._fastest_before, self._fastest, self._fastest_since = self._fastest, seconds, now
        elif seconds < self._fastest:
            self._fastest = seconds
        samples.append((now, own))
        while len(samples) > 1 and samples[0][0] < now - WINDOW:
            self._since = samples.popleft()[0]
        span = now - self._since
        if span >= SHORTEST:
            rate = sum([count for _, count in samples]) / span
            if rate > self._rate:
                self._rate = rate
            elif slow or self._refused_since:
                self._rate -= CORRECTION * (self._rate - rate)
        self._refused_since = False

    # -- leaving ----------------------------------------------------------------------------------

    def _leave(self, caller: str, count: int = 1) -> None:
        left = self._of_caller[caller] - count
        if left:
            self._of_caller[caller] = left
        else:
            del self._of_caller[caller]

    def _forget(self) -> None:
        """Count no longer what is overdue."""
        order, under_way, last = self._order, self._under_way, self._clock() - FORGOTTEN
        while order:
            at, tx_id = order[0]
            found = under_way.get(tx_id)
            if found is not None and found[1] == at:
                if at > last:
                    return
                del under_way[tx_id]
                self._leave(found[0])
            order.popleft()
