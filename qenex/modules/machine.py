# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""The SDK's face of the module `machine`: its records, messages and queries."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from qenex.answers import to_plain
from qenex.building import MessageFace, QueryFace
from qenex.crypto.address import PREFIX, Address
from qenex.faces import At, ModuleFace
from qenex.jsonrpc import Json
from qenex.types import U8, U32, U64, Amount, Between, Bps, Denom, Length


class FeeMarket(NamedTuple):
    """What the next block asks: `price` base units of QXC per gas, at this excess gas."""

    price: Amount
    excess: U64
    target_gas_per_second: U64
    max_block_gas: U64

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class MachineParams(NamedTuple):
    """Parameters of the machine itself.

    `min_price` base units of QXC per gas; `target_gas_per_second` gas; `price_update_fraction` gas of
    excess that multiplies the price by e; `burn_bps` part of the base fee that is burned;
    `max_block_gas` gas and `max_block_bytes` bytes of a block (twice the largest transaction at least,
    so
    that each one fits); `hook_items` entries that the machine's
    hook handles in a block; `scheme_...` status of each signature scheme: 0 off, 1 verify-only, 2 on.
    """

    min_price: Annotated[int, Between(0, 1000000000000)]
    target_gas_per_second: Annotated[int, Between(10000, 1000000000)]
    price_update_fraction: Annotated[int, Between(10000, 100000000000)]
    burn_bps: Bps
    max_block_gas: Annotated[int, Between(100000, 1000000000)]
    max_block_bytes: Annotated[int, Between(131072, 4194304)]
    hook_items: Annotated[int, Between(1, 1000)]
    scheme_ed25519: Annotated[int, Between(0, 2)]
    scheme_ml_dsa_44: Annotated[int, Between(0, 2)]
    scheme_ml_dsa_65: Annotated[int, Between(0, 2)]
    scheme_slh_dsa_sha2_128s: Annotated[int, Between(0, 2)]
    scheme_composite_mldsa44_ed25519: Annotated[int, Between(0, 2)]

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Pause(NamedTuple):
    """Why and since when a module is paused."""

    height: U64
    code: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class Upgrade(NamedTuple):
    """From `height` on the rules of `protocol_version` hold; a program that does not know them stops
    before it.
    """

    name: Annotated[str, Length(1, 64)]
    height: U64
    protocol_version: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class FeesSettled(NamedTuple):
    """A block's base fees: burned, paid to stakers; and the tips, paid to the proposer. Base units of QXC."""

    burned: Amount
    distributed: Amount
    tips: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class HookFailed(NamedTuple):
    """A module's hook was reverted; `code` 2999 also paused the module."""

    module: Annotated[str, Length(1, 32)]
    hook: Annotated[str, Length(1, 32)]
    code: U32

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


class TransferFeePaid(NamedTuple):
    """A token's own fee on a transfer: `amount` base units went from `payer` to who made the rule."""

    payer: Address
    recipient: Address
    denom: Denom
    amount: Amount

    def to_dict(self, prefix: str = PREFIX) -> dict[str, Json]:
        """Plain JSON; addresses take the network's prefix."""
        return to_plain(self, prefix)


GET_FEE_MARKET = QueryFace(
    "machine_getFeeMarket",
    (),
    FeeMarket,
)

GET_PARAMETERS = QueryFace(
    "machine_getParameters",
    (),
    MachineParams,
)

GET_PAUSE = QueryFace(
    "machine_getPause",
    (("module_id", U8),),
    Pause | None,
)

GET_UPGRADE = QueryFace(
    "machine_getUpgrade",
    (),
    Upgrade | None,
)

MESSAGES: tuple[MessageFace, ...] = ()

QUERIES: tuple[QueryFace, ...] = (
    GET_FEE_MARKET,
    GET_PARAMETERS,
    GET_PAUSE,
    GET_UPGRADE,
)

EVENTS: dict[str, type] = {
    "machine.fees_settled": FeesSettled,
    "machine.hook_failed": HookFailed,
    "machine.transfer_fee_paid": TransferFeePaid,
}


class Machine(ModuleFace):
    """The machine's own state: what every transaction touches and no module owns."""

    def get_fee_market(self, *, at: At | None = None) -> FeeMarket:
        """Price per gas that the next block asks, and the limits.

        `at` is a height, the latest one unless given.
        """
        answer: FeeMarket = self._query(GET_FEE_MARKET, {}, at)
        return answer

    def get_parameters(self, *, at: At | None = None) -> MachineParams:
        """The machine's parameters in force.

        `at` is a height, the latest one unless given.
        """
        answer: MachineParams = self._query(GET_PARAMETERS, {}, at)
        return answer

    def get_pause(self, module_id: int, *, at: At | None = None) -> Pause | None:
        """Since when a module is paused, or nothing.

        `at` is a height, the latest one unless given.

        Args:
            module_id: the module's number.
        """
        answer: Pause | None = self._query(GET_PAUSE, {"module_id": module_id}, at)
        return answer

    def get_upgrade(self, *, at: At | None = None) -> Upgrade | None:
        """The planned upgrade, or nothing.

        `at` is a height, the latest one unless given.
        """
        answer: Upgrade | None = self._query(GET_UPGRADE, {}, at)
        return answer
