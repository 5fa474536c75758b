"""AMM: pools of three curves under one interface. The curves are importable without a node."""

from defi_modules.amm.module import Amm

__all__ = ["Amm"]
