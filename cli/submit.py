"""The way of every transaction: build, simulate, show, ask, sign, submit, wait.

Nothing is signed before its effect was simulated and shown. The hash is told before anything is
sent, so that it is known whatever happens then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.app import App
from cli.chain import (
    connected,
    form_of,
    lease_bytes,
    refuse_unknown_denominations,
    transaction_text,
    with_name,
)
from cli.exit_codes import ExitCode, Stopped
from cli.home import client_settings, keyring_of
from cli.keys import open_password
from cli.layout import Style, fields, grouped, inline, printable
from cli.output import Result
from cli.passwords import PasswordSource, password_options
from cli.signers import (
    SigningAccount,
    key_for_signing,
    missing_key,
    refuse_other_scoped_key,
    refuse_replaced_key,
    signing_account,
)
from cli.transaction_file import make_file, write_transaction_file
from qenex.answers import TransactionReceipt
from qenex.client import QenexClient
from qenex.crypto.address import Address, decode_address, encode_address
from qenex.errors import (
    InsufficientBalance,
    InsufficientFunds,
    InvalidAddress,
    InvalidResponse,
    OutcomeUnknown,
    PasswordRequired,
    PublicKeyMissing,
    QenexError,
    TransactionExpired,
    UsageError,
    error_from_code,
)
from qenex.jsonrpc import clean_text
from qenex.money import format_amount, parse_amount
from qenex.sender import Pending, Prepared, TransactionOptions
from qenex.transaction import MAX_VALIDITY, Transaction
from qenex.types import QXC, Coin
from qenex.wallet import Wallet


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of a command that sends a transaction, as typed."""

    signer: str
    yes: bool = False
    dry_run: bool = False
    unsigned: Path | None = None
    public_key: str | None = None
    memo: str = ""
    max_fee: str | None = None
    tip: str | None = None
    gas_limit: int | None = None
    lease: str | None = None
    valid_for: int | None = None
    no_wait: bool = False
    timeout: int | None = None
    scoped_key: int | None = None


def waiting_options(command: Any) -> Any:
    """Add `--no-wait` and `--timeout`."""
    no_wait = click.option("--no-wait", is_flag=True, help="Return once the node has admitted it.")
    seconds = click.IntRange(1, 86_400)
    timeout = click.option(
        "--timeout", type=seconds, metavar="SECONDS", help="How long to wait for finality [60]."
    )
    return no_wait(timeout(command))


