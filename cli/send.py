"""`qenex send`: coins from one of your keys to an account."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, read_coin
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource
from cli.submit import Choices, carry_out, paid_to, sending_options
from qenex.money import format_coin


@click.command("send", cls=Command)
@click.argument("to")
@click.argument("amount")
@sending_options
@pass_app
def send(app: App, *, to: str, amount: str, choices: Choices, password: PasswordSource) -> Result:
    """Send AMOUNT to TO, a key's name or an address.

    The amount carries its denomination: 1.5QXC. The transaction is simulated and shown before it is signed;
    the command ends when it is final.

    \b
    qenex send bob 1.5QXC --from alice
    qenex send qx1... 20QXC --from alice --yes --json
    """
    recipient = account_of(app, to)
    coin = read_coin(amount)
    arguments: dict[str, Any] = {"to": recipient, "amount": coin}
    done = paid_to(app, format_coin(coin), recipient)
    return carry_out(app, [("bank.send", arguments)], choices, password, done)
