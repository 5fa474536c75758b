"""What a check found, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ledger.backend import Reader, StorageFault
from ledger.keys import (
    BLOCK,
    BLOCK_HASH,
    CHANGED,
    HISTORY,
    HORIZON,
    META,
    NODE,
    RECEIPT,
    ROOT,
    STALE,
    TRANSACTION,
    VALIDATORS,
    VALUE,
    prefix_end,
)

FAMILIES: Final = {
    BLOCK: "blocks",
    CHANGED: "changed_lists",
    ROOT: "tree_roots",
    HISTORY: "old_values",
    BLOCK_HASH: "block_hashes",
    META: "meta",
    NODE: "tree_nodes",
    STALE: "stale_lists",
    RECEIPT: "receipts",
    VALUE: "values",
    TRANSACTION: "transactions",
    VALIDATORS: "validator_sets",
    HORIZON: "horizons",
}
"""Name of each record family in the report, by the first byte of its keys."""

MAX_ERRORS: Final = 100
TICK: Final = 10_000
"""Records between two calls of the progress callback."""


class CheckError(NamedTuple):
    """`kind`: unreadable, unknown_record, damaged, missing, mismatch. `place` names the record."""

    kind: str
    place: str
    detail: str


class CheckProgress(NamedTuple):
    """`stage` is a family's name or `tree`; `done` counts records of that stage."""

    stage: str
    done: int


OnProgress = Callable[[CheckProgress], None]


class CheckReport(NamedTuple):
    """`records` and `bytes` (keys included) by family; at most 100 `errors` are kept, `more_errors` counts the rest.

    `height` and `state_root` are those the store claims, None where even that is unreadable.
    """

    ok: bool
    height: int | None
    state_root: bytes | None
    records: dict[str, int]
    bytes: dict[str, int]
    errors: tuple[CheckError, ...]
    more_errors: int


class Findings:
    """Errors and counts, gathered while reading."""

    def __init__(self, reader: Reader, on_progress: OnProgress | None) -> None:
        self.reader = reader
        self.errors: list[CheckError] = []
        self.more = 0
        self.records = dict.fromkeys(FAMILIES.values(), 0)
        self.bytes = dict.fromkeys(FAMILIES.values(), 0)
        self._on_progress = on_progress
        self._ticks: dict[str, int] = {}

    def add(self, kind: str, place: str, detail: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(CheckError(kind, place, detail))
        else:
            self.more += 1

    def tick(self, stage: str) -> None:
        """Count one record of a stage."""
        done = self._ticks[stage] = self._ticks.get(stage, 0) + 1
        if self._on_progress is not None and (done == 1 or not done % TICK):
            self._on_progress(CheckProgress(stage, done))

    def get(self, key: bytes) -> bytes | None:
        """Read one record; one that the store cannot give back is reported and counts as missing."""
        try:
            return self.reader.get(key)
        except StorageFault as fault:
            self.add("unreadable", key[:80].hex(), fault.message)
            return None

    def scan(self, family: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield and count every record of a family; ends, with an error, at one that cannot be read."""
        name = FAMILIES[family]
        count = size = 0
        try:
            for key, value in self.reader.iterate(family, prefix_end(family)):
                count += 1
                size += len(key) + len(value)
                self.tick(name)
                yield key, value
        except StorageFault as fault:
            self.add("unreadable", name, fault.message)
        finally:
            self.records[name], self.bytes[name] = count, size

    def scan_unknown(self) -> None:
        """Report every record outside of the known families."""
        start = b""
        for family in [*sorted(FAMILIES), b"\xff" * 256]:
            try:
                for key, _ in self.reader.iterate(start, family):
                    self.add("unknown_record", key[:80].hex(), "no family of records has this key")
            except StorageFault as fault:
                self.add("unreadable", start.hex(), fault.message)
            start = prefix_end(family) if family in FAMILIES else family

    def report(self, height: int | None, state_root: bytes | None) -> CheckReport:
        return CheckReport(
            not self.errors,
            height,
            state_root,
            self.records,
            self.bytes,
            tuple(self.errors),
            self.more,
        )
