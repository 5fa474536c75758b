"""Named attacks on markets: each one is tried, and does not pay."""

from __future__ import annotations

from math import isqrt
from typing import Any

import pytest

from defi_modules.amm.types import Hop
from qenex.crypto import module_address
from qenex.errors import AmountTooLarge, AmountZero, InsufficientBalance, RecipientClosed
from qenex.types import Coin
from tests.defi_modules.amm.market import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    LATE,
    A,
    B,
    C,
    Market,
    add,
    position,
    remove,
    sell,
)
from tests.vm.chain import ref
from tests.vm.lab import Lab, Vault

E18 = 10**18


def test_first_depositor_cannot_inflate_the_share() -> None:
    """The first one mints least and makes his share dear; the next one's deposit is not eaten by rounding."""
    market = Market(Lab, Vault)
    pool = market.must(ALICE, ("amm.create_pool", (A, B, 30))).pool
    market.must(ALICE, add(pool, ((A, 1_001), (B, 1_001))))
    account = market.pool(pool).account
    assert market.do(ALICE, ("bank.send", (account, Coin(A, 10**18)))).status == RecipientClosed.code
    # Even a module that moves coins past bank does not change the books.
    market.must(
        ALICE, ("lab.give_raw", (account, Coin(A, 10**18))), ("lab.give_raw", (account, Coin(B, 10**18)))
    )
    assert market.pool(pool).reserves == (1_001, 1_001)
    made = market.must(BOB, add(pool, ((A, 10**12), (B, 10**12))))
    back = market.must(BOB, remove(pool, made.shares))
    assert all(coin.amount >= 10**12 - 2 for coin in back.paid)
    shares = market.balance(ALICE.address, f"amm/{pool}")
    got = market.must(ALICE, remove(pool, shares)).paid
    assert all(coin.amount <= 2 for coin in got), "what was sent is lost to him"


def test_donation_moves_no_price_and_is_told_as_dust() -> None:
    market = Market(Lab, Vault)
    pools = [market.product(), market.stable(), market.concentrated()]
    for pool in pools:
        before = market.query("amm.quote", pool, Coin(A, 10**15), B)
        price = market.query("amm.get_statistics", pool).price
        market.must(ALICE, ("lab.give_raw", (market.pool(pool).account, Coin(B, 10**18))))
        assert market.query("amm.quote", pool, Coin(A, 10**15), B) == before
        market.must(ALICE, sell(A, 5_000, (pool, B)))
        assert abs(market.query("amm.get_statistics", pool).price - price) <= price // 10**10
        assert market.dust(pool)[1] == 10**18


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_rounding_loops_never_pay(size: int) -> None:
    """The thefts of 2025: hundreds of tiny swaps to a rounding edge, then a large one."""
    market = Market(rich=10**15)
    pools = [
        (market.product(2_000, 3_000), (A, B)),
        (market.stable(5_000, 7_000, denoms=(A, B), decimals=(9, 9), amp=100), (A, B)),
        (market.stable(5_000, 7 * 10**12, denoms=(A, B), decimals=(6, 15), fee=0), (A, B)),
        (market.concentrated((-60, 60, 10_000), (-887220, 887220, 10_000), fee=3_000), (A, B)),
    ]
    for pool, (a, b) in pools:
        before = market.wealth(ALICE)
        for turn in range(12):
            came, went = (a, b) if turn % 3 else (b, a)
            market.run(market.tx(ALICE, *[sell(came, size, (pool, went))] * 3, gas=20_000_000))
        after = market.wealth(ALICE)
        back, other = (a, b) if after[a] > before[a] else (b, a)
        gained = after[back] - before[back]
        if gained > 0:
            market.run(market.tx(ALICE, sell(back, gained, (pool, other)), gas=20_000_000))
        final = market.wealth(ALICE)
        assert not (all(final[d] >= before[d] for d in (a, b)) and final != before), pool
        assert market.problems() == []


def test_a_query_inside_a_settlement_sees_the_old_state_whole() -> None:
    """Read-only re-entrance: while a transaction is open, a reader sees the state before the block."""
    market = Market()
    pool = market.product()
    before = market.pool(pool)
    quote = market.query("amm.quote", pool, Coin(A, 10**15), B)
    block = market.begin()
    block.execute(market.tx(ALICE, sell(A, 10**17, (pool, B)), gas=10**6))
    assert market.machine.query(market.base, market.next_info, "amm.get_pool", (pool,)) == before
    assert (
        market.machine.query(market.base, market.next_info, "amm.quote", (pool, Coin(A, 10**15), B)) == quote
    )
    market.end()
    assert market.pool(pool) != before


def test_flash_swap_cannot_spend_what_the_pool_was_promised() -> None:
    """Reserves booked for a debt are not in the account: they cannot be swapped out before they are paid."""
    market = Market()
    pool = market.product(10**12, 10**12)
    flash = ("amm.flash_swap", (A, (Hop(pool, B),), 9 * 10**11, 1 << 100, LATE))
    greedy = sell(B, 10**20, (pool, A))
    receipt = market.do(ALICE, flash, greedy)
    assert receipt.status in (0, InsufficientBalance.code)
    assert market.dust(pool) == (0, 0)


