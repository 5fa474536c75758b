"""A wallet: one key, the address it acts for, and signatures over bodies that say what they are.

The secret key stays inside: it is in no `repr`, is not pickled and not copied. Python
cannot promise to wipe it from memory when the wallet is gone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from qenex import crypto
from qenex.codec import encode
from qenex.crypto import mnemonic as phrases
from qenex.crypto.address import PREFIX, Address, address_of, encode_address, key_bytes
from qenex.crypto.derivation import Role, derive
from qenex.crypto.multisig import combine, decode_descriptor
from qenex.crypto.schemes import SCHEMES_BY_TAG, scheme_by_name
from qenex.errors import (
    InvalidAddress,
    InvalidArguments,
    InvalidSignature,
    KeyNotFound,
    UnusedSigner,
    WrongSignatureCount,
)
from qenex.transaction import Transaction, assemble, decode_body, decode_transaction

DEFAULT_SCHEME = "ed25519"
MESSAGE_KIND = "message"


class OpenedKey(Protocol):
    """What a keyring gives for an opened key (`qenex.crypto.keystore.KeyPair`)."""

    @property
    def scheme(self) -> str: ...

    @property
    def secret_key(self) -> bytes: ...

    @property
    def address(self) -> Address: ...


class OpensKeys(Protocol):
    """Anything that opens keys by name; `qenex.crypto.keystore.Keyring` does."""

    def open(self, name: str, password: str | None = None) -> OpenedKey: ...


class Wallet:
    """One key pair and the account it signs for. Immutable; safe to share between threads.

    `address` is the account's; it is the hash of the account's FIRST key, so after a key
    rotation it is given with the new key (`from_secret(..., address=...)`).
    """

    __slots__ = ("_secret_key", "address", "public_key", "scheme")

    _secret_key: bytes
    scheme: str
    public_key: bytes
    """Scheme tag + public key, as transactions carry it."""
    address: Address

    def __init__(self, scheme: str, secret_key: bytes, address: Address | None = None) -> None:
        """Use the `from_...` constructors. Raises UnknownScheme, InvalidSecretKey, InvalidAddress."""
        implementation = scheme_by_name(scheme)
        public_key = implementation.public_key_of(secret_key)
        if address is not None and len(address) != 32:
            raise InvalidAddress("an address has 32 bytes")
        own = address if address is not None else address_of(implementation.tag, public_key)
        for name, value in (
            ("scheme", scheme),
            ("_secret_key", secret_key),
            ("public_key", key_bytes(implementation.tag, public_key)),
            ("address", own),
        ):
            object.__setattr__(self, name, value)

    # -- making one ----------------------------------------------------------------------

    @classmethod
    def generate(cls, scheme: str = DEFAULT_SCHEME, words: int = 24) -> tuple[Wallet, str]:
        """Return a new wallet and its recovery phrase, the only way to have it again.

        Raises UnknownScheme, InvalidMnemonic (for a number of words BIP-39 does not know).
        """
        phrase = phrases.generate(words)
        return cls.from_mnemonic(phrase, scheme), phrase

    @classmethod
    def from_mnemonic(
        cls,
        words: str | Sequence[str],
        scheme: str = DEFAULT_SCHEME,
        account: int = 0,
        index: int = 0,
        *,
        role: int = Role.SPEND,
        passphrase: str = "",
    ) -> Wallet:
        """Derive the key at m/44'/20824'/account'/role'/index' of a recovery phrase (BIP-39).

        A wrong `passphrase` cannot be noticed: it is another wallet. Raises InvalidMnemonic,
        UnknownScheme, InvalidDerivationPath.
        """
        phrase = words if isinstance(words, str) else " ".join(words)
        seed = phrases.to_seed(phrase, passphrase)
        _, secret_key = derive(seed, scheme, account, role, index)
        return cls(scheme, secret_key)

    @classmethod
    def from_secret(cls, scheme: str, secret: bytes, address: Address | None = None) -> Wallet:
        """Take the secret key's bytes. Raises UnknownScheme, InvalidSecretKey, InvalidAddress."""
        return cls(scheme, secret, address)

    @classmethod
    def from_keyring(
        cls, keyring: OpensKeys | str | os.PathLike[str], name: str, password: str | None = None
    ) -> Wallet:
        """Open the key `name` of a `Keyring`, or of the folder in which one lies.

        The command line's keyring is the folder `keyring` in its home. Raises what the keyring raises
        (KeyNotFound, WrongPassword, ...), or InvalidArguments for what is no keyring.
        """
        pair = _keyring_of(keyring, name).open(name, password)
        return cls(pair.scheme, pair.secret_key, pair.address)

    # -- using it ------------------------------------------------------------------------

    def address_text(self, prefix: str = PREFIX) -> str:
        """The address as people write it: `qx1...`, or with a test network's prefix."""
        return encode_address(self.address, prefix)

    def sign(self, body_bytes: bytes) -> bytes:
        """Sign the bytes of a body (they begin with their kind and chain id); context empty."""
        return scheme_by_name(self.scheme).sign(self._secret_key, body_bytes)

    def sign_transaction(self, body: bytes | Transaction, *others: Wallet) -> Transaction:
        """Sign a transaction's body, with `others` if it has several signers; return it signed.

        The body is decoded strictly first: no other kind of bytes gets a signature here.
        Raises MalformedBytes, TooLarge, UnusedSigner (a wallet that is no signer) or
        WrongSignatureCount (a signer without a wallet).
        """
        unsigned = decode_body(body if isinstance(body, bytes) else body.body_bytes)
        wallets = {wallet.address: wallet for wallet in (self, *others)}
        named = [signer.address for signer in unsigned.signers]
        for address in wallets:
            if address not in named:
                raise UnusedSigner(f"{encode_address(address)} is no signer of this transaction")
        if len(wallets) != len(named):
            raise WrongSignatureCount(f"{len(wallets)} of {len(named)} signers have a wallet here")
        signatures = [wallets[address].sign(unsigned.body_bytes) for address in named]
        return decode_transaction(assemble(unsigned.body_bytes, signatures))

    def sign_multisig(self, body: bytes | Transaction, key: bytes, *others: Wallet) -> Transaction:
        """Sign for the multisig account that is the body's one signer, with the wallets of other members.

        `key` is its descriptor with the tag; signatures beyond the threshold are left out. Raises
        MalformedBytes, TooLarge, WrongSignatureCount (several signers: use `qenex.transaction.assemble`),
        UnknownMember or ThresholdNotMet.
        """
        unsigned = decode_body(body if isinstance(body, bytes) else body.body_bytes)
        if len(unsigned.signers) != 1:
            raise WrongSignatureCount(
                f"{len(unsigned.signers)} signers, a multisig account alone was expected"
            )
        signed = {wallet.public_key: wallet.sign(unsigned.body_bytes) for wallet in (self, *others)}
        signatures = combine(decode_descriptor(key), signed)
        return decode_transaction(assemble(unsigned.body_bytes, [signatures]))

    def sign_message(self, chain_id: str, text: str) -> bytes:
        """Sign a text as `["message", chain_id, address, text]`: it can never pass as a transaction."""
        return self.sign(message_bytes(chain_id, self.address, text))

    # -- keeping the secret --------------------------------------------------------------

    def __str__(self) -> str:
        return self.address_text()

    def __repr__(self) -> str:
        return f"Wallet({self.scheme}, {encode_address(self.address)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Wallet):
            return NotImplemented
        return (self.address, self.public_key) == (other.address, other.public_key)

    def __hash__(self) -> int:
        return hash((self.address, self.public_key))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a wallet is immutable: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a wallet is immutable: cannot delete {name}")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a wallet is not pickled or copied: its secret would be written in the clear")


