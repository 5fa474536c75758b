"""The short way of many payments under one signature does what the general one does."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qenex.crypto.address import Address
from qenex.state_keys import ACCOUNT_RECORDS, FLAG_MODULE_ACCOUNT, Account
from qenex.transaction import (
    Fee,
    Message,
    Signer,
    Transaction,
    Transfer,
    assemble,
    decode_transaction,
    encode_body,
)
from qenex.transfer_form import COIN, SEND_HEAD, SEND_TAIL
from qenex.types import MAX_AMOUNT, QXC
from tests.vm.chain import CHAIN_ID
from tests.vm.test_transfers import (
    HEIGHT,
    KEY,
    UNUSUAL,
    address_of_name,
    agree,
    base_of_rich,
    bases,
    block_of,
    usual,
)

LOOKS: Final = {
    7: Address(COIN + bytes(27)),
    8: Address(SEND_TAIL + SEND_HEAD + bytes(17)),
    9: Address(b"\x09" * 32),
}
"""Accounts whose addresses look like what stands between two payments, and one more."""
Paid = tuple[tuple[int, int], ...]
"""Names of accounts and amounts."""


def address_of(name: int) -> Address:
    return LOOKS.get(name) or address_of_name(name)


class Many(NamedTuple):
    """A transaction of several payments, and what is out of the ordinary with it."""

    to: Paid
    sender: int = 0
    step: int = 0
    gas_limit: int = 20_000
    tip: int = 0
    more: int = 0
    until: int = HEIGHT
    chain_id: str = CHAIN_ID
    verified: tuple[bytes, ...] | None = (KEY,)

    def transaction(self, sequences: dict[int, int], price: int) -> Transaction:
        sequence = max(0, sequences.get(self.sender, 3) + self.step)
        signer = Signer(address_of(self.sender), sequence, None, None)
        messages = [Message("bank.send", (address_of(name), (QXC, amount)), 0) for name, amount in self.to]
        fee = Fee(max(0, self.gas_limit * price + self.tip + self.more), self.gas_limit, self.tip)
        body = encode_body(self.chain_id, [signer], messages, fee, self.until)
        tx = decode_transaction(assemble(body, [bytes(64)]))
        assert isinstance(tx, Transfer)
        assert tx.payments is not None
        tx.verified = self.verified
        return tx


ODD: Final = {name: UNUSUAL[name] for name in ("step", "tip", "more", "until", "chain_id", "verified")}
names = st.sampled_from([0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9])
good_names = st.sampled_from([1, 2, 6, 9])
sums = st.sampled_from([1, 5, 300, 25_000, 10**9])
usual_lists = st.lists(st.tuples(good_names, st.sampled_from([1, 5, 300, 70_000])), min_size=4, max_size=20)
odd_lists = st.lists(st.tuples(good_names, sums) | st.tuples(names, sums), min_size=4, max_size=8)


@st.composite
def plans(draw: st.DrawFn) -> Many:
    to = tuple(draw(usual_lists | odd_lists))
    size = len(Many(to).transaction({}, 10).raw)
    gas = 250 + 420 + size // 4 + 310 * len(to)
    fields = draw(st.lists(st.sampled_from([*sorted(ODD), "gas_limit"]), max_size=2, unique=True))
    odd = {field: draw(st.sampled_from(ODD[field])) for field in fields if field != "gas_limit"}
    if "gas_limit" in fields:
        odd["gas_limit"] = draw(
            st.sampled_from([gas + 1, gas, gas - 1, gas - 11, gas - 310, 700, 100_000, 100_001])
        )
    return Many(to, draw(st.sampled_from([0, 0, 1, 2])), **odd)


def with_more(base: dict[bytes, Any]) -> dict[bytes, Any]:
    for name, address in LOOKS.items():
        base[ACCOUNT_RECORDS + address] = Account(name, 10**6, KEY, 0, 0)
    return base


@settings(max_examples=300)
@given(base=bases().map(with_more), block=st.lists(plans() | st.just(usual()), min_size=1, max_size=5))
def test_both_ways_agree_on_many_payments(base: dict[bytes, Any], block: list[Any]) -> None:
    agree(base, block)


def ran(block: list[Any], base: dict[bytes, Any] | None = None) -> tuple[list[int], int]:
    """Statuses, and how many went the short way."""
    (_, _, receipts, _, _), short = block_of(base or with_more(base_of_rich()), block)
    return [receipt.status for receipt in receipts], short


FOUR: Final = ((1, 5), (2, 6), (9, 7), (1, 2**40))


def test_many_payments_go_the_short_way_and_a_pause_within_the_block_ends_it() -> None:
    block: list[Any] = [
        Many(FOUR[:3] * 3),
        usual(),
        Many(FOUR[:3] * 2, tip=7),
        usual(kind="switch"),
        Many(FOUR[:3] * 2),
    ]
    statuses, short = ran(block)
    assert statuses[:4] == [0, 0, 0, 0]
    assert statuses[4] >= 2_000
    assert short == 3
    agree(with_more(base_of_rich()), block)


@pytest.mark.parametrize(
    ("odd", "failed"),
    [((0, 1), 0), ((3, 1), 1), ((4, 1), 0), ((5, 1), 1), ((7, 1), 0), ((8, 1), 0), ((1, 10**9), 1)],
    ids=["to itself", "a module's", "a new account", "a main account", "a coin", "a head", "too much"],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_what_is_out_of_the_ordinary_in_the_middle_goes_the_general_way(
    odd: tuple[int, int], failed: int, place: int
) -> None:
    to = [(1, 5), (2, 6), (9, 7), (6, 8)]
    to.insert(place, odd)
    base = with_more(base_of_rich())
    base[ACCOUNT_RECORDS + address_of(3)] = Account(0, 1, b"", 0, FLAG_MODULE_ACCOUNT)
    base[ACCOUNT_RECORDS + address_of(6)] = Account(0, 1, b"", 0, 0)
    block: list[Any] = [Many(tuple(to)), Many(((9, 1),) * 4)]
    statuses, short = ran(block, base)
    assert [status > 0 for status in statuses] == [bool(failed), False]
    assert short == 1
    agree(base, block)


def test_the_payer_is_paid_out_to_the_last_unit_and_no_further() -> None:
    gas_limit = 20_000
    for spare in (-1, 0, 1):
        base = with_more(base_of_rich())
        price = 10
        paid = 10**9 - gas_limit * price - spare
        block: list[Any] = [Many(((1, paid - 12), (2, 3), (9, 4), (2, 5)), gas_limit=gas_limit)]
        statuses, short = ran(block, base)
        assert (statuses == [0], short) == ((True, 1) if spare >= 0 else (False, 0))
        agree(base, block)


def test_a_receiver_beyond_every_supply_is_as_rich_both_ways() -> None:
    base = with_more(base_of_rich())
    base[ACCOUNT_RECORDS + address_of(9)] = Account(0, MAX_AMOUNT - 1, b"", 0, 0)
    block: list[Any] = [Many(((9, 1), (9, 2), (9, 3), (9, 4)))]
    agree(base, block)
