"""Coins that wait: vesting schedules and escrows. They lie in the module's own account until they go to somebody."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from defi_modules.bank.math import MAX_SECONDS, vested
from defi_modules.tokens.types import (
    Escrow,
    EscrowClosed,
    EscrowInfo,
    EscrowOpened,
    Moved,
    Opened,
    PageLimit,
    Schedule,
    Seconds,
    VestingClaimed,
    VestingCreated,
    VestingInfo,
    VestingPage,
    VestingRevoked,
)
from ledger.collections import Counter, Map, OrderedMap
from qenex.codec import Codec, codec_for
from qenex.crypto.address import Address, module_address
from qenex.errors import (
    AmountNotPositive,
    EscrowNotExpired,
    InvalidGenesis,
    InvalidSchedule,
    InvariantViolated,
    NotAuthorisedHere,
    NothingToClaim,
    NotRevocable,
    RecipientClosed,
    UnknownSchedule,
)
from qenex.types import U8, U64, Amount, Coin, Denom
from vm.context import Context
from vm.module import Module, invariant, message, query
from vm.registry import check_record

VAULT: Final = module_address("tokens")
"""Where coins wait. Closed to plain transfers."""


class GenesisSchedule(NamedTuple):
    """A vesting schedule at genesis."""

    id: U64
    schedule: Schedule


class GenesisEscrow(NamedTuple):
    """An escrow at genesis."""

    id: U64
    escrow: Escrow


class Locks(Module):
    """The half of `Tokens` that keeps coins for others."""

    schedules = OrderedMap[int, Schedule](4, key=U64, value=Schedule)
    schedule_ids = Counter(5)
    schedules_of = OrderedMap[tuple[Address, int], int](6, key=(Address, U64), value=U8)
    escrows = OrderedMap[int, Escrow](7, key=U64, value=Escrow)
    escrow_ids = Counter(8)
    locked = Map[str, int](9, key=Denom, value=Amount)
    """Base units that wait in all, by denomination."""

    # -- vesting -------------------------------------------------------------------------------

    @message(gas=700)
    def create_vesting(
        self,
        ctx: Context,
        to: Address,
        amount: Coin,
        start_s: Seconds,
        duration_s: Seconds,
        cliff_s: Seconds,
        revocable: bool,
    ) -> Opened:
        """Lock coins that become free for somebody linearly.

        Args:
            to: who receives.
            amount: how much of which denomination.
            start_s: when it begins, in seconds since 1970.
            duration_s: seconds until all is free.
            cliff_s: seconds before which nothing is free; what became free until then comes at once.
            revocable: whether who locks it may take back what is not free yet.
        """
        denom, total = amount
        if total <= 0:
            raise AmountNotPositive(f"a schedule over {total} {denom}")
        if cliff_s > duration_s or start_s + duration_s <= ctx.time_s or start_s + duration_s >= MAX_SECONDS:
            raise InvalidSchedule(
                f"start {start_s}, duration {duration_s}, cliff {cliff_s}, the block's time is {ctx.time_s}"
            )
        if ctx.money.is_closed(to):
            raise RecipientClosed
        self._lock(ctx, denom, total)
        number = self.schedule_ids.next()
        schedule = Schedule(ctx.actor, to, denom, total, 0, start_s, duration_s, cliff_s, revocable)
        self.schedules.set(number, schedule)
        self.schedules_of.set((to, number), 1)
        ctx.emit(VestingCreated(number, ctx.actor, to, denom, total))
        return Opened(number)

    @message(gas=850, exit=True)
    def claim_vesting(self, ctx: Context, id: U64) -> Moved:
        """Take what has become free of a schedule; only its recipient can.

        Args:
            id: the schedule's number.
        """
        schedule = self._schedule(id)
        if ctx.actor != schedule.recipient:
            raise NotAuthorisedHere(f"schedule {id} is not for this account")
        amount = _vested(schedule, ctx.time_s) - schedule.claimed
        if amount <= 0:
            raise NothingToClaim(f"{schedule.claimed} of {schedule.total} {schedule.denom} were claimed")
        self._keep(id, schedule._replace(claimed=schedule.claimed + amount))
        received = self._release(ctx, schedule.recipient, schedule.denom, amount)
        ctx.emit(VestingClaimed(id, schedule.recipient, schedule.denom, amount))
        return Moved(schedule.denom, received)

    @message(gas=1_000, exit=True)
    def revoke_vesting(self, ctx: Context, id: U64) -> Moved:
        """End a revocable schedule: what is free goes to its recipient, the rest back to who made it, who alone can do this.

        Args:
            id: the schedule's number.
        """
        schedule = self._schedule(id)
        if ctx.actor != schedule.creator:
            raise NotAuthorisedHere(f"schedule {id} was made by another account")
        if not schedule.revocable:
            raise NotRevocable(f"schedule {id} cannot be revoked")
        free = _vested(schedule, ctx.time_s)
        paid, returned = free - schedule.claimed, schedule.total - free
        self._keep(id, schedule._replace(claimed=schedule.total))
        if paid:
            self._release(ctx, schedule.recipient, schedule.denom, paid)
        received = self._release(ctx, schedule.creator, schedule.denom, returned) if returned else 0
        ctx.emit(VestingRevoked(id, schedule.denom, paid, returned))
        return Moved(schedule.denom, received)

    def _schedule(self, id: int) -> Schedule:
        schedule = self.schedules.get(id)
        if schedule is None:
            raise UnknownSchedule(f"no vesting schedule {id}")
        return schedule

    def _keep(self, id: int, schedule: Schedule) -> None:
        """Write a schedule, or forget one that has nothing left."""
        done = schedule.claimed == schedule.total
        self.schedules.set(id, None if done else schedule)
        if done:
            self.schedules_of.set((schedule.recipient, id), None)

    @query
    def get_vesting(self, ctx: Context, id: U64) -> VestingInfo:
        """A schedule with what is free of it now.

        Args:
            id: the schedule's number.
        """
        return _info(id, self._schedule(id), ctx.time_s)

    @query
    def list_vestings(
        self, ctx: Context, address: Address, limit: PageLimit | None, cursor: U64 | None
    ) -> VestingPage:
        """Schedules whose recipient an account is, oldest first; those that are paid out are not among them.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        after = None if cursor is None else (address, cursor)
        found, more = self.schedules_of.page_and_more(prefix=bytes(address), after=after, limit=limit or 100)
        items = tuple([_info(key[1], self._schedule(key[1]), ctx.time_s) for key, _ in found])
        return VestingPage(items, items[-1].id if more else None)

    # -- escrow --------------------------------------------------------------------------------

    @message(gas=500)
    def open_escrow(
        self, ctx: Context, to: Address, amount: Coin, arbiter: Address | None, expires_s: Seconds
    ) -> Opened:
        """Lay coins down for somebody until a word is given.

        Args:
            to: who receives on release.
            amount: how much of which denomination.
            arbiter: who besides the two can decide; nobody unless given.
            expires_s: from when on this account can take them back, in seconds since 1970.
        """
        denom, value = amount
        if value <= 0:
            raise AmountNotPositive(f"an escrow over {value} {denom}")
        if expires_s <= ctx.time_s:
            raise InvalidSchedule(f"an expiry of {expires_s}, the block's time is {ctx.time_s}")
        if ctx.money.is_closed(to):
            raise RecipientClosed
        self._lock(ctx, denom, value)
        number = self.escrow_ids.next()
        self.escrows.set(number, Escrow(ctx.actor, to, arbiter, denom, value, expires_s))
        ctx.emit(EscrowOpened(number, ctx.actor, to, denom, value))
        return Opened(number)

    @message(gas=700, exit=True, hands_over=True)
    def release_escrow(self, ctx: Context, id: U64) -> Moved:
        """Give an escrow's coins to its recipient; who paid, or the arbiter, can.

        Args:
            id: the escrow's number.
        """
        escrow = self._escrow(id)
        if ctx.actor not in (escrow.payer, escrow.arbiter):
            raise NotAuthorisedHere(f"escrow {id} is released by who paid, or by its arbiter")
        return self._end(ctx, id, escrow, escrow.recipient)

    @message(gas=700, exit=True)
    def return_escrow(self, ctx: Context, id: U64) -> Moved:
        """Give an escrow's coins back: its recipient or the arbiter at any time, who paid after the expiry.

        Args:
            id: the escrow's number.
        """
        escrow = self._escrow(id)
        if ctx.actor == escrow.payer and ctx.actor not in (escrow.recipient, escrow.arbiter):
            if ctx.time_s < escrow.expires_s:
                raise EscrowNotExpired(f"escrow {id} expires at {escrow.expires_s}, it is {ctx.time_s}")
        elif ctx.actor not in (escrow.recipient, escrow.arbiter):
            raise NotAuthorisedHere(f"escrow {id} does not name this account")
        return self._end(ctx, id, escrow, escrow.payer)

    def _escrow(self, id: int) -> Escrow:
        escrow = self.escrows.get(id)
        if escrow is None:
            raise UnknownSchedule(f"no escrow {id}")
        return escrow

    def _end(self, ctx: Context, id: int, escrow: Escrow, to: Address) -> Moved:
        self.escrows.set(id, None)
        received = self._release(ctx, to, escrow.denom, escrow.amount)
        ctx.emit(EscrowClosed(id, to, escrow.denom, escrow.amount))
        return Moved(escrow.denom, received)

    @query
    def get_escrow(self, ctx: Context, id: U64) -> EscrowInfo:
        """An escrow that waits.

        Args:
            id: the escrow's number.
        """
        return EscrowInfo(id, self._escrow(id))

    # -- genesis -------------------------------------------------------------------------------

    def import_locks(self, data: Any) -> None:
        """`{"schedules": [...], "escrows": [...], "last_schedule": n, "last_escrow": n}`. Raises InvalidGenesis."""
        where = "modules.tokens.locks"
        if not isinstance(data, dict) or set(data) - {"schedules", "escrows", "last_schedule", "last_escrow"}:
            raise InvalidGenesis(f"{where} holds schedules, escrows, last_schedule and last_escrow")
        known: list[tuple[str, str, Counter, Codec[Any]]] = [
            ("schedules", "last_schedule", self.schedule_ids, codec_for(GenesisSchedule)),
            ("escrows", "last_escrow", self.escrow_ids, codec_for(GenesisEscrow)),
        ]
        for name, last_name, counter, codec in known:
            items, last = data.get(name, []), data.get(last_name, 0)
            if not isinstance(items, list) or type(last) is not int or not 0 <= last < 1 << 64:
                raise InvalidGenesis(f"{where}.{name} is a list, {where}.{last_name} a number")
            before = 0
            for index, item in enumerate(items):
                number, record = check_record(codec, item, InvalidGenesis, f"{where}.{name}[{index}]")
                if not before < number <= last:
                    raise InvalidGenesis(f"{where}.{name}[{index}]: ids ascend from 1 to {last_name}")
                before = number
                self._import(number, record, f"{where}.{name}[{index}]")
            counter.resume(last)

    def _import(self, number: int, record: Schedule | Escrow, where: str) -> None:
        if isinstance(record, Escrow):
            waiting = record.amount
            self.escrows.set(number, record)
        else:
            waiting = record.total - record.claimed
            if record.cliff_s > record.duration_s or record.start_s + record.duration_s >= MAX_SECONDS:
                raise InvalidGenesis(f"{where}: the cliff lies within the duration, the end below 2^40 s")
            self.schedules.set(number, record)
            self.schedules_of.set((record.recipient, number), 1)
        if waiting <= 0:
            raise InvalidGenesis(f"{where}: nothing waits here")
        self.locked.set(record.denom, (self.locked.get(record.denom) or 0) + waiting)

    def export_locks(self) -> dict[str, Any]:
        """Inverse of `import_locks`."""
        schedules = [
            codec_for(GenesisSchedule).to_json(GenesisSchedule(*i), "qx") for i in self.schedules.scan()
        ]
        escrows = [codec_for(GenesisEscrow).to_json(GenesisEscrow(*i), "qx") for i in self.escrows.scan()]
        found = {
            "schedules": schedules,
            "escrows": escrows,
            "last_schedule": self.schedule_ids.last(),
            "last_escrow": self.escrow_ids.last(),
        }
        return {name: value for name, value in found.items() if value}

    # -- the vault -------------------------------------------------------------------------------

    def _lock(self, ctx: Context, denom: str, amount: int) -> None:
        ctx.money.transfer(ctx, ctx.actor, VAULT, denom, amount)
        self.locked.set(denom, (self.locked.get(denom) or 0) + amount)

    def _release(self, ctx: Context, to: Address, denom: str, amount: int) -> int:
        self.locked.set(denom, (self.locked.get(denom) or 0) - amount or None)
        return ctx.money.transfer(ctx, VAULT, to, denom, amount)

    @invariant(each="locked")
    def vault_covers_a_touched_denomination(
        self, ctx: Context, denom: str, old: int | None, new: int | None
    ) -> None:
        """What waits is there."""
        if not 0 <= (new or 0) <= ctx.money.balance(VAULT, denom):
            raise InvariantViolated(f"{new} {denom} wait, the vault holds {ctx.money.balance(VAULT, denom)}")

    @invariant()
    def vault_covers_every_schedule_and_escrow(self, ctx: Context) -> None:
        """What schedules and escrows promise adds up to what is locked, and the vault holds it."""
        sums: dict[str, int] = {}
        for _, schedule in self.schedules.scan():
            sums[schedule.denom] = sums.get(schedule.denom, 0) + schedule.total - schedule.claimed
        for _, escrow in self.escrows.scan():
            sums[escrow.denom] = sums.get(escrow.denom, 0) + escrow.amount
        locked = dict(self.locked.scan())
        for denom in sorted({*sums, *locked}):
            held = ctx.money.balance(VAULT, denom)
            if sums.get(denom, 0) != locked.get(denom, 0) or held < locked.get(denom, 0):
                raise InvariantViolated(
                    f"{sums.get(denom, 0)} {denom} are promised, {locked.get(denom, 0)} locked, {held} held"
                )


def _vested(schedule: Schedule, now_s: int) -> int:
    return vested(schedule.total, schedule.start_s, schedule.duration_s, schedule.cliff_s, now_s)


def _info(id: int, schedule: Schedule, now_s: int) -> VestingInfo:
    free = _vested(schedule, now_s)
    return VestingInfo(id, schedule, free, free - schedule.claimed)
