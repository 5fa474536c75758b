"""Snapshots on disk: one folder for each height, whole or not there.

    <folder>/<height>/manifest    checksum, then the manifest's bytes
    <folder>/<height>/anchor      checksum, then the two verified blocks that vouch for it
    <folder>/<height>/chunks      all chunks, one after the other

A snapshot is made in `<height>.new`, synced, and renamed: what a crash leaves of it is deleted at the next
start. Whatever is read is checked; what is damaged is SnapshotCorrupt and no longer listed.
"""

from __future__ import annotations

import os
import shutil
from itertools import accumulate
from pathlib import Path
from typing import IO, Final, NamedTuple

from ledger.backend import StorageFault
from ledger.snapshots import (
    MAX_MANIFEST,
    Manifest,
    check_chunk,
    check_manifest,
    decode_manifest,
    encode_manifest,
    manifest_hash,
)
from qenex.block import (
    COMMIT,
    HEADER,
    MAX_COMMIT_SIZE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    Validator,
    block_hash,
)
from qenex.codec import codec_for, decode, encode
from qenex.errors import NotFound, QenexError, SnapshotCorrupt
from qenex.hashing import HASH_SIZE, hasher
from qenex.light_rules import LightBlock

MANIFEST: Final = "manifest"
ANCHOR: Final = "anchor"
CHUNKS: Final = "chunks"
_UNFINISHED: Final = ".new"
_SPILL: Final = "spill-"
MAX_ANCHOR: Final = 4 * MAX_COMMIT_SIZE + 2 * MAX_HEADER_SIZE + 256

_checksum = hasher("qx.file")
_VALIDATORS: Final = codec_for(tuple[Validator, ...])


class Anchor(NamedTuple):
    """The blocks of the snapshot's height and of the next one, whose header carries the root."""

    block: LightBlock
    next: LightBlock


class SnapshotInfo(NamedTuple):
    """What a list says of a snapshot; `size` in bytes."""

    height: int
    hash: bytes
    block_hash: bytes
    entries: int
    chunks: int
    size: int


def encode_anchor(anchor: Anchor) -> bytes:
    """Canonical record of both blocks."""
    return encode(tuple(anchor))


def decode_anchor(data: bytes) -> Anchor:
    """Read an anchor; nothing in it is verified. Raises MalformedBytes or TooLarge."""
    plain = decode(data, max_size=MAX_ANCHOR, max_items=MAX_VALIDATORS)
    blocks = []
    for item in plain if type(plain) is tuple else ():
        if type(item) is not tuple or len(item) != 3:
            break
        blocks.append(LightBlock(HEADER.check(item[0]), COMMIT.check(item[1]), _VALIDATORS.check(item[2])))
    if len(blocks) != 2:
        raise SnapshotCorrupt("an anchor is two blocks of header, commit and validators")
    return Anchor(*blocks)


class Snapshot:
    """One snapshot that is whole as far as was looked: manifest and anchor fit, the chunks have their sizes."""

    def __init__(self, folder: Path) -> None:
        """Raises SnapshotCorrupt, NotFound."""
        self.folder = folder
        try:
            self.manifest_bytes = _read_checked(folder / MANIFEST, MAX_MANIFEST)
            self.manifest: Manifest = decode_manifest(self.manifest_bytes)
            self.anchor = decode_anchor(_read_checked(folder / ANCHOR, MAX_ANCHOR))
            header = self.anchor.next.header
            check_manifest(self.manifest, header.chain_id, header.height - 1, header.state_root)
        except (SnapshotCorrupt, NotFound):
            raise
        except QenexError as error:
            raise SnapshotCorrupt(f"{folder}: {error.message}") from None
        sizes = [slot.size for slot in self.manifest.slots]
        self._offsets = [0, *accumulate(sizes)]
        if not (folder / CHUNKS).is_file() or (folder / CHUNKS).stat().st_size != self._offsets[-1]:
            raise SnapshotCorrupt(f"{folder / CHUNKS} is missing or has another size")

    @property
    def info(self) -> SnapshotInfo:
        """Summary."""
        manifest = self.manifest
        return SnapshotInfo(
            manifest.height, manifest_hash(self.manifest_bytes), block_hash(self.anchor.block.header),
            manifest.entries, len(manifest.slots), manifest.size,
        )  # fmt: skip

    def chunk(self, index: int) -> bytes:
        """A chunk, checked. Raises NotFound, SnapshotCorrupt."""
        if not 0 <= index < len(self.manifest.slots):
            raise NotFound(f"the snapshot of height {self.manifest.height} has no chunk {index}")
        try:
            with open(self.folder / CHUNKS, "rb") as file:
                file.seek(self._offsets[index])
                data = file.read(self.manifest.slots[index].size)
            check_chunk(self.manifest, index, data)
        except OSError as error:
            raise SnapshotCorrupt(f"{self.folder / CHUNKS}: {error.strerror}") from None
        except QenexError as error:
            raise SnapshotCorrupt(f"{self.folder}: {error.message}") from None
        return data


