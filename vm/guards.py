"""The half of `Accounts` that delays large amounts: guards, what waits, and who can cancel it.

Whoever has a guarded account's key can queue a transfer, a rotation or another guard, but nothing of it happens before
the delay has passed; until then the canceller, another account, can cancel it. The canceller alone moves nothing, and
with both keys everything happens at once (`approve_queued`). What is due is executed by the begin of a block, so the
money of a queued transfer never leaves in a transaction: what leaves there is counted by `vm.guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from ledger.collections import Counter, Map, OrderedMap
from qenex.codec import codec_for
from qenex.crypto.address import Address, encode_address
from qenex.errors import (
    GuardFrozen,
    GuardNotFound,
    InvalidGenesis,
    InvalidGuard,
    InvalidScope,
    InvariantViolated,
    NotCanceller,
    QenexError,
    QueuedNotFound,
    QueueFull,
    RecipientClosed,
)
from qenex.state_keys import FLAG_FROZEN, FLAG_GUARDED, Account
from qenex.types import U8, U64, Amount, Between, Coin, Denom
from vm.context import Context
from vm.guard import (
    MAX_FREEZE_S,
    MAX_QUEUED,
    VAULT,
    DelaySeconds,
    Guard,
    GuardLimits,
    Queued,
    QueuedScope,
    QueuedTransfer,
    make_terms,
    new_guard,
)
from vm.guard_types import (
    AccountFreezeSet,
    GenesisGuard,
    GuardedChangeQueued,
    GuardedTransferQueued,
    GuardRemoved,
    GuardSet,
    GuardView,
    KeyRotated,
    QueuedApproved,
    QueuedCancelled,
    QueuedTransferPaid,
    QueuedTransferReturned,
    QueuedView,
    Waiting,
)
from vm.module import Module, invariant, message, query
from vm.registry import check_record
from vm.scoped import MAX_SCOPED_KEYS, ScopedKey, ScopedKeyAdded, ScopedKeyCount, Spent, make_scope

DUE_ITEMS: Final = 1_000
"""Entries that one block ends of what is due, the rest in the next: more than fit into a block's gas when they are queued."""
CANCEL_GAS: Final = 600
"""Cancelling one entry of the queue, whose coins go back."""
THAW: Final = 0
"""Stands in `due` for the end of a freeze; what waits has numbers from 1."""
ROTATION, TRANSFER, TERMS, REMOVAL, SCOPE = "rotation", "transfer", "guard", "removal", "scoped key"


