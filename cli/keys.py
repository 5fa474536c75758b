"""`qenex keys`: create, restore, list, exchange and remove keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.app import App, pass_app
from cli.home import client_settings, keyring_of
from cli.layout import Style, fields, table
from cli.lazy import Command, Group
from cli.output import Result
from cli.passwords import PasswordSource, password_options, read_phrase, read_secret_file
from qenex.crypto.address import encode_address, key_bytes
from qenex.crypto.keystore import NAME, Keyring
from qenex.crypto.keystore_file import KeyInfo
from qenex.crypto.schemes import SCHEMES
from qenex.errors import InvalidKeyName, InvalidMnemonic, KeyExists, UsageError

DEFAULT_SCHEME = "ed25519"


@click.group(
    cls=Group,
    lazy={"rotate": ("cli.rotation:rotate", "Change the key of an account to another key of the keyring.")},
)
def keys() -> None:
    """Create, restore and manage keys.

    Keys lie encrypted in HOME/keyring. One recovery phrase restores every key that was derived from it.
    """


def scheme_option(command: Any) -> Any:
    """Add `--scheme`."""
    return click.option(
        "--scheme",
        type=click.Choice(list(SCHEMES)),
        default=DEFAULT_SCHEME,
        show_default=True,
        help="Signature scheme.",
    )(command)


def place_options(command: Any) -> Any:
    """Add `--account` and `--index`: the key's place below the phrase."""
    index = click.IntRange(0, (1 << 31) - 1)
    account = click.option(
        "--account", type=index, default=0, show_default=True, help="Account of the phrase."
    )
    place = click.option("--index", type=index, default=0, show_default=True, help="Key of that account.")
    return account(place(command))


def to_data(info: KeyInfo, prefix: str) -> dict[str, object]:
    """Return what is public about a key, as plain JSON."""
    return {
        "name": info.name,
        "address": encode_address(info.address, prefix),
        "scheme": info.scheme,
        "public_key": "0x" + info.public_key.hex(),
        "own_address": encode_address(info.own_address, prefix),
        "path": info.path or None,
        "created": info.created,
        "encrypted": info.encrypted,
    }


def _to_text(info: KeyInfo, prefix: str) -> Callable[[Style], str]:
    def text(style: Style) -> str:
        shown = info.public_key.hex()
        if len(shown) > 80:
            shown = f"{shown[:64]}... ({len(info.public_key)} bytes)"
        changed = info.address != info.own_address
        return fields(
            [
                ("name", style.bold(info.name)),
                ("address", style.cyan(encode_address(info.address, prefix))),
                *([("own address", encode_address(info.own_address, prefix))] if changed else []),
                ("scheme", info.scheme),
                ("public key", shown),
                ("path", info.path or "-"),
                ("created", info.created),
                ("protection", "password" if info.encrypted else "none (development)"),
            ],
            style,
        )

    return text


def _result(app: App, info: KeyInfo) -> Result:
    prefix = client_settings(app).address_prefix
    return Result(to_data(info, prefix), _to_text(info, prefix))


def _new_password(app: App, keyring: Keyring, source: PasswordSource) -> str | None:
    """Return a new key's password; in a development keyring none is needed."""
    if keyring.is_development and not source.given:
        return None
    return source.read(app, "Password for the new key", new=True)


def open_password(app: App, keyring: Keyring, name: str, source: PasswordSource) -> str | None:
    """Return the password that opens a key, or None if it lies without one."""
    if not keyring.get_public(name).encrypted:
        return None
    return source.read(app, f"Password of key {name}")


def _refuse_existing(keyring: Keyring, name: str) -> None:
    # Before the person types a phrase or writes one down.
    if NAME.fullmatch(name) is None:
        raise InvalidKeyName(f"{name[:70]!a} is no key name")
    if name in keyring:
        raise KeyExists(f"there is already a key named {name!r}")


# -- create and restore ----------------------------------------------------------------------


@keys.command("create", cls=Command)
@click.argument("name")
@scheme_option
@place_options
@click.option("--words", type=click.Choice(["12", "15", "18", "21", "24"]), default="24", show_default=True)
@click.option(
    "--mnemonic-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the recovery phrase to a new FILE (mode 0600) instead of showing it.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether the phrase was written down.")
@password_options(meaning="Password for the new key")
@pass_app
def create(
    app: App,
    name: str,
    *,
    scheme: str,
    account: int,
    index: int,
    words: str,
    mnemonic_file: Path | None,
    yes: bool,
    password: PasswordSource,
) -> Result:
    """Make a new key NAME with a recovery phrase of its own.

    The phrase is shown once, on stderr, and is stored nowhere. Whoever has it has the key.
    """
    from qenex.crypto import mnemonic

    keyring = keyring_of(app)
    _refuse_existing(keyring, name)
    if mnemonic_file is not None and mnemonic_file.exists():
        raise UsageError(f"{mnemonic_file} exists already; a phrase is never written over a file")
    secret = _new_password(app, keyring, password)
    phrase = mnemonic.generate(int(words))
    if mnemonic_file is None:
        _show_phrase(app, name, phrase, yes=yes)
    else:
        _write_phrase(mnemonic_file, phrase)
    return _result(app, _store(keyring, name, scheme, phrase, "", secret, account=account, index=index))


