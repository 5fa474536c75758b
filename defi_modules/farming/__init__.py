"""Farming: rewards that flow to stakes of any denomination, funded in advance, with boosts for locks."""

from defi_modules.farming.module import Farming
from defi_modules.farming.types import Boost, Position, Program, Stream

__all__ = ["Boost", "Farming", "Position", "Program", "Stream"]
