"""The application's four methods for state sync, in ABCI's words; see `node.application`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from ledger.genesis import Genesis
from ledger.restore import Restore
from ledger.snapshot_files import Anchor, SnapshotInfo
from ledger.store import Ledger
from node.snapshots import Snapshots
from qenex.errors import NotFound

log = logging.getLogger("qenex.application")


class SnapshotFace(ABC):
    """Lists and hands out snapshots where the node has some; takes one where the ledger has no state yet."""

    ledger: Ledger
    genesis: Genesis
    snapshots: Snapshots | None = None
    """The node's snapshots, if it has any to offer."""
    _restore: Restore | None = None

    @abstractmethod
    def _load(self) -> None:
        """Stand on what the ledger holds."""

    def list_snapshots(self) -> list[SnapshotInfo]:
        """Snapshots that can be had here, newest first."""
        return [] if self.snapshots is None else self.snapshots.infos()

    def load_snapshot_chunk(self, height: int, index: int) -> bytes:
        """A chunk of a listed snapshot. Raises NotFound, SnapshotCorrupt."""
        if self.snapshots is None:
            raise NotFound(f"this node has no snapshot of height {height}")
        return self.snapshots.chunk(height, index)

    def offer_snapshot(self, manifest: bytes, anchor: Anchor) -> tuple[int, ...]:
        """Take a snapshot into a ledger that has no state yet; the indexes of the chunks that are missing.

        The two headers of `anchor` must be verified already. One that was begun earlier is continued. Raises
        SnapshotInvalid, ProofInvalid, DataFolderForeign where there is a state, StorageFault.
        """
        self._restore = restore = Restore.begin(self.ledger.store, self.genesis, manifest, anchor)
        if restore.resumed:
            log.info(
                "going on with a snapshot that was begun", extra={"missing_chunks": len(restore.missing)}
            )
        missing = restore.missing
        self._finish_restore()
        return missing

    def apply_snapshot_chunk(self, index: int, chunk: bytes) -> bool:
        """Check and take a chunk; with the last one (True) the application stands on the snapshot's height.

        Raises SnapshotInvalid, which changes nothing; NotFound where no snapshot was offered; StorageFault.
        """
        if self._restore is None:
            raise NotFound("no snapshot is being taken")
        self._restore.apply(index, chunk)
        return self._finish_restore()

    def _finish_restore(self) -> bool:
        restore = self._restore
        if restore is None or restore.missing:
            return False
        restore.finish()
        old = self.ledger
        self.ledger = Ledger.open_in(
            old.store, codecs=old.codecs, genesis_hash=self.genesis.hash, options=old.options
        )
        self._restore = None
        self._load()
        return True
