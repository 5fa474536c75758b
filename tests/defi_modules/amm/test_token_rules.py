"""Pools of tokens with rules of their own: books stay exact, minimums count what arrives, rules hold on every path."""

from __future__ import annotations

from typing import Any

import pytest

from defi_modules.amm.types import Hop
from defi_modules.tokens import Tokens
from qenex.errors import AccountFrozen, RecipientNotListed, SlippageExceeded
from qenex.types import Coin
from tests.defi_modules.amm.market import ALICE, BOB, DAVE, LATE, A, Market, add, buy, remove, sell


def market_with(controls: Any) -> tuple[Market, str, int]:
    """A market, a token of DAVE's with these controls, and a pool of it."""
    market = Market(Tokens)
    made = market.must(DAVE, ("tokens.create", ("TAX", "Taxed", 9, "", 10**18, None, controls)))
    denom: str = made.denom
    for actor in (ALICE, BOB):
        if controls[1]:
            market.must(DAVE, ("tokens.set_listed", (denom, actor.address, True)))
        market.must(DAVE, ("bank.send", (actor.address, Coin(denom, 10**15))))
    pool = market.must(DAVE, ("amm.create_pool", (A, denom, 30))).pool
    account = market.pool(pool).account
    if controls[1]:
        market.must(DAVE, ("tokens.set_listed", (denom, account, True)))
    market.must(DAVE, add(pool, ((A, 10**15), (denom, 10**15))))
    return market, denom, pool


def test_a_fee_of_the_token_is_not_the_pools() -> None:
    market, denom, pool = market_with((False, False, 100, BOB.address))
    quote = market.query("amm.quote", pool, Coin(A, 10**12), denom)
    before = market.balance(ALICE.address, denom)
    arrives = quote.amount_out - -(-quote.amount_out * 100 // 10_000)
    assert (
        market.do(ALICE, sell(A, 10**12, (pool, denom), minimum=arrives + 1)).status == SlippageExceeded.code
    )
    result = market.must(ALICE, sell(A, 10**12, (pool, denom), minimum=arrives))
    assert (result.amount_out, result.received) == (arrives, (denom, arrives))
    assert market.balance(ALICE.address, denom) == before + arrives
    before = market.balance(ALICE.address, denom)
    market.must(ALICE, sell(denom, 10**12, (pool, A)))
    assert market.balance(ALICE.address, denom) == before - 10**12 - 10**10, "the token's fee comes on top"
    market.must(ALICE, buy(denom, 10**9, (pool, A)))
    market.must(ALICE, add(pool, ((A, 10**12), (denom, 2 * 10**12))))
    market.must(ALICE, add(pool, ((denom, 10**12),)))
    market.must(ALICE, remove(pool, market.balance(ALICE.address, f"amm/{pool}"), A, denom))
    flash = ("amm.flash_swap", (denom, (Hop(pool, A),), 10**9, 1 << 100, LATE))
    market.must(ALICE, flash)
    assert not any(market.dust(pool)), "books and balances agree to the unit"


def test_frozen_coins_neither_leave_nor_arrive_through_a_pool() -> None:
    market, denom, pool = market_with((True, False, 0, None))
    market.must(DAVE, ("tokens.set_frozen", (denom, ALICE.address, True)))
    for order in (
        sell(denom, 10**9, (pool, A)),
        sell(A, 10**9, (pool, denom)),
        add(pool, ((A, 10**9), (denom, 10**9))),
    ):
        assert market.do(ALICE, order).status == AccountFrozen.code
    market.must(BOB, sell(A, 10**9, (pool, denom)))


def test_only_listed_accounts_receive_from_a_pool() -> None:
    market, denom, pool = market_with((False, True, 0, None))
    stranger = market.actors[4]
    assert market.do(stranger, sell(A, 10**9, (pool, denom))).status == RecipientNotListed.code
    market.must(BOB, sell(A, 10**9, (pool, denom)))


@pytest.mark.parametrize("amount", [1, 7, 99, 101])
def test_dust_of_a_taxed_token_breaks_nothing(amount: int) -> None:
    market, denom, pool = market_with((False, False, 100, BOB.address))
    market.do(ALICE, sell(A, amount, (pool, denom)))
    market.do(ALICE, sell(denom, amount, (pool, A)))
    assert market.problems() == []
    assert not any(market.dust(pool))
