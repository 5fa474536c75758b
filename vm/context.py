"""What a module's method sees of the transaction, block or query it runs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qenex.block import Event, Evidence, Validator
from qenex.crypto.address import Address
from qenex.errors import AmountNotPositive, TooManyDebts, TooManyEvents
from vm.gas import Gas

if TYPE_CHECKING:
    from vm.money import Money

MAX_EVENTS: Final = 1_024
"""Events of one transaction."""
MAX_HOOK_EVENTS: Final = 65_536
"""Events of one hook, whose work is bounded by counts of items."""
MAX_DEBTS: Final = 16
"""Debts opened in one transaction."""
MAX_CALL_DEPTH: Final = 8

_new = tuple.__new__


class BlockInfo(NamedTuple):
    """The block being executed, as far as rules may see it. Times in ns.

    `absent` are the validators of height - 1 whose vote is not in the commit that the block carries.
    """

    chain_id: str
    height: int
    time: int
    parent_time: int
    proposer: Address
    evidence: tuple[Evidence, ...] = ()
    protocol_version: int = 1
    validators: tuple[Validator, ...] = ()
    absent: tuple[Address, ...] = ()


class Debt(NamedTuple):
    """`amount` of `denom` that `debtor` pays `creditor` at the end of the transaction."""

    debtor: Address
    creditor: Address
    denom: str
    amount: int


class Context:
    """One per machine, moved from call to call: `actor` is the acting account, `module` the running one.

    `emit` records an event, `owe` opens a debt that the machine settles at the end of the transaction,
    `money` moves coins, `gas.use(n)` charges loop items before the work.
    """

    __slots__ = (
        "_event_gas",
        "_event_names",
        "_read_validators",
        "actor",
        "block",
        "debts",
        "depth",
        "events",
        "gas",
        "height",
        "max_events",
        "module",
        "money",
        "scheme_status",
        "supplies",
        "time",
        "time_s",
    )

    def __init__(
        self,
        event_names: dict[type, str],
        money: Money,
        block: BlockInfo,
        gas: Gas,
        event_gas: int,
        read_validators: Callable[[], tuple[Validator, ...]],
    ) -> None:
        self._event_names = event_names
        self._read_validators = read_validators
        self._event_gas = event_gas
        self.money = money
        self.actor: Address = Address(b"")
        self.module = ""
        self.scheme_status: dict[int, int] = {}
        self.debts: list[Debt] = []
        self.supplies: dict[str, None] = {}
        """Denominations that who may mint them minted or burned."""
        self.enter_block(block, gas)

    @property
    def validators(self) -> tuple[Validator, ...]:
        """The active validators, in canonical order; also where a query or a hook asks."""
        return self.block.validators or self._read_validators()

    def enter_block(self, block: BlockInfo, gas: Gas) -> None:
        """Stand at the beginning of a block."""
        self.block = block
        self.height = block.height
        self.time = block.time
        self.time_s = block.time // 10**9
        self.enter(gas)

    def enter(self, gas: Gas, max_events: int = MAX_EVENTS) -> None:
        """Stand at the beginning of a transaction or hook: no events, no debts."""
        self.gas = gas
        self.max_events = max_events
        self.events: list[Event] = []
        if self.debts:
            self.debts = []
        if self.supplies:
            self.supplies = {}
        self.depth = 0

    def emit(self, record: tuple[Any, ...]) -> None:
        """Record an event. Raises TooManyEvents beyond 1,024 a transaction (65,536 a hook)."""
        events = self.events
        if len(events) >= self.max_events:
            raise TooManyEvents(f"more than {self.max_events} events in one scope")
        self.gas.use(self._event_gas)
        events.append(_new(Event, (self._event_names[type(record)], record)))

    def owe(self, creditor: Address, denom: str, amount: int) -> None:
        """The acting account owes `amount` base units, to be paid by the machine at the end.

        The module books it as received at once; unpaid, the whole transaction fails. Raises TooManyDebts
        or AmountNotPositive.
        """
        if amount <= 0:
            raise AmountNotPositive(f"a debt of {amount} {denom}")
        if len(self.debts) >= MAX_DEBTS:
            raise TooManyDebts(f"more than {MAX_DEBTS} debts in one transaction")
        self.debts.append(Debt(self.actor, creditor, denom, amount))
