"""`qenex accounts add-scoped-key`: what a bot or an agent is given instead of the account's key."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import connected, read_coin
from cli.exit_codes import ExitCode, Stopped
from cli.home import keyring_of
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource
from cli.signers import read_public_key
from cli.submit import Choices, carry_out, sending_options
from node.modules import make_machine
from qenex.answers import TransactionReceipt
from qenex.crypto.address import key_bytes
from qenex.crypto.keystore import NAME
from qenex.errors import KeyNotFound, UnknownMessage, UsageError

MAX_SECONDS = 10 * 366 * 86_400


def _limit(text: str) -> tuple[str, int, int]:
    """Read AMOUNT/SECONDS. Raises UsageError and the typed errors of amounts."""
    amount, slash, seconds = text.rpartition("/")
    if not slash or not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        raise UsageError(f"{text[:80]!a}: a limit is an amount and seconds, like 1.5QXC/86400")
    if not 1 <= int(seconds) <= MAX_SECONDS:
        raise UsageError(f"{text[:80]!a}: a period has 1 to {MAX_SECONDS} seconds")
    coin = read_coin(amount)
    return coin.denom, coin.amount, int(seconds)


@click.command("add-scoped-key", cls=Command)
@click.argument("key")
@click.option("--message", "messages", multiple=True, required=True, metavar="NAME", help="Like bank.send.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="AMOUNT/SECONDS",
    help="What may leave: 1.5QXC/86400 is a day.",
)
@click.option(
    "--expires-in", type=click.IntRange(1, 1 << 40), required=True, metavar="BLOCKS", help="How long it acts."
)
@sending_options
@pass_app
def add_scoped_key(
    app: App,
    *,
    key: str,
    messages: tuple[str, ...],
    limits: tuple[str, ...],
    expires_in: int,
    choices: Choices,
    password: PasswordSource,
) -> Result:
    """Let KEY, a key's name or a public key in hex, act for the account of --from within a scope.

    It sends the messages named by --message and no others. What leaves the account by it counts against
    --limit, the fee included; a denomination without a limit may not leave. Its number is in the result.

    \b
    qenex accounts add-scoped-key bot --message amm.swap --limit 1QXC/3600 --expires-in 100000 --from alice
    qenex keys set-account bot qx1...                    # alice's address
    qenex swap 0.1QXC ... --from bot --scoped-key 0
    """
    known = make_machine().registry.messages
    for name in messages:
        if name not in known:
            near = ", ".join(other for other in known if other.partition(".")[0] == name.partition(".")[0])
            error = UnknownMessage(f"no message is called {name[:64]!a}", hint=f"there are: {near or 'none'}")
            raise Stopped(error, ExitCode.USAGE)
    if key.startswith("0x"):
        public = read_public_key(key, "KEY")
    elif NAME.fullmatch(key) is not None and key in keyring_of(app):
        info = keyring_of(app).get_public(key)
        public = key_bytes(info.tag, info.public_key)
    else:
        raise KeyNotFound(f"there is no key {key[:70]!a} here", hint="give its public key as 0x hex")
    read = tuple(_limit(text) for text in limits)
    with connected(app) as client:
        expires = client.sender.height(fresh=True) + expires_in
    arguments: dict[str, Any] = {"key": public, "messages": messages, "limits": read, "expires": expires}

    def done(receipt: TransactionReceipt[Any]) -> str:
        if any(event.name == "accounts.guarded_change_queued" for event in receipt.events):
            return (
                f"The account has a guard: {key[:70]} acts once its delay has passed, if nobody cancels it."
            )
        return f"{key[:70]} acts within its scope up to height {expires}."

    return carry_out(app, [("accounts.add_scoped_key", arguments)], choices, password, done)
