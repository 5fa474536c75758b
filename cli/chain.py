"""What commands share that talk to a node: the client, who an account is, transactions in words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.app import App
from cli.home import client_settings, keyring_of, node_url, pinned_chain_id
from cli.layout import Style, fields, inline, printable, short_hex
from qenex.client import QenexClient
from qenex.crypto.address import PREFIX, TEST_PREFIX, Address, decode_address, encode_address
from qenex.crypto.keystore import NAME
from qenex.errors import (
    InvalidAddress,
    InvalidAmount,
    InvalidArguments,
    KeyNotFound,
    UnknownDenomination,
    UsageError,
    WrongChainId,
)
from qenex.light_rules import Checkpoint
from qenex.money import format_amount, parse_coin
from qenex.types import QXC, Coin


@contextlib.contextmanager
def connected(
    app: App, *, timeout: float = 10.0, trusted: str | None = None, witnesses: Sequence[str] = ()
) -> Iterator[QenexClient]:
    """Give a client of the chosen node, after a look whether it is of the home's chain.

    With `trusted` (`HEIGHT:HASH`) it verifies headers from there. Raises UsageError for what is no checkpoint,
    WrongChainId if the home is pinned to another one, NodeUnreachable.
    """
    try:
        checkpoint = None if trusted is None else Checkpoint.parse(trusted)
    except InvalidArguments as error:
        raise UsageError(f"--trusted: {error.message}", hint=error.hint) from None
    with QenexClient(node_url(app), timeout=timeout, trusted=checkpoint, witnesses=witnesses) as client:
        pinned = pinned_chain_id(app)
        if pinned:
            found = client.node.info().chain_id
            if found != pinned:
                raise WrongChainId(
                    f"{client.url} is a node of {found[:64]!a}; this home is for {pinned}",
                    hint="choose the right node with --node, or the right home with --home",
                )
        yield client


def looks_like_address(text: str) -> bool:
    """Whether a text is meant as an address, right, cut short or foreign (a key's name can look like that, too)."""
    lowered = text.lower()
    ours = lowered.startswith((PREFIX + "1", TEST_PREFIX + "1"))
    return ours or re.fullmatch("[a-z]{1,20}1[0-9a-z]{20,}|0x[0-9a-f]{40,}", lowered) is not None


def account_of(app: App, text: str) -> Address:
    """Return the address that a key's name or an address text means.

    A name is looked up in the keyring first. Raises InvalidAddress, KeyNotFound.
    """
    keyring = keyring_of(app)
    if NAME.fullmatch(text) is not None and text in keyring:
        address = keyring.get_public(text).address
        app.typed_names.setdefault(address, text)
        return address
    if looks_like_address(text):
        prefix = client_settings(app).address_prefix
        return decode_address(text, (prefix,))
    if NAME.fullmatch(text) is not None:
        raise KeyNotFound(f"there is no key named {text!r}, and it is no address")
    raise InvalidAddress(f"{text[:70]!a} is neither a key's name nor an address")


def names_by_address(app: App) -> dict[Address, str]:
    """Return the names of the keyring's keys, for showing: the one typed, else the key the account changed to."""
    readable, _ = keyring_of(app).scan()
    ordered = sorted(readable, key=lambda info: info.address != info.own_address)
    names = {info.address: info.name for info in ordered}
    return {address: app.typed_names.get(address, name) for address, name in names.items()}


def with_name(app: App, address: Address) -> str:
    """Return an address as text, with its key's name if it is one of ours."""
    text = encode_address(address, client_settings(app).address_prefix)
    name = names_by_address(app).get(address)
    return f"{name} ({text})" if name else text


def parse_hash(text: str) -> bytes:
    """Return the 32 bytes of a hash in hex, with or without 0x. Raises UsageError."""
    digits = text.removeprefix("0x").lower()
    try:
        if len(digits) != 64 or not digits.isalnum():
            raise ValueError
        return bytes.fromhex(digits)
    except ValueError:
        raise UsageError(f"{text[:80]!a} is no hash: 64 hexadecimal digits, with or without 0x") from None


def parse_at(text: str | None) -> int | str | None:
    """Return a height, `latest` or `earliest`. Raises UsageError."""
    if text is None or text in ("latest", "earliest"):
        return text
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return int(text)
    raise UsageError(f"{text[:40]!a} is no height: a number, latest or earliest")


def form_of(app: App, transaction: Any) -> dict[str, Any]:
    """Return a transaction's JSON form, made here from its bytes: what is shown is what is signed.

    Raises UnknownMessage, InvalidArguments for messages that this version does not know.
    """
    from node.modules import make_machine

    prefix = client_settings(app).address_prefix
    return make_machine().registry.transaction_to_json(transaction, prefix)


def transaction_text(app: App, form: Mapping[str, Any], style: Style) -> str:
    """Return a transaction's JSON form for people: every field that decides what it does."""
    names = {
        encode_address(a, client_settings(app).address_prefix): n for a, n in names_by_address(app).items()
    }

    def shown(value: object) -> str:
        if isinstance(value, str) and value in names:
            return f"{value} ({names[value]})"
        return inline(value)

    rows: list[tuple[str, str]] = [("chain", printable(str(form["chain_id"])))]
    for number, signer in enumerate(form["signers"]):
        role = "signer, pays" if number == 0 else "signer"
        rows.append((role, f"{shown(signer['address'])}\nsequence {signer['sequence']}"))
    for number, message in enumerate(form["messages"]):
        lines = [printable(str(message["name"]))]
        if len(form["signers"]) > 1:
            lines[0] += f" by signer {message['signer']}"
        arguments = message["args"]
        width = max((len(name) for name in arguments), default=0)
        lines += [f"  {name.ljust(width)}  {shown(value)}" for name, value in arguments.items()]
        rows.append((f"message {number}", "\n".join(lines)))
    fee = form["fee"]
    rows.append(("fee", f"at most {format_amount(int(fee['max']), QXC)}, gas limit {fee['gas_limit']}"))
    if int(fee["tip"]):
        rows.append(("tip", format_amount(int(fee["tip"]), QXC)))
    rows.append(("valid until", f"height {form['valid_until']}"))
    if form.get("lease"):
        rows.append(("lease", str(form["lease"])))
    if form.get("memo"):
        rows.append(("memo", printable(str(form["memo"]))))
    return fields(rows, style)


def for_people(app: App, value: object) -> object:
    """Return a JSON value with amounts in units, our keys' names beside their addresses, and long hex shortened."""
    prefix = client_settings(app).address_prefix
    names = {encode_address(address, prefix): name for address, name in names_by_address(app).items()}

    def shown(item: object) -> object:
        if isinstance(item, str):
            return f"{item} ({names[item]})" if item in names else short_hex(item)
        if isinstance(item, list):
            return [shown(part) for part in item]
        if not isinstance(item, dict) or item.keys() == {"denom", "amount"}:
            return item
        parts = dict(item)
        if isinstance(parts.get("denom"), str) and isinstance(parts.get("amount"), str):
            parts["amount"] = {"denom": parts.pop("denom"), "amount": parts["amount"]}
        for native in ("fee", "balance") if parts.keys() & {"gas_used", "sequence"} else ():
            if isinstance(parts.get(native), str):  # of a receipt, of an account
                parts[native] = {"denom": QXC, "amount": parts[native]}
        return {name: shown(part) for name, part in parts.items()}

    return shown(value)


def read_coin(text: str) -> Coin:
    """Return the coin that a text writes. Raises as `parse_coin`, and InvalidAmount where QXC is misspelt."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]+)", text)
    if match is not None and match[2] != QXC and match[2].upper() == QXC:
        raise InvalidAmount(
            f"{match[2]} is not QXC: denominations are written exactly", hint=f"write {match[1]}{QXC}"
        )
    return parse_coin(text)


def refuse_unknown_denominations(
    client: QenexClient, messages: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """Raise UnknownDenomination if a message names a coin of which nothing exists on this chain."""
    coins = (value for _, arguments in messages for value in arguments.values() if isinstance(value, Coin))
    for denom in dict.fromkeys(coin.denom for coin in coins):
        if denom != QXC and client.bank.get_supply(denom) == 0:
            raise UnknownDenomination(
                f"there is no {denom} on this chain", hint="denominations are written exactly, like QXC"
            )


def lease_bytes(text: str | None) -> bytes | None:
    """Return the 32 bytes of --lease: hex of 32 bytes, or the hash of any other text. Raises UsageError."""
    if text is None:
        return None
    from qenex.hashing import hasher

    digits = text.removeprefix("0x")
    if len(digits) == 64:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(digits)
    if not text or len(text) > 256:
        raise UsageError("a lease is 32 bytes of hex, or a text of 1 to 256 characters")
    return hasher("qx.cli.lease")(text.encode())
