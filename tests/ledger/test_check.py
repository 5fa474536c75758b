"""The check finds any changed byte, any lost and any foreign record; and a sound store is sound."""

from __future__ import annotations

from random import Random

import msgpack
import pytest

from ledger import check as check_module
from ledger.backend import StorageFault
from ledger.backends.memory import MemoryBackend, MemoryView
from ledger.check import check
from ledger.findings import FAMILIES, MAX_ERRORS, CheckProgress, CheckReport
from ledger.keys import NODE, VALUE, version_key
from ledger.meta import STATE_KEY
from ledger.options import Options
from ledger.store import Ledger
from ledger.versions import history_stem
from tests.conftest import LONG
from tests.ledger.chains import CODECS, TEXTS, account, account_key, add_block, encoded, new_chain, parts

Entries = dict[bytes, bytes]
END = b"\xff" * 8


def entries_of(store: MemoryBackend) -> Entries:
    return dict(store.iterate(b"", END))


def checked(entries: Entries) -> CheckReport:
    return check(MemoryView(entries), CODECS)


ACCOUNTS = 9
"""So few that the root, while texts come, is a small bundle, one that is patched and a large one, and nodes go out of use."""


def kept_chain(blocks: int = 6) -> Entries:
    store = MemoryBackend()
    ledger = new_chain(store, ACCOUNTS)
    for _ in range(blocks):
        add_block(ledger, ACCOUNTS)
    return entries_of(store)


def pruned_chain(limit: int) -> Entries:
    store = MemoryBackend()
    ledger = new_chain(store, ACCOUNTS, options=Options(history=3, retain_blocks=3))
    for _ in range(6):
        add_block(ledger, ACCOUNTS)
    ledger.prune(limit)
    return entries_of(store)


STORES = {
    "archive": kept_chain,
    "pruned": lambda: pruned_chain(1_000),
    "no blocks yet": lambda: kept_chain(0),
}


@pytest.mark.parametrize("name", STORES)
def test_a_sound_store_is_reported_sound_with_every_record_counted(name: str) -> None:
    entries = STORES[name]()
    report = checked(entries)
    assert report.ok
    assert report.errors == ()
    assert sum(report.records.values()) == len(entries)
    assert sum(report.bytes.values()) == sum(len(key) + len(value) for key, value in entries.items())


@pytest.mark.parametrize("name", STORES)
def test_any_changed_byte_of_any_record_is_found(name: str) -> None:
    """Six bytes of each record; in the long run all of them, with other bits each time."""
    entries = STORES[name]()
    random = Random(None if LONG else 7)
    families = set()
    for key, value in entries.items():
        most = len(value) if LONG else 6
        for at in random.sample(range(len(value)), min(most, len(value))):
            damaged = bytearray(value)
            damaged[at] ^= 1 << random.randrange(8)
            report = checked({**entries, key: bytes(damaged)})
            assert not report.ok, (key, at)
            assert report.errors
        families.add(key[:1])
    if name == "archive":
        assert families == set(FAMILIES)


@pytest.mark.parametrize("name", STORES)
def test_a_lost_record_and_one_under_another_key_are_found(name: str) -> None:
    entries = STORES[name]()
    random = Random(7)
    for key, value in entries.items():
        rest = {other: kept for other, kept in entries.items() if other != key}
        assert not checked(rest).ok, key
        moved = bytearray(key)
        moved[random.randrange(len(key))] ^= 1 << random.randrange(8)
        if bytes(moved) not in entries:
            assert not checked({**rest, bytes(moved): value}).ok, (key, bytes(moved))


def test_a_record_of_no_kind_is_found_wherever_it_lies() -> None:
    entries = kept_chain(2)
    for key in (
        b"",
        b"A",
        b"Z" * 9,
        b"\xff" * 3,
        b"M|other",
        b"V",
        b"B",
        b"T" + bytes(32),
        b"N",
        b"R\x00",
        b"I" + bytes(32),
    ):
        report = checked({**entries, key: b"x"})
        assert not report.ok, key


def test_an_additional_value_or_a_leaf_without_one_is_named() -> None:
    entries = kept_chain(3)
    extra = TEXTS + b"nobody wrote this"
    report = checked({**entries, VALUE + extra: CODECS[TEXTS].encode("x")})
    assert "a value without a leaf" in {error.detail for error in report.errors}
    lost = {key: value for key, value in entries.items() if key != VALUE + account_key(3)}
    assert "a leaf without a value" in {error.detail for error in checked(lost).errors}
    swapped = {**entries, VALUE + account_key(3): entries[VALUE + account_key(4)]}
    assert "value and leaf differ" in {error.detail for error in checked(swapped).errors}


def test_a_value_its_codec_does_not_know_is_named_even_where_the_tree_agrees() -> None:
    store = MemoryBackend()
    ledger = new_chain(store, 20)
    report = check(store, {TEXTS: CODECS[TEXTS]})
    assert not report.ok
    assert all("no module declares" in error.detail for error in report.errors)
    assert ledger.check().ok


