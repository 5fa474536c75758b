# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, BytesLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U8, U16, U64, Amount, Between, Denom, Length
from qenex.wallet import Wallet


class SpendingLimit(NamedTuple):
    """At most `amount` base units of `denom` leave the account in `period_s` seconds."""

    denom: Denom
    amount: Amount
    period_s: Annotated[int, Between(1, 316224000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ScopedKeyIndex(NamedTuple):
    """Under which number an account's scoped key was registered."""

    number: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class AccountView(NamedTuple):
    """An account as queries return it. `scheme` is the key's tag, 0 while it has never signed."""

    address: Address
    sequence: U64
    balance: Amount
    scheme: U8
    public_key: bytes | None
    fee_tier: U16
    is_module: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Spent(NamedTuple):
    """`amount` base units left since `since_s`."""

    since_s: U64
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ScopedKeyView(NamedTuple):
    """A scoped key as queries return it. `spent` stands beside `limits`, of periods that may have ended."""

    number: U16
    sequence: U64
    public_key: bytes
    expires: U64
    messages: Annotated[tuple[Annotated[str, Length(3, 64)], ...], Length(1, 32)]
    limits: Annotated[tuple[SpendingLimit, ...], Length(0, 16)]
    spent: tuple[Spent, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ScopedKeysView(NamedTuple):
    """All scoped keys of an account, by number."""

    keys: tuple[ScopedKeyView, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class KeyRotated(NamedTuple):
    """An account signs with another key from now on; `key` is tag + key, or tag + hash."""

    address: Address
    key: bytes

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ScopedKeyAdded(NamedTuple):
    """A second key may act for an account within a scope, under this number."""

    address: Address
    number: U16
    key: bytes
    expires: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ScopedKeyRevoked(NamedTuple):
    """A scoped key acts no more; its number is never used again."""

    address: Address
    number: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


ADD_SCOPED_KEY = MessageFace(
    "accounts.add_scoped_key",
    (
        ("key", Annotated[bytes, Length(2, 32768)]),
        ("messages", Annotated[tuple[Annotated[str, Length(3, 64)], ...], Length(1, 32)]),
        ("limits", Annotated[tuple[SpendingLimit, ...], Length(0, 16)]),
        ("expires", U64),
    ),
    ScopedKeyIndex,
)

REVOKE_SCOPED_KEY = MessageFace(
    "accounts.revoke_scoped_key",
    (("number", U16),),
    None,
)

ROTATE_KEY = MessageFace(
    "accounts.rotate_key",
    (
        ("new_key", Annotated[bytes, Length(2, 32768)]),
        ("possession", Annotated[bytes, Length(1, 49152)]),
    ),
    None,
)

GET_ACCOUNT = QueryFace(
    "accounts_getAccount",
    (("address", Address),),
    AccountView,
)

GET_SCOPED_KEY = QueryFace(
    "accounts_getScopedKey",
    (
        ("address", Address),
        ("number", U16),
    ),
    ScopedKeyView,
)

GET_SCOPED_KEYS = QueryFace(
    "accounts_getScopedKeys",
    (("address", Address),),
    ScopedKeysView,
)

MESSAGES: tuple[MessageFace, ...] = (
    ADD_SCOPED_KEY,
    REVOKE_SCOPED_KEY,
    ROTATE_KEY,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_ACCOUNT,
    GET_SCOPED_KEY,
    GET_SCOPED_KEYS,
)

EVENTS: dict[str, type] = {
    "accounts.key_rotated": KeyRotated,
    "accounts.scoped_key_added": ScopedKeyAdded,
    "accounts.scoped_key_revoked": ScopedKeyRevoked,
}


class Accounts(ModuleFace):
    """Who may act: sequences, keys and their rotation."""

    def add_scoped_key(
        self,
        wallet: Wallet,
        *,
        key: BytesLike,
        messages: tuple[Annotated[str, Length(3, 64)], ...] | Reference,
        limits: tuple[SpendingLimit, ...] | Reference,
        expires: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[ScopedKeyIndex]:
        """Let a second key act for this account, within a scope: for a bot, or an agent.

        What leaves the account by it, the fee included, counts against the limits; a denomination
        without a
        limit may not leave. The key counts its own sequence, from 0.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            key: scheme tag (one byte) and public key.
            messages: names of the messages that it may send, like bank.send; none of accounts.
            limits: per denomination the amount that may leave in a period of seconds.
            expires: the last height at which it acts.
        """
        return self._send(
            wallet,
            ADD_SCOPED_KEY,
            {"key": key, "messages": messages, "limits": limits, "expires": expires},
            options,
        )

    def revoke_scoped_key(
        self, wallet: Wallet, *, number: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[None]:
        """Let a scoped key act no more, at once.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            number: what `add_scoped_key` returned.
        """
        return self._send(wallet, REVOKE_SCOPED_KEY, {"number": number}, options)

    def rotate_key(
        self,
        wallet: Wallet,
        *,
        new_key: BytesLike,
        possession: BytesLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Sign with another key from now on; the address stays.

        The new key may be of another scheme: that is how an Ed25519 account becomes post-quantum. It
        signs the rotation statement itself (`rotation_sign_bytes`), so nobody can be locked out by a
        typo.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            new_key: scheme tag (one byte) and public key.
            possession: the new key's signature over the rotation statement; of a multisig key the
                encoded array of its members' signatures, nil for who did not sign.
        """
        return self._send(wallet, ROTATE_KEY, {"new_key": new_key, "possession": possession}, options)

    def get_account(self, address: AddressLike, *, at: At | None = None) -> AccountView:
        """Sequence, native balance and key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: AccountView = self._query(GET_ACCOUNT, {"address": address}, at)
        return answer

    def get_scoped_key(self, address: AddressLike, number: int, *, at: At | None = None) -> ScopedKeyView:
        """A scoped key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            number: what `add_scoped_key` returned.
        """
        answer: ScopedKeyView = self._query(GET_SCOPED_KEY, {"address": address, "number": number}, at)
        return answer

    def get_scoped_keys(self, address: AddressLike, *, at: At | None = None) -> ScopedKeysView:
        """All scoped keys of an account, those that have expired too.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: ScopedKeysView = self._query(GET_SCOPED_KEYS, {"address": address}, at)
        return answer