def sending_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Choices` and of the password; the command gets `choices` and `password`."""

    def with_choices(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in Choices.__dataclass_fields__}
        given["memo"] = given["memo"] or ""
        return command(*args, **kwargs, choices=Choices(**given))

    with_choices.__name__ = getattr(command, "__name__", "command")
    with_choices.__doc__ = command.__doc__
    with_choices.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # click's own mark on functions
    blocks = click.IntRange(1, MAX_VALIDITY)
    options = [
        click.option(
            "--from",
            "signer",
            required=True,
            metavar="NAME",
            help="Key that signs and pays; with --unsigned or --dry-run any address.",
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Simulate and show; sign nothing."),
        click.option(
            "--unsigned",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write it unsigned, for `tx sign`.",
        ),
        click.option("--public-key", metavar="HEX", help="Of an address that never signed, with --unsigned."),
        click.option("--memo", metavar="TEXT", help="At most 256 bytes, public for ever."),
        click.option("--max-fee", metavar="AMOUNT", help="The most to pay as fee, like 0.01QXC."),
        click.option("--tip", metavar="AMOUNT", help="To the proposer, on top of the fee."),
        click.option("--gas-limit", type=click.IntRange(1), metavar="GAS", help="Instead of an estimate."),
        click.option("--lease", metavar="TEXT", help="A second transaction with the same lease cannot land."),
        click.option("--valid-for", type=blocks, metavar="BLOCKS", help="Blocks that it stays valid [600]."),
        click.option(
            "--scoped-key",
            type=click.IntRange(0, (1 << 16) - 1),
            metavar="NUMBER",
            help="--from is this scoped key of its account.",
        ),
        waiting_options,
        password_options(meaning="Password of the key"),
    ]
    decorated: Any = with_choices
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators keep a function a function


Done = str | Callable[[TransactionReceipt[Any]], str]
"""What to say at the end: words, or what makes them of the receipt."""


# -- build, simulate, show -------------------------------------------------------------------------


def carry_out(
    app: App,
    messages: Sequence[tuple[str, Mapping[str, Any]]],
    choices: Choices,
    password: PasswordSource,
    done: Done,
    *,
    sequence: int | None = None,
    about: Mapping[str, Any] | None = None,
    rows: Sequence[tuple[str, str]] = (),
    told: bool = False,
    acting: Sequence[SigningAccount | None] = (),
) -> Result:
    """Send one transaction with these messages by one signer. `done` is what to say when it is final.

    `acting` names, message by message, another account that acts (None: the signer); then several sign, which goes by
    a file alone.

    With `told` the results of the messages are said as well: the number of a pool, the name of a token.

    `sequence` is given where a message depends on it. `rows` are shown with the preview, above what is paid,
    and `about` is the same for programs, beside it.

    Raises Stopped with the exit code of the moment: 9 by simulation, 3 at admission, 4 failed, 5 unknown.
    """
    if choices.dry_run and choices.unsigned is not None:
        raise UsageError("--dry-run and --unsigned exclude each other")
    if choices.public_key is not None and choices.unsigned is None and not choices.dry_run:
        raise UsageError("--public-key goes with --unsigned or --dry-run: a key that lies here is known")
    signer = signing_account(app, choices.signer, choices.public_key)
    if any(acting) and choices.unsigned is None and not choices.dry_run:
        raise UsageError("several sign this: --unsigned FILE, then `qenex tx sign` by each")
    if not choices.dry_run and choices.unsigned is None:
        info = key_for_signing(app, signer)
        if info.encrypted and not password.given and not app.can_ask:
            raise PasswordRequired(
                f"key {info.name} needs its password and stdin is no terminal", hint=password.hint
            )
    with connected(app) as client:
        prepared, preview = _prepare(app, client, messages, signer, choices, sequence, acting)
        preview |= about or {}
        shown = not app.json or not (choices.yes or choices.dry_run)
        if shown and not (choices.dry_run and not app.json):
            app.note(_preview_text(app, preview, app.style, rows) + "\n\n")
        if choices.dry_run:
            return Result(
                {"dry_run": True, **preview}, lambda style: _preview_text(app, preview, style, rows)
            )
        if choices.unsigned is not None:
            keys = [
                None if one.scoped_key is not None else client.sender.account(one.address).public_key
                for one in prepared.transaction.signers
            ]
            data = write_transaction_file(app, choices.unsigned, make_file(prepared.transaction, keys))
            return Result(data, f"Wrote the unsigned transaction to {choices.unsigned}.")
        app.confirm("Sign and send this?", yes=choices.yes)
        keyring, name = keyring_of(app), key_for_signing(app, signer).name
        secret = open_password(app, keyring, name, password)
        signed = Wallet.from_keyring(keyring, name, secret).sign_transaction(prepared.transaction)
        return send_signed(
            app, client, signed, no_wait=choices.no_wait, timeout=choices.timeout, done=done, told=told
        )


def _options(app: App, choices: Choices) -> TransactionOptions:
    options = TransactionOptions(valid_for=choices.valid_for or client_settings(app).valid_for)
    if choices.max_fee is not None:
        options["fee"] = parse_amount(choices.max_fee)
    if choices.tip is not None:
        options["tip"] = parse_amount(choices.tip)
    if choices.gas_limit is not None:
        if choices.gas_limit >= 1 << 64:
            raise UsageError("a gas limit lies below 2^64")
        options["gas_limit"] = choices.gas_limit
    if choices.lease is not None:
        lease = lease_bytes(choices.lease)
        assert lease is not None
        options["lease"] = lease
    if choices.scoped_key is not None:
        options["scoped_key"] = choices.scoped_key
    if choices.memo:
        if len(choices.memo.encode(errors="surrogatepass")) > 256:
            raise UsageError("a memo has at most 256 bytes")
        options["memo"] = choices.memo
    return options


def _prepare(
    app: App,
    client: QenexClient,
    messages: Sequence[tuple[str, Mapping[str, Any]]],
    signer: SigningAccount,
    choices: Choices,
    sequence: int | None,
    acting: Sequence[SigningAccount | None],
) -> tuple[Prepared, dict[str, Any]]:
    options = _options(app, choices)
    if sequence is not None:
        options["sequence"] = sequence
    actors = [(other or signer).signatory for other in acting or [None] * len(messages)]
    planned = [
        client.sender.plan(name, arguments, actor)
        for (name, arguments), actor in zip(messages, actors, strict=True)
    ]
    client.node.info()  # an unreachable node is told as that, not as a refusal
    refuse_unknown_denominations(client, messages)
    try:
        if choices.scoped_key is None:
            refuse_replaced_key(
                app, client, signer, elsewhere=choices.dry_run or choices.unsigned is not None
            )
        else:
            refuse_other_scoped_key(app, client, signer, choices.scoped_key)
        prepared = client.sender.prepare(signer.signatory, planned, options)
        receipt = client.tx.simulate(prepared.transaction)
        if receipt.error is not None:
            raise simulated_failure(receipt)
    except PublicKeyMissing as error:
        raise (missing_key(app, signer) if signer.public_key is None else refused(error)) from None
    except (InsufficientBalance, InsufficientFunds) as error:
        raise refused(_with_balances(app, client, messages, signer, error)) from None
    except QenexError as error:
        raise refused(error) from None
    return prepared, _preview(app, prepared, receipt, signer.address)


def _with_balances(
    app: App,
    client: QenexClient,
    messages: Sequence[tuple[str, Mapping[str, Any]]],
    signer: SigningAccount,
    error: QenexError,
) -> QenexError:
    """Return the refusal with what the signer holds and what the messages name, as far as the node tells it."""
    needed: dict[str, int] = {QXC: 0}
    for _, arguments in messages:
        for value in arguments.values():
            if isinstance(value, Coin):
                needed[value.denom] = needed.get(value.denom, 0) + value.amount
    if not any(needed.values()) and isinstance(error, InsufficientBalance):
        return error  # of amounts without a denomination the module's own words tell more
    try:
        held = {denom: client.bank.get_balance(signer.address, denom=denom) for denom in needed}
    except QenexError:
        return error
    short = {denom: amount for denom, amount in needed.items() if amount > held[denom]} or {QXC: needed[QXC]}
    told = "; ".join(
        f"{with_name(app, signer.address)} holds {format_amount(held[denom], denom)}, this takes "
        + (f"{format_amount(amount, denom)}" if amount else "")
        + (" and the fee" if denom == QXC and amount else "the fee" if denom == QXC else "")
        for denom, amount in short.items()
    )
    return error_from_code(
        error.code, told, hint="send less, or fill the account up first; nothing was signed"
    )


def simulated_failure(receipt: TransactionReceipt[Any]) -> QenexError:
    """Return the error with which a simulated transaction fails, in the words of a simulation."""
    where = f" in message {receipt.failed_message}" if receipt.failed_message is not None else ""
    answer = receipt.to_dict().get("receipt")
    told = answer.get("error") if isinstance(answer, dict) else None
    words = told.get("message") if isinstance(told, dict) else None
    failure = error_from_code(receipt.status, clean_text(words) if isinstance(words, str) else "")
    return error_from_code(receipt.status, f"the simulation fails{where}: {failure.message}")


def refused(error: QenexError) -> Exception:
    """Return a refusal before signing with exit code 9; what is no refusal of the chain stays as it is."""
    if error.code >= 1000:
        return Stopped(error, ExitCode.REFUSED_BEFORE_SIGNING)
    return error


def _preview(
    app: App, prepared: Prepared, receipt: TransactionReceipt[Any], address: Address
) -> dict[str, Any]:
    """What the signer pays at most and gets at least, as plain JSON; amounts in base units."""
    out, incoming = _flows(receipt, address)
    fee = prepared.transaction.fee
    pays = {**out, QXC: out.get(QXC, 0) + fee.max}
    prefix = client_settings(app).address_prefix
    return {
        "signer": encode_address(address, prefix),
        "pays_at_most": [{"denom": denom, "amount": str(pays[denom])} for denom in sorted(pays)],
        "gets_at_least": [{"denom": denom, "amount": str(incoming[denom])} for denom in sorted(incoming)],
        "fee_max": str(fee.max),
        "fee_expected": str(receipt.fee),
        "gas_limit": fee.gas_limit,
        "gas_used": receipt.gas_used,
        "valid_until": prepared.transaction.valid_until,
        "hash": "0x" + prepared.transaction.tx_id.hex(),
        "transaction": form_of(app, prepared.transaction),
    }


def _flows(receipt: TransactionReceipt[Any], address: Address) -> tuple[dict[str, int], dict[str, int]]:
    """Return what leaves and what reaches an account by the simulation, net, by denomination, the fee left out.

    These are the balances themselves, whatever the messages call it: payments, markets, locks, mints. Raises
    InvalidResponse for a node that does not tell.
    """
    answer = receipt.to_dict().get("receipt")
    told = answer.get("balance_changes") if isinstance(answer, dict) else None
    out: dict[str, int] = {}
    incoming: dict[str, int] = {}
    try:
        for item in told:  # type: ignore[union-attr]  # another shape is told below
            if decode_address(item["address"]) == address:
                change = int(item["change"])
                (incoming if change > 0 else out)[str(item["denom"])] = abs(change)
    except (TypeError, KeyError, ValueError, InvalidAddress):
        raise InvalidResponse("the node does not tell what the transaction changes") from None
    return out, incoming


def _preview_text(
    app: App, preview: Mapping[str, Any], style: Style, rows: Sequence[tuple[str, str]] = ()
) -> str:
    def coins(items: Sequence[Mapping[str, str]]) -> str:
        return ", ".join(format_amount(int(item["amount"]), item["denom"]) for item in items) or "nothing"

    expected = preview["fee_expected"]
    fee = format_amount(int(preview["fee_max"])) + " at most"
    if expected is not None:
        fee = f"{format_amount(int(expected))} expected, {fee}"
    money = [
        *rows,
        ("you pay", style.bold("at most " + coins(preview["pays_at_most"])) + ", the fee included"),
        ("you get", coins(preview["gets_at_least"])),
        ("fee", fee),
    ]
    return transaction_text(app, preview["transaction"], style) + "\n\n" + fields(money, style)


# -- send and wait ---------------------------------------------------------------------------------


def send_signed(
    app: App,
    client: QenexClient,
    signed: Transaction,
    *,
    no_wait: bool,
    timeout: int | None,
    done: Done,
    told: bool = False,
) -> Result:
    """Submit a signed transaction and wait until it is final; `told` as in `carry_out`, which see for Stopped."""
    tx_hash = "0x" + signed.tx_id.hex()
    known: dict[str, object] = {"hash": tx_hash, "valid_until": signed.valid_until}
    app.note(f"{app.style.dim('hash')}  {tx_hash}")
    app.sent = known
    try:
        pending: Pending[Any] = client.tx.submit(signed)
        if no_wait:
            data = {**known, "state": "pending"}
            return Result(data, f"{tx_hash}\nAdmitted; can be included up to height {signed.valid_until}.")
        app.progress("waiting for finality ...")
        receipt = pending.wait(timeout or client_settings(app).timeout_s, check=False)
    except OutcomeUnknown as error:
        raise Stopped(error, ExitCode.UNKNOWN, data={**known, "state": "unknown"}) from None
    except TransactionExpired as error:
        raise Stopped(error, ExitCode.REFUSED_AT_ADMISSION, data={**known, "state": "expired"}) from None
    except QenexError as error:
        if 1000 <= error.code < 2000:
            raise Stopped(error, ExitCode.REFUSED_AT_ADMISSION, data={**known, "state": "refused"}) from None
        raise
    finally:
        app.progress_end()
    data = receipt_data(receipt)
    if receipt.error is not None:
        raise Stopped(receipt.error, ExitCode.FAILED, data=data)

    def text(style: Style) -> str:
        rows = [
            ("hash", tx_hash),
            ("height", f"{grouped(receipt.height)} (final)"),
            ("fee", format_amount(receipt.fee)),
        ]
        head = style.green(printable(done if isinstance(done, str) else done(receipt)))
        return head + "\n" + fields([*rows, *_results(receipt, told)], style)

    return Result(data, text)


def _results(receipt: TransactionReceipt[Any], told: bool) -> list[tuple[str, str]]:
    """What the messages returned, a row for each field."""
    answer = receipt.to_dict().get("receipt")
    found = answer.get("results") if told and isinstance(answer, dict) else None
    if not isinstance(found, list):
        return []
    return [
        (printable(str(name)), inline(value))
        for result in found
        if isinstance(result, dict)
        for name, value in result.items()
    ]


def waiting_number(plain: object) -> int:
    """Return under which number the first message's effect waits for a guard's delay; 0: it is done.

    `plain` is a receipt's plain form, also as a command's result.
    """
    answer = plain.get("receipt") if isinstance(plain, dict) else None
    results = answer.get("results") if isinstance(answer, dict) else None
    first = results[0] if isinstance(results, list) and results else None
    number = first.get("number") if isinstance(first, dict) else None
    return number if type(number) is int else 0


def receipt_data(receipt: TransactionReceipt[Any]) -> dict[str, Any]:
    """Return a receipt for programs: the node's answer with what matters most on top."""
    plain = receipt.to_dict()
    return {
        **plain,
        "hash": receipt.hash,
        "height": receipt.height,
        "status": receipt.status,
        "fee": str(receipt.fee),
        "gas_used": receipt.gas_used,
    }


def paid_to(app: App, amount: str, address: Address) -> str:
    """Return `Sent 1.5QXC to bob (qx1...).`"""
    return f"Sent {amount} to {with_name(app, address)}."
