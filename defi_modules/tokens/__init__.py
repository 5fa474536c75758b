"""Tokens: a factory with controls that are chosen once, payments to many, vesting and escrow."""

from defi_modules.tokens.module import Tokens
from defi_modules.tokens.types import Controls, Escrow, Payment, Schedule, Token

__all__ = ["Controls", "Escrow", "Payment", "Schedule", "Token", "Tokens"]
