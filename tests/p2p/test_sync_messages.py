"""Messages of the Blocks and State channels: one form each, bounded, and their numbers readable without the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.channels import TAGS, Channel
from p2p.limits import MAX_MESSAGE_SIZE
from p2p.sync_messages import (
    ANSWERS,
    HEAD,
    MAX_CHUNK,
    MAX_MANIFEST,
    MAX_SYNC_MESSAGE_SIZE,
    BlockAnswer,
    ChunkAnswer,
    GetBlock,
    GetChunk,
    GetLightBlock,
    GetManifest,
    GetSnapshots,
    LightBlockAnswer,
    LightBlockParts,
    ManifestAnswer,
    SnapshotOffer,
    Snapshots,
    Status,
    decode_sync,
    encode_sync,
    read_head,
)
from qenex.errors import MalformedBytes, QenexError, TooLarge
from tests.fuzz.mutation import damaged_bytes
from tests.fuzz.rule import effort, keeps_the_rule
from tests.qenex.light_histories import History

BLOCK = History([{0: 10, 1: 10}], 3).blocks[3]
PARTS = LightBlockParts(*BLOCK)
EXAMPLES: list[tuple[Channel, Any]] = [
    (Channel.BLOCKS, Status(9, 2)),
    (Channel.BLOCKS, GetBlock(7)),
    (Channel.BLOCKS, BlockAnswer(7, 9, b"block", None)),
    (Channel.BLOCKS, BlockAnswer(7, 7, b"block", BLOCK.commit)),
    (Channel.BLOCKS, BlockAnswer(7, 9, None, None)),
    (Channel.STATE, GetSnapshots(5)),
    (Channel.STATE, Snapshots((SnapshotOffer(5, bytes(32), 3, 1_000),) * 2)),
    (Channel.STATE, GetManifest(bytes(32))),
    (Channel.STATE, ManifestAnswer(b"manifest")),
    (Channel.STATE, GetChunk(bytes(32), 7)),
    (Channel.STATE, ChunkAnswer(b"chunk")),
    (Channel.STATE, GetLightBlock(7, True)),
    (Channel.STATE, LightBlockAnswer(PARTS)),
    (Channel.STATE, LightBlockAnswer(PARTS._replace(validators=()))),
    (Channel.STATE, LightBlockAnswer(None)),
]
PAYLOADS = {
    channel: [encode_sync(message, 77) for at, message in EXAMPLES if at is channel]
    for channel in (Channel.BLOCKS, Channel.STATE)
}


@pytest.mark.parametrize(("channel", "message"), EXAMPLES)
def test_every_message_is_read_as_it_was_written(channel: Channel, message: Any) -> None:
    payload = encode_sync(message, 0xFFFFFFFF)
    assert decode_sync(channel, payload) == message
    tag, number = read_head(channel, payload)
    assert number == 0xFFFFFFFF
    assert tag in TAGS[channel]
    with pytest.raises(MalformedBytes):
        decode_sync(Channel.STATE if channel is Channel.BLOCKS else Channel.BLOCKS, payload)


def test_every_question_has_its_answer() -> None:
    kinds = {type(message) for _, message in EXAMPLES}
    assert {*ANSWERS.values()} == {kind for kind in kinds if kind.__name__.startswith("Get")}
    assert {decode_sync(c, p).__class__ for c, ps in PAYLOADS.items() for p in ps} == kinds


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        (Channel.BLOCKS, b""),
        (Channel.BLOCKS, b"\x30\0\0\0"),
        (Channel.BLOCKS, b"\x30\0\0\0\0"),
        (Channel.BLOCKS, b"\x3f\0\0\0\0\x90"),
        (Channel.BLOCKS, encode_sync(Status(4, 6))),
        (Channel.BLOCKS, encode_sync(BlockAnswer(1, 1, b"", None))),
        (Channel.STATE, encode_sync(ChunkAnswer(b""))),
        (Channel.STATE, encode_sync(GetChunk(b"short", 1))),
        (Channel.STATE, encode_sync(Snapshots((SnapshotOffer(5, bytes(32), 3, 1),) * 17))),
        (
            Channel.STATE,
            encode_sync(LightBlockAnswer(PARTS._replace(commit=BLOCK.commit._replace(signatures=())))),
        ),
        (Channel.BLOCKS, encode_sync(BlockAnswer(1, 1, b"b", BLOCK.commit._replace(signatures=())))),
    ],
)
def test_what_is_no_message_is_refused(channel: Channel, payload: bytes) -> None:
    with pytest.raises((MalformedBytes, TooLarge)):
        decode_sync(channel, payload)


def test_sizes_are_checked_by_the_first_bytes_and_fit_the_transport() -> None:
    for channel, size in MAX_SYNC_MESSAGE_SIZE.items():
        assert size <= MAX_MESSAGE_SIZE[channel]
    with pytest.raises(TooLarge):
        read_head(Channel.BLOCKS, encode_sync(GetBlock(1)) + bytes(20))
    assert decode_sync(Channel.STATE, encode_sync(ChunkAnswer(bytes(MAX_CHUNK))))
    assert decode_sync(Channel.STATE, encode_sync(ManifestAnswer(bytes(MAX_MANIFEST))))
    with pytest.raises((TooLarge, MalformedBytes)):
        decode_sync(Channel.STATE, encode_sync(ChunkAnswer(bytes(MAX_CHUNK + 1))))


def test_snapshot_bounds_are_those_of_the_ledger() -> None:
    """The two rooms do not know each other: here they are compared."""
    import ledger.snapshots as ledger_side

    assert ledger_side.MAX_CHUNK == MAX_CHUNK
    assert ledger_side.MAX_MANIFEST == MAX_MANIFEST


@given(st.sampled_from([Channel.BLOCKS, Channel.STATE]), st.data())
@effort(200)
def test_any_payload_is_read_or_refused_with_a_typed_error(channel: Channel, data: st.DataObject) -> None:
    payload = data.draw(damaged_bytes(PAYLOADS[channel]))
    found = keeps_the_rule(lambda: decode_sync(channel, payload))
    if not isinstance(found, QenexError):
        assert encode_sync(found, int.from_bytes(payload[1:HEAD], "big")) == payload
