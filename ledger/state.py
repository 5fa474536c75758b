"""The layered state: transaction journal over block overlay over committed values.

Values live as decoded, immutable Python objects in the layers and are encoded once, at commit. Journal
and overlay share one dict with an undo log: a read costs one look-up whatever the depth of scopes, a
checkpoint is the length of a list, and the log holds the old images that the conservation check needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress, islice
from operator import eq
from typing import Any, Final, Protocol

from qenex.errors import MalformedBytes
from qenex.state_keys import ACCOUNT_RECORDS

Value = Any
"""A state value: int, bool, str, bytes, tuple or a record of these. Never mutable, never None."""


class _Missing:
    """Type of MISSING: no entry in this layer (None would say: deleted)."""

    __slots__ = ()


MISSING: Final = _Missing()


class ValueCodec(Protocol):
    """Encodes the values of one collection."""

    def encode(self, value: Value) -> bytes:
        """Canonical bytes of a value."""

    def decode(self, data: bytes) -> Value:
        """Value of canonical bytes. Raises MalformedBytes."""


StateCodecs = Mapping[bytes, ValueCodec]
"""Value codec by the first two bytes of a state key (module id, collection id)."""


class Readable(Protocol):
    """Any layer that can stand below a `State`."""

    def get(self, key: bytes) -> Value | None:
        """Value of a state key, or None."""

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Entries with start <= key < stop in key order."""


def codec_of(codecs: StateCodecs, key: bytes) -> ValueCodec:
    """The codec of a key's collection. Raises MalformedBytes for a key no module declares."""
    codec = codecs.get(key[:2])
    if codec is None:
        raise MalformedBytes(f"no module declares state collection 0x{key[:2].hex()}")
    return codec


class View:
    """One committed version, read-only, decoded on demand. What queries and proofs stand on."""

    __slots__ = ("_codecs", "_get_bytes", "_iterate_bytes", "height")

    def __init__(
        self,
        height: int,
        get_bytes: Callable[[bytes], bytes | None],
        iterate_bytes: Callable[[bytes, bytes, bool], Iterator[tuple[bytes, bytes]]],
        codecs: StateCodecs,
    ) -> None:
        self.height = height
        self._get_bytes = get_bytes
        self._iterate_bytes = iterate_bytes
        self._codecs = codecs

    def get(self, key: bytes) -> Value | None:
        """Decoded value of a state key at this version, or None."""
        data = self._get_bytes(key)
        return None if data is None else codec_of(self._codecs, key).decode(data)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Decoded entries with start <= key < stop, in key order (or its reverse)."""
        for key, data in self._iterate_bytes(start, stop, reverse):
            yield key, codec_of(self._codecs, key).decode(data)


def newest(entries: dict[bytes, Any], capacity: int) -> dict[bytes, Any]:
    """The same entries, or the newer half of `capacity` where there are more than that."""
    if len(entries) <= capacity:
        return entries
    return dict(islice(entries.items(), len(entries) - (capacity + 1) // 2, None))


SAMPLED: Final = 16
"""Of so many keys to be loaded one is looked up first."""


class Committed:
    """Decoded objects of the newest version: a bounded cache over the store.

    Absence is cached too, so a key known absent is not probed again. With more than `capacity` entries the half that came
    first is dropped, however often it was used: what is used will be read once more, and until then a look-up is one look-up.

    `apply` makes a block's changes visible. With `durable=False` they are also held in memory until
    `settle`, so that the block may be written to disk by a thread while the next one executes: a read
    never reaches the store for a key whose write is under way.
    """

    __slots__ = (
        "_beside",
        "_capacity",
        "_codecs",
        "_collections",
        "_get_bytes",
        "_get_many_bytes",
        "_iterate_bytes",
        "_pending",
        "_values",
    )

    def __init__(
        self,
        get_bytes: Callable[[bytes], bytes | None],
        iterate_bytes: Callable[[bytes, bytes, bool], Iterator[tuple[bytes, bytes]]],
        codecs: StateCodecs,
        *,
        capacity: int = 400_000,
        get_many_bytes: Callable[[Sequence[bytes]], list[bytes | None]] | None = None,
    ) -> None:
        self._get_bytes = get_bytes
        self._get_many_bytes = get_many_bytes or (lambda keys: [get_bytes(key) for key in keys])
        self._iterate_bytes = iterate_bytes
        self._codecs = codecs
        self._capacity = capacity
        self._values: dict[bytes, Value | None] = {}
        self._pending: Mapping[bytes, Value | None] = {}
        self._beside: Collection[bytes] | None = None
        self._collections: dict[bytes, list[bytes]] | None = None
        """Pending keys but those of accounts by their first two bytes, once somebody has asked."""

    def get(self, key: bytes) -> Value | None:
        """Decoded value of a state key in the newest version, or None."""
        try:
            return self._values[key]
        except KeyError:  # costs as much as ten look-ups, and a tenth of a read
            pass
        value = self._pending.get(key, MISSING)
        if value is MISSING:
            data = self._get_bytes(key)
            value = None if data is None else codec_of(self._codecs, key).decode(data)
        self._values[key] = value
        self._values = newest(self._values, self._capacity)
        return value

    def load(self, keys: Sequence[bytes]) -> None:
        """Read together what will be asked for soon: in key order, and apart from other work, a read from disk costs half.

        Some thousand keys at a time. Of many keys a sample is looked up first: where it is in memory nothing is read, and the
        few that may be missing are read when they are asked for.
        """
        if len(keys) >= 4 * SAMPLED and not set(keys[::SAMPLED]).difference(self._values):
            return
        missing = set(keys).difference(self._values)
        if not missing:
            return
        asked = sorted(missing.difference(self._pending))
        for key, data in zip(asked, self._get_many_bytes(asked), strict=True):
            self._values[key] = None if data is None else codec_of(self._codecs, key).decode(data)
        self._values = newest(self._values, self._capacity)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Decoded entries with start <= key < stop, in key order (or its reverse)."""
        stored = (
            (key, codec_of(self._codecs, key).decode(data))
            for key, data in self._iterate_bytes(start, stop, reverse)
        )
        keys = self._pending_between(start, stop)
        return merge_layers(stored, keys, self._pending, start, stop, reverse=reverse)

    def _pending_between(self, start: bytes, stop: bytes) -> Collection[bytes]:
        """The pending keys of the collection in which `start` and `stop` lie, or all if they lie in several.

        A block of transfers has ten thousand, and asks several times for the few that are none of them.
        """
        after = int.from_bytes(start[:2], "big") + 1
        if not self._pending or len(start) < 2 or after > 0xFFFF or stop > after.to_bytes(2, "big"):
            return self._pending
        if start[:2] == ACCOUNT_RECORDS:  # nearly all keys of a block, and asked by queries alone
            return self._pending
        if self._collections is None:
            self._collections = {}
            beside = self._beside
            if beside is None:
                beside = [key for key in self._pending if key[:2] != ACCOUNT_RECORDS]
            for key in beside:
                self._collections.setdefault(key[:2], []).append(key)
        return self._collections.get(start[:2], ())

    def apply(
        self,
        changes: Mapping[bytes, Value | None],
        *,
        durable: bool = True,
        beside: Collection[bytes] | None = None,
    ) -> None:
        """Make a block's changes the newest version. See the class for `durable`.

        `beside` are the keys of `changes` that are of no account record, and maybe more, if the caller knows them.
        """
        self._values.update(changes)
        self._values = newest(self._values, self._capacity)
        if not durable:
            # One block is under way at a time: its changes are held as they are, not copied.
            self._beside = None if self._pending else beside
            self._pending = {**self._pending, **changes} if self._pending else changes
            self._collections = None

    def settle(self) -> None:
        """All changes applied so far are in the store now."""
        self._pending = {}
        self._beside = self._collections = None


