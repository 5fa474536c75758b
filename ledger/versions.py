"""State values at every kept version, the latest at the price of one point read.

`S | key` holds the latest value. A version (block height) that changes a key first
saves what it replaces at `H | key | version`; so the value at version v is the first
history entry above v, and without one the latest. A list per version of the keys it
changed makes pruning a bounded walk. With no pruning this is an archive.

State keys inside history keys are escaped (00 -> 00FF, end 0000), which keeps their
order and makes none a prefix of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

import msgpack

from ledger.backends.base import Batch, Reader, StorageFault
from ledger.keys import (
    CHANGED,
    CHUNK,
    HISTORY,
    LATEST_VERSION,
    OLDEST_VERSION,
    VALUE,
    VERSION_SIZE,
    chunk_key,
    prefix_end,
    version_key,
)
from qenex.errors import NotFound, Pruned

_ABSENT = b"\x00"
_PRESENT = b"\x01"
_END = b"\x00\x00"


def history_stem(key: bytes) -> bytes:
    """Return the history key of a state key, without version."""
    return HISTORY + key.replace(b"\x00", b"\x00\xff") + _END


class Versions:
    """Reads values from a store or a snapshot of it; stages new versions into a batch.

    Reading at a version takes several look-ups: give it a `ReadView` when blocks may be
    written meanwhile.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._get = reader.get

    # -- reading ---------------------------------------------------------------------------

    def latest_version(self) -> int | None:
        """Return the version written last, None in an empty store."""
        record = self._get(LATEST_VERSION)
        return None if record is None else int.from_bytes(record, "big")

    def oldest_version(self) -> int | None:
        """Return the oldest readable version, None in an empty store."""
        record = self._get(OLDEST_VERSION)
        return None if record is None else int.from_bytes(record, "big")

    def get(self, key: bytes) -> bytes | None:
        """Return the latest value."""
        return self._get(VALUE + key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the latest values."""
        return self._reader.get_many([VALUE + key for key in keys])

    def get_at(self, key: bytes, version: int) -> bytes | None:
        """Return the value at `version`. Raises Pruned, NotFound (a future version), StorageFault."""
        if self._check(version):
            return self._get(VALUE + key)
        stem = history_stem(key)
        for _, record in self._reader.iterate(stem + version_key(version + 1), prefix_end(stem)):
            return _old_image(record)
        return self._get(VALUE + key)

    def iterate(
        self, start: bytes, stop: bytes, version: int | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of start <= key < stop in key order at `version` (None: the latest).

        Raises Pruned, NotFound, StorageFault.
        """
        latest = self._reader.iterate(VALUE + start, VALUE + stop, reverse=reverse)
        if version is None or self._check(version):
            for stored, value in latest:
                yield stored[1:], value
            return
        # Two ordered streams: latest values, and the images of keys changed after `version`.
        images = self._images(start, stop, version, reverse)
        old = next(images, None)
        for stored, value in latest:
            key = stored[1:]
            while old is not None and (old[0] > key if reverse else old[0] < key):
                if old[1] is not None:  # deleted since
                    yield old[0], old[1]
                old = next(images, None)
            if old is None or old[0] != key:
                yield key, value
                continue
            if old[1] is not None:
                yield key, old[1]
            old = next(images, None)
        while old is not None:
            if old[1] is not None:
                yield old[0], old[1]
            old = next(images, None)

    def _images(
        self, start: bytes, stop: bytes, version: int, reverse: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield (key, value at `version`) of every key in range changed after `version`, in order."""
        low = HISTORY + start.replace(b"\x00", b"\x00\xff")
        high = HISTORY + stop.replace(b"\x00", b"\x00\xff")
        current: bytes | None = None
        image: bytes | None = None
        for stored, record in self._reader.iterate(low, high, reverse=reverse):
            if int.from_bytes(stored[-VERSION_SIZE:], "big") <= version:
                continue
            escaped = stored[1 : -VERSION_SIZE - len(_END)]
            if escaped == current:
                if reverse:  # the entry nearest above `version` comes last
                    image = record
                continue
            if current is not None and image is not None:
                yield current.replace(b"\x00\xff", b"\x00"), _old_image(image)
            current, image = escaped, record
        if current is not None and image is not None:
            yield current.replace(b"\x00\xff", b"\x00"), _old_image(image)

    def _check(self, version: int) -> bool:
        """Return whether `version` is the latest. Raises Pruned or NotFound."""
        oldest, latest = self._reader.get_many((OLDEST_VERSION, LATEST_VERSION))
        if oldest is None or latest is None or version < 0:
            raise NotFound(f"there is no state version {version}")
        if version < int.from_bytes(oldest, "big"):
            raise Pruned(f"state version {version} is no longer kept")
        newest = int.from_bytes(latest, "big")
        if version > newest:
            raise NotFound(f"there is no state version {version} yet")
        return version == newest

    # -- writing ---------------------------------------------------------------------------

    def stage(
        self, batch: Batch, version: int, changes: Sequence[tuple[bytes, bytes | None, bytes | None]]
    ) -> None:
        """Put version `version` into `batch`: `changes` are (key, new, old), None for absent, each key once.

        `old` must be the value at the version before: what history will say for ever.
        Call it for every version, also one without changes. The first version of a store
        may have any height and no history; each later one is the previous plus one.
        Raises ValueError for another version.
        """
        previous = self.latest_version()
        put, delete = batch.put, batch.delete
        suffix = _END + version_key(version)
        put(LATEST_VERSION, version_key(version))
        if previous is None:
            put(OLDEST_VERSION, version_key(version))
        elif version != previous + 1:
            raise ValueError(f"version {version} does not follow {previous}")
        changes = sorted(changes, key=itemgetter(0))
        for key, new, old in changes:
            if new is None:
                delete(VALUE + key)
            else:
                put(VALUE + key, new)
            if previous is not None:
                put(
                    HISTORY + key.replace(b"\x00", b"\x00\xff") + suffix,
                    _ABSENT if old is None else _PRESENT + old,
                )
        if previous is not None:
            keys = [change[0] for change in changes]  # in order, as `prune` deletes them
            for chunk in range(0, len(keys), CHUNK):
                put(chunk_key(CHANGED, version, chunk // CHUNK), msgpack.packb(keys[chunk : chunk + CHUNK]))

    def prune(self, batch: Batch, below: int, limit: int) -> int:
        """Delete, into `batch`, about `limit` history records that only versions below `below` need.

        Those versions are unreadable from this batch on. Returns the number of deletions;
        below `limit` means that all is done. Deletes whole lists of up to 1,024 keys, so
        it may exceed `limit` by one list. The latest version always stays.
        """
        oldest, latest = self.oldest_version(), self.latest_version()
        if oldest is None or latest is None:
            return 0
        horizon = min(max(below, oldest), latest)
        if horizon != oldest:
            batch.put(OLDEST_VERSION, version_key(horizon))
        done = 0
        for stored, record in self._reader.iterate(
            chunk_key(CHANGED, 0, 0), chunk_key(CHANGED, horizon + 1, 0)
        ):
            if done >= limit:
                break
            suffix = _END + stored[1 : 1 + VERSION_SIZE]
            keys: list[bytes] = msgpack.unpackb(record)
            batch.delete_many(HISTORY + key.replace(b"\x00", b"\x00\xff") + suffix for key in keys)
            batch.delete(stored)
            done += len(keys) + 1
        return done


def _old_image(record: bytes) -> bytes | None:
    if record == _ABSENT:
        return None
    if record[:1] != _PRESENT:
        raise StorageFault("a history record is damaged")
    return record[1:]
