"""Frames: what goes in comes out, in order, once; everything else ends the connection, within its bounds."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2p.channels import TAGS, Channel
from p2p.frames import (
    CONTENT_SIZE,
    CONTROL,
    FRAGMENT_HEAD,
    FRAME_SIZE,
    LAST,
    MAX_FRAGMENTS,
    Assembler,
    Budget,
    FrameLimits,
    Opener,
    Sealer,
    SendQueues,
    split_fragments,
)
from p2p.limits import MAX_MESSAGE_SIZE, MAX_PARTIAL_PER_PEER, QUEUE_BYTES, QUEUE_COUNT, QUEUE_FREE
from qenex.errors import FrameInvalid, LimitExceeded, PeerMisbehaved, TooLarge

KEY = bytes(range(32))
PLENTY = 1 << 30


def pair(limits: FrameLimits | None = None) -> tuple[Sealer, Opener]:
    return Sealer(KEY, limits or FrameLimits()), Opener(KEY, limits or FrameLimits())


def assembler(limit: int = MAX_PARTIAL_PER_PEER) -> Assembler:
    return Assembler(Budget(PLENTY), limit)


def queues() -> SendQueues:
    return SendQueues(Budget(PLENTY))


def fragment(channel: int, piece: bytes, *, last: bool = True) -> bytes:
    return bytes((channel | LAST if last else channel,)) + len(piece).to_bytes(3, "big") + piece


def payload(channel: Channel, size: int) -> bytes:
    return bytes((TAGS[channel][0],)) + bytes(size - 1)


# -- sealing -----------------------------------------------------------------------------------


def test_frames_open_in_order_and_only_once() -> None:
    sealer, opener = pair()
    frames = [sealer.seal(fragment(0, bytes([1, n]))) for n in range(4)]
    assert [opener.open(frame)[-1] for frame in frames[:2]] == [0, 1]
    with pytest.raises(FrameInvalid):
        opener.open(frames[1])


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 0], [0, 1, 0]])
def test_a_frame_left_out_swapped_or_repeated_does_not_open(order: list[int]) -> None:
    sealer, opener = pair()
    frames = [sealer.seal(fragment(0, bytes([1, n]))) for n in range(3)]
    for number in order[:-1]:
        opener.open(frames[number])
    with pytest.raises(FrameInvalid, match="does not open"):
        opener.open(frames[order[-1]])


def test_after_one_bad_frame_nothing_opens_any_more() -> None:
    sealer, opener = pair()
    with pytest.raises(FrameInvalid):
        opener.open(bytes(40))
    with pytest.raises(FrameInvalid):
        opener.open(sealer.seal(fragment(0, b"\x01")))


def test_every_changed_byte_of_a_frame_is_noticed() -> None:
    sealed = pair()[0].seal(fragment(0, b"\x01vote"))
    for place in range(len(sealed)):
        with pytest.raises(FrameInvalid):
            pair()[1].open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])


@pytest.mark.parametrize("size", [0, 1, 16, 19, FRAME_SIZE + 1, 10 * FRAME_SIZE])
def test_a_frame_of_an_impossible_length_is_refused_before_it_is_decrypted(size: int) -> None:
    with pytest.raises(FrameInvalid, match="bytes"):
        pair()[1].open(bytes(size))


def test_keys_are_replaced_after_so_many_frames_and_so_many_bytes() -> None:
    for limits in (FrameLimits(rekey_frames=3), FrameLimits(rekey_bytes=100)):
        sealer, opener = pair(limits)
        same = fragment(0, b"\x01" * 30)
        frames = [sealer.seal(same) for _ in range(20)]
        assert len(set(frames)) == 20  # no nonce comes back under the same key
        assert [opener.open(frame) for frame in frames] == [same] * 20
        assert sealer._key == opener._key != KEY
        _, never = pair(FrameLimits())
        opened = 0
        while opened < 20:
            try:
                never.open(frames[opened])
            except FrameInvalid:
                break
            opened += 1
        assert 0 < opened <= 3


def test_the_two_directions_do_not_open_each_other() -> None:
    sealer, opener = Sealer(KEY, FrameLimits()), Opener(KEY[::-1], FrameLimits())
    with pytest.raises(FrameInvalid):
        opener.open(sealer.seal(fragment(0, b"\x01")))


# -- fragments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"\x80",
        b"\x80\x00\x00",
        b"\x80\x00\x00\x02\x01",
        b"\x80\xff\xff\xff\x01",
        fragment(0, b"\x01") + b"\x80\x00",
        fragment(0, b"\x01") * (MAX_FRAGMENTS + 1),
    ],
)
def test_a_frame_that_ends_inside_a_fragment_or_has_too_many_is_refused(content: bytes) -> None:
    with pytest.raises(FrameInvalid):
        list(split_fragments(content))


@pytest.mark.parametrize("channel", [6, 7, 60, 0x7E])
def test_a_channel_that_is_none_is_refused(channel: int) -> None:
    with pytest.raises(PeerMisbehaved):
        assembler().add(fragment(channel, b"\x01"))


@pytest.mark.parametrize("channel", list(Channel))
def test_a_message_on_the_channel_of_another_is_refused_by_its_first_byte(channel: Channel) -> None:
    other = next(one for one in Channel if one is not channel)
    for last in (True, False):
        with pytest.raises(PeerMisbehaved):
            assembler().add(fragment(channel, payload(other, 5), last=last))
    with pytest.raises(PeerMisbehaved):
        assembler().add(fragment(channel, b""))


def test_control_messages_are_one_short_fragment() -> None:
    assert assembler().add(fragment(CONTROL, b"\x02" + bytes(8))) == [(CONTROL, b"\x02" + bytes(8))]
    for wrong in (
        fragment(CONTROL, b""),
        fragment(CONTROL, b"\x02", last=False),
        fragment(CONTROL, bytes(257)),
    ):
        with pytest.raises(FrameInvalid):
            assembler().add(wrong)


@pytest.mark.parametrize("channel", list(Channel))
def test_a_message_one_byte_above_the_bound_of_its_channel_is_refused_before_it_is_whole(
    channel: Channel,
) -> None:
    taker, limit = assembler(PLENTY), MAX_MESSAGE_SIZE[channel]
    left, step = limit, 60_000
    while left:
        size = min(step, left)
        taker.add(fragment(channel, bytes([TAGS[channel][0]]) * size, last=False))
        left -= size
    for last in (False, True):
        with pytest.raises(TooLarge):
            taker.add(fragment(channel, b"\x01", last=last))
    assert taker.held == limit


@pytest.mark.parametrize("channel", list(Channel))
def test_a_message_of_exactly_the_bound_goes_through(channel: Channel) -> None:
    sender, taker = queues(), assembler()
    message = payload(channel, MAX_MESSAGE_SIZE[channel])
    assert sender.put(channel, message)
    got = []
    while sender:
        got += taker.add(sender.next_frame()[0])
    assert got == [(channel, message)]
    assert taker.held == 0


def test_unfinished_messages_of_one_peer_are_bounded_together() -> None:
    taker = assembler(limit=100_000)
    taker.add(fragment(Channel.CONSENSUS, payload(Channel.CONSENSUS, 60_000), last=False))
    with pytest.raises(TooLarge):
        taker.add(fragment(Channel.BLOCKS, payload(Channel.BLOCKS, 60_000), last=False))


def test_unfinished_messages_of_all_peers_share_a_budget_and_give_it_back() -> None:
    budget = Budget(100_000)
    first, second = Assembler(budget, PLENTY), Assembler(budget, PLENTY)
    first.add(fragment(Channel.BLOCKS, payload(Channel.BLOCKS, 60_000), last=False))
    with pytest.raises(LimitExceeded):
        second.add(fragment(Channel.BLOCKS, payload(Channel.BLOCKS, 60_000), last=False))
    first.close()
    second.close()
    assert budget.used == 0


def test_empty_fragments_do_not_keep_a_message_going() -> None:
    taker = assembler()
    taker.add(fragment(Channel.BLOCKS, payload(Channel.BLOCKS, 5), last=False))
    with pytest.raises(FrameInvalid):
        taker.add(fragment(Channel.BLOCKS, b"", last=False))


# -- queues ----------------------------------------------------------------------------------------


def test_a_vote_waits_behind_no_more_than_one_frame_of_a_block() -> None:
    sender, taker = queues(), assembler()
    sender.put(Channel.BLOCKS, payload(Channel.BLOCKS, 1_000_000))
    first, _ = sender.next_frame()
    assert len(first) <= CONTENT_SIZE
    sender.put(Channel.CONSENSUS, b"\x01vote")
    taker.add(first)
    assert taker.add(sender.next_frame()[0])[0] == (Channel.CONSENSUS, b"\x01vote")


def test_control_goes_first_and_then_channels_in_order() -> None:
    sender, taker = queues(), assembler()
    for channel in reversed(Channel):
        sender.put(channel, payload(channel, 10))
    sender.put_control(b"\x02")
    content, ended = sender.next_frame()
    assert ended == len(Channel)
    assert [channel for channel, _ in taker.add(content)] == [CONTROL, *Channel]


@pytest.mark.parametrize("channel", list(Channel))
def test_a_queue_is_bounded_in_messages_and_in_bytes(channel: Channel) -> None:
    sender = queues()
    accepted = 0
    while sender.put(channel, payload(channel, 1)):
        accepted += 1
    assert accepted == min(QUEUE_COUNT[channel], QUEUE_BYTES[channel])
    sender.clear()
    size = min(MAX_MESSAGE_SIZE[channel], 5_000)
    accepted = 0
    while sender.put(channel, payload(channel, size)):
        accepted += 1
    assert accepted <= QUEUE_COUNT[channel]
    assert accepted * size <= QUEUE_BYTES[channel]
    assert sender.queued_bytes[channel] == accepted * size


def test_what_waits_for_all_peers_is_bounded_but_votes_still_get_through() -> None:
    budget = Budget(1_000_000)
    greedy, other = SendQueues(budget), SendQueues(budget)
    assert greedy.put(Channel.BLOCKS, payload(Channel.BLOCKS, 900_000))
    assert other.put(Channel.MEMPOOL, payload(Channel.MEMPOOL, 50_000))
    assert not other.put(Channel.MEMPOOL, payload(Channel.MEMPOOL, 60_000))
    for _ in range(QUEUE_FREE // 3_000):
        assert other.put(Channel.CONSENSUS, payload(Channel.CONSENSUS, 3_000))
    greedy.clear()
    other.clear()
    assert budget.used == 0


@pytest.mark.parametrize("wrong", [b"", b"\x70", bytes(3)])
def test_a_payload_that_no_peer_would_take_is_not_queued(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        queues().put(Channel.CONSENSUS, wrong)
    with pytest.raises(ValueError):
        queues().put(Channel.PEERS, payload(Channel.PEERS, MAX_MESSAGE_SIZE[Channel.PEERS] + 1))


class Wire(RuleBasedStateMachine):
    """Messages of any channel and size, put in at any moment, come out whole, in order within their channel."""

    def __init__(self) -> None:
        super().__init__()
        self.budget, self.partial = Budget(PLENTY), Budget(PLENTY)
        self.sender, self.taker = SendQueues(self.budget), Assembler(self.partial, PLENTY)
        self.sealer, self.opener = pair(FrameLimits(rekey_frames=5))
        self.sent: dict[int, list[bytes]] = {channel: [] for channel in Channel}
        self.got: dict[int, list[bytes]] = {channel: [] for channel in Channel}

    @rule(channel=st.sampled_from(list(Channel)), size=st.integers(1, 300_000), seed=st.integers(0, 255))
    def put(self, channel: Channel, size: int, seed: int) -> None:
        size = min(size, MAX_MESSAGE_SIZE[channel])
        message = bytes((TAGS[channel][0],)) + bytes([seed]) * (size - 1)
        if self.sender.put(channel, message):
            self.sent[channel].append(message)

    @precondition(lambda self: bool(self.sender))
    @rule()
    def transmit(self) -> None:
        content, _ = self.sender.next_frame()
        assert FRAGMENT_HEAD < len(content) <= CONTENT_SIZE
        for channel, message in self.taker.add(self.opener.open(self.sealer.seal(content))):
            self.got[channel].append(message)

    @invariant()
    def in_order(self) -> None:
        for channel in Channel:
            assert self.got[channel] == self.sent[channel][: len(self.got[channel])]

    def teardown(self) -> None:
        while self.sender:
            self.transmit()
        assert self.got == self.sent
        assert self.budget.used == self.partial.used == self.taker.held == 0


TestWire = Wire.TestCase


@given(st.lists(st.binary(max_size=400), max_size=6), st.booleans())
def test_any_content_is_taken_or_refused_and_its_memory_is_accounted_for(
    contents: list[bytes], shaped: bool
) -> None:
    budget = Budget(1_000)
    taker = Assembler(budget, 600)
    for content in contents:
        data = (
            fragment(content[0] & 0x07, content[1:], last=bool(content[0] & 8))
            if shaped and content
            else content
        )
        try:
            taker.add(data)
        except (FrameInvalid, LimitExceeded, PeerMisbehaved, TooLarge):
            break
        assert taker.held == budget.used <= 600
    taker.close()
    assert taker.held == budget.used == 0


def test_a_sealed_frame_tells_nothing_by_repetition() -> None:
    sealer = Sealer(secrets.token_bytes(32), FrameLimits())
    same = fragment(0, b"\x01" * 100)
    assert sealer.seal(same) != sealer.seal(same)
