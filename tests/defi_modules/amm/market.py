"""A chain with markets for tests: actors who hold four test coins and QXC, and short ways to trade."""

from __future__ import annotations

from typing import Any

from defi_modules.amm import Amm
from defi_modules.amm.types import Hop
from qenex.block import Receipt
from qenex.types import Coin
from tests.vm.chain import ACTORS, Actor, Chain
from vm.module import Module

A, B, C, D = (f"tokens/{letter * 32}" for letter in "abcd")
E9 = 10**9
RICH = 10**24
ALICE, BOB, CAROL, DAVE = ACTORS[:4]
LATE = 1 << 40
Q96 = 1 << 96


class Market(Chain):
    """One block for each call of `do`."""

    def __init__(self, *modules: type[Module], rich: int = RICH, **parameters: Any) -> None:
        balances = [(actor.address, denom, rich) for actor in ACTORS for denom in (A, B, C, D)]
        settings: dict[str, dict[str, Any]] = {"machine": {"max_block_gas": 10**9}, "amm": parameters}
        super().__init__(Amm, *modules, balances=balances, parameters=settings)

    def do(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> Receipt:
        """One transaction in one block; the invariants hold after it."""
        receipt = self.run(self.tx(actor, *messages, gas=20_000_000))[0]
        assert self.problems() == []
        assert self.faults == []
        return receipt

    def must(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> Any:
        """As `do`; returns the last message's result."""
        receipt = self.do(actor, *messages)
        assert receipt.status == 0, (receipt.status, self.block_error)
        return receipt.results[-1]

    def block_of(self, *orders: tuple[Actor, tuple[str, tuple[Any, ...]]]) -> list[Receipt]:
        """One block with a transaction for each order, in this order."""
        self.begin()
        block = self.block
        assert block is not None
        receipts = []
        for actor, order in orders:
            receipts.append(block.execute(self.tx(actor, order, gas=20_000_000)))
        self.end()
        assert self.faults == []
        return receipts

    @property
    def block_error(self) -> Any:
        execution = self.machine.execution
        return None if execution is None else execution.error

    # -- pools ------------------------------------------------------------------------------

    def product(
        self, a: int = 10**18, b: int = 10**18, fee: int = 30, denoms: tuple[str, str] = (A, B)
    ) -> int:
        number = self.must(DAVE, ("amm.create_pool", (*denoms, fee))).pool
        self.must(DAVE, add(number, ((denoms[0], a), (denoms[1], b))))
        return number

    def stable(
        self,
        *amounts: int,
        amp: int = 2_000,
        fee: int = 4_000_000,
        multiplier: int = 0,
        denoms: tuple[str, ...] = (A, B, C),
        decimals: tuple[int, ...] = (9, 9, 9),
    ) -> int:
        message = ("amm.create_stable_pool", (denoms, decimals, amp, fee, multiplier))
        number = self.must(DAVE, message).pool
        coins = tuple(zip(denoms, amounts or (10**18,) * len(denoms), strict=True))
        self.must(DAVE, add(number, coins))
        return number

    def concentrated(
        self,
        *ranges: tuple[int, int, int],
        fee: int = 3_000,
        price: int = Q96,
        denoms: tuple[str, str] = (A, B),
    ) -> int:
        number = self.must(DAVE, ("amm.create_concentrated_pool", (*denoms, fee, price))).pool
        for lower, upper, amount in ranges or ((-887220, 887220, 10**18),):
            self.must(DAVE, position(number, lower, upper, amount, amount, denoms))
        return number

    def pool(self, number: int) -> Any:
        return self.query("amm.get_pool", number)

    def wealth(self, actor: Actor) -> dict[str, int]:
        return {denom: self.balance(actor.address, denom) for denom in (A, B, C, D)}

    def dust(self, number: int) -> tuple[int, ...]:
        dust: tuple[int, ...] = self.query("amm.get_statistics", number).dust
        return dust


def add(pool: int, coins: Any, minimum: int = 1) -> tuple[str, tuple[Any, ...]]:
    return ("amm.add_liquidity", (pool, tuple(Coin(*coin) for coin in coins), minimum, LATE))


def remove(pool: int, shares: int, *denoms: str) -> tuple[str, tuple[Any, ...]]:
    return ("amm.remove_liquidity", (pool, shares, tuple(Coin(d, 1) for d in denoms or (A, B)), LATE))


def sell(denom: str, amount: int, *hops: tuple[int, str], minimum: int = 1) -> tuple[str, tuple[Any, ...]]:
    return ("amm.swap_exact_in", (Coin(denom, amount), tuple(Hop(*hop) for hop in hops), minimum, LATE))


def buy(
    denom_in: str, amount_out: int, *hops: tuple[int, str], maximum: int = (1 << 128) - 1
) -> tuple[str, tuple[Any, ...]]:
    path = tuple(Hop(*hop) for hop in hops)
    return ("amm.swap_exact_out", (denom_in, path, amount_out, maximum, LATE))


def position(
    pool: int, lower: int, upper: int, a: int, b: int, denoms: tuple[str, str] = (A, B)
) -> tuple[str, tuple[Any, ...]]:
    coins = tuple(Coin(d, n) for d, n in zip(denoms, (a, b), strict=True) if n)
    return ("amm.open_position", (pool, lower, upper, coins, 1, LATE))
