"""Records that bank returns and announces."""

from __future__ import annotations

from typing import NamedTuple

from qenex.crypto.address import Address
from qenex.types import Amount, Coin, Denom


class Transferred(NamedTuple):
    """`amount` base units of `denom` went from `sender` to `recipient`."""

    sender: Address
    recipient: Address
    denom: Denom
    amount: Amount


class Sent(NamedTuple):
    """What `bank.send` returns: the coins that the recipient got."""

    denom: Denom
    amount: Amount


class BalancePage(NamedTuple):
    """Part of an account's balances, in order of denomination; `next_cursor` continues, if there is more."""

    items: tuple[Coin, ...]
    next_cursor: str | None
