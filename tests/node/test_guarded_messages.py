"""A guarded account's money is followed by its balances: what gives anything else away is marked, message by message."""

from __future__ import annotations

import typing
from typing import Any

from node.modules import MODULES
from qenex.crypto import Address
from vm.accounts import Accounts
from vm.core import Core
from vm.registry import Registry

TO_OTHERS = {
    "accounts.set_guard": "waits for the guard's delay",
    "accounts.cancel_queued": "gives back to the account",
    "accounts.approve_queued": "the canceller's alone",
    "accounts.freeze": "the canceller's alone",
    "accounts.queue_transfer": "waits for the guard's delay",
    "bank.send": "leaves the balances",
    "governance.propose_spend": "the treasury's money; the deposit leaves the balances",
    "lending.liquidate": "what repays leaves the balances",
    "lending.repay": "leaves the balances",
    "oracle.set_feeder": "who reports prices moves no money of the operator",
    "staking.delegate": "leaves the balances; comes back to them alone",
    "staking.lock": "binds the account's own delegation",
    "staking.redelegate": "the delegation stays the account's",
    "staking.undelegate": "comes back to the balances",
    "staking.withdraw_rewards": "comes to the balances",
    "tokens.create": "names who receives the token's own fee; its supply comes to the balances",
    "tokens.create_vesting": "leaves the balances",
    "tokens.multi_send": "leaves the balances",
    "tokens.open_escrow": "leaves the balances",
    "tokens.set_frozen": "coins stay whose they are",
    "tokens.set_listed": "coins stay whose they are",
}
"""Messages that name another account and are not marked `hands_over`, and why they need not be."""

HANDED_OVER = {
    "tokens.mint",
    "tokens.offer_authority",
    "tokens.release_escrow",
    "tokens.renounce_authority",
}


def names_an_account(hint: Any) -> bool:
    if hint is Address:
        return True
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = typing.get_type_hints(hint, include_extras=True)
        return any(names_an_account(part) for part in hints.values())
    return any(names_an_account(part) for part in typing.get_args(hint))


def test_every_message_that_names_another_account_is_marked_or_explained() -> None:
    registry = Registry((Core, Accounts, *MODULES))
    marked = {name for name, spec in registry.messages.items() if spec.hands_over}
    naming = {
        name
        for name, spec in registry.messages.items()
        if any(names_an_account(parameter.hint) for parameter in spec.parameters)
    }
    assert marked == HANDED_OVER
    assert naming - marked == set(TO_OTHERS)
