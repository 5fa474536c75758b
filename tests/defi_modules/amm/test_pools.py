"""Pools over the real machine: what messages do, what they refuse by name, and that every unit is accounted for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from defi_modules.amm.concentrated import MAX_SQRT_PRICE, sqrt_price_at_tick
from defi_modules.amm.constant_product import amount_out
from defi_modules.amm.types import Hop, Leg
from qenex.crypto import encode_address, module_address
from qenex.errors import (
    AmountTooLarge,
    AmountZero,
    AmplificationOutOfRange,
    DeadlineExpired,
    DebtUnpaid,
    DenominationNotInPool,
    FeeTierNotAllowed,
    InitialLiquidityTooSmall,
    InsufficientBalance,
    InsufficientLiquidity,
    InvalidGenesis,
    InvalidPoolSetup,
    LiquidityTooYoung,
    MinimumMissing,
    NothingToCollect,
    NotMarketAuthority,
    NotPoolManager,
    NotPositionOwner,
    PoolExists,
    PoolNotFound,
    PoolPaused,
    PositionNotFound,
    PriceOutOfRange,
    QenexError,
    RouteInvalid,
    SameDenomination,
    SlippageExceeded,
    TickOutOfRange,
    TicksNotSorted,
    UnknownDenomination,
    WrongCurve,
)
from qenex.types import QXC, Coin
from tests.defi_modules.amm.market import (
    ALICE,
    BOB,
    DAVE,
    LATE,
    Q96,
    A,
    B,
    C,
    D,
    Market,
    add,
    buy,
    position,
    remove,
    sell,
)
from tests.vm.chain import ref

E18 = 10**18


@pytest.fixture(scope="module")
def base() -> Market:
    """Three pools of different curves: 1 constant product, 2 stable (A, B, C), 3 concentrated."""
    market = Market(authority=encode_address(BOB.address))
    assert market.product() == 1
    assert market.stable() == 2
    assert market.concentrated((-600, 600, 10**17), (-887220, 887220, 10**18)) == 3
    return market


def test_constant_product_swap_pays_what_the_curve_says() -> None:
    market = Market(protocol_share_bps=1_000)
    pool = market.product(5 * E18, 10 * E18)
    before = market.wealth(ALICE)
    result = market.must(ALICE, sell(A, E18, (pool, B)))
    assert result == (E18, 1662497915624478906, (B, 1662497915624478906))
    assert market.wealth(ALICE)[A] == before[A] - E18
    assert market.wealth(ALICE)[B] == before[B] + 1662497915624478906
    view = market.pool(pool)
    cut = E18 * 30 // 10_000 // 10
    assert view.reserves == (6 * E18 - cut, 10 * E18 - 1662497915624478906)
    assert view.protocol == (cut, 0)
    assert market.dust(pool) == (0, 0)


def test_exact_out_costs_what_exact_in_pays(base: Market) -> None:
    for pool in (1, 2, 3):
        cost = base.query("amm.quote_out", pool, Coin(B, 10**15), A).amount_in
        assert base.must(ALICE, buy(A, 10**15, (pool, B), maximum=cost))[:2] == (cost, 10**15)
        assert base.do(ALICE, buy(A, 10**15, (pool, B), maximum=cost)).status == SlippageExceeded.code


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("amount", [10**6, 10**12, 3 * 10**16, 10**18])
def test_quote_is_what_execution_pays_to_the_unit(base: Market, pool: int, amount: int) -> None:
    for came, went in ((A, B), (B, A)):
        quote = base.query("amm.quote", pool, Coin(came, amount), went)
        assert base.must(ALICE, sell(came, amount, (pool, went)))[:2] == (quote.amount_in, quote.amount_out)


def test_quote_on_a_state_does_not_know_the_swaps_of_its_block(base: Market) -> None:
    """A node answers for the block after the state: what was withheld in the last one is over."""
    for pool in (1, 2, 3):
        base.block_of((ALICE, sell(A, 10**16, (pool, B))), (BOB, sell(A, 10**16, (pool, B))))
        last = base.next_info._replace(height=base.height)
        args = (pool, Coin(B, 10**15), A)
        quote = base.machine.query(base.base, last, "amm.quote", args)
        assert quote == base.query("amm.quote", *args)
        assert base.must(ALICE, sell(B, 10**15, (pool, A)))[:2] == quote[:2]


def test_everything_can_be_taken_out_and_every_unit_is_accounted_for() -> None:
    market = Market(protocol_share_bps=1_000)
    supplies = {denom: market.supply(denom) for denom in (A, B, C)}
    product, stable = market.product(), market.stable()
    ranged = market.concentrated((-600, 600, 10**17), (-60, 0, 10**16))
    for pool in (product, stable, ranged):
        for amount in (1_000, 10**15, 10**17):
            market.do(ALICE, sell(A, amount, (pool, B)))
            market.do(BOB, buy(B, amount, (pool, A)))
    market.must(DAVE, ("amm.remove_one", (stable, 10**15, Coin(C, 1), LATE)))
    for number in (1, 2):
        held = market.query("amm.get_position", number)
        least = tuple(Coin(d, 1) for d, n in ((A, held.amount0), (B, held.amount1)) if n)
        market.must(DAVE, ("amm.decrease_position", (number, held.liquidity, least, LATE)))
    for pool, denoms in ((product, (A, B)), (stable, (A, B, C))):
        shares = market.balance(DAVE.address, f"amm/{pool}")
        market.must(DAVE, remove(pool, shares, *denoms))
    for pool in (product, stable, ranged):
        market.do(BOB, ("amm.collect_protocol", (pool,)))
    treasury = module_address("governance")
    for denom in (A, B, C):
        everybody = sum(market.wealth(actor)[denom] for actor in market.actors)
        pools = [market.pool(pool) for pool in (product, stable, ranged)]
        left = sum(dict(zip(view.denoms, view.reserves, strict=True)).get(denom, 0) for view in pools)
        assert everybody + left + market.balance(treasury, denom) == supplies[denom]
        assert left < 5_000, "what stays are the locked shares and rounding"
        assert market.balance(treasury, denom) > 0 or denom == C
    assert market.pool(ranged).liquidity == 0
    assert all(
        market.dust(pool) == (0,) * len(market.pool(pool).denoms) for pool in (product, stable, ranged)
    )


def test_three_hops_in_and_out() -> None:
    market = Market()
    first = market.product(denoms=(A, B))
    second = market.stable(denoms=(B, C), decimals=(9, 9))
    third = market.concentrated(denoms=(C, D))
    path = ((first, B), (second, C), (third, D))
    quote = market.query("amm.quote_path", Coin(A, 10**15), tuple(Hop(*hop) for hop in path))
    before = market.wealth(ALICE)
    assert market.must(ALICE, sell(A, 10**15, *path))[:2] == (10**15, quote.amount_out)
    after = market.wealth(ALICE)
    assert (after[A], after[B], after[C]) == (before[A] - 10**15, before[B], before[C])
    assert after[D] == before[D] + quote.amount_out
    cost = market.must(ALICE, buy(A, 10**14, *path)).amount_in
    assert market.wealth(ALICE)[D] == after[D] + 10**14
    assert market.wealth(ALICE)[A] == after[A] - cost
    assert all(not any(market.dust(pool)) for pool in (first, second, third))


def test_split_swap_pays_the_sum_of_its_legs() -> None:
    market = Market()
    cheap, dear = market.product(fee=30), market.product(fee=100)
    legs = (Leg(10**16, (Hop(cheap, B),)), Leg(10**15, (Hop(dear, B),)))
    result = market.must(ALICE, ("amm.swap_split", (A, legs, 1, LATE)))
    assert result[:2] == (11 * 10**15, amount_out(10**16, E18, E18, 30) + amount_out(10**15, E18, E18, 100))


def test_router_finds_what_pays_most_and_execution_pays_it() -> None:
    market = Market()
    market.product(fee=100)
    market.product(fee=30, denoms=(A, C))
    market.product(fee=30, denoms=(C, B))
    market.product(fee=5, a=10**15, b=10**15)
    small = market.query("amm.find_route", Coin(A, 10**9), B)
    assert [hop.pool for hop in small.legs[0].path] == [4]
    large = market.query("amm.find_route", Coin(A, 3 * 10**17), B)
    assert len(large.legs) > 1
    assert sum(leg.amount for leg in large.legs) == 3 * 10**17
    assert large.amount_out > market.query("amm.quote", 1, Coin(A, 3 * 10**17), B).amount_out
    assert market.must(ALICE, ("amm.swap_split", (A, large.legs, large.amount_out, LATE)))[:2] == (
        3 * 10**17,
        large.amount_out,
    )


def test_cheapest_way_to_an_exact_output_is_what_execution_takes() -> None:
    market = Market()
    market.product(fee=100)
    market.product(fee=1, denoms=(A, C))
    market.product(fee=1, denoms=(C, B))
    route = market.query("amm.find_route_out", A, Coin(B, 10**15))
    path = route.legs[0].path
    assert [hop.pool for hop in path] == [2, 3]
    assert market.must(ALICE, ("amm.swap_exact_out", (A, path, 10**15, route.amount_in, LATE)))[:2] == (
        route.amount_in,
        10**15,
    )


def test_arbitrage_across_three_pools_in_one_transaction_without_own_coins() -> None:
    market = Market()
    ab = market.product(denoms=(A, B))
    bc = market.stable(denoms=(B, C), decimals=(9, 9))
    ac = market.product(a=10**18, b=12 * 10**17, fee=5, denoms=(C, A))
    before = market.wealth(ALICE)
    flash = ("amm.flash_swap", (A, (Hop(ab, B),), 10**16, 1 << 100, LATE))
    back = (("amm.swap_exact_in", (Coin(B, 10**16), (Hop(bc, C), Hop(ac, A)), 1, LATE)),)
    receipt = market.do(ALICE, flash, *back)
    assert receipt.status == 0
    owed, received = receipt.results[0].amount_in, receipt.results[1].amount_out
    assert received > owed
    after = market.wealth(ALICE)
    assert after == {**before, A: before[A] + received - owed}
    market.must(ALICE, ("bank.send", (BOB.address, Coin(A, after[A]))))
    market.must(BOB, sell(A, 5 * 10**16, (ac, C)))  # what the first one took came back
    assert market.do(ALICE, flash, *back).status == 0, "with nothing of its own"
    assert market.wealth(ALICE)[A] > 0
    assert not any(market.dust(ab))


def test_flash_swap_that_is_not_paid_leaves_nothing_behind(base: Market) -> None:
    broke = base.actors[4]
    base.must(broke, ("bank.send", (BOB.address, Coin(A, base.wealth(broke)[A]))))
    state = dict(base.store.values)
    flash = ("amm.flash_swap", (A, (Hop(1, B),), 10**16, 1 << 100, LATE))
    assert base.do(broke, flash).status == DebtUnpaid.code
    changed = {key for key, value in base.store.values.items() if state.get(key) != value}
    assert {key[:2] for key in changed} <= {b"\x01\x01", b"\x00\x01", b"\x02\x02"}, "the fee and nothing else"


def test_one_coin_alone_goes_into_a_constant_product_pool(base: Market) -> None:
    before = base.wealth(ALICE)
    made = base.must(ALICE, add(1, ((A, 10**16),)))
    after = base.wealth(ALICE)
    assert before[A] - 10**16 <= after[A]
    assert after[B] - before[B] < 10**9, "next to nothing of the proceeds is left"
    assert base.balance(ALICE.address, "amm/1") == made.shares


def test_shares_arrive_at_the_end_of_the_block_and_cannot_leave_before(base: Market) -> None:
    receipt = base.do(BOB, add(1, ((A, 10**15), (B, 10**16))), remove(1, 10**12))
    assert receipt.status == InsufficientBalance.code
    shares = base.must(BOB, add(1, ((A, 10**15), (B, 10**16)))).shares
    assert base.balance(BOB.address, "amm/1") == shares
    assert base.do(BOB, ("amm.release_shares", (1,))).status == NothingToCollect.code


def test_position_cannot_leave_in_the_block_it_came(base: Market) -> None:
    number = base.must(BOB, position(3, -60, 60, 10**15, 10**15)).position + 1
    receipt = base.do(
        ALICE,
        position(3, -60, 60, 10**15, 10**15),
        ("amm.decrease_position", (number, 1, (Coin(A, 1),), LATE)),
    )
    assert receipt.status == LiquidityTooYoung.code


def test_single_tick_position_is_a_limit_order() -> None:
    """Offered above the price in one coin, it is the other coin once the price has passed."""
    market = Market()
    pool = market.concentrated()
    order = market.must(ALICE, position(pool, 60, 120, 10**15, 0))
    assert (order.amount0, order.amount1) == (10**15, 0)
    market.must(BOB, sell(B, 2 * 10**16, (pool, A)))
    assert market.pool(pool).tick > 120
    held = market.query("amm.get_position", order.position)
    assert held.amount0 == 0
    assert held.amount1 * Q96 * Q96 >= 10**15 * sqrt_price_at_tick(60) ** 2 - Q96 * Q96
    assert held.fees1 > 0
    paid = market.must(
        ALICE, ("amm.decrease_position", (order.position, order.liquidity, (Coin(B, 1),), LATE))
    )
    assert paid == (0, held.amount1 + held.fees1)
    assert market.query("amm.list_positions", ALICE.address, None, None) == ((), None)


def test_fees_are_collected_once() -> None:
    market = Market(protocol_share_bps=0)
    pool = market.concentrated()
    number = market.must(ALICE, position(pool, -600, 600, 10**16, 10**16)).position
    market.must(BOB, sell(A, 10**15, (pool, B)))
    view = market.query("amm.get_position", number)
    assert view.fees0 > 0 == view.fees1
    assert market.must(ALICE, ("amm.collect", (number,))) == (view.fees0, 0)
    assert market.do(ALICE, ("amm.collect", (number,))).status == NothingToCollect.code
    grown = market.must(
        ALICE, ("amm.increase_position", (number, (Coin(A, 10**15), Coin(B, 10**15)), 1, LATE))
    )
    assert market.query("amm.get_position", number).liquidity == view.liquidity + grown.liquidity


def test_ramp_moves_the_price_of_a_lopsided_pool_slowly() -> None:
    market = Market()
    pool = market.stable(10**18, 5 * 10**17, denoms=(A, B), decimals=(9, 9))
    now = market.time // 10**9
    assert (
        market.do(ALICE, ("amm.ramp_amplification", (pool, 4_000, now + 10**6))).status == NotPoolManager.code
    )
    for amp, end in ((4_000, now + 100), (20_001, now + 10**6), (199, now + 10**6)):
        code = market.do(DAVE, ("amm.ramp_amplification", (pool, amp, end))).status
        assert code == AmplificationOutOfRange.code
    market.must(DAVE, ("amm.ramp_amplification", (pool, 4_000, now + 200_000)))
    market.time += 100_000 * 10**9
    assert 2_990 <= market.pool(pool).amplification <= 3_010


def test_rates_make_coins_of_different_decimals_worth_the_same() -> None:
    market = Market()
    pool = market.stable(10**12, 10**18, denoms=(A, B), decimals=(6, 12))
    paid = market.must(ALICE, sell(A, 10**9, (pool, B))).amount_out
    assert 0.999 * 10**15 < paid < 10**15


def test_qxc_is_a_coin_like_any_other() -> None:
    market = Market()
    pool = market.product(10**12, 10**15, denoms=(QXC, A))
    before = market.balance(ALICE.address)
    receipt = market.do(ALICE, sell(A, 10**12, (pool, QXC)))
    assert receipt.status == 0
    assert market.balance(ALICE.address) == before + receipt.results[0].amount_out - receipt.fee


@pytest.fixture(scope="module")
def quiet() -> Market:
    """The same pools, in which nothing ever succeeds."""
    market = Market(protocol_share_bps=0)
    market.product()
    market.stable()
    market.concentrated((-600, 600, 10**17), (-887220, 887220, 10**18))
    return market


REFUSED: list[tuple[Any, type[QenexError]]] = [
    (sell(A, 0, (1, B)), AmountZero),
    (sell(A, (1 << 128) - 1, (1, B)), AmountTooLarge),
    (sell(A, (1 << 128) - 1, (2, B)), AmountTooLarge),
    (sell(A, 10**30, (3, B)), InsufficientBalance),
    (sell(A, 1, (1, B)), AmountZero),
    (sell(A, 100, (9, B)), PoolNotFound),
    (sell(A, 100, (1, A)), SameDenomination),
    (sell(A, 100, (1, C)), DenominationNotInPool),
    (sell(A, 100, (1, B), minimum=0), MinimumMissing),
    (sell(A, 10**9, (1, B), minimum=10**9), SlippageExceeded),
    (sell(A, 10**9, (1, B), (1, A)), RouteInvalid),
    (("amm.swap_exact_in", (Coin(A, 100), (Hop(1, B),), 1, 5)), DeadlineExpired),
    (buy(A, 0, (1, B)), AmountZero),
    (buy(A, 10**19, (1, B)), InsufficientLiquidity),
    (buy(A, 10**19, (2, B)), InsufficientLiquidity),
    (buy(A, 10**19, (3, B)), InsufficientLiquidity),
    (buy(A, 100, (1, B), maximum=0), MinimumMissing),
    (("amm.swap_exact_out", (A, (Hop(1, B),), 5, 50, 5)), DeadlineExpired),
    (("amm.swap_split", (A, (Leg(5, (Hop(1, B),)), Leg(5, (Hop(2, C),))), 1, LATE)), RouteInvalid),
    (("amm.swap_split", (A, (Leg(5, (Hop(1, B),)),), 0, LATE)), MinimumMissing),
    (("amm.flash_swap", (A, (Hop(1, B),), 10**15, 0, LATE)), MinimumMissing),
    (("amm.flash_swap", (A, (Hop(1, B),), 10**15, 5, LATE)), SlippageExceeded),
    (("amm.flash_swap", (A, (Hop(1, B), Hop(2, C)), 10**15, 5, LATE)), RouteInvalid),
    (("amm.create_pool", (A, A, 30)), SameDenomination),
    (("amm.create_pool", (A, B, 30)), PoolExists),
    (("amm.create_pool", (A, B, 31)), FeeTierNotAllowed),
    (("amm.create_pool", (A, "tokens/none", 30)), UnknownDenomination),
    (("amm.create_concentrated_pool", (A, B, 3_001, Q96)), FeeTierNotAllowed),
    (("amm.create_concentrated_pool", (B, A, 500, Q96)), InvalidPoolSetup),
    (("amm.create_concentrated_pool", (A, B, 500, 5)), PriceOutOfRange),
    (("amm.create_concentrated_pool", (A, B, 500, MAX_SQRT_PRICE)), PriceOutOfRange),
    (("amm.create_concentrated_pool", (A, A, 500, Q96)), SameDenomination),
    (("amm.create_stable_pool", ((A, A), (9, 9), 100, 0, 0)), SameDenomination),
    (("amm.create_stable_pool", ((A, B), (9, 9, 9), 100, 0, 0)), InvalidPoolSetup),
    (("amm.create_stable_pool", ((A, B), (9, 9), 100, 10**8 + 1, 0)), FeeTierNotAllowed),
    (add(1, ((A, 100), (A, 100))), AmountZero),
    (add(1, ((A, 100), (C, 100))), DenominationNotInPool),
    (add(1, ((A, 10**15), (B, 10**15)), minimum=0), MinimumMissing),
    (add(1, ((A, 10**15), (B, 10**15)), minimum=10**18), SlippageExceeded),
    (add(3, ((A, 10**15), (B, 10**15))), WrongCurve),
    (("amm.add_liquidity", (1, (Coin(A, 5), Coin(B, 5)), 1, 5)), DeadlineExpired),
    (remove(1, 0), AmountZero),
    (remove(1, 10**25), InsufficientLiquidity),
    (remove(1, 10**10, A), MinimumMissing),
    (("amm.remove_liquidity", (1, 10**10, (Coin(A, 10**18), Coin(B, 1)), LATE)), SlippageExceeded),
    (("amm.remove_liquidity", (1, 10**10, (Coin(A, 1), Coin(B, 1)), 5)), DeadlineExpired),
    (("amm.remove_one", (1, 10**10, Coin(A, 1), LATE)), WrongCurve),
    (("amm.remove_one", (2, 10**10, Coin(A, 0), LATE)), MinimumMissing),
    (("amm.remove_one", (2, 10**10, Coin(D, 1), LATE)), DenominationNotInPool),
    (position(3, 60, 60, 100, 100), TicksNotSorted),
    (position(3, 120, 60, 100, 100), TicksNotSorted),
    (position(3, 0, 61, 100, 100), TickOutOfRange),
    (position(1, 0, 60, 100, 100), WrongCurve),
    (position(3, 60, 120, 0, 100), AmountZero),
    (("amm.open_position", (3, -60, 60, (Coin(A, 5), Coin(B, 5)), 0, LATE)), MinimumMissing),
    (("amm.open_position", (3, -60, 60, (Coin(A, 5), Coin(B, 5)), 1, 5)), DeadlineExpired),
    (("amm.open_position", (3, -60, 60, (Coin(A, 500), Coin(B, 500)), 1 << 100, LATE)), SlippageExceeded),
    (("amm.decrease_position", (99, 1, (Coin(A, 1),), LATE)), PositionNotFound),
    (("amm.decrease_position", (1, 1, (Coin(A, 1),), LATE)), NotPositionOwner),
    (("amm.collect", (99,)), PositionNotFound),
    (("amm.collect", (1,)), NotPositionOwner),
    (("amm.set_pool_pause", (1, True)), NotMarketAuthority),
    (("amm.collect_protocol", (9,)), PoolNotFound),
    (("bank.send", (module_address("amm", (1).to_bytes(8, "big")), Coin(A, 5))), QenexError),
]


@pytest.mark.parametrize(("order", "error"), REFUSED)
def test_refused_by_name_and_nothing_moved(quiet: Market, order: Any, error: type[QenexError]) -> None:
    state = dict(quiet.store.values)
    receipt = quiet.do(ALICE, order)
    assert receipt.status == error.code or (error is QenexError and receipt.status == 3202)
    changed = {key[:2] for key, value in quiet.store.values.items() if state.get(key) != value}
    assert changed <= {b"\x01\x01", b"\x00\x01", b"\x02\x02"}, "only the fee was paid"


def test_empty_pool_takes_no_swap_and_opens_with_enough_only() -> None:
    market = Market()
    pool = market.must(ALICE, ("amm.create_pool", (A, B, 30))).pool
    assert market.do(ALICE, sell(A, 100, (pool, B))).status == InsufficientLiquidity.code
    assert market.do(ALICE, add(pool, ((A, 1_000), (B, 1_000)))).status == InitialLiquidityTooSmall.code
    assert market.do(ALICE, add(pool, ((A, 10**9),))).status == AmountZero.code
    assert market.must(ALICE, add(pool, ((A, 1_001), (B, 1_001)))).shares == 1
    assert market.supply(f"amm/{pool}") == 1_001


def test_paused_pool_refuses_by_name_but_lets_liquidity_leave() -> None:
    market = Market(authority=encode_address(BOB.address))
    product, ranged = market.product(), market.concentrated()
    for pool in (product, ranged):
        market.must(BOB, ("amm.set_pool_pause", (pool, True)))
        assert market.do(ALICE, sell(A, 100, (pool, B))).status == PoolPaused.code
    assert market.do(ALICE, add(product, ((A, 100), (B, 100)))).status == PoolPaused.code
    assert market.do(ALICE, position(ranged, -60, 60, 100, 100)).status == PoolPaused.code
    assert market.must(DAVE, remove(product, 10**10)).paid[0].amount > 0
    market.must(DAVE, ("amm.decrease_position", (1, 10**10, (Coin(A, 1),), LATE)))
    market.must(BOB, ("amm.set_pool_pause", (product, False)))
    market.must(ALICE, sell(A, 100, (product, B)))


def test_average_price_comes_from_ends_of_blocks() -> None:
    market = Market(protocol_share_bps=0)
    pool = market.product(10**18, 10**18)
    market.time += 1_000 * 10**9
    market.must(ALICE, sell(B, 10**18, (pool, A)))
    high = market.query("amm.get_statistics", pool).price
    assert high > 3 * Q96
    assert abs(market.query("amm.get_average_price", pool, A, B, 1_000) - Q96) <= Q96 // 100
    market.time += 1_000 * 10**9
    mean = market.query("amm.get_average_price", pool, A, B, 2_000)
    assert abs(mean - (Q96 + high) // 2) <= Q96 // 100
    assert abs(market.query("amm.get_average_price", pool, A, B, 500) - high) <= high // 1_000
    inverse = market.query("amm.get_average_price", pool, B, A, 500)
    assert abs(inverse - Q96 * Q96 // high) <= 1_000


def test_a_price_pushed_and_put_back_within_a_block_leaves_no_trace() -> None:
    market = Market()
    pool = market.product()
    market.time += 100 * 10**9
    big = sell(A, 10**18, (pool, B))
    before = market.query("amm.get_statistics", pool).price
    got = amount_out(10**18, E18, E18, 30)
    first, second = market.block_of((ALICE, big), (ALICE, sell(B, got, (pool, A))))
    assert (first.status, second.status) == (0, 0)
    after = market.query("amm.get_statistics", pool).price
    assert abs(after - before) < before, "the observed price is that of the block's end, not of its middle"


def test_candles_and_statistics() -> None:
    market = Market()
    pool = market.product()
    for _ in range(5):
        market.must(ALICE, sell(A, 10**16, (pool, B)))
        market.time += 200 * 10**9
    candles = market.query("amm.get_candles", pool, 0, None).items
    assert len(candles) >= 3
    assert all(candle.low <= min(candle.open, candle.close) for candle in candles)
    assert all(candle.high >= max(candle.open, candle.close) for candle in candles)
    assert [candle.start_s for candle in candles] == sorted(candle.start_s for candle in candles)
    assert sum(candle.volumes[0] for candle in candles) == 5 * 10**16
    assert all(one.close == next_one.open for one, next_one in pairwise(candles))
    hours = market.query("amm.get_candles", pool, 1, 1).items
    assert len(hours) == 1
    statistics = market.query("amm.get_statistics", pool)
    assert statistics.volumes == statistics.volumes_day == (5 * 10**16, 0)
    assert len(market.query("amm.get_candles", pool, 0, 2).items) == 2


def test_lists_come_in_pages(base: Market) -> None:
    page = base.query("amm.list_pools", 2, None)
    assert [view.pool for view in page.items] == [1, 2]
    rest = base.query("amm.list_pools", 2, page.next_cursor)
    assert rest.items[0].pool == 3
    assert rest.next_cursor is None or rest.items[-1].pool > 3
    positions = base.query("amm.list_positions", DAVE.address, 1, None)
    assert len(positions.items) == 1
    assert base.query("amm.list_positions", DAVE.address, 100, positions.next_cursor).items


def test_result_of_one_message_pays_for_the_next() -> None:
    market = Market()
    first, second = market.product(), market.product(denoms=(B, C))
    receipt = market.do(ALICE, sell(A, 10**15, (first, B)), ("bank.send", (BOB.address, Coin(A, 5))))
    assert receipt.status == 0
    swap = ("amm.swap_exact_in", (ref(0, "received"), (Hop(second, C),), 1, LATE))
    receipt = market.do(ALICE, sell(A, 10**15, (first, B)), swap)
    assert receipt.status == 0
    assert receipt.results[1].amount_in == receipt.results[0].amount_out


def test_exported_genesis_begins_with_the_same_markets(base: Market) -> None:
    exported = base.machine.export_genesis(base.base)
    again = Market.__new__(Market)
    super(Market, again).__init__(
        type(base.machine.modules["amm"]),
        actors=[],
        data=exported["modules"],
        parameters=exported["parameters"],
    )
    assert again.machine.export_genesis(again.base) == exported
    assert again.problems() == []
    assert again.query("amm.get_pool", 3) == base.query("amm.get_pool", 3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("books", lambda entries: entries[1:]),
        ("books", lambda entries: [[1, {**entries[0][1], "reserves": [str(10**25), "1"]}], *entries[1:]]),
        ("books", lambda entries: [*entries, entries[0]]),
        ("spots", lambda entries: []),
        ("tick_states", lambda entries: entries[1:]),
        ("owned", lambda entries: []),
        ("positions", lambda entries: entries[1:]),
        ("pools", lambda entries: [[1, {"curve": 1}]]),
        ("pools", lambda entries: {}),
        ("nothing", lambda entries: []),
        ("pool_numbers", lambda entries: -1),
    ],
)
def test_genesis_of_markets_that_do_not_add_up_is_refused(base: Market, name: str, change: Any) -> None:
    exported = base.machine.export_genesis(base.base)
    modules = {**exported["modules"], "amm": dict(exported["modules"]["amm"])}
    modules["amm"][name] = change(modules["amm"].get(name))
    again = Market.__new__(Market)
    with pytest.raises(InvalidGenesis):
        super(Market, again).__init__(
            type(base.machine.modules["amm"]), actors=[], data=modules, parameters=exported["parameters"]
        )
