# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `farming`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, CoinLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U64, Amount, Between, Coin, Denom, Length, Unsigned
from qenex.wallet import Wallet


class Rewards(NamedTuple):
    """What was paid, by stream; a coin of zero where nothing was due."""

    coins: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Boost(NamedTuple):
    """A stake locked for `lock_s` seconds or more weighs `boost_bps` basis points."""

    lock_s: Annotated[int, Between(0, 1099511627775)]
    boost_bps: Annotated[int, Between(10000, 50000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Opened(NamedTuple):
    """The number of a programme or a stake that was made."""

    id: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Returned(NamedTuple):
    """Stake that was given back, and the rewards paid with it."""

    amount: Amount
    coins: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Position(NamedTuple):
    """A stake. `seen` are the running sums it was paid up to, `owed` what it has earned before, by stream."""

    owner: Address
    program: U64
    amount: Amount
    boost_bps: Annotated[int, Between(10000, 50000)]
    unlock_s: Annotated[int, Between(0, 1099511627775)]
    seen: Annotated[tuple[Annotated[int, Unsigned(bits=232)], ...], Length(1, 4)]
    owed: Annotated[tuple[Annotated[int, Unsigned(bits=128)], ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionInfo(NamedTuple):
    """A stake, its number, and what `claim` would pay now."""

    id: U64
    position: Position
    claimable: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Stream(NamedTuple):
    """One reward of a programme. Amounts in base units of `denom`.

    `amount` flows evenly from `from_s` to the programme's end, after `released` that flowed before;
    `shared` of
    what flowed went to stakes, the rest flowed while there were none. `running` and `carry`: see
    `defi_modules.farming.math`.
    """

    denom: Denom
    funded: Amount
    released: Amount
    from_s: Annotated[int, Between(0, 1099511627775)]
    amount: Amount
    flowed: Amount
    shared: Amount
    paid: Amount
    running: Annotated[int, Unsigned(bits=232)]
    carry: Annotated[int, Unsigned(bits=232)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Program(NamedTuple):
    """Rewards for stakes of one denomination. Times in seconds since 1970.

    `reclaimed` says that the creator has taken back what flowed while nobody had a stake.
    """

    creator: Address
    account: Address
    stake_denom: Denom
    start_s: Annotated[int, Between(0, 1099511627775)]
    end_s: Annotated[int, Between(0, 1099511627775)]
    boosts: Annotated[tuple[Boost, ...], Length(0, 8)]
    staked: Amount
    weight: Annotated[int, Unsigned(bits=136)]
    streams: Annotated[tuple[Stream, ...], Length(1, 4)]
    reclaimed: bool

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProgramInfo(NamedTuple):
    """A programme and its number, brought up to the block's time."""

    id: U64
    program: Program

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class PositionPage(NamedTuple):
    """Part of an account's stakes, oldest first."""

    items: tuple[PositionInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProgramPage(NamedTuple):
    """Part of all programmes, oldest first."""

    items: tuple[ProgramInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProgramCreated(NamedTuple):
    """A programme was funded; rewards flow from `start_s` to `end_s`."""

    id: U64
    creator: Address
    stake_denom: Denom
    start_s: Annotated[int, Between(0, 1099511627775)]
    end_s: Annotated[int, Between(0, 1099511627775)]
    rewards: Annotated[tuple[Coin, ...], Length(1, 4)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ProgramFunded(NamedTuple):
    """A programme got more of one reward."""

    id: U64
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Staked(NamedTuple):
    """A stake was made."""

    id: U64
    program: U64
    owner: Address
    amount: Amount
    boost_bps: Annotated[int, Between(10000, 50000)]
    unlock_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Unstaked(NamedTuple):
    """A stake, or a part of it, was given back."""

    id: U64
    owner: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Claimed(NamedTuple):
    """Rewards of a stake were paid, by stream."""

    id: U64
    owner: Address
    coins: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class BoostEnded(NamedTuple):
    """A stake's lock is over: it weighs what a free one does."""

    id: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Reclaimed(NamedTuple):
    """The creator of an ended programme took back what nobody had earned."""

    id: U64
    coins: tuple[Coin, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


CLAIM = MessageFace(
    "farming.claim",
    (("position_id", U64),),
    Rewards,
)

CREATE_PROGRAM = MessageFace(
    "farming.create_program",
    (
        ("stake_denom", Denom),
        ("rewards", Annotated[tuple[Coin, ...], Length(1, 4)]),
        ("start_s", Annotated[int, Between(0, 1099511627775)]),
        ("end_s", Annotated[int, Between(0, 1099511627775)]),
        ("boosts", Annotated[tuple[Boost, ...], Length(0, 8)]),
    ),
    Opened,
)

FUND_PROGRAM = MessageFace(
    "farming.fund_program",
    (
        ("program_id", U64),
        ("amount", Coin),
    ),
    None,
)

RECLAIM = MessageFace(
    "farming.reclaim",
    (("program_id", U64),),
    Rewards,
)

STAKE = MessageFace(
    "farming.stake",
    (
        ("program_id", U64),
        ("amount", Amount),
        ("lock_s", Annotated[int, Between(0, 1099511627775)]),
    ),
    Opened,
)

UNSTAKE = MessageFace(
    "farming.unstake",
    (
        ("position_id", U64),
        ("amount", Amount),
    ),
    Returned,
)

GET_POSITION = QueryFace(
    "farming_getPosition",
    (("position_id", U64),),
    PositionInfo,
)

GET_PROGRAM = QueryFace(
    "farming_getProgram",
    (("program_id", U64),),
    ProgramInfo,
)

LIST_POSITIONS = QueryFace(
    "farming_listPositions",
    (
        ("address", Address),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    PositionPage,
)

LIST_PROGRAMS = QueryFace(
    "farming_listPrograms",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    ProgramPage,
)

MESSAGES: tuple[MessageFace, ...] = (
    CLAIM,
    CREATE_PROGRAM,
    FUND_PROGRAM,
    RECLAIM,
    STAKE,
    UNSTAKE,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_POSITION,
    GET_PROGRAM,
    LIST_POSITIONS,
    LIST_PROGRAMS,
)

EVENTS: dict[str, type] = {
    "farming.program_created": ProgramCreated,
    "farming.program_funded": ProgramFunded,
    "farming.staked": Staked,
    "farming.unstaked": Unstaked,
    "farming.claimed": Claimed,
    "farming.boost_ended": BoostEnded,
    "farming.reclaimed": Reclaimed,
}


class Farming(ModuleFace):
    """Rewards for stakes: programmes funded in advance, several rewards, boosts for locks."""

    def claim(
        self, wallet: Wallet, *, position_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Rewards]:
        """Take what a stake has earned; only its owner can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position_id: the stake's number.
        """
        return self._send(wallet, CLAIM, {"position_id": position_id}, options)

    def create_program(
        self,
        wallet: Wallet,
        *,
        stake_denom: str | Reference,
        rewards: tuple[Coin, ...] | Reference,
        start_s: int | Reference,
        end_s: int | Reference,
        boosts: tuple[Boost, ...] | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Opened]:
        """Make a programme and pay all its rewards in.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            stake_denom: what is staked.
            rewards: 1 to 4 coins, each of another denomination, that flow evenly from start to end.
            start_s: when it begins, in seconds since 1970; not before the block's time.
            end_s: when it ends, at least 60 seconds later.
            boosts: what a lock is worth; both numbers ascend from one to the next.
        """
        return self._send(
            wallet,
            CREATE_PROGRAM,
            {
                "stake_denom": stake_denom,
                "rewards": rewards,
                "start_s": start_s,
                "end_s": end_s,
                "boosts": boosts,
            },
            options,
        )

    def fund_program(
        self,
        wallet: Wallet,
        *,
        program_id: int | Reference,
        amount: CoinLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Add to one reward of a programme that has not ended; it flows evenly until the end. Anybody can.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
            amount: how much of which of its rewards.
        """
        return self._send(wallet, FUND_PROGRAM, {"program_id": program_id, "amount": amount}, options)

    def reclaim(
        self, wallet: Wallet, *, program_id: int | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Rewards]:
        """Take back what flowed while nobody had a stake; its creator can, once, after the end.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
        """
        return self._send(wallet, RECLAIM, {"program_id": program_id}, options)

    def stake(
        self,
        wallet: Wallet,
        *,
        program_id: int | Reference,
        amount: AmountLike,
        lock_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Opened]:
        """Stake coins in a programme. A lock that the programme boosts weighs more until it ends.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            program_id: the programme's number.
            amount: base units of what it takes.
            lock_s: seconds for which the stake cannot be taken back; 0 for none.
        """
        return self._send(
            wallet, STAKE, {"program_id": program_id, "amount": amount, "lock_s": lock_s}, options
        )

    def unstake(
        self,
        wallet: Wallet,
        *,
        position_id: int | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Returned]:
        """Take a stake back, or a part of it, with all it has earned; only its owner can, when it is not
        locked.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            position_id: the stake's number.
            amount: base units.
        """
        return self._send(wallet, UNSTAKE, {"position_id": position_id, "amount": amount}, options)

    def get_position(self, position_id: int, *, at: At | None = None) -> PositionInfo:
        """A stake, and what `claim` would pay now.

        `at` is a height, the latest one unless given.

        Args:
            position_id: the stake's number.
        """
        answer: PositionInfo = self._query(GET_POSITION, {"position_id": position_id}, at)
        return answer

    def get_program(self, program_id: int, *, at: At | None = None) -> ProgramInfo:
        """A programme as it stands at the block's time.

        `at` is a height, the latest one unless given.

        Args:
            program_id: the programme's number.
        """
        answer: ProgramInfo = self._query(GET_PROGRAM, {"program_id": program_id}, at)
        return answer

    def list_positions(
        self,
        address: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> PositionPage:
        """An account's stakes, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: PositionPage = self._query(
            LIST_POSITIONS, {"address": address, "limit": limit, "cursor": cursor}, at
        )
        return answer

    def list_programs(
        self, limit: int | None = None, cursor: int | None = None, *, at: At | None = None
    ) -> ProgramPage:
        """All programmes, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ProgramPage = self._query(LIST_PROGRAMS, {"limit": limit, "cursor": cursor}, at)
        return answer
