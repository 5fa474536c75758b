"""`qenex keys rotate`: an account changes its key, also to another scheme, and keeps its address."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import connected, with_name
from cli.exit_codes import Stopped
from cli.home import client_settings, keyring_of
from cli.keys import open_password
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from cli.signers import key_for_signing, signing_account
from cli.submit import Choices, carry_out, sending_options, waiting_number
from qenex.answers import TransactionReceipt
from qenex.crypto.address import encode_address, key_bytes
from qenex.errors import AccountHasNoKey, UsageError
from vm.accounts import rotation_sign_bytes


@click.command("rotate", cls=Command)
@click.option("--to", "new_name", required=True, metavar="NAME", help="The new key; make it first.")
@sending_options
@password_options("new-password", meaning="Password of the new key")
@pass_app
def rotate(
    app: App, *, new_name: str, choices: Choices, password: PasswordSource, new_password: PasswordSource
) -> Result:
    """Change the key of the account of --from to the key of --to, also of another scheme.

    The new key signs that it agrees, the present one the transaction. Then the new key's file notes that it
    signs for the account: send with `--from` and the new name. The address stays, the old key signs no more.

    \b
    qenex keys create alice-pq --scheme ml-dsa-44
    qenex keys rotate --from alice --to alice-pq
    """
    keyring = keyring_of(app)
    new = keyring.get_public(new_name)
    account = signing_account(app, choices.signer)
    address, shown = account.address, encode_address(account.address, client_settings(app).address_prefix)
    if choices.unsigned is None and not choices.dry_run:
        key_for_signing(app, account)
    if new.address not in (new.own_address, address):
        raise UsageError(f"key {new_name} signs for another account already")
    with connected(app) as client:
        found = client.sender.account(address)
        chain_id = client.node.info().chain_id
    if found.public_key is None and not found.next_sequence:
        raise AccountHasNoKey(
            f"{with_name(app, address)} has never signed: its key is not on the chain yet",
            hint="send any transaction from it first, for example to yourself",
        )
    sequence = found.sequence if found.next_sequence is None else found.next_sequence
    new_key = key_bytes(new.tag, new.public_key)
    secret = open_password(app, keyring, new_name, new_password)
    statement = rotation_sign_bytes(chain_id, address, sequence, new_key)
    arguments: dict[str, Any] = {
        "new_key": new_key,
        "possession": keyring.open(new_name, secret).sign(statement),
    }
    noted = f"`qenex keys set-account {new_name} {shown}`"

    def done(receipt: TransactionReceipt[Any]) -> str:
        number = waiting_number(receipt.to_dict())
        if number:
            return f"{shown} has a guard: the change of key waits under number {number}."
        return f"{new_name} signs for {shown} now."

    try:
        result = carry_out(
            app, [("accounts.rotate_key", arguments)], choices, password, done, sequence=sequence
        )
    except Stopped as stop:
        if stop.data is not None and not stop.error.code // 1000:
            app.warn(f"if the change of key lands after all, note it with {noted}")
        raise
    except KeyboardInterrupt:
        if app.sent:
            app.warn(f"if the change of key lands, note it with {noted}")
        raise
    if choices.dry_run:
        return result
    if choices.unsigned is not None or choices.no_wait or waiting_number(result.data):
        app.warn(f"once it is done, note it with {noted}")
        return result
    keyring.set_account(new_name, secret, address)
    return result