class SnapshotFiles:
    """All snapshots of a node, in one folder. Nothing is made before the first one is written."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def heights(self) -> list[int]:
        """Heights of the finished snapshots, newest first."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageFault(f"cannot read {self.folder}: {error.strerror}") from error
        return sorted([int(name) for name in names if _is_height(name)], reverse=True)

    def load(self, height: int) -> Snapshot:
        """Raises NotFound, SnapshotCorrupt."""
        folder = self.folder / str(height)
        if not folder.is_dir():
            raise NotFound(f"there is no snapshot of height {height}")
        return Snapshot(folder)

    def writer(self, height: int) -> SnapshotWriter:
        """Begin a snapshot; one left unfinished is deleted. Raises StorageFault."""
        return SnapshotWriter(self.folder, height)

    def delete(self, height: int) -> None:
        """Delete a snapshot, if it is there."""
        shutil.rmtree(self.folder / str(height), ignore_errors=True)

    def keep(self, count: int) -> None:
        """Delete all but the newest `count`."""
        for height in self.heights()[count:]:
            self.delete(height)

    def clean(self) -> None:
        """Delete what a crash left unfinished."""
        if self.folder.is_dir():
            for path in self.folder.glob(f"*{_UNFINISHED}"):
                shutil.rmtree(path, ignore_errors=True)


class SnapshotWriter:
    """A `Sink` that becomes a snapshot with `finish`, or nothing with `abandon`."""

    def __init__(self, folder: Path, height: int) -> None:
        self._final = folder / str(height)
        self._folder = folder / f"{height}{_UNFINISHED}"
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            self._chunks = open(self._folder / CHUNKS, "xb")  # noqa: SIM115  # closed by finish and abandon
        except OSError as error:
            raise StorageFault(f"cannot write {self._folder}: {error.strerror}") from error

    def spill(self, bucket: int, data: bytes) -> None:
        """See `Sink`. Raises StorageFault."""
        try:
            with open(self._folder / f"{_SPILL}{bucket:02x}", "ab") as file:
                file.write(data)
        except OSError as error:
            raise StorageFault(f"cannot write {self._folder}: {error.strerror}") from error

    def spilled(self, bucket: int) -> bytes:
        """See `Sink`."""
        path = self._folder / f"{_SPILL}{bucket:02x}"
        try:
            data = path.read_bytes()
            path.unlink()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StorageFault(f"cannot read {path}: {error.strerror}") from error
        return data

    def chunk(self, data: bytes) -> None:
        """See `Sink`. Raises StorageFault."""
        try:
            self._chunks.write(data)
        except OSError as error:
            raise StorageFault(f"cannot write {self._folder}: {error.strerror}") from error

    def finish(self, manifest: Manifest, anchor: Anchor) -> Snapshot:
        """Make it durable and visible, in place of one of the same height. Raises StorageFault, SnapshotCorrupt."""
        try:
            _sync(self._chunks)
            for name, data in ((MANIFEST, encode_manifest(manifest)), (ANCHOR, encode_anchor(anchor))):
                with open(self._folder / name, "xb") as file:
                    file.write(_checksum(data) + data)
                    _sync(file)
            _sync_folder(self._folder)
            Snapshot(self._folder)
            shutil.rmtree(self._final, ignore_errors=True)
            os.rename(self._folder, self._final)
            _sync_folder(self._final.parent)
        except OSError as error:
            raise StorageFault(f"cannot write {self._folder}: {error.strerror}") from error
        return Snapshot(self._final)

    def abandon(self) -> None:
        """Delete what there is of it."""
        self._chunks.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_height(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 20 and str(int(name)) == name


def _read_checked(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(HASH_SIZE + limit + 1)
    except FileNotFoundError:
        raise SnapshotCorrupt(f"{path} is missing") from None
    except OSError as error:
        raise SnapshotCorrupt(f"{path}: {error.strerror}") from None
    if len(data) > HASH_SIZE + limit or _checksum(data[HASH_SIZE:]) != data[:HASH_SIZE]:
        raise SnapshotCorrupt(f"{path} differs from its checksum")
    return data[HASH_SIZE:]


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
