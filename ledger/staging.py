"""A block between its execution and the disk: prepared, staged, under way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import eq
from typing import Final, TypedDict

from ledger.backend import Backend, Batch, Cursor
from ledger.keys import LATEST_VERSION, NODE, ROOT, VALUE, VERSION_SIZE, version_key
from ledger.meta import Meta
from ledger.moments import Exact
from ledger.state import Value
from ledger.tree_nodes import pack_ref
from ledger.tree_update import TreeUpdate
from qenex.block import Commit, Event, Header, Validator
from qenex.errors import MalformedBytes

SLICE: Final = 1_000
"""Changed values encoded in one step of `draft_in_steps`: about 3 ms."""

Feed = Callable[[Collection[bytes], Collection[bytes | None]], None]
"""Takes state keys and, in the same order, their new encoded values (None: deleted)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The state after a block without its tree."""

    height: int
    values: Sequence[tuple[bytes, bytes | None, bytes | None]]
    """(key, new, old) encoded, of what really differs; None for absent."""
    changes: Mapping[bytes, Value | None]

    def prepared(self, tree: TreeUpdate) -> Prepared:
        """With its tree. Raises ValueError for one of another height."""
        if tree.version != self.height or tree.base_version not in (None, self.height - 1):
            raise ValueError(f"a tree of version {tree.version} is none of height {self.height}")
        return Prepared(self.height, self.values, self.changes, tree)


@dataclass(frozen=True)
class Prepared:
    """The state after a block, computed and not written. Dropping it undoes it."""

    height: int
    values: Sequence[tuple[bytes, bytes | None, bytes | None]]
    """As in `Draft`."""
    changes: Mapping[bytes, Value | None]
    tree: TreeUpdate

    @cached_property
    def new(self) -> dict[bytes, bytes | None]:
        """New encoded values by key: made when a value is read from the store while the block's write is under way."""
        return {key: new for key, new, _ in self.values}

    @property
    def root(self) -> bytes:
        """State root after `height`."""
        return self.tree.root


def draft_in_steps(
    height: int,
    changes: Mapping[bytes, Value | None],
    replaced: Mapping[bytes, Value | None] | None,
    stored: Callable[[Sequence[bytes]], Sequence[bytes | None]] | None,
    codecs: Mapping[bytes, Exact],
    feed: Feed,
) -> Generator[None, None, Draft]:
    """Encode what changed, in slices: the hot part of a commit.

    `replaced` are the values before, of the same keys in the same order: they are encoded again, for that takes a third of a
    look-up of bytes kept in memory. Without them, and for collections that hold records of an older schema, the old bytes
    come from `stored`; None: there are none. `codecs` by the first two bytes of a key. Raises MalformedBytes for a key no
    module declares, ValueTooLarge, StorageFault; ValueError for `replaced` of other keys.
    """
    keys, values = list(changes), list(changes.values())
    images = None if replaced is None else list(replaced.values())
    if replaced is not None and keys != list(replaced):
        raise ValueError("what is replaced is not of the keys that change")
    encoders = {prefix: codec.encode for prefix, codec in codecs.items()}
    records: list[tuple[bytes, bytes | None, bytes | None]] = []
    for start in range(0, len(keys), SLICE):
        part = keys[start : start + SLICE]
        new = _encoded(part, values[start : start + SLICE], encoders)
        old: Sequence[bytes | None]
        if stored is None:
            old = [None] * len(part)
        elif images is None:
            old = stored(part)
        else:
            before = images[start : start + SLICE]
            older = {prefix for prefix, codec in codecs.items() if codec.otherwise}
            read = {key: at for at, key in enumerate(part) if key[:2] in older} if older else {}
            for at in read.values():
                before[at] = None
            old = _encoded(part, before, encoders)
            if read:
                for at, data in zip(read.values(), stored(list(read)), strict=True):
                    old[at] = data
        if any(map(eq, new, old)):
            changed = [record for record in zip(part, new, old, strict=True) if record[1] != record[2]]
            part, new = [record[0] for record in changed], [record[1] for record in changed]
            records += changed
        else:
            records += zip(part, new, old, strict=True)
        feed(part, new)
        yield
    if len(records) != len(keys):
        changes = {key: changes[key] for key, _, _ in records}
    return Draft(height, records, changes)


