"""A chain with lending markets for tests: prices by one validator, four test coins and QXC."""

from __future__ import annotations

from typing import Any

from defi_modules.amm import Amm
from defi_modules.lending import Lending
from defi_modules.oracle import Oracle
from defi_modules.tokens import Tokens
from qenex.block import Receipt
from qenex.crypto import encode_address
from qenex.errors import MarketNotListed, QenexError
from qenex.transaction import Transaction
from qenex.types import Coin
from tests.vm.chain import ACTORS, Actor, Chain

A, B, C, D = (f"tokens/{letter * 32}" for letter in "abcd")
COINS = (A, B, C, D)
FEEDS = {A: "AAA/USD", B: "BBB/USD", C: "CCC/USD", D: "DDD/USD"}
ALICE, BOB, CAROL, DAVE, ERIN, REPORTER = ACTORS[:6]
ONE = 10**9
"""A whole unit of every test coin."""
RICH = 10**24
SEED = 10**6
RAY = 10**27
WAD = 10**18
YEAR = 365 * 86_400
BOTTOMLESS = 10**30
NOWHERE = "tokens/" + "e" * 32
LENDING = b"\x08"
"""First byte of the module's records."""


def terms(denom: str, **changes: Any) -> dict[str, Any]:
    """Terms in JSON: 80% threshold, 75% loan-to-value, 5% bonus, a kink at 80%."""
    given: dict[str, Any] = {
        "denom": denom, "decimals": 9, "feed": FEEDS[denom], "max_age_s": 3_600, "max_spread_bps": 500,
        "mean_price": None, "ltv_bps": 7_500, "threshold_bps": 8_000, "bonus_bps": 10_500,
        "liquidation_fee_bps": 1_000, "reserve_factor_bps": 1_000, "base_ray": 0, "slope1_ray": 4 * 10**25,
        "slope2_ray": 75 * 10**25, "optimal_bps": 8_000, "adaptive_speed": 0, "supply_cap": str(10**22),
        "borrow_cap": str(10**22), "outflow_bps": 10_000, "debt_ceiling": 0, "isolation_borrowable": False,
        "group": 0, "flash_fee_bps": 9, "seed": SEED,
    }  # fmt: skip
    wide = ("base_ray", "slope1_ray", "slope2_ray", "supply_cap", "borrow_cap", "debt_ceiling", "seed")
    given |= changes
    return given | {name: str(given[name]) for name in wide}


