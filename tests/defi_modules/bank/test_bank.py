"""Bank: what it sends arrives, what it refuses has a name, what it lists is everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qenex.crypto import Address, encode_address, module_address
from qenex.errors import (
    AmountNotPositive,
    InsufficientBalance,
    InvalidArguments,
    InvalidGenesis,
    RecipientClosed,
)
from qenex.state_keys import ACCOUNT_RECORDS, EMPTY_ACCOUNT, balance_state_key, supply_state_key
from qenex.types import QXC, Coin
from tests.vm.chain import ACTORS, START, Chain

ALICE, BOB = ACTORS[:2]
NOBODY = Address(b"\x44" * 32)
DENOMS = ["QXC", "amm/1", "amm/10", "amm/2", "lending/QXC", "tokens/" + "a" * 32, "zzz"]


def rich(*coins: tuple[str, int]) -> Chain:
    return Chain(balances=[(ALICE.address, denom, amount) for denom, amount in coins])


@pytest.mark.parametrize("denom", ["QXC", "amm/1", "tokens/" + "f" * 32, "x" * 64])
def test_whole_balance_can_be_sent(denom: str) -> None:
    chain = rich((denom, 500)) if denom != QXC else Chain()
    amount = 500 if denom != QXC else START - 10**6
    receipt = chain.run(chain.send(ALICE, NOBODY, amount, denom, gas=50_000, maximum=10**6))[0]
    assert receipt.status == 0
    assert receipt.results == ((denom, amount),)
    assert receipt.events[0] == ("bank.transferred", (ALICE.address, NOBODY, denom, amount))
    assert chain.balance(NOBODY, denom) == amount
    assert chain.problems() == []


@pytest.mark.parametrize(
    ("to", "denom", "amount", "error"),
    [
        (BOB.address, QXC, 0, AmountNotPositive),
        (BOB.address, "amm/1", 0, AmountNotPositive),
        (BOB.address, QXC, 2 * START, InsufficientBalance),
        (BOB.address, "amm/1", 501, InsufficientBalance),
        (BOB.address, "amm/2", 1, InsufficientBalance),
        (module_address("bank"), QXC, 1, RecipientClosed),
        (module_address("staking"), "amm/1", 1, RecipientClosed),
    ],
)
def test_send_refused_by_name(to: Address, denom: str, amount: int, error: Any) -> None:
    chain = rich(("amm/1", 500))
    receipt = chain.run(chain.send(ALICE, to, amount, denom))[0]
    assert receipt.status == error.code
    assert chain.balance(ALICE.address, "amm/1") == 500


def test_hundred_sends_in_one_transaction() -> None:
    chain = Chain()
    sends = [("bank.send", (Address(bytes([n + 1]) * 32), (QXC, n + 1))) for n in range(100)]
    receipt = chain.send_block(ALICE, *sends)
    assert receipt.status == 0
    assert len(receipt.results) == len(receipt.events) == 100
    assert chain.balance(ALICE.address) == START - 5_050 - receipt.fee
    assert chain.problems() == []


# -- queries --------------------------------------------------------------------------------------------------


@given(
    held=st.dictionaries(st.sampled_from(DENOMS), st.integers(1, 10**9)),
    native=st.booleans(),
    limit=st.integers(1, 8),
)
def test_pages_of_balances_are_all_of_them_native_first(
    held: dict[str, int], native: bool, limit: int
) -> None:
    held.pop(QXC, None)
    owner = ALICE if native else ACTORS[5]
    chain = Chain(
        actors=ACTORS[:5],
        balances=[(owner.address, denom, amount) for denom, amount in held.items()]
        + [(BOB.address, "amm/1", 7)],
    )
    expected = ([Coin(QXC, START)] if native else []) + [Coin(d, held[d]) for d in sorted(held)]
    found: list[Coin] = []
    cursor: str | None = None
    while True:
        page = chain.query("bank.get_balances", owner.address, limit, cursor)
        assert len(page.items) <= limit
        assert all(type(coin) is Coin for coin in page.items)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit, "a page is full if there is another"
        assert cursor == page.items[-1].denom
    assert found == expected
    assert chain.query("bank.get_balances", owner.address, 1_000, None).items == tuple(expected)
    assert chain.query("bank.get_balances", owner.address, None, None).items == tuple(expected)


@pytest.mark.parametrize(
    "args", [(NOBODY, 0, None), (NOBODY, 1_001, None), (NOBODY, 1, "x"), (b"x", 1, None), (NOBODY, 1)]
)
def test_wrong_query_arguments_are_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArguments):
        Chain().query("bank.get_balances", *args)


def test_balance_of_nobody_is_zero() -> None:
    chain = Chain()
    assert chain.balance(NOBODY) == chain.balance(NOBODY, "amm/1") == chain.supply("amm/1") == 0
    assert chain.query("bank.get_balances", NOBODY, None, None) == ((), None)


# -- genesis, invariant -------------------------------------------------------------------------------------------


def entry(address: Address = NOBODY, denom: str = "amm/1", amount: Any = "5", **more: Any) -> dict[str, Any]:
    return {"address": encode_address(address), "denom": denom, "amount": amount, **more}


@pytest.mark.parametrize(
    "data",
    [
        {"balances": {}},
        {"balances": [], "x": 1},
        {"balances": [5]},
        {"balances": [{}]},
        {"balances": [entry(amount="0")]},
        {"balances": [entry(amount="-5")]},
        {"balances": [entry(amount="05")]},
        {"balances": [entry(amount="1.5")]},
        {"balances": [entry(amount=5)]},
        {"balances": [entry(amount=str(2**128))]},
        {"balances": [entry(denom="a b")]},
        {"balances": [entry(extra=1)]},
        {"balances": [entry(), entry()]},
        {"balances": [entry(denom=QXC), entry(denom=QXC, amount="6")]},
        {"balances": [entry(amount=str(2**128 - 1)), entry(ALICE.address)]},
        {"balances": [{"address": "qx1qqqq", "denom": QXC, "amount": "1"}]},
    ],
)
def test_genesis_balances_are_checked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(actors=[], data={"bank": data})


def test_exported_genesis_begins_with_the_same_state() -> None:
    chain = rich(*[(denom, n + 1) for n, denom in enumerate(DENOMS[1:])])
    chain.run(chain.send(ALICE, NOBODY, 5), chain.send(BOB, NOBODY, 7))
    chain.run(chain.send(ALICE, NOBODY, 1, "amm/10"))
    exported = chain.machine.export_genesis(chain.base)
    again = Chain(actors=[], data=exported["modules"], parameters=exported["parameters"])
    assert again.machine.export_genesis(again.base) == exported
    kept = {key: value for key, value in chain.store.values.items() if key[:2] != b"\x00\x01"}
    assert again.store.values == kept, "all but the fee excess"


@pytest.mark.parametrize(
    "damage",
    [
        {ACCOUNT_RECORDS + NOBODY: EMPTY_ACCOUNT._replace(balance=1)},
        {balance_state_key(NOBODY, "amm/1"): 1},
        {supply_state_key("amm/1"): 1},
        {supply_state_key(QXC): None},
        {balance_state_key(NOBODY, "amm/1"): 1, supply_state_key("amm/2"): 1},
    ],
)
def test_invariant_finds_money_that_does_not_add_up(damage: dict[bytes, Any]) -> None:
    chain = Chain()
    assert chain.problems() == []
    chain.store.write(damage, chain.machine.state_codecs)
    chain.base = chain._committed()
    assert len(chain.problems()) == 1
    assert "add up to" in chain.problems()[0]
