"""A swap through a pool of concentrated liquidity, tick by tick: pure, over any source of ticks."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from defi_modules.amm.concentrated import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    compute_swap_step,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from qenex.errors import InsufficientLiquidity


class Ticks(Protocol):
    """Where liquidity begins and ends."""

    def next_tick(self, tick: int, down: bool) -> int | None:
        """The nearest initialised tick: at or below `tick` (down), or above it. None if there is none."""

    def net(self, tick: int) -> int:
        """Liquidity that is added when the price rises through `tick`."""


class Place(NamedTuple):
    """Where a pool's price stands: Q64.96 square root, its tick, the liquidity there."""

    sqrt_price: int
    tick: int
    liquidity: int


class Crossing(NamedTuple):
    """A tick that was crossed, and the growth of the input's fees until then, Q128."""

    tick: int
    growth: int


class Walk(NamedTuple):
    """A whole swap: where it ends, what it took (fee included) and paid, its fee, the protocol's part of that.

    `growth` is what the rest of the fee adds to each unit of liquidity, Q128; `crossings` in order.
    """

    place: Place
    amount_in: int
    amount_out: int
    fee: int
    protocol_fee: int
    growth: int
    crossings: tuple[Crossing, ...]


def walk(
    ticks: Ticks,
    place: Place,
    amount: int,
    zero_for_one: bool,
    fee_pips: int,
    *,
    protocol_bps: int = 0,
    limit: int | None = None,
    max_steps: int = 1 << 20,
) -> Walk:
    """Swap from `place`: a negative `amount` is an exact input, a positive one an exact output.

    With `limit`, a square-root price, it may end there with part of the amount. Each step is charged by
    the caller through `ticks`. Raises InsufficientLiquidity if the ticks end before the amount, or after
    `max_steps`.
    """
    price, tick, liquidity = place
    remaining = amount
    end = limit if limit is not None else (MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1)
    exact_in = amount < 0
    taken = paid = fees = protocol = growth = steps = 0
    crossings: list[Crossing] = []
    while remaining != 0 and price != end:
        steps += 1
        if steps > max_steps:
            raise InsufficientLiquidity(f"the swap crosses more than {max_steps} ticks")
        found = ticks.next_tick(tick, zero_for_one)
        following = found if found is not None else (MIN_TICK if zero_for_one else MAX_TICK)
        at_tick = sqrt_price_at_tick(following)
        target = max(at_tick, end) if zero_for_one else min(at_tick, end)
        if liquidity == 0:
            if found is None and limit is None:
                break  # nobody's liquidity lies that way
            reached = target
        else:
            reached, step_in, step_out, step_fee = compute_swap_step(
                price, target, liquidity, remaining, fee_pips
            )
            remaining += step_in + step_fee if exact_in else -step_out
            taken += step_in + step_fee
            paid += step_out
            fees += step_fee
            if protocol_bps:
                cut = step_fee * protocol_bps // 10_000
                protocol += cut
                step_fee -= cut
            growth += (step_fee << 128) // liquidity
        if reached == at_tick:
            if found is not None:
                crossings.append(Crossing(following, growth))
                net = ticks.net(following)
                liquidity += -net if zero_for_one else net
            tick = following - 1 if zero_for_one else following
        elif reached != price:
            tick = tick_at_sqrt_price(reached)
        price = reached
    if remaining != 0 and limit is None:
        raise InsufficientLiquidity("the pool's liquidity ends before the whole amount is swapped")
    return Walk(Place(price, tick, liquidity), taken, paid, fees, protocol, growth, tuple(crossings))
