"""Farming, module 9: reward programmes.

Whoever makes a programme pays all its rewards in at once; they flow evenly over its time to the stakes there are, by
weight. What a stake has earned is a difference of running sums, so no block ever walks over stakes; only locks that end
are worked off one by one, a bounded number a block, the rest in the next.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from defi_modules.bank.math import MAX_SECONDS, vested
from defi_modules.farming.math import NEUTRAL_BPS, accrue, boosted, earned
from defi_modules.farming.types import (
    Boost,
    BoostEnded,
    Boosts,
    Claimed,
    Coins,
    Opened,
    PageLimit,
    Position,
    PositionInfo,
    PositionPage,
    Program,
    ProgramCreated,
    ProgramFunded,
    ProgramInfo,
    ProgramPage,
    Reclaimed,
    Returned,
    Rewards,
    Seconds,
    Staked,
    Stream,
    Unstaked,
)
from ledger.collections import Counter, OrderedMap
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import (
    AmountNotPositive,
    BoostNotOffered,
    InvalidGenesis,
    InvalidProgram,
    InvariantViolated,
    NothingEarned,
    NotStakeOwner,
    ProgramEnded,
    ProgramNotOver,
    StillLocked,
    UnknownProgram,
    UnknownStake,
)
from qenex.state_keys import ModuleId
from qenex.types import MAX_AMOUNT, U8, U64, Amount, Between, Coin, Denom
from vm.context import Context
from vm.module import Module, invariant, message, query
from vm.registry import check_record

MIN_DURATION_S: Final = 60


class FarmingParams(NamedTuple):
    """`hook_items` locks that end are worked off in a block; `max_duration_s` seconds is the longest programme."""

    hook_items: Annotated[int, Between(1, 1_000)] = 500
    max_duration_s: Annotated[int, Between(MIN_DURATION_S, 10 * 366 * 86_400)] = 4 * 366 * 86_400


class GenesisProgram(NamedTuple):
    """A programme at genesis."""

    id: U64
    program: Program


class GenesisPosition(NamedTuple):
    """A stake at genesis."""

    id: U64
    position: Position


class Farming(Module):
    """Rewards for stakes: programmes funded in advance, several rewards, boosts for locks."""

    id = ModuleId.FARMING
    name = "farming"
    events = (ProgramCreated, ProgramFunded, Staked, Unstaked, Claimed, BoostEnded, Reclaimed)
    Params = FarmingParams

    programs = OrderedMap[int, Program](1, key=U64, value=Program)
    program_ids = Counter(2)
    positions = OrderedMap[int, Position](3, key=U64, value=Position)
    position_ids = Counter(4)
    positions_of = OrderedMap[tuple[Address, int], int](5, key=(Address, U64), value=U8)
    unlocks = OrderedMap[tuple[int, int], int](6, key=(U64, U64), value=U8)
    """Ends of boosted locks: (seconds since 1970, position)."""

    # -- programmes ------------------------------------------------------------------------------

    @message(gas=700)
    def create_program(
        self,
        ctx: Context,
        stake_denom: Denom,
        rewards: Coins,
        start_s: Seconds,
        end_s: Seconds,
        boosts: Boosts,
    ) -> Opened:
        """Make a programme and pay all its rewards in.

        Args:
            stake_denom: what is staked.
            rewards: 1 to 4 coins, each of another denomination, that flow evenly from start to end.
            start_s: when it begins, in seconds since 1970; not before the block's time.
            end_s: when it ends, at least 60 seconds later.
            boosts: what a lock is worth; both numbers ascend from one to the next.
        """
        longest = self.params.max_duration_s
        if start_s < ctx.time_s or not MIN_DURATION_S <= end_s - start_s <= longest:
            raise InvalidProgram(
                f"it begins at {start_s} and ends at {end_s}; the block's time is {ctx.time_s}, and it lasts "
                f"{MIN_DURATION_S} to {longest} seconds"
            )
        _check_boosts(boosts, longest)
        if len({coin.denom for coin in rewards}) != len(rewards):
            raise InvalidProgram("each reward has another denomination")
        number = self.program_ids.next()
        account = ctx.money.open_account(ctx, b"program/" + number.to_bytes(8, "big"))
        streams = []
        for denom, amount in rewards:
            if amount <= 0:
                raise AmountNotPositive(f"a reward of {amount} {denom}")
            ctx.gas.use(300)
            ctx.money.transfer(ctx, ctx.actor, account, denom, amount)
            streams.append(Stream(denom, amount, 0, start_s, amount, 0, 0, 0, 0, 0))
        program = Program(
            ctx.actor, account, stake_denom, start_s, end_s, boosts, 0, 0, tuple(streams), False
        )
        self.programs.set(number, program)
        ctx.emit(ProgramCreated(number, ctx.actor, stake_denom, start_s, end_s, rewards))
        return Opened(number)

    @message(gas=750)
    def fund_program(self, ctx: Context, program_id: U64, amount: Coin) -> None:
        """Add to one reward of a programme that has not ended; it flows evenly until the end. Anybody can.

        Args:
            program_id: the programme's number.
            amount: how much of which of its rewards.
        """
        denom, added = amount
        program = self._settled(ctx, program_id)
        if ctx.time_s >= program.end_s:
            raise ProgramEnded(f"programme {program_id} ended at {program.end_s}")
        if added <= 0:
            raise AmountNotPositive(f"{added} {denom} more")
        index = _stream_of(program, denom)
        stream = program.streams[index]
        if stream.funded + added >= MAX_AMOUNT:
            raise InvalidProgram(
                f"all funding of a reward together stays below 2^128, it was {stream.funded}"
            )
        ctx.money.transfer(ctx, ctx.actor, program.account, denom, added)
        changed = stream._replace(
            funded=stream.funded + added,
            released=stream.flowed,
            from_s=max(ctx.time_s, program.start_s),
            amount=stream.funded - stream.flowed + added,
        )
        self.programs.set(program_id, _with_stream(program, index, changed))
        ctx.emit(ProgramFunded(program_id, denom, added))

    @message(gas=500, exit=True)
    def reclaim(self, ctx: Context, program_id: U64) -> Rewards:
        """Take back what flowed while nobody had a stake; its creator can, once, after the end.

        Args:
            program_id: the programme's number.
        """
        program = self._settled(ctx, program_id)
        if ctx.actor != program.creator:
            raise NotStakeOwner(f"programme {program_id} was made by another account")
        if ctx.time_s < program.end_s:
            raise ProgramNotOver(f"programme {program_id} ends at {program.end_s}, it is {ctx.time_s}")
        left = [stream.flowed - stream.shared for stream in program.streams]
        if program.reclaimed or not any(left):
            raise NothingEarned(
                f"all that flowed from programme {program_id} went to stakes, or was taken back"
            )
        self.programs.set(program_id, program._replace(reclaimed=True))
        coins = self._pay(ctx, program, ctx.actor, left)
        ctx.emit(Reclaimed(program_id, coins))
        return Rewards(coins)

    # -- stakes ----------------------------------------------------------------------------------

    @message(gas=1_050)
    def stake(self, ctx: Context, program_id: U64, amount: Amount, lock_s: Seconds) -> Opened:
        """Stake coins in a programme. A lock that the programme boosts weighs more until it ends.

        Args:
            program_id: the programme's number.
            amount: base units of what it takes.
            lock_s: seconds for which the stake cannot be taken back; 0 for none.
        """
        program = self._settled(ctx, program_id)
        if ctx.time_s >= program.end_s:
            raise ProgramEnded(f"programme {program_id} ended at {program.end_s}")
        if amount <= 0:
            raise AmountNotPositive(f"a stake of {amount}")
        boost = _boost_for(program.boosts, lock_s)
        ctx.money.transfer(ctx, ctx.actor, program.account, program.stake_denom, amount)
        number, unlock_s = self.position_ids.next(), ctx.time_s + lock_s
        seen = tuple([stream.running for stream in program.streams])
        position = Position(
            ctx.actor, program_id, amount, boost, unlock_s, seen, tuple([0 for _ in program.streams])
        )
        self.positions.set(number, position)
        self.positions_of.set((ctx.actor, number), 1)
        if boost > NEUTRAL_BPS:
            self.unlocks.set((unlock_s, number), 1)
        self.programs.set(
            program_id,
            program._replace(staked=program.staked + amount, weight=program.weight + boosted(amount, boost)),
        )
        ctx.emit(Staked(number, program_id, ctx.actor, amount, boost, unlock_s))
        return Opened(number)

    @message(gas=900, exit=True)
    def claim(self, ctx: Context, position_id: U64) -> Rewards:
        """Take what a stake has earned; only its owner can.

        Args:
            position_id: the stake's number.
        """
        position, program = self._own(ctx, position_id)
        if not any(position.owed):
            raise NothingEarned(f"stake {position_id} has earned nothing since the last time")
        position, coins = self._pay_owed(ctx, position_id, position, program)
        self.positions.set(position_id, position)
        return Rewards(coins)

    @message(gas=1_100, exit=True)
    def unstake(self, ctx: Context, position_id: U64, amount: Amount) -> Returned:
        """Take a stake back, or a part of it, with all it has earned; only its owner can, when it is not locked.

        Args:
            position_id: the stake's number.
            amount: base units.
        """
        position, program = self._own(ctx, position_id)
        if ctx.time_s < position.unlock_s:
            raise StillLocked(f"stake {position_id} is locked until {position.unlock_s}, it is {ctx.time_s}")
        if not 0 < amount <= position.amount:
            raise AmountNotPositive(f"{amount} of a stake of {position.amount}")
        position, program = self._without_boost(position_id, position, program)
        program = program._replace(staked=program.staked - amount, weight=program.weight - amount)
        self.programs.set(position.program, program)
        position, coins = self._pay_owed(ctx, position_id, position, program)
        left = position.amount - amount
        self.positions.set(position_id, position._replace(amount=left) if left else None)
        if not left:
            self.positions_of.set((position.owner, position_id), None)
        ctx.money.transfer(ctx, program.account, position.owner, program.stake_denom, amount)
        ctx.emit(Unstaked(position_id, position.owner, amount))
        return Returned(amount, coins)

    # -- locks that end ----------------------------------------------------------------------------

    def end_block(self, ctx: Context) -> None:
        """End the boost of locks that are over, at most `hook_items` a block; the rest wait in the queue."""
        due = []
        for key, _ in self.unlocks.page(limit=self.params.hook_items):
            if key[0] > ctx.time_s:
                break
            due.append(key[1])
        for number in due:
            position = self._position(number)
            program = self._settled(ctx, position.program)
            position = _earning(position, program)
            position, program = self._without_boost(number, position, program)
            self.positions.set(number, position)
            self.programs.set(position.program, program)
            ctx.emit(BoostEnded(number))

    def _without_boost(self, number: int, position: Position, program: Program) -> tuple[Position, Program]:
        """A stake whose lock is over, and its programme; both are up to date and still to be written."""
        if position.boost_bps == NEUTRAL_BPS:
            return position, program
        self.unlocks.set((position.unlock_s, number), None)
        weight = program.weight - boosted(position.amount, position.boost_bps) + position.amount
        return position._replace(boost_bps=NEUTRAL_BPS), program._replace(weight=weight)

    # -- bringing up to date -------------------------------------------------------------------------

    def _program(self, number: int) -> Program:
        program = self.programs.get(number)
        if program is None:
            raise UnknownProgram(f"no programme {number}")
        return program

    def _position(self, number: int) -> Position:
        position = self.positions.get(number)
        if position is None:
            raise UnknownStake(f"no stake {number}")
        return position

    def _settled(self, ctx: Context, number: int) -> Program:
        """The programme with its running sums at the block's time, not written."""
        return _settle(self._program(number), ctx.time_s)

    def _own(self, ctx: Context, number: int) -> tuple[Position, Program]:
        """A stake of the acting account and its programme, up to date; the programme is written."""
        position = self._position(number)
        if position.owner != ctx.actor:
            raise NotStakeOwner(f"stake {number} belongs to another account")
        program = self._settled(ctx, position.program)
        self.programs.set(position.program, program)
        return _earning(position, program), program

    def _pay_owed(
        self, ctx: Context, number: int, position: Position, program: Program
    ) -> tuple[Position, tuple[Coin, ...]]:
        """Pay what a stake has earned; the stake without it, and the coins. Writes the programme."""
        streams = tuple(
            [
                stream._replace(paid=stream.paid + owed)
                for stream, owed in zip(program.streams, position.owed, strict=True)
            ]
        )
        self.programs.set(position.program, program._replace(streams=streams))
        coins = self._pay(ctx, program, position.owner, position.owed)
        if any(position.owed):
            ctx.emit(Claimed(number, position.owner, coins))
        return position._replace(owed=tuple([0 for _ in position.owed])), coins

    def _pay(
        self, ctx: Context, program: Program, to: Address, amounts: tuple[int, ...] | list[int]
    ) -> tuple[Coin, ...]:
        coins = []
        for stream, amount in zip(program.streams, amounts, strict=True):
            if amount:
                ctx.gas.use(300)
                ctx.money.transfer(ctx, program.account, to, stream.denom, amount)
            coins.append(Coin(stream.denom, amount))
        return tuple(coins)

    # -- reading -----------------------------------------------------------------------------------

    @query
    def get_program(self, ctx: Context, program_id: U64) -> ProgramInfo:
        """A programme as it stands at the block's time.

        Args:
            program_id: the programme's number.
        """
        return ProgramInfo(program_id, self._settled(ctx, program_id))

    @query
    def list_programs(self, ctx: Context, limit: PageLimit | None, cursor: U64 | None) -> ProgramPage:
        """All programmes, oldest first.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        found, more = self.programs.page_and_more(after=cursor, limit=limit or 100)
        items = tuple([ProgramInfo(number, _settle(program, ctx.time_s)) for number, program in found])
        return ProgramPage(items, items[-1].id if more else None)

    @query
    def get_position(self, ctx: Context, position_id: U64) -> PositionInfo:
        """A stake, and what `claim` would pay now.

        Args:
            position_id: the stake's number.
        """
        return self._info(ctx, position_id)

    @query
    def list_positions(
        self, ctx: Context, address: Address, limit: PageLimit | None, cursor: U64 | None
    ) -> PositionPage:
        """An account's stakes, oldest first.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        after = None if cursor is None else (address, cursor)
        found, more = self.positions_of.page_and_more(prefix=bytes(address), after=after, limit=limit or 100)
        items = tuple([self._info(ctx, key[1]) for key, _ in found])
        return PositionPage(items, items[-1].id if more else None)

    def _info(self, ctx: Context, number: int) -> PositionInfo:
        position = self._position(number)
        program = self._settled(ctx, position.program)
        position = _earning(position, program)
        coins = [
            Coin(stream.denom, owed) for stream, owed in zip(program.streams, position.owed, strict=True)
        ]
        return PositionInfo(number, position, tuple(coins))

    # -- rules that always hold ---------------------------------------------------------------------

    @invariant(each="programs")
    def a_touched_program_holds_what_it_owes(
        self, ctx: Context, number: int, old: Program | None, new: Program | None
    ) -> None:
        """Stakes and all rewards that were not paid lie in the programme's account."""
        if new is None:
            return
        owed = {new.stake_denom: new.staked}
        for stream in new.streams:
            taken = stream.flowed - stream.shared if new.reclaimed else 0
            if not 0 <= stream.paid <= stream.shared <= stream.flowed <= stream.funded:
                raise InvariantViolated(f"programme {number}: {stream.denom} paid beyond what flowed")
            owed[stream.denom] = owed.get(stream.denom, 0) + stream.funded - stream.paid - taken
        for denom, amount in owed.items():
            held = ctx.money.balance(new.account, denom)
            if held < amount:
                raise InvariantViolated(f"programme {number} owes {amount} {denom} and holds {held}")

    @invariant()
    def stakes_add_up_and_earn_no_more_than_was_shared(self, ctx: Context) -> None:
        """Per programme: stakes, weights, and what was paid and is owed against what flowed to stakes."""
        sums: dict[int, list[int]] = {}
        for number, position in self.positions.scan():
            program = self._program(position.program)
            earning = _earning(position, program)
            known = sums.setdefault(position.program, [0, 0, *[0 for _ in program.streams]])
            known[0] += position.amount
            known[1] += boosted(position.amount, position.boost_bps)
            for index, owed in enumerate(earning.owed):
                known[2 + index] += owed
            waits = self.unlocks.get((position.unlock_s, number)) is not None
            if waits != (position.boost_bps > NEUTRAL_BPS):
                raise InvariantViolated(f"stake {number} is boosted and not in the queue, or the reverse")
        for number, program in self.programs.scan():
            self.a_touched_program_holds_what_it_owes(ctx, number, None, program)
            found = sums.get(number, [0, 0, *[0 for _ in program.streams]])
            if found[:2] != [program.staked, program.weight]:
                raise InvariantViolated(f"programme {number}: stakes and weights add up to {found[:2]}")
            for stream, owed in zip(program.streams, found[2:], strict=True):
                if stream.paid + owed > stream.shared:
                    raise InvariantViolated(f"programme {number} owes more {stream.denom} than it shared")

    # -- genesis -------------------------------------------------------------------------------------

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """`{"programs": [...], "positions": [...], "last_program": n, "last_position": n}`; coins stand in the bank's part."""
        if set(data) - {"programs", "positions", "last_program", "last_position"}:
            raise InvalidGenesis("modules.farming holds programs, positions, last_program and last_position")
        for number, program in _numbered(data, "programs", "last_program", GenesisProgram):
            self.programs.set(number, program)
        self.program_ids.resume(data.get("last_program", 0))
        for number, position in _numbered(data, "positions", "last_position", GenesisPosition):
            program = self.programs.get(position.program)
            if program is None or not len(position.seen) == len(position.owed) == len(program.streams):
                raise InvalidGenesis(f"modules.farming: stake {number} does not fit a programme")
            if any(
                seen > stream.running for seen, stream in zip(position.seen, program.streams, strict=True)
            ):
                raise InvalidGenesis(f"modules.farming: stake {number} was paid beyond its programme's sums")
            self.positions.set(number, position)
            self.positions_of.set((position.owner, number), 1)
            if position.boost_bps > NEUTRAL_BPS:
                self.unlocks.set((position.unlock_s, number), 1)
        self.position_ids.resume(data.get("last_position", 0))

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`."""
        programs = [GenesisProgram(*item) for item in self.programs.scan()]
        positions = [GenesisPosition(*item) for item in self.positions.scan()]
        found = {
            "programs": [codec_for(GenesisProgram).to_json(item, "qx") for item in programs],
            "positions": [codec_for(GenesisPosition).to_json(item, "qx") for item in positions],
            "last_program": self.program_ids.last(),
            "last_position": self.position_ids.last(),
        }
        return {name: value for name, value in found.items() if value}


# -- pure parts ------------------------------------------------------------------------------------


def _settle(program: Program, now_s: int) -> Program:
    """The programme with what has flowed until `now_s` shared among the stakes there were."""
    streams = []
    for stream in program.streams:
        since = program.end_s - stream.from_s
        flowed = stream.released + vested(stream.amount, stream.from_s, since, 0, now_s)
        more = flowed - stream.flowed
        if more and program.weight:
            added, carry = accrue(more, program.weight, stream.carry)
            stream = stream._replace(shared=stream.shared + more, running=stream.running + added, carry=carry)
        streams.append(stream._replace(flowed=flowed) if more else stream)
    return program._replace(streams=tuple(streams))


def _earning(position: Position, program: Program) -> Position:
    """The stake with what it has earned up to its programme's running sums."""
    weight = boosted(position.amount, position.boost_bps)
    running = tuple([stream.running for stream in program.streams])
    owed = [
        before + earned(weight, now, seen)
        for before, now, seen in zip(position.owed, running, position.seen, strict=True)
    ]
    return position._replace(seen=running, owed=tuple(owed))


def _check_boosts(boosts: tuple[Boost, ...], longest: int) -> None:
    before = Boost(0, NEUTRAL_BPS)
    for boost in boosts:
        if boost.lock_s <= before.lock_s or boost.boost_bps <= before.boost_bps or boost.lock_s > longest:
            raise InvalidProgram(f"locks and boosts ascend, and no lock is longer than {longest} seconds")
        before = boost


def _boost_for(boosts: tuple[Boost, ...], lock_s: int) -> int:
    """What a lock of this length weighs. Raises BoostNotOffered for one that is longer than any that counts more."""
    longest = boosts[-1].lock_s if boosts else 0
    if lock_s > longest:
        raise BoostNotOffered(f"a lock of {lock_s} s brings no more than one of {longest} s")
    return max([NEUTRAL_BPS, *[boost.boost_bps for boost in boosts if boost.lock_s <= lock_s]])


def _stream_of(program: Program, denom: str) -> int:
    for index, stream in enumerate(program.streams):
        if stream.denom == denom:
            return index
    raise InvalidProgram(f"the programme has no reward in {denom}")


def _with_stream(program: Program, index: int, stream: Stream) -> Program:
    streams = program.streams
    return program._replace(streams=(*streams[:index], stream, *streams[index + 1 :]))


def _numbered(data: dict[str, Any], name: str, last_name: str, record: type) -> list[Any]:
    items, last = data.get(name, []), data.get(last_name, 0)
    if not isinstance(items, list) or type(last) is not int or not 0 <= last < 1 << 64:
        raise InvalidGenesis(f"modules.farming.{name} is a list, {last_name} a number")
    found, before = [], 0
    for index, item in enumerate(items):
        one = check_record(codec_for(record), item, InvalidGenesis, f"modules.farming.{name}[{index}]")
        if not before < one[0] <= last:
            raise InvalidGenesis(f"modules.farming.{name}[{index}]: numbers ascend from 1 to {last_name}")
        before = one[0]
        found.append(one)
    return found


assert MAX_SECONDS == 1 << 40, "the bound of `types.Seconds`"
