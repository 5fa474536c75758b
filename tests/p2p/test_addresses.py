"""Addresses as people write them, network groups, and the bounds on what a group may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.addresses import (
    LOCAL_GROUP,
    PeerAddress,
    group_of,
    host_key,
    is_local,
    parse_address,
    parse_host_port,
)
from p2p.channels import Channel
from p2p.limits import MAX_MESSAGE_SIZE, Bucket, KeyedBuckets, Rate
from p2p.messages import MAX_MESSAGE_SIZE as STATED
from p2p.pex import MAX_SIZE
from p2p.settings import NetworkSettings, parsed
from p2p.sync_messages import MAX_SYNC_MESSAGE_SIZE
from qenex.errors import InvalidPeerAddress

ID = "0f" * 32


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"{ID}@198.51.100.4:7400", "198.51.100.4", 7400),
        (f"{ID}@node.example.org:1", "node.example.org", 1),
        (f"{ID}@[2001:db8::1]:65535", "2001:db8::1", 65_535),
    ],
)
def test_an_address_reads_and_writes_the_same(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == PeerAddress(ID, host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "198.51.100.4:7400",
        f"{ID}@",
        f"{ID}@:7400",
        f"{ID}@host",
        f"{ID}@host:0",
        f"{ID}@host:65536",
        f"{ID}@host:7400/x",
        f"{ID}@ho st:7400",
        f"{ID}@[2001:zz::1]:7400",
        f"{ID}@[:::]:7400",
        f"{ID[:-1]}@host:7400",
        f"{ID.upper()}@host:7400",
        f"{ID}@{'x' * 500}:7400",
        f"{ID}@a@b:7400",
        f"{ID}@host:٧٤٠٠",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeerAddress):
        parse_address(text)


@given(st.text(max_size=600))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for read in (parse_address, parse_host_port):
        try:
            found = read(text)
        except InvalidPeerAddress:
            continue
        assert str(found[-1]).isdigit()


def test_groups_are_prefixes_and_what_is_not_routed_is_one() -> None:
    assert group_of("31.7.1.1") == group_of("31.7.250.9") != group_of("31.8.1.1")
    assert group_of("2a00:1:2::1") == group_of("2a00:1:ffff::9") != group_of("2a00:2::1")
    assert group_of("::ffff:31.7.1.1") == group_of("31.7.1.1")
    for host in ("127.0.0.1", "10.1.1.1", "192.168.7.7", "::1", "fe80::1", "fe80::1%eth0"):
        assert group_of(host) == LOCAL_GROUP
        assert is_local(host)
    assert group_of("Example.org") == group_of("example.ORG") != group_of("b.example.org")
    assert host_key("2a00:1:2:3::1") == host_key("2a00:1:2:3:4:5:6:7") != host_key("2a00:1:2:4::1")


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(Rate(3, 2), 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)
    bucket.refill(1_000.0)
    assert bucket.tokens == 3
    assert not bucket.take(900.0, 4), "a clock that goes back gives nothing"


def test_a_borrowed_bucket_says_how_long_to_wait() -> None:
    bucket = Bucket(Rate(10, 5), 0.0)
    assert bucket.borrow(0.0, 10) == 0
    assert bucket.borrow(0.0, 10) == 2.0
    assert bucket.borrow(1.0, 0) == 1.0


@given(st.lists(st.integers(0, 100_000), max_size=300))
def test_buckets_by_key_are_bounded(keys: list[int]) -> None:
    buckets = KeyedBuckets(Rate(1, 0.1), limit=16)
    for key in keys:
        buckets.take(str(key), 0.0)
        assert len(buckets) <= 16


def test_the_transport_lets_through_what_message_modules_state() -> None:
    assert set(MAX_MESSAGE_SIZE) == set(Channel)
    for channel, size in (STATED | MAX_SYNC_MESSAGE_SIZE).items():
        assert MAX_MESSAGE_SIZE[channel] >= size
    assert MAX_MESSAGE_SIZE[Channel.PEERS] >= MAX_SIZE
    assert max(MAX_MESSAGE_SIZE.values()) < 1 << 24, "a fragment's length has three bytes"


@pytest.mark.parametrize(
    "wrong",
    [
        NetworkSettings(persistent_peers=("x",)),
        NetworkSettings(seeds=(f"{ID}@host",)),
        NetworkSettings(private_peer_ids=("f" * 63,)),
        NetworkSettings(external_address="host"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_of_its_text(wrong: NetworkSettings) -> None:
    with pytest.raises(InvalidPeerAddress):
        parsed(wrong)


def test_a_node_on_a_local_address_deals_in_local_ones_and_one_on_all_does_not() -> None:
    assert parsed(NetworkSettings(host="127.0.0.1")).local
    assert parsed(NetworkSettings(host="10.0.0.7")).local
    assert not parsed(NetworkSettings(host="0.0.0.0")).local
    assert not parsed(NetworkSettings(host="31.7.1.1")).local
    assert not parsed(NetworkSettings(host="127.0.0.1", local=False)).local
