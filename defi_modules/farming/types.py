"""Records that farming keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from qenex.crypto.address import Address
from qenex.types import U64, U128, Amount, Between, Coin, Denom, Length, Unsigned

MAX_REWARDS = 4
MAX_BOOSTS = 8

Seconds = Annotated[int, Between(0, (1 << 40) - 1)]
"""Seconds, of a duration or since 1970-01-01T00:00:00Z."""
BoostBps = Annotated[int, Between(10_000, 50_000)]
"""Weight of a locked stake in basis points of a free one: 10,000 to 50,000."""
PageLimit = Annotated[int, Between(1, 1_000)]
Weight = Annotated[int, Unsigned(136)]
Sum = Annotated[int, Unsigned(232)]
Coins = Annotated[tuple[Coin, ...], Length(1, MAX_REWARDS)]


class Boost(NamedTuple):
    """A stake locked for `lock_s` seconds or more weighs `boost_bps` basis points."""

    lock_s: Seconds
    boost_bps: BoostBps


Boosts = Annotated[tuple[Boost, ...], Length(0, MAX_BOOSTS)]


class Stream(NamedTuple):
    """One reward of a programme. Amounts in base units of `denom`.

    `amount` flows evenly from `from_s` to the programme's end, after `released` that flowed before; `shared` of
    what flowed went to stakes, the rest flowed while there were none. `running` and `carry`: see
    `defi_modules.farming.math`.
    """

    denom: Denom
    funded: Amount
    released: Amount
    from_s: Seconds
    amount: Amount
    flowed: Amount
    shared: Amount
    paid: Amount
    running: Sum
    carry: Sum


class Program(NamedTuple):
    """Rewards for stakes of one denomination. Times in seconds since 1970.

    `reclaimed` says that the creator has taken back what flowed while nobody had a stake.
    """

    creator: Address
    account: Address
    stake_denom: Denom
    start_s: Seconds
    end_s: Seconds
    boosts: Boosts
    staked: Amount
    weight: Weight
    streams: Annotated[tuple[Stream, ...], Length(1, MAX_REWARDS)]
    reclaimed: bool


class Position(NamedTuple):
    """A stake. `seen` are the running sums it was paid up to, `owed` what it has earned before, by stream."""

    owner: Address
    program: U64
    amount: Amount
    boost_bps: BoostBps
    unlock_s: Seconds
    seen: Annotated[tuple[Sum, ...], Length(1, MAX_REWARDS)]
    owed: Annotated[tuple[U128, ...], Length(1, MAX_REWARDS)]


class ProgramInfo(NamedTuple):
    """A programme and its number, brought up to the block's time."""

    id: U64
    program: Program


class ProgramPage(NamedTuple):
    """Part of all programmes, oldest first."""

    items: tuple[ProgramInfo, ...]
    next_cursor: U64 | None


class PositionInfo(NamedTuple):
    """A stake, its number, and what `claim` would pay now."""

    id: U64
    position: Position
    claimable: tuple[Coin, ...]


class PositionPage(NamedTuple):
    """Part of an account's stakes, oldest first."""

    items: tuple[PositionInfo, ...]
    next_cursor: U64 | None


# -- results -----------------------------------------------------------------------------------


class Opened(NamedTuple):
    """The number of a programme or a stake that was made."""

    id: U64


class Rewards(NamedTuple):
    """What was paid, by stream; a coin of zero where nothing was due."""

    coins: tuple[Coin, ...]


class Returned(NamedTuple):
    """Stake that was given back, and the rewards paid with it."""

    amount: Amount
    coins: tuple[Coin, ...]


# -- events ------------------------------------------------------------------------------------


class ProgramCreated(NamedTuple):
    """A programme was funded; rewards flow from `start_s` to `end_s`."""

    id: U64
    creator: Address
    stake_denom: Denom
    start_s: Seconds
    end_s: Seconds
    rewards: Coins


class ProgramFunded(NamedTuple):
    """A programme got more of one reward."""

    id: U64
    denom: Denom
    amount: Amount


class Staked(NamedTuple):
    """A stake was made."""

    id: U64
    program: U64
    owner: Address
    amount: Amount
    boost_bps: BoostBps
    unlock_s: Seconds


class Unstaked(NamedTuple):
    """A stake, or a part of it, was given back."""

    id: U64
    owner: Address
    amount: Amount


class Claimed(NamedTuple):
    """Rewards of a stake were paid, by stream."""

    id: U64
    owner: Address
    coins: tuple[Coin, ...]


class BoostEnded(NamedTuple):
    """A stake's lock is over: it weighs what a free one does."""

    id: U64


class Reclaimed(NamedTuple):
    """The creator of an ended programme took back what nobody had earned."""

    id: U64
    coins: tuple[Coin, ...]
