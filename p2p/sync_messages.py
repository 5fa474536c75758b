"""What peers say to each other while one of them catches up: blocks on one channel, snapshots and headers on another.

A payload is one tag byte, four bytes that number the request, and the canonical MessagePack array of the record's
fields. The number is the asker's; an answer repeats it, so whoever receives an answer can refuse what he never
asked for by its first five bytes, before anything is decoded. Notices have number 0.

Blocks and chunks travel as byte strings: they are decoded, and checked against what they must hash to, by whoever
needs them, not here.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple, TypeAlias

from p2p.channels import Channel
from p2p.messages import check_commit_shape
from qenex.block import (
    MAX_BLOCK_SIZE,
    MAX_COMMIT_SIZE,
    MAX_HEADER_SIZE,
    MAX_VALIDATORS,
    Commit,
    Header,
    Validator,
)
from qenex.codec import codec_for, decode, encode
from qenex.errors import MalformedBytes, TooLarge
from qenex.types import U16, U32, U64, Bytes32, Length

MAX_BLOCK_BYTES: Final = MAX_BLOCK_SIZE + MAX_COMMIT_SIZE
MAX_CHUNK: Final = 1024 * 1024
MAX_MANIFEST: Final = 65_536 * 42 + 256
MAX_OFFERS: Final = 16
"""Snapshots that one peer tells of."""
MAX_KEY_BYTES: Final = 4_096
HEAD: Final = 5
"""Bytes before the record: tag and request."""


# -- blocks --------------------------------------------------------------------------------------


class Status(NamedTuple):
    """A notice: the peer's last block, and the oldest one it has whole."""

    height: U64
    base: U64


class GetBlock(NamedTuple):
    """Ask for a block."""

    height: U64


class BlockAnswer(NamedTuple):
    """The encoded block, None if it is not held. `commit`: what decided it, where no later block carries it yet.

    `last` is the peer's last block by now.
    """

    height: U64
    last: U64
    block: Annotated[bytes, Length(1, MAX_BLOCK_BYTES)] | None
    commit: Commit | None


# -- state ---------------------------------------------------------------------------------------


class GetSnapshots(NamedTuple):
    """Ask which snapshots there are."""

    newest: U16
    """At most so many, the newest."""


class SnapshotOffer(NamedTuple):
    """A snapshot by its height and the hash of its manifest."""

    height: U64
    hash: Bytes32
    chunks: U32
    size: U64


class Snapshots(NamedTuple):
    """Answer to GetSnapshots, newest first."""

    offers: Annotated[tuple[SnapshotOffer, ...], Length(0, MAX_OFFERS)]


class GetManifest(NamedTuple):
    """Ask for a snapshot's manifest."""

    hash: Bytes32


class ManifestAnswer(NamedTuple):
    """The manifest's bytes, None if that snapshot is not held any more."""

    manifest: Annotated[bytes, Length(1, MAX_MANIFEST)] | None


class GetChunk(NamedTuple):
    """Ask for a chunk of a snapshot."""

    hash: Bytes32
    number: U32


class ChunkAnswer(NamedTuple):
    """The chunk, None if it is not held any more."""

    chunk: Annotated[bytes, Length(1, MAX_CHUNK)] | None


class GetLightBlock(NamedTuple):
    """Ask for a header, its commit and (`validators`) the set of its height."""

    height: U64
    validators: bool


class LightBlockParts(NamedTuple):
    """A header as a light client needs it; `validators` is empty where they were not asked for."""

    header: Header
    commit: Commit
    validators: Annotated[tuple[Validator, ...], Length(0, MAX_VALIDATORS)]


class LightBlockAnswer(NamedTuple):
    """Answer to GetLightBlock: None if it is not held."""

    block: LightBlockParts | None


SyncMessage: TypeAlias = (
    Status
    | GetBlock
    | BlockAnswer
    | GetSnapshots
    | Snapshots
    | GetManifest
    | ManifestAnswer
    | GetChunk
    | ChunkAnswer
    | GetLightBlock
    | LightBlockAnswer
)