def _encoded(
    keys: Sequence[bytes], values: Sequence[Value | None], encoders: Mapping[bytes, Callable[[Value], bytes]]
) -> list[bytes | None]:
    try:
        return [
            None if value is None else encoders[key[:2]](value)
            for key, value in zip(keys, values, strict=True)
        ]
    except KeyError:
        for key, value in zip(keys, values, strict=True):
            if value is not None and key[:2] not in encoders:
                raise MalformedBytes(f"no module declares state collection 0x{key[:2].hex()}") from None
        raise


class BlockParts(TypedDict):
    """What `commit` writes besides the state; events are those of the hooks."""

    block_bytes: bytes
    block_hash: bytes
    header: Header
    seen_commit: Commit
    tx_ids: Sequence[bytes]
    receipts: Sequence[bytes]
    begin_events: Sequence[Event]
    end_events: Sequence[Event]
    results_root: bytes
    validators: Sequence[Validator]
    """The set of this height."""
    next_validators: Sequence[Validator]
    """The set of the next height."""


class Staged:
    """A block in a batch, and what readers need of it until it is durable."""

    __slots__ = ("_suffix", "batch", "header", "meta", "prepared", "written")

    def __init__(self, prepared: Prepared, batch: Batch, meta: Meta, header: Header | None) -> None:
        self.prepared = prepared
        self.batch = batch
        self.meta = meta
        self.header = header
        self.written = False
        self._suffix = version_key(prepared.height)

    def find(self, key: bytes) -> bytes | None:
        """A tree node, root or horizon of this block, by its key in the store."""
        if key[-VERSION_SIZE:] == self._suffix:
            tree = self.prepared.tree
            if key[:1] == NODE:
                return tree.records.get(key)
            if key[:1] == ROOT:
                return pack_ref(tree.ref)
        return self._suffix if key == LATEST_VERSION else None


class Ahead:
    """The store as the next block sees it: with the block whose write is under way. For the thread that executes.

    Reads go through cursors, one for each kind of key, that stay from one written block to the next: what they may
    not see yet is in `pending`. Whoever writes anything else calls `written`.
    """

    def __init__(self, store: Backend) -> None:
        self._store = store
        self._cursors: dict[bytes, Cursor] = {}
        self.pending: Staged | None = None

    def written(self) -> None:
        """The store has got something that is not in `pending`."""
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()

    def get(self, key: bytes, /) -> bytes | None:
        pending = self.pending
        if pending is not None and (record := pending.find(key)) is not None:
            return record
        return self._stored(key)

    def _stored(self, key: bytes) -> bytes | None:
        return self._cursor(key).get(key)

    def _cursor(self, key: bytes) -> Cursor:
        # The first two bytes are a level of the tree, or values of one module: keys that come in order, or lie close.
        cursor = self._cursors.get(key[:2])
        if cursor is None:
            cursor = self._cursors[key[:2]] = self._store.cursor()
        return cursor

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        if not keys:
            return []
        pending = self.pending
        if pending is None:
            return self._cursor(keys[0]).get_many(keys)
        found = [pending.find(key) for key in keys]
        older = [key for key, record in zip(keys, found, strict=True) if record is None]
        stored = iter(self._cursor(older[0]).get_many(older) if older else ())
        return [next(stored) if record is None else record for record in found]

    def value(self, key: bytes) -> bytes | None:
        """Return an encoded state value."""
        if self.pending is not None:
            newer = self.pending.prepared.new
            if key in newer:
                return newer[key]
        return self._stored(VALUE + key)

    def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return encoded state values; `keys` ascend: in order they cost half as much."""
        if not keys:
            return []
        stored = [VALUE + key for key in keys]
        found = self._cursor(stored[0]).get_many(stored)
        if self.pending is not None:
            newer = self.pending.prepared.new
            found = [newer.get(key, old) for key, old in zip(keys, found, strict=True)]
        return found

    def values_of(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`values` for keys in any order."""
        ascending = sorted(keys)
        found = dict(zip(ascending, self.values(ascending), strict=True))
        return [found[key] for key in keys]

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._store.iterate(start, stop, reverse=reverse)
