"""The sandwich rule: within a block, whoever moves a price before another's swap cannot take it back after.

A random search plays the proposer, who orders the block as he likes: swaps before, between and after the
victims', in pieces, with exact inputs and outputs, through every curve. What he holds at the end is valued
at the prices with which the block began; he never has more.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from defi_modules.amm.concentrated import max_liquidity_per_tick, sqrt_price_at_tick
from defi_modules.amm.pools import Filled, mid_price, swap
from defi_modules.amm.stableswap import spot_price
from defi_modules.amm.types import CONCENTRATED, CONSTANT_PRODUCT, STABLE, Book, Pool, Spot, StableSetup
from qenex.crypto.address import Address
from qenex.errors import QenexError
from qenex.types import Coin
from tests.defi_modules.amm.market import ALICE, BOB, A, B, C, Market, add, sell
from tests.defi_modules.amm.test_walk import Range

NOBODY = Address(bytes(32))
RUNS = 700


class One:
    """A pool in memory, for one block."""

    def __init__(self, curve: int, pick: Random) -> None:
        size = 10 ** pick.randrange(4, 19)
        self.ticks: Any = None
        self.spot: Spot | None = None
        stable, spacing = None, 0
        denoms: tuple[str, ...] = (A, B)
        reserves: tuple[int, ...] = (pick.randrange(size, 9 * size), pick.randrange(size, 9 * size))
        fee = pick.choice([1, 5, 30, 100])
        if curve == STABLE:
            denoms = (A, B, C) if pick.randrange(2) else (A, B)
            reserves = tuple(pick.randrange(size, 9 * size) for _ in denoms)
            fee = pick.choice([10**5, 4 * 10**6, 10**8])
            amp = pick.choice([1, 20, 400, 20_000])
            stable = StableSetup((10**18,) * len(denoms), pick.choice([0, 2 * 10**10]), amp, amp, 0, 0)
        if curve == CONCENTRATED:
            fee, spacing = pick.choice([(500, 10), (3_000, 60)])
            ranges = [(-887_220, 887_220, size)]
            for _ in range(pick.randrange(4)):
                low = pick.randrange(-20, 20) * spacing
                ranges.append((low, low + pick.randrange(1, 9) * spacing, pick.randrange(size, 50 * size)))
            self.ticks = Range(*ranges)
            place = self.ticks.place(sqrt_price_at_tick(pick.randrange(-900, 900)))
            self.spot = Spot(place.sqrt_price, place.tick, place.liquidity, 0, 0)
            reserves = self.ticks.balances(place.sqrt_price)
            assert max(r[2] for r in ranges) < max_liquidity_per_tick(spacing)
        zeros = (0,) * len(reserves)
        self.pool = Pool(curve, denoms, NOBODY, fee, spacing, False, None, stable)
        self.book = Book(reserves, zeros, zeros, 0, ())
        self.size = size

    def price(self, i: int) -> Fraction:
        """Of coin `i` in coin 0, before anything happened."""
        return Fraction(1) if i == 0 else Fraction(*mid_price(self.pool, self.book, self.spot, i, 0, 0))

    def trade(self, i: int, j: int, amount: int, exact_in: bool) -> Filled | None:
        try:
            filled = swap(self.pool, self.book, self.spot, self.ticks, i, j, amount, exact_in, 7, 0, 1_000)
        except QenexError:
            return None
        self.book, self.spot = filled.book, filled.spot
        return filled


def play(curve: int, pick: Random) -> tuple[Fraction, Fraction]:
    """One block; what the attacker gained at the prices of its beginning, and the greatest price."""
    one = One(curve, pick)
    count = len(one.pool.denoms)
    prices = [one.price(i) for i in range(count)]
    held = [0] * count
    i, j = pick.sample(range(count), 2)

    def amount() -> int:
        return pick.choice(
            [1, 2, pick.randrange(1, 1_000), pick.randrange(1, one.size), pick.randrange(1, 4 * one.size)]
        )

    def attack(came: int, went: int, size: int, exact_in: bool) -> None:
        filled = one.trade(came, went, size, exact_in)
        if filled is not None:
            held[came] -= filled.amount_in
            held[went] += filled.amount_out

    for _ in range(pick.randrange(1, 4)):
        attack(i, j, amount(), pick.randrange(3) > 0)
        if count == 3 and pick.randrange(3) == 0:
            attack(i, 3 - i - j, amount(), True)
    for _ in range(pick.randrange(1, 3)):
        one.trade(*((i, j) if pick.randrange(4) else (j, i)), amount(), pick.randrange(2) > 0)
        if pick.randrange(3) == 0:
            attack(j, i, amount(), True)
    for coin in range(count):
        pieces = pick.choice([1, 1, 2, 5])
        for _ in range(pieces):
            if coin != i and held[coin] > 0:
                attack(coin, i, max(1, held[coin] // pieces), True)
    if held[j] > 0 and pick.randrange(4):
        attack(j, i, held[j], True)
    return sum((Fraction(h) * p for h, p in zip(held, prices, strict=True)), Fraction(0)), max(prices)


@pytest.mark.parametrize("curve", [CONSTANT_PRODUCT, STABLE, CONCENTRATED])
def test_in_block_sandwiches_by_the_proposer_never_profit(curve: int) -> None:
    pick = Random(curve)
    for run in range(RUNS):
        gained, _ = play(curve, pick)
        assert gained <= 0, (curve, run, gained)


@pytest.mark.long
@pytest.mark.parametrize("curve", [CONSTANT_PRODUCT, STABLE, CONCENTRATED])
@pytest.mark.parametrize("seed", range(10))
def test_in_block_sandwiches_deep_search(curve: int, seed: int) -> None:
    pick = Random(1_000 * curve + seed)
    for run in range(5_000):
        gained, _ = play(curve, pick)
        assert gained <= 0, (curve, seed, run, gained)


def test_the_search_finds_what_the_rule_prevents() -> None:
    """Without the copies of the block's beginning the same search profits: it can fail."""
    pick, profits = Random(1), 0
    for _ in range(300):
        one = One(CONSTANT_PRODUCT, pick)
        start = one.price(1)
        front = one.trade(0, 1, one.size // 2 + 1, True)
        one.book = one.book._replace(height=0)  # as if a new block began
        one.trade(0, 1, one.size + 1, True)
        one.book = one.book._replace(height=0)
        back = one.trade(1, 0, front.amount_out, True) if front else None
        profits += bool(front and back and back.amount_out > front.amount_in and start)
    assert profits > 100


@pytest.mark.parametrize("kind", ["product", "stable", "concentrated"])
def test_a_sandwich_on_the_chain_loses_and_the_victim_gets_no_less_than_alone(kind: str) -> None:
    market = Market()
    pool = getattr(market, kind)()
    before = market.wealth(ALICE)
    got = market.query("amm.quote", pool, Coin(A, 10**17), B).amount_out
    receipts = market.block_of(
        (ALICE, sell(A, 10**17, (pool, B))),
        (BOB, sell(A, 2 * 10**17, (pool, B))),
        (ALICE, sell(B, got, (pool, A))),
    )
    assert [receipt.status for receipt in receipts] == [0, 0, 0]
    after = market.wealth(ALICE)
    assert after[B] == before[B]
    assert after[A] < before[A]
    assert market.problems() == []


def test_what_the_rule_withholds_stays_with_the_providers() -> None:
    market = Market(protocol_share_bps=0)
    pool = market.product()
    plain = market.product(fee=100)
    orders = [(ALICE, sell(A, 10**17)), (BOB, sell(A, 10**17))]
    for number in (pool, plain):
        swaps = [(actor, (order[0], (order[1][0], ((number, B),), *order[1][2:]))) for actor, order in orders]
        bought = market.block_of(*swaps)[0].results[0].amount_out
        product = market.pool(number).reserves[0] * market.pool(number).reserves[1]
        market.block_of((BOB, sell(A, 10**17, (number, B))), (ALICE, sell(B, bought, (number, A))))
        assert market.pool(number).reserves[0] * market.pool(number).reserves[1] > product


def test_deposits_of_one_coin_are_worth_no_more_than_at_the_beginning_of_the_block() -> None:
    """A lopsided deposit is a swap in disguise: at a price pushed within the block it gains nothing."""
    market = Market()
    pool = market.stable(amp=20)
    alone = Market()
    other = alone.stable(amp=20)
    quiet = alone.must(ALICE, add(other, ((B, 10**17),))).shares
    receipts = market.block_of(
        (BOB, sell(A, 9 * 10**17, (pool, B))),
        (ALICE, add(pool, ((B, 10**17),))),
    )
    assert [receipt.status for receipt in receipts] == [0, 0]
    assert receipts[1].results[0].shares <= quiet


@pytest.mark.parametrize("seed", range(25))
def test_lopsided_liquidity_is_no_way_around_the_rule(seed: int) -> None:
    """The proposer with shares of his own, who swaps, deposits and withdraws one coin around others' swaps.

    Coins are valued at the prices, shares at their worth, of the block's beginning: what rises because the
    victims paid the pool is every provider's and not his.
    """
    pick = Random(seed)
    market = Market()
    size = 10 ** pick.randrange(9, 18)
    pool = market.stable(
        *[pick.randrange(size, 4 * size) for _ in range(3)], amp=pick.choice([5, 100, 2_000])
    )
    market.must(ALICE, add(pool, [(denom, pick.randrange(size // 10, size)) for denom in (A, B, C)]))
    number = f"amm/{pool}"
    view = market.pool(pool)
    reserves, total = view.reserves, view.shares
    rates, amp = (10**27,) * 3, view.amplification
    prices = [Fraction(1)] + [Fraction(*spot_price(i, 0, reserves, rates, amp)) for i in (1, 2)]
    share = sum(r * p for r, p in zip(reserves, prices, strict=True)) / total

    def worth() -> Fraction:
        coins = sum(market.balance(ALICE.address, d) * p for d, p in zip((A, B, C), prices, strict=True))
        return Fraction(coins) + market.balance(ALICE.address, number) * share

    before, held = worth(), market.balance(ALICE.address, number)
    orders: list[tuple[Any, Any]] = []
    for _ in range(pick.randrange(2, 7)):
        came, went = pick.sample([A, B, C], 2)
        amount = pick.randrange(1, 2 * size)
        kind = pick.randrange(5)
        if kind == 0:
            orders.append((BOB, sell(came, amount, (pool, went))))
        elif kind <= 2:
            orders.append((ALICE, sell(came, amount, (pool, went))))
        elif kind == 3:
            orders.append((ALICE, add(pool, ((came, amount),))))
        else:
            part = held // pick.randrange(4, 40)
            orders.append((ALICE, ("amm.remove_one", (pool, part, Coin(came, 1), 1 << 40))))
    market.block_of(*orders)
    assert worth() <= before
    assert market.problems() == []


@pytest.mark.parametrize("curve", [CONSTANT_PRODUCT, STABLE, CONCENTRATED])
@pytest.mark.parametrize("seed", range(80))
def test_slices_within_a_block_never_pay_more_than_one_piece(curve: int, seed: int) -> None:
    """Fees left in the pool included: up to 256 slices, from one unit, whatever was swapped before them.

    Curve's dynamic fee is that of a swap's middle, so slices can save a part of what it adds; never of the fee itself.
    """
    pick = Random(10_000 + seed)
    one = One(curve, pick)
    for _ in range(pick.randrange(3)):  # the block is not fresh
        one.trade(*pick.choice([(0, 1), (1, 0)]), pick.randrange(1, one.size), True)
    book, spot = one.book, one.spot
    slices = [
        pick.choice([1, 2, pick.randrange(1, 50), pick.randrange(1, one.size)])
        for _ in range(pick.choice([2, 9, 256]))
    ]
    exact_in = pick.randrange(3) > 0
    if not exact_in:
        slices = [max(1, piece // len(slices) // 4) for piece in slices]
    taken = paid = given = 0
    for piece in slices:
        filled = one.trade(0, 1, piece, exact_in)
        if filled is not None:
            taken, paid, given = taken + filled.amount_in, paid + filled.amount_out, given + piece
    one.book, one.spot = book, spot
    if one.pool.stable is not None:
        one.pool = one.pool._replace(stable=one.pool.stable._replace(multiplier=0))
    whole = one.trade(0, 1, given, exact_in) if given else None
    if whole is not None:
        assert paid <= whole.amount_out
        assert taken >= whole.amount_in
    elif exact_in:
        assert paid == 0


@pytest.mark.parametrize("curve", [CONSTANT_PRODUCT, STABLE, CONCENTRATED])
@pytest.mark.parametrize("seed", range(40))
def test_there_and_back_within_a_block_never_pays(curve: int, seed: int) -> None:
    pick = Random(20_000 + seed)
    one = One(curve, pick)
    amount = pick.choice([1, 2, pick.randrange(1, 100), pick.randrange(1, 4 * one.size)])
    there = one.trade(0, 1, amount, True)
    if there is None:
        return
    back = one.trade(1, 0, there.amount_out, True)
    assert back is None or back.amount_out < amount