class Bank(Chain):
    """Markets of A, B, C and D, all at 1.00, open. One block for each call of `do`."""

    def __init__(
        self,
        *changed: dict[str, Any],
        groups: tuple[dict[str, Any], ...] = (),
        opened: tuple[str, ...] = COINS,
        data: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        feeds = [
            {
                "symbol": s,
                "max_age_s": 86_400,
                "min_reports": 1,
                "min_power_bps": 1,
                "max_deviation_bps": 10_000,
            }
            for s in FEEDS.values()
        ]
        given = {item["denom"]: item for item in changed}
        listed = [given.get(denom) or terms(denom) for denom in COINS]
        prices = [
            {
                "symbol": symbol,
                "price": {
                    "price": str(10**8),
                    "spread": "0",
                    "time_s": 1_700_000_000,
                    "reports": 1,
                    "power": "10",
                },
            }
            for symbol in FEEDS.values()
        ]
        super().__init__(
            Tokens, Oracle, Amm, Lending,
            balances=[(actor.address, denom, RICH) for actor in ACTORS for denom in COINS],
            parameters={
                "machine": {"max_block_gas": 10**9},
                "oracle": {"feeds": feeds},
                "lending": {"authority": encode_address(ERIN.address), **parameters},
            },
            validators=[(REPORTER.address, REPORTER.key, 10)],
            data=data or {"lending": {"groups": list(groups), "terms": listed}, "oracle": {"prices": prices}},
        )  # fmt: skip
        for denom in opened:
            self.must(DAVE, ("lending.seed", (denom,)))

    def do(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> Receipt:
        """One transaction in one block; the invariants hold after it."""
        receipt = self.run(self.tx(actor, *messages, gas=20_000_000))[0]
        assert self.problems() == []
        assert self.faults == []
        return receipt

    def must(self, actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> Any:
        """As `do`; returns the last message's result."""
        receipt = self.do(actor, *messages)
        execution = self.machine.execution
        assert receipt.status == 0, (receipt.status, execution and execution.error)
        return receipt.results[-1]

    def refused(self, error: type[QenexError], actor: Actor, *messages: tuple[str, tuple[Any, ...]]) -> None:
        """The transaction fails with this error, and nothing but the fee has moved."""
        wrong = self.tx(actor, ("lending.repay", (NOWHERE, None, None)))
        before, expected = self.wealth(actor), self._changes_of(wrong)
        receipt = self.do(actor, *messages)
        execution = self.machine.execution
        assert receipt.status == error.code, (receipt.status, execution and execution.error)
        assert self.wealth(actor) == before
        changes = self.results[-1].changes
        assert set(changes) == set(expected), "the same records as any failed transaction: fee and sequence"
        assert all(changes[key] == expected[key] for key in changes if key[:1] == LENDING)

    def _changes_of(self, tx: Transaction) -> dict[bytes, Any]:
        """What a block of this transaction would write; nothing is committed."""
        block = self.machine.begin(self.base, self.next_info)
        assert block.execute(tx).status == MarketNotListed.code
        return block.end().changes

    def price(self, denom: str, mantissa: int, exponent: int = -2) -> None:
        """A new price by the validator; hundredths unless told otherwise."""
        receipt = self.send_block(REPORTER, ("oracle.report", (((FEEDS[denom], mantissa, exponent),),)))
        assert receipt.status == 0
        assert self.faults == []

    def wait(self, seconds: int) -> None:
        self.time += seconds * 10**9
        self.run()

    # -- reading ------------------------------------------------------------------------------

    def market(self, denom: str) -> Any:
        return self.query("lending.get_market", denom)

    def markets(self) -> Any:
        """What the markets have stored, without interest since."""
        return [
            (info.state.cash, info.state.shares, info.state.held_shares, info.state.scaled_debt)
            for info in self.query("lending.list_markets", None, None).items
        ]

    def position(self, actor: Actor) -> Any:
        return self.query("lending.get_position", actor.address)

    def owes(self, actor: Actor, denom: str) -> int:
        return sum(entry.debt for entry in self.position(actor).entries if entry.denom == denom)

    def wealth(self, actor: Actor) -> dict[str, int]:
        denoms = (*COINS, *[f"lending/{denom}" for denom in COINS])
        return {denom: self.balance(actor.address, denom) for denom in denoms}

    def liquidatable(self) -> list[Any]:
        return [risk.address for risk in self.query("lending.list_liquidatable", None).items]

    # -- short ways -----------------------------------------------------------------------------

    def stake(self, actor: Actor, denom: str, amount: int) -> None:
        self.must(actor, supply(denom, amount, collateral=True))

    def indebted(self, actor: Actor = BOB, up: int = 10_000 * ONE, lent: int = 7_000 * ONE) -> None:
        """Alice supplies B; the actor puts up A and borrows B."""
        self.must(ALICE, supply(B, 100_000 * ONE))
        self.stake(actor, A, up)
        self.must(actor, borrow(B, lent))


def supply(denom: str, amount: int, *, collateral: bool = False) -> tuple[str, tuple[Any, ...]]:
    return ("lending.supply", (Coin(denom, amount), collateral))


def withdraw(
    denom: str, amount: int | None = None, *, collateral: bool = False, queue: bool | None = None
) -> tuple[str, tuple[Any, ...]]:
    return ("lending.withdraw", (denom, collateral, amount, queue))


def borrow(denom: str, amount: int) -> tuple[str, tuple[Any, ...]]:
    return ("lending.borrow", (Coin(denom, amount),))


def repay(denom: str, amount: int | None = None, of: Actor | None = None) -> tuple[str, tuple[Any, ...]]:
    return ("lending.repay", (denom, amount, of and of.address))


def liquidate(
    of: Actor,
    collateral: str = A,
    debt: str = B,
    amount: int | None = None,
    target: int | None = None,
    *,
    shares: bool = False,
) -> tuple[str, tuple[Any, ...]]:
    return ("lending.liquidate", (of.address, collateral, debt, shares, amount, target))