@pytest.mark.parametrize("limit", [1, 4, 20])
def test_what_pruning_has_not_come_to_yet_is_no_damage(limit: int) -> None:
    entries = pruned_chain(limit)
    assert checked(entries).ok


def test_a_list_that_would_make_pruning_delete_a_needed_node_is_found() -> None:
    """Also among the lists that are left over, whose own versions are gone."""
    entries = pruned_chain(1)
    leftover = min(key for key in entries if key[:1] == b"O")
    needed = max(key for key in entries if key[:1] == NODE)
    keys = msgpack.unpackb(entries[leftover])
    for listed in ([needed, *keys[1:]], [*keys, keys[0]]):
        assert not checked({**entries, leftover: msgpack.packb(listed)}).ok


def test_a_change_that_history_never_heard_of_is_found() -> None:
    entries = kept_chain()
    listed = max(key for key in entries if key[:1] == b"C")
    first, *rest = msgpack.unpackb(entries[listed])
    del entries[history_stem(first) + version_key(6)]
    report = checked({**entries, listed: msgpack.packb(rest)})
    assert any("not listed" in error.detail for error in report.errors)


@pytest.mark.parametrize("field", ["time", "transactions_root", "evidence_root", "commit_hash", "chain_id"])
def test_a_block_that_nobody_would_have_agreed_to_is_found(field: str) -> None:
    """The header links and hashes well; what it says of the block is wrong."""
    store = MemoryBackend()
    ledger = new_chain(store, 20)
    add_block(ledger, 20)
    wrong = {"time": 1_001, "chain_id": "other-chain"}.get(field, bytes(32))
    prepared = ledger.prepare(2, {})
    ledger.commit(prepared, **parts(ledger, prepared, 2, **{field: wrong}))
    add_block(ledger, 20)
    assert [error.place for error in ledger.check().errors] == ["block 2"]


def test_a_large_state_is_read_in_several_passes_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryBackend()
    ledger = new_chain(store, 300)
    monkeypatch.setattr(check_module, "COLLECTED", 40)
    assert ledger.check().ok
    entries = entries_of(store)
    for key in [account_key(1), account_key(200)]:
        assert not checked({**entries, VALUE + key: encoded({key: account(3, 3)})[key]}).ok


def test_errors_are_bounded_and_the_rest_is_counted() -> None:
    entries = {key: value for key, value in kept_chain(6).items() if key[:1] not in (b"S", b"T", b"I")}
    foreign = {b"Z" + bytes((n,)): b"" for n in range(250)}
    report = checked({**entries, **foreign})
    assert len(report.errors) == MAX_ERRORS
    assert report.more_errors >= 150


def test_a_store_that_cannot_be_read_in_places_is_reported_not_raised() -> None:
    class Unreadable(MemoryView):
        bad = b""

        def get(self, key: bytes, /) -> bytes | None:
            if key == self.bad:
                raise StorageFault("a block of the database is damaged")
            return super().get(key)

        def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False):
            for key, value in super().iterate(start, stop, reverse=reverse):
                if key == self.bad:
                    raise StorageFault("a block of the database is damaged")
                yield key, value

    entries = kept_chain(4)
    for key in entries:
        view = Unreadable(dict(entries))
        view.bad = key
        report = check(view, CODECS)
        assert not report.ok, key
        assert any(error.kind == "unreadable" for error in report.errors), key


def test_progress_names_stages_and_only_grows() -> None:
    store = MemoryBackend()
    ledger = new_chain(store, 20)
    add_block(ledger, 20)
    seen: list[CheckProgress] = []
    assert ledger.check(seen.append).ok
    assert {"values", "tree", "versions", "chain"} <= {progress.stage for progress in seen}
    assert all(progress.done >= 1 for progress in seen)


def test_a_check_reads_one_moment_while_blocks_go_on() -> None:
    store = MemoryBackend()
    ledger = new_chain(store, 20)
    add_block(ledger, 20)
    added: list[int] = []

    def meanwhile(progress: CheckProgress) -> None:
        if len(added) < 3:
            added.append(add_block(ledger, 20).height)

    report = ledger.check(meanwhile)
    assert report.ok
    assert report.height == 1
    assert ledger.height == 4


def test_a_store_without_a_chain_is_no_sound_chain() -> None:
    assert not check(MemoryBackend(), CODECS).ok
    entries = kept_chain(1)
    del entries[STATE_KEY]
    report = checked(entries)
    assert report.height is None
    assert not report.ok


def test_a_chain_that_was_opened_again_and_pruned_over_and_over_stays_sound() -> None:
    store = MemoryBackend()
    new_chain(store, 20)
    for turn in range(12):
        ledger = Ledger.open_in(store, codecs=CODECS, options=Options(history=2, retain_blocks=4))
        add_block(ledger, 20)
        ledger.prune(turn + 1)
        report = ledger.check()
        assert report.ok, report.errors