def _store(
    keyring: Keyring,
    name: str,
    scheme: str,
    phrase: str,
    passphrase: str,
    password: str | None,
    *,
    account: int,
    index: int,
) -> KeyInfo:
    from qenex.crypto import mnemonic
    from qenex.crypto.derivation import Path as KeyPath
    from qenex.crypto.derivation import Role, derive

    seed = mnemonic.to_seed(phrase, passphrase)
    _, secret_key = derive(seed, scheme, account, Role.SPEND, index)
    return keyring.create(name, scheme, secret_key, password, path=str(KeyPath(account, Role.SPEND, index)))


def _show_phrase(app: App, name: str, phrase: str, *, yes: bool) -> None:
    style = app.style
    words = phrase.split(" ")
    rows = [words[at : at + 4] for at in range(0, len(words), 4)]
    app.note(style.bold(f"Recovery phrase of {name}. Write it on paper; it is not shown again."))
    for line, row in enumerate(rows):
        numbered = [f"{4 * line + at + 1:>3}. {word:<10}" for at, word in enumerate(row)]
        app.note("  " + "".join(numbered).rstrip())
    app.note(style.dim("Whoever has these words has the key. They are stored nowhere."))
    if yes or not app.can_ask:
        return
    for position in sorted(secrets.SystemRandom().sample(range(len(words)), 2)):
        for _ in range(3):
            if app.ask(f"Word {position + 1} of your copy: ").strip().lower() == words[position]:
                break
            app.note("That is another word than the one shown; look at your copy again.")
        else:
            raise InvalidMnemonic("the copy of the phrase does not match; no key was stored")


def _write_phrase(path: Path, phrase: str) -> None:
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(phrase + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"the phrase cannot be written to {path}: {error.strerror}") from None


@click.command("import", cls=Command)
@click.argument("name")
@scheme_option
@place_options
@click.option(
    "--mnemonic-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the phrase from FILE; - is stdin.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="BIP-39 passphrase, if the phrase has one.",
)
@password_options(meaning="Password for the key")
@pass_app
def restore(
    app: App,
    name: str,
    *,
    scheme: str,
    account: int,
    index: int,
    mnemonic_file: Path | None,
    passphrase_file: Path | None,
    password: PasswordSource,
) -> Result:
    """Restore key NAME from a recovery phrase, which is read from a prompt, a file or stdin."""
    keyring = keyring_of(app)
    _refuse_existing(keyring, name)
    phrase = read_phrase(app, mnemonic_file).strip()
    from qenex.crypto import mnemonic

    mnemonic.to_entropy(phrase)  # a typing error is told before a password is asked for
    passphrase = ""
    if passphrase_file is not None:
        passphrase = read_secret_file(app, passphrase_file, "passphrase").rstrip("\r\n")
    secret = _new_password(app, keyring, password)
    return _result(
        app, _store(keyring, name, scheme, phrase, passphrase, secret, account=account, index=index)
    )


keys.add_command(restore)
keys.add_command(restore, "recover")


# -- look ------------------------------------------------------------------------------------


@keys.command("list", cls=Command)
@pass_app
def list_keys(app: App) -> Result:
    """List all keys. Nothing is decrypted and no password is asked for."""
    prefix = client_settings(app).address_prefix
    readable, damaged = keyring_of(app).scan()
    for name, error in damaged:
        app.warn(f"key {name}: {error.message}")
    data = {
        "keys": [to_data(info, prefix) for info in readable],
        "damaged": [{"name": name, "error": error.to_dict()} for name, error in damaged],
    }

    def text(style: Style) -> str:
        if not readable:
            return f"No keys in {keyring_of(app).folder}. Create one with `qenex keys create NAME`."
        rows = [
            [style.bold(info.name), encode_address(info.address, prefix), info.scheme] for info in readable
        ]
        return table(["name", "address", "scheme"], rows, style)

    return Result(data, text)


@keys.command("show", cls=Command)
@click.argument("name")
@pass_app
def show(app: App, name: str) -> Result:
    """Show what is public about key NAME."""
    return _result(app, keyring_of(app).get_public(name))


@keys.command("address", cls=Command)
@click.argument("name")
@pass_app
def address(app: App, name: str) -> Result:
    """Print the address of key NAME and nothing else."""
    shown = encode_address(keyring_of(app).get_public(name).address, client_settings(app).address_prefix)
    return Result({"name": name, "address": shown}, shown)