def _keyring_of(given: OpensKeys | str | os.PathLike[str], name: str) -> OpensKeys:
    """A keyring, also of its folder. Raises KeyNotFound for a folder that has no such key, InvalidArguments."""
    if isinstance(given, str | os.PathLike):
        keyring = crypto.Keyring(given)
        try:
            keyring.get_public(name)
        except KeyNotFound:
            raise KeyNotFound(
                f"there is no key {name!r} in {keyring.folder}",
                hint="give the folder `keyring` of the wallet's or devnet's home; `qenex keys list` shows its keys",
            ) from None
        return keyring
    if not callable(getattr(given, "open", None)):
        raise InvalidArguments(
            f"a keyring is a Keyring or its folder, not {type(given).__name__}",
            hint='Wallet.from_keyring(Keyring("HOME/keyring"), name), with `from qenex import Keyring`',
        )
    return given


def message_bytes(chain_id: str, address: Address, text: str) -> bytes:
    """The bytes that `Wallet.sign_message` signs. Raises MalformedBytes for text that is not Unicode."""
    return encode((MESSAGE_KIND, chain_id, address, text))


def verify_message(chain_id: str, address: Address, text: str, public_key: bytes, signature: bytes) -> None:
    """Raise InvalidSignature unless `public_key` (tag + key) signed `text` for `address`.

    Whether the key is the account's is for the caller to ask: of the state, or by
    `address_of` where the account never rotated its key.
    """
    scheme = SCHEMES_BY_TAG.get(public_key[0]) if public_key else None
    if scheme is None or not scheme.verify(public_key[1:], message_bytes(chain_id, address, text), signature):
        raise InvalidSignature("this key did not sign this message")
