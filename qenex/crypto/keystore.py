"""A folder of keys, one file each, that survives crashes and trusts no file.

Folder mode 0700, files 0600, written to a temporary name, synced, and put in place in
one step. A file is `<name>.json`; names are what `NAME` allows, so no name leaves the
folder. Names starting with a dot are leftovers of an interrupted write and are ignored.

Listing decrypts nothing. The folder may be marked as a development keyring (the file
`DEVELOPMENT-KEYRING`): only there may keys lie without a password.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from qenex.crypto import eip2335
from qenex.crypto.address import Address, address_of
from qenex.crypto.keystore_file import (
    DEFAULT_KDF,
    KdfParameters,
    KeyInfo,
    KeyPair,
    StoredKey,
    parse,
    seal,
    unseal,
)
from qenex.crypto.schemes import scheme_by_name
from qenex.crypto.strict_json import MAX_SIZE
from qenex.errors import (
    InvalidKeyName,
    KeyExists,
    KeyNotFound,
    KeystoreCorrupt,
    KeystoreUnsupported,
    PasswordRequired,
    QenexError,
)

__all__ = ["DEVELOPMENT_MARK", "KdfParameters", "KeyInfo", "KeyPair", "Keyring"]

NAME = re.compile(r"[a-z0-9_-]{1,64}")
DEVELOPMENT_MARK = "DEVELOPMENT-KEYRING"

_SUFFIX = ".json"
_BINARY = getattr(os, "O_BINARY", 0)
_MARK_TEXT = b"Keys in this folder may lie here unencrypted. Never send anything of value to them.\n"


class Keyring:
    """The keys in one folder.

    `folder` need not exist: it is made when the first key is stored. `development`
    marks it as a development keyring then; a folder that already holds keys and no mark
    is refused (KeystoreUnsupported), so that no real keyring turns into one by accident.
    `kdf` is the cost of keys stored through this object.
    """

    def __init__(
        self, folder: str | os.PathLike[str], development: bool = False, *, kdf: KdfParameters = DEFAULT_KDF
    ) -> None:
        self.folder = Path(folder)
        self._kdf = kdf
        self._development = development
        if development and not self.is_development and self._names():
            raise KeystoreUnsupported(f"{self.folder} holds keys and is not marked as a development keyring")

    @property
    def is_development(self) -> bool:
        """Whether the folder carries the mark of a development keyring."""
        return (self.folder / DEVELOPMENT_MARK).is_file()

    # -- reading -----------------------------------------------------------------------

    def list(self) -> tuple[KeyInfo, ...]:
        """Return all keys by name, without decrypting. Raises KeystoreCorrupt at the first damaged file."""
        return tuple(self._read(name).info for name in self._names())

    def scan(self) -> tuple[tuple[KeyInfo, ...], tuple[tuple[str, QenexError], ...]]:
        """Return `(readable keys, (name, error) of each damaged file)`: for listings that go on."""
        keys: list[KeyInfo] = []
        damaged: list[tuple[str, QenexError]] = []
        for name in self._names():
            try:
                keys.append(self._read(name).info)
            except QenexError as error:
                damaged.append((name, error))
        return tuple(keys), tuple(damaged)

    def __contains__(self, name: str) -> bool:
        return NAME.fullmatch(name) is not None and os.path.lexists(self._path(name))

    def get_public(self, name: str) -> KeyInfo:
        """Return what is known without a password. Raises KeyNotFound, InvalidKeyName, KeystoreCorrupt."""
        return self._read(_checked(name)).info

    def open(self, name: str, password: str | None = None) -> KeyPair:
        """Decrypt a key, check it against its public key, return both.

        Raises KeyNotFound, InvalidKeyName, PasswordRequired, WrongPassword,
        KeystoreCorrupt, and KeystoreUnsupported for a key without a password outside a
        development keyring or a KDF cost outside the accepted range.
        """
        stored = self._read(_checked(name))
        if not stored.info.encrypted:
            self._require_development(f"key {name!r} lies unencrypted in {self.folder}")
        return unseal(stored, password, f"key {name!r}")

    # -- writing -----------------------------------------------------------------------

    def create(
        self, name: str, scheme: str, secret_key: bytes, password: str | None = None, *, path: str = ""
    ) -> KeyInfo:
        """Store a key under a new name. `path` is its derivation path, if it has one.

        Without a password the folder must be a development keyring. Raises KeyExists,
        InvalidKeyName, UnknownScheme, InvalidSecretKey, PasswordRequired.
        """
        _checked(name)
        public_key = scheme_by_name(scheme).public_key_of(secret_key)
        address = address_of(scheme_by_name(scheme).tag, public_key)
        created = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        info = KeyInfo(name, scheme, public_key, address, created, path, encrypted=password is not None)
        if name in self:
            raise KeyExists(f"there is already a key named {name!r}")
        if password is None and not (self._development or self.is_development):
            raise PasswordRequired(f"{self.folder} is no development keyring: keys in it need a password")
        data = seal(info, secret_key, password, self._kdf)
        self._make_folder()
        _write_new(self._path(name), data, lambda: KeyExists(f"there is already a key named {name!r}"))
        return info

    def change_password(self, name: str, password: str | None, new_password: str | None) -> None:
        """Encrypt the key anew, with this keyring's KDF cost. Errors as `open` and `create`."""
        pair = self.open(name, password)
        if new_password is None:
            self._require_development("a key without a password is allowed in a development keyring only")
        info = replace(self.get_public(name), encrypted=new_password is not None)
        _replace(self._path(name), seal(info, pair.secret_key, new_password, self._kdf))

    def set_account(self, name: str, password: str | None, account: Address | None) -> KeyInfo:
        """Record the account that a key signs for after the account changed to it; None: the key's own.

        Raises what `open` raises.
        """
        pair = self.open(name, password)
        info = self.get_public(name)
        info = replace(info, address=info.own_address if account is None else account)
        _replace(
            self._path(name), seal(info, pair.secret_key, password if info.encrypted else None, self._kdf)
        )
        return info

    def rename(self, name: str, new_name: str, password: str | None = None) -> KeyInfo:
        """Give a key another name. Needs the password: the name is authenticated with the key.

        Raises KeyExists, and what `open` raises.
        """
        _checked(new_name)
        if new_name in self:
            raise KeyExists(f"there is already a key named {new_name!r}")
        pair = self.open(name, password)
        info = replace(self.get_public(name), name=new_name)
        data = seal(info, pair.secret_key, password if info.encrypted else None, self._kdf)
        _write_new(
            self._path(new_name), data, lambda: KeyExists(f"there is already a key named {new_name!r}")
        )
        self.delete(name)
        return info

    def delete(self, name: str) -> None:
        """Remove a key's file, damaged or not. Raises KeyNotFound, InvalidKeyName.

        The bytes may remain on the disk: no file system promises otherwise.
        """
        try:
            self._path(_checked(name)).unlink()
        except FileNotFoundError:
            raise KeyNotFound(f"there is no key named {name!r}") from None
        _sync_folder(self.folder)

    # -- exchange ----------------------------------------------------------------------

    def import_eip2335(
        self,
        name: str,
        data: bytes | str,
        file_password: str,
        password: str | None = None,
        *,
        scheme: str = "",
    ) -> KeyInfo:
        """Store the key of an EIP-2335 file.

        `scheme` is needed for files that others wrote; it must be one whose seed has 32
        bytes. Raises WrongPassword, KeystoreCorrupt, KeystoreUnsupported, and what
        `create` raises.
        """
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        found = eip2335.decrypt(raw, file_password)
        scheme_name = scheme or found.scheme
        if not scheme_name:
            raise KeystoreUnsupported("the file names no scheme; say which one the key is for")
        target = scheme_by_name(scheme_name)
        if target.seed_size != eip2335.SECRET_SIZE:
            raise KeystoreUnsupported(
                f"EIP-2335 secrets have 32 bytes; {scheme_name} needs {target.seed_size}"
            )
        public_key, secret_key = target.generate(found.secret)
        if found.public_key and found.public_key != public_key:
            raise KeystoreCorrupt(f"the file's public key is not that of its secret as a {scheme_name} key")
        path = found.path if len(found.path) <= 64 else ""
        return self.create(name, scheme_name, secret_key, password, path=path)

    def export_eip2335(
        self,
        name: str,
        password: str | None,
        file_password: str,
        *,
        scrypt_n: int = eip2335.DEFAULT_SCRYPT_N,
    ) -> str:
        """Return an EIP-2335 file with the key's 32-byte seed. Raises KeystoreUnsupported for longer ones."""
        pair = self.open(name, password)
        info = self.get_public(name)
        # Both 32-byte forms begin with the seed: ML-DSA's is the seed, Ed25519's is seed + public key.
        size = scheme_by_name(pair.scheme).seed_size
        return eip2335.encrypt(
            pair.secret_key[:size],
            pair.public_key,
            file_password,
            scheme=pair.scheme,
            label=name,
            path=info.path,
            scrypt_n=scrypt_n,
        )

    # -- inside ------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _names(self) -> tuple[str, ...]:
        try:
            entries = os.listdir(self.folder)
        except FileNotFoundError:
            return ()
        except NotADirectoryError:
            raise KeystoreCorrupt(f"{self.folder} is not a folder") from None
        names = (entry.removesuffix(_SUFFIX) for entry in entries if entry.endswith(_SUFFIX))
        return tuple(sorted(name for name in names if NAME.fullmatch(name)))

    def _read(self, name: str) -> StoredKey:
        what = f"key {name!r}"
        stored = parse(_read_file(self._path(name), what), what)
        if stored.info.name != name:
            raise KeystoreCorrupt(f"{what}: the file holds the key named {stored.info.name!a}")
        return stored

    def _require_development(self, message: str) -> None:
        if not self.is_development:
            raise KeystoreUnsupported(message, hint="only a development keyring holds keys without password")

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._development and not self.is_development:
            with contextlib.suppress(KeyExists):
                _write_new(self.folder / DEVELOPMENT_MARK, _MARK_TEXT, KeyExists)


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise InvalidKeyName(f"{name[:70]!a} is no key name")
    return name


def _read_file(path: Path, what: str) -> bytes:
    """Return a regular file's bytes, at most 64 KiB. Raises KeyNotFound, KeystoreCorrupt."""
    try:
        # O_NONBLOCK: a named pipe in place of the file must not hang the wallet.
        descriptor = os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise KeyNotFound(f"there is no {what}") from None
    except OSError as error:
        raise KeystoreCorrupt(
            f"{what} cannot be read: {error.strerror}", hint="check the file's owner and mode"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise KeystoreCorrupt(f"{what} is not a regular file")
        data = b""
        while len(data) <= MAX_SIZE and (more := os.read(descriptor, MAX_SIZE + 1 - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _write_new(path: Path, data: bytes, exists: Callable[[], QenexError]) -> None:
    """Put `data` at `path` whole or not at all. Raises `exists()` if something is there already."""
    temporary = _write_temporary(path, data)
    try:
        # A hard link fails if the name is taken, which a rename would not.
        os.link(temporary, path)
    except FileExistsError:
        raise exists() from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if os.path.lexists(path):
            raise exists() from None
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _replace(path: Path, data: bytes) -> None:
    temporary = _write_temporary(path, data)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder; its renames are journalled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
