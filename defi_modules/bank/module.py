"""Bank, module 2: the face of money. What moves coins, and what tells who has how much."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from defi_modules.bank.types import BalancePage, Sent, Transferred
from ledger.collections import OrderedMap
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import (
    InvalidGenesis,
    InvariantViolated,
    QenexError,
)
from qenex.state_keys import (
    ACCOUNT_RECORDS,
    EMPTY_ACCOUNT,
    ModuleId,
    supply_state_key,
)
from qenex.types import MAX_AMOUNT, QXC, Amount, Between, Coin, Denom
from vm.context import Context
from vm.module import Module, invariant, message, query

_new = tuple.__new__  # builds a record in 0.1 us instead of 0.35: every transfer comes through here

PageLimit = Annotated[int, Between(1, 1_000)]


class GenesisBalance(NamedTuple):
    """One balance at genesis."""

    address: Address
    denom: Denom
    amount: Amount


class Bank(Module):
    """Coins of every denomination: balances, supplies, transfers."""

    id = ModuleId.BANK
    name = "bank"
    events = (Transferred,)

    balances = OrderedMap[tuple[Address, str], int](1, key=(Address, Denom), value=Amount)
    supplies = OrderedMap[str, int](2, key=Denom, value=Amount)

    @message(gas=300)
    def send(self, ctx: Context, to: Address, amount: Coin) -> Sent:
        """Send coins to an account.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        denom, value = amount
        received = ctx.money.pay(ctx, to, denom, value)
        ctx.emit(_new(Transferred, (ctx.actor, to, denom, received)))
        return _new(Sent, (denom, received))

    @query
    def get_balance(self, ctx: Context, address: Address, denom: Denom) -> Amount:
        """Base units that an account holds of one denomination; 0 for an account that does not exist.

        Args:
            address: the account.
            denom: the denomination.
        """
        return ctx.money.balance(address, denom)

    @query
    def get_balances(
        self, ctx: Context, address: Address, limit: PageLimit | None, cursor: Denom | None
    ) -> BalancePage:
        """All balances of an account, QXC first, then by denomination.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        size = limit or 100
        items: list[Coin] = []
        native = ctx.money.balance(address, QXC)
        if cursor is None and native:
            items.append(Coin(QXC, native))
        after = None if cursor is None or cursor == QXC else (address, cursor)
        entries, more = self.balances.page_and_more(prefix=bytes(address), after=after, limit=size)
        items += [Coin(key[1], value) for key, value in entries]
        more = more or len(items) > size
        items = items[:size]
        return BalancePage(tuple(items), items[-1].denom if more else None)

    @query
    def get_supply(self, ctx: Context, denom: Denom) -> Amount:
        """Base units of a denomination in existence.

        Args:
            denom: the denomination.
        """
        return ctx.money.supply(denom)

    @invariant()
    def balances_equal_supplies(self, ctx: Context) -> None:
        """Per denomination, all balances add up to the supply."""
        sums: dict[str, int] = {}
        state = self.balances.state
        for _, account in state.iterate(ACCOUNT_RECORDS, ACCOUNT_RECORDS[:1] + b"\x02"):
            sums[QXC] = sums.get(QXC, 0) + account.balance
        for (_, denom), amount in self.balances.scan():
            sums[denom] = sums.get(denom, 0) + amount
        supplies = dict(self.supplies.scan())
        for denom in sorted({*sums, *supplies}):
            if sums.get(denom, 0) != supplies.get(denom, 0):
                raise InvariantViolated(
                    f"balances of {denom} add up to {sums.get(denom, 0)}, its supply is {supplies.get(denom, 0)}"
                )

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"balances": [{"address", "denom", "amount"}, ...]}`; supplies are their sums."""
        if set(data) - {"balances"} or not isinstance(data.get("balances", []), list):
            raise InvalidGenesis('modules.bank is {"balances": [{"address", "denom", "amount"}, ...]}')
        codec = codec_for(GenesisBalance)
        supplies: dict[str, int] = {}
        state = self.balances.state
        for index, item in enumerate(data.get("balances", [])):
            try:
                address, denom, amount = codec.from_json(item)
            except QenexError as error:
                raise InvalidGenesis(f"modules.bank.balances[{index}]: {error.message}") from None
            if amount == 0 or ctx.money.balance(address, denom):
                raise InvalidGenesis(
                    f"modules.bank.balances[{index}]: zero, or a second entry for this account"
                )
            supplies[denom] = supplies.get(denom, 0) + amount
            if supplies[denom] >= MAX_AMOUNT:
                raise InvalidGenesis(f"modules.bank: the supply of {denom} is beyond 2^128")
            if denom == QXC:
                record = state.get(ACCOUNT_RECORDS + address) or EMPTY_ACCOUNT
                state.set(ACCOUNT_RECORDS + address, record._replace(balance=amount))
            else:
                self.balances.set((address, denom), amount)
        for denom, supply in supplies.items():
            state.set(supply_state_key(denom), supply)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        codec = codec_for(GenesisBalance)
        state = self.balances.state
        native = [
            GenesisBalance(Address(key[2:]), QXC, account.balance)
            for key, account in state.iterate(ACCOUNT_RECORDS, ACCOUNT_RECORDS[:1] + b"\x02")
            if account.balance
        ]
        other = [GenesisBalance(address, denom, amount) for (address, denom), amount in self.balances.scan()]
        return {"balances": [codec.to_json(balance, "qx") for balance in [*native, *other]]}
