"""Guards: large amounts leave an account only after a delay, in which another account can cancel them.

Pure rules over records; entry, execution and `vm.guards` apply them. Everything that leaves the balances counts, per
denomination, against what may leave at once in a window as long as the delay, whatever comes in beside it: of a net
count nothing would be left when a thief borrows against the account's collateral and sends the loan on. A denomination
without a limit does not leave at once at all. Fees have a limit of their own in the same window. Windows begin with
the first payment after the last one's end, so at most two limits lie within any one window's length. See
docs/decisions/0029.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

from ledger.state import State, Value
from qenex.crypto.address import Address, module_address
from qenex.errors import GuardFeeLimitExceeded, GuardFrozen, GuardLimitExceeded, InvalidGuard
from qenex.state_keys import ModuleId
from qenex.types import QXC_DECIMALS, U16, U64, Amount, Between, Coin, Denom, Length
from vm.scoped import MessageNames, SpendingLimits, Spent

GUARDS: Final = bytes((ModuleId.ACCOUNTS, 5))
"""Guards: address -> Guard."""
QUEUED: Final = bytes((ModuleId.ACCOUNTS, 6))
"""What waits: address + u64 number -> Queued."""
VAULT: Final = module_address("accounts")
"""Where the coins of queued transfers lie. Closed to plain transfers."""
MAX_QUEUED: Final = 16
MAX_GUARD_LIMITS: Final = 16
MAX_DELAY_S: Final = 90 * 86_400
MAX_FREEZE_S: Final = 366 * 86_400
MIN_FEE_LIMIT: Final = 10**QXC_DECIMALS
"""Base units of QXC: below this an account could not afford to undo its guard."""
GUARD_ITEMS: Final = 32
"""Items charged for a guard's lists."""

GuardLimits = Annotated[tuple[Coin, ...], Length(0, MAX_GUARD_LIMITS)]
DelaySeconds = Annotated[int, Between(1, MAX_DELAY_S)]


class GuardTerms(NamedTuple):
    """What a guard asks: `limits` and `fee_limit` (base units of QXC) may leave at once in `delay_s` seconds."""

    canceller: Address
    delay_s: DelaySeconds
    fee_limit: Amount
    limits: GuardLimits


class Guard(NamedTuple):
    """A guard in force. `queued` wait; `spent` stands beside the limits, `fees` beside the fee limit.

    `frozen_until_s` is 0 unless the account is frozen, also when that moment is past: a block's begin ends it.
    """

    terms: GuardTerms
    frozen_until_s: U64
    queued: U16
    fees: Spent
    spent: tuple[Spent, ...]


class QueuedTransfer(NamedTuple):
    """`amount` base units of `denom` that wait for `to`."""

    to: Address
    denom: Denom
    amount: Amount


class QueuedScope(NamedTuple):
    """A scoped key that waits, `key` as account records hold it; its `number` is set aside already."""

    number: U16
    key: bytes
    expires: U64
    messages: MessageNames
    limits: SpendingLimits


class Queued(NamedTuple):
    """What waits until `due_s`: a transfer, a new key (as account records hold it), new terms, a scoped key, or, all
    nil, no guard.
    """

    due_s: U64
    transfer: QueuedTransfer | None = None
    key: bytes | None = None
    terms: GuardTerms | None = None
    scope: QueuedScope | None = None


def guard_state_key(address: bytes) -> bytes:
    """State key of an account's guard."""
    return GUARDS + address


def make_terms(
    address: Address, canceller: Address, delay_s: int, fee_limit: int, limits: Iterable[Coin]
) -> GuardTerms:
    """Terms as they are stored: limits ascending, nothing twice. Raises InvalidGuard."""
    ordered = tuple(sorted(limits))
    if canceller in (address, VAULT):
        raise InvalidGuard("who cancels is another account: whoever has this one's key must not be able to")
    if fee_limit < MIN_FEE_LIMIT:
        raise InvalidGuard(f"a fee limit of {fee_limit} base units, at least {MIN_FEE_LIMIT} are needed")
    if len({limit.denom for limit in ordered}) != len(ordered):
        raise InvalidGuard("a denomination has two limits")
    if any(limit.amount < 1 for limit in ordered):
        raise InvalidGuard("a limit is at least 1 base unit; leave out what may not leave at once")
    return GuardTerms(canceller, delay_s, fee_limit, ordered)


def new_guard(terms: GuardTerms, time_s: int, queued: int = 0) -> Guard:
    """A guard whose windows begin now."""
    nothing = Spent(time_s, 0)
    return Guard(terms, 0, queued, nothing, tuple([nothing for _ in terms.limits]))


def _current(spent: Spent, delay_s: int, time_s: int) -> Spent:
    return Spent(time_s, 0) if time_s >= spent.since_s + delay_s else spent


def count_outflow(guard: Guard, outflow: Mapping[str, int], time_s: int) -> Guard:
    """Count what leaves at once, in base units by denomination; amounts below 1 count nothing.

    Raises GuardLimitExceeded, also for a denomination without a limit, or GuardFrozen.
    """
    left = {denom: amount for denom, amount in outflow.items() if amount > 0}
    if not left:
        return guard
    if guard.frozen_until_s:
        raise GuardFrozen(f"nothing leaves this account before {guard.frozen_until_s} s since 1970")
    delay_s = guard.terms.delay_s
    spent: list[Spent] = []
    for limit, before in zip(guard.terms.limits, guard.spent, strict=True):
        amount = left.pop(limit.denom, 0)
        used = _current(before, delay_s, time_s)
        total = used.amount + amount
        if amount and total > limit.amount:
            raise GuardLimitExceeded(
                f"{total} base units of {limit.denom} in {delay_s} s, at most {limit.amount} may leave at once"
            )
        spent.append(used._replace(amount=total))
    if left:
        raise GuardLimitExceeded(f"the guard has no limit for {min(left)}: nothing of it may leave at once")
    return guard._replace(spent=tuple(spent))


def set_fee_aside(guard: Guard, fee: int, time_s: int | None) -> Guard:
    """Count a fee's maximum before the messages run, so that failing transactions drain nobody.

    `time_s` None: the pool does not know when the next block will be, so only what could never pass is
    refused. Raises GuardFeeLimitExceeded.
    """
    limit, delay_s = guard.terms.fee_limit, guard.terms.delay_s
    used = Spent(0, 0) if time_s is None else _current(guard.fees, delay_s, time_s)
    if used.amount + fee > limit:
        raise GuardFeeLimitExceeded(
            f"fees of {used.amount + fee} base units of QXC in {delay_s} s, at most {limit} leave by fees"
        )
    return guard._replace(fees=used._replace(amount=used.amount + fee))


def give_fee_back(guard: Guard, amount: int) -> Guard:
    """Take what was set aside and not charged out of the count; nothing was, if the guard is new."""
    return guard._replace(fees=guard.fees._replace(amount=max(0, guard.fees.amount - amount)))


def newly_queued(state: State, touched: Mapping[bytes, Value | None], address: Address) -> dict[str, int]:
    """What of an account's coins was laid down in the vault and waits there, in base units by denomination.

    `touched` are old images of entries. What was taken back is not subtracted: it has left nobody.
    """
    found: dict[str, int] = {}
    start = QUEUED + address
    for key, old in touched.items():
        if key[: len(start)] == start and old is None:
            entry: Queued | None = state.get(key)
            if entry is not None and entry.transfer is not None:
                _, denom, amount = entry.transfer
                found[denom] = found.get(denom, 0) + amount
    return found
