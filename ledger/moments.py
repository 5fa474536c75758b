"""Snapshots of the store, shared by the views of one height."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.backend import ReadView, StorageFault
from ledger.state import Value, ValueCodec
from ledger.versions import Versions
from qenex.errors import QenexError


class Moment:
    """A snapshot shared by all views of one durable height; closed with the last of them."""

    __slots__ = ("height", "reader", "versions")

    def __init__(self, reader: ReadView, height: int) -> None:
        self.reader = reader
        self.height = height
        self.versions = Versions(reader)

    def __del__(self) -> None:
        self.reader.close()


class Stored:
    """A value codec for bytes from our own disk: what does not decode is the disk's fault, not a module's."""

    __slots__ = ("_decode", "encode")

    def __init__(self, codec: ValueCodec) -> None:
        self.encode = codec.encode
        self._decode = codec.decode

    def decode(self, data: bytes) -> Value:
        try:
            return self._decode(data)
        except QenexError as error:
            raise StorageFault(f"a stored value is damaged: {error.message}") from None


class Exact(Stored):
    """As `Stored`, for values whose bytes may be asked for later: notes whether encoding gives back what was stored."""

    __slots__ = ("otherwise",)

    def __init__(self, codec: ValueCodec) -> None:
        super().__init__(codec)
        self.otherwise = False
        """Whether a value was read that is not stored as it would be encoded now: one of an older schema."""

    def decode(self, data: bytes) -> Value:
        value = super().decode(data)
        if not self.otherwise:
            try:
                self.otherwise = self.encode(value) != data
            except QenexError:  # too large in its new form: it can be read and deleted, and not written
                self.otherwise = True
        return value


class Latest:
    """Reads of a moment's own height; a view holds its `iterate`, and so the moment."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.get = moment.versions.get

    def iterate(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        return self._moment.versions.iterate(start, stop, reverse=reverse)


class Past:
    """Reads of an earlier height; holds the moment."""

    def __init__(self, moment: Moment, height: int) -> None:
        self._moment = moment
        self._height = height

    def get(self, key: bytes) -> bytes | None:
        return self._moment.versions.get_at(key, self._height)

    def iterate(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        return self._moment.versions.iterate(start, stop, self._height, reverse=reverse)
