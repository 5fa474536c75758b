"""The state tree of each block, computed by a process beside the node's own.

Hashing and putting together the tree is a third of what a transfer takes. While it is done elsewhere the event loop
admits transactions and answers callers. What comes back is what `Ledger.prepare` would have computed, record by record
(tests/node/test_tree_process.py); where the process fails, the node computes it itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgpack

from ledger.backend import StorageFault
from ledger.staging import Prepared
from ledger.state import Value
from ledger.store import Ledger
from ledger.tree_builder import TreeBase
from ledger.tree_nodes import pack_ref, unpack_ref
from ledger.tree_update import TreeUpdate
from node.child import Child
from node.steps import drive
from node.tree_worker import BEGIN, BUILD, DONE, ENTER, NODES, PART, WANT, unpack
from qenex.errors import ProcessFailed

log = logging.getLogger("qenex.tree")

MIN_CORES: Final = 3
"""Of a machine, from which on `auto` means such a process: on two it gains nothing (benchmarks/README.md), on more it has not been measured."""
MAX_DEATHS: Final = 5
"""Deaths without a single tree, after which the process is not started again."""
PATIENCE_SECONDS: Final = 30.0
"""For one tree, after which the process counts as dead."""


def is_wanted(setting: str) -> bool:
    """Whether `on`, `off` or `auto` means that trees get a process of their own on this machine."""
    return setting == "on" or (setting == "auto" and (os.cpu_count() or 1) >= MIN_CORES)


class _Job:
    """One tree under way."""

    def __init__(self, ledger: Ledger, base: TreeBase, number: int) -> None:
        self.ledger = ledger
        self.base = base
        self.number = number
        self.records: dict[bytes, bytes] = {}
        self.done: asyncio.Future[tuple[TreeUpdate, int]] = asyncio.get_running_loop().create_future()


class TreeProcess:
    """See the module. For one event loop; one tree at a time, a new one ends the one before."""

    def __init__(self, cache_bytes: int) -> None:
        """`cache_bytes` of memory for tree nodes, in that process."""
        self._cache_bytes = cache_bytes
        self._child = Child("tree_worker", self._answered, self._ended)
        self._deaths = 0
        self._number = 0
        self._job: _Job | None = None
        self.built = 0
        """Trees computed."""
        self.respawned = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.started

    @property
    def pid(self) -> int:
        """Process id; of the last one, where none runs."""
        return self._child.process.pid

    def start(self) -> None:
        """Start the process. Raises OSError."""
        self._child.spawn()
        self._child.send(self._cache_bytes.to_bytes(8, "little"))

    async def stop(self) -> None:
        """End the process; a tree under way fails with ProcessFailed."""
        self._child.end()
        self._fail(ProcessFailed("the tree's process was stopped"))

    async def prepare(
        self,
        ledger: Ledger,
        height: int,
        changes: Mapping[bytes, Value | None],
        replaced: Mapping[bytes, Value | None] | None = None,
    ) -> Prepared:
        """`Ledger.prepare` with the tree computed by the process.

        Raises what that does, and ProcessFailed if the process fails: nothing was changed then.
        """
        if not self.alive:
            raise ProcessFailed("the tree's process does not run")
        self._number += 1
        job = self._job = _Job(ledger, ledger.tree_base(height), self._number)
        version, base_version, ref = job.base
        self._send(BEGIN, version, base_version, pack_ref(ref))
        try:
            draft = await drive(ledger.draft_in_steps(height, changes, replaced, self._feed))
            self._send(BUILD)
            async with asyncio.timeout(PATIENCE_SECONDS):
                update, entered = await job.done
        except TimeoutError:
            self._ended()
            raise ProcessFailed(f"the tree's process took more than {PATIENCE_SECONDS:.0f} s") from None
        finally:
            if self._job is job:
                self._job = None
            if not job.done.done():
                job.done.cancel()
        if entered != len(draft.values):
            raise ValueError("two state keys have one path")
        return draft.prepared(update)

    def _feed(self, keys: Collection[bytes], values: Collection[bytes | None]) -> None:
        self._send(ENTER, list(keys), list(values))

    def _send(self, kind: int, *fields: object) -> None:
        if self.alive:  # else the job has failed
            self._child.send(msgpack.packb((kind, self._number, *fields)))

    def _answered(self, payload: memoryview) -> None:
        try:
            self._take(*unpack(payload))
        except (ValueError, TypeError, LookupError):  # it says something that is none of our answers
            self._ended()

    def _take(self, kind: int, number: int, *fields: Any) -> None:
        job = self._job
        if job is None or number != job.number or job.done.done():
            return  # nobody waits for it any more
        if kind == PART:
            if job.records:
                job.records.update(fields[0])
            else:
                job.records = fields[0]
        elif kind == WANT:
            try:
                self._send(NODES, job.ledger.tree_nodes(fields[0]))
            except StorageFault as fault:
                job.done.set_exception(fault)
        elif kind == DONE:
            ref, entered, stale = fields
            self._deaths = 0
            self.built += 1
            version, base_version, _ = job.base
            update = TreeUpdate(version, base_version, unpack_ref(ref), job.records, stale, {}, {}, True)
            job.done.set_result((update, entered))

    def _ended(self) -> None:
        self._child.end()
        self._deaths += 1
        log.warning(
            "the tree's process ended",
            extra={"exit_code": self._child.process.returncode, "deaths": self._deaths},
        )
        self._fail(ProcessFailed("the tree's process ended"))
        if self._deaths < MAX_DEATHS:
            try:
                self.start()
            except OSError as error:  # no memory or no descriptor left for it
                log.error("the tree's process cannot be started", extra={"reason": str(error)})
            else:
                self.respawned += 1
                return
        log.error("the tree's process cannot live; trees are computed in the node's own process")

    def _fail(self, error: ProcessFailed) -> None:
        if self._job is not None and not self._job.done.done():
            self._job.done.set_exception(error)
