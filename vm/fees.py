"""The base fee: a price per gas that follows demand (EIP-4844's integer exponential)."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from qenex.types import Amount, Between, Bps

MAX_EXPONENT: Final = 20
"""`excess` is capped at this many update fractions: e^20 times the minimum price is enough, and the
series below stays short."""


class MachineParams(NamedTuple):
    """Parameters of the machine itself.

    `min_price` base units of QXC per gas; `target_gas_per_second` gas; `price_update_fraction` gas of
    excess that multiplies the price by e; `burn_bps` part of the base fee that is burned;
    `max_block_gas` gas and `max_block_bytes` bytes of a block (twice the largest transaction at least, so
    that each one fits); `hook_items` entries that the machine's
    hook handles in a block; `scheme_...` status of each signature scheme: 0 off, 1 verify-only, 2 on.
    """

    min_price: Annotated[int, Between(0, 10**12)] = 10
    target_gas_per_second: Annotated[int, Between(10_000, 10**9)] = 4_000_000
    price_update_fraction: Annotated[int, Between(10_000, 10**11)] = 32_000_000
    burn_bps: Bps = 5_000
    max_block_gas: Annotated[int, Between(100_000, 10**9)] = 5_000_000
    max_block_bytes: Annotated[int, Between(131_072, 4_194_304)] = 4_194_304
    hook_items: Annotated[int, Between(1, 1_000)] = 1_000
    scheme_ed25519: Annotated[int, Between(0, 2)] = 2
    scheme_ml_dsa_44: Annotated[int, Between(0, 2)] = 2
    scheme_ml_dsa_65: Annotated[int, Between(0, 2)] = 2
    scheme_slh_dsa_sha2_128s: Annotated[int, Between(0, 2)] = 2
    scheme_composite_mldsa44_ed25519: Annotated[int, Between(0, 2)] = 2


SCHEME_OFF, SCHEME_VERIFY_ONLY, SCHEME_ON = 0, 1, 2


def scheme_status(params: MachineParams) -> dict[int, int]:
    """Status by scheme tag."""
    return {
        0x01: params.scheme_ed25519,
        0x02: params.scheme_ml_dsa_44,
        0x03: params.scheme_ml_dsa_65,
        0x04: params.scheme_slh_dsa_sha2_128s,
        0x11: params.scheme_composite_mldsa44_ed25519,
    }


def exponential(factor: int, numerator: int, denominator: int) -> int:
    """`factor * e^(numerator / denominator)` by Taylor series in integers (EIP-4844 `fake_exponential`)."""
    i, output, term = 1, 0, factor * denominator
    while term > 0:
        output += term
        term = term * numerator // (denominator * i)
        i += 1
    return output // denominator


def price_per_gas(params: MachineParams, excess: int) -> int:
    """Base units of QXC for one gas at this excess."""
    fraction = params.price_update_fraction
    return exponential(params.min_price, min(excess, MAX_EXPONENT * fraction), fraction)


def next_excess(params: MachineParams, excess: int, gas_used: int, elapsed_ns: int) -> int:
    """Excess gas after a block: what was used beyond `target_per_second` since the parent's time.

    By elapsed time and not by block, so that the frequency of blocks does not matter.
    """
    raised = excess + gas_used - params.target_gas_per_second * max(0, elapsed_ns) // 10**9
    return min(max(0, raised), MAX_EXPONENT * params.price_update_fraction)


def charge(gas_used: int, price: int, discount_bps: int, tip: int) -> tuple[Amount, Amount]:
    """What a transaction pays: `(base, tip)`; base = ceil(gas_used*price*(10,000-discount)/10,000).

    A discount beyond 10,000 bps counts as 10,000: nobody is paid for a transaction.
    """
    if discount_bps == 0:
        return gas_used * price, tip
    return -(-gas_used * price * max(0, 10_000 - discount_bps) // 10_000), tip
