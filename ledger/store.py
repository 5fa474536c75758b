"""`Ledger`: the state at every kept height, its tree, and the blocks that led there.

A block is written in ONE synced batch: values, the images they replace, tree nodes,
block, receipts, index and meta record. So a crash leaves height H or H+1, never a
mixture. Memory moves after the disk: a StorageFault in `commit` changes nothing.

`commit` is `stage` (CPU), `write` (I/O, releases the GIL), then memory. A node may
overlap the write with the execution of the next block instead:

    staged = ledger.stage(prepared, ...)
    ledger.advance(staged)                          # memory: the next block executes on it
    await loop.run_in_executor(None, ledger.write, staged)    # while that happens
    ledger.settle(staged)                           # readers see it; the next one may advance

Between `advance` and `settle`, `committed`, `prepare` and `stage` take from memory what
the store may not hold yet; `view`, `prove` and `blocks` answer for what is durable. One
block may be under way at a time. `advance_values` goes before all of it, where the next
block is to be executed while the tree of the last one is computed. If that write fails, memory is ahead of the disk for
good: the ledger refuses everything further and the process has to end.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Unpack

from ledger.backend import (
    DEFAULT_CACHE_BYTES,
    Backend,
    BackendKind,
    Folder,
    StorageFault,
    look_into,
    open_backend,
)
from ledger.blocks import BlockStore
from ledger.check import check
from ledger.findings import CheckReport, OnProgress
from ledger.genesis import Genesis
from ledger.helpers import closing_on_error, run_steps
from ledger.meta import BASE_KEY, GENESIS_KEY, META_CODEC, SCHEMA, STATE_KEY, Meta, read_meta
from ledger.moments import Exact, Latest, Moment, Past, Stored
from ledger.opening import check_opening
from ledger.options import DEFAULT_OPTIONS, Options
from ledger.restore import under_way, wipe
from ledger.staging import Ahead, BlockParts, Draft, Feed, Prepared, Staged, draft_in_steps
from ledger.state import Committed, StateCodecs, Value, View
from ledger.tree import Tree
from ledger.tree_builder import TreeBase
from ledger.tree_search import Wanted
from ledger.tree_update import Entries, enter
from ledger.validator_sets import ValidatorSets
from ledger.versions import Versions
from qenex.block import Header, Validator, header_hash
from qenex.codec import encode
from qenex.errors import (
    DataFolderForeign,
    InvalidGenesis,
    NotFound,
    Pruned,
    WrongGenesis,
)
from qenex.proof import TreeProof, tree_path

Changed = Mapping[bytes, Value | None]
"""State values by key; None: there is none."""


class Ledger:
    """One chain's store. One writer; readers in any thread."""

    def __init__(
        self,
        store: Backend,
        codecs: StateCodecs,
        meta: Meta,
        options: Options,
        genesis: Genesis | None = None,
    ) -> None:
        """Use `create` or `open`."""
        self.store = store
        self.codecs = codecs
        self.options = options
        self._meta = meta
        self._rooted = meta  # of the last block whose tree is in memory: that one, or the one before
        self._durable = meta
        self._ahead = Ahead(store)
        self._tree = Tree(self._ahead, cache_bytes=options.tree_cache_bytes)
        self._versions = Versions(self._ahead)
        self._exact = {prefix: Exact(codec) for prefix, codec in codecs.items()}
        self._trusted: StateCodecs = {prefix: Stored(codec) for prefix, codec in codecs.items()}
        latest = Versions(store)
        self.committed = Committed(
            self._ahead.value,
            lambda start, stop, reverse: latest.iterate(start, stop, reverse=reverse),
            self._exact,
            capacity=options.capacity,
            get_many_bytes=self._ahead.values,
        )
        self.blocks = BlockStore(store, meta.initial_height)
        self._sets = ValidatorSets(store)
        self.initialised = genesis is None
        self.header: Header | None = None
        """Header of the last block; None before the first."""
        self._moment: Moment | None = None
        self._pruned: tuple[int, int] | None = None
        self._broken = False
        if genesis is not None:
            self.genesis = genesis

    # -- making and opening ------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: Folder,
        genesis: Genesis,
        *,
        codecs: StateCodecs,
        backend: BackendKind = "leveldb",
        options: Options = DEFAULT_OPTIONS,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Ledger:
        """Make a store for a new chain. Nothing but the folder exists until `initialise`.

        Raises DataFolderForeign where a chain is already, and what `open_backend` raises.
        """
        store = open_backend(backend, folder, cache_bytes=cache_bytes, create=True)
        return closing_on_error(store, lambda: cls.create_in(store, genesis, codecs=codecs, options=options))

    @classmethod
    def create_in(
        cls,
        store: Backend,
        genesis: Genesis,
        *,
        codecs: StateCodecs,
        options: Options = DEFAULT_OPTIONS,
        keep_restore: bool = False,
    ) -> Ledger:
        """`create` in an open store. An interrupted restoration in it is deleted, unless `keep_restore`."""
        if store.get(STATE_KEY) is not None:
            raise DataFolderForeign("this data folder holds a chain already; nothing was changed")
        if not keep_restore and under_way(
            store
        ):  # a snapshot's restoration was interrupted, and is not wanted any more
            wipe(store)
        start = Meta(
            schema=SCHEMA,
            chain_id=genesis.chain_id,
            genesis_hash=genesis.hash,
            initial_height=genesis.initial_height,
            height=genesis.initial_height - 1,
            tree_root=bytes(32),
            results_root=genesis.hash,
            block_hash=genesis.hash,
        )
        return cls(store, codecs, start, options, genesis)

    @classmethod
    def open(
        cls,
        folder: Folder,
        *,
        codecs: StateCodecs,
        genesis_hash: bytes | None = None,
        backend: BackendKind = "leveldb",
        options: Options = DEFAULT_OPTIONS,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Ledger:
        """Open the store of a chain, of the one with `genesis_hash` if it is given. Writes nothing of its own.

        Raises DataFolderMissing, WrongGenesis, DataFolderCorrupt, UnsupportedVersion, and
        what `open_backend` raises.
        """
        # Refused before the database library writes anything, which each does when it opens.
        store = open_backend(
            backend,
            folder,
            cache_bytes=cache_bytes,
            look=lambda store: cls.open_in(store, codecs=codecs, genesis_hash=genesis_hash),
        )
        return closing_on_error(
            store, lambda: cls.open_in(store, codecs=codecs, genesis_hash=genesis_hash, options=options)
        )

    @classmethod
    @contextmanager
    def inspect(
        cls, folder: Folder, *, codecs: StateCodecs, backend: BackendKind = "leveldb"
    ) -> Iterator[Ledger]:
        """Open a stopped chain's store for reads and `check` only. Nothing in the folder changes.

        Raises as `open`; DataFolderCorrupt also for what cannot be read later on.
        """
        with look_into(backend, folder) as store:
            yield cls.open_in(store, codecs=codecs)

    @classmethod
    def open_in(
        cls,
        store: Backend,
        *,
        codecs: StateCodecs,
        genesis_hash: bytes | None = None,
        options: Options = DEFAULT_OPTIONS,
    ) -> Ledger:
        """`open` in an open store."""
        meta = read_meta(store)
        if genesis_hash is not None and genesis_hash != meta.genesis_hash:
            raise WrongGenesis(
                f"the data folder holds chain {meta.chain_id!r} with genesis {meta.genesis_hash.hex()}, "
                f"the genesis asked for is {genesis_hash.hex()}"
            )
        ledger = cls(store, codecs, meta, options)
        ledger.header = check_opening(meta, store, ledger._versions, ledger._tree, ledger.blocks)
        return ledger

    def close(self) -> None:
        """Free the store. Views must not be used afterwards."""
        self._moment = None
        self._ahead.written()
        self.store.close()

    # -- where the chain is --------------------------------------------------------------------

    @cached_property
    def genesis(self) -> Genesis:
        """The whole genesis; read from the store when first asked for (1 s for 100,000 accounts)."""
        try:
            return Genesis.from_record(self.store.get(GENESIS_KEY) or b"")
        except InvalidGenesis as error:
            raise StorageFault(error.message) from None

    @property
    def genesis_hash(self) -> bytes:
        return self._meta.genesis_hash

    @property
    def chain_id(self) -> str:
        return self._meta.chain_id

    @property
    def initial_height(self) -> int:
        return self._meta.initial_height

    @cached_property
    def base_height(self) -> int:
        """Height of the oldest header kept: the chain's first, or that of the snapshot this store began with."""
        record = self.store.get(BASE_KEY)
        return self._meta.initial_height if record is None else int.from_bytes(record, "big")

    @property
    def height(self) -> int:
        """Last committed height; `initial_height` - 1 before the first block."""
        return self._meta.height

    @property
    def durable_height(self) -> int:
        """Last height on disk: `height`, or the one before while a write is under way."""
        return self._durable.height

    @property
    def tree_root(self) -> bytes:
        """Root of the state tree after `height`, also right after the genesis. ValueError where it is not known yet."""
        if self._rooted.height != self._meta.height:
            raise ValueError(f"the tree of block {self._meta.height} is still being computed")
        return self._rooted.tree_root

    @property
    def state_root(self) -> bytes:
        """What the next header carries: `tree_root`; before the first block the genesis hash."""
        root = self.tree_root
        return self.genesis_hash if self.height < self.initial_height else root

    @property
    def results_root(self) -> bytes:
        """What the next header carries: of block `height`; before the first block the genesis hash."""
        return self._meta.results_root

    @property
    def block_hash(self) -> bytes:
        """The next header's `parent_hash`: of block `height`; before the first block the genesis hash."""
        return self._meta.block_hash

    # -- the next block --------------------------------------------------------------------------

    def initialise(self, changes: Changed) -> bytes:
        """Write the genesis state as version `initial_height` - 1; return its root.

        Raises MalformedBytes for a key no module declares, StorageFault.
        """
        if self.initialised:
            raise ValueError("the genesis state is written once")
        prepared = run_steps(self._prepare(self._meta.height, None, changes))
        batch = self.store.batch()
        self._tree.apply(batch, prepared.tree)
        self._versions.stage(batch, prepared.height, prepared.values)
        meta = self._meta._replace(tree_root=prepared.root)
        batch.put(GENESIS_KEY, self.genesis.record)
        batch.put(STATE_KEY, META_CODEC.encode(meta))
        self.store.write(batch, sync=True)
        self.initialised = True
        self._move(Staged(prepared, batch, meta, None))
        return prepared.root

    def prepare(self, height: int, changes: Changed, replaced: Changed | None = None) -> Prepared:
        """Encode what changed and compute the tree of `height`, the next height. Writes nothing.

        `changes` by state key, None to delete; writes of equal values are dropped. `replaced` is what `committed` held of
        the same keys after the height before, in the same order; without it the store is read. Raises
        MalformedBytes for a key no module declares, ValueTooLarge, StorageFault; ValueError
        for another height, or for `replaced` of other keys.
        """
        return run_steps(self.prepare_in_steps(height, changes, replaced))

    def prepare_in_steps(
        self, height: int, changes: Changed, replaced: Changed | None = None
    ) -> Generator[None, None, Prepared]:
        """`prepare` in slices of a few milliseconds; the generator returns the Prepared."""
        return self._prepare(height, self._base_of(height), changes, replaced)

    def _base_of(self, height: int) -> int:
        if not self.initialised or height != self._rooted.height + 1:
            raise ValueError(f"height {height} does not follow {self._rooted.height}")
        return self._rooted.height

    def _prepare(
        self, height: int, base: int | None, changes: Changed, replaced: Changed | None = None
    ) -> Generator[None, None, Prepared]:
        entries: Entries = {}
        draft = yield from self._draft(height, base, changes, replaced, partial(enter, entries))
        if len(entries) != len(draft.values):
            raise ValueError("two state keys have one path")
        return draft.prepared((yield from self._tree.update_in_steps(height, base, entries)))

    # The same with the tree computed elsewhere: what it stands on, the values, the nodes it needs, what it became.

    def tree_base(self, height: int) -> TreeBase:
        """What the tree of `height`, the next height, is to be computed from. Raises ValueError for another height."""
        base = self._base_of(height)
        return TreeBase(height, base, self._tree.base(base))

    def draft_in_steps(
        self, height: int, changes: Changed, replaced: Changed | None, feed: Feed
    ) -> Generator[None, None, Draft]:
        """`prepare_in_steps` without the tree: `feed` gets each slice's keys and new encoded values. Raises as `prepare`."""
        return self._draft(height, self._base_of(height), changes, replaced, feed)

    def tree_nodes(self, wanted: Iterable[Wanted]) -> list[bytes]:
        """Nodes of the newest version as an update has them in memory. Raises StorageFault."""
        return self._tree.load_many(wanted)

    def _draft(
        self, height: int, base: int | None, changes: Changed, replaced: Changed | None, feed: Feed
    ) -> Generator[None, None, Draft]:
        stored = None if base is None else self._ahead.values_of
        return draft_in_steps(height, changes, replaced, stored, self._exact, feed)

    def commit(self, prepared: Prepared, **block: Unpack[BlockParts]) -> None:
        """Write a block durably and make it the newest. After a StorageFault nothing in memory has moved.

        Raises ValueError for a block that does not follow the last one.
        """
        staged = self.stage(prepared, **block)
        if self._durable.height != self._meta.height:
            raise ValueError(f"block {self._meta.height} is still being written")
        self.store.write(staged.batch, sync=True)
        self._move(staged)

    def stage(self, prepared: Prepared, **block: Unpack[BlockParts]) -> Staged:
        """Put everything a block writes into one batch. Writes nothing yet.

        Raises ValueError for a block that does not follow the last one.
        """
        header, seen_commit, block_hash = block["header"], block["seen_commit"], block["block_hash"]
        tx_ids, receipts = block["tx_ids"], block["receipts"]
        self._check_alive()
        height = prepared.height
        header_bytes = encode(header)
        base = self._rooted
        if not height == header.height == base.height + 1 == seen_commit.height:
            raise ValueError(f"block {header.height} and state {height} do not follow {base.height}")
        root = base.genesis_hash if base.height < base.initial_height else base.tree_root
        if (header.parent_hash, header.state_root, header.results_root) != (
            base.block_hash,
            root,
            base.results_root,
        ):
            raise ValueError(f"the header of block {height} does not stand on block {height - 1}")
        if block_hash != header_hash(header_bytes) or seen_commit.block_hash != block_hash:
            raise ValueError(f"header, hash and commit of block {height} do not belong together")
        if len(tx_ids) != len(receipts):
            raise ValueError(f"block {height} has {len(tx_ids)} transactions and {len(receipts)} receipts")
        meta = base._replace(
            height=height, tree_root=prepared.root, results_root=block["results_root"], block_hash=block_hash
        )
        batch = self.store.batch()
        self._versions.stage(batch, height, prepared.values)
        self._tree.apply(batch, prepared.tree)
        self.blocks.stage(
            batch,
            height,
            header_bytes=header_bytes,
            block_bytes=block["block_bytes"],
            block_hash=block_hash,
            commit=seen_commit,
            tx_ids=tx_ids,
            receipts=receipts,
            hook_events=encode((tuple(block["begin_events"]), tuple(block["end_events"]))),
        )
        sets = block["validators"], block["next_validators"]
        self._sets.stage(batch, header, *sets, first=height == meta.initial_height)
        batch.put(STATE_KEY, META_CODEC.encode(meta))
        return Staged(prepared, batch, meta, header)

    def advance_values(
        self,
        header: Header,
        block_hash: bytes,
        results_root: bytes,
        changes: Changed,
        beside: Collection[bytes] | None = None,
    ) -> None:
        """Move memory to a decided block whose tree is not known yet: the next may be executed on it, and no more.

        `beside` are the keys of `changes` that are of no account record, and maybe more, if the caller knows them.
        `stage` and `advance` follow. Raises ValueError for a block that does not follow, or while one is being written.
        """
        self._check_alive()
        if self._durable.height != self._meta.height:
            raise ValueError(f"block {self._meta.height} is still being written")
        if header.height != self._meta.height + 1:
            raise ValueError(f"block {header.height} does not follow {self._meta.height}")
        self._meta = self._meta._replace(
            height=header.height, block_hash=block_hash, results_root=results_root
        )
        self.header = header
        self.committed.apply(changes, durable=False, beside=beside)

    def advance(self, staged: Staged) -> None:
        """Move memory to a staged block before its write. See the module's text."""
        self._check_alive()
        meta, header = staged.meta, staged.header
        if self._ahead.pending is not None:
            raise ValueError(f"block {self._rooted.height} is still being written")
        if meta.height != self._rooted.height + 1 or header is None:
            raise ValueError(f"block {meta.height} does not follow {self._rooted.height}")
        if meta.height != self._meta.height:
            self.advance_values(header, meta.block_hash, meta.results_root, staged.prepared.changes)
        self._ahead.pending = staged
        self._root(staged)

    def write(self, staged: Staged) -> None:
        """Write the block that `advance` moved to. May run in another thread."""
        if self._ahead.pending is not staged:
            raise ValueError("only the block that memory has advanced to may be written")
        try:
            self.store.write(staged.batch, sync=True)
        except BaseException:
            self._broken = True
            raise
        staged.written = True

    def settle(self, staged: Staged) -> None:
        """Note that `write` returned: the block is durable. In the thread that executes."""
        self._check_alive()
        if self._ahead.pending is not staged or not staged.written:
            raise ValueError("this block's write has not returned")
        self._durable, self._moment = staged.meta, None
        self._ahead.pending = None
        self._ahead.written()
        self.committed.settle()

    def _move(self, staged: Staged) -> None:
        """Move memory to what has been written."""
        self._root(staged)
        self.committed.apply(staged.prepared.changes)
        self.header = staged.header
        self._durable, self._moment = staged.meta, None
        self._ahead.written()

    def _root(self, staged: Staged) -> None:
        self._tree.committed(staged.prepared.tree)
        self._meta = self._rooted = staged.meta

    def _check_alive(self) -> None:
        if self._broken:
            raise StorageFault("an earlier write failed: memory is ahead of the disk")

    # -- reading -------------------------------------------------------------------------------

    def view(self, height: int | None = None) -> View:
        """Return the state after `height` (None: the last durable one), unmoved by later blocks.

        Raises NotFound for a height to come, Pruned for one no longer kept.
        """
        moment = self._present()
        if height is None or height == moment.height:
            latest = Latest(moment)
            return View(moment.height, latest.get, latest.iterate, self._trusted)
        past = Past(moment, self._kept(moment, height))
        return View(height, past.get, past.iterate, self._trusted)

    def prove(self, key: bytes, height: int | None = None) -> tuple[bytes | None, TreeProof]:
        """Return the encoded value of a state key after `height`, and the proof of it or of its absence.

        It verifies against the `state_root` of header `height` + 1. Raises NotFound, Pruned.
        """
        moment = self._present()
        if height is None or height == moment.height:
            version, value = moment.height, moment.versions.get(key)
        else:
            version = self._kept(moment, height)
            value = moment.versions.get_at(key, version)
        return value, self._tree.prove(moment.reader, version, tree_path(key))

    def root_of(self, height: int) -> bytes:
        """Return the root of the state tree after a kept `height`. Raises NotFound, Pruned."""
        return self._tree.root(height, reader=self._present().reader)

    def validators_at(self, height: int) -> tuple[Validator, ...]:
        """Return the validator set of a height, in canonical order, up to the one after the last durable block.

        Raises NotFound for a height to come, or one of before the snapshot that this chain began with here.
        """
        if height > self._durable.height + 1:
            raise NotFound(f"the validator set of height {height} is not known yet")
        return self._sets.at(height)

    @property
    def oldest_height(self) -> int:
        """Oldest height whose state is kept."""
        oldest = self._present().versions.oldest_version()
        return self._meta.height if oldest is None else oldest

    def _present(self) -> Moment:
        moment = self._moment
        # Compared with the height too: a slow reader may have put an old moment back.
        if moment is None or moment.height < self._durable.height:
            if not self.initialised:
                raise NotFound("the chain has no state yet")
            moment = self._moment = self._new_moment()
        return moment

    def _new_moment(self) -> Moment:
        """A reader's thread may come here while a block is written: take the height from the snapshot."""
        reader = self.store.snapshot()
        height = Versions(reader).latest_version()
        return Moment(reader, self._durable.height if height is None else height)

    def _kept(self, moment: Moment, height: int) -> int:
        if not self._meta.initial_height - 1 <= height <= moment.height:
            raise NotFound(f"there is no state of height {height}; the last is {moment.height}")
        oldest = moment.versions.oldest_version()
        if oldest is None or height < oldest:
            raise Pruned(f"the state of height {height} is no longer kept; the oldest is {oldest}")
        return height

    # -- upkeep --------------------------------------------------------------------------------

    def prune(self, limit: int) -> int:
        """Delete about `limit` records that the options no longer keep; call it between blocks.

        Returns how many were deleted; below `limit` means that all is done. Old versions
        are unreadable from the first step on. Not synced: after a power cut it is done again.
        """
        self._check_alive()
        versions = Versions(self.store)
        height, options = self._durable.height, self.options
        oldest = versions.oldest_version()
        if oldest is None:
            return 0
        state_below = max(height - options.history + 1, oldest) if options.history else oldest
        bodies_below = height - options.retain_blocks + 1 if options.retain_blocks else 0
        if self._pruned == (state_below, bodies_below):
            return 0
        batch = self.store.batch()
        done = 0
        if options.history:
            done = self._tree.prune(batch, state_below, limit)
            done += versions.prune(batch, state_below, max(limit - done, 0))
        done += self.blocks.prune(batch, bodies_below, max(limit - done, 0))
        if done or state_below != oldest:
            self.store.write(batch, sync=False)
            self._ahead.written()
            self._moment = None
        if done < limit:
            self._pruned = (state_below, bodies_below)
        return done

    def check(self, progress: OnProgress | None = None) -> CheckReport:
        """Read every record and recompute all that can be. See `ledger.check`."""
        with self.store.snapshot() as reader:
            return check(reader, self.codecs, progress)
