"""Records that staking keeps, returns and announces."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from qenex.crypto.address import Address
from qenex.transaction import MAX_PUBLIC_KEY_SIZE, MAX_SIGNATURE_SIZE
from qenex.types import U8, U16, U32, U64, U128, Amount, Between, Bps, Length, TimeNs, Unsigned

MAX_DELEGATIONS: Final = 32
"""Validators that one account delegates to, those it left within the time that history is kept included."""
MAX_INCOMING: Final = 7
"""Redelegations on their way to one delegation."""
RECEIPT: Final = "staking/QXC"
"""The denomination of liquid stake."""

Seconds = Annotated[int, Between(0, (1 << 40) - 1)]
Shares = Annotated[int, Unsigned(236)]
Weight = Annotated[int, Unsigned(252)]
Sum = Annotated[int, Unsigned(248)]
"""In units of 2^-96 base units: see `defi_modules.staking.math`."""
BoostBps = Annotated[int, Between(10_000, 50_000)]
PageLimit = Annotated[int, Between(1, 1_000)]
Moniker = Annotated[str, Length(1, 64)]
ConsensusKey = Annotated[bytes, Length(2, MAX_PUBLIC_KEY_SIZE)]
Possession = Annotated[bytes, Length(1, MAX_SIGNATURE_SIZE)]


class Boost(NamedTuple):
    """A delegation locked for `lock_s` seconds or more earns as `boost_bps` basis points of a free one."""

    lock_s: Seconds
    boost_bps: BoostBps


class Tier(NamedTuple):
    """Who has delegated `stake` base units or more pays `discount_bps` basis points less in base fees."""

    stake: Amount
    discount_bps: Annotated[int, Between(0, 5_000)]


class Tombstone(NamedTuple):
    """Two votes at `offence_height`, for which `slash_bps` basis points were taken at `slashed_height`."""

    offence_height: U64
    slashed_height: U64
    slash_bps: Bps


class ValidatorRecord(NamedTuple):
    """A validator. Amounts in base units of QXC, times in seconds since 1970.

    `power` is what it has in the set that is active two heights on. `weight`, `running` and `carry` divide rewards
    among delegators; `seen` tells up to where it was paid by the chain, `commission` what its operator may withdraw, in
    units of 2^-96 base units.
    """

    moniker: Moniker
    commission_bps: Bps
    max_commission_bps: Bps
    max_change_bps: Bps
    commission_changed_s: Seconds
    min_self_delegation: Amount
    tokens: Amount
    shares: Shares
    power: U64
    jailed: bool
    jailed_until_s: Seconds
    tombstone: Tombstone | None
    weight: Weight
    running: Sum
    carry: Weight
    seen: Sum
    commission: Sum


class Delegation(NamedTuple):
    """What an account has with a validator. `owed` are rewards in units of 2^-96 base units.

    `valued` is what it was worth when it was touched last; `incoming` the redelegations into it that are not over;
    `closed_s` when its last share left.
    """

    shares: Shares
    boost_bps: BoostBps
    lock_s: Seconds
    unlock_s: Seconds
    seen: Sum
    owed: Sum
    valued: Amount
    incoming: U8
    closed_s: Seconds


class Staker(NamedTuple):
    """All delegations of an account: what they were worth when touched last, and how many are kept."""

    total: Amount
    validators: U8


class Origin(NamedTuple):
    """Stake that came by redelegation from `validator`, at `height`, and answers for its earlier offences too."""

    validator: Address
    height: U64


class Unbonding(NamedTuple):
    """`amount` base units on the way back from a validator since `height`."""

    validator: Address
    amount: Amount
    height: U64
    completes_s: Seconds
    origin: Origin | None


class Redelegation(NamedTuple):
    """`shares` that came from another validator at `height`, and answer for its earlier offences until the end."""

    source: Address
    shares: Shares
    height: U64
    completes_s: Seconds


class Route(NamedTuple):
    """Whose redelegation it is, and where it went."""

    delegator: Address
    target: Address


class Signing(NamedTuple):
    """Commits of this window without the validator's vote. Windows are numbered from height 0."""

    window: U64
    missed: U32


class Books(NamedTuple):
    """What the module holds, and whose it is, in base units of QXC; and where the accrual of rewards stands.

    `rewards` were allotted to validators and delegators and not paid yet; `liquid` waits to be delegated for the
    holders of liquid stake. `running` and `carry` divide by `power`, that of all active validators.
    """

    bonded: Amount
    unbonding: Amount
    rewards: Amount
    community: Amount
    liquid: Amount
    accrued_ns: TimeNs
    inflation_carry: U128
    running: Sum
    carry: Sum
    power: U64


class SharesAt(NamedTuple):
    """A delegation's shares from a height on."""

    time_s: Seconds
    shares: Shares


class ValueAt(NamedTuple):
    """A validator's tokens and shares from a height on."""

    time_s: Seconds
    tokens: Amount
    shares: Shares


class TotalAt(NamedTuple):
    """All delegated tokens from a height on."""

    time_s: Seconds
    tokens: Amount


# -- answers -----------------------------------------------------------------------------------


class Held(NamedTuple):
    """Base units of QXC with a validator."""

    validator: Address
    power: Amount


class ValidatorInfo(NamedTuple):
    """A validator, its consensus key, and what the operator may withdraw now."""

    address: Address
    key: bytes
    validator: ValidatorRecord
    commission: Amount


