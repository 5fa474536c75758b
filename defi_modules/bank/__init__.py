"""Bank: balances, supplies and transfers of every denomination."""

from defi_modules.bank.module import Bank
from defi_modules.bank.types import BalancePage, Sent, Transferred

__all__ = ["BalancePage", "Bank", "Sent", "Transferred"]
