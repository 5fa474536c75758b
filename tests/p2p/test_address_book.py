"""The address book: bounded, spread over network groups, and never the reason that a node does not start."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.address_book import (
    BUCKET_SIZE,
    MAX_FAILURES,
    NEW_BUCKETS,
    NEW_REACH,
    STALE_SECONDS,
    TRIED_BUCKETS,
    TRIED_REACH,
    AddressBook,
)
from p2p.addresses import PeerAddress, group_of


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def book(
    path: Path | None = None, *, secret: bytes = b"s" * 32, clock: Clock | None = None, **other
) -> AddressBook:
    return AddressBook(clock or Clock(), path, secret=secret, random=Random(7), **other)


def at(number: int, host: str = "", port: int = 7400) -> PeerAddress:
    host = host or f"{20 + number % 60}.{number // 60 % 250}.7.{number % 250 + 1}"
    return PeerAddress(number.to_bytes(32, "big").hex(), host, port)


def in_group(number: int, group: tuple[int, int] = (31, 7)) -> PeerAddress:
    return at(number, f"{group[0]}.{group[1]}.{number // 250 % 250}.{number % 250 + 1}")


@given(st.integers(0, 2**64), st.integers(1, 3_000))
def test_one_group_of_tellers_fills_only_its_share(seed: int, count: int) -> None:
    one = book(secret=seed.to_bytes(32, "big"))
    for number in range(count):
        one.add(at(seed % 1_000 + number), f"77.1.{number % 256}.{number // 256 % 256}")
    new, tried = one.counts()
    assert tried == 0
    assert new == len(one) <= NEW_REACH * BUCKET_SIZE


@given(st.integers(0, 2**64))
def test_addresses_of_one_group_fill_only_their_share_of_the_tried(seed: int) -> None:
    one = book(secret=seed.to_bytes(32, "big"))
    for number in range(1_000):
        one.succeeded(in_group(number))
    _, tried = one.counts()
    assert tried <= TRIED_REACH * BUCKET_SIZE


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 60_000), st.sampled_from("ASFR")), max_size=300)
)
def test_the_book_stays_bounded_and_its_tables_agree(acts: list[tuple[int, int, str]]) -> None:
    one = book()
    for number, teller, act in acts:
        if act == "A":
            one.add(at(number), f"{40 + teller % 100}.{teller // 100 % 250}.1.1")
        elif act == "S":
            one.succeeded(at(number))
        elif act == "F":
            one.attempted(at(number).node_id)
        else:
            one.remove(at(number).node_id)
        new, tried = one.counts()
        assert len(one) == new + tried
        assert new <= NEW_BUCKETS * BUCKET_SIZE
        assert tried <= TRIED_BUCKETS * BUCKET_SIZE
    for table, is_tried in ((one._new, False), (one._tried, True)):
        for node_id in table.values():
            entry = one.entry(node_id)
            assert entry is not None
            assert entry.tried is is_tried


def test_honest_addresses_stay_findable_beside_an_attacker_with_one_group() -> None:
    one = book()
    honest = [at(number) for number in range(200)]
    for number, address in enumerate(honest):
        one.add(address, f"{90 + number % 50}.{number}.1.1")
    kept = {address.node_id for address in honest if address.node_id in one}
    for number in range(20_000):
        one.add(in_group(10_000 + number), f"77.1.{number % 256}.9")
    assert {node_id for node_id in kept if node_id in one} == kept
    picked = [one.pick() for _ in range(400)]
    mine = sum(address is not None and group_of(address.host) == "4:1f07" for address in picked)
    assert mine < 200, "most choices are honest, although most addresses are not"


@pytest.mark.parametrize(
    "host",
    ["example.org", "10.1.2.3", "127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1", "192.168.1.1", "::"],
)
def test_names_and_addresses_that_lead_nowhere_are_not_taken(host: str) -> None:
    one = book()
    assert not one.add(at(1, host), "77.1.1.1")
    one.succeeded(at(1, host))
    assert len(one) == 0


def test_a_development_network_takes_local_addresses() -> None:
    one = book(local=True)
    assert one.add(at(1, "127.0.0.1"), "127.0.0.1")
    assert not one.add(at(2, "0.0.0.0"), "127.0.0.1")


def test_a_node_does_not_keep_itself() -> None:
    assert not book(own_id=at(1).node_id).add(at(1), "77.1.1.1")


def test_hearsay_does_not_move_a_known_node_until_its_address_has_failed() -> None:
    one = book()
    one.add(at(1), "77.1.1.1")
    moved = at(1, "99.9.9.9")
    assert not one.add(moved, "77.1.1.1")
    for _ in range(MAX_FAILURES):
        one.attempted(moved.node_id)
    assert one.add(moved, "77.1.1.1")
    entry = one.entry(moved.node_id)
    assert entry is not None
    assert entry.address == moved


def test_a_taken_place_is_given_up_when_its_holder_failed_or_was_not_heard_of_for_long() -> None:
    clock = Clock()
    one = book(clock=clock)
    for number in range(3_000):
        one.add(at(number), "77.1.1.1")
    clock.now += STALE_SECONDS + 1
    before = set(one._entries)
    for number in range(20_000, 20_500):
        one.add(at(number), "77.1.1.1")
    after = set(one._entries)
    assert len(one) <= NEW_REACH * BUCKET_SIZE
    assert before - after
    assert after - before


def test_a_node_that_answers_is_not_displaced_by_others_of_its_bucket() -> None:
    one = book()
    first = in_group(1)
    one.succeeded(first)
    for number in range(2, 2_000):
        one.succeeded(in_group(number))
    entry = one.entry(first.node_id)
    assert entry is not None
    assert entry.tried


def test_pick_leaves_out_the_excluded_nodes_and_groups_and_those_that_just_failed() -> None:
    clock = Clock()
    one = book(clock=clock)
    a, b, c = at(1, "31.7.1.1"), at(2, "32.7.1.1"), at(3, "33.7.1.1")
    for address in (a, b, c):
        assert one.add(address, "77.1.1.1")
    assert one.pick({a.node_id, b.node_id}) == c
    assert one.pick({a.node_id}, {group_of(c.host)}) == b
    one.attempted(b.node_id)
    assert one.pick({a.node_id}, {group_of(c.host)}) is None
    clock.now += 3_600
    assert one.pick({a.node_id}, {group_of(c.host)}) == b
    assert book().pick() is None


def test_a_sample_is_bounded_and_leaves_private_nodes_out() -> None:
    one = book()
    for number in range(2_000):
        one.add(at(number), f"{90 + number % 50}.{number % 200}.1.1")
    hidden = next(iter(one._entries))
    for _ in range(50):
        sample = one.sample(48, {hidden})
        assert len(sample) == len(set(sample)) == 48
        assert hidden not in {address.node_id for address in sample}
    assert len(one.sample(10_000)) <= len(one) // 4 + 1


# -- file --------------------------------------------------------------------------------------


def saved(path: Path, count: int = 300) -> AddressBook:
    one = book(path)
    for number in range(count):
        one.add(at(number), f"{90 + number % 50}.{number % 200}.1.1")
        if number % 5 == 0:
            one.succeeded(at(number))
    data = one.take_dirty()
    assert data is not None
    one.save(data)
    return one


def test_the_book_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    one = saved(path)
    again = AddressBook(Clock(), path)
    assert again._entries == one._entries
    assert again._new == one._new
    assert again._tried == one._tried
    assert again.take_dirty() is None
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.data())
def test_a_damaged_file_costs_the_book_and_never_the_node(
    tmp_path_factory: pytest.TempPathFactory, data
) -> None:
    path = tmp_path_factory.mktemp("book") / "addresses.json"
    saved(path, 20)
    good = path.read_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    path.write_bytes(
        good[:cut] + data.draw(st.binary(max_size=20)) + good[cut + data.draw(st.integers(0, 30)) :]
    )
    again = AddressBook(Clock(), path)
    assert len(again) <= 21
    for number in range(20):
        again.add(at(number), "77.1.1.1")
    assert len(again) > 0
    data_again = again.take_dirty()
    if data_again is not None:  # else the damage changed nothing
        again.save(data_again)
    assert len(AddressBook(Clock(), path)) == len(again)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"schema_version": 2}',
        '{"schema_version": 1, "secret": "00", "addresses": []}',
        "[" * 50_000,
        '{"schema_version": 1, "secret": "%s", "addresses": [["x"]]}' % ("00" * 32),
        '{"schema_version": 1, "secret": "%s", "addresses": {"a": 1}}' % ("00" * 32),
        '{"schema_version": 1, "secret": "%s", "addresses": [[1, 2, 3, 4, 5, 6, 7]]}' % ("00" * 32),
    ],
)
def test_a_file_that_is_no_book_is_kept_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "addresses.json"
    path.write_text(text)
    assert len(AddressBook(Clock(), path)) == 0
    assert (tmp_path / "addresses.json.damaged").read_text() == text


def test_a_file_that_claims_too_many_addresses_fills_no_more_than_the_book(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    rows = [[str(at(n)), "4:0101", 1, False, 0, 0, 0] for n in range(20_000)]
    path.write_text(json.dumps({"schema_version": 1, "secret": "11" * 32, "addresses": rows}))
    assert len(AddressBook(Clock(), path)) <= NEW_REACH * BUCKET_SIZE


def test_a_file_that_cannot_be_read_or_written_is_survived(tmp_path: Path) -> None:
    (tmp_path / "addresses.json").mkdir()
    one = AddressBook(Clock(), tmp_path / "addresses.json")
    assert one.add(at(1), "77.1.1.1")
    one.save(one.take_dirty() or b"")
    assert len(one) == 1
