# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `staking`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

from qenex.answers import to_plain
from qenex.building import AddressLike, AmountLike, BytesLike, MessageFace, QueryFace
from qenex.codec import Reference
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.sender import Pending, TransactionOptions
from qenex.types import U8, U16, U32, U64, Amount, Between, Bps, Length, Unsigned
from qenex.wallet import Wallet


class Bonded(NamedTuple):
    """Shares that a delegation brought."""

    shares: Annotated[int, Unsigned(bits=236)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Receipts(NamedTuple):
    """Liquid stake that was made, in its base units."""

    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Leaving(NamedTuple):
    """What began to leave, in base units, and when the last of it arrives, in seconds since 1970."""

    amount: Amount
    completes_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Paid(NamedTuple):
    """Base units of QXC that were paid."""

    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Delegation(NamedTuple):
    """What an account has with a validator. `owed` are rewards in units of 2^-96 base units.

    `valued` is what it was worth when it was touched last; `incoming` the redelegations into it that
    are not over;
    `closed_s` when its last share left.
    """

    shares: Annotated[int, Unsigned(bits=236)]
    boost_bps: Annotated[int, Between(10000, 50000)]
    lock_s: Annotated[int, Between(0, 1099511627775)]
    unlock_s: Annotated[int, Between(0, 1099511627775)]
    seen: Annotated[int, Unsigned(bits=248)]
    owed: Annotated[int, Unsigned(bits=248)]
    valued: Amount
    incoming: U8
    closed_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class DelegationInfo(NamedTuple):
    """A delegation, what it is worth, and what `withdraw_rewards` would pay now; base units of QXC."""

    delegator: Address
    validator: Address
    tokens: Amount
    rewards: Amount
    delegation: Delegation

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Held(NamedTuple):
    """Base units of QXC with a validator."""

    validator: Address
    power: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LiquidPool(NamedTuple):
    """What all liquid stake is worth, how much of it there is, and where it is delegated; base units."""

    value: Amount
    receipts: Amount
    waiting: Amount
    delegations: tuple[Held, ...]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Boost(NamedTuple):
    """A delegation locked for `lock_s` seconds or more earns as `boost_bps` basis points of a free one."""

    lock_s: Annotated[int, Between(0, 1099511627775)]
    boost_bps: Annotated[int, Between(10000, 50000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Tier(NamedTuple):
    """Who has delegated `stake` base units or more pays `discount_bps` basis points less in base fees."""

    stake: Amount
    discount_bps: Annotated[int, Between(0, 5000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class StakingParams(NamedTuple):
    """Rules of staking. Amounts in base units of QXC, times in seconds, parts in basis points.

    `max_validators` with the most stake are active; `power_unit` base units are one voting power. Stake
    that leaves
    or moves is on its way for `unbonding_s`; shorter than the age of evidence (21 days), a late proof
    would miss it.
    `min_delegation` and `min_self_delegation` are the least of each. A double vote costs
    `double_sign_bps`. Of each
    `window_blocks` commits a validator may miss `max_missed_bps`; more costs `downtime_bps` and
    `downtime_jail_s`
    outside of the set; too many missed prices cost `oracle_bps`. New coins a year: `min_inflation_bps`
    from
    `goal_bonded_bps` of the supply on, `max_inflation_bps` with nothing bonded. `community_tax_bps` of
    all rewards are
    for governance to spend. `boosts`: what locks are worth in rewards; `tiers`: discounts on fees; both
    ascend.
    `liquid_validators` get the stake of the liquid pool. Voting power is known `history_s` back.
    `hook_items` entries
    that are over are paid in a block; other work on delegations counts among them, three items each.
    """

    max_validators: Annotated[int, Between(1, 150)]
    power_unit: Annotated[int, Between(1, 1000000000000000000)]
    unbonding_s: Annotated[int, Between(10, 31622400)]
    min_delegation: Annotated[int, Between(1, 1000000000000000000)]
    min_self_delegation: Annotated[int, Between(1, 1000000000000000000)]
    double_sign_bps: Annotated[int, Between(1, 10000)]
    window_blocks: Annotated[int, Between(4, 100000)]
    max_missed_bps: Bps
    downtime_bps: Bps
    downtime_jail_s: Annotated[int, Between(1, 2592000)]
    oracle_bps: Bps
    min_inflation_bps: Bps
    max_inflation_bps: Bps
    goal_bonded_bps: Annotated[int, Between(1, 10000)]
    community_tax_bps: Bps
    boosts: Annotated[tuple[Boost, ...], Length(0, 8)]
    tiers: Annotated[tuple[Tier, ...], Length(0, 8)]
    liquid_validators: Annotated[int, Between(1, 16)]
    history_s: Annotated[int, Between(10, 31622400)]
    hook_items: Annotated[int, Between(3, 1000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


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

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class SigningInfo(NamedTuple):
    """How a validator does in the window at hand: votes missing, and how many may be before it is jailed."""

    missed: U32
    allowed: U32
    window_ends: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class StakerInfo(NamedTuple):
    """What an account has delegated, in base units, and its discount on base fees."""

    staked: Amount
    discount_bps: U16

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Tombstone(NamedTuple):
    """Two votes at `offence_height`, for which `slash_bps` basis points were taken at `slashed_height`."""

    offence_height: U64
    slashed_height: U64
    slash_bps: Bps

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorRecord(NamedTuple):
    """A validator. Amounts in base units of QXC, times in seconds since 1970.

    `power` is what it has in the set that is active two heights on. `weight`, `running` and `carry`
    divide rewards
    among delegators; `seen` tells up to where it was paid by the chain, `commission` what its operator
    may withdraw, in
    units of 2^-96 base units.
    """

    moniker: Annotated[str, Length(1, 64)]
    commission_bps: Bps
    max_commission_bps: Bps
    max_change_bps: Bps
    commission_changed_s: Annotated[int, Between(0, 1099511627775)]
    min_self_delegation: Amount
    tokens: Amount
    shares: Annotated[int, Unsigned(bits=236)]
    power: U64
    jailed: bool
    jailed_until_s: Annotated[int, Between(0, 1099511627775)]
    tombstone: Tombstone | None
    weight: Annotated[int, Unsigned(bits=252)]
    running: Annotated[int, Unsigned(bits=248)]
    carry: Annotated[int, Unsigned(bits=252)]
    seen: Annotated[int, Unsigned(bits=248)]
    commission: Annotated[int, Unsigned(bits=248)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorInfo(NamedTuple):
    """A validator, its consensus key, and what the operator may withdraw now."""

    address: Address
    key: bytes
    validator: ValidatorRecord
    commission: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Origin(NamedTuple):
    """Stake that came by redelegation from `validator`, at `height`, and answers for its earlier offences
    too.
    """

    validator: Address
    height: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Unbonding(NamedTuple):
    """`amount` base units on the way back from a validator since `height`."""

    validator: Address
    amount: Amount
    height: U64
    completes_s: Annotated[int, Between(0, 1099511627775)]
    origin: Origin | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class UnbondingInfo(NamedTuple):
    """Stake on its way back; `pays` is what would arrive by what is known now."""

    id: U64
    unbonding: Unbonding
    pays: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class UnbondingPage(NamedTuple):
    """Part of what is on its way back to an account, oldest first."""

    items: tuple[UnbondingInfo, ...]
    next_cursor: U64 | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorPage(NamedTuple):
    """Part of all validators, by address."""

    items: tuple[ValidatorInfo, ...]
    next_cursor: Address | None

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorCreated(NamedTuple):
    """A validator was declared."""

    validator: Address
    moniker: Annotated[str, Length(1, 64)]
    commission_bps: Bps
    self_delegation: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorEdited(NamedTuple):
    """A validator has another name, commission or minimum of its own stake."""

    validator: Address
    moniker: Annotated[str, Length(1, 64)]
    commission_bps: Bps
    min_self_delegation: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Delegated(NamedTuple):
    """An account delegated."""

    delegator: Address
    validator: Address
    amount: Amount
    shares: Annotated[int, Unsigned(bits=236)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class UndelegationBegun(NamedTuple):
    """Stake is on its way back."""

    id: U64
    delegator: Address
    validator: Address
    amount: Amount
    completes_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class UndelegationCompleted(NamedTuple):
    """Stake came back; `slashed` of it did not, for an offence before it left."""

    id: U64
    delegator: Address
    validator: Address
    amount: Amount
    slashed: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Redelegated(NamedTuple):
    """Stake went from one validator to another."""

    delegator: Address
    source: Address
    target: Address
    amount: Amount
    completes_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class RedelegationSlashed(NamedTuple):
    """Stake that came from a validator that had offended before lost `amount`."""

    delegator: Address
    source: Address
    target: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LockChanged(NamedTuple):
    """A delegation is locked until `unlock_s` and earns as `boost_bps`; 10,000: its lock is over."""

    delegator: Address
    validator: Address
    unlock_s: Annotated[int, Between(0, 1099511627775)]
    boost_bps: Annotated[int, Between(10000, 50000)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class RewardsWithdrawn(NamedTuple):
    """A delegator was paid."""

    delegator: Address
    validator: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class CommissionWithdrawn(NamedTuple):
    """An operator was paid."""

    validator: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorSlashed(NamedTuple):
    """A validator's delegators lost `amount`, which was burned. Reasons: double vote, downtime, prices
    missed.
    """

    validator: Address
    reason: Annotated[str, Length(1, 32)]
    offence_height: U64
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorJailed(NamedTuple):
    """A validator leaves the set; it may come back after `until_s`, in seconds since 1970."""

    validator: Address
    reason: Annotated[str, Length(1, 32)]
    until_s: Annotated[int, Between(0, 1099511627775)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorUnjailed(NamedTuple):
    """A validator stands for the set again."""

    validator: Address

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorTombstoned(NamedTuple):
    """A validator voted twice and never comes back."""

    validator: Address
    offence_height: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class ValidatorsChanged(NamedTuple):
    """The set that is active two heights on has so many validators with so much power."""

    validators: U16
    power: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LiquidStaked(NamedTuple):
    """Coins became liquid stake."""

    account: Address
    amount: Amount
    receipts: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class LiquidUnstaked(NamedTuple):
    """Liquid stake was given back for what begins to leave, and what was paid at once."""

    account: Address
    receipts: Amount
    leaving: Amount
    paid: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class CommunityPaid(NamedTuple):
    """Governance spent from the community pool."""

    recipient: Address
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


CREATE_VALIDATOR = MessageFace(
    "staking.create_validator",
    (
        ("key", Annotated[bytes, Length(2, 4096)]),
        ("possession", Annotated[bytes, Length(1, 16384)]),
        ("moniker", Annotated[str, Length(1, 64)]),
        ("commission_bps", Bps),
        ("max_commission_bps", Bps),
        ("max_change_bps", Bps),
        ("min_self_delegation", Amount),
        ("amount", Amount),
    ),
    None,
)

DELEGATE = MessageFace(
    "staking.delegate",
    (
        ("validator", Address),
        ("amount", Amount),
    ),
    Bonded,
)

EDIT_VALIDATOR = MessageFace(
    "staking.edit_validator",
    (
        ("moniker", Annotated[str, Length(1, 64)] | None),
        ("commission_bps", Bps | None),
        ("min_self_delegation", Amount | None),
    ),
    None,
)

LOCK = MessageFace(
    "staking.lock",
    (
        ("validator", Address),
        ("lock_s", Annotated[int, Between(0, 1099511627775)]),
    ),
    None,
)

REDELEGATE = MessageFace(
    "staking.redelegate",
    (
        ("source", Address),
        ("target", Address),
        ("amount", Amount),
    ),
    Bonded,
)

STAKE_LIQUID = MessageFace(
    "staking.stake_liquid",
    (("amount", Amount),),
    Receipts,
)

UNDELEGATE = MessageFace(
    "staking.undelegate",
    (
        ("validator", Address),
        ("amount", Amount),
    ),
    Leaving,
)

UNJAIL = MessageFace(
    "staking.unjail",
    (),
    None,
)

UNSTAKE_LIQUID = MessageFace(
    "staking.unstake_liquid",
    (("receipts", Amount),),
    Leaving,
)

WITHDRAW_COMMISSION = MessageFace(
    "staking.withdraw_commission",
    (),
    Paid,
)

WITHDRAW_REWARDS = MessageFace(
    "staking.withdraw_rewards",
    (("validator", Address),),
    Paid,
)

GET_DELEGATION = QueryFace(
    "staking_getDelegation",
    (
        ("delegator", Address),
        ("validator", Address),
    ),
    DelegationInfo,
)

GET_LIQUID = QueryFace(
    "staking_getLiquid",
    (),
    LiquidPool,
)

GET_PARAMETERS = QueryFace(
    "staking_getParameters",
    (),
    StakingParams,
)

GET_POOL = QueryFace(
    "staking_getPool",
    (),
    StakingPool,
)

GET_SIGNING = QueryFace(
    "staking_getSigning",
    (("validator", Address),),
    SigningInfo,
)

GET_STAKER = QueryFace(
    "staking_getStaker",
    (("address", Address),),
    StakerInfo,
)

GET_VALIDATOR = QueryFace(
    "staking_getValidator",
    (("validator", Address),),
    ValidatorInfo,
)

LIST_DELEGATIONS = QueryFace(
    "staking_listDelegations",
    (("delegator", Address),),
    tuple[DelegationInfo, ...],
)

LIST_UNBONDINGS = QueryFace(
    "staking_listUnbondings",
    (
        ("delegator", Address),
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", U64 | None),
    ),
    UnbondingPage,
)

LIST_VALIDATORS = QueryFace(
    "staking_listValidators",
    (
        ("limit", Annotated[int, Between(1, 1000)] | None),
        ("cursor", Address | None),
    ),
    ValidatorPage,
)

MESSAGES: tuple[MessageFace, ...] = (
    CREATE_VALIDATOR,
    DELEGATE,
    EDIT_VALIDATOR,
    LOCK,
    REDELEGATE,
    STAKE_LIQUID,
    UNDELEGATE,
    UNJAIL,
    UNSTAKE_LIQUID,
    WITHDRAW_COMMISSION,
    WITHDRAW_REWARDS,
)

QUERIES: tuple[QueryFace, ...] = (
    GET_DELEGATION,
    GET_LIQUID,
    GET_PARAMETERS,
    GET_POOL,
    GET_SIGNING,
    GET_STAKER,
    GET_VALIDATOR,
    LIST_DELEGATIONS,
    LIST_UNBONDINGS,
    LIST_VALIDATORS,
)

EVENTS: dict[str, type] = {
    "staking.validator_created": ValidatorCreated,
    "staking.validator_edited": ValidatorEdited,
    "staking.delegated": Delegated,
    "staking.undelegation_begun": UndelegationBegun,
    "staking.undelegation_completed": UndelegationCompleted,
    "staking.redelegated": Redelegated,
    "staking.redelegation_slashed": RedelegationSlashed,
    "staking.lock_changed": LockChanged,
    "staking.rewards_withdrawn": RewardsWithdrawn,
    "staking.commission_withdrawn": CommissionWithdrawn,
    "staking.validator_slashed": ValidatorSlashed,
    "staking.validator_jailed": ValidatorJailed,
    "staking.validator_unjailed": ValidatorUnjailed,
    "staking.validator_tombstoned": ValidatorTombstoned,
    "staking.validators_changed": ValidatorsChanged,
    "staking.liquid_staked": LiquidStaked,
    "staking.liquid_unstaked": LiquidUnstaked,
    "staking.community_paid": CommunityPaid,
}


class Staking(ModuleFace):
    """Validators, delegations, rewards and slashing."""

    def create_validator(
        self,
        wallet: Wallet,
        *,
        key: BytesLike,
        possession: BytesLike,
        moniker: str | Reference,
        commission_bps: int | Reference,
        max_commission_bps: int | Reference,
        max_change_bps: int | Reference,
        min_self_delegation: AmountLike,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Declare a validator that this account operates. It is active once it is among those with the
        most stake.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            key: scheme tag and public key with which its node signs; never to be used again.
            possession: that key's signature over the statement of possession.
            moniker: a name for people, 1 to 64 bytes.
            commission_bps: its part of its delegators' rewards, in basis points.
            max_commission_bps: what the commission never exceeds.
            max_change_bps: by how much the commission rises in a day at most.
            min_self_delegation: base units of its own below which it leaves the set; it is only ever
                raised.
            amount: base units of QXC that it delegates to itself now.
        """
        return self._send(
            wallet,
            CREATE_VALIDATOR,
            {
                "key": key,
                "possession": possession,
                "moniker": moniker,
                "commission_bps": commission_bps,
                "max_commission_bps": max_commission_bps,
                "max_change_bps": max_change_bps,
                "min_self_delegation": min_self_delegation,
                "amount": amount,
            },
            options,
        )

    def delegate(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Bonded]:
        """Delegate coins to a validator. A delegation that is locked is locked anew for as long.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            amount: base units of QXC.
        """
        return self._send(wallet, DELEGATE, {"validator": validator, "amount": amount}, options)

    def edit_validator(
        self,
        wallet: Wallet,
        *,
        moniker: str | Reference | None = None,
        commission_bps: int | Reference | None = None,
        min_self_delegation: AmountLike | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Change what this account's validator is called and asks. The commission changes once a day at
        most.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            moniker: another name.
            commission_bps: another commission; what was earned before is divided by the old one.
            min_self_delegation: a higher minimum of its own stake.
        """
        return self._send(
            wallet,
            EDIT_VALIDATOR,
            {
                "moniker": moniker,
                "commission_bps": commission_bps,
                "min_self_delegation": min_self_delegation,
            },
            options,
        )

    def lock(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        lock_s: int | Reference,
        **options: Unpack[TransactionOptions],
    ) -> Pending[None]:
        """Lock a delegation: it earns more until the end, and cannot leave before. Its voting power stays
        what it was.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            lock_s: for how long from now, in seconds; a lock is never shortened.
        """
        return self._send(wallet, LOCK, {"validator": validator, "lock_s": lock_s}, options)

    def redelegate(
        self,
        wallet: Wallet,
        *,
        source: AddressLike | Reference,
        target: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Bonded]:
        """Move coins from one validator to another at once. Until the unbonding time is over they answer
        for both.

        What was moved stays there for that time: no hops.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            source: the validator they leave.
            target: the validator they go to.
            amount: base units of QXC.
        """
        return self._send(wallet, REDELEGATE, {"source": source, "target": target, "amount": amount}, options)

    def stake_liquid(
        self, wallet: Wallet, *, amount: AmountLike, **options: Unpack[TransactionOptions]
    ) -> Pending[Receipts]:
        """Delegate coins through the pool and get `staking/QXC` for them, a coin like any other.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            amount: base units of QXC.
        """
        return self._send(wallet, STAKE_LIQUID, {"amount": amount}, options)

    def undelegate(
        self,
        wallet: Wallet,
        *,
        validator: AddressLike | Reference,
        amount: AmountLike,
        **options: Unpack[TransactionOptions],
    ) -> Pending[Leaving]:
        """Take coins back from a validator; they arrive after the unbonding time, less what is slashed
        meanwhile.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
            amount: base units of QXC; all that the delegation is worth takes every share.
        """
        return self._send(wallet, UNDELEGATE, {"validator": validator, "amount": amount}, options)

    def unjail(self, wallet: Wallet, **options: Unpack[TransactionOptions]) -> Pending[None]:
        """Let this account's validator stand for the set again.

        Returns once admitted; `wait()` gives the receipt.
        """
        return self._send(wallet, UNJAIL, {}, options)

    def unstake_liquid(
        self, wallet: Wallet, *, receipts: AmountLike, **options: Unpack[TransactionOptions]
    ) -> Pending[Leaving]:
        """Give `staking/QXC` back; what it is worth arrives after the unbonding time, less what is slashed
        meanwhile.

        Rewards that the pool has not delegated yet are paid at once.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            receipts: base units of staking/QXC.
        """
        return self._send(wallet, UNSTAKE_LIQUID, {"receipts": receipts}, options)

    def withdraw_commission(self, wallet: Wallet, **options: Unpack[TransactionOptions]) -> Pending[Paid]:
        """Take the commission that this account's validator has earned.

        Returns once admitted; `wait()` gives the receipt.
        """
        return self._send(wallet, WITHDRAW_COMMISSION, {}, options)

    def withdraw_rewards(
        self, wallet: Wallet, *, validator: AddressLike | Reference, **options: Unpack[TransactionOptions]
    ) -> Pending[Paid]:
        """Take what a delegation has earned.

        Returns once admitted; `wait()` gives the receipt.

        Args:
            validator: the operator's account.
        """
        return self._send(wallet, WITHDRAW_REWARDS, {"validator": validator}, options)

    def get_delegation(
        self, delegator: AddressLike, validator: AddressLike, *, at: At | None = None
    ) -> DelegationInfo:
        """What an account has with a validator, and what it has earned.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
            validator: the operator's account.
        """
        answer: DelegationInfo = self._query(
            GET_DELEGATION, {"delegator": delegator, "validator": validator}, at
        )
        return answer

    def get_liquid(self, *, at: At | None = None) -> LiquidPool:
        """What liquid stake is worth: `value / receipts` base units of QXC for one of staking/QXC.

        `at` is a height, the latest one unless given.
        """
        answer: LiquidPool = self._query(GET_LIQUID, {}, at)
        return answer

    def get_parameters(self, *, at: At | None = None) -> StakingParams:
        """The rules of staking in force.

        `at` is a height, the latest one unless given.
        """
        answer: StakingParams = self._query(GET_PARAMETERS, {}, at)
        return answer

    def get_pool(self, *, at: At | None = None) -> StakingPool:
        """How much is staked, what it brings, and what waits.

        `at` is a height, the latest one unless given.
        """
        answer: StakingPool = self._query(GET_POOL, {}, at)
        return answer

    def get_signing(self, validator: AddressLike, *, at: At | None = None) -> SigningInfo:
        """How many commits of the window at hand lack a validator's vote.

        `at` is a height, the latest one unless given.

        Args:
            validator: the operator's account.
        """
        answer: SigningInfo = self._query(GET_SIGNING, {"validator": validator}, at)
        return answer

    def get_staker(self, address: AddressLike, *, at: At | None = None) -> StakerInfo:
        """How much an account has delegated in all, as far as it was touched since a slash, and its
        discount.

        `at` is a height, the latest one unless given.

        Args:
            address: the account.
        """
        answer: StakerInfo = self._query(GET_STAKER, {"address": address}, at)
        return answer

    def get_validator(self, validator: AddressLike, *, at: At | None = None) -> ValidatorInfo:
        """A validator: its stake, its commission, whether it is active, jailed or gone.

        `at` is a height, the latest one unless given.

        Args:
            validator: the operator's account.
        """
        answer: ValidatorInfo = self._query(GET_VALIDATOR, {"validator": validator}, at)
        return answer

    def list_delegations(self, delegator: AddressLike, *, at: At | None = None) -> tuple[DelegationInfo, ...]:
        """All that an account has delegated, by validator; those it left lately are there, empty.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
        """
        answer: tuple[DelegationInfo, ...] = self._query(LIST_DELEGATIONS, {"delegator": delegator}, at)
        return answer

    def list_unbondings(
        self,
        delegator: AddressLike,
        limit: int | None = None,
        cursor: int | None = None,
        *,
        at: At | None = None,
    ) -> UnbondingPage:
        """What is on its way back to an account, oldest first.

        `at` is a height, the latest one unless given.

        Args:
            delegator: the account.
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: UnbondingPage = self._query(
            LIST_UNBONDINGS, {"delegator": delegator, "limit": limit, "cursor": cursor}, at
        )
        return answer

    def list_validators(
        self, limit: int | None = None, cursor: AddressLike | None = None, *, at: At | None = None
    ) -> ValidatorPage:
        """All validators, by address; `power` above 0: active.

        `at` is a height, the latest one unless given.

        Args:
            limit: entries of one page, 100 unless given.
            cursor: `next_cursor` of the page before.
        """
        answer: ValidatorPage = self._query(LIST_VALIDATORS, {"limit": limit, "cursor": cursor}, at)
        return answer