def merge_layers(
    below: Iterator[tuple[bytes, Value]],
    keys: Collection[bytes],
    values: Mapping[bytes, Value | None],
    start: bytes,
    stop: bytes,
    *,
    reverse: bool,
) -> Iterator[tuple[bytes, Value]]:
    """Ordered union of a lower layer and changed `keys` whose newer `values` win; None deletes."""
    changed = sorted((key for key in keys if start <= key < stop), reverse=reverse)
    at = 0
    for key, value in below:
        while at < len(changed) and (changed[at] > key if reverse else changed[at] < key):
            newer = values.get(changed[at], MISSING)
            if newer is not None and newer is not MISSING:
                yield changed[at], newer
            at += 1
        if at < len(changed) and changed[at] == key:
            at += 1
            newer = values.get(key, MISSING)
            if newer is not MISSING:
                value = newer
            if value is None:
                continue
        yield key, value
    for key in changed[at:]:
        newer = values.get(key, MISSING)
        if newer is not None and newer is not MISSING:
            yield key, newer


class State:
    """Working state of one block (or of a check, or of a query): a journal over a base.

    `on_create` is called with key and value before an entry that did not exist is written: the machine
    charges gas there, and may raise.
    """

    __slots__ = ("_base", "_base_get", "_images", "_ordered", "_undo", "_values", "on_create", "written")

    def __init__(self, base: Readable) -> None:
        self.on_create: Callable[[bytes, Value], None] | None = None
        self.reset(base)

    def reset(self, base: Readable) -> None:
        """Forget all changes and stand on `base`."""
        self._base = base
        self._base_get = base.get
        self._values: dict[bytes, Value | None] = {}
        self.written: Callable[[bytes], Value | None] = self._values.get
        """The value written here, None if the base's shows through (or the key was deleted). The dict's own
        method: six calls a transfer."""
        # (key, what stood here before or MISSING, what a read returned before): each write, undone backwards.
        self._undo: list[tuple[bytes, Value | None, Value | None]] = []
        # The base's value of each written key, as its first write saw it.
        self._images: dict[bytes, Value | None] = {}
        self._ordered: dict[bytes, dict[bytes, None]] = {}

    def get(self, key: bytes) -> Value | None:
        """Value of a state key as this scope sees it, or None."""
        value = self._values.get(key, MISSING)
        return self._base_get(key) if value is MISSING else value

    def set(self, key: bytes, value: Value | None) -> None:
        """Write or (None) delete. A write of an equal value is none."""
        values = self._values
        old = values.get(key, MISSING)
        before = self._base_get(key) if old is MISSING else old
        if before == value:
            return
        if before is None and self.on_create is not None:
            self.on_create(key, value)
        if old is MISSING:
            self._images[key] = before
        self._undo.append((key, old, before))
        values[key] = value

    def replace(self, key: bytes, before: Value, value: Value) -> None:
        """`set` where `before` was just read, is not None, and differs: half its time, for every transfer."""
        values = self._values
        old = values.get(key, MISSING)
        if old is MISSING:
            self._images[key] = before
        self._undo.append((key, old, before))
        values[key] = value

    def parts(
        self,
    ) -> tuple[dict[bytes, Value | None], dict[bytes, Value | None], Callable[[bytes], Value | None]]:
        """Written values, the base's images of them (in this order unless it has changed), and the base's `get`, until the next
        `reset` or `rebase`.

        For who writes what is never undone, outside of any scope: the value, and with a key's first write its image.
        """
        return self._values, self._images, self._base_get

    def set_ordered(self, key: bytes, value: Value | None) -> None:
        """`set` for a collection that `iterate` pages through."""
        if key not in self._values:
            self._ordered.setdefault(key[:2], {})[key] = None
        self.set(key, value)

    def replace_ordered(self, key: bytes, before: Value, value: Value) -> None:
        """`replace` for a collection that `iterate` pages through."""
        values = self._values
        old = values.get(key, MISSING)
        if old is MISSING:
            self._images[key] = before
            self._ordered.setdefault(key[:2], {})[key] = None
        self._undo.append((key, old, before))
        values[key] = value

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Entries with start <= key < stop of one ordered collection. Make a list before writing."""
        changed = self._ordered.get(start[:2], {})
        below = self._base.iterate(start, stop, reverse=reverse)
        return merge_layers(below, changed, self._values, start, stop, reverse=reverse)

    def mark(self) -> int:
        """A checkpoint: pass it to `revert` or `touched`."""
        return len(self._undo)

    def revert(self, mark: int) -> None:
        """Undo every write since `mark`."""
        undo, values, images = self._undo, self._values, self._images
        while len(undo) > mark:
            key, old, _ = undo.pop()
            if old is MISSING:
                del values[key]
                images.pop(key, None)
            else:
                values[key] = old

    def touched(self, mark: int) -> dict[bytes, Value | None]:
        """Old image (before `mark`) of every key written since, in order of first write.

        A key written back to its old value is among them.
        """
        images: dict[bytes, Value | None] = {}
        for key, _, before in self._undo[mark:]:
            if key not in images:
                images[key] = before
        return images

    def writes(self, mark: int) -> list[tuple[bytes, Value | None]]:
        """Key and old image of each write since `mark`, in order: a key written twice is there twice."""
        return [(key, before) for key, _, before in self._undo[mark:]]

    def rebase(self, base: Readable) -> None:
        """Keep the written values and stand on a newer base."""
        self._base = base
        self._base_get = base.get
        self._images = {}
        self._undo.clear()

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget written values: the base's show through again. Only outside of any scope."""
        self._undo.clear()
        values, images = self._values, self._images
        for key in keys:
            if key in values:
                del values[key]
                images.pop(key, None)

    def settle(self) -> None:
        """End of all scopes: what was written can no longer be undone."""
        self._undo.clear()

    def images(self) -> dict[bytes, Value | None]:
        """The base's value of every key that stands written now."""
        values, images, base_get = self._values, self._images, self._base_get
        if len(images) == len(values):  # unless the base has changed meanwhile
            return images
        return {key: images[key] if key in images else base_get(key) for key in values}

    def changes(self, images: Mapping[bytes, Value | None] | None = None) -> dict[bytes, Value | None]:
        """What differs from the base now, by key; None where a key was deleted.

        `images` are those of `images()`, if the caller has them.
        """
        old = self.images() if images is None else images
        written = self._values
        changes = written.copy()
        for key in list(compress(written, map(eq, written.values(), old.values()))):  # few, or none
            del changes[key]
        return changes


class EmptyBase:
    """Nothing at all: the base of a genesis import."""

    __slots__ = ()

    def get(self, key: bytes) -> None:
        """Always None."""
        return

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Value]]:
        """Nothing."""
        return iter(())
