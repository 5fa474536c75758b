"""What bad behaviour costs: a table of offences, scores that fade, bans that end and are remembered.

A score is the sum of the weights of a peer's offences, falling by `FADE_PER_SECOND`. At `BAN_SCORE` the peer is
banned, the longer the more often that happened. Peers are held to account by node id, and, because ids cost
nothing, their hosts as well, at a higher mark, so that one bad node behind a shared address does not
take the others along at once.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from p2p.identity import is_node_id, write_atomically
from p2p.offences import Offence

_log = logging.getLogger(__name__)

BAN_SCORE: Final = 100
HOST_BAN_SCORE: Final = 300
FADE_PER_SECOND: Final = 0.1
FIRST_BAN_SECONDS: Final = 600
LONGEST_BAN_SECONDS: Final = 24 * 3600
TRUSTED_BAN_SECONDS: Final = 30
"""A ban of a peer that the operator named (persistent): short, because he vouches for it."""
MAX_SCORES: Final = 4_096
MAX_BANS: Final = 4_096
MAX_FILE_SIZE: Final = 2 * 1024 * 1024
SCHEMA_VERSION: Final = 1


WEIGHTS: Final[dict[Offence, int]] = {
    Offence.MALFORMED: 60,
    Offence.OVERSIZED: 60,
    Offence.UNSOLICITED: 26,
    Offence.UNDELIVERED: 5,
    Offence.UNRESPONSIVE: 11,
    Offence.FALSE_CONTENT: 60,
    Offence.INVALID_SIGNATURE: 60,
    Offence.INVALID_TRANSACTION: 6,
    Offence.INVALID_CONSENSUS: 36,
    Offence.FLOOD: 6,
    Offence.FALSE_CLAIM: 26,
    Offence.HANDSHAKE: 20,
    Offence.WRONG_NETWORK: 5,
    Offence.BROKEN_FRAME: 60,
    Offence.WRONG_CHANNEL: 60,
}
"""Points of an offence. Of what can only be malice, two within some minutes ban; what a slow or restarted node does
too weighs little."""


class Ban(NamedTuple):
    """Until when (seconds since 1970), why, and the ordinal number of it."""

    until: int
    reason: str
    times: int


class Scores:
    """Scores and bans by key: a node id, or `host:` and a host.

    `clock` gives seconds since 1970. `path` keeps the bans across restarts; without one they are forgotten.
    """

    def __init__(self, clock: Callable[[], float], path: Path | None = None) -> None:
        self._clock = clock
        self._path = path
        self._scores: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._bans: OrderedDict[str, Ban] = OrderedDict()
        self._dirty = False
        if path is not None:
            self._load(path)

    def score(self, key: str) -> float:
        """The faded score, 0 for who did nothing."""
        value, since = self._scores.get(key, (0.0, 0.0))
        return max(0.0, value - (self._clock() - since) * FADE_PER_SECOND)

    def add(self, key: str, offence: Offence, *, trusted: bool = False) -> Ban | None:
        """Count an offence; the ban it led to, if any.

        Who is banned already pays no more: what was on its way when the ban came must not make a day of ten minutes.
        """
        if self.banned(key) is not None:
            return None
        value = self.score(key) + WEIGHTS[offence]
        limit = HOST_BAN_SCORE if key.startswith("host:") else BAN_SCORE
        if value >= limit:
            self._scores.pop(key, None)
            return self.ban(key, offence.value, trusted=trusted)
        self._scores[key] = (value, self._clock())
        self._scores.move_to_end(key)
        if len(self._scores) > MAX_SCORES:
            self._scores.popitem(last=False)
        return None

    def ban(self, key: str, reason: str, *, trusted: bool = False, seconds: int | None = None) -> Ban:
        """Ban `key`, twice as long as the last time unless `seconds` says how long."""
        earlier = self._bans.get(key)
        count = (earlier.times if earlier else 0) + 1
        if seconds is None:
            seconds = (
                TRUSTED_BAN_SECONDS
                if trusted
                else min(FIRST_BAN_SECONDS << min(count - 1, 16), LONGEST_BAN_SECONDS)
            )
        ban = self._bans[key] = Ban(int(self._clock()) + seconds, reason[:64], count)
        self._bans.move_to_end(key)
        if len(self._bans) > MAX_BANS:
            self._bans.popitem(last=False)
        self._dirty = True
        return ban

    def banned(self, key: str) -> Ban | None:
        """The ban in force, or None. An ended one is kept a while, for its count."""
        ban = self._bans.get(key)
        return ban if ban is not None and ban.until > self._clock() else None

    def unban(self, key: str | None = None) -> int:
        """End the ban of `key`, or all; how many ended. Their scores and counts are forgotten."""
        keys = list(self._bans) if key is None else [key]
        ended = 0
        for one in keys:
            self._scores.pop(one, None)
            if self._bans.pop(one, None) is not None:
                ended += 1
                self._dirty = True
        return ended

    def bans(self) -> dict[str, Ban]:
        """All bans in force."""
        now = self._clock()
        return {key: ban for key, ban in self._bans.items() if ban.until > now}

    # -- file ------------------------------------------------------------------------------

    def take_dirty(self) -> bytes | None:
        """The file's bytes if bans changed since the last call, else None."""
        if not self._dirty or self._path is None:
            return None
        self._dirty = False
        now = self._clock()
        kept = {key: list(ban) for key, ban in self._bans.items() if ban.until > now - LONGEST_BAN_SECONDS}
        return (json.dumps({"schema_version": SCHEMA_VERSION, "bans": kept}, indent=1) + "\n").encode()

    def save(self, data: bytes) -> None:
        """Write what `take_dirty` gave; for a worker thread. A full disk costs the memory of bans, no more."""
        assert self._path is not None
        try:
            write_atomically(self._path, data, mode=0o600)
        except OSError as error:
            _log.warning("bans not saved: %s", error)

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
            fields = json.loads(data) if len(data) <= MAX_FILE_SIZE else None
            if type(fields) is not dict or fields.get("schema_version") != SCHEMA_VERSION:
                raise ValueError("not a file of bans")
            for key, ban in list(fields["bans"].items())[-MAX_BANS:]:
                until, reason, count = ban
                if type(until) is not int or type(reason) is not str or type(count) is not int or count < 1:
                    raise ValueError("not a ban")
                if is_node_id(key) or key.startswith("host:"):
                    latest = int(self._clock()) + LONGEST_BAN_SECONDS
                    self._bans[key[:80]] = Ban(min(until, latest), reason[:64], min(count, 64))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._bans.clear()
            _log.warning("bans not read, starting with none: %s", error)
