"""The validator set of every kept height: what proves commits and accuses of old votes.

A set is written at the first height that has it, so a chain whose validators stay writes one record. The set of
height H is known when block H-1 is; that of H+1 with block H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.backend import Batch, Reader, StorageFault
from ledger.keys import VALIDATORS, version_key
from qenex.block import MAX_COMMIT_SIZE, MAX_VALIDATORS, Header, Validator, validators_root
from qenex.codec import Codec, codec_for, decode, encode
from qenex.errors import MalformedBytes, NotFound, TooLarge

_CODEC: Final[Codec[tuple[Validator, ...]]] = codec_for(tuple[Validator, ...])


def set_key(height: int) -> bytes:
    """Key of the set that begins at a height."""
    return VALIDATORS + version_key(height)


def unpack_set(record: bytes) -> tuple[Validator, ...]:
    """Raises MalformedBytes or TooLarge."""
    found = _CODEC.check(decode(record, max_size=MAX_COMMIT_SIZE, max_items=MAX_VALIDATORS))
    if not found:
        raise MalformedBytes("a validator set has a member")
    return found


class ValidatorSets:
    """Reads sets from a store or a snapshot of it; stages new ones into a batch."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def at(self, height: int) -> tuple[Validator, ...]:
        """The set of a height up to the one after the last block. Raises NotFound, StorageFault.

        Whether the height exists at all is the caller's to know: above the last one the newest set is returned.
        """
        if not 0 <= height < 1 << 64:
            raise NotFound(f"there is no height {height}")
        found = self._reader.iterate(VALIDATORS, set_key(height) + b"\x00", reverse=True)
        for _, record in found:
            try:
                return unpack_set(record)
            except (MalformedBytes, TooLarge) as error:
                raise StorageFault(f"a stored validator set is damaged: {error.message}") from None
        raise NotFound(f"the validator set of height {height} is not kept here")

    def stage(
        self,
        batch: Batch,
        header: Header,
        validators: Sequence[Validator],
        next_validators: Sequence[Validator],
        *,
        first: bool,
    ) -> None:
        """Put what a block begins into `batch`: its own set if it is the `first`, the next one where it differs.

        Raises ValueError for sets that the header does not name.
        """
        height = header.height
        if first:
            self.put(batch, height, validators, header.validators_hash)
        if header.next_validators_hash != header.validators_hash:
            self.put(batch, height + 1, next_validators, header.next_validators_hash)

    def put(self, batch: Batch, height: int, validators: Sequence[Validator], root: bytes) -> None:
        """Put one set. Raises ValueError unless its root is `root`."""
        if validators_root(validators) != root:
            raise ValueError(f"the validator set of height {height} is not the one that the header names")
        batch.put(set_key(height), encode(tuple(validators)))
