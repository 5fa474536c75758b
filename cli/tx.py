"""`qenex tx`: look transactions up, take them apart, sign them offline, pass them on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import connected, for_people, form_of, parse_hash, transaction_text, with_name
from cli.exit_codes import ExitCode, Stopped
from cli.home import keyring_of, pinned_chain_id
from cli.keys import open_password
from cli.layout import Style, fields, grouped, of_json, printable
from cli.lazy import Command, Group
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from cli.submit import refused, send_signed, simulated_failure, waiting_options
from cli.transaction_file import (
    TransactionFile,
    members_of,
    merge_files,
    read_transaction_file,
    weights_data,
    write_transaction_file,
)
from qenex.crypto.address import key_bytes
from qenex.crypto.keystore_file import KeyInfo
from qenex.errors import (
    AlreadySigned,
    PublicKeyMismatch,
    QenexError,
    UnusedSigner,
    UsageError,
    WrongChainId,
)
from qenex.money import format_amount
from qenex.transaction import assemble, decode_transaction
from qenex.wallet import Wallet


@click.group(cls=Group)
def tx() -> None:
    """Look up, simulate, sign and broadcast transactions."""


@tx.command("show", cls=Command)
@click.argument("hash")
@pass_app
def show(app: App, *, hash: str) -> Result:
    """Show the transaction with HASH: what it does and what became of it."""
    wanted = parse_hash(hash)
    with connected(app) as client:
        found = client.call("tx_get", hash="0x" + wanted.hex())
    data = found if isinstance(found, dict) else {}
    receipt = data.get("receipt")
    if isinstance(receipt, dict):
        data = {**data, **{name: receipt.get(name) for name in ("status", "fee", "gas_used")}}
    return Result(data, lambda style: _lookup_text(app, data, style))


def _lookup_text(app: App, data: Mapping[str, Any], style: Style) -> str:
    receipt = data.get("receipt")
    rows = [("hash", style.bold(printable(str(data.get("hash")))))]
    if not isinstance(receipt, dict):
        rows.append(("state", style.yellow("pending")))
    else:
        error = receipt.get("error") or {}
        good = receipt.get("status") == 0
        outcome = (
            style.green("succeeded") if good else style.red(printable(f"failed: {error.get('message')}"))
        )
        rows.append(("state", f"{outcome}, final"))
        rows.append(("block", f"{grouped(int(data['height']))}, transaction {data.get('index')}"))
        rows.append(("time", str(data.get("time"))))
        rows.append(("fee", format_amount(int(receipt.get("fee", 0)))))
        rows.append(("gas", grouped(int(receipt.get("gas_used", 0)))))
    parts = [fields(rows, style)]
    form = data.get("transaction")
    if isinstance(form, dict):
        parts.append(transaction_text(app, form, style))
    if isinstance(receipt, dict) and receipt.get("events"):
        parts.append(style.bold("events"))
        parts += [
            f"  {printable(event['name'])}\n{of_json(for_people(app, event['fields']), style, depth=2)}"
            for event in receipt["events"]
        ]
    return "\n\n".join(parts[:2]) + ("\n\n" + "\n".join(parts[2:]) if parts[2:] else "")


# -- files -------------------------------------------------------------------------------------------


@tx.command("decode", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@pass_app
def decode(app: App, *, file: Path) -> Result:
    """Show what the transaction in FILE does: a transaction file, or bytes as 0x hex; - is stdin."""
    content = read_transaction_file(app, file)
    form = form_of(app, content.body)
    data = {
        "hash": "0x" + content.body.tx_id.hex(),
        "complete": not content.missing(),
        "transaction": form,
        **weights_data(content),
    }
    return Result(data, lambda style: _file_text(app, content, form, style))


def _file_text(app: App, content: TransactionFile, form: Mapping[str, Any], style: Style) -> str:
    count = len(content.signatures)
    rows = [
        ("hash", style.bold("0x" + content.body.tx_id.hex())),
        ("signatures", f"{count - content.missing()} of {count}"),
    ]
    rows += [("weight", f"{weight} of {threshold}") for weight, threshold in content.weights()]
    return fields(rows, style) + "\n\n" + transaction_text(app, form, style)


@tx.command("sign", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "signer", required=True, metavar="NAME", help="Key that signs.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to write it."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@password_options(meaning="Password of the key")
@pass_app
def sign(app: App, *, file: Path, signer: str, out: Path, yes: bool, password: PasswordSource) -> Result:
    """Sign the transaction in FILE, without a network, after showing what it does.

    For a multisig account each member adds a signature to the file and passes it on; the weight that has
    signed is told each time.
    """
    content = read_transaction_file(app, file)
    body = content.body
    pinned = pinned_chain_id(app)
    if pinned and body.chain_id != pinned:
        raise WrongChainId(f"the transaction is for {body.chain_id}; this home is for {pinned}")
    keyring = keyring_of(app)
    info = keyring.get_public(signer)
    places = _places(content, info)
    if not places:
        names = " and ".join(with_name(app, who.address) for who in body.signers)
        error = UnusedSigner(f"{signer} is no signer of this transaction", hint=f"it is signed by {names}")
        raise Stopped(error, ExitCode.USAGE)
    if all(_signed(content, place, member) for place, member in places):
        raise Stopped(AlreadySigned(f"{signer} has signed this already"), ExitCode.USAGE)
    if out.exists():
        raise UsageError(f"{out} exists already; choose another file")
    if not (app.json and yes):
        app.note(_file_text(app, content, form_of(app, body), app.style) + "\n")
    app.confirm(f"Sign this as {signer}?", yes=yes)
    wallet = Wallet.from_keyring(keyring, signer, open_password(app, keyring, signer, password))
    signature = wallet.sign(body.body_bytes)
    descriptors = content.descriptors
    for place, member in places:
        descriptor = descriptors[place]
        if descriptor is None or member is None:
            content.signatures[place] = signature
        else:
            members = list(members_of(content.signatures[place], descriptor))
            members[member] = signature
            content.signatures[place] = tuple(members)
    return _written(app, out, content, "Signed")


def _signed(content: TransactionFile, place: int, member: int | None) -> bool:
    signature, descriptor = content.signatures[place], content.descriptors[place]
    if descriptor is None or member is None:
        return signature is not None
    return members_of(signature, descriptor)[member] is not None


def _written(app: App, out: Path, content: TransactionFile, what: str) -> Result:
    """Write a file and tell what is missing still."""
    data = write_transaction_file(app, out, content)
    missing = content.missing()
    done = (
        "complete; pass it on with `qenex tx broadcast`"
        if not missing
        else f"{missing} signature{'s are' if missing > 1 else ' is'} missing"
    )
    for weight, threshold in content.weights():
        left = f"{threshold - weight} more needed" if weight < threshold else "enough"
        done += f"; weight {weight} of {threshold}, {left}"
    return Result(data, f"{what} to {out}: {done}.")


@tx.command("merge", cls=Command)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE FILE...")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to write it."
)
@pass_app
def merge(app: App, *, files: tuple[Path, ...], out: Path) -> Result:
    """Put the signatures of several copies of one transaction into one file, without a network.

    For signers who did not pass one file round but signed a copy each. Every signature is verified, as far as its
    key is known; a copy of another transaction, or one that adds nothing, is refused.

    \b
    qenex tx merge by-alice.json by-bob.json --out both.json
    qenex tx broadcast both.json
    """
    if len(files) < 2:
        raise UsageError("merge takes two files or more")
    copies = [(path, read_transaction_file(app, path)) for path in files]
    try:
        merged = merge_files(copies)
    except QenexError as error:
        raise Stopped(error, ExitCode.USAGE) from None
    return _written(app, out, merged, "Merged")


def _places(content: TransactionFile, info: KeyInfo) -> list[tuple[int, int | None]]:
    """Return where a key signs: the signer's number, and the member's in a multisig signer.

    Raises Stopped if the account is known to sign with another key.
    """
    key = key_bytes(info.tag, info.public_key)
    found: list[tuple[int, int | None]] = []
    for place, (who, descriptor) in enumerate(zip(content.body.signers, content.descriptors, strict=True)):
        if descriptor is not None:
            found += [(place, at) for at, member in enumerate(descriptor.members) if member.key == key]
        elif who.address == info.address:
            known = content.keys[place]
            if known is not None and known != key:
                error = PublicKeyMismatch(
                    f"this account signs with another key than {info.name}",
                    hint="`qenex keys list` shows which keys sign for which account",
                )
                raise Stopped(error, ExitCode.USAGE)
            found.append((place, None))
    return found


@tx.command("broadcast", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@waiting_options
@pass_app
def broadcast(app: App, *, file: Path, no_wait: bool, timeout: int | None) -> Result:
    """Pass the signed transaction in FILE to the node, and wait until it is final."""
    content = read_transaction_file(app, file)
    signed = decode_transaction(assemble(content.body.body_bytes, content.complete()))
    with connected(app) as client:
        return send_signed(app, client, signed, no_wait=no_wait, timeout=timeout, done="Broadcast and final.")


@tx.command("simulate", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@pass_app
def simulate(app: App, *, file: Path) -> Result:
    """Tell what the transaction in FILE would do in the next block. Exit code 9 if it would fail."""
    body = read_transaction_file(app, file).body
    with connected(app) as client:
        client.node.info()
        try:
            receipt = client.tx.simulate(body)
        except QenexError as error:
            raise refused(error) from None
    plain = receipt.to_dict().get("receipt")
    if receipt.error is not None:
        raise Stopped(simulated_failure(receipt), ExitCode.REFUSED_BEFORE_SIGNING, data=plain)
    return Result(
        plain, lambda style: style.green("It would succeed.") + "\n" + of_json(for_people(app, plain), style)
    )
