"""`qenex accounts set-guard`: large amounts leave an account after a delay, in which another account can cancel them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, read_coin, with_name
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource
from cli.signers import signing_account
from cli.submit import Choices, carry_out, sending_options, waiting_number
from qenex.answers import TransactionReceipt
from qenex.crypto.address import Address
from qenex.money import parse_amount
from qenex.types import Coin
from vm.guard import MAX_DELAY_S


def _coin(text: str) -> Coin:
    coin = read_coin(text)
    return Coin(coin.denom, coin.amount)


def with_canceller(
    address: Address, message: tuple[str, dict[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the messages by which a guarded account's `message` happens at once; the third is the account's own.

    Its canceller does the others: cancels what waits and ends a freeze, so that there is room, and approves.
    """
    whose = {"address": address}
    return [
        ("accounts.cancel_queued", whose),
        ("accounts.freeze", {**whose, "seconds": 0}),
        message,
        ("accounts.approve_queued", {**whose, "number": {"$": [2, "number"]}}),
    ]


@click.command("set-guard", cls=Command)
@click.argument("canceller")
@click.option(
    "--delay",
    "delay_s",
    type=click.IntRange(1, MAX_DELAY_S),
    required=True,
    metavar="SECONDS",
    help="How long large transfers, rotations and changes of the guard wait.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="AMOUNT",
    help="What may leave at once in as many seconds, like 100QXC.",
)
@click.option(
    "--fee-limit",
    default="1QXC",
    show_default=True,
    metavar="AMOUNT",
    help="What fees may take in as many seconds.",
)
@click.option(
    "--account",
    "owner",
    metavar="NAME",
    help="A guarded account, of which --from is the present canceller: nothing waits.",
)
@sending_options
@pass_app
def set_guard(
    app: App,
    *,
    canceller: str,
    owner: str | None,
    delay_s: int,
    limits: tuple[str, ...],
    fee_limit: str,
    choices: Choices,
    password: PasswordSource,
) -> Result:
    """Let what is more than a --limit leave the account of --from only after a delay.

    CANCELLER, another account (a key's name or an address), can cancel what waits and freeze the account; its key
    should lie elsewhere, and it needs some QXC for fees. A denomination without a --limit leaves by
    `accounts queue-transfer` alone. Where there is a guard already, the new one waits for the old one's delay; where the
    present canceller pays and both sign a file, as for `accounts rotate --account`, it does not.

    \b
    qenex accounts set-guard guardian --delay 86400 --limit 100QXC --from alice
    qenex accounts queue-transfer bob 5000QXC --from alice
    """
    other = account_of(app, canceller)
    arguments: dict[str, Any] = {
        "canceller": other,
        "delay_s": delay_s,
        "fee_limit": parse_amount(fee_limit),
        "limits": tuple(_coin(text) for text in limits),
    }

    def done(receipt: TransactionReceipt[Any]) -> str:
        number = waiting_number(receipt.to_dict())
        if number:
            return f"The new guard waits under number {number} for the old one's delay."
        return f"More than the limits leaves after {delay_s} s; {with_name(app, other)} can cancel it."

    if owner is None:
        return carry_out(app, [("accounts.set_guard", arguments)], choices, password, done)
    account = signing_account(app, owner)
    messages = with_canceller(account.address, ("accounts.set_guard", arguments))
    return carry_out(app, messages, choices, password, done, acting=(None, None, account, None))