def test_amounts_at_the_bounds_of_supply_are_refused_not_wrapped() -> None:
    market = Market(rich=(1 << 125) - 1)
    big = (1 << 124) - 1
    pool = market.must(DAVE, ("amm.create_pool", (A, B, 30))).pool
    market.must(DAVE, add(pool, ((A, big), (B, big))))
    for turn in range(8):
        receipt = (
            market.do(ALICE, sell(A, big, (pool, B)))
            if turn % 2
            else market.do(ALICE, sell(B, big, (pool, A)))
        )
        assert receipt.status in (0, AmountTooLarge.code, InsufficientBalance.code)
    stable = market.must(CAROL, ("amm.create_stable_pool", ((A, B), (0, 0), 100, 0, 0))).pool
    receipt = market.do(CAROL, add(stable, ((A, big), (B, big))))
    assert receipt.status in (0, AmountTooLarge.code), "18 decimals more than a 128-bit amount has"
    ranged = market.must(CAROL, ("amm.create_concentrated_pool", (A, B, 3_000, 1 << 96))).pool
    assert market.do(CAROL, position(ranged, -60, 60, big, big)).status != 0
    assert market.problems() == []


def test_liquidity_passing_through_gains_nothing() -> None:
    """In and out, single-sided and balanced, in every pool with shares."""
    market = Market()
    for pool, denoms in ((market.product(), (A, B)), (market.stable(), (A, B, C))):
        before = market.wealth(ALICE)
        for coins in (((A, 10**16),), ((A, 10**15), (B, 10**15)), ((B, 1),), ((B, 10**17),)):
            receipt = market.do(ALICE, add(pool, coins))
            if receipt.status == 0:
                market.must(ALICE, remove(pool, receipt.results[0].shares, *denoms))
        after = market.wealth(ALICE)
        assert any(after[d] < before[d] for d in denoms)
        gain = sum(after[d] - before[d] for d in denoms)
        assert gain < 0


def test_ten_thousand_dust_positions_cost_the_next_swap_no_more() -> None:
    """Ticks crowded with dust: a swap pays for those it crosses, up to a bound, and ends of blocks do not look at them."""
    market = Market()
    pool = market.concentrated(fee=100)
    for start in range(0, 300, 50):
        market.must(ALICE, *[position(pool, n, n + 1, 10_000, 0) for n in range(start + 1, start + 51)])
    small = market.do(BOB, sell(A, 10**9, (pool, B)))
    crossing = market.do(BOB, sell(B, 2 * 10**16, (pool, A)))
    assert small.status == crossing.status == 0
    assert crossing.gas_used > small.gas_used + 100 * 100
    assert market.results[-1].end_events == market.results[-1].end_events[:1]


def test_deposits_beyond_the_hook_limit_wait_for_the_next_block() -> None:
    market = Market(hook_items=2)
    pools = [market.product(fee=fee) for fee in (1, 5, 30, 100)]
    block = market.begin()
    for pool in pools:
        block.execute(market.tx(ALICE, add(pool, ((A, 10**15), (B, 10**15))), gas=10**6))
    market.end()
    held = [market.balance(ALICE.address, f"amm/{pool}") for pool in pools]
    assert sum(1 for amount in held if amount) == 2
    assert market.problems() == []
    market.run()
    assert all(market.balance(ALICE.address, f"amm/{pool}") for pool in pools)


def test_module_account_of_a_pool_is_closed() -> None:
    market = Market()
    pool = market.product()
    assert market.pool(pool).account == module_address("amm", pool.to_bytes(8, "big"))
    assert (
        market.do(ALICE, ("bank.send", (market.pool(pool).account, Coin(A, 1)))).status
        == RecipientClosed.code
    )


def test_references_cannot_smuggle_zero_or_foreign_amounts() -> None:
    market = Market()
    pool = market.product()
    steal: Any = ("amm.decrease_position", (1, ref(0, "amount_out"), (Coin(A, 1),), LATE))
    market.concentrated()
    assert market.do(ALICE, sell(A, 10**15, (pool, B)), steal).status != 0
    assert market.do(ALICE, sell(A, 1, (pool, B))).status == AmountZero.code


def test_value_of_a_share_never_falls() -> None:
    """Whatever one trader does, sqrt(k) a share of the constant-product pool does not fall."""
    market = Market(protocol_share_bps=0)
    pool = market.product(10**9, 10**9)

    def value() -> tuple[int, int]:
        reserves = market.pool(pool).reserves
        return isqrt(reserves[0] * reserves[1] << 128), market.supply(f"amm/{pool}")

    before = value()
    for amount in (1, 3, 999, 10**6, 10**9, 10**12):
        for order in (
            sell(A, amount, (pool, B)),
            add(pool, ((A, amount), (B, amount))),
            sell(B, amount, (pool, A)),
            add(pool, ((A, amount),)),
        ):
            market.do(ALICE, order)
            now = value()
            assert now[0] * before[1] >= before[0] * now[1] - now[1]
            before = now
        held = market.balance(ALICE.address, f"amm/{pool}")
        if held > 3:
            market.do(ALICE, remove(pool, held // 3))
            now = value()
            assert now[0] * before[1] >= before[0] * now[1] - now[1]
            before = now
