"""Work that does not grow with the number of users, and work of a block that is bounded: counted, not timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from defi_modules.lending.types import EMPTY_POSITION, Entry
from qenex.crypto.address import Address
from qenex.types import Coin
from tests.defi_modules.lending.lab import (
    ALICE,
    BOB,
    ONE,
    A,
    B,
    Bank,
    borrow,
    liquidate,
    repay,
    supply,
    terms,
    withdraw,
)

SHARE = 10**6


class Counted:
    """A committed state that counts what is read of it."""

    def __init__(self, base: Any) -> None:
        self.base, self.reads = base, 0

    def get(self, key: bytes) -> Any:
        self.reads += 1
        return self.base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        for entry in self.base.iterate(start, stop, reverse=reverse):
            self.reads += 1
            yield entry


def crowded(positions: int, *, unhealthy: bool = False, **parameters: Any) -> Bank:
    """So many positions of 1,000 A and a debt of 100 B each (or 880): one large one that is divided among them."""
    bank = Bank(terms(B, flash_fee_bps=1_000), **parameters)
    debt, shares = (880 if unhealthy else 100) * ONE, 1_000 * ONE * SHARE
    bank.must(ALICE, supply(B, 10**17))
    bank.price(A, 140)
    bank.stake(BOB, A, (positions + 1) * 1_000 * ONE)
    bank.must(BOB, borrow(B, positions * debt + 100 * ONE))
    bank.price(A, 100)
    lending: Any = bank.machine.modules["lending"]
    block = bank.begin()
    whole = lending.position_of(BOB.address)
    for number in range(positions):
        position = EMPTY_POSITION._replace(entries=(Entry(1, shares, 0), Entry(2, 0, debt)))
        lending.put_position(block.ctx, Address(number.to_bytes(32, "big")), EMPTY_POSITION, position)
    rest = Entry(2, 0, whole.entries[1].debt - positions * debt)
    lending.put_position(block.ctx, BOB.address, whole, whole._replace(entries=(Entry(1, shares, 0), rest)))
    bank.store.write(block.state.changes(), bank.machine.state_codecs)
    bank.base, bank.block = bank._committed(), None
    assert bank.problems() == []
    return bank


def cost(bank: Bank, *messages: tuple[str, tuple[Any, ...]]) -> tuple[int, int, int]:
    """Records read, records written and gas of one transaction, a year after the last touch."""
    bank.time += 365 * 86_400 * 10**9
    for denom in (A, B):
        bank.price(denom, 100)
    counted = Counted(bank.base)
    block = bank.machine.begin(counted, bank.next_info)
    before = counted.reads
    receipt = block.execute(bank.tx(BOB, *messages, gas=10**7))
    assert receipt.status == 0, block.error
    return counted.reads - before, len(block.state.changes()), receipt.gas_used


@pytest.mark.parametrize(
    "message", [supply(B, ONE), supply(A, ONE, collateral=True), borrow(B, ONE), repay(B, ONE), withdraw(A, ONE, collateral=True)]
)  # fmt: skip
def test_accrual_costs_the_same_for_any_number_of_users(message: tuple[str, tuple[Any, ...]]) -> None:
    few, many = cost(crowded(3, keeper_items=0), message), cost(crowded(600, keeper_items=0), message)
    assert few == many


def test_a_scan_reads_what_it_finds_and_not_the_healthy() -> None:
    reads = []
    for positions in (200, 1_000):
        counted = Counted(crowded(positions, keeper_items=0).base)
        bank = Bank()
        bank.machine.query(counted, bank.next_info, "lending.list_liquidatable", (100,))
        reads.append(counted.reads)
    assert reads[0] == reads[1] < 120, "a page of the lowest ratios"


def liquidations(bank: Bank) -> int:
    bank.price(A, 60)
    return len([e for e in bank.results[-1].end_events if e.name == "lending.position_liquidated"])


def test_the_keeper_stops_at_its_number_and_at_its_gas_and_goes_on_in_the_next_block() -> None:
    found = {}
    for gas, items in ((10_000_000, 5), (20_000, 100), (200_000, 100)):
        bank = crowded(60, unhealthy=True, keeper_items=items, keeper_gas=gas, keeper_pairs=10)
        bank.must(ALICE, ("lending.flash_loan", ((Coin(B, 5 * 10**16),),)))
        assert bank.market(B).state.reserves > 10**14
        found[gas, items] = [liquidations(bank) for _ in range(3)]
    by_number, by_little, by_more = found.values()
    assert by_number == [5, 5, 5]
    assert 1 <= by_little[0] == by_little[1] < by_more[0] < 60
    assert by_more[0] * 4_000 <= 200_000 + 10_000


def test_liquidators_find_what_the_keeper_left() -> None:
    bank = crowded(5, unhealthy=True, keeper_items=0)
    bank.price(A, 85)
    risks = bank.query("lending.list_liquidatable", None).items
    assert len(risks) == 5
    order = liquidate(BOB)
    receipt = bank.run(bank.tx(ALICE, (order[0], (risks[0].address, *order[1][1:])), gas=10**7))[0]
    assert receipt.status == 0