class Guards(Module):
    """The half of `Accounts` that delays."""

    records: Map[Address, Account]
    scoped_keys: OrderedMap[tuple[Address, int], ScopedKey]
    scoped_counts: Map[Address, ScopedKeyCount]

    guards = Map[Address, Guard](5, key=Address, value=Guard)
    queued = OrderedMap[tuple[Address, int], Queued](6, key=(Address, U64), value=Queued)
    queued_ids = Counter(7)
    due = OrderedMap[tuple[int, Address, int], int](8, key=(U64, Address, U64), value=U8)
    held = Map[str, int](9, key=Denom, value=Amount)
    """Base units that wait in all, by denomination."""

    # -- by the account -------------------------------------------------------------------------

    @message(gas=700)
    def set_guard(
        self,
        ctx: Context,
        canceller: Address,
        delay_s: DelaySeconds,
        fee_limit: Amount,
        limits: GuardLimits,
    ) -> Waiting:
        """Let large amounts leave this account only after a delay, in which another account can cancel them.

        Of each denomination its limit may leave at once in as many seconds as the delay, whatever message takes
        it; more, and all of a denomination without a limit, by accounts.queue_transfer alone. Where there is a guard
        already, the new one waits for the old one's delay.

        Args:
            canceller: another account, of any key: it can cancel what waits, and freeze this account.
            delay_s: seconds that queued transfers, rotations and changes of the guard wait.
            fee_limit: base units of QXC that fees may take in as many seconds; at least 1 QXC.
            limits: how much of which denomination may leave at once in as many seconds.
        """
        terms = make_terms(ctx.actor, canceller, delay_s, fee_limit, limits)
        if ctx.money.owner(canceller):
            raise InvalidGuard("a module's account signs nothing, so it cancels nothing")
        if self.guards.get(ctx.actor) is not None:
            return self._queue_change(ctx, TERMS, Queued(0, terms=terms))
        self._enforce(ctx, ctx.actor, new_guard(terms, ctx.time_s))
        return Waiting(0)

    @message(gas=600)
    def remove_guard(self, ctx: Context) -> Waiting:
        """Take this account's guard away once its delay has passed; what waits then goes back."""
        return self._queue_change(ctx, REMOVAL, Queued(0))

    @message(gas=900)
    def queue_transfer(self, ctx: Context, to: Address, amount: Coin) -> Waiting:
        """Send coins once the guard's delay has passed, unless they are cancelled before; they lie in the vault.

        Args:
            to: who receives.
            amount: how much of which denomination.
        """
        denom, value = amount
        guard = self._usable(ctx)
        if ctx.money.is_closed(to):
            raise RecipientClosed
        ctx.money.lay_down(ctx, denom, value)
        self.held.set(denom, (self.held.get(denom) or 0) + value)
        due_s = ctx.time_s + guard.terms.delay_s
        number = self._queue(ctx, guard, Queued(due_s, QueuedTransfer(to, denom, value)))
        ctx.emit(GuardedTransferQueued(ctx.actor, number, to, denom, value, due_s))
        return Waiting(number)

    # -- by the canceller -----------------------------------------------------------------------

    @message(gas=400, exit=True)
    def cancel_queued(self, ctx: Context, address: Address, number: U64 | None) -> None:
        """Let what waits not happen: coins go back to their account.

        The canceller can cancel everything, the account itself its transfers alone: a thief with its key shall not
        undo the rotation that takes the key from him.

        Args:
            address: whose.
            number: which; all that this account can cancel unless given.
        """
        guard = self._guard_of(address)
        if ctx.actor not in (address, guard.terms.canceller):
            raise NotCanceller(f"{encode_address(ctx.actor)} cancels nothing of {encode_address(address)}")
        everything = ctx.actor == guard.terms.canceller
        if number is None:
            self._cancel_all(ctx, address, transfers_alone=not everything)
            return
        entry = self._entry(address, number)
        if entry.transfer is None and not everything:
            raise NotCanceller("an account cancels its transfers; its changes are its canceller's to cancel")
        self._cancel(ctx, address, number)

    @message(gas=600)
    def approve_queued(self, ctx: Context, address: Address, number: U64) -> None:
        """Let what waits happen at the next block's begin: with both keys nothing has to wait.

        Args:
            address: whose.
            number: which.
        """
        self._as_canceller(ctx, address)
        entry = self._entry(address, number)
        self.due.set((entry.due_s, address, number), None)
        self.due.set((ctx.time_s, address, number), 1)
        self.queued.set((address, number), entry._replace(due_s=ctx.time_s))
        ctx.emit(QueuedApproved(address, number))

    @message(gas=400, exit=True)
    def freeze(
        self, ctx: Context, address: Address, seconds: Annotated[int, Between(0, MAX_FREEZE_S)]
    ) -> None:
        """Cancel all that waits, and let an account sign nothing for a time, unless its canceller signs too.

        Args:
            address: whose.
            seconds: how long, 366 days at most; 0 ends it.
        """
        self._as_canceller(ctx, address)
        if seconds:
            self._cancel_all(ctx, address)
        self._set_freeze(ctx, address, ctx.time_s + seconds if seconds else 0)

    # -- what waits -----------------------------------------------------------------------------

    def _guard_of(self, address: Address) -> Guard:
        guard = self.guards.get(address)
        if guard is None:
            raise GuardNotFound(f"{encode_address(address)} has no guard")
        return guard

    def _usable(self, ctx: Context) -> Guard:
        guard = self._guard_of(ctx.actor)
        if guard.frozen_until_s:
            raise GuardFrozen(f"nothing can be queued before {guard.frozen_until_s} s since 1970")
        if guard.queued >= MAX_QUEUED:
            raise QueueFull(f"{guard.queued} wait already")
        return guard

    def _as_canceller(self, ctx: Context, address: Address) -> Guard:
        guard = self._guard_of(address)
        if ctx.actor != guard.terms.canceller:
            raise NotCanceller(
                f"{encode_address(ctx.actor)} is not the canceller of {encode_address(address)}"
            )
        return guard

    def _entry(self, address: Address, number: int) -> Queued:
        entry = self.queued.get((address, number))
        if entry is None:
            raise QueuedNotFound(f"nothing of {encode_address(address)} waits under number {number}")
        return entry

    def _queue(self, ctx: Context, guard: Guard, entry: Queued) -> int:
        number = self.queued_ids.next()
        self.queued.set((ctx.actor, number), entry)
        self.due.set((entry.due_s, ctx.actor, number), 1)
        self.guards.set(ctx.actor, guard._replace(queued=guard.queued + 1))
        return number

    def _queue_change(self, ctx: Context, what: str, entry: Queued) -> Waiting:
        guard = self._usable(ctx)
        due_s = ctx.time_s + guard.terms.delay_s
        number = self._queue(ctx, guard, entry._replace(due_s=due_s))
        ctx.emit(GuardedChangeQueued(ctx.actor, number, what, due_s))
        return Waiting(number)

    def _add_scope(self, ctx: Context, address: Address, scope: QueuedScope) -> None:
        """Let a scoped key act whose number is set aside."""
        number, key, expires, messages, limits = scope
        spent = tuple([Spent(ctx.time_s, 0) for _ in limits])
        self.scoped_keys.set((address, number), ScopedKey(0, key, expires, messages, limits, spent))
        ctx.emit(ScopedKeyAdded(address, number, key, expires))

    def _forget(self, address: Address, number: int) -> Queued:
        """Take an entry out of the queue; the caller takes care of its coins."""
        entry = self._entry(address, number)
        guard = self._guard_of(address)
        self.queued.set((address, number), None)
        self.due.set((entry.due_s, address, number), None)
        self.guards.set(address, guard._replace(queued=guard.queued - 1))
        return entry

    def _take_back(self, ctx: Context, address: Address, transfer: QueuedTransfer) -> None:
        self.held.set(transfer.denom, (self.held.get(transfer.denom) or 0) - transfer.amount or None)
        ctx.money.take_back(ctx, address, transfer.denom, transfer.amount)

    def _cancel(self, ctx: Context, address: Address, number: int) -> None:
        ctx.gas.use(CANCEL_GAS)
        entry = self._forget(address, number)
        if entry.transfer is not None:
            self._take_back(ctx, address, entry.transfer)
        if entry.scope is not None:  # its number is never used again, its place is free
            count = self.scoped_counts.get(address)
            assert count is not None
            self.scoped_counts.set(address, count._replace(registered=count.registered - 1))
        ctx.emit(QueuedCancelled(address, number))

    def _waiting(self, address: Address) -> list[tuple[tuple[Address, int], Queued]]:
        return self.queued.page(prefix=bytes(address), limit=MAX_QUEUED)

    def _cancel_all(self, ctx: Context, address: Address, *, transfers_alone: bool = False) -> None:
        for (_, number), entry in self._waiting(address):
            if entry.transfer is not None or not transfers_alone:
                self._cancel(ctx, address, number)

    # -- when it is due -------------------------------------------------------------------------

    def begin_block(self, ctx: Context) -> None:
        """Do what is due, about `DUE_ITEMS` entries of it: a removal ends all that waits beside it."""
        first = self.due.page(limit=1)
        if not first or first[0][0][0] > ctx.time_s:
            return
        left = DUE_ITEMS
        for (due_s, address, number), _ in self.due.page(limit=DUE_ITEMS):
            if due_s > ctx.time_s or left <= 0:
                return
            if number == THAW:
                self._set_freeze(ctx, address, 0)
                left -= 1
            elif self.queued.get((address, number)) is not None:  # a guard's removal takes others along
                before = self._guard_of(address).queued
                self._execute(ctx, address, number)
                guard = self.guards.get(address)
                left -= before - (0 if guard is None else guard.queued)

    def _execute(self, ctx: Context, address: Address, number: int) -> None:
        entry = self._forget(address, number)
        if entry.transfer is not None:
            self._take_back(ctx, address, entry.transfer)
            self._pay(ctx, address, number, entry.transfer)
        elif entry.key is not None:
            self._rotate(ctx, address, entry.key)
        elif entry.scope is not None:
            self._add_scope(ctx, address, entry.scope)
        elif entry.terms is not None:
            old = self._guard_of(address)
            self._enforce(ctx, address, new_guard(entry.terms, ctx.time_s, old.queued))
        else:
            self._cancel_all(ctx, address)
            self.guards.set(address, None)
            self._set_flag(address, FLAG_GUARDED, on=False)
            ctx.emit(GuardRemoved(address))

    def _pay(self, ctx: Context, address: Address, number: int, transfer: QueuedTransfer) -> None:
        """Pay as the account would now: a token's rules hold at this moment. What is refused stays where it is."""
        state, actor = self.queued.state, ctx.actor
        mark, events = state.mark(), len(ctx.events)
        ctx.actor = address
        try:
            if ctx.money.is_closed(transfer.to):
                raise RecipientClosed
            received = ctx.money.transfer(ctx, address, *transfer)
        except QenexError as error:
            state.revert(mark)
            del ctx.events[events:]
            ctx.emit(QueuedTransferReturned(address, number, error.code))
        else:
            ctx.emit(QueuedTransferPaid(address, number, transfer.to, transfer.denom, received))
        finally:
            ctx.actor = actor

    def _rotate(self, ctx: Context, address: Address, key: bytes) -> None:
        account = self.records.get(address)
        assert account is not None
        self.records.set(address, account._replace(key=key))
        ctx.emit(KeyRotated(address, key))

    def _enforce(self, ctx: Context, address: Address, guard: Guard) -> None:
        self.guards.set(address, guard)
        self._set_flag(address, FLAG_GUARDED, on=True)
        ctx.emit(GuardSet(address, guard.terms.canceller, guard.terms.delay_s))

    def _set_freeze(self, ctx: Context, address: Address, until_s: int) -> None:
        """Freeze an account, or with 0 end it. Nothing waits while it is frozen, so no other guard comes meanwhile."""
        guard = self._guard_of(address)
        if guard.frozen_until_s:
            self.due.set((guard.frozen_until_s, address, THAW), None)
        if until_s:
            self.due.set((until_s, address, THAW), 1)
        self.guards.set(address, guard._replace(frozen_until_s=until_s))
        self._set_flag(address, FLAG_FROZEN, on=bool(until_s))
        ctx.emit(AccountFreezeSet(address, until_s))

    def _set_flag(self, address: Address, flag: int, *, on: bool) -> None:
        account = self.records.get(address)
        assert account is not None
        flags = account.flags & ~flag | (flag if on else 0)
        self.records.set(address, account._replace(flags=flags))

    # -- reading --------------------------------------------------------------------------------

    @query
    def get_guard(self, ctx: Context, address: Address) -> GuardView:
        """An account's guard, and what waits.

        Args:
            address: the account.
        """
        guard = self._guard_of(address)
        waiting = [QueuedView(number, _kind(q), *q) for (_, number), q in self._waiting(address)]
        return GuardView(
            address, guard.terms, guard.frozen_until_s, guard.fees, guard.spent, VAULT, tuple(waiting)
        )

    @invariant(each="held")
    def vault_holds_what_waits(self, ctx: Context, denom: str, old: int | None, new: int | None) -> None:
        """The coins of queued transfers are there."""
        if not 0 <= (new or 0) <= ctx.money.balance(VAULT, denom):
            raise InvariantViolated(f"{new} {denom} wait, the vault holds {ctx.money.balance(VAULT, denom)}")

    @invariant()
    def everything_that_waits_is_counted(self, ctx: Context) -> None:
        """Sums of what waits, per denomination and account; each entry is due once; flags tell who has a guard."""
        sums: dict[str, int] = {}
        counts: dict[Address, int] = {}
        due: list[tuple[int, Address, int]] = []
        for (address, number), entry in self.queued.scan():
            counts[address] = counts.get(address, 0) + 1
            due.append((entry.due_s, address, number))
            if entry.transfer is not None:
                _, denom, amount = entry.transfer
                sums[denom] = sums.get(denom, 0) + amount
        guards = dict(self.guards.scan())
        due += [(guard.frozen_until_s, at, THAW) for at, guard in guards.items() if guard.frozen_until_s]
        if sorted(due) != [key for key, _ in self.due.scan()]:
            raise InvariantViolated("what waits is not what is due some day")
        held = dict(self.held.scan())
        for denom in sorted({*sums, *held}):
            there = ctx.money.balance(VAULT, denom)
            if not sums.get(denom, 0) == held.get(denom, 0) <= there:
                raise InvariantViolated(
                    f"{sums.get(denom, 0)} {denom} are queued, {held.get(denom, 0)} counted, {there} there"
                )
        for address in sorted({*counts, *guards}):
            guard = guards.get(address)
            if guard is None or not counts.get(address, 0) == guard.queued <= MAX_QUEUED:
                raise InvariantViolated(f"{encode_address(address)}: what waits is not what its guard counts")
        for address, account in self.records.scan():
            guard = guards.pop(address, None)
            frozen = FLAG_FROZEN if guard is not None and guard.frozen_until_s else 0
            marks = 0 if guard is None else FLAG_GUARDED | frozen
            if account.flags & (FLAG_GUARDED | FLAG_FROZEN) != marks:
                raise InvariantViolated(
                    f"{encode_address(address)} is not marked as guarded and frozen as it is"
                )
        if guards:
            raise InvariantViolated("a guard without an account")

    # -- genesis --------------------------------------------------------------------------------

    def import_guards(self, data: Any, import_key: Callable[[bytes, str], bytes]) -> None:
        """`{"guards": [...], "last_number": n}`; the coins in the vault are bank's to tell. Raises InvalidGenesis.

        `import_key` stores a key (tag + public key) and returns it as account records hold it.
        """
        where = "modules.accounts.guards"
        if not isinstance(data, dict) or set(data) != {"guards", "last_number"}:
            raise InvalidGenesis(f"{where} holds guards and last_number")
        items, last = data["guards"], data["last_number"]
        if not isinstance(items, list) or type(last) is not int or not 0 <= last < 1 << 64:
            raise InvalidGenesis(f"{where}.guards is a list, {where}.last_number a number")
        codec = codec_for(GenesisGuard)
        for index, item in enumerate(items):
            told: GenesisGuard = check_record(codec, item, InvalidGenesis, f"{where}.guards[{index}]")
            self._import_guard(told, last, import_key, f"{where}.guards[{index}]")
        self.queued_ids.resume(last)

    def _import_guard(
        self, told: GenesisGuard, last: int, import_key: Callable[[bytes, str], bytes], where: str
    ) -> None:
        address, guard, queued = told
        if self.records.get(address) is None or self.guards.get(address) is not None:
            raise InvalidGenesis(f"{where}: an account that has no key, or a second guard")
        try:
            terms = make_terms(address, *guard.terms)
        except InvalidGuard as error:
            raise InvalidGenesis(f"{where}: {error.message}") from None
        if guard.frozen_until_s and queued:
            raise InvalidGenesis(f"{where}: nothing waits while the account is frozen")
        if terms != guard.terms or len(guard.spent) != len(terms.limits) or guard.queued != len(queued):
            raise InvalidGenesis(
                f"{where}: limits ascend, with what was spent beside each; queued is counted"
            )
        for number, entry in queued:
            kinds = [part for part in entry[1:] if part is not None]
            if not 1 <= number <= last or len(kinds) > 1 or self.queued.get((address, number)) is not None:
                raise InvalidGenesis(f"{where}: number {number} is wrong, or waits for two things")
            key = None if entry.key is None else import_key(entry.key, where)
            scope = entry.scope and self._import_scope(address, entry.scope, import_key, where)
            self.queued.set((address, number), entry._replace(key=key, scope=scope))
            self.due.set((entry.due_s, address, number), 1)
            if entry.transfer is not None:
                _, denom, amount = entry.transfer
                self.held.set(denom, (self.held.get(denom) or 0) + amount)
        self.guards.set(address, guard)
        self._set_flag(address, FLAG_GUARDED, on=True)
        if guard.frozen_until_s:
            self.due.set((guard.frozen_until_s, address, THAW), 1)
            self._set_flag(address, FLAG_FROZEN, on=True)

    def _import_scope(
        self, address: Address, scope: QueuedScope, import_key: Callable[[bytes, str], bytes], where: str
    ) -> QueuedScope:
        count = self.scoped_counts.get(address)
        taken = self.scoped_keys.get((address, scope.number)) is not None
        if count is None or taken or scope.number >= count.next or count.registered >= MAX_SCOPED_KEYS:
            raise InvalidGenesis(
                f"{where}: its account's scoped_counts leaves no place for scoped key {scope.number}"
            )
        try:
            made = make_scope(scope.messages, scope.limits)
        except InvalidScope as error:
            raise InvalidGenesis(f"{where}: {error.message}") from None
        self.scoped_counts.set(address, count._replace(registered=count.registered + 1))
        return QueuedScope(scope.number, import_key(scope.key, where), scope.expires, *made)

    def export_guards(self, whole: Callable[[bytes], bytes]) -> dict[str, Any]:
        """Inverse of `import_guards`; empty where there never was a guard. `whole` undoes `import_key`."""
        codec = codec_for(GenesisGuard)
        listed = []
        for address, guard in self.guards.scan():
            waiting = tuple([(n, _with_whole_keys(entry, whole)) for (_, n), entry in self._waiting(address)])
            listed.append(codec.to_json(GenesisGuard(address, guard, waiting), "qx"))
        last = self.queued_ids.last()
        return {"guards": listed, "last_number": last} if listed or last else {}


def _kind(entry: Queued) -> str:
    if entry.transfer is not None:
        return TRANSFER
    if entry.key is not None:
        return ROTATION
    if entry.scope is not None:
        return SCOPE
    return REMOVAL if entry.terms is None else TERMS


def _with_whole_keys(entry: Queued, whole: Callable[[bytes], bytes]) -> Queued:
    scope = entry.scope
    return entry._replace(
        key=None if entry.key is None else whole(entry.key),
        scope=None if scope is None else scope._replace(key=whole(scope.key)),
    )
