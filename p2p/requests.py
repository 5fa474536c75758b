"""Questions to peers that wait for their answers: numbered, bounded for each peer, with a deadline. Pure logic.

An answer counts only if it has the number of a question that this very peer was asked, and is of its kind; anything
else is unsolicited and is refused before it is decoded. Whoever does not answer in time is slow; after `MAX_SLOW` in a
row a peer is asked nothing for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from p2p.channels import Channel
from p2p.offences import Offence
from p2p.sync_messages import ANSWERS, SyncMessage, encode_sync, read_head

MAX_SLOW: Final = 3
"""Questions in a row without an answer."""
REST_SECONDS: Final = 30.0
"""A peer that was too slow so often is asked nothing for so long."""
LATE_KEPT: Final = 64
"""Questions that were given up, whose answers are no offence if they come after all."""

Key = TypeVar("Key")
Send = Callable[[str, Channel, bytes], bool]
Punish = Callable[[str, Offence, str], None]
Now = Callable[[], float]


class Asked(NamedTuple, Generic[Key]):
    """A question under way; `key` is what its asker knows it by."""

    peer: str
    kind: type
    key: Key
    deadline: float


class Requests(Generic[Key]):
    """See the module. One for each channel and asker."""

    def __init__(self, channel: Channel, send: Send, punish: Punish, now: Now, *, per_peer: int) -> None:
        self._channel = channel
        self._send = send
        self._punish = punish
        self._now = now
        self._per_peer = per_peer
        self._last = 0
        self._open: dict[int, Asked[Key]] = {}
        self._count: dict[str, int] = {}
        self._slow: dict[str, int] = {}
        self._resting: dict[str, float] = {}
        self._late: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def asked(self) -> list[Asked[Key]]:
        """Questions under way."""
        return list(self._open.values())

    def room(self, peer: str) -> int:
        """How many more questions this peer may be asked now."""
        return 0 if self.rests(peer) else self._per_peer - self._count.get(peer, 0)

    def rests(self, peer: str) -> bool:
        """Whether a peer was too slow so often that it is asked nothing now."""
        return self._resting.get(peer, 0.0) > self._now()

    def rank(self, peer: str) -> tuple[int, int]:
        """Sorts peers: those that did not answer lately last, then those with the most room first."""
        return self._slow.get(peer, 0), -self.room(peer)

    def ask(self, peer: str, question: SyncMessage, key: Key, seconds: float) -> bool:
        """Ask; False if the peer has no room, or cannot be sent to now."""
        if self.room(peer) <= 0:
            return False
        self._last = self._last % 0xFFFFFFFF + 1
        if not self._send(peer, self._channel, encode_sync(question, self._last)):
            return False
        self._open[self._last] = Asked(peer, type(question), key, self._now() + seconds)
        self._count[peer] = self._count.get(peer, 0) + 1
        return True

    def answered(self, peer: str, payload: bytes) -> Asked[Key] | None:
        """The question that an answer from `peer` belongs to; None, and an offence, for what was not asked for.

        Only the first bytes of the payload are looked at. Raises MalformedBytes, TooLarge.
        """
        tag, number = read_head(self._channel, payload)
        asked = self._open.get(number)
        if asked is None or asked.peer != peer or asked.kind is not ANSWERS.get(tag):
            if self._late.pop((peer, number), None) != tag:
                self._punish(peer, Offence.UNSOLICITED, "an answer to nothing that was asked")
            return None
        self._close(number)
        self._slow.pop(peer, None)
        return asked

    def expired(self) -> list[Asked[Key]]:
        """Give up what was not answered in time; those questions."""
        now = self._now()
        gone = [number for number, asked in self._open.items() if asked.deadline <= now]
        found = []
        for number in gone:
            asked = self._close(number)
            self._expect_late(number, asked)
            found.append(asked)
            slow = self._slow.get(asked.peer, 0) + 1
            self._slow[asked.peer] = slow
            if slow >= MAX_SLOW:
                self._slow.pop(asked.peer)
                self._resting[asked.peer] = now + REST_SECONDS
                self._punish(
                    asked.peer, Offence.UNRESPONSIVE, f"{MAX_SLOW} questions without an answer in time"
                )
        return found

    def cancel(self, wanted: Callable[[Asked[Key]], bool]) -> None:
        """Give up some questions; their answers, if they come, are no offence."""
        for number in [number for number, asked in self._open.items() if wanted(asked)]:
            self._expect_late(number, self._close(number))

    def forget(self, peer: str) -> list[Asked[Key]]:
        """A peer has gone; what it was asked."""
        gone = [number for number, asked in self._open.items() if asked.peer == peer]
        found = [self._close(number) for number in gone]
        self._slow.pop(peer, None)
        for late in [late for late in self._late if late[0] == peer]:
            del self._late[late]
        return found

    @property
    def due(self) -> float | None:
        """When `expired` has something to do."""
        return min([asked.deadline for asked in self._open.values()], default=None)

    def _close(self, number: int) -> Asked[Key]:
        asked = self._open.pop(number)
        left = self._count[asked.peer] - 1
        if left:
            self._count[asked.peer] = left
        else:
            del self._count[asked.peer]
        return asked

    def _expect_late(self, number: int, asked: Asked[Key]) -> None:
        tags = {kind: tag for tag, kind in ANSWERS.items()}
        self._late[asked.peer, number] = tags[asked.kind]
        while len(self._late) > LATE_KEPT:
            del self._late[next(iter(self._late))]
