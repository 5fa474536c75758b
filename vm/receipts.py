"""The receipts of one block, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import msgpack

from qenex.block import Event, Receipt
from qenex.codec import unpack_ext
from qenex.transfer_form import TRANSFER
from vm.registry import Registry

_new = tuple.__new__


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
        """A plain transfer's receipt, with results and events of their declared types. The bytes are our own."""
        tx_id, status, failed, gas_used, fee, results, events = msgpack.unpackb(
            encoded, use_list=False, ext_hook=unpack_ext
        )
        registry = self._registry
        result_type = registry.messages[TRANSFER].result
        return Receipt(
            tx_id,
            status,
            failed,
            gas_used,
            fee,
            tuple([_new(result_type, result) for result in results]),
            tuple([Event(name, _new(registry.events[name].record, fields)) for name, fields in events]),
        )