class ValidatorPage(NamedTuple):
    """Part of all validators, by address."""

    items: tuple[ValidatorInfo, ...]
    next_cursor: Address | None


class DelegationInfo(NamedTuple):
    """A delegation, what it is worth, and what `withdraw_rewards` would pay now; base units of QXC."""

    delegator: Address
    validator: Address
    tokens: Amount
    rewards: Amount
    delegation: Delegation


class UnbondingInfo(NamedTuple):
    """Stake on its way back; `pays` is what would arrive by what is known now."""

    id: U64
    unbonding: Unbonding
    pays: Amount


class UnbondingPage(NamedTuple):
    """Part of what is on its way back to an account, oldest first."""

    items: tuple[UnbondingInfo, ...]
    next_cursor: U64 | None


class StakingPool(NamedTuple):
    """The whole of staking. `inflation` in units of 10^-9 a year; `fees` arrived and not divided yet."""

    bonded: Amount
    unbonding: Amount
    rewards: Amount
    community: Amount
    fees: Amount
    bonded_bps: Bps
    inflation: U64
    power: U64


class StakerInfo(NamedTuple):
    """What an account has delegated, in base units, and its discount on base fees."""

    staked: Amount
    discount_bps: U16


class LiquidPool(NamedTuple):
    """What all liquid stake is worth, how much of it there is, and where it is delegated; base units."""

    value: Amount
    receipts: Amount
    waiting: Amount
    delegations: tuple[Held, ...]


class SigningInfo(NamedTuple):
    """How a validator does in the window at hand: votes missing, and how many may be before it is jailed."""

    missed: U32
    allowed: U32
    window_ends: U64


# -- results -----------------------------------------------------------------------------------


class Bonded(NamedTuple):
    """Shares that a delegation brought."""

    shares: Shares


class Leaving(NamedTuple):
    """What began to leave, in base units, and when the last of it arrives, in seconds since 1970."""

    amount: Amount
    completes_s: Seconds


class Paid(NamedTuple):
    """Base units of QXC that were paid."""

    amount: Amount


class Receipts(NamedTuple):
    """Liquid stake that was made, in its base units."""

    amount: Amount


# -- events ------------------------------------------------------------------------------------


class ValidatorCreated(NamedTuple):
    """A validator was declared."""

    validator: Address
    moniker: Moniker
    commission_bps: Bps
    self_delegation: Amount


class ValidatorEdited(NamedTuple):
    """A validator has another name, commission or minimum of its own stake."""

    validator: Address
    moniker: Moniker
    commission_bps: Bps
    min_self_delegation: Amount


class Delegated(NamedTuple):
    """An account delegated."""

    delegator: Address
    validator: Address
    amount: Amount
    shares: Shares


class UndelegationBegun(NamedTuple):
    """Stake is on its way back."""

    id: U64
    delegator: Address
    validator: Address
    amount: Amount
    completes_s: Seconds


class UndelegationCompleted(NamedTuple):
    """Stake came back; `slashed` of it did not, for an offence before it left."""

    id: U64
    delegator: Address
    validator: Address
    amount: Amount
    slashed: Amount


class Redelegated(NamedTuple):
    """Stake went from one validator to another."""

    delegator: Address
    source: Address
    target: Address
    amount: Amount
    completes_s: Seconds


class RedelegationSlashed(NamedTuple):
    """Stake that came from a validator that had offended before lost `amount`."""

    delegator: Address
    source: Address
    target: Address
    amount: Amount


class LockChanged(NamedTuple):
    """A delegation is locked until `unlock_s` and earns as `boost_bps`; 10,000: its lock is over."""

    delegator: Address
    validator: Address
    unlock_s: Seconds
    boost_bps: BoostBps


class RewardsWithdrawn(NamedTuple):
    """A delegator was paid."""

    delegator: Address
    validator: Address
    amount: Amount


class CommissionWithdrawn(NamedTuple):
    """An operator was paid."""

    validator: Address
    amount: Amount


class ValidatorSlashed(NamedTuple):
    """A validator's delegators lost `amount`, which was burned. Reasons: double vote, downtime, prices missed."""

    validator: Address
    reason: Annotated[str, Length(1, 32)]
    offence_height: U64
    amount: Amount


class ValidatorJailed(NamedTuple):
    """A validator leaves the set; it may come back after `until_s`, in seconds since 1970."""

    validator: Address
    reason: Annotated[str, Length(1, 32)]
    until_s: Seconds


class ValidatorUnjailed(NamedTuple):
    """A validator stands for the set again."""

    validator: Address


class ValidatorTombstoned(NamedTuple):
    """A validator voted twice and never comes back."""

    validator: Address
    offence_height: U64


class ValidatorsChanged(NamedTuple):
    """The set that is active two heights on has so many validators with so much power."""

    validators: U16
    power: U64


class LiquidStaked(NamedTuple):
    """Coins became liquid stake."""

    account: Address
    amount: Amount
    receipts: Amount


class LiquidUnstaked(NamedTuple):
    """Liquid stake was given back for what begins to leave, and what was paid at once."""

    account: Address
    receipts: Amount
    leaving: Amount
    paid: Amount


class CommunityPaid(NamedTuple):
    """Governance spent from the community pool."""

    recipient: Address
    amount: Amount
