# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `accounts`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, BytesLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U8, U16, U32, U64, Amount, Between, Coin, Denom, Length
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


class Waiting(NamedTuple):
    """Under which number it waits; 0: it is done."""

    number: U64

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


class GuardTerms(NamedTuple):
    """What a guard asks: `limits` and `fee_limit` (base units of QXC) may leave at once in `delay_s`
    seconds.
    """

    canceller: Address
    delay_s: Annotated[int, Between(1, 7776000)]
    fee_limit: Amount
    limits: Annotated[tuple[Coin, ...], Length(0, 16)]

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


class QueuedTransfer(NamedTuple):
    """`amount` base units of `denom` that wait for `to`."""

    to: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedScope(NamedTuple):
    """A scoped key that waits, `key` as account records hold it; its `number` is set aside already."""

    number: U16
    key: bytes
    expires: U64
    messages: Annotated[tuple[Annotated[str, Length(3, 64)], ...], Length(1, 32)]
    limits: Annotated[tuple[SpendingLimit, ...], Length(0, 16)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedView(NamedTuple):
    """What waits until `due_s`: a transfer, rotation, guard, removal or scoped key, as `what` says."""

    number: U64
    what: str
    due_s: U64
    transfer: QueuedTransfer | None
    key: bytes | None
    terms: GuardTerms | None
    scope: QueuedScope | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardView(NamedTuple):
    """An account's guard and what waits, in the order of numbers; the coins of transfers lie in `vault`.

    `spent` is what has left at once since `since_s`, beside `terms.limits`, of windows that may have
    ended.
    """

    address: Address
    terms: GuardTerms
    frozen_until_s: U64
    fees: Spent
    spent: tuple[Spent, ...]
    vault: Address
    queued: tuple[QueuedView, ...]

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


class GuardSet(NamedTuple):
    """Large amounts leave an account only after `delay_s` seconds from now on, unless `canceller` cancels."""

    address: Address
    canceller: Address
    delay_s: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardRemoved(NamedTuple):
    """An account has no guard any more."""

    address: Address

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardedTransferQueued(NamedTuple):
    """Coins lie in the vault until `due_s`."""

    address: Address
    number: U64
    to: Address
    denom: Denom
    amount: Amount
    due_s: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class GuardedChangeQueued(NamedTuple):
    """A rotation, another guard, a guard's removal or a scoped key (`what`) waits until `due_s`."""

    address: Address
    number: U64
    what: str
    due_s: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedTransferPaid(NamedTuple):
    """What waited has arrived; `amount` is what it received."""

    address: Address
    number: U64
    to: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedTransferReturned(NamedTuple):
    """What waited could not be paid, because of error `code`, and is back in its account."""

    address: Address
    number: U64
    code: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedCancelled(NamedTuple):
    """What waited will not happen; coins are back in their account."""

    address: Address
    number: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class QueuedApproved(NamedTuple):
    """The canceller agrees: what waits happens at the next block's begin."""

    address: Address
    number: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class AccountFreezeSet(NamedTuple):
    """Nothing leaves an account, and nothing waits, until `until_s`; 0: no longer."""

    address: Address
    until_s: U64

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

APPROVE_QUEUED = MessageFace(
    "accounts.approve_queued",
    (
        ("address", Address),
        ("number", U64),
    ),
    None,
)

CANCEL_QUEUED = MessageFace(
    "accounts.cancel_queued",
    (
        ("address", Address),
        ("number", U64 | None),
    ),
    None,
)

FREEZE = MessageFace(
    "accounts.freeze",
    (
        ("address", Address),
        ("seconds", Annotated[int, Between(0, 31622400)]),
    ),
    None,
)

QUEUE_TRANSFER = MessageFace(
    "accounts.queue_transfer",
    (
        ("to", Address),
        ("amount", Coin),
    ),
    Waiting,
)

REMOVE_GUARD = MessageFace(
    "accounts.remove_guard",
    (),
    Waiting,
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
    Waiting,
)

SET_GUARD = MessageFace(
    "accounts.set_guard",
    (
        ("canceller", Address),
        ("delay_s", Annotated[int, Between(1, 7776000)]),
        ("fee_limit", Amount),
        ("limits", Annotated[tuple[Coin, ...], Length(0, 16)]),
    ),
    Waiting,
)

GET_ACCOUNT = QueryFace(
    "accounts_getAccount",
    (("address", Address),),
    AccountView,
)

GET_GUARD = QueryFace(
    "accounts_getGuard",
    (("address", Address),),
    GuardView,
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
    APPROVE_QUEUED,
    CANCEL_QUEUED,
    FREEZE,
    QUEUE_TRANSFER,
    REMOVE_GUARD,
    REVOKE_SCOPED_KEY,
    ROTATE_KEY,
    SET_GUARD,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_ACCOUNT,
    GET_GUARD,
    GET_SCOPED_KEY,
    GET_SCOPED_KEYS,
)

EVENTS: dict[str, type] = {
    "accounts.key_rotated": KeyRotated,
    "accounts.scoped_key_added": ScopedKeyAdded,
    "accounts.scoped_key_revoked": ScopedKeyRevoked,
    "accounts.guard_set": GuardSet,
    "accounts.guard_removed": GuardRemoved,
    "accounts.guarded_transfer_queued": GuardedTransferQueued,
    "accounts.guarded_change_queued": GuardedChangeQueued,
    "accounts.queued_transfer_paid": QueuedTransferPaid,
    "accounts.queued_transfer_returned": QueuedTransferReturned,
    "accounts.queued_cancelled": QueuedCancelled,
    "accounts.queued_approved": QueuedApproved,
    "accounts.account_freeze_set": AccountFreezeSet,
}


class Accounts(ModuleFace):
    """Who may act: sequences, keys and their rotation, scoped keys, guards."""

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
        """Let a second key act for this account, within a scope: for a bot, or an agent. A guarded
        account's waits.

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

    def approve_queued(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        number: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Let what waits happen at the next block's begin: with both keys nothing has to wait.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            number: which.
        """
        return self._send(wallet, APPROVE_QUEUED, {"address": address, "number": number}, options)

    def cancel_queued(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        number: int | Reference | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Let what waits not happen: coins go back to their account.

        The canceller can cancel everything, the account itself its transfers alone: a thief with its
        key shall not
        undo the rotation that takes the key from him.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            number: which; all that this account can cancel unless given.
        """
        return self._send(wallet, CANCEL_QUEUED, {"address": address, "number": number}, options)

    def freeze(
        self,
        wallet: Wallet,
        *,
        address: AddressLike | Reference,
        seconds: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Cancel all that waits, and let an account sign nothing for a time, unless its canceller signs
        too.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            address: whose.
            seconds: how long, 366 days at most; 0 ends it.
        """
        return self._send(wallet, FREEZE, {"address": address, "seconds": seconds}, options)

    def queue_transfer(
        self,
        wallet: Wallet,
        *,
        to: AddressLike | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Waiting]:
        """Send coins once the guard's delay has passed, unless they are cancelled before; they lie in the
        vault.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        return self._send(wallet, QUEUE_TRANSFER, {"to": to, "amount": amount}, options)

    def remove_guard(self, wallet: Wallet, **options: Unpack[TransactionOptions]) -> Pending[Waiting]:
        """Take this account's guard away once its delay has passed; what waits then goes back.

        Returns once admitted; `wait()` gives the receipt.
        """
        return self._send(wallet, REMOVE_GUARD, {}, options)

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
    ) -> Pending[Waiting]:
        """Sign with another key from now on; the address stays. A guarded account's rotation waits for the
        delay.

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

    def set_guard(
        self,
        wallet: Wallet,
        *,
        canceller: AddressLike | Reference,
        delay_s: int | Reference,
        fee_limit: AmountLike,
        limits: tuple[Coin, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Waiting]:
        """Let large amounts leave this account only after a delay, in which another account can cancel
        them.

        Of each denomination its limit may leave at once in as many seconds as the delay, whatever
        message takes
        it; more, and all of a denomination without a limit, by accounts.queue_transfer alone. Where
        there is a guard
        already, the new one waits for the old one's delay.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            canceller: another account, of any key: it can cancel what waits, and freeze this account.
            delay_s: seconds that queued transfers, rotations and changes of the guard wait.
            fee_limit: base units of QXC that fees may take in as many seconds; at least 1 QXC.
            limits: how much of which denomination may leave at once in as many seconds.
        """
        return self._send(
            wallet,
            SET_GUARD,
            {"canceller": canceller, "delay_s": delay_s, "fee_limit": fee_limit, "limits": limits},
            options,
        )

    def get_account(self, address: AddressLike, *, at: At | None = None) -> AccountView:
        """Sequence, native balance and key of an account.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: AccountView = self._query(GET_ACCOUNT, {"address": address}, at)
        return answer

    def get_guard(self, address: AddressLike, *, at: At | None = None) -> GuardView:
        """An account's guard, and what waits.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: GuardView = self._query(GET_GUARD, {"address": address}, at)
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
