"""`qenex delegate`: stake with a validator."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, read_coin, with_name
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource
from cli.submit import Choices, carry_out, sending_options
from qenex.errors import UsageError
from qenex.money import format_coin
from qenex.types import QXC


@click.command("delegate", cls=Command)
@click.argument("validator")
@click.argument("amount")
@sending_options
@pass_app
def delegate(app: App, *, validator: str, amount: str, choices: Choices, password: PasswordSource) -> Result:
    """Delegate AMOUNT of QXC to VALIDATOR, an operator's key name or address.

    It earns from now on, counts as voting power two blocks later, and comes back 21 days after
    `qenex staking undelegate` (or what `qenex staking get-parameters` says). A validator that votes twice or is down
    costs those who delegated to it a part of their stake.

    \b
    qenex delegate validator-0 100QXC --from alice
    qenex delegate qx1... 20QXC --from alice --yes --json
    """
    operator = account_of(app, validator)
    coin = read_coin(amount)
    if coin.denom != QXC:
        raise UsageError(f"only {QXC} is staked, not {coin.denom}")
    arguments: dict[str, Any] = {"validator": operator, "amount": coin.amount}
    done = f"Delegated {format_coin(coin)} to {with_name(app, operator)}."
    return carry_out(app, [("staking.delegate", arguments)], choices, password, done)
