"""What guards tell: events, results, views, and their form at genesis."""

from __future__ import annotations

from typing import Final, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U32, U64, Amount, Denom
from vm.guard import Guard, GuardTerms, Queued, QueuedScope, QueuedTransfer
from vm.scoped import Spent


class KeyRotated(NamedTuple):
    """An account signs with another key from now on; `key` is tag + key, or tag + hash."""

    address: Address
    key: bytes


class GuardSet(NamedTuple):
    """Large amounts leave an account only after `delay_s` seconds from now on, unless `canceller` cancels."""

    address: Address
    canceller: Address
    delay_s: U32


class GuardRemoved(NamedTuple):
    """An account has no guard any more."""

    address: Address


class GuardedTransferQueued(NamedTuple):
    """Coins lie in the vault until `due_s`."""

    address: Address
    number: U64
    to: Address
    denom: Denom
    amount: Amount
    due_s: U64


class GuardedChangeQueued(NamedTuple):
    """A rotation, another guard, a guard's removal or a scoped key (`what`) waits until `due_s`."""

    address: Address
    number: U64
    what: str
    due_s: U64


class QueuedTransferPaid(NamedTuple):
    """What waited has arrived; `amount` is what it received."""

    address: Address
    number: U64
    to: Address
    denom: Denom
    amount: Amount


class QueuedTransferReturned(NamedTuple):
    """What waited could not be paid, because of error `code`, and is back in its account."""

    address: Address
    number: U64
    code: U32


class QueuedCancelled(NamedTuple):
    """What waited will not happen; coins are back in their account."""

    address: Address
    number: U64


class QueuedApproved(NamedTuple):
    """The canceller agrees: what waits happens at the next block's begin."""

    address: Address
    number: U64


class AccountFreezeSet(NamedTuple):
    """Nothing leaves an account, and nothing waits, until `until_s`; 0: no longer."""

    address: Address
    until_s: U64


GUARD_EVENTS: Final = (
    GuardSet,
    GuardRemoved,
    GuardedTransferQueued,
    GuardedChangeQueued,
    QueuedTransferPaid,
    QueuedTransferReturned,
    QueuedCancelled,
    QueuedApproved,
    AccountFreezeSet,
)


class Waiting(NamedTuple):
    """Under which number it waits; 0: it is done."""

    number: U64


class QueuedView(NamedTuple):
    """What waits until `due_s`: a transfer, rotation, guard, removal or scoped key, as `what` says."""

    number: U64
    what: str
    due_s: U64
    transfer: QueuedTransfer | None
    key: bytes | None
    terms: GuardTerms | None
    scope: QueuedScope | None


class GuardView(NamedTuple):
    """An account's guard and what waits, in the order of numbers; the coins of transfers lie in `vault`.

    `spent` is what has left at once since `since_s`, beside `terms.limits`, of windows that may have ended.
    """

    address: Address
    terms: GuardTerms
    frozen_until_s: U64
    fees: Spent
    spent: tuple[Spent, ...]
    vault: Address
    queued: tuple[QueuedView, ...]


class GenesisGuard(NamedTuple):
    """A guard at genesis, with what waits."""

    address: Address
    guard: Guard
    queued: tuple[tuple[U64, Queued], ...]