@keys.command("public-key", cls=Command)
@click.argument("name")
@pass_app
def public_key(app: App, name: str) -> Result:
    """Print the public key of NAME with its scheme's tag, as `--public-key` takes it, and nothing else."""
    info = keyring_of(app).get_public(name)
    shown = "0x" + key_bytes(info.tag, info.public_key).hex()
    return Result({"name": name, "public_key": shown}, shown)


# -- change ----------------------------------------------------------------------------------


@keys.command("set-account", cls=Command)
@click.argument("name")
@click.argument("address", required=False)
@click.option("--own", is_flag=True, help="Its own address again.")
@password_options(meaning="Password of the key")
@pass_app
def set_account(app: App, name: str, address: str | None, *, own: bool, password: PasswordSource) -> Result:
    """Note that key NAME signs for the account ADDRESS, which changed to it.

    `keys rotate` does this by itself. It is for keys restored from a phrase, and where a rotation's outcome
    was not known. Nothing is asked of a node: a wrong address only makes the chain refuse what NAME signs.
    """
    from cli.chain import account_of

    if own == (address is not None):
        raise UsageError("give an address, or --own")
    keyring = keyring_of(app)
    keyring.get_public(name)
    account = None if address is None else account_of(app, address)
    return _result(app, keyring.set_account(name, open_password(app, keyring, name, password), account))


# -- rename and remove -------------------------------------------------------------------------


@keys.command("rename", cls=Command)
@click.argument("name")
@click.argument("new_name")
@password_options(meaning="Password of the key")
@pass_app
def rename(app: App, name: str, new_name: str, *, password: PasswordSource) -> Result:
    """Give key NAME another name. The name is authenticated with the key, so its password is needed."""
    keyring = keyring_of(app)
    keyring.get_public(name)
    _refuse_existing(keyring, new_name)
    return _result(app, keyring.rename(name, new_name, open_password(app, keyring, name, password)))


@keys.command("delete", cls=Command)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def delete(app: App, name: str, *, yes: bool) -> Result:
    """Remove key NAME from this machine. Without its recovery phrase it is gone for ever."""
    keyring = keyring_of(app)
    data: dict[str, object] = {"name": name, "deleted": True}
    if name in keyring:
        readable, _ = keyring.scan()
        for info in readable:
            if info.name == name:
                data["address"] = encode_address(info.address, client_settings(app).address_prefix)
        shown = data.get("address", "its file is damaged")
        app.confirm(f"Delete key {name} ({shown})? Only its recovery phrase can bring it back.", yes=yes)
    keyring.delete(name)
    return Result(data, f"Deleted {name}.")


@keys.command("change-password", cls=Command)
@click.argument("name")
@password_options(meaning="Present password")
@password_options("new-password", meaning="New password")
@pass_app
def change_password(app: App, name: str, *, password: PasswordSource, new_password: PasswordSource) -> Result:
    """Encrypt key NAME anew under another password."""
    keyring = keyring_of(app)
    old = open_password(app, keyring, name, password)
    if old is not None:
        keyring.open(name, old)  # a wrong password is told before a new one is asked for
    keyring.change_password(name, old, new_password.read(app, "New password", new=True))
    return Result({"name": name, "changed": True}, f"Changed the password of {name}.")


# -- exchange --------------------------------------------------------------------------------


@keys.command("export-eip2335", cls=Command)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@password_options(meaning="Password of the key")
@password_options("file-password", meaning="Password for the file")
@pass_app
def export_eip2335(
    app: App, name: str, file: Path, *, password: PasswordSource, file_password: PasswordSource
) -> Result:
    """Write key NAME to FILE as an EIP-2335 keystore, under a password of its own."""
    from cli.home import write_whole

    keyring = keyring_of(app)
    if file.exists():
        raise UsageError(f"{file} exists already; a keystore is never written over a file")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no folder {file.absolute().parent}")
    secret = open_password(app, keyring, name, password)
    text = keyring.export_eip2335(name, secret, file_password.read(app, "Password for the file", new=True))
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    return Result({"name": name, "file": str(file)}, f"Wrote {name} to {file}.")


@keys.command("import-eip2335", cls=Command)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scheme", type=click.Choice(list(SCHEMES)), help="Needed for files that name no scheme.")
@password_options(meaning="Password for the key")
@password_options("file-password", meaning="Password of the file")
@pass_app
def import_eip2335(
    app: App,
    name: str,
    file: Path,
    *,
    scheme: str | None,
    password: PasswordSource,
    file_password: PasswordSource,
) -> Result:
    """Store the key in an EIP-2335 FILE under NAME."""
    keyring = keyring_of(app)
    _refuse_existing(keyring, name)
    try:
        with file.open("rb") as opened:
            data = opened.read((1 << 16) + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    from_file = file_password.read(app, "Password of the file")
    secret = _new_password(app, keyring, password)
    return _result(app, keyring.import_eip2335(name, data, from_file, secret, scheme=scheme or ""))
