"""Who signs: a key of this keyring, or an account whose key lies on another machine."""

from __future__ import annotations

from typing import NamedTuple

from cli.app import App
from cli.chain import account_of, names_by_address
from cli.exit_codes import ExitCode, Stopped
from cli.home import client_settings, keyring_of
from qenex.client import QenexClient
from qenex.crypto.address import Address, address_of, encode_address, key_bytes
from qenex.crypto.keystore import NAME
from qenex.crypto.keystore_file import KeyInfo
from qenex.crypto.multisig import MULTISIG_TAG, decode_descriptor
from qenex.crypto.schemes import SCHEMES_BY_TAG
from qenex.errors import KeyNotFound, PublicKeyMismatch, PublicKeyMissing, UsageError
from qenex.sender import Signatory


class SigningAccount(NamedTuple):
    """An account that signs. `info` is its key in this keyring, if it lies here."""

    address: Address
    public_key: bytes | None
    """Scheme tag + public key, where it is known."""
    info: KeyInfo | None

    @property
    def signatory(self) -> Signatory:
        """What the builder needs."""
        return Signatory(self.address, self.public_key)


def signing_account(app: App, text: str, public_key: str | None = None) -> SigningAccount:
    """Return the account that `--from` names: by a key's name, or by an address.

    An address need not belong to a key of the keyring; then `public_key` (hex, with its tag) tells its key.
    Raises KeyNotFound, InvalidAddress, UsageError for a public key that is not the account's first one.
    """
    given = None if public_key is None else read_public_key(public_key)
    keyring = keyring_of(app)
    info: KeyInfo | None = None
    if NAME.fullmatch(text) is not None and text in keyring:
        info = keyring.get_public(text)
        app.typed_names[info.address] = text
        address = info.address
    else:
        address = account_of(app, text)
        name = names_by_address(app).get(address)
        info = keyring.get_public(name) if name is not None else None
    if given is not None and address_of(given[0], given[1:]) != address:
        raise UsageError(
            "--public-key is not the key of this address",
            hint="`qenex keys public-key NAME` prints it where the key lies",
        )
    known = None if info is None else key_bytes(info.tag, info.public_key)
    return SigningAccount(address, given if info is None else known, info)


def key_for_signing(app: App, account: SigningAccount) -> KeyInfo:
    """Return the key that signs here. Raises KeyNotFound if it lies on another machine."""
    if account.info is None:
        shown = encode_address(account.address, client_settings(app).address_prefix)
        raise KeyNotFound(
            f"no key here signs for {shown}",
            hint="--unsigned FILE writes the transaction for `qenex tx sign` where the key lies",
        )
    return account.info


def missing_key(app: App, account: SigningAccount) -> Stopped:
    """Return the refusal of an account that never signed and whose key is not known here."""
    shown = encode_address(account.address, client_settings(app).address_prefix)
    error = PublicKeyMissing(
        f"{shown} has never signed: its first transaction carries its public key, which is not known here",
        hint="add --public-key HEX; `qenex keys public-key NAME` prints it where the key lies",
    )
    return Stopped(error, ExitCode.REFUSED_BEFORE_SIGNING)


def refuse_replaced_key(
    app: App, client: QenexClient, account: SigningAccount, *, elsewhere: bool = False
) -> None:
    """Raise Stopped if the chain knows another key for this account: a signature would be refused.

    With `elsewhere` nothing is signed here, and a multisig key is as good as any.
    """
    if account.info is None:
        return
    registered = client.sender.account(account.address).public_key
    if registered is None or registered == account.public_key:
        return
    several = registered[0] == MULTISIG_TAG
    if several and elsewhere:
        return
    readable, _ = keyring_of(app).scan()
    now = [info.name for info in readable if key_bytes(info.tag, info.public_key) == registered]
    shown = encode_address(account.address, client_settings(app).address_prefix)
    scheme = SCHEMES_BY_TAG.get(registered[0])
    hint = f"the account signs with another {scheme.name if scheme else ''} key now"
    if now and any(info.name == now[0] and info.address == account.address for info in readable):
        hint = f"sign with --from {now[0]}"
    elif now:
        hint = f"`qenex keys set-account {now[0]} {shown}`, then --from {now[0]}"
    if several:
        hint = "several sign for it now: --unsigned FILE, then `qenex tx sign` by each"
    error = PublicKeyMismatch(f"key {account.info.name} signs no longer for {shown}", hint=hint)
    raise Stopped(error, ExitCode.REFUSED_BEFORE_SIGNING)


def refuse_other_scoped_key(app: App, client: QenexClient, account: SigningAccount, number: int) -> None:
    """Raise Stopped if the chain knows another key under this number: a signature would be refused."""
    if account.info is None:
        return
    registered = client.accounts.get_scoped_key(account.address, number).public_key
    if registered != account.public_key:
        shown = encode_address(account.address, client_settings(app).address_prefix)
        error = PublicKeyMismatch(
            f"key {account.info.name} is not scoped key {number} of {shown}",
            hint=f"`qenex accounts get-scoped-keys {shown}` lists them",
        )
        raise Stopped(error, ExitCode.REFUSED_BEFORE_SIGNING)


def read_public_key(text: str, what: str = "--public-key") -> bytes:
    """Return tag + public key (or multisig descriptor) from hex; `what` is what to call it. Raises UsageError."""
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        key = b""
    if key[:1] == bytes((MULTISIG_TAG,)):
        decode_descriptor(key)
        return key
    scheme = SCHEMES_BY_TAG.get(key[0]) if key else None
    if scheme is None or len(key) != 1 + scheme.public_key_size:
        raise UsageError(
            f"{what} is hex: the scheme's tag byte and the public key",
            hint="`qenex keys public-key NAME` prints it",
        )
    return key
