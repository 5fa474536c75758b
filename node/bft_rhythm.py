"""The engine's time: when there is a reason to propose, and the timeouts that count from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consensus.events import StartTimeout, Step
from node.bft_options import EngineOptions
from node.bft_pace import Pace
from node.bft_timers import Timers


class Rhythm:
    """Joins `Pace` and `Timers`. `waiting` counts what could be proposed, `coming` what is being verified; `fire` is told of a timeout
    that is over."""

    def __init__(
        self,
        options: EngineOptions,
        waiting: Callable[[], int],
        coming: Callable[[], int],
        now: Callable[[], float],
        fire: Callable[[int, int, Step], None],
    ) -> None:
        self._timeouts = options.timeouts
        self._fire = fire
        self.pace = Pace(options.intervals, waiting, coming, now)
        self._timers = Timers(self._over)
        self._reason = asyncio.Event()
        self._awake = False
        """Whether a wake has been looked at in this height: thousands come a second."""
        self._look_again: asyncio.TimerHandle | None = None
        self._running = False

    def begin(self) -> None:
        """A height begins."""
        self._running = True
        self._reason.clear()
        self._awake = False
        self._look()

    def stop(self) -> None:
        """The height is decided, or the engine goes no further."""
        self._running = False
        self._timers.clear()
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def wake(self) -> None:
        """Something to propose has come."""
        self.pace.admitted()
        if not self._awake:
            self._awake = True
            self._look()

    def others_act(self) -> None:
        """Somebody proposed or voted at this height, or a round of it has failed."""
        if not self._reason.is_set():
            self.pace.others_act()
            self._look()

    async def reason(self) -> None:
        """Wait for a reason to propose."""
        await self._reason.wait()

    def attempt_was_empty(self) -> None:
        """What was the reason cannot stand in a block now, and nobody else waits for one."""
        self.pace.attempt_was_empty()
        self._reason.clear()
        self._awake = False
        self._look()

    def start_timeout(self, action: StartTimeout) -> None:
        """Begin to count; for the first proposal of a height not before there is a reason for one."""
        place = (action.height, action.round, action.step)
        seconds = self._timeouts.seconds(action.step, action.round)
        if action.step is Step.PROPOSE and action.round == 0 and not self._reason.is_set():
            self._timers.hold(place, seconds)
        else:
            self._timers.start(place, seconds)

    def _look(self) -> None:
        """See whether there is a reason; if not, look again when time may bring one."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        if not self._running or self._reason.is_set():
            return
        left = self.pace.seconds_left()
        if left <= 0:
            self._reason.set()
            self._timers.release()
        else:
            self._look_again = asyncio.get_running_loop().call_later(left, self._look)

    def _over(self, height: int, round: int, step: int) -> None:
        self._fire(height, round, Step(step))
