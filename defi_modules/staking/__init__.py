"""Staking: validators, delegations, rewards, slashing, liquid stake, and the set that makes blocks."""

from defi_modules.staking.base import LIQUID, MAIN, StakingParams
from defi_modules.staking.genesis import bonds_to_json
from defi_modules.staking.math import allocate_rewards, shares_for, slash_amounts, tokens_for
from defi_modules.staking.module import Staking
from defi_modules.staking.validating import possession_sign_bytes

__all__ = [
    "LIQUID",
    "MAIN",
    "Staking",
    "StakingParams",
    "allocate_rewards",
    "bonds_to_json",
    "possession_sign_bytes",
    "shares_for",
    "slash_amounts",
    "tokens_for",
]
