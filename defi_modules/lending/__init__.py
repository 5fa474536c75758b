"""Lending: pools per asset, debts against collateral, liquidations, flash loans."""

from defi_modules.lending.module import Lending
from defi_modules.lending.types import LendingParams, Market, Position, Terms

__all__ = ["Lending", "LendingParams", "Market", "Position", "Terms"]
