# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `bank`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import QXC, Amount, Between, Coin, Denom
from qenex.wallet import Wallet


class Sent(NamedTuple):
    """What `bank.send` returns: the coins that the recipient got."""

    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class BalancePage(NamedTuple):
    """Part of an account's balances, in order of denomination; `next_cursor` continues, if there is more."""

    items: tuple[Coin, ...]
    next_cursor: str | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Transferred(NamedTuple):
    """`amount` base units of `denom` went from `sender` to `recipient`."""

    sender: Address
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


SEND = MessageFace(
    "bank.send",
    (
        ("to", Address),
        ("amount", Coin),
    ),
    Sent,
)

GET_BALANCE = QueryFace(
    "bank_getBalance",
    (
        ("address", Address),
        ("denom", Denom),
    ),
    Amount,
)

GET_BALANCES = QueryFace(
    "bank_getBalances",
    (
        ("address", Address),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", Denom | None),
    ),
    BalancePage,
)

GET_SUPPLY = QueryFace(
    "bank_getSupply",
    (("denom", Denom),),
    Amount,
)

MESSAGES: tuple[MessageFace, ...] = (SEND,)

QUERIES: tuple[QueryFace, ...] = (
    GET_BALANCE,
    GET_BALANCES,
    GET_SUPPLY,
)

EVENTS: dict[str, type] = {
    "bank.transferred": Transferred,
}


class Bank(ModuleFace):
    """Coins of every denomination: balances, supplies, transfers."""

    def send(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Sent]:
        """Send coins to an account.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        return self._send(wallet, SEND, {"to": to, "amount": amount}, options)

    def get_balance(self, address: AddressLike, denom: str = QXC, *, at: At | None = None) -> Amount:
        """Base units that an account holds of one denomination; 0 for an account that does not exist.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            denom: the denomination.
        """
        answer: Amount = self._query(GET_BALANCE, {"address": address, "denom": denom}, at)
        return answer

    def get_balances(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        at: At | None = None,
    ) -> BalancePage:
        """All balances of an account, QXC first, then by denomination.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: BalancePage = self._query(
            GET_BALANCES, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    def get_supply(self, denom: str = QXC, *, at: At | None = None) -> Amount:
        """Base units of a denomination in existence.

        `at` is a height, the latest one unless given.

        Args:
            denom: the denomination.
        """
        answer: Amount = self._query(GET_SUPPLY, {"denom": denom}, at)
        return answer
