"""Typed collections: what is written can be read back, pages are in key order, nothing else is stored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defi_modules.bank import Bank
from ledger.collections import (
    MAX_PAGE,
    AccountCodec,
    Counter,
    Item,
    Map,
    NumberCodec,
    OrderedMap,
    RecordCodec,
    end_of_prefix,
)
from ledger.state import EmptyBase, State
from qenex.codec import MAX_VALUE_SIZE
from qenex.crypto import Address
from qenex.errors import LimitExceeded, MalformedBytes, ValueOutOfRange, ValueTooLarge
from qenex.state_keys import Account
from qenex.types import U8, U16, U64, Amount, Bps, Bytes32, Denom, Length
from tests.ledger.test_state import Plain
from vm.accounts import Accounts


class Pool(NamedTuple):
    """A record of every kind of field."""

    owner: Address
    reserve: Amount
    fee: Bps
    name: str
    open: bool
    limit: int | None
    ticks: tuple[U16, ...]


class Size(IntEnum):
    SMALL = 1


POOLS = st.builds(
    Pool,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**128 - 1),
    st.integers(0, 10_000),
    st.text(max_size=20),
    st.booleans(),
    st.one_of(st.none(), st.integers(-(2**256) + 1, 2**256 - 1)),
    st.lists(st.integers(0, 65_535), max_size=5).map(tuple),
)
CODEC = RecordCodec(Pool, 1, {})


def fresh() -> State:
    return State(EmptyBase())


EDGES = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**127]


@given(
    st.builds(
        Account,
        st.sampled_from([n for n in EDGES if n < 2**64]) | st.integers(0, 2**64 - 1),
        st.sampled_from(EDGES) | st.integers(0, 2**65),
        st.sampled_from([b"", bytes(33), b"\x01" * 32, bytes(34)]) | st.binary(max_size=65),
        st.sampled_from([0, 1, 10_000]),
        st.sampled_from([0, 1, 4, 255]),
    ),
    st.sampled_from([1, 2, 127]),
)
def test_account_records_are_encoded_as_any_record(record: Account, schema: int) -> None:
    codec = AccountCodec(Account, schema, {})
    assert codec.encode(record) == RecordCodec(Account, schema, {}).encode(record)
    assert codec.decode(codec.encode(record)) == record


@pytest.mark.parametrize("key", [b"", bytes(33)])
@pytest.mark.parametrize("balance", EDGES)
@pytest.mark.parametrize("sequence", [0, 127, 128])
def test_the_usual_account_records_are_encoded_as_any_record(sequence: int, balance: int, key: bytes) -> None:
    record = Account(sequence, balance, key, 0, 0)
    assert Accounts.records.codec.encode(record) == RecordCodec(Account, 1, {}).encode(record)


@given(
    st.one_of(st.integers(-(1 << 255), 1 << 255), st.integers(0, 1 << 65), st.sampled_from(EDGES)),
    st.sampled_from([1, 2, 127]),
)
def test_numbers_are_encoded_as_any_value(number: int, schema: int) -> None:
    codec = NumberCodec(int, schema, {})
    assert codec.encode(number) == RecordCodec(int, schema, {}).encode(number)
    assert codec.decode(codec.encode(number)) == number


def test_collections_of_integers_have_the_codec_of_numbers() -> None:
    assert type(Bank.balances.codec) is type(Counter(2).codec) is NumberCodec
    assert type(Item[bool](1, bool).codec) is type(Item[str](1, str).codec) is RecordCodec


@given(POOLS)
def test_record_survives_its_encoding(pool: Pool) -> None:
    data = CODEC.encode(pool)
    again = CODEC.decode(data)
    assert again == pool
    assert type(again) is Pool
    assert CODEC.encode(again) == data


@given(POOLS, st.data())
def test_damaged_record_is_a_typed_error_or_another_record(pool: Pool, data: st.DataObject) -> None:
    stored = CODEC.encode(pool)
    at = data.draw(st.integers(0, len(stored) - 1))
    damaged = stored[:at] + bytes([data.draw(st.integers(0, 255))]) + stored[at + 1 :]
    for value in (damaged, stored[:at], damaged + b"\x00"):
        with suppress(MalformedBytes):
            assert type(CODEC.decode(value)) is Pool


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x91\x01",
        b"\x92\x02\x05",
        b"\x93\x01\x05\x05",
        b"\x05",
        b"\xa1x",
        b"\x92\x01\xcb" + bytes(8),
    ],
)
def test_stored_bytes_that_are_no_value_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(MalformedBytes):
        RecordCodec(U64, 1, {}).decode(data)


def test_older_schema_is_read_and_rewritten_in_the_new_form() -> None:
    old = RecordCodec(U64, 1, {}).encode(41)
    new = RecordCodec(U64, 2, {1: lambda fields: fields[0] + 1})
    assert new.decode(old) == 42
    assert new.decode(new.encode(42)) == 42
    with pytest.raises(MalformedBytes):
        RecordCodec(U64, 3, {1: lambda fields: 0}).decode(new.encode(42))


# -- what may be written --------------------------------------------------------------------------------


WRONG: list[tuple[Any, Any]] = [
    (U8, 256),
    (U8, -1),
    (U8, True),
    (U8, Size.SMALL),
    (U64, "1"),
    (U64, b"1"),
    (U64, 1 << 64),
    (Amount, 1 << 128),
    (int, 1 << 256),
    (int, -(1 << 256)),
    (bool, 1),
    (str, b"x"),
    (str, "\ud800"),
    (bytes, bytearray(b"x")),
    (Bytes32, bytes(31)),
    (Denom, "x y"),
    (Address, bytes(33)),
    (tuple[U8, ...], [1]),
    (tuple[U8, ...], (1, 256)),
    (Pool, (1, 2)),
    (U64, {"a": 1}),
    (U64, 1.5),
]


@pytest.mark.parametrize(("hint", "value"), WRONG, ids=lambda x: str(x)[-30:])
def test_value_that_could_not_be_read_back_is_refused(hint: Any, value: Any) -> None:
    state = fresh()
    for collection in (Item[Any](1, hint), Map[int, Any](2, key=U64, value=hint)):
        bound: Any = collection.bind(9, state)
        with pytest.raises(ValueOutOfRange):
            bound.set(*([value] if isinstance(bound, Item) else [1, value]))
    assert state.changes() == {}


@pytest.mark.parametrize("hint", [float, dict, list, set, object, Any, dict[str, int]])
def test_mutable_or_unencodable_types_are_refused_at_declaration(hint: Any) -> None:
    with pytest.raises(TypeError):
        Item(1, hint)
    with pytest.raises(TypeError):
        Map(1, key=hint, value=U8)


def test_value_is_bounded_in_size() -> None:
    state = fresh()
    item = Item[bytes](1, bytes).bind(9, state)
    fits = bytes(MAX_VALUE_SIZE - 5)  # array of two, schema, head of three bytes
    item.set(fits)
    assert item.get() == fits
    with pytest.raises(ValueTooLarge):
        item.set(fits + b"x")
    many = Item[Any](2, tuple[Annotated[bytes, Length(0, 40)], ...]).bind(9, state)
    with pytest.raises(ValueTooLarge):
        many.set((bytes(40),) * 4_000)
    many.set((bytes(40),) * 1_500)


def test_none_deletes() -> None:
    state = fresh()
    item = Item[int](1, U8).bind(9, state)
    item.set(5)
    item.set(None)
    assert item.get() is None
    assert state.changes() == {}


@pytest.mark.parametrize("id", [-1, 256])
def test_collection_id_is_a_byte(id: int) -> None:
    with pytest.raises(TypeError):
        Item(id, U8)


# -- counters and maps -----------------------------------------------------------------------------------


def test_counter_begins_with_one_and_stops_at_its_end() -> None:
    state = fresh()
    counter = Counter(1).bind(9, state)
    assert counter.last() == 0
    assert [counter.next() for _ in range(3)] == [1, 2, 3]
    mark = state.mark()
    counter.next()
    state.revert(mark)
    assert (counter.last(), counter.next()) == (3, 4)
    state.set(counter.prefix, 2**64 - 1)
    with pytest.raises(ValueOutOfRange):
        counter.next()


@pytest.mark.parametrize(
    ("hint", "low", "high"),
    [
        (U8, -1, 256),
        (U64, -1, 2**64),
        (Bytes32, bytes(31), bytes(33)),
        ((Address, U8), (bytes(31), 1), (bytes(32), 256)),
    ],
)
def test_key_outside_its_type_is_an_error_and_not_another_key(hint: Any, low: Any, high: Any) -> None:
    collection = Map[Any, int](1, key=hint, value=U8).bind(9, fresh())
    for key in (low, high):
        with pytest.raises((ValueError, OverflowError)):
            collection.set(key, 1)


def test_two_collections_and_two_modules_never_meet() -> None:
    state = fresh()
    declared = Map[int, int](1, key=U8, value=U8)
    other = Map[int, int](2, key=U8, value=U8)
    bound = [declared.bind(9, state), declared.bind(8, state), other.bind(9, state)]
    for number, collection in enumerate(bound):
        collection.set(1, number)
    assert [collection.get(1) for collection in bound] == [0, 1, 2]


# -- pages --------------------------------------------------------------------------------------------------

TEXT_KEYS = st.tuples(st.integers(0, 3), st.text(alphabet="ab\x00\xff\u1234", max_size=4))
ENTRIES = st.dictionaries(TEXT_KEYS, st.integers(0, 9), max_size=12)


def order_of(collection: OrderedMap[Any, Any]) -> Callable[[Any], bytes]:
    return lambda key: collection.key_of(key)


@given(
    base=ENTRIES,
    written=st.dictionaries(TEXT_KEYS, st.one_of(st.none(), st.integers(0, 9)), max_size=8),
    undone=st.dictionaries(TEXT_KEYS, st.one_of(st.none(), st.integers(0, 9)), max_size=8),
    limit=st.integers(1, 5),
    reverse=st.booleans(),
    first=st.one_of(st.none(), st.integers(0, 3)),
)
def test_pages_follow_each_other_in_key_order(
    base: dict[Any, int], written: dict[Any, int | None], undone: dict[Any, int | None],
    limit: int, reverse: bool, first: int | None,
) -> None:  # fmt: skip
    declared = OrderedMap[Any, int](1, key=(U8, str), value=U8)
    below = declared.bind(9, fresh())
    state = State(Plain({below.key_of(key): value for key, value in base.items()}))
    bound = declared.bind(9, state)
    for key, value in written.items():
        bound.set(key, value)
    mark = state.mark()
    for key, value in undone.items():
        bound.set(key, value)
    state.revert(mark)
    model = {k: v for k, v in {**base, **written}.items() if v is not None and first in (None, k[0])}
    expected = sorted(model.items(), key=lambda item: bound.key_of(item[0]), reverse=reverse)
    by_python = sorted(model.items(), key=lambda item: (item[0][0], item[0][1].encode()), reverse=reverse)
    assert expected == by_python, "the encoded keys keep the order of the parts"
    prefix = b"" if first is None else bytes((first,))
    found: list[Any] = []
    after = None
    while page := bound.page(after=after, prefix=prefix, limit=limit, reverse=reverse):
        assert len(page) <= limit
        found += page
        after = page[-1][0]
    assert found == expected


def test_page_is_bounded() -> None:
    bound = OrderedMap[int, int](1, key=U64, value=U8).bind(9, fresh())
    for number in range(MAX_PAGE + 5):
        bound.set(number, 1)
    assert len(bound.page(limit=MAX_PAGE)) == MAX_PAGE
    assert bound.page(limit=0) == []
    for limit in (MAX_PAGE + 1, -1):
        with pytest.raises(LimitExceeded):
            bound.page(limit=limit)


def test_page_is_a_list_made_before_the_first_write() -> None:
    bound = OrderedMap[int, int](1, key=U64, value=U8).bind(9, fresh())
    for number in range(5):
        bound.set(number, 1)
    for number, _ in bound.page(limit=10):
        bound.set(number, None)
        bound.set(number + 100, 1)
    assert [key for key, _ in bound.page(limit=10)] == [100, 101, 102, 103, 104]


def test_cursor_outside_the_prefix_does_not_leave_it() -> None:
    bound = OrderedMap[Any, int](1, key=(U8, U8), value=U8).bind(9, fresh())
    for a in range(3):
        for b in range(3):
            bound.set((a, b), 1)
    assert [k for k, _ in bound.page(after=(0, 0), prefix=b"\x01", limit=9)] == [(1, 0), (1, 1), (1, 2)]
    assert bound.page(after=(2, 1), prefix=b"\x01", limit=9) == []
    back = bound.page(after=(2, 1), prefix=b"\x01", limit=9, reverse=True)
    assert [k for k, _ in back] == [(1, 2), (1, 1), (1, 0)]


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"\x01", b"\x02"), (b"\x01\xff", b"\x02"), (b"\x00\x01\xff\xff", b"\x00\x02")]
)
def test_end_of_a_prefix_is_the_first_key_above_it(prefix: bytes, end: bytes) -> None:
    assert end_of_prefix(prefix) == end
    assert prefix + b"\xff" * 40 < end


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 1_000])
def test_a_page_tells_whether_more_follows_also_at_the_largest_limit(limit: int) -> None:
    state = State(EmptyBase())
    numbers = OrderedMap[int, int](1, key=U64, value=U64).bind(60, state)
    for number in range(5):
        numbers.set(number, number)
    entries, more = numbers.page_and_more(limit=limit)
    assert entries == numbers.page(limit=min(limit, 5))
    assert more is (limit < 5)
    for wrong in (0, 1_001):
        with pytest.raises(LimitExceeded):
            numbers.page_and_more(limit=wrong)


def test_more_than_a_thousand_entries_are_not_the_end() -> None:
    """Lesson: a query that asked for one entry more than its page saw no more beyond a full page of 1,000."""
    state = State(EmptyBase())
    numbers = OrderedMap[int, int](1, key=U64, value=U64).bind(60, state)
    for number in range(1_001):
        numbers.set(number, number)
    entries, more = numbers.page_and_more(limit=1_000)
    assert (len(entries), more) == (1_000, True)
    assert numbers.page_and_more(limit=1_000, after=entries[-1][0]) == ([(1_000, 1_000)], False)