class _Form(NamedTuple):
    channel: Channel
    tag: int
    kind: type
    max_size: int
    max_items: int


_SET_SIZE: Final = MAX_VALIDATORS * MAX_KEY_BYTES

_FORMS: Final = (
    _Form(Channel.BLOCKS, 0x30, Status, 32, 4),
    _Form(Channel.BLOCKS, 0x31, GetBlock, 16, 4),
    _Form(Channel.BLOCKS, 0x32, BlockAnswer, MAX_BLOCK_BYTES + MAX_COMMIT_SIZE + 64, MAX_VALIDATORS),
    _Form(Channel.STATE, 0x50, GetSnapshots, 16, 4),
    _Form(Channel.STATE, 0x51, Snapshots, MAX_OFFERS * 64 + 16, MAX_OFFERS),
    _Form(Channel.STATE, 0x52, GetManifest, 48, 4),
    _Form(Channel.STATE, 0x53, ManifestAnswer, MAX_MANIFEST + 16, 4),
    _Form(Channel.STATE, 0x54, GetChunk, 64, 4),
    _Form(Channel.STATE, 0x55, ChunkAnswer, MAX_CHUNK + 16, 4),
    _Form(Channel.STATE, 0x56, GetLightBlock, 16, 4),
    _Form(
        Channel.STATE,
        0x57,
        LightBlockAnswer,
        MAX_HEADER_SIZE + MAX_COMMIT_SIZE + _SET_SIZE + 64,
        MAX_VALIDATORS,
    ),
)
_BY_TAG: Final = {form.tag: (form, codec_for(form.kind)) for form in _FORMS}
_TAG_BYTE: Final = {form.kind: bytes((form.tag,)) for form in _FORMS}
ANSWERS: Final = {0x32: GetBlock, 0x51: GetSnapshots, 0x53: GetManifest, 0x55: GetChunk, 0x57: GetLightBlock}
"""Tag of each answer, and what it answers."""

MAX_SYNC_MESSAGE_SIZE: Final = {
    channel: HEAD + max(form.max_size for form in _FORMS if form.channel is channel)
    for channel in (Channel.BLOCKS, Channel.STATE)
}
"""Bytes of a payload on each of these channels."""


def encode_sync(message: SyncMessage, request: int = 0) -> bytes:
    """The payload of a message; `request` numbers a request, and is repeated in its answer."""
    return _TAG_BYTE[type(message)] + request.to_bytes(4, "big") + encode(message)


def read_head(channel: Channel, payload: bytes) -> tuple[int, int]:
    """Tag and request number of a payload, nothing else of which is looked at. Raises MalformedBytes, TooLarge."""
    known = _BY_TAG.get(payload[0]) if len(payload) > HEAD else None
    if known is None or known[0].channel is not channel:
        raise MalformedBytes(f"no message of the {channel.name.lower()} channel begins so")
    if len(payload) > HEAD + known[0].max_size:
        raise TooLarge(
            f"{known[0].kind.__name__} of {len(payload)} bytes, at most {HEAD + known[0].max_size} allowed"
        )
    return payload[0], int.from_bytes(payload[1:HEAD], "big")


def decode_sync(channel: Channel, payload: bytes) -> SyncMessage:
    """Read a payload that came on `channel`. Raises MalformedBytes, TooLarge."""
    tag, _ = read_head(channel, payload)
    form, codec = _BY_TAG[tag]
    message: SyncMessage = codec.check(
        decode(payload[HEAD:], max_size=form.max_size, max_items=form.max_items)
    )
    if isinstance(message, Status) and message.base > message.height + 1:
        raise MalformedBytes("the oldest block of a peer lies above its last one")
    if isinstance(message, BlockAnswer) and message.commit is not None:
        check_commit_shape(message.commit)
    if isinstance(message, LightBlockAnswer) and message.block is not None:
        check_commit_shape(message.block.commit)
    return message
