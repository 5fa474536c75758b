"""The receipts of one block, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ledger.blocks import decode_receipt
from qenex.block import Event, Receipt
from qenex.transaction import TRANSFER
from vm.registry import Registry


class Receipts(Sequence[Receipt]):
    """Receipts and their encoding. What a plain transfer did is kept as bytes alone, and read when somebody asks."""

    __slots__ = ("_made", "_registry", "encoded", "failed")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[int, Receipt] = {}
        self.encoded: list[bytes] = []
        """Canonical bytes; a plain transfer's are appended here."""
        self.failed = 0
        """Receipts with a status other than 0."""

    def add(self, receipt: Receipt, encoded: bytes) -> None:
        """Append a receipt that is at hand."""
        self._made[len(self.encoded)] = receipt
        self.encoded.append(encoded)
        self.failed += receipt.status != 0

    def __len__(self) -> int:
        return len(self.encoded)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self.encoded)))]
        at = index + len(self.encoded) if index < 0 else index
        receipt = self._made.get(at)
        if receipt is None:
            receipt = self._made[at] = self._read(self.encoded[at])
        return receipt

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Receipts):
            return self.encoded == other.encoded
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def _read(self, encoded: bytes) -> Receipt:
        """A plain transfer's receipt, with results and events of their declared types."""
        receipt, registry = decode_receipt(encoded), self._registry
        check = registry.message(TRANSFER).result_codec.check
        return receipt._replace(
            results=tuple([check(result) for result in receipt.results]),
            events=tuple(
                [
                    Event(event.name, registry.events[event.name].codec.check(event.fields))
                    for event in receipt.events
                ]
            ),
        )
