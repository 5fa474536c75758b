"""`qenex accounts create-multisig` and `rotate-to-multisig`: keys that several people hold together.

A multisig key is public: it is made from the members' public keys without a network, and by everybody alike.
"""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import connected
from cli.home import client_settings, keyring_of
from cli.keys import open_password
from cli.layout import Style, fields, table
from cli.lazy import Command
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from cli.signers import read_public_key, signing_account
from cli.submit import Choices, carry_out, sending_options, waiting_number
from qenex.answers import TransactionReceipt
from qenex.codec import encode
from qenex.crypto.address import encode_address, key_bytes
from qenex.crypto.keystore import NAME
from qenex.crypto.multisig import Descriptor, combine, decode_descriptor, make_descriptor
from qenex.errors import KeyNotFound, UnknownMember, UsageError
from vm.accounts import rotation_sign_bytes


def _member(app: App, text: str) -> tuple[int, bytes]:
    """Read NAME, HEX, NAME:WEIGHT or HEX:WEIGHT. Raises UsageError or KeyNotFound."""
    who, colon, weight = text.partition(":")
    if colon and not (weight.isascii() and weight.isdigit() and len(weight) <= 5):
        raise UsageError(f"{text[:80]!a}: a weight is a whole number from 1 to 65535, as in alice:2")
    if who.startswith("0x"):
        key = read_public_key(who, "a member's key")
    elif NAME.fullmatch(who) is not None and who in keyring_of(app):
        info = keyring_of(app).get_public(who)
        key = key_bytes(info.tag, info.public_key)
    else:
        raise KeyNotFound(
            f"there is no key {who[:70]!a} here",
            hint="give the public key of somebody else: `qenex keys public-key NAME` prints it where it lies",
        )
    return int(weight) if colon else 1, key


@click.command("create-multisig", cls=Command)
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@click.option("--threshold", type=click.IntRange(1), required=True, help="Weight that must sign.")
@pass_app
def create_multisig(app: App, *, members: tuple[str, ...], threshold: int) -> Result:
    """Make the key and the address of an account that several members sign for. No network is asked.

    A MEMBER is a key's name or a public key (0x hex, as `qenex keys public-key` prints it), with a weight after
    a colon, 1 without. The order of members does not matter: everybody gets the same address.

    \b
    qenex accounts create-multisig alice bob 0x01... --threshold 2
    qenex send dave 1QXC --from ADDRESS --public-key KEY --unsigned tx.json
    """
    descriptor = make_descriptor(threshold, [_member(app, text) for text in members])
    prefix = client_settings(app).address_prefix
    shown = encode_address(descriptor.address, prefix)
    readable, _ = keyring_of(app).scan()
    names = {key_bytes(info.tag, info.public_key): info.name for info in readable}
    listed = [
        (names.get(member.key, ""), member.weight, "0x" + member.key.hex()) for member in descriptor.members
    ]
    public_key = "0x" + descriptor.key.hex()
    data = {
        "address": shown,
        "public_key": public_key,
        "threshold": threshold,
        "members": [{"name": name or None, "weight": weight, "key": key} for name, weight, key in listed],
    }

    def text(style: Style) -> str:
        rows = [[name or key[:20] + "...", str(weight)] for name, weight, key in listed]
        head = [
            ("address", style.cyan(shown)),
            ("threshold", str(threshold)),
            ("public key", public_key),
        ]
        return fields(head, style) + "\n\n" + table(["member", "weight"], rows, style)

    return Result(data, text)


@click.command("rotate-to-multisig", cls=Command)
@click.argument("key", metavar="PUBLIC_KEY")
@click.option(
    "--member", "names", multiple=True, required=True, metavar="NAME", help="A member's key that agrees."
)
@sending_options
@password_options("member-password", meaning="Password of the members' keys")
@pass_app
def rotate_to_multisig(
    app: App,
    *,
    key: str,
    names: tuple[str, ...],
    choices: Choices,
    password: PasswordSource,
    member_password: PasswordSource,
) -> Result:
    """Let the account of --from be signed for by the multisig key PUBLIC_KEY from now on; its address stays.

    Members of enough weight must agree, with keys of this keyring: --member for each of them. Where they lie elsewhere:
    `accounts propose-rotation`. From then on the old key signs no more.

    \b
    qenex accounts rotate-to-multisig 0x20... --member bob --member carol --from alice
    """
    new_key = read_public_key(key, "PUBLIC_KEY")
    descriptor: Descriptor = decode_descriptor(new_key)
    keyring = keyring_of(app)
    for name in names:
        info = keyring.get_public(name)
        try:
            descriptor.index_of(key_bytes(info.tag, info.public_key))
        except UnknownMember:
            raise UnknownMember(f"{name} is no member of this multisig key") from None
    account = signing_account(app, choices.signer)
    with connected(app) as client:
        found = client.sender.account(account.address)
        chain_id = client.node.info().chain_id
    sequence = found.sequence if found.next_sequence is None else found.next_sequence
    statement = rotation_sign_bytes(chain_id, account.address, sequence, new_key)
    signatures: dict[bytes, bytes] = {}
    for name in names:
        pair = keyring.open(name, open_password(app, keyring, name, member_password))
        signatures[key_bytes(pair.tag, pair.public_key)] = pair.sign(statement)
    arguments: dict[str, Any] = {
        "new_key": new_key,
        "possession": encode(combine(descriptor, signatures)),
    }
    shown = encode_address(account.address, client_settings(app).address_prefix)

    def done(receipt: TransactionReceipt[Any]) -> str:
        number = waiting_number(receipt.to_dict())
        if number:
            return f"{shown} has a guard: the change of key waits under number {number}."
        return f"Members with a weight of {descriptor.threshold} sign for {shown} now."

    return carry_out(app, [("accounts.rotate_key", arguments)], choices, password, done, sequence=sequence)
