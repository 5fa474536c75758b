"""The receipts of one block, in its order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, overload

import msgpack

from qenex.block import Event, Receipt
from qenex.codec import Codec, Plain, unpack_ext
from qenex.errors import MalformedBytes
from qenex.transfer_form import TRANSFER
from vm.registry import MessageSpec, Registry


class Receipts(Sequence[Receipt]):
    """Receipts, kept as their encoding alone and read when somebody asks.

    The objects of two thousand swaps are fifty thousand, for which nobody asks in most blocks: made, kept and freed they
    took 3 us a swap.
    """

    __slots__ = ("_made", "_registry", "_runs", "_starts", "encoded", "failed")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[int, Receipt] = {}
        self._runs: list[tuple[int, Sequence[MessageSpec]]] = []
        """Where receipts in a row of the same messages end, and these messages; all else are plain transfers'."""
        self._starts: list[int] = []
        """Where they begin."""
        self.encoded: list[bytes] = []
        """Canonical bytes; a plain transfer's are appended here."""
        self.failed = 0
        """Receipts with a status other than 0."""

    def add(self, encoded: bytes, status: int, messages: Sequence[MessageSpec]) -> None:
        """Append a receipt of a transaction with these messages."""
        at, runs = len(self.encoded), self._runs
        if runs and runs[-1][0] == at and runs[-1][1] == messages:
            runs[-1] = (at + 1, messages)
        else:
            self._starts.append(at)
            runs.append((at + 1, messages))
        self.encoded.append(encoded)
        if status:
            self.failed += 1

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
            receipt = self._made[at] = self._read(at)
        return receipt

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Receipts):
            return self.encoded == other.encoded
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def _codecs(self, at: int) -> Iterable[Codec[Any]]:
        """Of the results of each message."""
        run = bisect_right(self._starts, at) - 1
        if run >= 0 and at < self._runs[run][0]:
            return [spec.result_codec for spec in self._runs[run][1]]
        return repeat(self._registry.messages[TRANSFER].result_codec)

    def _read(self, at: int) -> Receipt:
        """A receipt with results and events of their declared types. The bytes are our own."""
        tx_id, status, failed, gas_used, fee, results, events = msgpack.unpackb(
            self.encoded[at], use_list=False, ext_hook=unpack_ext
        )
        declared = self._registry.events
        return Receipt(
            tx_id,
            status,
            failed,
            gas_used,
            fee,
            tuple([_typed(codec, result) for result, codec in zip(results, self._codecs(at), strict=False)]),
            tuple([Event(name, _typed(declared[name].codec, fields)) for name, fields in events]),
        )


def _typed(codec: Codec[Any], value: Plain) -> Any:
    """Of its declared type; as it is where a module told something else."""
    try:
        return codec.check(value)
    except MalformedBytes:
        return value
