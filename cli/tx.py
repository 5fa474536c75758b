"""`qenex tx`: look transactions up, take them apart, sign them offline, pass them on."""

from __future__ import annotations

import json
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
from cli.submit import (
    FILE_KIND,
    FILE_SCHEMA,
    MAX_FILE_SIZE,
    refused,
    send_signed,
    simulated_failure,
    waiting_options,
    write_transaction_file,
)
from qenex.errors import (
    MalformedBytes,
    QenexError,
    UnusedSigner,
    UsageError,
    WrongChainId,
    WrongSignatureCount,
)
from qenex.money import format_amount
from qenex.transaction import Transaction, assemble, decode_body, decode_transaction
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


def read_transaction_file(app: App, path: Path) -> tuple[Transaction, list[bytes | None]]:
    """Return the transaction of a file and its signatures, None for each that is missing.

    What a file says in words must be what its bytes say. Raises UsageError, MalformedBytes and the
    typed errors of decoding.
    """
    shown = "stdin" if str(path) == "-" else str(path)
    try:
        with click.open_file(str(path), "rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise MalformedBytes(f"{shown} has more than {MAX_FILE_SIZE} bytes")
    text = data.strip()
    if text.startswith(b"0x"):
        return _from_hex(text)
    try:
        content = json.loads(text)
        if content["kind"] != FILE_KIND or content["schema_version"] != FILE_SCHEMA:
            raise ValueError
        body = decode_body(bytes.fromhex(content["body"].removeprefix("0x")))
        signatures = [
            None if item is None else bytes.fromhex(item.removeprefix("0x")) for item in content["signatures"]
        ]
        words = content["transaction"]
    except QenexError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedBytes(f"{shown} is no transaction file", hint="`--unsigned FILE` writes one") from None
    if len(signatures) != len(body.signers):
        raise WrongSignatureCount(f"{shown}: {len(signatures)} signatures for {len(body.signers)} signers")
    if words != {**form_of(app, body), "signatures": []}:
        raise MalformedBytes(
            f"{shown}: its words do not say what its bytes do", hint="do not sign it; ask who changed it"
        )
    return body, signatures


def _from_hex(text: bytes) -> tuple[Transaction, list[bytes | None]]:
    try:
        data = bytes.fromhex(text[2:].decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise MalformedBytes("not hex") from None
    if data[:1] != b"\x92":  # raw bytes are an array of two
        body = decode_body(data)
        return body, [None] * len(body.signers)
    signed = decode_transaction(data)
    return decode_body(signed.body_bytes), [
        part if isinstance(part, bytes) else None for part in signed.signatures
    ]


@tx.command("decode", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@pass_app
def decode(app: App, *, file: Path) -> Result:
    """Show what the transaction in FILE does: a transaction file, or bytes as 0x hex; - is stdin."""
    body, signatures = read_transaction_file(app, file)
    form = form_of(app, body)
    complete = all(signature is not None for signature in signatures)
    data = {"hash": "0x" + body.tx_id.hex(), "complete": complete, "transaction": form}
    return Result(data, lambda style: _file_text(app, body, form, signatures, style))


def _file_text(
    app: App, body: Transaction, form: Mapping[str, Any], signatures: list[bytes | None], style: Style
) -> str:
    present = sum(signature is not None for signature in signatures)
    rows = [("hash", style.bold("0x" + body.tx_id.hex())), ("signatures", f"{present} of {len(signatures)}")]
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
    """Sign the transaction in FILE, without a network, after showing what it does."""
    body, signatures = read_transaction_file(app, file)
    pinned = pinned_chain_id(app)
    if pinned and body.chain_id != pinned:
        raise WrongChainId(f"the transaction is for {body.chain_id}; this home is for {pinned}")
    keyring = keyring_of(app)
    info = keyring.get_public(signer)
    places = [place for place, who in enumerate(body.signers) if who.address == info.address]
    if not places:
        names = " and ".join(with_name(app, who.address) for who in body.signers)
        error = UnusedSigner(f"{signer} is no signer of this transaction", hint=f"it is signed by {names}")
        raise Stopped(error, ExitCode.USAGE)
    if out.exists():
        raise UsageError(f"{out} exists already; choose another file")
    if not (app.json and yes):
        app.note(_file_text(app, body, form_of(app, body), signatures, app.style) + "\n")
    app.confirm(f"Sign this as {signer}?", yes=yes)
    wallet = Wallet.from_keyring(keyring, signer, open_password(app, keyring, signer, password))
    signatures[places[0]] = wallet.sign(body.body_bytes)
    data = write_transaction_file(app, out, body, signatures)
    missing = signatures.count(None)
    done = (
        "complete; pass it on with `qenex tx broadcast`"
        if not missing
        else f"{missing} signatures are missing"
    )
    return Result(data, f"Signed to {out}: {done}.")


@tx.command("broadcast", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@waiting_options
@pass_app
def broadcast(app: App, *, file: Path, no_wait: bool, timeout: int | None) -> Result:
    """Pass the signed transaction in FILE to the node, and wait until it is final."""
    body, signatures = read_transaction_file(app, file)
    complete = [signature for signature in signatures if signature is not None]
    if len(complete) != len(signatures):
        missing = len(signatures) - len(complete)
        raise WrongSignatureCount(
            f"{missing} of {len(signatures)} signatures are missing", hint="sign it: qenex tx sign"
        )
    signed = decode_transaction(assemble(body.body_bytes, complete))
    with connected(app) as client:
        return send_signed(app, client, signed, no_wait=no_wait, timeout=timeout, done="Broadcast and final.")


@tx.command("simulate", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@pass_app
def simulate(app: App, *, file: Path) -> Result:
    """Tell what the transaction in FILE would do in the next block. Exit code 9 if it would fail."""
    body, _ = read_transaction_file(app, file)
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
